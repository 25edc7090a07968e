/* The store through its own door: put seconds, ask, close, open again; then what was put is summed
 * by the test itself and held against every table and every step. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/filter.h"

#define T0    1768003200 /* 2026-01-10T00:00:00Z: the start of a day, hence of every bucket */
#define DAY_S 86400

/* --- tools --------------------------------------------------------------------------------- */

static char dir[64];  /* a new one for each test that asks */
static char path[96]; /* dir/t.db */
static char url[112];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_store.XXXXXX");
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

static struct store_config config(const char *where)
{
	struct store_config cfg;

	store_config_default(&cfg);
	cfg.url = where;
	return cfg;
}

static struct store *open_with(const struct store_config *cfg)
{
	struct store *s = NULL;

	assert_int_equal(store_open(&s, cfg), 0);
	return s;
}

static struct store *open_url(const char *where)
{
	struct store_config cfg = config(where);

	return open_with(&cfg);
}

static struct traffic_row row_of(uint16_t source, uint8_t grade, int experiment, int activity,
				 uint64_t bytes)
{
	return (struct traffic_row){
		.key = {.source = source,
			.direction = DIRECTION_IN,
			.family = 6,
			.carrier = grade ? CARRIER_LABEL : CARRIER_NONE,
			.grade = grade,
			.experiment = experiment,
			.activity = activity},
		.value =
			{.packets = 1, .bytes = bytes, .ip_bytes = bytes, .samples = 1, .codes = 1},
	};
}

static struct traffic_row tag_row(int experiment, int activity, uint64_t bytes)
{
	return row_of(1, GRADE_REGISTERED, experiment, activity, bytes);
}

static void put_row(struct store *s, int64_t utc_s, struct traffic_row row)
{
	struct bucket *b = bucket_new(utc_s, 1, 0, 0);

	b->rows[0] = row;
	store_put(s, b);
}

static void flush(struct store *s)
{
	assert_int_equal(store_flush(s, 20000), 0);
}

static struct store_result *ask(struct store *s, int64_t from_utc_s, int64_t to_utc_s,
				uint32_t step_s, uint32_t group)
{
	struct store_query q = {
		.from_utc_s = from_utc_s, .to_utc_s = to_utc_s, .step_s = step_s, .group = group};
	struct store_result *r = NULL;

	assert_int_equal(store_query(s, &q, &r), 0);
	return r;
}

static uint64_t total_bytes(struct store *s, int64_t from_utc_s, int64_t to_utc_s, uint32_t step_s)
{
	struct store_result *r = ask(s, from_utc_s, to_utc_s, step_s, 0);
	uint64_t bytes = r->n_series ? r->series[0].total.bytes : 0;

	store_result_free(r);
	return bytes;
}

/* A number from the file itself, by another connection: the tables are an interface. */
static int64_t __attribute__((format(printf, 1, 2))) number(const char *format, ...)
{
	sqlite3 *handle = NULL;
	sqlite3_stmt *st = NULL;
	char sql[512];
	va_list args;
	int64_t n;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &st, NULL), SQLITE_OK);
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

/* --- questions ----------------------------------------------------------------------------- */

static void what_was_put_is_found_in_ring_and_database(void **state)
{
	struct store *s = open_url("sqlite::memory:");
	struct store_result *r;

	(void)state;
	for (int i = 0; i < 15; i++)
		put_row(s, T0 + i, tag_row(2, 9, 1000));
	put_row(s, T0 + 15, tag_row(3, 14, 100000));
	flush(s);
	r = ask(s, T0, T0 + 20, 10, 1u << DIM_EXPERIMENT);
	assert_int_equal(r->n_points, 2);
	assert_int_equal(r->n_series, 2);
	assert_int_equal(r->series[0].key.experiment, 3); /* the larger first */
	assert_int_equal(r->series[0].key.activity, 0);   /* not asked for */
	assert_int_equal(r->series[0].points[0].bytes, 0);
	assert_int_equal(r->series[0].points[1].bytes, 100000);
	assert_int_equal(r->series[1].points[0].bytes, 10000);
	assert_int_equal(r->series[1].points[1].bytes, 5000);
	assert_int_equal(r->series[1].total.packets, 15);
	store_result_free(r);
	assert_int_equal(total_bytes(s, T0, T0 + 15, 1), 15000);
	assert_int_equal(total_bytes(s, T0, T0 + 16, 4), 115000);
	assert_int_equal(total_bytes(s, T0, T0 + 20, 0), 115000);
	store_close(s);
}

