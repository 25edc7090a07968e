/* Parameters, routes, and the way from one to the other. */
#include <errno.h>
#include <stdio.h>
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

	if (query_group(&q->group, text, &bad, &bad_len) == 0)
		return 0;
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

static const char *const units[] = {[UNIT_BYTES] = "bytes",
				    [UNIT_IP_BYTES] = "ip_bytes",
				    [UNIT_PACKETS] = "packets",
				    [UNIT_END_BYTES] = "end_bytes",
				    NULL};

static int read_unit(struct question *q, const char *text, struct answer *out)
{
	for (int u = 0; u < UNIT_COUNT; u++) {
		if (!strcmp(units[u], text)) {
			q->unit = u;
			return 0;
		}
	}
	answer_problem(out, 400, "unit", -1, "unit: bytes, ip_bytes, packets or end_bytes");
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

/* One of `names` (NULL-terminated), or a problem that lists them. */
static int read_choice(int *value, const char *parameter, const char *text,
		       const char *const *names, struct answer *out)
{
	char all[256] = "";

	for (int i = 0; names[i]; i++) {
		size_t len = strlen(all);

		if (!strcmp(names[i], text)) {
			*value = i;
			return 0;
		}
		snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
			 *names[i] ? names[i] : "nothing");
	}
	answer_problem(out, 400, parameter, -1, "%s: one of %s", parameter, all);
	return -EINVAL;
}

/* A comma list of names to bits. */
static int read_bits(uint32_t *bits, const char *parameter, const char *text,
		     const char *(*name)(unsigned int bit), unsigned int n, struct answer *out)
{
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, ",");
		unsigned int bit = 0;

		while (bit < n && (strlen(name(bit)) != len || strncmp(name(bit), at, len)))
			bit++;
		if (bit == n) {
			const char *names[32], *near;

			for (bit = 0; bit < n; bit++)
				names[bit] = name(bit);
			near = query_nearest(at, len, names, n);
			answer_problem(out, 400, parameter, at - text,
				       "%s: there is no \"%.*s\"%s%s%s", parameter,
				       (int)(len < 64 ? len : 64), at,
				       near ? "; did you mean \"" : "", near ? near : "",
				       near ? "\"?" : "");
			return -EINVAL;
		}
		*bits |= 1u << bit;
		at += len + (at[len] == ',');
	}
	return 0;
}

static int read_grade(struct question *q, const char *text, struct answer *out)
{
	return read_bits(&q->grades, "grade", text, grade_name, GRADE_COUNT, out);
}

static const char *oddity_name(unsigned int bit)
{
	return claim_oddity_name(bit);
}

static int read_oddity(struct question *q, const char *text, struct answer *out)
{
	return read_bits(&q->oddities, "oddity", text, oddity_name, CLAIM_ODDITIES, out);
}

static const char *const claim_choices[] = {"", "yes", "no", NULL};

static int read_claim(struct question *q, const char *text, struct answer *out)
{
	int which = 0, err = read_choice(&which, "claim", text, claim_choices, out);

	q->has_claim = which == 2 ? -1 : which;
	return err;
}

static const char *const orders[] = {[FLOW_BY_BYTES] = "bytes",
				     [FLOW_BY_RATE] = "rate",
				     [FLOW_BY_NEWEST] = "newest",
				     [FLOW_BY_DURATION] = "duration",
				     NULL};

static int read_order(struct question *q, const char *text, struct answer *out)
{
	int order = 0, err = read_choice(&order, "order", text, orders, out);

	q->order = (enum flow_order)order;
	return err;
}

static const char *const ages[] = {
	[FLOWS_ACTIVE] = "active", [FLOWS_RECENT] = "recent", [FLOWS_ENDED] = "ended", NULL};

static int read_state(struct question *q, const char *text, struct answer *out)
{
	int age = 0, err = read_choice(&age, "state", text, ages, out);

	q->age = (enum flow_age)age;
	return err;
}

static const char *const formats[] = {
	[EXPORT_JSON] = "json", [EXPORT_CSV] = "csv", [EXPORT_NDJSON] = "ndjson", NULL};

static int read_format(struct question *q, const char *text, struct answer *out)
{
	int format = 0, err = read_choice(&format, "format", text, formats, out);

	q->format = (enum export_format)format;
	return err;
}

static const char *const field_choices[] = {"own", "collector", NULL};

static int read_fields(struct question *q, const char *text, struct answer *out)
{
	return read_choice(&q->collector_fields, "fields", text, field_choices, out);
}

