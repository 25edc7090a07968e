#include <arpa/inet.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "marker/event.h"
#include "marker/nic.h"
#include "marker/status.h"

static json_t *count_json(const struct mark_count *c)
{
	return json_pack("{sI sI}", "packets", (json_int_t)c->packets, "bytes",
			 (json_int_t)c->bytes);
}

/* "marked" and, by reason, "unmarked"; reasons that did not occur are left out of a flow's. */
static json_t *counts_json(const struct mark_count counts[MARK_RESULT_COUNT], int all)
{
	json_t *unmarked = json_object(), *o = json_object();

	for (int r = MARK_DONE + 1; r < MARK_RESULT_COUNT; r++)
		if (all || counts[r].packets)
			json_object_set_new(unmarked, mark_result_name((enum mark_result)r),
					    count_json(&counts[r]));
	json_object_set_new(o, "marked", count_json(&counts[MARK_DONE]));
	json_object_set_new(o, "unmarked", unmarked);
	return o;
}

struct flow_list {
	const struct status_source *s;
	json_t *flows;
	FILE *out;
};

static void put_tag(json_t *o, const struct registry *reg, unsigned int experiment,
		    unsigned int activity)
{
	const char *e = registry_experiment_name(reg, experiment);
	const char *a = registry_activity_name(reg, experiment, activity);

	json_object_set_new(o, "experiment_id", json_integer(experiment));
	json_object_set_new(o, "activity_id", json_integer(activity));
	json_object_set_new(o, "experiment", e ? json_string(e) : json_null());
	json_object_set_new(o, "activity", a ? json_string(a) : json_null());
}

static void add_flow(void *arg, const struct flow_key *key, const struct scitag *tag,
		     enum scitag_carrier carrier, int ending)
{
	struct flow_list *list = arg;
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	struct mark_flow flow = {0};
	json_t *o;

	if (list->s->mark && mark_get(list->s->mark, key, &flow))
		memset(&flow, 0, sizeof(flow));
	inet_ntop(AF_INET6, key->src_ip, src, sizeof(src));
	inet_ntop(AF_INET6, key->dst_ip, dst, sizeof(dst));
	o = counts_json(flow.counts, 0);
	put_tag(o, list->s->registry, tag->experiment, tag->activity);
	json_object_set_new(o, "src", json_string(src));
	json_object_set_new(o, "src_port", json_integer(key->src_port));
	json_object_set_new(o, "dst", json_string(dst));
	json_object_set_new(o, "dst_port", json_integer(key->dst_port));
	json_object_set_new(o, "protocol", json_integer(key->protocol));
	json_object_set_new(o, "strategy", json_string(marker_strategy_name(carrier)));
	json_object_set_new(o, "label", json_integer(flow.tag.label));
	json_object_set_new(o, "ending", json_boolean(ending));
	json_array_append_new(list->flows, o);
}

static json_t *interfaces_json(const struct status_source *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n_interfaces; i++) {
		char attached[32] = "";
		struct nic nic;

		if (nic_look(&nic, s->interfaces[i]))
			memset(&nic, 0, sizeof(nic));
		if (s->mark)
			mark_describe(s->mark, s->interfaces[i], attached, sizeof(attached));
		json_array_append_new(list,
				      json_pack("{ss ss sI sb sb ss}", "name", s->interfaces[i],
						"attached", attached, "mtu", (json_int_t)nic.mtu,
						"segments", nic.segments, "segments_options",
						nic.segments_options, "driver", nic.driver));
	}
	return list;
}

