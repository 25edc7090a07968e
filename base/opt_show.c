/* What the table looks like to people: the configuration in force, help, man page, completion. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"
#include "base/opt_value.h"

#define COLUMNS 96
#define INDENT  2 /* of a YAML level */

static int is_end(const struct opt *o)
{
	return !o->key && !o->name;
}

/* Length of the next word; what stands in brackets, "[--http [ADDR]:PORT]", is one. */
static int word_len(const char *text)
{
	int depth = 0, len = 0;

	for (; text[len] && (depth > 0 || (text[len] != ' ' && text[len] != '\n')); len++)
		depth += (text[len] == '[') - (text[len] == ']');
	return len;
}

/* Write text word by word, no line beyond COLUMNS; `lead` starts every further line. `column` is
 * where the pen is. */
static void wrap(FILE *out, const char *text, int column, const char *lead)
{
	int start = column;

	while (*text) {
		int len = word_len(text);

		if (column > start && column + 1 + len > COLUMNS) {
			fprintf(out, "\n%s", lead);
			column = start = (int)strlen(lead);
		} else if (column > start) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", len, text);
		column += len;
		text += len;
		text += strspn(text, " \n");
	}
}

#define MEANING_BYTES 2048

/* What a key is for, what it may be, and what it is by default. */
static char *meaning(const struct opt *o, char *buf, size_t cap_bytes)
{
	int told = o->type == OPT_INT || o->type == OPT_CHOICE || o->type == OPT_MAP ||
		   ((o->type == OPT_SIZE || o->type == OPT_DURATION) && (o->min || o->max));
	char value[OPT_WHY_BYTES];

	if (o->type == OPT_SECTION) {
		snprintf(buf, cap_bytes, "%s An empty one, {}, is on with all defaults.",
			 o->help ?: "");
		return buf;
	}
	snprintf(buf, cap_bytes, "%s%s%s%s%s%s%s", o->help ?: "", told ? " Value: " : "",
		 told ? opt_expected(o, value, sizeof(value)) : "", told ? "." : "",
		 o->default_text ? " Default: " : "",
		 o->default_text && !*o->default_text ? "empty" : o->default_text ?: "",
		 o->default_text ? "." : "");
	return buf;
}

/* --- the configuration in force ------------------------------------------------------------------ */

/* A text that YAML reads back as it is without quotes. */
static int is_simple(const char *text)
{
	static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off"};
	size_t len = strlen(text);

	if (!isalnum((unsigned char)*text) && *text != '/')
		return 0;
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_./:@%+-", *c))
			return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(text, words[i]))
			return 0;
	return text[len - 1] != ':';
}

/* What libyaml does not take, or would fold, inside double quotes; each as bytes of UTF-8. */
static const struct {
	const char *bytes, *escape;
} special[] = {
	{"\"", "\\\""},
	{"\\", "\\\\"},
	{"\n", "\\n"},
	{"\t", "\\t"},
	{"\xe2\x80\xa8", "\\L"}, /* line and paragraph separator */
	{"\xe2\x80\xa9", "\\P"},
	{"\xef\xbb\xbf", "\\uFEFF"},
	{"\xef\xbf\xbe", "\\uFFFE"},
	{"\xef\xbf\xbf", "\\uFFFF"},
};

static void put_text(FILE *out, const char *text)
{
	if (is_simple(text)) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	while (*text) {
		unsigned char c = (unsigned char)text[0], next = (unsigned char)text[1];
		size_t i = 0, n = sizeof(special) / sizeof(special[0]);

		while (i < n && strncmp(text, special[i].bytes, strlen(special[i].bytes)))
			i++;
		if (i < n) {
			fputs(special[i].escape, out);
			text += strlen(special[i].bytes);
		} else if (c < 0x20 || c == 0x7f) {
			fprintf(out, "\\x%02X", c);
			text++;
		} else if (c == 0xc2 && next >= 0x80 && next < 0xa0) { /* C1 controls */
			fprintf(out, "\\x%02X", next);
			text += 2;
		} else {
			fputc(c, out);
			text++;
		}
	}
	fputc('"', out);
}

struct dump {
	FILE *out;
	const struct opt *opts;
	const void *config;
	int comments; /* say what each key is for */
};

static void dump_level(const struct dump *d, const char *prefix, int indent, int off);

static int is_listed(const struct opt *o, const char *prefix)
{
	return o->key && o->type != OPT_IGNORED && !strncmp(o->key, prefix, strlen(prefix));
}

