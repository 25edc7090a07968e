/* Traffic: series, top, coverage, and the rows of a live second. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/names.h"

#define SIGMA_95 1.96

static uint64_t bytes_error(const struct traffic_value *v)
{
	return (uint64_t)llround(fmin(SIGMA_95 * sqrt(v->bytes_variance), 9e18));
}

static json_t *json_error(const struct traffic_value *v)
{
	return json_count(bytes_error(v));
}

static uint64_t value_in(const struct traffic_value *v, enum unit unit)
{
	return unit == UNIT_PACKETS ? v->packets : unit == UNIT_IP_BYTES ? v->ip_bytes : v->bytes;
}

static const char *unit_name(enum unit unit)
{
	return unit == UNIT_PACKETS ? "packets" : unit == UNIT_IP_BYTES ? "ip_bytes" : "bytes";
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
	for (size_t i = 0; i < sizeof(auto_steps_s) / sizeof(auto_steps_s[0]); i++)
		if (range_s / auto_steps_s[i] <
		    API_POINTS_AUTO - 1) /* rounding outwards adds two */
			return auto_steps_s[i];
	days = range_s / (86400LL * (API_POINTS_AUTO - 1)) + 1;
	return (uint32_t)(days * 86400);
}

static int64_t floor_to(int64_t t, int64_t step)
{
	int64_t rest = t % step;

	return t - rest - (rest < 0 ? step : 0);
}

/* `points`: a series is wanted; else one total over the same range. 0, or a problem in *out. */
static int ask(const struct question *q, int points, uint32_t group, uint32_t limit,
	       struct store_result **result, struct answer *out)
{
	struct store_query sq = {.group = group, .filter = q->filter, .limit = limit};
	uint32_t step_s = q->step_s;
	int err;

	sq.from_utc_s = floor_to(q->from_utc_us, US_PER_S) / US_PER_S;
	sq.to_utc_s = floor_to(q->to_utc_us + US_PER_S - 1, US_PER_S) / US_PER_S;
	if (sq.from_utc_s >= sq.to_utc_s) {
		answer_problem(out, 400, "from", -1, "from must be before to");
		return -EINVAL;
	}
	if (!step_s)
		step_s = auto_step(q, sq.from_utc_s, sq.to_utc_s);
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
	if (err == -EBUSY)
		answer_problem(out, 503, NULL, -1, "too many questions at once; ask again");
	else if (err == -EINVAL || err == -E2BIG)
		answer_problem(out, 400, "step", -1,
			       "this step and range cannot be answered together");
	else if (err)
		answer_problem(out, 503, NULL, -1, "the database does not answer: %s",
			       strerror(-err));
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
	return bytes_error(v);
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

static void put_series(struct text *t, const struct question *q, const struct store_series *s,
		       size_t n_points)
{
	text_put(t, "{\"key\":");
	text_json(t, json_key(q, s));
	text_put(t, s->is_rest ? ",\"rest\":true" : ",\"rest\":false");
	put_points(t, unit_name(q->unit), s, n_points, q->unit, value_in);
	if (q->unit != UNIT_PACKETS)
		put_points(t, "error_bytes", s, n_points, q->unit, error_of);
	put_points(t, "samples", s, n_points, q->unit, samples_of);
	text_put(t, ",\"total\":");
	text_count(t, value_in(&s->total, q->unit));
	if (q->unit != UNIT_PACKETS) {
		text_put(t, ",\"total_error\":");
		text_count(t, bytes_error(&s->total));
	}
	text_put(t, "}");
}

static json_t *json_gaps(const struct store_result *r)
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
	struct store_result *r;
	struct text t = {0};

	if (ask(q, 1, q->group, q->limit, &r, out))
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
		put_series(&t, q, &r->series[i], r->n_points);
	}
	text_put(&t, "],\"gaps\":");
	text_json(&t, json_gaps(r));
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

static json_t *top_rows(const struct question *q, const struct store_result *r)
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
		const struct traffic_value *v = &s->total;

		json_array_append_new(
			rows,
			json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "key", json_key(q, s),
				  "bytes", json_count(v->bytes), "error_bytes", json_error(v),
				  "ip_bytes", json_count(v->ip_bytes), "packets",
				  json_count(v->packets), "samples", json_count(v->samples),
				  "share", json_share(ranked[i].value, sum), "rest", s->is_rest));
	}
	free(ranked);
	return rows;
}

void answer_top(const struct question *q, struct answer *out)
{
	struct store_result *r;

	if (ask(q, 0, q->group, q->limit, &r, out))
		return;
	answer_json(out, json_pack("{s:o, s:o, s:o, s:s, s:o}", "from", json_time_s(r->from_utc_s),
				   "to", json_time_s(r->to_utc_s), "group", json_group(q->group),
				   "unit", unit_name(q->unit), "rows", top_rows(q, r)));
	store_result_free(r);
}

