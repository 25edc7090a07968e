/* Who sends fireflies: counts, clock, evidence, who is forgotten; and that every oddity has a name and a hint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "join/senders.h"
#include "join/claims.h"
#include "tests/unit/claims_bed.h"

static struct senders *senders;
static struct sender list[SENDERS_MAX];

static int open_senders(void **state)
{
	(void)state;
	senders = senders_open();
	return senders ? 0 : -1;
}

static int close_senders(void **state)
{
	(void)state;
	senders_close(senders);
	return 0;
}

static struct claim claim(unsigned int sender, int64_t heard_utc_us)
{
	struct claim c = {
		.key = bed_key(SERVER, 1094, CLIENT, 40000),
		.first_heard_utc_us = heard_utc_us,
		.last_heard_utc_us = heard_utc_us,
		.clock_offset_us = CLOCK_NEVER,
		.src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
		.dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
		.producer = FIREFLY_XROOTD,
		.provenance = CLAIM_FROM_END,
		.state = CLAIM_OPEN,
	};

	bed_ip(c.sender_ip, SERVER);
	c.sender_ip[14] = (uint8_t)(sender >> 8);
	c.sender_ip[15] = (uint8_t)sender;
	return c;
}

static struct sender *only(void)
{
	assert_int_equal(senders_list(senders, list, SENDERS_MAX), 1);
	return list;
}

static void fireflies_claims_and_duplicates_are_counted(void **state)
{
	struct claim c = claim(1, T0);

	(void)state;
	senders_heard(senders, &c, 0);
	c.starts = 1;
	c.last_heard_utc_us = T0 + S(5);
	c.producer = FIREFLY_DCACHE;
	senders_heard(senders, &c, 0);
	senders_heard(senders, &c, 1);
	assert_int_equal(only()->fireflies, 3);
	assert_int_equal(list[0].claims, 1);
	assert_int_equal(list[0].duplicates, 1);
	assert_int_equal(list[0].first_heard_utc_us, T0);
	assert_int_equal(list[0].last_heard_utc_us, T0 + S(5));
	assert_int_equal(list[0].producer, FIREFLY_DCACHE);
	assert_memory_equal(list[0].ip, c.sender_ip, 16);
	assert_int_equal(list[0].clock_offset_us, CLOCK_NEVER);
}

static void the_clock_is_the_median_of_nine(void **state)
{
	static const int offsets_s[] = {3, 3, 60, 4, 3, -1, 2, 9, 5};
	struct claim c = claim(1, T0);

	(void)state;
	for (size_t i = 0; i < 9; i++) {
		c.clock_offset_us = S(offsets_s[i]);
		senders_heard(senders, &c, 0);
		if (i == 3) /* of an even number, the lower of the two in the middle: 3 3 4 60 */
			assert_int_equal(only()->clock_offset_us, S(3));
	}
	/* -1 2 3 3 3 4 5 9 60 */
	assert_int_equal(only()->clock_offset_us, S(3));
	c.clock_offset_us = CLOCK_NEVER; /* says nothing of it: as before */
	assert_int_equal(senders_heard(senders, &c, 0), S(3));
	c.clock_offset_us = S(7); /* each takes the oldest's place: 2 3 4 5 7 7 7 9 -1 is next */
	for (size_t i = 0; i < 3; i++)
		senders_heard(senders, &c, 0);
	assert_int_equal(only()->clock_offset_us, S(5)); /* -1 2 3 4 5 7 7 7 9 */
}

static void outcomes_are_those_of_joined_flows(void **state)
{
	struct flow_view v = {.claim = claim(1, T0)};

	(void)state;
	senders_heard(senders, &v.claim, 0);
	v.claim.src_to_dst_bytes = 10;
	v.claim.dst_to_src_bytes = 900;
	senders_outcome(senders, &v); /* never seen */
	senders_joined(senders, &v.claim);
	v.claim.joined = 1;
	v.flow.way[FLOW_THERE].bytes = 1000;
	v.flow.grade = GRADE_CONFIRMED;
	senders_outcome(senders, &v);
	v.flow.grade = GRADE_DISAGREE;
	senders_outcome(senders, &v);
	v.flow.grade = GRADE_CLAIMED;
	v.claim.src_to_dst_bytes = v.claim.dst_to_src_bytes = FIREFLY_BYTES_UNSAID;
	senders_outcome(senders, &v);
	assert_int_equal(only()->joined, 1);
	assert_int_equal(list[0].confirmed, 1);
	assert_int_equal(list[0].disagree, 1);
	assert_int_equal(list[0].claimed, 1);
	assert_int_equal(list[0].claimed_bytes, 1800);
	assert_int_equal(list[0].seen_bytes, 3000);
}

