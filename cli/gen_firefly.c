/* scitag gen firefly: what the model's senders would say about their flows, each in the dialect of
 * its software: flowd, flowd-go, XRootD, dCache and our own marker. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/gen.h"
#include "firefly/firefly.h"

#define MESSAGE_MAX_BYTES 1400
#define ONGOING_EVERY_US  (10 * US_PER_S)
#define JUNK_ONE_IN       300
#define APPLICATIONS_MAX  32

struct message {
	int64_t utc_us;
	uint64_t number;     /* keeps the order of those of one moment */
	struct flow_key key; /* of the datagram */
	uint32_t len_bytes;
	char text[];
};

struct claims { /* of one tag or application */
	uint64_t states[FIREFLY_END + 1];
	uint64_t bytes; /* that ENDs speak of, in the data's direction */
};

struct writer {
	struct gen_random random;
	struct message **messages;
	size_t n_messages, cap_messages;
	int no_memory;
	uint64_t junk, claimed_flows, disagreeing_flows, unmarked_flows;
	uint64_t backward_bytes; /* of all.bytes: from dst to src, as the message names them */
	struct claims all, tags[GEN_STREAMS], producers[FIREFLY_PRODUCER_COUNT];
	struct {
		char name[64];
		struct claims claims;
	} applications[APPLICATIONS_MAX];
	size_t n_applications;
};

/* One flow as its sender's software sees it. */
struct teller {
	const struct gen_flow *flow;
	enum firefly_producer producer;
	struct flow_key key; /* as the message names it */
	int is_turned;       /* key's source receives the data */
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	char host[64], application[64];
	uint32_t version;          /* which of the producer's releases, 0..2 */
	uint64_t before_out_bytes; /* of the connection, before this flow: XRootD counts them */
	uint64_t before_back_bytes;
};

/* --- times in everybody's taste -------------------------------------------------------------------- */

/* "2026-01-01T00:00:00.123456+00:00" */
static const char *us_offset(char buf[48], int64_t utc_us)
{
	char plain[32];

	clock_format_utc(plain, sizeof(plain), utc_us, 6);
	snprintf(buf, 48, "%.26s+00:00", plain);
	return buf;
}

/* "2026-01-01T00:00:00.5+00:00": no trailing zeros */
static const char *trimmed_offset(char buf[48], int64_t utc_us)
{
	char plain[32];
	size_t n = 26;

	clock_format_utc(plain, sizeof(plain), utc_us, 6);
	while (plain[n - 1] == '0')
		n--;
	if (plain[n - 1] == '.')
		n--;
	snprintf(buf, 48, "%.*s+00:00", (int)n, plain);
	return buf;
}

/* "2026-01-01T00:00:00.123Z" */
static const char *ms_zulu(char buf[48], int64_t utc_us)
{
	return clock_format_utc(buf, 48, utc_us, utc_us % US_PER_S / 1000 ? 3 : 0);
}

/* --- messages --------------------------------------------------------------------------------------- */

static void keep(struct writer *w, int64_t utc_us, const struct flow_key *key, const char *text,
		 size_t len_bytes)
{
	struct message *m = malloc(sizeof(*m) + len_bytes);

	if (w->n_messages == w->cap_messages) {
		size_t cap = w->cap_messages ? w->cap_messages * 2 : 1024;
		struct message **more = realloc(w->messages, cap * sizeof(*more));

		if (more) {
			w->messages = more;
			w->cap_messages = cap;
		}
	}
	if (!m || w->n_messages == w->cap_messages) {
		free(m);
		w->no_memory = 1;
		return;
	}
	*m = (struct message){utc_us, w->n_messages, *key, (uint32_t)len_bytes};
	memcpy(m->text, text, len_bytes);
	w->messages[w->n_messages++] = m;
}

/* To the collector of our site, from the host that tells. */
static struct flow_key datagram_key(const struct teller *t)
{
	struct flow_key key = t->key;
	int is_pool = t->producer == FIREFLY_DCACHE; /* it names itself last */

