/* The fireflies of the running second, for the join: a list of at most HEARD_MAX that changes owner once a second.
 * One thread. */
#ifndef OBSERVER_HEARD_H
#define OBSERVER_HEARD_H

#include <stddef.h>
#include "join/flow.h"

#define HEARD_MAX 131072

struct heard_list { /* all zero: empty */
	struct heard *items;
	size_t n, room;
};

/* A place for one more, not cleared; NULL: HEARD_MAX are there, or no memory. The room doubles, so that a second
 * allocates a few times at the most. */
struct heard *heard_add(struct heard_list *l);
/* Move them out (free them); the list is empty after it. Returns how many. */
size_t heard_take(struct heard_list *l, struct heard **out);

#endif
