/* One record for each 5-tuple, whichever way round it is named: the claim that is alive, or the
 * last one, which is kept a while for what comes late. docs/fireflies.md has the rules in words. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "join/claim_entry.h"
#include "join/spread.h"

#define INTERVAL_US (SPREAD_MAX_S * US_PER_S)
#define TICK_MAX    65536 /* claims given up in one call */

/* The table's classes, what is let go first first. */
enum {
	CLASS_STRANGER_ENDED,
	CLASS_STRANGER,
	CLASS_ENDED,
	CLASS_OPEN,
	CLASS_JOINED_ENDED,
	CLASS_JOINED,
	CLASSES
};
_Static_assert(CLASSES <= TABLE_CLASSES, "every class has its list");

/* --- open and close ----------------------------------------------------------------------------- */

int claims_configure(struct claims *c, const struct claims_config *cfg)
{
	uint8_t(*relays)[16] = NULL;

	if (cfg->n_relays) {
		relays = malloc(cfg->n_relays * sizeof(*relays));
		if (!relays)
			return -ENOMEM;
		memcpy(relays, cfg->relays, cfg->n_relays * sizeof(*relays));
	}
	free(c->relays);
	c->relays = relays;
	c->n_relays = cfg->n_relays;
	c->silent_us = (cfg->silent_s ? cfg->silent_s : JOIN_CLAIM_SILENT_S) * US_PER_S;
	return 0;
}

struct claims *claims_open(const struct claims_config *cfg, struct senders *senders)
{
	struct claims *c = calloc(1, sizeof(*c));
	uint32_t max = cfg->claims_max ? cfg->claims_max : JOIN_CLAIMS_MAX;

	if (!c)
		return NULL;
	c->senders = senders;
	c->listening_since_utc_us = CLOCK_NEVER;
	c->table = table_open(max, sizeof(struct claim_entry));
	c->index = claim_index_open(max);
	c->ledger = ledger_open();
	if (!c->table || !c->index || !c->ledger || claims_configure(c, cfg) ||
	    getrandom(c->secret, sizeof(c->secret), 0) != sizeof(c->secret)) {
		claims_close(c);
		return NULL;
	}
	return c;
}

void claims_close(struct claims *c)
{
	if (!c)
		return;
	table_close(c->table);
	claim_index_close(c->index);
	ledger_close(c->ledger);
	free(c->relays);
	free(c);
}

void claims_set_registered(struct claims *c, const struct scitag_set *registered)
{
	c->registered = *registered;
	ledger_set_registered(c->ledger, registered);
}

/* --- small questions ---------------------------------------------------------------------------- */

struct claim *claims_at(const struct claims *c, uint32_t at)
{
	struct claim_entry *e = claim_entry_at(c, at);

	return e ? &e->claim : NULL;
}

static enum claim_provenance provenance_of(const struct claims *c, const struct heard *h)
{
	const struct flow_key *key = &h->firefly.key;

	if (memcmp(h->sender_ip, key->src_ip, sizeof(key->src_ip)) == 0 ||
	    memcmp(h->sender_ip, key->dst_ip, sizeof(key->dst_ip)) == 0)
		return CLAIM_FROM_END;
	for (size_t i = 0; i < c->n_relays; i++)
		if (memcmp(h->sender_ip, c->relays[i], sizeof(c->relays[i])) == 0)
			return CLAIM_FROM_RELAY;
	return CLAIM_FROM_STRANGER;
}

/* --- oddities ----------------------------------------------------------------------------------- */

static void odd(struct claims *c, struct claim *claim, uint32_t oddities)
{
	oddities &= ~claim->oddities;
	claim->oddities |= oddities;
	for (unsigned int bit = 0; bit < CLAIM_ODDITIES; bit++)
		if (oddities & 1u << bit)
			senders_odd(c->senders, claim, bit);
}

void claims_odd(struct claims *c, uint32_t at, uint32_t oddity)
{
	struct claim *claim = claims_at(c, at);

	if (claim)
		odd(c, claim, oddity);
}

