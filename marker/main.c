/* scitag-marker: open in order, one loop, close in reverse. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/announce.h"
#include "marker/config.h"
#include "marker/control.h"
#include "marker/convert.h"
#include "marker/event.h"
#include "marker/inputs.h"
#include "marker/mark.h"
#include "marker/nic.h"
#include "marker/optmode.h"
#include "marker/pipe.h"
#include "marker/rules.h"
#include "marker/sockets.h"
#include "marker/status.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIGURATION = 3, EXIT_PERMISSION = 4 };

#define TURN_NS   200000000L /* of the loop: lingering marks end on it */
#define BEAT_NS   NS_PER_S
#define SOCKETS_S 10 /* between looks at all sockets */
#define FDS_MAX   (5 + INPUTS_FDS + CONTROL_CLIENTS + 1)

struct marker {
	struct marker_config cfg;
	int argc;
	char **argv;
	struct registry *registry;
	struct mark *mark; /* NULL in socket mode */
	struct rules *rules;
	struct sockets *sockets;
	struct pipe_input *pipe;
	struct inputs *inputs;
	struct control *control;
	struct announce *announce;
	int signal_fd, timer_fd;
	char interfaces[MARK_MAX_IFACES][IFNAMSIZ];
	size_t n_interfaces;
	enum scitag_carrier carrier; /* markingStrategy, auto decided */
	int adopted, look_at_sockets;
	int alone; /* the flow that began last has no socket here */
	int64_t started_utc_us, beat_mono_ns, looked_mono_ns;
	uint64_t round;
	struct log_limit refusals;
};

static int exit_code(int err)
{
	switch (err) {
	case 0:
		return EXIT_SUCCESS;
	case -EPERM:
	case -EACCES:
		return EXIT_PERMISSION;
	case -EINVAL:
		return EXIT_CONFIGURATION;
	default:
		return EXIT_FAILED;
	}
}

/* --- interfaces and strategy ------------------------------------------------------------------- */

/* flowd-go does what has a section; a marker without any backend marks, for the command line's sake. */
static int marks(const struct marker *m)
{
	return m->cfg.marker || !(m->cfg.firefly || m->cfg.exporter);
}

static int choose_interfaces(struct marker *m)
{
	m->n_interfaces = 0;
	if (!marks(m))
		return 0;
	if (m->cfg.discover_interfaces) {
		int n = nic_discover(m->interfaces, MARK_MAX_IFACES);

		if (n <= 0)
			return log_fail(n ? n : -ENODEV, "marker",
					"no interface with a global address");
		m->n_interfaces = (size_t)n;
		return 0;
	}
	for (size_t i = 0; i < m->cfg.interfaces.n && i < MARK_MAX_IFACES; i++)
		snprintf(m->interfaces[m->n_interfaces++], IFNAMSIZ, "%s",
			 m->cfg.interfaces.items[i]);
	return 0;
}

static int wants_options(const struct marker *m)
{
	const struct marker_rule *rules = m->cfg.rules.items;
	int wants = m->carrier != CARRIER_LABEL;

	for (size_t i = 0; i < m->cfg.rules.n; i++)
		wants |= rules[i].strategy && marker_strategy(rules[i].strategy) != CARRIER_LABEL;
	return wants;
}

/* Options are free where the card cuts up packets that carry them, and dear where it cannot. */
static int choose_strategy(struct marker *m)
{
	int all_free = 1;

	m->carrier = (enum scitag_carrier)marker_strategy(m->cfg.strategy);
	for (size_t i = 0; i < m->n_interfaces; i++) {
		struct nic nic;
		int err = nic_look(&nic, m->interfaces[i]);

		if (err)
			return log_fail(err, "marker", "interface %s", m->interfaces[i]);
		if (!nic.ethernet) {
			log_msg(LOG_LEVEL_ERROR, "marker", "%s is no Ethernet interface",
				m->interfaces[i]);
			return -EINVAL;
		}
		all_free &= nic.segments_options && nic.gso_max_bytes <= NIC_GSO_LEGACY_MAX;
		if (!nic.segments_options && m->carrier > CARRIER_LABEL)
			log_msg(LOG_LEVEL_WARN, "marker",
				"%s%s%s cannot segment packets with extension headers in hardware: "
				"expect about 40 %% less throughput at MTU 1500; "
				"markingStrategy label costs nothing",
				m->interfaces[i], nic.driver[0] ? " driver " : "", nic.driver);
	}
	if (m->carrier == CARRIER_NONE) {
		m->carrier = all_free ? CARRIER_DESTINATION : CARRIER_LABEL;
		log_msg(LOG_LEVEL_INFO, "marker", "markingStrategy auto: %s",
			marker_strategy_name(m->carrier));
	}
	return 0;
}

