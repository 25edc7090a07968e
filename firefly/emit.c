#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "firefly/firefly.h"

#define PRIORITY 134 /* local0.info: what the framework's senders use, whatever ff->priority is */

struct text { /* where the payload grows; `full` once something did not fit */
	char *buf;
	size_t cap_bytes, len_bytes;
	int full;
};

static void put_bytes(struct text *t, const char *bytes, size_t n)
{
	if (t->full || n > t->cap_bytes - t->len_bytes) {
		t->full = 1;
		return;
	}
	memcpy(t->buf + t->len_bytes, bytes, n);
	t->len_bytes += n;
}

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
	char piece[128]; /* longer than any piece below */
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(piece, sizeof(piece), fmt, args);
	va_end(args);
	put_bytes(t, piece, (size_t)n);
}

/* A field of the header: printable ASCII without blanks (RFC 5424 section 6), and no brace, because
 * readers take the first one for the beginning of the JSON. */
static void put_word(struct text *t, const char *word)
{
	if (!*word)
		put_bytes(t, "-", 1);
	for (; *word; word++)
		put_bytes(t, *word > ' ' && *word <= '~' && *word != '{' ? word : "?", 1);
}

static void put_string(struct text *t, const char *utf8)
{
	put_bytes(t, "\"", 1);
	for (; *utf8; utf8++) {
		if (*utf8 == '"' || *utf8 == '\\')
			put(t, "\\%c", *utf8);
		else if ((unsigned char)*utf8 < 0x20)
			put(t, "\\u%04x", (unsigned int)*utf8);
		else
			put_bytes(t, utf8, 1);
	}
	put_bytes(t, "\"", 1);
}

static void put_time(struct text *t, int64_t utc_us)
{
	char buf[32];

	clock_format_utc(buf, sizeof(buf), utc_us, 6);
	put(t, "%.*s+00:00", (int)strcspn(buf, "Z"), buf);
}

static void put_time_member(struct text *t, const char *name, int64_t utc_us)
{
	put(t, ",\"%s\":", name);
	if (utc_us == FIREFLY_TIME_UNKNOWN) {
		put(t, "null");
		return;
	}
	put(t, "\"");
	put_time(t, utc_us);
	put(t, "\"");
}

static void put_lifecycle(struct text *t, const struct firefly *ff, int64_t current_utc_us)
{
	static const char *const states[] = {
		[FIREFLY_START] = "start",
		[FIREFLY_ONGOING] = "ongoing",
		[FIREFLY_END] = "end",
	};

	put(t, "{\"version\":1,\"flow-lifecycle\":{\"state\":\"%s\"", states[ff->state]);
	if (current_utc_us != FIREFLY_TIME_UNKNOWN)
		put_time_member(t, "current-time", current_utc_us);
	put_time_member(t, "start-time", ff->start_utc_us);
	if (ff->state == FIREFLY_END)
		put_time_member(t, "end-time", ff->end_utc_us);
	put(t, "}");
}

static void put_address(struct text *t, const char *name, const struct flow_key *key,
			const uint8_t ip[16])
{
	char text[INET6_ADDRSTRLEN];

	if (key->family == 4)
		inet_ntop(AF_INET, ip + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, ip, text, sizeof(text));
	put(t, ",\"%s\":\"%s\"", name, text);
}

static void put_flow_id(struct text *t, const struct flow_key *key)
{
	put(t, ",\"flow-id\":{\"afi\":\"ipv%u\"", key->family);
	put_address(t, "src-ip", key, key->src_ip);
	put_address(t, "dst-ip", key, key->dst_ip);
	if (key->protocol == IPPROTO_TCP)
		put(t, ",\"protocol\":\"tcp\"");
	else if (key->protocol == IPPROTO_UDP)
		put(t, ",\"protocol\":\"udp\"");
	else if (key->protocol == IPPROTO_SCTP)
		put(t, ",\"protocol\":\"sctp\"");
	else
		put(t, ",\"protocol\":\"%u\"", key->protocol);
	if (key->src_port)
		put(t, ",\"src-port\":%u", key->src_port);
	if (key->dst_port)
		put(t, ",\"dst-port\":%u", key->dst_port);
	put(t, "}");
}

static void put_context(struct text *t, const struct firefly *ff)
{
	int no_tag = ff->flags & FIREFLY_NO_TAG;

	put(t, ",\"context\":{\"experiment-id\":%u,\"activity-id\":%u",
	    no_tag ? 0 : ff->tag.experiment, no_tag ? 0 : ff->tag.activity);
	if (ff->application[0]) {
		put(t, ",\"application\":");
		put_string(t, ff->application);
	}
	put(t, "}");
}

