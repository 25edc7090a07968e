/* Whose address is it: the longest prefix among the operator's own, CRIC's sites (or the mmdb the
 * collectors make of them), and country and network of GeoLite-style files. Nothing loaded: every answer is
 * "not known", never an error. Immutable after open; any thread. */
#ifndef JOIN_SITES_H
#define JOIN_SITES_H

#include <stddef.h>
#include <stdint.h>
#include "store/store.h"

#define SITES_MAX         STORE_SITES_MAX
#define SITE_PREFIXES_CAP 1000000

struct sites; /* opaque */

struct sites_config {
	const char *cric;         /* JSON of CRIC's rcsite query, or cric.mmdb; NULL none */
	const char *asn_mmdb;     /* GeoLite2-ASN or alike; NULL */
	const char *country_mmdb; /* GeoLite2-Country or -City; NULL */
	const char *const *own;   /* "NAME=PREFIX", the operator's: wins over everything */
	size_t n_own;
};

struct site_info {
	uint16_t id; /* store_site_id; 0: no site, only what follows may be known */
	char name[64];
	char country[3];  /* ISO 3166-1 alpha-2, "" */
	char network[64]; /* netsite of CRIC, or the AS's name */
	uint32_t asn;     /* 0 none */
	int8_t tier;      /* -1 unknown */
	uint8_t has_place;
	double latitude, longitude;
};

/* Opens what is there. A file that is missing or broken is said in the log and in why, and left out: 0; only
 * -ENOMEM is an error. */
int sites_open(struct sites **out, const struct sites_config *cfg, struct store *store, char *why,
	       size_t why_cap_bytes);
void sites_close(struct sites *s);

/* The site of an address; 0 none. s may be NULL. Quick: called for each new flow. */
uint16_t sites_find(const struct sites *s, const uint8_t ip[16]);
/* Everything known about an address, and about a site by its number. 0 or -ENOENT. */
int sites_of_address(const struct sites *s, const uint8_t ip[16], struct site_info *out);
int sites_of_id(const struct sites *s, uint16_t id, struct site_info *out);
/* For the health page: "CRIC 170 sites, 2,100 prefixes; ASN; 3 own", and how many prefixes two sites share. */
void sites_describe(const struct sites *s, char *buf, size_t cap_bytes);

#endif
