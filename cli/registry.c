/* scitag registry: what numbers and names there are, and whether they are still those. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/registry.h"
#include "registry/fetch.h"

#define SYSTEM_CACHE "/var/cache/scitag/registry.json"

struct registry_config {
	struct cli_common common;
	char *registry, *cache, *url;
	int force;
};

#define AT(member) offsetof(struct registry_config, member)
static const struct opt options[] = {
	CLI_OPT_REGISTRY(struct registry_config),
	{.name = "url",
	 .type = OPT_TEXT,
	 .offset = AT(url),
	 .arg = "URL",
	 .default_text = REGISTRY_URL_DEFAULT,
	 .help = "Where `update` and `diff` ask."},
	{.name = "cache",
	 .type = OPT_TEXT,
	 .offset = AT(cache),
	 .arg = "FILE",
	 .help = "Where `update` keeps the answer: " SYSTEM_CACHE " for root, else "
		 "~/.cache/scitag/registry.json."},
	{.name = "force",
	 .type = OPT_VERB,
	 .offset = AT(force),
	 .help = "Let `update` take a document with fewer experiments or pairs than before."},
	CLI_OPT_LISTING,
	CLI_OPT_HELP,
	OPT_END,
};
const struct opt_program registry_program = {
	.name = "scitag registry",
	.synopsis = "[list | show NAME... | diff [FILE|URL] [FILE|URL] | update] [OPTION...]",
	.summary = "List, look up, compare and refresh the numbers of experiments and activities",
	.opts = options,
};

/* --- which registry ------------------------------------------------------------------------------ */

/* Where this user's cache is, or would be. */
static char *user_cache(char *buf, size_t cap_bytes)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (geteuid() == 0 || !home || !*home)
		snprintf(buf, cap_bytes, "%s", SYSTEM_CACHE);
	else if (base && *base == '/')
		snprintf(buf, cap_bytes, "%s/scitag/registry.json", base);
	else
		snprintf(buf, cap_bytes, "%s/.cache/scitag/registry.json", home);
	return buf;
}

int cli_registry_open(struct cli_registry *r, const char *path)
{
	struct registry_keeper_config cfg = {0};
	char cache[4096], why[160];
	int err;

	memset(r, 0, sizeof(*r));
	if (path) {
		err = registry_load(&r->loaded, path, why, sizeof(why));
		if (err)
			return cli_fail(cli_exit_of(err), "%s: %s", path, why);
		r->registry = r->loaded;
		return 0;
	}
	cfg.cache_path = user_cache(cache, sizeof(cache));
	if (access(cfg.cache_path, R_OK))
		cfg.cache_path = SYSTEM_CACHE;
	err = registry_keeper_open(&r->keeper, &cfg);
	if (err)
		return cli_exit_of(err);
	r->registry = registry_keeper_take(r->keeper);
	return 0;
}

void cli_registry_close(struct cli_registry *r)
{
	if (r->keeper)
		registry_keeper_give(r->keeper, r->registry);
	registry_keeper_close(r->keeper);
	registry_free(r->loaded);
	memset(r, 0, sizeof(*r));
}

int cli_no_experiment(const struct registry *r, const char *name)
{
	const char *names[REGISTRY_EXPERIMENTS_MAX], *near;

	for (size_t i = 0; i < r->n_experiments; i++)
		names[i] = r->experiments[i].name;
	near = opt_nearest(name, names, r->n_experiments);
	return cli_fail(CLI_FAILED, "no experiment '%s'%s%s%s", name,
			near ? ", did you mean '" : "", near ?: "", near ? "'?" : "");
}

int cli_no_activity(const struct registry *r, unsigned int experiment, const char *name)
{
	const struct registry_experiment *e = registry_find_experiment(r, experiment);
	const char *names[REGISTRY_ACTIVITIES_MAX], *near;
	size_t n = e ? e->n_activities : 0;

	for (size_t i = 0; i < n; i++)
		names[i] = e->activities[i].name;
	near = opt_nearest(name, names, n);
	return cli_fail(CLI_FAILED, "no activity '%s' of %s%s%s%s", name,
			e ? e->name : "an unknown experiment", near ? ", did you mean '" : "",
			near ?: "", near ? "'?" : "");
}

/* --- list and show ------------------------------------------------------------------------------- */

static const struct cli_column pair_columns[] = {
	{"experiment_id", "id"},   {"experiment", "experiment"}, {"activity_id", "id"},
	{"activity", "activity"},  {"label", "label"},           {"option", "option"},
	{"scitag", "scitag.flow"},
};

