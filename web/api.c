/* Parameters, routes, and the way from one to the other. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/names.h"

/* --- parameters ------------------------------------------------------------------------ */

static const char time_form[] =
	"a time is RFC 3339 (2026-01-10T08:00:00Z), \"now\", or relative to "
	"now as -15m, -1h, -7d";

static int read_from(struct question *q, const char *text, struct answer *out)
{
	if (query_time(&q->from_utc_us, text, q->now_utc_us) == 0)
		return 0;
	answer_problem(out, 400, "from", -1, "from: %s", time_form);
	return -EINVAL;
}

static int read_to(struct question *q, const char *text, struct answer *out)
{
	if (query_time(&q->to_utc_us, text, q->now_utc_us) == 0)
		return 0;
	answer_problem(out, 400, "to", -1, "to: %s", time_form);
	return -EINVAL;
}

static int read_step(struct question *q, const char *text, struct answer *out)
{
	if (!strcasecmp(text, "auto"))
		return 0;
	if (query_step(&q->step_s, text) == 0 && (q->step_s == 1 || q->step_s % 10 == 0))
		return 0;
	answer_problem(out, 400, "step", -1,
		       "step: auto, 1s, 10s, 1m, 10m, 1h, 1d, or a multiple of 10 in seconds");
	return -EINVAL;
}

static int read_group(struct question *q, const char *text, struct answer *out)
{
	const char *bad, *near, *names[DIM_COUNT];
	size_t bad_len;

	if (query_group(&q->group, text, &bad, &bad_len) == 0) {
		for (int d = DIM_SRC_SITE; d < DIM_COUNT; d++) {
			if (!(q->group & 1u << d))
				continue;
			answer_problem(out, 400, "group", -1,
				       "group: %s is reserved, nothing is recorded by it yet",
				       dim_name(d));
			return -EINVAL;
		}
		return 0;
	}
	for (int d = 0; d < DIM_COUNT; d++)
		names[d] = dim_name(d);
	near = query_nearest(bad, bad_len, names, DIM_COUNT);
	answer_problem(out, 400, "group", bad - text, "group: there is no dimension \"%.*s\"%s%s%s",
		       (int)(bad_len < 64 ? bad_len : 64), bad, near ? "; did you mean \"" : "",
		       near ? near : "", near ? "\"?" : "");
	return -EINVAL;
}

static int read_filter(struct question *q, const char *text, struct answer *out)
{
	struct name_resolver names = {q->api->store, q->registry};
	char why[256] = "";
	size_t at = 0;

	if (!text[strspn(text, " ")])
		return 0;
	if (filter_parse(&q->filter, text, name_resolve, &names, why, sizeof(why), &at) == 0)
		return 0;
	answer_problem(out, 400, "filter", (int64_t)at, "filter: %s", why);
	return -EINVAL;
}

static const char *const units[] = {
	[UNIT_BYTES] = "bytes", [UNIT_IP_BYTES] = "ip_bytes", [UNIT_PACKETS] = "packets", NULL};

static int read_unit(struct question *q, const char *text, struct answer *out)
{
	for (int u = 0; u < UNIT_COUNT; u++) {
		if (!strcmp(units[u], text)) {
			q->unit = u;
			return 0;
		}
	}
	answer_problem(out, 400, "unit", -1, "unit: bytes, ip_bytes or packets");
	return -EINVAL;
}

static int read_limit(struct question *q, const char *text, struct answer *out)
{
	if (query_number(&q->limit, text, 1, API_LIMIT_MAX) == 0)
		return 0;
	answer_problem(out, 400, "limit", -1, "limit: a number from 1 to %d", API_LIMIT_MAX);
	return -EINVAL;
}

static int read_value(struct question *q, const char *text, struct answer *out)
{
	q->value = text;
	return 0;
}

#define PARAM(id, type, default_text, choices, text)                             \
	static const struct api_param param_##id = {#id,  text,    default_text, \
						    type, choices, read_##id}

PARAM(from, "string", "-1h", NULL,
      "Start: RFC 3339, `now`, or relative to now (`-15m`, `-1h`, `-7d`); rounded down to the "
      "step.");
