/* scitag decode: what a value means as a tag; scitag encode: a tag in every form. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cli/cli.h"
#include "cli/registry.h"
#include "registry/reading.h"

struct decode_config {
	struct cli_common common;
	char *registry;
};
static const struct opt decode_options[] = {
	CLI_OPT_REGISTRY(struct decode_config),
	CLI_OPT_LISTING,
	CLI_OPT_HELP,
	OPT_END,
};
const struct opt_program decode_program = {
	.name = "scitag decode",
	.synopsis = "VALUE... | -",
	.summary = "Say what a label, option, number or pair means as a tag",
	.opts = decode_options,
};

struct encode_config {
	struct cli_common common;
	char *registry, *entropy;
	int only;
};
enum form { FORM_ALL, FORM_LABEL, FORM_WORD, FORM_OPTION, FORM_SCITAG };
static const char *const forms[] = {"all", "label", "word", "option", "scitag", NULL};
static const struct opt encode_options[] = {
	{.name = "entropy",
	 .letter = 'e',
	 .type = OPT_TEXT,
	 .offset = offsetof(struct encode_config, entropy),
	 .arg = "N",
	 .default_text = "0",
	 .help = "The label's five free bits, in place (within 0xc0103), or 'random'."},
	{.name = "only",
	 .type = OPT_CHOICE,
	 .offset = offsetof(struct encode_config, only),
	 .choices = forms,
	 .default_text = "all",
	 .arg = "FORM",
	 .help = "Write just one form, for scripts: label, word (first of the IPv6 header), option "
		 "or scitag."},
	CLI_OPT_REGISTRY(struct encode_config),
	CLI_OPT_LISTING,
	CLI_OPT_HELP,
	OPT_END,
};
const struct opt_program encode_program = {
	.name = "scitag encode",
	.synopsis = "EXPERIMENT ACTIVITY [--entropy N|random] [--only FORM]",
	.summary = "Write a tag, by names or numbers, in every form",
	.opts = encode_options,
};

/* --- one reading in words ------------------------------------------------------------------------ */

#define WORD_BYTES   16
#define OPTION_BYTES 24

static char *label_text(char *buf, uint32_t label)
{
	snprintf(buf, WORD_BYTES, "0x%05x", label);
	return buf;
}

/* The first four bytes of an IPv6 header of traffic class 0. */
static char *word_text(char *buf, uint32_t label)
{
	snprintf(buf, WORD_BYTES, "60 %02x %02x %02x", label >> 16, label >> 8 & 0xff,
		 label & 0xff);
	return buf;
}

static char *option_text(char *buf, const struct reading *x, const char *between)
{
	buf[0] = 0;
	for (size_t i = 0; i < sizeof(x->option); i++)
		snprintf(buf + strlen(buf), OPTION_BYTES - strlen(buf), "%s%02x", i ? between : "",
			 x->option[i]);
	return buf;
}

static void print_names(const struct reading *x)
{
	printf("%s%s", cli_colour(stdout, CLI_BOLD), x->experiment ?: "unknown experiment");
	printf(" / %s%s  %u/%u  ", x->activity ?: "unknown activity", cli_colour(stdout, CLI_PLAIN),
	       x->tag.experiment, x->tag.activity);
	printf("%s%s%s\n", cli_colour(stdout, x->registered ? CLI_GREEN : CLI_YELLOW),
	       x->registered ? "registered" : "not registered", cli_colour(stdout, CLI_PLAIN));
}

static void print_note(const struct reading *x, const char *indent)
{
	if (*x->note)
		printf("%s%s%s%s\n", indent, cli_colour(stdout, CLI_DIM), x->note,
		       cli_colour(stdout, CLI_PLAIN));
}

static void print_forms(const struct reading *x)
{
	char text[OPTION_BYTES];

	if (x->has_label) {
		printf("  flow label   %s  %u", label_text(text, x->label), x->label);
		printf("  entropy %s\n", label_text(text, x->entropy));
		printf("  IPv6 word    %s\n", word_text(text, x->label));
	} else {
		printf("  flow label   none\n");
	}
	if (x->has_option)
		printf("  option       %s\n", option_text(text, x, " "));
	if (x->scitag_flow)
		printf("  scitag.flow  %u\n", x->scitag_flow);
	else
		printf("  scitag.flow  none\n");
	print_note(x, "  ");
}

static const char *as_words(const struct reading *x)
{
	static const char *const words[] = {
		[READING_LABEL] = "flow label",
		[READING_OPTION] = "option",
		[READING_SCITAG] = "scitag.flow number",
		[READING_PAIR] = "pair",
	};

	return words[x->as];
}

