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

/* What the first byte belongs to. */
enum packet_link {
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
	PACKET_CHAIN,     /* more headers, tunnels, VLAN tags or labels than the limits below */
	PACKET_NOT_IP,    /* whole, but no IP inside: ARP, LLDP, an unknown ethertype */
	PACKET_VERDICT_COUNT
};

#define PACKET_MAX_VLANS   4 /* in the whole frame, and of these everything below */
#define PACKET_MAX_MPLS    8
#define PACKET_MAX_HEADERS 16 /* extension headers */
#define PACKET_MAX_TUNNELS 4
/* How far one walk goes. Every turn reads one layer, every option round one option. In user
 * space the limits above always come first; the kernel's verifier follows each turn, so its
 * program stops earlier: it answers PACKET_CHAIN and leaves the frame to user space. */
#ifdef __bpf__
#define PACKET_MAX_TURNS   20
#define PACKET_MAX_OPTIONS 10
#else
#define PACKET_MAX_TURNS   64
#define PACKET_MAX_OPTIONS 2048
#endif

/* The innermost encapsulation that was opened. */
enum packet_tunnel {
	PACKET_TUNNEL_NONE = 0,
	PACKET_TUNNEL_IP_IN_IP, /* 6in4, 4in6, 6in6, 4in4 */
	PACKET_TUNNEL_GRE,
	PACKET_TUNNEL_ERSPAN,
	PACKET_TUNNEL_VXLAN,
	PACKET_TUNNEL_GENEVE,
};

/* packet.flags */
enum {
	PACKET_TRUNCATED = 1 << 0,    /* captured bytes ended inside the header chain */
	PACKET_MALFORMED_EH = 1 << 1, /* an option past its header, a header past its packet */
	PACKET_CONFLICT = 1 << 2,     /* two tag options in one header differ; first wins */
	PACKET_FRAGMENT = 1 << 3,     /* a fragment, first or later */
	PACKET_LATER_FRAGMENT = 1 << 4,
	PACKET_JUMBO = 1 << 5,
	PACKET_ESP = 1 << 6,
	PACKET_STRAY_HBH = 1 << 7, /* a hop-by-hop header that is not the first: skipped */
	PACKET_HAS_PORTS = 1 << 8,
	PACKET_OUTER_TAG = 1 << 9, /* label and options are of an IPv6 header around this IPv4 */
};

/* A tag option as found: value is the 24 data bits (1E/3), or the 20-bit label of 1F/4. */
struct packet_option {
	__u32 value;
	__u8 type; /* 0x1E or 0x1F; 0: none seen */
	__u8 pad[3];
};

/* Everything is of the innermost IP header that was visible; label and options of the
 * innermost IPv6 header (PACKET_OUTER_TAG tells when that is not the same one). */
struct packet {
	struct flow_key key;
	__u32 label;    /* 20 bits; 0 for IPv4 */
	__u32 ip_bytes; /* whole IP packet as its own header says (jumbo included); 0: it does
			 * not say, as the kernel's merged packets longer than 64 KiB do */
	struct packet_option hop_by_hop;
	struct packet_option destination; /* the last one that carries a tag */
	__u16 flags;
	__u16 ip_offset;              /* where that IP header begins in the frame */
	__u16 ports_offset;           /* where TCP, UDP or SCTP begins; 0: not seen */
	__u16 vlan[PACKET_MAX_VLANS]; /* 12-bit ids, outermost first */
	__u8 n_vlans;
	__u8 n_mpls;
	__u8 n_tunnels;
	__u8 n_headers; /* extension headers, in all IP headers of the frame */
	__u8 tunnel;    /* enum packet_tunnel */
	__u8 traffic_class;
	__u8 tcp_flags; /* 0 also when the capture ends before them */
	__u8 pad;
	__u32 vni; /* of VXLAN or Geneve */
} __attribute__((aligned(8)));

/* What the packet says of itself, once the registry is known. */
struct packet_tag {
	struct scitag tag;
	__u8 carrier; /* enum scitag_carrier: where `tag` was found */
	__u8 grade;   /* untagged, unregistered, registered, confirmed or disagree: no claims yet */
	__u8 dialect; /* enum scitag_dialect of the option, 0 for a label */
	__u8 pad;
	struct scitag other; /* GRADE_DISAGREE: what the hop-by-hop header says */
};

/* --- the walk ------------------------------------------------------------------------------
 * One layer a turn. `next` says what the coming byte belongs to, in one space of numbers: IP
 * protocols below 256, our own names below 0x600, ethertypes above. What the walk learns goes
 * into *p at once and counters are kept there, not in locals: in the kernel *p is map memory,
 * which the verifier does not follow, so the turns look alike to it and it finishes. */
