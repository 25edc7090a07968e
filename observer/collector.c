#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "observer/collector.h"
#include "observer/nic.h"

struct collector {
	struct site *site;
	struct store *store;
	struct join *join;
	struct log_limit join_limit;
	size_t n;
	struct source *sources[COLLECTOR_SOURCES_MAX];
	char **ignore; /* patterns, copied; NULL-terminated */
	uint8_t known[STORE_SOURCES_MAX], ignored[STORE_SOURCES_MAX]; /* by store_source_id */
};

/* --- observation points that are not counted --- */

static int copy_patterns(struct collector *c, const struct opt_texts *patterns)
{
	c->ignore = calloc(patterns->n + 1, sizeof(*c->ignore));
	if (!c->ignore)
		return -ENOMEM;
	for (size_t i = 0; i < patterns->n; i++) {
		c->ignore[i] = strdup(patterns->items[i]);
		if (!c->ignore[i])
			return -ENOMEM;
	}
	return 0;
}

/* Whether the rows of this source are left out; looked up once for each. */
static int is_ignored(struct collector *c, uint16_t id)
{
	const char *name;

	if (id >= STORE_SOURCES_MAX)
		return 0;
	if (!c->known[id]) {
		name = store_source_name(c->store, id);
		for (char **pattern = c->ignore; *pattern && !c->ignored[id]; pattern++)
			c->ignored[id] = fnmatch(*pattern, name, 0) == 0;
		c->known[id] = 1;
	}
	return c->ignored[id];
}

/* Keep what is counted, in place. */
static void leave_out_ignored(struct collector *c, struct source_second *s)
{
	size_t n_rows = 0, n_seen = 0;

	for (size_t i = 0; i < s->n_rows; i++)
		if (!is_ignored(c, s->rows[i].key.source))
			s->rows[n_rows++] = s->rows[i];
	for (size_t i = 0; i < s->n_seen; i++)
		if (!is_ignored(c, s->seen[i].source))
			s->seen[n_seen++] = s->seen[i];
	for (size_t i = 0; i < s->n_statuses; i++)
		if (is_ignored(c, s->statuses[i].id))
			source_note(&s->statuses[i], "counted in no total (points.ignore)");
	s->n_rows = n_rows;
	s->n_seen = n_seen;
}

/* --- opening --- */

typedef int (*source_opener)(struct source **out, const struct source_context *ctx,
			     const struct observer_config *cfg, const char *what);

static int open_pcap(struct source **out, const struct source_context *ctx, const char *name,
		     const char *why_not_xdp)
{
	char note[96] = "";

	if (nic_merges_packets(name)) {
		snprintf(note, sizeof(note),
			 "receive offload merges packets (ethtool -K %s gro off lro off)", name);
		log_msg(LOG_LEVEL_WARN, "pcap", "%s: %s", name, note);
	}
	return source_pcap_open(out, ctx, name, *why_not_xdp ? why_not_xdp : note);
}

/* The best that works and is honest there: the tap in the driver, else libpcap. */
static int open_interface(struct source **out, const struct source_context *ctx,
			  const struct observer_config *cfg, const char *text)
{
	struct interface_choice choice;
	struct source_xdp_config xdp = {
		.mirror = cfg->capture_mirror,
		.busy_poll = cfg->capture_busy_poll,
		.samples_per_s = (uint32_t)cfg->capture_samples_per_s,
	};
	char why[160];
	int err;

	interface_parse(&choice, text); /* checked with the configuration */
	if (choice.mode == INTERFACE_PCAP)
		return open_pcap(out, ctx, choice.name, "");
	xdp.interface = choice.name;
	xdp.every_frame = choice.mode == INTERFACE_AFXDP;
	xdp.native_only = choice.mode == INTERFACE_AUTO;
	err = source_xdp_open(out, ctx, &xdp, why, sizeof(why));
	if (err && choice.mode == INTERFACE_AUTO) {
		log_msg(LOG_LEVEL_INFO, "observer", "%s: libpcap, as %s", choice.name, why);
		return open_pcap(out, ctx, choice.name, why);
	}
	if (err)
		log_msg(LOG_LEVEL_ERROR, "xdp", "%s", why);
	return err;
}

static int open_sflow(struct source **out, const struct source_context *ctx,
		      const struct observer_config *cfg, const char *listen)
{
	return source_sflow_open(out, ctx, listen);
}

