/* Every step of an insertion is made to fail in turn: the packet leaves as it came, counted. Single
 * packets run through the program; BIG TCP and GSO packets, which that harness cannot make, over a
 * veth between two network namespaces of this test's own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "marker/mark_shared.h"

#define ETH            14
#define UNSPEC         0xffffffffu
#define TRANSFER_BYTES (48 << 20)

/* The steps, as marker/mark.bpf.c numbers them, and what must come of their failure. */
static const struct {
	unsigned int step;
	enum mark_result result;
	const char *what;
} steps[] = {
	{2, MARK_NO_ROOM, "headers made linear"}, {3, MARK_NO_ROOM, "BIG TCP's header taken out"},
	{4, MARK_NO_ROOM, "room made"},           {5, MARK_UNDONE, "headroom reserved"},
	{6, MARK_UNDONE, "IPv6 header written"},  {7, MARK_UNDONE, "options written"},
	{8, MARK_VLAN, "VLAN tag lifted"},
};

static struct bpf_object *object;
static int flows_fd, beat_fd, settings_fd, ifaces_fd, fault_fd, egress_fd, ingress_fd;
static const struct mark_tag tag = {.option = {0x1e, 3, 0, 3, 14, 0}, .label = 0x30038};

struct fault {
	uint32_t at, n;
};

static void set_fault(unsigned int step)
{
	const struct fault f = {.at = step};
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(fault_fd, &zero, &f, BPF_ANY), 0);
}

static unsigned int faults(void)
{
	struct fault f;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(fault_fd, &zero, &f), 0);
	return f.n;
}

static void beat_at(int64_t from_now_ns)
{
	struct timespec now;
	uint32_t zero = 0;
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	ns = now.tv_sec * 1000000000LL + now.tv_nsec + from_now_ns;
	assert_int_equal(bpf_map_update_elem(beat_fd, &zero, &ns, BPF_ANY), 0);
}

static void beat(void)
{
	beat_at(0);
}

/* --- single packets ---------------------------------------------------------------------------- */

static size_t frame(uint8_t *f, int vlans)
{
	static const uint8_t ip6[] = {0x60, 0, 0, 0, 0, 120, 6, 64};
	size_t n = 12;

	memset(f, 0, 256);
	f[0] = 2;
	for (int i = 0; i < vlans; i++) {
		f[n] = 0x81;
		f[n + 3] = (uint8_t)(i + 1);
		n += 4;
	}
	f[n] = 0x86;
	f[n + 1] = 0xdd;
	memcpy(f + n + 2, ip6, sizeof(ip6));
	f[n + 10] = f[n + 26] = 0xfd;
	f[n + 25] = 1;
	f[n + 41] = 2;
	f[n + 43] = 1;
	f[n + 45] = 2;
	f[n + 54] = 0x50;
	for (size_t i = 0; i < 100; i++)
		f[n + 62 + i] = (uint8_t)i;
	return n + 2 + 40 + 120;
}

static const struct mark_secret secret = {{3, 5, 7, 9, 11}};

static void put_flow(const struct flow_key *key, uint8_t carrier)
{
	struct mark_flow flow = {.tag = tag, .key = *key};
	uint64_t place = mark_hash(key, &secret);

	flow.tag.carrier = carrier;
	assert_int_equal(bpf_map_update_elem(flows_fd, &place, &flow, BPF_ANY), 0);
}

static struct mark_flow get_flow(const struct flow_key *key)
{
	uint64_t place = mark_hash(key, &secret);
	struct mark_flow flow;

	assert_int_equal(bpf_map_lookup_elem(flows_fd, &place, &flow), 0);
	flow.counts[MARK_DONE].packets += flow.owned.packets;
	return flow;
}

static const struct flow_key plain_key = {.src_ip = {0xfd, [15] = 1},
					  .dst_ip = {0xfd, [15] = 2},
					  .src_port = 1,
					  .dst_port = 2,
					  .protocol = 6,
					  .family = 6};

/* The programs' clock may lag behind the daemon's by a tick. */
static void a_heartbeat_counts_for_four_seconds_and_from_a_tick_ahead(void **state)
{
	static const struct {
		int64_t from_now_ns;
		enum mark_result result;
	} cases[] = {
		{0, MARK_DONE},
		{20000000, MARK_DONE},
		{-3900000000, MARK_DONE},
		{-4100000000, MARK_ASLEEP},
	};
	uint8_t in[256];
	size_t n = frame(in, 0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = (uint32_t)n);

		put_flow(&plain_key, CARRIER_LABEL);
		beat_at(cases[i].from_now_ns);
		assert_int_equal(bpf_prog_test_run_opts(egress_fd, &opts), 0);
		assert_int_equal(get_flow(&plain_key).counts[cases[i].result].packets, 1);
	}
	beat();
}

