/* Values, defaults and the command line; opt_yaml.c reads files, opt_show.c writes. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/opt.h"
#include "base/opt_value.h"

/* --- numbers with units ------------------------------------------------------------------------- */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"B", 1},
	{"KiB", 1ULL << 10},
	{"MiB", 1ULL << 20},
	{"GiB", 1ULL << 30},
	{"TiB", 1ULL << 40},
	{"PiB", 1ULL << 50},
	{"kB", 1000ULL},
	{"MB", 1000000ULL},
	{"GB", 1000000000ULL},
	{"TB", 1000000000000ULL},
	{"PB", 1000000000000000ULL},
	{"K", 1ULL << 10}, /* as systemd reads them */
	{"M", 1ULL << 20},
	{"G", 1ULL << 30},
	{"T", 1ULL << 40},
	{NULL, 0},
};

static const struct unit duration_units[] = {
	{"s", 1},     {"m", 60},        {"min", 60},        {"h", 3600},
	{"d", 86400}, {"w", 7 * 86400}, {"y", 365 * 86400}, {NULL, 0},
};

/* Digits at *text, stepping over them. -EINVAL: none, or too large for 64 bits. */
static int take_number(const char **text, uint64_t *out)
{
	uint64_t value = 0;
	const char *p = *text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -EINVAL;
	if (p == *text)
		return -EINVAL;
	*text = p;
	*out = value;
	return 0;
}

static const struct unit *take_unit(const char **text, const struct unit *units)
{
	const char *p = *text + strspn(*text, " ");
	size_t len = 0;

	while (isalpha((unsigned char)p[len]))
		len++;
	for (; units->name; units++)
		if (strlen(units->name) == len && !strncasecmp(units->name, p, len)) {
			*text = p + len;
			return units;
		}
	return NULL;
}

static int parse_size(const char *text, uint64_t *out)
{
	const struct unit *unit = size_units;
	uint64_t value;

	if (take_number(&text, &value))
		return -EINVAL;
	if (*text)
		unit = take_unit(&text, size_units);
	if (!unit || *text || __builtin_mul_overflow(value, unit->factor, &value))
		return -EINVAL;
	*out = value;
	return 0;
}

static int parse_duration(const char *text, uint64_t *out)
{
	uint64_t sum = 0, value;

	if (!strcasecmp(text, "never") || !strcmp(text, "0")) {
		*out = 0;
		return 0;
	}
	do { /* 1h30m */
		const struct unit *unit;

		if (take_number(&text, &value))
			return -EINVAL;
		unit = take_unit(&text, duration_units);
		if (!unit || __builtin_mul_overflow(value, unit->factor, &value) ||
		    __builtin_add_overflow(sum, value, &sum))
			return -EINVAL;
		text += strspn(text, " ");
	} while (*text);
	*out = sum;
	return 0;
}

char *opt_size_text(char *buf, size_t cap_bytes, uint64_t bytes)
{
	const struct unit *unit = size_units;

	for (const struct unit *u = size_units; u < size_units + 6; u++)
		if (bytes && bytes % u->factor == 0)
			unit = u;
	snprintf(buf, cap_bytes, "%" PRIu64 "%s", bytes / unit->factor,
		 unit == size_units ? "" : unit->name);
	return buf;
}

char *opt_duration_text(char *buf, size_t cap_bytes, uint64_t seconds)
{
	const char *name = "s";
	uint64_t factor = 1;

	for (const struct unit *u = duration_units; u->name; u++)
		if (strlen(u->name) == 1 && *u->name != 'w' && seconds &&
		    seconds % u->factor == 0) {
			name = u->name;
			factor = u->factor;
		}
	snprintf(buf, cap_bytes, "%" PRIu64 "%s", seconds / factor, name);
	return buf;
}

static int parse_int(const char *text, int64_t *out)
{
	char *end;

	if (isspace((unsigned char)*text) || !*text)
		return -EINVAL;
	errno = 0;
	*out = strtoll(text, &end, !strncasecmp(text, "0x", 2) ? 16 : 10);
	return errno || *end ? -EINVAL : 0;
}

