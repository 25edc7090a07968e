/* Any bytes as a row of sFlow datagrams: the walk ends, stays inside, gives what it promised, and the
 * agents' tables take it. Each datagram is two bytes of length and a copy of exactly that size.
 * Run: build/fuzz/fuzz_sflow tests/fuzz/corpus/sflow */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sflow/agent.h"
#include "sflow/sflow.h"

#define REQUIRE(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_sample(const struct sflow_sample *s, const uint8_t *buf, size_t n)
{
	REQUIRE(s->kind == SFLOW_FLOW || s->kind == SFLOW_COUNTERS || s->kind == SFLOW_DISCARD);
	if (s->has_header) {
		REQUIRE(s->header >= buf && s->header_bytes <= n);
		REQUIRE((size_t)(s->header - buf) <= n - s->header_bytes);
	} else {
		REQUIRE(!s->header && !s->header_bytes && !s->header_link);
	}
	REQUIRE(!(s->header_link && s->has_key));
	REQUIRE(!s->has_key || s->key.family == 4 || s->key.family == 6);
	REQUIRE(!s->has_if_counters || s->kind == SFLOW_COUNTERS);
	REQUIRE(s->in.format <= SFLOW_IF_RESERVED && s->out.format <= SFLOW_IF_RESERVED);
}

/* agents may be NULL: the walk alone. */
static void add_datagram(struct sflow_agents *agents, const uint8_t *buf, size_t n,
			 int64_t now_utc_s)
{
	struct sflow_reader r;
	struct sflow_datagram d;
	struct sflow_sample s;
	enum sflow_verdict verdict = sflow_open(&r, &d, buf, n);
	size_t samples = 0;
	int agent = 0;

	if (verdict != SFLOW_OK)
		return;
	if (agents)
		agent = sflow_agents_add(agents, &d, now_utc_s);
	if (agent == -EALREADY)
		return;
	REQUIRE(agent >= 0);
	while (sflow_next(&r, &s, &verdict)) {
		check_sample(&s, buf, n);
		if (agents)
			sflow_agents_add_sample(agents, agent, &s, now_utc_s);
		samples++;
	}
	REQUIRE(samples + r.damaged_samples + r.skipped_samples <= n / 8);
	REQUIRE(verdict == SFLOW_OK || verdict == SFLOW_SHORT || verdict == SFLOW_MALFORMED);
	REQUIRE(verdict != SFLOW_OK ||
		samples + r.damaged_samples + r.skipped_samples == d.n_samples);
}

static void check_tables(const struct sflow_agents *agents)
{
	const struct sflow_source_state *sources;
	const struct sflow_interface_state *interfaces;
	size_t n = sflow_agents_sources(agents, &sources);

	for (size_t i = 0; i < n; i++) {
		REQUIRE(sources[i].effective_rate >= 0);
		REQUIRE(sources[i].flow_seq.lost <=
			(uint64_t)UINT32_MAX * sources[i].flow_seq.received);
	}
	n = sflow_agents_interfaces(agents, &interfaces);
	for (size_t i = 0; i < n; i++)
		REQUIRE(interfaces[i].in_bytes_per_s >= 0 && interfaces[i].out_bytes_per_s >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sflow_agents *agents = NULL;
	int64_t now_utc_s = 1700000000;

	if (n >= 2 && ((size_t)data[0] << 8 | data[1]) < n - 2) {
		agents = sflow_agents_open(); /* dear, and of use to two or more only */
		REQUIRE(agents);
	}
	while (n >= 2) {
		size_t len = (size_t)data[0] << 8 | data[1];
		uint8_t *copy;

		data += 2;
		n -= 2;
		len = len < n ? len : n;
		copy = malloc(len ? len : 1);
		REQUIRE(copy);
		memcpy(copy, data, len);
		add_datagram(agents, copy, len, now_utc_s++);
		free(copy);
		data += len;
		n -= len;
	}
	if (agents)
		check_tables(agents);
	sflow_agents_close(agents);
	return 0;
}
