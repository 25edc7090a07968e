/* Holds the registry in force and keeps it fresh: the shipped snapshot, then a cache file, then
 * HTTPS with ETag and If-Modified-Since (libcurl, certificates verified) in a thread of its own.
 * A network failure is no error; a document that is broken, empty or shrunken never replaces a
 * good one and is counted. */
#ifndef REGISTRY_KEEPER_H
#define REGISTRY_KEEPER_H

#include "registry/registry.h"

#define REGISTRY_URL_DEFAULT   "https://www.scitags.org/api.json"
#define REGISTRY_REFRESH_MIN_S 300

struct registry_keeper; /* opaque */

struct registry_keeper_config {
	const char *url;        /* NULL or "": never ask the network */
	const char *cache_path; /* NULL or "": keep none */
	uint32_t refresh_s;     /* 0: never; else at least REGISTRY_REFRESH_MIN_S */
	int force;              /* let a shrunken document in too: the operator said so */
};
struct registry_keeper_status {
	char origin[16]; /* "built-in", "cache", "network" */
	char modified[40];
	size_t n_experiments, n_pairs;
	int64_t loaded_utc_s;  /* when the one in force came into force */
	int64_t checked_utc_s; /* when the network last answered soundly; CLOCK_NEVER: never */
	uint64_t refused;      /* documents that were not let in */
	char last_error[160];  /* "" none */
};

/* Loads built-in and cache; starts the thread, which asks at once, if refresh_s and url say so. A
 * cache that the built-in has overtaken, or that is broken, is passed over. -ENOMEM, -EAGAIN. */
int registry_keeper_open(struct registry_keeper **out, const struct registry_keeper_config *cfg);
void registry_keeper_close(struct registry_keeper *k);

/* Borrow the registry in force; it stays valid until given back, even across a swap. */
const struct registry *registry_keeper_take(struct registry_keeper *k);
void registry_keeper_give(struct registry_keeper *k, const struct registry *r);
/* Grows by one at each swap: a cheap way to notice that a copied set is stale. */
uint64_t registry_keeper_generation(const struct registry_keeper *k);
void registry_keeper_status(struct registry_keeper *k, struct registry_keeper_status *out);

/* Ask now (the tool's `registry update`). 1 swapped, 0 unchanged; else status.last_error says why:
 * -EBADMSG a document that was not let in, -EIO no answer, -EINVAL no URL. */
int registry_keeper_refresh(struct registry_keeper *k);

#endif
