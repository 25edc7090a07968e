/* What site files are read into: sites, the networks of each, their prefixes. Inside of join/sites*.c; grows as it
 * must, within SITES_MAX and SITE_PREFIXES_CAP; what does not fit or is not understood is counted. */
#ifndef JOIN_SITES_LIST_H
#define JOIN_SITES_LIST_H

#include "join/prefix_map.h"
#include "join/sites.h"

struct site_place { /* what a prefix leads to */
	uint32_t site;
	uint32_t asn;
	char network[64];
};
struct site_list { /* all zero: empty */
	size_t n_sites, n_places, n_prefixes;
	size_t sites_room, places_room, prefixes_room;
	struct site_info *sites; /* id is 0 yet */
	struct site_place *places;
	struct prefix *prefixes; /* value: number of its place and one */
	uint64_t bad_prefixes;   /* not understood, or wider than any site */
	uint64_t left_out; /* sites and prefixes beyond the bounds, or without a usable name */
};

void site_list_clear(struct site_list *l);
/* Copy at most cap - 1 bytes, whole characters of UTF-8. */
void site_text(char *out, size_t cap_bytes, const char *text, size_t len_bytes);
/* Number of the site of this name, found or made; -ENOENT (left out, counted) or -ENOMEM. */
int site_list_site(struct site_list *l, const char *name, size_t len_bytes);
/* Its place of this network; -ENOMEM. */
int site_list_place(struct site_list *l, uint32_t site, const char *network, uint32_t asn);
/* 0, also when it was left out and counted; -ENOMEM. */
int site_list_prefix(struct site_list *l, const struct prefix *prefix, uint32_t place);

/* CRIC's answer to its rcsite query, as bytes. 0, -EBADMSG (no JSON object; *l untouched), -ENOMEM. */
int cric_read_json(struct site_list *l, const void *bytes, size_t len_bytes, char *why,
		   size_t why_cap_bytes);
/* A cric.mmdb: GeoLite2-City in shape, CRIC's fields as JSON in the city's name. Likewise. */
int cric_read_mmdb(struct site_list *l, const char *path, char *why, size_t why_cap_bytes);
/* Either, told by its contents. Also -ENOENT and alike, -EFBIG. */
int cric_read(struct site_list *l, const char *path, char *why, size_t why_cap_bytes);

#endif
