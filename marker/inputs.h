/* The inputs beside the named pipe, and what is told to Prometheus, for the marking loop: the HTTP API
 * on TCP and on a Unix socket, the iperf3 ports and the scan of connections, the metrics' listeners.
 * All of it runs in the loop, a bounded amount in each turn. */
#ifndef MARKER_INPUTS_H
#define MARKER_INPUTS_H

#include <poll.h>
#include <stdio.h>
#include "marker/config.h"
#include "marker/http.h"
#include "marker/metrics.h"
#include "marker/rules.h"
#include "marker/sockets.h"
#include "marker/watch.h"

#define INPUTS_FDS 5

struct inputs; /* opaque */

struct inputs_options {
	struct marker_config *cfg;
	const struct registry *registry;
	const struct rules *rules;
	struct sockets *sockets;
	/* A flow event: 0, or -EINVAL with the reason. */
	int (*handle)(void *arg, const struct rules_flow_event *e, enum rules_refusal *why);
	/* All counters of the marker as Prometheus text, inputs_write_metrics() among them. */
	void (*metrics)(void *arg, FILE *out);
	/* Call each for every flow that is marked or announced, some of them twice. */
	metrics_flows flows;
	void *arg;
};

struct inputs_counters {
	struct http_counters api, exporter;
	struct watch_counters watch;
};

/* Reads what the configuration says and puts the scan's wildcards behind its rules; opens nothing.
 * What options points to must outlive it. Negative errno: said in the log. */
int inputs_open(struct inputs **out, const struct inputs_options *options);
void inputs_close(struct inputs *in);
/* Opens the listeners, looks for connections: events come from now on. */
int inputs_start(struct inputs *in);
/* Does the new configuration leave the listeners as they are? They change at a restart only. */
int inputs_may_change(const struct marker_config *old, const struct marker_config *next);
/* The configuration was read again. On failure what was there stays. */
int inputs_configure(struct inputs *in);
/* Behind it, once the rules are set too: look for the connections that are wanted now. Negative errno:
 * said in the log. */
int inputs_watch(struct inputs *in);
/* A socket went. */
void inputs_gone(struct inputs *in, const struct flow_key *key);

/* At most INPUTS_FDS; returns how many. */
size_t inputs_fds(const struct inputs *in, struct pollfd *fds);
/* How long poll may wait; -1: as long as it likes. */
int inputs_timeout_ms(const struct inputs *in);
void inputs_serve(struct inputs *in);
/* A few times a second. 1: the wildcards changed, set the rules again. */
int inputs_tick(struct inputs *in, int64_t now_mono_ns);

void inputs_count(const struct inputs *in, struct inputs_counters *out);
/* As Prometheus text. */
void inputs_write_metrics(const struct inputs *in, FILE *out);

#endif
