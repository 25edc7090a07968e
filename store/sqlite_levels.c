/* Buckets close: fold, roll up, trim. All in SQL, all in the transaction of the second that causes
 * it, so that a crash never leaves a bucket half rolled up. Roll-ups are sums of the finer table;
 * only `codes`, a count of distinct things, is the largest over time, and a sum over code points. */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "store/sqlite.h"

#define GROUP "source, direction, family, carrier"
#define KEY   GROUP ", grade, experiment, activity"
#define SUMS                                                                                      \
	"sum_clamped(packets), sum_clamped(bytes), sum_clamped(ip_bytes), sum_clamped(samples), " \
	"total(bytes_variance)"
#define ADD(column) #column " = min(" #column " + excluded." #column ", 9223372036854775807)"

#define CLAIM_ROWS   256   /* own rows of a bucket of claims_*; the rest is folded into one */
#define TRIM_ROWS    20000 /* removed from one table in one transaction, about */
#define VACUUM_PAGES 1024  /* given back in one transaction */
#define DAY_S        86400

int levels_fold(struct db *db, int level, int64_t from_utc_s, int64_t to_utc_s)
{
	/* The ranking is the same for both statements: what the first one adds is not ranked. */
	static const char ranked[] =
		"WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY bucket, " GROUP
		" ORDER BY bytes DESC, experiment, activity) AS place FROM traffic_%s"
		" WHERE bucket >= ? AND bucket < ? AND grade = %d AND experiment <> %d)";
	const char *name = levels[level].name;
	char head[512];
	int err;

	snprintf(head, sizeof(head), ranked, name, GRADE_UNREGISTERED, STORE_FOLDED);
	err = sqlite_run_range(
		db, from_utc_s, to_utc_s,
		"%s INSERT INTO traffic_%s SELECT bucket, " GROUP ", grade, %d, %d, " SUMS
		", sum_clamped(codes) FROM ranked WHERE place > %d GROUP BY bucket, " GROUP
		" ON CONFLICT DO UPDATE SET " ADD(packets) ", " ADD(bytes) ", " ADD(
			ip_bytes) ", " ADD(samples) ", bytes_variance = bytes_variance + "
						    "excluded.bytes_variance, " ADD(codes),
		head, name, STORE_FOLDED, STORE_FOLDED, STORE_UNREGISTERED_ROWS);
	if (err)
		return err;
	return sqlite_run_range(db, from_utc_s, to_utc_s,
				"%s DELETE FROM traffic_%s WHERE (bucket, " KEY
				") IN (SELECT bucket, " KEY " FROM ranked WHERE place > %d)",
				head, name, STORE_UNREGISTERED_ROWS);
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
static int fold_claims(struct db *db, const char *name, int64_t from_utc_s, int64_t to_utc_s)
{
	static const char ranked[] =
		"WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY bucket"
		" ORDER BY starts + ongoings + ends DESC, experiment, activity, application, "
		"family)"
		" AS place FROM claims_%s WHERE bucket >= ? AND bucket < ? AND experiment <> %d)";
	char head[512];
	int err;

	snprintf(head, sizeof(head), ranked, name, STORE_FOLDED);
	err = sqlite_run_range(
		db, from_utc_s, to_utc_s,
		"%s INSERT INTO claims_%s SELECT bucket, %d, %d, '', 0, sum_clamped(starts),"
		" sum_clamped(ongoings), sum_clamped(ends), sum_clamped(bytes)"
		" FROM ranked WHERE place > %d GROUP BY bucket ON CONFLICT DO UPDATE SET " ADD(
			starts) ", " ADD(ongoings) ", " ADD(ends) ", " ADD(bytes),
		head, name, STORE_FOLDED, STORE_FOLDED, CLAIM_ROWS);
	if (err)
		return err;
	return sqlite_run_range(db, from_utc_s, to_utc_s,
				"%s DELETE FROM claims_%s WHERE (bucket, experiment, activity,"
				" application, family) IN (SELECT bucket, experiment, activity,"
				" application, family FROM ranked WHERE place > %d)",
				head, name, CLAIM_ROWS);
}

static int close_claims(struct db *db, int nth, int64_t from_utc_s, int64_t to_utc_s)
{
	const struct level *l = &levels[claim_levels[nth]];
	int err = 0;

	if (nth > 0)
		err = sqlite_run_range(
			db, from_utc_s, to_utc_s,
			"INSERT INTO claims_%s SELECT bucket - bucket %% %u AS start, experiment, "
			"activity,"
			" application, family, sum_clamped(starts), sum_clamped(ongoings),"
			" sum_clamped(ends), sum_clamped(bytes) FROM claims_%s WHERE bucket >= ? "
			"AND"
			" bucket < ? GROUP BY start, experiment, activity, application, family",
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

int levels_trim(struct db *db)
{
	(void)db;
	return 0;
}
