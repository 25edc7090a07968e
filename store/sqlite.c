/* One connection writes, a few read (sqlite_query.c). WAL with synchronous=FULL: what is committed
 * survives a crash; readers never wait for the writer. All statements of the writer are prepared
 * once. State that mirrors the database is kept twice, and the copy thrown away with a failed
 * transaction. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/sqlite.h"
#include "store/value.h"

#define ROOM            "store"
#define SCHEMA_VERSION  1
#define APPLICATION_ID  0x53635467 /* "ScTg", for file(1) */
#define BUSY_TIMEOUT_MS 5000

/* The schema, as a string; the path is seen from the root, where the compiler runs. */
__asm__(".pushsection .rodata\n"
	"store_schema: .incbin \"store/schema.sql\"\n"
	"	.byte 0\n"
	".popsection\n");
extern const char store_schema[] __attribute__((visibility("hidden")));

const struct level levels[LEVELS] = {
	{"10s", 10}, {"1m", 60}, {"10m", 600}, {"1h", 3600}, {"1d", 86400},
};
const int claim_levels[CLAIM_LEVELS] = {1, 3, 4};

/* --- small things -------------------------------------------------------------------------- */

int sqlite_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

int sqlite_fail(struct db *db, int rc)
{
	snprintf(db->error, sizeof(db->error), "%s", sqlite3_errmsg(db->handle));
	return sqlite_errno(rc);
}

int sqlite_run(struct db *db, const char *sql)
{
	int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : sqlite_fail(db, rc);
}

static int __attribute__((format(printf, 3, 0)))
prepare(struct db *db, struct sqlite3_stmt **out, const char *format, va_list args)
{
	char sql[4096];
	int rc;

	vsnprintf(sql, sizeof(sql), format, args);
	rc = sqlite3_prepare_v2(db->handle, sql, -1, out, NULL);
	return rc == SQLITE_OK ? 0 : sqlite_fail(db, rc);
}

int sqlite_run_range(struct db *db, int64_t a, int64_t b, const char *format, ...)
{
	sqlite3_stmt *st = NULL;
	va_list args;
	int rc, err;

	va_start(args, format);
	err = prepare(db, &st, format, args);
	va_end(args);
	if (err)
		return err;
	sqlite3_bind_int64(st, 1, a);
	sqlite3_bind_int64(st, 2, b);
	rc = sqlite3_step(st);
	err = rc == SQLITE_DONE ? 0 : sqlite_fail(db, rc);
	sqlite3_finalize(st);
	return err;
}

int sqlite_number(struct db *db, int64_t *out, int64_t none, const char *format, ...)
{
	sqlite3_stmt *st = NULL;
	va_list args;
	int rc, err;

	va_start(args, format);
	err = prepare(db, &st, format, args);
	va_end(args);
	if (err)
		return err;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
		*out = sqlite3_column_int64(st, 0);
	else if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		*out = none;
	else
		err = sqlite_fail(db, rc);
	sqlite3_finalize(st);
	return err;
}

static void sum_step(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	int64_t *sum = sqlite3_aggregate_context(ctx, sizeof(*sum));

	if (sum)
		*sum = (int64_t)value_sum((uint64_t)*sum, (uint64_t)sqlite3_value_int64(argv[0]));
}

static void sum_final(sqlite3_context *ctx)
{
	int64_t *sum = sqlite3_aggregate_context(ctx, sizeof(*sum));

	sqlite3_result_int64(ctx, sum ? *sum : 0);
}

static void add_clamped(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	sqlite3_result_int64(ctx, (int64_t)value_sum((uint64_t)sqlite3_value_int64(argv[0]),
						     (uint64_t)sqlite3_value_int64(argv[1])));
}

static int add_functions(struct db *db)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
	int rc = sqlite3_create_function(db->handle, "sum_clamped", 1, flags, NULL, NULL, sum_step,
					 sum_final);

	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(db->handle, "add_clamped", 2, flags, NULL, add_clamped,
					     NULL, NULL);
	return rc == SQLITE_OK ? 0 : sqlite_fail(db, rc);
}

/* --- open and close ------------------------------------------------------------------------ */

static int in_memory(const struct db *db)
{
	return db->lock_fd < 0;
}

int sqlite_connect(const struct db *db, struct sqlite3 **out)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	int rc;

	if (in_memory(db))
		flags |= SQLITE_OPEN_URI;
	rc = sqlite3_open_v2(db->path, out, flags, NULL);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_busy_timeout(*out, BUSY_TIMEOUT_MS);
	return sqlite3_exec(*out, "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;", NULL,
			    NULL, NULL);
}

