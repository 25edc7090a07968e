/* Tells of TCP connections of a cgroup that are established, from either side, and of their end.
 * Sockets of other network namespaces are not ours to mark, though their processes may share the
 * cgroup. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "marker/skops_shared.h"

#define AF_INET6  10
#define TCP       6
#define TCP_CLOSE 7 /* enum of the kernel, as BPF_TCP_CLOSE */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SKOPS_RING_BYTES);
} events SEC(".maps");

const volatile __u64 netns_cookie; /* of the daemon's namespace */
__u64 lost;                        /* events that found the ring full */

static __always_inline void tell(struct bpf_sock_ops *ops, __u32 what)
{
	struct skops_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	__u32 *src, *dst;

	if (!e) {
		__sync_fetch_and_add(&lost, 1);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	src = (__u32 *)e->key.src_ip;
	dst = (__u32 *)e->key.dst_ip;
	if (ops->family == AF_INET6) {
		src[0] = ops->local_ip6[0];
		src[1] = ops->local_ip6[1];
		src[2] = ops->local_ip6[2];
		src[3] = ops->local_ip6[3];
		dst[0] = ops->remote_ip6[0];
		dst[1] = ops->remote_ip6[1];
		dst[2] = ops->remote_ip6[2];
		dst[3] = ops->remote_ip6[3];
		e->key.family = 6;
	}
	/* IPv4, also through an IPv6 socket */
	if (ops->family != AF_INET6 || (!src[0] && !src[1] && src[2] == bpf_htonl(0xffff))) {
		src[2] = dst[2] = bpf_htonl(0xffff);
		src[3] = ops->local_ip4;
		dst[3] = ops->remote_ip4;
		e->key.family = 4;
	}
	e->key.src_port = (__u16)ops->local_port;
	e->key.dst_port = (__u16)bpf_ntohl(ops->remote_port);
	e->key.protocol = TCP;
	e->what = what;
	bpf_ringbuf_submit(e, 0);
}

SEC("sockops")
int watch(struct bpf_sock_ops *ops)
{
	if (bpf_get_netns_cookie(ops) != netns_cookie)
		return 1;
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		tell(ops, SKOPS_OPENED);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == TCP_CLOSE)
			tell(ops, SKOPS_CLOSED);
		break;
	}
	return 1;
}

char _license[] SEC("license") = "GPL";