static uint32_t oddities_of(const struct claims *c, const struct firefly *ff)
{
	uint32_t o = 0;

	if (ff->flags & FIREFLY_NO_TAG)
		o |= CLAIM_NO_TAG;
	else if (!scitag_set_has(&c->registered, ff->tag))
		o |= CLAIM_DEAD_NUMBER;
	if (ff->flags & FIREFLY_BAD_INTERVAL)
		o |= CLAIM_BAD_INTERVAL;
	if (ff->flags & FIREFLY_REPAIRED)
		o |= CLAIM_REPAIRED;
	/* XRootD's "-" is a header as RFC 5424 has it, and every collector reads it */
	if ((ff->flags & FIREFLY_NO_HEADER) ||
	    ((ff->flags & FIREFLY_NO_HEADER_TIME) && ff->producer != FIREFLY_XROOTD))
		o |= CLAIM_NO_HEADER;
	if (claim_is_private(ff->key.src_ip) || claim_is_private(ff->key.dst_ip))
		o |= CLAIM_PRIVATE;
	return o;
}

/* --- making and letting go ---------------------------------------------------------------------- */

static unsigned int class_of(const struct claim *c)
{
	int is_open = c->state == CLAIM_OPEN;

	if (c->joined)
		return is_open ? CLASS_JOINED : CLASS_JOINED_ENDED;
	if (c->provenance == CLAIM_FROM_STRANGER)
		return is_open ? CLASS_STRANGER : CLASS_STRANGER_ENDED;
	return is_open ? CLASS_OPEN : CLASS_ENDED;
}

static void let_go(struct claims *c, uint32_t at, enum claim_state state, claim_over over,
		   void *arg)
{
	struct claim_entry *e = claim_entry_at(c, at);
	struct claim *claim = &e->claim;
	int64_t start = claim->start_utc_us;

	if (claim->state == CLAIM_OPEN)
		claim->state = (uint8_t)state;
	if (start == CLOCK_NEVER) /* as early as it may have been */
		start = claim->first_heard_utc_us - c->silent_us;
	if (!claim->starts && start + e->shift_us > c->listening_since_utc_us)
		odd(c, claim, CLAIM_NO_START);
	if (!claim->joined && c->has_flows && state == CLAIM_EXPIRED) /* after all its time */
		odd(c, claim, CLAIM_UNSEEN);
	if (over)
		over(arg, at, claim);
	claim_index_remove(c->index, at);
	table_remove(c->table, at);
}

static int make_room(struct claims *c, enum claim_provenance provenance, claim_over over, void *arg)
{
	unsigned int classes = provenance == CLAIM_FROM_STRANGER ? CLASS_STRANGER + 1 : CLASSES;

	if (table_count(c->table) < table_max(c->table))
		return 1;
	c->status.evicted++; /* if not another, then the one that finds no room */
	for (unsigned int i = 0; i < classes; i++) {
		uint32_t oldest = table_oldest(c->table, i);

		if (oldest == TABLE_NONE)
			continue;
		let_go(c, oldest, CLAIM_EVICTED, over, arg);
		return 1;
	}
	return 0;
}

static uint32_t begin(struct claims *c, const struct flow_key *ordered, const struct heard *h,
		      enum claim_provenance provenance, claim_over over, void *arg)
{
	const struct firefly *ff = &h->firefly;
	struct claim_entry *e;
	uint32_t at;

	if (!make_room(c, provenance, over, arg))
		return TABLE_NONE;
	at = table_add(c->table, ordered);
	e = claim_entry_at(c, at);
	e->said_utc_us = e->ended_utc_us = e->seen_utc_us = CLOCK_NEVER;
	e->claim = (struct claim){
		.key = ff->key,
		.tag = ff->tag,
		.start_utc_us = CLOCK_NEVER,
		.end_utc_us = CLOCK_NEVER,
		.first_heard_utc_us = h->heard_utc_us,
		.clock_offset_us = CLOCK_NEVER,
		.src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
		.dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
		.first_src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
		.first_dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
		.booked_until_utc_us = CLOCK_NEVER,
		.rtt_us = FIREFLY_RTT_UNSAID,
		.state = CLAIM_OPEN,
		.producer = (uint8_t)ff->producer,
		.provenance = (uint8_t)provenance,
	};
	memcpy(e->claim.sender_ip, h->sender_ip, sizeof(h->sender_ip));
	claims_index(c, at);
	c->status.begun++;
	return at;
}

