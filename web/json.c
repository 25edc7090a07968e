#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/json.h"

/* Twelve digits hold every share and rate exactly enough, and 0.1 stays 0.1. */
#define JSON_FORM (JSON_COMPACT | JSON_REAL_PRECISION(12))

static const char out_of_memory[] =
	"{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,"
	"\"detail\":\"out of memory\"}";

void answer_free(struct answer *a)
{
	free(a->body);
	*a = (struct answer){0};
}

char *json_text(json_t *root)
{
	char *text = root ? json_dumps(root, JSON_FORM | JSON_ENCODE_ANY) : NULL;

	json_decref(root);
	return text;
}

void answer_text(struct answer *out, unsigned int status, const char *type, char *body)
{
	answer_free(out);
	if (!body) {
		status = 500;
		type = TYPE_PROBLEM;
		body = strdup(out_of_memory);
	}
	*out = (struct answer){status, type, body, body ? strlen(body) : 0};
}

void answer_json(struct answer *out, json_t *root)
{
	answer_text(out, 200, TYPE_JSON, json_text(root));
}

static const char *title(unsigned int status)
{
	switch (status) {
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 414:
		return "URI Too Long";
	case 421:
		return "Misdirected Request";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

void answer_problem(struct answer *out, unsigned int status, const char *parameter, int64_t at,
		    const char *fmt, ...)
{
	char detail[512];
	va_list args;
	json_t *root;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	root = json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title", title(status),
			 "status", (int)status, "detail", json_words(detail));
	if (root && parameter)
		json_object_set_new(root, "parameter", json_words(parameter));
	if (root && at >= 0)
		json_object_set_new(root, "at", json_integer(at));
	answer_text(out, status, TYPE_PROBLEM, json_text(root));
}

/* Room for that much and a NUL behind it. NULL: none. */
static char *text_room(struct text *t, size_t len_bytes)
{
	size_t cap_bytes = t->cap_bytes ? t->cap_bytes : 4096;
	char *buf;

	if (t->failed)
		return NULL;
	while (cap_bytes - t->len_bytes <= len_bytes)
		cap_bytes *= 2;
	if (cap_bytes != t->cap_bytes) {
		buf = realloc(t->buf, cap_bytes);
		if (!buf) {
			t->failed = 1;
			return NULL;
		}
		t->buf = buf;
		t->cap_bytes = cap_bytes;
	}
	return t->buf + t->len_bytes;
}

void text_put(struct text *t, const char *words)
{
	size_t len_bytes = strlen(words);
	char *room = text_room(t, len_bytes);

	if (!room)
		return;
	memcpy(room, words, len_bytes);
	t->len_bytes += len_bytes;
}

void text_json(struct text *t, json_t *value)
{
	char *words = json_text(value);

	if (words)
		text_put(t, words);
	else
		t->failed = 1;
	free(words);
}

void text_count(struct text *t, uint64_t n)
{
	char digits[20], *at = digits + sizeof(digits), *room;
	size_t len_bytes;

	n = n < INT64_MAX ? n : INT64_MAX;
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	len_bytes = (size_t)(digits + sizeof(digits) - at);
	room = text_room(t, len_bytes);
	if (!room)
		return;
	memcpy(room, at, len_bytes);
	t->len_bytes += len_bytes;
}

char *text_take(struct text *t)
{
	char *buf = text_room(t, 0);

	if (buf)
		*buf = '\0';
	else
		free(t->buf);
	buf = buf ? t->buf : NULL;
	*t = (struct text){0};
	return buf;
}

json_t *json_count(uint64_t n)
{
	return json_integer(n < INT64_MAX ? (json_int_t)n : INT64_MAX);
}

json_t *json_time_us(int64_t utc_us)
{
	char text[32];

	if (utc_us == CLOCK_NEVER)
		return json_null();
	return json_string(clock_format_utc(text, sizeof(text), utc_us, 0));
}

json_t *json_time_s(int64_t utc_s)
{
	return json_time_us(utc_s == CLOCK_NEVER ? CLOCK_NEVER : utc_s * US_PER_S);
}

json_t *json_number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

json_t *json_share(uint64_t part, uint64_t whole)
{
	return json_real(whole ? (double)part / (double)whole : 0);
}

json_t *json_words(const char *text)
{
	json_t *json = text ? json_string(text) : json_null();
	char *copy;

	if (json || !(copy = strdup(text)))
		return json;
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	json = json_string(copy);
	free(copy);
	return json;
}