enum {
	PACKET_NEXT_HOP_BY_HOP = 0, /* IP protocols; 0 here is one that came too late */
	PACKET_NEXT_IPV4 = 4,
	PACKET_NEXT_TCP = 6,
	PACKET_NEXT_UDP = 17,
	PACKET_NEXT_IPV6 = 41,
	PACKET_NEXT_ROUTING = 43,
	PACKET_NEXT_FRAGMENT = 44,
	PACKET_NEXT_GRE = 47,
	PACKET_NEXT_ESP = 50,
	PACKET_NEXT_AH = 51,
	PACKET_NEXT_DESTINATION = 60,
	PACKET_NEXT_SCTP = 132,
	PACKET_NEXT_MOBILITY = 135,
	PACKET_NEXT_HIP = 139,
	PACKET_NEXT_SHIM6 = 140,

	PACKET_NEXT_ETHERNET = 0x100,
	PACKET_NEXT_ANY_IP,           /* the first nibble tells */
	PACKET_NEXT_FIRST_HOP_BY_HOP, /* where it belongs: right behind the IPv6 header */
	PACKET_NEXT_PPP,

	PACKET_TYPE_IPV4 = 0x0800,
	PACKET_TYPE_TEB = 0x6558, /* Ethernet inside GRE and Geneve */
	PACKET_TYPE_VLAN = 0x8100,
	PACKET_TYPE_IPV6 = 0x86DD,
	PACKET_TYPE_MPLS = 0x8847,
	PACKET_TYPE_MPLS_MULTICAST = 0x8848,
	PACKET_TYPE_PPPOE = 0x8864,
	PACKET_TYPE_QINQ = 0x88A8,
	PACKET_TYPE_ERSPAN = 0x88BE,
	PACKET_TYPE_QINQ_OLD = 0x9100,
	PACKET_TYPE_OTHER = 0xFFFF, /* reserved: stands for whatever is not opened */
};

#define PACKET_PORT_VXLAN   4789
#define PACKET_PORT_GENEVE  6081
#define PACKET_OPTION_JUMBO 0xC2

#define PACKET_GO_ON (-1) /* a layer's answer when the walk is not over; else the verdict */

struct packet_walk {
	struct cursor c;
	__u32 seen_bytes; /* of the frame; the cursor's own end moves in when an IP length says so */
	__u32 next;
};

/* The cursor tore inside something that must be whole for there to be an IP packet. */
static __always_inline int packet_cut(const struct packet_walk *w)
{
	if (w->c.torn == CURSOR_FAR)
		return PACKET_CHAIN;
	return w->c.len < w->seen_bytes ? PACKET_MALFORMED : PACKET_SHORT;
}

/* The cursor tore behind a whole IP header: what was read before remains valid. */
static __always_inline int packet_cut_chain(const struct packet_walk *w, struct packet *p)
{
	if (w->c.torn == CURSOR_FAR)
		return PACKET_CHAIN;
	p->flags |= w->c.len < w->seen_bytes ? PACKET_MALFORMED_EH : PACKET_TRUNCATED;
	return PACKET_OK;
}

static __always_inline int packet_tunnel_enter(struct packet *p, enum packet_tunnel kind)
{
	if (p->n_tunnels >= PACKET_MAX_TUNNELS)
		return PACKET_CHAIN;
	p->n_tunnels++;
	p->tunnel = kind;
	return PACKET_GO_ON;
}

/* Nothing further to open. Inside a tunnel the IP header around it is the answer. */
static __always_inline int packet_not_ip(const struct packet *p)
{
	return p->key.family ? PACKET_OK : PACKET_NOT_IP;
}

static __always_inline int packet_ethernet(struct packet_walk *w)
{
	const __u8 *h = cursor_take(&w->c, 14);

	if (!h)
		return packet_cut(w);
	w->next = wire_be16(h + 12);
	if (w->next < 0x600) /* a length: LLC, never IP here */
		w->next = PACKET_TYPE_OTHER;
	return PACKET_GO_ON;
}

static __always_inline int packet_vlan(struct packet_walk *w, struct packet *p)
{
	const __u8 *h = cursor_take(&w->c, 4);
	__u32 n = p->n_vlans;

	if (!h)
		return packet_cut(w);
	if (n >= PACKET_MAX_VLANS)
		return PACKET_CHAIN;
	p->vlan[n] = wire_be16(h) & 0xFFF;
	p->n_vlans = n + 1;
	w->next = wire_be16(h + 2);
	if (w->next < 0x600)
		w->next = PACKET_TYPE_OTHER;
	return PACKET_GO_ON;
}

/* One label; behind the last one IP, or a pseudowire's control word and its Ethernet frame. */
static __always_inline int packet_mpls(struct packet_walk *w, struct packet *p)
{
	const __u8 *h = cursor_take(&w->c, 4);

	if (!h)
		return packet_cut(w);
	if (p->n_mpls >= PACKET_MAX_MPLS)
		return PACKET_CHAIN;
	p->n_mpls++;
	if (h[2] & 1)
		w->next = PACKET_NEXT_ANY_IP;
	return PACKET_GO_ON;
}

