/* Flows and claims joined: one rule a test, with totals checked to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "join/chance.h"
#include "join/grade.h"
#include "join/join.h"
#include "join/sites.h"

#define T0 1767225600 /* 2026-01-01T00:00:00Z, a full hour */

enum { SYN = 0x02, FIN = 0x01, RST = 0x04, ACK = 0x10 };
enum { SOURCE_A = 5, SOURCE_B = 6, SOURCE_C = 7 };

static const struct scitag CMS = {3, 14}, ATLAS = {2, 9}, NONE = {0, 0}, DEAD = {77, 7};

static uint8_t *host(uint8_t ip[16], unsigned int n)
{
	static const uint8_t documentation[16] = {0x20, 0x01, 0x0d, 0xb8};

	memcpy(ip, documentation, 16);
	ip[7] = (uint8_t)n; /* a /64 each */
	ip[14] = (uint8_t)(n >> 8);
	ip[15] = (uint8_t)n;
	return ip;
}

static struct flow_key key_of(unsigned int src, unsigned int src_port, unsigned int dst,
			      unsigned int dst_port)
{
	struct flow_key k = {.src_port = (uint16_t)src_port,
			     .dst_port = (uint16_t)dst_port,
			     .protocol = 6,
			     .family = 6};

	host(k.src_ip, src);
	host(k.dst_ip, dst);
	return k;
}

static struct flow_key turned(struct flow_key k)
{
	struct flow_key t = k;

	memcpy(t.src_ip, k.dst_ip, 16);
	memcpy(t.dst_ip, k.src_ip, 16);
	t.src_port = k.dst_port;
	t.dst_port = k.src_port;
	return t;
}

/* --- a second: what is seen, the rows that it makes, and what is heard -------------------------- */

struct second {
	uint32_t utc_s;
	struct seen seen[64];
	struct heard heard[16];
	size_t n_seen, n_heard;
};
struct world {
	struct join *j;
	struct scitag_set registered;
	struct second next;
	struct bucket *b; /* the newest second, joined */
};

static struct seen *see(struct world *w, struct flow_key key, enum scitag_carrier carrier,
			struct scitag tag, uint64_t bytes)
{
	struct seen *s = &w->next.seen[w->next.n_seen++];
	const int registered = scitag_set_has(&w->registered, tag);

	*s = (struct seen){
		.key = key,
		.first_utc_us = w->next.utc_s * US_PER_S + 100000,
		.last_utc_us = w->next.utc_s * US_PER_S + 900000,
		.packets = (bytes + 1499) / 1500,
		.bytes = bytes,
		.ip_bytes = bytes - bytes / 100,
		.samples = (uint32_t)((bytes + 1499) / 1500),
		.source = SOURCE_A,
		.direction = DIRECTION_OUT,
		.tcp_flags = ACK,
		.tag = {.tag = tag, .carrier = (uint8_t)carrier},
	};
	if (carrier == CARRIER_LABEL)
		scitag_label_encode(&s->label, tag.experiment, tag.activity, 0x80001);
	if (carrier == CARRIER_NONE)
		s->tag.grade = GRADE_UNTAGGED;
	else if (!registered)
		s->tag.grade = GRADE_UNREGISTERED;
	else
		s->tag.grade = carrier == CARRIER_LABEL ? GRADE_REGISTERED : GRADE_CONFIRMED;
	return s;
}

static struct seen *see_label(struct world *w, struct flow_key key, struct scitag tag,
			      uint64_t bytes)
{
	return see(w, key, CARRIER_LABEL, tag, bytes);
}

static struct seen *see_plain(struct world *w, struct flow_key key, uint64_t bytes)
{
	return see(w, key, CARRIER_NONE, NONE, bytes);
}

/* From the end that key calls src. */
static struct heard *hear(struct world *w, enum firefly_state state, struct flow_key key,
			  struct scitag tag)
{
	struct heard *h = &w->next.heard[w->next.n_heard++];

	*h = (struct heard){
		.firefly =
			{
				.state = state,
				.producer = FIREFLY_FLOWD,
				.key = key,
				.tag = tag,
				.header_utc_us = w->next.utc_s * US_PER_S + 50000,
				.current_utc_us = w->next.utc_s * US_PER_S + 50000,
				.start_utc_us = w->next.utc_s * US_PER_S + 50000,
				.end_utc_us = FIREFLY_TIME_UNKNOWN,
				.src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
				.dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
				.rtt_us = FIREFLY_RTT_UNSAID,
				.application = "flowd",
			},
		.heard_utc_us = w->next.utc_s * US_PER_S + 60000,
	};
	if (state == FIREFLY_END)
		h->firefly.end_utc_us = h->firefly.current_utc_us;
	memcpy(h->sender_ip, key.src_ip, 16);
	return h;
}

static struct traffic_row *row_of(struct bucket *b, const struct traffic_key *k)
{
	for (size_t i = 0; i < b->n_rows; i++) {
		const struct traffic_key *r = &b->rows[i].key;

		if (r->source == k->source && r->direction == k->direction &&
		    r->family == k->family && r->carrier == k->carrier && r->grade == k->grade &&
		    r->experiment == k->experiment && r->activity == k->activity)
			return &b->rows[i];
	}
	return NULL;
}

static void add_row(struct bucket *b, const struct seen *s)
{
	const struct traffic_key k = {.source = s->source,
				      .direction = s->direction,
				      .family = s->key.family,
				      .carrier = s->tag.carrier,
				      .grade = s->tag.grade,
				      .experiment = s->tag.tag.experiment,
				      .activity = s->tag.tag.activity};
	struct traffic_row *row = row_of(b, &k);

	if (!row) {
		row = &b->rows[b->n_rows++];
		*row = (struct traffic_row){.key = k, .value.codes = 1};
	}
	row->value.packets += s->packets;
	row->value.bytes += s->bytes;
	row->value.ip_bytes += s->ip_bytes;
	row->value.samples += s->samples;
	row->value.bytes_variance += s->bytes_variance;
}

static struct traffic_value total(const struct bucket *b, struct scitag tag, int any)
{
	struct traffic_value sum = {0};

	for (size_t i = 0; i < b->n_rows; i++) {
		const struct traffic_row *r = &b->rows[i];

		if (!any &&
		    (r->key.experiment != tag.experiment || r->key.activity != tag.activity))
			continue;
		sum.packets += r->value.packets;
		sum.bytes += r->value.bytes;
		sum.ip_bytes += r->value.ip_bytes;
		sum.samples += r->value.samples;
		sum.bytes_variance += r->value.bytes_variance;
	}
	return sum;
}

static void assert_same_total(const struct traffic_value *a, const struct traffic_value *b)
{
	assert_int_equal(a->packets, b->packets);
	assert_int_equal(a->bytes, b->bytes);
	assert_int_equal(a->ip_bytes, b->ip_bytes);
	assert_int_equal(a->samples, b->samples);
	assert_true(a->bytes_variance == b->bytes_variance);
}

/* Hand the second over; whatever comes of it, totals stay: of everything and of each registered tag. */
static struct bucket *join_it(struct world *w)
{
	struct second *n = &w->next;
	struct traffic_value all, cms, atlas, now;

	bucket_free(w->b);
	w->b = bucket_new(n->utc_s, 64, 0, 0);
	assert_non_null(w->b);
	w->b->n_rows = 0;
	for (size_t i = 0; i < n->n_seen; i++)
		add_row(w->b, &n->seen[i]);
	all = total(w->b, NONE, 1);
	cms = total(w->b, CMS, 0);
	atlas = total(w->b, ATLAS, 0);
	assert_int_equal(join_second(w->j, w->b, n->seen, n->n_seen, n->heard, n->n_heard), 0);
	now = total(w->b, NONE, 1);
	assert_same_total(&now, &all);
	now = total(w->b, CMS, 0);
	assert_same_total(&now, &cms);
	now = total(w->b, ATLAS, 0);
	assert_same_total(&now, &atlas);
	n->utc_s++;
	n->n_seen = n->n_heard = 0;
	return w->b;
}

static void wait_s(struct world *w, uint32_t seconds)
{
	for (uint32_t i = 0; i < seconds; i++)
		join_it(w);
}

static uint64_t bytes_of(const struct world *w, enum scitag_grade grade)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < w->b->n_rows; i++)
		bytes += w->b->rows[i].key.grade == grade ? w->b->rows[i].value.bytes : 0;
	return bytes;
}

static struct world *world_open(const struct join_config *cfg)
{
	static const struct join_config standard = {.flows_max = 64, .claims_max = 64};
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(join_open(&w->j, cfg ? cfg : &standard, NULL), 0);
	scitag_set_add(&w->registered, CMS);
	scitag_set_add(&w->registered, ATLAS);
	join_set_registered(w->j, &w->registered);
	w->next.utc_s = T0;
	return w;
}

static void world_close(struct world *w)
{
	bucket_free(w->b);
	join_close(w->j);
	free(w);
}

/* The one flow that is there. */
static struct flow_view only_flow(struct world *w)
{
	const struct flow_question q = {.now_utc_us = w->next.utc_s * US_PER_S};
	struct flow_view v[4];
	size_t matching;

	assert_int_equal(join_flows(w->j, &q, v, 4, &matching), 1);
	assert_int_equal(matching, 1);
	return v[0];
}

static size_t n_flows(struct world *w)
{
	const struct flow_question q = {.now_utc_us = w->next.utc_s * US_PER_S};
	struct flow_view v;
	size_t matching;

	join_flows(w->j, &q, &v, 1, &matching);
	return matching;
}

/* --- flows ----------------------------------------------------------------------------------- */

static void a_flow_is_both_its_ways(void **state)
{
	struct world *w = world_open(NULL);
	struct flow_key k = key_of(1, 5000, 2, 1094);
	struct flow_view v;

	(void)state;
	see_plain(w, k, 3000);
	see_plain(w, turned(k), 60000);
	join_it(w);
	v = only_flow(w);
	/* host 2 sends more: the data is its */
	k = turned(k);
	assert_memory_equal(&v.flow.key, &k, sizeof(k));
	assert_int_equal(v.flow.way[FLOW_THERE].bytes, 60000);
	assert_int_equal(v.flow.way[FLOW_BACK].bytes, 3000);
	assert_int_equal(v.flow.way[FLOW_THERE].packets, 40);
	assert_int_equal(v.flow.grade, GRADE_UNTAGGED);
	assert_int_equal(v.flow.state, FLOW_ACTIVE);
	assert_int_equal(v.flow.point, SOURCE_A);
	assert_false(v.flow.has_claim);
	/* and turns when the other has sent more */
	see_plain(w, turned(k), 100000);
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.way[FLOW_THERE].bytes, 103000);
	assert_int_equal(v.flow.key.src_port, 5000);
	world_close(w);
}

