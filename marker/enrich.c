#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "marker/enrich.h"

#define PIECE_BYTES 512 /* the longest section beside tcpInfo */

/* --- text that stops where the room ends --------------------------------------------------------- */

struct text {
	char *buf;
	size_t len_bytes, cap_bytes;
	int full; /* a piece did not fit: no later one is put in either */
};

static void __attribute__((format(printf, 2, 3))) put(struct text *t, const char *fmt, ...)
{
	size_t room_bytes = t->cap_bytes - t->len_bytes;
	char piece[PIECE_BYTES];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(piece, sizeof(piece), fmt, args);
	va_end(args);
	if (t->full || n < 0 || (size_t)n >= sizeof(piece) || (size_t)n > room_bytes) {
		t->full = 1;
		return;
	}
	memcpy(t->buf + t->len_bytes, piece, (size_t)n);
	t->len_bytes += (size_t)n;
}

/* --- struct tcp_info ------------------------------------------------------------------------------ */

enum how { PLAIN, MS, RTO, SSTHRESH, SND_WSCALE, RCV_WSCALE, APP_LIMITED, FASTOPEN_FAIL };

#define AT(member) offsetof(struct tcp_info, member), sizeof(((struct tcp_info *)0)->member)

static const struct member {
	const char *full, *compatible; /* NULL: flowd has none */
	size_t offset, bytes;
	enum how how;
} members[] = {
	/* the lean ones */
	{"rtt", "rtt", AT(tcpi_rtt), MS},
	{"rttVar", "rttvar", AT(tcpi_rttvar), MS},
	{"minRtt", "min_rtt", AT(tcpi_min_rtt), PLAIN},
	{"sndCwnd", "snd_cwnd", AT(tcpi_snd_cwnd), PLAIN},
	{"sndSsThresh", "snd_ssthresh", AT(tcpi_snd_ssthresh), SSTHRESH},
	{"retransmits", "retransmits", AT(tcpi_retransmits), PLAIN},
	{"sndMss", "snd_mss", AT(tcpi_snd_mss), PLAIN},
	{"advMss", "advmss", AT(tcpi_advmss), PLAIN},
	{"pMtu", "pmtu", AT(tcpi_pmtu), PLAIN},
	{"deliveryRate", "delivery_rate", AT(tcpi_delivery_rate), PLAIN},
	{"bytesSent", NULL, AT(tcpi_bytes_sent), PLAIN},
	/* what tells a healthy transfer from another */
	{"bytesAcked", "bytes_acked", AT(tcpi_bytes_acked), PLAIN},
	{"bytesRecv", "bytes_received", AT(tcpi_bytes_received), PLAIN},
	{"totalRetrans", "total_retrans", AT(tcpi_total_retrans), PLAIN},
	{"lost", "lost", AT(tcpi_lost), PLAIN},
	{"retrans", "retrans", AT(tcpi_retrans), PLAIN},
	{"pacingRate", "pacing_rate", AT(tcpi_pacing_rate), PLAIN},
	{"busyTime", "busy_time", AT(tcpi_busy_time), PLAIN},
	{"rwndLimited", "rwnd_limited", AT(tcpi_rwnd_limited), PLAIN},
	{"sndBufLimited", "sndbuf_limited", AT(tcpi_sndbuf_limited), PLAIN},
	{"bytesRetrans", NULL, AT(tcpi_bytes_retrans), PLAIN},
	{"segsOut", "segs_out", AT(tcpi_segs_out), PLAIN},
	{"segsIn", "segs_in", AT(tcpi_segs_in), PLAIN},
	{"dataSegsOut", "data_segs_out", AT(tcpi_data_segs_out), PLAIN},
	{"dataSegsIn", "data_segs_in", AT(tcpi_data_segs_in), PLAIN},
	{"rto", "rto", AT(tcpi_rto), RTO},
	{"ato", "ato", AT(tcpi_ato), MS},
	{"rcvMss", "rcv_mss", AT(tcpi_rcv_mss), PLAIN},
	{"rcvRtt", "rcv_rtt", AT(tcpi_rcv_rtt), MS},
	{"rcvSpace", "rcv_space", AT(tcpi_rcv_space), PLAIN},
	{"rcvSsThresh", "rcv_ssthresh", AT(tcpi_rcv_ssthresh), PLAIN},
	{"unAcked", "unacked", AT(tcpi_unacked), PLAIN},
	{"sAcked", "sacked", AT(tcpi_sacked), PLAIN},
	{"notsentBytes", "notsent_bytes", AT(tcpi_notsent_bytes), PLAIN},
	{"reordering", "reordering", AT(tcpi_reordering), PLAIN},
	{"caState", "ca_state", AT(tcpi_ca_state), PLAIN},
	{"lastDataSent", "last_data_sent", AT(tcpi_last_data_sent), PLAIN},
	{"lastDataRecv", "last_data_recv", AT(tcpi_last_data_recv), PLAIN},
	{"lastAckRecv", "last_ack_recv", AT(tcpi_last_ack_recv), PLAIN},
	{"delivered", NULL, AT(tcpi_delivered), PLAIN},
	{"deliveredCe", NULL, AT(tcpi_delivered_ce), PLAIN},
	{"dsAckDups", NULL, AT(tcpi_dsack_dups), PLAIN},
	{"reordSeen", NULL, AT(tcpi_reord_seen), PLAIN},
	{"rcvOooPack", NULL, AT(tcpi_rcv_ooopack), PLAIN},
	{"sndWnd", NULL, AT(tcpi_snd_wnd), PLAIN},
	{"sndWscale", "snd_wscale", 0, 0, SND_WSCALE},
	{"rcvdWscale", "rcv_wscale", 0, 0, RCV_WSCALE},
	{"maxPacingRate", "max_pacing_rate", AT(tcpi_max_pacing_rate), PLAIN},
	{"probes", "probes", AT(tcpi_probes), PLAIN},
	{"backoff", "backoff", AT(tcpi_backoff), PLAIN},
	{"deliveryRateAppLimited", "delivery_rate_app_limited", 0, 0, APP_LIMITED},
	{"fAckets", "fackets", AT(tcpi_fackets), PLAIN},
	{"lastAckSent", "last_ack_sent", AT(tcpi_last_ack_sent), PLAIN},
	{"fastOpenClientFail", NULL, 0, 0, FASTOPEN_FAIL},
};
#define N_MEMBERS (sizeof(members) / sizeof(members[0]))
#define N_LEAN    11

