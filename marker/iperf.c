#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "marker/iperf.h"

int iperf_open(struct iperf *out, const struct marker_config *cfg, const struct registry *reg)
{
	struct iperf i = {.cfg = cfg, .n_tags = cfg->iperf_experiments.n};
	char why[128];

	if (i.n_tags > IPERF_TAGS_MAX) {
		log_msg(LOG_LEVEL_ERROR, "iperf", "more than %d tags", IPERF_TAGS_MAX);
		return -EINVAL;
	}
	for (size_t k = 0; k < i.n_tags; k++)
		if (marker_tag(&i.tags[k], reg, cfg->iperf_experiments.items[k],
			       cfg->iperf_activities.items[k], why, sizeof(why))) {
			log_msg(LOG_LEVEL_ERROR, "iperf", "tag %zu: %s", k + 1, why);
			return -EINVAL;
		}
	*out = i;
	return 0;
}

static int within(uint16_t port, int64_t min, int64_t max)
{
	return (min || max) && port >= min && (!max || port <= max);
}

int iperf_matches(const struct iperf *i, const struct flow_key *key)
{
	const struct marker_config *c = i->cfg;

	if (key->protocol != IPPROTO_TCP)
		return 0;
	if (!c->iperf_src_min && !c->iperf_src_max && !c->iperf_dst_min && !c->iperf_dst_max)
		return 1;
	return within(key->src_port, c->iperf_src_min, c->iperf_src_max) ||
	       within(key->dst_port, c->iperf_dst_min, c->iperf_dst_max);
}

struct scitag iperf_next(struct iperf *i)
{
	uint32_t random = 0;

	if (!i->cfg->iperf_random)
		return i->tags[i->next++ % i->n_tags];
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = (uint32_t)rand();
	return i->tags[random % i->n_tags];
}