/* BIG TCP's packets carry a header of their own that leaves no place for ours, unless the kernel
 * cuts them up before the interface sees them. */
static void limit_big_tcp(struct marker *m, const char *ifname)
{
	struct mark_iface iface = {0};
	struct nic nic;

	if (nic_look(&nic, ifname) || !m->mark)
		return;
	mark_get_iface(m->mark, nic.ifindex, &iface);
	if (nic.gso_max_bytes > NIC_GSO_LEGACY_MAX && m->cfg.limit_big_tcp && wants_options(m)) {
		log_msg(LOG_LEVEL_INFO, "marker",
			"%s: %s BIG TCP to 64 KiB packets (from %u bytes)", ifname,
			m->cfg.dry_run ? "would limit" : "limiting", nic.gso_max_bytes);
		if (!m->cfg.dry_run && !nic_set_gso_max(nic.ifindex, NIC_GSO_LEGACY_MAX)) {
			iface.gso_max_before_bytes = nic.gso_max_bytes;
			iface.flags |= MARK_IFACE_GSO;
			nic.gso_max_bytes = NIC_GSO_LEGACY_MAX;
		}
	}
	iface.gso_max_bytes = nic.gso_max_bytes;
	mark_put_iface(m->mark, nic.ifindex, &iface);
}

static int attach_all(struct marker *m)
{
	int err = 0;

	for (size_t i = 0; i < m->n_interfaces && !err; i++) {
		if (m->cfg.dry_run)
			log_msg(LOG_LEVEL_INFO, "marker", "would attach to %s", m->interfaces[i]);
		err = mark_attach(m->mark, m->interfaces[i]);
		if (!err)
			limit_big_tcp(m, m->interfaces[i]);
	}
	return err;
}

/* --- flows ------------------------------------------------------------------------------------- */

/* A connection that was open before its mark builds packets that leave no room: the kernel is told
 * of a path MTU that does. */
static void hint(struct marker *m, const struct socket_info *info)
{
	uint32_t mtu;
	int err;

	if (!m->mark || !m->cfg.hint_open_flows || m->cfg.dry_run || info->key.family != 6)
		return;
	mtu = rules_hint(m->rules, &info->key, info->packet_bytes_max, info->path_mtu);
	if (!mtu)
		return;
	err = sockets_hint_mtu(info->key.src_ip, info->key.dst_ip, mtu);
	if (err)
		log_fail(err, "marker", "tell the kernel of a path MTU");
	else
		log_msg(LOG_LEVEL_DEBUG, "marker",
			"an open connection: path MTU %u for its destination", mtu);
}

static void set_options(struct marker *m, uint32_t inode, const struct flow_key *key,
			const struct mark_tag *tag)
{
	char text[128];
	int err = optmode_apply(inode, tag);

	if (err && (tag || err != -ENOENT))
		log_fail(err, "marker", "set options on the socket of %s",
			 event_format_key(text, sizeof(text), key));
}

static void flow_begins(void *arg, const struct flow_key *key, const struct mark_flow *flow)
{
	struct marker *m = arg;
	struct socket_info info;
	int err;

	if (!m->sockets || m->cfg.dry_run)
		return;
	err = sockets_look(m->sockets, key, &info);
	m->alone = err == -ENOENT;
	if (err)
		return;
	if (flow->flags & MARK_FLOW_ONCE)
		rules_seen(m->rules, key, m->round);
	if (m->mark)
		hint(m, &info);
	else if (marks(m))
		set_options(m, info.inode, key, &flow->tag);
}

static void flow_ends(void *arg, const struct flow_key *key)
{
	struct marker *m = arg;
	struct socket_info info;

	announce_end(m->announce, key);
	if (!m->mark && marks(m) && m->sockets && !sockets_look(m->sockets, key, &info))
		set_options(m, info.inode, key, NULL);
}