PARAM(to, "string", "now", NULL, "End, exclusive, in the same forms; rounded up to the step.");
PARAM(step, "string", "auto", NULL,
      "`1s` (the newest 15 minutes), `10s`, `1m`, `10m`, `1h`, `1d`, or a multiple of 10 in "
      "seconds. `auto`: 1 s when the range lies in the newest 15 minutes, else at most 720 "
      "points. The answer's step_s is larger where only that is kept.");
PARAM(group, "string", "experiment,activity", NULL,
      "Comma list of experiment, activity, grade, carrier, family, direction, source. "
      "Empty: one sum.");
PARAM(filter, "string", "", NULL, "Filter language, e.g. `experiment=cms and family=6`.");
PARAM(unit, "string", "bytes", units, "What is counted.");
PARAM(limit, "integer", API_LIMIT_DEFAULT, NULL,
      "Series kept, by bytes; the rest is summed into one. 1 to 2000.");
PARAM(value, "string", NULL, NULL,
      "A flow label (`0x30038`), option bytes in hexadecimal, a scitag number (`206`), or a pair "
      "(`3.14`, `cms:Analysis Input`).");

/* --- routes ------------------------------------------------------------------------------ */

#define NO_PARAMS   NULL
#define PARAMS(...) ((const struct api_param *const[]){__VA_ARGS__, NULL})
#define TRAFFIC_PARAMS                                                                        \
	PARAMS(&param_from, &param_to, &param_step, &param_group, &param_filter, &param_unit, \
	       &param_limit)

#define SHAPE_ROW_KEY                                                                         \
	"key:{experiment_id?:i experiment?:s activity_id?:i activity?:s grade?:s carrier?:s " \
	"family?:i direction?:s source?:s} "
#define SHAPE_SOURCES                                                                             \
	"sources:[{id:i name:s kind:s unit:s up:b detail:s parent:s? received:i accepted:i "      \
	"rejected:{*:i} dropped:{*:i} bytes:i first_seen:t? last_seen:t? lost?:i agent_drops?:i " \
	"sampling_rate?:i effective_rate?:n if_speed_bps?:i if_bytes_per_s?:n "                   \
	"flow_bytes_per_s?:n}]"

