/* The store's front. store_put feeds the live ring and a queue; the writer thread takes from the
 * queue and owns the database's writing side; questions go to the ring or to the database's
 * readers.
 *
 * One lock for queue, sources, events and status, held for copies only, never across the disk.
 * When writing fails the writer keeps what it holds and tries again each second; the queue behind
 * it fills, and lets go of its oldest second when full, which later shows as a gap. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/bucket.h"
#include "store/db.h"
#include "store/filter.h"
#include "store/ids.h"
#include "store/ring.h"

#define ROOM           "store"
#define QUEUE_SECONDS  900
#define BATCH_SECONDS  60  /* at most so many in one transaction, when there is a backlog */
#define EVENTS_KEPT    256 /* in memory */
#define EVENTS_WAITING 64
#define RETRY_S        1
#define UTC_S_MAX      253402300799 /* 9999-12-31T23:59:59Z */

struct waiting { /* a second in the queue */
	struct bucket *bucket;
	const char *gap_reason; /* seconds before it were let go; NULL: none */
};
struct source_slot {
	struct db_source src; /* name "": free */
	int dirty;            /* not in the database yet */
};

struct batch { /* what one transaction writes */
	struct waiting seconds[BATCH_SECONDS];
	size_t n_seconds;
	struct db_source sources[STORE_SOURCES_MAX];
	size_t n_sources;
	uint16_t last_name[DB_NAME_KINDS]; /* written up to this one */
	struct store_event_row events[EVENTS_WAITING];
	size_t n_events;
};

struct store {
	char url[256];
	uint64_t max_size_bytes;
	struct db *db;
	struct ring *ring;
	pthread_t writer;
	int has_writer;
	struct batch batch; /* the writer's */

	pthread_mutex_t lock;
	pthread_cond_t work; /* for the writer */
	pthread_cond_t done; /* for those who wait in store_flush */
	int stop, retry_now;

	struct waiting queue[QUEUE_SECONDS];
	size_t queue_head, queue_len, in_hand;
	uint64_t put, settled; /* seconds handed over; committed or let go */
	uint64_t attempts;     /* transactions begun */
	int last_errno;        /* of the newest failure */
	int64_t paused_since_mono_ns;
	uint64_t lost_when_paused;

	struct source_slot sources[STORE_SOURCES_MAX];
	struct ids *names[DB_NAME_KINDS];           /* with a lock of their own */
	uint16_t written_names[DB_NAME_KINDS];      /* up to this number they are in the database */
	struct store_event_row events[EVENTS_KEPT]; /* newest last */
	size_t n_events;
	struct store_event_row waiting_events[EVENTS_WAITING];
	size_t n_waiting_events;

	struct bucket *newest; /* whole, for store_newest */
	struct db_figures figures;
	uint64_t lost_seconds;
	int paused;
	char last_error[160];
};

static void copy_text(char *to, size_t cap_bytes, const char *from)
{
	snprintf(to, cap_bytes, "%s", from);
}

void store_config_default(struct store_config *c)
{
	const uint32_t day_s = 86400;

	*c = (struct store_config){
		.max_size_bytes = 2ull << 30,
		.keep_10s_s = day_s,
		.keep_1m_s = 14 * day_s,
		.keep_10m_s = 90 * day_s,
		.keep_1h_s = 731 * day_s,
		.keep_health_s = 366 * day_s,
	};
}

/* --- events -------------------------------------------------------------------------------- */

static void keep_event(struct store *s, const struct store_event_row *e)
{
	if (s->n_events == EVENTS_KEPT) {
		memmove(s->events, s->events + 1, (EVENTS_KEPT - 1) * sizeof(s->events[0]));
		s->n_events--;
	}
	s->events[s->n_events++] = *e;
}

static void add_event_locked(struct store *s, const char *kind, const char *text)
{
	struct store_event_row e = {.utc_s = clock_utc_us() / US_PER_S};

	copy_text(e.kind, sizeof(e.kind), kind);
	copy_text(e.text, sizeof(e.text), text);
	keep_event(s, &e);
	if (s->n_waiting_events < EVENTS_WAITING) /* else it lives in memory only */
		s->waiting_events[s->n_waiting_events++] = e;
	pthread_cond_signal(&s->work);
}

