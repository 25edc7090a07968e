#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry/registry.h"

/* The snapshot, as a string; the path is seen from the root, where the compiler runs. */
__asm__(".pushsection .rodata\n"
	"registry_snapshot: .incbin \"registry/scitags.json\"\n"
	"registry_snapshot_end: .byte 0\n"
	".popsection\n");
extern const char registry_snapshot[] __attribute__((visibility("hidden")));
extern const char registry_snapshot_end[] __attribute__((visibility("hidden")));

struct registry *registry_builtin(void)
{
	struct registry *r = NULL;
	char why[128];

	registry_parse(&r, registry_snapshot, (size_t)(registry_snapshot_end - registry_snapshot),
		       why, sizeof(why));
	return r;
}

static int __attribute__((format(printf, 3, 4)))
refuse(char *why, size_t why_cap_bytes, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, why_cap_bytes, fmt, args);
	va_end(args);
	return -EBADMSG;
}

struct reader { /* where to say why */
	char *why;
	size_t cap_bytes;
};

/* Members `id_key` and `name_key` of one object: an integer in 0..id_max and a name. */
static int parse_entry(const struct reader *in, json_t *object, const char *what,
		       const char *id_key, int id_max, const char *name_key, uint16_t *id,
		       char *name)
{
	json_t *id_value = json_object_get(object, id_key);
	json_t *name_value = json_object_get(object, name_key);
	const char *text = json_string_value(name_value);
	size_t len = json_string_length(name_value);
	json_int_t number = json_integer_value(id_value);

	if (!json_is_object(object))
		return refuse(in->why, in->cap_bytes, "an entry of %s is no object", what);
	if (!json_is_integer(id_value))
		return refuse(in->why, in->cap_bytes, "%s is missing or no integer", id_key);
	if (number < 0 || number > id_max)
		return refuse(in->why, in->cap_bytes, "%s %lld is outside 0..%d", id_key,
			      (long long)number, id_max);
	if (!text || !len)
		return refuse(in->why, in->cap_bytes, "%s is missing or no text (%s %lld)",
			      name_key, id_key, (long long)number);
	if (len >= REGISTRY_NAME_BYTES)
		return refuse(in->why, in->cap_bytes, "%s of %s %lld is longer than %d bytes",
			      name_key, id_key, (long long)number, REGISTRY_NAME_BYTES - 1);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return refuse(in->why, in->cap_bytes,
				      "%s of %s %lld has a control character", name_key, id_key,
				      (long long)number);
	*id = (uint16_t)number;
	memcpy(name, text, len + 1);
	return 0;
}

static int by_activity_id(const void *a, const void *b)
{
	return (int)((const struct registry_activity *)a)->id -
	       (int)((const struct registry_activity *)b)->id;
}

static int by_experiment_id(const void *a, const void *b)
{
	return (int)((const struct registry_experiment *)a)->id -
	       (int)((const struct registry_experiment *)b)->id;
}

static int parse_activities(const struct reader *in, json_t *list, struct registry_experiment *e)
{
	size_t n = json_array_size(list);
	int err;

	if (!json_is_array(list))
		return refuse(in->why, in->cap_bytes, "experiment %u has no list of activities",
			      e->id);
	if (n > REGISTRY_ACTIVITIES_MAX)
		return refuse(in->why, in->cap_bytes, "experiment %u has more than %d activities",
			      e->id, REGISTRY_ACTIVITIES_MAX);
	e->activities = calloc(n + 1, sizeof(*e->activities));
	if (!e->activities)
		return refuse(in->why, in->cap_bytes, "out of memory");
	for (size_t i = 0; i < n; i++) {
		struct registry_activity *a = &e->activities[i];

		err = parse_entry(in, json_array_get(list, i), "activities", "activityId", 255,
				  "activityName", &a->id, a->name);
		if (err)
			return err;
		for (size_t j = 0; j < i; j++)
			if (e->activities[j].id == a->id || !strcmp(e->activities[j].name, a->name))
				return refuse(in->why, in->cap_bytes,
					      "experiment %u has activity %u \"%s\" twice", e->id,
					      a->id, a->name);
	}
	qsort(e->activities, n, sizeof(*e->activities), by_activity_id);
	e->n_activities = n;
	return 0;
}

static int parse_experiments(const struct reader *in, json_t *list, struct registry *r)
{
	size_t n = json_array_size(list);
	int err;

	if (!json_is_array(list) || !n)
		return refuse(in->why, in->cap_bytes, "there are no experiments");
	if (n > REGISTRY_EXPERIMENTS_MAX)
		return refuse(in->why, in->cap_bytes, "there are more than %d experiments",
			      REGISTRY_EXPERIMENTS_MAX);
	r->experiments = calloc(n, sizeof(*r->experiments));
	if (!r->experiments)
		return refuse(in->why, in->cap_bytes, "out of memory");
	for (size_t i = 0; i < n; i++) {
		struct registry_experiment *e = &r->experiments[i];
		json_t *object = json_array_get(list, i);

		r->n_experiments = i + 1; /* owned from here on, whatever happens */
		err = parse_entry(in, object, "experiments", "expId", 65535, "expName", &e->id,
				  e->name);
		if (err)
			return err;
		for (size_t j = 0; j < i; j++)
			if (r->experiments[j].id == e->id ||
			    !strcmp(r->experiments[j].name, e->name))
				return refuse(in->why, in->cap_bytes,
					      "experiment %u \"%s\" is there twice", e->id,
					      e->name);
		err = parse_activities(in, json_object_get(object, "activities"), e);
		if (err)
			return err;
		r->n_pairs += e->n_activities;
	}
	qsort(r->experiments, n, sizeof(*r->experiments), by_experiment_id);
	return 0;
}

