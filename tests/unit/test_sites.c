/* Whose address it is: prefixes by longest match, CRIC's JSON and the mmdb made of it, GeoLite-style files. The files
 * are the test's own, with documentation prefixes. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "join/sites.h"
#include "join/sites_list.h"
#include "tests/unit/mmdb_build.h"

static struct store *store;
static char dir[] = "/tmp/test_sites.XXXXXX";

static const char *path_of(const char *name)
{
	static char paths[8][64];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static const uint8_t *ip(const char *text)
{
	static uint8_t out[16];
	struct prefix p;

	assert_int_equal(prefix_parse(&p, text), 0);
	memcpy(out, p.first, 16);
	return out;
}

/* --- prefixes -------------------------------------------------------------------------------- */

static void prefixes_are_read_strictly(void **state)
{
	static const char *const good[] = {
		"2001:db8::/32",        "::/0",           "0.0.0.0/0", "192.0.2.1",
		"::ffff:192.0.2.0/120", "2001:db8::1/128"};
	static const char *const bad[] = {"",
					  "/",
					  "2001:db8::/",
					  "2001:db8::/129",
					  "192.0.2.0/33",
					  "192.0.2.0/-1",
					  "192.0.2.0/ 8",
					  "192.0.2.0/8x",
					  "192.0.2/24",
					  "2001:db8::/0000",
					  "host/8",
					  "2001:db8:0000:0000:0000:0000:0000:0000:0000/8"};
	struct prefix p;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(prefix_parse(&p, good[i]), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(prefix_parse(&p, bad[i]), -EINVAL);
	assert_int_equal(prefix_parse(&p, "192.0.2.77/28"), 0);
	assert_int_equal(p.bits, 124);
	assert_int_equal(p.first[15], 64); /* 77 without its last four bits */
}

static int never_same(void *arg, uint32_t a, uint32_t b)
{
	return 0;
}

static uint64_t random_state = 88172645463325252;

static uint64_t random_bits(void) /* xorshift64, Marsaglia 2003 */
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

/* An address that shares many bits with others, so that prefixes nest and meet at their borders. */
static void crowded_address(uint8_t out[16], int v4)
{
	memset(out, 0, 16);
	if (v4) {
		out[10] = out[11] = 0xFF;
		out[12] = 192;
		out[13] = random_bits() % 4 ? 0 : 1;
		out[14] = (uint8_t)(random_bits() % 4);
		out[15] = (uint8_t)random_bits();
		return;
	}
	out[0] = 0x20;
	out[1] = random_bits() % 8 ? 1 : 0xFF;
	out[7] = (uint8_t)(random_bits() % 4);
	out[8] = random_bits() % 4 ? 0 : 0xFF;
	out[15] = (uint8_t)random_bits();
}

static int holds(const struct prefix *p, const uint8_t address[16])
{
	for (unsigned int bit = 0; bit < p->bits; bit++)
		if ((p->first[bit / 8] ^ address[bit / 8]) & 0x80 >> bit % 8)
			return 0;
	return 1;
}

/* The same by trying every prefix: one that wins before one that does not, then the longest, then the first. */
static uint32_t find_slowly(const struct prefix *prefixes, size_t n, const uint8_t address[16])
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	const struct prefix *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct prefix *p = &prefixes[i];

		/* an IPv6 prefix that is wider than all of IPv4 does not hold it */
		if (!holds(p, address) || (memcmp(address, mapped, 12) == 0 && p->bits < 96))
			continue;
		if (!best || p->wins > best->wins ||
		    (p->wins == best->wins &&
		     (p->bits > best->bits || (p->bits == best->bits && p->order < best->order))))
			best = p;
	}
	return best ? best->value : 0;
}

