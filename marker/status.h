/* What the marker is doing, for people, programs and Prometheus. */
#ifndef MARKER_STATUS_H
#define MARKER_STATUS_H

#include <stdio.h>
#include "marker/announce.h"
#include "marker/inputs.h"
#include "marker/mark.h"
#include "marker/pipe.h"
#include "marker/rules.h"

enum status_form { STATUS_TEXT, STATUS_JSON, STATUS_PROMETHEUS };

struct status_source {
	const struct rules *rules;
	struct mark *mark;             /* NULL in the mode without programs */
	const struct pipe_input *pipe; /* NULL: none */
	const struct inputs *inputs;
	const struct announce *announce; /* NULL: none */
	const struct registry *registry;
	char (*interfaces)[IFNAMSIZ];
	size_t n_interfaces;
	enum scitag_carrier carrier;
	int adopted;
	int64_t started_utc_us;
};

void status_write(const struct status_source *s, enum status_form form, FILE *out);

#endif
