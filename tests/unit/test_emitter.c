/* Which flow gets which firefly, and when, with a clock, a rate and connections of the test's own. */
#include <arpa/inet.h>
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
#include "firefly/firefly.h"
#include "marker/emitter.h"

#define SAID_MAX 40000

static struct world {
	struct emitter *emitter;
	struct emitter_time now;
	struct firefly *said; /* SAID_MAX */
	char last[FIREFLY_EMIT_MAX_BYTES + 1];
	size_t n_said;
	int allowance; /* fireflies that may go; -1: all */
	int connected; /* the kernel knows a connection */
	int asked_one, asked_all;
	uint64_t sent_bytes, received_bytes, cookie;
	int64_t wire_bytes; /* as the mark counts; -1: there is none */
	struct tcp_detail *detail;
	uint8_t syn, rough;
} w;

static int may(void *arg, int64_t now_mono_ns)
{
	if (w.allowance < 0)
		return 1;
	if (!w.allowance)
		return 0;
	w.allowance--;
	return 1;
}

static void hear(void *arg, const void *buf, size_t len_bytes, const struct flow_key *key)
{
	assert_true(w.n_said < SAID_MAX);
	assert_in_range(len_bytes, 1, FIREFLY_EMIT_MAX_BYTES);
	memcpy(w.last, buf, len_bytes);
	w.last[len_bytes] = 0;
	assert_int_equal(firefly_parse(&w.said[w.n_said++], buf, len_bytes), FIREFLY_OK);
}

static struct tcp_sample sample(void)
{
	return (struct tcp_sample){.cookie = w.cookie,
				   .sent_bytes = w.sent_bytes,
				   .received_bytes = w.received_bytes,
				   .rtt_us = 1500,
				   .tcp = {.path_mtu_bytes = 1500},
				   .syn = w.syn,
				   .rough = w.rough,
				   .detail = w.detail};
}

static int look(void *arg, const struct flow_key *key, uint64_t cookie, struct tcp_sample *out)
{
	w.asked_one++;
	if (!w.connected || (cookie && cookie != w.cookie))
		return -ENOENT;
	*out = sample();
	return 0;
}

static struct flow_key flow(uint16_t port)
{
	struct flow_key key = {.src_port = port, .dst_port = 443, .protocol = 6, .family = 6};

	inet_pton(AF_INET6, "2001:db8:1::10", key.src_ip);
	inet_pton(AF_INET6, "2001:db8:2::20", key.dst_ip);
	return key;
}

static size_t n_flows_known; /* that look_at_all reports, ports 1.. */

static int look_at_all(void *arg,
		       void (*each)(void *arg, const struct flow_key *key,
				    const struct tcp_sample *s),
		       void *each_arg)
{
	w.asked_all++;
	for (size_t i = 1; i <= n_flows_known; i++) {
		struct flow_key key = flow((uint16_t)i);
		struct tcp_sample s = sample();

		each(each_arg, &key, &s);
	}
	return 0;
}

static int count(void *arg, const struct flow_key *key, uint64_t *sent_bytes)
{
	if (w.wire_bytes < 0)
		return -ENOENT;
	*sent_bytes = (uint64_t)w.wire_bytes;
	return 0;
}

static void map(void *arg, struct flow_key *key)
{
	if (key->src_ip[15] == 0x99) /* one address that the world knows otherwise */
		inet_pton(AF_INET6, "2001:db8:ffff::1", key->src_ip);
}

static const struct emitter_options usual = {.flows_max = 10000,
					     .ongoing_s = 30,
					     .enrich = 1,
					     .max_bytes = FIREFLY_EMIT_MAX_BYTES,
					     .host = "dtn1.example.org"};

static void begin_with(const struct emitter_options *options)
{
	const struct emitter_hooks hooks = {may, hear, look, look_at_all, count, map, NULL};

	w = (struct world){.now = {1000 * NS_PER_S, 1768035600 * US_PER_S},
			   .allowance = -1,
			   .connected = 1,
			   .cookie = 7,
			   .wire_bytes = -1};
	w.said = calloc(SAID_MAX, sizeof(*w.said));
	assert_int_equal(emitter_open(&w.emitter, options, &hooks), 0);
}

