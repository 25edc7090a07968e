/* The firefly input over loopback: every datagram is accounted for, claims add up, tables stay
 * bounded. Expected numbers follow from what was sent. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/clock.h"
#include "firefly/firefly.h"
#include "observer/flow_usage.h"
#include "observer/sender_limit.h"
#include "observer/source.h"

#define CLAIMS_MAX 4096 /* rows of one second */

struct bed { /* a store for the names, the source, a socket to send from */
	struct store *store;
	struct source *source;
	int fd;
	size_t n_claims;
	struct claim_row claims[3 * (CLAIMS_MAX + 1)]; /* what came out so far */
	struct source_status status;                   /* the newest */
};

static void keep(struct bed *bed, struct source_second *second)
{
	assert_int_equal(second->n_rows, 0);
	assert_int_equal(second->n_statuses, 1);
	bed->status = second->statuses[0];
	assert_true(bed->n_claims + second->n_claims <=
		    sizeof(bed->claims) / sizeof(bed->claims[0]));
	if (second->n_claims)
		memcpy(bed->claims + bed->n_claims, second->claims,
		       second->n_claims * sizeof(*bed->claims));
	bed->n_claims += second->n_claims;
	source_second_free(second);
}

static void take(struct bed *bed)
{
	struct source_second second = {0};

	source_ask(bed->source);
	assert_int_equal(source_take(bed->source, &second), 0);
	keep(bed, &second);
}

/* received = accepted + rejected + dropped, always */
static uint64_t rejected(const struct source_status *st, const char *name)
{
	uint64_t sum = st->accepted + st->dropped[0].count, found = 0;

	for (size_t i = 0; i < STORE_REASONS_MAX && st->rejected[i].name; i++) {
		sum += st->rejected[i].count;
		if (strcmp(st->rejected[i].name, name) == 0)
			found = st->rejected[i].count;
	}
	assert_int_equal(st->received, sum);
	return found;
}

static void wait_for(struct bed *bed, uint64_t received)
{
	for (int i = 0; i < 200; i++) {
		take(bed);
		rejected(&bed->status, "");
		if (bed->status.received >= received)
			break;
		usleep(10000);
	}
	assert_int_equal(bed->status.received, received);
}

