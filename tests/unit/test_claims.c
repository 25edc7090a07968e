/* Claims from their first message to their last: life cycle, trust, finding, booking. Times are of our own
 * making; what comes out is worked out beside each case. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "join/claims.h"
#include "tests/unit/claims_bed.h"
#include "tests/unit/shared.h"

#define MINUTE 60
#define FOUND  0xF0F0F0F0u /* nothing found leaves another value than this in `how` */

static struct bed bed;

static int open_bed(void **state)
{
	(void)state;
	bed_open(&bed, 1024);
	return 0;
}

static int close_bed(void **state)
{
	(void)state;
	bed_close(&bed);
	return 0;
}

static struct claims_status status(void)
{
	struct claims_status s;

	claims_status(bed.claims, &s);
	/* whatever happens: what began is there or was given up */
	assert_int_equal(s.begun, s.count + bed.n_over);
	return s;
}

static struct claim *at(uint32_t number)
{
	struct claim *c = claims_at(bed.claims, number);

	assert_non_null(c);
	return c;
}

static const struct claim *last_over(void)
{
	assert_true(bed.n_over > 0);
	return &bed.over[(bed.n_over - 1) % 64];
}

static void tick(int64_t now_utc_us)
{
	claims_tick(bed.claims, now_utc_us, bed_over, &bed);
}

static struct heard from(struct heard h, const char *sender)
{
	bed_ip(h.sender_ip, sender);
	return h;
}

static struct heard later(struct heard h, int64_t by_us)
{
	h.heard_utc_us += by_us;
	return h;
}

/* To another client. */
static struct heard numbered(struct heard h, unsigned int n)
{
	h.firefly.key.dst_ip[13] = (uint8_t)(n >> 16);
	h.firefly.key.dst_ip[14] = (uint8_t)(n >> 8);
	h.firefly.key.dst_ip[15] = (uint8_t)n;
	return h;
}

/* --- life cycle ----------------------------------------------------------------------------------- */

static void start_ongoing_and_end_are_one_claim(void **state)
{
	uint32_t n = bed_hear(&bed, bed_start(T0));

	(void)state;
	assert_int_equal(at(n)->state, CLAIM_OPEN);
	assert_int_equal(at(n)->provenance, CLAIM_FROM_END);
	assert_int_equal(at(n)->tag.activity, 14);
	assert_int_equal(at(n)->end_utc_us, CLOCK_NEVER);
	assert_int_equal(claim_bytes(at(n)), FIREFLY_BYTES_UNSAID);
	assert_int_equal(bed_hear(&bed, bed_ongoing(T0, T0 + S(10), 700)), n);
	assert_int_equal(claim_bytes(at(n)), 700);
	assert_int_equal(claim_data_direction(at(n)), 1);
	assert_int_equal(bed_hear(&bed, bed_end(T0, T0 + S(20), 10000)), n);
	assert_int_equal(at(n)->state, CLAIM_ENDED);
	assert_int_equal(at(n)->starts, 1);
	assert_int_equal(at(n)->ongoings, 1);
	assert_int_equal(at(n)->ends, 1);
	assert_int_equal(at(n)->oddities, 0);
	assert_int_equal(status().begun, 1);
	assert_int_equal(status().duplicates, 0);
}

/* 20 s, received 0, sent 10,000: 500 bytes a second. */
static void duration_and_rate_follow_from_the_end(void **state)
{
	uint32_t n = bed_hear(&bed, bed_end(T0, T0 + S(20), 10000));

	(void)state;
	assert_int_equal(claim_duration_us(at(n)), S(20));
	assert_true(claim_bytes_per_s(at(n)) == 500);
	at(n)->end_utc_us = at(n)->start_utc_us;
	assert_true(isnan(claim_bytes_per_s(at(n)))); /* of no duration */
	at(n)->end_utc_us = at(n)->start_utc_us - 1;
	assert_int_equal(claim_duration_us(at(n)), CLOCK_NEVER);
	at(n)->end_utc_us = at(n)->start_utc_us + S(30 * 86400) + 1;
	assert_int_equal(claim_duration_us(at(n)), CLOCK_NEVER);
	assert_true(isnan(claim_bytes_per_s(at(n))));
}

static void an_end_alone_is_a_whole_claim(void **state)
{
	uint32_t n = bed_hear(&bed, bed_end(T0, T0 + S(20), 10000));

	(void)state;
	assert_int_equal(at(n)->state, CLAIM_ENDED);
	assert_int_equal(at(n)->start_utc_us, T0);
	assert_int_equal(at(n)->starts, 0);
}

static void copies_are_counted_and_change_nothing(void **state)
{
	uint32_t n = bed_hear(&bed, bed_start(T0));

	(void)state;
	assert_int_equal(bed_hear(&bed, bed_start(T0)), n); /* to the collector */
	assert_int_equal(bed_hear(&bed, from(later(bed_start(T0), S(3)), RELAY)), n);
	bed_hear(&bed, bed_ongoing(T0, T0 + S(10), 700));
	bed_hear(&bed, from(bed_ongoing(T0, T0 + S(10), 700), CLIENT)); /* ours forwards as well */
	bed_hear(&bed, bed_end(T0, T0 + S(20), 10000));
	bed_hear(&bed, from(later(bed_end(T0, T0 + S(20), 10000), S(30)), RELAY));
	assert_int_equal(at(n)->duplicates, 4);
	assert_int_equal(at(n)->starts + at(n)->ongoings + at(n)->ends, 3);
	assert_memory_equal(at(n)->sender_ip, at(n)->key.src_ip, 16);
	assert_int_equal(status().duplicates, 4);
	assert_int_equal(status().begun, 1);
	bed_take(&bed);
	assert_int_equal(bed_all_bytes(&bed), 10000);
	assert_int_equal(bed.rows[0].starts, 1);
	assert_int_equal(bed.rows[0].ends, 1);
	assert_int_equal(bed.rows[0].end_bytes, 10000);
}

static void a_later_start_supersedes(void **state)
{
	uint32_t n;

	(void)state;
	bed_hear(&bed, bed_start(T0));
	n = bed_hear(&bed, bed_start(T0 + S(2)));
	assert_int_equal(bed.n_over, 1);
	assert_int_equal(last_over()->state, CLAIM_SUPERSEDED);
	assert_int_equal(last_over()->start_utc_us, T0);
	assert_int_equal(at(n)->start_utc_us, T0 + S(2));
	assert_int_equal(status().superseded, 1);
	/* the END of the first, late: known to be of a flow that is gone */
	assert_int_equal(bed_hear(&bed, later(bed_end(T0, T0 + S(1), 5), S(2))), TABLE_NONE);
	assert_int_equal(at(n)->state, CLAIM_OPEN);
	assert_int_equal(claim_bytes(at(n)), FIREFLY_BYTES_UNSAID);
	/* and its START once more */
	assert_int_equal(bed_hear(&bed, later(bed_start(T0), S(3))), TABLE_NONE);
	assert_int_equal(status().begun, 2);
	assert_int_equal(status().duplicates, 2);
}

static void a_start_a_moment_later_is_another_flow(void **state)
{
	(void)state;
	bed_hear(&bed, bed_start(T0));
	bed_hear(&bed, bed_start(T0 + 1));
	assert_int_equal(status().superseded, 1);
	/* the same start is the same flow, however late and whatever else it says */
	struct heard again = later(bed_start(T0 + 1), S(120));

	again.firefly.rtt_us = 7;
	again.firefly.current_utc_us += 7;
	bed_hear(&bed, again);
	assert_int_equal(status().begun, 2);
	assert_int_equal(status().duplicates, 1);
}

/* Nothing tells these from copies but that copies do not come a minute later. */
static void messages_without_a_time_are_copies_for_a_minute(void **state)
{
	struct heard h = bed_ongoing(UNSET, T0, 5);
	uint32_t n;

	(void)state;
	h.firefly.current_utc_us = h.firefly.header_utc_us = UNSET;
	n = bed_hear(&bed, h);
	bed_hear(&bed, later(h, S(60)));
	assert_int_equal(at(n)->ongoings, 1);
	assert_int_equal(at(n)->duplicates, 1);
	bed_hear(&bed, later(h, S(121)));
	assert_int_equal(at(n)->ongoings, 2);
}

