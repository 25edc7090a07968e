/* How much is tagged, how well, and how much of it chance explains. */
#include <math.h>
#include <stdlib.h>

#include "join/chance.h"
#include "store/value.h"
#include "web/api.h"
#include "web/names.h"

#define PLACES_MAX 200 /* sites, and senders, the largest ones */

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

/* --- which tags are more than chance ------------------------------------------------------ */

/* Distinct labelled flows of the range: chance works on flows, whatever they carry. */
static json_t *json_tags(const struct question *q, const struct store_label_flows *l)
{
	unsigned int pairs = label_pairs(q->registry);
	uint64_t unregistered = 0;
	json_t *tags = json_array(), *o;
	double expected;

	for (size_t i = 0; i < l->n; i++)
		if (l->rows[i].experiment == STORE_FOLDED)
			unregistered = l->rows[i].flows;
	expected = (double)unregistered / (SCITAG_LABEL_CODES - pairs);
	for (size_t i = 0; i < l->n; i++) {
		const struct store_label_flow *f = &l->rows[i];

		if (f->experiment == STORE_FOLDED)
			continue;
		o = json_object();
		name_tag(o, f->experiment, f->activity, q->registry);
		json_object_set_new(o, "flows", json_count(f->flows));
		json_object_set_new(o, "expected", json_number(expected));
		json_object_set_new(
			o, "significant",
			json_boolean(chance_poisson(f->flows, expected) < CHANCE_FIVE_SIGMA));
		json_array_append_new(tags, o);
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "from", json_time_s(l->from_utc_s), "to",
			 json_time_s(l->to_utc_s), "unregistered_flows", json_count(unregistered),
			 "expected_flows_per_pair", json_number(expected), "tags", tags);
}

static json_t *label_flows(const struct question *q, int64_t from_utc_s, int64_t to_utc_s)
{
	struct store_label_flows *l;
	json_t *o;

	if (store_label_flows(q->api->store, from_utc_s, to_utc_s, &l))
		return json_null();
	o = json_tags(q, l);
	store_label_flows_free(l);
	return o;
}

static json_t *json_now(const struct question *q)
{
	struct tag_significance *tags = calloc(SCITAG_LABEL_CODES, sizeof(*tags));
	json_t *list = json_array(), *o;
	size_t n = 0;

	if (tags && q->api->join)
		n = join_significance(q->api->join, tags, SCITAG_LABEL_CODES);
	for (size_t i = 0; i < n; i++) {
		const struct tag_significance *t = &tags[i];

		o = json_object();
		name_tag(o, t->tag.experiment, t->tag.activity, q->registry);
		json_object_set_new(o, "flows_1m", json_count(t->flows_1m));
		json_object_set_new(o, "expected_1m", json_number(t->expected_1m));
		json_object_set_new(o, "significant_1m", json_boolean(t->significant_1m));
		json_object_set_new(o, "flows_1h", json_count(t->flows_1h));
		json_object_set_new(o, "expected_1h", json_number(t->expected_1h));
		json_object_set_new(o, "significant_1h", json_boolean(t->significant_1h));
		json_array_append_new(list, o);
	}
	free(tags);
	return list;
}

/* --- where -------------------------------------------------------------------------------- */

struct place { /* bytes that a site sent, by grade */
	uint16_t site;
	uint64_t bytes, grade[GRADE_COUNT];
};

static int by_place_bytes(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return x->site < y->site ? -1 : x->site > y->site;
}

static json_t *json_place(const struct question *q, const struct place *p)
{
	json_t *o = json_pack("{s:o, s:o}", "site", json_words(name_site(q->api->store, p->site)),
			      "bytes", json_count(p->bytes));

	for (unsigned int g = 0; g < GRADE_COUNT; g++)
		json_object_set_new(o, grade_name(g), json_count(p->grade[g]));
	json_object_set_new(
		o, "tagged_share",
		json_share(p->grade[GRADE_REGISTERED] + p->grade[GRADE_CONFIRMED], p->bytes));
	return o;
}

/* By the site that sent, which is the one that marks. Null where the filter speaks of what pairs of
 * sites do not have. */
static json_t *json_places(const struct question *q)
{
	const uint32_t group = DIM_BIT(DIM_SRC_SITE) | DIM_BIT(DIM_GRADE);
	struct place *places = calloc(STORE_SITES_MAX, sizeof(*places));
	struct answer ignored = {0};
	struct store_result *r;
	json_t *list;

	if (!places || !store_table_knows(STORE_TABLE_PAIRS, group | filter_dims(q->filter)) ||
	    api_ask(q, STORE_TABLE_PAIRS, 0, group, STORE_SITES_MAX * GRADE_COUNT, &r, &ignored)) {
		answer_free(&ignored);
		free(places);
		return json_null();
	}
	list = json_array();
	for (size_t i = 0; i < r->n_series; i++) {
		const struct store_series *s = &r->series[i];
		struct place *p = &places[s->key.src_site % STORE_SITES_MAX];

		if (s->is_rest || s->key.grade >= GRADE_COUNT)
			continue;
		p->site = s->key.src_site;
		p->bytes = value_sum(p->bytes, s->total.bytes);
		p->grade[s->key.grade] = value_sum(p->grade[s->key.grade], s->total.bytes);
	}
	store_result_free(r);
	qsort(places, STORE_SITES_MAX, sizeof(*places), by_place_bytes);
	for (size_t i = 0; i < PLACES_MAX && places[i].bytes; i++)
		json_array_append_new(list, json_place(q, &places[i]));
	free(places);
	return list;
}

/* Since each was first heard: how many of its claims were seen, and how they fared. */
static json_t *json_senders(const struct question *q)
{
	struct sender *senders = calloc(PLACES_MAX, sizeof(*senders));
	json_t *list = json_array();
	size_t n = 0;

	if (senders && q->api->join)
		n = join_senders(q->api->join, senders, PLACES_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct sender *s = &senders[i];

		json_array_append_new(
			list, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "sender",
					api_ip(s->ip), "claims", json_count(s->claims), "joined",
					json_count(s->joined), "confirmed",
					json_count(s->confirmed), "disagree",
					json_count(s->disagree), "claimed", json_count(s->claimed),
					"claimed_bytes", json_count(s->claimed_bytes), "seen_bytes",
					json_count(s->seen_bytes)));
	}
	free(senders);
	return list;
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
	answer_json(out,
		    json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			      "s:o, s:o, s:o}",
			      "from", json_time_s(r->from_utc_s), "to", json_time_s(r->to_utc_s),
			      "bytes", json_count(c.all.bytes), "packets",
			      json_count(c.all.packets), "grades", json_grades(&c), "carriers",
			      json_carriers(&c), "directions", json_directions(&c), "families",
			      json_families(&c), "noise",
			      json_noise(&noise, &c, &r->unregistered_labels), "tagged_share",
			      json_ratio(tagged, c.all.bytes), "tagged_share_corrected",
			      json_ratio(tagged - noise.expected_bytes, c.all.bytes), "label_flows",
			      label_flows(q, r->from_utc_s, r->to_utc_s), "tags_now", json_now(q),
			      "sites", json_places(q), "senders", json_senders(q)));
	store_result_free(r);
}