/* --- listings ------------------------------------------------------------------------------------ */

static const struct cli_column columns[] = {
	{"value", NULL},         {"as", NULL},         {"experiment_id", NULL},
	{"activity_id", NULL},   {"experiment", NULL}, {"activity", NULL},
	{"registered", NULL},    {"entropy", NULL},    {"label", NULL},
	{"label_decimal", NULL}, {"ipv6_word", NULL},  {"option", NULL},
	{"scitag", NULL},        {"note", NULL},
};
#define N_COLUMNS (sizeof(columns) / sizeof(columns[0]))

static void put_reading(struct cli_list *l, const char *value, const struct reading *x)
{
	char text[OPTION_BYTES];

	cli_put_text(l, value);
	cli_put_text(l, reading_as_name(x->as));
	cli_put_int(l, x->tag.experiment);
	cli_put_int(l, x->tag.activity);
	cli_put_text(l, x->experiment);
	cli_put_text(l, x->activity);
	cli_put_flag(l, x->registered);
	cli_put_text(l, x->has_entropy ? label_text(text, x->entropy) : NULL);
	cli_put_text(l, x->has_label ? label_text(text, x->label) : NULL);
	if (x->has_label)
		cli_put_int(l, x->label);
	else
		cli_put_none(l);
	cli_put_text(l, x->has_label ? word_text(text, x->label) : NULL);
	cli_put_text(l, x->has_option ? option_text(text, x, "") : NULL);
	if (x->scitag_flow)
		cli_put_int(l, x->scitag_flow);
	else
		cli_put_none(l);
	cli_put_text(l, *x->note ? x->note : NULL);
}

/* --- decode -------------------------------------------------------------------------------------- */

static int decode_one(const struct registry *r, struct cli_list *l, const char *value)
{
	struct reading readings[READINGS_MAX];
	size_t n = reading_of(r, value, readings, READINGS_MAX);

	if (!n)
		return cli_fail(CLI_FAILED,
				"'%s' is no flow label, option, scitag.flow number or pair", value);
	for (size_t i = 0; i < n; i++) {
		if (l) {
			put_reading(l, value, &readings[i]);
		} else if (i == 0) {
			printf("%s as %s: ", value, as_words(&readings[i]));
			print_names(&readings[i]);
			print_forms(&readings[i]);
		} else {
			printf("  or as %s: ", as_words(&readings[i]));
			print_names(&readings[i]);
			print_note(&readings[i], "    ");
		}
	}
	return CLI_OK;
}

static int decode_lines(const struct registry *r, struct cli_list *l)
{
	char *line = NULL;
	size_t cap = 0;
	int code = CLI_OK;

	while (getline(&line, &cap, stdin) >= 0) {
		line[strcspn(line, "\r\n")] = 0;
		if (line[strspn(line, " \t")] && decode_one(r, l, line))
			code = CLI_FAILED;
	}
	free(line);
	return code;
}

/* Bytes that the shell took apart, "1e 03 00 03 0e": at least five arguments of two hex digits. */
static char *joined_bytes(int n, char **values)
{
	char *joined;

	if (n < 5 || n > READING_TEXT_MAX / 3)
		return NULL;
	for (int i = 0; i < n; i++)
		if (strlen(values[i]) != 2 || strspn(values[i], "0123456789abcdefABCDEF") != 2)
			return NULL;
	joined = calloc((size_t)n, 3);
	for (int i = 0; joined && i < n; i++) {
		strcat(joined, i ? " " : "");
		strcat(joined, values[i]);
	}
	return joined;
}

int verb_decode(int argc, char **argv)
{
	struct decode_config cfg = {0};
	struct cli_registry r = {0};
	struct cli_list *l = NULL;
	int rest, code = cli_args(&decode_program, &cfg, argc, argv, &rest);
	char *joined;

	if (code >= 0)
		goto out;
	if (rest == argc) {
		code = cli_usage(&decode_program, "what is to be decoded?");
		goto out;
	}
	code = cli_registry_open(&r, cfg.registry);
	if (code)
		goto out;
	if (cli_format(&cfg.common) != CLI_TABLE)
		l = cli_list_open(stdout, cli_format(&cfg.common), columns, N_COLUMNS);
	joined = joined_bytes(argc - rest, argv + rest);
	if (joined) {
		code = decode_one(r.registry, l, joined);
		free(joined);
		goto out;
	}
	for (int i = rest; i < argc; i++)
		if (strcmp(argv[i], "-") ? decode_one(r.registry, l, argv[i])
					 : decode_lines(r.registry, l))
			code = CLI_FAILED;
out:
	cli_list_close(l);
	cli_registry_close(&r);
	opt_free(&decode_program, &cfg);
	return code;
}