static int parse_flag(const char *text, int *out)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	for (int i = 0; i < 6; i++)
		if (!strcasecmp(text, words[i])) {
			*out = i & 1;
			return 0;
		}
	return -EINVAL;
}

/* --- values -------------------------------------------------------------------------------------- */

static int no_range(const struct opt *o)
{
	return !o->min && !o->max;
}

char *opt_expected(const struct opt *o, char *buf, size_t cap_bytes)
{
	const char *what = o->type == OPT_SIZE ? "a size such as 4096, 512MiB or 2GB"
					       : "a duration such as 10s, 5m, 24h, 7d or 2y";
	char low[32], high[32];
	size_t used;

	switch (o->type) {
	case OPT_FLAG:
		snprintf(buf, cap_bytes, "true or false");
		break;
	case OPT_INT:
		if (no_range(o))
			snprintf(buf, cap_bytes, "an integer");
		else
			snprintf(buf, cap_bytes, "an integer within %" PRId64 "..%" PRId64, o->min,
				 o->max);
		break;
	case OPT_SIZE:
	case OPT_DURATION:
		if (o->type == OPT_SIZE) {
			opt_size_text(low, sizeof(low), (uint64_t)o->min);
			opt_size_text(high, sizeof(high), (uint64_t)o->max);
		} else {
			opt_duration_text(low, sizeof(low), (uint64_t)o->min);
			opt_duration_text(high, sizeof(high), (uint64_t)o->max);
		}
		snprintf(buf, cap_bytes, "%s%s%s%s%s", what, o->min ? ", at least " : "",
			 o->min ? low : "", o->max ? ", at most " : "", o->max ? high : "");
		break;
	case OPT_CHOICE:
		used = (size_t)snprintf(buf, cap_bytes, "%s",
					o->choices[0] && o->choices[1] ? "one of " : "");
		for (size_t i = 0; o->choices[i] && used < cap_bytes; i++)
			used += (size_t)snprintf(buf + used, cap_bytes - used, "%s%s",
						 i ? ", " : "",
						 *o->choices[i] ? o->choices[i] : "\"\"");
		break;
	case OPT_TEXTS:
		snprintf(buf, cap_bytes, "a list of texts");
		break;
	case OPT_MAP:
		snprintf(buf, cap_bytes, "a mapping of texts");
		break;
	case OPT_ITEMS:
		snprintf(buf, cap_bytes, "a list of mappings");
		break;
	case OPT_SECTION:
		snprintf(buf, cap_bytes, "a section");
		break;
	default:
		snprintf(buf, cap_bytes, "a text");
	}
	return buf;
}

static int unexpected(const struct opt *o, const char *text, char *why, size_t cap_bytes)
{
	char expected[OPT_WHY_BYTES / 2];
	const char *near = NULL;
	size_t n = 0;

	if (o->type == OPT_CHOICE) {
		while (o->choices[n])
			n++;
		near = opt_nearest(text, o->choices, n);
	}
	snprintf(why, cap_bytes, "expected %s, got '%.80s'%s%s%s",
		 opt_expected(o, expected, sizeof(expected)), text, near ? ", did you mean '" : "",
		 near ?: "", near ? "'?" : "");
	if (o->type == OPT_DURATION && *text && !text[strspn(text, "0123456789")])
		snprintf(why, cap_bytes, "a duration needs its unit: %.20ss?", text);
	return -EINVAL;
}

static int in_range(const struct opt *o, uint64_t value)
{
	return value >= (uint64_t)o->min && (!o->max || value <= (uint64_t)o->max);
}

/* The list with room for one more, every list grows so; NULL: no memory, the old one stays. */
static void *grown(void *list, size_t n, size_t item_bytes)
{
	if (n & (n - 1)) /* grown at each power of two */
		return list;
	return reallocarray(list, n ? n * 2 : 1, item_bytes);
}