	if (is_pool)
		memcpy(key.src_ip, t->key.dst_ip, 16);
	inet_pton(AF_INET6, key.family == 4 ? "::ffff:192.0.2.250" : "2001:db8:1::c0", key.dst_ip);
	key.src_port = (uint16_t)(33000 + t->flow->number % 20000);
	key.dst_port = FIREFLY_PORT;
	key.protocol = 17;
	return key;
}

static void count(struct claims *c, enum firefly_state state, uint64_t bytes)
{
	c->states[state]++;
	c->bytes += bytes;
}

static struct claims *application_claims(struct writer *w, const char *name)
{
	size_t i = 0;

	while (i < w->n_applications && strcmp(w->applications[i].name, name) != 0)
		i++;
	if (i == APPLICATIONS_MAX)
		return NULL;
	if (i == w->n_applications)
		snprintf(w->applications[w->n_applications++].name, 64, "%s", name);
	return &w->applications[i].claims;
}

static int stream_of(struct scitag tag)
{
	for (int i = 0; i < GEN_STREAMS; i++)
		if (memcmp(&tag,
			   &(struct scitag){gen_stream_tag(i).experiment,
					    gen_stream_tag(i).activity},
			   sizeof(tag)) == 0)
			return i;
	return 0;
}

static void tell(struct writer *w, const struct teller *t, enum firefly_state state, int64_t utc_us,
		 const char *text, size_t len_bytes)
{
	const struct gen_flow *f = t->flow;
	int says_bytes = state == FIREFLY_END &&
			 (t->producer == FIREFLY_XROOTD || t->producer == FIREFLY_DCACHE ||
			  t->producer == FIREFLY_OURS);
	uint64_t bytes = f->out_bytes > f->back_bytes ? f->out_bytes : f->back_bytes;
	struct flow_key key = datagram_key(t);
	struct claims *application = application_claims(w, t->application);

	if (!says_bytes)
		bytes = 0;
	if (t->is_turned == (f->out_bytes >= f->back_bytes))
		w->backward_bytes += bytes;
	keep(w, utc_us, &key, text, len_bytes);
	count(&w->all, state, bytes);
	count(&w->tags[stream_of(f->claim)], state, bytes);
	count(&w->producers[t->producer], state, bytes);
	if (application)
		count(application, state, bytes);
}

/* --- the dialects ----------------------------------------------------------------------------------- */

/* Members that all but the order have in common. */
static const char *flow_id(char buf[256], const struct teller *t, const char *colon)
{
	snprintf(buf, 256,
		 "\"flow-id\":%s{\"afi\":%s\"ipv%u\",%s\"src-ip\":%s\"%s\",%s\"dst-ip\":%s\"%s\",%s"
		 "\"protocol\":%s\"%s\",%s\"src-port\":%s%u,%s\"dst-port\":%s%u}",
		 colon, colon, t->key.family, colon, colon, t->src, colon, colon, t->dst, colon,
		 colon, t->key.protocol == 6 ? "tcp" : "udp", colon, colon, t->key.src_port, colon,
		 colon, t->key.dst_port);
	return buf;
}

static const char *context(char buf[192], const struct teller *t, const char *colon)
{
	snprintf(buf, 192,
		 "\"context\":%s{\"experiment-id\":%s%u,%s\"activity-id\":%s%u,%s"
		 "\"application\":%s\"%s\"}",
		 colon, colon, t->flow->claim.experiment, colon, colon, t->flow->claim.activity,
		 colon, colon, t->application);
	return buf;
}

/* Bytes from key's source and back, up to `share` of the flow. */
static uint64_t sent_bytes(const struct teller *t, double share)
{
	return (uint64_t)(share *
			  (double)(t->is_turned ? t->flow->back_bytes : t->flow->out_bytes));
}

static uint64_t received_bytes(const struct teller *t, double share)
{
	return (uint64_t)(share *
			  (double)(t->is_turned ? t->flow->out_bytes : t->flow->back_bytes));
}

