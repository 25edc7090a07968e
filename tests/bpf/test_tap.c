/* The tap on a veth pair of a network namespace of its own: every vector, whole and cut, and thousands of damaged
 * ones, counted by the kernel program exactly as user space reads them; sampling, refusals, and nothing
 * left behind. Needs root. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <math.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/packet_vectors.h"
#include "xdp/tap.h"

#define TEST_RUN_MIN_BYTES 14

static struct vector vectors[VECTORS_MAX];
static unsigned int n_vectors;
static struct scitag_set registered;

static int run(const char *command)
{
	return system(command) == 0 ? 0 : -1;
}

/* A namespace that dies with us, and in it a pair of interfaces. */
static int make_interfaces(void **state)
{
	cpu_set_t one;

	(void)state;
	CPU_ZERO(&one); /* each CPU knows its own flows: a new one on each would be new again */
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one) != 0 || unshare(CLONE_NEWNET) != 0)
		return -1;
	/* no neighbour discovery: nothing but what the tests feed */
	if (run("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && "
		"echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6") != 0)
		return -1;
	return run("ip link add tapa type veth peer name tapb && ip link set tapa up && ip link "
		   "set tapb up");
}

/* The tap of the running test; a teardown closes it when the test did not come so far. */
static struct tap *open_now;

static void close_tap(void)
{
	tap_close(open_now);
	open_now = NULL;
}

static int after_test(void **state)
{
	(void)state;
	close_tap();
	return 0;
}

static struct tap *open_tap(const struct tap_config *change)
{
	struct tap_config cfg = *change;
	struct tap *t = NULL;
	char why[256] = "";