static void a_failing_step_leaves_the_packet_as_it_was(void **state)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		for (int vlans = 0; vlans <= 2; vlans++)
			for (uint8_t carrier = 2; carrier <= 4; carrier++) {
				uint8_t in[256], out[512];
				size_t n = frame(in, vlans);
				struct mark_flow flow;
				LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in,
					    .data_size_in = (uint32_t)n, .data_out = out,
					    .data_size_out = sizeof(out));

				if (steps[i].step == 3 || (steps[i].step == 5 && vlans != 2) ||
				    (steps[i].step == 8 && !vlans))
					continue; /* not on this packet's way */
				beat();
				put_flow(&plain_key, carrier);
				set_fault(steps[i].step);
				assert_int_equal(bpf_prog_test_run_opts(egress_fd, &opts), 0);
				assert_int_equal(opts.retval, UNSPEC);
				assert_int_equal(faults(), 1);
				/* the outermost tag is beside the packet once it was lifted */
				if (vlans && steps[i].step != 8) {
					memmove(in + 12, in + 16, n - 16);
					n -= 4;
				}
				assert_int_equal(opts.data_size_out, n);
				assert_memory_equal(out, in, n);
				flow = get_flow(&plain_key);
				assert_int_equal(flow.counts[steps[i].result].packets, 1);
				assert_int_equal(flow.counts[MARK_DONE].packets, 0);
			}
	set_fault(0);
}

/* --- a transfer over a veth -------------------------------------------------------------------- */

static int far_ns, near_ns;

static void enter_ns(int fd)
{
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
}

static struct sockaddr_in6 address(const char *text, uint16_t port)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	inet_pton(AF_INET6, text, &sa.sin6_addr);
	return sa;
}

/* The sum of all bytes, weighted by place: enough to see one lost, doubled or changed. */
static uint64_t add_bytes(uint64_t sum, const uint8_t *p, size_t n, size_t at)
{
	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + p[i] + (at + i) % 7;
	return sum;
}

static uint64_t receive(int listener)
{
	static uint8_t buf[1 << 18];
	int fd = accept(listener, NULL, NULL);
	uint64_t sum = 0;
	size_t at = 0;
	ssize_t got;

	while ((got = recv(fd, buf, sizeof(buf), 0)) > 0) {
		sum = add_bytes(sum, buf, (size_t)got, at);
		at += (size_t)got;
	}
	return got < 0 || at != TRANSFER_BYTES ? 0 : sum;
}

/* Send over the veth; 1 if all arrived as it was sent. */
static int transfer(uint16_t port)
{
	static uint8_t buf[1 << 18];
	struct sockaddr_in6 to = address("fd00::2", port), from = address("fd00::1", 40000);
	int listener, fd, one = 1, pair[2];
	uint64_t sum = 0, got = 0;
	pid_t pid;

	enter_ns(far_ns);
	listener = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(listener, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(listener, 1), 0);
	enter_ns(near_ns);
	assert_int_equal(pipe(pair), 0);
	pid = fork();
	if (!pid) {
		alarm(30);
		sum = receive(listener);
		_exit(write(pair[1], &sum, sizeof(sum)) != sizeof(sum));
	}
	close(pair[1]);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	for (size_t at = 0; at < TRANSFER_BYTES; at += sizeof(buf)) {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = (uint8_t)((at + i) * 2654435761u >> 24);
		beat();
		sum = add_bytes(sum, buf, sizeof(buf), at);
		if (send(fd, buf, sizeof(buf), MSG_NOSIGNAL) != (ssize_t)sizeof(buf))
			break;
	}
	close(fd);
	if (read(pair[0], &got, sizeof(got)) != sizeof(got))
		got = 0;
	close(pair[0]);
	close(listener);
	waitpid(pid, NULL, 0);
	return got && got == sum;
}

static uint16_t port = 50000;

static void transfer_with_fault(unsigned int step, uint8_t carrier, enum mark_result result)
{
	struct flow_key key = {.src_ip = {0xfd, [15] = 1},
			       .dst_ip = {0xfd, [15] = 2},
			       .src_port = 40000,
			       .dst_port = ++port,
			       .protocol = 6,
			       .family = 6};
	struct mark_flow flow;

	put_flow(&key, carrier);
	set_fault(step);
	assert_true(transfer(port));
	flow = get_flow(&key);
	if (!step) {
		assert_true(flow.counts[MARK_DONE].packets > 10000);
		for (int r = MARK_DONE + 1; r < MARK_RESULT_COUNT; r++)
			assert_int_equal(flow.counts[r].packets, 0);
		return;
	}
	assert_true(faults() > 10);
	assert_true(flow.counts[result].packets > 1000);
}

