/* A world of flows made up from a seed, with its truth: who marks, who announces what in which dialect, which datagrams
 * are lost, doubled or late, what a sampler catches. Second by second it goes straight into the join; time is
 * the world's own. What comes out is held against what was made up. */
#ifndef TESTS_DAY_WORLD_H
#define TESTS_DAY_WORLD_H

#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "firefly/firefly.h"
#include "join/join.h"
#include "observer/aggregate.h"
#include "observer/seen.h"
#include "registry/registry.h"

#define WORLD_T0        1767225600 /* 2026-01-01T00:00:00Z */
#define WORLD_DELAY_MAX 40         /* seconds a datagram may be late */
#define WORLD_TAGS      40
#define WORLD_SOURCE    1

enum world_kind {                  /* and their shares in percent */
		  WORLD_BOTH,      /* 30: marked, and announced with the same tag */
		  WORLD_MARKED,    /* 10: marked only */
		  WORLD_ANNOUNCED, /* 10: announced only */
		  WORLD_OTHER_TAG, /* 5: announced with another tag */
		  WORLD_TURNED,    /* 2: marked, and announced with its ends exchanged */
		  WORLD_ORDINARY,  /* 43: random labels, as hosts set them */
		  WORLD_KINDS
};

struct world_config {
	uint64_t seed;
	uint32_t n_flows, seconds; /* flows begin within so long */
	uint32_t life_max_s;
	uint32_t sample_one_in; /* 1: every packet is seen */
	int ordinary_only;
};

struct world_flow {
	struct flow_key key; /* from the data's sender; its number stands in dst_ip */
	uint32_t begin_s, life_s;
	uint32_t packets_per_s, odd_bytes; /* four of five frames are full, one is so long */
	uint32_t label[2];
	struct scitag tag, claim;
	uint64_t packets[2], bytes[2], ip_bytes[2]; /* sent so far */
	uint64_t samples[2];
	uint64_t claimed_bytes; /* as far as was heard: data's direction, of this flow */
	uint32_t before_bytes;  /* XRootD: on the connection before it */
	uint32_t heard_s;       /* the first datagram that arrived; 0 none */
	uint8_t kind, producer, version;
	uint8_t option;    /* marked in destination options, not in the label */
	uint8_t is_turned; /* its fireflies name the receiver first */
	uint8_t start_heard, end_heard;
	uint8_t rows; /* handed over by the join */
};

struct world_message { /* on its way */
	struct heard heard;
	uint32_t flow;
};
struct world_post { /* what arrives in one second */
	struct world_message *messages;
	size_t n, room;
};

struct world {
	struct world_config cfg;
	struct registry *registry;
	struct scitag tags[WORLD_TAGS];
	struct world_flow *flows; /* by begin_s */
	uint32_t n_begun, *active, n_active;
	uint32_t now_s; /* the second that comes next */
	uint64_t random;
	int64_t until_sample; /* packets that are not sampled, from here */
	struct world_post post[64];
	struct aggregate *aggregate;
	struct seen_table *table; /* sampled */
	struct seen *seen;        /* unsampled */
	size_t n_seen, seen_room;
	struct heard *arrived;
	size_t arrived_room;
	struct store *store;
	struct join *join;
	/* the truth of the wire by tag, SCITAG_LABEL_CODES and all together */
	uint64_t *tag_bytes, all_bytes, grade_bytes[GRADE_COUNT];
	uint64_t sent, lost, doubled, late;
};

/* --- chance ---------------------------------------------------------------------------------- */

