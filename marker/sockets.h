/* The host's TCP and UDP sockets, by sock_diag(7): one by its five-tuple, all of them, and word of
 * those that go (TCP over IPv6, and UDP). */
#ifndef MARKER_SOCKETS_H
#define MARKER_SOCKETS_H

#include <stdint.h>
#include "wire/flow_key.h"

struct sockets; /* opaque */

struct socket_info {
	struct flow_key key; /* src is the local end */
	uint64_t cookie;
	uint64_t cgroup_id;        /* of the process that made it, version 2; 0 unknown */
	uint32_t uid;              /* its owner; UINT32_MAX unknown */
	uint32_t inode;            /* 0: orphaned, no process holds it */
	uint8_t state;             /* TCP's number; 1 ESTABLISHED */
	uint32_t packet_bytes_max; /* longest IPv6 packet that TCP builds now; 0 unknown */
	uint32_t path_mtu;         /* as the kernel believes; 0 unknown */
};

int sockets_open(struct sockets **out);
void sockets_close(struct sockets *s);

/* Readable when sockets went. */
int sockets_fd(const struct sockets *s);
/* Returns -ENOBUFS if some were missed: look at all of them. */
int sockets_drain(struct sockets *s, void (*gone)(void *arg, const struct socket_info *info),
		  void *arg);

/* -ENOENT. */
int sockets_look(struct sockets *s, const struct flow_key *key, struct socket_info *out);
/* All connected ones of these kinds. */
enum { SOCKETS_TCP = 1, SOCKETS_UDP = 2, SOCKETS_IPV4 = 4 /* over IPv4 too */ };
int sockets_each(struct sockets *s, unsigned int kinds,
		 void (*each)(void *arg, const struct socket_info *info), void *arg);

/* Tell the kernel of the path MTU towards dst_ip, as a router's Packet Too Big would: it remembers
 * it for ten minutes, lowers what its connections send at once, and never raises anything. */
int sockets_hint_mtu(const uint8_t src_ip[16], const uint8_t dst_ip[16], uint32_t mtu);

#endif