static json_t *events_json(const struct status_source *s)
{
	struct rules_counters c;
	struct pipe_counters p = {0};
	struct inputs_counters in;
	json_t *refused = json_object(), *o;

	rules_count(s->rules, &c);
	if (s->pipe)
		pipe_count(s->pipe, &p);
	for (int i = 0; i < RULES_REFUSAL_COUNT; i++)
		json_object_set_new(refused, rules_refusal_name((enum rules_refusal)i),
				    json_integer((json_int_t)c.refused[i]));
	inputs_count(s->inputs, &in);
	o = json_pack("{sI sI sI sI so sI sI}", "received", (json_int_t)c.received, "started",
		      (json_int_t)c.started, "renewed", (json_int_t)c.renewed, "ended",
		      (json_int_t)c.ended, "refused", refused, "gone", (json_int_t)c.gone, "idle",
		      (json_int_t)c.idle);
	json_object_set_new(o, "pipe",
			    json_pack("{sI sI sI}", "received", (json_int_t)p.received, "accepted",
				      (json_int_t)p.accepted, "refused", (json_int_t)p.refused));
	json_object_set_new(o, "api",
			    json_pack("{sI sI}", "requests", (json_int_t)in.api.received, "refused",
				      (json_int_t)in.api.refused));
	json_object_set_new(
		o, "watch",
		json_pack("{sI sI sI sI sI sI sI}", "active", (json_int_t)in.watch.active,
			  "started", (json_int_t)in.watch.started, "ended",
			  (json_int_t)in.watch.ended, "refused", (json_int_t)in.watch.refused,
			  "lost", (json_int_t)in.watch.lost, "under_wildcards",
			  (json_int_t)in.watch.wild, "left_out", (json_int_t)in.watch.left_out));
	return o;
}

static json_t *target_json(const struct sender_counters *t)
{
	json_t *failed = json_object();

	for (int i = 0; i < SENDER_FAILURE_COUNT; i++)
		json_object_set_new(failed, sender_failure_name((enum sender_failure)i),
				    json_integer((json_int_t)t->failed[i]));
	return json_pack("{ss sI sI so}", "name", t->name, "sent", (json_int_t)t->sent, "skipped",
			 (json_int_t)t->skipped, "failed", failed);
}

static json_t *relay_json(const struct relay_counters *r)
{
	json_t *rejected = json_object();

	for (int i = FIREFLY_OK + 1; i < FIREFLY_VERDICT_COUNT; i++)
		json_object_set_new(rejected, firefly_verdict_name((enum firefly_verdict)i),
				    json_integer((json_int_t)r->rejected[i]));
	return json_pack("{sI sI so sI sI sI}", "received", (json_int_t)r->received, "relayed",
			 (json_int_t)r->relayed, "rejected", rejected, "repeated",
			 (json_int_t)r->repeated, "paced", (json_int_t)r->paced, "foreign",
			 (json_int_t)r->foreign);
}

static json_t *fireflies_json(const struct announce *a)
{
	struct announce_counters c;
	json_t *targets = json_array(), *o;

	announce_count(a, &c);
	for (size_t i = 0; i < c.n_targets; i++)
		json_array_append_new(targets, target_json(&c.targets[i]));
	o = json_pack("{sI sI sI sI sI sI sI sI sI s{sI sI sI} so}", "received",
		      (json_int_t)c.emitter.received, "started", (json_int_t)c.emitter.started,
		      "renewed", (json_int_t)c.emitter.renewed, "ended",
		      (json_int_t)c.emitter.ended, "full", (json_int_t)c.emitter.full,
		      "unknown_flow", (json_int_t)c.emitter.unknown, "gone",
		      (json_int_t)c.emitter.gone, "active", (json_int_t)c.emitter.active, "due",
		      (json_int_t)c.emitter.due, "emitted", "start",
		      (json_int_t)c.emitter.emitted[FIREFLY_START], "ongoing",
		      (json_int_t)c.emitter.emitted[FIREFLY_ONGOING], "end",
		      (json_int_t)c.emitter.emitted[FIREFLY_END], "targets", targets);
	json_object_set_new(o, "relay", c.relays ? relay_json(&c.relay) : json_null());
	return o;
}