static int setup(void **state)
{
	begin_with(&usual);
	return 0;
}

static int teardown(void **state)
{
	struct emitter_counters c;

	emitter_count(w.emitter, &c);
	assert_int_equal(c.received, c.started + c.renewed + c.ended + c.full + c.unknown);
	assert_int_equal(c.emitted[FIREFLY_START] + c.emitted[FIREFLY_ONGOING] +
				 c.emitted[FIREFLY_END],
			 w.n_said);
	emitter_close(w.emitter);
	free(w.said);
	return 0;
}

static void pass(double seconds)
{
	w.now.mono_ns += (int64_t)(seconds * 1e9);
	w.now.utc_us += (int64_t)(seconds * 1e6);
	emitter_run(w.emitter, w.now);
}

static int begin(uint16_t port, uint16_t experiment, uint16_t activity)
{
	struct flow_key key = flow(port);
	int err = emitter_begin(w.emitter, &key, (struct scitag){experiment, activity}, "", 0,
				EMITTER_ASK, w.now);

	emitter_run(w.emitter, w.now);
	return err;
}

static int end(uint16_t port)
{
	struct flow_key key = flow(port);
	int err = emitter_end(w.emitter, &key, 0, w.now);

	emitter_run(w.emitter, w.now);
	return err;
}

static void a_flow_s_life(void **state)
{
	w.sent_bytes = 1000, w.received_bytes = 50; /* of an earlier transfer on the connection */
	begin(1, 3, 14);
	assert_int_equal(w.n_said, 1);
	assert_int_equal(w.said[0].state, FIREFLY_START);
	assert_int_equal(w.said[0].tag.experiment, 3);
	assert_int_equal(w.said[0].tag.activity, 14);
	assert_int_equal(w.said[0].start_utc_us, w.now.utc_us);
	assert_int_equal(w.said[0].src_to_dst_bytes, FIREFLY_BYTES_UNSAID);
	assert_string_equal(w.said[0].host, "dtn1.example.org");
	assert_int_equal(w.said[0].producer, FIREFLY_OURS);
	pass(29.9);
	assert_int_equal(w.n_said, 1);
	w.sent_bytes = 6000, w.received_bytes = 70;
	pass(0.1);
	assert_int_equal(w.n_said, 2);
	assert_int_equal(w.said[1].state, FIREFLY_ONGOING);
	assert_int_equal(w.said[1].src_to_dst_bytes, 5000);
	assert_int_equal(w.said[1].dst_to_src_bytes, 20);
	assert_int_equal(w.said[1].rtt_us, 1500);
	assert_int_equal(w.said[1].tcp.path_mtu_bytes, 1500);
	w.sent_bytes = 9000; /* in the same second: END asks again */
	pass(0.5);
	end(1);
	assert_int_equal(w.n_said, 3);
	assert_int_equal(w.said[2].state, FIREFLY_END);
	assert_int_equal(w.said[2].src_to_dst_bytes, 8000);
	assert_int_equal(w.said[2].start_utc_us, w.said[0].start_utc_us);
	assert_int_equal(w.said[2].end_utc_us, w.said[0].start_utc_us + 30500000);
	pass(100);
	assert_int_equal(w.n_said, 3);
	assert_int_equal(emitter_next(w.emitter, w.now.mono_ns), INT64_MAX);
}

/* Word of a new connection comes later than its first bytes. */
static void a_flow_may_begin_with_its_connection(void **state)
{
	struct flow_key key = flow(1);

	w.sent_bytes = 1000;
	emitter_begin(w.emitter, &key, (struct scitag){3, 14}, "", 0, EMITTER_OPENED, w.now);
	pass(0);
	pass(30);
	assert_int_equal(w.said[1].src_to_dst_bytes, 1000);
}

static void a_flow_begun_twice_is_said_once(void **state)
{
	begin(1, 3, 14);
	begin(1, 3, 14);
	assert_int_equal(w.n_said, 1);
	assert_int_equal(end(1), 0);
	assert_int_equal(end(1), -ENOENT);
	assert_int_equal(w.n_said, 2);
}

