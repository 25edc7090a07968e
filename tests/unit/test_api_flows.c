/* Flows, agreement, sites, durations and claims as the API tells them: seconds go through a real
 * join into a real store; what comes out is worked out here by hand. */
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
#include "firefly/firefly.h"
#include "join/join.h"
#include "join/sites.h"
#include "registry/keeper.h"
#include "store/store.h"
#include "web/api.h"

/* date -ud 2026-01-10T08:00:00Z +%s */
#define T 1768032000LL

static struct {
	char dir[64];
	struct api api;
	struct sites *sites;
	uint16_t eth1, eth2;
} f;

/* --- what happened ------------------------------------------------------------------------ */

static const struct scitag CMS = {3, 14}, ATLAS = {2, 17}, STRAY = {393, 7}, NONE = {0, 0};

static void ip(uint8_t out[16], int host) /* 2001:db8::HOST */
{
	static const uint8_t prefix[16] = {0x20, 0x01, 0x0d, 0xb8};

	memcpy(out, prefix, 16);
	out[15] = (uint8_t)host;
}

static struct flow_key key(int src, int src_port, int dst, int dst_port)
{
	struct flow_key k = {.src_port = (uint16_t)src_port,
			     .dst_port = (uint16_t)dst_port,
			     .protocol = 6,
			     .family = 6};

	ip(k.src_ip, src);
	ip(k.dst_ip, dst);
	return k;
}

static struct {
	struct seen seen[16];
	struct heard heard[16];
	size_t n_seen, n_heard;
} next;

/* In the tenth and the ninth tenth of a second. */
static struct seen *see(int64_t utc_s, struct flow_key k, struct scitag tag,
			enum scitag_grade grade, uint64_t packets, uint64_t bytes)
{
	struct seen *s = &next.seen[next.n_seen++];

	*s = (struct seen){.key = k,
			   .first_utc_us = utc_s * US_PER_S + 100000,
			   .last_utc_us = utc_s * US_PER_S + 900000,
			   .packets = packets,
			   .bytes = bytes,
			   .ip_bytes = bytes - 14 * packets,
			   .samples = (uint32_t)packets,
			   .source = f.eth1,
			   .direction = DIRECTION_OUT,
			   .tcp_flags = 0x10,
			   .tag = {.tag = tag,
				   .carrier = grade ? CARRIER_LABEL : CARRIER_NONE,
				   .grade = (uint8_t)grade}};
	if (grade)
		scitag_label_encode(&s->label, tag.experiment, tag.activity, 0);
	return s;
}

static struct heard *hear(int64_t utc_s, enum firefly_state state, struct flow_key k,
			  struct scitag tag, const char *application)
{
	struct heard *h = &next.heard[next.n_heard++];

	*h = (struct heard){
		.firefly = {.state = state,
			    .producer = FIREFLY_XROOTD,
			    .key = k,
			    .tag = tag,
			    .header_utc_us = utc_s * US_PER_S,
			    .current_utc_us = utc_s * US_PER_S,
			    .start_utc_us = T * US_PER_S,
			    .end_utc_us =
				    state == FIREFLY_END ? utc_s * US_PER_S : FIREFLY_TIME_UNKNOWN,
			    .src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
			    .dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
			    .rtt_us = FIREFLY_RTT_UNSAID},
		.heard_utc_us = utc_s * US_PER_S + 20000,
	};
	snprintf(h->firefly.application, sizeof(h->firefly.application), "%s", application);
	memcpy(h->sender_ip, k.src_ip, 16);
	return h;
}

static void end_second(int64_t utc_s)
{
	struct bucket *b = bucket_new(utc_s, next.n_seen, 0, 0);

	for (size_t i = 0; i < next.n_seen; i++) {
		const struct seen *s = &next.seen[i];

		b->rows[i] = (struct traffic_row){.key = {.source = s->source,
							  .direction = s->direction,
							  .family = s->key.family,
							  .carrier = s->tag.carrier,
							  .grade = s->tag.grade,
							  .experiment = s->tag.tag.experiment,
							  .activity = s->tag.tag.activity},
						  .value = {.packets = s->packets,
							    .bytes = s->bytes,
							    .ip_bytes = s->ip_bytes,
							    .samples = s->samples,
							    .bytes_variance = s->bytes_variance,
							    .codes = 1}};
	}
	assert_int_equal(
		join_second(f.api.join, b, next.seen, next.n_seen, next.heard, next.n_heard), 0);
	next.n_seen = next.n_heard = 0;
	store_put(f.api.store, b);
}

