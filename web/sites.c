/* Who sends how much to whom: pairs of sites by experiment, and where the sites are. */
#include <math.h>
#include <stdlib.h>

#include "join/sites.h"
#include "store/value.h"
#include "web/api.h"
#include "web/names.h"

#define ROWS_MAX 20000 /* of pairs by experiment, before they are gathered */

struct site_pair {
	uint16_t src, dst;
	struct traffic_value total;
	json_t *experiments;
};

static int by_sites(const void *a, const void *b)
{
	const struct store_series *x = *(const struct store_series *const *)a;
	const struct store_series *y = *(const struct store_series *const *)b;

	if (x->key.src_site != y->key.src_site)
		return x->key.src_site < y->key.src_site ? -1 : 1;
	if (x->key.dst_site != y->key.dst_site)
		return x->key.dst_site < y->key.dst_site ? -1 : 1;
	return x->total.bytes < y->total.bytes ? 1 : x->total.bytes > y->total.bytes ? -1 : 0;
}

static int by_bytes(const void *a, const void *b)
{
	const struct site_pair *x = a, *y = b;

	if (x->total.bytes != y->total.bytes)
		return x->total.bytes < y->total.bytes ? 1 : -1;
	if (x->src != y->src)
		return x->src < y->src ? -1 : 1;
	return x->dst < y->dst ? -1 : x->dst > y->dst;
}

static json_t *json_experiment(const struct question *q, const struct store_series *s)
{
	json_t *o = json_object();

	name_key(o, &s->key, DIM_BIT(DIM_EXPERIMENT), q->api->store, q->registry);
	json_object_set_new(o, "bytes", json_count(s->total.bytes));
	return o;
}

/* Series by pair and experiment become pairs with a list of experiments. Returns how many. */
static size_t gather(const struct question *q, const struct store_result *r,
		     struct site_pair *pairs, const struct store_series **order)
{
	size_t n = 0, n_order = 0;

	for (size_t i = 0; i < r->n_series; i++)
		if (!r->series[i].is_rest)
			order[n_order++] = &r->series[i];
	qsort(order, n_order, sizeof(*order), by_sites);
	for (size_t i = 0; i < n_order; i++) {
		const struct traffic_key *k = &order[i]->key;

		if (!n || pairs[n - 1].src != k->src_site || pairs[n - 1].dst != k->dst_site)
			pairs[n++] = (struct site_pair){.src = k->src_site,
							.dst = k->dst_site,
							.experiments = json_array()};
		value_add(&pairs[n - 1].total, &order[i]->total);
		json_array_append_new(pairs[n - 1].experiments, json_experiment(q, order[i]));
	}
	qsort(pairs, n, sizeof(*pairs), by_bytes);
	return n;
}

static json_t *json_site(const struct question *q, uint16_t id)
{
	struct site_info info = {.tier = -1};

	if (q->api->join)
		join_site(q->api->join, id, &info);
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "name",
			 json_words(name_site(q->api->store, id)), "country",
			 info.country[0] ? json_words(info.country) : json_null(), "tier",
			 info.tier < 0 ? json_null() : json_integer(info.tier), "latitude",
			 json_number(info.has_place ? info.latitude : NAN), "longitude",
			 json_number(info.has_place ? info.longitude : NAN));
}

struct site_sum {
	uint64_t sent, received;
	int named;
};

/* Every site of the pairs, with what it sent and received in them all, limit or not. */
static json_t *json_sites(const struct question *q, const struct site_pair *pairs, size_t n)
{
	struct site_sum *sums = calloc(STORE_SITES_MAX, sizeof(*sums));
	json_t *list = json_array(), *o;

	for (size_t i = 0; sums && i < n; i++) {
		struct site_sum *src = &sums[pairs[i].src % STORE_SITES_MAX];
		struct site_sum *dst = &sums[pairs[i].dst % STORE_SITES_MAX];

		src->sent = value_sum(src->sent, pairs[i].total.bytes);
		dst->received = value_sum(dst->received, pairs[i].total.bytes);
		src->named = dst->named = 1;
	}
	for (uint16_t id = 0; sums && id < STORE_SITES_MAX; id++) {
		if (!sums[id].named)
			continue;
		o = json_site(q, id);
		json_object_set_new(o, "sent_bytes", json_count(sums[id].sent));
		json_object_set_new(o, "received_bytes", json_count(sums[id].received));
		json_array_append_new(list, o);
	}
	free(sums);
	return list;
}

static json_t *json_pair(const struct question *q, const struct site_pair *p)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:O}", "src_site",
			 json_words(name_site(q->api->store, p->src)), "dst_site",
			 json_words(name_site(q->api->store, p->dst)), "bytes",
			 json_count(p->total.bytes), "error_bytes",
			 json_count(api_error_bytes(&p->total)), "packets",
			 json_count(p->total.packets), "samples", json_count(p->total.samples),
			 "experiments", p->experiments);
}

void answer_sites(const struct question *q, struct answer *out)
{
	uint32_t group = DIM_BIT(DIM_SRC_SITE) | DIM_BIT(DIM_DST_SITE) | DIM_BIT(DIM_EXPERIMENT);
	const struct store_series **order;
	struct site_pair *pairs;
	json_t *list = json_array(), *sites = NULL;
	enum store_table table;
	struct store_result *r;
	struct traffic_value all = {0};
	size_t n = 0;

	if (api_table(q, group, &table, out) || api_ask(q, table, 0, group, ROWS_MAX, &r, out)) {
		json_decref(list);
		return;
	}
	for (size_t i = 0; i < r->n_series; i++)
		value_add(&all, &r->series[i].total);
	pairs = calloc(r->n_series + 1, sizeof(*pairs));
	order = calloc(r->n_series + 1, sizeof(struct store_series *));
	if (pairs && order) {
		n = gather(q, r, pairs, order);
		sites = json_sites(q, pairs, n);
	}
	for (size_t i = 0; i < n; i++) {
		if (i < q->limit)
			json_array_append_new(list, json_pair(q, &pairs[i]));
		json_decref(pairs[i].experiments);
	}
	answer_json(out, sites ? json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "from",
					   json_time_s(r->from_utc_s), "to",
					   json_time_s(r->to_utc_s), "bytes", json_count(all.bytes),
					   "matching", json_count(n), "pairs", list, "sites", sites)
			       : NULL);
	if (!sites)
		json_decref(list);
	free(pairs);
	free(order);
	store_result_free(r);
}
