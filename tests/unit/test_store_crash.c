/* The store when things go wrong: killed at any moment, a full disk, a database that somebody else
 * holds, readers in the middle of it all. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"

#define T0    1768003200 /* 2026-01-10T00:00:00Z: the start of a day, hence of every bucket */
#define DAY_S 86400

static char dir[64], path[96], url[112];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_store_crash.XXXXXX");
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
	umount(dir); /* of the full disk, if it is there */
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
	cfg.keep_10s_s = 0;
	assert_int_equal(store_open(&s, &cfg), 0);
	return s;
}

/* A second of ROWS rows of one packet each: 70 are unregistered code points, more than a bucket has
 * rows of its own; and what the join adds: a claim of an hour ago, a pair of sites, a flow that ended. */
#define ROWS        80
#define CLAIM_BYTES 7
#define PAIR_BYTES  11
static void put_second(struct store *s, int64_t utc_s)
{
	struct bucket *b = bucket_new(utc_s, ROWS, 1, 0);

	b->claims[0] = (struct claim_row){.minute_utc_s = utc_s - 3600,
					  .experiment = 2,
					  .activity = 9,
					  .application = "xrootd",
					  .bytes = CLAIM_BYTES};
	b->pairs = calloc(1, sizeof(*b->pairs));
	b->pairs[b->n_pairs++] = (struct pair_row){
		.src_site = 1, .dst_site = 2, .family = 6, .value = {.bytes = PAIR_BYTES}};
	b->flows = calloc(1, sizeof(*b->flows));
	b->flows[b->n_flows++] = (struct flow_row){.claim_experiment = -1};
	for (int i = 0; i < ROWS; i++)
		b->rows[i] = (struct traffic_row){
			.key = {.source = 1,
				.family = 6,
				.carrier = CARRIER_LABEL,
				.grade = i < 70 ? GRADE_UNREGISTERED : GRADE_REGISTERED,
				.experiment = i < 70 ? 100 + i : 2,
				.activity = i < 70 ? 1 : i},
			.value = {.packets = 1,
				  .bytes = (uint64_t)(i + 1),
				  .samples = 1,
				  .codes = 1},
		};
	store_put(s, b);
}

static struct traffic_value total(struct store *s, int64_t from_utc_s, int64_t to_utc_s,
				  uint32_t step_s)
{
	struct store_query q = {.from_utc_s = from_utc_s, .to_utc_s = to_utc_s, .step_s = step_s};
	struct store_result *r = NULL;
	struct traffic_value v = {0};

	assert_int_equal(store_query(s, &q, &r), 0);
	if (r->n_series)
		v = r->series[0].total;
	store_result_free(r);
	return v;
}

/* Of a table, whatever the level it is read from. */
static uint64_t total_bytes(struct store *s, enum store_table table, int64_t from_utc_s,
			    int64_t to_utc_s, uint32_t step_s)
{
	struct store_query q = {
		.from_utc_s = from_utc_s, .to_utc_s = to_utc_s, .step_s = step_s, .table = table};
	struct store_result *r = NULL;
	uint64_t bytes;

	assert_int_equal(store_query(s, &q, &r), 0);
	bytes = r->n_series ? r->series[0].total.bytes : 0;
	store_result_free(r);
	return bytes;
}

static uint64_t flows_ended(struct store *s, int64_t from_utc_s, int64_t to_utc_s)
{
	const struct store_flow_query q = {.from_utc_s = from_utc_s, .to_utc_s = to_utc_s};
	struct store_flows *f = NULL;
	uint64_t n;

	assert_int_equal(store_flows(s, &q, &f), 0);
	n = f->matching;
	store_flows_free(f);
	return n;
}

/* --- killed -------------------------------------------------------------------------------- */

#define STRIDE_S \
	97 /* simulated seconds between two puts: minutes, hours and days close all the time */

static void put_until_killed(int confirmed_fd, int64_t from_utc_s)
{
	struct store *s = open_store();

	for (int64_t t = from_utc_s;; t += STRIDE_S) {
		put_second(s, t);
		if (store_flush(s, 10000) < 0 || write(confirmed_fd, &t, sizeof(t)) != sizeof(t))
			_exit(1);
	}
}

