/* The configuration file. The whole document is loaded, then walked beside the table, so that every
 * error of a run is said with the place it stands at. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/opt.h"
#include "base/opt_value.h"

#define FILE_MAX_BYTES (1 << 20)
#define ERRORS_MAX     50     /* said; the rest are counted */
#define NODES_MAX      100000 /* visited: an alias counts as often as it is used */
#define DEPTH_MAX      32
#define KEYS_MAX       1024 /* of one mapping */

struct reader {
	const char *name; /* of the file */
	FILE *err;
	yaml_document_t document;
	int errors, nodes;
};

static void __attribute__((format(printf, 4, 0)))
say(struct reader *in, const yaml_mark_t *mark, const char *kind, const char *fmt, va_list args)
{
	if (mark)
		fprintf(in->err, "%s:%zu:%zu: %s", in->name, mark->line + 1, mark->column + 1,
			kind);
	else
		fprintf(in->err, "%s: %s", in->name, kind);
	vfprintf(in->err, fmt, args);
	fputc('\n', in->err);
}

static void __attribute__((format(printf, 3, 4)))
complain(struct reader *in, const yaml_mark_t *mark, const char *fmt, ...)
{
	va_list args;

	if (in->errors++ >= ERRORS_MAX)
		return;
	va_start(args, fmt);
	say(in, mark, "", fmt, args);
	va_end(args);
}

static void __attribute__((format(printf, 3, 4)))
warn(struct reader *in, const yaml_mark_t *mark, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(in, mark, "warning: ", fmt, args);
	va_end(args);
}

/* --- nodes --------------------------------------------------------------------------------------- */

static yaml_node_t *node_of(struct reader *in, int id)
{
	return yaml_document_get_node(&in->document, id);
}

