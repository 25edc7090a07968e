/* Buckets close: fold, roll up, trim. All in SQL, all in the transaction of the second that causes
 * it, so that a crash never leaves a bucket half rolled up. Roll-ups are sums of the finer table;
 * only `codes`, a count of distinct things, is the largest over time, and a sum over code points. */
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

#define CLAIM_ROWS      256   /* own rows of a bucket of claims_*; the rest is folded into one */
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

int levels_fold(struct db *db, int level, int64_t from_utc_s, int64_t to_utc_s)
{
	const char *name = levels[level].name;
	int err;

	/* The ranking is the same in both statements: what the first one adds is not ranked. */
	err = sqlite_run_range(
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

static int roll_up(struct db *db, int level, int64_t from_utc_s, int64_t to_utc_s)
{
	uint32_t width_s = levels[level].width_s;
	int err = sqlite_run_range(
		db, from_utc_s, to_utc_s,
		"INSERT INTO traffic_%s SELECT bucket - bucket %% %u AS start, " KEY ", " SUMS
		", max(codes) FROM traffic_%s"
		" WHERE bucket >= ? AND bucket < ? GROUP BY start, " KEY,
		levels[level].name, width_s, levels[level - 1].name);

	return err ? err : levels_fold(db, level, from_utc_s, to_utc_s);
}

/* Applications are what senders call themselves: as many names as someone cares to send. */
#define CLAIM_KEY "experiment, activity, application, family"
#define CLAIM_SUMS \
	"sum_clamped(starts), sum_clamped(ongoings), sum_clamped(ends), sum_clamped(bytes)"
#define CLAIMS_RANKED                                                                     \
	"WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY bucket"                \
	" ORDER BY starts + ongoings + ends DESC, " CLAIM_KEY ") AS place FROM claims_%s" \
	" WHERE bucket >= ? AND bucket < ? AND experiment <> %d) "

static int fold_claims(struct db *db, const char *name, int64_t from_utc_s, int64_t to_utc_s)
{
	int err = sqlite_run_range(
		db, from_utc_s, to_utc_s,
		CLAIMS_RANKED
		"INSERT INTO claims_%s SELECT bucket, %d, %d, '(other)', 0, " CLAIM_SUMS
		" FROM ranked WHERE place > %d GROUP BY bucket"
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

static int close_claims(struct db *db, int nth, int64_t from_utc_s, int64_t to_utc_s)
{
	const struct level *l = &levels[claim_levels[nth]];
	int err = 0;

	if (nth > 0)
		err = sqlite_run_range(
			db, from_utc_s, to_utc_s,
			"INSERT INTO claims_%s SELECT bucket - bucket %% %u AS start, " CLAIM_KEY
			", " CLAIM_SUMS " FROM claims_%s WHERE bucket >= ? AND bucket < ?"
			" GROUP BY start, " CLAIM_KEY,
			l->name, l->width_s, levels[claim_levels[nth - 1]].name);
	return err ? err : fold_claims(db, l->name, from_utc_s, to_utc_s);
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
		if (i == 0)
			err = levels_fold(db, 0, from_utc_s, to_utc_s);
		else
			err = roll_up(db, i, from_utc_s, to_utc_s);
		for (int nth = 0; nth < CLAIM_LEVELS && !err; nth++)
			if (claim_levels[nth] == i)
				err = close_claims(db, nth, from_utc_s, to_utc_s);
		closed[i] = to_utc_s;
	}
	return err;
}

/* --- retention ----------------------------------------------------------------------------- */

enum keep { KEEP_10S, KEEP_1M, KEEP_10M, KEEP_1H, KEEP_HEALTH, KEEP_ALWAYS };

/* What is removed, in the order in which max_size takes it: what a coarser table also tells first. */
static const struct kept {
	const char *table, *column;
	enum keep keep;
	int level;       /* whose kept_from_utc_s it moves; -1: none */
	int next_level;  /* rows leave when that has closed, in whole buckets of it; -1: none */
	int64_t floor_s; /* max_size spares so much of it as long as there is something else */
} kept[] = {
	{"traffic_10s", "bucket", KEEP_10S, 0, 1, 3600},
	{"source_reasons_1m", "bucket", KEEP_HEALTH, -1, -1, 7 * DAY_S},
	{"source_health_1m", "bucket", KEEP_HEALTH, -1, -1, 7 * DAY_S},
	{"claims_1m", "bucket", KEEP_1M, -1, 3, DAY_S},
	{"traffic_1m", "bucket", KEEP_1M, 1, 2, DAY_S},
	{"traffic_10m", "bucket", KEEP_10M, 2, 3, 7 * DAY_S},
	{"claims_1h", "bucket", KEEP_1H, -1, 4, 30 * DAY_S},
	{"traffic_1h", "bucket", KEEP_1H, 3, 4, 30 * DAY_S},
	{"events", "utc_s", KEEP_HEALTH, -1, -1, 30 * DAY_S},
	{"gaps", "from_utc_s", KEEP_HEALTH, -1, -1, 30 * DAY_S},
	{"claims_1d", "bucket", KEEP_ALWAYS, -1, -1, 365 * DAY_S},
	{"traffic_1d", "bucket", KEEP_ALWAYS, 4, -1, 365 * DAY_S},
};
#define KEPT_COUNT (sizeof(kept) / sizeof(kept[0]))

static uint32_t keep_s(const struct store_config *cfg, enum keep keep)
{
	switch (keep) {
	case KEEP_10S:
		return cfg->keep_10s_s;
	case KEEP_1M:
		return cfg->keep_1m_s;
	case KEEP_10M:
		return cfg->keep_10m_s;
	case KEEP_1H:
		return cfg->keep_1h_s;
	case KEEP_HEALTH:
		return cfg->keep_health_s;
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
	if (!err && k->level >= 0)
		db->work->levels.kept_from_utc_s[k->level] = cut_utc_s;
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