static int add_text(struct opt_texts *texts, const char *text)
{
	char **items = grown(texts->items, texts->n, sizeof(*items));
	char *copy = strdup(text);

	if (items)
		texts->items = items;
	if (!items || !copy) {
		free(copy);
		return -ENOMEM;
	}
	items[texts->n++] = copy;
	return 0;
}

int opt_add_pair(const struct opt *o, void *config, const char *key, const char *value)
{
	struct opt_map *map = opt_at(o, config);
	struct opt_texts keys = {map->n, map->keys}, values = {map->n, map->values};
	int err = add_text(&keys, key);

	map->keys = keys.items;
	if (err)
		return err;
	err = add_text(&values, value);
	map->values = values.items;
	if (err)
		free(keys.items[map->n]);
	else
		map->n++;
	return err;
}

void *opt_add_item(const struct opt *o, void *config)
{
	struct opt_items *items = opt_at(o, config);
	char *list = grown(items->items, items->n, o->item_size), *item;

	if (!list)
		return NULL;
	items->items = list;
	item = list + items->n * o->item_size;
	memset(item, 0, o->item_size);
	items->n++;
	return opt_apply_defaults(o->item_opts, item) ? NULL : item;
}

int opt_set(const struct opt *o, void *config, const char *text, char *why, size_t why_cap_bytes)
{
	void *at = opt_at(o, config);
	const char *complaint = o->validate ? o->validate(text) : NULL;
	uint64_t number;
	int64_t integer;
	char *copy;
	int flag;

	if (complaint) {
		snprintf(why, why_cap_bytes, "%s, got '%.80s'", complaint, text);
		return -EINVAL;
	}
	switch (o->type) {
	case OPT_FLAG:
		if (parse_flag(text, &flag))
			return unexpected(o, text, why, why_cap_bytes);
		*(int *)at = flag;
		return 0;
	case OPT_INT:
		if (parse_int(text, &integer) ||
		    (!no_range(o) && (integer < o->min || integer > o->max)))
			return unexpected(o, text, why, why_cap_bytes);
		*(int64_t *)at = integer;
		return 0;
	case OPT_SIZE:
		if (parse_size(text, &number) || !in_range(o, number))
			return unexpected(o, text, why, why_cap_bytes);
		*(uint64_t *)at = number;
		return 0;
	case OPT_DURATION:
		if (parse_duration(text, &number) || !in_range(o, number))
			return unexpected(o, text, why, why_cap_bytes);
		*(uint64_t *)at = number;
		return 0;
	case OPT_CHOICE:
		for (int i = 0; o->choices[i]; i++)
			if (!strcasecmp(o->choices[i], text)) {
				*(int *)at = i;
				return 0;
			}
		return unexpected(o, text, why, why_cap_bytes);
	case OPT_TEXT:
		copy = strdup(text);
		if (!copy)
			break;
		free(*(char **)at);
		*(char **)at = copy;
		return 0;
	case OPT_TEXTS:
		if (add_text(at, text))
			break;
		return 0;
	default:
		return unexpected(o, text, why, why_cap_bytes);
	}
	snprintf(why, why_cap_bytes, "out of memory");
	return -EINVAL;
}

static void free_all(const struct opt *opts, void *config);

void opt_clear(const struct opt *o, void *config)
{
	void *at = opt_at(o, config);
	struct opt_texts *texts = at;
	struct opt_items *items = at;
	struct opt_map *map = at;

	switch (o->type) {
	case OPT_TEXT:
		free(*(char **)at);
		*(char **)at = NULL;
		break;
	case OPT_TEXTS:
		for (size_t i = 0; i < texts->n; i++)
			free(texts->items[i]);
		free(texts->items);
		memset(texts, 0, sizeof(*texts));
		break;
	case OPT_MAP:
		for (size_t i = 0; i < map->n; i++) {
			free(map->keys[i]);
			free(map->values[i]);
		}
		free(map->keys);
		free(map->values);
		memset(map, 0, sizeof(*map));
		break;
	case OPT_ITEMS:
		for (size_t i = 0; i < items->n; i++)
			free_all(o->item_opts, (char *)items->items + i * o->item_size);
		free(items->items);
		memset(items, 0, sizeof(*items));
		break;
	default:
		break;
	}
}

