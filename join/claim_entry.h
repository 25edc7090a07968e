/* What the files of the claims share; nobody else includes it. A claim is in the table under its ends in order, so
 * that both directions meet; claims.c makes and changes it, claim_verdict.c says what a message is to
 * it, claims_find.c finds it for a flow. */
#ifndef JOIN_CLAIM_ENTRY_H
#define JOIN_CLAIM_ENTRY_H

#include "base/clock.h"
#include "join/claim_index.h"
#include "join/claims.h"
#include "join/join.h"
#include "join/ledger.h"

#define CLAIM_WINDOW_US (JOIN_WINDOW_S * US_PER_S)
#define CLAIM_PRINTS    4 /* newest messages remembered, to tell copies from late ones */

struct claim_entry {
	struct flow_key key; /* the table's: ends in order */
	struct claim claim;
	int64_t said_utc_us;  /* the newest time an ONGOING spoke of, by its sender's clock */
	int64_t ended_utc_us; /* when its END was heard */
	int64_t seen_utc_us;  /* the newest packet */
	int64_t shift_us;     /* what its sender's clock is behind ours, where that is too much */
	uint32_t prints[CLAIM_PRINTS];
	uint8_t next_print;
	uint8_t is_behind_nat; /* its flow was found by its sender's public address */
	uint8_t had_stranger;  /* a stranger spoke of it too */
};

struct claims {
	struct table *table;
	struct claim_index *index;
	struct ledger *ledger;
	struct senders *senders; /* borrowed */
	uint64_t secret[2];
	int64_t listening_since_utc_us;
	int64_t silent_us;
	uint8_t (*relays)[16];
	size_t n_relays;
	struct scitag_set registered;
	int has_flows; /* somebody asked for a flow's claim: there is a wire to be seen on */
	struct claims_status status; /* but for what is asked elsewhere */
};

/* NULL: no such claim. */
static inline struct claim_entry *claim_entry_at(const struct claims *c, uint32_t at)
{
	return table_record(c->table, at);
}

static inline uint64_t claim_or_zero(uint64_t bytes)
{
	return bytes == FIREFLY_BYTES_UNSAID ? 0 : bytes;
}

/* --- claim_verdict.c ---------------------------------------------------------------------------- */

enum claim_verdict {
	VERDICT_STRANGE, /* a stranger speaks of what somebody else announced */
	VERDICT_LATE,    /* of a flow that is gone */
	VERDICT_COPY,
	VERDICT_COUNTED, /* out of order: no more than one more of its state */
	VERDICT_NEWS,
	VERDICT_LEAD,   /* the other end says how many bytes, which this one has not */
	VERDICT_REPLACE /* another flow, or the first word of someone who may speak */
};

/* What is this message to that claim? `print`: claim_print's. */
enum claim_verdict claim_verdict(const struct claim_entry *e, const struct heard *h,
				 enum claim_provenance provenance, uint32_t print);
/* A message in 32 bits, never 0: copies have the same. */
uint32_t claim_print(const struct claims *c, const struct firefly *ff);
/* When it was made, by its sender's clock; FIREFLY_TIME_UNKNOWN. */
int64_t claim_said_utc_us(const struct firefly *ff);

/* --- claims_find.c ------------------------------------------------------------------------------ */

/* Make it found by what it says now. */
void claims_index(struct claims *c, uint32_t at);
int claim_is_private(const uint8_t ip[16]);

#endif
