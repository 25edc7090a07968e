/* Numbers for names: given once, kept for ever, found both ways. Numbers ascend from 1, so that
 * what is not in the database yet is what lies above a mark. Any thread. */
#ifndef STORE_IDS_H
#define STORE_IDS_H

#include "store/store.h"

struct ids; /* opaque */

/* Numbers 1 to max - 1. NULL: no memory. */
struct ids *ids_open(uint16_t max);
void ids_close(struct ids *i);
/* What the database has, in any order, before anything else. */
void ids_load(struct ids *i, uint16_t id, const char *name);
/* A name's number, a new one where it has none; 0 when there is none left. A name is cut to
 * STORE_NAME_BYTES - 1. */
uint16_t ids_make(struct ids *i, const char *name);
int ids_find(struct ids *i, const char *name); /* -ENOENT */
/* Never changes once it is there; "" when it is not. */
const char *ids_name(struct ids *i, uint16_t id);
uint16_t ids_last(struct ids *i); /* the largest number given; 0 none */

#endif
