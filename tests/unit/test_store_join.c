/* What the join adds to a second, through the store's door: sites, claims of past minutes,
 * histograms, flows. What was put is summed by the test itself and held against every level. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/filter.h"

#define T0    1768003200 /* 2026-01-10T00:00:00Z: the start of a day, hence of every bucket */
#define DAY_S 86400

/* --- tools --------------------------------------------------------------------------------- */

static char dir[64], path[96], url[112];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_store_join.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/t.db", dir);
	snprintf(url, sizeof(url), "sqlite:%s", path);
	return 0;
}

static int remove_dir(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
	char name[128];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	return rmdir(dir);
}

static struct store *open_store(void)
{
	struct store_config cfg;
	struct store *s = NULL;

	store_config_default(&cfg);
	cfg.url = url;
	assert_int_equal(store_open(&s, &cfg), 0);
	return s;
}

static void flush(struct store *s)
{
	assert_int_equal(store_flush(s, 20000), 0);
}

static sqlite3_stmt *run(sqlite3 **handle, const char *sql)
{
	sqlite3_stmt *st = NULL;

	assert_int_equal(sqlite3_open_v2(path, handle, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(*handle, sql, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(*handle));
	return st;
}

/* A number from the file itself, by another connection: the tables are an interface. */
static int64_t __attribute__((format(printf, 1, 2))) number(const char *format, ...)
{
	sqlite3 *handle = NULL;
	sqlite3_stmt *st;
	char sql[512];
	va_list args;
	int64_t n;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	st = run(&handle, sql);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(handle);
	return n;
}

static void run_sql(const char *sql)
{
	sqlite3 *handle = NULL;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
}

/* A second with room for so much of what the join adds. */
static struct bucket *second(int64_t utc_s, size_t n_claims, size_t n_pairs, size_t n_histograms,
			     size_t n_label_flows, size_t n_flows)
{
	struct bucket *b = bucket_new(utc_s, 0, n_claims, 0);

	b->pairs = calloc(n_pairs + 1, sizeof(*b->pairs));
	b->histograms = calloc(n_histograms + 1, sizeof(*b->histograms));
	b->label_flows = calloc(n_label_flows + 1, sizeof(*b->label_flows));
	b->flows = calloc(n_flows + 1, sizeof(*b->flows));
	b->n_pairs = n_pairs;
	b->n_histograms = n_histograms;
	b->n_label_flows = n_label_flows;
	b->n_flows = n_flows;
	return b;
}

static size_t resolve(void *arg, enum dim dim, const char *text, int experiment, int32_t *out,
		      size_t cap)
{
	int id = -1;

	(void)experiment, (void)cap;
	if (dim == DIM_SRC_SITE || dim == DIM_DST_SITE)
		id = store_site_find(arg, text);
	if (dim == DIM_APPLICATION)
		id = store_application_find(arg, text);
	*out = id;
	return id >= 0;
}

static struct filter *filter(struct store *s, const char *text)
{
	struct filter *f = NULL;
	char why[200];
	size_t at;

	assert_int_equal(filter_parse(&f, text, resolve, s, why, sizeof(why), &at), 0);
	return f;
}

static int query(struct store *s, int64_t from_utc_s, int64_t to_utc_s, uint32_t step_s,
		 uint32_t group, const char *text, enum store_table table,
		 struct store_result **out)
{
	struct store_query q = {.from_utc_s = from_utc_s,
				.to_utc_s = to_utc_s,
				.step_s = step_s,
				.group = group,
				.filter = filter(s, text),
				.table = table};
	int err = store_query(s, &q, out);

	filter_free((struct filter *)q.filter);
	return err;
}

static uint64_t total(struct store *s, int64_t from_utc_s, int64_t to_utc_s, uint32_t step_s,
		      const char *text, enum store_table table)
{
	struct store_result *r = NULL;
	uint64_t bytes;

	assert_int_equal(query(s, from_utc_s, to_utc_s, step_s, 0, text, table, &r), 0);
	bytes = r->n_series ? r->series[0].total.bytes : 0;
	store_result_free(r);
	return bytes;
}

/* --- names --------------------------------------------------------------------------------- */

static void sites_and_applications_keep_their_numbers(void **state)
{
	struct store *s = open_store();
	uint16_t cern = store_site_id(s, "CERN-PROD"), kit = store_site_id(s, "DE-KIT");
	char name[100];

	(void)state;
	assert_int_not_equal(cern, 0);
	assert_int_not_equal(cern, kit);
	assert_int_equal(store_site_id(s, "CERN-PROD"), cern);
	assert_int_equal(store_site_find(s, "cern-prod"), -ENOENT); /* names are as they are */
	assert_int_equal(store_application_find(s, "DE-KIT"), -ENOENT);
	assert_int_not_equal(store_application_id(s, ""), 0); /* unsaid is a name, too */
	flush(s);
	store_close(s); /* writes what was given numbers, without any second */
	s = open_store();
	assert_int_equal(store_site_find(s, "DE-KIT"), kit);
	assert_int_equal(store_site_find(s, "CERN-PROD"), cern);
	assert_string_equal(store_site_name(s, kit), "DE-KIT");
	assert_string_equal(store_site_name(s, 0), "");
	assert_string_equal(store_site_name(s, 65535), "");
	for (int i = 0; i < STORE_SITES_MAX; i++) { /* two are there already; 0 is none */
		snprintf(name, sizeof(name), "site %d", i);
		assert_int_equal(store_site_id(s, name) != 0, i < STORE_SITES_MAX - 3);
	}
	assert_int_equal(store_site_id(s, "DE-KIT"), kit);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(strlen(store_application_name(s, store_application_id(s, name))), 63);
	store_close(s);
	assert_int_equal(number("SELECT count(*) FROM sites"), STORE_SITES_MAX - 1);
}

/* --- sites --------------------------------------------------------------------------------- */

static struct pair_row pair(int src, int dst, enum scitag_grade grade, int experiment, int activity,
			    uint64_t bytes)
{
	return (struct pair_row){.src_site = (uint16_t)src,
				 .dst_site = (uint16_t)dst,
				 .family = 6,
				 .grade = (uint8_t)grade,
				 .experiment = experiment,
				 .activity = activity,
				 .value = {.packets = 1, .bytes = bytes, .samples = 1}};
}

static void what_flows_between_sites_is_told_alike_by_every_level(void **state)
{
	static const uint32_t steps[] = {60, 3600, 86400};
	struct store *s = open_store();
	int cern = store_site_id(s, "CERN-PROD"), kit = store_site_id(s, "DE-KIT");
	struct store_result *r;
	uint64_t sum = 0;

	(void)state;
	/* two days, a second in every 100: 1 byte CERN > KIT of 2/9, 10 back of 3/14, 100 unknown >
	 * KIT */
	for (int t = 0; t < 2 * DAY_S; t += 100) {
		struct bucket *b = second(T0 + t, 0, 3, 0, 0, 0);

		b->pairs[0] = pair(cern, kit, GRADE_REGISTERED, 2, 9, 1);
		b->pairs[1] = pair(kit, cern, GRADE_CONFIRMED, 3, 14, 10);
		b->pairs[2] = pair(0, kit, GRADE_UNTAGGED, 0, 0, 100);
		store_put(s, b);
		sum++;
		if (t % 10000 == 0)
			flush(s);
	}
	flush(s);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(total(s, T0, T0 + 2 * DAY_S, steps[i], "", STORE_TABLE_PAIRS),
				 111 * sum);
		assert_int_equal(total(s, T0, T0 + 2 * DAY_S, steps[i], "site=CERN-PROD", 0),
				 11 * sum);
		assert_int_equal(total(s, T0, T0 + 2 * DAY_S, steps[i],
				       "src_site=CERN-PROD and experiment=2", 0),
				 sum);
		assert_int_equal(total(s, T0, T0 + 2 * DAY_S, steps[i], "src_site=0", 0),
				 100 * sum);
	}
	/* from the middle of one hour to that of another: 36 seconds an hour */
	assert_int_equal(total(s, T0 + 1800, T0 + 7 * 3600 + 1800, 0, "site=DE-KIT", 0),
			 111 * 7 * 36);
	assert_int_equal(number("SELECT count(*) FROM pairs_1h"), 3 * 47); /* the last is open */
	assert_int_equal(number("SELECT sum(samples) FROM pairs_1d"), 3 * 864);
	assert_int_equal(query(s, T0, T0 + DAY_S, 3600,
			       DIM_BIT(DIM_SRC_SITE) | DIM_BIT(DIM_EXPERIMENT), "", 0, &r),
			 0);
	assert_int_equal(r->n_series, 3);
	assert_int_equal(r->n_points, 24);
	assert_int_equal(r->series[1].key.src_site, kit);
	assert_int_equal(r->series[1].key.dst_site, 0); /* not asked for */
	assert_int_equal(r->series[1].key.experiment, 3);
	assert_int_equal(r->series[1].points[7].bytes, 360);
	store_result_free(r);
	/* what is asked by the second comes by the minute */
	assert_int_equal(query(s, T0, T0 + 600, 1, 0, "site=DE-KIT", 0, &r), 0);
	assert_int_equal(r->step_s, 60);
	store_result_free(r);
	store_close(s);
}

static void the_4096_largest_pairs_stay_and_the_rest_has_no_sites(void **state)
{
	struct store *s = open_store();
	struct bucket *b = second(T0, 0, 5003, 0, 0, 0);

	(void)state;
	for (size_t i = 0; i < 5000; i++) /* 1 to 5000 bytes */
		b->pairs[i] = pair((int)(1 + i / 70), (int)(1 + i % 70),
				   i % 2 ? GRADE_REGISTERED : GRADE_CLAIMED, 2, 9, i + 1);
	b->pairs[5000] = pair(0, 0, GRADE_REGISTERED, 2, 9, 7);
	/* numbers of unregistered labels are nobody's: one row for all */
	b->pairs[5001] = pair(3, 4, GRADE_UNREGISTERED, 77, 1, 1000000);
	b->pairs[5002] = pair(3, 4, GRADE_UNREGISTERED, 78, 1, 1000000);
	store_put(s, b);
	store_put(s, second(T0 + DAY_S, 0, 0, 0, 0, 0)); /* closes all levels */
	flush(s);
	for (int i = 0; i < 3; i++) {
		const char *table = i == 0 ? "pairs_1m" : i == 1 ? "pairs_1h" : "pairs_1d";

		assert_int_equal(number("SELECT sum(bytes) FROM %s", table),
				 5000 * 5001 / 2 + 7 + 2000000);
		assert_int_equal(number("SELECT count(*) FROM %s WHERE src_site > 0", table), 4096);
		assert_int_equal(
			number("SELECT bytes FROM %s WHERE grade = 1 AND experiment = -1", table),
			2000000);
		/* 905 rows of 5000 and the one of 2,000,000: those of 1 to 905 bytes; of claims
		 * anybody may name any tag */
		assert_int_equal(number("SELECT sum(bytes) FROM %s WHERE src_site = 0", table),
				 905 * 906 / 2 + 7);
		assert_int_equal(number("SELECT count(*) FROM %s WHERE src_site = 0", table), 2);
		assert_int_equal(number("SELECT bytes FROM %s WHERE src_site = 0 AND grade = 2 AND "
					"experiment = 2 AND activity = 9",
					table),
				 452 * 453 + 7); /* 2 + 4 + ... + 904 */
		assert_int_equal(number("SELECT bytes FROM %s WHERE src_site = 0 AND grade = 5 AND "
					"experiment = -1",
					table),
				 453 * 453); /* 1 + 3 + ... + 905 */
	}
	store_close(s);
}

static void dimensions_that_no_table_has_together_are_named(void **state)
{
	struct store *s = open_store();
	struct store_result *r = NULL;
	char why[128] = "";

	(void)state;
	assert_int_equal(store_table_of(0, why, sizeof(why)), STORE_TABLE_TRAFFIC);
	assert_int_equal(store_table_of(DIM_BIT(DIM_SOURCE) | DIM_BIT(DIM_GRADE), why, sizeof(why)),
			 STORE_TABLE_TRAFFIC);
	assert_int_equal(
		store_table_of(DIM_BIT(DIM_SRC_SITE) | DIM_BIT(DIM_GRADE), why, sizeof(why)),
		STORE_TABLE_PAIRS);
	assert_int_equal(
		store_table_of(DIM_BIT(DIM_APPLICATION) | DIM_BIT(DIM_FAMILY), why, sizeof(why)),
		STORE_TABLE_CLAIMS);
	assert_int_equal(
		store_table_of(DIM_BIT(DIM_SRC_SITE) | DIM_BIT(DIM_CARRIER), why, sizeof(why)),
		-EINVAL);
	assert_string_equal(why, "src_site and carrier are not recorded together");
	assert_int_equal(store_table_of(DIM_BIT(DIM_APPLICATION) | DIM_BIT(DIM_DST_SITE) |
						DIM_BIT(DIM_EXPERIMENT),
					why, sizeof(why)),
			 -EINVAL);
	assert_string_equal(why, "application and dst_site are not recorded together");
	store_application_id(s, "x");
	assert_int_equal(query(s, T0, T0 + 60, 60, DIM_BIT(DIM_SOURCE), "application=x", 0, &r),
			 -EINVAL);
	assert_int_equal(query(s, T0, T0 + 60, 60, DIM_BIT(DIM_SOURCE), "", STORE_TABLE_PAIRS, &r),
			 -EINVAL);
	store_close(s);
}

/* --- claims -------------------------------------------------------------------------------- */

static struct claim_row claim(int64_t minute_utc_s, const char *application, uint64_t bytes,
			      uint64_t end_bytes)
{
	struct claim_row c = {.minute_utc_s = minute_utc_s,
			      .experiment = 2,
			      .activity = 9,
			      .family = 6,
			      .starts = 1,
			      .ends = end_bytes != 0,
			      .bytes = bytes,
			      .end_bytes = end_bytes};

	snprintf(c.application, sizeof(c.application), "%s", application);
	return c;
}

static void claims_reach_past_minutes_at_every_level(void **state)
{
	static const uint32_t steps[] = {60, 3600, 86400};
	struct store *s = open_store();
	struct bucket *b = second(T0 + 2 * DAY_S + 7200, 5, 0, 0, 0, 0);

	(void)state;
	store_put(s, second(T0, 0, 0, 0, 0, 0));
	b->claims[0] = claim(T0 + 600, "xrootd", 1, 0);               /* its day is closed */
	b->claims[1] = claim(T0 + 2 * DAY_S + 3540, "xrootd", 10, 0); /* its hour is */
	b->claims[2] = claim(T0 + 2 * DAY_S + 7140, "xrootd", 100, 0);
	b->claims[3] = claim(0, "xrootd", 1000, 1111);             /* now */
	b->claims[4] = claim(T0 + 3 * DAY_S, "fts", 10000, 10000); /* to come: that is now */
	store_put(s, b);
	flush(s);
	for (int closed = 0; closed < 2; closed++) {
		for (size_t i = 0; i < 3; i++) {
			int64_t end = T0 + 3 * DAY_S;

			assert_int_equal(total(s, T0, end, steps[i], "application=xrootd", 0),
					 1111);
			assert_int_equal(
				total(s, T0, T0 + DAY_S, steps[i], "application=xrootd", 0), 1);
			assert_int_equal(
				total(s, T0 + 2 * DAY_S, end, steps[i], "application=xrootd", 0),
				1110);
			assert_int_equal(total(s, T0, end, steps[i], "", STORE_TABLE_CLAIMS),
					 11111);
		}
		assert_int_equal(total(s, T0 + 2 * DAY_S, T0 + 2 * DAY_S + 3600, 60,
				       "application=xrootd", 0),
				 10);
		assert_int_equal(
			number("SELECT sum(bytes) FROM claims_1m WHERE bucket = %d", T0 + 600), 1);
		assert_int_equal(number("SELECT sum(bytes) FROM claims_1h WHERE bucket = %d", T0),
				 1);
		assert_int_equal(number("SELECT sum(bytes) FROM claims_1d WHERE bucket = %d", T0),
				 1);
		store_put(s, second(T0 + 3 * DAY_S, 0, 0, 0, 0, 0)); /* now all of it is closed */
		flush(s);
	}
	assert_int_equal(number("SELECT sum(end_bytes) FROM claims_1d"), 11111);
	{
		struct store_result *r;

		assert_int_equal(
			query(s, T0, T0 + 4 * DAY_S, 0, DIM_BIT(DIM_APPLICATION), "", 0, &r), 0);
		assert_int_equal(r->n_series, 2);
		assert_int_equal(r->series[0].key.application, store_application_find(s, "fts"));
		assert_int_equal(r->series[1].total.ip_bytes, 1111); /* as booked at the END */
		assert_int_equal(r->series[1].total.packets, 4);     /* STARTs */
		assert_int_equal(r->series[1].total.samples, 1);     /* ENDs */
		store_result_free(r);
	}
	store_close(s);
}

static void what_is_claimed_of_long_ago_goes_to_the_finest_level_still_kept(void **state)
{
	struct store *s = open_store();
	struct bucket *b;

	(void)state;
	for (int day = 0; day < 20; day++) { /* minutes are kept for 14 days */
		b = second(T0 + day * DAY_S, 1, 0, 0, 0, 0);
		b->claims[0] = claim(0, "xrootd", 1, 0);
		store_put(s, b);
		flush(s);
	}
	store_put(s, second(T0 + 20 * DAY_S, 0, 0, 0, 0, 0));
	store_put(s, second(T0 + 20 * DAY_S + 10, 0, 0, 0, 0, 0));
	flush(s);
	assert_int_equal(number("SELECT count(*) FROM claims_1m WHERE bucket <= %d", T0 + DAY_S),
			 0);
	assert_true(number("SELECT from_utc_s FROM kept WHERE name = 'claims_1m'") > T0 + DAY_S);
	b = second(T0 + 20 * DAY_S + 11, 1, 0, 0, 0, 0);
	b->claims[0] = claim(T0 + DAY_S + 60, "xrootd", 1000, 0);
	store_put(s, b);
	flush(s);
	assert_int_equal(
		number("SELECT count(*) FROM claims_1m WHERE bucket <= %d", T0 + 2 * DAY_S), 0);
	assert_int_equal(number("SELECT bytes FROM claims_1h WHERE bucket = %d", T0 + DAY_S), 1001);
	assert_int_equal(number("SELECT bytes FROM claims_1d WHERE bucket = %d", T0 + DAY_S), 1001);
	/* an hour's steps are asked for where minutes are gone */
	assert_int_equal(total(s, T0 + DAY_S, T0 + 2 * DAY_S, 60, "", STORE_TABLE_CLAIMS), 1001);
	assert_int_equal(total(s, T0, T0 + 21 * DAY_S, 0, "", STORE_TABLE_CLAIMS), 1020);
	store_close(s);
}

static void late_claims_do_not_make_a_bucket_grow_without_end(void **state)
{
	struct store *s = open_store();

	(void)state;
	store_put(s, second(T0, 0, 0, 0, 0, 0));
	for (int i = 0; i < 3000; i++) { /* each by another application, all of one past minute */
		struct bucket *b = second(T0 + DAY_S + i, 1, 0, 0, 0, 0);
		char name[32];

		snprintf(name, sizeof(name), "app %d", i);
		b->claims[0] = claim(T0 + 60, name, (uint64_t)i, 0);
		store_put(s, b);
		if (i % 500 == 0)
			flush(s);
	}
	flush(s);
	assert_in_range(number("SELECT count(*) FROM claims_1m WHERE bucket = %d", T0 + 60), 256,
			320);
	assert_in_range(number("SELECT count(*) FROM claims_1d WHERE bucket = %d", T0), 256, 320);
	assert_int_equal(number("SELECT sum(bytes) FROM claims_1m"), 3000 * 2999 / 2);
	assert_int_equal(number("SELECT sum(bytes) FROM claims_1h"), 3000 * 2999 / 2);
	assert_int_equal(number("SELECT sum(bytes) FROM claims_1d"), 3000 * 2999 / 2);
	store_close(s);
}

/* --- histograms ------------------------------------------------------------------------------ */

static void quantiles_of_any_range_are_right_to_a_twentieth(void **state)
{
	struct store *s = open_store();
	struct store_histograms *h;

	(void)state;
	/* Durations of 1 to 1000 ms, each once, of 2/9, one a minute; and 7 of 64 ms of 3/14,
	 * within the first minute. */
	for (int v = 1; v <= 1000; v++) {
		struct bucket *b = second(T0 + v * 60, 0, 0, v == 1 ? 2 : 1, 0, 0);

		b->histograms[0] = (struct histogram_row){.kind = HISTOGRAM_DURATION_MS,
							  .bin = (uint16_t)floor(8 * log2(v)),
							  .experiment = 2,
							  .activity = 9,
							  .n = 1,
							  .max = (uint64_t)v};
		if (v == 1)
			b->histograms[1] = (struct histogram_row){.kind = HISTOGRAM_DURATION_MS,
								  .bin = 48,
								  .experiment = 3,
								  .activity = 14,
								  .n = 7,
								  .max = 64};
		store_put(s, b);
		if (v % 100 == 0)
			flush(s);
	}
	flush(s);
	assert_int_equal(store_histogram(s, HISTOGRAM_DURATION_MS, T0, T0 + DAY_S,
					 DIM_BIT(DIM_EXPERIMENT), NULL, &h),
			 0);
	assert_int_equal(h->n, 2);
	assert_int_equal(h->rows[0].experiment, 2);
	assert_int_equal(h->rows[0].n, 1000);
	assert_int_equal(h->rows[0].max, 1000);
	assert_true(fabs(store_quantile(&h->rows[0], 0.5) / 500 - 1) < 0.05);
	assert_true(fabs(store_quantile(&h->rows[0], 0.95) / 950 - 1) < 0.05);
	assert_true(store_quantile(&h->rows[0], 1) <= 1000);
	assert_int_equal(h->rows[1].n, 7);
	assert_int_equal(h->rows[1].n_bins, 1);
	assert_int_equal(h->rows[1].bins[0].bin, 48);
	assert_true(fabs(store_bin_start(48) - 64) < 1e-9);
	assert_true(store_quantile(&h->rows[1], 0.5) == 64); /* not beyond the largest */
	store_histograms_free(h);
	/* in one row, over a part: minutes 1 to 99 */
	assert_int_equal(store_histogram(s, HISTOGRAM_DURATION_MS, T0, T0 + 6000, 0, NULL, &h), 0);
	assert_int_equal(h->n, 1);
	assert_int_equal(h->rows[0].n, 99 + 7);
	assert_int_equal(h->rows[0].max, 99);
	store_histograms_free(h);
	assert_int_equal(store_histogram(s, HISTOGRAM_BYTES, T0, T0 + DAY_S, 0, NULL, &h), 0);
	assert_int_equal(h->n, 0);
	store_histograms_free(h);
	assert_int_equal(
		store_histogram(s, HISTOGRAM_BYTES, T0, T0 + DAY_S, DIM_BIT(DIM_GRADE), NULL, &h),
		-EINVAL);
	store_close(s);
}

static void made_up_tags_do_not_fill_the_histograms(void **state)
{
	struct store *s = open_store();
	struct bucket *b = second(T0, 0, 0, 600, 0, 0);

	(void)state;
	for (size_t i = 0; i < 600; i++) /* 200 tags of three bins: 1, 2, ..., 200 flows in each */
		b->histograms[i] = (struct histogram_row){.kind = HISTOGRAM_BYTES,
							  .bin = (uint16_t)(80 + i % 3),
							  .experiment = (int32_t)(100 + i / 3),
							  .activity = 1,
							  .n = 1 + i / 3,
							  .max = 5000 + i};
	store_put(s, b);
	store_put(s, second(T0 + DAY_S, 0, 0, 0, 0, 0));
	flush(s);
	for (int i = 0; i < 3; i++) {
		const char *table = i == 0   ? "histograms_1m"
				    : i == 1 ? "histograms_1h"
					     : "histograms_1d";

		assert_int_equal(number("SELECT count(*) FROM %s", table), 129 * 3);
		assert_int_equal(number("SELECT sum(n) FROM %s", table), 3 * 200 * 201 / 2);
		assert_int_equal(
			number("SELECT n FROM %s WHERE experiment = -1 AND bin = 81", table),
			72 * 73 / 2); /* of the 72 smallest */
		assert_int_equal(
			number("SELECT max FROM %s WHERE experiment = -1 AND bin = 82", table),
			5000 + 3 * 71 + 2);
	}
	store_close(s);
}

/* --- labelled flows -------------------------------------------------------------------------- */

static void distinct_flows_of_a_range_are_those_before_it_and_those_begun(void **state)
{
	struct store *s = open_store();
	struct store_label_flows *l;

	(void)state;
	/* In each minute of two days: five flows of 2/9 were there before, one begins in its second
	 * 10 and one in its second 20. Unregistered ones: 3 begin in the first minute of each hour.
	 */
	for (int t = 0; t < 2 * DAY_S; t += 60) {
		for (int i = 0; i < 3; i++) {
			struct bucket *b = second(T0 + t + 10 * i, 0, 0, 0, 2, 0);

			b->label_flows[0] = (struct label_flow_row){2, 9, i > 0, i ? 0 : 5};
			b->label_flows[1] = (struct label_flow_row){
				STORE_FOLDED, STORE_FOLDED, t % 3600 == 0 && i == 0 ? 3 : 0, 0};
			store_put(s, b);
		}
		if (t % 6000 == 0)
			flush(s);
	}
	flush(s);
	for (int64_t from = T0; from <= T0 + 3600 + 120; from += 60) {
		for (int64_t to = from + 60; to < T0 + 2 * DAY_S; to += 12340) {
			int64_t minutes, hours;

			assert_int_equal(store_label_flows(s, from, to, &l), 0);
			minutes = (l->to_utc_s - l->from_utc_s) / 60;
			hours = (l->to_utc_s + 3599) / 3600 - (l->from_utc_s + 3599) / 3600;
			assert_int_equal(l->from_utc_s, from);
			assert_int_equal(l->to_utc_s, (to + 59) / 60 * 60);
			assert_int_equal(l->n, 1 + (hours > 0));
			assert_int_equal(l->rows[l->n - 1].experiment, 2);
			assert_int_equal(l->rows[l->n - 1].flows, 5 + 2 * minutes);
			if (hours)
				assert_int_equal(l->rows[0].flows, 3 * hours);
			store_label_flows_free(l);
		}
	}
	store_close(s);
}

/* --- flows ----------------------------------------------------------------------------------- */

static void ip(uint8_t out[16], int family, int host)
{
	memset(out, 0, 16);
	if (family == 6) { /* 2001:db8::HOST */
		out[0] = 0x20;
		out[1] = 0x01;
		out[2] = 0x0d;
		out[3] = 0xb8;
	} else { /* 192.0.2.HOST */
		memcpy(out + 10, (uint8_t[]){0xff, 0xff, 192, 0, 2}, 5);
	}
	out[15] = (uint8_t)host;
}

static struct flow_row flow(int host, uint64_t bytes, int64_t first_utc_s, int64_t last_utc_s)
{
	struct flow_row f = {
		.key = {.src_port = 1094,
			.dst_port = (uint16_t)(40000 + host),
			.protocol = 6,
			.family = 6},
		.first_utc_us = first_utc_s * US_PER_S,
		.last_utc_us = last_utc_s * US_PER_S,
		.start_utc_us = CLOCK_NEVER,
		.end_utc_us = CLOCK_NEVER,
		.packets = {bytes / 1000, 3},
		.bytes = {bytes, 300},
		.bytes_variance = {1.5, 0.25},
		.samples = 9,
		.claimed_bytes = {UINT64_MAX, UINT64_MAX},
		.rtt_us = -1,
		.experiment = {2, 0},
		.activity = {9, 0},
		.claim_experiment = -1,
		.claim_activity = -1,
		.point = 1,
		.carrier = {CARRIER_LABEL, CARRIER_NONE},
		.grade = GRADE_REGISTERED,
		.state = 2,
	};

	ip(f.key.src_ip, 6, 1);
	ip(f.key.dst_ip, 6, host);
	return f;
}

static struct store_flows *ask_flows(struct store *s, const struct store_flow_query *q)
{
	struct store_flows *f = NULL;

	assert_int_equal(store_flows(s, q, &f), 0);
	return f;
}

static void flows_come_back_as_they_were_put(void **state)
{
	struct store *s = open_store();
	struct bucket *b = second(T0, 0, 0, 0, 0, 2);
	struct store_flow_query q = {
		.from_utc_s = T0, .to_utc_s = T0 + 1, .order = STORE_FLOWS_BY_NEWEST, .limit = 10};
	struct flow_row claimed = flow(2, 5000, T0 - 60, T0 - 5), unseen = flow(3, 0, 0, 0);
	struct store_flows *f;

	(void)state;
	claimed.start_utc_us = (T0 - 70) * US_PER_S + 123456;
	claimed.end_utc_us = T0 * US_PER_S;
	claimed.claimed_bytes[0] = 4800;
	claimed.rtt_us = 1500;
	claimed.claim_experiment = 3;
	claimed.claim_activity = 14;
	claimed.experiment[1] = 77;
	claimed.activity[1] = 5;
	claimed.carrier[1] = CARRIER_DESTINATION;
	claimed.evidence = 0x4001;
	claimed.oddities = 0x2002;
	claimed.src_site = 4;
	claimed.dst_site = 5;
	claimed.direction = DIRECTION_OUT;
	claimed.grade = GRADE_DISAGREE;
	claimed.producer = 3;
	claimed.provenance = 2;
	claimed.claim_turned = 1;
	ip(claimed.sender_ip, 4, 77);
	strcpy(claimed.application, "xrootd");
	unseen.first_utc_us = unseen.last_utc_us = CLOCK_NEVER; /* and IPv4 */
	unseen.key.family = 4;
	ip(unseen.key.src_ip, 4, 1);
	ip(unseen.key.dst_ip, 4, 2);
	b->flows[0] = claimed;
	b->flows[1] = unseen;
	store_put(s, b);
	flush(s);
	f = ask_flows(s, &q);
	assert_int_equal(f->n, 2);
	assert_int_equal(f->matching, 2);
	assert_memory_equal(&f->rows[1], &claimed, sizeof(claimed));
	assert_memory_equal(&f->rows[0], &unseen, sizeof(unseen));
	assert_int_equal(flow_row_key(s, &f->rows[1]).application,
			 store_application_find(s, "xrootd"));
	store_flows_free(f);
	assert_int_equal(
		number("SELECT count(*) FROM flows f JOIN applications a ON a.id = f.application "
		       "WHERE a.name = 'xrootd' AND src = '2001:db8::1' AND dst = '2001:db8::2' "
		       "AND sender = '192.0.2.77'"),
		1);
	assert_int_equal(
		number("SELECT count(*) FROM flows WHERE src = '192.0.2.1' AND sender IS NULL "
		       "AND claimed_bytes IS NULL AND claim_experiment IS NULL"),
		1);
	store_close(s);
}

static void flows_are_found_by_what_is_asked(void **state)
{
	static const struct {
		const char *filter;
		struct store_flow_query q;
		uint64_t matching;
		int first, second; /* hosts */
	} cases[] = {
		{"", {.order = STORE_FLOWS_BY_NEWEST}, 100, 99, 98},
		{"", {.order = STORE_FLOWS_BY_BYTES}, 100, 50, 51},
		{"", {.order = STORE_FLOWS_BY_DURATION}, 100, 0, 1},
		{"", {.order = STORE_FLOWS_BY_RATE}, 100, 99, 98},
		{"", {.order = STORE_FLOWS_BY_NEWEST, .grades = 1 << GRADE_DISAGREE}, 10, 90, 80},
		{"", {.order = STORE_FLOWS_BY_NEWEST, .has_claim = 1}, 34, 99, 96},
		{"", {.order = STORE_FLOWS_BY_NEWEST, .has_claim = -1}, 66, 98, 97},
		{"", {.order = STORE_FLOWS_BY_NEWEST, .oddities = 6}, 4, 75, 50},
		{"site=KIT", {.order = STORE_FLOWS_BY_NEWEST}, 20, 95, 90},
		{"application=x and not grade=disagree",
		 {.order = STORE_FLOWS_BY_NEWEST},
		 30,
		 99,
		 96},
		{"experiment=3 or carrier=destination",
		 {.order = STORE_FLOWS_BY_NEWEST},
		 4,
		 75,
		 50},
	};
	struct store *s = open_store();
	uint16_t kit = store_site_id(s, "KIT");

	(void)state;
	/* Flow i of 100 ends in second i. Bytes are largest for 50; it lasted 1000 - i s; every
	 * tenth disagrees, every third has a claim of x, every 25th is odd and of 3, every fifth is
	 * from KIT. */
	for (int i = 0; i < 100; i++) {
		struct bucket *b = second(T0 + i, 0, 0, 0, 0, 1);
		struct flow_row f =
			flow(i, 1000000 - (uint64_t)abs(100 * (i - 50)), T0 + i - 1000 + i, T0 + i);

		if (i == 51)
			f.bytes[0]++; /* no two alike, but 49 */
		if (i % 10 == 0)
			f.grade = GRADE_DISAGREE;
		if (i % 3 == 0) {
			f.claim_experiment = f.claim_activity = 1;
			strcpy(f.application, "x");
		}
		if (i % 5 == 0)
			f.src_site = kit;
		if (i % 25 == 0) {
			f.oddities = i % 50 ? 2 : 4;
			f.experiment[0] = 3;
		}
		b->flows[0] = f;
		store_put(s, b);
	}
	flush(s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct store_flow_query q = cases[i].q;
		struct filter *wanted = filter(s, cases[i].filter);
		struct store_flows *f;

		q.from_utc_s = T0;
		q.to_utc_s = T0 + 100;
		q.limit = 2;
		q.filter = wanted;
		f = ask_flows(s, &q);
		if (f->matching != cases[i].matching || f->n != 2 ||
		    f->rows[0].key.dst_ip[15] != cases[i].first ||
		    f->rows[1].key.dst_ip[15] != cases[i].second)
			fail_msg("case %zu: %d matching, %d and %d", i, (int)f->matching,
				 f->rows[0].key.dst_ip[15], f->rows[1].key.dst_ip[15]);
		store_flows_free(f);
		filter_free(wanted);
	}
	{
		struct store_flow_query q = {
			.from_utc_s = T0 + 10, .to_utc_s = T0 + 20, .limit = 100};
		struct store_flows *f = ask_flows(s, &q);

		assert_int_equal(f->n, 10);
		store_flows_free(f);
		q.limit = STORE_FLOWS_MAX + 1;
		assert_int_equal(store_flows(s, &q, &f), -EINVAL);
	}
	store_close(s);
}

static void put_flow_at(struct store *s, int64_t utc_s)
{
	struct bucket *b = second(utc_s, 0, 0, 0, 0, 1);

	b->flows[0] = flow(1, 1, utc_s, utc_s);
	store_put(s, b);
}

static void flows_are_kept_for_a_day_and_two_millions_of_them(void **state)
{
	struct store *s = open_store();

	(void)state;
	for (int t = 0; t < 2 * DAY_S; t += 600) {
		put_flow_at(s, T0 + t);
	}
	flush(s);
	assert_in_range(number("SELECT min(ended_utc_s) FROM flows"), T0 + DAY_S - 1300,
			T0 + DAY_S - 600);
	store_close(s);
	run_sql("UPDATE flows SET id = id + 5000000 WHERE id = (SELECT max(id) FROM flows)");
	s = open_store();
	put_flow_at(s, T0 + 2 * DAY_S);
	flush(s);
	assert_int_equal(number("SELECT count(*) FROM flows"), 2); /* within 2,000,000 numbers */
	store_close(s);
}

/* --- older databases -------------------------------------------------------------------------- */

static void an_older_database_gets_what_it_does_not_have(void **state)
{
	struct store *s = open_store();
	struct bucket *b = second(T0, 1, 0, 0, 0, 0);

	(void)state;
	b->claims[0] = claim(0, "xrootd", 5000, 0); /* as it was: bytes of flows that ended */
	store_put(s, b);
	store_put(s, second(T0 + DAY_S, 0, 0, 0, 0, 0));
	flush(s);
	store_close(s);
	run_sql("DROP TABLE pairs_1m; DROP TABLE pairs_1h; DROP TABLE pairs_1d; DROP TABLE "
		"histograms_1m;"
		"DROP TABLE histograms_1h; DROP TABLE histograms_1d; DROP TABLE label_flows_1m;"
		"DROP TABLE label_flows_1h; DROP TABLE label_flows_1d; DROP TABLE sites;"
		"DROP TABLE applications; DROP TABLE flows; DROP TABLE kept;"
		"ALTER TABLE claims_1m DROP COLUMN end_bytes; ALTER TABLE claims_1h DROP COLUMN "
		"end_bytes;"
		"ALTER TABLE claims_1d DROP COLUMN end_bytes");
	s = open_store();
	b = second(T0 + DAY_S + 60, 1, 1, 1, 1, 1);
	b->claims[0] = claim(T0, "xrootd", 10, 70);
	b->pairs[0] = pair(1, 2, GRADE_REGISTERED, 2, 9, 3);
	b->histograms[0] = (struct histogram_row){.kind = HISTOGRAM_BYTES, .n = 1, .max = 1};
	b->label_flows[0] = (struct label_flow_row){2, 9, 1, 0};
	b->flows[0] = flow(1, 1, T0, T0);
	store_put(s, b);
	flush(s);
	assert_int_equal(number("SELECT sum(bytes) FROM claims_1d"), 5010);
	assert_int_equal(number("SELECT sum(end_bytes) FROM claims_1d"), 5070);
	assert_int_equal(number("SELECT sum(bytes) FROM pairs_1m"), 3);
	assert_int_equal(number("SELECT count(*) FROM flows"), 1);
	store_close(s);
	store_close(open_store()); /* once is enough */
	assert_int_equal(number("SELECT sum(end_bytes) FROM claims_1d"), 5070);
}

int main(void)
{
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		WITH_DIR(sites_and_applications_keep_their_numbers),
		WITH_DIR(what_flows_between_sites_is_told_alike_by_every_level),
		WITH_DIR(the_4096_largest_pairs_stay_and_the_rest_has_no_sites),
		WITH_DIR(dimensions_that_no_table_has_together_are_named),
		WITH_DIR(claims_reach_past_minutes_at_every_level),
		WITH_DIR(what_is_claimed_of_long_ago_goes_to_the_finest_level_still_kept),
		WITH_DIR(late_claims_do_not_make_a_bucket_grow_without_end),
		WITH_DIR(quantiles_of_any_range_are_right_to_a_twentieth),
		WITH_DIR(made_up_tags_do_not_fill_the_histograms),
		WITH_DIR(distinct_flows_of_a_range_are_those_before_it_and_those_begun),
		WITH_DIR(flows_come_back_as_they_were_put),
		WITH_DIR(flows_are_found_by_what_is_asked),
		WITH_DIR(flows_are_kept_for_a_day_and_two_millions_of_them),
		WITH_DIR(an_older_database_gets_what_it_does_not_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
