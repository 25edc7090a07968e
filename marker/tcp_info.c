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
#include "marker/tcp_info.h"

#define EVENT_BUFFER_BYTES (8 * 1024 * 1024)
#define STATES_CONNECTED   0xBBF /* all but LISTEN and TIME_WAIT, which knows nothing */
#define EXTENSIONS         (1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_CONG - 1))

struct tcp_info_reader {
	int ask_fd, event_fd;
};

int tcp_info_open(struct tcp_info_reader **out)
{
	static const int groups[] = {SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY};
	struct tcp_info_reader *r = calloc(1, sizeof(*r));
	int bytes = EVENT_BUFFER_BYTES, err;

	if (!r)
		return log_fail(-ENOMEM, "tcp_info", "open");
	r->event_fd = -1;
	r->ask_fd = err = netlink_open(NETLINK_SOCK_DIAG);
	if (err >= 0)
		r->event_fd = err = netlink_open(NETLINK_SOCK_DIAG);
	if (err < 0) {
		tcp_info_close(r);
		return log_fail(err, "tcp_info", "open sock_diag");
	}
	setsockopt(r->event_fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (setsockopt(r->event_fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])))
			log_fail(-errno, "tcp_info", "hear of closed sockets");
	*out = r;
	return 0;
}

void tcp_info_close(struct tcp_info_reader *r)
{
	if (!r)
		return;
	if (r->ask_fd >= 0)
		close(r->ask_fd);
	if (r->event_fd >= 0)
		close(r->event_fd);
	free(r);
}

int tcp_info_fd(const struct tcp_info_reader *r)
{
	return r->event_fd;
}

/* IPv4 in an IPv6 socket, and IPv4: one key. */
static int take_key(struct flow_key *key, const struct inet_diag_msg *m)
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

	memset(key, 0, sizeof(*key));
	if (m->idiag_family == AF_INET6) {
		memcpy(key->src_ip, m->id.idiag_src, 16);
		memcpy(key->dst_ip, m->id.idiag_dst, 16);
	} else if (m->idiag_family == AF_INET) {
		wire_map_ipv4(key->src_ip, (const uint8_t *)m->id.idiag_src);
		wire_map_ipv4(key->dst_ip, (const uint8_t *)m->id.idiag_dst);
	} else {
		return -EAFNOSUPPORT;
	}
	key->src_port = ntohs(m->id.idiag_sport);
	key->dst_port = ntohs(m->id.idiag_dport);
	key->protocol = IPPROTO_TCP;
	key->family = memcmp(key->src_ip, mapped, sizeof(mapped)) ? 6 : 4;
	return 0;
}

/* The peer's FIN counts as a byte received. Of a connection that is gone only that much is known: it
 * is closed; most were closed by both sides. */
static int has_fin(uint8_t state)
{
	enum { CLOSE = 7, CLOSE_WAIT = 8, LAST_ACK = 9, CLOSING = 11 };

	return state == CLOSE || state == CLOSE_WAIT || state == LAST_ACK || state == CLOSING;
}

static void take_info(struct tcp_sample *s, const struct tcp_info *t, uint8_t state)
{
	/* what is acknowledged counts SYN and FIN; what was sent for the first time does not */
	uint64_t first_sent_bytes = t->tcpi_bytes_sent - t->tcpi_bytes_retrans;

	s->sent_bytes = t->tcpi_bytes_acked;
	if (s->sent_bytes - first_sent_bytes <= 2) /* all is acknowledged */
		s->sent_bytes = first_sent_bytes;
	s->received_bytes = t->tcpi_bytes_received;
	if (s->received_bytes && has_fin(state))
		s->received_bytes--;
	s->rtt_us = t->tcpi_rtt ? (int64_t)t->tcpi_rtt : FIREFLY_RTT_UNSAID;
	s->tcp.sent_bytes = t->tcpi_bytes_sent;
	s->tcp.delivery_rate_bytes_per_s = t->tcpi_delivery_rate;
	s->tcp.rtt_var_us = t->tcpi_rttvar;
	s->tcp.min_rtt_us = t->tcpi_min_rtt;
	s->tcp.retransmits = t->tcpi_total_retrans;
	s->tcp.cwnd_segments = t->tcpi_snd_cwnd;
	s->tcp.ssthresh_segments = t->tcpi_snd_ssthresh;
	s->tcp.send_mss_bytes = t->tcpi_snd_mss;
	s->tcp.advertised_mss_bytes = t->tcpi_advmss;
	s->tcp.path_mtu_bytes = t->tcpi_pmtu;
}