/* Python's json.dumps: a blank behind each colon and comma. */
static int flowd(char *out, size_t cap, const struct teller *t, enum firefly_state state,
		 int64_t utc_us)
{
	char now[48], start[48], end[48], id[256], ctx[192], end_member[96] = "", netlink[160] = "";
	int is_end = state == FIREFLY_END;

	if (is_end)
		snprintf(end_member, sizeof(end_member), ", \"end-time\": \"%s\"",
			 us_offset(end, t->flow->last_utc_us));
	if (is_end && t->version == 0)
		snprintf(netlink, sizeof(netlink),
			 ", \"netlink\": [\"established\", {\"rtt\": %.3f, \"rttvar\": 0.25, "
			 "\"snd_cwnd\": 64}]",
			 t->flow->rtt_us / 1000.0);
	us_offset(now, utc_us);
	return snprintf(
		out, cap,
		"<134>1 %s %s flowd - firefly-json - {\"version\": 1, \"flow-lifecycle\": "
		"{\"state\": \"%s\", \"current-time\": \"%s\", \"start-time\": \"%s\"%s}, %s, "
		"%s%s}",
		now, t->host, is_end ? "end" : "start", now,
		us_offset(start, t->flow->first_utc_us), end_member, flow_id(id, t, " "),
		context(ctx, t, " "), netlink);
}

static int flowd_go(char *out, size_t cap, const struct teller *t, enum firefly_state state,
		    int64_t utc_us)
{
	static const char *const states[] = {"", "start", "ongoing", "end"};
	char now[48], start[48], end[48], id[256], ctx[192], member[96] = "", netlink[256] = "";

	trimmed_offset(now, utc_us);
	if (state == FIREFLY_END)
		snprintf(member, sizeof(member), ",\"end-time\":\"%s\"",
			 trimmed_offset(end, t->flow->last_utc_us));
	if (state == FIREFLY_ONGOING) {
		snprintf(member, sizeof(member), ",\"current-time\":\"%s\"", now);
		snprintf(netlink, sizeof(netlink),
			 ",\"netlink\":{\"tcpInfo\":{\"Retransmits\":0,\"sndMss\":1428,\"pMtu\":"
			 "1500,"
			 "\"rtt\":%u,\"rttVar\":400,\"sndCwnd\":64,\"advMss\":1428,\"minRtt\":%u},"
			 "\"cong\":{\"algorithm\":\"cubic\"}}",
			 t->flow->rtt_us, t->flow->rtt_us - t->flow->rtt_us / 10);
	}
	return snprintf(
		out, cap,
		"<134>1 %s %s %s - firefly-json - {\"version\":1,\"flow-lifecycle\":{\"state\":"
		"\"%s\"%s,\"start-time\":\"%s\"},%s,%s%s}",
		state == FIREFLY_ONGOING ? now : "", t->host, t->application, states[state], member,
		trimmed_offset(start, t->flow->first_utc_us), flow_id(id, t, ""),
		context(ctx, t, ""), netlink);
}

/* Counts are of the connection, so a START has some already. */
static int xrootd(char *out, size_t cap, const struct teller *t, enum firefly_state state,
		  int64_t utc_us)
{
	char now[48], start[48], end[48], id[256], ctx[192], end_member[96] = "";
	int is_end = state == FIREFLY_END;

	if (is_end)
		snprintf(end_member, sizeof(end_member), ",\"end-time\":\"%s\"",
			 us_offset(end, t->flow->last_utc_us));
	return snprintf(
		out, cap,
		"<134>1 - %s xrootd - firefly-json - {\"version\":1,\"flow-lifecycle\":{"
		"\"state\":\"%s\",\"current-time\":\"%s\",\"start-time\":\"%s\"%s},\"usage\":{"
		"\"received\":%" PRIu64 ",\"sent\":%" PRIu64 "},\"netlink\":{\"rtt\":%.3f},%s,"
		"%s}",
		t->host, is_end ? "end" : "start", us_offset(now, utc_us),
		us_offset(start, t->flow->first_utc_us), end_member,
		t->before_back_bytes + received_bytes(t, is_end),
		t->before_out_bytes + sent_bytes(t, is_end), t->flow->rtt_us / 1000.0,
		context(ctx, t, ""), flow_id(id, t, ""));
}

/* The pool counts: what it sent went from dst to src. Releases 0: 10.2, bare; 1: 11.0, no interval at
 * the end; 2: 11.2.2 and later, the interval shifted by its own length. */
