/* The thread under a source and the handing over of its seconds: nothing is lost between them. */
#include <setjmp.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "observer/source.h"

struct counting {
	uint64_t left;  /* packets still to come */
	uint64_t given; /* packets in the current second */
	uint64_t not_followed;
	int stuck, down, closed;
};

static int counting_drain(void *self, int wait_ms)
{
	struct counting *c = self;
	int n = c->left > 1000 ? 1000 : (int)c->left;

	if (c->stuck)
		nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 200000000}, NULL);
	if (c->down)
		return -EIO;
	if (!n && wait_ms)
		nanosleep(&(struct timespec){.tv_nsec = wait_ms * 1000000L}, NULL);
	c->left -= (uint64_t)n;
	c->given += (uint64_t)n;
	return n;
}

static void counting_take(void *self, struct source_second *out)
{
	struct counting *c = self;

	out->rows = calloc(1, sizeof(*out->rows));
	out->rows[0].value.packets = c->given;
	out->n_rows = 1;
	out->statuses = calloc(1, sizeof(*out->statuses));
	out->statuses[0].up = !c->down;
	out->n_statuses = 1;
	out->seen = calloc(1, sizeof(*out->seen));
	out->seen[0].packets = c->given;
	out->n_seen = 1;
	out->heard = calloc(1, sizeof(*out->heard));
	out->n_heard = 1;
	out->not_followed = c->not_followed;
	c->given = 0;
}

static void counting_close(void *self)
{
	((struct counting *)self)->closed = 1;
}

static const struct source_ops counting_ops = {
	.drain = counting_drain, .take = counting_take, .close = counting_close};

static uint64_t packets_of(struct source_second *second)
{
	uint64_t n = 0;

	for (size_t i = 0; i < second->n_rows; i++)
		n += second->rows[i].value.packets;
	source_second_free(second);
	return n;
}

static void every_packet_is_in_exactly_one_second(void **state)
{
	struct counting c = {.left = 12345678};
	struct source_second second;
	struct source *s;
	uint64_t sum = 0;

	(void)state;
	assert_int_equal(source_start(&s, &counting_ops, &c, "counting"), 0);
	for (int i = 0; i < 20; i++) {
		source_ask(s);
		assert_int_equal(source_take(s, &second), 0);
		sum += packets_of(&second);
	}
	source_close(s, &second);
	sum += packets_of(&second);
	assert_true(c.closed);
	assert_int_equal(sum, 12345678);
}

static void a_second_asked_for_and_not_fetched_comes_with_the_rest(void **state)
{
	struct counting c = {.left = 5000, .not_followed = 77};
	struct source_second second;
	struct source *s;

	(void)state;
	assert_int_equal(source_start(&s, &counting_ops, &c, "counting"), 0);
	source_ask(s);
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	source_close(s, &second);
	assert_int_equal(second.n_rows, 2);
	assert_int_equal(second.n_statuses, 1);
	assert_int_equal(second.n_seen, 2);
	assert_int_equal(second.seen[0].packets + second.seen[1].packets, 5000);
	assert_int_equal(second.n_heard, 2);
	assert_int_equal(second.not_followed, 77); /* a counter: the newer one says all */
	assert_string_equal(second.statuses[0].detail, "flows of 77 packets not followed");
	assert_int_equal(packets_of(&second), 5000);
}

static void a_stuck_source_is_late_but_loses_nothing(void **state)
{
	struct counting c = {.left = 1000, .stuck = 1};
	struct source_second second;
	struct source *s;

	(void)state;
	assert_int_equal(source_start(&s, &counting_ops, &c, "stuck"), 0);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL); /* in its long turn now */
	source_ask(s);
	assert_int_equal(source_take(s, &second), -ETIMEDOUT);
	source_ask(s);
	assert_int_equal(source_take(s, &second), 0);
	assert_int_equal(packets_of(&second), 1000);
	source_close(s, NULL);
}

static void a_source_that_is_down_still_tells_its_status(void **state)
{
	struct counting c = {.down = 1};
	struct source_second second;
	struct source *s;

	(void)state;
	assert_int_equal(source_start(&s, &counting_ops, &c, "down"), 0);
	source_ask(s);
	assert_int_equal(source_take(s, &second), 0);
	assert_int_equal(second.statuses[0].up, 0);
	source_second_free(&second);
	source_close(s, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_packet_is_in_exactly_one_second),
		cmocka_unit_test(a_second_asked_for_and_not_fetched_comes_with_the_rest),
		cmocka_unit_test(a_stuck_source_is_late_but_loses_nothing),
		cmocka_unit_test(a_source_that_is_down_still_tells_its_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
