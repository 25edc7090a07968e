/* Frames from an interface through libpcap: the fallback that works everywhere. libpcap puts VLAN tags
 * that the card took off back into the frame, and counts what the kernel could not hand over. */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "observer/capture.h"
#include "observer/source.h"

struct pcap_source {
	struct source_context ctx;
	char interface[IF_NAMESIZE];
	uint16_t id;
	struct capture *capture; /* NULL: down */
	struct aggregate *aggregate;
	struct seen_table *seen;
	struct scitag_set registered;
	uint64_t registry_generation;
	uint64_t verdicts[PACKET_VERDICT_COUNT]; /* since the source was opened */
	uint64_t bytes;
	uint64_t kernel_dropped;     /* of captures that ended */
	uint64_t kernel_dropped_now; /* of this one, newest reading */
	int64_t first_seen_utc_s, last_seen_utc_s;
	int64_t now_utc_us;
	char why_down[160];
	char note[96];
	struct log_limit log_limit;
};

static void on_frame(void *arg, const struct capture_frame *f)
{
	struct pcap_source *p = arg;
	struct observation o = {.utc_us = p->now_utc_us,
				.frame_bytes = f->frame_bytes,
				.weight = 1,
				.source = p->id};

	p->bytes += f->frame_bytes;
	p->verdicts[observation_from_packet(&o, f->bytes, f->captured_bytes,
					    capture_packet_link(p->capture), &p->registered)]++;
	if (observation_is_traffic(&o))
		source_count(&p->ctx, p->aggregate, p->seen, &o);
}

static void go_down(struct pcap_source *p)
{
	snprintf(p->why_down, sizeof(p->why_down), "%s", capture_damage(p->capture));
	log_limited(&p->log_limit, LOG_LEVEL_WARN, "pcap", "%s: %s", p->interface, p->why_down);
	capture_close(p->capture);
	p->capture = NULL;
	p->kernel_dropped += p->kernel_dropped_now;
	p->kernel_dropped_now = 0;
}

static int pcap_source_drain(void *self, int wait_ms)
{
	struct pcap_source *p = self;
	int n;

	if (!p->capture) { /* the interface went away or went down: try it once a second */
		int err = capture_open_live(&p->capture, p->interface, p->why_down,
					    sizeof(p->why_down));

		if (err)
			return err;
		log_msg(LOG_LEVEL_INFO, "pcap", "%s: capturing again", p->interface);
	}
	source_registry(&p->ctx, &p->registered, &p->registry_generation);
	p->now_utc_us = clock_utc_us();
	n = capture_drain(p->capture, wait_ms, on_frame, p);
	if (n < 0) {
		go_down(p);
		return n;
	}
	if (n > 0) {
		p->last_seen_utc_s = p->now_utc_us / US_PER_S;
		if (p->first_seen_utc_s == CLOCK_NEVER)
			p->first_seen_utc_s = p->last_seen_utc_s;
	}
	return n;
}

static void pcap_source_take(void *self, struct source_second *out)
{
	struct pcap_source *p = self;
	struct source_status *st = calloc(1, sizeof(*st));
	char how[160];

	source_take_counts(p->aggregate, p->seen, out);
	if (!st)
		return;
	if (p->capture)
		p->kernel_dropped_now = capture_dropped(p->capture);
	*st = (struct source_status){
		.id = p->id,
		.kind = SOURCE_CAPTURE,
		.up = p->capture != NULL,
		.unit = "packets",
		.bytes = p->bytes,
		.first_seen_utc_s = p->first_seen_utc_s,
		.last_seen_utc_s = p->last_seen_utc_s,
	};
	snprintf(st->name, sizeof(st->name), "%s", p->interface);
	if (p->capture)
		capture_describe(p->capture, how, sizeof(how));
	else
		snprintf(how, sizeof(how), "%s", p->why_down);
	snprintf(st->detail, sizeof(st->detail), *p->note ? "%.60s; %.96s" : "%.158s%s", how,
		 p->note);
	st->dropped[0] =
		(struct source_reason){"kernel", p->kernel_dropped + p->kernel_dropped_now};
	source_count_verdicts(st, p->verdicts);
	out->statuses = st;
	out->n_statuses = 1;
}

static void pcap_source_close(void *self)
{
	struct pcap_source *p = self;

	capture_close(p->capture);
	aggregate_close(p->aggregate);
	seen_close(p->seen);
	free(p);
}

int source_pcap_open(struct source **out, const struct source_context *ctx, const char *interface,
		     const char *note)
{
	static const struct source_ops ops = {
		.drain = pcap_source_drain, .take = pcap_source_take, .close = pcap_source_close};
	struct pcap_source *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return log_fail(-ENOMEM, "pcap", "%s", interface);
	p->ctx = *ctx;
	p->first_seen_utc_s = p->last_seen_utc_s = CLOCK_NEVER;
	snprintf(p->interface, sizeof(p->interface), "%s", interface);
	snprintf(p->note, sizeof(p->note), "%s", note);
	p->aggregate = aggregate_open(STORE_UNREGISTERED_ROWS);
	p->seen = seen_open(SEEN_MAX);
	err = p->aggregate && p->seen
		      ? capture_open_live(&p->capture, interface, p->why_down, sizeof(p->why_down))
		      : -ENOMEM;
	if (err) {
		log_msg(LOG_LEVEL_ERROR, "pcap", "interface %s: %s", interface,
			*p->why_down ? p->why_down : strerror(-err));
		goto fail;
	}
	p->id = store_source_id(ctx->store, interface, SOURCE_CAPTURE);
	err = source_start(out, &ops, p, interface);
	if (!err)
		return 0;
fail:
	pcap_source_close(p);
	return err;
}
