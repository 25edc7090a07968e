/* Agents over time: what is loss and what is not, pools, drops, counters, full tables. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sflow/agent.h"

#define NOW 1700000000 /* seconds UTC; the tables have no clock of their own */

/* --- sequence numbers ------------------------------------------------------------------- */

static struct sflow_sequence feed(const uint32_t *numbers, size_t n)
{
	struct sflow_sequence s = {0};

	for (size_t i = 0; i < n; i++)
		sflow_sequence_add(&s, numbers[i], 0);
	return s;
}
#define FEED(...) feed((const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4)

static void check(struct sflow_sequence s, uint64_t received, uint64_t lost, uint64_t late,
		  uint64_t restarts)
{
	assert_int_equal(s.received, received);
	assert_int_equal(s.lost, lost);
	assert_int_equal(s.late, late);
	assert_int_equal(s.restarts, restarts);
}

static void one_after_the_other(void **state)
{
	(void)state;
	check(FEED(5000), 1, 0, 0, 0); /* what was before the first is none of ours */
	check(FEED(5000, 5001, 5002), 3, 0, 0, 0);
}

static void a_gap_is_loss(void **state)
{
	(void)state;
	check(FEED(1, 2, 5), 3, 2, 0, 0); /* 3 and 4 */
	check(FEED(1, 2000002), 2, 2000000, 0, 0);
}

static void a_small_step_back_gives_back(void **state)
{
	(void)state;
	check(FEED(1, 2, 5, 3, 4, 6), 6, 0, 2, 0);
	check(FEED(1000, 1, 1001), 3, 0, 1, 0); /* 999 back; before our first, nothing was lost */
	check(FEED(1001, 1, 1002), 3, 0, 1, 0); /* 1000 back */
}

static void a_large_step_back_is_a_restart(void **state)
{
	(void)state;
	check(FEED(1002, 1, 2), 3, 0, 0, 1); /* 1001 back */
	check(FEED(3000000000, 7, 8, 10), 4, 1, 0, 1);
	check(FEED(4294967295, 2000000, 2000001), 3, 0, 0, 1); /* too far for a wrap */
}

static void numbers_wrap(void **state)
{
	(void)state;
	check(FEED(4294967294, 4294967295, 0, 1), 4, 0, 0, 0);
	check(FEED(4294967290, 4), 2, 9, 0, 0);             /* ...291 to 295, 0 to 3 */
	check(FEED(4294967294, 1, 4294967295), 3, 1, 1, 0); /* late across the wrap; 0 stays lost */
}

static void the_same_again(void **state)
{
	struct sflow_sequence s = FEED(9, 9, 9, 10);

	(void)state;
	check(s, 4, 0, 0, 0);
	assert_int_equal(s.repeated, 2);
}

/* What came twice gives nothing back: here 2 and 1, then 4 after it was late. Of 64 steps back nobody
 * knows. */
static void what_came_twice(void **state)
{
	struct sflow_sequence s = FEED(1, 2, 3, 2, 1, 5, 4, 4);

	(void)state;
	check(s, 8, 0, 1, 0);
	assert_int_equal(s.repeated, 3);
	s = FEED(4294967295, 0, 4294967295); /* across the wrap */
	assert_int_equal(s.repeated, 1);
	s = FEED(100, 101, 163, 100, 101); /* 63 and 62 back */
	check(s, 5, 61, 0, 0);
	assert_int_equal(s.repeated, 2);
	s = FEED(100, 164, 100); /* 64 back */
	check(s, 3, 62, 1, 0);
}

static void uptime_says_restart(void **state)
{
	struct sflow_sequence s = {0};

	(void)state;
	assert_int_equal(sflow_sequence_add(&s, 500, 1), SFLOW_STEP_FIRST);
	assert_int_equal(sflow_sequence_add(&s, 501, 0), SFLOW_STEP_ON);
	assert_int_equal(sflow_sequence_add(&s, 600, 1), SFLOW_STEP_RESTART);
	assert_int_equal(sflow_sequence_add(&s, 599, 0), SFLOW_STEP_LATE);
	check(s, 4, 0, 1, 1);
}

/* --- agents ----------------------------------------------------------------------------- */

static struct sflow_agents *agents;
static int64_t now_utc_s;
static uint32_t fingerprint; /* of the next datagram; 0: its uptime */