static void the_newest_four_flows_are_evidence(void **state)
{
	struct claim c = claim(1, T0);

	(void)state;
	senders_heard(senders, &c, 0);
	for (uint16_t port = 1; port <= 6; port++) {
		c.key.src_port = port;
		senders_odd(senders, &c, 5);
	}
	senders_odd(senders, &c, CLAIM_ODDITIES); /* no such bit */
	c.sender_ip[0] = 0xEE;
	senders_odd(senders, &c, 5); /* nobody we know */
	assert_int_equal(only()->oddities[5].claims, 6);
	assert_int_equal(list[0].oddities[5].n_evidence, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(list[0].oddities[5].evidence[i].src_port, 6 - i);
	assert_int_equal(list[0].oddities[4].claims, 0);
}

static void the_list_is_newest_first_and_bounded(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 10; i++) {
		struct claim c = claim(i, T0 + S(i * 7 % 10));

		senders_heard(senders, &c, 0);
	}
	assert_int_equal(senders_list(senders, list, 4), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(list[i].last_heard_utc_us, T0 + S(9 - i));
}

static void strangers_do_not_drive_out_the_others(void **state)
{
	struct claim good = claim(0, T0), joined = claim(1, T0);

	(void)state;
	senders_heard(senders, &good, 0);
	senders_heard(senders, &joined, 0);
	senders_joined(senders, &joined);
	senders_heard(senders, &joined, 0); /* and stays so */
	for (unsigned int i = 0; i < 3 * SENDERS_MAX; i++) {
		struct claim c = claim(i, T0 + 1 + i);

		bed_ip(c.sender_ip, SOMEONE);
		c.sender_ip[1] = (uint8_t)(i >> 8);
		c.sender_ip[2] = (uint8_t)i;
		c.provenance = CLAIM_FROM_STRANGER;
		senders_heard(senders, &c, 0);
	}
	assert_int_equal(senders_count(senders), SENDERS_MAX);
	assert_int_equal(senders_list(senders, list, SENDERS_MAX), SENDERS_MAX);
	assert_int_equal(list[0].last_heard_utc_us, T0 + 3 * SENDERS_MAX);
	assert_int_equal(list[SENDERS_MAX - 2].last_heard_utc_us, T0);
	assert_int_equal(list[SENDERS_MAX - 1].last_heard_utc_us, T0);
	/* those who speak for themselves: the one silent for longest leaves; the joined one stays */
	for (unsigned int i = 2; i < 2 * SENDERS_MAX; i++) {
		struct claim c = claim(i, T0 + S(100) + i);

		senders_heard(senders, &c, 0);
	}
	assert_int_equal(senders_list(senders, list, SENDERS_MAX), SENDERS_MAX);
	assert_int_equal(list[SENDERS_MAX - 1].last_heard_utc_us, T0);
	assert_int_equal(list[SENDERS_MAX - 1].joined, 1);
	assert_int_equal(list[SENDERS_MAX - 2].last_heard_utc_us, T0 + S(100) + SENDERS_MAX + 1);
}

static void every_oddity_has_a_name_and_a_hint_for_everyone(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < CLAIM_ODDITIES; bit++) {
		const char *name = claim_oddity_name(bit);

		assert_non_null(name);
		for (unsigned int other = 0; other < bit; other++)
			assert_string_not_equal(name, claim_oddity_name(other));
		for (unsigned int p = 0; p < FIREFLY_PRODUCER_COUNT; p++) {
			const char *hint = claim_oddity_hint(bit, p);

			assert_non_null(hint);
			assert_int_equal(hint[strlen(hint) - 1], '.');
			assert_true(strlen(hint) < 300);
		}
	}
	assert_null(claim_oddity_name(CLAIM_ODDITIES));
	assert_null(claim_oddity_hint(CLAIM_ODDITIES, FIREFLY_OTHER));
	assert_string_equal(claim_oddity_name(5), "reversed_ends");
	assert_string_equal(claim_oddity_name(3), "dead_number");
	assert_non_null(strstr(claim_oddity_hint(5, FIREFLY_XROOTD), "5.8"));
	assert_non_null(strstr(claim_oddity_hint(5, FIREFLY_DCACHE), "remote"));
	assert_non_null(strstr(claim_oddity_hint(10, FIREFLY_DCACHE), "11.2.2"));
	assert_non_null(strstr(claim_oddity_hint(11, FIREFLY_FLOWD_GO), "flowd-go"));
	assert_non_null(strstr(claim_oddity_hint(4, FIREFLY_XROOTD), "196664"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_senders, close_senders)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fireflies_claims_and_duplicates_are_counted),
		TEST(the_clock_is_the_median_of_nine),
		TEST(outcomes_are_those_of_joined_flows),
		TEST(the_newest_four_flows_are_evidence),
		TEST(the_list_is_newest_first_and_bounded),
		TEST(strangers_do_not_drive_out_the_others),
		cmocka_unit_test(every_oddity_has_a_name_and_a_hint_for_everyone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
