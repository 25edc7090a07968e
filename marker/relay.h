/* A listener for fireflies of local programs (XRootD, dCache, flowd, flowd-go): each becomes a flow
 * event whose source is the local end, and goes on to every target as the bytes it came as.
 *
 * Nothing goes back to the address it came from, and bytes that were seen or sent in the last minute
 * are dropped, so that relays cannot feed each other:
 * received = relayed + sum(rejected) + repeated + paced. Not thread-safe. */
#ifndef MARKER_RELAY_H
#define MARKER_RELAY_H

#include <stdint.h>
#include "firefly/firefly.h"
#include "marker/rules.h"
#include "marker/sender.h"

struct relay; /* opaque */

struct relay_counters {
	uint64_t received;
	uint64_t relayed;
	uint64_t rejected[FIREFLY_VERDICT_COUNT]; /* no firefly, by the parser's reason */
	uint64_t repeated;                        /* seen or sent before */
	uint64_t paced;                           /* beyond the rate */
	uint64_t foreign; /* of the relayed: neither end is ours, so nothing is marked */
};

/* s is borrowed. */
int relay_open(struct relay **out, const char *address, uint16_t port, struct sender *s);
void relay_close(struct relay *r);
/* Send through another one from now on. */
void relay_set_sender(struct relay *r, struct sender *s);

/* Readable when fireflies came. */
int relay_fd(const struct relay *r);
void relay_drain(struct relay *r, void (*handle)(void *arg, const struct rules_flow_event *e),
		 void *arg);
void relay_count(const struct relay *r, struct relay_counters *out);

/* The flow from its local end, told which of the named ends are local: dCache, and XRootD for
 * http-put, name the remote end as the source. -ENOENT if neither is local. */
int relay_orient(struct flow_key *out, const struct firefly *ff, int src_is_local,
		 int dst_is_local);

#endif
