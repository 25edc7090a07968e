/* Lists of the table: three classes of flows, ordinary ones, tagged ones and joined ones, each with the active in
 * order of use and the ended in order of their end. Under a flood the ordinary ones go first. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "join/flows.h"
#include "join/grade.h"

#define CLASSES      3
#define ENDED        CLASSES /* added to a class */
#define EXPIRE_PER_S 131072  /* of each list */
#define TCP_FIN      0x01
#define TCP_SYN      0x02
#define TCP_RST      0x04
#define PROTOCOL_TCP 6

_Static_assert(TABLE_CLASSES >= 2 * CLASSES, "active and ended lists");

struct flows {
	struct table *table;
	struct labels *labels;
	struct points *points;
	struct hosts *hosts;
	uint16_t *rank; /* of a source that is in the configuration, + 1; 0 others */
	uint16_t n_ranked;
	uint64_t begun, ended, evicted;
};

struct flows *flows_open(const struct flows_config *cfg)
{
	struct flows *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->table = table_open(cfg->flows_max, sizeof(struct flow_record));
	f->labels = labels_open();
	f->points = points_open();
	f->hosts = hosts_open(HOSTS_MAX);
	f->rank = calloc(UINT16_MAX + 1, sizeof(*f->rank));
	if (!f->table || !f->labels || !f->points || !f->hosts || !f->rank) {
		flows_close(f);
		return NULL;
	}
	flows_set_points(f, cfg->points, cfg->n_points);
	return f;
}

void flows_set_points(struct flows *f, const uint16_t *points, size_t n_points)
{
	memset(f->rank, 0, (UINT16_MAX + 1) * sizeof(*f->rank));
	f->n_ranked = 0;
	for (size_t i = 0; i < n_points && i < STORE_SOURCES_MAX; i++) {
		if (!f->rank[points[i]])
			f->rank[points[i]] = ++f->n_ranked;
	}
}

void flows_close(struct flows *f)
{
	if (!f)
		return;
	table_close(f->table);
	labels_close(f->labels);
	points_close(f->points);
	hosts_close(f->hosts);
	free(f->rank);
	free(f);
}

static void grade_anew(struct flow_way *w, const struct scitag_set *registered)
{
	if (w->carrier == CARRIER_NONE || w->wire_grade == GRADE_DISAGREE)
		return;
	if (!scitag_set_has(registered, w->tag))
		w->wire_grade = GRADE_UNREGISTERED;
	else
		w->wire_grade = w->carrier == CARRIER_LABEL ? GRADE_REGISTERED : GRADE_CONFIRMED;
}

void flows_set_registered(struct flows *f, const struct scitag_set *registered)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SCITAG_LABEL_CODES / 64; i++)
		n += (uint32_t)__builtin_popcountll(registered->bits[i]);
	labels_set_registered(f->labels, registered);
	hosts_set_chance(f->hosts, (double)n / SCITAG_LABEL_CODES);
	for (uint32_t at = 0; at < table_max(f->table); at++) {
		struct flow_record *r = table_record(f->table, at);

		for (int i = 0; r && i < 2; i++)
			grade_anew(&r->way[i], registered);
	}
}

static uint16_t rank_of(const struct flows *f, uint16_t source, int is_sampled)
{
	if (f->rank[source])
		return (uint16_t)(f->rank[source] - 1);
	return (uint16_t)(f->n_ranked + is_sampled);
}

static int is_sampled(const struct seen *s)
{
	return s->packets != s->samples;
}

uint16_t flows_rank(const struct flows *f, const struct seen *s)
{
	return rank_of(f, s->source, is_sampled(s));
}

uint16_t flows_ranks(const struct flows *f)
{
	return (uint16_t)(f->n_ranked + 2);
}

/* Registered labels and strangers' claims are for anybody to make. */
static unsigned int class_of(const struct flow_record *r)
{
	unsigned int class_ = 0;

	if (r->claim != TABLE_NONE)
		class_ = r->is_stranger ? 1 : 2;
	else if (r->way[0].wire_grade >= GRADE_REGISTERED ||
		 r->way[1].wire_grade >= GRADE_REGISTERED)
		class_ = 1;
	return r->ended_s ? class_ + ENDED : class_;
}

static void let_go(struct flows *f, uint32_t at, flow_over over, void *arg, enum flow_state state)
{
	over(arg, at, flows_at(f, at), state);
	table_remove(f->table, at);
}

