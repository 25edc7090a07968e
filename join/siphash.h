/* SipHash-2-4 (Aumasson and Bernstein 2012): a hash whose collisions nobody without the key can
 * make, for tables that strangers fill. */
#ifndef JOIN_SIPHASH_H
#define JOIN_SIPHASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void siphash_round(uint64_t v[4])
{
#define SIPHASH_ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))
	v[0] += v[1];
	v[1] = SIPHASH_ROTL(v[1], 13) ^ v[0];
	v[0] = SIPHASH_ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = SIPHASH_ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = SIPHASH_ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = SIPHASH_ROTL(v[1], 17) ^ v[2];
	v[2] = SIPHASH_ROTL(v[2], 32);
#undef SIPHASH_ROTL
}

static inline uint64_t siphash(const uint64_t key[2], const void *bytes, size_t len_bytes)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
			 key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
	const uint8_t *p = (const uint8_t *)bytes;
	uint64_t last = (uint64_t)len_bytes << 56, word;

	for (; len_bytes >= 8; len_bytes -= 8, p += 8) {
		memcpy(&word, p, 8);
		word = le64toh(word);
		v[3] ^= word;
		siphash_round(v);
		siphash_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < len_bytes; i++)
		last |= (uint64_t)p[i] << 8 * i;
	v[3] ^= last;
	siphash_round(v);
	siphash_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		siphash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
