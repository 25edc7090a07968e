/* The tag and its forms: labels, options, scitag.flow; and how often chance looks like a tag. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/packet_vectors.h"

static struct scitag_set registered;

/* Labels as the drawing in the draft gives them: bits E E CCCCCCCCC E AAAAAA E E, C mirrored. Those of 2/9, 2/19, 3/3,
 * 4/3 and 5/10 are in flowd's source, those of 206, 215 and 216 in cms-sw/cmssw#51227. */
static const struct {
	__u16 experiment, activity;
	__u32 entropy, label, flow;
} labels[] = {
	{1, 1, 0x00000, 0x20004, 65},       {1, 2, 0x00000, 0x20008, 66},
	{2, 1, 0x00000, 0x10004, 129},      {2, 9, 0x00000, 65572, 137},
	{2, 19, 0x00000, 65612, 147},       {3, 3, 0x00000, 196620, 195},
	{3, 14, 0x00000, 196664, 206},      {3, 23, 0x00000, 196700, 215},
	{3, 24, 0x00000, 196704, 216},      {3, 14, 0xC0103, 0xF013B, 206},
	{3, 14, 0x80100, 0xB0138, 206},     {4, 3, 0x00000, 32780, 259},
	{5, 10, 0x00000, 163880, 330},      {5, 14, 0x40002, 0x6803A, 334},
	{6, 26, 0xC0000, 0xD8068, 410},     {9, 4, 0x00103, 0x24113, 580},
	{14, 1, 0x00000, 0x1C004, 897},     {16, 1, 0x00000, 0x02004, 1025},
	{23, 1, 0x00001, 0x3A005, 1473},    {256, 63, 0x00000, 0x002FC, 16447},
	{511, 63, 0x00000, 0x3FEFC, 32767}, {511, 63, 0xC0103, 0xFFFFF, 32767},
	{511, 63, 0x40002, 0x7FEFE, 32767}, {1, 63, 0x00100, 0x201FC, 127},
};

static void labels_encode_and_decode_as_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		__u32 label = 0;
		struct scitag tag = scitag_label_decode(labels[i].label), from = {0, 0};

		assert_int_equal(scitag_label_encode(&label, labels[i].experiment,
						     labels[i].activity, labels[i].entropy),
				 0);
		assert_int_equal(label, labels[i].label);
		assert_int_equal(tag.experiment, labels[i].experiment);
		assert_int_equal(tag.activity, labels[i].activity);
		assert_int_equal(scitag_flow_number(tag), labels[i].flow);
		assert_int_equal(scitag_from_flow_number(labels[i].flow, &from), 0);
		assert_memory_equal(&from, &tag, sizeof(tag));
	}
}

/* 0/0 is not in the table: it has a label, but no scitag.flow number and no registration. */
static void zero_is_no_tag(void **state)
{
	__u32 label = 1;
	struct scitag zero = {0, 0};

	(void)state;
	assert_int_equal(scitag_label_encode(&label, 0, 0, 0xFFFFFFFF), 0);
	assert_int_equal(label, 0xC0103);
	assert_int_equal(scitag_flow_number(zero), 0);
	assert_int_equal(scitag_set_add(&(struct scitag_set){{0}}, zero), -34);
	assert_false(scitag_set_has(&registered, scitag_label_decode(0xC0103)));
}

static void every_pair_and_entropy_goes_round(void **state)
{
	static __u8 seen[1 << 20];

	(void)state;
	for (unsigned int e = 0; e < 512; e++)
		for (unsigned int a = 0; a < 64; a++)
			for (unsigned int x = 0; x < 32; x++) {
				__u32 entropy = (x & 3) | (x & 4) << 6 | (x & 24) << 15, label;
				struct scitag tag;

				if (scitag_label_encode(&label, e, a, entropy) != 0 ||
				    label >> 20 || seen[label]++)
					fail_msg("%u/%u entropy %05x", e, a, entropy);
				tag = scitag_label_decode(label);
				if (tag.experiment != e || tag.activity != a ||
				    (label & SCITAG_ENTROPY_MASK) != entropy)
					fail_msg("%05x", label);
			}
	/* 512 * 64 * 32 = 2^20 different labels: every label was met once */
}

/* The mirror against its definition, bit i to bit 8 - i. */
static void an_experiment_is_mirrored(void **state)
{
	(void)state;
	for (__u32 v = 0; v < 512; v++) {
		__u32 want = 0;

		for (int i = 0; i < 9; i++)
			want |= (v >> i & 1) << (8 - i);
		assert_int_equal(scitag_mirror9(v), want);
	}
}

