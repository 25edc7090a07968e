/* The thread under every source, and the handing over of its seconds. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "observer/source.h"

#define IDLE_WAIT_MS   20       /* how late a quiet source may answer */
#define TAKE_WAIT_NS   NS_PER_S /* how long the collector waits for a busy one */
#define CLOSE_DRAIN_NS NS_PER_S /* how long a stop may read what the kernel still holds */

struct source {
	const struct source_ops *ops;
	void *self;
	char name[64];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t handed;
	atomic_int asked; /* the one thing the thread looks at between batches */
	atomic_int stop;
	int ready; /* under lock: `second` is the collector's */
	struct source_second second;
};

/* Put n items behind the *n_all of *all, and take them over. */
static void add_items(void *all, size_t *n_all, void *items, size_t n, size_t item_bytes)
{
	void **first = all, *both;

	if (!*n_all || !n) { /* one of the two is the whole */
		free(*n_all ? items : *first);
		*first = *n_all ? *first : items;
		*n_all += n;
		return;
	}
	both = realloc(*first, (*n_all + n) * item_bytes);
	if (both) {
		memcpy((char *)both + *n_all * item_bytes, items, n * item_bytes);
		*first = both;
		*n_all += n;
	} else {
		log_fail(-ENOMEM, "source", "%zu records are lost", n);
	}
	free(items);
}

void source_second_add(struct source_second *sum, struct source_second *s)
{
	add_items(&sum->rows, &sum->n_rows, s->rows, s->n_rows, sizeof(*s->rows));
	add_items(&sum->statuses, &sum->n_statuses, s->statuses, s->n_statuses,
		  sizeof(*s->statuses));
	add_items(&sum->seen, &sum->n_seen, s->seen, s->n_seen, sizeof(*s->seen));
	add_items(&sum->heard, &sum->n_heard, s->heard, s->n_heard, sizeof(*s->heard));
	add_items(&sum->glimpses, &sum->n_glimpses, s->glimpses, s->n_glimpses,
		  sizeof(*s->glimpses));
	sum->not_followed += s->not_followed;
	*s = (struct source_second){0};
}

/* What the same source did later, behind what was not fetched: its newer status says all. */
static void append(struct source_second *first, struct source_second *later)
{
	free(first->statuses);
	first->statuses = NULL;
	first->n_statuses = 0;
	first->not_followed = 0;
	source_second_add(first, later);
}

void source_note(struct source_status *status, const char *text)
{
	char *detail = status->detail;
	const char *between = *detail ? "; " : "";
	const size_t cap = sizeof(status->detail), len = strlen(text), gap = strlen(between);

	memmove(detail + len + gap, detail, cap - len - gap);
	memcpy(detail, text, len);
	memcpy(detail + len, between, gap);
	detail[cap - 1] = 0;
}

/* The source's own status says what of its traffic the join cannot know. */
static void take(struct source *s, struct source_second *second)
{
	char text[64];

	s->ops->take(s->self, second);
	if (!second->n_statuses || !second->not_followed)
		return;
	snprintf(text, sizeof(text), "flows of %llu packets not followed",
		 (unsigned long long)second->not_followed);
	source_note(second->statuses, text);
}

static void hand_over(struct source *s)
{
	struct source_second second = {0};

	take(s, &second);
	pthread_mutex_lock(&s->lock);
	if (s->ready) /* the collector gave up waiting for the one before */
		append(&s->second, &second);
	else
		s->second = second;
	s->ready = 1;
	atomic_store(&s->asked, 0);
	pthread_cond_signal(&s->handed);
	pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg)
{
	struct source *s = arg;
	int64_t down_until_mono_ns = 0, stop_by_mono_ns;

	while (!atomic_load(&s->stop)) {
		if (down_until_mono_ns && clock_mono_ns() < down_until_mono_ns) {
			nanosleep(&(struct timespec){.tv_nsec = IDLE_WAIT_MS * 1000000L}, NULL);
		} else {
			int n = s->ops->drain(s->self, IDLE_WAIT_MS);

			down_until_mono_ns = n < 0 ? clock_mono_ns() + NS_PER_S : 0;
		}
		if (atomic_load(&s->asked))
			hand_over(s);
	}
	if (s->ops->stop)
		s->ops->stop(s->self);
	stop_by_mono_ns = clock_mono_ns() + CLOSE_DRAIN_NS;
	while (s->ops->drain(s->self, 0) > 0 && clock_mono_ns() < stop_by_mono_ns)
		;
	return NULL;
}

