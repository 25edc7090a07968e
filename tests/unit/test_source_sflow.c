/* The sFlow input: what its samples become, and that every datagram and sample is accounted for. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "observer/sflow_input.h"
#include "sflow/agent.h"
#include "tests/unit/sflow_build.h"

#define NOW_US (1700000000LL * US_PER_S)

struct bed {
	struct source_context ctx;
	struct site *site;
	struct sflow_input *input;
	struct build build;
	struct source_second second; /* the newest */
};

static int open_bed(void **state)
{
	static const char *const prefixes[] = {"2001:db8:1::/48", "192.0.2.0/24"};
	const struct registry_keeper_config offline = {0};
	struct bed *bed = calloc(1, sizeof(*bed));
	struct store_config config;
	char why[128];

	assert_non_null(bed);
	store_config_default(&config);
	config.url = "sqlite::memory:";
	assert_int_equal(store_open(&bed->ctx.store, &config), 0);
	assert_int_equal(registry_keeper_open(&bed->ctx.registry, &offline), 0);
	assert_int_equal(site_open(&bed->site, prefixes, 2, why, sizeof(why)), 0);
	bed->ctx.site = bed->site;
	assert_int_equal(sflow_input_open(&bed->input, &bed->ctx, "sflow:[::]:6343"), 0);
	sflow_input_turn(bed->input, NOW_US);
	*state = bed;
	return 0;
}

static int close_bed(void **state)
{
	struct bed *bed = *state;

	source_second_free(&bed->second);
	sflow_input_close(bed->input);
	site_close(bed->site);
	registry_keeper_close(bed->ctx.registry);
	store_close(bed->ctx.store);
	free(bed);
	return 0;
}

static void send_bytes(struct bed *bed, const void *bytes, size_t n)
{
	uint8_t *copy = exact_copy(bytes, n);
	const struct udp_datagram d = {.bytes = copy, .len_bytes = (uint32_t)n};

	sflow_input_add(bed->input, &d);
	free(copy);
}

static void send_build(struct bed *bed)
{
	send_bytes(bed, bed->build.bytes, bed->build.n);
}

/* received = accepted + rejected + dropped, always; returns those rejected for this reason. */
static uint64_t rejected(const struct source_status *st, const char *name)
{
	uint64_t sum = st->accepted, found = 0;

	for (size_t i = 0; i < STORE_REASONS_MAX && st->rejected[i].name; i++) {
		sum += st->rejected[i].count;
		if (strcmp(st->rejected[i].name, name) == 0)
			found = st->rejected[i].count;
	}
	for (size_t i = 0; i < 4 && st->dropped[i].name; i++)
		sum += st->dropped[i].count;
	assert_int_equal(st->received, sum);
	return found;
}

/* What was seen of flows adds up to each row of packets with addresses. */
static void check_seen(const struct source_second *second)
{
	for (size_t i = 0; i < second->n_rows && !second->not_followed; i++) {
		const struct traffic_key *k = &second->rows[i].key;
		const struct traffic_value *v = &second->rows[i].value;
		struct traffic_value sum = {0};

		if (!k->family || k->experiment == STORE_FOLDED)
			continue;
		for (size_t n = 0; n < second->n_seen; n++) {
			const struct seen *seen = &second->seen[n];

			if (seen->source != k->source || seen->direction != k->direction ||
			    seen->key.family != k->family || seen->tag.carrier != k->carrier ||
			    seen->tag.grade != k->grade ||
			    seen->tag.tag.experiment != k->experiment ||
			    seen->tag.tag.activity != k->activity)
				continue;
			sum.packets += seen->packets;
			sum.bytes += seen->bytes;
			sum.ip_bytes += seen->ip_bytes;
			sum.samples += seen->samples;
			sum.bytes_variance += seen->bytes_variance;
		}
		assert_int_equal(sum.packets, v->packets);
		assert_int_equal(sum.bytes, v->bytes);
		assert_int_equal(sum.ip_bytes, v->ip_bytes);
		assert_int_equal(sum.samples, v->samples);
		assert_true(fabs(sum.bytes_variance - v->bytes_variance) <=
			    1e-9 * v->bytes_variance);
	}
}

