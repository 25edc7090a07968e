/* What the configuration says, in the join: relays, the order of points, sites; and that a reload changes them and
 * nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "observer/joiner.h"

#define T0 1767225600 /* 2026-01-01T00:00:00Z */

struct bed {
	struct store *store;
	struct registry_keeper *registry;
	struct joiner *joiner;
	uint16_t eth0, eth1;
	int64_t now_s;
};

static struct opt_texts texts(char **items, size_t n)
{
	return (struct opt_texts){.n = n, .items = items};
}

static void open_bed(struct bed *bed, const struct observer_config *cfg)
{
	const struct registry_keeper_config offline = {0};
	struct store_config config;

	store_config_default(&config);
	config.url = "sqlite::memory:";
	bed->now_s = T0;
	assert_int_equal(store_open(&bed->store, &config), 0);
	assert_int_equal(registry_keeper_open(&bed->registry, &offline), 0);
	bed->eth0 = store_source_id(bed->store, "eth0", SOURCE_CAPTURE);
	bed->eth1 = store_source_id(bed->store, "eth1", SOURCE_CAPTURE);
	assert_int_equal(joiner_open(&bed->joiner, cfg, bed->store, bed->registry), 0);
}

static void close_bed(struct bed *bed)
{
	joiner_close(bed->joiner);
	registry_keeper_close(bed->registry);
	store_close(bed->store);
}

/* One second in which both points saw flow `n` and `sender` told of it; the flow as it is then. */
static struct flow_view second(struct bed *bed, uint8_t n, uint8_t sender)
{
	struct seen seen[2] = {{
		.key = {.src_ip = {0x20, 1, 0x0d, 0xb8, 0, 1},
			.dst_ip = {0x20, 1, 0x0d, 0xb8, 0, 2},
			.src_port = 1094,
			.dst_port = 40000,
			.protocol = 17,
			.family = 6},
		.first_utc_us = bed->now_s * US_PER_S,
		.last_utc_us = bed->now_s * US_PER_S + 1,
		.packets = 1,
		.bytes = 1000,
		.samples = 1,
		.source = bed->eth0,
	}};
	struct heard heard = {
		.firefly = {.state = FIREFLY_START,
			    .tag = {3, 14},
			    .header_utc_us = FIREFLY_TIME_UNKNOWN,
			    .current_utc_us = bed->now_s * US_PER_S,
			    .start_utc_us = bed->now_s * US_PER_S,
			    .end_utc_us = FIREFLY_TIME_UNKNOWN,
			    .src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
			    .dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
			    .rtt_us = FIREFLY_RTT_UNSAID},
		.heard_utc_us = bed->now_s * US_PER_S,
		.sender_ip = {0x20, 1, 0x0d, 0xb8, [15] = sender},
	};
	const struct flow_question q = {.order = FLOW_BY_NEWEST,
					.now_utc_us = bed->now_s * US_PER_S};
	struct bucket *b = bucket_new(bed->now_s, 0, 0, 0);
	struct flow_view view;
	size_t matching;

	seen[0].key.src_ip[15] = seen[0].key.dst_ip[15] = n;
	seen[1] = seen[0];
	seen[1].source = bed->eth1;
	heard.firefly.key = seen[0].key;
	joiner_turn(bed->joiner);
	assert_int_equal(join_second(joiner_join(bed->joiner), b, seen, 2, &heard, 1), 0);
	bucket_free(b);
	assert_int_equal(join_flows(joiner_join(bed->joiner), &q, &view, 1, &matching), 1);
	assert_int_equal(view.flow.n_points, 2);
	assert_true(view.flow.has_claim);
	bed->now_s++;
	return view;
}

static void the_configuration_is_in_force_and_may_change(void **state)
{
	char cric[] = "/tmp/test_joiner.XXXXXX";
	char eth1[] = "eth1", eth0[] = "eth0", agent[] = "sflow:192.0.2.1";
	char relay[] = "2001:db8::99", next_relay[] = "2001:db8::98";
	char site[] = "SITE-A=2001:db8:1::/48";
	char *order[] = {eth1, agent, eth0}, *relays[] = {relay}, *own[] = {site};
	struct observer_config cfg = {.points_order = texts(order, 3),
				      .firefly_relays = texts(relays, 1),
				      .sites_own = texts(own, 1)};
	struct flow_view v;
	struct bed bed;
	FILE *f;

	(void)state;
	open_bed(&bed, &cfg);
	v = second(&bed, 1, 0x99);
	assert_int_equal(v.flow.point, bed.eth1);
	assert_int_equal(v.claim.provenance, CLAIM_FROM_RELAY);
	assert_int_equal(v.flow.src_site, store_site_id(bed.store, "SITE-A"));
	assert_int_equal(v.flow.dst_site, 0);
	/* what is not heard of yet has its number, and its kind */
	assert_true(store_source_find(bed.store, "sflow:192.0.2.1") > 0);
	v = second(&bed, 2, 0x98);
	assert_int_equal(v.claim.provenance, CLAIM_FROM_STRANGER);

	f = fdopen(mkstemp(cric), "w");
	fputs("{\"SITE-B\": {\"netroutes\": {\"R\": {\"networks\": {\"ipv6\": "
	      "[\"2001:db8:2::/48\"]}}}}}",
	      f);
	fclose(f);
	relays[0] = next_relay;
	cfg.points_order = texts(NULL, 0);
	cfg.sites_own = texts(NULL, 0);
	cfg.sites_cric = cric;
	joiner_reload(bed.joiner, &cfg);
	v = second(&bed, 3, 0x98);
	assert_int_equal(v.flow.point, bed.eth0); /* of equals the first */
	assert_int_equal(v.claim.provenance, CLAIM_FROM_RELAY);
	assert_int_equal(v.flow.src_site, 0);
	assert_int_equal(v.flow.dst_site, store_site_id(bed.store, "SITE-B"));
	v = second(&bed, 4, 0x99);
	assert_int_equal(v.claim.provenance, CLAIM_FROM_STRANGER);
	unlink(cric);
	close_bed(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_configuration_is_in_force_and_may_change),
	};

	log_open(LOG_LEVEL_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
