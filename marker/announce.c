#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/announce.h"

#define LAST_WORDS_NS (2 * NS_PER_S)  /* that END of all flows may take at a stop */
#define SAVE_NS       NS_PER_S        /* between two writings of the flows at the least, */
#define SAVE_SHARE    100             /* nor for a longer share of the time than one in so many, */
#define SAVE_IDLE_NS  (60 * NS_PER_S) /* and if nothing changes this often, lest they look old */

struct parts { /* what a reload may change */
	struct sender *sender;
	struct source_map *map;
	struct tcp_info_reader *tcp;
	struct emitter *emitter; /* NULL: no flow is wanted */
	int speaks;              /* fireflies of our own are on */
	struct relay *relay;     /* NULL: no listener */
	char listener[80];
};

struct announce {
	int epoll_fd, timer_fd, open;
	int64_t armed_mono_ns;
	char flows_path[160];
	uint64_t saved_changes;
	int64_t saved_mono_ns, save_took_ns;
	struct parts parts;
	struct announce_hooks hooks;
};

static struct emitter_time now(void)
{
	return (struct emitter_time){clock_mono_ns(), clock_utc_us()};
}

/* --- hooks ------------------------------------------------------------------------------------- */

static int may(void *arg, int64_t now_mono_ns)
{
	struct announce *a = arg;

	return sender_ready(a->parts.sender, now_mono_ns) &&
	       sender_may(a->parts.sender, now_mono_ns);
}

static void send_firefly(void *arg, const void *buf, size_t len_bytes, const struct flow_key *key)
{
	struct announce *a = arg;

	sender_seen(a->parts.sender, buf, len_bytes,
		    clock_mono_ns()); /* should it come back to us */
	sender_send(a->parts.sender, buf, len_bytes, key, NULL);
}

static int look(void *arg, const struct flow_key *key, uint64_t cookie, struct tcp_sample *out)
{
	struct announce *a = arg;

	return tcp_info_look(a->parts.tcp, key, cookie, out);
}

static int look_at_all(void *arg,
		       void (*each)(void *arg, const struct flow_key *key,
				    const struct tcp_sample *s),
		       void *each_arg)
{
	struct announce *a = arg;

	return tcp_info_each(a->parts.tcp, each, each_arg);
}

static int count(void *arg, const struct flow_key *key, uint64_t *sent_bytes)
{
	struct announce *a = arg;

	return a->hooks.count(a->hooks.arg, key, sent_bytes);
}

static void map_source(void *arg, struct flow_key *key)
{
	struct announce *a = arg;

	source_map_apply(a->parts.map, key->src_ip);
}

static void socket_gone(void *arg, const struct flow_key *key, const struct tcp_sample *s)
{
	struct announce *a = arg;

	emitter_gone(a->parts.emitter, key, s, now());
}

/* --- parts ------------------------------------------------------------------------------------- */

