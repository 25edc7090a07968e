/* What comes in floods and what lasts for hours: the bounds of the join's tables, and claims in the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/clock.h"
#include "firefly/firefly.h"
#include "join/join.h"
#include "observer/aggregate.h"
#include "registry/registry.h"
#include "store/store.h"
#include "tests/day/world.h"

/* --- long flows in the store --------------------------------------------------------------------------- */

static uint64_t claimed_between(struct store *store, int64_t from_s, int64_t to_s, uint32_t step_s,
				uint64_t *least, uint64_t *most)
{
	const struct store_query q = {.from_utc_s = from_s,
				      .to_utc_s = to_s,
				      .step_s = step_s,
				      .group = DIM_BIT(DIM_EXPERIMENT),
				      .table = STORE_TABLE_CLAIMS};
	struct store_result *r;
	uint64_t sum = 0;

	*least = UINT64_MAX;
	*most = 0;
	assert_int_equal(store_query(store, &q, &r), 0);
	assert_true(r->n_series <= 1);
	for (size_t i = 0; r->n_series && i < r->n_points && step_s; i++) {
		const uint64_t bytes = r->series[0].points[i].bytes;

		sum += bytes;
		*least = bytes < *least ? bytes : *least;
		*most = bytes > *most ? bytes : *most;
	}
	if (r->n_series && !step_s)
		sum = r->series[0].total.bytes;
	store_result_free(r);
	return sum;
}

/* Announced at its START and its END two hours later: the bytes stand where they flowed. */
static void bytes_of_two_hours_are_two_hours_of_rate(void **state)
{
	enum { HOURS_2 = 7200, BEGIN = WORLD_T0 + 600, END = BEGIN + HOURS_2 };
	const uint64_t bytes = 7200000000001; /* no multiple of anything */
	const struct join_config join_config = {0};
	struct registry *registry = registry_builtin();
	struct store_config sc;
	struct store *store;
	struct join *j;
	struct heard heard = {
		.firefly = {.producer = FIREFLY_OURS,
			    .key = {.src_ip = {0x20, 1, 0x0d, 0xb8},
				    .dst_ip = {0x20, 1, 0x0d, 0xb8, [15] = 1},
				    .src_port = 1094,
				    .dst_port = 40000,
				    .protocol = 6,
				    .family = 6},
			    .tag = {3, 14},
			    .header_utc_us = FIREFLY_TIME_UNKNOWN,
			    .start_utc_us = BEGIN * US_PER_S,
			    .end_utc_us = FIREFLY_TIME_UNKNOWN,
			    .src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
			    .dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
			    .rtt_us = FIREFLY_RTT_UNSAID,
			    .application = "test"},
	};
	uint64_t least, most, all;

	(void)state;
	store_config_default(&sc);
	sc.url = "sqlite::memory:";
	assert_int_equal(store_open(&store, &sc), 0);
	assert_int_equal(join_open(&j, &join_config, store), 0);
	join_set_registered(j, &registry->pairs);
	memcpy(heard.sender_ip, heard.firefly.key.src_ip, 16);
	for (int64_t s = WORLD_T0; s < END + 600; s++) {
		struct bucket *b = bucket_new(s, 0, 0, 0);
		const int speaks = s == BEGIN || s == END;

		heard.heard_utc_us = heard.firefly.current_utc_us = s * US_PER_S;
		heard.firefly.state = s == BEGIN ? FIREFLY_START : FIREFLY_END;
		if (s == END) {
			heard.firefly.end_utc_us = END * US_PER_S;
			heard.firefly.src_to_dst_bytes = bytes;
			heard.firefly.dst_to_src_bytes = 5;
		}
		assert_int_equal(join_second(j, b, NULL, 0, &heard, (size_t)speaks), 0);
		store_put(store, b);
		if (s % 600 == 0) /* its queue holds 900 */
			assert_int_equal(store_flush(store, 20000), 0);
	}
	assert_int_equal(store_flush(store, 20000), 0);
	all = claimed_between(store, BEGIN, END, 60, &least, &most);
	assert_int_equal(all, bytes);
	assert_true(most - least <= 1); /* a gigabyte a second in each of its 120 minutes */
	assert_int_equal(least, bytes / 120);
	assert_int_equal(claimed_between(store, WORLD_T0, END + 600, 60, &least, &most), bytes);
	assert_int_equal(claimed_between(store, WORLD_T0, WORLD_T0 + 10800, 0, &least, &most),
			 bytes);
	/* any range, cut anywhere on a minute, has the minutes that are in it */
	for (int64_t cut = BEGIN; cut <= END; cut += 780)
		assert_int_equal(claimed_between(store, WORLD_T0, cut, 60, &least, &most) +
					 claimed_between(store, cut, END + 600, 60, &least, &most),
				 bytes);
	join_close(j);
	store_close(store);
	registry_free(registry);
}

