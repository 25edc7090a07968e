/* The registry document: what it says, what is refused, names, and two documents compared.
 * Expected numbers are those of the published document of 4 Sep 2025. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "registry/registry.h"
#include "tests/unit/shared.h"

static struct registry *builtin;

static int open_builtin(void **state)
{
	(void)state;
	builtin = registry_builtin();
	return builtin ? 0 : -1;
}

static int close_builtin(void **state)
{
	(void)state;
	registry_free(builtin);
	return 0;
}

static struct registry *parsed(const char *json)
{
	struct registry *r = NULL;
	char why[160] = "";

	if (registry_parse(&r, json, strlen(json), why, sizeof(why)))
		fail_msg("%s: %s", json, why);
	return r;
}

static void the_snapshot_has_14_experiments_and_114_pairs(void **state)
{
	size_t bits = 0;

	(void)state;
	assert_int_equal(builtin->n_experiments, 14);
	assert_int_equal(builtin->n_pairs, 114);
	assert_string_equal(builtin->modified, "2025-09-04T12:01:55.844133+00:00");
	for (size_t i = 0; i < SCITAG_CODES / 64; i++)
		bits += (size_t)__builtin_popcountll(builtin->pairs.bits[i]);
	assert_int_equal(bits, 114);
	assert_int_equal(builtin->dialects_overlap, 0);
}

static void names_are_as_published(void **state)
{
	(void)state;
	assert_string_equal(registry_experiment_name(builtin, 2), "atlas");
	assert_string_equal(registry_experiment_name(builtin, 14), "xenon");
	assert_null(registry_experiment_name(builtin, 0));
	assert_null(registry_experiment_name(builtin, 15));
	assert_null(registry_experiment_name(builtin, 65536 + 2));
	assert_string_equal(registry_activity_name(builtin, 3, 14), "Analysis Input");
	assert_string_equal(registry_activity_name(builtin, 2, 8), "Data Rebalancing");
	assert_string_equal(registry_activity_name(builtin, 3, 7), "Data rebalancing");
	assert_string_equal(registry_activity_name(builtin, 6, 24), "User Subscription");
	assert_string_equal(registry_activity_name(builtin, 3, 21), "User Subscriptions");
	assert_string_equal(registry_activity_name(builtin, 2, 26), "Data Challenge");
	assert_string_equal(registry_activity_name(builtin, 2, 3), "Data Brokering");
	for (unsigned int hole = 5; hole <= 7; hole++)
		assert_null(registry_activity_name(builtin, 2, hole));
	assert_null(registry_activity_name(builtin, 15, 1));
	assert_null(registry_activity_name(builtin, 3, 65536 + 14));
}

static void numbers_are_found_by_name(void **state)
{
	(void)state;
	assert_int_equal(registry_experiment_number(builtin, "cms"), 3);
	assert_int_equal(registry_experiment_number(builtin, "CMS"), 3);
	assert_int_equal(registry_experiment_number(builtin, "Belle II"), 6);
	assert_int_equal(registry_experiment_number(builtin, "belle-ii"), 6);
	assert_int_equal(registry_experiment_number(builtin, "belle"), -ENOENT);
	assert_int_equal(registry_experiment_number(builtin, ""), -ENOENT);
	assert_int_equal(registry_experiment_number(builtin, " - "), -ENOENT);
	assert_int_equal(registry_experiment_number(builtin, "65535"), 65535);
	assert_int_equal(registry_experiment_number(builtin, "65536"), -ENOENT);
	assert_int_equal(registry_experiment_number(builtin, "99999999999999999999"), -ENOENT);
	assert_int_equal(registry_activity_number(builtin, 3, "Analysis Input"), 14);
	assert_int_equal(registry_activity_number(builtin, 3, "analysis_input"), 14);
	assert_int_equal(registry_activity_number(builtin, 3, "ANALYSISINPUT"), 14);
	assert_int_equal(registry_activity_number(builtin, 1, "DataChallenge"), 4);
	assert_int_equal(registry_activity_number(builtin, 2, "Upload/Download (Job)"), 22);
	assert_int_equal(registry_activity_number(builtin, 2, "Upload Download (Job)"), -ENOENT);
	assert_int_equal(registry_activity_number(builtin, 3, "255"), 255);
	assert_int_equal(registry_activity_number(builtin, 3, "256"), -ENOENT);
	assert_int_equal(registry_activity_number(builtin, 99, "default"), -ENOENT);
	assert_int_equal(registry_activity_number(builtin, 99, "7"), 7);
}

static void the_published_document_says_the_same(void **state)
{
	struct registry *published = NULL;
	char path[512], why[160];

	(void)state;
	if (shared_missing(path, sizeof(path), "data/registry-api.json"))
		skip();
	assert_int_equal(registry_load(&published, path, why, sizeof(why)), 0);
	assert_int_equal(published->n_experiments, builtin->n_experiments);
	assert_string_equal(published->modified, builtin->modified);
	for (size_t i = 0; i < published->n_experiments; i++) {
		const struct registry_experiment *a = &published->experiments[i];
		const struct registry_experiment *b = &builtin->experiments[i];

		assert_int_equal(a->id, b->id);
		assert_string_equal(a->name, b->name);
		assert_int_equal(a->n_activities, b->n_activities);
		for (size_t j = 0; j < a->n_activities; j++) {
			assert_int_equal(a->activities[j].id, b->activities[j].id);
			assert_string_equal(a->activities[j].name, b->activities[j].name);
		}
	}
	registry_free(published);
}

#define ACT(id, name)       "{\"activityId\":" #id ",\"activityName\":\"" name "\"}"
#define EXP(id, name, acts) "{\"expId\":" #id ",\"expName\":\"" name "\",\"activities\":[" acts "]}"
#define DOC(exps)           "{\"version\":1,\"experiments\":[" exps "]}"
#define NAME63              "123456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *json, *why;
} refused[] = {
	{"", "not JSON"},
	{"{", "not JSON"},
	{"<html>not found</html>", "not JSON"},
	{"[]", "no JSON object"},
	{"{}", "no experiments"},
	{"{\"version\":1}", "no experiments"},
	{DOC(""), "no experiments"},
	{"{\"experiments\":{}}", "no experiments"},
	{"{\"version\":2,\"experiments\":[" EXP(1, "a", ACT(1, "x")) "]}", "version"},
	{"{\"version\":\"1\",\"experiments\":[" EXP(1, "a", ACT(1, "x")) "]}", "version"},
	{"{\"modified\":5,\"experiments\":[" EXP(1, "a", ACT(1, "x")) "]}", "modified"},
	{DOC(EXP(1, "a", ACT(1, "x"))) "x", "not JSON"},
	{DOC(EXP(1, "a", ACT(1, "x")) ","), "not JSON"}, /* a trailing comma */
	{DOC("7"), "no object"},
	{DOC(EXP(-1, "a", ACT(1, "x"))), "expId -1 is outside 0..65535"},
	{DOC(EXP(65536, "a", ACT(1, "x"))), "expId 65536 is outside 0..65535"},
	{DOC(EXP(1.0, "a", ACT(1, "x"))), "expId is missing or no integer"},
	{DOC(EXP("1", "a", ACT(1, "x"))), "expId is missing or no integer"},
	{DOC(EXP(null, "a", ACT(1, "x"))), "expId is missing or no integer"},
	{DOC("{\"expName\":\"a\",\"activities\":[]}"), "expId is missing"},
	{DOC("{\"expId\":1,\"activities\":[]}"), "expName is missing"},
	{DOC("{\"expId\":1,\"expName\":\"a\"}"), "no list of activities"},
	{DOC(EXP(1, "", ACT(1, "x"))), "expName is missing"},
	{DOC(EXP(1, NAME63 "4", ACT(1, "x"))), "longer than 63"},
	{DOC(EXP(1, "a\\u0007", ACT(1, "x"))), "control character"},
	{DOC(EXP(1, "a\\u0000b", ACT(1, "x"))), "not JSON"},
	{DOC(EXP(1, "a", ACT(256, "x"))), "activityId 256 is outside 0..255"},
	{DOC(EXP(1, "a", ACT(-1, "x"))), "activityId -1 is outside"},
	{DOC(EXP(1, "a", ACT(1, "x") "," ACT(1, "y"))), "activity 1 \"y\" twice"},
	{DOC(EXP(1, "a", ACT(1, "x") "," ACT(2, "x"))), "activity 2 \"x\" twice"},
	{DOC(EXP(1, "a", ACT(1, "x")) "," EXP(1, "b", ACT(1, "x"))), "1 \"b\" is there twice"},
	{DOC(EXP(1, "a", ACT(1, "x")) "," EXP(2, "a", ACT(1, "x"))), "2 \"a\" is there twice"},
	{"{\"version\":1,\"version\":1,\"experiments\":[]}", "not JSON"},
	{DOC(EXP(99999999999999999999999, "a", ACT(1, "x"))), "not JSON"},
};