static void a_range_is_rounded_outwards_to_its_step(void **state)
{
	struct store *s = open_url("sqlite::memory:");
	struct store_result *r;

	(void)state;
	put_row(s, T0 + 59, tag_row(2, 9, 1));
	put_row(s, T0 + 60, tag_row(2, 9, 10));
	put_row(s, T0 + 119, tag_row(2, 9, 100));
	put_row(s, T0 + 120, tag_row(2, 9, 1000));
	flush(s);
	r = ask(s, T0 + 61, T0 + 62, 60, 0);
	assert_int_equal(r->from_utc_s, T0 + 60);
	assert_int_equal(r->to_utc_s, T0 + 120);
	assert_int_equal(r->n_points, 1);
	assert_int_equal(r->series[0].total.bytes, 110);
	store_result_free(r);
	store_close(s);
}

static void bad_questions_are_refused(void **state)
{
	struct store *s = open_url("sqlite::memory:");
	struct store_query q = {.from_utc_s = T0, .to_utc_s = T0, .step_s = 10};
	struct store_result *r = NULL;

	(void)state;
	assert_int_equal(store_query(s, &q, &r), -EINVAL); /* empty */
	q.from_utc_s = -5;
	assert_int_equal(store_query(s, &q, &r), -EINVAL);
	q.from_utc_s = T0;
	q.to_utc_s = T0 + 110010; /* 11,001 points */
	assert_int_equal(store_query(s, &q, &r), -E2BIG);
	q.step_s = 1;
	assert_int_equal(store_query(s, &q, &r), -E2BIG);
	assert_null(r);
	q.step_s = 10;
	q.to_utc_s = T0 + 110000;
	assert_int_equal(store_query(s, &q, &r), 0);
	assert_int_equal(r->n_points, 11000);
	assert_int_equal(r->n_series, 0);
	store_result_free(r);
	store_close(s);
}

static void what_is_beyond_the_limit_is_summed_into_the_rest(void **state)
{
	struct store *s = open_url("sqlite::memory:");
	struct store_query q = {.from_utc_s = T0,
				.to_utc_s = T0 + 10,
				.step_s = 10,
				.group = 1u << DIM_ACTIVITY,
				.limit = 2};
	struct store_result *r;

	(void)state;
	for (int activity = 1; activity <= 5; activity++)
		put_row(s, T0 + activity, tag_row(2, activity, (uint64_t)activity * 100));
	flush(s);
	assert_int_equal(store_query(s, &q, &r), 0);
	assert_int_equal(r->n_series, 3);
	assert_int_equal(r->series[0].key.activity, 5);
	assert_int_equal(r->series[1].key.activity, 4);
	assert_true(r->series[2].is_rest);
	assert_int_equal(r->series[2].total.bytes, 600); /* 100 + 200 + 300 */
	assert_int_equal(r->series[2].points[0].bytes, 600);
	store_result_free(r);
	store_close(s);
}

static size_t resolve_source(void *arg, enum dim dim, const char *text, int experiment,
			     int32_t *out, size_t cap)
{
	int id = dim == DIM_SOURCE ? store_source_find(arg, text) : -1;

	(void)experiment, (void)cap;
	if (id < 0)
		return 0;
	*out = id;
	return 1;
}

static void a_filter_works_alike_in_ring_and_database(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes, noise_bytes;
	} cases[] = {
		{"", 11111, 1110},
		{"experiment=2", 1, 1110},
		{"not experiment=2", 11110, 1110},
		{"source=eth0", 1 + 10 + 100, 110},
		{"source!=eth0", 11000, 1000},
		{"source=eth0 and grade=registered", 1, 110},
		{"not (source=eth0 and grade=registered)", 11110, 1110},
		{"source=eth0 or experiment=2", 111, 1110},
		{"family=4", 10000, 0},
	};
	struct store *s = open_url("sqlite::memory:");
	uint16_t eth0 = store_source_id(s, "eth0", SOURCE_CAPTURE);
	uint16_t eth1 = store_source_id(s, "eth1", SOURCE_CAPTURE);
	struct bucket *b = bucket_new(T0, 5, 0, 0);

	(void)state;
	b->rows[0] = row_of(eth0, GRADE_REGISTERED, 2, 9, 1);
	b->rows[1] = row_of(eth0, GRADE_UNREGISTERED, 77, 1, 10);
	b->rows[2] = row_of(eth0, GRADE_UNREGISTERED, 78, 1, 100);
	b->rows[3] = row_of(eth1, GRADE_UNREGISTERED, 77, 1, 1000);
	b->rows[4] = row_of(eth1, GRADE_UNTAGGED, 0, 0, 10000);
	b->rows[4].key.family = 4;
	store_put(s, b);
	flush(s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct filter *f;
		char why[200];
		size_t at;

		assert_int_equal(
			filter_parse(&f, cases[i].text, resolve_source, s, why, sizeof(why), &at),
			0);
		for (uint32_t step_s = 1; step_s <= 10; step_s += 9) {
			struct store_query q = {.from_utc_s = T0,
						.to_utc_s = T0 + 10,
						.step_s = step_s,
						.filter = f};
			struct store_result *r;

			assert_int_equal(store_query(s, &q, &r), 0);
			assert_int_equal(r->n_series ? r->series[0].total.bytes : 0,
					 cases[i].bytes);
			assert_int_equal(r->unregistered_labels.bytes, cases[i].noise_bytes);
			store_result_free(r);
		}
		filter_free(f);
	}
	store_close(s);
}

