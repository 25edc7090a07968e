#include <stdlib.h>
#include <string.h>

#include "web/export.h"

/* --- CSV ---------------------------------------------------------------------------------- */

static void put_quoted(struct text *t, const char *words)
{
	char one[2] = "";

	if (!words[strcspn(words, ",\"\r\n")]) {
		text_put(t, words);
		return;
	}
	text_put(t, "\"");
	for (; *words; words++) {
		one[0] = *words;
		text_put(t, *words == '"' ? "\"\"" : one);
	}
	text_put(t, "\"");
}

/* Lists of words are one cell, with blanks between. */
static void put_list(struct text *t, json_t *list)
{
	struct text words = {0};
	json_t *value;
	char *all;
	size_t i;

	json_array_foreach(list, i, value)
	{
		if (i)
			text_put(&words, " ");
		text_put(&words, json_string_value(value) ?: "");
	}
	all = text_take(&words);
	if (all)
		put_quoted(t, all);
	free(all);
}

static void put_cell(struct text *t, json_t *value)
{
	if (json_is_array(value))
		put_list(t, value);
	else if (json_is_string(value))
		put_quoted(t, json_string_value(value));
	else if (value && !json_is_null(value))
		text_json(t, json_incref(value));
}

/* The cells of one row under the columns; the header where is_header. */
static void put_cells(struct export *e, json_t *columns, json_t *row, const char *prefix,
		      int is_header)
{
	const char *name;
	json_t *column;

	json_object_foreach(columns, name, column)
	{
		json_t *value = json_object_get(row, name);

		if (json_is_object(column)) {
			struct text longer = {0};
			char *full;

			text_put(&longer, prefix);
			text_put(&longer, name);
			text_put(&longer, "_");
			full = text_take(&longer);
			if (full)
				put_cells(e, column, value, full, is_header);
			free(full);
			continue;
		}
		if (e->n++)
			text_put(&e->text, ",");
		if (is_header) {
			text_put(&e->text, prefix);
			text_put(&e->text, name);
		} else {
			put_cell(&e->text, value);
		}
	}
}

static void put_line(struct export *e, json_t *row, int is_header)
{
	e->n = 0;
	put_cells(e, e->columns, row, "", is_header);
	text_put(&e->text, "\r\n");
}

/* --- all of them -------------------------------------------------------------------------- */

void export_open(struct export *e, enum export_format format, json_t *columns)
{
	*e = (struct export){.format = format, .columns = columns};
	if (format == EXPORT_CSV)
		put_line(e, NULL, 1);
}

void export_row(struct export *e, json_t *row)
{
	switch (e->format) {
	case EXPORT_CSV:
		put_line(e, row, 0);
		json_decref(row);
		return;
	case EXPORT_NDJSON:
		text_json(&e->text, row);
		text_put(&e->text, "\n");
		return;
	case EXPORT_JSON:
		text_put(&e->text, e->n++ ? "," : "");
		text_json(&e->text, row);
	}
}

void export_answer(struct export *e, struct answer *out)
{
	json_decref(e->columns);
	answer_text(out, 200, e->format == EXPORT_CSV ? TYPE_CSV : TYPE_NDJSON,
		    text_take(&e->text));
}

void export_answer_json(struct export *e, json_t *head, const char *name, struct answer *out)
{
	char *rows = text_take(&e->text), *members = json_text(head);
	struct text t = {0};

	json_decref(e->columns);
	if (!rows || !members) {
		answer_text(out, 500, NULL, NULL);
	} else {
		members[strlen(members) - 1] = '\0'; /* the closing brace */
		text_put(&t, members);
		text_put(&t, members[1] ? ",\"" : "\"");
		text_put(&t, name);
		text_put(&t, "\":[");
		text_put(&t, rows);
		text_put(&t, "]}");
		answer_text(out, 200, TYPE_JSON, text_take(&t));
	}
	free(rows);
	free(members);
}
