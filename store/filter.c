/* Text to a tree of comparisons in two steps: recursive descent keeps the words, then the words
 * become numbers, activities last because they may need the experiment beside them.
 *
 *     any        = all { "or" all }
 *     all        = one { "and" one }
 *     one        = "not" one | "(" any ")" | comparison
 *     comparison = dimension ( "=" | "!=" ) value | dimension "in" "(" value { "," value } ")"
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "store/filter.h"

#define ALL_DIMS          UINT32_MAX
#define EXPERIMENTS_ASKED 1024 /* an activity's name is looked up in all of these */
#define ID_MAX            65535
#define DIM_SITE          DIM_COUNT /* either site: becomes two comparisons */

enum op { OP_AND, OP_OR, OP_NOT, OP_COMPARE };

struct node {
	uint8_t op, dim, negated; /* negated: != */
	int left, right;          /* OP_AND, OP_OR; OP_NOT has left only */
	int first_word, n_words;  /* OP_COMPARE, while parsing */
	int first, n;             /* values that match: of dim itself, ... */
	int first_pair, n_pairs;  /* ... or experiment << 16 | activity */
};

struct filter {
	struct node nodes[FILTER_NODES_MAX];
	int n_nodes, root;
	int32_t values[FILTER_VALUES_MAX];
	int n_values;
};

/* --- words --------------------------------------------------------------------------------- */

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_QUOTED, TOKEN_SIGN };

struct word { /* a value as it was written */
	size_t at;
	const char *text; /* in the parser's arena */
};

struct parser {
	struct filter *f;
	const char *text;
	size_t pos;

	enum token_kind kind;
	size_t at;        /* of the token */
	const char *word; /* the token's text; a sign is one of ( ) , = ! (for !=) */

	char arena[2 * FILTER_TEXT_MAX];
	size_t arena_len;
	struct word words[FILTER_TEXT_MAX];
	int n_words;

	filter_resolve resolve;
	void *arg;
	char *why;
	size_t why_cap_bytes;
	size_t failed_at;
};

static int __attribute__((format(printf, 3, 4)))
refuse(struct parser *p, size_t at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(p->why, p->why_cap_bytes, fmt, args);
	va_end(args);
	p->failed_at = at;
	return -EINVAL;
}

static int ends_word(char c)
{
	return c == '\0' || isspace((unsigned char)c) || strchr("(),=!\"", c);
}

static int read_quoted(struct parser *p)
{
	const char *s = p->text + p->pos + 1;
	char *to = p->arena + p->arena_len;

	p->word = to;
	for (; *s && *s != '"'; s++) {
		if (*s == '\\' && s[1])
			s++;
		*to++ = *s;
	}
	if (!*s)
		return refuse(p, p->at, "the quotation does not end");
	*to++ = '\0';
	p->arena_len = (size_t)(to - p->arena);
	p->pos = (size_t)(s + 1 - p->text);
	p->kind = TOKEN_QUOTED;
	return 0;
}

static int next(struct parser *p)
{
	static const char *const signs[] = {"(", ")", ",", "=", "!="};

	while (isspace((unsigned char)p->text[p->pos]))
		p->pos++;
	p->at = p->pos;
	p->word = "";
	if (!p->text[p->pos]) {
		p->kind = TOKEN_END;
		return 0;
	}
	if (p->text[p->pos] == '"')
		return read_quoted(p);
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (strncmp(p->text + p->pos, signs[i], strlen(signs[i])) != 0)
			continue;
		p->kind = TOKEN_SIGN;
		p->word = signs[i];
		p->pos += strlen(signs[i]);
		return 0;
	}
	if (ends_word(p->text[p->pos]))
		return refuse(p, p->at, "'%c' does not belong here", p->text[p->pos]);
	p->kind = TOKEN_WORD;
	p->word = p->arena + p->arena_len;
	while (!ends_word(p->text[p->pos]))
		p->arena[p->arena_len++] = p->text[p->pos++];
	p->arena[p->arena_len++] = '\0';
	return 0;
}

static int is_word(const struct parser *p, const char *word)
{
	return p->kind == TOKEN_WORD && strcasecmp(p->word, word) == 0;
}

static int is_sign(const struct parser *p, const char *sign)
{
	return p->kind == TOKEN_SIGN && strcmp(p->word, sign) == 0;
}

