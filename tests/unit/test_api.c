/* Questions to the API without HTTP, over a real store filled with seconds whose sums are worked out
 * here by hand. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "registry/keeper.h"
#include "store/store.h"
#include "web/api.h"
#include "web/sse.h"

/* date -ud 2026-01-10T08:00:00Z +%s */
#define T 1768032000LL

static struct {
	char dir[64];
	struct api api;
	int eth1, agent, sflow, firefly; /* source ids */
} f;

/* --- what happened ------------------------------------------------------------------------------- */

static struct traffic_row row(int source, enum direction direction, uint8_t family,
			      enum scitag_carrier carrier, enum scitag_grade grade, int experiment,
			      int activity, uint64_t packets, uint64_t bytes, uint64_t samples)
{
	return (struct traffic_row){
		.key = {(uint16_t)source, direction, family, carrier, grade, experiment, activity},
		.value = {packets, bytes, bytes - 14 * packets, samples, 0, 1},
	};
}

/* T, the first second:
 *   eth1  in  IPv6 label registered   3/14 cms "Analysis Input"     10 packets  15,000 bytes
 *   eth1  in  IPv6 label unregistered 393/7                          2 packets   3,000 bytes
 *   eth1  in  IPv6 label unregistered three others, folded           3 packets     300 bytes
 *   eth1  out IPv4 untagged                                          5 packets   5,000 bytes
 *   agent in  IPv6 destination confirmed 2/17 atlas "Analysis Input", one sample of 1 in 1000:
 *         1,000 packets of 1,500 bytes, variance 1000 * 999 * 1500^2 = 2.24775e12
 *   fireflies: 2 started, 1 went on, 3 ended
 * T + 1: the first row again with 1 packet of 1,500 bytes, and 7 packets of 1,000 bytes of it out.
 * ip_bytes are 14 less a packet everywhere. */
static void put_seconds(void)
{
	struct bucket *b = bucket_new(T, 5, 1, 0);

	b->rows[0] =
		row(f.eth1, DIRECTION_IN, 6, CARRIER_LABEL, GRADE_REGISTERED, 3, 14, 10, 15000, 10);
	b->rows[1] =
		row(f.eth1, DIRECTION_IN, 6, CARRIER_LABEL, GRADE_UNREGISTERED, 393, 7, 2, 3000, 2);
	b->rows[2] = row(f.eth1, DIRECTION_IN, 6, CARRIER_LABEL, GRADE_UNREGISTERED, STORE_FOLDED,
			 STORE_FOLDED, 3, 300, 3);
	b->rows[2].value.codes = 3;
	b->rows[3] = row(f.eth1, DIRECTION_OUT, 4, CARRIER_NONE, GRADE_UNTAGGED, 0, 0, 5, 5000, 5);
	b->rows[4] = row(f.agent, DIRECTION_IN, 6, CARRIER_DESTINATION, GRADE_CONFIRMED, 2, 17,
			 1000, 1500000, 1);
	b->rows[4].value.bytes_variance = 2.24775e12;
	b->claims[0] = (struct claim_row){.experiment = 3,
					  .activity = 14,
					  .family = 6,
					  .starts = 2,
					  .ongoings = 1,
					  .ends = 3};
	live_add(f.api.live, b);
	store_put(f.api.store, b);

	b = bucket_new(T + 1, 2, 0, 4);
	b->rows[0] =
		row(f.eth1, DIRECTION_IN, 6, CARRIER_LABEL, GRADE_REGISTERED, 3, 14, 1, 1500, 1);
	b->rows[1] =
		row(f.eth1, DIRECTION_OUT, 6, CARRIER_LABEL, GRADE_REGISTERED, 3, 14, 7, 7000, 7);
	b->sources[0] = (struct source_status){.id = (uint16_t)f.eth1,
					       .kind = SOURCE_CAPTURE,
					       .up = 1,
					       .name = "eth1",
					       .unit = "packets",
					       .detail = "libpcap",
					       .received = 25,
					       .accepted = 20,
					       .bytes = 23300,
					       .rejected = {{"short", 2}, {"malformed", 1}},
					       .dropped = {{"kernel", 2}},
					       .first_seen_utc_s = T,
					       .last_seen_utc_s = T};
	b->sources[1] = (struct source_status){.id = (uint16_t)f.sflow,
					       .kind = SOURCE_SFLOW_INPUT,
					       .up = 1,
					       .name = "sflow:[::]:6343",
					       .unit = "datagrams",
					       .received = 1,
					       .accepted = 1,
					       .bytes = 200,
					       .first_seen_utc_s = T,
					       .last_seen_utc_s = T};
	b->sources[2] = (struct source_status){.id = (uint16_t)f.agent,
					       .parent = (uint16_t)f.sflow,
					       .kind = SOURCE_SFLOW_AGENT,
					       .up = 1,
					       .name = "sflow:192.0.2.254",
					       .unit = "samples",
					       .received = 1,
					       .accepted = 1,
					       .lost = 4,
					       .agent_drops = 5,
					       .sampling_rate = 1000,
					       .effective_rate = 1000.5,
					       .if_speed_bps = 100000000000,
					       .if_bytes_per_s = 1600000,
					       .flow_bytes_per_s = 1500000,
					       .first_seen_utc_s = T,
					       .last_seen_utc_s = T};
	b->sources[3] = (struct source_status){.id = (uint16_t)f.firefly,
					       .kind = SOURCE_FIREFLY_INPUT,
					       .up = 0,
					       .name = "firefly:[::]:10514",
					       .unit = "datagrams",
					       .detail = "the port is taken",
					       .first_seen_utc_s = CLOCK_NEVER,
					       .last_seen_utc_s = CLOCK_NEVER};
	live_add(f.api.live, b);
	store_put(f.api.store, b);
	assert_int_equal(store_flush(f.api.store, 5000), 0);
}