static const char *const kinds[] = {"duration", "bytes", NULL};

static int read_kind(struct question *q, const char *text, struct answer *out)
{
	int kind = 0, err = read_choice(&kind, "kind", text, kinds, out);

	q->kind = kind ? HISTOGRAM_BYTES : HISTOGRAM_DURATION_MS;
	return err;
}

static const char *const bin_choices[] = {"no", "yes", NULL};

static int read_bins(struct question *q, const char *text, struct answer *out)
{
	return read_choice(&q->bins, "bins", text, bin_choices, out);
}

static int read_flow_limit(struct question *q, const char *text, struct answer *out)
{
	if (query_number(&q->limit, text, 1, API_FLOWS_MAX) == 0)
		return 0;
	answer_problem(out, 400, "limit", -1, "limit: a number from 1 to %d", API_FLOWS_MAX);
	return -EINVAL;
}

static int read_packet_limit(struct question *q, const char *text, struct answer *out)
{
	if (query_number(&q->limit, text, 1, RECENT_A_SECOND_MAX) == 0)
		return 0;
	answer_problem(out, 400, "limit", -1, "limit: a number from 1 to %d", RECENT_A_SECOND_MAX);
	return -EINVAL;
}

static const char *const recent_kinds[] = {[RECENT_BOTH] = "both",
					   [RECENT_PACKETS] = "packets",
					   [RECENT_FIREFLIES] = "fireflies",
					   NULL};

static int read_recent_kind(struct question *q, const char *text, struct answer *out)
{
	int kind = 0, err = read_choice(&kind, "kind", text, recent_kinds, out);

	q->recent_kind = (enum recent_kind)kind;
	return err;
}

static int read_after(struct question *q, const char *text, struct answer *out)
{
	uint32_t utc_s;

	q->after_utc_s = CLOCK_NEVER;
	if (!*text)
		return 0;
	if (query_number(&utc_s, text, 0, UINT32_MAX) == 0) {
		q->after_utc_s = utc_s;
		return 0;
	}
	answer_problem(out, 400, "after", -1, "after: a second, as `newest` of the answer before");
	return -EINVAL;
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
      "Comma list of experiment, activity, grade, carrier, family, direction, source, src_site, "
      "dst_site, application. Empty: one sum. Sites are not recorded together with carrier, "
      "direction and source; applications, which claims have, with family, experiment and activity "
      "only.");
PARAM(filter, "string", "", NULL, "Filter language, e.g. `experiment=cms and family=6`.");
PARAM(unit, "string", "bytes", units,
      "What is counted. `end_bytes`, of claims only: bytes as the firefly collectors book them, "
      "all at "
      "the END.");
PARAM(limit, "integer", API_LIMIT_DEFAULT, NULL,
      "Series kept, by bytes; the rest is summed into one. 1 to 2000.");
PARAM(value, "string", NULL, NULL,
      "A flow label (`0x30038`), option bytes in hexadecimal, a scitag number (`206`), or a pair "
      "(`3.14`, `cms:Analysis Input`).");

PARAM(grade, "string", "", NULL,
      "Comma list of untagged, unregistered, registered, confirmed, disagree, claimed. Empty: "
      "all.");
PARAM(claim, "string", "", claim_choices, "Only flows with a claim, or without one.");
PARAM(oddity, "string", "", NULL,
      "Comma list of what is odd about a claim (reversed_ends, dead_number, ...): any of these.");
PARAM(order, "string", "bytes", orders, "What comes first.");
PARAM(state, "string", "recent", ages,
      "`active`; `recent`: these, and what ended within a minute, and claims without a flow; "
      "`ended`: "
      "from the database, within `from` and `to`.");
PARAM(format, "string", "json", formats,
      "`csv` (RFC 4180) and `ndjson` (an object a line) have the rows only.");
PARAM(fields, "string", "own", field_choices,
      "`collector`: members named as the firefly collectors name them.");
PARAM(kind, "string", "duration", kinds,
      "Of what: durations of flows, or their bytes, as claimed.");
PARAM(bins, "string", "no", bin_choices, "The counts behind the quantiles, too.");
static const struct api_param param_flow_limit = {
	"limit", "Flows at most. 1 to 10000.", "100", "integer", NULL, read_flow_limit};
PARAM(after, "string", "", NULL,
      "Only what came after this second: `newest` of the answer before. Empty: the newest minute.");
