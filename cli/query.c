/* scitag query: what an observer knows, over time and as lists; scitag top: the largest flows, or
 * totals, live. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/lists.h"
#include "cli/remote.h"

#define SAMPLES_FEW 10 /* below, an estimate is no more than a hint */

struct query_config {
	struct cli_common common;
	char *url, *from, *to, *step, *group, *filter, *unit, *grade, *oddity;
	int64_t limit;
	int by, claim, state, kind;
	int once;
	uint64_t interval_s;
};

#define AT(member) offsetof(struct query_config, member)
/* clang-format off */
#define ASK_OPTIONS(from_default, group_help, limit_default) \
	CLI_OPT_URL(struct query_config), \
	{.name = "from", .type = OPT_TEXT, .offset = AT(from), .arg = "TIME", \
	 .default_text = from_default, .help = "Since then: RFC 3339, or relative like -15m, -7d."}, \
	{.name = "to", .type = OPT_TEXT, .offset = AT(to), .arg = "TIME", .default_text = "now", \
	 .help = "Until then."}, \
	{.name = "group", .letter = 'b', .type = OPT_TEXT, .offset = AT(group), .arg = "DIMENSIONS", \
	 .help = group_help " experiment, activity, grade, carrier, family, direction, source, " \
			    "src_site, dst_site, application."}, \
	{.name = "filter", .letter = 'f', .type = OPT_TEXT, .offset = AT(filter), .arg = "FILTER", \
	 .help = "Keep what fits, for instance 'experiment=cms and not carrier=label'."}, \
	{.name = "unit", .type = OPT_TEXT, .offset = AT(unit), .arg = "UNIT", \
	 .default_text = "bytes", .validate = check_unit, \
	 .help = "bytes, ip_bytes or packets; of claims end_bytes, as collectors book them."}, \
	{.name = "limit", .letter = 'n', .type = OPT_INT, .offset = AT(limit), .min = 1, .max = 2000, \
	 .arg = "N", .default_text = limit_default, .help = "So many, the largest; the rest as one."}, \
	{.name = "by", .type = OPT_CHOICE, .offset = AT(by), .arg = "ORDER", .choices = orders, \
	 .default_text = "rate", .help = "Order of flows: bytes, rate, newest or duration."}, \
	{.name = "grade", .type = OPT_TEXT, .offset = AT(grade), .arg = "GRADES", \
	 .help = "Flows of these grades only: confirmed,disagree."}, \
	{.name = "claim", .type = OPT_CHOICE, .offset = AT(claim), .arg = "any|yes|no", \
	 .choices = claims, .default_text = "any", .help = "Flows only with a claim, or without."}, \
	{.name = "oddity", .type = OPT_TEXT, .offset = AT(oddity), .arg = "NAMES", \
	 .help = "Flows only whose claim is odd in one of these ways: reversed_ends,dead_number."}
/* clang-format on */

static const char *const orders[] = {"bytes", "rate", "newest", "duration", NULL};
static const char *const claims[] = {"any", "yes", "no", NULL};
static const char *const states[] = {"active", "recent", "ended", NULL};
static const char *const kinds[] = {"duration", "bytes", NULL};

static const char *check_unit(const char *text)
{
	return strcmp(text, "bytes") && strcmp(text, "ip_bytes") && strcmp(text, "packets") &&
			       strcmp(text, "end_bytes")
		       ? "expected bytes, ip_bytes, packets or end_bytes"
		       : NULL;
}

static const struct opt query_options[] = {
	ASK_OPTIONS("-1h", "By these; without it by experiment and activity:", "20"),
	{.name = "step",
	 .type = OPT_TEXT,
	 .offset = AT(step),
	 .arg = "TIME",
	 .default_text = "auto",
	 .help = "Width of a point: 1s, 10s, 1m, 10m, 1h, 1d, or auto."},
	{.name = "state",
	 .type = OPT_CHOICE,
	 .offset = AT(state),
	 .arg = "STATE",
	 .choices = states,
	 .default_text = "recent",
	 .help = "Which flows: active, recent (a minute longer), or ended (from --from to --to)."},
	{.name = "kind",
	 .type = OPT_CHOICE,
	 .offset = AT(kind),
	 .arg = "KIND",
	 .choices = kinds,
	 .default_text = "duration",
	 .help = "With durations: how long flows last (duration), or how large they are (bytes)."},
	CLI_OPT_LISTING,
	CLI_OPT_HELP,
	OPT_END,
};
const struct opt_program query_program = {
	.name = "scitag query",
	.synopsis =
		"[series|flows|agreement|senders|sites|coverage|durations|claims] [--from TIME] "
		"[--to TIME] [--filter FILTER]",
	.summary = "What a running observer knows: traffic over time, flows, sites, claims",
	.opts = query_options,
};