static uint64_t value_of(const struct tcp_info *info, const struct member *m)
{
	const char *at = (const char *)info + m->offset;
	uint64_t wide = 0;
	uint32_t narrow = 0;

	switch (m->how) {
	case SND_WSCALE:
		return info->tcpi_snd_wscale;
	case RCV_WSCALE:
		return info->tcpi_rcv_wscale;
	case APP_LIMITED:
		return info->tcpi_delivery_rate_app_limited;
	case FASTOPEN_FAIL:
		return info->tcpi_fastopen_client_fail;
	default:
		break;
	}
	if (m->bytes == sizeof(wide)) {
		memcpy(&wide, at, sizeof(wide));
		/* a pacing rate without a limit is all ones, which few readers of JSON take */
		return wide < INT64_MAX ? wide : INT64_MAX;
	}
	if (m->bytes == 1)
		return (uint8_t)*at;
	memcpy(&narrow, at, sizeof(narrow));
	return narrow;
}

/* As flowd's table has it, in whole units. */
static uint64_t compatible_value(const struct tcp_info *info, const struct member *m)
{
	uint64_t value = value_of(info, m);

	switch (m->how) {
	case MS:
		return value / 1000;
	case RTO: /* three seconds: it was never measured */
		return value == 3000000 ? 0 : value / 1000;
	case SSTHRESH: /* that high: none yet */
		return value < 0xffff ? value : 0;
	default:
		return value;
	}
}

/* --- the forms ------------------------------------------------------------------------------------ */

