/* scitag gen sflow: agents that sample the model's packets where they enter. Structures as in sFlow
 * version 5; the odd agent writes the expanded forms. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/gen.h"
#include "sflow/sflow.h"

#define DATAGRAM_MAX_BYTES 1400
#define HEADER_MAX_BYTES   128
#define SAMPLE_MAX_BYTES   256
#define FCS_BYTES          4
#define HOLD_US            (US_PER_S / 2) /* the longest that a sample waits for company */
#define COUNTERS_EVERY_US  (10 * US_PER_S)
#define PORTS              2 /* 1 leads out, 2 to our site */
#define PORT_SPEED_BPS     100000000000u
#define DROP_ONE_IN        500

struct port {
	uint32_t sequence, pool, drops, countdown, counter_sequence;
	uint64_t in_octets, out_octets;
	uint32_t in_packets, out_packets;
};

struct agent {
	struct flow_key key; /* of its datagrams */
	int is_expanded;
	uint32_t sequence, n_samples;
	int64_t held_since_utc_us, counters_at_utc_us;
	uint8_t samples[DATAGRAM_MAX_BYTES];
	struct gen_bytes held;
	struct port ports[PORTS];
	uint64_t datagrams, flow_samples, counter_samples;
	struct gen_sum estimate;
};

struct sampler {
	const struct gen_config *cfg;
	struct gen_output *out;
	struct gen_random random;
	struct gen_truth estimates;
	struct agent agents[GEN_AGENTS_MAX];
};

/* --- datagrams ----------------------------------------------------------------------------------- */

static void flush(struct sampler *s, struct agent *a, int64_t utc_us)
{
	uint8_t payload[DATAGRAM_MAX_BYTES], frame[GEN_FRAME_MAX_BYTES];
	struct gen_bytes b = {payload, sizeof(payload), 0};
	int is_ipv4 = a->key.family == 4;
	uint32_t n;

	if (a->n_samples == 0)
		return;
	gen_put_be32(&b, 5);
	gen_put_be32(&b, is_ipv4 ? 1 : 2);
	gen_put(&b, a->key.src_ip + (is_ipv4 ? 12 : 0), is_ipv4 ? 4 : 16);
	gen_put_be32(&b, 0); /* sub-agent */
	gen_put_be32(&b, ++a->sequence);
	gen_put_be32(&b, (uint32_t)((utc_us - gen_start_utc_us) / 1000 + 3600000)); /* uptime */
	gen_put_be32(&b, a->n_samples);
	gen_put(&b, a->held.buf, a->held.at);
	n = gen_udp_frame(frame, &a->key, payload, (uint32_t)b.at);
	gen_output_put(s->out, utc_us, frame, n, n);
	a->held.at = a->n_samples = 0;
	a->datagrams++;
}

/* Put a sample, `tag` and length in front of it, into the agent's next datagram. */
static void hold(struct sampler *s, struct agent *a, int64_t utc_us, uint32_t tag,
		 const struct gen_bytes *body)
{
	const size_t header_max_bytes = 40;

	if (header_max_bytes + a->held.at + 8 + body->at > DATAGRAM_MAX_BYTES)
		flush(s, a, utc_us);
	if (a->n_samples++ == 0)
		a->held_since_utc_us = utc_us;
	gen_put_be32(&a->held, tag);
	gen_put_be32(&a->held, (uint32_t)body->at);
	gen_put(&a->held, body->buf, body->at);
}

/* A data source or an interface: expanded, its class or format goes in front, 0 being an ifIndex. */
static void put_index(struct gen_bytes *b, int is_expanded, uint32_t index)
{
	if (is_expanded)
		gen_put_be32(b, 0);
	gen_put_be32(b, index);
}

/* --- samples -------------------------------------------------------------------------------------- */

static void put_raw_header(struct gen_bytes *b, const struct gen_packet *p)
{
	uint8_t header[HEADER_MAX_BYTES];
	uint32_t n = gen_frame(header, sizeof(header), p), padding = -n & 3;

	gen_put_be32(b, 1); /* raw packet header */
	gen_put_be32(b, 16 + n + padding);
	gen_put_be32(b, 1); /* Ethernet */
	gen_put_be32(b, p->frame_bytes + FCS_BYTES);
	gen_put_be32(b, FCS_BYTES); /* stripped */
	gen_put_be32(b, n);
	gen_put(b, header, n);
	gen_put_zeros(b, padding);
}

static void put_switch(struct gen_bytes *b, uint32_t vlan)
{
	gen_put_be32(b, 1001); /* extended switch data */
	gen_put_be32(b, 16);
	gen_put_be32(b, vlan);
	gen_put_be32(b, 0);
	gen_put_be32(b, vlan);
	gen_put_be32(b, 0);
}

