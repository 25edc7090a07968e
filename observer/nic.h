/* What a network interface is and does, as far as capturing must know. By name, in the network namespace
 * of the caller; an interface that is not there answers as if it had nothing.
 * Sources: netdevice(7), ethtool's ioctl (linux/ethtool.h). */
#ifndef OBSERVER_NIC_H
#define OBSERVER_NIC_H

#include <stddef.h>
#include <stdint.h>

/* Administratively up and with a link. */
int nic_is_running(const char *name);
/* Somebody talks to this host through it: an address other than IPv6's link-local one. */
int nic_has_addresses(const char *name);
uint32_t nic_mtu_bytes(const char *name);
/* Receive queues in use now; at least 1. */
uint32_t nic_queues(const char *name);
/* Take frames for other stations too, as long as the returned file descriptor is open; or -errno. */
int nic_promiscuous(const char *name);
/* Whether the kernel or the card puts packets together before anybody but the driver sees them. */
int nic_merges_packets(const char *name);

#endif
