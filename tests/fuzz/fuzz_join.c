/* Any bytes as seconds of sightings and fireflies among a few hosts: whatever is seen, claimed, forged and
 * evicted, sums stay to the byte, tables keep their bounds, no flow stands there twice, and no label is confirmed by
 * itself.
 * Run: build/fuzz/fuzz_join tests/fuzz/corpus/join */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "join/grade.h"
#include "join/join.h"
#include "join/table.h"

#define REQUIRE(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

#define T0        1767225600
#define FLOWS_MAX 6
#define SEEN_MAX  24
#define HEARD_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct scitag tags[] = {{0, 0}, {3, 14}, {2, 9}, {77, 7}, {300, 3}, {1023, 63}};
#define TAGS (sizeof(tags) / sizeof(tags[0]))

struct input {
	const uint8_t *data;
	size_t n;
};
struct run {
	struct join *j;
	struct scitag_set registered;
	int64_t utc_s;
	struct seen seen[SEEN_MAX];
	struct heard heard[HEARD_MAX];
	size_t n_seen, n_heard;
	uint64_t rows;
};

static uint8_t byte(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->data++;
}

/* One of six hosts: public, private and IPv4. */
static void address(uint8_t ip[16], uint8_t which)
{
	static const uint8_t bases[3][16] = {
		{0x20, 0x01, 0x0d, 0xb8},
		{[10] = 0xFF, [11] = 0xFF, [12] = 192, [14] = 2},
		{[10] = 0xFF, [11] = 0xFF, [12] = 10},
	};

	memcpy(ip, bases[which % 3], 16);
	ip[15] = (uint8_t)(1 + which / 3 % 2);
}

static struct flow_key key_of(uint8_t a, uint8_t b)
{
	struct flow_key k = {.src_port = (uint16_t)(1 + a / 64),
			     .dst_port = (uint16_t)(1 + b / 64),
			     .protocol = b & 32 ? 17 : 6};
	const uint8_t family = a % 3 != 0;

	address(k.src_ip, family ? (uint8_t)(1 + a % 2 + 3 * (a / 8 % 2)) : a);
	address(k.dst_ip, family ? (uint8_t)(1 + b % 2 + 3 * (b / 8 % 2)) : (uint8_t)(b / 3 * 3));
	k.family = family ? 4 : 6;
	return k;
}

static void add_seen(struct run *r, struct input *in)
{
	struct seen *s = &r->seen[r->n_seen];
	const uint8_t a = byte(in), b = byte(in), how = byte(in), flags = byte(in);
	const struct scitag tag = tags[how % TAGS];
	const uint8_t carrier = how / 8 % CARRIER_COUNT;

	if (r->n_seen == SEEN_MAX)
		return;
	r->n_seen++;
	*s = (struct seen){
		.key = key_of(a, b),
		.first_utc_us = r->utc_s * US_PER_S + flags * 1000,
		.last_utc_us = r->utc_s * US_PER_S + flags * 2000,
		.samples = 1 + flags % 7,
		.source = (uint16_t)(1 + how / 64),
		.direction = flags & 64 ? DIRECTION_IN : DIRECTION_OUT,
		.tcp_flags = flags & 0x17,
	};
	s->packets = s->samples * (flags & 128 ? 10u : 1u);
	s->bytes = s->packets * (100 + b);
	s->ip_bytes = s->bytes - s->packets * 14;
	s->bytes_variance = s->packets == s->samples ? 0 : 90.0 * s->samples;
	if (carrier == CARRIER_NONE || s->key.family != 6)
		return;
	s->tag.tag = tag;
	s->tag.carrier = carrier;
	if (carrier == CARRIER_LABEL &&
	    scitag_label_encode(&s->label, tag.experiment, tag.activity, flags * 0x4321u))
		s->tag.tag = scitag_label_decode(s->label = flags);
	if (!scitag_set_has(&r->registered, s->tag.tag))
		s->tag.grade = GRADE_UNREGISTERED;
	else
		s->tag.grade = carrier == CARRIER_LABEL ? GRADE_REGISTERED : GRADE_CONFIRMED;
	if (carrier == CARRIER_DESTINATION && flags & 1)
		s->tag.grade = GRADE_DISAGREE;
}

