/* scitag read: what a capture or an interface holds, as totals per tag or packet by packet. The same
 * decoder and aggregate as the observer's, without its database. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/names.h"
#include "cli/read.h"
#include "observer/sample.h"
#include "observer/source.h"

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
	CLI_OPT_REGISTRY(struct read_config),
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

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

const char *read_source_name(const struct reader *r, unsigned int source)
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
	if (r->n_agents < READ_AGENTS_MAX)
		memcpy(r->agents[r->n_agents++], name, sizeof(name));
	else
		return READ_AGENTS_MAX + 1;
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
	cli_put_text(l, read_source_name(r, o->source));
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
		printf("%s %s: %s, %" PRIu32 " B\n", time, read_source_name(r, o->source),
		       packet_verdict_name((enum packet_verdict)o->verdict), o->frame_bytes);
		return;
	}
	inet_ntop(family, o->key.src_ip + skip, src, sizeof(src));
	inet_ntop(family, o->key.dst_ip + skip, dst, sizeof(dst));
	printf("%s %s: %s.%u > %s.%u proto %u", time, read_source_name(r, o->source), src,
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

static void on_frame(void *arg, const struct capture_frame *f)
{
	struct reader *r = arg;
	struct observation o = {.utc_us = f->utc_us, .frame_bytes = f->frame_bytes, .weight = 1};
	const uint8_t *payload = NULL;
	uint32_t len_bytes;
	uint16_t port;

	if (stopped || (r->cfg.count && r->frames >= (uint64_t)r->cfg.count))
		return;
	if (!r->frames++ || f->utc_us < r->first_utc_us)
		r->first_utc_us = f->utc_us;
	if (f->utc_us > r->last_utc_us)
		r->last_utc_us = f->utc_us;
	observation_from_packet(&o, f->bytes, f->captured_bytes, capture_packet_link(r->capture),
				&r->registry->pairs);
	if (!r->cfg.raw && (o.key.dst_port == SFLOW_PORT || o.key.dst_port == FIREFLY_PORT))
		payload = capture_datagram(r->capture, f, &port, &len_bytes);
	if (payload && port == SFLOW_PORT)
		add_sflow(r, payload, len_bytes, f->utc_us);
	else if (payload && port == FIREFLY_PORT)
		add_firefly(r, payload, len_bytes);
	else
		add(r, &o);
}

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

static int prepare(struct reader *r, int argc, char **argv, int rest)
{
	const enum cli_format format = r->cfg.common.csv ? CLI_CSV : CLI_JSON_LINES;
	char why[160];
	size_t at;
	int code;

	if (r->cfg.interface ? rest != argc : rest != argc - 1)
		return cli_usage(&read_program,
				 r->cfg.interface ? "a file or -i IFACE, not both"
						  : "expected one FILE, or -i IFACE");
	(void)argv;
	code = cli_registry_open(&r->names, r->cfg.registry);
	if (code)
		return code;
	r->registry = r->names.registry;
	r->aggregate = aggregate_open(SCITAG_CODES);
	if (!r->aggregate)
		return cli_fail(CLI_FAILED, "out of memory");
	if (r->cfg.filter && filter_parse(&r->filter, r->cfg.filter, name_resolve,
					  (void *)r->registry, why, sizeof(why), &at))
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
		code = read_report(r, r->cfg.interface ? r->cfg.interface : argv[rest],
				   read_all(r));
	cli_list_close(r->list);
	capture_close(r->capture);
	aggregate_close(r->aggregate);
	filter_free(r->filter);
	cli_registry_close(&r->names);
	opt_free(&read_program, &r->cfg);
	free(r);
	return code;
}