/* Take the second; its statuses, the input's first. */
static const struct source_status *take(struct bed *bed, int64_t now_utc_us, size_t n_agents)
{
	source_second_free(&bed->second);
	sflow_input_turn(bed->input, now_utc_us);
	sflow_input_take(bed->input, 0, "", &bed->second);
	assert_int_equal(bed->second.n_statuses, 1 + n_agents);
	check_seen(&bed->second);
	for (size_t i = 0; i <= n_agents; i++)
		rejected(&bed->second.statuses[i], "");
	return bed->second.statuses;
}

static const struct traffic_row *row_of(const struct bed *bed, int experiment, int activity,
					uint8_t family)
{
	const struct traffic_row *found = NULL;

	for (size_t i = 0; i < bed->second.n_rows; i++) {
		const struct traffic_row *row = &bed->second.rows[i];

		if (row->key.experiment != experiment || row->key.activity != activity ||
		    row->key.family != family)
			continue;
		assert_null(found);
		found = row;
	}
	assert_non_null(found);
	return found;
}

/* --- what samples become ---------------------------------------------------------------- */

/* The vector's story, and its sums: 2 x 2048 packets, (1498 + 1510) x 2048 bytes; IP bytes are the
 * payload lengths 1440 and 1448 and 40 of header. The discarded packet is none of it. */
static void four_samples(void **state)
{
	struct bed *bed = *state;
	const struct source_status *st;
	const struct traffic_row *do_tag, *label_tag;
	uint8_t bytes[1024];

	send_bytes(bed, bytes,
		   read_hex("tests/vectors/sflow-four-samples.hex", bytes, sizeof(bytes)));
	st = take(bed, NOW_US, 1);
	assert_int_equal(bed->second.n_rows, 2);
	do_tag = row_of(bed, 3, 14, 6);
	label_tag = row_of(bed, 2, 9, 6);
	assert_int_equal(do_tag->key.carrier, CARRIER_DESTINATION);
	assert_int_equal(do_tag->key.grade, GRADE_CONFIRMED);
	assert_int_equal(do_tag->key.direction, DIRECTION_OUT); /* from 2001:db8:1::10 */
	assert_int_equal(do_tag->value.packets, 2048);
	assert_int_equal(do_tag->value.samples, 1);
	assert_int_equal(do_tag->value.bytes, 1498 * 2048);
	assert_int_equal(do_tag->value.ip_bytes, 1480 * 2048);
	assert_true(do_tag->value.bytes_variance == 2048.0 * 2047 * 1498 * 1498);
	assert_int_equal(label_tag->key.carrier, CARRIER_LABEL);
	assert_int_equal(label_tag->key.grade, GRADE_REGISTERED);
	assert_int_equal(label_tag->value.ip_bytes, 1488 * 2048);
	assert_int_equal(do_tag->value.packets + label_tag->value.packets, 4096);
	assert_int_equal(do_tag->value.bytes + label_tag->value.bytes, 6160384);

	assert_string_equal(st[0].name, "sflow:[::]:6343");
	assert_string_equal(st[0].unit, "datagrams");
	assert_int_equal(st[0].kind, SOURCE_SFLOW_INPUT);
	assert_int_equal(st[0].received, 1);
	assert_int_equal(st[0].accepted, 1);
	assert_int_equal(st[0].bytes, 564);
	assert_string_equal(st[1].name, "sflow:192.0.2.254");
	assert_string_equal(st[1].unit, "samples");
	assert_int_equal(st[1].kind, SOURCE_SFLOW_AGENT);
	assert_int_equal(st[1].parent, st[0].id);
	assert_int_equal(st[1].received, 2);
	assert_int_equal(st[1].accepted, 2);
	assert_int_equal(st[1].sampling_rate, 2048);
	assert_true(st[1].effective_rate == 2048); /* the pool grew by 2048 in one sample */
	assert_string_equal(st[1].detail, "1 counter samples, 1 discarded packets");
	assert_int_equal(do_tag->key.source, st[1].id);
	assert_int_equal(store_source_find(bed->ctx.store, "sflow:192.0.2.254"), st[1].id);
}

