/* Sources and health: whether what is shown is true, and why not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/process.h"

#define STALE_S           10 /* no new second for so long: what is shown is not live */
#define EVENTS_MAX        50
#define TABLE_FULL_SHARE  0.95
#define OVERLAP_FLOWS_MIN 10  /* fewer flows seen at two points may be a coincidence of routing */
#define OVERLAP_SHARE     0.2 /* of the smaller of two points: so much in common is said */

/* --- sources ------------------------------------------------------------------------------------ */

static const char *kind_name(uint8_t kind)
{
	switch (kind) {
	case SOURCE_CAPTURE:
		return "capture";
	case SOURCE_SFLOW_INPUT:
		return "sflow_input";
	case SOURCE_SFLOW_AGENT:
		return "sflow_agent";
	case SOURCE_FIREFLY_INPUT:
		return "firefly_input";
	default:
		return "other";
	}
}

static json_t *json_reasons(const struct source_reason *reasons, size_t cap)
{
	json_t *o = json_object();

	for (size_t i = 0; i < cap && reasons[i].name; i++)
		json_object_set_new(o, reasons[i].name, json_count(reasons[i].count));
	return o;
}

static json_t *json_source(const struct bucket *b, const struct source_status *s)
{
	json_t *parent = json_null(), *o;

	for (size_t i = 0; i < b->n_sources; i++)
		if (s->kind == SOURCE_SFLOW_AGENT && b->sources[i].id == s->parent)
			parent = json_words(b->sources[i].name);
	o = json_pack(
		"{s:i, s:o, s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
		s->id, "name", json_words(s->name), "kind", kind_name(s->kind), "unit",
		json_words(s->unit), "up", s->up, "detail", json_words(s->detail), "parent", parent,
		"received", json_count(s->received), "accepted", json_count(s->accepted),
		"rejected", json_reasons(s->rejected, STORE_REASONS_MAX), "dropped",
		json_reasons(s->dropped, 4), "bytes", json_count(s->bytes), "first_seen",
		json_time_s(s->first_seen_utc_s), "last_seen", json_time_s(s->last_seen_utc_s));
	if (s->kind == SOURCE_SFLOW_AGENT) {
		json_object_set_new(o, "lost", json_count(s->lost));
		json_object_set_new(o, "agent_drops", json_count(s->agent_drops));
		json_object_set_new(o, "sampling_rate", json_count(s->sampling_rate));
		json_object_set_new(o, "effective_rate", json_number(s->effective_rate));
		json_object_set_new(o, "if_speed_bps", json_count(s->if_speed_bps));
		json_object_set_new(o, "if_bytes_per_s", json_number(s->if_bytes_per_s));
		json_object_set_new(o, "flow_bytes_per_s", json_number(s->flow_bytes_per_s));
	}
	return o;
}

static json_t *json_sources(const struct bucket *b)
{
	json_t *list = json_array();

	for (size_t i = 0; b && i < b->n_sources; i++)
		json_array_append_new(list, json_source(b, &b->sources[i]));
	return list;
}

void answer_sources(const struct question *q, struct answer *out)
{
	struct bucket *b = store_newest(q->api->store);

	answer_json(out, json_pack("{s:o, s:o}", "now", json_time_us(q->now_utc_us), "sources",
				   json_sources(b)));
	bucket_free(b);
}

/* --- health ------------------------------------------------------------------------------------- */

static json_t *json_store(const struct store_status *s)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "url",
			 json_words(s->url), "committed", json_time_s(s->committed_utc_s), "oldest",
			 json_time_s(s->oldest_utc_s), "file_bytes", json_count(s->file_bytes),
			 "max_size_bytes", json_count(s->max_size_bytes), "queued_s",
			 json_count(s->queued), "lost_s", json_count(s->lost_seconds),
			 "trimmed_rows", json_count(s->trimmed_rows), "paused", s->paused != 0,
			 "last_error", json_words(s->last_error));
}

static json_t *json_registry(struct registry_keeper *k)
{
	struct registry_keeper_status s;

	registry_keeper_status(k, &s);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "origin", json_words(s.origin),
			 "modified", json_words(s.modified), "experiments",
			 json_count(s.n_experiments), "pairs", json_count(s.n_pairs), "loaded",
			 json_time_s(s.loaded_utc_s), "checked", json_time_s(s.checked_utc_s),
			 "refused", json_count(s.refused), "last_error", json_words(s.last_error));
}

static json_t *json_process(const struct question *q)
{
	struct process_status s;

	process_status(&s);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "version", q->api->version,
			 "started", json_time_us(q->api->started_utc_us), "uptime_s",
			 json_number((double)(q->now_utc_us - q->api->started_utc_us) / US_PER_S),
			 "resident_bytes", json_count(s.resident_bytes), "cpu_s",
			 json_number(s.cpu_s), "threads", json_count(s.threads), "open_files",
			 json_count(s.open_files));
}

static json_t *json_events(struct store *store)
{
	struct store_event_row events[EVENTS_MAX];
	size_t n = store_events(store, events, EVENTS_MAX);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "time",
						      json_time_s(events[i].utc_s), "kind",
						      json_words(events[i].kind), "text",
						      json_words(events[i].text)));
	return list;
}

/* --- the join -------------------------------------------------------------------------------------- */

static void judge_table(json_t *reasons, const char *what, uint32_t n, uint32_t max)
{
	char text[160];

	if ((double)n < TABLE_FULL_SHARE * max)
		return;
	snprintf(text, sizeof(text),
		 "%u %s are followed, there is room for %u: those idle for longest are given up", n,
		 what, max);
	json_array_append_new(reasons, json_words(text));
}