	cfg.interface = cfg.interface ? cfg.interface : "tapb";
	cfg.registered = &registered;
	if (tap_open(&t, &cfg, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	open_now = t;
	return t;
}

/* The program as the kernel knows it. */
static int attached_program(const char *interface)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	assert_int_equal(bpf_xdp_query((int)if_nametoindex(interface), 0, &query), 0);
	return query.prog_id ? bpf_prog_get_fd_by_id(query.prog_id) : -1;
}

static int is_attached(const char *interface)
{
	int fd = attached_program(interface);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void feed(int program_fd, const __u8 *bytes, __u32 len_bytes, int repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = len_bytes,
		    .repeat = repeat);

	assert_int_equal(bpf_prog_test_run_opts(program_fd, &opts), 0);
	assert_int_equal(opts.retval, XDP_PASS);
}

/* --- what was counted, and what should have been --- */

struct sums {
	struct tap_cell cells[2][5][SCITAG_CODES + 1]; /* IPv4 or IPv6, carrier, code */
	struct tap_cell verdicts[PACKET_VERDICT_COUNT];
	unsigned int steered;
	struct tap_cell disagree; /* two tags in one packet: only user space counts these */
};
static struct sums counted, expected;

static void add(struct tap_cell *cell, const struct tap_cell *more)
{
	cell->packets += more->packets;
	cell->bytes += more->bytes;
	cell->ip_bytes += more->ip_bytes;
}

static void on_count(void *arg, const struct tap_count *c)
{
	struct sums *s = arg;
	__u32 code = c->outside ? SCITAG_CODE_OUTSIDE : scitag_code(c->tag);

	if (c->verdict != PACKET_OK)
		add(&s->verdicts[c->verdict], &c->grown);
	else
		add(&s->cells[c->family == 6][c->carrier][code], &c->grown);
}

/* How user space reads a frame, in the shape of the tap's cells. */
static void expect(struct sums *s, const __u8 *bytes, __u32 len_bytes)
{
	struct packet p;
	struct packet_tag tag = {0};
	enum packet_verdict verdict = packet_parse(&p, bytes, len_bytes, PACKET_LINK_ETHERNET);
	struct tap_cell one = {1, len_bytes, 0};
	__u32 code;

	if (verdict != PACKET_OK) {
		add(&s->verdicts[verdict], &one);
		return;
	}
	packet_tag(&tag, &p, &registered);
	one.ip_bytes = len_bytes - p.ip_offset;
	if (p.ip_bytes && p.ip_bytes < one.ip_bytes)
		one.ip_bytes = p.ip_bytes;
	/* an option beyond 511/63 that nobody registered has no cell of its own */
	if (tag.grade == GRADE_DISAGREE) {
		add(&s->disagree, &one);
		return;
	}
	code = scitag_code(tag.tag);
	if (tag.carrier >= CARRIER_DESTINATION && code >= TAP_CELLS &&
	    tag.grade == GRADE_UNREGISTERED)
		code = SCITAG_CODE_OUTSIDE;
	add(&s->cells[p.key.family == 6][tag.carrier][code], &one);
}

/* A frame that the kernel left to us is read here, and must have come whole. */
static void on_sample(void *arg, const struct tap_meta *meta, const uint8_t *bytes)
{
	struct sums *s = arg;

	if (meta->why != TAP_STEERED)
		return;
	assert_int_equal(meta->weight, 1);
	assert_int_equal(meta->captured_bytes, meta->frame_bytes);
	s->steered++;
	expect(s, bytes, meta->captured_bytes);
}

static void collect(struct tap *t, struct sums *s)
{
	while (tap_samples(t, 0, on_sample, s) > 0)
		;
	tap_counts(t, on_count, s);
}

static void compare(const char *name)
{
	for (int family = 0; family < 2; family++)
		for (int carrier = 0; carrier < 5; carrier++)
			for (__u32 code = 0; code <= SCITAG_CODES; code++) {
				const struct tap_cell *c = &counted.cells[family][carrier][code],
						      *e = &expected.cells[family][carrier][code];

				if (memcmp(c, e, sizeof(*c)))
					fail_msg("%s: family %d carrier %d code %u: counted "
						 "%llu/%llu/%llu, "
						 "expected %llu/%llu/%llu",
						 name, family ? 6 : 4, carrier, code, c->packets,
						 c->bytes, c->ip_bytes, e->packets, e->bytes,
						 e->ip_bytes);
			}
	assert_memory_equal(&counted.disagree, &expected.disagree, sizeof(counted.disagree));
	for (int v = 0; v < PACKET_VERDICT_COUNT; v++)
		if (memcmp(&counted.verdicts[v], &expected.verdicts[v], sizeof(struct tap_cell)))
			fail_msg("%s: verdict %d: counted %llu, expected %llu", name, v,
				 counted.verdicts[v].packets, expected.verdicts[v].packets);
}

static void reset(void)
{
	memset(&counted, 0, sizeof(counted));
	memset(&expected, 0, sizeof(expected));
}

static void every_vector_is_counted_as_it_reads(void **state)
{
	static struct vector theirs[VECTORS_MAX];
	char path[512];
	unsigned int n_theirs = vectors_read_shared(theirs, path);
	struct tap *t = open_tap(&(struct tap_config){0});
	int program_fd = attached_program("tapb");
	unsigned int steered = 0;

	(void)state;
	reset();
	for (unsigned int i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];

		if (v->link != PACKET_LINK_ETHERNET)
			continue;
		feed(program_fd, v->bytes, v->len_bytes, 1);
		expect(&expected, v->bytes, v->len_bytes);
		steered = counted.steered;
		collect(t, &counted);
		if (v->kernel_chain) /* left to user space by the kernel alone */
			assert_int_equal(counted.steered, steered + 1);
		if (i % 8 == 0)
			compare(v->name);
	}
	compare("all");
	for (unsigned int i = 0; i < n_theirs; i++) { /* where they are there */
		feed(program_fd, theirs[i].bytes, theirs[i].len_bytes, 1);
		expect(&expected, theirs[i].bytes, theirs[i].len_bytes);
	}
	collect(t, &counted);
	compare("frames of others");
	assert_in_range(counted.steered, 3, 20);
	close(program_fd);
	close_tap();
}

static void every_cut_vector_is_counted_as_it_reads(void **state)
{
	struct tap *t = open_tap(&(struct tap_config){.generic_only = 1});
	int program_fd = attached_program("tapb");

	(void)state;
	assert_false(tap_is_native(t));
	reset();
	for (unsigned int i = 0; i < n_vectors; i++) {
		const struct vector *v = &vectors[i];

		for (__u32 n = TEST_RUN_MIN_BYTES;
		     v->link == PACKET_LINK_ETHERNET && n < v->len_bytes; n++) {
			feed(program_fd, v->bytes, n, 1);
			expect(&expected, v->bytes, n);
		}
		collect(t, &counted);
	}
	compare("cut");
	close(program_fd);
	close_tap();
}

