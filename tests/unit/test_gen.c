/* scitag gen against an independent reader: tshark counts labels and options as the truth says; the
 * sFlow samples and fireflies add up to it too. And replay's --now. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/clock.h"
#include "cli/gen.h"
#include "cli/replay.h"
#include "firefly/firefly.h"
#include "observer/capture.h"
#include "sflow/sflow.h"

static char dir[] = "/tmp/test_gen_XXXXXX";

static const char *path_of(const char *name)
{
	static char paths[4][64];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = {"a.pcap", "b.pcap", "truth.json"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	return rmdir(dir);
}

/* Run the verb with these words, NULL at the end. */
static int gen(const char *word, ...)
{
	static char words[24][128];
	char *argv[24];
	int argc = 0;
	va_list args;

	snprintf(words[argc++], sizeof(words[0]), "gen");
	va_start(args, word);
	for (; word; word = va_arg(args, const char *))
		snprintf(words[argc++], sizeof(words[0]), "%s", word);
	va_end(args);
	for (int i = 0; i < argc; i++)
		argv[i] = words[i];
	argv[argc] = NULL;
	return verb_gen(argc, argv);
}

static json_t *load_truth(void)
{
	json_t *truth = json_load_file(path_of("truth.json"), 0, NULL);

	assert_non_null(truth);
	return truth;
}

/* "a.b.c" of an object of objects */
static uint64_t number_at(const json_t *o, const char *path)
{
	char copy[128], *rest = copy, *word;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((word = strsep(&rest, ".")))
		o = json_object_get(o, word);
	if (!json_is_integer(o))
		fail_msg("no number %s", path);
	return (uint64_t)json_integer_value(o);
}

static const char *text_at(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	assert_non_null(text);
	return text;
}

/* --- captures ------------------------------------------------------------------------------------- */

enum { LABEL, DESTINATION, HOP_BY_HOP, BOTH, N_CARRIERS };
static const char *const carriers[] = {"label", "destination", "hop-by-hop",
				       "hop-by-hop+destination"};

struct counts { /* packets by pair and carrier */
	uint64_t pairs[512][64][N_CARRIERS];
	uint64_t zero, packets;
};

static void add_truth(struct counts *c, const json_t *list)
{
	size_t i;
	json_t *o;

	json_array_foreach(list, i, o)
	{
		int carrier = 0;

		while (strcmp(carriers[carrier], text_at(o, "carrier")) != 0)
			assert_in_range(++carrier, 0, N_CARRIERS - 1);
		c->pairs[number_at(o, "experiment_id")][number_at(o, "activity_id")][carrier] +=
			number_at(o, "packets");
	}
}

/* The draft's layout, bit by bit: E E C0..C8 E A5..A0 E E from the top, C0 being the low bit. */
static void by_hand(unsigned int label, unsigned int *experiment, unsigned int *activity)
{
	*experiment = *activity = 0;
	for (unsigned int i = 0; i < 9; i++)
		*experiment |= (label >> (17 - i) & 1) << i;
	for (unsigned int i = 0; i < 6; i++)
		*activity |= (label >> (2 + i) & 1) << i;
}

/* One line of tshark: flow label, next header of hop-by-hop and of destination options, data of
 * options 1E (tshark calls them experimental) and 1F (unknown). */
static void add_line(struct counts *c, char *line)
{
	char *label_text = strsep(&line, "\t"), *hop = strsep(&line, "\t");
	char *destination = strsep(&line, "\t"), *data = strsep(&line, "\t");
	char *unknown = strsep(&line, "\t\n");
	unsigned int label, experiment, activity;
	int carrier = LABEL;

	assert_non_null(unknown);
	if (!*data)
		data = unknown;
	if (!*label_text)
		return;
	label = (unsigned int)strtoul(label_text, NULL, 16);
	if (*hop || *destination) {
		size_t digits = strcspn(data, ",");
		unsigned int value = (unsigned int)strtoul(data, NULL, 16);

		carrier = *hop && *destination ? BOTH : *hop ? HOP_BY_HOP : DESTINATION;
		if (carrier == BOTH) /* both headers say the same */
			assert_memory_equal(data, data + digits + 1, digits);
		if (digits == 6 && value < 0x1000) { /* plain: 16 and 8 bits */
			experiment = value >> 8;
			activity = value & 0xFF;
		} else { /* a label, in 1F/4 with a zero byte behind */
			by_hand(digits == 8 ? value >> 8 : value, &experiment, &activity);
		}
	} else if (label == 0) {
		c->zero++;
		return;
	} else {
		by_hand(label, &experiment, &activity);
	}
	c->pairs[experiment][activity][carrier]++;
	c->packets++;
}

