/* A hash for bounded tables that strangers fill: FNV-1a from a secret start, so that nobody can aim at
 * a place, and the mixing of splitmix64, so that the low bits are as good as any. Tables bound their
 * probes all the same. */
#ifndef OBSERVER_HASH_H
#define OBSERVER_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>

#include "base/clock.h"

static inline uint64_t hash_secret(void)
{
	uint64_t secret;

	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		secret = (uint64_t)clock_mono_ns();
	return secret;
}

/* Chain calls through `h`; the first gets the secret. */
static inline uint64_t hash_bytes(uint64_t h, const void *bytes, size_t len_bytes)
{
	const uint8_t *p = (const uint8_t *)bytes;

	for (size_t i = 0; i < len_bytes; i++)
		h = (h ^ p[i]) * 0x100000001B3u;
	h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9u;
	h = (h ^ h >> 27) * 0x94D049BB133111EBu;
	return h ^ h >> 31;
}

#endif
