#include <stdlib.h>

#include "base/clock.h"
#include "join/best.h"

void best_open(struct best *best, const struct flow_question *q, struct flow_view *out, size_t cap)
{
	*best = (struct best){
		.question = q,
		.out = out,
		.heap = malloc((cap ? cap : 1) * sizeof(*best->heap)),
	};
	best->cap = best->heap ? cap : 0;
}

static double duration_us(const struct flow_view *v, int64_t now_utc_us)
{
	int64_t first = v->flow.first_utc_us, last = v->flow.last_utc_us;

	if (first == CLOCK_NEVER) { /* as claimed */
		first = v->claim.start_utc_us;
		last = v->claim.end_utc_us != CLOCK_NEVER ? v->claim.end_utc_us : now_utc_us;
	}
	return first == CLOCK_NEVER || last < first ? 0 : (double)last - (double)first;
}

static double value_of(const struct flow_view *v, const struct flow_question *q)
{
	const double bytes = (double)v->flow.way[0].bytes + (double)v->flow.way[1].bytes;
	double us;

	switch (q->order) {
	case FLOW_BY_NEWEST:
		return v->flow.first_utc_us != CLOCK_NEVER ? (double)v->flow.first_utc_us
							   : (double)v->claim.first_heard_utc_us;
	case FLOW_BY_DURATION:
		return duration_us(v, q->now_utc_us);
	case FLOW_BY_RATE:
		us = duration_us(v, q->now_utc_us);
		return bytes / (us > US_PER_S ? us : (double)US_PER_S);
	default:
		return bytes;
	}
}

static int is_wanted(const struct flow_question *q, const struct flow_view *v)
{
	if (q->grades && !(q->grades & 1u << v->flow.grade))
		return 0;
	if ((q->has_claim > 0 && !v->flow.has_claim) || (q->has_claim < 0 && v->flow.has_claim))
		return 0;
	if (q->oddities && !(v->flow.has_claim && v->claim.oddities & q->oddities))
		return 0;
	return !q->want || q->want(q->arg, v);
}

static void sift_down(struct best_place *heap, size_t n, size_t at)
{
	for (;;) {
		size_t least = at, left = 2 * at + 1;
		struct best_place swap = heap[at];

		if (left < n && heap[left].value < heap[least].value)
			least = left;
		if (left + 1 < n && heap[left + 1].value < heap[least].value)
			least = left + 1;
		if (least == at)
			return;
		heap[at] = heap[least];
		heap[least] = swap;
		at = least;
	}
}

void best_offer(struct best *best, const struct flow_view *v)
{
	double value;

	if (!is_wanted(best->question, v))
		return;
	best->matching++;
	if (!best->cap)
		return;
	value = value_of(v, best->question);
	if (best->n < best->cap) {
		best->out[best->n] = *v;
		best->heap[best->n] =
			(struct best_place){.value = value, .place = (uint32_t)best->n};
		best->n++;
		for (size_t i = best->n / 2; best->n == best->cap && i-- > 0;)
			sift_down(best->heap, best->n, i);
	} else if (value > best->heap[0].value) {
		best->out[best->heap[0].place] = *v;
		best->heap[0].value = value;
		sift_down(best->heap, best->n, 0);
	}
}

static int by_value(const void *a, const void *b)
{
	const struct best_place *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	return x->place < y->place ? -1 : x->place > y->place;
}

/* Put the views where their rank is, circle by circle. */
static void put_in_order(struct best_place *ranked, struct flow_view *out, size_t n)
{
	qsort(ranked, n, sizeof(*ranked), by_value);
	for (size_t i = 0; i < n; i++) {
		const struct flow_view first = out[i];
		size_t at = i;

		while (ranked[at].place != i && ranked[at].place != UINT32_MAX) {
			const size_t from = ranked[at].place;

			out[at] = out[from];
			ranked[at].place = UINT32_MAX;
			at = from;
		}
		if (at != i)
			out[at] = first;
		ranked[at].place = UINT32_MAX;
	}
}

size_t best_close(struct best *best, size_t *matching)
{
	if (best->n)
		put_in_order(best->heap, best->out, best->n);
	free(best->heap);
	*matching = best->matching;
	return best->n;
}
