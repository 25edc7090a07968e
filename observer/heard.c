#include <stdlib.h>

#include "observer/heard.h"

#define ROOM_MIN 64

struct heard *heard_add(struct heard_list *l)
{
	size_t room = l->room;
	struct heard *items;

	if (l->n < room)
		return &l->items[l->n++];
	if (room == HEARD_MAX)
		return NULL;
	room = room ? 2 * room : ROOM_MIN;
	if (room > HEARD_MAX)
		room = HEARD_MAX;
	items = realloc(l->items, room * sizeof(*items));
	if (!items)
		return NULL;
	l->items = items;
	l->room = room;
	return &l->items[l->n++];
}

size_t heard_take(struct heard_list *l, struct heard **out)
{
	const size_t n = l->n;

	*out = l->items;
	*l = (struct heard_list){0};
	return n;
}
