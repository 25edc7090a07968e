/* The kernel half of the marker.
 *
 * mark_egress finds the packet's flow (or a wildcard rule) and stamps its tag: into the 20 bits of
 * the flow label, or as an option into a hop-by-hop or destination header that is inserted behind
 * the IPv6 header. mark_ingress keeps the room for that: it lowers the MSS that peers announce and
 * the MTU that routers report, so that what the host sends still fits with the option in it.
 *
 * Whatever happens the packet goes on, through the other filters too (TC_ACT_UNSPEC): all checks
 * come before the first change, room is made before anything is written, and the IPv6 header is
 * written last, so that taking the room back restores the packet. What was not marked is counted
 * with its reason. Nothing is stamped once the daemon's heartbeat is older than MARK_HEARTBEAT_NS.
 *
 * Segment size: a TCP super-packet is cut up behind us. Where headers + gso_size + room fit the MTU
 * the size is kept (BPF_F_ADJ_ROOM_FIXED_GSO), else the kernel lowers it by the room; the former
 * leaves no small odd segment behind each super-packet.
 *
 * Sources: RFC 8200 (headers and their order), RFC 2675 and Linux' BIG TCP (jumbo), RFC 9293 (MSS
 * option), RFC 4443 section 3.2 (Packet Too Big), wire/scitag.h (the tag). */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "marker/mark_shared.h"
#include "wire/cursor.h"

/* A test build makes chosen steps fail (tests/bpf/mark_faults.bpf.c). */
#ifndef MARK_FAULT
#define MARK_FAULT(step) 0
#endif

#ifndef IPPROTO_SCTP
#define IPPROTO_SCTP 132
#endif
#define NEXT_HOP_BY_HOP  0
#define NEXT_ROUTING     43
#define NEXT_FRAGMENT    44
#define NEXT_AH          51
#define NEXT_ICMPV6      58
#define NEXT_DESTINATION 60
#define NEXT_MOBILITY    135
#define NEXT_HIP         139
#define NEXT_SHIM6       140
#define OPTION_JUMBO     0xC2
#define TCP_SYN          0x02
#define TCP_RST          0x04

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 100000);
	__type(key, __u64);
	__type(value, struct mark_flow);
} mark_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MARK_MAX_RULES);
	__type(key, __u32);
	__type(value, struct mark_rule);
} mark_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mark_settings);
} mark_settings SEC(".maps");

struct { /* CLOCK_MONOTONIC_COARSE in ns, written by the daemon each second */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} mark_beat SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32); /* ifindex */
	__type(value, struct mark_iface);
} mark_ifaces SEC(".maps");

struct { /* key: destination address */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MARK_MAX_NARROW);
	__type(key, __u64[2]);
	__type(value, struct mark_narrow);
} mark_narrow SEC(".maps");

struct { /* which flow a later fragment belongs to */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MARK_MAX_FRAGMENTED);
	__type(key, struct mark_fragment_key);
	__type(value, struct flow_key);
} mark_fragments SEC(".maps");

const volatile struct mark_secret mark_secret; /* = settings' */
__u8 mark_filter[1 << MARK_FILTER_BITS];
__u8 mark_knows_narrow; /* mark_narrow was ever written to: saves most hosts a look-up a packet */

/* --- the time --------------------------------------------------------------------------------- */

/* The coarse clock moves with the jiffies, and those are read without a call. What another CPU writes
 * in between, or a clock that follows its jiffy late, makes us late by a jiffy: so times that others
 * wrote may lie in our future, and are compared with is_older(). */
static __u64 clock_jiffy, clock_ns;

static __always_inline __u64 coarse_ns(void)
{
	__u64 jiffy = bpf_jiffies64();

	if (jiffy != clock_jiffy) {
		clock_ns = bpf_ktime_get_coarse_ns();
		clock_jiffy = jiffy;
	}
	return clock_ns;
}

static __always_inline int is_older(__u64 then_ns, __u64 now_ns, __u64 age_ns)
{
	return (__s64)(now_ns - then_ns) > (__s64)age_ns;
}

/* --- looking ------------------------------------------------------------------------------- */

enum { WHOLE = 0, FIRST_FRAGMENT, LATER_FRAGMENT };