static void the_newest_second_is_whole_and_a_copy(void **state)
{
	struct store *s = open_url("sqlite::memory:");
	struct bucket *b = bucket_new(T0, 1, 1, 1);

	(void)state;
	assert_null(store_newest(s));
	b->rows[0] = tag_row(2, 9, 5);
	b->claims[0].starts = 3;
	b->sources[0].id = 1;
	b->sources[0].received = 8;
	store_put(s, b);
	put_row(s, T0, tag_row(2, 10, 6)); /* the same second once more: added */
	b = store_newest(s);
	assert_int_equal(b->start_utc_s, T0);
	assert_int_equal(b->n_rows, 2);
	assert_int_equal(b->rows[0].value.bytes, 5);
	assert_int_equal(b->rows[1].value.bytes, 6);
	assert_int_equal(b->claims[0].starts, 3);
	assert_int_equal(b->sources[0].received, 8);
	bucket_free(b);
	put_row(s, T0 + 1, tag_row(2, 9, 7));
	b = store_second(s, T0);
	assert_int_equal(b->n_rows, 2);
	bucket_free(b);
	assert_null(store_second(s, T0 + 2));
	flush(s);
	assert_int_equal(total_bytes(s, T0, T0 + 10, 10), 18);
	store_close(s);
}

static void the_ring_forgets_after_15_minutes_and_says_so(void **state)
{
	struct store *s = open_url("sqlite::memory:");
	struct store_result *r;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		put_row(s, T0 + i, tag_row(2, 9, 1));
		if (i == 500)
			flush(s);
	}
	r = ask(s, T0, T0 + 1000, 1, 0);
	assert_int_equal(r->series[0].total.bytes, 900);
	assert_int_equal(r->n_gaps, 1);
	assert_int_equal(r->gaps[0].from_utc_s, T0);
	assert_int_equal(r->gaps[0].to_utc_s, T0 + 100);
	assert_string_equal(r->gaps[0].reason, "not in memory");
	store_result_free(r);
	flush(s);
	assert_int_equal(total_bytes(s, T0, T0 + 1000, 10), 1000);
	store_close(s);
}

/* --- names and numbers --------------------------------------------------------------------- */

static void sources_keep_their_numbers(void **state)
{
	struct store *s = open_url(url);
	uint16_t a = store_source_id(s, "eth0", SOURCE_CAPTURE);
	uint16_t b = store_source_id(s, "sflow:192.0.2.254", SOURCE_SFLOW_AGENT);

	(void)state;
	assert_int_not_equal(a, 0);
	assert_int_not_equal(a, b);
	assert_int_equal(store_source_id(s, "eth0", SOURCE_CAPTURE), a);
	assert_int_equal(store_source_find(s, "eth9"), -ENOENT);
	store_close(s);
	s = open_url(url);
	assert_int_equal(store_source_id(s, "sflow:192.0.2.254", SOURCE_SFLOW_AGENT), b);
	assert_int_equal(store_source_find(s, "eth0"), a);
	assert_string_equal(store_source_name(s, a), "eth0");
	assert_string_equal(store_source_name(s, 0), "other");
	assert_string_equal(store_source_name(s, 65535), "");
	for (int i = 0; i < STORE_SOURCES_MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "agent %d", i);
		assert_true(i < STORE_SOURCES_MAX - 3
				    ? store_source_id(s, name, SOURCE_SFLOW_AGENT) > 0
				    : store_source_id(s, name, SOURCE_SFLOW_AGENT) == 0);
	}
	store_close(s);
}

static void numbers_too_large_for_the_database_are_clamped(void **state)
{
	struct store *s = open_url(url);
	struct traffic_row row = tag_row(2, 9, UINT64_MAX);

	(void)state;
	row.value.bytes_variance = -0.0 / 0.0; /* not a number */
	put_row(s, T0, row);
	put_row(s, T0 + 1, row);
	put_row(s, T0 + DAY_S, tag_row(2, 9, 1)); /* closes and rolls up all levels */
	flush(s);
	assert_int_equal(total_bytes(s, T0, T0 + 10, 10), INT64_MAX);
	assert_int_equal(total_bytes(s, T0, T0 + DAY_S, DAY_S), INT64_MAX);
	assert_int_equal(number("SELECT bytes FROM traffic_1d"), INT64_MAX);
	store_close(s);
}

/* --- levels -------------------------------------------------------------------------------- */

/* What the test itself remembers of what it put: bytes by second and kind of row. */
#define KINDS 4
struct truth {
	int64_t start_utc_s;
	size_t n;
	struct {
		int64_t utc_s;
		uint64_t bytes[KINDS];
	} * seconds;
};

