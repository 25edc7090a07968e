/* A flow under the names that the firefly collectors give it (scitags/firefly-collector, its
 * Logstash pipeline), so that what reads their output can read ours. The names are theirs; the
 * values are right where theirs are not: ends are as their sender names them, never exchanged,
 * durations are of repaired intervals, counts of this flow alone. */
#include <math.h>
#include <nettle/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "join/sites.h"
#include "web/api.h"
#include "web/names.h"

/* Logstash's fingerprint filter over these five members, "|name|value" in the order of their names:
 * HMAC-SHA-256 under this key. */
#define FLOW_ID_KEY "create flowid"

static json_t *flow_id(const char *src, const char *dst, const struct flow_key *k,
		       const char *protocol)
{
	struct hmac_sha256_ctx hmac;
	uint8_t digest[SHA256_DIGEST_SIZE];
	char text[256], hex[2 * SHA256_DIGEST_SIZE + 1];

	snprintf(text, sizeof(text),
		 "|[flow-id][dst-ip]|%s|[flow-id][dst-port]|%u|[flow-id][protocol]|%s"
		 "|[flow-id][src-ip]|%s|[flow-id][src-port]|%u|",
		 dst, k->dst_port, protocol, src, k->src_port);
	hmac_sha256_set_key(&hmac, strlen(FLOW_ID_KEY), (const uint8_t *)FLOW_ID_KEY);
	hmac_sha256_update(&hmac, strlen(text), (const uint8_t *)text);
	hmac_sha256_digest(&hmac, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return json_string(hex);
}

static json_t *time_text(int64_t utc_us)
{
	char text[32];

	if (utc_us == CLOCK_NEVER)
		return json_null();
	return json_string(clock_format_utc(text, sizeof(text), utc_us, 6));
}

static json_t *site(const struct question *q, uint16_t id, const uint8_t ip[16])
{
	struct site_info info = {.tier = -1};
	json_t *o = json_object();

	if (q->api->join)
		join_address(q->api->join, ip, &info);
	if (id)
		snprintf(info.name, sizeof(info.name), "%s", name_site(q->api->store, id));
	json_object_set_new(o, "name", info.name[0] ? json_words(info.name) : json_null());
	json_object_set_new(o, "net_site",
			    info.network[0] ? json_words(info.network) : json_null());
	json_object_set_new(o, "rc_country",
			    info.country[0] ? json_words(info.country) : json_null());
	json_object_set_new(o, "tier", info.tier < 0 ? json_null() : json_integer(info.tier));
	json_object_set_new(o, "asn", info.asn ? json_integer(info.asn) : json_null());
	json_object_set_new(o, "latitude", json_number(info.has_place ? info.latitude : NAN));
	json_object_set_new(o, "longitude", json_number(info.has_place ? info.longitude : NAN));
	return o;
}

/* "Unknown" is their word for what no registry names. */
static const char *or_unknown(const char *name)
{
	return name ? name : "Unknown";
}

static json_t *meta(const struct question *q, const struct flow_view *v, const struct flow_key *key,
		    int turned)
{
	const struct flow *f = &v->flow;
	struct scitag tag = f->has_claim ? v->claim.tag : f->way[FLOW_THERE].tag;
	json_t *src = api_ip(key->src_ip), *dst = api_ip(key->dst_ip);
	json_t *protocol = api_protocol(key->protocol), *o = json_object();

	json_object_set_new(o, "id",
			    flow_id(json_string_value(src), json_string_value(dst), key,
				    json_string_value(protocol)));
	json_object_set_new(o, "src_ip", src);
	json_object_set_new(o, "src_port", json_integer(key->src_port));
	json_object_set_new(o, "dst_ip", dst);
	json_object_set_new(o, "dst_port", json_integer(key->dst_port));
	json_object_set_new(o, "protocol", protocol);
	json_object_set_new(o, "ip_version", json_integer(key->family));
	json_object_set_new(o, "state",
			    json_string(f->has_claim && v->claim.state == CLAIM_OPEN ? "start"
					: f->state == FLOW_ACTIVE                    ? "ongoing"
										     : "end"));
	json_object_set_new(o, "experiment_id", json_integer(tag.experiment));
	json_object_set_new(o, "activity_id", json_integer(tag.activity));
	json_object_set_new(
		o, "experiment",
		json_words(or_unknown(registry_experiment_name(q->registry, tag.experiment))));
	json_object_set_new(o, "activity",
			    json_words(or_unknown(registry_activity_name(
				    q->registry, tag.experiment, tag.activity))));
	json_object_set_new(o, "application", json_words(v->claim.application));
	json_object_set_new(o, "sensor_id", json_words(store_source_name(q->api->store, f->point)));
	json_object_set_new(o, "cric",
			    json_pack("{s:o, s:o}", "src",
				      site(q, turned ? f->dst_site : f->src_site, key->src_ip),
				      "dst",
				      site(q, turned ? f->src_site : f->dst_site, key->dst_ip)));
	return o;
}

json_t *collector_flow(const struct question *q, const struct flow_view *v)
{
	const struct flow *f = &v->flow;
	const struct claim *c = &v->claim;
	const struct flow_key *key = f->has_claim ? &c->key : &f->key;
	uint64_t sent = f->has_claim ? c->src_to_dst_bytes : f->way[FLOW_THERE].bytes;
	uint64_t received = f->has_claim ? c->dst_to_src_bytes : f->way[FLOW_BACK].bytes;
	int64_t start = f->has_claim ? c->start_utc_us : f->first_utc_us;
	int64_t end = f->has_claim ? c->end_utc_us : f->last_utc_us;
	int said = sent != FIREFLY_BYTES_UNSAID && received != FIREFLY_BYTES_UNSAID;
	double duration = NAN, more = (double)(sent > received ? sent : received);
	json_t *o = json_object();

	if (start != CLOCK_NEVER && end != CLOCK_NEVER && end >= start)
		duration = round((double)(end - start) / 1000) / 1000;
	said = said && duration > 0;
	json_object_set_new(o, "meta", meta(q, v, key, f->has_claim && api_claim_is_turned(v)));
	json_object_set_new(o, "start", time_text(start));
	json_object_set_new(o, "end", time_text(end));
	json_object_set_new(o, "duration", json_number(duration));
	json_object_set_new(o, "throughput", json_number(said ? more / duration : NAN));
	json_object_set_new(o, "total", said ? json_count(sent + received) : json_null());
	json_object_set_new(
		o, "values",
		json_pack("{s:{s:o, s:o}, s:{s:o}}", "usage", "sent",
			  sent == FIREFLY_BYTES_UNSAID ? json_null() : json_count(sent), "received",
			  received == FIREFLY_BYTES_UNSAID ? json_null() : json_count(received),
			  "netlink", "rtt",
			  json_number(f->has_claim && c->rtt_us >= 0 ? (double)c->rtt_us / 1000
								     : NAN)));
	return o;
}
