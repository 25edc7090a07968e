#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/relay.h"
#include "marker/resolver.h"

#define DATAGRAM_BYTES     65536
#define RECEIVE_BYTES      (4 * 1024 * 1024)
#define BATCH              256 /* datagrams in one drain, so that others have their turn */
#define LOCAL_MAX          1024
#define REFRESH_NS         (10 * NS_PER_S)
#define REFRESH_ON_MISS_NS NS_PER_S

struct relay {
	int fd;
	struct sender *sender;
	struct relay_counters counters;
	uint8_t local[LOCAL_MAX][16];
	size_t n_local;
	int64_t refreshed_mono_ns; /* 0: never */
	struct log_limit limit;
	uint8_t datagram[DATAGRAM_BYTES];
};

/* --- whose address is it ----------------------------------------------------------------------- */

static void refresh(struct relay *r, int64_t now_mono_ns)
{
	struct ifaddrs *list;

	r->refreshed_mono_ns = now_mono_ns;
	if (getifaddrs(&list))
		return;
	r->n_local = 0;
	for (const struct ifaddrs *i = list; i && r->n_local < LOCAL_MAX; i = i->ifa_next) {
		if (!i->ifa_addr)
			continue;
		if (i->ifa_addr->sa_family == AF_INET6)
			memcpy(r->local[r->n_local++],
			       &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr,
			       16);
		else if (i->ifa_addr->sa_family == AF_INET)
			wire_map_ipv4(r->local[r->n_local++],
				      (const uint8_t *)&(
					      (const struct sockaddr_in *)(const void *)i->ifa_addr)
					      ->sin_addr);
	}
	freeifaddrs(list);
}

static int is_local(const struct relay *r, const uint8_t ip[16])
{
	for (size_t i = 0; i < r->n_local; i++)
		if (!memcmp(r->local[i], ip, 16))
			return 1;
	return 0;
}

/* Of another host no port is to be sent to: its programs send from ports of their own. Of this host
 * only the very port is meant, for a collector may run beside the producers. */
static void forget_port(const struct relay *r, struct sockaddr_storage *from)
{
	struct sockaddr_in *v4 = (void *)from;
	struct sockaddr_in6 *v6 = (void *)from;
	uint8_t ip[16];

	if (from->ss_family == AF_INET)
		wire_map_ipv4(ip, (const uint8_t *)&v4->sin_addr);
	else
		memcpy(ip, &v6->sin6_addr, 16);
	if (is_local(r, ip))
		return;
	if (from->ss_family == AF_INET)
		v4->sin_port = 0;
	else
		v6->sin6_port = 0;
}

static int is_put_by_client(const struct firefly *ff)
{
	return ff->producer == FIREFLY_XROOTD && !strcasecmp(ff->application, "http-put");
}

int relay_orient(struct flow_key *out, const struct firefly *ff, int src_is_local, int dst_is_local)
{
	struct flow_key turned = ff->key;

	if (!src_is_local && !dst_is_local)
		return -ENOENT;
	memcpy(turned.src_ip, ff->key.dst_ip, 16);
	memcpy(turned.dst_ip, ff->key.src_ip, 16);
	turned.src_port = ff->key.dst_port;
	turned.dst_port = ff->key.src_port;
	if (src_is_local && dst_is_local) /* both programs are here: as the dialect has it */
		dst_is_local = ff->producer == FIREFLY_DCACHE || is_put_by_client(ff);
	else if (src_is_local)
		dst_is_local = 0;
	*out = dst_is_local ? turned : ff->key;
	return 0;
}

/* --- in and out -------------------------------------------------------------------------------- */