static inline uint64_t world_bits(struct world *w) /* splitmix64 */
{
	uint64_t z = w->random += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

static inline uint32_t world_below(struct world *w, uint32_t n)
{
	return (uint32_t)((world_bits(w) >> 32) * n >> 32);
}

static inline double world_unit(struct world *w) /* (0, 1) */
{
	return ((double)(world_bits(w) >> 11) + 0.5) / 9007199254740992.0;
}

static inline uint32_t world_log_uniform(struct world *w, double low, double high)
{
	return (uint32_t)(low * pow(high / low, world_unit(w)));
}

/* --- flows ------------------------------------------------------------------------------------ */

static inline enum world_kind world_draw_kind(struct world *w)
{
	static const uint8_t shares[WORLD_KINDS] = {30, 10, 10, 5, 2, 43};
	uint32_t r = world_below(w, 100), kind = 0;

	if (w->cfg.ordinary_only)
		return WORLD_ORDINARY;
	while (r >= shares[kind])
		r -= shares[kind++];
	return (enum world_kind)kind;
}

static inline int world_is_announced(const struct world_flow *f)
{
	return f->kind != WORLD_MARKED && f->kind != WORLD_ORDINARY;
}

static inline int world_is_marked(const struct world_flow *f)
{
	return f->kind != WORLD_ANNOUNCED && f->kind != WORLD_ORDINARY;
}

/* Who announces, and whom it names first (docs/fireflies.md): flowd and its like the sender; XRootD the server but
 * for http-put; dCache the remote end. */
static inline void world_draw_producer(struct world *w, struct world_flow *f)
{
	const int server_sends = world_below(w, 2) == 0;

	f->producer = (uint8_t)(1 + world_below(w, FIREFLY_PRODUCER_COUNT - 1));
	f->version = (uint8_t)world_below(w, 3);
	if (f->kind == WORLD_TURNED) {
		static const uint8_t namers[] = {FIREFLY_FLOWD, FIREFLY_FLOWD_GO, FIREFLY_OURS};

		f->producer = namers[world_below(w, 3)];
		f->is_turned = 1;
	} else if (f->producer == FIREFLY_XROOTD) {
		f->is_turned = !server_sends && f->version == 0; /* an upload over root:// */
		f->before_bytes = 200 + world_below(w, 5000);
	} else if (f->producer == FIREFLY_DCACHE) {
		f->is_turned = (uint8_t)server_sends;
	}
}

static inline void world_draw_flow(struct world *w, struct world_flow *f, uint32_t number)
{
	static const uint8_t sender4[16] = {[10] = 0xFF, 0xFF, 203, 0, 113, 0};
	static const uint8_t receiver4[16] = {[10] = 0xFF, 0xFF, 198, 18, 0, 0};
	static const uint8_t documentation[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1};
	const uint32_t number_be = htonl(number), host = world_below(w, 500);
	int v4;

	f->kind = (uint8_t)world_draw_kind(w);
	v4 = !world_is_marked(f) && world_below(w, 5) == 0;
	f->key.family = v4 ? 4 : 6;
	f->key.protocol = world_below(w, 10) ? 6 : 17;
	f->key.src_port = (uint16_t)(1024 + world_below(w, 60000));
	f->key.dst_port = (uint16_t)(1024 + world_below(w, 60000));
	memcpy(f->key.src_ip, v4 ? sender4 : documentation, 16);
	memcpy(f->key.dst_ip, v4 ? receiver4 : documentation, 16);
	f->key.src_ip[15] = (uint8_t)(1 + host % 250);
	if (v4) {
		f->key.dst_ip[13] = (uint8_t)(18 + (number >> 16)); /* 198.18.0.0/15, RFC 2544 */
		memcpy(f->key.dst_ip + 14, (const uint8_t *)&number_be + 2, 2);
	} else {
		f->key.src_ip[7] = (uint8_t)(host >> 8);
		f->key.dst_ip[5] = 2;
		memcpy(f->key.dst_ip + 12, &number_be, 4);
	}
	f->begin_s = WORLD_T0 + (uint32_t)((uint64_t)w->cfg.seconds * number / w->cfg.n_flows);
	f->life_s = world_log_uniform(w, 1, w->cfg.life_max_s + 1);
	f->packets_per_s = world_log_uniform(w, 20, 2000);
	f->odd_bytes = 100 + world_below(w, 1300);
	for (int way = 0; way < 2 && !v4; way++) /* a tenth of the hosts sets none */
		f->label[way] = world_below(w, 10) ? 1 + world_below(w, SCITAG_LABEL_MASK) : 0;
	f->tag = w->tags[world_below(w, WORLD_TAGS)];
	f->claim = f->tag;
	if (f->kind == WORLD_OTHER_TAG)
		while (f->claim.experiment == f->tag.experiment &&
		       f->claim.activity == f->tag.activity)
			f->claim = w->tags[world_below(w, WORLD_TAGS)];
	if (world_is_marked(f) && world_below(w, 10) == 0)
		f->option = 1;
	else if (world_is_marked(f))
		scitag_label_encode(&f->label[0], f->tag.experiment, f->tag.activity,
				    (uint32_t)world_bits(w));
	if (world_is_announced(f))
		world_draw_producer(w, f);
}

/* The flow of a row that the join hands over, whichever way round. NULL: none of ours. */
static inline struct world_flow *world_find(const struct world *w, const struct flow_key *key,
					    int *turned)
{
	for (*turned = 0; *turned < 2; ++*turned) {
		const uint8_t *ip = *turned ? key->src_ip : key->dst_ip;
		uint32_t number;

		memcpy(&number, ip + 12, 4);
		number = ntohl(number);
		if (key->family == 4)
			number -= (198u << 24 | 18u << 16);
		if (number < w->cfg.n_flows && memcmp(ip, w->flows[number].key.dst_ip, 16) == 0 &&
		    memcmp(*turned ? key->dst_ip : key->src_ip, w->flows[number].key.src_ip, 16) ==
			    0)
			return &w->flows[number];
	}
	return NULL;
}

/* --- dialects ----------------------------------------------------------------------------------- */

static inline const char *world_time(char buf[40], int64_t utc_us, const char *zone, int digits)
{
	clock_format_utc(buf, 40, utc_us, digits);
	if (strcmp(zone, "Z") != 0)
		strcpy(buf + strlen(buf) - 1, zone);
	return buf;
}

/* Datagram text as its producer writes it. `there` and `back`: bytes so far between key's src and dst as it names
 * them. Returns its length. */
static inline size_t world_text(char out[1400], const struct world_flow *f,
				const struct flow_key *named, enum firefly_state state,
				int64_t now_utc_us, int64_t first_utc_us, int64_t last_utc_us,
				uint64_t there, uint64_t back)
{
	static const char *const states[] = {"", "start", "ongoing", "end"};
	const int is_end = state == FIREFLY_END, skip = named->family == 4 ? 12 : 0;
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], now[40], start[40], end[40];
	char id[300], context[160], member[100] = "", usage[120] = "", header[160];
	const char *application = "test";

	inet_ntop(skip ? AF_INET : AF_INET6, named->src_ip + skip, src, sizeof(src));
	inet_ntop(skip ? AF_INET : AF_INET6, named->dst_ip + skip, dst, sizeof(dst));
	if (f->producer == FIREFLY_XROOTD)
		application = f->version ? "http-put" : "xrdcp";
	if (f->producer == FIREFLY_DCACHE)
		application = "https"; /* a bare datagram is told by it */
	if (f->producer == FIREFLY_OURS)
		application = "scitag-marker 1";
	snprintf(id, sizeof(id),
		 "\"flow-id\":{\"afi\":\"ipv%u\",\"src-ip\":\"%s\",\"dst-ip\":\"%s\",\"protocol\":"
		 "\"%s\","
		 "\"src-port\":%u,\"dst-port\":%u}",
		 named->family, src, dst, named->protocol == 6 ? "tcp" : "udp", named->src_port,
		 named->dst_port);
	snprintf(context, sizeof(context),
		 "\"context\":{\"experiment-id\":%u,\"activity-id\":%u,\"application\":\"%s\"}",
		 f->claim.experiment, f->claim.activity, application);
	world_time(now, now_utc_us, "+00:00", 6);
	world_time(start, first_utc_us, "+00:00", 6);
	world_time(end, last_utc_us, "+00:00", 6);
	if (is_end)
		snprintf(member, sizeof(member), ",\"end-time\":\"%s\"", end);
	switch (f->producer) {
	case FIREFLY_FLOWD:
		return (size_t)snprintf(
			out, 1400,
			"<134>1 %s host flowd - firefly-json - {\"version\":1,"
			"\"flow-lifecycle\":{\"state\":\"%s\",\"current-time\":\"%s\","
			"\"start-time\":\"%s\"%s},%s,%s}",
			now, states[state], now, start, member, id, context);
	case FIREFLY_FLOWD_GO: /* no time in the header but of ONGOINGs */
		if (state == FIREFLY_ONGOING)
			snprintf(member, sizeof(member), ",\"current-time\":\"%s\"", now);
		return (size_t)snprintf(
			out, 1400,
			"<134>1 %s host flowd-go-v2.4.2 - firefly-json - {\"version\":1,"
			"\"flow-lifecycle\":{\"state\":\"%s\"%s,\"start-time\":\"%s\"},%s,%s}",
			state == FIREFLY_ONGOING ? now : "", states[state], member, start, id,
			context);
	case FIREFLY_XROOTD: /* counts since the connection was opened */
		return (size_t)snprintf(
			out, 1400,
			"<134>1 - host xrootd - firefly-json - {\"version\":1,\"flow-lifecycle\":{"
			"\"state\":\"%s\",\"current-time\":\"%s\",\"start-time\":\"%s\"%s},"
			"\"usage\":{"
			"\"received\":%" PRIu64 ",\"sent\":%" PRIu64 "},%s,%s}",
			states[state], now, start, member, back + f->before_bytes,
			there + f->before_bytes, context, id);
	case FIREFLY_DCACHE: /* the pool, named last, counts; releases differ in the times of an END */
		world_time(now, now_utc_us, "Z", 3);
		world_time(start, is_end && f->version ? now_utc_us : first_utc_us, "Z", 3);
		if (is_end && f->version == 1)
			world_time(end, now_utc_us, "Z", 3);
		if (is_end && f->version == 2)
			world_time(end, now_utc_us + last_utc_us - first_utc_us, "Z", 3);
		if (is_end) {
			snprintf(member, sizeof(member), ",\"end-time\":\"%s\"", end);
			snprintf(usage, sizeof(usage), "\"received\":%" PRIu64 ",\"sent\":%" PRIu64,
				 there, back);
		}
		snprintf(header, sizeof(header), "<134>1 %s %s dCache - firefly-json - ", now, src);
		return (size_t)snprintf(
			out, 1400,
			"%s{\"flow-lifecycle\":{\"state\":\"%s\",\"start-time\":\"%s\"%s,"
			"\"current-time\":\"%s\"},\"usage\":{%s},%s,%s,\"version\":1}",
			f->version ? header : "", states[state], start, member, now, usage, id,
			context);
	default: /* ours */
		if (state != FIREFLY_START)
			snprintf(usage, sizeof(usage),
				 ",\"usage\":{\"received\":%" PRIu64 ",\"sent\":%" PRIu64 "}", back,
				 there);
		return (size_t)snprintf(
			out, 1400,
			"<134>1 %s host scitag-marker - firefly-json - {\"version\":1,"
			"\"flow-lifecycle\":{\"state\":\"%s\",\"current-time\":\"%s\","
			"\"start-time\":\"%s\"%s},%s,%s%s}",
			now, states[state], now, start, member, id, context, usage);
	}
}

