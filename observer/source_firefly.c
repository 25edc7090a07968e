/* Fireflies from a UDP socket, handed over as heard. Anyone can send a datagram, so what a second holds is
 * bounded and every sender has its limit. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "firefly/firefly.h"
#include "observer/glimpse.h"
#include "observer/heard.h"
#include "observer/sender_limit.h"
#include "observer/source.h"
#include "observer/udp.h"

#define SENDER_PER_S 50000 /* generous: one relay may speak for many sites */

enum { REASON_RATE_LIMITED = FIREFLY_VERDICT_COUNT, REASON_COUNT };
_Static_assert(REASON_COUNT <= STORE_REASONS_MAX, "every reason has its place in a status");

struct firefly_source {
	struct udp *udp;
	struct sender_limit *limit;
	uint16_t id;
	uint64_t received_bytes;
	uint64_t counts[REASON_COUNT]; /* by enum firefly_verdict, since the start */
	uint64_t producers[FIREFLY_PRODUCER_COUNT];
	uint64_t join_full; /* good ones for which a second had no room */
	int64_t first_seen_utc_s, last_seen_utc_s;
	int64_t now_mono_ns, now_utc_us;
	struct log_limit down_limit, refusal_limit;
	struct heard_list heard;
};

static const char *reason_name(unsigned int reason)
{
	return reason == REASON_RATE_LIMITED ? "rate_limited"
					     : firefly_verdict_name((enum firefly_verdict)reason);
}

static void log_refusal(struct firefly_source *f, const struct udp_datagram *d, unsigned int reason)
{
	char sender[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, d->src_ip, sender, sizeof(sender));
	log_limited(&f->refusal_limit, LOG_LEVEL_WARN, "firefly", "%s: %u bytes from %s: %s",
		    udp_name(f->udp), d->len_bytes, sender, reason_name(reason));
}

static void on_datagram(void *arg, const struct udp_datagram *d)
{
	struct firefly_source *f = arg;
	struct firefly ff;
	struct heard *heard;
	unsigned int verdict;

	f->received_bytes += d->len_bytes;
	if (!sender_limit_take(f->limit, d->src_ip, f->now_mono_ns))
		verdict = REASON_RATE_LIMITED;
	else if (d->cut)
		verdict = FIREFLY_TOO_LONG;
	else
		verdict = firefly_parse(&ff, d->bytes, d->len_bytes);
	if (verdict != FIREFLY_OK) {
		f->counts[verdict]++;
		log_refusal(f, d, verdict);
		return;
	}
	heard = heard_add(&f->heard);
	if (!heard) {
		f->join_full++;
		return;
	}
	f->counts[FIREFLY_OK]++;
	f->producers[ff.producer]++;
	heard->firefly = ff;
	heard->heard_utc_us = f->now_utc_us;
	memcpy(heard->sender_ip, d->src_ip, sizeof(heard->sender_ip));
}

static int firefly_source_drain(void *self, int wait_ms)
{
	struct firefly_source *f = self;
	int n;

	f->now_mono_ns = clock_mono_ns();
	f->now_utc_us = clock_utc_us();
	n = udp_drain(f->udp, wait_ms, on_datagram, f);
	if (n < 0)
		log_limited(&f->down_limit, LOG_LEVEL_WARN, "firefly", "%s: %s", udp_name(f->udp),
			    strerror(-n));
	if (n > 0) {
		f->last_seen_utc_s = f->now_utc_us / US_PER_S;
		if (f->first_seen_utc_s == CLOCK_NEVER)
			f->first_seen_utc_s = f->last_seen_utc_s;
	}
	return n;
}

/* "32 MiB buffer; flowd 12, dcache 3" */
static void describe(const struct firefly_source *f, char *buf, size_t cap_bytes)
{
	const char *between = "; ";
	size_t n;

	udp_describe(f->udp, buf, cap_bytes);
	n = strlen(buf);
	for (int p = 0; p < FIREFLY_PRODUCER_COUNT && n < cap_bytes; p++) {
		if (!f->producers[p])
			continue;
		n += (size_t)snprintf(buf + n, cap_bytes - n, "%s%s %llu", between,
				      firefly_producer_name((enum firefly_producer)p),
				      (unsigned long long)f->producers[p]);
		between = ", ";
	}
}

static void fill_status(struct source_status *st, const struct firefly_source *f)
{
	uint64_t dropped = udp_dropped(f->udp);

	*st = (struct source_status){
		.id = f->id,
		.kind = SOURCE_FIREFLY_INPUT,
		.up = 1,
		.unit = "datagrams",
		.received = dropped + f->join_full,
		.accepted = f->counts[FIREFLY_OK],
		.bytes = f->received_bytes,
		.dropped = {{"kernel", dropped}, {"join_full", f->join_full}},
		.first_seen_utc_s = f->first_seen_utc_s,
		.last_seen_utc_s = f->last_seen_utc_s,
	};
	snprintf(st->name, sizeof(st->name), "firefly:%s", udp_name(f->udp));
	describe(f, st->detail, sizeof(st->detail));
	for (unsigned int i = 0; i < REASON_COUNT; i++) {
		st->received += f->counts[i];
		if (i > FIREFLY_OK)
			st->rejected[i - 1] = (struct source_reason){reason_name(i), f->counts[i]};
	}
}

static void firefly_source_take(void *self, struct source_second *out)
{
	struct firefly_source *f = self;

	out->statuses = malloc(sizeof(*out->statuses));
	if (out->statuses) {
		fill_status(out->statuses, f);
		out->n_statuses = 1;
	}
	out->n_heard = heard_take(&f->heard, &out->heard);
	out->glimpses = malloc(GLIMPSES_OF_A_KIND * sizeof(*out->glimpses));
	if (out->glimpses)
		out->n_glimpses = glimpses_of_heard(out->heard, out->n_heard, f->id, out->glimpses);
}

static void firefly_source_close(void *self)
{
	struct firefly_source *f = self;

	udp_close(f->udp);
	sender_limit_close(f->limit);
	free(f->heard.items);
	free(f);
}

int source_firefly_open(struct source **out, const struct source_context *ctx, const char *listen)
{
	static const struct source_ops ops = {.drain = firefly_source_drain,
					      .take = firefly_source_take,
					      .close = firefly_source_close};
	struct firefly_source *f = calloc(1, sizeof(*f));
	char name[80];
	int err;

	if (!f)
		return log_fail(-ENOMEM, "firefly", "listen on %s", listen);
	f->first_seen_utc_s = f->last_seen_utc_s = CLOCK_NEVER;
	f->limit = sender_limit_open(SENDER_PER_S);
	err = f->limit ? udp_open(&f->udp, "firefly", listen) : -ENOMEM;
	if (err)
		goto fail;
	snprintf(name, sizeof(name), "firefly:%s", udp_name(f->udp));
	f->id = store_source_id(ctx->store, name, SOURCE_FIREFLY_INPUT);
	err = source_start(out, &ops, f, name);
	if (!err)
		return 0;
fail:
	firefly_source_close(f);
	return err;
}
