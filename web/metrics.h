/* Cumulative counters since start, for /metrics (Prometheus text format 0.0.4). Traffic is summed from
 * the seconds that go by, in a table of stated size: what finds no place is summed into one row named
 * "(other)", so that totals stay right. Any thread. */
#ifndef WEB_METRICS_H
#define WEB_METRICS_H

#include "registry/registry.h"
#include "store/store.h"
#include "web/live.h"

#define METRICS_KEYS_MAX   2048  /* traffic rows, three series each */
#define METRICS_SERIES_MAX 10000 /* of one answer; the rest is left off, and said */

struct metrics; /* opaque */

struct metrics *metrics_open(void); /* NULL: no memory */
void metrics_close(struct metrics *m);
/* Count the rows and claims of one second. */
void metrics_add(struct metrics *m, const struct bucket *rows, const struct live_second *second,
		 const struct registry *r);
/* A request was answered; a stream began (+1) or ended (-1); one was ended because it read too slowly. */
void metrics_request(struct metrics *m, unsigned int status);
void metrics_stream(struct metrics *m, int change);
void metrics_slow_stream(struct metrics *m);

#endif
