/* The sender's side: claims by 5-tuple, from the first message to the last, and the bytes they claim laid
 * over the time in which they flowed. Inside of join; one thread. */
#ifndef JOIN_CLAIMS_H
#define JOIN_CLAIMS_H

#include "join/flow.h"
#include "join/senders.h"
#include "join/table.h"
#include "store/store.h"

struct claims; /* opaque */

struct claims_config {
	uint32_t claims_max, silent_s;
	const uint8_t (*relays)[16]; /* copied */
	size_t n_relays;
};
struct claims *claims_open(const struct claims_config *cfg, struct senders *senders); /* NULL */
void claims_close(struct claims *c);
/* Another silent_s and other relays; claims_max stays. 0, or -ENOMEM with nothing changed. */
int claims_configure(struct claims *c, const struct claims_config *cfg);
void claims_set_registered(struct claims *c, const struct scitag_set *registered);

/* Called once for each claim, when it is over (and an ended one was kept JOIN_WINDOW_S) or replaced, before it
 * leaves the table. It may ask and tell of claims (claims_at, _find, _joined, _odd),
 * but let none be heard and no time pass. */
typedef void (*claim_over)(void *arg, uint32_t at, const struct claim *c);

/* A firefly: makes, updates, closes or supersedes. Copies (to the destination and to collectors, within
 * JOIN_WINDOW_S, same state and times), and what the other end says of the same flow, are counted and change
 * nothing. Returns the number of the claim it belongs to, or TABLE_NONE: it is late and its claim is gone, or the
 * table is full. A full table lets go first of what is unjoined and a stranger's, then of what is unjoined, then
 * of the rest; what has ended and then the oldest first. For a stranger's only the first of these. */
uint32_t claims_hear(struct claims *c, const struct heard *h, claim_over over, void *arg);
/* Give up what is silent for too long, or ended and kept long enough; a bounded number a call. */
void claims_tick(struct claims *c, int64_t now_utc_us, claim_over over, void *arg);

struct claim *claims_at(const struct claims *c, uint32_t at);
/* The claim for a flow of this key (either orientation), alive within JOIN_WINDOW_S of [first, last]:
 * by 5-tuple, then by its public address (NAT), then, of senders that may not know a port (dCache; StoRM through
 * flowd), by addresses and one port, if only one fits. *how gets FLOW_NAT or FLOW_ONE_PORT, or FLOW_SAME_HOSTS when
 * nothing fits but the addresses. What a stranger says counts only when nothing of an end or a relay fits. TABLE_NONE. */
uint32_t claims_find(struct claims *c, const struct flow_key *key, int64_t first_utc_us,
		     int64_t last_utc_us, uint32_t *how);
/* A flow was seen for it, the one that claims_find was asked for last: keeps it from being evicted early and alive
 * while packets come. */
void claims_joined(struct claims *c, uint32_t at, int64_t last_seen_utc_us);
void claims_odd(struct claims *c, uint32_t at, uint32_t oddity);
/* Its data sender by what it says itself: 1 key.src, -1 key.dst, 0 not said. */
int claim_data_direction(const struct claim *c);
/* Data direction's bytes END less START; FIREFLY_BYTES_UNSAID. Duration in us, CLOCK_NEVER unsaid or
 * beyond 30 days. Bytes a second, NaN unsaid. */
uint64_t claim_bytes(const struct claim *c);
int64_t claim_duration_us(const struct claim *c);
double claim_bytes_per_s(const struct claim *c);

/* Move out what is to be stored: rows of claims (of this second, and of minutes of the past) and histograms.
 * malloc'd, NULL when there are none. 0 or -ENOMEM with everything kept. */
int claims_take(struct claims *c, struct claim_row **rows, size_t *n_rows,
		struct histogram_row **histograms, size_t *n_histograms);

struct claims_status {
	uint32_t count;
	uint64_t begun, joined, superseded, expired, evicted;
	uint64_t duplicates;
	uint64_t crowded; /* times that what was to be booked found no row of its own */
};
void claims_status(const struct claims *c, struct claims_status *out);
size_t claims_memory_bytes(const struct claims *c); /* reserved */

#endif