static void syn_after_the_end_is_a_new_flow(void **state)
{
	struct world *w = world_open(NULL);
	struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	see_plain(w, k, 3000)->tcp_flags = SYN | ACK | FIN;
	/* the other way in the same second tells of the same connection */
	see_plain(w, turned(k), 3000)->tcp_flags = SYN | ACK | FIN;
	join_it(w);
	assert_int_equal(w->b->n_flows, 0);
	assert_int_equal(only_flow(w).flow.state, FLOW_ENDED);
	see_plain(w, k, 1500)->tcp_flags = ACK; /* a late one */
	join_it(w);
	assert_int_equal(only_flow(w).flow.way[FLOW_THERE].bytes, 4500);
	see_plain(w, k, 100)->tcp_flags = SYN;
	join_it(w);
	assert_int_equal(w->b->n_flows, 1);
	assert_int_equal(w->b->flows[0].bytes[FLOW_THERE], 4500);
	assert_int_equal(w->b->flows[0].bytes[FLOW_BACK], 3000);
	assert_int_equal(w->b->flows[0].state, FLOW_ENDED);
	assert_int_equal(w->b->flows[0].claim_experiment, -1);
	assert_true(w->b->flows[0].start_utc_us == CLOCK_NEVER);
	assert_int_equal(only_flow(w).flow.way[FLOW_THERE].bytes, 100);
	assert_int_equal(only_flow(w).flow.state, FLOW_ACTIVE);
	world_close(w);
}

static void a_syn_of_the_way_back_comes_later(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	see_plain(w, k, 100)->tcp_flags = SYN;
	join_it(w);
	see_plain(w, turned(k), 100)->tcp_flags = SYN | ACK;
	see_plain(w, k, 100)->tcp_flags = SYN; /* once more */
	join_it(w);
	assert_int_equal(w->b->n_flows, 0);
	assert_int_equal(only_flow(w).flow.way[FLOW_THERE].bytes, 200);
	world_close(w);
}

static void silence_ends_a_flow(void **state)
{
	struct world *w = world_open(NULL);
	struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	see_plain(w, k, 3000);
	join_it(w);
	wait_s(w, JOIN_IDLE_S - 1);
	assert_int_equal(only_flow(w).flow.state, FLOW_ACTIVE);
	wait_s(w, 1);
	assert_int_equal(only_flow(w).flow.state, FLOW_ENDED);
	wait_s(w, JOIN_IDLE_S - 1);
	assert_int_equal(n_flows(w), 1);
	assert_int_equal(w->b->n_flows, 0);
	wait_s(w, 1);
	assert_int_equal(n_flows(w), 0);
	assert_int_equal(w->b->n_flows, 1);
	assert_true(w->b->flows[0].last_utc_us == T0 * US_PER_S + 900000);
	/* silent for so long, then seen again before it was let go: another one, too */
	see_plain(w, k, 3000);
	join_it(w);
	wait_s(w, JOIN_IDLE_S - 1);
	see_plain(w, k, 700);
	join_it(w);
	assert_int_equal(w->b->n_flows, 1);
	assert_int_equal(only_flow(w).flow.way[FLOW_THERE].bytes, 700);
	world_close(w);
}

/* --- grades ----------------------------------------------------------------------------------- */

static void a_label_alone_is_registered_an_option_confirmed(void **state)
{
	struct world *w = world_open(NULL);
	struct flow_view v;

	(void)state;
	see_label(w, key_of(1, 1, 2, 2), CMS, 3000);
	see_label(w, turned(key_of(1, 1, 2, 2)), CMS, 1500);
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.grade, GRADE_REGISTERED); /* whatever else speaks for it */
	assert_true(v.flow.evidence & FLOW_BOTH_WAYS);
	assert_int_equal(bytes_of(w, GRADE_REGISTERED), 4500);
	world_close(w);
	w = world_open(NULL);
	see(w, key_of(1, 1, 2, 2), CARRIER_DESTINATION, CMS, 3000);
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.grade, GRADE_CONFIRMED);
	assert_true(v.flow.evidence & FLOW_OPTION);
	world_close(w);
}

struct grade_case {
	enum scitag_carrier carrier;
	struct scitag wire, claim;
	enum scitag_grade there, back; /* of traffic with this tag */
	uint32_t evidence;
};

static void claims_and_wire_are_held_together(void **state)
{
	static const struct grade_case cases[] = {
		/* wire label, its tag claimed; another; one that nobody registered */
		{CARRIER_LABEL,
		 {3, 14},
		 {3, 14},
		 GRADE_CONFIRMED,
		 GRADE_CONFIRMED,
		 FLOW_CLAIM_SAME},
		{CARRIER_LABEL,
		 {3, 14},
		 {2, 9},
		 GRADE_DISAGREE,
		 GRADE_REGISTERED,
		 FLOW_CLAIM_OTHER},
		{CARRIER_LABEL,
		 {3, 14},
		 {77, 7},
		 GRADE_REGISTERED,
		 GRADE_REGISTERED,
		 FLOW_CLAIM_DEAD},
		{CARRIER_LABEL,
		 {3, 14},
		 {0, 0},
		 GRADE_REGISTERED,
		 GRADE_REGISTERED,
		 FLOW_CLAIM_DEAD},
		/* an option */
		{CARRIER_DESTINATION,
		 {3, 14},
		 {3, 14},
		 GRADE_CONFIRMED,
		 GRADE_CONFIRMED,
		 FLOW_CLAIM_SAME | FLOW_OPTION},
		{CARRIER_HOP_BY_HOP,
		 {3, 14},
		 {2, 9},
		 GRADE_DISAGREE,
		 GRADE_DISAGREE,
		 FLOW_CLAIM_OTHER | FLOW_OPTION},
		/* nothing usable on the wire */
		{CARRIER_NONE, {0, 0}, {3, 14}, GRADE_CLAIMED, GRADE_CLAIMED, 0},
		{CARRIER_LABEL, {300, 3}, {3, 14}, GRADE_CLAIMED, GRADE_CLAIMED, 0},
		{CARRIER_DESTINATION, {300, 3}, {3, 14}, GRADE_CLAIMED, GRADE_CLAIMED, 0},
		{CARRIER_NONE, {0, 0}, {77, 7}, GRADE_UNTAGGED, GRADE_UNTAGGED, FLOW_CLAIM_DEAD},
		{CARRIER_LABEL,
		 {300, 3},
		 {77, 7},
		 GRADE_UNREGISTERED,
		 GRADE_UNREGISTERED,
		 FLOW_CLAIM_DEAD},
	};
	const struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct grade_case *c = &cases[i];
		struct world *w = world_open(NULL);
		struct flow_view v;

		hear(w, FIREFLY_START, k, c->claim);
		see(w, k, c->carrier, c->wire, 30000);
		join_it(w);
		v = only_flow(w);
		assert_true(v.flow.has_claim);
		assert_int_equal(v.flow.grade, c->there);
		assert_int_equal(v.flow.evidence, c->evidence);
		assert_int_equal(bytes_of(w, c->there), 30000);
		assert_int_equal(w->b->n_rows, 1); /* an empty one is taken out */
		if (c->there == GRADE_CLAIMED) {
			assert_int_equal(w->b->rows[0].key.carrier, CARRIER_NONE);
			assert_int_equal(w->b->rows[0].key.experiment, 0);
		} else {
			assert_int_equal(w->b->rows[0].key.carrier, c->carrier);
			assert_int_equal(w->b->rows[0].key.experiment, c->wire.experiment);
		}
		/* the same tag on the way back, while the data carries what is claimed */
		world_close(w);
		w = world_open(NULL);
		hear(w, FIREFLY_START, k, c->claim);
		see_label(w, k, CMS, 90000);
		see(w, turned(k), c->carrier, c->wire, 30000)->direction = DIRECTION_IN;
		join_it(w);
		for (size_t r = 0; r < w->b->n_rows; r++) {
			if (w->b->rows[r].key.direction == DIRECTION_IN)
				assert_int_equal(w->b->rows[r].key.grade, c->back);
		}
		world_close(w);
	}
}

/* What only one way shows: it is the data's unless the claim says that the other end sends. */
static void a_way_seen_alone_is_what_the_claim_says(void **state)
{
	const struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	for (int sender_is_src = 0; sender_is_src < 2; sender_is_src++) {
		struct world *w = world_open(NULL);
		struct firefly *ff = &hear(w, FIREFLY_ONGOING, k, CMS)->firefly;
		struct flow_view v;

		ff->src_to_dst_bytes = sender_is_src ? 1000000 : 0;
		ff->dst_to_src_bytes = sender_is_src ? 0 : 1000000;
		see_label(w, k, ATLAS, 30000);
		join_it(w);
		v = only_flow(w);
		if (sender_is_src) {
			assert_int_equal(v.flow.grade, GRADE_DISAGREE);
			assert_int_equal(v.flow.way[FLOW_THERE].bytes, 30000);
			assert_true(v.flow.evidence & FLOW_CLAIM_OTHER);
			assert_true(v.claim.oddities & CLAIM_OTHER_TAG);
		} else { /* a label on the way back may be chance */
			assert_int_equal(v.flow.grade, GRADE_REGISTERED);
			assert_int_equal(v.flow.way[FLOW_BACK].bytes, 30000);
			assert_false(v.flow.evidence & FLOW_CLAIM_OTHER);
			assert_false(v.claim.oddities & CLAIM_OTHER_TAG);
			assert_int_equal(v.flow.key.src_port, 1094);
		}
		world_close(w);
	}
}

/* One full packet in a thousand there and two acknowledgements back: 132,000 bytes against 100,000, each with an
 * error of that size, tell nothing; a hundred of each do. */
static void a_few_samples_do_not_tell_the_way(void **state)
{
	struct flow_way few[2] = {
		{.bytes = 100000,
		 .samples = 1,
		 .bytes_variance = 1e10,
		 .wire_grade = GRADE_REGISTERED},
		{.bytes = 132000, .samples = 2, .bytes_variance = 8.7e9},
	};
	struct flow_way many[2] = {few[0], few[1]};

	(void)state;
	for (int i = 0; i < 2; i++) {
		many[i].bytes *= 100;
		many[i].samples *= 100;
		many[i].bytes_variance *= 100;
	}
	few[0].tag = many[0].tag = CMS;
	assert_int_equal(grade_data_way(few, FLOW_THERE, NULL), FLOW_THERE);
	assert_int_equal(grade_data_way(few, FLOW_BACK, NULL), FLOW_BACK);
	assert_int_equal(grade_data_way(few, -1, &CMS), FLOW_THERE);
	assert_int_equal(grade_data_way(few, -1, &ATLAS), FLOW_BACK);
	assert_int_equal(grade_data_way(few, -1, NULL), FLOW_BACK);
	assert_int_equal(grade_data_way(many, FLOW_THERE, &CMS), FLOW_BACK);
}

