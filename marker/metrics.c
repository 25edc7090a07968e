#include "marker/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "marker/netlink.h"

#define STATES_CONNECTED 0xBFF /* all but LISTEN */

/* --- text -------------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct tcp_info, member), sizeof(((struct tcp_info *)0)->member)

static const struct {
	const char *name, *type, *help;
	size_t offset, bytes;
} series[] = {
	{"retrans", "gauge", "Segments sent again so far.", AT(tcpi_total_retrans)},
	{"rto", "gauge", "Retransmission timeout in microseconds.", AT(tcpi_rto)},
	{"ato", "gauge", "Delayed acknowledgement timeout in microseconds.", AT(tcpi_ato)},
	{"rtt", "gauge", "Smoothed round-trip time in microseconds.", AT(tcpi_rtt)},
	{"rtt_var", "gauge", "Its mean deviation in microseconds.", AT(tcpi_rttvar)},
	{"minrtt", "gauge", "Lowest round-trip time in microseconds.", AT(tcpi_min_rtt)},
	{"pmtu", "gauge", "Path MTU in bytes.", AT(tcpi_pmtu)},
	{"mss", "gauge", "Segment size sent, in bytes.", AT(tcpi_snd_mss)},
	{"rcvmss", "gauge", "Segment size received, in bytes.", AT(tcpi_rcv_mss)},
	{"advmss", "gauge", "Segment size announced, in bytes.", AT(tcpi_advmss)},
	{"cwnd", "gauge", "Congestion window in segments.", AT(tcpi_snd_cwnd)},
	{"ssthresh", "gauge", "Slow start threshold in segments.", AT(tcpi_snd_ssthresh)},
	{"bytes_sent_total", "counter", "Payload bytes sent, repeats included.",
	 AT(tcpi_bytes_sent)},
	{"bytes_acked_total", "counter", "Payload bytes acknowledged.", AT(tcpi_bytes_acked)},
	{"bytes_received_total", "counter", "Payload bytes received.", AT(tcpi_bytes_received)},
	{"segs_out_total", "counter", "Segments sent.", AT(tcpi_segs_out)},
	{"segs_in_total", "counter", "Segments received.", AT(tcpi_segs_in)},
	{"data_segs_out_total", "counter", "Segments sent with payload.", AT(tcpi_data_segs_out)},
	{"data_segs_in_total", "counter", "Segments received with payload.", AT(tcpi_data_segs_in)},
	{"lastsnd", "gauge", "Milliseconds since payload was sent.", AT(tcpi_last_data_sent)},
	{"lastrcv", "gauge", "Milliseconds since payload was received.", AT(tcpi_last_data_recv)},
	{"lastack", "gauge", "Milliseconds since an acknowledgement was received.",
	 AT(tcpi_last_ack_recv)},
	{"pacing_rate", "gauge", "Pacing rate in bytes per second.", AT(tcpi_pacing_rate)},
	{"delivery_rate", "gauge", "Delivery rate in bytes per second.", AT(tcpi_delivery_rate)},
	{"delivered", "gauge", "Segments delivered.", AT(tcpi_delivered)},
	{"busy", "gauge", "Microseconds with data to send.", AT(tcpi_busy_time)},
	{"rwnd_limited", "gauge", "Of them, held back by the receive window.",
	 AT(tcpi_rwnd_limited)},
	{"rcv_space", "gauge", "Receive buffer tuned for, in bytes.", AT(tcpi_rcv_space)},
	{"rcv_ssthresh", "gauge", "Receive window clamp in bytes.", AT(tcpi_rcv_ssthresh)},
	{"rcv_snd_wnd", "gauge", "Window that the peer announced, in bytes.", AT(tcpi_snd_wnd)},
};

static uint64_t value_of(const struct tcp_info *info, size_t offset, size_t bytes)
{
	const char *at = (const char *)info + offset;
	uint32_t narrow;
	uint64_t wide;

	if (bytes == sizeof(wide)) {
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, at, sizeof(narrow));
	return narrow;
}

static void write_labels(const struct flow_metrics *f, FILE *out)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	int family = f->key.family == 4 ? AF_INET : AF_INET6;
	size_t skip = f->key.family == 4 ? 12 : 0;

	inet_ntop(family, f->key.src_ip + skip, src, sizeof(src));
	inet_ntop(family, f->key.dst_ip + skip, dst, sizeof(dst));
	fprintf(out,
		"{act=\"%u\",exp=\"%u\",src=\"%s\",dst=\"%s\",flow=\"%u:%u\",flavour=\"Netlink\"",
		f->tag.activity, f->tag.experiment, src, dst, f->key.src_port, f->key.dst_port);
}

void metrics_write(const struct flow_metrics *flows, size_t n, uint64_t n_left_out, FILE *out)
{
	for (size_t s = 0; s < sizeof(series) / sizeof(series[0]); s++) {
		fprintf(out, "# HELP flow_tcp_%s %s\n# TYPE flow_tcp_%s %s\n", series[s].name,
			series[s].help, series[s].name, series[s].type);
		for (size_t i = 0; i < n; i++) {
			fprintf(out, "flow_tcp_%s", series[s].name);
			write_labels(&flows[i], out);
			fprintf(out, "} %" PRIu64 "\n",
				value_of(&flows[i].info, series[s].offset, series[s].bytes));
		}
	}
	fprintf(out, "# HELP flow_tcp_rcv_ca_info Congestion control, by name.\n"
		     "# TYPE flow_tcp_rcv_ca_info gauge\n");
	for (size_t i = 0; i < n; i++) {
		if (!flows[i].algorithm[0])
			continue;
		fprintf(out, "flow_tcp_rcv_ca_info");
		write_labels(&flows[i], out);
		fprintf(out, ",alg=\"%s\"} 1\n", flows[i].algorithm);
	}
	fprintf(out,
		"# HELP scitag_marker_flow_series_left_out Flows beyond flowsMax, without series.\n"
		"# TYPE scitag_marker_flow_series_left_out gauge\n"
		"scitag_marker_flow_series_left_out %" PRIu64 "\n",
		n_left_out);
}

/* --- looking ----------------------------------------------------------------------------------- */

