/* Series of single flows for Prometheus, under the names that flowd-go (v2.4.2) gave them: what TCP
 * knows of each connection that is marked, flow_tcp_rtt{act,exp,src,dst,flow,flavour} and thirty more.
 * Each flow makes a set of its own, so their number is bounded. */
#ifndef MARKER_METRICS_H
#define MARKER_METRICS_H

#include <linux/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include "wire/flow_key.h"
#include "wire/scitag.h"

#define METRICS_FLOWS_MAX 1000

struct flow_metrics {
	struct flow_key key;
	struct scitag tag;
	char algorithm[16]; /* of congestion control; "" unknown */
	struct tcp_info info;
};

/* Calls each for every flow there is; of one that it tells twice the first counts. */
typedef void (*metrics_flows)(void *arg,
			      void (*each)(void *each_arg, const struct flow_key *key,
					   const struct scitag *tag),
			      void *each_arg);

/* The flows that have a connection, at most flows_max of them, and how many are left out, on out. One
 * look at all TCP sockets. 0, or -errno of the look; then nothing is written. */
int metrics_write_flows(metrics_flows flows, void *arg, size_t flows_max, FILE *out);

/* The text itself. */
void metrics_write(const struct flow_metrics *flows, size_t n, uint64_t n_left_out, FILE *out);

#endif
