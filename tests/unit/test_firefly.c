/* Fireflies: our vectors with what must be read from each, every truncation of them, and what we
 * write read back. The real log and the dialect table of the protocol survey are used when present. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "base/clock.h"
#include "firefly/firefly.h"
#include "tests/unit/shared.h"

#define LINE_MAX_BYTES 8192

/* An exact-size heap copy: one byte too far is a report of the sanitizer. */
static enum firefly_verdict parse(struct firefly *ff, const char *bytes, size_t len_bytes)
{
	char *copy = malloc(len_bytes ? len_bytes : 1);
	enum firefly_verdict verdict;

	assert_non_null(copy);
	memcpy(copy, bytes, len_bytes);
	verdict = firefly_parse(ff, copy, len_bytes);
	free(copy);
	return verdict;
}

/* --- the vector file ------------------------------------------------------------------- */

static size_t unescape(char *text)
{
	char *to = text;

	for (char *from = text; *from; from++) {
		unsigned int byte;

		if (from[0] != '\\') {
			*to++ = *from;
			continue;
		}
		from++;
		if (*from == 'x' && sscanf(from + 1, "%2x", &byte) == 1) {
			*to++ = (char)byte;
			from += 2;
		} else {
			*to++ = *from == 'n'   ? '\n'
				: *from == 'r' ? '\r'
				: *from == '0' ? '\0'
					       : *from;
		}
	}
	*to = '\0';
	return (size_t)(to - text);
}

/* One fact of a parsed firefly as text; written from the header's description, not from the parser. */
static void render(char *out, size_t cap, const struct firefly *ff, const char *name)
{
	static const char *const states[] = {"none", "start", "ongoing", "end"};
	static const char *const flags[] = {
		"no_header", "odd_header",   "no_header_time", "duplicate",  "afi",       "no_tag",
		"repaired",  "bad_interval", "no_ports",       "odd_member", "cumulative"};
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	const struct flow_key *k = &ff->key;
	int64_t time = FIREFLY_TIME_UNKNOWN;
	uint64_t bytes;

	if (strcmp(name, "state") == 0) {
		snprintf(out, cap, "%s", states[ff->state]);
	} else if (strcmp(name, "producer") == 0) {
		snprintf(out, cap, "%s", firefly_producer_name(ff->producer));
	} else if (strcmp(name, "tag") == 0) {
		snprintf(out, cap, "%u/%u", ff->tag.experiment, ff->tag.activity);
	} else if (strcmp(name, "host") == 0) {
		snprintf(out, cap, "%s", ff->host);
	} else if (strcmp(name, "app") == 0) {
		snprintf(out, cap, "%s", ff->app);
	} else if (strcmp(name, "application") == 0) {
		snprintf(out, cap, "%s", ff->application);
	} else if (strcmp(name, "priority") == 0) {
		snprintf(out, cap, ff->priority < 0 ? "none" : "%d", ff->priority);
	} else if (strcmp(name, "rtt") == 0) {
		snprintf(out, cap, ff->rtt_us < 0 ? "unsaid" : "%" PRId64, ff->rtt_us);
	} else if (strcmp(name, "out") == 0 || strcmp(name, "back") == 0) {
		bytes = name[0] == 'o' ? ff->src_to_dst_bytes : ff->dst_to_src_bytes;
		snprintf(out, cap, bytes == UINT64_MAX ? "unsaid" : "%" PRIu64, bytes);
	} else if (strcmp(name, "flags") == 0) {
		out[0] = '\0';
		for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
			if (ff->flags & (1u << i))
				snprintf(out + strlen(out), cap - strlen(out), "%s%s",
					 out[0] ? "," : "", flags[i]);
		if (!out[0])
			snprintf(out, cap, "-");
	} else if (strcmp(name, "key") == 0) {
		assert_int_equal(k->pad, 0);
		inet_ntop(k->family == 4 ? AF_INET : AF_INET6,
			  k->src_ip + (k->family == 4 ? 12 : 0), src, sizeof(src));
		inet_ntop(k->family == 4 ? AF_INET : AF_INET6,
			  k->dst_ip + (k->family == 4 ? 12 : 0), dst, sizeof(dst));
		snprintf(out, cap, "%u %s %u %s %u ", k->family, src, k->src_port, dst,
			 k->dst_port);
		snprintf(out + strlen(out), cap - strlen(out),
			 k->protocol == 6    ? "tcp"
			 : k->protocol == 17 ? "udp"
					     : "%u",
			 k->protocol);
	} else {
		if (strcmp(name, "start") == 0)
			time = ff->start_utc_us;
		else if (strcmp(name, "end") == 0)
			time = ff->end_utc_us;
		else if (strcmp(name, "header") == 0)
			time = ff->header_utc_us;
		else if (strcmp(name, "current") == 0)
			time = ff->current_utc_us;
		else
			fail_msg("no fact is named %s", name);
		if (time == FIREFLY_TIME_UNKNOWN)
			snprintf(out, cap, "never");
		else
			clock_format_utc(out, cap, time, 6);
	}
}

