/* What the claims room hands to the store: rows of claims by minute and histograms, gathered in bounded
 * tables. Not a byte put in is lost: what finds no row of its own is in a coarser one. Strangers fill at most
 * half of any of them. One thread. */
#ifndef JOIN_LEDGER_H
#define JOIN_LEDGER_H

#include "store/store.h"

#define LEDGER_ROWS_MAX 65536 /* waiting; beyond, a flow's bytes go into its last minute */
#define LEDGER_PARTS_MAX \
	200000 /* minutes that bytes are laid on between two takes; beyond, likewise */
#define LEDGER_TAKE_MAX       20000 /* rows handed over at a time */
#define LEDGER_TAGS_MAX       64    /* unregistered ones of a minute with rows of their own */
#define LEDGER_NAMES_MAX      256   /* applications of strangers in a minute, likewise */
#define LEDGER_HISTOGRAMS_MAX 8192  /* rows of a second */
#define LEDGER_OTHER          "(other)"

struct ledger; /* opaque */

struct ledger_who {
	struct scitag tag;
	const char *application; /* less than 64 bytes, UTF-8 */
	uint8_t family;
	uint8_t is_stranger;
	int64_t heard_utc_us; /* the minute whose first tags and names have rows of their own */
};
struct ledger_counts { /* of one message */
	uint64_t starts, ongoings, ends, end_bytes;
};

struct ledger *ledger_open(void); /* NULL: no memory */
void ledger_close(struct ledger *l);
void ledger_set_registered(struct ledger *l, const struct scitag_set *registered);
void ledger_count(struct ledger *l, const struct ledger_who *who,
		  const struct ledger_counts *counts);
/* Lay bytes over [from, until): join/spread.h. */
void ledger_book(struct ledger *l, const struct ledger_who *who, uint64_t bytes,
		 int64_t from_utc_us, int64_t until_utc_us);
/* Into the histograms of its tag; values of 0 are left out. */
void ledger_measure(struct ledger *l, const struct ledger_who *who, enum histogram_kind kind,
		    uint64_t value);
/* Move out at most LEDGER_TAKE_MAX rows, oldest first, and all histograms; malloc'd, NULL when
 * there are none. 0 or -ENOMEM with everything kept. */
int ledger_take(struct ledger *l, struct claim_row **rows, size_t *n_rows,
		struct histogram_row **histograms, size_t *n_histograms);
/* Times that bytes or counts did not find the row they would have had. */
uint64_t ledger_crowded(const struct ledger *l);
size_t ledger_memory_bytes(const struct ledger *l);

#endif
