/* A flow's claim: by its 5-tuple, by the sender's public address, by one port. What strangers can fill is walked a
 * few steps only. */
#include <string.h>

#include "join/claim_entry.h"

#define GRACE_US (10 * US_PER_S) /* for the flow that fits with both ports to be seen first */
#define WALK_MAX 32              /* claims looked at behind one index entry */

/* RFC 1918, RFC 6598 (carriers' NAT) and RFC 4193. */
int claim_is_private(const uint8_t ip[16])
{
	const uint8_t *v4 = ip + 12;

	if (!flow_ip_is_ipv4(ip))
		return (ip[0] & 0xFE) == 0xFC;
	return v4[0] == 10 || (v4[0] == 172 && (v4[1] & 0xF0) == 16) ||
	       (v4[0] == 192 && v4[1] == 168) || (v4[0] == 100 && (v4[1] & 0xC0) == 64);
}

static void index_by(struct claims *c, uint32_t at, enum claim_index_by by,
		     const struct flow_key *key)
{
	struct flow_key k;

	if (claim_index_key(&k, by, key) == 0)
		claim_index_add(c->index, at, by, &k);
}

/* The key as the wire shows it when exactly one end is behind a NAT and the datagram came out of it. */
static int public_key(struct flow_key *out, const struct flow_key *key, const uint8_t sender_ip[16])
{
	int src = claim_is_private(key->src_ip), dst = claim_is_private(key->dst_ip);

	if (src == dst || claim_is_private(sender_ip))
		return 0;
	*out = *key;
	memcpy(src ? out->src_ip : out->dst_ip, sender_ip, sizeof(out->src_ip));
	return memcmp(out->src_ip, out->dst_ip, sizeof(out->src_ip)) != 0;
}

/* Producers that may not know a port: dCache announces before the data connection exists, StoRM through
 * flowd. */
static int may_miss_a_port(unsigned int producer)
{
	return producer == FIREFLY_DCACHE || producer == FIREFLY_FLOWD;
}

void claims_index(struct claims *c, uint32_t at)
{
	const struct claim *claim = claims_at(c, at);
	struct flow_key public;

	claim_index_remove(c->index, at);
	index_by(c, at, CLAIM_BY_HOSTS, &claim->key);
	if (may_miss_a_port(claim->producer)) {
		index_by(c, at, CLAIM_BY_PORT_A, &claim->key);
		index_by(c, at, CLAIM_BY_PORT_B, &claim->key);
	}
	if (claim->provenance != CLAIM_FROM_RELAY &&
	    public_key(&public, &claim->key, claim->sender_ip))
		index_by(c, at, CLAIM_BY_NAT, &public);
}

/* Its life by our clock, as wide as what was said and what was heard have it; within JOIN_WINDOW_S of
 * [first, last]? */
static int is_alive(const struct claim_entry *e, int64_t first_utc_us, int64_t last_utc_us)
{
	const struct claim *claim = &e->claim;
	int64_t from = claim->first_heard_utc_us, to = INT64_MAX - CLAIM_WINDOW_US;

	if (claim->start_utc_us == CLOCK_NEVER)
		from = INT64_MIN + CLAIM_WINDOW_US;
	else if (claim->start_utc_us + e->shift_us < from)
		from = claim->start_utc_us + e->shift_us;
	if (claim->state != CLAIM_OPEN)
		to = e->ended_utc_us;
	return first_utc_us <= to + CLAIM_WINDOW_US && last_utc_us >= from - CLAIM_WINDOW_US;
}

static uint32_t find_by(const struct claims *c, enum claim_index_by by, const struct flow_key *key,
			int64_t first_utc_us, int64_t last_utc_us)
{
	struct flow_key k, theirs, public;
	uint32_t entry;

	if (claim_index_key(&k, by, key))
		return TABLE_NONE;
	entry = claim_index_first(c->index, by, &k);
	for (int i = 0; i < WALK_MAX && entry != CLAIM_INDEX_NONE; i++) {
		uint32_t at = claim_index_claim(entry);
		const struct claim_entry *e = claim_entry_at(c, at);
		const struct flow_key *named = &e->claim.key;

		if (by == CLAIM_BY_NAT && public_key(&public, named, e->claim.sender_ip))
			named = &public;
		claim_index_key(&theirs, by, named);
		if (memcmp(&theirs, &k, sizeof(k)) == 0 && is_alive(e, first_utc_us, last_utc_us))
			return at;
		entry = claim_index_next(c->index, entry);
	}
	return TABLE_NONE;
}