static __always_inline int packet_any_ip(struct packet_walk *w, struct packet *p)
{
	struct cursor peek = w->c;
	__u32 nibble = cursor_u8(&peek) >> 4;

	if (peek.torn) {
		w->c.torn = peek.torn;
		return packet_cut(w);
	}
	if (nibble == 6) {
		w->next = PACKET_TYPE_IPV6;
	} else if (nibble == 4) {
		w->next = PACKET_TYPE_IPV4;
	} else if (nibble == 0 && p->n_mpls) {
		cursor_skip(&w->c, 4);
		w->next = PACKET_NEXT_ETHERNET;
	} else {
		return packet_not_ip(p);
	}
	return PACKET_GO_ON;
}

static __always_inline int packet_ppp(struct packet_walk *w)
{
	switch (cursor_be16(&w->c)) {
	case 0x0021:
		w->next = PACKET_TYPE_IPV4;
		break;
	case 0x0057:
		w->next = PACKET_TYPE_IPV6;
		break;
	case 0x0281:
		w->next = PACKET_TYPE_MPLS;
		break;
	default:
		if (w->c.torn)
			return packet_cut(w);
		w->next = PACKET_TYPE_OTHER;
	}
	return PACKET_GO_ON;
}

static __always_inline int packet_pppoe(struct packet_walk *w)
{
	if (!cursor_take(&w->c, 6))
		return packet_cut(w);
	w->next = PACKET_NEXT_PPP;
	return PACKET_GO_ON;
}

static __always_inline int packet_ipv4(struct packet_walk *w, struct packet *p)
{
	__u32 start = w->c.off;
	const __u8 *h = cursor_take(&w->c, 20);
	__u32 header_bytes, total_bytes, fragment;

	if (!h)
		return packet_cut(w);
	header_bytes = (h[0] & 0xF) * 4;
	total_bytes = wire_be16(h + 2);
	fragment = wire_be16(h + 6);
	if (h[0] >> 4 != 4 || header_bytes < 20 || (total_bytes && total_bytes < header_bytes))
		return PACKET_MALFORMED;
	cursor_skip(&w->c, header_bytes - 20);
	if (w->c.torn)
		return packet_cut(w);
	if (total_bytes)
		cursor_limit(&w->c, total_bytes - header_bytes);

	if (p->n_tunnels) { /* keep what an outer IPv6 header said */
		p->flags &=
			PACKET_CONFLICT | PACKET_MALFORMED_EH | PACKET_STRAY_HBH | PACKET_OUTER_TAG;
		if (p->label || p->hop_by_hop.type || p->destination.type)
			p->flags |= PACKET_OUTER_TAG;
		p->key = (struct flow_key){0};
		p->ports_offset = 0;
	}
	p->key.family = 4;
	wire_map_ipv4(p->key.src_ip, h + 12);
	wire_map_ipv4(p->key.dst_ip, h + 16);
	p->traffic_class = h[1];
	p->ip_bytes = total_bytes;
	p->ip_offset = start;
	w->next = h[9];
	if (fragment & 0x3FFF) {
		p->flags |= PACKET_FRAGMENT;
		if (fragment & 0x1FFF) {
			p->flags |= PACKET_LATER_FRAGMENT;
			p->key.protocol = w->next;
			return PACKET_OK;
		}
	}
	return PACKET_GO_ON;
}

static __always_inline int packet_ipv6(struct packet_walk *w, struct packet *p)
{
	__u32 start = w->c.off;
	const __u8 *h = cursor_take(&w->c, 40);
	__u32 word, payload_bytes;

	if (!h)
		return packet_cut(w);
	word = wire_be32(h);
	payload_bytes = wire_be16(h + 4);
	if (word >> 28 != 6)
		return PACKET_MALFORMED;
	if (payload_bytes)
		cursor_limit(&w->c, payload_bytes);

	if (p->n_tunnels) { /* the innermost IPv6 header is the one that counts */
		p->flags = 0;
		p->hop_by_hop = p->destination = (struct packet_option){0};
		p->key = (struct flow_key){0};
		p->ports_offset = 0;
	}
	p->key.family = 6;
	wire_copy16(p->key.src_ip, h + 8);
	wire_copy16(p->key.dst_ip, h + 24);
	p->label = word & SCITAG_LABEL_MASK;
	p->traffic_class = word >> 20;
	w->next = h[6];
	/* nothing follows: 40 bytes it is; otherwise a length of 0 is one that did not fit */
	p->ip_bytes = payload_bytes || w->next == 59 ? 40 + payload_bytes : 0;
	p->ip_offset = start;
	if (w->next == PACKET_NEXT_HOP_BY_HOP)
		w->next = PACKET_NEXT_FIRST_HOP_BY_HOP;
	return PACKET_GO_ON;
}

/* Hop-by-hop and destination options. The tag is taken only from a header that is whole and
 * whose options all fit. */
