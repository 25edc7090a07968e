#include "xdp/xsk.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

/* Newer than the headers of Debian 12: include/uapi/linux/if_xdp.h of Linux 6.6; the numbers are ABI. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
/* include/uapi/asm-generic/socket.h of Linux 5.11; not in every libc's socket.h */
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif

#define CHUNKS         (2u * XSK_RING) /* a full ring of frames, and as many empty ones */
#define CHUNK_SMALL    2048u
#define CHUNK_LARGE    4096u /* a page is the most */
#define HEADROOM       256u  /* XDP_PACKET_HEADROOM: the kernel keeps it free in front of a frame */
#define BATCH          256u
#define BATCHES_A_TURN 16
#define BUSY_POLL_US   20
#define BUSY_BUDGET    64

struct xsk {
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons done; /* for sending; libxdp wants one */
	struct xsk_ring_cons rx;
	uint8_t *area; /* CHUNKS of chunk_bytes */
	uint32_t chunk_bytes;
	int fd, zero_copy, pieces, busy_poll;
	uint32_t skip_bytes; /* of a long frame whose first piece was handed over: not used otherwise */
	struct {             /* a frame whose last piece has not come yet */
		const uint8_t *bytes;
		uint64_t address;
		uint32_t captured_bytes, frame_bytes;
	} open;
	uint64_t received, pieced;
};

static size_t area_bytes(const struct xsk *x)
{
	return (size_t)CHUNKS * x->chunk_bytes;
}

static int give_all(struct xsk *x)
{
	uint32_t at;

	if (xsk_ring_prod__reserve(&x->fill, XSK_RING, &at) != XSK_RING)
		return -ENOMEM;
	for (uint32_t i = 0; i < XSK_RING; i++)
		*xsk_ring_prod__fill_addr(&x->fill, at + i) = (uint64_t)i * x->chunk_bytes;
	xsk_ring_prod__submit(&x->fill, XSK_RING);
	return 0;
}
