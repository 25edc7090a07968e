/* The fastest generator there is without hardware: live frames of BPF_PROG_TEST_RUN out of an interface, on this CPU.
 * Usage: live_frames OBJECT INTERFACE FRAMES [BYTES [FRAMES-A-SECOND]]
 * Sixteen flow labels in turn (experiment 2, activities 0 to 15). Prints "SENT SECONDS CPU-SECONDS". Root. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define BATCH      128
#define A_CALL     4000000u /* runs of one call; it cannot be interrupted */
#define BYTES_MAX  3000u
#define HEAD_BYTES 62u

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put16(unsigned char *at, unsigned int v)
{
	at[0] = (unsigned char)(v >> 8);
	at[1] = (unsigned char)v;
}

/* IPv6 and UDP, 2001:db8:a::1 to 2001:db8:b::2. */
static void make_frame(unsigned char *f, unsigned int bytes)
{
	memset(f, 0, bytes);
	f[0] = f[6] = 2;
	put16(f + 12, 0x86DD);
	f[14] = 0x60;
	put16(f + 18, bytes - 54);
	f[20] = 17;
	f[21] = 64;
	memcpy(f + 22, "\x20\x01\x0d\xb8\0\x0a\0\0\0\0\0\0\0\0\0\1", 16);
	memcpy(f + 38, "\x20\x01\x0d\xb8\0\x0b\0\0\0\0\0\0\0\0\0\2", 16);
	put16(f + 56, 443);
	put16(f + 58, bytes - 54);
}

int main(int argc, char **argv)
{
	static unsigned char frame[BYTES_MAX];
	/* nine mirrored bits of the experiment, then six of the activity: experiment 2 is 0x80 */
	unsigned int labels[16], bytes = argc > 4 ? (unsigned int)atoi(argv[4]) : 70, zero = 0,
				 ifindex;
	unsigned long long interval_ns =
		argc > 5 && atof(argv[5]) > 0 ? (unsigned long long)(1e9 / atof(argv[5])) : 0;
	struct bpf_object *object;
	struct bpf_map *rodata, *bss;
	struct {
		unsigned long long wanted, sent, next_ns;
	} * state;
	struct {
		unsigned long long interval_ns;
		unsigned int labels[16];
	} settings = {.interval_ns = interval_ns};
	double start_s, start_cpu_s;
	int fd;

	if (argc < 4 || bytes < HEAD_BYTES || bytes > BYTES_MAX)
		return 2;
	for (unsigned int i = 0; i < 16; i++)
		labels[i] = 0x80u << 9 | i << 2;
	memcpy(settings.labels, labels, sizeof(labels));
	make_frame(frame, bytes);
	object = bpf_object__open_file(argv[1], NULL);
	ifindex = if_nametoindex(argv[2]);
	if (!object || !ifindex) {
		fprintf(stderr, "no object %s, or no interface %s\n", argv[1], argv[2]);
		return 1;
	}
	rodata = bpf_object__find_map_by_name(object, ".rodata");
	bss = bpf_object__find_map_by_name(object, ".bss");
	if (!rodata || !bss || bpf_map__value_size(rodata) != sizeof(settings) ||
	    bpf_map__set_initial_value(rodata, &settings, sizeof(settings)) ||
	    bpf_object__load(object)) {
		fprintf(stderr, "the object cannot be loaded\n");
		return 1;
	}
	fd = bpf_program__fd(bpf_object__find_program_by_name(object, "live"));
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(bss), 0);
	if (state == MAP_FAILED ||
	    bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, "out"), &zero, &ifindex,
				BPF_ANY)) {
		fprintf(stderr, "%s takes no frames\n", argv[2]);
		return 1;
	}
	state->wanted = strtoull(argv[3], NULL, 10);
	start_s = now_s(CLOCK_MONOTONIC);
	start_cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID);
	while (*(volatile unsigned long long *)&state->sent < state->wanted) {
		struct xdp_md ctx = {.data_end = bytes};
		unsigned long long left = state->wanted - state->sent;
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = bytes,
			    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
			    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH,
			    .repeat = interval_ns || left > A_CALL ? (int)A_CALL : (int)left);

		if (bpf_prog_test_run_opts(fd, &opts)) {
			perror("live frames");
			return 1;
		}
	}
	printf("%llu %.6f %.6f\n", state->sent, now_s(CLOCK_MONOTONIC) - start_s,
	       now_s(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_s);
	return 0;
}
