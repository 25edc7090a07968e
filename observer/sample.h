/* sFlow samples as observations: what source_sflow and `scitag read` share. Pure. */
#ifndef OBSERVER_SAMPLE_H
#define OBSERVER_SAMPLE_H

#include "observer/observation.h"
#include "sflow/sflow.h"

/* "sflow:192.0.2.254", "sflow:2001:db8::1/2" (sub agent 2). */
void sample_agent_name(char *buf, size_t cap_bytes, const struct sflow_datagram *d);

/* Fill everything but time, source and direction from a flow sample: sizes, weight (a rate of 0 counts
 * as 1), key, tag, verdict. 0, or -EPROTONOSUPPORT: nothing in it that we open (a header protocol of
 * another kind, or no packet record at all); then only frame_bytes and weight are set. Or -ERANGE: a
 * rate of more than one in 2^24 or a frame of more than 1 MiB; then nothing is. */
int observation_from_sample(struct observation *o, const struct sflow_sample *s,
			    const struct scitag_set *registered);

#endif