static int watch(struct announce *a, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static int open_sender(struct sender **out, const struct marker_config *cfg)
{
	const struct sender_options options = {.to_destination =
						       cfg->firefly && cfg->send_to_destination,
					       .destination_port = (uint16_t)cfg->destination_port,
					       .rate_per_s = (uint64_t)cfg->firefly_rate_per_s};
	struct sender *s;
	int err = sender_open(&s, &options);

	if (err)
		return err;
	if (cfg->firefly && cfg->send_to_collector)
		err = sender_add_collector(s, cfg->collector_address, (uint16_t)cfg->collector_port,
					   0);
	for (size_t i = 0; !err && cfg->firefly && i < cfg->collectors.n; i++)
		err = sender_add_collector(s, cfg->collectors.items[i], FIREFLY_PORT, 0);
	for (size_t i = 0; !err && cfg->listener && i < cfg->relay_to.n; i++)
		err = sender_add_collector(s, cfg->relay_to.items[i], FIREFLY_PORT, 1);
	if (err) {
		sender_close(s);
		return log_fail(err, "announce", "add a collector");
	}
	*out = s;
	return 0;
}

/* Series of single flows want them known, even if nothing is said of them. */
static int wants_emitter(const struct marker_config *cfg)
{
	return cfg->firefly || (cfg->exporter && cfg->exporter_flows_max);
}

static enum enrich_form form_of(const struct marker_config *cfg)
{
	return cfg->enrichment_mode == MARKER_ENRICH_COMPATIBLE ? ENRICH_COMPATIBLE
	       : cfg->enrichment_mode == MARKER_ENRICH_FULL     ? ENRICH_FULL
								: ENRICH_LEAN;
}

static struct emitter_options emitter_options(const struct marker_config *cfg, const char *host)
{
	return (struct emitter_options){.flows_max = (size_t)cfg->flows_max,
					.ongoing_s = cfg->ongoing_s,
					.enrich = cfg->enrich,
					.form = form_of(cfg),
					.as_skops = cfg->skops && !cfg->netlink,
					.max_bytes = (size_t)cfg->firefly_max_bytes,
					.bare = !cfg->prepend_syslog,
					.mute = !cfg->firefly,
					.host = host};
}

static void want_details(struct tcp_info_reader *tcp, const struct marker_config *cfg)
{
	const struct emitter_options options = emitter_options(cfg, NULL);

	tcp_info_want_details(tcp, cfg->firefly && cfg->enrich && emitter_needs_details(&options),
			      (uint8_t)cfg->netlink_ext);
}

static int open_emitter(struct announce *a, struct parts *p, const struct marker_config *cfg)
{
	const struct emitter_hooks hooks = {may,   send_firefly, look, look_at_all,
					    count, map_source,   a};
	struct emitter_options options;
	char host[64] = "";
	int err;

	gethostname(host, sizeof(host) - 1);
	options = emitter_options(cfg, host);
	err = tcp_info_open(&p->tcp);
	if (!err)
		want_details(p->tcp, cfg);
	if (!err)
		err = emitter_open(&p->emitter, &options, &hooks);
	if (!err)
		err = watch(a, tcp_info_fd(p->tcp));
	return err;
}

static int open_relay(struct announce *a, struct parts *p, const struct marker_config *cfg)
{
	int err = relay_open(&p->relay, cfg->listener_address, (uint16_t)cfg->listener_port,
			     p->sender);

	if (!err)
		err = watch(a, relay_fd(p->relay));
	if (!err)
		snprintf(p->listener, sizeof(p->listener), "%s port %u", cfg->listener_address,
			 (unsigned int)cfg->listener_port);
	return err;
}

static void close_parts(struct parts *p)
{
	relay_close(p->relay);
	emitter_close(p->emitter);
	source_map_close(p->map);
	tcp_info_close(p->tcp);
	sender_close(p->sender);
	memset(p, 0, sizeof(*p));
}

static int is_same_listener(const struct announce *a, const struct marker_config *cfg)
{
	char wanted[sizeof(a->parts.listener)];

	snprintf(wanted, sizeof(wanted), "%s port %u", cfg->listener_address,
		 (unsigned int)cfg->listener_port);
	return a->parts.relay && !strcmp(wanted, a->parts.listener);
}

/* Say what is due, but no longer than LAST_WORDS_NS. */
static void say_what_is_due(struct announce *a)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct emitter_time t = now();
	int64_t until_mono_ns = t.mono_ns + LAST_WORDS_NS;
	struct emitter_counters c;

	for (emitter_count(a->parts.emitter, &c); c.due && t.mono_ns < until_mono_ns; t = now()) {
		emitter_run(a->parts.emitter, t);
		emitter_count(a->parts.emitter, &c);
		if (c.due)
			nanosleep(&pause, NULL);
	}
	if (c.due)
		log_msg(LOG_LEVEL_WARN, "announce", "%zu flows were left without a word", c.due);
}

static void say_goodbye(struct announce *a)
{
	emitter_end_all(a->parts.emitter, now());
	say_what_is_due(a);
}