static json_t *status_json(const struct status_source *s)
{
	struct mark_count totals[MARK_RESULT_COUNT] = {{0, 0}};
	struct rules_counters c;
	struct flow_list list = {.s = s, .flows = json_array()};
	json_t *rules = json_array(), *o;
	char started[32];

	rules_count(s->rules, &c);
	if (s->mark)
		mark_totals(s->mark, totals);
	rules_each(s->rules, add_flow, &list);
	for (size_t i = 0; s->mark && i < c.wildcards; i++) {
		struct mark_rule rule;
		struct scitag tag;
		json_t *one;

		if (mark_get_rule(s->mark, i, &rule))
			continue;
		tag = scitag_label_decode(rule.tag.label);
		one = counts_json(rule.counts, 0);
		put_tag(one, s->registry, tag.experiment, tag.activity);
		json_object_set_new(
			one, "strategy",
			json_string(marker_strategy_name((enum scitag_carrier)rule.tag.carrier)));
		json_array_append_new(rules, one);
	}
	o = counts_json(totals, 1);
	json_object_set_new(o, "version", json_string(SCITAG_VERSION));
	json_object_set_new(
		o, "started_utc",
		json_string(clock_format_utc(started, sizeof(started), s->started_utc_us, 0)));
	json_object_set_new(o, "strategy", json_string(marker_strategy_name(s->carrier)));
	json_object_set_new(o, "mode", json_string(s->mark ? "bpf" : "socket"));
	json_object_set_new(o, "adopted", json_boolean(s->adopted));
	json_object_set_new(o, "interfaces", interfaces_json(s));
	json_object_set_new(o, "events", events_json(s));
	json_object_set_new(o, "fireflies",
			    s->announce ? fireflies_json(s->announce) : json_null());
	json_object_set_new(o, "rules", rules);
	json_object_set_new(o, "flows", list.flows);
	return o;
}

static void print_flow(void *arg, const struct flow_key *key, const struct scitag *tag,
		       enum scitag_carrier carrier, int ending)
{
	struct flow_list *list = arg;
	struct mark_flow flow = {0};
	char text[128];

	if (list->s->mark && mark_get(list->s->mark, key, &flow))
		memset(&flow, 0, sizeof(flow));
	fprintf(list->out, "%s  %u/%u %s  %llu packets, %llu bytes%s",
		event_format_key(text, sizeof(text), key), tag->experiment, tag->activity,
		marker_strategy_name(carrier), flow.counts[MARK_DONE].packets,
		flow.counts[MARK_DONE].bytes, ending ? ", ending" : "");
	for (int r = MARK_DONE + 1; r < MARK_RESULT_COUNT; r++)
		if (flow.counts[r].packets)
			fprintf(list->out, ", unmarked %llu (%s)", flow.counts[r].packets,
				mark_result_name((enum mark_result)r));
	fputc('\n', list->out);
}

static void print_fireflies(const struct announce *a, FILE *out)
{
	struct announce_counters c;

	announce_count(a, &c);
	if (c.emits)
		fprintf(out,
			"announcing %zu flows: %" PRIu64 " start, %" PRIu64 " ongoing, %" PRIu64
			" end\n",
			c.emitter.active, c.emitter.emitted[FIREFLY_START],
			c.emitter.emitted[FIREFLY_ONGOING], c.emitter.emitted[FIREFLY_END]);
	if (c.relays)
		fprintf(out, "relayed %" PRIu64 " of %" PRIu64 " fireflies\n", c.relay.relayed,
			c.relay.received);
	for (size_t i = 0; i < c.n_targets; i++) {
		const struct sender_counters *t = &c.targets[i];

		fprintf(out, "to %s: %" PRIu64, t->name, t->sent);
		for (int f = 0; f < SENDER_FAILURE_COUNT; f++)
			if (t->failed[f])
				fprintf(out, ", failed %" PRIu64 " (%s)", t->failed[f],
					sender_failure_name((enum sender_failure)f));
		fputc('\n', out);
	}
}

