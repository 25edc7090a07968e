/* Traffic over time, and traffic of a range. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/names.h"

#define SIGMA_95 1.96

uint64_t api_error_bytes(const struct traffic_value *v)
{
	return (uint64_t)llround(fmin(SIGMA_95 * sqrt(v->bytes_variance), 9e18));
}

/* Claims have their END's bytes where others have those of IP: store/store.h */
static uint64_t value_in(const struct traffic_value *v, enum unit unit)
{
	return unit == UNIT_PACKETS                              ? v->packets
	       : unit == UNIT_IP_BYTES || unit == UNIT_END_BYTES ? v->ip_bytes
								 : v->bytes;
}

static const char *unit_name(enum unit unit)
{
	return unit == UNIT_PACKETS     ? "packets"
	       : unit == UNIT_IP_BYTES  ? "ip_bytes"
	       : unit == UNIT_END_BYTES ? "end_bytes"
					: "bytes";
}

/* --- asking the store --------------------------------------------------------------------- */

static const uint32_t auto_steps_s[] = {10,   20,   30,   60,   120,   300,   600,
					1200, 1800, 3600, 7200, 10800, 21600, 43200};

static uint32_t auto_step(const struct question *q, int64_t from_utc_s, int64_t to_utc_s)
{
	int64_t range_s = to_utc_s - from_utc_s, days;

	/* a ring that began after `from` would answer less than the database can */
	if (range_s <= API_RING_S && from_utc_s >= q->now_utc_us / US_PER_S - API_RING_S &&
	    from_utc_s * US_PER_S >= q->api->started_utc_us)
		return 1;
	/* rounding outwards adds up to two points */
	for (size_t i = 0; i < sizeof(auto_steps_s) / sizeof(auto_steps_s[0]); i++)
		if (range_s / auto_steps_s[i] < API_POINTS_AUTO - 1)
			return auto_steps_s[i];
	days = range_s / (86400LL * (API_POINTS_AUTO - 1)) + 1;
	return (uint32_t)(days * 86400);
}

static int64_t floor_to(int64_t t, int64_t step)
{
	int64_t rest = t % step;

	return t - rest - (rest < 0 ? step : 0);
}

/* Pairs and claims are kept by minute, hour and day: a step that hours tell is not read from
 * minutes. */
static uint32_t coarse_step(uint32_t step_s, int64_t range_s)
{
	if (step_s < 60)
		return 60;
	if (step_s % 3600 && range_s > API_MINUTES_S)
		return (step_s + 3599) / 3600 * 3600;
	return step_s;
}

int api_table(const struct question *q, uint32_t group, enum store_table *table, struct answer *out)
{
	char why[128];
	int found = store_table_of(group, why, sizeof(why));
	const char *parameter = found < 0 ? "group" : "filter";

	if (found >= 0)
		found = store_table_of(group | filter_dims(q->filter), why, sizeof(why));
	if (found < 0) {
		answer_problem(out, 400, parameter, -1, "%s: %s", parameter, why);
		return -EINVAL;
	}
	if ((q->unit == UNIT_END_BYTES) != (found == STORE_TABLE_CLAIMS) && q->unit != UNIT_BYTES) {
		answer_problem(
			out, 400, "unit", -1,
			found == STORE_TABLE_CLAIMS
				? "unit: of claims bytes and end_bytes are recorded"
				: "unit: end_bytes are of claims; group by application, or filter "
				  "by it");
		return -EINVAL;
	}
	*table = (enum store_table)found;
	return 0;
}

int api_range(const struct question *q, int64_t *from_utc_s, int64_t *to_utc_s, struct answer *out)
{
	int64_t from = floor_to(q->from_utc_us, US_PER_S) / US_PER_S;
	int64_t to = floor_to(q->to_utc_us + US_PER_S - 1, US_PER_S) / US_PER_S;

	if (from >= to) {
		answer_problem(out, 400, "from", -1, "from must be before to");
		return -EINVAL;
	}
	*from_utc_s = from;
	*to_utc_s = to;
	return 0;
}

