/* The listener between programs and collectors, on loopback: bytes, directions, loops, dead ends. */
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
#include "base/log.h"
#include "firefly/firefly.h"
#include "marker/relay.h"
#include "marker/sender.h"

/* --- directions -------------------------------------------------------------------------------- */

static struct firefly named(enum firefly_producer producer, const char *application)
{
	struct firefly ff = {
		.producer = producer,
		.key = {.src_port = 1094, .dst_port = 40000, .protocol = 6, .family = 6}};

	ff.key.src_ip[15] = 1;
	ff.key.dst_ip[15] = 2;
	snprintf(ff.application, sizeof(ff.application), "%s", application);
	return ff;
}

/* 1: the named source is the local one; 2: the destination; negative: neither */
static int local_end(const struct firefly *ff, int src_is_local, int dst_is_local)
{
	struct flow_key key;
	int err = relay_orient(&key, ff, src_is_local, dst_is_local);

	if (err)
		return err;
	assert_int_equal(key.src_port, key.src_ip[15] == 1 ? 1094 : 40000);
	assert_int_equal(key.dst_ip[15], 3 - key.src_ip[15]);
	assert_int_equal(key.dst_port, key.src_ip[15] == 1 ? 40000 : 1094);
	return key.src_ip[15];
}

static void the_local_end_is_the_source(void **state)
{
	struct firefly xrootd = named(FIREFLY_XROOTD, "xrdcp");
	struct firefly put = named(FIREFLY_XROOTD, "http-put");
	struct firefly dcache = named(FIREFLY_DCACHE, "xrootd");

	assert_int_equal(local_end(&xrootd, 1, 0), 1);
	assert_int_equal(local_end(&xrootd, 0, 1), 2);
	assert_int_equal(local_end(&dcache, 0, 1), 2);
	assert_int_equal(local_end(&dcache, 1, 0), 1);
	assert_int_equal(local_end(&put, 0, 1), 2);
	assert_int_equal(local_end(&dcache, 0, 0), -ENOENT);
	/* both programs on one host: the one that speaks is known by its dialect */
	assert_int_equal(local_end(&xrootd, 1, 1), 1);
	assert_int_equal(local_end(&put, 1, 1), 2);
	assert_int_equal(local_end(&dcache, 1, 1), 2);
}

/* --- on loopback ------------------------------------------------------------------------------- */

static int open_udp(int family, char *text, size_t cap_bytes)
{
	struct sockaddr_storage self = {.ss_family = (sa_family_t)family};
	socklen_t n = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	struct timeval patience = {.tv_usec = 200000};
	int fd = socket(family, SOCK_DGRAM, 0);

	if (family == AF_INET)
		((struct sockaddr_in *)&self)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&self)->sin6_addr = in6addr_loopback;
	assert_int_equal(bind(fd, (struct sockaddr *)&self, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &n), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	snprintf(text, cap_bytes, family == AF_INET ? "127.0.0.1:%u" : "[::1]:%u",
		 ntohs(((struct sockaddr_in *)&self)->sin_port));
	return fd;
}

static struct scene {
	int collector4, collector6, producer;
	char text4[64], text6[64], text_producer[64];
	struct sender *sender;
	struct relay *relay;
	struct sockaddr_in listener;
	struct rules_flow_event events[16];
	size_t n_events;
} s;

static void handle(void *arg, const struct rules_flow_event *e)
{
	assert_true(s.n_events < 16);
	s.events[s.n_events++] = *e;
}