static int open_firefly(struct source **out, const struct source_context *ctx,
			const struct observer_config *cfg, const char *listen)
{
	return source_firefly_open(out, ctx, listen);
}

static int open_all(struct collector *c, const struct source_context *ctx,
		    const struct observer_config *cfg, const struct opt_texts *what,
		    source_opener open_one)
{
	for (size_t i = 0; i < what->n; i++) {
		int err;

		if (c->n == COLLECTOR_SOURCES_MAX)
			return log_fail(-E2BIG, "observer", "more than %d inputs",
					COLLECTOR_SOURCES_MAX);
		err = open_one(&c->sources[c->n], ctx, cfg, what->items[i]);
		if (err)
			return err;
		c->n++;
	}
	return 0;
}

int collector_open(struct collector **out, const struct observer_config *cfg, struct store *store,
		   struct registry_keeper *registry, struct join *join)
{
	struct collector *c = calloc(1, sizeof(*c));
	struct source_context ctx = {.store = store, .registry = registry};
	char why[160];
	int err;

	if (!c)
		return log_fail(-ENOMEM, "observer", "inputs");
	c->store = store;
	c->join = join;
	err = copy_patterns(c, &cfg->points_ignore);
	if (err) {
		log_fail(err, "observer", "points.ignore");
		goto fail;
	}
	err = site_open(&c->site, (const char *const *)cfg->site_prefixes.items,
			cfg->site_prefixes.n, why, sizeof(why));
	if (err) {
		log_msg(LOG_LEVEL_ERROR, "observer", "site.prefixes: %s", why);
		goto fail;
	}
	ctx.site = c->site;
	err = open_all(c, &ctx, cfg, &cfg->interfaces, open_interface);
	if (!err)
		err = open_all(c, &ctx, cfg, &cfg->sflow_listen, open_sflow);
	if (!err)
		err = open_all(c, &ctx, cfg, &cfg->firefly_listen, open_firefly);
	if (err)
		goto fail;
	*out = c;
	return 0;
fail:
	bucket_free(collector_close(c, 0));
	return err;
}

/* --- a second --- */

/* Let what is there, if anything, change owner. */
static void give(void *to, size_t *n_to, void *from, size_t *n_from)
{
	void **items = to, **other = from;

	if (!*n_from)
		return;
	free(*items);
	*items = *other;
	*n_to = *n_from;
	*other = NULL;
	*n_from = 0;
}

static struct bucket *gather(struct collector *c, struct source_second *seconds,
			     int64_t start_utc_s)
{
	struct source_second all = {0};
	struct bucket *b = bucket_new(start_utc_s, 0, 0, 0);

	for (size_t i = 0; i < c->n; i++) {
		leave_out_ignored(c, &seconds[i]);
		source_second_add(&all, &seconds[i]);
	}
	if (!b) {
		log_fail(-ENOMEM, "observer", "a second with %zu rows is lost", all.n_rows);
		source_second_free(&all);
		return NULL;
	}
	give(&b->rows, &b->n_rows, &all.rows, &all.n_rows);
	give(&b->sources, &b->n_sources, &all.statuses, &all.n_statuses);
	give(&b->glimpses, &b->n_glimpses, &all.glimpses, &all.n_glimpses);
	if (join_second(c->join, b, all.seen, all.n_seen, all.heard, all.n_heard))
		log_limited(&c->join_limit, LOG_LEVEL_ERROR, "observer",
			    "no memory for all that was joined");
	source_second_free(&all);
	return b;
}

struct bucket *collector_take(struct collector *c, int64_t start_utc_s)
{
	struct source_second seconds[COLLECTOR_SOURCES_MAX] = {0};

	for (size_t i = 0; i < c->n; i++)
		source_ask(c->sources[i]);
	for (size_t i = 0; i < c->n; i++)
		source_take(c->sources[i], &seconds[i]); /* late: empty now, more next time */
	return gather(c, seconds, start_utc_s);
}

struct bucket *collector_close(struct collector *c, int64_t start_utc_s)
{
	struct source_second seconds[COLLECTOR_SOURCES_MAX] = {0};
	struct bucket *b = NULL;

	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n; i++)
		source_close(c->sources[c->n - 1 - i], &seconds[i]);
	if (c->n)
		b = gather(c, seconds, start_utc_s);
	for (size_t i = 0; c->ignore && c->ignore[i]; i++)
		free(c->ignore[i]);
	free(c->ignore);
	site_close(c->site);
	free(c);
	return b;
}
