/* What the tap costs a packet, and how many it counts.
 *
 * Nanoseconds: BPF_PROG_TEST_RUN of the attached program beside an empty one, in turns; the best of many turns, because on
 * a shared machine everything else is somebody else's time. All of the tap is in them: counters, the table of seen
 * flows, adaptive sampling into a ring that is drained.
 * Packets a second: frames sent by BPF_F_TEST_XDP_LIVE_FRAMES through a veth pair into the tap in the driver's own mode,
 * everything on one CPU, the sender included. Root. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "tests/packet_vectors.h"
#include "xdp/tap.h"

#define TURNS       400 /* short ones: some fall where nobody else runs */
#define REPEAT      20000
#define LIVE_FRAMES 10000000u
#define LIVE_BATCH  128
#define ROUNDS      3

#define INSN(c, d, s, o, i)                                                         \
	(struct bpf_insn)                                                           \
	{                                                                           \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}

static struct vector vectors[VECTORS_MAX];
static unsigned int n_vectors;

static int load_raw(const struct bpf_insn *insns, size_t n)
{
	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bench", "GPL", insns, n, NULL);
}

/* return verdict; */
static int load_empty(int verdict)
{
	const struct bpf_insn insns[] = {
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, verdict),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};

	return load_raw(insns, sizeof(insns) / sizeof(insns[0]));
}

/* return bpf_redirect_map(devmap, 0, 0); */
static int load_sender(int devmap_fd)
{
	const struct bpf_insn insns[] = {
		INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, devmap_fd),
		INSN(0, 0, 0, 0, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};

	return load_raw(insns, sizeof(insns) / sizeof(insns[0]));
}

static int attached_program(const char *interface)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	if (bpf_xdp_query((int)if_nametoindex(interface), 0, &query) || !query.prog_id)
		return -1;
	return bpf_prog_get_fd_by_id(query.prog_id);
}

static int attach(int program_fd, const char *interface)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);

	return bpf_link_create(program_fd, (int)if_nametoindex(interface), BPF_XDP, &opts);
}

static void on_sample(void *arg, const struct tap_meta *meta, const uint8_t *bytes)
{
	(void)meta;
	(void)bytes;
	++*(uint64_t *)arg;
}

static void on_count(void *arg, const struct tap_count *count)
{
	*(uint64_t *)arg += count->grown.packets;
}

/* --- nanoseconds --- */

static const struct vector *named(const char *name)
{
	for (unsigned int i = 0; i < n_vectors; i++)
		if (!strcmp(vectors[i].name, name))
			return &vectors[i];
	fprintf(stderr, "no vector %s\n", name);
	exit(1);
}

static double turn_ns(int program_fd, const __u8 *bytes, __u32 len_bytes)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = len_bytes,
		    .repeat = REPEAT);
	int64_t start_ns = clock_mono_ns();

	if (bpf_prog_test_run_opts(program_fd, &opts))
		perror("test run");
	return (double)(clock_mono_ns() - start_ns) / REPEAT;
}

/* The frame made longer: more payload, and the IP header says so. */
static __u32 lengthen(__u8 *bytes, const struct vector *v, __u32 len_bytes)
{
	struct packet p;
	__u32 more, at, field;

	memset(bytes, 0, 2048);
	memcpy(bytes, v->bytes, v->len_bytes);
	if (len_bytes <= v->len_bytes)
		return v->len_bytes;
	more = len_bytes - v->len_bytes;
	packet_parse(&p, v->bytes, v->len_bytes, PACKET_LINK_ETHERNET);
	if (p.n_tunnels)
		return len_bytes; /* bytes behind the packet */
	at = p.ip_offset + (p.key.family == 4 ? 2 : 4);
	field = wire_be16(bytes + at) + more;
	bytes[at] = (__u8)(field >> 8);
	bytes[at + 1] = (__u8)field;
	return len_bytes;
}

static void measure(struct tap *t, int tap_fd, int empty_fd)
{
	static const struct {
		const char *vector, *what;
		double bar_ns; /* 0: none */
	} cases[] = {
		{"label", "label", 8},
		{"label_qinq", "two VLAN tags, label", 0},
		{"do_plain", "destination option", 12},
		{"hbh_do_plain", "hop-by-hop and destination option", 18},
		{"ipv4", "IPv4", 0},
		{"do_behind_foreign", "option behind two others", 0},
		{"vxlan", "VXLAN, label", 0},
		{"headers_x16", "sixteen headers, option in the last", 0},
		{"tunnels_x4", "four tunnels", 0},
		{"arp", "no IP", 0},
	};
	static const __u32 sizes[] = {64, 128, 1500};
	static __u8 bytes[2048];
	uint64_t n = 0;

	printf("%-38s %7s %7s %7s %7s\n", "ns a packet", "bytes", "empty", "tap", "more");
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
		for (size_t s = 0; s < 3; s++) {
			__u32 len = lengthen(bytes, named(cases[c].vector), sizes[s]);
			double best = 1e9, floor = 1e9;

			for (int i = 0; i < TURNS; i++) {
				double ns = turn_ns(empty_fd, bytes, len);

				floor = ns < floor ? ns : floor;
				ns = turn_ns(tap_fd, bytes, len);
				best = ns < best ? ns : best;
				tap_samples(t, 0, on_sample, &n);
			}
			printf("%-38s %7u %7.1f %7.1f %+7.1f", cases[c].what, len, floor, best,
			       best - floor);
			if (cases[c].bar_ns > 0)
				printf("  (bar %+.0f: %s)", cases[c].bar_ns,
				       best - floor <= cases[c].bar_ns ? "kept" : "MISSED");
			printf("\n");
		}
}