/* One observer a file: two would count everything twice. The lock is a file of its own, because
 * closing any descriptor of the database would drop SQLite's own locks (fcntl(2)). */
static int take_lock(struct db *db)
{
	char path[sizeof(db->path) + 8];
	int err;

	snprintf(path, sizeof(path), "%s-lock", db->path);
	db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (db->lock_fd < 0) {
		err = -errno;
		return log_fail(err, ROOM, "open %s", path);
	}
	if (flock(db->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return log_fail(-EBUSY, ROOM, "%s is written by another observer", db->path);
	return 0;
}

/* Is the file ours to write? Looks only: what is refused stays as it is. */
static int check_schema(struct db *db, int *is_new)
{
	int64_t version, tables;
	int err = sqlite_number(db, &version, 0, "PRAGMA user_version");

	if (!err)
		err = sqlite_number(db, &tables, 0, "SELECT count(*) FROM sqlite_schema");
	if (err)
		return err;
	*is_new = tables == 0;
	if (version == SCHEMA_VERSION || *is_new)
		return 0;
	if (version > SCHEMA_VERSION)
		snprintf(db->error, sizeof(db->error),
			 "its schema is version %" PRId64 ", this program knows up to %d", version,
			 SCHEMA_VERSION);
	else
		snprintf(db->error, sizeof(db->error), "not a database of this program");
	return -EPROTONOSUPPORT;
}

static int create_schema(struct db *db)
{
	char sql[256];
	int err = sqlite_run(db, "BEGIN IMMEDIATE");

	snprintf(sql, sizeof(sql),
		 "INSERT INTO meta VALUES ('created_utc_s', %" PRId64 ");"
		 "PRAGMA user_version = %d; PRAGMA application_id = %d; COMMIT;",
		 (int64_t)(clock_utc_us() / US_PER_S), SCHEMA_VERSION, APPLICATION_ID);
	if (!err)
		err = sqlite_run(db, store_schema);
	return err ? err : sqlite_run(db, sql);
}

static int load_state(struct db *db)
{
	struct db_state *state = db->saved;
	int err = sqlite_number(db, &state->committed_utc_s, CLOCK_NEVER,
				"SELECT value FROM meta WHERE key = 'committed_utc_s'");

	for (int i = 0; i < LEVELS && !err; i++) {
		err = sqlite_number(db, &state->levels.closed_utc_s[i], CLOCK_NEVER,
				    "SELECT closed_utc_s FROM levels WHERE name = '%s'",
				    levels[i].name);
		if (!err)
			err = sqlite_number(db, &state->levels.kept_from_utc_s[i], 0,
					    "SELECT kept_from_utc_s FROM levels WHERE name = '%s'",
					    levels[i].name);
	}
	return err;
}

static const char *const statement_text[ST_CLAIM] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_META] = "INSERT OR REPLACE INTO meta VALUES (?, ?)",
	[ST_LEVEL] = "INSERT OR REPLACE INTO levels VALUES (?, ?, ?, ?)",
	[ST_SOURCE] = "INSERT INTO sources (id, name, kind) VALUES (?, ?, ?) "
		      "ON CONFLICT (id) DO UPDATE SET kind = excluded.kind",
	[ST_SOURCE_SEEN] = "UPDATE sources SET last_seen_utc_s = ?2, "
			   "first_seen_utc_s = ifnull(first_seen_utc_s, ?3) WHERE id = ?1",
	[ST_EVENT] = "INSERT INTO events (utc_s, kind, text) VALUES (?, ?, ?)",
	[ST_GAP] = "INSERT OR REPLACE INTO gaps VALUES (?, ?, ?)",
	[ST_HEALTH] = "INSERT INTO source_health_1m VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
		      "ON CONFLICT DO UPDATE SET "
		      "up_s = add_clamped(up_s, excluded.up_s), "
		      "received = add_clamped(received, excluded.received), "
		      "accepted = add_clamped(accepted, excluded.accepted), "
		      "rejected = add_clamped(rejected, excluded.rejected), "
		      "dropped = add_clamped(dropped, excluded.dropped), "
		      "bytes = add_clamped(bytes, excluded.bytes), "
		      "lost = add_clamped(lost, excluded.lost), "
		      "agent_drops = add_clamped(agent_drops, excluded.agent_drops), "
		      "sampling_rate = excluded.sampling_rate, "
		      "effective_rate = excluded.effective_rate",
	[ST_REASON] = "INSERT INTO source_reasons_1m VALUES (?, ?, ?, ?, ?) "
		      "ON CONFLICT DO UPDATE SET count = add_clamped(count, excluded.count)",
};
static const char claim_text[] = "INSERT INTO claims_%s VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
				 "ON CONFLICT DO UPDATE SET " SQL_CLAIMS_ADD;