static void socket_gone(void *arg, const struct socket_info *info)
{
	struct marker *m = arg;

	rules_gone(m->rules, &info->key, info->cookie, clock_mono_ns());
	inputs_gone(m->inputs, &info->key);
}

static void socket_live(void *arg, const struct socket_info *info)
{
	struct marker *m = arg;

	rules_seen(m->rules, &info->key, m->round);
	hint(m, info);
}

static void look_at_sockets(struct marker *m, int64_t now_mono_ns)
{
	m->looked_mono_ns = now_mono_ns;
	m->look_at_sockets = 0;
	if (!m->sockets || !rules_wants_sockets(m->rules))
		return;
	m->round++;
	if (!sockets_each(m->sockets, SOCKETS_TCP | SOCKETS_UDP, socket_live, m))
		rules_sweep(m->rules, m->round, now_mono_ns);
}

/* Mark and announce. IPv4 and tag 0/0 are announced, though they cannot be marked; what the table
 * of marks refuses for another reason is not. What a wildcard marks is announced, unless it became a
 * flow of its own meanwhile. */
static int take_event(struct marker *m, const struct rules_flow_event *e, enum rules_refusal *why)
{
	struct rules_flow_event known = *e;
	int announced = -ENOENT, err;

	if (e->announce_only) {
		if (!rules_has(m->rules, &e->key))
			announce_event(m->announce, e);
		return 0;
	}
	if (e->event == RULES_END)
		announced = announce_event(m->announce, e);
	m->alone = 0;
	err = rules_handle(m->rules, e, clock_mono_ns(), why);
	known.alone = m->alone;
	if (e->event != RULES_END &&
	    (!err || *why == RULES_REFUSED_FAMILY || *why == RULES_REFUSED_ANNOUNCE))
		announced = announce_event(m->announce, &known);
	return announced ? err : 0;
}

/* Of a firefly that was relayed: it is announced already, by its sender. */
static void handle_relayed(void *arg, const struct rules_flow_event *e)
{
	struct marker *m = arg;

	if (e->event == RULES_START)
		announce_end(m->announce, &e->key);
	rules_handle(m->rules, e, clock_mono_ns(), NULL); /* counts its refusals */
}

/* Payload on the wire: frames less the headers that they usually have, Ethernet and IPv6 in front. */
static int count_flow(void *arg, const struct flow_key *key, uint64_t *sent_bytes)
{
	enum { IN_FRONT = 14 + 40, TCP = 32, UDP = 8, SCTP = 12 + 16 };
	const struct marker *m = arg;
	uint64_t packets = 0, bytes = 0, headers;
	struct mark_flow flow;

	if (!m->mark || key->family != 6 || mark_get(m->mark, key, &flow))
		return -ENOENT;
	for (int r = 0; r < MARK_RESULT_COUNT; r++) {
		packets += flow.counts[r].packets;
		bytes += flow.counts[r].bytes;
	}
	headers = IN_FRONT + (key->protocol == IPPROTO_TCP   ? TCP
			      : key->protocol == IPPROTO_UDP ? UDP
							     : SCTP);
	*sent_bytes = bytes > packets * headers ? bytes - packets * headers : 0;
	return 0;
}

/* A predecessor that was killed may have left word of a flow whose mark is gone. Connections tell of
 * their end themselves. */
static void end_if_unmarked(void *arg, const struct flow_key *key, const struct scitag *tag)
{
	struct marker *m = arg;
	struct socket_info info;
	struct scitag wild;

	if (key->protocol == IPPROTO_TCP || key->family != 6 || !tag->experiment ||
	    rules_has(m->rules, key))
		return;
	if (sockets_look(m->sockets, key, &info) || rules_match(m->rules, &info, &wild))
		announce_end(m->announce, key);
}

/* All that are marked, or announced, some of them twice. */
struct flow_list {
	void (*each)(void *arg, const struct flow_key *key, const struct scitag *tag);
	void *arg;
};

static void list_marked(void *arg, const struct flow_key *key, const struct scitag *tag,
			enum scitag_carrier carrier, int ending)
{
	struct flow_list *list = arg;

	if (!ending)
		list->each(list->arg, key, tag);
}

static void
list_flows(void *arg, void (*each)(void *arg, const struct flow_key *key, const struct scitag *tag),
	   void *each_arg)
{
	struct marker *m = arg;
	struct flow_list list = {each, each_arg};

	rules_each(m->rules, list_marked, &list);
	announce_each(m->announce, each, each_arg);
}

