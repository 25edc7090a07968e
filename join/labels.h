/* Distinct labelled flows by tag: for the noise floor, and to tell which tags are more than chance. A flow's
 * way counts once in each minute and each hour in which it is seen. Inside of join; one thread. */
#ifndef JOIN_LABELS_H
#define JOIN_LABELS_H

#include "join/join.h"

struct labels; /* opaque */

struct labels *labels_open(void); /* NULL: no memory */
void labels_close(struct labels *l);
/* Tags that are registered no more are forgotten. */
void labels_set_registered(struct labels *l, const struct scitag_set *registered);
/* A way was seen at now_s with a label of this tag, which is in the registry or not; before that, with the same
 * tag (registered) or any (unregistered), at before_s; 0: never. To be called when their labels_slot differs. */
void labels_see(struct labels *l, struct scitag tag, int is_registered, uint32_t before_s,
		uint32_t now_s);
/* Move out what was counted since the last time. malloc'd; 0 or -ENOMEM. */
int labels_take(struct labels *l, struct label_flow_row **rows, size_t *n);
/* Tags with any flow in the hour. Returns how many were written. */
size_t labels_significance(const struct labels *l, uint32_t now_s, struct tag_significance *out,
			   size_t cap);
size_t labels_memory_bytes(void);

/* Ten seconds have the same number. */
static inline uint32_t labels_slot(uint32_t utc_s)
{
	return utc_s / 10;
}

#endif