static int dcache(char *out, size_t cap, const struct teller *t, enum firefly_state state,
		  int64_t utc_us)
{
	int64_t connection_us = t->flow->last_utc_us - t->flow->first_utc_us;
	char header[160] = "", now[48], start[48], end[48], id[256], ctx[192];
	char usage[64] = "", storage[128] = "", end_member[96] = "";
	int64_t start_utc_us = t->flow->first_utc_us, end_utc_us = t->flow->last_utc_us;

	ms_zulu(now, utc_us);
	if (t->version > 0)
		snprintf(header, sizeof(header), "<134>1 %s %s dCache - firefly-json - ", now,
			 t->src);
	if (state == FIREFLY_END) {
		snprintf(usage, sizeof(usage), "\"received\":%" PRIu64 ",\"sent\":%" PRIu64,
			 sent_bytes(t, 1), received_bytes(t, 1));
		snprintf(storage, sizeof(storage),
			 ",\"storage-stats\":{\"bytes-transferred\":%" PRIu64
			 ",\"connection-time\":%" PRId64 "}",
			 t->flow->out_bytes, connection_us / 1000);
		if (t->version == 1)
			start_utc_us = end_utc_us = utc_us;
		if (t->version == 2) {
			start_utc_us = utc_us;
			end_utc_us = utc_us + connection_us;
		}
		snprintf(end_member, sizeof(end_member), ",\"end-time\":\"%s\"",
			 ms_zulu(end, end_utc_us));
	}
	return snprintf(out, cap,
			"%s{\"flow-lifecycle\":{\"state\":\"%s\",\"start-time\":\"%s\"%s,"
			"\"current-time\":\"%s\"},\"usage\":{%s}%s,%s,%s,\"version\":1}",
			header, state == FIREFLY_END ? "end" : "start",
			ms_zulu(start, start_utc_us), end_member, now, usage, storage,
			flow_id(id, t, ""), context(ctx, t, ""));
}

static int ours(char *out, size_t cap, const struct teller *t, enum firefly_state state,
		int64_t utc_us)
{
	struct firefly ff = {
		.state = state,
		.producer = FIREFLY_OURS,
		.key = t->key,
		.tag = t->flow->claim,
		.header_utc_us = utc_us,
		.current_utc_us = utc_us,
		.start_utc_us = t->flow->first_utc_us,
		.end_utc_us = state == FIREFLY_END ? t->flow->last_utc_us : FIREFLY_TIME_UNKNOWN,
		.src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
		.dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
		.rtt_us = t->flow->rtt_us,
		.app = "scitag-marker",
	};
	int64_t life_us = t->flow->last_utc_us - t->flow->first_utc_us;

	if (state == FIREFLY_START) {
		ff.rtt_us = FIREFLY_RTT_UNSAID;
	} else {
		double share = state == FIREFLY_END || life_us == 0
				       ? 1
				       : (double)(utc_us - t->flow->first_utc_us) / (double)life_us;

		ff.src_to_dst_bytes = sent_bytes(t, share);
		ff.dst_to_src_bytes = received_bytes(t, share);
	}
	snprintf(ff.host, sizeof(ff.host), "%s", t->host);
	snprintf(ff.application, sizeof(ff.application), "%s", t->application);
	return firefly_emit(&ff, out, cap);
}

/* --- who tells of a flow ------------------------------------------------------------------------------ */

static void turn(struct teller *t)
{
	const struct flow_key was = t->key;

	t->is_turned = !t->is_turned;
	memcpy(t->key.src_ip, was.dst_ip, 16);
	memcpy(t->key.dst_ip, was.src_ip, 16);
	t->key.src_port = was.dst_port;
	t->key.dst_port = was.src_port;
}

static void to_text(char out[INET6_ADDRSTRLEN], const struct flow_key *key, const uint8_t ip[16])
{
	int is_ipv4 = key->family == 4;

	inet_ntop(is_ipv4 ? AF_INET : AF_INET6, ip + (is_ipv4 ? 12 : 0), out, INET6_ADDRSTRLEN);
}

