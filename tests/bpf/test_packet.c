/* The vectors, whole and cut at every length, through the reader as the kernel's verifier let it in: the
 * same answers as in user space. Not covered: frames of less than 14 bytes, which BPF_PROG_TEST_RUN refuses,
 * and link layers that no network device hands to XDP. Needs root. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include "tests/packet_vectors.h"
#include "tests/bpf/packet_result.h"

#define TEST_RUN_MIN_BYTES 14

static struct vector vectors[VECTORS_MAX];
static unsigned int n_vectors;
static struct scitag_set registered;
static struct bpf_object *object;
static int walk_fd, plain_fd, results_fd;

static int load(void **state)
{
	const char *dir = getenv("BPF_OBJECTS");
	char path[512];
	__u32 zero = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/packet.bpf.o", dir ? dir : "build/tests/bpf");
	object = bpf_object__open_file(path, NULL);
	if (!object || bpf_object__load(object) != 0)
		return -1;
	walk_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "read_walk"));
	plain_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "read_plain"));
	results_fd = bpf_object__find_map_fd_by_name(object, "results");
	return bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, "registered"), &zero,
				   &registered, BPF_ANY);
}

static int unload(void **state)
{
	(void)state;
	bpf_object__close(object);
	return 0;
}

/* The program's return value. */
static __u32 read_in_kernel(struct packet_result *r, int program_fd, const __u8 *bytes,
			    __u32 len_bytes)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = len_bytes,
		    .repeat = 1);
	__u32 zero = 0;

	memset(r, 0xAA, sizeof(*r)); /* what the last frame left behind must not show */
	assert_int_equal(bpf_map_update_elem(results_fd, &zero, r, BPF_ANY), 0);
	assert_int_equal(bpf_prog_test_run_opts(program_fd, &opts), 0);
	assert_int_equal(bpf_map_lookup_elem(results_fd, &zero, r), 0);
	if (r->verdict != PACKET_OK)
		memset(&r->tag, 0, sizeof(r->tag));
	return opts.retval;
}

static void every_frame_reads_as_its_line_says(void **state)
{
	unsigned int wrong = 0, n = 0;

	(void)state;
	for (unsigned int i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];
		struct packet_result r;
		char text[VECTOR_TEXT_MAX];

		if (v->link != PACKET_LINK_ETHERNET)
			continue;
		n++;
		assert_int_equal(read_in_kernel(&r, walk_fd, v->bytes, v->len_bytes), XDP_DROP);
		if (v->kernel_chain) {
			assert_int_equal(r.verdict, PACKET_CHAIN);
			continue;
		}
		vector_text(text, r.verdict, &r.packet, &r.tag);
		if (strcmp(text, v->expected)) {
			print_error("%s\n  read     %s\n  expected %s\n", v->name, text,
				    v->expected);
			wrong++;
		}
	}
	assert_true(n > 90);
	assert_int_equal(wrong, 0);
}

/* Where the short way answers, whole or cut, it answers as the walk in user space does. */
static void the_short_way_reads_the_same(void **state)
{
	unsigned int answered = 0;

	(void)state;
	for (unsigned int i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];

		if (v->link != PACKET_LINK_ETHERNET)
			continue;
		for (__u32 n = TEST_RUN_MIN_BYTES; n <= v->len_bytes; n++) {
			struct packet_result r;
			struct packet p = {0};
			struct packet_walk w;

			if (read_in_kernel(&r, plain_fd, v->bytes, n) == XDP_PASS)
				continue;
			answered++;
			cursor_init(&w.c, v->bytes, n);
			w.next = PACKET_NEXT_ETHERNET;
			assert_int_equal(packet_walk(&w, &p), PACKET_OK);
			assert_memory_equal(&r.packet, &p, sizeof(p));
		}
	}
	assert_true(answered > 200);
}

static void compare_cuts(const struct vector *v)
{
	for (__u32 n = TEST_RUN_MIN_BYTES; n <= v->len_bytes; n++) {
		struct packet_result r;
		struct packet p;
		struct packet_tag tag = {0};
		enum packet_verdict verdict = packet_parse(&p, v->bytes, n, v->link);

		read_in_kernel(&r, walk_fd, v->bytes, n);
		if (v->kernel_chain && r.verdict == PACKET_CHAIN)
			continue;
		if (verdict == PACKET_OK)
			packet_tag(&tag, &p, &registered);
		if (r.verdict != verdict || memcmp(&r.packet, &p, sizeof(p)) != 0 ||
		    memcmp(&r.tag, &tag, sizeof(tag)) != 0) {
			char kernel[VECTOR_TEXT_MAX], user[VECTOR_TEXT_MAX];

			vector_text(kernel, r.verdict, &r.packet, &r.tag);
			vector_text(user, verdict, &p, &tag);
			fail_msg("%s cut to %u\n  kernel %s\n  user   %s", v->name, n, kernel,
				 user);
		}
	}
}

static void every_cut_frame_reads_as_in_user_space(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < n_vectors; i++)
		if (vectors[i].link == PACKET_LINK_ETHERNET)
			compare_cuts(&vectors[i]);
}

static void frames_of_others_read_as_in_user_space(void **state)
{
	static struct vector theirs[VECTORS_MAX];
	char path[512];
	unsigned int n = vectors_read_shared(theirs, path);

	(void)state;
	if (!n) {
		print_message("%s is not there\n", path);
		skip();
	}
	for (unsigned int i = 0; i < n; i++)
		compare_cuts(&theirs[i]);
}

/* A header with 1,790 Pad1 is within the rules, but beyond the kernel's rounds: left to user space,
 * not taken for a packet without ports. */
static void what_is_too_long_here_is_left_to_user_space(void **state)
{
	static __u8 frame[2000];
	const __u32 pad_bytes = 1792;
	struct packet_result r;
	struct packet p;
	const struct vector *v = vectors;

	(void)state;
	while (strcmp(v->name, "label"))
		v++;
	memcpy(frame, v->bytes, 54);
	frame[18] = (20 + pad_bytes) >> 8;
	frame[19] = (20 + pad_bytes) & 0xFF;
	frame[20] = 60;
	frame[54] = 6;
	frame[55] = pad_bytes / 8 - 1;
	memcpy(frame + 54 + pad_bytes, v->bytes + 54, 20);
	assert_int_equal(packet_parse(&p, frame, 54 + pad_bytes + 20, PACKET_LINK_ETHERNET),
			 PACKET_OK);
	assert_int_equal(p.key.src_port, 1094);
	read_in_kernel(&r, walk_fd, frame, 54 + pad_bytes + 20);
	assert_int_equal(r.verdict, PACKET_CHAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_reads_as_its_line_says),
		cmocka_unit_test(the_short_way_reads_the_same),
		cmocka_unit_test(every_cut_frame_reads_as_in_user_space),
		cmocka_unit_test(frames_of_others_read_as_in_user_space),
		cmocka_unit_test(what_is_too_long_here_is_left_to_user_space),
	};

	n_vectors = vectors_read(vectors);
	if (vector_registered(&registered) != 114)
		return 1;
	return cmocka_run_group_tests(tests, load, unload);
}
