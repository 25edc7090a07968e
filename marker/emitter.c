#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "marker/emitter.h"

#define APPLICATION "scitag-marker"
#define FRESH_NS    NS_PER_S  /* a sample that old is still good */
#define RETRY_NS    1000000LL /* when the rate held something back */
#define WORDS       8192 /* last words that came before word of their beginning: a power of two */

enum {
	LIST_NONE,
	LIST_DUE,  /* something is to be said */
	LIST_LIVE, /* of what goes on, in the order of the next ONGOING */
	LIST_LAST, /* of what has ended, but for the last word of its connection */
	LIST_COUNT
};

struct row {
	struct flow_key key;
	struct scitag tag;
	uint8_t list;
	uint8_t started, ended; /* its START is out; it has ended, END is due */
	uint8_t superseded;     /* by another flow of the same key: no longer in the buckets */
	uint8_t sampled;        /* last is something */
	uint8_t counted;        /* wire_bytes is */
	uint8_t heard;          /* last is the last word */
	uint32_t bucket_next, prev, next;
	int64_t start_utc_us, end_utc_us;
	int64_t due_mono_ns; /* of the next ONGOING; on LIST_LAST, how long to wait */
	int64_t sampled_mono_ns;
	uint64_t sent_before_bytes, received_before_bytes; /* by the connection, at START */
	uint64_t wire_before_bytes, wire_bytes; /* as the mark counted, at START and last */
	struct tcp_sample last;
	char application[64];
};

struct list {
	uint32_t head, tail;
};

/* A connection's end that nobody had told us the beginning of, yet. */
struct word {
	struct flow_key key;
	struct tcp_sample last;
	int64_t mono_ns;
};

struct emitter {
	struct emitter_options options;
	struct emitter_hooks hooks;
	char host[64];
	struct row *rows;           /* 1..flows_max; 0 stands for none */
	struct tcp_detail *details; /* of the rows; NULL unless a form needs them */
	uint32_t *buckets;
	uint32_t n_buckets, n_used, free; /* rows that were ever used; those that are free again */
	struct list lists[LIST_COUNT];
	struct word words[WORDS]; /* each at its key's place */
	struct emitter_counters counters;
	uint64_t changes;
	uint64_t secret;
};

/* --- the table --------------------------------------------------------------------------------- */

