/* The sFlow input without its socket: datagrams in, rows and statuses of a second out. Owns the
 * agents' states, the aggregate and all counters. One thread; source_sflow.c feeds it. */
#ifndef OBSERVER_SFLOW_INPUT_H
#define OBSERVER_SFLOW_INPUT_H

#include "observer/source.h"
#include "observer/udp.h"

struct sflow_input; /* opaque */

/* name: "sflow:[::]:6343". -ENOMEM. */
int sflow_input_open(struct sflow_input **out, const struct source_context *ctx, const char *name);
void sflow_input_close(struct sflow_input *in); /* takes NULL */

/* Look whether the registry changed; what comes next is received at this time. Once a batch. */
void sflow_input_turn(struct sflow_input *in, int64_t now_utc_us);
void sflow_input_add(struct sflow_input *in, const struct udp_datagram *d);

/* Move the second out: the input's status (unit "datagrams") first, then one per agent (unit
 * "samples": its flow samples). For the input, kernel_dropped and detail come from its socket. */
void sflow_input_take(struct sflow_input *in, uint64_t kernel_dropped, const char *detail,
		      struct source_second *out);

#endif