static void another_tag_ends_the_flow_and_begins_one(void **state)
{
	begin(1, 3, 14);
	w.sent_bytes = 500;
	pass(0.1);
	begin(1, 2, 4);
	assert_int_equal(w.n_said, 3);
	assert_int_equal(w.said[1].state, FIREFLY_END);
	assert_int_equal(w.said[1].tag.experiment, 3);
	assert_int_equal(w.said[1].src_to_dst_bytes, 500);
	assert_int_equal(w.said[2].state, FIREFLY_START);
	assert_int_equal(w.said[2].tag.experiment, 2);
	w.sent_bytes = 700;
	pass(2);
	end(1);
	assert_int_equal(w.said[3].src_to_dst_bytes, 200);
}

/* Nothing is lost and nothing doubled when the rate lets out less than there is to say. */
static void the_rate_only_delays(void **state)
{
	static const struct {
		uint16_t port, activity;
		enum firefly_state state;
	} want[] = {{1, 14, FIREFLY_START}, {1, 14, FIREFLY_END},   {2, 14, FIREFLY_START},
		    {2, 14, FIREFLY_END},   {1, 15, FIREFLY_START}, {1, 15, FIREFLY_END},
		    {1, 16, FIREFLY_START}};

	w.allowance = 0;
	begin(1, 3, 14);
	begin(2, 3, 14);
	end(1);
	end(2);
	begin(1, 3, 15); /* while the flow before it has two things to say */
	begin(1, 3, 16);
	assert_int_equal(w.n_said, 0);
	assert_true(emitter_next(w.emitter, w.now.mono_ns) < w.now.mono_ns + NS_PER_S / 100);
	w.allowance = 1;
	pass(0.1);
	assert_int_equal(w.n_said, 1);
	w.allowance = -1;
	pass(0.1);
	assert_int_equal(w.n_said, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < w.n_said; i++) {
		assert_int_equal(w.said[i].state, want[i].state);
		assert_int_equal(w.said[i].key.src_port, want[i].port);
		assert_int_equal(w.said[i].tag.activity, want[i].activity);
	}
	end(1);
	assert_int_equal(w.said[7].tag.activity, 16);
}

static void a_connection_s_end_is_the_flow_s(void **state)
{
	struct flow_key key = flow(1);
	struct tcp_sample s;

	begin(1, 3, 14);
	w.cookie = 8; /* word of another connection, on the same ports */
	s = sample();
	emitter_gone(w.emitter, &key, &s, w.now);
	pass(0.1);
	assert_int_equal(w.n_said, 1);
	w.cookie = 7;
	w.sent_bytes = 123456;
	w.connected = 0;
	s = sample();
	emitter_gone(w.emitter, &key, &s, w.now);
	emitter_gone(w.emitter, &key, &s, w.now);
	pass(0.1);
	assert_int_equal(w.n_said, 2);
	assert_int_equal(w.said[1].state, FIREFLY_END);
	assert_int_equal(w.said[1].src_to_dst_bytes, 123456);
	assert_int_equal(end(1), -ENOENT);
}

/* That a connection closed is known before its last word comes: END waits for it. */
static void an_end_waits_for_the_last_word(void **state)
{
	struct flow_key key = flow(1);
	struct emitter_counters c;
	struct tcp_sample s;

	begin(1, 3, 14);
	begin(2, 3, 14);
	begin(3, 3, 14);
	w.connected = 0;
	end(1);
	end(2);
	assert_int_equal(end(1), -ENOENT);
	assert_int_equal(w.n_said, 3);
	pass(0.2);
	w.sent_bytes = 4711;
	s = sample();
	emitter_gone(w.emitter, &key, &s, w.now);
	pass(0.1);
	assert_int_equal(w.n_said, 4);
	assert_int_equal(w.said[3].state, FIREFLY_END);
	assert_int_equal(w.said[3].src_to_dst_bytes, 4711);
	assert_int_equal(w.said[3].end_utc_us, w.now.utc_us - 300000); /* when it closed */
	assert_true(emitter_next(w.emitter, w.now.mono_ns) <= w.now.mono_ns + NS_PER_S);
	pass(0.7); /* the other's never comes */
	assert_int_equal(w.n_said, 5);
	assert_int_equal(w.said[4].key.src_port, 2);
	end(3);
	emitter_end_all(w.emitter, w.now);
	pass(0);
	assert_int_equal(w.n_said, 6);
	emitter_count(w.emitter, &c);
	assert_int_equal(c.ended, 3);
	assert_int_equal(c.gone, 0);
	assert_int_equal(c.active, 0);
}

