/* Answers of an observer as lists: what is in a row, and how people like to read it, is a table. */
#ifndef CLI_LISTS_H
#define CLI_LISTS_H

#include <jansson.h>
#include "cli/cli.h"

/* One of the answers that are lists: flows, agreement, senders, sites, coverage, durations, claims. */
struct list_view {
	const char *name;
	const char *path; /* of the API */
	const char *help;
	void (*show)(json_t *answer, const struct cli_common *common);
};
extern const struct list_view list_views[];               /* ends with a NULL name */
const struct list_view *list_view_find(const char *name); /* NULL: none */

void list_flows(json_t *answer, const struct cli_common *common);

#endif
