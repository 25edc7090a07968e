/* Question in, answer out; knows no HTTP and is tested without it. Each path is a row of
 * api_routes with its parameters; the same rows make the OpenAPI document.
 * Any thread. */
#ifndef WEB_API_H
#define WEB_API_H

#include "join/join.h"
#include "registry/keeper.h"
#include "store/filter.h"
#include "store/store.h"
#include "web/export.h"
#include "web/json.h"
#include "web/live.h"
#include "web/metrics.h"
#include "web/query.h"
#include "web/recent.h"

#define API_LIMIT_DEFAULT "1000"
#define API_LIMIT_MAX     2000
#define API_FLOWS_MAX     10000 /* in one answer */
#define API_POINTS_AUTO   720   /* at most, when the step is ours to choose */
#define API_POINTS_MAX    11000
#define API_RING_S        900         /* the live ring's length */
#define API_MINUTES_S     (12 * 3600) /* longer ranges of pairs and claims go by the hour */

struct api { /* what answers are made from; borrowed, must outlive them */
	struct store *store;
	struct registry_keeper *registry;
	struct join *join; /* NULL: flows and fireflies are not followed */
	struct live *live;
	struct recent *recent;
	struct metrics *metrics;
	const char *version;
	int64_t started_utc_us;
};

enum unit { UNIT_BYTES, UNIT_IP_BYTES, UNIT_PACKETS, UNIT_END_BYTES, UNIT_COUNT };
enum flow_age { FLOWS_ACTIVE, FLOWS_RECENT, FLOWS_ENDED, FLOWS_AGE_COUNT };

struct question { /* the parameters of a request, read; api_answer makes and frees it */
	const struct api *api;
	const struct query *query;
	const struct registry *registry; /* in force for this answer */
	int64_t now_utc_us;
	int64_t from_utc_us, to_utc_us;
	uint32_t step_s; /* 0: ours to choose */
	uint32_t group;  /* bits 1 << enum dim */
	enum unit unit;
	uint32_t limit;
	struct filter *filter;
	const char *value;
	enum export_format format;
	/* of flows */
	uint32_t grades, oddities; /* bits; 0 all */
	int has_claim;             /* as struct flow_question's */
	enum flow_order order;
	enum flow_age age;
	int collector_fields;
	/* of packets */
	int64_t after_utc_s; /* CLOCK_NEVER: all that are kept */
	enum recent_kind recent_kind;
	/* of durations */
	enum histogram_kind kind;
	int bins;
};

struct api_param {
	const char *name;
	const char *text;           /* what it means, a sentence */
	const char *default_text;   /* NULL: it must be given */
	const char *type;           /* of JSON schema: "string", "integer" */
	const char *const *choices; /* NULL-terminated; NULL: free */
	/* Reads the text into *q. -EINVAL with the problem in *out. */
	int (*read)(struct question *q, const char *text, struct answer *out);
};

struct api_route {
	const char *path;
	const char *summary;
	const char *type;                      /* of the body when all is well */
	const char *shape;                     /* of a JSON body: see openapi.c */
	const struct api_param *const *params; /* NULL-terminated; NULL: none */
	void (*answer)(const struct question *q, struct answer *out); /* NULL: the live stream */
};
extern const struct api_route api_routes[]; /* ends with a NULL path */

const struct api_route *api_find(const char *path); /* NULL: none */
/* 0, or -EINVAL with the problem in *out: a parameter that the route does not have. */
int api_refuse_unknown(const struct api_route *route, const struct query *query,
		       struct answer *out);
/* Checks the parameters and answers; whatever is wrong becomes a problem document. */
void api_answer(const struct api *a, const struct api_route *route, const struct query *query,
		int64_t now_utc_us, struct answer *out);

/* --- the answers, a file for each kind ------------------------------------------------- */

void answer_series(const struct question *q, struct answer *out); /* traffic.c */
void answer_top(const struct question *q, struct answer *out);
void answer_coverage(const struct question *q, struct answer *out);  /* coverage.c */
void answer_flows(const struct question *q, struct answer *out);     /* flows.c */
void answer_agreement(const struct question *q, struct answer *out); /* agreement.c */
void answer_sites(const struct question *q, struct answer *out);     /* sites.c */
void answer_packets(const struct question *q, struct answer *out);   /* packets.c */
void answer_durations(const struct question *q, struct answer *out); /* claims.c */
void answer_claims(const struct question *q, struct answer *out);
void answer_sources(const struct question *q, struct answer *out); /* health.c */
void answer_health(const struct question *q, struct answer *out);
void answer_healthz(const struct question *q, struct answer *out);
void answer_readyz(const struct question *q, struct answer *out);
void answer_registry(const struct question *q, struct answer *out); /* lookup.c */
void answer_decode(const struct question *q, struct answer *out);
void answer_metrics(const struct question *q, struct answer *out); /* metrics.c */
void answer_openapi(const struct question *q, struct answer *out); /* openapi.c */

/* --- what they share ------------------------------------------------------------------------- */

/* The table that answers `group` and the question's filter. 0, or -EINVAL with the problem in *out. */
int api_table(const struct question *q, uint32_t group, enum store_table *table,
	      struct answer *out);
/* The question's range in whole seconds, rounded outwards. 0, or -EINVAL with the problem in *out. */
int api_range(const struct question *q, int64_t *from_utc_s, int64_t *to_utc_s, struct answer *out);
/* Asks the store with the question's range, step and filter: for series where `points`, else for
 * one total over the same range. 0 and *result, or a negative errno with the problem in *out. */
int api_ask(const struct question *q, enum store_table table, int points, uint32_t group,
	    uint32_t limit, struct store_result **result, struct answer *out);
/* A problem for what the store answered. */
void api_store_problem(struct answer *out, int err);
/* Half width of the 95 % interval of v->bytes. */
uint64_t api_error_bytes(const struct traffic_value *v);
json_t *api_gaps(const struct store_result *r);

/* Words of flows and claims. flows.c */
json_t *api_ip(const uint8_t ip[16]); /* v4-mapped as IPv4 */
json_t *api_protocol(uint8_t protocol);
json_t *api_oddities(uint32_t bits);
const char *api_provenance_name(unsigned int provenance);
/* Does the flow's claim call the flow's destination the source? */
int api_claim_is_turned(const struct flow_view *v);
/* A flow as the firefly collectors (Logstash pipelines) name its members. collector.c */
json_t *collector_flow(const struct question *q, const struct flow_view *v);

/* One second of the live stream as JSON text, malloc'd; NULL: no memory. tick.c */
char *api_tick(const struct api *a, const struct bucket *rows, const struct live_second *second);

#endif