static void put_flow_sample(struct sampler *s, struct agent *a, uint32_t in,
			    const struct gen_packet *p)
{
	uint8_t body[SAMPLE_MAX_BYTES];
	struct gen_bytes b = {body, sizeof(body), 0};
	struct port *port = &a->ports[in - 1];
	int has_vlan = p->flow && p->flow->n_vlans;

	gen_put_be32(&b, ++port->sequence);
	put_index(&b, a->is_expanded, in);
	gen_put_be32(&b, (uint32_t)s->cfg->rate);
	gen_put_be32(&b, port->pool);
	gen_put_be32(&b, port->drops);
	put_index(&b, a->is_expanded, in);
	put_index(&b, a->is_expanded, PORTS + 1 - in);
	gen_put_be32(&b, has_vlan ? 2 : 1);
	put_raw_header(&b, p);
	if (has_vlan) /* the inner tag is first in the table, and the only one unless there are two */
		put_switch(&b, p->flow->vlans[p->flow->n_vlans - 1]);
	hold(s, a, p->utc_us, a->is_expanded ? 3 : 1, &b);
	a->flow_samples++;
}

static void put_counters(struct sampler *s, struct agent *a, uint32_t index, int64_t utc_us)
{
	uint8_t body[SAMPLE_MAX_BYTES];
	struct gen_bytes b = {body, sizeof(body), 0};
	struct port *port = &a->ports[index - 1];

	gen_put_be32(&b, ++port->counter_sequence);
	put_index(&b, a->is_expanded, index);
	gen_put_be32(&b, 1);
	gen_put_be32(&b, 1); /* generic interface counters */
	gen_put_be32(&b, 88);
	gen_put_be32(&b, index);
	gen_put_be32(&b, 6); /* ethernetCsmacd */
	gen_put_be64(&b, PORT_SPEED_BPS);
	gen_put_be32(&b, 1); /* full duplex */
	gen_put_be32(&b, 3); /* administratively and operationally up */
	gen_put_be64(&b, port->in_octets);
	gen_put_be32(&b, port->in_packets);
	gen_put_zeros(&b, 20); /* multicast, broadcast, discards, errors, unknown protocols */
	gen_put_be64(&b, port->out_octets);
	gen_put_be32(&b, port->out_packets);
	gen_put_zeros(&b, 16 + 4); /* multicast, broadcast, discards, errors; promiscuous mode */
	hold(s, a, utc_us, a->is_expanded ? 4 : 2, &b);
	a->counter_samples++;
}

/* --- the walk --------------------------------------------------------------------------------------- */

/* Skips are even between 1 and twice the rate less one: one in `rate` on average, never in step. */
static uint32_t next_skip(struct sampler *s)
{
	return 1 + gen_random_below(&s->random, 2 * (uint32_t)s->cfg->rate - 1);
}

static void see(struct sampler *s, const struct gen_packet *p)
{
	struct agent *a = &s->agents[p->flow ? p->flow->number % (uint32_t)s->cfg->agents : 0];
	uint32_t in = p->flow && p->flow->is_inbound == p->is_back ? 2 : 1;
	struct port *port = &a->ports[in - 1], *out = &a->ports[PORTS - in];
	uint32_t frame_bytes = p->frame_bytes + FCS_BYTES;
	struct gen_sum one;

	port->pool++;
	port->in_packets++;
	port->in_octets += frame_bytes;
	out->out_packets++;
	out->out_octets += frame_bytes;
	if (--port->countdown)
		return;
	port->countdown = next_skip(s);
	if (gen_random_below(&s->random, DROP_ONE_IN) == 0) {
		port->drops++;
		return;
	}
	put_flow_sample(s, a, in, p);
	gen_truth_add(&s->estimates, p, (uint32_t)s->cfg->rate, frame_bytes);
	one = (struct gen_sum){1, (uint64_t)s->cfg->rate, (uint64_t)s->cfg->rate * frame_bytes,
			       (uint64_t)s->cfg->rate * p->ip_bytes};
	gen_sum_add(&a->estimate, &one);
}

static void look_at_clock(struct sampler *s, int64_t utc_us)
{
	for (int64_t i = 0; i < s->cfg->agents; i++) {
		struct agent *a = &s->agents[i];

		if (utc_us >= a->counters_at_utc_us) {
			for (uint32_t port = 1; port <= PORTS; port++)
				put_counters(s, a, port, utc_us);
			a->counters_at_utc_us += COUNTERS_EVERY_US;
		}
		if (a->n_samples && utc_us - a->held_since_utc_us >= HOLD_US)
			flush(s, a, utc_us);
	}
}

