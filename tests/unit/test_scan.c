/* The rules of the scan and of iperf3's ports, and the watch over connections: which get a START, with
 * which tag, and that each END carries its own flow's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/opt.h"
#include "marker/cgroup.h"
#include "marker/iperf.h"
#include "marker/rules.h"
#include "marker/scan.h"
#include "marker/watch.h"
#include "registry/registry.h"

static struct registry *registry;

static int open_registry(void **state)
{
	registry = registry_builtin();
	return registry ? 0 : -1;
}

static int close_registry(void **state)
{
	registry_free(registry);
	return 0;
}

static void configure(struct marker_config *cfg, const char *yaml)
{
	memset(cfg, 0, sizeof(*cfg));
	assert_int_equal(opt_defaults(&marker_program, cfg), 0);
	assert_int_equal(opt_read_text(&marker_program, cfg, "test", yaml, strlen(yaml), stderr),
			 0);
}

static struct socket_info connection(const char *dst, uint16_t src_port, uint16_t dst_port)
{
	struct socket_info info = {.key = {.src_port = src_port,
					   .dst_port = dst_port,
					   .protocol = IPPROTO_TCP,
					   .family = 6},
				   .state = 1};

	inet_pton(AF_INET6, "2001:db8:1::10", info.key.src_ip);
	assert_int_equal(inet_pton(AF_INET6, dst, info.key.dst_ip), 1);
	return info;
}

/* --- rules ----------------------------------------------------------------------------------------- */

static const char rules[] =
	"plugins:\n"
	"  scan:\n"
	"    rules:\n"
	"      - {localPorts: [1094, 20000-20002], remotePrefixes: ['2001:db8:2::/48', "
	"'2001:db8:3::1'],"
	" experiment: cms, activity: 14}\n"
	"      - {uid: 4711, experiment: 2, activity: 17, strategy: destination}\n"
	"      - {cgroup: no/such/group, experiment: 5, activity: 1}\n"
	"      - {localPorts: 443, experiment: 0, activity: 0}\n";

static void the_first_rule_that_matches_counts(void **state)
{
	static const struct {
		const char *dst;
		uint16_t src_port;
		uint32_t uid;
		int experiment; /* -1: none */
	} cases[] = {
		{"2001:db8:2::20", 1094, 0, 3},    {"2001:db8:2:ffff::1", 20002, 0, 3},
		{"2001:db8:3::1", 20000, 0, 3},    {"2001:db8:3::2", 20000, 0, -1},
		{"2001:db8:2::20", 1095, 0, -1},   {"2001:db8:2::20", 20003, 0, -1},
		{"2001:db8:2::20", 1095, 4711, 2}, {"2001:db8:2::20", 1094, 4711, 3},
		{"2001:db8:9::1", 443, 0, 0},
	};
	struct marker_config cfg;
	struct scan *s = NULL;

	configure(&cfg, rules);
	assert_int_equal(scan_open(&s, &cfg, registry), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct socket_info info = connection(cases[i].dst, cases[i].src_port, 40000);
		enum scitag_carrier carrier = CARRIER_NONE;
		struct scitag tag = {999, 99};
		int err;

		info.uid = cases[i].uid;
		err = scan_match(s, &info, &tag, &carrier);
		if (cases[i].experiment < 0 ? err != -ENOENT
					    : err || tag.experiment != cases[i].experiment)
			fail_msg("case %zu: %d, tag %u/%u", i, err, tag.experiment, tag.activity);
		if (tag.experiment == 2)
			assert_int_equal(carrier, CARRIER_DESTINATION);
	}
	scan_close(s);
	opt_free(&marker_program, &cfg);
}

