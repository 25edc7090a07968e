/* Questions. A question reads each part of its range from the coarsest table that fits its step and
 * is closed there, the newest part from the finer ones; all in one read transaction. */
#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/filter.h"
#include "store/sqlite.h"
#include "store/value.h"

#define ROOM "store"

/* --- readers ------------------------------------------------------------------------------- */

static int connect_reader(const struct db *db, struct reader *r)
{
	int rc = sqlite_connect(db, &r->handle);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(r->handle, "PRAGMA query_only = ON; SELECT count(*) FROM meta",
				  NULL, NULL, NULL);
	return sqlite_errno(rc);
}

/* All at once and with a first read, which opens the log: the program may lose its rights later. */
int readers_open(struct db *db)
{
	int err = 0;

	for (int i = 0; i < READERS && !err; i++)
		err = connect_reader(db, &db->readers[i]);
	return err;
}

static int take_reader(struct db *db, struct reader **out)
{
	struct reader *r = NULL;

	pthread_mutex_lock(&db->readers_lock);
	while (!r) {
		for (int i = 0; i < READERS && !r; i++)
			if (!db->readers[i].busy)
				r = &db->readers[i];
		if (!r)
			pthread_cond_wait(&db->reader_free, &db->readers_lock);
	}
	r->busy = 1;
	pthread_mutex_unlock(&db->readers_lock);
	*out = r;
	return r->handle ? 0 : connect_reader(db, r);
}

/* A connection that failed is closed: the next question tries a new one. */
static void give_reader(struct db *db, struct reader *r, int failed)
{
	if (failed) {
		sqlite3_close(r->handle);
		r->handle = NULL;
	} else {
		sqlite3_exec(r->handle, "ROLLBACK", NULL, NULL, NULL);
	}
	pthread_mutex_lock(&db->readers_lock);
	r->busy = 0;
	pthread_cond_signal(&db->reader_free);
	pthread_mutex_unlock(&db->readers_lock);
}

void readers_close(struct db *db)
{
	for (int i = 0; i < READERS; i++)
		sqlite3_close(db->readers[i].handle);
}

static void read_level(struct level_state *ls, const char *name, int64_t closed, int64_t kept)
{
	for (int i = 0; i < LEVELS; i++) {
		if (strcmp(name, levels[i].name) != 0)
			continue;
		ls->closed_utc_s[i] = closed;
		ls->kept_from_utc_s[TABLE_TRAFFIC][i] = kept;
	}
}

static void read_kept(struct level_state *ls, const char *name, int64_t kept)
{
	for (int t = 0; t < TABLES; t++) {
		size_t len = strlen(tables[t].name);

		if (strncmp(name, tables[t].name, len) != 0 || name[len] != '_')
			continue;
		for (int nth = 0; nth < tables[t].n_levels; nth++)
			if (strcmp(name + len + 1, levels[tables[t].level[nth]].name) == 0)
				ls->kept_from_utc_s[t][nth] = kept;
	}
}

int read_levels(struct sqlite3 *handle, struct level_state *ls)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(handle,
				    "SELECT 1, name, closed_utc_s, kept_from_utc_s FROM levels "
				    "UNION ALL SELECT 0, name, 0, from_utc_s FROM kept",
				    -1, &st, NULL);

	*ls = (struct level_state){0};
	for (int i = 0; i < LEVELS; i++)
		ls->closed_utc_s[i] = CLOCK_NEVER;
	while (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 1);
		int64_t kept = sqlite3_column_int64(st, 3);

		if (name && sqlite3_column_int(st, 0))
			read_level(ls, name, sqlite3_column_int64(st, 2), kept);
		else if (name)
			read_kept(ls, name, kept);
	}
	return sqlite_errno(sqlite3_finalize(st));
}

/* --- the plan ------------------------------------------------------------------------------ */

/* The finest level (the nth of its table) that still has what was at utc_s; the one that reaches
 * back furthest if none. */
static int level_at(const struct level_state *ls, enum table table, int64_t utc_s)
{
	const int64_t *kept = ls->kept_from_utc_s[table];
	int best = 0;

	for (int nth = 0; nth < tables[table].n_levels; nth++) {
		if (kept[nth] <= utc_s)
			return nth;
		if (kept[nth] < kept[best])
			best = nth;
	}
	return best;
}

