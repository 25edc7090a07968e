/* What the store makes of 40 active tags in 2 directions from one source, with 64 + 1 rows of
 * unregistered labels in each direction beside them:
 *   rows a second into SQLite, one transaction for each second put, from 1 and from 50 sources, and
 *   how that compares with plain INSERTs of the same rows into a table without any of it, in the
 *   same run;
 *   bytes of the file for a day;
 *   answers from a store as full as a year makes it: 24 h of 10 s, 14 d of minutes, 90 d of 10 min,
 *   a year of hours and days, 200 pairs of sites and tags in each minute, hour and day, and
 * 2,000,000 flows. Its tables are filled by SQL, the questions go through the store's door.
 *
 *   bench_store [DIRECTORY]    (default /tmp; needs 2 GB and a minute)
 *
 * By hand, after make (tests/bench/run.sh does the same):
 *   cc -O2 -std=gnu11 -D_GNU_SOURCE -I. tests/bench/bench_store.c build/lib/store.a
 * build/lib/base.a \ -lsqlite3 -lpthread -lm -o build/bench_store */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"

#define T0     1767225600 /* 2026-01-01T00:00:00Z */
#define DAY_S  86400
#define YEAR_S (365 * DAY_S)
#define TAGS   40
#define NOISE  65
#define ROWS   (2 * (TAGS + NOISE))
#define ASKED  60 /* times each question is asked */

static char path[512], url[600];

static void die(const char *what)
{
	fprintf(stderr, "bench_store: %s\n", what);
	exit(1);
}

static void remove_files(void)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
	char name[600];

	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
}

static struct store *open_store(void)
{
	struct store_config cfg;
	struct store *s = NULL;

	store_config_default(&cfg);
	cfg.url = url;
	cfg.max_size_bytes = 0;
	if (store_open(&s, &cfg) < 0)
		die("cannot open the store");
	return s;
}

static struct traffic_row make_row(int nth)
{
	int direction = nth % 2, tag = nth / 2;
	int registered = tag < TAGS, folded = tag == TAGS + NOISE - 1;

	return (struct traffic_row){
		.key = {.source = 1,
			.direction = direction ? DIRECTION_IN : DIRECTION_OUT,
			.family = 6,
			.carrier = CARRIER_LABEL,
			.grade = registered ? GRADE_REGISTERED : GRADE_UNREGISTERED,
			.experiment = folded       ? STORE_FOLDED
				      : registered ? 2 + tag / 20
						   : 100 + tag,
			.activity = folded ? STORE_FOLDED : 1 + tag % 20},
		.value = {.packets = 1000 + (uint64_t)nth,
			  .bytes = 1500000 + (uint64_t)nth * 1501,
			  .ip_bytes = 1480000,
			  .samples = 1000,
			  .bytes_variance = 1e9,
			  .codes = folded ? 200 : 1},
	};
}

static struct bucket *make_second(int64_t utc_s, int rows)
{
	struct bucket *b = bucket_new(utc_s, (size_t)rows, 0, 0);

	for (int i = 0; i < rows; i++) {
		b->rows[i] = make_row(i % ROWS);
		b->rows[i].key.source = (uint16_t)(1 + i / ROWS);
	}
	return b;
}

/* Of this thread, which is the one that reads: what a busy machine does not distort. */
static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds_since(int64_t start_mono_ns)
{
	return (double)(clock_mono_ns() - start_mono_ns) / 1e9;
}

/* --- rows a second ------------------------------------------------------------------------- */

static double store_rows_per_s(int sources, int seconds)
{
	struct store *s = open_store();
	int64_t start = clock_mono_ns();
	double took_s;

	for (int t = 0; t < seconds; t++) {
		store_put(s, make_second(T0 + t, sources * ROWS));
		if (store_flush(s, 20000) < 0) /* one transaction each */
			die("cannot write");
	}
	took_s = seconds_since(start);
	store_close(s);
	remove_files();
	return (double)seconds * sources * ROWS / took_s;
}

