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
const struct table_levels tables[TABLES] = {
	[TABLE_TRAFFIC] = {"traffic", LEVELS, {0, 1, 2, 3, 4}},
	[TABLE_CLAIMS] = {"claims", SIDE_LEVELS, {1, 3, 4}},
	[TABLE_PAIRS] = {"pairs", SIDE_LEVELS, {1, 3, 4}},
	[TABLE_HISTOGRAMS] = {"histograms", SIDE_LEVELS, {1, 3, 4}},
	[TABLE_LABEL_FLOWS] = {"label_flows", SIDE_LEVELS, {1, 3, 4}},
};

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
	int64_t version, there;
	int err = sqlite_number(db, &version, 0, "PRAGMA user_version");

	if (!err)
		err = sqlite_number(db, &there, 0, "SELECT count(*) FROM sqlite_schema");
	if (err)
		return err;
	*is_new = there == 0;
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

/* Claims were booked at their END before end_bytes was there. */
static int add_end_bytes(struct db *db)
{
	const struct table_levels *claims = &tables[TABLE_CLAIMS];
	int64_t there;
	int err = sqlite_number(db, &there, 0,
				"SELECT count(*) FROM pragma_table_info('claims_1m')"
				" WHERE name = 'end_bytes'");

	for (int nth = 0; nth < claims->n_levels && !err && !there; nth++) {
		const char *name = levels[claims->level[nth]].name;

		err = sqlite_run_range(db, 0, 0,
				       "ALTER TABLE claims_%s ADD COLUMN"
				       " end_bytes INTEGER NOT NULL DEFAULT 0",
				       name);
		if (!err)
			err = sqlite_run_range(db, 0, 0, "UPDATE claims_%s SET end_bytes = bytes",
					       name);
	}
	return err;
}

/* A new file gets everything, an older one what it does not have. */
static int complete_schema(struct db *db, int is_new)
{
	char sql[256];
	int err = sqlite_run(db, "BEGIN IMMEDIATE");

	snprintf(sql, sizeof(sql),
		 "INSERT INTO meta VALUES ('created_utc_s', %" PRId64 ");"
		 "PRAGMA user_version = %d; PRAGMA application_id = %d;",
		 (int64_t)(clock_utc_us() / US_PER_S), SCHEMA_VERSION, APPLICATION_ID);
	if (!err)
		err = sqlite_run(db, store_schema);
	if (!err)
		err = is_new ? sqlite_run(db, sql) : add_end_bytes(db);
	return err ? err : sqlite_run(db, "COMMIT");
}

static int load_state(struct db *db)
{
	struct db_state *state = db->saved;
	int err = sqlite_number(db, &state->committed_utc_s, CLOCK_NEVER,
				"SELECT value FROM meta WHERE key = 'committed_utc_s'");

	return err ? err : read_levels(db->handle, &state->levels);
}

static const char *const statement_text[ST_ADD] = {
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
	[ST_KEPT] = "INSERT OR REPLACE INTO kept VALUES (?, ?)",
	[ST_SITE] = "INSERT OR IGNORE INTO sites VALUES (?, ?)",
	[ST_APPLICATION] = "INSERT OR IGNORE INTO applications VALUES (?, ?)",
	[ST_FLOW] =
		"INSERT INTO flows VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
		"?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
		"?, ifnull((SELECT id FROM applications WHERE name = ?), 0), ?)",
};
/* Add a row to a bucket of a level. */
static const char *const add_text[TABLES] = {
	[TABLE_TRAFFIC] =
		"INSERT INTO traffic_%s VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT DO UPDATE SET " SQL_TRAFFIC_ADD ", codes = max(codes, excluded.codes)",
	[TABLE_CLAIMS] = "INSERT INTO claims_%s VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
			 "ON CONFLICT DO UPDATE SET " SQL_CLAIMS_ADD,
	[TABLE_PAIRS] = "INSERT INTO pairs_%s VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
			"ON CONFLICT DO UPDATE SET " SQL_TRAFFIC_ADD,
	[TABLE_HISTOGRAMS] = "INSERT INTO histograms_%s VALUES (?, ?, ?, ?, ?, ?, ?) "
			     "ON CONFLICT DO UPDATE SET " SQL_HISTOGRAMS_ADD,
	[TABLE_LABEL_FLOWS] = "INSERT INTO label_flows_%s VALUES (?, ?, ?, ?, ?) "
			      "ON CONFLICT DO UPDATE SET " SQL_LABEL_FLOWS_ADD,
};

static int prepare_one(struct db *db, int statement, const char *sql)
{
	int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
				    &db->statements[statement], NULL);

	return rc == SQLITE_OK ? 0 : sqlite_fail(db, rc);
}

static int prepare_all(struct db *db)
{
	int err = 0;

	for (int i = 0; i < ST_ADD && !err; i++)
		err = prepare_one(db, i, statement_text[i]);
	for (int t = 0; t < TABLES; t++) {
		for (int nth = 0; nth < tables[t].n_levels && !err; nth++) {
			char *sql = sqlite3_mprintf(add_text[t], levels[tables[t].level[nth]].name);

			err = sql ? prepare_one(db, sqlite_add((enum table)t, nth), sql) : -ENOMEM;
			sqlite3_free(sql);
		}
	}
	return err;
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
	if (!err)
		err = complete_schema(db, is_new);
	if (!err)
		err = load_state(db);
	return err ? err : prepare_all(db);
}

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
		err = sqlite_figures(db, db->saved, figures);
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

int db_names(struct db *db, enum db_name_kind kind,
	     void (*each)(void *arg, uint16_t id, const char *name), void *arg)
{
	static const char *const sql[DB_NAME_KINDS] = {
		[DB_SITES] = "SELECT id, name FROM sites WHERE id BETWEEN 1 AND 65535",
		[DB_APPLICATIONS] =
			"SELECT id, name FROM applications WHERE id BETWEEN 1 AND 65535",
	};
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->handle, sql[kind], -1, &st, NULL);

	while (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		each(arg, (uint16_t)sqlite3_column_int(st, 0),
		     (const char *)sqlite3_column_text(st, 1));
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
