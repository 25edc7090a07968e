/* What the tc programs and the daemon share: the maps' keys and values. No libc, no libbpf: fixed
 * widths, padding spelled out, sizes held by the compiler. Include it before the skeleton.
 *
 * The kernel half outlives the daemon (mark.h says how), so these structs are also an interface
 * between versions: whoever changes one raises MARK_LAYOUT, and a daemon that finds maps of another
 * layout starts with empty ones. */
#ifndef MARKER_MARK_SHARED_H
#define MARKER_MARK_SHARED_H

#include <linux/types.h>
#include "wire/flow_key.h"
#include "wire/scitag.h"

#define MARK_LAYOUT 1

#define MARK_MAX_HEADERS    8     /* IPv6 extension headers that are walked to find the ports */
#define MARK_MAX_HOP_BY_HOP 48    /* bytes of a hop-by-hop header that is moved aside */
#define MARK_MAX_RULES      64    /* each is compared in turn on a miss: keep it small */
#define MARK_MAX_PREFIXES   16    /* of peers for whom segments are kept small */
#define MARK_MAX_FRAGMENTED 4096  /* fragmented packets on their way, per direction */
#define MARK_MAX_NARROW     16384 /* destinations behind a smaller path MTU */
#define MARK_NARROW_S       600   /* how long their path MTU is believed: as long as the kernel's */
#define MARK_HEARTBEAT_NS   4000000000ULL /* older than this and nothing is stamped */
#define MARK_MSS_MIN        64            /* an MSS is not lowered below */
#define MARK_IPV6_MTU_MIN   1280          /* RFC 8200 section 5 */

/* Why a packet of a flow went out as it was. The order is shared with the daemon. */
enum mark_result {
	MARK_DONE = 0,
	MARK_NO_ROOM, /* the kernel refused to make room: no memory, or an offload it cannot carry */
	MARK_MTU,     /* full-size packet, no room below the MTU */
	MARK_VLAN,    /* more VLAN tags than can be lifted and put back */
	MARK_CHAIN,   /* extension headers too many, too long, or under an Authentication Header */
	MARK_JUMBO,   /* a BIG TCP packet that the interface takes whole */
	MARK_ALREADY, /* carries such an option already */
	MARK_STALE,   /* another connection on the same ports */
	MARK_ASLEEP,  /* the daemon is gone */
	MARK_UNDONE,  /* a write failed after room was made; the packet was put back as it was */
	MARK_RESULT_COUNT
};

struct mark_count {
	__u64 packets; /* on the wire: a GSO packet counts its segments */
	__u64 bytes;   /* frame bytes on the wire, before anything was inserted */
};

/* What to write, ready to be written. */
struct mark_tag {
	__u32 label;    /* 20 bits, host order */
	__u8 carrier;   /* enum scitag_carrier: which header takes it */
	__u8 option[6]; /* type, length, data, padding: what follows the two bytes of a header */
	__u8 pad;       /* always 0 */
};
_Static_assert(sizeof(struct mark_tag) == 12, "mark_tag is shared with the kernel");

enum {                      /* mark_flow.flags */
       MARK_FLOW_ONCE = 1,  /* one connection: another SYN on its ports is somebody else's */
       MARK_FLOW_ENDED = 2, /* kept for the last segments only */
       MARK_FLOW_STALE = 4, /* written by the kernel half: its ports were taken over */
};

/* A flow's place in the table: eight bytes, because the kernel's hash of a whole flow_key costs more
 * than all else on the way of an unmarked packet. Multilinear in secret odd numbers; what meets the
 * multiplication are words whose upper half was folded into the lower, for upper bits alone would
 * reach few bits of the product. The whole key stands in the flow and is compared. */
struct mark_secret {
	__u64 odd[5];
};
static inline __attribute__((always_inline)) __u64 mark_hash(const struct flow_key *key,
							     const struct mark_secret *secret)
{
	const __u64 *word = (const __u64 *)(const void *)key;
	__u64 h = 0;

	for (int i = 0; i < 5; i++)
		h += (word[i] ^ word[i] >> 32) * secret->odd[i];
	return h ^ h >> 32;
}

