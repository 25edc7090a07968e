/* Configured prefixes as sorted, disjoint address ranges: one binary search an address. Whether an
 * address is ours does not depend on which of several nested prefixes holds it, so overlapping ones
 * are simply merged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "join/prefix_map.h"
#include "observer/site.h"

struct range {
	uint8_t first[16], last[16]; /* both belong to it */
};
struct site {
	size_t n;
	struct range ranges[];
};

static int parse_prefix(struct range *r, const char *text)
{
	struct prefix p;

	if (prefix_parse(&p, text))
		return -EINVAL;
	memcpy(r->first, p.first, 16);
	memcpy(r->last, p.first, 16);
	for (unsigned int bit = p.bits; bit < 128; bit++)
		r->last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return 0;
}

static int by_first(const void *a, const void *b)
{
	return memcmp(((const struct range *)a)->first, ((const struct range *)b)->first, 16);
}

int site_open(struct site **out, const char *const *prefixes, size_t n_prefixes, char *why,
	      size_t why_cap_bytes)
{
	struct site *s;

	if (n_prefixes > SITE_PREFIXES_MAX) {
		snprintf(why, why_cap_bytes, "more than %d site prefixes", SITE_PREFIXES_MAX);
		return -EINVAL;
	}
	s = calloc(1, sizeof(*s) + n_prefixes * sizeof(s->ranges[0]));
	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < n_prefixes; i++) {
		if (parse_prefix(&s->ranges[i], prefixes[i])) {
			snprintf(why, why_cap_bytes,
				 "'%s' is no address prefix such as 2001:db8::/32", prefixes[i]);
			free(s);
			return -EINVAL;
		}
	}
	qsort(s->ranges, n_prefixes, sizeof(s->ranges[0]), by_first);
	for (size_t i = 0; i < n_prefixes; i++) {
		struct range *last = s->n ? &s->ranges[s->n - 1] : NULL;

		if (!last || memcmp(s->ranges[i].first, last->last, 16) > 0)
			s->ranges[s->n++] = s->ranges[i];
		else if (memcmp(s->ranges[i].last, last->last, 16) > 0)
			memcpy(last->last, s->ranges[i].last, 16);
	}
	*out = s;
	return 0;
}

void site_close(struct site *s)
{
	free(s);
}

int site_prefix(const struct site *s, size_t i, uint8_t address[16], uint32_t *bits)
{
	uint32_t n = 0;

	if (!s || i >= s->n)
		return -ENOENT;
	/* merged ranges are whole prefixes: two of them are either apart or one in the other */
	while (n < 128 && !((s->ranges[i].first[n / 8] ^ s->ranges[i].last[n / 8]) & 0x80 >> n % 8))
		n++;
	memcpy(address, s->ranges[i].first, 16);
	*bits = n;
	return 0;
}

static int ours(const struct site *s, const uint8_t ip[16])
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(s->ranges[mid].last, ip, 16) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->n && memcmp(s->ranges[low].first, ip, 16) <= 0;
}

enum direction site_direction(const struct site *s, const struct flow_key *key)
{
	int from_us, to_us;

	if (!s || !s->n || !key->family)
		return DIRECTION_UNKNOWN;
	from_us = ours(s, key->src_ip);
	to_us = ours(s, key->dst_ip);
	if (from_us)
		return to_us ? DIRECTION_INTERNAL : DIRECTION_OUT;
	return to_us ? DIRECTION_IN : DIRECTION_TRANSIT;
}