static void wildcards_for_the_kernel_are_set_again_not_twice(void **state)
{
	const struct marker_rule *w;
	struct marker_config cfg;
	struct scan *s = NULL;

	configure(&cfg, rules);
	assert_int_equal(scan_open(&s, &cfg, registry), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(scan_set_wildcards(s, &cfg), 0);
		/* two ports by two prefixes, and the user; no cgroup that is not there, no tag 0/0 */
		assert_int_equal(cfg.rules.n, 5);
	}
	w = cfg.rules.items;
	assert_string_equal(w[0].src_port, "1094");
	assert_string_equal(w[0].dst, "2001:db8:2::/48");
	assert_string_equal(w[3].src_port, "20000-20002");
	assert_string_equal(w[3].dst, "2001:db8:3::1");
	assert_string_equal(w[4].uid, "4711");
	assert_string_equal(w[4].strategy, "destination");
	for (size_t i = 0; i < cfg.rules.n; i++)
		assert_false(rules_is_flow(&w[i]));
	scan_close(s);
	opt_free(&marker_program, &cfg);
}

static void a_tag_that_is_none_is_an_error(void **state)
{
	struct marker_config cfg;
	struct scan *s = NULL;

	configure(&cfg, "plugins:\n  scan:\n    rules:\n      - {experiment: cms, activity: 64}\n");
	assert_int_equal(scan_open(&s, &cfg, registry), -EINVAL);
	assert_null(s);
	opt_free(&marker_program, &cfg);
}

static void a_cgroup_that_comes_later_is_found(void **state)
{
	char root[CGROUP_PATH_BYTES], yaml[512], path[CGROUP_PATH_BYTES + 64],
		sub[sizeof(path) + 8];
	struct socket_info info = connection("2001:db8:2::20", 1, 2);
	enum scitag_carrier carrier;
	struct marker_config cfg;
	struct scan *s = NULL;
	struct scitag tag;

	if (cgroup_root(root, sizeof(root)) || geteuid()) {
		print_message("no cgroup2 file system, or not root\n");
		skip();
	}
	snprintf(yaml, sizeof(yaml),
		 "plugins:\n  scan:\n    rules:\n"
		 "      - {unit: test-scan-%d.service, experiment: 5, activity: 1}\n",
		 (int)getpid());
	snprintf(path, sizeof(path), "%s/test-scan-%d.service", root, (int)getpid());
	snprintf(sub, sizeof(sub), "%s/sub", path);
	configure(&cfg, yaml);
	assert_int_equal(scan_open(&s, &cfg, registry), 0);
	assert_int_equal(scan_refresh(s), 0);
	if (mkdir(path, 0755)) {
		print_message("the cgroup2 file system is read-only\n");
		scan_close(s);
		opt_free(&marker_program, &cfg);
		skip();
	}
	assert_int_equal(mkdir(sub, 0755), 0);
	assert_int_equal(scan_refresh(s), 1);
	assert_int_equal(scan_refresh(s), 0);
	assert_int_equal(scan_set_wildcards(s, &cfg), 0);
	assert_int_equal(cfg.rules.n, 1);
	info.cgroup_id = cgroup_id(path);
	assert_int_equal(scan_match(s, &info, &tag, &carrier), 0);
	info.cgroup_id = cgroup_id(sub); /* below counts too */
	assert_int_equal(scan_match(s, &info, &tag, &carrier), 0);
	info.cgroup_id = cgroup_id(root);
	assert_int_equal(scan_match(s, &info, &tag, &carrier), -ENOENT);
	info.cgroup_id = 0;
	assert_int_equal(scan_match(s, &info, &tag, &carrier), -ENOENT);
	rmdir(sub);
	rmdir(path);
	assert_int_equal(scan_refresh(s), 1);
	assert_int_equal(scan_set_wildcards(s, &cfg), 0);
	assert_int_equal(cfg.rules.n, 0);
	scan_close(s);
	opt_free(&marker_program, &cfg);
}

