/* A small netlink client: one request, its answers, its verdict. rtnetlink(7), sock_diag(7). */
#ifndef MARKER_NETLINK_H
#define MARKER_NETLINK_H

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/flow_key.h"

#define NETLINK_REQUEST_BYTES 512

struct netlink_request {
	struct nlmsghdr head;
	uint8_t body[NETLINK_REQUEST_BYTES];
};

/* Start a request with its fixed part. */
void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, const void *fixed,
		   size_t len_bytes);
/* Add an attribute. -ENOSPC. */
int netlink_put(struct netlink_request *r, uint16_t type, const void *value, size_t len_bytes);

/* A socket of the family (NETLINK_ROUTE, NETLINK_SOCK_DIAG); negative errno. close(2) it. */
int netlink_open(int family);

/* Send, then call each (may be NULL) for every answer, until the kernel says done, error or ack.
 * Returns the kernel's verdict, 0 or -errno; a nonzero return of each ends it and is returned. each
 * must not ask anything itself: the answers lie in one buffer of the thread. */
int netlink_ask(int fd, struct netlink_request *r,
		int (*each)(void *arg, const struct nlmsghdr *answer), void *arg);

/* The attribute of that type behind a fixed part of fixed_bytes, or NULL; its length is checked to
 * be at least min_bytes. The value may be unaligned: copy it. */
const void *netlink_find(const struct nlmsghdr *answer, size_t fixed_bytes, uint16_t type,
			 size_t min_bytes);
/* The same inside a nested attribute's value. */
const void *netlink_find_in(const void *attrs, size_t len_bytes, uint16_t type, size_t min_bytes,
			    size_t *found_bytes);

/* sock_diag(7): whose socket an answer tells of; src is the local end. IPv4 is one key, whichever
 * family its socket is of. -EAFNOSUPPORT. */
int netlink_socket_key(struct flow_key *out, const struct inet_diag_msg *m, uint8_t protocol);
/* The same into a request, whose sdiag_protocol is set: the kernel finds an IPv4 address among the sockets of both families. */
void netlink_socket_id(struct inet_diag_req_v2 *req, const struct flow_key *key);

#endif
