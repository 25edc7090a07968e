/* Ethernet to ports: link layers, VLANs, MPLS, tunnels, IPv4, IPv6 with its extension
 * headers, and every sign of a tag on the way. One walk for libpcap, AF_XDP, sFlow
 * snippets and the kernel's XDP program.
 * Sources: RFC 8200 (headers, options), RFC 2675 (jumbo), RFC 4302 (AH length), RFC 2784
 * and 2890 (GRE), RFC 7348 (VXLAN), RFC 8926 (Geneve), RFC 3032 (MPLS); the option forms in
 * wire/scitag.h. Rules where they leave a choice: docs/reading.md.
 *
 * Pure; reads only bytes[0..len); never invents a tag that the whole packet lacks. */
#ifndef WIRE_PACKET_H
#define WIRE_PACKET_H

#include "wire/cursor.h"
#include "wire/flow_key.h"
#include "wire/scitag.h"

enum packet_link { /* what the first byte belongs to */
	PACKET_LINK_ETHERNET = 1,
	PACKET_LINK_IP,   /* raw IPv4 or IPv6, told by the first nibble */
	PACKET_LINK_MPLS, /* sFlow header protocol 13 */
	PACKET_LINK_PPP,  /* sFlow header protocol 7: optional ff 03, then the PPP protocol */
	PACKET_LINK_SLL,  /* Linux cooked v1, 16 bytes */
	PACKET_LINK_SLL2, /* Linux cooked v2, 20 bytes */
	PACKET_LINK_NULL, /* BSD loopback, 4-byte family in either byte order */
};

/* One answer a packet. Only PACKET_OK yields a tag. The order is shared with the kernel. */
enum packet_verdict {
	PACKET_OK = 0,
	PACKET_SHORT,     /* ends before the IP header that it announces is complete */
	PACKET_MALFORMED, /* a header contradicts itself (version, IHL, length) */
	PACKET_CHAIN,     /* more than PACKET_MAX_HEADERS headers or PACKET_MAX_TUNNELS tunnels */
	PACKET_NOT_IP,    /* whole, but no IP inside: ARP, LLDP, an unknown ethertype */
	PACKET_VERDICT_COUNT
};

#define PACKET_MAX_VLANS 4
#define PACKET_MAX_MPLS 8 /* labels in one stack */
#define PACKET_MAX_HEADERS 16
#define PACKET_MAX_TUNNELS 4

enum packet_tunnel { /* the innermost encapsulation that was opened */
	PACKET_TUNNEL_NONE = 0,
	PACKET_TUNNEL_IP_IN_IP, /* 6in4, 4in6, 6in6, 4in4 */
	PACKET_TUNNEL_GRE,
	PACKET_TUNNEL_ERSPAN,
	PACKET_TUNNEL_VXLAN,
	PACKET_TUNNEL_GENEVE,
};

enum { /* packet.flags */
	PACKET_TRUNCATED = 1 << 0,    /* captured bytes ended inside the header chain */
	PACKET_MALFORMED_EH = 1 << 1, /* an option ran past its header; no tag from that header */
	PACKET_CONFLICT = 1 << 2,     /* two tag options differ (see packet_tag) */
	PACKET_FRAGMENT = 1 << 3,     /* a fragment, first or later */
	PACKET_LATER_FRAGMENT = 1 << 4,
	PACKET_JUMBO = 1 << 5,
	PACKET_ESP = 1 << 6,
	PACKET_STRAY_HBH = 1 << 7, /* a hop-by-hop header that is not the first */
	PACKET_HAS_PORTS = 1 << 8,
	PACKET_OUTER_TAG = 1 << 9, /* the tag is the outer header's: no inner IPv6 was visible */
};

/* A tag option as found: value is the 24 data bits (1E/3), or the 20-bit label of 1F/4. */
struct packet_option {
	__u32 value;
	__u8 type; /* 0x1E or 0x1F; 0: none seen */
	__u8 pad[3];
};

/* Everything is of the innermost IP header that was visible, unless it says outer. */
struct packet {
	struct flow_key key;
	__u32 label;    /* 20 bits; 0 for IPv4 */
	__u32 ip_bytes; /* whole IP packet as its own header says (jumbo included) */
	struct packet_option hop_by_hop;
	struct packet_option destination; /* the last one that carries a tag */
	__u16 flags;
	__u16 vlan[PACKET_MAX_VLANS]; /* 12-bit ids, outermost first */
	__u8 n_vlans;
	__u8 n_mpls;
	__u8 n_tunnels;
	__u8 tunnel; /* enum packet_tunnel */
	__u8 traffic_class;
	__u8 tcp_flags;
	__u32 vni; /* of VXLAN or Geneve */
};

/* What the packet says of itself, once the registry is known. */
struct packet_tag {
	struct scitag tag;
	__u8 carrier; /* enum scitag_carrier */
	__u8 grade;   /* untagged, unregistered, registered, confirmed or disagree: no claims yet */
	__u8 dialect; /* enum scitag_dialect of the option, 0 for a label */
	__u8 pad;
	struct scitag other; /* GRADE_DISAGREE: what the hop-by-hop header says */
};

#endif