static inline void world_post(struct world *w, const struct world_message *m, uint32_t at_s)
{
	struct world_post *p = &w->post[at_s % 64];

	if (p->n == p->room) {
		p->room = p->room ? 2 * p->room : 16;
		p->messages = realloc(p->messages, p->room * sizeof(*p->messages));
		if (!p->messages)
			abort();
	}
	p->messages[p->n++] = *m;
}

/* 2 % are lost, 2 % come twice, 5 % late. */
static inline void world_send(struct world *w, uint32_t number, enum firefly_state state)
{
	struct world_flow *f = &w->flows[number];
	const int64_t now_utc_us = w->now_s * US_PER_S + 20000;
	const int64_t first_utc_us = f->begin_s * US_PER_S + 10000;
	const int64_t last_utc_us = (int64_t)(f->begin_s + f->life_s) * US_PER_S - 10000;
	struct world_message m = {.flow = number};
	struct flow_key named = f->key;
	uint32_t delay = 0, r = world_below(w, 100);
	char text[1400];
	size_t n;

	if (f->is_turned) {
		memcpy(named.src_ip, f->key.dst_ip, 16);
		memcpy(named.dst_ip, f->key.src_ip, 16);
		named.src_port = f->key.dst_port;
		named.dst_port = f->key.src_port;
	}
	n = world_text(text, f, &named, state, now_utc_us, first_utc_us, last_utc_us,
		       f->ip_bytes[f->is_turned], f->ip_bytes[!f->is_turned]);
	if (n >= sizeof(text) || firefly_parse(&m.heard.firefly, text, n) != FIREFLY_OK ||
	    m.heard.firefly.producer != f->producer) {
		fprintf(stderr, "world: not understood: %.1400s\n", text);
		abort();
	}
	memcpy(m.heard.sender_ip, f->producer == FIREFLY_DCACHE ? named.dst_ip : named.src_ip, 16);
	w->sent++;
	if (r < 2) {
		w->lost++;
		return;
	}
	if (r < 7) {
		delay = 1 + world_below(w, WORLD_DELAY_MAX);
		w->late++;
	}
	world_post(w, &m, w->now_s + delay);
	if (r >= 98) {
		world_post(w, &m, w->now_s + delay + world_below(w, 10));
		w->doubled++;
	}
}