static int is_end(const struct opt *o)
{
	return !o->key && !o->name;
}

static void free_all(const struct opt *opts, void *config)
{
	for (const struct opt *o = opts; !is_end(o); o++)
		opt_clear(o, config);
}

void opt_free(const struct opt_program *p, void *config)
{
	free_all(p->opts, config);
}

int opt_apply_defaults(const struct opt *opts, void *config)
{
	char why[OPT_WHY_BYTES];
	int err = 0;

	for (const struct opt *o = opts; !is_end(o) && !err; o++) {
		if (!o->default_text || o->type == OPT_IGNORED)
			continue;
		if (o->type == OPT_TEXTS || o->type == OPT_MAP || o->type == OPT_ITEMS)
			err = opt_read_value(o, config, o->default_text);
		else
			err = opt_set(o, config, o->default_text, why, sizeof(why));
	}
	return err;
}

int opt_defaults(const struct opt_program *p, void *config)
{
	return opt_apply_defaults(p->opts, config);
}

/* --- did you mean -------------------------------------------------------------------------------- */

#define WORD_MAX 64

static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t best = diagonal + (tolower((unsigned char)a[i]) !=
						  tolower((unsigned char)b[j]));

			best = row[j] + 1 < best ? row[j] + 1 : best;
			best = row[j + 1] + 1 < best ? row[j + 1] + 1 : best;
			diagonal = row[j + 1];
			row[j + 1] = best;
		}
	}
	return row[n];
}

const char *opt_nearest(const char *word, const char *const *candidates, size_t n)
{
	size_t len = strlen(word), best = (len + 2) / 3 + 1;
	const char *nearest = NULL;

	if (!len || len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t d = strlen(candidates[i]) <= WORD_MAX ? distance(word, candidates[i]) : best;

		if (d < best && d < strlen(candidates[i])) {
			best = d;
			nearest = candidates[i];
		}
	}
	return nearest;
}

/* --- the command line ---------------------------------------------------------------------------- */

#define NAMES_MAX 256

struct args {
	const struct opt_program *program;
	void *config;
	FILE *err;
	int errors;
	unsigned char begun[NAMES_MAX]; /* lists: the first value replaces what the file said */
};

static void __attribute__((format(printf, 2, 3))) complain(struct args *in, const char *fmt, ...)
{
	va_list list;

	fprintf(in->err, "%s: ", in->program->name);
	va_start(list, fmt);
	vfprintf(in->err, fmt, list);
	va_end(list);
	fputc('\n', in->err);
	in->errors++;
}

static int takes_value(const struct opt *o)
{
	return o->type != OPT_FLAG && o->type != OPT_VERB && o->type != OPT_SECTION &&
	       !(o->type == OPT_IGNORED && !o->arg);
}

static void apply(struct args *in, const struct opt *o, const char *shown, const char *value)
{
	size_t index = (size_t)(o - in->program->opts);
	char why[OPT_WHY_BYTES], key[OPT_PATH_BYTES];
	const char *equals;

	if (index < NAMES_MAX && !in->begun[index]) {
		in->begun[index] = 1;
		if (o->type == OPT_TEXTS || o->type == OPT_MAP)
			opt_clear(o, in->config);
	}
	switch (o->type) {
	case OPT_VERB:
	case OPT_SECTION:
		*(int *)opt_at(o, in->config) = 1;
		break;
	case OPT_IGNORED:
		fprintf(in->err, "%s: warning: option '%s' has no effect: %s\n", in->program->name,
			shown, o->help);
		break;
	case OPT_MAP:
		equals = strchr(value, '=');
		if (!equals || equals == value || (size_t)(equals - value) >= sizeof(key)) {
			complain(in, "option '%s': expected KEY=VALUE, got '%.80s'", shown, value);
			break;
		}
		memcpy(key, value, (size_t)(equals - value));
		key[equals - value] = 0;
		if (opt_add_pair(o, in->config, key, equals + 1))
			complain(in, "option '%s': out of memory", shown);
		break;
	default:
		if (opt_set(o, in->config, value ?: "true", why, sizeof(why)))
			complain(in, "option '%s': %s", shown, why);
	}
}

