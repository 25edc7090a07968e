/* Frames with a story: what is read from each, whole and cut at every length. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/packet_vectors.h"

static struct vector vectors[VECTORS_MAX];
static unsigned int n_vectors;
static struct scitag_set registered;

/* Reads an exact-size heap copy: one byte too far is a sanitizer's report. */
static enum packet_verdict read_copy(struct packet *p, struct packet_tag *tag, const __u8 *bytes,
				     __u32 len_bytes, enum packet_link link)
{
	__u8 *copy = malloc(len_bytes ? len_bytes : 1);
	enum packet_verdict verdict;

	assert_non_null(copy);
	memcpy(copy, bytes, len_bytes);
	memset(tag, 0, sizeof(*tag));
	verdict = packet_parse(p, len_bytes ? copy : NULL, len_bytes, link);
	free(copy);
	if (verdict == PACKET_OK)
		packet_tag(tag, p, &registered);
	return verdict;
}

static void every_frame_reads_as_its_line_says(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (unsigned int i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];
		char text[VECTOR_TEXT_MAX];
		struct packet p;
		struct packet_tag tag;
		enum packet_verdict verdict = read_copy(&p, &tag, v->bytes, v->len_bytes, v->link);

		vector_text(text, verdict, &p, &tag);
		if (strcmp(text, v->expected)) {
			print_error("%s\n  read     %s\n  expected %s\n", v->name, text,
				    v->expected);
			wrong++;
		}
	}
	assert_true(n_vectors > 100);
	assert_int_equal(wrong, 0);
}

/* A tag that a cut frame shows is the whole frame's, or the label that stands before options which
 * the cut took away; never anything else, and never an outer tag where the whole frame has an inner one. */
static void no_cut_frame_invents_a_tag(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];
		struct packet whole, p;
		struct packet_tag whole_tag, tag;
		enum packet_verdict whole_verdict =
			read_copy(&whole, &whole_tag, v->bytes, v->len_bytes, v->link);

		for (__u32 n = 0; n < v->len_bytes; n++) {
			enum packet_verdict verdict = read_copy(&p, &tag, v->bytes, n, v->link);
			int same, label;

			if (verdict != PACKET_OK || tag.grade == GRADE_UNTAGGED)
				continue;
			same = !memcmp(&tag, &whole_tag, sizeof(tag));
			label = tag.carrier == CARRIER_LABEL && p.label == whole.label &&
				!memcmp(&p.key.src_ip, &whole.key.src_ip, 32);
			/* of two headers the second may be missing */
			if (!same && !label && (p.flags & PACKET_TRUNCATED))
				same = tag.grade <= GRADE_CONFIRMED &&
				       ((!p.hop_by_hop.type ||
					 !memcmp(&p.hop_by_hop, &whole.hop_by_hop,
						 sizeof(p.hop_by_hop))));
			if (!same && !label)
				fail_msg("%s cut to %u of %u bytes: %u/%u by carrier %u", v->name,
					 n, v->len_bytes, tag.tag.experiment, tag.tag.activity,
					 tag.carrier);
			/* a frame too deep or malformed when whole may show its label when cut */
			if (whole_verdict != PACKET_OK)
				assert_true(label);
		}
	}
}

static void a_cut_frame_is_short_or_says_truncated(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];
		struct packet whole, p;
		struct packet_tag tag;
		enum packet_verdict whole_verdict =
			read_copy(&whole, &tag, v->bytes, v->len_bytes, v->link);

		for (__u32 n = 0; n < v->len_bytes; n++) {
			enum packet_verdict verdict = read_copy(&p, &tag, v->bytes, n, v->link);

			if (verdict == PACKET_SHORT || (p.flags & PACKET_TRUNCATED))
				continue;
			/* nothing was missing: all that the whole frame shows is here, but TCP's flags */
			p.tcp_flags = whole.tcp_flags;
			assert_int_equal(verdict, whole_verdict);
			assert_memory_equal(&p, &whole, sizeof(p));
		}
	}
}

/* packet_parse() takes a short way for common frames: what it finds is what the walk finds. */
static void the_short_way_reads_the_same(void **state)
{
	unsigned int answered = 0;

	(void)state;
	for (unsigned int i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];

		for (__u32 n = 0; v->link == PACKET_LINK_ETHERNET && n <= v->len_bytes; n++) {
			struct packet plain = {0}, walked = {0};
			struct packet_walk w;

			cursor_init(&w.c, v->bytes, n);
			if (packet_plain(&plain, &w.c) != PACKET_OK)
				continue;
			answered++;
			w.next = PACKET_NEXT_ETHERNET;
			assert_int_equal(packet_walk(&w, &walked), PACKET_OK);
			assert_memory_equal(&plain, &walked, sizeof(walked));
		}
	}
	assert_true(answered > 200);
}