static int handle_input(void *arg, const struct rules_flow_event *e, enum rules_refusal *why)
{
	struct marker *m = arg;
	char text[128];
	int err = take_event(m, e, why);

	if (err) /* an END after its socket was closed is what one expects: the mark went with the socket */
		log_limited(&m->refusals,
			    *why == RULES_REFUSED_UNKNOWN ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
			    "marker", "flow event refused, %s: %s", rules_refusal_name(*why),
			    event_format_key(text, sizeof(text), &e->key));
	return err;
}

static void handle_event(void *arg, const struct rules_flow_event *e)
{
	enum rules_refusal why;

	handle_input(arg, e, &why);
}

/* --- the control socket ------------------------------------------------------------------------ */

static void answer_event(struct marker *m, enum rules_event event, char *text, FILE *out)
{
	struct rules_flow_event e = {.event = event};
	enum rules_refusal refusal;
	char why[128];

	if (event_parse(&e, text, 0, m->registry, why, sizeof(why)))
		fprintf(out, "error: %s\n", why);
	else if (take_event(m, &e, &refusal))
		fprintf(out, "error: refused: %s\n", rules_refusal_name(refusal));
	else
		fprintf(out, "ok\n");
}

static void write_status(struct marker *m, enum status_form form, FILE *out)
{
	struct status_source s = {.rules = m->rules,
				  .mark = m->mark,
				  .pipe = m->pipe,
				  .inputs = m->inputs,
				  .announce = m->announce,
				  .registry = m->registry,
				  .interfaces = m->interfaces,
				  .n_interfaces = m->n_interfaces,
				  .carrier = m->carrier,
				  .adopted = m->adopted,
				  .started_utc_us = m->started_utc_us};

	status_write(&s, form, out);
	if (form == STATUS_PROMETHEUS)
		inputs_write_metrics(m->inputs, out);
}

static void write_metrics(void *arg, FILE *out)
{
	write_status(arg, STATUS_PROMETHEUS, out);
}

static void answer(void *arg, char *line, FILE *out)
{
	struct marker *m = arg;
	char *rest = line + strcspn(line, " ");

	if (*rest)
		*rest++ = 0;
	if (!strcmp(line, "mark"))
		answer_event(m, RULES_START, rest, out);
	else if (!strcmp(line, "unmark"))
		answer_event(m, RULES_END, rest, out);
	else if (!strcmp(line, "status"))
		write_status(m,
			     !strcmp(rest, "json")         ? STATUS_JSON
			     : !strcmp(rest, "prometheus") ? STATUS_PROMETHEUS
							   : STATUS_TEXT,
			     out);
	else
		fprintf(out, "error: no command \"%s\"\n", line);
}

/* --- life -------------------------------------------------------------------------------------- */

static int open_clockwork(struct marker *m)
{
	const struct itimerspec turns = {{0, TURN_NS}, {0, TURN_NS}};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (m->signal_fd < 0 || m->timer_fd < 0 || timerfd_settime(m->timer_fd, 0, &turns, NULL))
		return log_fail(-errno, "marker", "timer and signals");
	return 0;
}

