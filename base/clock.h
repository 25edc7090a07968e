/* The two clocks, read once per loop turn and passed on; and times as text. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CLOCK_NEVER INT64_MIN /* a time that is not known */
#define US_PER_S    1000000LL
#define NS_PER_S    1000000000LL

int64_t clock_mono_ns(void);
int64_t clock_utc_us(void);

/* "2026-01-10T09:00:00.000123Z" with `fraction_digits` (0, 3 or 6) digits; buf needs 32 bytes.
 * Returns buf. */
char *clock_format_utc(char *buf, size_t cap_bytes, int64_t utc_us, int fraction_digits);

/* RFC 3339 / ISO 8601: 'T' or blank, Z or +hh:mm, 0 to 9 fraction digits after '.' or ','. Reads
 * exactly text[0..len). Returns 0 and *utc_us (truncated to us), or -EINVAL. */
int clock_parse_utc(int64_t *utc_us, const char *text, size_t len_bytes);

#endif
