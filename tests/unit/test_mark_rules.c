/* Which flows are marked, and for how long: without a kernel half. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "marker/event.h"
#include "marker/rules.h"

static struct registry *reg;

static struct marker_config config(int64_t flows_max)
{
	return (struct marker_config){.flows_max = flows_max,
				      .option_type = 30,
				      .linger_s = 1,
				      .entropy = MARKER_ENTROPY_ZERO};
}

static struct rules_flow_event event(enum rules_event kind, uint16_t port, uint8_t protocol)
{
	struct rules_flow_event e = {.event = kind, .tag = {2, 17}};

	e.key = (struct flow_key){.src_ip = {0xfd, [15] = 1},
				  .dst_ip = {0xfd, [15] = 2},
				  .src_port = port,
				  .dst_port = 443,
				  .protocol = protocol,
				  .family = 6};
	return e;
}

static void accounted_for(const struct rules *r)
{
	struct rules_counters c;
	uint64_t sum;

	rules_count(r, &c);
	sum = c.started + c.renewed + c.ended;
	for (int i = 0; i < RULES_REFUSAL_COUNT; i++)
		sum += c.refused[i];
	assert_int_equal(c.received, sum);
}

static size_t active(const struct rules *r)
{
	struct rules_counters c;

	rules_count(r, &c);
	return c.active;
}

static void a_mark_outlives_its_tcp_flow_by_the_linger(void **state)
{
	struct marker_config cfg = config(100);
	struct rules_flow_event e = event(RULES_START, 1, 6);
	struct rules *r;

	assert_int_equal(rules_open(&r, &cfg, NULL, CARRIER_LABEL, NULL), 0);
	assert_int_equal(rules_handle(r, &e, 0, NULL), 0);
	e.event = RULES_END;
	assert_int_equal(rules_handle(r, &e, 10 * NS_PER_S, NULL), 0);
	rules_tick(r, 11 * NS_PER_S - 1);
	assert_int_equal(active(r), 1);
	rules_tick(r, 11 * NS_PER_S);
	assert_int_equal(active(r), 0);
	accounted_for(r);
	rules_close(r);
}

static void a_start_during_the_linger_keeps_the_mark(void **state)
{
	struct marker_config cfg = config(100);
	struct rules_flow_event e = event(RULES_START, 1, 6);
	struct rules *r;

	assert_int_equal(rules_open(&r, &cfg, NULL, CARRIER_LABEL, NULL), 0);
	rules_handle(r, &e, 0, NULL);
	e.event = RULES_END;
	rules_handle(r, &e, 0, NULL);
	e.event = RULES_START;
	assert_int_equal(rules_handle(r, &e, 0, NULL), 0);
	rules_tick(r, 100 * NS_PER_S);
	assert_int_equal(active(r), 1);
	accounted_for(r);
	rules_close(r);
}

static void udp_says_no_goodbye_and_ends_at_once(void **state)
{
	struct marker_config cfg = config(100);
	struct rules_flow_event e = event(RULES_START, 1, 17);
	struct rules *r;

	assert_int_equal(rules_open(&r, &cfg, NULL, CARRIER_LABEL, NULL), 0);
	rules_handle(r, &e, 0, NULL);
	e.event = RULES_END;
	rules_handle(r, &e, 0, NULL);
	assert_int_equal(active(r), 0);
	rules_close(r);
}

static void what_cannot_be_marked_is_refused_by_name(void **state)
{
	struct marker_config cfg = config(3);
	struct rules_flow_event e;
	enum rules_refusal why;
	struct rules *r;

	assert_int_equal(rules_open(&r, &cfg, NULL, CARRIER_LABEL, NULL), 0);
	e = event(RULES_START, 1, 6);
	e.key.family = 4;
	assert_int_equal(rules_handle(r, &e, 0, &why), -EINVAL);
	assert_int_equal(why, RULES_REFUSED_FAMILY);
	e = event(RULES_START, 1, 6);
	e.tag = (struct scitag){512, 1};
	assert_int_equal(rules_handle(r, &e, 0, &why), -EINVAL);
	assert_int_equal(why, RULES_REFUSED_RANGE);
	e.tag = (struct scitag){1, 64};
	assert_int_equal(rules_handle(r, &e, 0, &why), -EINVAL);
	assert_int_equal(why, RULES_REFUSED_RANGE);
	e.tag = (struct scitag){0, 0};
	assert_int_equal(rules_handle(r, &e, 0, &why), -EINVAL);
	assert_int_equal(why, RULES_REFUSED_ANNOUNCE);
	e = event(RULES_END, 9, 6);
	assert_int_equal(rules_handle(r, &e, 0, &why), -EINVAL);
	assert_int_equal(why, RULES_REFUSED_UNKNOWN);
	for (uint16_t port = 1; port <= 3; port++) {
		e = event(RULES_START, port, 6);
		assert_int_equal(rules_handle(r, &e, 0, &why), 0);
	}
	e = event(RULES_START, 4, 6);
	assert_int_equal(rules_handle(r, &e, 0, &why), -EINVAL);
	assert_int_equal(why, RULES_REFUSED_FULL);
	e = event(RULES_START, 3, 6); /* who is in stays in */
	assert_int_equal(rules_handle(r, &e, 0, &why), 0);
	accounted_for(r);
	rules_close(r);
}

