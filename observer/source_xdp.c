/* An interface through XDP. With the tap the kernel counts and this thread reads its cells once a second; frames that only
 * user space can read are counted here. With AF_XDP each receive queue is a source of its own (source_afxdp.c), and
 * this one adds them together. Either way it watches the interface: one that goes away comes back by itself. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "observer/nic.h"
#include "observer/source.h"
#include "xdp/afxdp.h"
#include "xdp/tap.h"

#define QUEUES_MAX     128
#define WATCH_NS       (NS_PER_S / 10) /* how late a lost interface or a new queue may be noticed */
#define QUEUES_SEEN    (4 * SEEN_MAX)  /* flows a second, all queues together */
#define LINK_BYTES_MAX (14 + 4 * PACKET_MAX_VLANS)

struct xdp_source {
	struct source_context ctx;
	struct source_xdp_config cfg;
	char interface[IF_NAMESIZE];
	uint16_t id;
	struct tap *tap; /* NULL: down */
	int promiscuous_fd;
	int mirror;            /* as configured, and no addresses there */
	uint32_t queues_there; /* when the program was attached */
	size_t n_queues;
	struct source *queues[QUEUES_MAX];
	struct source_status queue_status[QUEUES_MAX]; /* newest */
	int zero_copy, pieces;                         /* of all queues */

	struct tap_prefix prefixes[TAP_PREFIXES_MAX];
	struct aggregate *aggregate;
	struct seen_table *seen;
	struct scitag_set registered;
	uint64_t registry_generation;
	uint64_t verdicts[PACKET_VERDICT_COUNT]; /* by the tap, since the source was opened */
	uint64_t bytes;
	uint64_t lost_steered;         /* of taps that ended */
	struct source_status before;   /* the same of queues that ended */
	struct source_second absorbed; /* of the queues, for the next take: what they saw */
	uint64_t queue_not_followed[QUEUES_MAX]; /* newest */
	uint64_t not_followed_before;            /* of queues that ended */
	int64_t first_seen_utc_s, last_seen_utc_s;
	int64_t watched_mono_ns;
	char why_down[160];
	struct log_limit log_limit;
};

/* --- what the tap counted --- */

static uint8_t grade_of(const struct xdp_source *x, const struct tap_count *c)
{
	if (c->carrier == CARRIER_NONE)
		return GRADE_UNTAGGED;
	if (c->outside || !scitag_set_has(&x->registered, c->tag))
		return GRADE_UNREGISTERED;
	return c->carrier == CARRIER_LABEL ? GRADE_REGISTERED : GRADE_CONFIRMED;
}

static void on_count(void *arg, const struct tap_count *c)
{
	struct xdp_source *x = arg;
	const struct traffic_key key = {
		.source = x->id,
		.direction = c->direction,
		.family = c->family,
		.carrier = c->carrier,
		.grade = grade_of(x, c),
		.experiment = c->outside ? STORE_FOLDED : c->tag.experiment,
		.activity = c->outside ? STORE_FOLDED : c->tag.activity,
	};
	const struct traffic_value value = {
		.packets = c->grown.packets,
		.bytes = c->grown.bytes,
		.ip_bytes = c->grown.ip_bytes,
		.samples = c->grown.packets,
	};

	x->verdicts[c->verdict] += c->grown.packets;
	x->bytes += c->grown.bytes;
	if (c->verdict == PACKET_OK || c->verdict == PACKET_NOT_IP)
		aggregate_add_cell(x->aggregate, &key, &value);
}

/* A frame that the kernel left to us, and did not count. */
static void count_steered(struct xdp_source *x, const struct tap_meta *meta, const uint8_t *bytes)
{
	struct observation o = {.utc_us = clock_utc_us(),
				.frame_bytes = meta->frame_bytes,
				.weight = 1,
				.source = x->id};

	x->bytes += meta->frame_bytes;
	x->verdicts[observation_from_packet(&o, bytes, meta->captured_bytes, PACKET_LINK_ETHERNET,
					    &x->registered)]++;
	if (observation_is_traffic(&o))
		source_count(&x->ctx, x->aggregate, x->seen, &o);
}