static const struct api_param param_packet_limit = {
	"limit",          "Lines at most, the newest. 1 to 1000.", "200", "integer", NULL,
	read_packet_limit};
static const struct api_param param_recent_kind = {
	"kind", "Packets, fireflies or both.", "both", "string", recent_kinds, read_recent_kind};
static const struct api_param param_tag_group = {
	"group",   "experiment, activity, both, or empty: one row.", "experiment", "string", NULL,
	read_group};

/* --- routes ------------------------------------------------------------------------------ */

#define NO_PARAMS   NULL
#define PARAMS(...) ((const struct api_param *const[]){__VA_ARGS__, NULL})
#define TRAFFIC_PARAMS                                                                        \
	PARAMS(&param_from, &param_to, &param_step, &param_group, &param_filter, &param_unit, \
	       &param_limit)

#define SHAPE_ROW_KEY                                                                         \
	"key:{experiment_id?:i experiment?:s activity_id?:i activity?:s grade?:s carrier?:s " \
	"family?:i direction?:s source?:s src_site?:s dst_site?:s application?:s} "
#define SHAPE_TAG "experiment_id:i experiment:s activity_id:i activity:s "
#define SHAPE_SOURCES                                                                             \
	"sources:[{id:i name:s kind:s unit:s up:b detail:s parent:s? received:i accepted:i "      \
	"rejected:{*:i} dropped:{*:i} bytes:i first_seen:t? last_seen:t? lost?:i agent_drops?:i " \
	"sampling_rate?:i effective_rate?:n if_speed_bps?:i if_bytes_per_s?:n "                   \
	"flow_bytes_per_s?:n}]"