/* Vectors with bytes changed at random: the same totals, to the byte. */
static void feed_damaged(const struct tap_config *cfg)
{
	struct tap *t = open_tap(cfg);
	int program_fd = attached_program("tapb");
	__u64 x = 88172645463325252ULL; /* xorshift64, Marsaglia 2003 */

	reset();
	for (int round = 0; round < 20000; round++) {
		const struct vector *v = &vectors[x % n_vectors];
		__u8 bytes[VECTOR_BYTES_MAX];
		int changes = (int)(x >> 60) % 4;

		if (v->link == PACKET_LINK_ETHERNET && v->len_bytes > TEST_RUN_MIN_BYTES) {
			memcpy(bytes, v->bytes, v->len_bytes);
			for (int k = 0; k <= changes; k++) {
				x ^= x << 13, x ^= x >> 7, x ^= x << 17;
				bytes[12 + (x >> 8) % (v->len_bytes - 12)] = (__u8)(x >> 40);
			}
			feed(program_fd, bytes, v->len_bytes, 1);
			expect(&expected, bytes, v->len_bytes);
		}
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		if (round % 500 == 0)
			collect(t, &counted);
	}
	collect(t, &counted);
	compare("damaged");
	close(program_fd);
	close_tap();
}

static void damaged_frames_are_counted_as_they_read(void **state)
{
	(void)state;
	feed_damaged(&(struct tap_config){0});
}

/* The program that knows directions is another one; all directions together are the same. */
static void damaged_frames_are_counted_by_direction(void **state)
{
	static const struct tap_prefix own = {32, {0x20, 0x01, 0x0d, 0xb8}};

	(void)state;
	feed_damaged(&(struct tap_config){.prefixes = &own, .n_prefixes = 1});
}

static const struct vector *named(const char *name)
{
	for (unsigned int i = 0; i < n_vectors; i++)
		if (!strcmp(vectors[i].name, name))
			return &vectors[i];
	fail_msg("no vector %s", name);
	return NULL;
}

/* A new registry tells the two forms of 1E/3 apart from then on, also for what was only counted so far. */
static void the_registry_decides_on_options(void **state)
{
	struct tap *t = open_tap(&(struct tap_config){0});
	int program_fd = attached_program("tapb");
	const struct vector *v = named("do_label24"); /* 07003a: 1792/58, or the label of 3/14 */
	struct scitag_set none = {{0}};

	(void)state;
	reset();
	feed(program_fd, v->bytes, v->len_bytes, 3);
	collect(t, &counted);
	assert_int_equal(counted.cells[1][CARRIER_DESTINATION][3 << 6 | 14].packets, 3);
	tap_register(t, &none);
	feed(program_fd, v->bytes, v->len_bytes, 5);
	collect(t, &counted);
	assert_int_equal(counted.cells[1][CARRIER_DESTINATION][3 << 6 | 14].packets, 3);
	assert_int_equal(counted.cells[1][CARRIER_DESTINATION][SCITAG_CODE_OUTSIDE].packets, 5);
	close(program_fd);
	close_tap();
}

static void on_direction(void *arg, const struct tap_count *c)
{
	((__u64 *)arg)[c->direction] += c->grown.packets;
}

/* An experiment beyond 511 has no cell. Nobody's: one cell for all of them. Somebody's: for user space to count. */
static void a_large_number_is_counted_if_it_is_registered(void **state)
{
	struct tap *t = open_tap(&(struct tap_config){0});
	int program_fd = attached_program("tapb");
	const struct vector *v = named("hbh_plain");
	struct scitag tag = {600, 1};
	struct scitag_set more = registered;
	struct tap_health h;
	__u8 frame[128];

	(void)state;
	reset();
	memcpy(frame, v->bytes, v->len_bytes);
	assert_int_equal(scitag_option_emit(frame + 56, SCITAG_DIALECT_PLAIN, tag, 0), 0);
	feed(program_fd, frame, v->len_bytes, 2);
	collect(t, &counted);
	assert_int_equal(counted.cells[1][CARRIER_HOP_BY_HOP][SCITAG_CODE_OUTSIDE].packets, 2);
	assert_int_equal(scitag_set_add(&more, tag), 0);
	tap_register(t, &more);
	reset();
	feed(program_fd, frame, v->len_bytes, 3);
	tap_counts(t, on_count, &counted);
	assert_int_equal(counted.cells[1][CARRIER_HOP_BY_HOP][SCITAG_CODE_OUTSIDE].packets, 0);
	tap_health(t, &h);
	assert_int_equal(h.steered, 3);
	close(program_fd);
	close_tap();
}

