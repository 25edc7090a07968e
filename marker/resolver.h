/* Names to addresses without waiting for them: one thread asks, the loop reads what is known.
 *
 * An address as text is known at once. A name is asked for at once and every five minutes; after a
 * failure again in one second, then two, up to five minutes, while the last answer stays good.
 * resolver_get() is for the owner's thread. */
#ifndef MARKER_RESOLVER_H
#define MARKER_RESOLVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RESOLVER_NAMES 32

struct resolver; /* opaque */

struct resolver_host { /* IPv4 and IPv6, each if known: family 0 if not */
	struct sockaddr_storage addresses[2];
	socklen_t len_bytes[2];
	size_t n; /* addresses[0] is the one that the system prefers (RFC 6724) */
};

int resolver_open(struct resolver **out);
/* Does not wait for a lookup that is under way. */
void resolver_close(struct resolver *r);

/* A name or address (IPv6 may stand in brackets) and a UDP port: its handle, or -ENOSPC, -EINVAL. */
int resolver_add(struct resolver *r, const char *host, uint16_t port);
/* Has every name been asked for, whatever came of it? */
int resolver_settled(struct resolver *r);
/* 0, or -EAGAIN while nothing is known. */
int resolver_get(struct resolver *r, int handle, struct resolver_host *out);

#endif