/* Gone before word of its beginning came: it still has its bytes, and no END waits. */
static void a_last_word_may_come_first(void **state)
{
	struct flow_key key = flow(1), other = flow(2);
	struct tcp_sample s;

	w.connected = 0;
	w.sent_bytes = 1000;
	s = sample();
	emitter_gone(w.emitter, &other, &s, w.now);
	w.sent_bytes = 4711;
	s = sample();
	emitter_gone(w.emitter, &key, &s, w.now);
	pass(0.1);
	emitter_begin(w.emitter, &key, (struct scitag){3, 14}, "", 0, EMITTER_OPENED, w.now);
	end(1);
	assert_int_equal(w.n_said, 2);
	assert_int_equal(w.said[1].state, FIREFLY_END);
	assert_int_equal(w.said[1].src_to_dst_bytes, 4711);
	emitter_begin(w.emitter, &key, (struct scitag){3, 14}, "", 0, EMITTER_OPENED,
		      w.now); /* once only */
	end(1);
	pass(1.5);
	assert_int_equal(w.said[3].src_to_dst_bytes, FIREFLY_BYTES_UNSAID);
	emitter_begin(w.emitter, &other, (struct scitag){3, 14}, "", 0, EMITTER_OPENED,
		      w.now); /* too old */
	end(2);
	pass(1);
	assert_int_equal(w.said[5].src_to_dst_bytes, FIREFLY_BYTES_UNSAID);
}

/* Its ports in use again: the flow before is finished first. */
static void another_flow_does_not_wait(void **state)
{
	begin(1, 3, 14);
	w.connected = 0;
	end(1);
	w.connected = 1;
	w.cookie = 8;
	begin(1, 3, 14);
	assert_int_equal(w.n_said, 3);
	assert_int_equal(w.said[1].state, FIREFLY_END);
	assert_int_equal(w.said[2].state, FIREFLY_START);
}

static void a_mark_s_end_is_the_flow_s(void **state)
{
	struct flow_key key = flow(1);
	struct emitter_counters c;

	begin(1, 3, 14);
	w.sent_bytes = 5;
	emitter_lapse(w.emitter, &key, w.now);
	emitter_lapse(w.emitter, &key, w.now);
	pass(0.1);
	emitter_lapse(w.emitter, &key, w.now);
	assert_int_equal(w.n_said, 2);
	assert_int_equal(w.said[1].state, FIREFLY_END);
	assert_int_equal(w.said[1].src_to_dst_bytes, 5);
	emitter_count(w.emitter, &c);
	assert_int_equal(c.gone, 1);
	assert_int_equal(c.unknown, 0);
}

/* Announced before it was connected: all its bytes are the flow's. */
static void a_connection_that_comes_later(void **state)
{
	struct flow_key key = flow(1);
	struct tcp_sample s;

	w.connected = 0;
	begin(1, 3, 14);
	w.sent_bytes = 10;
	s = sample();
	emitter_gone(w.emitter, &key, &s, w.now);
	pass(0.1);
	assert_int_equal(w.n_said, 2);
	assert_int_equal(w.said[1].src_to_dst_bytes, 10);
}

/* The kernel's word of a connection's end may be lost: the next look finds nothing. */
static void a_missed_end_is_found_out(void **state)
{
	begin(1, 3, 14);
	w.connected = 0;
	pass(30);
	pass(0.1);
	assert_int_equal(w.n_said, 2);
	assert_int_equal(w.said[1].state, FIREFLY_END);
}

static void lost_words_are_made_up_for(void **state)
{
	for (uint16_t i = 1; i <= 200; i++)
		begin(i, 3, 14);
	n_flows_known = 150; /* the connections of the others went */
	w.connected = 0;
	w.sent_bytes = 40;
	w.now.mono_ns++;
	emitter_missed(w.emitter, w.now);
	pass(0.1);
	assert_int_equal(w.n_said, 250);
	assert_int_equal(w.said[249].state, FIREFLY_END);
	assert_in_range(w.said[249].key.src_port, 151, 200);
	assert_int_equal(w.asked_all, 1);
}

