#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "join/regrade.h"
#include "join/siphash.h"

struct regrade {
	uint64_t secret[2];
	struct bucket *bucket;
	uint32_t *slots; /* row + 1; 0 empty */
	size_t n_slots;  /* a power of two, or 0 */
	size_t rows_cap; /* of bucket->rows; 0: not hashed yet */
	int emptied;
};

struct regrade *regrade_open(void)
{
	struct regrade *r = calloc(1, sizeof(*r));

	if (r && getrandom(r->secret, sizeof(r->secret), 0) != sizeof(r->secret)) {
		free(r);
		r = NULL;
	}
	return r;
}

void regrade_close(struct regrade *r)
{
	if (!r)
		return;
	free(r->slots);
	free(r);
}

void regrade_begin(struct regrade *r, struct bucket *b)
{
	r->bucket = b;
	r->rows_cap = 0;
	r->emptied = 0;
}

static int same_key(const struct traffic_key *a, const struct traffic_key *b)
{
	return a->source == b->source && a->direction == b->direction && a->family == b->family &&
	       a->carrier == b->carrier && a->grade == b->grade && a->experiment == b->experiment &&
	       a->activity == b->activity;
}

/* The slot of this key, or the empty one where it would be. */
static uint32_t *find(const struct regrade *r, const struct traffic_key *key)
{
	const uint64_t words[2] = {
		(uint64_t)key->source << 32 | (uint64_t)key->direction << 24 |
			(uint64_t)key->family << 16 | (uint64_t)key->carrier << 8 | key->grade,
		(uint64_t)(uint32_t)key->experiment << 32 | (uint32_t)key->activity,
	};
	size_t at = siphash(r->secret, words, sizeof(words)) & (r->n_slots - 1);

	while (r->slots[at] && !same_key(&r->bucket->rows[r->slots[at] - 1].key, key))
		at = (at + 1) & (r->n_slots - 1);
	return &r->slots[at];
}

static void add(struct traffic_value *to, const struct traffic_value *v)
{
	to->packets += v->packets;
	to->bytes += v->bytes;
	to->ip_bytes += v->ip_bytes;
	to->samples += v->samples;
	to->bytes_variance += v->bytes_variance;
	to->codes = to->codes > v->codes ? to->codes : v->codes;
}

/* Each row makes two more at the most: a registered tag is confirmed or disagrees, all others share what is claimed. */
static int hash_rows(struct regrade *r)
{
	struct bucket *b = r->bucket;
	const size_t cap = 3 * b->n_rows;
	struct traffic_row *rows;
	size_t n_slots = 64, n = 0;

	while (n_slots < 2 * cap)
		n_slots *= 2;
	if (n_slots > r->n_slots) {
		uint32_t *slots = calloc(n_slots, sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		free(r->slots);
		r->slots = slots;
		r->n_slots = n_slots;
	} else {
		memset(r->slots, 0, r->n_slots * sizeof(*r->slots));
	}
	rows = realloc(b->rows, cap * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	b->rows = rows;
	r->rows_cap = cap;
	for (size_t i = 0; i < b->n_rows; i++) {
		uint32_t *slot = find(r, &b->rows[i].key);

		if (*slot) { /* as two queues of one interface make */
			add(&b->rows[*slot - 1].value, &b->rows[i].value);
			continue;
		}
		b->rows[n] = b->rows[i];
		*slot = (uint32_t)++n;
	}
	b->n_rows = n;
	return 0;
}

static uint64_t take(uint64_t *from, uint64_t wanted)
{
	const uint64_t n = wanted < *from ? wanted : *from;

	*from -= n;
	return n;
}

static double take_variance(double *from, double wanted)
{
	const double v = wanted < *from ? wanted : *from;

	*from -= v;
	return v;
}

static int is_empty(const struct traffic_value *v)
{
	return !v->packets && !v->bytes && !v->ip_bytes && !v->samples;
}

int regrade_move(struct regrade *r, const struct seen *s, enum scitag_grade grade)
{
	struct traffic_key key = {
		.source = s->source,
		.direction = s->direction,
		.family = s->key.family,
		.carrier = s->tag.carrier,
		.grade = s->tag.grade,
		.experiment = s->tag.tag.experiment,
		.activity = s->tag.tag.activity,
	};
	struct traffic_value *from, moved;
	uint32_t *slot;

	if (grade == s->tag.grade || !r->bucket->n_rows)
		return 0;
	if (!r->rows_cap && hash_rows(r))
		return -ENOMEM;
	slot = find(r, &key);
	if (!*slot) { /* folded, as small unregistered tags are */
		key.experiment = key.activity = STORE_FOLDED;
		slot = find(r, &key);
	}
	if (!*slot)
		return 0;
	from = &r->bucket->rows[*slot - 1].value;
	if (is_empty(from))
		return 0;
	key.grade = (uint8_t)grade;
	if (grade == GRADE_CLAIMED) {
		key.carrier = CARRIER_NONE;
		key.experiment = key.activity = 0;
	}
	slot = find(r, &key);
	if (!*slot) {
		if (r->bucket->n_rows == r->rows_cap)
			return -ENOMEM;
		r->bucket->rows[r->bucket->n_rows] =
			(struct traffic_row){.key = key, .value.codes = 1};
		*slot = (uint32_t)++r->bucket->n_rows;
	}
	moved = (struct traffic_value){
		.packets = take(&from->packets, s->packets),
		.bytes = take(&from->bytes, s->bytes),
		.ip_bytes = take(&from->ip_bytes, s->ip_bytes),
		.samples = take(&from->samples, s->samples),
		.bytes_variance = take_variance(&from->bytes_variance, s->bytes_variance),
	};
	add(&r->bucket->rows[*slot - 1].value, &moved);
	r->emptied |= is_empty(from);
	return 0;
}

void regrade_end(struct regrade *r)
{
	struct bucket *b = r->bucket;
	size_t n = 0;

	for (size_t i = 0; r->emptied && i < b->n_rows; i++) {
		struct traffic_value *v = &b->rows[i].value;

		if (!is_empty(v))
			b->rows[n++] = b->rows[i];
	}
	if (r->emptied)
		b->n_rows = n;
	r->bucket = NULL;
}

size_t regrade_memory_bytes(const struct regrade *r)
{
	return sizeof(*r) + r->n_slots * sizeof(*r->slots);
}