/* A frame that the kernel has counted: its cell is exact, its flow an estimate. */
static void follow(struct xdp_source *x, const struct tap_meta *meta, const uint8_t *bytes)
{
	struct observation o = {.utc_us = clock_utc_us(),
				.frame_bytes = meta->frame_bytes,
				.weight = meta->weight,
				.source = x->id};

	if (observation_from_packet(&o, bytes, meta->captured_bytes, PACKET_LINK_ETHERNET,
				    &x->registered) != PACKET_OK)
		return;
	o.direction = (uint8_t)site_direction(x->ctx.site, &o.key);
	seen_add(x->seen, &o);
}

static void on_handed_up(void *arg, const struct tap_meta *meta, const uint8_t *bytes)
{
	if (meta->why == TAP_STEERED)
		count_steered(arg, meta, bytes);
	else
		follow(arg, meta, bytes);
}

static uint64_t verdict_total(const struct xdp_source *x)
{
	uint64_t n = 0;

	for (size_t v = 0; v < PACKET_VERDICT_COUNT; v++)
		n += x->verdicts[v];
	return n;
}

static void read_counts(struct xdp_source *x)
{
	const uint64_t before = verdict_total(x);
	const int64_t now_utc_s = clock_utc_us() / US_PER_S;

	tap_counts(x->tap, on_count, x);
	if (verdict_total(x) == before)
		return;
	x->last_seen_utc_s = now_utc_s;
	if (x->first_seen_utc_s == CLOCK_NEVER)
		x->first_seen_utc_s = now_utc_s;
}

/* --- what the queues counted --- */

static void add_status(struct source_status *sum, const struct source_status *st)
{
	sum->received += st->received;
	sum->accepted += st->accepted;
	sum->bytes += st->bytes;
	for (size_t i = 0; i < STORE_REASONS_MAX && st->rejected[i].name; i++) {
		sum->rejected[i].name = st->rejected[i].name;
		sum->rejected[i].count += st->rejected[i].count;
	}
	for (size_t i = 0; i < STORE_DROPS_MAX && st->dropped[i].name; i++) {
		sum->dropped[i].name = st->dropped[i].name;
		sum->dropped[i].count += st->dropped[i].count;
	}
	if (st->first_seen_utc_s != CLOCK_NEVER &&
	    (sum->first_seen_utc_s == CLOCK_NEVER || st->first_seen_utc_s < sum->first_seen_utc_s))
		sum->first_seen_utc_s = st->first_seen_utc_s;
	if (st->last_seen_utc_s > sum->last_seen_utc_s)
		sum->last_seen_utc_s = st->last_seen_utc_s;
}

static void absorb(struct xdp_source *x, size_t queue, struct source_second *second)
{
	struct source_second seen = {.seen = second->seen, .n_seen = second->n_seen};

	for (size_t i = 0; i < second->n_rows; i++)
		aggregate_add_cell(x->aggregate, &second->rows[i].key, &second->rows[i].value);
	if (second->n_statuses)
		x->queue_status[queue] = second->statuses[0];
	x->queue_not_followed[queue] = second->not_followed;
	second->seen = NULL;
	source_second_add(&x->absorbed, &seen);
	source_second_free(second);
}

static void ask_queues(struct xdp_source *x)
{
	struct source_second second;

	for (size_t i = 0; i < x->n_queues; i++)
		source_ask(x->queues[i]);
	for (size_t i = 0; i < x->n_queues; i++)
		if (!source_take(x->queues[i], &second)) /* late: the last status stands */
			absorb(x, i, &second);
}

/* What they hold comes along. */
static void close_queues(struct xdp_source *x)
{
	struct source_second rest;

	while (x->n_queues) {
		const size_t i = x->n_queues - 1;

		source_close(x->queues[i], &rest);
		absorb(x, i, &rest);
		add_status(&x->before, &x->queue_status[i]);
		x->not_followed_before += x->queue_not_followed[i];
		x->n_queues--;
	}
}

/* --- coming up and going down --- */

