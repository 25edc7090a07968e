/* What one source saw in the running second, flow by flow and tag by tag, for the join. A bounded
 * table of SEEN_MAX records; packets of what finds no place there are in every total and counted as not
 * followed. One table per source thread; nothing is shared. */
#ifndef OBSERVER_SEEN_H
#define OBSERVER_SEEN_H

#include "observer/glimpse.h"

#define SEEN_MAX 65536

struct seen_table; /* opaque */

/* At most `max` (1 .. SEEN_MAX) records a second. NULL: no memory. */
struct seen_table *seen_open(uint32_t max);
void seen_close(struct seen_table *t); /* takes NULL */
/* Add one observation of verdict PACKET_OK. No allocation. */
void seen_add(struct seen_table *t, const struct observation *o);
/* Copy the second out, into *out (malloc'd, NULL when it is empty), and start an empty one. Returns how many
 * records; no memory: 0, and they come with the next second. */
size_t seen_take(struct seen_table *t, struct seen **out);
/* A few of the second's observations, as glimpses_take. */
size_t seen_take_glimpses(struct seen_table *t, struct glimpse **out);
/* Since the table was opened: packets whose flow was not followed. */
uint64_t seen_not_followed(const struct seen_table *t);

#endif