/* An IPv6 header with the label of tag 2/9, and of TCP what is needed for ports: 44 bytes. */
static const uint8_t ipv6_packet[44] = {
	0x60, 0x01, 0x00, 0x24, 0x00, 0x40, 6, 64, 0x20, 0x01, 0x0d, 0xb8, 0,    2,    0,
	0,    0,    0,    0,    0,    0,    0, 0,  0x20, 0x20, 0x01, 0x0d, 0xb8, 0,    1,
	0,    0,    0,    0,    0,    0,    0, 0,  0,    0x10, 0x04, 0x46, 0x9c, 0x40,
};
/* 192.0.2.1 -> 198.51.100.2, UDP, 100 bytes */
static const uint8_t ipv4_packet[24] = {
	0x45, 0, 0, 100, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2, 0, 53, 0, 53,
};

static void send_header(struct bed *bed, uint32_t protocol, const void *before, size_t n_before,
			const void *packet, size_t n_packet)
{
	uint8_t header[128];
	static uint32_t sequence;
	size_t at;

	memcpy(header, before, n_before);
	memcpy(header + n_before, packet, n_packet);
	sequence++;
	put_datagram(&bed->build, 1, 0, sequence, sequence, 1);
	at = begin_flow(&bed->build, sequence, 10, sequence * 10, 0, 1);
	put_raw_header(&bed->build, protocol, 200, header, (uint32_t)(n_before + n_packet));
	end_part(&bed->build, at);
	send_build(bed);
}

/* Each way a link can begin leads to the same packet: two frames a protocol with IPv6, one with
 * IPv4. Frame lengths are 200 and 10 is the rate. */
static void header_protocols(void **state)
{
	static const uint8_t ethernet6[14] = {2, [11] = 1, 0x86, 0xdd};
	static const uint8_t ppp6[] = {0xff, 0x03, 0x00, 0x57}, ppp6_short[] = {0x00, 0x57};
	static const uint8_t mpls[] = {0x00, 0x01, 0x00, 0x40, 0x00, 0x02, 0x01, 0x40};
	struct bed *bed = *state;

	send_header(bed, 1, ethernet6, 14, ipv6_packet, 44);
	send_header(bed, 7, ppp6, 4, ipv6_packet, 44);
	send_header(bed, 7, ppp6_short, 2, ipv6_packet, 44);
	send_header(bed, 12, "", 0, ipv6_packet, 44);
	send_header(bed, 13, mpls, 8, ipv6_packet, 44);
	send_header(bed, 11, "", 0, ipv4_packet, 24);
	send_header(bed, 13, mpls, 8, ipv4_packet, 24);
	assert_int_equal(take(bed, NOW_US, 1)[1].accepted, 7);
	assert_int_equal(bed->second.n_rows, 2);
	assert_int_equal(row_of(bed, 2, 9, 6)->value.packets, 50);
	assert_int_equal(row_of(bed, 2, 9, 6)->value.bytes, 10000);
	assert_int_equal(row_of(bed, 2, 9, 6)->value.ip_bytes, 50 * 104);
	assert_int_equal(row_of(bed, 2, 9, 6)->key.direction, DIRECTION_IN);
	assert_int_equal(row_of(bed, 0, 0, 4)->value.packets, 20);
	assert_int_equal(row_of(bed, 0, 0, 4)->value.ip_bytes, 2000);
	assert_int_equal(row_of(bed, 0, 0, 4)->key.direction, DIRECTION_OUT);
	assert_int_equal(row_of(bed, 0, 0, 4)->key.grade, GRADE_UNTAGGED);
}