static const struct opt top_options[] = {
	ASK_OPTIONS("-1m", "Totals by these instead of flows:", "20"),
	{.name = "once",
	 .letter = '1',
	 .type = OPT_VERB,
	 .offset = AT(once),
	 .help = "Print once instead of following; so it is without a terminal."},
	{.name = "interval",
	 .type = OPT_DURATION,
	 .offset = AT(interval_s),
	 .min = 1,
	 .arg = "TIME",
	 .default_text = "2s",
	 .help = "Time between two pictures."},
	CLI_OPT_LISTING,
	CLI_OPT_HELP,
	OPT_END,
};
const struct opt_program top_program = {
	.name = "scitag top",
	.synopsis = "[--by ORDER] [--filter FILTER] [--once] | --group DIMENSIONS [--from TIME]",
	.summary = "The largest flows on a running observer, or totals by dimension, live",
	.opts = top_options,
};

static volatile int stopped;

static void on_signal(int signal_number)
{
	stopped = 1;
}

/* --- columns of the dimensions ------------------------------------------------------------ */

/* Columns for what the answer is grouped by, at columns[n]; returns the new n. */
static size_t key_columns(struct cli_column *columns, size_t n, json_t *group)
{
	const char *dim;
	json_t *value;
	size_t i;

	json_array_foreach(group, i, value)
	{
		dim = json_string_value(value);
		if (!dim || n + 8 > CLI_COLUMNS_MAX)
			continue;
		if (!strcmp(dim, "experiment"))
			columns[n++] = (struct cli_column){"experiment_id", NULL};
		if (!strcmp(dim, "activity"))
			columns[n++] = (struct cli_column){"activity_id", NULL};
		columns[n++] = (struct cli_column){dim, dim};
	}
	return n;
}

static void put_json(struct cli_list *l, json_t *value)
{
	if (json_is_integer(value))
		cli_put_int(l, json_integer_value(value));
	else
		cli_put_text(l, json_string_value(value));
}

static void put_key(struct cli_list *l, const struct cli_column *columns, size_t first, size_t end,
		    json_t *key, int is_rest)
{
	int said = 0;

	for (size_t i = first; i < end; i++) {
		json_t *value = json_object_get(key, columns[i].key);

		if (!value && is_rest && columns[i].title && !said++)
			cli_put_text(l, "(rest)");
		else
			put_json(l, value);
	}
}

static double number_of(json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static int64_t time_of(json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name)) ?: "";
	int64_t us;

	return clock_parse_utc(&us, text, strlen(text)) ? CLOCK_NEVER : us;
}

#define PARAMETERS_MAX 12
#define CLAIM_DIMS     "experiment,activity,application"

static size_t ask(struct remote_parameter out[PARAMETERS_MAX], const struct query_config *cfg,
		  char limit[24])
{
	snprintf(limit, 24, "%lld", (long long)cfg->limit);
	out[0] = (struct remote_parameter){"from", cfg->from};
	out[1] = (struct remote_parameter){"to", cfg->to};
	out[2] = (struct remote_parameter){"group", cfg->group};
	out[3] = (struct remote_parameter){"filter", cfg->filter};
	out[4] = (struct remote_parameter){"unit", cfg->unit};
	out[5] = (struct remote_parameter){"limit", limit};
	out[6] = (struct remote_parameter){"step", cfg->step};
	return 7;
}

/* --- top ---------------------------------------------------------------------------------- */

static int list_top(const struct query_config *cfg, json_t *answer)
{
	double seconds = (double)(time_of(answer, "to") - time_of(answer, "from")) / US_PER_S;
	int in_packets = !strcmp(cfg->unit, "packets");
	struct cli_column columns[CLI_COLUMNS_MAX];
	size_t n_keys = key_columns(columns, 0, json_object_get(answer, "group"));
	size_t n = n_keys, i;
	struct cli_list *l;
	char text[32];
	json_t *row;

	columns[n++] = (struct cli_column){NULL, "rate"};
	columns[n++] = (struct cli_column){"share", "share"};
	columns[n++] = (struct cli_column){cfg->unit, cfg->unit};
	columns[n++] = (struct cli_column){"error_bytes", in_packets ? NULL : "95 %"};
	columns[n++] = (struct cli_column){"samples", "samples"};
	l = cli_list_open(stdout, cli_format(&cfg->common), columns, n);
	if (!l)
		return cli_fail(CLI_FAILED, "out of memory");
	json_array_foreach(json_object_get(answer, "rows"), i, row)
	{
		double value = number_of(row, cfg->unit), error = number_of(row, "error_bytes");

		put_key(l, columns, 0, n_keys, json_object_get(row, "key"),
			json_is_true(json_object_get(row, "rest")));
		cli_put_shown(l, 0,
			      seconds > 0 ? cli_si(text, sizeof(text),
						   value * (in_packets ? 1 : 8) / seconds,
						   in_packets ? "p/s" : "b/s")
					  : "");
		snprintf(text, sizeof(text), "%.1f %%", 100 * number_of(row, "share"));
		cli_put_shown(l, number_of(row, "share"), text);
		cli_put_shown(l, value, cli_si(text, sizeof(text), value, in_packets ? "p" : "B"));
		if (!json_object_get(row, "error_bytes"))
			cli_put_none(l);
		else if (error > 0 && number_of(row, "samples") < SAMPLES_FEW)
			cli_put_shown(l, error, "too few");
		else if (error > 0 && value > 0) {
			snprintf(text, sizeof(text), "+-%.1f %%", 100 * error / value);
			cli_put_shown(l, error, text);
		} else {
			cli_put_shown(l, error, "exact");
		}
		put_json(l, json_object_get(row, "samples"));
	}
	cli_list_close(l);
	return CLI_OK;
}