/* 448/4 is 01C004 as a plain option, and that is also the label of 14/1. Said in a 1F/4 it is neither: the
 * cell where both meet must not take it. */
static void an_ambiguous_cell_is_left_empty(void **state)
{
	struct tap *t = open_tap(&(struct tap_config){0});
	int program_fd = attached_program("tapb");
	const struct vector *v = named("hbh_label32");
	struct scitag tag = {448, 4};
	__u8 frame[128];

	(void)state;
	reset();
	memcpy(frame, v->bytes, v->len_bytes);
	assert_int_equal(scitag_option_emit(frame + 56, SCITAG_DIALECT_LABEL32, tag, 0), 0);
	feed(program_fd, frame, v->len_bytes, 1);
	expect(&expected, frame, v->len_bytes);
	assert_int_equal(expected.cells[1][CARRIER_HOP_BY_HOP][448 << 6 | 4].packets, 1);
	assert_int_equal(scitag_option_emit(frame + 56, SCITAG_DIALECT_PLAIN, tag, 0), 0);
	feed(program_fd, frame, v->len_bytes, 1);
	expect(&expected, frame, v->len_bytes);
	assert_int_equal(expected.cells[1][CARRIER_HOP_BY_HOP][14 << 6 | 1].packets, 1);
	collect(t, &counted);
	compare("ambiguous");
	assert_int_equal(counted.steered, 1);
	close(program_fd);
	close_tap();
}

static void directions_are_counted_apart(void **state)
{
	/* 2001:db8:a::/48 and 192.0.2.0/24 are ours: the vectors' senders */
	static const struct tap_prefix own[] = {
		{48, {0x20, 0x01, 0x0d, 0xb8, 0, 0xa}},
		{96 + 24, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0}},
	};
	struct tap *t = open_tap(&(struct tap_config){.prefixes = own, .n_prefixes = 2});
	int program_fd = attached_program("tapb");
	__u64 seen[5] = {0};
	const struct vector *v = named("label"), *v4 = named("ipv4"),
			    *outer = named("gre_ethernet");
	__u8 back[128];

	(void)state;
	feed(program_fd, v->bytes, v->len_bytes, 2);
	feed(program_fd, v4->bytes, v4->len_bytes, 1);
	feed(program_fd, outer->bytes, outer->len_bytes, 1); /* the inner addresses decide */
	memcpy(back, v->bytes, v->len_bytes);
	memcpy(back + 22, v->bytes + 38, 16);
	memcpy(back + 38, v->bytes + 22, 16);
	feed(program_fd, back, v->len_bytes, 4); /* to us */
	memcpy(back + 22, v->bytes + 22, 16);
	feed(program_fd, back, v->len_bytes, 8); /* among us */
	back[22] = back[38] = 0x30;
	feed(program_fd, back, v->len_bytes, 16); /* neither */
	feed(program_fd, named("arp")->bytes, 42, 32);
	tap_counts(t, on_direction, seen);
	assert_int_equal(seen[2], 4);
	assert_int_equal(seen[1], 4);
	assert_int_equal(seen[3], 8);
	assert_int_equal(seen[4], 16);
	assert_int_equal(seen[0], 32);
	close(program_fd);
	close_tap();
}

struct estimate {
	__u64 firsts, sampled, weighted;
	__u32 largest_weight;
};

static void on_estimate(void *arg, const struct tap_meta *meta, const uint8_t *bytes)
{
	struct estimate *e = arg;

	(void)bytes;
	assert_true(meta->captured_bytes <= TAP_SAMPLE_BYTES);
	e->firsts += meta->why == TAP_FIRST;
	e->sampled += meta->why == TAP_SAMPLED;
	e->weighted += meta->weight;
	if (meta->weight > e->largest_weight)
		e->largest_weight = meta->weight;
}

