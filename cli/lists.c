#include <math.h>
#include <string.h>

#include "cli/lists.h"

/* --- a cell ------------------------------------------------------------------------------- */

enum shown { TEXT, COUNT, BYTES, BITS_PER_S, SECONDS, SHARE, WORDS, FLAG, END_POINT };

struct member {
	const char *key;   /* of CSV; NULL: for people only */
	const char *title; /* for people; NULL: not for them */
	const char *path;  /* in the row: "claim.sender" */
	enum shown as;
};
#define MEMBERS(list) (list), sizeof(list) / sizeof((list)[0])

static json_t *at_path(json_t *row, const char *path)
{
	char name[64];

	while (row && *path) {
		size_t len = strcspn(path, ".");

		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		row = json_object_get(row, name);
		path += len + (path[len] == '.');
	}
	return row;
}

/* "[2001:db8::1]:443", "192.0.2.1:443" */
static void put_end_point(struct cli_list *l, json_t *row, const char *path)
{
	const char *ip = json_string_value(at_path(row, path)) ?: "";
	char name[32], text[80];
	long long port;

	snprintf(name, sizeof(name), "%s_port", path);
	port = (long long)json_integer_value(json_object_get(row, name));
	snprintf(text, sizeof(text), strchr(ip, ':') ? "[%s]:%lld" : "%s:%lld", ip, port);
	cli_put_text(l, text);
}

static void put_words(struct cli_list *l, json_t *list)
{
	char text[512] = "";
	json_t *word;
	size_t i;

	json_array_foreach(list, i, word)
	{
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "",
			 json_string_value(word) ?: "");
	}
	cli_put_text(l, text);
}

/* "1 h 02 m", "3 m 20 s", "12.5 s" */
static char *span(char *buf, size_t cap_bytes, double s)
{
	long whole = lround(s);

	if (s >= 86400)
		snprintf(buf, cap_bytes, "%ld d %02ld h", whole / 86400, whole / 3600 % 24);
	else if (s >= 3600)
		snprintf(buf, cap_bytes, "%ld h %02ld m", whole / 3600, whole / 60 % 60);
	else if (s >= 60)
		snprintf(buf, cap_bytes, "%ld m %02ld s", whole / 60, whole % 60);
	else
		snprintf(buf, cap_bytes, "%.*f s", s < 10 ? 1 : 0, s);
	return buf;
}

static void put_cell(struct cli_list *l, const struct member *m, json_t *row)
{
	json_t *value = at_path(row, m->path);
	double number = json_number_value(value);
	char text[48];

	if (m->as == END_POINT) {
		put_end_point(l, row, m->path);
	} else if (m->as == WORDS && json_is_array(value)) {
		put_words(l, value);
	} else if (!value || json_is_null(value)) {
		cli_put_none(l);
	} else if (json_is_boolean(value)) {
		cli_put_flag(l, json_is_true(value));
	} else if (json_is_string(value)) {
		cli_put_text(l, json_string_value(value));
	} else if (m->as == BYTES) {
		cli_put_shown(l, number, cli_si(text, sizeof(text), number, "B"));
	} else if (m->as == BITS_PER_S) {
		cli_put_shown(l, number, cli_si(text, sizeof(text), 8 * number, "b/s"));
	} else if (m->as == SECONDS) {
		cli_put_shown(l, number, span(text, sizeof(text), number));
	} else if (m->as == SHARE) {
		snprintf(text, sizeof(text), "%.1f %%", 100 * number);
		cli_put_shown(l, number, text);
	} else if (json_is_integer(value)) {
		cli_put_int(l, json_integer_value(value));
	} else {
		cli_put_real(l, number, 3);
	}
}

static void list_rows(json_t *rows, const struct cli_common *common, const struct member *members,
		      size_t n)
{
	struct cli_column columns[CLI_COLUMNS_MAX];
	struct cli_list *l;
	json_t *row;
	size_t i;

	for (i = 0; i < n; i++)
		columns[i] = (struct cli_column){members[i].key, members[i].title};
	l = cli_list_open(stdout, cli_format(common), columns, n);
	if (!l)
		return;
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < n; c++)
			put_cell(l, &members[c], row);
	}
	cli_list_close(l);
}

