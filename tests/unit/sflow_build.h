/* Writes sFlow v5 datagrams for tests, word by word, with the lengths filled in behind. */
#ifndef TESTS_SFLOW_BUILD_H
#define TESTS_SFLOW_BUILD_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct build {
	uint8_t bytes[65536];
	size_t n;
};

static inline void put_bytes(struct build *b, const void *bytes, size_t n)
{
	assert(b->n + n <= sizeof(b->bytes));
	memcpy(b->bytes + b->n, bytes, n);
	b->n += n;
}

static inline void set32(struct build *b, size_t at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		b->bytes[at + (size_t)i] = (uint8_t)(v >> (24 - 8 * i));
}

static inline void put32(struct build *b, uint32_t v)
{
	b->n += 4;
	assert(b->n <= sizeof(b->bytes));
	set32(b, b->n - 4, v);
}

static inline void put64(struct build *b, uint64_t v)
{
	put32(b, (uint32_t)(v >> 32));
	put32(b, (uint32_t)v);
}

/* put_words(b, 1, 2, 3): as many 32-bit words */
#define put_words(b, ...)                                                          \
	do {                                                                       \
		const uint32_t words_[] = {__VA_ARGS__};                           \
		for (size_t i_ = 0; i_ < sizeof(words_) / sizeof(words_[0]); i_++) \
			put32(b, words_[i_]);                                      \
	} while (0)

/* A tag and a length that end_part fills in. */
static inline size_t begin_part(struct build *b, uint32_t tag)
{
	put32(b, tag);
	put32(b, 0);
	return b->n;
}

static inline void end_part(struct build *b, size_t begun_at)
{
	set32(b, begun_at - 4, (uint32_t)(b->n - begun_at));
}

/* The header, agent 192.0.2.`agent`. */
static inline void put_datagram(struct build *b, uint8_t agent, uint32_t sub_agent,
				uint32_t sequence, uint32_t uptime_ms, uint32_t n_samples)
{
	b->n = 0;
	put_words(b, 5, 1, 0xC0000200u | agent, sub_agent, sequence, uptime_ms, n_samples);
}

/* A flow sample 0:1 up to and with its number of records; data source 0/3, from 3 to 5. */
static inline size_t begin_flow(struct build *b, uint32_t sequence, uint32_t rate, uint32_t pool,
				uint32_t drops, uint32_t n_records)
{
	size_t at = begin_part(b, 1);

	put_words(b, sequence, 3, rate, pool, drops, 3, 5, n_records);
	return at;
}

static inline void put_raw_header(struct build *b, uint32_t protocol, uint32_t frame_bytes,
				  const void *header, uint32_t header_bytes)
{
	static const uint8_t zeros[4];
	size_t at = begin_part(b, 1);

	put_words(b, protocol, frame_bytes, 4, header_bytes);
	put_bytes(b, header, header_bytes);
	put_bytes(b, zeros, -header_bytes & 3);
	end_part(b, at);
}

/* A counter sample 0:2 with generic interface counters; data source 0/if_index. */
static inline void put_if_counters(struct build *b, uint32_t sequence, uint32_t if_index,
				   uint64_t speed_bps, uint64_t in_octets, uint64_t out_octets)
{
	size_t sample = begin_part(b, 2), record;

	put_words(b, sequence, if_index, 1);
	record = begin_part(b, 1);
	put_words(b, if_index, 6);
	put64(b, speed_bps);
	put_words(b, 1, 3); /* full duplex; up and up */
	put64(b, in_octets);
	put_words(b, 101, 102, 103, 104, 105, 106); /* packets by kind, discards, errors, unknown */
	put64(b, out_octets);
	put_words(b, 201, 202, 203, 204, 205, 1); /* ... promiscuous */
	end_part(b, record);
	end_part(b, sample);
}

/* An exact-size heap copy: one byte too far is a report. The caller frees it. */
static inline uint8_t *exact_copy(const void *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	assert(copy);
	if (n)
		memcpy(copy, bytes, n);
	return copy;
}

/* A file of hex digits, blanks and newlines. Returns the number of bytes, 0 when it is not there. */
static inline size_t read_hex(const char *path, uint8_t *out, size_t cap)
{
	FILE *f = fopen(path, "r");
	unsigned int byte;
	size_t n = 0;

	if (!f)
		return 0;
	while (n < cap && fscanf(f, " %2x", &byte) == 1)
		out[n++] = (uint8_t)byte;
	fclose(f);
	return n;
}

#endif