/* Is it inside a section below prefix that is absent? Its line is a comment then. */
static int is_switched_off(const struct dump *d, const struct opt *o, const char *prefix)
{
	for (const struct opt *s = d->opts; !is_end(s); s++) {
		size_t len = is_listed(s, prefix) && s->type == OPT_SECTION ? strlen(s->key) : 0;

		if (len && !*(const int *)opt_at_const(s, d->config) &&
		    !strncmp(o->key, s->key, len) && o->key[len] == '.')
			return 1;
	}
	return 0;
}

/* Would anything below prefix be a line that is not a comment? */
static int has_lines(const struct dump *d, const char *prefix)
{
	for (const struct opt *o = d->opts; !is_end(o); o++) {
		if (!is_listed(o, prefix) || is_switched_off(d, o, prefix))
			continue;
		if (o->type == OPT_SECTION ? *(const int *)opt_at_const(o, d->config)
		    : o->type == OPT_TEXT  ? *(char *const *)opt_at_const(o, d->config) != NULL
					   : 1)
			return 1;
	}
	return 0;
}

static void put_value(const struct dump *d, const struct opt *o, int indent)
{
	const void *at = opt_at_const(o, d->config);
	const struct opt_texts *texts = at;
	const struct opt_items *items = at;
	const struct opt_map *map = at;
	char buf[32];

	switch (o->type) {
	case OPT_FLAG:
		fprintf(d->out, " %s\n", *(const int *)at ? "true" : "false");
		break;
	case OPT_INT:
		fprintf(d->out, " %" PRId64 "\n", *(const int64_t *)at);
		break;
	case OPT_SIZE:
		fprintf(d->out, " %s\n", opt_size_text(buf, sizeof(buf), *(const uint64_t *)at));
		break;
	case OPT_DURATION:
		fprintf(d->out, " %s\n",
			opt_duration_text(buf, sizeof(buf), *(const uint64_t *)at));
		break;
	case OPT_CHOICE:
		fputc(' ', d->out);
		put_text(d->out, o->choices[*(const int *)at]);
		fputc('\n', d->out);
		break;
	case OPT_TEXT:
		fputc(' ', d->out);
		put_text(d->out, *(char *const *)at);
		fputc('\n', d->out);
		break;
	case OPT_TEXTS:
		fputs(texts->n ? "\n" : " []\n", d->out);
		for (size_t i = 0; i < texts->n; i++) {
			fprintf(d->out, "%*s- ", indent + INDENT, "");
			put_text(d->out, texts->items[i]);
			fputc('\n', d->out);
		}
		break;
	case OPT_MAP:
		fputs(map->n ? "\n" : " {}\n", d->out);
		for (size_t i = 0; i < map->n; i++) {
			fprintf(d->out, "%*s", indent + INDENT, "");
			put_text(d->out, map->keys[i]);
			fputs(": ", d->out);
			put_text(d->out, map->values[i]);
			fputc('\n', d->out);
		}
		break;
	case OPT_ITEMS:
		fputs(items->n ? "\n" : " []\n", d->out);
		for (size_t i = 0; i < items->n; i++) {
			struct dump item = {d->out, o->item_opts,
					    (const char *)items->items + i * o->item_size, 0};

			fprintf(d->out, "%*s-%s\n", indent + INDENT, "",
				has_lines(&item, "") ? "" : " {}");
			dump_level(&item, "", indent + 2 * INDENT, 0);
		}
		break;
	default:
		fputc('\n', d->out);
	}
}

static void put_comment(const struct dump *d, const struct opt *o, int indent)
{
	char lead[OPT_PATH_BYTES], text[MEANING_BYTES];

	if (!d->comments)
		return;
	snprintf(lead, sizeof(lead), "%*s# ", indent, "");
	fputs(lead, d->out);
	wrap(d->out, meaning(o, text, sizeof(text)), (int)strlen(lead), lead);
	fputc('\n', d->out);
}

/* "key: value"; behind a '#' what is not set, with what it would be. */
static void put_leaf(const struct dump *d, const struct opt *o, const char *key, int indent,
		     int off)
{
	int is_list = o->type == OPT_TEXTS || o->type == OPT_MAP || o->type == OPT_ITEMS;

	put_comment(d, o, indent);
	off |= o->type == OPT_TEXT && !*(char *const *)opt_at_const(o, d->config);
	fprintf(d->out, "%*s%s%s:", indent, "", off ? "# " : "", key);
	if (off && (is_list || o->type == OPT_TEXT))
		fprintf(d->out, "%s%s\n", o->default_text ? " " : "", o->default_text ?: "");
	else
		put_value(d, o, indent);
}

/* Every key right under prefix, in the order of the table. off: the section is, so all of it is
 * shown as comments. */
