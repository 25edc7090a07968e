#include "marker/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/cursor.h"

#define ANSWER_BYTES (64 * 1024)

void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, const void *fixed,
		   size_t len_bytes)
{
	memset(r, 0, sizeof(*r));
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = NLM_F_REQUEST | flags;
	r->head.nlmsg_len = NLMSG_LENGTH(len_bytes);
	memcpy(r->body, fixed, len_bytes);
}

int netlink_put(struct netlink_request *r, uint16_t type, const void *value, size_t len_bytes)
{
	size_t at = NLMSG_ALIGN(r->head.nlmsg_len) - sizeof(r->head);
	struct rtattr a = {.rta_type = type, .rta_len = RTA_LENGTH(len_bytes)};

	if (at + RTA_ALIGN(a.rta_len) > sizeof(r->body))
		return -ENOSPC;
	memcpy(r->body + at, &a, sizeof(a));
	if (len_bytes)
		memcpy(r->body + at + RTA_LENGTH(0), value, len_bytes);
	r->head.nlmsg_len = sizeof(r->head) + at + RTA_ALIGN(a.rta_len);
	return 0;
}

int netlink_open(int family)
{
	struct sockaddr_nl self = {.nl_family = AF_NETLINK};
	struct timeval patience = {.tv_sec = 5};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (bind(fd, (struct sockaddr *)&self, sizeof(self))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int netlink_ask(int fd, struct netlink_request *r,
		int (*each)(void *arg, const struct nlmsghdr *answer), void *arg)
{
	static _Thread_local uint8_t buf[ANSWER_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	static _Thread_local uint32_t seq;
	int stop = 0;

	r->head.nlmsg_seq = ++seq;
	if (!(r->head.nlmsg_flags & NLM_F_DUMP))
		r->head.nlmsg_flags |= NLM_F_ACK;
	if (send(fd, r, r->head.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t got = recv(fd, buf, sizeof(buf), 0);
		const struct nlmsghdr *m = (const struct nlmsghdr *)buf;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		for (size_t left = (size_t)got; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
			struct nlmsgerr verdict;

			if (m->nlmsg_seq != seq)
				continue; /* of an earlier request that was given up */
			if (m->nlmsg_type == NLMSG_DONE)
				return stop;
			if (m->nlmsg_type == NLMSG_ERROR) {
				if (m->nlmsg_len < NLMSG_LENGTH(sizeof(verdict.error)))
					return -EBADMSG;
				memcpy(&verdict.error, NLMSG_DATA(m), sizeof(verdict.error));
				return stop ? stop : verdict.error;
			}
			if (!stop && each)
				stop = each(arg, m);
		}
	}
}

const void *netlink_find_in(const void *attrs, size_t len_bytes, uint16_t type, size_t min_bytes,
			    size_t *found_bytes)
{
	const uint8_t *p = attrs;

	while (len_bytes >= sizeof(struct rtattr)) {
		struct rtattr a;
		size_t step;

		memcpy(&a, p, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > len_bytes)
			return NULL;
		if ((a.rta_type & NLA_TYPE_MASK) == type &&
		    a.rta_len - RTA_LENGTH(0) >= min_bytes) {
			if (found_bytes)
				*found_bytes = a.rta_len - RTA_LENGTH(0);
			return p + RTA_LENGTH(0);
		}
		step = RTA_ALIGN(a.rta_len);
		if (step > len_bytes)
			return NULL;
		p += step;
		len_bytes -= step;
	}
	return NULL;
}

const void *netlink_find(const struct nlmsghdr *answer, size_t fixed_bytes, uint16_t type,
			 size_t min_bytes)
{
	size_t skip = NLMSG_ALIGN(fixed_bytes);

	if (answer->nlmsg_len < NLMSG_LENGTH(skip))
		return NULL;
	return netlink_find_in((const uint8_t *)NLMSG_DATA(answer) + skip,
			       answer->nlmsg_len - NLMSG_LENGTH(skip), type, min_bytes, NULL);
}

/* --- sock_diag --------------------------------------------------------------------------------- */

int netlink_socket_key(struct flow_key *out, const struct inet_diag_msg *m, uint8_t protocol)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memset(out, 0, sizeof(*out));
	if (m->idiag_family == AF_INET6) {
		memcpy(out->src_ip, m->id.idiag_src, 16);
		memcpy(out->dst_ip, m->id.idiag_dst, 16);
	} else if (m->idiag_family == AF_INET) {
		wire_map_ipv4(out->src_ip, (const uint8_t *)m->id.idiag_src);
		wire_map_ipv4(out->dst_ip, (const uint8_t *)m->id.idiag_dst);
	} else {
		return -EAFNOSUPPORT;
	}
	out->src_port = ntohs(m->id.idiag_sport);
	out->dst_port = ntohs(m->id.idiag_dport);
	out->protocol = protocol;
	out->family = memcmp(out->src_ip, mapped, sizeof(mapped)) ? 6 : 4;
	return 0;
}

void netlink_socket_id(struct inet_diag_req_v2 *req, const struct flow_key *key)
{
	size_t skip_bytes = key->family == 4 ? 12 : 0;
	struct flow_key k = *key;

	/* "src and dst are swapped for historical reasons", net/ipv4/udp_diag.c; its answers are not */
	if (req->sdiag_protocol == IPPROTO_UDP) {
		memcpy(k.src_ip, key->dst_ip, 16);
		memcpy(k.dst_ip, key->src_ip, 16);
		k.src_port = key->dst_port;
		k.dst_port = key->src_port;
	}
	req->sdiag_family = key->family == 4 ? AF_INET : AF_INET6;
	memcpy(req->id.idiag_src, k.src_ip + skip_bytes, 16 - skip_bytes);
	memcpy(req->id.idiag_dst, k.dst_ip + skip_bytes, 16 - skip_bytes);
	req->id.idiag_sport = htons(k.src_port);
	req->id.idiag_dport = htons(k.dst_port);
}
