/* One second of the live stream. */
#include <stdlib.h>

#include "store/value.h"
#include "web/api.h"
#include "web/names.h"

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
		json_object_set_new(o, "error_bytes", json_count(api_error_bytes(v)));
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
