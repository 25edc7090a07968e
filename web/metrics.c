#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/names.h"
#include "web/process.h"

#define SLOTS (2 * METRICS_KEYS_MAX) /* of the hash; a power of two */
#define OTHER METRICS_KEYS_MAX       /* the row of what found no place */

struct traffic_total {
	struct traffic_key key;
	uint64_t packets, bytes, samples;
};

struct metrics {
	pthread_mutex_t lock;
	size_t n_totals;
	struct traffic_total totals[METRICS_KEYS_MAX + 1];
	uint16_t slots[SLOTS]; /* index into totals + 1; 0 empty */
	uint64_t starts, ongoings, ends;
	uint8_t kinds[STORE_SOURCES_MAX + 1]; /* of sources, enum source_kind; 0 not heard of */
	atomic_uint_fast64_t requests[6];     /* by the status' hundreds; 0: any other */
	atomic_uint_fast64_t slow_streams;
	atomic_int streams;
};

struct metrics *metrics_open(void)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (m)
		pthread_mutex_init(&m->lock, NULL);
	return m;
}

void metrics_close(struct metrics *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* --- counting ------------------------------------------------------------------------------------ */

static int same_key(const struct traffic_key *a, const struct traffic_key *b)
{
	return a->source == b->source && a->direction == b->direction && a->family == b->family &&
	       a->carrier == b->carrier && a->grade == b->grade && a->experiment == b->experiment &&
	       a->activity == b->activity;
}

static struct traffic_total *find_total(struct metrics *m, const struct traffic_key *key)
{
	uint64_t h = (uint64_t)(uint32_t)key->experiment << 32 | (uint32_t)key->activity;
	size_t at;

	h ^= (uint64_t)key->source << 40 | (uint64_t)key->direction << 24 |
	     (uint64_t)key->family << 16 | (uint64_t)key->carrier << 8 | key->grade;
	h *= 0x9e3779b97f4a7c15u;
	for (at = h >> 32 & (SLOTS - 1); m->slots[at]; at = (at + 1) & (SLOTS - 1))
		if (same_key(&m->totals[m->slots[at] - 1].key, key))
			return &m->totals[m->slots[at] - 1];
	if (m->n_totals == METRICS_KEYS_MAX)
		return &m->totals[OTHER];
	m->totals[m->n_totals].key = *key;
	m->slots[at] = (uint16_t)(m->n_totals + 1);
	return &m->totals[m->n_totals++];
}

void metrics_add(struct metrics *m, const struct bucket *rows, const struct live_second *second,
		 const struct registry *r)
{
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < rows->n_rows; i++) {
		struct traffic_key key = name_fold(&rows->rows[i].key, r);
		struct traffic_total *t = find_total(m, &key);

		t->packets += rows->rows[i].value.packets;
		t->bytes += rows->rows[i].value.bytes;
		t->samples += rows->rows[i].value.samples;
	}
	m->starts += second->starts;
	m->ongoings += second->ongoings;
	m->ends += second->ends;
	pthread_mutex_unlock(&m->lock);
}

void metrics_request(struct metrics *m, unsigned int status)
{
	atomic_fetch_add(&m->requests[status / 100 < 6 ? status / 100 : 0], 1);
}

void metrics_stream(struct metrics *m, int change)
{
	atomic_fetch_add(&m->streams, change);
}

void metrics_slow_stream(struct metrics *m)
{
	atomic_fetch_add(&m->slow_streams, 1);
}

/* --- writing -------------------------------------------------------------------------------------- */

struct page {
	FILE *f;
	size_t n_series, left_off;
};

