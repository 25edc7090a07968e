/* The traffic of a made-up link: a dozen experiments whose shares wander, hosts that mark and hosts
 * that do not, in both directions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/gen.h"

#define SLOTS         6   /* flows of a stream at a time */
#define SHARE_STEPS   512 /* how often shares change, over the whole time */
#define CHANCE_NOT_IP 2000
#define TCP_FIN       0x01
#define TCP_SYN       0x02
#define TCP_ACK       0x10
#define TWO_PI        6.283185307179586

const int64_t gen_start_utc_us = 1767225600 * US_PER_S; /* 2026-01-01T00:00:00Z */

/* Pairs of the registry, their weight, and how their share swings: a whole number of times over the
 * duration, so that a replay in a loop has no seam. */
static const struct stream {
	struct scitag tag;
	double weight, swing;
	int cycles;
} streams[GEN_STREAMS] = {
	{{2, 17}, 22, 0.6, 1}, {{2, 16}, 9, 0.8, 2}, {{2, 8}, 6, 0.9, 1},  {{2, 26}, 3, 1.0, 1},
	{{3, 14}, 18, 0.6, 1}, {{3, 12}, 8, 0.7, 3}, {{3, 24}, 5, 0.9, 2}, {{5, 10}, 7, 0.7, 1},
	{{4, 3}, 5, 0.8, 2},   {{6, 16}, 5, 0.9, 3}, {{7, 4}, 3, 1.0, 1},  {{8, 3}, 3, 0.9, 2},
	{{9, 4}, 2, 1.0, 3},   {{1, 2}, 1, 0.5, 4},
};
/* Shares of what nobody marks, after the streams. */
static const struct {
	enum gen_class class;
	double weight;
} background[] = {{GEN_RANDOM_LABEL, 0.5}, {GEN_LABEL_ZERO, 0.1}, {GEN_IPV4, 0.4}};
#define N_BACKGROUND (sizeof(background) / sizeof(background[0]))
#define N_SOURCES    (GEN_STREAMS + N_BACKGROUND)

struct gen_model {
	const struct gen_config *cfg;
	struct gen_random random;
	uint64_t packets, flows;
	int share_step;           /* of `shares` */
	double shares[N_SOURCES]; /* running sums, the last one 1 */
	double phases[GEN_STREAMS];
	struct gen_flow slots[N_SOURCES][SLOTS];
	gen_flow_done done;
	void *done_arg;
};

/* --- random numbers ---------------------------------------------------------------------------- */

void gen_random_seed(struct gen_random *r, uint64_t seed)
{
	for (size_t i = 0; i < 4; i++) {
		uint64_t z = seed += 0x9E3779B97F4A7C15u;

		z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
		z = (z ^ z >> 27) * 0x94D049BB133111EBu;
		r->state[i] = z ^ z >> 31;
	}
}

static uint64_t rotate(uint64_t v, int k)
{
	return v << k | v >> (64 - k);
}

uint64_t gen_random_u64(struct gen_random *r)
{
	uint64_t *s = r->state, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint32_t gen_random_below(struct gen_random *r, uint32_t n)
{
	return (uint32_t)((gen_random_u64(r) >> 32) * n >> 32);
}

double gen_random_unit(struct gen_random *r)
{
	return (double)(gen_random_u64(r) >> 11) * 0x1p-53;
}

static int chance(struct gen_model *m, uint32_t percent)
{
	return gen_random_below(&m->random, 100) < percent;
}

/* --- flows -------------------------------------------------------------------------------------- */

/* Our site is 2001:db8:1::/48 and 192.0.2.0/24; each experiment has partners of its own. */
static void make_address(struct gen_model *m, uint8_t ip[16], int is_ipv4, int is_ours, int stream)
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	uint32_t host = 1 + gen_random_below(&m->random, is_ours ? 24 : 200);

	memset(ip, 0, 16);
	if (is_ipv4) {
		memcpy(ip, mapped, sizeof(mapped));
		memcpy(ip + 12, is_ours ? (uint8_t[]){192, 0, 2} : (uint8_t[]){198, 51, 100}, 3);
		if (!is_ours && stream & 1)
			memcpy(ip + 12, (uint8_t[]){203, 0, 113}, 3);
		ip[15] = (uint8_t)host;
		return;
	}
	memcpy(ip, (uint8_t[]){0x20, 0x01, 0x0d, 0xb8}, 4);
	ip[5] = is_ours ? 1 : (uint8_t)(0x10 + stream + 1);
	ip[7] = (uint8_t)(1 + gen_random_below(&m->random, is_ours ? 3 : 4));
	ip[14] = (uint8_t)(host >> 4);
	ip[15] = (uint8_t)(host << 4 | 1);
}

