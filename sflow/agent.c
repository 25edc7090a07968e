/* Three tables of one shape (agents, data sources, interfaces), found by key, filled once, never
 * emptied: an agent that falls silent keeps its place and its totals. */
#include "sflow/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* --- tables ----------------------------------------------------------------------------- */

struct key {
	uint64_t words[3];
};
struct table { /* open addressing; rows are the caller's, by the index that is returned */
	struct key *keys;
	uint16_t *slots; /* index + 1; 0 empty. Twice as many as rows */
	size_t n, cap;   /* cap is a power of two */
};

static int table_open(struct table *t, size_t cap)
{
	t->keys = calloc(cap, sizeof(*t->keys));
	t->slots = calloc(2 * cap, sizeof(*t->slots));
	t->cap = cap;
	return t->keys && t->slots ? 0 : -ENOMEM;
}

static void table_close(struct table *t)
{
	free(t->keys);
	free(t->slots);
}

/* The finalizer of MurmurHash3 over each word; the seed keeps strangers from choosing collisions. */
static uint64_t key_hash(const struct key *key, uint64_t seed)
{
	uint64_t h = seed;

	for (size_t i = 0; i < 3; i++) {
		h ^= key->words[i];
		h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
		h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
		h ^= h >> 33;
	}
	return h;
}

/* The slot that holds the key, or the empty one where it would go. */
static uint16_t *table_slot(const struct table *t, const struct key *key, uint64_t seed)
{
	size_t mask = 2 * t->cap - 1;
	size_t at = key_hash(key, seed) & mask;

	while (t->slots[at] && memcmp(&t->keys[t->slots[at] - 1], key, sizeof(*key)))
		at = (at + 1) & mask;
	return &t->slots[at];
}

/* Returns the index of the key's row, a new one where there was none (t->n grew), or -ENOSPC. */
static int table_add(struct table *t, const struct key *key, uint64_t seed)
{
	uint16_t *slot = table_slot(t, key, seed);

	if (*slot)
		return *slot - 1;
	if (t->n == t->cap)
		return -ENOSPC;
	t->keys[t->n] = *key;
	*slot = (uint16_t)(t->n + 1);
	return (int)t->n++;
}

_Static_assert(SFLOW_SOURCES_MAX < UINT16_MAX && SFLOW_INTERFACES_MAX < UINT16_MAX, "slots");
_Static_assert(!(SFLOW_AGENTS_MAX & (SFLOW_AGENTS_MAX - 1)), "a power of two");
_Static_assert(!(SFLOW_SOURCES_MAX & (SFLOW_SOURCES_MAX - 1)), "a power of two");
_Static_assert(!(SFLOW_INTERFACES_MAX & (SFLOW_INTERFACES_MAX - 1)), "a power of two");

#define WINDOW_BITS 64 /* of struct sflow_sequence, and as many marks an agent */

struct mark { /* of a datagram that came */
	uint32_t fingerprint;
	int64_t utc_s;
};

struct sflow_agents {
	struct table agent_table, source_table, interface_table;
	uint64_t seed;
	uint64_t refused;
	uint32_t datagram_uptime_ms[SFLOW_AGENTS_MAX]; /* of the datagram whose samples now come */
	struct mark marks[SFLOW_AGENTS_MAX][WINDOW_BITS]; /* by sequence number */
	struct sflow_agent_state agents[SFLOW_AGENTS_MAX];
	struct sflow_source_state sources[SFLOW_SOURCES_MAX];
	struct sflow_interface_state interfaces[SFLOW_INTERFACES_MAX];
};

struct sflow_agents *sflow_agents_open(void)
{
	struct sflow_agents *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	if (getrandom(&a->seed, sizeof(a->seed), GRND_NONBLOCK) != sizeof(a->seed))
		a->seed = (uintptr_t)a; /* early in a boot; still no constant */
	if (table_open(&a->agent_table, SFLOW_AGENTS_MAX) ||
	    table_open(&a->source_table, SFLOW_SOURCES_MAX) ||
	    table_open(&a->interface_table, SFLOW_INTERFACES_MAX)) {
		sflow_agents_close(a);
		return NULL;
	}
	return a;
}

void sflow_agents_close(struct sflow_agents *a)
{
	if (!a)
		return;
	table_close(&a->agent_table);
	table_close(&a->source_table);
	table_close(&a->interface_table);
	free(a);
}

/* --- sequence numbers ------------------------------------------------------------------- */

static enum sflow_step step_of(const struct sflow_sequence *s, uint32_t number)
{
	uint32_t forward = number - s->newest; /* both modulo 2^32 */
	uint32_t back = s->newest - number;