static int open_agents(void **state)
{
	(void)state;
	agents = sflow_agents_open();
	now_utc_s = NOW;
	fingerprint = 0;
	return agents ? 0 : -1;
}

static int close_agents(void **state)
{
	(void)state;
	sflow_agents_close(agents);
	return 0;
}

static int add(uint8_t agent, uint32_t sub_agent, uint32_t sequence, uint32_t uptime_ms)
{
	struct sflow_datagram d = {.agent_ip = {[10] = 0xff, 0xff, 192, 0, 2, agent},
				   .agent_family = 4,
				   .sub_agent = sub_agent,
				   .sequence = sequence,
				   .uptime_ms = uptime_ms,
				   .fingerprint = fingerprint ? fingerprint : uptime_ms};

	return sflow_agents_add(agents, &d, now_utc_s);
}

static const struct sflow_agent_state *agent_at(int index)
{
	const struct sflow_agent_state *list;

	assert_true((size_t)index < sflow_agents_list(agents, &list));
	return &list[index];
}

static void sub_agents_count_apart(void **state)
{
	(void)state;
	assert_int_equal(add(1, 0, 10, 1000), 0);
	assert_int_equal(add(1, 1, 500, 1000), 1);
	assert_int_equal(add(2, 0, 90, 1000), 2);
	assert_int_equal(add(1, 0, 12, 1100), 0);
	assert_int_equal(add(1, 1, 501, 1100), 1);
	check(agent_at(0)->datagram_seq, 2, 1, 0, 0);
	check(agent_at(1)->datagram_seq, 2, 0, 0, 0);
	assert_int_equal(agent_at(1)->sub_agent, 1);
	assert_int_equal(agent_at(2)->agent_ip[15], 2);
}

static void a_quick_restart_is_seen_by_uptime(void **state)
{
	(void)state;
	add(1, 0, 300, 600000);
	add(1, 0, 3, 2000); /* 297 back would be late, were it not for the uptime */
	add(1, 0, 4, 3000);
	check(agent_at(0)->datagram_seq, 3, 0, 0, 1);
	assert_int_equal(agent_at(0)->uptime_ms, 3000);
}

static void a_late_datagram_is_no_restart(void **state)
{
	(void)state;
	add(1, 0, 10, 50000);
	add(1, 0, 12, 50200);
	add(1, 0, 11, 50100);
	add(1, 0, 13, 50300);
	check(agent_at(0)->datagram_seq, 4, 0, 1, 0);
	assert_int_equal(agent_at(0)->uptime_ms, 50300);
}

/* 2^32 ms are 49.7 days: 100 ms before, 900 ms after. */
static void uptime_wraps(void **state)
{
	(void)state;
	add(1, 0, 10, 4294967196);
	now_utc_s++;
	add(1, 0, 11, 900);
	add(1, 0, 14, 901);
	check(agent_at(0)->datagram_seq, 3, 2, 0, 0);
}

/* An agent that was up for 30 days comes back 5 minutes later with 60 s of uptime, which modulo
 * 2^32 is forward by 19.7 days. */
static void a_restart_after_long_uptime(void **state)
{
	(void)state;
	add(1, 0, 4000, 2592000000u);
	now_utc_s += 300;
	add(1, 0, 4001, 60000);
	check(agent_at(0)->datagram_seq, 2, 0, 0, 1);
}

/* The switch sends to two addresses that are both ours: each datagram comes twice, near the other. */
static void a_copy_of_a_datagram(void **state)
{
	(void)state;
	assert_int_equal(add(1, 0, 10, 1000), 0);
	assert_int_equal(add(1, 0, 11, 1010), 0);
	assert_int_equal(add(1, 0, 10, 1000), -EALREADY);
	assert_int_equal(add(1, 0, 12, 1020), 0);
	assert_int_equal(add(1, 0, 12, 1020), -EALREADY);
	assert_int_equal(add(1, 0, 11, 1010), -EALREADY);
	assert_int_equal(add(1, 1, 12, 1020), 1); /* another sub-agent */
	assert_int_equal(agent_at(0)->datagram_seq.repeated, 3);
	check(agent_at(0)->datagram_seq, 6, 0, 0, 0);
}

