#include <stdlib.h>
#include <string.h>

#include "observer/flow_usage.h"
#include "observer/hash.h"

#define WAYS 4

struct start {
	struct flow_key key;
	int64_t start_utc_us; /* with the key it names one transfer */
	uint64_t src_to_dst_bytes, dst_to_src_bytes;
	uint64_t noted; /* grows with each START; 0: place is free */
};

struct flow_usage {
	uint64_t secret;
	uint64_t noted;
	struct start starts[FLOW_USAGE_MAX];
};

struct flow_usage *flow_usage_open(void)
{
	struct flow_usage *u = calloc(1, sizeof(*u));

	if (u)
		u->secret = hash_secret();
	return u;
}

void flow_usage_close(struct flow_usage *u)
{
	free(u);
}

static struct start *set_of(struct flow_usage *u, const struct flow_key *key)
{
	uint64_t h = hash_bytes(u->secret, key, sizeof(*key));

	return &u->starts[h % (FLOW_USAGE_MAX / WAYS) * WAYS];
}

static struct start *find(struct start *set, const struct firefly *ff)
{
	for (size_t i = 0; i < WAYS; i++)
		if (set[i].noted && set[i].start_utc_us == ff->start_utc_us &&
		    memcmp(&set[i].key, &ff->key, sizeof(ff->key)) == 0)
			return &set[i];
	return NULL;
}

static void note(struct flow_usage *u, const struct firefly *ff)
{
	struct start *set = set_of(u, &ff->key), *s = find(set, ff);

	if (!s) {
		s = set;
		for (size_t i = 1; i < WAYS; i++)
			if (set[i].noted < s->noted)
				s = &set[i];
	}
	*s = (struct start){ff->key, ff->start_utc_us, ff->src_to_dst_bytes, ff->dst_to_src_bytes,
			    ++u->noted};
}

static void subtract(uint64_t *bytes, uint64_t before)
{
	if (*bytes != FIREFLY_BYTES_UNSAID && before != FIREFLY_BYTES_UNSAID)
		*bytes = *bytes > before ? *bytes - before : 0;
}

void flow_usage_settle(struct flow_usage *u, struct firefly *ff)
{
	struct start *s;

	if (!(ff->flags & FIREFLY_USAGE_CUMULATIVE) || ff->start_utc_us == FIREFLY_TIME_UNKNOWN)
		return;
	if (ff->state == FIREFLY_START)
		note(u, ff);
	if (ff->state != FIREFLY_END)
		return;
	s = find(set_of(u, &ff->key), ff);
	if (!s)
		return;
	subtract(&ff->src_to_dst_bytes, s->src_to_dst_bytes);
	subtract(&ff->dst_to_src_bytes, s->dst_to_src_bytes);
	ff->flags &= ~(uint32_t)FIREFLY_USAGE_CUMULATIVE;
	s->noted = 0;
}
