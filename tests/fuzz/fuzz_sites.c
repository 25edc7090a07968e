/* Any bytes as CRIC's JSON: read or refused, within bounds; and every prefix that was read leads to a site. */
#include <stdint.h>
#include <stdlib.h>

#include "join/sites_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len_bytes);

static int same_site(void *arg, uint32_t a, uint32_t b)
{
	const struct site_list *l = arg;

	return l->places[a - 1].site == l->places[b - 1].site;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len_bytes)
{
	struct site_list list = {0};
	struct prefix_map *m;
	char why[160] = "";
	size_t shared;

	if (cric_read_json(&list, bytes, len_bytes, why, sizeof(why))) {
		if (list.n_sites || !*why)
			abort();
		return 0;
	}
	m = prefix_map_open(list.prefixes, list.n_prefixes, &shared, same_site, &list);
	for (size_t i = 0; i < list.n_prefixes; i++) {
		const uint32_t value = prefix_map_find(m, list.prefixes[i].first);

		if (!value || value > list.n_places || list.places[value - 1].site >= list.n_sites)
			abort();
	}
	prefix_map_close(m);
	site_list_clear(&list);
	return 0;
}