static int open_all(struct marker *m)
{
	const struct mark_options options = {.flows_max = (uint32_t)m->cfg.flows_max,
					     .attach = (enum mark_attach)m->cfg.attach,
					     .bpffs = m->cfg.bpffs,
					     .dry_run = m->cfg.dry_run};
	const struct rules_hooks hooks = {flow_begins, flow_ends, m};
	const struct announce_hooks announce = {handle_relayed, count_flow, m};
	struct inputs_options inputs = {.cfg = &m->cfg,
					.handle = handle_input,
					.metrics = write_metrics,
					.flows = list_flows,
					.arg = m};
	const char *names[MARK_MAX_IFACES];
	int err;

	m->started_utc_us = clock_utc_us();
	m->registry = registry_builtin();
	if (!m->registry)
		return log_fail(-ENOMEM, "marker", "registry");
	err = open_clockwork(m);
	if (!err && !m->cfg.dry_run) /* first: it says whether another one runs */
		err = control_open(&m->control, m->cfg.control_path);
	if (!err)
		err = choose_interfaces(m);
	if (!err)
		err = choose_strategy(m);
	for (size_t i = 0; i < m->n_interfaces; i++)
		names[i] = m->interfaces[i];
	if (!err && marks(m) && m->cfg.mode == MARKER_MODE_BPF)
		err = mark_open(&m->mark, &options, names, m->n_interfaces, &m->adopted);
	if (!err)
		err = sockets_open(&m->sockets);
	if (!err && !m->cfg.dry_run)
		err = announce_open(&m->announce, &m->cfg, &announce);
	if (!err)
		err = rules_open(&m->rules, &m->cfg, m->mark, m->carrier, &hooks);
	inputs.registry = m->registry;
	inputs.rules = m->rules;
	inputs.sockets = m->sockets;
	if (!err)
		err = inputs_open(&m->inputs, &inputs);
	if (!err)
		err = rules_configure(m->rules, &m->cfg, m->registry, m->carrier);
	if (!err) /* of what was taken over, and of what is to have room before it is marked */
		look_at_sockets(m, clock_mono_ns());
	if (!err && m->mark)
		announce_each(m->announce, end_if_unmarked, m);
	if (!err && m->mark)
		err = attach_all(m);
	if (!err && m->cfg.named_pipe && !m->cfg.dry_run)
		err = pipe_open(&m->pipe, m->cfg.pipe_path);
	if (!err && !m->cfg.dry_run)
		err = inputs_start(m->inputs);
	return err;
}

/* Attached things go with a stop, but stay for a successor, and stay at a failure to start that
 * found a predecessor's. */
static void close_all(struct marker *m, int keep)
{
	for (size_t i = 0; m->mark && !keep && i < m->n_interfaces; i++)
		mark_detach(m->mark, m->interfaces[i]);
	inputs_close(m->inputs);
	pipe_close(m->pipe);
	control_close(m->control);
	announce_close(m->announce, keep);
	rules_close(m->rules);
	sockets_close(m->sockets);
	mark_close(m->mark);
	registry_free(m->registry);
	if (m->timer_fd >= 0)
		close(m->timer_fd);
	if (m->signal_fd >= 0)
		close(m->signal_fd);
}

/* Parse, check, swap; or keep what runs and say why. */
static void reload(struct marker *m)
{
	struct marker_config next, old = m->cfg;
	char old_names[MARK_MAX_IFACES][IFNAMSIZ];
	size_t n_old = m->n_interfaces;
	enum scitag_carrier old_carrier = m->carrier;
	int rest;

	memcpy(old_names, m->interfaces, sizeof(old_names));
	if (marker_config_read(&next, m->argc, m->argv, &rest)) {
		log_msg(LOG_LEVEL_ERROR, "marker", "reload: the old configuration stays in force");
		marker_config_free(&next);
		return;
	}
	if (next.mode != old.mode || next.flows_max != old.flows_max ||
	    strcmp(next.control_path, old.control_path) || next.named_pipe != old.named_pipe ||
	    strcmp(next.pipe_path, old.pipe_path) || !inputs_may_change(&old, &next)) {
		log_msg(LOG_LEVEL_ERROR, "marker",
			"reload: mode, mapSize, control, pipe, API and metrics change at a restart "
			"only; "
			"the old configuration stays in force");
		marker_config_free(&next);
		return;
	}
	m->cfg = next;
	if (choose_interfaces(m) || choose_strategy(m) || inputs_configure(m->inputs) ||
	    rules_configure(m->rules, &m->cfg, m->registry, m->carrier) ||
	    (m->mark && attach_all(m)) || announce_reload(m->announce, &m->cfg)) {
		m->cfg = old;
		m->carrier = old_carrier;
		memcpy(m->interfaces, old_names, sizeof(old_names));
		m->n_interfaces = n_old;
		inputs_configure(m->inputs);
		rules_configure(m->rules, &m->cfg, m->registry, m->carrier);
		inputs_watch(m->inputs);
		marker_config_free(&next);
		log_msg(LOG_LEVEL_ERROR, "marker", "reload: back to the old configuration");
		return;
	}
	inputs_watch(m->inputs);
	for (size_t i = 0; m->mark && i < n_old; i++) {
		int kept = 0;

		for (size_t k = 0; k < m->n_interfaces; k++)
			kept |= !strcmp(old_names[i], m->interfaces[k]);
		if (!kept)
			mark_detach(m->mark, old_names[i]);
	}
	marker_config_free(&old);
	log_open((enum log_level)m->cfg.log_level, m->cfg.log_time);
	log_msg(LOG_LEVEL_INFO, "marker", "configuration read again");
}