void api_store_problem(struct answer *out, int err)
{
	if (err == -EBUSY)
		answer_problem(out, 503, NULL, -1, "too many questions at once; ask again");
	else if (err == -EINVAL || err == -E2BIG)
		answer_problem(out, 400, "step", -1,
			       "this step and range cannot be answered together");
	else
		answer_problem(out, 503, NULL, -1, "the database does not answer: %s",
			       strerror(-err));
}

int api_ask(const struct question *q, enum store_table table, int points, uint32_t group,
	    uint32_t limit, struct store_result **result, struct answer *out)
{
	struct store_query sq = {
		.group = group, .filter = q->filter, .table = table, .limit = limit};
	uint32_t step_s = q->step_s;
	int err = api_range(q, &sq.from_utc_s, &sq.to_utc_s, out);

	if (err)
		return err;
	if (!step_s) {
		step_s = auto_step(q, sq.from_utc_s, sq.to_utc_s);
		if (table != STORE_TABLE_TRAFFIC)
			step_s = coarse_step(step_s, sq.to_utc_s - sq.from_utc_s);
	}
	sq.from_utc_s = floor_to(sq.from_utc_s, step_s);
	sq.to_utc_s = floor_to(sq.to_utc_s + step_s - 1, step_s);
	if (points && (sq.to_utc_s - sq.from_utc_s) / step_s > API_POINTS_MAX) {
		answer_problem(out, 400, "step", -1,
			       "step=%us gives more than %d points over this range", step_s,
			       API_POINTS_MAX);
		return -EINVAL;
	}
	/* the ring has what the database has yet to get; it is asked second by second only */
	sq.step_s = points || step_s == 1 ? step_s : 0;
	err = store_query(q->api->store, &sq, result);
	if (err)
		api_store_problem(out, err);
	return err;
}

/* --- series --------------------------------------------------------------------------------- */

static json_t *json_group(uint32_t group)
{
	json_t *names = json_array();

	for (int d = 0; d < DIM_COUNT; d++)
		if (group & 1u << d)
			json_array_append_new(names, json_string(dim_name(d)));
	return names;
}

static json_t *json_key(const struct question *q, const struct store_series *s)
{
	json_t *key = json_object();

	if (!s->is_rest)
		name_key(key, &s->key, q->group, q->api->store, q->registry);
	return key;
}

static uint64_t error_of(const struct traffic_value *v, enum unit unit)
{
	return api_error_bytes(v);
}

static uint64_t samples_of(const struct traffic_value *v, enum unit unit)
{
	return v->samples;
}

static void put_points(struct text *t, const char *name, const struct store_series *s,
		       size_t n_points, enum unit unit,
		       uint64_t (*pick)(const struct traffic_value *v, enum unit unit))
{
	text_put(t, ",\"");
	text_put(t, name);
	text_put(t, "\":[");
	for (size_t i = 0; i < n_points; i++) {
		if (i)
			text_put(t, ",");
		text_count(t, pick(&s->points[i], unit));
	}
	text_put(t, "]");
}

/* What is claimed was not sampled. */
static void put_series(struct text *t, const struct question *q, enum store_table table,
		       const struct store_series *s, size_t n_points)
{
	int sampled = table != STORE_TABLE_CLAIMS, has_error = sampled && q->unit != UNIT_PACKETS;

	text_put(t, "{\"key\":");
	text_json(t, json_key(q, s));
	text_put(t, s->is_rest ? ",\"rest\":true" : ",\"rest\":false");
	put_points(t, unit_name(q->unit), s, n_points, q->unit, value_in);
	if (has_error)
		put_points(t, "error_bytes", s, n_points, q->unit, error_of);
	if (sampled)
		put_points(t, "samples", s, n_points, q->unit, samples_of);
	text_put(t, ",\"total\":");
	text_count(t, value_in(&s->total, q->unit));
	if (has_error) {
		text_put(t, ",\"total_error\":");
		text_count(t, api_error_bytes(&s->total));
	}
	text_put(t, "}");
}

json_t *api_gaps(const struct store_result *r)
{
	json_t *gaps = json_array();

	for (size_t i = 0; i < r->n_gaps; i++)
		json_array_append_new(gaps, json_pack("{s:o, s:o, s:o}", "from",
						      json_time_s(r->gaps[i].from_utc_s), "to",
						      json_time_s(r->gaps[i].to_utc_s), "reason",
						      json_words(r->gaps[i].reason)));
	return gaps;
}