static void add_heard(struct run *r, struct input *in)
{
	struct heard *h = &r->heard[r->n_heard];
	const uint8_t a = byte(in), b = byte(in), how = byte(in), what = byte(in);
	struct firefly *ff = &h->firefly;

	if (r->n_heard == HEARD_MAX)
		return;
	r->n_heard++;
	*h = (struct heard){
		.firefly = {.state = (enum firefly_state)(1 + how % 3),
			    .producer = (enum firefly_producer)(how / 3 % FIREFLY_PRODUCER_COUNT),
			    .key = key_of(a, b),
			    .tag = tags[what % TAGS],
			    .header_utc_us = FIREFLY_TIME_UNKNOWN,
			    .current_utc_us = r->utc_s * US_PER_S,
			    .start_utc_us = FIREFLY_TIME_UNKNOWN,
			    .end_utc_us = FIREFLY_TIME_UNKNOWN,
			    .src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
			    .dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
			    .rtt_us = FIREFLY_RTT_UNSAID},
		.heard_utc_us = r->utc_s * US_PER_S + 1,
	};
	if (what & 8)
		ff->start_utc_us = (r->utc_s - how / 4) * US_PER_S;
	if (ff->state == FIREFLY_END && what & 16)
		ff->end_utc_us = r->utc_s * US_PER_S;
	if (what & 32)
		ff->src_to_dst_bytes = (uint64_t)how * 1000;
	if (what & 64)
		ff->dst_to_src_bytes = (uint64_t)b * 1000;
	memcpy(h->sender_ip, what & 128 ? ff->key.dst_ip : ff->key.src_ip, 16);
	if (how & 64)
		address(h->sender_ip, (uint8_t)(how / 16));
}

/* --- what must hold --------------------------------------------------------------------------- */

static int same_key(const struct traffic_key *a, const struct traffic_key *b)
{
	return a->source == b->source && a->direction == b->direction && a->family == b->family &&
	       a->carrier == b->carrier && a->grade == b->grade && a->experiment == b->experiment &&
	       a->activity == b->activity;
}

/* Rows as the observer makes them; every third second unregistered tags are folded, and some rows hold less than
 * what the sightings estimate. */
static struct bucket *make_rows(const struct run *r, uint8_t how)
{
	struct bucket *b = bucket_new(r->utc_s, SEEN_MAX, 0, 0);

	REQUIRE(b);
	b->n_rows = 0;
	for (size_t i = 0; i < r->n_seen; i++) {
		const struct seen *s = &r->seen[i];
		struct traffic_key k = {.source = s->source,
					.direction = s->direction,
					.family = s->key.family,
					.carrier = s->tag.carrier,
					.grade = s->tag.grade,
					.experiment = s->tag.tag.experiment,
					.activity = s->tag.tag.activity};
		size_t at = 0;

		if (how % 3 == 0 && k.grade == GRADE_UNREGISTERED)
			k.experiment = k.activity = STORE_FOLDED;
		while (at < b->n_rows && !same_key(&b->rows[at].key, &k))
			at++;
		if (at == b->n_rows)
			b->rows[b->n_rows++] = (struct traffic_row){.key = k, .value.codes = 1};
		b->rows[at].value.packets += s->packets;
		b->rows[at].value.bytes += how & 64 ? s->bytes / 2 : s->bytes;
		b->rows[at].value.ip_bytes += s->ip_bytes;
		b->rows[at].value.samples += s->samples;
		b->rows[at].value.bytes_variance += s->bytes_variance;
	}
	return b;
}

struct sums {
	uint64_t packets, bytes, ip_bytes, samples;
};

static struct sums sum(const struct bucket *b, int32_t experiment) /* -2: everything */
{
	struct sums s = {0};

	for (size_t i = 0; i < b->n_rows; i++) {
		if (experiment != -2 && b->rows[i].key.experiment != experiment)
			continue;
		s.packets += b->rows[i].value.packets;
		s.bytes += b->rows[i].value.bytes;
		s.ip_bytes += b->rows[i].value.ip_bytes;
		s.samples += b->rows[i].value.samples;
	}
	return s;
}

static void require_same(struct sums a, struct sums b)
{
	REQUIRE(!memcmp(&a, &b, sizeof(a)));
}

static void check_rows(const struct run *r, const struct bucket *b)
{
	struct sums pairs = {0}, seen = {0};

	for (size_t i = 0; i < b->n_rows; i++) {
		for (size_t k = i + 1; k < b->n_rows; k++)
			REQUIRE(!same_key(&b->rows[i].key, &b->rows[k].key));
		if (b->rows[i].key.grade == GRADE_CLAIMED)
			REQUIRE(b->rows[i].key.carrier == CARRIER_NONE &&
				!b->rows[i].key.experiment && !b->rows[i].key.activity);
	}
	for (size_t i = 0; i < b->n_pairs; i++) {
		pairs.bytes += b->pairs[i].value.bytes;
		REQUIRE(b->pairs[i].grade < GRADE_COUNT);
	}
	for (size_t i = 0; i < r->n_seen; i++)
		seen.bytes += r->seen[i].bytes;
	REQUIRE(pairs.bytes <= seen.bytes);
	REQUIRE(b->n_flows <= JOIN_FLOW_ROWS_PER_S);
}