static int parse_document(const struct reader *in, json_t *root, struct registry *r)
{
	json_t *version = json_object_get(root, "version");
	json_t *modified = json_object_get(root, "modified");

	if (!json_is_object(root))
		return refuse(in->why, in->cap_bytes, "the document is no JSON object");
	if (version && json_integer_value(version) != 1)
		return refuse(in->why, in->cap_bytes, "the document's format version is not 1");
	if (modified &&
	    (!json_is_string(modified) || json_string_length(modified) >= sizeof(r->modified)))
		return refuse(in->why, in->cap_bytes, "the document's modified is no time");
	if (modified)
		strcpy(r->modified, json_string_value(modified));
	return parse_experiments(in, json_object_get(root, "experiments"), r);
}

/* The pairs as a set, and whether an option of type 1E could be read both ways: a registered pair's
 * plain value that is, as a label, another registered pair. */
static void index_pairs(struct registry *r)
{
	for (size_t i = 0; i < r->n_experiments; i++)
		for (size_t j = 0; j < r->experiments[i].n_activities; j++) {
			struct scitag tag = {r->experiments[i].id,
					     r->experiments[i].activities[j].id};

			scitag_set_add(&r->pairs,
				       tag); /* refuses what no label and no claim names */
		}
	for (size_t i = 0; i < r->n_experiments; i++)
		for (size_t j = 0; j < r->experiments[i].n_activities; j++) {
			unsigned int e = r->experiments[i].id,
				     a = r->experiments[i].activities[j].id;
			struct scitag other = scitag_label_decode(e << 8 | a);

			if ((e << 8 | a) <= SCITAG_LABEL_MASK && scitag_set_has(&r->pairs, other) &&
			    (other.experiment != e || other.activity != a))
				r->dialects_overlap = 1;
		}
}

int registry_parse(struct registry **out, const char *json, size_t len_bytes, char *why,
		   size_t why_cap_bytes)
{
	struct reader in = {why, why_cap_bytes};
	struct registry *r = calloc(1, sizeof(*r));
	json_error_t error;
	json_t *root = NULL;
	int err;

	if (!r)
		return refuse(why, why_cap_bytes, "out of memory");
	root = json_loadb(json, len_bytes, JSON_REJECT_DUPLICATES, &error);
	if (root)
		err = parse_document(&in, root, r);
	else
		err = refuse(why, why_cap_bytes, "not JSON: line %d column %d: %s", error.line,
			     error.column, error.text);
	json_decref(root);
	if (err) {
		registry_free(r);
		return err;
	}
	index_pairs(r);
	*out = r;
	return 0;
}

int registry_load(struct registry **out, const char *path, char *why, size_t why_cap_bytes)
{
	char *text = NULL;
	size_t used = 0;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
		refuse(why, why_cap_bytes, "%s", strerror(-err));
		goto out;
	}
	if (S_ISDIR(st.st_mode)) {
		err = -EISDIR;
		refuse(why, why_cap_bytes, "%s", strerror(EISDIR));
		goto out;
	}
	text = malloc(REGISTRY_DOCUMENT_MAX_BYTES + 1);
	if (!text) {
		err = -ENOMEM;
		refuse(why, why_cap_bytes, "out of memory");
		goto out;
	}
	while (used <= REGISTRY_DOCUMENT_MAX_BYTES) {
		ssize_t n = read(fd, text + used, REGISTRY_DOCUMENT_MAX_BYTES + 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = -errno;
			refuse(why, why_cap_bytes, "%s", strerror(-err));
			goto out;
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	if (used > REGISTRY_DOCUMENT_MAX_BYTES)
		err = refuse(why, why_cap_bytes, "larger than %d bytes",
			     REGISTRY_DOCUMENT_MAX_BYTES);
	else
		err = registry_parse(out, text, used, why, why_cap_bytes);
out:
	free(text);
	if (fd >= 0)
		close(fd);
	return err;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_experiments; i++)
		free(r->experiments[i].activities);
	free(r->experiments);
	free(r);
}

/* --- numbers to names ---------------------------------------------------------------------------- */

const struct registry_experiment *registry_find_experiment(const struct registry *r,
							   unsigned int experiment)
{
	struct registry_experiment key = {.id = (uint16_t)experiment};

	if (experiment > UINT16_MAX)
		return NULL;
	return bsearch(&key, r->experiments, r->n_experiments, sizeof(key), by_experiment_id);
}