void answer_series(const struct question *q, struct answer *out)
{
	enum store_table table;
	struct store_result *r;
	struct text t = {0};

	if (api_table(q, q->group, &table, out) ||
	    api_ask(q, table, 1, q->group, q->limit, &r, out))
		return;
	text_put(&t, "{\"from\":");
	text_json(&t, json_time_s(r->from_utc_s));
	text_put(&t, ",\"to\":");
	text_json(&t, json_time_s(r->to_utc_s));
	text_put(&t, ",\"step_s\":");
	text_count(&t, r->step_s);
	text_put(&t, ",\"group\":");
	text_json(&t, json_group(q->group));
	text_put(&t, ",\"unit\":\"");
	text_put(&t, unit_name(q->unit));
	text_put(&t, "\",\"series\":[");
	for (size_t i = 0; i < r->n_series; i++) {
		if (i)
			text_put(&t, ",");
		put_series(&t, q, table, &r->series[i], r->n_points);
	}
	text_put(&t, "],\"gaps\":");
	text_json(&t, api_gaps(r));
	text_put(&t, "}");
	answer_text(out, 200, TYPE_JSON, text_take(&t));
	store_result_free(r);
}

/* --- top ------------------------------------------------------------------------------------- */

struct ranked {
	uint64_t value;
	const struct store_series *series;
};

static int by_value(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->series->is_rest != y->series->is_rest)
		return x->series->is_rest ? 1 : -1;
	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	return x->series < y->series ? -1 : 1; /* as the store had them */
}

static json_t *top_row(const struct question *q, const struct store_series *s, json_t *share)
{
	const struct traffic_value *v = &s->total;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "key", json_key(q, s), "bytes",
			 json_count(v->bytes), "error_bytes", json_count(api_error_bytes(v)),
			 "ip_bytes", json_count(v->ip_bytes), "packets", json_count(v->packets),
			 "samples", json_count(v->samples), "share", share, "rest", s->is_rest);
}

static json_t *claimed_row(const struct question *q, const struct store_series *s, json_t *share)
{
	const struct traffic_value *v = &s->total;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "key", json_key(q, s), "bytes",
			 json_count(v->bytes), "end_bytes", json_count(v->ip_bytes), "starts",
			 json_count(v->packets), "ends", json_count(v->samples), "share", share,
			 "rest", s->is_rest);
}

static json_t *top_rows(const struct question *q, enum store_table table,
			const struct store_result *r)
{
	struct ranked *ranked = calloc(r->n_series + 1, sizeof(*ranked));
	json_t *rows = json_array();
	uint64_t sum = 0;

	for (size_t i = 0; ranked && i < r->n_series; i++) {
		ranked[i].series = &r->series[i];
		ranked[i].value = value_in(&r->series[i].total, q->unit);
		sum += ranked[i].value;
	}
	if (!ranked) {
		json_decref(rows);
		return NULL;
	}
	qsort(ranked, r->n_series, sizeof(*ranked), by_value);
	for (size_t i = 0; i < r->n_series; i++) {
		const struct store_series *s = ranked[i].series;

		json_array_append_new(rows,
				      table == STORE_TABLE_CLAIMS
					      ? claimed_row(q, s, json_share(ranked[i].value, sum))
					      : top_row(q, s, json_share(ranked[i].value, sum)));
	}
	free(ranked);
	return rows;
}

void answer_top(const struct question *q, struct answer *out)
{
	enum store_table table;
	struct store_result *r;

	if (api_table(q, q->group, &table, out) ||
	    api_ask(q, table, 0, q->group, q->limit, &r, out))
		return;
	answer_json(out, json_pack("{s:o, s:o, s:o, s:s, s:o}", "from", json_time_s(r->from_utc_s),
				   "to", json_time_s(r->to_utc_s), "group", json_group(q->group),
				   "unit", unit_name(q->unit), "rows", top_rows(q, table, r)));
	store_result_free(r);
}