int relay_open(struct relay **out, const char *address, uint16_t port, struct sender *s)
{
	struct relay *r = calloc(1, sizeof(*r));
	struct resolver *resolver = NULL;
	struct resolver_host self;
	int bytes = RECEIVE_BYTES, handle, err;

	if (!r)
		return log_fail(-ENOMEM, "relay", "open");
	r->fd = -1;
	r->sender = s;
	err = resolver_open(&resolver);
	if (!err) {
		handle = resolver_add(resolver, address, port);
		err = handle < 0 ? handle : resolver_get(resolver, handle, &self);
	}
	resolver_close(resolver);
	if (err) {
		log_msg(LOG_LEVEL_ERROR, "relay", "%s is no address to listen on", address);
		err = -EINVAL;
		goto fail;
	}
	r->fd = socket(self.addresses[0].ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->fd < 0 ||
	    bind(r->fd, (const struct sockaddr *)&self.addresses[0], self.len_bytes[0])) {
		err = log_fail(-errno, "relay", "listen on %s port %u", address, port);
		goto fail;
	}
	setsockopt(r->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	*out = r;
	return 0;
fail:
	relay_close(r);
	return err;
}

void relay_close(struct relay *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

void relay_set_sender(struct relay *r, struct sender *s)
{
	r->sender = s;
}

int relay_fd(const struct relay *r)
{
	return r->fd;
}

static int orient(struct relay *r, struct flow_key *out, const struct firefly *ff,
		  int64_t now_mono_ns)
{
	int64_t age_ns = now_mono_ns - r->refreshed_mono_ns;
	int err;

	if (!r->refreshed_mono_ns || age_ns >= REFRESH_NS)
		refresh(r, now_mono_ns);
	err = relay_orient(out, ff, is_local(r, ff->key.src_ip), is_local(r, ff->key.dst_ip));
	if (err && age_ns >= REFRESH_ON_MISS_NS) {
		refresh(r, now_mono_ns);
		err = relay_orient(out, ff, is_local(r, ff->key.src_ip),
				   is_local(r, ff->key.dst_ip));
	}
	return err;
}

static enum rules_event event_of(enum firefly_state state)
{
	return state == FIREFLY_START ? RULES_START
	       : state == FIREFLY_END ? RULES_END
				      : RULES_ONGOING;
}

static void take(struct relay *r, size_t len_bytes, struct sockaddr_storage *from,
		 void (*handle)(void *arg, const struct rules_flow_event *e), void *arg)
{
	int64_t now_mono_ns = clock_mono_ns();
	struct firefly ff;
	struct rules_flow_event e = {0};
	enum firefly_verdict verdict;
	int err;

	r->counters.received++;
	verdict = firefly_parse(&ff, r->datagram, len_bytes);
	if (verdict) {
		r->counters.rejected[verdict]++;
		log_limited(&r->limit, LOG_LEVEL_WARN, "relay", "a datagram is no firefly: %s",
			    firefly_verdict_name(verdict));
		return;
	}
	if (sender_seen(r->sender, r->datagram, len_bytes, now_mono_ns)) {
		r->counters.repeated++;
		return;
	}
	if (!sender_may(r->sender, now_mono_ns)) {
		r->counters.paced++;
		return;
	}
	r->counters.relayed++;
	err = orient(r, &e.key, &ff, now_mono_ns);
	forget_port(r, from);
	sender_send(r->sender, r->datagram, len_bytes, err ? NULL : &e.key, from);
	if (err) {
		r->counters.foreign++;
		return;
	}
	e.event = event_of(ff.state);
	e.tag = ff.tag;
	handle(arg, &e);
}

void relay_drain(struct relay *r, void (*handle)(void *arg, const struct rules_flow_event *e),
		 void *arg)
{
	for (int i = 0; i < BATCH; i++) {
		struct sockaddr_storage from;
		socklen_t from_bytes = sizeof(from);
		ssize_t got = recvfrom(r->fd, r->datagram, sizeof(r->datagram), 0,
				       (struct sockaddr *)&from, &from_bytes);

		if (got < 0)
			return;
		take(r, (size_t)got, &from, handle, arg);
	}
}

void relay_count(const struct relay *r, struct relay_counters *out)
{
	*out = r->counters;
}