static void iperf_counts_ports_at_either_end(void **state)
{
	static const struct {
		const char *yaml;
		uint16_t src_port, dst_port;
		int matches;
	} cases[] = {
		{"{}", 1, 2, 1}, /* no limit at all: everything, as flowd-go has it */
		{"{minDestinationPort: 5201, maxDestinationPort: 5210}", 1, 5201, 1},
		{"{minDestinationPort: 5201, maxDestinationPort: 5210}", 1, 5210, 1},
		{"{minDestinationPort: 5201, maxDestinationPort: 5210}", 5205, 5211, 0},
		{"{minDestinationPort: 5201}", 1, 65535, 1},
		{"{minDestinationPort: 5201}", 1, 5200, 0},
		{"{maxSourcePort: 100}", 100, 9, 1},
		{"{maxSourcePort: 100}", 101, 9, 0},
		{"{minSourcePort: 5201, maxSourcePort: 5201, minDestinationPort: 5201, "
		 "maxDestinationPort: 5201}",
		 5201, 33000, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct socket_info info =
			connection("2001:db8:2::20", cases[i].src_port, cases[i].dst_port);
		struct marker_config cfg;
		struct iperf iperf;
		char yaml[256];

		snprintf(yaml, sizeof(yaml), "plugins:\n  iperf3: %s\n", cases[i].yaml);
		configure(&cfg, yaml);
		assert_int_equal(iperf_open(&iperf, &cfg, registry), 0);
		if (iperf_matches(&iperf, &info.key) != cases[i].matches)
			fail_msg("case %zu", i);
		info.key.protocol = IPPROTO_UDP;
		assert_false(iperf_matches(&iperf, &info.key));
		opt_free(&marker_program, &cfg);
	}
}

static void iperf_s_tags_in_turn_or_at_random(void **state)
{
	static const int turn[] = {2, 3, 0, 2, 3, 0};
	struct marker_config cfg;
	struct iperf iperf;
	int seen[3] = {0};

	configure(&cfg,
		  "plugins:\n  iperf3: {experimentIDs: [atlas, 3, 0], activityIDs: [17, 14, 0]}\n");
	assert_int_equal(iperf_open(&iperf, &cfg, registry), 0);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(iperf_next(&iperf).experiment, turn[i]);
	cfg.iperf_random = 1;
	for (int i = 0; i < 300; i++) {
		struct scitag tag = iperf_next(&iperf);

		seen[tag.experiment == 2 ? 0 : tag.experiment == 3 ? 1 : 2]++;
	}
	/* each is missing with a chance of (2/3)^300 */
	assert_true(seen[0] && seen[1] && seen[2]);
	opt_free(&marker_program, &cfg);
}

/* --- the watch --------------------------------------------------------------------------------------- */

struct events {
	size_t n;
	struct rules_flow_event list[64];
};

static void note(void *arg, const struct rules_flow_event *e)
{
	struct events *events = arg;

	if (events->n < 64)
		events->list[events->n] = *e;
	events->n++;
}

static void an_end_carries_the_tag_of_its_own_start(void **state)
{
	struct events events = {0};
	struct watch_options options = {.no_program = 1, .handle = note, .arg = &events};
	struct socket_info a = connection("2001:db8:2::20", 6000, 5201), b = a, c = a;
	struct watch_counters n;
	struct marker_config cfg;
	struct iperf iperf;
	struct watch *w = NULL;

	configure(&cfg, "plugins:\n  iperf3: {minDestinationPort: 5201, experimentIDs: [2, 3],"
			" activityIDs: [17, 14]}\n");
	assert_int_equal(iperf_open(&iperf, &cfg, registry), 0);
	options.iperf = &iperf;
	assert_int_equal(watch_open(&w, &options), 0);
	watch_closed(w, &a.key); /* the end before any start: flowd-go panics, flowd stumbles */
	assert_int_equal(events.n, 0);
	b.key.src_port = 6001;
	c.key.dst_port = 80;
	watch_opened(w, &a);
	watch_opened(w, &b);
	watch_opened(w, &a); /* seen again by a look */
	watch_opened(w, &c); /* not ours */
	assert_int_equal(events.n, 2);
	watch_closed(w, &b.key);
	watch_closed(w, &b.key);
	watch_closed(w, &a.key); /* flowd-go: the tag of the newest start, 3/14 */
	watch_closed(w, &c.key);
	assert_int_equal(events.n, 4);
	assert_int_equal(events.list[0].event, RULES_START);
	assert_int_equal(events.list[0].tag.experiment, 2);
	assert_int_equal(events.list[1].tag.experiment, 3);
	assert_int_equal(events.list[2].event, RULES_END);
	assert_int_equal(events.list[2].key.src_port, 6001);
	assert_int_equal(events.list[2].tag.experiment, 3);
	assert_int_equal(events.list[3].key.src_port, 6000);
	assert_int_equal(events.list[3].tag.experiment, 2);
	watch_count(w, &n);
	assert_int_equal(n.opened, n.started + n.unmatched + n.refused);
	assert_int_equal(n.started, 2);
	assert_int_equal(n.ended, 2);
	assert_int_equal(n.active, 0);
	watch_close(w);
	opt_free(&marker_program, &cfg);
}

static void a_full_table_refuses_and_forgets_nobody(void **state)
{
	struct events events = {0};
	struct watch_options options = {.no_program = 1, .handle = note, .arg = &events};
	struct socket_info info = connection("2001:db8:2::20", 1, 5201);
	struct watch_counters n;
	struct marker_config cfg;
	struct iperf iperf;
	struct watch *w = NULL;

	configure(&cfg, "plugins:\n  iperf3: {}\n");
	assert_int_equal(iperf_open(&iperf, &cfg, registry), 0);
	options.iperf = &iperf;
	assert_int_equal(watch_open(&w, &options), 0);
	for (uint32_t i = 0; i < WATCH_FLOWS_MAX + 10; i++) {
		memcpy(info.key.dst_ip + 12, &i, sizeof(i));
		watch_opened(w, &info);
	}
	watch_count(w, &n);
	assert_int_equal(n.active, WATCH_FLOWS_MAX);
	assert_int_equal(n.refused, 10);
	for (uint32_t i = 0; i < WATCH_FLOWS_MAX;
	     i++) { /* each is still there, and its place is free then */
		memcpy(info.key.dst_ip + 12, &i, sizeof(i));
		watch_closed(w, &info.key);
	}
	watch_opened(w, &info);
	watch_count(w, &n);
	assert_int_equal(n.ended, WATCH_FLOWS_MAX);
	assert_int_equal(n.active, 1);
	assert_int_equal(events.n, 2 * WATCH_FLOWS_MAX + 1);
	watch_close(w);
	opt_free(&marker_program, &cfg);
}

/* --- wildcards ---------------------------------------------------------------------------------------- */

static struct rules *open_rules(struct marker_config *cfg)
{
	struct rules *r = NULL;

	assert_int_equal(rules_open(&r, cfg, NULL, CARRIER_LABEL, NULL), 0);
	assert_int_equal(rules_configure(r, cfg, registry, CARRIER_LABEL), 0);
	return r;
}

static void a_wildcard_names_what_it_marks(void **state)
{
	static const struct {
		const char *dst;
		uint16_t dst_port;
		uint8_t protocol;
		uint32_t uid;
		int experiment; /* -1: none */
	} cases[] = {
		{"2001:db8:2::20", 443, 6, 0, 2},
		{"2001:db8:3::20", 443, 6, 0, 3},
		{"2001:db8:2::20", 444, 17, 0, 3},
		{"2001:db8:2::20", 444, 132, 4711, 5},
		{"2001:db8:2::20", 443, 6, 4711, 2},
		{"::ffff:192.0.2.7", 443, 6, 0, 3},
		{"::ffff:192.0.2.7", 443, 6, 4711, 5},
		{"ff02::1", 443, 17, 0, -1},
		{"fe80::1", 443, 6, 0, -1},
		{"::ffff:224.0.0.1", 443, 17, 0, -1},
		{"::ffff:169.254.1.1", 443, 6, 0, -1},
		{"2001:db8:2::20", 443, 58, 0, -1},
	};
	struct rules_flow_event own = {.event = RULES_START, .tag = {4, 1}};
	struct socket_info info;
	struct marker_config cfg;
	struct scitag tag;
	struct rules *r;

	configure(&cfg,
		  "backends:\n  marker:\n    matchAll: true\n    experiment: 3\n    activity: 14\n"
		  "    rules:\n"
		  "      - {dst: '2001:db8:2::/64', dstPort: 443, experiment: 2, activity: 17}\n"
		  "      - {uid: 4711, experiment: 5, activity: 1}\n"
		  "      - {protocol: tcp, src: '2001:db8:1::10', srcPort: 1001, dst: "
		  "'2001:db8:2::20', dstPort: 443, experiment: 6, activity: 1}\n");
	r = open_rules(&cfg);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		info = connection(cases[i].dst, 1000, cases[i].dst_port);
		info.key.protocol = cases[i].protocol;
		info.key.family = strchr(cases[i].dst, '.') ? 4 : 6;
		info.uid = cases[i].uid;
		tag.experiment = 99;
		assert_int_equal(rules_match(r, &info, &tag),
				 cases[i].experiment < 0 ? -ENOENT : 0);
		if (cases[i].experiment >= 0)
			assert_int_equal(tag.experiment, cases[i].experiment);
	}
	info = connection("2001:db8:2::20", 1000, 443); /* a flow of its own is no wildcard's */
	own.key = info.key;
	assert_int_equal(rules_handle(r, &own, 0, NULL), 0);
	assert_int_equal(rules_match(r, &info, &tag), -ENOENT);
	assert_true(rules_has(r, &info.key));
	info = connection("2001:db8:2::20", 1001,
			  443); /* a standing one stands for its connections */
	tag.experiment = 99;
	assert_int_equal(rules_match(r, &info, &tag), 0);
	assert_int_equal(tag.experiment, 6);
	assert_false(rules_has(r, &info.key));
	rules_close(r);
	opt_free(&marker_program, &cfg);
}

