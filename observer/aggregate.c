/* Planes of cells. A plane is everything of a traffic key but the tag; its cells are indexed by the
 * tag's code, so adding is a lookup of the plane (nearly always the one of the packet before) and an
 * addition. Which cells were touched is a list, so that a second costs what it saw. */
#include <stdlib.h>
#include <string.h>

#include "observer/aggregate.h"

#define CELLS       (SCITAG_CODES + 1)
#define PLANE_SLOTS (2 * AGGREGATE_PLANES_MAX) /* open addressing, half full at most */

struct cell {
	uint64_t packets, bytes, ip_bytes, samples;
	double bytes_variance;
};
struct plane {
	struct traffic_key key; /* without the tag */
	struct cell *cells;     /* CELLS of them; pages that no tag touches stay unmapped */
	uint32_t *touched;      /* codes with samples in this second */
	uint32_t n_touched;
};
struct aggregate {
	struct plane planes[AGGREGATE_PLANES_MAX];
	uint16_t slots[PLANE_SLOTS]; /* plane index + 1; 0 empty */
	size_t n_planes;
	size_t newest; /* index of the plane used last */
	uint64_t planes_refused;
	uint32_t own_unregistered;
};

struct aggregate *aggregate_open(uint32_t own_unregistered)
{
	struct aggregate *a = calloc(1, sizeof(*a));

	if (a)
		a->own_unregistered = own_unregistered;
	return a;
}

/* How many of a plane's touched cells get rows of their own. Folded are the grades whose numbers anybody
 * can make up. */
static uint32_t own_rows(const struct aggregate *a, const struct plane *p)
{
	const int folds = p->key.grade == GRADE_UNREGISTERED || p->key.grade == GRADE_DISAGREE;

	return folds && p->n_touched > a->own_unregistered ? a->own_unregistered : p->n_touched;
}

void aggregate_close(struct aggregate *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n_planes; i++) {
		free(a->planes[i].cells);
		free(a->planes[i].touched);
	}
	free(a);
}

static int same_plane(const struct traffic_key *a, const struct traffic_key *b)
{
	return a->source == b->source && a->direction == b->direction && a->family == b->family &&
	       a->carrier == b->carrier && a->grade == b->grade;
}

static struct plane *make_plane(struct aggregate *a, const struct traffic_key *key, size_t slot)
{
	struct plane *p = &a->planes[a->n_planes];

	if (a->n_planes == AGGREGATE_PLANES_MAX)
		return NULL;
	p->cells = calloc(CELLS, sizeof(*p->cells));
	p->touched = calloc(CELLS, sizeof(*p->touched));
	if (!p->cells || !p->touched) {
		free(p->cells);
		free(p->touched);
		return NULL;
	}
	p->key = *key;
	a->slots[slot] = (uint16_t)++a->n_planes;
	return p;
}

static struct plane *find_plane(struct aggregate *a, const struct traffic_key *key)
{
	uint32_t hash;

	if (a->n_planes && same_plane(&a->planes[a->newest].key, key))
		return &a->planes[a->newest];
	hash = (uint32_t)key->source << 16 ^ (uint32_t)key->direction << 12 ^
	       (uint32_t)key->family << 8 ^ (uint32_t)key->carrier << 4 ^ key->grade;
	hash *= 2654435761u; /* Knuth's multiplicative hash */
	for (size_t i = 0; i < PLANE_SLOTS; i++) {
		size_t slot = ((hash >> 16) + i) & (PLANE_SLOTS - 1);
		uint16_t plane = a->slots[slot];

		if (!plane)
			return make_plane(a, key, slot);
		if (same_plane(&a->planes[plane - 1].key, key)) {
			a->newest = plane - 1u;
			return &a->planes[plane - 1];
		}
	}
	return NULL;
}

