/* The door: one lock around two tables. A second runs through in this order: fireflies, so that a flow finds its
 * claim; what was seen, source by source in order of precedence; grades, when both ways of each flow are known; then
 * what is over. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "join/agreement.h"
#include "join/best.h"
#include "join/claims.h"
#include "join/flow_rows.h"
#include "join/flows.h"
#include "join/grade.h"
#include "join/join.h"
#include "join/local.h"
#include "join/pairs.h"
#include "join/regrade.h"
#include "join/sites.h"

#define SEARCH_MAX_S 60   /* between two looks for a flow's claim */
#define UNMARKED_S   10   /* a marker has so long after the claim */
#define LOCK_RECORDS 4096 /* looked at before the lock is given up for a moment */
#define PLACES_AHEAD 16   /* sightings whose memory is fetched */

/* What became of a claim on the wire; by the claim's number. */
struct claim_flow {
	uint32_t flow;       /* its number, TABLE_NONE */
	uint8_t grade;       /* of its newest flow */
	uint64_t seen_bytes; /* of flows that are over, data's direction */
};
/* A sighting of a joined flow, to be graded when all were taken. */
struct joined_sighting {
	uint32_t seen; /* its number in the second */
	struct flow_sighting sighting;
};
struct join {
	pthread_mutex_t lock;
	struct flows *flows;
	struct claims *claims;
	struct senders *senders;
	struct agreement *agreement;
	struct regrade *regrade;
	struct pairs *pairs;
	struct flow_rows *flow_rows;
	struct claim_flow *claim_flows;
	uint32_t claims_max;
	const struct sites *sites;
	uint8_t sites_version;
	struct scitag_set registered;
	enum drop_local drop_local;
	uint32_t now_s;

	uint32_t *order; /* numbers of the second's sightings by rank */
	struct joined_sighting *joined;
	size_t order_cap, joined_cap, n_joined;

	uint64_t seen, seen_local, heard, heard_local;
};

/* --- open, close, configure ------------------------------------------------------------------ */

int join_open(struct join **out, const struct join_config *cfg, struct store *store)
{
	const uint32_t claims_max = cfg->claims_max ? cfg->claims_max : JOIN_CLAIMS_MAX;
	const struct flows_config flows = {
		.flows_max = cfg->flows_max ? cfg->flows_max : JOIN_FLOWS_MAX,
		.points = cfg->points,
		.n_points = cfg->n_points,
	};
	const struct claims_config claims = {
		.claims_max = claims_max,
		.silent_s = cfg->claim_silent_s,
		.relays = cfg->relays,
		.n_relays = cfg->n_relays,
	};
	struct join *j = calloc(1, sizeof(*j));

	(void)store;
	if (!j)
		return -ENOMEM;
	pthread_mutex_init(&j->lock, NULL);
	j->drop_local = cfg->drop_local;
	j->claims_max = claims_max;
	j->flows = flows_open(&flows);
	j->senders = senders_open();
	j->claims = j->senders ? claims_open(&claims, j->senders) : NULL;
	j->agreement = agreement_open();
	j->regrade = regrade_open();
	j->pairs = pairs_open();
	j->flow_rows = flow_rows_open();
	j->claim_flows = malloc(claims_max * sizeof(*j->claim_flows));
	if (!j->flows || !j->claims || !j->agreement || !j->regrade || !j->pairs ||
	    !j->claim_flows || !j->flow_rows) {
		join_close(j);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < claims_max; i++)
		j->claim_flows[i] = (struct claim_flow){.flow = TABLE_NONE};
	*out = j;
	return 0;
}