/* A recording of the same agent, played again: other contents, or the same but later. */
static void a_replay_is_no_copy(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 3; round++) {
		fingerprint = round ? 77 : 0;
		if (round == 2)
			now_utc_s += SFLOW_COPY_S + 1;
		for (uint32_t i = 1; i <= 5; i++)
			assert_int_equal(add(1, 0, i, 1000 + i), 0);
	}
	assert_int_equal(add(1, 0, 5, 1005), -EALREADY);
}

/* An agent that numbers all its datagrams 0, also after it started again. */
static void an_agent_that_does_not_count(void **state)
{
	(void)state;
	assert_int_equal(add(1, 0, 0, 900000), 0);
	assert_int_equal(add(1, 0, 0, 900000), 0);
	assert_int_equal(add(1, 0, 0, 901000), 0);
	assert_int_equal(add(1, 0, 0, 500), 0);
	assert_int_equal(add(1, 0, 0, 1500), 0);
	assert_int_equal(add(1, 0, 0, 2500), 0);
	check(agent_at(0)->datagram_seq, 6, 0, 0, 1);
}

static void a_full_table_refuses_newcomers(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < SFLOW_AGENTS_MAX; i++)
		assert_int_equal(add(1, i, 1, 1), i);
	assert_int_equal(add(2, 0, 1, 1), -ENOSPC);
	assert_int_equal(add(2, 0, 2, 2), -ENOSPC);
	assert_int_equal(add(1, 77, 2, 2), 77); /* the known ones go on */
	assert_int_equal(sflow_agents_refused(agents), 2);
}

/* --- data sources ----------------------------------------------------------------------- */

static int add_flow(int agent, uint32_t index, uint32_t sequence, uint32_t rate, uint32_t pool,
		    uint32_t drops)
{
	const struct sflow_sample s = {.kind = SFLOW_FLOW,
				       .source_index = index,
				       .sequence = sequence,
				       .rate = rate,
				       .pool = pool,
				       .drops = drops,
				       .in.value = index,
				       .out.value = 99};

	return sflow_agents_add_sample(agents, agent, &s, now_utc_s);
}

static const struct sflow_source_state *source_at(size_t index)
{
	const struct sflow_source_state *list;

	assert_true(index < sflow_agents_sources(agents, &list));
	return &list[index];
}

/* One sample in 100, the pool grows by 100 a sample: the effective rate is the announced one. */
static void pools_without_loss(void **state)
{
	(void)state;
	add(1, 0, 1, 1);
	add_flow(0, 3, 1, 100, 5000, 0);
	assert_true(source_at(0)->effective_rate == 0); /* one says nothing yet */
	for (uint32_t i = 1; i <= 10; i++)
		add_flow(0, 3, 1 + i, 100, 5000 + 100 * i, 0);
	assert_int_equal(source_at(0)->samples, 10);
	assert_int_equal(source_at(0)->pool_packets, 1000);
	assert_true(source_at(0)->effective_rate == 100);
	assert_int_equal(source_at(0)->rate, 100);
	assert_int_equal(source_at(0)->last_in_utc_s, NOW); /* by interface 3, out by 99 */
	assert_int_equal(source_at(0)->last_out_utc_s, 0);
}

/* Of four samples after the first two are lost: the pool still grows by 400, so each of the two that
 * came stands for 200. A late one takes its share back. */
static void loss_raises_the_effective_rate(void **state)
{
	(void)state;
	add(1, 0, 1, 1);
	add_flow(0, 3, 1, 100, 1000, 0);
	add_flow(0, 3, 3, 100, 1200, 0);
	add_flow(0, 3, 5, 100, 1400, 0);
	check(source_at(0)->flow_seq, 3, 2, 0, 0);
	assert_true(source_at(0)->effective_rate == 200);
	add_flow(0, 3, 4, 100, 1300, 0);
	add_flow(0, 3, 2, 100, 1100, 0);
	check(source_at(0)->flow_seq, 5, 0, 2, 0);
	assert_int_equal(source_at(0)->pool_packets, 400);
	assert_true(source_at(0)->effective_rate == 100);
}

static void pools_and_drops_wrap(void **state)
{
	(void)state;
	add(1, 0, 1, 1);
	add_flow(0, 3, 1, 100, 4294967290u, 4294967295u);
	add_flow(0, 3, 2, 100, 94, 2); /* 100 more; 3 more */
	assert_int_equal(source_at(0)->pool_packets, 100);
	assert_int_equal(source_at(0)->agent_drops, 3);
}

