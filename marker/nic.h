/* What a network interface can do, and the one thing we may have to change on it.
 * Sources: ethtool(8) features over SIOCETHTOOL, rtnetlink(7) link attributes. */
#ifndef MARKER_NIC_H
#define MARKER_NIC_H

#include <stdint.h>

struct nic {
	uint32_t ifindex;
	uint32_t mtu;
	uint32_t gso_max_bytes; /* longest packet it is handed whole; above 65536: BIG TCP */
	uint32_t tso_max_bytes; /* what the driver itself could take */
	int ethernet;           /* Ethernet framing, or loopback's imitation of it */
	int segments;           /* TCP over IPv6 is cut up by the card */
	int segments_options;   /* ... with extension headers too, as its features say */
	char driver[32];        /* "" unknown */
};

#define NIC_GSO_LEGACY_MAX 65536 /* longer packets carry BIG TCP's jumbo header */

/* Look at an interface of this network namespace. -ENODEV. */
int nic_look(struct nic *out, const char *ifname);
/* Longest packet the stack may hand over whole. */
int nic_set_gso_max(uint32_t ifindex, uint32_t bytes);
/* Names of all interfaces with a global IPv6 address. Returns how many, or -errno. */
int nic_discover(char (*names)[16], int max);

#endif