static uint64_t hash(const struct emitter *e, const struct flow_key *key)
{
	uint64_t k[5], h = e->secret;

	memcpy(k, key, sizeof(k));
	for (int i = 0; i < 5; i++) {
		h = (h ^ k[i]) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return h;
}

static uint32_t bucket_of(const struct emitter *e, const struct flow_key *key)
{
	return (uint32_t)hash(e, key) & (e->n_buckets - 1);
}

static struct row *find(const struct emitter *e, const struct flow_key *key)
{
	for (uint32_t i = e->buckets[bucket_of(e, key)]; i; i = e->rows[i].bucket_next)
		if (!memcmp(&e->rows[i].key, key, sizeof(*key)))
			return &e->rows[i];
	return NULL;
}

static void unlist(struct emitter *e, struct row *row)
{
	struct list *l = &e->lists[row->list];

	if (row->list == LIST_NONE)
		return;
	*(row->prev ? &e->rows[row->prev].next : &l->head) = row->next;
	*(row->next ? &e->rows[row->next].prev : &l->tail) = row->prev;
	e->counters.due -= row->list == LIST_DUE;
	row->list = LIST_NONE;
}

/* All lists are in the order of time: a row comes in at the end. */
static void enlist(struct emitter *e, struct row *row, uint8_t list)
{
	struct list *l = &e->lists[list];
	uint32_t self = (uint32_t)(row - e->rows);

	unlist(e, row);
	row->list = list;
	row->prev = l->tail;
	row->next = 0;
	*(l->tail ? &e->rows[l->tail].next : &l->head) = self;
	l->tail = self;
	e->counters.due += list == LIST_DUE;
}

static struct row *add(struct emitter *e, const struct flow_key *key)
{
	uint32_t i = e->free, *bucket = &e->buckets[bucket_of(e, key)];
	struct row *row;

	if (i)
		e->free = e->rows[i].next;
	else if (e->n_used < e->options.flows_max)
		i = ++e->n_used;
	else
		return NULL;
	row = &e->rows[i];
	memset(row, 0, sizeof(*row));
	if (e->details)
		e->details[i].has = 0;
	row->key = *key;
	row->bucket_next = *bucket;
	*bucket = i;
	e->counters.active++;
	e->changes++;
	return row;
}

static void leave_bucket(struct emitter *e, const struct row *row)
{
	uint32_t self = (uint32_t)(row - e->rows), *at = &e->buckets[bucket_of(e, &row->key)];

	while (*at != self)
		at = &e->rows[*at].bucket_next;
	*at = row->bucket_next;
}

static void take_out(struct emitter *e, struct row *row)
{
	unlist(e, row);
	if (!row->superseded)
		leave_bucket(e, row);
	row->next = e->free;
	e->free = (uint32_t)(row - e->rows);
	e->counters.active--;
	e->changes++;
}

int emitter_open(struct emitter **out, const struct emitter_options *options,
		 const struct emitter_hooks *hooks)
{
	struct emitter *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->n_buckets = 64;
	while (e->n_buckets < options->flows_max)
		e->n_buckets *= 2;
	e->hooks = *hooks;
	if (getrandom(&e->secret, sizeof(e->secret), 0) != sizeof(e->secret))
		e->secret = (uint64_t)clock_mono_ns();
	snprintf(e->host, sizeof(e->host), "%s", options->host ? options->host : "");
	e->options.flows_max = options->flows_max;
	e->rows = calloc(options->flows_max + 1, sizeof(*e->rows));
	e->buckets = calloc(e->n_buckets, sizeof(*e->buckets));
	if (!e->rows || !e->buckets) {
		emitter_close(e);
		return -ENOMEM;
	}
	emitter_set(e, options);
	*out = e;
	return 0;
}

void emitter_close(struct emitter *e)
{
	if (!e)
		return;
	free(e->rows);
	free(e->details);
	free(e->buckets);
	free(e);
}

int emitter_needs_details(const struct emitter_options *options)
{
	return options->form != ENRICH_LEAN || options->as_skops;
}

void emitter_set(struct emitter *e, const struct emitter_options *options)
{
	size_t flows_max = e->options.flows_max;

	e->options = *options;
	e->options.flows_max = flows_max;
	/* where no row of it was touched it costs nothing; without it fireflies say less */
	if (options->enrich && emitter_needs_details(options) && !e->details)
		e->details = calloc(flows_max + 1, sizeof(*e->details));
}

/* --- what is said ------------------------------------------------------------------------------ */

static uint64_t since(uint64_t now_bytes, uint64_t before_bytes)
{
	return now_bytes > before_bytes ? now_bytes - before_bytes : 0;
}

static void say(struct emitter *e, const struct row *row, enum firefly_state state,
		int64_t now_utc_us)
{
	struct firefly ff = {.state = state,
			     .key = row->key,
			     .tag = row->tag,
			     .current_utc_us = now_utc_us,
			     .start_utc_us = row->start_utc_us,
			     .end_utc_us = row->end_utc_us,
			     .src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
			     .dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
			     .rtt_us = FIREFLY_RTT_UNSAID,
			     .app = APPLICATION};
	char buf[EMITTER_BYTES_MAX];
	const struct tcp_detail *detail = e->details ? &e->details[row - e->rows] : NULL;
	const char *start = buf;
	int len_bytes, enrich = row->sampled && e->options.enrich;

	if (e->options.mute)
		return;
	memcpy(ff.host, e->host, sizeof(ff.host));
	memcpy(ff.application, row->application, sizeof(ff.application));
	e->hooks.map(e->hooks.arg, &ff.key);
	if (row->sampled && state != FIREFLY_START) {
		ff.src_to_dst_bytes = since(row->last.sent_bytes, row->sent_before_bytes);
		ff.dst_to_src_bytes = since(row->last.received_bytes, row->received_before_bytes);
	} else if (row->counted && state != FIREFLY_START) {
		ff.src_to_dst_bytes = since(row->wire_bytes, row->wire_before_bytes);
	}
	if (enrich && !emitter_needs_details(&e->options)) {
		ff.rtt_us = row->last.rtt_us;
		ff.tcp = row->last.tcp;
	}
	len_bytes = firefly_emit(&ff, buf, sizeof(buf));
	if (len_bytes < 0)
		return; /* cannot be: the required members are far shorter */
	if (enrich && emitter_needs_details(&e->options) && detail && detail->has)
		len_bytes = (int)enrich_append(buf, (size_t)len_bytes, e->options.max_bytes,
					       e->options.as_skops ? "skOps" : "netlink",
					       e->options.form, detail);
	if (e->options.bare) {
		start = memchr(buf, '{', (size_t)len_bytes);
		len_bytes -= (int)(start - buf);
	}
	e->hooks.send(e->hooks.arg, start, (size_t)len_bytes, &row->key);
	e->counters.emitted[state]++;
}

/* --- what is known of the connection ----------------------------------------------------------- */

static void keep_detail(struct tcp_detail *kept, const struct tcp_detail *d)
{
	struct tcp_detail old = *kept;

	*kept = *d;
	if (!d->congestion[0])
		memcpy(kept->congestion, old.congestion, sizeof(old.congestion));
}

/* The last word of a connection leaves the algorithm out: the one before is believed. */
static void keep(struct emitter *e, struct row *row, const struct tcp_sample *s,
		 int64_t now_mono_ns)
{
	struct tcp_sample old = row->last;
	uint64_t more_bytes = (uint64_t)old.syn + s->fin;

	row->last = *s;
	row->last.detail = NULL;
	if (s->rough) {
		row->last.syn = old.syn;
		row->last.sent_bytes -= more_bytes < s->sent_bytes ? more_bytes : s->sent_bytes;
	}
	if (!s->tcp.congestion[0])
		memcpy(row->last.tcp.congestion, old.tcp.congestion, sizeof(old.tcp.congestion));
	if (e->details && s->detail)
		keep_detail(&e->details[row - e->rows], s->detail);
	row->sampled = 1;
	row->sampled_mono_ns = now_mono_ns;
}

static int is_fresh(const struct row *row, int64_t now_mono_ns)
{
	return row->sampled && now_mono_ns - row->sampled_mono_ns < FRESH_NS;
}

static void count(struct emitter *e, struct row *row)
{
	if (!row->sampled && !e->hooks.count(e->hooks.arg, &row->key, &row->wire_bytes))
		row->counted = 1;
}

/* Where there is no connection, what the mark counted is asked for instead. */
static int look(struct emitter *e, struct row *row, int64_t now_mono_ns)
{
	struct tcp_sample s;
	int err = e->hooks.look(e->hooks.arg, &row->key, row->last.cookie, &s);

	if (!err)
		keep(e, row, &s, now_mono_ns);
	else
		count(e, row);
	return err;
}

struct looking {
	struct emitter *e;
	int64_t now_mono_ns;
};

static void take_sample(void *arg, const struct flow_key *key, const struct tcp_sample *s)
{
	struct looking *l = arg;
	struct row *row = find(l->e, key);

	if (row && !row->ended && (!row->last.cookie || row->last.cookie == s->cookie))
		keep(l->e, row, s, l->now_mono_ns);
}

/* Many at a time share one question. */
static void look_ahead(struct emitter *e, int64_t now_mono_ns)
{
	struct looking l = {e, now_mono_ns};
	size_t stale = 0;

	for (uint32_t i = e->lists[LIST_LIVE].head; i && stale <= EMITTER_LOOKS_MAX;
	     i = e->rows[i].next) {
		const struct row *row = &e->rows[i];

		if (row->due_mono_ns > now_mono_ns)
			break;
		stale += row->last.cookie && !is_fresh(row, now_mono_ns);
	}
	if (stale > EMITTER_LOOKS_MAX)
		e->hooks.each(e->hooks.arg, take_sample, &l);
}

static struct word *word_of(struct emitter *e, const struct flow_key *key)
{
	return &e->words[hash(e, key) & (WORDS - 1)];
}

static void remember_word(struct emitter *e, const struct flow_key *key, const struct tcp_sample *s,
			  int64_t now_mono_ns)
{
	struct word *word = word_of(e, key);

	*word = (struct word){*key, *s, now_mono_ns};
	word->last.detail = NULL;
}

static void recall_word(struct emitter *e, struct row *row, int64_t now_mono_ns)
{
	struct word *word = word_of(e, &row->key);

	if (memcmp(&word->key, &row->key, sizeof(row->key)) ||
	    now_mono_ns - word->mono_ns > EMITTER_LAST_WORD_NS)
		return;
	keep(e, row, &word->last, now_mono_ns);
	row->heard = 1;
	memset(word, 0, sizeof(*word));
}

/* --- begin and end ----------------------------------------------------------------------------- */

/* Another flow has its key now. What is still to be said of it is said first. */
static void supersede(struct emitter *e, struct row *row)
{
	leave_bucket(e, row);
	row->superseded = 1;
	if (row->list == LIST_LAST)
		enlist(e, row, LIST_DUE);
}

/* What is still to be said of a row whose place is needed, whatever the rate. */
static void finish(struct emitter *e, struct row *row, int64_t now_utc_us)
{
	if (!row->started)
		say(e, row, FIREFLY_START, now_utc_us);
	say(e, row, FIREFLY_END, now_utc_us);
	take_out(e, row);
}

static void end(struct emitter *e, struct row *row, int64_t end_utc_us)
{
	row->ended = 1;
	e->changes++;
	row->end_utc_us = end_utc_us > row->start_utc_us ? end_utc_us : row->start_utc_us;
	if (row->list != LIST_DUE)
		enlist(e, row, LIST_DUE);
}

/* As end(), once its connection's last word has come. */
static void end_after_last_word(struct emitter *e, struct row *row, int64_t end_utc_us,
				int64_t now_mono_ns)
{
	int was_due = row->list == LIST_DUE; /* its START is; it must not wait behind others */

	end(e, row, end_utc_us);
	if (was_due)
		return;
	row->due_mono_ns = now_mono_ns + EMITTER_LAST_WORD_NS;
	enlist(e, row, LIST_LAST);
}

/* Without an event that says so. */
static void end_quietly(struct emitter *e, struct row *row, int64_t now_utc_us)
{
	end(e, row, now_utc_us);
	e->counters.gone++;
}

int emitter_begin(struct emitter *e, const struct flow_key *key, struct scitag tag,
		  const char *application, int64_t start_utc_us, enum emitter_connection connection,
		  struct emitter_time now)
{
	struct row *row = find(e, key), *old;

	e->counters.received++;
	if (row && !row->ended && row->tag.experiment == tag.experiment &&
	    row->tag.activity == tag.activity) {
		e->counters.renewed++;
		return 0;
	}
	if (row && !row->ended) {
		look(e, row, now.mono_ns);
		end(e, row, now.utc_us);
	}
	if (row)
		supersede(e, row);
	old = row;
	row = add(e, key);
	if (!row && old) {
		finish(e, old, now.utc_us);
		row = add(e, key);
	}
	if (!row) {
		e->counters.full++;
		return -ENOSPC;
	}
	row->tag = tag;
	row->start_utc_us = start_utc_us ? start_utc_us : now.utc_us;
	row->end_utc_us = FIREFLY_TIME_UNKNOWN;
	snprintf(row->application, sizeof(row->application), "%s",
		 *application ? application : APPLICATION " v" SCITAG_VERSION);
	if (connection == EMITTER_NONE) {
		count(e, row);
	} else if (look(e, row, now.mono_ns)) {
		if (connection == EMITTER_OPENED)
			recall_word(e, row, now.mono_ns);
	} else if (connection == EMITTER_ASK) {
		row->sent_before_bytes = row->last.sent_bytes;
		row->received_before_bytes = row->last.received_bytes;
	}
	row->wire_before_bytes = row->wire_bytes;
	enlist(e, row, LIST_DUE);
	e->counters.started++;
	return 0;
}

int emitter_end(struct emitter *e, const struct flow_key *key, int64_t end_utc_us,
		struct emitter_time now)
{
	struct row *row = find(e, key);

	e->counters.received++;
	if (!row || row->ended) {
		e->counters.unknown++;
		return -ENOENT;
	}
	if (!end_utc_us)
		end_utc_us = now.utc_us;
	if (look(e, row, now.mono_ns) && key->protocol == IPPROTO_TCP && !row->counted &&
	    !row->heard)
		end_after_last_word(e, row, end_utc_us, now.mono_ns);
	else
		end(e, row, end_utc_us);
	e->counters.ended++;
	return 0;
}

void emitter_gone(struct emitter *e, const struct flow_key *key, const struct tcp_sample *s,
		  struct emitter_time now)
{
	struct tcp_sample last = *s, live;
	struct row *row = find(e, key);
	int awaited = row && row->list == LIST_LAST;

	if (!row)
		remember_word(e, key, s, now.mono_ns);
	if (!row || (row->ended && !awaited))
		return;
	/* word comes late: the ports may be another connection's by now */
	if (row->last.cookie ? row->last.cookie != s->cookie
			     : !e->hooks.look(e->hooks.arg, key, 0, &live))
		return;
	if (!row->last.cookie)
		last.detail = NULL; /* it is of what was asked for meanwhile */
	keep(e, row, &last, now.mono_ns);
	if (awaited)
		enlist(e, row, LIST_DUE);
	else
		end_quietly(e, row, now.utc_us);
}

void emitter_lapse(struct emitter *e, const struct flow_key *key, struct emitter_time now)
{
	struct row *row = find(e, key);

	if (!row || row->ended)
		return;
	look(e, row, now.mono_ns);
	end_quietly(e, row, now.utc_us);
}

void emitter_missed(struct emitter *e, struct emitter_time now)
{
	struct looking l = {e, now.mono_ns};
	uint32_t next;

	e->hooks.each(e->hooks.arg, take_sample, &l);
	for (uint32_t i = e->lists[LIST_LIVE].head; i; i = next) {
		struct row *row = &e->rows[i];

		next = row->next;
		if (row->last.cookie && row->sampled_mono_ns != now.mono_ns &&
		    look(e, row, now.mono_ns) == -ENOENT)
			end_quietly(e, row, now.utc_us);
	}
}

void emitter_end_all(struct emitter *e, struct emitter_time now)
{
	while (e->lists[LIST_LIVE].head) {
		struct row *row = &e->rows[e->lists[LIST_LIVE].head];

		look(e, row, now.mono_ns);
		end(e, row, now.utc_us);
	}
	for (uint32_t i = e->lists[LIST_DUE].head; i; i = e->rows[i].next)
		if (!e->rows[i].ended)
			end(e, &e->rows[i], now.utc_us);
	while (e->lists[LIST_LAST].head)
		enlist(e, &e->rows[e->lists[LIST_LAST].head], LIST_DUE);
}

/* --- from one process to the next --------------------------------------------------------------- */

struct saved_head {
	char magic[8];
	uint64_t row_bytes;
	int64_t utc_us;
};

struct saved_row {
	struct flow_key key;
	struct scitag tag;
	uint8_t started, ended, sampled, counted;
	int64_t start_utc_us, end_utc_us;
	uint64_t sent_before_bytes, received_before_bytes;
	uint64_t wire_before_bytes, wire_bytes;
	struct tcp_sample last;
	char application[64];
};

static const char saved_magic[8] = "firefly2";

static int save_row(const struct row *row, FILE *to)
{
	struct saved_row s = {.key = row->key,
			      .tag = row->tag,
			      .started = row->started,
			      .ended = row->ended,
			      .sampled = row->sampled,
			      .counted = row->counted,
			      .start_utc_us = row->start_utc_us,
			      .end_utc_us = row->end_utc_us,
			      .sent_before_bytes = row->sent_before_bytes,
			      .received_before_bytes = row->received_before_bytes,
			      .wire_before_bytes = row->wire_before_bytes,
			      .wire_bytes = row->wire_bytes,
			      .last = row->last};

	memcpy(s.application, row->application, sizeof(s.application));
	return fwrite(&s, sizeof(s), 1, to) == 1;
}

int emitter_save(const struct emitter *e, FILE *to, struct emitter_time now)
{
	struct saved_head head = {.row_bytes = sizeof(struct saved_row), .utc_us = now.utc_us};
	int n = 0;

	memcpy(head.magic, saved_magic, sizeof(head.magic));
	fwrite(&head, sizeof(head), 1, to);
	for (int l = LIST_DUE; l < LIST_COUNT; l++)
		for (uint32_t i = e->lists[l].head; i; i = e->rows[i].next)
			n += save_row(&e->rows[i], to);
	return fflush(to) || ferror(to) ? -EIO : n;
}

static void load_row(struct emitter *e, const struct saved_row *s, struct emitter_time now)
{
	struct row *row = find(e, &s->key);

	if (row && !row->ended)
		return;
	if (row)
		supersede(e, row);
	row = add(e, &s->key);
	if (!row)
		return;
	row->tag = s->tag;
	row->started = s->started != 0;
	row->ended = s->ended != 0;
	row->sampled = s->sampled != 0;
	row->counted = s->counted != 0;
	row->start_utc_us = s->start_utc_us;
	row->end_utc_us = s->end_utc_us;
	row->sent_before_bytes = s->sent_before_bytes;
	row->received_before_bytes = s->received_before_bytes;
	row->wire_before_bytes = s->wire_before_bytes;
	row->wire_bytes = s->wire_bytes;
	row->last = s->last;
	row->last.detail = NULL;
	row->sampled_mono_ns = now.mono_ns - FRESH_NS;
	snprintf(row->application, sizeof(row->application), "%.*s",
		 (int)sizeof(s->application) - 1, s->application);
	row->due_mono_ns = now.mono_ns; /* did its connection end meanwhile? */
	enlist(e, row, row->started && !row->ended ? LIST_LIVE : LIST_DUE);
}

int emitter_load(struct emitter *e, FILE *from, struct emitter_time now)
{
	size_t before = e->counters.active;
	struct saved_head head;
	struct saved_row s;

	if (fread(&head, sizeof(head), 1, from) != 1 ||
	    memcmp(head.magic, saved_magic, sizeof(head.magic)) || head.row_bytes != sizeof(s))
		return -EBADMSG;
	if (now.utc_us < head.utc_us || now.utc_us - head.utc_us > EMITTER_HANDOVER_S * US_PER_S)
		return -ESTALE;
	while (fread(&s, sizeof(s), 1, from) == 1)
		load_row(e, &s, now);
	return (int)(e->counters.active - before);
}

int emitter_has(const struct emitter *e, const struct flow_key *key)
{
	const struct row *row = find(e, key);

	return row && !row->ended;
}

void emitter_each(const struct emitter *e,
		  void (*each)(void *arg, const struct flow_key *key, const struct scitag *tag),
		  void *arg)
{
	for (int l = LIST_DUE; l < LIST_COUNT; l++)
		for (uint32_t i = e->lists[l].head, next; i; i = next) {
			next = e->rows[i].next;
			if (!e->rows[i].ended)
				each(arg, &e->rows[i].key, &e->rows[i].tag);
		}
}

uint64_t emitter_changes(const struct emitter *e)
{
	return e->changes;
}

/* --- time -------------------------------------------------------------------------------------- */

static void say_due(struct emitter *e, struct row *row, struct emitter_time now)
{
	if (!row->started) {
		say(e, row, FIREFLY_START, now.utc_us);
		row->started = 1;
		e->changes++;
		row->due_mono_ns = now.mono_ns + (int64_t)e->options.ongoing_s * NS_PER_S;
		if (!row->ended)
			enlist(e, row, LIST_LIVE);
	} else {
		say(e, row, FIREFLY_END, now.utc_us);
		take_out(e, row);
	}
}

static void say_ongoing(struct emitter *e, struct row *row, struct emitter_time now)
{
	int was_there = row->last.cookie != 0;

	if (!is_fresh(row, now.mono_ns) && look(e, row, now.mono_ns) == -ENOENT && was_there) {
		/* no word of its end reached us */
		end_quietly(e, row, now.utc_us);
		return;
	}
	say(e, row, FIREFLY_ONGOING, now.utc_us);
	row->due_mono_ns = now.mono_ns + (int64_t)e->options.ongoing_s * NS_PER_S;
	enlist(e, row, LIST_LIVE);
}

void emitter_run(struct emitter *e, struct emitter_time now)
{
	struct list *due = &e->lists[LIST_DUE], *live = &e->lists[LIST_LIVE];
	const struct list *last = &e->lists[LIST_LAST];
	size_t left = EMITTER_BATCH;

	while (last->head && e->rows[last->head].due_mono_ns <= now.mono_ns)
		enlist(e, &e->rows[last->head], LIST_DUE);

	for (; due->head && left; left--) {
		if (!e->hooks.may(e->hooks.arg, now.mono_ns))
			return;
		say_due(e, &e->rows[due->head], now);
	}
	if (!e->options.ongoing_s)
		return;
	look_ahead(e, now.mono_ns);
	for (; live->head && e->rows[live->head].due_mono_ns <= now.mono_ns && left; left--) {
		if (!e->hooks.may(e->hooks.arg, now.mono_ns))
			return;
		say_ongoing(e, &e->rows[live->head], now);
	}
}

int64_t emitter_next(const struct emitter *e, int64_t now_mono_ns)
{
	uint32_t live = e->options.ongoing_s ? e->lists[LIST_LIVE].head : 0;
	uint32_t last = e->lists[LIST_LAST].head;
	int64_t due_mono_ns = INT64_MAX;

	if (e->lists[LIST_DUE].head)
		return now_mono_ns + RETRY_NS;
	if (live)
		due_mono_ns = e->rows[live].due_mono_ns;
	if (last && e->rows[last].due_mono_ns < due_mono_ns)
		due_mono_ns = e->rows[last].due_mono_ns;
	return due_mono_ns > now_mono_ns + RETRY_NS ? due_mono_ns : now_mono_ns + RETRY_NS;
}

void emitter_count(const struct emitter *e, struct emitter_counters *out)
{
	*out = e->counters;
}