/* Could the flow be this claim's, one port apart? Not if the claim has its flow, and not before that
 * one had its time to show up. */
static int fits_one_port(const struct claim_entry *e, int64_t first_utc_us, int64_t last_utc_us)
{
	const struct claim *claim = &e->claim;

	if (claim->joined || !may_miss_a_port(claim->producer) ||
	    !is_alive(e, first_utc_us, last_utc_us))
		return 0;
	if (claim->start_utc_us != CLOCK_NEVER &&
	    first_utc_us < claim->start_utc_us + e->shift_us - CLAIM_WINDOW_US)
		return 0;
	return claim->state != CLAIM_OPEN || last_utc_us >= claim->first_heard_utc_us + GRACE_US;
}

static uint32_t find_one_port(const struct claims *c, const struct flow_key *key,
			      int64_t first_utc_us, int64_t last_utc_us)
{
	uint32_t found = TABLE_NONE;

	for (unsigned int by = CLAIM_BY_PORT_A; by <= CLAIM_BY_PORT_B; by++) {
		struct flow_key k, theirs;
		uint32_t entry;
		int steps = 0;

		if (claim_index_key(&k, (enum claim_index_by)by, key))
			return TABLE_NONE;
		entry = claim_index_first(c->index, (enum claim_index_by)by, &k);
		for (; entry != CLAIM_INDEX_NONE; entry = claim_index_next(c->index, entry)) {
			uint32_t at = claim_index_claim(entry);
			const struct claim_entry *e = claim_entry_at(c, at);

			if (++steps > WALK_MAX)
				return TABLE_NONE; /* who knows what else fits */
			claim_index_key(&theirs, (enum claim_index_by)by, &e->claim.key);
			if (memcmp(&theirs, &k, sizeof(k)) != 0 ||
			    !fits_one_port(e, first_utc_us, last_utc_us))
				continue;
			if (found != TABLE_NONE && found != at)
				return TABLE_NONE;
			found = at;
		}
	}
	return found;
}

uint32_t claims_find(struct claims *c, const struct flow_key *key, int64_t first_utc_us,
		     int64_t last_utc_us, uint32_t *how)
{
	uint32_t at, strangers = TABLE_NONE;
	struct flow_key k;
	int knows_hosts;

	*how = 0;
	c->has_flows = 1;
	if (!table_count(c->table))
		return TABLE_NONE;
	knows_hosts = claim_index_may_have_hosts(c->index, key);
	table_key(&k, key);
	at = knows_hosts ? table_find(c->table, &k) : TABLE_NONE;
	if (at != TABLE_NONE && is_alive(claim_entry_at(c, at), first_utc_us, last_utc_us)) {
		claim_entry_at(c, at)->is_behind_nat = 0;
		if (claims_at(c, at)->provenance != CLAIM_FROM_STRANGER)
			return at;
		strangers = at; /* unless somebody else's fits */
	}
	at = find_by(c, CLAIM_BY_NAT, key, first_utc_us, last_utc_us);
	if (at != TABLE_NONE) {
		claim_entry_at(c, at)->is_behind_nat = 1;
		*how = FLOW_NAT;
		return at;
	}
	if (!knows_hosts)
		return TABLE_NONE;
	at = find_one_port(c, key, first_utc_us, last_utc_us);
	if (at != TABLE_NONE &&
	    (strangers == TABLE_NONE || claims_at(c, at)->provenance != CLAIM_FROM_STRANGER)) {
		*how = FLOW_ONE_PORT;
		return at;
	}
	if (strangers == TABLE_NONE &&
	    find_by(c, CLAIM_BY_HOSTS, key, first_utc_us, last_utc_us) != TABLE_NONE)
		*how = FLOW_SAME_HOSTS;
	return strangers;
}
