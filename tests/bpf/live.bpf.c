/* A generator's program, run by BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES: each run is a frame that leaves through an
 * interface. The template is Ethernet, IPv6, UDP; label and source port are written anew each time: sixteen labels in turn,
 * of 256 flows each. Pacing: a run that comes too early is dropped and not counted. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u64 interval_ns = 0; /* between two frames; 0: as fast as it goes */
const volatile __u32 labels[16] = {0};
__u64 wanted = 0, sent = 0, next_ns = 0;

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out SEC(".maps");

SEC("xdp")
int live(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	__u64 now_ns, n = sent;

	if (frame + 62 > (__u8 *)(long)ctx->data_end || n >= wanted)
		return XDP_DROP;
	if (interval_ns) {
		now_ns = bpf_ktime_get_ns();
		if (!next_ns)
			next_ns = now_ns;
		if (now_ns < next_ns)
			return XDP_DROP;
		next_ns += interval_ns;
	}
	sent = n + 1;
	*(__u32 *)(frame + 14) = bpf_htonl(6u << 28 | labels[n & 15]);
	*(__u16 *)(frame + 54) = bpf_htons(1024 + (n >> 4 & 255));
	return bpf_redirect_map(&out, 0, 0);
}

char _license[] SEC("license") = "GPL";
