/* Each series keeps the points it really has; they become arrays only for the series that stay. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "store/filter.h"
#include "store/series.h"
#include "store/value.h"

#define GAPS_MAX 1000

struct point {
	uint32_t at;
	struct traffic_value value;
};

struct line { /* one series while it grows */
	struct traffic_key key;
	struct traffic_value total;
	struct point *points;
	size_t n_points, cap_points;
};

struct series {
	int64_t from_utc_s, to_utc_s;
	uint32_t step_s, group;
	struct line *lines;
	size_t n_lines, cap_lines;
	uint32_t *slots; /* hash of keys: index into lines + 1; 0 empty */
	size_t n_slots;  /* a power of two, more than twice n_lines */
	struct store_gap *gaps;
	size_t n_gaps;
	struct traffic_value noise;
};

struct series *series_open(int64_t from_utc_s, int64_t to_utc_s, uint32_t step_s, uint32_t group)
{
	struct series *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->from_utc_s = from_utc_s;
	s->to_utc_s = to_utc_s;
	s->step_s = step_s;
	s->group = group;
	s->n_slots = 256;
	s->slots = calloc(s->n_slots, sizeof(*s->slots));
	if (!s->slots) {
		series_free(s);
		return NULL;
	}
	return s;
}

void series_free(struct series *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_lines; i++)
		free(s->lines[i].points);
	free(s->lines);
	free(s->slots);
	free(s->gaps);
	free(s);
}

static struct traffic_key group_key(uint32_t group, const struct traffic_key *key)
{
	struct traffic_key g = {0};

	if (group & 1u << DIM_EXPERIMENT)
		g.experiment = key->experiment;
	if (group & 1u << DIM_ACTIVITY)
		g.activity = key->activity;
	if (group & 1u << DIM_GRADE)
		g.grade = key->grade;
	if (group & 1u << DIM_CARRIER)
		g.carrier = key->carrier;
	if (group & 1u << DIM_FAMILY)
		g.family = key->family;
	if (group & 1u << DIM_DIRECTION)
		g.direction = key->direction;
	if (group & 1u << DIM_SOURCE)
		g.source = key->source;
	if (group & 1u << DIM_SRC_SITE)
		g.src_site = key->src_site;
	if (group & 1u << DIM_DST_SITE)
		g.dst_site = key->dst_site;
	if (group & 1u << DIM_APPLICATION)
		g.application = key->application;
	return g;
}

static uint64_t key_low(const struct traffic_key *k)
{
	return (uint64_t)k->source << 32 | (uint32_t)k->direction << 24 |
	       (uint32_t)k->family << 16 | (uint32_t)k->carrier << 8 | k->grade;
}

static uint64_t key_high(const struct traffic_key *k)
{
	return (uint64_t)(uint32_t)k->experiment << 32 | (uint32_t)k->activity;
}

static uint64_t key_names(const struct traffic_key *k)
{
	return (uint64_t)k->src_site << 32 | (uint32_t)k->dst_site << 16 | k->application;
}

static int same_key(const struct traffic_key *a, const struct traffic_key *b)
{
	return key_low(a) == key_low(b) && key_high(a) == key_high(b) &&
	       key_names(a) == key_names(b);
}

static size_t key_slot(const struct series *s, const struct traffic_key *k)
{
	uint64_t h = key_low(k) ^ key_high(k) * 0x9e3779b97f4a7c15u;

	h = (h ^ key_names(k) * 0xbf58476d1ce4e5b9u) * 0xd6e8feb86659fd93u;

	return (h ^ h >> 32) & (s->n_slots - 1);
}

static int grow_slots(struct series *s)
{
	size_t n = s->n_slots * 2;
	uint32_t *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(s->slots);
	s->slots = slots;
	s->n_slots = n;
	for (size_t i = 0; i < s->n_lines; i++) {
		size_t at = key_slot(s, &s->lines[i].key);

		while (slots[at])
			at = (at + 1) & (n - 1);
		slots[at] = (uint32_t)i + 1;
	}
	return 0;
}

static struct line *find_line(struct series *s, const struct traffic_key *key)
{
	size_t at = key_slot(s, key);

	for (; s->slots[at]; at = (at + 1) & (s->n_slots - 1)) {
		struct line *l = &s->lines[s->slots[at] - 1];

		if (same_key(&l->key, key))
			return l;
	}
	if (s->n_lines == s->cap_lines) {
		size_t cap = s->cap_lines ? s->cap_lines * 2 : 64;
		struct line *lines = realloc(s->lines, cap * sizeof(*lines));

		if (!lines)
			return NULL;
		s->lines = lines;
		s->cap_lines = cap;
	}
	s->lines[s->n_lines] = (struct line){.key = *key};
	s->slots[at] = (uint32_t)++s->n_lines;
	if (s->n_lines * 2 >= s->n_slots && grow_slots(s) < 0)
		return NULL;
	return &s->lines[s->n_lines - 1];
}