/* --- traffic -------------------------------------------------------------------------------------- */

/* What the rules make of a flow, from what was made up. */
static inline enum scitag_grade
world_expected_grade(const struct world *w, const struct world_flow *f, int way, int is_claimed)
{
	struct scitag tag = scitag_label_decode(f->label[way]);
	int usable = f->label[way] != 0 && scitag_set_has(&w->registry->pairs, tag);

	if (f->option && !way) {
		tag = f->tag;
		usable = 1;
	}
	if (is_claimed && !usable)
		return GRADE_CLAIMED;
	if (is_claimed)
		return tag.experiment == f->claim.experiment && tag.activity == f->claim.activity
			       ? GRADE_CONFIRMED
			       : GRADE_DISAGREE;
	if (usable)
		return f->option && !way ? GRADE_CONFIRMED : GRADE_REGISTERED;
	return f->label[way] ? GRADE_UNREGISTERED : GRADE_UNTAGGED;
}

/* And of its traffic now: what was heard by this second counts, and the receiver of the data does not mark. */
static inline enum scitag_grade world_traffic_grade(const struct world *w,
						    const struct world_flow *f, int way)
{
	const enum scitag_grade grade = world_expected_grade(w, f, way, f->heard_s != 0);

	return way && grade == GRADE_DISAGREE ? GRADE_REGISTERED : grade;
}

