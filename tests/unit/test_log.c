/* What a log line looks like, byte for byte, read back from standard error. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
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

static int stderr_fd, caught_fd;
static char caught[65536];

static void catch_stderr(void)
{
	char path[] = "/tmp/test_log_XXXXXX";

	caught_fd = mkstemp(path);
	unlink(path);
	fflush(stderr);
	stderr_fd = dup(STDERR_FILENO);
	dup2(caught_fd, STDERR_FILENO);
}

static const char *release_stderr(void)
{
	ssize_t n;

	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	memset(caught, 0, sizeof(caught));
	n = pread(caught_fd, caught, sizeof(caught) - 1, 0);
	close(caught_fd);
	assert_true(n >= 0);
	return caught;
}

static int plain(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_open(LOG_LEVEL_INFO, 0);
	return 0;
}

static void a_line_names_its_room_and_level(void **state)
{
	(void)state;
	catch_stderr();
	log_msg(LOG_LEVEL_INFO, "tap", "attached to %s", "eth1");
	log_msg(LOG_LEVEL_WARN, "tap", "odd");
	log_msg(LOG_LEVEL_ERROR, "tap", "bad");
	log_msg(LOG_LEVEL_DEBUG, "tap", "not written");
	assert_string_equal(release_stderr(), "tap: attached to eth1\n"
					      "tap: warning: odd\n"
					      "tap: error: bad\n");
}

static void a_failure_is_said_with_its_reason_and_returned(void **state)
{
	(void)state;
	catch_stderr();
	assert_int_equal(log_fail(-ENOENT, "store", "open %s", "x.db"), -ENOENT);
	assert_int_equal(log_fail(-9999, "store", "what"), -9999);
	assert_string_equal(release_stderr(), "store: error: open x.db: No such file or directory\n"
					      "store: error: what: unknown error\n");
}

static void what_hostile_input_quotes_cannot_break_a_line(void **state)
{
	(void)state;
	catch_stderr();
	log_msg(LOG_LEVEL_INFO, "firefly", "from %s", "a\nfake: line\r\033[31mred\x7f");
	assert_string_equal(release_stderr(), "firefly: from a?fake: line??[31mred?\n");
}

static void an_endless_line_is_cut_but_keeps_its_reason(void **state)
{
	static char text[4096];
	const char *line;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	catch_stderr();
	log_fail(-ENOSPC, "store", "%s", text);
	line = release_stderr();
	assert_true(strlen(line) <= 1024);
	assert_non_null(strstr(line, "xxx: No space left on device\n"));
}

static void the_journal_gets_priorities(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_open(LOG_LEVEL_DEBUG, 0);
	catch_stderr();
	log_msg(LOG_LEVEL_ERROR, "a", "1");
	log_msg(LOG_LEVEL_WARN, "a", "2");
	log_msg(LOG_LEVEL_INFO, "a", "3");
	log_msg(LOG_LEVEL_DEBUG, "a", "4");
	assert_string_equal(release_stderr(), "<3>a: 1\n<4>a: 2\n<6>a: 3\n<7>a: 4\n");
}

static void time_is_put_in_front(void **state)
{
	const char *line;
	int64_t us;

	(void)state;
	log_open(LOG_LEVEL_INFO, 1);
	catch_stderr();
	log_msg(LOG_LEVEL_INFO, "a", "b");
	line = release_stderr();
	assert_int_equal(clock_parse_utc(&us, line, 24), 0);
	assert_true(llabs(clock_utc_us() - us) < 10 * US_PER_S);
	assert_string_equal(line + 24, " a: b\n");
}

/* The first of a second is written; the next second's says how many were not. */
static void a_flood_becomes_one_line_a_second(void **state)
{
	static struct log_limit limit;
	const char *line;
	int lines = 0;
	unsigned long long said = 0, held;

	(void)state;
	catch_stderr();
	for (int i = 0; i < 1000; i++)
		log_limited(&limit, LOG_LEVEL_WARN, "a", "refused");
	usleep(1100000);
	log_limited(&limit, LOG_LEVEL_WARN, "a", "refused");
	line = release_stderr();
	for (; line && *line; line = strchr(line, '\n') + 1, lines++) {
		assert_memory_equal(line, "a: warning: refused", 19);
		if (sscanf(line, "a: warning: refused (%llu more", &held) == 1)
			said += held;
	}
	assert_in_range(lines, 2, 3); /* the loop may have crossed a second */
	assert_int_equal(lines + said, 1001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_line_names_its_room_and_level, plain),
		cmocka_unit_test_setup(a_failure_is_said_with_its_reason_and_returned, plain),
		cmocka_unit_test_setup(what_hostile_input_quotes_cannot_break_a_line, plain),
		cmocka_unit_test_setup(an_endless_line_is_cut_but_keeps_its_reason, plain),
		cmocka_unit_test_setup(the_journal_gets_priorities, plain),
		cmocka_unit_test_setup(time_is_put_in_front, plain),
		cmocka_unit_test_setup(a_flood_becomes_one_line_a_second, plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
