#include "observer/sflow_input.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "observer/sample.h"
#include "sflow/agent.h"

#define SILENT_S   60  /* an agent is down after so long; counters come every 20 or 30 s */
#define STALE_S    180 /* what an interface counted before that is no rate of now */
#define SMOOTHED_S 30  /* the estimated rate is smoothed over as much as counters are */

/* Why a datagram was refused: the walk's verdict, or this. */
enum {
	DATAGRAM_REPEATED = SFLOW_VERDICT_COUNT, /* a copy of one that came before */
	DATAGRAM_REASON_COUNT
};

/* Why a flow sample became no observation: the packet's verdict, or one of these. */
enum {
	SAMPLE_LINK = PACKET_VERDICT_COUNT, /* a raw header of a protocol that we do not open */
	SAMPLE_NO_PACKET,                   /* neither a header nor addresses in it */
	SAMPLE_IMPLAUSIBLE,                 /* a rate or a frame length beyond belief */
	SAMPLE_AGAIN,                       /* a packet that was sampled going in stands for it */
	SAMPLE_DAMAGED,                     /* its own fields do not fit into its length */
	SAMPLE_REASON_COUNT
};
static const char *const sample_reason_names[SAMPLE_REASON_COUNT] = {
	[SAMPLE_LINK] = "unknown_link",       [SAMPLE_NO_PACKET] = "no_packet",
	[SAMPLE_IMPLAUSIBLE] = "implausible", [SAMPLE_AGAIN] = "counted_going_in",
	[SAMPLE_DAMAGED] = "damaged",
};
_Static_assert(SAMPLE_REASON_COUNT <= STORE_REASONS_MAX, "every reason has its place in a status");
_Static_assert(DATAGRAM_REASON_COUNT <= STORE_REASONS_MAX,
	       "every reason has its place in a status");

struct agent { /* beside its struct sflow_agent_state, of the same index */
	uint16_t id;
	char name[64];
	uint64_t counts[SAMPLE_REASON_COUNT]; /* flow samples; 0 is PACKET_OK */
	uint64_t received_bytes;              /* of its datagrams */
	uint64_t counter_samples, discards;
	uint64_t rate_zero;    /* taken as 1 */
	uint64_t label_hidden; /* IPv6, but only its addresses and ports came */
	uint64_t second_bytes; /* estimate since the last take */
	double smoothed_bytes_per_s, smoothed_weight;
	int64_t first_seen_utc_s;
};

struct sflow_input {
	struct source_context ctx;
	char name[64];
	uint16_t id;
	struct aggregate *aggregate;
	struct seen_table *seen;
	struct sflow_agents *states;
	struct scitag_set registered;
	uint64_t registry_generation;
	uint64_t counts[DATAGRAM_REASON_COUNT]; /* datagrams; 0 is SFLOW_OK */
	uint64_t received_bytes;
	uint64_t skipped_samples;
	int64_t now_utc_us, taken_utc_us;
	int64_t first_seen_utc_s, last_seen_utc_s;
	struct log_limit rejected_limit, full_limit, new_limit;
	size_t n_agents;
	struct agent agents[SFLOW_AGENTS_MAX];
	struct agent others; /* all that found the table full; its rows are the input's own */
};

int sflow_input_open(struct sflow_input **out, const struct source_context *ctx, const char *name)
{
	struct sflow_input *in = calloc(1, sizeof(*in));

	if (!in)
		return -ENOMEM;
	in->ctx = *ctx;
	in->first_seen_utc_s = in->last_seen_utc_s = CLOCK_NEVER;
	snprintf(in->name, sizeof(in->name), "%s", name);
	in->aggregate = aggregate_open(STORE_UNREGISTERED_ROWS);
	in->seen = seen_open(SEEN_MAX);
	in->states = sflow_agents_open();
	if (!in->aggregate || !in->seen || !in->states) {
		sflow_input_close(in);
		return -ENOMEM;
	}
	in->id = store_source_id(ctx->store, in->name, SOURCE_SFLOW_INPUT);
	in->others.id = in->id;
	sflow_input_turn(in, clock_utc_us());
	in->taken_utc_us = in->now_utc_us;
	*out = in;
	return 0;
}

