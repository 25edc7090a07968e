/* One transaction: a second's rows into the finest level of each table, and into those that are
 * closed already when they come late. */
#include <arpa/inet.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "store/bucket.h"
#include "store/sqlite.h"
#include "store/value.h"

static int step(struct db *db, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);
	int err = rc == SQLITE_DONE ? 0 : sqlite_fail(db, rc);

	sqlite3_reset(st);
	return err;
}

static void bind_numbers(sqlite3_stmt *st, int first, const int64_t *numbers, int n)
{
	for (int i = 0; i < n; i++)
		sqlite3_bind_int64(st, first + i, numbers[i]);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC); /* lives until the statement has run */
}

int db_begin(struct db *db)
{
	memcpy(db->work, db->saved, sizeof(*db->work));
	return step(db, db->statements[ST_BEGIN]);
}

void db_rollback(struct db *db)
{
	if (!sqlite3_get_autocommit(db->handle)) /* some failures roll back by themselves */
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

int db_put_source(struct db *db, const struct db_source *src)
{
	sqlite3_stmt *st = db->statements[ST_SOURCE];

	sqlite3_bind_int64(st, 1, src->id);
	bind_text(st, 2, src->name);
	sqlite3_bind_int64(st, 3, src->kind);
	return step(db, st);
}

int db_put_name(struct db *db, enum db_name_kind kind, uint16_t id, const char *name)
{
	sqlite3_stmt *st = db->statements[ST_SITE + kind];

	sqlite3_bind_int64(st, 1, id);
	bind_text(st, 2, name);
	return step(db, st);
}

int db_put_event(struct db *db, const struct store_event_row *e)
{
	sqlite3_stmt *st = db->statements[ST_EVENT];

	sqlite3_bind_int64(st, 1, e->utc_s);
	bind_text(st, 2, e->kind);
	bind_text(st, 3, e->text);
	return step(db, st);
}

static int put_gap(struct db *db, int64_t from_utc_s, int64_t to_utc_s, const char *reason)
{
	sqlite3_stmt *st = db->statements[ST_GAP];

	sqlite3_bind_int64(st, 1, from_utc_s);
	sqlite3_bind_int64(st, 2, to_utc_s);
	bind_text(st, 3, reason);
	return step(db, st);
}

/* --- rows of levels ------------------------------------------------------------------------ */

static int64_t start_of(enum table table, int nth, int64_t utc_s)
{
	return floor_to(utc_s, levels[tables[table].level[nth]].width_s);
}

/* Levels above a table's first get their rows when their bucket closes. What comes after that goes
 * into all of them, so that every level keeps telling the same. */
static int is_late(const struct db *db, enum table table, int nth, int64_t utc_s)
{
	return utc_s < db->work->levels.closed_utc_s[tables[table].level[nth]];
}

static int takes(const struct db *db, enum table table, int nth, int64_t utc_s)
{
	return (nth == 0 || is_late(db, table, nth, utc_s)) &&
	       utc_s >= db->work->levels.kept_from_utc_s[table][nth];
}

static void bind_value(sqlite3_stmt *st, int first, const struct traffic_value *v)
{
	const int64_t numbers[] = {
		(int64_t)value_clamp(v->packets),
		(int64_t)value_clamp(v->bytes),
		(int64_t)value_clamp(v->ip_bytes),
		(int64_t)value_clamp(v->samples),
	};

	bind_numbers(st, first, numbers, 4);
	sqlite3_bind_double(st, first + 4, value_variance(v->bytes_variance));
}

static void bind_traffic(sqlite3_stmt *st, const void *rows, size_t i)
{
	const struct traffic_row *row = (const struct traffic_row *)rows + i;
	const struct traffic_key *k = &row->key;
	const int64_t key[] = {k->source, k->direction,  k->family,  k->carrier,
			       k->grade,  k->experiment, k->activity};

	bind_numbers(st, 2, key, 7);
	bind_value(st, 9, &row->value);
	sqlite3_bind_int64(st, 14, row->value.codes);
}

static void bind_pair(sqlite3_stmt *st, const void *rows, size_t i)
{
	const struct pair_row *p = (const struct pair_row *)rows + i;
	int made_up = p->grade == GRADE_UNREGISTERED; /* every host makes some up */
	const int64_t key[] = {p->src_site,
			       p->dst_site,
			       p->family,
			       p->grade,
			       made_up ? STORE_FOLDED : p->experiment,
			       made_up ? STORE_FOLDED : p->activity};

	bind_numbers(st, 2, key, 6);
	bind_value(st, 8, &p->value);
}

static void bind_histogram(sqlite3_stmt *st, const void *rows, size_t i)
{
	const struct histogram_row *h = (const struct histogram_row *)rows + i;
	const int64_t numbers[] = {h->kind,
				   h->experiment,
				   h->activity,
				   h->bin,
				   (int64_t)value_clamp(h->n),
				   (int64_t)value_clamp(h->max)};

	bind_numbers(st, 2, numbers, 6);
}

static void bind_label_flow(sqlite3_stmt *st, const void *rows, size_t i)
{
	const struct label_flow_row *l = (const struct label_flow_row *)rows + i;
	const int64_t numbers[] = {l->experiment, l->activity, l->begun, l->before};

	bind_numbers(st, 2, numbers, 4);
}

/* Rows of one second, into all levels that take them. */
static int put_rows(struct db *db, enum table table, int64_t utc_s, const void *rows, size_t n,
		    void (*bind)(sqlite3_stmt *st, const void *rows, size_t i))
{
	int err = 0;

	for (int nth = 0; nth < tables[table].n_levels && !err && n; nth++) {
		sqlite3_stmt *st = db->statements[sqlite_add(table, nth)];
		int64_t start_utc_s = start_of(table, nth, utc_s);

		if (!takes(db, table, nth, utc_s))
			continue;
		for (size_t i = 0; i < n && !err; i++) {
			sqlite3_bind_int64(st, 1, start_utc_s);
			bind(st, rows, i);
			err = step(db, st);
		}
		if (!err && is_late(db, table, nth, utc_s))
			err = levels_fold(db, table, nth, start_utc_s, utc_s + 1, 1);
	}
	return err;
}

/* --- claims: of many minutes ------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
	const struct claim_row *x = a, *y = b;

	if (x->minute_utc_s != y->minute_utc_s)
		return x->minute_utc_s < y->minute_utc_s ? -1 : 1;
	if (x->experiment != y->experiment)
		return x->experiment < y->experiment ? -1 : 1;
	if (x->activity != y->activity)
		return x->activity < y->activity ? -1 : 1;
	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	return strncmp(x->application, y->application, sizeof(x->application));
}

/* Into the buckets of a level, one row a key, in their order. Returns how many are left. */
static size_t merge_claims(struct claim_row *rows, size_t n, int nth)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		rows[i].minute_utc_s = start_of(TABLE_CLAIMS, nth, rows[i].minute_utc_s);
	qsort(rows, n, sizeof(*rows), by_key);
	for (size_t i = 0; i < n; i++) {
		struct claim_row *to = kept ? &rows[kept - 1] : NULL;

		if (!to || by_key(to, &rows[i]) != 0) {
			rows[kept++] = rows[i];
			continue;
		}
		to->starts = value_sum(to->starts, rows[i].starts);
		to->ongoings = value_sum(to->ongoings, rows[i].ongoings);
		to->ends = value_sum(to->ends, rows[i].ends);
		to->bytes = value_sum(to->bytes, rows[i].bytes);
		to->end_bytes = value_sum(to->end_bytes, rows[i].end_bytes);
	}
	return kept;
}

