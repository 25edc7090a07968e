/* scitag check: what a file is, and whether it is sound. */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "firefly/firefly.h"
#include "marker/config.h"
#include "observer/config.h"
#include "registry/registry.h"

#define HEAD_BYTES 4096 /* that tell what a file is */

static const struct opt options[] = {CLI_OPT_LISTING, CLI_OPT_HELP, OPT_END};
const struct opt_program check_program = {
	.name = "scitag check",
	.synopsis = "FILE...",
	.summary = "Say what a file is (capture, fireflies, registry, configuration) and if it is "
		   "sound",
	.opts = options,
};

static const struct cli_column columns[] = {
	{"file", NULL},
	{"kind", NULL},
	{"sound", NULL},
	{"found", NULL},
};

struct finding {
	const char *kind;
	int code; /* to exit with */
	char found[256];
};

static void __attribute__((format(printf, 2, 3))) found(struct finding *f, const char *fmt, ...)
{
	size_t used = strlen(f->found);
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->found + used, sizeof(f->found) - used, fmt, args);
	va_end(args);
}

/* --- captures ------------------------------------------------------------------------------------ */

static void check_capture(const char *path, struct finding *f)
{
	char why[PCAP_ERRBUF_SIZE], first[32], last[32];
	int64_t first_us = CLOCK_NEVER, last_us = CLOCK_NEVER;
	pcap_t *pcap = pcap_open_offline(path, why);
	struct pcap_pkthdr *header;
	const unsigned char *bytes;
	unsigned long long n = 0;
	int result;

	f->kind = "capture";
	if (!pcap) {
		f->code = CLI_FAILED;
		found(f, "%s", why);
		return;
	}
	while ((result = pcap_next_ex(pcap, &header, &bytes)) == 1) {
		int64_t utc_us =
			(int64_t)header->ts.tv_sec * US_PER_S + (int64_t)header->ts.tv_usec;

		first_us = n ? first_us : utc_us;
		last_us = utc_us;
		n++;
	}
	found(f, "%s, %llu packets", pcap_datalink_val_to_description_or_dlt(pcap_datalink(pcap)),
	      n);
	if (n)
		found(f, ", %s to %s", clock_format_utc(first, sizeof(first), first_us, 0),
		      clock_format_utc(last, sizeof(last), last_us, 0));
	if (result == PCAP_ERROR) {
		f->code = CLI_INCOMPLETE;
		found(f, ", then %s", pcap_geterr(pcap));
	}
	pcap_close(pcap);
}

/* --- fireflies ----------------------------------------------------------------------------------- */

static void check_fireflies(const char *path, struct finding *f)
{
	size_t counts[FIREFLY_VERDICT_COUNT] = {0}, n = 0, cap = 0;
	FILE *file = fopen(path, "re");
	char *line = NULL;
	struct firefly ff;
	ssize_t len;

	f->kind = "fireflies";
	while (file && (len = getline(&line, &cap, file)) >= 0) {
		while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			len--;
		if (!len)
			continue;
		counts[firefly_parse(&ff, line, (size_t)len)]++;
		n++;
	}
	free(line);
	if (file)
		fclose(file);
	found(f, "%zu of %zu lines are fireflies", counts[FIREFLY_OK], n);
	for (int v = FIREFLY_OK + 1; v < FIREFLY_VERDICT_COUNT; v++)
		if (counts[v])
			found(f, ", %zu %s", counts[v],
			      firefly_verdict_name((enum firefly_verdict)v));
	f->code = counts[FIREFLY_OK] == n  ? CLI_OK
		  : counts[FIREFLY_OK] > 0 ? CLI_INCOMPLETE
					   : CLI_FAILED;
}

/* --- registry documents -------------------------------------------------------------------------- */

static void check_registry(const char *path, struct finding *f)
{
	struct registry *r = NULL, *builtin;
	const char *refusal;
	char why[160];

	f->kind = "registry";
	if (registry_load(&r, path, why, sizeof(why))) {
		f->code = CLI_FAILED;
		found(f, "%s", why);
		return;
	}
	builtin = registry_builtin();
	refusal = builtin ? registry_refuse_swap(builtin, r) : "out of memory";
	found(f, "%zu experiments, %zu pairs, modified %s", r->n_experiments, r->n_pairs,
	      *r->modified ? r->modified : "unsaid");
	if (refusal) {
		f->code = CLI_FAILED;
		found(f, "; it would not replace the built-in one: %s", refusal);
	}
	if (r->dialects_overlap)
		found(f, "; options of old senders could be mistaken");
	registry_free(builtin);
	registry_free(r);
}

/* --- configurations ------------------------------------------------------------------------------ */

/* How foreign the file is to this program: 0 it is accepted; a key at the top that is not known
 * counts for more than any other error. */