/* The text of a scalar without a NUL in it, else NULL. */
static const char *text_of(const yaml_node_t *node)
{
	const char *text;

	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

static int is_plain(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int is_null(const yaml_node_t *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

	for (size_t i = 0; is_plain(node) && i < sizeof(nulls) / sizeof(nulls[0]); i++)
		if (!strcmp((const char *)node->data.scalar.value, nulls[i]))
			return 1;
	return 0;
}

static const char *kind_of(const yaml_node_t *node)
{
	switch (node->type) {
	case YAML_SEQUENCE_NODE:
		return "a list";
	case YAML_MAPPING_NODE:
		return "a mapping";
	default:
		return is_null(node) ? "nothing" : text_of(node) ? "a text" : "a text with a NUL";
	}
}

/* Not 0 once the walk has become too long or too deep, which only aliases can make it. */
static int exhausted(struct reader *in, const yaml_node_t *node, int depth)
{
	if (++in->nodes <= NODES_MAX && depth <= DEPTH_MAX)
		return 0;
	if (in->nodes <= NODES_MAX + 1)
		complain(in, &node->start_mark, "too many or too deep values");
	in->nodes = NODES_MAX + 1; /* said once; everything after is refused */
	return 1;
}

/* --- unknown keys -------------------------------------------------------------------------------- */

static int is_end(const struct opt *o)
{
	return !o->key && !o->name;
}

/* The part of a dotted key behind prefix ("http." or ""), NULL if it is not under it. */
static const char *under(const struct opt *o, const char *prefix)
{
	size_t len = strlen(prefix);

	return o->key && !strncmp(o->key, prefix, len) ? o->key + len : NULL;
}

static const char *leaf_of(const char *key)
{
	const char *dot = strrchr(key, '.');

	return dot ? dot + 1 : key;
}

/* Say what was probably meant: a neighbour with a similar name, or the same name elsewhere. */
static void complain_unknown(struct reader *in, const yaml_mark_t *mark, const struct opt *opts,
			     const char *prefix, const char *key)
{
	char words[256][64];
	const char *names[256], *near, *elsewhere = NULL;
	size_t n = 0;

	for (const struct opt *o = opts; !is_end(o) && n < 256; o++) {
		const char *rest = under(o, prefix);

		if (rest) {
			snprintf(words[n], sizeof(words[n]), "%.*s", (int)strcspn(rest, "."), rest);
			names[n] = words[n];
			n++;
		}
		if (o->key && !elsewhere && !strcmp(leaf_of(o->key), leaf_of(key)))
			elsewhere = o->key;
	}
	near = opt_nearest(key, names, n);
	if (near)
		complain(in, mark, "unknown key '%s%.80s', did you mean '%s%s'?", prefix, key,
			 prefix, near);
	else if (elsewhere && strchr(elsewhere, '.'))
		complain(in, mark, "unknown key '%s%.80s': '%s' belongs under '%.*s'", prefix, key,
			 leaf_of(elsewhere), (int)(leaf_of(elsewhere) - elsewhere - 1), elsewhere);
	else if (elsewhere)
		complain(in, mark, "unknown key '%s%.80s': '%s' belongs at the top", prefix, key,
			 elsewhere);
	else
		complain(in, mark, "unknown key '%s%.80s'", prefix, key);
}

/* --- values -------------------------------------------------------------------------------------- */

static void read_mapping(struct reader *in, const struct opt *opts, void *config,
			 const char *prefix, yaml_node_t *node, int depth);

static void complain_kind(struct reader *in, const struct opt *o, const yaml_node_t *node)
{
	char expected[OPT_WHY_BYTES];

	complain(in, &node->start_mark, "%s: expected %s, got %s", o->key,
		 opt_expected(o, expected, sizeof(expected)), kind_of(node));
}

static void read_scalar(struct reader *in, const struct opt *o, void *config, yaml_node_t *node)
{
	const char *text = text_of(node);
	char why[OPT_WHY_BYTES], expected[OPT_WHY_BYTES];

	if (!text)
		complain_kind(in, o, node);
	else if ((o->type == OPT_INT || o->type == OPT_FLAG) && !is_plain(node))
		complain(in, &node->start_mark, "%s: expected %s, got the text \"%.80s\"", o->key,
			 opt_expected(o, expected, sizeof(expected)), text);
	else if (opt_set(o, config, text, why, sizeof(why)))
		complain(in, &node->start_mark, "%s: %s", o->key, why);
}

static void read_texts(struct reader *in, const struct opt *o, void *config, yaml_node_t *node)
{
	opt_clear(o, config);
	if (node->type == YAML_SCALAR_NODE) {
		read_scalar(in, o, config, node);
		return;
	}
	if (node->type != YAML_SEQUENCE_NODE) {
		complain_kind(in, o, node);
		return;
	}
	for (yaml_node_item_t *i = node->data.sequence.items.start;
	     i < node->data.sequence.items.top; i++) {
		yaml_node_t *item = node_of(in, *i);

		if (exhausted(in, item, 0))
			return;
		if (is_null(item))
			complain(in, &item->start_mark, "%s: an empty entry in the list", o->key);
		else
			read_scalar(in, o, config, item);
	}
}

static int is_repeated(struct reader *in, yaml_node_t *mapping, const yaml_node_pair_t *pair,
		       const char *key)
{
	for (yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < pair; p++) {
		yaml_node_t *earlier = node_of(in, p->key);
		const char *text = text_of(earlier);

		if (!text || strcmp(text, key))
			continue;
		complain(in, &node_of(in, pair->key)->start_mark,
			 "key '%.80s' is there twice, first in line %zu", key,
			 earlier->start_mark.line + 1);
		return 1;
	}
	return 0;
}

/* Steps through the pairs of a mapping: the key's text, or NULL where an error has been said. */
static const char *take_key(struct reader *in, yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
	yaml_node_t *node = node_of(in, pair->key);
	const char *key = text_of(node);

	if (pair - mapping->data.mapping.pairs.start == KEYS_MAX)
		complain(in, &node->start_mark, "more than %d keys in one mapping", KEYS_MAX);
	if (pair - mapping->data.mapping.pairs.start >= KEYS_MAX)
		return NULL;
	if (!key) {
		complain(in, &node->start_mark, "a key must be a text, not %s", kind_of(node));
		return NULL;
	}
	return is_repeated(in, mapping, pair, key) ? NULL : key;
}

static void read_map(struct reader *in, const struct opt *o, void *config, yaml_node_t *node)
{
	opt_clear(o, config);
	if (node->type != YAML_MAPPING_NODE) {
		complain_kind(in, o, node);
		return;
	}
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *value = node_of(in, p->value);
		const char *text = text_of(value), *key, *complaint;

		if (exhausted(in, value, 0))
			return;
		key = take_key(in, node, p);
		if (!key)
			continue;
		if (!text) {
			complain(in, &value->start_mark, "%s: expected a text for '%.80s', got %s",
				 o->key, key, kind_of(value));
			continue;
		}
		complaint = o->validate ? o->validate(text) : NULL;
		if (complaint)
			complain(in, &value->start_mark, "%s: %s, got '%.80s'", o->key, complaint,
				 text);
		else if (opt_add_pair(o, config, key, text))
			complain(in, &value->start_mark, "%s: out of memory", o->key);
	}
}

static void read_items(struct reader *in, const struct opt *o, void *config, yaml_node_t *node,
		       int depth)
{
	opt_clear(o, config);
	if (node->type != YAML_SEQUENCE_NODE) {
		complain_kind(in, o, node);
		return;
	}
	for (yaml_node_item_t *i = node->data.sequence.items.start;
	     i < node->data.sequence.items.top; i++) {
		yaml_node_t *entry = node_of(in, *i);
		void *item;

		if (exhausted(in, entry, depth))
			return;
		if (entry->type != YAML_MAPPING_NODE) {
			complain(in, &entry->start_mark, "%s: expected a mapping, got %s", o->key,
				 kind_of(entry));
			continue;
		}
		item = opt_add_item(o, config);
		if (!item) {
			complain(in, &entry->start_mark, "%s: out of memory", o->key);
			return;
		}
		read_mapping(in, o->item_opts, item, "", entry, depth + 1);
	}
}

static void read_section(struct reader *in, const struct opt *opts, const struct opt *section,
			 void *config, const char *path, yaml_node_t *key, yaml_node_t *node,
			 int depth)
{
	char prefix[OPT_PATH_BYTES + 1];

	if (is_null(node)) {
		if (section) /* absent, as flowd-go has it: a likely surprise */
			warn(in, &key->start_mark,
			     "'%s' is empty and stays off; '%s: {}' turns it on", path,
			     leaf_of(path));
		return;
	}
	if (node->type != YAML_MAPPING_NODE) {
		complain(in, &node->start_mark, "%s: expected a section, got %s", path,
			 kind_of(node));
		return;
	}
	if (section)
		*(int *)opt_at(section, config) = 1;
	snprintf(prefix, sizeof(prefix), "%s.", path);
	read_mapping(in, opts, config, prefix, node, depth + 1);
}

static void read_value(struct reader *in, const struct opt *o, void *config, yaml_node_t *key,
		       yaml_node_t *node, int depth)
{
	if (o->type == OPT_IGNORED) {
		warn(in, &key->start_mark, "'%s' has no effect: %s", o->key, o->help);
		return;
	}
	if (is_null(node)) /* nothing said: what is there stays */
		return;
	switch (o->type) {
	case OPT_TEXTS:
		read_texts(in, o, config, node);
		break;
	case OPT_MAP:
		read_map(in, o, config, node);
		break;
	case OPT_ITEMS:
		read_items(in, o, config, node, depth);
		break;
	default:
		read_scalar(in, o, config, node);
	}
}

static void read_mapping(struct reader *in, const struct opt *opts, void *config,
			 const char *prefix, yaml_node_t *node, int depth)
{
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *key_node = node_of(in, p->key), *value = node_of(in, p->value);
		const struct opt *exact = NULL;
		char path[OPT_PATH_BYTES];
		const char *key;
		int is_prefix = 0;

		if (exhausted(in, key_node, depth))
			return;
		key = take_key(in, node, p);
		if (!key)
			continue;
		snprintf(path, sizeof(path), "%s%s", prefix, key);
		for (const struct opt *o = opts; !is_end(o); o++) {
			const char *rest = strchr(key, '.') ? NULL : under(o, path);

			if (rest && !*rest)
				exact = o;
			else if (rest && *rest == '.')
				is_prefix = 1;
		}
		if (exact && exact->type != OPT_SECTION)
			read_value(in, exact, config, key_node, value, depth);
		else if (exact || is_prefix)
			read_section(in, opts, exact, config, path, key_node, value, depth);
		else
			complain_unknown(in, &key_node->start_mark, opts, prefix, key);
	}
}

