/* Listings in their four forms, and numbers for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <jansson.h>
#include <cmocka.h>

#include "cli/cli.h"

static const struct cli_column columns[] = {
	{"name", "Name"}, {"n_bytes", "Bytes"}, {"share", NULL}, {"good", "Good"}, {NULL, "Note"},
};

static char *listed(enum cli_format format, int n_rows)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct cli_list *l = cli_list_open(f, format, columns, 5);

	if (n_rows > 0) {
		cli_put_text(l, "plain");
		cli_put_shown(l, 1500, "1.50 kB");
		cli_put_real(l, 0.25, 3);
		cli_put_flag(l, 1);
		cli_put_text(l, "seen");
	}
	if (n_rows > 1) {
		cli_put_text(l, "a,\"b\"\n\xc3\xa9\033");
		cli_put_int(l, -7);
		cli_put_real(l, NAN, 3);
		cli_put_none(l);
		cli_put_text(l, NULL);
	}
	cli_list_close(l);
	fclose(f);
	return text;
}

static void expect(enum cli_format format, int n_rows, const char *expected)
{
	char *text = listed(format, n_rows);

	assert_string_equal(text, expected);
	free(text);
}

static void csv_quotes_what_rfc_4180_says(void **state)
{
	(void)state;
	expect(CLI_CSV, 0, "name,n_bytes,share,good\r\n");
	expect(CLI_CSV, 2,
	       "name,n_bytes,share,good\r\n"
	       "plain,1500,0.250,true\r\n"
	       "\"a,\"\"b\"\"\n\xc3\xa9\033\",-7,,\r\n");
}

static void json_is_one_array_or_one_object_a_line(void **state)
{
	(void)state;
	expect(CLI_JSON, 0, "[]\n");
	expect(CLI_JSON, 2,
	       "[{\"name\":\"plain\",\"n_bytes\":1500,\"share\":0.25,\"good\":true},\n"
	       " {\"name\":\"a,\\\"b\\\"\\n\xc3\xa9\\u001B\",\"n_bytes\":-7,\"share\":null,"
	       "\"good\":null}]\n");
	expect(CLI_JSON_LINES, 1,
	       "{\"name\":\"plain\",\"n_bytes\":1500,\"share\":0.25,\"good\":true}\n");
}

static void a_table_is_aligned_and_harmless(void **state)
{
	(void)state;
	expect(CLI_TABLE, 0, "");
	expect(CLI_TABLE, 2,
	       "Name        Bytes  Good  Note\n"
	       "plain     1.50 kB  yes   seen\n"
	       "a,\"b\"?\xc3\xa9?       -7        \n");
}

static void what_is_not_utf_8_does_not_break_json(void **state)
{
	static const struct cli_column one[] = {{"text", NULL}};
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct cli_list *l = cli_list_open(f, CLI_JSON, one, 1);

	(void)state;
	cli_put_text(l, "a\xff\xfe z");
	cli_list_close(l);
	fclose(f);
	assert_string_equal(text, "[{\"text\":\"a?? z\"}]\n");
	free(text);
}

static void numbers_have_three_figures_and_a_prefix(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{0, "0 B"},          {7, "7 B"},         {0.5, "0.50 B"},     {999, "999 B"},
		{999.4, "999 B"},    {999.6, "1.00 kB"}, {1000, "1.00 kB"},   {1500, "1.50 kB"},
		{9996, "10.0 kB"},   {12345, "12.3 kB"}, {99960, "100 kB"},   {123456, "123 kB"},
		{999500, "1.00 MB"}, {1e9, "1.00 GB"},   {2.5e12, "2.50 TB"}, {-1500, "-1.50 kB"},
		{1e24, "1000 ZB"},
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(cli_si(buf, sizeof(buf), cases[i].value, "B"), cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(csv_quotes_what_rfc_4180_says),
		cmocka_unit_test(json_is_one_array_or_one_object_a_line),
		cmocka_unit_test(a_table_is_aligned_and_harmless),
		cmocka_unit_test(what_is_not_utf_8_does_not_break_json),
		cmocka_unit_test(numbers_have_three_figures_and_a_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