static uint64_t truth_bytes(const struct truth *t, int kind, int64_t from_utc_s, int64_t to_utc_s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->seconds[i].utc_s >= from_utc_s && t->seconds[i].utc_s < to_utc_s)
			sum += t->seconds[i].bytes[kind];
	return sum;
}

/* Days of seconds at random distances, some far apart, with more unregistered code points than a
 * bucket has rows for, two of them in the same second now and then. */
static struct truth put_days(struct store *s, int days, unsigned int seed)
{
	struct truth t = {.start_utc_s = T0};
	int64_t utc_s = T0;

	t.seconds = calloc((size_t)days * DAY_S / 30, sizeof(*t.seconds));
	srand(seed);
	while (utc_s < T0 + days * DAY_S) {
		struct bucket *b = bucket_new(utc_s, 20, 0, 0);

		t.seconds[t.n].utc_s = utc_s;
		for (size_t i = 0; i < b->n_rows; i++) {
			int kind = rand() % KINDS;
			uint64_t bytes = (uint64_t)rand() % 1000000;

			if (kind == 0)
				b->rows[i] = row_of(1, GRADE_UNTAGGED, 0, 0, bytes);
			if (kind == 1)
				b->rows[i] = row_of(1, GRADE_REGISTERED, 2, 1 + rand() % 20, bytes);
			if (kind == 2)
				b->rows[i] = row_of(2, GRADE_CONFIRMED, 3, 1 + rand() % 20, bytes);
			if (kind == 3)
				b->rows[i] = row_of((uint16_t)(rand() % 2), GRADE_UNREGISTERED,
						    100 + rand() % 20, rand() % 64, bytes);
			t.seconds[t.n].bytes[kind] += bytes;
		}
		t.n++;
		store_put(s, b);
		if (t.n % 100 == 0)
			flush(s);
		utc_s += rand() % 50 ? 40 + rand() % 40 : rand() % 7200;
		utc_s += utc_s == t.seconds[t.n - 1].utc_s;
	}
	flush(s);
	return t;
}

static const uint8_t kind_grade[KINDS] = {GRADE_UNTAGGED, GRADE_REGISTERED, GRADE_CONFIRMED,
					  GRADE_UNREGISTERED};

static void check_range(struct store *s, const struct truth *t, int64_t from_utc_s,
			int64_t to_utc_s, uint32_t step_s)
{
	struct store_result *r = ask(s, from_utc_s, to_utc_s, step_s, 1u << DIM_GRADE);
	uint64_t found = 0;

	assert_int_equal(r->from_utc_s, from_utc_s);
	assert_int_equal(r->to_utc_s, to_utc_s);
	assert_int_equal(r->step_s, step_s);
	for (int kind = 0; kind < KINDS; kind++) {
		for (size_t i = 0; i < r->n_series; i++) {
			const struct store_series *line = &r->series[i];

			if (line->key.grade != kind_grade[kind])
				continue;
			found += line->total.bytes;
			assert_int_equal(line->total.bytes,
					 truth_bytes(t, kind, from_utc_s, to_utc_s));
			for (size_t p = 0; p < r->n_points; p += 1 + r->n_points / 7) {
				int64_t at = from_utc_s + (int64_t)p * step_s;

				assert_int_equal(line->points[p].bytes,
						 truth_bytes(t, kind, at, at + step_s));
			}
		}
		found -= truth_bytes(t, kind, from_utc_s, to_utc_s);
	}
	assert_int_equal(found, 0); /* no grade is missing */
	assert_int_equal(r->unregistered_labels.bytes, truth_bytes(t, 3, from_utc_s, to_utc_s));
	store_result_free(r);
}

