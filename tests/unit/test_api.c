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
	for (int64_t range_s = 1000; range_s < 3000000000; range_s = range_s * 5 / 4) {
		char from[32];
		int64_t step_s, now = 40LL * 365 * 86400 + 7; /* a moment that no step divides */

		if (range_s > now)
			break;
		snprintf(from, sizeof(from), "-%llds", (long long)range_s);
		step_s = step_of(from, "now", now);
		assert_true((now + step_s - 1) / step_s - (now - range_s) / step_s <= 720);
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
		"'tagged_share': 0.99458153806, 'tagged_share_corrected': 0.994574016978}");
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
	{"/api/v1/series?group=src_site", "group", -1, "reserved"},
	{"/api/v1/series?unit=bits", "unit", -1, "bytes, ip_bytes or packets"},
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
		cmocka_unit_test(top_from_disk_equals_top_from_memory),
		cmocka_unit_test(coverage_measures_and_subtracts_the_noise),
		cmocka_unit_test(coverage_of_nothing_is_zero),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(sources_are_told_whole),
		cmocka_unit_test(health_says_why),
		cmocka_unit_test(the_registry_is_listed),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
