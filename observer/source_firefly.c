/* Fireflies from a UDP socket: counted per second by tag, family and application. A claim never
 * touches a wire total. Anyone can send a datagram, so every table is bounded and every sender has
 * its limit. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "firefly/firefly.h"
#include "observer/flow_usage.h"
#include "observer/hash.h"
#include "observer/sender_limit.h"
#include "observer/source.h"
#include "observer/udp.h"

#define CLAIMS_MAX   4096 /* different rows of one second; the rest goes to one more */
#define CLAIM_SLOTS  8192
#define CLAIM_PROBES 32 /* crowded beyond that, by chance or malice: as if full */
#define SLOT_FREE    0xFFFF
#define OTHER        "(other)"
#define SENDER_PER_S 50000 /* generous: one relay may speak for many sites */

enum { REASON_RATE_LIMITED = FIREFLY_VERDICT_COUNT, REASON_COUNT };
_Static_assert(REASON_COUNT <= STORE_REASONS_MAX, "every reason has its place in a status");
_Static_assert(CLAIMS_MAX < SLOT_FREE, "a row's number is kept in 16 bits");

struct firefly_source {
	struct udp *udp;
	struct sender_limit *limit;
	struct flow_usage *usage;
	uint16_t id;
	uint64_t secret; /* of the hash */
	uint64_t received_bytes;
	uint64_t counts[REASON_COUNT]; /* by enum firefly_verdict, since the start */
	uint64_t producers[FIREFLY_PRODUCER_COUNT];
	uint64_t folded; /* claims that found no row of their own */
	int64_t first_seen_utc_s, last_seen_utc_s;
	int64_t now_mono_ns;
	struct log_limit down_limit, refusal_limit;
	size_t n_claims;
	struct claim_row claims[CLAIMS_MAX + 1]; /* the last one is the others' */
	uint16_t slots[CLAIM_SLOTS];             /* numbers of rows, by hash */
};

/* --- the second's claims ------------------------------------------------------------------ */

static struct claim_row *other_claims(struct firefly_source *f)
{
	struct claim_row *other = &f->claims[CLAIMS_MAX];

	f->folded++;
	other->experiment = other->activity = STORE_FOLDED;
	memcpy(other->application, OTHER, sizeof(OTHER));
	return other;
}

static struct claim_row *find_claim(struct firefly_source *f, const struct firefly *ff)
{
	struct claim_row wanted = {
		.experiment = ff->tag.experiment,
		.activity = ff->tag.activity,
		.family = ff->key.family,
	};
	uint64_t h = hash_bytes(f->secret, &ff->tag, sizeof(ff->tag));

	h = hash_bytes(h ^ ff->key.family, ff->application, strlen(ff->application));
	memcpy(wanted.application, ff->application, sizeof(wanted.application));
	for (size_t i = 0; i < CLAIM_PROBES; i++) {
		uint16_t *slot = &f->slots[(h + i) % CLAIM_SLOTS];
		struct claim_row *row;

		if (*slot == SLOT_FREE) {
			if (f->n_claims == CLAIMS_MAX)
				break;
			*slot = (uint16_t)f->n_claims;
			f->claims[f->n_claims] = wanted;
			return &f->claims[f->n_claims++];
		}
		row = &f->claims[*slot];
		if (row->experiment == wanted.experiment && row->activity == wanted.activity &&
		    row->family == wanted.family &&
		    strcmp(row->application, wanted.application) == 0)
			return row;
	}
	return other_claims(f);
}

/* The larger of what was said is the data's direction. */
static uint64_t data_bytes(const struct firefly *ff)
{
	uint64_t out = ff->src_to_dst_bytes, back = ff->dst_to_src_bytes;

	if (out == FIREFLY_BYTES_UNSAID)
		out = 0;
	if (back == FIREFLY_BYTES_UNSAID)
		back = 0;
	return out > back ? out : back;
}

static void add_claim(struct firefly_source *f, const struct firefly *ff)
{
	struct claim_row *row = find_claim(f, ff);

	switch (ff->state) {
	case FIREFLY_START:
		row->starts++;
		break;
	case FIREFLY_ONGOING:
		row->ongoings++;
		break;
	case FIREFLY_END:
		row->ends++;
		row->bytes += data_bytes(ff);
		break;
	}
}

static void clear_claims(struct firefly_source *f)
{
	f->n_claims = 0;
	f->claims[CLAIMS_MAX] = (struct claim_row){0};
	memset(f->slots, 0xFF, sizeof(f->slots)); /* SLOT_FREE */
}

/* --- the source ------------------------------------------------------------------------------ */

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
	unsigned int verdict;

	f->received_bytes += d->len_bytes;
	if (!sender_limit_take(f->limit, d->src_ip, f->now_mono_ns))
		verdict = REASON_RATE_LIMITED;
	else if (d->cut)
		verdict = FIREFLY_TOO_LONG;
	else
		verdict = firefly_parse(&ff, d->bytes, d->len_bytes);
	f->counts[verdict]++;
	if (verdict != FIREFLY_OK) {
		log_refusal(f, d, verdict);
		return;
	}
	f->producers[ff.producer]++;
	flow_usage_settle(f->usage, &ff);
	add_claim(f, &ff);
}

static int firefly_source_drain(void *self, int wait_ms)
{
	struct firefly_source *f = self;
	int n;

	f->now_mono_ns = clock_mono_ns();
	n = udp_drain(f->udp, wait_ms, on_datagram, f);
	if (n < 0)
		log_limited(&f->down_limit, LOG_LEVEL_WARN, "firefly", "%s: %s", udp_name(f->udp),
			    strerror(-n));
	if (n > 0) {
		f->last_seen_utc_s = clock_utc_us() / US_PER_S;
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
	if (f->folded && n < cap_bytes)
		snprintf(buf + n, cap_bytes - n, "; %llu in " OTHER " rows",
			 (unsigned long long)f->folded);
}

static void fill_status(struct source_status *st, const struct firefly_source *f)
{
	uint64_t dropped = udp_dropped(f->udp);

	*st = (struct source_status){
		.id = f->id,
		.kind = SOURCE_FIREFLY_INPUT,
		.up = 1,
		.unit = "datagrams",
		.received = dropped,
		.accepted = f->counts[FIREFLY_OK],
		.bytes = f->received_bytes,
		.dropped = {{"kernel", dropped}},
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
	const struct claim_row *other = &f->claims[CLAIMS_MAX];
	int has_other = other->application[0] != '\0';

	out->statuses = malloc(sizeof(*out->statuses));
	if (out->statuses) {
		fill_status(out->statuses, f);
		out->n_statuses = 1;
	}
	if (!f->n_claims && !has_other)
		return;
	out->claims = malloc((f->n_claims + 1) * sizeof(*out->claims));
	if (!out->claims) /* they come with the next second */
		return;
	memcpy(out->claims, f->claims, f->n_claims * sizeof(*out->claims));
	out->n_claims = f->n_claims;
	if (has_other)
		out->claims[out->n_claims++] = *other;
	clear_claims(f);
}

static void firefly_source_close(void *self)
{
	struct firefly_source *f = self;

	udp_close(f->udp);
	sender_limit_close(f->limit);
	flow_usage_close(f->usage);
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
	f->secret = hash_secret();
	clear_claims(f);
	f->limit = sender_limit_open(SENDER_PER_S);
	f->usage = flow_usage_open();
	err = f->limit && f->usage ? udp_open(&f->udp, "firefly", listen) : -ENOMEM;
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
