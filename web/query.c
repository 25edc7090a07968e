#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "store/store.h"
#include "web/query.h"

#define NEAR_LEN_MAX   32
#define RELATIVE_MAX_S (200LL * 365 * 86400)

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes percent-encoding in place. NULL, or why not. */
static const char *decode(char *text, int plus_is_blank)
{
	char *out = text;
	json_t *probe;

	for (const char *in = text; *in; in++, out++) {
		if (*in == '%') {
			int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);

			if (low < 0)
				return "a percent sign is not followed by two hexadecimal digits";
			*out = (char)(high << 4 | low);
			in += 2;
		} else {
			*out = *in == '+' && plus_is_blank ? ' ' : *in;
		}
		if ((unsigned char)*out < 0x20 || *out == 0x7f)
			return "control characters have no place here";
	}
	*out = '\0';
	probe = json_string(text);
	if (!probe)
		return "it is not UTF-8";
	json_decref(probe);
	return NULL;
}

static const char *parse_params(struct query *q, char *text)
{
	char *pair;

	while ((pair = strsep(&text, "&"))) {
		char *value = pair;
		const char *name = strsep(&value, "="), *why;

		if (!*pair && !value)
			continue; /* "&&" */
		if (!value)
			value = pair + strlen(pair); /* "name" alone: empty */
		why = decode(pair, 1);
		if (!why)
			why = decode(value, 1);
		if (why)
			return why;
		if (query_value(q, name))
			return "a parameter is given twice";
		if (q->n_params == QUERY_PARAMS_MAX)
			return "there are too many parameters";
		q->params[q->n_params++] = (struct query_param){name, value};
	}
	return NULL;
}

int query_parse(struct query *q, char *uri, const char **why)
{
	struct query out = {0};
	char *rest = uri;

	out.path = strsep(&rest, "?");
	*why = decode(uri, 0);
	if (!*why && rest)
		*why = parse_params(&out, rest);
	if (*why)
		return -EINVAL;
	*q = out;
	return 0;
}

const char *query_value(const struct query *q, const char *name)
{
	for (size_t i = 0; i < q->n_params; i++)
		if (!strcmp(q->params[i].name, name))
			return q->params[i].value;
	return NULL;
}

static int64_t unit_s(char unit)
{
	switch (unit) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	case 'y':
		return 365 * 86400;
	default:
		return 0;
	}
}

/* Digits and one unit; no unit means seconds where unit_needed is 0. */
static int duration(int64_t *out_s, const char *text, int unit_needed)
{
	int64_t n = 0, unit = 1;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		n = n * 10 + (*text - '0');
		if (n > RELATIVE_MAX_S)
			return -EINVAL;
	}
	if (*text || unit_needed) {
		unit = unit_s(*text);
		if (!unit || text[1])
			return -EINVAL;
	}
	if (n > RELATIVE_MAX_S / unit)
		return -EINVAL;
	*out_s = n * unit;
	return 0;
}

int query_time(int64_t *utc_us, const char *text, int64_t now_utc_us)
{
	char copy[64];
	size_t len = strlen(text);
	int64_t back_s;

	if (!strcasecmp(text, "now")) {
		*utc_us = now_utc_us;
		return 0;
	}
	if (*text == '-') {
		if (duration(&back_s, text + 1, 1))
			return -EINVAL;
		*utc_us = now_utc_us - back_s * US_PER_S;
		return 0;
	}
	if (len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, len + 1);
	/* the plus of "+01:00" arrives as a blank when its sender did not encode it */
	if (len > 19) {
		char *blank = strchr(copy + 19, ' ');

		if (blank)
			*blank = '+';
	}
	return clock_parse_utc(utc_us, copy, len);
}

int query_step(uint32_t *step_s, const char *text)
{
	int64_t s;

	if (duration(&s, text, 0) || s < 1 || s > UINT32_MAX)
		return -EINVAL;
	*step_s = (uint32_t)s;
	return 0;
}

int query_number(uint32_t *out, const char *text, uint32_t min, uint32_t max)
{
	uint64_t n = 0;

	if (!*text || strlen(text) > 10)
		return -EINVAL;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		n = n * 10 + (uint64_t)(*text - '0');
	}
	if (n < min || n > max)
		return -EINVAL;
	*out = (uint32_t)n;
	return 0;
}

int query_group(uint32_t *mask, const char *text, const char **bad, size_t *bad_len)
{
	uint32_t bits = 0;

	while (*text) {
		size_t len = strcspn(text, ",");
		int d = DIM_COUNT;

		while (d-- > 0)
			if (strlen(dim_name(d)) == len && !strncasecmp(dim_name(d), text, len))
				break;
		if (d < 0) {
			*bad = text;
			*bad_len = len;
			return -EINVAL;
		}
		bits |= 1u << d;
		text += len;
		text += *text == ',';
	}
	*mask = bits;
	return 0;
}

/* Edits (insert, delete, replace) between two words of at most NEAR_LEN_MAX. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[NEAR_LEN_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			int same = tolower((unsigned char)a[i - 1]) ==
				   tolower((unsigned char)b[j - 1]);
			size_t best = diagonal + !same;

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_len];
}

const char *query_nearest(const char *word, size_t len, const char *const *names, size_t n)
{
	const char *nearest = NULL;
	size_t best = 3; /* farther is no typing error */

	for (size_t i = 0; i < n; i++) {
		size_t name_len = strlen(names[i]), d;

		if (len > NEAR_LEN_MAX || name_len > NEAR_LEN_MAX)
			continue;
		d = distance(word, len, names[i], name_len);
		if (d < best && d < name_len) {
			best = d;
			nearest = names[i];
		}
	}
	return nearest;
}
