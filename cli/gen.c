/* scitag gen: what to make, and where to put it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/gen.h"

#define AT(member) offsetof(struct gen_config, member)

/* A share as 0.6 or 60%; negative when it is none. */
static double to_share(const char *text)
{
	char *end;
	double share = strtod(text, &end);

	if (end == text)
		return -1;
	if (strcmp(end, "%") == 0)
		share /= 100;
	else if (*end)
		return -1;
	return share >= 0 && share <= 1 ? share : -1;
}

static const char *check_share(const char *text)
{
	return to_share(text) < 0 ? "expected a share such as 0.6 or 60%" : NULL;
}

static const char *const carriers[] = {"mix", "label", "destination", "hop-by-hop", "both", NULL};

static const struct opt options[] = {
	CLI_OPT_HELP,
	{.name = "out",
	 .letter = 'o',
	 .type = OPT_TEXT,
	 .offset = AT(out),
	 .arg = "FILE",
	 .default_text = "-",
	 .help = "Write the capture here; - is standard output."},
	{.name = "truth",
	 .letter = 't',
	 .type = OPT_TEXT,
	 .offset = AT(truth),
	 .arg = "FILE",
	 .help = "Write here, as JSON, what a reader should find in it."},
	{.name = "seed",
	 .letter = 's',
	 .type = OPT_INT,
	 .offset = AT(seed),
	 .default_text = "1",
	 .max = INT64_MAX,
	 .arg = "N",
	 .help = "The same seed and sizes make the same bytes, and the same flows in all three "
		 "kinds."},
	{.name = "duration",
	 .letter = 'd',
	 .type = OPT_DURATION,
	 .offset = AT(duration_s),
	 .default_text = "60s",
	 .min = 1,
	 .arg = "TIME",
	 .help = "Spread the traffic over this long."},
	{.name = "packets",
	 .letter = 'n',
	 .type = OPT_INT,
	 .offset = AT(packets),
	 .max = 10000000000,
	 .arg = "N",
	 .help = "Packets on the made-up link. Default: 1,000 a second for pcap; for sflow and "
		 "firefly, where they cost no room, 100,000 a second."},
	{.name = "flows",
	 .letter = 'f',
	 .type = OPT_INT,
	 .offset = AT(flows),
	 .default_text = "1000",
	 .min = 1,
	 .max = 100000000,
	 .arg = "N",
	 .help = "About so many flows."},
	{.name = "marked",
	 .letter = 'm',
	 .type = OPT_TEXT,
	 .offset = AT(marked),
	 .default_text = "0.7",
	 .arg = "SHARE",
	 .validate = check_share,
	 .help = "Share of the data packets that belong to marked flows."},
	{.name = "carrier",
	 .type = OPT_CHOICE,
	 .offset = AT(carrier),
	 .choices = carriers,
	 .default_text = "mix",
	 .arg = "CARRIER",
	 .help = "How marked flows carry their tag: mix, label, destination, hop-by-hop, or both "
		 "options."},
	{.name = "agents",
	 .letter = 'a',
	 .type = OPT_INT,
	 .offset = AT(agents),
	 .default_text = "1",
	 .min = 1,
	 .max = GEN_AGENTS_MAX,
	 .arg = "N",
	 .help = "sflow: switches that sample, each its share of the flows."},
	{.name = "rate",
	 .letter = 'r',
	 .type = OPT_INT,
	 .offset = AT(rate),
	 .default_text = "1000",
	 .min = 1,
	 .max = 1 << 24,
	 .arg = "N",
	 .help = "sflow: sample one packet in N."},
	{.name = "snap",
	 .type = OPT_INT,
	 .offset = AT(snap_bytes),
	 .default_text = "160",
	 .min = 64,
	 .max = 65535,
	 .arg = "BYTES",
	 .help = "pcap: keep so many bytes of each frame; replay fills it up again. Payloads are "
		 "zeros "
		 "anyway."},
	OPT_END,
};
const struct opt_program gen_program = {
	.name = "scitag gen",
	.synopsis =
		"pcap|sflow|firefly [--out FILE] [--truth FILE] [--seed N] [--duration TIME] ...",
	.summary = "Make traffic for a rehearsal, with the truth about it beside it",
	.opts = options,
};

static const struct kind {
	const char *name;
	int (*make)(const struct gen_config *cfg, struct gen_output *out, json_t *truth);
	int64_t packets_per_s; /* when nothing was said */
} kinds[] = {
	{"pcap", gen_pcap, 1000},
	{"sflow", gen_sflow, 100000},
	{"firefly", gen_firefly, 100000},
};

static int write_truth(const char *path, const json_t *truth)
{
	int failed = strcmp(path, "-") == 0 ? json_dumpf(truth, stdout, JSON_INDENT(1))
					    : json_dump_file(truth, path, JSON_INDENT(1));

	if (failed)
		return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
	return CLI_OK;
}

static int make(const struct kind *kind, struct gen_config *cfg)
{
	/* datagrams are kept whole: a reader opens them */
	uint32_t snap_bytes = kind->make == gen_pcap ? (uint32_t)cfg->snap_bytes : 65535;
	json_t *truth = json_pack("{s:s, s:I}", "kind", kind->name, "seed", (json_int_t)cfg->seed);
	struct gen_output *out = NULL;
	int code = CLI_FAILED, err;

	err = gen_output_open(&out, cfg->out, snap_bytes);
	if (err) {
		code = (int)cli_exit_of(err); /* said already */
		goto out;
	}
	err = kind->make(cfg, out, truth);
	if (err) {
		gen_output_close(out);
		code = cli_fail(CLI_FAILED, "%s", strerror(-err));
		goto out;
	}
	if (gen_output_close(out)) {
		code = cli_fail(CLI_FAILED, "%s: not everything could be written", cfg->out);
		goto out;
	}
	code = cfg->truth ? write_truth(cfg->truth, truth) : CLI_OK;
out:
	json_decref(truth);
	return code;
}

static int check(const struct kind **kind, struct gen_config *cfg, int argc, char **argv, int rest)
{
	if (rest != argc - 1)
		return cli_usage(&gen_program, "expected one of pcap, sflow, firefly");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(argv[rest], kinds[i].name) == 0)
			*kind = &kinds[i];
	if (!*kind)
		return cli_usage(&gen_program, "'%s' is none of pcap, sflow, firefly", argv[rest]);
	if (strcmp(cfg->out, "-") == 0 && isatty(STDOUT_FILENO))
		return cli_usage(&gen_program, "a capture on a terminal? Say --out FILE");
	if (strcmp(cfg->out, "-") == 0 && cfg->truth && strcmp(cfg->truth, "-") == 0)
		return cli_usage(&gen_program, "--out and --truth cannot both be standard output");
	if (cfg->duration_s > 31 * 86400)
		return cli_usage(&gen_program, "--duration: 31 days at the most");
	if (cfg->packets == 0)
		cfg->packets = (*kind)->packets_per_s * (int64_t)cfg->duration_s;
	cfg->marked_share = to_share(cfg->marked);
	return -1;
}

int verb_gen(int argc, char **argv)
{
	const struct kind *kind = NULL;
	struct gen_config cfg = {0};
	int rest, code;

	code = cli_args(&gen_program, &cfg, argc, argv, &rest);
	if (code < 0)
		code = check(&kind, &cfg, argc, argv, rest);
	if (code < 0)
		code = make(kind, &cfg);
	opt_free(&gen_program, &cfg);
	return code;
}