static int open_all(void **state)
{
	struct registry_keeper_config rc = {0};
	struct store_config sc;
	char url[128];

	strcpy(f.dir, "/tmp/test_api.XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	snprintf(url, sizeof(url), "sqlite:%s/o.db", f.dir);
	store_config_default(&sc);
	sc.url = url;
	sc.keep_10s_s = sc.keep_1m_s = sc.keep_10m_s = sc.keep_1h_s = 0; /* T is long ago */
	assert_int_equal(store_open(&f.api.store, &sc), 0);
	assert_int_equal(registry_keeper_open(&f.api.registry, &rc), 0);
	f.api.live = live_open();
	f.api.metrics = metrics_open();
	f.api.version = "1.2.3";
	f.api.started_utc_us = (T - 1000) * US_PER_S;
	f.eth1 = store_source_id(f.api.store, "eth1", SOURCE_CAPTURE);
	f.sflow = store_source_id(f.api.store, "sflow:[::]:6343", SOURCE_SFLOW_INPUT);
	f.agent = store_source_id(f.api.store, "sflow:192.0.2.254", SOURCE_SFLOW_AGENT);
	f.firefly = store_source_id(f.api.store, "firefly:[::]:10514", SOURCE_FIREFLY_INPUT);
	put_seconds();
	return 0;
}

static int close_all(void **state)
{
	char command[128];

	metrics_close(f.api.metrics);
	live_close(f.api.live);
	store_close(f.api.store);
	registry_keeper_close(f.api.registry);
	snprintf(command, sizeof(command), "rm -r '%s'", f.dir);
	return system(command);
}

/* --- asking --------------------------------------------------------------------------------------- */

static struct answer ask_at(const char *uri, int64_t now_utc_s)
{
	char copy[2048];
	struct answer a = {0};
	const struct api_route *route;
	struct query q;
	const char *why;

	snprintf(copy, sizeof(copy), "%s", uri);
	assert_int_equal(query_parse(&q, copy, &why), 0);
	route = api_find(q.path);
	assert_non_null(route);
	api_answer(&f.api, route, &q, now_utc_s * US_PER_S, &a);
	assert_non_null(a.body);
	assert_int_equal(strlen(a.body), a.len_bytes);
	return a;
}

static json_t *ask_status(const char *uri, unsigned int status)
{
	struct answer a = ask_at(uri, T + 2);
	json_t *json = json_loads(a.body, 0, NULL);

	if (a.status != status || !json)
		fail_msg("%s: %u %s", uri, a.status, a.body);
	assert_string_equal(a.type,
			    status == 200 ? "application/json" : "application/problem+json");
	answer_free(&a);
	return json;
}

static json_t *ask(const char *uri)
{
	return ask_status(uri, 200);
}

/* Takes both; `want` is JSON with ' for ". */
static void assert_json(json_t *got, const char *want)
{
	char text[8192];
	json_error_t error;
	json_t *wanted;
	size_t n = strlen(want);

	assert_true(n < sizeof(text));
	for (size_t i = 0; i <= n; i++)
		text[i] = want[i] == '\'' ? '"' : want[i];
	wanted = json_loads(text, JSON_DECODE_ANY, &error);
	if (!wanted)
		fail_msg("the test's own JSON: %s at %d", error.text, error.position);
	if (!json_equal(got, wanted)) {
		char *a = json_dumps(got, JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
		char *b = json_dumps(wanted, JSON_SORT_KEYS | JSON_REAL_PRECISION(12));

		print_error("\n got %s\nwant %s\n", a, b); /* fail_msg would cut it short */
		fail();
	}
	json_decref(wanted);
	json_decref(got);
}

#define RANGE  "from=2026-01-10T08:00:00Z&to=2026-01-10T08:00:02Z"
#define DECADE "from=2026-01-10T08:00:00Z&to=2026-01-10T08:00:20Z" /* for the steps on disk */

/* --- series ----------------------------------------------------------------------------------------- */

static void series_of_experiments_second_by_second(void **state)
{
	/* error of atlas: 1.96 * sqrt(2.24775e12) = 2938529.63 */
	assert_json(ask("/api/v1/series?" RANGE "&step=1s&group=experiment"),
		    "{'from': '2026-01-10T08:00:00Z', 'to': '2026-01-10T08:00:02Z', 'step_s': 1,"
		    " 'group': ['experiment'], 'unit': 'bytes', 'gaps': [], 'series': ["
		    "{'key': {'experiment_id': 2, 'experiment': 'atlas'}, 'rest': false, 'bytes': "
		    "[1500000, 0],"
		    " 'error_bytes': [2938530, 0], 'samples': [1, 0], 'total': 1500000, "
		    "'total_error': 2938530},"
		    "{'key': {'experiment_id': 3, 'experiment': 'cms'}, 'rest': false, 'bytes': "
		    "[15000, 8500],"
		    " 'error_bytes': [0, 0], 'samples': [10, 8], 'total': 23500, 'total_error': 0},"
		    "{'key': {'experiment_id': 0, 'experiment': '(untagged)'}, 'rest': false, "
		    "'bytes': [5000, 0],"
		    " 'error_bytes': [0, 0], 'samples': [5, 0], 'total': 5000, 'total_error': 0},"
		    "{'key': {'experiment_id': 393, 'experiment': '393'}, 'rest': false, 'bytes': "
		    "[3000, 0],"
		    " 'error_bytes': [0, 0], 'samples': [2, 0], 'total': 3000, 'total_error': 0},"
		    "{'key': {'experiment_id': -1, 'experiment': '(other unregistered)'}, 'rest': "
		    "false,"
		    " 'bytes': [300, 0], 'error_bytes': [0, 0], 'samples': [3, 0], 'total': 300,"
		    " 'total_error': 0}]}");
}

static void series_in_packets_has_no_error(void **state)
{
	assert_json(ask("/api/v1/series?" RANGE "&step=1&group=&unit=packets"),
		    "{'from': '2026-01-10T08:00:00Z', 'to': '2026-01-10T08:00:02Z', 'step_s': 1,"
		    " 'group': [], 'unit': 'packets', 'gaps': [], 'series': ["
		    "{'key': {}, 'rest': false, 'packets': [1020, 8], 'samples': [21, 8], 'total': "
		    "1028}]}");
}

static void series_keeps_the_largest_and_sums_the_rest(void **state)
{
	/* beyond atlas: 23500 + 5000 + 3000 + 300 */
	assert_json(
		ask("/api/v1/series?" DECADE "&step=10s&group=experiment&limit=1&unit=ip_bytes"),
		"{'from': '2026-01-10T08:00:00Z', 'to': '2026-01-10T08:00:20Z', 'step_s': 10,"
		" 'group': ['experiment'], 'unit': 'ip_bytes', 'gaps': [], 'series': ["
		"{'key': {'experiment_id': 2, 'experiment': 'atlas'}, 'rest': false,"
		" 'ip_bytes': [1486000, 0], 'error_bytes': [2938530, 0], 'samples': [1, 0],"
		" 'total': 1486000, 'total_error': 2938530},"
		"{'key': {}, 'rest': true, 'ip_bytes': [31408, 0], 'error_bytes': [0, 0],"
		" 'samples': [28, 0], 'total': 31408, 'total_error': 0}]}");
}

static void a_series_knows_every_dimension(void **state)
{
	assert_json(ask("/api/v1/series?" DECADE
			"&group=source,direction,family,carrier,grade,activity,experiment"
			"&filter=activity%3D%22Analysis%20input%22+and+source%3Deth1+and+direction%"
			"3Din"),
		    "{'from': '2026-01-10T08:00:00Z', 'to': '2026-01-10T08:00:20Z', 'step_s': 1,"
		    " 'group': ['experiment', 'activity', 'grade', 'carrier', 'family', "
		    "'direction', 'source'],"
		    " 'unit': 'bytes', 'gaps': [], 'series': [{'key': {'experiment_id': 3,"
		    " 'experiment': 'cms', 'activity_id': 14, 'activity': 'Analysis Input',"
		    " 'grade': 'registered', 'carrier': 'label', 'family': 6, 'direction': 'in',"
		    " 'source': 'eth1'}, 'rest': false,"
		    " 'bytes': [15000, 1500, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],"
		    " 'error_bytes': [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],"
		    " 'samples': [10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],"
		    " 'total': 16500, 'total_error': 0}]}");
}

static int64_t step_of(const char *from, const char *to, int64_t now_utc_s)
{
	char uri[256];
	struct answer a;
	json_t *json;
	int64_t step_s;

	snprintf(uri, sizeof(uri), "/api/v1/series?from=%s&to=%s&group=", from, to);
	a = ask_at(uri, now_utc_s);
	json = json_loads(a.body, 0, NULL);
	if (a.status != 200)
		fail_msg("%s: %s", uri, a.body);
	step_s = json_integer_value(json_object_get(json, "step_s"));
	json_decref(json);
	answer_free(&a);
	return step_s;
}

static void the_step_is_chosen_by_the_range(void **state)
{
	assert_int_equal(step_of("-15m", "now", T + 2), 1);
	assert_int_equal(step_of("-901s", "now", T + 2), 10);
	assert_int_equal(step_of("-15m", "now", T + 2 + 86400), 1);
	assert_int_equal(step_of("-20m", "-10m", T + 2), 10);  /* begins before the live ring */
	assert_int_equal(step_of("-15m", "now", T - 500), 10); /* the ring began 500 s ago */
	assert_int_equal(step_of("-1h", "now", T + 2), 10);
	assert_int_equal(step_of("-1d", "now", T + 2),
			 300); /* 86400/120 = 720, and two at the ends */
	assert_int_equal(step_of("-7d", "now", T + 2), 1200);
	assert_int_equal(step_of("-1y", "now", T + 2), 86400);
	assert_int_equal(step_of("-4y", "now", T + 2), 3 * 86400);
}

static void an_automatic_series_has_at_most_720_points(void **state)
{
	static const int64_t steps_s[] = {10, 60, 300, 3600, 43200, 86400, 259200};
	int64_t now = 40LL * 365 * 86400 + 7; /* a moment that no step divides */

	for (size_t i = 0; i < sizeof(steps_s) / sizeof(steps_s[0]); i++) {
		for (int64_t n = 1434; n < 1446;
		     n++) { /* half steps about where the next one begins */
			int64_t range_s = n * steps_s[i] / 2, step_s;
			char from[32];

			snprintf(from, sizeof(from), "-%llds", (long long)range_s);
			step_s = step_of(from, "now", now);
			assert_true((now + step_s - 1) / step_s - (now - range_s) / step_s <= 720);
		}
	}
}

/* --- top --------------------------------------------------------------------------------------------- */

static void top_is_sorted_by_its_unit(void **state)
{
	/* packets: 1000 + 18 + 5 = 1023 */
	json_t *got = ask("/api/v1/top?" RANGE "&step=1s&group=grade&unit=packets&filter="
			  "not+grade%3Dunregistered");

	assert_json(
		json_incref(json_object_get(got, "rows")),
		"[{'key': {'grade': 'confirmed'}, 'bytes': 1500000, 'error_bytes': 2938530,"
		"  'ip_bytes': 1486000, 'packets': 1000, 'samples': 1, 'share': 0.977517106549,"
		"  'rest': false},"
		" {'key': {'grade': 'registered'}, 'bytes': 23500, 'error_bytes': 0, 'ip_bytes': "
		"23248,"
		"  'packets': 18, 'samples': 18, 'share': 0.0175953079179, 'rest': false},"
		" {'key': {'grade': 'untagged'}, 'bytes': 5000, 'error_bytes': 0, 'ip_bytes': 4930,"
		"  'packets': 5, 'samples': 5, 'share': 0.00488758553275, 'rest': false}]");
	json_decref(got);
}

static size_t rows_of(const char *filter)
{
	char uri[256];
	json_t *got;
	size_t n;

	snprintf(uri, sizeof(uri), "/api/v1/top?" RANGE "&step=1s&filter=%s", filter);
	got = ask(uri);
	n = json_array_size(json_object_get(got, "rows"));
	json_decref(got);
	return n;
}

static void names_that_are_shown_can_be_filtered_by(void **state)
{
	/* five tags: atlas, cms, untagged, 393/7 and the rest */
	assert_int_equal(rows_of(""), 5);
	assert_int_equal(rows_of("experiment=%22(untagged)%22"), 1);
	assert_int_equal(rows_of("experiment=%22(other%20unregistered)%22"), 1);
	assert_int_equal(rows_of("not+experiment=-1"), 4);
	assert_int_equal(rows_of("experiment=393"), 1);
	assert_int_equal(rows_of("experiment=ATLAS+or+experiment=3"), 2);
	assert_int_equal(rows_of("activity=analysis_input"), 2); /* 17 of atlas, 14 of cms */
	assert_int_equal(rows_of("experiment=cms+and+activity=%22Analysis%20Input%22"), 1);
	assert_int_equal(rows_of("experiment=cms+and+activity=17"), 0);
	assert_int_equal(rows_of("source=%22sflow:192.0.2.254%22"), 1);
	assert_int_equal(rows_of("source=eth1+and+grade=unregistered"), 2);
}

static void top_from_disk_equals_top_from_memory(void **state)
{
	json_t *memory = ask("/api/v1/top?" DECADE "&step=1s");
	json_t *disk = ask("/api/v1/top?" DECADE "&step=10s");

	assert_int_equal(json_array_size(json_object_get(disk, "rows")), 5);
	assert_true(json_equal(memory, disk));
	json_decref(memory);
	json_decref(disk);
}

/* --- coverage ------------------------------------------------------------------------------------------ */

static void coverage_measures_and_subtracts_the_noise(void **state)
{
	/* bytes: 15000 + 3000 + 300 + 5000 + 1500000 + 1500 + 7000 = 1531800, packets 1028.
	 * Noise: 3300 bytes, 5 packets on 32768 - 114 = 32654 code points: 0.101059594537 bytes,
	 * 0.000153120597783 packets each; 114 pairs show 11.5207937772 bytes by chance, which is
	 * 0.00049024654371 of the 23500 registered label bytes.
	 * Tagged: (1500000 + 23500) / 1531800 = 0.99458153806, less 11.52: 0.994574016978. */
	assert_json(
		ask("/api/v1/coverage?" RANGE),
		"{'from': '2026-01-10T08:00:00Z', 'to': '2026-01-10T08:00:02Z', 'bytes': 1531800,"
		" 'packets': 1028, 'grades': ["
		"{'grade': 'untagged', 'bytes': 5000, 'packets': 5, 'error_bytes': 0,"
		" 'share': 0.00326413369892},"
		"{'grade': 'unregistered', 'bytes': 3300, 'packets': 5, 'error_bytes': 0,"
		" 'share': 0.00215432824128},"
		"{'grade': 'registered', 'bytes': 23500, 'packets': 18, 'error_bytes': 0,"
		" 'share': 0.0153414283849},"
		"{'grade': 'confirmed', 'bytes': 1500000, 'packets': 1000, 'error_bytes': 2938530,"
		" 'share': 0.979240109675},"
		"{'grade': 'disagree', 'bytes': 0, 'packets': 0, 'error_bytes': 0, 'share': 0.0},"
		"{'grade': 'claimed', 'bytes': 0, 'packets': 0, 'error_bytes': 0, 'share': 0.0}],"
		"'carriers': [{'carrier': 'none', 'bytes': 5000, 'packets': 5, 'share': "
		"0.00326413369892},"
		"{'carrier': 'label', 'bytes': 26800, 'packets': 23, 'share': 0.0174957566262},"
		"{'carrier': 'destination', 'bytes': 1500000, 'packets': 1000, 'share': "
		"0.979240109675},"
		"{'carrier': 'hop-by-hop', 'bytes': 0, 'packets': 0, 'share': 0.0},"
		"{'carrier': 'hop-by-hop+destination', 'bytes': 0, 'packets': 0, 'share': 0.0}],"
		"'directions': [{'direction': 'unknown', 'bytes': 0, 'packets': 0},"
		"{'direction': 'in', 'bytes': 1519800, 'packets': 1016},"
		"{'direction': 'out', 'bytes': 12000, 'packets': 12},"
		"{'direction': 'internal', 'bytes': 0, 'packets': 0},"
		"{'direction': 'transit', 'bytes': 0, 'packets': 0}],"
		"'families': [{'family': 4, 'bytes': 5000, 'packets': 5},"
		"{'family': 6, 'bytes': 1526800, 'packets': 1023}, {'family': 0, 'bytes': 0, "
		"'packets': 0}],"
		"'noise': {'unregistered_label_bytes': 3300, 'unregistered_label_packets': 5,"
		" 'unregistered_code_points': 32654, 'floor_bytes_per_code_point': 0.101059594537,"
		" 'floor_packets_per_code_point': 0.000153120597783, 'registered_label_pairs': 114,"
		" 'expected_registered_bytes': 11.5207937772, 'share': 0.00049024654371},"
		"'tagged_share': 0.99458153806, 'tagged_share_corrected': 0.994574016978,"
		"'label_flows': {'from': '2026-01-10T08:00:00Z', 'to': '2026-01-10T08:01:00Z',"
		" 'unregistered_flows': 0, 'expected_flows_per_pair': 0.0, 'tags': []},"
		"'tags_now': [], 'sites': [], 'senders': []}");
}

static void coverage_of_nothing_is_zero(void **state)
{
	json_t *got = ask("/api/v1/coverage?from=2026-01-09T08:00:00Z&to=2026-01-09T09:00:00Z");

	assert_json(json_incref(json_object_get(got, "noise")),
		    "{'unregistered_label_bytes': 0, 'unregistered_label_packets': 0,"
		    " 'unregistered_code_points': 32654, 'floor_bytes_per_code_point': 0.0,"
		    " 'floor_packets_per_code_point': 0.0, 'registered_label_pairs': 114,"
		    " 'expected_registered_bytes': 0.0, 'share': 0.0}");
	assert_true(json_real_value(json_object_get(got, "tagged_share")) == 0);
	assert_int_equal(json_integer_value(json_object_get(got, "bytes")), 0);
	json_decref(got);
}

/* --- problems -------------------------------------------------------------------------------------------- */

static const struct {
	const char *uri, *parameter;
	int at; /* -1: none */
	const char *says;
} refused[] = {
	{"/api/v1/series?form=-1h", "form", -1, "did you mean \"from\"?"},
	{"/api/v1/series?xyzzy=1", "xyzzy", -1, "has no parameter \"xyzzy\""},
	{"/api/v1/coverage?step=10s", "step", -1, "/api/v1/coverage has no parameter"},
	{"/healthz?x=", "x", -1, "has no parameter"},
	{"/api/v1/series?from=yesterday", "from", -1, "RFC 3339"},
	{"/api/v1/series?from=-1", "from", -1, "RFC 3339"},
	{"/api/v1/series?from=-1q", "from", -1, "RFC 3339"},
	{"/api/v1/series?to=-999999999y", "to", -1, "RFC 3339"},
	{"/api/v1/series?from=now&to=-1h", "from", -1, "before"},
	{"/api/v1/series?from=now", "from", -1, "before"},
	{"/api/v1/series?step=7s", "step", -1, "multiple of 10"},
	{"/api/v1/series?step=0", "step", -1, "multiple of 10"},
	{"/api/v1/series?from=-2d&step=10s", "step", -1, "more than 11000 points"},
	{"/api/v1/series?group=grade,experimnt", "group", 6, "did you mean \"experiment\"?"},
	{"/api/v1/series?group=src_site,source", "group", -1,
	 "src_site and source are not recorded together"},
	{"/api/v1/top?group=carrier&filter=src_site%3D0", "filter", -1,
	 "src_site and carrier are not recorded together"},
	{"/api/v1/series?filter=site%3DAtlantis", "filter", 5, "no site 'Atlantis'"},
	{"/api/v1/series?unit=bits", "unit", -1, "bytes, ip_bytes, packets or end_bytes"},
	{"/api/v1/series?unit=end_bytes", "unit", -1, "of claims"},
	{"/api/v1/top?group=application&unit=packets", "unit", -1, "bytes and end_bytes"},
	{"/api/v1/claims?group=grade", "group", -1, "grade is not recorded of claims"},
	{"/api/v1/claims?filter=site%3D0", "filter", -1, "src_site is not recorded of claims"},
	{"/api/v1/durations?group=family", "group", -1, "by experiment and activity only"},
	{"/api/v1/durations?kind=rate", "kind", -1, "one of duration, bytes"},
	{"/api/v1/flows?order=size", "order", -1, "one of bytes, rate, newest, duration"},
	{"/api/v1/flows?grade=confirmed,claim", "grade", 10, "did you mean \"claimed\"?"},
	{"/api/v1/flows?oddity=dead", "oddity", 0, "there is no \"dead\""},
	{"/api/v1/flows?claim=maybe", "claim", -1, "one of nothing, yes, no"},
	{"/api/v1/flows?limit=10001", "limit", -1, "1 to 10000"},
	{"/api/v1/flows?to=-1m", "to", -1, "state=ended"},
	{"/api/v1/series?limit=0", "limit", -1, "1 to 2000"},
	{"/api/v1/series?limit=2001", "limit", -1, "1 to 2000"},
	{"/api/v1/series?limit=10x", "limit", -1, "1 to 2000"},
	{"/api/v1/series?filter=experiment%3Dcms+and+", "filter", 19, ""},
	{"/api/v1/series?filter=experiment%3Dnobody", "filter", 11, "nobody"},
	{"/api/v1/decode", "value", -1, "missing"},
};

static void what_is_wrong_is_named(void **state)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		json_t *p = ask_status(refused[i].uri, 400);
		const char *detail = json_string_value(json_object_get(p, "detail"));
		const char *parameter = json_string_value(json_object_get(p, "parameter"));
		json_t *at = json_object_get(p, "at");

		if (!detail || !strstr(detail, refused[i].says) || !parameter ||
		    strcmp(parameter, refused[i].parameter) ||
		    (at ? json_integer_value(at) : -1) != refused[i].at)
			fail_msg("%s: %s", refused[i].uri, json_dumps(p, 0));
		assert_string_equal(json_string_value(json_object_get(p, "type")), "about:blank");
		assert_string_equal(json_string_value(json_object_get(p, "title")), "Bad Request");
		assert_int_equal(json_integer_value(json_object_get(p, "status")), 400);
		json_decref(p);
	}
}