/* Which software, how it turns the ends (see each dialect), and what it calls itself. */
static void find_teller(struct writer *w, struct teller *t, const struct gen_flow *f)
{
	static const char *const dcache_doors[] = {"https", "xrootd", "remotehttpsdatatransfer"};
	uint32_t r = gen_random_below(&w->random, 100);
	const char *application = "scitag-marker " SCITAG_VERSION;

	*t = (struct teller){.flow = f, .key = f->key};
	t->version = gen_random_below(&w->random, 3);
	if (r < 30) {
		t->producer = FIREFLY_FLOWD;
		application = "flowd v1.1.7";
	} else if (r < 45) {
		t->producer = FIREFLY_FLOWD_GO;
		application = "flowd-go-v2.4.2";
	} else if (r < 70) {
		int is_put = !f->server_sends && t->version > 0;

		t->producer = FIREFLY_XROOTD;
		application = t->version == 0 ? "xrdcp" : is_put ? "http-put" : "http-get";
		if (!f->server_sends && !is_put) /* the server is named first but for http-put */
			turn(t);
		t->before_out_bytes = 200 + gen_random_below(&w->random, 400);
		t->before_back_bytes = 100 + gen_random_below(&w->random, 300);
	} else if (r < 90) {
		t->producer = FIREFLY_DCACHE;
		application = dcache_doors[gen_random_below(&w->random, 3)];
		if (f->server_sends) /* the pool is named last */
			turn(t);
	} else {
		t->producer = FIREFLY_OURS;
	}
	snprintf(t->application, sizeof(t->application), "%s", application);
	snprintf(t->host, sizeof(t->host), "dtn%u.site%u.example.org", t->key.src_ip[15] % 16,
		 t->key.src_ip[5]);
	to_text(t->src, &t->key, t->key.src_ip);
	to_text(t->dst, &t->key, t->key.dst_ip);
}

static void say(struct writer *w, const struct teller *t, enum firefly_state state, int64_t utc_us)
{
	static int (*const dialects[FIREFLY_PRODUCER_COUNT])(char *, size_t, const struct teller *,
							     enum firefly_state, int64_t) = {
		[FIREFLY_FLOWD] = flowd,   [FIREFLY_FLOWD_GO] = flowd_go, [FIREFLY_XROOTD] = xrootd,
		[FIREFLY_DCACHE] = dcache, [FIREFLY_OURS] = ours,
	};
	char text[MESSAGE_MAX_BYTES];
	int n = dialects[t->producer](text, sizeof(text), t, state, utc_us);

	if (n > 0 && (size_t)n < sizeof(text))
		tell(w, t, state, utc_us, text, (size_t)n);
}

static void on_flow(void *arg, const struct gen_flow *f, int is_over)
{
	static const char junk[] = "Jan  1 00:00:00 collector syslog-ng[7]: Log statistics; "
				   "processed='src.internal(s_local#0)=1'";
	struct writer *w = arg;
	struct teller t;
	int64_t start_at, end_at;

	if (f->claim.experiment == 0)
		return;
	find_teller(w, &t, f);
	w->claimed_flows++;
	w->unmarked_flows += f->class != GEN_MARKED;
	w->disagreeing_flows +=
		f->class == GEN_MARKED &&
		(f->tag.experiment != f->claim.experiment || f->tag.activity != f->claim.activity);
	start_at = f->first_utc_us + 1000 + gen_random_below(&w->random, 50000);
	end_at = f->last_utc_us + 1000 + gen_random_below(&w->random, 90000);
	say(w, &t, FIREFLY_START, start_at);
	if (t.producer == FIREFLY_FLOWD_GO || t.producer == FIREFLY_OURS)
		for (int64_t at = f->first_utc_us + ONGOING_EVERY_US; at < f->last_utc_us;
		     at += ONGOING_EVERY_US)
			say(w, &t, FIREFLY_ONGOING, at);
	if (is_over)
		say(w, &t, FIREFLY_END, end_at > start_at ? end_at : start_at + 1);
	if (gen_random_below(&w->random, JUNK_ONE_IN) == 0) {
		struct flow_key key = datagram_key(&t);

		keep(w, start_at, &key, junk, sizeof(junk) - 1);
		w->junk++;
	}
}

