/* What a source saw of each flow in a second, and the list of what it heard: sums, bounds, handing over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "observer/heard.h"
#include "observer/seen.h"

/* 1000 bytes of a flow with this number, tagged 2/17 by its label */
static struct observation packet(uint32_t flow)
{
	struct observation o = {
		.utc_us = 1700000000000000,
		.key = {.src_ip = {0x20, 1, 0xd, 0xb8},
			.dst_ip = {0x20, 1, 0xd, 0xb8, [15] = 1},
			.src_port = 1094,
			.dst_port = 40000,
			.protocol = 6,
			.family = 6},
		.frame_bytes = 1014,
		.ip_bytes = 1000,
		.weight = 1,
		.label = 0x48044,
		.source = 3,
		.direction = DIRECTION_OUT,
		.tcp_flags = 0x10,
		.tag = {{2, 17}, CARRIER_LABEL, GRADE_REGISTERED, 0, 0, {0, 0}},
	};

	memcpy(o.key.src_ip + 12, &flow, sizeof(flow));
	return o;
}

static void packets_of_a_flow_add_up(void **state)
{
	struct seen_table *t = seen_open(SEEN_MAX);
	struct observation o = packet(1), other = packet(2);
	struct seen *seen;

	(void)state;
	seen_add(t, &o);
	seen_add(t, &other);
	o.utc_us += 250000;
	o.weight = 1000;
	o.frame_bytes = 1514;
	o.ip_bytes = 1500;
	o.label = 0x48045; /* other entropy, same tag */
	o.tcp_flags = 0x11;
	seen_add(t, &o);
	assert_int_equal(seen_take(t, &seen), 2);
	assert_memory_equal(&seen[0].key, &o.key, sizeof(o.key));
	assert_memory_equal(&seen[1].key, &other.key, sizeof(other.key));
	assert_int_equal(seen[0].first_utc_us, 1700000000000000);
	assert_int_equal(seen[0].last_utc_us, 1700000000250000);
	assert_int_equal(seen[0].packets, 1001);
	assert_int_equal(seen[0].bytes, 1014 + 1514000);
	assert_int_equal(seen[0].ip_bytes, 1000 + 1500000);
	assert_int_equal(seen[0].samples, 2);
	/* 1000 * 999 * 1514^2, and nothing for the one that was not sampled */
	assert_true(seen[0].bytes_variance == 1000.0 * 999 * 1514 * 1514);
	assert_int_equal(seen[0].label, 0x48045);
	assert_int_equal(seen[0].source, 3);
	assert_int_equal(seen[0].direction, DIRECTION_OUT);
	assert_int_equal(seen[0].tcp_flags, 0x11);
	assert_int_equal(seen[0].tag.tag.activity, 17);
	assert_int_equal(seen[1].packets, 1);
	free(seen);
	assert_int_equal(seen_take(t, &seen), 0);
	assert_null(seen);
	seen_close(t);
}

/* Trains of packets, singles and weights in any order: each flow's sums are those of its packets. */
static void trains_add_up(void **state)
{
	struct seen_table *t = seen_open(SEEN_MAX);
	struct seen expected[50] = {0}, *seen;
	uint32_t random = 1;
	size_t n, length;

	(void)state;
	for (uint32_t i = 0; i < 100000; i += (uint32_t)length) {
		struct observation o = packet(random % 50);

		length = 1 + (random >> 8) % 7;
		for (size_t k = 0; k < length; k++) {
			struct seen *e = &expected[random % 50];

			o.utc_us = 1700000000000000 + i + (uint32_t)k;
			o.weight = 1 + (i + (uint32_t)k) % 3;
			o.frame_bytes = 100 + (i + (uint32_t)k) % 1000;
			o.ip_bytes = o.frame_bytes - 14;
			o.label = i + (uint32_t)k;
			o.tcp_flags = (uint8_t)(1 << k % 3);
			if (!e->samples++)
				e->first_utc_us = o.utc_us;
			e->last_utc_us = o.utc_us;
			e->packets += o.weight;
			e->bytes += (uint64_t)o.weight * o.frame_bytes;
			e->ip_bytes += (uint64_t)o.weight * o.ip_bytes;
			e->bytes_variance +=
				(double)o.weight * (o.weight - 1.0) * o.frame_bytes * o.frame_bytes;
			e->label = o.label;
			e->tcp_flags |= o.tcp_flags;
			seen_add(t, &o);
		}
		random = random * 1664525 + 1013904223; /* Numerical Recipes' */
	}
	n = seen_take(t, &seen);
	assert_int_equal(n, 50);
	for (size_t i = 0; i < n; i++) {
		const struct seen *e;
		uint32_t flow;

		memcpy(&flow, seen[i].key.src_ip + 12, sizeof(flow));
		e = &expected[flow];
		assert_int_equal(seen[i].first_utc_us, e->first_utc_us);
		assert_int_equal(seen[i].last_utc_us, e->last_utc_us);
		assert_int_equal(seen[i].packets, e->packets);
		assert_int_equal(seen[i].bytes, e->bytes);
		assert_int_equal(seen[i].ip_bytes, e->ip_bytes);
		assert_true(seen[i].bytes_variance == e->bytes_variance);
		assert_int_equal(seen[i].samples, e->samples);
		assert_int_equal(seen[i].label, e->label);
		assert_int_equal(seen[i].tcp_flags, e->tcp_flags);
	}
	free(seen);
	seen_close(t);
}

