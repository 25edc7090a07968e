/* Open addressing with a bounded run of places. A place is half a hash and a record's number in four bytes, so that
 * the whole run of a look-up lies in one cache line or two, and a record is touched only when it is almost certainly
 * the right one. With many flows both lie in memory that is far away; so observations wait in a short queue while
 * first the place, then the record is on its way here. */
#include <stdlib.h>
#include <string.h>

#include "observer/hash.h"
#include "observer/seen.h"

#define PLACES (2 * SEEN_MAX) /* half full at most */
#define PROBES 32             /* crowded beyond that, by chance or malice: as if full */
#define AHEAD  8              /* observations between the steps of one */
#define QUEUE  (2 * AHEAD)

struct waiting {
	uint64_t hash;
	struct observation o;
	/* packets come in trains: those right behind it that belong to the same record */
	uint32_t n_more;
	uint64_t packets, bytes, ip_bytes;
	double bytes_variance;
	int64_t last_utc_us;
	uint32_t label;
	uint8_t tcp_flags;
};
struct seen_table {
	uint64_t secret[2];
	uint32_t max, n;
	uint64_t added; /* to the queue, of this second */
	uint64_t not_followed;
	struct glimpses *glimpses;
	struct waiting queue[QUEUE]; /* the newest of them */
	struct seen records[SEEN_MAX];
	uint32_t places[PLACES]; /* hash in the upper half, never 0; number in the lower */
};

struct seen_table *seen_open(uint32_t max)
{
	struct seen_table *t = calloc(1, sizeof(*t)); /* touched as it fills */

	if (!t)
		return NULL;
	t->secret[0] = hash_secret();
	t->secret[1] = hash_secret();
	t->max = max < SEEN_MAX ? max : SEEN_MAX;
	t->glimpses = glimpses_open();
	if (!t->glimpses) {
		free(t);
		return NULL;
	}
	return t;
}

