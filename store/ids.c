#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store/ids.h"

struct ids {
	pthread_mutex_t lock;
	uint16_t max, last;
	uint32_t n_slots; /* a power of two, at least twice max */
	uint16_t *slots;  /* hash of names: numbers; 0 empty */
	char (*names)[STORE_NAME_BYTES];
};

struct ids *ids_open(uint16_t max)
{
	struct ids *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	pthread_mutex_init(&i->lock, NULL);
	i->max = max;
	for (i->n_slots = 2; i->n_slots < 2u * max; i->n_slots *= 2)
		;
	i->slots = calloc(i->n_slots, sizeof(*i->slots));
	i->names = calloc(max, sizeof(*i->names));
	if (i->slots && i->names)
		return i;
	ids_close(i);
	return NULL;
}

void ids_close(struct ids *i)
{
	if (!i)
		return;
	pthread_mutex_destroy(&i->lock);
	free(i->slots);
	free(i->names);
	free(i);
}

/* The slot of a name, or the empty one where it belongs; FNV-1a. */
static uint32_t slot_of(const struct ids *i, const char *name)
{
	uint32_t h = 0x811c9dc5u;

	for (const char *c = name; *c; c++)
		h = (h ^ (unsigned char)*c) * 0x01000193u;
	for (h &= i->n_slots - 1; i->slots[h]; h = (h + 1) & (i->n_slots - 1))
		if (strcmp(i->names[i->slots[h]], name) == 0)
			break;
	return h;
}

static void cut(char to[static STORE_NAME_BYTES], const char *name)
{
	snprintf(to, STORE_NAME_BYTES, "%s", name);
}

static void keep(struct ids *i, uint32_t slot, uint16_t id, const char *name)
{
	strcpy(i->names[id], name);
	i->slots[slot] = id;
	if (id > i->last)
		i->last = id;
}

void ids_load(struct ids *i, uint16_t id, const char *name)
{
	char text[STORE_NAME_BYTES];
	uint32_t slot;

	cut(text, name);
	slot = slot_of(i, text);
	if (id && id < i->max && !i->slots[slot])
		keep(i, slot, id, text);
}

uint16_t ids_make(struct ids *i, const char *name)
{
	char text[STORE_NAME_BYTES];
	uint32_t slot;
	uint16_t id;

	cut(text, name);
	pthread_mutex_lock(&i->lock);
	slot = slot_of(i, text);
	if (!i->slots[slot] && i->last + 1 < i->max)
		keep(i, slot, (uint16_t)(i->last + 1), text);
	id = i->slots[slot];
	pthread_mutex_unlock(&i->lock);
	return id;
}

int ids_find(struct ids *i, const char *name)
{
	char text[STORE_NAME_BYTES];
	int id;

	cut(text, name);
	pthread_mutex_lock(&i->lock);
	id = i->slots[slot_of(i, text)];
	pthread_mutex_unlock(&i->lock);
	return id ? id : -ENOENT;
}

const char *ids_name(struct ids *i, uint16_t id)
{
	const char *name = "";

	pthread_mutex_lock(&i->lock);
	if (id < i->max)
		name = i->names[id];
	pthread_mutex_unlock(&i->lock);
	return name;
}

uint16_t ids_last(struct ids *i)
{
	uint16_t last;

	pthread_mutex_lock(&i->lock);
	last = i->last;
	pthread_mutex_unlock(&i->lock);
	return last;
}
