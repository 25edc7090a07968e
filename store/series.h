/* Rows in, series out: what both the live ring and the database feed a question's answer with.
 * One pass over rows of ascending time; memory grows with what was found, not with
 * series x points. One thread at a time. */
#ifndef STORE_SERIES_H
#define STORE_SERIES_H

#include "store/store.h"

#define SERIES_POINTS_MAX    11000
#define SERIES_VALUES_MAX    2000000 /* series x points of an answer; what exceeds goes into `rest` */
#define SERIES_LIMIT_DEFAULT 1000

struct series; /* opaque */

/* An answer for [from, to), which must be whole steps. NULL: no memory. */
struct series *series_open(int64_t from_utc_s, int64_t to_utc_s, uint32_t step_s, uint32_t group);
void series_free(struct series *s);
/* Count a row of utc_s where f wants it, and towards the noise floor where that is asked of it (see
 * store_result). utc_s must not be before that of an earlier row of the same key. 0 or -ENOMEM. */
int series_offer(struct series *s, const struct filter *f, int64_t utc_s,
		 const struct traffic_row *row);
int series_add_gap(struct series *s, int64_t from_utc_s, int64_t to_utc_s, const char *reason);
/* Sort, limit and hand out. s is freed in any case. 0 or -ENOMEM. */
int series_take(struct series *s, uint32_t limit, struct store_result **out);

#endif
