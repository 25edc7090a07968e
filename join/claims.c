/* One record for each 5-tuple, whichever way round it is named: the claim that is alive, or the
 * last one, which is kept a while for what comes late. docs/fireflies.md has the rules in words. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "join/claim_index.h"
#include "join/claims.h"
#include "join/join.h"
#include "join/ledger.h"
#include "join/siphash.h"
#include "join/spread.h"

#define WINDOW_US     (JOIN_WINDOW_S * US_PER_S)
#define SAME_START_US US_PER_S        /* start times closer than this name one flow */
#define GRACE_US      (10 * US_PER_S) /* for the flow that fits with both ports to be seen first */
#define INTERVAL_US   (SPREAD_MAX_S * US_PER_S)
#define PRINTS        4     /* newest messages remembered, to tell copies from late ones */
#define WALK_MAX      32    /* claims looked at behind one index entry */
#define TICK_MAX      65536 /* claims given up in one call */

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

struct entry {
	struct flow_key key; /* the table's: ends in order */
	struct claim claim;
	int64_t said_utc_us;  /* the newest time an ONGOING spoke of, by its sender's clock */
	int64_t ended_utc_us; /* when its END was heard */
	int64_t seen_utc_us;  /* the newest packet */
	int64_t shift_us;     /* what its sender's clock is behind ours, where that is too much */
	uint32_t prints[PRINTS];
	uint8_t next_print;
	uint8_t is_behind_nat; /* its flow was found by its sender's public address */
	uint8_t had_stranger;  /* a stranger spoke of it too */
};

struct claims {
	struct table *table;
	struct claim_index *index;
	struct ledger *ledger;
	struct senders *senders; /* borrowed */
	uint64_t secret[2];
	int64_t listening_since_utc_us;
	int64_t silent_us;
	uint8_t (*relays)[16];
	size_t n_relays;
	struct scitag_set registered;
	struct claims_status status; /* but for what is asked elsewhere */
};

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
	c->table = table_open(max, sizeof(struct entry));
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

static struct entry *entry_at(const struct claims *c, uint32_t at)
{
	return table_record(c->table, at);
}

struct claim *claims_at(const struct claims *c, uint32_t at)
{
	struct entry *e = entry_at(c, at);

	return e ? &e->claim : NULL;
}

static uint64_t or_zero(uint64_t bytes)
{
	return bytes == FIREFLY_BYTES_UNSAID ? 0 : bytes;
}

static int says_bytes(const struct claim *c)
{
	return c->src_to_dst_bytes != FIREFLY_BYTES_UNSAID ||
	       c->dst_to_src_bytes != FIREFLY_BYTES_UNSAID;
}

int claim_data_direction(const struct claim *c)
{
	uint64_t there = or_zero(c->src_to_dst_bytes), back = or_zero(c->dst_to_src_bytes);

	return (there > back) - (there < back);
}

uint64_t claim_bytes(const struct claim *c)
{
	uint64_t there = or_zero(c->src_to_dst_bytes), back = or_zero(c->dst_to_src_bytes);

	if (!says_bytes(c))
		return FIREFLY_BYTES_UNSAID;
	return there > back ? there : back;
}

static int is_interval(int64_t from_utc_us, int64_t to_utc_us)
{
	return to_utc_us >= from_utc_us && to_utc_us - from_utc_us <= INTERVAL_US;
}

int64_t claim_duration_us(const struct claim *c)
{
	if (c->start_utc_us == CLOCK_NEVER || c->end_utc_us == CLOCK_NEVER ||
	    !is_interval(c->start_utc_us, c->end_utc_us))
		return CLOCK_NEVER;
	return c->end_utc_us - c->start_utc_us;
}

double claim_bytes_per_s(const struct claim *c)
{
	int64_t duration_us = claim_duration_us(c);

	if (duration_us == CLOCK_NEVER || duration_us == 0 || !says_bytes(c))
		return NAN;
	return (double)claim_bytes(c) * 1e6 / (double)duration_us;
}

