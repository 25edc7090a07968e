/* Flow events from a named pipe, one line each (marker/event.h). Lines are kept until they are
 * whole, however the writers' bytes arrive; a line that is too long or wrong is counted and said.
 * received = accepted + refused. */
#ifndef MARKER_PIPE_H
#define MARKER_PIPE_H

#include "marker/event.h"

#define PIPE_DRAIN_BYTES 16384

struct pipe_input; /* opaque */

struct pipe_counters {
	uint64_t received, accepted, refused;
};

/* Opens the pipe, making it with mode 0666 if it is not there. -EEXIST: there is something else,
 * named in the log. fd for poll: readable. */
int pipe_open(struct pipe_input **out, const char *path);
/* The pipe itself stays: writers may hold it. */
void pipe_close(struct pipe_input *p);
int pipe_fd(const struct pipe_input *p);
/* Read what there is, up to PIPE_DRAIN_BYTES: a flood must leave the loop time for its other work. */
void pipe_drain(struct pipe_input *p, const struct registry *reg,
		void (*handle)(void *arg, const struct rules_flow_event *e), void *arg);
void pipe_count(const struct pipe_input *p, struct pipe_counters *out);

#endif