/* --- coverage --------------------------------------------------------------------------------- */

struct sum {
	uint64_t bytes, packets;
	double variance;
};

static void sum_add(struct sum *s, const struct traffic_value *v)
{
	s->bytes += v->bytes;
	s->packets += v->packets;
	s->variance += v->bytes_variance;
}

static json_t *json_sum(const struct sum *s, const char *name, json_t *value,
			const struct sum *whole)
{
	json_t *o = json_pack("{s:o, s:o, s:o}", name, value, "bytes", json_count(s->bytes),
			      "packets", json_count(s->packets));

	if (whole)
		json_object_set_new(o, "share", json_share(s->bytes, whole->bytes));
	return o;
}

/* Pairs that a flow label can carry; options and fireflies reach further. */
static unsigned int label_pairs(const struct registry *r)
{
	unsigned int n = 0;

	for (size_t i = 0; i < r->n_experiments; i++) {
		const struct registry_experiment *e = &r->experiments[i];

		for (size_t j = 0; e->id <= SCITAG_LABEL_EXPERIMENT_MAX && j < e->n_activities; j++)
			n += e->activities[j].id <= SCITAG_ACTIVITY_MAX;
	}
	return n;
}

struct noise {
	unsigned int pairs, code_points;
	double floor_bytes, floor_packets; /* of one code point */
	double expected_bytes;             /* of all registered ones together, by chance */
};

static struct noise noise_floor(const struct registry *r, const struct traffic_value *unregistered)
{
	struct noise n = {.pairs = label_pairs(r)};

	n.code_points = SCITAG_LABEL_CODES - n.pairs;
	n.floor_bytes = (double)unregistered->bytes / n.code_points;
	n.floor_packets = (double)unregistered->packets / n.code_points;
	n.expected_bytes = n.floor_bytes * n.pairs;
	return n;
}

void answer_coverage(const struct question *q, struct answer *out)
{
	static const int families[] = {4, 6, 0};
	uint32_t group =
		1u << DIM_GRADE | 1u << DIM_CARRIER | 1u << DIM_DIRECTION | 1u << DIM_FAMILY;
	struct sum all = {0}, grade[GRADE_COUNT] = {0}, carrier[CARRIER_COUNT] = {0};
	struct sum direction[DIRECTION_COUNT] = {0}, family[3] = {0};
	uint64_t registered_label_bytes = 0;
	json_t *grades, *carriers, *directions, *family_list;
	struct store_result *r;
	struct noise noise;
	double tagged;

	if (ask(q, 0, group, API_LIMIT_MAX, &r, out))
		return;
	for (size_t i = 0; i < r->n_series; i++) {
		const struct traffic_key *k = &r->series[i].key;
		const struct traffic_value *v = &r->series[i].total;

		if (k->grade >= GRADE_COUNT || k->carrier >= CARRIER_COUNT ||
		    k->direction >= DIRECTION_COUNT)
			continue;
		sum_add(&all, v);
		sum_add(&grade[k->grade], v);
		sum_add(&carrier[k->carrier], v);
		sum_add(&direction[k->direction], v);
		sum_add(&family[k->family == 4 ? 0 : k->family == 6 ? 1 : 2], v);
		if (k->grade == GRADE_REGISTERED && k->carrier == CARRIER_LABEL)
			registered_label_bytes += v->bytes;
	}
	noise = noise_floor(q->registry, &r->unregistered_labels);
	tagged = (double)(grade[GRADE_REGISTERED].bytes + grade[GRADE_CONFIRMED].bytes);

	grades = json_array();
	for (unsigned int i = 0; i < GRADE_COUNT; i++) {
		struct traffic_value v = {.bytes_variance = grade[i].variance};
		json_t *o = json_sum(&grade[i], "grade", json_string(grade_name(i)), &all);

		json_object_set_new(o, "error_bytes", json_error(&v));
		json_array_append_new(grades, o);
	}
	carriers = json_array();
	for (unsigned int i = 0; i < CARRIER_COUNT; i++)
		json_array_append_new(carriers, json_sum(&carrier[i], "carrier",
							 json_string(carrier_name(i)), &all));
	directions = json_array();
	for (unsigned int i = 0; i < DIRECTION_COUNT; i++)
		json_array_append_new(directions, json_sum(&direction[i], "direction",
							   json_string(direction_name(i)), NULL));
	family_list = json_array();
	for (unsigned int i = 0; i < 3; i++)
		json_array_append_new(family_list, json_sum(&family[i], "family",
							    json_integer(families[i]), NULL));

	/* chance explains at most what is there */
	noise.expected_bytes = fmin(noise.expected_bytes, (double)registered_label_bytes);
	answer_json(
		out,
		json_pack(
			"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:i, s:o, s:o, s:i, "
			"s:o, s:o}, "
			"s:o, s:o}",
			"from", json_time_s(r->from_utc_s), "to", json_time_s(r->to_utc_s), "bytes",
			json_count(all.bytes), "packets", json_count(all.packets), "grades", grades,
			"carriers", carriers, "directions", directions, "families", family_list,
			"noise", "unregistered_label_bytes",
			json_count(r->unregistered_labels.bytes), "unregistered_label_packets",
			json_count(r->unregistered_labels.packets), "unregistered_code_points",
			(int)noise.code_points, "floor_bytes_per_code_point",
			json_number(noise.floor_bytes), "floor_packets_per_code_point",
			json_number(noise.floor_packets), "registered_label_pairs",
			(int)noise.pairs, "expected_registered_bytes",
			json_number(noise.expected_bytes), "share",
			json_number(registered_label_bytes
					    ? noise.expected_bytes / (double)registered_label_bytes
					    : 0),
			"tagged_share", json_number(all.bytes ? tagged / (double)all.bytes : 0),
			"tagged_share_corrected",
			json_number(all.bytes ? (tagged - noise.expected_bytes) / (double)all.bytes
					      : 0)));
	store_result_free(r);
}

