/* Moves traffic between the grades of a second's rows. Never between tags but from unregistered ones to
 * GRADE_CLAIMED, which has none, and never a byte in or out. Inside of join; one thread. */
#ifndef JOIN_REGRADE_H
#define JOIN_REGRADE_H

#include "join/flow.h"
#include "store/store.h"

struct regrade; /* opaque; keeps its memory from one second to the next */

struct regrade *regrade_open(void); /* NULL: no memory */
void regrade_close(struct regrade *r);
/* Rows of this bucket from now on; nothing may be added to them but by regrade_move until regrade_end. Rows
 * with one key may become one. */
void regrade_begin(struct regrade *r, struct bucket *b);
/* Take what was seen out of its row, as far as the row has it, and put it into the one of `grade`. 0 or -ENOMEM
 * with nothing moved. */
int regrade_move(struct regrade *r, const struct seen *s, enum scitag_grade grade);
/* Rows that became empty are taken out. */
void regrade_end(struct regrade *r);
size_t regrade_memory_bytes(const struct regrade *r);

#endif
