/* Observation points that see the same flows, within the newest ten minutes. Each way of a flow counts for itself: two taps
 * that see one way each see nothing twice. Inside of join; one thread. */
#ifndef JOIN_POINTS_H
#define JOIN_POINTS_H

#include "join/join.h"

#define FLOW_POINTS 3 /* that are remembered of one way; the one not seen for longest goes */

/* Which sources saw a way, and when; part of its record. */
struct flow_point {
	uint16_t source;
	uint16_t minute; /* of the newest sighting, counted from the epoch; wraps */
};
struct flow_points {
	struct flow_point point[FLOW_POINTS];
	uint8_t n;
};

struct points; /* opaque */

struct points *points_open(void); /* NULL: no memory */
void points_close(struct points *p);
/* A way was seen by a source. Quick when it was so in this minute already. */
void points_see(struct points *p, struct flow_points *way, uint16_t source, uint32_t now_s);
size_t points_overlaps(struct points *p, uint32_t now_s, struct point_overlap *out, size_t cap);
size_t points_memory_bytes(void);

#endif