/* T: A  ::1:1094 > ::2:40001, label cms 3/14, 3 packets of 1500; announced by ::1 as the same:
 * confirmed and back, without a label, 1 packet of 100 B  ::3:1094 > ::4:40002, label atlas 2/17, 2
 * packets of 1000; announced by ::3 as cms 3/14: disagree C  ::5:1094 > ::6:40003 is announced as
 * cms 3/14 and never seen: claimed D  ::7:5000 > ::8:40004, an unregistered label, 1 packet of 700
 * T + 10: A ends as announced, 4400 bytes one way and 80 back, round-trip time 1.5 ms
 * ::1 and ::3 are at site NORTH, ::2 at SOUTH. */
static const struct flow_key *flow_a(void)
{
	static struct flow_key k;

	k = key(1, 1094, 2, 40001);
	return &k;
}

static void put_seconds(void)
{
	struct heard *end;

	hear(T, FIREFLY_START, *flow_a(), CMS, "xrootd");
	hear(T, FIREFLY_START, key(3, 1094, 4, 40002), CMS, "xrootd");
	hear(T, FIREFLY_START, key(5, 1094, 6, 40003), CMS, "=cmd, \"x\"");
	see(T, *flow_a(), CMS, GRADE_REGISTERED, 3, 4500);
	see(T, key(2, 40001, 1, 1094), NONE, GRADE_UNTAGGED, 1, 100);
	see(T, key(3, 1094, 4, 40002), ATLAS, GRADE_REGISTERED, 2, 2000);
	see(T, key(7, 5000, 8, 40004), STRAY, GRADE_UNREGISTERED, 1, 700);
	end_second(T);
	end = hear(T + 10, FIREFLY_END, *flow_a(), CMS, "xrootd");
	end->firefly.src_to_dst_bytes = 4400;
	end->firefly.dst_to_src_bytes = 80;
	end->firefly.rtt_us = 1500;
	end_second(T + 10);
	assert_int_equal(store_flush(f.api.store, 5000), 0);
}

static int open_all(void **state)
{
	static const char *const own[] = {"NORTH=2001:db8::1/128", "NORTH=2001:db8::3/128",
					  "SOUTH=2001:db8::2/128"};
	struct registry_keeper_config rc = {0};
	const struct registry *registry;
	struct scitag_set registered = {0};
	struct join_config jc = {0};
	struct store_config sc;
	char url[128], why[200];

	strcpy(f.dir, "/tmp/test_api_flows.XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	snprintf(url, sizeof(url), "sqlite:%s/o.db", f.dir);
	store_config_default(&sc);
	sc.url = url;
	assert_int_equal(store_open(&f.api.store, &sc), 0);
	assert_int_equal(registry_keeper_open(&f.api.registry, &rc), 0);
	assert_int_equal(join_open(&f.api.join, &jc, f.api.store), 0);
	assert_int_equal(sites_open(&f.sites, &(struct sites_config){.own = own, .n_own = 3},
				    f.api.store, why, sizeof(why)),
			 0);
	join_set_sites(f.api.join, f.sites);
	registry = registry_keeper_take(f.api.registry);
	for (size_t i = 0; i < registry->n_experiments; i++)
		for (size_t a = 0; a < registry->experiments[i].n_activities; a++)
			scitag_set_add(
				&registered,
				(struct scitag){(__u16)registry->experiments[i].id,
						(__u16)registry->experiments[i].activities[a].id});
	registry_keeper_give(f.api.registry, registry);
	join_set_registered(f.api.join, &registered);
	f.api.live = live_open();
	f.api.metrics = metrics_open();
	f.api.version = "1.2.3";
	f.api.started_utc_us = (T - 1000) * US_PER_S;
	f.eth1 = store_source_id(f.api.store, "eth1", SOURCE_CAPTURE);
	f.eth2 = store_source_id(f.api.store, "eth2", SOURCE_CAPTURE);
	put_seconds();
	return 0;
}

static int close_all(void **state)
{
	char command[128];

	metrics_close(f.api.metrics);
	live_close(f.api.live);
	join_close(f.api.join);
	sites_close(f.sites);
	store_close(f.api.store);
	registry_keeper_close(f.api.registry);
	snprintf(command, sizeof(command), "rm -r '%s'", f.dir);
	return system(command);
}

/* --- asking ------------------------------------------------------------------------------- */

static struct answer ask_text(const char *uri)
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
	api_answer(&f.api, route, &q, (T + 11) * US_PER_S, &a);
	assert_non_null(a.body);
	if (a.status != 200)
		fail_msg("%s: %u %s", uri, a.status, a.body);
	return a;
}

