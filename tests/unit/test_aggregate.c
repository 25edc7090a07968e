/* Observations of one second become rows: sums, grades, folding of unregistered tags, error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "observer/aggregate.h"
#include "observer/site.h"

static struct observation seen(unsigned int experiment, unsigned int activity, int grade,
			       uint32_t bytes, uint32_t weight)
{
	return (struct observation){
		.source = 3,
		.direction = DIRECTION_IN,
		.key = {.family = 6},
		.frame_bytes = bytes,
		.ip_bytes = bytes - 14,
		.weight = weight,
		.tag = {.tag = {(uint16_t)experiment, (uint16_t)activity},
			.carrier = grade == GRADE_UNTAGGED ? CARRIER_NONE : CARRIER_LABEL,
			.grade = (uint8_t)grade},
	};
}

static void same_tag_adds_up(void **state)
{
	struct aggregate *a = aggregate_open(STORE_UNREGISTERED_ROWS);
	struct traffic_row rows[4];
	struct observation o = seen(3, 14, GRADE_REGISTERED, 1500, 1);

	(void)state;
	aggregate_add(a, &o);
	o.frame_bytes = 100;
	o.ip_bytes = 86;
	aggregate_add(a, &o);
	assert_int_equal(aggregate_rows(a), 1);
	assert_int_equal(aggregate_take(a, rows), 1);
	assert_int_equal(rows[0].key.source, 3);
	assert_int_equal(rows[0].key.experiment, 3);
	assert_int_equal(rows[0].key.activity, 14);
	assert_int_equal(rows[0].value.packets, 2);
	assert_int_equal(rows[0].value.bytes, 1600);
	assert_int_equal(rows[0].value.ip_bytes, 1486 + 86);
	assert_int_equal(rows[0].value.codes, 1);
	/* every packet was counted: nothing is estimated */
	assert_true(rows[0].value.bytes_variance == 0);
	assert_int_equal(aggregate_rows(a), 0); /* an empty second begins */
	assert_int_equal(aggregate_take(a, rows), 0);
	aggregate_close(a);
}

static void a_sample_stands_for_its_weight(void **state)
{
	struct aggregate *a = aggregate_open(STORE_UNREGISTERED_ROWS);
	struct observation o = seen(2, 9, GRADE_REGISTERED, 1000, 100);
	struct traffic_row row;

	(void)state;
	for (int i = 0; i < 4; i++)
		aggregate_add(a, &o);
	assert_int_equal(aggregate_take(a, &row), 1);
	assert_int_equal(row.value.packets, 400);
	assert_int_equal(row.value.bytes, 400000);
	assert_int_equal(row.value.samples, 4);
	/* 4 * 100 * 99 * 1000^2 = 3.96e10; sigma 198,997 of 400,000: about 1/sqrt(4) */
	assert_true(row.value.bytes_variance == 3.96e10);
	aggregate_close(a);
}