static void what_wildcards_mark_is_announced_up_to_a_limit(void **state)
{
	struct events events = {0};
	struct watch_options options = {.no_program = 1, .handle = note, .arg = &events};
	struct socket_info info = connection("2001:db8:2::20", 1, 443), v4, here;
	struct watch_counters n;
	struct marker_config cfg;
	struct watch *w = NULL;
	struct rules *r;

	configure(&cfg, "backends:\n  marker: {matchAll: true, experiment: 3, activity: 14}\n");
	r = open_rules(&cfg);
	options.wildcards = r;
	options.wildcards_max = 3;
	assert_int_equal(watch_open(&w, &options), 0);
	v4 = connection("::ffff:192.0.2.7", 1, 443);
	v4.key.family = 4;
	here = connection("::1", 1, 443);
	watch_opened(w, &v4); /* IPv4 is not wanted, nor what stays within this host */
	watch_opened(w, &here);
	for (uint16_t i = 1; i <= 5; i++) {
		info.key.src_port = i;
		watch_opened(w, &info);
	}
	assert_int_equal(events.n, 3);
	assert_true(events.list[0].announce_only);
	assert_true(events.list[0].opened);
	assert_int_equal(events.list[0].tag.experiment, 3);
	watch_count(w, &n);
	assert_int_equal(n.opened, n.started + n.unmatched + n.refused);
	assert_int_equal(n.unmatched, 2);
	assert_int_equal(n.refused, 2);
	assert_int_equal(n.wild, 3);
	info.key.src_port = 2;
	watch_closed(w, &info.key);
	info.key.src_port = 5;
	watch_opened(w, &info); /* there is room again */
	assert_int_equal(events.n, 5);
	assert_int_equal(events.list[3].event, RULES_END);
	assert_true(events.list[3].announce_only);
	assert_int_equal(events.list[4].key.src_port, 5);
	watch_close(w);
	options.ipv4 = options.loopback = 1;
	events.n = 0;
	assert_int_equal(watch_open(&w, &options), 0);
	watch_opened(w, &v4);
	watch_opened(w, &here);
	assert_int_equal(events.n, 2);
	watch_close(w);
	rules_close(r);
	opt_free(&marker_program, &cfg);
}