static const char traffic_text[] =
	"INSERT INTO traffic_%s VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
	"ON CONFLICT DO UPDATE SET " SQL_TRAFFIC_ADD ", codes = max(codes, excluded.codes)";

static int prepare_all(struct db *db)
{
	for (int i = 0; i < ST_COUNT; i++) {
		char sql[1024];
		int rc;

		if (i < ST_CLAIM)
			snprintf(sql, sizeof(sql), "%s", statement_text[i]);
		else if (i < ST_TRAFFIC)
			snprintf(sql, sizeof(sql), claim_text,
				 levels[claim_levels[i - ST_CLAIM]].name);
		else
			snprintf(sql, sizeof(sql), traffic_text, levels[i - ST_TRAFFIC].name);
		rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
					&db->statements[i], NULL);
		if (rc != SQLITE_OK)
			return sqlite_fail(db, rc);
	}
	return 0;
}

static int open_handle(struct db *db)
{
	int rc = sqlite_connect(db, &db->handle);
	int err, is_new = 0;

	if (rc != SQLITE_OK) {
		err = sqlite_fail(db, rc);
		return err == -EACCES && sqlite3_system_errno(db->handle) == ENOENT ? -ENOENT : err;
	}
	err = add_functions(db);
	if (!err)
		err = check_schema(db, &is_new);
	if (!err)
		err = sqlite_run(db, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; "
				     "PRAGMA synchronous = FULL; "
				     "PRAGMA journal_size_limit = 8388608;");
	if (!err && is_new)
		err = create_schema(db);
	if (!err)
		err = load_state(db);
	return err ? err : prepare_all(db);
}

static int figures_of(struct db *db, const struct db_state *state, struct db_figures *out);

int db_open(struct db **out, const char *path, const struct store_config *cfg,
	    struct db_figures *figures)
{
	static atomic_uint memory_names;
	struct db *db = calloc(1, sizeof(*db));
	int err = -ENOMEM;

	if (!db)
		return log_fail(-ENOMEM, ROOM, "open %s", path);
	db->cfg = *cfg;
	db->lock_fd = -1;
	pthread_mutex_init(&db->readers_lock, NULL);
	pthread_cond_init(&db->reader_free, NULL);
	db->saved = calloc(1, sizeof(*db->saved));
	db->work = calloc(1, sizeof(*db->work));
	if (!db->saved || !db->work) {
		log_fail(err, ROOM, "open %s", path);
		goto fail;
	}
	if (strcmp(path, ":memory:") == 0) {
		snprintf(db->path, sizeof(db->path), "file:/scitag-%u?vfs=memdb",
			 atomic_fetch_add(&memory_names, 1));
	} else {
		if (snprintf(db->path, sizeof(db->path), "%s", path) >= (int)sizeof(db->path)) {
			err = log_fail(-ENAMETOOLONG, ROOM, "open %s", path);
			goto fail;
		}
		err = take_lock(db);
		if (err)
			goto fail;
	}
	err = open_handle(db);
	if (!err)
		err = readers_open(db);
	if (!err)
		err = figures_of(db, db->saved, figures);
	if (err) {
		log_msg(LOG_LEVEL_ERROR, ROOM, "open %s: %s", path,
			db->error[0] ? db->error : strerror(-err));
		goto fail;
	}
	*out = db;
	return 0;
fail:
	db_close(db);
	return err;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	readers_close(db);
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->handle);
	if (db->lock_fd >= 0)
		close(db->lock_fd);
	pthread_mutex_destroy(&db->readers_lock);
	pthread_cond_destroy(&db->reader_free);
	free(db->saved);
	free(db->work);
	free(db);
}

const char *db_error(const struct db *db)
{
	return db->error;
}

