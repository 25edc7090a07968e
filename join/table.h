/* A bounded table of records by flow key: found by SipHash-2-4 with a key drawn at start, so that
 * nobody can aim at a place (Aumasson and Bernstein 2012), and kept in order of use, so that the one
 * idle for longest is known. Records stand still in one array and are named by number. Memory is
 * reserved at once and touched as it fills. One thread. */
#ifndef JOIN_TABLE_H
#define JOIN_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include "wire/flow_key.h"

#define TABLE_NONE    UINT32_MAX
#define TABLE_CLASSES 6 /* lists by order of use; what they mean is the caller's */

struct table; /* opaque */

/* record_bytes of each; their first member is a struct flow_key. NULL: no memory. */
struct table *table_open(uint32_t records_max, uint32_t record_bytes);
void table_close(struct table *t);

/* The two ends in one order for both directions, the family as the addresses have it (v4-mapped: 4). Returns 1 when
 * they were exchanged. out may be key. */
int table_key(struct flow_key *out, const struct flow_key *key);

/* Keys are compared as they are: give these what table_key made, if both directions are to meet. */
uint32_t table_find(const struct table *t, const struct flow_key *key); /* TABLE_NONE */
/* A zeroed record with this key, newest of class 0. The table must not be full and not have it. */
uint32_t table_add(struct table *t, const struct flow_key *key);
/* The same in steps, for who knows what he will look for next: memory is on its way meanwhile. */
uint32_t table_hash(const struct table *t, const struct flow_key *key);
void table_fetch_slot(const struct table *t, uint32_t hash);
void table_fetch_record(const struct table *t, uint32_t hash); /* what the slot has */
uint32_t table_find_hashed(const struct table *t, const struct flow_key *key, uint32_t hash);
uint32_t table_add_hashed(struct table *t, const struct flow_key *key, uint32_t hash);
void table_remove(struct table *t, uint32_t at);
/* NULL: nothing has this number. Numbers are below table_max. */
void *table_record(const struct table *t, uint32_t at);
/* Make it the newest of a class. */
void table_touch(struct table *t, uint32_t at, unsigned int class_);
/* The one idle for longest of this class, and the next newer one; TABLE_NONE. */
uint32_t table_oldest(const struct table *t, unsigned int class_);
uint32_t table_newer(const struct table *t, uint32_t at);
uint32_t table_count(const struct table *t);
uint32_t table_max(const struct table *t);
size_t table_memory_bytes(const struct table *t);  /* reserved */
size_t table_touched_bytes(const struct table *t); /* of these, what was ever used */

#endif