static void every_level_tells_the_same_to_the_byte(void **state)
{
	static const uint32_t steps[] = {10, 60, 600, 3600, 86400, 7200, 30};
	static const char *const tables[] = {"10s", "1m", "10m", "1h", "1d"};
	struct store_config cfg = config(url);
	struct store *s;
	struct truth t;

	(void)state;
	cfg.keep_10s_s = 0; /* for ever: all tables can be asked about all of the range */
	s = open_with(&cfg);
	t = put_days(s, 4, 1);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		for (int n = 0; n < 8; n++) {
			int64_t width = steps[i], from = T0 + rand() % (5 * DAY_S);
			int64_t to = from + 1 + rand() % (5 * DAY_S);

			from -= from % width;
			to += width - to % width;
			if ((to - from) / width <= 11000)
				check_range(s, &t, from, to, steps[i]);
		}
	}
	for (int n = 0; n < 30; n++) { /* totals need no alignment but to 10 s */
		int64_t from = T0 + rand() % (4 * DAY_S) / 10 * 10;
		int64_t to = from + 10 + rand() % (4 * DAY_S) / 10 * 10;

		check_range(s, &t, from, to, 0);
	}
	/* The tables themselves, for those who ask them: the first three days are closed in all. */
	for (int i = 0; i < 5; i++) {
		for (int kind = 0; kind < KINDS; kind++)
			assert_int_equal(
				number("SELECT sum(bytes) FROM traffic_%s WHERE grade = %d AND "
				       "bucket < %d",
				       tables[i], kind_grade[kind], T0 + 3 * DAY_S),
				truth_bytes(&t, kind, T0, T0 + 3 * DAY_S));
		/* and none has more than 64 rows of unregistered codes a place, and the rest's */
		assert_true(number("SELECT max(n) FROM (SELECT count(*) AS n FROM traffic_%s WHERE "
				   "grade = 1 AND bucket < %d GROUP BY bucket, source, direction, "
				   "family, carrier)",
				   tables[i], T0 + 3 * DAY_S) <= STORE_UNREGISTERED_ROWS + 1);
	}
	/* samples and packets follow the same way */
	assert_int_equal(
		number("SELECT sum(packets) + sum(samples) FROM traffic_1d"),
		number("SELECT sum(packets) + sum(samples) FROM traffic_10s WHERE bucket < %d",
		       (int)number("SELECT closed_utc_s FROM levels WHERE name = '1d'")));
	store_close(s);
	s = open_with(&cfg);
	check_range(s, &t, T0, T0 + 5 * DAY_S, 86400);
	store_close(s);
	free(t.seconds);
}

/* Both grades hold numbers that any sender can make up: unregistered, and two headers that differ. */
static void the_64_largest_stay_and_the_rest_is_folded(void **state)
{
	static const uint8_t grades[] = {GRADE_UNREGISTERED, GRADE_DISAGREE};
	struct store *s = open_url(url);
	struct bucket *b = bucket_new(T0, 300, 0, 0);

	(void)state;
	for (size_t i = 0; i < 100; i++) { /* 1 to 100 bytes, not in order */
		b->rows[i] = row_of(1, grades[0], 100 + (int)i, 1, i * 37 % 100 + 1);
		b->rows[100 + i] = row_of(1, grades[1], 100 + (int)i, 1, i * 37 % 100 + 1);
		b->rows[200 + i] = tag_row(2, (int)i, i);
	}
	store_put(s, b);
	put_row(s, T0 + 10, tag_row(2, 9, 1)); /* closes the bucket */
	flush(s);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			number("SELECT count(*) FROM traffic_10s WHERE grade = %d", grades[i]), 65);
		assert_int_equal(number("SELECT min(bytes) FROM traffic_10s WHERE grade = %d AND "
					"experiment >= 100",
					grades[i]),
				 37);
		assert_int_equal(number("SELECT bytes FROM traffic_10s WHERE grade = %d AND "
					"experiment = -1 AND activity = -1",
					grades[i]),
				 36 * 37 / 2);
		assert_int_equal(number("SELECT codes FROM traffic_10s WHERE grade = %d AND "
					"experiment = -1",
					grades[i]),
				 36);
	}
	assert_int_equal(number("SELECT count(*) FROM traffic_10s WHERE grade = %d AND bucket = %d",
				GRADE_REGISTERED, T0),
			 100);
	store_close(s);
}

static void a_late_second_reaches_every_level(void **state)
{
	static const uint32_t steps[] = {10, 60, 600, 3600, 86400};
	struct store *s = open_url(url);

	(void)state;
	put_row(s, T0 + 5, tag_row(2, 9, 1));
	put_row(s, T0 + 2 * DAY_S, tag_row(2, 9, 10));
	put_row(s, T0 + 7, tag_row(2, 9, 100)); /* the clock was set back */
	flush(s);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(total_bytes(s, T0, T0 + DAY_S, steps[i]), 101);
	assert_int_equal(total_bytes(s, T0, T0 + 3 * DAY_S, DAY_S), 111);
	store_close(s);
}

