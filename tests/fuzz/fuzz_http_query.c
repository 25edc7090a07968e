/* A request's URI, from anyone: taken apart, its values read, the question asked of a real store.
 * Every answer is what its route promises or a problem document, and all of it is UTF-8 JSON. Run:
 * fuzz_http_query tests/fuzz/corpus/http_query */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "join/join.h"
#include "registry/keeper.h"
#include "store/store.h"
#include "web/address.h"
#include "web/api.h"

#define NOW_UTC_S 1768032000LL

static struct api api;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct registry_keeper_config rc = {0};
	struct store_config sc;
	struct join_config jc = {.flows_max = 1024, .claims_max = 1024};
	struct bucket *b = bucket_new(NOW_UTC_S - 1, 1, 0, 0);
	struct heard heard = {.heard_utc_us = (NOW_UTC_S - 1) * US_PER_S};
	struct seen seen = {.first_utc_us = (NOW_UTC_S - 1) * US_PER_S,
			    .last_utc_us = (NOW_UTC_S - 1) * US_PER_S + 1};

	log_open(LOG_LEVEL_ERROR, 0);
	store_config_default(&sc);
	sc.url = "sqlite::memory:";
	if (!b || store_open(&api.store, &sc) || registry_keeper_open(&api.registry, &rc))
		abort();
	api.live = live_open();
	api.metrics = metrics_open();
	api.version = "0";
	b->rows[0] = (struct traffic_row){
		.key = {store_source_id(api.store, "eth1", SOURCE_CAPTURE), DIRECTION_IN, 6,
			CARRIER_LABEL, GRADE_REGISTERED, 3, 14},
		.value = {1, 1500, 1486, 1, 0, 1}};
	if (join_open(&api.join, &jc, api.store))
		abort();
	seen.key = (struct flow_key){.src_ip = {0x20, 1},
				     .dst_ip = {0x20, 2},
				     .src_port = 1,
				     .dst_port = 2,
				     .protocol = 6,
				     .family = 6};
	seen.packets = seen.samples = 1;
	seen.bytes = 1500;
	seen.ip_bytes = 1486;
	seen.source = b->rows[0].key.source;
	seen.direction = DIRECTION_IN;
	seen.tag = (struct packet_tag){
		.tag = {3, 14}, .carrier = CARRIER_LABEL, .grade = GRADE_REGISTERED};
	heard.firefly = (struct firefly){.state = FIREFLY_END,
					 .key = seen.key,
					 .tag = {3, 14},
					 .start_utc_us = seen.first_utc_us,
					 .end_utc_us = seen.last_utc_us,
					 .current_utc_us = seen.last_utc_us,
					 .application = "x"};
	if (join_second(api.join, b, &seen, 1, &heard, 1))
		abort();
	live_add(api.live, b);
	store_put(api.store, b);
	return 0;
}

static void check(const struct answer *a)
{
	json_t *json;

	if (!a->body || strlen(a->body) != a->len_bytes ||
	    (a->status != 200 && a->status != 400 && a->status != 503))
		abort();
	if (strcmp(a->type, TYPE_JSON) && strcmp(a->type, TYPE_PROBLEM))
		return;
	json = json_loadb(a->body, a->len_bytes, 0, NULL);
	if (!json)
		abort();
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *uri = malloc(size + 1);
	const struct api_route *route;
	struct answer a = {0};
	const char *why;
	struct query q;

	if (!uri)
		return 0;
	memcpy(uri, data, size);
	uri[size] = '\0';
	address_host_known(uri, NULL, "dtn1.example.org", NULL);
	if (size <= QUERY_URI_MAX_BYTES && query_parse(&q, uri, &why) == 0) {
		route = api_find(q.path);
		if (route && route->answer && route->answer != answer_openapi) {
			api_answer(&api, route, &q, NOW_UTC_S * US_PER_S, &a);
			check(&a);
			answer_free(&a);
		}
	}
	free(uri);
	return 0;
}