static __always_inline int packet_options(struct packet_walk *w, struct packet *p)
{
	__u32 kind = w->next;
	const __u8 *h = cursor_take(&w->c, 2);
	__u32 found_type = 0, found_value = 0, jumbo_bytes = 0, flags = 0, left, end, i;

	if (!h)
		return packet_cut_chain(w, p);
	w->next = h[0];
	left = h[1] * 8 + 6;
	if (left > cursor_left(&w->c)) {
		w->c.torn = CURSOR_TORN;
		return packet_cut_chain(w, p);
	}
	end = cursor_forget(&w->c, w->c.off + left);
	for (i = 0; i < PACKET_MAX_OPTIONS; i++) {
		__u32 type, n, value;

		w->c.off = cursor_forget(&w->c, w->c.off);
		found_type = cursor_forget(&w->c, found_type);
		found_value = cursor_forget(&w->c, found_value);
		flags = cursor_forget(&w->c, flags);
		jumbo_bytes = cursor_forget(&w->c, jumbo_bytes);
		end = cursor_forget(&w->c, end);
		if (w->c.off >= end)
			break;
		h = cursor_take(&w->c, 1);
		if (!h)
			return packet_cut_chain(w, p);
		type = h[0];
		if (type == 0) /* Pad1 */
			continue;
		h = w->c.off < end ? cursor_take(&w->c, 1) : 0;
		if (!h || w->c.off + h[0] > end) {
			if (w->c.torn)
				return packet_cut_chain(w, p);
			w->c.off = end;
			p->flags |= PACKET_MALFORMED_EH;
			return PACKET_GO_ON;
		}
		n = h[0];
		if (n == 3 && type == SCITAG_OPTION_PLAIN) {
			h = cursor_take(&w->c, 3);
			if (!h)
				return packet_cut_chain(w, p);
			value = wire_be24(h);
		} else if (n == 4 && (type == SCITAG_OPTION_LABEL || type == PACKET_OPTION_JUMBO)) {
			h = cursor_take(&w->c, 4);
			if (!h)
				return packet_cut_chain(w, p);
			value = wire_be32(h);
			if (type == PACKET_OPTION_JUMBO) {
				jumbo_bytes = value;
				continue;
			}
			if (value & 0xFF) /* not the form that says a tag */
				continue;
			value = value >> 8 & SCITAG_LABEL_MASK;
		} else {
			w->c.off += n;
			continue;
		}
		if (!found_type) {
			found_type = type;
			found_value = value;
		} else if (found_type != type || found_value != value) {
			flags = PACKET_CONFLICT;
		}
	}
	if (w->c.off < end)
		return PACKET_CHAIN;
	p->flags |= flags;
	if (found_type && kind == PACKET_NEXT_DESTINATION) {
		p->destination.type = found_type;
		p->destination.value = found_value;
	} else if (found_type) {
		p->hop_by_hop.type = found_type;
		p->hop_by_hop.value = found_value;
	}
	/* RFC 2675: in a hop-by-hop header, with a payload length of 0, beyond 65535 only */
	if (kind != PACKET_NEXT_DESTINATION && !p->ip_bytes && jumbo_bytes > 0xFFFF &&
	    jumbo_bytes <= 0xFFFFFFFFu - 40) {
		p->ip_bytes = 40 + jumbo_bytes;
		p->flags |= PACKET_JUMBO;
	}
	return PACKET_GO_ON;
}

/* Any other header that says its own length, in units of 8 (or 4: the authentication header)
 * beyond the first one (two). */
static __always_inline int packet_skip_header(struct packet_walk *w, struct packet *p)
{
	__u32 kind = w->next;
	const __u8 *h = cursor_take(&w->c, 2);

	if (!h)
		return packet_cut_chain(w, p);
	w->next = h[0];
	cursor_skip(&w->c, kind == PACKET_NEXT_AH ? h[1] * 4 + 6 : h[1] * 8 + 6);
	if (w->c.torn)
		return packet_cut_chain(w, p);
	return PACKET_GO_ON;
}

/* Is this number an IPv6 extension header, so that the upper layer is not known yet? */
static __always_inline int packet_is_extension(__u32 next)
{
	return next == PACKET_NEXT_HOP_BY_HOP || next == PACKET_NEXT_ROUTING ||
	       next == PACKET_NEXT_FRAGMENT || next == PACKET_NEXT_DESTINATION ||
	       next == PACKET_NEXT_MOBILITY || next == PACKET_NEXT_HIP ||
	       next == PACKET_NEXT_SHIM6 || next == PACKET_NEXT_AH;
}

static __always_inline int packet_fragment(struct packet_walk *w, struct packet *p)
{
	const __u8 *h = cursor_take(&w->c, 8);

	if (!h)
		return packet_cut_chain(w, p);
	p->flags |= PACKET_FRAGMENT;
	w->next = h[0];
	if (!(wire_be16(h + 2) & 0xFFF8))
		return PACKET_GO_ON;
	p->flags |= PACKET_LATER_FRAGMENT;
	p->key.protocol = packet_is_extension(w->next) ? 0 : w->next;
	return PACKET_OK;
}

