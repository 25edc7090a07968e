#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/replay.h"
#include "observer/hash.h"
#include "wire/cursor.h"

#define SERIES_MAX 4096 /* agents, and their data sources twice; the rest are left as they are */
#define FIELDS_MAX 16
#define TIME_CHARS 19 /* of YYYY-MM-DDThh:mm:ss */

/* --- times ---------------------------------------------------------------------------------------- */

static int is_time(const uint8_t *text)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd";

	for (size_t i = 0; i < TIME_CHARS; i++)
		if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
			return 0;
	return 1;
}

void replay_shift_times(uint8_t *text, uint32_t len_bytes, int64_t shift_s)
{
	for (uint32_t i = 0; i + TIME_CHARS <= len_bytes; i++) {
		char plain[TIME_CHARS + 1 + 1], moved[32];
		int64_t utc_us;

		if (!is_time(text + i))
			continue;
		memcpy(plain, text + i, TIME_CHARS);
		plain[TIME_CHARS] = 'Z'; /* whatever the offset: it moves along */
		if (clock_parse_utc(&utc_us, plain, TIME_CHARS + 1) == 0) {
			clock_format_utc(moved, sizeof(moved), utc_us + shift_s * US_PER_S, 0);
			if (is_time((const uint8_t *)moved))
				memcpy(text + i, moved, TIME_CHARS);
		}
		i += TIME_CHARS - 1;
	}
}

/* --- counters --------------------------------------------------------------------------------------- */

struct carry {                /* one growing number of the recording */
	uint64_t first, last; /* as recorded, in this pass */
	uint64_t offset;      /* what is added */
	int64_t first_us, last_us;
};

enum series_kind { SERIES_DATAGRAM = 1, SERIES_FLOW, SERIES_COUNTERS, SERIES_DISCARD };

struct series {
	uint8_t agent[16];
	uint32_t sub_agent, source_class, source_index;
	uint32_t kind; /* enum series_kind; 0: place is free */
	uint32_t pass;
	struct carry fields[FIELDS_MAX];
};

struct replay_sflow {
	uint32_t pass;
	int64_t span_us;
	struct series series[SERIES_MAX];
};

enum growth { BY_ONE, BY_AVERAGE };

struct place { /* where in a datagram we are, and whose numbers we read */
	struct replay_sflow *replay;
	struct cursor c;
	uint8_t *bytes;
	int64_t at_us;
	struct series *series;
	size_t field;
	int is_new_pass;
};

static uint64_t carry_on(struct place *p, uint64_t value, uint64_t mask, enum growth growth)
{
	struct carry *f = &p->series->fields[p->field++];
	int64_t covered_us = f->last_us - f->first_us;
	uint64_t step = 1;

	if (p->is_new_pass) {
		if (growth == BY_AVERAGE)
			step = covered_us > 0
				       ? (uint64_t)((double)((f->last - f->first) & mask) *
						    (double)(p->replay->span_us - covered_us) /
						    (double)covered_us)
				       : 0;
		f->offset += f->last + step - value;
	}
	if (p->is_new_pass || f->first_us == CLOCK_NEVER) {
		f->first = value;
		f->first_us = p->at_us;
	}
	f->last = value;
	f->last_us = p->at_us;
	return value + f->offset;
}