static void an_ended_claim_makes_room_for_the_next_flow(void **state)
{
	(void)state;
	bed_hear(&bed, bed_start(T0));
	bed_hear(&bed, bed_end(T0, T0 + S(1), 5));
	bed_hear(&bed, bed_start(T0 + S(2)));
	assert_int_equal(last_over()->state, CLAIM_ENDED);
	assert_int_equal(status().superseded, 0);
	/* an END of a third whose START was lost: the second gave way */
	bed_hear(&bed, bed_end(T0 + S(10), T0 + S(12), 7));
	assert_int_equal(last_over()->state, CLAIM_SUPERSEDED);
	assert_int_equal(status().begun, 3);
	/* and an END of a fourth that names no start */
	bed_hear(&bed, bed_end(UNSET, T0 + S(30), 7));
	assert_int_equal(last_over()->state, CLAIM_ENDED);
	assert_int_equal(status().begun, 4);
}

static void late_ones_are_counted_only(void **state)
{
	uint32_t n = bed_hear(&bed, bed_end(T0, T0 + S(20), 10000));
	struct claim before;

	(void)state;
	before = *at(n);
	assert_int_equal(bed_hear(&bed, later(bed_start(T0), S(21))), n);
	assert_int_equal(bed_hear(&bed, later(bed_ongoing(T0, T0 + S(10), 90000), S(11))), n);
	assert_int_equal(at(n)->starts, 1);
	assert_int_equal(at(n)->ongoings, 1);
	assert_int_equal(at(n)->state, CLAIM_ENDED);
	assert_int_equal(claim_bytes(at(n)), 10000);
	assert_int_equal(at(n)->booked_bytes, before.booked_bytes);
	assert_int_equal(at(n)->end_utc_us, before.end_utc_us);
	assert_int_equal(bed.n_over, 0);
	bed_take(&bed);
	assert_int_equal(bed_all_bytes(&bed), 10000);
}

static void ongoings_out_of_order_do_not_turn_back(void **state)
{
	uint32_t n;

	(void)state;
	bed_hear(&bed, bed_start(T0));
	n = bed_hear(&bed, bed_ongoing(T0, T0 + S(20), 2000));
	bed_hear(&bed, later(bed_ongoing(T0, T0 + S(10), 1000), S(11)));
	assert_int_equal(at(n)->ongoings, 2);
	assert_int_equal(claim_bytes(at(n)), 2000);
	assert_int_equal(at(n)->booked_bytes, 2000);
}

static void see_another_flow(void)
{
	struct flow_key key = bed_key(SOMEONE, 1, RELAY, 2);
	uint32_t how;

	assert_int_equal(claims_find(bed.claims, &key, T0, T0, &how), TABLE_NONE);
}

static void silence_for_an_hour_expires(void **state)
{
	(void)state;
	see_another_flow();
	bed_hear(&bed, bed_start(T0));
	bed_hear(&bed, bed_ongoing(T0, T0 + S(100), 5));
	tick(T0 + S(3699));
	assert_int_equal(bed.n_over, 0);
	tick(T0 + S(3700));
	assert_int_equal(last_over()->state, CLAIM_EXPIRED);
	assert_true(last_over()->oddities & CLAIM_UNSEEN);
	assert_int_equal(status().expired, 1);
	assert_int_equal(status().count, 0);
}

static void copies_keep_it_alive(void **state)
{
	(void)state;
	bed_hear(&bed, bed_start(T0));
	bed_hear(&bed, later(bed_start(T0), S(1000)));
	tick(T0 + S(4599));
	assert_int_equal(bed.n_over, 0);
	tick(T0 + S(4600));
	assert_int_equal(bed.n_over, 1);
}

static void packets_keep_it_alive(void **state)
{
	uint32_t n = bed_hear(&bed, bed_start(T0));

	(void)state;
	claims_joined(bed.claims, n, T0 + S(3000));
	tick(T0 + S(6599));
	assert_int_equal(bed.n_over, 0);
	tick(T0 + S(6600));
	assert_int_equal(last_over()->state, CLAIM_EXPIRED);
	assert_false(last_over()->oddities & CLAIM_UNSEEN);
	assert_int_equal(status().joined, 1);
}

static void ended_ones_are_kept_a_minute(void **state)
{
	uint32_t n = bed_hear(&bed, bed_end(T0, T0 + S(20), 10000));

	(void)state;
	claims_joined(bed.claims, n, T0 + S(20));
	tick(T0 + S(79));
	assert_int_equal(bed.n_over, 0);
	tick(T0 + S(80));
	assert_int_equal(last_over()->state, CLAIM_ENDED);
	assert_int_equal(last_over()->joined, 1);
	assert_int_equal(status().expired, 0);
}

static void a_long_line_of_open_ones_does_not_hide_the_ended(void **state)
{
	(void)state;
	for (uint16_t port = 1; port <= 100; port++) {
		struct heard h = port % 2 ? bed_start(T0) : bed_end(T0 - S(1), T0, 5);

		h.firefly.key.dst_port = port;
		bed_hear(&bed, h);
	}
	tick(T0 + S(60));
	assert_int_equal(bed.n_over, 50);
	assert_int_equal(bed.over_by_state[CLAIM_ENDED], 50);
}

/* --- dialects --------------------------------------------------------------------------------------- */

static struct heard xrootd(struct heard h, uint64_t sent, uint64_t received)
{
	h.firefly.producer = FIREFLY_XROOTD;
	h.firefly.flags |= FIREFLY_USAGE_CUMULATIVE | FIREFLY_NO_HEADER_TIME;
	h.firefly.src_to_dst_bytes = sent;
	h.firefly.dst_to_src_bytes = received;
	return h;
}

static void xrootd_counts_since_the_connection_opened(void **state)
{
	uint32_t n = bed_hear(&bed, xrootd(bed_start(T0), 326, 153));

	(void)state;
	assert_int_equal(claim_bytes(at(n)), 0);
	assert_int_equal(at(n)->first_src_to_dst_bytes, 326);
	bed_hear(&bed, xrootd(bed_ongoing(T0, T0 + S(10), 0), 1326, 160)); /* as its clones do */
	assert_int_equal(at(n)->booked_bytes, 1000);
	bed_hear(&bed, xrootd(bed_end(T0, T0 + S(20), 0), 10326, 253));
	assert_int_equal(at(n)->src_to_dst_bytes, 10000);
	assert_int_equal(at(n)->dst_to_src_bytes, 100);
	assert_int_equal(at(n)->booked_bytes, 10000);
	assert_int_equal(at(n)->oddities, 0); /* its header's "-" is none */
	bed_take(&bed);
	assert_int_equal(bed_all_bytes(&bed), 10000);
}

static void xrootd_without_its_start_counts_what_it_says(void **state)
{
	uint32_t n = bed_hear(&bed, xrootd(bed_end(T0, T0 + S(20), 0), 10326, 253));

	(void)state;
	assert_int_equal(claim_bytes(at(n)), 10326);
}

static void counts_that_turn_back_are_nothing(void **state)
{
	uint32_t n = bed_hear(&bed, xrootd(bed_start(T0), 5000, 153));

	(void)state;
	bed_hear(&bed, xrootd(bed_end(T0, T0 + S(20), 0), 100, 153));
	assert_int_equal(claim_bytes(at(n)), 0);
	assert_true(at(n)->oddities & CLAIM_ZERO_USAGE);
	bed_take(&bed);
	assert_int_equal(bed_all_bytes(&bed), 0);
}