static void old_rows_leave_the_finer_tables(void **state)
{
	struct store_config cfg = config(url);
	struct store_result *r;
	struct store *s;

	(void)state;
	cfg.keep_10s_s = 600;
	cfg.keep_1m_s = 3600;
	s = open_with(&cfg);
	for (int t = 0; t < 3 * 3600; t += 5) {
		put_row(s, T0 + t, tag_row(2, 9, 1));
		if (t % 500 == 0)
			flush(s);
	}
	flush(s);
	/* 10 s: 600 s kept, and up to two minutes more, since whole minutes leave */
	assert_in_range(number("SELECT min(bucket) FROM traffic_10s"), T0 + 3 * 3600 - 600 - 130,
			T0 + 3 * 3600 - 600);
	assert_in_range(number("SELECT min(bucket) FROM traffic_1m"), T0 + 2 * 3600 - 1210,
			T0 + 2 * 3600);
	assert_int_equal(number("SELECT min(bucket) FROM traffic_10m"), T0);
	/* A question of 10 s over all is answered in steps of 10 min, nothing missing. */
	r = ask(s, T0 + 3, T0 + 3 * 3600, 10, 0);
	assert_int_equal(r->step_s, 600);
	assert_int_equal(r->from_utc_s, T0);
	assert_int_equal(r->n_points, 18);
	for (size_t i = 0; i < 18; i++)
		assert_int_equal(r->series[0].points[i].bytes, 120);
	store_result_free(r);
	r = ask(s, T0 + 3 * 3600 - 600, T0 + 3 * 3600, 10, 0); /* still there in full */
	assert_int_equal(r->step_s, 10);
	assert_int_equal(r->series[0].total.bytes, 120);
	store_result_free(r);
	r = ask(s, T0 + 2 * 3600, T0 + 3 * 3600, 90, 0); /* up to a multiple of a minute */
	assert_int_equal(r->step_s, 120);
	assert_int_equal(r->series[0].total.bytes, 720);
	store_result_free(r);
	r = ask(s, T0 + 61, T0 + 3 * 3600, 0, 0);
	assert_int_equal(r->from_utc_s, T0);
	assert_int_equal(r->series[0].total.bytes, 2160);
	store_result_free(r);
	store_close(s);
}

static void the_file_stays_below_its_size(void **state)
{
	struct store_config cfg = config(url);
	struct store_status status;
	struct stat st;
	struct store *s;

	(void)state;
	cfg.max_size_bytes = 512 << 10;
	s = open_with(&cfg);
	for (int t = 0; t < DAY_S + 3600; t += 30) { /* 30 rows of 50 bytes each 30 s: 4 MB */
		struct bucket *b = bucket_new(T0 + t, 30, 0, 0);

		for (size_t i = 0; i < b->n_rows; i++)
			b->rows[i] = tag_row(2, (int)i, 1000000);
		store_put(s, b);
		if (t % 1200 == 0) {
			flush(s);
			store_status(s, &status);
			assert_true(status.file_bytes <= cfg.max_size_bytes * 5 / 4);
		}
	}
	flush(s);
	store_status(s, &status);
	assert_true(status.trimmed_rows > 50000);
	assert_int_equal(status.max_size_bytes, 512 << 10);
	/* What is coarse outlives what is fine: the day is whole. */
	assert_int_equal(total_bytes(s, T0, T0 + DAY_S, DAY_S), 2880ull * 30 * 1000000);
	store_close(s);
	assert_int_equal(stat(path, &st), 0);
	assert_true((uint64_t)st.st_size <= cfg.max_size_bytes);
	cfg.max_size_bytes = 256 << 10; /* lowered: the file shrinks */
	s = open_with(&cfg);
	for (int t = 0; t < 600; t++)
		put_row(s, T0 + DAY_S + 3600 + t, tag_row(2, 9, 1));
	flush(s);
	store_close(s);
	assert_int_equal(stat(path, &st), 0);
	assert_true((uint64_t)st.st_size <= cfg.max_size_bytes);
}

/* --- claims, health, events ---------------------------------------------------------------- */

static void claims_are_summed_and_their_names_bounded(void **state)
{
	struct store *s = open_url(url);

	(void)state;
	for (int i = 0; i < 300; i++) { /* 300 applications in one minute */
		struct bucket *b = bucket_new(T0 + i / 10, 1, 1, 0);

		b->rows[0] = tag_row(2, 9, 1);
		b->claims[0] = (struct claim_row){.experiment = 2, .activity = 9, .family = 6};
		snprintf(b->claims[0].application, sizeof(b->claims[0].application), "app %d", i);
		b->claims[0].starts = 1;
		b->claims[0].ends = (uint64_t)i;
		b->claims[0].bytes = UINT64_MAX / 2 / 300;
		store_put(s, b);
	}
	put_row(s, T0 + 2 * DAY_S, tag_row(2, 9, 1));
	flush(s);
	for (int i = 0; i < 3; i++) {
		const char *table = i == 0 ? "claims_1m" : i == 1 ? "claims_1h" : "claims_1d";

		assert_int_equal(number("SELECT count(*) FROM %s", table), 257);
		assert_int_equal(number("SELECT sum(starts) FROM %s", table), 300);
		assert_int_equal(number("SELECT sum(ends) FROM %s", table), 300 * 299 / 2);
		assert_int_equal(number("SELECT ends FROM %s WHERE experiment = -1", table),
				 44 * 43 / 2);
	}
	store_close(s);
}

static void put_health(struct store *s, int64_t utc_s, uint64_t accepted, uint64_t malformed,
		       uint64_t dropped)
{
	struct bucket *b = bucket_new(utc_s, 0, 0, 1);
	struct source_status *st = &b->sources[0];

	st->id = 1;
	st->up = 1;
	st->accepted = accepted;
	st->received = accepted + malformed + dropped;
	st->rejected[0] = (struct source_reason){"malformed", malformed};
	st->dropped[0] = (struct source_reason){"kernel", dropped};
	st->first_seen_utc_s = T0;
	st->last_seen_utc_s = utc_s;
	store_put(s, b);
}

