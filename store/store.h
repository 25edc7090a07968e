/* The one door to a database. Buckets go in once a second, questions come out; no SQL in sight.
 * A URL picks the backend: "sqlite:PATH" ("sqlite::memory:" for none on disk); "clickhouse:..."
 * is not built yet. The newest 15 minutes are also kept in memory second by second (the live
 * ring), and go on when the disk is full.
 * The tables are an interface, documented in docs/schema.md.
 *
 * Threads: store_put from one thread; store_query and the other questions from any. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stddef.h>
#include <stdint.h>
#include "wire/flow_key.h"
#include "wire/scitag.h"

/* --- what flows in ------------------------------------------------------------------ */

/* Seen from the operator's site; needs configured prefixes. Order is stored: append only. */
enum direction {
	DIRECTION_UNKNOWN = 0, /* no site prefixes configured, or no addresses */
	DIRECTION_IN = 1,
	DIRECTION_OUT = 2,
	DIRECTION_INTERNAL = 3, /* both ends ours */
	DIRECTION_TRANSIT = 4,  /* neither */
	DIRECTION_COUNT
};

#define STORE_FOLDED (-1) /* experiment and activity of the row of the unregistered rest */
#define STORE_UNREGISTERED_ROWS \
	64 /* own rows of a bucket per (source, direction, family, carrier) */
#define STORE_SOURCES_MAX      320
#define STORE_REASONS_MAX      24
#define STORE_DROPS_MAX        4
#define STORE_SITES_MAX        4096
#define STORE_APPLICATIONS_MAX 4096
#define STORE_NAME_BYTES       64        /* of a site or an application */
#define STORE_OTHER            "(other)" /* application of claims without a row of their own: number 0 */

struct traffic_key {
	uint16_t source; /* store_source_id */
	uint8_t direction, family /* 4, 6, 0 */, carrier, grade;
	int32_t experiment, activity; /* numbers; 0/0 untagged; STORE_FOLDED */
	/* 0 but in answers that are asked by them, and in the filter's view of a flow */
	uint16_t src_site, dst_site; /* store_site_id */
	uint16_t application;        /* store_application_id */
	uint16_t pad;                /* always 0 */
};
struct traffic_value {
	uint64_t packets, bytes, ip_bytes; /* estimates: weight times what was seen */
	uint64_t samples;                  /* what was really seen */
	/* Sum over samples of weight * (weight - 1) * bytes^2: the variance of `bytes`. 0 when
	 * every packet was counted. 95 % error = 1.96 * sqrt(of it). */
	double bytes_variance;
	uint32_t codes; /* code points in this row: 1, or how many were folded */
};
struct traffic_row {
	struct traffic_key key;
	struct traffic_value value;
};

struct claim_row {            /* fireflies of one second, and what they claim of one minute */
	int64_t minute_utc_s; /* it belongs to, often past, never to come; 0: the second's own */
	int32_t experiment, activity;
	uint8_t family;
	char application[STORE_NAME_BYTES]; /* NUL-terminated; "" unsaid */
	uint64_t starts, ongoings, ends;
	uint64_t bytes;     /* claimed to have flowed in this minute, data direction */
	uint64_t end_bytes; /* of ENDs in this minute, all at once, as the collectors book them */
};

/* What flowed between two sites, as the join knows it. The 4096 largest of a bucket keep their
 * rows, the rest goes to sites 0/0; tags of GRADE_UNREGISTERED are kept as STORE_FOLDED only. */
struct pair_row {
	uint16_t src_site, dst_site; /* store_site_id; 0: not known */
	uint8_t family, grade;
	int32_t experiment, activity; /* the wire's tag; the claim's for GRADE_CLAIMED; 0/0 none */
	struct traffic_value value;
};

/* Mergeable: counts by bin; bin i holds values v with i = floor(8 * log2(v)), v >= 1, so that any
 * quantile of any range is right to 4.5 %. */
enum histogram_kind { HISTOGRAM_DURATION_MS = 1, HISTOGRAM_BYTES = 2 };
struct histogram_row {
	uint8_t kind;
	uint16_t bin;
	int32_t experiment, activity;
	uint64_t n, max;
};

/* Distinct labelled flows, for the noise floor: those of a range are `before` of its first minute
 * and `begun` of all. `begun` of a minute's seconds are summed; so is `before`: it is said once a
 * minute. */
struct label_flow_row {
	int32_t experiment, activity; /* STORE_FOLDED: every unregistered pair together */
	uint32_t begun, before;
};