static void dump_level(const struct dump *d, const char *prefix, int indent, int off)
{
	size_t len = strlen(prefix);

	for (const struct opt *o = d->opts; !is_end(o); o++) {
		char path[OPT_PATH_BYTES], below[OPT_PATH_BYTES + 1];
		const struct opt *first = d->opts, *exact = NULL;
		int part, is_off;

		if (!is_listed(o, prefix))
			continue;
		part = (int)strcspn(o->key + len, ".");
		snprintf(path, sizeof(path), "%.*s", (int)len + part, o->key);
		snprintf(below, sizeof(below), "%s.", path);
		while (!is_listed(first, path) ||
		       (strcmp(first->key, path) && !is_listed(first, below)))
			first++;
		if (first != o) /* this part has had its turn */
			continue;
		for (const struct opt *e = d->opts; !is_end(e); e++)
			if (e->key && !strcmp(e->key, path))
				exact = e;
		if (exact && exact->type != OPT_SECTION) {
			put_leaf(d, exact, path + len, indent, off);
			continue;
		}
		if (exact)
			put_comment(d, exact, indent);
		is_off = off || (exact ? !*(const int *)opt_at_const(exact, d->config)
				       : !has_lines(d, below));
		fprintf(d->out, "%*s%s%s:%s\n", indent, "", is_off ? "# " : "", path + len,
			is_off || has_lines(d, below) ? "" : " {}");
		dump_level(d, below, indent + INDENT, is_off);
	}
}

void opt_dump(const struct opt_program *p, const void *config, FILE *out)
{
	struct dump d = {out, p->opts, config, 1};

	fprintf(out, "# Configuration of %s%s%s.\n", p->name, p->default_file ? ", usually " : "",
		p->default_file ?: "");
	dump_level(&d, "", 0, 0);
}

/* --- help ---------------------------------------------------------------------------------------- */

#define HELP_COLUMN 32

/* "FILE", "error|warn|info", or nothing. */
static char *value_name(const struct opt *o, char *buf, size_t cap_bytes)
{
	size_t used = 0;

	snprintf(buf, cap_bytes, "%s", o->arg ?: "");
	for (size_t i = 0; !o->arg && o->choices && o->choices[i] && used < cap_bytes; i++)
		used += (size_t)snprintf(buf + used, cap_bytes - used, "%s%s", i ? "|" : "",
					 o->choices[i]);
	return buf;
}

void opt_help(const struct opt_program *p, FILE *out)
{
	static const char lead[] = "                                "; /* HELP_COLUMN blanks */
	int n_options = 0;

	_Static_assert(sizeof(lead) == HELP_COLUMN + 1, "the lead is as wide as the column");
	fprintf(out, "Usage: %s ", p->name);
	wrap(out, p->synopsis ?: "", 8 + (int)strlen(p->name), "         ");
	fputs("\n\n", out);
	wrap(out, p->summary ?: "", 0, "");
	fputs("\n\n", out);
	for (const struct opt *o = p->opts; !is_end(o); o++) {
		char left[256], text[2 * OPT_WHY_BYTES], value[128];
		const char *shown = o->default_text && *o->default_text ? o->default_text : NULL;

		if (!o->name || o->type == OPT_IGNORED)
			continue;
		snprintf(left, sizeof(left), "  %c%c%c --%s%s%s%s", o->letter ? '-' : ' ',
			 o->letter ?: ' ', o->letter ? ',' : ' ',
			 o->type == OPT_FLAG ? "[no-]" : "", o->name,
			 *value_name(o, value, sizeof(value)) ? " " : "", value);
		fputs(n_options++ ? "" : "Options:\n", out);
		fprintf(out, "%-*s", HELP_COLUMN - 1, left);
		if (strlen(left) > HELP_COLUMN - 2)
			fprintf(out, "\n%s", lead);
		else
			fputc(' ', out);
		snprintf(text, sizeof(text), "%s%s%s%s", o->help ?: "", shown ? " (default " : "",
			 shown ?: "", shown ? ")" : "");
		wrap(out, text, HELP_COLUMN, lead);
		fputc('\n', out);
	}
	if (p->default_file)
		fprintf(out, "\nConfiguration: %s; --dump shows every key with its meaning.\n",
			p->default_file);
}

/* --- man page ------------------------------------------------------------------------------------ */

/* Text for roff: '-' as itself, no line that starts with a request. */
static void put_roff(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '-')
			fputs("\\-", out);
		else if (*text == '\\')
			fputs("\\e", out);
		else
			fputc(*text, out);
	}
}

static void put_meaning(FILE *out, const struct opt *o)
{
	char text[MEANING_BYTES];

	put_roff(out, meaning(o, text, sizeof(text)));
	fputc('\n', out);
}

