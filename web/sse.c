#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "web/sse.h"

static const char greeting[] = "retry: 2000\n\n"; /* ms, for EventSource */

/* One second as it goes over the wire; shared by all who read it. */
struct event {
	int64_t utc_s;
	size_t len_bytes;
	unsigned int holders; /* under sse.lock */
	char text[];
};

struct sse_reader {
	struct sse *sse;
	struct sse_reader *next;
	void (*sleep)(void *arg);
	void (*wake)(void *arg);
	void *arg;
	int asleep;
	int64_t next_utc_s;  /* the first second not yet given */
	unsigned int owed;   /* seconds published while it read, and not yet taken */
	uint64_t pings;      /* of sse.pings, given */
	struct event *event; /* being given; NULL none */
	const char *text;    /* or a static text being given */
	size_t given_bytes;
};

struct sse {
	const struct api *api;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t pinger;
	unsigned int ping_s;
	int stopping, pinger_runs;
	int64_t newest_utc_s;
	uint64_t pings;
	size_t n_readers;
	struct sse_reader *readers;
	struct event *kept[SSE_KEPT]; /* by second modulo SSE_KEPT; NULL none */
};

static void wake_all(struct sse *s)
{
	for (struct sse_reader *r = s->readers; r; r = r->next) {
		if (!r->asleep)
			continue;
		r->asleep = 0;
		r->wake(r->arg);
	}
}

/* --- events ------------------------------------------------------------------------------------- */

static void give_back(struct event *e)
{
	if (e && --e->holders == 0)
		free(e);
}

/* Held once. NULL: no memory. */
static struct event *make_event(const struct api *api, const struct live_second *second,
				const struct bucket *rows)
{
	char *data = api_tick(api, rows, second), *text;
	struct event *e = NULL;
	int len;

	if (!data)
		return NULL;
	len = asprintf(&text, "id: %lld\nevent: tick\ndata: %s\n\n", (long long)second->utc_s,
		       data);
	free(data);
	if (len < 0)
		return NULL;
	e = malloc(sizeof(*e) + (size_t)len);
	if (e) {
		*e = (struct event){second->utc_s, (size_t)len, 1};
		memcpy(e->text, text, (size_t)len);
	}
	free(text);
	return e;
}

/* A second that has gone by, from the store's ring; NULL: it is not there. Needs no lock. */
static struct event *remake_event(const struct api *api, int64_t utc_s)
{
	struct live_second second;
	struct bucket *rows;
	struct event *e;

	if (live_find(api->live, utc_s, &second))
		return NULL;
	rows = store_second(api->store, utc_s);
	if (!rows)
		return NULL;
	e = make_event(api, &second, rows);
	bucket_free(rows);
	return e;
}

static struct event **kept_at(struct sse *s, int64_t utc_s)
{
	return &s->kept[(uint64_t)utc_s % SSE_KEPT];
}

/* --- the stream --------------------------------------------------------------------------------- */