/* "name=value name=value with blanks name=value" */
static void check_facts(const char *id, const struct firefly *ff, char *facts)
{
	while (*facts) {
		char *value = strchr(facts, '='), *next, *blank;
		char got[256];

		assert_non_null(value);
		*value++ = '\0';
		next = strchr(value, '=');
		blank = next ? memrchr(value, ' ', (size_t)(next - value)) : NULL;
		if (blank)
			*blank = '\0';
		unescape(value);
		render(got, sizeof(got), ff, facts);
		if (strcmp(got, value) != 0)
			fail_msg("%s: %s is \"%s\", not \"%s\"", id, facts, got, value);
		facts = blank ? blank + 1 : value + strlen(value);
		if (!blank)
			break;
	}
}

struct vector {
	char *id, *verdict, *facts, *datagram;
	size_t len_bytes;
};

/* Calls `check` for each line of our own file; returns how many there were. */
static int each_vector(void (*check)(const struct vector *v))
{
	FILE *f = fopen("tests/vectors/fireflies.tsv", "r");
	static char line[LINE_MAX_BYTES];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *at = line;
		struct vector v;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		v.id = strsep(&at, "\t");
		v.verdict = strsep(&at, "\t");
		v.facts = strsep(&at, "\t");
		strsep(&at, "\t"); /* the story is for the reader */
		v.datagram = at;
		assert_non_null(v.datagram);
		v.len_bytes = unescape(v.datagram);
		check(&v);
		n++;
	}
	fclose(f);
	return n;
}

static void check_vector(const struct vector *v)
{
	struct firefly ff, before;
	const char *got;

	memset(&ff, 0xA5, sizeof(ff));
	before = ff;
	got = firefly_verdict_name(parse(&ff, v->datagram, v->len_bytes));
	if (strcmp(got, v->verdict) != 0)
		fail_msg("%s: %s, not %s", v->id, got, v->verdict);
	if (strcmp(got, "ok") == 0)
		check_facts(v->id, &ff, v->facts);
	else
		assert_memory_equal(&ff, &before, sizeof(ff));
}

static void every_vector_reads_as_told(void **state)
{
	(void)state;
	assert_int_equal(each_vector(check_vector), 113);
}

