/* The one filter language of command line, API and page:
 *     experiment=cms and family=6 and not (grade=untagged or direction=in)
 * dimension = value, != , `in (a, b)`; and, or, not, parentheses; values bare, or "quoted". Words
 * in any case. `site=X` is (src_site=X or dst_site=X), `site!=X` its opposite. Values are turned
 * into numbers here, names of experiments, sources, sites and applications through the caller's
 * resolver, so that the store never sees a name. */
#ifndef STORE_FILTER_H
#define STORE_FILTER_H

#include "store/store.h"

#define FILTER_NODES_MAX  128
#define FILTER_DEPTH_MAX  16
#define FILTER_TEXT_MAX   2048
#define FILTER_VALUES_MAX 4096        /* numbers in all its lists, after names were resolved */
#define FILTER_SQL_MAX    (64 * 1024) /* bytes */

struct filter; /* opaque, immutable */

/* Turns a value's text into its number for experiment, activity, source, sites and application; the
 * rest is built in.
 * Activities are asked with the experiment that the same `and` group names; if it names none, the
 * filter asks with every experiment from 0 to 1023 and keeps the pairs. Several numbers may fit:
 * fills out[0..cap) and returns how many; 0: no such. Numbers of experiments and activities
 * are not asked for. */
typedef size_t (*filter_resolve)(void *arg, enum dim dim, const char *text, int experiment,
				 int32_t *out, size_t cap);

/* 0 and *out; -EINVAL with a sentence in why and the offending position (0-based) in *at. */
int filter_parse(struct filter **out, const char *text, filter_resolve resolve, void *arg,
		 char *why, size_t why_cap_bytes, size_t *at);
void filter_free(struct filter *f);
int filter_match(const struct filter *f, const struct traffic_key *key); /* f NULL: always */
uint32_t filter_dims(const struct filter *f); /* bits 1 << enum dim that it speaks of */
/* The same as an SQL expression over columns named like the dimensions; numbers only, safe to
 * splice. Returns its length in bytes, or -ENOSPC; FILTER_SQL_MAX always suffices. */
int filter_sql(const struct filter *f, char *buf, size_t cap_bytes);

/* The part of a filter that speaks of some dimensions (bits 1 << enum dim): comparisons of others
 * are unknown, in Kleene's logic. 1 true, 0 false, -1 unknown. */
int filter_match_part(const struct filter *f, const struct traffic_key *key, uint32_t dims);
/* What the noise floor of an answer depends on: where labels were seen, not which. */
#define FILTER_NOISE_DIMS (1u << DIM_SOURCE | 1u << DIM_DIRECTION | 1u << DIM_FAMILY)

/* Names of the enumerated dimensions, as in API, CLI and database documentation:
 * "registered", "hop-by-hop+destination", "in", ... NULL out of range; -ENOENT unknown. */
const char *grade_name(unsigned int grade);
const char *carrier_name(unsigned int carrier);
const char *direction_name(unsigned int direction);
int grade_find(const char *name);
int carrier_find(const char *name);
int direction_find(const char *name);

#endif
