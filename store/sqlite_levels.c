/* Buckets close: fold, roll up, trim. All in SQL, all in the transaction of the second that causes
 * it, so that a crash never leaves a bucket half rolled up. Roll-ups are sums of the finer table;
 * only `codes`, a count of distinct things, is the largest over time, a sum over code points. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "store/sqlite.h"
#include "store/value.h"

#define PLACE "source, direction, family, carrier, grade"
#define KEY   PLACE ", experiment, activity"
#define SUMS                                                                                      \
	"sum_clamped(packets), sum_clamped(bytes), sum_clamped(ip_bytes), sum_clamped(samples), " \
	"total(bytes_variance)"

#define TRIM_ROWS       20000 /* removed from one table in one transaction, about */
#define VACUUM_PAGES    1024  /* given back in one transaction */
#define TEXT_OF(number) #number
#define TEXT(number)    TEXT_OF(number)
#define DAY_S           86400

/* Only these two grades hold numbers that a sender is free to make up. */
#define RANKED                                                                     \
	"WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY bucket, " PLACE \
	" ORDER BY bytes DESC, experiment, activity) AS place FROM traffic_%s"     \
	" WHERE bucket >= ? AND bucket < ? AND grade IN (%d, %d) AND experiment <> %d) "

static int fold_traffic(struct db *db, const char *name, int64_t from_utc_s, int64_t to_utc_s)
{
	/* The ranking is the same in both statements: what the first one adds is not ranked. */
	int err = sqlite_run_range(
		db, from_utc_s, to_utc_s,
		RANKED "INSERT INTO traffic_%s SELECT bucket, " PLACE ", %d, %d, " SUMS
		       ", sum_clamped(codes) FROM ranked WHERE place > %d"
		       " GROUP BY bucket, " PLACE " ON CONFLICT DO UPDATE SET " SQL_TRAFFIC_ADD ", "
		       "codes = add_clamped(codes, excluded.codes)",
		name, GRADE_UNREGISTERED, GRADE_DISAGREE, STORE_FOLDED, name, STORE_FOLDED,
		STORE_FOLDED, STORE_UNREGISTERED_ROWS);

	if (err)
		return err;
	return sqlite_run_range(db, from_utc_s, to_utc_s,
				RANKED "DELETE FROM traffic_%s WHERE (bucket, " KEY
				       ") IN (SELECT bucket, " KEY " FROM ranked WHERE place > %d)",
				name, GRADE_UNREGISTERED, GRADE_DISAGREE, STORE_FOLDED, name,
				STORE_UNREGISTERED_ROWS);
}

/* Applications are what senders call themselves: as many names as someone cares to send. */
#define CLAIM_ROWS 256
#define CLAIM_KEY  "experiment, activity, application, family"
#define CLAIM_SUMS                                                                            \
	"sum_clamped(starts), sum_clamped(ongoings), sum_clamped(ends), sum_clamped(bytes), " \
	"sum_clamped(end_bytes)"
#define CLAIMS_RANKED                                                                  \
	"WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY bucket"             \
	" ORDER BY bytes DESC, starts + ongoings + ends DESC, " CLAIM_KEY ") AS place" \
	" FROM claims_%s WHERE bucket >= ? AND bucket < ? AND experiment <> %d) "

static int fold_claims(struct db *db, const char *name, int64_t from_utc_s, int64_t to_utc_s)
{
	int err = sqlite_run_range(
		db, from_utc_s, to_utc_s,
		CLAIMS_RANKED "INSERT INTO claims_%s SELECT bucket, %d, %d, '" STORE_OTHER
			      "', 0, " CLAIM_SUMS " FROM ranked WHERE place > %d GROUP BY bucket"
			      " ON CONFLICT DO UPDATE SET " SQL_CLAIMS_ADD,
		name, STORE_FOLDED, name, STORE_FOLDED, STORE_FOLDED, CLAIM_ROWS);

	if (err)
		return err;
	return sqlite_run_range(db, from_utc_s, to_utc_s,
				CLAIMS_RANKED "DELETE FROM claims_%s WHERE (bucket, " CLAIM_KEY
					      ") IN (SELECT bucket, " CLAIM_KEY
					      " FROM ranked WHERE place > %d)",
				name, STORE_FOLDED, name, CLAIM_ROWS);
}