/* RFC 1918, RFC 6598 (carriers' NAT) and RFC 4193. */
static int is_private(const uint8_t ip[16])
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	const uint8_t *v4 = ip + 12;

	if (memcmp(ip, mapped, sizeof(mapped)) != 0)
		return (ip[0] & 0xFE) == 0xFC;
	return v4[0] == 10 || (v4[0] == 172 && (v4[1] & 0xF0) == 16) ||
	       (v4[0] == 192 && v4[1] == 168) || (v4[0] == 100 && (v4[1] & 0xC0) == 64);
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

/* When it was made, by its sender's clock. */
static int64_t said_utc_us(const struct firefly *ff)
{
	if (ff->current_utc_us != FIREFLY_TIME_UNKNOWN)
		return ff->current_utc_us;
	if (ff->header_utc_us != FIREFLY_TIME_UNKNOWN)
		return ff->header_utc_us;
	return ff->end_utc_us; /* unknown but for an END */
}

static uint32_t print_of(const struct claims *c, const struct firefly *ff)
{
	struct {
		int64_t current_utc_us, start_utc_us, end_utc_us;
		uint64_t src_to_dst_bytes, dst_to_src_bytes;
		struct flow_key key;
		uint32_t state;
		struct scitag tag;
	} what;
	uint32_t print;

	memset(&what, 0, sizeof(what));
	what.current_utc_us = ff->current_utc_us;
	what.start_utc_us = ff->start_utc_us;
	what.end_utc_us = ff->end_utc_us;
	what.src_to_dst_bytes = ff->src_to_dst_bytes;
	what.dst_to_src_bytes = ff->dst_to_src_bytes;
	what.key = ff->key;
	what.state = ff->state;
	what.tag = ff->tag;
	print = (uint32_t)siphash(c->secret, &what, sizeof(what));
	return print + (print == 0);
}