static void make_room(struct flows *f, flow_over over, void *arg)
{
	for (unsigned int c = 0; c < CLASSES; c++) {
		const uint32_t ended = table_oldest(f->table, c + ENDED);
		const uint32_t active = table_oldest(f->table, c);

		if (ended == TABLE_NONE && active == TABLE_NONE)
			continue;
		f->evicted++;
		if (ended != TABLE_NONE)
			let_go(f, ended, over, arg, FLOW_ENDED);
		else
			let_go(f, active, over, arg, FLOW_EVICTED);
		return;
	}
}

static struct flow_record *add(struct flows *f, const struct flow_place *place, uint32_t now_s,
			       uint32_t *at)
{
	struct flow_record *r;

	*at = table_add_hashed(f->table, &place->key, place->hash);
	r = table_record(f->table, *at);
	r->claim = TABLE_NONE;
	r->begun_s = r->search_s = now_s;
	r->last_utc_us = CLOCK_NEVER;
	for (int i = 0; i < 2; i++)
		r->way[i].first_utc_us = r->way[i].last_utc_us = CLOCK_NEVER;
	f->begun++;
	return r;
}

/* Whether a sighting is of a new flow between the same ports. */
static int is_another(const struct flow_record *r, const struct seen *s, uint32_t now_s)
{
	if (r->touched_s + JOIN_IDLE_S <= now_s)
		return 1;
	/* another source, or the other way, may tell late of the SYN that began it */
	return r->ended_s && s->tcp_flags & TCP_SYN && s->key.protocol == PROTOCOL_TCP &&
	       s->first_utc_us > r->last_utc_us;
}

/* What speaks for a tag when it is held against the one that is there. */
static int strength(enum scitag_grade wire_grade)
{
	switch (wire_grade) {
	case GRADE_CONFIRMED:
	case GRADE_DISAGREE:
		return 2;
	case GRADE_REGISTERED:
		return 1;
	default:
		return 0;
	}
}

static void see_tag(struct flow_record *r, struct flow_way *w, const struct seen *s, int is_point)
{
	const int same = same_tag(w->tag, s->tag.tag) && w->carrier == s->tag.carrier &&
			 w->wire_grade == s->tag.grade;

	if (w->carrier == CARRIER_LABEL && s->tag.carrier == CARRIER_LABEL &&
	    (w->wire_grade == GRADE_REGISTERED) != (s->tag.grade == GRADE_REGISTERED))
		r->evidence |= FLOW_TRANSITION;
	w->label = s->label;
	if (!same) {
		if (strength(s->tag.grade) < strength(w->wire_grade))
			return;
		w->tag = s->tag.tag;
		w->carrier = s->tag.carrier;
		w->wire_grade = s->tag.grade;
		w->tagged_samples = 0;
	}
	if (is_point && w->carrier != CARRIER_NONE)
		w->tagged_samples += s->samples;
}

/* Labels by tag and by host, and what its host says of a registered one. */
static void see_label(struct flows *f, struct flow_record *r, int way, const struct seen *s,
		      uint32_t now_s)
{
	const int registered = s->tag.grade == GRADE_REGISTERED;
	struct flow_side *side = &r->side[way];
	uint32_t *label_s = &side->label_s[registered], *host_s = &side->host_s[registered];

	if (s->tag.carrier != CARRIER_LABEL || (!registered && s->tag.grade != GRADE_UNREGISTERED))
		return;
	if (registered && !same_tag(s->tag.tag, side->label_tag)) {
		side->label_tag = s->tag.tag;
		*label_s = 0; /* of this tag it is a new one */
	}
	if (labels_slot(*label_s) == labels_slot(now_s))
		return;
	labels_see(f->labels, s->tag.tag, registered, *label_s, now_s);
	*label_s = now_s;
	if (hosts_slot(*host_s) != hosts_slot(now_s)) {
		hosts_label(f->hosts, s->key.src_ip, registered, s->label, *host_s, now_s);
		*host_s = now_s;
	}
	if (registered) {
		r->evidence &= ~(uint32_t)(FLOW_HOST_EXCESS | FLOW_BIT19);
		r->evidence |= hosts_evidence(f->hosts, s->key.src_ip, s->label, now_s);
	}
}

static void count(struct flow_way *w, const struct seen *s)
{
	w->packets += s->packets;
	w->bytes += s->bytes;
	w->ip_bytes += s->ip_bytes;
	w->bytes_variance += s->bytes_variance;
	w->samples += s->samples;
	w->direction = s->direction;
	if (w->first_utc_us == CLOCK_NEVER || s->first_utc_us < w->first_utc_us)
		w->first_utc_us = s->first_utc_us;
	if (s->last_utc_us > w->last_utc_us)
		w->last_utc_us = s->last_utc_us;
}