static void headers_that_differ_stay_disagreed(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct flow_view v;

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	see(w, k, CARRIER_DESTINATION, CMS, 30000)->tag.grade = GRADE_DISAGREE;
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.grade, GRADE_DISAGREE);
	assert_int_equal(v.flow.evidence, FLOW_HEADERS_DIFFER | FLOW_OPTION | FLOW_CLAIM_SAME);
	assert_int_equal(bytes_of(w, GRADE_DISAGREE), 30000);
	world_close(w);
}

/* Of unregistered tags a bucket keeps the largest; a small one is found in the row of the rest. */
static void a_folded_tag_is_moved_from_its_row(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct traffic_key rest = {.source = SOURCE_A,
				   .direction = DIRECTION_OUT,
				   .family = 6,
				   .carrier = CARRIER_LABEL,
				   .grade = GRADE_UNREGISTERED,
				   .experiment = STORE_FOLDED,
				   .activity = STORE_FOLDED};
	struct bucket *b = bucket_new(T0, 1, 0, 0);
	const struct seen *s;

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	s = see_label(w, k, DEAD, 30000);
	b->rows[0] = (struct traffic_row){
		.key = rest,
		.value = {.packets = 100,
			  .bytes = 90000,
			  .ip_bytes = 80000,
			  .samples = 100,
			  .codes = 7},
	};
	assert_int_equal(join_second(w->j, b, s, 1, w->next.heard, 1), 0);
	assert_int_equal(b->n_rows, 2);
	assert_int_equal(row_of(b, &rest)->value.bytes, 60000);
	assert_int_equal(row_of(b, &rest)->value.packets, 80);
	assert_int_equal(row_of(b, &rest)->value.ip_bytes, 80000 - 29700);
	assert_int_equal(row_of(b, &rest)->value.samples, 80);
	rest.grade = GRADE_CLAIMED;
	rest.carrier = CARRIER_NONE;
	rest.experiment = rest.activity = 0;
	assert_int_equal(row_of(b, &rest)->value.bytes, 30000);
	assert_int_equal(row_of(b, &rest)->value.codes, 1);
	bucket_free(b);
	world_close(w);
}

/* The kernel counts exactly, its samples estimate: no more is moved than there is. */
static void a_row_never_goes_below_nothing(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct bucket *b = bucket_new(T0, 1, 0, 0);
	struct seen *s;

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	s = see_label(w, k, CMS, 30000);
	s->packets = 2000; /* twenty samples, one in a hundred */
	s->bytes = 3000000;
	s->bytes_variance = 20.0 * 100 * 99 * 1500 * 1500;
	b->rows[0] = (struct traffic_row){
		.key = {.source = SOURCE_A,
			.direction = DIRECTION_OUT,
			.family = 6,
			.carrier = CARRIER_LABEL,
			.grade = GRADE_REGISTERED,
			.experiment = 3,
			.activity = 14},
		.value = {.packets = 1990,
			  .bytes = 2900000,
			  .ip_bytes = 2800000,
			  .samples = 1990,
			  .codes = 1},
	};
	assert_int_equal(join_second(w->j, b, s, 1, w->next.heard, 1), 0);
	/* 1,970 of the tap's packets are left behind as samples, with what they say of IP bytes */
	assert_int_equal(b->n_rows, 2);
	assert_int_equal(total(b, CMS, 0).bytes, 2900000);
	assert_int_equal(total(b, CMS, 0).packets, 1990);
	assert_int_equal(total(b, CMS, 0).samples, 1990);
	assert_true(total(b, CMS, 0).bytes_variance == 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(b->rows[i].value.bytes,
				 b->rows[i].key.grade == GRADE_CONFIRMED ? 2900000 : 0);
	bucket_free(b);
	world_close(w);
}

/* Two queues of one interface count in rows of their own. */
static void rows_of_one_key_are_one(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct bucket *b = bucket_new(T0, 3, 0, 0);

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	see_label(w, k, CMS, 30000);
	see_label(w, k, CMS, 15000);
	for (int i = 0; i < 3; i++)
		b->rows[i] = (struct traffic_row){.key = {.source = SOURCE_A,
							  .direction = DIRECTION_OUT,
							  .family = 6,
							  .carrier = CARRIER_LABEL,
							  .grade = GRADE_REGISTERED,
							  .experiment = i == 1 ? 2 : 3,
							  .activity = i == 1 ? 9 : 14},
						  .value = {.packets = 20,
							    .bytes = 30000,
							    .ip_bytes = 29700,
							    .samples = 20,
							    .codes = 1}};
	assert_int_equal(join_second(w->j, b, w->next.seen, 2, w->next.heard, 1), 0);
	assert_int_equal(b->n_rows, 3);
	assert_int_equal(total(b, CMS, 0).bytes, 60000);
	assert_int_equal(total(b, ATLAS, 0).bytes, 30000);
	for (size_t i = 0; i < 3; i++) {
		if (b->rows[i].key.experiment == 3)
			assert_int_equal(b->rows[i].value.bytes,
					 b->rows[i].key.grade == GRADE_CONFIRMED ? 45000 : 15000);
		assert_int_equal(b->rows[i].value.codes, 1);
	}
	bucket_free(b);
	world_close(w);
}

/* --- claims come, go and lie ------------------------------------------------------------------- */

static void a_claim_may_come_late_and_ends_its_flow(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct firefly *ff;
	struct flow_row row;

	(void)state;
	see_label(w, k, CMS, 30000);
	join_it(w);
	assert_int_equal(bytes_of(w, GRADE_REGISTERED), 30000);
	hear(w, FIREFLY_START, turned(k), CMS); /* by the receiver, the other way around */
	see_label(w, k, CMS, 45000);
	see_plain(w, turned(k), 1500)->direction = DIRECTION_IN;
	join_it(w);
	assert_int_equal(bytes_of(w, GRADE_CONFIRMED), 45000);
	assert_int_equal(bytes_of(w, GRADE_CLAIMED), 1500);
	assert_true(only_flow(w).flow.evidence & FLOW_REVERSED);
	assert_true(only_flow(w).claim.oddities & CLAIM_REVERSED);
	ff = &hear(w, FIREFLY_END, turned(k), CMS)->firefly;
	ff->start_utc_us -= US_PER_S;
	ff->dst_to_src_bytes = 70000;
	ff->src_to_dst_bytes = 1000;
	join_it(w);
	assert_int_equal(only_flow(w).flow.state, FLOW_ENDED);
	wait_s(w, JOIN_WINDOW_S - 1);
	assert_int_equal(w->b->n_flows, 0);
	assert_int_equal(n_flows(w), 1);
	wait_s(w, 1);
	assert_int_equal(n_flows(w), 0);
	assert_int_equal(w->b->n_flows, 1);
	row = w->b->flows[0];
	assert_memory_equal(&row.key, &k, sizeof(k));
	assert_int_equal(row.grade, GRADE_CONFIRMED);
	assert_int_equal(row.state, FLOW_ENDED);
	assert_int_equal(row.bytes[FLOW_THERE], 75000);
	assert_int_equal(row.bytes[FLOW_BACK], 1500);
	assert_int_equal(row.samples, 51);
	assert_int_equal(row.claimed_bytes[FLOW_THERE], 70000);
	assert_int_equal(row.claimed_bytes[FLOW_BACK], 1000);
	assert_int_equal(row.experiment[FLOW_THERE], 3);
	assert_int_equal(row.experiment[FLOW_BACK], 0);
	assert_int_equal(row.claim_experiment, 3);
	assert_int_equal(row.claim_activity, 14);
	assert_int_equal(row.carrier[FLOW_THERE], CARRIER_LABEL);
	assert_int_equal(row.direction, DIRECTION_OUT);
	assert_int_equal(row.provenance, CLAIM_FROM_END);
	assert_int_equal(row.producer, FIREFLY_FLOWD);
	assert_string_equal(row.application, "flowd");
	assert_true(row.start_utc_us == (T0 + 1) * US_PER_S + 50000);
	world_close(w);
}

static void a_claim_after_the_flow_still_grades_it(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct agreement_cell cell;

	(void)state;
	see_label(w, k, CMS, 30000)->tcp_flags = FIN | ACK;
	join_it(w);
	wait_s(w, 30);
	hear(w, FIREFLY_END, k, CMS)->firefly.start_utc_us = T0 * US_PER_S;
	join_it(w);
	assert_int_equal(only_flow(w).flow.grade, GRADE_CONFIRMED);
	/* no packet will tell of both */
	assert_int_equal(join_agreement(w->j, &cell, 1), 1);
	assert_true(same_tag(cell.wire, CMS) && same_tag(cell.claim, CMS));
	assert_int_equal(cell.flows, 1);
	assert_int_equal(cell.bytes, 30000);
	world_close(w);
}

/* dCache may not know the port of its client; ten seconds are given to the flow that fits with both. */
static void a_last_look_finds_what_fits_by_one_port(void **state)
{
	struct world *w = world_open(NULL);
	struct agreement_cell cell;
	struct firefly *ff;

	(void)state;
	see_label(w, key_of(1, 5000, 2, 1094), CMS, 30000)->tcp_flags = FIN | ACK;
	join_it(w);
	ff = &hear(w, FIREFLY_END, key_of(1, 4999, 2, 1094), CMS)->firefly;
	ff->producer = FIREFLY_DCACHE;
	ff->start_utc_us = T0 * US_PER_S;
	join_it(w);
	wait_s(w, JOIN_IDLE_S - 1);
	assert_int_equal(w->b->n_flows, 1);
	assert_int_equal(w->b->flows[0].grade, GRADE_CONFIRMED);
	assert_int_equal(w->b->flows[0].claim_experiment, 3);
	assert_true(w->b->flows[0].evidence & FLOW_ONE_PORT);
	assert_int_equal(join_agreement(w->j, &cell, 1), 1);
	assert_int_equal(cell.flows, 1);
	assert_int_equal(cell.bytes, 30000);
	world_close(w);
}

static void samples_too_few_reverse_no_claim(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct seen *s;

	(void)state;
	for (int i = 0; i < 2; i++) {
		hear(w, FIREFLY_START, k, CMS);
		for (int way = 0; way < 2; way++) {
			/* one sample there and two back, of a thousand; then a hundred more back */
			s = see_label(w, way ? turned(k) : k, CMS, 1500000);
			s->samples = way ? (i ? 100 : 2) : 1;
			s->packets = s->samples * 1000;
			s->bytes = s->packets * 1500;
			s->bytes_variance = s->samples * 1000.0 * 999 * 1500 * 1500;
		}
		join_it(w);
		assert_int_equal(!!(only_flow(w).flow.evidence & FLOW_REVERSED), i);
	}
	world_close(w);
}

static void ways_of_like_size_reverse_no_claim(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	see_label(w, k, CMS, 15000);
	see_plain(w, turned(k), 29999);
	join_it(w);
	assert_false(only_flow(w).flow.evidence & FLOW_REVERSED);
	see_plain(w, turned(k), 1);
	join_it(w);
	assert_true(only_flow(w).flow.evidence & FLOW_REVERSED);
	world_close(w);
}

/* flowd says no bytes; when the other end does, in its own words, it is the one who speaks. */
static void the_other_end_may_name_the_flow_the_other_way(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct firefly *ff;

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	see_label(w, k, CMS, 30000);
	see_plain(w, turned(k), 1000);
	join_it(w);
	assert_false(only_flow(w).flow.evidence & FLOW_REVERSED);
	ff = &hear(w, FIREFLY_END, turned(k), CMS)->firefly;
	ff->producer = FIREFLY_DCACHE;
	ff->start_utc_us -= US_PER_S;
	ff->dst_to_src_bytes = 29000;
	ff->src_to_dst_bytes = 0;
	see_label(w, k, CMS, 300);
	join_it(w);
	assert_true(only_flow(w).flow.evidence & FLOW_REVERSED);
	assert_int_equal(only_flow(w).flow.way[FLOW_THERE].bytes, 30300);
	wait_s(w, JOIN_WINDOW_S);
	assert_int_equal(w->b->n_flows, 1);
	assert_int_equal(w->b->flows[0].claimed_bytes[FLOW_THERE], 29000);
	assert_int_equal(w->b->flows[0].claimed_bytes[FLOW_BACK], 0);
	world_close(w);
}

static void a_claim_is_not_of_the_flow_before(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	see_label(w, k, CMS, 30000)->tcp_flags = FIN | ACK;
	join_it(w);
	wait_s(w, 9);
	hear(w, FIREFLY_START, k, ATLAS); /* the port is used again */
	see_label(w, k, ATLAS, 4000)->tcp_flags = SYN;
	join_it(w);
	assert_int_equal(w->b->n_flows, 1);
	assert_int_equal(w->b->flows[0].claim_experiment, -1);
	assert_int_equal(w->b->flows[0].grade, GRADE_REGISTERED);
	assert_int_equal(only_flow(w).flow.grade, GRADE_CONFIRMED);
	assert_int_equal(bytes_of(w, GRADE_CONFIRMED), 4000);
	world_close(w);
}

static void a_claim_never_seen_leaves_a_row(void **state)
{
	struct world *w = world_open(NULL);
	struct flow_key k = key_of(1, 5000, 2, 1094);
	struct flow_view v;
	struct firefly *ff;

	(void)state;
	see_plain(w, key_of(3, 1, 4, 2), 1000); /* there is a wire, only this is not on it */
	join_it(w);
	wait_s(w, 2 * JOIN_IDLE_S + 2);
	hear(w, FIREFLY_START, k, CMS);
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.grade, GRADE_CLAIMED);
	assert_int_equal(v.flow.way[0].samples + v.flow.way[1].samples, 0);
	assert_true(v.flow.way[0].first_utc_us == CLOCK_NEVER);
	ff = &hear(w, FIREFLY_END, k, CMS)->firefly;
	ff->start_utc_us -= US_PER_S;
	ff->dst_to_src_bytes = 500; /* what it says of the direction is all there is */
	join_it(w);
	wait_s(w, JOIN_WINDOW_S);
	assert_int_equal(w->b->n_flows, 1);
	k = turned(k);
	assert_memory_equal(&w->b->flows[0].key, &k, sizeof(k));
	assert_int_equal(w->b->flows[0].samples, 0);
	assert_int_equal(w->b->flows[0].claimed_bytes[FLOW_THERE], 500);
	assert_int_equal(w->b->flows[0].grade, GRADE_CLAIMED);
	assert_true(w->b->flows[0].oddities & CLAIM_UNSEEN);
	assert_int_equal(n_flows(w), 0);
	world_close(w);
}