	if (back <= SFLOW_LATE_STEPS)
		return SFLOW_STEP_LATE;
	/* From 4,000,000,000 to 1 is one of two things. Nobody loses 300 million in a row; programs
	 * do start again. */
	if (forward > INT32_MAX || (number < s->newest && forward > SFLOW_WRAP_STEPS))
		return SFLOW_STEP_RESTART;
	return SFLOW_STEP_ON;
}

static enum sflow_step add_late(struct sflow_sequence *s, uint32_t back)
{
	uint64_t bit = back < WINDOW_BITS ? 1ull << back : 0;

	if (s->window & bit) {
		s->repeated++;
		return SFLOW_STEP_REPEATED;
	}
	s->window |= bit;
	s->late++;
	if (s->lost) /* it was before our first, else */
		s->lost--;
	return SFLOW_STEP_LATE;
}

enum sflow_step sflow_sequence_add(struct sflow_sequence *s, uint32_t number, int uptime_restarted)
{
	enum sflow_step step = SFLOW_STEP_FIRST;

	if (s->seen)
		step = uptime_restarted ? SFLOW_STEP_RESTART : step_of(s, number);
	s->received++;
	if (step == SFLOW_STEP_LATE)
		return add_late(s, s->newest - number);
	if (step == SFLOW_STEP_ON)
		s->lost += number - s->newest - 1;
	if (step == SFLOW_STEP_ON && number - s->newest < WINDOW_BITS)
		s->window = s->window << (number - s->newest) | 1;
	else
		s->window = 1;
	s->restarts += step == SFLOW_STEP_RESTART;
	s->newest = number;
	s->seen = 1;
	return step;
}

/* --- agents ----------------------------------------------------------------------------- */

/* Uptime wraps after 49.7 days. That is told from a restart by our own clock: what it gained
 * modulo 2^32 is then about what we saw go by. */
static int uptime_restarted(const struct sflow_agent_state *state, const struct sflow_datagram *d,
			    int64_t now_utc_s)
{
	uint32_t gained_ms = d->uptime_ms - state->uptime_ms;
	int64_t went_by_s = now_utc_s - state->last_seen_utc_s;
	int looks_late = state->datagram_seq.newest - d->sequence <= SFLOW_LATE_STEPS;

	if (d->uptime_ms >= state->uptime_ms)
		return 0;
	if (looks_late && state->uptime_ms - d->uptime_ms <= SFLOW_LATE_UPTIME_MS)
		return 0;
	return gained_ms / 1000 > went_by_s + SFLOW_LATE_UPTIME_MS / 1000;
}

/* Remember a datagram by its number. Returns whether the same was remembered just now; of an agent
 * whose number has not moved yet nobody knows. */
static int is_copy(struct sflow_agents *a, int agent, const struct sflow_datagram *d,
		   int64_t now_utc_s)
{
	const struct sflow_sequence *s = &a->agents[agent].datagram_seq;
	struct mark *mark = &a->marks[agent][d->sequence % WINDOW_BITS];
	int is_same = mark->fingerprint == d->fingerprint &&
		      now_utc_s - mark->utc_s <= SFLOW_COPY_S && s->received - s->repeated > 1;

	*mark = (struct mark){.fingerprint = d->fingerprint, .utc_s = now_utc_s};
	return is_same;
}

int sflow_agents_add(struct sflow_agents *a, const struct sflow_datagram *d, int64_t now_utc_s)
{
	size_t n_before = a->agent_table.n;
	struct sflow_agent_state *state;
	enum sflow_step step;
	struct key key;
	int index;

	memcpy(key.words, d->agent_ip, 16);
	key.words[2] = d->sub_agent;
	index = table_add(&a->agent_table, &key, a->seed);
	if (index < 0) {
		a->refused++;
		return index;
	}
	state = &a->agents[index];
	if (a->agent_table.n > n_before) {
		memcpy(state->agent_ip, d->agent_ip, sizeof(state->agent_ip));
		state->agent_family = d->agent_family;
		state->sub_agent = d->sub_agent;
		state->uptime_ms = d->uptime_ms;
		state->last_seen_utc_s = now_utc_s;
	}
	step = sflow_sequence_add(&state->datagram_seq, d->sequence,
				  uptime_restarted(state, d, now_utc_s));
	state->last_seen_utc_s = now_utc_s;
	if (is_copy(a, index, d, now_utc_s) && step == SFLOW_STEP_REPEATED)
		return -EALREADY;
	if (step != SFLOW_STEP_LATE)
		state->uptime_ms = d->uptime_ms;
	a->datagram_uptime_ms[index] = d->uptime_ms;
	return index;
}