/* --- a flood -------------------------------------------------------------------------------------------- */

#define FALSE_CLAIMS 5000000
#define FALSE_FLOWS  1000000
#define FLOOD_S      100

static void flood_key(struct flow_key *key, uint32_t number, uint8_t net)
{
	static const uint8_t documentation[16] = {0x20, 0x01, 0x0d, 0xb8, 0xff};

	memset(key, 0, sizeof(*key));
	memcpy(key->src_ip, documentation, 16);
	memcpy(key->dst_ip, documentation, 16);
	key->src_ip[5] = key->dst_ip[5] = net;
	key->dst_ip[7] = 1;
	memcpy(key->src_ip + 12, &number, 4);
	memcpy(key->dst_ip + 12, &number, 4);
	key->src_port = (uint16_t)(1024 + number % 60000);
	key->dst_port = 443;
	key->protocol = 6;
	key->family = 6;
}

/* Datagrams of one second from anybody's address: half pretend to be an end of what they tell of. */
static void false_claims(struct world *w, struct heard *out, size_t n, uint32_t first)
{
	for (size_t i = 0; i < n; i++) {
		struct heard *h = &out[i];

		h->firefly.tag = w->tags[i % WORLD_TAGS];
		flood_key(&h->firefly.key, first + (uint32_t)i, 1);
		h->heard_utc_us = h->firefly.current_utc_us = h->firefly.start_utc_us =
			w->now_s * US_PER_S;
		memcpy(h->sender_ip, h->firefly.key.src_ip, 16);
		h->sender_ip[8] = (uint8_t)(i & 1);
	}
}

static void false_flows(struct world *w, struct seen *out, size_t n, uint32_t first)
{
	for (size_t i = 0; i < n; i++) {
		const uint32_t label = 1 + world_below(w, SCITAG_LABEL_MASK);
		struct packet p = {.label = label};
		struct observation o = {.utc_us = w->now_s * US_PER_S,
					.frame_bytes = 100,
					.ip_bytes = 86,
					.weight = 1,
					.label = label,
					.source = WORLD_SOURCE,
					.direction = DIRECTION_IN};

		flood_key(&o.key, first + (uint32_t)i, 2);
		packet_tag(&o.tag, &p, &w->registry->pairs);
		aggregate_add(w->aggregate, &o);
		out[i] = (struct seen){.key = o.key,
				       .first_utc_us = o.utc_us,
				       .last_utc_us = o.utc_us,
				       .packets = 1,
				       .bytes = 100,
				       .ip_bytes = 86,
				       .samples = 1,
				       .label = label,
				       .source = o.source,
				       .direction = o.direction,
				       .tag = o.tag};
	}
}

static uint64_t memory_bytes(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_maxrss << 10;
}

/* The rows before and after the join, by tag: regrading moves nothing between tags, whoever claims what. */
static void check_totals(const struct traffic_row *rows, size_t n_rows, const struct bucket *b,
			 int64_t *by_tag)
{
	int64_t all = 0;

	for (size_t i = 0; i < n_rows; i++) {
		all += (int64_t)rows[i].value.bytes;
		if (rows[i].key.experiment > 0 && rows[i].key.grade != GRADE_UNREGISTERED)
			by_tag[rows[i].key.experiment << 6 | rows[i].key.activity] +=
				(int64_t)rows[i].value.bytes;
	}
	for (size_t i = 0; i < b->n_rows; i++) {
		all -= (int64_t)b->rows[i].value.bytes;
		if (b->rows[i].key.experiment > 0 && b->rows[i].key.grade != GRADE_UNREGISTERED)
			by_tag[b->rows[i].key.experiment << 6 | b->rows[i].key.activity] -=
				(int64_t)b->rows[i].value.bytes;
	}
	assert_int_equal(all, 0);
	for (uint32_t code = 0; code < SCITAG_LABEL_CODES; code++)
		assert_int_equal(by_tag[code], 0);
}