/* --- the tree ------------------------------------------------------------------------------ */

/* All parsing functions return a node's index, or -EINVAL having said why. */

static int new_node(struct parser *p, enum op op, int left, int right)
{
	struct filter *f = p->f;

	if (f->n_nodes == FILTER_NODES_MAX)
		return refuse(p, p->at, "more than %d comparisons and operators", FILTER_NODES_MAX);
	f->nodes[f->n_nodes] = (struct node){.op = op, .left = left, .right = right};
	return f->n_nodes++;
}

/* Of the words since first_word. */
static int new_compare(struct parser *p, int dim, int negated, int first_word)
{
	int node = new_node(p, OP_COMPARE, 0, 0);

	if (node >= 0) {
		p->f->nodes[node].dim = (uint8_t)dim;
		p->f->nodes[node].negated = (uint8_t)negated;
		p->f->nodes[node].first_word = first_word;
		p->f->nodes[node].n_words = p->n_words - first_word;
	}
	return node;
}

static int take_value(struct parser *p)
{
	if (p->kind != TOKEN_WORD && p->kind != TOKEN_QUOTED)
		return refuse(p, p->at, "a value is missing");
	p->words[p->n_words++] = (struct word){.at = p->at, .text = p->word};
	return next(p);
}

static int take_list(struct parser *p)
{
	do {
		int err = next(p); /* past "in (" or "," */

		if (!err)
			err = take_value(p);
		if (err)
			return err;
	} while (is_sign(p, ","));
	if (!is_sign(p, ")"))
		return refuse(p, p->at, "expected ',' or ')' in the list");
	return next(p);
}

static int take_dimension(struct parser *p)
{
	int dim;

	if (p->kind != TOKEN_WORD)
		return refuse(p, p->at,
			      "expected a dimension, such as experiment, family or source");
	dim = strcasecmp(p->word, "site") == 0 ? DIM_SITE : dim_find(p->word);
	if (dim < 0)
		return refuse(p, p->at,
			      "there is no dimension '%.40s'; there are experiment, activity, "
			      "grade, carrier, "
			      "family, direction, source, site, src_site, dst_site, application",
			      p->word);
	return next(p) < 0 ? -EINVAL : dim;
}

static int parse_comparison(struct parser *p)
{
	int dim = take_dimension(p), first_word = p->n_words, negated, node, err;

	if (dim < 0)
		return dim;
	negated = is_sign(p, "!=");
	if (negated || is_sign(p, "=")) {
		err = next(p);
		if (!err)
			err = take_value(p);
	} else if (is_word(p, "in")) {
		err = next(p);
		if (!err && !is_sign(p, "("))
			err = refuse(p, p->at, "expected '(' after in");
		if (!err)
			err = take_list(p);
	} else {
		err = refuse(p, p->at, "expected =, != or in after the dimension");
	}
	if (err)
		return err;
	if (dim != DIM_SITE)
		return new_compare(p, dim, negated, first_word);
	node = new_compare(p, DIM_SRC_SITE, negated, first_word);
	err = node < 0 ? node : new_compare(p, DIM_DST_SITE, negated, first_word);
	return err < 0 ? err : new_node(p, negated ? OP_AND : OP_OR, node, err);
}

static int parse_any(struct parser *p, int depth);

static int parse_one(struct parser *p, int depth)
{
	int node;

	if (depth > FILTER_DEPTH_MAX)
		return refuse(p, p->at, "nested deeper than %d", FILTER_DEPTH_MAX);
	if (is_word(p, "not")) {
		node = next(p);
		if (!node)
			node = parse_one(p, depth + 1);
		return node < 0 ? node : new_node(p, OP_NOT, node, 0);
	}
	if (!is_sign(p, "("))
		return parse_comparison(p);
	node = next(p);
	if (!node)
		node = parse_any(p, depth + 1);
	if (node >= 0 && !is_sign(p, ")"))
		return refuse(p, p->at, "expected ')'");
	return node >= 0 && next(p) < 0 ? -EINVAL : node;
}

static int parse_all(struct parser *p, int depth)
{
	int node = parse_one(p, depth);

	while (node >= 0 && is_word(p, "and")) {
		int right = next(p);

		if (!right)
			right = parse_one(p, depth);
		node = right < 0 ? right : new_node(p, OP_AND, node, right);
	}
	return node;
}