static uint32_t width_at(const struct level_state *ls, enum table table, int64_t utc_s)
{
	return levels[tables[table].level[level_at(ls, table, utc_s)]].width_s;
}

static int64_t ceil_to(int64_t utc_s, uint32_t width_s)
{
	return floor_to(utc_s + width_s - 1, width_s);
}

/* Round the question to what can be answered. Returns the coarsest level to read, or negative
 * errno. */
static int plan(struct store_query *q, enum table table, const struct level_state *ls)
{
	uint32_t width_s = width_at(ls, table, q->from_utc_s);
	int top = tables[table].n_levels - 1;

	if (!q->step_s) {
		q->from_utc_s = floor_to(q->from_utc_s, width_s);
		q->to_utc_s = ceil_to(q->to_utc_s, width_at(ls, table, q->to_utc_s));
		return top;
	}
	q->step_s = (uint32_t)ceil_to(q->step_s, width_s);
	q->from_utc_s = floor_to(q->from_utc_s, q->step_s);
	q->to_utc_s = ceil_to(q->to_utc_s, q->step_s);
	if ((q->to_utc_s - q->from_utc_s) / q->step_s > SERIES_POINTS_MAX)
		return -E2BIG;
	while (q->step_s % levels[tables[table].level[top]].width_s)
		top--;
	return top;
}

/* --- reading ------------------------------------------------------------------------------- */

struct reading {
	struct sqlite3 *handle;
	const struct level_state *ls;
	enum table table;
	const char *where; /* what of the filter SQLite can do by itself */
	/* of a question over time */
	const struct filter *filter;
	struct series *series;
	/* of another */
	const char *columns;
	int (*each)(void *arg, int64_t utc_s, struct sqlite3_stmt *row);
	void *arg;
};

/* As read_row takes them. Applications are named in claims_*; whoever asks wants a number. */
static const char *const columns_of[TABLES] = {
	[TABLE_TRAFFIC] =
		"source, direction, family, carrier, grade, experiment, activity, packets, "
		"bytes, ip_bytes, samples, bytes_variance, codes",
	[TABLE_PAIRS] = "0, 0, family, 0, grade, experiment, activity, packets, bytes, ip_bytes, "
			"samples, bytes_variance, 1, src_site, dst_site, 0",
	[TABLE_CLAIMS] =
		"0, 0, family, 0, 0, experiment, activity, starts, bytes, end_bytes, ends, "
		"0.0, 1, 0, 0, application",
};
static const char *const from_of[TABLES] = {
	[TABLE_TRAFFIC] = "traffic_%s",
	[TABLE_PAIRS] = "pairs_%s",
	[TABLE_CLAIMS] = "(SELECT bucket, family, experiment, activity, starts, ends, bytes, "
			 "end_bytes, ifnull(id, 0) AS application FROM claims_%s LEFT JOIN "
			 "applications ON name = claims_%s.application)",
	[TABLE_HISTOGRAMS] = "histograms_%s",
	[TABLE_LABEL_FLOWS] = "label_flows_%s",
};

static int read_row(void *arg, int64_t utc_s, struct sqlite3_stmt *st)
{
	const struct reading *r = arg;
	struct traffic_row row = {
		.key.source = (uint16_t)sqlite3_column_int(st, 1),
		.key.direction = (uint8_t)sqlite3_column_int(st, 2),
		.key.family = (uint8_t)sqlite3_column_int(st, 3),
		.key.carrier = (uint8_t)sqlite3_column_int(st, 4),
		.key.grade = (uint8_t)sqlite3_column_int(st, 5),
		.key.experiment = sqlite3_column_int(st, 6),
		.key.activity = sqlite3_column_int(st, 7),
		.value.packets = (uint64_t)sqlite3_column_int64(st, 8),
		.value.bytes = (uint64_t)sqlite3_column_int64(st, 9),
		.value.ip_bytes = (uint64_t)sqlite3_column_int64(st, 10),
		.value.samples = (uint64_t)sqlite3_column_int64(st, 11),
		.value.bytes_variance = sqlite3_column_double(st, 12),
		.value.codes = (uint32_t)sqlite3_column_int64(st, 13),
	};

	if (r->table != TABLE_TRAFFIC) {
		row.key.src_site = (uint16_t)sqlite3_column_int(st, 14);
		row.key.dst_site = (uint16_t)sqlite3_column_int(st, 15);
		row.key.application = (uint16_t)sqlite3_column_int(st, 16);
	}
	return series_offer(r->series, r->filter, utc_s, &row);
}

