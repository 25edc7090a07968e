/* One AF_XDP socket: every frame of one receive queue, in batches, out of memory shared with the kernel.
 *
 * The program that sends the frames here is the tap's (TAP_MODE_REDIRECT); the socket enters its XSKMAP when it is
 * opened and leaves it when it is closed. Zero-copy where the driver has it, else copied; xsk_describe says which.
 * Memory: 64 MiB for each socket (128 where frames are longer than 1.8 kB).
 *
 * One socket belongs to one thread. Needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF for xsk_open; beyond
 * RLIMIT_MEMLOCK also CAP_IPC_LOCK.
 * Counts: sent to the queue = received + dropped + ring_full (+ what the driver itself had to drop).
 * Sources: linux/Documentation/networking/af_xdp.rst; libxdp 1.3 xsk.h. */
#ifndef XDP_XSK_H
#define XDP_XSK_H

#include <stddef.h>
#include <stdint.h>

#define XSK_RING 16384 /* frames that wait for us: 10 ms at 1.6 Mpps */

struct xsk; /* opaque */

struct xsk_config {
	const char *interface;
	uint32_t queue;
	int map_fd;               /* tap_socket_map_fd() */
	uint32_t frame_max_bytes; /* the longest frame to be expected: MTU and link headers */
	int busy_poll;            /* ask the driver all the time, instead of being woken: a whole CPU */
};

struct xsk_frame {
	const uint8_t *bytes; /* the frame's first piece; valid until each() returns */
	uint32_t captured_bytes, frame_bytes;
};

struct xsk_counts { /* since xsk_open */
	uint64_t received;   /* handed over */
	uint64_t ring_full;  /* we were too slow */
	uint64_t dropped;    /* no memory left to put it in, or longer than a piece where pieces are
			      * not known (before Linux 6.6) */
	uint64_t fill_empty; /* how often the kernel found no empty memory; of these some are in `dropped` */
	uint64_t pieced;     /* of the received: frames longer than one piece */
};

/* On failure a negative errno and one sentence in why: -EINVAL (no such queue), -EBUSY (somebody has
 * it), -EPERM, -ENOMEM, ... */
int xsk_open(struct xsk **out, const struct xsk_config *cfg, char *why, size_t why_cap_bytes);
void xsk_close(struct xsk *x); /* takes NULL and half-open */

/* Hand over what is there, a few thousand frames at the most; wait at most wait_ms when there is
 * nothing. Returns how many, or -ENETDOWN: the interface is gone. */
int xsk_drain(struct xsk *x, int wait_ms, void (*each)(void *arg, const struct xsk_frame *f),
	      void *arg);

void xsk_counts(const struct xsk *x, struct xsk_counts *out);
int xsk_is_zero_copy(const struct xsk *x);
int xsk_takes_pieces(const struct xsk *x); /* frames of any length come */
uint32_t xsk_piece_bytes(const struct xsk *x);

#endif