/* Where things are in a packet; offsets from its first byte. */
struct sight {
	__u32 l3, l4;      /* IPv6 header; upper-layer header */
	__u32 word;        /* the IPv6 header's first: version, traffic class, label */
	__u32 id_be;       /* of a fragment */
	__u16 payload_len; /* as the IPv6 header says */
	__u16 outer_proto; /* of the outermost VLAN tag inside the packet */
	__u16 outer_tci;
	__u16 hbh_bytes; /* of a hop-by-hop header behind the IPv6 header; 0: none */
	__u8 vlans;      /* tags inside the packet */
	__u8 next;       /* the IPv6 header's next header */
	__u8 after;      /* the next header behind the hop-by-hop header, if there is one */
	__u8 fragment;
	__u8 jumbo; /* the hop-by-hop header is BIG TCP's */
	__u8 opaque; /* an Authentication Header covers what we would insert, or the chain is endless */
};

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static __always_inline void see_ipv6(const __u8 *p, struct sight *at, struct flow_key *key)
{
	at->word = wire_be32(p);
	at->payload_len = wire_be16(p + 4);
	at->next = p[6];
	at->after = p[6];
	wire_copy16(key->src_ip, p + 8);
	wire_copy16(key->dst_ip, p + 24);
	key->family = 6;
}

static __always_inline void see_ports(const __u8 *p, struct flow_key *key)
{
	key->src_port = wire_be16(p);
	key->dst_port = wire_be16(p + 2);
}

/* Nearly every packet: ports, and TCP's flags, right behind the IPv6 header. 0, or -1: not of this
 * kind. */
static __always_inline int look_plain(struct __sk_buff *skb, struct sight *at, struct flow_key *key)
{
	struct cursor c;
	const __u8 *p;

	cursor_init_packet(&c, (void *)(long)skb->data, (void *)(long)skb->data_end);
	p = cursor_peek(&c, 0, ETH_HLEN + 40 + 14);
	if (!p || wire_be16(p + 12) != ETH_P_IPV6 || p[ETH_HLEN] >> 4 != 6 ||
	    !has_ports(p[ETH_HLEN + 6]))
		return -1;
	at->l3 = ETH_HLEN;
	at->l4 = ETH_HLEN + 40;
	see_ipv6(p + ETH_HLEN, at, key);
	key->protocol = at->next;
	see_ports(p + ETH_HLEN + 40, key);
	return 0;
}

/* 0, or -1: not IPv6, or too broken to be ours. */
static __always_inline int look(struct __sk_buff *skb, struct sight *at, struct flow_key *key)
{
	struct cursor c;
	const __u8 *p;
	__u16 proto;
	__u8 next;

	if (!look_plain(skb, at, key))
		return 0;
	/* Not before: of a large packet only the headers are linear, and pulling copies. */
	if (skb->data_end - skb->data < 128 && skb->len > skb->data_end - skb->data)
		bpf_skb_pull_data(skb, skb->len < 128 ? skb->len : 128);
	cursor_init_packet(&c, (void *)(long)skb->data, (void *)(long)skb->data_end);
	p = cursor_take(&c, ETH_HLEN);
	if (!p)
		return -1;
	proto = wire_be16(p + 12);
	if (proto != ETH_P_IPV6) {
		for (int i = 0; i < 4; i++) {
			if (proto != ETH_P_8021Q && proto != ETH_P_8021AD)
				break;
			p = cursor_take(&c, 4);
			if (!p)
				return -1;
			if (!i) {
				at->outer_proto = proto;
				at->outer_tci = wire_be16(p);
			}
			at->vlans++;
			proto = wire_be16(p + 2);
		}
		if (proto != ETH_P_IPV6)
			return -1;
	}
	at->l3 = c.off;
	p = cursor_take(&c, 40);
	if (!p || p[0] >> 4 != 6)
		return -1;
	see_ipv6(p, at, key);
	next = at->next;
	if (!has_ports(next)) {
		for (int i = 0; i < MARK_MAX_HEADERS; i++) {
			if (next == NEXT_FRAGMENT) {
				p = cursor_take(&c, 8);
				if (!p)
					return -1;
				at->fragment =
					wire_be16(p + 2) & 0xfff8 ? LATER_FRAGMENT : FIRST_FRAGMENT;
				at->id_be = WIRE_LOAD(__u32, p + 4);
				next = p[0];
				if (at->fragment == LATER_FRAGMENT)
					break;
			} else if (next == NEXT_AH) {
				p = cursor_take(&c, 8);
				if (!p)
					return -1;
				at->opaque = 1;
				next = p[0];
				cursor_skip(&c, 4 * p[1]); /* 4 * (length + 2) in all */
			} else if (next == NEXT_HOP_BY_HOP || next == NEXT_DESTINATION ||
				   next == NEXT_ROUTING || next == NEXT_MOBILITY ||
				   next == NEXT_HIP || next == NEXT_SHIM6) {
				__u8 kind = next;

				p = cursor_take(&c, 8);
				if (!p)
					return -1;
				next = p[0];
				if (!i && kind == NEXT_HOP_BY_HOP) {
					at->hbh_bytes = 8 * (p[1] + 1);
					at->after = next;
					at->jumbo = p[2] == OPTION_JUMBO && !p[1];
				}
				cursor_skip(&c, 8 * p[1]);
			} else {
				break;
			}
			if (c.torn)
				return -1;
			if (i == MARK_MAX_HEADERS - 1)
				at->opaque = 1;
		}
	}
	at->l4 = c.off;
	key->protocol = next;
	if (has_ports(next) && at->fragment != LATER_FRAGMENT) {
		p = cursor_take(&c, 4);
		if (!p)
			return -1;
		see_ports(p, key);
	}
	return 0;
}