static char *select_of(const struct reading *r, const char *level)
{
	char *from = sqlite3_mprintf(from_of[r->table], level, level), *sql = NULL;

	if (from)
		sql = sqlite3_mprintf("SELECT bucket, %s FROM %s WHERE bucket >= ? AND bucket < ?"
				      " AND (%s) ORDER BY bucket",
				      r->columns, from, r->where);
	sqlite3_free(from);
	return sql;
}

static int read_table(const struct reading *r, int level, int64_t from_utc_s, int64_t to_utc_s)
{
	char *sql = select_of(r, levels[tables[r->table].level[level]].name);
	sqlite3_stmt *st = NULL;
	int rc, err = 0;

	if (!sql)
		return -ENOMEM;
	rc = sqlite3_prepare_v2(r->handle, sql, -1, &st, NULL);
	sqlite3_free(sql);
	if (rc != SQLITE_OK)
		return sqlite_errno(rc);
	sqlite3_bind_int64(st, 1, from_utc_s);
	sqlite3_bind_int64(st, 2, to_utc_s);
	while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW)
		err = r->each(r->arg, sqlite3_column_int64(st, 0), st);
	if (!err)
		err = sqlite_errno(rc);
	sqlite3_finalize(st);
	return err;
}

/* Read [from, to) from `level` as far as it goes, before and after that from finer ones. */
static int read_range(const struct reading *r, int level, int64_t from_utc_s, int64_t to_utc_s)
{
	int nth = tables[r->table].level[level];
	uint32_t width_s = levels[nth].width_s;
	int64_t low, high;
	int err;

	if (from_utc_s >= to_utc_s)
		return 0;
	if (level == 0)
		return read_table(r, 0, from_utc_s, to_utc_s);
	low = r->ls->kept_from_utc_s[r->table][level];
	low = ceil_to(low > from_utc_s ? low : from_utc_s, width_s);
	high = r->ls->closed_utc_s[nth];
	high = high < to_utc_s ? high : floor_to(to_utc_s, width_s);
	if (low >= high)
		return read_range(r, level - 1, from_utc_s, to_utc_s);
	err = read_range(r, level - 1, from_utc_s, low);
	if (!err)
		err = read_table(r, level, low, high);
	return err ? err : read_range(r, level - 1, high, to_utc_s);
}

