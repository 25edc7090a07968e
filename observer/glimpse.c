/* Two reservoirs, filled by Li's algorithm L (Kim-Hung Li, Reservoir-Sampling Algorithms of Time Complexity
 * O(n(1 + log(N/n))), 1994): between two choices a packet costs one comparison. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "observer/glimpse.h"
#include "observer/hash.h"

struct reservoir {
	uint64_t offered, next; /* number of the next one that is chosen */
	double w;               /* the largest of as many uniform numbers as there are places */
	struct glimpse items[GLIMPSES_OF_A_KIND];
};
struct glimpses {
	uint64_t random; /* of xorshift64; not 0 */
	struct reservoir tagged, others;
};

struct glimpses *glimpses_open(void)
{
	struct glimpses *g = calloc(1, sizeof(*g));

	if (g)
		g->random = hash_secret() | 1;
	return g;
}

void glimpses_close(struct glimpses *g)
{
	free(g);
}

static uint64_t next_random(struct glimpses *g)
{
	g->random ^= g->random << 13;
	g->random ^= g->random >> 7;
	g->random ^= g->random << 17;
	return g->random;
}

/* Within (0, 1). */
static double uniform(struct glimpses *g)
{
	return ((double)(next_random(g) >> 11) + 0.5) * 0x1p-53;
}

static void choose_next(struct glimpses *g, struct reservoir *r)
{
	r->w *= exp(log(uniform(g)) / GLIMPSES_OF_A_KIND);
	r->next += (uint64_t)fmin(floor(log(uniform(g)) / log1p(-r->w)), 1e18) + 1;
}

static void keep(struct glimpse *to, const struct observation *o)
{
	*to = (struct glimpse){
		.utc_us = o->utc_us,
		.flow = o->key,
		.key = observation_key(o),
		.label = o->label,
		.frame_bytes = o->frame_bytes,
		.weight = o->weight,
		.packet_flags = o->packet_flags,
		.tcp_flags = o->tcp_flags,
		.dialect = o->tag.dialect,
	};
}

void glimpses_offer(struct glimpses *g, const struct observation *o)
{
	struct reservoir *r = o->tag.grade >= GRADE_REGISTERED ? &g->tagged : &g->others;
	const uint64_t number = r->offered++;

	if (number < GLIMPSES_OF_A_KIND) {
		keep(&r->items[number], o);
		if (number == GLIMPSES_OF_A_KIND - 1) {
			r->w = 1;
			r->next = number;
			choose_next(g, r);
		}
	} else if (number == r->next) {
		keep(&r->items[next_random(g) % GLIMPSES_OF_A_KIND], o);
		choose_next(g, r);
	}
}

static int by_time(const void *a, const void *b)
{
	const struct glimpse *x = a, *y = b;

	return (x->utc_us > y->utc_us) - (x->utc_us < y->utc_us);
}

static size_t take(struct reservoir *r, struct glimpse *out)
{
	const size_t n = r->offered < GLIMPSES_OF_A_KIND ? r->offered : GLIMPSES_OF_A_KIND;

	memcpy(out, r->items, n * sizeof(*out));
	r->offered = 0;
	return n;
}

size_t glimpses_take(struct glimpses *g, struct glimpse **out)
{
	size_t n = 0;

	*out = NULL;
	if (!g->tagged.offered && !g->others.offered)
		return 0;
	*out = malloc(2 * GLIMPSES_OF_A_KIND * sizeof(**out));
	if (!*out)
		return 0;
	n = take(&g->tagged, *out);
	n += take(&g->others, *out + n);
	qsort(*out, n, sizeof(**out), by_time);
	return n;
}

size_t glimpses_of_heard(const struct heard *heard, size_t n, uint16_t source, struct glimpse *out)
{
	const size_t chosen = n < GLIMPSES_OF_A_KIND ? n : GLIMPSES_OF_A_KIND;

	for (size_t i = 0; i < chosen; i++) {
		const struct heard *h = &heard[i * n / chosen];
		const struct firefly *ff = &h->firefly;

		out[i] = (struct glimpse){
			.utc_us = h->heard_utc_us,
			.flow = ff->key,
			.key = {.source = source,
				.family = ff->key.family,
				.experiment = ff->tag.experiment,
				.activity = ff->tag.activity},
			.firefly = (uint8_t)ff->state,
			.producer = (uint8_t)ff->producer,
		};
		memcpy(out[i].sender_ip, h->sender_ip, sizeof(out[i].sender_ip));
		memcpy(out[i].application, ff->application, sizeof(out[i].application) - 1);
	}
	return chosen;
}
