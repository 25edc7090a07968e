/* Bytes laid over minutes, worked out by hand; and over random intervals held against the definition: what lies
 * before a moment is bytes * (moment - from) / (until - from), rounded down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/clock.h"
#include "join/ledger.h"
#include "join/spread.h"
#include "join/claims.h"
#include "tests/unit/claims_bed.h"

static struct spread_part parts[SPREAD_PARTS_MAX];

static void lies_in(size_t i, int64_t minute_utc_s, uint64_t bytes)
{
	assert_int_equal(parts[i].minute_utc_s, minute_utc_s);
	assert_int_equal(parts[i].bytes, bytes);
}

static void thirds_are_rounded_so_that_nothing_is_lost(void **state)
{
	(void)state; /* 7/3 = 2, 14/3 = 4, 7: so 2, 2 and 3 */
	assert_int_equal(spread_bytes(parts, 7, T0, T0 + S(180)), 3);
	lies_in(0, T0_S, 2);
	lies_in(1, T0_S + 60, 2);
	lies_in(2, T0_S + 120, 3);
}

static void pieces_of_minutes_weigh_what_they_are_long(void **state)
{
	(void)state; /* 40 s, 60 s and 20 s of 120 s */
	assert_int_equal(spread_bytes(parts, 12000, T0 + S(20), T0 + S(140)), 3);
	lies_in(0, T0_S, 4000);
	lies_in(1, T0_S + 60, 6000);
	lies_in(2, T0_S + 120, 2000);
}

static void a_minute_that_gets_nothing_has_no_part(void **state)
{
	(void)state; /* one byte: whole only at the end */
	assert_int_equal(spread_bytes(parts, 1, T0, T0 + S(600)), 1);
	lies_in(0, T0_S + 540, 1);
	assert_int_equal(spread_bytes(parts, 0, T0, T0 + S(600)), 0);
}

static void no_time_and_negative_and_endless_go_into_the_last_minute(void **state)
{
	(void)state;
	assert_int_equal(spread_bytes(parts, 9, T0 + S(61), T0 + S(61)), 1);
	lies_in(0, T0_S + 60, 9);
	assert_int_equal(spread_bytes(parts, 9, T0 + S(200), T0 + S(61)), 1);
	lies_in(0, T0_S + 60, 9);
	assert_int_equal(spread_bytes(parts, 9, T0 - S(30 * 86400) - 1, T0), 1);
	lies_in(0, T0_S, 9);
	assert_int_equal(spread_bytes(parts, UINT64_MAX, T0, T0 + 1), 1);
	lies_in(0, T0_S, UINT64_MAX);
}

static void before_the_newest_six_hours_it_goes_by_hours(void **state)
{
	(void)state; /* eight hours at one byte a second: two hours, then 360 minutes */
	assert_int_equal(spread_bytes(parts, 28800, T0, T0 + S(8 * 3600)), 362);
	lies_in(0, T0_S, 3600);
	lies_in(1, T0_S + 3600, 3600);
	lies_in(2, T0_S + 7200, 60);
	lies_in(361, T0_S + 8 * 3600 - 60, 60);
	/* from 09:30 to 17:30:30: half an hour, an hour, half an hour up to 11:30, 360 minutes and a half */
	assert_int_equal(spread_bytes(parts, 28830, T0 + S(1800), T0 + S(1800 + 28830)), 364);
	lies_in(0, T0_S, 1800);
	lies_in(1, T0_S + 3600, 3600);
	lies_in(2, T0_S + 7200, 1800);
	lies_in(3, T0_S + 7200 + 1800, 60);
	lies_in(363, T0_S + 1800 + 28800, 30);
}

static uint64_t before(uint64_t bytes, int64_t moment, int64_t from, int64_t until)
{
	if (moment <= from)
		return 0;
	if (moment >= until)
		return bytes;
	return (uint64_t)((unsigned __int128)bytes * (uint64_t)(moment - from) /
			  (uint64_t)(until - from));
}