static int count_errors(const struct opt_program *p, size_t config_bytes, const char *path)
{
	void *config = calloc(1, config_bytes);
	char *said = NULL;
	size_t len = 0;
	FILE *err = open_memstream(&said, &len);
	int n = 0;

	if (config && err && !opt_defaults(p, config) && opt_read_file(p, config, path, err))
		n = 1;
	if (err)
		fclose(err);
	for (char *line = said; n && line; line = strchr(line + 1, '\n'))
		n++;
	for (char *line = said; n && line && (line = strstr(line, ":1: unknown key")); line++)
		n += 1000;
	free(said);
	if (config)
		opt_free(p, config);
	free(config);
	return n;
}

/* Of the program it is less foreign to; what is wrong is said on stderr. */
static void check_configuration(const char *path, struct finding *f)
{
	char *argv[] = {(char *)"check", (char *)"--conf", strdup(path), NULL};
	int as_observer, as_marker, rest, err;

	as_observer = count_errors(&observer_program, sizeof(struct observer_config), path);
	as_marker = count_errors(&marker_program, sizeof(struct marker_config), path);
	f->kind = "configuration";
	if (as_marker < as_observer) {
		struct marker_config cfg;

		err = marker_config_read(&cfg, 3, argv, &rest);
		marker_config_free(&cfg);
	} else {
		struct observer_config cfg;

		err = observer_config_read(&cfg, 3, argv);
		observer_config_free(&cfg);
	}
	free(argv[2]);
	if (!as_observer && !as_marker)
		found(f, "of scitag-observer or scitag-marker alike");
	else
		found(f, "of %s", as_marker < as_observer ? "scitag-marker" : "scitag-observer");
	if (err) {
		f->code = CLI_CONFIG;
		found(f, ", not accepted");
	}
}

/* --- what is it ---------------------------------------------------------------------------------- */

static int starts_with(const char *head, size_t len, const char *magic, size_t magic_len)
{
	return len >= magic_len && !memcmp(head, magic, magic_len);
}

static int is_capture(const char *head, size_t len)
{
	static const char magics[][5] = {
		"\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", /* microseconds, either order */
		"\xa1\xb2\x3c\x4d", "\x4d\x3c\xb2\xa1", /* nanoseconds */
		"\x0a\x0d\x0d\x0a",                     /* pcapng */
	};

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (starts_with(head, len, magics[i], 4))
			return 1;
	return 0;
}

static void check_content(const char *path, const char *head, size_t len, struct finding *f)
{
	const char *text = head + strspn(head, " \t\r\n");

	if (is_capture(head, len)) {
		check_capture(path, f);
	} else if (starts_with(head, len, "SQLite format 3", 16)) {
		f->kind = "database";
		found(f, "SQLite; an observer's is checked by the observer when it opens it");
	} else if (strlen(head) < len) {
		f->kind = "unknown";
		f->code = CLI_FAILED;
		found(f, "bytes of a kind that is not ours");
	} else if (strstr(head, "flow-lifecycle") || strstr(head, "firefly-json")) {
		check_fireflies(path, f);
	} else if (*text == '{' && strstr(head, "\"exp")) {
		check_registry(path, f);
	} else {
		check_configuration(path, f);
	}
}

static void check_file(const char *path, struct finding *f)
{
	char head[HEAD_BYTES + 1];
	FILE *file = fopen(path, "re");
	size_t len;

	*f = (struct finding){.kind = "unknown"};
	if (!file) {
		f->code = (int)cli_exit_of(-errno);
		found(f, "%s", strerror(errno));
		return;
	}
	len = fread(head, 1, HEAD_BYTES, file);
	head[len] = 0;
	if (ferror(file)) {
		f->code = CLI_FAILED;
		found(f, "%s", strerror(errno));
	} else {
		check_content(path, head, len, f);
	}
	fclose(file);
}

int verb_check(int argc, char **argv)
{
	struct cli_common common = {0};
	struct cli_list *l = NULL;
	int rest, code = cli_args(&check_program, &common, argc, argv, &rest);

	if (code >= 0)
		return code;
	if (rest == argc)
		return cli_usage(&check_program, "which file?");
	if (cli_format(&common) != CLI_TABLE)
		l = cli_list_open(stdout, cli_format(&common), columns,
				  sizeof(columns) / sizeof(columns[0]));
	for (code = CLI_OK; rest < argc; rest++) {
		struct finding f;

		check_file(argv[rest], &f);
		if (l) {
			cli_put_text(l, argv[rest]);
			cli_put_text(l, f.kind);
			cli_put_flag(l, f.code == CLI_OK);
			cli_put_text(l, f.found);
		} else {
			printf("%s: %s%s%s: %s\n", argv[rest],
			       cli_colour(stdout, f.code ? CLI_RED : CLI_GREEN), f.kind,
			       cli_colour(stdout, CLI_PLAIN), f.found);
		}
		code = code ? code : f.code; /* the first that is not sound */
	}
	cli_list_close(l);
	return code;
}