static int open_queue(struct xdp_source *x, uint32_t queue, char *why, size_t why_cap_bytes)
{
	/* the generic mode sees packets that were merged, of any length */
	const struct afxdp_config cfg = {
		.interface = x->interface,
		.queue = queue,
		.map_fd = tap_socket_map_fd(x->tap),
		.frame_max_bytes = tap_is_native(x->tap)
					   ? nic_mtu_bytes(x->interface) + LINK_BYTES_MAX
					   : UINT32_MAX,
		.busy_poll = x->cfg.busy_poll,
	};
	struct afxdp *socket;
	char name[64];
	int err = afxdp_open(&socket, &cfg, why, why_cap_bytes);

	if (err)
		return err;
	snprintf(name, sizeof(name), "%s queue %u", x->interface, queue);
	x->zero_copy = afxdp_is_zero_copy(socket);
	x->pieces = afxdp_takes_pieces(socket);
	err = source_afxdp_open(&x->queues[queue], &x->ctx, socket, x->id, name,
				QUEUES_SEEN / x->queues_there);
	if (err) {
		snprintf(why, why_cap_bytes, "%s: %s", name, strerror(-err));
		afxdp_close(socket);
		return err;
	}
	x->queue_status[queue] = (struct source_status){.first_seen_utc_s = CLOCK_NEVER,
							.last_seen_utc_s = CLOCK_NEVER};
	x->queue_not_followed[queue] = 0;
	x->n_queues++;
	return 0;
}

static int open_queues(struct xdp_source *x, char *why, size_t why_cap_bytes)
{
	int err = 0;

	while (!err && x->n_queues < x->queues_there && x->n_queues < QUEUES_MAX)
		err = open_queue(x, (uint32_t)x->n_queues, why, why_cap_bytes);
	return err;
}

static size_t site_prefixes(const struct site *site, struct tap_prefix *prefixes)
{
	size_t n = 0;

	while (n < TAP_PREFIXES_MAX &&
	       !site_prefix(site, n, prefixes[n].address, &prefixes[n].bits))
		n++;
	return n;
}

static void go_down(struct xdp_source *x)
{
	struct tap_health health;

	if (!x->tap)
		return;
	tap_detach(x->tap);
	if (x->cfg.every_frame) {
		close_queues(x);
	} else {
		while (tap_samples(x->tap, 0, on_handed_up, x) > 0)
			;
		read_counts(x);
		tap_health(x->tap, &health);
		x->lost_steered += health.lost_steered;
	}
	tap_close(x->tap);
	x->tap = NULL;
	if (x->promiscuous_fd >= 0)
		close(x->promiscuous_fd);
	x->promiscuous_fd = -1;
}

static int is_mirror(const struct xdp_source *x)
{
	return x->cfg.mirror && !nic_has_addresses(x->interface);
}

static int come_up(struct xdp_source *x, char *why, size_t why_cap_bytes)
{
	struct tap_config cfg = {
		.interface = x->interface,
		.mode = x->cfg.every_frame ? TAP_MODE_REDIRECT : TAP_MODE_COUNT,
		.mirror = is_mirror(x),
		.samples_per_s = x->cfg.samples_per_s,
		.registered = &x->registered,
		.prefixes = x->prefixes,
	};
	int err;

	if (x->cfg.every_frame && !cfg.mirror) {
		snprintf(
			why, why_cap_bytes,
			x->cfg.mirror
				? "%s has addresses: afxdp would take the host's packets away; xdp "
				  "counts them in passing"
				: "%s: afxdp takes every packet away from the host; say "
				  "capture.mirror: true if this is a mirror port",
			x->interface);
		return -EINVAL;
	}
	source_registry(&x->ctx, &x->registered, &x->registry_generation);
	x->queues_there = nic_queues(x->interface);
	cfg.n_prefixes = site_prefixes(x->ctx.site, x->prefixes);
	err = tap_open(&x->tap, &cfg, why, why_cap_bytes);
	if (err)
		return err;
	x->mirror = cfg.mirror;
	x->promiscuous_fd = nic_promiscuous(x->interface);
	if (x->promiscuous_fd < 0)
		log_msg(LOG_LEVEL_WARN, "xdp", "%s: promiscuous mode: %s", x->interface,
			strerror(-x->promiscuous_fd));
	if (x->cfg.native_only && !tap_is_native(x->tap)) {
		snprintf(why, why_cap_bytes, "the driver of %s has no native XDP", x->interface);
		err = -EOPNOTSUPP;
	} else if (x->cfg.every_frame) {
		err = open_queues(x, why, why_cap_bytes);
	}
	if (err)
		go_down(x);
	return err;
}

