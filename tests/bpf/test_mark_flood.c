/* Ten million datagrams of mixed sizes through the marker, over a veth between two namespaces of this
 * test's own: none lost, none damaged, every one counted as marked. The sender never has more under
 * way than the receiver's buffer holds, so that a loss is the marker's. MARK_FLOOD=n changes the
 * number. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "marker/mark.h"

#define PACKETS_DEFAULT 10000000
#define UNDER_WAY       700  /* below net.core.netdev_max_backlog */
#define DATAGRAM_MAX    1432 /* leaves 20 bytes below an MTU of 1500 */
#define BATCH_BYTES     60000
#define BATCH           64
#define PATIENCE_S      5
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static int near_ns, far_ns, receiver_fd, sender_fd;
static struct mark *marker;
static atomic_ullong received, damaged;
static atomic_int give_up;

/* A datagram says its number, and all its bytes follow from it. */
static void fill(uint8_t *p, size_t n, uint64_t number)
{
	uint64_t word = number;

	for (size_t at = 0; at + 8 <= n; at += 8) {
		memcpy(p + at, &word, 8);
		word = word * 6364136223846793005u + 1442695040888963407u;
	}
	memset(p + n / 8 * 8, (int)(number & 0xff), n % 8);
}

static int is_whole(const uint8_t *p, size_t n)
{
	uint8_t want[DATAGRAM_MAX];
	uint64_t number;

	if (n < 8 || n > DATAGRAM_MAX)
		return 0;
	memcpy(&number, p, 8);
	fill(want, n, number);
	return !memcmp(p, want, n);
}