/* --- data sources ----------------------------------------------------------------------- */

/* Counters of 32 bits that go on: how far, or 0 when they went back. */
static uint32_t gain_of(uint32_t now, uint32_t before)
{
	uint32_t gain = now - before;

	return gain <= INT32_MAX ? gain : 0;
}

/* Sources of class 0 are interfaces, by ifIndex. */
static int is_own_interface(const struct sflow_sample *s, const struct sflow_interface *interface)
{
	return s->source_class == 0 && interface->format == SFLOW_IF_INDEX &&
	       interface->value != SFLOW_IF_UNKNOWN && interface->value == s->source_index;
}

static void add_flow(struct sflow_source_state *state, const struct sflow_sample *s,
		     int64_t now_utc_s)
{
	enum sflow_step step = sflow_sequence_add(&state->flow_seq, s->sequence, 0);
	uint32_t pool_gain = 0;

	if (is_own_interface(s, &s->in))
		state->last_in_utc_s = now_utc_s;
	if (is_own_interface(s, &s->out))
		state->last_out_utc_s = now_utc_s;
	if (step == SFLOW_STEP_ON) {
		pool_gain = gain_of(s->pool, state->newest_pool);
		state->agent_drops += gain_of(s->drops, state->newest_drops);
	}
	if (step == SFLOW_STEP_ON || step == SFLOW_STEP_LATE) {
		/* a late one adds no pool: that was counted with the one that overtook it */
		state->pool_packets += pool_gain;
		state->samples++;
		state->recent_pool += pool_gain;
		state->recent_samples++;
	}
	if (step != SFLOW_STEP_LATE && step != SFLOW_STEP_REPEATED) {
		state->newest_pool = s->pool;
		state->newest_drops = s->drops;
		if (state->rate != s->rate)
			state->recent_pool = state->recent_samples = 0;
		state->rate = s->rate;
	}
	if (state->recent_samples >= SFLOW_EFFECTIVE_SAMPLES) {
		state->recent_pool /= 2;
		state->recent_samples /= 2;
	}
	state->effective_rate =
		state->recent_samples ? state->recent_pool / state->recent_samples : 0;
}

static void add_discard(struct sflow_source_state *state, const struct sflow_sample *s)
{
	enum sflow_step step = sflow_sequence_add(&state->discard_seq, s->sequence, 0);

	if (step == SFLOW_STEP_LATE || step == SFLOW_STEP_REPEATED)
		return;
	if (step == SFLOW_STEP_ON)
		state->agent_drops += gain_of(s->drops, state->newest_discard_drops);
	state->newest_discard_drops = s->drops;
}

/* The agent started again, so did all its sources: what each says next is a beginning. */
static void restart_source(struct sflow_source_state *state)
{
	struct sflow_sequence *sequences[] = {&state->flow_seq, &state->counter_seq,
					      &state->discard_seq};

	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		sequences[i]->restarts += sequences[i]->seen;
		sequences[i]->seen = 0;
	}
}

static struct sflow_source_state *find_source(struct sflow_agents *a, int agent,
					      const struct sflow_sample *s)
{
	size_t n_before = a->source_table.n;
	struct key key = {{(uint64_t)agent, s->source_class, s->source_index}};
	uint64_t agent_restarts = a->agents[agent].datagram_seq.restarts;
	int index = table_add(&a->source_table, &key, a->seed);
	struct sflow_source_state *state;

	if (index < 0)
		return NULL;
	state = &a->sources[index];
	if (a->source_table.n > n_before) {
		state->agent = (uint16_t)agent;
		state->source_class = s->source_class;
		state->source_index = s->source_index;
		state->agent_restarts = agent_restarts;
	}
	if (state->agent_restarts != agent_restarts)
		restart_source(state);
	state->agent_restarts = agent_restarts;
	return state;
}

/* --- interfaces ------------------------------------------------------------------------- */

/* How far a counter of octets went, or SFLOW_COUNTER_UNKNOWN when it started again. Some agents
 * copy counters of 32 bits: where both numbers fit, and the interface can carry it, it wrapped. */
static uint64_t octets_gained(uint64_t now, uint64_t before, double could_carry)
{
	uint64_t gain = now - before;

	if (now == SFLOW_COUNTER_UNKNOWN || before == SFLOW_COUNTER_UNKNOWN)
		return SFLOW_COUNTER_UNKNOWN;
	if (now >= before)
		return gain;
	if (before <= UINT32_MAX)
		gain = (uint32_t)gain;
	return (double)gain <= could_carry ? gain : SFLOW_COUNTER_UNKNOWN;
}