static void any_interval_adds_up(void **state)
{
	unsigned short seed[3] = {1, 2, 3};
	size_t most = 0;

	(void)state;
	for (int n = 0; n < 3000; n++) {
		int64_t length = 1 + (nrand48(seed) * 2147483648LL + nrand48(seed)) %
					     (S(30 * 86400) >> (nrand48(seed) % 24));
		int64_t from = T0 + nrand48(seed), until = from + length, to = 0;
		uint64_t bytes = ((uint64_t)nrand48(seed) << 33 | (uint64_t)nrand48(seed)) >>
				 (nrand48(seed) % 64);
		size_t n_parts = spread_bytes(parts, bytes, from, until);
		uint64_t sum = 0;

		if (n_parts > most)
			most = n_parts;
		assert_true(n_parts <= spread_parts(from, until));
		assert_true(spread_parts(from, until) <= SPREAD_PARTS_MAX);
		for (size_t i = 0; i < n_parts; i++) {
			int64_t begin = parts[i].minute_utc_s * US_PER_S;
			/* whatever comes next begins where this one's bytes are all laid */
			to = i + 1 < n_parts ? parts[i + 1].minute_utc_s * US_PER_S : until;
			assert_true(parts[i].bytes > 0);
			assert_true(i == 0 || begin > parts[i - 1].minute_utc_s * US_PER_S);
			assert_true(begin < until && begin > from - S(3600));
			sum += parts[i].bytes;
			assert_int_equal(sum, before(bytes, to, from, until));
		}
		assert_int_equal(sum, bytes);
	}
	assert_true(most > 1000 && most <= SPREAD_PARTS_MAX);
}

/* --- the ledger ------------------------------------------------------------------------------------ */

static struct ledger *ledger;
static struct claim_row *rows;
static struct histogram_row *histograms;
static size_t n_rows, n_histograms;

static int open_ledger(void **state)
{
	struct scitag_set registered = {{0}};

	(void)state;
	ledger = ledger_open();
	scitag_set_add(&registered, (struct scitag){3, 14});
	ledger_set_registered(ledger, &registered);
	return 0;
}

static int close_ledger(void **state)
{
	(void)state;
	ledger_close(ledger);
	free(rows);
	free(histograms);
	rows = NULL;
	histograms = NULL;
	return 0;
}

static void take(void)
{
	free(rows);
	free(histograms);
	assert_int_equal(ledger_take(ledger, &rows, &n_rows, &histograms, &n_histograms), 0);
}

static struct ledger_who who(unsigned int experiment, unsigned int activity,
			     const char *application)
{
	return (struct ledger_who){
		{(uint16_t)experiment, (uint16_t)activity}, application, 6, 0, T0};
}

static void rows_of_one_key_are_one(void **state)
{
	struct ledger_who w = who(3, 14, "dtn");
	const struct ledger_counts end = {.ends = 1, .end_bytes = 100};

	(void)state;
	ledger_count(ledger, &w, &end);
	ledger_count(ledger, &w, &end);
	ledger_book(ledger, &w, 60, T0, T0 + S(60));
	ledger_book(ledger, &w, 60, T0 + S(30), T0 + S(90));
	take();
	assert_int_equal(n_rows, 3);
	assert_int_equal(rows[0].minute_utc_s, 0); /* the second's own */
	assert_int_equal(rows[0].ends, 2);
	assert_int_equal(rows[0].end_bytes, 200);
	assert_int_equal(rows[0].bytes, 0);
	assert_int_equal(rows[1].minute_utc_s, T0_S);
	assert_int_equal(rows[1].bytes, 90);
	assert_int_equal(rows[2].minute_utc_s, T0_S + 60);
	assert_int_equal(rows[2].bytes, 30);
	assert_string_equal(rows[2].application, "dtn");
	take();
	assert_int_equal(n_rows, 0);
	assert_null(rows);
}