static __always_inline int packet_extension(struct packet_walk *w, struct packet *p)
{
	if (p->key.family == 4 && w->next != PACKET_NEXT_AH) { /* just a protocol there */
		p->key.protocol = w->next;
		return PACKET_OK;
	}
	if (p->n_headers >= PACKET_MAX_HEADERS)
		return PACKET_CHAIN;
	p->n_headers++;
	switch (w->next) {
	case PACKET_NEXT_DESTINATION:
	case PACKET_NEXT_FIRST_HOP_BY_HOP:
		return packet_options(w, p);
	case PACKET_NEXT_FRAGMENT:
		return packet_fragment(w, p);
	case PACKET_NEXT_HOP_BY_HOP:
		p->flags |= PACKET_STRAY_HBH;
		return packet_skip_header(w, p);
	default:
		return packet_skip_header(w, p);
	}
}

static __always_inline int packet_gre(struct packet_walk *w, struct packet *p)
{
	const __u8 *h = cursor_take(&w->c, 4);
	__u32 flags, type, tunnel = PACKET_TUNNEL_GRE;
	int verdict;

	p->key.protocol = PACKET_NEXT_GRE;
	if (!h)
		return packet_cut(w);
	flags = wire_be16(h);
	type = wire_be16(h + 2);
	if (flags & 0x4007) /* source routes and PPTP: not opened */
		return PACKET_OK;
	cursor_skip(&w->c, 4 * ((flags >> 15 & 1) + (flags >> 13 & 1) + (flags >> 12 & 1)));
	if (type == PACKET_TYPE_ERSPAN) {
		tunnel = PACKET_TUNNEL_ERSPAN;
		if (flags & 0x1000) /* type II has a header of its own, type I has not */
			cursor_skip(&w->c, 8);
		type = PACKET_NEXT_ETHERNET;
	} else if (type == PACKET_TYPE_TEB) {
		type = PACKET_NEXT_ETHERNET;
	} else if (type < 0x600) {
		return PACKET_OK;
	}
	if (w->c.torn)
		return packet_cut(w);
	verdict = packet_tunnel_enter(p, tunnel);
	w->next = type;
	return verdict;
}

static __always_inline int packet_vxlan(struct packet_walk *w, struct packet *p)
{
	const __u8 *h = cursor_take(&w->c, 12); /* the rest of UDP's header, then VXLAN's */

	if (!h)
		return packet_cut(w);
	if (!(h[4] & 0x08)) /* no valid VNI: something else on this port */
		return PACKET_OK;
	p->vni = wire_be24(h + 8);
	w->next = PACKET_NEXT_ETHERNET;
	return packet_tunnel_enter(p, PACKET_TUNNEL_VXLAN);
}

static __always_inline int packet_geneve(struct packet_walk *w, struct packet *p)
{
	const __u8 *h = cursor_take(&w->c, 12);

	if (!h)
		return packet_cut(w);
	w->next = wire_be16(h + 6);
	if (h[4] >> 6 || w->next < 0x600)
		return PACKET_OK;
	cursor_skip(&w->c, (h[4] & 0x3F) * 4);
	if (w->c.torn)
		return packet_cut(w);
	p->vni = wire_be24(h + 8);
	if (w->next == PACKET_TYPE_TEB)
		w->next = PACKET_NEXT_ETHERNET;
	return packet_tunnel_enter(p, PACKET_TUNNEL_GENEVE);
}

static __always_inline int packet_ports(struct packet_walk *w, struct packet *p)
{
	__u32 protocol = w->next, offset = w->c.off;
	const __u8 *h = cursor_take(&w->c, 4);

	p->key.protocol = protocol;
	if (!h)
		return packet_cut_chain(w, p);
	p->ports_offset = offset;
	p->key.src_port = wire_be16(h);
	p->key.dst_port = wire_be16(h + 2);
	p->flags |= PACKET_HAS_PORTS;
	if (protocol == PACKET_NEXT_TCP) {
		h = cursor_take(&w->c, 10);
		if (h)
			p->tcp_flags = h[9];
		return PACKET_OK;
	}
	if (protocol == PACKET_NEXT_UDP && p->key.dst_port == PACKET_PORT_VXLAN)
		return packet_vxlan(w, p);
	if (protocol == PACKET_NEXT_UDP && p->key.dst_port == PACKET_PORT_GENEVE)
		return packet_geneve(w, p);
	return PACKET_OK;
}

