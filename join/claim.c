/* What follows from what a claim says. */
#include <math.h>

#include "join/claim_entry.h"
#include "join/spread.h"

static int says_bytes(const struct claim *c)
{
	return c->src_to_dst_bytes != FIREFLY_BYTES_UNSAID ||
	       c->dst_to_src_bytes != FIREFLY_BYTES_UNSAID;
}

int claim_data_direction(const struct claim *c)
{
	uint64_t there = claim_or_zero(c->src_to_dst_bytes),
		 back = claim_or_zero(c->dst_to_src_bytes);

	return (there > back) - (there < back);
}

uint64_t claim_bytes(const struct claim *c)
{
	uint64_t there = claim_or_zero(c->src_to_dst_bytes),
		 back = claim_or_zero(c->dst_to_src_bytes);

	if (!says_bytes(c))
		return FIREFLY_BYTES_UNSAID;
	return there > back ? there : back;
}

static int is_interval(int64_t from_utc_us, int64_t to_utc_us)
{
	return to_utc_us >= from_utc_us && to_utc_us - from_utc_us <= SPREAD_MAX_S * US_PER_S;
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

	if (duration_us == CLOCK_NEVER || duration_us == 0 ||
	    claim_bytes(c) == FIREFLY_BYTES_UNSAID)
		return NAN;
	return (double)claim_bytes(c) * 1e6 / (double)duration_us;
}
