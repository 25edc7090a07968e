/* This host's connections, watched for those that the configuration wants marked or announced: TCP by
 * the iperf3 ports (marker/iperf.h) or by the scan's rules (marker/scan.h); and, to be announced only,
 * TCP and connected UDP under wildcards, which mark without us. Each becomes a START event when it is
 * first seen and an END event, with the tag of its own START, when it is gone.
 *
 * It hears of them from a sock_ops program where the kernel has one, else, and for what the program
 * missed or what was there before it, from looks at all sockets. Bounded; nothing waits.
 *
 * opened = started + unmatched + refused. Not thread-safe. */
#ifndef MARKER_WATCH_H
#define MARKER_WATCH_H

#include "marker/iperf.h"
#include "marker/rules.h"
#include "marker/scan.h"
#include "marker/sockets.h"

#define WATCH_FLOWS_MAX 65536

struct watch; /* opaque */

struct watch_options {
	struct iperf *iperf;           /* NULL: none; borrowed, as are the others */
	struct scan *scan;             /* NULL: none */
	const struct rules *wildcards; /* NULL: none is announced */
	size_t wildcards_max;          /* connections under them, at a time */
	int loopback;                  /* those within this host too */
	int ipv4;                      /* which can be announced, not marked */
	struct sockets *sockets;
	const char *cgroup; /* of iperf's connections; NULL: all */
	int no_program;     /* for tests */
	void (*handle)(void *arg, const struct rules_flow_event *e);
	void *arg;
};

struct watch_counters {
	uint64_t opened;    /* connections heard of */
	uint64_t started;   /* of them: under a rule, and handed on */
	uint64_t unmatched; /* under none */
	uint64_t refused;   /* the table is full, or wildcards_max reached */
	uint64_t ended;
	uint64_t lost; /* events that the ring had no room for */
	size_t active;
	size_t wild; /* of them, under wildcards */
	size_t left_out; /* connections under wildcards beyond wildcards_max, at the last look and since */
};

/* Takes the connections that exist at once. */
int watch_open(struct watch **out, const struct watch_options *options);
/* Ends no flow: who stops marking says so. */
void watch_close(struct watch *w);

int watch_fd(const struct watch *w); /* -1: no program, looks only */
void watch_drain(struct watch *w);
/* A few times a second: looks when it is time. */
void watch_tick(struct watch *w, int64_t now_mono_ns);
/* The rules were read anew; sockets, handle and arg stay. Flows whose rule or tag changed end and begin
 * again, those that none wants any more end; connections on iperf3's ports keep their tag. */
void watch_set(struct watch *w, const struct watch_options *options);
/* Word that a socket went: the end of a UDP flow, which no program tells of. */
void watch_gone(struct watch *w, const struct flow_key *key);

/* For a source of its own, and for tests. */
void watch_opened(struct watch *w, const struct socket_info *info);
void watch_closed(struct watch *w, const struct flow_key *key);
void watch_count(const struct watch *w, struct watch_counters *out);

#endif
