/* The reader alone, for tests: one frame in, struct packet and its tag out. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "wire/packet.h"
#include "tests/bpf/packet_result.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet_result);
} results SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scitag_set);
} registered SEC(".maps");

/* The whole way: every frame is walked. */
SEC("xdp")
int read_walk(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct packet_result *r = bpf_map_lookup_elem(&results, &zero);
	struct scitag_set *set = bpf_map_lookup_elem(&registered, &zero);

	if (!r || !set)
		return XDP_ABORTED;
	r->verdict =
		packet_walk_frame(&r->packet, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
	if (r->verdict == PACKET_OK)
		packet_tag(&r->tag, &r->packet, set);
	return XDP_DROP;
}

/* The short way; XDP_PASS says that it is not for this frame. */
SEC("xdp")
int read_plain(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct packet_result *r = bpf_map_lookup_elem(&results, &zero);
	struct scitag_set *set = bpf_map_lookup_elem(&registered, &zero);
	struct cursor c;

	if (!r || !set)
		return XDP_ABORTED;
	r->packet = (struct packet){0};
	cursor_init_packet(&c, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
	if (packet_plain(&r->packet, &c) != PACKET_OK)
		return XDP_PASS;
	r->verdict = PACKET_OK;
	packet_tag(&r->tag, &r->packet, set);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