/* Addresses without a header: counted as traffic, and said to hide their labels. */
static void sampled_ip(void **state)
{
	struct bed *bed = *state;
	struct build *b = &bed->build;
	const struct source_status *st;
	size_t at, record;

	put_datagram(b, 1, 0, 1, 1, 2);
	at = begin_flow(b, 1, 100, 1, 0, 1);
	record = begin_part(b, 3);
	put_words(b, 1480, 6, 0xC0000201, 0xC6336402, 1094, 40000, 0x18, 0);
	end_part(b, record);
	end_part(b, at);
	at = begin_flow(b, 2, 100, 101, 0, 1);
	record = begin_part(b, 4);
	put_words(b, 1400, 6, 0x20010db8, 0x10000, 0, 0x10, 0x20010db8, 0x10000, 0, 0x20, 443,
		  50000, 0, 0);
	end_part(b, record);
	end_part(b, at);
	send_build(bed);
	st = take(bed, NOW_US, 1);
	assert_int_equal(st[1].accepted, 2);
	assert_string_equal(st[1].detail, "1 IPv6 samples without a label");
	assert_int_equal(bed->second.n_rows, 2);
	assert_int_equal(row_of(bed, 0, 0, 4)->value.bytes, 148000);
	assert_int_equal(row_of(bed, 0, 0, 4)->key.direction, DIRECTION_OUT);
	assert_int_equal(row_of(bed, 0, 0, 6)->value.bytes, 140000);
	assert_int_equal(row_of(bed, 0, 0, 6)->key.grade, GRADE_UNTAGGED);
	assert_int_equal(row_of(bed, 0, 0, 6)->key.carrier, CARRIER_NONE);
	assert_int_equal(row_of(bed, 0, 0, 6)->key.direction, DIRECTION_INTERNAL);
}

/* A rate of 0 is no rate: one packet was seen, so one is counted. */
static void rate_zero(void **state)
{
	struct bed *bed = *state;
	size_t at;

	put_datagram(&bed->build, 1, 0, 1, 1, 1);
	at = begin_flow(&bed->build, 1, 0, 0, 0, 1);
	put_raw_header(&bed->build, 12, 104, ipv6_packet, sizeof(ipv6_packet));
	end_part(&bed->build, at);
	send_build(bed);
	assert_string_equal(take(bed, NOW_US, 1)[1].detail, "1 samples of rate 0");
	assert_int_equal(row_of(bed, 2, 9, 6)->value.packets, 1);
	assert_int_equal(row_of(bed, 2, 9, 6)->value.bytes, 104);
}

/* A switch that samples both ways on both interfaces of a path: 40 samples, 400 packets, not 800. */
static void both_ways(void **state)
{
	struct bed *bed = *state;
	const struct source_status *st;

	for (uint32_t i = 0; i < 40; i++) {
		for (uint32_t source = 3; source <= 5; source += 2) {
			size_t at;

			put_datagram(&bed->build, 1, 0, i * 2 + source / 5, i, 1);
			at = begin_flow(&bed->build, i, 10, i * 10, 0, 1);
			set32(&bed->build, at + 4, source); /* from 3 to 5 */
			put_raw_header(&bed->build, 12, 104, ipv6_packet, sizeof(ipv6_packet));
			end_part(&bed->build, at);
			send_build(bed);
		}
	}
	st = take(bed, NOW_US + US_PER_S, 1);
	assert_int_equal(row_of(bed, 2, 9, 6)->value.packets, 400);
	assert_int_equal(st[1].received, 80);
	assert_int_equal(st[1].accepted, 40);
	assert_int_equal(rejected(&st[1], "counted_going_in"), 40);
}

/* --- what is refused --------------------------------------------------------------------- */