static void a_second_start_makes_a_second_flow(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	see_label(w, k, CMS, 30000);
	join_it(w);
	wait_s(w, 3);
	hear(w, FIREFLY_START, k, ATLAS); /* another file over the same connection */
	see_label(w, k, ATLAS, 4000);
	join_it(w);
	assert_int_equal(w->b->n_flows, 1);
	assert_int_equal(w->b->flows[0].claim_experiment, 3);
	assert_int_equal(w->b->flows[0].bytes[FLOW_THERE], 30000);
	assert_int_equal(only_flow(w).flow.grade, GRADE_CONFIRMED);
	assert_int_equal(only_flow(w).flow.way[FLOW_THERE].bytes, 4000);
	assert_int_equal(only_flow(w).claim.tag.experiment, 2);
	world_close(w);
}

/* Anyone can send a UDP packet. */
static void a_stranger_grades_only_where_nobody_else_does(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct flow_view v;

	(void)state;
	host(hear(w, FIREFLY_START, k, CMS)->sender_ip, 99);
	see_plain(w, k, 30000);
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.grade, GRADE_CLAIMED);
	assert_true(v.flow.evidence & FLOW_CLAIM_STRANGER);
	hear(w, FIREFLY_START, k, ATLAS);
	see_label(w, k, ATLAS, 30000);
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.claim.tag.experiment, 2);
	assert_int_equal(v.flow.grade, GRADE_CONFIRMED);
	assert_false(v.flow.evidence & FLOW_CLAIM_STRANGER);
	host(hear(w, FIREFLY_START, k, CMS)->sender_ip, 99);
	see_label(w, k, ATLAS, 30000);
	join_it(w);
	assert_int_equal(only_flow(w).flow.grade, GRADE_CONFIRMED);
	world_close(w);
}

static void a_strangers_exact_claim_is_worth_less_than_one_port(void **state)
{
	struct world *w = world_open(NULL);
	struct heard *h;

	(void)state;
	host(hear(w, FIREFLY_START, key_of(1, 5000, 2, 1094), CMS)->sender_ip, 99);
	see_label(w, key_of(1, 5000, 2, 1094), ATLAS, 30000);
	join_it(w);
	assert_int_equal(only_flow(w).flow.grade, GRADE_DISAGREE);
	h = hear(w, FIREFLY_END, key_of(1, 4999, 2, 1094), ATLAS);
	h->firefly.producer = FIREFLY_DCACHE;
	h->firefly.start_utc_us -= 2 * US_PER_S;
	memcpy(h->sender_ip, h->firefly.key.dst_ip, 16);
	for (int i = 0; i < 3; i++) {
		see_label(w, key_of(1, 5000, 2, 1094), ATLAS, 30000);
		join_it(w);
	}
	{
		const struct flow_question q = {.grades = 1u << GRADE_CONFIRMED};
		struct flow_view v;
		size_t matching;

		assert_int_equal(join_flows(w->j, &q, &v, 1, &matching), 1);
		assert_int_equal(v.claim.tag.experiment, 2);
		assert_true(v.flow.evidence & FLOW_ONE_PORT);
		assert_false(v.flow.evidence & FLOW_CLAIM_STRANGER);
	}
	world_close(w);
}

static void who_does_not_mark_is_told_after_a_while(void **state)
{
	const struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	for (int hidden = 0; hidden < 2;
	     hidden++) { /* a source that shows no labels proves nothing */
		struct world *w = world_open(NULL);

		hear(w, FIREFLY_START, k, CMS);
		for (int i = 0; i < 10; i++) {
			see_plain(w, k, 30000)->label_hidden = (uint8_t)hidden;
			join_it(w);
			assert_false(only_flow(w).claim.oddities & CLAIM_UNMARKED);
		}
		see_plain(w, k, 30000)->label_hidden = (uint8_t)hidden;
		join_it(w);
		assert_int_equal(!!(only_flow(w).claim.oddities & CLAIM_UNMARKED), !hidden);
		world_close(w);
	}
}

/* --- observation points -------------------------------------------------------------------------- */

static void bytes_come_from_one_point(void **state)
{
	static const uint16_t order[] = {SOURCE_C};
	const struct join_config cfg = {
		.flows_max = 64, .claims_max = 64, .points = order, .n_points = 1};
	struct world *w = world_open(&cfg);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct point_overlap o[4];
	struct flow_view v;

	(void)state;
	/* a sampled one first in the second, then one that counts every packet: that one is believed */
	see_plain(w, k, 50000)->packets = 3400;
	see_plain(w, k, 40000)->source = SOURCE_B;
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.point, SOURCE_B);
	assert_int_equal(v.flow.way[FLOW_THERE].bytes, 40000);
	assert_int_equal(v.flow.n_points, 2);
	assert_true(v.flow.evidence & FLOW_SEVERAL_POINTS);
	assert_int_equal(w->b->n_pairs, 1);
	assert_int_equal(w->b->pairs[0].value.bytes, 40000);
	/* the one that the operator named comes before all */
	see_plain(w, k, 1000)->source = SOURCE_B;
	see_plain(w, k, 900)->source = SOURCE_C;
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.point, SOURCE_C);
	assert_int_equal(v.flow.way[FLOW_THERE].bytes, 40900);
	/* and is waited for, so long */
	for (uint32_t i = 0; i < JOIN_IDLE_S - 1; i++) {
		see_plain(w, k, 1000)->source = SOURCE_B;
		join_it(w);
	}
	assert_int_equal(only_flow(w).flow.way[FLOW_THERE].bytes, 40900);
	see_plain(w, k, 1000)->source = SOURCE_B;
	join_it(w);
	assert_int_equal(only_flow(w).flow.way[FLOW_THERE].bytes, 41900);
	assert_int_equal(only_flow(w).flow.point, SOURCE_B);
	/* each pair of points saw this one flow; A last a minute ago */
	assert_int_equal(join_overlaps(w->j, o, 4), 3);
	for (size_t i = 0; i < 3; i++) {
		assert_true(o[i].a < o[i].b);
		assert_int_equal(o[i].flows, 1);
		assert_int_equal(o[i].flows_a, 1);
		assert_int_equal(o[i].flows_b, 1);
	}
	wait_s(w, 600);
	assert_int_equal(join_overlaps(w->j, o, 4), 0);
	world_close(w);
}

