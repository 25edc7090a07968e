/* What a value may mean. Labels, numbers and option bytes are those of the flow label draft's
 * scheme, worked out by hand and cross-checked with the published flowd and cmssw examples
 * (65572 = 2/9, 65612 = 2/19, 196620 = 3/3, 32780 = 4/3, 206 <-> 196664). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "registry/reading.h"

static struct registry *registry;
static struct reading out[READINGS_MAX];

static int open_registry(void **state)
{
	(void)state;
	registry = registry_builtin();
	return registry ? 0 : -1;
}

static int close_registry(void **state)
{
	(void)state;
	registry_free(registry);
	return 0;
}

/* Read an exact-size heap copy: one byte too far is a report. */
static size_t read_value(const char *text)
{
	char *copy = strdup(text);
	size_t n;

	memset(out, 0xA5, sizeof(out));
	n = reading_of(registry, copy, out, READINGS_MAX);
	free(copy);
	return n;
}

static const struct {
	unsigned int experiment, activity, scitag_flow;
	uint32_t entropy, label;
	const char *option;
} vectors[] = {
	{1, 1, 65, 0, 0x20004, "1e03000101"},
	{1, 2, 66, 0, 0x20008, "1e03000102"},
	{2, 1, 129, 0, 0x10004, "1e03000201"},
	{2, 9, 137, 0, 0x10024, "1e03000209"},
	{2, 19, 147, 0, 0x1004C, "1e03000213"},
	{3, 3, 195, 0, 0x3000C, "1e03000303"},
	{3, 14, 206, 0, 0x30038, "1e0300030e"},
	{3, 14, 206, 0xC0103, 0xF013B, "1e0300030e"},
	{3, 14, 206, 0x80100, 0xB0138, "1e0300030e"},
	{4, 3, 259, 0, 0x0800C, "1e03000403"},
	{5, 10, 330, 0, 0x28028, "1e0300050a"},
	{5, 14, 334, 0x40002, 0x6803A, "1e0300050e"},
	{6, 26, 410, 0xC0000, 0xD8068, "1e0300061a"},
	{9, 4, 580, 0x00103, 0x24113, "1e03000904"},
	{14, 1, 897, 0, 0x1C004, "1e03000e01"},
	{16, 1, 1025, 0, 0x02004, "1e03001001"},
	{23, 1, 1473, 0x00001, 0x3A005, "1e03001701"},
	{256, 63, 16447, 0, 0x002FC, "1e0301003f"},
	{511, 63, 32767, 0, 0x3FEFC, "1e0301ff3f"},
	{511, 63, 32767, 0xC0103, 0xFFFFF, "1e0301ff3f"},
	{1, 63, 127, 0x00100, 0x201FC, "1e0300013f"},
};

/* The reading of that kind among the n; fails the case if there is none. */
static const struct reading *find(size_t n, enum reading_as as, unsigned int experiment,
				  unsigned int activity)
{
	for (size_t i = 0; i < n; i++)
		if (out[i].as == as && out[i].tag.experiment == experiment &&
		    out[i].tag.activity == activity)
			return &out[i];
	fail_msg("no reading as %s %u/%u", reading_as_name(as), experiment, activity);
	return NULL;
}

static void every_form_of_a_tag_leads_to_it(void **state)
{
	char text[64], option[16];

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		unsigned int e = vectors[i].experiment, a = vectors[i].activity;
		uint32_t label = vectors[i].label;
		const struct reading *x;

		snprintf(text, sizeof(text), "0x%x", label);
		x = find(read_value(text), READING_LABEL, e, a);
		assert_int_equal(x->entropy, vectors[i].entropy);
		assert_int_equal(x->label, label);
		assert_int_equal(x->scitag_flow, vectors[i].scitag_flow);
		for (size_t b = 0; b < 5; b++)
			snprintf(option + 2 * b, 3, "%02x", x->option[b]);
		assert_string_equal(option, vectors[i].option);

		snprintf(text, sizeof(text), "%u", label);
		find(read_value(text), READING_LABEL, e, a);
		snprintf(text, sizeof(text), "%05X", label);
		find(read_value(text), READING_LABEL, e, a);
		snprintf(text, sizeof(text), "0x%08x", 0x6B900000 | label); /* class B9 */
		find(read_value(text), READING_LABEL, e, a);
		snprintf(text, sizeof(text), "60 %02x %02x %02x", label >> 16, label >> 8 & 255,
			 label & 255);
		find(read_value(text), READING_LABEL, e, a);
		snprintf(text, sizeof(text), "%u", vectors[i].scitag_flow);
		find(read_value(text), READING_SCITAG, e, a);
		snprintf(text, sizeof(text), "%u/%u", e, a);
		find(read_value(text), READING_PAIR, e, a);
		find(read_value(vectors[i].option), READING_OPTION, e, a);
		find(read_value(vectors[i].option + 4), READING_OPTION, e, a); /* data alone */
	}
}