static void transfers_stay_whole_whatever_fails(void **state)
{
	for (uint8_t carrier = 2; carrier <= 4; carrier++) {
		transfer_with_fault(0, carrier, MARK_DONE);
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
			if (steps[i].step != 3 && steps[i].step != 5 && steps[i].step != 8)
				transfer_with_fault(steps[i].step, carrier, steps[i].result);
	}
}

/* Packets of 180,000 bytes, cut up by the kernel behind the program: the interface is known to take
 * 64 KiB at the most, and the sockets do not know it yet. */
static void big_tcp_stays_whole_whatever_fails(void **state)
{
	struct mark_iface iface = {.gso_max_bytes = 65536};
	uint32_t ifindex = if_nametoindex("va");

	if (system("ip link set va gso_max_size 196608"))
		skip();
	bpf_map_update_elem(ifaces_fd, &ifindex, &iface, BPF_ANY);
	/* the packet is cut up if it is longer than the device takes: software segmentation, always */
	if (system("ethtool -K va tso off >/dev/null"))
		skip();
	for (uint8_t carrier = 2; carrier <= 4; carrier++) {
		transfer_with_fault(0, carrier, MARK_DONE);
		transfer_with_fault(3, carrier, MARK_NO_ROOM);
		transfer_with_fault(4, carrier, MARK_NO_ROOM);
		transfer_with_fault(6, carrier, MARK_UNDONE);
		transfer_with_fault(7, carrier, MARK_UNDONE);
	}
}

static int attach(void)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex("va"),
		    .attach_point = BPF_TC_EGRESS | BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, out, .prog_fd = egress_fd, .handle = 1, .priority = 1);
	LIBBPF_OPTS(bpf_tc_opts, in, .prog_fd = ingress_fd, .handle = 1, .priority = 1);

	if (bpf_tc_hook_create(&hook))
		return -1;
	hook.attach_point = BPF_TC_EGRESS;
	if (bpf_tc_attach(&hook, &out))
		return -1;
	hook.attach_point = BPF_TC_INGRESS;
	return bpf_tc_attach(&hook, &in);
}

static int enter(void **state)
{
	struct mark_settings settings = {.layout = MARK_LAYOUT, .room_bytes = 16};
	const char *dir = getenv("BPF_OBJECTS");
	char path[256], command[128];
	struct bpf_map *rodata, *bss;
	size_t filter_bytes;
	void *filter;
	uint32_t zero = 0;

	snprintf(path, sizeof(path), "%s/mark_faults.bpf.o", dir ? dir : "build/tests/bpf");
	if (geteuid() || unshare(CLONE_NEWNET))
		return -1;
	far_ns = open("/proc/thread-self/ns/net", O_RDONLY);
	if (unshare(CLONE_NEWNET))
		return -1;
	near_ns = open("/proc/thread-self/ns/net", O_RDONLY);
	snprintf(command, sizeof(command),
		 "ip link add va type veth peer name vb netns /proc/%d/fd/%d", getpid(), far_ns);
	if (system(command) || system("ip link set lo up") ||
	    system("ip addr add fd00::1/64 dev va nodad && ip link set va up"))
		return -1;
	enter_ns(far_ns);
	if (system("ip addr add fd00::2/64 dev vb nodad && ip link set vb up"))
		return -1;
	enter_ns(near_ns);
	object = bpf_object__open_file(path, NULL);
	if (!object)
		return -1;
	rodata = bpf_object__find_map_by_name(object, "mark_fau.rodata");
	bss = bpf_object__find_map_by_name(object, "mark_fau.bss");
	filter = bss ? (void *)(uintptr_t)bpf_map__initial_value(bss, &filter_bytes) : NULL;
	if (!filter)
		return -1;
	memset(filter, 0xff, filter_bytes); /* nobody is turned away before the table */
	if (!rodata || bpf_map__set_initial_value(rodata, &secret, sizeof(secret)) ||
	    bpf_object__load(object))
		return -1;
	flows_fd = bpf_object__find_map_fd_by_name(object, "mark_flows");
	fault_fd = bpf_object__find_map_fd_by_name(object, "mark_fault");
	beat_fd = bpf_object__find_map_fd_by_name(object, "mark_beat");
	settings_fd = bpf_object__find_map_fd_by_name(object, "mark_settings");
	ifaces_fd = bpf_object__find_map_fd_by_name(object, "mark_ifaces");
	egress_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "mark_egress"));
	ingress_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "mark_ingress"));
	if (bpf_map_update_elem(settings_fd, &zero, &settings, BPF_ANY))
		return -1;
	beat();
	return attach();
}

static int leave(void **state)
{
	bpf_object__close(object);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_heartbeat_counts_for_four_seconds_and_from_a_tick_ahead),
		cmocka_unit_test(a_failing_step_leaves_the_packet_as_it_was),
		cmocka_unit_test(transfers_stay_whole_whatever_fails),
		cmocka_unit_test(big_tcp_stays_whole_whatever_fails),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