/* What the API's path takes of the configuration. */
static size_t ask_list(struct remote_parameter out[PARAMETERS_MAX], const struct query_config *cfg,
		       const struct list_view *view, char limit[24])
{
	int flows = !strcmp(view->name, "flows"), durations = !strcmp(view->name, "durations");
	int ranged = flows ? cfg->state == 2 : strcmp(view->path, "/api/v1/agreement") != 0;
	int counted = strcmp(view->name, "coverage") != 0;
	size_t n = 0;

	snprintf(limit, 24, "%lld", (long long)cfg->limit);
	if (ranged) {
		out[n++] = (struct remote_parameter){"from", cfg->from};
		out[n++] = (struct remote_parameter){"to", cfg->to};
	}
	if (flows || ranged)
		out[n++] = (struct remote_parameter){"filter", cfg->filter};
	if (counted)
		out[n++] = (struct remote_parameter){"limit", limit};
	if (durations || !strcmp(view->name, "claims"))
		out[n++] = (struct remote_parameter){"group", cfg->group || durations ? cfg->group
										      : CLAIM_DIMS};
	if (durations)
		out[n++] = (struct remote_parameter){"kind", kinds[cfg->kind]};
	if (flows) {
		out[n++] = (struct remote_parameter){"order", orders[cfg->by]};
		out[n++] = (struct remote_parameter){"state", states[cfg->state]};
		out[n++] = (struct remote_parameter){"grade", cfg->grade};
		out[n++] = (struct remote_parameter){"claim", cfg->claim ? claims[cfg->claim] : ""};
		out[n++] = (struct remote_parameter){"oddity", cfg->oddity};
	}
	return n;
}

static int show_list(const struct query_config *cfg, const struct list_view *view)
{
	struct remote_parameter parameters[PARAMETERS_MAX];
	char limit[24];
	json_t *answer;
	int code = remote_get(&answer, cfg->url, view->path, parameters,
			      ask_list(parameters, cfg, view, limit));

	if (code)
		return code;
	view->show(answer, &cfg->common);
	json_decref(answer);
	return CLI_OK;
}

static int show_totals(const struct query_config *cfg)
{
	struct remote_parameter parameters[PARAMETERS_MAX];
	char limit[24];
	json_t *answer;
	int code = remote_get(&answer, cfg->url, "/api/v1/top", parameters,
			      ask(parameters, cfg, limit));

	if (code)
		return code;
	code = list_top(cfg, answer);
	json_decref(answer);
	return code;
}

int verb_top(int argc, char **argv)
{
	struct query_config cfg = {0};
	int rest, code = cli_args(&top_program, &cfg, argc, argv, &rest);
	char time[32];
	int live;

	if (code < 0 && rest < argc)
		code = cli_usage(&top_program, "takes no argument '%s'", argv[rest]);
	if (code >= 0)
		goto out;
	live = isatty(STDOUT_FILENO) && !cfg.once && cli_format(&cfg.common) == CLI_TABLE;
	signal(SIGINT, on_signal);
	do {
		if (live) /* no wrapping; home, and wipe what is below */
			printf("\033[?7l\033[H\033[J%s%s  %s%s\n", cli_colour(stdout, CLI_DIM),
			       cfg.url, clock_format_utc(time, sizeof(time), clock_utc_us(), 0),
			       cli_colour(stdout, CLI_PLAIN));
		code = cfg.group ? show_totals(&cfg) : show_list(&cfg, list_view_find("flows"));
		if (live)
			fputs("\033[?7h", stdout);
		fflush(stdout);
		if (live && !stopped && !code)
			sleep((unsigned int)cfg.interval_s);
	} while (live && !stopped && !code);
out:
	opt_free(&top_program, &cfg);
	return code;
}