/* The rest goes to sites 0/0, where only tags that a registry bounds keep their rows. */
#define PAIR_ROWS 4096
#define PAIR_KEY  "src_site, dst_site, family, grade, experiment, activity"
#define PAIRS_RANKED                                                                     \
	"WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY bucket"               \
	" ORDER BY bytes DESC, " PAIR_KEY ") AS place, grade IN (%d, %d, %d) AS bounded" \
	" FROM pairs_%s WHERE bucket >= ? AND bucket < ? AND NOT (src_site = 0"          \
	" AND dst_site = 0 AND (grade IN (%d, %d, %d) OR experiment = %d))) "
#define PAIRS_RANKED_ARGS(name)                                                                    \
	GRADE_UNTAGGED, GRADE_REGISTERED, GRADE_CONFIRMED, name, GRADE_UNTAGGED, GRADE_REGISTERED, \
		GRADE_CONFIRMED, STORE_FOLDED

static int fold_pairs(struct db *db, const char *name, int64_t from_utc_s, int64_t to_utc_s)
{
	int err = sqlite_run_range(
		db, from_utc_s, to_utc_s,
		PAIRS_RANKED "INSERT INTO pairs_%s SELECT bucket, 0, 0, family, grade,"
			     " iif(bounded, experiment, %d) AS e, iif(bounded, activity, %d)"
			     " AS a, " SUMS " FROM ranked WHERE place > %d"
			     " GROUP BY bucket, family, grade, e, a"
			     " ON CONFLICT DO UPDATE SET " SQL_TRAFFIC_ADD,
		PAIRS_RANKED_ARGS(name), name, STORE_FOLDED, STORE_FOLDED, PAIR_ROWS);

	if (err)
		return err;
	return sqlite_run_range(db, from_utc_s, to_utc_s,
				PAIRS_RANKED "DELETE FROM pairs_%s WHERE (bucket, " PAIR_KEY
					     ") IN (SELECT bucket, " PAIR_KEY
					     " FROM ranked WHERE place > %d)",
				PAIRS_RANKED_ARGS(name), name, PAIR_ROWS);
}

/* By tags: whoever sends fireflies may name any. */
#define HISTOGRAM_TAGS 128
#define HISTOGRAM_KEY  "kind, experiment, activity, bin"
#define HISTOGRAM_SUMS "sum_clamped(n), max(max)"
#define HISTOGRAMS_RANKED                                                                  \
	"WITH small AS (SELECT * FROM (SELECT bucket, kind, experiment, activity,"         \
	" row_number() OVER (PARTITION BY bucket, kind"                                    \
	" ORDER BY sum_clamped(n) DESC, experiment, activity) AS place FROM histograms_%s" \
	" WHERE bucket >= ? AND bucket < ? AND experiment <> %d"                           \
	" GROUP BY bucket, kind, experiment, activity) WHERE place > %d) "
#define IN_SMALL                                                                                   \
	"(bucket, kind, experiment, activity) IN (SELECT bucket, kind, experiment, activity FROM " \
	"small)"

static int fold_histograms(struct db *db, const char *name, int64_t from_utc_s, int64_t to_utc_s)
{
	int err = sqlite_run_range(
		db, from_utc_s, to_utc_s,
		HISTOGRAMS_RANKED
		"INSERT INTO histograms_%s SELECT bucket, kind, %d, %d, bin, " HISTOGRAM_SUMS
		" FROM histograms_%s WHERE " IN_SMALL " GROUP BY bucket, kind, bin"
		" ON CONFLICT DO UPDATE SET " SQL_HISTOGRAMS_ADD,
		name, STORE_FOLDED, HISTOGRAM_TAGS, name, STORE_FOLDED, STORE_FOLDED, name);

	if (err)
		return err;
	return sqlite_run_range(db, from_utc_s, to_utc_s,
				HISTOGRAMS_RANKED "DELETE FROM histograms_%s WHERE " IN_SMALL, name,
				STORE_FOLDED, HISTOGRAM_TAGS, name);
}