/* A flow that ended or had to leave the table of live ones. */
struct flow_row {
	struct flow_key key;               /* src sent the data */
	int64_t first_utc_us, last_utc_us; /* as seen; CLOCK_NEVER */
	int64_t start_utc_us, end_utc_us;  /* as claimed; CLOCK_NEVER */
	uint64_t packets[2], bytes[2];     /* seen: there, back */
	double bytes_variance[2];
	uint64_t samples;
	uint64_t claimed_bytes[2];                /* UINT64_MAX unsaid */
	int64_t rtt_us;                           /* -1 unsaid */
	int32_t experiment[2], activity[2];       /* on the wire: there, back; 0/0 none */
	int32_t claim_experiment, claim_activity; /* -1/-1: no claim */
	uint32_t evidence;                        /* join/flow.h */
	uint32_t oddities;
	uint16_t point, src_site, dst_site;
	uint8_t direction; /* enum direction of key.src -> key.dst */
	uint8_t carrier[2];
	uint8_t grade, state;
	uint8_t producer, provenance; /* 0 none */
	uint8_t claim_turned;         /* its sender calls key.dst the source */
	uint8_t sender_ip[16];
	char application[32];
};

/* One packet, or one firefly, for eyes: a few a second, never stored. */
struct glimpse {
	int64_t utc_us;
	struct flow_key flow;
	struct traffic_key
		key; /* the cell it was counted in; of a firefly source, family and tag */
	uint32_t label, frame_bytes;
	uint32_t weight;       /* packets it stands for */
	uint16_t packet_flags; /* wire/packet.h */
	uint8_t tcp_flags;
	uint8_t dialect;  /* enum scitag_dialect */
	uint8_t firefly;  /* its state (firefly/firefly.h); 0: this is a packet */
	uint8_t producer; /* of the firefly, and so on */
	uint8_t sender_ip[16];
	char application[32];
};

enum source_kind {
	SOURCE_CAPTURE = 1,
	SOURCE_SFLOW_INPUT,
	SOURCE_SFLOW_AGENT,
	SOURCE_FIREFLY_INPUT
};

struct source_reason {
	const char *name; /* static text */
	uint64_t count;
};
/* One input's health, cumulative since start: received = accepted + sum(rejected) + sum(dropped). */
struct source_status {
	uint16_t id;     /* store_source_id of name; also the `source` of its traffic rows */
	uint16_t parent; /* SFLOW_AGENT: its input's id */
	uint8_t kind;    /* enum source_kind */
	uint8_t up;
	char name[64];    /* "eth1", "sflow:[::]:6343", "sflow:192.0.2.254", "firefly:[::]:10514" */
	char unit[12];    /* what is counted: "packets", "datagrams", "samples" */
	char detail[160]; /* one sentence for the health page: mode, buffer, why it is down */
	uint64_t received, accepted;
	uint64_t bytes;
	struct source_reason rejected[STORE_REASONS_MAX]; /* ends at the first NULL name */
	struct source_reason dropped[STORE_DROPS_MAX];
	/* sFlow agents only */
	uint64_t lost; /* by sequence gaps, between agent and us */
	uint64_t agent_drops;
	uint32_t sampling_rate;  /* announced, one in */
	double effective_rate;   /* 0: not known */
	uint64_t if_speed_bps;   /* sum over its interfaces with counters */
	double if_bytes_per_s;   /* in + out, from the interface counters */
	double flow_bytes_per_s; /* what our flow samples estimate, to be held against it */
	int64_t first_seen_utc_s, last_seen_utc_s; /* CLOCK_NEVER: nothing yet */
};

/* A whole second of everything. Allocated by the maker with bucket_new, changes owner at
 * store_put; bucket_free is safe on NULL. */
struct bucket {
	int64_t start_utc_s;
	size_t n_rows, n_claims, n_sources;
	struct traffic_row *rows;
	struct claim_row *claims;
	struct source_status *sources;
	/* what the join adds; NULL and 0 from bucket_new, malloc'd, owned by the bucket */
	size_t n_pairs, n_histograms, n_label_flows, n_flows, n_glimpses;
	struct pair_row *pairs;
	struct histogram_row *histograms;
	struct label_flow_row *label_flows;
	struct flow_row *flows;
	struct glimpse
		*glimpses; /* passed on by store_newest, in the order of time for each source */
};
struct bucket *bucket_new(int64_t start_utc_s, size_t n_rows, size_t n_claims, size_t n_sources);
void bucket_free(struct bucket *b);

/* --- open, put, close ---------------------------------------------------------------- */

struct store; /* opaque */

struct store_config {
	const char *url;
	uint64_t max_size_bytes; /* of the database file; 0: no limit */
	uint32_t keep_10s_s, keep_1m_s, keep_10m_s, keep_1h_s; /* 0: for ever */
	uint32_t keep_health_s;
};
void store_config_default(struct store_config *c);

