/* The tap: count every frame by tag, hand up a few.
 *
 * Each frame takes the short way (packet_plain) when it can, with everything in registers; the rest is walked in a
 * function of its own. Counting is a plain addition in a slot that belongs to this CPU alone. Nothing is ever changed in a
 * frame, and whatever happens it goes on its way: XDP_PASS, or XDP_DROP when the interface is a mirror. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "xdp/tap_shared.h"

/* Settings; fixed before loading, so that the verifier removes what they switch off. Those that cost
 * registers on the common way are read by tap_count_full only. */
const volatile __u32 tap_verdict = XDP_PASS; /* for a frame that was counted */
const volatile __u32 tap_cpus = 0;           /* not 0: own prefixes are known, and there is
					      * a slot for each direction, tap_cpus apart */
const volatile __u32 tap_frags = 0;          /* a frame may have more than its first piece here */

struct scitag_set tap_registered; /* written by the user half at any time */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* CPUs, or 5 times as many */
	__type(key, __u32);
	__type(value, struct tap_slot);
} tap_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} tap_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TAP_PREFIXES_MAX);
	__type(key, struct tap_prefix);
	__type(value, __u32);
} tap_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1); /* receive queues */
	__type(key, __u32);
	__type(value, __u32);
} tap_sockets SEC(".maps");

/* What is too large for the stack, or must be map memory for the verifier's sake. */
struct scratch {
	struct packet packet;
	struct packet_tag tag;
	struct {
		struct tap_meta meta;
		__u8 bytes[TAP_STEER_BYTES];
	} record;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} tap_scratch SEC(".maps");

static __always_inline struct tap_slot *slot_of(__u32 direction)
{
	__u32 key = bpf_get_smp_processor_id();

	if (direction)
		key += direction * tap_cpus;
	return bpf_map_lookup_elem(&tap_slots, &key);
}

static __always_inline __u32 frame_bytes_of(struct xdp_md *ctx)
{
	return tap_frags ? bpf_xdp_get_buff_len(ctx) : ctx->data_end - ctx->data;
}

/* --- handing up --- */

/* Copy the frame's beginning into the ring. Not inlined: it is rare. */
static __noinline int hand_up(struct xdp_md *ctx, __u32 why, __u32 weight, __u32 verdict)
{
	__u32 zero = 0, limit = why == TAP_STEERED ? TAP_STEER_BYTES : TAP_SAMPLE_BYTES;
	__u32 frame_bytes = frame_bytes_of(ctx);
	__u64 n = frame_bytes < limit ? frame_bytes : limit;
	struct scratch *s = bpf_map_lookup_elem(&tap_scratch, &zero);

	if (!s)
		return -1;
	s->record.meta = (struct tap_meta){
		.rx_mono_ns = bpf_ktime_get_ns(),
		.frame_bytes = frame_bytes,
		.weight = weight,
		.captured_bytes = n,
		.why = why,
		.verdict = verdict,
		.queue = ctx->rx_queue_index,
	};
	barrier_var(n); /* the two bounds below are the ones the verifier is to see */
	if (n < 1 || n > TAP_STEER_BYTES || bpf_xdp_load_bytes(ctx, 0, s->record.bytes, n) != 0)
		return -1;
	return bpf_ringbuf_output(&tap_ring, &s->record, sizeof(s->record.meta) + n, 0);
}

/* Only user space can count this one. */
static __always_inline void steer(struct xdp_md *ctx, __u32 verdict)
{
	struct tap_slot *s = slot_of(0);

	if (!s)
		return;
	s->steered++;
	if (hand_up(ctx, TAP_STEERED, 1, verdict) != 0)
		s->lost_steered++;
}

static __noinline int sample(struct xdp_md *ctx, __u32 why, __u64 threshold)
{
	__u32 weight = why == TAP_FIRST || !threshold ? 1 : (1ULL << 32) / threshold;
	struct tap_slot *s = slot_of(0);

	if (!s)
		return 0;
	if (hand_up(ctx, why, weight, PACKET_OK) != 0)
		s->lost_samples++;
	else if (why == TAP_FIRST)
		s->firsts++;
	else
		s->sampled++;
	/* User space is behind: halve the rate now, it will find the right one. Once in 256 samples: what
	 * is in the ring already takes its time, and a rate that falls too deep estimates badly. */
	if (why == TAP_SAMPLED && threshold > 1 << 12 && !(s->random >> 8 & 255) &&
	    bpf_ringbuf_query(&tap_ring, BPF_RB_AVAIL_DATA) >
		    bpf_ringbuf_query(&tap_ring, BPF_RB_RING_SIZE) / 2)
		s->threshold = threshold / 2;
	return 0;
}