static json_t *json_join(struct join *join, json_t *reasons)
{
	struct join_status s;
	json_t *o = json_object();

	if (!join) {
		json_decref(o);
		return json_null();
	}
	join_status(join, &s);
	judge_table(reasons, "flows", s.flows, s.flows_max);
	judge_table(reasons, "claims", s.claims, s.claims_max);
#define PUT(member) json_object_set_new(o, #member, json_count(s.member))
	PUT(flows);
	PUT(flows_max);
	PUT(claims);
	PUT(claims_max);
	PUT(senders);
	PUT(hosts);
	PUT(memory_bytes);
	PUT(memory_max_bytes);
	PUT(flows_begun);
	PUT(flows_ended);
	PUT(flows_evicted);
	PUT(seen);
	PUT(seen_local);
	PUT(heard);
	PUT(heard_local);
	PUT(duplicates);
	PUT(claims_begun);
	PUT(claims_joined);
	PUT(claims_superseded);
	PUT(claims_expired);
	PUT(claims_evicted);
	PUT(claims_crowded);
	PUT(flow_rows_kept);
	PUT(flow_rows_let_go);
#undef PUT
	return o;
}

/* Two points that see the same flows: of each of these one is counted, so the points' totals hold them twice. */
static int is_overlap(const struct point_overlap *o)
{
	uint64_t smaller = o->flows_a < o->flows_b ? o->flows_a : o->flows_b;

	return o->flows >= OVERLAP_FLOWS_MIN && (double)o->flows >= OVERLAP_SHARE * (double)smaller;
}

static json_t *json_overlaps(const struct question *q, json_t *reasons)
{
	struct point_overlap *overlaps = calloc(JOIN_OVERLAPS_MAX, sizeof(*overlaps));
	json_t *list = json_array();
	char text[256];
	size_t n = 0;

	if (overlaps && q->api->join)
		n = join_overlaps(q->api->join, overlaps, JOIN_OVERLAPS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct point_overlap *o = &overlaps[i];
		const char *a = store_source_name(q->api->store, o->a);
		const char *b = store_source_name(q->api->store, o->b);

		json_array_append_new(
			list, json_pack("{s:o, s:o, s:o, s:o, s:o}", "a", json_words(a), "b",
					json_words(b), "flows", json_count(o->flows), "flows_a",
					json_count(o->flows_a), "flows_b", json_count(o->flows_b)));
		if (!is_overlap(o))
			continue;
		snprintf(text, sizeof(text),
			 "%s and %s see the same flows: %llu in the last ten minutes are in the "
			 "totals "
			 "of both",
			 a, b, (unsigned long long)o->flows);
		json_array_append_new(reasons, json_words(text));
	}
	free(overlaps);
	return list;
}

static void add_reason(json_t *reasons, const char *text)
{
	json_array_append_new(reasons, json_words(text));
}

static enum live_status judge(const struct question *q, const struct bucket *b,
			      const struct store_status *store, json_t *reasons)
{
	struct live_reasons why = {0};
	enum live_status status = LIVE_DOWN;
	int64_t age_s;
	char text[256];

	if (!b) {
		add_reason(reasons, "no second has been counted yet");
	} else {
		status = live_judge(q->api->live, b, &why);
		for (size_t i = 0; i < why.n; i++)
			add_reason(reasons, why.text[i]);
		age_s = q->now_utc_us / US_PER_S - b->start_utc_s;
		if (age_s > STALE_S) {
			status = LIVE_DOWN;
			snprintf(text, sizeof(text), "the newest second is %lld s old",
				 (long long)age_s);
			add_reason(reasons, text);
		}
	}
	if (store->paused) {
		snprintf(text, sizeof(text), "history is not being written: %s", store->last_error);
		add_reason(reasons, text);
		if (status == LIVE_OK)
			status = LIVE_DEGRADED;
	}
	return status;
}

void answer_health(const struct question *q, struct answer *out)
{
	struct bucket *b = store_newest(q->api->store);
	json_t *reasons = json_array(), *overlaps, *join;
	struct store_status store;
	enum live_status status;

	store_status(q->api->store, &store);
	status = judge(q, b, &store, reasons);
	overlaps = json_overlaps(q, reasons);
	join = json_join(q->api->join, reasons);
	answer_json(out, json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "now",
				   json_time_us(q->now_utc_us), "status", live_status_name(status),
				   "reasons", reasons, "sources", json_sources(b), "store",
				   json_store(&store), "registry", json_registry(q->api->registry),
				   "join", join, "overlaps", overlaps, "process", json_process(q),
				   "events", json_events(q->api->store)));
	bucket_free(b);
}

void answer_healthz(const struct question *q, struct answer *out)
{
	answer_text(out, 200, TYPE_TEXT, strdup("ok\n"));
}

void answer_readyz(const struct question *q, struct answer *out)
{
	struct bucket *b = store_newest(q->api->store);
	json_t *reasons = json_array();
	struct store_status store;

	store_status(q->api->store, &store);
	if (judge(q, b, &store, reasons) != LIVE_DOWN) {
		answer_text(out, 200, TYPE_TEXT, strdup("ok\n"));
	} else {
		char *text = NULL;
		const char *first = json_string_value(json_array_get(reasons, 0));

		if (asprintf(&text, "%s\n", first ? first : "no input is up") < 0)
			text = NULL;
		answer_text(out, 503, TYPE_TEXT, text);
	}
	json_decref(reasons);
	bucket_free(b);
}