static void a_kill_loses_the_newest_second_at_most(void **state)
{
	static const uint32_t steps[] = {10, 60, 600, 3600, 86400};
	int64_t next = T0;

	(void)state;
	srand(11);
	for (int round = 0; round < 25; round++) {
		int64_t confirmed = next - STRIDE_S, t, n;
		struct store_status status;
		struct store *s;
		int fds[2], how;
		pid_t child;

		assert_int_equal(pipe(fds), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
			put_until_killed(fds[1], next);
		close(fds[1]);
		if (round % 2 &&
		    read(fds[0], &t, sizeof(t)) == sizeof(t)) /* else: while it opens, too */
			confirmed = t;
		usleep((useconds_t)(rand() % 60000));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &how, 0), child);
		assert_true(WIFSIGNALED(how));
		while (read(fds[0], &t, sizeof(t)) == sizeof(t))
			confirmed = t;
		close(fds[0]);

		s = open_store();
		store_status(s, &status);
		if (status.committed_utc_s != CLOCK_NEVER) /* killed before the first */
			next = status.committed_utc_s + STRIDE_S;
		assert_in_range(next - STRIDE_S, confirmed, confirmed + STRIDE_S);
		n = (next - T0) / STRIDE_S;
		for (size_t i = 0; i < 5; i++) {
			struct traffic_value v =
				total(s, T0, next - next % DAY_S + DAY_S, steps[i]);

			if ((next - T0) / steps[i] > 11000)
				continue;
			assert_int_equal(v.packets, n * ROWS);
			assert_int_equal(v.bytes, n * (ROWS * (ROWS + 1) / 2));
			if (i == 0 || i == 2) /* pairs and claims have minutes, hours and days */
				continue;
			t = next - next % DAY_S + DAY_S;
			assert_int_equal(total_bytes(s, STORE_TABLE_PAIRS, T0, t, steps[i]),
					 n * PAIR_BYTES);
			assert_int_equal(
				total_bytes(s, STORE_TABLE_CLAIMS, T0 - DAY_S, t, steps[i]),
				n * CLAIM_BYTES);
		}
		/* flows are kept for a day */
		t = next - T0 < DAY_S / 2 ? T0 : next - DAY_S / 2 / STRIDE_S * STRIDE_S;
		if (t < next)
			assert_int_equal(flows_ended(s, t, next), (next - t) / STRIDE_S);
		store_close(s);
	}
	assert_true(next >= T0 + 12 * STRIDE_S);
}

/* A kill does not lose what the kernel holds; a power cut does. So each second is also synced. */

static atomic_int syncs;

int fdatasync(int fd) /* in the place of libc's, for SQLite too */
{
	atomic_fetch_add(&syncs, 1);
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	atomic_fetch_add(&syncs, 1);
	return (int)syscall(SYS_fsync, fd);
}

static void every_second_is_synced(void **state)
{
	struct store *s = open_store();

	(void)state;
	for (int i = 0; i < 50; i++) {
		int before = atomic_load(&syncs);

		put_second(s, T0 + i);
		assert_int_equal(store_flush(s, 10000), 0);
		assert_true(atomic_load(&syncs) > before);
	}
	store_close(s);
}

/* --- full disk ----------------------------------------------------------------------------- */

#define DISK_BYTES   (3 << 20)
#define FILLER_BYTES (2 << 20)

static char filler[96];

/* A small file system of this process's own: gone with it, whatever happens. */
static int mount_small_disk(void)
{
	char size[32];

	snprintf(size, sizeof(size), "size=%d", DISK_BYTES);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return mount("tmpfs", dir, "tmpfs", 0, size) < 0 ? -errno : 0;
}

static void fill_disk(void)
{
	char *bytes = calloc(1, FILLER_BYTES);
	int fd;

	snprintf(filler, sizeof(filler), "%s/filler", dir);
	fd = open(filler, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, bytes, FILLER_BYTES), FILLER_BYTES);
	close(fd);
	free(bytes);
}

