/* Bytes laid evenly over the time in which they flowed, minute by minute and to the byte. Pure. */
#ifndef JOIN_SPREAD_H
#define JOIN_SPREAD_H

#include <stddef.h>
#include <stdint.h>

#define SPREAD_FINE_S \
	(6 * 3600) /* the newest so many before the end go by minutes, earlier ones by hours */
#define SPREAD_MAX_S     (30 * 86400)
#define SPREAD_PARTS_MAX 1080 /* at most 361 minutes and 715 hours */

struct spread_part {
	int64_t minute_utc_s; /* an hour's bytes stand in its first minute */
	uint64_t bytes;       /* never 0 */
};

/* Lay `bytes` over [from, until): parts in ascending order, their sum is `bytes`. An interval that is empty,
 * negative or longer than SPREAD_MAX_S: all in the minute of `until`. Returns how many; 0 of 0 bytes. */
size_t spread_bytes(struct spread_part out[SPREAD_PARTS_MAX], uint64_t bytes, int64_t from_utc_us,
		    int64_t until_utc_us);

/* How many parts that makes at most; quick. */
size_t spread_parts(int64_t from_utc_us, int64_t until_utc_us);

#endif