static void bytes_behind_the_packet_change_nothing(void **state)
{
	__u8 longer[VECTOR_BYTES_MAX + 64];

	(void)state;
	for (unsigned int i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];
		char before[VECTOR_TEXT_MAX], after[VECTOR_TEXT_MAX];
		struct packet p;
		struct packet_tag tag;
		enum packet_verdict verdict = read_copy(&p, &tag, v->bytes, v->len_bytes, v->link);

		if (!p.ip_bytes || p.ip_offset + p.ip_bytes > v->len_bytes ||
		    verdict == PACKET_SHORT)
			continue; /* it was cut, or does not say where it ends */
		vector_text(before, verdict, &p, &tag);
		memcpy(longer, v->bytes, v->len_bytes);
		for (int k = 0; k < 64; k++) /* options, if they were read */
			longer[v->len_bytes + k] = (__u8[]){60, 0, 0x1e, 3, 0, 3, 14, 0}[k % 8];
		verdict = read_copy(&p, &tag, longer, v->len_bytes + 64, v->link);
		vector_text(after, verdict, &p, &tag);
		if (strcmp(before, after))
			fail_msg("%s\n  alone  %s\n  padded %s", v->name, before, after);
	}
}

static void addresses_are_where_they_belong(void **state)
{
	static const __u8 mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
	static const __u8 to6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0xb, [15] = 0xb};
	unsigned int seen = 0;

	(void)state;
	for (unsigned int i = 0; i < n_vectors; i++) {
		struct packet p;
		struct packet_tag tag;

		read_copy(&p, &tag, vectors[i].bytes, vectors[i].len_bytes, vectors[i].link);
		if (!strcmp(vectors[i].name, "ipv4") && ++seen)
			assert_memory_equal(p.key.src_ip, mapped, 16);
		if (!strcmp(vectors[i].name, "6in4") && ++seen) {
			assert_memory_equal(p.key.dst_ip, to6, 16);
			assert_int_equal(p.ip_offset, 34);
			assert_int_equal(p.ports_offset, 74);
			assert_int_equal(p.tcp_flags, 0x18);
		}
		if (!strcmp(vectors[i].name, "vxlan_fragment") && ++seen) {
			assert_int_equal(p.ip_offset, 64);
			assert_int_equal(p.ports_offset, 0);
		}
	}
	assert_int_equal(seen, 3);
}

/* The same expectations hold for the frames that others made and checked. */
static void frames_of_others(void **state)
{
	static const struct {
		const char *name, *expected;
	} want[] = {
		{"P01", "3/14 label"},      {"P02", "3/14 label"},       {"P03", "3/14 label"},
		{"P04", "3/14 label"},      {"P05", "3/14 destination"}, {"P06", "3/14 hop-by-hop"},
		{"P07", "3/14 both"},       {"P08", "3/14 destination"}, {"P09", "3/14 hop-by-hop"},
		{"P10", "2/9 destination"}, {"P11", "2/9 destination"},  {"P12", "2/9 destination"},
		{"P13", "2/9 label"},       {"P14", "2/9 destination"},  {"P15", "2/9 label"},
		{"P16", "2/9 label"},       {"P17", "3/14 label"},       {"P18", "3/14 label"},
		{"P19", "3/14 label"},      {"P20", "3/14 label"},       {"P21", "3/14 label"},
		{"P22", "274/17 label"},    {"P23", "274/17 label"},     {"P24", "2/9 destination"},
		{"P25", "1/2 label"},
	};
	static const char *const carriers[] = {"none", "label", "destination", "hop-by-hop",
					       "both"};
	static struct vector theirs[VECTORS_MAX];
	char path[512], text[64];
	unsigned int n = vectors_read_shared(theirs, path);

	(void)state;
	if (!n) {
		print_message("%s is not there\n", path);
		skip();
	}
	for (unsigned int i = 0; i < n && i < sizeof(want) / sizeof(want[0]); i++) {
		struct packet p;
		struct packet_tag tag;

		assert_int_equal(
			read_copy(&p, &tag, theirs[i].bytes, theirs[i].len_bytes, theirs[i].link),
			PACKET_OK);
		snprintf(text, sizeof(text), "%u/%u %s", tag.tag.experiment, tag.tag.activity,
			 carriers[tag.carrier]);
		assert_memory_equal(want[i].name, theirs[i].name, 3);
		assert_string_equal(text, want[i].expected);
	}
	assert_int_equal(n, 25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_reads_as_its_line_says),
		cmocka_unit_test(no_cut_frame_invents_a_tag),
		cmocka_unit_test(a_cut_frame_is_short_or_says_truncated),
		cmocka_unit_test(the_short_way_reads_the_same),
		cmocka_unit_test(bytes_behind_the_packet_change_nothing),
		cmocka_unit_test(addresses_are_where_they_belong),
		cmocka_unit_test(frames_of_others),
	};

	n_vectors = vectors_read(vectors);
	if (vector_registered(&registered) != 114)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