static void pools_that_go_back_are_no_pool(void **state)
{
	(void)state;
	add(1, 0, 1, 1);
	add_flow(0, 3, 1, 100, 5000, 7);
	add_flow(0, 3, 2, 100, 10, 0); /* started again without a word */
	add_flow(0, 3, 3, 100, 110, 1);
	assert_int_equal(source_at(0)->pool_packets, 100);
	assert_int_equal(source_at(0)->agent_drops, 1);
}

/* The rate is changed to one in 400: the effective rate starts anew, the totals do not. */
static void a_changed_rate(void **state)
{
	(void)state;
	add(1, 0, 1, 1);
	add_flow(0, 3, 1, 100, 1000, 0);
	add_flow(0, 3, 2, 100, 1100, 0);
	add_flow(0, 3, 3, 400, 1300, 0);
	assert_true(source_at(0)->effective_rate == 0);
	add_flow(0, 3, 4, 400, 1700, 0);
	assert_true(source_at(0)->effective_rate == 400);
	assert_int_equal(source_at(0)->pool_packets, 700);
	assert_int_equal(source_at(0)->rate, 400);
}

/* 5,000 samples without loss, then every second one lost: 1,000 more are enough to see it. */
static void the_effective_rate_forgets(void **state)
{
	uint32_t sequence = 1;

	(void)state;
	add(1, 0, 1, 1);
	for (int i = 0; i < 5000; i++, sequence++)
		add_flow(0, 3, sequence, 100, sequence * 100, 0);
	assert_true(source_at(0)->effective_rate == 100);
	for (int i = 0; i < 1000; i++, sequence += 2)
		add_flow(0, 3, sequence, 100, sequence * 100, 0);
	assert_true(source_at(0)->effective_rate > 150);
	assert_true(source_at(0)->effective_rate <= 200);
}

static void a_restarted_agent_restarts_its_sources(void **state)
{
	(void)state;
	add(1, 0, 100, 900000);
	add_flow(0, 3, 700, 100, 70000, 5);
	add(1, 0, 1, 1000);
	add_flow(0, 3, 1, 100, 100, 0); /* 699 back: late, were it not for the agent */
	add_flow(0, 3, 2, 100, 200, 0);
	check(source_at(0)->flow_seq, 3, 0, 0, 1);
	assert_int_equal(source_at(0)->pool_packets, 100);
	assert_int_equal(source_at(0)->agent_drops, 0);
}

static void flow_counter_and_discard_sequences_are_apart(void **state)
{
	const struct sflow_sample counters = {
		.kind = SFLOW_COUNTERS, .source_index = 3, .sequence = 9};
	struct sflow_sample discard = {
		.kind = SFLOW_DISCARD, .source_index = 3, .sequence = 40, .rate = 1, .drops = 10};

	(void)state;
	add(1, 0, 1, 1);
	add_flow(0, 3, 700, 100, 1, 0);
	sflow_agents_add_sample(agents, 0, &counters, NOW);
	sflow_agents_add_sample(agents, 0, &discard, NOW);
	discard.sequence = 42;
	discard.drops = 16;
	sflow_agents_add_sample(agents, 0, &discard, NOW);
	add_flow(0, 3, 701, 100, 2, 0);
	check(source_at(0)->flow_seq, 2, 0, 0, 0);
	check(source_at(0)->counter_seq, 1, 0, 0, 0);
	check(source_at(0)->discard_seq, 2, 1, 0, 0);
	assert_int_equal(source_at(0)->agent_drops, 6);
}

static void sources_are_told_apart(void **state)
{
	const struct sflow_sample other_class = {
		.kind = SFLOW_FLOW, .source_class = 2, .source_index = 3, .sequence = 1};

	(void)state;
	add(1, 0, 1, 1);
	add(2, 0, 1, 1);
	add_flow(0, 3, 1, 100, 1, 0);
	add_flow(0, 4, 1, 100, 1, 0);
	add_flow(1, 3, 1, 100, 1, 0);
	sflow_agents_add_sample(agents, 0, &other_class, NOW);
	assert_int_equal(source_at(3)->source_class, 2);
	assert_int_equal(source_at(2)->agent, 1);
	assert_int_equal(source_at(1)->source_index, 4);
}

static int again(uint32_t class, uint32_t index, struct sflow_interface in,
		 struct sflow_interface out)
{
	const struct sflow_sample s = {.kind = SFLOW_FLOW,
				       .source_class = class,
				       .source_index = index,
				       .in = in,
				       .out = out};

