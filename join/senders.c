#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "join/senders.h"
#include "join/table.h"

#define OFFSETS 9 /* newest; their median is the clock's offset */

/* Least worth keeping first. */
enum { CLASS_STRANGER, CLASS_SENDER, CLASS_JOINED, CLASSES };

struct entry {
	struct flow_key key; /* the address as src_ip, the rest 0 */
	struct sender sender;
	uint32_t n_offsets, next_offset;
	int64_t offsets_us[OFFSETS];
};

struct senders {
	struct table *table;
};

struct senders *senders_open(void)
{
	struct senders *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->table = table_open(SENDERS_MAX, sizeof(struct entry));
	if (!s->table) {
		senders_close(s);
		return NULL;
	}
	return s;
}

void senders_close(struct senders *s)
{
	if (!s)
		return;
	table_close(s->table);
	free(s);
}

size_t senders_count(const struct senders *s)
{
	return table_count(s->table);
}

size_t senders_memory_bytes(const struct senders *s)
{
	return sizeof(*s) + table_memory_bytes(s->table);
}

/* --- entries ------------------------------------------------------------------------------------ */

static struct flow_key key_of(const uint8_t ip[16])
{
	struct flow_key key = {0};

	memcpy(key.src_ip, ip, sizeof(key.src_ip));
	return key;
}

static struct sender *find(const struct senders *s, const uint8_t ip[16])
{
	struct flow_key key = key_of(ip);
	uint32_t at = table_find(s->table, &key);

	return at == TABLE_NONE ? NULL : &((struct entry *)table_record(s->table, at))->sender;
}

static unsigned int class_of(const struct sender *sender)
{
	if (sender->joined)
		return CLASS_JOINED;
	return sender->provenance == CLAIM_FROM_STRANGER ? CLASS_STRANGER : CLASS_SENDER;
}

static int make_room(struct senders *s, int for_stranger)
{
	unsigned int classes = for_stranger ? CLASS_STRANGER + 1 : CLASSES;

	if (table_count(s->table) < table_max(s->table))
		return 1;
	for (unsigned int i = 0; i < classes; i++) {
		uint32_t oldest = table_oldest(s->table, i);

		if (oldest == TABLE_NONE)
			continue;
		table_remove(s->table, oldest);
		return 1;
	}
	return 0;
}

static struct entry *find_or_make(struct senders *s, const struct claim *c)
{
	struct flow_key key = key_of(c->sender_ip);
	uint32_t at = table_find(s->table, &key);
	struct entry *e;

	if (at == TABLE_NONE) {
		if (!make_room(s, c->provenance == CLAIM_FROM_STRANGER))
			return NULL;
		at = table_add(s->table, &key);
		e = table_record(s->table, at);
		memcpy(e->sender.ip, c->sender_ip, sizeof(e->sender.ip));
		e->sender.first_heard_utc_us = c->last_heard_utc_us;
		e->sender.clock_offset_us = CLOCK_NEVER;
	}
	e = table_record(s->table, at);
	e->sender.producer = c->producer;
	e->sender.provenance = c->provenance;
	e->sender.last_heard_utc_us = c->last_heard_utc_us;
	table_touch(s->table, at, class_of(&e->sender));
	return e;
}

static int compare_offsets(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t add_offset(struct entry *e, int64_t offset_us)
{
	int64_t sorted[OFFSETS];

	e->offsets_us[e->next_offset] = offset_us;
	e->next_offset = (e->next_offset + 1) % OFFSETS;
	if (e->n_offsets < OFFSETS)
		e->n_offsets++;
	memcpy(sorted, e->offsets_us, sizeof(sorted));
	qsort(sorted, e->n_offsets, sizeof(sorted[0]), compare_offsets);
	return sorted[(e->n_offsets - 1) / 2];
}

/* --- what happens ------------------------------------------------------------------------------- */

int64_t senders_heard(struct senders *s, const struct claim *c, int is_duplicate)
{
	struct entry *e = find_or_make(s, c);

	if (!e)
		return c->clock_offset_us;
	e->sender.fireflies++;
	if (is_duplicate)
		e->sender.duplicates++;
	else if (c->starts + c->ongoings + c->ends == 0)
		e->sender.claims++;
	if (c->clock_offset_us != CLOCK_NEVER)
		e->sender.clock_offset_us = add_offset(e, c->clock_offset_us);
	return e->sender.clock_offset_us;
}

void senders_joined(struct senders *s, const struct claim *c)
{
	struct flow_key key = key_of(c->sender_ip);
	uint32_t at = table_find(s->table, &key);

	if (at == TABLE_NONE)
		return;
	((struct entry *)table_record(s->table, at))->sender.joined++;
	table_touch(s->table, at, CLASS_JOINED);
}

void senders_odd(struct senders *s, const struct claim *c, unsigned int bit)
{
	struct sender *sender = find(s, c->sender_ip);
	struct sender_oddity *odd;

	if (!sender || bit >= CLAIM_ODDITIES)
		return;
	odd = &sender->oddities[bit];
	odd->claims++;
	memmove(odd->evidence + 1, odd->evidence, sizeof(odd->evidence) - sizeof(odd->evidence[0]));
	odd->evidence[0] = c->key;
	if (odd->n_evidence < SENDER_EVIDENCE_MAX)
		odd->n_evidence++;
}

static uint64_t said(uint64_t bytes)
{
	return bytes == FIREFLY_BYTES_UNSAID ? 0 : bytes;
}

void senders_outcome(struct senders *s, const struct flow_view *v)
{
	struct sender *sender = find(s, v->claim.sender_ip);
	uint64_t there = said(v->claim.src_to_dst_bytes), back = said(v->claim.dst_to_src_bytes);

	if (!sender)
		return;
	sender->confirmed += v->flow.grade == GRADE_CONFIRMED;
	sender->disagree += v->flow.grade == GRADE_DISAGREE;
	sender->claimed += v->flow.grade == GRADE_CLAIMED;
	if (!v->claim.joined)
		return;
	sender->claimed_bytes += there > back ? there : back;
	sender->seen_bytes += v->flow.way[FLOW_THERE].bytes;
}

static int compare_newest(const void *a, const void *b)
{
	const struct sender *x = *(const struct sender *const *)a;
	const struct sender *y = *(const struct sender *const *)b;

	if (x->last_heard_utc_us != y->last_heard_utc_us)
		return x->last_heard_utc_us < y->last_heard_utc_us ? 1 : -1;
	return memcmp(x->ip, y->ip, sizeof(x->ip));
}

size_t senders_list(const struct senders *s, struct sender *out, size_t cap)
{
	const struct sender *all[SENDERS_MAX];
	size_t n = 0;

	for (unsigned int i = 0; i < CLASSES; i++)
		for (uint32_t at = table_oldest(s->table, i); at != TABLE_NONE;
		     at = table_newer(s->table, at))
			all[n++] = &((struct entry *)table_record(s->table, at))->sender;
	qsort(all, n, sizeof(all[0]), compare_newest);
	if (n > cap)
		n = cap;
	for (size_t i = 0; i < n; i++)
		out[i] = *all[i];
	return n;
}
