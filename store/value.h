/* Adding counters without wrapping. Everything is held below INT64_MAX, the largest number that the
 * database can hold, so that memory and disk agree. */
#ifndef STORE_VALUE_H
#define STORE_VALUE_H

#include <math.h>
#include "store/store.h"

#define VALUE_MAX          ((uint64_t)INT64_MAX)
#define VALUE_VARIANCE_MAX 1e300

static inline uint64_t value_clamp(uint64_t n)
{
	return n < VALUE_MAX ? n : VALUE_MAX;
}

static inline uint64_t value_sum(uint64_t a, uint64_t b) /* both clamped: cannot wrap */
{
	return value_clamp(value_clamp(a) + value_clamp(b));
}

static inline double value_variance(double v) /* a NaN would become NULL in the database */
{
	return v >= 0 ? fmin(v, VALUE_VARIANCE_MAX) : 0;
}

/* *to += *from; `codes` as of two different code points. */
static inline void value_add(struct traffic_value *to, const struct traffic_value *from)
{
	uint64_t codes = (uint64_t)to->codes + from->codes;

	to->packets = value_sum(to->packets, from->packets);
	to->bytes = value_sum(to->bytes, from->bytes);
	to->ip_bytes = value_sum(to->ip_bytes, from->ip_bytes);
	to->samples = value_sum(to->samples, from->samples);
	to->bytes_variance =
		value_variance(to->bytes_variance + value_variance(from->bytes_variance));
	to->codes = codes < UINT32_MAX ? (uint32_t)codes : UINT32_MAX;
}

#endif