/* Read one layer. */
static __always_inline int packet_turn(struct packet_walk *w, struct packet *p)
{
	switch (w->next) {
	case PACKET_TYPE_IPV6:
		return packet_ipv6(w, p);
	case PACKET_NEXT_TCP:
	case PACKET_NEXT_UDP:
	case PACKET_NEXT_SCTP:
		return packet_ports(w, p);
	case PACKET_NEXT_DESTINATION:
	case PACKET_NEXT_FIRST_HOP_BY_HOP:
	case PACKET_NEXT_HOP_BY_HOP:
	case PACKET_NEXT_ROUTING:
	case PACKET_NEXT_MOBILITY:
	case PACKET_NEXT_HIP:
	case PACKET_NEXT_SHIM6:
	case PACKET_NEXT_FRAGMENT:
	case PACKET_NEXT_AH:
		return packet_extension(w, p);
	case PACKET_TYPE_IPV4:
		return packet_ipv4(w, p);
	case PACKET_NEXT_ETHERNET:
		return packet_ethernet(w);
	case PACKET_TYPE_VLAN:
	case PACKET_TYPE_QINQ:
	case PACKET_TYPE_QINQ_OLD:
		return packet_vlan(w, p);
	case PACKET_NEXT_IPV6:
		w->next = PACKET_TYPE_IPV6;
		return packet_tunnel_enter(p, PACKET_TUNNEL_IP_IN_IP);
	case PACKET_NEXT_IPV4:
		w->next = PACKET_TYPE_IPV4;
		return packet_tunnel_enter(p, PACKET_TUNNEL_IP_IN_IP);
	case PACKET_NEXT_GRE:
		return packet_gre(w, p);
	case PACKET_TYPE_MPLS:
	case PACKET_TYPE_MPLS_MULTICAST:
		return packet_mpls(w, p);
	case PACKET_NEXT_ANY_IP:
		return packet_any_ip(w, p);
	case PACKET_TYPE_PPPOE:
		return packet_pppoe(w);
	case PACKET_NEXT_PPP:
		return packet_ppp(w);
	case PACKET_NEXT_ESP:
		p->flags |= PACKET_ESP;
		p->key.protocol = PACKET_NEXT_ESP;
		return PACKET_OK;
	default:
		if (w->next >= 0x600)
			return packet_not_ip(p);
		p->key.protocol = w->next;
		return PACKET_OK;
	}
}

/* What is in a tunnel cannot be read: the packet around it was whole and is not lost for that. Where
 * the inside is no packet, the outer header speaks, as it would of any payload. Where it was cut off,
 * its tag is not to be seen, and the outer one's is not the packet's: no tag at all. */
static __always_inline enum packet_verdict packet_inside_lost(struct packet *p, int verdict)
{
	if (!p->key.family || (verdict != PACKET_SHORT && verdict != PACKET_MALFORMED))
		return (enum packet_verdict)verdict;
	if (verdict == PACKET_SHORT) {
		p->flags |= PACKET_TRUNCATED;
		p->label = 0;
		p->hop_by_hop.type = p->destination.type = 0;
	} else {
		p->flags |= PACKET_MALFORMED_EH;
	}
	return PACKET_OK;
}

/* Walk from `next` to the end. *p must be zero; in the kernel it must be map memory. */
static __always_inline enum packet_verdict packet_walk(struct packet_walk *w, struct packet *p)
{
	__u32 i;

	w->seen_bytes = w->c.len;
	for (i = 0; i < PACKET_MAX_TURNS; i++) {
		int verdict;

		w->c.off = cursor_forget(&w->c, w->c.off);
		w->c.len = cursor_forget(&w->c, w->c.len);
		w->next = cursor_forget(&w->c, w->next);
		verdict = packet_turn(w, p);
		if (verdict != PACKET_GO_ON)
			return packet_inside_lost(p, verdict);
	}
	return PACKET_CHAIN;
}

/* --- the short way -------------------------------------------------------------------------
 * What links are full of, read straight down: Ethernet, at most two VLAN tags, IPv4 or IPv6 without
 * any surprise, extension headers of eight bytes with a plain tag in them, TCP or UDP. What it
 * reads it reads as the walk does (the tests hold the two together); of everything else it says
 * PACKET_GO_ON, and the walk begins at the first byte. In the kernel *p may be a local variable:
 * what the program does not use is not even read. */

/* Next header, length 0, 1E, 3, three bytes of tag, Pad1. */
static __always_inline int packet_plain_option(struct packet_option *option, const struct cursor *c,
					       __u32 at, __u32 *next)
{
	const __u8 *h = cursor_peek(c, at, 8);
	__u64 all;

	if (!h)
		return 0;
	all = wire_be64(h);
	if ((all & 0x00FFFFFF000000FFULL) != 0x00001E0300000000ULL)
		return 0;
	*next = all >> 56;
	option->type = SCITAG_OPTION_PLAIN;
	option->value = all >> 8 & 0xFFFFFF;
	return 1;
}

static __always_inline int packet_plain_ports(struct packet *p, const struct cursor *c, __u32 at,
					      __u32 protocol)
{
	const __u8 *h = cursor_peek(c, at, 4);

	if (!h || (protocol != PACKET_NEXT_TCP && protocol != PACKET_NEXT_UDP))
		return PACKET_GO_ON;
	p->key.src_port = wire_be16(h);
	p->key.dst_port = wire_be16(h + 2);
	p->key.protocol = protocol;
	p->ports_offset = at;
	p->flags = PACKET_HAS_PORTS;
	if (protocol == PACKET_NEXT_UDP &&
	    (p->key.dst_port == PACKET_PORT_VXLAN || p->key.dst_port == PACKET_PORT_GENEVE))
		return PACKET_GO_ON;
	if (protocol == PACKET_NEXT_TCP) {
		h = cursor_peek(c, at, 14);
		if (h)
			p->tcp_flags = h[13];
	}
	return PACKET_OK;
}

