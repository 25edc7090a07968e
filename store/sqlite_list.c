/* Questions whose answers are no series: how values are distributed, how many flows carried labels,
 * and the flows that ended. */
#include <arpa/inet.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "store/filter.h"
#include "store/sqlite.h"
#include "store/value.h"

/* --- histograms --------------------------------------------------------------------------- */

#define BINS 512 /* of 64 bits, eight a power of two */

struct pile { /* a histogram while it grows */
	int32_t experiment, activity;
	uint64_t n, max;
	uint64_t bins[BINS];
};
struct histogram_question {
	enum histogram_kind kind;
	int64_t from_utc_s, to_utc_s;
	uint32_t group;
	const struct filter *filter;
	struct store_histograms **out;
	struct pile **piles;
	size_t n, cap, last; /* last: where the row before went, mostly */
};

static struct pile *find_pile(struct histogram_question *h, int32_t experiment, int32_t activity)
{
	for (size_t i = 0; i < h->n; i++) {
		struct pile *p = h->piles[(h->last + i) % h->n];

		if (p->experiment != experiment || p->activity != activity)
			continue;
		h->last = (h->last + i) % h->n;
		return p;
	}
	if (h->n == h->cap) {
		size_t cap = h->cap ? 2 * h->cap : 16;
		struct pile **piles = realloc(h->piles, cap * sizeof(*piles));

		if (!piles)
			return NULL;
		h->piles = piles;
		h->cap = cap;
	}
	h->piles[h->n] = calloc(1, sizeof(**h->piles));
	if (!h->piles[h->n])
		return NULL;
	h->piles[h->n]->experiment = experiment;
	h->piles[h->n]->activity = activity;
	h->last = h->n++;
	return h->piles[h->last];
}

static int add_bin(void *arg, int64_t utc_s, struct sqlite3_stmt *row)
{
	struct histogram_question *h = arg;
	int by_experiment = (h->group & DIM_BIT(DIM_EXPERIMENT)) != 0;
	int by_activity = (h->group & DIM_BIT(DIM_ACTIVITY)) != 0;
	int bin = sqlite3_column_int(row, 3);
	uint64_t n = (uint64_t)sqlite3_column_int64(row, 4),
		 max = (uint64_t)sqlite3_column_int64(row, 5);
	struct pile *p = find_pile(h, by_experiment ? sqlite3_column_int(row, 1) : 0,
				   by_activity ? sqlite3_column_int(row, 2) : 0);

	if (!p)
		return -ENOMEM;
	bin = bin < 0 ? 0 : bin < BINS ? bin : BINS - 1;
	p->bins[bin] = value_sum(p->bins[bin], n);
	p->n = value_sum(p->n, n);
	p->max = max > p->max ? max : p->max;
	return 0;
}

static int fill_histogram(struct store_histogram *to, const struct pile *from)
{
	size_t n = 0;

	*to = (struct store_histogram){.experiment = from->experiment,
				       .activity = from->activity,
				       .n = from->n,
				       .max = from->max};
	for (size_t i = 0; i < BINS; i++)
		to->n_bins += from->bins[i] != 0;
	to->bins = calloc(to->n_bins + 1, sizeof(*to->bins));
	if (!to->bins)
		return -ENOMEM;
	for (size_t i = 0; i < BINS; i++)
		if (from->bins[i])
			to->bins[n++] = (struct store_bin){(uint16_t)i, from->bins[i]};
	return 0;
}

static int by_count(const void *a, const void *b)
{
	const struct store_histogram *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? 1 : -1;
	if (x->experiment != y->experiment)
		return x->experiment < y->experiment ? -1 : 1;
	return x->activity < y->activity ? -1 : x->activity > y->activity;
}

static int take_histograms(struct histogram_question *h)
{
	struct store_histograms *out = calloc(1, sizeof(*out));
	int err = 0;

	if (out)
		out->rows = calloc(h->n + 1, sizeof(*out->rows));
	if (!out || !out->rows) {
		store_histograms_free(out);
		return -ENOMEM;
	}
	out->from_utc_s = h->from_utc_s;
	out->to_utc_s = h->to_utc_s;
	for (; out->n < h->n && !err; out->n++)
		err = fill_histogram(&out->rows[out->n], h->piles[out->n]);
	if (err) {
		store_histograms_free(out);
		return err;
	}
	if (out->n)
		qsort(out->rows, out->n, sizeof(*out->rows), by_count);
	*h->out = out;
	return 0;
}