static void make_ends(struct gen_model *m, struct gen_flow *f)
{
	static const uint16_t servers[] = {1094, 443, 443, 8443, 2880, 2811};
	uint16_t server = servers[gen_random_below(&m->random, 6)];
	uint16_t client = (uint16_t)(32768 + gen_random_below(&m->random, 28232));
	int is_ipv4 = f->class == GEN_IPV4;
	uint32_t way = gen_random_below(&m->random, 100);

	f->is_inbound = way < 60;
	f->server_sends = (uint8_t)chance(m, 65);
	make_address(m, f->key.src_ip, is_ipv4, way >= 60 && way < 95, f->stream);
	do /* 5 % only pass through */
		make_address(m, f->key.dst_ip, is_ipv4, way < 60, f->stream);
	while (memcmp(f->key.src_ip, f->key.dst_ip, 16) == 0);
	f->key.src_port = f->server_sends ? server : client;
	f->key.dst_port = f->server_sends ? client : server;
	f->key.protocol = chance(m, 8) ? 17 : 6;
	f->key.family = is_ipv4 ? 4 : 6;
}

static enum scitag_carrier choose_carrier(struct gen_model *m)
{
	uint32_t r = gen_random_below(&m->random, 100);

	switch (m->cfg->carrier) {
	case GEN_LABEL:
		return CARRIER_LABEL;
	case GEN_DESTINATION:
		return CARRIER_DESTINATION;
	case GEN_HOP_BY_HOP:
		return CARRIER_HOP_BY_HOP;
	case GEN_BOTH:
		return CARRIER_HOP_BY_HOP_DESTINATION;
	}
	return r < 70   ? CARRIER_LABEL
	       : r < 85 ? CARRIER_DESTINATION
	       : r < 95 ? CARRIER_HOP_BY_HOP
			: CARRIER_HOP_BY_HOP_DESTINATION;
}

/* An ordinary host's label; never 0, which would be another class. */
static uint32_t random_label(struct gen_model *m)
{
	return 1 + gen_random_below(&m->random, SCITAG_LABEL_MASK);
}

static void make_mark(struct gen_model *m, struct gen_flow *f)
{
	uint32_t form = gen_random_below(&m->random, 16);

	f->tag = f->claim = streams[f->stream].tag;
	f->carrier = (uint8_t)choose_carrier(m);
	f->entropy = (uint32_t)gen_random_u64(&m->random) & SCITAG_ENTROPY_MASK;
	f->label = random_label(m);
	if (f->carrier == CARRIER_LABEL)
		scitag_label_encode(&f->label, f->tag.experiment, f->tag.activity, f->entropy);
	else /* some old senders are still about */
		f->dialect = form == 0   ? SCITAG_DIALECT_LABEL32
			     : form == 1 ? SCITAG_DIALECT_LABEL24
					 : SCITAG_DIALECT_PLAIN;
	if (chance(m, 1)) /* a job that was configured in two places */
		f->claim = streams[(f->stream + 1) % GEN_STREAMS].tag;
}

static void make_flow(struct gen_model *m, struct gen_flow *f, size_t source, int64_t utc_us)
{
	double mean = (double)m->cfg->packets / (double)m->cfg->flows;

	memset(f, 0, sizeof(*f));
	f->number = (uint32_t)m->flows++;
	f->stream = source < GEN_STREAMS ? (int)source : -1;
	f->class = source < GEN_STREAMS ? GEN_MARKED : background[source - GEN_STREAMS].class;
	make_ends(m, f);
	if (f->class == GEN_MARKED)
		make_mark(m, f);
	else if (chance(m, f->class == GEN_IPV4 ? 70 : 5)) /* IPv4 can only be claimed */
		f->claim = streams[gen_random_below(&m->random, GEN_STREAMS)].tag;
	if (f->class == GEN_RANDOM_LABEL)
		f->label = random_label(m);
	f->back_label = random_label(m);
	f->n_vlans = chance(m, 5) ? 2 : chance(m, 30) ? 1 : 0;
	f->vlans[0] = (uint16_t)(100 + 100 * gen_random_below(&m->random, 3));
	f->vlans[1] = (uint16_t)(1000 + gen_random_below(&m->random, 50));
	f->rtt_us = 500 + gen_random_below(&m->random, 160000);
	f->packets_left = 1 + (uint64_t)(-log(1 - gen_random_unit(&m->random)) * mean);
	f->sequence = (uint32_t)gen_random_u64(&m->random);
	f->back_sequence = (uint32_t)gen_random_u64(&m->random);
	f->first_utc_us = utc_us;
}

static void end_flow(struct gen_model *m, struct gen_flow *f, int is_over)
{
	if (f->packets && m->done)
		m->done(m->done_arg, f, is_over);
	f->packets = f->packets_left = 0;
}

/* --- packets -------------------------------------------------------------------------------------- */

static void set_shares(struct gen_model *m, double x)
{
	int step = (int)(x * SHARE_STEPS);
	double sum = 0, marked = m->cfg->marked_share, total = 0;

	if (step == m->share_step)
		return;
	m->share_step = step;
	for (size_t i = 0; i < GEN_STREAMS; i++) {
		const struct stream *s = &streams[i];

		total += s->weight * (1 + s->swing * sin(TWO_PI * (s->cycles * x + m->phases[i])));
		m->shares[i] = total;
	}
	for (size_t i = 0; i < GEN_STREAMS; i++)
		m->shares[i] *= marked / total;
	sum = marked;
	for (size_t i = 0; i < N_BACKGROUND; i++) {
		sum += (1 - marked) * background[i].weight;
		m->shares[GEN_STREAMS + i] = sum;
	}
}

