#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/announce.h"

#define LAST_WORDS_NS (2 * NS_PER_S) /* that END of all flows may take at a stop */

struct announce {
	int epoll_fd, timer_fd;
	int64_t armed_mono_ns;
	struct sender *sender;
	struct source_map *map;
	struct tcp_info_reader *tcp;
	struct emitter *emitter; /* NULL: fireflies of our own are off */
	struct relay *relay;     /* NULL: no listener */
	void (*relayed)(void *arg, const struct rules_flow_event *e);
	void *arg;
};

static struct emitter_time now(void)
{
	return (struct emitter_time){clock_mono_ns(), clock_utc_us()};
}

/* --- hooks ------------------------------------------------------------------------------------- */

static int may(void *arg, int64_t now_mono_ns)
{
	struct announce *a = arg;

	return sender_may(a->sender, now_mono_ns);
}

static void send_firefly(void *arg, const void *buf, size_t len_bytes, const struct flow_key *key)
{
	struct announce *a = arg;

	sender_seen(a->sender, buf, len_bytes, clock_mono_ns()); /* should it come back to us */
	sender_send(a->sender, buf, len_bytes, key, NULL);
}

static int look(void *arg, const struct flow_key *key, uint64_t cookie, struct tcp_sample *out)
{
	struct announce *a = arg;

	return tcp_info_look(a->tcp, key, cookie, out);
}

static int look_at_all(void *arg,
		       void (*each)(void *arg, const struct flow_key *key,
				    const struct tcp_sample *s),
		       void *each_arg)
{
	struct announce *a = arg;

	return tcp_info_each(a->tcp, each, each_arg);
}

static void map_source(void *arg, struct flow_key *key)
{
	struct announce *a = arg;

	source_map_apply(a->map, key->src_ip);
}

static void socket_gone(void *arg, const struct flow_key *key, const struct tcp_sample *s)
{
	struct announce *a = arg;

	emitter_gone(a->emitter, key, s, now());
}

/* --- life -------------------------------------------------------------------------------------- */

static int watch(struct announce *a, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static int open_sender(struct announce *a, const struct marker_config *cfg)
{
	const struct sender_options options = {
		.to_destination = cfg->firefly && cfg->send_to_destination ? 1 : 0,
		.destination_port = (uint16_t)cfg->destination_port,
		.rate_per_s = (uint64_t)cfg->firefly_rate_per_s};
	int err = sender_open(&a->sender, &options);

	if (!err && cfg->firefly && cfg->send_to_collector)
		err = sender_add_collector(a->sender, cfg->collector_address,
					   (uint16_t)cfg->collector_port, 0);
	for (size_t i = 0; !err && cfg->firefly && i < cfg->collectors.n; i++)
		err = sender_add_collector(a->sender, cfg->collectors.items[i], FIREFLY_PORT, 0);
	for (size_t i = 0; !err && cfg->listener && i < cfg->relay_to.n; i++)
		err = sender_add_collector(a->sender, cfg->relay_to.items[i], FIREFLY_PORT, 1);
	if (err)
		log_fail(err, "announce", "add a collector");
	return err;
}

static int open_emitter(struct announce *a, const struct marker_config *cfg)
{
	char host[64] = "";
	const struct emitter_options options = {.flows_max = (size_t)cfg->flows_max,
						.ongoing_s = cfg->ongoing_s,
						.enrich = cfg->enrich,
						.bare = !cfg->prepend_syslog,
						.host = host};
	const struct emitter_hooks hooks = {may, send_firefly, look, look_at_all, map_source, a};
	int err;

	gethostname(host, sizeof(host) - 1);
	err = tcp_info_open(&a->tcp);
	if (!err)
		err = source_map_open(&a->map, &cfg->stun_mapping, &cfg->stun_servers);
	if (!err)
		err = emitter_open(&a->emitter, &options, &hooks);
	if (!err)
		err = watch(a, tcp_info_fd(a->tcp));
	return err;
}

int announce_open(struct announce **out, const struct marker_config *cfg,
		  void (*relayed)(void *arg, const struct rules_flow_event *e), void *arg)
{
	struct announce *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return log_fail(-ENOMEM, "announce", "open");
	a->relayed = relayed;
	a->arg = arg;
	a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = a->epoll_fd < 0 || a->timer_fd < 0 ? -errno : watch(a, a->timer_fd);
	if (!err)
		err = open_sender(a, cfg);
	if (!err && cfg->firefly)
		err = open_emitter(a, cfg);
	if (!err && cfg->listener) {
		err = relay_open(&a->relay, cfg->listener_address, (uint16_t)cfg->listener_port,
				 a->sender);
		if (!err)
			err = watch(a, relay_fd(a->relay));
	}
	if (err) {
		announce_close(a, 1);
		return err;
	}
	*out = a;
	return 0;
}

static void say_goodbye(struct announce *a)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct emitter_time t = now();
	int64_t until_mono_ns = t.mono_ns + LAST_WORDS_NS;
	struct emitter_counters c;

	emitter_end_all(a->emitter, t);
	for (emitter_count(a->emitter, &c); c.due && t.mono_ns < until_mono_ns; t = now()) {
		emitter_run(a->emitter, t);
		emitter_count(a->emitter, &c);
		if (c.due)
			nanosleep(&pause, NULL);
	}
	if (c.due)
		log_msg(LOG_LEVEL_WARN, "announce", "%zu flows were left without an END", c.due);
}