static void a_flow_of_no_connection_goes_on(void **state)
{
	w.connected = 0;
	begin(1, 3, 14);
	pass(30);
	pass(30);
	end(1);
	assert_int_equal(w.n_said, 3);
	pass(1); /* in vain: no last word */
	assert_int_equal(w.n_said, 4);
	assert_int_equal(w.said[2].state, FIREFLY_ONGOING);
	assert_int_equal(w.said[3].state, FIREFLY_END);
	assert_int_equal(w.said[3].src_to_dst_bytes, FIREFLY_BYTES_UNSAID);
	assert_int_equal(w.said[3].rtt_us, FIREFLY_RTT_UNSAID);
}

/* UDP: what the mark counted since START; what came back nobody counted. */
static void a_flow_of_no_connection_counts_what_left(void **state)
{
	w.connected = 0;
	w.wire_bytes = 700; /* of an earlier flow on the same ports */
	begin(1, 3, 14);
	w.wire_bytes = 1700;
	pass(30);
	w.wire_bytes = 5700;
	end(1);
	assert_int_equal(w.n_said, 3);
	assert_int_equal(w.said[0].src_to_dst_bytes, FIREFLY_BYTES_UNSAID);
	assert_int_equal(w.said[1].src_to_dst_bytes, 1000);
	assert_int_equal(w.said[2].src_to_dst_bytes, 5000);
	assert_int_equal(w.said[2].dst_to_src_bytes, FIREFLY_BYTES_UNSAID);
}

/* Who asked already that there is no connection spares us the question; at END there may be one. */
static void a_connection_that_is_not_there_is_not_asked_for(void **state)
{
	struct flow_key key = flow(1);

	w.wire_bytes = 100;
	w.sent_bytes = 70;
	emitter_begin(w.emitter, &key, (struct scitag){3, 14}, "", 0, EMITTER_NONE, w.now);
	assert_int_equal(w.asked_one, 0);
	end(1);
	assert_int_equal(w.asked_one, 1);
	assert_int_equal(w.said[1].src_to_dst_bytes, 70);
}

/* A mark that is gone at its END has been asked before: the last count is said. */
static void the_last_count_outlives_the_mark(void **state)
{
	struct flow_key key = flow(1);

	w.connected = 0;
	w.wire_bytes = 0;
	begin(1, 3, 14);
	w.wire_bytes = 1000;
	pass(30);
	w.wire_bytes = -1;
	emitter_lapse(w.emitter, &key, w.now);
	pass(0.1);
	assert_int_equal(w.said[2].state, FIREFLY_END);
	assert_int_equal(w.said[2].src_to_dst_bytes, 1000);
}

/* Segments that this host drops itself are counted at each try: then what is acknowledged counts, less
 * the SYN that was seen to be acknowledged, less the FIN of a closed connection. */
static void syn_and_fin_are_no_payload(void **state)
{
	for (uint16_t i = 0; i < 2;
	     i++) { /* a listener's connection; then one with a SYN of ours */
		struct flow_key key = flow(i + 1);
		struct tcp_sample s;

		w.syn = (uint8_t)i;
		begin(i + 1, 3, 14);
		s = sample();
		s.sent_bytes = 652 + i + 1;
		w.syn = 0;
		w.rough = 1;
		w.sent_bytes = 100 + i; /* of a look in between, while something is on its way */
		pass(30);
		assert_int_equal(w.said[3 * i + 1].src_to_dst_bytes, 100);
		w.sent_bytes = 0;
		w.rough = 0;
		s.syn = 0;
		s.rough = s.fin = 1;
		emitter_gone(w.emitter, &key, &s, w.now);
		pass(0.1);
		assert_int_equal(w.said[3 * i + 2].src_to_dst_bytes, 652);
	}
}

