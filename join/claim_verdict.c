/* What a message is to the claim that is there: its own, a copy, late, another flow's. docs/fireflies.md has the
 * rules in words. */
#include <string.h>

#include "join/claim_entry.h"
#include "join/siphash.h"

#define SAME_START_US US_PER_S /* start times closer than this name one flow */

int64_t claim_said_utc_us(const struct firefly *ff)
{
	if (ff->current_utc_us != FIREFLY_TIME_UNKNOWN)
		return ff->current_utc_us;
	if (ff->header_utc_us != FIREFLY_TIME_UNKNOWN)
		return ff->header_utc_us;
	return ff->end_utc_us; /* unknown but for an END */
}

uint32_t claim_print(const struct claims *c, const struct firefly *ff)
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

static int is_copy(const struct claim_entry *e, uint32_t print, int64_t heard_utc_us)
{
	if (heard_utc_us - e->claim.last_heard_utc_us > CLAIM_WINDOW_US)
		return 0;
	for (size_t i = 0; i < CLAIM_PRINTS; i++)
		if (e->prints[i] == print)
			return 1;
	return 0;
}

/* --- which flow ---------------------------------------------------------------------------------- */

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

/* flowd, XRootD and ours repeat the START's start time to the digit. */
static int repeats_start(unsigned int producer)
{
	return producer == FIREFLY_FLOWD || producer == FIREFLY_XROOTD || producer == FIREFLY_OURS;
}

/* Without start times to go by. */
static enum relation relation_unsaid(const struct claim_entry *e, const struct heard *h)
{
	const struct firefly *ff = &h->firefly;
	const struct claim *claim = &e->claim;
	int64_t when = claim_said_utc_us(ff);

	if (ff->end_utc_us != FIREFLY_TIME_UNKNOWN && claim->start_utc_us != CLOCK_NEVER &&
	    ff->end_utc_us < claim->start_utc_us - SAME_START_US)
		return EARLIER;
	if (claim->state == CLAIM_OPEN) {
		if (ff->state == FIREFLY_START && claim->starts &&
		    h->heard_utc_us - claim->first_heard_utc_us > CLAIM_WINDOW_US)
			return LATER;
		return SAME;
	}
	if (ff->state == FIREFLY_START && ff->start_utc_us != FIREFLY_TIME_UNKNOWN)
		when = ff->start_utc_us;
	if (when != FIREFLY_TIME_UNKNOWN && claim->end_utc_us != CLOCK_NEVER)
		return relation_of_times(when, claim->end_utc_us, SAME_START_US) == LATER ? LATER
											  : SAME;
	return h->heard_utc_us - e->ended_utc_us > CLAIM_WINDOW_US ? LATER : SAME;
}

/* The other end announces what began after the end of this one. */
static int is_next(const struct claim_entry *e, const struct heard *h)
{
	return h->firefly.state == FIREFLY_START && e->claim.end_utc_us != CLOCK_NEVER &&
	       h->firefly.start_utc_us >= e->claim.end_utc_us &&
	       h->heard_utc_us >= e->ended_utc_us + SAME_START_US;
}

/* Is it of an earlier flow with these ends, of this one, or of a later one? */
static enum relation relation(const struct claim_entry *e, const struct heard *h, int is_other)
{
	const struct firefly *ff = &h->firefly;
	const struct claim *claim = &e->claim;
	int64_t start = claim->start_utc_us, tolerance_us = SAME_START_US;

	if (start == CLOCK_NEVER || ff->start_utc_us == FIREFLY_TIME_UNKNOWN)
		return relation_unsaid(e, h);
	if (is_other && !is_next(e, h))
		tolerance_us = CLAIM_WINDOW_US; /* two clocks, two moments of noticing */
	else if (ff->state == FIREFLY_START && claim->starts)
		tolerance_us = 0;
	else if (ff->state != FIREFLY_START && !repeats_start(ff->producer))
		tolerance_us = CLAIM_WINDOW_US;
	if (ff->state == FIREFLY_END && ff->producer == FIREFLY_DCACHE &&
	    ff->end_utc_us != FIREFLY_TIME_UNKNOWN) {
		/* its END's start time may be its end: go by where the END lies */
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

/* --- what to do with it --------------------------------------------------------------------------- */

enum claim_verdict claim_verdict(const struct claim_entry *e, const struct heard *h,
				 enum claim_provenance provenance, uint32_t print)
{
	const struct firefly *ff = &h->firefly;
	const struct claim *claim = &e->claim;
	int is_stranger = provenance == CLAIM_FROM_STRANGER;
	int was_stranger = claim->provenance == CLAIM_FROM_STRANGER;
	int is_other = is_other_voice(claim, h, provenance);

	if (is_stranger && memcmp(claim->sender_ip, h->sender_ip, sizeof(h->sender_ip)) != 0)
		return VERDICT_STRANGE;
	if (is_copy(e, print, h->heard_utc_us))
		return VERDICT_COPY;
	if (was_stranger && !is_stranger)
		return VERDICT_REPLACE;
	switch (relation(e, h, is_other)) {
	case EARLIER:
		return VERDICT_LATE;
	case LATER:
		return VERDICT_REPLACE;
	case SAME:
		break;
	}
	if (is_other)
		return ff->state != FIREFLY_START && claim_bytes(claim) == FIREFLY_BYTES_UNSAID &&
				       (ff->src_to_dst_bytes != FIREFLY_BYTES_UNSAID ||
					ff->dst_to_src_bytes != FIREFLY_BYTES_UNSAID)
			       ? VERDICT_LEAD
			       : VERDICT_COPY;
	if (ff->state == FIREFLY_START)
		return claim->starts ? VERDICT_COPY : VERDICT_COUNTED;
	if (claim->state != CLAIM_OPEN)
		return ff->state == FIREFLY_ONGOING ? VERDICT_COUNTED : VERDICT_COPY;
	if (ff->state == FIREFLY_ONGOING && claim_said_utc_us(ff) != FIREFLY_TIME_UNKNOWN &&
	    claim_said_utc_us(ff) <= e->said_utc_us)
		return VERDICT_COUNTED;
	return VERDICT_NEWS;
}
