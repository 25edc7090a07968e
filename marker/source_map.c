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
#include "marker/source_map.h"
#include "wire/cursor.h"
#include "wire/flow_key.h"

#define REFRESH_NS    (3600 * NS_PER_S)
#define REST_NS       (60 * NS_PER_S) /* when no server answered */
#define FIRST_WAIT_NS (NS_PER_S / 2)  /* RFC 8489 section 6.2.1: 500 ms, doubled each time */
#define TRIES         4               /* requests to one server */

#define MAGIC          0x2112A442u
#define BINDING        0x0001
#define BINDING_ANSWER 0x0101
#define XOR_MAPPED     0x0020

struct pair {
	uint8_t internal[16], external[16];
};

struct ask { /* for one family */
	int family;
	int fd; /* -1: not asking */
	size_t server;
	int tries;
	int64_t due_mono_ns;
	uint8_t id[12];
	int known;
	struct pair pair; /* if known */
	uint8_t internal[16];
};

struct source_map {
	struct pair manual[SOURCE_MAP_MAX];
	size_t n_manual;
	struct resolver *resolver;
	size_t n_servers;
	struct ask asks[2];
	struct source_map_counters counters;
};

int source_map_address(uint8_t ip[16], const char *text)
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	uint8_t v4[4], v6[16];

	if (inet_pton(AF_INET, text, v4) == 1) {
		wire_map_ipv4(ip, v4);
		return 4;
	}
	if (inet_pton(AF_INET6, text, v6) != 1)
		return -EINVAL;
	memcpy(ip, v6, 16);
	return memcmp(v6, mapped, sizeof(mapped)) ? 6 : 4;
}

/* --- STUN -------------------------------------------------------------------------------------- */

void stun_request(uint8_t out[STUN_REQUEST_BYTES], const uint8_t id[12])
{
	static const uint8_t head[8] = {BINDING >> 8,
					BINDING & 0xFF,
					0,
					0, /* no attributes */
					MAGIC >> 24 & 0xFF,
					MAGIC >> 16 & 0xFF,
					MAGIC >> 8 & 0xFF,
					MAGIC & 0xFF};

	memcpy(out, head, sizeof(head));
	memcpy(out + sizeof(head), id, 12);
}

/* RFC 8489 section 14.2: the address is under the magic cookie and the transaction id. */
static int take_xor_mapped(uint8_t ip[16], const uint8_t id[12], const uint8_t *value,
			   uint32_t len_bytes)
{
	uint8_t mask[16] = {MAGIC >> 24 & 0xFF, MAGIC >> 16 & 0xFF, MAGIC >> 8 & 0xFF,
			    MAGIC & 0xFF};
	struct cursor c;
	const uint8_t *address;
	uint8_t plain[16], family;
	uint32_t n;

	memcpy(mask + 4, id, 12);
	cursor_init(&c, value, len_bytes);
	cursor_skip(&c, 1);
	family = cursor_u8(&c);
	cursor_skip(&c, 2); /* the port */
	n = family == 1 ? 4 : family == 2 ? 16 : 0;
	address = cursor_take(&c, n);
	if (c.torn || !n || cursor_left(&c))
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++)
		plain[i] = address[i] ^ mask[i];
	if (n == 4)
		wire_map_ipv4(ip, plain);
	else
		memcpy(ip, plain, 16);
	return 0;
}

/* Attributes below 0x8000 must be understood (section 14); these may be passed over: what RFC 3489
 * and RFC 5780 servers add, and means of authentication that were not asked for. */
static int may_be_passed_over(uint16_t type)
{
	static const uint16_t known[] = {0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0006,
					 0x0008, 0x0014, 0x0015, 0x001C, 0x001E};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (type == known[i])
			return 1;
	return type >= 0x8000;
}