static size_t choose_source(struct gen_model *m)
{
	double r = gen_random_unit(&m->random);
	size_t i = 0;

	while (i < N_SOURCES - 1 && r >= m->shares[i])
		i++;
	return i;
}

/* When the packet at x of the way is sent: rates swing, and come back to where they began. */
static int64_t time_at(const struct gen_model *m, double x)
{
	double warped =
		x + 0.30 / TWO_PI * sin(TWO_PI * x) + 0.15 / (5 * TWO_PI) * sin(5 * TWO_PI * x);

	return gen_start_utc_us + (int64_t)(warped * (double)m->cfg->duration_s * US_PER_S);
}

/* Bytes before the payload, IP header and options included. */
static uint32_t header_bytes(const struct gen_packet *p)
{
	const struct gen_flow *f = p->flow;
	uint32_t n = (f->key.family == 6 ? 40 : 20) + (f->key.protocol == 6 ? 20 : 8);

	if (p->class == GEN_MARKED && f->carrier != CARRIER_LABEL)
		n += f->carrier == CARRIER_HOP_BY_HOP_DESTINATION ? 16 : 8;
	return n;
}

static uint32_t choose_ip_bytes(struct gen_model *m, const struct gen_packet *p)
{
	/* two VLAN tags are within the 1514 bytes that any interface takes, one is granted beyond */
	uint32_t headers = header_bytes(p), full = p->flow->n_vlans == 2 ? 1492 : 1500;

	if (p->flow->key.protocol == 6 && (p->is_back || p->tcp_flags & TCP_SYN))
		return headers;
	return chance(m, 80) ? full : headers + 1 + gen_random_below(&m->random, full - headers);
}

static void make_packet(struct gen_model *m, struct gen_packet *p, struct gen_flow *f)
{
	uint32_t *sent;

	p->flow = f;
	p->is_back = f->packets > 0 && chance(m, 10);
	p->class = f->class == GEN_MARKED && p->is_back ? GEN_RANDOM_LABEL : f->class;
	p->tcp_flags = f->packets == 0 ? TCP_SYN : TCP_ACK;
	if (f->packets_left == 1 && !p->is_back)
		p->tcp_flags |= TCP_FIN;
	p->ip_bytes = choose_ip_bytes(m, p);
	p->frame_bytes = 14 + 4u * f->n_vlans + p->ip_bytes;
	sent = p->is_back ? &f->back_sequence : &f->sequence;
	p->tcp_sequence = *sent;
	p->tcp_acknowledged = p->is_back ? f->sequence : f->back_sequence;
	*sent += p->ip_bytes - header_bytes(p) + !!(p->tcp_flags & (TCP_SYN | TCP_FIN));
	f->packets++;
	f->packets_left--;
	f->last_utc_us = p->utc_us;
	if (p->is_back)
		f->back_bytes += p->ip_bytes;
	else
		f->out_bytes += p->ip_bytes;
}

int gen_model_next(struct gen_model *m, struct gen_packet *p)
{
	struct gen_flow *f;
	size_t source;
	double x;

	if (m->packets == (uint64_t)m->cfg->packets)
		return 0;
	x = ((double)m->packets++ + gen_random_unit(&m->random)) / (double)m->cfg->packets;
	memset(p, 0, sizeof(*p));
	p->utc_us = time_at(m, x);
	if (gen_random_below(&m->random, CHANCE_NOT_IP) == 0) {
		p->class = GEN_NOT_IP;
		p->frame_bytes = 60;
		return 1;
	}
	set_shares(m, x);
	source = choose_source(m);
	f = &m->slots[source][gen_random_below(&m->random, SLOTS)];
	if (f->packets_left == 0) {
		end_flow(m, f, 1);
		make_flow(m, f, source, p->utc_us);
	}
	make_packet(m, p, f);
	return 1;
}

void gen_model_on_done(struct gen_model *m, gen_flow_done done, void *arg)
{
	m->done = done;
	m->done_arg = arg;
}

void gen_model_finish(struct gen_model *m)
{
	for (size_t i = 0; i < N_SOURCES; i++)
		for (size_t j = 0; j < SLOTS; j++)
			end_flow(m, &m->slots[i][j], m->slots[i][j].packets_left == 0);
}

uint64_t gen_model_flows(const struct gen_model *m)
{
	return m->flows;
}

struct scitag gen_stream_tag(int stream)
{
	return streams[stream].tag;
}

struct gen_model *gen_model_open(const struct gen_config *cfg)
{
	struct gen_model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->cfg = cfg;
	m->share_step = -1;
	gen_random_seed(&m->random, (uint64_t)cfg->seed);
	for (size_t i = 0; i < GEN_STREAMS; i++)
		m->phases[i] = gen_random_unit(&m->random);
	return m;
}

void gen_model_close(struct gen_model *m)
{
	free(m);
}