/* Three points of a way are remembered; one that is forgotten and comes back counts once. */
static void more_points_than_are_remembered_count_once(void **state)
{
	static const uint16_t sources[] = {1, 2, 3, 4, 1, 2, 3, 4, 1};
	struct world *w = world_open(NULL);
	struct point_overlap o[8];
	size_t n;

	(void)state;
	for (size_t i = 0; i < 9; i++)
		see_plain(w, key_of(1, 1, 2, 2), 1000)->source = sources[i];
	join_it(w);
	n = join_overlaps(w->j, o, 8);
	assert_int_equal(n, 3); /* of the three that are remembered */
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(o[i].flows, 1);
		assert_int_equal(o[i].flows_a, 1);
		assert_int_equal(o[i].flows_b, 1);
	}
	world_close(w);
}

/* 46 points that each see something with each other: 1,035 pairs, more than are counted. */
static void pairs_of_points_make_room_for_new_ones(void **state)
{
	const struct join_config cfg = {.flows_max = 2048, .claims_max = 4};
	struct world *w = world_open(&cfg);
	struct seen *seen = calloc(2 * 1035, sizeof(*seen));
	struct point_overlap o[JOIN_OVERLAPS_MAX];
	struct bucket *b = bucket_new(T0, 0, 0, 0);
	size_t n = 0;

	(void)state;
	for (unsigned int one = 1; one <= 46; one++) {
		for (unsigned int other = one + 1; other <= 46; other++) {
			w->next.n_seen = 0;
			seen[n] = *see_plain(w, key_of(one, other, 99, 9), 1000);
			seen[n++].source = (uint16_t)one;
			seen[n] = seen[n - 1];
			seen[n++].source = (uint16_t)other;
		}
	}
	w->next.n_seen = 0;
	assert_int_equal(n, 2 * 1035);
	assert_int_equal(join_second(w->j, b, seen, n, NULL, 0), 0);
	assert_int_equal(join_overlaps(w->j, o, JOIN_OVERLAPS_MAX), JOIN_OVERLAPS_MAX);
	w->next.utc_s += 601;
	see_plain(w, key_of(1, 1, 2, 2), 1000)->source = 50;
	see_plain(w, key_of(1, 1, 2, 2), 1000)->source = 49;
	join_it(w);
	assert_int_equal(join_overlaps(w->j, o, JOIN_OVERLAPS_MAX), 1);
	assert_int_equal(o[0].a, 49);
	assert_int_equal(o[0].b, 50);
	assert_int_equal(o[0].flows, 1);
	bucket_free(b);
	free(seen);
	world_close(w);
}

/* As the two fibres of a passive tap are: neither sees anything twice. */
static void two_points_may_see_one_way_each(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	struct point_overlap o;
	struct flow_view v;

	(void)state;
	see_plain(w, k, 50000);
	see_plain(w, turned(k), 3000)->source = SOURCE_B;
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.way[FLOW_THERE].bytes, 50000);
	assert_int_equal(v.flow.way[FLOW_BACK].bytes, 3000);
	assert_int_equal(v.flow.point, SOURCE_A);
	assert_int_equal(v.flow.n_points, 2);
	assert_false(v.flow.evidence & FLOW_SEVERAL_POINTS);
	assert_int_equal(join_overlaps(w->j, &o, 1), 0);
	world_close(w);
}

/* Rows of every source are regraded, but a flow's bytes are counted once. */
static void every_points_rows_are_regraded(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	see_label(w, k, CMS, 30000);
	see_label(w, k, CMS, 20000)->source = SOURCE_B;
	join_it(w);
	assert_int_equal(bytes_of(w, GRADE_CONFIRMED), 50000);
	assert_int_equal(w->b->n_pairs, 1);
	assert_int_equal(w->b->pairs[0].value.bytes, 30000);
	assert_int_equal(w->b->pairs[0].grade, GRADE_CONFIRMED);
	assert_int_equal(w->b->pairs[0].experiment, 3);
	world_close(w);
}

/* --- the full table ------------------------------------------------------------------------------ */

static void ordinary_flows_leave_first(void **state)
{
	const struct join_config cfg = {.flows_max = 4, .claims_max = 4};
	struct world *w = world_open(&cfg);
	struct flow_question q = {.order = FLOW_BY_NEWEST};
	struct join_status st;
	struct flow_view v[4];
	size_t matching;

	(void)state;
	hear(w, FIREFLY_START, key_of(1, 1, 9, 9), CMS);
	see_plain(w, key_of(1, 1, 9, 9), 100); /* joined */
	see_label(w, key_of(2, 2, 9, 9), CMS, 100);
	see_plain(w, key_of(3, 3, 9, 9), 100);
	see_plain(w, key_of(4, 4, 9, 9), 100);
	join_it(w);
	see_plain(w, key_of(3, 3, 9, 9), 100); /* 4 is idle for longer */
	see_plain(w, key_of(5, 5, 9, 9), 100);
	join_it(w);
	assert_int_equal(w->b->n_flows, 1);
	assert_int_equal(w->b->flows[0].key.src_port, 4);
	assert_int_equal(w->b->flows[0].state, FLOW_EVICTED);
	/* no ordinary ones are left: then registered ones, then joined ones */
	for (unsigned int n = 11; n < 16; n++)
		see_label(w, key_of(n, n, 9, 9), ATLAS, 100);
	join_it(w);
	assert_int_equal(join_flows(w->j, &q, v, 4, &matching), 4);
	assert_int_equal(matching, 4);
	for (size_t i = 0; i < 3; i++)
		assert_true(v[i].flow.key.src_port >= 13);
	assert_int_equal(v[3].flow.key.src_port, 1);
	assert_true(v[3].flow.has_claim);
	join_status(w->j, &st);
	assert_int_equal(st.flows, 4);
	assert_int_equal(st.flows_begun, 10);
	assert_int_equal(st.flows_evicted, 6);
	assert_int_equal(st.flow_rows_kept, 6);
	assert_int_equal(st.seen, 11);
	world_close(w);
}

/* Anybody can claim: such flows leave with the registered ones, before those that an end announced. */
static void a_strangers_claim_protects_no_flow(void **state)
{
	const struct join_config cfg = {.flows_max = 2, .claims_max = 4};
	struct world *w = world_open(&cfg);
	struct flow_question q = {.has_claim = 1};
	struct flow_view v[4];
	size_t matching;

	(void)state;
	hear(w, FIREFLY_START, key_of(1, 1, 9, 9), CMS);
	see_plain(w, key_of(1, 1, 9, 9), 100);
	join_it(w);
	host(hear(w, FIREFLY_START, key_of(2, 2, 9, 9), CMS)->sender_ip, 99);
	see_plain(w, key_of(2, 2, 9, 9), 100);
	join_it(w);
	see_label(w, key_of(3, 3, 9, 9), CMS, 100);
	join_it(w);
	assert_int_equal(w->b->n_flows, 1);
	assert_int_equal(w->b->flows[0].key.src_port, 2);
	assert_int_equal(join_flows(w->j, &q, v, 4, &matching), 1);
	assert_int_equal(v[0].flow.key.src_port, 1);
	world_close(w);
}

/* A sender that goes on about a flow that nobody sees keeps it from nothing. */
static void words_are_no_packets(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key silent = key_of(1, 1, 2, 2), slow = key_of(3, 3, 4, 4);

	(void)state;
	hear(w, FIREFLY_START, silent, CMS);
	hear(w, FIREFLY_START, slow, CMS);
	see_plain(w, silent, 100);
	for (uint32_t i = 0; i < 2 * JOIN_IDLE_S + 1; i++) {
		if (i % 30 == 15)
			see_plain(w, slow, 100);
		if (i > 0)
			hear(w, FIREFLY_ONGOING, silent, CMS)->firefly.start_utc_us =
				T0 * US_PER_S + 50000;
		join_it(w);
	}
	assert_int_equal(w->b->n_flows, 1);
	assert_int_equal(w->b->flows[0].key.src_port, 1);
	world_close(w);
}

/* Whatever comes within one second, sums stay, and what had to leave had been counted, joined ones too. */
static void a_flood_changes_no_sum(void **state)
{
	const struct join_config cfg = {.flows_max = 8, .claims_max = 64};

	(void)state;
	for (unsigned int claimed = 1; claimed <= 16; claimed += 15) {
		struct world *w = world_open(&cfg);
		uint64_t pairs = 0;

		for (unsigned int n = 1; n < 60; n++) {
			if (n <= claimed)
				hear(w, FIREFLY_START, key_of(n, n, 9, 9), n % 2 ? CMS : ATLAS);
			see_label(w, key_of(n, n, 9, 9), n % 2 ? CMS : ATLAS, 1000);
		}
		join_it(w);
		/* seven of eight places stay with the joined ones, the rest shares the last */
		assert_int_equal(bytes_of(w, GRADE_CONFIRMED), claimed == 1 ? 1000 : 7000);
		assert_int_equal(bytes_of(w, GRADE_REGISTERED), claimed == 1 ? 58000 : 52000);
		for (size_t i = 0; i < w->b->n_pairs; i++)
			pairs += w->b->pairs[i].value.bytes;
		assert_int_equal(pairs, 59000);
		world_close(w);
	}
}

static void rows_of_a_second_are_limited_joined_ones_first(void **state)
{
	enum { N = 3000 };
	const struct join_config cfg = {.flows_max = 2 * N, .claims_max = 64};
	struct world *w = world_open(&cfg);
	struct seen *seen = calloc(N, sizeof(*seen));
	struct join_status st;
	struct bucket *b = bucket_new(T0, 0, 0, 0);
	uint32_t joined = 0, registered = 0;

	(void)state;
	for (unsigned int i = 0; i < N; i++) {
		w->next.n_seen = 0;
		seen[i] = *see_plain(w, key_of(1, i + 1, 2, 1094), 1000);
		if (i >= N - 20)
			seen[i] = *see_label(w, key_of(1, i + 1, 2, 1094), CMS, 1000);
		if (i >= N - 10)
			hear(w, FIREFLY_START, seen[i].key, CMS);
	}
	w->next.n_seen = 0;
	assert_int_equal(join_second(w->j, b, seen, N, w->next.heard, 10), 0);
	bucket_free(b);
	w->next.n_heard = 0;
	wait_s(w, 2 * JOIN_IDLE_S + 1);
	assert_int_equal(w->b->n_flows, JOIN_FLOW_ROWS_PER_S);
	for (size_t i = 0; i < w->b->n_flows; i++) {
		joined += w->b->flows[i].claim_experiment == 3;
		registered += w->b->flows[i].grade == GRADE_REGISTERED;
	}
	assert_int_equal(joined, 10);
	assert_int_equal(registered, 10);
	join_status(w->j, &st);
	assert_int_equal(st.flow_rows_kept, JOIN_FLOW_ROWS_PER_S);
	assert_int_equal(st.flow_rows_let_go, N - JOIN_FLOW_ROWS_PER_S);
	assert_int_equal(st.flows_ended, N);
	free(seen);
	world_close(w);
}