int stun_answer(uint8_t ip[16], const uint8_t id[12], const void *buf, size_t len_bytes)
{
	uint8_t found[16];
	const uint8_t *their_id;
	struct cursor c;
	int have = 0;

	if (len_bytes > STUN_ANSWER_BYTES)
		return -EBADMSG;
	cursor_init(&c, buf, (uint32_t)len_bytes);
	if (cursor_be16(&c) != BINDING_ANSWER ||
	    (size_t)cursor_be16(&c) + STUN_REQUEST_BYTES != len_bytes || len_bytes % 4 ||
	    cursor_be32(&c) != MAGIC)
		return -EBADMSG;
	their_id = cursor_take(&c, 12);
	if (!their_id || memcmp(their_id, id, 12))
		return -EBADMSG;
	while (cursor_left(&c)) {
		uint16_t type = cursor_be16(&c), value_bytes = cursor_be16(&c);
		const uint8_t *value = cursor_take(&c, value_bytes);

		cursor_skip(&c, (4 - value_bytes % 4) % 4);
		if (c.torn)
			return -EBADMSG;
		if (type == XOR_MAPPED && !have) { /* the first counts (section 14) */
			if (take_xor_mapped(found, id, value, value_bytes))
				return -EBADMSG;
			have = 1;
		} else if (type != XOR_MAPPED && !may_be_passed_over(type)) {
			return -EBADMSG;
		}
	}
	if (!have)
		return -EBADMSG;
	memcpy(ip, found, 16);
	return 0;
}

/* --- asking ------------------------------------------------------------------------------------ */

