/* A few of a second's observations, for eyes: a fair sample of the tagged ones and one of the others, so that a
 * rare tag is not lost among what is not marked. The second after it starts anew. One thread. */
#ifndef OBSERVER_GLIMPSE_H
#define OBSERVER_GLIMPSE_H

#include "join/flow.h"
#include "observer/observation.h"

#define GLIMPSES_OF_A_KIND 100

struct glimpses; /* opaque */

struct glimpses *glimpses_open(void);    /* NULL: no memory */
void glimpses_close(struct glimpses *g); /* takes NULL */
/* One observation of verdict PACKET_OK went by. */
void glimpses_offer(struct glimpses *g, const struct observation *o);
/* Copy them out in the order of time, into *out (malloc'd; NULL: none), and start anew. Returns how many. */
size_t glimpses_take(struct glimpses *g, struct glimpse **out);
/* The same of a second's fireflies: at most GLIMPSES_OF_A_KIND, evenly chosen. */
size_t glimpses_of_heard(const struct heard *heard, size_t n, uint16_t source, struct glimpse *out);

#endif