void join_close(struct join *j)
{
	if (!j)
		return;
	flows_close(j->flows);
	claims_close(j->claims);
	senders_close(j->senders);
	agreement_close(j->agreement);
	regrade_close(j->regrade);
	pairs_close(j->pairs);
	flow_rows_close(j->flow_rows);
	free(j->claim_flows);
	free(j->order);
	free(j->joined);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

int join_configure(struct join *j, const struct join_config *cfg)
{
	const struct claims_config claims = {
		.silent_s = cfg->claim_silent_s,
		.relays = cfg->relays,
		.n_relays = cfg->n_relays,
	};
	int err;

	pthread_mutex_lock(&j->lock);
	err = claims_configure(j->claims, &claims);
	if (!err) {
		flows_set_points(j->flows, cfg->points, cfg->n_points);
		j->drop_local = cfg->drop_local;
	}
	pthread_mutex_unlock(&j->lock);
	return err;
}

void join_set_sites(struct join *j, const struct sites *sites)
{
	pthread_mutex_lock(&j->lock);
	j->sites = sites;
	j->sites_version++;
	pthread_mutex_unlock(&j->lock);
}

void join_set_registered(struct join *j, const struct scitag_set *registered)
{
	pthread_mutex_lock(&j->lock);
	j->registered = *registered;
	flows_set_registered(j->flows, registered);
	claims_set_registered(j->claims, registered);
	pthread_mutex_unlock(&j->lock);
}

static int is_local(const struct join *j, const struct flow_key *key)
{
	uint16_t site;

	if (local_addresses(j->drop_local, key))
		return 1;
	if (j->drop_local != DROP_LOCAL_SAME_SITE || flows_find(j->flows, key) != TABLE_NONE)
		return 0; /* of a flow that is followed it was asked before */
	site = sites_find(j->sites, key->src_ip);
	return site && site == sites_find(j->sites, key->dst_ip);
}

/* --- a flow and its claim --------------------------------------------------------------------- */

/* What is claimed of a flow, seen from its record. */
struct said {
	const struct claim *claim; /* NULL: nothing */
	const struct scitag *tag;  /* NULL: nothing, or not registered */
	int way;                   /* of the data, as claimed; -1 */
	int data_way;              /* as it is */
	enum scitag_grade grade;   /* of the flow */
};

static struct said said_of(const struct join *j, const struct flow_record *r)
{
	struct said s = {.way = -1};
	int direction;

	if (r->claim != TABLE_NONE)
		s.claim = claims_at(j->claims, r->claim);
	if (s.claim) {
		if (scitag_set_has(&j->registered, s.claim->tag))
			s.tag = &s.claim->tag;
		direction = claim_data_direction(s.claim);
		if (direction)
			s.way = r->is_turned ^ (direction < 0);
	}
	s.data_way = grade_data_way(r->way, s.way, s.tag);
	s.grade = grade_flow(r->way, s.data_way, s.tag);
	return s;
}

static void set_claim(struct join *j, uint32_t flow, uint32_t claim)
{
	const struct claim *c = claims_at(j->claims, claim);

	j->claim_flows[claim].flow = flow;
	flows_set_claim(j->flows, flow, claim,
			flow_key_is_turned(&flows_at(j->flows, flow)->key, &c->key),
			c->provenance == CLAIM_FROM_STRANGER);
}

/* A claim that began when the flow had ended is of the next one between these ports. */
static int is_of_the_next(const struct flow_record *r, const struct claim *c)
{
	return r->ended_s && c->start_utc_us != CLOCK_NEVER &&
	       c->start_utc_us > r->last_utc_us + JOIN_CLOCK_S * US_PER_S;
}

/* Whether a flow may have this claim, which fits. */
static int is_free(const struct join *j, const struct flow_record *r, uint32_t claim)
{
	const struct claim *c = claims_at(j->claims, claim);

	if (j->claim_flows[claim].flow != TABLE_NONE || is_of_the_next(r, c))
		return 0;
	return r->claim == TABLE_NONE || c->provenance != CLAIM_FROM_STRANGER;
}

/* A claim for a flow that has none, or only a stranger's. */
static void search_claim(struct join *j, uint32_t at)
{
	struct flow_record *r = flows_at(j->flows, at);
	const uint32_t age_s = j->now_s - r->begun_s;
	int64_t first_utc_us = flow_record_first(r);
	uint32_t how, claim;

	if (first_utc_us == CLOCK_NEVER)
		first_utc_us = r->last_utc_us;
	/* again when it is twice as old */
	r->search_s = j->now_s + (age_s < 1 ? 1 : age_s < SEARCH_MAX_S ? age_s : SEARCH_MAX_S);
	claim = claims_find(j->claims, &r->key, first_utc_us, r->last_utc_us, &how);
	if (claim == r->claim && claim != TABLE_NONE)
		return;
	if (claim == TABLE_NONE || !is_free(j, r, claim)) {
		r->evidence |= how & FLOW_SAME_HOSTS;
		return;
	}
	if (r->claim != TABLE_NONE)
		j->claim_flows[r->claim].flow = TABLE_NONE;
	r->evidence &= ~(uint32_t)(FLOW_SAME_HOSTS | FLOW_NAT | FLOW_ONE_PORT);
	r->evidence |= how;
	claims_joined(j->claims, claim, r->last_utc_us); /* may vouch for its sender */
	set_claim(j, at, claim);
}

static int may_search(const struct join *j, const struct flow_record *r)
{
	return r->claim == TABLE_NONE || r->is_stranger;
}

static void make_view(const struct join *j, const struct flow_record *r, struct flow_view *v)
{
	const struct said s = said_of(j, r);
	struct flow *f = &v->flow;

	flow_record_turn(r, s.data_way, f);
	f->grade = (uint8_t)s.grade;
	f->has_claim = s.claim != NULL;
	f->evidence |= grade_evidence(r->way, s.data_way, s.tag, &j->registered);
	if (!s.claim) {
		v->claim = (struct claim){0};
		return;
	}
	v->claim = *s.claim;
	if (!s.tag)
		f->evidence |= FLOW_CLAIM_DEAD;
	if (s.claim->provenance == CLAIM_FROM_STRANGER)
		f->evidence |= FLOW_CLAIM_STRANGER;
}

/* Of a claim whose flow was not seen. */
static void make_unseen_view(const struct join *j, const struct claim *c, struct flow_view *v)
{
	static const uint8_t states[] = {
		[CLAIM_OPEN] = FLOW_ACTIVE,      [CLAIM_ENDED] = FLOW_ENDED,
		[CLAIM_SUPERSEDED] = FLOW_ENDED, [CLAIM_EXPIRED] = FLOW_ENDED,
		[CLAIM_EVICTED] = FLOW_EVICTED,
	};
	const int registered = scitag_set_has(&j->registered, c->tag);

	v->claim = *c;
	v->flow = (struct flow){
		.key = c->key,
		.first_utc_us = CLOCK_NEVER,
		.last_utc_us = CLOCK_NEVER,
		.grade = registered ? GRADE_CLAIMED : GRADE_UNTAGGED,
		.state = states[c->state],
		.has_claim = 1,
		.evidence = registered ? 0 : FLOW_CLAIM_DEAD,
	};
	if (c->provenance == CLAIM_FROM_STRANGER)
		v->flow.evidence |= FLOW_CLAIM_STRANGER;
	if (claim_data_direction(c) < 0)
		flow_key_turn(&v->flow.key, &c->key);
	for (int i = 0; i < 2; i++)
		v->flow.way[i].first_utc_us = v->flow.way[i].last_utc_us = CLOCK_NEVER;
	v->flow.src_site = sites_find(j->sites, v->flow.key.src_ip);
	v->flow.dst_site = sites_find(j->sites, v->flow.key.dst_ip);
}

/* --- flows that are over ----------------------------------------------------------------------- */

/* What its sender may have to hear about, once the flow tells for sure. */
static void find_oddities(struct join *j, struct flow_record *r, const struct said *s, int is_over)
{
	const struct flow_way *data = &r->way[s->data_way], *back = &r->way[!s->data_way];

	if (s->grade == GRADE_DISAGREE && s->tag && !same_tag(data->tag, *s->tag))
		claims_odd(j->claims, r->claim, CLAIM_OTHER_TAG);
	if (s->grade == GRADE_CLAIMED && r->key.family == 6 && r->side[s->data_way].shows_label &&
	    (is_over || j->now_s >= r->claimed_s + UNMARKED_S))
		claims_odd(j->claims, r->claim, CLAIM_UNMARKED);
	if (grade_surely_more(r->way) != s->data_way || data->bytes < 2 * back->bytes)
		return;
	r->evidence &= ~(uint32_t)FLOW_REVERSED;
	if (s->data_way != r->is_turned) {
		r->evidence |= FLOW_REVERSED;
		claims_odd(j->claims, r->claim, CLAIM_REVERSED);
	}
}

static void agree(struct join *j, struct flow_record *r, const struct said *s, uint64_t bytes)
{
	const struct flow_way *told =
		&r->way[r->way[s->data_way].samples ? s->data_way : !s->data_way];

	agreement_see(j->agreement,
		      scitag_set_has(&j->registered, told->tag) ? told->tag : (struct scitag){0, 0},
		      s->claim->tag, s->tag != NULL, bytes, j->now_s, &r->cell, &r->cell_hour);
}

/* A claim that came after the flow's last packet: no sighting will tell. */
static void agree_late(struct join *j, uint32_t at)
{
	struct flow_record *r = flows_at(j->flows, at);
	struct said s;

	if (r->claim == TABLE_NONE || r->cell)
		return;
	s = said_of(j, r);
	agree(j, r, &s, r->way[0].bytes + r->way[1].bytes);
}

static void on_flow_over(void *arg, uint32_t at, const struct flow_record *r, enum flow_state state)
{
	struct join *j = arg;
	enum flow_row_class class_ = FLOW_ROW_OTHER;
	int room;
	struct claim_flow *cf;
	struct flow_view v;
	struct said s;

	if (r->claim == TABLE_NONE && state == FLOW_ENDED)
		search_claim(j, at); /* one that came late */
	agree_late(j, at);
	if (r->claim != TABLE_NONE) {
		s = said_of(j, r);
		find_oddities(j, flows_at(j->flows, at), &s, 1);
		class_ = r->is_stranger ? FLOW_ROW_TAGGED : FLOW_ROW_JOINED;
	} else if (r->way[0].wire_grade >= GRADE_REGISTERED ||
		   r->way[1].wire_grade >= GRADE_REGISTERED) {
		class_ = FLOW_ROW_TAGGED;
	}
	room = flow_rows_room(j->flow_rows, class_);
	if (!room && r->claim == TABLE_NONE)
		return; /* as nearly all of a flood */
	make_view(j, r, &v);
	v.flow.state = (uint8_t)state;
	if (room)
		flow_rows_add(j->flow_rows, class_, &v);
	if (r->claim == TABLE_NONE)
		return;
	cf = &j->claim_flows[r->claim];
	cf->flow = TABLE_NONE;
	cf->grade = v.flow.grade;
	cf->seen_bytes += v.flow.way[FLOW_THERE].bytes;
}

/* A flow goes with its claim, unless only the claims' table was full. */
static void on_claim_over(void *arg, uint32_t at, const struct claim *c)
{
	struct join *j = arg;
	struct claim_flow *cf = &j->claim_flows[at];
	const uint32_t flow = cf->flow;
	struct flow_view v;

	if (flow != TABLE_NONE && c->state == CLAIM_EVICTED) {
		make_view(j, flows_at(j->flows, flow), &v);
		cf->grade = v.flow.grade;
		cf->seen_bytes += v.flow.way[FLOW_THERE].bytes;
		flows_set_claim(j->flows, flow, TABLE_NONE, 0, 0);
	} else if (flow != TABLE_NONE) {
		on_flow_over(j, flow, flows_at(j->flows, flow), FLOW_ENDED);
		flows_remove(j->flows, flow);
	}
	make_unseen_view(j, c, &v);
	if (!c->joined) { /* anybody can make one */
		const enum flow_row_class class_ =
			c->provenance == CLAIM_FROM_STRANGER ? FLOW_ROW_OTHER : FLOW_ROW_TAGGED;

		if (flow_rows_room(j->flow_rows, class_))
			flow_rows_add(j->flow_rows, class_, &v);
	}
	v.flow.grade = c->joined ? cf->grade : GRADE_UNTAGGED;
	v.flow.way[FLOW_THERE].bytes = cf->seen_bytes;
	senders_outcome(j->senders, &v);
	*cf = (struct claim_flow){.flow = TABLE_NONE};
}

/* --- one second -------------------------------------------------------------------------------- */

static void hear(struct join *j, const struct heard *h)
{
	uint32_t at, flow;

	j->heard++;
	if (is_local(j, &h->firefly.key)) {
		j->heard_local++;
		return;
	}
	at = claims_hear(j->claims, h, on_claim_over, j);
	if (at == TABLE_NONE)
		return;
	if (j->claim_flows[at].flow == TABLE_NONE) {
		flow = flows_find(j->flows, &h->firefly.key);
		if (flow != TABLE_NONE && may_search(j, flows_at(j->flows, flow)))
			search_claim(j, flow);
		if (flow != TABLE_NONE)
			agree_late(j, flow);
	}
	flow = j->claim_flows[at].flow;
	if (flow == TABLE_NONE)
		return;
	set_claim(j, flow, at); /* another end may speak now */
	if (claims_at(j->claims, at)->state == CLAIM_ENDED)
		flows_end(j->flows, flow, j->now_s);
}

static int grow(void **array, size_t *cap, size_t n, size_t item_bytes)
{
	size_t wanted = *cap ? *cap : 1024;
	void *grown;

	if (n <= *cap)
		return 0;
	while (wanted < n)
		wanted *= 2;
	grown = realloc(*array, wanted * item_bytes);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*cap = wanted;
	return 0;
}

/* Numbers by rank, each rank in the order of the second. NULL: they are in order, or there is no memory and they
 * have to do. */
static const uint32_t *sort_by_rank(struct join *j, const struct seen *seen, size_t n)
{
	const size_t ranks = flows_ranks(j->flows);
	uint32_t starts[STORE_SOURCES_MAX + 3] = {0};
	int sorted = 1;

	for (size_t i = 1; i < n && sorted; i++)
		sorted = flows_rank(j->flows, &seen[i - 1]) <= flows_rank(j->flows, &seen[i]);
	if (sorted || ranks + 1 > sizeof(starts) / sizeof(starts[0]) ||
	    grow((void **)&j->order, &j->order_cap, n, sizeof(*j->order)))
		return NULL;
	for (size_t i = 0; i < n; i++)
		starts[flows_rank(j->flows, &seen[i]) + 1]++;
	for (size_t i = 0; i < ranks; i++)
		starts[i + 1] += starts[i];
	for (size_t i = 0; i < n; i++)
		j->order[starts[flows_rank(j->flows, &seen[i])]++] = (uint32_t)i;
	return j->order;
}

static void find_sites(const struct join *j, struct flow_record *r)
{
	r->side[0].site = sites_find(j->sites, r->key.src_ip);
	r->side[1].site = sites_find(j->sites, r->key.dst_ip);
	r->sites_version = j->sites_version;
}

static int add_pair(struct join *j, const struct flow_record *r, int way, const struct seen *s,
		    enum scitag_grade grade, struct scitag tag)
{
	return pairs_add(j->pairs, r->side[way].site, r->side[!way].site, s, grade, tag,
			 scitag_set_has(&j->registered, tag));
}

/* Of a flow that is followed no more: as the wire has it. */
static int add_pair_of_none(struct join *j, const struct seen *s,
			    const struct flow_sighting *sighting)
{
	if (!sighting->is_point)
		return 0;
	return pairs_add(j->pairs, sites_find(j->sites, s->key.src_ip),
			 sites_find(j->sites, s->key.dst_ip), s, s->tag.grade, s->tag.tag,
			 scitag_set_has(&j->registered, s->tag.tag));
}

static int see(struct join *j, const struct seen *s, const struct flow_place *place,
	       uint32_t number)
{
	struct flow_sighting sighting;
	struct flow_record *r;

	j->seen++;
	if (s->key.family != 4 && s->key.family != 6)
		return 0;
	if (is_local(j, &s->key)) {
		j->seen_local++;
		return 0;
	}
	sighting = flows_see(j->flows, s, place, j->now_s, on_flow_over, j);
	r = flows_at(j->flows, sighting.at);
	if (sighting.is_new || r->sites_version != j->sites_version)
		find_sites(j, r);
	if (j->now_s >= r->search_s && may_search(j, r))
		search_claim(j, sighting.at);
	if (r->claim == TABLE_NONE)
		return sighting.is_point ? add_pair(j, r, sighting.way, s, s->tag.grade, s->tag.tag)
					 : 0;
	if (grow((void **)&j->joined, &j->joined_cap, j->n_joined + 1, sizeof(*j->joined)))
		return -ENOMEM;
	j->joined[j->n_joined++] = (struct joined_sighting){.seen = number, .sighting = sighting};
	return 0;
}

/* All sightings, with the memory of those to come on its way. */
static int see_all(struct join *j, const struct seen *seen, size_t n)
{
	const uint32_t *order = sort_by_rank(j, seen, n);
	struct flow_place places[PLACES_AHEAD];
	int err = 0;

	for (size_t i = 0; i < n + PLACES_AHEAD; i++) {
		struct flow_place *place = &places[i % PLACES_AHEAD];
		const size_t now = i - PLACES_AHEAD;

		if (i >= PLACES_AHEAD) {
			const uint32_t number = order ? order[now] : (uint32_t)now;

			err = see(j, &seen[number], place, number) ? -ENOMEM : err;
		}
		if (i < n)
			flows_place(j->flows, &seen[order ? order[i] : i], place);
		if (i >= PLACES_AHEAD / 2 && i - PLACES_AHEAD / 2 < n)
			flows_fetch(j->flows, &places[(i - PLACES_AHEAD / 2) % PLACES_AHEAD]);
	}
	return err;
}

/* Now that both ways of its flow are known. */
static int grade(struct join *j, const struct seen *s, const struct flow_sighting *sighting)
{
	struct flow_record *r = flows_at(j->flows, sighting->at);
	enum scitag_grade to;
	struct flow_key key;
	struct said said;
	int err;

	table_key(&key, &s->key);
	if (!r || r->claim == TABLE_NONE || memcmp(&r->key, &key, sizeof(key)))
		return add_pair_of_none(j, s, sighting); /* it had to leave in this very second */
	said = said_of(j, r);
	to = grade_traffic(s->tag.grade, s->tag.carrier, s->tag.tag, said.tag,
			   sighting->way == said.data_way);
	err = regrade_move(j->regrade, s, to);
	if (sighting->is_point &&
	    add_pair(j, r, sighting->way, s, to, to == GRADE_CLAIMED ? *said.tag : s->tag.tag))
		err = -ENOMEM;
	agree(j, r, &said, sighting->is_point ? s->bytes : 0);
	if (r->graded_s != j->now_s) {
		r->graded_s = j->now_s;
		claims_joined(j->claims, r->claim, r->last_utc_us);
		find_oddities(j, r, &said, 0);
	}
	return err;
}

static int hand_over(struct join *j, struct bucket *b)
{
	struct claim_row *claims = NULL, *grown;
	size_t n_claims = 0;
	int err = flow_rows_take(j->flow_rows, &b->flows, &b->n_flows);

	if (pairs_take(j->pairs, &b->pairs, &b->n_pairs))
		err = -ENOMEM;
	if (flows_take_labels(j->flows, &b->label_flows, &b->n_label_flows))
		err = -ENOMEM;
	if (claims_take(j->claims, &claims, &n_claims, &b->histograms, &b->n_histograms))
		return -ENOMEM;
	grown = n_claims ? realloc(b->claims, (b->n_claims + n_claims) * sizeof(*grown)) : NULL;
	if (grown) {
		memcpy(grown + b->n_claims, claims, n_claims * sizeof(*claims));
		b->claims = grown;
		b->n_claims += n_claims;
	} else if (n_claims) {
		err = -ENOMEM;
	}
	free(claims);
	return err;
}

int join_second(struct join *j, struct bucket *b, const struct seen *seen, size_t n_seen,
		const struct heard *heard, size_t n_heard)
{
	int err;

	pthread_mutex_lock(&j->lock);
	if (b->start_utc_s > j->now_s) /* never back: a clock that was set stands still here */
		j->now_s = (uint32_t)b->start_utc_s;
	j->n_joined = 0;
	for (size_t i = 0; i < n_heard; i++)
		hear(j, &heard[i]);
	err = see_all(j, seen, n_seen);
	regrade_begin(j->regrade, b);
	for (size_t i = 0; i < j->n_joined; i++)
		err = grade(j, &seen[j->joined[i].seen], &j->joined[i].sighting) ? -ENOMEM : err;
	regrade_end(j->regrade);
	flows_tick(j->flows, j->now_s, on_flow_over, j);
	claims_tick(j->claims, (j->now_s + 1) * US_PER_S, on_claim_over, j);
	err = hand_over(j, b) ? -ENOMEM : err;
	pthread_mutex_unlock(&j->lock);
	return err;
}

/* --- questions --------------------------------------------------------------------------------- */

size_t join_flows(struct join *j, const struct flow_question *q, struct flow_view *out, size_t cap,
		  size_t *matching)
{
	struct best best;
	const uint32_t flows_max = flows_capacity(j->flows);
	struct flow_view v;

	best_open(&best, q, out, cap);
	for (uint32_t from = 0; from < flows_max; from += LOCK_RECORDS) {
		pthread_mutex_lock(&j->lock);
		for (uint32_t at = from; at < from + LOCK_RECORDS && at < flows_max; at++) {
			const struct flow_record *r = flows_at(j->flows, at);

			if (!r || (q->has_claim > 0 && r->claim == TABLE_NONE))
				continue;
			make_view(j, r, &v);
			best_offer(&best, &v);
		}
		pthread_mutex_unlock(&j->lock);
	}
	for (uint32_t from = 0; q->has_claim >= 0 && from < j->claims_max; from += LOCK_RECORDS) {
		pthread_mutex_lock(&j->lock);
		for (uint32_t at = from; at < from + LOCK_RECORDS && at < j->claims_max; at++) {
			const struct claim *c = claims_at(j->claims, at);

			if (!c || c->joined)
				continue;
			make_unseen_view(j, c, &v);
			best_offer(&best, &v);
		}
		pthread_mutex_unlock(&j->lock);
	}
	return best_close(&best, matching);
}

size_t join_agreement(struct join *j, struct agreement_cell *out, size_t cap)
{
	size_t n;

	pthread_mutex_lock(&j->lock);
	n = agreement_list(j->agreement, j->now_s, out, cap);
	pthread_mutex_unlock(&j->lock);
	return n;
}

size_t join_senders(struct join *j, struct sender *out, size_t cap)
{
	size_t n;

	pthread_mutex_lock(&j->lock);
	n = senders_list(j->senders, out, cap);
	pthread_mutex_unlock(&j->lock);
	return n;
}

size_t join_overlaps(struct join *j, struct point_overlap *out, size_t cap)
{
	size_t n;

	pthread_mutex_lock(&j->lock);
	n = flows_overlaps(j->flows, j->now_s, out, cap);
	pthread_mutex_unlock(&j->lock);
	return n;
}

size_t join_significance(struct join *j, struct tag_significance *out, size_t cap)
{
	size_t n;

	pthread_mutex_lock(&j->lock);
	n = labels_significance(flows_labels(j->flows), j->now_s, out, cap);
	pthread_mutex_unlock(&j->lock);
	return n;
}

int join_site(struct join *j, uint16_t id, struct site_info *out)
{
	int err;

	pthread_mutex_lock(&j->lock);
	err = sites_of_id(j->sites, id, out);
	pthread_mutex_unlock(&j->lock);
	return err;
}

int join_address(struct join *j, const uint8_t ip[16], struct site_info *out)
{
	int err;

	pthread_mutex_lock(&j->lock);
	err = sites_of_address(j->sites, ip, out);
	pthread_mutex_unlock(&j->lock);
	return err;
}

void join_status(struct join *j, struct join_status *out)
{
	struct claims_status claims;
	size_t both;

	pthread_mutex_lock(&j->lock);
	*out = (struct join_status){
		.claims_max = j->claims_max,
		.senders = (uint32_t)senders_count(j->senders),
		.seen = j->seen,
		.seen_local = j->seen_local,
		.heard = j->heard,
		.heard_local = j->heard_local,
	};
	flow_rows_status(j->flow_rows, &out->flow_rows_kept, &out->flow_rows_let_go);
	flows_status(j->flows, out);
	claims_status(j->claims, &claims);
	out->claims = claims.count;
	out->claims_begun = claims.begun;
	out->claims_joined = claims.joined;
	out->claims_superseded = claims.superseded;
	out->claims_expired = claims.expired;
	out->claims_evicted = claims.evicted;
	out->duplicates = claims.duplicates;
	out->claims_crowded = claims.crowded;
	both = agreement_memory_bytes() + regrade_memory_bytes(j->regrade) +
	       pairs_memory_bytes(j->pairs) + senders_memory_bytes(j->senders) +
	       flow_rows_memory_bytes() + j->claims_max * sizeof(*j->claim_flows) +
	       j->order_cap * sizeof(*j->order) + j->joined_cap * sizeof(*j->joined);
	out->memory_bytes += both + claims_memory_bytes(j->claims) / j->claims_max * out->claims;
	out->memory_max_bytes += both + claims_memory_bytes(j->claims);
	pthread_mutex_unlock(&j->lock);
}
