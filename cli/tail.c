/* scitag tail: each second of a running observer, as it comes. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/names.h"
#include "cli/registry.h"
#include "cli/remote.h"
#include "store/filter.h"

struct tail_config {
	struct cli_common common;
	char *registry, *url, *filter;
	int64_t seconds;
};

#define AT(member) offsetof(struct tail_config, member)
static const struct opt options[] = {
	CLI_OPT_URL(struct tail_config),
	{.name = "filter",
	 .letter = 'f',
	 .type = OPT_TEXT,
	 .offset = AT(filter),
	 .arg = "FILTER",
	 .help = "Keep what fits, for instance 'experiment=cms and direction=in'."},
	{.name = "count",
	 .letter = 'c',
	 .type = OPT_INT,
	 .offset = AT(seconds),
	 .max = INT64_MAX,
	 .arg = "N",
	 .help = "Stop after so many seconds of data."},
	CLI_OPT_REGISTRY(struct tail_config),
	CLI_OPT_LISTING,
	CLI_OPT_HELP,
	OPT_END,
};
const struct opt_program tail_program = {
	.name = "scitag tail",
	.synopsis = "[--filter FILTER] [--count N] [--json|--csv]",
	.summary = "Each second of a running observer, as it comes",
	.opts = options,
};

static const struct cli_column columns[] = {
	{"time_utc", NULL},    {"source", NULL},   {"direction", NULL},     {"family", NULL},
	{"carrier", NULL},     {"grade", NULL},    {"experiment_id", NULL}, {"activity_id", NULL},
	{"experiment", NULL},  {"activity", NULL}, {"packets", NULL},       {"bytes", NULL},
	{"error_bytes", NULL}, {"samples", NULL},
};
#define N_COLUMNS (sizeof(columns) / sizeof(columns[0]))

struct follower {
	const struct tail_config *cfg;
	struct filter *filter;
	struct cli_list *list; /* NULL: lines for people */
	int64_t seen;
};

static volatile int stopped;

static void on_signal(int signal_number)
{
	stopped = 1;
}

static const char *text_of(json_t *row, const char *name)
{
	return json_string_value(json_object_get(row, name)) ?: "";
}

static int64_t number_of(json_t *row, const char *name)
{
	return (int64_t)json_number_value(json_object_get(row, name));
}

static int is_wanted(const struct follower *f, json_t *row)
{
	struct traffic_key key = {
		.family = (uint8_t)number_of(row, "family"),
		.experiment = (int32_t)number_of(row, "experiment_id"),
		.activity = (int32_t)number_of(row, "activity_id"),
	};
	int direction = direction_find(text_of(row, "direction"));
	int carrier = carrier_find(text_of(row, "carrier")),
	    grade = grade_find(text_of(row, "grade"));

	if (direction >= 0)
		key.direction = (uint8_t)direction;
	if (carrier >= 0)
		key.carrier = (uint8_t)carrier;
	if (grade >= 0)
		key.grade = (uint8_t)grade;
	return filter_match(f->filter, &key);
}

static void list_row(struct cli_list *l, const char *time, json_t *row)
{
	cli_put_text(l, time);
	for (size_t i = 1; i < N_COLUMNS; i++) {
		json_t *value = json_object_get(row, columns[i].key);

		if (json_is_integer(value))
			cli_put_int(l, json_integer_value(value));
		else if (json_is_real(value))
			cli_put_real(l, json_real_value(value), 0);
		else
			cli_put_text(l, json_string_value(value));
	}
}

static void print_row(const char *time, json_t *row)
{
	char rate[32];
	const char *grade = text_of(row, "grade");
	enum cli_colour colour = !strcmp(grade, "confirmed")    ? CLI_GREEN
				 : !strcmp(grade, "registered") ? CLI_BLUE
				 : !strcmp(grade, "disagree")   ? CLI_RED
								: CLI_DIM;

	printf("%.*s  %9s  %-24s %-8s %s%-12s%s %s / %s  %s\n", 8,
	       strlen(time) >= 19 ? time + 11 : time,
	       cli_si(rate, sizeof(rate), 8.0 * (double)number_of(row, "bytes"), "b/s"),
	       text_of(row, "source"), text_of(row, "direction"), cli_colour(stdout, colour), grade,
	       cli_colour(stdout, CLI_PLAIN), text_of(row, "experiment"), text_of(row, "activity"),
	       text_of(row, "carrier"));
}

static int take_second(void *arg, json_t *data)
{
	struct follower *f = arg;
	const char *time = text_of(data, "time");
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(data, "rows"), i, row)
	{
		if (!is_wanted(f, row))
			continue;
		if (f->list)
			list_row(f->list, time, row);
		else
			print_row(time, row);
	}
	fflush(stdout);
	f->seen++;
	return stopped || ferror(stdout) || (f->cfg->seconds && f->seen >= f->cfg->seconds);
}

#define UNTOLD (DIM_BIT(DIM_SRC_SITE) | DIM_BIT(DIM_DST_SITE) | DIM_BIT(DIM_APPLICATION))

/* What the stream does not tell is refused as such, whatever its name. */
static size_t resolve(void *registry, enum dim dim, const char *text, int experiment, int32_t *out,
		      size_t cap)
{
	if (!(DIM_BIT(dim) & UNTOLD))
		return name_resolve(registry, dim, text, experiment, out, cap);
	*out = 0;
	return 1;
}

static int open_filter(struct filter **out, const char *text, const struct registry *r)
{
	char why[160];
	size_t at = 0;

	if (!text)
		return CLI_OK;
	if (!filter_parse(out, text, resolve, (void *)r, why, sizeof(why), &at))
		return !(filter_dims(*out) & UNTOLD)
			       ? CLI_OK
			       : cli_usage(&tail_program,
					   "--filter: seconds do not tell of sites and "
					   "applications; 'scitag top' and 'scitag query' do");
	cli_usage(&tail_program, "--filter: %s", why);
	fprintf(stderr, "  %s\n  %*s^\n", text, (int)at, "");
	return CLI_USAGE;
}

int verb_tail(int argc, char **argv)
{
	struct tail_config cfg = {0};
	struct follower f = {.cfg = &cfg};
	struct cli_registry r = {0};
	int rest, code = cli_args(&tail_program, &cfg, argc, argv, &rest);

	if (code < 0 && rest < argc)
		code = cli_usage(&tail_program, "takes no argument '%s'", argv[rest]);
	if (code < 0)
		code = cli_registry_open(&r, cfg.registry);
	else
		goto out;
	if (!code)
		code = open_filter(&f.filter, cfg.filter, r.registry);
	if (code)
		goto out;
	if (cli_format(&cfg.common) != CLI_TABLE) /* a stream has no end: objects, not an array */
		f.list = cli_list_open(stdout, cfg.common.csv ? CLI_CSV : CLI_JSON_LINES, columns,
				       N_COLUMNS);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	code = remote_follow(cfg.url, "/api/v1/stream", take_second, &f, &stopped);
	cli_list_close(f.list);
out:
	filter_free(f.filter);
	cli_registry_close(&r);
	opt_free(&tail_program, &cfg);
	return code;
}
