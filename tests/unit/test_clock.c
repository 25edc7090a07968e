/* Times as text, against values worked out with GNU date: date -ud '...' +%s. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"

static const struct {
	const char *text;
	int64_t utc_us;
} good[] = {
	{"1970-01-01T00:00:00Z", 0},
	{"2026-01-10T09:00:00.000123Z", 1768035600000123},
	{"2026-01-10 09:00:00.000123+00:00", 1768035600000123},
	{"2026-01-10T10:00:00,5+01:00", 1768035600500000},
	{"2026-01-10T03:30:00-05:30", 1768035600000000},
	{"2026-01-10T03:30:00-0530", 1768035600000000},
	{"2026-01-10t09:00:00.123456789z", 1768035600123456}, /* truncated to us */
	{"2024-02-29T23:59:59Z", 1709251199000000},
	{"2000-02-29T12:00:00Z", 951825600000000},
	{"1969-12-31T23:59:59.5Z", -500000},
	{"2016-12-31T23:59:60Z", 1483228800000000}, /* a leap second is the next second */
	{"2025-09-04T12:01:55.844133+00:00", 1756987315844133},
	{"9999-12-31T23:59:59.999999Z", 253402300799999999},
};

static const char *const bad[] = {
	"",
	"2026",
	"2026-01-10",
	"2026-01-10T09:00:00",
	"2026-01-10T09:00Z",
	"2026-13-10T09:00:00Z",
	"2026-00-10T09:00:00Z",
	"2026-02-29T09:00:00Z",
	"1900-02-29T09:00:00Z",
	"2026-04-31T09:00:00Z",
	"2026-01-10T24:00:00Z",
	"2026-01-10T09:60:00Z",
	"2026-01-10T09:00:61Z",
	"2026-01-10T09:00:00.Z",
	"2026-01-10T09:00:00.1234567890Z",
	"2026-01-10T09:00:00+1:00",
	"2026-01-10T09:00:00+24:00",
	"2026-01-10T09:00:00Z ",
	" 2026-01-10T09:00:00Z",
	"2026-01-10X09:00:00Z",
	"2026-1-10T09:00:00Z",
	"+026-01-10T09:00:00Z",
};

static void good_times_are_read(void **state)
{
	int64_t us;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		us = -1;
		assert_int_equal(clock_parse_utc(&us, good[i].text, strlen(good[i].text)), 0);
		assert_int_equal(us, good[i].utc_us);
	}
}

static void bad_times_are_refused_and_leave_the_output_alone(void **state)
{
	int64_t us = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(clock_parse_utc(&us, bad[i], strlen(bad[i])), -EINVAL);
	assert_int_equal(us, 42);
}

static void every_shorter_text_is_refused(void **state)
{
	const char *text = "2026-01-10T09:00:00Z";
	int64_t us;

	(void)state;
	for (size_t n = 0; n < strlen(text); n++) {
		char exact[32];

		memcpy(exact, text, n); /* no terminator: only text[0..n) may be read */
		memset(exact + n, '0', sizeof(exact) - n);
		assert_int_equal(clock_parse_utc(&us, exact, n), -EINVAL);
	}
}

static void times_are_written(void **state)
{
	char buf[32];

	(void)state;
	assert_string_equal(clock_format_utc(buf, sizeof(buf), 1768035600000123, 6),
			    "2026-01-10T09:00:00.000123Z");
	assert_string_equal(clock_format_utc(buf, sizeof(buf), 1768035600999999, 3),
			    "2026-01-10T09:00:00.999Z");
	assert_string_equal(clock_format_utc(buf, sizeof(buf), 1768035600999999, 0),
			    "2026-01-10T09:00:00Z");
	assert_string_equal(clock_format_utc(buf, sizeof(buf), -1, 6),
			    "1969-12-31T23:59:59.999999Z");
	assert_string_equal(clock_format_utc(buf, sizeof(buf), CLOCK_NEVER, 6), "never");
}

static void what_is_written_is_read_back(void **state)
{
	char buf[32];
	int64_t us;

	(void)state; /* every 37 days and a bit over 400 years: all month ends and leap rules */
	for (int64_t t = -11676096000; t < 12622780800; t += 37 * 86400 + 4321) {
		clock_format_utc(buf, sizeof(buf), t * US_PER_S + 7, 6);
		assert_int_equal(clock_parse_utc(&us, buf, strlen(buf)), 0);
		assert_int_equal(us, t * US_PER_S + 7);
	}
}

static void the_clocks_run(void **state)
{
	int64_t mono = clock_mono_ns();

	(void)state;
	assert_true(clock_mono_ns() >= mono);
	assert_true(clock_utc_us() > 1700000000LL * US_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_times_are_read),
		cmocka_unit_test(bad_times_are_refused_and_leave_the_output_alone),
		cmocka_unit_test(every_shorter_text_is_refused),
		cmocka_unit_test(times_are_written),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(the_clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