/* A mirror in an array of bits says which flows must be there after each of many random events. */
static void the_table_loses_and_invents_nobody(void **state)
{
	static uint8_t there[4096];
	struct marker_config cfg = config(2048);
	struct rules *r;
	size_t n = 0;

	srand(7);
	cfg.linger_s = 0;
	memset(there, 0, sizeof(there));
	assert_int_equal(rules_open(&r, &cfg, NULL, CARRIER_LABEL, NULL), 0);
	for (int i = 0; i < 200000; i++) {
		uint16_t port = (uint16_t)(rand() % 4096);
		enum rules_event kind = rand() % 2 ? RULES_START : RULES_END;
		struct rules_flow_event e = event(kind, port, 6);
		int got = rules_handle(r, &e, 0, NULL);

		if (kind == RULES_START) {
			assert_int_equal(got, there[port] || n < 2048 ? 0 : -EINVAL);
			n += !got && !there[port];
			there[port] |= !got;
		} else {
			assert_int_equal(got, there[port] ? 0 : -EINVAL);
			n -= there[port];
			there[port] = 0;
		}
		assert_int_equal(active(r), n);
	}
	accounted_for(r);
	rules_close(r);
}

static void a_socket_that_was_there_and_is_not_ends_its_flow(void **state)
{
	struct marker_config cfg = config(100);
	struct rules_flow_event e = event(RULES_START, 1, 6), other = event(RULES_START, 2, 6);
	struct rules *r;

	assert_int_equal(rules_open(&r, &cfg, NULL, CARRIER_LABEL, NULL), 0);
	rules_handle(r, &e, 0, NULL);
	rules_handle(r, &other, 0,
		     NULL); /* never has a socket here: another host's, routed through us */
	rules_seen(r, &e.key, 1);
	rules_sweep(r, 1, 0);
	rules_tick(r, 10 * NS_PER_S);
	assert_int_equal(active(r), 2);
	rules_sweep(r, 2, 10 * NS_PER_S);
	rules_tick(r, 12 * NS_PER_S);
	assert_int_equal(active(r), 1);
	rules_close(r);
}

