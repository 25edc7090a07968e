#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/api.h"
#include "marker/inputs.h"
#include "marker/metrics.h"

enum { DOOR_API, DOOR_API_UNIX, DOOR_EXPORTER, DOOR_EXPORTER_2, DOORS };

#define REFRESH_S 1 /* between looks for units and cgroups */

struct inputs {
	struct inputs_options options;
	struct api_door api;
	struct http *doors[DOORS];
	struct iperf iperf;
	struct scan *scan;
	struct watch *watch; /* NULL: nothing is watched, or not yet */
	int64_t refreshed_mono_ns;
};

/* --- rules ------------------------------------------------------------------------------------- */

static void watched(void *arg, const struct rules_flow_event *e)
{
	struct inputs *in = arg;
	enum rules_refusal why;

	in->options.handle(in->options.arg, e, &why);
}

static int marks_loopback(const struct marker_config *cfg)
{
	int found = 0;

	for (size_t i = 0; i < cfg->interfaces.n && !cfg->discover_interfaces; i++)
		found |= !strcmp(cfg->interfaces.items[i], "lo");
	return found;
}

int inputs_watch(struct inputs *in)
{
	const struct marker_config *cfg = in->options.cfg;
	const int announced = cfg->firefly || (cfg->exporter && cfg->exporter_flows_max);
	const int wild = announced && cfg->wildcard_flows && (cfg->rules.n || cfg->match_all);
	const struct watch_options options = {
		.iperf = cfg->iperf ? &in->iperf : NULL,
		.scan = in->scan,
		.wildcards = wild ? in->options.rules : NULL,
		.wildcards_max = (size_t)cfg->wildcard_flows,
		.loopback = marks_loopback(cfg),
		.ipv4 = announced,
		.sockets = in->options.sockets,
		.cgroup = cfg->iperf ? cfg->iperf_cgroup : NULL,
		.handle = watched,
		.arg = in,
	};

	if (in->watch)
		watch_set(in->watch, &options);
	else if (options.iperf || options.scan || options.wildcards)
		return watch_open(&in->watch, &options);
	return 0;
}

void inputs_gone(struct inputs *in, const struct flow_key *key)
{
	if (in->watch)
		watch_gone(in->watch, key);
}

int inputs_configure(struct inputs *in)
{
	struct marker_config *cfg = in->options.cfg;
	struct iperf iperf = {0};
	struct scan *scan = NULL;
	int err = 0;

	if (cfg->iperf)
		err = iperf_open(&iperf, cfg, in->options.registry);
	if (!err && cfg->scan)
		err = scan_open(&scan, cfg, in->options.registry);
	if (!err && scan)
		err = scan_set_wildcards(scan, cfg);
	if (err) {
		scan_close(scan);
		return err;
	}
	in->iperf = iperf;
	scan_close(in->scan);
	in->scan = scan;
	return 0;
}

static int same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

int inputs_may_change(const struct marker_config *old, const struct marker_config *next)
{
	return old->api == next->api && old->api_port == next->api_port &&
	       same_text(old->api_address, next->api_address) &&
	       same_text(old->api_socket, next->api_socket) && old->exporter == next->exporter &&
	       same_text(old->exporter_address, next->exporter_address) &&
	       old->exporter_netlink_port == next->exporter_netlink_port &&
	       old->exporter_skops_port == next->exporter_skops_port;
}

int inputs_open(struct inputs **out, const struct inputs_options *options)
{
	struct inputs *in = calloc(1, sizeof(*in));
	int err;

	if (!in)
		return log_fail(-ENOMEM, "inputs", "open");
	in->options = *options;
	err = inputs_configure(in);
	if (err) {
		inputs_close(in);
		return err;
	}
	*out = in;
	return 0;
}

void inputs_close(struct inputs *in)
{
	if (!in)
		return;
	for (size_t i = 0; i < DOORS; i++)
		http_close(in->doors[i]);
	watch_close(in->watch);
	scan_close(in->scan);
	free(in);
}

/* --- doors ------------------------------------------------------------------------------------- */

static void answer_metrics(void *arg, const struct http_request *request,
			   struct http_answer *answer)
{
	struct inputs *in = arg;
	const struct marker_config *cfg = in->options.cfg;
	FILE *out;

	if (strcmp(request->path, "/metrics")) {
		answer->status = 404;
		return;
	}
	if (strcmp(request->method, "GET") && strcmp(request->method, "HEAD")) {
		answer->status = 405;
		answer->allow = "GET";
		return;
	}
	out = open_memstream(&answer->body, &answer->len_bytes);
	if (!out)
		return;
	in->options.metrics(in->options.arg, out);
	if (cfg->exporter_flows_max)
		metrics_write_flows(in->options.flows, in->options.arg,
				    (size_t)cfg->exporter_flows_max, out);
	fclose(out);
	answer->status = 200;
	answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
	if (cfg->exporter_log)
		log_msg(LOG_LEVEL_DEBUG, "metrics", "asked for: %zu bytes", answer->len_bytes);
}

