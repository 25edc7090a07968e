/* Frames from an interface through libpcap: the fallback that works everywhere. libpcap puts VLAN tags
 * that the card took off back into the frame, and counts what the kernel could not hand over. */
#include <errno.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "observer/capture.h"
#include "observer/source.h"
#include "wire/packet.h"

#define BATCH	     4096
#define BUFFER_BYTES (64 << 20)
#define TIMEOUT_MS   100 /* how long the kernel may gather a block */
#define SNAP_BYTES   512 /* the deepest chain of docs/reading.md; payload is never read */

struct pcap_source {
	struct source_context ctx;
	char interface[IF_NAMESIZE];
	uint16_t id;
	pcap_t *pcap;
	enum packet_link link;
	struct aggregate *aggregate;
	struct scitag_set registered;
	uint64_t registry_generation;
	uint64_t verdicts[PACKET_VERDICT_COUNT]; /* since the source was opened */
	uint64_t bytes;
	uint64_t kernel_dropped;     /* of captures that ended */
	uint64_t kernel_dropped_now; /* of this capture, newest reading */
	int64_t first_seen_utc_s, last_seen_utc_s;
	int64_t now_utc_us;
	char why_down[PCAP_ERRBUF_SIZE];
	struct log_limit log_limit;
};

static int error_of(int status)
{
	switch (status) {
	case PCAP_ERROR_NO_SUCH_DEVICE:
		return -ENODEV;
	case PCAP_ERROR_PERM_DENIED:
	case PCAP_ERROR_PROMISC_PERM_DENIED:
		return -EPERM;
	case PCAP_ERROR_IFACE_NOT_UP:
		return -ENETDOWN;
	default:
		return -EIO;
	}
}

static int start_capture(struct pcap_source *c)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	pcap_t *p = pcap_create(c->interface, why);
	int status, link;

	if (!p) {
		snprintf(c->why_down, sizeof(c->why_down), "%s", why);
		return -EIO;
	}
	pcap_set_snaplen(p, SNAP_BYTES);
	pcap_set_promisc(p, 1);
	pcap_set_timeout(p, TIMEOUT_MS);
	pcap_set_buffer_size(p, BUFFER_BYTES);
	status = pcap_activate(p);
	if (status < 0) {
		const char *detail = pcap_geterr(p);

		snprintf(c->why_down, sizeof(c->why_down), "%s%s%.180s", pcap_statustostr(status),
			 *detail ? ": " : "", detail);
		pcap_close(p);
		return error_of(status);
	}
	link = capture_link(pcap_datalink(p));
	if (link < 0 || pcap_setnonblock(p, 1, why) < 0) {
		snprintf(c->why_down, sizeof(c->why_down), "link type %s is none that carries IP",
			 pcap_datalink_val_to_name(pcap_datalink(p)));
		pcap_close(p);
		return -EPROTONOSUPPORT;
	}
	c->link = (enum packet_link)link;
	c->why_down[0] = 0;
	c->pcap = p;
	return 0;
}

static void stop_capture(struct pcap_source *c)
{
	if (!c->pcap)
		return;
	pcap_close(c->pcap);
	c->pcap = NULL;
	c->kernel_dropped += c->kernel_dropped_now;
	c->kernel_dropped_now = 0;
}

static void on_frame(u_char *arg, const struct pcap_pkthdr *h, const u_char *bytes)
{
	struct pcap_source *c = (struct pcap_source *)arg;
	struct observation o = {
		.utc_us = c->now_utc_us, .frame_bytes = h->len, .weight = 1, .source = c->id};

	c->bytes += h->len;
	c->verdicts[observation_from_packet(&o, bytes, h->caplen, c->link, &c->registered)]++;
	if (o.verdict != PACKET_OK)
		return;
	o.direction = (uint8_t)site_direction(c->ctx.site, &o.key);
	aggregate_add(c->aggregate, &o);
}

