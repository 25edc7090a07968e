#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "web/live.h"

struct loss { /* of one source, since start */
	uint64_t received, dropped, lost;
};
struct moment { /* the losses of all sources at one second */
	int64_t utc_s;
	struct loss by_source[STORE_SOURCES_MAX + 1];
};

struct live {
	pthread_mutex_t lock;
	struct live_second seconds[LIVE_SECONDS];  /* by second modulo LIVE_SECONDS */
	struct moment moments[LIVE_LOSS_WINDOW_S]; /* likewise */
};

const char *live_status_name(enum live_status s)
{
	return s == LIVE_OK ? "ok" : s == LIVE_DEGRADED ? "degraded" : "down";
}

struct live *live_open(void)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	for (size_t i = 0; i < LIVE_SECONDS; i++)
		l->seconds[i].utc_s = CLOCK_NEVER;
	for (size_t i = 0; i < LIVE_LOSS_WINDOW_S; i++)
		l->moments[i].utc_s = CLOCK_NEVER;
	return l;
}

void live_close(struct live *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static uint64_t reasons_sum(const struct source_reason *reasons, size_t cap)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < cap && reasons[i].name; i++)
		sum += reasons[i].count;
	return sum;
}

static struct loss loss_of(const struct source_status *s)
{
	return (struct loss){s->received, reasons_sum(s->dropped, 4), s->lost};
}

static void __attribute__((format(printf, 2, 3)))
say(struct live_reasons *why, const char *fmt, ...)
{
	va_list args;

	if (!why || why->n == LIVE_REASONS_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(why->text[why->n++], LIVE_REASON_BYTES, fmt, args);
	va_end(args);
}

/* Sentences on what was lost since the second `then`; returns how many. */
static int judge_loss(const struct source_status *s, const struct loss *then,
		      struct live_reasons *why)
{
	struct loss now = loss_of(s);
	double dropped = (double)now.dropped - (double)then->dropped;
	double lost = (double)now.lost - (double)then->lost;
	double arrived = (double)now.received - (double)then->received;
	int n = 0;

	/* a counter that went back has started anew */
	if (arrived < 0 || dropped < 0)
		return 0;
	if (dropped > arrived * LIVE_LOSS_SHARE) {
		say(why, "%s dropped %.0f of %.0f %s in the last minute", s->name, dropped, arrived,
		    s->unit);
		n++;
	}
	if (lost > (arrived + lost) * LIVE_LOSS_SHARE) {
		say(why, "%.0f datagrams of %s were lost on their way in the last minute", lost,
		    s->name);
		n++;
	}
	return n;
}

static int is_input(const struct source_status *s)
{
	return s->kind != SOURCE_SFLOW_AGENT;
}

static enum live_status judge(const struct bucket *b, const struct moment *then,
			      struct live_reasons *why)
{
	size_t inputs = 0, inputs_up = 0, wrong = 0;

	for (size_t i = 0; i < b->n_sources; i++) {
		const struct source_status *s = &b->sources[i];

		inputs += (size_t)is_input(s);
		inputs_up += (size_t)(is_input(s) && s->up);
		if (is_input(s) && !s->up) {
			say(why, "%s is down%s%s", s->name, s->detail[0] ? ": " : "", s->detail);
			wrong++;
		}
		if (then && s->id <= STORE_SOURCES_MAX)
			wrong += (size_t)judge_loss(s, &then->by_source[s->id], why);
	}
	if (inputs && !inputs_up)
		return LIVE_DOWN;
	return wrong ? LIVE_DEGRADED : LIVE_OK;
}

/* The losses of a minute before utc_s, of less when we do not run so long; NULL: none known. */
static const struct moment *moment_before(const struct live *l, int64_t utc_s)
{
	for (int64_t t = utc_s - LIVE_LOSS_WINDOW_S; t < utc_s; t++) {
		const struct moment *m = &l->moments[(uint64_t)t % LIVE_LOSS_WINDOW_S];

		if (m->utc_s == t)
			return m;
	}
	return NULL;
}

enum live_status live_judge(struct live *l, const struct bucket *b, struct live_reasons *why)
{
	enum live_status status;

	if (!l)
		return judge(b, NULL, why);
	pthread_mutex_lock(&l->lock);
	status = judge(b, moment_before(l, b->start_utc_s), why);
	pthread_mutex_unlock(&l->lock);
	return status;
}

struct live_second live_add(struct live *l, const struct bucket *b)
{
	struct live_second s = {.utc_s = b->start_utc_s};
	struct moment *m;

	for (size_t i = 0; i < b->n_claims; i++) {
		s.starts += b->claims[i].starts;
		s.ongoings += b->claims[i].ongoings;
		s.ends += b->claims[i].ends;
	}
	for (size_t i = 0; i < b->n_sources; i++) {
		const struct source_status *status = &b->sources[i];

		s.lost += status->lost;
		if (!is_input(status))
			continue;
		s.sources++;
		s.sources_up += status->up != 0;
		s.received += status->received;
		s.accepted += status->accepted;
		s.rejected += reasons_sum(status->rejected, STORE_REASONS_MAX);
		s.dropped += reasons_sum(status->dropped, 4);
	}
	pthread_mutex_lock(&l->lock);
	s.status = judge(b, moment_before(l, b->start_utc_s), NULL);
	m = &l->moments[(uint64_t)b->start_utc_s % LIVE_LOSS_WINDOW_S];
	m->utc_s = b->start_utc_s;
	for (size_t i = 0; i < b->n_sources; i++)
		if (b->sources[i].id <= STORE_SOURCES_MAX)
			m->by_source[b->sources[i].id] = loss_of(&b->sources[i]);
	l->seconds[(uint64_t)s.utc_s % LIVE_SECONDS] = s;
	pthread_mutex_unlock(&l->lock);
	return s;
}

int live_find(struct live *l, int64_t utc_s, struct live_second *out)
{
	int err = -ENOENT;

	pthread_mutex_lock(&l->lock);
	if (l->seconds[(uint64_t)utc_s % LIVE_SECONDS].utc_s == utc_s) {
		*out = l->seconds[(uint64_t)utc_s % LIVE_SECONDS];
		err = 0;
	}
	pthread_mutex_unlock(&l->lock);
	return err;
}