/* --- a live second ------------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
	const struct traffic_key *x = &((const struct traffic_row *)a)->key;
	const struct traffic_key *y = &((const struct traffic_row *)b)->key;
	const int64_t difference[] = {
		(int64_t)x->experiment - y->experiment,
		(int64_t)x->activity - y->activity,
		(int64_t)x->source - y->source,
		x->direction - y->direction,
		x->family - y->family,
		x->carrier - y->carrier,
		x->grade - y->grade,
	};

	for (size_t i = 0; i < sizeof(difference) / sizeof(difference[0]); i++)
		if (difference[i])
			return difference[i] < 0 ? -1 : 1;
	return 0;
}

static void value_add(struct traffic_value *to, const struct traffic_value *v)
{
	to->packets += v->packets;
	to->bytes += v->bytes;
	to->ip_bytes += v->ip_bytes;
	to->samples += v->samples;
	to->bytes_variance += v->bytes_variance;
	to->codes += v->codes;
}

/* Copies the rows with unregistered tags folded, equal keys summed, in the order of keys. */
static size_t fold_rows(struct traffic_row *to, const struct bucket *b, const struct registry *r)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_rows; i++) {
		to[i].key = name_fold(&b->rows[i].key, r);
		to[i].value = b->rows[i].value;
	}
	if (b->n_rows)
		qsort(to, b->n_rows, sizeof(*to), by_key);
	for (size_t i = 0; i < b->n_rows; i++) {
		if (n && !by_key(&to[n - 1], &to[i]))
			value_add(&to[n - 1].value, &to[i].value);
		else
			to[n++] = to[i];
	}
	return n;
}

static json_t *tick_rows(const struct api *a, const struct bucket *b)
{
	struct traffic_row *folded = calloc(b->n_rows + 1, sizeof(*folded));
	const struct registry *registry;
	json_t *rows;
	size_t n;

	if (!folded)
		return NULL;
	rows = json_array();
	registry = registry_keeper_take(a->registry);
	n = fold_rows(folded, b, registry);
	for (size_t i = 0; i < n; i++) {
		const struct traffic_value *v = &folded[i].value;
		json_t *o = json_object();

		name_key(o, &folded[i].key, (1u << DIM_SRC_SITE) - 1, a->store, registry);
		json_object_set_new(o, "packets", json_count(v->packets));
		json_object_set_new(o, "bytes", json_count(v->bytes));
		json_object_set_new(o, "ip_bytes", json_count(v->ip_bytes));
		json_object_set_new(o, "samples", json_count(v->samples));
		json_object_set_new(o, "error_bytes", json_error(v));
		json_array_append_new(rows, o);
	}
	registry_keeper_give(a->registry, registry);
	free(folded);
	return rows;
}

char *api_tick(const struct api *a, const struct bucket *rows, const struct live_second *s)
{
	return json_text(json_pack(
		"{s:o, s:I, s:o, s:{s:o, s:o, s:o}, s:{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}}",
		"time", json_time_s(s->utc_s), "second", (json_int_t)s->utc_s, "rows",
		tick_rows(a, rows), "claims", "starts", json_count(s->starts), "ongoings",
		json_count(s->ongoings), "ends", json_count(s->ends), "health", "status",
		live_status_name(s->status), "sources_up", (json_int_t)s->sources_up, "sources",
		(json_int_t)s->sources, "received", json_count(s->received), "accepted",
		json_count(s->accepted), "rejected", json_count(s->rejected), "dropped",
		json_count(s->dropped), "lost", json_count(s->lost)));
}