static json_t *ask(const char *uri)
{
	struct answer a = ask_text(uri);
	json_t *json = json_loads(a.body, 0, NULL);

	assert_non_null(json);
	answer_free(&a);
	return json;
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
		char *a =
			json_dumps(got, JSON_SORT_KEYS | JSON_REAL_PRECISION(12) | JSON_ENCODE_ANY);
		char *b = json_dumps(wanted,
				     JSON_SORT_KEYS | JSON_REAL_PRECISION(12) | JSON_ENCODE_ANY);

		print_error("\n got %s\nwant %s\n", a, b);
		fail();
	}
	json_decref(got);
	json_decref(wanted);
}

static const char *text_at(json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name)) ?: "";
}

/* The destination ports of the flows, in their order: "40001 40002 ". */
static void assert_flows(const char *uri, int matching, const char *ports)
{
	json_t *got = ask(uri), *flow;
	char text[200] = "";
	size_t i;

	json_array_foreach(json_object_get(got, "flows"), i, flow)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%lld ",
			 json_integer_value(json_object_get(flow, "dst_port")));
	if (strcmp(text, ports) || json_integer_value(json_object_get(got, "matching")) != matching)
		fail_msg("%s: %s of %lld", uri, text,
			 json_integer_value(json_object_get(got, "matching")));
	json_decref(got);
}

/* --- flows -------------------------------------------------------------------------------- */

static void a_flow_is_told_whole(void **state)
{
	json_t *got = ask("/api/v1/flows?grade=confirmed"), *flow;

	assert_string_equal(text_at(got, "now"), "2026-01-10T08:00:11Z");
	flow = json_incref(json_array_get(json_object_get(got, "flows"), 0));
	json_decref(got);
	assert_non_null(strstr(text_at(flow, "why"), "Confirmed"));
	json_object_del(flow, "why");
	/* 4500 bytes in 0.8 s, told as of a whole second */
	assert_json(
		flow,
		"{'src': '2001:db8::1', 'src_port': 1094, 'dst': '2001:db8::2', 'dst_port': 40001,"
		"'protocol': 'tcp', 'family': 6, 'state': 'ended', 'seen': true,"
		"'grade': 'confirmed', 'evidence': ['claim_same'], 'experiment_id': 3,"
		"'experiment': 'cms', 'activity_id': 14, 'activity': 'Analysis Input',"
		"'carrier': 'label', 'label': '0x30038', 'direction': 'out', 'bytes': 4500,"
		"'error_bytes': 0, 'packets': 3, 'samples': 3, 'bytes_per_s': 4500.0,"
		"'first': '2026-01-10T08:00:00.100Z', 'last': '2026-01-10T08:00:00.900Z',"
		"'duration_s': 0.8, 'src_site': 'NORTH', 'dst_site': 'SOUTH', 'point': 'eth1',"
		"'points': 1,"
		"'back': {'experiment_id': 0, 'experiment': '(untagged)', 'activity_id': 0,"
		" 'activity': '(untagged)', 'carrier': 'none', 'label': null, 'bytes': 100,"
		" 'error_bytes': 0, 'packets': 1, 'samples': 1},"
		"'claim': {'experiment_id': 3, 'experiment': 'cms', 'activity_id': 14,"
		" 'activity': 'Analysis Input', 'sender': '2001:db8::1', 'producer': 'xrootd',"
		" 'provenance': 'end', 'state': 'ended', 'start': '2026-01-10T08:00:00.000Z',"
		" 'end': '2026-01-10T08:00:10.000Z', 'bytes_src_to_dst': 4400,"
		" 'bytes_dst_to_src': 80, 'turned': false, 'rtt_s': 0.0015,"
		" 'application': 'xrootd', 'oddities': []}}");
}