void store_event(struct store *s, const char *kind, const char *text)
{
	pthread_mutex_lock(&s->lock);
	add_event_locked(s, kind, text);
	pthread_mutex_unlock(&s->lock);
}

size_t store_events(struct store *s, struct store_event_row *out, size_t cap)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->n_events < cap ? s->n_events : cap;
	for (size_t i = 0; i < n; i++)
		out[i] = s->events[s->n_events - 1 - i];
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void load_events(struct store *s)
{
	struct store_event_row newest_first[EVENTS_KEPT];
	size_t n = db_events(s->db, newest_first, EVENTS_KEPT);

	while (n)
		keep_event(s, &newest_first[--n]);
}

/* --- sources ------------------------------------------------------------------------------- */

static int find_source(const struct store *s, const char *name)
{
	char cut[sizeof(s->sources[0].src.name)];

	copy_text(cut, sizeof(cut), name);
	for (int i = 0; i < STORE_SOURCES_MAX; i++)
		if (s->sources[i].src.name[0] && strcmp(s->sources[i].src.name, cut) == 0)
			return i;
	return -ENOENT;
}

uint16_t store_source_id(struct store *s, const char *name, enum source_kind kind)
{
	int id;

	pthread_mutex_lock(&s->lock);
	id = find_source(s, name);
	for (int i = 1; id < 0 && i < STORE_SOURCES_MAX; i++)
		if (!s->sources[i].src.name[0])
			id = i;
	if (id > 0 && s->sources[id].src.kind != kind) { /* new, or another kind than it was */
		struct db_source *src = &s->sources[id].src;

		src->id = (uint16_t)id;
		src->kind = kind;
		copy_text(src->name, sizeof(src->name), name);
		s->sources[id].dirty = 1;
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
	return id > 0 ? (uint16_t)id : 0;
}

const char *store_source_name(struct store *s, uint16_t id)
{
	const char *name = "";

	pthread_mutex_lock(&s->lock);
	if (id < STORE_SOURCES_MAX)
		name = s->sources[id].src.name; /* never changes once it is there */
	pthread_mutex_unlock(&s->lock);
	return name;
}

int store_source_find(struct store *s, const char *name)
{
	int id;

	pthread_mutex_lock(&s->lock);
	id = find_source(s, name);
	pthread_mutex_unlock(&s->lock);
	return id;
}

static void load_source(void *arg, const struct db_source *src)
{
	struct store *s = arg;

	s->sources[src->id].src = *src;
}

/* --- sites and applications ------------------------------------------------------------------ */

uint16_t store_site_id(struct store *s, const char *name)
{
	return ids_make(s->names[DB_SITES], name);
}

const char *store_site_name(struct store *s, uint16_t id)
{
	return ids_name(s->names[DB_SITES], id);
}

int store_site_find(struct store *s, const char *name)
{
	return ids_find(s->names[DB_SITES], name);
}

uint16_t store_application_id(struct store *s, const char *name)
{
	return ids_make(s->names[DB_APPLICATIONS], name);
}

const char *store_application_name(struct store *s, uint16_t id)
{
	return ids_name(s->names[DB_APPLICATIONS], id);
}

int store_application_find(struct store *s, const char *name)
{
	return ids_find(s->names[DB_APPLICATIONS], name);
}

static void load_name(void *arg, uint16_t id, const char *name)
{
	ids_load(arg, id, name);
}

static int load_names(struct store *s)
{
	static const uint16_t max[DB_NAME_KINDS] = {
		[DB_SITES] = STORE_SITES_MAX, [DB_APPLICATIONS] = STORE_APPLICATIONS_MAX};

	for (int k = 0; k < DB_NAME_KINDS; k++) {
		s->names[k] = ids_open(max[k]);
		if (!s->names[k])
			return log_fail(-ENOMEM, ROOM, "open %s", s->url);
		db_names(s->db, (enum db_name_kind)k, load_name, s->names[k]);
		s->written_names[k] = ids_last(s->names[k]);
	}
	return 0;
}

/* Every application that a second names gets its number, which the database keeps beside it. */
static void name_applications(struct store *s, const struct bucket *b)
{
	for (size_t i = 0; i < b->n_claims; i++)
		if (strcmp(b->claims[i].application, STORE_OTHER) != 0)
			ids_make(s->names[DB_APPLICATIONS], b->claims[i].application);
	for (size_t i = 0; i < b->n_flows; i++)
		if (b->flows[i].claim_experiment >= 0)
			ids_make(s->names[DB_APPLICATIONS], b->flows[i].application);
}

/* --- the writer ---------------------------------------------------------------------------- */

/* Under the lock: seconds change owner, sources and events are copied until they are committed. */
static void take_batch(struct store *s, struct batch *b)
{
	while (b->n_seconds < BATCH_SECONDS && s->queue_len) {
		b->seconds[b->n_seconds++] = s->queue[s->queue_head];
		s->queue_head = (s->queue_head + 1) % QUEUE_SECONDS;
		s->queue_len--;
	}
	s->in_hand = b->n_seconds;
	b->n_sources = 0;
	for (size_t i = 0; i < STORE_SOURCES_MAX; i++)
		if (s->sources[i].dirty)
			b->sources[b->n_sources++] = s->sources[i].src;
	for (int k = 0; k < DB_NAME_KINDS; k++)
		b->last_name[k] = ids_last(s->names[k]);
	b->n_events = s->n_waiting_events;
	memcpy(b->events, s->waiting_events, b->n_events * sizeof(b->events[0]));
}

static int write_names(struct store *s, const struct batch *b)
{
	int err = 0;

	for (int k = 0; k < DB_NAME_KINDS; k++)
		for (uint32_t id = s->written_names[k] + 1u; id <= b->last_name[k] && !err; id++)
			err = db_put_name(s->db, (enum db_name_kind)k, (uint16_t)id,
					  ids_name(s->names[k], (uint16_t)id));
	return err;
}

static int write_batch(struct store *s, const struct batch *b, int first,
		       struct db_figures *figures)
{
	int err = db_begin(s->db);

	for (size_t i = 0; i < b->n_sources && !err; i++)
		err = db_put_source(s->db, &b->sources[i]);
	if (!err)
		err = write_names(s, b);
	for (size_t i = 0; i < b->n_events && !err; i++)
		err = db_put_event(s->db, &b->events[i]);
	for (size_t i = 0; i < b->n_seconds && !err; i++) {
		const char *reason = b->seconds[i].gap_reason;

		if (!reason)
			reason = first && i == 0 ? "not running" : "nothing handed over";
		err = db_put_second(s->db, b->seconds[i].bucket, reason);
	}
	if (!err)
		err = db_commit(s->db, figures);
	if (err)
		db_rollback(s->db);
	return err;
}

static void settle_batch(struct store *s, struct batch *b)
{
	for (size_t i = 0; i < b->n_seconds; i++)
		bucket_free(b->seconds[i].bucket);
	s->settled += b->n_seconds;
	b->n_seconds = 0;
	s->in_hand = 0;
	for (size_t i = 0; i < b->n_sources; i++) {
		struct source_slot *slot = &s->sources[b->sources[i].id];

		slot->dirty = slot->src.kind != b->sources[i].kind;
	}
	memcpy(s->written_names, b->last_name, sizeof(s->written_names));
	s->n_waiting_events -= b->n_events;
	memmove(s->waiting_events, s->waiting_events + b->n_events,
		s->n_waiting_events * sizeof(s->waiting_events[0]));
}

static void pause_writing(struct store *s, int err)
{
	char text[160];

	s->last_errno = err;
	copy_text(s->last_error, sizeof(s->last_error), db_error(s->db));
	if (s->paused)
		return;
	s->paused = 1;
	s->paused_since_mono_ns = clock_mono_ns();
	s->lost_when_paused = s->lost_seconds;
	snprintf(text, sizeof(text), "history is paused: %.120s", s->last_error);
	add_event_locked(s, "disk", text);
	log_msg(LOG_LEVEL_ERROR, ROOM, "%s; trying again each second", text);
}

static void resume_writing(struct store *s)
{
	char text[160];

	if (!s->paused)
		return;
	s->paused = 0;
	snprintf(text, sizeof(text), "history goes on after %" PRId64 " s; %" PRIu64 " s are lost",
		 (int64_t)((clock_mono_ns() - s->paused_since_mono_ns) / NS_PER_S),
		 s->lost_seconds - s->lost_when_paused);
	add_event_locked(s, "disk", text);
	log_msg(LOG_LEVEL_INFO, ROOM, "%s", text);
}

static int has_work(const struct store *s)
{
	if (s->queue_len || s->in_hand || s->n_waiting_events)
		return 1;
	for (size_t i = 0; i < STORE_SOURCES_MAX; i++)
		if (s->sources[i].dirty)
			return 1;
	for (int k = 0; k < DB_NAME_KINDS; k++)
		if (ids_last(s->names[k]) > s->written_names[k])
			return 1;
	return 0;
}

static void deadline_in(struct timespec *at, int ms)
{
	clock_gettime(CLOCK_MONOTONIC, at);
	at->tv_sec += ms / 1000;
	at->tv_nsec += ms % 1000 * 1000000L;
	if (at->tv_nsec >= 1000000000L) {
		at->tv_sec++;
		at->tv_nsec -= 1000000000L;
	}
}

/* Sleep until there is something to write, or until it is time to try again. */
static void wait_for_work(struct store *s)
{
	struct timespec at;

	while (!s->stop && !s->paused && !has_work(s))
		pthread_cond_wait(&s->work, &s->lock);
	deadline_in(&at, RETRY_S * 1000);
	while (!s->stop && s->paused && !s->retry_now)
		if (pthread_cond_timedwait(&s->work, &s->lock, &at) == ETIMEDOUT)
			break;
	s->retry_now = 0;
}

static void *writer_run(void *arg)
{
	struct store *s = arg;
	struct batch *b = &s->batch;
	int first = 1, err = 0;

	pthread_mutex_lock(&s->lock);
	while (!(s->stop && (!has_work(s) || err))) {
		struct db_figures figures;

		wait_for_work(s);
		if (!has_work(s))
			continue;
		take_batch(s, b);
		s->attempts++;
		pthread_mutex_unlock(&s->lock);
		err = write_batch(s, b, first, &figures);
		pthread_mutex_lock(&s->lock);
		if (err) {
			pause_writing(s, err);
		} else {
			first = first && !b->n_seconds;
			s->figures = figures;
			settle_batch(s, b);
			resume_writing(s);
		}
		pthread_cond_broadcast(&s->done);
	}
	if (err)
		log_msg(LOG_LEVEL_ERROR, ROOM, "%zu s of history could not be written",
			s->queue_len + s->in_hand);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int start_writer(struct store *s)
{
	sigset_t all, before;
	int err;

	sigfillset(&all); /* signals are for the program's own threads */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(&s->writer, NULL, writer_run, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->has_writer = !err;
	return -err;
}

/* --- open, put, close ---------------------------------------------------------------------- */

int store_open(struct store **out, const struct store_config *cfg)
{
	static const char scheme[] = "sqlite:";
	pthread_condattr_t monotonic;
	struct store *s;
	int err;

	if (!cfg->url || strncmp(cfg->url, scheme, strlen(scheme)) != 0 ||
	    !cfg->url[strlen(scheme)])
		return log_fail(-EPROTONOSUPPORT, ROOM, "%s: only sqlite:PATH is built in",
				cfg->url ? cfg->url : "(no URL)");
	s = calloc(1, sizeof(*s));
	if (!s)
		return log_fail(-ENOMEM, ROOM, "open %s", cfg->url);
	copy_text(s->url, sizeof(s->url), cfg->url);
	s->max_size_bytes = cfg->max_size_bytes;
	s->figures.committed_utc_s = s->figures.oldest_utc_s = CLOCK_NEVER;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &monotonic);
	pthread_cond_init(&s->done, &monotonic);
	pthread_condattr_destroy(&monotonic);

	s->ring = ring_open();
	if (!s->ring) {
		err = log_fail(-ENOMEM, ROOM, "open %s", cfg->url);
		goto fail;
	}
	err = db_open(&s->db, cfg->url + strlen(scheme), cfg, &s->figures);
	if (err)
		goto fail;
	db_sources(s->db, load_source, s);
	err = load_names(s);
	if (err)
		goto fail;
	load_events(s);
	err = start_writer(s);
	if (err) {
		log_fail(err, ROOM, "writer thread");
		goto fail;
	}
	*out = s;
	return 0;
fail:
	store_close(s);
	return err;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->has_writer) {
		pthread_mutex_lock(&s->lock);
		s->stop = 1;
		pthread_cond_signal(&s->work);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->writer, NULL);
	}
	for (size_t i = 0; i < s->batch.n_seconds; i++)
		bucket_free(s->batch.seconds[i].bucket);
	for (size_t i = 0; i < s->queue_len; i++)
		bucket_free(s->queue[(s->queue_head + i) % QUEUE_SECONDS].bucket);
	db_close(s->db);
	ring_close(s->ring);
	for (int k = 0; k < DB_NAME_KINDS; k++)
		ids_close(s->names[k]);
	bucket_free(s->newest);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->done);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void let_go_oldest(struct store *s)
{
	const char *reason = "disk too slow";

	if (s->paused)
		reason = s->last_errno == -ENOSPC ? "disk full" : "disk error";
	bucket_free(s->queue[s->queue_head].bucket);
	s->queue_head = (s->queue_head + 1) % QUEUE_SECONDS;
	s->queue_len--;
	s->queue[s->queue_head].gap_reason = reason;
	s->lost_seconds++;
	s->settled++;
}