static int setup(void **state)
{
	const struct sender_options options = {.rate_per_s = 1000};
	char free_port[64];
	int fd;

	s = (struct scene){.n_events = 0};
	s.collector4 = open_udp(AF_INET, s.text4, sizeof(s.text4));
	s.collector6 = open_udp(AF_INET6, s.text6, sizeof(s.text6));
	s.producer = open_udp(AF_INET, s.text_producer, sizeof(s.text_producer));
	fd = open_udp(AF_INET, free_port, sizeof(free_port)); /* one that is free */
	close(fd);
	assert_int_equal(sender_open(&s.sender, &options), 0);
	assert_int_equal(sender_add_collector(s.sender, "name.invalid", 10514, 0), 0);
	assert_int_equal(sender_add_collector(s.sender, "192.0.2.1", 1, 0), 0);
	assert_int_equal(sender_add_collector(s.sender, s.text4, 10514, 0), 0);
	assert_int_equal(sender_add_collector(s.sender, s.text6, 10514, 0), 0);
	assert_int_equal(sender_add_collector(s.sender, s.text6, 10514, 0), 0); /* twice is once */
	s.listener =
		(struct sockaddr_in){.sin_family = AF_INET,
				     .sin_port = htons((uint16_t)atoi(strchr(free_port, ':') + 1)),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(relay_open(&s.relay, "127.0.0.1", ntohs(s.listener.sin_port), s.sender),
			 0);
	return 0;
}

static int teardown(void **state)
{
	struct relay_counters c;
	uint64_t rejected = 0;

	relay_count(s.relay, &c);
	for (int i = 0; i < FIREFLY_VERDICT_COUNT; i++)
		rejected += c.rejected[i];
	assert_int_equal(c.received, c.relayed + rejected + c.repeated + c.paced);
	relay_close(s.relay);
	sender_close(s.sender);
	close(s.collector4);
	close(s.collector6);
	close(s.producer);
	return 0;
}

static void put(const void *bytes, size_t n)
{
	assert_int_equal(
		sendto(s.producer, bytes, n, 0, (struct sockaddr *)&s.listener, sizeof(s.listener)),
		n);
	relay_drain(s.relay, handle, NULL);
}

static void assert_gets(int fd, const void *bytes, size_t n)
{
	char buf[65536];

	assert_int_equal(recv(fd, buf, sizeof(buf), 0), n);
	assert_memory_equal(buf, bytes, n);
}

static void assert_gets_nothing(int fd)
{
	char buf[65536];

	assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), -1);
}

/* dCache's way: the header names the flow's source, times end in Z, src is the client, and a newline
 * and a NUL follow that nobody asked for. */
static const char dcache_start[] =
	"<134>1 2026-01-10T09:00:00.123Z 192.0.2.77 dCache - firefly-json - "
	"{\"version\":1,\"flow-lifecycle\":{\"state\":\"start\",\"start-time\":\"2026-01-10T09:00:"
	"00."
	"123Z\",\"current-time\":\"2026-01-10T09:00:00.123Z\"},\"usage\":{},\"context\":{"
	"\"experiment-id\":3,\"activity-id\":14,\"application\":\"xrootd\"},\"flow-id\":{\"afi\":"
	"\"ipv4\",\"src-ip\":\"192.0.2.77\",\"dst-ip\":\"127.0.0.1\",\"src-port\":51000,"
	"\"dst-port\":1094,\"protocol\":\"tcp\"}}\n";

static void the_bytes_go_on_as_they_came(void **state)
{
	struct relay_counters c;
	struct sender_counters t;

	put(dcache_start, sizeof(dcache_start)); /* its NUL too */
	assert_gets(s.collector4, dcache_start, sizeof(dcache_start));
	assert_gets(s.collector6, dcache_start, sizeof(dcache_start));
	assert_gets_nothing(s.collector6);
	assert_int_equal(s.n_events, 1);
	assert_int_equal(s.events[0].event, RULES_START);
	assert_int_equal(s.events[0].tag.experiment, 3);
	assert_int_equal(s.events[0].key.src_port, 1094);
	assert_int_equal(s.events[0].key.dst_port, 51000);
	assert_int_equal(s.events[0].key.src_ip[12], 127);
	assert_int_equal(s.events[0].key.dst_ip[12], 192);
	relay_count(s.relay, &c);
	assert_int_equal(c.relayed, 1);
	/* the name that has no address was counted, and was nothing to the others */
	sender_count(s.sender, 0, &t);
	assert_int_equal(t.failed[SENDER_UNRESOLVED], 1);
	sender_count(s.sender, 3, &t);
	assert_string_equal(t.name + strlen(t.name) - strlen(strrchr(s.text6, ':') + 1),
			    strrchr(s.text6, ':') + 1);
	assert_int_equal(t.sent, 1);
	assert_int_equal(sender_targets(s.sender), 4);
}

