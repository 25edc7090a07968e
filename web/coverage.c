/* How much is tagged, how well, and how much of it chance explains. */
#include <math.h>

#include "store/value.h"
#include "web/api.h"

static json_t *json_sum(const struct traffic_value *s, const char *name, json_t *value,
			const struct traffic_value *whole)
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

struct coverage {
	struct traffic_value all, grade[GRADE_COUNT], carrier[CARRIER_COUNT],
		direction[DIRECTION_COUNT];
	struct traffic_value family[3]; /* as in `families` */
	uint64_t registered_label_bytes;
};

static const int families[] = {4, 6, 0};

static void coverage_add(struct coverage *c, const struct traffic_key *k,
			 const struct traffic_value *v)
{
	if (k->grade >= GRADE_COUNT || k->carrier >= CARRIER_COUNT ||
	    k->direction >= DIRECTION_COUNT)
		return;
	value_add(&c->all, v);
	value_add(&c->grade[k->grade], v);
	value_add(&c->carrier[k->carrier], v);
	value_add(&c->direction[k->direction], v);
	value_add(&c->family[k->family == 4 ? 0 : k->family == 6 ? 1 : 2], v);
	if (k->grade == GRADE_REGISTERED && k->carrier == CARRIER_LABEL)
		c->registered_label_bytes += v->bytes;
}

static json_t *json_grades(const struct coverage *c)
{
	json_t *rows = json_array();

	for (unsigned int i = 0; i < GRADE_COUNT; i++) {
		json_t *o = json_sum(&c->grade[i], "grade", json_string(grade_name(i)), &c->all);

		json_object_set_new(o, "error_bytes", json_count(api_error_bytes(&c->grade[i])));
		json_array_append_new(rows, o);
	}
	return rows;
}

static json_t *json_carriers(const struct coverage *c)
{
	json_t *rows = json_array();

	for (unsigned int i = 0; i < CARRIER_COUNT; i++)
		json_array_append_new(rows, json_sum(&c->carrier[i], "carrier",
						     json_string(carrier_name(i)), &c->all));
	return rows;
}

static json_t *json_directions(const struct coverage *c)
{
	json_t *rows = json_array();

	for (unsigned int i = 0; i < DIRECTION_COUNT; i++)
		json_array_append_new(rows, json_sum(&c->direction[i], "direction",
						     json_string(direction_name(i)), NULL));
	return rows;
}

static json_t *json_families(const struct coverage *c)
{
	json_t *rows = json_array();

	for (unsigned int i = 0; i < 3; i++)
		json_array_append_new(
			rows, json_sum(&c->family[i], "family", json_integer(families[i]), NULL));
	return rows;
}

static json_t *json_ratio(double part, uint64_t whole)
{
	return json_number(whole ? part / (double)whole : 0);
}

static json_t *json_noise(const struct noise *n, const struct coverage *c,
			  const struct traffic_value *unregistered)
{
	return json_pack("{s:o, s:o, s:i, s:o, s:o, s:i, s:o, s:o}", "unregistered_label_bytes",
			 json_count(unregistered->bytes), "unregistered_label_packets",
			 json_count(unregistered->packets), "unregistered_code_points",
			 (int)n->code_points, "floor_bytes_per_code_point",
			 json_number(n->floor_bytes), "floor_packets_per_code_point",
			 json_number(n->floor_packets), "registered_label_pairs", (int)n->pairs,
			 "expected_registered_bytes", json_number(n->expected_bytes), "share",
			 json_ratio(n->expected_bytes, c->registered_label_bytes));
}

void answer_coverage(const struct question *q, struct answer *out)
{
	uint32_t group =
		1u << DIM_GRADE | 1u << DIM_CARRIER | 1u << DIM_DIRECTION | 1u << DIM_FAMILY;
	struct coverage c = {0};
	struct store_result *r;
	struct noise noise;
	double tagged;

	if (api_ask(q, STORE_TABLE_TRAFFIC, 0, group, API_LIMIT_MAX, &r, out))
		return;
	for (size_t i = 0; i < r->n_series; i++)
		coverage_add(&c, &r->series[i].key, &r->series[i].total);
	noise = noise_floor(q->registry, &r->unregistered_labels);
	/* chance explains at most what is there */
	noise.expected_bytes = fmin(noise.expected_bytes, (double)c.registered_label_bytes);
	tagged = (double)(c.grade[GRADE_REGISTERED].bytes + c.grade[GRADE_CONFIRMED].bytes);
	answer_json(out, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
				   "from", json_time_s(r->from_utc_s), "to",
				   json_time_s(r->to_utc_s), "bytes", json_count(c.all.bytes),
				   "packets", json_count(c.all.packets), "grades", json_grades(&c),
				   "carriers", json_carriers(&c), "directions", json_directions(&c),
				   "families", json_families(&c), "noise",
				   json_noise(&noise, &c, &r->unregistered_labels), "tagged_share",
				   json_ratio(tagged, c.all.bytes), "tagged_share_corrected",
				   json_ratio(tagged - noise.expected_bytes, c.all.bytes)));
	store_result_free(r);
}
