/* Somebody else's filter: pushes a priority tag (802.1Q, VLAN 0) into a packet's metadata, as a VLAN
 * device would, and lets the next filter decide. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("tc") int vlan_push(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IPV6) && !skb->vlan_present)
		bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 0x6000);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
