/* What the kernel knows of a TCP connection, over IPv4 and IPv6: sock_diag(7), struct tcp_info of
 * linux/tcp.h. One connection is asked for exactly, by its addresses, ports and cookie; or all at
 * once; or the last word of those that went. Not thread-safe. */
#ifndef MARKER_TCP_INFO_H
#define MARKER_TCP_INFO_H

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdint.h>
#include "firefly/firefly.h"
#include "wire/flow_key.h"

struct tcp_info_reader; /* opaque */

/* All that the kernel tells of a connection. */
struct tcp_detail {
	struct inet_diag_msg socket;
	struct tcp_info info;
	uint32_t has; /* bit n: it told INET_DIAG_n; what it did not is zero */
	uint8_t tos;
	struct inet_diag_meminfo mem;
	uint32_t sk_mem[SK_MEMINFO_VARS];
	union tcp_cc_info cc;
	char congestion[16];
};

struct tcp_sample {
	uint64_t cookie;         /* of the socket, while this host is up */
	uint64_t sent_bytes;     /* payload that the peer has acknowledged */
	uint64_t received_bytes; /* payload; one too few of a connection that was reset */
	int64_t rtt_us;          /* FIREFLY_RTT_UNSAID before the first measurement */
	uint8_t rough;           /* sent_bytes still counts our SYN, if we sent it, and fin */
	uint8_t syn, fin;        /* known to be acknowledged: 0 or 1 each */
	struct firefly_tcp tcp;
	const struct tcp_detail *detail; /* until the reader is asked again; NULL: not asked for */
};

int tcp_info_open(struct tcp_info_reader **out);
void tcp_info_close(struct tcp_info_reader *r);
/* Ask for details from now on, extensions as in sock_diag's idiag_ext; or no more. */
void tcp_info_want_details(struct tcp_info_reader *r, int wanted, uint8_t extensions);

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