static int parse_any(struct parser *p, int depth)
{
	int node = parse_all(p, depth);

	while (node >= 0 && is_word(p, "or")) {
		int right = next(p);

		if (!right)
			right = parse_all(p, depth);
		node = right < 0 ? right : new_node(p, OP_OR, node, right);
	}
	return node;
}

/* --- words to numbers ---------------------------------------------------------------------- */

static int add_values(struct parser *p, const struct word *w, const int32_t *values, size_t n)
{
	struct filter *f = p->f;

	if (n > (size_t)(FILTER_VALUES_MAX - f->n_values))
		return refuse(p, w->at, "more than %d values", FILTER_VALUES_MAX);
	memcpy(f->values + f->n_values, values, n * sizeof(*values));
	f->n_values += (int)n;
	return 0;
}

/* A number as it stands; -1 is the row of the unregistered rest. */
static int is_number(const char *text, int32_t *out)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || isspace((unsigned char)*text) || n < STORE_FOLDED || n > ID_MAX)
		return 0;
	*out = (int32_t)n;
	return 1;
}

static int family_find(const char *text)
{
	static const struct {
		const char *name;
		int family;
	} names[] = {{"4", 4}, {"6", 6}, {"ipv4", 4}, {"ipv6", 6}, {"0", 0}, {"other", 0}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(text, names[i].name) == 0)
			return names[i].family;
	return -ENOENT;
}

static size_t ask(struct parser *p, enum dim dim, const char *text, int experiment, int32_t *out,
		  size_t cap)
{
	size_t n = p->resolve ? p->resolve(p->arg, dim, text, experiment, out, cap) : 0;

	return n < cap ? n : cap;
}

/* Fill out[] with the numbers of one word; returns how many. */
static size_t numbers_of(struct parser *p, enum dim dim, const char *text, int experiment,
			 int32_t *out, size_t cap)
{
	size_t n;
	int found;

	switch (dim) {
	case DIM_EXPERIMENT:
	case DIM_ACTIVITY:
		return is_number(text, out) ? 1 : ask(p, dim, text, experiment, out, cap);
	case DIM_SOURCE: /* an interface may be named 1 */
	case DIM_SRC_SITE:
	case DIM_DST_SITE:
	case DIM_APPLICATION:
		n = ask(p, dim, text, -1, out, cap);
		return n ? n : (size_t)is_number(text, out);
	case DIM_GRADE:
		found = grade_find(text);
		break;
	case DIM_CARRIER:
		found = carrier_find(text);
		break;
	case DIM_DIRECTION:
		found = direction_find(text);
		break;
	case DIM_FAMILY:
		found = family_find(text);
		break;
	default:
		return 0;
	}
	*out = found;
	return found >= 0;
}

static const char *thing_name(enum dim dim)
{
	return dim == DIM_SRC_SITE || dim == DIM_DST_SITE ? "site" : dim_name(dim);
}

static int resolve_numbers(struct parser *p, struct node *n, int experiment)
{
	n->first = p->f->n_values;
	for (int i = 0; i < n->n_words; i++) {
		const struct word *w = &p->words[n->first_word + i];
		int32_t found[256];
		size_t n_found = numbers_of(p, n->dim, w->text, experiment, found,
					    sizeof(found) / sizeof(found[0]));

		if (!n_found)
			return refuse(p, w->at, "there is no %s '%.60s'%s", thing_name(n->dim),
				      w->text, n->dim == DIM_ACTIVITY ? " of this experiment" : "");
		if (add_values(p, w, found, n_found) < 0)
			return -EINVAL;
	}
	n->n = p->f->n_values - n->first;
	return 0;
}

static int add_pairs(struct parser *p, const struct word *w)
{
	int before = p->f->n_values;

	for (int e = 0; e < EXPERIMENTS_ASKED; e++) {
		int32_t found[256];
		size_t n =
			ask(p, DIM_ACTIVITY, w->text, e, found, sizeof(found) / sizeof(found[0]));

		for (size_t i = 0; i < n; i++)
			found[i] = e << 16 | (found[i] & ID_MAX);
		if (add_values(p, w, found, n) < 0)
			return -EINVAL;
	}
	if (p->f->n_values == before)
		return refuse(p, w->at, "there is no activity '%.60s'", w->text);
	return 0;
}