static void turn(struct marker *m)
{
	int64_t now = clock_mono_ns();

	if (m->mark && now - m->beat_mono_ns >= BEAT_NS) {
		m->beat_mono_ns = now;
		mark_beat(m->mark);
		sd_notify(0, "WATCHDOG=1");
	}
	rules_tick(m->rules, now);
	if (inputs_tick(m->inputs, now)) {
		rules_configure(m->rules, &m->cfg, m->registry, m->carrier);
		inputs_watch(m->inputs);
	}
	announce_tick(m->announce);
	if (m->look_at_sockets || now - m->looked_mono_ns >= SOCKETS_S * NS_PER_S)
		look_at_sockets(m, now);
}

/* Returns the signal that ended it. */
static int loop(struct marker *m)
{
	for (;;) {
		struct signalfd_siginfo signal_info;
		struct pollfd fds[FDS_MAX];
		int control_fd[CONTROL_CLIENTS + 1];
		size_t n = 0, n_control = control_fds(m->control, control_fd), first_control;
		size_t first_input;
		uint64_t expirations;

		fds[n++] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
		fds[n++] = (struct pollfd){.fd = m->timer_fd, .events = POLLIN};
		fds[n++] = (struct pollfd){.fd = sockets_fd(m->sockets), .events = POLLIN};
		fds[n++] = (struct pollfd){.fd = m->pipe ? pipe_fd(m->pipe) : -1, .events = POLLIN};
		fds[n++] = (struct pollfd){.fd = announce_fd(m->announce), .events = POLLIN};
		first_control = n;
		for (size_t i = 0; i < n_control; i++)
			fds[n++] = (struct pollfd){.fd = control_fd[i], .events = POLLIN};
		first_input = n;
		n += inputs_fds(m->inputs, fds + n);
		if (poll(fds, n, inputs_timeout_ms(m->inputs)) < 0) {
			if (errno == EINTR)
				continue;
			return 0;
		}
		inputs_serve(m->inputs); /* first: an END says more than that a socket went */
		if (fds[2].revents && sockets_drain(m->sockets, socket_gone, m) == -ENOBUFS)
			m->look_at_sockets = 1;
		if (fds[3].revents)
			pipe_drain(m->pipe, m->registry, handle_event, m);
		if (fds[4].revents)
			announce_serve(m->announce);
		for (size_t i = first_control; i < first_input; i++)
			if (fds[i].revents)
				control_serve(m->control, fds[i].fd, answer, m);
		if (fds[1].revents && read(m->timer_fd, &expirations, sizeof(expirations)) > 0)
			turn(m);
		if (!fds[0].revents ||
		    read(m->signal_fd, &signal_info, sizeof(signal_info)) != sizeof(signal_info))
			continue;
		if (signal_info.ssi_signo != SIGHUP)
			return (int)signal_info.ssi_signo;
		reload(m);
	}
}

/* For scripts that know flowd-go's; the control socket already keeps a second marker away. */
static int write_pid(const char *path)
{
	FILE *out = fopen(path, "we");

	if (!out || fprintf(out, "%d\n", (int)getpid()) < 0 || fclose(out))
		return log_fail(-errno, "marker", "write %s", path);
	return 0;
}

static int run(struct marker *m)
{
	int err = open_all(m), ended_by = 0;

	if (!err && !m->cfg.dry_run && m->cfg.pid_path)
		err = write_pid(m->cfg.pid_path);
	if (!err && !m->cfg.dry_run) {
		log_msg(LOG_LEVEL_INFO, "marker", "scitag-marker %s: %zu interfaces, strategy %s%s",
			SCITAG_VERSION, m->n_interfaces, marker_strategy_name(m->carrier),
			m->adopted ? ", running marks taken over" : "");
		sd_notify(0, "READY=1");
		ended_by = loop(m);
		sd_notify(0, "STOPPING=1");
		if (m->cfg.pid_path)
			unlink(m->cfg.pid_path);
	}
	close_all(m, ended_by == SIGUSR2 || m->cfg.keep_on_stop || (err && m->adopted));
	return exit_code(err);
}