/* New parts beside the old ones first; once nothing can fail any more they change places. */
int announce_reload(struct announce *a, const struct marker_config *cfg)
{
	struct parts next = {.sender = NULL}, *old;
	int same = 0, err;

	if (!a)
		return 0;
	old = &a->parts;
	err = open_sender(&next.sender, cfg);
	if (!err && cfg->firefly)
		err = source_map_open(&next.map, &cfg->stun_mapping, &cfg->stun_servers);
	if (!err && wants_emitter(cfg) && !old->emitter)
		err = open_emitter(a, &next, cfg);
	same = cfg->listener && is_same_listener(a, cfg);
	if (!err && cfg->listener && !same)
		err = open_relay(a, &next, cfg);
	if (err) {
		close_parts(&next);
		return err;
	}
	if (old->emitter && wants_emitter(cfg)) {
		struct emitter_options options = emitter_options(cfg, NULL);

		emitter_set(old->emitter, &options);
		want_details(old->tcp, cfg);
		next.emitter = old->emitter;
		next.tcp = old->tcp;
		old->emitter = NULL;
		old->tcp = NULL;
	} else if (old->emitter) {
		say_goodbye(a);
		unlink(a->flows_path);
	}
	if (same) {
		next.relay = old->relay;
		memcpy(next.listener, old->listener, sizeof(next.listener));
		relay_set_sender(next.relay, next.sender);
		old->relay = NULL;
	}
	next.speaks = cfg->firefly;
	close_parts(old);
	a->parts = next;
	return 0;
}

/* --- from one process to the next --------------------------------------------------------------- */

/* Beside the old file first: one of them is always there, and whole. */
static int save_flows(struct announce *a)
{
	char path[sizeof(a->flows_path) + 4];
	FILE *to = NULL;
	int fd, n = -EIO;

	snprintf(path, sizeof(path), "%s.new", a->flows_path);
	unlink(path); /* whoever made it */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		to = fdopen(fd, "w");
	if (!to)
		return -errno;
	n = emitter_save(a->parts.emitter, to, now());
	if (fclose(to) && n >= 0)
		n = -EIO;
	if (n >= 0 && rename(path, a->flows_path))
		n = -errno;
	if (n < 0)
		unlink(path);
	return n < 0 ? n : 0;
}

/* For a successor of one that is killed. */
static void save_flows_now_and_then(struct announce *a)
{
	int64_t start_mono_ns = clock_mono_ns(), waited_ns = start_mono_ns - a->saved_mono_ns;
	uint64_t changes = emitter_changes(a->parts.emitter);
	int err;

	if (waited_ns < SAVE_NS || waited_ns < SAVE_SHARE * a->save_took_ns ||
	    (changes == a->saved_changes && (!changes || waited_ns < SAVE_IDLE_NS)))
		return;
	err = save_flows(a);
	a->saved_changes = changes;
	a->saved_mono_ns = clock_mono_ns();
	a->save_took_ns = a->saved_mono_ns - start_mono_ns;
	if (err) {
		static struct log_limit limit;

		log_limited(&limit, LOG_LEVEL_WARN, "announce", "write the flows to %s: %s",
			    a->flows_path, strerror(-err));
	}
}

static void leave_flows(struct announce *a)
{
	int err;

	say_what_is_due(a);
	err = save_flows(a);
	if (err)
		log_fail(err, "announce", "leave the flows in %s", a->flows_path);
}

static void take_flows(struct announce *a)
{
	int fd = open(a->flows_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), n;
	struct stat st;
	FILE *from;

	if (fd < 0)
		return;
	from = fstat(fd, &st) || st.st_uid != geteuid() ? NULL : fdopen(fd, "r");
	if (!from) {
		close(fd);
		return;
	}
	n = emitter_load(a->parts.emitter, from, now());
	fclose(from);
	if (n < 0)
		log_fail(n, "announce", "flows in %s", a->flows_path);
	else
		log_msg(LOG_LEVEL_INFO, "announce", "%d announced flows taken over", n);
}

/* --- life --------------------------------------------------------------------------------------- */

