#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/resolver.h"
#include "marker/sender.h"

#define SEND_BUFFER_BYTES (4 * 1024 * 1024)
#define WAYS              4 /* of the memory of what was sent */

struct target {
	int handle; /* the resolver's; -1: the destinations */
	int relayed_only;
	char name[288];
	struct sender_counters counters;
	struct log_limit limit;
};

struct memory {
	uint64_t hash; /* 0: empty */
	int64_t mono_ns;
};

struct sender {
	struct sender_options options;
	struct resolver *resolver;
	int fd4, fd6; /* -1: the host has none */
	struct target targets[SENDER_COLLECTORS + 1];
	size_t n;
	int64_t credit_ns; /* one datagram costs a second divided by the rate */
	int64_t credited_mono_ns;
	int64_t opened_mono_ns;
	int ready;
	uint64_t secret;
	struct memory *sent;
};

const char *sender_failure_name(enum sender_failure f)
{
	static const char *const names[] = {
		[SENDER_UNRESOLVED] = "unresolved", [SENDER_NO_FAMILY] = "no_family",
		[SENDER_NO_ROUTE] = "no_route",     [SENDER_BUSY] = "busy",
		[SENDER_OTHER] = "other",
	};

	return f < SENDER_FAILURE_COUNT ? names[f] : "unknown";
}

static int open_socket(int family)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
	int bytes = SEND_BUFFER_BYTES;

	if (fd < 0)
		return -1;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

int sender_open(struct sender **out, const struct sender_options *options)
{
	struct sender *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return log_fail(-ENOMEM, "sender", "open");
	s->options = *options;
	s->opened_mono_ns = clock_mono_ns();
	s->fd4 = open_socket(AF_INET);
	s->fd6 = open_socket(AF_INET6);
	s->sent = calloc(SENDER_REMEMBER_ITEMS, sizeof(*s->sent));
	err = s->sent ? resolver_open(&s->resolver) : -ENOMEM;
	if (err) {
		sender_close(s);
		return log_fail(err, "sender", "open");
	}
	if (getrandom(&s->secret, sizeof(s->secret), 0) != sizeof(s->secret))
		s->secret = (uint64_t)clock_mono_ns();
	if (options->to_destination) {
		struct target *t = &s->targets[s->n++];

		t->handle = -1;
		snprintf(t->name, sizeof(t->name), "destinations");
	}
	*out = s;
	return 0;
}

void sender_close(struct sender *s)
{
	if (!s)
		return;
	resolver_close(s->resolver);
	if (s->fd4 >= 0)
		close(s->fd4);
	if (s->fd6 >= 0)
		close(s->fd6);
	free(s->sent);
	free(s);
}

int sender_split(char *host, size_t cap_bytes, uint16_t *port, const char *text,
		 uint16_t default_port)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	unsigned long n = default_port;

	/* a bare IPv6 address has several colons, and none that begins a port */
	if (colon && (strchr(text, ':') == colon || (*text == '[' && colon[-1] == ']'))) {
		char *rest;

		n = strtoul(colon + 1, &rest, 10);
		if (colon[1] < '0' || colon[1] > '9' || *rest)
			return -EINVAL;
		end = colon;
	}
	if (end - text >= 2 && *text == '[' && end[-1] == ']') {
		text++;
		end--;
	}
	if (end == text || (size_t)(end - text) >= cap_bytes || n < 1 || n > 65535)
		return -EINVAL;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = 0;
	*port = (uint16_t)n;
	return 0;
}

int sender_add_collector(struct sender *s, const char *text, uint16_t default_port,
			 int relayed_only)
{
	struct target *t = &s->targets[s->n]; /* looked at when there is room */
	char host[256], name[sizeof(t->name)];
	uint16_t port;
	int handle;

	if (s->n == SENDER_COLLECTORS + (size_t)s->options.to_destination)
		return -ENOSPC;
	if (sender_split(host, sizeof(host), &port, text, default_port))
		return -EINVAL;
	snprintf(name, sizeof(name), "%s port %u", host, port);
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->targets[i].name, name)) { /* named twice, sent once */
			s->targets[i].relayed_only &= relayed_only;
			return 0;
		}
	handle = resolver_add(s->resolver, host, port);
	if (handle < 0)
		return handle;
	t->handle = handle;
	t->relayed_only = relayed_only;
	memcpy(t->name, name, sizeof(name));
	s->n++;
	return 0;
}

int sender_ready(struct sender *s, int64_t now_mono_ns)
{
	if (!s->ready)
		s->ready = resolver_settled(s->resolver) ||
			   now_mono_ns - s->opened_mono_ns > SENDER_PATIENCE_S * NS_PER_S;
	return s->ready;
}

int sender_may(struct sender *s, int64_t now_mono_ns)
{
	int64_t cost_ns, burst_ns = NS_PER_S / 10;

	if (!s->options.rate_per_s)
		return 1;
	cost_ns = NS_PER_S / (int64_t)s->options.rate_per_s;
	if (burst_ns < cost_ns)
		burst_ns = cost_ns;
	s->credit_ns += now_mono_ns - s->credited_mono_ns;
	s->credited_mono_ns = now_mono_ns;
	if (s->credit_ns > burst_ns)
		s->credit_ns = burst_ns;
	if (s->credit_ns < cost_ns)
		return 0;
	s->credit_ns -= cost_ns;
	return 1;
}