/* What explains missing seconds: what is too old, what was before the first second, and the gaps. */
static int read_gaps(const struct reading *r, const struct store_query *q)
{
	int64_t kept_from_utc_s =
		r->ls->kept_from_utc_s[r->table][level_at(r->ls, r->table, q->from_utc_s)];
	sqlite3_stmt *st = NULL;
	int err = 0;
	int rc = sqlite3_prepare_v2(r->handle,
				    "SELECT 0, value, 'before the first second' FROM meta"
				    " WHERE key = 'first_utc_s' AND ?3 = 0 AND value > ?1 "
				    "UNION ALL SELECT 0, ?3, 'no longer kept' WHERE ?3 > ?1 "
				    "UNION ALL SELECT from_utc_s, to_utc_s, reason FROM gaps"
				    " WHERE to_utc_s > max(?1, ?3) AND from_utc_s < ?2 ORDER BY 1",
				    -1, &st, NULL);

	sqlite3_bind_int64(st, 1, q->from_utc_s);
	sqlite3_bind_int64(st, 2, q->to_utc_s);
	sqlite3_bind_int64(st, 3, kept_from_utc_s);
	while (!err && rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		err = series_add_gap(r->series, sqlite3_column_int64(st, 0),
				     sqlite3_column_int64(st, 1),
				     (const char *)sqlite3_column_text(st, 2));
	rc = sqlite3_finalize(st);
	return err ? err : sqlite_errno(rc);
}

/* Rows that the filter wants, and those of the noise floor; series_offer tells them apart. */
static char *where_of(const struct filter *f, enum table table)
{
	char *text = malloc(FILTER_SQL_MAX), *where;

	if (!text)
		return NULL;
	filter_sql(f, text, FILTER_SQL_MAX);
	if (table == TABLE_TRAFFIC)
		where = sqlite3_mprintf("%s OR (grade = %d AND carrier = %d)", text,
					GRADE_UNREGISTERED, CARRIER_LABEL);
	else
		where = sqlite3_mprintf("%s", text);
	free(text);
	return where;
}

static enum table table_of(enum store_table table)
{
	return table == STORE_TABLE_PAIRS    ? TABLE_PAIRS
	       : table == STORE_TABLE_CLAIMS ? TABLE_CLAIMS
					     : TABLE_TRAFFIC;
}

static int answer(struct sqlite3 *handle, struct store_query *q, struct store_result **out)
{
	struct level_state ls;
	struct reading r = {.handle = handle,
			    .ls = &ls,
			    .table = table_of(q->table),
			    .filter = q->filter,
			    .each = read_row,
			    .arg = &r};
	int top, err = sqlite_errno(sqlite3_exec(handle, "BEGIN", NULL, NULL, NULL));
	char *where;

	r.columns = columns_of[r.table];
	if (!err)
		err = read_levels(handle, &ls);
	if (err)
		return err;
	top = plan(q, r.table, &ls);
	if (top < 0)
		return top;
	r.where = where = where_of(q->filter, r.table);
	r.series = series_open(q->from_utc_s, q->to_utc_s, q->step_s, q->group);
	err = where && r.series ? 0 : -ENOMEM;
	if (!err)
		err = read_range(&r, top, q->from_utc_s, q->to_utc_s);
	if (!err)
		err = read_gaps(&r, q);
	sqlite3_free(where);
	if (err) {
		series_free(r.series);
		return err;
	}
	return series_take(r.series, q->limit, out);
}

int sqlite_read(struct sqlite3 *handle, enum table table, const char *columns, const char *where,
		int64_t *from_utc_s, int64_t *to_utc_s,
		int (*each)(void *arg, int64_t utc_s, struct sqlite3_stmt *row), void *arg)
{
	struct level_state ls;
	const struct reading r = {.handle = handle,
				  .ls = &ls,
				  .table = table,
				  .where = where,
				  .columns = columns,
				  .each = each,
				  .arg = arg};
	int err = sqlite_errno(sqlite3_exec(handle, "BEGIN", NULL, NULL, NULL));

	if (!err)
		err = read_levels(handle, &ls);
	if (err)
		return err;
	*from_utc_s = floor_to(*from_utc_s, width_at(&ls, table, *from_utc_s));
	*to_utc_s = ceil_to(*to_utc_s, width_at(&ls, table, *to_utc_s));
	return read_range(&r, tables[table].n_levels - 1, *from_utc_s, *to_utc_s);
}

/* --- questions by a reader ------------------------------------------------------------------- */

int sqlite_ask(struct db *db, int (*ask)(struct sqlite3 *handle, void *arg), void *arg)
{
	static struct log_limit limit;
	struct reader *r;
	int err = take_reader(db, &r);

	if (!err)
		err = ask(r->handle, arg);
	if (err && err != -E2BIG)
		log_limited(&limit, LOG_LEVEL_ERROR, ROOM, "question to the database: %s",
			    r->handle ? sqlite3_errmsg(r->handle) : strerror(-err));
	give_reader(db, r, err && err != -E2BIG);
	return err;
}

struct time_question {
	struct store_query q;
	struct store_result **out;
};

static int ask_query(struct sqlite3 *handle, void *arg)
{
	struct time_question *t = arg;

	return answer(handle, &t->q, t->out);
}

int db_query(struct db *db, const struct store_query *q, struct store_result **out)
{
	struct time_question t = {*q, out};

	return sqlite_ask(db, ask_query, &t);
}