static void the_longest_match_is_found(void **state)
{
	struct prefix prefixes[300], sorted[300];
	uint8_t address[16];
	size_t shared;

	(void)state;
	for (int round = 0; round < 200; round++) {
		const size_t n = round < 5 ? (size_t)round : 1 + random_bits() % 300;
		struct prefix_map *m;

		for (size_t i = 0; i < n; i++) {
			struct prefix *p = &prefixes[i];
			const int v4 = random_bits() % 3 == 0;

			crowded_address(p->first, v4);
			p->bits = (uint8_t)(v4 ? 96 + random_bits() % 33 : random_bits() % 129);
			p->wins = random_bits() % 8 == 0;
			p->order = (uint32_t)i;
			p->value = 1 + (uint32_t)(random_bits() % 50);
			for (unsigned int bit = p->bits; bit < 128; bit++)
				p->first[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		}
		memcpy(sorted, prefixes, sizeof(sorted));
		m = prefix_map_open(sorted, n, &shared, never_same, NULL);
		assert_non_null(m);
		for (int i = 0; i < 2000; i++) {
			crowded_address(address, i % 3 == 0);
			if (n && i % 5 == 0) { /* at a border, and just before it */
				memcpy(address, prefixes[random_bits() % n].first, 16);
				for (int byte = 15; i % 2 && byte >= 0 && address[byte]-- == 0;
				     byte--)
					;
			}
			assert_int_equal(prefix_map_find(m, address),
					 find_slowly(prefixes, n, address));
		}
		memset(address, 0xFF, 16);
		assert_int_equal(prefix_map_find(m, address), find_slowly(prefixes, n, address));
		memset(address, 0, 16);
		assert_int_equal(prefix_map_find(m, address), find_slowly(prefixes, n, address));
		prefix_map_close(m);
	}
}

/* --- CRIC -------------------------------------------------------------------------------------- */

/* SITE-A is of tier 0, at 0/0, and has a network inside one of SITE-B's; SITE-B and SITE-C name the same prefix. */
static const char cric_json[] =
	"{\"SITE-C\": {\"name\": \"SITE-C\", \"latitude\": 46.2, \"longitude\": 6.1, "
	"\"country_code\": "
	"\"CH\","
	"  \"country\": \"Switzerland\", \"rc_tier_level\": 2, \"state\": \"ACTIVE\", "
	"\"netsites\": [\"NET-C\"],"
	"  \"netroutes\": {\"R1\": {\"netsite\": \"NET-C\", \"asn\": 64500, \"networks\": "
	"{\"ipv4\": [\"192.0.2.0/24\", \"198.51.100.0/24\"], \"ipv6\": [\"2001:db8:c::/48\"]}}}},\n"
	" \"SITE-B\": {\"name\": \"SITE-B\", \"rc_tier_level\": 1, \"netroutes\": {"
	"   \"R1\": {\"netsite\": \"NET-B\", \"asn\": \"64501\", \"networks\": {\"ipv4\": "
	"[\"198.51.100.0/24\"], \"ipv6\": [\"2001:db8:b::/48\", \"2001:db8:b::/48\"]}},"
	"   \"R2\": {\"netsite\": null, \"networks\": {\"ipv6\": [\"2001:db8:bb::/48\", 7, "
	"\"nonsense\", "
	"\"2001:db8:b::/48\", \"::/0\"]}}}},\n"
	" \"SITE-A\": {\"name\": null, \"latitude\": 0, \"longitude\": 0.0, \"rc_tier_level\": 0, "
	"\"country_code\": \"FR\","
	"  \"netroutes\": {\"R\": {\"networks\": {\"ipv6\": [\"2001:db8:b:a::/64\"]}}}},\n"
	" \"SITE-D\": {\"latitude\": \"north\", \"longitude\": 300, \"rc_tier_level\": -4, "
	"\"country_code\": 7, \"netroutes\": []},\n"
	" \"SITE-E\": null, \"\": {\"netroutes\": {\"R\": {\"networks\": {\"ipv4\": "
	"[\"203.0.113.0/24\"]}}}}}\n";

static struct sites *open_sites(const struct sites_config *cfg, const char *expected_why)
{
	struct sites *s;
	char why[256];

	assert_int_equal(sites_open(&s, cfg, store, why, sizeof(why)), 0);
	if (!*expected_why)
		assert_string_equal(why, "");
	else if (!strstr(why, expected_why))
		fail_msg("'%s' is not in '%s'", expected_why, why);
	return s;
}

static void assert_site(const struct sites *s, const char *address, const char *name)
{
	struct site_info info;

	assert_int_equal(sites_find(s, ip(address)), store_site_id(store, name));
	assert_int_equal(sites_of_address(s, ip(address), &info), 0);
	assert_string_equal(info.name, name);
	assert_int_equal(info.id, store_site_id(store, name));
}

static void cric_s_json(void **state)
{
	const struct sites_config cfg = {.cric = path_of("cric.json")};
	struct site_info info;
	struct sites *s;
	char text[200];

	(void)state;
	write_text(cfg.cric, cric_json);
	s = open_sites(&cfg, "");
	assert_site(s, "2001:db8:c::1", "SITE-C");
	assert_site(s, "192.0.2.255", "SITE-C");
	assert_site(s, "::ffff:192.0.2.1", "SITE-C");
	assert_site(s, "2001:db8:b:b::1", "SITE-B");
	assert_site(s, "2001:db8:b:a::1", "SITE-A"); /* the longer prefix */
	assert_site(s, "2001:db8:b:9:ffff:ffff:ffff:ffff", "SITE-B");
	assert_site(s, "198.51.100.1", "SITE-B"); /* of two the first by name, not by file */
	assert_int_equal(sites_find(s, ip("203.0.113.1")), 0);   /* of a site without a name */
	assert_int_equal(sites_find(s, ip("2001:db8:d::1")), 0); /* ::/0 is nobody's */
	assert_int_equal(sites_of_address(s, ip("2001:db8:d::1"), &info), -ENOENT);

	assert_int_equal(sites_of_address(s, ip("2001:db8:c::1"), &info), 0);
	assert_string_equal(info.country, "CH");
	assert_string_equal(info.network, "NET-C");
	assert_int_equal(info.asn, 64500);
	assert_int_equal(info.tier, 2);
	assert_true(info.has_place && info.latitude == 46.2 && info.longitude == 6.1);
	assert_int_equal(sites_of_address(s, ip("198.51.100.1"), &info), 0);
	assert_int_equal(info.asn, 64501);
	assert_false(info.has_place);
	/* zeros are values */
	assert_int_equal(sites_of_id(s, (uint16_t)store_site_find(store, "SITE-A"), &info), 0);
	assert_string_equal(info.name, "SITE-A");
	assert_int_equal(info.tier, 0);
	assert_true(info.has_place && info.latitude == 0 && info.longitude == 0);
	/* and nonsense is none */
	assert_int_equal(sites_of_id(s, (uint16_t)store_site_find(store, "SITE-D"), &info), 0);
	assert_int_equal(info.tier, -1);
	assert_false(info.has_place);
	assert_string_equal(info.country, "");
	assert_int_equal(sites_of_id(s, 4095, &info), -ENOENT);
	assert_int_equal(sites_of_id(s, 0, &info), -ENOENT);
	sites_describe(s, text, sizeof(text));
	/* one, five (of which one three times) and three good prefixes of A, B and C */
	assert_string_equal(text,
			    "CRIC 5 sites, 9 prefixes; 1 prefixes of two sites; 3 prefixes not "
			    "understood; 1 left out");
	sites_close(s);
}

static void the_operator_s_own_win(void **state)
{
	const char *const own[] = {"SITE-A=2001:db8:b::/47", "HERE=192.0.2.128/25", "nothing",
				   "=::/0", "X=2001:db8::/200"};
	const struct sites_config cfg = {.cric = path_of("cric.json"), .own = own, .n_own = 5};
	struct site_info info;
	struct sites *s;

	(void)state;
	write_text(cfg.cric, cric_json);
	s = open_sites(&cfg, "'nothing' is no NAME=PREFIX");
	assert_site(s, "2001:db8:b:b::1", "SITE-A"); /* though SITE-B's prefix is longer */
	assert_site(s, "192.0.2.200", "HERE");
	assert_site(s, "192.0.2.100", "SITE-C");
	assert_int_equal(sites_of_address(s, ip("2001:db8:b:b::1"), &info), 0);
	assert_int_equal(info.tier,
			 0); /* what CRIC knows of the site is known of its own prefix too */
	sites_close(s);
}

static void what_is_missing_or_broken_is_said_and_left_out(void **state)
{
	const char *const own[] = {"HERE=2001:db8::/32"};
	struct sites_config cfg = {.cric = path_of("nosuch"),
				   .asn_mmdb = path_of("nosuch2"),
				   .country_mmdb = path_of("broken"),
				   .own = own,
				   .n_own = 1};
	struct sites *s;
	char text[200];

	(void)state;
	write_text(cfg.country_mmdb, "no database at all");
	s = open_sites(&cfg, "No such file");
	assert_site(s, "2001:db8::1", "HERE");
	sites_describe(s, text, sizeof(text));
	assert_string_equal(text, "1 own");
	sites_close(s);
	for (size_t cut = 0; cut < sizeof(cric_json) - 3; cut += 17) { /* every file cut short */
		char *half = strndup(cric_json, cut);

		cfg.cric = path_of("half.json");
		write_text(cfg.cric, half);
		s = open_sites(&cfg, "sites.cric: ");
		assert_int_equal(sites_find(s, ip("192.0.2.1")), 0);
		assert_site(s, "2001:db8::1", "HERE");
		sites_close(s);
		free(half);
	}
	cfg = (struct sites_config){0};
	s = open_sites(&cfg, "");
	assert_int_equal(sites_find(s, ip("192.0.2.1")), 0);
	sites_describe(s, text, sizeof(text));
	assert_string_equal(text, "none");
	sites_close(s);
	assert_int_equal(sites_find(NULL, ip("192.0.2.1")), 0);
	sites_describe(NULL, text, sizeof(text));
	assert_string_equal(text, "none");
	sites_close(NULL);
}

/* More sites than numbers: the rest is counted, and nothing is overwritten. */
static void too_many_sites_are_counted(void **state)
{
	const struct sites_config cfg = {.cric = path_of("many.json")};
	FILE *f = fopen(cfg.cric, "w");
	struct sites *s;
	char text[200];

	(void)state;
	fputc('{', f);
	for (int i = 0; i < SITES_MAX + 100; i++)
		fprintf(f,
			"%s\"S%05d\": {\"netroutes\": {\"R\": {\"networks\": {\"ipv6\": "
			"[\"2001:db8:%x::/48\"]}}}}",
			i ? ",\n" : "", i, i);
	fputc('}', f);
	fclose(f);
	s = open_sites(&cfg, "");
	assert_int_equal(sites_find(s, ip("2001:db8:1040::1")), 0); /* 4160: beyond */
	assert_int_not_equal(sites_find(s, ip("2001:db8:1::1")), 0);
	sites_describe(s, text, sizeof(text));
	assert_non_null(strstr(text, "left out"));
	sites_close(s);
}

/* --- mmdb --------------------------------------------------------------------------------------- */

static struct mmdb_build build;

static size_t cric_record(const char *json)
{
	const size_t at = mmdb_map(&build, 2);

	mmdb_string(&build, "city");
	mmdb_map(&build, 1);
	mmdb_string(&build, "names");
	mmdb_map(&build, 1);
	mmdb_string(&build, "en");
	mmdb_string(&build, json);
	mmdb_string(&build, "location");
	mmdb_map(&build, 2);
	mmdb_string(&build, "latitude");
	mmdb_double(&build, 1.5);
	mmdb_string(&build, "longitude");
	mmdb_double(&build, -2.5);
	return at;
}

/* As the collectors' script writes it: CRIC's members as JSON inside of a city's name. */
static void the_collectors_mmdb(void **state)
{
	const struct sites_config cfg = {.cric = path_of("cric.mmdb")};
	size_t a, b, c;
	struct site_info info;
	struct sites *s;
	char text[200];

	(void)state;
	mmdb_begin(&build, 6);
	a = cric_record(
		"{\"location\": {\"latitude\": 1.5, \"longitude\": -2.5}, \"name\": "
		"\"SITE-A\", \"rc_country\": \"Nowhere\", \"tier\": 2, \"net_site\": \"unknown\"}");
	b = cric_record(
		"{\"location\": {\"latitude\": 0.0, \"longitude\": 0.0}, \"name\": \"SITE-B\"}");
	c = cric_record("no JSON");
	mmdb_insert(&build, "2001:db8:a::", 48, a);
	mmdb_insert(&build, "192.0.2.0", 24, a);
	mmdb_insert(&build, "2001:db8:e::", 47, b);
	mmdb_insert(&build, "203.0.113.0", 25, b);
	mmdb_insert(&build, "2001:db8:c000::", 36, c);
	mmdb_write(&build, cfg.cric, "GeoLite2-City");
	s = open_sites(&cfg, "");
	assert_site(s, "2001:db8:a::1", "SITE-A");
	assert_site(s, "192.0.2.77", "SITE-A");
	assert_site(s, "2001:db8:f::1", "SITE-B");
	assert_site(s, "203.0.113.127", "SITE-B");
	assert_int_equal(sites_find(s, ip("203.0.113.128")), 0);
	assert_int_equal(sites_find(s, ip("2001:db8:c000::1")), 0);
	assert_int_equal(sites_of_address(s, ip("192.0.2.1"), &info), 0);
	assert_true(info.has_place && info.latitude == 1.5 && info.longitude == -2.5);
	assert_int_equal(info.tier, 2);
	assert_string_equal(info.network, "");
	assert_string_equal(info.country, "");
	/* what the script leaves out is not known */
	assert_int_equal(sites_of_address(s, ip("203.0.113.1"), &info), 0);
	assert_int_equal(info.tier, -1);
	assert_false(info.has_place);
	sites_describe(s, text, sizeof(text));
	assert_string_equal(text, "CRIC 2 sites, 4 prefixes");
	sites_close(s);

	/* a tree that goes in circles ends */
	build.nodes[build.n_nodes - 1][0] = 1;
	mmdb_write(&build, cfg.cric, "GeoLite2-City");
	s = open_sites(&cfg, "its tree is damaged");
	assert_int_equal(sites_find(s, ip("192.0.2.77")), 0);
	sites_close(s);
}

static void networks_and_countries(void **state)
{
	const char *const own[] = {"HERE=192.0.2.0/25"};
	const struct sites_config cfg = {.asn_mmdb = path_of("asn.mmdb"),
					 .country_mmdb = path_of("country.mmdb"),
					 .own = own,
					 .n_own = 1};
	struct site_info info;
	struct sites *s;
	char text[200];
	size_t at;

	(void)state;
	mmdb_begin(&build, 6);
	at = mmdb_map(&build, 2);
	mmdb_string(&build, "autonomous_system_number");
	mmdb_number(&build, MMDB_B_UINT32, 64511, 4);
	mmdb_string(&build, "autonomous_system_organization");
	mmdb_string(&build, "Example Network");
	mmdb_insert(&build, "192.0.2.0", 24, at);
	at = mmdb_map(&build, 1);
	mmdb_string(&build, "autonomous_system_organization");
	mmdb_string(&build, "no \xff UTF-8");
	mmdb_insert(&build, "2001:db8::", 32, at);
	mmdb_write(&build, cfg.asn_mmdb, "GeoLite2-ASN");
	mmdb_begin(&build, 4);
	at = mmdb_map(&build, 2);
	mmdb_string(&build, "country");
	mmdb_map(&build, 1);
	mmdb_string(&build, "iso_code");
	mmdb_string(&build, "NL");
	mmdb_string(&build, "location");
	mmdb_map(&build, 2);
	mmdb_string(&build, "latitude");
	mmdb_double(&build, 0);
	mmdb_string(&build, "longitude");
	mmdb_double(&build, 4.9);
	mmdb_insert(&build, "192.0.2.0", 24, at);
	mmdb_write(&build, cfg.country_mmdb, "GeoLite2-City");
	s = open_sites(&cfg, "");
	assert_int_equal(sites_of_address(s, ip("192.0.2.1"), &info), 0);
	assert_string_equal(info.name, "HERE");
	assert_int_equal(info.asn, 64511);
	assert_string_equal(info.network, "Example Network");
	assert_string_equal(info.country, "NL");
	assert_true(info.has_place && info.latitude == 0 && info.longitude == 4.9);
	assert_int_equal(sites_of_address(s, ip("192.0.2.129"), &info), 0); /* no site, but known */
	assert_int_equal(info.id, 0);
	assert_string_equal(info.name, "");
	assert_int_equal(info.asn, 64511);
	assert_int_equal(sites_find(s, ip("192.0.2.129")), 0);
	/* an IPv6 address in a file of IPv4 alone, and a name that is no text */
	assert_int_equal(sites_of_address(s, ip("2001:db8::1"), &info), -ENOENT);
	sites_describe(s, text, sizeof(text));
	assert_string_equal(text, "ASN; countries; 1 own");
	sites_close(s);
}

static int open_all(void **state)
{
	struct store_config config;

	store_config_default(&config);
	config.url = "sqlite::memory:";
	return store_open(&store, &config) || !mkdtemp(dir);
}

static int close_all(void **state)
{
	static const char *const names[] = {"cric.json", "half.json", "broken",      "many.json",
					    "cric.mmdb", "asn.mmdb",  "country.mmdb"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	rmdir(dir);
	store_close(store);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_are_read_strictly),
		cmocka_unit_test(the_longest_match_is_found),
		cmocka_unit_test(cric_s_json),
		cmocka_unit_test(the_operator_s_own_win),
		cmocka_unit_test(what_is_missing_or_broken_is_said_and_left_out),
		cmocka_unit_test(too_many_sites_are_counted),
		cmocka_unit_test(the_collectors_mmdb),
		cmocka_unit_test(networks_and_countries),
	};

	log_open(LOG_LEVEL_ERROR, 0);
	return cmocka_run_group_tests(tests, open_all, close_all);
}
