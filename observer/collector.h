/* All sources of an observer: opens what the configuration names, gathers their seconds into one
 * bucket, has it joined, closes them in reverse. Used from one thread. */
#ifndef OBSERVER_COLLECTOR_H
#define OBSERVER_COLLECTOR_H

#include "join/join.h"
#include "observer/config.h"
#include "observer/source.h"

#define COLLECTOR_SOURCES_MAX 64

struct collector; /* opaque */

int collector_open(struct collector **out, const struct observer_config *cfg, struct store *store,
		   struct registry_keeper *registry, struct join *join);
/* Ask every source for its second and put them, joined, into one bucket that began at start_utc_s. NULL: no
 * memory; what was gathered stays with the sources or is counted there. */
struct bucket *collector_take(struct collector *c, int64_t start_utc_s);
/* Close every source; what they still held comes as a last bucket (NULL: nothing, or no memory). */
struct bucket *collector_close(struct collector *c, int64_t start_utc_s);

#endif