/* As the flow's source sees it, unless the header names dCache: then its readers turn it. */
static void put_usage(struct text *t, const struct firefly *ff)
{
	int is_dst_view = ff->producer == FIREFLY_DCACHE;
	uint64_t received = is_dst_view ? ff->src_to_dst_bytes : ff->dst_to_src_bytes;
	uint64_t sent = is_dst_view ? ff->dst_to_src_bytes : ff->src_to_dst_bytes;

	if (received == FIREFLY_BYTES_UNSAID && sent == FIREFLY_BYTES_UNSAID)
		return;
	put(t, ",\"usage\":{");
	if (received != FIREFLY_BYTES_UNSAID)
		put(t, "\"received\":%" PRIu64 "%s", received,
		    sent != FIREFLY_BYTES_UNSAID ? "," : "");
	if (sent != FIREFLY_BYTES_UNSAID)
		put(t, "\"sent\":%" PRIu64, sent);
	put(t, "}");
}

static int says_tcp(const struct firefly_tcp *tcp)
{
	static const struct firefly_tcp unsaid;

	return memcmp(tcp, &unsaid, sizeof(unsaid)) != 0;
}

/* flowd-go's lean names, its one capital included. */
static void put_tcp(struct text *t, const struct firefly_tcp *tcp, int64_t rtt_us)
{
	put(t, "\"Retransmits\":%" PRIu32 ",\"sndMss\":%" PRIu32 ",\"pMtu\":%" PRIu32,
	    tcp->retransmits, tcp->send_mss_bytes, tcp->path_mtu_bytes);
	put(t, ",\"rtt\":%" PRId64 ",\"rttVar\":%" PRIu32, rtt_us, tcp->rtt_var_us);
	put(t, ",\"sndSsThresh\":%" PRIu32 ",\"sndCwnd\":%" PRIu32 ",\"advMss\":%" PRIu32,
	    tcp->ssthresh_segments, tcp->cwnd_segments, tcp->advertised_mss_bytes);
	put(t, ",\"minRtt\":%" PRIu32 ",\"deliveryRate\":%" PRIu64 ",\"bytesSent\":%" PRIu64,
	    tcp->min_rtt_us, tcp->delivery_rate_bytes_per_s, tcp->sent_bytes);
}

/* Milliseconds where XRootD has them, microseconds where flowd-go has them. */
static void put_netlink(struct text *t, const struct firefly *ff)
{
	if (ff->rtt_us == FIREFLY_RTT_UNSAID)
		return;
	put(t, ",\"netlink\":{\"rtt\":%" PRId64 ".%03" PRId64 ",\"tcpInfo\":{", ff->rtt_us / 1000,
	    ff->rtt_us % 1000);
	if (says_tcp(&ff->tcp))
		put_tcp(t, &ff->tcp, ff->rtt_us);
	else
		put(t, "\"rtt\":%" PRId64, ff->rtt_us);
	put(t, "}");
	if (ff->tcp.congestion[0]) {
		put(t, ",\"cong\":{\"algorithm\":");
		put_string(t, ff->tcp.congestion);
		put(t, "}");
	}
	put(t, "}");
}

/* Sections that may be left out, the dearest first: each whole, with room for the closing brace, or
 * neither it nor those behind it. */
static void put_what_fits(struct text *t, const struct firefly *ff)
{
	static void (*const sections[])(struct text *, const struct firefly *) = {
		put_usage,
		put_netlink,
	};

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]) && !t->full; i++) {
		size_t before_bytes = t->len_bytes;

		sections[i](t, ff);
		if (t->full || t->len_bytes == t->cap_bytes) {
			t->len_bytes = before_bytes;
			t->full = 0;
			return;
		}
	}
}

int firefly_emit(const struct firefly *ff, void *buf, size_t cap_bytes)
{
	struct text t = {.buf = buf, .cap_bytes = cap_bytes};
	int64_t current_utc_us =
		ff->current_utc_us != FIREFLY_TIME_UNKNOWN ? ff->current_utc_us : ff->header_utc_us;

	if (t.cap_bytes > FIREFLY_EMIT_MAX_BYTES)
		t.cap_bytes = FIREFLY_EMIT_MAX_BYTES;
	put(&t, "<%d>1 ", PRIORITY);
	if (current_utc_us != FIREFLY_TIME_UNKNOWN)
		put_time(&t, current_utc_us);
	else
		put(&t, "-");
	put(&t, " ");
	put_word(&t, ff->host);
	put(&t, " ");
	put_word(&t, ff->app);
	put(&t, " - firefly-json - ");
	put_lifecycle(&t, ff, current_utc_us);
	put_flow_id(&t, &ff->key);
	put_context(&t, ff);
	put_what_fits(&t, ff);
	put(&t, "}");
	return t.full ? -ENOSPC : (int)t.len_bytes;
}