/* Why it can go on no longer, or NULL. */
static const char *lost(struct xdp_source *x)
{
	struct tap_health health;

	if ((int)if_nametoindex(x->interface) != tap_ifindex(x->tap))
		return "the interface is gone, or has another name";
	tap_health(x->tap, &health);
	if (!health.attached)
		return "somebody took our program off the interface";
	return NULL;
}

/* What the program was attached for. Not every driver runs it on a queue that is newer; and with an address
 * given to it, it is no mirror port. */
static int has_changed(const struct xdp_source *x)
{
	return nic_queues(x->interface) != x->queues_there || is_mirror(x) != x->mirror;
}

static int watch(struct xdp_source *x)
{
	const int64_t now_mono_ns = clock_mono_ns();
	const char *why;
	int err = 0;

	if (now_mono_ns - x->watched_mono_ns < WATCH_NS)
		return 0;
	x->watched_mono_ns = now_mono_ns;
	why = lost(x);
	if (why) {
		snprintf(x->why_down, sizeof(x->why_down), "%s", why);
		err = -ENETDOWN;
	} else if (has_changed(x)) {
		go_down(x);
		err = come_up(x, x->why_down, sizeof(x->why_down));
		if (!err)
			log_msg(LOG_LEVEL_INFO, "xdp", "%s: attached anew: %u receive queues, %s",
				x->interface, x->queues_there,
				x->mirror ? "a mirror port" : "frames are passed on");
	}
	if (err) {
		log_limited(&x->log_limit, LOG_LEVEL_WARN, "xdp", "%s: %s", x->interface,
			    x->why_down);
		go_down(x);
	}
	return err;
}

/* --- a source --- */

static void describe(const struct xdp_source *x, char *buf, size_t cap_bytes)
{
	struct tap_health health;
	int n;

	tap_health(x->tap, &health);
	if (x->cfg.every_frame)
		n = snprintf(buf, cap_bytes, "AF_XDP, %s%s, ",
			     x->zero_copy ? "zero-copy" : "copied", x->pieces ? ", in pieces" : "");
	else
		n = snprintf(buf, cap_bytes, "1 in %u sampled%s, ", health.sample_one_in,
			     x->cfg.mirror && !x->mirror ? ", no mirror port (addresses)" : "");
	if (n > 0 && (size_t)n < cap_bytes)
		tap_describe(x->tap, buf + n, cap_bytes - (size_t)n);
}

static int xdp_source_drain(void *self, int wait_ms)
{
	struct xdp_source *x = self;
	const uint64_t generation = x->registry_generation;
	int n = 0, err;

	if (!x->tap && !wait_ms)
		return 0; /* it is being stopped */
	if (!x->tap) {
		err = come_up(x, x->why_down, sizeof(x->why_down));
		if (err)
			return err;
		log_msg(LOG_LEVEL_INFO, "xdp", "%s: counting again", x->interface);
	}
	if (wait_ms) {
		err = watch(x);
		if (err)
			return err;
	}
	if (!x->cfg.every_frame) {
		if (generation != registry_keeper_generation(x->ctx.registry) + 1)
			read_counts(x); /* they were told apart by the old registry */
		source_registry(&x->ctx, &x->registered, &x->registry_generation);
		if (generation != x->registry_generation)
			tap_register(x->tap, &x->registered);
		n = tap_samples(x->tap, 0, on_handed_up, x);
	}
	/* to be woken for each frame would cost the CPU that receives */
	if (!n && wait_ms)
		nanosleep(&(struct timespec){.tv_nsec = wait_ms * 1000000L}, NULL);
	return n;
}