static void put_pair(struct cli_list *l, const struct registry_experiment *e,
		     const struct registry_activity *a)
{
	struct scitag tag = {e->id, a->id};
	char text[24];
	__u32 label;

	cli_put_int(l, e->id);
	cli_put_text(l, e->name);
	cli_put_int(l, a->id);
	cli_put_text(l, a->name);
	if (scitag_label_encode(&label, e->id, a->id, 0)) {
		cli_put_none(l);
	} else {
		snprintf(text, sizeof(text), "0x%05x", label);
		cli_put_text(l, text);
	}
	snprintf(text, sizeof(text), "1e03%04x%02x", e->id, a->id);
	cli_put_text(l, text);
	if (scitag_flow_number(tag))
		cli_put_int(l, scitag_flow_number(tag));
	else
		cli_put_none(l);
}

/* What of the registry is meant: every field < 0 means all of them. */
struct choice {
	int experiment, activity;
	const char *activity_name; /* in any experiment */
};

static size_t put_pairs(struct cli_list *l, const struct registry *r, const struct choice *c)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_experiments; i++) {
		const struct registry_experiment *e = &r->experiments[i];
		int activity = c->activity;

		if (c->experiment >= 0 && c->experiment != e->id)
			continue;
		if (c->activity_name)
			activity = registry_activity_number(r, e->id, c->activity_name);
		if (activity < 0 && c->activity_name)
			continue;
		for (size_t j = 0; j < e->n_activities; j++)
			if (activity < 0 || activity == e->activities[j].id) {
				put_pair(l, e, &e->activities[j]);
				n++;
			}
	}
	return n;
}

/* An experiment, an experiment's activity behind '/', ':' or '.', or an activity of any. */
static int choose(struct choice *c, const struct registry *r, const char *name)
{
	size_t len = strcspn(name, "/:.");
	char left[REGISTRY_NAME_BYTES];

	*c = (struct choice){-1, -1, NULL};
	c->experiment = registry_experiment_number(r, name);
	if (c->experiment >= 0)
		return 0;
	if (name[len] && len < sizeof(left)) {
		snprintf(left, sizeof(left), "%.*s", (int)len, name);
		c->experiment = registry_experiment_number(r, left);
		if (c->experiment >= 0) {
			c->activity = registry_activity_number(r, (unsigned int)c->experiment,
							       name + len + 1);
			if (c->activity >= 0)
				return 0;
		}
		c->experiment = -1;
	}
	for (size_t i = 0; i < r->n_experiments; i++)
		if (registry_activity_number(r, r->experiments[i].id, name) >= 0) {
			c->activity_name = name;
			return 0;
		}
	return -ENOENT;
}

static int show(const struct registry *r, const struct registry_config *cfg, int n, char **names)
{
	struct cli_list *l = cli_list_open(stdout, cli_format(&cfg->common), pair_columns,
					   sizeof(pair_columns) / sizeof(pair_columns[0]));
	struct choice all = {-1, -1, NULL}, c;
	int code = l ? CLI_OK : CLI_FAILED;

	if (l && !n)
		put_pairs(l, r, &all);
	for (int i = 0; l && i < n; i++)
		if (choose(&c, r, names[i]) || !put_pairs(l, r, &c))
			code = cli_no_experiment(r, names[i]);
	cli_list_close(l);
	return code;
}

static int list(const struct registry_config *cfg, int n, char **names)
{
	struct registry_keeper_status s = {.origin = "file"};
	struct cli_registry r;
	int code = cli_registry_open(&r, cfg->registry);

	if (code)
		return code;
	code = show(r.registry, cfg, n, names);
	if (r.keeper)
		registry_keeper_status(r.keeper, &s);
	if (!n && isatty(STDERR_FILENO))
		fprintf(stderr, "%zu experiments, %zu pairs, %s, modified %s\n",
			r.registry->n_experiments, r.registry->n_pairs, s.origin,
			r.registry->modified);
	cli_registry_close(&r);
	return code;
}

/* --- diff ---------------------------------------------------------------------------------------- */

static int load_from(struct registry **out, const char *where)
{
	char *body = NULL, why[160];
	size_t len_bytes = 0;
	int err;

	if (fetch_is_url(where)) {
		err = fetch_document(where, NULL, &body, &len_bytes, NULL, why, sizeof(why));
		if (!err)
			err = registry_parse(out, body, len_bytes, why, sizeof(why));
		free(body);
	} else {
		err = registry_load(out, where, why, sizeof(why));
	}
	return err ? cli_fail(cli_exit_of(err), "%s: %s", where, why) : CLI_OK;
}