/* --- what a message changes --------------------------------------------------------------------- */

static struct ledger_who who_of(const struct claim *claim, int64_t heard_utc_us)
{
	return (struct ledger_who){claim->tag, claim->application, claim->key.family,
				   claim->provenance == CLAIM_FROM_STRANGER, heard_utc_us};
}

static void note_message(struct claims *c, struct claim_entry *e, const struct firefly *ff,
			 int64_t heard_utc_us, uint64_t end_bytes)
{
	struct ledger_who who = who_of(&e->claim, heard_utc_us);
	struct ledger_counts counts = {.starts = ff->state == FIREFLY_START,
				       .ongoings = ff->state == FIREFLY_ONGOING,
				       .ends = ff->state == FIREFLY_END,
				       .end_bytes = end_bytes};

	e->claim.starts += (uint32_t)counts.starts;
	e->claim.ongoings += (uint32_t)counts.ongoings;
	e->claim.ends += (uint32_t)counts.ends;
	ledger_count(c->ledger, &who, &counts);
}

/* As much as has room, cut at a character's start. */
static void copy_application(struct claim *claim, const char *text)
{
	size_t n = strnlen(text, sizeof(claim->application));

	if (n == sizeof(claim->application))
		for (n--; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80; n--)
			;
	memset(claim->application, 0, sizeof(claim->application));
	memcpy(claim->application, text, n);
}

static void take_identity(struct claims *c, struct claim *claim, const struct firefly *ff)
{
	uint32_t oddities = oddities_of(c, ff);

	if (!(ff->flags & FIREFLY_NO_TAG)) {
		claim->tag = ff->tag;
		claim->oddities &= oddities | ~(uint32_t)(CLAIM_NO_TAG | CLAIM_DEAD_NUMBER);
	} else if (claim->tag.experiment || claim->tag.activity) {
		oddities &= ~(uint32_t)CLAIM_NO_TAG; /* it said one before */
	}
	if (ff->application[0])
		copy_application(claim, ff->application);
	if (ff->rtt_us != FIREFLY_RTT_UNSAID)
		claim->rtt_us = ff->rtt_us;
	if (claim->start_utc_us == CLOCK_NEVER)
		claim->start_utc_us = ff->start_utc_us;
	claim->flags = ff->flags;
	odd(c, claim, oddities);
}

static void take_clock(struct claims *c, struct claim_entry *e, const struct heard *h)
{
	struct claim *claim = &e->claim;
	int64_t said = claim_said_utc_us(&h->firefly), offset_us;

	claim->last_heard_utc_us = h->heard_utc_us;
	claim->clock_offset_us =
		said == FIREFLY_TIME_UNKNOWN ? CLOCK_NEVER : h->heard_utc_us - said;
	offset_us = senders_heard(c->senders, claim, 0);
	if (claim->provenance == CLAIM_FROM_RELAY) /* its median is of many clocks */
		offset_us = claim->clock_offset_us;
	e->shift_us = 0;
	if (offset_us == CLOCK_NEVER || llabs(offset_us) <= JOIN_CLOCK_S * US_PER_S)
		return;
	e->shift_us = offset_us;
	odd(c, claim, CLAIM_CLOCK);
}

static uint64_t less(uint64_t bytes, uint64_t before)
{
	before = claim_or_zero(before);
	return bytes > before ? bytes - before : 0;
}

/* XRootD counts since the connection opened: what its START said is not this flow's. */
static void take_usage(struct claim *claim, const struct firefly *ff)
{
	uint64_t there = ff->src_to_dst_bytes, back = ff->dst_to_src_bytes;

	if (ff->state == FIREFLY_START && (ff->flags & FIREFLY_USAGE_CUMULATIVE)) {
		claim->first_src_to_dst_bytes = there;
		claim->first_dst_to_src_bytes = back;
	}
	if (there != FIREFLY_BYTES_UNSAID)
		claim->src_to_dst_bytes = less(there, claim->first_src_to_dst_bytes);
	if (back != FIREFLY_BYTES_UNSAID)
		claim->dst_to_src_bytes = less(back, claim->first_dst_to_src_bytes);
}

