/* One table of options -> YAML file and command line into a config struct, --check, --dump, --help,
 * the man page and shell completion. Written once; every name, range and unit has one home.
 *
 * YAML is read with libyaml. An unknown key, a wrong type or a value out of range is an error with
 * file:line:column and a "did you mean"; all errors of a run are said, then -EINVAL. */
#ifndef BASE_OPT_H
#define BASE_OPT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum opt_type {
	OPT_FLAG,     /* int 0/1; on the command line --name and --no-name; YAML true, false */
	OPT_INT,      /* int64_t within [min, max] */
	OPT_SIZE,     /* uint64_t bytes: 512MiB, 2GB, 4096 */
	OPT_DURATION, /* uint64_t seconds: 10s, 5m, 24h, 7d, 2y; 0 and "never" where min is 0 */
	OPT_TEXT,     /* char *, owned by the config; NULL when unset and default_text is NULL */
	OPT_CHOICE,   /* int, index into choices */
	OPT_TEXTS,   /* struct opt_texts; YAML list or one scalar; repeatable on the command line */
	OPT_MAP,     /* struct opt_map: YAML mapping of scalars */
	OPT_ITEMS,   /* struct opt_items: YAML list of mappings, each read with item_opts */
	OPT_SECTION, /* int: 1 when the section is present, even empty ({}) */
	OPT_IGNORED, /* accepted, has no effect; help says why, and a warning quotes it */
	OPT_VERB,    /* command line only: sets int to 1 (--check, --dump, --help, --version) */
};

struct opt_texts {
	size_t n;
	char **items;
};
struct opt_map {
	size_t n;
	char **keys, **values;
};
struct opt_items {
	size_t n;
	void *items; /* n structs of item_size bytes */
};

struct opt {
	const char *key;  /* dotted YAML path, "sflow.listen"; NULL: command line only */
	const char *name; /* long option without dashes; NULL: file only */
	char letter;      /* 0: none */
	enum opt_type type;
	size_t offset;    /* offsetof the config struct */
	int64_t min, max; /* OPT_INT (both 0: any); OPT_SIZE, OPT_DURATION (0: no limit) */
	const char *const *choices;  /* NULL-terminated */
	const char *default_text;    /* as it would stand in the file; NULL: zero, empty */
	const char *arg;             /* "IFACE", for --help; NULL: none */
	const char *help;            /* a sentence or two */
	const struct opt *item_opts; /* OPT_ITEMS */
	size_t item_size;
	const char *(*validate)(const char *text); /* further check; NULL good, else why (static) */
};
#define OPT_END                                                                         \
	{                                                                               \
		NULL, NULL, 0, OPT_FLAG, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, 0, NULL \
	}

struct opt_program { /* what the tables are about, for help and man page */
	const char *name, *synopsis, *summary;
	const struct opt *opts;
	const char *default_file; /* "/etc/scitag/observer.yaml" */
};

/* Config starts as all zero bytes of the caller's struct. */
int opt_defaults(const struct opt_program *p, void *config);
/* Read a file of at most 1 MiB over what is there; `key:` without a value changes nothing. Errors and
 * warnings on `err`. -EINVAL: what is wrong has been left out, the rest was read; -ENOENT, -EACCES
 * and other errors of the system. */
int opt_read_file(const struct opt_program *p, void *config, const char *path, FILE *err);
int opt_read_text(const struct opt_program *p, void *config, const char *name, const char *text,
		  size_t len_bytes, FILE *err);
/* argv over it: -x, -xVALUE, -x VALUE, -xyz, --name=VALUE, --name VALUE, --no-name of a flag, "--".
 * Options may stand behind arguments; argv is put in order, options first, so that
 * argv[*first_rest..argc) are the arguments. A list's first value replaces the file's. -EINVAL. */
int opt_read_args(const struct opt_program *p, void *config, int argc, char **argv, int *first_rest,
		  FILE *err);
void opt_free(const struct opt_program *p, void *config);

void opt_dump(const struct opt_program *p, const void *config, FILE *out); /* YAML with comments */
void opt_help(const struct opt_program *p, FILE *out);
/* roff: sections OPTIONS and FILES; of a verb ("scitag decode") a subsection with its synopsis. */
void opt_man(const struct opt_program *p, FILE *out);
/* bash; of a verb ("scitag decode") only its function, _scitag_decode. */
void opt_completion(const struct opt_program *p, FILE *out);

/* What was probably meant: the candidate at the smallest Levenshtein distance, case aside, if that
 * is small beside the word's length; else NULL. */
const char *opt_nearest(const char *word, const char *const *candidates, size_t n);

#endif