void sflow_input_close(struct sflow_input *in)
{
	if (!in)
		return;
	aggregate_close(in->aggregate);
	seen_close(in->seen);
	sflow_agents_close(in->states);
	free(in);
}

void sflow_input_turn(struct sflow_input *in, int64_t now_utc_us)
{
	source_registry(&in->ctx, &in->registered, &in->registry_generation);
	in->now_utc_us = now_utc_us;
}

/* --- a datagram -------------------------------------------------------------------------- */

static struct agent *find_agent(struct sflow_input *in, int index, const struct sflow_datagram *d)
{
	struct agent *agent;

	if (index < 0) {
		log_limited(&in->full_limit, LOG_LEVEL_WARN, "sflow",
			    "%s: more than %d agents: the rest is counted together", in->name,
			    SFLOW_AGENTS_MAX);
		return &in->others;
	}
	agent = &in->agents[index];
	if ((size_t)index == in->n_agents) {
		in->n_agents++;
		sample_agent_name(agent->name, sizeof(agent->name), d);
		agent->id = store_source_id(in->ctx.store, agent->name, SOURCE_SFLOW_AGENT);
		agent->first_seen_utc_s = in->now_utc_us / US_PER_S;
		log_limited(&in->new_limit, LOG_LEVEL_INFO, "sflow", "%s: new agent %s", in->name,
			    agent->name);
	}
	return agent;
}

static void add_flow_sample(struct sflow_input *in, struct agent *agent, int index,
			    const struct sflow_sample *s)
{
	struct observation o = {.utc_us = in->now_utc_us, .source = agent->id};
	const int err = observation_from_sample(&o, s, &in->registered);
	unsigned int reason = observation_is_traffic(&o) ? PACKET_OK : o.verdict;

	if (err == -ERANGE)
		reason = SAMPLE_IMPLAUSIBLE;
	else if (err)
		reason = s->has_header ? SAMPLE_LINK : SAMPLE_NO_PACKET;
	else if (reason == PACKET_OK && index >= 0 &&
		 sflow_agents_sampled_going_in(in->states, index, s, in->now_utc_us / US_PER_S))
		reason = SAMPLE_AGAIN;
	agent->counts[reason]++;
	agent->rate_zero += !s->rate;
	agent->second_bytes += (uint64_t)o.weight * o.frame_bytes;
	if (reason != PACKET_OK)
		return;
	agent->label_hidden += o.label_hidden;
	source_count(&in->ctx, in->aggregate, in->seen, &o);
}

static void add_sample(struct sflow_input *in, struct agent *agent, int index,
		       const struct sflow_sample *s)
{
	if (index >= 0)
		sflow_agents_add_sample(in->states, index, s, in->now_utc_us / US_PER_S);
	switch (s->kind) {
	case SFLOW_FLOW:
		add_flow_sample(in, agent, index, s);
		break;
	case SFLOW_COUNTERS:
		agent->counter_samples++;
		break;
	case SFLOW_DISCARD: /* told to us because it is no traffic */
		agent->discards++;
		break;
	}
}

static const char *datagram_reason_name(unsigned int reason)
{
	return reason == DATAGRAM_REPEATED ? "repeated"
					   : sflow_verdict_name((enum sflow_verdict)reason);
}

/* Returns 0, or why it was refused. */
static unsigned int add_datagram(struct sflow_input *in, const struct udp_datagram *datagram)
{
	struct sflow_reader reader;
	struct sflow_datagram d;
	struct sflow_sample s;
	enum sflow_verdict verdict = sflow_open(&reader, &d, datagram->bytes, datagram->len_bytes);
	struct agent *agent;
	int index;

	if (verdict != SFLOW_OK)
		return verdict;
	index = sflow_agents_add(in->states, &d, in->now_utc_us / US_PER_S);
	if (index == -EALREADY)
		return DATAGRAM_REPEATED;
	agent = find_agent(in, index, &d);
	agent->received_bytes += datagram->len_bytes;
	while (sflow_next(&reader, &s, &verdict))
		add_sample(in, agent, index, &s);
	agent->counts[SAMPLE_DAMAGED] += reader.damaged_samples;
	in->skipped_samples += reader.skipped_samples;
	return verdict;
}