static void a_path_mtu_is_hinted_once_and_held(void **state)
{
	struct marker_config cfg = config(100);
	struct rules_flow_event e = event(RULES_START, 1, 6);
	struct rules *r;

	assert_int_equal(rules_open(&r, &cfg, NULL, CARRIER_DESTINATION, NULL), 0);
	rules_handle(r, &e, 0, NULL);
	/* 1492 + 8 fit; 1493 do not */
	assert_int_equal(rules_hint(r, &e.key, 1492, 1500), 0);
	assert_int_equal(rules_hint(r, &e.key, 1493, 1500), 1492);
	/* it worked: packets are short, and it does not go down for ever */
	assert_int_equal(rules_hint(r, &e.key, 1492, 1492), 0);
	/* the kernel forgot */
	assert_int_equal(rules_hint(r, &e.key, 1500, 1500), 1492);
	assert_int_equal(rules_room(r), 8);
	rules_close(r);
}

static void a_wildcards_open_connections_get_a_hint_too(void **state)
{
	struct marker_rule rule = {.protocol = (char[]){"tcp"},
				   .dst = (char[]){"fd00::/16"},
				   .dst_port = (char[]){"443"},
				   .experiment = (char[]){"atlas"},
				   .activity = (char[]){"17"},
				   .strategy = (char[]){"hopByHopDestination"}};
	struct marker_config cfg = config(100);
	struct rules_flow_event e = event(RULES_START, 1, 6);
	struct rules *r;

	cfg.rules = (struct opt_items){1, &rule};
	assert_int_equal(rules_open(&r, &cfg, NULL, CARRIER_LABEL, NULL), 0);
	assert_int_equal(rules_configure(r, &cfg, reg, CARRIER_LABEL), 0);
	assert_int_equal(rules_room(r), 16);
	assert_true(rules_wants_sockets(r));
	assert_int_equal(rules_hint(r, &e.key, 1500, 1500), 1484);
	e.key.dst_port = 444;
	assert_int_equal(rules_hint(r, &e.key, 1500, 1500), 0);
	/* without the rule no room is kept any more */
	cfg.rules.n = 0;
	assert_int_equal(rules_configure(r, &cfg, reg, CARRIER_LABEL), 0);
	assert_int_equal(rules_room(r), 0);
	rules_close(r);
}

static void there_is_no_hint_below_1287(void **state)
{
	struct marker_config cfg = config(100);
	struct rules_flow_event e = event(RULES_START, 1, 6);
	struct rules *r;

	assert_int_equal(rules_open(&r, &cfg, NULL, CARRIER_DESTINATION, NULL), 0);
	rules_handle(r, &e, 0, NULL);
	assert_int_equal(rules_hint(r, &e.key, 1287, 1287), 0); /* 1279 would be no IPv6 MTU */
	assert_int_equal(rules_hint(r, &e.key, 1288, 1288), 1280);
	rules_close(r);
}