	return sflow_agents_sampled_going_in(agents, 0, &s, now_utc_s);
}

/* Interface 3 is sampled going in. What went from 3 out by 5, sampled there, is known already. */
static void sampled_twice(void **state)
{
	const struct sflow_interface i3 = {SFLOW_IF_INDEX, 3}, i5 = {SFLOW_IF_INDEX, 5},
				     i6 = {SFLOW_IF_INDEX, 6},
				     inside = {SFLOW_IF_INDEX, SFLOW_IF_INTERNAL},
				     unknown = {SFLOW_IF_INDEX, SFLOW_IF_UNKNOWN},
				     three_ports = {SFLOW_IF_MULTIPLE, 3};

	(void)state;
	add(1, 0, 1, 1);
	assert_false(again(0, 5, i3, i5));
	add_flow(0, 3, 1, 100, 1, 0);
	assert_true(again(0, 5, i3, i5));
	assert_false(again(0, 3, i3, i5)); /* the sample going in itself */
	assert_false(again(0, 5, i6, i5)); /* nobody samples interface 6 */
	assert_false(again(0, 5, inside, i5));
	assert_false(again(0, 5, unknown, i5));
	assert_false(again(0, 5, three_ports, i5));
	assert_false(again(0, 3, i3, i3)); /* in and out by the same */
	assert_false(again(2, 5, i3, i5)); /* not an interface */
	assert_false(again(0, 0, i3, unknown));
	now_utc_s += SFLOW_SAMPLED_S;
	assert_true(again(0, 5, i3, i5));
	now_utc_s++;
	assert_false(again(0, 5, i3, i5)); /* sampling going in was switched off */
}

static void full_source_table(void **state)
{
	const struct sflow_source_state *list;

	(void)state;
	add(1, 0, 1, 1);
	for (uint32_t i = 0; i < SFLOW_SOURCES_MAX; i++)
		assert_int_equal(add_flow(0, i * 1024, 1, 100, 1, 0), 0);
	assert_int_equal(add_flow(0, 1, 1, 100, 1, 0), -ENOSPC);
	assert_int_equal(add_flow(0, 1024, 2, 100, 1, 0), 0);
	assert_int_equal(sflow_agents_refused(agents), 1);
	assert_int_equal(sflow_agents_sources(agents, &list), SFLOW_SOURCES_MAX);
}

/* --- interface counters ----------------------------------------------------------------- */

/* A datagram of agent 192.0.2.1 at this uptime with one counter sample. */
static const struct sflow_interface_state *count(uint32_t uptime_ms, uint64_t speed_bps,
						 uint64_t in_octets, uint64_t out_octets)
{
	static uint32_t sequence;
	const struct sflow_sample s = {.kind = SFLOW_COUNTERS,
				       .source_index = 3,
				       .sequence = ++sequence,
				       .has_if_counters = 1,
				       .if_index = 3,
				       .if_speed_bps = speed_bps,
				       .if_in_octets = in_octets,
				       .if_out_octets = out_octets};
	const struct sflow_interface_state *list;

	assert_int_equal(
		sflow_agents_add_sample(agents, add(1, 0, sequence, uptime_ms), &s, now_utc_s), 0);
	assert_int_equal(sflow_agents_interfaces(agents, &list), 1);
	return list;
}

static void assert_rates(const struct sflow_interface_state *i, double in, double out)
{
	assert_true(i->in_bytes_per_s == in);
	assert_true(i->out_bytes_per_s == out);
}

static void rates_from_the_newest_two(void **state)
{
	(void)state;
	assert_rates(count(10000, 1000000000, 5000, 100), 0, 0);
	assert_rates(count(30000, 1000000000, 45000, 300), 2000, 10); /* 20 s */
	assert_rates(count(50000, 1000000000, 45000, 700), 0, 20);
}

/* 1 Gbit/s carries 2.5e9 bytes in 20 s: 4,000 octets across 2^32 are a wrap of a copied 32-bit
 * counter, across 2^64 of a real one. */
static void octets_wrap(void **state)
{
	(void)state;
	count(10000, 1000000000, 4294966296, 18446744073709550616u);
	assert_rates(count(30000, 1000000000, 3000, 3000), 200, 200);
}