/* --- rows and questions ---------------------------------------------------------------------------- */

static void pairs_are_by_site_grade_and_tag(void **state)
{
	static const char *const own[] = {"ALPHA=2001:db8:0:1::/64", "BETA=2001:db8:0:2::/64"};
	const struct sites_config sc = {.own = own, .n_own = 2};
	struct store_config store_cfg;
	struct store *store;
	struct sites *sites;
	struct world *w = world_open(NULL);
	uint16_t alpha, beta;
	char why[160];
	uint64_t there = 0, back = 0, other = 0;

	(void)state;
	store_config_default(&store_cfg);
	store_cfg.url = "sqlite::memory:";
	assert_int_equal(store_open(&store, &store_cfg), 0);
	assert_int_equal(sites_open(&sites, &sc, store, why, sizeof(why)), 0);
	join_set_sites(w->j, sites);
	alpha = store_site_id(store, "ALPHA");
	beta = store_site_id(store, "BETA");
	hear(w, FIREFLY_START, key_of(1, 1, 2, 2), CMS);
	see_plain(w, key_of(1, 1, 2, 2), 7000); /* claimed */
	see_plain(w, turned(key_of(1, 1, 2, 2)), 300);
	see_label(w, key_of(1, 3, 2, 3), DEAD, 50);
	see_label(w, key_of(1, 4, 2, 4), (struct scitag){78, 8}, 60);
	see_plain(w, key_of(3, 1, 2, 2), 9);
	join_it(w);
	for (size_t i = 0; i < w->b->n_pairs; i++) {
		const struct pair_row *p = &w->b->pairs[i];

		assert_int_equal(p->family, 6);
		if (p->src_site == beta) {
			assert_int_equal(p->dst_site, alpha);
			assert_int_equal(p->grade, GRADE_CLAIMED);
			assert_int_equal(p->experiment, 3); /* the claim's */
			back += p->value.bytes;
		} else if (p->src_site == alpha && p->grade == GRADE_CLAIMED) {
			assert_int_equal(p->dst_site, beta);
			assert_int_equal(p->activity, 14);
			there += p->value.bytes;
		} else if (p->src_site == alpha) {
			assert_int_equal(p->grade, GRADE_UNREGISTERED);
			assert_int_equal(p->experiment, STORE_FOLDED);
			assert_int_equal(p->value.bytes, 110);
		} else {
			assert_int_equal(p->src_site, 0);
			assert_int_equal(p->grade, GRADE_UNTAGGED);
			other += p->value.bytes;
		}
	}
	assert_int_equal(w->b->n_pairs, 4);
	assert_int_equal(there, 7000);
	assert_int_equal(back, 300);
	assert_int_equal(other, 9);
	join_set_sites(w->j, NULL); /* sites may go while flows live */
	see_plain(w, key_of(1, 1, 2, 2), 7000);
	join_it(w);
	assert_int_equal(w->b->pairs[0].src_site, 0);
	sites_close(sites);
	store_close(store);
	world_close(w);
}

static size_t label_rows(const struct world *w, int32_t experiment, uint32_t *begun,
			 uint32_t *before)
{
	size_t n = 0;

	*begun = *before = 0;
	for (size_t i = 0; i < w->b->n_label_flows; i++) {
		if (w->b->label_flows[i].experiment != experiment)
			continue;
		*begun += w->b->label_flows[i].begun;
		*before += w->b->label_flows[i].before;
		n++;
	}
	return n;
}

static void labelled_flows_are_counted_once_a_minute(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 5000, 2, 1094);
	uint32_t begun, before;

	(void)state;
	see_label(w, k, CMS, 1000);
	see_label(w, turned(k), DEAD, 1000);
	see_label(w, key_of(1, 2, 2, 3), (struct scitag){78, 8}, 1000);
	join_it(w);
	assert_int_equal(label_rows(w, 3, &begun, &before), 1);
	assert_int_equal(begun, 1);
	assert_int_equal(before, 0);
	assert_int_equal(label_rows(w, STORE_FOLDED, &begun, &before), 1);
	assert_int_equal(begun, 2);
	for (int i = 1; i < 60; i++) {
		see_label(w, k, CMS, 1000);
		join_it(w);
		assert_int_equal(w->b->n_label_flows, 0);
	}
	see_label(w, k, CMS, 1000); /* the next minute */
	join_it(w);
	assert_int_equal(label_rows(w, 3, &begun, &before), 1);
	assert_int_equal(begun, 0);
	assert_int_equal(before, 1);
	world_close(w);
}

static void a_way_that_changes_its_tag_counts_under_each(void **state)
{
	struct world *w = world_open(NULL);
	uint32_t begun, before;

	(void)state;
	see_label(w, key_of(1, 1, 2, 2), CMS, 1000);
	join_it(w);
	see_label(w, key_of(1, 1, 2, 2), ATLAS, 1000);
	join_it(w);
	assert_int_equal(w->b->n_label_flows, 1);
	assert_int_equal(label_rows(w, 2, &begun, &before), 1);
	assert_int_equal(begun, 1);
	assert_int_equal(before, 0);
	world_close(w);
}

/* Of 32,768 codes two are registered: 1,000 unregistered flows make 0.0305 of each pair by chance. Three are
 * less likely than 2.87e-7? Poisson: 0.0306^3 / 6 = 4.8e-6, no; four: 3.7e-8, yes. */
static void significance_is_held_against_unregistered_labels(void **state)
{
	const struct join_config cfg = {.flows_max = 4096, .claims_max = 4};
	struct world *w = world_open(&cfg);
	struct seen *seen = calloc(1007, sizeof(*seen));
	struct bucket *b = bucket_new(T0, 0, 0, 0);
	struct tag_significance t[4];

	(void)state;
	for (unsigned int i = 0; i < 1007; i++) {
		struct scitag tag = {(uint16_t)(100 + i % 400), (uint16_t)(i % 64)};

		w->next.n_seen = 0;
		if (i >= 1000)
			tag = i < 1003 ? CMS : ATLAS;
		seen[i] = *see_label(w, key_of(i, i + 1, 2, 1094), tag, 1000);
	}
	w->next.n_seen = 0;
	assert_int_equal(join_second(w->j, b, seen, 1007, NULL, 0), 0);
	bucket_free(b);
	assert_int_equal(join_significance(w->j, t, 4), 2);
	for (int i = 0; i < 2; i++) {
		const int is_cms = t[i].tag.experiment == 3;

		assert_int_equal(t[i].flows_1m, is_cms ? 3 : 4);
		assert_int_equal(t[i].flows_1h, is_cms ? 3 : 4);
		assert_float_equal(t[i].expected_1h, 1000.0 / 32766, 1e-9);
		assert_int_equal(t[i].significant_1m, !is_cms);
		assert_int_equal(t[i].significant_1h, !is_cms);
	}
	/* a flow that goes on counts on; the others are out of the minute, then of the hour */
	for (int i = 0; i <= 60; i++) {
		see_label(w, seen[1000].key, CMS, 1000);
		join_it(w);
	}
	assert_int_equal(join_significance(w->j, t, 4), 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(t[i].flows_1m, t[i].tag.experiment == 3 ? 1 : 0);
		assert_int_equal(t[i].flows_1h, t[i].tag.experiment == 3 ? 3 : 4);
		assert_false(t[i].significant_1m);
	}
	wait_s(w, 3600);
	assert_int_equal(join_significance(w->j, t, 4), 0);
	free(seen);
	world_close(w);
}

/* One flow and nothing to hold it against proves nothing. */
static void one_flow_alone_is_not_significant(void **state)
{
	struct world *w = world_open(NULL);
	struct tag_significance t;

	(void)state;
	see_label(w, key_of(1, 1, 2, 2), CMS, 1000);
	join_it(w);
	assert_int_equal(join_significance(w->j, &t, 1), 1);
	assert_int_equal(t.flows_1m, 1);
	assert_true(t.expected_1m == 0);
	assert_false(t.significant_1m);
	assert_false(t.significant_1h);
	world_close(w);
}

static void tails_are_right(void **state)
{
	(void)state;
	/* exact fractions: 114 of 32,768 pairs registered; at least 2 of 20 flows: 0.22 % */
	assert_true(chance_binomial(20, 2, 114.0 / 32768) / 0.002205750707909367 - 1 < 1e-9);
	assert_true(chance_binomial(20, 5, 114.0 / 32768) / 7.56511529383337e-09 - 1 < 1e-9);
	assert_true(1 - chance_binomial(1000, 20, 114.0 / 32768) / 8.977129702989336e-10 < 1e-9);
	assert_true(chance_binomial(20, 0, 0.5) == 1);
	assert_true(chance_binomial(1, 2, 0.1) == 0);
	assert_true(chance_binomial(5, 1, 0) == 0);
	/* Poisson to 50 digits */
	assert_true(chance_poisson(5, 1) / 0.0036598468273437122 - 1 < 1e-9);
	assert_true(1 - chance_poisson(5, 1) / 0.0036598468273437122 < 1e-9);
	assert_true(1 - chance_poisson(30, 5) / 2.8175176155779225e-14 < 1e-4);
	assert_true(1 - chance_poisson(2, 0.001) / 4.996667916333403e-07 < 1e-9);
	assert_true(chance_poisson(1, 0) == 0);
	assert_true(chance_poisson(0, 0) == 1);
}

/* Two of 32,768 pairs are registered: a second flow of the same host is 3.7e-9. */
static void a_host_with_too_many_registered_labels_is_noted(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_question q = {.grades = 1u << GRADE_REGISTERED, .order = FLOW_BY_NEWEST};
	struct flow_view v[2];
	size_t matching;

	(void)state;
	see_label(w, key_of(1, 1, 2, 2), CMS, 1000);
	join_it(w);
	assert_false(only_flow(w).flow.evidence & FLOW_HOST_EXCESS);
	see_label(w, key_of(1, 3, 2, 4), ATLAS, 1000);
	join_it(w);
	assert_int_equal(join_flows(w->j, &q, v, 2, &matching), 2);
	assert_int_equal(v[0].flow.key.src_port, 3);
	assert_true(v[0].flow.evidence & FLOW_HOST_EXCESS);
	assert_int_equal(v[0].flow.grade, GRADE_REGISTERED);
	world_close(w);
}