int db_sources(struct db *db, void (*each)(void *arg, const struct db_source *src), void *arg)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->handle, "SELECT id, name, kind FROM sources ORDER BY id",
				    -1, &st, NULL);

	while (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		struct db_source src = {.kind = (enum source_kind)sqlite3_column_int(st, 2)};
		int64_t id = sqlite3_column_int64(st, 0);

		if (id < 0 || id >= STORE_SOURCES_MAX)
			continue;
		src.id = (uint16_t)id;
		snprintf(src.name, sizeof(src.name), "%s",
			 (const char *)sqlite3_column_text(st, 1));
		each(arg, &src);
	}
	rc = sqlite3_finalize(st);
	return rc == SQLITE_OK ? 0 : sqlite_fail(db, rc);
}

size_t db_events(struct db *db, struct store_event_row *out, size_t cap)
{
	sqlite3_stmt *st = NULL;
	size_t n = 0;
	int rc = sqlite3_prepare_v2(db->handle,
				    "SELECT utc_s, kind, text FROM events ORDER BY id DESC LIMIT ?",
				    -1, &st, NULL);

	sqlite3_bind_int64(st, 1, (int64_t)cap);
	while (rc == SQLITE_OK && n < cap && sqlite3_step(st) == SQLITE_ROW) {
		struct store_event_row *e = &out[n++];

		e->utc_s = sqlite3_column_int64(st, 0);
		snprintf(e->kind, sizeof(e->kind), "%s", (const char *)sqlite3_column_text(st, 1));
		snprintf(e->text, sizeof(e->text), "%s", (const char *)sqlite3_column_text(st, 2));
	}
	sqlite3_finalize(st);
	return n;
}

/* --- one transaction ----------------------------------------------------------------------- */

static int step(struct db *db, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);
	int err = rc == SQLITE_DONE ? 0 : sqlite_fail(db, rc);

	sqlite3_reset(st);
	return err;
}

static void bind_numbers(sqlite3_stmt *st, int first, const int64_t *numbers, int n)
{
	for (int i = 0; i < n; i++)
		sqlite3_bind_int64(st, first + i, numbers[i]);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC); /* lives until the statement has run */
}

int db_begin(struct db *db)
{
	memcpy(db->work, db->saved, sizeof(*db->work));
	return step(db, db->statements[ST_BEGIN]);
}