static int is_copy(const struct entry *e, uint32_t print, int64_t heard_utc_us)
{
	if (heard_utc_us - e->claim.last_heard_utc_us > WINDOW_US)
		return 0;
	for (size_t i = 0; i < PRINTS; i++)
		if (e->prints[i] == print)
			return 1;
	return 0;
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
	if (is_private(ff->key.src_ip) || is_private(ff->key.dst_ip))
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
	struct entry *e = entry_at(c, at);
	struct claim *claim = &e->claim;
	int64_t start = claim->start_utc_us;

	if (claim->state == CLAIM_OPEN)
		claim->state = (uint8_t)state;
	if (start == CLOCK_NEVER) /* as early as it may have been */
		start = claim->first_heard_utc_us - c->silent_us;
	if (!claim->starts && start + e->shift_us > c->listening_since_utc_us)
		odd(c, claim, CLAIM_NO_START);
	if (!claim->joined && state == CLAIM_EXPIRED) /* it had all the time to be seen */
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

static void index_by(struct claims *c, uint32_t at, enum claim_index_by by,
		     const struct flow_key *key)
{
	struct flow_key k;

	if (claim_index_key(&k, by, key) == 0)
		claim_index_add(c->index, at, by, &k);
}

/* The key as the wire shows it when exactly one end is behind a NAT and the datagram came out of it. */
static int public_key(struct flow_key *out, const struct flow_key *key, const uint8_t sender_ip[16])
{
	int src = is_private(key->src_ip), dst = is_private(key->dst_ip);

	if (src == dst || is_private(sender_ip))
		return 0;
	*out = *key;
	memcpy(src ? out->src_ip : out->dst_ip, sender_ip, sizeof(out->src_ip));
	return memcmp(out->src_ip, out->dst_ip, sizeof(out->src_ip)) != 0;
}

/* Producers that may not know a port: dCache announces before the data connection exists, StoRM through
 * flowd. */
static int may_miss_a_port(unsigned int producer)
{
	return producer == FIREFLY_DCACHE || producer == FIREFLY_FLOWD;
}

static void add_to_index(struct claims *c, uint32_t at)
{
	const struct claim *claim = claims_at(c, at);
	struct flow_key public;

	claim_index_remove(c->index, at);
	index_by(c, at, CLAIM_BY_HOSTS, &claim->key);
	if (may_miss_a_port(claim->producer)) {
		index_by(c, at, CLAIM_BY_PORT_A, &claim->key);
		index_by(c, at, CLAIM_BY_PORT_B, &claim->key);
	}
	if (claim->provenance != CLAIM_FROM_RELAY &&
	    public_key(&public, &claim->key, claim->sender_ip))
		index_by(c, at, CLAIM_BY_NAT, &public);
}

static uint32_t begin(struct claims *c, const struct flow_key *ordered, const struct heard *h,
		      enum claim_provenance provenance, claim_over over, void *arg)
{
	const struct firefly *ff = &h->firefly;
	struct entry *e;
	uint32_t at;

	if (!make_room(c, provenance, over, arg))
		return TABLE_NONE;
	at = table_add(c->table, ordered);
	e = entry_at(c, at);
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
	add_to_index(c, at);
	c->status.begun++;
	return at;
}

/* --- what a message is to the claim that is there ----------------------------------------------- */

enum relation { EARLIER, SAME, LATER };

static enum relation relation_of_times(int64_t a_utc_us, int64_t b_utc_us, int64_t tolerance_us)
{
	int64_t later_us = a_utc_us - b_utc_us;

	if (later_us > tolerance_us)
		return LATER;
	return later_us < -tolerance_us ? EARLIER : SAME;
}

/* Does the flow's other end speak, or another program? */
static int is_other_voice(const struct claim *c, const struct heard *h,
			  enum claim_provenance provenance)
{
	if (memcmp(&c->key, &h->firefly.key, sizeof(c->key)) != 0 ||
	    c->producer != h->firefly.producer)
		return 1;
	return c->provenance == CLAIM_FROM_END && provenance == CLAIM_FROM_END &&
	       memcmp(c->sender_ip, h->sender_ip, sizeof(h->sender_ip)) != 0;
}

/* Without start times to go by. */
static enum relation relation_unsaid(const struct entry *e, const struct heard *h)
{
	const struct firefly *ff = &h->firefly;
	const struct claim *claim = &e->claim;
	int64_t when = said_utc_us(ff);

	if (ff->end_utc_us != FIREFLY_TIME_UNKNOWN && claim->start_utc_us != CLOCK_NEVER &&
	    ff->end_utc_us < claim->start_utc_us - SAME_START_US)
		return EARLIER;
	if (claim->state == CLAIM_OPEN) {
		if (ff->state == FIREFLY_START && claim->starts &&
		    h->heard_utc_us - claim->first_heard_utc_us > WINDOW_US)
			return LATER;
		return SAME;
	}
	if (ff->state == FIREFLY_START && ff->start_utc_us != FIREFLY_TIME_UNKNOWN)
		when = ff->start_utc_us;
	if (when != FIREFLY_TIME_UNKNOWN && claim->end_utc_us != CLOCK_NEVER)
		return relation_of_times(when, claim->end_utc_us, SAME_START_US) == LATER ? LATER
											  : SAME;
	return h->heard_utc_us - e->ended_utc_us > WINDOW_US ? LATER : SAME;
}

/* The other end announces what began after the end of this one. */
static int is_next(const struct entry *e, const struct heard *h)
{
	return h->firefly.state == FIREFLY_START && e->claim.end_utc_us != CLOCK_NEVER &&
	       h->firefly.start_utc_us >= e->claim.end_utc_us &&
	       h->heard_utc_us >= e->ended_utc_us + SAME_START_US;
}

/* Is it of an earlier flow with these ends, of this one, or of a later one? */
static enum relation relation(const struct entry *e, const struct heard *h, int is_other)
{
	const struct firefly *ff = &h->firefly;
	const struct claim *claim = &e->claim;
	int64_t start = claim->start_utc_us, tolerance_us = SAME_START_US;

	if (start == CLOCK_NEVER || ff->start_utc_us == FIREFLY_TIME_UNKNOWN)
		return relation_unsaid(e, h);
	if (is_other && !is_next(e, h))
		tolerance_us = WINDOW_US; /* two clocks, two moments of noticing */
	else if (ff->state == FIREFLY_START && claim->starts)
		tolerance_us = 0;
	if (ff->state == FIREFLY_END && ff->producer == FIREFLY_DCACHE &&
	    ff->end_utc_us != FIREFLY_TIME_UNKNOWN) {
		/* its START time is not that of its END: go by where the END lies */
		if (ff->end_utc_us < start - tolerance_us)
			return EARLIER;
		if (claim->state == CLAIM_OPEN || claim->end_utc_us == CLOCK_NEVER)
			return SAME;
		return relation_of_times(ff->end_utc_us, claim->end_utc_us, tolerance_us) == LATER
			       ? LATER
			       : SAME;
	}
	return relation_of_times(ff->start_utc_us, start, tolerance_us);
}

enum verdict {
	STRANGE, /* a stranger speaks of what somebody else announced */
	LATE,    /* of a flow that is gone */
	COPY,
	COUNTED, /* out of order: no more than one more of its state */
	NEWS,
	LEAD,   /* the other end says how many bytes, which this one has not */
	REPLACE /* another flow, or the first word of someone who may speak */
};

static enum verdict verdict(const struct entry *e, const struct heard *h,
			    enum claim_provenance provenance, uint32_t print)
{
	const struct firefly *ff = &h->firefly;
	const struct claim *claim = &e->claim;
	int is_stranger = provenance == CLAIM_FROM_STRANGER;
	int was_stranger = claim->provenance == CLAIM_FROM_STRANGER;
	int is_other = is_other_voice(claim, h, provenance);

	if (is_stranger && memcmp(claim->sender_ip, h->sender_ip, sizeof(h->sender_ip)) != 0)
		return STRANGE;
	if (is_copy(e, print, h->heard_utc_us))
		return COPY;
	if (was_stranger && !is_stranger)
		return REPLACE;
	switch (relation(e, h, is_other)) {
	case EARLIER:
		return LATE;
	case LATER:
		return REPLACE;
	case SAME:
		break;
	}
	if (is_other)
		return ff->state != FIREFLY_START && !says_bytes(claim) &&
				       (ff->src_to_dst_bytes != FIREFLY_BYTES_UNSAID ||
					ff->dst_to_src_bytes != FIREFLY_BYTES_UNSAID)
			       ? LEAD
			       : COPY;
	if (ff->state == FIREFLY_START)
		return claim->starts ? COPY : COUNTED;
	if (claim->state != CLAIM_OPEN)
		return ff->state == FIREFLY_ONGOING ? COUNTED : COPY;
	if (ff->state == FIREFLY_ONGOING && said_utc_us(ff) != FIREFLY_TIME_UNKNOWN &&
	    said_utc_us(ff) <= e->said_utc_us)
		return COUNTED;
	return NEWS;
}

/* --- what a message changes --------------------------------------------------------------------- */

static struct ledger_who who_of(const struct claim *claim, int64_t heard_utc_us)
{
	return (struct ledger_who){claim->tag, claim->application, claim->key.family,
				   claim->provenance == CLAIM_FROM_STRANGER, heard_utc_us};
}

static void note_message(struct claims *c, struct entry *e, const struct firefly *ff,
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

static void take_clock(struct claims *c, struct entry *e, const struct heard *h)
{
	struct claim *claim = &e->claim;
	int64_t said = said_utc_us(&h->firefly), offset_us;

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
	before = or_zero(before);
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
static int64_t by_our_clock(const struct entry *e, int64_t utc_us, int64_t heard_utc_us)
{
	if (utc_us == CLOCK_NEVER)
		return heard_utc_us;
	utc_us += e->shift_us;
	if (utc_us > heard_utc_us || utc_us < heard_utc_us - INTERVAL_US)
		return heard_utc_us;
	return utc_us;
}

/* Lay what is new over the time since the last booking. */
static void book(struct claims *c, struct entry *e, const struct heard *h)
{
	struct claim *claim = &e->claim;
	const struct firefly *ff = &h->firefly;
	struct ledger_who who = who_of(claim, h->heard_utc_us);
	uint64_t bytes = or_zero(claim_bytes(claim));
	int64_t until_utc_us, from_utc_us = claim->booked_until_utc_us;

	if (ff->state == FIREFLY_END && claim->end_utc_us != CLOCK_NEVER)
		until_utc_us = by_our_clock(e, claim->end_utc_us, h->heard_utc_us);
	else
		until_utc_us = by_our_clock(e, said_utc_us(ff), h->heard_utc_us);
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

static void take_end(struct claims *c, struct entry *e, const struct heard *h)
{
	struct claim *claim = &e->claim;
	struct ledger_who who = who_of(claim, h->heard_utc_us);
	uint64_t bytes = or_zero(claim_bytes(claim));
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
	struct entry *e = entry_at(c, at);
	const struct firefly *ff = &h->firefly;
	struct claim *claim = &e->claim;
	uint64_t end_bytes = 0;

	memcpy(claim->sender_ip, h->sender_ip, sizeof(claim->sender_ip));
	e->prints[e->next_print++ % PRINTS] = print;
	take_clock(c, e, h);
	if (claim->provenance == CLAIM_FROM_STRANGER)
		odd(c, claim, CLAIM_STRANGER);
	take_identity(c, claim, ff);
	take_usage(claim, ff);
	if (ff->state == FIREFLY_ONGOING && said_utc_us(ff) != FIREFLY_TIME_UNKNOWN)
		e->said_utc_us = said_utc_us(ff);
	if (ff->state == FIREFLY_END) {
		take_end(c, e, h);
		end_bytes = or_zero(claim_bytes(claim));
	}
	if (ff->state != FIREFLY_START && says_bytes(claim))
		book(c, e, h);
	note_message(c, e, ff, h->heard_utc_us, end_bytes);
	table_touch(c->table, at, class_of(claim));
}

static void take_count(struct claims *c, uint32_t at, const struct heard *h, uint32_t print)
{
	struct entry *e = entry_at(c, at);

	e->prints[e->next_print++ % PRINTS] = print;
	e->claim.last_heard_utc_us = h->heard_utc_us;
	senders_heard(c->senders, &e->claim, 0);
	note_message(c, e, &h->firefly, h->heard_utc_us, 0);
}

/* It changes nothing: count it, for whoever sent it. */
static void take_copy(struct claims *c, uint32_t at, const struct heard *h,
		      enum claim_provenance provenance)
{
	struct entry *e = entry_at(c, at);
	struct claim copy = e->claim;
	int64_t said = said_utc_us(&h->firefly);

	c->status.duplicates++;
	e->claim.duplicates++;
	memcpy(copy.sender_ip, h->sender_ip, sizeof(copy.sender_ip));
	copy.provenance = (uint8_t)provenance;
	copy.producer = (uint8_t)h->firefly.producer;
	copy.last_heard_utc_us = h->heard_utc_us;
	copy.clock_offset_us = said == FIREFLY_TIME_UNKNOWN ? CLOCK_NEVER : h->heard_utc_us - said;
	senders_heard(c->senders, &copy, 1);
	if (provenance == CLAIM_FROM_STRANGER &&
	    memcmp(e->claim.sender_ip, h->sender_ip, sizeof(h->sender_ip)) != 0) {
		if (!e->had_stranger) {
			copy.oddities &= ~(uint32_t)CLAIM_STRANGER;
			odd(c, &copy, CLAIM_STRANGER);
		}
		e->had_stranger = 1;
		return; /* and does not keep it alive */
	}
	e->claim.last_heard_utc_us = h->heard_utc_us;
	if (e->claim.provenance == CLAIM_FROM_STRANGER) { /* who may speak says the same */
		e->claim.provenance = (uint8_t)provenance;
		e->claim.oddities &= ~(uint32_t)CLAIM_STRANGER;
		memcpy(e->claim.sender_ip, h->sender_ip, sizeof(h->sender_ip));
		add_to_index(c, at);
	}
	table_touch(c->table, at, class_of(&e->claim));
}

/* The other end knows the bytes: from here on it is the one who speaks. Returns 0 when it has nothing more
 * to say, as the flow has ended. */
static int take_lead(struct claims *c, uint32_t at, const struct heard *h,
		     enum claim_provenance provenance)
{
	struct entry *e = entry_at(c, at);
	struct claim *claim = &e->claim;
	struct ledger_counts counts = {0};
	struct ledger_who who;

	claim->key = h->firefly.key;
	claim->producer = (uint8_t)h->firefly.producer;
	claim->provenance = (uint8_t)provenance;
	memcpy(claim->sender_ip, h->sender_ip, sizeof(claim->sender_ip));
	add_to_index(c, at);
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
	uint32_t print = print_of(c, &h->firefly), at;
	enum verdict v = NEWS;
	struct flow_key ordered;

	if (c->listening_since_utc_us == CLOCK_NEVER)
		c->listening_since_utc_us = h->heard_utc_us;
	table_key(&ordered, &h->firefly.key);
	at = table_find(c->table, &ordered);
	if (at != TABLE_NONE)
		v = verdict(entry_at(c, at), h, provenance, print);
	switch (v) {
	case STRANGE:
	case COPY:
		take_copy(c, at, h, provenance);
		return at;
	case LATE:
		take_copy(c, at, h, provenance);
		return TABLE_NONE;
	case COUNTED:
		take_count(c, at, h, print);
		return at;
	case LEAD:
		if (!take_lead(c, at, h, provenance))
			return at;
		break;
	case REPLACE:
		c->status.superseded += claims_at(c, at)->state == CLAIM_OPEN;
		let_go(c, at, CLAIM_SUPERSEDED, over, arg);
		at = TABLE_NONE;
		break;
	case NEWS:
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
			const struct entry *e = entry_at(c, at);
			int is_open = e->claim.state == CLAIM_OPEN;
			int64_t until =
				is_open ? later(e->claim.last_heard_utc_us, e->seen_utc_us) +
						  c->silent_us
					: e->ended_utc_us + WINDOW_US;

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
	struct entry *e = entry_at(c, at);

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

/* --- finding ------------------------------------------------------------------------------------ */

/* Its life by our clock, as wide as what was said and what was heard have it; within JOIN_WINDOW_S of
 * [first, last]? */
static int is_alive(const struct entry *e, int64_t first_utc_us, int64_t last_utc_us)
{
	const struct claim *claim = &e->claim;
	int64_t from = claim->first_heard_utc_us, to = INT64_MAX - WINDOW_US;

	if (claim->start_utc_us == CLOCK_NEVER)
		from = INT64_MIN + WINDOW_US;
	else if (claim->start_utc_us + e->shift_us < from)
		from = claim->start_utc_us + e->shift_us;
	if (claim->state != CLAIM_OPEN)
		to = e->ended_utc_us;
	return first_utc_us <= to + WINDOW_US && last_utc_us >= from - WINDOW_US;
}

static uint32_t find_by(const struct claims *c, enum claim_index_by by, const struct flow_key *key,
			int64_t first_utc_us, int64_t last_utc_us)
{
	struct flow_key k, theirs, public;
	uint32_t entry;

	if (claim_index_key(&k, by, key))
		return TABLE_NONE;
	entry = claim_index_first(c->index, by, &k);
	for (int i = 0; i < WALK_MAX && entry != CLAIM_INDEX_NONE; i++) {
		uint32_t at = claim_index_claim(entry);
		const struct entry *e = entry_at(c, at);
		const struct flow_key *named = &e->claim.key;

		if (by == CLAIM_BY_NAT && public_key(&public, named, e->claim.sender_ip))
			named = &public;
		claim_index_key(&theirs, by, named);
		if (memcmp(&theirs, &k, sizeof(k)) == 0 && is_alive(e, first_utc_us, last_utc_us))
			return at;
		entry = claim_index_next(c->index, entry);
	}
	return TABLE_NONE;
}

/* Could the flow be this claim's, one port apart? Not if the claim has its flow, and not before that
 * one had its time to show up. */
static int fits_one_port(const struct entry *e, int64_t first_utc_us, int64_t last_utc_us)
{
	const struct claim *claim = &e->claim;

	if (claim->joined || !may_miss_a_port(claim->producer) ||
	    !is_alive(e, first_utc_us, last_utc_us))
		return 0;
	if (claim->start_utc_us != CLOCK_NEVER &&
	    first_utc_us < claim->start_utc_us + e->shift_us - WINDOW_US)
		return 0;
	return claim->state != CLAIM_OPEN || last_utc_us >= claim->first_heard_utc_us + GRACE_US;
}

static uint32_t find_one_port(const struct claims *c, const struct flow_key *key,
			      int64_t first_utc_us, int64_t last_utc_us)
{
	uint32_t found = TABLE_NONE;

	for (unsigned int by = CLAIM_BY_PORT_A; by <= CLAIM_BY_PORT_B; by++) {
		struct flow_key k, theirs;
		uint32_t entry;
		int steps = 0;

		if (claim_index_key(&k, (enum claim_index_by)by, key))
			return TABLE_NONE;
		entry = claim_index_first(c->index, (enum claim_index_by)by, &k);
		for (; entry != CLAIM_INDEX_NONE; entry = claim_index_next(c->index, entry)) {
			uint32_t at = claim_index_claim(entry);
			const struct entry *e = entry_at(c, at);

			if (++steps > WALK_MAX)
				return TABLE_NONE; /* who knows what else fits */
			claim_index_key(&theirs, (enum claim_index_by)by, &e->claim.key);
			if (memcmp(&theirs, &k, sizeof(k)) != 0 ||
			    !fits_one_port(e, first_utc_us, last_utc_us))
				continue;
			if (found != TABLE_NONE && found != at)
				return TABLE_NONE;
			found = at;
		}
	}
	return found;
}

uint32_t claims_find(const struct claims *c, const struct flow_key *key, int64_t first_utc_us,
		     int64_t last_utc_us, uint32_t *how)
{
	uint32_t at, strangers = TABLE_NONE;
	struct flow_key k;
	int knows_hosts;

	*how = 0;
	if (!table_count(c->table))
		return TABLE_NONE;
	knows_hosts = claim_index_may_have_hosts(c->index, key);
	table_key(&k, key);
	at = knows_hosts ? table_find(c->table, &k) : TABLE_NONE;
	if (at != TABLE_NONE && is_alive(entry_at(c, at), first_utc_us, last_utc_us)) {
		entry_at(c, at)->is_behind_nat = 0;
		if (claims_at(c, at)->provenance != CLAIM_FROM_STRANGER)
			return at;
		strangers = at; /* unless somebody else's fits */
	}
	at = find_by(c, CLAIM_BY_NAT, key, first_utc_us, last_utc_us);
	if (at != TABLE_NONE) {
		entry_at(c, at)->is_behind_nat = 1;
		*how = FLOW_NAT;
		return at;
	}
	if (!knows_hosts)
		return TABLE_NONE;
	at = find_one_port(c, key, first_utc_us, last_utc_us);
	if (at != TABLE_NONE &&
	    (strangers == TABLE_NONE || claims_at(c, at)->provenance != CLAIM_FROM_STRANGER)) {
		*how = FLOW_ONE_PORT;
		return at;
	}
	if (strangers == TABLE_NONE &&
	    find_by(c, CLAIM_BY_HOSTS, key, first_utc_us, last_utc_us) != TABLE_NONE)
		*how = FLOW_SAME_HOSTS;
	return strangers;
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