static void tshark_counts_what_the_truth_says(void **state)
{
	static struct counts want, got;
	char command[256], line[512];
	json_t *truth;
	FILE *f;

	(void)state;
	if (system("command -v tshark >/dev/null 2>&1")) {
		printf("# no tshark\n");
		skip();
	}
	assert_int_equal(gen("pcap", "--seed", "7", "--packets", "6000", "--flows", "900", "--out",
			     path_of("a.pcap"), "--truth", path_of("truth.json"), NULL),
			 CLI_OK);
	truth = load_truth();
	add_truth(&want, json_object_get(truth, "tags"));
	add_truth(&want, json_object_get(truth, "by_chance"));
	snprintf(command, sizeof(command),
		 "tshark -r %s -T fields -e ipv6.flow -e ipv6.hopopts.nxt -e ipv6.dstopts.nxt "
		 "-e ipv6.opt.experimental -e ipv6.opt.unknown 2>/dev/null",
		 path_of("a.pcap"));
	f = popen(command, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		add_line(&got, line);
	assert_int_equal(pclose(f), 0);
	assert_true(got.packets > 4000);
	assert_int_equal(got.zero, number_at(truth, "untagged.ipv6_label_zero.packets"));
	for (int e = 0; e < 512; e++)
		for (int a = 0; a < 64; a++)
			for (int c = 0; c < N_CARRIERS; c++)
				if (want.pairs[e][a][c] != got.pairs[e][a][c])
					fail_msg("%d/%d by %s: %" PRIu64 " told, %" PRIu64 " found",
						 e, a, carriers[c], want.pairs[e][a][c],
						 got.pairs[e][a][c]);
	/* nothing is lost between the parts and the whole, and every carrier and form was made */
	assert_int_equal(number_at(truth, "packets"), 6000);
	assert_int_equal(got.packets + got.zero + number_at(truth, "untagged.ipv4.packets") +
				 number_at(truth, "not_ip.packets"),
			 6000);
	for (int c = 0; c < N_CARRIERS; c++) {
		uint64_t n = 0;

		for (int e = 0; e < 512; e++)
			for (int a = 0; a < 64; a++)
				n += want.pairs[e][a][c];
		assert_true(n > 0);
	}
	json_decref(truth);
}

static int files_differ(const char *a, const char *b)
{
	char command[256];

	snprintf(command, sizeof(command), "cmp -s %s %s", a, b);
	return system(command) != 0;
}

static void the_same_seed_makes_the_same_bytes(void **state)
{
	static const char *const kinds[] = {"pcap", "sflow", "firefly"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(gen(kinds[i], "--packets", "20000", "--rate", "50", "--seed", "3",
				     "--out", path_of("a.pcap"), NULL),
				 CLI_OK);
		assert_int_equal(gen(kinds[i], "--packets", "20000", "--rate", "50", "--seed", "3",
				     "--out", path_of("b.pcap"), NULL),
				 CLI_OK);
		assert_false(files_differ(path_of("a.pcap"), path_of("b.pcap")));
		assert_int_equal(gen(kinds[i], "--packets", "20000", "--rate", "50", "--seed", "4",
				     "--out", path_of("b.pcap"), NULL),
				 CLI_OK);
		assert_true(files_differ(path_of("a.pcap"), path_of("b.pcap")));
	}
}

static void what_cannot_be_made_is_said(void **state)
{
	(void)state;
	assert_int_equal(gen("netflow", "--out", path_of("a.pcap"), NULL), CLI_USAGE);
	assert_int_equal(gen("--out", path_of("a.pcap"), NULL), CLI_USAGE);
	assert_int_equal(gen("pcap", "--marked", "1.5", "--out", path_of("a.pcap"), NULL),
			 CLI_USAGE);
	assert_int_equal(gen("pcap", "--out", "/dev/null/x.pcap", NULL), CLI_FAILED);
	assert_int_equal(gen("pcap", "--packets", "90000", "--out", "/dev/full", NULL), CLI_FAILED);
}

/* All marked, one carrier: no other class of data packets. */
static void shares_and_carriers_are_as_asked(void **state)
{
	json_t *truth;

	(void)state;
	assert_int_equal(gen("pcap", "--marked", "100%", "--carrier", "both", "--out",
			     path_of("a.pcap"), "--truth", path_of("truth.json"), NULL),
			 CLI_OK);
	truth = load_truth();
	assert_int_equal(number_at(truth, "packets"), 60000);
	assert_int_equal(number_at(truth, "untagged.ipv4.packets"), 0);
	assert_int_equal(number_at(truth, "untagged.ipv6_label_zero.packets"), 0);
	/* what is left are the answers, one packet in ten */
	assert_in_range(number_at(truth, "untagged.ipv6_random_label.packets"), 5000, 6500);
	for (size_t i = 0; i < json_array_size(json_object_get(truth, "tags")); i++)
		assert_string_equal(
			text_at(json_array_get(json_object_get(truth, "tags"), i), "carrier"),
			"hop-by-hop+destination");
	json_decref(truth);
	assert_int_equal(gen("pcap", "--marked", "0", "--out", path_of("a.pcap"), "--truth",
			     path_of("truth.json"), NULL),
			 CLI_OK);
	truth = load_truth();
	assert_int_equal(json_array_size(json_object_get(truth, "tags")), 0);
	json_decref(truth);
}

/* --- payloads: fixed places, because gen writes one plain UDP datagram a frame ------------------------ */

struct each {
	void (*datagram)(void *arg, const uint8_t *payload, uint32_t len_bytes, int64_t utc_us);
	void *arg;
};

static void on_frame(void *arg, const struct capture_frame *f)
{
	const struct each *each = arg;
	uint32_t header_bytes = 14 + (f->bytes[12] == 0x86 ? 40 : 20) + 8;

	assert_int_equal(f->captured_bytes, f->frame_bytes);
	assert_true(f->frame_bytes <= 1514);
	each->datagram(each->arg, f->bytes + header_bytes, f->captured_bytes - header_bytes,
		       f->utc_us);
}

static void each_datagram(void (*datagram)(void *, const uint8_t *, uint32_t, int64_t), void *arg)
{
	struct each each = {datagram, arg};
	struct capture *capture;
	char why[256];

	assert_int_equal(capture_open_file(&capture, path_of("a.pcap"), why, sizeof(why)), 0);
	while (capture_drain(capture, 0, on_frame, &each) > 0)
		;
	capture_close(capture);
}

struct sflow_sums {
	uint64_t datagrams, flow_samples, counter_samples, packets, bytes;
	struct { /* by agent's last address byte */
		uint64_t datagrams, packets, bytes, octets[4], out_octets[4];
		uint32_t out_packets[4];
		uint32_t sequence, pools[3], drops[3], sequences[3];
	} agents[256];
};

static void add_counters(struct sflow_sums *sums, uint8_t agent, const struct sflow_sample *s)
{
	uint32_t port = s->source_index;

	assert_true(s->has_if_counters && s->if_index == port);
	assert_true(s->if_in_octets >= sums->agents[agent].octets[port]);
	assert_true(s->if_out_octets >= sums->agents[agent].out_octets[port]);
	assert_true(s->if_out_packets >= sums->agents[agent].out_packets[port]);
	assert_int_equal(s->if_in_errors + s->if_out_errors + s->if_out_discards, 0);
	sums->agents[agent].octets[port] = s->if_in_octets;
	sums->agents[agent].out_octets[port] = s->if_out_octets;
	sums->agents[agent].out_packets[port] = s->if_out_packets;
}

static void add_sflow(void *arg, const uint8_t *payload, uint32_t len_bytes, int64_t utc_us)
{
	struct sflow_sums *sums = arg;
	struct sflow_reader reader;
	struct sflow_datagram d;
	struct sflow_sample s;
	enum sflow_verdict verdict = sflow_open(&reader, &d, payload, len_bytes);
	uint8_t agent = d.agent_ip[15];

	(void)utc_us;
	assert_int_equal(verdict, SFLOW_OK);
	assert_true(len_bytes <= 1400);
	assert_int_equal(d.sequence, ++sums->agents[agent].sequence);
	sums->datagrams++;
	sums->agents[agent].datagrams++;
	while (sflow_next(&reader, &s, &verdict)) {
		uint32_t port = s.source_index;

		assert_in_range(port, 1, 2);
		if (s.kind == SFLOW_COUNTERS) {
			add_counters(sums, agent, &s);
			sums->counter_samples++;
			continue;
		}
		assert_int_equal(s.kind, SFLOW_FLOW);
		assert_true(s.has_header && s.header_bytes <= 128 && s.stripped_bytes == 4);
		assert_int_equal(s.in.value, port);
		assert_int_equal(s.out.value, 3 - port);
		assert_int_equal(s.sequence, ++sums->agents[agent].sequences[port]);
		assert_true(s.pool > sums->agents[agent].pools[port]);
		sums->agents[agent].pools[port] = s.pool;
		sums->agents[agent].drops[port] = s.drops;
		sums->flow_samples++;
		sums->packets += s.rate;
		sums->bytes += (uint64_t)s.rate * s.frame_bytes;
		sums->agents[agent].packets += s.rate;
		sums->agents[agent].bytes += (uint64_t)s.rate * s.frame_bytes;
	}
	assert_int_equal(verdict, SFLOW_OK);
}

static void sflow_samples_add_up_to_the_truth(void **state)
{
	static struct sflow_sums sums;
	uint64_t wire_packets = 0, counter_samples = 0, drops = 0;
	double wire, estimate, error;
	json_t *truth, *o;
	size_t i;

	(void)state;
	assert_int_equal(gen("sflow", "--agents", "4", "--rate", "100", "--packets", "1000000",
			     "--out", path_of("a.pcap"), "--truth", path_of("truth.json"), NULL),
			 CLI_OK);
	truth = load_truth();
	each_datagram(add_sflow, &sums);
	assert_int_equal(sums.flow_samples, number_at(truth, "samples"));
	assert_int_equal(sums.packets, number_at(truth, "packets"));
	assert_int_equal(sums.bytes, number_at(truth, "bytes"));
	assert_int_equal(json_array_size(json_object_get(truth, "agents")), 4);
	json_array_foreach(json_object_get(truth, "agents"), i, o)
	{
		/* 2001:db8:1:ff::1 and ::3, 192.0.2.202 and .204 */
		uint8_t agent = (uint8_t)(i % 2 ? 201 + i : 1 + i);

		assert_int_equal(sums.agents[agent].datagrams, number_at(o, "datagrams"));
		assert_int_equal(sums.agents[agent].packets, number_at(o, "packets"));
		assert_int_equal(sums.agents[agent].bytes, number_at(o, "bytes"));
		assert_true(sums.agents[agent].drops[1] + sums.agents[agent].drops[2] <=
			    number_at(o, "drops"));
		wire_packets += number_at(o, "wire_packets");
		counter_samples += number_at(o, "counter_samples");
		drops += number_at(o, "drops");
	}
	assert_int_equal(wire_packets, 1000000);
	assert_int_equal(number_at(truth, "wire.packets"), 1000000);
	assert_int_equal(sums.counter_samples, counter_samples);
	/* The estimate errs by chance only: 1/sqrt(10,000) is 1 %, five times that is never seen; the
	 * agents' own drops are missing from it. */
	assert_in_range(drops, 1, 100);
	wire = (double)number_at(truth, "wire.bytes");
	estimate = (double)number_at(truth, "bytes");
	error = (estimate - wire) / wire;
	assert_true(error > -0.05 && error < 0.05);
	json_decref(truth);
}

#define STARTS_MAX 2000

struct firefly_sums {
	uint64_t datagrams, rejected, states[4], producers[FIREFLY_PRODUCER_COUNT], repaired;
	uint64_t bytes, bytes_dst_to_src;
	struct firefly *starts; /* of senders that count since the connection opened */
	size_t n_starts;
	int64_t last_utc_us;
};

/* Of a transfer itself is what its END says less what its START said. */
static void take_off_start(struct firefly_sums *sums, struct firefly *ff)
{
	if (!(ff->flags & FIREFLY_USAGE_CUMULATIVE))
		return;
	if (ff->state == FIREFLY_START) {
		assert_true(sums->n_starts < STARTS_MAX);
		sums->starts[sums->n_starts++] = *ff;
	}
	for (size_t i = 0; ff->state == FIREFLY_END && i < sums->n_starts; i++) {
		const struct firefly *start = &sums->starts[i];

		if (start->start_utc_us != ff->start_utc_us ||
		    memcmp(&start->key, &ff->key, sizeof(ff->key)))
			continue;
		ff->src_to_dst_bytes -= start->src_to_dst_bytes;
		ff->dst_to_src_bytes -= start->dst_to_src_bytes;
	}
}

static void add_firefly(void *arg, const uint8_t *payload, uint32_t len_bytes, int64_t utc_us)
{
	struct firefly_sums *sums = arg;
	struct firefly ff;

	sums->datagrams++;
	assert_true(utc_us >= sums->last_utc_us);
	sums->last_utc_us = utc_us;
	if (firefly_parse(&ff, payload, len_bytes) != FIREFLY_OK) {
		sums->rejected++;
		return;
	}
	take_off_start(sums, &ff);
	sums->states[ff.state]++;
	sums->producers[ff.producer]++;
	sums->repaired += !!(ff.flags & FIREFLY_REPAIRED);
	assert_false(ff.flags & (FIREFLY_NO_TAG | FIREFLY_AFI_WRONG | FIREFLY_BAD_INTERVAL |
				 FIREFLY_MEMBER_ODD | FIREFLY_ODD_HEADER));
	/* the server's port is the low one: dCache's pool stands last, XRootD's server first, but for
	 * uploads over HTTP */
	if (ff.producer == FIREFLY_DCACHE)
		assert_true(ff.key.dst_port < 32768 && ff.key.src_port >= 32768);
	if (ff.producer == FIREFLY_XROOTD)
		assert_int_equal(ff.key.src_port < 32768, strcmp(ff.application, "http-put") != 0);
	if (ff.state == FIREFLY_END) {
		assert_true(ff.start_utc_us <= ff.end_utc_us);
		/* an interval that is shifted by less than a second is not told from a slow clock */
		assert_true(ff.end_utc_us <= utc_us + US_PER_S);
		if (ff.src_to_dst_bytes == FIREFLY_BYTES_UNSAID)
			return;
		if (ff.src_to_dst_bytes > ff.dst_to_src_bytes) {
			sums->bytes += ff.src_to_dst_bytes;
		} else {
			sums->bytes += ff.dst_to_src_bytes;
			sums->bytes_dst_to_src += ff.dst_to_src_bytes;
		}
	}
}

static void fireflies_add_up_to_the_truth(void **state)
{
	struct firefly_sums sums = {.starts = calloc(STARTS_MAX, sizeof(*sums.starts))};
	uint64_t starts = 0, bytes = 0;
	json_t *truth, *o;
	size_t i;

	(void)state;
	assert_int_equal(gen("firefly", "--flows", "1500", "--packets", "300000", "--out",
			     path_of("a.pcap"), "--truth", path_of("truth.json"), NULL),
			 CLI_OK);
	truth = load_truth();
	each_datagram(add_firefly, &sums);
	free(sums.starts);
	assert_int_equal(sums.datagrams, number_at(truth, "datagrams"));
	assert_int_equal(sums.rejected, number_at(truth, "rejected.no_json"));
	assert_int_equal(sums.datagrams - sums.rejected, number_at(truth, "accepted"));
	assert_int_equal(sums.states[FIREFLY_START], number_at(truth, "starts"));
	assert_int_equal(sums.states[FIREFLY_ONGOING], number_at(truth, "ongoings"));
	assert_int_equal(sums.states[FIREFLY_END], number_at(truth, "ends"));
	assert_int_equal(sums.bytes, number_at(truth, "bytes"));
	assert_int_equal(sums.bytes_dst_to_src, number_at(truth, "bytes_dst_to_src"));
	assert_in_range(sums.bytes_dst_to_src, sums.bytes / 10, sums.bytes);
	assert_true(sums.repaired > 0 && sums.states[FIREFLY_ONGOING] > 0);
	assert_int_equal(sums.producers[FIREFLY_OTHER], 0);
	for (int p = FIREFLY_OTHER + 1; p < FIREFLY_PRODUCER_COUNT; p++) {
		o = json_object_get(json_object_get(truth, "producers"), firefly_producer_name(p));
		assert_int_equal(sums.producers[p], number_at(o, "starts") +
							    number_at(o, "ongoings") +
							    number_at(o, "ends"));
		assert_true(sums.producers[p] > 0);
	}
	json_array_foreach(json_object_get(truth, "tags"), i, o)
	{
		starts += number_at(o, "starts");
		bytes += number_at(o, "bytes");
	}
	assert_int_equal(starts, sums.states[FIREFLY_START]);
	assert_int_equal(bytes, sums.bytes);
	json_decref(truth);
}

/* --- the same flows in all kinds ------------------------------------------------------------------------ */

#define FLOWS_MAX 4096

struct flows {
	struct flow_key keys[FLOWS_MAX];
	size_t n;
	uint64_t found, sought;
};

static struct flow_key turned(const struct flow_key *key)
{
	struct flow_key back = *key;

	memcpy(back.src_ip, key->dst_ip, 16);
	memcpy(back.dst_ip, key->src_ip, 16);
	back.src_port = key->dst_port;
	back.dst_port = key->src_port;
	return back;
}

static int has_flow(const struct flows *flows, const struct flow_key *key)
{
	const struct flow_key back = turned(key);

	for (size_t i = 0; i < flows->n; i++)
		if (memcmp(&flows->keys[i], key, sizeof(*key)) == 0 ||
		    memcmp(&flows->keys[i], &back, sizeof(back)) == 0)
			return 1;
	return 0;
}

static void note_flow(void *arg, const struct capture_frame *f)
{
	struct flows *flows = arg;
	struct packet p;

	if (packet_parse(&p, f->bytes, f->captured_bytes, PACKET_LINK_ETHERNET) != PACKET_OK ||
	    has_flow(flows, &p.key))
		return;
	assert_true(flows->n < FLOWS_MAX);
	flows->keys[flows->n++] = p.key;
}

static void seek_flow(void *arg, const uint8_t *payload, uint32_t len_bytes, int64_t utc_us)
{
	struct flows *flows = arg;
	struct firefly ff;

	(void)utc_us;
	if (firefly_parse(&ff, payload, len_bytes) != FIREFLY_OK)
		return;
	flows->sought++;
	flows->found += (uint64_t)has_flow(flows, &ff.key);
}

static void fireflies_speak_of_the_capture_s_flows(void **state)
{
	static struct flows flows;
	struct capture *capture;
	char why[256];
	json_t *truth;

	(void)state;
	assert_int_equal(gen("pcap", "--seed", "9", "--packets", "20000", "--flows", "400", "--out",
			     path_of("a.pcap"), "--truth", path_of("truth.json"), NULL),
			 CLI_OK);
	assert_int_equal(capture_open_file(&capture, path_of("a.pcap"), why, sizeof(why)), 0);
	while (capture_drain(capture, 0, note_flow, &flows) > 0)
		;
	capture_close(capture);
	truth = load_truth();
	assert_int_equal(flows.n, number_at(truth, "flows"));
	json_decref(truth);
	assert_int_equal(gen("firefly", "--seed", "9", "--packets", "20000", "--flows", "400",
			     "--out", path_of("a.pcap"), NULL),
			 CLI_OK);
	each_datagram(seek_flow, &flows);
	assert_true(flows.sought > 400);
	assert_int_equal(flows.found, flows.sought);
}

/* --- replay --now --------------------------------------------------------------------------------------- */

/* An hour and a second later: 00:59:59 becomes 02:00:00. */
static void times_move_and_everything_else_stays(void **state)
{
	static const char before[] = "<134>1 2026-02-28T23:59:59.001001+00:00 h x - firefly-json - "
				     "{\"a\":\"2026-12-31T23:00:00,5Z\","
				     "\"b\":\"2026-01-01t00:00:00Z\",\"c\":\"12026-01-01T00:00:00+"
				     "02:00\",\"d\":\"2026-13-01T00:00:00Z\","
				     "\"e\":\"2026-01-01T00:00:0";
	static const char after[] = "<134>1 2026-03-01T01:00:00.001001+00:00 h x - firefly-json - "
				    "{\"a\":\"2027-01-01T00:00:01,5Z\","
				    "\"b\":\"2026-01-01t00:00:00Z\",\"c\":\"12026-01-01T01:00:01+"
				    "02:00\",\"d\":\"2026-13-01T00:00:00Z\","
				    "\"e\":\"2026-01-01T00:00:0";
	uint8_t *text = malloc(sizeof(before) - 1);

	(void)state;
	memcpy(text, before, sizeof(before) - 1);
	replay_shift_times(text, sizeof(before) - 1, 3601);
	assert_memory_equal(text, after, sizeof(after) - 1);
	free(text);
}

struct again {
	struct replay_sflow *replay;
	struct sflow_sums sums;
	int64_t first_utc_us;
};

static void rewrite(void *arg, const uint8_t *payload, uint32_t len_bytes, int64_t utc_us)
{
	struct again *again = arg;
	uint8_t *copy = malloc(len_bytes);

	if (again->first_utc_us == 0)
		again->first_utc_us = utc_us;
	memcpy(copy, payload, len_bytes);
	replay_sflow_rewrite(again->replay, copy, len_bytes, utc_us - again->first_utc_us);
	if (again->sums.datagrams == 0) /* the first pass changes nothing */
		assert_memory_equal(copy, payload, len_bytes);
	add_sflow(&again->sums, copy, len_bytes, utc_us); /* asserts that all grows without a gap */
	free(copy);
}

static void assert_close(uint64_t grown, uint64_t once, double factor)
{
	assert_true((double)grown > (double)once * factor * 0.8);
	assert_true((double)grown < (double)once * factor * 1.2);
}

static void counters_grow_across_loops(void **state)
{
	static struct again again;
	uint64_t once[4], once_out[4];

	(void)state;
	again.replay = replay_sflow_open();
	assert_int_equal(gen("sflow", "--agents", "3", "--rate", "100", "--packets", "200000",
			     "--out", path_of("a.pcap"), NULL),
			 CLI_OK);
	each_datagram(rewrite, &again);
	memcpy(once, again.sums.agents[1].octets, sizeof(once));
	memcpy(once_out, again.sums.agents[1].out_octets, sizeof(once_out));
	for (int pass = 2; pass <= 4; pass++) {
		replay_sflow_again(again.replay, 60 * US_PER_S);
		each_datagram(rewrite, &again);
		/* the last counter samples are of second 50 of 60: `pass` minutes less ten seconds, and
		 * what was not recorded in between went on at the average */
		for (int port = 1; port <= 2; port++) {
			double factor = (pass * 60 - 10) / 50.0;

			assert_close(again.sums.agents[1].octets[port], once[port], factor);
			assert_close(again.sums.agents[1].out_octets[port], once_out[port], factor);
		}
	}
	replay_sflow_close(again.replay);
}

/* A counter sample of agent 192.0.2.7, interface 3; written down from the specification. */
static uint32_t counter_datagram(uint8_t *buf, uint32_t sequence, uint64_t in_octets,
				 uint64_t out_octets)
{
	struct gen_bytes b = {buf, 256, 0};

	for (size_t i = 0; i < 7;
	     i++) /* version, IPv4, agent, sub-agent, sequence, uptime, samples */
		gen_put_be32(&b,
			     (uint32_t[]){5, 1, 0xC0000207, 0, sequence, sequence * 1000, 1}[i]);
	for (size_t i = 0; i < 7;
	     i++) /* counter sample, its length, sequence, source, record 0:1 */
		gen_put_be32(&b, (uint32_t[]){2, 108, sequence, 3, 1, 1, 88}[i]);
	for (size_t i = 0; i < 6; i++) /* index, type, speed, direction, status */
		gen_put_be32(&b, (uint32_t[]){3, 6, 2, 0x540BE400, 1, 3}[i]);
	gen_put_be64(&b, in_octets);
	gen_put_zeros(&b, 24);
	gen_put_be64(&b, out_octets);
	gen_put_zeros(&b, 24);
	return (uint32_t)b.at;
}

static void add_sflow_counters(struct sflow_sums *sums, const uint8_t *payload, uint32_t len_bytes)
{
	struct sflow_reader reader;
	struct sflow_datagram d;
	struct sflow_sample s;
	enum sflow_verdict verdict = sflow_open(&reader, &d, payload, len_bytes);

	assert_int_equal(verdict, SFLOW_OK);
	assert_true(sflow_next(&reader, &s, &verdict) && s.kind == SFLOW_COUNTERS);
	assert_int_equal(d.sequence, ++sums->agents[d.agent_ip[15]].sequence);
	add_counters(sums, d.agent_ip[15], &s);
}

/* Ten seconds are recorded of a pass of twenty: by its end as much again has gone by unseen. */
static void counters_go_on_at_their_average(void **state)
{
	const uint64_t two_33 = 0x200000000;
	struct replay_sflow *replay = replay_sflow_open();
	struct sflow_sums sums = {0};
	uint8_t buf[256];
	uint32_t n;

	(void)state;
	for (int pass = 1; pass <= 2; pass++) {
		for (uint32_t i = 0; i < 2; i++) {
			n = counter_datagram(buf, 1 + i, 5 + 10 * i, two_33 - 16 + 32 * i);
			replay_sflow_rewrite(replay, buf, n, i * 10 * US_PER_S);
			add_sflow_counters(&sums, buf, n);
		}
		replay_sflow_again(replay, 20 * US_PER_S);
	}
	/* 5, 15, then 10 more to begin with: 25, 35; and -16, +16, +48, +80 around 2^33 */
	assert_int_equal(sums.agents[7].octets[3], 35);
	assert_int_equal(sums.agents[7].out_octets[3], two_33 + 80);
	replay_sflow_close(replay);
}

/* Cut anywhere, a datagram is rewritten as far as it goes and not a byte beyond. */
static void cut_datagrams_are_safe(void *arg, const uint8_t *payload, uint32_t len_bytes,
				   int64_t utc_us)
{
	struct replay_sflow *replay = arg;

	for (uint32_t n = 0; n < len_bytes; n += 1 + n / 64) {
		uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, payload, n);
		replay_sflow_rewrite(replay, copy, n, utc_us);
		free(copy);
	}
}

