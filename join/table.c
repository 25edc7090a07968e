/* Places are found by linear probing in twice as many slots as there are records; a removal moves
 * what follows back, so that no dead slots gather. Each slot has the hash beside the number: the search
 * reads a record only when it is the right one, nearly always. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "join/siphash.h"
#include "join/table.h"

#define FREE             TABLE_CLASSES /* the class of a place without a record */
#define CACHE_LINE_BYTES 64

struct slot {
	uint32_t hash;
	uint32_t at; /* number + 1; 0 empty */
};
struct link {
	uint32_t older, newer; /* in its class's list; free ones: newer is the next free */
	uint32_t hash;
	uint8_t class_;
};
struct table {
	uint64_t secret[2];
	struct slot *slots;
	struct link *links;
	uint8_t *records;
	uint32_t record_bytes, max, count;
	uint32_t mask;      /* slots less one */
	uint32_t untouched; /* records from here on were never used */
	uint32_t free;      /* first of those given back */
	uint32_t oldest[TABLE_CLASSES], newest[TABLE_CLASSES];
};

struct table *table_open(uint32_t records_max, uint32_t record_bytes)
{
	struct table *t = calloc(1, sizeof(*t));
	uint32_t slots = 4;

	if (!t || !records_max || records_max > UINT32_MAX / 4)
		goto fail;
	while (slots < 2 * records_max)
		slots *= 2;
	t->max = records_max;
	t->record_bytes = record_bytes;
	t->mask = slots - 1;
	/* large ones come from mmap: zero, and nobody's until they are written */
	t->slots = calloc(slots, sizeof(*t->slots));
	t->links = calloc(records_max, sizeof(*t->links));
	t->records = calloc(records_max, record_bytes);
	if (!t->slots || !t->links || !t->records ||
	    getrandom(t->secret, sizeof(t->secret), 0) != sizeof(t->secret))
		goto fail;
	t->free = TABLE_NONE;
	for (int i = 0; i < TABLE_CLASSES; i++)
		t->oldest[i] = t->newest[i] = TABLE_NONE;
	return t;
fail:
	table_close(t);
	return NULL;
}

void table_close(struct table *t)
{
	if (!t)
		return;
	free(t->slots);
	free(t->links);
	free(t->records);
	free(t);
}

int table_key(struct flow_key *out, const struct flow_key *key)
{
	const struct flow_key in = *key;
	int order = memcmp(in.src_ip, in.dst_ip, sizeof(in.src_ip));

	if (!order)
		order = (int)in.src_port - (int)in.dst_port;
	*out = in;
	out->family = flow_ip_is_ipv4(in.src_ip) ? 4 : 6;
	out->pad = 0;
	if (order <= 0)
		return 0;
	memcpy(out->src_ip, in.dst_ip, sizeof(out->src_ip));
	memcpy(out->dst_ip, in.src_ip, sizeof(out->dst_ip));
	out->src_port = in.dst_port;
	out->dst_port = in.src_port;
	return 1;
}

uint32_t table_hash(const struct table *t, const struct flow_key *key)
{
	return (uint32_t)siphash(t->secret, key, sizeof(*key));
}

void *table_record(const struct table *t, uint32_t at)
{
	if (at >= t->untouched || t->links[at].class_ == FREE)
		return NULL;
	return t->records + (size_t)at * t->record_bytes;
}

void table_fetch_slot(const struct table *t, uint32_t hash)
{
	__builtin_prefetch(&t->slots[hash & t->mask]);
}

void table_fetch_record(const struct table *t, uint32_t hash)
{
	const struct slot *s = &t->slots[hash & t->mask];
	const uint8_t *record;

	if (!s->at || s->hash != hash)
		return;
	record = t->records + (size_t)(s->at - 1) * t->record_bytes;
	__builtin_prefetch(&t->links[s->at - 1], 1);
	for (uint32_t i = 0; i < t->record_bytes; i += CACHE_LINE_BYTES)
		__builtin_prefetch(record + i, 1);
}

uint32_t table_find(const struct table *t, const struct flow_key *key)
{
	return table_find_hashed(t, key, table_hash(t, key));
}

