#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "join/prefix_map.h"
#include "wire/flow_key.h"

#define NODE_KEYS 8           /* one cache line of them */
#define SPLIT     0x80000000u /* a /64 that is divided: the value is the number of a slice */
#define V4_BITS   96          /* of ::ffff:0:0/96 */

typedef __uint128_t address;

struct intervals { /* ascending, without gaps; the first begins at 0 */
	size_t n;
	struct interval {
		address first;
		uint32_t value;
	} * items;
};
struct tree { /* of upper halves of addresses; each node's keys divide those of its nine children */
	size_t n_nodes;
	uint64_t (*keys)[NODE_KEYS];
	uint32_t (*values)[NODE_KEYS];
};
struct slice { /* one /64: where its lower halves stand */
	uint32_t at, n;
};
struct prefix_map {
	struct tree v4, v6; /* an IPv4 address is the upper half's upper half */
	struct slice *slices;
	uint64_t *low_first;
	uint32_t *low_value;
};

int prefix_parse(struct prefix *out, const char *text)
{
	struct prefix p = {.first = {[10] = 0xFF, [11] = 0xFF}};
	char ip[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(text, '/');
	const size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned int bits = 0;
	int v4;

	if (len >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, len);
	ip[len] = 0;
	v4 = inet_pton(AF_INET, ip, p.first + 12) == 1;
	if (!v4 && inet_pton(AF_INET6, ip, p.first) != 1)
		return -EINVAL;
	if (slash) {
		const size_t digits = strspn(slash + 1, "0123456789");

		if (!digits || digits > 3 || slash[1 + digits])
			return -EINVAL;
		for (size_t i = 1; i <= digits; i++)
			bits = bits * 10 + (unsigned int)(slash[i] - '0');
	} else {
		bits = v4 ? 32 : 128;
	}
	if (bits > (v4 ? 32u : 128u))
		return -EINVAL;
	p.bits = (uint8_t)(bits + (v4 ? V4_BITS : 0));
	for (unsigned int bit = p.bits; bit < 128; bit++)
		p.first[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	memcpy(out->first, p.first, sizeof(p.first));
	out->bits = p.bits;
	out->wins = 0;
	return 0;
}

/* --- prefixes laid flat ---------------------------------------------------------------------- */

static uint64_t upper(const uint8_t *bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | bytes[i];
	return v;
}

static address number_of(const uint8_t ip[16], int v4)
{
	if (v4)
		return (address)(upper(ip + 8) << 32) << 64;
	return (address)upper(ip) << 64 | upper(ip + 8);
}

/* IPv4 first; then by address, the wider one first; of the same the one that is kept. */
static int by_place(const void *x, const void *y)
{
	const struct prefix *a = x, *b = y;
	const int v4 = flow_ip_is_ipv4(b->first) - flow_ip_is_ipv4(a->first);
	const int first = v4 ? v4 : memcmp(a->first, b->first, sizeof(a->first));

	if (first)
		return first;
	if (a->bits != b->bits)
		return a->bits < b->bits ? -1 : 1;
	if (a->wins != b->wins)
		return a->wins > b->wins ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

static size_t drop_repeated(struct prefix *prefixes, size_t n, size_t *shared,
			    int (*same)(void *arg, uint32_t a, uint32_t b), void *arg)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct prefix *last = kept ? &prefixes[kept - 1] : NULL;

		if (!last || last->bits != prefixes[i].bits ||
		    memcmp(last->first, prefixes[i].first, sizeof(last->first)))
			prefixes[kept++] = prefixes[i];
		else if (last->wins == prefixes[i].wins &&
			 !same(arg, last->value, prefixes[i].value))
			++*shared;
	}
	return kept;
}

static void begin(struct intervals *all, address first, uint32_t value)
{
	struct interval *last = all->n ? &all->items[all->n - 1] : NULL;

	if (last && last->first == first)
		last->value = value;
	else if (!last || last->value != value)
		all->items[all->n++] = (struct interval){first, value};
}

/* Prefixes are nested or apart: those that hold the present place are a stack. */
static int lay_flat(struct intervals *all, const struct prefix *prefixes, size_t n, int v4)
{
	struct open {
		address last;
		uint32_t value;
		uint8_t wins;
	} stack[130] = {{.last = ~(address)0}};
	size_t depth = 1;

	all->n = 0;
	all->items = malloc((2 * n + 1) * sizeof(*all->items));
	if (!all->items)
		return -ENOMEM;
	begin(all, 0, 0);
	for (size_t i = 0; i < n; i++) {
		const struct prefix *p = &prefixes[i];
		const unsigned int bits = v4 ? p->bits - V4_BITS : p->bits;
		const address first = number_of(p->first, v4);
		const address last = bits ? first | ~(address)0 >> 1 >> (bits - 1) : ~(address)0;
		const struct open *around;

		for (; stack[depth - 1].last < first; depth--)
			begin(all, stack[depth - 1].last + 1, stack[depth - 2].value);
		around = &stack[depth - 1];
		stack[depth] = around->wins && !p->wins
				       ? *around
				       : (struct open){.value = p->value, .wins = p->wins};
		stack[depth].last = last;
		begin(all, first, stack[depth++].value);
	}
	for (; depth > 1; depth--)
		if (stack[depth - 1].last != ~(address)0)
			begin(all, stack[depth - 1].last + 1, stack[depth - 2].value);
	return 0;
}

/* --- the tree --------------------------------------------------------------------------------- */

struct flat { /* what a tree is made of */
	size_t n;
	uint64_t *first;
	uint32_t *value;
};

static size_t child(size_t node, size_t nth)
{
	return node * (NODE_KEYS + 1) + 1 + nth;
}

/* In order; behind the last one its value goes on. Returns where it stopped. */
static size_t fill(struct tree *t, const struct flat *f, size_t node, size_t at)
{
	if (node >= t->n_nodes)
		return at;
	for (size_t i = 0; i < NODE_KEYS; i++) {
		at = fill(t, f, child(node, i), at);
		t->keys[node][i] = at < f->n ? f->first[at] : UINT64_MAX;
		t->values[node][i] = f->value[at < f->n ? at : f->n - 1];
		at += at < f->n;
	}
	return fill(t, f, child(node, NODE_KEYS), at);
}

static int grow(struct tree *t, const struct flat *f)
{
	t->n_nodes = (f->n + NODE_KEYS - 1) / NODE_KEYS;
	t->keys = aligned_alloc(64, t->n_nodes * sizeof(*t->keys));
	t->values = malloc(t->n_nodes * sizeof(*t->values));
	if (!t->keys || !t->values)
		return -ENOMEM;
	fill(t, f, 0, 0);
	return 0;
}

static uint32_t tree_find(const struct tree *t, uint64_t key)
{
	size_t node = 0, found_node = 0, found = 0;

	while (node < t->n_nodes) {
		size_t n = 0;

		for (size_t i = 0; i < NODE_KEYS; i++)
			n += t->keys[node][i] <= key;
		if (n) {
			found_node = node;
			found = n - 1;
		}
		node = child(node, n);
	}
	return t->values[found_node][found]; /* there is one: the least key is 0 */
}

/* Upper halves for the tree; where a /64 is divided, its lower halves go into a slice. */
static int divide(struct prefix_map *m, const struct intervals *all, struct flat *f)
{
	size_t n_slices = 0, n_low = 0;
	uint32_t before = 0;

	f->n = 0;
	f->first = malloc((2 * all->n + 1) * sizeof(*f->first));
	f->value = malloc((2 * all->n + 1) * sizeof(*f->value));
	m->slices = malloc((all->n + 1) * sizeof(*m->slices));
	m->low_first = malloc((2 * all->n + 1) * sizeof(*m->low_first));
	m->low_value = malloc((2 * all->n + 1) * sizeof(*m->low_value));
	if (!f->first || !f->value || !m->slices || !m->low_first || !m->low_value)
		return -ENOMEM;
	for (size_t i = 0; i < all->n;) {
		const uint64_t high = (uint64_t)(all->items[i].first >> 64);
		const size_t begun = i;
		size_t end = i;

		while (end < all->n && (uint64_t)(all->items[end].first >> 64) == high)
			end++;
		f->first[f->n] = high;
		if (end == begun + 1 && !(uint64_t)all->items[i].first) { /* whole */
			before = all->items[i].value;
			f->value[f->n++] = before;
			i = end;
			continue;
		}
		f->value[f->n++] = SPLIT | (uint32_t)n_slices;
		m->slices[n_slices].at = (uint32_t)n_low;
		if ((uint64_t)all->items[i].first) { /* what was before it reaches into it */
			m->low_first[n_low] = 0;
			m->low_value[n_low++] = before;
		}
		for (; i < end; i++) {
			m->low_first[n_low] = (uint64_t)all->items[i].first;
			m->low_value[n_low++] = all->items[i].value;
		}
		m->slices[n_slices].n = (uint32_t)n_low - m->slices[n_slices].at;
		n_slices++;
		before = all->items[end - 1].value;
		if (high != UINT64_MAX &&
		    (end == all->n || (uint64_t)(all->items[end].first >> 64) != high + 1)) {
			f->first[f->n] = high + 1;
			f->value[f->n++] = before;
		}
	}
	return 0;
}

static int build(struct prefix_map *m, struct tree *t, const struct prefix *prefixes, size_t n,
		 int v4)
{
	struct intervals all;
	struct flat f = {0};
	int err = lay_flat(&all, prefixes, n, v4);

	if (!err && v4) { /* no IPv4 address has a lower half */
		f.n = all.n;
		f.first = malloc(all.n * sizeof(*f.first));
		f.value = malloc(all.n * sizeof(*f.value));
		err = f.first && f.value ? 0 : -ENOMEM;
		for (size_t i = 0; !err && i < all.n; i++) {
			f.first[i] = (uint64_t)(all.items[i].first >> 64);
			f.value[i] = all.items[i].value;
		}
	} else if (!err) {
		err = divide(m, &all, &f);
	}
	if (!err)
		err = grow(t, &f);
	free(all.items);
	free(f.first);
	free(f.value);
	return err;
}

struct prefix_map *prefix_map_open(struct prefix *prefixes, size_t n, size_t *shared,
				   int (*same)(void *arg, uint32_t a, uint32_t b), void *arg)
{
	struct prefix_map *m = calloc(1, sizeof(*m));
	size_t n_v4 = 0;

	*shared = 0;
	if (!m)
		return NULL;
	if (n)
		qsort(prefixes, n, sizeof(*prefixes), by_place);
	n = drop_repeated(prefixes, n, shared, same, arg);
	while (n_v4 < n && flow_ip_is_ipv4(prefixes[n_v4].first) && prefixes[n_v4].bits >= V4_BITS)
		n_v4++;
	if (!build(m, &m->v4, prefixes, n_v4, 1) &&
	    !build(m, &m->v6, n ? prefixes + n_v4 : NULL, n - n_v4, 0))
		return m;
	prefix_map_close(m);
	return NULL;
}

void prefix_map_close(struct prefix_map *m)
{
	if (!m)
		return;
	free(m->v4.keys);
	free(m->v4.values);
	free(m->v6.keys);
	free(m->v6.values);
	free(m->slices);
	free(m->low_first);
	free(m->low_value);
	free(m);
}

uint32_t prefix_map_find(const struct prefix_map *m, const uint8_t ip[16])
{
	const struct slice *slice;
	uint64_t low_half;
	uint32_t value;
	size_t low = 0, high;

	if (flow_ip_is_ipv4(ip))
		return tree_find(&m->v4, upper(ip + 8) << 32);
	value = tree_find(&m->v6, upper(ip));
	if (!(value & SPLIT))
		return value;
	slice = &m->slices[value & ~SPLIT];
	low_half = upper(ip + 8);
	for (high = slice->n; high - low > 1;) { /* the first one begins at 0 */
		const size_t mid = low + (high - low) / 2;

		if (m->low_first[slice->at + mid] <= low_half)
			low = mid;
		else
			high = mid;
	}
	return m->low_value[slice->at + low];
}
