/* The packets and fireflies of the newest minute that may be looked at: a few a second, copied from
 * each bucket. Any thread. */
#ifndef WEB_RECENT_H
#define WEB_RECENT_H

#include "store/filter.h"

#define RECENT_SECONDS      60
#define RECENT_A_SECOND_MAX 1000 /* of all sources; more are thinned out evenly */

struct recent; /* opaque */

struct recent *recent_open(void);    /* NULL: no memory */
void recent_close(struct recent *r); /* takes NULL */
/* b's glimpses, as b's second. */
void recent_add(struct recent *r, const struct bucket *b);

enum recent_kind { RECENT_BOTH, RECENT_PACKETS, RECENT_FIREFLIES };
/* Copies of the seconds after after_utc_s (CLOCK_NEVER: all that are kept) that the filter (NULL: every one) lets
 * through, oldest first; of more than cap an even choice. Returns how many; *newest_utc_s: the newest second
 * there is, CLOCK_NEVER none. r may be NULL: nothing. */
size_t recent_read(struct recent *r, int64_t after_utc_s, enum recent_kind kind,
		   const struct filter *f, struct glimpse *out, size_t cap, int64_t *newest_utc_s);

#endif