/* A frame that is no IP fills the link, too: it is traffic of no family and without a tag. */
static void frames_without_ip(void **state)
{
	static const uint8_t arp[64] = {2, [11] = 1, 0x08, 0x06};
	struct bed *bed = *state;
	const struct source_status *st;

	send_header(bed, 1, arp, sizeof(arp), "", 0);
	st = take(bed, NOW_US, 1);
	assert_int_equal(st[1].accepted, 1);
	assert_int_equal(row_of(bed, 0, 0, 0)->value.packets, 10);
	assert_int_equal(row_of(bed, 0, 0, 0)->value.bytes, 2000);
	assert_int_equal(row_of(bed, 0, 0, 0)->value.ip_bytes, 0);
	assert_int_equal(row_of(bed, 0, 0, 0)->key.grade, GRADE_UNTAGGED);
}

static void samples_that_are_no_packet(void **state)
{
	struct bed *bed = *state;
	const struct source_status *st;
	size_t at;

	send_header(bed, 12, "", 0, ipv6_packet, 39); /* the header is cut */
	send_header(bed, 11, "", 0, "\x44", 1);
	send_header(bed, 4, "", 0, ipv6_packet, 44); /* FDDI */
	send_header(bed, 12, "", 0, ipv6_packet, 44);
	put_datagram(&bed->build, 1, 0, 99, 99, 3);
	end_part(&bed->build, begin_flow(&bed->build, 99, 10, 990, 0, 0)); /* no record at all */
	at = begin_part(&bed->build, 1);
	put_words(&bed->build, 100, 3); /* too short for a flow sample */
	end_part(&bed->build, at);
	end_part(&bed->build, begin_part(&bed->build, 4413 << 12 | 1));
	send_build(bed);
	st = take(bed, NOW_US, 1);
	assert_int_equal(st[1].received, 6);
	assert_int_equal(st[1].accepted, 1);
	assert_int_equal(rejected(&st[1], "short"), 2);
	assert_int_equal(rejected(&st[1], "unknown_link"), 1);
	assert_int_equal(rejected(&st[1], "no_packet"), 1);
	assert_int_equal(rejected(&st[1], "damaged"), 1);
	assert_int_equal(rejected(&st[0], "malformed"), 1); /* the datagram with the short one */
	assert_int_equal(st[0].accepted, 4);
	assert_string_equal(st[0].detail, "1 agents, 1 samples of unknown kind");
	assert_int_equal(bed->second.n_rows, 1);
}

/* One in 16,777,216 and frames of 1 MiB are believed, a step more is not. */
static void numbers_beyond_belief(void **state)
{
	static const struct {
		uint32_t rate, frame_bytes;
	} cases[] = {{1 << 24, 1 << 20}, {(1 << 24) + 1, 104}, {1, (1 << 20) + 1}, {~0u, ~0u}};
	struct bed *bed = *state;
	const struct source_status *st;

	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t at;

		put_datagram(&bed->build, 1, 0, i, i, 1);
		at = begin_flow(&bed->build, i, cases[i].rate, i, 0, 1);
		put_raw_header(&bed->build, 12, cases[i].frame_bytes, ipv6_packet,
			       sizeof(ipv6_packet));
		end_part(&bed->build, at);
		send_build(bed);
	}
	st = take(bed, NOW_US, 1);
	assert_int_equal(st[1].accepted, 1);
	assert_int_equal(rejected(&st[1], "implausible"), 3);
	assert_int_equal(row_of(bed, 2, 9, 6)->value.bytes, 1ULL << 44);
}

static void datagrams_that_are_none(void **state)
{
	struct bed *bed = *state;
	struct source_second second = {0};
	const struct source_status *st;

	put_datagram(&bed->build, 1, 0, 1, 1, 0);
	send_build(bed);
	send_bytes(bed, bed->build.bytes, 0);
	send_bytes(bed, bed->build.bytes, 27);
	set32(&bed->build, 4, 3);
	send_build(bed);
	set32(&bed->build, 0, 2);
	send_build(bed);
	sflow_input_take(bed->input, 7, "64 MiB buffer", &second);
	st = second.statuses;
	assert_int_equal(st->received, 12);
	assert_int_equal(st->accepted, 1);
	assert_int_equal(rejected(st, "short"), 2);
	assert_int_equal(rejected(st, "agent_type"), 1);
	assert_int_equal(rejected(st, "version"), 1);
	assert_string_equal(st->dropped[0].name, "kernel");
	assert_int_equal(st->dropped[0].count, 7);
	assert_string_equal(st->detail, "64 MiB buffer, 1 agents");
	source_second_free(&second);
}