/* --- query -------------------------------------------------------------------------------- */

/* Does the whole point lie in a gap? */
static int in_gap(json_t *gaps, int64_t utc_us, int64_t step_us)
{
	json_t *gap;
	size_t i;

	json_array_foreach(gaps, i, gap)
	{
		if (utc_us >= time_of(gap, "from") && utc_us + step_us <= time_of(gap, "to"))
			return 1;
	}
	return 0;
}

static int list_series(const struct query_config *cfg, json_t *answer)
{
	int64_t from_us = time_of(answer, "from");
	int64_t step_us = (int64_t)(number_of(answer, "step_s") * US_PER_S);
	json_t *series = json_object_get(answer, "series"), *one;
	json_t *gaps = json_object_get(answer, "gaps");
	int in_packets = !strcmp(cfg->unit, "packets");
	struct cli_column columns[CLI_COLUMNS_MAX] = {{"time_utc", "time"}};
	size_t n_keys = key_columns(columns, 1, json_object_get(answer, "group"));
	size_t n = n_keys, n_points, i;
	struct cli_list *l;
	char text[32];

	columns[n++] = (struct cli_column){cfg->unit, cfg->unit};
	columns[n++] = (struct cli_column){"error_bytes", in_packets ? NULL : "+-95 %"};
	columns[n++] = (struct cli_column){"samples", "samples"};
	l = cli_list_open(stdout, cli_format(&cfg->common), columns, n);
	if (!l || from_us == CLOCK_NEVER || step_us <= 0) {
		cli_list_close(l);
		return cli_fail(CLI_FAILED, "the answer was not understood");
	}
	n_points = json_array_size(json_object_get(json_array_get(series, 0), cfg->unit));
	for (size_t p = 0; p < n_points; p++) {
		int64_t utc_us = from_us + (int64_t)p * step_us;

		if (in_gap(gaps, utc_us, step_us)) /* its zeros mean nothing */
			continue;
		json_array_foreach(series, i, one)
		{
			json_t *errors = json_object_get(one, "error_bytes");
			double value = json_number_value(
				json_array_get(json_object_get(one, cfg->unit), p));
			double error = json_number_value(json_array_get(errors, p));

			cli_put_text(l, clock_format_utc(text, sizeof(text), utc_us, 0));
			put_key(l, columns, 1, n_keys, json_object_get(one, "key"),
				json_is_true(json_object_get(one, "rest")));
			cli_put_shown(l, value,
				      cli_si(text, sizeof(text), value, in_packets ? "p" : "B"));
			if (errors)
				cli_put_shown(l, error, cli_si(text, sizeof(text), error, "B"));
			else
				cli_put_none(l);
			put_json(l, json_array_get(json_object_get(one, "samples"), p));
		}
	}
	cli_list_close(l);
	json_array_foreach(gaps, i, one)
	{
		fprintf(stderr, "gap: %s to %s: %s\n",
			json_string_value(json_object_get(one, "from")) ?: "?",
			json_string_value(json_object_get(one, "to")) ?: "?",
			json_string_value(json_object_get(one, "reason")) ?: "unknown");
	}
	return json_array_size(gaps) ? CLI_INCOMPLETE : CLI_OK;
}

static int show_series(const struct query_config *cfg)
{
	struct remote_parameter parameters[PARAMETERS_MAX];
	char limit[24];
	json_t *answer;
	int code = remote_get(&answer, cfg->url, "/api/v1/series", parameters,
			      ask(parameters, cfg, limit));

	if (code)
		return code;
	code = list_series(cfg, answer);
	json_decref(answer);
	return code;
}

static int no_such_list(const char *name)
{
	const char *names[16], *near;
	size_t n = 0;

	names[n++] = "series";
	for (const struct list_view *v = list_views; v->name; v++)
		names[n++] = v->name;
	near = opt_nearest(name, names, n);
	return cli_usage(&query_program, "there is no '%s'%s%s%s", name,
			 near ? ", did you mean '" : "", near ?: "", near ? "'?" : "");
}

int verb_query(int argc, char **argv)
{
	struct query_config cfg = {0};
	int rest, code = cli_args(&query_program, &cfg, argc, argv, &rest);
	const struct list_view *view = NULL;

	if (code < 0 && rest < argc) {
		view = list_view_find(argv[rest]);
		if (!view && strcmp(argv[rest], "series"))
			code = no_such_list(argv[rest]);
		else if (rest + 1 < argc)
			code = cli_usage(&query_program, "one at a time: '%s' is too many",
					 argv[rest + 1]);
	}
	if (code < 0)
		code = view ? show_list(&cfg, view) : show_series(&cfg);
	opt_free(&query_program, &cfg);
	return code;
}