static int take(const struct nlmsghdr *answer, struct flow_key *key, struct tcp_sample *out)
{
	struct inet_diag_msg m;
	struct tcp_info tcp = {0};
	const void *attrs, *p;
	size_t attrs_bytes, found_bytes;

	if (answer->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer->nlmsg_len < NLMSG_LENGTH(sizeof(m)))
		return -EBADMSG;
	memcpy(&m, NLMSG_DATA(answer), sizeof(m));
	if (take_key(key, &m))
		return -EAFNOSUPPORT;
	attrs = (const uint8_t *)NLMSG_DATA(answer) + NLMSG_ALIGN(sizeof(m));
	attrs_bytes = answer->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof(m)));
	p = netlink_find_in(attrs, attrs_bytes, INET_DIAG_INFO,
			    offsetof(struct tcp_info, tcpi_bytes_acked), &found_bytes);
	if (!p)
		return -ENODATA;
	memset(out, 0, sizeof(*out));
	/* it grows with the kernel: take what both sides know */
	memcpy(&tcp, p, found_bytes < sizeof(tcp) ? found_bytes : sizeof(tcp));
	take_info(out, &tcp, m.idiag_state);
	out->cookie = (uint64_t)m.id.idiag_cookie[1] << 32 | m.id.idiag_cookie[0];
	p = netlink_find_in(attrs, attrs_bytes, INET_DIAG_CONG, 1, &found_bytes);
	if (p)
		memcpy(out->tcp.congestion, p,
		       found_bytes < sizeof(out->tcp.congestion) ? found_bytes
								 : sizeof(out->tcp.congestion) - 1);
	return 0;
}

struct one {
	struct flow_key key;
	struct tcp_sample sample;
	int err;
};

static int take_one(void *arg, const struct nlmsghdr *answer)
{
	struct one *one = arg;

	one->err = take(answer, &one->key, &one->sample);
	return 0;
}

static int look(struct tcp_info_reader *r, int family, const struct flow_key *key, uint64_t cookie,
		struct tcp_sample *out)
{
	size_t skip_bytes = family == AF_INET ? 12 : 0, len_bytes = 16 - skip_bytes;
	struct inet_diag_req_v2 req = {.sdiag_family = (uint8_t)family,
				       .sdiag_protocol = IPPROTO_TCP,
				       .idiag_ext = EXTENSIONS,
				       .idiag_states = STATES_CONNECTED};
	struct one one = {.err = -ENOENT};
	struct netlink_request request;
	int err;

	memcpy(req.id.idiag_src, key->src_ip + skip_bytes, len_bytes);
	memcpy(req.id.idiag_dst, key->dst_ip + skip_bytes, len_bytes);
	req.id.idiag_sport = htons(key->src_port);
	req.id.idiag_dport = htons(key->dst_port);
	req.id.idiag_cookie[0] = cookie ? (uint32_t)cookie : INET_DIAG_NOCOOKIE;
	req.id.idiag_cookie[1] = cookie ? (uint32_t)(cookie >> 32) : INET_DIAG_NOCOOKIE;
	netlink_begin(&request, SOCK_DIAG_BY_FAMILY, 0, &req, sizeof(req));
	err = netlink_ask(r->ask_fd, &request, take_one, &one);
	/* the kernel falls back to listeners */
	if (err == -ESTALE || (!err && (one.err || memcmp(&one.key, key, sizeof(*key)))))
		err = -ENOENT;
	if (!err)
		*out = one.sample;
	return err;
}

int tcp_info_look(struct tcp_info_reader *r, const struct flow_key *key, uint64_t cookie,
		  struct tcp_sample *out)
{
	if (key->protocol != IPPROTO_TCP)
		return -ENOENT;
	/* the kernel finds a mapped address among both families' sockets */
	return look(r, key->family == 4 ? AF_INET : AF_INET6, key, cookie, out);
}

struct all {
	void (*each)(void *arg, const struct flow_key *key, const struct tcp_sample *s);
	void *arg;
};

static int take_each(void *arg, const struct nlmsghdr *answer)
{
	const struct all *all = arg;
	struct tcp_sample sample;
	struct flow_key key;

	if (!take(answer, &key, &sample))
		all->each(all->arg, &key, &sample);
	return 0;
}

int tcp_info_each(struct tcp_info_reader *r,
		  void (*each)(void *arg, const struct flow_key *key, const struct tcp_sample *s),
		  void *arg)
{
	static const uint8_t families[] = {AF_INET6, AF_INET};
	struct all all = {each, arg};
	int err = 0;

	for (size_t i = 0; i < sizeof(families) && !err; i++) {
		struct inet_diag_req_v2 req = {.sdiag_family = families[i],
					       .sdiag_protocol = IPPROTO_TCP,
					       .idiag_ext = EXTENSIONS,
					       .idiag_states = STATES_CONNECTED};
		struct netlink_request request;

		netlink_begin(&request, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &req, sizeof(req));
		err = netlink_ask(r->ask_fd, &request, take_each, &all);
	}
	return err;
}

int tcp_info_drain(struct tcp_info_reader *r,
		   void (*gone)(void *arg, const struct flow_key *key, const struct tcp_sample *s),
		   void *arg)
{
	uint8_t buf[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t got;

	while ((got = recv(r->event_fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)buf;

		for (size_t left = (size_t)got; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
			struct tcp_sample sample;
			struct flow_key key;

			if (!take(m, &key, &sample))
				gone(arg, &key, &sample);
		}
	}
	return got < 0 && errno == ENOBUFS ? -ENOBUFS : 0;
}