static void carry32(struct place *p, enum growth growth)
{
	uint8_t *at = p->bytes + p->c.off;
	uint32_t value = cursor_be32(&p->c);

	if (p->c.torn || !p->series || p->field == FIELDS_MAX)
		return;
	value = (uint32_t)carry_on(p, value, UINT32_MAX, growth);
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void carry64(struct place *p, enum growth growth)
{
	uint8_t *at = p->bytes + p->c.off;
	uint64_t value = cursor_be64(&p->c);

	if (p->c.torn || !p->series || p->field == FIELDS_MAX)
		return;
	value = carry_on(p, value, UINT64_MAX, growth);
	for (int i = 0; i < 8; i++)
		at[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* Whose numbers come next. No room for them: NULL, and they stay as they are. */
static void enter(struct place *p, const struct series *who)
{
	uint64_t h = hash_bytes(0, who, offsetof(struct series, pass));

	p->series = NULL;
	p->field = 0;
	for (uint32_t i = 0; i < SERIES_MAX; i++) {
		struct series *s = &p->replay->series[(h + i) % SERIES_MAX];

		if (s->kind == 0) {
			*s = *who;
			s->pass = p->replay->pass;
			for (size_t j = 0; j < FIELDS_MAX; j++)
				s->fields[j].first_us = CLOCK_NEVER;
		}
		if (memcmp(s, who, offsetof(struct series, pass)) == 0) {
			p->series = s;
			break;
		}
	}
	if (!p->series)
		return;
	p->is_new_pass = p->series->pass != p->replay->pass;
	p->series->pass = p->replay->pass;
}

/* --- the walk: sFlow version 5, only as far as its growing numbers go ---------------------------------- */

static void interface_counters(struct place *p)
{
	cursor_skip(&p->c, 24); /* index, type, speed, direction, status */
	for (int side = 0; side < 2; side++) {
		carry64(p, BY_AVERAGE); /* octets */
		for (int i = 0; i < (side == 0 ? 6 : 5); i++)
			carry32(p, BY_AVERAGE);
	}
}

static void counter_records(struct place *p, uint32_t end)
{
	uint32_t n = cursor_be32(&p->c);

	while (n-- && !p->c.torn && p->c.off < end) {
		uint32_t tag = cursor_be32(&p->c), len_bytes = cursor_be32(&p->c);
		uint32_t from = p->c.off;

		if (len_bytes > end - from)
			return;
		if (tag == 1 && len_bytes >= 88 && p->field == 1)
			interface_counters(p);
		cursor_skip(&p->c, from + len_bytes - p->c.off);
	}
}

static void sample(struct place *p, uint32_t tag, uint32_t end, struct series who)
{
	uint32_t sequence_at = p->c.off;
	int is_expanded = tag == 3 || tag == 4 || tag == 5;

	switch (tag) {
	case 1:
	case 3:
		who.kind = SERIES_FLOW;
		break;
	case 2:
	case 4:
		who.kind = SERIES_COUNTERS;
		break;
	case 5:
		who.kind = SERIES_DISCARD;
		break;
	default:
		return;
	}
	cursor_skip(&p->c, 4);
	who.source_class = is_expanded ? cursor_be32(&p->c) : 0;
	who.source_index = cursor_be32(&p->c);
	if (p->c.torn || p->c.off > end)
		return;
	enter(p, &who);
	p->c.off = sequence_at;
	carry32(p, BY_ONE);
	cursor_skip(&p->c, is_expanded ? 8 : 4);
	if (who.kind == SERIES_COUNTERS) {
		counter_records(p, end);
		return;
	}
	if (who.kind == SERIES_FLOW) {
		cursor_skip(&p->c, 4); /* rate */
		carry32(p, BY_AVERAGE);
	}
	carry32(p, BY_AVERAGE); /* drops */
}

struct replay_sflow *replay_sflow_open(void)
{
	return calloc(1, sizeof(struct replay_sflow));
}

void replay_sflow_close(struct replay_sflow *r)
{
	free(r);
}

void replay_sflow_again(struct replay_sflow *r, int64_t span_us)
{
	r->pass++;
	r->span_us = span_us;
}

void replay_sflow_rewrite(struct replay_sflow *r, uint8_t *bytes, uint32_t len_bytes, int64_t at_us)
{
	struct place p = {.replay = r, .bytes = bytes, .at_us = at_us};
	struct series who = {.kind = SERIES_DATAGRAM};
	uint32_t agent_type, agent_bytes, n;
	const uint8_t *agent;

	cursor_init(&p.c, bytes, len_bytes);
	if (cursor_be32(&p.c) != 5)
		return;
	agent_type = cursor_be32(&p.c);
	agent_bytes = agent_type == 1 ? 4 : 16;
	agent = cursor_take(&p.c, agent_bytes);
	who.sub_agent = cursor_be32(&p.c);
	if (p.c.torn || agent_type < 1 || agent_type > 2)
		return;
	memcpy(who.agent, agent, agent_bytes);
	enter(&p, &who);
	carry32(&p, BY_ONE);
	carry32(&p, BY_AVERAGE); /* uptime */
	n = cursor_be32(&p.c);
	while (n-- && !p.c.torn) {
		uint32_t tag = cursor_be32(&p.c), sample_bytes = cursor_be32(&p.c);
		uint32_t from = p.c.off;

		if (p.c.torn || sample_bytes > cursor_left(&p.c))
			return;
		sample(&p, tag, from + sample_bytes, who);
		p.c.off = from + sample_bytes;
	}
}
