/* Small MaxMind DB files, byte by byte after the format's description, version 2.0: a search tree of 32-bit records,
 * the data section, the metadata. */
#ifndef TESTS_UNIT_MMDB_BUILD_H
#define TESTS_UNIT_MMDB_BUILD_H

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MMDB_B_STRING = 2,
	MMDB_B_DOUBLE = 3,
	MMDB_B_UINT16 = 5,
	MMDB_B_UINT32 = 6,
	MMDB_B_MAP = 7,
	MMDB_B_UINT64 = 9,
	MMDB_B_ARRAY = 11
};

#define MMDB_B_NODES 20000
#define MMDB_B_BYTES 65536

struct mmdb_build {
	int depth; /* 128, or 32 for a file of IPv4 alone */
	uint32_t n_nodes;
	int64_t nodes[MMDB_B_NODES][2]; /* 0 nothing, n a node, -1 - n a record at n of the data */
	size_t n_data;
	uint8_t data[MMDB_B_BYTES];
};

static inline void mmdb_begin(struct mmdb_build *b, int ip_version)
{
	memset(b, 0, sizeof(*b));
	b->depth = ip_version == 6 ? 128 : 32;
	b->n_nodes = 1;
}

static inline size_t mmdb_byte(struct mmdb_build *b, unsigned int byte)
{
	if (b->n_data == sizeof(b->data))
		abort();
	b->data[b->n_data] = (uint8_t)byte;
	return b->n_data++;
}

/* Control byte and what follows it: type and size. Returns where it stands. */
static inline size_t mmdb_control(struct mmdb_build *b, unsigned int type, size_t size)
{
	const unsigned int low = size < 29 ? (unsigned int)size : size < 285 ? 29 : 30;
	const size_t at = mmdb_byte(b, (type > 7 ? 0 : type) << 5 | low);

	if (type > 7)
		mmdb_byte(b, type - 7);
	if (low == 29)
		mmdb_byte(b, (unsigned int)size - 29);
	if (low == 30) {
		mmdb_byte(b, (unsigned int)(size - 285) >> 8);
		mmdb_byte(b, (unsigned int)(size - 285) & 0xFF);
	}
	return at;
}

static inline size_t mmdb_map(struct mmdb_build *b, size_t pairs)
{
	return mmdb_control(b, MMDB_B_MAP, pairs);
}

static inline size_t mmdb_string(struct mmdb_build *b, const char *text)
{
	const size_t at = mmdb_control(b, MMDB_B_STRING, strlen(text));

	while (*text)
		mmdb_byte(b, (unsigned char)*text++);
	return at;
}

static inline void mmdb_number(struct mmdb_build *b, unsigned int type, uint64_t n, size_t size)
{
	mmdb_control(b, type, size);
	while (size-- > 0)
		mmdb_byte(b, (unsigned int)(n >> 8 * size) & 0xFF);
}

static inline void mmdb_double(struct mmdb_build *b, double d)
{
	uint64_t bits;

	memcpy(&bits, &d, 8);
	mmdb_number(b, MMDB_B_DOUBLE, bits, 8);
}

/* IPv4 lies under ::/96 in a tree of IPv6. */
static inline void mmdb_insert(struct mmdb_build *b, const char *address, int bits, size_t record)
{
	uint8_t ip[16] = {0};
	int64_t *to = NULL;
	uint32_t node = 0;

	if (inet_pton(AF_INET, address, b->depth == 32 ? ip : ip + 12) == 1)
		bits += b->depth - 32;
	else if (inet_pton(AF_INET6, address, ip) != 1)
		abort();
	for (int i = 0; i < bits; i++) {
		to = &b->nodes[node][ip[i / 8] >> (7 - i % 8) & 1];
		if (i == bits - 1)
			break;
		if (!*to) {
			if (b->n_nodes == MMDB_B_NODES)
				abort();
			*to = b->n_nodes++;
		}
		node = (uint32_t)*to;
	}
	*to = -1 - (int64_t)record;
}

static inline void mmdb_put32(FILE *f, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		fputc((int)(v >> shift & 0xFF), f);
}

static inline void mmdb_write(struct mmdb_build *b, const char *path, const char *type)
{
	static struct mmdb_build m; /* for its data section: the metadata are coded alike */
	FILE *f = fopen(path, "wb");

	if (!f)
		abort();
	for (uint32_t i = 0; i < b->n_nodes; i++) {
		for (int bit = 0; bit < 2; bit++) {
			const int64_t to = b->nodes[i][bit];

			mmdb_put32(f, !to      ? b->n_nodes
				      : to > 0 ? (uint32_t)to
					       : b->n_nodes + 16 + (uint32_t)(-1 - to));
		}
	}
	fwrite((const uint8_t[16]){0}, 1, 16, f);
	fwrite(b->data, 1, b->n_data, f);
	mmdb_begin(&m, 6);
	mmdb_map(&m, 9);
	mmdb_string(&m, "binary_format_major_version");
	mmdb_number(&m, MMDB_B_UINT16, 2, 1);
	mmdb_string(&m, "binary_format_minor_version");
	mmdb_number(&m, MMDB_B_UINT16, 0, 0);
	mmdb_string(&m, "build_epoch");
	mmdb_number(&m, MMDB_B_UINT64, 1767225600, 4);
	mmdb_string(&m, "database_type");
	mmdb_string(&m, type);
	mmdb_string(&m, "description");
	mmdb_map(&m, 1);
	mmdb_string(&m, "en");
	mmdb_string(&m, "made by a test");
	mmdb_string(&m, "ip_version");
	mmdb_number(&m, MMDB_B_UINT16, b->depth == 128 ? 6 : 4, 1);
	mmdb_string(&m, "languages");
	mmdb_control(&m, MMDB_B_ARRAY, 1);
	mmdb_string(&m, "en");
	mmdb_string(&m, "node_count");
	mmdb_number(&m, MMDB_B_UINT32, b->n_nodes, 4);
	mmdb_string(&m, "record_size");
	mmdb_number(&m, MMDB_B_UINT16, 32, 1);
	fwrite("\xab\xcd\xefMaxMind.com", 1, 14, f);
	fwrite(m.data, 1, m.n_data, f);
	fclose(f);
}

#endif