static void family(struct page *p, const char *name, const char *type, const char *help)
{
	fprintf(p->f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and line feed are escaped. */
static void put_escaped(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", f);
		else if (*text == '\\' || *text == '"')
			fprintf(f, "\\%c", *text);
		else
			fputc(*text, f);
	}
}

/* One sample. Labels are name, value, ..., NULL. */
static void sample(struct page *p, const char *name, double value, ...)
{
	const char *label, *separator = "{";
	va_list args;

	if (p->n_series == METRICS_SERIES_MAX - 1) { /* one is left to say so */
		p->left_off++;
		return;
	}
	p->n_series++;
	fputs(name, p->f);
	va_start(args, value);
	while ((label = va_arg(args, const char *))) {
		fprintf(p->f, "%s%s=\"", separator, label);
		put_escaped(p->f, va_arg(args, const char *));
		fputc('"', p->f);
		separator = ",";
	}
	va_end(args);
	/* whole numbers stay whole up to 2^53; their reader keeps doubles, too */
	fprintf(p->f, "%s %.17g\n", *separator == ',' ? "}" : "", value);
}

static void single(struct page *p, const char *name, const char *type, const char *help,
		   double value)
{
	family(p, name, type, help);
	sample(p, name, value, (char *)NULL);
}

/* Sources by their configured name. Agents are named by their address in the store; here by their
 * number, which /api/v1/sources tells beside the name. */
static const char *source_label(char *buf, size_t cap_bytes, const struct api *a, unsigned int id,
				uint8_t kind)
{
	const char *name = store_source_name(a->store, (uint16_t)id);

	if (kind != SOURCE_SFLOW_AGENT && kind != 0 && name)
		snprintf(buf, cap_bytes, "%s", name);
	else
		snprintf(buf, cap_bytes,
			 kind == SOURCE_SFLOW_AGENT ? "sflow-agent-%u" : "source-%u", id);
	return buf;
}

static void learn_kinds(struct metrics *m, const struct bucket *b)
{
	for (size_t i = 0; b && i < b->n_sources; i++)
		if (b->sources[i].id <= STORE_SOURCES_MAX)
			m->kinds[b->sources[i].id] = b->sources[i].kind;
}

static void put_traffic(struct page *p, const char *name, const char *help, const struct api *a,
			const struct registry *r, uint64_t (*pick)(const struct traffic_total *))
{
	const struct metrics *m = a->metrics;

	family(p, name, "counter", help);
	for (size_t i = 0; i < m->n_totals; i++) {
		const struct traffic_key *k = &m->totals[i].key;
		char source[64], version[4], experiment[12], activity[12];
		const char *grade = grade_name(k->grade), *carrier = carrier_name(k->carrier);
		const char *direction = direction_name(k->direction);

		snprintf(version, sizeof(version), "%u", k->family);
		sample(p, name, (double)pick(&m->totals[i]), "source",
		       source_label(source, sizeof(source), a, k->source,
				    k->source <= STORE_SOURCES_MAX ? m->kinds[k->source] : 0),
		       "direction", direction ? direction : "?", "family", version, "carrier",
		       carrier ? carrier : "?", "grade", grade ? grade : "?", "experiment",
		       name_experiment(r, k->experiment, k->activity, experiment), "activity",
		       name_activity(r, k->experiment, k->activity, activity), (char *)NULL);
	}
	sample(p, name, (double)pick(&m->totals[OTHER]), "source", "(other)", "direction",
	       "(other)", "family", "(other)", "carrier", "(other)", "grade", "(other)",
	       "experiment", "(other)", "activity", "(other)", (char *)NULL);
}

static uint64_t pick_bytes(const struct traffic_total *t)
{
	return t->bytes;
}

static uint64_t pick_packets(const struct traffic_total *t)
{
	return t->packets;
}

static uint64_t pick_samples(const struct traffic_total *t)
{
	return t->samples;
}

/* --- sources: a family is a row ---------------------------------------------------------------------- */

static double source_up(const struct source_status *s)
{
	return s->up;
}
static double source_received(const struct source_status *s)
{
	return (double)s->received;
}
static double source_accepted(const struct source_status *s)
{
	return (double)s->accepted;
}
static double source_bytes(const struct source_status *s)
{
	return (double)s->bytes;
}
static double source_last_seen(const struct source_status *s)
{
	return s->last_seen_utc_s == CLOCK_NEVER ? 0 : (double)s->last_seen_utc_s;
}
static double agent_lost(const struct source_status *s)
{
	return (double)s->lost;
}
static double agent_drops(const struct source_status *s)
{
	return (double)s->agent_drops;
}
static double agent_rate(const struct source_status *s)
{
	return s->sampling_rate;
}
static double agent_effective_rate(const struct source_status *s)
{
	return s->effective_rate;
}
static double agent_if_bytes(const struct source_status *s)
{
	return s->if_bytes_per_s;
}
static double agent_flow_bytes(const struct source_status *s)
{
	return s->flow_bytes_per_s;
}

static const struct source_family {
	const char *name, *type, *help;
	int agents_only;
	double (*value)(const struct source_status *s);
} source_families[] = {
	{"scitag_source_up", "gauge", "1 when the input works.", 0, source_up},
	{"scitag_source_received_total", "counter",
	 "Units (packets, datagrams, samples) that arrived: accepted + rejected + dropped.", 0,
	 source_received},
	{"scitag_source_accepted_total", "counter", "Units that were read.", 0, source_accepted},
	{"scitag_source_bytes_total", "counter", "Bytes of what arrived.", 0, source_bytes},
	{"scitag_source_last_seen_timestamp_seconds", "gauge",
	 "When something last arrived; 0 never.", 0, source_last_seen},
	{"scitag_sflow_lost_datagrams_total", "counter",
	 "Datagrams missing in the agent's sequence, lost between it and us.", 1, agent_lost},
	{"scitag_sflow_agent_drops_total", "counter", "Samples that the agent says it discarded.",
	 1, agent_drops},
	{"scitag_sflow_sampling_rate", "gauge", "Announced sampling rate, one in so many.", 1,
	 agent_rate},
	{"scitag_sflow_effective_sampling_rate", "gauge",
	 "Measured sampling rate; 0 not known yet.", 1, agent_effective_rate},
	{"scitag_sflow_interface_bytes_per_second", "gauge",
	 "In and out by the interface counters.", 1, agent_if_bytes},
	{"scitag_sflow_flow_bytes_per_second", "gauge", "The same as estimated from flow samples.",
	 1, agent_flow_bytes},
};

static void put_reasons(struct page *p, const struct api *a, const struct bucket *b, int dropped)
{
	const char *name = dropped ? "scitag_source_dropped_total" : "scitag_source_rejected_total";
	char source[64];

	family(p, name, "counter",
	       dropped ? "Units lost before they were read, by place."
		       : "Units refused, by reason.");
	for (size_t i = 0; i < b->n_sources; i++) {
		const struct source_status *s = &b->sources[i];
		const struct source_reason *reasons = dropped ? s->dropped : s->rejected;
		size_t cap = dropped ? 4 : STORE_REASONS_MAX;

		source_label(source, sizeof(source), a, s->id, s->kind);
		for (size_t j = 0; j < cap && reasons[j].name; j++)
			sample(p, name, (double)reasons[j].count, "source", source,
			       dropped ? "place" : "reason", reasons[j].name, (char *)NULL);
	}
}

static void put_sources(struct page *p, const struct api *a, const struct bucket *b)
{
	char source[64];

	for (size_t f = 0; f < sizeof(source_families) / sizeof(source_families[0]); f++) {
		const struct source_family *fam = &source_families[f];

		family(p, fam->name, fam->type, fam->help);
		for (size_t i = 0; i < b->n_sources; i++) {
			const struct source_status *s = &b->sources[i];

			if (fam->agents_only && s->kind != SOURCE_SFLOW_AGENT)
				continue;
			sample(p, fam->name, fam->value(s), "source",
			       source_label(source, sizeof(source), a, s->id, s->kind),
			       (char *)NULL);
		}
	}
	put_reasons(p, a, b, 0);
	put_reasons(p, a, b, 1);
}

/* --- the rest ------------------------------------------------------------------------------------------ */

static double seconds_or_0(int64_t utc_s)
{
	return utc_s == CLOCK_NEVER ? 0 : (double)utc_s;
}

static void put_store(struct page *p, struct store *store)
{
	struct store_status s;

	store_status(store, &s);
	single(p, "scitag_store_committed_timestamp_seconds", "gauge",
	       "Newest second safe on disk.", seconds_or_0(s.committed_utc_s));
	single(p, "scitag_store_oldest_timestamp_seconds", "gauge", "Oldest second held.",
	       seconds_or_0(s.oldest_utc_s));
	single(p, "scitag_store_file_bytes", "gauge", "Size of the database.",
	       (double)s.file_bytes);
	single(p, "scitag_store_max_bytes", "gauge", "Its limit; 0 none.",
	       (double)s.max_size_bytes);
	single(p, "scitag_store_queue_seconds", "gauge", "Seconds waiting to be written.",
	       s.queued);
	single(p, "scitag_store_lost_seconds_total", "counter", "Seconds let go unwritten.",
	       (double)s.lost_seconds);
	single(p, "scitag_store_trimmed_rows_total", "counter",
	       "Rows removed to stay within the limit.", (double)s.trimmed_rows);
	single(p, "scitag_store_paused", "gauge", "1 while writing fails.", s.paused != 0);
}

static void put_registry(struct page *p, struct registry_keeper *k)
{
	struct registry_keeper_status s;

	registry_keeper_status(k, &s);
	single(p, "scitag_registry_experiments", "gauge", "Registered experiments.",
	       (double)s.n_experiments);
	single(p, "scitag_registry_pairs", "gauge", "Registered pairs of experiment and activity.",
	       (double)s.n_pairs);
	single(p, "scitag_registry_loaded_timestamp_seconds", "gauge",
	       "When the registry in force came.", seconds_or_0(s.loaded_utc_s));
	single(p, "scitag_registry_checked_timestamp_seconds", "gauge",
	       "When its origin was last asked.", seconds_or_0(s.checked_utc_s));
	single(p, "scitag_registry_refused_total", "counter", "Documents that were not let in.",
	       (double)s.refused);
}

static void put_process(struct page *p, const struct api *a)
{
	struct process_status s;

	process_status(&s);
	single(p, "scitag_process_start_time_seconds", "gauge", "When the process began.",
	       (double)a->started_utc_us / US_PER_S);
	single(p, "scitag_process_cpu_seconds_total", "counter", "Time of the processor used.",
	       s.cpu_s);
	single(p, "scitag_process_resident_memory_bytes", "gauge", "Resident memory.",
	       (double)s.resident_bytes);
	single(p, "scitag_process_virtual_memory_bytes", "gauge", "Virtual memory.",
	       (double)s.virtual_bytes);
	single(p, "scitag_process_threads", "gauge", "Threads.", (double)s.threads);
	single(p, "scitag_process_open_fds", "gauge", "Open files.", (double)s.open_files);
	single(p, "scitag_process_max_fds", "gauge", "Limit of open files.",
	       (double)s.open_files_max);
}

#define JOIN_FAMILY(name, type, help, member)                           \
	{                                                               \
		name, type, help, offsetof(struct join_status, member), \
			sizeof(((struct join_status *)0)->member)       \
	}
static const struct join_family {
	const char *name, *type, *help;
	size_t offset, size_bytes; /* of a uint32_t or uint64_t of struct join_status */
} join_families[] = {
	JOIN_FAMILY("scitag_flows_active", "gauge", "Flows followed.", flows),
	JOIN_FAMILY("scitag_flows_max", "gauge", "Flows that can be followed at once.", flows_max),
	JOIN_FAMILY("scitag_flows_begun_total", "counter", "Flows begun.", flows_begun),
	JOIN_FAMILY("scitag_flows_ended_total", "counter", "Flows ended.", flows_ended),
	JOIN_FAMILY("scitag_flows_evicted_total", "counter",
		    "Flows given up because the table was full.", flows_evicted),
	JOIN_FAMILY("scitag_flow_rows_kept_total", "counter", "Ended flows handed to the database.",
		    flow_rows_kept),
	JOIN_FAMILY("scitag_flow_rows_let_go_total", "counter",
		    "Ended flows that were too many for it.", flow_rows_let_go),
	JOIN_FAMILY("scitag_claims_active", "gauge", "Claims followed.", claims),
	JOIN_FAMILY("scitag_claims_max", "gauge", "Claims that can be followed at once.",
		    claims_max),
	JOIN_FAMILY("scitag_claims_begun_total", "counter", "Claims begun.", claims_begun),
	JOIN_FAMILY("scitag_claims_joined_total", "counter", "Claims whose flow was seen.",
		    claims_joined),
	JOIN_FAMILY("scitag_claims_superseded_total", "counter",
		    "Claims replaced by a later START.", claims_superseded),
	JOIN_FAMILY("scitag_claims_expired_total", "counter", "Claims given up after silence.",
		    claims_expired),
	JOIN_FAMILY("scitag_claims_evicted_total", "counter",
		    "Claims given up because the table was full.", claims_evicted),
	JOIN_FAMILY("scitag_claims_crowded_total", "counter",
		    "Times that claimed bytes found no row of their own minute.", claims_crowded),
	JOIN_FAMILY("scitag_claims_duplicates_total", "counter", "Copies of fireflies.",
		    duplicates),
	JOIN_FAMILY("scitag_claims_senders", "gauge", "Senders of fireflies known.", senders),
	JOIN_FAMILY("scitag_join_seen_total", "counter", "Records of flows seen.", seen),
	JOIN_FAMILY("scitag_join_seen_local_total", "counter",
		    "Of these not followed, because they are local.", seen_local),
	JOIN_FAMILY("scitag_join_heard_total", "counter", "Fireflies heard.", heard),
	JOIN_FAMILY("scitag_join_heard_local_total", "counter",
		    "Of these not followed, because they are local.", heard_local),
	JOIN_FAMILY("scitag_join_memory_bytes", "gauge", "Memory that the join uses.",
		    memory_bytes),
	JOIN_FAMILY("scitag_join_memory_max_bytes", "gauge", "Memory that it may use.",
		    memory_max_bytes),
};

static void put_join(struct page *p, struct join *join)
{
	struct join_status s;

	join_status(join, &s);
	for (size_t i = 0; i < sizeof(join_families) / sizeof(join_families[0]); i++) {
		const struct join_family *f = &join_families[i];
		const char *at = (const char *)&s + f->offset;

		single(p, f->name, f->type, f->help,
		       f->size_bytes == sizeof(uint32_t)
			       ? (double)*(const uint32_t *)(const void *)at
			       : (double)*(const uint64_t *)(const void *)at);
	}
}

static void put_web(struct page *p, struct metrics *m)
{
	static const char *const codes[] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};

	family(p, "scitag_http_requests_total", "counter", "Requests answered, by status.");
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		sample(p, "scitag_http_requests_total", (double)atomic_load(&m->requests[i]),
		       "code", codes[i], (char *)NULL);
	single(p, "scitag_http_streams", "gauge", "Live streams open.", atomic_load(&m->streams));
	single(p, "scitag_http_slow_streams_total", "counter",
	       "Live streams ended for reading too slowly.", (double)atomic_load(&m->slow_streams));
}

