#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "marker/netlink.h"
#include "marker/nic.h"

/* Newer than the headers of Debian 12 are these two attributes' neighbours; the numbers are ABI. */
#define LINK_GSO_MAX_SIZE 41
#define LINK_TSO_MAX_SIZE 59

static int ethtool(int fd, const char *ifname, void *command)
{
	struct ifreq req = {0};

	strncpy(req.ifr_name, ifname, IFNAMSIZ - 1);
	req.ifr_data = command;
	return ioctl(fd, SIOCETHTOOL, &req) ? -errno : 0;
}

/* 1 if the named feature is active, 0 if not or unknown. */
static int has_feature(int fd, const char *ifname, const char *name)
{
	/* the number of strings follows the fixed part */
	union {
		struct ethtool_sset_info head;
		uint32_t words[sizeof(struct ethtool_sset_info) / 4 + 1];
	} info = {.head = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES}};
	struct ethtool_gstrings *names = NULL;
	struct ethtool_gfeatures *features = NULL;
	int active = 0;
	uint32_t n;

	if (ethtool(fd, ifname, &info) || !info.head.sset_mask)
		return 0;
	n = info.words[sizeof(struct ethtool_sset_info) / 4];
	if (n > 4096)
		return 0;
	names = calloc(1, sizeof(*names) + (size_t)n * ETH_GSTRING_LEN);
	features = calloc(1, sizeof(*features) +
				     (n + 31) / 32 * sizeof(struct ethtool_get_features_block));
	if (!names || !features)
		goto out;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = n;
	features->cmd = ETHTOOL_GFEATURES;
	features->size = (n + 31) / 32;
	if (ethtool(fd, ifname, names) || ethtool(fd, ifname, features))
		goto out;
	for (uint32_t i = 0; i < n && !active; i++)
		active = !strncmp((char *)names->data + i * ETH_GSTRING_LEN, name,
				  ETH_GSTRING_LEN) &&
			 features->features[i / 32].active >> (i % 32) & 1;
out:
	free(names);
	free(features);
	return active;
}

static int take_link(void *arg, const struct nlmsghdr *answer)
{
	struct nic *nic = arg;
	struct ifinfomsg link;
	const void *p;

	if (answer->nlmsg_type != RTM_NEWLINK || answer->nlmsg_len < NLMSG_LENGTH(sizeof(link)))
		return 0;
	memcpy(&link, NLMSG_DATA(answer), sizeof(link));
	nic->ifindex = (uint32_t)link.ifi_index;
	nic->ethernet = link.ifi_type == ARPHRD_ETHER || link.ifi_type == ARPHRD_LOOPBACK;
	p = netlink_find(answer, sizeof(link), IFLA_MTU, 4);
	if (p)
		memcpy(&nic->mtu, p, 4);
	p = netlink_find(answer, sizeof(link), LINK_GSO_MAX_SIZE, 4);
	if (p)
		memcpy(&nic->gso_max_bytes, p, 4);
	p = netlink_find(answer, sizeof(link), LINK_TSO_MAX_SIZE, 4);
	if (p)
		memcpy(&nic->tso_max_bytes, p, 4);
	return 0;
}

int nic_look(struct nic *out, const char *ifname)
{
	struct nic nic = {.gso_max_bytes = NIC_GSO_LEGACY_MAX};
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)if_nametoindex(ifname)};
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
	struct netlink_request r;
	int fd, err;

	if (!link.ifi_index)
		return -ENODEV;
	fd = netlink_open(NETLINK_ROUTE);
	if (fd < 0)
		return fd;
	netlink_begin(&r, RTM_GETLINK, 0, &link, sizeof(link));
	err = netlink_ask(fd, &r, take_link, &nic);
	close(fd);
	if (err)
		return err;
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	nic.segments = has_feature(fd, ifname, "tx-tcp6-segmentation");
	/* A card with checksums for plain IPv6 only cannot do them behind an extension header, and
	 * neither the segmentation that depends on them: the kernel then segments in software. */
	nic.segments_options = nic.segments && has_feature(fd, ifname, "tx-checksum-ip-generic") &&
			       !has_feature(fd, ifname, "tx-checksum-ipv6");
	if (!ethtool(fd, ifname, &driver))
		memcpy(nic.driver, driver.driver, sizeof(nic.driver) - 1);
	close(fd);
	*out = nic;
	return 0;
}

int nic_set_gso_max(uint32_t ifindex, uint32_t bytes)
{
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
	struct netlink_request r;
	int fd = netlink_open(NETLINK_ROUTE), err;

	if (fd < 0)
		return fd;
	netlink_begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	netlink_put(&r, LINK_GSO_MAX_SIZE, &bytes, sizeof(bytes));
	err = netlink_ask(fd, &r, NULL, NULL);
	close(fd);
	return err;
}

int nic_discover(char (*names)[16], int max)
{
	struct ifaddrs *all;
	int n = 0;

	if (getifaddrs(&all))
		return -errno;
	for (const struct ifaddrs *i = all; i && n < max; i = i->ifa_next) {
		struct sockaddr_in6 sa;
		int known = 0;

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET6 ||
		    i->ifa_flags & IFF_LOOPBACK)
			continue;
		memcpy(&sa, i->ifa_addr, sizeof(sa));
		if ((sa.sin6_addr.s6_addr[0] & 0xe0) != 0x20) /* 2000::/3 */
			continue;
		for (int k = 0; k < n; k++)
			known |= !strcmp(names[k], i->ifa_name);
		if (!known) {
			memset(names[n], 0, 16);
			strncpy(names[n++], i->ifa_name, 15);
		}
	}
	freeifaddrs(all);
	return n;
}
