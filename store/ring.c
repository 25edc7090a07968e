/* Slots by second modulo RING_SECONDS. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "store/ring.h"

struct second {
	atomic_uint holders;
	int64_t utc_s;
	size_t n_rows;
	struct traffic_row rows[];
};

struct ring {
	pthread_mutex_t lock;
	struct second *slots[RING_SECONDS];
	size_t n_rows;
	int64_t newest_utc_s;
};

struct ring *ring_open(void)
{
	struct ring *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	r->newest_utc_s = CLOCK_NEVER;
	return r;
}

static void give_back(struct second *s)
{
	if (s && atomic_fetch_sub(&s->holders, 1) == 1)
		free(s);
}

void ring_close(struct ring *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < RING_SECONDS; i++)
		give_back(r->slots[i]);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct second **slot_of(struct ring *r, int64_t utc_s)
{
	return &r->slots[(uint64_t)utc_s % RING_SECONDS];
}

static void drop(struct ring *r, struct second **slot)
{
	if (!*slot)
		return;
	r->n_rows -= (*slot)->n_rows;
	give_back(*slot);
	*slot = NULL;
}

/* A second lives RING_SECONDS, fewer when there are too many rows. Slots are visited from the
 * oldest on, which is the one after the newest. */
static void let_go_oldest(struct ring *r)
{
	for (int64_t t = r->newest_utc_s - RING_SECONDS + 1; t <= r->newest_utc_s; t++) {
		struct second **slot = slot_of(r, t);

		if (*slot && (*slot)->utc_s <= r->newest_utc_s - RING_SECONDS)
			drop(r, slot);
		else if (r->n_rows > RING_ROWS_MAX && t < r->newest_utc_s)
			drop(r, slot);
	}
}

int ring_put(struct ring *r, const struct bucket *b)
{
	struct second **slot = slot_of(r, b->start_utc_s);
	struct second *before, *s;
	size_t n_before;

	/* Only this thread replaces slots: what is there stays while it is looked at. */
	before = *slot && (*slot)->utc_s == b->start_utc_s ? *slot : NULL;
	n_before = before ? before->n_rows : 0;
	s = malloc(sizeof(*s) + (n_before + b->n_rows) * sizeof(s->rows[0]));
	if (!s)
		return -ENOMEM;
	atomic_init(&s->holders, 1);
	s->utc_s = b->start_utc_s;
	s->n_rows = n_before + b->n_rows;
	if (before)
		memcpy(s->rows, before->rows, n_before * sizeof(s->rows[0]));
	memcpy(s->rows + n_before, b->rows, b->n_rows * sizeof(s->rows[0]));

	pthread_mutex_lock(&r->lock);
	drop(r, slot);
	*slot = s;
	r->n_rows += s->n_rows;
	r->newest_utc_s = s->utc_s;
	let_go_oldest(r);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

int ring_query(struct ring *r, const struct store_query *q, struct series *out,
	       int64_t *oldest_utc_s)
{
	struct second *held[RING_SECONDS];
	size_t n = 0;
	int err = 0;

	*oldest_utc_s = CLOCK_NEVER;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < RING_SECONDS && r->newest_utc_s != CLOCK_NEVER; i++) {
		int64_t t = r->newest_utc_s - RING_SECONDS + 1 + (int64_t)i;
		struct second *s = *slot_of(r, t);

		if (!s || s->utc_s != t)
			continue;
		if (*oldest_utc_s == CLOCK_NEVER)
			*oldest_utc_s = t;
		if (t < q->from_utc_s || t >= q->to_utc_s)
			continue;
		atomic_fetch_add(&s->holders, 1);
		held[n++] = s;
	}
	pthread_mutex_unlock(&r->lock);
	for (size_t i = 0; i < n; i++) {
		for (size_t row = 0; row < held[i]->n_rows && !err; row++)
			err = series_offer(out, q->filter, held[i]->utc_s, &held[i]->rows[row]);
		give_back(held[i]);
	}
	return err;
}

struct bucket *ring_second(struct ring *r, int64_t utc_s)
{
	struct bucket *b = NULL;
	struct second *s;

	pthread_mutex_lock(&r->lock);
	s = *slot_of(r, utc_s);
	if (s && s->utc_s == utc_s)
		atomic_fetch_add(&s->holders, 1);
	else
		s = NULL;
	pthread_mutex_unlock(&r->lock);
	if (!s)
		return NULL;
	b = bucket_new(utc_s, s->n_rows, 0, 0);
	if (b)
		memcpy(b->rows, s->rows, s->n_rows * sizeof(*b->rows));
	give_back(s);
	return b;
}