void aggregate_add_cell(struct aggregate *a, const struct traffic_key *key,
			const struct traffic_value *value)
{
	struct scitag tag = {.experiment = (__u16)key->experiment,
			     .activity = (__u16)key->activity};
	uint32_t code = key->experiment < 0 ? SCITAG_CODE_OUTSIDE : scitag_code(tag);
	struct plane *p = find_plane(a, key);
	struct cell *c;

	if (!p) { /* nothing is lost: it is counted where the source's untagged bytes are */
		struct traffic_key spill = {.source = key->source};

		a->planes_refused += value->samples;
		code = 0;
		p = find_plane(a, &spill);
		if (!p && a->n_planes)
			p = &a->planes[0];
		if (!p)
			return;
	}
	c = &p->cells[code];
	if (!c->samples)
		p->touched[p->n_touched++] = code;
	c->packets += value->packets;
	c->bytes += value->bytes;
	c->ip_bytes += value->ip_bytes;
	c->samples += value->samples;
	c->bytes_variance += value->bytes_variance;
}

void aggregate_add(struct aggregate *a, const struct observation *o)
{
	const struct traffic_key key = observation_key(o);
	const double bytes = o->frame_bytes;
	const struct traffic_value value = {
		.packets = o->weight,
		.bytes = (uint64_t)o->weight * o->frame_bytes,
		.ip_bytes = (uint64_t)o->weight * o->ip_bytes,
		.samples = 1,
		.bytes_variance = (double)o->weight * (o->weight - 1.0) * bytes * bytes,
	};

	aggregate_add_cell(a, &key, &value);
}

size_t aggregate_rows(const struct aggregate *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_planes; i++) {
		const uint32_t own = own_rows(a, &a->planes[i]);

		n += own + (own < a->planes[i].n_touched);
	}
	return n;
}

static void add_to_row(struct traffic_row *row, const struct cell *c)
{
	row->value.packets += c->packets;
	row->value.bytes += c->bytes;
	row->value.ip_bytes += c->ip_bytes;
	row->value.samples += c->samples;
	row->value.bytes_variance += c->bytes_variance;
	row->value.codes++;
}

static void sift_down(const struct cell *cells, uint32_t *heap, size_t n, size_t at)
{
	for (;;) {
		size_t least = at, left = 2 * at + 1, right = left + 1;
		uint32_t swap = heap[at];

		if (left < n && cells[heap[left]].bytes < cells[heap[least]].bytes)
			least = left;
		if (right < n && cells[heap[right]].bytes < cells[heap[least]].bytes)
			least = right;
		if (least == at)
			return;
		heap[at] = heap[least];
		heap[least] = swap;
		at = least;
	}
}

/* Put the codes of the `keep` largest cells first. They form a heap with the least on top, which each
 * larger newcomer replaces: n log(keep) at the most, as n may be the whole tag space every second. */
static void largest_first(const struct cell *cells, uint32_t *codes, size_t n, size_t keep)
{
	for (size_t at = keep / 2; at-- > 0;)
		sift_down(cells, codes, keep, at);
	for (size_t i = keep; i < n; i++) {
		uint32_t newcomer = codes[i];

		if (cells[newcomer].bytes <= cells[codes[0]].bytes)
			continue;
		codes[i] = codes[0];
		codes[0] = newcomer;
		sift_down(cells, codes, keep, 0);
	}
}

static size_t take_plane(struct plane *p, uint32_t own, struct traffic_row *rows)
{
	size_t n = own;

	if (own < p->n_touched)
		largest_first(p->cells, p->touched, p->n_touched, own);
	for (size_t i = 0; i < p->n_touched; i++) {
		const uint32_t code = p->touched[i];
		const int folded = i >= own || code == SCITAG_CODE_OUTSIDE;
		struct traffic_row *row = &rows[i < own ? i : own];

		if (i <= own) {
			*row = (struct traffic_row){.key = p->key};
			row->key.experiment = folded ? STORE_FOLDED : (int32_t)(code >> 6);
			row->key.activity = folded ? STORE_FOLDED : (int32_t)(code & 63);
			n = i + 1;
		}
		add_to_row(row, &p->cells[code]);
		p->cells[code] = (struct cell){0};
	}
	p->n_touched = 0;
	return n;
}

size_t aggregate_take(struct aggregate *a, struct traffic_row *rows)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_planes; i++) {
		if (a->planes[i].n_touched)
			n += take_plane(&a->planes[i], own_rows(a, &a->planes[i]), rows + n);
	}
	return n;
}

uint64_t aggregate_planes_refused(const struct aggregate *a)
{
	return a->planes_refused;
}