void sflow_input_add(struct sflow_input *in, const struct udp_datagram *datagram)
{
	unsigned int reason = add_datagram(in, datagram);
	char sender[INET6_ADDRSTRLEN] = "?";

	in->counts[reason]++;
	in->received_bytes += datagram->len_bytes;
	in->last_seen_utc_s = in->now_utc_us / US_PER_S;
	if (in->first_seen_utc_s == CLOCK_NEVER)
		in->first_seen_utc_s = in->last_seen_utc_s;
	if (reason == SFLOW_OK)
		return;
	inet_ntop(AF_INET6, datagram->src_ip, sender, sizeof(sender));
	log_limited(&in->rejected_limit, LOG_LEVEL_WARN, "sflow", "%s: %u bytes from %s: %s",
		    in->name, datagram->len_bytes, sender, datagram_reason_name(reason));
}

/* --- a second ---------------------------------------------------------------------------- */

/* Append ", 12 things" to a sentence; nothing when there are none. */
static void say(char *sentence, size_t cap_bytes, uint64_t n, const char *things)
{
	size_t at = strlen(sentence);

	if (n)
		snprintf(sentence + at, cap_bytes - at, "%s%llu %s", at ? ", " : "",
			 (unsigned long long)n, things);
}

/* Moving average that is right from its first value on. */
static double smooth(struct agent *agent, double seconds)
{
	const double part = seconds / (seconds + SMOOTHED_S);
	const double now_bytes_per_s = (double)agent->second_bytes / seconds;

	agent->smoothed_bytes_per_s += (now_bytes_per_s - agent->smoothed_bytes_per_s) * part;
	agent->smoothed_weight += (1 - agent->smoothed_weight) * part;
	agent->second_bytes = 0;
	return agent->smoothed_bytes_per_s / agent->smoothed_weight;
}

static void put_sample_counts(struct source_status *st, const struct agent *agent)
{
	struct source_reason *rejected = st->rejected;

	st->accepted = st->received = agent->counts[PACKET_OK];
	for (unsigned int i = PACKET_OK + 1; i < SAMPLE_REASON_COUNT; i++) {
		const char *name = sample_reason_names[i];

		if (i == PACKET_NOT_IP) /* traffic, see observation.h */
			continue;
		if (!name)
			name = packet_verdict_name((enum packet_verdict)i);
		*rejected++ = (struct source_reason){name, agent->counts[i]};
		st->received += agent->counts[i];
	}
}

static void put_agent(struct sflow_input *in, size_t index, double seconds,
		      struct source_status *st)
{
	const struct sflow_agent_state *states;
	struct agent *agent = &in->agents[index];

	sflow_agents_list(in->states, &states);
	*st = (struct source_status){
		.id = agent->id,
		.parent = in->id,
		.kind = SOURCE_SFLOW_AGENT,
		.up = in->now_utc_us / US_PER_S - states[index].last_seen_utc_s <= SILENT_S,
		.unit = "samples",
		.bytes = agent->received_bytes,
		.lost = states[index].datagram_seq.lost,
		.flow_bytes_per_s = smooth(agent, seconds),
		.first_seen_utc_s = agent->first_seen_utc_s,
		.last_seen_utc_s = states[index].last_seen_utc_s,
	};
	memcpy(st->name, agent->name, sizeof(st->name));
	put_sample_counts(st, agent);
	say(st->detail, sizeof(st->detail), agent->counter_samples, "counter samples");
	say(st->detail, sizeof(st->detail), agent->discards, "discarded packets");
	say(st->detail, sizeof(st->detail), states[index].datagram_seq.restarts, "restarts");
	say(st->detail, sizeof(st->detail), agent->label_hidden, "IPv6 samples without a label");
	say(st->detail, sizeof(st->detail), agent->rate_zero, "samples of rate 0");
}