static inline struct packet_tag world_tag(const struct world *w, const struct world_flow *f,
					  int way)
{
	struct packet p = {.key = f->key, .label = f->label[way]};
	struct packet_tag tag;

	if (f->option && !way) {
		p.destination.type = SCITAG_OPTION_PLAIN;
		p.destination.value = (uint32_t)f->tag.experiment << 8 | f->tag.activity;
	}
	packet_tag(&tag, &p, &w->registry->pairs);
	return tag;
}

static inline struct flow_key world_way_key(const struct world_flow *f, int way)
{
	struct flow_key key = f->key;

	if (way) {
		memcpy(key.src_ip, f->key.dst_ip, 16);
		memcpy(key.dst_ip, f->key.src_ip, 16);
		key.src_port = f->key.dst_port;
		key.dst_port = f->key.src_port;
	}
	return key;
}

/* One way's packets of this second: of `n` four of five are full frames there, all are short ones back. */
static inline void world_flow_second(struct world *w, struct world_flow *f, int way)
{
	const uint32_t n = way ? f->packets_per_s / 2 : f->packets_per_s;
	const uint32_t odd = way ? n : n - n * 4 / 5, odd_bytes = way ? 66 : f->odd_bytes;
	const uint64_t bytes = (uint64_t)(n - odd) * 1514 + (uint64_t)odd * odd_bytes;
	struct observation o = {
		.utc_us = w->now_s * US_PER_S + 500000,
		.key = world_way_key(f, way),
		.weight = w->cfg.sample_one_in,
		.label = f->label[way],
		.source = WORLD_SOURCE,
		.direction = way ? DIRECTION_IN : DIRECTION_OUT,
		.verdict = PACKET_OK,
		.tcp_flags = 0x10,
		.tag = world_tag(w, f, way),
	};
	const int is_first = w->now_s == f->begin_s,
		  is_last = w->now_s == f->begin_s + f->life_s - 1;
	const uint32_t code = scitag_code(o.tag.tag);

	if (!n)
		return;
	if (code < SCITAG_LABEL_CODES && o.tag.carrier)
		w->tag_bytes[code] += bytes;
	w->all_bytes += bytes;
	w->grade_bytes[world_traffic_grade(w, f, way)] += bytes;
	f->packets[way] += n;
	f->bytes[way] += bytes;
	f->ip_bytes[way] += bytes - (uint64_t)n * 14;
	if (w->cfg.sample_one_in == 1) {
		struct traffic_key key = observation_key(&o);
		const struct traffic_value value = {.packets = n,
						    .bytes = bytes,
						    .ip_bytes = bytes - (uint64_t)n * 14,
						    .samples = n};

		if (w->n_seen == w->seen_room) {
			w->seen_room = w->seen_room ? 2 * w->seen_room : 1024;
			w->seen = realloc(w->seen, w->seen_room * sizeof(*w->seen));
			if (!w->seen)
				abort();
		}
		w->seen[w->n_seen++] = (struct seen){
			.key = o.key,
			.first_utc_us = w->now_s * US_PER_S + (is_first ? 10000 : 0),
			.last_utc_us = (w->now_s + 1) * US_PER_S - (is_last ? 10000 : 1),
			.packets = n,
			.bytes = bytes,
			.ip_bytes = value.ip_bytes,
			.samples = n,
			.label = o.label,
			.source = o.source,
			.direction = o.direction,
			.tcp_flags = (uint8_t)(f->key.protocol != 6
						       ? 0
						       : 0x10 | is_first * 0x02 | is_last * 0x01),
			.tag = o.tag,
		};
		f->samples[way] += n;
		aggregate_add_cell(w->aggregate, &key, &value);
		return;
	}
	/* which of them are sampled is decided packet by packet, in one draw for each that is */
	for (uint32_t at = 0;;) {
		if (w->until_sample >= (int64_t)(n - at)) {
			w->until_sample -= n - at;
			return;
		}
		at += (uint32_t)w->until_sample;
		o.frame_bytes = at < odd ? odd_bytes : 1514;
		o.ip_bytes = o.frame_bytes - 14;
		if (f->key.protocol == 6 && is_last && at == n - 1)
			o.tcp_flags |= 0x01;
		aggregate_add(w->aggregate, &o);
		seen_add(w->table, &o);
		f->samples[way]++;
		at++;
		w->until_sample =
			(int64_t)(log(world_unit(w)) / log1p(-1.0 / w->cfg.sample_one_in));
	}
}

