/* The newest minute for eyes: what is kept, for how long, and who is let through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "web/recent.h"

/* n lines of second utc_s; every third one is a firefly, the line's number is its label */
static void add(struct recent *r, int64_t utc_s, size_t n)
{
	struct bucket *b = bucket_new(utc_s, 0, 0, 0);

	b->glimpses = calloc(n, sizeof(*b->glimpses));
	b->n_glimpses = n;
	for (size_t i = 0; i < n; i++) {
		b->glimpses[i].label = (uint32_t)i;
		b->glimpses[i].utc_us = utc_s * US_PER_S + (int64_t)i;
		b->glimpses[i].firefly = i % 3 == 2;
		b->glimpses[i].key.family = i % 2 ? 6 : 4;
	}
	recent_add(r, b);
	bucket_free(b);
}

static void lines_come_oldest_first_and_once(void **state)
{
	struct recent *r = recent_open();
	struct glimpse out[10];
	int64_t newest;

	(void)state;
	assert_int_equal(recent_read(r, CLOCK_NEVER, RECENT_BOTH, NULL, out, 10, &newest), 0);
	assert_true(newest == CLOCK_NEVER);
	add(r, 1000, 2);
	add(r, 1001, 3);
	assert_int_equal(recent_read(r, CLOCK_NEVER, RECENT_BOTH, NULL, out, 10, &newest), 5);
	assert_int_equal(newest, 1001);
	assert_int_equal(out[0].label, 0); /* 1000: 0 1, 1001: 0 1 2 */
	assert_int_equal(out[1].label, 1);
	assert_int_equal(out[4].label, 2);
	assert_int_equal(recent_read(r, 1000, RECENT_BOTH, NULL, out, 10, &newest), 3);
	assert_int_equal(recent_read(r, 1001, RECENT_BOTH, NULL, out, 10, &newest), 0);
	/* of more than there is room for an even choice: the third and the fifth of five */
	assert_int_equal(recent_read(r, CLOCK_NEVER, RECENT_BOTH, NULL, out, 2, &newest), 2);
	assert_int_equal(out[0].label, 0);
	assert_int_equal(out[1].label, 2);
	recent_close(r);
}

static void kind_and_filter_choose(void **state)
{
	struct recent *r = recent_open();
	struct glimpse out[10];
	struct filter *f;
	char why[128];
	int64_t newest;
	size_t at;

	(void)state;
	add(r, 1000, 6); /* fireflies: 2 and 5; family 6: 1, 3 and 5 */
	assert_int_equal(recent_read(r, CLOCK_NEVER, RECENT_FIREFLIES, NULL, out, 10, &newest), 2);
	assert_int_equal(recent_read(r, CLOCK_NEVER, RECENT_PACKETS, NULL, out, 10, &newest), 4);
	assert_int_equal(filter_parse(&f, "family=6", NULL, NULL, why, sizeof(why), &at), 0);
	assert_int_equal(recent_read(r, CLOCK_NEVER, RECENT_FIREFLIES, f, out, 10, &newest), 1);
	assert_int_equal(out[0].label, 5);
	filter_free(f);
	recent_close(r);
}

static void a_minute_is_kept_and_a_flood_thinned_out(void **state)
{
	static struct glimpse out[2 * RECENT_A_SECOND_MAX];
	struct recent *r = recent_open();
	int64_t newest;

	(void)state;
	for (int64_t s = 5000; s < 5100; s++)
		add(r, s, 1);
	assert_int_equal(recent_read(r, CLOCK_NEVER, RECENT_BOTH, NULL, out, 200, &newest), 60);
	add(r, 6000, 3 * RECENT_A_SECOND_MAX); /* the seconds before are too old */
	assert_int_equal(recent_read(r, CLOCK_NEVER, RECENT_BOTH, NULL, out,
				     2 * RECENT_A_SECOND_MAX, &newest),
			 RECENT_A_SECOND_MAX);
	assert_int_equal(out[1].label, 3);
	assert_int_equal(out[RECENT_A_SECOND_MAX - 1].label, 3 * (RECENT_A_SECOND_MAX - 1));
	recent_close(r);
	assert_int_equal(recent_read(NULL, CLOCK_NEVER, RECENT_BOTH, NULL, out, 1, &newest), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_oldest_first_and_once),
		cmocka_unit_test(kind_and_filter_choose),
		cmocka_unit_test(a_minute_is_kept_and_a_flood_thinned_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
