/* Datagrams in batches: the socket under the sFlow and firefly inputs. One thread. */
#ifndef OBSERVER_UDP_H
#define OBSERVER_UDP_H

#include <stddef.h>
#include <stdint.h>

struct udp; /* opaque: the socket and its buffers */

struct udp_datagram {
	const uint8_t *bytes; /* valid until the next batch */
	uint32_t len_bytes;   /* what is there */
	int cut;              /* it was longer than that */
	uint8_t src_ip[16];   /* IPv4 as v4-mapped */
	uint16_t src_port;
};

/* listen: "[ADDR]:PORT"; without ADDR both families. Says in the log, for `room`, what went wrong, and
 * returns -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EINVAL (no such address), ... */
int udp_open(struct udp **out, const char *room, const char *listen);
void udp_close(struct udp *u); /* takes NULL */

/* Hand over what is there, a few thousand datagrams at the most; wait at most wait_ms when there is
 * nothing. Returns how many, or negative errno. */
int udp_drain(struct udp *u, int wait_ms, void (*each)(void *arg, const struct udp_datagram *d),
	      void *arg);

/* Datagrams that the kernel had to drop since the socket was opened. */
uint64_t udp_dropped(struct udp *u);
/* "[::]:10514", with the port that was really bound */
const char *udp_name(const struct udp *u);
uint64_t udp_buffer_bytes(const struct udp *u); /* what the kernel granted */
/* "32 MiB buffer", or why it is smaller; for the health page */
void udp_describe(const struct udp *u, char *buf, size_t cap_bytes);

#endif