static void datagrams_that_come_twice(void **state)
{
	struct bed *bed = *state;
	const struct source_status *st;

	for (uint32_t i = 0; i < 10; i++) {
		size_t at;

		put_datagram(&bed->build, 1, 0, i, i, 1);
		at = begin_flow(&bed->build, i, 10, i * 10, 0, 1);
		put_raw_header(&bed->build, 12, 104, ipv6_packet, sizeof(ipv6_packet));
		end_part(&bed->build, at);
		send_build(bed);
		if (i)
			send_build(bed);
	}
	st = take(bed, NOW_US, 1);
	assert_int_equal(st[0].received, 19);
	assert_int_equal(st[0].accepted, 10);
	assert_int_equal(rejected(&st[0], "repeated"), 9);
	assert_int_equal(st[1].received, 10);
	assert_int_equal(row_of(bed, 2, 9, 6)->value.packets, 100);
}

/* The samples of agents that find no place are counted, under the input's own name. */
static void more_agents_than_places(void **state)
{
	struct bed *bed = *state;
	const struct source_status *st;
	uint64_t packets = 0, of_input = 0;

	for (uint32_t sub = 0; sub < SFLOW_AGENTS_MAX + 10; sub++) {
		size_t at;

		put_datagram(&bed->build, 1, sub, 1, 1, 1);
		at = begin_flow(&bed->build, 1, 10, 1, 0, 1);
		put_raw_header(&bed->build, 12, 104, ipv6_packet, sizeof(ipv6_packet));
		end_part(&bed->build, at);
		send_build(bed);
	}
	st = take(bed, NOW_US, SFLOW_AGENTS_MAX);
	for (size_t i = 0; i < bed->second.n_rows; i++) {
		packets += bed->second.rows[i].value.packets;
		if (bed->second.rows[i].key.source == st[0].id)
			of_input += bed->second.rows[i].value.packets;
	}
	assert_int_equal(packets, (SFLOW_AGENTS_MAX + 10) * 10);
	assert_int_equal(of_input, 100);
	assert_string_equal(st[0].detail, "256 agents, 10 refused by full tables");
	assert_string_equal(st[1].name, "sflow:192.0.2.1");
	assert_string_equal(st[2].name, "sflow:192.0.2.1/1");
}

/* --- what an agent's health shows -------------------------------------------------------- */

/* 100 samples a second of 1,000 bytes at one in 10, of which every second one is lost on the way; the
 * interface counts all 1,000 packets, so 1,000,000 bytes/s going in and half of that going out. */