/* The kinds of plain frames. A program that reads each with a call of its own, the kind a constant,
 * has for each only the code it needs. */
enum packet_plain_kind {
	PACKET_PLAIN_NONE,
	PACKET_PLAIN_IPV6,
	PACKET_PLAIN_IPV6_OPTIONS,
	PACKET_PLAIN_IPV4,
};

/* Look at the ethertype, behind VLAN tags, and for options. *at: where the IP header begins;
 * *h: its bytes, 40 or (IPv4) 20 of them. */
static __always_inline enum packet_plain_kind
packet_plain_kind(struct packet *p, const struct cursor *c, __u32 *at, const __u8 **h)
{
	const __u8 *e = cursor_peek(c, 0, 34);
	__u32 type;

	if (!e)
		return PACKET_PLAIN_NONE;
	type = wire_be16(e + 12);
	*at = 14;
	if (type == PACKET_TYPE_VLAN || type == PACKET_TYPE_QINQ) {
		p->vlan[0] = wire_be16(e + 14) & 0xFFF;
		p->n_vlans = 1;
		type = wire_be16(e + 16);
		*at = 18;
		if (type == PACKET_TYPE_VLAN) {
			p->vlan[1] = wire_be16(e + 18) & 0xFFF;
			p->n_vlans = 2;
			type = wire_be16(e + 20);
			*at = 22;
		}
	}
	if (type == PACKET_TYPE_IPV6) {
		*h = cursor_peek(c, *at, 40);
		if (!*h)
			return PACKET_PLAIN_NONE;
		if ((*h)[6] == PACKET_NEXT_TCP || (*h)[6] == PACKET_NEXT_UDP)
			return PACKET_PLAIN_IPV6;
		return PACKET_PLAIN_IPV6_OPTIONS;
	}
	if (type == PACKET_TYPE_IPV4) {
		*h = cursor_peek(c, *at, 20);
		if (*h)
			return PACKET_PLAIN_IPV4;
	}
	return PACKET_PLAIN_NONE;
}

static __always_inline int packet_plain_ipv6(struct packet *p, const struct cursor *c, __u32 at,
					     const __u8 *h, int options)
{
	__u32 word = wire_be32(h), next = h[6], header_bytes = 40;

	if (word >> 28 != 6)
		return PACKET_GO_ON;
	p->ip_offset = at;
	p->ip_bytes = 40 + wire_be16(h + 4);
	p->label = word & SCITAG_LABEL_MASK;
	p->traffic_class = word >> 20;
	p->key.family = 6;
	if (options && next == PACKET_NEXT_HOP_BY_HOP) {
		if (!packet_plain_option(&p->hop_by_hop, c, at + 40, &next))
			return PACKET_GO_ON;
		header_bytes = 48;
		p->n_headers = 1;
	}
	if (options && next == PACKET_NEXT_DESTINATION) {
		if (!packet_plain_option(&p->destination, c, at + header_bytes, &next))
			return PACKET_GO_ON;
		header_bytes += 8;
		p->n_headers++;
	}
	if (p->ip_bytes < header_bytes + 14 ||
	    packet_plain_ports(p, c, at + header_bytes, next) != PACKET_OK)
		return PACKET_GO_ON;
	wire_copy16(p->key.src_ip, h + 8); /* last: nobody has to remember them till then */
	wire_copy16(p->key.dst_ip, h + 24);
	return PACKET_OK;
}

static __always_inline int packet_plain_ipv4(struct packet *p, const struct cursor *c, __u32 at,
					     const __u8 *h)
{
	if (h[0] != 0x45 || (wire_be16(h + 6) & 0x3FFF))
		return PACKET_GO_ON;
	p->ip_offset = at;
	p->ip_bytes = wire_be16(h + 2);
	p->traffic_class = h[1];
	p->key.family = 4;
	if (p->ip_bytes < 20 + 14 || packet_plain_ports(p, c, at + 20, h[9]) != PACKET_OK)
		return PACKET_GO_ON;
	wire_map_ipv4(p->key.src_ip, h + 12);
	wire_map_ipv4(p->key.dst_ip, h + 16);
	return PACKET_OK;
}

/* *p must be zero, and is anything when the answer is PACKET_GO_ON. */
static __always_inline int packet_plain_read(struct packet *p, const struct cursor *c, __u32 at,
					     const __u8 *h, enum packet_plain_kind kind)
{
	switch (kind) {
	case PACKET_PLAIN_IPV6:
		return packet_plain_ipv6(p, c, at, h, 0);
	case PACKET_PLAIN_IPV6_OPTIONS:
		return packet_plain_ipv6(p, c, at, h, 1);
	case PACKET_PLAIN_IPV4:
		return packet_plain_ipv4(p, c, at, h);
	default:
		return PACKET_GO_ON;
	}
}