/* Programs get the answer as it is. 1: that was done. */
static int told_as_json(json_t *answer, const struct cli_common *common)
{
	if (!common->json)
		return 0;
	json_dumpf(answer, stdout, JSON_INDENT(1));
	putchar('\n');
	return 1;
}

static void heading(const struct cli_common *common, const char *text)
{
	if (!common->csv)
		printf("\n%s%s%s\n", cli_colour(stdout, CLI_DIM), text,
		       cli_colour(stdout, CLI_PLAIN));
}

/* --- flows -------------------------------------------------------------------------------- */

static const struct member flow_members[] = {
	{NULL, "rate", "bytes_per_s", BITS_PER_S},
	{NULL, "source", "src", END_POINT},
	{NULL, "destination", "dst", END_POINT},
	{"src", NULL, "src", TEXT},
	{"src_port", NULL, "src_port", COUNT},
	{"dst", NULL, "dst", TEXT},
	{"dst_port", NULL, "dst_port", COUNT},
	{"protocol", "proto", "protocol", TEXT},
	{"state", "state", "state", TEXT},
	{"grade", "grade", "grade", TEXT},
	{"experiment", "experiment", "experiment", TEXT},
	{"activity", "activity", "activity", TEXT},
	{"carrier", NULL, "carrier", TEXT},
	{"bytes", "bytes", "bytes", BYTES},
	{"error_bytes", NULL, "error_bytes", BYTES},
	{"packets", NULL, "packets", COUNT},
	{"bytes_per_s", NULL, "bytes_per_s", COUNT},
	{"back_bytes", NULL, "back.bytes", BYTES},
	{"first", NULL, "first", TEXT},
	{"last", NULL, "last", TEXT},
	{"duration_s", "lasts", "duration_s", SECONDS},
	{"src_site", "from site", "src_site", TEXT},
	{"dst_site", "to site", "dst_site", TEXT},
	{"point", NULL, "point", TEXT},
	{"claim_experiment", "claims", "claim.experiment", TEXT},
	{"claim_activity", NULL, "claim.activity", TEXT},
	{"claim_sender", NULL, "claim.sender", TEXT},
	{"claim_application", NULL, "claim.application", TEXT},
	{"claim_bytes_src_to_dst", NULL, "claim.bytes_src_to_dst", BYTES},
	{"claim_bytes_dst_to_src", NULL, "claim.bytes_dst_to_src", BYTES},
	{"claim_oddities", NULL, "claim.oddities", WORDS},
	{"why", NULL, "why", TEXT},
};
_Static_assert(sizeof(flow_members) / sizeof(flow_members[0]) <= CLI_COLUMNS_MAX, "a row's cells");

void list_flows(json_t *answer, const struct cli_common *common)
{
	size_t n = json_array_size(json_object_get(answer, "flows"));
	json_int_t matching = json_integer_value(json_object_get(answer, "matching"));

	if (told_as_json(answer, common))
		return;
	list_rows(json_object_get(answer, "flows"), common, MEMBERS(flow_members));
	if (!common->csv && matching > (json_int_t)n)
		printf("%s%lld flows in all%s\n", cli_colour(stdout, CLI_DIM), (long long)matching,
		       cli_colour(stdout, CLI_PLAIN));
}

/* --- agreement ---------------------------------------------------------------------------- */