static void planes_are_kept_apart(void **state)
{
	struct aggregate *a = aggregate_open(STORE_UNREGISTERED_ROWS);
	struct observation o = seen(3, 14, GRADE_REGISTERED, 60, 1);
	struct traffic_row rows[8];

	(void)state;
	aggregate_add(a, &o);
	o.direction = DIRECTION_OUT;
	aggregate_add(a, &o);
	o.tag.carrier = CARRIER_DESTINATION;
	aggregate_add(a, &o);
	o.tag.grade = GRADE_CONFIRMED;
	aggregate_add(a, &o);
	o.source = 4;
	aggregate_add(a, &o);
	o.key.family = 4;
	aggregate_add(a, &o);
	assert_int_equal(aggregate_take(a, rows), 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(rows[i].value.packets, 1);
	aggregate_close(a);
}

static void the_largest_unregistered_keep_rows_and_the_rest_is_folded(void **state)
{
	enum { TAGS = 5000, OWN = STORE_UNREGISTERED_ROWS };
	struct aggregate *a = aggregate_open(OWN);
	struct traffic_row rows[OWN + 1];
	uint64_t own_bytes = 0;

	(void)state;
	/* tag number n carries 100 + n bytes; 7919 is prime to 5000, so each n comes once */
	for (unsigned int i = 0; i < TAGS; i++) {
		unsigned int n = i * 7919 % TAGS;
		struct observation o = seen(100 + n / 64, n % 64, GRADE_UNREGISTERED, 100 + n, 1);

		aggregate_add(a, &o);
	}
	assert_int_equal(aggregate_rows(a), OWN + 1);
	assert_int_equal(aggregate_take(a, rows), OWN + 1);
	for (int i = 0; i < OWN; i++) {
		assert_int_equal(rows[i].value.codes, 1);
		assert_in_range(rows[i].value.bytes, 100 + TAGS - OWN, 100 + TAGS - 1);
		own_bytes += rows[i].value.bytes;
	}
	/* 64 tags of 5036 to 5099 bytes: 64 * (5036 + 5099) / 2 */
	assert_int_equal(own_bytes, 324320);
	assert_int_equal(rows[OWN].key.experiment, STORE_FOLDED);
	assert_int_equal(rows[OWN].key.activity, STORE_FOLDED);
	assert_int_equal(rows[OWN].value.codes, TAGS - OWN);
	assert_int_equal(rows[OWN].value.packets, TAGS - OWN);
	/* all: 5000 * 100 + 4999 * 5000 / 2 = 12,997,500 */
	assert_int_equal(rows[OWN].value.bytes, 12997500 - 324320);
	aggregate_close(a);
}

static void registered_tags_are_never_folded(void **state)
{
	struct aggregate *a = aggregate_open(STORE_UNREGISTERED_ROWS);
	struct traffic_row *rows;

	(void)state;
	for (unsigned int i = 0; i < 200; i++) {
		struct observation o = seen(1 + i / 50, 1 + i % 50, GRADE_REGISTERED, 60, 1);

		aggregate_add(a, &o);
	}
	assert_int_equal(aggregate_rows(a), 200);
	rows = calloc(200, sizeof(*rows));
	assert_int_equal(aggregate_take(a, rows), 200);
	free(rows);
	aggregate_close(a);
}

static void a_pair_beyond_every_code_is_folded(void **state)
{
	struct aggregate *a = aggregate_open(STORE_UNREGISTERED_ROWS);
	struct observation o = seen(65535, 255, GRADE_UNREGISTERED, 60, 1);
	struct traffic_row row;

	(void)state;
	aggregate_add(a, &o);
	assert_int_equal(aggregate_take(a, &row), 1);
	assert_int_equal(row.key.experiment, STORE_FOLDED);
	assert_int_equal(row.value.bytes, 60);
	aggregate_close(a);
}

static void more_planes_than_there_is_room_for_lose_no_byte(void **state)
{
	struct aggregate *a = aggregate_open(STORE_UNREGISTERED_ROWS);
	struct traffic_row *rows;
	uint64_t bytes = 0;
	size_t n;

	(void)state;
	for (unsigned int i = 0; i < 2 * AGGREGATE_PLANES_MAX; i++) {
		struct observation o = seen(3, 14, GRADE_REGISTERED, 60, 1);

		o.source = (uint16_t)(i + 1);
		aggregate_add(a, &o);
	}
	assert_int_equal(aggregate_planes_refused(a), AGGREGATE_PLANES_MAX);
	n = aggregate_rows(a);
	rows = calloc(n, sizeof(*rows));
	assert_int_equal(aggregate_take(a, rows), n);
	for (size_t i = 0; i < n; i++)
		bytes += rows[i].value.bytes;
	assert_int_equal(bytes, 2 * AGGREGATE_PLANES_MAX * 60);
	free(rows);
	aggregate_close(a);
}

static struct flow_key between(const char *src, const char *dst)
{
	struct flow_key k = {.family = 6};

	/* last byte only, in 2001:db8:1::/48 ("us") or 2001:db8:9::/48 ("them") */
	memcpy(k.src_ip, "\x20\x01\x0d\xb8\x00\x01", 6);
	memcpy(k.dst_ip, "\x20\x01\x0d\xb8\x00\x01", 6);
	if (strcmp(src, "us"))
		k.src_ip[5] = 9;
	if (strcmp(dst, "us"))
		k.dst_ip[5] = 9;
	k.dst_ip[15] = 0xff;
	return k;
}

static void prefixes_give_the_direction(void **state)
{
	const char *prefixes[] = {"192.0.2.0/24", "2001:db8:1::/48", "2001:db8:1:4::/64"};
	struct flow_key in = between("them", "us"), out = between("us", "them");
	struct flow_key inside = between("us", "us"), through = between("them", "them");
	struct flow_key v4 = {.family = 4,
			      .src_ip = {[10] = 0xff, 0xff, 192, 0, 2, 255},
			      .dst_ip = {[10] = 0xff, 0xff, 192, 0, 3, 0}};
	struct site *s;
	char why[160];

	(void)state;
	assert_int_equal(site_open(&s, prefixes, 3, why, sizeof(why)), 0);
	assert_int_equal(site_direction(s, &in), DIRECTION_IN);
	assert_int_equal(site_direction(s, &out), DIRECTION_OUT);
	assert_int_equal(site_direction(s, &inside), DIRECTION_INTERNAL);
	assert_int_equal(site_direction(s, &through), DIRECTION_TRANSIT);
	assert_int_equal(site_direction(s, &v4), DIRECTION_OUT);
	site_close(s);
	assert_int_equal(site_open(&s, prefixes, 0, why, sizeof(why)), 0);
	assert_int_equal(site_direction(s, &in), DIRECTION_UNKNOWN);
	site_close(s);
}

/* 2001:db8:1:4::/64 lies in 2001:db8:1::/48; v4-mapped, 192.0.2.0/24 has 96 + 24 bits. In order of address. */
static void prefixes_are_listed_once(void **state)
{
	static const uint8_t v4[16] = {[10] = 0xff, 0xff, 192, 0, 2, 0};
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1};
	const char *prefixes[] = {"2001:db8:1:4::/64", "2001:db8:1::/48", "192.0.2.0/24"};
	const char *everything[] = {"::/0"};
	uint8_t address[16];
	uint32_t bits;
	struct site *s;
	char why[160];

	(void)state;
	assert_int_equal(site_open(&s, prefixes, 3, why, sizeof(why)), 0);
	assert_int_equal(site_prefix(s, 0, address, &bits), 0);
	assert_int_equal(bits, 120);
	assert_memory_equal(address, v4, 16);
	assert_int_equal(site_prefix(s, 1, address, &bits), 0);
	assert_int_equal(bits, 48);
	assert_memory_equal(address, v6, 16);
	assert_int_equal(site_prefix(s, 2, address, &bits), -2); /* -ENOENT */
	site_close(s);
	assert_int_equal(site_open(&s, everything, 1, why, sizeof(why)), 0);
	assert_int_equal(site_prefix(s, 0, address, &bits), 0);
	assert_int_equal(bits, 0);
	site_close(s);
	assert_int_equal(site_prefix(NULL, 0, address, &bits), -2);
}

static void a_bad_prefix_is_named(void **state)
{
	const char *bad[] = {"2001:db8::/129", "192.0.2.0/33", "banana", "2001:db8::/", "::/x"};
	char why[160];
	struct site *s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(site_open(&s, &bad[i], 1, why, sizeof(why)), -22);
		assert_non_null(strstr(why, bad[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_tag_adds_up),
		cmocka_unit_test(a_sample_stands_for_its_weight),
		cmocka_unit_test(planes_are_kept_apart),
		cmocka_unit_test(the_largest_unregistered_keep_rows_and_the_rest_is_folded),
		cmocka_unit_test(registered_tags_are_never_folded),
		cmocka_unit_test(a_pair_beyond_every_code_is_folded),
		cmocka_unit_test(more_planes_than_there_is_room_for_lose_no_byte),
		cmocka_unit_test(prefixes_give_the_direction),
		cmocka_unit_test(prefixes_are_listed_once),
		cmocka_unit_test(a_bad_prefix_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