/* What a table's roll-up is made of. */
static const struct rollup {
	const char *key;  /* its key's columns after bucket */
	const char *sums; /* the others, of a bucket that begins at `start` */
	int rows_max;     /* a bucket with fewer is not folded */
	int (*fold)(struct db *db, const char *name, int64_t from_utc_s, int64_t to_utc_s);
} rollups[TABLES] = {
	[TABLE_TRAFFIC] = {KEY, SUMS ", max(codes)", STORE_UNREGISTERED_ROWS, fold_traffic},
	[TABLE_CLAIMS] = {CLAIM_KEY, CLAIM_SUMS, CLAIM_ROWS, fold_claims},
	[TABLE_PAIRS] = {PAIR_KEY, SUMS, PAIR_ROWS, fold_pairs},
	[TABLE_HISTOGRAMS] = {HISTOGRAM_KEY, HISTOGRAM_SUMS, HISTOGRAM_TAGS, fold_histograms},
	/* registered pairs and one more: bounded as they come */
	[TABLE_LABEL_FLOWS] = {"experiment, activity",
			       "sum_clamped(begun), sum_clamped(iif(bucket = start, before, 0))", 0,
			       NULL},
};

int levels_fold(struct db *db, enum table table, int nth, int64_t from_utc_s, int64_t to_utc_s,
		int late)
{
	const struct rollup *r = &rollups[table];
	const char *name = levels[tables[table].level[nth]].name;
	int64_t rows;
	int err;

	if (!r->fold)
		return 0;
	err = sqlite_number(db, &rows, 0,
			    "SELECT max(n) FROM (SELECT count(*) AS n FROM %s_%s WHERE"
			    " bucket >= %" PRId64 " AND bucket < %" PRId64 " GROUP BY bucket)",
			    tables[table].name, name, from_utc_s, to_utc_s);
	if (err || rows <= r->rows_max + (late ? r->rows_max / 4 : 0))
		return err;
	return r->fold(db, name, from_utc_s, to_utc_s);
}

/* The nth level of a table has closed: make its rows of the finer ones, and fold. */
static int close_buckets(struct db *db, enum table table, int nth, int64_t from_utc_s,
			 int64_t to_utc_s)
{
	const struct table_levels *t = &tables[table];
	const struct level *l = &levels[t->level[nth]];
	int err = 0;

	if (nth > 0)
		err = sqlite_run_range(db, from_utc_s, to_utc_s,
				       "INSERT INTO %s_%s SELECT start, %s, %s FROM (SELECT *,"
				       " bucket - bucket %% %u AS start FROM %s_%s"
				       " WHERE bucket >= ? AND bucket < ?) GROUP BY start, %s",
				       t->name, l->name, rollups[table].key, rollups[table].sums,
				       l->width_s, t->name, levels[t->level[nth - 1]].name,
				       rollups[table].key);
	return err ? err : levels_fold(db, table, nth, from_utc_s, to_utc_s, 0);
}

int levels_advance(struct db *db, int64_t utc_s)
{
	int64_t *closed = db->work->levels.closed_utc_s;
	int err = 0;

	for (int i = 0; i < LEVELS && !err; i++) {
		int64_t from_utc_s = closed[i], to_utc_s = floor_to(utc_s, levels[i].width_s);

		if (from_utc_s == CLOCK_NEVER) {
			closed[i] = to_utc_s;
			continue;
		}
		if (to_utc_s <= from_utc_s)
			break; /* nothing coarser closes either */
		for (int t = 0; t < TABLES; t++)
			for (int nth = 0; nth < tables[t].n_levels && !err; nth++)
				if (tables[t].level[nth] == i)
					err = close_buckets(db, (enum table)t, nth, from_utc_s,
							    to_utc_s);
		closed[i] = to_utc_s;
	}
	return err;
}

/* --- retention ----------------------------------------------------------------------------- */

enum keep {
	KEEP_10S,
	KEEP_1M,
	KEEP_10M,
	KEEP_1H,
	KEEP_1H_SIDE, /* of what lies beside traffic_1h: a year of it */
	KEEP_HEALTH,
	KEEP_FLOWS,
	KEEP_ALWAYS
};