const struct api_route api_routes[] = {
	{"/api/v1/series", "Traffic over time", TYPE_JSON,
	 "{from:t to:t step_s:i group:[s] unit:s "
	 "series:[{" SHAPE_ROW_KEY "rest:b bytes?:[i] ip_bytes?:[i] packets?:[i] end_bytes?:[i] "
	 "error_bytes?:[i] "
	 "samples?:[i] total:i total_error?:i}] gaps:[{from:t to:t reason:s}]}",
	 TRAFFIC_PARAMS, answer_series},
	{"/api/v1/top", "Traffic of a range, largest first", TYPE_JSON,
	 "{from:t to:t group:[s] unit:s rows:[{" SHAPE_ROW_KEY
	 "bytes:i error_bytes?:i ip_bytes?:i packets?:i samples?:i end_bytes?:i starts?:i ends?:i "
	 "share:n rest:b}]}",
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
	 "tagged_share:n tagged_share_corrected:n "
	 "label_flows:{from:t to:t unregistered_flows:i expected_flows_per_pair:n "
	 "tags:[{" SHAPE_TAG "flows:i expected:n significant:b}]}? "
	 "tags_now:[{" SHAPE_TAG "flows_1m:i expected_1m:n significant_1m:b flows_1h:i "
	 "expected_1h:n significant_1h:b}] "
	 "sites:[{site:s bytes:i untagged:i unregistered:i registered:i confirmed:i disagree:i "
	 "claimed:i tagged_share:n}]? "
	 "senders:[{sender:s claims:i joined:i confirmed:i disagree:i claimed:i claimed_bytes:i "
	 "seen_bytes:i}]}",
	 PARAMS(&param_from, &param_to, &param_filter), answer_coverage},
	{"/api/v1/flows", "Flows of the moment, and those that ended", TYPE_JSON,
	 "{now:t matching:i flows:[{src:s src_port:i dst:s dst_port:i protocol:s family:i state:s "
	 "seen:b grade:s why:s evidence:[s] " SHAPE_TAG "carrier:s label:s? direction:s bytes:i "
	 "error_bytes:i packets:i samples:i bytes_per_s:n? first:t? last:t? duration_s:n? "
	 "src_site:s dst_site:s point:s points:i "
	 "back:{" SHAPE_TAG "carrier:s label:s? bytes:i error_bytes:i packets:i samples:i} "
	 "claim:{" SHAPE_TAG "sender:s producer:s provenance:s state:s start:t? end:t? "
	 "bytes_src_to_dst:i? bytes_dst_to_src:i? turned:b rtt_s:n? application:s "
	 "oddities:[s]}?}]}",
	 PARAMS(&param_filter, &param_grade, &param_claim, &param_oddity, &param_order,
		&param_flow_limit, &param_state, &param_from, &param_to, &param_format,
		&param_fields),
	 answer_flows},
	{"/api/v1/packets", "A few of the newest packets and fireflies, decoded: headers only",
	 TYPE_JSON,
	 "{now:t newest:i? packets:[{time:t kind:s source:s family:i protocol:s src:s dst:s "
	 "src_port?:i dst_port?:i " SHAPE_TAG "direction?:s carrier?:s grade?:s label?:s? "
	 "dialect?:s bytes?:i weight?:i tcp_flags?:s notes?:[s] "
	 "state?:s producer?:s sender?:s application?:s}]}",
	 PARAMS(&param_filter, &param_recent_kind, &param_after, &param_packet_limit),
	 answer_packets},
	{"/api/v1/agreement", "Wire tags against claimed ones, and who claims", TYPE_JSON,
	 "{now:t cells:[{wire:{" SHAPE_TAG "} claim:{" SHAPE_TAG "} verdict:s flows:i bytes:i "
	 "flows_1h:i bytes_1h:i}] senders_known:i "
	 "senders:[{sender:s producer:s provenance:s first_heard:t? last_heard:t? fireflies:i "
	 "duplicates:i claims:i joined:i confirmed:i disagree:i claimed:i claimed_bytes:i "
	 "seen_bytes:i clock_offset_s:n? oddities:[{oddity:s hint:s claims:i "
	 "flows:[{src:s src_port:i dst:s dst_port:i protocol:s}]}]}]}",
	 PARAMS(&param_limit), answer_agreement},
	{"/api/v1/sites", "Pairs of sites by experiment", TYPE_JSON,
	 "{from:t to:t bytes:i matching:i pairs:[{src_site:s dst_site:s bytes:i error_bytes:i "
	 "packets:i samples:i experiments:[{experiment_id:i experiment:s bytes:i}]}] "
	 "sites:[{name:s country:s? tier:i? latitude:n? longitude:n? sent_bytes:i "
	 "received_bytes:i}]}",
	 PARAMS(&param_from, &param_to, &param_filter, &param_limit), answer_sites},
	{"/api/v1/durations", "How long flows last, how large they are", TYPE_JSON,
	 "{from:t to:t kind:s unit:s rows:[{" SHAPE_ROW_KEY "flows:i median:n p95:n max:n "
	 "bins?:[{from:n to:n flows:i}]}]}",
	 PARAMS(&param_from, &param_to, &param_kind, &param_tag_group, &param_filter, &param_bins,
		&param_limit),
	 answer_durations},
	{"/api/v1/claims", "What senders claim, over time", TYPE_JSON,
	 "{from:t to:t step_s:i series:[{" SHAPE_ROW_KEY "rest:b bytes:[i] end_bytes:[i] "
	 "starts:[i] ends:[i] total:i total_end_bytes:i}] gaps:[{from:t to:t reason:s}]}",
	 PARAMS(&param_from, &param_to, &param_step, &param_group, &param_filter, &param_limit,
		&param_format),
	 answer_claims},
	{"/api/v1/sources", "Every input and observation point", TYPE_JSON,
	 "{now:t " SHAPE_SOURCES "}", NO_PARAMS, answer_sources},
	{"/api/v1/health", "Whether what is shown is true, and why not", TYPE_JSON,
	 "{now:t status:s reasons:[s] " SHAPE_SOURCES
	 " store:{url:s committed:t? oldest:t? file_bytes:i max_size_bytes:i queued_s:i lost_s:i "
	 "trimmed_rows:i paused:b last_error:s} "
	 "registry:{origin:s modified:s experiments:i pairs:i loaded:t? checked:t? refused:i "
	 "last_error:s} "
	 "join:{flows:i flows_max:i claims:i claims_max:i senders:i hosts:i memory_bytes:i "
	 "memory_max_bytes:i flows_begun:i flows_ended:i flows_evicted:i seen:i seen_local:i "
	 "heard:i "
	 "heard_local:i duplicates:i claims_begun:i claims_joined:i claims_superseded:i "
	 "claims_expired:i claims_evicted:i claims_crowded:i flow_rows_kept:i "
	 "flow_rows_let_go:i}? "
	 "overlaps:[{a:s b:s flows:i flows_a:i flows_b:i}] "
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
	struct question q = {.api = a, .query = query, .now_utc_us = now_utc_us};

	q.registry = registry_keeper_take(a->registry);
	if (api_refuse_unknown(route, query, out) == 0 && read_params(&q, route, query, out) == 0)
		route->answer(&q, out);
	filter_free(q.filter);
	registry_keeper_give(a->registry, q.registry);
}