static void what_the_source_says_is_kept(void **state)
{
	struct flow_key key = flow(1);
	int64_t then_utc_us = w.now.utc_us - 5 * US_PER_S;

	emitter_begin(w.emitter, &key, (struct scitag){3, 14}, "xrdcp", then_utc_us, 0, w.now);
	pass(1);
	emitter_end(w.emitter, &key, then_utc_us + 2 * US_PER_S, w.now);
	pass(0);
	assert_string_equal(w.said[0].application, "xrdcp");
	assert_int_equal(w.said[0].start_utc_us, then_utc_us);
	assert_int_equal(w.said[1].start_utc_us, then_utc_us);
	assert_int_equal(w.said[1].end_utc_us, then_utc_us + 2 * US_PER_S);
}

static void our_source_is_named_as_the_world_knows_it(void **state)
{
	struct flow_key key = flow(1);
	uint8_t outside[16];

	key.src_ip[15] = key.dst_ip[15] = 0x99;
	inet_pton(AF_INET6, "2001:db8:ffff::1", outside);
	emitter_begin(w.emitter, &key, (struct scitag){3, 14}, "", 0, EMITTER_ASK, w.now);
	pass(0);
	assert_memory_equal(w.said[0].key.src_ip, outside, 16);
	assert_memory_equal(w.said[0].key.dst_ip, key.dst_ip, 16);
}

static void a_full_table_refuses(void **state)
{
	struct emitter_counters c;

	for (uint16_t i = 1; i <= 10000; i++)
		assert_int_equal(begin(i, 3, 14), 0);
	assert_int_equal(begin(10001, 3, 14), -ENOSPC);
	assert_int_equal(end(5000), 0);
	assert_int_equal(begin(10001, 3, 14), 0);
	assert_int_equal(begin(1, 2, 17),
			 0); /* another tag needs no more place, whatever the rate */
	w.allowance = 0;
	assert_int_equal(begin(2, 2, 17), 0);
	emitter_count(w.emitter, &c);
	assert_int_equal(c.full, 1);
	assert_int_equal(c.active, 10000);
	assert_int_equal(w.said[w.n_said - 1].state, FIREFLY_END);
	assert_int_equal(w.said[w.n_said - 1].key.src_port, 2);
}

static void many_at_a_time_share_one_question(void **state)
{
	int before;

	n_flows_known = 1000;
	for (uint16_t i = 1; i <= 1000; i++)
		begin(i, 3, 14);
	before = w.asked_one;
	w.sent_bytes = 99;
	pass(30);
	pass(0.001); /* a batch is 1024: START of none, ONGOING of 1000 */
	assert_int_equal(w.n_said, 2000);
	assert_int_equal(w.asked_all, 1);
	assert_int_equal(w.asked_one, before);
	assert_int_equal(w.said[1999].src_to_dst_bytes, 99);
}

static void few_are_asked_one_by_one(void **state)
{
	for (uint16_t i = 1; i <= EMITTER_LOOKS_MAX; i++)
		begin(i, 3, 14);
	pass(30);
	assert_int_equal(w.asked_all, 0);
	assert_int_equal(w.n_said, 2 * EMITTER_LOOKS_MAX);
}

/* Ten thousand flows, each with all its fireflies and none twice. */
static void none_is_forgotten_none_said_twice(void **state)
{
	static uint8_t seen[10001][FIREFLY_END + 1];

	memset(seen, 0, sizeof(seen));
	n_flows_known = 10000;
	for (uint16_t i = 1; i <= 10000; i++)
		begin(i, 3, 14);
	for (int i = 0; i < 15; i++)
		pass(i ? 0.001 : 30);
	emitter_end_all(w.emitter, w.now);
	for (int i = 0; i < 15; i++)
		pass(0.001);
	assert_int_equal(w.n_said, 30000);
	for (size_t i = 0; i < w.n_said; i++)
		seen[w.said[i].key.src_port][w.said[i].state]++;
	for (int i = 1; i <= 10000; i++)
		for (int s = FIREFLY_START; s <= FIREFLY_END; s++)
			assert_int_equal(seen[i][s], 1);
}