/* The first reading of each value. */
static const struct {
	const char *text;
	enum reading_as as;
	unsigned int experiment, activity;
	int registered;
} first[] = {
	{"0xB0138", READING_LABEL, 3, 14, 1},
	{" 721208\n", READING_LABEL, 3, 14, 1},
	{"b0138", READING_LABEL, 3, 14, 1},
	{"0x600b0138", READING_LABEL, 3, 14, 1},
	{"60010024", READING_LABEL, 2, 9, 1},
	{"196664", READING_LABEL, 3, 14, 1},
	{"206", READING_SCITAG, 3, 14, 1},
	{"32780", READING_LABEL, 4, 3, 1},   /* as scitag.flow 512/12: not registered */
	{"10024", READING_LABEL, 2, 9, 1},   /* 0x10024; as scitag.flow 156/40 */
	{"1000", READING_SCITAG, 15, 40, 0}, /* 15 * 64 + 40 */
	{"128", READING_SCITAG, 2, 0, 0},
	{"64", READING_SCITAG, 1, 0, 0},
	{"65535", READING_SCITAG, 1023, 63, 0},
	{"scitag.flow=206", READING_SCITAG, 3, 14, 1},
	{"SciTag: 196664", READING_LABEL, 3, 14, 1},
	{"3.14", READING_PAIR, 3, 14, 1},
	{"3:14", READING_PAIR, 3, 14, 1},
	{"65535/255", READING_PAIR, 65535, 255, 0},
	{"cms:\"Analysis Input\"", READING_PAIR, 3, 14, 1},
	{"cms:'analysis-input'", READING_PAIR, 3, 14, 1},
	{"CMS/Analysis Input", READING_PAIR, 3, 14, 1},
	{"atlas/Upload/Download (Job)", READING_PAIR, 2, 22, 1},
	{"belle ii.3", READING_PAIR, 6, 3, 1},
	{"cms:25", READING_PAIR, 3, 25, 0},
	/* options: three forms, bare, padded, with their header, one header after the other */
	{"1e0300030e", READING_OPTION, 3, 14, 1},
	{"1E 03 00 03 0E 00", READING_OPTION, 3, 14, 1},
	{"06:00:1e:03:00:03:0e:00", READING_OPTION, 3, 14, 1},
	{"3c001e0300030e0006001e0300030e00", READING_OPTION, 3, 14, 1},
	{"\\x1e\\x03\\x00\\x03\\x0e", READING_OPTION, 3, 14, 1},
	{"0x1e, 0x03, 0x00, 0x03, 0x0e", READING_OPTION, 3, 14, 1},
	{"06001e0307013b00", READING_OPTION, 3, 14, 1}, /* label 7013b in three bytes */
	{"06001f0407013b00", READING_OPTION, 3, 14, 1}, /* and in four */
	{"1f0407013b00", READING_OPTION, 3, 14, 1},
	{"3a001f040ffffc00", READING_OPTION, 511, 63, 0}, /* published capture of v2.0 */
	{"1e03ffffff", READING_OPTION, 65535, 255, 0},
	{"00030e", READING_OPTION, 3, 14, 1},
	{"07013b00", READING_OPTION, 3, 14, 1},
	/* PadN(2), a foreign option of type 3e, then the tag: 16 bytes */
	{"0601 0102 0000 3e03 001111 1e03 000209", READING_OPTION, 2, 9, 1},
};

static void the_most_likely_reading_comes_first(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		size_t n = read_value(first[i].text);

		if (!n)
			fail_msg("%s: no reading", first[i].text);
		if (out[0].as != first[i].as || out[0].tag.experiment != first[i].experiment ||
		    out[0].tag.activity != first[i].activity ||
		    out[0].registered != first[i].registered)
			fail_msg("%s: %s %u/%u", first[i].text, reading_as_name(out[0].as),
				 out[0].tag.experiment, out[0].tag.activity);
		for (size_t j = 1; j < n; j++) /* no registered one behind another */
			assert_true(out[j - 1].registered || !out[j].registered);
	}
}

