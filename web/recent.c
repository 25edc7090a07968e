#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/recent.h"

struct second {
	int64_t utc_s;
	size_t n;
	struct glimpse *glimpses;
};
struct recent {
	pthread_mutex_t lock;
	int64_t newest_utc_s;
	struct second seconds[RECENT_SECONDS]; /* by second modulo their number */
};

struct recent *recent_open(void)
{
	struct recent *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->newest_utc_s = CLOCK_NEVER;
	for (size_t i = 0; i < RECENT_SECONDS; i++)
		r->seconds[i].utc_s = CLOCK_NEVER;
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void recent_close(struct recent *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < RECENT_SECONDS; i++)
		free(r->seconds[i].glimpses);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void recent_add(struct recent *r, const struct bucket *b)
{
	struct second *at = &r->seconds[(uint64_t)b->start_utc_s % RECENT_SECONDS], old;
	const size_t n = b->n_glimpses < RECENT_A_SECOND_MAX ? b->n_glimpses : RECENT_A_SECOND_MAX;
	struct second new = {b->start_utc_s, n, n ? malloc(n * sizeof(*new.glimpses)) : NULL};

	if (!new.glimpses)
		new.n = 0;
	for (size_t i = 0; i < new.n; i++)
		new.glimpses[i] = b->glimpses[i * b->n_glimpses / n];
	pthread_mutex_lock(&r->lock);
	old = *at;
	*at = new;
	r->newest_utc_s = b->start_utc_s;
	pthread_mutex_unlock(&r->lock);
	free(old.glimpses);
}

static int is_wanted(const struct glimpse *g, enum recent_kind kind, const struct filter *f)
{
	if (kind != RECENT_BOTH && (kind == RECENT_FIREFLIES) != (g->firefly != 0))
		return 0;
	return filter_match(f, &g->key);
}

size_t recent_read(struct recent *r, int64_t after_utc_s, enum recent_kind kind,
		   const struct filter *f, struct glimpse *out, size_t cap, int64_t *newest_utc_s)
{
	size_t n = 0;

	*newest_utc_s = CLOCK_NEVER;
	if (!r)
		return 0;
	pthread_mutex_lock(&r->lock);
	*newest_utc_s = r->newest_utc_s;
	/* from the newest back, so that a full answer holds the newest ones */
	for (int64_t back = 0; back < RECENT_SECONDS && r->newest_utc_s != CLOCK_NEVER; back++) {
		const int64_t utc_s = r->newest_utc_s - back;
		const struct second *s = &r->seconds[(uint64_t)utc_s % RECENT_SECONDS];

		if (utc_s < 0 || utc_s <= after_utc_s)
			break;
		for (size_t i = s->utc_s == utc_s ? s->n : 0; i-- > 0 && n < cap;)
			if (is_wanted(&s->glimpses[i], kind, f))
				out[n++] = s->glimpses[i];
	}
	pthread_mutex_unlock(&r->lock);
	for (size_t i = 0; i < n / 2; i++) {
		const struct glimpse swap = out[i];

		out[i] = out[n - 1 - i];
		out[n - 1 - i] = swap;
	}
	return n;
}