static uint64_t put_until_paused(struct store *s)
{
	struct store_status status = {0};
	int64_t t = T0;

	for (; !status.paused && t < T0 + 20000; t++) {
		put_second(s, t);
		if (t % 50 == 0)
			store_flush(s, 5000);
		store_status(s, &status);
	}
	assert_true(status.paused);
	return (uint64_t)(t - T0);
}

static void a_full_disk_pauses_history_and_nothing_else(void **state)
{
	struct store_status status;
	struct store_event_row events[8];
	struct store_result *r;
	struct store *s;
	uint64_t n;
	int err = mount_small_disk();

	(void)state;
	if (err) {
		print_message("no small disk can be mounted (%s): needs root # SKIP\n",
			      strerror(-err));
		skip();
	}
	fill_disk();
	s = open_store();
	n = put_until_paused(s);
	store_status(s, &status);
	assert_true(strstr(status.last_error, "full") != NULL);
	assert_int_equal(store_flush(s, 3000), -ENOSPC);
	for (int i = 0; i < 2000; i++) /* more than the queue holds */
		put_second(s, T0 + (int64_t)n++);
	store_status(s, &status);
	assert_int_equal(status.queued, 900);
	assert_true(status.lost_seconds >= 1100);
	assert_true(status.committed_utc_s < T0 + (int64_t)n - 1);
	/* the live ring goes on */
	assert_int_equal(total(s, T0 + (int64_t)n - 900, T0 + (int64_t)n, 1).packets, 900 * ROWS);
	/* and history can still be read */
	assert_int_equal(total(s, T0, T0 + 100, 10).packets, 100 * ROWS);

	unlink(filler);
	assert_int_equal(store_flush(s, 20000), 0);
	store_status(s, &status);
	assert_false(status.paused);
	assert_int_equal(status.queued, 0);
	assert_int_equal(status.committed_utc_s, T0 + (int64_t)n - 1);
	assert_int_equal(total(s, T0, T0 + (int64_t)n + 10, 0).packets,
			 (n - status.lost_seconds) * ROWS);
	{
		struct store_query q = {.from_utc_s = T0, .to_utc_s = T0 + (int64_t)n};

		assert_int_equal(store_query(s, &q, &r), 0);
		assert_int_equal(r->n_gaps, 1);
		assert_string_equal(r->gaps[0].reason, "disk full");
		assert_int_equal(r->gaps[0].to_utc_s - r->gaps[0].from_utc_s, status.lost_seconds);
		store_result_free(r);
	}
	assert_int_equal(store_events(s, events, 8), 2);
	assert_string_equal(events[0].kind, "disk");
	assert_non_null(strstr(events[0].text, "goes on"));
	assert_non_null(strstr(events[1].text, "full"));
	store_close(s);
}

/* The same from a limit on the size of files, which any user can set; in a child, since it stays. */
static int file_too_large(void)
{
	const struct rlimit small = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
	struct store_status status;
	struct store *s;
	uint64_t n;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	s = open_store();
	n = put_until_paused(s);
	if (store_flush(s, 3000) >= 0)
		return 1;
	put_second(s, T0 + (int64_t)n++);
	if (total(s, T0 + (int64_t)n - 10, T0 + (int64_t)n, 1).packets != 10 * ROWS)
		return 2;
	store_status(s, &status);
	if (!status.paused || !status.last_error[0])
		return 3;
	store_close(s); /* cannot write the rest: says so, does not hang */
	return 0;
}

static void a_write_error_pauses_history_and_close_does_not_hang(void **state)
{
	struct store_status status;
	struct store *s;
	int how;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		alarm(60);
		_exit(file_too_large());
	}
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFEXITED(how));
	assert_int_equal(WEXITSTATUS(how), 0);
	s = open_store(); /* what was committed is whole */
	store_status(s, &status);
	assert_int_equal(total(s, T0, status.committed_utc_s + 1, 0).packets,
			 (status.committed_utc_s + 1 - T0) * ROWS);
	store_close(s);
}