static void what_does_not_fit_is_refused(void **state)
{
	__u32 label = 0x12345;
	struct scitag tag = {7, 7};
	__u8 out[6] = {9, 9, 9, 9, 9, 9};

	(void)state;
	assert_int_equal(scitag_label_encode(&label, 512, 0, 0), -34);
	assert_int_equal(scitag_label_encode(&label, 0, 64, 0), -34);
	assert_int_equal(scitag_label_encode(&label, 0xFFFFFFFF, 0xFFFFFFFF, 0), -34);
	assert_int_equal(label, 0x12345);
	assert_int_equal(scitag_from_flow_number(63, &tag), -34);
	assert_int_equal(scitag_from_flow_number(65536, &tag), -34);
	assert_int_equal(scitag_from_flow_number(196664, &tag), -34); /* a label taken for one */
	assert_int_equal(tag.experiment, 7);
	assert_int_equal(scitag_from_flow_number(64, &tag), 0);
	assert_int_equal(tag.experiment * 1000 + tag.activity, 1000);
	assert_int_equal(scitag_flow_number(tag), 0); /* read, never written */
	assert_int_equal(scitag_flow_number((struct scitag){1024, 1}), 0);
	assert_int_equal(scitag_flow_number((struct scitag){1, 64}), 0);
	assert_int_equal(scitag_flow_number((struct scitag){1023, 63}), 65535);
	assert_int_equal(scitag_code((struct scitag){1024, 0}), SCITAG_CODE_OUTSIDE);
	assert_int_equal(scitag_code((struct scitag){65535, 255}), SCITAG_CODE_OUTSIDE);
	assert_int_equal(scitag_option_emit(out, SCITAG_DIALECT_PLAIN, (struct scitag){1, 256}, 0),
			 -34);
	assert_int_equal(
		scitag_option_emit(out, SCITAG_DIALECT_LABEL24, (struct scitag){512, 1}, 0), -34);
	assert_int_equal(scitag_option_emit(out, SCITAG_DIALECT_NONE, (struct scitag){1, 1}, 0),
			 -34);
	assert_int_equal(out[0], 9);
}

/* Random labels met in public flow-record test data: chance, none registered. */
static void ordinary_labels_are_not_registered(void **state)
{
	static const struct {
		__u32 label;
		__u16 experiment, activity;
	} ordinary[] = {{0x68094, 5, 37},   {0xA461C, 393, 7},  {0xAE0A9, 29, 42},
			{0x3DB8D, 367, 35}, {0x8B334, 308, 13}, {0x254A4, 169, 41}};

	(void)state;
	for (size_t i = 0; i < sizeof(ordinary) / sizeof(ordinary[0]); i++) {
		struct scitag tag = scitag_label_decode(ordinary[i].label);

		assert_int_equal(tag.experiment, ordinary[i].experiment);
		assert_int_equal(tag.activity, ordinary[i].activity);
		assert_false(scitag_set_has(&registered, tag));
	}
}

/* 114 pairs of 32,768: of a million random labels 3,479 look registered, give or take 3 sigma = 177. */
static void chance_looks_registered_as_often_as_computed(void **state)
{
	__u64 x = 0x9E3779B97F4A7C15ULL;
	unsigned int hits = 0;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		x ^= x << 13; /* xorshift64, Marsaglia 2003 */
		x ^= x >> 7;
		x ^= x << 17;
		hits += scitag_set_has(&registered,
				       scitag_label_decode(x >> 40 & SCITAG_LABEL_MASK));
	}
	assert_in_range(hits, 3479 - 180, 3479 + 180);
	hits = 0;
	for (__u32 label = 0; label <= SCITAG_LABEL_MASK; label++)
		hits += scitag_set_has(&registered, scitag_label_decode(label));
	assert_int_equal(hits, 114 * 32);
}

static void options_tell_their_dialect(void **state)
{
	static const struct {
		__u8 type;
		__u32 value;
		enum scitag_dialect dialect;
		__u16 experiment, activity;
	} options[] = {
		{0x1E, 0x00030E, SCITAG_DIALECT_PLAIN, 3, 14}, /* registered as it stands */
		{0x1E, 0x07013B, SCITAG_DIALECT_LABEL24, 3,
		 14}, /* plain 1793/59 is not, the label is */
		{0x1E, 0x07003A, SCITAG_DIALECT_LABEL24, 3, 14},
		{0x1E, 0xFFFFFF, SCITAG_DIALECT_PLAIN, 65535,
		 255}, /* no label: more than 20 bits */
		{0x1E, 0x000000, SCITAG_DIALECT_PLAIN, 0, 0},
		{0x1E, 0x0FFFFF, SCITAG_DIALECT_PLAIN, 4095,
		 255}, /* label 511/63 is not registered */
		{0x1E, 0x130038, SCITAG_DIALECT_PLAIN, 4864, 56}, /* beyond 20 bits, so no label */
		{0x1F, 0x07013B, SCITAG_DIALECT_LABEL32, 3, 14},
		{0x1F, 0x0FFFFC, SCITAG_DIALECT_LABEL32, 511, 63}, /* as in a published capture */
		{0x1F, 0x03FEFD, SCITAG_DIALECT_LABEL32, 511, 63},
	};
	struct scitag tag = {9, 9};

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		assert_int_equal(
			scitag_option_decode(&tag, options[i].type, options[i].value, &registered),
			options[i].dialect);
		assert_int_equal(tag.experiment, options[i].experiment);
		assert_int_equal(tag.activity, options[i].activity);
	}
	tag = (struct scitag){9, 9};
	for (unsigned int type = 0; type < 256;
	     type++) /* 3E, 5E ... FE are experimental, and others' */
		if (type != 0x1E && type != 0x1F)
			assert_int_equal(
				scitag_option_decode(&tag, (__u8)type, 0x00030E, &registered),
				SCITAG_DIALECT_NONE);
	assert_int_equal(tag.experiment, 9);
}