/* Opens or creates; what a stop left open is rolled up with the next second. -EIO, -ENOENT,
 * -EACCES, -EBUSY (another observer writes it), -EPROTONOSUPPORT (unknown URL, a newer schema, a
 * file of another program); said in the log. A file that cannot be used is never touched. */
int store_open(struct store **out, const struct store_config *cfg);
/* Writes everything handed over so far, then closes. Takes NULL. */
void store_close(struct store *s);

/* Number of an input or observation point, stable across restarts. 0 when the table is full
 * (STORE_SOURCES_MAX): source 0 is "other". From any thread. */
uint16_t store_source_id(struct store *s, const char *name, enum source_kind kind);
const char *store_source_name(struct store *s, uint16_t id); /* static for the store's life */
/* Number by name, -ENOENT: never makes one. */
int store_source_find(struct store *s, const char *name);
/* Sites likewise, and applications, as senders call themselves. 0: not known, or the table is full;
 * its name is "". A name is cut to STORE_NAME_BYTES - 1. */
uint16_t store_site_id(struct store *s, const char *name);
const char *store_site_name(struct store *s, uint16_t id);
int store_site_find(struct store *s, const char *name);
uint16_t store_application_id(struct store *s, const char *name);
const char *store_application_name(struct store *s, uint16_t id);
int store_application_find(struct store *s, const char *name);

/* Hands a second over: into the live ring at once, into the database by the store's own thread in
 * one transaction. Never blocks on the disk; when the queue (900 s) is full the oldest is let go,
 * counted and shown as a gap. Seconds must ascend; a repeated second is added to the first. */
void store_put(struct store *s, struct bucket *b);
/* Returns when everything put so far is committed, or -ETIMEDOUT, or the error that stops us. */
int store_flush(struct store *s, int timeout_ms);
/* Notes an event: "restart", "registry", "gap", "disk". */
void store_event(struct store *s, const char *kind, const char *text);

/* --- questions ------------------------------------------------------------------------ */

enum dim { /* what can be grouped by and filtered on; bit numbers of store_query.group */
	   DIM_EXPERIMENT,
	   DIM_ACTIVITY,
	   DIM_GRADE,
	   DIM_CARRIER,
	   DIM_FAMILY,
	   DIM_DIRECTION,
	   DIM_SOURCE,
	   DIM_SRC_SITE,
	   DIM_DST_SITE,
	   DIM_APPLICATION,
	   DIM_COUNT
};
#define DIM_BIT(d) (1u << (d))
const char *dim_name(enum dim d); /* "experiment", ..., "application" */
int dim_find(const char *name);   /* enum dim or -ENOENT */

struct filter; /* store/filter.h */

/* What a question is answered from. Each knows some dimensions, its values mean: */
enum store_table {
	STORE_TABLE_AUTO,    /* the first of these that knows every dimension asked for */
	STORE_TABLE_TRAFFIC, /* what was seen */
	STORE_TABLE_PAIRS,   /* the same by sites; as much of it as the join could follow */
	/* What senders claim: bytes as they flowed; ip_bytes the same as the collectors book it,
	 * all at the END; packets count STARTs and samples ENDs. */
	STORE_TABLE_CLAIMS,
};
/* The table for these dimensions, or -EINVAL with a sentence in why that names two which no table
 * has together. */
int store_table_of(uint32_t dims, char *why, size_t why_cap_bytes);
int store_table_knows(enum store_table table, uint32_t dims);

struct store_query {
	int64_t from_utc_s, to_utc_s; /* half open; rounded outwards to step */
	uint32_t step_s;              /* 1, 10, 60, 600, 3600, 86400 or a multiple; 0: one total */
	uint32_t group;               /* bits 1 << enum dim; 0: one series */
	const struct filter *filter;  /* NULL: everything */
	enum store_table table;
	uint32_t limit; /* series kept, by bytes; the rest summed into `rest`; 0: 1000. Fewer are
			 * kept when they have more than 2,000,000 points together */
};
struct store_series {
	struct traffic_key key; /* members of ungrouped dimensions are 0 */
	uint8_t is_rest;        /* the sum of all beyond limit */
	struct traffic_value total;
	struct traffic_value *points; /* n_points of them; NULL when step_s is 0 */
};
struct store_gap {
	int64_t from_utc_s, to_utc_s;
	char reason[64]; /* "not running", "disk full", ... */
};
struct store_result {
	int64_t from_utc_s, to_utc_s;
	uint32_t step_s;
	size_t n_points, n_series, n_gaps;
	struct store_series *series; /* by total bytes, descending; rest last */
	struct store_gap *gaps;
	/* For the noise floor: all rows of grade unregistered and carrier label in the range that
	 * the filter's conditions on source, direction and family let through, whatever it says of
	 * tags. */
	struct traffic_value unregistered_labels;
};
/* 0 and *out (store_result_free it), -EINVAL (step or range, or dimensions the table does not
 * know), -E2BIG (more than 11,000 points), -EIO, -EBUSY. Pairs and claims are kept by minute, hour
 * and day. Steps that are no multiple of 10 s are answered from the live ring; others from the
 * database, whose newest second may still be on its way. Where a range reaches back to what is only
 * kept in a coarser table, step_s of the answer is rounded up to that table's. A total (step 0) is
 * rounded outwards to 10 s, or to what is kept. */
