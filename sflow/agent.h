/* What agents do over time: sequence gaps, restarts, sampling pools, drops, interface counters.
 * Kept per (agent, sub_agent) for datagrams and per data source for samples. Fixed capacity; a
 * table that is full refuses newcomers and counts them. No clock: the caller brings the time.
 * Source: sFlow v5 section 5; thresholds: docs/sflow.md. Not safe from two threads at once. */
#ifndef SFLOW_AGENT_H
#define SFLOW_AGENT_H

#include "sflow/sflow.h"

#define SFLOW_AGENTS_MAX     256   /* (agent, sub_agent) */
#define SFLOW_SOURCES_MAX    16384 /* data sources of all agents */
#define SFLOW_INTERFACES_MAX 16384

#define SFLOW_LATE_STEPS        1000    /* a step back by more is a restart */
#define SFLOW_WRAP_STEPS        1000000 /* a gap across 2^32 by more is a restart, no wrap */
#define SFLOW_LATE_UPTIME_MS    10000   /* a late datagram's uptime is back by no more */
#define SFLOW_SAMPLED_S         300     /* a direction without samples for so long is not sampled */
#define SFLOW_COPY_S            2       /* what looks the same later is no copy but a replay */
#define SFLOW_EFFECTIVE_SAMPLES 1000    /* the effective rate forgets half after so many */

struct sflow_sequence { /* 32-bit numbers that wrap, get lost, come late, start again */
	uint32_t newest;
	uint8_t seen;
	uint64_t window; /* bit n: newest - n came */
	uint64_t received, lost, late, restarts;
	uint64_t repeated; /* came twice, by the window; or of an agent that does not count */
};
enum sflow_step {
	SFLOW_STEP_FIRST,
	SFLOW_STEP_ON,
	SFLOW_STEP_LATE,
	SFLOW_STEP_REPEATED,
	SFLOW_STEP_RESTART
};
/* Feed one number. A step back of more than SFLOW_LATE_STEPS, or uptime_restarted, is a restart and
 * no loss; a small step back is a late arrival and gives back one lost, once. */
enum sflow_step sflow_sequence_add(struct sflow_sequence *s, uint32_t number, int uptime_restarted);

struct sflow_source_state {
	uint32_t source_class, source_index;
	uint16_t agent; /* index into agents */
	struct sflow_sequence flow_seq, counter_seq, discard_seq;
	uint32_t rate;         /* newest announced, one in */
	double effective_rate; /* pool difference per sample received, of late; 0: not known yet */
	uint64_t pool_packets; /* sum of pool differences */
	uint64_t samples;      /* flow samples that the pool sum covers */
	uint64_t agent_drops;  /* samples the agent says it discarded, since we listen */
	uint32_t newest_pool, newest_drops, newest_discard_drops;
	/* newest sample of a packet that came in, went out, by the source's own interface; 0: none */
	int64_t last_in_utc_s, last_out_utc_s;
	int64_t last_seen_utc_s;
	/* for the effective rate and restarts; not for readers */
	double recent_pool, recent_samples;
	uint64_t agent_restarts; /* of the agent, when last looked at */
};
struct sflow_interface_state {
	uint16_t agent;
	uint32_t if_index;
	uint64_t speed_bps;
	uint64_t in_octets, out_octets;         /* newest, or SFLOW_COUNTER_UNKNOWN */
	double in_bytes_per_s, out_bytes_per_s; /* from the newest two; 0 until two */
	uint32_t uptime_ms;                     /* of the newest */
	int64_t last_seen_utc_s;
};
struct sflow_agent_state {
	uint8_t agent_ip[16];
	uint8_t agent_family;
	uint32_t sub_agent;
	uint32_t uptime_ms; /* newest */
	struct sflow_sequence datagram_seq;
	int64_t last_seen_utc_s;
};
struct sflow_agents; /* opaque */

struct sflow_agents *sflow_agents_open(void); /* NULL: no memory */
void sflow_agents_close(struct sflow_agents *a);
/* One datagram came. Returns the agent's index; -ENOSPC when the table is full; -EALREADY when this
 * very datagram came before, by another way (two collector addresses that lead here). */
int sflow_agents_add(struct sflow_agents *a, const struct sflow_datagram *d, int64_t now_utc_s);
/* One of its samples came; `agent` from sflow_agents_add. -ENOSPC when a table is full. */
int sflow_agents_add_sample(struct sflow_agents *a, int agent, const struct sflow_sample *s,
			    int64_t now_utc_s);
/* The tables: *out is borrowed, indices stay. Returns how many. */
size_t sflow_agents_list(const struct sflow_agents *a, const struct sflow_agent_state **out);
size_t sflow_agents_sources(const struct sflow_agents *a, const struct sflow_source_state **out);
size_t sflow_agents_interfaces(const struct sflow_agents *a,
			       const struct sflow_interface_state **out);
/* The data source that samples this interface (class 0, its ifIndex); NULL: none does. */
const struct sflow_source_state *sflow_agents_source_of(const struct sflow_agents *a,
							const struct sflow_interface_state *i);
/* Whether a flow sample is of a packet going out that came in by an interface which this agent also
 * samples going in: the samples there stand for it already, and adding both would count it twice. */
int sflow_agents_sampled_going_in(const struct sflow_agents *a, int agent,
				  const struct sflow_sample *s, int64_t now_utc_s);
/* Datagrams and samples that found a table full. */
uint64_t sflow_agents_refused(const struct sflow_agents *a);

#endif