/* A time of the sender's by our clock, and never in our future or beyond belief. */
static int64_t by_our_clock(const struct claim_entry *e, int64_t utc_us, int64_t heard_utc_us)
{
	if (utc_us == CLOCK_NEVER)
		return heard_utc_us;
	utc_us += e->shift_us;
	if (utc_us > heard_utc_us || utc_us < heard_utc_us - INTERVAL_US)
		return heard_utc_us;
	return utc_us;
}

/* Lay what is new over the time since the last booking. */
static void book(struct claims *c, struct claim_entry *e, const struct heard *h)
{
	struct claim *claim = &e->claim;
	const struct firefly *ff = &h->firefly;
	struct ledger_who who = who_of(claim, h->heard_utc_us);
	uint64_t bytes = claim_or_zero(claim_bytes(claim));
	int64_t until_utc_us, from_utc_us = claim->booked_until_utc_us;

	if (ff->state == FIREFLY_END && claim->end_utc_us != CLOCK_NEVER)
		until_utc_us = by_our_clock(e, claim->end_utc_us, h->heard_utc_us);
	else
		until_utc_us = by_our_clock(e, claim_said_utc_us(ff), h->heard_utc_us);
	if (from_utc_us == CLOCK_NEVER && claim->start_utc_us != CLOCK_NEVER)
		from_utc_us = claim->start_utc_us + e->shift_us;
	if (from_utc_us == CLOCK_NEVER) /* when it was first heard of, or all at once */
		from_utc_us = claim->first_heard_utc_us;
	claim->booked_until_utc_us = until_utc_us;
	if (bytes <= claim->booked_bytes)
		return;
	ledger_book(c->ledger, &who, bytes - claim->booked_bytes, from_utc_us, until_utc_us);
	claim->booked_bytes = bytes;
}

static void take_end(struct claims *c, struct claim_entry *e, const struct heard *h)
{
	struct claim *claim = &e->claim;
	struct ledger_who who = who_of(claim, h->heard_utc_us);
	uint64_t bytes = claim_or_zero(claim_bytes(claim));
	int64_t duration_us;

	claim->end_utc_us = h->firefly.end_utc_us;
	claim->state = CLAIM_ENDED;
	e->ended_utc_us = h->heard_utc_us;
	if (bytes == 0)
		odd(c, claim, CLAIM_ZERO_USAGE);
	duration_us = claim_duration_us(claim);
	if (duration_us != CLOCK_NEVER)
		ledger_measure(c->ledger, &who, HISTOGRAM_DURATION_MS,
			       (uint64_t)duration_us / 1000);
	else if (claim->start_utc_us != CLOCK_NEVER && claim->end_utc_us != CLOCK_NEVER)
		odd(c, claim, CLAIM_BAD_INTERVAL);
	ledger_measure(c->ledger, &who, HISTOGRAM_BYTES, bytes);
}

static void take_news(struct claims *c, uint32_t at, const struct heard *h, uint32_t print)
{
	struct claim_entry *e = claim_entry_at(c, at);
	const struct firefly *ff = &h->firefly;
	struct claim *claim = &e->claim;
	uint64_t end_bytes = 0;

	memcpy(claim->sender_ip, h->sender_ip, sizeof(claim->sender_ip));
	e->prints[e->next_print++ % CLAIM_PRINTS] = print;
	take_clock(c, e, h);
	if (claim->provenance == CLAIM_FROM_STRANGER)
		odd(c, claim, CLAIM_STRANGER);
	take_identity(c, claim, ff);
	take_usage(claim, ff);
	if (ff->state == FIREFLY_ONGOING && claim_said_utc_us(ff) != FIREFLY_TIME_UNKNOWN)
		e->said_utc_us = claim_said_utc_us(ff);
	if (ff->state == FIREFLY_END) {
		take_end(c, e, h);
		end_bytes = claim_or_zero(claim_bytes(claim));
	}
	if (ff->state != FIREFLY_START && claim_bytes(claim) != FIREFLY_BYTES_UNSAID)
		book(c, e, h);
	note_message(c, e, ff, h->heard_utc_us, end_bytes);
	table_touch(c->table, at, class_of(claim));
}

