#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "observer/hash.h"
#include "observer/sender_limit.h"

#define WAYS 4

struct sender {
	uint8_t ip[16];
	int64_t full_at_mono_ns; /* when its bucket will be full again */
};

struct sender_limit {
	uint64_t secret;
	int64_t ns_per_token;
	struct sender senders[SENDER_LIMIT_SENDERS];
};

struct sender_limit *sender_limit_open(uint32_t per_s)
{
	struct sender_limit *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->secret = hash_secret();
	l->ns_per_token = NS_PER_S / per_s;
	return l;
}

void sender_limit_close(struct sender_limit *l)
{
	free(l);
}

static struct sender *find(struct sender_limit *l, const uint8_t ip[16])
{
	struct sender *set, *quietest;
	uint64_t h = hash_bytes(l->secret, ip, 16);

	set = quietest = &l->senders[h % (SENDER_LIMIT_SENDERS / WAYS) * WAYS];
	for (size_t i = 0; i < WAYS; i++) {
		if (memcmp(set[i].ip, ip, 16) == 0)
			return &set[i];
		if (set[i].full_at_mono_ns < quietest->full_at_mono_ns)
			quietest = &set[i];
	}
	*quietest = (struct sender){.full_at_mono_ns = INT64_MIN};
	memcpy(quietest->ip, ip, 16);
	return quietest;
}

int sender_limit_take(struct sender_limit *l, const uint8_t ip[16], int64_t now_mono_ns)
{
	struct sender *s = find(l, ip);

	if (s->full_at_mono_ns < now_mono_ns)
		s->full_at_mono_ns = now_mono_ns;
	if (s->full_at_mono_ns - now_mono_ns > NS_PER_S - l->ns_per_token)
		return 0;
	s->full_at_mono_ns += l->ns_per_token;
	return 1;
}
