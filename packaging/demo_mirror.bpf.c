// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* The demo's switch: a copy of every frame that comes in goes to its mirror port, as a switch does it.
 * The demo gives the mirror port this number when it makes it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MIRROR_IFINDEX 4100

SEC("tc")
int mirror(struct __sk_buff *skb)
{
	bpf_clone_redirect(skb, MIRROR_IFINDEX, 0);
	return -1; /* TC_ACT_UNSPEC: go on as if we were not here */
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