static const char *state_name(uint8_t state)
{
	static const char *const names[] = {"INVALID",    "established", "syn-sent",  "syn-recv",
					    "fin-wait-1", "fin-wait-2",  "time-wait", "unconnected",
					    "close-wait", "last-ack",    "listening", "closing"};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "invalid";
}

static void put_compatible(struct text *t, const struct tcp_detail *d)
{
	static const struct {
		uint8_t bit;
		const char *name;
	} options[] = {{TCPI_OPT_TIMESTAMPS, "ts"}, {TCPI_OPT_SACK, "sack"}, {TCPI_OPT_ECN, "ecn"}};
	const char *comma = "";

	put(t, "\"state\":\"%s\",\"opts\":[", state_name(d->info.tcpi_state));
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (d->info.tcpi_options & options[i].bit) {
			put(t, "%s\"%s\"", comma, options[i].name);
			comma = ",";
		}
	put(t, "]");
	for (size_t i = 0; i < N_MEMBERS; i++)
		if (members[i].compatible)
			put(t, ",\"%s\":%" PRIu64, members[i].compatible,
			    compatible_value(&d->info, &members[i]));
}

static int has(const struct tcp_detail *d, int attribute)
{
	return d->has >> attribute & 1;
}

static void put_algorithm(struct text *t, const struct tcp_detail *d)
{
	const union tcp_cc_info *cc = &d->cc;

	if (has(d, INET_DIAG_BBRINFO))
		put(t,
		    ",\"bbr\":{\"bbrBW\":%" PRIu64 ",\"bbrMinRTT\":%u,\"bbrPacingGain\":%u,"
		    "\"bbrCwndGain\":%u}",
		    (uint64_t)cc->bbr.bbr_bw_hi << 32 | cc->bbr.bbr_bw_lo, cc->bbr.bbr_min_rtt,
		    cc->bbr.bbr_pacing_gain, cc->bbr.bbr_cwnd_gain);
	else if (has(d, INET_DIAG_VEGASINFO))
		put(t, ",\"vegasInfo\":{\"enabled\":%u,\"rttCount\":%u,\"rtt\":%u,\"minRtt\":%u}",
		    cc->vegas.tcpv_enabled, cc->vegas.tcpv_rttcnt, cc->vegas.tcpv_rtt,
		    cc->vegas.tcpv_minrtt);
	else if (has(d, INET_DIAG_DCTCPINFO))
		put(t,
		    ",\"dctcpInfo\":{\"enabled\":%u,\"ceState\":%u,\"alpha\":%u,\"abeCn\":%u,"
		    "\"abTot\":%u}",
		    cc->dctcp.dctcp_enabled, cc->dctcp.dctcp_ce_state, cc->dctcp.dctcp_alpha,
		    cc->dctcp.dctcp_ab_ecn, cc->dctcp.dctcp_ab_tot);
}

static void put_memory(struct text *t, const struct tcp_detail *d)
{
	const struct inet_diag_meminfo *m = &d->mem;
	const uint32_t *s = d->sk_mem;

	if (has(d, INET_DIAG_MEMINFO))
		put(t, ",\"memInfo\":{\"rMem\":%u,\"wMem\":%u,\"fMem\":%u,\"tMem\":%u}",
		    m->idiag_rmem, m->idiag_wmem, m->idiag_fmem, m->idiag_tmem);
	if (has(d, INET_DIAG_SKMEMINFO))
		put(t,
		    ",\"skMemInfo\":{\"rMemAlloc\":%u,\"rcvBuff\":%u,\"WMemAlloc\":%u,"
		    "\"sndBuff\":%u,\"fwdAlloc\":%u,\"wMemQueued\":%u,\"optMem\":%u,"
		    "\"backlog\":%u,\"drops\":%u}",
		    s[SK_MEMINFO_RMEM_ALLOC], s[SK_MEMINFO_RCVBUF], s[SK_MEMINFO_WMEM_ALLOC],
		    s[SK_MEMINFO_SNDBUF], s[SK_MEMINFO_FWD_ALLOC], s[SK_MEMINFO_WMEM_QUEUED],
		    s[SK_MEMINFO_OPTMEM], s[SK_MEMINFO_BACKLOG], s[SK_MEMINFO_DROPS]);
}