/* Names of activities that stand alone: numbers first, then pairs. */
static int resolve_pairs(struct parser *p, struct node *n)
{
	int32_t number;

	n->first = p->f->n_values;
	for (int i = 0; i < n->n_words; i++) {
		const struct word *w = &p->words[n->first_word + i];

		if (is_number(w->text, &number) && add_values(p, w, &number, 1) < 0)
			return -EINVAL;
	}
	n->n = p->f->n_values - n->first;
	n->first_pair = p->f->n_values;
	for (int i = 0; i < n->n_words; i++) {
		const struct word *w = &p->words[n->first_word + i];

		if (!is_number(w->text, &number) && add_pairs(p, w) < 0)
			return -EINVAL;
	}
	n->n_pairs = p->f->n_values - n->first_pair;
	return 0;
}

/* The one experiment that an `and` group names, or -1. */
static int experiment_of(const struct filter *f, int node)
{
	const struct node *n = &f->nodes[node];
	int left;

	if (n->op == OP_COMPARE && n->dim == DIM_EXPERIMENT && !n->negated && n->n == 1)
		return f->values[n->first];
	if (n->op != OP_AND)
		return -1;
	left = experiment_of(f, n->left);
	return left >= 0 ? left : experiment_of(f, n->right);
}

static int resolve_activities(struct parser *p, int node, int experiment)
{
	struct node *n = &p->f->nodes[node];

	if (n->op == OP_COMPARE) {
		if (n->dim != DIM_ACTIVITY)
			return 0;
		return experiment >= 0 ? resolve_numbers(p, n, experiment) : resolve_pairs(p, n);
	}
	if (n->op == OP_AND && experiment_of(p->f, node) >= 0)
		experiment = experiment_of(p->f, node);
	if (resolve_activities(p, n->left, experiment) < 0)
		return -EINVAL;
	return n->op == OP_NOT ? 0 : resolve_activities(p, n->right, experiment);
}

static int resolve_all(struct parser *p)
{
	for (int i = 0; i < p->f->n_nodes; i++) {
		struct node *n = &p->f->nodes[i];

		if (n->op == OP_COMPARE && n->dim != DIM_ACTIVITY && resolve_numbers(p, n, -1) < 0)
			return -EINVAL;
	}
	return resolve_activities(p, p->f->root, -1);
}

static int parse(struct parser *p)
{
	int err;

	if (strlen(p->text) > FILTER_TEXT_MAX)
		return refuse(p, FILTER_TEXT_MAX, "longer than %d characters", FILTER_TEXT_MAX);
	err = next(p);
	if (err)
		return err;
	if (p->kind == TOKEN_END)
		return 1;
	p->f->root = parse_any(p, 0);
	if (p->f->root < 0)
		return p->f->root;
	if (p->kind != TOKEN_END)
		return refuse(p, p->at, "expected and, or, or the end");
	return resolve_all(p);
}

int filter_parse(struct filter **out, const char *text, filter_resolve resolve, void *arg,
		 char *why, size_t why_cap_bytes, size_t *at)
{
	struct parser *p = calloc(1, sizeof(*p));
	struct filter *f = calloc(1, sizeof(*f));
	int err = -ENOMEM;

	if (p && f) {
		p->f = f;
		p->text = text;
		p->resolve = resolve;
		p->arg = arg;
		p->why = why;
		p->why_cap_bytes = why_cap_bytes;
		err = parse(p);
		if (err < 0)
			*at = p->failed_at;
	}
	if (err == 0)
		*out = f;
	else
		free(f);
	if (err == 1)
		*out = NULL; /* no words: everything */
	free(p);
	return err < 0 ? err : 0;
}

void filter_free(struct filter *f)
{
	free(f);
}

/* --- matching ------------------------------------------------------------------------------ */

static int32_t member(const struct traffic_key *key, enum dim dim)
{
	switch (dim) {
	case DIM_EXPERIMENT:
		return key->experiment;
	case DIM_ACTIVITY:
		return key->activity;
	case DIM_GRADE:
		return key->grade;
	case DIM_CARRIER:
		return key->carrier;
	case DIM_FAMILY:
		return key->family;
	case DIM_DIRECTION:
		return key->direction;
	case DIM_SOURCE:
		return key->source;
	case DIM_SRC_SITE:
		return key->src_site;
	case DIM_DST_SITE:
		return key->dst_site;
	case DIM_APPLICATION:
		return key->application;
	default:
		return 0;
	}
}