static void flows_are_chosen_and_ordered(void **state)
{
	assert_flows("/api/v1/flows", 4, "40001 40002 40004 40003 ");
	assert_flows("/api/v1/flows?limit=2", 4, "40001 40002 ");
	assert_flows("/api/v1/flows?claim=no", 1, "40004 ");
	assert_flows("/api/v1/flows?claim=yes&grade=disagree,claimed", 2, "40002 40003 ");
	assert_flows("/api/v1/flows?oddity=other_tag", 1, "40002 ");
	assert_flows("/api/v1/flows?state=active&grade=unregistered", 1, "40004 ");
	assert_flows("/api/v1/flows?state=active&grade=confirmed", 0, "");
	assert_flows("/api/v1/flows?filter=site%3DNORTH", 2, "40001 40002 ");
	assert_flows("/api/v1/flows?filter=dst_site%3DSOUTH", 1, "40001 ");
	/* the tag of what is claimed only is the claimed one */
	assert_flows("/api/v1/flows?filter=experiment%3Dcms", 2, "40001 40003 ");
	assert_flows("/api/v1/flows?filter=application%3Dxrootd+and+not+experiment%3Dcms", 1,
		     "40002 ");
	assert_flows("/api/v1/flows?filter=source%3Deth1+and+direction%3Dout&order=bytes", 3,
		     "40001 40002 40004 ");
	assert_flows("/api/v1/flows?filter=source%3Deth2", 0, "");
}

static size_t lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void flows_are_exported(void **state)
{
	struct answer a = ask_text("/api/v1/flows?format=csv");
	json_t *json;

	assert_string_equal(a.type, "text/csv; charset=utf-8; header=present");
	assert_int_equal(lines(a.body), 5);
	assert_int_equal(strncmp(a.body, "src,src_port,dst,dst_port,protocol,", 35), 0);
	assert_non_null(strstr(a.body, ",back_bytes,"));
	assert_non_null(strstr(a.body, ",claim_oddities\r\n"));
	/* RFC 4180: a cell with a comma or a quotation mark is quoted */
	assert_non_null(strstr(a.body, ",\"=cmd, \"\"x\"\"\","));
	answer_free(&a);
	a = ask_text("/api/v1/flows?format=ndjson&limit=2");
	assert_string_equal(a.type, "application/x-ndjson");
	assert_int_equal(lines(a.body), 2);
	*strchr(a.body, '\n') = '\0';
	json = json_loads(a.body, 0, NULL);
	assert_string_equal(text_at(json, "dst"), "2001:db8::2");
	json_decref(json);
	answer_free(&a);
}

static void the_collectors_names_are_an_option(void **state)
{
	json_t *got = ask("/api/v1/flows?grade=confirmed&fields=collector"), *flow;

	flow = json_incref(json_array_get(json_object_get(got, "flows"), 0));
	json_decref(got);
	/* meta.id is hmac.new(b"create flowid",
	 * b"|[flow-id][dst-ip]|2001:db8::2|[flow-id][dst-port]|40001"
	 * b"|[flow-id][protocol]|tcp|[flow-id][src-ip]|2001:db8::1|[flow-id][src-port]|1094|",
	 * "sha256") of Python; throughput 4400 / 10 */
	assert_json(
		flow,
		"{'meta': {'id': "
		"'4896035194196e9e7eee41722d2760f0fe0b1352429e2243cc5b0161c92e8b13',"
		" 'src_ip': '2001:db8::1', 'src_port': 1094, 'dst_ip': '2001:db8::2',"
		" 'dst_port': 40001, 'protocol': 'tcp', 'ip_version': 6, 'state': 'end',"
		" 'experiment_id': 3, 'activity_id': 14, 'experiment': 'cms',"
		" 'activity': 'Analysis Input', 'application': 'xrootd', 'sensor_id': 'eth1',"
		" 'cric': {'src': {'name': 'NORTH', 'net_site': null, 'rc_country': null,"
		"  'tier': null, 'asn': null, 'latitude': null, 'longitude': null},"
		"  'dst': {'name': 'SOUTH', 'net_site': null, 'rc_country': null, 'tier': null,"
		"  'asn': null, 'latitude': null, 'longitude': null}}},"
		"'start': '2026-01-10T08:00:00.000000Z', 'end': '2026-01-10T08:00:10.000000Z',"
		"'duration': 10.0, 'throughput': 440.0, 'total': 4480,"
		"'values': {'usage': {'sent': 4400, 'received': 80}, 'netlink': {'rtt': 1.5}}}");
}

