#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "observer/nic.h"

static int ask(const char *name, unsigned long request, struct ifreq *req)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -1;
	snprintf(req->ifr_name, sizeof(req->ifr_name), "%s", name);
	err = ioctl(fd, request, req);
	close(fd);
	return err;
}

static int ethtool(const char *name, void *command)
{
	struct ifreq req = {.ifr_data = command};

	return ask(name, SIOCETHTOOL, &req);
}

int nic_is_running(const char *name)
{
	struct ifreq req = {0};

	return !ask(name, SIOCGIFFLAGS, &req) && req.ifr_flags & IFF_UP &&
	       req.ifr_flags & IFF_RUNNING;
}

int nic_has_addresses(const char *name)
{
	struct ifaddrs *all;
	int found = 0;

	if (getifaddrs(&all))
		return 1; /* not known: be careful */
	for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
		struct sockaddr_in6 sa;

		if (!i->ifa_addr || strcmp(i->ifa_name, name))
			continue;
		if (i->ifa_addr->sa_family == AF_INET) {
			found = 1;
		} else if (i->ifa_addr->sa_family == AF_INET6) {
			memcpy(&sa, i->ifa_addr, sizeof(sa));
			found = !IN6_IS_ADDR_LINKLOCAL(&sa.sin6_addr);
		}
	}
	freeifaddrs(all);
	return found;
}

uint32_t nic_mtu_bytes(const char *name)
{
	struct ifreq req = {0};

	return ask(name, SIOCGIFMTU, &req) ? 0 : (uint32_t)req.ifr_mtu;
}

uint32_t nic_queues(const char *name)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	char path[sizeof("/sys/class/net//queues") + IF_NAMESIZE];
	uint32_t n = 0;
	DIR *dir;

	if (!ethtool(name, &channels) && channels.rx_count + channels.combined_count)
		return channels.rx_count + channels.combined_count;
	snprintf(path, sizeof(path), "/sys/class/net/%s/queues", name);
	dir = opendir(path);
	for (const struct dirent *e; dir && (e = readdir(dir));)
		n += !strncmp(e->d_name, "rx-", 3);
	if (dir)
		closedir(dir);
	return n ? n : 1;
}

int nic_promiscuous(const char *name)
{
	struct packet_mreq all = {.mr_ifindex = (int)if_nametoindex(name),
				  .mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0),
	    err; /* protocol 0: gets no frames */

	if (fd < 0)
		return -errno;
	if (!setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int nic_merges_packets(const char *name)
{
	struct ethtool_value gro = {.cmd = ETHTOOL_GGRO}, flags = {.cmd = ETHTOOL_GFLAGS};

	return (!ethtool(name, &gro) && gro.data) ||
	       (!ethtool(name, &flags) && flags.data & ETH_FLAG_LRO);
}