/* Whoever sent it, which need not be who made the claim. */
static struct claim sent_by(const struct claim *claim, const struct heard *h,
			    enum claim_provenance provenance)
{
	int64_t said = claim_said_utc_us(&h->firefly);
	struct claim c = *claim;

	memcpy(c.sender_ip, h->sender_ip, sizeof(c.sender_ip));
	c.provenance = (uint8_t)provenance;
	c.producer = (uint8_t)h->firefly.producer;
	c.last_heard_utc_us = h->heard_utc_us;
	c.clock_offset_us = said == FIREFLY_TIME_UNKNOWN ? CLOCK_NEVER : h->heard_utc_us - said;
	return c;
}

static void take_count(struct claims *c, uint32_t at, const struct heard *h,
		       enum claim_provenance provenance, uint32_t print)
{
	struct claim_entry *e = claim_entry_at(c, at);
	struct claim sent = sent_by(&e->claim, h, provenance);

	e->prints[e->next_print++ % CLAIM_PRINTS] = print;
	e->claim.last_heard_utc_us = h->heard_utc_us;
	senders_heard(c->senders, &sent, 0);
	note_message(c, e, &h->firefly, h->heard_utc_us, 0);
	table_touch(c->table, at, class_of(&e->claim));
}

/* It changes nothing: count it, for whoever sent it. */
static void take_copy(struct claims *c, uint32_t at, const struct heard *h,
		      enum claim_provenance provenance)
{
	struct claim_entry *e = claim_entry_at(c, at);
	struct claim sent = sent_by(&e->claim, h, provenance), *claim = &e->claim;
	int is_stranger = provenance == CLAIM_FROM_STRANGER;

	c->status.duplicates++;
	claim->duplicates++;
	senders_heard(c->senders, &sent, 1);
	if (is_stranger && memcmp(claim->sender_ip, h->sender_ip, sizeof(h->sender_ip)) != 0) {
		sent.oddities &= ~(uint32_t)CLAIM_STRANGER;
		if (!e->had_stranger)
			odd(c, &sent, CLAIM_STRANGER);
		e->had_stranger = 1;
		return; /* and does not keep it alive */
	}
	claim->last_heard_utc_us = h->heard_utc_us;
	if (claim->provenance == CLAIM_FROM_STRANGER && !is_stranger) {
		/* who may speak says the same */
		claim->provenance = (uint8_t)provenance;
		claim->oddities &= ~(uint32_t)CLAIM_STRANGER;
		memcpy(claim->sender_ip, h->sender_ip, sizeof(h->sender_ip));
		claims_index(c, at);
	}
	table_touch(c->table, at, class_of(claim));
}

/* The other end knows the bytes: from here on it is the one who speaks. Returns 0 when it has nothing more
 * to say, as the flow has ended. */
static int take_lead(struct claims *c, uint32_t at, const struct heard *h,
		     enum claim_provenance provenance)
{
	struct claim_entry *e = claim_entry_at(c, at);
	struct claim *claim = &e->claim;
	struct ledger_counts counts = {0};
	struct ledger_who who;

	claim->key = h->firefly.key;
	claim->producer = (uint8_t)h->firefly.producer;
	if (provenance != CLAIM_FROM_STRANGER) /* what a NAT's flow has shown stays */
		claim->provenance = (uint8_t)provenance;
	memcpy(claim->sender_ip, h->sender_ip, sizeof(claim->sender_ip));
	claims_index(c, at);
	if (claim->state == CLAIM_OPEN)
		return 1;
	take_copy(c, at, h, provenance);
	take_usage(claim, &h->firefly);
	book(c, e, h);
	who = who_of(claim, h->heard_utc_us);
	counts.end_bytes = claim_bytes(claim);
	ledger_count(c->ledger, &who, &counts);
	ledger_measure(c->ledger, &who, HISTOGRAM_BYTES, counts.end_bytes);
	return 0;
}