static void loss_and_counters(void **state)
{
	struct bed *bed = *state;
	struct build *b = &bed->build;
	const struct source_status *st = NULL;
	uint32_t sample = 0, counters = 0, datagram = 0;

	for (uint32_t second = 0; second < 60; second++) {
		for (uint32_t i = 0; i < 100; i++, sample++) {
			size_t at;

			datagram++;
			if (sample % 2)
				continue;
			put_datagram(b, 1, 0, datagram, second * 1000 + i * 10, 1);
			at = begin_flow(b, sample, 10, sample * 10, 0, 1);
			put_raw_header(b, 12, 1000, ipv6_packet, sizeof(ipv6_packet));
			end_part(b, at);
			send_build(bed);
		}
		if (second % 20 == 0) {
			put_datagram(b, 1, 0, ++datagram, second * 1000 + 995, 1);
			put_if_counters(b, ++counters, 3, 1000000000, second * 1000000,
					second * 500000);
			send_build(bed);
		}
		st = take(bed, NOW_US + (second + 1) * US_PER_S, 1);
	}
	assert_int_equal(st[1].accepted, 3000);
	assert_int_equal(st[1].lost, 2999); /* the one after the last is not missed yet */
	assert_string_equal(st[1].detail, "3 counter samples, 2999 samples missing");
	assert_int_equal(st[1].sampling_rate, 10);
	assert_true(st[1].effective_rate == 20);
	assert_int_equal(st[1].if_speed_bps, 1000000000);
	assert_true(st[1].if_bytes_per_s == 1000000); /* sampled going in: in only */
	/* half of the samples, at the announced rate: what is missing shows */
	assert_true(st[1].flow_bytes_per_s > 499999 && st[1].flow_bytes_per_s < 500001);
	assert_int_equal(st[1].up, 1);
	st = take(bed, NOW_US + 121 * US_PER_S, 1);
	assert_int_equal(st[1].up, 0);
	st = take(bed, NOW_US + 300 * US_PER_S, 1);
	assert_true(st[1].if_bytes_per_s == 0); /* counted too long ago */
}

/* --- are the estimates right? ------------------------------------------------------------ */

/* Steele and Vigna's splitmix64: the same numbers everywhere. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Five hundred times 2,000 packets of three sizes, each taken with a chance of one in 10. One estimate
 * scatters by sqrt(9 x sum of b^2) / sum of b = 8.6 %, their mean by 0.4 %: it is the truth within 1.2 %
 * (3 sigma). And 95 in 100 are within 1.96 sigma of their own variance: 475 +- 15 (3 sigma). */
static void estimates_and_their_errors(void **state)
{
	static const uint32_t sizes[] = {100, 600, 1518};
	struct bed *bed = *state;
	struct build *b = &bed->build;
	uint64_t random = 1;
	uint32_t sequence = 0, within = 0;
	double truth_sum = 0, estimate_sum = 0;

	for (uint32_t trial = 0; trial < 500; trial++) {
		const struct traffic_value *v;
		uint64_t truth = 0;
		double off;

		for (uint32_t i = 0; i < 2000; i++) {
			uint32_t frame_bytes = sizes[next_random(&random) % 3];
			size_t at;

			truth += frame_bytes;
			if (next_random(&random) % 10)
				continue;
			sequence++;
			put_datagram(b, 1, 0, sequence, sequence, 1);
			at = begin_flow(b, sequence, 10, sequence * 10, 0, 1);
			put_raw_header(b, 12, frame_bytes, ipv6_packet, sizeof(ipv6_packet));
			end_part(b, at);
			send_build(bed);
		}
		take(bed, NOW_US + trial * US_PER_S, 1);
		v = &row_of(bed, 2, 9, 6)->value;
		off = (double)v->bytes - (double)truth;
		within += off * off <= 1.96 * 1.96 * v->bytes_variance;
		truth_sum += (double)truth;
		estimate_sum += (double)v->bytes;
	}
	assert_true(estimate_sum > 0.988 * truth_sum && estimate_sum < 1.012 * truth_sum);
	assert_in_range(within, 460, 490);
}

/* --- the socket -------------------------------------------------------------------------- */