static int open_door(struct inputs *in, int door, const char *address, int64_t port,
		     const char *unix_path)
{
	struct http_config config = {.address = address,
				     .port = (uint16_t)port,
				     .unix_path = unix_path,
				     .hosts = &in->options.cfg->api_hosts,
				     .answer = flow_api_answer,
				     .arg = &in->api};

	if (door >= DOOR_EXPORTER) {
		config.answer = answer_metrics;
		config.any_host = 1; /* scraped under whatever name */
		config.arg = in;
	}
	return http_open(&in->doors[door], &config);
}

int inputs_start(struct inputs *in)
{
	const struct inputs_options *o = &in->options;
	const struct marker_config *cfg = o->cfg;
	int err = 0;

	in->api = (struct api_door){o->registry, cfg->api_dummy, o->handle, o->arg};
	if (cfg->api && cfg->api_port)
		err = open_door(in, DOOR_API, cfg->api_address, cfg->api_port, NULL);
	if (!err && cfg->api && cfg->api_socket)
		err = open_door(in, DOOR_API_UNIX, NULL, 0, cfg->api_socket);
	if (!err && cfg->exporter && cfg->exporter_netlink_port)
		err = open_door(in, DOOR_EXPORTER, cfg->exporter_address,
				cfg->exporter_netlink_port, NULL);
	if (!err && cfg->exporter && cfg->exporter_skops_port &&
	    cfg->exporter_skops_port != cfg->exporter_netlink_port)
		err = open_door(in, DOOR_EXPORTER_2, cfg->exporter_address,
				cfg->exporter_skops_port, NULL);
	return err ? err : inputs_watch(in);
}

/* --- the loop ---------------------------------------------------------------------------------- */

size_t inputs_fds(const struct inputs *in, struct pollfd *fds)
{
	size_t n = 0;

	for (size_t i = 0; i < DOORS; i++)
		if (in->doors[i])
			fds[n++] = (struct pollfd){.fd = http_fd(in->doors[i]), .events = POLLIN};
	if (in->watch && watch_fd(in->watch) >= 0)
		fds[n++] = (struct pollfd){.fd = watch_fd(in->watch), .events = POLLIN};
	return n;
}

int inputs_timeout_ms(const struct inputs *in)
{
	int least = -1;

	for (size_t i = 0; i < DOORS; i++) {
		int ms = in->doors[i] ? http_timeout_ms(in->doors[i]) : -1;

		if (ms >= 0 && (least < 0 || ms < least))
			least = ms;
	}
	return least;
}

void inputs_serve(struct inputs *in)
{
	for (size_t i = 0; i < DOORS; i++)
		if (in->doors[i])
			http_run(in->doors[i]);
	if (in->watch)
		watch_drain(in->watch);
}

int inputs_tick(struct inputs *in, int64_t now_mono_ns)
{
	if (in->watch)
		watch_tick(in->watch, now_mono_ns);
	if (!in->scan || now_mono_ns - in->refreshed_mono_ns < REFRESH_S * NS_PER_S)
		return 0;
	in->refreshed_mono_ns = now_mono_ns;
	return scan_refresh(in->scan) && !scan_set_wildcards(in->scan, in->options.cfg);
}

/* --- counts ------------------------------------------------------------------------------------ */

static void add_http(struct http_counters *sum, const struct http *h)
{
	struct http_counters one;

	if (!h)
		return;
	http_count(h, &one);
	sum->received += one.received;
	sum->refused += one.refused;
}

void inputs_count(const struct inputs *in, struct inputs_counters *out)
{
	memset(out, 0, sizeof(*out));
	add_http(&out->api, in->doors[DOOR_API]);
	add_http(&out->api, in->doors[DOOR_API_UNIX]);
	add_http(&out->exporter, in->doors[DOOR_EXPORTER]);
	add_http(&out->exporter, in->doors[DOOR_EXPORTER_2]);
	if (in->watch)
		watch_count(in->watch, &out->watch);
}

static void write_one(FILE *out, const char *name, const char *type, const char *help,
		      uint64_t value)
{
	fprintf(out,
		"# HELP scitag_marker_%s %s\n# TYPE scitag_marker_%s %s\n"
		"scitag_marker_%s %" PRIu64 "\n",
		name, help, name, type, name, value);
}

void inputs_write_metrics(const struct inputs *in, FILE *out)
{
	struct inputs_counters c;

	inputs_count(in, &c);
	write_one(out, "api_requests_total", "counter", "Requests to the API.", c.api.received);
	write_one(out, "api_requests_refused_total", "counter",
		  "Of them answered with a status of 400 and above.", c.api.refused);
	write_one(out, "watched_flows", "gauge",
		  "Connections under iperf3, the scan's rules or wildcards.", c.watch.active);
	write_one(out, "wildcard_flows", "gauge", "Of them, announced because of a wildcard.",
		  c.watch.wild);
	write_one(out, "wildcard_flows_left_out", "gauge",
		  "Connections under wildcards beyond wildcardFlows, which are not announced.",
		  c.watch.left_out);
	write_one(out, "watched_flows_started_total", "counter", "Such connections that were seen.",
		  c.watch.started);
	write_one(out, "watched_flows_refused_total", "counter",
		  "Such connections that found no room.", c.watch.refused);
	write_one(out, "watched_events_lost_total", "counter",
		  "Openings and closings that were told too fast; a look at all sockets follows.",
		  c.watch.lost);
}