/* START at 09:00:00.123; its END, put right by the parser, says [08:59:59.6, 09:00:20.1]. */
static void dcache_end_closes_though_its_start_differs(void **state)
{
	struct heard start = bed_start(T0 + 123000), end = bed_end(T0 - 400000, T0 + 20100000, 0);
	uint32_t n;

	(void)state;
	start.firefly.producer = end.firefly.producer = FIREFLY_DCACHE;
	end.firefly.flags |= FIREFLY_REPAIRED;
	end.firefly.dst_to_src_bytes = 2147483648;
	n = bed_hear(&bed, start);
	assert_int_equal(bed_hear(&bed, end), n);
	assert_int_equal(at(n)->state, CLAIM_ENDED);
	assert_int_equal(claim_bytes(at(n)), 2147483648);
	assert_int_equal(claim_data_direction(at(n)), -1);
	assert_int_equal(claim_duration_us(at(n)), 19977000); /* from what its START said */
	assert_true(at(n)->oddities & CLAIM_REPAIRED);
	/* 11.0 to 11.2.1: [now, now], an hour after the START */
	start = bed_start(T0 + S(100));
	end = bed_end(T0 + S(3700), T0 + S(3700), 5);
	start.firefly.producer = end.firefly.producer = FIREFLY_DCACHE;
	n = bed_hear(&bed, start);
	assert_int_equal(bed_hear(&bed, end), n);
	assert_int_equal(claim_duration_us(at(n)), S(3600));
	assert_int_equal(status().begun, 2);
	/* the first one's END once more, in other words, after the START of a third */
	start = bed_start(T0 + S(4000));
	end = bed_end(T0 + S(3710), T0 + S(3710), 6);
	start.firefly.producer = end.firefly.producer = FIREFLY_DCACHE;
	n = bed_hear(&bed, start);
	assert_int_equal(bed_hear(&bed, later(end, S(300))), TABLE_NONE);
	assert_int_equal(at(n)->state, CLAIM_OPEN);
}

/* flowd's pipe and flowd-go without an enricher: START has a time, END has none. */
static void an_end_without_start_time_closes_what_is_open(void **state)
{
	struct heard end = bed_end(UNSET, T0 + S(20), 0);
	uint32_t n = bed_hear(&bed, bed_start(T0));

	(void)state;
	/* one of before, late */
	assert_int_equal(bed_hear(&bed, later(bed_end(UNSET, T0 - S(5), 0), S(5))), TABLE_NONE);
	assert_int_equal(at(n)->state, CLAIM_OPEN);
	assert_int_equal(bed_hear(&bed, end), n);
	assert_int_equal(at(n)->state, CLAIM_ENDED);
	assert_int_equal(claim_duration_us(at(n)), S(20));
	assert_int_equal(bed_hear(&bed, later(end, S(1))), n);
	assert_int_equal(at(n)->ends, 1);
	/* the next flow begins after this one's end */
	bed_hear(&bed, bed_start(T0 + S(25)));
	assert_int_equal(status().begun, 2);
}

/* Its times come from elsewhere than its START's. */
static void flowd_go_may_restate_the_start(void **state)
{
	struct heard start = bed_start(T0), end = bed_end(T0 + S(5), T0 + S(20), 7), next;
	uint32_t n;

	(void)state;
	start.firefly.producer = end.firefly.producer = FIREFLY_FLOWD_GO;
	n = bed_hear(&bed, start);
	assert_int_equal(bed_hear(&bed, end), n);
	assert_int_equal(status().begun, 1);
	assert_int_equal(claim_duration_us(at(n)), S(20));
	/* but two STARTs are two flows */
	next = bed_start(T0 + S(30));
	next.firefly.producer = FIREFLY_FLOWD_GO;
	bed_hear(&bed, next);
	assert_int_equal(status().begun, 2);
}

/* Both ends announce the same flow, each as source, clocks half a second apart. */
static void the_other_end_speaks_of_the_same_flow(void **state)
{
	struct heard theirs = bed_start(T0 + 500000);
	uint32_t n = bed_hear(&bed, bed_start(T0));

	(void)state;
	theirs.firefly.key = bed_key(CLIENT, 40000, SERVER, 1094);
	theirs = from(theirs, CLIENT);
	assert_int_equal(bed_hear(&bed, theirs), n);
	assert_int_equal(status().begun, 1);
	assert_int_equal(at(n)->duplicates, 1);
	assert_int_equal(at(n)->key.src_port, 1094);
	bed_hear(&bed, bed_end(T0, T0 + S(20), 10000));
	theirs.firefly.state = FIREFLY_END;
	theirs.firefly.end_utc_us = T0 + S(21);
	theirs.firefly.dst_to_src_bytes = 9990;
	assert_int_equal(bed_hear(&bed, later(theirs, S(20))), n);
	assert_int_equal(claim_bytes(at(n)), 10000);
	bed_take(&bed);
	assert_int_equal(bed_all_bytes(&bed), 10000);
	assert_int_equal(bed.rows[0].ends, 1);
	/* the next one it announces is a flow of its own */
	theirs = bed_start(T0 + S(30));
	theirs.firefly.key = bed_key(CLIENT, 40000, SERVER, 1094);
	bed_hear(&bed, from(theirs, CLIENT));
	assert_int_equal(status().begun, 2);
}

/* A pipe's writer at the receiving site names the remote sender as source, as the sending site does itself. */
static void two_ends_may_name_the_same_source(void **state)
{
	uint32_t n = bed_hear(&bed, bed_start(T0));

	(void)state;
	assert_int_equal(bed_hear(&bed, from(bed_start(T0 + 300000), CLIENT)), n);
	assert_int_equal(at(n)->start_utc_us, T0);
	bed_hear(&bed, bed_ongoing(T0, T0 + S(10), 5000));
	bed_hear(&bed, from(bed_end(T0 + 300000, T0 + S(19), 9000), CLIENT));
	assert_int_equal(at(n)->state, CLAIM_OPEN);
	bed_hear(&bed, bed_end(T0, T0 + S(20), 10000));
	assert_int_equal(claim_bytes(at(n)), 10000);
	assert_int_equal(status().begun, 1);
}

/* flowd says no bytes; dCache at the other end does. */
static void the_end_that_knows_the_bytes_leads(void **state)
{
	struct heard start = bed_start(T0), end = bed_end(T0, T0 + S(60), 0), pool;
	uint32_t n;

	(void)state;
	start.firefly.producer = end.firefly.producer = FIREFLY_FLOWD;
	end.firefly.src_to_dst_bytes = end.firefly.dst_to_src_bytes = FIREFLY_BYTES_UNSAID;
	pool = bed_end(T0 + S(1), T0 + S(60), 0);
	pool.firefly.producer = FIREFLY_DCACHE;
	pool.firefly.key = bed_key(CLIENT, 40000, SERVER, 1094);
	pool.firefly.dst_to_src_bytes = 6000;
	n = bed_hear(&bed, start);
	bed_hear(&bed, end);
	assert_int_equal(claim_bytes(at(n)), FIREFLY_BYTES_UNSAID);
	assert_int_equal(bed_hear(&bed, pool), n);
	assert_int_equal(claim_bytes(at(n)), 6000);
	assert_int_equal(claim_data_direction(at(n)), -1);
	assert_int_equal(at(n)->ends, 1);
	assert_int_equal(at(n)->duplicates, 1);
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S), 6000);
	assert_int_equal(bed.n_histograms, 2); /* duration and bytes, once each */
	assert_int_equal(bed.histograms[0].n + bed.histograms[1].n, 2);
}

/* --- trust ---------------------------------------------------------------------------------------- */

static void a_stranger_changes_nothing_of_a_good_claim(void **state)
{
	struct heard lie = bed_ongoing(T0, T0 + S(10), 1ULL << 50);
	struct sender senders[4];
	struct claim before;
	uint32_t n = bed_hear(&bed, bed_start(T0));

	(void)state;
	before = *at(n);
	lie.firefly.tag = (struct scitag){2, 9};
	bed_hear(&bed, from(lie, SOMEONE));
	lie = bed_end(T0, T0 + S(10), 1ULL << 50);
	bed_hear(&bed, from(lie, SOMEONE));
	lie = bed_start(T0 + S(11));
	bed_hear(&bed, from(lie, SOMEONE));
	assert_int_equal(at(n)->duplicates, 3);
	before.duplicates = 3;
	assert_memory_equal(at(n), &before, sizeof(before));
	assert_int_equal(senders_list(bed.senders, senders, 4), 2);
	assert_int_equal(senders[0].provenance, CLAIM_FROM_STRANGER);
	assert_int_equal(senders[0].duplicates, 3);
	assert_int_equal(senders[0].oddities[13].claims, 1); /* flagged once a claim */
	bed_take(&bed);
	assert_int_equal(bed_all_bytes(&bed), 0);
	/* nor does it keep it alive */
	tick(T0 + S(3600));
	assert_int_equal(last_over()->state, CLAIM_EXPIRED);
}