/* --- the world ------------------------------------------------------------------------------------- */

static inline void world_draw_tags(struct world *w)
{
	uint32_t n = 0;

	for (size_t i = 0; i < w->registry->n_experiments && n < WORLD_TAGS; i++) {
		const struct registry_experiment *e = &w->registry->experiments[i];

		for (size_t a = 0; a < e->n_activities && n < WORLD_TAGS; a += 2)
			w->tags[n++] =
				(struct scitag){(uint16_t)e->id, (uint16_t)e->activities[a].id};
	}
	if (n < WORLD_TAGS)
		abort();
}

static inline struct world *world_open(const struct world_config *cfg,
				       const struct join_config *join)
{
	struct world *w = calloc(1, sizeof(*w));
	struct store_config sc;

	w->cfg = *cfg;
	w->random = cfg->seed;
	w->now_s = WORLD_T0;
	w->registry = registry_builtin();
	world_draw_tags(w);
	w->flows = calloc(cfg->n_flows, sizeof(*w->flows));
	w->active = calloc(cfg->n_flows, sizeof(*w->active));
	w->tag_bytes = calloc(SCITAG_LABEL_CODES, sizeof(*w->tag_bytes));
	w->aggregate = aggregate_open(STORE_UNREGISTERED_ROWS);
	w->table = seen_open(SEEN_MAX);
	for (uint32_t i = 0; i < cfg->n_flows; i++)
		world_draw_flow(w, &w->flows[i], i);
	store_config_default(&sc);
	sc.url = "sqlite::memory:";
	if (store_open(&w->store, &sc) || join_open(&w->join, join, w->store))
		abort();
	join_set_registered(w->join, &w->registry->pairs);
	return w;
}