static int is_trailer(char c)
{
	return c == '\0' || c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

/* What is accepted ends with the brace that closes the object. */
static void check_truncations(const struct vector *v)
{
	size_t object_end = v->len_bytes;

	while (object_end && is_trailer(v->datagram[object_end - 1]))
		object_end--;
	for (size_t n = 0; n < v->len_bytes; n++) {
		struct firefly ff;
		size_t end = n;

		if (parse(&ff, v->datagram, n) != FIREFLY_OK) {
			if (strcmp(v->verdict, "ok") == 0 && n >= object_end)
				fail_msg("%s cut to %zu bytes is whole, but refused", v->id, n);
			continue;
		}
		while (end && is_trailer(v->datagram[end - 1]))
			end--;
		assert_true(end > 0 && v->datagram[end - 1] == '}');
		if (strcmp(v->verdict, "ok") == 0 && n < object_end)
			fail_msg("%s cut to %zu bytes is accepted", v->id, n);
	}
}

static void every_truncation_is_refused_until_the_object_is_whole(void **state)
{
	(void)state;
	each_vector(check_truncations);
}

static void size_limit(void **state)
{
	static const char object[] =
		"{\"version\":1,\"flow-lifecycle\":{\"state\":\"start\"},\"flow-id\":{\"afi\":"
		"\"ipv4\","
		"\"src-ip\":\"192.0.2.1\",\"dst-ip\":\"192.0.2.2\",\"protocol\":\"tcp\","
		"\"src-port\":1,\"dst-port\":2}}";
	static char payload[65508];
	struct firefly ff;

	(void)state;
	memset(payload, '\n', sizeof(payload));
	memcpy(payload, object, sizeof(object) - 1);
	assert_int_equal(parse(&ff, payload, 65507), FIREFLY_OK);
	assert_int_equal(parse(&ff, payload, 65508), FIREFLY_TOO_LONG);
	assert_int_equal(firefly_parse(&ff, NULL, 0), FIREFLY_NO_JSON);
}

static void names_are_distinct(void **state)
{
	(void)state;
	for (int a = 0; a < FIREFLY_VERDICT_COUNT; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(firefly_verdict_name(a), firefly_verdict_name(b));
	for (int a = 0; a < FIREFLY_PRODUCER_COUNT; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(firefly_producer_name(a), firefly_producer_name(b));
}

/* --- a log of our own making ------------------------------------------------------------- */

/* 5,000 lines as syslog-ng writes them; all numbers follow from i, so each line is checked. */
static void a_synthetic_log_is_read_whole(void **state)
{
	static const struct {
		const char *app;
		enum firefly_producer number;
	} producers[] = {{"flowd", FIREFLY_FLOWD},
			 {"flowd-go-v2.4.2", FIREFLY_FLOWD_GO},
			 {"xrootd", FIREFLY_XROOTD},
			 {"dCache", FIREFLY_DCACHE}};
	int starts = 0, ends = 0;

	(void)state;
	for (unsigned int i = 0; i < 5000; i++) {
		/* 13 Jan 2026 00:00:00 UTC is day 20466: 56 years and 14 leap days since 1970, then 12 */
		int64_t start_utc_us = 20466LL * 86400 * US_PER_S + i * 1000037LL;
		unsigned int second = (unsigned int)(i * 1000037LL / US_PER_S);
		unsigned int us = (unsigned int)(i * 1000037LL % US_PER_S);
		int is_end = i % 3 == 0;
		char line[1024], start[64];
		struct firefly ff;
		int n;

		snprintf(start, sizeof(start), "2026-01-13T%02u:%02u:%02u.%06u+00:00",
			 second / 3600, second / 60 % 60, second % 60, us);
		n = snprintf(
			line, sizeof(line),
			"Jan 13 %02u:%02u:%02u dtn%u 1 %s dtn%u.example.net %s - firefly-json - "
			"{\"flow-id\": {\"protocol\": \"tcp\", \"afi\": \"ipv6\", \"dst-ip\": "
			"\"2001:db8:b::%x\", \"src-port\": %u, \"src-ip\": \"2001:db8:a::%x\", "
			"\"dst-port\": %u}, \"version\": 1, \"flow-lifecycle\": {\"state\": "
			"\"%s\", "
			"%s%s%s\"start-time\": \"%s\", \"current-time\": \"%s\"}, \"context\": "
			"{\"experiment-id\": %u, \"application\": \"copy %u\", \"activity-id\": "
			"%u}}\n",
			second / 3600, second / 60 % 60, second % 60, i % 7, start, i % 7,
			producers[i % 4].app, i + 1, 1 + i % 65535, i + 0x100, 65535 - i,
			is_end ? "end" : "start", is_end ? "\"end-time\": \"" : "",
			is_end ? start : "", is_end ? "\", " : "", start, start, 1 + i % 14, i,
			1 + i % 26);
		assert_in_range(n, 1, sizeof(line) - 1);
		assert_int_equal(parse(&ff, line, (size_t)n), FIREFLY_OK);
		assert_int_equal(ff.flags, 0);
		assert_int_equal(ff.producer, producers[i % 4].number);
		assert_int_equal(ff.state, is_end ? FIREFLY_END : FIREFLY_START);
		assert_int_equal(ff.start_utc_us, start_utc_us);
		assert_int_equal(ff.header_utc_us, start_utc_us);
		assert_int_equal(ff.end_utc_us, is_end ? start_utc_us : FIREFLY_TIME_UNKNOWN);
		assert_int_equal(ff.tag.experiment, 1 + i % 14);
		assert_int_equal(ff.tag.activity, 1 + i % 26);
		assert_int_equal(ff.key.src_port, 1 + i % 65535);
		assert_int_equal(ff.key.dst_port, 65535 - i);
		assert_int_equal(ff.key.src_ip[15] + 256 * ff.key.src_ip[14], i + 0x100);
		assert_int_equal(ff.key.dst_ip[15] + 256 * ff.key.dst_ip[14], i + 1);
		starts += ff.state == FIREFLY_START;
		ends += ff.state == FIREFLY_END;
	}
	assert_int_equal(starts, 3333);
	assert_int_equal(ends, 1667);
}

/* --- what others measured, when present ---------------------------------------------------- */

static FILE *open_shared(const char *name)
{
	char path[512];
	FILE *f;

	if (shared_missing(path, sizeof(path), name))
		skip();
	f = fopen(path, "r");
	assert_non_null(f);
	return f;
}

static void the_survey_s_dialects_get_their_verdicts(void **state)
{
	FILE *f = open_shared("data/firefly-dialects.tsv");
	static char line[LINE_MAX_BYTES];
	int n = 0;

	(void)state;
	while (fgets(line, sizeof(line), f)) {
		char *at = line, *id = strsep(&at, "\t"), *verdict = strsep(&at, "\t");
		struct firefly ff;
		size_t len_bytes;

		if (id[0] != 'F')
			continue;
		strsep(&at, "\t");
		assert_non_null(at);
		at[strcspn(at, "\n")] = '\0';
		len_bytes = unescape(at);
		if ((parse(&ff, at, len_bytes) == FIREFLY_OK) != (strncmp(verdict, "ok", 2) == 0))
			fail_msg("%s should be: %s", id, verdict);
		if (strcmp(id, "F09") == 0) {
			assert_int_equal(ff.end_utc_us - ff.start_utc_us, 20500000);
			assert_int_equal(ff.end_utc_us, ff.current_utc_us);
		}
		n++;
	}
	fclose(f);
	assert_int_equal(n, 25);
}

static void the_real_log_is_read_whole(void **state)
{
	FILE *f = open_shared("data/fireflies-real.log");
	static char line[LINE_MAX_BYTES];
	int n = 0, starts = 0, ends = 0;

	(void)state;
	while (fgets(line, sizeof(line), f)) {
		struct firefly ff;

		assert_int_equal(parse(&ff, line, strlen(line)), FIREFLY_OK);
		assert_int_equal(ff.tag.activity, 1);
		assert_true(ff.tag.experiment == 16 || ff.tag.experiment == 23);
		assert_int_equal(ff.producer, FIREFLY_FLOWD);
		assert_int_equal(ff.flags, 0);
		starts += ff.state == FIREFLY_START;
		ends += ff.state == FIREFLY_END;
		n++;
	}
	fclose(f);
	assert_int_equal(n, 5000);
	assert_int_equal(starts + ends, n);
	assert_true(starts > 2000 && ends > 2000);
}

static void a_log_without_fireflies_is_refused(void **state)
{
	FILE *f = open_shared("data/messages.log");
	static char line[LINE_MAX_BYTES];

	(void)state;
	while (fgets(line, sizeof(line), f)) {
		struct firefly ff;

		assert_int_equal(parse(&ff, line, strlen(line)), FIREFLY_NO_JSON);
	}
	fclose(f);
}

/* --- what we write ------------------------------------------------------------------------ */

static struct firefly an_end(void)
{
	struct firefly ff = {
		.state = FIREFLY_END,
		.producer = FIREFLY_OURS,
		.priority = 134,
		.tag = {3, 14},
		.header_utc_us = 1768035620500623,
		.current_utc_us = 1768035620500623, /* 2026-01-10T09:00:20.500623Z */
		.start_utc_us = 1768035600000000,
		.end_utc_us = 1768035620500000,
		.src_to_dst_bytes = 5368709120,
		.dst_to_src_bytes = 4096,
		.rtt_us = 10250,
		.application = "scitag-marker 1.0",
		.host = "dtn1.example.org",
		.app = "scitag-marker",
	};

	inet_pton(AF_INET6, "2001:db8:1::10", ff.key.src_ip);
	inet_pton(AF_INET6, "2001:db8:2::20", ff.key.dst_ip);
	ff.key.src_port = 1094;
	ff.key.dst_port = 40000;
	ff.key.protocol = 6;
	ff.key.family = 6;
	return ff;
}

/* Member order, six digits and offset are the framework's form; the times were worked out with
 * date -u -d @1768035620. */
static void an_end_is_written_letter_by_letter(void **state)
{
	static const char expected[] =
		"<134>1 2026-01-10T09:00:20.500623+00:00 dtn1.example.org scitag-marker - "
		"firefly-json - "
		"{\"version\":1,\"flow-lifecycle\":{\"state\":\"end\","
		"\"current-time\":\"2026-01-10T09:00:20.500623+00:00\","
		"\"start-time\":\"2026-01-10T09:00:00.000000+00:00\","
		"\"end-time\":\"2026-01-10T09:00:20.500000+00:00\"},"
		"\"flow-id\":{\"afi\":\"ipv6\",\"src-ip\":\"2001:db8:1::10\","
		"\"dst-ip\":\"2001:db8:2::20\",\"protocol\":\"tcp\",\"src-port\":1094,"
		"\"dst-port\":40000},"
		"\"context\":{\"experiment-id\":3,\"activity-id\":14,"
		"\"application\":\"scitag-marker 1.0\"},"
		"\"usage\":{\"received\":4096,\"sent\":5368709120},"
		"\"netlink\":{\"rtt\":10.250,\"tcpInfo\":{\"rtt\":10250}}}";
	struct firefly ff = an_end();
	char buf[2048];
	int n = firefly_emit(&ff, buf, sizeof(buf));

	(void)state;
	assert_int_equal(n, sizeof(expected) - 1);
	assert_memory_equal(buf, expected, sizeof(expected) - 1);
}

static void assert_same(const struct firefly *a, const struct firefly *b)
{
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->producer, b->producer);
	assert_int_equal(a->flags, b->flags);
	assert_memory_equal(&a->key, &b->key, sizeof(a->key));
	assert_int_equal(a->tag.experiment, b->tag.experiment);
	assert_int_equal(a->tag.activity, b->tag.activity);
	assert_int_equal(a->header_utc_us, b->header_utc_us);
	assert_int_equal(a->current_utc_us, b->current_utc_us);
	assert_int_equal(a->start_utc_us, b->start_utc_us);
	assert_int_equal(a->end_utc_us, b->end_utc_us);
	assert_int_equal(a->src_to_dst_bytes, b->src_to_dst_bytes);
	assert_int_equal(a->dst_to_src_bytes, b->dst_to_src_bytes);
	assert_int_equal(a->rtt_us, b->rtt_us);
	assert_memory_equal(&a->tcp, &b->tcp, sizeof(a->tcp));
	assert_int_equal(a->priority, b->priority);
	assert_string_equal(a->application, b->application);
	assert_string_equal(a->host, b->host);
	assert_string_equal(a->app, b->app);
}

static void there_and_back(struct firefly ff)
{
	char buf[2048];
	int n = firefly_emit(&ff, buf, sizeof(buf));
	struct firefly again;

	assert_in_range(n, 1, FIREFLY_EMIT_MAX_BYTES);
	assert_int_equal(parse(&again, buf, (size_t)n), FIREFLY_OK);
	assert_same(&ff, &again);
}

static void what_is_written_reads_the_same(void **state)
{
	struct firefly ff = an_end();

	(void)state;
	there_and_back(ff);
	ff.state = FIREFLY_ONGOING;
	ff.end_utc_us = FIREFLY_TIME_UNKNOWN;
	ff.src_to_dst_bytes = FIREFLY_BYTES_UNSAID;
	there_and_back(ff);
	ff.state = FIREFLY_START;
	ff.dst_to_src_bytes = FIREFLY_BYTES_UNSAID;
	ff.rtt_us = FIREFLY_RTT_UNSAID;
	ff.application[0] = '\0';
	ff.host[0] = '\0';
	there_and_back(ff);
	ff.start_utc_us = FIREFLY_TIME_UNKNOWN;
	there_and_back(ff);
	ff.tag = (struct scitag){0, 0};
	ff.flags = FIREFLY_NO_TAG;
	there_and_back(ff);
	/* no clock at all: the header's dash */
	ff.current_utc_us = ff.header_utc_us = FIREFLY_TIME_UNKNOWN;
	ff.flags |= FIREFLY_NO_HEADER_TIME;
	there_and_back(ff);

	ff = an_end();
	ff.key.family = 4;
	memset(ff.key.src_ip, 0, 10);
	memset(ff.key.src_ip + 10, 0xFF, 2);
	memcpy(ff.key.dst_ip, ff.key.src_ip, 12);
	memcpy(ff.key.src_ip + 12, (uint8_t[]){192, 0, 2, 1}, 4);
	memcpy(ff.key.dst_ip + 12, (uint8_t[]){203, 0, 113, 255}, 4);
	ff.key.protocol = 17;
	there_and_back(ff);
	ff.key.protocol = 132;
	there_and_back(ff);
	ff.key.protocol = 1;
	ff.key.src_port = ff.key.dst_port = 0;
	ff.flags = FIREFLY_NO_PORTS;
	there_and_back(ff);

	ff = an_end();
	snprintf(ff.application, sizeof(ff.application),
		 "quote\" back\\slash \t\x01 caf\xC3\xA9 {}");
	there_and_back(ff);
	ff.tcp = (struct firefly_tcp){.sent_bytes = 5368709121,
				      .delivery_rate_bytes_per_s = 1250000000,
				      .rtt_var_us = 1,
				      .min_rtt_us = 2,
				      .retransmits = 3,
				      .cwnd_segments = 4,
				      .ssthresh_segments = 5,
				      .send_mss_bytes = 6,
				      .advertised_mss_bytes = 7,
				      .path_mtu_bytes = 8,
				      .congestion = "cubic"};
	there_and_back(ff);
	memset(&ff.tcp, 0xFF, sizeof(ff.tcp)); /* the largest there is */
	ff.tcp.sent_bytes = ff.tcp.delivery_rate_bytes_per_s = INT64_MAX;
	memset(ff.tcp.congestion, 0, sizeof(ff.tcp.congestion));
	memset(ff.tcp.congestion, 'c', sizeof(ff.tcp.congestion) - 1);
	there_and_back(ff);
	memset(ff.application, 0x01,
	       sizeof(ff.application) - 1); /* the longest there is, escaped */
	memset(ff.host, 'h', sizeof(ff.host) - 1);
	ff.src_to_dst_bytes = ff.dst_to_src_bytes = INT64_MAX - 1;
	ff.rtt_us = UINT32_MAX;
	memset(ff.app + strlen(ff.app), 'a', sizeof(ff.app) - 1 - strlen(ff.app));
	there_and_back(ff);

	/* other producers keep their view of usage under their name */
	ff = an_end();
	ff.producer = FIREFLY_DCACHE;
	snprintf(ff.app, sizeof(ff.app), "dCache");
	there_and_back(ff);
}

static void hostile_header_words_cannot_move_the_json(void **state)
{
	struct firefly ff = an_end(), again;
	char buf[2048];
	int n;

	(void)state;
	snprintf(ff.host, sizeof(ff.host), "a b{c\nd");
	snprintf(ff.app, sizeof(ff.app), "scitag {\"version\":2}");
	n = firefly_emit(&ff, buf, sizeof(buf));
	assert_int_equal(parse(&again, buf, (size_t)n), FIREFLY_OK);
	assert_string_equal(again.host, "a?b?c?d");
	assert_int_equal(again.src_to_dst_bytes, ff.src_to_dst_bytes);
}

/* Every capacity: never a byte more, and what is left out is left out in order. */
static void less_room_drops_netlink_then_usage(void **state)
{
	struct firefly ff = an_end();
	char whole[2048];
	int full_bytes = firefly_emit(&ff, whole, sizeof(whole)), seen[4] = {0};

	(void)state;
	for (int cap = 0; cap <= full_bytes; cap++) {
		char *buf = malloc((size_t)cap + 1); /* +1: malloc(0) */
		int n = firefly_emit(&ff, buf, (size_t)cap);
		struct firefly again;

		if (n < 0) {
			assert_int_equal(n, -ENOSPC);
			assert_int_equal(seen[1] + seen[2] + seen[3], 0);
			seen[0]++;
		} else {
			int kind;

			assert_in_range(n, 1, cap);
			assert_int_equal(parse(&again, buf, (size_t)n), FIREFLY_OK);
			kind = again.rtt_us != FIREFLY_RTT_UNSAID               ? 3
			       : again.src_to_dst_bytes != FIREFLY_BYTES_UNSAID ? 2
										: 1;
			assert_true(kind < 3 || again.src_to_dst_bytes == ff.src_to_dst_bytes);
			seen[kind]++;
		}
		free(buf);
	}
	/* lengths of the two sections, counted: ,"usage":{"received":4096,"sent":5368709120} is 44
	 * and ,"netlink":{"rtt":10.250,"tcpInfo":{"rtt":10250}} is 49 bytes */
	assert_int_equal(seen[3], 1);
	assert_int_equal(seen[2], 49);
	assert_int_equal(seen[1], 44);
	assert_int_equal(seen[0], full_bytes - 93);
}

/* flowd-go 2.4 writes Retransmits with a capital; the rest is in microseconds and bytes. */
static void the_kernel_s_words_have_flowd_go_s_names(void **state)
{
	static const char expected[] =
		",\"netlink\":{\"rtt\":10.250,\"tcpInfo\":{\"Retransmits\":3,\"sndMss\":1428,"
		"\"pMtu\":1500,\"rtt\":10250,\"rttVar\":120,\"sndSsThresh\":64,\"sndCwnd\":128,"
		"\"advMss\":1440,\"minRtt\":9800,\"deliveryRate\":1250000000,"
		"\"bytesSent\":5368709121},\"cong\":{\"algorithm\":\"cubic\"}}}";
	struct firefly ff = an_end();
	char buf[2048];
	int n;

	(void)state;
	ff.tcp = (struct firefly_tcp){.sent_bytes = 5368709121,
				      .delivery_rate_bytes_per_s = 1250000000,
				      .rtt_var_us = 120,
				      .min_rtt_us = 9800,
				      .retransmits = 3,
				      .cwnd_segments = 128,
				      .ssthresh_segments = 64,
				      .send_mss_bytes = 1428,
				      .advertised_mss_bytes = 1440,
				      .path_mtu_bytes = 1500,
				      .congestion = "cubic"};
	n = firefly_emit(&ff, buf, sizeof(buf));
	assert_in_range(n, sizeof(expected), FIREFLY_EMIT_MAX_BYTES);
	assert_memory_equal(buf + n - (sizeof(expected) - 1), expected, sizeof(expected) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_s_words_have_flowd_go_s_names),
		cmocka_unit_test(every_vector_reads_as_told),
		cmocka_unit_test(every_truncation_is_refused_until_the_object_is_whole),
		cmocka_unit_test(size_limit),
		cmocka_unit_test(names_are_distinct),
		cmocka_unit_test(a_synthetic_log_is_read_whole),
		cmocka_unit_test(the_survey_s_dialects_get_their_verdicts),
		cmocka_unit_test(the_real_log_is_read_whole),
		cmocka_unit_test(a_log_without_fireflies_is_refused),
		cmocka_unit_test(an_end_is_written_letter_by_letter),
		cmocka_unit_test(what_is_written_reads_the_same),
		cmocka_unit_test(hostile_header_words_cannot_move_the_json),
		cmocka_unit_test(less_room_drops_netlink_then_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