static void bind_claim(sqlite3_stmt *st, const struct claim_row *c)
{
	const int64_t values[] = {
		c->family,
		(int64_t)value_clamp(c->starts),
		(int64_t)value_clamp(c->ongoings),
		(int64_t)value_clamp(c->ends),
		(int64_t)value_clamp(c->bytes),
		(int64_t)value_clamp(c->end_bytes),
	};

	sqlite3_bind_int64(st, 2, c->experiment);
	sqlite3_bind_int64(st, 3, c->activity);
	sqlite3_bind_text(st, 4, c->application,
			  (int)strnlen(c->application, sizeof(c->application)), SQLITE_STATIC);
	bind_numbers(st, 5, values, 6);
}

/* A minute so old that no finer level has it is told by the coarsest, from its beginning on. */
static int64_t minute_of(const struct db *db, const struct claim_row *c, int64_t utc_s)
{
	int64_t oldest = db->work->levels.kept_from_utc_s[TABLE_CLAIMS][SIDE_LEVELS - 1];
	int64_t minute = c->minute_utc_s ? c->minute_utc_s : utc_s;

	minute = minute < utc_s ? minute : utc_s;
	minute = minute > oldest ? minute : oldest;
	return floor_to(minute, 60);
}

static int put_claims_level(struct db *db, int nth, const struct claim_row *rows, size_t n)
{
	sqlite3_stmt *st = db->statements[sqlite_add(TABLE_CLAIMS, nth)];
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		int64_t start = rows[i].minute_utc_s;

		if (!takes(db, TABLE_CLAIMS, nth, start))
			continue;
		sqlite3_bind_int64(st, 1, start);
		bind_claim(st, &rows[i]);
		err = step(db, st);
		if (!err && is_late(db, TABLE_CLAIMS, nth, start) &&
		    (i + 1 == n || rows[i + 1].minute_utc_s != start))
			err = levels_fold(db, TABLE_CLAIMS, nth, start, start + 1, 1);
	}
	return err;
}