/* Reading the counters, all of them, as once a second. */
static void measure_reading(struct tap *t)
{
	uint64_t n = 0;
	double best_ms = 1e9;

	for (int i = 0; i < 50; i++) {
		int64_t start_ns = clock_mono_ns();
		double ms;

		tap_counts(t, on_count, &n);
		ms = (double)(clock_mono_ns() - start_ns) / 1e6;
		best_ms = ms < best_ms ? ms : best_ms;
	}
	printf("reading all counters of %d CPUs: %.2f ms, once a second\n",
	       libbpf_num_possible_cpus(), best_ms);
}

/* --- packets a second --- */

/* Frames that found the receiving end's ring full, before any program. */
static uint64_t pair_errors(void)
{
	char line[128];
	unsigned long long n;
	uint64_t sum = 0;
	FILE *f = popen("ethtool -S tapa; ethtool -S tapb", "r");

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "xmit_errors:") && sscanf(strchr(line, ':') + 1, "%llu", &n) == 1)
			sum += n;
	if (f)
		pclose(f);
	return sum;
}

/* Send, and say how fast; t NULL: into an empty program, for comparison. 0 if all were counted. */
static int live(struct tap *t, int sender_fd, const struct vector *v)
{
	struct xdp_md ctx = {.data_end = v->len_bytes};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = v->bytes, .data_size_in = v->len_bytes,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = LIVE_FRAMES,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = LIVE_BATCH);
	uint64_t counted = 0, samples = 0, lost = pair_errors();
	struct tap_health before, after;
	int64_t start_ns;
	double seconds;

	if (t) {
		tap_counts(t, on_count, &counted);
		tap_health(t, &before);
		counted = 0;
	}
	start_ns = clock_mono_ns();
	if (bpf_prog_test_run_opts(sender_fd, &opts)) {
		perror("live frames");
		return 1;
	}
	seconds = (double)(clock_mono_ns() - start_ns) / NS_PER_S;
	printf("%-12s %4u bytes %6.2f Mpackets/s", v->name, v->len_bytes,
	       LIVE_FRAMES / seconds / 1e6);
	if (!t) {
		printf(" into an empty program\n");
		return 0;
	}
	usleep(100000);
	tap_counts(t, on_count, &counted);
	while (tap_samples(t, 0, on_sample, &samples) > 0)
		;
	tap_health(t, &after);
	counted += after.steered - before.steered;
	lost = pair_errors() - lost;
	printf(" into the tap, %llu lost by the pair's ring, %lld uncounted\n",
	       (unsigned long long)lost, (long long)(LIVE_FRAMES - lost - counted));
	return counted + lost != LIVE_FRAMES;
}

int main(void)
{
	struct tap_config cfg = {.interface = "tapb"};
	static struct scitag_set registered;
	struct tap *t;
	char why[256];
	cpu_set_t one;
	uint32_t zero = 0, ifindex;
	int devmap_fd, sender_fd, link_fd, empty_fd, failed = 0;

	log_open(LOG_LEVEL_ERROR, 0);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	n_vectors = vectors_read(vectors);
	vector_registered(&registered);
	cfg.registered = &registered;
	if (sched_setaffinity(0, sizeof(one), &one) || unshare(CLONE_NEWNET) ||
	    system("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 &&"
		   "ip link add tapa type veth peer name tapb && ip link set tapa up && "
		   "ip link set tapb up")) {
		fprintf(stderr, "needs root\n");
		return 1;
	}
	/* attached, as the tap is: a test run of a program that is nowhere attached takes longer to set up */
	empty_fd = load_empty(XDP_PASS);
	link_fd = attach(empty_fd, "tapa");
	if (link_fd < 0 || tap_open(&t, &cfg, why, sizeof(why))) {
		fprintf(stderr, "%s\n", link_fd < 0 ? "needs root" : why);
		return 1;
	}
	measure(t, attached_program("tapb"), empty_fd);
	measure_reading(t);
	tap_close(t);
	close(link_fd);

	printf("frames through a veth pair, everything on one CPU, the sender included:\n");
	ifindex = if_nametoindex("tapa");
	devmap_fd = bpf_map_create(BPF_MAP_TYPE_DEVMAP, "bench", 4, 4, 1, NULL);
	sender_fd = load_sender(devmap_fd);
	if (sender_fd < 0 || bpf_map_update_elem(devmap_fd, &zero, &ifindex, BPF_ANY)) {
		perror("live frames");
		return 1;
	}
	cfg.mirror = 1; /* frames end in the tap */
	for (int round = 0; round < ROUNDS; round++) {
		link_fd = attach(load_empty(XDP_DROP), "tapb");
		failed |= live(NULL, sender_fd, named("label"));
		close(link_fd);
		if (tap_open(&t, &cfg, why, sizeof(why))) {
			fprintf(stderr, "%s\n", why);
			return 1;
		}
		failed |= live(t, sender_fd, named("label"));
		failed |= live(t, sender_fd, named("do_plain"));
		tap_close(t);
	}
	return failed;
}