/* What is removed, in the order in which max_size takes it: what a coarser table also tells first. */
static const struct kept {
	const char *table, *column;
	enum keep keep;
	int id, nth;     /* whose kept_from_utc_s it moves; -1: none */
	int next_level;  /* rows leave when that has closed, in whole buckets of it; -1: none */
	int64_t floor_s; /* max_size spares so much of it as long as there is something else */
} kept[] = {
	{"flows", "ended_utc_s", KEEP_FLOWS, -1, 0, -1, 3600},
	{"traffic_10s", "bucket", KEEP_10S, TABLE_TRAFFIC, 0, 1, 3600},
	{"source_reasons_1m", "bucket", KEEP_HEALTH, -1, 0, -1, 7 * DAY_S},
	{"source_health_1m", "bucket", KEEP_HEALTH, -1, 0, -1, 7 * DAY_S},
	{"pairs_1m", "bucket", KEEP_1M, TABLE_PAIRS, 0, 3, DAY_S},
	{"histograms_1m", "bucket", KEEP_1M, TABLE_HISTOGRAMS, 0, 3, DAY_S},
	{"label_flows_1m", "bucket", KEEP_1M, TABLE_LABEL_FLOWS, 0, 3, DAY_S},
	{"claims_1m", "bucket", KEEP_1M, TABLE_CLAIMS, 0, 3, DAY_S},
	{"traffic_1m", "bucket", KEEP_1M, TABLE_TRAFFIC, 1, 2, DAY_S},
	{"traffic_10m", "bucket", KEEP_10M, TABLE_TRAFFIC, 2, 3, 7 * DAY_S},
	{"pairs_1h", "bucket", KEEP_1H_SIDE, TABLE_PAIRS, 1, 4, 30 * DAY_S},
	{"histograms_1h", "bucket", KEEP_1H_SIDE, TABLE_HISTOGRAMS, 1, 4, 30 * DAY_S},
	{"label_flows_1h", "bucket", KEEP_1H_SIDE, TABLE_LABEL_FLOWS, 1, 4, 30 * DAY_S},
	{"claims_1h", "bucket", KEEP_1H_SIDE, TABLE_CLAIMS, 1, 4, 30 * DAY_S},
	{"traffic_1h", "bucket", KEEP_1H, TABLE_TRAFFIC, 3, 4, 30 * DAY_S},
	{"events", "utc_s", KEEP_HEALTH, -1, 0, -1, 30 * DAY_S},
	{"gaps", "from_utc_s", KEEP_HEALTH, -1, 0, -1, 30 * DAY_S},
	{"pairs_1d", "bucket", KEEP_ALWAYS, TABLE_PAIRS, 2, -1, 365 * DAY_S},
	{"histograms_1d", "bucket", KEEP_ALWAYS, TABLE_HISTOGRAMS, 2, -1, 365 * DAY_S},
	{"label_flows_1d", "bucket", KEEP_ALWAYS, TABLE_LABEL_FLOWS, 2, -1, 365 * DAY_S},
	{"claims_1d", "bucket", KEEP_ALWAYS, TABLE_CLAIMS, 2, -1, 365 * DAY_S},
	{"traffic_1d", "bucket", KEEP_ALWAYS, TABLE_TRAFFIC, 4, -1, 365 * DAY_S},
};
#define KEPT_COUNT (sizeof(kept) / sizeof(kept[0]))

static uint32_t keep_s(const struct store_config *cfg, enum keep keep)
{
	const uint32_t year_s = 366 * DAY_S;

	switch (keep) {
	case KEEP_10S:
		return cfg->keep_10s_s;
	case KEEP_1M:
		return cfg->keep_1m_s;
	case KEEP_10M:
		return cfg->keep_10m_s;
	case KEEP_1H:
		return cfg->keep_1h_s;
	case KEEP_1H_SIDE:
		return cfg->keep_1h_s < year_s ? cfg->keep_1h_s : year_s;
	case KEEP_HEALTH:
		return cfg->keep_health_s;
	case KEEP_FLOWS:
		return DAY_S;
	case KEEP_ALWAYS:
		break;
	}
	return 0;
}

/* Rows before this may go when spare_s of the newest time are to stay. */
static int64_t cut_for(const struct db *db, const struct kept *k, int64_t spare_s)
{
	int64_t cut_utc_s = db->work->committed_utc_s - spare_s;
	uint32_t width_s = k->next_level < 0 ? 1 : levels[k->next_level].width_s;

	if (k->next_level >= 0 && db->work->levels.closed_utc_s[k->next_level] < cut_utc_s)
		cut_utc_s = db->work->levels.closed_utc_s[k->next_level];
	if (cut_utc_s < 2 * (int64_t)width_s)
		return 0;
	return floor_to(cut_utc_s, width_s) - width_s; /* one more stays: ranges start mid-bucket */
}

