/* Which addresses are ours: configured prefixes -> direction of a packet;
 * no prefixes: DIRECTION_UNKNOWN. Immutable after open; safe from any thread. */
#ifndef OBSERVER_SITE_H
#define OBSERVER_SITE_H

#include "store/store.h"
#include "wire/flow_key.h"

#define SITE_PREFIXES_MAX 1024

struct site; /* opaque */

/* prefixes: "2001:db8:1::/48", "192.0.2.0/24". -EINVAL names the first bad one in why. */
int site_open(struct site **out, const char *const *prefixes, size_t n_prefixes, char *why,
	      size_t why_cap_bytes);
void site_close(struct site *s);
/* The i-th prefix, IPv4 as v4-mapped; one that lies in another is not listed. 0, or -ENOENT: no more. */
int site_prefix(const struct site *s, size_t i, uint8_t address[16], uint32_t *bits);
enum direction site_direction(const struct site *s,
			      const struct flow_key *key); /* s NULL: unknown */

#endif