static const struct cli_column difference_columns[] = {{"change", NULL}, {"text", NULL}};

struct differences {
	struct cli_list *list; /* NULL: plain lines */
	size_t n;
};

static void put_difference(void *arg, const char *line)
{
	struct differences *d = arg;
	char change[] = {line[0], 0};
	enum cli_colour colour = line[0] == '+' ? CLI_GREEN : line[0] == '-' ? CLI_RED : CLI_YELLOW;

	d->n++;
	if (d->list) {
		cli_put_text(d->list, change);
		cli_put_text(d->list, line + 2);
	} else {
		printf("%s%s%s\n", cli_colour(stdout, colour), line, cli_colour(stdout, CLI_PLAIN));
	}
}

static int diff(const struct registry_config *cfg, int n, char **where)
{
	const char *theirs = n ? where[n - 1] : cfg->url;
	struct registry *other = NULL, *first = NULL;
	struct differences d = {0};
	struct cli_registry mine = {0};
	int code;

	if (n > 2)
		return cli_usage(&registry_program, "diff takes one document or two");
	code = load_from(&other, theirs);
	if (!code && n == 2)
		code = load_from(&first, where[0]);
	else if (!code)
		code = cli_registry_open(&mine, cfg->registry);
	if (!code) {
		if (cli_format(&cfg->common) != CLI_TABLE)
			d.list = cli_list_open(stdout, cli_format(&cfg->common), difference_columns,
					       2);
		registry_diff(first ?: mine.registry, other, put_difference, &d);
		cli_list_close(d.list);
		if (!d.n)
			fprintf(stderr, "no difference: %zu experiments, %zu pairs\n",
				other->n_experiments, other->n_pairs);
	}
	cli_registry_close(&mine);
	registry_free(other);
	registry_free(first);
	return code;
}

/* --- update -------------------------------------------------------------------------------------- */

/* The directories of a user's cache that are not there yet. */
static void make_directories(const char *path)
{
	char part[4096];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		mkdir(part, 0755);
	}
}

static int update(const struct registry_config *cfg, int n)
{
	char cache[4096];
	struct registry_keeper_config keeper_cfg = {
		.url = cfg->url,
		.cache_path = cfg->cache ?: user_cache(cache, sizeof(cache)),
		.force = cfg->force,
	};
	struct registry_keeper_status s;
	struct registry_keeper *keeper;
	int result;

	if (n)
		return cli_usage(&registry_program, "update takes no argument");
	make_directories(keeper_cfg.cache_path);
	log_open(LOG_LEVEL_INFO, 0);
	result = registry_keeper_open(&keeper, &keeper_cfg);
	if (result)
		return cli_exit_of(result);
	result = registry_keeper_refresh(keeper);
	registry_keeper_status(keeper, &s);
	registry_keeper_close(keeper);
	if (result == -EBADMSG && !cfg->force)
		fprintf(stderr, "scitag: not taken; --force takes a smaller document\n");
	if (result < 0)
		return CLI_FAILED; /* the keeper has said why */
	fprintf(stderr, "%s: %zu experiments, %zu pairs, modified %s\n",
		result ? "updated" : "unchanged", s.n_experiments, s.n_pairs, s.modified);
	if (access(keeper_cfg.cache_path, R_OK))
		return cli_fail(CLI_PERMISSION, "could not be kept in %s", keeper_cfg.cache_path);
	return CLI_OK;
}

int verb_registry(int argc, char **argv)
{
	struct registry_config cfg = {0};
	int rest, code = cli_args(&registry_program, &cfg, argc, argv, &rest);
	const char *what = code < 0 && rest < argc ? argv[rest++] : "list";

	if (code < 0) {
		int n = argc - rest;

		log_open(LOG_LEVEL_WARN, 0);
		if (!strcmp(what, "list") && !n)
			code = list(&cfg, 0, NULL);
		else if (!strcmp(what, "show") && n)
			code = list(&cfg, n, argv + rest);
		else if (!strcmp(what, "diff"))
			code = diff(&cfg, n, argv + rest);
		else if (!strcmp(what, "update"))
			code = update(&cfg, n);
		else if (!strcmp(what, "show"))
			code = cli_usage(&registry_program, "show what?");
		else
			code = cli_usage(&registry_program, "there is no '%s'", what);
	}
	opt_free(&registry_program, &cfg);
	return code;
}