/* Sums over the data sources of each agent. agents[i] is the status of agent i. */
static void put_sources(const struct sflow_input *in, struct source_status *agents)
{
	double pool[SFLOW_AGENTS_MAX] = {0}, samples[SFLOW_AGENTS_MAX] = {0};
	uint64_t missing[SFLOW_AGENTS_MAX] = {0};
	const struct sflow_source_state *sources;
	const size_t n = sflow_agents_sources(in->states, &sources);

	for (size_t i = 0; i < n; i++) {
		const struct sflow_source_state *source = &sources[i];
		struct source_status *st = &agents[source->agent];

		missing[source->agent] += source->flow_seq.lost;
		st->agent_drops += source->agent_drops;
		if (source->rate > st->sampling_rate)
			st->sampling_rate = source->rate;
	}
	/* Of several rates the coarsest is shown, and held against what its sources really do. */
	for (size_t i = 0; i < n; i++) {
		const struct sflow_source_state *source = &sources[i];

		if (source->rate != agents[source->agent].sampling_rate)
			continue;
		pool[source->agent] += source->recent_pool;
		samples[source->agent] += source->recent_samples;
	}
	for (size_t i = 0; i < in->n_agents; i++) {
		agents[i].effective_rate = samples[i] ? pool[i] / samples[i] : 0;
		say(agents[i].detail, sizeof(agents[i].detail), missing[i], "samples missing");
	}
}

/* Sums over the interfaces of each agent. Only what its flow samples cover is comparable to them: an
 * interface that is sampled going in counts with what went in. */
static void put_interfaces(const struct sflow_input *in, struct source_status *agents)
{
	const int64_t now_utc_s = in->now_utc_us / US_PER_S;
	const struct sflow_interface_state *interfaces;
	const size_t n = sflow_agents_interfaces(in->states, &interfaces);

	for (size_t i = 0; i < n; i++) {
		const struct sflow_interface_state *interface = &interfaces[i];
		const struct sflow_source_state *source =
			sflow_agents_source_of(in->states, interface);
		struct source_status *st = &agents[interface->agent];

		if (!source || now_utc_s - interface->last_seen_utc_s > STALE_S)
			continue;
		st->if_speed_bps += interface->speed_bps;
		if (now_utc_s - source->last_in_utc_s <= SFLOW_SAMPLED_S)
			st->if_bytes_per_s += interface->in_bytes_per_s;
		if (now_utc_s - source->last_out_utc_s <= SFLOW_SAMPLED_S)
			st->if_bytes_per_s += interface->out_bytes_per_s;
	}
}

void sflow_input_take(struct sflow_input *in, uint64_t kernel_dropped, const char *detail,
		      struct source_second *out)
{
	struct source_status *st = calloc(1 + in->n_agents, sizeof(*st));
	double seconds = (double)(in->now_utc_us - in->taken_utc_us) / US_PER_S;

	source_take_counts(in->aggregate, in->seen, out);
	if (!st)
		return;
	in->taken_utc_us = in->now_utc_us;
	*st = (struct source_status){
		.id = in->id,
		.kind = SOURCE_SFLOW_INPUT,
		.up = 1,
		.unit = "datagrams",
		.accepted = in->counts[SFLOW_OK],
		.received = in->counts[SFLOW_OK] + kernel_dropped,
		.bytes = in->received_bytes,
		.dropped = {{"kernel", kernel_dropped}},
		.first_seen_utc_s = in->first_seen_utc_s,
		.last_seen_utc_s = in->last_seen_utc_s,
	};
	memcpy(st->name, in->name, sizeof(st->name));
	for (unsigned int i = SFLOW_OK + 1; i < DATAGRAM_REASON_COUNT; i++) {
		st->rejected[i - 1] =
			(struct source_reason){datagram_reason_name(i), in->counts[i]};
		st->received += in->counts[i];
	}
	snprintf(st->detail, sizeof(st->detail), "%s", detail);
	say(st->detail, sizeof(st->detail), in->n_agents, "agents");
	say(st->detail, sizeof(st->detail), in->skipped_samples, "samples of unknown kind");
	say(st->detail, sizeof(st->detail), sflow_agents_refused(in->states),
	    "refused by full tables");
	for (size_t i = 0; i < in->n_agents; i++)
		put_agent(in, i, seconds > 0 ? seconds : 1, &st[1 + i]);
	put_sources(in, st + 1);
	put_interfaces(in, st + 1);
	out->statuses = st;
	out->n_statuses = 1 + in->n_agents;
}
