/* The filter language: what it means, held against a second reading of each text by hand; that SQL
 * and C agree on random filters and rows; that bad texts say where they are bad. */
#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <cmocka.h>
#include "store/filter.h"

/* A registry of its own: cms is 3, atlas 2; "analysis" is 9 in atlas and 14 in cms; eth0 is source 5;
 * CERN-PROD is site 11, "DE KIT" 12, xrootd application 3. */
static size_t resolve(void *arg, enum dim dim, const char *text, int experiment, int32_t *out,
		      size_t cap)
{
	static const struct {
		enum dim dim;
		const char *text;
		int experiment;
		int32_t number;
	} known[] = {
		{DIM_EXPERIMENT, "atlas", -1, 2},
		{DIM_EXPERIMENT, "cms", -1, 3},
		{DIM_EXPERIMENT, "belle ii", -1, 6},
		{DIM_ACTIVITY, "analysis", 2, 9},
		{DIM_ACTIVITY, "analysis", 3, 14},
		{DIM_ACTIVITY, "cache", 3, 9},
		{DIM_SOURCE, "eth0", -1, 5},
		{DIM_SOURCE, "sflow:[::]:6343", -1, 6},
		{DIM_SOURCE, "7", -1, 8},
		{DIM_SRC_SITE, "CERN-PROD", -1, 11},
		{DIM_DST_SITE, "CERN-PROD", -1, 11},
		{DIM_SRC_SITE, "DE KIT", -1, 12},
		{DIM_DST_SITE, "DE KIT", -1, 12},
		{DIM_APPLICATION, "xrootd", -1, 3},
	};
	size_t n = 0;

	(void)arg;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].dim == dim && strcasecmp(known[i].text, text) == 0 &&
		    known[i].experiment == experiment && n < cap)
			out[n++] = known[i].number;
	return n;
}

static struct filter *parse(const char *text)
{
	struct filter *f = NULL;
	char why[300] = "";
	size_t at = 0;
	int err = filter_parse(&f, text, resolve, NULL, why, sizeof(why), &at);

	if (err)
		print_message("%s\n%*s^ %s\n", text, (int)at, "", why);
	assert_int_equal(err, 0);
	return f;
}

/* experiment 3 (cms), activity 14, registered, label, IPv6, in, eth0, from CERN-PROD to DE KIT, xrootd */
static const struct traffic_key cms_in = {
	.source = 5,
	.direction = DIRECTION_IN,
	.family = 6,
	.carrier = CARRIER_LABEL,
	.grade = GRADE_REGISTERED,
	.experiment = 3,
	.activity = 14,
	.src_site = 11,
	.dst_site = 12,
	.application = 3,
};