void source_registry(const struct source_context *ctx, struct scitag_set *registered,
		     uint64_t *generation)
{
	/* a new keeper's generation may be 0, so what was copied is kept as one more */
	const uint64_t now = registry_keeper_generation(ctx->registry) + 1;
	const struct registry *r;

	if (now == *generation)
		return;
	r = registry_keeper_take(ctx->registry);
	*registered = r->pairs;
	registry_keeper_give(ctx->registry, r);
	*generation = now;
}

void source_count(const struct source_context *ctx, struct aggregate *a, struct seen_table *seen,
		  struct observation *o)
{
	o->direction = (uint8_t)site_direction(ctx->site, &o->key);
	aggregate_add(a, o);
	if (o->verdict == PACKET_OK)
		seen_add(seen, o);
}

void source_take_counts(struct aggregate *a, struct seen_table *seen, struct source_second *out)
{
	const size_t n = aggregate_rows(a);
	struct source_second second = {.rows = n ? malloc(n * sizeof(*second.rows)) : NULL};

	second.n_rows =
		second.rows ? aggregate_take(a, second.rows) : 0; /* no memory: next second */
	second.n_seen = seen_take(seen, &second.seen);
	second.n_glimpses = seen_take_glimpses(seen, &second.glimpses);
	second.not_followed = seen_not_followed(seen);
	source_second_add(out, &second);
}

const char *packet_verdict_name(enum packet_verdict v)
{
	static const char *const names[PACKET_VERDICT_COUNT] = {
		[PACKET_OK] = "ok",
		[PACKET_SHORT] = "short",
		[PACKET_MALFORMED] = "malformed",
		[PACKET_CHAIN] = "chain",
		[PACKET_NOT_IP] = "not_ip",
	};

	return v < PACKET_VERDICT_COUNT ? names[v] : NULL;
}

void source_count_verdicts(struct source_status *status,
			   const uint64_t verdicts[PACKET_VERDICT_COUNT])
{
	size_t n = 0;

	status->accepted = verdicts[PACKET_OK] + verdicts[PACKET_NOT_IP];
	status->received = status->accepted;
	for (unsigned int v = PACKET_OK + 1; v < PACKET_VERDICT_COUNT; v++) {
		if (v == PACKET_NOT_IP)
			continue;
		status->rejected[n++] = (struct source_reason){
			packet_verdict_name((enum packet_verdict)v), verdicts[v]};
		status->received += verdicts[v];
	}
	for (size_t i = 0; i < sizeof(status->dropped) / sizeof(status->dropped[0]); i++)
		status->received += status->dropped[i].count;
}

int source_start(struct source **out, const struct source_ops *ops, void *self, const char *name)
{
	struct source *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int err;

	if (!s)
		return log_fail(-ENOMEM, "source", "%s", name);
	s->ops = ops;
	s->self = self;
	snprintf(s->name, sizeof(s->name), "%s", name);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->handed, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&s->thread, NULL, run, s);
	if (err) {
		pthread_cond_destroy(&s->handed);
		pthread_mutex_destroy(&s->lock);
		free(s);
		return log_fail(-err, "source", "thread of %s", name);
	}
	*out = s;
	return 0;
}

void source_ask(struct source *s)
{
	atomic_store(&s->asked, 1);
}

int source_take(struct source *s, struct source_second *out)
{
	int64_t until_ns = clock_mono_ns() + TAKE_WAIT_NS;
	struct timespec until = {.tv_sec = until_ns / NS_PER_S, .tv_nsec = until_ns % NS_PER_S};
	int err = 0;

	pthread_mutex_lock(&s->lock);
	while (!s->ready && !err)
		err = pthread_cond_timedwait(&s->handed, &s->lock, &until);
	if (s->ready) {
		*out = s->second;
		s->ready = 0;
		err = 0;
	}
	pthread_mutex_unlock(&s->lock);
	return -err;
}

void source_second_free(struct source_second *second)
{
	free(second->rows);
	free(second->statuses);
	free(second->seen);
	free(second->heard);
	free(second->glimpses);
	*second = (struct source_second){0};
}

void source_close(struct source *s, struct source_second *rest)
{
	struct source_second last = {0};

	if (!s)
		return;
	atomic_store(&s->stop, 1);
	pthread_join(s->thread, NULL);
	take(s, &last);
	if (s->ready) {
		append(&s->second, &last);
		last = s->second;
	}
	s->ops->close(s->self);
	if (rest)
		*rest = last;
	else
		source_second_free(&last);
	pthread_cond_destroy(&s->handed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