/* Remove what is before cut_utc_s, about TRIM_ROWS rows of it, at least one bucket. */
static int trim(struct db *db, const struct kept *k, int64_t cut_utc_s, int64_t *removed)
{
	uint32_t width_s = k->next_level < 0 ? 1 : levels[k->next_level].width_s;
	int64_t oldest_utc_s, part_utc_s;
	int err;

	*removed = 0;
	err = sqlite_number(db, &oldest_utc_s, cut_utc_s, "SELECT min(%s) FROM %s", k->column,
			    k->table);
	if (err || oldest_utc_s >= cut_utc_s)
		return err;
	err = sqlite_number(db, &part_utc_s, cut_utc_s,
			    "SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %d", k->column, k->table,
			    k->column, TRIM_ROWS);
	if (err)
		return err;
	if (part_utc_s < oldest_utc_s + width_s)
		part_utc_s = oldest_utc_s + width_s;
	if (part_utc_s < cut_utc_s)
		cut_utc_s = floor_to(part_utc_s, width_s);
	err = sqlite_run_range(db, cut_utc_s, 0, "DELETE FROM %s WHERE %s < ?", k->table,
			       k->column);
	if (!err)
		err = sqlite_number(db, removed, 0, "SELECT changes()");
	if (!err && k->id >= 0)
		db->work->levels.kept_from_utc_s[k->id][k->nth] = cut_utc_s;
	return err;
}

static int trim_by_age(struct db *db)
{
	int err = 0;

	for (size_t i = 0; i < KEPT_COUNT && !err; i++) {
		uint32_t spare_s = keep_s(&db->cfg, kept[i].keep);
		int64_t removed;

		if (spare_s)
			err = trim(db, &kept[i], cut_for(db, &kept[i], spare_s), &removed);
	}
	return err;
}

static int read_pages(struct db *db, int64_t *pages, int64_t *used)
{
	int64_t free_pages;
	int err = sqlite_number(db, pages, 0, "PRAGMA page_count");

	if (!err)
		err = sqlite_number(db, &free_pages, 0, "PRAGMA freelist_count");
	if (!err)
		*used = *pages - free_pages;
	return err;
}

/* About TRIM_ROWS rows at most, so that no second takes long; the next second goes on. */
static int trim_by_size(struct db *db, int64_t used_pages_max)
{
	int64_t removed, sum = 0, pages, used;
	int err = 0;

	for (int spare = 1; spare >= 0; spare--) {
		for (size_t i = 0; i < KEPT_COUNT; i++) {
			err = trim(db, &kept[i], cut_for(db, &kept[i], spare ? kept[i].floor_s : 0),
				   &removed);
			if (err)
				return err;
			sum += removed;
			db->work->trimmed_rows += (uint64_t)removed;
			err = read_pages(db, &pages, &used);
			if (err || sum >= TRIM_ROWS || used <= used_pages_max)
				return err;
		}
	}
	return 0;
}

int levels_trim(struct db *db)
{
	int64_t pages, used, page_bytes, limit = INT64_MAX;
	int err = 0;

	if (db->work->committed_utc_s == CLOCK_NEVER)
		return 0;
	if (db->work->levels.closed_utc_s[0] != db->saved->levels.closed_utc_s[0])
		err = trim_by_age(db);
	if (!err)
		err = read_pages(db, &pages, &used);
	if (!err && db->cfg.max_size_bytes) {
		err = sqlite_number(db, &page_bytes, 4096, "PRAGMA page_size");
		limit = (int64_t)(value_clamp(db->cfg.max_size_bytes) / (uint64_t)page_bytes);
	}
	if (!err && used > limit - limit / 10) {
		err = trim_by_size(db, limit - limit / 8);
		if (!err)
			err = read_pages(db, &pages, &used);
	}
	if (!err && (pages > limit - limit / 20 || used < pages - pages / 4))
		err = sqlite_run(db, "PRAGMA incremental_vacuum(" TEXT(VACUUM_PAGES) ")");
	return err;
}
