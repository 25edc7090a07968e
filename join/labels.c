/* A window is a ring of slots; a flow that is seen again moves from its old slot to the newest, so that the sum
 * is of distinct flows. The minute has six slots of ten seconds, the hour sixty of a minute. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "join/chance.h"
#include "join/labels.h"

#define SHORT_SLOTS 6
#define LONG_SLOTS  60
#define ALL         SCITAG_LABEL_CODES /* the cell of every unregistered pair together */

struct cell {
	uint32_t short_slots[SHORT_SLOTS], long_slots[LONG_SLOTS];
	uint32_t begun, before; /* since the last labels_take */
	uint32_t is_listed;
};
struct labels {
	struct scitag_set registered;
	uint32_t n_registered; /* codes a label can say */
	uint32_t now_s;
	uint32_t n_listed;
	uint32_t listed[SCITAG_LABEL_CODES + 1];   /* codes whose cell was ever touched */
	struct cell cells[SCITAG_LABEL_CODES + 1]; /* pages that no tag touches stay unmapped */
};

struct labels *labels_open(void)
{
	return calloc(1, sizeof(struct labels));
}

void labels_close(struct labels *l)
{
	free(l);
}

void labels_set_registered(struct labels *l, const struct scitag_set *registered)
{
	l->registered = *registered;
	l->n_registered = 0;
	for (uint32_t i = 0; i < SCITAG_LABEL_CODES / 64; i++)
		l->n_registered += (uint32_t)__builtin_popcountll(registered->bits[i]);
	for (uint32_t i = 0; i < l->n_listed; i++) {
		const uint32_t code = l->listed[i];

		if (code != ALL && !(registered->bits[code >> 6] >> (code & 63) & 1)) {
			l->cells[code] = (struct cell){0};
			l->listed[i--] = l->listed[--l->n_listed];
		}
	}
}

/* Empty the slots that time has come around to. */
static void advance(struct labels *l, uint32_t now_s)
{
	const uint32_t shorts = labels_slot(now_s) - labels_slot(l->now_s);
	const uint32_t longs = now_s / 60 - l->now_s / 60;

	if (now_s <= l->now_s || !shorts)
		return;
	l->now_s = now_s;
	for (uint32_t i = 0; i < l->n_listed; i++) {
		struct cell *c = &l->cells[l->listed[i]];

		for (uint32_t s = 0; s < shorts && s < SHORT_SLOTS; s++)
			c->short_slots[(labels_slot(now_s) - s) % SHORT_SLOTS] = 0;
		for (uint32_t s = 0; s < longs && s < LONG_SLOTS; s++)
			c->long_slots[(now_s / 60 - s) % LONG_SLOTS] = 0;
	}
}

static void move(uint32_t *slots, uint32_t n, uint32_t before, uint32_t now, int was_there)
{
	if (was_there && now - before < n && slots[before % n])
		slots[before % n]--;
	slots[now % n]++;
}

void labels_see(struct labels *l, struct scitag tag, int is_registered, uint32_t before_s,
		uint32_t now_s)
{
	const uint32_t code = is_registered ? scitag_code(tag) : ALL;
	struct cell *c;

	if (code > ALL)
		return; /* no label says it */
	advance(l, now_s);
	c = &l->cells[code];
	if (!c->is_listed) {
		c->is_listed = 1;
		l->listed[l->n_listed++] = code;
	}
	if (before_s > now_s)
		before_s = now_s;
	move(c->short_slots, SHORT_SLOTS, labels_slot(before_s), labels_slot(now_s), before_s != 0);
	if (!before_s || before_s / 60 != now_s / 60)
		move(c->long_slots, LONG_SLOTS, before_s / 60, now_s / 60, before_s != 0);
	if (!before_s)
		c->begun++;
	else if (before_s / 60 != now_s / 60)
		c->before++;
}

int labels_take(struct labels *l, struct label_flow_row **rows, size_t *n)
{
	struct label_flow_row *out = calloc(l->n_listed ? l->n_listed : 1, sizeof(*out));

	if (!out)
		return -ENOMEM;
	*n = 0;
	for (uint32_t i = 0; i < l->n_listed; i++) {
		const uint32_t code = l->listed[i];
		struct cell *c = &l->cells[code];

		if (!c->begun && !c->before)
			continue;
		out[(*n)++] = (struct label_flow_row){
			.experiment = code == ALL ? STORE_FOLDED : (int32_t)(code >> 6),
			.activity = code == ALL ? STORE_FOLDED : (int32_t)(code & 63),
			.begun = c->begun,
			.before = c->before,
		};
		c->begun = c->before = 0;
	}
	*rows = out;
	return 0;
}

/* Sum of the slots that are not older than their window. */
static uint32_t sum(const uint32_t *slots, uint32_t n, uint32_t newest, uint32_t now)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < n && i <= newest; i++)
		total += now - (newest - i) < n ? slots[(newest - i) % n] : 0;
	return total;
}

/* Chance gives every pair the same; how much it gives is measured on the pairs that nobody registered. The flows in
 * question are counted among them for the test: it is asked whether they can be chance, all of them. */
static double expected_of(uint32_t unregistered, const struct labels *l)
{
	const uint32_t pairs = SCITAG_LABEL_CODES - l->n_registered;

	return pairs ? (double)unregistered / pairs : 0;
}

size_t labels_significance(const struct labels *l, uint32_t now_s, struct tag_significance *out,
			   size_t cap)
{
	const uint32_t short_newest = labels_slot(l->now_s), long_newest = l->now_s / 60;
	const struct cell *all = &l->cells[ALL];
	uint32_t all_1m, all_1h;
	size_t n = 0;

	if (now_s < l->now_s)
		now_s = l->now_s;
	all_1m = sum(all->short_slots, SHORT_SLOTS, short_newest, labels_slot(now_s));
	all_1h = sum(all->long_slots, LONG_SLOTS, long_newest, now_s / 60);
	for (uint32_t i = 0; i < l->n_listed && n < cap; i++) {
		const uint32_t code = l->listed[i];
		const struct cell *c = &l->cells[code];
		struct tag_significance *t = &out[n];

		if (code == ALL)
			continue;
		*t = (struct tag_significance){
			.tag = {(__u16)(code >> 6), (__u16)(code & 63)},
			.flows_1m =
				sum(c->short_slots, SHORT_SLOTS, short_newest, labels_slot(now_s)),
			.flows_1h = sum(c->long_slots, LONG_SLOTS, long_newest, now_s / 60),
			.expected_1m = expected_of(all_1m, l),
			.expected_1h = expected_of(all_1h, l),
		};
		t->significant_1m = chance_poisson(t->flows_1m, expected_of(all_1m + t->flows_1m,
									    l)) < CHANCE_FIVE_SIGMA;
		t->significant_1h = chance_poisson(t->flows_1h, expected_of(all_1h + t->flows_1h,
									    l)) < CHANCE_FIVE_SIGMA;
		n += t->flows_1h > 0;
	}
	return n;
}

size_t labels_memory_bytes(void)
{
	return sizeof(struct labels);
}