static void run(sqlite3 *handle, const char *sql)
{
	if (sqlite3_exec(handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		die(sqlite3_errmsg(handle));
}

static double plain_rows_per_s(int sources, int seconds)
{
	sqlite3 *handle = NULL;
	sqlite3_stmt *st = NULL;
	int64_t start;
	double took_s;

	sqlite3_open(path, &handle);
	run(handle, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		    "CREATE TABLE plain (a, b, c, d, e, f, g, h, i, j, k, l, m, n)");
	sqlite3_prepare_v2(handle, "INSERT INTO plain VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", -1,
			   &st, NULL);
	start = clock_mono_ns();
	for (int t = 0; t < seconds; t++) {
		run(handle, "BEGIN");
		for (int i = 0; i < sources * ROWS; i++) {
			for (int column = 1; column <= 14; column++)
				sqlite3_bind_int64(st, column, column < 9 ? i % 8 : 1500000 + i);
			sqlite3_step(st);
			sqlite3_reset(st);
		}
		run(handle, "COMMIT");
	}
	took_s = seconds_since(start);
	sqlite3_finalize(st);
	sqlite3_close(handle);
	remove_files();
	return (double)seconds * sources * ROWS / took_s;
}

/* --- what the join adds ---------------------------------------------------------------------- */

#define JOIN_FLOWS  2000
#define JOIN_CLAIMS 20000
#define JOIN_PAIRS  2000

/* Flows of 50 pairs of hosts that ended, claims of 333 minutes by 60 keys, pairs of 45 sites. */
static struct bucket *make_join_second(int64_t utc_s)
{
	struct bucket *b = bucket_new(utc_s, ROWS, JOIN_CLAIMS, 0);

	for (int i = 0; i < ROWS; i++)
		b->rows[i] = make_row(i);
	for (int i = 0; i < JOIN_CLAIMS; i++) {
		struct claim_row *c = &b->claims[i];

		c->minute_utc_s = utc_s - utc_s % 60 - i / 60 * 60;
		c->experiment = 2 + i % 5;
		c->activity = 1 + i % 12;
		c->family = 6;
		c->bytes = 1000000;
		snprintf(c->application, sizeof(c->application), "application %d", i % 3);
	}
	b->pairs = calloc(JOIN_PAIRS, sizeof(*b->pairs));
	b->flows = calloc(JOIN_FLOWS, sizeof(*b->flows));
	b->n_pairs = JOIN_PAIRS;
	b->n_flows = JOIN_FLOWS;
	for (int i = 0; i < JOIN_PAIRS; i++)
		b->pairs[i] = (struct pair_row){.src_site = (uint16_t)(i % 45),
						.dst_site = (uint16_t)(i / 45),
						.family = 6,
						.grade = GRADE_CONFIRMED,
						.experiment = 2,
						.activity = 9,
						.value = make_row(i % ROWS).value};
	for (int i = 0; i < JOIN_FLOWS; i++) {
		struct flow_row *f = &b->flows[i];

		f->key = (struct flow_key){
			.src_ip = {0x20, 1, 0x0d, 0xb8, [15] = (uint8_t)(i % 50)},
			.dst_ip = {0x20, 1, 0x0d, 0xb8, [14] = 1, [15] = (uint8_t)i},
			.src_port = 1094,
			.dst_port = (uint16_t)i,
			.protocol = 6,
			.family = 6};
		f->first_utc_us = (utc_s - 60) * US_PER_S;
		f->last_utc_us = utc_s * US_PER_S;
		f->packets[0] = 1000;
		f->bytes[0] = (uint64_t)i * 1000003 % 999983;
		f->experiment[0] = f->claim_experiment = 2 + i % 5;
		f->activity[0] = f->claim_activity = 1 + i % 12;
		f->grade = (uint8_t)(i % GRADE_COUNT);
		strcpy(f->application, "application 1");
	}
	return b;
}

static void hand_over(int seconds)
{
	struct store *s = open_store();
	double worst_s = 0, sum_s = 0;

	for (int t = 0; t < seconds; t++) {
		struct bucket *b = make_join_second(T0 + 40000 + 7 * t); /* hours close, too */
		int64_t start = clock_mono_ns();
		double took_s;

		store_put(s, b);
		if (store_flush(s, 20000) < 0)
			die("cannot write");
		took_s = seconds_since(start);
		sum_s += took_s;
		worst_s = took_s > worst_s ? took_s : worst_s;
	}
	store_close(s);
	remove_files();
	printf("a second of %d ended flows, %d claims, %d pairs: %.0f ms, at worst %.0f ms\n",
	       JOIN_FLOWS, JOIN_CLAIMS, JOIN_PAIRS, sum_s / seconds * 1e3, worst_s * 1e3);
}

/* --- bytes a day --------------------------------------------------------------------------- */

/* All rows once in each 10 s: the same rows in the database as from every second. */
static double bytes_of_a_day(int rows)
{
	struct store *s = open_store();
	struct stat st;

	for (int t = 0; t <= DAY_S; t += 10) {
		store_put(s, make_second(T0 + t, rows));
		if (t % 600 == 0 && store_flush(s, 20000) < 0)
			die("cannot write");
	}
	store_close(s);
	if (stat(path, &st) < 0)
		die("no file");
	remove_files();
	return (double)st.st_size;
}

/* --- a year -------------------------------------------------------------------------------- */

static void fill_table(sqlite3 *handle, const char *name, int width_s, int64_t span_s,
		       int64_t end_utc_s)
{
	char sql[1024];

	for (int i = 0; i < ROWS; i++) {
		struct traffic_row r = make_row(i);

		snprintf(sql, sizeof(sql), "INSERT INTO row VALUES (1, %d, 6, 1, %d, %d, %d)",
			 r.key.direction, r.key.grade, r.key.experiment, r.key.activity);
		if (strcmp(name, "10s") == 0)
			run(handle, sql);
	}
	snprintf(sql, sizeof(sql),
		 "WITH RECURSIVE t(b) AS (SELECT %lld UNION ALL SELECT b + %d FROM t WHERE b + %d "
		 "< %lld) "
		 "INSERT INTO traffic_%s SELECT b, row.*, 1000 * %d, 1500000 * %d, 1480000 * %d, "
		 "1000, 1e9, 1 "
		 "FROM t CROSS JOIN (SELECT * FROM row ORDER BY 1, 2, 3, 4, 5, 6, 7) AS row",
		 (long long)(end_utc_s - span_s), width_s, width_s, (long long)end_utc_s, name,
		 width_s, width_s, width_s);
	run(handle, sql);
	snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO levels VALUES ('%s', %d, %lld, %lld)",
		 name, width_s, (long long)end_utc_s,
		 (long long)(span_s < YEAR_S ? end_utc_s - span_s : 0));
	run(handle, sql);
}

/* --- a year of what the join adds ---------------------------------------------------------- */

#define PAIRS 200 /* rows of a bucket: 40 pairs of sites, five tags each */

static void fill_pairs(sqlite3 *handle, const char *name, int width_s, int64_t span_s,
		       int64_t end_utc_s)
{
	char sql[1024];

	snprintf(sql, sizeof(sql),
		 "WITH RECURSIVE t(b) AS (SELECT %lld UNION ALL SELECT b + %d FROM t WHERE b + %d "
		 "< %lld), n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
		 "INSERT INTO pairs_%s SELECT b, i / 25, i / 5 %% 5, 6, 3, 2 + i %% 5, 9, 1000, "
		 "1500000 + i, 1480000, 1000, 1e9 FROM t CROSS JOIN n ORDER BY 1, 2, 3, 4, 5, 6",
		 (long long)(end_utc_s - span_s), width_s, width_s, (long long)end_utc_s, PAIRS - 1,
		 name);
	run(handle, sql);
	snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO kept VALUES ('pairs_%s', %lld)", name,
		 (long long)(span_s < YEAR_S ? end_utc_s - span_s : 0));
	run(handle, sql);
}