static double rate_of(uint64_t now, uint64_t before, uint64_t speed_bps, double seconds)
{
	double could_carry = (double)speed_bps / 8 * seconds;
	uint64_t gain = octets_gained(now, before, could_carry);

	return gain == SFLOW_COUNTER_UNKNOWN ? 0 : (double)gain / seconds;
}

static int add_interface(struct sflow_agents *a, int agent, const struct sflow_sample *s,
			 int64_t now_utc_s)
{
	size_t n_before = a->interface_table.n;
	struct key key = {{(uint64_t)agent, s->if_index, 0}};
	int index = table_add(&a->interface_table, &key, a->seed);
	uint32_t uptime_ms = a->datagram_uptime_ms[agent];
	struct sflow_interface_state *state;
	int64_t gained_ms;

	if (index < 0)
		return index;
	state = &a->interfaces[index];
	if (a->interface_table.n > n_before) {
		state->agent = (uint16_t)agent;
		state->if_index = s->if_index;
	} else {
		/* The agent's clock is finer than ours and knows no delay on the way; but some
		 * stand still. */
		gained_ms = (int32_t)(uptime_ms - state->uptime_ms);
		if (!gained_ms)
			gained_ms = (now_utc_s - state->last_seen_utc_s) * 1000;
		if (gained_ms <= 0 && gained_ms >= -SFLOW_LATE_UPTIME_MS)
			return 0; /* said twice, or late: the newest two stay what they are */
		state->in_bytes_per_s = state->out_bytes_per_s = 0;
		if (gained_ms > 0) {
			state->in_bytes_per_s = rate_of(s->if_in_octets, state->in_octets,
							s->if_speed_bps, gained_ms / 1e3);
			state->out_bytes_per_s = rate_of(s->if_out_octets, state->out_octets,
							 s->if_speed_bps, gained_ms / 1e3);
		}
	}
	state->speed_bps = s->if_speed_bps;
	state->in_octets = s->if_in_octets;
	state->out_octets = s->if_out_octets;
	state->uptime_ms = uptime_ms;
	state->last_seen_utc_s = now_utc_s;
	return 0;
}

int sflow_agents_add_sample(struct sflow_agents *a, int agent, const struct sflow_sample *s,
			    int64_t now_utc_s)
{
	struct sflow_source_state *state = find_source(a, agent, s);
	int err = state ? 0 : -ENOSPC;

	if (state) {
		state->last_seen_utc_s = now_utc_s;
		switch (s->kind) {
		case SFLOW_FLOW:
			add_flow(state, s, now_utc_s);
			break;
		case SFLOW_COUNTERS:
			sflow_sequence_add(&state->counter_seq, s->sequence, 0);
			break;
		case SFLOW_DISCARD:
			add_discard(state, s);
			break;
		}
	}
	if (s->has_if_counters && add_interface(a, agent, s, now_utc_s))
		err = -ENOSPC;
	a->refused += err != 0;
	return err;
}

/* --- reading ---------------------------------------------------------------------------- */

size_t sflow_agents_list(const struct sflow_agents *a, const struct sflow_agent_state **out)
{
	*out = a->agents;
	return a->agent_table.n;
}

size_t sflow_agents_sources(const struct sflow_agents *a, const struct sflow_source_state **out)
{
	*out = a->sources;
	return a->source_table.n;
}

size_t sflow_agents_interfaces(const struct sflow_agents *a,
			       const struct sflow_interface_state **out)
{
	*out = a->interfaces;
	return a->interface_table.n;
}

static const struct sflow_source_state *source_of(const struct sflow_agents *a, int agent,
						  uint32_t if_index)
{
	const struct key key = {{(uint64_t)agent, 0, if_index}};
	uint16_t slot = *table_slot(&a->source_table, &key, a->seed);

	return slot ? &a->sources[slot - 1] : NULL;
}

const struct sflow_source_state *sflow_agents_source_of(const struct sflow_agents *a,
							const struct sflow_interface_state *i)
{
	return source_of(a, i->agent, i->if_index);
}

int sflow_agents_sampled_going_in(const struct sflow_agents *a, int agent,
				  const struct sflow_sample *s, int64_t now_utc_s)
{
	const struct sflow_source_state *entry;

	if (!is_own_interface(s, &s->out) || is_own_interface(s, &s->in) ||
	    s->in.format != SFLOW_IF_INDEX)
		return 0;
	entry = source_of(a, agent, s->in.value);
	return entry && now_utc_s - entry->last_in_utc_s <= SFLOW_SAMPLED_S;
}

uint64_t sflow_agents_refused(const struct sflow_agents *a)
{
	return a->refused;
}
