/* A lossy link: one in a thousand TCP frames over IPv6 that carry data does not arrive. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("tc") int lose(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IPV6) && skb->len > 600 &&
	    bpf_get_prandom_u32() % 1000 == 0)
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