/* --- who agrees --------------------------------------------------------------------------- */

static void tags_are_held_against_claims(void **state)
{
	json_t *got = ask("/api/v1/agreement"), *sender, *odd;

	/* A: 4500 + 100 bytes, both ways; B: 2000 */
	assert_json(
		json_incref(json_object_get(got, "cells")),
		"[{'wire': {'experiment_id': 2, 'experiment': 'atlas', 'activity_id': 17,"
		"  'activity': 'Analysis Input'}, 'claim': {'experiment_id': 3,"
		"  'experiment': 'cms', 'activity_id': 14, 'activity': 'Analysis Input'},"
		"  'verdict': 'other', 'flows': 1, 'bytes': 2000, 'flows_1h': 1, 'bytes_1h': 2000},"
		" {'wire': {'experiment_id': 3, 'experiment': 'cms', 'activity_id': 14,"
		"  'activity': 'Analysis Input'}, 'claim': {'experiment_id': 3,"
		"  'experiment': 'cms', 'activity_id': 14, 'activity': 'Analysis Input'},"
		"  'verdict': 'same', 'flows': 1, 'bytes': 4600, 'flows_1h': 1, 'bytes_1h': "
		"4600}]");
	assert_int_equal(json_integer_value(json_object_get(got, "senders_known")), 3);
	assert_int_equal(json_array_size(json_object_get(got, "senders")), 3);
	sender = json_array_get(json_object_get(got, "senders"), 0); /* heard last */
	assert_string_equal(text_at(sender, "sender"), "2001:db8::1");
	assert_string_equal(text_at(sender, "producer"), "xrootd");
	assert_int_equal(json_integer_value(json_object_get(sender, "fireflies")), 2);
	assert_int_equal(json_integer_value(json_object_get(sender, "joined")), 1);
	/* heard 20 ms after it was said */
	assert_true(fabs(json_real_value(json_object_get(sender, "clock_offset_s")) - 0.02) < 1e-9);
	for (size_t i = 1; i < 3; i++) {
		sender = json_array_get(json_object_get(got, "senders"), i);
		if (!strcmp(text_at(sender, "sender"), "2001:db8::3"))
			break;
	}
	odd = json_array_get(json_object_get(sender, "oddities"), 0);
	assert_string_equal(text_at(odd, "oddity"), "other_tag");
	assert_true(strlen(text_at(odd, "hint")) > 20);
	assert_json(json_incref(json_object_get(odd, "flows")),
		    "[{'src': '2001:db8::3', 'src_port': 1094, 'dst': '2001:db8::4',"
		    " 'dst_port': 40002, 'protocol': 'tcp'}]");
	json_decref(got);
}

/* --- from the store ----------------------------------------------------------------------- */

#define MINUTE "from=2026-01-10T08:00:00Z&to=2026-01-10T08:01:00Z"