/* Whether this source's counts are those of the way; it may become so. */
static int see_point(const struct flows *f, struct flow_side *side, const struct seen *s,
		     uint32_t now_s)
{
	if (side->point_s && side->point != s->source && side->point_s + JOIN_IDLE_S > now_s &&
	    flows_rank(f, s) >= rank_of(f, side->point, side->is_sampled))
		return 0;
	side->point = s->source;
	side->point_s = now_s;
	side->is_sampled = (uint8_t)is_sampled(s);
	return 1;
}

void flows_place(const struct flows *f, const struct seen *s, struct flow_place *place)
{
	place->way = (uint8_t)table_key(&place->key, &s->key);
	place->hash = table_hash(f->table, &place->key);
	table_fetch_slot(f->table, place->hash);
}

void flows_fetch(const struct flows *f, const struct flow_place *place)
{
	table_fetch_record(f->table, place->hash);
}

struct flow_sighting flows_see(struct flows *f, const struct seen *s,
			       const struct flow_place *place, uint32_t now_s, flow_over over,
			       void *arg)
{
	struct flow_sighting sighting = {.way = place->way};
	struct flow_record *r;
	struct flow_side *side;
	struct flow_way *way;

	sighting.at = table_find_hashed(f->table, &place->key, place->hash);
	r = sighting.at == TABLE_NONE ? NULL : table_record(f->table, sighting.at);
	if (r && is_another(r, s, now_s)) {
		f->ended++;
		let_go(f, sighting.at, over, arg, FLOW_ENDED);
		r = NULL;
	}
	if (!r) {
		if (table_count(f->table) == table_max(f->table))
			make_room(f, over, arg);
		r = add(f, place, now_s, &sighting.at);
		sighting.is_new = 1;
	}
	side = &r->side[sighting.way];
	way = &r->way[sighting.way];
	sighting.is_point = (uint8_t)see_point(f, side, s, now_s);
	see_label(f, r, sighting.way, s, now_s);
	see_tag(r, way, s, sighting.is_point);
	if (sighting.is_point)
		count(way, s);
	way->tcp_flags |= s->tcp_flags;
	side->shows_label |= !s->label_hidden;
	points_see(f->points, &side->points, s->source, now_s);
	if (side->points.n > 1)
		r->evidence |= FLOW_SEVERAL_POINTS;
	r->touched_s = now_s;
	if (s->last_utc_us > r->last_utc_us)
		r->last_utc_us = s->last_utc_us;
	if (r->ended_s)
		return sighting; /* stays where it is among those that ended */
	if (s->key.protocol == PROTOCOL_TCP && s->tcp_flags & (TCP_FIN | TCP_RST))
		r->ended_s = now_s;
	table_touch(f->table, sighting.at, class_of(r));
	return sighting;
}

static void tick_class(struct flows *f, unsigned int class_, uint32_t now_s, flow_over over,
		       void *arg)
{
	uint32_t at;

	for (int i = 0; i < EXPIRE_PER_S; i++) {
		struct flow_record *r;

		at = table_oldest(f->table, class_);
		r = at == TABLE_NONE ? NULL : table_record(f->table, at);
		if (!r || r->touched_s + JOIN_IDLE_S > now_s)
			break;
		r->ended_s = now_s;
		table_touch(f->table, at, class_of(r));
	}
	for (int i = 0; i < EXPIRE_PER_S; i++) {
		const struct flow_record *r;

		at = table_oldest(f->table, class_ + ENDED);
		r = at == TABLE_NONE ? NULL : table_record(f->table, at);
		if (!r || r->ended_s + JOIN_IDLE_S > now_s)
			break;
		f->ended++;
		let_go(f, at, over, arg, FLOW_ENDED);
	}
}

void flows_tick(struct flows *f, uint32_t now_s, flow_over over, void *arg)
{
	for (unsigned int c = 0; c < CLASSES; c++)
		tick_class(f, c, now_s, over, arg);
}

uint32_t flows_find(const struct flows *f, const struct flow_key *key)
{
	struct flow_key ordered;

	table_key(&ordered, key);
	return table_find(f->table, &ordered);
}

struct flow_record *flows_at(const struct flows *f, uint32_t at)
{
	return table_record(f->table, at);
}