static void open_bed(struct bed *bed, const char *listen, int family, const char *to)
{
	struct store_config config;
	struct source_context ctx = {0};
	struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
	uint16_t port;

	memset(bed, 0, sizeof(*bed));
	store_config_default(&config);
	config.url = "sqlite::memory:";
	assert_int_equal(store_open(&bed->store, &config), 0);
	ctx.store = bed->store;
	assert_int_equal(source_firefly_open(&bed->source, &ctx, listen), 0);
	take(bed);
	assert_int_equal(bed->status.kind, SOURCE_FIREFLY_INPUT);
	assert_int_equal(bed->status.received, 0);
	assert_int_equal(bed->status.first_seen_utc_s, CLOCK_NEVER);
	assert_string_equal(store_source_name(bed->store, bed->status.id), bed->status.name);

	port = htons((uint16_t)atoi(strrchr(bed->status.name, ':') + 1));
	assert_int_not_equal(port, 0);
	bed->fd = socket(family, SOCK_DGRAM, 0);
	if (family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;

		in6->sin6_port = port;
		assert_int_equal(inet_pton(AF_INET6, to, &in6->sin6_addr), 1);
	} else {
		struct sockaddr_in *in4 = (struct sockaddr_in *)&address;

		in4->sin_port = port;
		assert_int_equal(inet_pton(AF_INET, to, &in4->sin_addr), 1);
	}
	assert_int_equal(connect(bed->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void close_bed(struct bed *bed)
{
	source_close(bed->source, NULL);
	store_close(bed->store);
	close(bed->fd);
}

static void send_bytes(struct bed *bed, const void *bytes, size_t n)
{
	assert_int_equal(send(bed->fd, bytes, n, 0), (ssize_t)n);
}

static void send_firefly(struct bed *bed, int experiment, int activity, const char *state,
			 const char *application, const char *usage, const char *app)
{
	char text[1024];
	int n = snprintf(
		text, sizeof(text),
		"<134>1 2026-03-01T12:00:00Z h %s - firefly-json - {\"version\":1,"
		"\"flow-lifecycle\":{\"state\":\"%s\",\"start-time\":\"2026-03-01T12:00:00Z\","
		"\"end-time\":\"2026-03-01T12:00:00Z\"},\"flow-id\":{\"afi\":\"ipv6\","
		"\"src-ip\":\"2001:db8::1\",\"dst-ip\":\"2001:db8::2\",\"protocol\":\"tcp\","
		"\"src-port\":1,\"dst-port\":2},\"context\":{\"experiment-id\":%d,"
		"\"activity-id\":%d,\"application\":\"%s\"}%s}",
		app, state, experiment, activity, application, usage);

	send_bytes(bed, text, (size_t)n);
}

/* What came out so far for one experiment: a take may have cut a second in two. */
static struct claim_row sum_of(const struct bed *bed, int experiment)
{
	struct claim_row sum = {.experiment = experiment};

	for (size_t i = 0; i < bed->n_claims; i++) {
		const struct claim_row *row = &bed->claims[i];

		if (row->experiment != experiment)
			continue;
		assert_int_equal(row->family, 6);
		sum.activity = row->activity;
		memcpy(sum.application, row->application, sizeof(sum.application));
		sum.starts += row->starts;
		sum.ongoings += row->ongoings;
		sum.ends += row->ends;
		sum.bytes += row->bytes;
	}
	return sum;
}

static void claims_add_up(void **state)
{
	static struct bed bed;
	struct claim_row sum;

	(void)state;
	open_bed(&bed, "[::1]:0", AF_INET6, "::1");
	send_firefly(&bed, 2, 17, "start", "cp", "", "flowd");
	send_firefly(&bed, 2, 17, "ongoing", "cp", ",\"usage\":{\"sent\":99}", "flowd");
	send_firefly(&bed, 2, 17, "end", "cp", ",\"usage\":{\"received\":7,\"sent\":1000}",
		     "flowd");
	send_firefly(&bed, 2, 17, "end", "cp", ",\"usage\":{\"received\":500,\"sent\":1}", "flowd");
	send_firefly(&bed, 2, 17, "end", "cp", "", "flowd");
	send_firefly(&bed, 3, 14, "end", "http-put", ",\"usage\":{\"sent\":5}", "xrootd");
	wait_for(&bed, 6);
	assert_int_equal(bed.status.accepted, 6);
	assert_true(bed.status.bytes > 6 * 300 && bed.status.up);
	assert_true(bed.status.last_seen_utc_s >= bed.status.first_seen_utc_s &&
		    bed.status.first_seen_utc_s > 1700000000);
	assert_non_null(strstr(bed.status.detail, "flowd 5, xrootd 1"));
	sum = sum_of(&bed, 2);
	assert_int_equal(sum.activity, 17);
	assert_string_equal(sum.application, "cp");
	assert_int_equal(sum.starts, 1);
	assert_int_equal(sum.ongoings, 1);
	assert_int_equal(sum.ends, 3);
	assert_int_equal(sum.bytes, 1000 + 500); /* the data direction's */
	sum = sum_of(&bed, 3);
	assert_int_equal(sum.activity, 14);
	assert_string_equal(sum.application, "http-put");
	assert_int_equal(sum.ends, 1);
	assert_int_equal(sum.bytes, 5);
	/* handed over once */
	bed.n_claims = 0;
	take(&bed);
	assert_int_equal(bed.n_claims, 0);
	close_bed(&bed);
}

/* XRootD counts since its connection opened: 9000 at the first transfer's end, of which 1000 came
 * before it; 15000 at the second's, of which 9000 came before. The third lost its START. */
static void a_connection_s_bytes_are_not_counted_twice(void **state)
{
	static struct bed bed;

	(void)state;
	open_bed(&bed, "[::1]:0", AF_INET6, "::1");
	send_firefly(&bed, 4, 3, "start", "xrdcp", ",\"usage\":{\"received\":7,\"sent\":1000}",
		     "xrootd");
	send_firefly(&bed, 4, 3, "end", "xrdcp", ",\"usage\":{\"received\":9,\"sent\":9000}",
		     "xrootd");
	send_firefly(&bed, 5, 3, "start", "xrdcp", ",\"usage\":{\"received\":9,\"sent\":9000}",
		     "xrootd");
	send_firefly(&bed, 5, 3, "end", "xrdcp", ",\"usage\":{\"received\":11,\"sent\":15000}",
		     "xrootd");
	send_firefly(&bed, 6, 3, "end", "xrdcp", ",\"usage\":{\"received\":11,\"sent\":16000}",
		     "xrootd");
	wait_for(&bed, 5);
	assert_int_equal(sum_of(&bed, 4).bytes, 8000);
	assert_int_equal(sum_of(&bed, 5).bytes, 6000);
	assert_int_equal(sum_of(&bed, 6).bytes, 16000);
	close_bed(&bed);
}

/* More STARTs than places: the newest are the ones remembered. */
static void forgotten_starts_cost_nothing_else(void **state)
{
	struct flow_usage *u = flow_usage_open();
	struct firefly ff = {.flags = FIREFLY_USAGE_CUMULATIVE, .start_utc_us = 5};
	uint32_t known = 0;

	(void)state;
	for (uint32_t i = 0; i < 2 * FLOW_USAGE_MAX; i++) {
		memcpy(ff.key.src_ip, &i, sizeof(i));
		ff.state = FIREFLY_START;
		ff.src_to_dst_bytes = i;
		flow_usage_settle(u, &ff);
	}
	for (uint32_t i = 0; i < 2 * FLOW_USAGE_MAX; i++) {
		struct firefly end = ff;

		memcpy(end.key.src_ip, &i, sizeof(i));
		end.state = FIREFLY_END;
		end.src_to_dst_bytes = i + 100;
		flow_usage_settle(u, &end);
		if (!(end.flags & FIREFLY_USAGE_CUMULATIVE)) {
			assert_int_equal(end.src_to_dst_bytes, 100);
			known++;
		} else {
			assert_int_equal(end.src_to_dst_bytes, i + 100);
		}
	}
	/* every place holds one, but in the few sets (one in 24) that fewer than four came to */
	assert_in_range(known, FLOW_USAGE_MAX * 95 / 100, FLOW_USAGE_MAX);
	flow_usage_close(u);
}

static void rejects_are_counted_by_reason(void **state)
{
	static struct bed bed;
	static char largest[65507];

	(void)state;
	open_bed(&bed, ":0", AF_INET, "127.0.0.1"); /* dual stack: IPv4 arrives too */
	send_bytes(&bed, "", 0);
	send_bytes(&bed, "hello", 5);
	send_bytes(&bed, "{}", 2);
	memset(largest, ' ', sizeof(largest));
	send_bytes(&bed, largest, sizeof(largest));
	send_firefly(&bed, 1, 1, "paused", "cp", "", "flowd");
	send_firefly(&bed, 1, 1, "start", "cp", "", "flowd");
	wait_for(&bed, 6);
	assert_int_equal(bed.status.accepted, 1);
	assert_int_equal(rejected(&bed.status, "no_json"), 3);
	assert_int_equal(rejected(&bed.status, "bad_version"), 1);
	assert_int_equal(rejected(&bed.status, "bad_state"), 1);
	assert_int_equal(rejected(&bed.status, "rate_limited"), 0);
	close_bed(&bed);
}

/* More applications than rows: the sum of all is still there. */
static void a_flood_of_applications_is_folded(void **state)
{
	static struct bed bed;
	const int n = 6000;
	uint64_t sum = 0, other = 0;
	struct source_second rest = {0};

	(void)state;
	open_bed(&bed, "[::1]:0", AF_INET6, "::1");
	for (int i = 0; i < n; i++) {
		char application[32];

		snprintf(application, sizeof(application), "flood %d", i);
		send_firefly(&bed, 1 + i % 3, 1, "start", application, "", "flowd");
	}
	source_close(bed.source, &rest); /* reads what the kernel still holds */
	keep(&bed, &rest);
	assert_int_equal(bed.status.received, n);
	assert_int_equal(bed.status.accepted + bed.status.dropped[0].count, n);
	for (size_t i = 0; i < bed.n_claims; i++) {
		sum += bed.claims[i].starts;
		if (strcmp(bed.claims[i].application, "(other)") == 0) {
			other += bed.claims[i].starts;
			assert_int_equal(bed.claims[i].experiment, STORE_FOLDED);
		}
	}
	assert_int_equal(sum, bed.status.accepted);
	assert_true(bed.n_claims <= CLAIMS_MAX + 1);
	if (bed.status.accepted > CLAIMS_MAX) {
		assert_int_equal(bed.n_claims, CLAIMS_MAX + 1);
		assert_int_equal(other, bed.status.accepted - CLAIMS_MAX);
	}
	store_close(bed.store);
	close(bed.fd);
}

static void what_cannot_be_bound_is_an_error(void **state)
{
	static struct bed bed;
	struct source_context ctx = {0};
	struct source *second = NULL;

	(void)state;
	open_bed(&bed, "127.0.0.1:0", AF_INET, "127.0.0.1");
	ctx.store = bed.store;
	assert_int_equal(source_firefly_open(&second, &ctx, strchr(bed.status.name, ':') + 1),
			 -EADDRINUSE);
	assert_int_equal(source_firefly_open(&second, &ctx, "[2001:db8::5]:0"), -EADDRNOTAVAIL);
	assert_int_equal(source_firefly_open(&second, &ctx, "[::1:0"), -EINVAL);
	assert_int_equal(source_firefly_open(&second, &ctx, "10514"), -EINVAL);
	assert_null(second);
	close_bed(&bed);
}

static void a_sender_has_its_tokens_and_no_more(void **state)
{
	struct sender_limit *l = sender_limit_open(1000); /* one a millisecond */
	const uint8_t a[16] = {0x20, 1}, b[16] = {0x20, 2};
	int64_t now = 5 * NS_PER_S;
	int taken = 0;

	(void)state;
	for (int i = 0; i < 3000; i++)
		taken += sender_limit_take(l, a, now);
	assert_int_equal(taken, 1000);
	assert_int_equal(sender_limit_take(l, b, now), 1); /* another sender has its own */
	now += 10 * 1000000;
	for (taken = 0; sender_limit_take(l, a, now);)
		taken++;
	assert_int_equal(taken, 10);
	now += 3600 * NS_PER_S; /* never more than a second's worth */
	for (taken = 0; sender_limit_take(l, a, now);)
		taken++;
	assert_int_equal(taken, 1000);
	sender_limit_close(l);
}

/* 100,000 forged addresses push a busy sender out at most once in a while; nothing grows. */
static void forged_senders_do_not_grow_the_table(void **state)
{
	struct sender_limit *l = sender_limit_open(10);
	uint8_t ip[16] = {0x20};

	(void)state;
	for (uint32_t i = 0; i < 100000; i++) {
		memcpy(ip + 12, &i, 4);
		assert_int_equal(sender_limit_take(l, ip, NS_PER_S), 1);
	}
	sender_limit_close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_add_up),
		cmocka_unit_test(a_connection_s_bytes_are_not_counted_twice),
		cmocka_unit_test(forgotten_starts_cost_nothing_else),
		cmocka_unit_test(rejects_are_counted_by_reason),
		cmocka_unit_test(a_flood_of_applications_is_folded),
		cmocka_unit_test(what_cannot_be_bound_is_an_error),
		cmocka_unit_test(a_sender_has_its_tokens_and_no_more),
		cmocka_unit_test(forged_senders_do_not_grow_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