static void sites_are_told_by_pair(void **state)
{
	json_t *got = ask("/api/v1/sites?" MINUTE);

	assert_json(
		json_incref(json_object_get(got, "pairs")),
		"[{'src_site': 'NORTH', 'dst_site': 'SOUTH', 'bytes': 4500, 'error_bytes': 0,"
		"  'packets': 3, 'samples': 3, 'experiments': [{'experiment_id': 3,"
		"  'experiment': 'cms', 'bytes': 4500}]},"
		" {'src_site': 'NORTH', 'dst_site': '(unknown)', 'bytes': 2000, 'error_bytes': 0,"
		"  'packets': 2, 'samples': 2, 'experiments': [{'experiment_id': 2,"
		"  'experiment': 'atlas', 'bytes': 2000}]},"
		" {'src_site': '(unknown)', 'dst_site': '(unknown)', 'bytes': 700,"
		"  'error_bytes': 0, 'packets': 1, 'samples': 1, 'experiments': [{"
		"  'experiment_id': -1, 'experiment': '(other unregistered)', 'bytes': 700}]},"
		" {'src_site': 'SOUTH', 'dst_site': 'NORTH', 'bytes': 100, 'error_bytes': 0,"
		"  'packets': 1, 'samples': 1, 'experiments': [{'experiment_id': 3,"
		"  'experiment': 'cms', 'bytes': 100}]}]"); /* the way back is claimed */
	assert_json(json_incref(json_object_get(got, "sites")),
		    "[{'name': '(unknown)', 'country': null, 'tier': null, 'latitude': null,"
		    "  'longitude': null, 'sent_bytes': 700, 'received_bytes': 2700},"
		    " {'name': 'NORTH', 'country': null, 'tier': null, 'latitude': null,"
		    "  'longitude': null, 'sent_bytes': 6500, 'received_bytes': 100},"
		    " {'name': 'SOUTH', 'country': null, 'tier': null, 'latitude': null,"
		    "  'longitude': null, 'sent_bytes': 100, 'received_bytes': 4500}]");
	assert_int_equal(json_integer_value(json_object_get(got, "bytes")), 7300);
	assert_int_equal(json_integer_value(json_object_get(got, "matching")), 4);
	json_decref(got);
	got = ask("/api/v1/sites?" MINUTE "&limit=1&filter=src_site%3DNORTH");
	assert_int_equal(json_array_size(json_object_get(got, "pairs")), 1);
	assert_int_equal(json_integer_value(json_object_get(got, "matching")), 2);
	assert_int_equal(json_integer_value(json_object_get(got, "bytes")), 6500);
	json_decref(got);
	got = ask("/api/v1/top?" MINUTE "&group=src_site&filter=dst_site%3DSOUTH");
	assert_json(json_incref(json_object_get(json_array_get(json_object_get(got, "rows"), 0),
						"key")),
		    "{'src_site': 'NORTH'}");
	json_decref(got);
}

static void coverage_is_told_by_site_and_sender(void **state)
{
	json_t *got = ask("/api/v1/coverage?" MINUTE), *tags;

	assert_json(json_incref(json_array_get(json_object_get(got, "sites"), 0)),
		    "{'site': 'NORTH', 'bytes': 6500, 'untagged': 0, 'unregistered': 0,"
		    " 'registered': 0, 'confirmed': 4500, 'disagree': 2000, 'claimed': 0,"
		    " 'tagged_share': 0.692307692308}"); /* 4500 / 6500 */
	assert_int_equal(json_array_size(json_object_get(got, "sites")), 3);
	assert_int_equal(json_array_size(json_object_get(got, "senders")), 3);
	/* one unregistered flow: 1 / 32654 of a flow is expected on each pair, so that one flow is
	 * not yet beyond chance: it comes with a probability of 3.06e-5 */
	tags = json_object_get(json_object_get(got, "label_flows"), "tags");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(got, "label_flows"),
							    "unregistered_flows")),
			 1);
	assert_json(json_incref(tags),
		    "[{'experiment_id': 2, 'experiment': 'atlas', 'activity_id': 17,"
		    "  'activity': 'Analysis Input', 'flows': 1, 'expected': 3.06241195566e-05,"
		    "  'significant': false},"
		    " {'experiment_id': 3, 'experiment': 'cms', 'activity_id': 14,"
		    "  'activity': 'Analysis Input', 'flows': 1, 'expected': 3.06241195566e-05,"
		    "  'significant': false}]");
	assert_int_equal(json_array_size(json_object_get(got, "tags_now")), 2);
	json_decref(got);
	/* pairs of sites know no carriers */
	got = ask("/api/v1/coverage?" MINUTE "&filter=carrier%3Dlabel");
	assert_true(json_is_null(json_object_get(got, "sites")));
	json_decref(got);
}