/* --- real connections, over loopback ------------------------------------------------------------------- */

#define CONNECTIONS 40

struct handler {
	struct sockets *sockets;
	size_t starts, ends, looked;
};

static void look_again(void *arg, const struct rules_flow_event *e)
{
	struct handler *h = arg;
	struct socket_info info;

	if (e->event == RULES_START)
		h->starts++;
	else
		h->ends++;
	h->looked += !sockets_look(h->sockets, &e->key, &info);
}

static int listen_on_loopback(uint16_t *port)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, CONNECTIONS), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin6_port);
	return fd;
}

/* Without the program, looks alone find what exists and what comes and goes; who handles the events
 * may ask the kernel about each. */
static void looks_find_connections_without_a_program(void **state)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct handler h = {0};
	struct watch_options options = {.no_program = 1, .handle = look_again, .arg = &h};
	int listener, fd[CONNECTIONS + 1];
	struct marker_config cfg;
	struct watch *w = NULL;
	struct iperf iperf;
	int64_t now = clock_mono_ns();
	uint16_t port;
	char yaml[128];

	assert_int_equal(sockets_open(&h.sockets), 0);
	listener = listen_on_loopback(&port);
	sa.sin6_port = htons(port);
	snprintf(yaml, sizeof(yaml),
		 "plugins:\n  iperf3: {minDestinationPort: %u, maxDestinationPort: %u}\n", port,
		 port);
	configure(&cfg, yaml);
	assert_int_equal(iperf_open(&iperf, &cfg, registry), 0);
	options.iperf = &iperf;
	options.sockets = h.sockets;
	for (int i = 0; i < CONNECTIONS; i++) {
		fd[i] = socket(AF_INET6, SOCK_STREAM, 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&sa, sizeof(sa)), 0);
	}
	assert_int_equal(watch_open(&w, &options), 0);
	assert_int_equal(h.starts, CONNECTIONS);
	assert_int_equal(h.looked, CONNECTIONS);
	fd[CONNECTIONS] = socket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[CONNECTIONS], (struct sockaddr *)&sa, sizeof(sa)), 0);
	watch_tick(w, now += 2 * NS_PER_S);
	assert_int_equal(h.starts, CONNECTIONS + 1);
	for (int i = 0; i <= CONNECTIONS; i++) { /* a reset: no state of theirs remains */
		struct linger reset = {1, 0};

		setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd[i]);
	}
	assert_int_equal(h.ends, 0);
	watch_tick(w, now += 2 * NS_PER_S);
	assert_int_equal(h.ends, CONNECTIONS + 1);
	assert_int_equal(h.starts, CONNECTIONS + 1);
	close(listener);
	watch_close(w);
	sockets_close(h.sockets);
	opt_free(&marker_program, &cfg);
}

