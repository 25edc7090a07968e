/* Rows of flows that are over, as many as a second may have; what is worth more goes first. One thread. */
#ifndef JOIN_FLOW_ROWS_H
#define JOIN_FLOW_ROWS_H

#include "join/join.h"

enum flow_row_class { /* kept first */
		      FLOW_ROW_JOINED,
		      FLOW_ROW_TAGGED,
		      FLOW_ROW_OTHER,
		      FLOW_ROW_CLASSES
};

struct flow_rows; /* opaque */

struct flow_rows *flow_rows_open(void); /* NULL: no memory */
void flow_rows_close(struct flow_rows *r);
/* Count a flow that is over. Returns whether it has room still, and then it must be added. */
int flow_rows_room(struct flow_rows *r, enum flow_row_class class_);
void flow_rows_add(struct flow_rows *r, enum flow_row_class class_, const struct flow_view *v);
/* Move out the second, at most JOIN_FLOW_ROWS_PER_S. malloc'd; 0, or -ENOMEM with all of it let go. */
int flow_rows_take(struct flow_rows *r, struct flow_row **rows, size_t *n);
void flow_rows_status(const struct flow_rows *r, uint64_t *kept, uint64_t *let_go);
size_t flow_rows_memory_bytes(void);

#endif
