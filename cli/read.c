/* scitag read: what a capture or an interface holds, as totals per tag or packet by packet. The same
 * decoder and aggregate as the observer's, without its database. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/names.h"
#include "firefly/firefly.h"
#include "observer/aggregate.h"
#include "observer/capture.h"
#include "observer/sample.h"
#include "observer/source.h"
#include "registry/registry.h"
#include "sflow/sflow.h"
#include "store/filter.h"

#define AGENTS_MAX 256 /* sFlow agents told apart; the rest share one row */

struct read_config {
	struct cli_common common;
	char *interface, *filter, *by;
	int packets, numeric, raw;
	int64_t count;
	uint64_t duration_s;
};

#define AT(member) offsetof(struct read_config, member)
static const struct opt options[] = {
	CLI_OPT_HELP,
	CLI_OPT_LISTING,
	{.name = "interface",
	 .letter = 'i',
	 .type = OPT_TEXT,
	 .offset = AT(interface),
	 .arg = "IFACE",
	 .help = "Read live from an interface instead of a file, until Ctrl-C."},
	{.name = "filter",
	 .letter = 'f',
	 .type = OPT_TEXT,
	 .offset = AT(filter),
	 .arg = "FILTER",
	 .help = "Keep what fits, for instance 'experiment=cms and not carrier=label'."},
	{.name = "by",
	 .letter = 'b',
	 .type = OPT_TEXT,
	 .offset = AT(by),
	 .arg = "KEYS",
	 .default_text = "experiment,activity,carrier,grade",
	 .help = "Total by these: experiment, activity, grade, carrier, family, source."},
	{.name = "packets",
	 .letter = 'p',
	 .type = OPT_VERB,
	 .offset = AT(packets),
	 .help = "One line a packet or sample instead of totals."},
	{.name = "count",
	 .letter = 'c',
	 .type = OPT_INT,
	 .offset = AT(count),
	 .max = INT64_MAX,
	 .arg = "N",
	 .help = "Stop after this many packets."},
	{.name = "duration",
	 .letter = 'd',
	 .type = OPT_DURATION,
	 .offset = AT(duration_s),
	 .arg = "TIME",
	 .help = "With -i: stop after this long."},
	{.name = "numeric",
	 .letter = 'n',
	 .type = OPT_VERB,
	 .offset = AT(numeric),
	 .help = "Numbers instead of names of experiments and activities."},
	{.name = "raw",
	 .type = OPT_VERB,
	 .offset = AT(raw),
	 .help = "Count datagrams to ports 6343 and 10514 as the packets they are, instead of "
		 "reading "
		 "the sFlow samples and fireflies in them."},
	OPT_END,
};
const struct opt_program read_program = {
	.name = "scitag read",
	.synopsis = "FILE|- [-i IFACE] [--filter FILTER] [--by KEYS] [--packets] [--json|--csv]",
	.summary = "Totals per tag, or one line a packet, of a capture or an interface",
	.opts = options,
};