static void an_end_takes_over_from_a_stranger(void **state)
{
	struct heard lie = bed_start(T0 - S(5));
	uint32_t n;

	(void)state;
	lie.firefly.tag = (struct scitag){2, 9};
	n = bed_hear(&bed, from(lie, SOMEONE));
	assert_int_equal(at(n)->provenance, CLAIM_FROM_STRANGER);
	assert_true(at(n)->oddities & CLAIM_STRANGER);
	n = bed_hear(&bed, bed_start(T0));
	assert_int_equal(at(n)->provenance, CLAIM_FROM_END);
	assert_int_equal(at(n)->tag.experiment, 3);
	assert_int_equal(last_over()->state, CLAIM_SUPERSEDED);
	assert_int_equal(last_over()->tag.experiment, 2);
	assert_false(at(n)->oddities & CLAIM_STRANGER);
	/* even with the very start it guessed, and bytes it made up */
	lie = numbered(bed_start(T0), 1);
	bed_hear(&bed, from(lie, SOMEONE));
	bed_hear(&bed, from(numbered(bed_ongoing(T0, T0 + S(1), 1ULL << 50), 1), SOMEONE));
	n = bed_hear(&bed, numbered(bed_ongoing(T0, T0 + S(2), 700), 1));
	assert_int_equal(at(n)->provenance, CLAIM_FROM_END);
	assert_int_equal(claim_bytes(at(n)), 700);
	assert_int_equal(at(n)->booked_bytes, 700);
}

static void a_copy_from_an_end_vouches_for_a_stranger(void **state)
{
	uint32_t n = bed_hear(&bed, from(bed_start(T0), SOMEONE));

	(void)state;
	assert_int_equal(bed_hear(&bed, later(bed_start(T0), 1000)), n);
	assert_int_equal(at(n)->provenance, CLAIM_FROM_END);
	assert_int_equal(at(n)->starts, 1);
	assert_int_equal(bed.n_over, 0);
}

static void a_strangers_copy_vouches_for_nothing(void **state)
{
	uint32_t n = bed_hear(&bed, from(bed_start(T0), SOMEONE));

	(void)state;
	bed_hear(&bed, from(later(bed_start(T0), 1000), SOMEONE));
	assert_int_equal(at(n)->provenance, CLAIM_FROM_STRANGER);
	assert_true(at(n)->oddities & CLAIM_STRANGER);
	assert_int_equal(at(n)->duplicates, 1);
}

static void a_stranger_may_not_take_up_what_another_began(void **state)
{
	uint32_t n = bed_hear(&bed, from(bed_start(T0), SOMEONE));

	(void)state;
	bed_hear(&bed, from(bed_end(T0, T0 + S(9), 9), "2001:db8:bad::2"));
	assert_int_equal(at(n)->state, CLAIM_OPEN);
	bed_hear(&bed, from(bed_end(T0, T0 + S(10), 10), SOMEONE));
	assert_int_equal(at(n)->state, CLAIM_ENDED);
	assert_int_equal(claim_bytes(at(n)), 10);
}

static void relays_may_speak_and_change(void **state)
{
	uint8_t relay[1][16];
	struct claims_config cfg = {.silent_s = 100, .relays = relay, .n_relays = 1};
	struct heard other = bed_start(T0);
	uint32_t n = bed_hear(&bed, from(bed_start(T0), RELAY));

	(void)state;
	assert_int_equal(at(n)->provenance, CLAIM_FROM_RELAY);
	bed_ip(relay[0], SOMEONE);
	assert_int_equal(claims_configure(bed.claims, &cfg), 0);
	other.firefly.key.dst_port = 7;
	n = bed_hear(&bed, from(other, SOMEONE));
	assert_int_equal(at(n)->provenance, CLAIM_FROM_RELAY);
	other.firefly.key.dst_port = 8;
	n = bed_hear(&bed, from(other, RELAY));
	assert_int_equal(at(n)->provenance, CLAIM_FROM_STRANGER);
	tick(T0 + S(100));
	assert_int_equal(bed.n_over, 3);
}

/* --- a full table --------------------------------------------------------------------------------- */

static void strangers_leave_first_then_the_unjoined_then_the_oldest(void **state)
{
	uint32_t joined;

	(void)state;
	bed_close(&bed);
	bed_open(&bed, 4);
	joined = bed_hear(&bed, numbered(bed_start(T0), 1));
	claims_joined(bed.claims, joined, T0);
	bed_hear(&bed, numbered(bed_start(T0 + 1), 2));
	bed_hear(&bed, from(numbered(bed_start(T0 + 2), 3), SOMEONE));
	bed_hear(&bed, from(numbered(bed_start(T0 + 3), 4), SOMEONE));
	bed_hear(&bed, from(numbered(bed_start(T0 + 4), 5), SOMEONE)); /* 3 leaves */
	assert_int_equal(last_over()->key.dst_ip[15], 3);
	assert_int_equal(last_over()->state, CLAIM_EVICTED);
	bed_hear(&bed, numbered(bed_start(T0 + 5), 6)); /* 4 */
	assert_int_equal(last_over()->key.dst_ip[15], 4);
	bed_hear(&bed, numbered(bed_start(T0 + 6), 7)); /* 5, the last stranger */
	assert_int_equal(last_over()->key.dst_ip[15], 5);
	/* a stranger finds no room now */
	assert_int_equal(bed_hear(&bed, from(numbered(bed_start(T0 + 7), 8), SOMEONE)), TABLE_NONE);
	assert_int_equal(bed.n_over, 3);
	assert_int_equal(status().evicted, 4);
	bed_hear(&bed,
		 numbered(bed_start(T0 + 8), 9)); /* 2, the oldest that no flow was seen for */
	assert_int_equal(last_over()->key.dst_ip[15], 2);
	assert_int_equal(at(joined)->joined, 1);
	/* with nothing but joined ones the oldest of them leaves */
	for (uint32_t n = 0; n < 4; n++)
		claims_joined(bed.claims, n, T0 + S(1));
	bed_hear(&bed, numbered(bed_start(T0 + 9), 10));
	assert_int_equal(last_over()->joined, 1);
	assert_int_equal(status().count, 4);
}

static void a_flood_of_false_claims_costs_nothing_good(void **state)
{
	uint32_t good[8];

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		good[i] = bed_hear(&bed, numbered(bed_start(T0), i));
		if (i < 4)
			claims_joined(bed.claims, good[i], T0);
	}
	for (unsigned int i = 0; i < 100000; i++) {
		struct heard h = numbered(bed_end(T0, T0 + S(5), i), 100 + i);

		h.firefly.tag = (struct scitag){(uint16_t)(i % 1000), (uint16_t)(i % 63)};
		h.firefly.producer = FIREFLY_FLOWD;
		snprintf(h.firefly.application, sizeof(h.firefly.application), "lie %u", i);
		bed_hear(&bed, from(h, SOMEONE));
	}
	assert_int_equal(status().count, 1024);
	assert_int_equal(status().evicted, 100000 + 8 - 1024);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(at(good[i])->provenance, CLAIM_FROM_END);
		assert_int_equal(bed_hear(&bed, numbered(bed_end(T0, T0 + S(20), 100), i)),
				 good[i]);
	}
}

/* --- finding ---------------------------------------------------------------------------------------- */

static uint32_t find(struct flow_key key, int64_t first_utc_us, int64_t last_utc_us, uint32_t *how)
{
	*how = FOUND;
	return claims_find(bed.claims, &key, first_utc_us, last_utc_us, how);
}

