#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "observer/collector.h"
#include "observer/nic.h"

struct collector {
	struct site *site;
	size_t n;
	struct source *sources[COLLECTOR_SOURCES_MAX];
};

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
		   struct registry_keeper *registry)
{
	struct collector *c = calloc(1, sizeof(*c));
	struct source_context ctx = {.store = store, .registry = registry};
	char why[160];
	int err;

	if (!c)
		return log_fail(-ENOMEM, "observer", "inputs");
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

static struct bucket *gather(struct source_second *seconds, size_t n, int64_t start_utc_s)
{
	size_t n_rows = 0, n_claims = 0, n_statuses = 0;
	struct bucket *b;

	for (size_t i = 0; i < n; i++) {
		n_rows += seconds[i].n_rows;
		n_claims += seconds[i].n_claims;
		n_statuses += seconds[i].n_statuses;
	}
	b = bucket_new(start_utc_s, n_rows, n_claims, n_statuses);
	n_rows = n_claims = n_statuses = 0;
	for (size_t i = 0; i < n; i++) {
		struct source_second *s = &seconds[i];

		if (b && s->n_rows)
			memcpy(b->rows + n_rows, s->rows, s->n_rows * sizeof(*s->rows));
		if (b && s->n_claims)
			memcpy(b->claims + n_claims, s->claims, s->n_claims * sizeof(*s->claims));
		if (b && s->n_statuses)
			memcpy(b->sources + n_statuses, s->statuses,
			       s->n_statuses * sizeof(*s->statuses));
		n_rows += s->n_rows;
		n_claims += s->n_claims;
		n_statuses += s->n_statuses;
		source_second_free(s);
	}
	if (!b)
		log_fail(-ENOMEM, "observer", "a second with %zu rows is lost", n_rows);
	return b;
}

struct bucket *collector_take(struct collector *c, int64_t start_utc_s)
{
	struct source_second seconds[COLLECTOR_SOURCES_MAX] = {0};

	for (size_t i = 0; i < c->n; i++)
		source_ask(c->sources[i]);
	for (size_t i = 0; i < c->n; i++)
		source_take(c->sources[i], &seconds[i]); /* late: empty now, more next time */
	return gather(seconds, c->n, start_utc_s);
}

struct bucket *collector_close(struct collector *c, int64_t start_utc_s)
{
	struct source_second seconds[COLLECTOR_SOURCES_MAX] = {0};
	size_t n = 0;
	struct bucket *b = NULL;

	if (!c)
		return NULL;
	for (n = 0; n < c->n; n++)
		source_close(c->sources[c->n - 1 - n], &seconds[n]);
	if (n)
		b = gather(seconds, n, start_utc_s);
	site_close(c->site);
	free(c);
	return b;
}