uint32_t table_find_hashed(const struct table *t, const struct flow_key *key, uint32_t hash)
{
	for (uint32_t s = hash & t->mask; t->slots[s].at; s = (s + 1) & t->mask) {
		const uint32_t at = t->slots[s].at - 1;

		if (t->slots[s].hash == hash &&
		    !memcmp(t->records + (size_t)at * t->record_bytes, key, sizeof(*key)))
			return at;
	}
	return TABLE_NONE;
}

static void unlink_record(struct table *t, uint32_t at)
{
	const struct link *l = &t->links[at];

	if (l->older == TABLE_NONE)
		t->oldest[l->class_] = l->newer;
	else
		t->links[l->older].newer = l->newer;
	if (l->newer == TABLE_NONE)
		t->newest[l->class_] = l->older;
	else
		t->links[l->newer].older = l->older;
}

static void link_newest(struct table *t, uint32_t at, unsigned int class_)
{
	struct link *l = &t->links[at];

	l->class_ = (uint8_t)class_;
	l->newer = TABLE_NONE;
	l->older = t->newest[class_];
	if (l->older == TABLE_NONE)
		t->oldest[class_] = at;
	else
		t->links[l->older].newer = at;
	t->newest[class_] = at;
}

uint32_t table_add(struct table *t, const struct flow_key *key)
{
	return table_add_hashed(t, key, table_hash(t, key));
}

uint32_t table_add_hashed(struct table *t, const struct flow_key *key, uint32_t hash)
{
	uint32_t at = t->free, s = hash & t->mask;
	uint8_t *record;

	if (at == TABLE_NONE)
		at = t->untouched++;
	else
		t->free = t->links[at].newer;
	record = t->records + (size_t)at * t->record_bytes;
	memset(record, 0, t->record_bytes);
	memcpy(record, key, sizeof(*key));
	while (t->slots[s].at)
		s = (s + 1) & t->mask;
	t->slots[s] = (struct slot){.hash = hash, .at = at + 1};
	t->links[at].hash = hash;
	link_newest(t, at, 0);
	t->count++;
	return at;
}

void table_remove(struct table *t, uint32_t at)
{
	uint32_t hole = t->links[at].hash & t->mask, s, next;

	while (t->slots[hole].at != at + 1)
		hole = (hole + 1) & t->mask;
	/* what was pushed beyond the hole by a neighbour comes back into it */
	for (s = (hole + 1) & t->mask; t->slots[s].at; s = (s + 1) & t->mask) {
		const uint32_t home = t->slots[s].hash & t->mask;

		if (((s - home) & t->mask) >= ((s - hole) & t->mask)) {
			t->slots[hole] = t->slots[s];
			hole = s;
		}
	}
	t->slots[hole] = (struct slot){0};
	unlink_record(t, at);
	next = t->oldest[t->links[at].class_];
	if (next != TABLE_NONE) /* in a flood it is let go next */
		table_fetch_slot(t, t->links[next].hash);
	t->links[at].class_ = FREE;
	t->links[at].newer = t->free;
	t->free = at;
	t->count--;
}

void table_touch(struct table *t, uint32_t at, unsigned int class_)
{
	if (t->newest[class_] == at && t->links[at].class_ == class_)
		return;
	unlink_record(t, at);
	link_newest(t, at, class_);
}

uint32_t table_oldest(const struct table *t, unsigned int class_)
{
	return t->oldest[class_];
}

uint32_t table_newer(const struct table *t, uint32_t at)
{
	return t->links[at].newer;
}

uint32_t table_count(const struct table *t)
{
	return t->count;
}

uint32_t table_max(const struct table *t)
{
	return t->max;
}

size_t table_memory_bytes(const struct table *t)
{
	return sizeof(*t) + (t->mask + (size_t)1) * sizeof(*t->slots) +
	       (size_t)t->max * (sizeof(*t->links) + t->record_bytes);
}

size_t table_touched_bytes(const struct table *t)
{
	return sizeof(*t) + (t->mask + (size_t)1) * sizeof(*t->slots) +
	       (size_t)t->untouched * (sizeof(*t->links) + t->record_bytes);
}
