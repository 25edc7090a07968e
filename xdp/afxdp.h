/* One AF_XDP socket: every frame of one receive queue, in batches, out of memory shared with the kernel.
 *
 * The program that sends the frames here is the tap's (TAP_MODE_REDIRECT); the socket enters its XSKMAP when it is
 * opened and leaves it when it is closed. Zero-copy where the driver has it, else copied.
 * Memory: 48 MiB for each socket, 96 where frames are longer than 1,792 bytes.
 *
 * One socket belongs to one thread. Needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF for afxdp_open; beyond
 * RLIMIT_MEMLOCK also CAP_IPC_LOCK.
 * Counts: sent to the queue = received + dropped + ring_full (+ what the driver itself had to drop).
 * Sources: linux/Documentation/networking/af_xdp.rst; libxdp 1.3 xsk.h. */
#ifndef XDP_AFXDP_H
#define XDP_AFXDP_H

#include <stddef.h>
#include <stdint.h>

#define AFXDP_RING 16384 /* frames that wait for us: 10 ms of 1.6 Mpps */

struct afxdp; /* opaque */

struct afxdp_config {
	const char *interface;
	uint32_t queue;
	int map_fd;               /* tap_socket_map_fd() */
	uint32_t frame_max_bytes; /* the longest frame to be expected: MTU and link headers */
	int busy_poll; /* ask the driver all the time, instead of being woken: a whole CPU */
};

struct afxdp_frame {
	const uint8_t *bytes; /* the frame's first piece; valid until each() returns */
	uint32_t captured_bytes, frame_bytes;
};

struct afxdp_counts {        /* since afxdp_open */
	uint64_t received;   /* handed over */
	uint64_t ring_full;  /* we were too slow */
	uint64_t dropped;    /* no memory left for it, or longer than a piece where the kernel knows
			      * no pieces (before Linux 6.6) */
	uint64_t fill_empty; /* times the kernel found no memory for a frame */
	uint64_t pieced;     /* of the received: longer than one piece */
};

/* On failure a negative errno and one sentence in why: -EINVAL (no such queue), -EBUSY (somebody has
 * it), -EPERM, -ENOMEM, ... */
int afxdp_open(struct afxdp **out, const struct afxdp_config *cfg, char *why, size_t why_cap_bytes);
void afxdp_close(struct afxdp *x); /* takes NULL and half-open */

/* Hand over what is there, a few thousand frames at the most; wait at most wait_ms when there is
 * nothing. Returns how many, or -ENETDOWN: the interface is gone. */
int afxdp_drain(struct afxdp *x, int wait_ms, void (*each)(void *arg, const struct afxdp_frame *f),
		void *arg);

void afxdp_counts(const struct afxdp *x, struct afxdp_counts *out);
int afxdp_is_zero_copy(const struct afxdp *x);
int afxdp_takes_pieces(const struct afxdp *x); /* frames of any length come */
uint32_t afxdp_piece_bytes(const struct afxdp *x);

#endif