static void write_text(const struct status_source *s, FILE *out)
{
	struct mark_count totals[MARK_RESULT_COUNT] = {{0, 0}};
	struct flow_list list = {.s = s, .out = out};
	struct inputs_counters in;
	struct rules_counters c;
	char text[64];

	rules_count(s->rules, &c);
	if (s->mark)
		mark_totals(s->mark, totals);
	fprintf(out, "scitag-marker %s since %s, strategy %s%s\n", SCITAG_VERSION,
		clock_format_utc(text, sizeof(text), s->started_utc_us, 0),
		marker_strategy_name(s->carrier), s->adopted ? ", took over running marks" : "");
	for (size_t i = 0; i < s->n_interfaces; i++) {
		text[0] = 0;
		if (s->mark)
			mark_describe(s->mark, s->interfaces[i], text, sizeof(text));
		fprintf(out, "%s: %s\n", s->interfaces[i], text[0] ? text : "nothing attached");
	}
	fprintf(out, "%zu flows, %zu wildcards; marked %llu packets, %llu bytes\n", c.active,
		c.wildcards, totals[MARK_DONE].packets, totals[MARK_DONE].bytes);
	for (int r = MARK_DONE + 1; r < MARK_RESULT_COUNT; r++)
		if (totals[r].packets)
			fprintf(out, "unmarked, %s: %llu packets, %llu bytes\n",
				mark_result_name((enum mark_result)r), totals[r].packets,
				totals[r].bytes);
	if (s->announce)
		print_fireflies(s->announce, out);
	inputs_count(s->inputs, &in);
	if (in.watch.left_out)
		fprintf(out, "%zu connections under wildcards are not announced: wildcardFlows\n",
			in.watch.left_out);
	rules_each(s->rules, print_flow, &list);
}

static void write_target_prometheus(const struct sender_counters *t, FILE *out)
{
	fprintf(out,
		"scitag_marker_fireflies_sent_total{target=\"%s\",result=\"sent\"} %" PRIu64 "\n"
		"scitag_marker_fireflies_sent_total{target=\"%s\",result=\"skipped\"} %" PRIu64
		"\n",
		t->name, t->sent, t->name, t->skipped);
	for (int i = 0; i < SENDER_FAILURE_COUNT; i++)
		fprintf(out,
			"scitag_marker_fireflies_sent_total{target=\"%s\",result=\"%s\"} %" PRIu64
			"\n",
			t->name, sender_failure_name((enum sender_failure)i), t->failed[i]);
}

static void write_fireflies_prometheus(const struct announce *a, FILE *out)
{
	struct announce_counters c;

	announce_count(a, &c);
	fprintf(out,
		"# HELP scitag_marker_fireflies_total Fireflies of our own flows, by state.\n"
		"# TYPE scitag_marker_fireflies_total counter\n"
		"scitag_marker_fireflies_total{state=\"start\"} %" PRIu64 "\n"
		"scitag_marker_fireflies_total{state=\"ongoing\"} %" PRIu64 "\n"
		"scitag_marker_fireflies_total{state=\"end\"} %" PRIu64 "\n"
		"# HELP scitag_marker_fireflies_relayed_total Fireflies of local programs, by what "
		"became of them.\n# TYPE scitag_marker_fireflies_relayed_total counter\n"
		"scitag_marker_fireflies_relayed_total{result=\"relayed\"} %" PRIu64 "\n"
		"scitag_marker_fireflies_relayed_total{result=\"repeated\"} %" PRIu64 "\n"
		"scitag_marker_fireflies_relayed_total{result=\"paced\"} %" PRIu64 "\n",
		c.emitter.emitted[FIREFLY_START], c.emitter.emitted[FIREFLY_ONGOING],
		c.emitter.emitted[FIREFLY_END], c.relay.relayed, c.relay.repeated, c.relay.paced);
	for (int i = FIREFLY_OK + 1; i < FIREFLY_VERDICT_COUNT; i++)
		fprintf(out, "scitag_marker_fireflies_relayed_total{result=\"%s\"} %" PRIu64 "\n",
			firefly_verdict_name((enum firefly_verdict)i), c.relay.rejected[i]);
	fprintf(out, "# HELP scitag_marker_fireflies_sent_total Datagrams, by target.\n"
		     "# TYPE scitag_marker_fireflies_sent_total counter\n");
	for (size_t i = 0; i < c.n_targets; i++)
		write_target_prometheus(&c.targets[i], out);
}