void db_rollback(struct db *db)
{
	if (!sqlite3_get_autocommit(db->handle)) /* some failures roll back by themselves */
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

int db_put_source(struct db *db, const struct db_source *src)
{
	sqlite3_stmt *st = db->statements[ST_SOURCE];

	sqlite3_bind_int64(st, 1, src->id);
	bind_text(st, 2, src->name);
	sqlite3_bind_int64(st, 3, src->kind);
	return step(db, st);
}

int db_put_event(struct db *db, const struct store_event_row *e)
{
	sqlite3_stmt *st = db->statements[ST_EVENT];

	sqlite3_bind_int64(st, 1, e->utc_s);
	bind_text(st, 2, e->kind);
	bind_text(st, 3, e->text);
	return step(db, st);
}

static int put_gap(struct db *db, int64_t from_utc_s, int64_t to_utc_s, const char *reason)
{
	sqlite3_stmt *st = db->statements[ST_GAP];

	sqlite3_bind_int64(st, 1, from_utc_s);
	sqlite3_bind_int64(st, 2, to_utc_s);
	bind_text(st, 3, reason);
	return step(db, st);
}

static int put_traffic(struct db *db, int level, int64_t utc_s, const struct traffic_row *row)
{
	sqlite3_stmt *st = db->statements[ST_TRAFFIC + level];
	const struct traffic_key *k = &row->key;
	const struct traffic_value *v = &row->value;
	const int64_t numbers[] = {
		floor_to(utc_s, levels[level].width_s),
		k->source,
		k->direction,
		k->family,
		k->carrier,
		k->grade,
		k->experiment,
		k->activity,
		(int64_t)value_clamp(v->packets),
		(int64_t)value_clamp(v->bytes),
		(int64_t)value_clamp(v->ip_bytes),
		(int64_t)value_clamp(v->samples),
	};

	bind_numbers(st, 1, numbers, 12);
	sqlite3_bind_double(st, 13, value_variance(v->bytes_variance));
	sqlite3_bind_int64(st, 14, v->codes);
	return step(db, st);
}

/* Levels above the first get their rows when their bucket closes. A second that comes after that
 * (a clock set back) goes into all of them, so that every level keeps telling the same. */
static int put_rows(struct db *db, const struct bucket *b)
{
	const struct level_state *ls = &db->work->levels;
	int64_t t = b->start_utc_s;
	int err = 0;

	for (int level = 0; level < LEVELS && !err; level++) {
		int late = t < ls->closed_utc_s[level];

		if ((level > 0 && !late) || t < ls->kept_from_utc_s[level])
			continue;
		for (size_t i = 0; i < b->n_rows && !err; i++)
			err = put_traffic(db, level, t, &b->rows[i]);
		if (late && !err)
			err = levels_fold(db, level, floor_to(t, levels[level].width_s), t + 1);
	}
	return err;
}

static int put_claim(struct db *db, int nth, int64_t utc_s, const struct claim_row *c)
{
	sqlite3_stmt *st = db->statements[ST_CLAIM + nth];
	const int64_t key[] = {floor_to(utc_s, levels[claim_levels[nth]].width_s), c->experiment,
			       c->activity};
	const int64_t values[] = {
		c->family,
		(int64_t)value_clamp(c->starts),
		(int64_t)value_clamp(c->ongoings),
		(int64_t)value_clamp(c->ends),
		(int64_t)value_clamp(c->bytes),
	};

	bind_numbers(st, 1, key, 3);
	sqlite3_bind_text(st, 4, c->application,
			  (int)strnlen(c->application, sizeof(c->application)), SQLITE_STATIC);
	bind_numbers(st, 5, values, 5);
	return step(db, st);
}

static int put_claims(struct db *db, const struct bucket *b)
{
	int err = 0;

	for (int nth = 0; nth < CLAIM_LEVELS; nth++) {
		if (nth > 0 && b->start_utc_s >= db->work->levels.closed_utc_s[claim_levels[nth]])
			break;
		for (size_t i = 0; i < b->n_claims && !err; i++)
			err = put_claim(db, nth, b->start_utc_s, &b->claims[i]);
	}
	return err;
}

static uint64_t since(uint64_t last, uint64_t now) /* a smaller count has started again */
{
	return now >= last ? now - last : now;
}

static int put_reasons(struct db *db, int64_t utc_s, uint16_t source, const char *outcome,
		       const struct source_reason *reasons, size_t n, struct source_reason *last,
		       uint64_t *total)
{
	sqlite3_stmt *st = db->statements[ST_REASON];
	int err = 0;

	for (size_t i = 0; i < n && reasons[i].name && !err; i++) {
		size_t at = 0;
		uint64_t delta;

		while (at < n && last[at].name && strcmp(last[at].name, reasons[i].name) != 0)
			at++;
		if (at == n)
			continue;
		delta = since(last[at].count, reasons[i].count);
		last[at] = reasons[i];
		*total = value_sum(*total, delta);
		if (!delta)
			continue;
		sqlite3_bind_int64(st, 1, floor_to(utc_s, 60));
		sqlite3_bind_int64(st, 2, source);
		bind_text(st, 3, outcome);
		bind_text(st, 4, reasons[i].name);
		sqlite3_bind_int64(st, 5, (int64_t)value_clamp(delta));
		err = step(db, st);
	}
	return err;
}

static int put_health(struct db *db, int64_t utc_s, const struct source_status *now)
{
	sqlite3_stmt *st = db->statements[ST_HEALTH];
	struct counters *last = &db->work->last[now->id];
	uint64_t rejected = 0, dropped = 0;
	int err;

	err = put_reasons(db, utc_s, now->id, "rejected", now->rejected, STORE_REASONS_MAX,
			  last->rejected, &rejected);
	if (!err)
		err = put_reasons(db, utc_s, now->id, "dropped", now->dropped, STORE_DROPS_MAX,
				  last->dropped, &dropped);
	if (err)
		return err;
	const int64_t numbers[] = {
		floor_to(utc_s, 60),
		now->id,
		now->up != 0,
		(int64_t)value_clamp(since(last->received, now->received)),
		(int64_t)value_clamp(since(last->accepted, now->accepted)),
		(int64_t)rejected,
		(int64_t)dropped,
		(int64_t)value_clamp(since(last->bytes, now->bytes)),
		(int64_t)value_clamp(since(last->lost, now->lost)),
		(int64_t)value_clamp(since(last->agent_drops, now->agent_drops)),
		now->sampling_rate,
	};
	last->received = now->received;
	last->accepted = now->accepted;
	last->bytes = now->bytes;
	last->lost = now->lost;
	last->agent_drops = now->agent_drops;
	bind_numbers(st, 1, numbers, 11);
	sqlite3_bind_double(st, 12, value_variance(now->effective_rate));
	return step(db, st);
}

static int put_seen(struct db *db, const struct source_status *now)
{
	sqlite3_stmt *st = db->statements[ST_SOURCE_SEEN];

	if (now->last_seen_utc_s == CLOCK_NEVER)
		return 0;
	sqlite3_bind_int64(st, 1, now->id);
	sqlite3_bind_int64(st, 2, now->last_seen_utc_s);
	sqlite3_bind_int64(st, 3, now->first_seen_utc_s);
	return step(db, st);
}

static int put_sources(struct db *db, const struct bucket *b)
{
	int err = 0;

	for (size_t i = 0; i < b->n_sources && !err; i++) {
		if (b->sources[i].id >= STORE_SOURCES_MAX)
			continue;
		err = put_health(db, b->start_utc_s, &b->sources[i]);
		if (!err && b->start_utc_s % 10 == 0) /* often enough for a date */
			err = put_seen(db, &b->sources[i]);
	}
	return err;
}

int db_put_second(struct db *db, const struct bucket *b, const char *gap_reason)
{
	int64_t newest = db->work->committed_utc_s;
	int err = levels_advance(db, b->start_utc_s);

	if (newest == CLOCK_NEVER)
		db->work->first_utc_s = b->start_utc_s;
	if (!err && newest != CLOCK_NEVER && b->start_utc_s > newest + 1)
		err = put_gap(db, newest + 1, b->start_utc_s, gap_reason);
	if (!err)
		err = put_rows(db, b);
	if (!err)
		err = put_claims(db, b);
	if (!err)
		err = put_sources(db, b);
	if (!err && b->start_utc_s > newest)
		db->work->committed_utc_s = b->start_utc_s;
	return err;
}

static int put_meta(struct db *db, const char *key, int64_t value)
{
	sqlite3_stmt *st = db->statements[ST_META];

	bind_text(st, 1, key);
	sqlite3_bind_int64(st, 2, value);
	return step(db, st);
}

static int save_state(struct db *db)
{
	const struct db_state *w = db->work;
	int err = 0;

	if (db->saved->committed_utc_s == CLOCK_NEVER && w->committed_utc_s != CLOCK_NEVER)
		err = put_meta(db, "first_utc_s", w->first_utc_s);
	if (!err && w->committed_utc_s != db->saved->committed_utc_s)
		err = put_meta(db, "committed_utc_s", w->committed_utc_s);
	for (int i = 0; i < LEVELS && !err; i++) {
		const int64_t numbers[] = {levels[i].width_s, w->levels.closed_utc_s[i],
					   w->levels.kept_from_utc_s[i]};

		if (numbers[1] == db->saved->levels.closed_utc_s[i] &&
		    numbers[2] == db->saved->levels.kept_from_utc_s[i])
			continue;
		bind_text(db->statements[ST_LEVEL], 1, levels[i].name);
		bind_numbers(db->statements[ST_LEVEL], 2, numbers, 3);
		err = step(db, db->statements[ST_LEVEL]);
	}
	return err;
}

static int figures_of(struct db *db, const struct db_state *state, struct db_figures *out)
{
	struct db_figures f = {
		.committed_utc_s = state->committed_utc_s,
		.oldest_utc_s = CLOCK_NEVER,
		.trimmed_rows = state->trimmed_rows,
	};
	int64_t pages = 0, page_bytes = 0, oldest;
	int err = sqlite_number(db, &pages, 0, "PRAGMA page_count");

	if (!err)
		err = sqlite_number(db, &page_bytes, 0, "PRAGMA page_size");
	for (int i = 0; i < LEVELS && !err; i++) {
		err = sqlite_number(db, &oldest, CLOCK_NEVER, "SELECT min(bucket) FROM traffic_%s",
				    levels[i].name);
		if (oldest != CLOCK_NEVER &&
		    (f.oldest_utc_s == CLOCK_NEVER || oldest < f.oldest_utc_s))
			f.oldest_utc_s = oldest;
	}
	f.file_bytes = (uint64_t)(pages * page_bytes);
	if (!err)
		*out = f;
	return err;
}

int db_commit(struct db *db, struct db_figures *out)
{
	struct db_state *done = db->work;
	int err = levels_trim(db);

	if (!err)
		err = save_state(db);
	if (!err)
		err = figures_of(db, done, out);
	if (!err)
		err = step(db, db->statements[ST_COMMIT]);
	if (err)
		return err;
	db->work = db->saved;
	db->saved = done;
	return 0;
}
