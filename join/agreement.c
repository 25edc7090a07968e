#include <stdlib.h>
#include <sys/random.h>

#include "join/agreement.h"
#include "join/grade.h"
#include "join/siphash.h"

#define SLOTS (2 * JOIN_AGREEMENT_MAX)
#define DEAD_MAX \
	(JOIN_AGREEMENT_MAX / 2) /* cells, beyond which claims of no registered tag are summed */

struct cell {
	struct agreement_cell sum; /* of the hour only if `hour` is the running one */
	uint32_t hour;
};
struct agreement {
	uint64_t secret[2];
	struct cell cells[JOIN_AGREEMENT_MAX]; /* the first is the sum of what found no other */
	uint32_t n;
	uint16_t slots[SLOTS]; /* cell + 1; 0 empty */
};

struct agreement *agreement_open(void)
{
	struct agreement *a = calloc(1, sizeof(*a));

	if (!a || getrandom(a->secret, sizeof(a->secret), 0) != sizeof(a->secret)) {
		free(a);
		return NULL;
	}
	a->cells[0].sum.wire = a->cells[0].sum.claim = (struct scitag){0xFFFF, 0xFFFF};
	a->n = 1;
	return a;
}

void agreement_close(struct agreement *a)
{
	free(a);
}

static uint32_t find(struct agreement *a, struct scitag wire, struct scitag claim, uint32_t limit)
{
	const uint64_t word = (uint64_t)wire.experiment << 48 | (uint64_t)wire.activity << 32 |
			      (uint64_t)claim.experiment << 16 | claim.activity;
	uint32_t slot = (uint32_t)siphash(a->secret, &word, sizeof(word)) % SLOTS;

	for (; a->slots[slot]; slot = (slot + 1) % SLOTS) {
		const struct agreement_cell *c = &a->cells[a->slots[slot] - 1].sum;

		if (same_tag(c->wire, wire) && same_tag(c->claim, claim))
			return a->slots[slot] - 1u;
	}
	if (a->n >= limit)
		return 0;
	a->slots[slot] = (uint16_t)(a->n + 1);
	a->cells[a->n].sum = (struct agreement_cell){.wire = wire, .claim = claim};
	return a->n++;
}

void agreement_see(struct agreement *a, struct scitag wire, struct scitag claim,
		   int claim_registered, uint64_t bytes, uint32_t now_s, uint16_t *cell,
		   uint8_t *hour)
{
	const uint32_t now_hour = now_s / 3600;
	uint32_t at = find(a, wire, claim, claim_registered ? JOIN_AGREEMENT_MAX : DEAD_MAX);
	struct cell *c = &a->cells[at];
	const int moved = *cell != at + 1;

	if (c->hour != now_hour) {
		c->hour = now_hour;
		c->sum.flows_1h = c->sum.bytes_1h = 0;
	}
	if (moved && *cell) {
		struct cell *old = &a->cells[*cell - 1];

		old->sum.flows -= old->sum.flows > 0;
		if (old->hour == now_hour && *hour == (uint8_t)now_hour)
			old->sum.flows_1h -= old->sum.flows_1h > 0;
	}
	c->sum.flows += (uint64_t)moved;
	c->sum.flows_1h += moved || *hour != (uint8_t)now_hour;
	c->sum.bytes += bytes;
	c->sum.bytes_1h += bytes;
	*cell = (uint16_t)(at + 1);
	*hour = (uint8_t)now_hour;
}

size_t agreement_list(const struct agreement *a, uint32_t now_s, struct agreement_cell *out,
		      size_t cap)
{
	size_t n = 0;

	for (uint32_t i = 0; i < a->n && n < cap; i++) {
		if (!a->cells[i].sum.flows && !a->cells[i].sum.bytes)
			continue;
		out[n] = a->cells[i].sum;
		if (a->cells[i].hour != now_s / 3600)
			out[n].flows_1h = out[n].bytes_1h = 0;
		n++;
	}
	return n;
}

size_t agreement_memory_bytes(void)
{
	return sizeof(struct agreement);
}