static inline void world_close(struct world *w)
{
	join_close(w->join);
	store_close(w->store);
	aggregate_close(w->aggregate);
	seen_close(w->table);
	registry_free(w->registry);
	for (size_t i = 0; i < 64; i++)
		free(w->post[i].messages);
	free(w->flows);
	free(w->active);
	free(w->tag_bytes);
	free(w->seen);
	free(w->arrived);
	free(w);
}

/* What arrives in this second, and what is to be made of it. */
static inline size_t world_receive(struct world *w)
{
	struct world_post *p = &w->post[w->now_s % 64];
	const size_t n = p->n;

	if (n > w->arrived_room) {
		w->arrived_room = 2 * n;
		w->arrived = realloc(w->arrived, w->arrived_room * sizeof(*w->arrived));
		if (!w->arrived)
			abort();
	}
	for (size_t i = 0; i < n; i++) {
		struct world_message *m = &p->messages[i];
		struct world_flow *f = &w->flows[m->flow];
		const struct firefly *ff = &m->heard.firefly;
		uint64_t bytes = f->is_turned ? ff->dst_to_src_bytes : ff->src_to_dst_bytes;

		m->heard.heard_utc_us = w->now_s * US_PER_S + 30000;
		w->arrived[i] = m->heard;
		if (!f->heard_s)
			f->heard_s = w->now_s;
		if (ff->state == FIREFLY_START)
			f->start_heard = 1;
		if (bytes == FIREFLY_BYTES_UNSAID || f->end_heard ||
		    (ff->state == FIREFLY_START && ff->flags & FIREFLY_USAGE_CUMULATIVE))
			continue;
		if (ff->flags & FIREFLY_USAGE_CUMULATIVE && f->start_heard)
			bytes -= f->before_bytes;
		f->end_heard = ff->state == FIREFLY_END;
		if (bytes > f->claimed_bytes || f->end_heard)
			f->claimed_bytes = bytes;
	}
	p->n = 0;
	return n;
}

