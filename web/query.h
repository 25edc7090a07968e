/* What a request asks: its path and parameters, and the values in them. Bytes from anyone.
 * Pure; safe from any thread. */
#ifndef WEB_QUERY_H
#define WEB_QUERY_H

#include <stddef.h>
#include <stdint.h>

#define QUERY_URI_MAX_BYTES 8192
#define QUERY_PARAMS_MAX    16

struct query_param {
	const char *name, *value;
};
struct query { /* points into the text it was parsed from */
	const char *path;
	size_t n_params;
	struct query_param params[QUERY_PARAMS_MAX];
};

/* Takes "/path?name=value&..." apart in place: percent-encoding is undone, in parameters `+` is a
 * blank. 0; -EINVAL with a sentence (static) in *why: broken encoding, control characters, not
 * UTF-8, the same name twice, more than QUERY_PARAMS_MAX. */
int query_parse(struct query *q, char *uri, const char **why);
const char *query_value(const struct query *q, const char *name); /* NULL: not there */

/* "now", "-15m" (s m h d w y before now), or RFC 3339. -EINVAL. */
int query_time(int64_t *utc_us, const char *text, int64_t now_utc_us);
/* "10s" "1m" "10m" "1h" "1d", or seconds; at least 1. -EINVAL. "auto" is the caller's. */
int query_step(uint32_t *step_s, const char *text);
/* A decimal number within [min, max]. -EINVAL. */
int query_number(uint32_t *out, const char *text, uint32_t min, uint32_t max);
/* Comma list of dimensions -> bits 1 << enum dim; "" is none. On -EINVAL *bad points to the word that is
 * none, *bad_len its length. */
int query_group(uint32_t *mask, const char *text, const char **bad, size_t *bad_len);

/* Which of the names was probably meant by word[0..len); NULL: none is near. */
const char *query_nearest(const char *word, size_t len, const char *const *names, size_t n);

#endif
