#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "join/ledger.h"
#include "join/siphash.h"
#include "join/spread.h"

#define ROW_SLOTS       (2 * LEDGER_ROWS_MAX)
#define HISTOGRAM_SLOTS (2 * LEDGER_HISTOGRAMS_MAX)
#define NAME_SLOTS      (2 * LEDGER_NAMES_MAX)
#define RESERVED_ROWS   4096 /* kept for what cannot be laid over minutes */
#define BINS            520  /* 8 a doubling, 64 doublings and a bit */
#define KINDS           2
#define SLOT_FREE       UINT32_MAX

struct ledger {
	uint64_t key[2]; /* of the hash */
	uint64_t crowded;
	struct scitag_set registered;
	/* of the running minute */
	int64_t minute;
	uint32_t n_tags, n_names;
	struct scitag_set tags;
	uint64_t names[NAME_SLOTS]; /* by hash; 0 free */

	size_t n_rows, n_histograms;
	size_t n_parts;           /* since the last take */
	struct claim_row rest[2]; /* of IPv4 and IPv6: what found no row at all */
	uint32_t row_slots[ROW_SLOTS], histogram_slots[HISTOGRAM_SLOTS];
	struct histogram_row histograms[LEDGER_HISTOGRAMS_MAX];
	struct claim_row rows[LEDGER_ROWS_MAX]; /* oldest first */
};

struct ledger *ledger_open(void)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	if (getrandom(l->key, sizeof(l->key), 0) != sizeof(l->key))
		l->key[0] = (uint64_t)clock_mono_ns();
	l->minute = -2; /* none yet */
	memset(l->row_slots, 0xFF, sizeof(l->row_slots));
	memset(l->histogram_slots, 0xFF, sizeof(l->histogram_slots));
	return l;
}

void ledger_close(struct ledger *l)
{
	free(l);
}

void ledger_set_registered(struct ledger *l, const struct scitag_set *registered)
{
	l->registered = *registered;
}

uint64_t ledger_crowded(const struct ledger *l)
{
	return l->crowded;
}

size_t ledger_memory_bytes(const struct ledger *l)
{
	return sizeof(*l);
}

/* --- whose row ---------------------------------------------------------------------------------- */

static void turn_minute(struct ledger *l, int64_t heard_utc_us)
{
	int64_t minute = heard_utc_us / (60 * US_PER_S);

	/* inputs may be a moment behind one another: that is no new minute */
	if (minute == l->minute || minute == l->minute - 1)
		return;
	l->minute = minute;
	l->n_tags = l->n_names = 0;
	memset(&l->tags, 0, sizeof(l->tags));
	memset(l->names, 0, sizeof(l->names));
}

/* Of `max` places, those that this one may fill. */
static size_t share(const struct ledger_who *who, size_t max)
{
	return who->is_stranger ? max / 2 : max;
}

static int has_own_row(struct ledger *l, const struct ledger_who *who)
{
	const struct scitag tag = who->tag;

	if ((tag.experiment == 0 && tag.activity == 0) || scitag_set_has(&l->registered, tag) ||
	    scitag_set_has(&l->tags, tag))
		return 1;
	if (l->n_tags >= share(who, LEDGER_TAGS_MAX) || scitag_set_add(&l->tags, tag))
		return 0;
	l->n_tags++;
	return 1;
}

static int has_own_name(struct ledger *l, const char *name)
{
	uint64_t h = siphash(l->key, name, strlen(name));

	h += h == 0;
	for (size_t i = 0; i < NAME_SLOTS; i++) {
		uint64_t *slot = &l->names[(h + i) % NAME_SLOTS];

		if (*slot == h)
			return 1;
		if (*slot)
			continue;
		if (l->n_names == LEDGER_NAMES_MAX)
			return 0;
		*slot = h;
		l->n_names++;
		return 1;
	}
	return 0;
}