/* What samples stand for, summed up, is what was there: within 5 standard deviations, at every rate that the
 * adaption chose on its way; and the ring lost nothing although far more came than was asked for. */
static void samples_stand_for_what_was_there(void **state)
{
	struct tap *t = open_tap(&(struct tap_config){.samples_per_s = 5000});
	int program_fd = attached_program("tapb");
	const struct vector *v = named("label");
	struct estimate e = {0};
	struct tap_health h;
	double error, packets = 0;

	(void)state;
	for (int i = 0; i < 60; i++) {
		feed(program_fd, v->bytes, v->len_bytes, 50000);
		packets += 50000;
		tap_samples(t, 20, on_estimate, &e);
	}
	while (tap_samples(t, 0, on_estimate, &e) > 0)
		;
	tap_health(t, &h);
	assert_int_equal(e.firsts, 1); /* one flow */
	assert_int_equal(h.firsts, 1);
	assert_int_equal(h.lost_samples, 0);
	assert_true(e.largest_weight > 16);
	/* variance of a Bernoulli sample with weight w: w - 1 for each packet */
	error = sqrt(packets * e.largest_weight);
	if (fabs((double)e.weighted - packets) > 5 * error)
		fail_msg("%.0f packets, samples stand for %llu, 5 sigma is %.0f", packets,
			 e.weighted, 5 * error);
	close(program_fd);
	close_tap();
}

struct flow_estimate {
	double packets, variance;
	__u32 weight;
};

static void on_flow(void *arg, const struct tap_meta *meta, const uint8_t *bytes)
{
	struct flow_estimate *f = &((struct flow_estimate *)arg)[bytes[55] & 7];

	f->packets += meta->weight;
	f->variance += (double)meta->weight * (meta->weight - 1);
	f->weight = meta->weight;
}

/* What a flow's samples say, with the error that they say: of 200 runs with eight flows each, several times the
 * traffic that is asked for, 95 in 100 flows are within 1.96 standard deviations, give or take chance
 * (1,600 flows: sigma 0.5 %). */
static void flows_are_within_their_error(void **state)
{
	struct tap *t = open_tap(&(struct tap_config){.samples_per_s = 1000000});
	int program_fd = attached_program("tapb");
	const struct vector *v = named("label");
	struct flow_estimate flows[8];
	unsigned int within = 0, n = 0;
	__u8 frame[128];

	(void)state;
	memcpy(frame, v->bytes, v->len_bytes);
	for (int round = 0; round < 210; round++) {
		memset(flows, 0, sizeof(flows));
		for (int part = 0; part < 2; part++)
			for (int flow = 0; flow < 8; flow++) {
				frame[55] = (__u8)flow; /* source port */
				feed(program_fd, frame, v->len_bytes, 2000 + 1000 * flow);
				tap_samples(t, 0, on_flow, flows);
			}
		while (tap_samples(t, 0, on_flow, flows) > 0)
			;
		if (round < 10)
			continue; /* the rate has to settle */
		for (int flow = 0; flow < 8; flow++) {
			double wrong = flows[flow].packets - 2 * (2000 + 1000 * flow);

			n++;
			within += fabs(wrong) <= 1.96 * sqrt(flows[flow].variance);
		}
	}
	print_message("%u of %u flows within their error, one in %u sampled\n", within, n,
		      flows[0].weight);
	assert_true(flows[0].weight > 1);
	assert_true(within >= n * 0.935);
	close(program_fd);
	close_tap();
}

/* New flows are handed up at once, and then no more, also where two of them share a place. */
static void a_new_flow_is_handed_up_once(void **state)
{
	struct tap *t = open_tap(&(struct tap_config){.samples_per_s = 100000});
	int program_fd = attached_program("tapb");
	const struct vector *v = named("label");
	struct estimate e = {0};
	__u8 frame[128];
	__u64 x;

	(void)state;
	memcpy(frame, v->bytes, v->len_bytes);
	for (int round = 0; round < 3; round++) {
		x = 88172645463325252ULL;
		for (int flow = 0; flow < 3000; flow++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			memcpy(frame + 30, &x, 8); /* the sender's address */
			feed(program_fd, frame, v->len_bytes, 1);
		}
		while (tap_samples(t, 0, on_estimate, &e) > 0)
			;
		/* 3000^2 / 2 / 32768 = 137 pairs share a place: the second of them is not new enough */
		assert_in_range(e.firsts, 2750, 2980);
	}
	close(program_fd);
	close_tap();
}