static void a_flow_finds_its_claim_whichever_way_it_runs(void **state)
{
	uint32_t n = bed_hear(&bed, bed_start(T0)), how;

	(void)state;
	assert_int_equal(find(bed_key(SERVER, 1094, CLIENT, 40000), T0, T0, &how), n);
	assert_int_equal(how, 0);
	assert_int_equal(find(bed_key(CLIENT, 40000, SERVER, 1094), T0, T0, &how), n);
	assert_int_equal(how, 0);
	assert_int_equal(find(bed_key(CLIENT, 40000, "2001:db8:2::21", 1094), T0, T0, &how),
			 TABLE_NONE);
	assert_int_equal(how, 0);
}

static void a_flow_of_another_time_finds_nothing(void **state)
{
	struct flow_key key = bed_key(SERVER, 1094, CLIENT, 40000);
	uint32_t how, n;

	(void)state;
	n = bed_hear(&bed, bed_end(T0, T0 + S(20), 10000));
	assert_int_equal(find(key, T0 - S(100), T0 - S(60), &how), n);
	assert_int_equal(find(key, T0 - S(100), T0 - S(60) - 1, &how), TABLE_NONE);
	assert_int_equal(find(key, T0 + S(80), T0 + S(90), &how), n);
	assert_int_equal(find(key, T0 + S(80) + 1, T0 + S(90), &how), TABLE_NONE);
	assert_int_equal(how, 0); /* not even the same hosts: that claim is of another time */
	/* while it is open there is no end to it */
	bed_hear(&bed, bed_start(T0 + S(1000)));
	assert_int_not_equal(find(key, T0 + S(3000), T0 + S(4000), &how), TABLE_NONE);
	assert_int_equal(find(key, T0, T0 + S(900), &how), TABLE_NONE);
}

static void a_private_address_is_found_by_the_senders_public_one(void **state)
{
	static const char *const private[] = {"10.1.2.3", "172.31.255.1", "192.168.0.9",
					      "100.64.0.1", "100.127.255.254"};
	static const char *const public[] = {"11.1.2.3", "172.32.0.1", "192.169.0.9", "100.128.0.1",
					     "100.63.255.255"};
	struct flow_key seen = bed_key("192.0.2.7", 50000, "198.51.100.20", 443);
	uint32_t n, how;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct heard h = bed_start(T0 + S(i));

		h.firefly.key = bed_key(private[i], 50000, "198.51.100.20", 443);
		n = bed_hear(&bed, from(h, "192.0.2.7"));
		assert_true(at(n)->oddities & CLAIM_PRIVATE);
		assert_int_equal(find(seen, T0, T0, &how), n);
		assert_int_equal(how, FLOW_NAT);
		assert_int_equal(
			find(bed_key("192.0.2.7", 50001, "198.51.100.20", 443), T0, T0, &how),
			TABLE_NONE);
		/* the wire itself shows the sender to be an end */
		assert_int_equal(at(n)->provenance, CLAIM_FROM_STRANGER);
		claims_joined(bed.claims, n, T0);
		assert_int_equal(at(n)->provenance, CLAIM_FROM_END);
		bed_close(&bed);
		bed_open(&bed, 1024);
		h.firefly.key = bed_key(public[i], 50000, "198.51.100.20", 443);
		bed_hear(&bed, from(h, "192.0.2.7"));
		assert_int_equal(find(seen, T0, T0, &how), TABLE_NONE);
	}
}

static void no_nat_where_none_can_be(void **state)
{
	struct heard h = bed_start(T0);
	uint32_t n, how;

	(void)state;
	/* both ends private; a private sender; a relay; a sender of the other family */
	h.firefly.key = bed_key("10.0.0.1", 50000, "10.0.0.2", 443);
	bed_hear(&bed, from(h, "192.0.2.7"));
	assert_int_equal(find(bed_key("192.0.2.7", 50000, "10.0.0.2", 443), T0, T0, &how),
			 TABLE_NONE);
	h.firefly.key = bed_key("10.0.0.1", 50001, "198.51.100.20", 443);
	bed_hear(&bed, from(h, "10.9.9.9"));
	assert_int_equal(find(bed_key("10.9.9.9", 50001, "198.51.100.20", 443), T0, T0, &how),
			 TABLE_NONE);
	h.firefly.key = bed_key("fd00::1", 50002, CLIENT, 443);
	bed_hear(&bed, from(h, RELAY));
	assert_int_equal(find(bed_key(RELAY, 50002, CLIENT, 443), T0, T0, &how), TABLE_NONE);
	h.firefly.key = bed_key("10.0.0.1", 50003, "198.51.100.20", 443);
	n = bed_hear(&bed, from(h, SOMEONE));
	claims_joined(bed.claims, n, T0);
	assert_int_equal(at(n)->provenance, CLAIM_FROM_STRANGER);
	/* a flow with the private address itself says nothing of the sender */
	h.firefly.key = bed_key("10.0.0.1", 50005, "198.51.100.20", 443);
	n = bed_hear(&bed, from(h, "192.0.2.7"));
	assert_int_equal(find(h.firefly.key, T0, T0, &how), n);
	claims_joined(bed.claims, n, T0);
	assert_int_equal(at(n)->provenance, CLAIM_FROM_STRANGER);
	/* RFC 4193 through a translator of prefixes */
	h.firefly.key = bed_key("fd00::1", 50004, CLIENT, 443);
	n = bed_hear(&bed, from(h, SOMEONE));
	assert_int_equal(find(bed_key(CLIENT, 443, SOMEONE, 50004), T0, T0, &how), n);
	assert_int_equal(how, FLOW_NAT);
	/* nobody else may take that claim away from its sender */
	h.firefly.state = FIREFLY_ONGOING;
	h = from(later(h, S(1)), "2001:db8:bad::2");
	bed_hear(&bed, h);
	assert_int_equal(find(bed_key(CLIENT, 443, SOMEONE, 50004), T0, T0, &how), n);
}

static void dcache_and_flowd_may_miss_one_port(void **state)
{
	static const struct {
		enum firefly_producer producer;
		int may;
	} producers[] = {{FIREFLY_DCACHE, 1}, {FIREFLY_FLOWD, 1},    {FIREFLY_XROOTD, 0},
			 {FIREFLY_OURS, 0},   {FIREFLY_FLOWD_GO, 0}, {FIREFLY_OTHER, 0}};
	uint32_t n, how;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct heard h = bed_start(T0);

		h.firefly.producer = producers[i].producer;
		n = bed_hear(&bed, h);
		/* one port differs, at either end; both differ; the other end has that port */
		assert_int_equal(find(bed_key(CLIENT, 40000, SERVER, 2), T0, T0 + S(10), &how),
				 producers[i].may ? n : TABLE_NONE);
		assert_int_equal(how, producers[i].may ? FLOW_ONE_PORT : FLOW_SAME_HOSTS);
		assert_int_equal(find(bed_key(SERVER, 1094, CLIENT, 2), T0, T0 + S(10), &how),
				 producers[i].may ? n : TABLE_NONE);
		assert_int_equal(find(bed_key(CLIENT, 1, SERVER, 2), T0, T0 + S(10), &how),
				 TABLE_NONE);
		assert_int_equal(how, FLOW_SAME_HOSTS);
		assert_int_equal(find(bed_key(CLIENT, 1094, SERVER, 2), T0, T0 + S(10), &how),
				 TABLE_NONE);
		bed_close(&bed);
		bed_open(&bed, 1024);
	}
}

