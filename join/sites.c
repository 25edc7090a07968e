#include <errno.h>
#include <jansson.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "join/sites_list.h"

struct sites {
	struct site_list list; /* prefixes are gone: they are in the map */
	struct prefix_map *map;
	uint32_t *by_id; /* number of the site of this store_site_id and one; 0 none */
	MMDB_s asn, country;
	int has_asn, has_country;
	size_t n_cric_sites, n_cric_prefixes, n_own, n_shared, n_unnumbered;
};

/* --- opening ------------------------------------------------------------------------------------- */

static void complain(char *why, size_t why_cap_bytes, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Said in the log, and gathered in why. */
static void complain(char *why, size_t why_cap_bytes, const char *fmt, ...)
{
	const size_t at = strlen(why);
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_msg(LOG_LEVEL_WARN, "sites", "%s", text);
	snprintf(why + at, why_cap_bytes - at, "%s%s", at ? "; " : "", text);
}

static int add_cric(struct sites *s, const char *path, char *why, size_t why_cap_bytes)
{
	struct site_list read = {0};
	char reason[160] = "";
	int err;

	if (!path || !*path)
		return 0;
	err = cric_read(&read, path, reason, sizeof(reason));
	if (!err) {
		s->list = read;
		s->n_cric_sites = read.n_sites;
		s->n_cric_prefixes = read.n_prefixes;
		return 0;
	}
	site_list_clear(&read); /* half a file would move traffic between sites: none of it */
	if (err == -ENOMEM)
		return err;
	complain(why, why_cap_bytes, "sites.cric: %s: %s", path, reason);
	return 0;
}

static int add_own(struct sites *s, const struct sites_config *cfg, char *why, size_t why_cap_bytes)
{
	for (size_t i = 0; i < cfg->n_own; i++) {
		const char *equals = strchr(cfg->own[i], '=');
		struct prefix prefix;
		int site, place;

		if (!equals || equals == cfg->own[i] || prefix_parse(&prefix, equals + 1)) {
			complain(why, why_cap_bytes, "sites.own: '%s' is no NAME=PREFIX",
				 cfg->own[i]);
			continue;
		}
		site = site_list_site(&s->list, cfg->own[i], (size_t)(equals - cfg->own[i]));
		place = site < 0 ? site : site_list_place(&s->list, (uint32_t)site, "", 0);
		prefix.wins = 1;
		if (place == -ENOMEM ||
		    (place >= 0 && site_list_prefix(&s->list, &prefix, (uint32_t)place)))
			return -ENOMEM;
		s->n_own += place >= 0;
	}
	return 0;
}

static int open_mmdb(MMDB_s *db, const char *option, const char *path, char *why,
		     size_t why_cap_bytes)
{
	int status;

	if (!path || !*path)
		return 0;
	status = MMDB_open(path, MMDB_MODE_MMAP, db);
	if (status != MMDB_SUCCESS)
		complain(why, why_cap_bytes, "%s: %s: %s", option, path, MMDB_strerror(status));
	return status == MMDB_SUCCESS;
}

static int same_site(void *arg, uint32_t a, uint32_t b)
{
	const struct site_list *l = arg;

	return l->places[a - 1].site == l->places[b - 1].site;
}

static int make_map(struct sites *s)
{
	s->map = prefix_map_open(s->list.prefixes, s->list.n_prefixes, &s->n_shared, same_site,
				 &s->list);
	free(s->list.prefixes);
	s->list.prefixes = NULL;
	return s->map ? 0 : -ENOMEM;
}

static int number_sites(struct sites *s, struct store *store)
{
	s->by_id = calloc(UINT16_MAX + 1, sizeof(*s->by_id));
	if (!s->by_id)
		return -ENOMEM;
	for (size_t i = 0; i < s->list.n_sites; i++) {
		struct site_info *site = &s->list.sites[i];

		site->id = store_site_id(store, site->name);
		if (site->id)
			s->by_id[site->id] = (uint32_t)i + 1;
		else
			s->n_unnumbered++;
	}
	return 0;
}

int sites_open(struct sites **out, const struct sites_config *cfg, struct store *store, char *why,
	       size_t why_cap_bytes)
{
	struct sites *s = calloc(1, sizeof(*s));
	int err;

	*why = 0;
	if (!s)
		return -ENOMEM;
	err = add_cric(s, cfg->cric, why, why_cap_bytes);
	if (!err)
		err = add_own(s, cfg, why, why_cap_bytes);
	if (!err)
		err = make_map(s);
	if (!err)
		err = number_sites(s, store);
	if (err) {
		sites_close(s);
		return err;
	}
	s->has_asn = open_mmdb(&s->asn, "sites.asn", cfg->asn_mmdb, why, why_cap_bytes);
	s->has_country =
		open_mmdb(&s->country, "sites.country", cfg->country_mmdb, why, why_cap_bytes);
	*out = s;
	return 0;
}

void sites_close(struct sites *s)
{
	if (!s)
		return;
	prefix_map_close(s->map);
	site_list_clear(&s->list);
	free(s->by_id);
	if (s->has_asn)
		MMDB_close(&s->asn);
	if (s->has_country)
		MMDB_close(&s->country);
	free(s);
}

/* --- answers ------------------------------------------------------------------------------------- */

static const struct site_place *place_of(const struct sites *s, const uint8_t ip[16])
{
	const uint32_t value = s ? prefix_map_find(s->map, ip) : 0;

	return value ? &s->list.places[value - 1] : NULL;
}

uint16_t sites_find(const struct sites *s, const uint8_t ip[16])
{
	const struct site_place *place = place_of(s, ip);

	return place ? s->list.sites[place->site].id : 0;
}

static int look_up(const MMDB_s *db, const uint8_t ip[16], MMDB_entry_s *out)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	const struct sockaddr *address = (const struct sockaddr *)&in6;
	MMDB_lookup_result_s found;
	int err = 0;

	memcpy(&in6.sin6_addr, ip, 16);
	if (flow_ip_is_ipv4(ip)) {
		memcpy(&in4.sin_addr, ip + 12, 4);
		address = (const struct sockaddr *)&in4;
	}
	found = MMDB_lookup_sockaddr(db, address, &err);
	if (err != MMDB_SUCCESS || !found.found_entry)
		return 0;
	*out = found.entry;
	return 1;
}