/* --- health ------------------------------------------------------------------------------------------------ */

static void sources_are_told_whole(void **state)
{
	char want[2048];

	snprintf(want, sizeof(want),
		 "{'now': '2026-01-10T08:00:02Z', 'sources': ["
		 "{'id': %d, 'name': 'eth1', 'kind': 'capture', 'unit': 'packets', 'up': true,"
		 " 'detail': 'libpcap', 'parent': null, 'received': 25, 'accepted': 20,"
		 " 'rejected': {'short': 2, 'malformed': 1}, 'dropped': {'kernel': 2}, 'bytes': "
		 "23300,"
		 " 'first_seen': '2026-01-10T08:00:00Z', 'last_seen': '2026-01-10T08:00:00Z'},"
		 "{'id': %d, 'name': 'sflow:[::]:6343', 'kind': 'sflow_input', 'unit': 'datagrams',"
		 " 'up': true, 'detail': '', 'parent': null, 'received': 1, 'accepted': 1, "
		 "'rejected': {},"
		 " 'dropped': {}, 'bytes': 200, 'first_seen': '2026-01-10T08:00:00Z',"
		 " 'last_seen': '2026-01-10T08:00:00Z'},"
		 "{'id': %d, 'name': 'sflow:192.0.2.254', 'kind': 'sflow_agent', 'unit': 'samples',"
		 " 'up': true, 'detail': '', 'parent': 'sflow:[::]:6343', 'received': 1, "
		 "'accepted': 1,"
		 " 'rejected': {}, 'dropped': {}, 'bytes': 0, 'first_seen': '2026-01-10T08:00:00Z',"
		 " 'last_seen': '2026-01-10T08:00:00Z', 'lost': 4, 'agent_drops': 5, "
		 "'sampling_rate': 1000,"
		 " 'effective_rate': 1000.5, 'if_speed_bps': 100000000000, 'if_bytes_per_s': "
		 "1600000.0,"
		 " 'flow_bytes_per_s': 1500000.0},"
		 "{'id': %d, 'name': 'firefly:[::]:10514', 'kind': 'firefly_input', 'unit': "
		 "'datagrams',"
		 " 'up': false, 'detail': 'the port is taken', 'parent': null, 'received': 0, "
		 "'accepted': 0,"
		 " 'rejected': {}, 'dropped': {}, 'bytes': 0, 'first_seen': null, 'last_seen': "
		 "null}]}",
		 f.eth1, f.sflow, f.agent, f.firefly);
	assert_json(ask("/api/v1/sources"), want);
}