static int contains(const int32_t *values, int n, int64_t value)
{
	for (int i = 0; i < n; i++)
		if (values[i] == value)
			return 1;
	return 0;
}

static int compare(const struct filter *f, const struct node *n, const struct traffic_key *key)
{
	int64_t pair = (int64_t)key->experiment * (ID_MAX + 1) + key->activity;

	return (contains(f->values + n->first, n->n, member(key, n->dim)) ||
		contains(f->values + n->first_pair, n->n_pairs, pair)) != n->negated;
}

/* 1, 0, or -1 for unknown. */
static int match(const struct filter *f, int node, const struct traffic_key *key, uint32_t dims)
{
	const struct node *n = &f->nodes[node];
	int left, right, decisive = n->op == OP_OR;

	if (n->op == OP_COMPARE)
		return dims & 1u << n->dim ? compare(f, n, key) : -1;
	left = match(f, n->left, key, dims);
	if (n->op == OP_NOT)
		return left < 0 ? -1 : !left;
	if (left == decisive)
		return decisive;
	right = match(f, n->right, key, dims);
	if (right == decisive)
		return decisive;
	return left < 0 || right < 0 ? -1 : !decisive;
}

int filter_match_part(const struct filter *f, const struct traffic_key *key, uint32_t dims)
{
	return f ? match(f, f->root, key, dims) : 1;
}

int filter_match(const struct filter *f, const struct traffic_key *key)
{
	return filter_match_part(f, key, ALL_DIMS);
}

uint32_t filter_dims(const struct filter *f)
{
	uint32_t dims = 0;

	for (int i = 0; f && i < f->n_nodes; i++)
		if (f->nodes[i].op == OP_COMPARE)
			dims |= DIM_BIT(f->nodes[i].dim);
	return dims;
}

/* --- SQL ----------------------------------------------------------------------------------- */

struct text {
	char *buf;
	size_t cap_bytes, len_bytes; /* len may pass cap: then it did not fit */
};

static void __attribute__((format(printf, 2, 3))) put(struct text *t, const char *fmt, ...)
{
	size_t left = t->len_bytes < t->cap_bytes ? t->cap_bytes - t->len_bytes : 0;
	va_list args;

	va_start(args, fmt);
	t->len_bytes += (size_t)vsnprintf(left ? t->buf + t->len_bytes : NULL, left, fmt, args);
	va_end(args);
}

static void put_list(struct text *t, const char *what, const int32_t *values, int n)
{
	put(t, "%s IN (", what);
	for (int i = 0; i < n; i++)
		put(t, "%s%" PRId32, i ? "," : "", values[i]);
	put(t, ")");
}

static void put_compare(struct text *t, const struct filter *f, const struct node *n)
{
	if (n->negated)
		put(t, "NOT ");
	put(t, "(");
	if (n->n)
		put_list(t, dim_name(n->dim), f->values + n->first, n->n);
	if (n->n && n->n_pairs)
		put(t, " OR ");
	if (n->n_pairs)
		put_list(t, "experiment * 65536 + activity", f->values + n->first_pair, n->n_pairs);
	if (!n->n && !n->n_pairs)
		put(t, "0");
	put(t, ")");
}

static void put_node(struct text *t, const struct filter *f, int node)
{
	const struct node *n = &f->nodes[node];

	if (n->op == OP_COMPARE) {
		put_compare(t, f, n);
		return;
	}
	if (n->op == OP_NOT) {
		put(t, "NOT ");
		put_node(t, f, n->left);
		return;
	}
	put(t, "(");
	put_node(t, f, n->left);
	put(t, n->op == OP_AND ? " AND " : " OR ");
	put_node(t, f, n->right);
	put(t, ")");
}

int filter_sql(const struct filter *f, char *buf, size_t cap_bytes)
{
	struct text t = {.buf = buf, .cap_bytes = cap_bytes};

	if (f)
		put_node(&t, f, f->root);
	else
		put(&t, "1");
	return t.len_bytes < cap_bytes ? (int)t.len_bytes : -ENOSPC;
}