/* Ports and addresses are the kernel's own words, in its byte order, as flowd-go prints them. */
static void put_socket(struct text *t, const struct inet_diag_msg *m)
{
	const struct inet_diag_sockid *id = &m->id;

	put(t,
	    ",\"skBuff\":{\"family\":%u,\"state\":%u,\"timer\":%u,\"retrans\":%u,"
	    "\"id\":{\"srcPort\":%u,\"dstPort\":%u,\"srcIP\":[%u,%u,%u,%u],"
	    "\"dstIP\":[%u,%u,%u,%u],\"ifId\":%u,\"cookie\":[%u,%u]},"
	    "\"expires\":%u,\"rQueue\":%u,\"wQueue\":%u,\"uid\":%u,\"iNode\":%u}",
	    m->idiag_family, m->idiag_state, m->idiag_timer, m->idiag_retrans, id->idiag_sport,
	    id->idiag_dport, id->idiag_src[0], id->idiag_src[1], id->idiag_src[2], id->idiag_src[3],
	    id->idiag_dst[0], id->idiag_dst[1], id->idiag_dst[2], id->idiag_dst[3], id->idiag_if,
	    id->idiag_cookie[0], id->idiag_cookie[1], m->idiag_expires, m->idiag_rqueue,
	    m->idiag_wqueue, m->idiag_uid, m->idiag_inode);
}

static void put_lean(struct text *t, const struct tcp_detail *d)
{
	put(t, "\"tcpInfo\":{");
	for (size_t i = 0; i < N_LEAN; i++) /* the capital is flowd-go's */
		put(t, "%s\"%s\":%" PRIu64, i ? "," : "",
		    strcmp(members[i].full, "retransmits") ? members[i].full : "Retransmits",
		    value_of(&d->info, &members[i]));
	put(t, "}");
	if (d->congestion[0])
		put(t, ",\"cong\":{\"algorithm\":\"%.15s\"}", d->congestion);
}

static void put_full(struct text *t, const struct tcp_detail *d)
{
	if (d->congestion[0])
		put(t, "\"cong\":{\"algorithm\":\"%.15s\"},", d->congestion);
	put(t, "\"tcpInfo\":{");
	t->cap_bytes--; /* for its closing brace */
	for (size_t i = 0; i < N_MEMBERS; i++)
		put(t, "%s\"%s\":%" PRIu64, i ? "," : "", members[i].full,
		    value_of(&d->info, &members[i]));
	put(t, ",\"state\":%u,\"options\":%u", d->info.tcpi_state, d->info.tcpi_options);
	t->cap_bytes++;
	t->buf[t->len_bytes++] = '}';
	put_algorithm(t, d);
	if (has(d, INET_DIAG_TOS))
		put(t, ",\"tos\":{\"tos\":%u}", d->tos);
	put_memory(t, d);
	put_socket(t, &d->socket);
}

size_t enrich_append(char *buf, size_t len_bytes, size_t cap_bytes, const char *name,
		     enum enrich_form form, const struct tcp_detail *d)
{
	/* its own closing brace, and the firefly's, which is written again */
	struct text t = {.buf = buf, .len_bytes = len_bytes - 1, .cap_bytes = cap_bytes - 2};

	/* the least that is a whole: where not even this fits, nothing is said */
	if (len_bytes + (form == ENRICH_LEAN ? 400 : 256) > cap_bytes)
		return len_bytes;
	put(&t, ",\"%s\":{", name);
	if (form == ENRICH_LEAN)
		put_lean(&t, d);
	else if (form == ENRICH_COMPATIBLE)
		put_compatible(&t, d);
	else
		put_full(&t, d);
	memcpy(buf + t.len_bytes, "}}", 2);
	return t.len_bytes + 2;
}
