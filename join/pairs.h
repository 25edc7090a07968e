/* What flowed between two sites in one second. A bounded table. Inside of join; one thread. */
#ifndef JOIN_PAIRS_H
#define JOIN_PAIRS_H

#include "join/flow.h"
#include "store/store.h"

#define PAIRS_MAX \
	16384 /* rows of a second with sites of their own; what comes later goes to sites 0/0 */

struct pairs; /* opaque */

struct pairs *pairs_open(void); /* NULL: no memory */
void pairs_close(struct pairs *p);
/* What was seen, with the grade and tag that it came to. Tags that are not registered are folded. */
int pairs_add(struct pairs *p, uint16_t src_site, uint16_t dst_site, const struct seen *s,
	      enum scitag_grade grade, struct scitag tag, int is_registered); /* 0 or -ENOMEM */
/* Move out the second. malloc'd; 0 or -ENOMEM with everything kept. */
int pairs_take(struct pairs *p, struct pair_row **rows, size_t *n);
size_t pairs_memory_bytes(const struct pairs *p);

#endif