static void prefixes_ports_and_protocols_are_read(void **state)
{
	uint64_t ip[2], mask[2];
	uint16_t min, max;

	assert_int_equal(rules_prefix(ip, mask, "2001:db8:1:ffff::/50"), 0);
	assert_memory_equal(ip, "\x20\x01\x0d\xb8\x00\x01\xc0\0\0\0\0\0\0\0\0\0", 16);
	assert_memory_equal(mask, "\xff\xff\xff\xff\xff\xff\xc0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(rules_prefix(ip, mask, NULL), 0);
	assert_int_equal(mask[0] | mask[1], 0);
	assert_int_equal(rules_prefix(ip, mask, "2001:db8::/129"), -EINVAL);
	assert_int_equal(rules_prefix(ip, mask, "2001:db8::/"), -EINVAL);
	assert_int_equal(rules_prefix(ip, mask, "192.0.2.1"), -EINVAL);
	assert_int_equal(rules_ports(&min, &max, "20000-25000"), 0);
	assert_int_equal(min, 20000);
	assert_int_equal(max, 25000);
	assert_int_equal(rules_ports(&min, &max, "65536"), -EINVAL);
	assert_int_equal(rules_ports(&min, &max, "5-4"), -EINVAL);
	assert_int_equal(rules_ports(&min, &max, "-5"), -EINVAL);
	assert_int_equal(rules_ports(&min, &max, "1-"), -EINVAL);
	assert_int_equal(rules_protocol("SCTP"), 132);
	assert_int_equal(rules_protocol("256"), -EINVAL);
}

static int parse(struct rules_flow_event *e, const char *line)
{
	char why[128] = "";
	int err;

	memset(e, 0, sizeof(*e));
	err = event_parse(e, line, 1, reg, why, sizeof(why));
	assert_int_equal(err != 0, why[0] != 0);
	return err;
}

static void lines_of_the_pipe_are_read(void **state)
{
	struct rules_flow_event e;

	assert_int_equal(parse(&e, "start tcp 2001:db8:1::10 1094 2001:db8:2::20 40000 3 14"), 0);
	assert_int_equal(e.event, RULES_START);
	assert_int_equal(e.key.protocol, 6);
	assert_int_equal(e.key.family, 6);
	assert_int_equal(e.key.src_port, 1094);
	assert_int_equal(e.key.dst_port, 40000);
	assert_int_equal(e.tag.experiment, 3);
	assert_int_equal(e.tag.activity, 14);
	assert_memory_equal(e.key.src_ip, "\x20\x01\x0d\xb8\x00\x01\0\0\0\0\0\0\0\0\0\x10", 16);
	assert_int_equal(
		parse(&e, "END\tUdp  [2001:db8::1] 1 [2001:db8::2] 2 atlas AnalysisInput\r"), 0);
	assert_int_equal(e.event, RULES_END);
	assert_int_equal(e.tag.experiment, 2);
	assert_int_equal(e.tag.activity, 17);
	assert_int_equal(parse(&e, "ongoing sctp 192.0.2.1 1 192.0.2.2 2 0 0"), 0);
	assert_int_equal(e.key.family, 4);
}

static void wrong_lines_are_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"start",
		"begin tcp ::1 1 ::2 2 3 14",
		"start icmp ::1 1 ::2 2 3 14",
		"start tcp ::1 1 ::2 2 3",
		"start tcp ::1 1 ::2 2 3 14 label more",
		"start tcp ::1 1 192.0.2.2 2 3 14",
		"start tcp ::1 65536 ::2 2 3 14",
		"start tcp ::1 -1 ::2 2 3 14",
		"start tcp ::1 any ::2 2 3 14",
		"start tcp ::g 1 ::2 2 3 14",
		"start tcp [::1 1 ::2 2 3 14",
		"start tcp ::1 1 ::2 2 512 14",
		"start tcp ::1 1 ::2 2 3 64",
		"start tcp ::1 1 ::2 2 0 14",
		"start tcp ::1 1 ::2 2 3 0",
		"start tcp ::1 1 ::2 2 nobody 1",
		"start tcp ::1 1 ::2 2 atlas Nothing",
		"start tcp ::1 1 ::2 2 3 14 nowhere",
	};
	struct rules_flow_event e;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(parse(&e, lines[i]), -EINVAL);
}

static int enter(void **state)
{
	reg = registry_builtin();
	return reg ? 0 : -1;
}

static int leave(void **state)
{
	registry_free(reg);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_outlives_its_tcp_flow_by_the_linger),
		cmocka_unit_test(a_start_during_the_linger_keeps_the_mark),
		cmocka_unit_test(udp_says_no_goodbye_and_ends_at_once),
		cmocka_unit_test(what_cannot_be_marked_is_refused_by_name),
		cmocka_unit_test(the_table_loses_and_invents_nobody),
		cmocka_unit_test(a_socket_that_was_there_and_is_not_ends_its_flow),
		cmocka_unit_test(a_path_mtu_is_hinted_once_and_held),
		cmocka_unit_test(a_wildcards_open_connections_get_a_hint_too),
		cmocka_unit_test(there_is_no_hint_below_1287),
		cmocka_unit_test(prefixes_ports_and_protocols_are_read),
		cmocka_unit_test(lines_of_the_pipe_are_read),
		cmocka_unit_test(wrong_lines_are_refused),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