uint32_t claims_hear(struct claims *c, const struct heard *h, claim_over over, void *arg)
{
	enum claim_provenance provenance = provenance_of(c, h);
	uint32_t print = claim_print(c, &h->firefly), at;
	enum claim_verdict v = VERDICT_NEWS;
	struct flow_key ordered;

	if (c->listening_since_utc_us == CLOCK_NEVER)
		c->listening_since_utc_us = h->heard_utc_us;
	table_key(&ordered, &h->firefly.key);
	at = table_find(c->table, &ordered);
	if (at != TABLE_NONE)
		v = claim_verdict(claim_entry_at(c, at), h, provenance, print);
	switch (v) {
	case VERDICT_STRANGE:
	case VERDICT_COPY:
		take_copy(c, at, h, provenance);
		return at;
	case VERDICT_LATE:
		take_copy(c, at, h, provenance);
		return TABLE_NONE;
	case VERDICT_COUNTED:
		take_count(c, at, h, provenance, print);
		return at;
	case VERDICT_LEAD:
		if (!take_lead(c, at, h, provenance))
			return at;
		break;
	case VERDICT_REPLACE:
		c->status.superseded += claims_at(c, at)->state == CLAIM_OPEN;
		let_go(c, at, CLAIM_SUPERSEDED, over, arg);
		at = TABLE_NONE;
		break;
	case VERDICT_NEWS:
		break;
	}
	if (at == TABLE_NONE)
		at = begin(c, &ordered, h, provenance, over, arg);
	if (at != TABLE_NONE)
		take_news(c, at, h, print);
	return at;
}

/* --- time passes -------------------------------------------------------------------------------- */

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void claims_tick(struct claims *c, int64_t now_utc_us, claim_over over, void *arg)
{
	uint32_t left = TICK_MAX;

	for (unsigned int i = 0; i < CLASSES; i++) {
		uint32_t at;

		while (left && (at = table_oldest(c->table, i)) != TABLE_NONE) {
			const struct claim_entry *e = claim_entry_at(c, at);
			int is_open = e->claim.state == CLAIM_OPEN;
			int64_t until =
				is_open ? later(e->claim.last_heard_utc_us, e->seen_utc_us) +
						  c->silent_us
					: e->ended_utc_us + CLAIM_WINDOW_US;

			if (until > now_utc_us)
				break;
			c->status.expired += (uint64_t)is_open;
			let_go(c, at, CLAIM_EXPIRED, over, arg);
			left--;
		}
	}
}

void claims_joined(struct claims *c, uint32_t at, int64_t last_seen_utc_us)
{
	struct claim_entry *e = claim_entry_at(c, at);

	if (!e)
		return;
	e->seen_utc_us = later(e->seen_utc_us, last_seen_utc_us);
	if (e->claim.joined) {
		if (e->claim.state == CLAIM_OPEN)
			table_touch(c->table, at, CLASS_JOINED);
		return;
	}
	e->claim.joined = 1;
	c->status.joined++;
	if (e->is_behind_nat && e->claim.provenance == CLAIM_FROM_STRANGER) {
		/* the wire shows its sender's address as an end of the flow */
		e->claim.provenance = CLAIM_FROM_END;
		e->claim.oddities &= ~(uint32_t)CLAIM_STRANGER;
	}
	table_touch(c->table, at, class_of(&e->claim));
	senders_joined(c->senders, &e->claim);
}

/* --- handing over ------------------------------------------------------------------------------- */

int claims_take(struct claims *c, struct claim_row **rows, size_t *n_rows,
		struct histogram_row **histograms, size_t *n_histograms)
{
	return ledger_take(c->ledger, rows, n_rows, histograms, n_histograms);
}

void claims_status(const struct claims *c, struct claims_status *out)
{
	*out = c->status;
	out->count = table_count(c->table);
	out->crowded = ledger_crowded(c->ledger);
}

size_t claims_memory_bytes(const struct claims *c)
{
	return sizeof(*c) + table_memory_bytes(c->table) + claim_index_memory_bytes(c->index) +
	       ledger_memory_bytes(c->ledger);
}