static void note_change(void *arg, const struct rules_flow_event *e)
{
	struct events *events = arg;

	assert_true(events->n < 64);
	events->list[events->n++] = *e;
}

/* Rules that were read anew: what they name otherwise ends and begins again, over both families, and
 * what they name as before does not notice. */
static void known_connections_follow_their_rules(void **state)
{
	static const struct {
		const char *experiment;
		uint16_t other_port; /* 0: that of the connections */
	} texts[] = {{"3", 0}, {"5", 0}, {"5", 1}};
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6}, self;
	struct sockaddr_in self4 = {.sin_family = AF_INET};
	socklen_t len = sizeof(self);
	struct events events = {0};
	struct watch_options options = {
		.no_program = 1, .ipv4 = 1, .handle = note_change, .arg = &events};
	int listener = socket(AF_INET6, SOCK_STREAM, 0), fd[3];
	struct marker_config cfg[3];
	struct scan *scan[3];
	struct watch *w = NULL;
	char yaml[512];

	assert_int_equal(sockets_open(&options.sockets), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0); /* both families */
	assert_int_equal(listen(listener, 3), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&self, &len), 0);
	for (int i = 0; i < 2; i++) {
		fd[i] = socket(AF_INET6, SOCK_STREAM, 0);
		inet_pton(AF_INET6, i ? "::ffff:127.0.0.1" : "::1", &self.sin6_addr);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&self, sizeof(self)), 0);
	}
	self4.sin_port = self.sin6_port;
	self4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd[2] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[2], (struct sockaddr *)&self4, sizeof(self4)), 0);
	for (int i = 0; i < 3; i++) {
		snprintf(yaml, sizeof(yaml),
			 "plugins:\n  scan:\n    rules:\n"
			 "      - {remotePrefixes: ['::1/128'], localPorts: %u, experiment: %s, "
			 "activity: 1}\n"
			 "      - {remotePrefixes: ['::/0'], localPorts: %u, experiment: 2, "
			 "activity: 17}\n",
			 texts[i].other_port ?: ntohs(self.sin6_port), texts[i].experiment,
			 texts[i].other_port ?: ntohs(self.sin6_port));
		configure(&cfg[i], yaml);
		assert_int_equal(scan_open(&scan[i], &cfg[i], registry), 0);
	}
	options.scan = scan[0];
	assert_int_equal(watch_open(&w, &options), 0);
	assert_int_equal(events.n, 3);
	for (int i = 0; i < 3; i++) {
		struct socket_info info = {.uid = UINT32_MAX};

		assert_false(events.list[i].opened); /* they were there */
		assert_int_equal(events.list[i].tag.experiment,
				 events.list[i].key.family == 4 ? 2 : 3);
		/* each is found by its five-tuple, IPv4 in a socket of either family */
		assert_int_equal(sockets_look(options.sockets, &events.list[i].key, &info), 0);
		assert_int_equal(info.uid, getuid());
		assert_int_equal(info.state, 1);
	}
	options.scan = scan[1];
	watch_set(w, &options);
	assert_int_equal(events.n, 5);
	assert_int_equal(events.list[3].event, RULES_END);
	assert_int_equal(events.list[3].tag.experiment, 3);
	assert_int_equal(events.list[4].event, RULES_START);
	assert_int_equal(events.list[4].tag.experiment, 5);
	assert_memory_equal(&events.list[4].key, &events.list[3].key, sizeof(struct flow_key));
	options.scan = scan[2];
	watch_set(w, &options);
	assert_int_equal(events.n, 8); /* none wants them any more */
	for (int i = 5; i < 8; i++)
		assert_int_equal(events.list[i].event, RULES_END);
	watch_close(w);
	for (int i = 0; i < 3; i++) {
		scan_close(scan[i]);
		opt_free(&marker_program, &cfg[i]);
	}
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close(listener);
	sockets_close(options.sockets);
}

