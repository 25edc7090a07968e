#include "base/clock.h"
#include "join/spread.h"

#define MINUTE_US (60 * US_PER_S)
#define HOUR_US   (60 * MINUTE_US)

static int64_t floor_to(int64_t utc_us, int64_t step_us)
{
	int64_t rest = utc_us % step_us;

	return utc_us - (rest < 0 ? rest + step_us : rest);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int is_interval(int64_t length_us)
{
	return length_us > 0 && length_us <= SPREAD_MAX_S * US_PER_S;
}

size_t spread_parts(int64_t from_utc_us, int64_t until_utc_us)
{
	int64_t length_us = until_utc_us - from_utc_us;
	int64_t coarse_us = length_us - SPREAD_FINE_S * US_PER_S;

	if (!is_interval(length_us))
		return 1;
	if (coarse_us <= 0)
		return (size_t)(length_us / MINUTE_US) + 2;
	return (size_t)(coarse_us / HOUR_US) + 2 + SPREAD_FINE_S / 60 + 1;
}

size_t spread_bytes(struct spread_part out[SPREAD_PARTS_MAX], uint64_t bytes, int64_t from_utc_us,
		    int64_t until_utc_us)
{
	int64_t length_us = until_utc_us - from_utc_us, at = from_utc_us, fine_from_us;
	uint64_t laid = 0;
	size_t n = 0;

	if (bytes == 0)
		return 0;
	if (!is_interval(length_us)) {
		out[0] = (struct spread_part){floor_to(until_utc_us, MINUTE_US) / US_PER_S, bytes};
		return 1;
	}
	fine_from_us = floor_to(until_utc_us - SPREAD_FINE_S * US_PER_S, MINUTE_US);
	while (at < until_utc_us) {
		int64_t step_us = at < fine_from_us ? HOUR_US : MINUTE_US;
		int64_t begin_us = floor_to(at, step_us);
		int64_t end_us = earlier(begin_us + step_us, until_utc_us);
		uint64_t so_far;

		if (at < fine_from_us)
			end_us = earlier(end_us, fine_from_us);
		/* what flowed until then, rounded down: differences of it lose nothing */
		so_far = (uint64_t)((unsigned __int128)bytes * (uint64_t)(end_us - from_utc_us) /
				    (uint64_t)length_us);
		if (so_far > laid)
			out[n++] = (struct spread_part){begin_us / US_PER_S, so_far - laid};
		laid = so_far;
		at = end_us;
	}
	return n;
}