/* The newest second must carry the statuses: they go round again. */
static void put_statuses(int64_t utc_s, uint64_t received, uint64_t dropped, uint64_t lost)
{
	struct bucket *b = bucket_new(utc_s, 0, 0, 2);

	b->sources[0] = (struct source_status){.id = (uint16_t)f.eth1,
					       .kind = SOURCE_CAPTURE,
					       .up = 1,
					       .name = "eth1",
					       .unit = "packets",
					       .received = received,
					       .accepted = received - dropped,
					       .dropped = {{"kernel", dropped}},
					       .first_seen_utc_s = T,
					       .last_seen_utc_s = utc_s};
	b->sources[1] = (struct source_status){.id = (uint16_t)f.agent,
					       .parent = (uint16_t)f.sflow,
					       .kind = SOURCE_SFLOW_AGENT,
					       .up = 1,
					       .name = "sflow:192.0.2.254",
					       .unit = "samples",
					       .received = 100,
					       .accepted = 100,
					       .lost = lost,
					       .first_seen_utc_s = T,
					       .last_seen_utc_s = utc_s};
	live_add(f.api.live, b);
	store_put(f.api.store, b);
}

static void assert_health(int64_t now_utc_s, const char *status, const char *reasons)
{
	struct answer a = ask_at("/api/v1/health", now_utc_s);
	json_t *json = json_loads(a.body, 0, NULL);

	assert_string_equal(json_string_value(json_object_get(json, "status")), status);
	assert_json(json_incref(json_object_get(json, "reasons")), reasons);
	json_decref(json);
	answer_free(&a);
}

