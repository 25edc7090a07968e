#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "marker/netlink.h"
#include "marker/sockets.h"

#define EVENT_BUFFER_BYTES (4 * 1024 * 1024)
#define STATES_CONNECTED   0xBFF /* all but LISTEN */

struct sockets {
	int ask_fd, event_fd;
};

static int subscribe(int fd, int group)
{
	return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
}

int sockets_open(struct sockets **out)
{
	struct sockets *s = calloc(1, sizeof(*s));
	int bytes = EVENT_BUFFER_BYTES, err;

	if (!s)
		return log_fail(-ENOMEM, "sockets", "open");
	s->event_fd = -1;
	s->ask_fd = err = netlink_open(NETLINK_SOCK_DIAG);
	if (err >= 0)
		s->event_fd = err = netlink_open(NETLINK_SOCK_DIAG);
	if (err < 0) {
		sockets_close(s);
		return log_fail(err, "sockets", "open sock_diag");
	}
	setsockopt(s->event_fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (subscribe(s->event_fd, SKNLGRP_INET6_TCP_DESTROY) ||
	    subscribe(s->event_fd, SKNLGRP_INET6_UDP_DESTROY) ||
	    subscribe(s->event_fd, SKNLGRP_INET_UDP_DESTROY))
		log_msg(LOG_LEVEL_WARN, "sockets",
			"no word of closed sockets from this kernel: looking every few seconds "
			"instead");
	*out = s;
	return 0;
}

void sockets_close(struct sockets *s)
{
	if (!s)
		return;
	if (s->ask_fd >= 0)
		close(s->ask_fd);
	if (s->event_fd >= 0)
		close(s->event_fd);
	free(s);
}

int sockets_fd(const struct sockets *s)
{
	return s->event_fd;
}

static int take(const struct nlmsghdr *answer, uint8_t protocol, struct socket_info *out)
{
	struct inet_diag_msg m;
	struct tcp_info tcp = {0};
	const void *p;

	memset(out, 0, sizeof(*out));
	if (answer->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer->nlmsg_len < NLMSG_LENGTH(sizeof(m)))
		return -EBADMSG;
	memcpy(&m, NLMSG_DATA(answer), sizeof(m));
	if (netlink_socket_key(&out->key, &m, protocol))
		return -EAFNOSUPPORT;
	out->cookie = (uint64_t)m.id.idiag_cookie[1] << 32 | m.id.idiag_cookie[0];
	out->inode = m.idiag_inode;
	out->uid = m.idiag_uid;
	p = netlink_find(answer, sizeof(m), INET_DIAG_CGROUP_ID, sizeof(out->cgroup_id));
	if (p)
		memcpy(&out->cgroup_id, p, sizeof(out->cgroup_id));
	out->state = m.idiag_state;
	/* tcp_info grows with the kernel: take what both sides know */
	p = netlink_find(answer, sizeof(m), INET_DIAG_INFO,
			 offsetof(struct tcp_info, tcpi_rcv_ssthresh));
	if (p) {
		memcpy(&tcp, p, offsetof(struct tcp_info, tcpi_rcv_ssthresh));
		out->path_mtu = tcp.tcpi_pmtu;
		if (tcp.tcpi_snd_mss)
			out->packet_bytes_max = tcp.tcpi_snd_mss + 40 + 20 +
						(tcp.tcpi_options & TCPI_OPT_TIMESTAMPS ? 12 : 0);
	}
	return 0;
}

int sockets_drain(struct sockets *s, void (*gone)(void *arg, const struct socket_info *info),
		  void *arg)
{
	uint8_t buf[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t got;

	while ((got = recv(s->event_fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)buf;

		for (size_t left = (size_t)got; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
			const uint8_t *protocol = netlink_find(m, sizeof(struct inet_diag_msg),
							       INET_DIAG_PROTOCOL, 1);
			struct socket_info info;

			if (protocol && !take(m, *protocol, &info))
				gone(arg, &info);
		}
	}
	return got < 0 && errno == ENOBUFS ? -ENOBUFS : 0;
}

struct one {
	struct socket_info info;
	uint8_t protocol;
	int found;
};

static int take_one(void *arg, const struct nlmsghdr *answer)
{
	struct one *one = arg;

	one->found |= !take(answer, one->protocol, &one->info);
	return 0;
}

int sockets_look(struct sockets *s, const struct flow_key *key, struct socket_info *out)
{
	struct inet_diag_req_v2 req = {.sdiag_protocol = key->protocol,
				       .idiag_ext = 1 << (INET_DIAG_INFO - 1),
				       .idiag_states = ~0U};
	struct one one = {.protocol = key->protocol};
	struct netlink_request r;
	int err;

	netlink_socket_id(&req, key);
	req.id.idiag_cookie[0] = req.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	netlink_begin(&r, SOCK_DIAG_BY_FAMILY, 0, &req, sizeof(req));
	err = netlink_ask(s->ask_fd, &r, take_one, &one);
	/* the kernel's look-up falls back to listeners and unconnected sockets */
	if (!err && (!one.found || memcmp(&one.info.key, key, sizeof(*key))))
		err = -ENOENT;
	if (!err)
		*out = one.info;
	return err;
}

struct all {
	void (*each)(void *arg, const struct socket_info *info);
	void *arg;
	uint8_t protocol;
};

static int take_each(void *arg, const struct nlmsghdr *answer)
{
	const struct all *all = arg;
	struct socket_info info;

	if (!take(answer, all->protocol, &info) && info.key.dst_port)
		all->each(all->arg, &info);
	return 0;
}

int sockets_each(struct sockets *s, unsigned int kinds,
		 void (*each)(void *arg, const struct socket_info *info), void *arg)
{
	static const struct {
		uint8_t family, protocol;
		unsigned int kinds;
	} requests[] = {{AF_INET6, IPPROTO_TCP, SOCKETS_TCP},
			{AF_INET6, IPPROTO_UDP, SOCKETS_UDP},
			{AF_INET, IPPROTO_TCP, SOCKETS_TCP | SOCKETS_IPV4},
			{AF_INET, IPPROTO_UDP, SOCKETS_UDP | SOCKETS_IPV4}};
	struct all all = {each, arg, 0};
	int err = 0;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]) && !err; i++) {
		struct inet_diag_req_v2 req = {.sdiag_family = requests[i].family,
					       .sdiag_protocol = requests[i].protocol,
					       .idiag_ext = 1 << (INET_DIAG_INFO - 1),
					       .idiag_states = STATES_CONNECTED};
		struct netlink_request r;

		if ((kinds & requests[i].kinds) != requests[i].kinds)
			continue;
		all.protocol = requests[i].protocol;
		netlink_begin(&r, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &req, sizeof(req));
		err = netlink_ask(s->ask_fd, &r, take_each, &all);
	}
	return err;
}

int sockets_hint_mtu(const uint8_t src_ip[16], const uint8_t dst_ip[16], uint32_t mtu)
{
	/* Packet Too Big (RFC 4443 section 3.2) about an echo request: the kernel takes it for the
	 * whole destination, without looking for a socket. Its checksum is the kernel's to fill in. */
	uint8_t m[8 + 40 + 8] = {2,
				 0,
				 0,
				 0,
				 (uint8_t)(mtu >> 24),
				 (uint8_t)(mtu >> 16),
				 (uint8_t)(mtu >> 8),
				 (uint8_t)mtu,
				 0x60};
	struct sockaddr_in6 self = {.sin6_family = AF_INET6};
	int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6), err = 0;

	if (fd < 0)
		return -errno;
	m[8 + 5] = 8;
	m[8 + 6] = IPPROTO_ICMPV6;
	m[8 + 7] = 64;
	memcpy(m + 8 + 8, src_ip, 16);
	memcpy(m + 8 + 24, dst_ip, 16);
	m[8 + 40] = 128;
	memcpy(&self.sin6_addr, src_ip, 16);
	if (sendto(fd, m, sizeof(m), 0, (struct sockaddr *)&self, sizeof(self)) < 0)
		err = -errno;
	close(fd);
	return err;
}