static int add(struct series *s, int64_t utc_s, const struct traffic_row *row)
{
	struct traffic_key key = group_key(s->group, &row->key);
	struct line *l = find_line(s, &key);
	uint32_t at;

	if (!l)
		return -ENOMEM;
	value_add(&l->total, &row->value);
	if (!s->step_s)
		return 0;
	at = (uint32_t)((utc_s - s->from_utc_s) / s->step_s);
	if (l->n_points && l->points[l->n_points - 1].at == at) {
		value_add(&l->points[l->n_points - 1].value, &row->value);
		return 0;
	}
	if (l->n_points == l->cap_points) {
		size_t cap = l->cap_points ? l->cap_points * 2 : 8;
		struct point *points = realloc(l->points, cap * sizeof(*points));

		if (!points)
			return -ENOMEM;
		l->points = points;
		l->cap_points = cap;
	}
	l->points[l->n_points++] = (struct point){.at = at, .value = row->value};
	return 0;
}

int series_offer(struct series *s, const struct filter *f, int64_t utc_s,
		 const struct traffic_row *row)
{
	const struct traffic_key *k = &row->key;

	if (k->grade == GRADE_UNREGISTERED && k->carrier == CARRIER_LABEL &&
	    filter_match_part(f, k, FILTER_NOISE_DIMS) != 0)
		value_add(&s->noise, &row->value);
	return filter_match(f, k) ? add(s, utc_s, row) : 0;
}

int series_add_gap(struct series *s, int64_t from_utc_s, int64_t to_utc_s, const char *reason)
{
	struct store_gap *gaps;

	if (from_utc_s < s->from_utc_s)
		from_utc_s = s->from_utc_s;
	if (to_utc_s > s->to_utc_s)
		to_utc_s = s->to_utc_s;
	if (from_utc_s >= to_utc_s || s->n_gaps == GAPS_MAX)
		return 0;
	gaps = realloc(s->gaps, (s->n_gaps + 1) * sizeof(*gaps));
	if (!gaps)
		return -ENOMEM;
	s->gaps = gaps;
	gaps[s->n_gaps] = (struct store_gap){.from_utc_s = from_utc_s, .to_utc_s = to_utc_s};
	strncpy(gaps[s->n_gaps].reason, reason, sizeof(gaps[s->n_gaps].reason) - 1);
	s->n_gaps++;
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->total.bytes != y->total.bytes)
		return x->total.bytes < y->total.bytes ? 1 : -1;
	if (key_high(&x->key) != key_high(&y->key))
		return key_high(&x->key) < key_high(&y->key) ? -1 : 1;
	if (key_low(&x->key) != key_low(&y->key))
		return key_low(&x->key) < key_low(&y->key) ? -1 : 1;
	return key_names(&x->key) < key_names(&y->key) ? -1
						       : key_names(&x->key) > key_names(&y->key);
}

static int add_line(struct store_result *r, struct store_series *to, const struct line *from)
{
	value_add(&to->total, &from->total);
	if (!r->step_s)
		return 0;
	if (!to->points)
		to->points = calloc(r->n_points, sizeof(*to->points));
	if (!to->points)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_points; i++)
		value_add(&to->points[from->points[i].at], &from->points[i].value);
	return 0;
}

static int fill(struct store_result *r, const struct series *s, size_t kept)
{
	int err = 0;

	r->series = calloc(kept + 1, sizeof(*r->series));
	if (!r->series)
		return -ENOMEM;
	r->n_series = kept + (s->n_lines > kept);
	if (s->n_lines > kept)
		r->series[kept].is_rest = 1;
	for (size_t i = 0; i < s->n_lines && !err; i++) {
		struct store_series *to = &r->series[i < kept ? i : kept];

		if (i < kept)
			to->key = s->lines[i].key;
		err = add_line(r, to, &s->lines[i]);
	}
	return err;
}

int series_take(struct series *s, uint32_t limit, struct store_result **out)
{
	struct store_result *r = calloc(1, sizeof(*r));
	size_t kept = limit ? limit : SERIES_LIMIT_DEFAULT;
	int err = -ENOMEM;

	if (!r)
		goto out;
	r->from_utc_s = s->from_utc_s;
	r->to_utc_s = s->to_utc_s;
	r->step_s = s->step_s;
	r->n_points = s->step_s ? (size_t)((s->to_utc_s - s->from_utc_s) / s->step_s) : 0;
	if (r->n_points && kept > SERIES_VALUES_MAX / r->n_points)
		kept = SERIES_VALUES_MAX / r->n_points;
	if (kept > s->n_lines)
		kept = s->n_lines;
	if (s->n_lines)
		qsort(s->lines, s->n_lines, sizeof(*s->lines), by_bytes);
	err = fill(r, s, kept);
	if (err)
		goto out;
	r->gaps = s->gaps;
	r->n_gaps = s->n_gaps;
	s->gaps = NULL;
	r->unregistered_labels = s->noise;
	*out = r;
	r = NULL;
out:
	store_result_free(r);
	series_free(s);
	return err;
}

void store_result_free(struct store_result *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_series; i++)
		free(r->series[i].points);
	free(r->series);
	free(r->gaps);
	free(r);
}