static void a_flood_moves_no_byte_and_is_bounded(void **state)
{
	enum { CLAIMS_PER_S = FALSE_CLAIMS / FLOOD_S, FLOWS_PER_S = FALSE_FLOWS / FLOOD_S };
	const struct world_config cfg = {
		.seed = 4, .n_flows = 2000, .seconds = 60, .life_max_s = 60, .sample_one_in = 1};
	const struct join_config join = {.flows_max = 65536, .claims_max = 65536};
	struct heard *heard = calloc(CLAIMS_PER_S + 1000, sizeof(*heard));
	struct seen *seen = calloc(FLOWS_PER_S + 5000, sizeof(*seen));
	struct traffic_row *rows = calloc(SCITAG_CODES, sizeof(*rows));
	int64_t *by_tag = calloc(SCITAG_CODES, sizeof(*by_tag));
	struct join_status status;
	struct world *w = world_open(&cfg, &join);
	uint64_t wrong = 0, told = 0, before_bytes;

	(void)state;
	for (size_t i = 0; i < CLAIMS_PER_S; i++)
		heard[i].firefly = (struct firefly){.state = FIREFLY_START,
						    .producer = FIREFLY_OTHER,
						    .header_utc_us = FIREFLY_TIME_UNKNOWN,
						    .end_utc_us = FIREFLY_TIME_UNKNOWN,
						    .src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
						    .dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
						    .rtt_us = FIREFLY_RTT_UNSAID,
						    .application = "flood"};
	before_bytes = memory_bytes();
	for (uint32_t s = 0; s < cfg.seconds + 2 * cfg.life_max_s + 200; s++) {
		const int floods = s < FLOOD_S;
		struct bucket *b;
		size_t n_heard, n_rows;

		n_heard = world_prepare(w);
		if (floods) {
			false_claims(w, heard + n_heard, CLAIMS_PER_S, s * CLAIMS_PER_S);
			false_flows(w, seen + w->n_seen, FLOWS_PER_S, s * FLOWS_PER_S);
		}
		memcpy(heard, w->arrived, n_heard * sizeof(*heard));
		memcpy(seen, w->seen, w->n_seen * sizeof(*seen));
		n_rows = aggregate_rows(w->aggregate);
		b = bucket_new(w->now_s, n_rows, 0, 0);
		b->n_rows = n_rows = aggregate_take(w->aggregate, b->rows);
		memcpy(rows, b->rows, n_rows * sizeof(*rows));
		assert_int_equal(join_second(w->join, b, seen,
					     w->n_seen + (floods ? FLOWS_PER_S : 0), heard,
					     n_heard + (floods ? CLAIMS_PER_S : 0)),
				 0);
		check_totals(rows, n_rows, b, by_tag);
		for (size_t i = 0; i < b->n_flows; i++) {
			int turned;
			struct world_flow *f = world_find(w, &b->flows[i].key, &turned);

			if (!f || !b->flows[i].samples)
				continue;
			told++;
			if (!world_is_told_right(w, f, &b->flows[i])) {
				world_describe(f, &b->flows[i], "in the flood");
				wrong++;
			}
		}
		bucket_free(b);
		w->now_s++;
	}
	join_status(w->join, &status);
	print_message("%d claims and %d flows: %" PRIu64 " and %" PRIu64 " evicted; %" PRIu64
		      " MiB of at most %" PRIu64 " MiB; %" PRIu64 " honest flows told, %" PRIu64
		      " of them wrong\n",
		      FALSE_CLAIMS, FALSE_FLOWS, status.claims_evicted, status.flows_evicted,
		      status.memory_bytes >> 20, status.memory_max_bytes >> 20, told, wrong);
	assert_true(status.claims <= 65536 && status.flows <= 65536);
	/* who is heard of from an end of the flow, and goes on sending, is not pushed out */
	assert_int_equal(wrong, 0);
	assert_true(told >= 1000);
	assert_true(status.memory_bytes <= status.memory_max_bytes);
	assert_true(memory_bytes() - before_bytes <= status.memory_max_bytes + (64 << 20));
	assert_true(status.claims_evicted >= FALSE_CLAIMS - 2 * 65536);
	assert_true(status.flows_evicted + status.flows_ended >= FALSE_FLOWS);
	assert_int_equal(status.flows_begun,
			 status.flows_ended + status.flows_evicted + status.flows);
	free(heard);
	free(seen);
	free(rows);
	free(by_tag);
	world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_of_two_hours_are_two_hours_of_rate),
		cmocka_unit_test(a_flood_moves_no_byte_and_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