void opt_man(const struct opt_program *p, FILE *out)
{
	char value[128];

	if (strchr(p->name, ' ')) {
		fputs(".SS ", out);
		put_roff(out, p->name);
		fputs("\n.B ", out);
		put_roff(out, p->name);
		fputs("\n", out);
		put_roff(out, p->synopsis ?: "");
		fputs("\n.PP\n", out);
		put_roff(out, p->summary ?: "");
		fputs(".\n", out);
	} else {
		fputs(".SH OPTIONS\n", out);
	}
	for (const struct opt *o = p->opts; !is_end(o); o++) {
		if (!o->name || o->type == OPT_IGNORED)
			continue;
		fputs(".TP\n", out);
		if (o->letter)
			fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
		fputs("\\fB\\-\\-", out);
		fputs(o->type == OPT_FLAG ? "[no\\-]" : "", out);
		put_roff(out, o->name);
		fputs("\\fR", out);
		if (*value_name(o, value, sizeof(value))) {
			fputs(" \\fI", out);
			put_roff(out, value);
			fputs("\\fR", out);
		}
		fputc('\n', out);
		put_meaning(out, o);
	}
	if (!p->default_file)
		return;
	fputs(".SH FILES\n.TP\n.I ", out);
	put_roff(out, p->default_file);
	fputs("\nThe configuration, in YAML. Every key is optional; an unknown key, a wrong type "
	      "or a "
	      "value out of range is an error. Keys, written with a dot for each level:\n.RS\n",
	      out);
	for (const struct opt *o = p->opts; !is_end(o); o++) {
		if (!o->key)
			continue;
		fputs(".TP\n.B ", out);
		put_roff(out, o->key);
		fputc('\n', out);
		put_meaning(out, o);
		for (const struct opt *i = o->item_opts; i && !is_end(i); i++) {
			fputs(".RS\n.TP\n.B ", out);
			put_roff(out, i->key);
			fputc('\n', out);
			put_meaning(out, i);
			fputs(".RE\n", out);
		}
	}
	fputs(".RE\n", out);
}

/* --- completion ---------------------------------------------------------------------------------- */

void opt_completion(const struct opt_program *p, FILE *out)
{
	char function[64] = "_";

	snprintf(function + 1, sizeof(function) - 1, "%s", p->name);
	for (char *c = function; *c; c++)
		if (!isalnum((unsigned char)*c))
			*c = '_';
	fprintf(out,
		"# bash completion of %s\n%s()\n{\n\tlocal word=\"${COMP_WORDS[COMP_CWORD]}\"\n",
		p->name, function);
	fputs("\tCOMPREPLY=()\n\tcase \"${COMP_WORDS[COMP_CWORD-1]}\" in\n", out);
	for (const struct opt *o = p->opts; !is_end(o); o++) {
		if (!o->name || !o->arg || o->type == OPT_VERB || o->type == OPT_FLAG)
			continue;
		fprintf(out, "\t--%s", o->name);
		if (o->letter)
			fprintf(out, " | -%c", o->letter);
		fputs(")\n\t\t", out);
		if (o->type == OPT_CHOICE) {
			fputs("COMPREPLY=($(compgen -W \"", out);
			for (size_t i = 0; o->choices[i]; i++)
				fprintf(out, "%s%s", i ? " " : "", o->choices[i]);
			fputs("\" -- \"$word\"))", out);
		} else if (!strncmp(o->arg, "IFACE", 5)) {
			fputs("COMPREPLY=($(compgen -W \"$(ls /sys/class/net)\" -- \"$word\"))",
			      out);
		} else if (strstr(o->arg, "FILE") || strstr(o->arg, "PATH")) {
			fputs("COMPREPLY=($(compgen -f -- \"$word\"))", out);
		} else {
			fputs(":", out);
		}
		fputs("\n\t\treturn\n\t\t;;\n", out);
	}
	fputs("\tesac\n\tcase \"$word\" in\n\t-*) ;;\n\t*) return ;;\n\tesac\n", out);
	fputs("\tCOMPREPLY=($(compgen -W \"", out);
	for (const struct opt *o = p->opts; !is_end(o); o++) {
		if (o->name && o->type != OPT_IGNORED)
			fprintf(out, "--%s ", o->name);
		if (o->name && o->type == OPT_FLAG)
			fprintf(out, "--no-%s ", o->name);
	}
	fputs("\" -- \"$word\"))\n}\n", out);
	if (!strchr(p->name, ' '))
		fprintf(out, "complete -o default -F %s %s\n", function, p->name);
}