static void the_first_64_unregistered_tags_of_a_minute_have_rows(void **state)
{
	const struct ledger_counts start = {.starts = 1};

	(void)state;
	for (unsigned int i = 0; i < 300; i++) {
		struct ledger_who w = who(100 + i, 1, "dtn");

		ledger_count(ledger, &w, &start);
	}
	struct ledger_who registered = who(3, 14, "dtn"), none = who(0, 0, "dtn"),
			  first = who(100, 1, "dtn"), next = who(399, 1, "dtn");

	ledger_count(ledger, &registered, &start);
	ledger_count(ledger, &none, &start);
	ledger_count(ledger, &first, &start);
	next.heard_utc_us = T0 + S(60); /* another minute, another 64 */
	ledger_count(ledger, &next, &start);
	take();
	assert_int_equal(n_rows, 64 + 1 + 2 + 1);
	assert_int_equal(rows[0].starts, 2);
	assert_int_equal(rows[63].experiment, 163);
	assert_int_equal(rows[64].experiment, STORE_FOLDED);
	assert_int_equal(rows[64].activity, STORE_FOLDED);
	assert_int_equal(rows[64].starts, 300 - 64);
	assert_int_equal(rows[65].experiment, 3);
	assert_int_equal(rows[66].experiment, 0);
	assert_int_equal(rows[67].experiment, 399);
}

static void strangers_have_256_names_a_minute(void **state)
{
	const struct ledger_counts start = {.starts = 1};
	char name[64];

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		struct ledger_who w = who(3, 14, name);

		snprintf(name, sizeof(name), "name %u", i);
		w.is_stranger = i < 900; /* those who may speak are called as they like */
		ledger_count(ledger, &w, &start);
	}
	take();
	assert_int_equal(n_rows, 256 + 1 + 100);
	assert_string_equal(rows[255].application, "name 255");
	assert_string_equal(rows[256].application, LEDGER_OTHER);
	assert_int_equal(rows[256].starts, 900 - 256);
	assert_string_equal(rows[356].application, "name 999");
}

/* 100 names times 1,000 minutes want 100,000 rows. */
static void a_full_ledger_loses_no_byte_and_hands_over_20000_a_second(void **state)
{
	uint64_t booked = 0, taken = 0;
	char name[64];
	int turns = 0;

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		struct ledger_who w = who(3, 14, name);

		snprintf(name, sizeof(name), "name %u", i);
		for (unsigned int hours = 0; hours < 1000; hours += 5) {
			ledger_book(ledger, &w, 300000 + i, T0 + S(3600) * hours,
				    T0 + S(3600) * (hours + 5));
			booked += 300000 + i;
		}
	}
	assert_true(ledger_crowded(ledger) > 0);
	do {
		take();
		assert_true(n_rows <= LEDGER_TAKE_MAX + 2);
		for (size_t i = 0; i < n_rows; i++)
			taken += rows[i].bytes;
		turns += n_rows > 0;
	} while (n_rows);
	assert_int_equal(taken, booked);
	assert_int_equal(turns, 4); /* 65,536 in 20,000s */
}

/* Each lie of thirty days wants about 1,075 rows, always the same ones: that would be work without end. */
static void so_much_is_laid_between_two_takes(void **state)
{
	struct ledger_who w = who(3, 14, "lie");
	uint64_t booked = 0;

	(void)state;
	w.is_stranger = 1;
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < 1000; i++)
			ledger_book(ledger, &w, 1000000, T0 - S(30 * 86400), T0);
		take();
		for (size_t i = 0; i < n_rows; i++)
			booked += rows[i].bytes;
		assert_int_equal(booked, (turn + 1) * 1000000000LL);
		/* 100,000 minutes and hours hold 93 of them */
		assert_in_range(ledger_crowded(ledger), (turn + 1) * 905, (turn + 1) * 909);
	}
}

