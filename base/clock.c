#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

#define DAYS_PER_ERA 146097 /* 400 years */

int64_t clock_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t clock_utc_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

char *clock_format_utc(char *buf, size_t cap_bytes, int64_t utc_us, int fraction_digits)
{
	int64_t second = utc_us / US_PER_S, us = utc_us % US_PER_S;
	char fraction[16] = "";
	struct tm tm;
	time_t t;

	if (us < 0) {
		us += US_PER_S;
		second--;
	}
	t = (time_t)second;
	if (utc_us == CLOCK_NEVER || !gmtime_r(&t, &tm)) {
		snprintf(buf, cap_bytes, "never");
		return buf;
	}
	if (fraction_digits == 3)
		snprintf(fraction, sizeof(fraction), ".%03d", (int)(us / 1000));
	else if (fraction_digits == 6)
		snprintf(fraction, sizeof(fraction), ".%06d", (int)us);
	snprintf(buf, cap_bytes, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
	return buf;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar; years start in March here, so that the
 * leap day comes last. */
static int64_t days_from_civil(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int era = (y >= 0 ? y : y - 399) / 400;
	int year_of_era = y - era * 400;
	int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return (int64_t)era * DAYS_PER_ERA + day_of_era - 719468;
}

struct text {
	const char *pos, *end;
};

/* Exactly n digits; -1 if they are not there. */
static int take_digits(struct text *t, int n)
{
	int value = 0;

	if (t->end - t->pos < n)
		return -1;
	for (int i = 0; i < n; i++, t->pos++) {
		if (*t->pos < '0' || *t->pos > '9')
			return -1;
		value = value * 10 + (*t->pos - '0');
	}
	return value;
}

static int take_one_of(struct text *t, const char *set)
{
	if (t->pos == t->end)
		return 0;
	for (; *set; set++)
		if (*t->pos == *set) {
			t->pos++;
			return *set;
		}
	return 0;
}

int clock_parse_utc(int64_t *utc_us, const char *text, size_t len_bytes)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	struct text t = {text, text + len_bytes};
	int year, month, day, hour, minute, second, sign;
	int64_t us = 0, offset_s = 0;

	year = take_digits(&t, 4);
	if (year < 0 || !take_one_of(&t, "-"))
		return -EINVAL;
	month = take_digits(&t, 2);
	if (month < 1 || month > 12 || !take_one_of(&t, "-"))
		return -EINVAL;
	day = take_digits(&t, 2);
	if (day < 1 ||
	    day > month_days[month - 1] +
			    (month == 2 && (year % 4 == 0 && (year % 100 || year % 400 == 0))))
		return -EINVAL;
	if (!take_one_of(&t, "Tt "))
		return -EINVAL;
	hour = take_digits(&t, 2);
	if (hour < 0 || hour > 23 || !take_one_of(&t, ":"))
		return -EINVAL;
	minute = take_digits(&t, 2);
	if (minute < 0 || minute > 59 || !take_one_of(&t, ":"))
		return -EINVAL;
	second = take_digits(&t, 2);
	if (second < 0 || second > 60) /* 60: a leap second, the next minute's first to us */
		return -EINVAL;
	if (take_one_of(&t, ".,")) {
		int scale = 100000, digits = 0, digit;

		for (; (digit = take_digits(&t, 1)) >= 0; digits++, scale /= 10)
			us += digit * scale;
		if (digits < 1 || digits > 9)
			return -EINVAL;
	}
	if (!take_one_of(&t, "Zz")) {
		int offset_hours, offset_minutes;

		sign = take_one_of(&t, "+-");
		offset_hours = sign ? take_digits(&t, 2) : -1;
		if (offset_hours < 0 || offset_hours > 23)
			return -EINVAL;
		take_one_of(&t, ":");
		offset_minutes = take_digits(&t, 2);
		if (offset_minutes < 0 || offset_minutes > 59)
			return -EINVAL;
		offset_s = (offset_hours * 60 + offset_minutes) * 60 * (sign == '-' ? -1 : 1);
	}
	if (t.pos != t.end)
		return -EINVAL;
	*utc_us = ((days_from_civil(year, month, day) * 24 + hour) * 3600 + minute * 60 + second -
		   offset_s) *
			  US_PER_S +
		  us;
	return 0;
}