static void a_text_means_what_it_says(void **state)
{
	static const struct {
		const char *text;
		int matches;
	} cases[] = {
		{"experiment=cms", 1},
		{"experiment = CMS", 1},
		{"EXPERIMENT=cms", 1},
		{"experiment=\"cms\"", 1},
		{"experiment=\"c\\ms\"", 1},
		{"experiment=3", 1},
		{"experiment=2", 0},
		{"experiment!=cms", 0},
		{"experiment in (atlas, cms)", 1},
		{"experiment in (atlas,\"belle ii\")", 0},
		{"family=6", 1},
		{"family=ipv6", 1},
		{"family=4", 0},
		{"grade=registered", 1},
		{"grade in (confirmed, Registered)", 1},
		{"carrier=label", 1},
		{"carrier=hop-by-hop+destination", 0},
		{"direction=in", 1},
		{"direction in (in)", 1},
		{"source=eth0", 1},
		{"source=sflow:[::]:6343", 0},
		{"source=5", 1}, /* no source is named 5: the number */
		{"source=7", 0}, /* one is named 7, it is number 8 */
		/* and binds tighter than or; not tighter than and */
		{"family=4 and family=4 or family=6", 1},
		{"family=6 or family=4 and family=4", 1},
		{"(family=6 or family=4) and family=4", 0},
		{"not family=4 and family=6", 1},
		{"not (family=4 and family=6)", 1},
		{"not not family=6", 1},
		{"NOT family=6 OR family=6", 1},
		/* an activity's name means the pair, wherever the experiment stands */
		{"experiment=cms and activity=analysis", 1},
		{"activity=analysis and experiment=cms", 1},
		{"experiment=atlas and activity=analysis", 0},
		{"activity=analysis", 1},
		{"activity=cache", 0}, /* cms/9, not atlas/9 and not 14 */
		{"activity!=analysis", 0},
		{"activity in (cache, 14)", 1},
		{"experiment=cms and (activity=cache or activity=analysis)", 1},
		{"experiment=cms and not activity=cache", 1},
		{"src_site=CERN-PROD", 1},
		{"dst_site=CERN-PROD", 0},
		{"src_site!=CERN-PROD", 0},
		{"src_site=11", 1},
		/* either end */
		{"site=CERN-PROD", 1},
		{"site=\"de kit\"", 1},
		{"site=13", 0},
		{"site!=CERN-PROD", 0},
		{"site!=13", 1},
		{"not site=13", 1},
		{"site in (13, \"DE KIT\")", 1},
		{"site=13 or family=6", 1},
		{"family=6 and site=\"DE KIT\" and family=6", 1},
		{"application=xrootd", 1},
		{"not application=xrootd", 0},
		{"application=0", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct filter *f = parse(cases[i].text);

		if (filter_match(f, &cms_in) != cases[i].matches)
			fail_msg("%s", cases[i].text);
		filter_free(f);
	}
}

static void atlas_9_is_not_the_cache_of_cms(void **state)
{
	struct traffic_key atlas_9 = cms_in, cms_9 = cms_in;
	struct filter *f = parse("activity=cache");

	(void)state;
	atlas_9.experiment = 2;
	atlas_9.activity = cms_9.activity = 9;
	assert_false(filter_match(f, &atlas_9));
	assert_true(filter_match(f, &cms_9));
	filter_free(f);
}

static void a_filter_says_what_it_speaks_of(void **state)
{
	struct filter *f = parse("experiment=cms or not (site=CERN-PROD and family=6)");

	(void)state;
	assert_int_equal(filter_dims(f), 1 << DIM_EXPERIMENT | 1 << DIM_SRC_SITE |
						 1 << DIM_DST_SITE | 1 << DIM_FAMILY);
	assert_int_equal(filter_dims(NULL), 0);
	filter_free(f);
}

static void no_words_mean_everything(void **state)
{
	(void)state;
	assert_null(parse(""));
	assert_null(parse(" \t"));
	assert_true(filter_match(NULL, &cms_in));
}

static void a_bad_text_says_where(void **state)
{
	static const struct {
		const char *text;
		size_t at;
		const char *why; /* a part of it */
	} cases[] = {
		{"experiment", 10, "expected ="},
		{"experiment=", 11, "a value is missing"},
		{"experiment=cms and", 18, "expected a dimension"},
		{"experiment=cms family=6", 15, "expected and, or"},
		{"experiments=cms", 0, "no dimension 'experiments'"},
		{"family=6 and experiment=nobody", 24, "no experiment 'nobody'"},
		{"experiment=cms and activity=nothing", 28,
		 "no activity 'nothing' of this experiment"},
		{"activity=nothing", 9, "no activity 'nothing'"},
		{"family=5", 7, "no family '5'"},
		{"grade=good", 6, "no grade 'good'"},
		{"source=eth7", 7, "no source 'eth7'"},
		{"family=6 and site=Atlantis", 18, "no site 'Atlantis'"},
		{"dst_site=Atlantis", 9, "no site 'Atlantis'"},
		{"application=nothing", 12, "no application 'nothing'"},
		{"(family=6", 9, "expected ')'"},
		{"family=6)", 8, "expected and, or"},
		{"family in 6", 10, "expected '('"},
		{"family in (6", 12, "expected ','"},
		{"family in ()", 11, "a value is missing"},
		{"family in (6,)", 13, "a value is missing"},
		{"experiment=\"cms", 11, "does not end"},
		{"family ! 6", 7, "'!' does not belong"},
		{"not", 3, "expected a dimension"},
		{"experiment=70000", 11, "no experiment '70000'"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct filter *f = NULL;
		char why[300] = "";
		size_t at = 999;

		assert_int_equal(
			filter_parse(&f, cases[i].text, resolve, NULL, why, sizeof(why), &at),
			-EINVAL);
		assert_null(f);
		if (at != cases[i].at || !strstr(why, cases[i].why))
			fail_msg("%s: at %zu: %s", cases[i].text, at, why);
	}
}

static int parse_err(const char *text)
{
	struct filter *f = NULL;
	char why[300];
	size_t at;
	int err = filter_parse(&f, text, resolve, NULL, why, sizeof(why), &at);

	filter_free(f);
	return err;
}

/* "(((...family=6...)))", and "family=6 and family=6 and ..." */
static char *nested(int depth)
{
	char *text = calloc(1, FILTER_TEXT_MAX);

	memset(text, '(', (size_t)depth);
	strcat(text, "family=6");
	memset(text + strlen(text), ')', (size_t)depth);
	return text;
}

static char *chain(int comparisons)
{
	char *text = calloc(1, FILTER_TEXT_MAX);

	for (int i = 0; i < comparisons; i++)
		strcat(text, i ? " and family=6" : "family=6");
	return text;
}

static void too_much_is_refused(void **state)
{
	char *text;
	char buf[FILTER_TEXT_MAX + 10];

	(void)state;
	text = nested(FILTER_DEPTH_MAX);
	assert_int_equal(parse_err(text), 0);
	free(text);
	text = nested(FILTER_DEPTH_MAX + 1);
	assert_int_equal(parse_err(text), -EINVAL);
	free(text);
	text = chain(FILTER_NODES_MAX / 2); /* 64 comparisons, 63 ands */
	assert_int_equal(parse_err(text), 0);
	free(text);
	text = chain(FILTER_NODES_MAX / 2 + 1);
	assert_int_equal(parse_err(text), -EINVAL);
	free(text);
	memset(buf, ' ', sizeof(buf));
	buf[FILTER_TEXT_MAX] = '\0';
	assert_int_equal(parse_err(buf), 0);
	buf[FILTER_TEXT_MAX] = ' ';
	buf[FILTER_TEXT_MAX + 1] = '\0';
	assert_int_equal(parse_err(buf), -EINVAL);
}

static size_t resolve_many(void *arg, enum dim dim, const char *text, int experiment, int32_t *out,
			   size_t cap)
{
	(void)arg, (void)dim, (void)text, (void)experiment;
	for (size_t i = 0; i < cap; i++)
		out[i] = 65535;
	return cap + 5; /* more than fit, which it should not say */
}

static void as_many_values_as_there_may_be_still_fit_the_sql(void **state)
{
	struct filter *f = NULL;
	char why[300], *sql = malloc(FILTER_SQL_MAX);
	size_t at;

	(void)state;
	assert_int_equal(filter_parse(&f, "activity=a", resolve_many, NULL, why, sizeof(why), &at),
			 -EINVAL);
	assert_non_null(strstr(why, "values"));
	/* 16 words of 256 numbers */
	assert_int_equal(filter_parse(&f, "source in (a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a)",
				      resolve_many, NULL, why, sizeof(why), &at),
			 0);
	assert_true(filter_sql(f, sql, FILTER_SQL_MAX) > FILTER_VALUES_MAX * 5);
	assert_int_equal(filter_sql(f, sql, 100), -ENOSPC);
	filter_free(f);
	free(sql);
}

static void the_part_about_places_leaves_tags_open(void **state)
{
	static const struct {
		const char *text;
		int part;
	} cases[] = {
		{"source=eth0", 1},
		{"source!=eth0", 0},
		{"experiment=cms", -1},
		{"not experiment=cms", -1},
		{"source=eth0 and experiment=atlas", -1},
		{"source!=eth0 and experiment=cms", 0},
		{"source=eth0 or experiment=atlas", 1},
		{"not (source=eth0 or experiment=atlas)", 0},
		{"family=4 or grade=confirmed", -1},
		{"direction=in and not family=4", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct filter *f = parse(cases[i].text);

		if (filter_match_part(f, &cms_in, FILTER_NOISE_DIMS) != cases[i].part)
			fail_msg("%s", cases[i].text);
		filter_free(f);
	}
	assert_int_equal(filter_match_part(NULL, &cms_in, FILTER_NOISE_DIMS), 1);
}

/* --- SQL says the same --------------------------------------------------------------------- */

static void random_filter(char *text, size_t cap_bytes, int depth)
{
	static const char *const comparisons[] = {
		"experiment=cms",    "experiment!=2",   "experiment in (atlas, cms)",
		"activity=analysis", "activity!=cache", "activity in (cache, 14, 3)",
		"family=6",          "family!=4",       "direction in (in, out)",
		"grade=registered",  "grade!=untagged", "carrier=label",
		"source=eth0",       "source!=eth0",    "site=CERN-PROD",
		"site!=12",          "not src_site=11", "dst_site in (11, 12)",
		"not application=3", "experiment=-1",   "carrier in (none, hop-by-hop)",
	};
	char left[400], right[400];

	if (depth == 0 || rand() % 4 == 0) {
		snprintf(text, cap_bytes, "%s",
			 comparisons[(size_t)rand() %
				     (sizeof(comparisons) / sizeof(comparisons[0]))]);
		return;
	}
	random_filter(left, sizeof(left), depth - 1);
	random_filter(right, sizeof(right), depth - 1);
	switch (rand() % 3) {
	case 0:
		snprintf(text, cap_bytes, "(%s) and %s", left, right);
		break;
	case 1:
		snprintf(text, cap_bytes, "(%s or %s)", left, right);
		break;
	default:
		snprintf(text, cap_bytes, "not (%s)", left);
	}
}

static void random_key(struct traffic_key *k)
{
	static const int experiments[] = {-1, 0, 2, 3, 77}, activities[] = {-1, 0, 3, 9, 14};

	*k = (struct traffic_key){
		.source = (uint16_t)(4 + rand() % 4),
		.direction = (uint8_t)(rand() % DIRECTION_COUNT),
		.family = (uint8_t)(rand() % 3 * 2 + 2),
		.carrier = (uint8_t)(rand() % CARRIER_COUNT),
		.grade = (uint8_t)(rand() % GRADE_COUNT),
		.experiment = experiments[rand() % 5],
		.activity = activities[rand() % 5],
		.src_site = (uint16_t)(10 + rand() % 3),
		.dst_site = (uint16_t)(10 + rand() % 3),
		.application = (uint16_t)(rand() % 4),
	};
}

static int evaluate(sqlite3 *handle, const char *expression, const struct traffic_key *k)
{
	sqlite3_stmt *st = NULL;
	char *sql = sqlite3_mprintf("SELECT (%s) FROM (SELECT %d AS source, %d AS direction, %d AS "
				    "family, %d AS carrier, %d AS grade, %d AS experiment, %d AS "
				    "activity, %d AS src_site, %d AS dst_site, %d AS application)",
				    expression, k->source, k->direction, k->family, k->carrier,
				    k->grade, k->experiment, k->activity, k->src_site, k->dst_site,
				    k->application);
	int value;

	assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	value = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_free(sql);
	return value;
}

static void sql_and_c_agree(void **state)
{
	sqlite3 *handle = NULL;
	char text[800], *sql = malloc(FILTER_SQL_MAX);

	(void)state;
	srand(7);
	assert_int_equal(sqlite3_open(":memory:", &handle), SQLITE_OK);
	for (int i = 0; i < 1000; i++) {
		struct filter *f;

		random_filter(text, sizeof(text), 4);
		f = parse(text);
		for (int n = 0; n < 10; n++) {
			struct traffic_key k;

			random_key(&k);
			assert_true(filter_sql(f, sql, FILTER_SQL_MAX) > 0);
			if (evaluate(handle, sql, &k) != filter_match(f, &k))
				fail_msg("%s", text);
		}
		filter_free(f);
	}
	sqlite3_close(handle);
	free(sql);
}

static void names_go_both_ways(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < GRADE_COUNT; i++)
		assert_int_equal(grade_find(grade_name(i)), i);
	for (unsigned int i = 0; i < CARRIER_COUNT; i++)
		assert_int_equal(carrier_find(carrier_name(i)), i);
	for (unsigned int i = 0; i < DIRECTION_COUNT; i++)
		assert_int_equal(direction_find(direction_name(i)), i);
	for (unsigned int i = 0; i < DIM_COUNT; i++)
		assert_int_equal(dim_find(dim_name((enum dim)i)), i);
	assert_null(grade_name(GRADE_COUNT));
	assert_null(carrier_name(CARRIER_COUNT));
	assert_null(direction_name(DIRECTION_COUNT));
	assert_null(dim_name(DIM_COUNT));
	assert_int_equal(grade_find("nonsense"), -ENOENT);
	assert_int_equal(carrier_find("Hop-By-Hop"), CARRIER_HOP_BY_HOP);
	/* stored numbers: they must never change */
	assert_string_equal(grade_name(1), "unregistered");
	assert_string_equal(grade_name(5), "claimed");
	assert_string_equal(carrier_name(4), "hop-by-hop+destination");
	assert_string_equal(direction_name(3), "internal");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_means_what_it_says),
		cmocka_unit_test(atlas_9_is_not_the_cache_of_cms),
		cmocka_unit_test(a_filter_says_what_it_speaks_of),
		cmocka_unit_test(no_words_mean_everything),
		cmocka_unit_test(a_bad_text_says_where),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(as_many_values_as_there_may_be_still_fit_the_sql),
		cmocka_unit_test(the_part_about_places_leaves_tags_open),
		cmocka_unit_test(sql_and_c_agree),
		cmocka_unit_test(names_go_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