static void durations_are_told_by_experiment(void **state)
{
	json_t *got = ask("/api/v1/durations?" MINUTE "&bins=yes");

	/* 10,000 ms lie in bin floor(8 * log2(10000)) = 106, from 9.742 s to 10.624 s; its middle
	 * is beyond the largest */
	assert_json(
		json_incref(json_object_get(got, "rows")),
		"[{'key': {'experiment_id': 3, 'experiment': 'cms'}, 'flows': 1, 'median': 10.0,"
		"  'p95': 10.0, 'max': 10.0, 'bins': [{'from': 9.7419846861, 'to': 10.6237096317,"
		"  'flows': 1}]}]");
	json_decref(got);
	got = ask("/api/v1/durations?" MINUTE "&kind=bytes&group=");
	assert_json(
		json_incref(json_object_get(got, "rows")),
		"[{'key': {}, 'flows': 1, 'median': 4277.34541282,"
		" 'p95': 4277.34541282, 'max': 4400.0}]"); /* 2^(96.5 / 8): of bin 96 the middle */
	assert_string_equal(text_at(got, "unit"), "bytes");
	json_decref(got);
}

static void claims_are_told_as_they_flowed_and_as_they_are_booked(void **state)
{
	json_t *got = ask("/api/v1/claims?" MINUTE "&group=application");
	struct answer a;

	assert_int_equal(json_integer_value(json_object_get(got, "step_s")), 60);
	assert_json(json_incref(json_array_get(json_object_get(got, "series"), 0)),
		    "{'key': {'application': 'xrootd'}, 'rest': false, 'bytes': [4400],"
		    " 'end_bytes': [4400], 'starts': [2], 'ends': [1], 'total': 4400,"
		    " 'total_end_bytes': 4400}");
	json_decref(got);
	got = ask("/api/v1/series?" MINUTE "&filter=application%3Dxrootd&unit=end_bytes");
	assert_json(json_incref(json_array_get(json_object_get(got, "series"), 0)),
		    "{'key': {'experiment_id': 3, 'experiment': 'cms', 'activity_id': 14,"
		    " 'activity': 'Analysis Input'}, 'rest': false, 'end_bytes': [4400],"
		    " 'total': 4400}");
	json_decref(got);
	a = ask_text("/api/v1/claims?" MINUTE "&group=experiment&format=csv");
	assert_string_equal(a.body,
			    "time,experiment_id,experiment,rest,bytes,end_bytes,starts,ends\r\n"
			    "2026-01-10T08:00:00Z,3,cms,false,4400,4400,3,1\r\n");
	answer_free(&a);
}

/* --- later: the flows have ended ---------------------------------------------------------- */

static void what_ended_is_found_in_the_database(void **state)
{
	json_t *before = ask("/api/v1/flows?grade=confirmed"), *got, *live, *ended;
	static const char *const may_differ[] = {"label", "state", "why", "samples"};

	for (int i = 11; i < 130; i++)
		end_second(T + i);
	assert_int_equal(store_flush(f.api.store, 5000), 0);
	assert_flows("/api/v1/flows", 1, "40003 "); /* announced and silent: for an hour */
	got = ask("/api/v1/flows?state=ended&grade=confirmed&from=2026-01-10T08:00:00Z"
		  "&to=2026-01-10T09:00:00Z");
	assert_int_equal(json_integer_value(json_object_get(got, "matching")), 1);
	ended = json_array_get(json_object_get(got, "flows"), 0);
	live = json_array_get(json_object_get(before, "flows"), 0);
	for (size_t i = 0; i < 4; i++) {
		json_object_del(live, may_differ[i]);
		json_object_del(ended, may_differ[i]);
	}
	/* the database has the samples of both ways together */
	json_object_del(json_object_get(live, "back"), "samples");
	json_object_del(json_object_get(ended, "back"), "samples");
	assert_true(json_equal(live, ended));
	json_decref(before);
	json_decref(got);
#define ENDED "/api/v1/flows?state=ended&from=2026-01-10T08:00:00Z&to=2026-01-10T09:00:00Z"
	assert_flows(ENDED, 3, "40001 40002 40004 ");
	assert_flows(ENDED "&order=bytes&limit=1", 3, "40001 ");
	assert_flows(ENDED "&filter=application%3Dxrootd+and+site%3DNORTH", 2, "40001 40002 ");
	assert_flows(ENDED "&filter=not+experiment%3Dcms+and+direction%3Dout&grade=unregistered", 1,
		     "40004 ");
	assert_flows(ENDED "&oddity=other_tag&claim=yes", 1, "40002 ");
	assert_flows("/api/v1/flows?state=ended&from=-5s", 0, "");
}

