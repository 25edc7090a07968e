/* Flows: those of the moment from the join, those that ended from the database; one shape for both. */
#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/names.h"

#define WHY_BYTES 640

/* --- names -------------------------------------------------------------------------------- */

static const struct {
	uint32_t bit;
	const char *name;
} evidence[] = {
	{FLOW_OPTION, "option"},
	{FLOW_CLAIM_SAME, "claim_same"},
	{FLOW_CLAIM_OTHER, "claim_other"},
	{FLOW_TRANSITION, "transition"},
	{FLOW_HOST_EXCESS, "host_excess"},
	{FLOW_BOTH_WAYS, "both_ways"},
	{FLOW_BIT19, "bit19"},
	{FLOW_HEADERS_DIFFER, "headers_differ"},
	{FLOW_NAT, "nat"},
	{FLOW_ONE_PORT, "one_port"},
	{FLOW_SAME_HOSTS, "same_hosts"},
	{FLOW_REVERSED, "reversed"},
	{FLOW_CLAIM_STRANGER, "claim_stranger"},
	{FLOW_SEVERAL_POINTS, "several_points"},
	{FLOW_CLAIM_DEAD, "claim_dead"},
};

static const char *flow_state_name(uint8_t state)
{
	return state == FLOW_ACTIVE ? "active" : state == FLOW_EVICTED ? "evicted" : "ended";
}

static const char *claim_state_name(uint8_t state)
{
	static const char *const names[] = {[CLAIM_OPEN] = "open",
					    [CLAIM_ENDED] = "ended",
					    [CLAIM_SUPERSEDED] = "superseded",
					    [CLAIM_EXPIRED] = "expired",
					    [CLAIM_EVICTED] = "evicted"};

	return state <= CLAIM_EVICTED ? names[state] : NULL;
}

const char *api_provenance_name(unsigned int provenance)
{
	return provenance == CLAIM_FROM_END     ? "end"
	       : provenance == CLAIM_FROM_RELAY ? "relay"
						: "stranger";
}

static json_t *json_evidence(uint32_t bits)
{
	json_t *names = json_array();

	for (size_t i = 0; i < sizeof(evidence) / sizeof(evidence[0]); i++)
		if (bits & evidence[i].bit)
			json_array_append_new(names, json_string(evidence[i].name));
	return names;
}

json_t *api_oddities(uint32_t bits)
{
	json_t *names = json_array();

	for (unsigned int bit = 0; bit < CLAIM_ODDITIES; bit++)
		if (bits & 1u << bit)
			json_array_append_new(names, json_string(claim_oddity_name(bit)));
	return names;
}

json_t *api_ip(const uint8_t ip[16])
{
	char text[INET6_ADDRSTRLEN];

	if (flow_ip_is_ipv4(ip))
		return json_string(inet_ntop(AF_INET, ip + 12, text, sizeof(text)));
	return json_string(inet_ntop(AF_INET6, ip, text, sizeof(text)));
}

json_t *api_protocol(uint8_t protocol)
{
	char text[8];

	switch (protocol) {
	case 1:
		return json_string("icmp");
	case 6:
		return json_string("tcp");
	case 17:
		return json_string("udp");
	case 58:
		return json_string("ipv6-icmp");
	case 132:
		return json_string("sctp");
	default:
		snprintf(text, sizeof(text), "%u", protocol);
		return json_string(text);
	}
}

static json_t *json_time_ms(int64_t utc_us)
{
	char text[32];

	if (utc_us == CLOCK_NEVER)
		return json_null();
	return json_string(clock_format_utc(text, sizeof(text), utc_us, 3));
}

static json_t *json_bytes_said(uint64_t bytes)
{
	return bytes == FIREFLY_BYTES_UNSAID ? json_null() : json_count(bytes);
}

static json_t *json_label(const struct flow_way *w)
{
	char text[16];

	if (!w->label)
		return json_null();
	snprintf(text, sizeof(text), "0x%05x", w->label);
	return json_string(text);
}

/* --- a flow ------------------------------------------------------------------------------- */

/* Which end of the flow its claim calls the source; an address or a port may differ (NAT, one
 * port). */
int api_claim_is_turned(const struct flow_view *v)
{
	const struct flow_key *f = &v->flow.key, *c = &v->claim.key;
	int same = !memcmp(f->src_ip, c->src_ip, 16) + !memcmp(f->dst_ip, c->dst_ip, 16) +
		   (f->src_port == c->src_port) + (f->dst_port == c->dst_port);
	int turned = !memcmp(f->src_ip, c->dst_ip, 16) + !memcmp(f->dst_ip, c->src_ip, 16) +
		     (f->src_port == c->dst_port) + (f->dst_port == c->src_port);

	return turned > same;
}