/* --- out ----------------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
	const struct message *const *x = a, *const *y = b;

	if ((*x)->utc_us != (*y)->utc_us)
		return (*x)->utc_us < (*y)->utc_us ? -1 : 1;
	return (*x)->number < (*y)->number ? -1 : 1;
}

static void write_messages(struct writer *w, struct gen_output *out)
{
	uint8_t frame[GEN_FRAME_MAX_BYTES];

	if (w->n_messages)
		qsort(w->messages, w->n_messages, sizeof(struct message *), by_time);
	for (size_t i = 0; i < w->n_messages; i++) {
		const struct message *m = w->messages[i];
		uint32_t n = gen_udp_frame(frame, &m->key, m->text, m->len_bytes);

		gen_output_put(out, m->utc_us, frame, n, n);
	}
}

static json_t *claims_json(const struct claims *c)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "starts", (json_int_t)c->states[FIREFLY_START],
			 "ongoings", (json_int_t)c->states[FIREFLY_ONGOING], "ends",
			 (json_int_t)c->states[FIREFLY_END], "bytes", (json_int_t)c->bytes);
}

static void write_truth(const struct writer *w, const struct gen_model *m, json_t *truth)
{
	json_t *all = claims_json(&w->all), *tags = json_array(), *producers = json_object();
	json_t *applications = json_object();

	for (int i = 0; i < GEN_STREAMS; i++) {
		json_t *o = claims_json(&w->tags[i]);

		json_object_set_new(o, "experiment_id", json_integer(gen_stream_tag(i).experiment));
		json_object_set_new(o, "activity_id", json_integer(gen_stream_tag(i).activity));
		json_array_append_new(tags, o);
	}
	for (int i = 0; i < FIREFLY_PRODUCER_COUNT; i++)
		if (i != FIREFLY_OTHER)
			json_object_set_new(producers,
					    firefly_producer_name((enum firefly_producer)i),
					    claims_json(&w->producers[i]));
	for (size_t i = 0; i < w->n_applications; i++)
		json_object_set_new(applications, w->applications[i].name,
				    claims_json(&w->applications[i].claims));
	json_object_update(truth, all);
	json_decref(all);
	json_object_set_new(truth, "bytes_dst_to_src", json_integer((json_int_t)w->backward_bytes));
	json_object_set_new(truth, "datagrams", json_integer((json_int_t)w->n_messages));
	json_object_set_new(truth, "accepted", json_integer((json_int_t)(w->n_messages - w->junk)));
	json_object_set_new(truth, "rejected", json_pack("{s:I}", "no_json", (json_int_t)w->junk));
	json_object_set_new(truth, "flows", json_integer((json_int_t)gen_model_flows(m)));
	json_object_set_new(truth, "claimed_flows", json_integer((json_int_t)w->claimed_flows));
	json_object_set_new(truth, "unmarked_flows", json_integer((json_int_t)w->unmarked_flows));
	json_object_set_new(truth, "disagreeing_flows",
			    json_integer((json_int_t)w->disagreeing_flows));
	json_object_set_new(truth, "tags", tags);
	json_object_set_new(truth, "producers", producers);
	json_object_set_new(truth, "applications", applications);
}

int gen_firefly(const struct gen_config *cfg, struct gen_output *out, json_t *truth)
{
	struct writer *w = calloc(1, sizeof(*w));
	struct gen_model *m = gen_model_open(cfg);
	struct gen_packet p;
	int err = -ENOMEM;

	if (!w || !m)
		goto out;
	gen_random_seed(&w->random, (uint64_t)cfg->seed + 2);
	gen_model_on_done(m, on_flow, w);
	while (gen_model_next(m, &p))
		;
	gen_model_finish(m);
	if (w->no_memory)
		goto out;
	write_messages(w, out);
	write_truth(w, m, truth);
	err = 0;
out:
	for (size_t i = 0; w && i < w->n_messages; i++)
		free(w->messages[i]);
	if (w)
		free(w->messages);
	free(w);
	gen_model_close(m);
	return err;
}
