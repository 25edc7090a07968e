/* Rows for programs: a JSON array inside an answer, an object a line, or CSV. One list of members
 * makes all three; in CSV a member of a member is named parent_child. */
#ifndef WEB_EXPORT_H
#define WEB_EXPORT_H

#include "web/json.h"

#define TYPE_CSV    "text/csv; charset=utf-8; header=present"
#define TYPE_NDJSON "application/x-ndjson"

enum export_format { EXPORT_JSON, EXPORT_CSV, EXPORT_NDJSON };

struct export
{
	enum export_format format;
	struct text text;
	json_t *columns; /* of CSV: an object with every member that a row may have */
	size_t n;
};

/* columns is taken; of CSV only. */
void export_open(struct export *e, enum export_format format, json_t *columns);
void export_row(struct export *e, json_t *row); /* takes it */
/* The rows as an answer of their own: CSV and an object a line. */
void export_answer(struct export *e, struct answer *out);
/* The rows of EXPORT_JSON behind the members of `head`, as member `name`. Takes head. */
void export_answer_json(struct export *e, json_t *head, const char *name, struct answer *out);

#endif