static void write_pipe(const struct pipe_input *pipe, FILE *out)
{
	struct pipe_counters p;

	pipe_count(pipe, &p);
	fprintf(out,
		"# HELP scitag_marker_pipe_lines_total Lines from the named pipe.\n"
		"# TYPE scitag_marker_pipe_lines_total counter\n"
		"scitag_marker_pipe_lines_total %" PRIu64 "\n"
		"# HELP scitag_marker_pipe_lines_refused_total Of them unreadable.\n"
		"# TYPE scitag_marker_pipe_lines_refused_total counter\n"
		"scitag_marker_pipe_lines_refused_total %" PRIu64 "\n",
		p.received, p.refused);
}

static void write_prometheus(const struct status_source *s, FILE *out)
{
	struct mark_count totals[MARK_RESULT_COUNT] = {{0, 0}};
	struct rules_counters c;

	rules_count(s->rules, &c);
	if (s->mark)
		mark_totals(s->mark, totals);
	fprintf(out,
		"# HELP scitag_marker_packets_total Packets of marked flows, by what became of "
		"them.\n# TYPE scitag_marker_packets_total counter\n");
	for (int r = 0; r < MARK_RESULT_COUNT; r++)
		fprintf(out, "scitag_marker_packets_total{result=\"%s\"} %llu\n",
			mark_result_name((enum mark_result)r), totals[r].packets);
	fprintf(out, "# HELP scitag_marker_bytes_total The same in frame bytes.\n"
		     "# TYPE scitag_marker_bytes_total counter\n");
	for (int r = 0; r < MARK_RESULT_COUNT; r++)
		fprintf(out, "scitag_marker_bytes_total{result=\"%s\"} %llu\n",
			mark_result_name((enum mark_result)r), totals[r].bytes);
	fprintf(out,
		"# HELP scitag_marker_flows Flows marked now.\n# TYPE scitag_marker_flows gauge\n"
		"scitag_marker_flows %zu\n"
		"# HELP scitag_marker_wildcards Wildcard rules in force.\n"
		"# TYPE scitag_marker_wildcards gauge\nscitag_marker_wildcards %zu\n"
		"# HELP scitag_marker_flow_events_total Flow events taken in.\n"
		"# TYPE scitag_marker_flow_events_total counter\n"
		"scitag_marker_flow_events_total %" PRIu64 "\n"
		"# HELP scitag_marker_flow_events_refused_total Flow events refused, by reason.\n"
		"# TYPE scitag_marker_flow_events_refused_total counter\n",
		c.active, c.wildcards, c.received);
	for (int i = 0; i < RULES_REFUSAL_COUNT; i++)
		fprintf(out, "scitag_marker_flow_events_refused_total{reason=\"%s\"} %" PRIu64 "\n",
			rules_refusal_name((enum rules_refusal)i), c.refused[i]);
	if (s->pipe)
		write_pipe(s->pipe, out);
	if (s->announce)
		write_fireflies_prometheus(s->announce, out);
}

void status_write(const struct status_source *s, enum status_form form, FILE *out)
{
	json_t *o;

	switch (form) {
	case STATUS_JSON:
		o = status_json(s);
		json_dumpf(o, out, JSON_INDENT(1));
		fputc('\n', out);
		json_decref(o);
		break;
	case STATUS_PROMETHEUS:
		write_prometheus(s, out);
		break;
	default:
		write_text(s, out);
	}
}
