#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "join/claim_index.h"
#include "join/siphash.h"
#include "join/table.h"

#define STEPS_MAX \
	64 /* past entries of another hash: a crowd elsewhere in the chain costs no time here */

struct node {
	uint32_t newer, older; /* in its chain; CLAIM_INDEX_NONE */
	uint32_t hash;
	uint32_t is_used;
};

struct claim_index {
	uint64_t secret[2];
	uint32_t n_nodes, mask;
	struct node *nodes; /* of claim n: n * CLAIM_INDEX_KINDS and following */
	uint32_t *newest;   /* of each chain: number of node + 1; 0 empty */
	uint32_t *n_hosts;  /* entries of CLAIM_BY_HOSTS in each chain */
};

struct claim_index *claim_index_open(uint32_t claims_max)
{
	struct claim_index *ix = calloc(1, sizeof(*ix));
	uint32_t chains = 4;

	if (!ix || claims_max > UINT32_MAX / (2 * CLAIM_INDEX_KINDS))
		goto fail;
	while (chains < 2 * claims_max)
		chains *= 2;
	ix->mask = chains - 1;
	ix->n_nodes = claims_max * CLAIM_INDEX_KINDS;
	ix->nodes = calloc(ix->n_nodes, sizeof(*ix->nodes));
	ix->newest = calloc(chains, sizeof(*ix->newest));
	ix->n_hosts = calloc(chains, sizeof(*ix->n_hosts));
	if (!ix->nodes || !ix->newest || !ix->n_hosts ||
	    getrandom(ix->secret, sizeof(ix->secret), 0) != sizeof(ix->secret))
		goto fail;
	return ix;
fail:
	claim_index_close(ix);
	return NULL;
}

void claim_index_close(struct claim_index *ix)
{
	if (!ix)
		return;
	free(ix->nodes);
	free(ix->newest);
	free(ix->n_hosts);
	free(ix);
}

int claim_index_key(struct flow_key *out, enum claim_index_by by, const struct flow_key *key)
{
	struct flow_key k;
	int same_host = memcmp(key->src_ip, key->dst_ip, sizeof(key->src_ip)) == 0;

	table_key(&k, key);
	if (by == CLAIM_BY_PORT_A)
		k.dst_port = 0;
	else if (by == CLAIM_BY_PORT_B)
		k.src_port = 0;
	if (by == CLAIM_BY_HOSTS)
		k.src_port = k.dst_port = k.protocol = 0;
	else if ((k.src_port == 0 && k.dst_port == 0) || (by != CLAIM_BY_NAT && same_host))
		return -1;
	*out = k;
	return 0;
}

static uint32_t hash_of(const struct claim_index *ix, enum claim_index_by by,
			const struct flow_key *key)
{
	uint64_t secret[2] = {ix->secret[0] ^ (uint64_t)by, ix->secret[1]};

	return (uint32_t)siphash(secret, key, sizeof(*key));
}

void claim_index_add(struct claim_index *ix, uint32_t at, enum claim_index_by by,
		     const struct flow_key *key)
{
	uint32_t number = at * CLAIM_INDEX_KINDS + by, hash = hash_of(ix, by, key);
	uint32_t *newest = &ix->newest[hash & ix->mask];
	struct node *node = &ix->nodes[number];

	*node = (struct node){
		.newer = CLAIM_INDEX_NONE, .older = *newest - 1, .hash = hash, .is_used = 1};
	if (*newest)
		ix->nodes[*newest - 1].newer = number;
	*newest = number + 1;
	ix->n_hosts[hash & ix->mask] += by == CLAIM_BY_HOSTS;
}

void claim_index_remove(struct claim_index *ix, uint32_t at)
{
	for (uint32_t by = 0; by < CLAIM_INDEX_KINDS; by++) {
		struct node *node = &ix->nodes[at * CLAIM_INDEX_KINDS + by];

		if (!node->is_used)
			continue;
		if (node->newer == CLAIM_INDEX_NONE)
			ix->newest[node->hash & ix->mask] = node->older + 1;
		else
			ix->nodes[node->newer].older = node->older;
		if (node->older != CLAIM_INDEX_NONE)
			ix->nodes[node->older].newer = node->newer;
		ix->n_hosts[node->hash & ix->mask] -= by == CLAIM_BY_HOSTS;
		node->is_used = 0;
	}
}

static uint32_t same_hash(const struct claim_index *ix, uint32_t number, uint32_t hash)
{
	for (int i = 0; i < STEPS_MAX && number != CLAIM_INDEX_NONE; i++) {
		if (ix->nodes[number].hash == hash)
			return number;
		number = ix->nodes[number].older;
	}
	return CLAIM_INDEX_NONE;
}

uint32_t claim_index_first(const struct claim_index *ix, enum claim_index_by by,
			   const struct flow_key *key)
{
	uint32_t hash = hash_of(ix, by, key);

	return same_hash(ix, ix->newest[hash & ix->mask] - 1, hash);
}

uint32_t claim_index_next(const struct claim_index *ix, uint32_t entry)
{
	return same_hash(ix, ix->nodes[entry].older, ix->nodes[entry].hash);
}

uint32_t claim_index_claim(uint32_t entry)
{
	return entry / CLAIM_INDEX_KINDS;
}

int claim_index_may_have_hosts(const struct claim_index *ix, const struct flow_key *key)
{
	struct flow_key k;

	claim_index_key(&k, CLAIM_BY_HOSTS, key);
	return ix->n_hosts[hash_of(ix, CLAIM_BY_HOSTS, &k) & ix->mask] != 0;
}

size_t claim_index_memory_bytes(const struct claim_index *ix)
{
	return sizeof(*ix) + ix->n_nodes * sizeof(*ix->nodes) +
	       (ix->mask + (size_t)1) * (sizeof(*ix->newest) + sizeof(*ix->n_hosts));
}