/* A line now and then, so that nobody in between takes silence for the end. */
static void *ping(void *arg)
{
	struct sse *s = arg;
	struct timespec until;

	pthread_mutex_lock(&s->lock);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += s->ping_s;
	while (!s->stopping) {
		int64_t newest_utc_s = s->newest_utc_s;
		int err = pthread_cond_timedwait(&s->changed, &s->lock, &until);

		if (err != ETIMEDOUT && newest_utc_s == s->newest_utc_s)
			continue;
		if (err == ETIMEDOUT) {
			s->pings++;
			wake_all(s);
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += s->ping_s;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int sse_open(struct sse **out, const struct api *api, unsigned int ping_s)
{
	struct sse *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int err;

	if (!s)
		return -ENOMEM;
	s->api = api;
	s->ping_s = ping_s ? ping_s : SSE_PING_S;
	s->newest_utc_s = CLOCK_NEVER;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&s->pinger, NULL, ping, s);
	if (err) {
		sse_close(s);
		return log_fail(-err, "web", "start the live stream");
	}
	s->pinger_runs = 1;
	*out = s;
	return 0;
}

void sse_stop(struct sse *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = 1;
	wake_all(s);
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void sse_close(struct sse *s)
{
	if (!s)
		return;
	if (s->pinger_runs) {
		sse_stop(s);
		pthread_join(s->pinger, NULL);
	}
	for (size_t i = 0; i < SSE_KEPT; i++)
		give_back(s->kept[i]);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void sse_publish(struct sse *s, const struct live_second *second, const struct bucket *rows)
{
	struct event *e = NULL;
	int wanted;

	pthread_mutex_lock(&s->lock);
	wanted = s->readers != NULL;
	pthread_mutex_unlock(&s->lock);
	if (wanted)
		e = make_event(s->api, second, rows);
	pthread_mutex_lock(&s->lock);
	if (e) {
		give_back(*kept_at(s, e->utc_s));
		*kept_at(s, e->utc_s) = e;
	}
	s->newest_utc_s = second->utc_s;
	for (struct sse_reader *r = s->readers; r; r = r->next)
		r->owed++;
	wake_all(s);
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* --- readers -------------------------------------------------------------------------------------- */

int sse_reader_open(struct sse_reader **out, struct sse *s, int64_t after_utc_s,
		    void (*sleep)(void *arg), void (*wake)(void *arg), void *arg)
{
	struct sse_reader *r = calloc(1, sizeof(*r));
	int err = 0;

	if (!r)
		return -ENOMEM;
	*r = (struct sse_reader){
		.sse = s, .sleep = sleep, .wake = wake, .arg = arg, .text = greeting};
	pthread_mutex_lock(&s->lock);
	if (s->stopping) {
		err = -ESHUTDOWN;
	} else if (s->n_readers == SSE_READERS_MAX) {
		err = -EAGAIN;
	} else {
		/* a newcomer begins with the newest second, so that there is something to see at once */
		r->next_utc_s = after_utc_s == CLOCK_NEVER ? s->newest_utc_s : after_utc_s + 1;
		r->pings = s->pings;
		r->next = s->readers;
		s->readers = r;
		s->n_readers++;
	}
	pthread_mutex_unlock(&s->lock);
	if (err) {
		free(r);
		return err;
	}
	*out = r;
	return 0;
}

void sse_reader_close(struct sse_reader *r)
{
	struct sse *s = r->sse;

	pthread_mutex_lock(&s->lock);
	for (struct sse_reader **at = &s->readers; *at; at = &(*at)->next) {
		if (*at == r) {
			*at = r->next;
			s->n_readers--;
			break;
		}
	}
	give_back(r->event);
	pthread_mutex_unlock(&s->lock);
	free(r);
}

/* Finds the next event; lets go of the lock while it makes one. */
static void next_event(struct sse_reader *r)
{
	struct sse *s = r->sse;

	if (s->newest_utc_s == CLOCK_NEVER)
		return;
	if (r->next_utc_s <= s->newest_utc_s - LIVE_SECONDS || r->next_utc_s > s->newest_utc_s + 1)
		r->next_utc_s =
			s->newest_utc_s - LIVE_SECONDS + 1; /* too old, or of another clock */
	while (!r->event && !s->stopping && r->next_utc_s <= s->newest_utc_s) {
		int64_t utc_s = r->next_utc_s++;
		struct event *kept = *kept_at(s, utc_s);

		if (kept && kept->utc_s == utc_s) {
			kept->holders++;
			r->event = kept;
		} else {
			pthread_mutex_unlock(&s->lock);
			r->event = remake_event(s->api, utc_s);
			pthread_mutex_lock(&s->lock);
		}
	}
}

static size_t copy_out(struct sse_reader *r, char *buf, size_t cap_bytes)
{
	const char *from = r->text ? r->text : r->event->text;
	size_t len_bytes = r->text ? strlen(r->text) : r->event->len_bytes;
	size_t n = len_bytes - r->given_bytes < cap_bytes ? len_bytes - r->given_bytes : cap_bytes;

	memcpy(buf, from + r->given_bytes, n);
	r->given_bytes += n;
	if (r->given_bytes < len_bytes)
		return n;
	r->given_bytes = 0;
	r->pings = r->sse->pings; /* anything said is as good as a ping */
	if (r->text) {
		r->text = NULL;
	} else {
		give_back(r->event);
		r->event = NULL;
		r->owed -= r->owed > 0;
	}
	return n;
}

ssize_t sse_read(struct sse_reader *r, char *buf, size_t cap_bytes)
{
	struct sse *s = r->sse;
	ssize_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (!r->text && !r->event)
		next_event(r);
	if (!r->text && !r->event && r->pings != s->pings)
		r->text = ": ping\n\n";
	if (s->stopping) {
		n = -ESHUTDOWN;
	} else if (r->owed > SSE_OWED_MAX) {
		n = -ETIMEDOUT;
	} else if (r->text || r->event) {
		n = (ssize_t)copy_out(r, buf, cap_bytes);
	} else {
		r->owed = 0;
		r->asleep = 1;
		r->sleep(r->arg);
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}