static void unknown(struct args *in, const char *shown, const char *name)
{
	const char *names[NAMES_MAX], *near;
	size_t n = 0;

	for (const struct opt *o = in->program->opts; !is_end(o) && n < NAMES_MAX; o++)
		if (o->name)
			names[n++] = o->name;
	near = opt_nearest(name, names, n);
	complain(in, "unknown option '%s'%s%s%s", shown, near ? ", did you mean '--" : "",
		 near ?: "", near ? "'?" : "");
}

/* --name, --name=value, --name value, --no-name. Returns how many further arguments it used. */
static int take_long(struct args *in, const char *arg, const char *next)
{
	const char *equals = strchr(arg, '=');
	char shown[OPT_PATH_BYTES], *name = shown + 2;

	snprintf(shown, sizeof(shown), "%.*s", equals ? (int)(equals - arg) : (int)strlen(arg),
		 arg);
	for (const struct opt *o = in->program->opts; !is_end(o); o++) {
		if (!o->name)
			continue;
		if (o->type == OPT_FLAG && !strncmp(name, "no-", 3) && !strcmp(name + 3, o->name)) {
			if (equals)
				complain(in, "option '%s' takes no value", shown);
			else
				apply(in, o, shown, "false");
			return 0;
		}
		if (strcmp(name, o->name))
			continue;
		if (equals && (takes_value(o) || o->type == OPT_FLAG)) {
			apply(in, o, shown, equals + 1);
			return 0;
		}
		if (equals) {
			complain(in, "option '%s' takes no value", shown);
			return 0;
		}
		if (!takes_value(o)) {
			apply(in, o, shown, NULL);
			return 0;
		}
		if (!next) {
			complain(in, "option '%s' needs a value: %s", shown, o->arg ?: "VALUE");
			return 0;
		}
		apply(in, o, shown, next);
		return 1;
	}
	unknown(in, shown, name);
	return 0;
}

/* -x, -xVALUE, -x VALUE, -xyz. */
static int take_short(struct args *in, const char *arg, const char *next)
{
	for (const char *c = arg + 1; *c; c++) {
		const struct opt *o = in->program->opts;
		char shown[] = {'-', *c, 0};

		while (!is_end(o) && o->letter != *c)
			o++;
		if (is_end(o)) {
			complain(in, "unknown option '%s'", shown);
			return 0;
		}
		if (!takes_value(o)) {
			apply(in, o, shown, NULL);
			continue;
		}
		if (c[1]) {
			apply(in, o, shown, c + 1);
			return 0;
		}
		if (!next) {
			complain(in, "option '%s' needs a value: %s", shown, o->arg ?: "VALUE");
			return 0;
		}
		apply(in, o, shown, next);
		return 1;
	}
	return 0;
}

/* Move argv[from] to argv[to], to <= from, the ones between one up: options gather in front. */
static void move_forward(char **argv, int from, int to)
{
	char *moved = argv[from];

	memmove(&argv[to + 1], &argv[to], (size_t)(from - to) * sizeof(*argv));
	argv[to] = moved;
}

int opt_read_args(const struct opt_program *p, void *config, int argc, char **argv, int *first_rest,
		  FILE *err)
{
	struct args in = {.program = p, .config = config, .err = err};
	int rest = 1; /* argv[1..rest) are options, argv[rest..i) are not */

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		int used;

		if (arg[0] != '-' || !arg[1])
			continue;
		move_forward(argv, i, rest++);
		if (!strcmp(arg, "--"))
			break;
		used = arg[1] == '-' ? take_long(&in, arg, next) : take_short(&in, arg, next);
		if (used)
			move_forward(argv, ++i, rest++);
	}
	if (in.errors)
		return -EINVAL;
	*first_rest = rest;
	return 0;
}