/* --- verbs ------------------------------------------------------------------------------------- */

static int clean(struct marker *m)
{
	int n = mark_clean(m->cfg.bpffs, m->cfg.dry_run);

	if (n < 0)
		return exit_code(log_fail(n, "marker", "clean"));
	printf("%d %s\n", n, m->cfg.dry_run ? "would be removed" : "removed");
	return EXIT_SUCCESS;
}

/* The verb and its words as one line to the daemon. */
static int ask(struct marker *m, int argc, char **argv)
{
	char line[CONTROL_LINE_BYTES] = "";
	size_t used = 0;
	int err;

	for (int i = 0; i < argc; i++)
		used += (size_t)snprintf(line + used, used < sizeof(line) ? sizeof(line) - used : 0,
					 "%s%s", i ? " " : "", argv[i]);
	if (!strcmp(argv[0], "status") && (m->cfg.json || m->cfg.prometheus))
		used += (size_t)snprintf(line + used, used < sizeof(line) ? sizeof(line) - used : 0,
					 " %s", m->cfg.json ? "json" : "prometheus");
	if (used >= sizeof(line) - 1) {
		fprintf(stderr, "scitag-marker: too many words\n");
		return EXIT_USAGE;
	}
	err = control_ask(m->cfg.control_path, line, stdout, stderr);
	if (err < 0)
		return exit_code(
			log_fail(err, "marker", "no marker answers at %s", m->cfg.control_path));
	return err ? EXIT_FAILED : EXIT_SUCCESS;
}

/* flowd's file on stdout as ours. */
static int convert(const char *path)
{
	FILE *in = strcmp(path, "-") ? fopen(path, "re") : stdin;
	int err;

	if (!in) {
		fprintf(stderr, "scitag-marker: %s: %s\n", path, strerror(errno));
		return EXIT_FAILED;
	}
	err = convert_flowd(in, path, stdout, stderr);
	fclose(in);
	return err ? EXIT_CONFIGURATION : EXIT_SUCCESS;
}

static int do_verb(struct marker *m, int argc, char **argv)
{
	const char *verb = argc ? argv[0] : "";

	if (!strcmp(verb, "marker") && argc == 2 &&
	    !strcmp(argv[1], "clean")) /* as flowd-go has it */
		verb = "clean";
	else if (!strcmp(verb, "status") && argc > 1)
		verb = "";
	if (!strcmp(verb, "run") && argc == 1)
		return run(m);
	if (!strcmp(verb, "convert") && argc == 2)
		return convert(argv[1]);
	if (!strcmp(verb, "conf") && argc == 1) { /* both as flowd-go has them */
		opt_dump(&marker_program, &m->cfg, stdout);
		return EXIT_SUCCESS;
	}
	if (!strcmp(verb, "version") && argc == 1) {
		printf("scitag-marker %s\n", SCITAG_VERSION);
		return EXIT_SUCCESS;
	}
	if (!strcmp(verb, "clean"))
		return clean(m);
	if (!strcmp(verb, "status") || !strcmp(verb, "mark") || !strcmp(verb, "unmark"))
		return ask(m, argc, argv);
	fprintf(stderr, "usage: scitag-marker %s\n", marker_program.synopsis);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct marker m = {.argc = argc, .argv = argv, .signal_fd = -1, .timer_fd = -1};
	int rest, err = marker_config_read(&m.cfg, argc, argv, &rest), code = EXIT_SUCCESS;

	if (m.cfg.help) {
		opt_help(&marker_program, stdout);
	} else if (m.cfg.version) {
		printf("scitag-marker %s\n", SCITAG_VERSION);
	} else if (m.cfg.man) {
		opt_man(&marker_program, stdout);
	} else if (m.cfg.completion) {
		opt_completion(&marker_program, stdout);
	} else if (err) {
		code = err == -E2BIG ? EXIT_USAGE : EXIT_CONFIGURATION;
	} else if (m.cfg.check) {
		fprintf(stderr, "configuration is good\n");
	} else if (m.cfg.dump) {
		opt_dump(&marker_program, &m.cfg, stdout);
	} else {
		log_open((enum log_level)m.cfg.log_level, m.cfg.log_time);
		code = do_verb(&m, argc - rest, argv + rest);
	}
	marker_config_free(&m.cfg);
	return code;
}
