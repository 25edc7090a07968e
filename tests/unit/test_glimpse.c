/* A few observations for eyes: each packet as likely as any other of its kind, tagged ones apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "observer/glimpse.h"

static struct observation packet(uint32_t number, enum scitag_grade grade)
{
	return (struct observation){
		.utc_us = number,
		.key = {.src_port = 1094, .dst_port = 40000, .protocol = 6, .family = 6},
		.frame_bytes = 1514,
		.weight = 1000,
		.label = 0x48044,
		.source = 3,
		.direction = DIRECTION_OUT,
		.tag = {{2, 17}, CARRIER_LABEL, (uint8_t)grade, 0, 0, {0, 0}},
	};
}

static void few_are_all_kept_in_order_of_time(void **state)
{
	struct glimpses *g = glimpses_open();
	struct glimpse *out;

	(void)state;
	assert_int_equal(glimpses_take(g, &out), 0);
	assert_null(out);
	for (uint32_t i = 0; i < 100; i++) {
		struct observation o = packet(i, i % 2 ? GRADE_REGISTERED : GRADE_UNTAGGED);

		glimpses_offer(g, &o);
	}
	assert_int_equal(glimpses_take(g, &out), 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(out[i].utc_us, i);
	assert_int_equal(out[1].key.experiment, 2);
	assert_int_equal(out[1].key.activity, 17);
	assert_int_equal(out[1].key.source, 3);
	assert_int_equal(out[1].flow.src_port, 1094);
	assert_int_equal(out[1].frame_bytes, 1514);
	assert_int_equal(out[1].weight, 1000);
	assert_int_equal(out[1].firefly, 0);
	free(out);
	assert_int_equal(glimpses_take(g, &out), 0); /* a new second */
	glimpses_close(g);
}

static void a_rare_tag_is_not_lost_among_others(void **state)
{
	struct glimpses *g = glimpses_open();
	struct glimpse *out;
	size_t n, tagged = 0;

	(void)state;
	for (uint32_t i = 0; i < 100000; i++) {
		struct observation o = packet(i, i == 70000 ? GRADE_CONFIRMED : GRADE_UNREGISTERED);

		glimpses_offer(g, &o);
	}
	n = glimpses_take(g, &out);
	assert_int_equal(n, 101);
	for (size_t i = 0; i < n; i++)
		tagged += out[i].key.grade == GRADE_CONFIRMED;
	assert_int_equal(tagged, 1);
	free(out);
	glimpses_close(g);
}

/* 400 seconds of 1,000 packets: each tenth of the second should give a tenth of 40,000 glimpses. The number in a
 * tenth has a standard deviation below sqrt(40000 * 0.1 * 0.9) = 60; 5 of these: 300. */
static void each_packet_is_as_likely_as_any_other(void **state)
{
	struct glimpses *g = glimpses_open();
	unsigned int tenths[10] = {0};

	(void)state;
	for (int second = 0; second < 400; second++) {
		struct glimpse *out;
		size_t n;

		for (uint32_t i = 0; i < 1000; i++) {
			struct observation o = packet(i, GRADE_REGISTERED);

			glimpses_offer(g, &o);
		}
		n = glimpses_take(g, &out);
		assert_int_equal(n, 100);
		for (size_t i = 0; i < n; i++)
			tenths[out[i].utc_us / 100]++;
		free(out);
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(tenths[i], 3700, 4300);
	glimpses_close(g);
}

static void fireflies_are_shown_evenly(void **state)
{
	static struct heard heard[1000];
	struct glimpse out[GLIMPSES_OF_A_KIND];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		heard[i].heard_utc_us = i;
		heard[i].firefly.state = FIREFLY_END;
		heard[i].firefly.tag = (struct scitag){3, 14};
		strcpy(heard[i].firefly.application,
		       "an application whose name is longer than that");
	}
	assert_int_equal(glimpses_of_heard(heard, 3, 7, out), 3);
	assert_int_equal(out[2].utc_us, 2);
	assert_int_equal(out[2].firefly, FIREFLY_END);
	assert_int_equal(out[2].key.source, 7);
	assert_int_equal(out[2].key.experiment, 3);
	assert_string_equal(out[2].application, "an application whose name is lo");
	assert_int_equal(glimpses_of_heard(heard, 1000, 7, out), 100);
	assert_int_equal(out[99].utc_us, 990);
	assert_int_equal(glimpses_of_heard(heard, 0, 7, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_are_all_kept_in_order_of_time),
		cmocka_unit_test(a_rare_tag_is_not_lost_among_others),
		cmocka_unit_test(each_packet_is_as_likely_as_any_other),
		cmocka_unit_test(fireflies_are_shown_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