static void xdp_source_stop(void *self)
{
	struct xdp_source *x = self;

	if (!x->tap)
		return;
	tap_detach(x->tap);
	close_queues(x);
}

static void tap_status(struct xdp_source *x, struct source_status *st)
{
	struct tap_health health = {0};

	if (x->tap)
		tap_health(x->tap, &health);
	st->bytes = x->bytes;
	st->first_seen_utc_s = x->first_seen_utc_s;
	st->last_seen_utc_s = x->last_seen_utc_s;
	st->dropped[0] = (struct source_reason){"ring_full", x->lost_steered + health.lost_steered};
	source_count_verdicts(st, x->verdicts);
}

static void xdp_source_take(void *self, struct source_second *out)
{
	struct xdp_source *x = self;
	struct source_status *st = calloc(1, sizeof(*st));

	if (x->tap && !x->cfg.every_frame)
		read_counts(x);
	ask_queues(x);
	source_take_counts(x->aggregate, x->seen, &x->absorbed);
	for (size_t i = 0; i < x->n_queues; i++)
		x->absorbed.not_followed += x->queue_not_followed[i];
	x->absorbed.not_followed += x->not_followed_before;
	*out = x->absorbed;
	x->absorbed = (struct source_second){0};
	if (!st)
		return;
	if (x->cfg.every_frame) {
		*st = x->before;
		for (size_t i = 0; i < x->n_queues; i++)
			add_status(st, &x->queue_status[i]);
	} else {
		tap_status(x, st);
	}
	st->id = x->id;
	st->kind = SOURCE_CAPTURE;
	snprintf(st->name, sizeof(st->name), "%s", x->interface);
	snprintf(st->unit, sizeof(st->unit), "packets");
	st->up = x->tap && nic_is_running(x->interface);
	if (!x->tap)
		snprintf(st->detail, sizeof(st->detail), "%s", x->why_down);
	else if (!st->up)
		snprintf(st->detail, sizeof(st->detail), "no link");
	else
		describe(x, st->detail, sizeof(st->detail));
	out->statuses = st;
	out->n_statuses = 1;
}

static void xdp_source_close(void *self)
{
	struct xdp_source *x = self;

	close_queues(x);
	tap_close(x->tap);
	if (x->promiscuous_fd >= 0)
		close(x->promiscuous_fd);
	aggregate_close(x->aggregate);
	seen_close(x->seen);
	source_second_free(&x->absorbed);
	free(x);
}

int source_xdp_open(struct source **out, const struct source_context *ctx,
		    const struct source_xdp_config *cfg, char *why, size_t why_cap_bytes)
{
	static const struct source_ops ops = {.drain = xdp_source_drain,
					      .take = xdp_source_take,
					      .close = xdp_source_close,
					      .stop = xdp_source_stop};
	struct xdp_source *x = calloc(1, sizeof(*x));
	char how[256];
	int err = -ENOMEM;

	snprintf(why, why_cap_bytes, "%s: no memory", cfg->interface);
	if (!x)
		return err;
	x->ctx = *ctx;
	x->cfg = *cfg;
	x->promiscuous_fd = -1;
	x->first_seen_utc_s = x->last_seen_utc_s = CLOCK_NEVER;
	x->before.first_seen_utc_s = x->before.last_seen_utc_s = CLOCK_NEVER;
	snprintf(x->interface, sizeof(x->interface), "%s", cfg->interface);
	x->cfg.interface = x->interface;
	x->aggregate = aggregate_open(STORE_UNREGISTERED_ROWS);
	x->seen = seen_open(SEEN_MAX);
	if (x->aggregate && x->seen) {
		x->id = store_source_id(ctx->store, x->interface, SOURCE_CAPTURE);
		err = come_up(x, why, why_cap_bytes);
	}
	if (err)
		goto fail;
	describe(x, how, sizeof(how));
	log_msg(LOG_LEVEL_INFO, "xdp", "%s: %s", x->interface, how);
	err = source_start(out, &ops, x, x->interface);
	if (!err)
		return 0;
fail:
	xdp_source_close(x);
	return err;
}
