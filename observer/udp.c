#include <errno.h>
#include <linux/sock_diag.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "observer/udp.h"

#define BATCH               64
#define DATAGRAM_MAX_BYTES  65536 /* over the 65507 that IPv4 can carry */
#define DRAIN_MAX           4096
#define SOCKET_BUFFER_BYTES (32 << 20)

struct udp {
	int fd;
	char name[64];
	uint64_t buffer_bytes;
	uint64_t dropped;
	uint32_t dropped_last; /* the kernel's counter has 32 bits */
	struct mmsghdr headers[BATCH];
	struct iovec parts[BATCH];
	struct sockaddr_in6 sources[BATCH];
	uint8_t bytes[BATCH][DATAGRAM_MAX_BYTES];
};

/* Split "[ADDR]:PORT", "ADDR:PORT" or ":PORT" in place; *host is NULL when there is none. */
static int split_listen(char *text, char **host, char **port)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		return -EINVAL;
	*colon = '\0';
	*port = colon + 1;
	*host = text;
	if (text[0] == '[') {
		if (colon == text || colon[-1] != ']')
			return -EINVAL;
		colon[-1] = '\0';
		*host = text + 1;
	}
	if (**host == '\0')
		*host = NULL;
	return 0;
}

static void find_name(struct udp *u)
{
	struct sockaddr_storage bound = {0};
	socklen_t len_bytes = sizeof(bound);
	char host[48] = "?", port[8] = "?";

	getsockname(u->fd, (struct sockaddr *)&bound, &len_bytes);
	getnameinfo((struct sockaddr *)&bound, len_bytes, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV | NI_DGRAM);
	snprintf(u->name, sizeof(u->name), bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
		 port);
}

/* Much room: fireflies and sFlow come in bursts, and the web view must not cost samples. */
static void enlarge_buffer(struct udp *u)
{
	int want = SOCKET_BUFFER_BYTES, got = 0;
	socklen_t len_bytes = sizeof(got);

	if (setsockopt(u->fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof(want)))
		setsockopt(u->fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof(want));
	getsockopt(u->fd, SOL_SOCKET, SO_RCVBUF, &got, &len_bytes);
	u->buffer_bytes = (uint64_t)got / 2; /* the kernel says twice what it was asked for */
}

static int bind_to(struct udp *u, const char *host, const char *port, int family)
{
	const struct addrinfo hints = {.ai_family = family,
				       .ai_socktype = SOCK_DGRAM,
				       .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list;
	int off = 0, err;

	if (getaddrinfo(host, port, &hints, &list))
		return -EINVAL;
	u->fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (u->fd < 0) {
		err = -errno;
		goto out;
	}
	if (list->ai_family == AF_INET6)
		setsockopt(u->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	err = bind(u->fd, list->ai_addr, list->ai_addrlen) ? -errno : 0;
	if (err) {
		close(u->fd);
		u->fd = -1;
	}
out:
	freeaddrinfo(list);
	return err;
}

int udp_open(struct udp **out, const char *room, const char *listen)
{
	struct udp *u = calloc(1, sizeof(*u));
	char text[128], *host, *port;
	int err;

	if (!u)
		return log_fail(-ENOMEM, room, "listen on %s", listen);
	u->fd = -1;
	snprintf(text, sizeof(text), "%s", listen);
	err = split_listen(text, &host, &port);
	if (!err)
		err = bind_to(u, host, port, host ? AF_UNSPEC : AF_INET6);
	if (err == -EAFNOSUPPORT && !host) /* a kernel without IPv6 */
		err = bind_to(u, host, port, AF_INET);
	if (err) {
		udp_close(u);
		return log_fail(err, room, "listen on %s", listen);
	}
	enlarge_buffer(u);
	find_name(u);
	for (size_t i = 0; i < BATCH; i++) {
		u->parts[i] = (struct iovec){u->bytes[i], DATAGRAM_MAX_BYTES};
		u->headers[i].msg_hdr.msg_iov = &u->parts[i];
		u->headers[i].msg_hdr.msg_iovlen = 1;
		u->headers[i].msg_hdr.msg_name = &u->sources[i];
	}
	*out = u;
	return 0;
}

void udp_close(struct udp *u)
{
	if (!u)
		return;
	if (u->fd >= 0)
		close(u->fd);
	free(u);
}

static void describe(struct udp_datagram *d, const struct udp *u, size_t i)
{
	const struct sockaddr_in6 *in6 = &u->sources[i];
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)in6;

	*d = (struct udp_datagram){.bytes = u->bytes[i],
				   .len_bytes = u->headers[i].msg_len,
				   .cut = !!(u->headers[i].msg_hdr.msg_flags & MSG_TRUNC)};
	d->src_port = ntohs(in6->sin6_port); /* at the same place in both families */
	if (in6->sin6_family == AF_INET6) {
		memcpy(d->src_ip, &in6->sin6_addr, 16);
	} else {
		memset(d->src_ip + 10, 0xFF, 2);
		memcpy(d->src_ip + 12, &in4->sin_addr, 4);
	}
}

int udp_drain(struct udp *u, int wait_ms, void (*each)(void *arg, const struct udp_datagram *d),
	      void *arg)
{
	struct pollfd waiting = {.fd = u->fd, .events = POLLIN};
	struct udp_datagram d;
	int total = 0, n;

	if (wait_ms > 0 && poll(&waiting, 1, wait_ms) < 0 && errno != EINTR)
		return -errno;
	do {
		for (size_t i = 0; i < BATCH; i++)
			u->headers[i].msg_hdr.msg_namelen = sizeof(u->sources[i]);
		n = recvmmsg(u->fd, u->headers, BATCH, 0, NULL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR || total > 0 ? total : -errno;
		for (int i = 0; i < n; i++) {
			describe(&d, u, (size_t)i);
			each(arg, &d);
		}
		total += n;
	} while (n == BATCH && total < DRAIN_MAX);
	return total;
}

uint64_t udp_dropped(struct udp *u)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len_bytes = sizeof(info);

	if (getsockopt(u->fd, SOL_SOCKET, SO_MEMINFO, info, &len_bytes) == 0) {
		u->dropped += info[SK_MEMINFO_DROPS] - u->dropped_last;
		u->dropped_last = info[SK_MEMINFO_DROPS];
	}
	return u->dropped;
}

const char *udp_name(const struct udp *u)
{
	return u->name;
}

uint64_t udp_buffer_bytes(const struct udp *u)
{
	return u->buffer_bytes;
}

void udp_describe(const struct udp *u, char *buf, size_t cap_bytes)
{
	if (u->buffer_bytes >= SOCKET_BUFFER_BYTES)
		snprintf(buf, cap_bytes, "%d MiB buffer", SOCKET_BUFFER_BYTES >> 20);
	else
		snprintf(buf, cap_bytes, "%llu KiB buffer, held small by net.core.rmem_max",
			 (unsigned long long)u->buffer_bytes >> 10);
}
