#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "marker/cgroup.h"
#include "marker/rules.h"
#include "marker/scan.h"

struct ports {
	uint16_t min, max;
};

struct prefix {
	uint64_t ip[2], mask[2];
};

struct scan_rule {
	const struct marker_scan_rule *text;
	struct ports *ports;
	struct prefix *prefixes;
	uint32_t uid;
	char path[CGROUP_PATH_BYTES]; /* of the cgroup; "" while it is not there */
	uint64_t cgroup_id;
	struct scitag tag;
	enum scitag_carrier carrier;
};

struct scan {
	size_t n;
	struct scan_rule *rules;
};

static int needs_cgroup(const struct scan_rule *r)
{
	return r->text->cgroup || r->text->unit;
}

static void look_up_cgroup(struct scan_rule *r)
{
	int err = r->text->unit ? cgroup_of_unit(r->path, sizeof(r->path), r->text->unit)
				: cgroup_resolve(r->path, sizeof(r->path), r->text->cgroup);

	r->cgroup_id = err ? 0 : cgroup_id(r->path);
	if (!r->cgroup_id)
		r->path[0] = 0;
}

static int read_rule(struct scan_rule *r, const struct marker_scan_rule *text,
		     const struct registry *reg, char *why, size_t why_cap_bytes)
{
	r->text = text;
	if (marker_tag(&r->tag, reg, text->experiment, text->activity, why, why_cap_bytes))
		return -EINVAL;
	if (text->strategy)
		r->carrier = (enum scitag_carrier)marker_strategy(text->strategy);
	if (text->uid && rules_uid(&r->uid, text->uid)) {
		snprintf(why, why_cap_bytes, "no user \"%s\"", text->uid);
		return -EINVAL;
	}
	r->ports = calloc(text->local_ports.n + 1, sizeof(*r->ports));
	r->prefixes = calloc(text->remote_prefixes.n + 1, sizeof(*r->prefixes));
	if (!r->ports || !r->prefixes) {
		snprintf(why, why_cap_bytes, "out of memory");
		return -EINVAL;
	}
	for (size_t i = 0; i < text->local_ports.n; i++)
		if (rules_ports(&r->ports[i].min, &r->ports[i].max, text->local_ports.items[i]))
			return -EINVAL; /* the configuration has checked them */
	for (size_t i = 0; i < text->remote_prefixes.n; i++)
		if (rules_prefix(r->prefixes[i].ip, r->prefixes[i].mask,
				 text->remote_prefixes.items[i]))
			return -EINVAL;
	if (needs_cgroup(r)) {
		look_up_cgroup(r);
		if (!r->cgroup_id)
			log_msg(LOG_LEVEL_WARN, "scan", "%s %s is not there yet",
				text->unit ? "unit" : "cgroup", text->unit ?: text->cgroup);
	}
	return 0;
}

int scan_open(struct scan **out, const struct marker_config *cfg, const struct registry *reg)
{
	const struct marker_scan_rule *texts = cfg->scan_rules.items;
	struct scan *s = calloc(1, sizeof(*s));
	char why[128] = "";

	if (!s)
		return log_fail(-ENOMEM, "scan", "open");
	s->rules = calloc(cfg->scan_rules.n + 1, sizeof(*s->rules));
	if (!s->rules) {
		scan_close(s);
		return log_fail(-ENOMEM, "scan", "open");
	}
	for (; s->n < cfg->scan_rules.n; s->n++)
		if (read_rule(&s->rules[s->n], &texts[s->n], reg, why, sizeof(why))) {
			log_msg(LOG_LEVEL_ERROR, "scan", "rule %zu: %s", s->n + 1, why);
			s->n++; /* it may own something already */
			scan_close(s);
			return -EINVAL;
		}
	*out = s;
	return 0;
}

void scan_close(struct scan *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		free(s->rules[i].ports);
		free(s->rules[i].prefixes);
	}
	free(s->rules);
	free(s);
}

static int port_matches(const struct scan_rule *r, uint16_t port)
{
	for (size_t i = 0; i < r->text->local_ports.n; i++)
		if (port >= r->ports[i].min && port <= r->ports[i].max)
			return 1;
	return !r->text->local_ports.n;
}