static int socket_to(int family, const char *address, unsigned int port)
{
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(family, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	if (family == AF_INET6) {
		inet_pton(AF_INET6, address, &to6.sin6_addr);
		assert_int_equal(connect(fd, (struct sockaddr *)&to6, sizeof(to6)), 0);
	} else {
		inet_pton(AF_INET, address, &to4.sin_addr);
		assert_int_equal(connect(fd, (struct sockaddr *)&to4, sizeof(to4)), 0);
	}
	return fd;
}

/* Both families into one socket: 2,000 good datagrams of one sample, 20 of version 4. What the
 * kernel could not hold counts as received and dropped; with 32 MiB nothing is. */
static void both_families_over_loopback(void **state)
{
	struct bed *bed = *state;
	struct source *source;
	struct source_second second = {0};
	uint64_t packets = 0;
	unsigned int port;
	int fds[2];

	assert_int_equal(source_sflow_open(&source, &bed->ctx, ":0"), 0);
	source_ask(source);
	assert_int_equal(source_take(source, &second), 0);
	assert_int_equal(sscanf(second.statuses->name, "sflow:[::]:%u", &port), 1);
	source_second_free(&second);
	fds[0] = socket_to(AF_INET6, "::1", port);
	fds[1] = socket_to(AF_INET, "127.0.0.1", port);
	for (uint32_t i = 1; i <= 1010; i++) {
		for (uint32_t f = 0; f < 2; f++) {
			size_t at;

			put_datagram(&bed->build, 1, f, i, i, 1);
			at = begin_flow(&bed->build, i, 10, i * 10, 0, 1);
			put_raw_header(&bed->build, 12, 104, ipv6_packet, sizeof(ipv6_packet));
			end_part(&bed->build, at);
			if (i % 101 == 0)
				set32(&bed->build, 0, 4);
			assert_int_equal(send(fds[f], bed->build.bytes, bed->build.n, 0),
					 bed->build.n);
		}
	}
	close(fds[0]);
	close(fds[1]);
	source_close(source, &second); /* reads what the kernel holds */
	assert_int_equal(second.n_statuses, 3);
	assert_int_equal(second.statuses[0].received, 2020);
	assert_int_equal(second.statuses[0].accepted + second.statuses[0].dropped[0].count, 2000);
	assert_int_equal(second.statuses[0].dropped[0].count, 0);
	assert_int_equal(rejected(&second.statuses[0], "version"), 20);
	for (size_t i = 0; i < second.n_rows; i++)
		packets += second.rows[i].value.packets;
	assert_int_equal(packets, 20000);
	for (size_t i = 1; i < 3; i++) {
		assert_int_equal(second.statuses[i].accepted, 1000);
		assert_int_equal(second.statuses[i].lost, 9); /* versions 4; the last shows not */
	}
	source_second_free(&second);
}

static void addresses_that_cannot_be(void **state)
{
	struct bed *bed = *state;
	struct source *first, *second = NULL;
	struct source_second rest = {0};
	unsigned int port;
	char listen[32];

	assert_int_equal(source_sflow_open(&second, &bed->ctx, "no address"), -EINVAL);
	assert_int_equal(source_sflow_open(&second, &bed->ctx, "[2001:db8::1]:6343"),
			 -EADDRNOTAVAIL);
	assert_int_equal(source_sflow_open(&first, &bed->ctx, "[::1]:0"), 0);
	source_ask(first);
	assert_int_equal(source_take(first, &rest), 0);
	assert_int_equal(sscanf(rest.statuses->name, "sflow:[::1]:%u", &port), 1);
	source_second_free(&rest);
	snprintf(listen, sizeof(listen), "[::1]:%u", port);
	assert_int_equal(source_sflow_open(&second, &bed->ctx, listen), -EADDRINUSE);
	assert_null(second);
	source_close(first, NULL);
}

#define ON_BED(test) cmocka_unit_test_setup_teardown(test, open_bed, close_bed)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BED(four_samples),
		ON_BED(header_protocols),
		ON_BED(sampled_ip),
		ON_BED(rate_zero),
		ON_BED(both_ways),
		ON_BED(frames_without_ip),
		ON_BED(samples_that_are_no_packet),
		ON_BED(numbers_beyond_belief),
		ON_BED(datagrams_that_are_none),
		ON_BED(datagrams_that_come_twice),
		ON_BED(more_agents_than_places),
		ON_BED(loss_and_counters),
		ON_BED(estimates_and_their_errors),
		ON_BED(both_families_over_loopback),
		ON_BED(addresses_that_cannot_be),
	};

	log_open(LOG_LEVEL_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
