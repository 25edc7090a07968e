/* What one core makes of sFlow: datagrams of seven samples with 128-byte headers, as switches send
 * them, through decoding, agent state, the packet walk and the aggregate; no socket. Prints flow
 * samples a second of CPU time, the median of five runs, for a quiet and for a crowded network.
 *
 * By hand, after make (tests/bench/run.sh does the same):
 *   cc -O2 -std=gnu11 -D_GNU_SOURCE -I. tests/bench/bench_sflow.c -Wl,--start-group \
 *      build/lib/observer.a build/lib/sflow.a build/lib/registry.a build/lib/store.a build/lib/base.a \
 *      -Wl,--end-group -lsqlite3 -lcurl -ljansson -lpthread -lm -o build/bench_sflow */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "observer/sflow_input.h"
#include "tests/unit/sflow_build.h"

#define RUNS            5
#define DATAGRAMS       256 /* different ones */
#define SAMPLES         7   /* in each */
#define SAMPLE_BYTES    192 /* 7 x 192 + 28 = 1,372 in a datagram */
#define ROUNDS          800
#define SAMPLES_PER_RUN (ROUNDS * DATAGRAMS * SAMPLES)

struct traffic {
	uint32_t agents; /* they take turns */
	size_t len[DATAGRAMS];
	uint8_t bytes[DATAGRAMS][2048];
};

/* Ethernet, IPv6 from one of 250 hosts, its label, a destination option on every eighth packet. */
static void make_header(uint8_t header[128], uint32_t n, uint32_t label, int with_option)
{
	static const uint8_t option[8] = {6, 0, 0x1e, 3, 0, 3, 14, 0};
	uint8_t *ip = header + 14;

	memset(header, 0, 128);
	header[0] = header[6] = 2;
	header[12] = 0x86;
	header[13] = 0xdd;
	ip[0] = 0x60;
	ip[1] = (uint8_t)(label >> 16);
	ip[2] = (uint8_t)(label >> 8);
	ip[3] = (uint8_t)label;
	ip[4] = 0x05;
	ip[5] = 0xa0;
	ip[6] = with_option ? 60 : 6;
	ip[7] = 64;
	memcpy(ip + 8, "\x20\x01\x0d\xb8\0\1", 6);
	memcpy(ip + 24, "\x20\x01\x0d\xb8\0\2", 6);
	ip[23] = (uint8_t)(n % 250);
	ip[39] = (uint8_t)(n % 77);
	if (with_option)
		memcpy(ip + 40, option, 8);
	memcpy(ip + 40 + (with_option ? 8 : 0), "\x04\x46\x9c\x40", 4);
}

static void make_traffic(struct traffic *t, int random_labels, uint32_t agents)
{
	static struct build b;
	uint8_t header[128];
	uint32_t n = 0;

	srand(1);
	t->agents = agents;
	for (uint32_t d = 0; d < DATAGRAMS; d++) {
		put_datagram(&b, (uint8_t)(1 + d % agents), 0, 0, 0, SAMPLES);
		for (uint32_t s = 0; s < SAMPLES; s++, n++) {
			uint32_t label =
				random_labels ? (uint32_t)rand() & SCITAG_LABEL_MASK : 0x10127;
			size_t at = begin_flow(&b, 0, 2048, 0, 0, 1);

			make_header(header, n, label, n % 8 == 0);
			put_raw_header(&b, 1, 1518, header, sizeof(header));
			end_part(&b, at);
		}
		t->len[d] = b.n;
		memcpy(t->bytes[d], b.bytes, b.n);
	}
}

static void store32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* Number datagram d as its agent would in this round: sequence and uptime, each sample's sequence and
 * pool. */
static void number(struct traffic *t, uint32_t round, uint32_t d)
{
	uint32_t sequence = round * (DATAGRAMS / t->agents) + d / t->agents;
	uint8_t *sample = t->bytes[d] + 28;

	store32(t->bytes[d] + 16, sequence);
	store32(t->bytes[d] + 20, round);
	for (uint32_t s = 0; s < SAMPLES; s++, sample += SAMPLE_BYTES) {
		store32(sample + 8, sequence * SAMPLES + s);
		store32(sample + 20, (sequence * SAMPLES + s) * 2048);
	}
}

/* Whether every sample was counted, and no loss was seen. */
static int is_complete(const struct source_second *second, uint32_t agents)
{
	uint64_t accepted = 0, lost = 0;

	for (size_t i = 1; i < second->n_statuses; i++) {
		accepted += second->statuses[i].accepted;
		lost += second->statuses[i].lost;
	}
	return second->n_statuses == 1 + agents && accepted == SAMPLES_PER_RUN && !lost;
}

/* Of this thread: what the machine does beside us does not count. */
static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure(const struct source_context *ctx, struct traffic *t, const char *what)
{
	double samples_per_s[RUNS];
	int complete = 1;

	for (size_t run = 0; run < RUNS; run++) {
		struct source_second second = {0};
		struct sflow_input *in;
		int64_t start_ns;

		if (sflow_input_open(&in, ctx, "sflow:bench"))
			return 1;
		start_ns = cpu_ns();
		for (uint32_t round = 0; round < ROUNDS; round++) {
			sflow_input_turn(in, clock_utc_us());
			for (uint32_t d = 0; d < DATAGRAMS; d++) {
				number(t, round, d);
				sflow_input_add(in, &(struct udp_datagram){
							    .bytes = t->bytes[d],
							    .len_bytes = (uint32_t)t->len[d]});
			}
		}
		samples_per_s[run] = SAMPLES_PER_RUN / ((double)(cpu_ns() - start_ns) / NS_PER_S);
		sflow_input_take(in, 0, "", &second);
		complete &= is_complete(&second, t->agents);
		source_second_free(&second);
		sflow_input_close(in);
	}
	qsort(samples_per_s, RUNS, sizeof(*samples_per_s), by_value);
	printf("sflow %-44s %10.0f samples/s of CPU\n", what, samples_per_s[RUNS / 2]);
	return complete ? 0 : 1;
}

int main(void)
{
	static const char *const prefixes[] = {"2001:db8:1::/48"};
	const struct registry_keeper_config offline = {0};
	struct traffic *t = malloc(sizeof(*t));
	struct source_context ctx = {0};
	struct store_config config;
	struct site *site;
	char why[128];
	int failed;

	log_open(LOG_LEVEL_ERROR, 0);
	store_config_default(&config);
	config.url = "sqlite::memory:";
	if (!t || store_open(&ctx.store, &config) ||
	    registry_keeper_open(&ctx.registry, &offline) ||
	    site_open(&site, prefixes, 1, why, sizeof(why)))
		return 1;
	ctx.site = site;
	make_traffic(t, 0, 1);
	failed = measure(&ctx, t, "one agent, one tag");
	make_traffic(t, 1, 128);
	failed |= measure(&ctx, t, "128 agents, random labels");
	site_close(site);
	registry_keeper_close(ctx.registry);
	store_close(ctx.store);
	free(t);
	return failed;
}
