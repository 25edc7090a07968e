/* What the kernel knows of a TCP connection, over IPv4 and IPv6: sock_diag(7), struct tcp_info of
 * linux/tcp.h. One connection is asked for exactly, by its addresses, ports and cookie; or all at
 * once; or the last word of those that went. Not thread-safe. */
#ifndef MARKER_TCP_INFO_H
#define MARKER_TCP_INFO_H

#include <stdint.h>
#include "firefly/firefly.h"
#include "wire/flow_key.h"

struct tcp_info_reader; /* opaque */

struct tcp_sample {
	uint64_t cookie;         /* of the socket, while this host is up */
	uint64_t sent_bytes;     /* payload that the peer has acknowledged */
	uint64_t received_bytes; /* payload; one too few of a connection that was reset */
	int64_t rtt_us;          /* FIREFLY_RTT_UNSAID before the first measurement */
	struct firefly_tcp tcp;
};

int tcp_info_open(struct tcp_info_reader **out);
void tcp_info_close(struct tcp_info_reader *r);

/* cookie 0: whatever connection is there. -ENOENT: it is not, or it is another one. */
int tcp_info_look(struct tcp_info_reader *r, const struct flow_key *key, uint64_t cookie,
		  struct tcp_sample *out);
/* All of them in one request per family. */
int tcp_info_each(struct tcp_info_reader *r,
		  void (*each)(void *arg, const struct flow_key *key, const struct tcp_sample *s),
		  void *arg);

/* Readable when sockets went. */
int tcp_info_fd(const struct tcp_info_reader *r);
/* Their last words. -ENOBUFS if some were missed. */
int tcp_info_drain(struct tcp_info_reader *r,
		   void (*gone)(void *arg, const struct flow_key *key, const struct tcp_sample *s),
		   void *arg);

#endif
