/* Behind the marker: of how many large packets more than the headers is linear, which copied it. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

__u64 large, pulled;

SEC("tc") int linear(struct __sk_buff *skb)
{
	if (skb->len > 10000) {
		__sync_fetch_and_add(&large, 1);
		if (skb->data_end - skb->data >= 128)
			__sync_fetch_and_add(&pulled, 1);
	}
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
