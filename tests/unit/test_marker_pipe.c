/* The named pipe: lines as flowd, flowd-go and StoRM write them, however their bytes arrive. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "marker/pipe.h"
#include "registry/registry.h"

static struct registry *registry;
static char dir[64], path[96];

static int setup(void **state)
{
	registry = registry_builtin();
	snprintf(dir, sizeof(dir), "/tmp/test-marker-pipe-%d", (int)getpid());
	snprintf(path, sizeof(path), "%s/np", dir);
	return registry && !mkdir(dir, 0755) ? 0 : -1;
}

static int teardown(void **state)
{
	registry_free(registry);
	unlink(path);
	return rmdir(dir);
}

struct events {
	size_t n;
	struct rules_flow_event list[16];
};

static void note(void *arg, const struct rules_flow_event *e)
{
	struct events *events = arg;

	if (events->n < 16)
		events->list[events->n] = *e;
	events->n++;
}

struct end {
	struct pipe_input *p;
	int writer;
	struct events events;
	struct pipe_counters counters;
};

static void open_both(struct end *e)
{
	memset(e, 0, sizeof(*e));
	assert_int_equal(pipe_open(&e->p, path), 0);
	e->writer = open(path, O_WRONLY | O_NONBLOCK);
	assert_true(e->writer >= 0);
}

static void say(struct end *e, const char *text)
{
	assert_int_equal(write(e->writer, text, strlen(text)), (ssize_t)strlen(text));
	pipe_drain(e->p, registry, note, &e->events);
	pipe_count(e->p, &e->counters);
	assert_int_equal(e->counters.received, e->counters.accepted + e->counters.refused);
}

static void close_both(struct end *e)
{
	close(e->writer);
	pipe_close(e->p);
	unlink(path);
}

#define START "start tcp 2001:db8:1::10 1094 2001:db8:2::20 40000 3 14"

static void every_spelling_of_a_line(void **state)
{
	static const struct {
		const char *line;
		enum rules_event event;
		int protocol, family, experiment, activity;
	} cases[] = {
		{START "\n", RULES_START, 6, 6, 3, 14},
		{"START\tTCP\t2001:db8:1::10\t1094 \t2001:db8:2::20  40000\t3\t14\n", RULES_START,
		 6, 6, 3, 14},
		{"  start tcp 2001:db8:1::10 1094 2001:db8:2::20 40000 3 14  \r\n", RULES_START, 6,
		 6, 3, 14},
		/* StoRM: brackets, addresses in full, 0 0 for a tag it could not read */
		{"start tcp [2001:db8:1:0:0:0:0:10] 1094 [2001:db8:2:0:0:0:0:20] 40000 0 0\n",
		 RULES_START, 6, 6, 0, 0},
		{"end tcp 192.0.2.1 2345 198.51.100.2 5777 1 2\n", RULES_END, 6, 4, 1, 2},
		{"start udp 2001:db8:1::10 1 2001:db8:2::20 2 cms 14\n", RULES_START, 17, 6, 3, 14},
		{"Start sctp 2001:db8:1::10 1 2001:db8:2::20 2 atlas AnalysisInput\n", RULES_START,
		 132, 6, 2, 17},
		{"ongoing tcp 2001:db8:1::10 1 2001:db8:2::20 2 3 14\n", RULES_ONGOING, 6, 6, 3,
		 14},
		{"ongoing tcp 2001:db8:1::10 1 2001:db8:2::20 2\n", RULES_ONGOING, 6, 6, 0, 0},
		{"end tcp 2001:db8:1::10 1 2001:db8:2::20 2\n", RULES_END, 6, 6, 0, 0},
	};
	struct end e;

	open_both(&e);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rules_flow_event *got = &e.events.list[i];

		say(&e, cases[i].line);
		if (e.events.n != i + 1)
			fail_msg("refused: %s", cases[i].line);
		assert_int_equal(got->event, cases[i].event);
		assert_int_equal(got->key.protocol, cases[i].protocol);
		assert_int_equal(got->key.family, cases[i].family);
		assert_int_equal(got->tag.experiment, cases[i].experiment);
		assert_int_equal(got->tag.activity, cases[i].activity);
	}
	close_both(&e);
}

static void bad_lines_are_refused_one_by_one(void **state)
{
	static const char *const lines[] = {
		"begin tcp ::1 1 ::2 2 3 14\n",
		"start icmp ::1 1 ::2 2 3 14\n",
		"start tcp ::1 1 ::2 2 3\n",
		"start tcp ::1 1 ::2 2 3 14 label more\n",
		"start tcp ::1 1 192.0.2.1 2 3 14\n", /* flowd-go only warns */
		"start tcp example.org 1 ::2 2 3 14\n",
		"start tcp ::1 0 ::2 2 3 14\n",
		"start tcp ::1 65536 ::2 2 3 14\n",
		"start tcp ::1 1 ::2 -2 3 14\n",
		"start tcp ::1 1 ::2 2 512 1\n", /* flowd spoils the label with these two */
		"start tcp ::1 1 ::2 2 3 64\n",
		"start tcp ::1 1 ::2 2 3 0\n",
		"start tcp ::1 1 ::2 2 nobody 1\n",
		"start tcp [::1 1 ::2 2 3 14\n",
	};
	struct end e;

	open_both(&e);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		say(&e, lines[i]);
		if (e.events.n || e.counters.refused != i + 1)
			fail_msg("accepted: %s", lines[i]);
	}
	assert_int_equal(write(e.writer, "start tcp ::1 1 ::2 2 3 14\0 x\n", 30), 30);
	say(&e, "\n\n"); /* empty lines are nothing */
	assert_int_equal(e.counters.refused, sizeof(lines) / sizeof(lines[0]) + 1);
	say(&e, START "\n"); /* and the next good one is heard */
	assert_int_equal(e.events.n, 1);
	close_both(&e);
}