static void truncated_datagrams_are_rewritten_safely(void **state)
{
	struct replay_sflow *replay = replay_sflow_open();

	(void)state;
	assert_int_equal(gen("sflow", "--agents", "3", "--rate", "1000", "--packets", "100000",
			     "--out", path_of("a.pcap"), NULL),
			 CLI_OK);
	each_datagram(cut_datagrams_are_safe, replay);
	replay_sflow_again(replay, US_PER_S);
	each_datagram(cut_datagrams_are_safe, replay);
	replay_sflow_close(replay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tshark_counts_what_the_truth_says),
		cmocka_unit_test(the_same_seed_makes_the_same_bytes),
		cmocka_unit_test(what_cannot_be_made_is_said),
		cmocka_unit_test(shares_and_carriers_are_as_asked),
		cmocka_unit_test(sflow_samples_add_up_to_the_truth),
		cmocka_unit_test(fireflies_add_up_to_the_truth),
		cmocka_unit_test(fireflies_speak_of_the_capture_s_flows),
		cmocka_unit_test(times_move_and_everything_else_stays),
		cmocka_unit_test(counters_grow_across_loops),
		cmocka_unit_test(counters_go_on_at_their_average),
		cmocka_unit_test(truncated_datagrams_are_rewritten_safely),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