/* --- documents ----------------------------------------------------------------------------------- */

/* libyaml's own complaint. A tab is what it mostly is when no token can start. */
static void complain_syntax(struct reader *in, const yaml_parser_t *parser, const char *text,
			    size_t len_bytes)
{
	yaml_mark_t mark = parser->problem_mark;
	const char *problem = parser->problem ?: "out of memory";
	size_t line = 0, at = 0;

	if (parser->error == YAML_READER_ERROR) { /* no mark, but a byte offset */
		memset(&mark, 0, sizeof(mark));
		for (; at < parser->problem_offset && at < len_bytes; at++) {
			mark.column++;
			if (text[at] == '\n') {
				mark.line++;
				mark.column = 0;
			}
		}
		complain(in, &mark, "not YAML: %s", problem);
		return;
	}
	while (line < mark.line && at < len_bytes)
		line += text[at++] == '\n';
	for (; at < len_bytes && (text[at] == ' ' || text[at] == '\t'); at++)
		if (text[at] == '\t') {
			complain(in, &mark, "not YAML: %s; indent with blanks, not tabs", problem);
			return;
		}
	complain(in, &mark, "not YAML: %s%s%s", problem, parser->context ? ", " : "",
		 parser->context ?: "");
}

/* Load the only document of text. 0 with in->document to delete; 1: nothing there; -EINVAL: said. */
static int load(struct reader *in, const char *text, size_t len_bytes)
{
	yaml_document_t second;
	yaml_parser_t parser;
	yaml_node_t *root;
	int result = -EINVAL;

	if (!yaml_parser_initialize(&parser)) {
		complain(in, NULL, "out of memory");
		return -EINVAL;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len_bytes);
	if (!yaml_parser_load(&parser, &in->document)) {
		complain_syntax(in, &parser, text, len_bytes);
		goto out;
	}
	if (!yaml_document_get_root_node(&in->document)) {
		yaml_document_delete(&in->document);
		result = 1;
		goto out;
	}
	if (!yaml_parser_load(&parser, &second)) {
		complain_syntax(in, &parser, text, len_bytes);
		yaml_document_delete(&in->document);
		goto out;
	}
	root = yaml_document_get_root_node(&second);
	if (root) {
		complain(in, &root->start_mark, "a second document: only one is read");
		yaml_document_delete(&in->document);
	} else {
		result = 0;
	}
	yaml_document_delete(&second);
out:
	yaml_parser_delete(&parser);
	return result;
}