static void health_says_why(void **state)
{
	struct answer a;
	struct bucket *b;

	put_statuses(T + 100, 1000, 0, 0);
	assert_health(T + 101, "ok", "[]");
	put_statuses(T + 130, 3000, 2, 0); /* 2 of 2000 in the minute: 0.1 %, not more */
	assert_health(T + 131, "ok", "[]");
	put_statuses(T + 131, 3000, 3, 2);
	assert_health(
		T + 132, "degraded",
		"['eth1 dropped 3 of 2000 packets in the last minute',"
		" '2 datagrams of sflow:192.0.2.254 were lost on their way in the last minute']");
	put_statuses(T + 195, 3000, 3, 2); /* a minute later it is history */
	put_statuses(T + 196, 3000, 3, 2);
	assert_health(T + 197, "ok", "[]");
	assert_health(T + 206, "ok", "[]");
	assert_health(T + 207, "down", "['the newest second is 11 s old']");
	a = ask_at("/readyz", T + 206);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "ok\n");
	answer_free(&a);
	a = ask_at("/readyz", T + 207);
	assert_int_equal(a.status, 503);
	assert_string_equal(a.body, "the newest second is 11 s old\n");
	answer_free(&a);

	b = bucket_new(T + 200, 0, 0, 1);
	b->sources[0] = (struct source_status){.id = (uint16_t)f.eth1,
					       .kind = SOURCE_CAPTURE,
					       .name = "eth1",
					       .unit = "packets",
					       .detail = "no carrier"};
	live_add(f.api.live, b);
	store_put(f.api.store, b);
	assert_health(T + 201, "down", "['eth1 is down: no carrier']");
	a = ask_at("/healthz", T + 1000);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "ok\n");
	answer_free(&a);
}

/* --- names --------------------------------------------------------------------------------------------------- */

static void the_registry_is_listed(void **state)
{
	json_t *got = ask("/api/v1/registry"), *experiments = json_object_get(got, "experiments");

	assert_int_equal(json_array_size(experiments), 14);
	assert_int_equal(json_integer_value(json_object_get(got, "pairs")), 114);
	assert_string_equal(json_string_value(json_object_get(got, "origin")), "built-in");
	assert_json(json_incref(json_array_get(experiments, 3)),
		    "{'experiment_id': 4, 'experiment': 'lhcb', 'activities': ["
		    "{'activity_id': 1, 'activity': 'default'}, {'activity_id': 2, 'activity': "
		    "'perfSONAR'},"
		    "{'activity_id': 3, 'activity': 'Cache'}, {'activity_id': 4,"
		    " 'activity': 'Data Challenge'}]}");
	json_decref(got);
}

static void a_tag_is_decoded_in_every_form(void **state)
{
	/* 3/14 with entropy C0103 is label F013B; option form 1e 03 00 03 0e; scitag.flow 3 * 64 + 14 */
	static const char *const values[] = {"0xF013B", "206", "3.14", "1e0300030e",
					     "cms:%22analysis%20input%22"};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char uri[128];
		json_t *got, *first;

		snprintf(uri, sizeof(uri), "/api/v1/decode?value=%s", values[i]);
		got = ask(uri);
		first = json_array_get(json_object_get(got, "readings"), 0);
		assert_non_null(first);
		json_object_del(first, "note");
		json_object_del(first, "as");
		assert_json(json_incref(first),
			    i == 0 ? "{'experiment_id': 3, 'activity_id': 14, 'experiment': 'cms',"
				     " 'activity': 'Analysis Input', 'registered': true,"
				     " 'entropy': '0xc0103', 'label': '0xf013b', 'option': "
				     "'1e0300030e',"
				     " 'scitag': 206}"
				   : "{'experiment_id': 3, 'activity_id': 14, 'experiment': 'cms',"
				     " 'activity': 'Analysis Input', 'registered': true,"
				     " 'entropy': null, 'label': '0x30038', 'option': '1e0300030e',"
				     " 'scitag': 206}");
		json_decref(got);
	}
	assert_json(ask("/api/v1/decode?value=no%20tag"), "{'value': 'no tag', 'readings': []}");
}

/* --- the description holds for the answers ------------------------------------------------------- */

static int is_type(const char *type, const json_t *v)
{
	return (!strcmp(type, "object") && json_is_object(v)) ||
	       (!strcmp(type, "array") && json_is_array(v)) ||
	       (!strcmp(type, "string") && json_is_string(v)) ||
	       (!strcmp(type, "integer") && json_is_integer(v)) ||
	       (!strcmp(type, "number") && json_is_number(v)) ||
	       (!strcmp(type, "boolean") && json_is_boolean(v)) ||
	       (!strcmp(type, "null") && json_is_null(v));
}

/* The part of JSON schema that our documents use. */
static void assert_valid(const char *where, const json_t *schema, const json_t *v)
{
	json_t *type = json_object_get(schema, "type"), *properties, *others, *member, *item;
	const char *name;
	size_t i, fits = 0;
	int64_t us;

	if (json_is_true(schema))
		return;
	if (!json_is_object(schema) || !type)
		fail_msg("%s: there is no schema for it", where);
	json_array_foreach(type, i, item) fits += (size_t)is_type(json_string_value(item), v);
	if (!(json_is_array(type) ? fits : (size_t)is_type(json_string_value(type), v)))
		fail_msg("%s: %s does not fit %s", where, json_dumps(v, JSON_ENCODE_ANY),
			 json_dumps(type, JSON_ENCODE_ANY));
	if (json_is_string(v) && json_object_get(schema, "format"))
		assert_int_equal(clock_parse_utc(&us, json_string_value(v), json_string_length(v)),
				 0);
	json_array_foreach(v, i, item) assert_valid(where, json_object_get(schema, "items"), item);
	if (!json_is_object(v))
		return;
	properties = json_object_get(schema, "properties");
	others = json_object_get(schema, "additionalProperties");
	json_object_foreach((json_t *)(uintptr_t)v, name, member)
	{
		json_t *known = json_object_get(properties, name);

		if (!known && json_is_false(others))
			fail_msg("%s: %s is not described", where, name);
		assert_valid(name, known ? known : others, member);
	}
	json_array_foreach(json_object_get(schema, "required"), i,
			   item) if (!json_object_get(v, json_string_value(item)))
		fail_msg("%s: %s is missing", where, json_string_value(item));
}

static json_t *at_path(json_t *from, ...)
{
	const char *name;
	va_list names;

	va_start(names, from);
	while ((name = va_arg(names, const char *)))
		from = json_object_get(from, name);
	va_end(names);
	return from;
}