static void make_agents(struct sampler *s)
{
	for (int64_t i = 0; i < s->cfg->agents; i++) {
		struct agent *a = &s->agents[i];
		int is_ipv4 = i % 2;

		inet_pton(AF_INET6,
			  is_ipv4 ? "::ffff:192.0.2.200" : "2001:db8:1:ff::", a->key.src_ip);
		inet_pton(AF_INET6, is_ipv4 ? "::ffff:192.0.2.199" : "2001:db8:1:ff::c0",
			  a->key.dst_ip);
		a->key.src_ip[15] = (uint8_t)(a->key.src_ip[15] + i % 50 + 1);
		a->key.src_ip[14] = (uint8_t)(a->key.src_ip[14] + i / 50);
		a->key.src_port = (uint16_t)(50000 + i);
		a->key.dst_port = SFLOW_PORT;
		a->key.protocol = 17;
		a->key.family = is_ipv4 ? 4 : 6;
		a->is_expanded = i % 3 == 2;
		a->held = (struct gen_bytes){a->samples, sizeof(a->samples), 0};
		a->counters_at_utc_us = gen_start_utc_us + i * US_PER_S;
		for (int port = 0; port < PORTS; port++)
			a->ports[port].countdown = next_skip(s);
	}
}

static json_t *agents_json(const struct sampler *s)
{
	json_t *list = json_array();

	for (int64_t i = 0; i < s->cfg->agents; i++) {
		const struct agent *a = &s->agents[i];
		int is_ipv4 = a->key.family == 4;
		char text[INET6_ADDRSTRLEN];
		json_t *o = gen_sum_json(&a->estimate);

		inet_ntop(is_ipv4 ? AF_INET : AF_INET6, a->key.src_ip + (is_ipv4 ? 12 : 0), text,
			  sizeof(text));
		json_object_set_new(o, "agent", json_string(text));
		json_object_set_new(o, "datagrams", json_integer((json_int_t)a->datagrams));
		json_object_set_new(o, "flow_samples", json_integer((json_int_t)a->flow_samples));
		json_object_set_new(o, "counter_samples",
				    json_integer((json_int_t)a->counter_samples));
		json_object_set_new(
			o, "drops",
			json_integer((json_int_t)a->ports[0].drops + a->ports[1].drops));
		json_object_set_new(o, "wire_packets",
				    json_integer((json_int_t)a->ports[0].pool + a->ports[1].pool));
		json_object_set_new(
			o, "wire_bytes",
			json_integer((json_int_t)(a->ports[0].in_octets + a->ports[1].in_octets)));
		json_array_append_new(list, o);
	}
	return list;
}

static void sample_all(struct sampler *s, struct gen_model *m, struct gen_truth *wire)
{
	int64_t looked_at_utc_us = gen_start_utc_us, last_utc_us = gen_start_utc_us;
	struct cli_progress progress;
	struct gen_packet p;

	cli_progress_start(&progress, "sampling", "packets", (uint64_t)s->cfg->packets);
	while (gen_model_next(m, &p)) {
		if (p.utc_us - looked_at_utc_us >= HOLD_US / 10) {
			looked_at_utc_us = p.utc_us;
			look_at_clock(s, p.utc_us);
		}
		see(s, &p);
		gen_truth_add(wire, &p, 1, p.frame_bytes + FCS_BYTES);
		cli_progress_to(&progress, wire->all.samples);
		last_utc_us = p.utc_us;
	}
	cli_progress_end(&progress);
	for (int64_t i = 0; i < s->cfg->agents; i++)
		flush(s, &s->agents[i], last_utc_us);
}

int gen_sflow(const struct gen_config *cfg, struct gen_output *out, json_t *truth)
{
	struct sampler *s = calloc(1, sizeof(*s));
	struct gen_model *m = gen_model_open(cfg);
	struct gen_truth wire = {0};
	int err = -ENOMEM;
	json_t *totals;

	if (!s || !m || gen_truth_open(&s->estimates) || gen_truth_open(&wire))
		goto out;
	s->cfg = cfg;
	s->out = out;
	gen_random_seed(&s->random, (uint64_t)cfg->seed + 1);
	make_agents(s);
	sample_all(s, m, &wire);
	totals = gen_truth_json(&s->estimates);
	json_object_update(truth, totals);
	json_decref(totals);
	json_object_set_new(truth, "rate", json_integer(cfg->rate));
	json_object_set_new(truth, "flows", json_integer((json_int_t)gen_model_flows(m)));
	json_object_set_new(truth, "agents", agents_json(s));
	json_object_set_new(truth, "wire", gen_truth_json(&wire));
	err = 0;
out:
	gen_truth_close(&wire);
	if (s)
		gen_truth_close(&s->estimates);
	gen_model_close(m);
	free(s);
	return err;
}