/* The row's key, folded where it has to be; the rest zero. */
static void name_row(struct ledger *l, struct claim_row *row, const struct ledger_who *who)
{
	const char *name = who->application;

	turn_minute(l, who->heard_utc_us);
	memset(row, 0, sizeof(*row));
	row->experiment = row->activity = STORE_FOLDED;
	if (has_own_row(l, who)) {
		row->experiment = who->tag.experiment;
		row->activity = who->tag.activity;
	}
	if (who->is_stranger && !has_own_name(l, name))
		name = LEDGER_OTHER;
	row->family = who->family;
	memcpy(row->application, name, strnlen(name, sizeof(row->application) - 1));
}

/* --- rows --------------------------------------------------------------------------------------- */

static uint32_t *row_slot(struct ledger *l, const struct claim_row *row)
{
	struct {
		int64_t minute_utc_s;
		int32_t experiment, activity;
		uint64_t family;
		char application[64];
	} key;
	uint64_t h;

	memset(&key, 0, sizeof(key));
	key.minute_utc_s = row->minute_utc_s;
	key.experiment = row->experiment;
	key.activity = row->activity;
	key.family = row->family;
	memcpy(key.application, row->application, sizeof(key.application));
	h = siphash(l->key, &key, sizeof(key));
	for (;; h++) { /* half of the slots are always free */
		uint32_t *slot = &l->row_slots[h % ROW_SLOTS];
		const struct claim_row *there;

		if (*slot == SLOT_FREE)
			return slot;
		there = &l->rows[*slot];
		if (there->minute_utc_s == row->minute_utc_s &&
		    there->experiment == row->experiment && there->activity == row->activity &&
		    there->family == row->family &&
		    memcmp(there->application, row->application, sizeof(row->application)) == 0)
			return slot;
	}
}

static struct claim_row *rest_row(struct ledger *l, uint8_t family)
{
	struct claim_row *rest = &l->rest[family == 6];

	l->crowded++;
	rest->experiment = rest->activity = STORE_FOLDED;
	rest->family = family;
	memcpy(rest->application, LEDGER_OTHER, sizeof(LEDGER_OTHER));
	return rest;
}

/* The row with the key of `wanted`; a new one is made of it if there are less than `max`. */
static struct claim_row *find_row(struct ledger *l, const struct claim_row *wanted, size_t max)
{
	uint32_t *slot = row_slot(l, wanted);

	if (*slot != SLOT_FREE)
		return &l->rows[*slot];
	if (l->n_rows >= max)
		return rest_row(l, wanted->family);
	*slot = (uint32_t)l->n_rows;
	l->rows[l->n_rows] = *wanted;
	return &l->rows[l->n_rows++];
}

void ledger_count(struct ledger *l, const struct ledger_who *who,
		  const struct ledger_counts *counts)
{
	struct claim_row wanted, *row;

	name_row(l, &wanted, who);
	row = find_row(l, &wanted, share(who, LEDGER_ROWS_MAX));
	row->starts += counts->starts;
	row->ongoings += counts->ongoings;
	row->ends += counts->ends;
	row->end_bytes += counts->end_bytes;
}

void ledger_book(struct ledger *l, const struct ledger_who *who, uint64_t bytes,
		 int64_t from_utc_us, int64_t until_utc_us)
{
	struct spread_part parts[SPREAD_PARTS_MAX];
	size_t n = spread_parts(from_utc_us, until_utc_us), max = share(who, LEDGER_ROWS_MAX);
	struct claim_row wanted;

	if (n > 1 && (l->n_rows + n > max - RESERVED_ROWS ||
		      l->n_parts + n > share(who, LEDGER_PARTS_MAX))) {
		from_utc_us = until_utc_us;
		l->crowded++;
	}
	n = spread_bytes(parts, bytes, from_utc_us, until_utc_us);
	if (n == 0)
		return;
	l->n_parts += n;
	name_row(l, &wanted, who);
	for (size_t i = 0; i < n; i++) {
		wanted.minute_utc_s = parts[i].minute_utc_s;
		find_row(l, &wanted, max)->bytes += parts[i].bytes;
	}
}