/* --- rights -------------------------------------------------------------------------------- */

/* The directory is root's alone; the program opens its files and then becomes nobody. */
static int work_as_nobody(void)
{
	struct store *s = open_store();

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 1;
	for (int i = 0; i < 2000; i++) { /* enough for checkpoints */
		put_second(s, T0 + i);
		if (i % 100 == 0 && store_flush(s, 10000) < 0)
			return 2;
	}
	if (store_flush(s, 10000) < 0)
		return 3;
	if (total(s, T0, T0 + 2000, 10).packets != 2000 * ROWS)
		return 4;
	store_close(s);
	return 0;
}

static void rights_may_be_dropped_once_it_is_open(void **state)
{
	struct store *s;
	pid_t child;
	int how;

	(void)state;
	if (getuid() != 0) {
		print_message("only root can become somebody else # SKIP\n");
		skip();
	}
	child = fork();
	if (child == 0)
		_exit(work_as_nobody());
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFEXITED(how));
	assert_int_equal(WEXITSTATUS(how), 0);
	s = open_store();
	assert_int_equal(total(s, T0, T0 + 2000, 10).packets, 2000 * ROWS);
	store_close(s);
}

/* --- company ------------------------------------------------------------------------------- */

static void somebody_elses_lock_is_waited_for(void **state)
{
	struct store *s = open_store();
	sqlite3 *other = NULL;

	(void)state;
	put_second(s, T0);
	assert_int_equal(store_flush(s, 5000), 0);
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	put_second(s, T0 + 1);
	assert_int_equal(store_flush(s, 300), -ETIMEDOUT);
	assert_int_equal(total(s, T0, T0 + 10, 10).packets, ROWS); /* readers do not wait */
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store_flush(s, 10000), 0);
	assert_int_equal(total(s, T0, T0 + 10, 10).packets, 2 * ROWS);
	sqlite3_close(other);
	store_close(s);
}

static atomic_int stop_reading;

static void *read_all_the_time(void *arg)
{
	struct store *s = arg;
	uint64_t last = 0;
	intptr_t answers = 0;

	while (!atomic_load(&stop_reading)) {
		struct store_query q = {.from_utc_s = T0,
					.to_utc_s = T0 + DAY_S,
					.step_s = answers % 2 ? 10 : 3600};
		struct store_result *r = NULL;
		uint64_t packets;

		if (store_query(s, &q, &r) < 0)
			return (void *)-1;
		packets = r->n_series ? r->series[0].total.packets : 0;
		store_result_free(r);
		if (packets % ROWS || packets < last) /* whole seconds, never fewer */
			return (void *)-2;
		last = packets;
		bucket_free(store_newest(s));
		answers++;
	}
	return (void *)answers;
}

static void readers_see_whole_seconds_only(void **state)
{
	struct store *s = open_store();
	pthread_t readers[6]; /* more than there are connections */
	intptr_t answers;

	(void)state;
	atomic_store(&stop_reading, 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_all_the_time, s), 0);
	for (int i = 0; i < 800; i++) {
		put_second(s, T0 + i);
		if (i % 20 == 0)
			assert_int_equal(store_flush(s, 20000), 0);
	}
	assert_int_equal(store_flush(s, 20000), 0);
	atomic_store(&stop_reading, 1);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(pthread_join(readers[i], (void **)&answers), 0);
		assert_true(answers > 0);
	}
	assert_int_equal(total(s, T0, T0 + 800, 10).packets, 800 * ROWS);
	store_close(s);
}

int main(void)
{
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		WITH_DIR(a_kill_loses_the_newest_second_at_most),
		WITH_DIR(every_second_is_synced),
		WITH_DIR(a_full_disk_pauses_history_and_nothing_else),
		WITH_DIR(a_write_error_pauses_history_and_close_does_not_hang),
		WITH_DIR(rights_may_be_dropped_once_it_is_open),
		WITH_DIR(somebody_elses_lock_is_waited_for),
		WITH_DIR(readers_see_whole_seconds_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
