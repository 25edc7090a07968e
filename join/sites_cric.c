/* Sites as CRIC knows them: the JSON of its rcsite query
 *   {SITE: {"name", "latitude", "longitude", "country_code", "rc_tier_level",
 *           "netroutes": {ROUTE: {"netsite", "asn", "networks": {"ipv4": [PREFIX], "ipv6": [PREFIX]}}}}}
 * and the mmdb that the SciTags collectors make of it, in which every prefix has the record
 *   {"city": {"names": {"en": "{\"name\", \"tier\", \"net_site\", \"location\": {...}}"}}, "location": {...}}
 * Members that are missing or of another type are not known; that is no error. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "join/sites_list.h"

#define FILE_MAX_BYTES (256 << 20)
#define VISITS_MAX \
	(8 * SITE_PREFIXES_CAP) /* of nodes of an mmdb: a damaged one may go in circles */

static uint32_t number_of(const json_t *v)
{
	const char *text = json_string_value(v);
	long long n = text ? atoll(text) : json_integer_value(v);

	return n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static int degrees(double *out, const json_t *v, double limit)
{
	double d = json_number_value(v);

	if (!json_is_number(v) || !(d >= -limit && d <= limit))
		return 0;
	*out = d;
	return 1;
}

static void read_place(struct site_info *site, const json_t *o)
{
	site->has_place = degrees(&site->latitude, json_object_get(o, "latitude"), 90) &&
			  degrees(&site->longitude, json_object_get(o, "longitude"), 180);
}

/* 0 is a tier. */
static void read_tier(struct site_info *site, const json_t *v)
{
	const char *text = json_string_value(v);
	const long long tier = text && *text >= '0' && *text <= '9' ? atoll(text)
			       : json_is_integer(v)                 ? json_integer_value(v)
								    : -1;

	site->tier = tier >= 0 && tier <= 9 ? (int8_t)tier : -1;
}

/* ISO 3166-1 alpha-2, or nothing */
static void read_country(struct site_info *site, const json_t *v)
{
	const char *text = json_string_value(v);

	if (!text || strlen(text) != 2 || text[0] < 'A' || text[0] > 'Z' || text[1] < 'A' ||
	    text[1] > 'Z')
		return;
	memcpy(site->country, text, 3);
}

/* No site has so much; an entry by mistake would draw everything to it. */
static int is_too_wide(const struct prefix *p)
{
	const int is_v4 = p->bits >= 96 && !p->first[0] && p->first[10] == 0xFF;

	return p->bits < (is_v4 ? 96 + 8 : 16);
}

static int read_networks(struct site_list *l, const json_t *networks, uint32_t place)
{
	struct prefix prefix;
	const char *family;
	json_t *list, *text;
	size_t i;

	json_object_foreach((json_t *)networks, family, list)
	{
		json_array_foreach(list, i, text)
		{
			if (!json_is_string(text) ||
			    prefix_parse(&prefix, json_string_value(text)) || is_too_wide(&prefix))
				l->bad_prefixes++;
			else if (site_list_prefix(l, &prefix, place))
				return -ENOMEM;
		}
	}
	return 0;
}

static int read_site(struct site_list *l, const char *key, const json_t *o)
{
	const json_t *name = json_object_get(o, "name");
	const char *text = json_string_length(name) ? json_string_value(name) : key;
	const int site = site_list_site(l, text, strlen(text));
	const char *route;
	json_t *r;
	int err = 0;

	if (site < 0)
		return site == -ENOENT ? 0 : site;
	read_place(&l->sites[site], o);
	read_tier(&l->sites[site], json_object_get(o, "rc_tier_level"));
	read_country(&l->sites[site], json_object_get(o, "country_code"));
	json_object_foreach(json_object_get(o, "netroutes"), route, r)
	{
		const char *network = json_string_value(json_object_get(r, "netsite"));
		const int place = site_list_place(l, (uint32_t)site, network ? network : "",
						  number_of(json_object_get(r, "asn")));

		err = place < 0 ? place
				: read_networks(l, json_object_get(r, "networks"), (uint32_t)place);
		if (err)
			break;
	}
	return err;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In the order of names, so that what two sites share has one owner whatever the order of the file. */
static int read_sites(struct site_list *l, json_t *root)
{
	const char **keys = malloc((json_object_size(root) + 1) * sizeof(*keys)), *key;
	size_t n = 0;
	json_t *o;
	int err = keys ? 0 : -ENOMEM;

	if (err)
		return err;
	json_object_foreach(root, key, o) keys[n++] = key;
	qsort(keys, n, sizeof(*keys), by_key);
	for (size_t i = 0; i < n && !err; i++)
		err = read_site(l, keys[i], json_object_get(root, keys[i]));
	free(keys);
	return err;
}

int cric_read_json(struct site_list *l, const void *bytes, size_t len_bytes, char *why,
		   size_t why_cap_bytes)
{
	json_error_t error;
	json_t *root = json_loadb(bytes, len_bytes, 0, &error);
	int err;

	if (!json_is_object(root)) {
		snprintf(why, why_cap_bytes, root ? "no JSON object" : "line %d: %s", error.line,
			 error.text);
		json_decref(root);
		return -EBADMSG;
	}
	err = read_sites(l, root);
	json_decref(root);
	return err;
}

/* --- mmdb --------------------------------------------------------------------------------------- */

struct found { /* a prefix, and where in the file its record stands */
	struct prefix prefix;
	MMDB_entry_s entry;
};
struct walk {
	const MMDB_s *db;
	size_t n, room, visits;
	struct found *found;
};

/* A path of the tree as a prefix. In an IPv6 tree IPv4 stands under ::/96, and may appear again under the
 * prefixes of transition mechanisms, which are left to IPv6. */
static int note(struct walk *w, const uint8_t path[16], unsigned int depth,
		const MMDB_entry_s *entry)
{
	static const uint8_t zero[12];
	struct found *f;

	if (w->n == w->room) {
		const size_t room = w->room ? 2 * w->room : 1024;

		f = w->n < SITE_PREFIXES_CAP ? realloc(w->found, room * sizeof(*f)) : NULL;
		if (!f)
			return w->n < SITE_PREFIXES_CAP ? -ENOMEM : -E2BIG;
		w->found = f;
		w->room = room;
	}
	f = &w->found[w->n++];
	*f = (struct found){.entry = *entry};
	if (w->db->depth == 32) {
		memcpy(f->prefix.first + 12, path, 4);
		depth += 96;
	} else {
		memcpy(f->prefix.first, path, 16);
	}
	if (depth >= 96 && memcmp(f->prefix.first, zero, 12) == 0)
		memset(f->prefix.first + 10, 0xFF, 2);
	f->prefix.bits = (uint8_t)depth;
	return 0;
}

static int walk_node(struct walk *w, uint32_t number, uint8_t path[16], unsigned int depth)
{
	MMDB_search_node_s node;
	int err = 0;

	if (depth >= (unsigned int)w->db->depth || ++w->visits > VISITS_MAX ||
	    MMDB_read_node(w->db, number, &node) != MMDB_SUCCESS)
		return -EBADMSG;
	for (int bit = 0; bit < 2 && !err; bit++) {
		const uint8_t type = bit ? node.right_record_type : node.left_record_type;
		MMDB_entry_s *entry = bit ? &node.right_record_entry : &node.left_record_entry;

		if (bit)
			path[depth / 8] |= (uint8_t)(0x80 >> depth % 8);
		if (type == MMDB_RECORD_TYPE_SEARCH_NODE)
			err = walk_node(w, (uint32_t)(bit ? node.right_record : node.left_record),
					path, depth + 1);
		else if (type == MMDB_RECORD_TYPE_DATA)
			err = note(w, path, depth + 1, entry);
		else if (type == MMDB_RECORD_TYPE_INVALID)
			err = -EBADMSG;
	}
	path[depth / 8] &= (uint8_t) ~(0x80 >> depth % 8);
	return err;
}

static int by_record(const void *x, const void *y)
{
	const struct found *a = x, *b = y;

	return (a->entry.offset > b->entry.offset) - (a->entry.offset < b->entry.offset);
}

/* The place of a record; -ENOENT: there is no site in it. */
static int read_record(struct site_list *l, MMDB_entry_s *entry)
{
	static const char *const path[] = {"city", "names", "en", NULL};
	MMDB_entry_data_s data;
	const char *name, *network;
	json_t *o;
	int site, place = -ENOENT;

	if (MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS || !data.has_data ||
	    data.type != MMDB_DATA_TYPE_UTF8_STRING)
		return -ENOENT;
	o = json_loadb(data.utf8_string, data.data_size, 0, NULL);
	name = json_string_value(json_object_get(o, "name"));
	site = name ? site_list_site(l, name, strlen(name)) : -ENOENT;
	if (site >= 0) {
		network = json_string_value(json_object_get(o, "net_site"));
		if (!network || strcmp(network, "unknown") == 0) /* the collectors' word for none */
			network = "";
		read_place(&l->sites[site], json_object_get(o, "location"));
		/* theirs for no place, too, is 0 and 0; a tier of 0 they leave out */
		if (!l->sites[site].latitude && !l->sites[site].longitude)
			l->sites[site].has_place = 0;
		read_tier(&l->sites[site], json_object_get(o, "tier"));
		read_country(&l->sites[site], json_object_get(o, "rc_country"));
		place = site_list_place(l, (uint32_t)site, network, 0);
	} else if (site == -ENOMEM) {
		place = site;
	}
	json_decref(o);
	return place;
}

static int read_found(struct site_list *l, struct walk *w)
{
	int place = -ENOENT, err = 0;

	if (w->n)
		qsort(w->found, w->n, sizeof(*w->found), by_record);
	for (size_t i = 0; i < w->n && !err; i++) {
		struct found *f = &w->found[i];

		if (!i || f->entry.offset != f[-1].entry.offset)
			place = read_record(l, &f->entry);
		if (place >= 0)
			err = site_list_prefix(l, &f->prefix, (uint32_t)place);
		else if (place == -ENOMEM)
			err = place;
	}
	return err;
}

int cric_read_mmdb(struct site_list *l, const char *path, char *why, size_t why_cap_bytes)
{
	struct walk w = {0};
	uint8_t bits[16] = {0};
	MMDB_s db;
	const int status = MMDB_open(path, MMDB_MODE_MMAP, &db);
	int err;

	if (status != MMDB_SUCCESS) {
		snprintf(why, why_cap_bytes, "%s", MMDB_strerror(status));
		return status == MMDB_OUT_OF_MEMORY_ERROR ? -ENOMEM : -EBADMSG;
	}
	w.db = &db;
	err = walk_node(&w, 0, bits, 0);
	if (!err)
		err = read_found(l, &w);
	if (err == -EBADMSG)
		snprintf(why, why_cap_bytes, "its tree is damaged");
	if (err == -E2BIG)
		snprintf(why, why_cap_bytes, "more than %d prefixes", SITE_PREFIXES_CAP);
	free(w.found);
	MMDB_close(&db);
	return err;
}

/* --- either -------------------------------------------------------------------------------------- */

/* The whole file, or NULL and *err. */
static char *slurp(const char *path, size_t *len_bytes, int *err)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *bytes = NULL;
	ssize_t n;

	*len_bytes = 0;
	*err = fd < 0 || fstat(fd, &st) ? -errno : 0;
	if (!*err && (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES))
		*err = S_ISREG(st.st_mode) ? -EFBIG : -EINVAL;
	if (!*err)
		bytes = malloc((size_t)st.st_size + 1);
	if (!*err && !bytes)
		*err = -ENOMEM;
	while (!*err && *len_bytes < (size_t)st.st_size) {
		n = read(fd, bytes + *len_bytes, (size_t)st.st_size - *len_bytes);
		if (n < 0 && errno != EINTR)
			*err = -errno;
		if (!n) /* it became shorter */
			break;
		*len_bytes += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	if (*err) {
		free(bytes);
		return NULL;
	}
	return bytes;
}

int cric_read(struct site_list *l, const char *path, char *why, size_t why_cap_bytes)
{
	size_t len_bytes, blank = 0;
	int err;
	char *bytes = slurp(path, &len_bytes, &err);

	if (!bytes) {
		snprintf(why, why_cap_bytes, "%s", strerror(-err));
		return err;
	}
	while (blank < len_bytes && strchr(" \t\r\n", bytes[blank]))
		blank++;
	if (blank < len_bytes && bytes[blank] == '{')
		err = cric_read_json(l, bytes, len_bytes, why, why_cap_bytes);
	else
		err = cric_read_mmdb(l, path, why, why_cap_bytes);
	free(bytes);
	return err;
}