static void check_flows(struct run *r)
{
	const struct flow_question q = {.order = (enum flow_order)(r->utc_s % 4),
					.now_utc_us = r->utc_s * US_PER_S};
	struct flow_view v[2 * FLOWS_MAX + 2];
	struct flow_key keys[2 * FLOWS_MAX + 2];
	struct join_status st;
	size_t n_flows = 0, matching, n;
	char text[600];

	n = join_flows(r->j, &q, v, 2 * FLOWS_MAX + 2, &matching);
	REQUIRE(n == matching && n <= 2 * FLOWS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct flow *f = &v[i].flow;
		const int registered = scitag_set_has(&r->registered, v[i].claim.tag);

		REQUIRE(strlen(flow_why(text, sizeof(text), &v[i])) < sizeof(text) - 1);
		REQUIRE(f->grade != GRADE_CLAIMED || (f->has_claim && registered));
		REQUIRE(f->grade != GRADE_CONFIRMED ||
			f->evidence & (FLOW_OPTION | FLOW_CLAIM_SAME));
		REQUIRE(!(f->evidence & (FLOW_CLAIM_SAME | FLOW_CLAIM_OTHER)) ||
			(f->has_claim && registered));
		for (int w = 0; w < 2; w++)
			REQUIRE(f->way[w].tagged_samples <= f->way[w].samples);
		if (f->first_utc_us == CLOCK_NEVER)
			continue;
		table_key(&keys[n_flows], &f->key);
		for (size_t k = 0; k < n_flows; k++)
			REQUIRE(memcmp(&keys[k], &keys[n_flows], sizeof(keys[k])));
		n_flows++;
	}
	join_status(r->j, &st);
	REQUIRE(n_flows == st.flows && st.flows <= FLOWS_MAX && st.claims <= FLOWS_MAX);
	REQUIRE(st.flows_begun == st.flows + st.flows_ended + st.flows_evicted);
	REQUIRE(st.flow_rows_kept == r->rows);
	REQUIRE(st.flow_rows_kept + st.flow_rows_let_go >= st.flows_ended + st.flows_evicted);
}

static void check_answers(struct run *r)
{
	static struct agreement_cell cells[64];
	struct tag_significance t[TAGS];
	struct point_overlap o[8];
	size_t n = join_agreement(r->j, cells, 64);

	for (size_t i = 0; i < n; i++)
		REQUIRE(cells[i].bytes_1h <= cells[i].bytes);
	n = join_significance(r->j, t, TAGS);
	for (size_t i = 0; i < n; i++)
		REQUIRE(scitag_set_has(&r->registered, t[i].tag) && t[i].flows_1m <= t[i].flows_1h);
	n = join_overlaps(r->j, o, 8);
	for (size_t i = 0; i < n; i++)
		REQUIRE(o[i].a < o[i].b && o[i].flows <= o[i].flows_a &&
			o[i].flows <= o[i].flows_b);
}

static void end_second(struct run *r, uint8_t how)
{
	struct bucket *b = make_rows(r, how);
	const struct sums all = sum(b, -2), cms = sum(b, 3), atlas = sum(b, 2);

	REQUIRE(!join_second(r->j, b, r->seen, r->n_seen, r->heard, r->n_heard));
	require_same(sum(b, -2), all);
	require_same(sum(b, 3), cms);
	require_same(sum(b, 2), atlas);
	check_rows(r, b);
	r->rows += b->n_flows;
	bucket_free(b);
	r->n_seen = r->n_heard = 0;
	r->utc_s += 1 + (how & 16 ? how & 15 : 0) * 10;
	check_flows(r);
	check_answers(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t relays[1][16] = {{0x20, 0x01, 0x0d, 0xb8, [15] = 2}};
	static const uint16_t points[1] = {3};
	struct input in = {data, n};
	struct join_config cfg = {.flows_max = FLOWS_MAX,
				  .claims_max = FLOWS_MAX,
				  .claim_silent_s = 300,
				  .relays = relays,
				  .n_relays = 1,
				  .points = points,
				  .n_points = 1};
	struct run r = {.utc_s = T0};

	REQUIRE(!join_open(&r.j, &cfg, NULL));
	scitag_set_add(&r.registered, tags[1]);
	scitag_set_add(&r.registered, tags[2]);
	join_set_registered(r.j, &r.registered);
	while (in.n) {
		const uint8_t op = byte(&in);

		switch (op % 4) {
		case 0:
		case 1:
			add_seen(&r, &in);
			break;
		case 2:
			add_heard(&r, &in);
			break;
		default:
			if (op == 0xFF) { /* settings change, too */
				cfg.n_points = !cfg.n_points;
				cfg.n_relays = !cfg.n_relays;
				REQUIRE(!join_configure(r.j, &cfg));
			}
			end_second(&r, op / 4);
		}
	}
	end_second(&r, 0);
	join_close(r.j);
	return 0;
}