void announce_close(struct announce *a, int quietly)
{
	if (!a)
		return;
	if (a->emitter && !quietly)
		say_goodbye(a);
	relay_close(a->relay);
	emitter_close(a->emitter);
	source_map_close(a->map);
	tcp_info_close(a->tcp);
	sender_close(a->sender);
	if (a->timer_fd >= 0)
		close(a->timer_fd);
	if (a->epoll_fd >= 0)
		close(a->epoll_fd);
	free(a);
}

/* --- work -------------------------------------------------------------------------------------- */

int announce_fd(const struct announce *a)
{
	return a ? a->epoll_fd : -1;
}

static void arm(struct announce *a, int64_t next_mono_ns)
{
	struct itimerspec at = {{0, 0}, {0, 0}};

	if (next_mono_ns == a->armed_mono_ns)
		return;
	a->armed_mono_ns = next_mono_ns;
	if (next_mono_ns != INT64_MAX) {
		at.it_value.tv_sec = next_mono_ns / NS_PER_S;
		at.it_value.tv_nsec = next_mono_ns % NS_PER_S;
	}
	timerfd_settime(a->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void run(struct announce *a)
{
	struct emitter_time t = now();

	if (!a->emitter)
		return;
	emitter_run(a->emitter, t);
	arm(a, emitter_next(a->emitter, t.mono_ns));
}

void announce_serve(struct announce *a)
{
	uint64_t expirations;

	if (read(a->timer_fd, &expirations, sizeof(expirations)) > 0)
		a->armed_mono_ns = INT64_MAX;
	if (a->emitter)
		tcp_info_drain(a->tcp, socket_gone, a);
	if (a->relay)
		relay_drain(a->relay, a->relayed, a->arg);
	run(a);
}

void announce_tick(struct announce *a)
{
	if (!a)
		return;
	if (a->map)
		source_map_tick(a->map, clock_mono_ns());
	run(a);
}

int announce_event(struct announce *a, const struct rules_flow_event *e)
{
	int err = 0;

	if (!a || !a->emitter)
		return -ENOTSUP;
	tcp_info_drain(a->tcp, socket_gone, a); /* in the order in which it happened */
	switch (e->event) {
	case RULES_START:
		err = emitter_begin(a->emitter, &e->key, e->tag, e->application, e->start_utc_us,
				    now());
		break;
	case RULES_END:
		err = emitter_end(a->emitter, &e->key, e->end_utc_us, now());
		break;
	default:
		break;
	}
	run(a);
	return err;
}

void announce_end(struct announce *a, const struct flow_key *key)
{
	if (!a || !a->emitter)
		return;
	emitter_end(a->emitter, key, 0, now());
}

void announce_count(const struct announce *a, struct announce_counters *out)
{
	memset(out, 0, sizeof(*out));
	out->emits = a->emitter != NULL;
	out->relays = a->relay != NULL;
	if (a->emitter) {
		emitter_count(a->emitter, &out->emitter);
		source_map_count(a->map, &out->stun);
	}
	if (a->relay)
		relay_count(a->relay, &out->relay);
	out->n_targets = sender_targets(a->sender);
	for (size_t i = 0; i < out->n_targets; i++)
		sender_count(a->sender, i, &out->targets[i]);
}
