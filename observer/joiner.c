#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "observer/joiner.h"
#include "observer/source.h"

#define LOOK_AT_FILES_S 60
enum { FILE_CRIC, FILE_ASN, FILE_COUNTRY, FILES };

struct joiner {
	struct store *store;
	struct registry_keeper *registry;
	struct join *join;
	struct sites *sites;
	const struct observer_config *cfg; /* in force; the caller's */
	struct scitag_set registered;
	uint64_t registry_generation;
	int64_t looked_mono_ns;
	struct stat files[FILES]; /* as they were when they were read */
};

/* --- configuration ------------------------------------------------------------------------- */

static int read_config(struct join_config *out, const struct joiner *j)
{
	const struct observer_config *cfg = j->cfg;
	uint8_t(*relays)[16] = calloc(cfg->firefly_relays.n + 1, sizeof(*relays));
	uint16_t *points = calloc(cfg->points_order.n + 1, sizeof(*points));

	if (!relays || !points) {
		free(relays);
		free(points);
		return -ENOMEM;
	}
	for (size_t i = 0; i < cfg->firefly_relays.n; i++)
		config_address(relays[i], cfg->firefly_relays.items[i]); /* checked when read */
	for (size_t i = 0; i < cfg->points_order.n; i++) {
		const char *name = cfg->points_order.items[i];

		/* it may be heard of later: its number is taken now */
		points[i] = store_source_id(j->store, name,
					    strncmp(name, "sflow:", 6) ? SOURCE_CAPTURE
								       : SOURCE_SFLOW_AGENT);
	}
	*out = (struct join_config){
		.flows_max = (uint32_t)cfg->flows_max,
		.claims_max = (uint32_t)cfg->claims_max,
		.claim_silent_s = (uint32_t)cfg->claims_silence_s,
		.drop_local = (enum drop_local)cfg->flows_drop_local,
		.relays = (const uint8_t(*)[16])relays,
		.n_relays = cfg->firefly_relays.n,
		.points = points,
		.n_points = cfg->points_order.n,
	};
	return 0;
}

static void free_config(struct join_config *jc)
{
	free((void *)jc->relays);
	free((void *)jc->points);
}

/* --- sites --------------------------------------------------------------------------------- */

static const char *file_path(const struct joiner *j, int file)
{
	const char *const paths[FILES] = {j->cfg->sites_cric, j->cfg->sites_asn,
					  j->cfg->sites_country};

	return paths[file];
}

/* Notes how the files are now. Returns whether one of them is not what it was. */
static int files_changed(struct joiner *j)
{
	int changed = 0;

	for (int i = 0; i < FILES; i++) {
		const struct stat was = j->files[i];
		struct stat *is = &j->files[i];

		memset(is, 0, sizeof(*is));
		if (file_path(j, i) && stat(file_path(j, i), is))
			memset(is, 0, sizeof(*is));
		changed |= is->st_mtim.tv_sec != was.st_mtim.tv_sec ||
			   is->st_mtim.tv_nsec != was.st_mtim.tv_nsec ||
			   is->st_size != was.st_size || is->st_ino != was.st_ino;
	}
	return changed;
}

/* A file that changed may be half written: then, unless told to `take` what there is, the old ones stay. */
static void read_sites(struct joiner *j, int take)
{
	const struct sites_config sc = {
		.cric = j->cfg->sites_cric,
		.asn_mmdb = j->cfg->sites_asn,
		.country_mmdb = j->cfg->sites_country,
		.own = (const char *const *)j->cfg->sites_own.items,
		.n_own = j->cfg->sites_own.n,
	};
	struct sites *sites;
	char text[200];

	if (sites_open(&sites, &sc, j->store, text, sizeof(text))) {
		log_fail(-ENOMEM, "sites", "the old ones stay");
		return;
	}
	if (*text && !take) {
		log_msg(LOG_LEVEL_WARN, "sites", "the old ones stay until the file changes again");
		sites_close(sites);
		return;
	}
	join_set_sites(j->join, sites);
	sites_close(j->sites);
	j->sites = sites;
	sites_describe(sites, text, sizeof(text));
	if (sc.cric || sc.asn_mmdb || sc.country_mmdb || sc.n_own)
		log_msg(LOG_LEVEL_INFO, "sites", "%s", text);
}

/* --- life ---------------------------------------------------------------------------------- */

static void take_registry(struct joiner *j)
{
	const struct source_context ctx = {.registry = j->registry};
	const uint64_t before = j->registry_generation;

	source_registry(&ctx, &j->registered, &j->registry_generation);
	if (j->registry_generation != before)
		join_set_registered(j->join, &j->registered);
}

int joiner_open(struct joiner **out, const struct observer_config *cfg, struct store *store,
		struct registry_keeper *registry)
{
	struct joiner *j = calloc(1, sizeof(*j));
	struct join_config jc;
	int err = -ENOMEM;

	if (!j)
		return log_fail(err, "join", "open");
	j->store = store;
	j->registry = registry;
	j->cfg = cfg;
	j->looked_mono_ns = clock_mono_ns();
	err = read_config(&jc, j);
	if (!err) {
		err = join_open(&j->join, &jc, store);
		free_config(&jc);
	}
	if (err) {
		joiner_close(j);
		return log_fail(err, "join", "tables of %lld flows and %lld claims",
				(long long)cfg->flows_max, (long long)cfg->claims_max);
	}
	take_registry(j);
	files_changed(j);
	read_sites(j, 1);
	*out = j;
	return 0;
}

void joiner_close(struct joiner *j)
{
	if (!j)
		return;
	join_close(j->join);
	sites_close(j->sites);
	free(j);
}

struct join *joiner_join(struct joiner *j)
{
	return j->join;
}

void joiner_reload(struct joiner *j, const struct observer_config *cfg)
{
	struct join_config jc;
	int err;

	j->cfg = cfg;
	err = read_config(&jc, j);
	if (!err) {
		err = join_configure(j->join, &jc);
		free_config(&jc);
	}
	if (err)
		log_fail(err, "join", "relays, points and drop_local stay as they were");
	files_changed(j);
	read_sites(j, 1);
}

void joiner_turn(struct joiner *j)
{
	const int64_t now_mono_ns = clock_mono_ns();

	take_registry(j);
	if (now_mono_ns - j->looked_mono_ns < LOOK_AT_FILES_S * NS_PER_S)
		return;
	j->looked_mono_ns = now_mono_ns;
	if (files_changed(j))
		read_sites(j, 0);
}
