/* scitag replay --now: recorded datagrams as if they were made today. Lengths never change. */
#ifndef CLI_REPLAY_H
#define CLI_REPLAY_H

#include <stdint.h>

/* Move every "YYYY-MM-DDThh:mm:ss" in text by whole seconds; fractions and offsets stay as they are,
 * so that times that were equal stay equal. */
void replay_shift_times(uint8_t *text, uint32_t len_bytes, int64_t shift_s);

/* Sequence numbers, pools, drops, uptime and interface counters of sFlow agents, going on from one
 * loop to the next instead of falling back. What the recording does not show, between its last news
 * of a counter and the first of the next loop, is taken to have gone on at its average. */
struct replay_sflow; /* opaque */

struct replay_sflow *replay_sflow_open(void);    /* NULL: no memory */
void replay_sflow_close(struct replay_sflow *r); /* takes NULL */
/* The recording is played again; span_us is how long one pass takes, up to the next one's start. */
void replay_sflow_again(struct replay_sflow *r, int64_t span_us);
/* One datagram, in place; at_us is its time within the recording. What is no sFlow, and what is in a
 * form that we do not know, stays as it is. */
void replay_sflow_rewrite(struct replay_sflow *r, uint8_t *bytes, uint32_t len_bytes,
			  int64_t at_us);

#endif