static void health_is_kept_as_differences(void **state)
{
	struct store *s = open_url(url);

	(void)state;
	store_source_id(s, "eth0", SOURCE_CAPTURE);
	put_health(s, T0 + 58, 100, 5, 0);
	put_health(s, T0 + 59, 150, 7, 3);
	put_health(s, T0 + 60, 170, 7, 3);
	store_close(s);
	s = open_url(url); /* a new start counts from 0 */
	put_health(s, T0 + 61, 10, 1, 0);
	put_health(s, T0 + 70, 11, 1, 0);
	flush(s);
	assert_int_equal(number("SELECT received FROM source_health_1m WHERE bucket = %d", T0),
			 160);
	assert_int_equal(number("SELECT accepted FROM source_health_1m WHERE bucket = %d", T0),
			 150);
	assert_int_equal(number("SELECT received FROM source_health_1m WHERE bucket = %d", T0 + 60),
			 20 + 12);
	assert_int_equal(number("SELECT up_s FROM source_health_1m WHERE bucket = %d", T0 + 60), 3);
	assert_int_equal(number("SELECT sum(received - accepted - rejected - dropped) FROM "
				"source_health_1m"),
			 0);
	assert_int_equal(number("SELECT count FROM source_reasons_1m WHERE bucket = %d AND "
				"outcome = 'rejected' AND reason = 'malformed'",
				T0),
			 7);
	assert_int_equal(
		number("SELECT sum(count) FROM source_reasons_1m WHERE outcome = 'dropped'"), 3);
	assert_int_equal(number("SELECT first_seen_utc_s FROM sources WHERE id = 1"), T0);
	assert_int_equal(number("SELECT last_seen_utc_s FROM sources WHERE id = 1"), T0 + 70);
	store_close(s);
}

static void events_survive_newest_first(void **state)
{
	struct store_event_row e[4];
	struct store *s = open_url(url);

	(void)state;
	store_event(s, "restart", "one");
	store_event(s, "registry", "two");
	assert_int_equal(store_events(s, e, 4), 2);
	assert_string_equal(e[0].text, "two");
	store_close(s);
	s = open_url(url);
	store_event(s, "restart", "three");
	assert_int_equal(store_events(s, e, 2), 2);
	assert_string_equal(e[0].text, "three");
	assert_string_equal(e[1].kind, "registry");
	assert_string_equal(e[1].text, "two");
	store_close(s);
}

/* --- the tables as an interface ------------------------------------------------------------- */

static char *read_whole(const char *name)
{
	FILE *in = fopen(name, "r");
	char *text = calloc(1, 100000);

	assert_non_null(in);
	assert_true(fread(text, 1, 99999, in) > 0);
	fclose(in);
	return text;
}

/* Grafana puts numbers in the place of its variables. */
static void replace_variables(char *sql)
{
	for (char *at = sql; (at = strstr(at, "$__")) != NULL;)
		while (*at == '$' || *at == '_' || (*at >= 'a' && *at <= 'z'))
			*at++ = '1';
}

static void the_documented_questions_can_be_asked(void **state)
{
	char *doc = read_whole("docs/schema.md"), *at = doc;
	struct store *s = open_url(url);
	int n = 0;

	(void)state;
	put_row(s, clock_utc_us() / US_PER_S, tag_row(2, 9, 1000));
	flush(s);
	while ((at = strstr(at, "```sql\n")) != NULL) {
		char *end = strstr(at + 3, "```");

		*end = '\0';
		replace_variables(at);
		run_sql(at + strlen("```sql\n"));
		at = end + 1;
		n++;
	}
	assert_true(n >= 6);
	store_close(s);
	free(doc);
}

/* --- opening ------------------------------------------------------------------------------- */