struct reader {
	struct read_config cfg;
	struct registry *registry;
	struct filter *filter;
	uint32_t by; /* bits 1 << enum dim */
	struct capture *capture;
	struct aggregate *aggregate;
	struct cli_list *list; /* --packets */
	int64_t first_utc_us, last_utc_us;
	uint64_t packets, bytes, ip_bytes; /* estimates, rejected ones included */
	uint64_t frames;                   /* read from the capture */
	uint64_t rejected[PACKET_VERDICT_COUNT];
	/* what the aggregate has no cell for */
	struct traffic_value hidden; /* IPv6, but the source shows no label */
	uint64_t datagrams, samples, counter_samples, discards;
	uint64_t datagrams_rejected[SFLOW_VERDICT_COUNT];
	uint64_t unopened_samples; /* of header protocols that we do not open */
	char agents[AGENTS_MAX][64];
	size_t n_agents;
	uint64_t fireflies[FIREFLY_END + 1];
	uint64_t fireflies_rejected[FIREFLY_VERDICT_COUNT];
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static const char *source_name(const struct reader *r, unsigned int source)
{
	if (!source)
		return r->cfg.interface ? r->cfg.interface : "capture";
	return source <= r->n_agents ? r->agents[source - 1] : "(other agents)";
}

static uint16_t agent_source(struct reader *r, const struct sflow_datagram *d)
{
	char name[64];

	sample_agent_name(name, sizeof(name), d);
	for (size_t i = 0; i < r->n_agents; i++) {
		if (!strcmp(r->agents[i], name))
			return (uint16_t)(i + 1);
	}
	if (r->n_agents < AGENTS_MAX)
		memcpy(r->agents[r->n_agents++], name, sizeof(name));
	else
		return AGENTS_MAX + 1;
	return (uint16_t)r->n_agents;
}

static void put_address(struct cli_list *l, const struct flow_key *k, const uint8_t ip[16])
{
	char text[INET6_ADDRSTRLEN] = "";

	if (k->family == 4)
		inet_ntop(AF_INET, ip + 12, text, sizeof(text));
	else if (k->family == 6)
		inet_ntop(AF_INET6, ip, text, sizeof(text));
	cli_put_text(l, *text ? text : NULL);
}

static const struct cli_column packet_columns[] = {
	{"time_utc", NULL},   {"source", NULL},   {"family", NULL},        {"src", NULL},
	{"dst", NULL},        {"protocol", NULL}, {"src_port", NULL},      {"dst_port", NULL},
	{"flow_label", NULL}, {"carrier", NULL},  {"experiment_id", NULL}, {"activity_id", NULL},
	{"experiment", NULL}, {"activity", NULL}, {"grade", NULL},         {"bytes", NULL},
	{"weight", NULL},     {"verdict", NULL},
};

static void put_packet(struct reader *r, const struct observation *o)
{
	struct cli_list *l = r->list;
	const int has_tag = o->tag.carrier != CARRIER_NONE;
	char text[32];

	cli_put_text(l, clock_format_utc(text, sizeof(text), o->utc_us, 6));
	cli_put_text(l, source_name(r, o->source));
	if (o->key.family)
		cli_put_int(l, o->key.family);
	else
		cli_put_none(l);
	put_address(l, &o->key, o->key.src_ip);
	put_address(l, &o->key, o->key.dst_ip);
	cli_put_int(l, o->key.protocol);
	cli_put_int(l, o->key.src_port);
	cli_put_int(l, o->key.dst_port);
	if (o->key.family == 6 && !o->label_hidden)
		cli_put_int(l, o->label);
	else
		cli_put_none(l);
	cli_put_text(l, carrier_name(o->tag.carrier));
	if (has_tag) {
		char buf[16];

		cli_put_int(l, o->tag.tag.experiment);
		cli_put_int(l, o->tag.tag.activity);
		cli_put_text(l, name_experiment(buf, r->registry, o->tag.tag.experiment,
						r->cfg.numeric));
		cli_put_text(l, name_activity(buf, r->registry, o->tag.tag.experiment,
					      o->tag.tag.activity, r->cfg.numeric));
	} else {
		for (int i = 0; i < 4; i++)
			cli_put_none(l);
	}
	cli_put_text(l, grade_name(o->tag.grade));
	cli_put_int(l, o->frame_bytes);
	cli_put_int(l, o->weight);
	cli_put_text(l, packet_verdict_name((enum packet_verdict)o->verdict));
}

/* For people, as tcpdump would: one line, no columns to wait for. */
static void print_packet(const struct reader *r, const struct observation *o)
{
	char time[32], src[INET6_ADDRSTRLEN] = "?", dst[INET6_ADDRSTRLEN] = "?", e[16], a[16];
	const int family = o->key.family == 4 ? AF_INET : AF_INET6;
	const size_t skip = o->key.family == 4 ? 12 : 0;

	clock_format_utc(time, sizeof(time), o->utc_us, 6);
	if (o->verdict != PACKET_OK) {
		printf("%s %s: %s, %" PRIu32 " B\n", time, source_name(r, o->source),
		       packet_verdict_name((enum packet_verdict)o->verdict), o->frame_bytes);
		return;
	}
	inet_ntop(family, o->key.src_ip + skip, src, sizeof(src));
	inet_ntop(family, o->key.dst_ip + skip, dst, sizeof(dst));
	printf("%s %s: %s.%u > %s.%u proto %u", time, source_name(r, o->source), src,
	       o->key.src_port, dst, o->key.dst_port, o->key.protocol);
	if (o->key.family == 6 && !o->label_hidden)
		printf(" label %05x", o->label);
	if (o->tag.carrier != CARRIER_NONE)
		printf(" %s/%s %s (%s)",
		       name_experiment(e, r->registry, o->tag.tag.experiment, r->cfg.numeric),
		       name_activity(a, r->registry, o->tag.tag.experiment, o->tag.tag.activity,
				     r->cfg.numeric),
		       carrier_name(o->tag.carrier), grade_name(o->tag.grade));
	printf(" %" PRIu32 " B", o->frame_bytes);
	if (o->weight > 1)
		printf(" x%" PRIu32, o->weight);
	putchar('\n');
}

/* Everything that was seen ends here, whichever way it came. */
static void add(struct reader *r, const struct observation *o)
{
	const struct traffic_key key = observation_key(o);

	if (o->verdict == PACKET_OK && !filter_match(r->filter, &key))
		return;
	if (o->verdict != PACKET_OK && r->filter)
		return;
	r->packets += o->weight;
	r->bytes += (uint64_t)o->weight * o->frame_bytes;
	r->ip_bytes += (uint64_t)o->weight * o->ip_bytes;
	if (r->list)
		put_packet(r, o);
	else if (r->cfg.packets)
		print_packet(r, o);
	if (o->verdict != PACKET_OK) {
		r->rejected[o->verdict] += o->weight;
		return;
	}
	if (o->label_hidden) {
		r->hidden.packets += o->weight;
		r->hidden.bytes += (uint64_t)o->weight * o->frame_bytes;
		return;
	}
	aggregate_add(r->aggregate, o);
}

static void add_sflow(struct reader *r, const uint8_t *bytes, uint32_t len_bytes, int64_t utc_us)
{
	struct sflow_reader walk;
	struct sflow_datagram d;
	struct sflow_sample s;
	enum sflow_verdict verdict = sflow_open(&walk, &d, bytes, len_bytes);
	uint16_t source;

	r->datagrams++;
	if (verdict != SFLOW_OK) {
		r->datagrams_rejected[verdict]++;
		return;
	}
	source = agent_source(r, &d);
	while (sflow_next(&walk, &s, &verdict)) {
		struct observation o = {.utc_us = utc_us, .source = source};

		if (s.kind == SFLOW_COUNTERS) {
			r->counter_samples++;
		} else if (s.kind == SFLOW_DISCARD) {
			r->discards++;
		} else {
			r->samples++;
			if (observation_from_sample(&o, &s, &r->registry->pairs))
				r->unopened_samples++;
			else
				add(r, &o);
		}
	}
	if (verdict != SFLOW_OK)
		r->datagrams_rejected[verdict]++;
}

static void add_firefly(struct reader *r, const uint8_t *bytes, uint32_t len_bytes)
{
	struct firefly ff;
	enum firefly_verdict verdict = firefly_parse(&ff, bytes, len_bytes);

	if (verdict == FIREFLY_OK)
		r->fireflies[ff.state]++;
	else
		r->fireflies_rejected[verdict]++;
}

/* The payload of a datagram to one of our ports, when the capture holds all of it. */
static const uint8_t *datagram(const struct reader *r, const struct capture_frame *f,
			       uint16_t *port, uint32_t *len_bytes)
{
	struct packet p;
	uint32_t udp_bytes, at;

	if (r->cfg.raw ||
	    packet_parse(&p, f->bytes, f->captured_bytes, capture_packet_link(r->capture)) !=
		    PACKET_OK ||
	    p.key.protocol != IPPROTO_UDP || !p.ports_offset || p.flags & PACKET_FRAGMENT ||
	    (p.key.dst_port != SFLOW_PORT && p.key.dst_port != FIREFLY_PORT))
		return NULL;
	at = p.ports_offset;
	if (f->captured_bytes - at < 8)
		return NULL;
	udp_bytes = (uint32_t)f->bytes[at + 4] << 8 | f->bytes[at + 5];
	if (udp_bytes < 8 || udp_bytes > f->captured_bytes - at)
		return NULL;
	*port = p.key.dst_port;
	*len_bytes = udp_bytes - 8;
	return f->bytes + at + 8;
}

static void on_frame(void *arg, const struct capture_frame *f)
{
	struct reader *r = arg;
	struct observation o = {.utc_us = f->utc_us, .frame_bytes = f->frame_bytes, .weight = 1};
	const uint8_t *payload;
	uint32_t len_bytes;
	uint16_t port;

	if (stopped || (r->cfg.count && r->frames >= (uint64_t)r->cfg.count))
		return;
	if (!r->frames++ || f->utc_us < r->first_utc_us)
		r->first_utc_us = f->utc_us;
	if (f->utc_us > r->last_utc_us)
		r->last_utc_us = f->utc_us;
	payload = datagram(r, f, &port, &len_bytes);
	if (payload && port == SFLOW_PORT) {
		add_sflow(r, payload, len_bytes, f->utc_us);
	} else if (payload) {
		add_firefly(r, payload, len_bytes);
	} else {
		observation_from_packet(&o, f->bytes, f->captured_bytes,
					capture_packet_link(r->capture), &r->registry->pairs);
		add(r, &o);
	}
}

/* --- totals ------------------------------------------------------------------------------- */

struct group {
	struct traffic_key key; /* members that are not asked for are 0 */
	struct traffic_value value;
};

static struct traffic_key group_key(const struct reader *r, const struct traffic_key *k)
{
	return (struct traffic_key){
		.source = r->by & 1u << DIM_SOURCE ? k->source : 0,
		.family = r->by & 1u << DIM_FAMILY ? k->family : 0,
		.carrier = r->by & 1u << DIM_CARRIER ? k->carrier : 0,
		.grade = r->by & 1u << DIM_GRADE ? k->grade : 0,
		.experiment = r->by & 1u << DIM_EXPERIMENT ? k->experiment : 0,
		.activity = r->by & 1u << DIM_ACTIVITY ? k->activity : 0,
	};
}

static int by_key(const void *a, const void *b)
{
	return memcmp(&((const struct group *)a)->key, &((const struct group *)b)->key,
		      sizeof(struct traffic_key));
}

static int by_bytes(const void *a, const void *b)
{
	uint64_t x = ((const struct group *)a)->value.bytes;
	uint64_t y = ((const struct group *)b)->value.bytes;

	return x < y ? 1 : x > y ? -1 : by_key(a, b);
}

static void add_value(struct traffic_value *to, const struct traffic_value *v)
{
	to->packets += v->packets;
	to->bytes += v->bytes;
	to->ip_bytes += v->ip_bytes;
	to->samples += v->samples;
	to->bytes_variance += v->bytes_variance;
}

struct totals {
	struct group *tags; /* tagged ones only, largest first */
	size_t n_tags;
	struct traffic_value ipv4, label_zero;
	struct traffic_value registered_labels, unregistered_labels;
};

static int make_totals(struct reader *r, struct totals *t)
{
	const size_t n_rows = aggregate_rows(r->aggregate);
	struct traffic_row *rows = calloc(n_rows + 1, sizeof(*rows));
	size_t n = 0;

	t->tags = calloc(n_rows + 1, sizeof(*t->tags));
	if (!rows || !t->tags) {
		free(rows);
		return -ENOMEM;
	}
	aggregate_take(r->aggregate, rows);
	for (size_t i = 0; i < n_rows; i++) {
		const struct traffic_key *k = &rows[i].key;

		if (k->grade == GRADE_UNTAGGED) {
			add_value(k->family == 4 ? &t->ipv4 : &t->label_zero, &rows[i].value);
			continue;
		}
		if (k->carrier == CARRIER_LABEL)
			add_value(k->grade == GRADE_REGISTERED ? &t->registered_labels
							       : &t->unregistered_labels,
				  &rows[i].value);
		t->tags[n++] = (struct group){group_key(r, k), rows[i].value};
	}
	free(rows);
	qsort(t->tags, n, sizeof(*t->tags), by_key);
	for (size_t i = 0; i < n; i++) {
		struct group *last = t->n_tags ? &t->tags[t->n_tags - 1] : NULL;

		if (last && !by_key(last, &t->tags[i]))
			add_value(&last->value, &t->tags[i].value);
		else
			t->tags[t->n_tags++] = t->tags[i];
	}
	qsort(t->tags, t->n_tags, sizeof(*t->tags), by_bytes);
	return 0;
}

static double error_bytes(const struct traffic_value *v)
{
	return 1.96 * sqrt(v->bytes_variance);
}

static json_t *packets_and_bytes(const struct traffic_value *v)
{
	return json_pack("{s:I,s:I}", "packets", (json_int_t)v->packets, "bytes",
			 (json_int_t)v->bytes);
}

static json_t *tag_json(const struct reader *r, const struct group *g)
{
	json_t *tag = json_object();
	const int folded = g->key.experiment == STORE_FOLDED;
	char buf[16];

	if (r->by & 1u << DIM_EXPERIMENT) {
		json_object_set_new(tag, "experiment_id", json_integer(g->key.experiment));
		if (r->by & 1u << DIM_ACTIVITY)
			json_object_set_new(tag, "activity_id", json_integer(g->key.activity));
		json_object_set_new(
			tag, "experiment",
			json_string(folded ? NAME_OUTSIDE
					   : name_experiment(buf, r->registry, g->key.experiment,
							     r->cfg.numeric)));
	}
	if (r->by & 1u << DIM_ACTIVITY) {
		json_object_set_new(tag, "activity_id", json_integer(g->key.activity));
		json_object_set_new(
			tag, "activity",
			json_string(folded ? NAME_OUTSIDE
					   : name_activity(buf, r->registry, g->key.experiment,
							   g->key.activity, r->cfg.numeric)));
	}
	if (r->by & 1u << DIM_CARRIER)
		json_object_set_new(tag, "carrier", json_string(carrier_name(g->key.carrier)));
	if (r->by & 1u << DIM_GRADE)
		json_object_set_new(tag, "grade", json_string(grade_name(g->key.grade)));
	if (r->by & 1u << DIM_FAMILY)
		json_object_set_new(tag, "family", json_integer(g->key.family));
	if (r->by & 1u << DIM_SOURCE)
		json_object_set_new(tag, "source", json_string(source_name(r, g->key.source)));
	json_object_set_new(tag, "packets", json_integer((json_int_t)g->value.packets));
	json_object_set_new(tag, "bytes", json_integer((json_int_t)g->value.bytes));
	json_object_set_new(tag, "ip_bytes", json_integer((json_int_t)g->value.ip_bytes));
	json_object_set_new(tag, "samples", json_integer((json_int_t)g->value.samples));
	json_object_set_new(tag, "error_bytes", json_real(error_bytes(&g->value)));
	return tag;
}

/* What each code point shows by chance: bytes at unregistered labels, divided by their number. */
struct noise {
	double floor_bytes, share;
};

static struct noise measure_noise(const struct reader *r, const struct totals *t)
{
	unsigned int registered = 0;
	struct noise noise;