static void bytes_may_arrive_in_any_pieces(void **state)
{
	static const char text[] = START "\n" START "\n";
	struct end e;

	open_both(&e);
	for (size_t i = 0; i + 1 < sizeof(text); i++) { /* one by one */
		char one[2] = {text[i], 0};

		say(&e, one);
	}
	assert_int_equal(e.events.n, 2);
	say(&e, START "\n" START "\n" START "\nstart tcp"); /* many, and the beginning of one */
	assert_int_equal(e.events.n, 5);
	say(&e, " ::1 1 ::2 2 3 14"); /* flowd-go loses a line that a read cuts */
	assert_int_equal(e.events.n, 5);
	say(&e, "\n");
	assert_int_equal(e.events.n, 6);
	assert_int_equal(e.counters.refused, 0);
	close_both(&e);
}

static void a_line_of_512_bytes_is_the_longest(void **state)
{
	char line[600];
	struct end e;

	open_both(&e);
	memset(line, ' ', sizeof(line));
	memcpy(line, START, sizeof(START) - 1);
	memcpy(line + 511, "\n", 2); /* 512 with its end */
	say(&e, line);
	assert_int_equal(e.events.n, 1);
	memcpy(line + 511, "  ", 2);
	memcpy(line + 512, "\n", 2);
	say(&e, line);
	assert_int_equal(e.events.n, 1);
	assert_int_equal(e.counters.refused, 1);
	for (int i = 0; i < 100; i++) { /* longer than any buffer, without an end */
		line[599] = 0;
		memset(line, 'x', 599);
		say(&e, line);
	}
	say(&e, "\n" START "\n");
	assert_int_equal(e.events.n, 2);
	assert_int_equal(e.counters.refused, 2);
	close_both(&e);
}

/* A writer that never stops must not keep the loop: each call reads a bounded amount. */
static void one_call_reads_so_much_and_no_more(void **state)
{
	static char block[4096];
	size_t written = 0, before;
	struct end e;

	open_both(&e);
	fcntl(e.writer, F_SETPIPE_SZ, 1 << 20);
	memset(block, ' ', sizeof(block));
	for (size_t i = 0; i < sizeof(block); i += 64) {
		memcpy(block + i, "end tcp ::1 1 ::2 2 3 14", 24);
		block[i + 63] = '\n';
	}
	while (written < 8 * PIPE_DRAIN_BYTES && write(e.writer, block, sizeof(block)) > 0)
		written += sizeof(block);
	if (written <= PIPE_DRAIN_BYTES) {
		print_message("the pipe holds only %zu bytes here\n", written);
		close_both(&e);
		skip();
	}
	pipe_drain(e.p, registry, note, &e.events);
	assert_int_equal(e.events.n, PIPE_DRAIN_BYTES / 64);
	do { /* and none is lost */
		before = e.events.n;
		pipe_drain(e.p, registry, note, &e.events);
	} while (e.events.n != before);
	assert_int_equal(e.events.n, written / 64);
	close_both(&e);
}

static void the_pipe_is_for_everybody_and_stays(void **state)
{
	mode_t mask = umask(0077);
	struct pipe_input *p = NULL;
	struct stat st;
	ino_t inode;

	assert_int_equal(pipe_open(&p, path), 0);
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0666);
	inode = st.st_ino;
	pipe_close(p);
	assert_int_equal(pipe_open(&p, path), 0); /* writers may hold it: the same one */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_ino, inode);
	pipe_close(p);
	unlink(path);
}

/* StoRM makes a regular file where it finds no pipe; flowd-go does not notice. */
static void something_else_is_not_opened(void **state)
{
	struct pipe_input *p = NULL;
	int fd = open(path, O_CREAT | O_WRONLY, 0644);

	close(fd);
	assert_int_equal(pipe_open(&p, path), -EEXIST);
	unlink(path);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(pipe_open(&p, path), -EEXIST);
	rmdir(path);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(pipe_open(&p, path), -EEXIST);
	assert_null(p);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_of_a_line),
		cmocka_unit_test(bad_lines_are_refused_one_by_one),
		cmocka_unit_test(bytes_may_arrive_in_any_pieces),
		cmocka_unit_test(a_line_of_512_bytes_is_the_longest),
		cmocka_unit_test(one_call_reads_so_much_and_no_more),
		cmocka_unit_test(the_pipe_is_for_everybody_and_stays),
		cmocka_unit_test(something_else_is_not_opened),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
