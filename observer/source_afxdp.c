/* One receive queue: its AF_XDP socket, thread and tables. Started and asked by source_xdp.c, which adds the queues of
 * an interface together. */
#include <errno.h>
#include <stdlib.h>

#include "observer/source.h"
#include "xdp/afxdp.h"

struct queue_source {
	struct source_context ctx;
	uint16_t id; /* of the interface */
	struct afxdp *socket;
	struct aggregate *aggregate;
	struct seen_table *seen;
	struct scitag_set registered;
	uint64_t registry_generation;
	uint64_t verdicts[PACKET_VERDICT_COUNT]; /* since the socket was opened */
	uint64_t bytes;
	int64_t first_seen_utc_s, last_seen_utc_s;
	int64_t now_utc_us;
	int up;
};

static void on_frame(void *arg, const struct afxdp_frame *f)
{
	struct queue_source *q = arg;
	struct observation o = {.utc_us = q->now_utc_us,
				.frame_bytes = f->frame_bytes,
				.weight = 1,
				.source = q->id};

	q->bytes += f->frame_bytes;
	q->verdicts[observation_from_packet(&o, f->bytes, f->captured_bytes, PACKET_LINK_ETHERNET,
					    &q->registered)]++;
	if (observation_is_traffic(&o))
		source_count(&q->ctx, q->aggregate, q->seen, &o);
}

static int queue_drain(void *self, int wait_ms)
{
	struct queue_source *q = self;
	int n;

	source_registry(&q->ctx, &q->registered, &q->registry_generation);
	q->now_utc_us = clock_utc_us();
	n = afxdp_drain(q->socket, wait_ms, on_frame, q);
	q->up = n >= 0;
	if (n > 0) {
		q->last_seen_utc_s = q->now_utc_us / US_PER_S;
		if (q->first_seen_utc_s == CLOCK_NEVER)
			q->first_seen_utc_s = q->last_seen_utc_s;
	}
	return n;
}

static void queue_take(void *self, struct source_second *out)
{
	struct queue_source *q = self;
	struct source_status *st = calloc(1, sizeof(*st));
	struct afxdp_counts counts;

	source_take_counts(q->aggregate, q->seen, out);
	if (!st)
		return;
	afxdp_counts(q->socket, &counts);
	*st = (struct source_status){
		.id = q->id,
		.kind = SOURCE_CAPTURE,
		.up = (uint8_t)q->up,
		.bytes = q->bytes,
		.first_seen_utc_s = q->first_seen_utc_s,
		.last_seen_utc_s = q->last_seen_utc_s,
	};
	st->dropped[0] = (struct source_reason){"ring_full", counts.ring_full};
	st->dropped[1] = (struct source_reason){"no_memory", counts.dropped};
	source_count_verdicts(st, q->verdicts);
	out->statuses = st;
	out->n_statuses = 1;
}

static void queue_close(void *self)
{
	struct queue_source *q = self;

	afxdp_close(q->socket);
	aggregate_close(q->aggregate);
	seen_close(q->seen);
	free(q);
}

int source_afxdp_open(struct source **out, const struct source_context *ctx, struct afxdp *socket,
		      uint16_t id, const char *name, uint32_t seen_max)
{
	static const struct source_ops ops = {
		.drain = queue_drain, .take = queue_take, .close = queue_close};
	struct queue_source *q = calloc(1, sizeof(*q));
	int err = -ENOMEM;

	if (!q)
		goto fail;
	q->ctx = *ctx;
	q->id = id;
	q->up = 1;
	q->first_seen_utc_s = q->last_seen_utc_s = CLOCK_NEVER;
	q->aggregate = aggregate_open(UINT32_MAX); /* folding is done when the queues are added */
	q->seen = seen_open(seen_max);
	if (!q->aggregate || !q->seen)
		goto fail;
	q->socket = socket;
	err = source_start(out, &ops, q, name);
	if (!err)
		return 0;
fail:
	if (q) {
		aggregate_close(q->aggregate);
		seen_close(q->seen);
	}
	free(q);
	return err;
}