static void *receive(void *arg)
{
	static uint8_t bytes[BATCH][2048];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	uint64_t next = 0;

	while (!give_up) {
		int n;

		for (int i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
			memset(&messages[i], 0, sizeof(messages[i]));
			messages[i].msg_hdr.msg_iov = &parts[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		n = recvmmsg(receiver_fd, messages, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) {
			uint64_t number;

			memcpy(&number, bytes[i], 8);
			/* one queue, one path: in order too */
			if (!is_whole(bytes[i], messages[i].msg_len) || number != next)
				damaged++;
			next = number + 1;
		}
		if (n > 0)
			received += (unsigned int)n;
	}
	return NULL;
}

/* Wait until at most `left` of `sent` are under way; 0 if that takes too long. */
static int wait_for(uint64_t sent, uint64_t left)
{
	const struct timespec a_moment = {.tv_nsec = 50000};
	int64_t waited_ns = 0;

	while (sent - received > left && waited_ns < PATIENCE_S * 1000000000ll) {
		nanosleep(&a_moment, NULL);
		waited_ns += 100000;
	}
	return sent - received <= left;
}

static void flood(enum scitag_carrier carrier, uint64_t packets, uint16_t port)
{
	static uint8_t batch[BATCH_BYTES];
	struct flow_key key = {.src_ip = {0xfd, [15] = 1},
			       .dst_ip = {0xfd, [15] = 2},
			       .src_port = 7000,
			       .dst_port = port,
			       .protocol = 17,
			       .family = 6};
	struct mark_flow flow = {.tag = {.option = {0x1e, 3, 0, 3, 14, 0}, .label = 0x30038}};
	struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_port = htons(7000)};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	const struct timeval patience = {.tv_usec = 100000};
	int bytes = 64 << 20, one = 1;
	pthread_t thread;
	uint64_t sent = 0;

	inet_pton(AF_INET6, "fd00::1", &from.sin6_addr);
	inet_pton(AF_INET6, "fd00::2", &to.sin6_addr);
	flow.tag.carrier = carrier;
	assert_int_equal(mark_put(marker, &key, &flow), 0);
	setns(far_ns, CLONE_NEWNET);
	receiver_fd = socket(AF_INET6, SOCK_DGRAM, 0);
	setns(near_ns, CLONE_NEWNET);
	setsockopt(receiver_fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(receiver_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(bind(receiver_fd, (struct sockaddr *)&to, sizeof(to)), 0);
	sender_fd = socket(AF_INET6, SOCK_DGRAM, 0);
	setsockopt(sender_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(sender_fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(sender_fd, (struct sockaddr *)&to, sizeof(to)), 0);
	received = damaged = 0;
	give_up = 0;
	assert_int_equal(pthread_create(&thread, NULL, receive, NULL), 0);
	for (uint32_t round = 0; sent < packets; round++) {
		/* 8 to 1432 bytes; every eighth round one at a time, the others cut up by the kernel */
		int size = 8 + (int)(round * 2654435761u >> 8) % (DATAGRAM_MAX - 7);
		uint64_t n = round % 8 ? (uint64_t)(BATCH_BYTES / size) : 1;

		if (n > 60)
			n = 60;
		for (uint64_t i = 0; i < n; i++)
			fill(batch + i * (uint64_t)size, (size_t)size, sent + i);
		setsockopt(sender_fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
		if (!(round % 256))
			mark_beat(marker);
		if (send(sender_fd, batch, n * (size_t)size, 0) != (ssize_t)(n * (size_t)size) ||
		    !wait_for(sent + n, UNDER_WAY))
			break;
		sent += n;
	}
	wait_for(sent, 0);
	give_up = 1;
	pthread_join(thread, NULL);
	close(receiver_fd);
	close(sender_fd);
	assert_true(sent >= packets);
	assert_int_equal(received, sent);
	assert_int_equal(damaged, 0);
	assert_int_equal(mark_get(marker, &key, &flow), 0);
	for (int r = MARK_DONE + 1; r < MARK_RESULT_COUNT; r++)
		assert_int_equal(flow.counts[r].packets, 0);
	assert_int_equal(flow.counts[MARK_DONE].packets, sent);
}

static void ten_million_packets_arrive_whole_and_marked(void **state)
{
	const char *text = getenv("MARK_FLOOD");
	uint64_t packets = text ? strtoull(text, NULL, 10) : PACKETS_DEFAULT;

	for (int carrier = CARRIER_LABEL; carrier <= CARRIER_HOP_BY_HOP_DESTINATION; carrier++)
		flood((enum scitag_carrier)carrier, packets / 4, (uint16_t)(8000 + carrier));
}

static int enter(void **state)
{
	const struct mark_options opt = {.flows_max = 1000, .attach = MARK_ATTACH_CLSACT};
	const char *const names[] = {"va"};
	char command[128];
	int adopted;

	if (geteuid() || unshare(CLONE_NEWNET))
		return -1;
	far_ns = open("/proc/thread-self/ns/net", O_RDONLY);
	if (unshare(CLONE_NEWNET))
		return -1;
	near_ns = open("/proc/thread-self/ns/net", O_RDONLY);
	snprintf(command, sizeof(command),
		 "ip link add va type veth peer name vb address 02:00:00:00:00:02 netns "
		 "/proc/%d/fd/%d",
		 getpid(), far_ns);
	if (system(command) || system("ip link set lo up") ||
	    system("ip addr add fd00::1/64 dev va nodad && ip link set va up"))
		return -1;
	setns(far_ns, CLONE_NEWNET);
	if (system("ip addr add fd00::2/64 dev vb nodad && ip link set vb up"))
		return -1;
	setns(near_ns, CLONE_NEWNET);
	/* one CPU receives, or the veth itself would change the order; sysfs is mounted anew because it
	 * shows the namespace that mounted it, in a mount namespace of our own */
	setns(far_ns, CLONE_NEWNET);
	if (system("unshare -m sh -c 'mount -t sysfs none /sys && "
		   "echo 2 > /sys/class/net/vb/queues/rx-0/rps_cpus'"))
		return -1;
	setns(near_ns, CLONE_NEWNET);
	/* the neighbour is known before it counts: few packets are kept while it is asked for */
	if (system("ip neigh add fd00::2 lladdr 02:00:00:00:00:02 dev va nud permanent"))
		return -1;
	if (mark_open(&marker, &opt, names, 1, &adopted))
		return -1;
	return mark_attach(marker, "va");
}

static int leave(void **state)
{
	mark_close(marker);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_million_packets_arrive_whole_and_marked),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