static __always_inline int packet_plain(struct packet *p, const struct cursor *c)
{
	__u32 at = 0;
	const __u8 *h = 0;
	enum packet_plain_kind kind = packet_plain_kind(p, c, &at, &h);

	return packet_plain_read(p, c, at, h, kind);
}

#ifdef __bpf__
/* Walk the Ethernet frame between data and data_end. *p must be map memory. A program that has
 * tried packet_plain() before reads both pointers from its context again: what the verifier
 * learnt about the old ones would make it follow the walk once for each place it can come from. */
static __always_inline enum packet_verdict packet_walk_frame(struct packet *p, const void *data,
							     const void *data_end)
{
	struct packet_walk w;

	*p = (struct packet){0};
	cursor_init_packet(&w.c, data, data_end);
	w.next = PACKET_NEXT_ETHERNET;
	return packet_walk(&w, p);
}
#else
/* What stands before the first layer: only in captures, never in the kernel. */
static inline enum packet_verdict packet_link_enter(struct packet_walk *w, enum packet_link link)
{
	const __u8 *h;

	switch (link) {
	case PACKET_LINK_ETHERNET:
		w->next = PACKET_NEXT_ETHERNET;
		return PACKET_OK;
	case PACKET_LINK_IP:
		w->next = PACKET_NEXT_ANY_IP;
		return PACKET_OK;
	case PACKET_LINK_MPLS:
		w->next = PACKET_TYPE_MPLS;
		return PACKET_OK;
	case PACKET_LINK_PPP:
		w->next = PACKET_NEXT_PPP;
		if (cursor_left(&w->c) >= 2 && wire_be16(w->c.base) == 0xFF03)
			cursor_skip(&w->c, 2);
		return PACKET_OK;
	case PACKET_LINK_SLL:
		h = cursor_take(&w->c, 16);
		w->next = h ? wire_be16(h + 14) : 0;
		break;
	case PACKET_LINK_SLL2:
		h = cursor_take(&w->c, 20);
		w->next = h ? wire_be16(h) : 0;
		break;
	case PACKET_LINK_NULL:
		w->next = PACKET_NEXT_ANY_IP; /* the family's number differs between systems */
		return cursor_take(&w->c, 4) ? PACKET_OK : PACKET_SHORT;
	default:
		return PACKET_NOT_IP;
	}
	if (w->c.torn)
		return PACKET_SHORT;
	if (w->next < 0x600)
		w->next = PACKET_TYPE_OTHER;
	return PACKET_OK;
}

/* Read len_bytes of a captured frame that begins with `link`. Fills *p whatever the verdict;
 * what was not reached is zero. */
static inline enum packet_verdict packet_parse(struct packet *p, const __u8 *bytes, __u32 len_bytes,
					       enum packet_link link)
{
	struct packet_walk w;
	enum packet_verdict verdict;

	*p = (struct packet){0};
	cursor_init(&w.c, bytes, len_bytes);
	if (link == PACKET_LINK_ETHERNET) {
		if (packet_plain(p, &w.c) == PACKET_OK)
			return PACKET_OK;
		*p = (struct packet){0};
	}
	verdict = packet_link_enter(&w, link);
	return verdict == PACKET_OK ? packet_walk(&w, p) : verdict;
}
#endif

/* --- the tag ------------------------------------------------------------------------------- */

/* What a packet with verdict PACKET_OK says. An option, registered or not, comes before the
 * label: who writes options leaves the label to chance. Of two headers that differ the
 * destination options are the tag. */
static __always_inline void packet_tag(struct packet_tag *out, const struct packet *p,
				       const struct scitag_set *registered)
{
	const struct packet_option *hop_by_hop = &p->hop_by_hop, *destination = &p->destination;
	struct scitag other;

	*out = (struct packet_tag){0};
	if (destination->type) {
		out->carrier = CARRIER_DESTINATION;
		out->dialect = scitag_option_decode(&out->tag, destination->type,
						    destination->value, registered);
		if (hop_by_hop->type) {
			out->carrier = CARRIER_HOP_BY_HOP_DESTINATION;
			scitag_option_decode(&other, hop_by_hop->type, hop_by_hop->value,
					     registered);
			if (other.experiment != out->tag.experiment ||
			    other.activity != out->tag.activity) {
				out->carrier = CARRIER_DESTINATION;
				out->grade = GRADE_DISAGREE;
				out->other = other;
				return;
			}
		}
	} else if (hop_by_hop->type) {
		out->carrier = CARRIER_HOP_BY_HOP;
		out->dialect = scitag_option_decode(&out->tag, hop_by_hop->type, hop_by_hop->value,
						    registered);
	} else if (p->label) {
		out->carrier = CARRIER_LABEL;
		out->tag = scitag_label_decode(p->label);
	} else {
		return; /* GRADE_UNTAGGED */
	}
	if (!scitag_set_has(registered, out->tag))
		out->grade = GRADE_UNREGISTERED;
	else
		out->grade = out->carrier == CARRIER_LABEL ? GRADE_REGISTERED : GRADE_CONFIRMED;
}

#endif
