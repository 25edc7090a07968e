/* Who sends fireflies, and what is odd about them: one entry for each address that sent one. When the
 * table is full, the sender that was silent for longest is forgotten: of the strangers first, then of those
 * without a joined claim; for a new stranger only another stranger is. Inside of join; one thread. */
#ifndef JOIN_SENDERS_H
#define JOIN_SENDERS_H

#include "join/flow.h"

#define SENDERS_MAX         4096
#define SENDER_EVIDENCE_MAX 4 /* newest flows kept for each kind of oddity */

struct sender_oddity {
	uint64_t claims;
	uint32_t n_evidence;
	struct flow_key evidence[SENDER_EVIDENCE_MAX]; /* as claimed, newest first */
};
struct sender {
	uint8_t ip[16];
	uint8_t producer;   /* of its newest */
	uint8_t provenance; /* of its newest */
	int64_t first_heard_utc_us, last_heard_utc_us;
	uint64_t fireflies, claims, joined, confirmed, disagree, claimed, duplicates;
	uint64_t claimed_bytes, seen_bytes;            /* of ended joined flows, data direction */
	int64_t clock_offset_us;                       /* median of its newest nine; CLOCK_NEVER */
	struct sender_oddity oddities[CLAIM_ODDITIES]; /* by bit number */
};

/* "reversed_ends", "dead_number", ... as API and CLI name it. NULL out of range. */
const char *claim_oddity_name(unsigned int bit);
/* What to do about it, one sentence for the operator. `producer`: enum firefly_producer. */
const char *claim_oddity_hint(unsigned int bit, unsigned int producer);

struct senders; /* opaque */

struct senders *senders_open(void); /* NULL: no memory */
void senders_close(struct senders *s);
/* A firefly of claim c was heard from c->sender_ip, c not yet counting it: a first one is a claim more.
 * is_duplicate: it changes nothing. Returns how far its sender's clock is behind ours, in us: the median of its
 * newest nine; CLOCK_NEVER not known. */
int64_t senders_heard(struct senders *s, const struct claim *c, int is_duplicate);
/* A flow was seen for claim c, the first time. */
void senders_joined(struct senders *s, const struct claim *c);
/* Claim c got this oddity (bit number), once a claim. */
void senders_odd(struct senders *s, const struct claim *c, unsigned int bit);
/* A claim is over, once a claim: its flow's grade is counted, and, if it was joined, what it claimed and what
 * was seen. v->flow may be all zero: no flow. */
void senders_outcome(struct senders *s, const struct flow_view *v);
size_t senders_list(const struct senders *s, struct sender *out, size_t cap); /* newest first */
size_t senders_count(const struct senders *s);
size_t senders_memory_bytes(const struct senders *s); /* reserved */

#endif