static int put_claims(struct db *db, const struct bucket *b)
{
	size_t n = b->n_claims;
	struct claim_row *rows;
	int err = 0;

	if (!n)
		return 0;
	rows = malloc(n * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	memcpy(rows, b->claims, n * sizeof(*rows));
	for (size_t i = 0; i < n; i++)
		rows[i].minute_utc_s = minute_of(db, &rows[i], b->start_utc_s);
	for (int nth = 0; nth < SIDE_LEVELS && !err; nth++) {
		n = merge_claims(rows, n, nth);
		err = put_claims_level(db, nth, rows, n);
	}
	free(rows);
	return err;
}

/* --- flows --------------------------------------------------------------------------------- */

#define FLOWS_MAX       2000000
#define TEXT_OF(number) #number
#define TEXT(number)    TEXT_OF(number)

static void bind_ip(sqlite3_stmt *st, int at, const uint8_t ip[16],
		    char buf[static INET6_ADDRSTRLEN])
{
	if (flow_ip_is_ipv4(ip))
		inet_ntop(AF_INET, ip + 12, buf, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, ip, buf, INET6_ADDRSTRLEN);
	bind_text(st, at, buf);
}

static void bind_time(sqlite3_stmt *st, int at, int64_t utc_us)
{
	if (utc_us == CLOCK_NEVER)
		sqlite3_bind_null(st, at);
	else
		sqlite3_bind_int64(st, at, utc_us);
}

static void bind_claimed(sqlite3_stmt *st, int at, uint64_t bytes)
{
	if (bytes == UINT64_MAX)
		sqlite3_bind_null(st, at);
	else
		sqlite3_bind_int64(st, at, (int64_t)value_clamp(bytes));
}

static int put_flow(struct db *db, int64_t utc_s, const struct flow_row *f)
{
	static const uint8_t no_ip[16];
	sqlite3_stmt *st = db->statements[ST_FLOW];
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], sender[INET6_ADDRSTRLEN];
	int has_claim = f->claim_experiment >= 0;
	const struct traffic_key tag = bucket_flow_key(f);
	const int64_t who[] = {f->key.src_port, f->key.dst_port, f->key.protocol, f->key.family,
			       f->point,        f->direction,    f->src_site,     f->dst_site,
			       f->grade,        tag.carrier,     tag.experiment,  tag.activity,
			       f->state,        f->evidence};
	const int64_t wire[] = {f->carrier[0], f->experiment[0], f->activity[0],
				f->carrier[1], f->experiment[1], f->activity[1]};
	const int64_t rest[] = {f->oddities, f->producer, f->provenance};

	sqlite3_bind_int64(st, 1, utc_s);
	bind_ip(st, 2, f->key.src_ip, src);
	bind_ip(st, 3, f->key.dst_ip, dst);
	bind_numbers(st, 4, who, 14);
	bind_time(st, 18, f->first_utc_us);
	bind_time(st, 19, f->last_utc_us);
	for (int way = 0; way < 2; way++) {
		sqlite3_bind_int64(st, 20 + 3 * way, (int64_t)value_clamp(f->packets[way]));
		sqlite3_bind_int64(st, 21 + 3 * way, (int64_t)value_clamp(f->bytes[way]));
		sqlite3_bind_double(st, 22 + 3 * way, value_variance(f->bytes_variance[way]));
	}
	sqlite3_bind_int64(st, 26, (int64_t)value_clamp(f->samples));
	bind_numbers(st, 27, wire, 6);
	for (int at = 33; at <= 39; at++)
		sqlite3_bind_null(st, at);
	if (has_claim) {
		sqlite3_bind_int64(st, 33, f->claim_experiment);
		sqlite3_bind_int64(st, 34, f->claim_activity);
		bind_time(st, 35, f->start_utc_us);
		bind_time(st, 36, f->end_utc_us);
		bind_claimed(st, 37, f->claimed_bytes[0]);
		bind_claimed(st, 38, f->claimed_bytes[1]);
		if (f->rtt_us >= 0)
			sqlite3_bind_int64(st, 39, f->rtt_us);
	}
	bind_numbers(st, 40, rest, 3);
	if (memcmp(f->sender_ip, no_ip, sizeof(no_ip)) == 0)
		sqlite3_bind_null(st, 43);
	else
		bind_ip(st, 43, f->sender_ip, sender);
	sqlite3_bind_text(st, 44, f->application,
			  (int)strnlen(f->application, sizeof(f->application)), SQLITE_STATIC);
	sqlite3_bind_int64(st, 45, f->claim_turned);
	return step(db, st);
}

