/* Any text: it is refused with a position inside it, or it means the same in C and in SQL. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "store/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t resolve(void *arg, enum dim dim, const char *text, int experiment, int32_t *out,
		      size_t cap)
{
	(void)arg, (void)dim;
	if (cap == 0 || strlen(text) > 3 || (experiment >= 0 && experiment % 7))
		return 0;
	*out = (int32_t)strlen(text);
	return 1;
}

static int evaluate(sqlite3 *handle, const char *expression)
{
	char *sql = sqlite3_mprintf("SELECT (%s) FROM row", expression);
	sqlite3_stmt *st = NULL;
	int value;

	if (sqlite3_prepare_v2(handle, sql, -1, &st, NULL) != SQLITE_OK)
		abort();
	if (sqlite3_step(st) != SQLITE_ROW)
		abort();
	value = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_free(sql);
	return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct traffic_key key = {.source = 2,
					       .direction = 1,
					       .family = 6,
					       .carrier = 1,
					       .grade = 2,
					       .experiment = 7,
					       .activity = 3,
					       .src_site = 3,
					       .dst_site = 1,
					       .application = 2};
	static sqlite3 *handle;
	static char sql[FILTER_SQL_MAX];
	char *text = malloc(size + 1), why[200];
	struct filter *f = NULL;
	size_t at = SIZE_MAX;
	int err;

	if (!handle) {
		sqlite3_open(":memory:", &handle);
		sqlite3_exec(
			handle,
			"CREATE TABLE row AS SELECT 2 AS source, 1 AS direction, 6 AS family, 1 AS "
			"carrier, 2 AS grade, 7 AS experiment, 3 AS activity, 3 AS src_site, "
			"1 AS dst_site, 2 AS application",
			NULL, NULL, NULL);
	}
	memcpy(text, data, size);
	text[size] = '\0';
	err = filter_parse(&f, text, resolve, NULL, why, sizeof(why), &at);
	if (err && (at > strlen(text) || !why[0]))
		abort();
	if (!err &&
	    (filter_sql(f, sql, sizeof(sql)) < 0 || evaluate(handle, sql) != filter_match(f, &key)))
		abort();
	filter_free(f);
	free(text);
	return 0;
}