static int pcap_source_drain(void *self, int wait_ms)
{
	struct pcap_source *c = self;
	struct pollfd pfd;
	int n;

	if (!c->pcap) {
		int err = start_capture(c);

		if (err)
			return err;
		log_msg(LOG_LEVEL_INFO, "pcap", "%s: capturing again", c->interface);
	}
	source_registry(&c->ctx, &c->registered, &c->registry_generation);
	c->now_utc_us = clock_utc_us();
	n = pcap_dispatch(c->pcap, BATCH, on_frame, (u_char *)c);
	if (n < 0) {
		snprintf(c->why_down, sizeof(c->why_down), "%s", pcap_geterr(c->pcap));
		log_limited(&c->log_limit, LOG_LEVEL_WARN, "pcap", "%s: %s", c->interface,
			    c->why_down);
		stop_capture(c);
		return -EIO;
	}
	if (n > 0) {
		c->last_seen_utc_s = c->now_utc_us / US_PER_S;
		if (c->first_seen_utc_s == CLOCK_NEVER)
			c->first_seen_utc_s = c->last_seen_utc_s;
	} else if (wait_ms) {
		pfd = (struct pollfd){.fd = pcap_get_selectable_fd(c->pcap), .events = POLLIN};
		poll(&pfd, 1, wait_ms);
	}
	return n;
}

static void pcap_source_take(void *self, struct source_second *out)
{
	struct pcap_source *c = self;
	struct source_status *st = calloc(1, sizeof(*st));
	struct pcap_stat stat;

	source_take_rows(c->aggregate, out);
	if (!st)
		return;
	if (c->pcap && pcap_stats(c->pcap, &stat) == 0)
		c->kernel_dropped_now = stat.ps_drop;
	*st = (struct source_status){
		.id = c->id,
		.kind = SOURCE_CAPTURE,
		.up = c->pcap != NULL,
		.unit = "packets",
		.bytes = c->bytes,
		.first_seen_utc_s = c->first_seen_utc_s,
		.last_seen_utc_s = c->last_seen_utc_s,
	};
	snprintf(st->name, sizeof(st->name), "%s", c->interface);
	if (c->pcap)
		snprintf(st->detail, sizeof(st->detail), "libpcap, %s, %d MiB buffer",
			 pcap_datalink_val_to_name(pcap_datalink(c->pcap)), BUFFER_BYTES >> 20);
	else
		snprintf(st->detail, sizeof(st->detail), "%.150s", c->why_down);
	st->dropped[0] =
		(struct source_reason){"kernel", c->kernel_dropped + c->kernel_dropped_now};
	source_count_verdicts(st, c->verdicts);
	out->statuses = st;
	out->n_statuses = 1;
}

static void pcap_source_close(void *self)
{
	struct pcap_source *c = self;

	stop_capture(c);
	aggregate_close(c->aggregate);
	free(c);
}

int source_pcap_open(struct source **out, const struct source_context *ctx, const char *interface)
{
	static const struct source_ops ops = {pcap_source_drain, pcap_source_take,
					      pcap_source_close};
	struct pcap_source *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return log_fail(-ENOMEM, "pcap", "%s", interface);
	c->ctx = *ctx;
	c->first_seen_utc_s = c->last_seen_utc_s = CLOCK_NEVER;
	snprintf(c->interface, sizeof(c->interface), "%s", interface);
	c->aggregate = aggregate_open();
	err = c->aggregate ? start_capture(c) : -ENOMEM;
	if (err) {
		log_msg(LOG_LEVEL_ERROR, "pcap", "interface %s: %s", interface,
			*c->why_down ? c->why_down : strerror(-err));
		goto fail;
	}
	c->id = store_source_id(ctx->store, interface, SOURCE_CAPTURE);
	err = source_start(out, &ops, c, interface);
	if (!err)
		return 0;
fail:
	pcap_source_close(c);
	return err;
}