static int is_from(const struct sockaddr_storage *to, const struct sockaddr_storage *came_from)
{
	const struct sockaddr_in *to4 = (const void *)to, *from4 = (const void *)came_from;
	const struct sockaddr_in6 *to6 = (const void *)to, *from6 = (const void *)came_from;

	if (to->ss_family != came_from->ss_family)
		return 0;
	if (to->ss_family == AF_INET)
		return to4->sin_addr.s_addr == from4->sin_addr.s_addr &&
		       (!from4->sin_port || to4->sin_port == from4->sin_port);
	return !memcmp(&to6->sin6_addr, &from6->sin6_addr, 16) &&
	       (!from6->sin6_port || to6->sin6_port == from6->sin6_port);
}

static enum sender_failure failure_of(int err)
{
	switch (err) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return SENDER_BUSY;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EADDRNOTAVAIL:
		return SENDER_NO_ROUTE;
	default:
		return SENDER_OTHER;
	}
}

/* One address: 0, or why not, as a failure below zero. */
static int try_address(struct sender *s, const void *buf, size_t len_bytes,
		       const struct sockaddr_storage *to, socklen_t to_bytes)
{
	int fd = to->ss_family == AF_INET6 ? s->fd6 : s->fd4;

	if (fd < 0)
		return -1 - SENDER_NO_FAMILY;
	if (sendto(fd, buf, len_bytes, 0, (const struct sockaddr *)to, to_bytes) < 0)
		return -1 - (int)failure_of(errno);
	return 0;
}

static size_t destination(struct resolver_host *h, const struct flow_key *key, uint16_t port)
{
	memset(h, 0, sizeof(*h));
	if (key->family == 4) {
		struct sockaddr_in *sa = (void *)&h->addresses[0];

		sa->sin_family = AF_INET;
		sa->sin_port = htons(port);
		memcpy(&sa->sin_addr, key->dst_ip + 12, 4);
		h->len_bytes[0] = sizeof(*sa);
	} else {
		struct sockaddr_in6 *sa = (void *)&h->addresses[0];

		sa->sin6_family = AF_INET6;
		sa->sin6_port = htons(port);
		memcpy(&sa->sin6_addr, key->dst_ip, 16);
		h->len_bytes[0] = sizeof(*sa);
	}
	return h->n = 1;
}

/* A name with addresses in both families is tried in both, the preferred one first. */
static void send_to(struct sender *s, struct target *t, const void *buf, size_t len_bytes,
		    const struct resolver_host *h, const struct sockaddr_storage *came_from)
{
	int err = -1 - SENDER_UNRESOLVED;

	for (size_t i = 0; i < h->n; i++)
		if (came_from && is_from(&h->addresses[i], came_from)) {
			t->counters.skipped++;
			return;
		}
	for (size_t i = 0; i < h->n && err; i++)
		err = try_address(s, buf, len_bytes, &h->addresses[i], h->len_bytes[i]);
	if (!err) {
		t->counters.sent++;
		return;
	}
	t->counters.failed[-1 - err]++;
	log_limited(&t->limit, LOG_LEVEL_WARN, "sender", "%s: %s", t->name,
		    sender_failure_name((enum sender_failure)(-1 - err)));
}

void sender_send(struct sender *s, const void *buf, size_t len_bytes, const struct flow_key *key,
		 const struct sockaddr_storage *came_from)
{
	for (size_t i = 0; i < s->n; i++) {
		struct target *t = &s->targets[i];
		struct resolver_host h = {.n = 0};

		if (t->relayed_only && !came_from)
			continue;
		if (t->handle >= 0)
			resolver_get(s->resolver, t->handle, &h);
		else if (!key || !destination(&h, key, s->options.destination_port))
			continue;
		send_to(s, t, buf, len_bytes, &h, came_from);
	}
}

/* Keyed, so that nobody can make two datagrams that are taken for one. */
static uint64_t hash_of(uint64_t secret, const uint8_t *p, size_t len_bytes)
{
	uint64_t h = secret ^ len_bytes * 0x9e3779b97f4a7c15ULL, word;

	for (size_t at = 0; at < len_bytes; at += sizeof(word)) {
		size_t left_bytes = len_bytes - at;

		word = 0;
		memcpy(&word, p + at, left_bytes < sizeof(word) ? left_bytes : sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
		h = (h ^ h >> 32) * (secret | 1);
		h ^= h >> 29;
	}
	return h ? h : 1;
}

int sender_seen(struct sender *s, const void *buf, size_t len_bytes, int64_t now_mono_ns)
{
	uint64_t hash = hash_of(s->secret, buf, len_bytes);
	struct memory *way = &s->sent[hash % (SENDER_REMEMBER_ITEMS / WAYS) * WAYS];
	struct memory *oldest = way;

	for (int i = 0; i < WAYS; i++) {
		if (way[i].hash == hash) {
			int known = now_mono_ns - way[i].mono_ns < SENDER_REMEMBER_S * NS_PER_S;

			way[i].mono_ns = now_mono_ns;
			return known;
		}
		if (!way[i].hash || (oldest->hash && way[i].mono_ns < oldest->mono_ns))
			oldest = &way[i];
	}
	*oldest = (struct memory){hash, now_mono_ns};
	return 0;
}

size_t sender_targets(const struct sender *s)
{
	return s->n;
}

void sender_count(const struct sender *s, size_t i, struct sender_counters *out)
{
	*out = s->targets[i].counters;
	out->name = s->targets[i].name;
}