static void one_port_joins_only_what_is_sure(void **state)
{
	struct flow_key seen = bed_key(CLIENT, 40009, SERVER, 1094);
	struct heard h = bed_start(T0);
	uint32_t n, how;

	(void)state;
	h.firefly.producer = FIREFLY_DCACHE;
	n = bed_hear(&bed, h);
	/* not before the flow with both ports had ten seconds to show up */
	assert_int_equal(find(seen, T0, T0 + S(9), &how), TABLE_NONE);
	assert_int_equal(how, FLOW_SAME_HOSTS);
	/* not a flow that began long before it */
	assert_int_equal(find(seen, T0 - S(61), T0 + S(10), &how), TABLE_NONE);
	assert_int_equal(find(seen, T0 - S(60), T0 + S(10), &how), n);
	/* a second claim that fits: nobody knows which */
	h.firefly.key.dst_port = 40001;
	n = bed_hear(&bed, h);
	assert_int_equal(find(seen, T0, T0 + S(10), &how), TABLE_NONE);
	assert_int_equal(how, FLOW_SAME_HOSTS);
	/* until that one has its own flow */
	claims_joined(bed.claims, n, T0);
	assert_int_not_equal(find(seen, T0, T0 + S(10), &how), TABLE_NONE);
	assert_int_equal(how, FLOW_ONE_PORT);
	/* another protocol is another flow */
	seen.protocol = 17;
	assert_int_equal(find(seen, T0, T0 + S(10), &how), TABLE_NONE);
	assert_int_equal(how, FLOW_SAME_HOSTS);
}

static void a_crowd_between_two_hosts_is_soon_given_up(void **state)
{
	const struct flow_key seen = bed_key(CLIENT, 40009, SERVER, 1094);
	struct heard h = bed_start(T0);
	uint32_t how, n;

	(void)state;
	h.firefly.producer = FIREFLY_DCACHE;
	for (uint16_t port = 1; port <= 900; port++) {
		h.firefly.key.dst_port = port;
		n = bed_hear(&bed, h);
		if (port > 1) /* the first has no flow yet, but who would look so far */
			claims_joined(bed.claims, n, T0);
	}
	assert_int_equal(find(seen, T0, T0 + S(10), &how), TABLE_NONE);
	assert_int_equal(how, FLOW_SAME_HOSTS);
	/* both ports tell, in any crowd */
	assert_int_not_equal(find(bed_key(CLIENT, 500, SERVER, 1094), T0, T0, &how), TABLE_NONE);
	assert_int_equal(how, 0);
}

/* Some of many between two hosts go, from the middle, the end and the beginning of them. */
static void what_is_gone_is_not_found(void **state)
{
	const struct flow_key seen = bed_key(CLIENT, 40009, SERVER, 1094);
	struct heard h;
	uint32_t how;

	(void)state;
	for (uint16_t port = 1; port <= 9; port++) {
		h = bed_start(T0 + S(port));
		h.firefly.producer = FIREFLY_DCACHE;
		h.firefly.key.dst_port = port;
		bed_hear(&bed, h);
	}
	assert_int_equal(find(seen, T0 + S(10), T0 + S(20), &how), TABLE_NONE);
	for (uint16_t turn = 1; turn <= 9; turn++) {
		static const uint16_t order[] = {5, 4, 9, 1, 2, 6, 8, 7};
		uint32_t n = find(seen, T0 + S(10), T0 + S(90), &how);

		assert_int_equal(how, turn == 9 ? FLOW_ONE_PORT : FLOW_SAME_HOSTS);
		if (turn == 9) {
			assert_int_equal(at(n)->key.dst_port, 3);
			break;
		}
		h = bed_end(T0 + S(order[turn - 1]), T0 + S(20), 5);
		h.firefly.producer = FIREFLY_DCACHE;
		h.firefly.key.dst_port = order[turn - 1];
		bed_hear(&bed, h);
		tick(T0 + S(80));
	}
	tick(T0 + S(9000));
	assert_int_equal(status().count, 0);
	bed_hear(&bed, numbered(bed_start(T0), 1)); /* takes the place of one of them */
	assert_int_equal(find(seen, T0, T0 + S(10), &how), TABLE_NONE);
	assert_int_equal(how, 0);
}

/* --- booking ---------------------------------------------------------------------------------------- */

static void an_end_alone_is_laid_over_its_life(void **state)
{
	uint32_t n = bed_hear(&bed, bed_end(T0 + S(20), T0 + S(140), 12000));

	(void)state;
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S), 4000);
	assert_int_equal(bed_bytes(&bed, T0_S + MINUTE), 6000);
	assert_int_equal(bed_bytes(&bed, T0_S + 2 * MINUTE), 2000);
	assert_int_equal(bed_all_bytes(&bed), 12000);
	assert_int_equal(at(n)->booked_bytes, 12000);
	assert_int_equal(at(n)->booked_until_utc_us, T0 + S(140));
}

static void each_message_lays_what_is_new(void **state)
{
	(void)state;
	bed_hear(&bed, bed_start(T0));
	bed_hear(&bed, bed_ongoing(T0, T0 + S(60), 600));
	bed_hear(&bed, bed_ongoing(T0, T0 + S(90), 600)); /* nothing new: none flowed until here */
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S), 600);
	assert_int_equal(bed_all_bytes(&bed), 600);
	bed_hear(&bed, bed_ongoing(T0, T0 + S(150), 1200)); /* 600 over [90, 150): half and half */
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S + MINUTE), 300);
	assert_int_equal(bed_bytes(&bed, T0_S + 2 * MINUTE), 300);
	bed_hear(&bed, bed_end(T0, T0 + S(180), 1100)); /* less than was said: not taken back */
	bed_take(&bed);
	assert_int_equal(bed_all_bytes(&bed), 0);
	assert_int_equal(bed.rows[0].end_bytes, 1100);
}

static void the_datas_direction_is_the_larger_one(void **state)
{
	struct heard end = bed_end(T0, T0 + S(20), 100);
	uint32_t n;

	(void)state;
	end.firefly.dst_to_src_bytes = 300;
	n = bed_hear(&bed, end);
	assert_int_equal(claim_data_direction(at(n)), -1);
	bed_take(&bed);
	assert_int_equal(bed_all_bytes(&bed), 300);
	assert_int_equal(bed.rows[0].end_bytes + bed.rows[1].end_bytes, 300);
	at(n)->src_to_dst_bytes = 300;
	assert_int_equal(claim_data_direction(at(n)), 0);
}

static void unknown_beginnings_book_from_when_it_was_heard_of(void **state)
{
	(void)state;
	bed_hear(&bed, bed_end(UNSET, T0 + S(130), 500)); /* all at its end */
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S + 2 * MINUTE), 500);
	bed_hear(&bed, bed_heard(FIREFLY_START, T0 + S(240)));
	bed_hear(&bed, bed_end(UNSET, T0 + S(360), 1000)); /* over two minutes */
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S + 4 * MINUTE), 500);
	assert_int_equal(bed_bytes(&bed, T0_S + 5 * MINUTE), 500);
}

static void what_cannot_be_goes_into_the_minute_of_the_end(void **state)
{
	struct heard end = bed_end(T0 - S(31 * 86400), T0 + S(70), 500), future, wrong;
	uint32_t n = bed_hear(&bed, end);

	(void)state;
	assert_true(at(n)->oddities & CLAIM_BAD_INTERVAL);
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S + MINUTE), 500);
	assert_int_equal(bed.n_histograms, 1); /* of bytes; no duration */
	/* both times dropped by the parser */
	wrong = numbered(bed_end(UNSET, T0 + S(70), 500), 2);
	wrong.firefly.end_utc_us = UNSET;
	wrong.firefly.flags |= FIREFLY_BAD_INTERVAL;
	n = bed_hear(&bed, wrong);
	assert_true(at(n)->oddities & CLAIM_BAD_INTERVAL);
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S + MINUTE), 500);
	/* an END from the year 2050 that says it is now, and one from 1970 */
	future = numbered(bed_end(UNSET, T0 + S(24LL * 365 * 86400), 7), 3);
	future.firefly.current_utc_us = future.heard_utc_us = T0 + S(10);
	bed_hear(&bed, future);
	future = numbered(bed_end(UNSET, 0, 8), 4);
	future.firefly.current_utc_us = future.heard_utc_us = T0 + S(10);
	bed_hear(&bed, future);
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S), 15);
}

