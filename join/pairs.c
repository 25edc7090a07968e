#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "join/pairs.h"
#include "join/siphash.h"

struct pairs {
	uint64_t secret[2];
	struct pair_row *rows;
	uint32_t *slots; /* row + 1; 0 empty */
	size_t n, cap;   /* cap: a power of two; twice as many slots */
	size_t newest;   /* row used last */
};

struct pairs *pairs_open(void)
{
	struct pairs *p = calloc(1, sizeof(*p));

	if (p && getrandom(p->secret, sizeof(p->secret), 0) != sizeof(p->secret)) {
		free(p);
		p = NULL;
	}
	return p;
}

void pairs_close(struct pairs *p)
{
	if (!p)
		return;
	free(p->rows);
	free(p->slots);
	free(p);
}

static int same_key(const struct pair_row *a, const struct pair_row *b)
{
	return a->src_site == b->src_site && a->dst_site == b->dst_site && a->family == b->family &&
	       a->grade == b->grade && a->experiment == b->experiment && a->activity == b->activity;
}

static uint32_t *find(const struct pairs *p, const struct pair_row *key)
{
	const uint64_t words[2] = {
		(uint64_t)key->src_site << 32 | (uint64_t)key->dst_site << 16 |
			(uint64_t)key->family << 8 | key->grade,
		(uint64_t)(uint32_t)key->experiment << 32 | (uint32_t)key->activity,
	};
	const size_t mask = 2 * p->cap - 1;
	size_t at = siphash(p->secret, words, sizeof(words)) & mask;

	while (p->slots[at] && !same_key(&p->rows[p->slots[at] - 1], key))
		at = (at + 1) & mask;
	return &p->slots[at];
}

static int grow(struct pairs *p)
{
	const size_t cap = p->cap ? 2 * p->cap : 256;
	struct pair_row *rows = realloc(p->rows, cap * sizeof(*rows));
	uint32_t *slots;

	if (!rows)
		return -ENOMEM;
	p->rows = rows;
	slots = calloc(2 * cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(p->slots);
	p->slots = slots;
	p->cap = cap;
	for (size_t i = 0; i < p->n; i++)
		*find(p, &p->rows[i]) = (uint32_t)(i + 1);
	return 0;
}

static int find_row(struct pairs *p, struct pair_row *key, struct pair_row **row)
{
	uint32_t *slot;

	if (p->newest < p->n && same_key(&p->rows[p->newest], key)) {
		*row = &p->rows[p->newest];
		return 0;
	}
	if (p->n == p->cap && grow(p))
		return -ENOMEM;
	slot = find(p, key);
	if (!*slot && p->n >= PAIRS_MAX && (key->src_site || key->dst_site)) {
		key->src_site = key->dst_site = 0;
		slot = find(p, key);
	}
	if (!*slot) {
		p->rows[p->n] = *key;
		*slot = (uint32_t)++p->n;
	}
	p->newest = *slot - 1;
	*row = &p->rows[p->newest];
	return 0;
}

int pairs_add(struct pairs *p, uint16_t src_site, uint16_t dst_site, const struct seen *s,
	      enum scitag_grade grade, struct scitag tag, int is_registered)
{
	struct pair_row key = {
		.src_site = src_site,
		.dst_site = dst_site,
		.family = s->key.family,
		.grade = (uint8_t)grade,
		.experiment = tag.experiment,
		.activity = tag.activity,
	};
	struct pair_row *row;
	int err;

	if (!is_registered && grade != GRADE_UNTAGGED)
		key.experiment = key.activity = STORE_FOLDED;
	err = find_row(p, &key, &row);
	if (err)
		return err;
	row->value.packets += s->packets;
	row->value.bytes += s->bytes;
	row->value.ip_bytes += s->ip_bytes;
	row->value.samples += s->samples;
	row->value.bytes_variance += s->bytes_variance;
	row->value.codes = 1;
	return 0;
}

int pairs_take(struct pairs *p, struct pair_row **rows, size_t *n)
{
	struct pair_row *out;

	if (!p->n) {
		*rows = NULL;
		*n = 0;
		return 0;
	}
	out = malloc(p->n * sizeof(*out));
	if (!out)
		return -ENOMEM;
	memcpy(out, p->rows, p->n * sizeof(*out));
	*rows = out;
	*n = p->n;
	p->n = 0;
	memset(p->slots, 0, 2 * p->cap * sizeof(*p->slots));
	return 0;
}

size_t pairs_memory_bytes(const struct pairs *p)
{
	return sizeof(*p) + p->cap * (sizeof(*p->rows) + 2 * sizeof(*p->slots));
}
