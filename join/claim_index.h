/* Claims found by less than their 5-tuple. An entry is a claim's number under the hash of a key; equal keys
 * stand in one chain, newest first, and whoever walks it bounds his steps. As much memory for each claim, whatever
 * is in it. One thread. */
#ifndef JOIN_CLAIM_INDEX_H
#define JOIN_CLAIM_INDEX_H

#include <stddef.h>
#include <stdint.h>
#include "wire/flow_key.h"

#define CLAIM_INDEX_NONE UINT32_MAX

enum claim_index_by {                  /* a claim may have an entry of each */
		      CLAIM_BY_NAT,    /* the 5-tuple with the sender's public address */
		      CLAIM_BY_PORT_A, /* both addresses and the port of the lower one */
		      CLAIM_BY_PORT_B, /* ... of the higher one */
		      CLAIM_BY_HOSTS,  /* both addresses */
		      CLAIM_INDEX_KINDS
};

struct claim_index; /* opaque */

struct claim_index *claim_index_open(uint32_t claims_max); /* NULL: no memory */
void claim_index_close(struct claim_index *ix);
/* The claim must have no entry of this kind. */
void claim_index_add(struct claim_index *ix, uint32_t at, enum claim_index_by by,
		     const struct flow_key *key);
void claim_index_remove(struct claim_index *ix, uint32_t at); /* all its entries */
/* Entries that may have this key (the caller compares), CLAIM_INDEX_NONE at the end. */
uint32_t claim_index_first(const struct claim_index *ix, enum claim_index_by by,
			   const struct flow_key *key);
uint32_t claim_index_next(const struct claim_index *ix, uint32_t entry);
uint32_t claim_index_claim(uint32_t entry);
/* 0: no claim is between these hosts, for sure. Quick, for the many flows that nobody announced. */
int claim_index_may_have_hosts(const struct claim_index *ix, const struct flow_key *key);
size_t claim_index_memory_bytes(const struct claim_index *ix);

/* What a key of this kind is made of; the ends in order. 0, or -1 when this kind has no key of it: no port. */
int claim_index_key(struct flow_key *out, enum claim_index_by by, const struct flow_key *key);

#endif
