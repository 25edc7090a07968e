/* What the verbs of the `scitag` tool share: exit codes, options, listings, progress.
 *
 * A verb is one file, cli/NAME.c, with int verb_NAME(int argc, char **argv) (argv[0] is its name),
 * a struct opt_program of its options, and one row in the table of cli/main.c; dispatch, --help and
 * shell completion come from that row. Data goes to stdout, everything else to stderr. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/opt.h"

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_CONFIG = 3,
	CLI_PERMISSION = 4, /* or a missing capability */
	CLI_INCOMPLETE = 5, /* finished, but data is missing */
};

typedef int (*cli_verb_function)(int argc, char **argv);
struct cli_verb {
	const char *name;
	cli_verb_function run;
	const struct opt_program *program; /* its summary is the verb's sentence in --help */
};
extern const struct cli_verb cli_verbs[]; /* ends with a NULL name */

void cli_man(FILE *out); /* the whole man page, from the same tables */

int verb_decode(int argc, char **argv);
int verb_encode(int argc, char **argv);
int verb_registry(int argc, char **argv);
int verb_read(int argc, char **argv);
int verb_tail(int argc, char **argv);
int verb_top(int argc, char **argv);
int verb_query(int argc, char **argv);
int verb_gen(int argc, char **argv);
int verb_replay(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_completion(int argc, char **argv);

extern const struct opt_program decode_program, encode_program, registry_program, read_program,
	tail_program, top_program, query_program, gen_program, replay_program, check_program,
	doctor_program, completion_program;

/* --- options: the first member of every verb's config, and the rows that fill it ---------------- */
struct cli_common {
	int help, json, csv;
};
/* clang-format off */
#define CLI_OPT_HELP \
	{ .name = "help", .letter = 'h', .type = OPT_VERB, .offset = offsetof(struct cli_common, help), \
	  .help = "Show this help." }
#define CLI_OPT_LISTING \
	{ .name = "json", .type = OPT_VERB, .offset = offsetof(struct cli_common, json), \
	  .help = "Write JSON." }, \
	{ .name = "csv", .type = OPT_VERB, .offset = offsetof(struct cli_common, csv), \
	  .help = "Write CSV (RFC 4180) with a header line." }
/* clang-format on */

/* Defaults, then argv, over a zeroed config that starts with struct cli_common. Returns -1 when the
 * verb should go on with argv[*first_rest...]; otherwise what to exit with: CLI_OK after --help,
 * CLI_USAGE after an error, which has been said. */
int cli_args(const struct opt_program *p, void *config, int argc, char **argv, int *first_rest);
/* Say "scitag VERB: what", point at --help, and return CLI_USAGE. */
int cli_usage(const struct opt_program *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Say "scitag: what" and return code. */
int cli_fail(enum cli_exit code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The exit code for a negative errno: permission, or failed. */
enum cli_exit cli_exit_of(int err);

/* --- listings ------------------------------------------------------------------------------------ */
enum cli_format {
	CLI_TABLE,
	CLI_JSON,       /* one array of objects */
	CLI_JSON_LINES, /* one object a line */
	CLI_CSV,
};
static inline enum cli_format cli_format(const struct cli_common *c)
{
	return c->json ? CLI_JSON : c->csv ? CLI_CSV : CLI_TABLE;
}

struct cli_column {
	const char *key;   /* of JSON and CSV, with its unit: "len_bytes"; NULL: table only */
	const char *title; /* of the table; NULL: not in the table */
};
#define CLI_COLUMNS_MAX 32

/* Rows are written cell by cell in the order of the columns, every row all of them. A table is held
 * back until close, for its widths; the rest streams. Numbers are right-aligned in tables. Text from
 * outside may hold anything: control characters are shown as '?'. One thread. */
struct cli_list; /* opaque */
struct cli_list *cli_list_open(FILE *out, enum cli_format format, const struct cli_column *columns,
			       size_t n_columns);        /* NULL: no memory */
void cli_put_text(struct cli_list *l, const char *text); /* NULL: none */
void cli_put_int(struct cli_list *l, int64_t value);
void cli_put_real(struct cli_list *l, double value, int digits);
void cli_put_flag(struct cli_list *l, int yes); /* true/false; yes/no in a table */
void cli_put_none(struct cli_list *l);          /* null; empty */
/* value in JSON and CSV, text in the table: cli_put_shown(l, bytes, "1.50 GB"); */
void cli_put_shown(struct cli_list *l, double value, const char *shown);
void cli_list_close(struct cli_list *l); /* takes NULL */

/* --- for people ---------------------------------------------------------------------------------- */
enum cli_colour { CLI_PLAIN, CLI_BOLD, CLI_DIM, CLI_RED, CLI_GREEN, CLI_YELLOW, CLI_BLUE };
/* The escape that switches to a colour, or "" when `out` is no terminal or NO_COLOR is set. */
const char *cli_colour(FILE *out, enum cli_colour colour);
/* "1.50 GB", "940 Mb/s": value with an SI prefix and three figures; buf needs 24 bytes + unit. */
char *cli_si(char *buf, size_t cap_bytes, double value, const char *unit);

/* One line on stderr, redrawn at most ten times a second, only when stderr is a terminal. */
struct cli_progress {
	const char *what, *unit; /* "reading", "B" */
	uint64_t total;          /* 0: unknown, then no bar and no time left */
	int64_t start_mono_ns, drawn_mono_ns;
	int on;
};
void cli_progress_start(struct cli_progress *p, const char *what, const char *unit, uint64_t total);
void cli_progress_to(struct cli_progress *p, uint64_t done);
void cli_progress_end(struct cli_progress *p); /* wipes the line */

#endif
