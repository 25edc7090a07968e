/* Fixed-size time buckets: observations of one second become rows. The tag space is an array of
 * SCITAG_CODES + 1 cells per plane (source, direction, family, carrier, grade), so that a flood of
 * random tags cannot grow memory or slow a lookup; planes are made on first use, at most
 * AGGREGATE_PLANES_MAX, and what finds none is counted in the source's untagged plane.
 * One aggregate per source thread; nothing is shared. */
#ifndef OBSERVER_AGGREGATE_H
#define OBSERVER_AGGREGATE_H

#include "observer/observation.h"

#define AGGREGATE_PLANES_MAX 1024

struct aggregate; /* opaque */

/* own_unregistered: how many tags of a plane of grade unregistered or disagree get rows of their own, the
 * largest first; the rest is folded into one. NULL: no memory. */
struct aggregate *aggregate_open(uint32_t own_unregistered);
void aggregate_close(struct aggregate *a);
/* Add one observation to the current second. No allocation but a plane's first use. */
void aggregate_add(struct aggregate *a, const struct observation *o);
/* Add counts that were made elsewhere (the kernel tap): `value` to one cell. */
void aggregate_add_cell(struct aggregate *a, const struct traffic_key *key,
			const struct traffic_value *value);
/* How many rows aggregate_take would give. */
size_t aggregate_rows(const struct aggregate *a);
/* Move the rows out (folding as aggregate_open was told) and start an empty
 * second. rows needs aggregate_rows() places. Returns how many were written. */
size_t aggregate_take(struct aggregate *a, struct traffic_row *rows);
uint64_t aggregate_planes_refused(const struct aggregate *a);

#endif