/* The newest 100,000 ended within the last hour. */
static void fill_flows(sqlite3 *handle, int n, int64_t end_utc_s)
{
	char sql[1024];

	snprintf(sql, sizeof(sql),
		 "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d - 1) "
		 "INSERT INTO flows SELECT i + 1, %lld - (%d - i) * 36 / 1000, "
		 "'2001:db8::' || (i %% 1000), '2001:db8:1::' || (i %% 777), 1094, i %% 60000, 6, "
		 "6, 1, 1, "
		 "i %% 45, i %% 44, i %% 6, 1, 2 + i %% 5, 1 + i %% 12, 2, 2, 1, 1000001 + i %% "
		 "99999, 10, "
		 "i * 7919 %% 1000003, 0, 1, 100, 0, 11, 1, 2, 9, 0, 0, 0, 2, 9, 1, 1000, 5, 5, 5, "
		 "0, 3, 1, "
		 "'2001:db8::1', 1, 0 FROM n",
		 n, (long long)end_utc_s, n);
	run(handle, sql);
}

static void fill_year(int64_t end_utc_s)
{
	static const struct {
		const char *name;
		int width_s;
		int64_t span_s;
	} tables[] = {
		{"10s", 10, DAY_S},   {"1m", 60, 14 * DAY_S}, {"10m", 600, 90 * DAY_S},
		{"1h", 3600, YEAR_S}, {"1d", 86400, YEAR_S},
	};
	sqlite3 *handle = NULL;

	store_close(open_store()); /* makes the schema */
	sqlite3_open(path, &handle);
	run(handle, "PRAGMA synchronous = OFF; BEGIN;"
		    "CREATE TEMP TABLE row (source, direction, family, carrier, grade, experiment, "
		    "activity)");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		fill_table(handle, tables[i].name, tables[i].width_s, tables[i].span_s, end_utc_s);
	fill_pairs(handle, "1m", 60, 14 * DAY_S, end_utc_s);
	fill_pairs(handle, "1h", 3600, YEAR_S, end_utc_s);
	fill_pairs(handle, "1d", 86400, YEAR_S, end_utc_s);
	fill_flows(handle, 2000000, end_utc_s);
	run(handle, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
	sqlite3_close(handle);
}

static void compare(int sources, int seconds)
{
	double ours = store_rows_per_s(sources, seconds),
	       plain = plain_rows_per_s(sources, seconds);

	printf("%2d sources, %5d rows a second put: %.0f rows/s into SQLite, %.2f of plain INSERTs "
	       "(%.0f)\n",
	       sources, sources * ROWS, ours, ours / plain, plain);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct asking { /* one of them is asked */
	const struct store_query *query;
	const struct store_flow_query *flows;
};

/* How large the answer is: series and points, or flows of all that match. */
static void ask_once(struct store *s, const struct asking *a, size_t *n, size_t *of)
{
	struct store_result *r = NULL;
	struct store_flows *f = NULL;

	if (a->query ? store_query(s, a->query, &r) : store_flows(s, a->flows, &f))
		die("cannot ask");
	*n = r ? r->n_series : f->n;
	*of = r ? r->n_points : f->matching;
	store_result_free(r);
	store_flows_free(f);
}

static void time_it(struct store *s, const char *what, const struct asking *a, int times)
{
	double took_ms[ASKED], cpu_ms[ASKED];
	size_t n, of;

	for (int i = 0; i < times; i++) {
		int64_t start = clock_mono_ns();
		double start_cpu_s = cpu_s();

		ask_once(s, a, &n, &of);
		took_ms[i] = seconds_since(start) * 1e3;
		cpu_ms[i] = (cpu_s() - start_cpu_s) * 1e3;
	}
	qsort(took_ms, (size_t)times, sizeof(took_ms[0]), by_size);
	qsort(cpu_ms, (size_t)times, sizeof(cpu_ms[0]), by_size);
	printf("%-28s %6.1f ms median %6.1f ms p95 (%.1f ms of CPU)  %zu %s %zu\n", what,
	       took_ms[times / 2], took_ms[times * 95 / 100], cpu_ms[times / 2], n,
	       a->query ? "series x points" : "flows of", of);
}

static void ask_by(struct store *s, const char *what, uint32_t group, int64_t from_utc_s,
		   int64_t to_utc_s, uint32_t step_s)
{
	const struct store_query q = {
		.from_utc_s = from_utc_s, .to_utc_s = to_utc_s, .step_s = step_s, .group = group};

	time_it(s, what, &(struct asking){.query = &q}, ASKED);
}

static void ask(struct store *s, const char *what, int64_t from_utc_s, int64_t to_utc_s,
		uint32_t step_s)
{
	ask_by(s, what, DIM_BIT(DIM_EXPERIMENT) | DIM_BIT(DIM_ACTIVITY) | DIM_BIT(DIM_DIRECTION),
	       from_utc_s, to_utc_s, step_s);
}

static void ask_pairs(struct store *s, const char *what, int64_t from_utc_s, int64_t to_utc_s,
		      uint32_t step_s)
{
	ask_by(s, what, DIM_BIT(DIM_SRC_SITE) | DIM_BIT(DIM_DST_SITE) | DIM_BIT(DIM_EXPERIMENT),
	       from_utc_s, to_utc_s, step_s);
}

static void ask_flows(struct store *s, const char *what, enum store_flow_order order,
		      uint32_t grades, int64_t from_utc_s, int64_t to_utc_s)
{
	const struct store_flow_query q = {.from_utc_s = from_utc_s,
					   .to_utc_s = to_utc_s,
					   .order = order,
					   .grades = grades,
					   .limit = 100};

	time_it(s, what, &(struct asking){.flows = &q}, ASKED / 4);
}

int main(int argc, char **argv)
{
	int64_t end_utc_s = T0 + YEAR_S;
	struct store *s;
	struct stat st;

	snprintf(path, sizeof(path), "%s/bench_store.db", argc > 1 ? argv[1] : "/tmp");
	snprintf(url, sizeof(url), "sqlite:%s", path);
	log_open(LOG_LEVEL_ERROR, 0);
	setlinebuf(stdout);
	remove_files();
	compare(1, 1000);
	compare(50, 60);
	hand_over(60);
	printf("a day of 40 tags, 2 directions         %.1f MB\n", bytes_of_a_day(2 * TAGS) / 1e6);
	printf("the same with unregistered labels      %.1f MB\n", bytes_of_a_day(ROWS) / 1e6);
	fill_year(end_utc_s);
	stat(path, &st);
	printf("a year's store                         %.0f MB\n", (double)st.st_size / 1e6);
	s = open_store();
	ask(s, "last hour, 10 s", end_utc_s - 3600, end_utc_s, 10);
	ask(s, "last 7 days, 20 min", end_utc_s - 7 * DAY_S, end_utc_s, 1200);
	ask(s, "last 7 days, 10 min", end_utc_s - 7 * DAY_S, end_utc_s, 600);
	ask(s, "last year, 1 day", end_utc_s - YEAR_S, end_utc_s, DAY_S);
	ask(s, "last year, total", end_utc_s - YEAR_S, end_utc_s, 0);
	ask(s, "last 90 days, 3 h", end_utc_s - 90 * DAY_S, end_utc_s, 3 * 3600);
	ask_pairs(s, "sites, last hour, 1 min", end_utc_s - 3600, end_utc_s, 60);
	ask_pairs(s, "sites, last 12 hours, 1 min", end_utc_s - 12 * 3600, end_utc_s, 60);
	ask_pairs(s, "sites, last 7 days, 1 h", end_utc_s - 7 * DAY_S, end_utc_s, 3600);
	ask_pairs(s, "sites, last year, 1 day", end_utc_s - YEAR_S, end_utc_s, DAY_S);
	ask_pairs(s, "sites, last year, total", end_utc_s - YEAR_S, end_utc_s, 0);
	ask_flows(s, "flows of an hour, largest", STORE_FLOWS_BY_BYTES, 0, end_utc_s - 3600,
		  end_utc_s);
	ask_flows(s, "flows of an hour, disagree", STORE_FLOWS_BY_NEWEST, 1u << GRADE_DISAGREE,
		  end_utc_s - 3600, end_utc_s);
	ask_flows(s, "flows of all, largest", STORE_FLOWS_BY_BYTES, 0, 0, end_utc_s);
	store_close(s);
	remove_files();
	return 0;
}