static void bit_19_is_learnt_by_host(void **state)
{
	const struct join_config cfg = {.flows_max = 256, .claims_max = 4};
	struct flow_view v;

	(void)state;
	for (unsigned int learnt = 49; learnt <= 50; learnt++) {
		struct world *w = world_open(&cfg);
		const struct flow_question q = {.grades = 1u << GRADE_REGISTERED};
		size_t matching;

		for (unsigned int i = 0; i < learnt; i++) /* see_label sets bit 19 */
			see_label(w, key_of(1, i + 1, 2, 1094), DEAD, 1000);
		join_it(w);
		see_label(w, key_of(1, 99, 2, 1094), CMS, 1000);
		see_label(w, key_of(1, 98, 2, 1094), CMS, 1000)->label &= ~0x80000u;
		join_it(w);
		assert_int_equal(join_flows(w->j, &q, &v, 1, &matching), 1);
		assert_int_equal(matching, 2);
		see_plain(w, key_of(1, 98, 2, 1094), 5000);
		join_it(w);
		join_flows(w->j, &q, &v, 1, &matching); /* by bytes */
		assert_int_equal(v.flow.key.src_port, 98);
		assert_int_equal(!!(v.flow.evidence & FLOW_BIT19), learnt >= 50);
		world_close(w);
	}
}

static void one_label_without_bit_19_unlearns_it(void **state)
{
	struct world *w = world_open(NULL);

	(void)state;
	for (unsigned int i = 0; i < 60; i++)
		see_label(w, key_of(1, i + 1, 2, 1094), DEAD, 1000)->label &=
			~(i == 25 ? 0x80000u : 0);
	see_label(w, key_of(1, 98, 2, 1094), CMS, 100000)->label &= ~0x80000u;
	join_it(w);
	see_plain(w, key_of(1, 98, 2, 1094), 100);
	join_it(w);
	{
		const struct flow_question q = {.grades = 1u << GRADE_REGISTERED};
		struct flow_view v;
		size_t matching;

		assert_int_equal(join_flows(w->j, &q, &v, 1, &matching), 1);
		assert_false(v.flow.evidence & FLOW_BIT19);
	}
	world_close(w);
}

/* A flow is one flow in each hour, however long it lasts: two of ten are too many for chance (1.9e-7), of 18 they
 * would not be (6e-7); one is never. */
static void long_flows_count_once(void **state)
{
	struct world *w = world_open(NULL);
	struct flow_question q = {.grades = 1u << GRADE_REGISTERED};
	struct flow_view v[2];
	size_t matching;

	(void)state;
	for (int i = 0; i < 30; i++) {
		for (unsigned int n = 0; n < 8; n++)
			see_label(w, key_of(1, n + 1, 2, 2), DEAD, 1000);
		see_label(w, key_of(1, 99, 2, 2), CMS, 1000);
		join_it(w);
		w->next.utc_s += 40;
		assert_int_equal(join_flows(w->j, &q, v, 2, &matching), 1);
		assert_false(v[0].flow.evidence & FLOW_HOST_EXCESS);
	}
	see_label(w, key_of(1, 100, 2, 2), ATLAS, 1000);
	join_it(w);
	q.order = FLOW_BY_NEWEST;
	assert_int_equal(join_flows(w->j, &q, v, 2, &matching), 2);
	assert_true(v[0].flow.evidence & FLOW_HOST_EXCESS);
	world_close(w);
}

static void a_label_that_becomes_registered_is_a_transition(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 1, 2, 2);
	struct flow_view v;

	(void)state;
	see_label(w, k, DEAD, 1500);
	join_it(w);
	assert_false(only_flow(w).flow.evidence & FLOW_TRANSITION);
	see_label(w, k, CMS, 3000);
	join_it(w);
	v = only_flow(w);
	assert_true(v.flow.evidence & FLOW_TRANSITION);
	assert_int_equal(v.flow.grade, GRADE_REGISTERED);
	see_label(w, k, DEAD, 1500); /* the registered one stays */
	join_it(w);
	v = only_flow(w);
	assert_int_equal(v.flow.way[FLOW_THERE].tag.experiment, 3);
	assert_int_equal(v.flow.way[FLOW_THERE].tagged_samples, 2);
	assert_int_equal(v.flow.way[FLOW_THERE].samples, 4);
	world_close(w);
}

static void local_flows_are_not_followed(void **state)
{
	static const uint8_t v4[4][4] = {
		{127, 0, 0, 1}, {10, 0, 0, 1}, {192, 168, 0, 9}, {192, 0, 2, 1}};
	/* by mode: ::1 to itself, 10/8 with 192.168/16, 10/8 with 192.0.2/24, the same /64 */
	static const int dropped[][4] = {
		[DROP_LOCAL_NONE] = {0, 0, 0, 0},
		[DROP_LOCAL_LOOPBACK] = {1, 0, 0, 0},
		[DROP_LOCAL_PRIVATE] = {1, 1, 0, 0},
		[DROP_LOCAL_SAME_PREFIX] = {1, 0, 0, 1},
	};

	(void)state;
	for (int mode = DROP_LOCAL_NONE; mode <= DROP_LOCAL_SAME_PREFIX; mode++) {
		const struct join_config cfg = {
			.flows_max = 8, .claims_max = 8, .drop_local = (enum drop_local)mode};
		struct world *w = world_open(&cfg);
		struct flow_key k[4] = {0};
		struct join_status st;
		uint32_t n = 0;

		for (int i = 0; i < 4; i++) {
			k[i] = key_of(1, (unsigned int)i + 1, i == 3 ? 257 : 1, 9);
			if (i == 0) {
				memset(k[i].src_ip, 0, 16);
				k[i].src_ip[15] = 1;
				memcpy(k[i].dst_ip, k[i].src_ip, 16);
			} else if (i < 3) {
				memset(k[i].src_ip, 0, 10);
				memset(k[i].src_ip + 10, 0xFF, 2);
				memcpy(k[i].dst_ip, k[i].src_ip, 12);
				memcpy(k[i].src_ip + 12, v4[1], 4);
				memcpy(k[i].dst_ip + 12, v4[i + 1], 4);
				k[i].family = 4;
			}
			see_plain(w, k[i], 1000);
			hear(w, FIREFLY_START, k[i], CMS);
			n += (uint32_t)dropped[mode][i];
		}
		join_it(w);
		join_status(w->j, &st);
		assert_int_equal(st.seen, 4);
		assert_int_equal(st.seen_local, n);
		assert_int_equal(st.heard, 4);
		assert_int_equal(st.heard_local, n);
		assert_int_equal(st.flows, 4 - n);
		assert_int_equal(st.claims, 4 - n);
		world_close(w);
	}
}

static const struct agreement_cell *cell_of(const struct agreement_cell *cells, size_t n,
					    struct scitag wire, struct scitag claim)
{
	for (size_t i = 0; i < n; i++) {
		if (same_tag(cells[i].wire, wire) && same_tag(cells[i].claim, claim))
			return &cells[i];
	}
	return NULL;
}

static void wire_and_claims_stand_in_a_matrix(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 1, 2, 2), l = key_of(1, 3, 2, 4);
	struct agreement_cell cells[8];
	const struct agreement_cell *c;
	size_t n;

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	hear(w, FIREFLY_START, l, DEAD);
	see_plain(w, k, 1000);
	see_label(w, l, ATLAS, 500);
	join_it(w);
	n = join_agreement(w->j, cells, 8);
	assert_int_equal(n, 2);
	c = cell_of(cells, n, NONE, CMS);
	assert_non_null(c);
	assert_int_equal(c->flows, 1);
	assert_int_equal(c->bytes, 1000);
	c = cell_of(cells, n, ATLAS, DEAD);
	assert_non_null(c);
	assert_int_equal(c->bytes_1h, 500);
	see_label(w, k, CMS,
		  2000); /* the flow moves to another cell, its bytes stay where they were */
	see_label(w, k, CMS, 1900)->source = SOURCE_B; /* not counted a second time */
	see_plain(w, turned(k), 100);
	join_it(w);
	n = join_agreement(w->j, cells, 8);
	c = cell_of(cells, n, NONE, CMS);
	assert_int_equal(c->flows, 0);
	assert_int_equal(c->flows_1h, 0);
	assert_int_equal(c->bytes, 1000);
	c = cell_of(cells, n, CMS, CMS);
	assert_int_equal(c->flows, 1);
	assert_int_equal(c->flows_1h, 1);
	assert_int_equal(c->bytes, 2100);
	wait_s(w, 3598);
	see_label(w, k, CMS, 10); /* the next hour */
	join_it(w);
	n = join_agreement(w->j, cells, 8);
	c = cell_of(cells, n, CMS, CMS);
	assert_int_equal(c->flows_1h, 1);
	assert_int_equal(c->bytes_1h, 10);
	assert_int_equal(c->bytes, 2110);
	wait_s(w, 3600);
	n = join_agreement(w->j, cells, 8);
	c = cell_of(cells, n, CMS, CMS);
	assert_int_equal(c->flows_1h, 0);
	assert_int_equal(c->bytes_1h, 0);
	world_close(w);
}

static int want_odd_ports(void *arg, const struct flow_view *v)
{
	(void)arg;
	return v->flow.key.src_port % 2;
}