static void a_successor_goes_on(void **state)
{
	FILE *f = tmpfile();
	int64_t start_utc_us = w.now.utc_us;

	w.sent_bytes = 1000;
	begin(1, 3, 14);
	begin(2, 2, 4);
	end(2);
	w.sent_bytes = 1500;
	pass(1);
	assert_int_equal(emitter_save(w.emitter, f, w.now), 1);
	rewind(f);
	emitter_close(w.emitter);
	free(w.said);
	begin_with(&usual);
	w.now.utc_us += 5 * US_PER_S;
	assert_int_equal(emitter_load(w.emitter, f, w.now), 1);
	w.sent_bytes = 1600;
	pass(0);
	end(1);
	assert_int_equal(w.n_said, 2); /* no START */
	assert_int_equal(w.said[0].state, FIREFLY_ONGOING);
	assert_int_equal(w.said[1].state, FIREFLY_END);
	assert_int_equal(w.said[1].start_utc_us, start_utc_us);
	assert_int_equal(w.said[1].src_to_dst_bytes, 600);
	assert_int_equal(w.said[1].tag.activity, 14);
	fclose(f);
}

static void what_is_no_inheritance_is_refused(void **state)
{
	FILE *f = tmpfile();

	begin(1, 3, 14);
	assert_int_equal(emitter_save(w.emitter, f, w.now), 1);
	rewind(f);
	w.now.utc_us += (EMITTER_HANDOVER_S + 1) * US_PER_S;
	assert_int_equal(emitter_load(w.emitter, f, w.now), -ESTALE);
	rewind(f);
	w.now.utc_us -= (EMITTER_HANDOVER_S + 2) * US_PER_S; /* from the future */
	assert_int_equal(emitter_load(w.emitter, f, w.now), -ESTALE);
	w.now.utc_us += 2 * US_PER_S;
	rewind(f);
	assert_int_equal(emitter_load(w.emitter, f, w.now), 0); /* known already */
	rewind(f);
	fputs("firefly1", f);
	rewind(f);
	assert_int_equal(emitter_load(w.emitter, f, w.now), -EBADMSG);
	fclose(f);
	f = tmpfile();
	assert_int_equal(emitter_load(w.emitter, f, w.now), -EBADMSG);
	fclose(f);
}