/* --- counting ------------------------------------------------------------------------------ */

static __always_inline void count(struct mark_count *counts, __u32 result, __u32 packets,
				  __u32 bytes)
{
	if (result >= MARK_RESULT_COUNT)
		return;
	counts += result;
	__sync_fetch_and_add(&counts->packets, packets);
	__sync_fetch_and_add(&counts->bytes, bytes);
}

/* Most packets of a flow leave from one CPU, and nothing interrupts us there: no lock is needed. */
static __always_inline void count_flow(struct mark_flow *flow, __u32 result, __u32 packets,
				       __u32 bytes)
{
	__u64 self = bpf_get_smp_processor_id() + 1;

	if (!flow->owner)
		__sync_val_compare_and_swap(&flow->owner, 0, self);
	if (result || flow->owner != self) {
		count(flow->counts, result, packets, bytes);
		return;
	}
	flow->owned.packets += packets;
	flow->owned.bytes += bytes;
}

static __always_inline int same_flow(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

static __always_inline struct mark_flow *find_flow(const struct flow_key *key)
{
	struct mark_secret secret;
	struct mark_flow *flow;
	__u64 place;

	for (int i = 0; i < 5; i++)
		secret.odd[i] = mark_secret.odd[i];
	place = mark_hash(key, &secret);
	if (!mark_filter[MARK_FILTER_OF(place)])
		return 0;
	flow = bpf_map_lookup_elem(&mark_flows, &place);
	return flow && same_flow(&flow->key, key) ? flow : 0;
}

/* --- stamping ------------------------------------------------------------------------------ */

static __always_inline int stamp_label(struct __sk_buff *skb, const struct sight *at, __u32 label)
{
	__u32 word_be = bpf_htonl((at->word & ~SCITAG_LABEL_MASK) | label);

	if (MARK_FAULT(1) || bpf_skb_store_bytes(skb, at->l3, &word_be, 4, BPF_F_RECOMPUTE_CSUM))
		return MARK_NO_ROOM;
	return MARK_DONE;
}

/* Eight bytes of an options header: the two that lead it, then the tag's option. */
union word {
	__u64 all;
	__u8 byte[8];
};

static __always_inline __u64 tag_word(const struct mark_tag *tag, __u8 next, __u8 len)
{
	union word w;

	w.byte[0] = next;
	w.byte[1] = len;
	__builtin_memcpy(w.byte + 2, tag->option, 6);
	return w.all;
}

/* The old leading word of a header that was put behind a new one: PadN of two bytes in front. */
static __always_inline __u64 pad_word(__u64 old)
{
	union word w = {.all = old};

	w.byte[0] = 1;
	w.byte[1] = 0;
	return w.all;
}

static __always_inline int carries(__u64 old, const struct mark_tag *tag)
{
	union word w = {.all = old};

	return w.byte[2] == tag->option[0] && w.byte[3] == tag->option[1];
}

#define BLOCK_WORDS (MARK_MAX_HOP_BY_HOP / 8 + 4)
struct block {
	__u64 word[BLOCK_WORDS]; /* what will stand right behind the IPv6 header */
	__u32 n;
	__u8 next; /* the IPv6 header's new next header */
};

/* Compose the new headers from the tag and from the headers that are there. RFC 8200 wants one
 * hop-by-hop header, first, and no two destination headers in a row: an existing one is made eight
 * bytes longer, with our option at its start, so that its own options keep their alignment. */
static __always_inline int compose(struct __sk_buff *skb, const struct sight *at,
				   const struct mark_tag *tag, struct block *b)
{
	int want_hbh = tag->carrier != CARRIER_DESTINATION;
	int want_dst = tag->carrier != CARRIER_HOP_BY_HOP;
	int new_dst = want_dst && at->after != NEXT_DESTINATION;
	__u32 hbh_words = at->jumbo ? 0 : at->hbh_bytes / 8;
	__u32 n = 0;
	union word old;

	if (hbh_words) {
		if (at->hbh_bytes > MARK_MAX_HOP_BY_HOP)
			return MARK_CHAIN;
		for (__u32 i = 0; i < MARK_MAX_HOP_BY_HOP / 8; i++) {
			if (i >= hbh_words)
				break;
			if (bpf_skb_load_bytes(skb, at->l3 + 40 + 8 * i, &old, 8))
				return MARK_NO_ROOM;
			if (!i) {
				if (carries(old.all, tag))
					return MARK_ALREADY;
				if (want_hbh)
					b->word[n++] = tag_word(
						tag, new_dst ? NEXT_DESTINATION : old.byte[0],
						old.byte[1] + 1);
				if (want_hbh)
					old.all = pad_word(old.all);
				else if (new_dst)
					old.byte[0] = NEXT_DESTINATION;
			}
			if (n < BLOCK_WORDS)
				b->word[n++] = old.all;
		}
	} else if (want_hbh) {
		b->word[n++] = tag_word(tag, want_dst ? NEXT_DESTINATION : at->after, 0);
	}
	b->next = hbh_words || want_hbh ? NEXT_HOP_BY_HOP : NEXT_DESTINATION;
	if (new_dst) {
		if (n < BLOCK_WORDS)
			b->word[n++] = tag_word(tag, at->after, 0);
	} else if (want_dst) {
		if (bpf_skb_load_bytes(skb, at->l3 + 40 + at->hbh_bytes, &old, 8))
			return MARK_NO_ROOM;
		if (carries(old.all, tag))
			return MARK_ALREADY;
		if (old.byte[1] == 255)
			return MARK_CHAIN;
		if (n < BLOCK_WORDS - 1) {
			b->word[n++] = tag_word(tag, old.byte[0], old.byte[1] + 1);
			b->word[n++] = pad_word(old.all);
		}
	}
	b->n = n;
	return MARK_DONE;
}

/* Would a packet of ip_bytes, deliverable as it is, still be when it is longer by room? */
static __always_inline int fits(__u32 ip_bytes, __u32 room, __u32 mtu, __u32 path_mtu)
{
	if (ip_bytes + room > mtu)
		return 0;
	return ip_bytes > path_mtu || ip_bytes + room <= path_mtu;
}

static __always_inline __u32 path_mtu_of(const __u8 dst_ip[16], __u64 now_ns)
{
	const struct mark_narrow *narrow;

	if (!mark_knows_narrow)
		return ~0U;
	narrow = bpf_map_lookup_elem(&mark_narrow, dst_ip);
	if (narrow && !is_older(narrow->said_ns, now_ns, MARK_NARROW_S * 1000000000ULL))
		return narrow->mtu;
	return ~0U;
}

/* BIG TCP's header, taken out before, is put back. */
static __always_inline void restore_jumbo(struct __sk_buff *skb, __u32 l3, __u64 jumbo)
{
	if (!bpf_skb_adjust_room(skb, 8, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO))
		bpf_skb_store_bytes(skb, l3 + 40, &jumbo, 8, BPF_F_RECOMPUTE_CSUM);
}

/* Put the block in. The frame has no VLAN tag inside, l3 is its IPv6 header. reserve_bytes more of
 * headroom are there afterwards.
 *
 * Nothing can fail once room was made: bpf_skb_pull_data() has made the headers linear and
 * writable, so the writes ask for no memory. The way back is there all the same, and tested. */
static __always_inline int insert(struct __sk_buff *skb, const struct sight *at, __u32 l3,
				  const struct block *b, __u32 room, __u64 gso_flag,
				  __u32 reserve_bytes)
{
	struct ip_part {
		__u16 payload_len_be;
		__u8 next, hops;
	} new = {}, old = {};
	__u32 payload = at->payload_len, len_bytes = b->n * 8;
	__u64 jumbo = 0;

	if (payload) /* 0: too long to say; the stack fills it in when it cuts the packet up */
		payload += room;
	if (payload > 0xffff)
		return MARK_NO_ROOM;
	old.payload_len_be = bpf_htons(at->payload_len);
	old.next = at->next;
	new.payload_len_be = bpf_htons(payload);
	new.next = b->next;

	if (MARK_FAULT(2) || bpf_skb_pull_data(skb, at->l4 - at->l3 + l3))
		return MARK_NO_ROOM;
	if (at->jumbo) { /* it is there for the stack, never on the wire, and would not be understood */
		if (bpf_skb_load_bytes(skb, l3 + 40, &jumbo, 8))
			return MARK_NO_ROOM;
		if (MARK_FAULT(3) ||
		    bpf_skb_adjust_room(skb, -8, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO))
			return MARK_NO_ROOM;
	}
	if (MARK_FAULT(4) ||
	    bpf_skb_adjust_room(skb, room + reserve_bytes, BPF_ADJ_ROOM_NET, gso_flag)) {
		if (at->jumbo)
			restore_jumbo(skb, l3, jumbo);
		return MARK_NO_ROOM;
	}
	if (reserve_bytes && (MARK_FAULT(5) || bpf_skb_adjust_room(skb, -(__s32)reserve_bytes,
								   BPF_ADJ_ROOM_NET, gso_flag))) {
		bpf_skb_adjust_room(skb, -(__s32)(room + reserve_bytes), BPF_ADJ_ROOM_NET,
				    gso_flag);
		return MARK_UNDONE;
	}
	if (MARK_FAULT(6) || bpf_skb_store_bytes(skb, l3 + 4, &new, 3, BPF_F_RECOMPUTE_CSUM))
		goto undo;
	if (len_bytes < 8 || len_bytes > sizeof(b->word))
		len_bytes = 8; /* never: for the verifier */
	if (MARK_FAULT(7) ||
	    bpf_skb_store_bytes(skb, l3 + 40, b->word, len_bytes, BPF_F_RECOMPUTE_CSUM))
		goto undo;
	return MARK_DONE;
undo:
	bpf_skb_store_bytes(skb, l3 + 4, &old, 3, BPF_F_RECOMPUTE_CSUM);
	bpf_skb_adjust_room(skb, -(__s32)room, BPF_ADJ_ROOM_NET, gso_flag);
	if (at->jumbo)
		restore_jumbo(skb, l3, jumbo);
	return MARK_UNDONE;
}

/* Room cannot be made in a frame with a VLAN tag inside: lift the tags, insert, put them back. One
 * pop lifts the outermost tag and moves one below it into the metadata, so that one push of the
 * outermost restores both. */
static __always_inline int insert_behind_vlan(struct __sk_buff *skb, const struct sight *at,
					      const struct block *b, __u32 room, __u64 gso_flag)
{
	__u32 outside = skb->vlan_present, len_before = skb->len, reserve_bytes = 0;
	__u16 proto_be = outside ? skb->vlan_proto : bpf_htons(at->outer_proto);
	__u16 tci = outside ? skb->vlan_tci : at->outer_tci;
	int result;

	if (at->vlans + !!outside > 2)
		return MARK_VLAN;
	if (MARK_FAULT(8) || bpf_skb_vlan_pop(skb)) {
		if (skb->len == len_before && skb->vlan_present == outside)
			return MARK_VLAN; /* nothing was lifted */
		result = MARK_VLAN;
	} else {
		if (at->vlans + !!outside == 2)
			reserve_bytes = 4; /* for the push, which then cannot fail */
		result = insert(skb, at, ETH_HLEN, b, room, gso_flag, reserve_bytes);
	}
	bpf_skb_vlan_push(skb, proto_be, tci);
	return result;
}

/* A function of its own, which the verifier looks at once, and knows nothing of its arguments. */
__attribute__((noinline)) int stamp_option(struct __sk_buff *skb, struct sight *at,
					   struct flow_key *key, struct mark_tag *tag, __u64 now_ns)
{
	__u32 room, ip_bytes, mtu = 0, gso_size = skb->gso_size;
	__u64 gso_flag = 0;
	struct block b = {};
	int result;

	if (!at || !key || !tag) /* for the verifier */
		return MARK_NO_ROOM;
	if (at->opaque)
		return MARK_CHAIN;
	room = tag->carrier == CARRIER_HOP_BY_HOP_DESTINATION ? 16 : 8;
	ip_bytes = 40 + at->payload_len;
	bpf_check_mtu(skb, 0, &mtu, 0, 0);
	if (gso_size) {
		/* what one segment will be; BIG TCP's header is not in it */
		__u32 headers = at->l4 - at->l3 - (at->jumbo ? 8 : 0);
		__u8 doff = 0;

		if (key->protocol == IPPROTO_TCP) {
			if (bpf_skb_load_bytes(skb, at->l4 + 12, &doff, 1))
				return MARK_NO_ROOM;
			headers += doff >> 4 << 2;
		} else {
			/* The kernel has counted what the segments' headers will add. If that is not UDP's
			 * it is a tunnel's: we do not know how long its segments are. */
			headers += 8;
			if (skb->wire_len - skb->len != (skb->gso_segs - 1) * (at->l3 + headers))
				return MARK_NO_ROOM;
		}
		ip_bytes = headers + gso_size;
	}
	if (mtu && fits(ip_bytes, room, mtu, path_mtu_of(key->dst_ip, now_ns)))
		gso_flag = BPF_F_ADJ_ROOM_FIXED_GSO;
	else if (!gso_size || key->protocol != IPPROTO_TCP || ip_bytes > mtu ||
		 gso_size < 64 + room)
		return MARK_MTU;
	if (at->jumbo) {
		__u32 ifindex = skb->ifindex;
		const struct mark_iface *iface = bpf_map_lookup_elem(&mark_ifaces, &ifindex);

		/* taken whole by the interface, it would arrive without a length */
		if (!gso_size || !iface || skb->len < iface->gso_max_bytes)
			return MARK_JUMBO;
	}
	result = compose(skb, at, tag, &b);
	if (result)
		return result;
	if (at->vlans)
		return insert_behind_vlan(skb, at, &b, room, gso_flag);
	return insert(skb, at, at->l3, &b, room, gso_flag, 0);
}

static __always_inline int stamp(struct __sk_buff *skb, struct sight *at, struct flow_key *key,
				 struct mark_tag *tag, __u64 now_ns)
{
	__u32 zero = 0;
	const __u64 *beat = bpf_map_lookup_elem(&mark_beat, &zero);

	if (!beat || is_older(*beat, now_ns, MARK_HEARTBEAT_NS))
		return MARK_ASLEEP;
	if (tag->carrier == CARRIER_LABEL)
		return stamp_label(skb, at, tag->label);
	return stamp_option(skb, at, key, tag, now_ns);
}

/* --- whose packet it is ---------------------------------------------------------------------- */

/* Is this packet another connection's, on the same ports? A SYN that is not the flow's own says so
 * for good; a reset in front of everything belongs to the connection before. */
static __always_inline int is_stale(struct __sk_buff *skb, const struct sight *at,
				    const struct flow_key *key, struct mark_flow *flow)
{
	struct cursor c;
	const __u8 *p;
	__u32 isn;

	if (flow->flags & MARK_FLOW_STALE)
		return 1;
	if (key->protocol != IPPROTO_TCP || at->fragment == LATER_FRAGMENT)
		return 0;
	cursor_init_packet(&c, (void *)(long)skb->data, (void *)(long)skb->data_end);
	cursor_skip(&c, at->l4);
	p = cursor_take(&c, 14);
	if (!p)
		return 0;
	if (p[13] & TCP_RST)
		return !flow->seen_ns;
	if (p[13] & TCP_SYN) {
		isn = wire_be32(p + 4);
		if (flow->isn_known ? flow->isn != isn
				    : flow->seen_ns || flow->flags & MARK_FLOW_ENDED) {
			flow->flags |= MARK_FLOW_STALE;
			return 1;
		}
		flow->isn = isn;
		flow->isn_known = 1;
	}
	if (!flow->cookie)
		flow->cookie = bpf_get_socket_cookie(skb);
	return 0;
}

static __always_inline int is_wide_area(const struct flow_key *key)
{
	return key->dst_ip[0] != 0xff &&
	       !(key->dst_ip[0] == 0xfe && (key->dst_ip[1] & 0xc0) == 0x80);
}

static __always_inline int rule_matches(struct __sk_buff *skb, const struct flow_key *key,
					const struct mark_rule *r)
{
	const __u64 *src = (const __u64 *)key->src_ip, *dst = (const __u64 *)key->dst_ip;

	if ((dst[0] ^ r->dst_ip[0]) & r->dst_mask[0] || (dst[1] ^ r->dst_ip[1]) & r->dst_mask[1] ||
	    (src[0] ^ r->src_ip[0]) & r->src_mask[0] || (src[1] ^ r->src_ip[1]) & r->src_mask[1])
		return 0;
	if (r->protocol ? key->protocol != r->protocol : !has_ports(key->protocol))
		return 0;
	if (key->src_port < r->src_port_min || key->src_port > r->src_port_max ||
	    key->dst_port < r->dst_port_min || key->dst_port > r->dst_port_max)
		return 0;
	if (r->flags & MARK_RULE_UID && bpf_get_socket_uid(skb) != r->uid)
		return 0;
	if (r->flags & MARK_RULE_CGROUP &&
	    bpf_skb_ancestor_cgroup_id(skb, r->cgroup_level) != r->cgroup_id)
		return 0;
	return 1;
}

static __always_inline struct mark_rule *
find_rule(struct __sk_buff *skb, const struct flow_key *key, const struct mark_settings *settings)
{
	for (__u32 i = 0; i < MARK_MAX_RULES; i++) {
		struct mark_rule *r;

		if (i >= settings->n_rules)
			break;
		r = bpf_map_lookup_elem(&mark_rules, &i);
		if (r && rule_matches(skb, key, r))
			return r;
	}
	return 0;
}

/* Five bits that stay the same for the life of a flow and say nothing about it without the key. */
static __always_inline __u32 entropy_of(const struct flow_key *key, __u64 secret)
{
	const __u64 *k = (const __u64 *)key;
	__u64 h = secret;

	for (int i = 0; i < 5; i++) {
		h = (h ^ k[i]) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 32;
	}
	return (h & 3) << 18 | (h >> 2 & 1) << 8 | (h >> 3 & 3);
}

static __always_inline void remember_fragment(const struct sight *at, const struct flow_key *key)
{
	struct mark_fragment_key f = {.id_be = at->id_be};

	wire_copy16(f.src_ip, key->src_ip);
	wire_copy16(f.dst_ip, key->dst_ip);
	bpf_map_update_elem(&mark_fragments, &f, key, BPF_ANY);
}

static __always_inline void recall_fragment(const struct sight *at, struct flow_key *key)
{
	struct mark_fragment_key f = {.id_be = at->id_be};
	const struct flow_key *first;

	wire_copy16(f.src_ip, key->src_ip);
	wire_copy16(f.dst_ip, key->dst_ip);
	first = bpf_map_lookup_elem(&mark_fragments, &f);
	if (first)
		*key = *first;
}

SEC("tc") int mark_egress(struct __sk_buff *skb)
{
	const struct mark_settings *settings;
	struct flow_key key = {};
	struct sight at = {};
	struct mark_flow *flow;
	struct mark_rule *rule = 0;
	struct mark_tag tag;
	__u32 zero = 0, packets, bytes;
	__u64 now_ns;
	int result, stale = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return TC_ACT_UNSPEC;
	if (look(skb, &at, &key))
		return TC_ACT_UNSPEC;
	if (at.fragment == LATER_FRAGMENT)
		recall_fragment(&at, &key);
	flow = find_flow(&key);
	if (!flow) {
		settings = bpf_map_lookup_elem(&mark_settings, &zero);
		if (!settings || !settings->n_rules || !is_wide_area(&key))
			return TC_ACT_UNSPEC;
	}
	if (at.fragment == FIRST_FRAGMENT)
		remember_fragment(&at, &key);
	now_ns = coarse_ns();
	if (flow) {
		tag = flow->tag;
		stale = flow->flags & MARK_FLOW_ONCE && is_stale(skb, &at, &key, flow);
		if (!stale)
			flow->seen_ns = now_ns;
	} else {
		rule = find_rule(skb, &key, settings);
		if (!rule)
			return TC_ACT_UNSPEC;
		tag = rule->tag;
		if (settings->entropy_key)
			tag.label |= entropy_of(&key, settings->entropy_key);
	}
	packets = skb->gso_segs > 1 ? skb->gso_segs : 1;
	bytes = skb->wire_len;
	result = stale ? MARK_STALE : stamp(skb, &at, &key, &tag, now_ns);
	if (flow)
		count_flow(flow, result, packets, bytes);
	else
		count(rule->counts, result, packets, bytes);
	return TC_ACT_UNSPEC;
}

/* --- the way in: keeping room -------------------------------------------------------------- */

/* Room for options towards this peer; 0: none is wanted, or the daemon is gone. */
static __always_inline __u32 room_for(const __u8 *peer_ip)
{
	__u32 zero = 0;
	const struct mark_settings *s = bpf_map_lookup_elem(&mark_settings, &zero);
	const __u64 *beat = bpf_map_lookup_elem(&mark_beat, &zero);
	__u64 ip[2];

	if (!s || !s->room_bytes || !beat || is_older(*beat, coarse_ns(), MARK_HEARTBEAT_NS))
		return 0;
	if (!s->n_prefixes)
		return s->room_bytes;
	wire_copy16((__u8 *)ip, peer_ip);
	for (int i = 0; i < MARK_MAX_PREFIXES; i++) {
		const struct mark_prefix *p = &s->prefixes[i];

		if (i >= (int)s->n_prefixes)
			break;
		if (!((ip[0] ^ p->ip[0]) & p->mask[0]) && !((ip[1] ^ p->ip[1]) & p->mask[1]))
			return s->room_bytes;
	}
	return 0;
}

/* The MSS option of a SYN; off is the offset of the TCP header, len_bytes its length. */
static __always_inline void lower_mss(struct __sk_buff *skb, __u32 off, __u32 len_bytes, __u32 room)
{
	__u8 tcp[64] = {}; /* 60 bytes at the most; what is not there reads as the end of options */
	__u32 at = 20;

	if (len_bytes <= 20 || len_bytes > 60 || bpf_skb_load_bytes(skb, off, tcp, len_bytes))
		return;
	for (int i = 0; i < 20; i++) {
		__u32 kind, len;

		/* the mask, and the barrier, let the verifier forget which way it came */
		__asm__ volatile("" : "+r"(at));
		at &= 63;
		if (at > 60)
			return;
		kind = tcp[at];
		len = tcp[at + 1];
		if (kind == 0)
			return;
		if (kind == 2 && len == 4) {
			__u16 mss = (__u16)tcp[at + 2] << 8 | tcp[at + 3];
			__u16 from = bpf_htons(mss), to = bpf_htons(mss - room);

			if (at + 4 > len_bytes || mss < MARK_MSS_MIN + room)
				return;
			/* the sum is over words: at an odd place a number lies in two of them */
			if (at & 1)
				bpf_l4_csum_replace(skb, off + 16, __builtin_bswap16(from),
						    __builtin_bswap16(to), 2);
			else
				bpf_l4_csum_replace(skb, off + 16, from, to, 2);
			bpf_skb_store_bytes(skb, off + at + 2, &to, 2, 0);
			return;
		}
		if (kind == 1)
			len = 1;
		else if (len < 2)
			return;
		at += len;
		if (at > len_bytes)
			return;
	}
}

/* Packet Too Big: what the kernel may send is less by what is inserted behind its back. icmp is the
 * offset of the ICMPv6 header. */
static __always_inline void lower_path_mtu(struct __sk_buff *skb, __u32 icmp)
{
	struct mark_narrow narrow = {};
	__u32 mtu_be, lower_be, room;
	__u64 dst_ip[2];

	if (bpf_skb_load_bytes(skb, icmp + 4, &mtu_be, 4) ||
	    bpf_skb_load_bytes(skb, icmp + 8 + 24, dst_ip, 16))
		return;
	room = room_for((const __u8 *)dst_ip);
	narrow.mtu = bpf_ntohl(mtu_be);
	if (!room || narrow.mtu < MARK_IPV6_MTU_MIN)
		return;
	narrow.said_ns = coarse_ns();
	bpf_map_update_elem(&mark_narrow, dst_ip, &narrow, BPF_ANY);
	mark_knows_narrow = 1;
	lower_be = bpf_htonl(narrow.mtu < MARK_IPV6_MTU_MIN + room ? MARK_IPV6_MTU_MIN
								   : narrow.mtu - room);
	if (lower_be == mtu_be)
		return;
	bpf_l4_csum_replace(skb, icmp + 2, mtu_be, lower_be, 4);
	bpf_skb_store_bytes(skb, icmp + 4, &lower_be, 4, 0);
}

SEC("tc") int mark_ingress(struct __sk_buff *skb)
{
	struct flow_key key = {};
	struct sight at = {};
	__u32 room;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return TC_ACT_UNSPEC;
	if (look(skb, &at, &key) || at.fragment)
		return TC_ACT_UNSPEC;
	if (key.protocol == IPPROTO_TCP) {
		__u8 tcp[2]; /* data offset, flags */

		if (bpf_skb_load_bytes(skb, at.l4 + 12, tcp, 2) || !(tcp[1] & 2))
			return TC_ACT_UNSPEC;
		room = room_for(key.src_ip);
		if (room)
			lower_mss(skb, at.l4, tcp[0] >> 4 << 2, room);
	} else if (key.protocol == NEXT_ICMPV6) {
		__u8 type;

		if (!bpf_skb_load_bytes(skb, at.l4, &type, 1) && type == 2)
			lower_path_mtu(skb, at.l4);
	}
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
