/* The first of many flows in an order, without keeping the others. One answer, one thread. */
#ifndef JOIN_BEST_H
#define JOIN_BEST_H

#include "join/join.h"

struct best_place {
	double value;
	uint32_t place; /* in the answer */
};
struct best { /* read only */
	const struct flow_question *question;
	struct flow_view *out;
	struct best_place *heap; /* of what is in the answer so far, the least on top */
	size_t n, cap, matching;
};

/* The answer goes to out[0..cap). Without memory it will have none, and `matching` all the same. */
void best_open(struct best *best, const struct flow_question *q, struct flow_view *out, size_t cap);
void best_offer(struct best *best, const struct flow_view *v);
/* Puts the answer in order. Returns how many. */
size_t best_close(struct best *best, size_t *matching);

#endif
