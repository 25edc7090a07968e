#include "xdp/afxdp.h"

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

#define CHUNKS         (AFXDP_RING + 8192u) /* a full ring, and empty ones still */
#define FILL_RING      (2u * AFXDP_RING)    /* the next power of two: always has room */
#define DONE_RING      64u                  /* nothing is ever sent; libxdp wants one */
#define CHUNK_SMALL    2048u
#define CHUNK_LARGE    4096u /* a page is the most */
#define HEADROOM       256u  /* XDP_PACKET_HEADROOM: the kernel keeps it free in front of a frame */
#define BATCH          256u
#define BATCHES_A_TURN 16
#define BUSY_POLL_US   20
#define BUSY_BUDGET    64

struct afxdp {
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons done, rx;
	uint8_t *area; /* CHUNKS of chunk_bytes */
	uint32_t chunk_bytes;
	int fd, zero_copy, pieces, busy_poll;
	struct afxdp_frame
		open; /* frame_bytes so far of a frame whose last piece is to come; else 0 */
	uint64_t open_address; /* of its first piece, which we keep till then */
	uint64_t received, pieced;
};

/* --- opening --- */

static int say(char *why, size_t cap_bytes, int err, const struct afxdp_config *cfg,
	       const char *what)
{
	snprintf(why, cap_bytes, "%s queue %u: %s: %s", cfg->interface, cfg->queue, what,
		 strerror(-err));
	return err;
}

static void give_all(struct afxdp *x)
{
	uint32_t at = 0;

	xsk_ring_prod__reserve(&x->fill, CHUNKS, &at);
	for (uint32_t i = 0; i < CHUNKS; i++)
		*xsk_ring_prod__fill_addr(&x->fill, at + i) = (uint64_t)i * x->chunk_bytes;
	xsk_ring_prod__submit(&x->fill, CHUNKS);
}

static void release(struct afxdp *x)
{
	if (x->socket)
		xsk_socket__delete(x->socket);
	if (x->umem)
		xsk_umem__delete(x->umem);
	if (x->area)
		munmap(x->area, (size_t)CHUNKS * x->chunk_bytes);
	x->socket = NULL;
	x->umem = NULL;
	x->area = NULL;
}

static int bind_queue(struct afxdp *x, const struct afxdp_config *cfg, char *why, size_t cap_bytes)
{
	const struct xsk_umem_config memory = {
		.fill_size = FILL_RING, .comp_size = DONE_RING, .frame_size = x->chunk_bytes};
	const struct xsk_socket_config socket = {
		.rx_size = AFXDP_RING,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		/* neither XDP_COPY nor XDP_ZEROCOPY: the kernel takes what the driver has */
		.bind_flags = (uint16_t)(XDP_USE_NEED_WAKEUP | (x->pieces ? XDP_USE_SG : 0)),
	};
	const size_t bytes = (size_t)CHUNKS * x->chunk_bytes;
	uint8_t *area =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (area == MAP_FAILED)
		return say(why, cap_bytes, -errno, cfg, "memory for frames");
	x->area = area;
	err = xsk_umem__create(&x->umem, area, bytes, &x->fill, &x->done, &memory);
	if (err)
		return say(why, cap_bytes, err, cfg,
			   err == -ENOBUFS ? "sharing memory needs CAP_IPC_LOCK or a larger "
					     "RLIMIT_MEMLOCK"
					   : "sharing memory with the kernel");
	err = xsk_socket__create(&x->socket, cfg->interface, cfg->queue, x->umem, &x->rx, NULL,
				 &socket);
	if (err)
		return say(why, cap_bytes, err, cfg, "AF_XDP socket");
	return 0;
}

static void busy_polling(const struct afxdp *x)
{
	const int on = 1, us = BUSY_POLL_US, budget = BUSY_BUDGET;

	/* older kernels lack some of these: then the socket is merely asked often */
	setsockopt(x->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on));
	setsockopt(x->fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof(us));
	setsockopt(x->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget));
}

