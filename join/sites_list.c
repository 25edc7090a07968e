#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "join/sites_list.h"

void site_list_clear(struct site_list *l)
{
	free(l->sites);
	free(l->places);
	free(l->prefixes);
	*l = (struct site_list){0};
}

void site_text(char *out, size_t cap_bytes, const char *text, size_t len_bytes)
{
	size_t n = len_bytes < cap_bytes ? len_bytes : cap_bytes - 1;

	while (n < len_bytes && n && ((unsigned char)text[n] & 0xC0) == 0x80)
		n--; /* not in the middle of a character */
	for (size_t i = 0; i < n; i++)
		out[i] = (char)((unsigned char)text[i] < ' ' || text[i] == 0x7F ? '?' : text[i]);
	out[n] = 0;
}

/* Room for one more. */
static int make_room(void *items, size_t *room, size_t n, size_t item_bytes)
{
	void **all = items, *more;
	const size_t wanted = *room ? 2 * *room : 64;

	if (n < *room)
		return 0;
	more = realloc(*all, wanted * item_bytes);
	if (!more)
		return -ENOMEM;
	*all = more;
	*room = wanted;
	return 0;
}

int site_list_site(struct site_list *l, const char *name, size_t len_bytes)
{
	char wanted[sizeof(l->sites->name)];

	site_text(wanted, sizeof(wanted), name, len_bytes);
	for (size_t i = l->n_sites; *wanted && i-- > 0;) /* the newest is asked for most */
		if (strcmp(l->sites[i].name, wanted) == 0)
			return (int)i;
	if (!*wanted || l->n_sites == SITES_MAX) {
		l->left_out++;
		return -ENOENT;
	}
	if (make_room(&l->sites, &l->sites_room, l->n_sites, sizeof(*l->sites)))
		return -ENOMEM;
	l->sites[l->n_sites] = (struct site_info){.tier = -1};
	memcpy(l->sites[l->n_sites].name, wanted, sizeof(wanted));
	return (int)l->n_sites++;
}

int site_list_place(struct site_list *l, uint32_t site, const char *network, uint32_t asn)
{
	struct site_place *p;

	if (make_room(&l->places, &l->places_room, l->n_places, sizeof(*l->places)))
		return -ENOMEM;
	p = &l->places[l->n_places];
	*p = (struct site_place){.site = site, .asn = asn};
	site_text(p->network, sizeof(p->network), network, strlen(network));
	return (int)l->n_places++;
}

int site_list_prefix(struct site_list *l, const struct prefix *prefix, uint32_t place)
{
	struct prefix *p;

	if (l->n_prefixes == SITE_PREFIXES_CAP) {
		l->left_out++;
		return 0;
	}
	if (make_room(&l->prefixes, &l->prefixes_room, l->n_prefixes, sizeof(*l->prefixes)))
		return -ENOMEM;
	p = &l->prefixes[l->n_prefixes];
	*p = *prefix;
	p->order = (uint32_t)l->n_prefixes++;
	p->value = place + 1;
	return 0;
}
