/* What senders claim: bytes over time, as they flowed and as the collectors book them; how long
 * flows last and how large they are. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/names.h"

/* --- bytes over time ---------------------------------------------------------------------- */

static json_t *json_key(const struct question *q, const struct store_series *s)
{
	json_t *key = json_object();

	if (!s->is_rest)
		name_key(key, &s->key, q->group, q->api->store, q->registry);
	return key;
}

static json_t *json_array_of(const struct store_series *s, size_t n_points,
			     uint64_t (*pick)(const struct traffic_value *v))
{
	json_t *list = json_array();

	for (size_t i = 0; i < n_points; i++)
		json_array_append_new(list, json_count(pick(&s->points[i])));
	return list;
}

/* Of STORE_TABLE_CLAIMS, see store/store.h. */
static uint64_t spread_bytes(const struct traffic_value *v)
{
	return v->bytes;
}

static uint64_t end_bytes(const struct traffic_value *v)
{
	return v->ip_bytes;
}

static uint64_t starts(const struct traffic_value *v)
{
	return v->packets;
}

static uint64_t ends(const struct traffic_value *v)
{
	return v->samples;
}

static json_t *json_series(const struct question *q, const struct store_result *r,
			   const struct store_series *s)
{
	return json_pack("{s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "key", json_key(q, s), "rest",
			 s->is_rest, "bytes", json_array_of(s, r->n_points, spread_bytes),
			 "end_bytes", json_array_of(s, r->n_points, end_bytes), "starts",
			 json_array_of(s, r->n_points, starts), "ends",
			 json_array_of(s, r->n_points, ends), "total", json_count(s->total.bytes),
			 "total_end_bytes", json_count(s->total.ip_bytes));
}

/* One point of one series, for CSV and objects a line. */
static json_t *json_point(const struct question *q, const struct store_series *s, int64_t utc_s,
			  const struct traffic_value *v)
{
	json_t *o = json_pack("{s:o}", "time", json_time_s(utc_s)), *key = json_key(q, s);

	json_object_update(o, key);
	json_decref(key);
	json_object_set_new(o, "rest", json_boolean(s->is_rest));
	json_object_set_new(o, "bytes", json_count(v->bytes));
	json_object_set_new(o, "end_bytes", json_count(v->ip_bytes));
	json_object_set_new(o, "starts", json_count(v->packets));
	json_object_set_new(o, "ends", json_count(v->samples));
	return o;
}

static void export_points(const struct question *q, const struct store_result *r,
			  struct answer *out)
{
	const struct store_series any = {.is_rest = 0};
	const struct traffic_value none = {0};
	struct export e;

	export_open(&e, q->format, q->format == EXPORT_CSV ? json_point(q, &any, 0, &none) : NULL);
	for (size_t p = 0; p < r->n_points; p++)
		for (size_t i = 0; i < r->n_series; i++)
			export_row(&e, json_point(q, &r->series[i],
						  r->from_utc_s + (int64_t)p * r->step_s,
						  &r->series[i].points[p]));
	export_answer(&e, out);
}

void answer_claims(const struct question *q, struct answer *out)
{
	struct store_result *r;
	json_t *list;
	uint32_t dims = q->group | filter_dims(q->filter);

	for (int d = 0; d < DIM_COUNT; d++) {
		if (!(dims & DIM_BIT(d)) || store_table_knows(STORE_TABLE_CLAIMS, DIM_BIT(d)))
			continue;
		answer_problem(out, 400, q->group & DIM_BIT(d) ? "group" : "filter", -1,
			       "%s is not recorded of claims; experiment, activity, family and "
			       "application are",
			       dim_name((enum dim)d));
		return;
	}
	if (api_ask(q, STORE_TABLE_CLAIMS, 1, q->group, q->limit, &r, out))
		return;
	if (q->format != EXPORT_JSON) {
		export_points(q, r, out);
	} else {
		list = json_array();
		for (size_t i = 0; i < r->n_series; i++)
			json_array_append_new(list, json_series(q, r, &r->series[i]));
		answer_json(out,
			    json_pack("{s:o, s:o, s:o, s:o, s:o}", "from",
				      json_time_s(r->from_utc_s), "to", json_time_s(r->to_utc_s),
				      "step_s", json_count(r->step_s), "series", list, "gaps",
				      api_gaps(r)));
	}
	store_result_free(r);
}

/* --- durations and sizes ------------------------------------------------------------------ */

/* Durations are kept in milliseconds, told in seconds. */
static double scale(const struct question *q)
{
	return q->kind == HISTOGRAM_DURATION_MS ? 1e-3 : 1;
}

static json_t *json_bins(const struct question *q, const struct store_histogram *h)
{
	json_t *list = json_array();

	for (size_t i = 0; i < h->n_bins; i++)
		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:o}", "from",
				  json_number(store_bin_start(h->bins[i].bin) * scale(q)), "to",
				  json_number(store_bin_start(h->bins[i].bin + 1u) * scale(q)),
				  "flows", json_count(h->bins[i].n)));
	return list;
}

static json_t *json_row(const struct question *q, const struct store_histogram *h)
{
	const struct traffic_key key = {.experiment = h->experiment, .activity = h->activity};
	json_t *o = json_pack("{s:o}", "key", json_object());

	name_key(json_object_get(o, "key"), &key, q->group, q->api->store, q->registry);
	json_object_set_new(o, "flows", json_count(h->n));
	json_object_set_new(o, "median", json_number(store_quantile(h, 0.5) * scale(q)));
	json_object_set_new(o, "p95", json_number(store_quantile(h, 0.95) * scale(q)));
	json_object_set_new(o, "max", json_number((double)h->max * scale(q)));
	if (q->bins)
		json_object_set_new(o, "bins", json_bins(q, h));
	return o;
}

void answer_durations(const struct question *q, struct answer *out)
{
	uint32_t dims = q->group | filter_dims(q->filter);
	const uint32_t known = DIM_BIT(DIM_EXPERIMENT) | DIM_BIT(DIM_ACTIVITY);
	int64_t from_utc_s, to_utc_s;
	struct store_histograms *h;
	json_t *rows;
	int err;

	if (dims & ~known) {
		answer_problem(out, 400, q->group & ~known ? "group" : "filter", -1,
			       "durations and sizes are recorded by experiment and activity only");
		return;
	}
	if (api_range(q, &from_utc_s, &to_utc_s, out))
		return;
	err = store_histogram(q->api->store, q->kind, from_utc_s, to_utc_s, q->group, q->filter,
			      &h);
	if (err) {
		api_store_problem(out, err);
		return;
	}
	rows = json_array();
	for (size_t i = 0; i < h->n && i < q->limit; i++)
		json_array_append_new(rows, json_row(q, &h->rows[i]));
	answer_json(out, json_pack("{s:o, s:o, s:s, s:s, s:o}", "from", json_time_s(h->from_utc_s),
				   "to", json_time_s(h->to_utc_s), "kind",
				   q->kind == HISTOGRAM_BYTES ? "bytes" : "duration", "unit",
				   q->kind == HISTOGRAM_BYTES ? "bytes" : "seconds", "rows", rows));
	store_histograms_free(h);
}