static int prefix_matches(const struct scan_rule *r, const uint8_t ip[16])
{
	uint64_t w[2];

	memcpy(w, ip, sizeof(w));
	for (size_t i = 0; i < r->text->remote_prefixes.n; i++) {
		const struct prefix *p = &r->prefixes[i];

		if ((w[0] & p->mask[0]) == p->ip[0] && (w[1] & p->mask[1]) == p->ip[1])
			return 1;
	}
	return !r->text->remote_prefixes.n;
}

int scan_match(const struct scan *s, const struct socket_info *info, struct scitag *tag,
	       enum scitag_carrier *carrier)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct scan_rule *r = &s->rules[i];

		if (!port_matches(r, info->key.src_port) || !prefix_matches(r, info->key.dst_ip) ||
		    (r->text->uid && info->uid != r->uid))
			continue;
		if (needs_cgroup(r) &&
		    (!r->cgroup_id || !cgroup_is_below(info->cgroup_id, r->path)))
			continue;
		*tag = r->tag;
		*carrier = r->carrier;
		return 0;
	}
	return -ENOENT;
}

int scan_refresh(struct scan *s)
{
	int changed = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct scan_rule *r = &s->rules[i];
		uint64_t before = r->cgroup_id;

		if (!needs_cgroup(r) || (before && cgroup_id(r->path) == before))
			continue;
		look_up_cgroup(r);
		if (r->cgroup_id == before)
			continue;
		changed = 1;
		log_msg(LOG_LEVEL_INFO, "scan", "%s %s %s", r->text->unit ? "unit" : "cgroup",
			r->text->unit ?: r->text->cgroup,
			!r->cgroup_id ? "is gone"
			: before      ? "was made anew"
				      : "is there");
	}
	return changed;
}

/* --- wildcards --------------------------------------------------------------------------------- */

static void drop_wildcards(struct marker_config *cfg)
{
	struct marker_rule *list = cfg->rules.items;

	for (size_t i = cfg->rules.n - cfg->n_scan_wildcards; i < cfg->rules.n; i++) {
		free(list[i].src_port);
		free(list[i].dst);
		free(list[i].uid);
		free(list[i].cgroup);
		free(list[i].experiment);
		free(list[i].activity);
		free(list[i].strategy);
	}
	cfg->rules.n -= cfg->n_scan_wildcards;
	cfg->n_scan_wildcards = 0;
}

static int copy(char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return text && !*out;
}

static int add_wildcard(struct marker_config *cfg, const struct scan_rule *r, const char *ports,
			const char *prefix)
{
	struct marker_rule *list, *w;

	list = reallocarray(cfg->rules.items, cfg->rules.n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	cfg->rules.items = list;
	w = &list[cfg->rules.n];
	memset(w, 0, sizeof(*w));
	cfg->rules.n++;
	cfg->n_scan_wildcards++;
	return copy(&w->src_port, ports) || copy(&w->dst, prefix) || copy(&w->uid, r->text->uid) ||
			       copy(&w->cgroup, r->path[0] ? r->path : NULL) ||
			       copy(&w->experiment, r->text->experiment) ||
			       copy(&w->activity, r->text->activity) ||
			       copy(&w->strategy, r->text->strategy)
		       ? -ENOMEM
		       : 0;
}

int scan_set_wildcards(const struct scan *s, struct marker_config *cfg)
{
	int err = 0;

	drop_wildcards(cfg);
	for (size_t i = 0; i < s->n && !err; i++) {
		const struct scan_rule *r = &s->rules[i];
		const struct opt_texts *ports = &r->text->local_ports;
		const struct opt_texts *prefixes = &r->text->remote_prefixes;

		if ((needs_cgroup(r) && !r->cgroup_id) || !r->tag.experiment)
			continue;
		for (size_t p = 0; p < (ports->n ?: 1) && !err; p++)
			for (size_t q = 0; q < (prefixes->n ?: 1) && !err; q++)
				err = add_wildcard(cfg, r, ports->n ? ports->items[p] : NULL,
						   prefixes->n ? prefixes->items[q] : NULL);
	}
	return err;
}