/* A flow as a number, its upper half the better one. Who knows how can make two flows meet; then the second
 * is not handed up at once, and nothing else happens. */
static __always_inline __u64 flow_hash(const struct flow_key *key)
{
	const __u64 *src = (const __u64 *)key->src_ip, *dst = (const __u64 *)key->dst_ip;
	__u64 ports = (__u32)key->src_port << 16 | key->dst_port;

	return ((src[0] ^ src[1]) + (dst[0] ^ dst[1]) * 0x9E3779B97F4A7C15ULL +
		(ports ^ (__u64)key->protocol << 32)) *
	       0xD6E8FEB86659FD93ULL;
}

/* Is this a flow that was not seen before? An entry that was seen since the last doubt stays
 * (second chance), so that two flows of one place do not take turns in being new. */
static __always_inline int is_first(struct tap_slot *s, const struct flow_key *key)
{
	__u64 h = flow_hash(key);
	__u32 *entry = &s->flows[h >> 49], mark = h >> 16 | 1, known = *entry;

	if (known == mark)
		return 0;
	if ((known | 1) == mark) {
		*entry = mark;
		return 0;
	}
	if (known & 1) {
		*entry = known & ~1u;
		return 0;
	}
	*entry = mark;
	return 1;
}

/* Choose: firsts as long as user space grants them, the rest by chance. */
static __always_inline void choose(struct xdp_md *ctx, struct tap_slot *s,
				   const struct flow_key *key)
{
	__u64 threshold = s->threshold;

	s->random = s->random * 6364136223846793005ULL + 1442695040888963407ULL;
	if (is_first(s, key) && s->firsts < s->firsts_limit)
		sample(ctx, TAP_FIRST, threshold);
	else if (s->random >> 32 < threshold)
		sample(ctx, TAP_SAMPLED, threshold);
}

/* --- counting --- */

static __always_inline int is_own(const __u8 address[16])
{
	struct tap_prefix key = {.bits = 128};

	__builtin_memcpy(key.address, address, 16);
	return bpf_map_lookup_elem(&tap_prefixes, &key) != 0;
}

static __always_inline __u32 direction_of(const struct flow_key *key)
{
	int from = is_own(key->src_ip), to = is_own(key->dst_ip);

	if (from)
		return to ? 3 : 2;
	return to ? 1 : 4;
}

static __always_inline void add(struct tap_cell *cell, __u32 frame_bytes, __u32 ip_bytes)
{
	cell->packets++;
	cell->bytes += frame_bytes;
	cell->ip_bytes += ip_bytes;
}

/* Without options the family and the label say it all. */
static __always_inline struct tap_cell *label_cell(struct tap_slot *s, const struct packet *p)
{
	if (!p->label)
		return &s->others[p->key.family == 4 ? TAP_IPV4 : TAP_IPV6];
	return &s->cells[p->key.family == 4 ? TAP_LABEL_IPV4 : TAP_LABEL][tap_label_cell(p->label)];
}

/* Options as today's senders write them: 1E/3 with a pair that has a cell, whatever is registered. NULL: look
 * closer. */
static __always_inline struct tap_cell *plain_option_cell(struct tap_slot *s,
							  const struct packet *p)
{
	__u32 value = p->destination.value, plane = TAP_DESTINATION;

	if (!p->destination.type) {
		value = p->hop_by_hop.value;
		plane = TAP_HOP_BY_HOP;
	} else if (p->hop_by_hop.type) {
		if (p->hop_by_hop.value != value)
			return 0;
		plane = TAP_HOP_BY_HOP_DESTINATION;
	}
	if (!tap_option_has_cell(value))
		return 0;
	return &s->cells[plane][tap_option_cell(value)];
}

/* Any options. NULL: there is no cell. */
static __always_inline struct tap_cell *option_cell(struct tap_slot *s, const struct packet *p)
{
	struct packet_tag tag;
	struct scitag again;
	__u32 value, plane;

	packet_tag(&tag, p, &tap_registered);
	if (tag.grade == GRADE_DISAGREE || p->key.family == 4)
		return 0; /* two tags or two families in one */
	plane = tag.carrier == CARRIER_DESTINATION  ? TAP_DESTINATION
		: tag.carrier == CARRIER_HOP_BY_HOP ? TAP_HOP_BY_HOP
						    : TAP_HOP_BY_HOP_DESTINATION;
	value = (__u32)tag.tag.experiment << 8 | tag.tag.activity;
	if (!tap_option_has_cell(value))
		return tag.grade == GRADE_UNREGISTERED ? &s->outside[plane] : 0;
	/* the cell's number must read as this tag, whatever form it came in */
	scitag_option_decode(&again, SCITAG_OPTION_PLAIN, value, &tap_registered);
	if (again.experiment != tag.tag.experiment || again.activity != tag.tag.activity)
		return 0;
	return &s->cells[plane][tap_option_cell(value)];
}