static void a_bad_document_is_refused_with_a_reason(void **state)
{
	struct registry *untouched = builtin, *r = untouched;
	char why[160];

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		why[0] = 0;
		if (registry_parse(&r, refused[i].json, strlen(refused[i].json), why,
				   sizeof(why)) != -EBADMSG)
			fail_msg("let in: %s", refused[i].json);
		if (!strstr(why, refused[i].why))
			fail_msg("%s: said \"%s\"", refused[i].json, why);
		assert_ptr_equal(r, untouched);
	}
}

static void every_shorter_document_is_refused(void **state)
{
	const char *json = DOC(EXP(3, "cms", ACT(14, "Analysis Input")));
	struct registry *r = NULL;
	char why[160];

	(void)state;
	for (size_t n = 0; n < strlen(json); n++) {
		char *exact = malloc(n ? n : 1); /* one byte too far is a report */

		memcpy(exact, json, n);
		assert_int_equal(registry_parse(&r, exact, n, why, sizeof(why)), -EBADMSG);
		free(exact);
	}
	r = parsed(json);
	assert_int_equal(r->n_pairs, 1);
	registry_free(r);
}

static void the_ends_of_the_ranges_are_let_in(void **state)
{
	struct registry *r =
		parsed(DOC(EXP(65535, NAME63, ACT(255, "high") "," ACT(0, "low")) "," EXP(
			0, "zero", ACT(0, "zero")) "," EXP(7, "none", "")));

	(void)state;
	assert_int_equal(r->n_experiments, 3);
	assert_int_equal(r->n_pairs, 3);
	assert_int_equal(r->experiments[0].id, 0); /* sorted */
	assert_int_equal(r->experiments[2].activities[0].id, 0);
	assert_string_equal(registry_activity_name(r, 65535, 255), "high");
	/* 0/0 is "no tag" and 65535/255 has no code: neither is in the packet walk's set */
	for (size_t i = 0; i < SCITAG_CODES / 64; i++)
		assert_int_equal(r->pairs.bits[i], 0);
	registry_free(r);
}