void answer_metrics(const struct question *q, struct answer *out)
{
	const struct api *a = q->api;
	struct metrics *m = a->metrics;
	struct bucket *b = store_newest(a->store);
	struct page p = {0};
	char *text = NULL;
	size_t len_bytes;

	p.f = open_memstream(&text, &len_bytes);
	if (!p.f) {
		bucket_free(b);
		answer_text(out, 500, NULL, NULL);
		return;
	}
	family(&p, "scitag_build_info", "gauge", "1, with the version.");
	sample(&p, "scitag_build_info", 1, "version", a->version, (char *)NULL);
	put_store(&p, a->store);
	put_registry(&p, a->registry);
	put_process(&p, a);
	if (a->join)
		put_join(&p, a->join);
	pthread_mutex_lock(&m->lock);
	put_web(&p, m);
	family(&p, "scitag_fireflies_total", "counter", "Fireflies read, by state.");
	sample(&p, "scitag_fireflies_total", (double)m->starts, "state", "start", (char *)NULL);
	sample(&p, "scitag_fireflies_total", (double)m->ongoings, "state", "ongoing", (char *)NULL);
	sample(&p, "scitag_fireflies_total", (double)m->ends, "state", "end", (char *)NULL);
	learn_kinds(m, b);
	put_traffic(&p, "scitag_traffic_bytes_total", "Frame bytes seen, estimated where sampled.",
		    a, q->registry, pick_bytes);
	put_traffic(&p, "scitag_traffic_packets_total", "Packets seen, estimated where sampled.", a,
		    q->registry, pick_packets);
	put_traffic(&p, "scitag_traffic_samples_total", "Packets or samples really looked at.", a,
		    q->registry, pick_samples);
	pthread_mutex_unlock(&m->lock);
	if (b)
		put_sources(&p, a, b);
	bucket_free(b);
	family(&p, "scitag_metrics_left_off", "gauge",
	       "Series beyond the limit of this page, which were not written.");
	fprintf(p.f, "scitag_metrics_left_off %zu\n", p.left_off);
	fclose(p.f);
	answer_text(out, 200, "text/plain; version=0.0.4; charset=utf-8", text);
}