static void what_was_seen_is_dropped(void **state)
{
	struct relay_counters c;

	put(dcache_start, sizeof(dcache_start) - 1);
	put(dcache_start, sizeof(dcache_start) - 1);
	assert_gets(s.collector4, dcache_start, sizeof(dcache_start) - 1);
	assert_gets_nothing(s.collector4);
	put(dcache_start, sizeof(dcache_start) - 2); /* other bytes are another one */
	assert_gets(s.collector4, dcache_start, sizeof(dcache_start) - 2);
	relay_count(s.relay, &c);
	assert_int_equal(c.repeated, 1);
	assert_int_equal(s.n_events, 2);
}

static void a_minute_later_it_is_new(void **state)
{
	int64_t now = clock_mono_ns();

	assert_int_equal(sender_seen(s.sender, "abc", 3, now), 0);
	assert_int_equal(sender_seen(s.sender, "abc", 3, now + 59 * NS_PER_S), 1);
	assert_int_equal(sender_seen(s.sender, "abd", 3, now), 0);
	assert_int_equal(sender_seen(s.sender, "abd", 3, now + 60 * NS_PER_S), 0);
	/* a bounded memory: a hundred thousand others, and the last ones are still known */
	for (int i = 0; i < 100000; i++)
		assert_int_equal(sender_seen(s.sender, &i, sizeof(i), now + i), 0);
	for (int i = 99000; i < 100000; i++)
		assert_int_equal(sender_seen(s.sender, &i, sizeof(i), now + 100000 + i), 1);
}

static void nothing_goes_back_to_where_it_came_from(void **state)
{
	struct sender_counters t;

	assert_int_equal(sender_add_collector(s.sender, s.text_producer, 10514, 0), 0);
	put(dcache_start, sizeof(dcache_start) - 1);
	assert_gets(s.collector4, dcache_start, sizeof(dcache_start) - 1);
	assert_gets_nothing(s.producer);
	sender_count(s.sender, 4, &t);
	assert_int_equal(t.skipped, 1);
	assert_int_equal(t.sent, 0);
}

static void a_target_for_relayed_ones_gets_no_other(void **state)
{
	assert_int_equal(sender_add_collector(s.sender, s.text_producer, 10514, 1), 0);
	sender_send(s.sender, "ours", 4, NULL, NULL);
	assert_gets(s.collector4, "ours", 4);
	assert_gets_nothing(s.producer);
}

static void what_is_no_firefly_goes_nowhere(void **state)
{
	static const char broken[] = "<134>1 - h flowd - firefly-json - {\"version\":1}";
	struct relay_counters c;

	put("", 0);
	put("hello", 5);
	put(broken, sizeof(broken) - 1);
	assert_gets_nothing(s.collector4);
	assert_int_equal(s.n_events, 0);
	relay_count(s.relay, &c);
	assert_int_equal(c.received, 3);
	assert_int_equal(c.rejected[FIREFLY_NO_JSON], 2);
	assert_int_equal(c.rejected[FIREFLY_NO_FLOW_ID], 1);
}

static void a_flow_of_others_is_relayed_not_marked(void **state)
{
	static const char theirs[] =
		"<134>1 - h xrootd - firefly-json - {\"version\":1,\"flow-lifecycle\":{\"state\":"
		"\"start\",\"start-time\":\"2026-01-10T09:00:00+00:00\"},\"context\":{\"experiment-"
		"id\":"
		"3,\"activity-id\":14},\"flow-id\":{\"afi\":\"ipv6\",\"src-ip\":\"2001:db8::1\","
		"\"dst-ip\":\"2001:db8::2\",\"src-port\":1,\"dst-port\":2,\"protocol\":\"tcp\"}}";
	struct relay_counters c;

	put(theirs, sizeof(theirs) - 1);
	assert_gets(s.collector6, theirs, sizeof(theirs) - 1);
	assert_int_equal(s.n_events, 0);
	relay_count(s.relay, &c);
	assert_int_equal(c.foreign, 1);
}