/* Plain 256/4 is 0x010004, which is the label of 2/1 (rev9(2) = 128; 128 << 9 | 1 << 2). */
static void overlapping_dialects_are_noticed(void **state)
{
	struct registry *r =
		parsed(DOC(EXP(2, "two", ACT(1, "one")) "," EXP(256, "other", ACT(4, "four"))));

	(void)state;
	assert_int_equal(r->dialects_overlap, 1);
	registry_free(r);
	r = parsed(DOC(EXP(2, "two", ACT(2, "two")) "," EXP(256, "other", ACT(4, "four"))));
	assert_int_equal(r->dialects_overlap, 0);
	registry_free(r);
}

static void a_shrunken_document_may_not_replace(void **state)
{
	struct registry *two =
		parsed(DOC(EXP(1, "a", ACT(1, "x")) "," EXP(2, "b", ACT(1, "x") "," ACT(2, "y"))));
	struct registry *fewer_experiments =
		parsed(DOC(EXP(1, "a", ACT(1, "x") "," ACT(2, "y") "," ACT(3, "z"))));
	struct registry *fewer_pairs =
		parsed(DOC(EXP(1, "a", ACT(1, "x")) "," EXP(2, "b", ACT(1, "x"))));
	struct registry *empty = parsed(DOC(EXP(1, "a", "")));

	(void)state;
	assert_null(registry_refuse_swap(two, two));
	assert_non_null(registry_refuse_swap(two, fewer_experiments));
	assert_non_null(registry_refuse_swap(two, fewer_pairs));
	assert_non_null(registry_refuse_swap(two, empty));
	assert_non_null(registry_refuse_swap(empty, empty));
	assert_null(registry_refuse_swap(fewer_pairs, two));
	registry_free(two);
	registry_free(fewer_experiments);
	registry_free(fewer_pairs);
	registry_free(empty);
}