static void a_full_ring_is_counted(void **state)
{
	struct tap *t = open_tap(&(struct tap_config){.ring_bytes = 65536});
	int program_fd = attached_program("tapb");
	const struct vector *v = named("headers_x17"), *label = named("label");
	struct tap_health h;

	(void)state;
	reset();
	feed(program_fd, v->bytes, v->len_bytes, 1000);
	feed(program_fd, label->bytes, label->len_bytes, 1000);
	tap_health(t, &h);
	assert_int_equal(h.steered, 1000);
	assert_true(h.lost_steered > 0);
	collect(t, &counted);
	assert_int_equal(counted.steered + h.lost_steered, 1000);
	assert_int_equal(counted.cells[1][CARRIER_LABEL][3 << 6 | 14].packets,
			 1000); /* counted all the same */
	close(program_fd);
	close_tap();
}

/* --- manners --- */

static void a_foreign_program_is_left_alone(void **state)
{
	struct tap *second = NULL;
	struct tap_config cfg = {.interface = "tapb"};
	char why[256] = "";

	(void)state;
	open_tap(&(struct tap_config){0});
	assert_int_equal(tap_open(&second, &cfg, why, sizeof(why)), -EBUSY);
	assert_null(second);
	assert_non_null(strstr(why, "id "));
	assert_non_null(strstr(why, "tap_count"));
	close_tap();
	assert_false(is_attached("tapb"));
}

static void what_cannot_be_opened_says_why(void **state)
{
	struct tap_config cfg = {.interface = "nosuch0"};
	struct tap *t = NULL;
	char why[256] = "";

	(void)state;
	assert_int_equal(tap_open(&t, &cfg, why, sizeof(why)), -ENODEV);
	assert_non_null(strstr(why, "nosuch0"));
	assert_null(t);
	tap_close(NULL);
}

/* A tunnel's frames have no Ethernet header. */
static void what_is_no_ethernet_is_refused(void **state)
{
	struct tap_config cfg = {.interface = "taptun"};
	struct tap *t = NULL;
	char why[256] = "";

	(void)state;
	if (run("ip tuntap add taptun mode tun") != 0)
		skip();
	assert_int_equal(tap_open(&t, &cfg, why, sizeof(why)), -EOPNOTSUPP);
	assert_non_null(strstr(why, "no Ethernet"));
	assert_int_equal(run("ip link del taptun"), 0);
}

static void loopback_gets_the_generic_mode(void **state)
{
	struct tap *t = open_tap(&(struct tap_config){.interface = "lo"});
	char text[256];

	(void)state;
	assert_false(tap_is_native(t));
	tap_describe(t, text, sizeof(text));
	assert_non_null(strstr(text, "generic XDP"));
	close_tap();
}

static void on_steered(void *arg, const struct tap_meta *meta, const uint8_t *bytes)
{
	(void)bytes;
	if (meta->why != TAP_STEERED)
		return;
	assert_int_equal(meta->frame_bytes, 9014);
	assert_int_equal(meta->captured_bytes, TAP_STEER_BYTES);
	++*(int *)arg;
}