void seen_close(struct seen_table *t)
{
	if (!t)
		return;
	glimpses_close(t->glimpses);
	free(t);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	const __uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of all that makes a record. Three multiplications with secret factors: who does not know these cannot aim, and
 * PROBES bounds the rest. */
static uint64_t hash_of(const struct seen_table *t, const struct observation *o)
{
	const uint64_t cell = (uint64_t)o->tag.tag.experiment << 48 |
			      (uint64_t)o->tag.tag.activity << 32 | (uint64_t)o->source << 16 |
			      (uint64_t)o->tag.carrier << 8 | o->tag.grade;
	uint64_t w[5];

	memcpy(w, &o->key, sizeof(w));
	return fold(fold(w[0] ^ t->secret[0], w[1] ^ t->secret[1]) ^ w[2] ^ t->secret[1],
		    fold(w[3] ^ t->secret[1], w[4] ^ t->secret[0]) ^ cell ^ t->secret[0]);
}

static uint32_t mark_of(uint64_t hash)
{
	return (uint32_t)(hash >> 48 | 1) << 16;
}

static uint32_t *place_of(struct seen_table *t, uint64_t hash, uint32_t probe)
{
	return &t->places[(hash + probe) % PLACES];
}

static int same_cell(const struct packet_tag *a, const struct packet_tag *b)
{
	return a->tag.experiment == b->tag.experiment && a->tag.activity == b->tag.activity &&
	       a->carrier == b->carrier && a->grade == b->grade;
}

/* NULL: there is no place for it. */
static struct seen *find(struct seen_table *t, const struct waiting *w)
{
	const uint32_t mark = mark_of(w->hash);

	for (uint32_t i = 0; i < PROBES; i++) {
		uint32_t *place = place_of(t, w->hash, i);
		struct seen *s = &t->records[*place & 0xFFFF];

		if (!*place) {
			if (t->n == t->max)
				return NULL;
			*place = mark | t->n;
			s = &t->records[t->n++];
			*s = (struct seen){.key = w->o.key,
					   .first_utc_us = w->o.utc_us,
					   .source = w->o.source,
					   .direction = w->o.direction,
					   .tag = w->o.tag,
					   .label_hidden = w->o.label_hidden};
			return s;
		}
		if ((*place & 0xFFFF0000) == mark && s->source == w->o.source &&
		    same_cell(&s->tag, &w->o.tag) &&
		    memcmp(&s->key, &w->o.key, sizeof(s->key)) == 0)
			return s;
	}
	return NULL;
}

static double variance(const struct observation *o)
{
	const double bytes = o->frame_bytes;

	return (double)o->weight * (o->weight - 1.0) * bytes * bytes;
}

static void add(struct seen_table *t, const struct waiting *w)
{
	const struct observation *o = &w->o;
	struct seen *s = find(t, w);

	if (!s) {
		t->not_followed += o->weight + (w->n_more ? w->packets : 0);
		return;
	}
	s->last_utc_us = o->utc_us;
	s->packets += o->weight;
	s->bytes += (uint64_t)o->weight * o->frame_bytes;
	s->ip_bytes += (uint64_t)o->weight * o->ip_bytes;
	s->bytes_variance += variance(o);
	s->samples += 1 + w->n_more;
	s->label = o->label;
	s->tcp_flags |= o->tcp_flags;
	if (!w->n_more)
		return;
	s->last_utc_us = w->last_utc_us;
	s->packets += w->packets;
	s->bytes += w->bytes;
	s->ip_bytes += w->ip_bytes;
	s->bytes_variance += w->bytes_variance;
	s->label = w->label;
	s->tcp_flags |= w->tcp_flags;
}

static void couple(struct waiting *w, const struct observation *o)
{
	if (!w->n_more++) {
		w->packets = w->bytes = w->ip_bytes = 0;
		w->bytes_variance = 0;
		w->tcp_flags = 0;
	}
	w->packets += o->weight;
	w->bytes += (uint64_t)o->weight * o->frame_bytes;
	w->ip_bytes += (uint64_t)o->weight * o->ip_bytes;
	w->bytes_variance += variance(o);
	w->last_utc_us = o->utc_us;
	w->label = o->label;
	w->tcp_flags |= o->tcp_flags;
}

/* The place has come: ask for the record that it probably is. */
static void look_ahead(struct seen_table *t, const struct waiting *w)
{
	const struct seen *s = &t->records[*place_of(t, w->hash, 0) & 0xFFFF];

	__builtin_prefetch(s, 1);
	__builtin_prefetch((const char *)s + 64, 1);
}

void seen_add(struct seen_table *t, const struct observation *o)
{
	struct waiting *w = &t->queue[(t->added - 1) % QUEUE];

	glimpses_offer(t->glimpses, o);
	if (t->added && w->o.source == o->source && same_cell(&w->o.tag, &o->tag) &&
	    memcmp(&w->o.key, &o->key, sizeof(o->key)) == 0) {
		couple(w, o);
		return;
	}
	w = &t->queue[t->added % QUEUE];
	if (t->added >= QUEUE)
		add(t, w);
	w->o = *o;
	w->n_more = 0;
	w->hash = hash_of(t, o);
	__builtin_prefetch(place_of(t, w->hash, 0), 1);
	if (t->added >= AHEAD)
		look_ahead(t, &t->queue[(t->added - AHEAD) % QUEUE]);
	t->added++;
}

static void finish(struct seen_table *t)
{
	const uint64_t waiting = t->added < QUEUE ? t->added : QUEUE;

	for (uint64_t i = t->added - waiting; i < t->added; i++)
		add(t, &t->queue[i % QUEUE]);
	t->added = 0;
}

size_t seen_take(struct seen_table *t, struct seen **out)
{
	size_t n;

	finish(t);
	n = t->n;
	*out = n ? malloc(n * sizeof(**out)) : NULL;
	if (!*out)
		return 0;
	memcpy(*out, t->records, n * sizeof(**out));
	memset(t->places, 0, sizeof(t->places));
	t->n = 0;
	return n;
}

size_t seen_take_glimpses(struct seen_table *t, struct glimpse **out)
{
	return glimpses_take(t->glimpses, out);
}

uint64_t seen_not_followed(const struct seen_table *t)
{
	return t->not_followed;
}