static void collect(void *arg, const char *line)
{
	strcat(arg, line);
	strcat(arg, "\n");
}

static void differences_are_named(void **state)
{
	struct registry *a = parsed(DOC(EXP(1, "a", ACT(1, "x") "," ACT(3, "z")) "," EXP(
		2, "b", ACT(1, "x")) "," EXP(3, "c", ACT(1, "x"))));
	struct registry *b = parsed(DOC(EXP(1, "a", ACT(1, "X") "," ACT(2, "y")) "," EXP(
		3, "C", ACT(1, "x")) "," EXP(4, "d", ACT(9, "n"))));
	char text[1024] = "";

	(void)state;
	registry_diff(a, b, collect, text);
	assert_string_equal(text, "~ 1/1 a x -> X\n"
				  "+ 1/2 a y\n"
				  "- 1/3 a z\n"
				  "- 2 b\n"
				  "- 2/1 b x\n"
				  "~ 3 c -> C\n"
				  "+ 4 d\n"
				  "+ 4/9 d n\n");
	text[0] = 0;
	registry_diff(a, a, collect, text);
	assert_string_equal(text, "");
	registry_free(a);
	registry_free(b);
}

static void a_file_is_loaded_or_refused_with_a_reason(void **state)
{
	struct registry *r = NULL;
	char why[160];

	(void)state;
	assert_int_equal(registry_load(&r, "registry/scitags.json", why, sizeof(why)), 0);
	assert_int_equal(r->n_pairs, 114);
	registry_free(r);
	assert_int_equal(registry_load(&r, "registry/no-such.json", why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "No such file or directory");
	assert_int_equal(registry_load(&r, "registry", why, sizeof(why)), -EISDIR);
	assert_int_equal(registry_load(&r, "/dev/zero", why, sizeof(why)), -EBADMSG);
	assert_string_equal(why, "larger than 4194304 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_snapshot_has_14_experiments_and_114_pairs),
		cmocka_unit_test(names_are_as_published),
		cmocka_unit_test(numbers_are_found_by_name),
		cmocka_unit_test(the_published_document_says_the_same),
		cmocka_unit_test(a_bad_document_is_refused_with_a_reason),
		cmocka_unit_test(every_shorter_document_is_refused),
		cmocka_unit_test(the_ends_of_the_ranges_are_let_in),
		cmocka_unit_test(overlapping_dialects_are_noticed),
		cmocka_unit_test(a_shrunken_document_may_not_replace),
		cmocka_unit_test(differences_are_named),
		cmocka_unit_test(a_file_is_loaded_or_refused_with_a_reason),
	};

	return cmocka_run_group_tests(tests, open_builtin, close_builtin);
}
