/* scitag read, its two halves: read.c gathers, read_report.c tells. */
#ifndef CLI_READ_H
#define CLI_READ_H

#include "cli/cli.h"
#include "cli/registry.h"
#include "firefly/firefly.h"
#include "observer/aggregate.h"
#include "observer/capture.h"
#include "registry/registry.h"
#include "sflow/sflow.h"
#include "store/filter.h"

#define READ_AGENTS_MAX 256 /* sFlow agents told apart; the rest share one row */

struct read_config {
	struct cli_common common;
	char *interface, *filter, *by, *registry;
	int packets, numeric, raw;
	int64_t count;
	uint64_t duration_s;
};

struct reader {
	struct read_config cfg;
	struct cli_registry names;
	const struct registry *registry; /* names.registry */
	struct filter *filter;
	uint32_t by; /* bits 1 << enum dim */
	struct capture *capture;
	struct aggregate *aggregate;
	struct cli_list *list; /* --packets */
	int64_t first_utc_us, last_utc_us;
	uint64_t packets, bytes, ip_bytes; /* estimates, rejected ones included */
	uint64_t frames;                   /* read from the capture */
	uint64_t rejected[PACKET_VERDICT_COUNT];
	/* what the aggregate has no cell for */
	struct traffic_value hidden; /* IPv6, but the source shows no label */
	uint64_t datagrams, samples, counter_samples, discards;
	uint64_t datagrams_rejected[SFLOW_VERDICT_COUNT];
	uint64_t unopened_samples; /* of header protocols that we do not open */
	char agents[READ_AGENTS_MAX][64];
	size_t n_agents;
	uint64_t fireflies[FIREFLY_END + 1];
	uint64_t fireflies_rejected[FIREFLY_VERDICT_COUNT];
};

const char *read_source_name(const struct reader *r, unsigned int source);

/* Write the totals, or end the listing of packets; say what was damaged or dropped. Returns the exit
 * code. err: what ended the reading, 0 or negative. */
int read_report(struct reader *r, const char *path, int err);

#endif