static void clear_rows(struct ledger *l, size_t n_taken)
{
	memset(l->rest, 0, sizeof(l->rest));
	if (n_taken == 0)
		return;
	l->n_rows -= n_taken;
	memmove(l->rows, l->rows + n_taken, l->n_rows * sizeof(l->rows[0]));
	memset(l->row_slots, 0xFF, sizeof(l->row_slots));
	for (size_t i = 0; i < l->n_rows; i++)
		*row_slot(l, &l->rows[i]) = (uint32_t)i;
}

/* --- histograms --------------------------------------------------------------------------------- */

static struct histogram_row *find_histogram(struct ledger *l, const struct histogram_row *wanted,
					    size_t max)
{
	int32_t key[4] = {wanted->kind, wanted->bin, wanted->experiment, wanted->activity};
	uint64_t h = siphash(l->key, key, sizeof(key));

	for (;; h++) { /* half of the slots are always free */
		uint32_t *slot = &l->histogram_slots[h % HISTOGRAM_SLOTS];
		struct histogram_row *there = *slot == SLOT_FREE ? NULL : &l->histograms[*slot];

		if (!there) {
			if (l->n_histograms >= max)
				return NULL;
			*slot = (uint32_t)l->n_histograms;
			l->histograms[l->n_histograms] = *wanted;
			return &l->histograms[l->n_histograms++];
		}
		if (there->kind == wanted->kind && there->bin == wanted->bin &&
		    there->experiment == wanted->experiment && there->activity == wanted->activity)
			return there;
	}
}

void ledger_measure(struct ledger *l, const struct ledger_who *who, enum histogram_kind kind,
		    uint64_t value)
{
	struct histogram_row wanted = {.kind = (uint8_t)kind}, *row;

	if (value == 0)
		return;
	turn_minute(l, who->heard_utc_us);
	wanted.bin = (uint16_t)(8 * log2((double)value));
	wanted.experiment = wanted.activity = STORE_FOLDED;
	if (has_own_row(l, who)) {
		wanted.experiment = who->tag.experiment;
		wanted.activity = who->tag.activity;
	}
	/* the folded tag's bins always have room */
	row = find_histogram(l, &wanted, share(who, LEDGER_HISTOGRAMS_MAX - KINDS * BINS));
	if (!row) {
		l->crowded++;
		wanted.experiment = wanted.activity = STORE_FOLDED;
		row = find_histogram(l, &wanted, LEDGER_HISTOGRAMS_MAX);
	}
	row->n++;
	if (value > row->max)
		row->max = value;
}

/* --- handing over ------------------------------------------------------------------------------- */

int ledger_take(struct ledger *l, struct claim_row **rows, size_t *n_rows,
		struct histogram_row **histograms, size_t *n_histograms)
{
	size_t n = l->n_rows < LEDGER_TAKE_MAX ? l->n_rows : LEDGER_TAKE_MAX, n_all = n;
	struct histogram_row *h = NULL;
	struct claim_row *r = NULL;

	for (size_t i = 0; i < 2; i++)
		n_all += l->rest[i].application[0] != '\0';
	if (n_all)
		r = malloc(n_all * sizeof(*r));
	if (l->n_histograms)
		h = malloc(l->n_histograms * sizeof(*h));
	if ((n_all && !r) || (l->n_histograms && !h)) {
		free(r);
		free(h);
		return -ENOMEM;
	}
	if (n)
		memcpy(r, l->rows, n * sizeof(*r));
	n_all = n;
	for (size_t i = 0; i < 2; i++)
		if (l->rest[i].application[0])
			r[n_all++] = l->rest[i];
	clear_rows(l, n);
	if (h) {
		memcpy(h, l->histograms, l->n_histograms * sizeof(*h));
		memset(l->histogram_slots, 0xFF, sizeof(l->histogram_slots));
	}
	l->n_parts = 0;
	*rows = r;
	*n_rows = n_all;
	*histograms = h;
	*n_histograms = l->n_histograms;
	l->n_histograms = 0;
	return 0;
}