static const struct member cell_members[] = {
	{"wire_experiment_id", NULL, "wire.experiment_id", COUNT},
	{"wire_activity_id", NULL, "wire.activity_id", COUNT},
	{"wire_experiment", "on the wire", "wire.experiment", TEXT},
	{"wire_activity", "", "wire.activity", TEXT},
	{"claim_experiment_id", NULL, "claim.experiment_id", COUNT},
	{"claim_activity_id", NULL, "claim.activity_id", COUNT},
	{"claim_experiment", "claimed", "claim.experiment", TEXT},
	{"claim_activity", "", "claim.activity", TEXT},
	{"verdict", "verdict", "verdict", TEXT},
	{"flows", "flows", "flows", COUNT},
	{"bytes", "bytes", "bytes", BYTES},
	{"flows_1h", "last hour", "flows_1h", COUNT},
	{"bytes_1h", "", "bytes_1h", BYTES},
};
static const struct member sender_members[] = {
	{"sender", "sender", "sender", TEXT},
	{"producer", "producer", "producer", TEXT},
	{"provenance", "speaks as", "provenance", TEXT},
	{"last_heard", NULL, "last_heard", TEXT},
	{"fireflies", "fireflies", "fireflies", COUNT},
	{"claims", "claims", "claims", COUNT},
	{"joined", "seen", "joined", COUNT},
	{"confirmed", "confirmed", "confirmed", COUNT},
	{"disagree", "disagree", "disagree", COUNT},
	{"claimed", "not marked", "claimed", COUNT},
	{"duplicates", NULL, "duplicates", COUNT},
	{"claimed_bytes", "claimed", "claimed_bytes", BYTES},
	{"seen_bytes", "as seen", "seen_bytes", BYTES},
	{"clock_offset_s", "clock s", "clock_offset_s", COUNT},
};

static void show_hints(json_t *senders)
{
	json_t *sender, *odd;
	size_t i, k;

	json_array_foreach(senders, i, sender)
	{
		json_array_foreach(json_object_get(sender, "oddities"), k, odd)
		{
			printf("%s%s: %s%s, %lld claims. %s\n", cli_colour(stdout, CLI_YELLOW),
			       json_string_value(json_object_get(sender, "sender")) ?: "",
			       json_string_value(json_object_get(odd, "oddity")) ?: "",
			       cli_colour(stdout, CLI_PLAIN),
			       (long long)json_integer_value(json_object_get(odd, "claims")),
			       json_string_value(json_object_get(odd, "hint")) ?: "");
		}
	}
}

static void show_senders(json_t *answer, const struct cli_common *common)
{
	if (told_as_json(answer, common))
		return;
	list_rows(json_object_get(answer, "senders"), common, MEMBERS(sender_members));
	if (!common->csv)
		show_hints(json_object_get(answer, "senders"));
}

static void show_agreement(json_t *answer, const struct cli_common *common)
{
	if (told_as_json(answer, common))
		return;
	list_rows(json_object_get(answer, "cells"), common, MEMBERS(cell_members));
	if (common->csv)
		return;
	heading(common, "Senders");
	show_senders(answer, common);
}

/* --- sites, coverage ---------------------------------------------------------------------- */

static const struct member pair_members[] = {
	{"src_site", "from", "src_site", TEXT}, {"dst_site", "to", "dst_site", TEXT},
	{"bytes", "bytes", "bytes", BYTES},     {"error_bytes", "+-95 %", "error_bytes", BYTES},
	{"packets", NULL, "packets", COUNT},    {"samples", NULL, "samples", COUNT},
};

static void show_sites(json_t *answer, const struct cli_common *common)
{
	if (!told_as_json(answer, common))
		list_rows(json_object_get(answer, "pairs"), common, MEMBERS(pair_members));
}

static const struct member grade_members[] = {
	{"grade", "grade", "grade", TEXT},
	{"bytes", "bytes", "bytes", BYTES},
	{"error_bytes", "+-95 %", "error_bytes", BYTES},
	{"packets", NULL, "packets", COUNT},
	{"share", "share", "share", SHARE},
};
static const struct member tag_members[] = {
	{"experiment", "experiment", "experiment", TEXT},
	{"activity", "activity", "activity", TEXT},
	{"flows", "flows", "flows", COUNT},
	{"significant", "more than chance", "significant", FLAG},
};
static const struct member place_members[] = {
	{"site", "site", "site", TEXT},
	{"bytes", "sent", "bytes", BYTES},
	{"confirmed", "confirmed", "confirmed", BYTES},
	{"registered", "registered", "registered", BYTES},
	{"disagree", "disagree", "disagree", BYTES},
	{"claimed", "claimed", "claimed", BYTES},
	{"tagged_share", "tagged", "tagged_share", SHARE},
};