void store_put(struct store *s, struct bucket *b)
{
	static struct log_limit limit;
	struct bucket *newest;

	if (b->start_utc_s < 0 || b->start_utc_s > UTC_S_MAX) {
		log_limited(&limit, LOG_LEVEL_ERROR, ROOM, "a second at %" PRId64 " is refused",
			    b->start_utc_s);
		bucket_free(b);
		return;
	}
	newest = bucket_join(
		s->newest && s->newest->start_utc_s == b->start_utc_s ? s->newest : NULL, b);
	if (!newest || ring_put(s->ring, b) < 0)
		log_limited(&limit, LOG_LEVEL_ERROR, ROOM, "no memory for the live ring");
	name_applications(s, b);

	pthread_mutex_lock(&s->lock);
	bucket_free(s->newest);
	s->newest = newest;
	s->put++;
	if (s->queue_len + s->in_hand >= QUEUE_SECONDS)
		let_go_oldest(s);
	s->queue[(s->queue_head + s->queue_len++) % QUEUE_SECONDS] = (struct waiting){.bucket = b};
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

int store_flush(struct store *s, int timeout_ms)
{
	struct timespec at;
	uint64_t target, attempts;
	int err = 0;

	deadline_in(&at, timeout_ms);
	pthread_mutex_lock(&s->lock);
	target = s->put;
	attempts = s->attempts;
	s->retry_now = 1;
	pthread_cond_signal(&s->work);
	while (!err && (s->settled < target || s->n_waiting_events)) {
		if (s->paused && s->attempts > attempts)
			err = s->last_errno; /* tried again, in vain */
		else
			err = -pthread_cond_timedwait(&s->done, &s->lock, &at);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* --- questions ----------------------------------------------------------------------------- */

static int query_ring(struct store *s, const struct store_query *q, struct store_result **out)
{
	struct series *series = series_open(q->from_utc_s, q->to_utc_s, q->step_s, q->group);
	int64_t oldest_utc_s;
	int err;

	if (!series)
		return -ENOMEM;
	err = ring_query(s->ring, q, series, &oldest_utc_s);
	if (oldest_utc_s == CLOCK_NEVER)
		oldest_utc_s = q->to_utc_s;
	if (!err)
		err = series_add_gap(series, q->from_utc_s, oldest_utc_s, "not in memory");
	if (err) {
		series_free(series);
		return err;
	}
	return series_take(series, q->limit, out);
}

static int bad_range(int64_t from_utc_s, int64_t to_utc_s)
{
	return from_utc_s < 0 || to_utc_s > UTC_S_MAX || from_utc_s >= to_utc_s;
}

int store_query(struct store *s, const struct store_query *q, struct store_result **out)
{
	uint32_t step_s = q->step_s, dims = q->group | filter_dims(q->filter);
	struct store_query whole = *q;
	char why[128];
	int table = q->table ? (int)q->table : store_table_of(dims, why, sizeof(why));

	if (bad_range(q->from_utc_s, q->to_utc_s) || table < 0 ||
	    !store_table_knows((enum store_table)table, dims))
		return -EINVAL;
	whole.table = (enum store_table)table;
	if (step_s % 10 == 0 || table != STORE_TABLE_TRAFFIC)
		return db_query(s->db, &whole, out);
	whole.from_utc_s -= whole.from_utc_s % step_s;
	whole.to_utc_s += (step_s - whole.to_utc_s % step_s) % step_s;
	if ((whole.to_utc_s - whole.from_utc_s) / step_s > SERIES_POINTS_MAX)
		return -E2BIG;
	return query_ring(s, &whole, out);
}

int store_histogram(struct store *s, enum histogram_kind kind, int64_t from_utc_s, int64_t to_utc_s,
		    uint32_t group, const struct filter *filter, struct store_histograms **out)
{
	const uint32_t known = DIM_BIT(DIM_EXPERIMENT) | DIM_BIT(DIM_ACTIVITY);

	if (bad_range(from_utc_s, to_utc_s) || (group | filter_dims(filter)) & ~known)
		return -EINVAL;
	return db_histogram(s->db, kind, from_utc_s, to_utc_s, group, filter, out);
}

int store_label_flows(struct store *s, int64_t from_utc_s, int64_t to_utc_s,
		      struct store_label_flows **out)
{
	if (bad_range(from_utc_s, to_utc_s))
		return -EINVAL;
	return db_label_flows(s->db, from_utc_s, to_utc_s, out);
}

int store_flows(struct store *s, const struct store_flow_query *q, struct store_flows **out)
{
	if (bad_range(q->from_utc_s, q->to_utc_s) || q->limit > STORE_FLOWS_MAX)
		return -EINVAL;
	return db_flows(s->db, q, out);
}

struct traffic_key flow_row_key(struct store *s, const struct flow_row *f)
{
	struct traffic_key key = bucket_flow_key(f);
	int application = ids_find(s->names[DB_APPLICATIONS], f->application);

	key.application = application > 0 ? (uint16_t)application : 0;
	return key;
}

struct bucket *store_newest(struct store *s)
{
	struct bucket *b;

	pthread_mutex_lock(&s->lock);
	b = s->newest ? bucket_join(NULL, s->newest) : NULL;
	pthread_mutex_unlock(&s->lock);
	return b;
}

struct bucket *store_second(struct store *s, int64_t utc_s)
{
	return ring_second(s->ring, utc_s);
}

void store_status(struct store *s, struct store_status *out)
{
	pthread_mutex_lock(&s->lock);
	*out = (struct store_status){
		.committed_utc_s = s->figures.committed_utc_s,
		.oldest_utc_s = s->figures.oldest_utc_s,
		.file_bytes = s->figures.file_bytes,
		.max_size_bytes = s->max_size_bytes,
		.queued = (uint32_t)(s->queue_len + s->in_hand),
		.lost_seconds = s->lost_seconds,
		.trimmed_rows = s->figures.trimmed_rows,
		.paused = s->paused,
	};
	copy_text(out->url, sizeof(out->url), s->url);
	copy_text(out->last_error, sizeof(out->last_error), s->last_error);
	pthread_mutex_unlock(&s->lock);
}