static json_t *json_claim(const struct question *q, const struct flow_view *v)
{
	const struct claim *c = &v->claim;
	int turned = api_claim_is_turned(v);
	json_t *o = json_object();

	name_tag(o, c->tag.experiment, c->tag.activity, q->registry);
	json_object_set_new(o, "sender", api_ip(c->sender_ip));
	json_object_set_new(o, "producer", json_string(firefly_producer_name(c->producer)));
	json_object_set_new(o, "provenance", json_string(api_provenance_name(c->provenance)));
	json_object_set_new(o, "state", json_words(claim_state_name(c->state)));
	json_object_set_new(o, "start", json_time_ms(c->start_utc_us));
	json_object_set_new(o, "end", json_time_ms(c->end_utc_us));
	json_object_set_new(o, "bytes_src_to_dst",
			    json_bytes_said(turned ? c->dst_to_src_bytes : c->src_to_dst_bytes));
	json_object_set_new(o, "bytes_dst_to_src",
			    json_bytes_said(turned ? c->src_to_dst_bytes : c->dst_to_src_bytes));
	json_object_set_new(o, "turned", json_boolean(turned));
	json_object_set_new(o, "rtt_s",
			    json_number(c->rtt_us < 0 ? NAN : (double)c->rtt_us / US_PER_S));
	json_object_set_new(o, "application", json_words(c->application));
	json_object_set_new(o, "oddities", api_oddities(c->oddities));
	return o;
}

static uint64_t error_of(const struct flow_way *w)
{
	const struct traffic_value v = {.bytes_variance = w->bytes_variance};

	return api_error_bytes(&v);
}

static json_t *json_back(const struct question *q, const struct flow_way *w)
{
	json_t *o = json_object();

	name_tag(o, w->tag.experiment, w->tag.activity, q->registry);
	json_object_set_new(o, "carrier", json_string(carrier_name(w->carrier)));
	json_object_set_new(o, "label", json_label(w));
	json_object_set_new(o, "bytes", json_count(w->bytes));
	json_object_set_new(o, "error_bytes", json_count(error_of(w)));
	json_object_set_new(o, "packets", json_count(w->packets));
	json_object_set_new(o, "samples", json_count(w->samples));
	return o;
}

/* Of src -> dst, also where only the way back was seen. */
static uint8_t direction_of(const struct flow *f)
{
	uint8_t back = f->way[FLOW_BACK].direction;

	if (f->way[FLOW_THERE].direction)
		return f->way[FLOW_THERE].direction;
	return back == DIRECTION_IN ? DIRECTION_OUT : back == DIRECTION_OUT ? DIRECTION_IN : back;
}

/* As seen; of a flow that was not, as claimed. */
static void life_of(const struct flow_view *v, int64_t *first_utc_us, int64_t *last_utc_us)
{
	*first_utc_us = v->flow.first_utc_us;
	*last_utc_us = v->flow.last_utc_us;
	if (*first_utc_us != CLOCK_NEVER || !v->flow.has_claim)
		return;
	*first_utc_us = v->claim.start_utc_us;
	*last_utc_us = v->claim.end_utc_us;
}

static double duration_s(int64_t first_utc_us, int64_t last_utc_us)
{
	if (first_utc_us == CLOCK_NEVER || last_utc_us == CLOCK_NEVER)
		return NAN;
	return (double)(last_utc_us - first_utc_us) / US_PER_S;
}

