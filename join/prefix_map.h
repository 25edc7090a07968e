/* Address prefixes -> numbers, by longest match: all prefixes are laid flat into intervals and these into a tree of
 * cache lines. Built once, then immutable; a look-up is a handful of lines and no more than two or three of them are
 * far away. Pure. */
#ifndef JOIN_PREFIX_MAP_H
#define JOIN_PREFIX_MAP_H

#include <stddef.h>
#include <stdint.h>

struct prefix {
	uint8_t first[16]; /* IPv4 as v4-mapped; bits behind the prefix are 0 */
	uint8_t bits;      /* 0 .. 128; of IPv4 96 .. 128 */
	uint8_t wins;      /* over every prefix that does not, longer ones included */
	uint32_t order;    /* of two that are the same, the smaller is kept */
	uint32_t value;    /* 1 .. PREFIX_VALUE_MAX */
};
#define PREFIX_VALUE_MAX 0x7FFFFFFF

/* "2001:db8:1::/48", "192.0.2.0/24", or a whole address; its first three members are filled. 0 or -EINVAL. */
int prefix_parse(struct prefix *out, const char *text);

struct prefix_map; /* opaque */

/* Sorts prefixes. same() is asked whether two values that have the same prefix are one anyway; *shared counts those
 * for which it says no. NULL: no memory. */
struct prefix_map *prefix_map_open(struct prefix *prefixes, size_t n, size_t *shared,
				   int (*same)(void *arg, uint32_t a, uint32_t b), void *arg);
void prefix_map_close(struct prefix_map *m);                                /* takes NULL */
uint32_t prefix_map_find(const struct prefix_map *m, const uint8_t ip[16]); /* 0: none */

#endif