/* "kind = 1 AND (filter)"; sqlite3_free it. */
static char *where_of(const char *more, const struct filter *f)
{
	char *text = malloc(FILTER_SQL_MAX), *where = NULL;

	if (text && filter_sql(f, text, FILTER_SQL_MAX) >= 0)
		where = sqlite3_mprintf("%s AND (%s)", more, text);
	free(text);
	return where;
}

static int ask_histogram(struct sqlite3 *handle, void *arg)
{
	struct histogram_question *h = arg;
	char kind[32], *where;
	int err;

	snprintf(kind, sizeof(kind), "kind = %d", (int)h->kind);
	where = where_of(kind, h->filter);
	err = where ? sqlite_read(handle, TABLE_HISTOGRAMS, "experiment, activity, bin, n, max",
				  where, &h->from_utc_s, &h->to_utc_s, add_bin, h)
		    : -ENOMEM;
	sqlite3_free(where);
	return err ? err : take_histograms(h);
}

int db_histogram(struct db *db, enum histogram_kind kind, int64_t from_utc_s, int64_t to_utc_s,
		 uint32_t group, const struct filter *filter, struct store_histograms **out)
{
	struct histogram_question h = {.kind = kind,
				       .from_utc_s = from_utc_s,
				       .to_utc_s = to_utc_s,
				       .group = group,
				       .filter = filter,
				       .out = out};
	int err = sqlite_ask(db, ask_histogram, &h);

	for (size_t i = 0; i < h.n; i++)
		free(h.piles[i]);
	free(h.piles);
	return err;
}

/* --- flows with labels -------------------------------------------------------------------- */

struct label_question {
	int64_t from_utc_s, to_utc_s;
	struct store_label_flows *out;
	size_t cap;
};

static int by_tag(const void *a, const void *b)
{
	const struct store_label_flow *x = a, *y = b;

	if (x->experiment != y->experiment)
		return x->experiment < y->experiment ? -1 : 1;
	return x->activity < y->activity ? -1 : x->activity > y->activity;
}