static json_t *json_flow(const struct question *q, const struct flow_view *v)
{
	const struct flow *f = &v->flow;
	const struct flow_way *there = &f->way[FLOW_THERE];
	int seen = f->first_utc_us != CLOCK_NEVER;
	json_t *o = json_object();
	int64_t first, last;
	char why[WHY_BYTES];
	double s;

	life_of(v, &first, &last);
	s = duration_s(first, last);
	json_object_set_new(o, "src", api_ip(f->key.src_ip));
	json_object_set_new(o, "src_port", json_integer(f->key.src_port));
	json_object_set_new(o, "dst", api_ip(f->key.dst_ip));
	json_object_set_new(o, "dst_port", json_integer(f->key.dst_port));
	json_object_set_new(o, "protocol", api_protocol(f->key.protocol));
	json_object_set_new(o, "family", json_integer(f->key.family));
	json_object_set_new(o, "state", json_string(flow_state_name(f->state)));
	json_object_set_new(o, "seen", json_boolean(seen));
	json_object_set_new(o, "grade", json_string(grade_name(f->grade)));
	json_object_set_new(o, "why", json_words(flow_why(why, sizeof(why), v)));
	json_object_set_new(o, "evidence", json_evidence(f->evidence));
	name_tag(o, there->tag.experiment, there->tag.activity, q->registry);
	json_object_set_new(o, "carrier", json_string(carrier_name(there->carrier)));
	json_object_set_new(o, "label", json_label(there));
	json_object_set_new(o, "direction", json_string(direction_name(direction_of(f))));
	json_object_set_new(o, "bytes", json_count(there->bytes));
	json_object_set_new(o, "error_bytes", json_count(error_of(there)));
	json_object_set_new(o, "packets", json_count(there->packets));
	json_object_set_new(o, "samples", json_count(there->samples));
	json_object_set_new(o, "bytes_per_s",
			    json_number(seen ? (double)there->bytes / fmax(s, 1) : NAN));
	json_object_set_new(o, "first", json_time_ms(first));
	json_object_set_new(o, "last", json_time_ms(last));
	json_object_set_new(o, "duration_s", json_number(s));
	json_object_set_new(o, "src_site", json_words(name_site(q->api->store, f->src_site)));
	json_object_set_new(o, "dst_site", json_words(name_site(q->api->store, f->dst_site)));
	json_object_set_new(o, "point", json_words(store_source_name(q->api->store, f->point)));
	json_object_set_new(o, "points", json_integer(f->n_points));
	json_object_set_new(o, "back", json_back(q, &f->way[FLOW_BACK]));
	json_object_set_new(o, "claim", f->has_claim ? json_claim(q, v) : json_null());
	return o;
}

/* A flow with everything that one may have: the columns of CSV. */
static json_t *columns(const struct question *q)
{
	const struct flow_view all = {.flow.has_claim = 1, .flow.state = FLOW_ACTIVE};

	return q->collector_fields ? collector_flow(q, &all) : json_flow(q, &all);
}

/* --- from the join ------------------------------------------------------------------------ */

static int is_wanted(void *arg, const struct flow_view *v)
{
	const struct question *q = arg;
	const struct flow *f = &v->flow;
	const struct flow_way *way = &f->way[FLOW_THERE];
	struct traffic_key key = {.source = f->point,
				  .direction = direction_of(f),
				  .family = f->key.family,
				  .grade = f->grade,
				  .src_site = f->src_site,
				  .dst_site = f->dst_site};
	int application;

	if (q->age == FLOWS_ACTIVE && f->state != FLOW_ACTIVE)
		return 0;
	if (!q->filter)
		return 1;
	if (!way->tag.experiment && !way->tag.activity)
		way = &f->way[FLOW_BACK];
	if (!way->tag.experiment && !way->tag.activity)
		way = &f->way[FLOW_THERE];
	key.carrier = way->carrier;
	key.experiment = f->grade == GRADE_CLAIMED ? v->claim.tag.experiment : way->tag.experiment;
	key.activity = f->grade == GRADE_CLAIMED ? v->claim.tag.activity : way->tag.activity;
	if (f->has_claim && filter_dims(q->filter) & DIM_BIT(DIM_APPLICATION)) {
		application = store_application_find(q->api->store, v->claim.application);
		key.application = application > 0 ? (uint16_t)application : 0;
	}
	return filter_match(q->filter, &key);
}

static size_t live_flows(const struct question *q, struct flow_view *views, size_t *matching)
{
	const struct flow_question fq = {.grades = q->grades,
					 .has_claim = q->has_claim,
					 .oddities = q->oddities,
					 .order = q->order,
					 .now_utc_us = q->now_utc_us,
					 .want = is_wanted,
					 .arg = (void *)(uintptr_t)q};

	*matching = 0;
	return q->api->join ? join_flows(q->api->join, &fq, views, q->limit, matching) : 0;
}

/* --- from the database -------------------------------------------------------------------- */