static int put_flows(struct db *db, const struct bucket *b)
{
	int err = 0;

	for (size_t i = 0; i < b->n_flows && !err; i++)
		err = put_flow(db, b->start_utc_s, &b->flows[i]);
	if (!err && b->n_flows)
		err = sqlite_run(
			db, "DELETE FROM flows WHERE id <= (SELECT max(id) FROM flows) - " TEXT(
				    FLOWS_MAX));
	return err;
}

/* --- health -------------------------------------------------------------------------------- */

static uint64_t since(uint64_t last, uint64_t now) /* a smaller count has started again */
{
	return now >= last ? now - last : now;
}

static int put_reasons(struct db *db, int64_t utc_s, uint16_t source, const char *outcome,
		       const struct source_reason *reasons, size_t n, struct source_reason *last,
		       uint64_t *total)
{
	sqlite3_stmt *st = db->statements[ST_REASON];
	int err = 0;

	for (size_t i = 0; i < n && reasons[i].name && !err; i++) {
		size_t at = 0;
		uint64_t delta;

		while (at < n && last[at].name && strcmp(last[at].name, reasons[i].name) != 0)
			at++;
		if (at == n)
			continue;
		delta = since(last[at].count, reasons[i].count);
		last[at] = reasons[i];
		*total = value_sum(*total, delta);
		if (!delta)
			continue;
		sqlite3_bind_int64(st, 1, floor_to(utc_s, 60));
		sqlite3_bind_int64(st, 2, source);
		bind_text(st, 3, outcome);
		bind_text(st, 4, reasons[i].name);
		sqlite3_bind_int64(st, 5, (int64_t)value_clamp(delta));
		err = step(db, st);
	}
	return err;
}

