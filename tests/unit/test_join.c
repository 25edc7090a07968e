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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_is_both_its_ways),
		cmocka_unit_test(syn_after_the_end_is_a_new_flow),
		cmocka_unit_test(silence_ends_a_flow),
		cmocka_unit_test(a_label_alone_is_registered_an_option_confirmed),
		cmocka_unit_test(claims_and_wire_are_held_together),
	};

	(void)DEAD;
	return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
