/* XRootD counts bytes since its connection opened, so a transfer's own are what its END says less what
 * its START said. Remembers STARTs of such senders until their END, FLOW_USAGE_MAX of them; beyond,
 * the oldest of a set of four is forgotten. One thread. */
#ifndef OBSERVER_FLOW_USAGE_H
#define OBSERVER_FLOW_USAGE_H

#include "firefly/firefly.h"

#define FLOW_USAGE_MAX 65536

struct flow_usage; /* opaque */

struct flow_usage *flow_usage_open(void);    /* NULL: no memory */
void flow_usage_close(struct flow_usage *u); /* takes NULL */
/* Show it every firefly. Where FIREFLY_USAGE_CUMULATIVE is set, a START is noted; of an END whose START
 * is known the bytes become the transfer's and the flag is taken away. */
void flow_usage_settle(struct flow_usage *u, struct firefly *ff);

#endif