/* Its clock is two hours behind: the bytes flowed in the two minutes before we heard of them. */
static void a_wrong_clock_does_not_move_the_bytes(void **state)
{
	struct heard end = later(bed_end(T0 - S(7200), T0 - S(7080), 1000), S(7200));
	uint32_t n = bed_hear(&bed, end), how;

	(void)state;
	assert_true(at(n)->oddities & CLAIM_CLOCK);
	assert_int_equal(at(n)->clock_offset_us, S(7200));
	bed_take(&bed);
	assert_int_equal(bed_bytes(&bed, T0_S), 500);
	assert_int_equal(bed_bytes(&bed, T0_S + MINUTE), 500);
	/* nor does it hide the flow */
	assert_int_equal(find(end.firefly.key, T0 + S(10), T0 + S(110), &how), n);
	assert_int_equal(claim_duration_us(at(n)), S(120));
}

static void one_late_message_is_no_wrong_clock(void **state)
{
	uint32_t n;

	(void)state;
	for (unsigned int i = 0; i < 9; i++)
		bed_hear(&bed, numbered(bed_start(T0 + S(i)), i));
	n = bed_hear(&bed, later(numbered(bed_end(T0 + S(1), T0 + S(20), 5), 1), S(30)));
	assert_false(at(n)->oddities & CLAIM_CLOCK);
	assert_int_equal(at(n)->clock_offset_us, S(30));
	/* but what a relay passes on is of many clocks: each message for itself */
	for (unsigned int i = 10; i < 19; i++)
		bed_hear(&bed, from(numbered(bed_start(T0 + S(i)), i), RELAY));
	n = bed_hear(&bed, from(later(numbered(bed_start(T0), 20), S(7200)), RELAY));
	assert_true(at(n)->oddities & CLAIM_CLOCK);
}

static void rows_say_who(void **state)
{
	struct heard h = numbered(bed_end(T0, T0 + S(20), 7), 1);

	(void)state;
	h.firefly.tag = (struct scitag){2, 9};
	h.firefly.key = bed_key("192.0.2.1", 1, "192.0.2.2", 2);
	/* cut at a character's start: 30 bytes and a character of two */
	strcpy(h.firefly.application, "123456789 123456789 123456789 \xC3\xA9");
	bed_hear(&bed, h);
	bed_take(&bed);
	assert_int_equal(bed.n_rows, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(bed.rows[i].experiment, 2);
		assert_int_equal(bed.rows[i].activity, 9);
		assert_int_equal(bed.rows[i].family, 4);
		assert_string_equal(bed.rows[i].application, "123456789 123456789 123456789 ");
	}
}

static void an_end_goes_into_the_histograms(void **state)
{
	(void)state; /* 20 s and 10,000 bytes: bins 114 and 106 */
	bed_hear(&bed, bed_end(T0, T0 + S(20), 10000));
	bed_take(&bed);
	assert_int_equal(bed.n_histograms, 2);
	assert_int_equal(bed.histograms[0].kind, HISTOGRAM_DURATION_MS);
	assert_int_equal(bed.histograms[0].bin, 114);
	assert_int_equal(bed.histograms[0].max, 20000);
	assert_int_equal(bed.histograms[1].kind, HISTOGRAM_BYTES);
	assert_int_equal(bed.histograms[1].bin, 106);
	assert_int_equal(bed.histograms[1].experiment, 3);
}

/* --- what is odd ------------------------------------------------------------------------------------ */

static void oddities_are_told_by_what_was_said(void **state)
{
	struct heard h;
	uint32_t n;

	(void)state;
	h = numbered(bed_start(T0), 1);
	h.firefly.tag = (struct scitag){16, 1};
	n = bed_hear(&bed, h);
	assert_int_equal(at(n)->oddities, CLAIM_DEAD_NUMBER);
	h = numbered(bed_start(T0), 2);
	h.firefly.tag = (struct scitag){0, 0};
	h.firefly.flags = FIREFLY_NO_TAG;
	n = bed_hear(&bed, h);
	assert_int_equal(at(n)->oddities, CLAIM_NO_TAG);
	h = numbered(bed_ongoing(T0, T0 + S(1), 5), 2); /* and then it does say one */
	bed_hear(&bed, h);
	assert_int_equal(at(n)->oddities, 0);
	assert_int_equal(at(n)->tag.experiment, 3);
	h = numbered(bed_ongoing(T0, T0 + S(2), 5), 2); /* which it keeps */
	h.firefly.tag = (struct scitag){0, 0};
	h.firefly.flags = FIREFLY_NO_TAG;
	bed_hear(&bed, h);
	assert_int_equal(at(n)->oddities, 0);
	assert_int_equal(at(n)->tag.experiment, 3);
	h = numbered(bed_start(T0), 3);
	h.firefly.flags = FIREFLY_NO_HEADER;
	n = bed_hear(&bed, h);
	assert_int_equal(at(n)->oddities, CLAIM_NO_HEADER);
	h = numbered(bed_start(T0), 4);
	h.firefly.flags = FIREFLY_NO_HEADER_TIME;
	h.firefly.producer = FIREFLY_FLOWD_GO;
	n = bed_hear(&bed, h);
	assert_int_equal(at(n)->oddities, CLAIM_NO_HEADER);
	n = bed_hear(&bed, numbered(bed_end(T0, T0 + S(1), 0), 5));
	assert_int_equal(at(n)->oddities, CLAIM_ZERO_USAGE);
	h = numbered(bed_end(T0, T0 + S(1), 0), 6);
	h.firefly.src_to_dst_bytes = h.firefly.dst_to_src_bytes = FIREFLY_BYTES_UNSAID;
	n = bed_hear(&bed, h);
	assert_int_equal(at(n)->oddities, CLAIM_ZERO_USAGE);
	claims_odd(bed.claims, n, CLAIM_OTHER_TAG);
	assert_int_equal(at(n)->oddities, CLAIM_ZERO_USAGE | CLAIM_OTHER_TAG);
}

static void an_oddity_counts_once_a_claim(void **state)
{
	struct sender sender;

	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		struct heard h = numbered(bed_ongoing(T0, T0 + S(i), i), i % 2);

		h.firefly.tag = (struct scitag){16, 1};
		bed_hear(&bed, h);
	}
	assert_int_equal(senders_list(bed.senders, &sender, 1), 1);
	assert_int_equal(sender.fireflies, 12);
	assert_int_equal(sender.claims, 2);
	assert_int_equal(sender.oddities[3].claims, 2);
}

static void a_start_that_was_before_our_time_is_not_missed(void **state)
{
	(void)state;
	see_another_flow();
	bed_hear(&bed, bed_end(T0 - S(10), T0 + S(20), 5)); /* we listen since T0 + 20 s */
	bed_hear(&bed, numbered(bed_end(T0 + S(30), T0 + S(40), 5), 1));
	bed_hear(&bed, numbered(bed_start(T0 + S(30)), 2));
	bed_hear(&bed, numbered(bed_end(T0 + S(30), T0 + S(40), 5), 2));
	tick(T0 + S(100));
	assert_int_equal(bed.n_over, 3);
	assert_int_equal(bed.over[0].oddities, CLAIM_UNSEEN);
	assert_int_equal(bed.over[1].oddities, CLAIM_UNSEEN | CLAIM_NO_START);
	assert_int_equal(bed.over[2].oddities, CLAIM_UNSEEN);
}

static void nothing_is_unseen_where_nothing_is_seen(void **state)
{
	(void)state;
	bed_hear(&bed, bed_end(T0 - S(10), T0 + S(20), 5));
	tick(T0 + S(80));
	assert_int_equal(last_over()->oddities, 0);
}

/* --- a real log ------------------------------------------------------------------------------------- */

/* Twelve minutes of February 2022, every second line, all of flowd 0.1.2: each accepted line is a START or an END,
 * nothing comes twice, and every 5-tuple is one claim. */
