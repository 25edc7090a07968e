/* The marker's voice: fireflies of our own flows and of local programs, to collectors and to the
 * flows' far ends. One descriptor to poll; what is configured decides what of it is there. */
#ifndef MARKER_ANNOUNCE_H
#define MARKER_ANNOUNCE_H

#include <stdint.h>
#include <stdio.h>
#include "marker/config.h"
#include "marker/emitter.h"
#include "marker/relay.h"
#include "marker/rules.h"
#include "marker/sender.h"
#include "marker/source_map.h"

struct announce; /* opaque */

struct announce_hooks {
	/* every flow event that a local program's firefly names: to be marked, not to be announced */
	void (*relayed)(void *arg, const struct rules_flow_event *e);
	/* payload sent in a flow that is marked, as its mark counted; -ENOENT */
	int (*count)(void *arg, const struct flow_key *key, uint64_t *sent_bytes);
	void *arg;
};

/* cfg is copied from. Flows that a predecessor left, willingly or not, go on. */
int announce_open(struct announce **out, const struct marker_config *cfg,
		  const struct announce_hooks *hooks);
/* As cfg has it now. On failure all stays as it was. */
int announce_reload(struct announce *a, const struct marker_config *cfg);
/* Says END of all that is announced, but waits for the rate no longer than two seconds. quietly:
 * leaves the flows to a successor, in a file beside the control socket. */
void announce_close(struct announce *a, int quietly);

/* All below take NULL: nothing is announced then. */

/* Readable when announce_serve() has work; -1 for NULL. */
int announce_fd(const struct announce *a);
void announce_serve(struct announce *a);
/* A few times a second. */
void announce_tick(struct announce *a);

/* A flow event of any other input, marked or not (IPv4, tag 0/0). 0; -ENOSPC, -ENOENT as
 * emitter_begin() and emitter_end() have it; -ENOTSUP if nothing is announced at all. */
int announce_event(struct announce *a, const struct rules_flow_event *e);
/* A mark ended, for whatever reason. */
void announce_end(struct announce *a, const struct flow_key *key);
/* Call each for every flow that is announced, which it may end. */
void announce_each(const struct announce *a,
		   void (*each)(void *arg, const struct flow_key *key, const struct scitag *tag),
		   void *arg);

/* For status; members of parts that are not configured stay zero. */
struct announce_counters {
	int emits, relays; /* which parts there are */
	struct emitter_counters emitter;
	struct relay_counters relay;
	struct source_map_counters stun;
	size_t n_targets;
	struct sender_counters targets[SENDER_COLLECTORS + 1];
};
void announce_count(const struct announce *a, struct announce_counters *out);

#endif