/* In front of the table: how many flows have a place that starts with these bits (255: many). Most
 * packets of others end here, at a tenth of a look-up's cost. */
#define MARK_FILTER_BITS      20
#define MARK_FILTER_OF(place) ((place) >> (64 - MARK_FILTER_BITS))

/* One flow; its key in the table is mark_hash(). */
struct mark_flow {
	struct flow_key key;
	struct mark_tag tag;
	__u32 flags;
	__u32 isn;       /* TCP sequence number of the connection's own SYN */
	__u32 isn_known; /* 0 until it was seen */
	__u64 cookie;    /* of the socket that sends it; 0: none was seen */
	__u64 seen_ns;   /* CLOCK_MONOTONIC_COARSE of the last packet; 0: none yet */
	/* The CPU that sent the first packet counts marked ones here, without locking; mark_get() adds
	 * them to counts[MARK_DONE]. */
	__u64 owner; /* CPU number + 1; 0: none yet */
	struct mark_count owned;
	struct mark_count counts[MARK_RESULT_COUNT];
};
_Static_assert(sizeof(struct mark_flow) == 104 + 16 * MARK_RESULT_COUNT,
	       "mark_flow is shared with the kernel");

/* One wildcard. A zero mask, port range 0..65535, uid and cgroup without their flag match all.
 * protocol 0 stands for TCP, UDP and SCTP: neighbour discovery is never touched by accident. */
enum { MARK_RULE_UID = 1, MARK_RULE_CGROUP = 2 };
struct mark_rule {
	__u64 src_ip[2], src_mask[2]; /* in wire order, as in memory */
	__u64 dst_ip[2], dst_mask[2];
	__u16 src_port_min, src_port_max;
	__u16 dst_port_min, dst_port_max;
	__u64 cgroup_id;
	__u32 uid;
	__u8 protocol;
	__u8 flags;
	__u8 cgroup_level; /* depth of the cgroup below the root: its whole subtree matches */
	__u8 pad;          /* always 0 */
	struct mark_tag tag;
	__u32 pad2; /* always 0 */
	struct mark_count counts[MARK_RESULT_COUNT];
};
_Static_assert(sizeof(struct mark_rule) == 104 + 16 * MARK_RESULT_COUNT,
	       "mark_rule is shared with the kernel");

struct mark_prefix {
	__u64 ip[2], mask[2];
};

struct mark_settings {
	__u32 layout; /* MARK_LAYOUT */
	__u32 n_rules;
	__u32 room_bytes;  /* kept free in segments: 0, 8 or 16 */
	__u32 n_prefixes;  /* peers it is kept free for; 0: all */
	__u64 entropy_key; /* 0: labels of rules have no entropy; else keys their hash */
	struct mark_prefix prefixes[MARK_MAX_PREFIXES];
	struct mark_secret secret;                    /* the flows' places depend on it */
	struct mark_count retired[MARK_RESULT_COUNT]; /* of flows and rules that are gone */
};

/* A destination behind a smaller MTU: what routers said, before we lowered it. */
struct mark_narrow {
	__u32 mtu;
	__u32 pad; /* always 0 */
	__u64 said_ns;
};

struct mark_fragment_key {
	__u8 src_ip[16], dst_ip[16];
	__u32 id_be;
};

/* What the daemon remembers of an interface across its own death; the programs read gso_max. */
enum { MARK_IFACE_CLSACT = 1, MARK_IFACE_GSO = 2 };
struct mark_iface {
	__u32 flags;                /* CLSACT: the qdisc is ours; GSO: we lowered gso_max */
	__u32 gso_max_bytes;        /* packets from this length on are cut up by the kernel */
	__u32 gso_max_before_bytes; /* to be put back */
	__u32 prio;                 /* of our filters */
};

#endif
