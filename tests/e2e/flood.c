/* A flood of flow events, as fast as they are taken:
 *   flood pipe PATH SECONDS                lines into the named pipe
 *   flood post ADDRESS:PORT|PATH CONNECTIONS SECONDS
 *                                          POST /flow down kept connections, TCP or Unix, many at once
 * Says on stdout, as JSON, what was offered and what was answered. Three of four are STARTs of flows to
 * fd00::99, the fourth an END. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENTS          20000
#define IN_FLIGHT       32 /* posts of one connection that wait for their answer */
#define CONNECTIONS_MAX 64
#define LAST_ANSWERS_S  5

static char *block; /* EVENTS of them, one behind the other */
static size_t starts[EVENTS + 1];

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_events(int posts)
{
	size_t cap_bytes = EVENTS * 400, used = 0;

	block = malloc(cap_bytes);
	if (!block)
		abort();
	for (int i = 0; i < EVENTS; i++) {
		int port = 1024 + i % 60000, is_end = i % 4 == 3;
		char body[200];
		int n;

		starts[i] = used;
		if (!posts) {
			used += (size_t)snprintf(block + used, cap_bytes - used,
						 "%s tcp fd00::1 %d fd00::99 443 3 14\n",
						 is_end ? "end" : "start", port - is_end);
			continue;
		}
		n = snprintf(body, sizeof(body),
			     "{\"State\":%d,\"Protocol\":0,\"Family\":10,\"Src\":\"[fd00::1]:%d\","
			     "\"Dst\":\"[fd00::98]:443\",\"Experiment\":3,\"Activity\":14}",
			     is_end ? 3 : 2, port - is_end);
		used += (size_t)snprintf(block + used, cap_bytes - used,
					 "POST /flow HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
					 "application/json\r\nContent-Length: %d\r\n\r\n%s",
					 n, body);
	}
	starts[EVENTS] = used;
}

/* Up to PIPE_BUF bytes go whole or not at all (pipe(7)): no line is torn by us. */
static int flood_pipe(const char *path, double seconds)
{
	struct pollfd p = {.fd = open(path, O_WRONLY | O_NONBLOCK), .events = POLLOUT};
	double end_s = now_s() + seconds;
	unsigned long sent_lines = 0;
	size_t from = 0, to;

	if (p.fd < 0) {
		perror(path);
		return 1;
	}
	make_events(0);
	while (now_s() < end_s) {
		for (to = from; to < EVENTS && starts[to + 1] - starts[from] <= PIPE_BUF; to++)
			;
		if (write(p.fd, block + starts[from], starts[to] - starts[from]) < 0) {
			poll(&p, 1, 100);
			continue;
		}
		sent_lines += to - from;
		from = to % EVENTS;
	}
	printf("{\"sent\": %lu}\n", sent_lines);
	return 0;
}

struct connection {
	int fd;
	size_t at, next;       /* in the block; the event that at lies in */
	unsigned long waiting; /* for answers */
	size_t matched;        /* of the beginning of an answer */
};

static unsigned long sent, answered[6];

static int connect_to(const char *where)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	struct sockaddr_in sa = {.sin_family = AF_INET};
	const char *colon = strrchr(where, ':');
	char address[64];
	int fd;

	if (*where == '/') {
		snprintf(local.sun_path, sizeof(local.sun_path), "%s", where);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&local, sizeof(local)))
			return -1;
	} else {
		snprintf(address, sizeof(address), "%.*s", (int)(colon - where), where);
		inet_pton(AF_INET, address, &sa.sin_addr);
		sa.sin_port = htons((unsigned short)atoi(colon + 1));
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
			return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Whole posts only are counted; a cut one goes on at the next turn. */
static void write_posts(struct connection *c, int more)
{
	unsigned long room = more ? IN_FLIGHT - c->waiting : 0;
	size_t last = c->next + room < EVENTS ? c->next + room : EVENTS, end = starts[last];
	ssize_t n;

	if (c->at > starts[c->next] && end < starts[c->next + 1])
		end = starts[c->next + 1];
	if (end <= c->at)
		return;
	n = send(c->fd, block + c->at, end - c->at, MSG_NOSIGNAL);
	if (n <= 0)
		return;
	c->at += (size_t)n;
	while (c->next < EVENTS && starts[c->next + 1] <= c->at) {
		c->next++;
		c->waiting++;
		sent++;
	}
	if (c->next == EVENTS)
		c->at = c->next = 0;
}

static void read_answers(struct connection *c)
{
	static const char want[] = "HTTP/1.1 ";
	char buf[65536];
	ssize_t got = recv(c->fd, buf, sizeof(buf), 0);

	if (got == 0) {
		close(c->fd);
		c->fd = -1;
	}
	for (ssize_t i = 0; i < got; i++)
		if (c->matched == sizeof(want) - 1) { /* the status begins */
			answered[buf[i] >= '1' && buf[i] <= '5' ? buf[i] - '0' : 0]++;
			c->waiting--;
			c->matched = 0;
		} else if (buf[i] == want[c->matched]) {
			c->matched++;
		} else {
			c->matched = buf[i] == want[0];
		}
}

static int flood_posts(const char *where, int n, double seconds)
{
	static struct connection c[CONNECTIONS_MAX];
	double end_s = now_s() + seconds;
	unsigned long waiting = 1;

	make_events(1);
	for (int i = 0; i < n; i++) {
		c[i].fd = connect_to(where);
		c[i].next = (size_t)i * (EVENTS / (size_t)n);
		c[i].at = starts[c[i].next];
		if (c[i].fd < 0) {
			perror(where);
			return 1;
		}
	}
	while (now_s() < end_s || (waiting && now_s() < end_s + LAST_ANSWERS_S)) {
		int more = now_s() < end_s;
		struct pollfd p[CONNECTIONS_MAX];

		for (int i = 0; i < n; i++) {
			short out =
				(more && c[i].waiting < IN_FLIGHT) || c[i].at != starts[c[i].next]
					? POLLOUT
					: 0;

			p[i] = (struct pollfd){.fd = c[i].fd, .events = POLLIN | out};
		}
		poll(p, (nfds_t)n, 100);
		waiting = 0;
		for (int i = 0; i < n; i++) {
			if (p[i].revents & POLLOUT)
				write_posts(&c[i], more);
			if (p[i].revents & (POLLIN | POLLHUP))
				read_answers(&c[i]);
			if (c[i].fd >= 0)
				waiting += c[i].waiting + (c[i].at != starts[c[i].next]);
		}
	}
	printf("{\"sent\": %lu, \"2xx\": %lu, \"4xx\": %lu, \"5xx\": %lu}\n", sent, answered[2],
	       answered[4], answered[5]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "pipe"))
		return flood_pipe(argv[2], atof(argv[3]));
	if (argc == 5 && !strcmp(argv[1], "post") && atoi(argv[3]) > 0 &&
	    atoi(argv[3]) <= CONNECTIONS_MAX)
		return flood_posts(argv[2], atoi(argv[3]), atof(argv[4]));
	fprintf(stderr, "flood pipe PATH SECONDS | post ADDRESS:PORT|PATH CONNECTIONS SECONDS\n");
	return 2;
}