static void the_rate_is_kept(void **state)
{
	int64_t now = clock_mono_ns() + 10 * NS_PER_S; /* ahead of the relay's own clock */
	struct relay_counters c;
	int n = 0;

	while (sender_may(s.sender, now))
		n++;
	assert_int_equal(n, 100); /* a tenth of a second's worth of 1000 */
	assert_int_equal(sender_may(s.sender, now + 999999), 0);
	assert_int_equal(sender_may(s.sender, now + 1000000), 1);
	assert_int_equal(sender_may(s.sender, now + 1000000), 0);
	put(dcache_start, sizeof(dcache_start));
	assert_gets_nothing(s.collector4);
	relay_count(s.relay, &c);
	assert_int_equal(c.paced, 1);
	assert_int_equal(s.n_events, 0);
}

/* Names are looked up in the background: the first firefly waits for them, but not for ever. */
static void a_sender_is_ready_when_names_are_known(void **state)
{
	const struct sender_options options = {.rate_per_s = 0};
	struct sender *sender;
	int64_t now = clock_mono_ns();

	assert_int_equal(sender_open(&sender, &options), 0);
	assert_int_equal(sender_add_collector(sender, "192.0.2.1", 1, 0), 0);
	assert_int_equal(sender_ready(sender, now), 1); /* no name at all */
	sender_close(sender);

	assert_int_equal(sender_open(&sender, &options), 0);
	assert_int_equal(sender_add_collector(sender, "localhost", 1, 0), 0);
	assert_int_equal(sender_ready(sender, now + 6 * NS_PER_S), 1);
	sender_close(sender);

	assert_int_equal(sender_open(&sender, &options), 0);
	assert_int_equal(sender_add_collector(sender, "localhost", 1, 0), 0);
	for (int i = 0; i < 4000 && !sender_ready(sender, now); i++)
		usleep(1000);
	assert_int_equal(sender_ready(sender, now), 1);
	sender_close(sender);
}

static void addresses_of_collectors(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port; /* 0: refused */
	} cases[] = {
		{"collector.example.org", "collector.example.org", 10514},
		{"collector.example.org:10333", "collector.example.org", 10333},
		{"192.0.2.1:1", "192.0.2.1", 1},
		{"2001:db8::1", "2001:db8::1", 10514},
		{"[2001:db8::1]", "2001:db8::1", 10514},
		{"[2001:db8::1]:65535", "2001:db8::1", 65535},
		{"host:0", "", 0},
		{"host:65536", "", 0},
		{"host:1x", "", 0},
		{"host:", "", 0},
		{":10514", "", 0},
		{"", "", 0},
		{"[]:1", "", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char host[64];
		uint16_t port;
		int err = sender_split(host, sizeof(host), &port, cases[i].text, 10514);

		assert_int_equal(err, cases[i].port ? 0 : -EINVAL);
		if (err)
			continue;
		assert_string_equal(host, cases[i].host);
		assert_int_equal(port, cases[i].port);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_local_end_is_the_source),
		cmocka_unit_test_setup_teardown(the_bytes_go_on_as_they_came, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_seen_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_minute_later_it_is_new, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_goes_back_to_where_it_came_from, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_target_for_relayed_ones_gets_no_other, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_no_firefly_goes_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flow_of_others_is_relayed_not_marked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_rate_is_kept, setup, teardown),
		cmocka_unit_test(a_sender_is_ready_when_names_are_known),
		cmocka_unit_test(addresses_of_collectors),
	};

	log_open(LOG_LEVEL_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
