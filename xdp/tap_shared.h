/* What the tap's kernel program and its user half share: one slot of counters per CPU and direction,
 * memory-mapped, so that reading it costs no system call and stops nobody; and what stands in front of a
 * frame that was handed up. No libc, no libbpf: fixed-width types, padding spelled out, sizes held by the
 * compiler. */
#ifndef XDP_TAP_SHARED_H
#define XDP_TAP_SHARED_H

#include <linux/types.h>
#include "wire/packet.h"

/* Only the kernel program writes to a cell, on one CPU; it only ever grows. */
struct tap_cell {
	__u64 packets;
	__u64 bytes;    /* frames as the driver hands them over: no FCS, no offloaded VLAN tag */
	__u64 ip_bytes; /* of the innermost IP packet, never more than the frame holds */
};

/* One plane for each way a tag is carried, one cell for each pair. */
enum tap_plane {
	TAP_LABEL = 0,
	TAP_LABEL_IPV4, /* IPv4 inside a labelled IPv6 packet */
	TAP_DESTINATION,
	TAP_HOP_BY_HOP,
	TAP_HOP_BY_HOP_DESTINATION,
	TAP_PLANES
};

/* Experiments to 511, activities to 63. An option beyond that is counted in `outside` of its plane, unless it is
 * registered: then the frame is handed up. */
#define TAP_CELLS 32768u

enum tap_other { /* frames without a tag */
		 TAP_IPV4 = 0,
		 TAP_IPV6, /* label 0 and no option */
		 TAP_SHORT,
		 TAP_MALFORMED,
		 TAP_NOT_IP,
		 TAP_OTHERS
};

/* A label's cell: its experiment bits as they stand, mirrored, which saves the kernel from turning them
 * around for every packet; the user half turns the cell's number around instead. */
static __always_inline __u32 tap_label_cell(__u32 label)
{
	return (label >> 9 & 0x1FF) << 6 | (label >> 2 & 0x3F);
}

/* An option's cell: the 24 bits of 1E/3 as they stand, without the ones that must be 0. Whether they are a pair
 * or a label depends on what is registered, and is for the user half to say; a label that is neither is a
 * pair beyond 511/63, and one of 1F/4 is counted where the same tag's pair would be. */
static __always_inline int tap_option_has_cell(__u32 value)
{
	return !(value & ~0x1FF3Fu);
}

static __always_inline __u32 tap_option_cell(__u32 value)
{
	return (value >> 8 & 0x1FF) << 6 | (value & 0x3F);
}

/* Seen flows: one of a kind for every CPU, direct-mapped, second chance. */
#define TAP_FLOWS 32768u /* 2^15 */

struct tap_slot {
	struct tap_cell cells[TAP_PLANES][TAP_CELLS];
	struct tap_cell outside[TAP_PLANES];
	struct tap_cell others[TAP_OTHERS];

	/* Handing up. In the slot of direction 0 of a CPU. */
	__u64 random;    /* state; not 0 */
	__u64 threshold; /* of 2^32: how likely a frame is sampled. A power of two. Set by the user
			     * half; halved by the kernel when the ring is half full */
	__u64 sampled;   /* frames handed up by chance */
	__u64 firsts;    /* frames handed up because they are the first of a flow */
	__u64 firsts_limit; /* `firsts` stops here; raised by the user half */
	__u64 steered;      /* frames that only user space can count: not in any cell */
	__u64 lost_samples; /* the ring was full: sampled or first, and not handed up */
	__u64 lost_steered; /* likewise: these are in no cell and nobody counted them */
	__u32 flows[TAP_FLOWS];
};
/* older kernels hold a map's value to 4 MiB */
_Static_assert(sizeof(struct tap_slot) <= 4 << 20, "a slot is one value of an array map");

enum tap_why {
	TAP_SAMPLED = 1, /* stands for `weight` packets of what is not first */
	TAP_FIRST,       /* of a flow; stands for itself */
	TAP_STEERED,     /* to be counted by user space; stands for itself and is in no cell */
};

#define TAP_SAMPLE_BYTES 192  /* of a sampled frame, at most */
#define TAP_STEER_BYTES  2048 /* of a steered one, which may have a long chain of headers */

/* In front of the frame's first captured_bytes bytes in the ring. */
struct tap_meta {
	__u64 rx_mono_ns;     /* bpf_ktime_get_ns() */
	__u32 frame_bytes;    /* before any truncation */
	__u32 weight;         /* packets it stands for: the rate in force when it was chosen */
	__u16 captured_bytes; /* that follow */
	__u8 why;             /* enum tap_why */
	__u8 verdict;         /* of the kernel's reading: PACKET_CHAIN when it had to stop early */
	__u32 queue;          /* receive queue */
};
_Static_assert(sizeof(struct tap_meta) == 24, "tap_meta is shared with the kernel");

#define TAP_PREFIXES_MAX 1024
struct tap_prefix { /* key of the map of our own prefixes; IPv4 as v4-mapped */
	__u32 bits;
	__u8 address[16];
};

#endif