void flows_set_claim(struct flows *f, uint32_t at, uint32_t claim, int is_turned, int is_stranger)
{
	struct flow_record *r = table_record(f->table, at);
	const unsigned int before = class_of(r);

	if (r->claim != claim)
		r->claimed_s = r->touched_s;
	r->claim = claim;
	r->is_turned = (uint8_t)is_turned;
	r->is_stranger = (uint8_t)is_stranger;
	if (class_of(r) != before) /* else it keeps its place: it was not seen */
		table_touch(f->table, at, class_of(r));
}

void flows_end(struct flows *f, uint32_t at, uint32_t now_s)
{
	struct flow_record *r = table_record(f->table, at);

	if (r->ended_s)
		return;
	r->ended_s = now_s;
	table_touch(f->table, at, class_of(r));
}

void flows_remove(struct flows *f, uint32_t at)
{
	f->ended++;
	table_remove(f->table, at);
}

int64_t flow_record_first(const struct flow_record *r)
{
	const int64_t a = r->way[0].first_utc_us, b = r->way[1].first_utc_us;

	if (a == CLOCK_NEVER || b == CLOCK_NEVER)
		return a == CLOCK_NEVER ? b : a;
	return a < b ? a : b;
}

static uint8_t n_points(const struct flow_record *r)
{
	const struct flow_points *a = &r->side[0].points, *b = &r->side[1].points;
	uint8_t n = a->n;

	for (uint8_t i = 0; i < b->n; i++) {
		uint8_t at = 0;

		while (at < a->n && a->point[at].source != b->point[i].source)
			at++;
		n = (uint8_t)(n + (at == a->n));
	}
	return n;
}

void flow_key_turn(struct flow_key *out, const struct flow_key *key)
{
	const struct flow_key in = *key;

	*out = in;
	memcpy(out->src_ip, in.dst_ip, sizeof(out->src_ip));
	memcpy(out->dst_ip, in.src_ip, sizeof(out->dst_ip));
	out->src_port = in.dst_port;
	out->dst_port = in.src_port;
}

int flow_key_is_turned(const struct flow_key *key, const struct flow_key *claim)
{
	const int same = !memcmp(key->src_ip, claim->src_ip, 16) +
			 !memcmp(key->dst_ip, claim->dst_ip, 16) +
			 (key->src_port == claim->src_port) + (key->dst_port == claim->dst_port);
	const int turned = !memcmp(key->src_ip, claim->dst_ip, 16) +
			   !memcmp(key->dst_ip, claim->src_ip, 16) +
			   (key->src_port == claim->dst_port) + (key->dst_port == claim->src_port);

	return turned > same;
}

void flow_record_turn(const struct flow_record *r, int data_way, struct flow *out)
{
	*out = (struct flow){
		.key = r->key,
		.way = {r->way[data_way], r->way[!data_way]},
		.first_utc_us = flow_record_first(r),
		.last_utc_us = r->last_utc_us,
		.point = r->side[r->side[data_way].point_s ? data_way : !data_way].point,
		.n_points = n_points(r),
		.state = r->ended_s ? FLOW_ENDED : FLOW_ACTIVE,
		.src_site = r->side[data_way].site,
		.dst_site = r->side[!data_way].site,
		.evidence = r->evidence,
	};
	if (data_way)
		flow_key_turn(&out->key, &r->key);
}

const struct labels *flows_labels(const struct flows *f)
{
	return f->labels;
}

int flows_take_labels(struct flows *f, struct label_flow_row **rows, size_t *n)
{
	return labels_take(f->labels, rows, n);
}

size_t flows_overlaps(struct flows *f, uint32_t now_s, struct point_overlap *out, size_t cap)
{
	return points_overlaps(f->points, now_s, out, cap);
}

void flows_status(const struct flows *f, struct join_status *out)
{
	out->flows = table_count(f->table);
	out->flows_max = table_max(f->table);
	out->hosts = hosts_count(f->hosts);
	out->memory_bytes += table_touched_bytes(f->table) + labels_memory_bytes() +
			     points_memory_bytes() + hosts_touched_bytes(f->hosts);
	out->memory_max_bytes += table_memory_bytes(f->table) + labels_memory_bytes() +
				 points_memory_bytes() + hosts_memory_bytes(f->hosts);
	out->flows_begun = f->begun;
	out->flows_ended = f->ended;
	out->flows_evicted = f->evicted;
}

uint32_t flows_capacity(const struct flows *f)
{
	return table_max(f->table);
}
