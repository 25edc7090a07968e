/* Answers: a body with its type, JSON made with jansson, problems as RFC 9457 has them. */
#ifndef WEB_JSON_H
#define WEB_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define TYPE_JSON    "application/json"
#define TYPE_PROBLEM "application/problem+json"
#define TYPE_TEXT    "text/plain; charset=utf-8"

struct answer {
	unsigned int status; /* of HTTP */
	const char *type;    /* static */
	char *body;          /* malloc'd; len_bytes of it, then a NUL */
	size_t len_bytes;
};
void answer_free(struct answer *a); /* leaves it empty */

/* Each replaces what *out holds. */
void answer_json(struct answer *out, json_t *root); /* takes root; NULL: no memory, a problem 500 */
void answer_text(struct answer *out, unsigned int status, const char *type, char *body);
/* A problem document. `parameter` names the one at fault (NULL none), `at` a position in its value
 * (-1 none). */
void answer_problem(struct answer *out, unsigned int status, const char *parameter, int64_t at,
		    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* An object as text, malloc'd; takes root. NULL: no memory. */
char *json_text(json_t *root);

/* Text that grows, for long arrays: a library's object for each of 100,000 numbers costs more than
 * asking the database for them. Starts as zero; without memory it stays as it is and says so. */
struct text {
	char *buf;
	size_t len_bytes, cap_bytes;
	int failed;
};
void text_put(struct text *t, const char *words);
void text_json(struct text *t, json_t *value); /* takes it */
void text_count(struct text *t, uint64_t n);   /* as json_count */
char *text_take(struct text *t);               /* malloc'd; NULL: no memory. Leaves it empty */

json_t *json_count(uint64_t n);       /* beyond 2^63 - 1 it stays there */
json_t *json_time_us(int64_t utc_us); /* RFC 3339 in whole seconds; CLOCK_NEVER: null */
json_t *json_time_s(int64_t utc_s);
json_t *json_number(double x);                     /* null when it is none */
json_t *json_share(uint64_t part, uint64_t whole); /* 0 of 0 is 0 */
json_t *json_words(const char *text);              /* bytes that are not UTF-8 become '?' */

#endif
