/* The store through its own door: put seconds, ask, close, open again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/clock.h"
#include "store/filter.h"

#define T0 1768003200 /* 2026-01-10T00:00:00Z: the start of a day, hence of every bucket */

static struct store *open_url(const char *url)
{
	struct store_config cfg;
	struct store *s = NULL;

	store_config_default(&cfg);
	cfg.url = url;
	assert_int_equal(store_open(&s, &cfg), 0);
	return s;
}

static struct traffic_row row_of(uint16_t source, int experiment, int activity, uint64_t bytes)
{
	return (struct traffic_row){
		.key = {.source = source,
			.direction = DIRECTION_IN,
			.family = 6,
			.carrier = CARRIER_LABEL,
			.grade = GRADE_REGISTERED,
			.experiment = experiment,
			.activity = activity},
		.value = {.packets = 1, .bytes = bytes, .ip_bytes = bytes - 14, .samples = 1, .codes = 1},
	};
}

static void put_row(struct store *s, int64_t utc_s, struct traffic_row row)
{
	struct bucket *b = bucket_new(utc_s, 1, 0, 0);

	b->rows[0] = row;
	store_put(s, b);
}

static uint64_t total_bytes(struct store *s, int64_t from_utc_s, int64_t to_utc_s, uint32_t step_s)
{
	struct store_query q = {.from_utc_s = from_utc_s, .to_utc_s = to_utc_s, .step_s = step_s};
	struct store_result *r;
	uint64_t bytes;

	assert_int_equal(store_query(s, &q, &r), 0);
	bytes = r->n_series ? r->series[0].total.bytes : 0;
	store_result_free(r);
	return bytes;
}

static void what_was_put_is_found_in_ring_and_database(void **state)
{
	struct store *s = open_url("sqlite::memory:");
	struct store_query q = {.from_utc_s = T0, .to_utc_s = T0 + 20, .step_s = 10, .group = 1u << DIM_EXPERIMENT};
	struct store_result *r;

	(void)state;
	for (int i = 0; i < 15; i++)
		put_row(s, T0 + i, row_of(1, 2, 9, 1000));
	put_row(s, T0 + 15, row_of(1, 3, 14, 100000));
	assert_int_equal(store_flush(s, 5000), 0);
	assert_int_equal(store_query(s, &q, &r), 0);
	assert_int_equal(r->n_points, 2);
	assert_int_equal(r->n_series, 2);
	assert_int_equal(r->series[0].key.experiment, 3); /* the larger first */
	assert_int_equal(r->series[0].points[0].bytes, 0);
	assert_int_equal(r->series[0].points[1].bytes, 100000);
	assert_int_equal(r->series[1].points[0].bytes, 10000);
	assert_int_equal(r->series[1].points[1].bytes, 5000);
	assert_int_equal(r->series[1].total.packets, 15);
	store_result_free(r);
	assert_int_equal(total_bytes(s, T0, T0 + 15, 1), 15000);
	assert_int_equal(total_bytes(s, T0, T0 + 20, 0), 115000);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_found_in_ring_and_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