/* Everything that happens in the next second: into the aggregate, into w->seen (or the table), and w->arrived, of
 * which it returns how many there are. */
static inline size_t world_prepare(struct world *w)
{
	size_t n_arrived;

	w->n_seen = 0;
	for (; w->n_begun < w->cfg.n_flows && w->flows[w->n_begun].begin_s <= w->now_s;
	     w->n_begun++) {
		w->active[w->n_active++] = w->n_begun;
		if (world_is_announced(&w->flows[w->n_begun]))
			world_send(w, w->n_begun, FIREFLY_START);
	}
	for (uint32_t i = 0; i < w->n_active;) {
		const uint32_t number = w->active[i];
		struct world_flow *f = &w->flows[number];
		const uint32_t age = w->now_s - f->begin_s;

		if (age == f->life_s) {
			if (world_is_announced(f))
				world_send(w, number, FIREFLY_END);
			w->active[i] = w->active[--w->n_active];
			continue;
		}
		if (age && age % 10 == 0 && world_is_announced(f) &&
		    (f->producer == FIREFLY_FLOWD_GO || f->producer == FIREFLY_OURS))
			world_send(w, number, FIREFLY_ONGOING);
		i++;
	}
	n_arrived = world_receive(w);
	for (uint32_t i = 0; i < w->n_active; i++)
		for (int way = 0; way < 2; way++)
			world_flow_second(w, &w->flows[w->active[i]], way);
	return n_arrived;
}

/* The next second, joined; bucket_free it. */
static inline struct bucket *world_step(struct world *w)
{
	const size_t n_heard = world_prepare(w);
	struct seen *seen = w->seen;
	size_t n_seen = w->n_seen;
	struct bucket *b;

	if (w->cfg.sample_one_in > 1)
		n_seen = seen_take(w->table, &seen);
	b = bucket_new(w->now_s, aggregate_rows(w->aggregate), 0, 0);
	b->n_rows = aggregate_take(w->aggregate, b->rows);
	if (join_second(w->join, b, seen, n_seen, w->arrived, n_heard))
		abort();
	if (w->cfg.sample_one_in > 1)
		free(seen);
	w->now_s++;
	return b;
}

/* --- what is to come out ------------------------------------------------------------------------- */

static inline void world_describe(const struct world_flow *f, const struct flow_row *r,
				  const char *what)
{
	static int said;

	if (said++ < 10)
		printf("%s: kind %u, %s v%u%s%s, begun %u for %u s, heard %u; its row: grade %u, "
		       "evidence %#x, claim %d, %" PRIu64 " samples\n",
		       what, f->kind, firefly_producer_name((enum firefly_producer)f->producer),
		       f->version, f->option ? ", option" : "", f->is_turned ? ", turned" : "",
		       f->begin_s - WORLD_T0, f->life_s, f->heard_s ? f->heard_s - WORLD_T0 : 0,
		       r->grade, r->evidence, r->claim_experiment, r->samples);
}

/* A flow of which every packet was seen, against its row. */
static inline int world_is_told_right(const struct world *w, const struct world_flow *f,
				      const struct flow_row *r)
{
	const int is_claimed = f->heard_s != 0;

	if ((r->claim_experiment >= 0) != is_claimed)
		return 0;
	if (r->grade != world_expected_grade(w, f, 0, is_claimed))
		return 0;
	if (memcmp(&r->key, &f->key, sizeof(f->key)))
		return 0;
	for (int way = 0; way < 2; way++)
		if (r->packets[way] != f->packets[way] || r->bytes[way] != f->bytes[way])
			return 0;
	if (!is_claimed)
		return 1;
	return !(r->evidence & FLOW_REVERSED) == !f->is_turned &&
	       r->claim_experiment == f->claim.experiment && r->claim_activity == f->claim.activity;
}

#endif