int afxdp_open(struct afxdp **out, const struct afxdp_config *cfg, char *why, size_t why_cap_bytes)
{
	struct afxdp *x = calloc(1, sizeof(*x));
	struct xdp_options options = {0};
	socklen_t len = sizeof(options);
	int err;

	if (!x)
		return say(why, why_cap_bytes, -ENOMEM, cfg, "socket");
	x->busy_poll = cfg->busy_poll;
	x->chunk_bytes = cfg->frame_max_bytes > CHUNK_SMALL - HEADROOM ? CHUNK_LARGE : CHUNK_SMALL;
	x->pieces = cfg->frame_max_bytes > afxdp_piece_bytes(x);
	err = bind_queue(x, cfg, why, why_cap_bytes);
	if (err == -EINVAL &&
	    x->pieces) { /* before Linux 6.6: long frames are dropped, and counted */
		release(x);
		x->pieces = 0;
		err = bind_queue(x, cfg, why, why_cap_bytes);
	}
	if (err)
		goto fail;
	x->fd = xsk_socket__fd(x->socket);
	if (!getsockopt(x->fd, SOL_XDP, XDP_OPTIONS, &options, &len))
		x->zero_copy = !!(options.flags & XDP_OPTIONS_ZEROCOPY);
	if (x->busy_poll)
		busy_polling(x);
	give_all(x);
	err = xsk_socket__update_xskmap(x->socket, cfg->map_fd);
	if (err) {
		say(why, why_cap_bytes, err, cfg, "entering the program's map of sockets");
		goto fail;
	}
	*out = x;
	return 0;
fail:
	afxdp_close(x);
	return err;
}

void afxdp_close(struct afxdp *x)
{
	if (!x)
		return;
	release(x);
	free(x);
}

/* --- frames --- */

/* A batch out of the ring, its memory back to the kernel. Returns how many pieces there were. */
static uint32_t take_batch(struct afxdp *x, void (*each)(void *arg, const struct afxdp_frame *f),
			   void *arg)
{
	uint32_t at = 0, back = 0, n_back = 0, n = xsk_ring_cons__peek(&x->rx, BATCH, &at);

	if (!n)
		return 0;
	/* one more: the first piece of a frame that began in the batch before */
	xsk_ring_prod__reserve(&x->fill, n + 1, &back);
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&x->rx, at + i);
		const int more = d->options & XDP_PKT_CONTD, first = !x->open.frame_bytes;

		if (first) {
			x->open.bytes = xsk_umem__get_data(x->area, d->addr);
			x->open.captured_bytes = d->len;
			x->open_address = d->addr;
		} else {
			*xsk_ring_prod__fill_addr(&x->fill, back + n_back++) = d->addr;
		}
		x->open.frame_bytes += d->len;
		if (more)
			continue;
		each(arg, &x->open);
		x->received++;
		x->pieced += !first;
		x->open.frame_bytes = 0;
		*xsk_ring_prod__fill_addr(&x->fill, back + n_back++) = x->open_address;
	}
	xsk_ring_cons__release(&x->rx, n);
	x->fill.cached_prod -= n + 1 - n_back; /* what was reserved and not needed */
	xsk_ring_prod__submit(&x->fill, n_back);
	return n;
}

static int wait_for_frames(struct afxdp *x, int wait_ms)
{
	struct pollfd pfd = {.fd = x->fd, .events = POLLIN};
	int err = 0;
	socklen_t len = sizeof(err);

	if (x->busy_poll)
		return recvfrom(x->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) < 0 && errno == ENETDOWN
			       ? -ENETDOWN
			       : 0;
	poll(&pfd, 1, wait_ms);
	if (pfd.revents & (POLLERR | POLLHUP | POLLNVAL)) {
		getsockopt(x->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		return err ? -err : -ENETDOWN;
	}
	return 0;
}

int afxdp_drain(struct afxdp *x, int wait_ms, void (*each)(void *arg, const struct afxdp_frame *f),
		void *arg)
{
	const uint64_t before = x->received;
	int err;

	for (int i = 0; i < BATCHES_A_TURN; i++)
		if (take_batch(x, each, arg) < BATCH)
			break;
	if (xsk_ring_prod__needs_wakeup(&x->fill))
		recvfrom(x->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	if (x->received == before) {
		err = wait_for_frames(x, wait_ms);
		if (err)
			return err;
	}
	return (int)(x->received - before);
}

void afxdp_counts(const struct afxdp *x, struct afxdp_counts *out)
{
	struct xdp_statistics stats = {0};
	socklen_t len = sizeof(stats);

	getsockopt(x->fd, SOL_XDP, XDP_STATISTICS, &stats, &len);
	*out = (struct afxdp_counts){
		.received = x->received,
		.ring_full = stats.rx_ring_full,
		.dropped = stats.rx_dropped + stats.rx_invalid_descs,
		.fill_empty = stats.rx_fill_ring_empty_descs,
		.pieced = x->pieced,
	};
}

int afxdp_is_zero_copy(const struct afxdp *x)
{
	return x->zero_copy;
}

int afxdp_takes_pieces(const struct afxdp *x)
{
	return x->pieces;
}

uint32_t afxdp_piece_bytes(const struct afxdp *x)
{
	return x->chunk_bytes - HEADROOM;
}