static void questions_are_answered_in_order(void **state)
{
	struct world *w = world_open(NULL);
	struct flow_question q = {.now_utc_us = (T0 + 20) * US_PER_S};
	struct flow_view v[20];
	size_t matching;

	(void)state;
	for (unsigned int i = 0; i < 10; i++) {
		/* bytes in an order of their own; port p begins in second p - 1 */
		see_plain(w, key_of(1, i + 1, 2, 1094), 100 + (i * 7) % 10);
		see_plain(w, key_of(1, 1, 2, 1094), 1);
		join_it(w);
	}
	assert_int_equal(join_flows(w->j, &q, v, 20, &matching), 10);
	assert_int_equal(matching, 10);
	for (size_t i = 1; i < 10; i++)
		assert_true(v[i - 1].flow.way[0].bytes >= v[i].flow.way[0].bytes);
	assert_int_equal(join_flows(w->j, &q, v, 3, &matching), 3);
	assert_int_equal(matching, 10);
	/* port 1: 100 + 10; then 7 * 7 = 49: port 8 with 109; then 4 * 7 = 28: port 5 with 108 */
	assert_int_equal(v[0].flow.key.src_port, 1);
	assert_int_equal(v[1].flow.key.src_port, 8);
	assert_int_equal(v[2].flow.key.src_port, 5);
	q.order = FLOW_BY_NEWEST;
	assert_int_equal(join_flows(w->j, &q, v, 4, &matching), 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(v[i].flow.key.src_port, 10 - i);
	q.order = FLOW_BY_DURATION;
	assert_int_equal(join_flows(w->j, &q, v, 1, &matching), 1);
	assert_int_equal(v[0].flow.key.src_port, 1);
	q.order = FLOW_BY_RATE; /* 110 bytes in ten seconds is the slowest */
	assert_int_equal(join_flows(w->j, &q, v, 10, &matching), 10);
	assert_int_equal(v[9].flow.key.src_port, 1);
	assert_int_equal(v[0].flow.key.src_port, 8);
	q.want = want_odd_ports;
	assert_int_equal(join_flows(w->j, &q, v, 10, &matching), 5);
	assert_int_equal(matching, 5);
	assert_int_equal(join_flows(w->j, &q, NULL, 0, &matching), 0);
	assert_int_equal(matching, 5);
	q.want = NULL;
	q.has_claim = 1;
	assert_int_equal(join_flows(w->j, &q, v, 10, &matching), 0);
	hear(w, FIREFLY_START, key_of(1, 4, 2, 1094), DEAD);
	hear(w, FIREFLY_START, key_of(1, 44, 2, 1094), CMS);
	join_it(w);
	assert_int_equal(join_flows(w->j, &q, v, 10, &matching), 2);
	q.oddities = CLAIM_DEAD_NUMBER;
	assert_int_equal(join_flows(w->j, &q, v, 10, &matching), 1);
	assert_int_equal(v[0].flow.key.src_port, 4);
	q.oddities = 0;
	q.grades = 1u << GRADE_CLAIMED;
	assert_int_equal(join_flows(w->j, &q, v, 10, &matching), 1);
	assert_int_equal(v[0].flow.key.src_port, 44);
	q.grades = 0;
	q.has_claim = -1;
	assert_int_equal(join_flows(w->j, &q, v, 20, &matching), 9);
	world_close(w);
}

static void every_grade_has_its_sentence(void **state)
{
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 1, 2, 2);
	struct flow_view v;
	char text[400], tiny[12];

	(void)state;
	hear(w, FIREFLY_START, k, CMS);
	see_label(w, k, CMS, 1000);
	join_it(w);
	v = only_flow(w);
	assert_string_equal(flow_why(text, sizeof(text), &v),
			    "Confirmed: the flow label says 3/14 and 2001:db8:0:1::1 claims 3/14.");
	assert_string_equal(flow_why(tiny, sizeof(tiny), &v), "Confirmed: ");
	v.flow.grade = GRADE_DISAGREE;
	v.claim.tag = ATLAS;
	v.flow.evidence = FLOW_CLAIM_OTHER | FLOW_NAT;
	assert_string_equal(
		flow_why(text, sizeof(text), &v),
		"Disagree: the flow label says 3/14, but 2001:db8:0:1::1 claims 2/9; joined "
		"by the sender's public address.");
	v.flow.grade = GRADE_CLAIMED;
	v.flow.evidence = 0;
	assert_string_equal(
		flow_why(text, sizeof(text), &v),
		"Claimed: 2001:db8:0:1::1 claims 2/9, but the packets carry no registered "
		"tag.");
	v.flow.way[0].samples = 0;
	assert_string_equal(flow_why(text, sizeof(text), &v),
			    "Claimed: 2001:db8:0:1::1 claims 2/9, but no packet was seen.");
	v.flow.grade = GRADE_REGISTERED;
	v.flow.way[FLOW_BACK] = v.flow.way[FLOW_THERE];
	v.flow.way[FLOW_BACK].samples = 1;
	assert_string_equal(
		flow_why(text, sizeof(text), &v),
		"Registered on the way back: the flow label says 3/14, but "
		"2001:db8:0:1::1 claims 2/9; nobody has to mark the way back, so it may "
		"be chance.");
	v.flow.way[0].samples = 1;
	v.flow.evidence = FLOW_CLAIM_DEAD;
	assert_string_equal(flow_why(text, sizeof(text), &v),
			    "Registered: the flow label says 3/14; the claim's tag is not in the "
			    "registry and grades nothing.");
	v.flow.evidence = 0;
	v.flow.has_claim = 0;
	assert_string_equal(flow_why(text, sizeof(text), &v),
			    "Registered: the flow label says 3/14; no claim confirms it.");
	v.flow.grade = GRADE_CONFIRMED;
	v.flow.way[0].carrier = CARRIER_HOP_BY_HOP_DESTINATION;
	assert_string_equal(
		flow_why(text, sizeof(text), &v),
		"Confirmed: both option headers say 3/14, which nobody sets by chance.");
	v.flow.grade = GRADE_UNREGISTERED;
	v.flow.way[0].carrier = CARRIER_LABEL;
	assert_string_equal(
		flow_why(text, sizeof(text), &v),
		"Unregistered: the flow label says 3/14, which is not in the registry.");
	v.flow.grade = GRADE_UNTAGGED;
	assert_string_equal(flow_why(text, sizeof(text), &v),
			    "Untagged: the packets carry no tag.");
	world_close(w);
}

static void settings_may_change_between_seconds(void **state)
{
	static const uint16_t order[] = {SOURCE_B};
	struct join_config cfg = {
		.points = order, .n_points = 1, .drop_local = DROP_LOCAL_SAME_PREFIX};
	struct world *w = world_open(NULL);
	const struct flow_key k = key_of(1, 1, 2, 2);
	struct scitag_set fewer = {0};

	(void)state;
	see_plain(w, k, 1000);
	join_it(w);
	assert_int_equal(join_configure(w->j, &cfg), 0);
	see_plain(w, k, 1000);
	see_plain(w, k, 10)->source = SOURCE_B;
	see_plain(w, key_of(3, 1, 259, 2), 5); /* the same /64 now */
	join_it(w);
	assert_int_equal(only_flow(w).flow.way[FLOW_THERE].bytes, 1010);
	/* a tag that is taken out of the registry grades no more */
	hear(w, FIREFLY_START, k, CMS);
	see_plain(w, k, 1000)->source = SOURCE_B;
	join_it(w);
	assert_int_equal(bytes_of(w, GRADE_CLAIMED), 1000);
	join_set_registered(w->j, &fewer);
	see_plain(w, k, 1000)->source = SOURCE_B;
	join_it(w);
	assert_int_equal(bytes_of(w, GRADE_UNTAGGED), 1000);
	assert_int_equal(only_flow(w).flow.grade, GRADE_UNTAGGED);
	join_set_registered(w->j, &w->registered);
	see_label(w, k, CMS, 900000)->source = SOURCE_B;
	join_it(w);
	assert_int_equal(only_flow(w).flow.grade, GRADE_CONFIRMED);
	join_set_registered(w->j, &fewer);
	assert_int_equal(only_flow(w).flow.grade, GRADE_UNREGISTERED);
	join_set_registered(w->j, &w->registered);
	assert_int_equal(only_flow(w).flow.grade, GRADE_CONFIRMED);
	world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_is_both_its_ways),
		cmocka_unit_test(syn_after_the_end_is_a_new_flow),
		cmocka_unit_test(a_syn_of_the_way_back_comes_later),
		cmocka_unit_test(silence_ends_a_flow),
		cmocka_unit_test(a_label_alone_is_registered_an_option_confirmed),
		cmocka_unit_test(claims_and_wire_are_held_together),
		cmocka_unit_test(a_way_seen_alone_is_what_the_claim_says),
		cmocka_unit_test(a_few_samples_do_not_tell_the_way),
		cmocka_unit_test(headers_that_differ_stay_disagreed),
		cmocka_unit_test(a_folded_tag_is_moved_from_its_row),
		cmocka_unit_test(a_row_never_goes_below_nothing),
		cmocka_unit_test(rows_of_one_key_are_one),
		cmocka_unit_test(a_claim_may_come_late_and_ends_its_flow),
		cmocka_unit_test(a_claim_after_the_flow_still_grades_it),
		cmocka_unit_test(the_other_end_may_name_the_flow_the_other_way),
		cmocka_unit_test(samples_too_few_reverse_no_claim),
		cmocka_unit_test(ways_of_like_size_reverse_no_claim),
		cmocka_unit_test(a_last_look_finds_what_fits_by_one_port),
		cmocka_unit_test(a_claim_is_not_of_the_flow_before),
		cmocka_unit_test(a_claim_never_seen_leaves_a_row),
		cmocka_unit_test(a_second_start_makes_a_second_flow),
		cmocka_unit_test(a_stranger_grades_only_where_nobody_else_does),
		cmocka_unit_test(a_strangers_exact_claim_is_worth_less_than_one_port),
		cmocka_unit_test(who_does_not_mark_is_told_after_a_while),
		cmocka_unit_test(bytes_come_from_one_point),
		cmocka_unit_test(more_points_than_are_remembered_count_once),
		cmocka_unit_test(pairs_of_points_make_room_for_new_ones),
		cmocka_unit_test(two_points_may_see_one_way_each),
		cmocka_unit_test(every_points_rows_are_regraded),
		cmocka_unit_test(ordinary_flows_leave_first),
		cmocka_unit_test(a_strangers_claim_protects_no_flow),
		cmocka_unit_test(words_are_no_packets),
		cmocka_unit_test(a_flood_changes_no_sum),
		cmocka_unit_test(rows_of_a_second_are_limited_joined_ones_first),
		cmocka_unit_test(pairs_are_by_site_grade_and_tag),
		cmocka_unit_test(labelled_flows_are_counted_once_a_minute),
		cmocka_unit_test(a_way_that_changes_its_tag_counts_under_each),
		cmocka_unit_test(significance_is_held_against_unregistered_labels),
		cmocka_unit_test(one_flow_alone_is_not_significant),
		cmocka_unit_test(tails_are_right),
		cmocka_unit_test(a_host_with_too_many_registered_labels_is_noted),
		cmocka_unit_test(bit_19_is_learnt_by_host),
		cmocka_unit_test(long_flows_count_once),
		cmocka_unit_test(one_label_without_bit_19_unlearns_it),
		cmocka_unit_test(a_label_that_becomes_registered_is_a_transition),
		cmocka_unit_test(local_flows_are_not_followed),
		cmocka_unit_test(wire_and_claims_stand_in_a_matrix),
		cmocka_unit_test(questions_are_answered_in_order),
		cmocka_unit_test(every_grade_has_its_sentence),
		cmocka_unit_test(settings_may_change_between_seconds),
	};

	return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