static void connected_udp_is_found_by_its_five_tuple(void **state)
{
	static const char *const addresses[] = {"::1", "::ffff:127.0.0.1"};
	struct sockets *sockets = NULL;

	assert_int_equal(sockets_open(&sockets), 0);
	for (int i = 0; i < 2; i++) {
		int listener = socket(AF_INET6, SOCK_DGRAM, 0),
		    fd = socket(AF_INET6, SOCK_DGRAM, 0);
		struct sockaddr_in6 sa = {.sin6_family = AF_INET6}, self;
		struct flow_key key = {.protocol = IPPROTO_UDP, .family = i ? 4 : 6};
		socklen_t len = sizeof(sa);
		struct socket_info info;

		assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
		assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
		inet_pton(AF_INET6, addresses[i], &sa.sin6_addr);
		assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
		len = sizeof(self);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &len), 0);
		memcpy(key.src_ip, &self.sin6_addr, 16);
		memcpy(key.dst_ip, &sa.sin6_addr, 16);
		key.src_port = ntohs(self.sin6_port);
		key.dst_port = ntohs(sa.sin6_port);
		assert_int_equal(sockets_look(sockets, &key, &info), 0);
		assert_int_equal(info.uid, getuid());
		key.dst_port ^= 1;
		assert_int_equal(sockets_look(sockets, &key, &info), -ENOENT);
		close(fd);
		close(listener);
	}
	sockets_close(sockets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_rule_that_matches_counts),
		cmocka_unit_test(wildcards_for_the_kernel_are_set_again_not_twice),
		cmocka_unit_test(a_tag_that_is_none_is_an_error),
		cmocka_unit_test(a_cgroup_that_comes_later_is_found),
		cmocka_unit_test(iperf_counts_ports_at_either_end),
		cmocka_unit_test(iperf_s_tags_in_turn_or_at_random),
		cmocka_unit_test(an_end_carries_the_tag_of_its_own_start),
		cmocka_unit_test(a_full_table_refuses_and_forgets_nobody),
		cmocka_unit_test(a_wildcard_names_what_it_marks),
		cmocka_unit_test(what_wildcards_mark_is_announced_up_to_a_limit),
		cmocka_unit_test(known_connections_follow_their_rules),
		cmocka_unit_test(connected_udp_is_found_by_its_five_tuple),
		cmocka_unit_test(looks_find_connections_without_a_program),
	};

	return cmocka_run_group_tests(tests, open_registry, close_registry);
}