static const char *const meaningless[] = {
	"",
	"   ",
	"hello",
	"cms",
	"cms:",
	"cms:Nothing",
	"nobody:1",
	"3.",
	".14",
	"3.256",
	"65536/1",
	"-1",
	"+206",
	"206x",
	"0x",
	"0xg",
	"1048576",
	"99999999999999999999999",
	"0x100000000000",
	"scitag.flow=",
	"scitag.flow=x",
	"1e",
	"1e03",
	"1e03 00 03",
	"1e0300030",
	"3e0300030e",
	"1f040b013801", /* fourth byte not 0 */
	"1e0400030e00",

	"0x1e 3",
	"2001:db8::1",
	"::",
	"192.0.2.1",
};

static void what_means_nothing_is_said_to(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(meaningless) / sizeof(meaningless[0]); i++)
		if (read_value(meaningless[i]))
			fail_msg("'%s' read as %s %u/%u", meaningless[i],
				 reading_as_name(out[0].as), out[0].tag.experiment,
				 out[0].tag.activity);
}

static void a_whole_ipv6_header_gives_label_and_options(void **state)
{
	size_t n = read_value("60012345 0010 3c 40"
			      "20010db8000100000000000000000010"
			      "20010db8000200000000000000000020"
			      "06001e0300030e00");

	(void)state;
	assert_int_equal(out[0].as, READING_OPTION);
	assert_int_equal(out[0].tag.activity, 14);
	/* 0x12345 >> 9 = 010010001, mirrored 100010010 = 274; 0x345 >> 2 & 63 = 17 */
	assert_int_equal(find(n, READING_LABEL, 274, 17)->label, 0x12345);
}

static void a_label_sent_as_a_number_is_recognised(void **state)
{
	(void)state;
	assert_int_equal(read_value("196664"), 1);
	assert_non_null(strstr(out[0].note, "sent as scitag.flow by mistake? that would be 206"));
	assert_int_equal(read_value("scitag.flow=32780"), 2);
	assert_non_null(strstr(out[0].note, "that would be 259"));
}

static void what_a_tag_cannot_do_is_said(void **state)
{
	const struct reading *x;

	(void)state;
	x = find(read_value("600.1"), READING_PAIR, 600, 1);
	assert_int_equal(x->has_label, 0);
	assert_int_equal(x->scitag_flow, 600 * 64 + 1);
	assert_non_null(strstr(x->note, "no flow label"));
	x = find(read_value("2000.200"), READING_PAIR, 2000, 200);
	assert_int_equal(x->scitag_flow, 0);
	x = find(read_value("1025"), READING_SCITAG, 16, 1);
	assert_non_null(strstr(x->note, "before March 2022"));
	x = find(read_value("0x0"), READING_LABEL, 0, 0);
	assert_non_null(strstr(x->note, "label 0 is no label"));
	assert_int_equal(x->scitag_flow, 0);
}

static void a_small_answer_keeps_the_likeliest(void **state)
{
	struct reading one;

	(void)state;
	assert_int_equal(reading_of(registry, "32780", &one, 1), 1);
	assert_int_equal(one.as, READING_LABEL);
	assert_int_equal(one.registered, 1);
	assert_int_equal(reading_of(registry, "32780", &one, 0), 0);
}

static void an_endless_value_is_refused(void **state)
{
	static char text[4096];

	(void)state;
	memset(text, '1', sizeof(text) - 1);
	assert_int_equal(read_value(text), 0);
	text[READING_TEXT_MAX] = 0;
	assert_int_equal(read_value(text), 0); /* 256 bytes, none of them an option of ours */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_a_tag_leads_to_it),
		cmocka_unit_test(the_most_likely_reading_comes_first),
		cmocka_unit_test(what_means_nothing_is_said_to),
		cmocka_unit_test(a_whole_ipv6_header_gives_label_and_options),
		cmocka_unit_test(a_label_sent_as_a_number_is_recognised),
		cmocka_unit_test(what_a_tag_cannot_do_is_said),
		cmocka_unit_test(a_small_answer_keeps_the_likeliest),
		cmocka_unit_test(an_endless_value_is_refused),
	};

	return cmocka_run_group_tests(tests, open_registry, close_registry);
}