static void answers_are_as_described(void **state)
{
	static const char *const uris[] = {
		"/api/v1/series?" DECADE,
		"/api/v1/series?" DECADE
		"&limit=1&group=grade,carrier,family,direction,source&unit=packets",
		"/api/v1/series?from=2025-01-01T00:00:00Z&to=now&unit=ip_bytes",
		"/api/v1/top?" DECADE "&limit=2",
		"/api/v1/coverage?" DECADE,
		"/api/v1/sources",
		"/api/v1/health",
		"/api/v1/flows",
		"/api/v1/flows?state=ended&" DECADE,
		"/api/v1/agreement",
		"/api/v1/sites?" DECADE,
		"/api/v1/durations?" DECADE "&bins=yes",
		"/api/v1/claims?" DECADE,
		"/api/v1/top?" DECADE "&group=application",
		"/api/v1/registry",
		"/api/v1/decode?value=0x30038",
		"/api/v1/openapi.json",
	};
	json_t *document = ask("/api/v1/openapi.json"), *problem;

	assert_string_equal(json_string_value(json_object_get(document, "openapi")), "3.1.0");
	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		char path[64];
		json_t *got = ask(uris[i]), *schema;

		snprintf(path, sizeof(path), "%.*s", (int)strcspn(uris[i], "?"), uris[i]);
		schema = at_path(document, "paths", path, "get", "responses", "200", "content",
				 "application/json", "schema", NULL);
		assert_valid(path, schema, got);
		json_decref(got);
	}
	problem = ask_status("/api/v1/series?filter=(", 400);
	assert_valid("problem",
		     at_path(document, "components", "responses", "problem", "content",
			     "application/problem+json", "schema", NULL),
		     problem);
	json_decref(problem);
	json_decref(document);
}

static void every_route_and_parameter_is_described(void **state)
{
	json_t *document = ask("/api/v1/openapi.json"), *get, *p;
	size_t n = 0, i;

	for (const struct api_route *r = api_routes; r->path; r++, n++) {
		get = at_path(document, "paths", r->path, "get", NULL);
		assert_non_null(get);
		i = 0;
		for (const struct api_param *const *want = r->params; want && *want; want++, i++) {
			p = json_array_get(json_object_get(get, "parameters"), i);
			assert_string_equal(json_string_value(json_object_get(p, "name")),
					    (*want)->name);
		}
		assert_int_equal(json_array_size(json_object_get(get, "parameters")), i);
	}
	assert_int_equal(json_object_size(json_object_get(document, "paths")), n);
	p = json_array_get(at_path(document, "paths", "/api/v1/series", "get", "parameters", NULL),
			   5);
	json_object_del(p, "description");
	assert_json(json_incref(p), "{'name': 'unit', 'in': 'query', 'required': false, 'schema':"
				    " {'type': 'string', 'default': 'bytes',"
				    "  'enum': ['bytes', 'ip_bytes', 'packets', 'end_bytes']}}");
	p = at_path(document, "paths", "/api/v1/coverage", "get", "responses", "200", "content",
		    "application/json", "schema", "properties", "families", NULL);
	assert_json(
		json_incref(p),
		"{'type': 'array', 'items': {'type': 'object', 'additionalProperties': false,"
		" 'properties': {'family': {'type': 'integer'}, 'bytes': {'type': 'integer'},"
		" 'packets': {'type': 'integer'}}, 'required': ['family', 'bytes', 'packets']}}");
	p = at_path(document, "paths", "/api/v1/sources", "get", "responses", "200", "content",
		    "application/json", "schema", "properties", "sources", "items", "properties",
		    "last_seen", NULL);
	assert_json(json_incref(p), "{'type': ['string', 'null'], 'format': 'date-time'}");
	json_decref(document);
}

/* --- the live stream -------------------------------------------------------------------------------- */

static void a_tick_folds_what_is_not_registered(void **state)
{
	struct bucket *b = store_second(f.api.store, T);
	struct live_second s;
	char want[2048], *text;

	assert_int_equal(live_find(f.api.live, T, &s), 0);
	text = api_tick(&f.api, b, &s);
	/* 3000 + 300 bytes, 2 + 3 packets in one row; the other rows as they were */
	snprintf(want, sizeof(want),
		 "{'time': '2026-01-10T08:00:00Z', 'second': 1768032000, 'rows': ["
		 "{'source': 'eth1', 'direction': 'in', 'family': 6, 'carrier': 'label',"
		 " 'grade': 'unregistered', 'experiment_id': -1, 'activity_id': -1,"
		 " 'experiment': '(other unregistered)', 'activity': '(other unregistered)',"
		 " 'packets': 5, 'bytes': 3300, 'ip_bytes': 3230, 'samples': 5, 'error_bytes': 0},"
		 "{'source': 'eth1', 'direction': 'out', 'family': 4, 'carrier': 'none',"
		 " 'grade': 'untagged', 'experiment_id': 0, 'activity_id': 0,"
		 " 'experiment': '(untagged)', 'activity': '(untagged)',"
		 " 'packets': 5, 'bytes': 5000, 'ip_bytes': 4930, 'samples': 5, 'error_bytes': 0},"
		 "{'source': 'sflow:192.0.2.254', 'direction': 'in', 'family': 6,"
		 " 'carrier': 'destination', 'grade': 'confirmed', 'experiment_id': 2,"
		 " 'activity_id': 17, 'experiment': 'atlas', 'activity': 'Analysis Input',"
		 " 'packets': 1000, 'bytes': 1500000, 'ip_bytes': 1486000, 'samples': 1,"
		 " 'error_bytes': 2938530},"
		 "{'source': 'eth1', 'direction': 'in', 'family': 6, 'carrier': 'label',"
		 " 'grade': 'registered', 'experiment_id': 3, 'activity_id': 14,"
		 " 'experiment': 'cms', 'activity': 'Analysis Input', 'packets': 10,"
		 " 'bytes': 15000, 'ip_bytes': 14860, 'samples': 10, 'error_bytes': 0}],"
		 " 'claims': {'starts': 2, 'ongoings': 1, 'ends': 3},"
		 " 'health': {'status': 'ok', 'sources_up': 0, 'sources': 0, 'received': 0,"
		 " 'accepted': 0, 'rejected': 0, 'dropped': 0, 'lost': 0}}");
	assert_json(json_loads(text, 0, NULL), want);
	free(text);
	bucket_free(b);
	/* three inputs, one of them down; agents add their losses only */
	assert_int_equal(live_find(f.api.live, T + 1, &s), 0);
	assert_int_equal(s.status, LIVE_DEGRADED);
	assert_int_equal(s.sources, 3);
	assert_int_equal(s.sources_up, 2);
	assert_int_equal(s.received, 26);
	assert_int_equal(s.accepted + s.rejected + s.dropped, 26);
	assert_int_equal(s.rejected, 3);
	assert_int_equal(s.dropped, 2);
	assert_int_equal(s.lost, 4);
	assert_int_equal(live_find(f.api.live, T + 2, &s), -ENOENT);
	assert_int_equal(live_find(f.api.live, T - LIVE_SECONDS, &s), -ENOENT);
}

static int sleeps, wakes;

static void on_sleep(void *arg)
{
	sleeps++;
}

static void on_wake(void *arg)
{
	wakes++;
}

static void publish(struct sse *s, int64_t utc_s)
{
	struct bucket *b = bucket_new(utc_s, 0, 0, 0);
	struct live_second second = live_add(f.api.live, b);

	store_put(f.api.store, b);
	b = store_newest(f.api.store);
	sse_publish(s, &second, b);
	bucket_free(b);
}

/* The next whole event must be of that second. */
static void assert_event(struct sse_reader *r, int64_t utc_s)
{
	char buf[4096], start[64];
	ssize_t n = sse_read(r, buf, sizeof(buf) - 1);

	assert_true(n > 0);
	buf[n] = '\0';
	snprintf(start, sizeof(start), "id: %lld\nevent: tick\ndata: {", (long long)utc_s);
	if (strncmp(buf, start, strlen(start)) || strcmp(buf + n - 3, "}\n\n"))
		fail_msg("not %lld: %s", (long long)utc_s, buf);
}

