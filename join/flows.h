/* The wire's side: flows by 5-tuple in a bounded table, from the first packet to a minute after the
 * last. Inside of join; one thread. */
#ifndef JOIN_FLOWS_H
#define JOIN_FLOWS_H

#include "join/hosts.h"
#include "join/labels.h"
#include "join/points.h"
#include "join/table.h"

/* What belongs to one way of a flow beside what is handed out. */
struct flow_side {
	/* unregistered, registered: when it was last counted in labels; 0 never */
	uint32_t label_s[2];
	struct scitag label_tag; /* as which registered one */
	uint32_t host_s[2];      /* and in hosts */
	uint32_t point_s;        /* when the source that is counted showed it last; 0 never */
	uint16_t point;          /* that source */
	uint16_t site;           /* of who sends */
	struct flow_points points;
	uint8_t is_sampled;  /* what the point shows */
	uint8_t shows_label; /* some point does; else no tag means nothing */
};
/* One flow as it is kept. The key and the ways stand in the table's order (table_key); they are turned when they are
 * handed out. Seconds are those of the buckets, times those of the packets. */
struct flow_record {
	struct flow_key key;
	struct flow_way way[2];
	struct flow_side side[2];
	int64_t last_utc_us; /* of any source; the ways' are of those that were counted */
	uint32_t begun_s, touched_s;
	uint32_t ended_s;   /* 0: active */
	uint32_t claim;     /* its number, or TABLE_NONE */
	uint32_t claimed_s; /* since when */
	uint32_t search_s;  /* when a claim is looked for again */
	uint32_t graded_s;  /* its claim was told of this second */
	uint32_t evidence;  /* what is not told from ways and claim */
	uint16_t cell;      /* of the agreement, + 1; 0 none */
	uint8_t cell_hour;
	uint8_t sites_version;
	uint8_t is_turned;   /* its claim's src is our dst */
	uint8_t is_stranger; /* who claims it */
};
_Static_assert(sizeof(struct flow_record) <= 320, "docs/join.md states what the table takes");

struct flows; /* opaque */

struct flows_config {
	uint32_t flows_max;
	const uint16_t *points; /* by precedence; copied */
	size_t n_points;
};
struct flows *flows_open(const struct flows_config *cfg); /* NULL: no memory */
void flows_close(struct flows *f);
void flows_set_points(struct flows *f, const uint16_t *points,
		      size_t n_points); /* of the next second */
void flows_set_registered(struct flows *f, const struct scitag_set *registered);

/* Called with a flow that is over or has to leave, before it does. */
typedef void (*flow_over)(void *arg, uint32_t at, const struct flow_record *r,
			  enum flow_state state);

/* Whose counts are taken: lower ranks before higher ones. A second's sightings come in order of rank. */
uint16_t flows_rank(const struct flows *f, const struct seen *s);
uint16_t flows_ranks(const struct flows *f); /* how many there are */

struct flow_sighting {
	uint32_t at;
	uint8_t way;      /* of the record */
	uint8_t is_new;   /* a new record; its sites are not set */
	uint8_t is_point; /* its bytes are the flow's: of each way those of one source */
};
/* Where its record is to be found: first where, then, a while later, what is there is fetched. */
struct flow_place {
	struct flow_key key; /* in the table's order */
	uint32_t hash;
	uint8_t way;
};
void flows_place(const struct flows *f, const struct seen *s, struct flow_place *place);
void flows_fetch(const struct flows *f, const struct flow_place *place);
/* Take a sighting into its flow. `now_s`: the bucket's second, never 0. */
struct flow_sighting flows_see(struct flows *f, const struct seen *s,
			       const struct flow_place *place, uint32_t now_s, flow_over over,
			       void *arg);
/* End what is idle, let go what has ended; a bounded number. */
void flows_tick(struct flows *f, uint32_t now_s, flow_over over, void *arg);

uint32_t flows_find(const struct flows *f, const struct flow_key *key); /* either way; TABLE_NONE */
struct flow_record *flows_at(const struct flows *f, uint32_t at);       /* NULL: none there */
/* A claim was found for it, or is made by another now, or it lost it: TABLE_NONE. */
void flows_set_claim(struct flows *f, uint32_t at, uint32_t claim, int is_turned, int is_stranger);
/* Its claim ended. */
void flows_end(struct flows *f, uint32_t at, uint32_t now_s);
void flows_remove(struct flows *f, uint32_t at); /* it is over; nobody is told */

/* As handed out, but for what a claim adds: turned so that `data_way` of the record is FLOW_THERE. */
void flow_record_turn(const struct flow_record *r, int data_way, struct flow *out);
int64_t
flow_record_first(const struct flow_record *r); /* its first packet, of both ways; CLOCK_NEVER */
void flow_key_turn(struct flow_key *out, const struct flow_key *key); /* out may be key */

const struct labels *flows_labels(const struct flows *f);
int flows_take_labels(struct flows *f, struct label_flow_row **rows, size_t *n);
size_t flows_overlaps(struct flows *f, uint32_t now_s, struct point_overlap *out, size_t cap);

/* Whether a claim's src is this key's dst; one address or one port may differ. */
int flow_key_is_turned(const struct flow_key *key, const struct flow_key *claim);

void flows_status(const struct flows *f, struct join_status *out); /* adds its part */
uint32_t flows_capacity(const struct flows *f);                    /* numbers are below it */

#endif