static void forget_socket(struct ask *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

static int take_internal(struct ask *a)
{
	struct sockaddr_storage self;
	socklen_t self_bytes = sizeof(self);

	if (getsockname(a->fd, (struct sockaddr *)&self, &self_bytes))
		return -errno;
	if (self.ss_family == AF_INET)
		wire_map_ipv4(a->internal,
			      (const uint8_t *)&((struct sockaddr_in *)&self)->sin_addr);
	else
		memcpy(a->internal, &((struct sockaddr_in6 *)&self)->sin6_addr, 16);
	return 0;
}

/* A connected socket: the kernel chooses our address, and lets in that server's answers only. */
static int begin(struct source_map *m, struct ask *a)
{
	struct resolver_host h;

	if (resolver_get(m->resolver, (int)a->server, &h))
		return -EAGAIN;
	for (size_t i = 0; i < h.n; i++) {
		if (h.addresses[i].ss_family != a->family)
			continue;
		a->fd = socket(a->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (a->fd >= 0 &&
		    !connect(a->fd, (struct sockaddr *)&h.addresses[i], h.len_bytes[i]) &&
		    !take_internal(a) && getrandom(a->id, sizeof(a->id), 0) == sizeof(a->id))
			return 0;
		forget_socket(a);
	}
	return -ENOENT;
}

static void ask(struct source_map *m, struct ask *a, int64_t now_mono_ns)
{
	uint8_t request[STUN_REQUEST_BYTES];

	stun_request(request, a->id);
	if (send(a->fd, request, sizeof(request), 0) == sizeof(request))
		m->counters.asked++;
	a->due_mono_ns = now_mono_ns + (FIRST_WAIT_NS << a->tries);
	a->tries++;
}

static void next_server(struct source_map *m, struct ask *a, int64_t now_mono_ns)
{
	forget_socket(a);
	a->tries = 0;
	a->server = (a->server + 1) % m->n_servers;
	a->due_mono_ns = a->server ? now_mono_ns : now_mono_ns + REST_NS;
}

static void learn(struct source_map *m, struct ask *a, const uint8_t external[16],
		  int64_t now_mono_ns)
{
	char internal_text[INET6_ADDRSTRLEN], external_text[INET6_ADDRSTRLEN];

	m->counters.answered++;
	forget_socket(a);
	a->tries = 0;
	a->due_mono_ns = now_mono_ns + REFRESH_NS;
	if (!a->known || memcmp(a->pair.external, external, 16) ||
	    memcmp(a->pair.internal, a->internal, 16))
		log_msg(LOG_LEVEL_INFO, "source_map", "%s is %s to the world",
			inet_ntop(AF_INET6, a->internal, internal_text, sizeof(internal_text)),
			inet_ntop(AF_INET6, external, external_text, sizeof(external_text)));
	memcpy(a->pair.internal, a->internal, 16);
	memcpy(a->pair.external, external, 16);
	a->known = 1;
}

static void hear(struct source_map *m, struct ask *a, int64_t now_mono_ns)
{
	uint8_t buf[STUN_ANSWER_BYTES + 1], external[16];
	ssize_t got;

	while (a->fd >= 0 && (got = recv(a->fd, buf, sizeof(buf), 0)) >= 0) {
		if (stun_answer(external, a->id, buf, (size_t)got))
			m->counters.rejected++;
		else
			learn(m, a, external, now_mono_ns);
	}
}

void source_map_tick(struct source_map *m, int64_t now_mono_ns)
{
	for (size_t i = 0; m->n_servers && i < 2; i++) {
		struct ask *a = &m->asks[i];

		if (a->fd >= 0)
			hear(m, a, now_mono_ns);
		if (now_mono_ns < a->due_mono_ns)
			continue;
		if (a->fd >= 0 && a->tries == TRIES) {
			m->counters.unanswered++;
			next_server(m, a, now_mono_ns);
		} else if (a->fd < 0 && begin(m, a)) {
			next_server(m, a, now_mono_ns + NS_PER_S);
		} else {
			ask(m, a, now_mono_ns);
		}
	}
}

/* --- the table --------------------------------------------------------------------------------- */

static int add_manual(struct source_map *m, const char *internal, const char *external)
{
	struct pair *p = &m->manual[m->n_manual];
	int family = source_map_address(p->internal, internal);

	if (m->n_manual == SOURCE_MAP_MAX - 1)
		return log_fail(-ENOSPC, "source_map", "more than %d addresses", SOURCE_MAP_MAX);
	if (family < 0 || source_map_address(p->external, external) != family) {
		log_msg(LOG_LEVEL_ERROR, "source_map",
			"%s: %s: expected two addresses of one family", internal, external);
		return -EINVAL;
	}
	m->n_manual++;
	return 0;
}

int source_map_open(struct source_map **out, const struct opt_map *manual,
		    const struct opt_texts *servers)
{
	static const int families[2] = {AF_INET6, AF_INET};
	struct source_map *m = calloc(1, sizeof(*m));
	int err = m ? resolver_open(&m->resolver) : -ENOMEM;

	for (size_t i = 0; m && i < 2; i++)
		m->asks[i] = (struct ask){.family = families[i], .fd = -1};
	for (size_t i = 0; !err && i < manual->n; i++)
		err = add_manual(m, manual->keys[i], manual->values[i]);
	for (size_t i = 0; !err && i < servers->n; i++) {
		char host[256];
		uint16_t port;

		err = sender_split(host, sizeof(host), &port, servers->items[i],
				   SOURCE_MAP_STUN_PORT);
		if (!err && resolver_add(m->resolver, host, port) < 0)
			err = -EINVAL;
		if (err)
			log_msg(LOG_LEVEL_ERROR, "source_map", "%s is no STUN server",
				servers->items[i]);
		m->n_servers++;
	}
	if (err) {
		source_map_close(m);
		return err;
	}
	*out = m;
	return 0;
}

void source_map_close(struct source_map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < 2; i++)
		forget_socket(&m->asks[i]);
	resolver_close(m->resolver);
	free(m);
}

void source_map_apply(const struct source_map *m, uint8_t ip[16])
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_manual; i++)
		if (!memcmp(m->manual[i].internal, ip, 16)) {
			memcpy(ip, m->manual[i].external, 16);
			return;
		}
	for (size_t i = 0; i < 2; i++)
		if (m->asks[i].known && !memcmp(m->asks[i].pair.internal, ip, 16)) {
			memcpy(ip, m->asks[i].pair.external, 16);
			return;
		}
}

void source_map_count(const struct source_map *m, struct source_map_counters *out)
{
	*out = m->counters;
}