static int add_label_flow(void *arg, int64_t utc_s, struct sqlite3_stmt *row)
{
	struct label_question *l = arg;
	struct store_label_flows *out = l->out;
	struct store_label_flow f = {.experiment = sqlite3_column_int(row, 1),
				     .activity = sqlite3_column_int(row, 2),
				     .flows = (uint64_t)sqlite3_column_int64(row, 3)};
	size_t at = 0;

	if (utc_s == l->from_utc_s) /* else they began within the range, or were there before */
		f.flows = value_sum(f.flows, (uint64_t)sqlite3_column_int64(row, 4));
	if (!f.flows)
		return 0;
	for (size_t end = out->n; at < end;) { /* where it is, or belongs */
		size_t middle = (at + end) / 2;

		if (by_tag(&out->rows[middle], &f) < 0)
			at = middle + 1;
		else
			end = middle;
	}
	if (at < out->n && by_tag(&out->rows[at], &f) == 0) {
		out->rows[at].flows = value_sum(out->rows[at].flows, f.flows);
		return 0;
	}
	if (out->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct store_label_flow *rows = realloc(out->rows, cap * sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		out->rows = rows;
		l->cap = cap;
	}
	memmove(&out->rows[at + 1], &out->rows[at], (out->n - at) * sizeof(*out->rows));
	out->rows[at] = f;
	out->n++;
	return 0;
}

static int ask_label_flows(struct sqlite3 *handle, void *arg)
{
	struct label_question *l = arg;

	return sqlite_read(handle, TABLE_LABEL_FLOWS, "experiment, activity, begun, before", "1",
			   &l->from_utc_s, &l->to_utc_s, add_label_flow, l);
}

int db_label_flows(struct db *db, int64_t from_utc_s, int64_t to_utc_s,
		   struct store_label_flows **out)
{
	struct label_question l = {
		.from_utc_s = from_utc_s, .to_utc_s = to_utc_s, .out = calloc(1, sizeof(*l.out))};
	int err = l.out ? sqlite_ask(db, ask_label_flows, &l) : -ENOMEM;

	if (err) {
		store_label_flows_free(l.out);
		return err;
	}
	l.out->from_utc_s = l.from_utc_s;
	l.out->to_utc_s = l.to_utc_s;
	*out = l.out;
	return 0;
}

/* --- flows -------------------------------------------------------------------------------- */

struct flow_question {
	const struct store_flow_query *q;
	struct store_flows *out;
};

static void read_ip(uint8_t ip[16], struct sqlite3_stmt *st, int at)
{
	const char *text = (const char *)sqlite3_column_text(st, at);

	memset(ip, 0, 16);
	if (!text)
		return;
	if (inet_pton(AF_INET, text, ip + 12) == 1)
		ip[10] = ip[11] = 0xff;
	else
		inet_pton(AF_INET6, text, ip);
}

static int64_t number_or(struct sqlite3_stmt *st, int at, int64_t none)
{
	return sqlite3_column_type(st, at) == SQLITE_NULL ? none : sqlite3_column_int64(st, at);
}

#define FLOW_COLUMNS                                                                              \
	"src, dst, src_port, dst_port, protocol, family, source, direction, src_site, dst_site, " \
	"grade, state, evidence, first_utc_us, last_utc_us, packets, bytes, bytes_variance, "     \
	"back_packets, back_bytes, back_bytes_variance, samples, wire_carrier, wire_experiment, " \
	"wire_activity, back_carrier, back_experiment, back_activity, claim_experiment, "         \
	"claim_activity, start_utc_us, end_utc_us, claimed_bytes, claimed_back_bytes, rtt_us, "   \
	"oddities, producer, provenance, sender, "                                                \
	"(SELECT name FROM applications WHERE id = application), claim_turned"

static void read_flow(struct flow_row *f, struct sqlite3_stmt *st)
{
	const char *application = (const char *)sqlite3_column_text(st, 39);

	*f = (struct flow_row){
		.key.src_port = (uint16_t)sqlite3_column_int(st, 2),
		.key.dst_port = (uint16_t)sqlite3_column_int(st, 3),
		.key.protocol = (uint8_t)sqlite3_column_int(st, 4),
		.key.family = (uint8_t)sqlite3_column_int(st, 5),
		.point = (uint16_t)sqlite3_column_int(st, 6),
		.direction = (uint8_t)sqlite3_column_int(st, 7),
		.src_site = (uint16_t)sqlite3_column_int(st, 8),
		.dst_site = (uint16_t)sqlite3_column_int(st, 9),
		.grade = (uint8_t)sqlite3_column_int(st, 10),
		.state = (uint8_t)sqlite3_column_int(st, 11),
		.evidence = (uint32_t)sqlite3_column_int64(st, 12),
		.first_utc_us = number_or(st, 13, CLOCK_NEVER),
		.last_utc_us = number_or(st, 14, CLOCK_NEVER),
		.samples = (uint64_t)sqlite3_column_int64(st, 21),
		.claim_experiment = (int32_t)number_or(st, 28, -1),
		.claim_activity = (int32_t)number_or(st, 29, -1),
		.start_utc_us = number_or(st, 30, CLOCK_NEVER),
		.end_utc_us = number_or(st, 31, CLOCK_NEVER),
		.rtt_us = number_or(st, 34, -1),
		.oddities = (uint32_t)sqlite3_column_int64(st, 35),
		.producer = (uint8_t)sqlite3_column_int(st, 36),
		.provenance = (uint8_t)sqlite3_column_int(st, 37),
		.claim_turned = (uint8_t)sqlite3_column_int(st, 40),
	};
	read_ip(f->key.src_ip, st, 0);
	read_ip(f->key.dst_ip, st, 1);
	read_ip(f->sender_ip, st, 38);
	for (int way = 0; way < 2; way++) {
		f->packets[way] = (uint64_t)sqlite3_column_int64(st, 15 + 3 * way);
		f->bytes[way] = (uint64_t)sqlite3_column_int64(st, 16 + 3 * way);
		f->bytes_variance[way] = sqlite3_column_double(st, 17 + 3 * way);
		f->carrier[way] = (uint8_t)sqlite3_column_int(st, 22 + 3 * way);
		f->experiment[way] = sqlite3_column_int(st, 23 + 3 * way);
		f->activity[way] = sqlite3_column_int(st, 24 + 3 * way);
		f->claimed_bytes[way] = (uint64_t)number_or(st, 32 + way, -1);
	}
	snprintf(f->application, sizeof(f->application), "%s", application ? application : "");
}

static int count_flows(struct sqlite3 *handle, const char *where, uint64_t *matching)
{
	char *sql = sqlite3_mprintf("SELECT count(*) FROM flows WHERE %s", where);
	sqlite3_stmt *st = NULL;
	int rc = sql ? sqlite3_prepare_v2(handle, sql, -1, &st, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		*matching = (uint64_t)sqlite3_column_int64(st, 0);
	if (st)
		rc = sqlite3_finalize(st);
	return sqlite_errno(rc);
}

static int list_flows(struct sqlite3 *handle, const char *where, const struct store_flow_query *q,
		      struct store_flows *out)
{
	static const char *const order[] = {
		[STORE_FLOWS_BY_BYTES] = "bytes + back_bytes DESC,",
		[STORE_FLOWS_BY_RATE] =
			"(bytes + back_bytes) / max(last_utc_us - first_utc_us, 1000000.0) DESC,",
		[STORE_FLOWS_BY_NEWEST] = "",
		[STORE_FLOWS_BY_DURATION] =
			"ifnull(last_utc_us - first_utc_us, end_utc_us - start_utc_us) DESC,",
	};
	char *sql = sqlite3_mprintf("SELECT " FLOW_COLUMNS
				    " FROM flows WHERE %s ORDER BY %s id DESC LIMIT %u",
				    where, order[q->order], q->limit);
	sqlite3_stmt *st = NULL;
	int rc = sql ? sqlite3_prepare_v2(handle, sql, -1, &st, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	while (rc == SQLITE_OK && out->n < q->limit && sqlite3_step(st) == SQLITE_ROW)
		read_flow(&out->rows[out->n++], st);
	if (st)
		rc = sqlite3_finalize(st);
	return sqlite_errno(rc);
}

static int ask_flows(struct sqlite3 *handle, void *arg)
{
	struct flow_question *f = arg;
	const struct store_flow_query *q = f->q;
	char conditions[320], *where;
	int err = sqlite_errno(sqlite3_exec(handle, "BEGIN", NULL, NULL, NULL));

	if (err)
		return err;
	snprintf(conditions, sizeof(conditions),
		 "ended_utc_s >= %lld AND ended_utc_s < %lld AND (%u = 0 OR %u >> grade & 1)"
		 " AND (%u = 0 OR oddities & %u)%s",
		 (long long)q->from_utc_s, (long long)q->to_utc_s, q->grades, q->grades,
		 q->oddities, q->oddities,
		 q->has_claim > 0   ? " AND claim_experiment IS NOT NULL"
		 : q->has_claim < 0 ? " AND claim_experiment IS NULL"
				    : "");
	where = where_of(conditions, q->filter);
	err = where ? count_flows(handle, where, &f->out->matching) : -ENOMEM;
	if (!err)
		err = list_flows(handle, where, q, f->out);
	sqlite3_free(where);
	return err;
}

int db_flows(struct db *db, const struct store_flow_query *q, struct store_flows **out)
{
	struct flow_question f = {.q = q, .out = calloc(1, sizeof(*f.out))};
	int err = -ENOMEM;

	if (f.out)
		f.out->rows = calloc((size_t)q->limit + 1, sizeof(*f.out->rows));
	if (f.out && f.out->rows)
		err = sqlite_ask(db, ask_flows, &f);
	if (err)
		store_flows_free(f.out);
	else
		*out = f.out;
	return err;
}