static int put_health(struct db *db, int64_t utc_s, const struct source_status *now)
{
	sqlite3_stmt *st = db->statements[ST_HEALTH];
	struct counters *last = &db->work->last[now->id];
	uint64_t rejected = 0, dropped = 0;
	int err;

	err = put_reasons(db, utc_s, now->id, "rejected", now->rejected, STORE_REASONS_MAX,
			  last->rejected, &rejected);
	if (!err)
		err = put_reasons(db, utc_s, now->id, "dropped", now->dropped, STORE_DROPS_MAX,
				  last->dropped, &dropped);
	if (err)
		return err;
	const int64_t numbers[] = {
		floor_to(utc_s, 60),
		now->id,
		now->up != 0,
		(int64_t)value_clamp(since(last->received, now->received)),
		(int64_t)value_clamp(since(last->accepted, now->accepted)),
		(int64_t)rejected,
		(int64_t)dropped,
		(int64_t)value_clamp(since(last->bytes, now->bytes)),
		(int64_t)value_clamp(since(last->lost, now->lost)),
		(int64_t)value_clamp(since(last->agent_drops, now->agent_drops)),
		now->sampling_rate,
	};
	last->received = now->received;
	last->accepted = now->accepted;
	last->bytes = now->bytes;
	last->lost = now->lost;
	last->agent_drops = now->agent_drops;
	bind_numbers(st, 1, numbers, 11);
	sqlite3_bind_double(st, 12, value_variance(now->effective_rate));
	return step(db, st);
}

static int put_seen(struct db *db, const struct source_status *now)
{
	sqlite3_stmt *st = db->statements[ST_SOURCE_SEEN];

	if (now->last_seen_utc_s == CLOCK_NEVER)
		return 0;
	sqlite3_bind_int64(st, 1, now->id);
	sqlite3_bind_int64(st, 2, now->last_seen_utc_s);
	sqlite3_bind_int64(st, 3, now->first_seen_utc_s);
	return step(db, st);
}

static int put_sources(struct db *db, const struct bucket *b)
{
	int err = 0;

	for (size_t i = 0; i < b->n_sources && !err; i++) {
		if (b->sources[i].id >= STORE_SOURCES_MAX)
			continue;
		err = put_health(db, b->start_utc_s, &b->sources[i]);
		if (!err && b->start_utc_s % 10 == 0) /* often enough for a date */
			err = put_seen(db, &b->sources[i]);
	}
	return err;
}

int db_put_second(struct db *db, const struct bucket *b, const char *gap_reason)
{
	int64_t newest = db->work->committed_utc_s;
	int err = levels_advance(db, b->start_utc_s);

	if (newest == CLOCK_NEVER)
		db->work->first_utc_s = b->start_utc_s;
	if (!err && newest != CLOCK_NEVER && b->start_utc_s > newest + 1)
		err = put_gap(db, newest + 1, b->start_utc_s, gap_reason);
	if (!err)
		err = put_rows(db, TABLE_TRAFFIC, b->start_utc_s, b->rows, b->n_rows, bind_traffic);
	if (!err)
		err = put_claims(db, b);
	if (!err)
		err = put_rows(db, TABLE_PAIRS, b->start_utc_s, b->pairs, b->n_pairs, bind_pair);
	if (!err)
		err = put_rows(db, TABLE_HISTOGRAMS, b->start_utc_s, b->histograms, b->n_histograms,
			       bind_histogram);
	if (!err)
		err = put_rows(db, TABLE_LABEL_FLOWS, b->start_utc_s, b->label_flows,
			       b->n_label_flows, bind_label_flow);
	if (!err)
		err = put_flows(db, b);
	if (!err)
		err = put_sources(db, b);
	if (!err && b->start_utc_s > newest)
		db->work->committed_utc_s = b->start_utc_s;
	return err;
}