int announce_open(struct announce **out, const struct marker_config *cfg,
		  const struct announce_hooks *hooks)
{
	struct announce *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return log_fail(-ENOMEM, "announce", "open");
	a->hooks = *hooks;
	a->armed_mono_ns = INT64_MAX;
	snprintf(a->flows_path, sizeof(a->flows_path), "%s.flows", cfg->control_path);
	a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = a->epoll_fd < 0 || a->timer_fd < 0 ? -errno : watch(a, a->timer_fd);
	if (!err)
		err = announce_reload(a, cfg);
	if (err) {
		announce_close(a, 1);
		return err;
	}
	if (a->parts.emitter)
		take_flows(a);
	a->open = 1;
	*out = a;
	return 0;
}

void announce_close(struct announce *a, int quietly)
{
	if (!a)
		return;
	if (a->open && a->parts.emitter && quietly) {
		leave_flows(a);
	} else if (a->open && a->parts.emitter) {
		say_goodbye(a);
		unlink(a->flows_path);
	}
	close_parts(&a->parts);
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

static void hear_of_sockets(struct announce *a)
{
	if (tcp_info_drain(a->parts.tcp, socket_gone, a) == -ENOBUFS)
		emitter_missed(a->parts.emitter, now());
}

static void run(struct announce *a)
{
	struct emitter_time t = now();

	if (!a->parts.emitter)
		return;
	emitter_run(a->parts.emitter, t);
	arm(a, emitter_next(a->parts.emitter, t.mono_ns));
}

/* Once for all events of a turn. */
static void run_soon(struct announce *a)
{
	int64_t now_mono_ns = clock_mono_ns();

	if (a->armed_mono_ns > now_mono_ns)
		arm(a, now_mono_ns);
}

void announce_serve(struct announce *a)
{
	uint64_t expirations;

	if (read(a->timer_fd, &expirations, sizeof(expirations)) > 0)
		a->armed_mono_ns = INT64_MAX;
	if (a->parts.emitter)
		hear_of_sockets(a);
	if (a->parts.relay)
		relay_drain(a->parts.relay, a->hooks.relayed, a->hooks.arg);
	run(a);
}

void announce_tick(struct announce *a)
{
	if (!a)
		return;
	if (a->parts.map)
		source_map_tick(a->parts.map, clock_mono_ns());
	run(a);
	if (a->parts.emitter)
		save_flows_now_and_then(a);
}

int announce_event(struct announce *a, const struct rules_flow_event *e)
{
	int err = 0;

	if (!a || !a->parts.emitter)
		return -ENOTSUP;
	hear_of_sockets(a); /* in the order in which it happened */
	switch (e->event) {
	case RULES_START:
		err = emitter_begin(a->parts.emitter, &e->key, e->tag, e->application,
				    e->start_utc_us,
				    e->opened  ? EMITTER_OPENED
				    : e->alone ? EMITTER_NONE
					       : EMITTER_ASK,
				    now());
		break;
	case RULES_END:
		err = emitter_end(a->parts.emitter, &e->key, e->end_utc_us, now());
		break;
	default:
		break;
	}
	run_soon(a);
	return err;
}

void announce_end(struct announce *a, const struct flow_key *key)
{
	if (!a || !a->parts.emitter)
		return;
	emitter_lapse(a->parts.emitter, key, now());
}

void announce_each(const struct announce *a,
		   void (*each)(void *arg, const struct flow_key *key, const struct scitag *tag),
		   void *arg)
{
	if (a && a->parts.emitter)
		emitter_each(a->parts.emitter, each, arg);
}

void announce_count(const struct announce *a, struct announce_counters *out)
{
	memset(out, 0, sizeof(*out));
	out->emits = a->parts.speaks;
	out->relays = a->parts.relay != NULL;
	if (a->parts.emitter) {
		emitter_count(a->parts.emitter, &out->emitter);
		if (a->parts.map)
			source_map_count(a->parts.map, &out->stun);
	}
	if (a->parts.relay)
		relay_count(a->parts.relay, &out->relay);
	out->n_targets = sender_targets(a->parts.sender);
	for (size_t i = 0; i < out->n_targets; i++)
		sender_count(a->parts.sender, i, &out->targets[i]);
}