static void long_frames_come_in_pieces(void **state)
{
	static __u8 frame[9014];
	const struct vector *v = named("do_plain");
	struct tap *t;
	int program_fd, steered = 0;

	(void)state;
	assert_int_equal(run("ip link set tapa mtu 9000 && ip link set tapb mtu 9000"), 0);
	t = open_tap(&(struct tap_config){0});
	assert_true(tap_is_native(t));
	assert_true(tap_has_frags(t));
	program_fd = attached_program("tapb");
	reset();
	memcpy(frame, v->bytes, v->len_bytes);
	frame[18] = (sizeof(frame) - 54) >> 8;
	frame[19] = (sizeof(frame) - 54) & 0xFF;
	feed(program_fd, frame, sizeof(frame), 3); /* its first piece is less than a page */
	for (int i = 0; i < 3; i++)
		expect(&expected, frame, sizeof(frame));
	collect(t, &counted);
	compare("long");
	assert_int_equal(counted.cells[1][CARRIER_DESTINATION][3 << 6 | 14].bytes,
			 3 * sizeof(frame));

	/* two headers of 2,048 bytes: the ports are not in the first piece, so it is not for the kernel */
	memset(frame + 54, 0, sizeof(frame) - 54);
	for (int header = 0; header < 2; header++) {
		__u8 *h = frame + 54 + header * 2048;

		h[0] = header ? 6 : 60;
		h[1] = 255;
		for (int i = 2; i < 2048; i += 257) { /* PadN */
			h[i] = 1;
			h[i + 1] = (__u8)(i + 257 < 2048 ? 255 : 2048 - i - 2);
		}
	}
	feed(program_fd, frame, sizeof(frame), 1);
	while (tap_samples(t, 0, on_steered, &steered) > 0)
		;
	assert_int_equal(steered, 1);
	close(program_fd);
	close_tap();
	assert_int_equal(run("ip link set tapa mtu 1500 && ip link set tapb mtu 1500"), 0);
}

static void a_killed_process_leaves_nothing(void **state)
{
	int ready[2];
	pid_t child;
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		struct tap_config cfg = {.interface = "tapb"};
		struct tap *t;
		char why[256];

		if (tap_open(&t, &cfg, why, sizeof(why)) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_true(is_attached("tapb"));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ready[0]);
	for (int i = 0; i < 100 && is_attached("tapb"); i++)
		usleep(20000); /* the kernel closes files after the parent has heard */
	assert_false(is_attached("tapb"));
}

/* An environment variable's number, to make a test longer. */
static int times(const char *name, int usual)
{
	const char *value = getenv(name);

	return value ? atoi(value) : usual;
}

/* The ids of programs that were attached to an interface. */
struct programs {
	__u32 ids[1024];
	unsigned int n;
};

static void remember_program(struct programs *programs, const char *interface)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	assert_int_equal(bpf_xdp_query((int)if_nametoindex(interface), 0, &query), 0);
	assert_true(query.prog_id && programs->n < 1024);
	programs->ids[programs->n++] = query.prog_id;
}

/* How many of them the kernel still knows. */
static unsigned int programs_left(const struct programs *programs)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < programs->n; i++) {
		int fd = bpf_prog_get_fd_by_id(programs->ids[i]);

		if (fd >= 0)
			close(fd);
		left += fd >= 0;
	}
	return left;
}

/* A ping through the tapped interface while taps come and go, and are killed: every reply arrives, and
 * nothing is left in the kernel. TAP_CYCLES and TAP_KILLS make it longer. */