/* Every record lies in one cell of the rows: what changes the cell makes another record. */
static void another_cell_is_another_record(void **state)
{
	struct seen_table *t = seen_open(SEEN_MAX);
	struct observation o[6];
	struct seen *seen;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		o[i] = packet(1);
	o[1].tag.tag.activity = 18;
	o[2].tag.tag.experiment = 3;
	o[3].tag.carrier = CARRIER_DESTINATION;
	o[4].tag.grade = GRADE_CONFIRMED;
	o[5].source = 4;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 60; i++)
			seen_add(t, &o[i % 6]);
		assert_int_equal(seen_take(t, &seen), 6);
		for (size_t i = 0; i < 6; i++) {
			assert_int_equal(seen[i].packets, 10);
			assert_int_equal(seen[i].tag.tag.experiment, o[i].tag.tag.experiment);
			assert_int_equal(seen[i].tag.tag.activity, o[i].tag.tag.activity);
			assert_int_equal(seen[i].tag.carrier, o[i].tag.carrier);
			assert_int_equal(seen[i].tag.grade, o[i].tag.grade);
			assert_int_equal(seen[i].source, o[i].source);
		}
		free(seen);
	}
	seen_close(t);
}

/* A second of 100,000 flows: the first 65,536 are followed, whatever comes; the others are counted. */
static void a_flood_of_flows_is_bounded_and_counted(void **state)
{
	static const uint32_t bounds[] = {SEEN_MAX, 1000};

	(void)state;
	for (size_t b = 0; b < 2; b++) {
		struct seen_table *t = seen_open(bounds[b]);
		struct observation o;
		struct seen *seen;
		uint64_t packets = 0;
		size_t n;

		for (int round = 0; round < 2; round++) {
			for (uint32_t i = 0; i < 100000; i++) {
				o = packet(i);
				seen_add(t, &o);
			}
		}
		n = seen_take(t, &seen);
		/* a crowded run of places may refuse one early, by chance of less than one in a million */
		assert_in_range(n, bounds[b] - 1, bounds[b]);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(seen[i].packets, 2);
			packets += seen[i].packets;
		}
		assert_int_equal(packets + seen_not_followed(t), 200000);
		free(seen);
		seen_close(t);
	}
}

static void the_list_of_what_is_heard_is_bounded(void **state)
{
	struct heard_list list = {0};
	struct heard *heard;
	size_t n = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (n = 0; (heard = heard_add(&list)); n++)
			heard->heard_utc_us = (int64_t)n;
		assert_int_equal(n, HEARD_MAX);
		assert_int_equal(heard_take(&list, &heard), HEARD_MAX);
		for (n = 0; n < HEARD_MAX; n++)
			assert_int_equal(heard[n].heard_utc_us, n);
		free(heard);
	}
	assert_int_equal(heard_take(&list, &heard), 0);
	assert_null(heard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_a_flow_add_up),
		cmocka_unit_test(trains_add_up),
		cmocka_unit_test(another_cell_is_another_record),
		cmocka_unit_test(a_flood_of_flows_is_bounded_and_counted),
		cmocka_unit_test(the_list_of_what_is_heard_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
