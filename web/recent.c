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

static int by_time(const void *a, const void *b)
{
	const struct glimpse *x = a, *y = b;

	return (x->utc_us > y->utc_us) - (x->utc_us < y->utc_us);
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
	if (new.n)
		qsort(new.glimpses, new.n, sizeof(*new.glimpses), by_time);
	pthread_mutex_lock(&r->lock);
	old = *at;
	*at = new;
	r->newest_utc_s = b->start_utc_s;
	pthread_mutex_unlock(&r->lock);
	free(old.glimpses);
}

/* What is asked for, and how far the answer has come. */
struct wish {
	enum recent_kind kind;
	const struct filter *filter;
	struct glimpse *out; /* NULL: only count */
	size_t cap, matching, n, written;
};

static void offer(struct wish *w, const struct glimpse *g)
{
	if (w->kind != RECENT_BOTH && (w->kind == RECENT_FIREFLIES) != (g->firefly != 0))
		return;
	if (!filter_match(w->filter, &g->key))
		return;
	w->n++;
	/* of too many, those that bring the answer one further: evenly chosen */
	if (w->out && (w->matching <= w->cap ||
		       w->n * w->cap / w->matching > (w->n - 1) * w->cap / w->matching))
		w->out[w->written++] = *g;
}

static void offer_all(const struct recent *r, int64_t after_utc_s, struct wish *w)
{
	int64_t utc_s;

	if (r->newest_utc_s == CLOCK_NEVER)
		return;
	utc_s = r->newest_utc_s - RECENT_SECONDS;
	for (utc_s = (utc_s > after_utc_s ? utc_s : after_utc_s) + 1; utc_s <= r->newest_utc_s;
	     utc_s++) {
		const struct second *s = &r->seconds[(uint64_t)utc_s % RECENT_SECONDS];

		for (size_t i = 0; s->utc_s == utc_s && i < s->n; i++)
			offer(w, &s->glimpses[i]);
	}
}

size_t recent_read(struct recent *r, int64_t after_utc_s, enum recent_kind kind,
		   const struct filter *f, struct glimpse *out, size_t cap, int64_t *newest_utc_s)
{
	struct wish w = {.kind = kind, .filter = f, .cap = cap};

	*newest_utc_s = CLOCK_NEVER;
	if (!r)
		return 0;
	pthread_mutex_lock(&r->lock);
	*newest_utc_s = r->newest_utc_s;
	offer_all(r, after_utc_s, &w);
	w.matching = w.n;
	w.out = out;
	w.n = 0;
	offer_all(r, after_utc_s, &w);
	pthread_mutex_unlock(&r->lock);
	return w.written;
}