	for (size_t i = 0; i < SCITAG_LABEL_CODES / 64; i++)
		registered += (unsigned int)__builtin_popcountll(r->registry->pairs.bits[i]);
	noise.floor_bytes =
		(double)t->unregistered_labels.bytes / (SCITAG_LABEL_CODES - registered);
	noise.share = t->registered_labels.bytes
			      ? noise.floor_bytes * registered / (double)t->registered_labels.bytes
			      : 0;
	if (noise.share > 1)
		noise.share = 1;
	return noise;
}

static json_t *named_counts(const uint64_t *counts, unsigned int n,
			    const char *(*name)(unsigned int))
{
	json_t *o = json_object();

	for (unsigned int i = 1; i < n; i++)
		json_object_set_new(o, name(i), json_integer((json_int_t)counts[i]));
	return o;
}

static const char *name_of_packet(unsigned int v)
{
	return packet_verdict_name((enum packet_verdict)v);
}
static const char *name_of_sflow(unsigned int v)
{
	return sflow_verdict_name((enum sflow_verdict)v);
}
static const char *name_of_firefly(unsigned int v)
{
	return firefly_verdict_name((enum firefly_verdict)v);
}

static uint64_t sum(const uint64_t *counts, unsigned int n)
{
	uint64_t total = 0;

	for (unsigned int i = 1; i < n; i++)
		total += counts[i];
	return total;
}

static json_t *time_json(const struct reader *r, int64_t utc_us)
{
	char text[32];

	return r->frames ? json_string(clock_format_utc(text, sizeof(text), utc_us, 6))
			 : json_null();
}

static int write_json(const struct reader *r, const struct totals *t, const char *damage,
		      uint64_t damage_at)
{
	const struct noise noise = measure_noise(r, t);
	json_t *tags = json_array(), *out;
	int err;

	for (size_t i = 0; i < t->n_tags; i++)
		json_array_append_new(tags, tag_json(r, &t->tags[i]));
	out = json_pack("{s:I,s:I,s:I,s:o,s:o,s:o,s:{s:o,s:o,s:o},s:{s:f,s:f},s:o}", "packets",
			(json_int_t)r->packets, "bytes", (json_int_t)r->bytes, "ip_bytes",
			(json_int_t)r->ip_bytes, "first_utc", time_json(r, r->first_utc_us),
			"last_utc", time_json(r, r->last_utc_us), "tags", tags, "untagged", "ipv4",
			packets_and_bytes(&t->ipv4), "ipv6_label_zero",
			packets_and_bytes(&t->label_zero), "other", packets_and_bytes(&r->hidden),
			"noise", "floor_bytes_per_code_point", noise.floor_bytes, "share",
			noise.share, "rejected",
			named_counts(r->rejected, PACKET_VERDICT_COUNT, name_of_packet));
	if (r->datagrams) {
		uint64_t rejected = sum(r->datagrams_rejected, SFLOW_VERDICT_COUNT);

		json_object_set_new(out, "sflow",
				    json_pack("{s:I,s:I,s:o,s:I,s:I,s:I,s:I}", "received",
					      (json_int_t)r->datagrams, "accepted",
					      (json_int_t)(r->datagrams - rejected), "rejected",
					      named_counts(r->datagrams_rejected,
							   SFLOW_VERDICT_COUNT, name_of_sflow),
					      "flow_samples", (json_int_t)r->samples,
					      "unopened_samples", (json_int_t)r->unopened_samples,
					      "counter_samples", (json_int_t)r->counter_samples,
					      "discarded_packets", (json_int_t)r->discards));
	}
	if (sum(r->fireflies, FIREFLY_END + 1) +
	    sum(r->fireflies_rejected, FIREFLY_VERDICT_COUNT)) {
		uint64_t accepted = sum(r->fireflies, FIREFLY_END + 1);
		uint64_t rejected = sum(r->fireflies_rejected, FIREFLY_VERDICT_COUNT);

		json_object_set_new(out, "fireflies",
				    json_pack("{s:I,s:I,s:o,s:I,s:I,s:I}", "received",
					      (json_int_t)(accepted + rejected), "accepted",
					      (json_int_t)accepted, "rejected",
					      named_counts(r->fireflies_rejected,
							   FIREFLY_VERDICT_COUNT, name_of_firefly),
					      "start", (json_int_t)r->fireflies[FIREFLY_START],
					      "ongoing", (json_int_t)r->fireflies[FIREFLY_ONGOING],
					      "end", (json_int_t)r->fireflies[FIREFLY_END]));
	}
	if (damage)
		json_object_set_new(out, "damage",
				    json_pack("{s:I,s:s}", "position_bytes", (json_int_t)damage_at,
					      "reason", damage));
	if (r->cfg.interface)
		json_object_set_new(out, "dropped",
				    json_integer((json_int_t)capture_dropped(r->capture)));
	err = json_dumpf(out, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
	putchar('\n');
	json_decref(out);
	return err;
}

static void put_group(struct reader *r, struct cli_list *l, const struct group *g)
{
	const int folded = g->key.experiment == STORE_FOLDED;
	char buf[32];

	if (r->by & 1u << DIM_EXPERIMENT) {
		cli_put_int(l, g->key.experiment);
		cli_put_text(l, folded ? NAME_OUTSIDE
				       : name_experiment(buf, r->registry, g->key.experiment,
							 r->cfg.numeric));
	}
	if (r->by & 1u << DIM_ACTIVITY) {
		cli_put_int(l, g->key.activity);
		cli_put_text(l, folded ? NAME_OUTSIDE
				       : name_activity(buf, r->registry, g->key.experiment,
						       g->key.activity, r->cfg.numeric));
	}
	if (r->by & 1u << DIM_CARRIER)
		cli_put_text(l, carrier_name(g->key.carrier));
	if (r->by & 1u << DIM_GRADE)
		cli_put_text(l, grade_name(g->key.grade));
	if (r->by & 1u << DIM_FAMILY)
		cli_put_int(l, g->key.family);
	if (r->by & 1u << DIM_SOURCE)
		cli_put_text(l, source_name(r, g->key.source));
	cli_put_int(l, (int64_t)g->value.packets);
	cli_put_shown(l, (double)g->value.bytes,
		      cli_si(buf, sizeof(buf), (double)g->value.bytes, "B"));
	cli_put_int(l, (int64_t)g->value.ip_bytes);
	if (g->value.samples < 10 && g->value.bytes_variance > 0)
		cli_put_shown(l, error_bytes(&g->value), "too few");
	else
		cli_put_shown(l, error_bytes(&g->value),
			      cli_si(buf, sizeof(buf), error_bytes(&g->value), "B"));
	cli_put_shown(l, r->bytes ? (double)g->value.bytes / (double)r->bytes : 0,
		      (snprintf(buf, sizeof(buf), "%.1f %%",
				r->bytes ? 100.0 * (double)g->value.bytes / (double)r->bytes : 0),
		       buf));
}

static void write_listing(struct reader *r, const struct totals *t)
{
	struct cli_column columns[20];
	size_t n = 0;
	struct cli_list *l;

	if (r->by & 1u << DIM_EXPERIMENT) {
		columns[n++] = (struct cli_column){"experiment_id", NULL};
		columns[n++] = (struct cli_column){"experiment", "EXPERIMENT"};
	}
	if (r->by & 1u << DIM_ACTIVITY) {
		columns[n++] = (struct cli_column){"activity_id", NULL};
		columns[n++] = (struct cli_column){"activity", "ACTIVITY"};
	}
	if (r->by & 1u << DIM_CARRIER)
		columns[n++] = (struct cli_column){"carrier", "CARRIER"};
	if (r->by & 1u << DIM_GRADE)
		columns[n++] = (struct cli_column){"grade", "GRADE"};
	if (r->by & 1u << DIM_FAMILY)
		columns[n++] = (struct cli_column){"family", "FAMILY"};
	if (r->by & 1u << DIM_SOURCE)
		columns[n++] = (struct cli_column){"source", "SOURCE"};
	columns[n++] = (struct cli_column){"packets", "PACKETS"};
	columns[n++] = (struct cli_column){"bytes", "BYTES"};
	columns[n++] = (struct cli_column){"ip_bytes", NULL};
	columns[n++] = (struct cli_column){"error_bytes", "+-95%"};
	columns[n++] = (struct cli_column){"share", "SHARE"};
	l = cli_list_open(stdout, cli_format(&r->cfg.common), columns, n);
	if (!l)
		return;
	for (size_t i = 0; i < t->n_tags; i++)
		put_group(r, l, &t->tags[i]);
	cli_list_close(l);
}

static void put_summary_row(const struct reader *r, const char *what, const struct traffic_value *v)
{
	char text[32];

	if (v->packets)
		printf("%-24s %12" PRIu64 " packets  %10s  %5.1f %%\n", what, v->packets,
		       cli_si(text, sizeof(text), (double)v->bytes, "B"),
		       r->bytes ? 100.0 * (double)v->bytes / (double)r->bytes : 0);
}

static void write_table(struct reader *r, const struct totals *t)
{
	const struct noise noise = measure_noise(r, t);
	char first[32], last[32], text[32];

	if (!r->frames) {
		printf("no packets\n");
		return;
	}
	printf("%s to %s: %" PRIu64 " packets, %s\n\n",
	       clock_format_utc(first, sizeof(first), r->first_utc_us, 3),
	       clock_format_utc(last, sizeof(last), r->last_utc_us, 3), r->packets,
	       cli_si(text, sizeof(text), (double)r->bytes, "B"));
	if (t->n_tags) {
		write_listing(r, t);
		putchar('\n');
	}
	put_summary_row(r, "untagged IPv4", &t->ipv4);
	put_summary_row(r, "untagged IPv6, label 0", &t->label_zero);
	put_summary_row(r, "IPv6, label not shown", &r->hidden);
	if (t->unregistered_labels.packets)
		printf("noise floor: %s per code point by chance, %.1f %% of the registered label "
		       "bytes\n",
		       cli_si(text, sizeof(text), noise.floor_bytes, "B"), 100 * noise.share);
	for (unsigned int v = 1; v < PACKET_VERDICT_COUNT; v++) {
		if (r->rejected[v])
			printf("rejected, %-15s %12" PRIu64 " packets\n", name_of_packet(v),
			       r->rejected[v]);
	}
	if (r->datagrams)
		printf("sFlow: %" PRIu64 " datagrams, %" PRIu64 " rejected, %" PRIu64
		       " flow samples, %" PRIu64 " counter samples, %" PRIu64
		       " discarded packets\n",
		       r->datagrams, sum(r->datagrams_rejected, SFLOW_VERDICT_COUNT), r->samples,
		       r->counter_samples, r->discards);
	if (sum(r->fireflies, FIREFLY_END + 1) + sum(r->fireflies_rejected, FIREFLY_VERDICT_COUNT))
		printf("fireflies: %" PRIu64 " start, %" PRIu64 " ongoing, %" PRIu64
		       " end, %" PRIu64 " rejected\n",
		       r->fireflies[FIREFLY_START], r->fireflies[FIREFLY_ONGOING],
		       r->fireflies[FIREFLY_END],
		       sum(r->fireflies_rejected, FIREFLY_VERDICT_COUNT));
}

/* --- the run ------------------------------------------------------------------------------ */

static int parse_by(struct reader *r)
{
	char *copy = strdup(r->cfg.by), *rest = copy, *word;
	const uint32_t known = 1u << DIM_EXPERIMENT | 1u << DIM_ACTIVITY | 1u << DIM_GRADE |
			       1u << DIM_CARRIER | 1u << DIM_FAMILY | 1u << DIM_SOURCE;
	int code = -1;

	while (copy && code < 0 && (word = strsep(&rest, ", "))) {
		int dim = *word ? dim_find(word) : -1;

		if (!*word)
			continue;
		if (dim < 0 || !(known & 1u << dim))
			code = cli_usage(&read_program,
					 "--by: '%s' is none of experiment, activity, "
					 "grade, carrier, family, source",
					 word);
		else
			r->by |= 1u << dim;
	}
	free(copy);
	return code;
}

static int open_input(struct reader *r, const char *path)
{
	char why[PATH_MAX] = "";
	int err;

	if (r->cfg.interface) {
		err = capture_open_live(&r->capture, r->cfg.interface, why, sizeof(why));
		if (err)
			return cli_fail(CLI_PERMISSION, "interface %s: %s", r->cfg.interface, why);
		return -1;
	}
	err = capture_open_file(&r->capture, path, why, sizeof(why));
	if (!err)
		return -1;
	/* a capture that ends inside its own header is a broken file, not another kind of file */
	return cli_fail(err == -EACCES             ? CLI_PERMISSION
			: strstr(why, "truncated") ? CLI_INCOMPLETE
						   : CLI_FAILED,
			"%s: %s", path, why);
}

/* 0, or -EBADMSG: the input broke. */
static int read_all(struct reader *r)
{
	const int64_t until_ns = clock_mono_ns() + (int64_t)r->cfg.duration_s * NS_PER_S;
	struct sigaction act = {.sa_handler = on_signal};
	struct cli_progress progress;
	int n;

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	cli_progress_start(&progress, "reading", "B", capture_size_bytes(r->capture));
	do {
		n = capture_drain(r->capture, 100, on_frame, r);
		if (n < 0 || (n == 0 && !r->cfg.interface))
			break;
		cli_progress_to(&progress,
				r->cfg.interface ? r->bytes : capture_position_bytes(r->capture));
		if (r->cfg.count && r->frames >= (uint64_t)r->cfg.count)
			break;
		if (r->cfg.interface && r->cfg.duration_s && clock_mono_ns() >= until_ns)
			break;
	} while (!stopped);
	cli_progress_end(&progress);
	return n < 0 ? n : 0;
}

static int report(struct reader *r, const char *path, int err)
{
	const char *damage = err ? capture_damage(r->capture) : NULL;
	const uint64_t at = err ? capture_position_bytes(r->capture) : 0;
	struct totals t = {0};

	if (r->cfg.packets) {
		cli_list_close(r->list);
		r->list = NULL;
	} else if (make_totals(r, &t)) {
		return cli_fail(CLI_FAILED, "out of memory");
	} else if (r->cfg.common.json) {
		write_json(r, &t, damage, at);
	} else if (r->cfg.common.csv) {
		write_listing(r, &t);
	} else {
		write_table(r, &t);
	}
	free(t.tags);
	if (damage)
		return cli_fail(CLI_INCOMPLETE,
				"%s: damaged at byte %" PRIu64 ", after %" PRIu64 " packets: %s",
				path, at, r->frames, damage);
	if (r->cfg.interface && capture_dropped(r->capture))
		return cli_fail(CLI_INCOMPLETE, "%s: the kernel dropped %" PRIu64 " packets",
				r->cfg.interface, capture_dropped(r->capture));
	return CLI_OK;
}

static int prepare(struct reader *r, int argc, char **argv, int rest)
{
	const enum cli_format format = r->cfg.common.csv ? CLI_CSV : CLI_JSON_LINES;
	char why[160];
	size_t at;

	if (r->cfg.interface ? rest != argc : rest != argc - 1)
		return cli_usage(&read_program,
				 r->cfg.interface ? "a file or -i IFACE, not both"
						  : "expected one FILE, or -i IFACE");
	(void)argv;
	r->registry = registry_builtin();
	r->aggregate = aggregate_open(SCITAG_CODES);
	if (!r->registry || !r->aggregate)
		return cli_fail(CLI_FAILED, "out of memory");
	if (r->cfg.filter && filter_parse(&r->filter, r->cfg.filter, name_resolve, r->registry, why,
					  sizeof(why), &at))
		return cli_usage(&read_program, "--filter: %s (at character %zu)", why, at + 1);
	if (r->cfg.packets && (r->cfg.common.json || r->cfg.common.csv)) {
		r->list = cli_list_open(stdout, format, packet_columns,
					sizeof(packet_columns) / sizeof(packet_columns[0]));
		if (!r->list)
			return cli_fail(CLI_FAILED, "out of memory");
	}
	return parse_by(r);
}

int verb_read(int argc, char **argv)
{
	struct reader *r = calloc(1, sizeof(*r));
	int rest, code;

	if (!r)
		return cli_fail(CLI_FAILED, "out of memory");
	code = cli_args(&read_program, &r->cfg, argc, argv, &rest);
	if (code < 0)
		code = prepare(r, argc, argv, rest);
	if (code < 0)
		code = open_input(r, argv[rest]);
	if (code < 0)
		code = report(r, r->cfg.interface ? r->cfg.interface : argv[rest], read_all(r));
	cli_list_close(r->list);
	capture_close(r->capture);
	aggregate_close(r->aggregate);
	filter_free(r->filter);
	registry_free(r->registry);
	opt_free(&read_program, &r->cfg);
	free(r);
	return code;
}