/* --- encode -------------------------------------------------------------------------------------- */

static int parse_entropy(const char *text, uint32_t *entropy)
{
	char *end;
	unsigned long value;

	if (!strcasecmp(text, "random")) {
		if (getrandom(entropy, sizeof(*entropy), 0) != sizeof(*entropy))
			return -EIO;
		*entropy &= SCITAG_ENTROPY_MASK;
		return 0;
	}
	value = strtoul(text, &end, 0);
	if (end == text || *end || value & ~(unsigned long)SCITAG_ENTROPY_MASK)
		return -EINVAL;
	*entropy = (uint32_t)value;
	return 0;
}

static int print_only(const struct reading *x, enum form form)
{
	char text[OPTION_BYTES];

	if ((form == FORM_LABEL || form == FORM_WORD) && !x->has_label)
		return cli_fail(CLI_FAILED, "no flow label can say %u/%u: those end at 511/63",
				x->tag.experiment, x->tag.activity);
	if (form == FORM_SCITAG && !x->scitag_flow)
		return cli_fail(CLI_FAILED,
				"%u/%u has no scitag.flow number: those are 1/1 to "
				"1023/63",
				x->tag.experiment, x->tag.activity);
	if (form == FORM_SCITAG)
		printf("%u\n", x->scitag_flow);
	else
		puts(form == FORM_LABEL  ? label_text(text, x->label)
		     : form == FORM_WORD ? word_text(text, x->label)
					 : option_text(text, x, ""));
	return CLI_OK;
}

/* "EXPERIMENT", "ACTIVITY" as numbers, or one "EXPERIMENT/ACTIVITY". Not 0: said. */
static int find_pair(const struct registry *r, struct reading *x, int n, char **names)
{
	int experiment = registry_experiment_number(r, names[0]), activity;
	char pair[32];

	if (n == 1) {
		if (reading_of(r, names[0], x, 1) && x->as == READING_PAIR)
			return 0;
		return cli_fail(CLI_FAILED, "'%s' is no EXPERIMENT/ACTIVITY", names[0]);
	}
	if (experiment < 0)
		return cli_no_experiment(r, names[0]);
	activity = registry_activity_number(r, (unsigned int)experiment, names[1]);
	if (activity < 0)
		return cli_no_activity(r, (unsigned int)experiment, names[1]);
	snprintf(pair, sizeof(pair), "%d/%d", experiment, activity);
	return !reading_of(r, pair, x, 1);
}

static int encode(const struct registry *r, const struct encode_config *cfg, int n, char **names)
{
	struct cli_list *l;
	struct reading x;
	char pair[32];
	uint32_t entropy;

	if (find_pair(r, &x, n, names))
		return CLI_FAILED;
	if (parse_entropy(cfg->entropy, &entropy))
		return cli_usage(&encode_program,
				 "--entropy: expected 'random' or bits within "
				 "0xc0103, got '%s'",
				 cfg->entropy);
	if (x.has_label) {
		x.has_entropy = 1;
		x.entropy = entropy;
		x.label |= entropy;
	}
	if (!x.registered)
		fprintf(stderr, "scitag: warning: %u/%u is not registered\n", x.tag.experiment,
			x.tag.activity);
	if (cfg->only != FORM_ALL)
		return print_only(&x, (enum form)cfg->only);
	if (cli_format(&cfg->common) == CLI_TABLE) {
		print_names(&x);
		print_forms(&x);
		return CLI_OK;
	}
	l = cli_list_open(stdout, cli_format(&cfg->common), columns, N_COLUMNS);
	if (!l)
		return cli_fail(CLI_FAILED, "out of memory");
	snprintf(pair, sizeof(pair), "%u/%u", x.tag.experiment, x.tag.activity);
	put_reading(l, pair, &x);
	cli_list_close(l);
	return CLI_OK;
}

int verb_encode(int argc, char **argv)
{
	struct encode_config cfg = {0};
	struct cli_registry r = {0};
	int rest, code = cli_args(&encode_program, &cfg, argc, argv, &rest);

	if (code >= 0)
		goto out;
	if (argc - rest != 1 && argc - rest != 2) {
		code = cli_usage(&encode_program, "an experiment and an activity are needed");
		goto out;
	}
	code = cli_registry_open(&r, cfg.registry);
	if (!code)
		code = encode(r.registry, &cfg, argc - rest, argv + rest);
out:
	cli_registry_close(&r);
	opt_free(&encode_program, &cfg);
	return code;
}
