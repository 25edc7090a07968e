/* Where fireflies go: a list of collectors, and the far end of the flow they speak of; over IPv4 and
 * IPv6, each from one socket that never waits. What becomes of one target is nothing to the others:
 * every datagram is tried at every target, and each counts tried = sent + skipped + sum(failed).
 * Not thread-safe. */
#ifndef MARKER_SENDER_H
#define MARKER_SENDER_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/flow_key.h"

#define SENDER_COLLECTORS     16
#define SENDER_REMEMBER_S     60    /* how long a datagram is known again */
#define SENDER_REMEMBER_ITEMS 65536 /* of the latest ones; older ones make room */

struct sender; /* opaque */

enum sender_failure {
	SENDER_UNRESOLVED, /* its name has no address yet */
	SENDER_NO_FAMILY,  /* this host has no IPv4, or no IPv6 */
	SENDER_NO_ROUTE,
	SENDER_BUSY, /* the kernel's queue is full */
	SENDER_OTHER,
	SENDER_FAILURE_COUNT
};
const char *sender_failure_name(enum sender_failure f);

struct sender_counters {
	const char *name;       /* "2001:db8::1 port 10514", or "destinations"; the sender's */
	uint64_t sent, skipped; /* skipped: it came from there */
	uint64_t failed[SENDER_FAILURE_COUNT];
};

struct sender_options {
	int to_destination; /* the flow's own far end gets it too */
	uint16_t destination_port;
	uint64_t rate_per_s; /* of datagrams, before they are multiplied by targets; 0: no limit */
};

int sender_open(struct sender **out, const struct sender_options *options);
void sender_close(struct sender *s);

/* "host" or "host:port", "[2001:db8::1]:port", an address; default_port where none is said. The name
 * may be unknown yet. relayed_only: it gets nothing of our own. -EINVAL, -ENOSPC. */
int sender_add_collector(struct sender *s, const char *text, uint16_t default_port,
			 int relayed_only);
/* The same as two words, for a check of a setting: host of cap_bytes. -EINVAL. */
int sender_split(char *host, size_t cap_bytes, uint16_t *port, const char *text,
		 uint16_t default_port);

/* Are the collectors' names looked up, or SENDER_PATIENCE_S over? Before that a firefly that can
 * wait should. */
#define SENDER_PATIENCE_S 5
int sender_ready(struct sender *s, int64_t now_mono_ns);
/* Does the rate leave room for one more? If so it is taken. Up to a tenth of a second's worth may
 * go at once. */
int sender_may(struct sender *s, int64_t now_mono_ns);
/* Send to all targets, whatever the rate. key, or NULL: its dst is the far end, if that is a target.
 * came_from, or NULL for our own: an address that gets nothing; with port 0, on none of its ports. */
void sender_send(struct sender *s, const void *buf, size_t len_bytes, const struct flow_key *key,
		 const struct sockaddr_storage *came_from);
/* Were these very bytes sent or asked about in the last SENDER_REMEMBER_S? Remembers them. */
int sender_seen(struct sender *s, const void *buf, size_t len_bytes, int64_t now_mono_ns);

/* i < sender_targets(): the collectors, then the destinations. */
size_t sender_targets(const struct sender *s);
void sender_count(const struct sender *s, size_t i, struct sender_counters *out);

#endif