int store_query(struct store *s, const struct store_query *q, struct store_result **out);
void store_result_free(struct store_result *r);

/* How values are distributed: one row for each group, by count, descending. */
struct store_bin {
	uint16_t bin;
	uint64_t n;
};
struct store_histogram {
	int32_t experiment, activity; /* 0 where not grouped by */
	uint64_t n, max;
	size_t n_bins;
	struct store_bin *bins; /* ascending; none empty */
};
struct store_histograms {
	int64_t from_utc_s, to_utc_s; /* as rounded: to minutes or what is kept */
	size_t n;
	struct store_histogram *rows;
};
/* group: DIM_EXPERIMENT, DIM_ACTIVITY or both; 0: one row. filter: of these two only, else -EINVAL. */
int store_histogram(struct store *s, enum histogram_kind kind, int64_t from_utc_s, int64_t to_utc_s,
		    uint32_t group, const struct filter *filter, struct store_histograms **out);
void store_histograms_free(struct store_histograms *h);
/* The value below which a share q of all lies, right to 4.5 %; NaN: none there. */
double store_quantile(const struct store_histogram *h, double q);
/* Values of bin i begin here. */
double store_bin_start(unsigned int bin);

/* Distinct labelled flows of a range, by pair; STORE_FOLDED: all unregistered ones together. */
struct store_label_flow {
	int32_t experiment, activity;
	uint64_t flows;
};
struct store_label_flows {
	int64_t from_utc_s, to_utc_s; /* as rounded: to minutes or what is kept */
	size_t n;
	struct store_label_flow *rows; /* ascending */
};
int store_label_flows(struct store *s, int64_t from_utc_s, int64_t to_utc_s,
		      struct store_label_flows **out);
void store_label_flows_free(struct store_label_flows *l);

/* Flows that ended within a range, as kept: 24 h, 2,000,000 of them. */
#define STORE_FLOWS_MAX 100000 /* in one answer */
enum store_flow_order {        /* as join's enum flow_order */
			STORE_FLOWS_BY_BYTES,
			STORE_FLOWS_BY_RATE,
			STORE_FLOWS_BY_NEWEST,
			STORE_FLOWS_BY_DURATION
};
struct store_flow_query {
	int64_t from_utc_s, to_utc_s; /* of their end */
	uint32_t grades;              /* bits 1 << enum scitag_grade; 0 all */
	int has_claim;                /* 1 only with, -1 only without, 0 both */
	uint32_t oddities;            /* any of these bits; 0 all */
	enum store_flow_order order;
	const struct filter *filter; /* source is the flow's point; NULL all */
	uint32_t limit;              /* up to STORE_FLOWS_MAX */
};
struct store_flows {
	size_t n;
	uint64_t matching; /* of which n are here */
	struct flow_row *rows;
};
int store_flows(struct store *s, const struct store_flow_query *q, struct store_flows **out);
void store_flows_free(struct store_flows *f);
/* The dimensions of a flow as a filter sees them. The tag is that of the data's direction, else the
 * other's; of GRADE_CLAIMED the claim's. */
struct traffic_key flow_row_key(struct store *s, const struct flow_row *f);

/* The newest second in the ring, as a copy (bucket_free it); NULL: none yet. */
struct bucket *store_newest(struct store *s);
/* The rows of one second of the ring, likewise; NULL: not there. */
struct bucket *store_second(struct store *s, int64_t utc_s);

struct store_status {
	char url[256];
	int64_t committed_utc_s; /* newest second that is safe on disk; CLOCK_NEVER */
	int64_t oldest_utc_s;
	uint64_t file_bytes, max_size_bytes;
	uint32_t queued;       /* seconds waiting */
	uint64_t lost_seconds; /* let go because the disk was full for too long */
	uint64_t trimmed_rows;
	int paused; /* writing fails at the moment */
	char last_error[160];
};
void store_status(struct store *s, struct store_status *out);

struct store_event_row {
	int64_t utc_s;
	char kind[16];
	char text[160];
};
/* Newest first; returns how many. */
size_t store_events(struct store *s, struct store_event_row *out, size_t cap);

#endif