int opt_read_value(const struct opt *o, void *config, const char *yaml)
{
	struct reader in = {.name = o->key ?: o->name, .err = stderr};
	yaml_node_t *root;

	if (load(&in, yaml, strlen(yaml)))
		return -EINVAL;
	root = yaml_document_get_root_node(&in.document);
	read_value(&in, o, config, root, root, 0);
	yaml_document_delete(&in.document);
	return in.errors ? -EINVAL : 0;
}

int opt_read_text(const struct opt_program *p, void *config, const char *name, const char *text,
		  size_t len_bytes, FILE *err)
{
	struct reader in = {.name = name, .err = err};
	yaml_node_t *root;
	int result;

	if (len_bytes > FILE_MAX_BYTES) {
		complain(&in, NULL, "larger than 1 MiB");
		return -EINVAL;
	}
	result = load(&in, text, len_bytes);
	if (result)
		return result < 0 ? result : 0;
	root = yaml_document_get_root_node(&in.document);
	if (root->type == YAML_MAPPING_NODE)
		read_mapping(&in, p->opts, config, "", root, 0);
	else if (!is_null(root))
		complain(&in, &root->start_mark, "expected keys and values, got %s", kind_of(root));
	yaml_document_delete(&in.document);
	if (in.errors > ERRORS_MAX)
		fprintf(err, "%s: %d more errors\n", name, in.errors - ERRORS_MAX);
	return in.errors ? -EINVAL : 0;
}

int opt_read_file(const struct opt_program *p, void *config, const char *path, FILE *err)
{
	char *text = malloc(FILE_MAX_BYTES + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC), result = 0;
	size_t used = 0;
	ssize_t n = 1;

	while (text && fd >= 0 && n > 0 && used <= FILE_MAX_BYTES) {
		n = read(fd, text + used, FILE_MAX_BYTES + 1 - used);
		if (n > 0)
			used += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (!text || fd < 0 || n < 0) {
		result = -errno;
		fprintf(err, "%s: %s\n", path, strerror(errno));
	} else {
		result = opt_read_text(p, config, path, text, used, err);
	}
	if (fd >= 0)
		close(fd);
	free(text);
	return result;
}