struct flow {
	struct flow_key key; /* first: what is sorted and sought by */
	struct scitag tag;
	uint32_t order;
};

struct list {
	struct flow *all;
	size_t n_all, n_room;
	int failed;
	struct flow_metrics *flows; /* of them those with a connection */
	size_t n, max;
	uint64_t n_left_out;
};

static void add_flow(void *arg, const struct flow_key *key, const struct scitag *tag)
{
	struct list *list = arg;
	struct flow *grown;

	if (key->protocol != IPPROTO_TCP)
		return;
	if (list->n_all == list->n_room) {
		grown = reallocarray(list->all, list->n_room ? 2 * list->n_room : 64,
				     sizeof(*grown));
		if (!grown) {
			list->failed = 1;
			return;
		}
		list->all = grown;
		list->n_room = list->n_room ? 2 * list->n_room : 64;
	}
	list->all[list->n_all] = (struct flow){*key, *tag, (uint32_t)list->n_all};
	list->n_all++;
}

static int by_key(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct flow_key));
}

static int by_key_and_order(const void *a, const void *b)
{
	const struct flow *x = a, *y = b;
	int d = by_key(a, b);

	return d ? d : (x->order > y->order) - (x->order < y->order);
}

static void sort_flows(struct list *list)
{
	size_t n = 0;

	if (!list->n_all)
		return;
	qsort(list->all, list->n_all, sizeof(*list->all), by_key_and_order);
	for (size_t i = 1; i < list->n_all; i++)
		if (by_key(&list->all[i], &list->all[n]))
			list->all[++n] = list->all[i];
	list->n_all = n + 1;
}

static int take(void *arg, const struct nlmsghdr *answer)
{
	struct list *list = arg;
	const struct flow *flow;
	struct flow_metrics *f;
	struct inet_diag_msg m;
	const struct rtattr *attr;
	struct flow_key key;
	const char *name;
	const void *info;

	if (answer->nlmsg_len < NLMSG_LENGTH(sizeof(m)))
		return 0;
	memcpy(&m, NLMSG_DATA(answer), sizeof(m));
	if (netlink_socket_key(&key, &m, IPPROTO_TCP))
		return 0;
	flow = bsearch(&key, list->all, list->n_all, sizeof(*flow), by_key);
	info = netlink_find(answer, sizeof(m), INET_DIAG_INFO, 1);
	if (!flow || !info)
		return 0;
	if (list->n == list->max) {
		list->n_left_out++;
		return 0;
	}
	f = &list->flows[list->n++];
	f->key = flow->key;
	f->tag = flow->tag;
	/* it grows with the kernel: take what both sides know */
	attr = (const struct rtattr *)((const char *)info - RTA_LENGTH(0));
	memcpy(&f->info, info,
	       RTA_PAYLOAD(attr) < sizeof(f->info) ? RTA_PAYLOAD(attr) : sizeof(f->info));
	name = netlink_find(answer, sizeof(m), INET_DIAG_CONG, 1);
	if (name)
		snprintf(f->algorithm, sizeof(f->algorithm), "%s", name);
	return 0;
}

static int look(struct list *list)
{
	static const uint8_t families[] = {AF_INET6, AF_INET};
	int fd = netlink_open(NETLINK_SOCK_DIAG), err = fd < 0 ? fd : 0;

	for (size_t i = 0; !err && i < sizeof(families); i++) {
		struct inet_diag_req_v2 req = {.sdiag_family = families[i],
					       .sdiag_protocol = IPPROTO_TCP,
					       .idiag_ext = 1 << (INET_DIAG_INFO - 1) |
							    1 << (INET_DIAG_CONG - 1),
					       .idiag_states = STATES_CONNECTED};
		struct netlink_request r;

		netlink_begin(&r, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &req, sizeof(req));
		err = netlink_ask(fd, &r, take, list);
	}
	if (fd >= 0)
		close(fd);
	return err;
}

int metrics_write_flows(metrics_flows flows, void *arg, size_t flows_max, FILE *out)
{
	struct list list = {.max = flows_max < METRICS_FLOWS_MAX ? flows_max : METRICS_FLOWS_MAX};
	int err = 0;

	list.flows = calloc(list.max + 1, sizeof(*list.flows));
	if (!list.flows)
		return -ENOMEM;
	flows(arg, add_flow, &list);
	sort_flows(&list);
	if (list.failed)
		err = -ENOMEM;
	else if (list.n_all)
		err = look(&list);
	if (!err)
		metrics_write(list.flows, list.n, list.n_left_out, out);
	free(list.all);
	free(list.flows);
	return err;
}