static void show_coverage(json_t *answer, const struct cli_common *common)
{
	if (told_as_json(answer, common))
		return;
	list_rows(json_object_get(answer, "grades"), common, MEMBERS(grade_members));
	if (common->csv)
		return;
	printf("tagged: %.2f %%, less what chance explains: %.2f %%\n",
	       100 * json_number_value(json_object_get(answer, "tagged_share")),
	       100 * json_number_value(json_object_get(answer, "tagged_share_corrected")));
	heading(common, "Flows with registered labels");
	list_rows(at_path(answer, "label_flows.tags"), common, MEMBERS(tag_members));
	printf("chance gives each tag %.3g flows\n",
	       json_number_value(at_path(answer, "label_flows.expected_flows_per_pair")));
	heading(common, "By the site that sends");
	list_rows(json_object_get(answer, "sites"), common, MEMBERS(place_members));
}

/* --- durations, claims -------------------------------------------------------------------- */

static const struct member duration_members[] = {
	{"experiment", "experiment", "key.experiment", TEXT},
	{"activity", "activity", "key.activity", TEXT},
	{"flows", "flows", "flows", COUNT},
	{"median", "median", "median", SECONDS},
	{"p95", "95 %", "p95", SECONDS},
	{"max", "longest", "max", SECONDS},
};
static const struct member size_members[] = {
	{"experiment", "experiment", "key.experiment", TEXT},
	{"activity", "activity", "key.activity", TEXT},
	{"flows", "flows", "flows", COUNT},
	{"median", "median", "median", BYTES},
	{"p95", "95 %", "p95", BYTES},
	{"max", "largest", "max", BYTES},
};

static void show_durations(json_t *answer, const struct cli_common *common)
{
	const char *unit = json_string_value(json_object_get(answer, "unit")) ?: "";

	if (told_as_json(answer, common))
		return;
	if (!strcmp(unit, "seconds"))
		list_rows(json_object_get(answer, "rows"), common, MEMBERS(duration_members));
	else
		list_rows(json_object_get(answer, "rows"), common, MEMBERS(size_members));
}

static const struct member claim_members[] = {
	{"experiment", "experiment", "key.experiment", TEXT},
	{"activity", "activity", "key.activity", TEXT},
	{"application", "application", "key.application", TEXT},
	{"bytes", "as they flowed", "total", BYTES},
	{"end_bytes", "as booked at END", "total_end_bytes", BYTES},
};

static void show_claims(json_t *answer, const struct cli_common *common)
{
	if (!told_as_json(answer, common))
		list_rows(json_object_get(answer, "series"), common, MEMBERS(claim_members));
}

const struct list_view list_views[] = {
	{"flows", "/api/v1/flows", "flows of the moment, or those that ended", list_flows},
	{"agreement", "/api/v1/agreement", "wire tags against claimed ones, and who claims",
	 show_agreement},
	{"senders", "/api/v1/agreement", "who sends fireflies, and what is odd about them",
	 show_senders},
	{"sites", "/api/v1/sites", "bytes by pair of sites", show_sites},
	{"coverage", "/api/v1/coverage", "how much is tagged, and how well", show_coverage},
	{"durations", "/api/v1/durations", "how long flows last, how large they are",
	 show_durations},
	{"claims", "/api/v1/claims", "claimed bytes, spread and booked", show_claims},
	{NULL, NULL, NULL, NULL},
};

const struct list_view *list_view_find(const char *name)
{
	for (const struct list_view *v = list_views; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}
