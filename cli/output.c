/* What the verbs say and how: options, listings, colour, progress. */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

int cli_args(const struct opt_program *p, void *config, int argc, char **argv, int *first_rest)
{
	struct cli_common *common = config;

	if (opt_defaults(p, config) || opt_read_args(p, config, argc, argv, first_rest, stderr)) {
		fprintf(stderr, "'%s --help' lists the options\n", p->name);
		return CLI_USAGE;
	}
	if (common->help) {
		opt_help(p, stdout);
		return CLI_OK;
	}
	if (common->json && common->csv)
		return cli_usage(p, "--json and --csv exclude each other");
	return -1;
}

static void __attribute__((format(printf, 2, 0)))
complain(const char *who, const char *fmt, va_list args)
{
	fprintf(stderr, "%s%s:%s ", cli_colour(stderr, CLI_RED), who,
		cli_colour(stderr, CLI_PLAIN));
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

int cli_usage(const struct opt_program *p, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain(p->name, fmt, args);
	va_end(args);
	fprintf(stderr, "usage: %s %s\n", p->name, p->synopsis);
	return CLI_USAGE;
}

int cli_fail(enum cli_exit code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain("scitag", fmt, args);
	va_end(args);
	return code;
}

enum cli_exit cli_exit_of(int err)
{
	return err == -EPERM || err == -EACCES ? CLI_PERMISSION : CLI_FAILED;
}

/* --- listings ------------------------------------------------------------------------------------ */

enum cell_kind { CELL_TEXT, CELL_NUMBER };
struct cell {
	enum cell_kind kind;
	char *text;
};

struct cli_list {
	FILE *out;
	enum cli_format format;
	struct cli_column columns[CLI_COLUMNS_MAX];
	size_t n_columns, at; /* the column of the next cell */
	size_t n_rows, n_cells, cap_cells;
	struct cell *cells; /* of the table */
	json_t *object;     /* of the row, JSON */
	int no_memory;
};

struct cli_list *cli_list_open(FILE *out, enum cli_format format, const struct cli_column *columns,
			       size_t n_columns)
{
	struct cli_list *l = n_columns <= CLI_COLUMNS_MAX ? calloc(1, sizeof(*l)) : NULL;
	const char *comma = "";

	if (!l)
		return NULL;
	l->out = out;
	l->format = format;
	l->n_columns = n_columns;
	memcpy(l->columns, columns, n_columns * sizeof(*columns));
	if (format == CLI_JSON)
		fputc('[', out);
	if (format == CLI_CSV) {
		for (size_t i = 0; i < n_columns; i++)
			if (columns[i].key) {
				fprintf(out, "%s%s", comma, columns[i].key);
				comma = ",";
			}
		fputs("\r\n", out);
	}
	return l;
}

static void put_csv(FILE *out, const char *text)
{
	if (!text[strcspn(text, ",\"\r\n")]) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

/* A copy without what a terminal would obey. */
static char *printable(const char *text)
{
	char *copy = strdup(text);

	for (unsigned char *c = (unsigned char *)copy; c && *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
	return copy;
}

/* JSON is UTF-8; what is not becomes '?'. */
static json_t *json_text(const char *text)
{
	json_t *value = json_string(text);
	char *copy;

	if (value)
		return value;
	copy = strdup(text);
	for (char *c = copy; c && *c; c++)
		if (*c & 0x80)
			*c = '?';
	value = copy ? json_string(copy) : NULL;
	free(copy);
	return value;
}

static void end_row(struct cli_list *l)
{
	char *line;

	l->at = 0;
	l->n_rows++;
	switch (l->format) {
	case CLI_JSON:
	case CLI_JSON_LINES:
		line = json_dumps(l->object, JSON_COMPACT | JSON_REAL_PRECISION(12));
		if (l->format == CLI_JSON)
			fputs(l->n_rows > 1 ? ",\n " : "", l->out);
		fprintf(l->out, "%s%s", line ?: "null", l->format == CLI_JSON ? "" : "\n");
		free(line);
		json_decref(l->object);
		l->object = NULL;
		break;
	case CLI_CSV:
		fputs("\r\n", l->out);
		break;
	case CLI_TABLE:
		break;
	}
}

/* One cell in all its forms; text NULL: none. Takes over json. */
static void put(struct cli_list *l, enum cell_kind kind, const char *text, const char *shown,
		json_t *json)
{
	const struct cli_column *column = &l->columns[l->at];

	switch (l->format) {
	case CLI_JSON:
	case CLI_JSON_LINES:
		if (!l->object)
			l->object = json_object();
		if (column->key)
			json_object_set_new(l->object, column->key, json ?: json_null());
		else
			json_decref(json);
		json = NULL;
		break;
	case CLI_CSV:
		if (column->key) {
			for (size_t i = 0; i < l->at; i++)
				if (l->columns[i].key) {
					fputc(',', l->out);
					break;
				}
			put_csv(l->out, text ?: "");
		}
		break;
	case CLI_TABLE:
		if (l->n_cells == l->cap_cells) {
			size_t cap = l->cap_cells ? l->cap_cells * 2 : 256;
			struct cell *more = realloc(l->cells, cap * sizeof(*more));

			if (!more) {
				l->no_memory = 1;
				break;
			}
			l->cells = more;
			l->cap_cells = cap;
		}
		l->cells[l->n_cells].kind = kind;
		l->cells[l->n_cells++].text = printable(shown ?: "");
		break;
	}
	json_decref(json);
	if (++l->at == l->n_columns)
		end_row(l);
}

void cli_put_text(struct cli_list *l, const char *text)
{
	put(l, CELL_TEXT, text, text, text ? json_text(text) : NULL);
}

void cli_put_int(struct cli_list *l, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	put(l, CELL_NUMBER, text, text, json_integer(value));
}

void cli_put_real(struct cli_list *l, double value, int digits)
{
	char text[64];

	if (!isfinite(value)) {
		cli_put_none(l);
		return;
	}
	snprintf(text, sizeof(text), "%.*f", digits, value);
	put(l, CELL_NUMBER, text, text, json_real(value));
}

void cli_put_flag(struct cli_list *l, int yes)
{
	put(l, CELL_TEXT, yes ? "true" : "false", yes ? "yes" : "no", json_boolean(yes));
}

void cli_put_none(struct cli_list *l)
{
	put(l, CELL_TEXT, NULL, NULL, NULL);
}

void cli_put_shown(struct cli_list *l, double value, const char *shown)
{
	int whole = value == floor(value) && fabs(value) < 9007199254740992.0;
	char text[64];

	snprintf(text, sizeof(text), whole ? "%.0f" : "%.9g", value);
	put(l, CELL_NUMBER, text, shown,
	    whole ? json_integer((json_int_t)value) : json_real(value));
}

/* Columns on a terminal, counting UTF-8 characters as one each. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += (*text & 0xC0) != 0x80;
	return width;
}

static void print_table(struct cli_list *l)
{
	int width[CLI_COLUMNS_MAX] = {0}, right[CLI_COLUMNS_MAX] = {0};
	size_t last = 0;

	for (size_t c = 0; c < l->n_columns; c++)
		if (l->columns[c].title) {
			width[c] = width_of(l->columns[c].title);
			last = c;
		}
	for (size_t i = 0; i < l->n_cells; i++) {
		size_t c = i % l->n_columns;
		int w = width_of(l->cells[i].text ?: "");

		width[c] = w > width[c] ? w : width[c];
		right[c] |= l->cells[i].kind == CELL_NUMBER;
	}
	fputs(cli_colour(l->out, CLI_BOLD), l->out);
	for (size_t c = 0; c < l->n_columns; c++)
		if (l->columns[c].title) {
			const char *title = l->columns[c].title;
			int pad = width[c] - width_of(title);

			fprintf(l->out, "%*s%s%*s%s", right[c] ? pad : 0, "", title,
				right[c] || c == last ? 0 : pad, "", c == last ? "" : "  ");
		}
	fprintf(l->out, "%s\n", cli_colour(l->out, CLI_PLAIN));
	for (size_t i = 0; i < l->n_cells; i++) {
		size_t c = i % l->n_columns;
		const char *text = l->cells[i].text ?: "";
		int pad = width[c] - width_of(text);

		if (l->columns[c].title)
			fprintf(l->out, "%*s%s%*s%s", right[c] ? pad : 0, "", text,
				right[c] || c == last ? 0 : pad, "", c == last ? "" : "  ");
		if (c == l->n_columns - 1)
			fputc('\n', l->out);
	}
}

void cli_list_close(struct cli_list *l)
{
	if (!l)
		return;
	if (l->format == CLI_JSON)
		fputs("]\n", l->out);
	if (l->format == CLI_TABLE && l->n_rows)
		print_table(l);
	if (l->no_memory)
		fprintf(stderr, "scitag: out of memory, the table is incomplete\n");
	for (size_t i = 0; i < l->n_cells; i++)
		free(l->cells[i].text);
	free(l->cells);
	json_decref(l->object);
	free(l);
}

/* --- for people ---------------------------------------------------------------------------------- */

const char *cli_colour(FILE *out, enum cli_colour colour)
{
	static const char *const escapes[] = {
		[CLI_PLAIN] = "\033[0m", [CLI_BOLD] = "\033[1m",   [CLI_DIM] = "\033[2m",
		[CLI_RED] = "\033[31m",  [CLI_GREEN] = "\033[32m", [CLI_YELLOW] = "\033[33m",
		[CLI_BLUE] = "\033[34m",
	};
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

	if ((no_colour && *no_colour) || (term && !strcmp(term, "dumb")) || !isatty(fileno(out)))
		return "";
	return escapes[colour];
}

char *cli_si(char *buf, size_t cap_bytes, double value, const char *unit)
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E", "Z"};
	size_t i = 0;

	/* 999.5 would be shown as 1000 */
	for (; fabs(value) >= 999.5 && i + 1 < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		value /= 1000;
	if (i == 0 && value == floor(value))
		snprintf(buf, cap_bytes, "%.0f %s", value, unit);
	else
		snprintf(buf, cap_bytes, "%.*f %s%s",
			 fabs(value) < 9.995   ? 2
			 : fabs(value) < 99.95 ? 1
					       : 0,
			 value, prefixes[i], unit);
	return buf;
}

void cli_progress_start(struct cli_progress *p, const char *what, const char *unit, uint64_t total)
{
	memset(p, 0, sizeof(*p));
	p->what = what;
	p->unit = unit;
	p->total = total;
	p->start_mono_ns = clock_mono_ns();
	p->drawn_mono_ns = p->start_mono_ns;
	p->on = isatty(STDERR_FILENO);
}

void cli_progress_to(struct cli_progress *p, uint64_t done)
{
	static const char full[] = "##############################";
	char rate[48], per_second[16], amount[48];
	int64_t now = p->on ? clock_mono_ns() : 0;
	double seconds = (double)(now - p->start_mono_ns) / NS_PER_S;
	double share, left_s;

	if (!p->on || now - p->drawn_mono_ns < NS_PER_S / 10)
		return;
	p->drawn_mono_ns = now;
	snprintf(per_second, sizeof(per_second), "%s/s", p->unit);
	cli_si(rate, sizeof(rate), (double)done / seconds, per_second);
	if (!p->total || done > p->total) {
		fprintf(stderr, "\r%s %s, %s\033[K", p->what,
			cli_si(amount, sizeof(amount), (double)done, p->unit), rate);
		return;
	}
	share = (double)done / (double)p->total;
	left_s = share > 0 ? seconds / share - seconds : 0;
	fprintf(stderr, "\r%s [%-30.*s] %3.0f%%  %s  %d:%02d left\033[K", p->what,
		(int)(share * 30), full, share * 100, rate, (int)left_s / 60, (int)left_s % 60);
}

void cli_progress_end(struct cli_progress *p)
{
	if (p->on)
		fputs("\r\033[K", stderr);
	p->on = 0;
}