static void counts_that_find_no_row_share_one(void **state)
{
	const struct ledger_counts start = {.starts = 1};
	uint64_t starts = 0, rest = 0;
	char name[64];

	(void)state;
	for (unsigned int i = 0; i < LEDGER_ROWS_MAX + 7; i++) {
		struct ledger_who w = who(3, 14, name);

		snprintf(name, sizeof(name), "name %u", i);
		ledger_count(ledger, &w, &start);
	}
	assert_int_equal(ledger_crowded(ledger), 7);
	do {
		take();
		for (size_t i = 0; i < n_rows; i++) {
			starts += rows[i].starts;
			if (rows[i].experiment == STORE_FOLDED) {
				assert_string_equal(rows[i].application, LEDGER_OTHER);
				assert_int_equal(rows[i].family, 6);
				rest += rows[i].starts;
			}
		}
	} while (n_rows);
	assert_int_equal(starts, LEDGER_ROWS_MAX + 7);
	assert_int_equal(rest, 7);
}

static void strangers_leave_half_of_it_to_the_others(void **state)
{
	const struct ledger_counts start = {.starts = 1};
	struct scitag_set registered = {{0}};
	struct ledger_who good = who(3, 14, "dtn"), old = who(16, 1, "dtn");
	uint64_t lies = 0, booked = 0;

	(void)state;
	for (unsigned int e = 1; e <= 300; e++)
		scitag_set_add(&registered, (struct scitag){(uint16_t)e, 14});
	ledger_set_registered(ledger, &registered);
	for (unsigned int i = 0; i < 300; i++) {
		struct ledger_who w = who(1 + i, 14, "lie");

		w.is_stranger = 1;
		for (unsigned int n = 0; n < 40; n++) /* each wants six hours' minutes */
			ledger_book(ledger, &w, 1000000, T0 + S(3600 * 6) * n,
				    T0 + S(3600 * 6) * (n + 1));
		for (unsigned int shift = 0; shift < 64; shift++)
			ledger_measure(ledger, &w, HISTOGRAM_BYTES, 1ULL << shift);
		w = who(301 + i, 1, "lie");
		w.is_stranger = 1;
		ledger_count(ledger, &w, &start);
		lies += 40 * 1000000;
	}
	ledger_count(ledger, &old, &start);
	ledger_measure(ledger, &good, HISTOGRAM_DURATION_MS, 77);
	ledger_book(ledger, &good, 6000, T0, T0 + S(60 * 60));
	for (int minutes = 0, n = 0; n < 10; n++) {
		take();
		for (size_t i = 0; i < n_rows; i++) {
			booked += rows[i].bytes;
			if (rows[i].starts == 1 && rows[i].experiment == 16)
				minutes++; /* its tag, though it is not registered, is still told */
			if (strcmp(rows[i].application, "dtn") || rows[i].experiment != 3)
				continue;
			assert_int_equal(rows[i].bytes, 100);
			minutes++;
		}
		for (size_t i = 0; i < n_histograms; i++)
			if (histograms[i].kind == HISTOGRAM_DURATION_MS)
				assert_int_equal(histograms[i].experiment, 3);
		if (n == 9)
			assert_int_equal(minutes, 61);
	}
	assert_int_equal(booked, lies + 6000);
}

static void what_waits_is_found_again(void **state)
{
	const struct ledger_counts start = {.starts = 1};
	char name[64];

	(void)state;
	for (unsigned int i = 0; i < LEDGER_TAKE_MAX + 10; i++) {
		struct ledger_who w = who(3, 14, name);

		snprintf(name, sizeof(name), "name %u", i);
		ledger_count(ledger, &w, &start);
	}
	take();
	assert_int_equal(n_rows, LEDGER_TAKE_MAX);
	struct ledger_who w = who(3, 14, name);

	ledger_count(ledger, &w, &start); /* the newest of those that wait */
	take();
	assert_int_equal(n_rows, 10);
	assert_int_equal(rows[9].starts, 2);
}

