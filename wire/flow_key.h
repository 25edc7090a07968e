/* The five-tuple every room agrees on. Host order for numbers; addresses in wire
 * order, IPv4 as v4-mapped ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that one key serves
 * both families and a firefly that prints a mapped address meets its packets.
 * No padding bytes are left undefined: keys may be compared and hashed as memory. */
#ifndef WIRE_FLOW_KEY_H
#define WIRE_FLOW_KEY_H

#include <linux/types.h>

struct flow_key {
	__u8 src_ip[16];
	__u8 dst_ip[16];
	__u16 src_port; /* 0: the protocol has none, or the packet does not show it */
	__u16 dst_port;
	__u8 protocol; /* IANA protocol number of the upper layer; 0 unknown */
	__u8 family;   /* 4 or 6; 0 unknown */
	__u16 pad;     /* always 0 */
};
_Static_assert(sizeof(struct flow_key) == 40,
	       "flow_key is shared with the kernel and hashed whole");

/* Whether an address of a key is a v4-mapped one. */
static inline int flow_ip_is_ipv4(const __u8 ip[16])
{
	for (int i = 0; i < 10; i++)
		if (ip[i])
			return 0;
	return ip[10] == 0xFF && ip[11] == 0xFF;
}

#endif