static void an_innocent_ping_loses_nothing(void **state)
{
	int cycles = times("TAP_CYCLES", 12), kills = times("TAP_KILLS", 4), sent = 0, received = 0;
	static struct programs programs;
	int out[2];
	char command[512], line[256];
	pid_t other = fork(), child, pinger;
	FILE *ping;

	(void)state;
	if (other == 0) { /* the far end's namespace */
		if (unshare(CLONE_NEWNET) == 0)
			pause();
		_exit(1);
	}
	usleep(200000);
	snprintf(command, sizeof(command),
		 "ip link add tapx type veth peer name tapy && ip link set tapx netns %d && "
		 "ip addr add 192.0.2.1/24 dev tapy && ip link set tapy up && "
		 "nsenter -t %d -n sh -c 'ip addr add 192.0.2.2/24 dev tapx && ip link set tapx "
		 "up' && "
		 "ping -q -c 1 -W 2 192.0.2.2 >/dev/null",
		 other, other);
	assert_int_equal(run(command), 0);
	assert_int_equal(pipe(out), 0);
	pinger = fork();
	if (pinger == 0) {
		dup2(out[1], STDOUT_FILENO);
		execlp("ping", "ping", "-q", "-i", "0.002", "-w", "600", "192.0.2.2", NULL);
		_exit(1);
	}
	close(out[1]);
	for (int i = 0; i < cycles; i++) {
		open_tap(&(struct tap_config){.interface = "tapy", .generic_only = i % 2});
		remember_program(&programs, "tapy");
		usleep(20000);
		close_tap();
	}
	for (int i = 0; i < kills; i++) {
		child = fork();
		if (child == 0) {
			open_tap(&(struct tap_config){.interface = "tapy", .generic_only = i % 2});
			pause();
		}
		for (int k = 0; k < 250 && !is_attached("tapy"); k++)
			usleep(20000);
		remember_program(&programs, "tapy");
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		for (int k = 0; k < 250 && is_attached("tapy"); k++)
			usleep(20000);
	}
	usleep(100000);
	kill(pinger, SIGINT);
	waitpid(pinger, NULL, 0);
	ping = fdopen(out[0], "r");
	assert_non_null(ping);
	while (fgets(line, sizeof(line), ping))
		if (strstr(line, "packets transmitted"))
			sscanf(line, "%d packets transmitted, %d received", &sent, &received);
	fclose(ping);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	print_message("%d taps, %d killed, %d of %d replies\n", cycles + kills, kills, received,
		      sent);
	assert_true(sent > 100);
	assert_in_range(sent - received, 0, 1); /* one may be on its way when we stop */
	for (int k = 0; k < 250 && programs_left(&programs); k++)
		usleep(20000); /* freed after a grace period */
	assert_int_equal(programs.n, cycles + kills);
	assert_int_equal(programs_left(&programs), 0);
}

static void a_lost_interface_is_noticed(void **state)
{
	struct tap *t;
	struct tap_health h;

	(void)state;
	assert_int_equal(run("ip link add tapc type veth peer name tapd && ip link set tapc up && "
			     "ip link set tapd up"),
			 0);
	t = open_tap(&(struct tap_config){.interface = "tapd"});
	tap_health(t, &h);
	assert_true(h.attached);
	assert_int_equal(
		run("ip link set tapd down && ip link set tapd name tape && ip link set tape up"),
		0);
	tap_health(t, &h);
	assert_true(h.attached); /* down, renamed, up: still there */
	assert_int_equal(run("ip link del tapc"), 0);
	tap_health(t, &h);
	assert_false(h.attached);
	reset();
	collect(t, &counted);
	close_tap();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_vector_is_counted_as_it_reads, after_test),
		cmocka_unit_test_teardown(every_cut_vector_is_counted_as_it_reads, after_test),
		cmocka_unit_test_teardown(damaged_frames_are_counted_as_they_read, after_test),
		cmocka_unit_test_teardown(damaged_frames_are_counted_by_direction, after_test),
		cmocka_unit_test_teardown(the_registry_decides_on_options, after_test),
		cmocka_unit_test_teardown(a_large_number_is_counted_if_it_is_registered,
					  after_test),
		cmocka_unit_test_teardown(an_ambiguous_cell_is_left_empty, after_test),
		cmocka_unit_test_teardown(directions_are_counted_apart, after_test),
		cmocka_unit_test_teardown(samples_stand_for_what_was_there, after_test),
		cmocka_unit_test_teardown(flows_are_within_their_error, after_test),
		cmocka_unit_test_teardown(a_new_flow_is_handed_up_once, after_test),
		cmocka_unit_test_teardown(a_full_ring_is_counted, after_test),
		cmocka_unit_test_teardown(a_foreign_program_is_left_alone, after_test),
		cmocka_unit_test_teardown(what_cannot_be_opened_says_why, after_test),
		cmocka_unit_test_teardown(what_is_no_ethernet_is_refused, after_test),
		cmocka_unit_test_teardown(loopback_gets_the_generic_mode, after_test),
		cmocka_unit_test_teardown(long_frames_come_in_pieces, after_test),
		cmocka_unit_test_teardown(a_killed_process_leaves_nothing, after_test),
		cmocka_unit_test_teardown(an_innocent_ping_loses_nothing, after_test),
		cmocka_unit_test_teardown(a_lost_interface_is_noticed, after_test),
	};

	n_vectors = vectors_read(vectors);
	if (vector_registered(&registered) != 114)
		return 1;
	return cmocka_run_group_tests(tests, make_interfaces, NULL);
}