static void skip_greeting(struct sse_reader *r)
{
	char buf[64];

	assert_int_equal(sse_read(r, buf, sizeof(buf)), 13);
	assert_memory_equal(buf, "retry: 2000\n\n", 13);
}

static void readers_keep_a_place_in_time(void **state)
{
	char buf[4096];
	struct sse_reader *quick, *slow, *late;
	int64_t t = T + 1000;
	struct sse *s;

	assert_int_equal(sse_open(&s, &f.api, 3600), 0);
	publish(s, t);
	assert_int_equal(sse_reader_open(&quick, s, CLOCK_NEVER, on_sleep, on_wake, NULL), 0);
	assert_int_equal(sse_reader_open(&slow, s, CLOCK_NEVER, on_sleep, on_wake, NULL), 0);
	skip_greeting(quick);
	skip_greeting(slow);
	assert_event(quick, t);
	assert_event(slow, t);
	sleeps = wakes = 0;
	assert_int_equal(sse_read(quick, buf, sizeof(buf)), 0);
	assert_int_equal(sleeps, 1);
	publish(s, t + 1);
	assert_int_equal(wakes, 1); /* only who sleeps is woken */
	assert_event(quick, t + 1);
	for (int i = 2; i <= SSE_OWED_MAX; i++) {
		publish(s, t + i);
		assert_event(quick, t + i);
	}
	assert_event(slow, t + 1); /* thirty were owed to it; that is allowed */
	assert_event(slow, t + 2);
	publish(s, t + 31);
	publish(s, t + 32);
	assert_event(slow, t + 3); /* thirty again, then 31 */
	publish(s, t + 33);
	publish(s, t + 34);
	assert_int_equal(sse_read(slow, buf, sizeof(buf)), -ETIMEDOUT);
	/* who begins far behind may stay there */
	assert_int_equal(sse_reader_open(&late, s, t - 1, on_sleep, on_wake, NULL), 0);
	skip_greeting(late);
	for (int i = 0; i <= 34; i++)
		assert_event(late, t + i);
	assert_int_equal(sse_read(late, buf, sizeof(buf)), 0);
	/* an event is given in pieces when there is little room */
	publish(s, t + 35);
	assert_int_equal(sse_read(late, buf, 4), 4);
	assert_memory_equal(buf, "id: ", 4);
	assert_true(sse_read(late, buf, sizeof(buf)) > 0);
	assert_int_equal(sse_read(late, buf, sizeof(buf)), 0);
	publish(s, t + 4000); /* the machine slept: nobody is to blame */
	assert_event(late, t + 4000);
	sse_stop(s);
	assert_int_equal(sse_read(late, buf, sizeof(buf)), -ESHUTDOWN);
	sse_reader_close(late);
	sse_reader_close(quick);
	sse_reader_close(slow);
	sse_close(s);
	sse_close(NULL);
}

/* --- /metrics ------------------------------------------------------------------------------------------ */

/* A reader of the text format, written from its description: HELP and TYPE once before a family's
 * samples, no family twice, no series twice, label values escaped, numbers that are numbers. */
#define FAMILIES_MAX 128

struct exposition {
	size_t n_families, n_series;
	char families[FAMILIES_MAX][80];
	json_t *series; /* name and labels -> value */
};

static const char *read_name(const char *at, char *name, size_t cap)
{
	size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz_0123456789");

	assert_true(n > 0 && n < cap && !(*at >= '0' && *at <= '9'));
	snprintf(name, cap, "%.*s", (int)n, at);
	return at + n;
}

static const char *read_labels(const char *at)
{
	char name[80];

	if (*at != '{')
		return at;
	do {
		at = read_name(at + 1, name, sizeof(name));
		assert_true(at[0] == '=' && at[1] == '"');
		for (at += 2; *at != '"'; at++) {
			assert_true(*at && *at != '\n');
			if (*at == '\\') {
				at++;
				assert_true(*at == '\\' || *at == '"' || *at == 'n');
			}
		}
		at++;
	} while (*at == ',');
	assert_int_equal(*at, '}');
	return at + 1;
}