static void the_real_log_adds_up(void **state)
{
	char path[512], line[8192];
	uint64_t starts = 0, ends = 0, heard = 0;
	int64_t now = 0;
	FILE *f;

	(void)state;
	if (shared_missing(path, sizeof(path), "data/fireflies-real.log"))
		skip();
	bed_close(&bed);
	bed_open(&bed, 0);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		struct heard h = {0};

		if (firefly_parse(&h.firefly, line, strlen(line)) != FIREFLY_OK)
			continue;
		now = now > h.firefly.header_utc_us ? now : h.firefly.header_utc_us;
		h.heard_utc_us = now;
		memcpy(h.sender_ip, h.firefly.key.src_ip, sizeof(h.sender_ip));
		heard++;
		assert_int_not_equal(bed_hear(&bed, h), TABLE_NONE);
	}
	fclose(f);
	assert_true(heard > 4900);
	assert_int_equal(status().duplicates, 0);
	do {
		bed_take(&bed);
		for (size_t i = 0; i < bed.n_rows; i++) {
			starts += bed.rows[i].starts;
			ends += bed.rows[i].ends;
		}
	} while (bed.n_rows);
	assert_int_equal(starts + ends, heard);
	tick(now + S(7200));
	assert_int_equal(status().count, 0);
	assert_int_equal(bed.over_by_state[CLAIM_ENDED], ends);
	assert_int_equal(status().superseded, 0);
	assert_int_equal(status().expired + ends, status().begun);
}

/* The dialects of the protocol survey, each by itself, from bytes to what it comes to. */
static void every_dialect_becomes_what_it_means(void **state)
{
	static const struct {
		const char *id;
		uint64_t bytes; /* of the data's direction */
		int direction;
		int64_t duration_us;
		uint32_t oddities;
	} wanted[] = {
		{"F01", FIREFLY_BYTES_UNSAID, 0, CLOCK_NEVER, 0},
		{"F02", FIREFLY_BYTES_UNSAID, 0, CLOCK_NEVER, CLAIM_ZERO_USAGE},
		{"F03", FIREFLY_BYTES_UNSAID, 0, 20500500, CLAIM_ZERO_USAGE},
		{"F05", 0, 0, CLOCK_NEVER, 0},
		{"F06", 5368709120, 1, 20500500, 0},
		{"F07", 1073741824, 1, 20500500, 0},
		{"F08", FIREFLY_BYTES_UNSAID, 0, CLOCK_NEVER, 0},
		{"F09", 2147483648, -1, 20500000, CLAIM_REPAIRED},
		{"F10", FIREFLY_BYTES_UNSAID, 0, CLOCK_NEVER, CLAIM_NO_HEADER},
		{"F11", FIREFLY_BYTES_UNSAID, 0, CLOCK_NEVER, CLAIM_NO_HEADER},
		{"F12", FIREFLY_BYTES_UNSAID, 0, CLOCK_NEVER, 0},
		{"F13", FIREFLY_BYTES_UNSAID, 0, CLOCK_NEVER, CLAIM_NO_HEADER | CLAIM_ZERO_USAGE},
		{"F20", 10, 1, 20500500, CLAIM_NO_TAG},
		{"F22", 10000, 1, S(20), 0},
		{"F23", FIREFLY_BYTES_UNSAID, 0, CLOCK_NEVER, CLAIM_DEAD_NUMBER},
	};
	struct scitag_set registered = {{0}};
	char path[512], line[8192];
	size_t found = 0;
	FILE *f;

	(void)state;
	if (shared_missing(path, sizeof(path), "data/firefly-dialects.tsv"))
		skip();
	scitag_set_add(&registered, (struct scitag){3, 14});
	scitag_set_add(&registered, (struct scitag){2, 9});
	scitag_set_add(&registered, (struct scitag){2, 24});
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		const char *datagram = strrchr(line, '\t');
		struct heard h = {.heard_utc_us = T0 + S(1)};
		const struct claim *c;
		size_t i = 0;

		while (i < sizeof(wanted) / sizeof(wanted[0]) &&
		       strncmp(line, wanted[i].id, 3) != 0)
			i++;
		if (i == sizeof(wanted) / sizeof(wanted[0]))
			continue;
		found++;
		bed_close(&bed);
		bed_open(&bed, 16);
		claims_set_registered(bed.claims, &registered);
		assert_int_equal(firefly_parse(&h.firefly, datagram + 1, strlen(datagram + 1)),
				 FIREFLY_OK);
		if (h.firefly.current_utc_us != UNSET)
			h.heard_utc_us = h.firefly.current_utc_us;
		else if (h.firefly.end_utc_us != UNSET)
			h.heard_utc_us = h.firefly.end_utc_us;
		memcpy(h.sender_ip, h.firefly.key.dst_ip, sizeof(h.sender_ip));
		c = at(bed_hear(&bed, h));
		assert_true(claim_bytes(c) == wanted[i].bytes);
		assert_int_equal(claim_data_direction(c), wanted[i].direction);
		assert_int_equal(claim_duration_us(c), wanted[i].duration_us);
		assert_int_equal(c->oddities, wanted[i].oddities);
		bed_take(&bed);
		assert_int_equal(bed_all_bytes(&bed),
				 wanted[i].bytes == FIREFLY_BYTES_UNSAID ? 0 : wanted[i].bytes);
	}
	fclose(f);
	assert_int_equal(found, sizeof(wanted) / sizeof(wanted[0]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bed, close_bed)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(start_ongoing_and_end_are_one_claim),
		TEST(duration_and_rate_follow_from_the_end),
		TEST(an_end_alone_is_a_whole_claim),
		TEST(copies_are_counted_and_change_nothing),
		TEST(a_later_start_supersedes),
		TEST(a_start_a_moment_later_is_another_flow),
		TEST(messages_without_a_time_are_copies_for_a_minute),
		TEST(an_ended_claim_makes_room_for_the_next_flow),
		TEST(late_ones_are_counted_only),
		TEST(ongoings_out_of_order_do_not_turn_back),
		TEST(silence_for_an_hour_expires),
		TEST(copies_keep_it_alive),
		TEST(packets_keep_it_alive),
		TEST(ended_ones_are_kept_a_minute),
		TEST(a_long_line_of_open_ones_does_not_hide_the_ended),
		TEST(xrootd_counts_since_the_connection_opened),
		TEST(xrootd_without_its_start_counts_what_it_says),
		TEST(counts_that_turn_back_are_nothing),
		TEST(dcache_end_closes_though_its_start_differs),
		TEST(an_end_without_start_time_closes_what_is_open),
		TEST(flowd_go_may_restate_the_start),
		TEST(the_other_end_speaks_of_the_same_flow),
		TEST(two_ends_may_name_the_same_source),
		TEST(the_end_that_knows_the_bytes_leads),
		TEST(a_stranger_changes_nothing_of_a_good_claim),
		TEST(an_end_takes_over_from_a_stranger),
		TEST(a_copy_from_an_end_vouches_for_a_stranger),
		TEST(a_strangers_copy_vouches_for_nothing),
		TEST(a_stranger_may_not_take_up_what_another_began),
		TEST(relays_may_speak_and_change),
		TEST(strangers_leave_first_then_the_unjoined_then_the_oldest),
		TEST(a_flood_of_false_claims_costs_nothing_good),
		TEST(a_flow_finds_its_claim_whichever_way_it_runs),
		TEST(a_flow_of_another_time_finds_nothing),
		TEST(a_private_address_is_found_by_the_senders_public_one),
		TEST(no_nat_where_none_can_be),
		TEST(dcache_and_flowd_may_miss_one_port),
		TEST(one_port_joins_only_what_is_sure),
		TEST(a_crowd_between_two_hosts_is_soon_given_up),
		TEST(what_is_gone_is_not_found),
		TEST(an_end_alone_is_laid_over_its_life),
		TEST(each_message_lays_what_is_new),
		TEST(the_datas_direction_is_the_larger_one),
		TEST(unknown_beginnings_book_from_when_it_was_heard_of),
		TEST(what_cannot_be_goes_into_the_minute_of_the_end),
		TEST(a_wrong_clock_does_not_move_the_bytes),
		TEST(one_late_message_is_no_wrong_clock),
		TEST(rows_say_who),
		TEST(an_end_goes_into_the_histograms),
		TEST(oddities_are_told_by_what_was_said),
		TEST(an_oddity_counts_once_a_claim),
		TEST(a_start_that_was_before_our_time_is_not_missed),
		TEST(nothing_is_unseen_where_nothing_is_seen),
		TEST(the_real_log_adds_up),
		TEST(every_dialect_becomes_what_it_means),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