/* At 10 Mbit/s, 25 MB in 20 s, a counter that went from 3e9 to 5 did not wrap: it began anew. */
static void octets_reset(void **state)
{
	(void)state;
	count(10000, 10000000, 3000000000, 8000000000);
	assert_rates(count(30000, 10000000, 5, 5), 0, 0);
	assert_rates(count(50000, 10000000, 2005, 4005), 100, 200);
}

static void octets_unknown(void **state)
{
	(void)state;
	count(10000, 1000000000, SFLOW_COUNTER_UNKNOWN, 0);
	assert_rates(count(30000, 1000000000, SFLOW_COUNTER_UNKNOWN, 2000), 0, 100);
	assert_rates(count(50000, 1000000000, 100, 2000), 0, 0);
}

/* An agent whose uptime stands still is timed by our clock. */
static void uptime_stands_still(void **state)
{
	(void)state;
	count(0, 1000000000, 0, 0);
	now_utc_s += 10;
	assert_rates(count(0, 1000000000, 1000, 500), 100, 50);
	assert_rates(count(0, 1000000000, 9000, 900), 100, 50); /* twice in a second: not timed */
}

static void counters_after_a_restart(void **state)
{
	(void)state;
	count(900000, 1000000000, 100000, 100000);
	assert_rates(count(1000, 1000000000, 150000, 150000), 0, 0); /* how long was it away? */
	assert_rates(count(11000, 1000000000, 160000, 150000), 1000, 0);
}

static void full_interface_table(void **state)
{
	struct sflow_sample s = {.kind = SFLOW_COUNTERS, .has_if_counters = 1};
	const struct sflow_interface_state *list;

	(void)state;
	add(1, 0, 1, 1);
	for (uint32_t i = 0; i < SFLOW_INTERFACES_MAX; i++) {
		s.if_index = i;
		s.sequence++;
		assert_int_equal(sflow_agents_add_sample(agents, 0, &s, NOW), 0);
	}
	s.if_index++;
	assert_int_equal(sflow_agents_add_sample(agents, 0, &s, NOW), -ENOSPC);
	assert_int_equal(sflow_agents_refused(agents), 1);
	assert_int_equal(sflow_agents_interfaces(agents, &list), SFLOW_INTERFACES_MAX);
	sflow_agents_close(NULL);
}

#define WITH_AGENTS(test) cmocka_unit_test_setup_teardown(test, open_agents, close_agents)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(a_gap_is_loss),
		cmocka_unit_test(a_small_step_back_gives_back),
		cmocka_unit_test(a_large_step_back_is_a_restart),
		cmocka_unit_test(numbers_wrap),
		cmocka_unit_test(the_same_again),
		cmocka_unit_test(what_came_twice),
		cmocka_unit_test(uptime_says_restart),
		WITH_AGENTS(sub_agents_count_apart),
		WITH_AGENTS(a_quick_restart_is_seen_by_uptime),
		WITH_AGENTS(a_late_datagram_is_no_restart),
		WITH_AGENTS(uptime_wraps),
		WITH_AGENTS(a_restart_after_long_uptime),
		WITH_AGENTS(a_copy_of_a_datagram),
		WITH_AGENTS(a_replay_is_no_copy),
		WITH_AGENTS(an_agent_that_does_not_count),
		WITH_AGENTS(a_full_table_refuses_newcomers),
		WITH_AGENTS(pools_without_loss),
		WITH_AGENTS(loss_raises_the_effective_rate),
		WITH_AGENTS(pools_and_drops_wrap),
		WITH_AGENTS(pools_that_go_back_are_no_pool),
		WITH_AGENTS(a_changed_rate),
		WITH_AGENTS(the_effective_rate_forgets),
		WITH_AGENTS(a_restarted_agent_restarts_its_sources),
		WITH_AGENTS(flow_counter_and_discard_sequences_are_apart),
		WITH_AGENTS(sources_are_told_apart),
		WITH_AGENTS(sampled_twice),
		WITH_AGENTS(full_source_table),
		WITH_AGENTS(rates_from_the_newest_two),
		WITH_AGENTS(octets_wrap),
		WITH_AGENTS(octets_reset),
		WITH_AGENTS(octets_unknown),
		WITH_AGENTS(uptime_stands_still),
		WITH_AGENTS(counters_after_a_restart),
		WITH_AGENTS(full_interface_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
