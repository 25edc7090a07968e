/* Numbers to what people read, at the moment of showing. */
#ifndef WEB_NAMES_H
#define WEB_NAMES_H

#include <jansson.h>
#include "registry/registry.h"
#include "store/store.h"

#define NAME_UNTAGGED       "(untagged)"
#define NAME_FOLDED         "(other unregistered)"
#define NAME_NO_SITE        "(unknown)"
#define NAME_UNSAID         "(unsaid)" /* an application */
#define NAME_ANY_EXPERIMENT (-2)       /* the activity is summed over experiments */

/* Registered name, or the number in buf, or one of the above (0/0 is untagged, STORE_FOLDED). */
const char *name_experiment(const struct registry *r, int32_t experiment, int32_t activity,
			    char buf[static 12]);
const char *name_activity(const struct registry *r, int32_t experiment, int32_t activity,
			  char buf[static 12]);

/* Of numbers of the store. NAME_NO_SITE; NAME_UNSAID, STORE_OTHER. */
const char *name_site(struct store *s, uint16_t site);
const char *name_application(struct store *s, uint16_t application);

/* {"experiment_id":2,"experiment":"atlas","activity_id":9,"activity":"..."} into an object. */
void name_tag(json_t *object, int32_t experiment, int32_t activity, const struct registry *r);

/* Adds the members of the grouped dimensions (bits 1 << enum dim) to an object. */
void name_key(json_t *object, const struct traffic_key *key, uint32_t group, struct store *s,
	      const struct registry *r);

/* The key with its tag replaced by STORE_FOLDED when the pair is not registered (untagged apart):
 * the form whose number is bounded by the registry, used by the live stream and /metrics. */
struct traffic_key name_fold(const struct traffic_key *key, const struct registry *r);

/* A filter_resolve (store/filter.h); arg is a struct name_resolver. */
struct name_resolver {
	struct store *store;
	const struct registry *registry;
};
size_t name_resolve(void *arg, enum dim dim, const char *text, int experiment, int32_t *out,
		    size_t cap);

#endif
