/* The firefly input over loopback: every datagram is accounted for, what is good is handed over. Expected
 * numbers follow from what was sent. */
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
#include "observer/sender_limit.h"
#include "observer/source.h"

struct bed { /* a store for the names, the source, a socket to send from */
	struct store *store;
	struct source *source;
	int fd;
	size_t n_heard;
	struct heard heard[64];      /* what came out so far */
	struct source_status status; /* the newest */
};

static void keep(struct bed *bed, struct source_second *second)
{
	assert_int_equal(second->n_rows, 0);
	assert_int_equal(second->n_statuses, 1);
	bed->status = second->statuses[0];
	assert_int_equal(second->n_seen, 0);
	assert_true(bed->n_heard + second->n_heard <= sizeof(bed->heard) / sizeof(bed->heard[0]));
	if (second->n_heard)
		memcpy(bed->heard + bed->n_heard, second->heard,
		       second->n_heard * sizeof(*bed->heard));
	bed->n_heard += second->n_heard;
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
	uint64_t sum = st->accepted + st->dropped[0].count + st->dropped[1].count, found = 0;

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

/* Each comes out as it was parsed, with who sent it and when. */
static void what_is_heard_is_handed_over(void **state)
{
	static struct bed bed;
	uint8_t loopback[16] = {[15] = 1};
	const struct heard *h;

	(void)state;
	open_bed(&bed, "[::1]:0", AF_INET6, "::1");
	send_firefly(&bed, 2, 17, "start", "cp", "", "flowd");
	send_firefly(&bed, 2, 17, "ongoing", "cp", ",\"usage\":{\"sent\":99}", "flowd");
	send_firefly(&bed, 3, 14, "end", "http-put", ",\"usage\":{\"received\":7,\"sent\":5}",
		     "xrootd");
	wait_for(&bed, 3);
	assert_int_equal(bed.status.accepted, 3);
	assert_true(bed.status.bytes > 3 * 300 && bed.status.up);
	assert_true(bed.status.last_seen_utc_s >= bed.status.first_seen_utc_s &&
		    bed.status.first_seen_utc_s > 1700000000);
	assert_non_null(strstr(bed.status.detail, "flowd 2, xrootd 1"));
	assert_int_equal(bed.n_heard, 3);
	for (size_t i = 0; i < 3; i++) {
		h = &bed.heard[i];
		assert_memory_equal(h->sender_ip, loopback, 16);
		assert_in_range(h->heard_utc_us, bed.status.first_seen_utc_s * US_PER_S,
				(bed.status.last_seen_utc_s + 1) * US_PER_S);
		assert_int_equal(h->firefly.key.src_port, 1);
		assert_int_equal(h->firefly.key.dst_port, 2);
	}
	h = bed.heard;
	assert_int_equal(h[0].firefly.state, FIREFLY_START);
	assert_int_equal(h[0].firefly.tag.activity, 17);
	assert_string_equal(h[0].firefly.application, "cp");
	assert_int_equal(h[1].firefly.state, FIREFLY_ONGOING);
	assert_int_equal(h[1].firefly.src_to_dst_bytes, 99);
	assert_int_equal(h[2].firefly.state, FIREFLY_END);
	assert_int_equal(h[2].firefly.producer, FIREFLY_XROOTD);
	/* as its sender counts it: nothing is taken off here */
	assert_true(h[2].firefly.flags & FIREFLY_USAGE_CUMULATIVE);
	/* handed over once */
	bed.n_heard = 0;
	take(&bed);
	assert_int_equal(bed.n_heard, 0);
	close_bed(&bed);
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
		cmocka_unit_test(what_is_heard_is_handed_over),
		cmocka_unit_test(rejects_are_counted_by_reason),
		cmocka_unit_test(what_cannot_be_bound_is_an_error),
		cmocka_unit_test(a_sender_has_its_tokens_and_no_more),
		cmocka_unit_test(forged_senders_do_not_grow_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
