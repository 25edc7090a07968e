/* Tags for a tester's connections: those within ranges of ports get the configured tags in turn, or
 * at random. Pure but for the turn. */
#ifndef MARKER_IPERF_H
#define MARKER_IPERF_H

#include "marker/config.h"
#include "wire/flow_key.h"

#define IPERF_TAGS_MAX 64

struct iperf {
	const struct marker_config *cfg;
	struct scitag tags[IPERF_TAGS_MAX];
	size_t n_tags, next;
};

/* Names become numbers. -EINVAL: said in the log. cfg is borrowed. */
int iperf_open(struct iperf *out, const struct marker_config *cfg, const struct registry *reg);
/* Does the connection count? key's src is the local end. */
int iperf_matches(const struct iperf *i, const struct flow_key *key);
/* The tag of the next connection. */
struct scitag iperf_next(struct iperf *i);

#endif