/* Killed with a START and an END still to be said: both are, by the successor. */
static void what_was_due_is_said_by_a_successor(void **state)
{
	FILE *f = tmpfile();

	begin(1, 3, 14);
	w.allowance = 0;
	begin(2, 3, 14);
	end(1);
	w.connected = 0;
	w.wire_bytes = 40;
	begin(3, 3, 14);
	begin(1, 2, 17); /* its ports again */
	assert_int_equal(w.n_said, 1);
	assert_int_equal(emitter_save(w.emitter, f, w.now), 4);
	rewind(f);
	emitter_close(w.emitter);
	free(w.said);
	begin_with(&usual);
	assert_int_equal(emitter_load(w.emitter, f, w.now), 4);
	pass(0);
	assert_int_equal(w.n_said, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(w.said[i].state,
				 w.said[i].key.src_port == 1 && w.said[i].tag.experiment == 3
					 ? FIREFLY_END
					 : FIREFLY_START);
	w.connected = 0;
	w.wire_bytes = 100;
	end(3);
	assert_int_equal(w.said[4].src_to_dst_bytes, 60);
	fclose(f);
}

static void a_change_of_what_is_saved_is_told(void **state)
{
	uint64_t before = emitter_changes(w.emitter), after;

	begin(1, 3, 14);
	after = emitter_changes(w.emitter);
	assert_true(after > before);
	pass(30);
	assert_int_equal(emitter_changes(w.emitter), after); /* ONGOING changes nothing */
	end(1);
	assert_true(emitter_changes(w.emitter) > after);
}

static size_t n_listed;

static void end_it(void *arg, const struct flow_key *key, const struct scitag *tag)
{
	assert_int_equal(tag->experiment, 3);
	n_listed++;
	emitter_lapse(w.emitter, key, w.now);
}

static void flows_may_end_while_they_are_listed(void **state)
{
	struct flow_key key = flow(3);

	for (uint16_t i = 1; i <= 5; i++)
		begin(i, 3, 14);
	assert_true(emitter_has(w.emitter, &key));
	n_listed = 0;
	emitter_each(w.emitter, end_it, NULL);
	assert_int_equal(n_listed, 5);
	assert_false(emitter_has(w.emitter, &key));
	emitter_each(w.emitter, end_it, NULL);
	assert_int_equal(n_listed, 5);
	pass(0.1);
	assert_int_equal(w.n_said, 10);
}

static void a_mute_one_keeps_the_flows_and_says_nothing(void **state)
{
	struct emitter_options mute = usual;
	struct emitter_counters c;

	mute.mute = 1;
	emitter_set(w.emitter, &mute);
	begin(1, 3, 14);
	pass(30);
	emitter_count(w.emitter, &c);
	assert_int_equal(c.active, 1);
	assert_int_equal(w.n_said, 0);
	end(1);
	emitter_count(w.emitter, &c);
	assert_int_equal(c.active, 0);
	assert_int_equal(w.n_said, 0);
}

/* The forms beside lean: each flow's own details, those of the last word included. */
static void details_are_the_flow_s_own(void **state)
{
	struct emitter_options full = usual;
	struct tcp_detail detail = {.has = 1U << INET_DIAG_INFO, .congestion = "cubic"};
	struct flow_key key = flow(1);
	struct tcp_sample s;

	full.form = ENRICH_FULL;
	emitter_set(w.emitter, &full);
	w.detail = &detail;
	detail.info.tcpi_rtt = 111;
	begin(1, 3, 14);
	detail.info.tcpi_rtt = 222;
	begin(2, 3, 14);
	assert_int_equal(w.said[0].rtt_us, 111);
	assert_int_equal(w.said[1].rtt_us, 222);
	detail.info.tcpi_rtt = 333;
	detail.congestion[0] = 0; /* which the last word leaves out */
	s = sample();
	emitter_gone(w.emitter, &key, &s, w.now);
	pass(0.1);
	assert_int_equal(w.said[2].rtt_us, 333);
	assert_string_equal(w.said[2].tcp.congestion, "cubic");
	w.detail = NULL;
	w.connected = 0;
	begin(1, 3, 14); /* in a row that had some */
	assert_int_equal(w.said[3].rtt_us, FIREFLY_RTT_UNSAID);
	s.detail = &detail; /* of another by now: the look in between has asked for more */
	emitter_gone(w.emitter, &key, &s, w.now);
	pass(0.1);
	assert_int_equal(w.said[4].state, FIREFLY_END);
	assert_null(strstr(w.last, "netlink"));
}

static void a_bare_one_is_json_alone(void **state)
{
	struct emitter_options bare = usual;

	emitter_close(w.emitter);
	free(w.said);
	bare.bare = 1;
	begin_with(&bare);
	begin(1, 3, 14);
	assert_int_equal(w.last[0], '{');
	assert_true(w.said[0].flags & FIREFLY_NO_HEADER);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_flow_s_life, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flow_may_begin_with_its_connection, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_flow_begun_twice_is_said_once, setup, teardown),
		cmocka_unit_test_setup_teardown(another_tag_ends_the_flow_and_begins_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_rate_only_delays, setup, teardown),
		cmocka_unit_test_setup_teardown(a_connection_s_end_is_the_flow_s, setup, teardown),
		cmocka_unit_test_setup_teardown(an_end_waits_for_the_last_word, setup, teardown),
		cmocka_unit_test_setup_teardown(a_last_word_may_come_first, setup, teardown),
		cmocka_unit_test_setup_teardown(another_flow_does_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mark_s_end_is_the_flow_s, setup, teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_comes_later, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missed_end_is_found_out, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_words_are_made_up_for, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flow_of_no_connection_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flow_of_no_connection_counts_what_left, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_is_not_there_is_not_asked_for,
						setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_count_outlives_the_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(syn_and_fin_are_no_payload, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_source_says_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(our_source_is_named_as_the_world_knows_it, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_full_table_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(many_at_a_time_share_one_question, setup, teardown),
		cmocka_unit_test_setup_teardown(few_are_asked_one_by_one, setup, teardown),
		cmocka_unit_test_setup_teardown(none_is_forgotten_none_said_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(a_successor_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_inheritance_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_due_is_said_by_a_successor, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_change_of_what_is_saved_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(flows_may_end_while_they_are_listed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_mute_one_keeps_the_flows_and_says_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(details_are_the_flow_s_own, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bare_one_is_json_alone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