static struct flow_view view_of(const struct flow_row *r)
{
	struct flow_view v = {
		.flow = {.key = r->key,
			 .first_utc_us = r->first_utc_us,
			 .last_utc_us = r->last_utc_us,
			 .point = r->point,
			 .n_points = r->first_utc_us == CLOCK_NEVER      ? 0
				     : r->evidence & FLOW_SEVERAL_POINTS ? 2
									 : 1,
			 .grade = r->grade,
			 .state = r->state,
			 .has_claim = r->claim_experiment >= 0,
			 .src_site = r->src_site,
			 .dst_site = r->dst_site,
			 .evidence = r->evidence},
		.claim = {.key = r->key,
			  .tag = {(uint16_t)r->claim_experiment, (uint16_t)r->claim_activity},
			  .oddities = r->oddities,
			  .start_utc_us = r->start_utc_us,
			  .end_utc_us = r->end_utc_us,
			  .src_to_dst_bytes = r->claimed_bytes[r->claim_turned],
			  .dst_to_src_bytes = r->claimed_bytes[!r->claim_turned],
			  .rtt_us = r->rtt_us,
			  .state = CLAIM_ENDED,
			  .producer = r->producer,
			  .provenance = r->provenance},
	};
	int seen_way = r->packets[0] ? FLOW_THERE : FLOW_BACK;

	for (int i = 0; i < 2; i++) {
		struct flow_way *w = &v.flow.way[i];

		w->packets = r->packets[i];
		w->bytes = r->bytes[i];
		w->bytes_variance = r->bytes_variance[i];
		w->tag = (struct scitag){(uint16_t)r->experiment[i], (uint16_t)r->activity[i]};
		w->carrier = r->carrier[i];
	}
	v.flow.way[FLOW_THERE].direction = r->direction;
	v.flow.way[seen_way].samples =
		(uint32_t)(r->samples < UINT32_MAX ? r->samples : UINT32_MAX);
	if (r->claim_turned) {
		memcpy(v.claim.key.src_ip, r->key.dst_ip, 16);
		memcpy(v.claim.key.dst_ip, r->key.src_ip, 16);
		v.claim.key.src_port = r->key.dst_port;
		v.claim.key.dst_port = r->key.src_port;
	}
	memcpy(v.claim.sender_ip, r->sender_ip, sizeof(v.claim.sender_ip));
	memcpy(v.claim.application, r->application, sizeof(v.claim.application));
	return v;
}

/* 0, or a negative errno with the problem in *out. */
static int ended_flows(const struct question *q, struct flow_view *views, size_t *n,
		       size_t *matching, struct answer *out)
{
	struct store_flow_query fq = {.grades = q->grades,
				      .has_claim = q->has_claim,
				      .oddities = q->oddities,
				      .order = (enum store_flow_order)q->order,
				      .filter = q->filter,
				      .limit = q->limit};
	struct store_flows *flows;
	int err = api_range(q, &fq.from_utc_s, &fq.to_utc_s, out);

	if (err)
		return err;
	err = store_flows(q->api->store, &fq, &flows);
	if (err) {
		api_store_problem(out, err);
		return err;
	}
	for (size_t i = 0; i < flows->n; i++)
		views[i] = view_of(&flows->rows[i]);
	*n = flows->n;
	*matching = (size_t)flows->matching;
	store_flows_free(flows);
	return 0;
}

/* --- the answer --------------------------------------------------------------------------- */

static void put_flows(const struct question *q, const struct flow_view *views, size_t n,
		      size_t matching, struct answer *out)
{
	struct export e;

	export_open(&e, q->format, q->format == EXPORT_CSV ? columns(q) : NULL);
	for (size_t i = 0; i < n; i++)
		export_row(&e, q->collector_fields ? collector_flow(q, &views[i])
						   : json_flow(q, &views[i]));
	if (q->format == EXPORT_JSON)
		export_answer_json(&e,
				   json_pack("{s:o, s:o}", "now", json_time_us(q->now_utc_us),
					     "matching", json_count(matching)),
				   "flows", out);
	else
		export_answer(&e, out);
}

void answer_flows(const struct question *q, struct answer *out)
{
	struct flow_view *views;
	size_t n = 0, matching = 0;
	int err = 0;

	if (q->age != FLOWS_ENDED &&
	    (query_value(q->query, "from") || query_value(q->query, "to"))) {
		answer_problem(
			out, 400, query_value(q->query, "from") ? "from" : "to", -1,
			"from and to are of state=ended; what is active or recent is of now");
		return;
	}
	views = calloc(q->limit, sizeof(*views));
	if (!views) {
		answer_text(out, 500, NULL, NULL);
		return;
	}
	if (q->age == FLOWS_ENDED)
		err = ended_flows(q, views, &n, &matching, out);
	else
		n = live_flows(q, views, &matching);
	if (!err)
		put_flows(q, views, n, matching, out);
	free(views);
}
