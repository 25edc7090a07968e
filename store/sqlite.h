/* Inside of the SQLite backend; only store/sqlite*.c include it.
 * sqlite.c: open, schema. sqlite_put.c: one transaction. sqlite_levels.c: fold, roll up, retention.
 * sqlite_query.c: readers and questions over time. sqlite_list.c: the other questions. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <pthread.h>
#include "store/db.h"

struct sqlite3;
struct sqlite3_stmt;

/* Levels of traffic_*, fine to coarse. A bucket is rolled up into the next level when that level's
 * bucket closes, and stays in its own until it is too old. */
#define LEVELS 5
struct level {
	const char *name; /* table traffic_NAME */
	uint32_t width_s;
};
extern const struct level levels[LEVELS];

/* The tables that have levels; those beside traffic_* have three, which close with those of
 * traffic_* that are as wide. */
enum table {
	TABLE_TRAFFIC,
	TABLE_CLAIMS,
	TABLE_PAIRS,
	TABLE_HISTOGRAMS,
	TABLE_LABEL_FLOWS,
	TABLES
};
#define SIDE_LEVELS 3
struct table_levels {
	const char *name;
	int n_levels;
	int level[LEVELS]; /* indexes into levels, fine to coarse */
};
extern const struct table_levels tables[TABLES];

struct level_state {
	/* buckets before it are complete and folded; CLOCK_NEVER: none yet */
	int64_t closed_utc_s[LEVELS];
	/* rows before it are gone, by table and its nth level; 0: none are */
	int64_t kept_from_utc_s[TABLES][LEVELS];
};

struct counters { /* what of a source's status is stored as differences */
	uint64_t received, accepted, bytes, lost, agent_drops;
	struct source_reason rejected[STORE_REASONS_MAX], dropped[STORE_DROPS_MAX];
};

/* What the writer knows about the database: kept twice, so that a failed transaction is undone. */
struct db_state {
	struct level_state levels;
	int64_t first_utc_s, committed_utc_s;
	uint64_t trimmed_rows;
	struct counters last[STORE_SOURCES_MAX]; /* cumulative, as of the newest second */
};

enum statement {
	ST_BEGIN,
	ST_COMMIT,
	ST_META,
	ST_LEVEL,
	ST_SOURCE,
	ST_SOURCE_SEEN,
	ST_EVENT,
	ST_GAP,
	ST_HEALTH,
	ST_REASON,
	ST_KEPT,
	ST_SITE, /* these two as enum db_name_kind */
	ST_APPLICATION,
	ST_FLOW,
	ST_ADD, /* to a level of a table, see sqlite_add */
	ST_COUNT = ST_ADD + TABLES * LEVELS
};

#define READERS 4
struct reader {
	struct sqlite3 *handle;
	int busy;
};

struct db {
	char path[4096];
	int lock_fd; /* -1: in memory */
	struct store_config cfg;

	/* the writer's */
	struct sqlite3 *handle;
	struct sqlite3_stmt *statements[ST_COUNT];
	struct db_state *saved, *work;
	char error[160];

	pthread_mutex_t readers_lock;
	pthread_cond_t reader_free;
	struct reader readers[READERS];
};

/* A result code of SQLite as negative errno; 0 for OK, ROW and DONE. */
int sqlite_errno(int rc);
/* Open a connection as the house wants it. */
int sqlite_connect(const struct db *db, struct sqlite3 **out);
/* Keep the writer's error text; returns the errno. */
int sqlite_fail(struct db *db, int rc);
/* Run SQL without results. */
int sqlite_run(struct db *db, const char *sql);
/* Run SQL made of `format`, whose ? are bound to two integers. */
int sqlite_run_range(struct db *db, int64_t a, int64_t b, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The first column of the first row; `none` if there is no row or it is NULL. */
int sqlite_number(struct db *db, int64_t *out, int64_t none, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Besides SQLite's own: the aggregate sum_clamped(x) and add_clamped(a, b), which do not wrap. */

/* Pieces of SQL that several statements share. */
#define SQL_TRAFFIC_ADD                                         \
	"packets = add_clamped(packets, excluded.packets), "    \
	"bytes = add_clamped(bytes, excluded.bytes), "          \
	"ip_bytes = add_clamped(ip_bytes, excluded.ip_bytes), " \
	"samples = add_clamped(samples, excluded.samples), "    \
	"bytes_variance = bytes_variance + excluded.bytes_variance"
#define SQL_CLAIMS_ADD                                          \
	"starts = add_clamped(starts, excluded.starts), "       \
	"ongoings = add_clamped(ongoings, excluded.ongoings), " \
	"ends = add_clamped(ends, excluded.ends), "             \
	"bytes = add_clamped(bytes, excluded.bytes), "          \
	"end_bytes = add_clamped(end_bytes, excluded.end_bytes)"
#define SQL_HISTOGRAMS_ADD "n = add_clamped(n, excluded.n), max = max(max, excluded.max)"
#define SQL_LABEL_FLOWS_ADD                            \
	"begun = add_clamped(begun, excluded.begun), " \
	"before = add_clamped(before, excluded.before)"

static inline int sqlite_add(enum table table, int nth) /* enum statement */
{
	return ST_ADD + (int)table * LEVELS + nth;
}

static inline int64_t floor_to(int64_t utc_s, uint32_t width_s) /* utc_s >= 0 */
{
	return utc_s - utc_s % width_s;
}

/* sqlite_put.c */
int sqlite_figures(struct db *db, const struct db_state *state, struct db_figures *out);

/* sqlite_levels.c; all inside the writer's transaction */

/* Close what ends at or before utc_s: fold, roll up. */
int levels_advance(struct db *db, int64_t utc_s);
/* Fold the buckets of the nth level of a table within [from, to) again; late: only those that have
 * grown by a quarter. */
int levels_fold(struct db *db, enum table table, int nth, int64_t from_utc_s, int64_t to_utc_s,
		int late);
/* Remove what is too old or does not fit, a bounded amount a call. */
int levels_trim(struct db *db);

/* sqlite_query.c */
int read_levels(struct sqlite3 *handle, struct level_state *ls);
/* Ask by a reader, which is waited for. */
int sqlite_ask(struct db *db, int (*ask)(struct sqlite3 *handle, void *arg), void *arg);
/* Call `each` for the rows of a table in [*from, *to), rounded outwards to what is kept, by time,
 * from the coarsest levels that fit. Column 0 is the bucket, `columns` follow. In a transaction. */
int sqlite_read(struct sqlite3 *handle, enum table table, const char *columns, const char *where,
		int64_t *from_utc_s, int64_t *to_utc_s,
		int (*each)(void *arg, int64_t utc_s, struct sqlite3_stmt *row), void *arg);
int readers_open(struct db *db);
void readers_close(struct db *db);

#endif