const struct api_route api_routes[] = {
	{"/api/v1/series", "Traffic over time", TYPE_JSON,
	 "{from:t to:t step_s:i group:[s] unit:s "
	 "series:[{" SHAPE_ROW_KEY "rest:b bytes?:[i] ip_bytes?:[i] packets?:[i] error_bytes?:[i] "
	 "samples:[i] total:i total_error?:i}] gaps:[{from:t to:t reason:s}]}",
	 TRAFFIC_PARAMS, answer_series},
	{"/api/v1/top", "Traffic of a range, largest first", TYPE_JSON,
	 "{from:t to:t group:[s] unit:s rows:[{" SHAPE_ROW_KEY
	 "bytes:i error_bytes:i ip_bytes:i packets:i samples:i share:n rest:b}]}",
	 TRAFFIC_PARAMS, answer_top},
	{"/api/v1/coverage", "How much is tagged, how well, and the noise floor", TYPE_JSON,
	 "{from:t to:t bytes:i packets:i "
	 "grades:[{grade:s bytes:i packets:i error_bytes:i share:n}] "
	 "carriers:[{carrier:s bytes:i packets:i share:n}] "
	 "directions:[{direction:s bytes:i packets:i}] "
	 "families:[{family:i bytes:i packets:i}] "
	 "noise:{unregistered_label_bytes:i unregistered_label_packets:i "
	 "unregistered_code_points:i floor_bytes_per_code_point:n floor_packets_per_code_point:n "
	 "registered_label_pairs:i expected_registered_bytes:n share:n} "
	 "tagged_share:n tagged_share_corrected:n}",
	 PARAMS(&param_from, &param_to, &param_filter), answer_coverage},
	{"/api/v1/sources", "Every input and observation point", TYPE_JSON,
	 "{now:t " SHAPE_SOURCES "}", NO_PARAMS, answer_sources},
	{"/api/v1/health", "Whether what is shown is true, and why not", TYPE_JSON,
	 "{now:t status:s reasons:[s] " SHAPE_SOURCES
	 " store:{url:s committed:t? oldest:t? file_bytes:i max_size_bytes:i queued_s:i lost_s:i "
	 "trimmed_rows:i paused:b last_error:s} "
	 "registry:{origin:s modified:s experiments:i pairs:i loaded:t? checked:t? refused:i "
	 "last_error:s} "
	 "process:{version:s started:t uptime_s:n resident_bytes:i cpu_s:n threads:i open_files:i} "
	 "events:[{time:t kind:s text:s}]}",
	 NO_PARAMS, answer_health},
	{"/api/v1/registry", "Names of experiments and activities", TYPE_JSON,
	 "{origin:s modified:s loaded:t? checked:t? pairs:i "
	 "experiments:[{experiment_id:i experiment:s activities:[{activity_id:i activity:s}]}]}",
	 NO_PARAMS, answer_registry},
	{"/api/v1/decode", "Every reading of a tag, most likely first", TYPE_JSON,
	 "{value:s readings:[{as:s experiment_id:i activity_id:i experiment:s activity:s "
	 "registered:b entropy:s? label:s? option:s? scitag:i? note:s}]}",
	 PARAMS(&param_value), answer_decode},
	{"/api/v1/stream", "Live: an event `tick` each second", "text/event-stream", NULL,
	 NO_PARAMS, NULL},
	{"/api/v1/openapi.json", "This description", TYPE_JSON, "{*:*}", NO_PARAMS, answer_openapi},
	{"/metrics", "Prometheus text format", "text/plain; version=0.0.4; charset=utf-8", NULL,
	 NO_PARAMS, answer_metrics},
	{"/healthz", "`ok` when the process lives", TYPE_TEXT, NULL, NO_PARAMS, answer_healthz},
	{"/readyz", "`ok`, or 503 with the reason", TYPE_TEXT, NULL, NO_PARAMS, answer_readyz},
	{0},
};

const struct api_route *api_find(const char *path)
{
	for (const struct api_route *r = api_routes; r->path; r++)
		if (!strcmp(r->path, path))
			return r;
	return NULL;
}

/* --- a question --------------------------------------------------------------------------- */

int api_refuse_unknown(const struct api_route *route, const struct query *query, struct answer *out)
{
	const char *names[QUERY_PARAMS_MAX];
	size_t n = 0;

	for (const struct api_param *const *p = route->params; p && *p; p++)
		names[n++] = (*p)->name;
	for (size_t i = 0; i < query->n_params; i++) {
		const char *name = query->params[i].name, *near;
		size_t known = 0;

		while (known < n && strcmp(names[known], name))
			known++;
		if (known < n)
			continue;
		near = query_nearest(name, strlen(name), names, n);
		answer_problem(out, 400, name, -1, "%s has no parameter \"%.64s\"%s%s%s",
			       route->path, name, near ? "; did you mean \"" : "", near ? near : "",
			       near ? "\"?" : "");
		return -EINVAL;
	}
	return 0;
}

static int read_params(struct question *q, const struct api_route *route, const struct query *query,
		       struct answer *out)
{
	for (const struct api_param *const *p = route->params; p && *p; p++) {
		const char *text = query_value(query, (*p)->name);

		if (!text)
			text = (*p)->default_text;
		if (!text) {
			answer_problem(out, 400, (*p)->name, -1, "%s is missing", (*p)->name);
			return -EINVAL;
		}
		if ((*p)->read(q, text, out))
			return -EINVAL;
	}
	return 0;
}

void api_answer(const struct api *a, const struct api_route *route, const struct query *query,
		int64_t now_utc_us, struct answer *out)
{
	struct question q = {.api = a, .now_utc_us = now_utc_us};

	q.registry = registry_keeper_take(a->registry);
	if (api_refuse_unknown(route, query, out) == 0 && read_params(&q, route, query, out) == 0)
		route->answer(&q, out);
	filter_free(q.filter);
	registry_keeper_give(a->registry, q.registry);
}
