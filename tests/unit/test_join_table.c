/* The table of records by flow key: found again, in order of use, and never two for one key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "join/siphash.h"
#include "join/table.h"

struct record {
	struct flow_key key;
	uint32_t value;
};

static struct flow_key key_of(uint32_t n)
{
	struct flow_key k = {.src_ip = {0x20, 0x01, 0x0d, 0xb8},
			     .dst_ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 2},
			     .src_port = (uint16_t)n,
			     .dst_port = 443,
			     .protocol = 6,
			     .family = 6};

	k.src_ip[12] = (uint8_t)(n >> 24);
	k.src_ip[13] = (uint8_t)(n >> 16);
	return k;
}

static void siphash_is_as_its_paper_has_it(void **state)
{
	/* Aumasson and Bernstein, appendix A: key 00..0f, input 00..0e */
	const uint64_t secret[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	uint8_t input[15];

	(void)state;
	for (uint8_t i = 0; i < 15; i++)
		input[i] = i;
	assert_true(siphash(secret, input, sizeof(input)) == 0xa129ca6149be45e5);
}

static void both_directions_have_one_key(void **state)
{
	struct flow_key there = key_of(1), back = there, a, b;

	(void)state;
	memcpy(back.src_ip, there.dst_ip, 16);
	memcpy(back.dst_ip, there.src_ip, 16);
	back.src_port = there.dst_port;
	back.dst_port = there.src_port;
	assert_int_not_equal(table_key(&a, &there), table_key(&b, &back));
	assert_memory_equal(&a, &b, sizeof(a));
	/* one host talking to itself: the ports tell */
	memcpy(there.dst_ip, there.src_ip, 16);
	assert_int_equal(table_key(&a, &there), 0);
	there.src_port = 443;
	there.dst_port = 1;
	assert_int_equal(table_key(&b, &there), 1);
	assert_memory_equal(&a, &b, sizeof(a));
	/* IPv4 by its mapped address, whoever calls it IPv6 */
	memcpy(back.src_ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
	memcpy(back.dst_ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\2", 16);
	table_key(&a, &back);
	assert_int_equal(a.family, 4);
}

/* A thousand rounds of adding and removing in a small table against a plain array. */
static void what_was_added_is_found_until_removed(void **state)
{
	enum { KEYS = 400, PLACES = 100 };
	struct table *t = table_open(PLACES, sizeof(struct record));
	uint32_t where[KEYS], count = 0;
	uint32_t seed = 1;

	(void)state;
	memset(where, 0xFF, sizeof(where));
	for (int round = 0; round < 20000; round++) {
		uint32_t n = (seed = seed * 1664525 + 1013904223) >> 16, at;
		struct flow_key k = key_of(n %= KEYS);

		at = table_find(t, &k);
		assert_int_equal(at, where[n]);
		if (at != TABLE_NONE) {
			assert_int_equal(((struct record *)table_record(t, at))->value, n);
			table_remove(t, at);
			assert_null(table_record(t, at));
			where[n] = TABLE_NONE;
			count--;
		} else if (count < PLACES) {
			where[n] = table_add(t, &k);
			assert_int_equal(((struct record *)table_record(t, where[n]))->value, 0);
			((struct record *)table_record(t, where[n]))->value = n;
			count++;
		}
		assert_int_equal(table_count(t), count);
	}
	for (uint32_t n = 0; n < KEYS; n++) {
		struct flow_key k = key_of(n);

		assert_int_equal(table_find(t, &k), where[n]);
	}
	table_close(t);
}

static void lists_are_in_order_of_use(void **state)
{
	struct table *t = table_open(4, sizeof(struct record));
	struct flow_key k[4];
	uint32_t at[4];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		k[i] = key_of(i);
		at[i] = table_add(t, &k[i]);
	}
	assert_int_equal(table_oldest(t, 0), at[0]);
	table_touch(t, at[0], 0); /* 1 2 3 0 */
	table_touch(t, at[2], 2); /* 1 3 0, and 2 apart */
	assert_int_equal(table_oldest(t, 0), at[1]);
	assert_int_equal(table_newer(t, at[1]), at[3]);
	assert_int_equal(table_newer(t, at[3]), at[0]);
	assert_int_equal(table_newer(t, at[0]), TABLE_NONE);
	assert_int_equal(table_oldest(t, 2), at[2]);
	assert_int_equal(table_oldest(t, 1), TABLE_NONE);
	table_remove(t, at[3]); /* from the middle */
	assert_int_equal(table_newer(t, at[1]), at[0]);
	table_remove(t, at[1]); /* the oldest */
	assert_int_equal(table_oldest(t, 0), at[0]);
	table_remove(t, at[2]); /* the only one */
	assert_int_equal(table_oldest(t, 2), TABLE_NONE);
	assert_int_equal(table_add(t, &k[1]), at[2]); /* places are used again */
	assert_int_equal(table_max(t), 4);
	assert_int_equal(table_count(t), 2);
	table_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_is_as_its_paper_has_it),
		cmocka_unit_test(both_directions_have_one_key),
		cmocka_unit_test(what_was_added_is_found_until_removed),
		cmocka_unit_test(lists_are_in_order_of_use),
	};

	return cmocka_run_group_tests_name("join_table", tests, NULL, NULL);
}
