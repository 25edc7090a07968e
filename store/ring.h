/* The live ring: rows of the newest seconds, in memory. A second is immutable once it is in, and
 * shared by counting, so that the lock is held for pointer copies only. Any thread. */
#ifndef STORE_RING_H
#define STORE_RING_H

#include "store/series.h"

#define RING_SECONDS  900
#define RING_ROWS_MAX 1000000 /* 64 MB; beyond it the oldest seconds are let go earlier */

struct ring; /* opaque */

struct ring *ring_open(void); /* NULL: no memory */
void ring_close(struct ring *r);
/* A copy of b's rows. Its second added to what is there for the same second. 0 or -ENOMEM. */
int ring_put(struct ring *r, const struct bucket *b);
/* Feed the seconds within [from, to) that match. 0, -ENOMEM. Tells the oldest second it holds. */
int ring_query(struct ring *r, const struct store_query *q, struct series *s,
	       int64_t *oldest_utc_s);
/* A copy of the rows of one second (bucket_free it); NULL: not there. */
struct bucket *ring_second(struct ring *r, int64_t utc_s);

#endif