const char *registry_experiment_name(const struct registry *r, unsigned int experiment)
{
	const struct registry_experiment *e = registry_find_experiment(r, experiment);

	return e ? e->name : NULL;
}

static const struct registry_activity *find_activity(const struct registry_experiment *e,
						     unsigned int activity)
{
	struct registry_activity key = {.id = (uint16_t)activity};

	if (!e || activity > UINT16_MAX)
		return NULL;
	return bsearch(&key, e->activities, e->n_activities, sizeof(key), by_activity_id);
}

const char *registry_activity_name(const struct registry *r, unsigned int experiment,
				   unsigned int activity)
{
	const struct registry_activity *a =
		find_activity(registry_find_experiment(r, experiment), activity);

	return a ? a->name : NULL;
}

/* --- names to numbers ---------------------------------------------------------------------------- */

static const char *skip_uncounted(const char *text)
{
	return text + strspn(text, " \t-_");
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Equal but for case, blanks, '-' and '_'. */
static int same_name(const char *a, const char *b)
{
	for (;; a++, b++) {
		a = skip_uncounted(a);
		b = skip_uncounted(b);
		if (lower(*a) != lower(*b))
			return 0;
		if (!*a)
			return 1;
	}
}

/* Decimal text within 0..max, else -ENOENT; -EINVAL if it is no number. */
static int decimal(const char *text, int max)
{
	size_t digits = strspn(text, "0123456789");
	long value;

	if (!digits || text[digits])
		return -EINVAL;
	value = digits <= 9 ? strtol(text, NULL, 10) : max + 1L;
	return value <= max ? (int)value : -ENOENT;
}

int registry_experiment_number(const struct registry *r, const char *text)
{
	int number = decimal(text, 65535);

	if (number != -EINVAL)
		return number;
	for (size_t i = 0; i < r->n_experiments; i++)
		if (same_name(r->experiments[i].name, text))
			return r->experiments[i].id;
	return -ENOENT;
}

int registry_activity_number(const struct registry *r, unsigned int experiment, const char *text)
{
	const struct registry_experiment *e = registry_find_experiment(r, experiment);
	int number = decimal(text, 255);

	if (number != -EINVAL)
		return number;
	for (size_t i = 0; e && i < e->n_activities; i++)
		if (same_name(e->activities[i].name, text))
			return e->activities[i].id;
	return -ENOENT;
}

/* --- two documents ------------------------------------------------------------------------------- */

const char *registry_refuse_swap(const struct registry *now, const struct registry *next)
{
	if (!next->n_experiments || !next->n_pairs)
		return "the new document is empty";
	if (next->n_experiments < now->n_experiments)
		return "the new document has fewer experiments";
	if (next->n_pairs < now->n_pairs)
		return "the new document has fewer pairs";
	return NULL;
}

struct differ {
	void (*each)(void *arg, const char *line);
	void *arg;
};

static void __attribute__((format(printf, 2, 3))) say(const struct differ *d, const char *fmt, ...)
{
	char line[4 * REGISTRY_NAME_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	d->each(d->arg, line);
}

/* Both lists are sorted by id: one walk. Either experiment may be NULL. */
static void diff_activities(const struct differ *d, const struct registry_experiment *a,
			    const struct registry_experiment *b)
{
	const struct registry_experiment *either = b ?: a;
	size_t i = 0, j = 0, n_a = a ? a->n_activities : 0, n_b = b ? b->n_activities : 0;

	while (i < n_a || j < n_b) {
		const struct registry_activity *x = i < n_a ? &a->activities[i] : NULL;
		const struct registry_activity *y = j < n_b ? &b->activities[j] : NULL;

		if (x && (!y || x->id < y->id)) {
			say(d, "- %u/%u %s %s", either->id, x->id, a->name, x->name);
			i++;
		} else if (y && (!x || y->id < x->id)) {
			say(d, "+ %u/%u %s %s", either->id, y->id, b->name, y->name);
			j++;
		} else {
			if (strcmp(x->name, y->name))
				say(d, "~ %u/%u %s %s -> %s", either->id, x->id, b->name, x->name,
				    y->name);
			i++;
			j++;
		}
	}
}

void registry_diff(const struct registry *a, const struct registry *b,
		   void (*each)(void *arg, const char *line), void *arg)
{
	struct differ d = {each, arg};
	size_t i = 0, j = 0;

	while (i < a->n_experiments || j < b->n_experiments) {
		const struct registry_experiment *x =
			i < a->n_experiments ? &a->experiments[i] : NULL;
		const struct registry_experiment *y =
			j < b->n_experiments ? &b->experiments[j] : NULL;

		if (x && y && x->id != y->id) { /* the smaller one is alone */
			if (x->id < y->id)
				y = NULL;
			else
				x = NULL;
		}
		if (!y)
			say(&d, "- %u %s", x->id, x->name);
		else if (!x)
			say(&d, "+ %u %s", y->id, y->name);
		else if (strcmp(x->name, y->name))
			say(&d, "~ %u %s -> %s", x->id, x->name, y->name);
		diff_activities(&d, x, y);
		i += x != NULL;
		j += y != NULL;
	}
}