static int value_at(MMDB_entry_s *entry, const char *const *path, uint32_t type,
		    MMDB_entry_data_s *out)
{
	return MMDB_aget_value(entry, out, path) == MMDB_SUCCESS && out->has_data &&
	       out->type == type;
}

/* A foreign text may be none. */
static void copy_name(char *out, size_t cap_bytes, const MMDB_entry_data_s *data)
{
	json_t *text = json_stringn(data->utf8_string, data->data_size); /* checks UTF-8 */

	if (text)
		site_text(out, cap_bytes, data->utf8_string, data->data_size);
	json_decref(text);
}

static int ask_asn(const struct sites *s, const uint8_t ip[16], struct site_info *out)
{
	static const char *const number[] = {"autonomous_system_number", NULL};
	static const char *const name[] = {"autonomous_system_organization", NULL};
	MMDB_entry_data_s data;
	MMDB_entry_s entry;

	if (!s->has_asn || !look_up(&s->asn, ip, &entry))
		return 0;
	if (!out->asn && value_at(&entry, number, MMDB_DATA_TYPE_UINT32, &data))
		out->asn = data.uint32;
	if (!*out->network && value_at(&entry, name, MMDB_DATA_TYPE_UTF8_STRING, &data))
		copy_name(out->network, sizeof(out->network), &data);
	return out->asn || *out->network;
}

static int ask_country(const struct sites *s, const uint8_t ip[16], struct site_info *out)
{
	static const char *const there[] = {"country", "iso_code", NULL};
	static const char *const registered[] = {"registered_country", "iso_code", NULL};
	static const char *const latitude[] = {"location", "latitude", NULL};
	static const char *const longitude[] = {"location", "longitude", NULL};
	MMDB_entry_data_s data, other;
	MMDB_entry_s entry;

	if (!s->has_country || !look_up(&s->country, ip, &entry))
		return 0;
	if (!*out->country &&
	    (value_at(&entry, there, MMDB_DATA_TYPE_UTF8_STRING, &data) ||
	     value_at(&entry, registered, MMDB_DATA_TYPE_UTF8_STRING, &data)) &&
	    data.data_size == 2)
		site_text(out->country, sizeof(out->country), data.utf8_string, 2);
	if (!out->has_place && value_at(&entry, latitude, MMDB_DATA_TYPE_DOUBLE, &data) &&
	    value_at(&entry, longitude, MMDB_DATA_TYPE_DOUBLE, &other)) {
		out->latitude = data.double_value;
		out->longitude = other.double_value;
		out->has_place = 1;
	}
	return *out->country || out->has_place;
}

int sites_of_address(const struct sites *s, const uint8_t ip[16], struct site_info *out)
{
	const struct site_place *place = place_of(s, ip);
	struct site_info info = {.tier = -1};
	int known = place != NULL;

	if (!s)
		return -ENOENT;
	if (place) {
		info = s->list.sites[place->site];
		info.asn = place->asn;
		memcpy(info.network, place->network, sizeof(info.network));
	}
	known |= ask_asn(s, ip, &info);
	known |= ask_country(s, ip, &info);
	if (!known)
		return -ENOENT;
	*out = info;
	return 0;
}

int sites_of_id(const struct sites *s, uint16_t id, struct site_info *out)
{
	if (!s || !s->by_id[id])
		return -ENOENT;
	*out = s->list.sites[s->by_id[id] - 1];
	return 0;
}

static void say(char *buf, size_t cap_bytes, const char *between, size_t n, const char *what)
{
	const size_t at = strlen(buf);

	if (n)
		snprintf(buf + at, cap_bytes - at, "%s%zu %s", at ? between : "", n, what);
}

void sites_describe(const struct sites *s, char *buf, size_t cap_bytes)
{
	size_t at;

	*buf = 0;
	if (s && s->n_cric_sites)
		snprintf(buf, cap_bytes, "CRIC %zu sites, %zu prefixes", s->n_cric_sites,
			 s->n_cric_prefixes);
	at = strlen(buf);
	if (s && (s->has_asn || s->has_country))
		snprintf(buf + at, cap_bytes - at, "%s%s%s%s", at ? "; " : "",
			 s->has_asn ? "ASN" : "", s->has_asn && s->has_country ? "; " : "",
			 s->has_country ? "countries" : "");
	if (s) {
		say(buf, cap_bytes, "; ", s->n_own, "own");
		say(buf, cap_bytes, "; ", s->n_shared, "prefixes of two sites");
		say(buf, cap_bytes, "; ", s->list.bad_prefixes, "prefixes not understood");
		say(buf, cap_bytes, "; ", s->list.left_out + s->n_unnumbered, "left out");
	}
	if (!*buf)
		snprintf(buf, cap_bytes, "none");
}
