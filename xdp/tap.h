/* The XDP tap: every packet counted by tag inside the kernel, exactly; 1 in N headers handed up.
 *
 * Loads tap.bpf.c, attaches it to one interface with a bpf_link (nothing is left behind when the process dies),
 * and reads its counters from shared memory. A foreign XDP program on the interface is left alone.
 * Memory: sizeof(struct tap_slot), 4 MiB, for every possible CPU, times 5 when prefixes are given.
 *
 * One tap belongs to one thread. Needs CAP_BPF and CAP_NET_ADMIN for tap_open only.
 * Counts: received = the sum of all cells + steered; steered = handed up + lost_steered. */
#ifndef XDP_TAP_H
#define XDP_TAP_H

#include <stddef.h>
#include <stdint.h>
#include "xdp/tap_shared.h"

struct tap; /* opaque */

enum tap_mode {
	TAP_MODE_COUNT,    /* count and hand up samples; frames go on to the stack, or are dropped
			    * when `mirror` is set */
	TAP_MODE_REDIRECT, /* count nothing: every frame goes to the AF_XDP socket of its queue
			    * (tap_socket_map_fd), or, where there is none, as above */
};

struct tap_config {
	const char *interface;
	enum tap_mode mode;
	int mirror;             /* nobody else wants this interface's packets: they may end here */
	int generic_only;       /* do not try the driver's own mode */
	uint32_t samples_per_s; /* aim of the adaptive sampling, all CPUs together; 0: 20,000 */
	uint32_t ring_bytes;    /* power of two; 0: 8 MiB */
	const struct scitag_set *registered; /* as for tap_register; NULL: nothing yet */
	/* our own prefixes: frames are counted apart by direction. NULL: all in direction 0 */
	const struct tap_prefix *prefixes;
	size_t n_prefixes;
};

/* Open, load, attach, and begin to count. On failure a negative errno and one sentence in why:
 * -ENODEV (no such interface), -EPERM, -EBUSY (a foreign program, named with its id; left alone),
 * -EOPNOTSUPP (the interface does not take XDP, or is no Ethernet), -EINVAL, -ENOMEM, or what the kernel said. */
int tap_open(struct tap **out, const struct tap_config *cfg, char *why, size_t why_cap_bytes);
/* Detach and release. Takes NULL and half-open. Read what is left with tap_detach first. */
void tap_close(struct tap *t);
/* Stop counting; counters and ring can still be read. */
void tap_detach(struct tap *t);

/* Which pairs are registered: decides how 1E/3 options are read. May be called at any time. */
void tap_register(struct tap *t, const struct scitag_set *registered);

/* What was counted in one cell since the last call. */
struct tap_count {
	uint8_t direction; /* enum direction's numbers: 0 unknown, 1 in, 2 out, 3 internal, 4 transit */
	uint8_t family;  /* 4, 6; 0 unknown */
	uint8_t carrier; /* enum scitag_carrier; CARRIER_NONE for frames without a tag */
	uint8_t verdict; /* enum packet_verdict */
	uint8_t outside; /* the tag is not known, only that it is an option beyond 511/63 */
	struct scitag tag;
	struct tap_cell grown; /* by so much */
};
/* Calls each() for every cell that grew. Reads 4 MiB per CPU and direction and takes about a millisecond
 * for each; nobody waits for it. */
void tap_counts(struct tap *t, void (*each)(void *arg, const struct tap_count *count), void *arg);

/* Frames handed up, oldest first: sampled, first of a flow, or steered. Waits at most wait_ms when there is
 * none; each() gets bytes that are valid until it returns. Also adapts the sampling. Returns how many,
 * or a negative errno. */
int tap_samples(struct tap *t, int wait_ms,
		void (*each)(void *arg, const struct tap_meta *meta, const uint8_t *bytes),
		void *arg);
int tap_poll_fd(const struct tap *t); /* readable when tap_samples has something */

struct tap_health {
	uint64_t sampled, firsts, steered; /* cumulative, as in struct tap_slot */
	uint64_t lost_samples, lost_steered;
	uint32_t sample_one_in; /* now; the largest of all CPUs */
	int attached;           /* 0: the interface is gone, or somebody detached us */
};
void tap_health(struct tap *t, struct tap_health *out);
/* One sentence: "native XDP, counting, 2 CPUs; receive offload merges packets (ethtool -K eth1 gro off)". */
void tap_describe(const struct tap *t, char *buf, size_t cap_bytes);

/* The XSKMAP, by receive queue; TAP_MODE_REDIRECT sends a queue's frames to the socket in it. */
int tap_socket_map_fd(const struct tap *t);
int tap_ifindex(const struct tap *t);
int tap_is_native(const struct tap *t); /* the driver's own mode, not the generic one */
int tap_has_frags(const struct tap *t); /* frames longer than a page come whole (xdp.frags) */

#endif