static void read_line(struct exposition *x, const char *line, const char **type)
{
	static const char *const types[] = {"counter", "gauge"};
	char name[80], series[512];
	const char *end;
	char *rest;
	double value;

	if (!strncmp(line, "# HELP ", 7)) {
		assert_int_equal(*read_name(line + 7, name, sizeof(name)), ' ');
		for (size_t i = 0; i < x->n_families; i++)
			assert_string_not_equal(x->families[i], name);
		assert_true(x->n_families < FAMILIES_MAX);
		snprintf(x->families[x->n_families++], 80, "%s", name);
		*type = NULL;
		return;
	}
	assert_true(x->n_families > 0);
	if (!strncmp(line, "# TYPE ", 7)) {
		end = read_name(line + 7, name, sizeof(name));
		assert_string_equal(name, x->families[x->n_families - 1]);
		for (size_t i = 0; i < 2; i++)
			if (!strcmp(end + 1, types[i]))
				*type = types[i];
		assert_non_null(*type);
		/* counters, and only they, end in _total */
		assert_int_equal(!strcmp(*type, "counter"),
				 strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total"));
		assert_int_equal(strncmp(name, "scitag_", 7), 0);
		return;
	}
	assert_non_null(*type);
	end = read_labels(read_name(line, name, sizeof(name)));
	assert_string_equal(name, x->families[x->n_families - 1]);
	assert_int_equal(*end, ' ');
	value = strtod(end + 1, &rest);
	assert_true(rest > end + 1 && !*rest && isfinite(value));
	snprintf(series, sizeof(series), "%.*s", (int)(end - line), line);
	assert_null(json_object_get(x->series, series));
	json_object_set_new(x->series, series, json_real(value));
	x->n_series++;
}

static struct exposition read_metrics(void)
{
	struct exposition x = {.series = json_object()};
	struct answer a = ask_at("/metrics", T + 2);
	const char *type = NULL;
	char *line, *next;

	assert_int_equal(a.status, 200);
	assert_int_equal(a.body[a.len_bytes - 1], '\n');
	for (line = a.body; *line; line = next) {
		next = strchr(line, '\n');
		*next++ = '\0';
		read_line(&x, line, &type);
	}
	answer_free(&a);
	return x;
}

static double series_value(const struct exposition *x, const char *series)
{
	json_t *value = json_object_get(x->series, series);

	if (!value)
		fail_msg("there is no %s", series);
	return json_real_value(value);
}

static void metrics_are_counted_and_well_formed(void **state)
{
	struct registry *r = registry_builtin();
	struct exposition x;
	char name[128];

	for (int64_t t = T; t < T + 2; t++) {
		struct bucket *b = store_second(f.api.store, t);
		struct live_second s;

		assert_int_equal(live_find(f.api.live, t, &s), 0);
		metrics_add(f.api.metrics, b, &s, r);
		bucket_free(b);
	}
	registry_free(r);
	metrics_request(f.api.metrics, 200);
	metrics_request(f.api.metrics, 304);
	metrics_request(f.api.metrics, 304);
	f.api.version = "1\"2\\3\n";
	x = read_metrics();
	assert_true(series_value(&x, "scitag_build_info{version=\"1\\\"2\\\\3\\n\"}") == 1);
	json_decref(x.series);
	f.api.version = "1.2.3";
	x = read_metrics();
#define CMS(direction)                                                                 \
	"{source=\"eth1\",direction=\"" direction "\",family=\"6\",carrier=\"label\"," \
	"grade=\"registered\",experiment=\"cms\",activity=\"Analysis Input\"}"
	assert_true(series_value(&x, "scitag_traffic_bytes_total" CMS("in")) == 16500);
	assert_true(series_value(&x, "scitag_traffic_bytes_total" CMS("out")) == 7000);
	assert_true(series_value(&x, "scitag_traffic_packets_total" CMS("in")) == 11);
	assert_true(series_value(&x, "scitag_traffic_samples_total" CMS("in")) == 11);
	/* folded: 393/7 and the three others */
	assert_true(series_value(&x, "scitag_traffic_bytes_total{source=\"eth1\",direction=\"in\","
				     "family=\"6\",carrier=\"label\",grade=\"unregistered\","
				     "experiment=\"(other unregistered)\","
				     "activity=\"(other unregistered)\"}") == 3300);
	/* an agent's address is no label: its number is */
	snprintf(name, sizeof(name), "scitag_sflow_lost_datagrams_total{source=\"sflow-agent-%d\"}",
		 f.agent);
	assert_true(series_value(&x, name) == 4);
	assert_true(series_value(
			    &x, "scitag_source_rejected_total{source=\"eth1\",reason=\"short\"}") ==
		    2);
	assert_true(
		series_value(&x, "scitag_source_dropped_total{source=\"eth1\",place=\"kernel\"}") ==
		2);
	assert_true(series_value(&x, "scitag_source_up{source=\"firefly:[::]:10514\"}") == 0);
	assert_true(series_value(&x, "scitag_fireflies_total{state=\"end\"}") == 3);
	assert_true(series_value(&x, "scitag_http_requests_total{code=\"3xx\"}") == 2);
	assert_true(series_value(&x, "scitag_build_info{version=\"1.2.3\"}") == 1);
	assert_true(series_value(&x, "scitag_registry_pairs") == 114);
	assert_true(series_value(&x, "scitag_process_resident_memory_bytes") > 1000000);
	for (void *i = json_object_iter(x.series); i; i = json_object_iter_next(x.series, i))
		assert_null(strstr(json_object_iter_key(i), "192.0.2.254"));
	json_decref(x.series);
}

static void metrics_are_bounded_and_lose_nothing(void **state)
{
	struct registry *r = registry_builtin();
	struct metrics *before = f.api.metrics;
	struct bucket *b = bucket_new(T + 1, 5000, 0, 0);
	struct live_second s = {0};
	struct exposition x;
	double sum = 0;

	f.api.metrics = metrics_open();
	/* 5,000 keys that differ: 250 sources, 4 directions, 5 carriers; 1 + 2 + ... bytes */
	for (uint32_t i = 0; i < 5000; i++)
		b->rows[i] =
			row((int)(i % 250), (enum direction)(i / 250 % 4), 6,
			    (enum scitag_carrier)(i / 1000), GRADE_REGISTERED, 3, 14, 0, i + 1, 1);
	metrics_add(f.api.metrics, b, &s, r);
	metrics_add(f.api.metrics, b, &s, r);
	x = read_metrics();
	assert_true(x.n_series <= METRICS_SERIES_MAX);
	for (void *i = json_object_iter(x.series); i; i = json_object_iter_next(x.series, i))
		if (!strncmp(json_object_iter_key(i), "scitag_traffic_bytes_total{", 27))
			sum += json_real_value(json_object_iter_value(i));
	assert_true(sum == 2 * 5000.0 * 5001 / 2);
	/* the first 2048 have their own rows: of 2 * (1 + ... + 5000) the rest is 20,808,648 */
	assert_true(
		series_value(&x,
			     "scitag_traffic_bytes_total{source=\"(other)\",direction=\"(other)\","
			     "family=\"(other)\",carrier=\"(other)\",grade=\"(other)\","
			     "experiment=\"(other)\",activity=\"(other)\"}") == 20808648);
	assert_true(series_value(&x, "scitag_metrics_left_off") == 0);
	json_decref(x.series);
	metrics_close(f.api.metrics);
	f.api.metrics = before;
	bucket_free(b);
	registry_free(r);
}

/* --- values in a query ------------------------------------------------------------------------------- */

static void times_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t utc_s; /* -1: refused */
	} forms[] = {
		{"now", T},
		{"NOW", T},
		{"-0s", T},
		{"-90s", T - 90},
		{"-15m", T - 900},
		{"-1h", T - 3600},
		{"-7d", T - 604800},
		{"-2w", T - 1209600},
		{"-1y", T - 31536000},
		{"2026-01-10T08:00:00Z", T},
		{"2026-01-10T09:00:00+01:00", T},
		{"2026-01-10T09:00:00 01:00", T}, /* the plus was not encoded */
		{"2026-01-10 08:00:00.5Z", T},
		{"", -1},
		{"-", -1},
		{"-h", -1},
		{"-1", -1},
		{"-1hh", -1},
		{"--1h", -1},
		{"+1h", -1},
		{"-1.5h", -1},
		{"-99999999999999999999s", -1},
		{"1768032000", -1},
		{"2026-01-10", -1},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		int64_t us = -1;
		int err = query_time(&us, forms[i].text, T * US_PER_S);

		if (err != (forms[i].utc_s < 0 ? -EINVAL : 0) ||
		    (!err && us / US_PER_S != forms[i].utc_s))
			fail_msg("\"%s\": %d %lld", forms[i].text, err, (long long)us);
	}
}

static void uris_are_taken_apart(void **state)
{
	char uri[] = "/a%20b+c?x=1+2%2B3&y&z=%E2%82%AC=&&=e";
	struct query q;
	const char *why;

	assert_int_equal(query_parse(&q, uri, &why), 0);
	assert_string_equal(q.path, "/a b+c");
	assert_int_equal(q.n_params, 4);
	assert_string_equal(query_value(&q, "x"), "1 2+3");
	assert_string_equal(query_value(&q, "y"), "");
	assert_string_equal(query_value(&q, "z"), "\xe2\x82\xac=");
	assert_string_equal(query_value(&q, ""), "e");
	assert_null(query_value(&q, "X"));
}

static void too_many_parameters_are_refused(void **state)
{
	char uri[256] = "/?";
	struct query q;
	const char *why;

	for (int i = 0; i <= QUERY_PARAMS_MAX; i++)
		sprintf(uri + strlen(uri), "p%d=&", i);
	assert_int_equal(query_parse(&q, uri, &why), -EINVAL);
	assert_string_equal(why, "there are too many parameters");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(series_of_experiments_second_by_second),
		cmocka_unit_test(series_in_packets_has_no_error),
		cmocka_unit_test(series_keeps_the_largest_and_sums_the_rest),
		cmocka_unit_test(a_series_knows_every_dimension),
		cmocka_unit_test(the_step_is_chosen_by_the_range),
		cmocka_unit_test(an_automatic_series_has_at_most_720_points),
		cmocka_unit_test(top_is_sorted_by_its_unit),
		cmocka_unit_test(names_that_are_shown_can_be_filtered_by),
		cmocka_unit_test(top_from_disk_equals_top_from_memory),
		cmocka_unit_test(coverage_measures_and_subtracts_the_noise),
		cmocka_unit_test(coverage_of_nothing_is_zero),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(sources_are_told_whole),
		cmocka_unit_test(answers_are_as_described),
		cmocka_unit_test(every_route_and_parameter_is_described),
		cmocka_unit_test(a_tick_folds_what_is_not_registered),
		cmocka_unit_test(metrics_are_counted_and_well_formed),
		cmocka_unit_test(metrics_are_bounded_and_lose_nothing),
		/* from here on the newest second is another one */
		cmocka_unit_test(health_says_why),
		cmocka_unit_test(readers_keep_a_place_in_time),
		cmocka_unit_test(the_registry_is_listed),
		cmocka_unit_test(a_tag_is_decoded_in_every_form),
		cmocka_unit_test(times_are_read),
		cmocka_unit_test(uris_are_taken_apart),
		cmocka_unit_test(too_many_parameters_are_refused),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
