#include <errno.h>
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
	uint8_t extensions;
	int wants_details;
	struct tcp_detail detail; /* of the latest answer */
};

int tcp_info_open(struct tcp_info_reader **out)
{
	static const int groups[] = {SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY};
	struct tcp_info_reader *r = calloc(1, sizeof(*r));
	int bytes = EVENT_BUFFER_BYTES, err;

	if (!r)
		return log_fail(-ENOMEM, "tcp_info", "open");
	r->event_fd = -1;
	r->extensions = EXTENSIONS;
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

void tcp_info_want_details(struct tcp_info_reader *r, int wanted, uint8_t extensions)
{
	r->wants_details = wanted;
	r->extensions = wanted ? extensions | EXTENSIONS : EXTENSIONS;
}

int tcp_info_fd(const struct tcp_info_reader *r)
{
	return r->event_fd;
}

/* The peer's FIN counts as a byte received. Of a connection that is gone only that much is known: it
 * is closed; most were closed by both sides. */
enum { FIN_WAIT2 = 5, CLOSE = 7, CLOSE_WAIT = 8, LAST_ACK = 9, CLOSING = 11 };

static int has_fin(uint8_t state)
{
	return state == CLOSE || state == CLOSE_WAIT || state == LAST_ACK || state == CLOSING;
}

static void take_info(struct tcp_sample *s, const struct tcp_info *t, uint8_t state)
{
	/* what is acknowledged counts SYN and FIN; what was sent for the first time does not, but for
	 * segments that this host dropped on their way out, which it counts at each try */
	uint64_t first_sent_bytes = t->tcpi_bytes_sent - t->tcpi_bytes_retrans;

	s->sent_bytes = t->tcpi_bytes_acked;
	s->fin = state == CLOSE || state == FIN_WAIT2;
	if (s->sent_bytes - first_sent_bytes <= 2) { /* all is acknowledged */
		s->syn = s->sent_bytes > first_sent_bytes;
		s->sent_bytes = first_sent_bytes;
	} else {
		s->rough = 1;
	}
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

static void take_attribute(const void *attrs, size_t attrs_bytes, uint16_t type, void *out,
			   size_t cap_bytes, uint32_t *has)
{
	size_t found_bytes;
	const void *p = netlink_find_in(attrs, attrs_bytes, type, 1, &found_bytes);

	memset(out, 0, cap_bytes);
	if (!p)
		return;
	/* they grow with the kernel: take what both sides know */
	memcpy(out, p, found_bytes < cap_bytes ? found_bytes : cap_bytes);
	*has |= 1U << type;
}

static void take_details(struct tcp_detail *d, const void *attrs, size_t attrs_bytes)
{
	static const struct {
		uint16_t type;
		size_t offset, bytes;
	} known[] = {
		{INET_DIAG_MEMINFO, offsetof(struct tcp_detail, mem), sizeof(d->mem)},
		{INET_DIAG_TOS, offsetof(struct tcp_detail, tos), sizeof(d->tos)},
		{INET_DIAG_SKMEMINFO, offsetof(struct tcp_detail, sk_mem), sizeof(d->sk_mem)},
	};
	static const uint16_t algorithms[] = {INET_DIAG_VEGASINFO, INET_DIAG_DCTCPINFO,
					      INET_DIAG_BBRINFO};
	uint32_t before;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		take_attribute(attrs, attrs_bytes, known[i].type, (char *)d + known[i].offset,
			       known[i].bytes, &d->has);
	before = d->has;
	for (size_t i = 0; i < 3 && d->has == before; i++) /* one of them at most */
		take_attribute(attrs, attrs_bytes, algorithms[i], &d->cc, sizeof(d->cc), &d->has);
}

static int take(struct tcp_info_reader *r, const struct nlmsghdr *answer, struct flow_key *key,
		struct tcp_sample *out)
{
	struct tcp_detail *d = &r->detail;
	struct inet_diag_msg m;
	const void *attrs;
	size_t attrs_bytes;

	if (answer->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer->nlmsg_len < NLMSG_LENGTH(sizeof(m)))
		return -EBADMSG;
	memcpy(&m, NLMSG_DATA(answer), sizeof(m));
	if (netlink_socket_key(key, &m, IPPROTO_TCP))
		return -EAFNOSUPPORT;
	attrs = (const uint8_t *)NLMSG_DATA(answer) + NLMSG_ALIGN(sizeof(m));
	attrs_bytes = answer->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof(m)));
	if (!netlink_find_in(attrs, attrs_bytes, INET_DIAG_INFO,
			     offsetof(struct tcp_info, tcpi_bytes_acked), NULL))
		return -ENODATA;
	d->has = 0;
	take_attribute(attrs, attrs_bytes, INET_DIAG_INFO, &d->info, sizeof(d->info), &d->has);
	take_attribute(attrs, attrs_bytes, INET_DIAG_CONG, d->congestion, sizeof(d->congestion),
		       &d->has);
	d->congestion[sizeof(d->congestion) - 1] = 0;
	memset(out, 0, sizeof(*out));
	take_info(out, &d->info, m.idiag_state);
	out->cookie = (uint64_t)m.id.idiag_cookie[1] << 32 | m.id.idiag_cookie[0];
	memcpy(out->tcp.congestion, d->congestion, sizeof(out->tcp.congestion));
	if (!r->wants_details)
		return 0;
	d->socket = m;
	take_details(d, attrs, attrs_bytes);
	out->detail = d;
	return 0;
}

struct one {
	struct tcp_info_reader *reader;
	struct flow_key key;
	struct tcp_sample sample;
	int err;
};

static int take_one(void *arg, const struct nlmsghdr *answer)
{
	struct one *one = arg;

	one->err = take(one->reader, answer, &one->key, &one->sample);
	return 0;
}

int tcp_info_look(struct tcp_info_reader *r, const struct flow_key *key, uint64_t cookie,
		  struct tcp_sample *out)
{
	struct inet_diag_req_v2 req = {.sdiag_protocol = IPPROTO_TCP,
				       .idiag_ext = r->extensions,
				       .idiag_states = STATES_CONNECTED};
	struct one one = {.reader = r, .err = -ENOENT};
	struct netlink_request request;
	int err;

	if (key->protocol != IPPROTO_TCP)
		return -ENOENT;
	netlink_socket_id(&req, key);
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

struct all {
	struct tcp_info_reader *reader;
	void (*each)(void *arg, const struct flow_key *key, const struct tcp_sample *s);
	void *arg;
};

static int take_each(void *arg, const struct nlmsghdr *answer)
{
	const struct all *all = arg;
	struct tcp_sample sample;
	struct flow_key key;

	if (!take(all->reader, answer, &key, &sample))
		all->each(all->arg, &key, &sample);
	return 0;
}

int tcp_info_each(struct tcp_info_reader *r,
		  void (*each)(void *arg, const struct flow_key *key, const struct tcp_sample *s),
		  void *arg)
{
	static const uint8_t families[] = {AF_INET6, AF_INET};
	struct all all = {r, each, arg};
	int err = 0;

	for (size_t i = 0; i < sizeof(families) && !err; i++) {
		struct inet_diag_req_v2 req = {.sdiag_family = families[i],
					       .sdiag_protocol = IPPROTO_TCP,
					       .idiag_ext = r->extensions,
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

			if (!take(r, m, &key, &sample))
				gone(arg, &key, &sample);
		}
	}
	return got < 0 && errno == ENOBUFS ? -ENOBUFS : 0;
}