/* The slot to count in. */
static __always_inline struct tap_slot *counts_of(struct tap_slot *s, const struct packet *p,
						  int full)
{
	return full && tap_cpus ? slot_of(direction_of(&p->key)) : s;
}

static __always_inline void add_packet(struct tap_cell *cell, const struct packet *p,
				       __u32 frame_bytes)
{
	__u32 room_bytes = frame_bytes - p->ip_offset;

	add(cell, frame_bytes, p->ip_bytes && p->ip_bytes < room_bytes ? p->ip_bytes : room_bytes);
}

/* Whatever is not plain. */
static __noinline int take_walked(struct xdp_md *ctx)
{
	__u32 zero = 0, frame_bytes = frame_bytes_of(ctx), verdict;
	struct scratch *scratch = bpf_map_lookup_elem(&tap_scratch, &zero);
	struct tap_slot *s = slot_of(0), *counts;
	struct tap_cell *cell;
	struct packet *p;
	int partly = tap_frags && frame_bytes > ctx->data_end - ctx->data;

	if (!scratch || !s)
		return 0;
	p = &scratch->packet;
	verdict = packet_walk_frame(p, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
	if (verdict == PACKET_CHAIN ||
	    (partly && (verdict == PACKET_SHORT || (p->flags & PACKET_TRUNCATED)))) {
		steer(ctx, verdict);
		return 0;
	}
	switch (verdict) {
	case PACKET_OK:
		counts = counts_of(s, p, 1);
		if (!counts)
			return 0;
		cell = p->hop_by_hop.type || p->destination.type ? option_cell(counts, p)
								 : label_cell(counts, p);
		if (!cell) {
			steer(ctx, verdict);
			return 0;
		}
		add_packet(cell, p, frame_bytes);
		choose(ctx, s, &p->key);
		break;
	case PACKET_SHORT:
		add(&s->others[TAP_SHORT], frame_bytes, 0);
		break;
	case PACKET_MALFORMED:
		add(&s->others[TAP_MALFORMED], frame_bytes, 0);
		break;
	default:
		add(&s->others[TAP_NOT_IP], frame_bytes, 0);
	}
	return 0;
}

static __always_inline int take_plain(struct xdp_md *ctx, struct tap_slot *s,
				      const struct cursor *c, struct packet *p, __u32 at,
				      const __u8 *h, enum packet_plain_kind kind, int full)
{
	struct tap_slot *counts;
	struct tap_cell *cell;

	if (packet_plain_read(p, c, at, h, kind) != PACKET_OK)
		return take_walked(ctx);
	counts = counts_of(s, p, full);
	if (!counts)
		return 0;
	cell = kind == PACKET_PLAIN_IPV6_OPTIONS ? plain_option_cell(counts, p)
						 : label_cell(counts, p);
	if (!cell)
		return take_walked(ctx);
	add_packet(cell, p, full ? frame_bytes_of(ctx) : c->len);
	choose(ctx, s, &p->key);
	return 0;
}

static __always_inline int count(struct xdp_md *ctx, int full)
{
	struct tap_slot *s = slot_of(0);
	struct packet p = {0};
	const __u8 *h = 0;
	struct cursor c;
	__u32 at = 0;

	if (!s)
		return tap_verdict;
	cursor_init_packet(&c, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
	switch (packet_plain_kind(&p, &c, &at,
				  &h)) { /* three times the code, a third of the work */
	case PACKET_PLAIN_IPV6:
		take_plain(ctx, s, &c, &p, at, h, PACKET_PLAIN_IPV6, full);
		break;
	case PACKET_PLAIN_IPV6_OPTIONS:
		take_plain(ctx, s, &c, &p, at, h, PACKET_PLAIN_IPV6_OPTIONS, full);
		break;
	case PACKET_PLAIN_IPV4:
		take_plain(ctx, s, &c, &p, at, h, PACKET_PLAIN_IPV4, full);
		break;
	default:
		take_walked(ctx);
	}
	return tap_verdict;
}

/* One of the two is loaded. */
SEC("xdp")
int tap_count(struct xdp_md *ctx)
{
	return count(ctx, 0);
}

/* With directions, or frames in pieces. */
SEC("xdp")
int tap_count_full(struct xdp_md *ctx)
{
	return count(ctx, 1);
}

/* Every frame to the AF_XDP socket of its queue; without one it goes on its way. */
SEC("xdp")
int tap_redirect(struct xdp_md *ctx)
{
	return bpf_redirect_map(&tap_sockets, ctx->rx_queue_index, tap_verdict);
}

char LICENSE[] SEC("license") = "GPL";