static void health_and_metrics_tell_of_the_join(void **state)
{
	json_t *got = ask("/api/v1/health"), *join = json_object_get(got, "join");
	struct answer a = ask_text("/metrics");

	assert_int_equal(json_integer_value(json_object_get(join, "senders")), 3);
	assert_int_equal(json_integer_value(json_object_get(join, "claims_begun")), 3);
	assert_int_equal(json_integer_value(json_object_get(join, "claims_joined")), 2);
	assert_int_equal(json_integer_value(json_object_get(join, "flows_max")), JOIN_FLOWS_MAX);
	assert_true(json_integer_value(json_object_get(join, "memory_bytes")) > 0);
	json_decref(got);
	assert_non_null(strstr(a.body, "\nscitag_claims_begun_total 3\n"));
	assert_non_null(strstr(a.body, "\nscitag_flows_evicted_total 0\n"));
	assert_null(strstr(a.body, "2001:db8"));
	answer_free(&a);
}

static void a_full_table_is_named(void **state)
{
	const struct join_config small = {.flows_max = 16, .claims_max = 16};
	struct join *large = f.api.join;
	json_t *got;

	assert_int_equal(join_open(&f.api.join, &small, f.api.store), 0);
	for (int i = 0; i < 16; i++)
		see(T + 300, key(30, 1000 + i, 31, 2000), NONE, GRADE_UNTAGGED, 1, 100);
	end_second(T + 300);
	got = ask("/api/v1/health");
	assert_non_null(
		strstr(json_string_value(json_array_get(json_object_get(got, "reasons"), 0)),
		       "16 flows are followed, there is room for 16"));
	json_decref(got);
	join_close(f.api.join);
	f.api.join = large;
}

static void points_that_see_the_same_are_named(void **state)
{
	json_t *got;

	for (int i = 0; i < 12; i++) {
		see(T + 200, key(20, 1000 + i, 21, 2000), NONE, GRADE_UNTAGGED, 1, 100);
		if (i == 7) /* a second has 16 places here */
			end_second(T + 200);
	}
	end_second(T + 201);
	for (int i = 0; i < 12; i++) {
		see(T + 202, key(20, 1000 + i, 21, 2000), NONE, GRADE_UNTAGGED, 1, 100)->source =
			f.eth2;
		if (i == 7)
			end_second(T + 202);
	}
	end_second(T + 203);
	got = ask("/api/v1/health");
	/* eth1 saw four more within ten minutes: each way counts */
	assert_json(json_incref(json_array_get(json_object_get(got, "overlaps"), 0)),
		    "{'a': 'eth1', 'b': 'eth2', 'flows': 12, 'flows_a': 16, 'flows_b': 12}");
	assert_non_null(
		strstr(json_string_value(json_array_get(json_object_get(got, "reasons"), 0)),
		       "eth1 and eth2 see the same flows: 12"));
	json_decref(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_is_told_whole),
		cmocka_unit_test(flows_are_chosen_and_ordered),
		cmocka_unit_test(flows_are_exported),
		cmocka_unit_test(the_collectors_names_are_an_option),
		cmocka_unit_test(tags_are_held_against_claims),
		cmocka_unit_test(sites_are_told_by_pair),
		cmocka_unit_test(coverage_is_told_by_site_and_sender),
		cmocka_unit_test(durations_are_told_by_experiment),
		cmocka_unit_test(claims_are_told_as_they_flowed_and_as_they_are_booked),
		/* from here on it is later */
		cmocka_unit_test(what_ended_is_found_in_the_database),
		cmocka_unit_test(health_and_metrics_tell_of_the_join),
		cmocka_unit_test(points_that_see_the_same_are_named),
		cmocka_unit_test(a_full_table_is_named),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
