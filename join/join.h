/* Joining the wire with the fireflies: which flow is whose, do both sides agree, and how sure is it.
 *
 * Once a second the observer hands over what its sources saw and heard, together with the second's
 * bucket; the join follows flows and claims in two bounded tables, moves traffic between grades
 * inside the bucket - never between tags, and never a byte in or out: the total of every registered
 * tag and of everything together stays what the wire said - and adds rows of its own: site pairs,
 * claims spread over their flows' lives, histograms, flows that ended.
 *
 * Rules: docs/join.md. Grades: wire/scitag.h. Sources: RFC 6437 (flow label), firefly schema 1.0.0,
 * the dialects of docs/fireflies.md.
 *
 * Threads: join_second and the setters from one thread; the questions from any. */
#ifndef JOIN_JOIN_H
#define JOIN_JOIN_H

#include "join/flow.h"
#include "join/senders.h"
#include "store/store.h"

#define JOIN_FLOWS_MAX  262144
#define JOIN_CLAIMS_MAX 262144
#define JOIN_WINDOW_S   60 /* how far a flow's life and a claim's may be apart */
#define JOIN_IDLE_S \
	60 /* a flow that shows nothing for so long has ended; a closed one is kept
				  * as long for late messages */
#define JOIN_CLAIM_SILENT_S \
	3600 /* a claim without END is given up after so long, counted from the last
				  * message or packet */
#define JOIN_CLOCK_S 5
#define JOIN_FLOW_ROWS_PER_S \
	2000 /* ended flows kept in the database; joined and tagged ones first */

struct join; /* opaque */
struct sites;

enum drop_local {
	DROP_LOCAL_NONE,
	DROP_LOCAL_LOOPBACK,
	DROP_LOCAL_PRIVATE,
	DROP_LOCAL_SAME_PREFIX,
	DROP_LOCAL_SAME_SITE
};

struct join_config {
	uint32_t flows_max, claims_max; /* 0: the above */
	uint32_t claim_silent_s;        /* 0: the above */
	enum drop_local drop_local;  /* flows and claims not followed (counted); totals keep them */
	const uint8_t (*relays)[16]; /* senders that may speak for others; copied */
	size_t n_relays;
	const uint16_t
		*points; /* sources by precedence: of several that see one flow the first here is
				 * counted; others after them, unsampled before sampled; copied */
	size_t n_points;
};

/* -ENOMEM. store: numbers of sites; borrowed. */
int join_open(struct join **out, const struct join_config *cfg, struct store *store);
void join_close(struct join *j); /* takes NULL */
/* Between seconds: another claim_silent_s, drop_local, relays and points; the tables keep their size and what is in
 * them. 0, or -ENOMEM with nothing changed. */
int join_configure(struct join *j, const struct join_config *cfg);
/* May be called between seconds. sites is borrowed until the next call; NULL: none. */
void join_set_sites(struct join *j, const struct sites *sites);
void join_set_registered(struct join *j, const struct scitag_set *registered);

/* One second. `b` holds the traffic rows of all sources; its rows are regraded in place (it may grow),
 * its claims, pairs, histograms, label flows and flows are filled. Heard before seen. 0, or -ENOMEM when
 * something found no memory and is left out; the traffic rows are whole all the same. */
int join_second(struct join *j, struct bucket *b, const struct seen *seen, size_t n_seen,
		const struct heard *heard, size_t n_heard);

/* --- questions: copies, under a lock held for microseconds to a few milliseconds ------------- */

enum flow_order { FLOW_BY_BYTES, FLOW_BY_RATE, FLOW_BY_NEWEST, FLOW_BY_DURATION };

struct flow_question {
	uint32_t grades;   /* bits 1 << enum scitag_grade; 0 all */
	int has_claim;     /* 1 only with, -1 only without, 0 both */
	uint32_t oddities; /* any of these bits of its claim; 0 all */
	enum flow_order order;
	int64_t now_utc_us;
	/* NULL: all. Under the lock: quick, and nothing of join's may be called */
	int (*want)(void *arg, const struct flow_view *v);
	void *arg;
};
/* The first `cap` flows in this order: active ones and those that ended within JOIN_IDLE_S; claims without a
 * flow among them. Returns how many were written; *matching how many there are. */
size_t join_flows(struct join *j, const struct flow_question *q, struct flow_view *out, size_t cap,
		  size_t *matching);

/* The sentence why a flow has its grade. Pure. Returns buf. */
char *flow_why(char *buf, size_t cap_bytes, const struct flow_view *v);

/* Wire tag against claimed tag, of joined flows, since start and in the running hour. */
struct agreement_cell {
	struct scitag wire; /* 0/0: no usable tag */
	struct scitag claim;
	uint64_t flows, bytes; /* bytes as seen, of both ways */
	uint64_t flows_1h, bytes_1h;
};
#define JOIN_AGREEMENT_MAX 4096 /* cells; more are summed into 65535/65535 */
size_t join_agreement(struct join *j, struct agreement_cell *out, size_t cap);

/* Senders with what is odd about them: join/senders.h */
size_t join_senders(struct join *j, struct sender *out, size_t cap);

/* Two observation points that see the same flows. */
struct point_overlap {
	uint16_t a, b;  /* store_source_id, a < b */
	uint64_t flows; /* ways of flows of the newest ten minutes, seen by both */
	uint64_t flows_a, flows_b;
};
#define JOIN_OVERLAPS_MAX 1024
size_t join_overlaps(struct join *j, struct point_overlap *out, size_t cap);

/* Is a label's tag more than chance? Independent flows are what chance works on: distinct labelled
 * flows of the newest minute and hour, by Poisson's tail; significant when less likely than five standard
 * deviations of the normal law (2.87e-7). */
struct tag_significance {
	struct scitag tag;
	uint32_t flows_1m, flows_1h;
	double expected_1m, expected_1h;
	uint8_t significant_1m, significant_1h;
};
size_t join_significance(struct join *j, struct tag_significance *out, size_t cap);

/* What the sites in force know of a site, or of an address; they may be exchanged at any time. 0 or
 * -ENOENT. */
struct site_info; /* join/sites.h */
int join_site(struct join *j, uint16_t id, struct site_info *out);
int join_address(struct join *j, const uint8_t ip[16], struct site_info *out);

struct join_status {
	uint32_t flows, flows_max, claims, claims_max, senders, hosts;
	uint64_t memory_bytes, memory_max_bytes;
	uint64_t flows_begun, flows_ended, flows_evicted;
	uint64_t seen, seen_local; /* records; of these dropped as local */
	uint64_t heard, heard_local, duplicates;
	uint64_t claims_begun, claims_joined, claims_superseded, claims_expired, claims_evicted;
	uint64_t claims_crowded; /* times that claimed bytes found no row of their own minute */
	uint64_t flow_rows_kept, flow_rows_let_go; /* towards the database */
};
void join_status(struct join *j, struct join_status *out);

#endif
