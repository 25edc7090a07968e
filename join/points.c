/* Each source and each pair of sources has a ring of ten minutes; a way counts in the newest minute in which it
 * was seen, by both for a pair, and moves there from the older one. */
#include <stdlib.h>
#include <string.h>

#include "join/points.h"

#define MINUTES    10
#define PAIR_SLOTS (2 * JOIN_OVERLAPS_MAX)

struct ring {
	uint32_t flows[MINUTES];
};
struct pair {
	uint16_t a, b;
	struct ring ring;
};
struct points {
	uint32_t minute;
	struct ring sources[STORE_SOURCES_MAX];
	struct pair pairs[JOIN_OVERLAPS_MAX];
	uint16_t slots[PAIR_SLOTS]; /* pair + 1; 0 empty */
	uint32_t n_pairs;
};

struct points *points_open(void)
{
	return calloc(1, sizeof(struct points));
}

void points_close(struct points *p)
{
	free(p);
}

static void empty(struct ring *r, uint32_t minute, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		r->flows[(minute - i) % MINUTES] = 0;
}

static uint64_t sum(const struct ring *r)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < MINUTES; i++)
		total += r->flows[i];
	return total;
}

/* Where this pair is, or would be. a < b */
static uint16_t *find_slot(struct points *p, uint16_t a, uint16_t b)
{
	uint32_t slot = ((uint32_t)a * 2654435761u ^ (uint32_t)b * 2246822519u) >> 16;

	for (slot %= PAIR_SLOTS; p->slots[slot]; slot = (slot + 1) % PAIR_SLOTS) {
		const struct pair *pair = &p->pairs[p->slots[slot] - 1];

		if (pair->a == a && pair->b == b)
			break;
	}
	return &p->slots[slot];
}

/* Pairs that saw nothing together for long make room. */
static void forget_empty(struct points *p)
{
	const uint32_t n = p->n_pairs;

	memset(p->slots, 0, sizeof(p->slots));
	p->n_pairs = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (!sum(&p->pairs[i].ring))
			continue;
		p->pairs[p->n_pairs] = p->pairs[i];
		*find_slot(p, p->pairs[i].a, p->pairs[i].b) = (uint16_t)(p->n_pairs + 1);
		p->n_pairs++;
	}
}

static void advance(struct points *p, uint32_t minute)
{
	const uint32_t ahead = minute - p->minute < MINUTES ? minute - p->minute : MINUTES;

	if (minute <= p->minute)
		return;
	for (uint32_t i = 0; i < STORE_SOURCES_MAX; i++)
		empty(&p->sources[i], minute, ahead);
	for (uint32_t i = 0; i < p->n_pairs; i++)
		empty(&p->pairs[i].ring, minute, ahead);
	p->minute = minute;
	if (p->n_pairs == JOIN_OVERLAPS_MAX)
		forget_empty(p);
}

/* NULL: there are too many. */
static struct pair *find_pair(struct points *p, uint16_t a, uint16_t b)
{
	uint16_t *slot = find_slot(p, a < b ? a : b, a < b ? b : a);

	if (!*slot) {
		if (p->n_pairs == JOIN_OVERLAPS_MAX)
			return NULL;
		p->pairs[p->n_pairs] = (struct pair){.a = a < b ? a : b, .b = a < b ? b : a};
		*slot = (uint16_t)++p->n_pairs;
	}
	return &p->pairs[*slot - 1];
}

/* Minutes ago of a wrapped number; MINUTES when too long ago to be in a ring. */
static uint32_t ago(const struct points *p, uint16_t minute)
{
	const uint16_t n = (uint16_t)(p->minute - minute);

	return n < MINUTES ? n : MINUTES;
}

static void leave(const struct points *p, struct ring *r, uint32_t minutes_ago)
{
	uint32_t *flows = &r->flows[(p->minute - minutes_ago) % MINUTES];

	if (minutes_ago < MINUTES)
		*flows -= *flows > 0;
}

static void enter(const struct points *p, struct ring *r, uint32_t minutes_ago)
{
	if (minutes_ago < MINUTES)
		r->flows[(p->minute - minutes_ago) % MINUTES]++;
}

/* Put the way where it was seen `now` minutes ago by one of its points, `before` as it stood there so far. */
static void move(struct points *p, const struct flow_points *way, uint8_t at, uint32_t before,
		 uint32_t now)
{
	const uint16_t source = way->point[at].source;
	struct pair *pair;

	if (source < STORE_SOURCES_MAX) {
		leave(p, &p->sources[source], before);
		enter(p, &p->sources[source], now);
	}
	for (uint8_t i = 0; i < way->n; i++) {
		const uint32_t other = ago(p, way->point[i].minute);

		if (i == at || other >= MINUTES)
			continue;
		pair = find_pair(p, source, way->point[i].source);
		if (!pair)
			continue;
		leave(p, &pair->ring, before > other ? before : other);
		enter(p, &pair->ring, now > other ? now : other);
	}
}

void points_see(struct points *p, struct flow_points *way, uint16_t source, uint32_t now_s)
{
	const uint32_t minute = now_s / 60;
	uint32_t before = MINUTES;
	uint8_t at = 0;

	advance(p, minute);
	while (at < way->n && way->point[at].source != source)
		at++;
	if (at < way->n) {
		before = ago(p, way->point[at].minute);
		if (!before)
			return;
	} else if (way->n < FLOW_POINTS) {
		way->n++;
	} else { /* forget the one not seen for longest */
		at = 0;
		for (uint8_t i = 1; i < FLOW_POINTS; i++) {
			if (ago(p, way->point[i].minute) > ago(p, way->point[at].minute))
				at = i;
		}
		move(p, way, at, ago(p, way->point[at].minute), MINUTES);
	}
	way->point[at] = (struct flow_point){.source = source, .minute = (uint16_t)minute};
	move(p, way, at, before, 0);
}

size_t points_overlaps(struct points *p, uint32_t now_s, struct point_overlap *out, size_t cap)
{
	size_t n = 0;

	advance(p, now_s / 60);
	for (uint32_t i = 0; i < p->n_pairs && n < cap; i++) {
		const struct pair *pair = &p->pairs[i];
		const uint64_t flows = sum(&pair->ring);

		if (!flows)
			continue;
		out[n++] = (struct point_overlap){
			.a = pair->a,
			.b = pair->b,
			.flows = flows,
			.flows_a = pair->a < STORE_SOURCES_MAX ? sum(&p->sources[pair->a]) : 0,
			.flows_b = pair->b < STORE_SOURCES_MAX ? sum(&p->sources[pair->b]) : 0,
		};
	}
	return n;
}

size_t points_memory_bytes(void)
{
	return sizeof(struct points);
}