/* No registered pair's plain value is a label that decodes to a registered pair: the two forms of 1E/3 can be
 * told apart. If a registry ever breaks this, plain wins. */
static void the_two_forms_of_1e_do_not_overlap(void **state)
{
	(void)state;
	for (__u32 value = 0; value <= SCITAG_LABEL_MASK; value++) {
		struct scitag plain = {(__u16)(value >> 8), (__u16)(value & 0xFF)};

		if (scitag_set_has(&registered, plain))
			assert_false(scitag_set_has(&registered, scitag_label_decode(value)));
	}
}

static void options_emit_what_flowd_go_writes(void **state)
{
	static const __u8 want_plain[6] = {0x1e, 3, 0, 3, 14, 0},
			  want_max[6] = {0x1e, 3, 0xff, 0xff, 0xff, 0},
			  want24[6] = {0x1e, 3, 0x07, 0x01, 0x3b, 0},
			  want32[6] = {0x1f, 4, 0x07, 0x01, 0x3b, 0};
	__u8 out[6];
	struct scitag tag = {3, 14};

	(void)state;
	assert_int_equal(scitag_option_emit(out, SCITAG_DIALECT_PLAIN, tag, 0xFFFFF), 0);
	assert_memory_equal(out, want_plain, 6);
	assert_int_equal(
		scitag_option_emit(out, SCITAG_DIALECT_PLAIN, (struct scitag){65535, 255}, 0), 0);
	assert_memory_equal(out, want_max, 6);
	assert_int_equal(scitag_option_emit(out, SCITAG_DIALECT_LABEL24, tag, 0x40103), 0);
	assert_memory_equal(out, want24, 6);
	assert_int_equal(scitag_option_emit(out, SCITAG_DIALECT_LABEL32, tag, 0x40103), 0);
	assert_memory_equal(out, want32, 6);
}

static void a_cursor_refuses_what_does_not_fit(void **state)
{
	static const __u8 bytes[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	struct cursor c;

	(void)state;
	cursor_init(&c, bytes, sizeof(bytes));
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_be16(&c), 0x0203);
	assert_int_equal(cursor_be24(&c), 0x040506);
	assert_int_equal(cursor_left(&c), 3);
	assert_int_equal(cursor_be32(&c), 0); /* three are left */
	assert_int_equal(c.torn, CURSOR_TORN);
	assert_int_equal(cursor_u8(&c), 0); /* and none is given any more */
	assert_int_equal(cursor_left(&c), 0);
	for (__u32 n = 0xFFFFFFFF; n; n >>= 1) {
		cursor_init(&c, bytes, sizeof(bytes));
		cursor_skip(&c, 5);
		assert_true((cursor_take(&c, n) == NULL) == (n > 4));
	}
	cursor_init(&c, bytes, sizeof(bytes));
	cursor_limit(&c, 100); /* never longer */
	assert_int_equal(cursor_left(&c), 9);
	cursor_limit(&c, 8);
	assert_true(cursor_be64(&c) == 0x0102030405060708ULL && !c.torn);
	assert_null(cursor_take(&c, 1));
	cursor_init(&c, NULL, 0);
	assert_int_equal(cursor_be64(&c), 0);
	assert_int_equal(c.torn, CURSOR_TORN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels_encode_and_decode_as_published),
		cmocka_unit_test(zero_is_no_tag),
		cmocka_unit_test(every_pair_and_entropy_goes_round),
		cmocka_unit_test(an_experiment_is_mirrored),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(ordinary_labels_are_not_registered),
		cmocka_unit_test(chance_looks_registered_as_often_as_computed),
		cmocka_unit_test(options_tell_their_dialect),
		cmocka_unit_test(the_two_forms_of_1e_do_not_overlap),
		cmocka_unit_test(options_emit_what_flowd_go_writes),
		cmocka_unit_test(a_cursor_refuses_what_does_not_fit),
	};

	if (vector_registered(&registered) != 114)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
