/* Whose address it is (join/prefix_map.c): nanoseconds a look-up, by the number of prefixes, half of them /48 of
 * 2a00::/16, half IPv4 /28 of 10.0.0.0/8, drawn at random; the addresses asked for lie in and beside them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "join/prefix_map.h"

#define ASKED 4000000

static uint64_t random_state = 88172645463325252;

static uint64_t random_bits(void) /* xorshift64, Marsaglia 2003 */
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void address(uint8_t out[16], int v4)
{
	const uint64_t bits = random_bits();

	memset(out, 0, 16);
	if (v4) {
		out[10] = out[11] = 0xFF;
		out[12] = 10;
		memcpy(out + 13, &bits, 3);
	} else {
		out[0] = 0x2a;
		memcpy(out + 2, &bits, 6);
	}
}

static int never(void *arg, uint32_t a, uint32_t b)
{
	return 0;
}

static void measure(size_t n)
{
	struct prefix *prefixes = calloc(n, sizeof(*prefixes));
	uint8_t(*asked)[16] = calloc(1 << 16, sizeof(*asked));
	struct prefix_map *m;
	uint64_t found = 0;
	size_t shared;
	double start, build_s, find_s;

	for (size_t i = 0; i < n; i++) {
		struct prefix *p = &prefixes[i];

		address(p->first, i % 2);
		p->bits = i % 2 ? 124 : 48;
		if (i % 2)
			p->first[15] &= 0xF0;
		else
			p->first[6] = p->first[7] = 0;
		p->order = (uint32_t)i;
		p->value = 1 + (uint32_t)i % 1000;
	}
	for (size_t i = 0; i < 1 << 16; i++) {
		address(asked[i], i % 2);
		if (i % 4 < 2) /* in one that is there */
			memcpy(asked[i], prefixes[random_bits() % n].first, 16);
	}
	start = cpu_s();
	m = prefix_map_open(prefixes, n, &shared, never, NULL);
	build_s = cpu_s() - start;
	start = cpu_s();
	for (size_t i = 0; i < ASKED; i++)
		found += prefix_map_find(m, asked[i & 0xFFFF]) != 0;
	find_s = cpu_s() - start;
	printf("%7zu prefixes: %.0f ns a look-up (%.0f %% found), laid flat in %.2f s\n", n,
	       find_s * 1e9 / ASKED, 100.0 * (double)found / ASKED, build_s);
	prefix_map_close(m);
	free(prefixes);
	free(asked);
}

int main(void)
{
	measure(20);
	measure(2100); /* about as many as CRIC has */
	measure(100000);
	measure(1000000);
	return 0;
}