static int put_meta(struct db *db, const char *key, int64_t value)
{
	sqlite3_stmt *st = db->statements[ST_META];

	bind_text(st, 1, key);
	sqlite3_bind_int64(st, 2, value);
	return step(db, st);
}

static int put_level(struct db *db, int level)
{
	const struct level_state *now = &db->work->levels, *then = &db->saved->levels;
	const int64_t numbers[] = {levels[level].width_s, now->closed_utc_s[level],
				   now->kept_from_utc_s[TABLE_TRAFFIC][level]};

	if (numbers[1] == then->closed_utc_s[level] &&
	    numbers[2] == then->kept_from_utc_s[TABLE_TRAFFIC][level])
		return 0;
	bind_text(db->statements[ST_LEVEL], 1, levels[level].name);
	bind_numbers(db->statements[ST_LEVEL], 2, numbers, 3);
	return step(db, db->statements[ST_LEVEL]);
}

/* Of the tables beside traffic_*, whose own is told with the level. */
static int put_kept(struct db *db, enum table table, int nth)
{
	int64_t kept = db->work->levels.kept_from_utc_s[table][nth];
	char name[32];

	if (table == TABLE_TRAFFIC || kept == db->saved->levels.kept_from_utc_s[table][nth])
		return 0;
	snprintf(name, sizeof(name), "%s_%s", tables[table].name,
		 levels[tables[table].level[nth]].name);
	bind_text(db->statements[ST_KEPT], 1, name);
	sqlite3_bind_int64(db->statements[ST_KEPT], 2, kept);
	return step(db, db->statements[ST_KEPT]);
}

static int save_state(struct db *db)
{
	const struct db_state *w = db->work;
	int err = 0;

	if (db->saved->committed_utc_s == CLOCK_NEVER && w->committed_utc_s != CLOCK_NEVER)
		err = put_meta(db, "first_utc_s", w->first_utc_s);
	if (!err && w->committed_utc_s != db->saved->committed_utc_s)
		err = put_meta(db, "committed_utc_s", w->committed_utc_s);
	for (int i = 0; i < LEVELS && !err; i++)
		err = put_level(db, i);
	for (int t = 0; t < TABLES; t++)
		for (int nth = 0; nth < tables[t].n_levels && !err; nth++)
			err = put_kept(db, (enum table)t, nth);
	return err;
}

int sqlite_figures(struct db *db, const struct db_state *state, struct db_figures *out)
{
	struct db_figures f = {
		.committed_utc_s = state->committed_utc_s,
		.oldest_utc_s = CLOCK_NEVER,
		.trimmed_rows = state->trimmed_rows,
	};
	int64_t pages = 0, page_bytes = 0, oldest;
	int err = sqlite_number(db, &pages, 0, "PRAGMA page_count");

	if (!err)
		err = sqlite_number(db, &page_bytes, 0, "PRAGMA page_size");
	for (int i = 0; i < LEVELS && !err; i++) {
		err = sqlite_number(db, &oldest, CLOCK_NEVER, "SELECT min(bucket) FROM traffic_%s",
				    levels[i].name);
		if (oldest != CLOCK_NEVER &&
		    (f.oldest_utc_s == CLOCK_NEVER || oldest < f.oldest_utc_s))
			f.oldest_utc_s = oldest;
	}
	f.file_bytes = (uint64_t)(pages * page_bytes);
	if (!err)
		*out = f;
	return err;
}

int db_commit(struct db *db, struct db_figures *out)
{
	struct db_state *done = db->work;
	int err = levels_trim(db);

	if (!err)
		err = save_state(db);
	if (!err)
		err = sqlite_figures(db, done, out);
	if (!err)
		err = step(db, db->statements[ST_COMMIT]);
	if (err)
		return err;
	db->work = db->saved;
	db->saved = done;
	return 0;
}