/* floor(8 * log2(v)), by an independent calculator: 1 -> 0, 2 -> 8, 3 -> 12, 10,000 -> 106, 20,000 -> 114, 2^40 -> 320 */
static void values_go_into_eighths_of_a_doubling(void **state)
{
	static const struct {
		uint64_t value;
		uint16_t bin;
	} cases[] = {{1, 0}, {2, 8}, {3, 12}, {10000, 106}, {20000, 114}, {1ULL << 40, 320}};
	struct ledger_who w = who(3, 14, "dtn");

	(void)state;
	ledger_measure(ledger, &w, HISTOGRAM_BYTES, 0);
	for (size_t i = 0; i < 6; i++)
		ledger_measure(ledger, &w, HISTOGRAM_BYTES, cases[i].value);
	ledger_measure(ledger, &w, HISTOGRAM_BYTES, 10001);
	ledger_measure(ledger, &w, HISTOGRAM_BYTES, 10000);
	ledger_measure(ledger, &w, HISTOGRAM_DURATION_MS, 20000);
	take();
	assert_int_equal(n_histograms, 7);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(histograms[i].kind, HISTOGRAM_BYTES);
		assert_int_equal(histograms[i].bin, cases[i].bin);
		assert_int_equal(histograms[i].n, i == 3 ? 3 : 1);
		assert_int_equal(histograms[i].max, cases[i].value + (i == 3));
	}
	assert_int_equal(histograms[6].kind, HISTOGRAM_DURATION_MS);
	assert_int_equal(histograms[6].experiment, 3);
}

static void full_histograms_fold_and_lose_nothing(void **state)
{
	struct scitag_set registered = {{0}};
	uint64_t n = 0;

	(void)state;
	for (unsigned int e = 1; e < 300; e++)
		scitag_set_add(&registered, (struct scitag){(uint16_t)e, 1});
	ledger_set_registered(ledger, &registered);
	for (unsigned int e = 1; e < 300; e++)
		for (unsigned int shift = 0; shift < 64; shift++) {
			struct ledger_who w = who(e, 1, "dtn");

			ledger_measure(ledger, &w, HISTOGRAM_BYTES, 1ULL << shift);
		}
	take();
	assert_true(n_histograms <= LEDGER_HISTOGRAMS_MAX);
	for (size_t i = 0; i < n_histograms; i++)
		n += histograms[i].n;
	assert_int_equal(n, 299 * 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thirds_are_rounded_so_that_nothing_is_lost),
		cmocka_unit_test(pieces_of_minutes_weigh_what_they_are_long),
		cmocka_unit_test(a_minute_that_gets_nothing_has_no_part),
		cmocka_unit_test(no_time_and_negative_and_endless_go_into_the_last_minute),
		cmocka_unit_test(before_the_newest_six_hours_it_goes_by_hours),
		cmocka_unit_test(any_interval_adds_up),
		cmocka_unit_test_setup_teardown(rows_of_one_key_are_one, open_ledger, close_ledger),
		cmocka_unit_test_setup_teardown(
			the_first_64_unregistered_tags_of_a_minute_have_rows, open_ledger,
			close_ledger),
		cmocka_unit_test_setup_teardown(strangers_have_256_names_a_minute, open_ledger,
						close_ledger),
		cmocka_unit_test_setup_teardown(
			a_full_ledger_loses_no_byte_and_hands_over_20000_a_second, open_ledger,
			close_ledger),
		cmocka_unit_test_setup_teardown(so_much_is_laid_between_two_takes, open_ledger,
						close_ledger),
		cmocka_unit_test_setup_teardown(counts_that_find_no_row_share_one, open_ledger,
						close_ledger),
		cmocka_unit_test_setup_teardown(strangers_leave_half_of_it_to_the_others,
						open_ledger, close_ledger),
		cmocka_unit_test_setup_teardown(what_waits_is_found_again, open_ledger,
						close_ledger),
		cmocka_unit_test_setup_teardown(values_go_into_eighths_of_a_doubling, open_ledger,
						close_ledger),
		cmocka_unit_test_setup_teardown(full_histograms_fold_and_lose_nothing, open_ledger,
						close_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