static void a_restart_goes_on_and_shows_as_a_gap(void **state)
{
	struct store *s = open_url(url);
	struct store_status status;
	struct store_result *r;

	(void)state;
	store_status(s, &status);
	assert_true(status.committed_utc_s == CLOCK_NEVER);
	for (int i = 0; i < 35; i++)
		put_row(s, T0 + i, tag_row(2, 9, 1));
	store_close(s); /* writes what was handed over */
	s = open_url(url);
	store_status(s, &status);
	assert_int_equal(status.committed_utc_s, T0 + 34);
	assert_int_equal(status.oldest_utc_s, T0);
	assert_int_equal(total_bytes(s, T0, T0 + 40, 10), 35);
	put_row(s, T0 + 34, tag_row(2, 9, 100)); /* the second that was cut in two */
	put_row(s, T0 + 100, tag_row(2, 9, 1000));
	flush(s);
	r = ask(s, T0 - 600, T0 + 120, 60, 0);
	assert_int_equal(r->series[0].total.bytes, 1135);
	assert_int_equal(r->n_gaps, 2);
	assert_string_equal(r->gaps[0].reason, "before the first second");
	assert_int_equal(r->gaps[0].from_utc_s, T0 - 600);
	assert_int_equal(r->gaps[0].to_utc_s, T0);
	assert_string_equal(r->gaps[1].reason, "nothing handed over");
	assert_int_equal(r->gaps[1].from_utc_s, T0 + 35);
	assert_int_equal(r->gaps[1].to_utc_s, T0 + 100);
	store_result_free(r);
	store_close(s);
	s = open_url(url);
	put_row(s, T0 + 200, tag_row(2, 9, 1));
	flush(s);
	r = ask(s, T0 + 100, T0 + 300, 10, 0);
	assert_int_equal(r->n_gaps, 1);
	assert_string_equal(r->gaps[0].reason, "not running");
	assert_int_equal(r->gaps[0].from_utc_s, T0 + 101);
	assert_int_equal(r->gaps[0].to_utc_s, T0 + 200);
	store_result_free(r);
	store_close(s);
}

static int open_fails(const char *where)
{
	struct store_config cfg = config(where);
	struct store *s = NULL;
	int err = store_open(&s, &cfg);

	assert_null(s);
	return err;
}

static void what_cannot_be_opened_is_refused(void **state)
{
	(void)state;
	assert_int_equal(open_fails("clickhouse:http://192.0.2.1:8123/scitag"), -EPROTONOSUPPORT);
	assert_int_equal(open_fails(NULL), -EPROTONOSUPPORT);
	assert_int_equal(open_fails("sqlite:"), -EPROTONOSUPPORT);
	assert_int_equal(open_fails("sqlite:/tmp/no such directory/t.db"), -ENOENT);
	store_close(open_url(url));
	run_sql("PRAGMA user_version = 2");
	assert_int_equal(open_fails(url), -EPROTONOSUPPORT);
	run_sql("PRAGMA user_version = 1");
	store_close(open_url(url));
}

static void a_file_of_another_program_is_left_alone(void **state)
{
	char before[20000], after[20000];
	ssize_t n;
	int fd;

	(void)state;
	run_sql("CREATE TABLE letters (text); INSERT INTO letters VALUES ('dear')");
	fd = open(path, O_RDONLY);
	n = pread(fd, before, sizeof(before), 0);
	assert_in_range(n, 4096, sizeof(before) - 1);
	assert_int_equal(open_fails(url), -EPROTONOSUPPORT);
	assert_int_equal(pread(fd, after, sizeof(after), 0), n);
	assert_memory_equal(before, after, (size_t)n);
	close(fd);
}

static void a_broken_file_is_refused_and_not_touched(void **state)
{
	char bytes[5000], after[6000];
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(open_fails(url), -EIO);
	assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(bytes));
	assert_memory_equal(bytes, after, sizeof(bytes));
	close(fd);
}

static void a_second_observer_is_kept_out(void **state)
{
	struct store *s = open_url(url);

	(void)state;
	assert_int_equal(open_fails(url), -EBUSY);
	put_row(s, T0, tag_row(2, 9, 1));
	flush(s);
	store_close(s);
	store_close(open_url(url));
}

int main(void)
{
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_found_in_ring_and_database),
		cmocka_unit_test(a_range_is_rounded_outwards_to_its_step),
		cmocka_unit_test(bad_questions_are_refused),
		cmocka_unit_test(what_is_beyond_the_limit_is_summed_into_the_rest),
		cmocka_unit_test(a_filter_works_alike_in_ring_and_database),
		cmocka_unit_test(the_newest_second_is_whole_and_a_copy),
		cmocka_unit_test(the_ring_forgets_after_15_minutes_and_says_so),
		WITH_DIR(sources_keep_their_numbers),
		WITH_DIR(numbers_too_large_for_the_database_are_clamped),
		WITH_DIR(every_level_tells_the_same_to_the_byte),
		WITH_DIR(the_64_largest_stay_and_the_rest_is_folded),
		WITH_DIR(a_late_second_reaches_every_level),
		WITH_DIR(old_rows_leave_the_finer_tables),
		WITH_DIR(the_file_stays_below_its_size),
		WITH_DIR(claims_are_summed_and_their_names_bounded),
		WITH_DIR(health_is_kept_as_differences),
		WITH_DIR(events_survive_newest_first),
		WITH_DIR(the_documented_questions_can_be_asked),
		WITH_DIR(a_restart_goes_on_and_shows_as_a_gap),
		WITH_DIR(what_cannot_be_opened_is_refused),
		WITH_DIR(a_file_of_another_program_is_left_alone),
		WITH_DIR(a_broken_file_is_refused_and_not_touched),
		WITH_DIR(a_second_observer_is_kept_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
