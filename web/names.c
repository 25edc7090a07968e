#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "store/filter.h"
#include "web/json.h"
#include "web/names.h"

const char *name_experiment(const struct registry *r, int32_t experiment, int32_t activity,
			    char buf[static 12])
{
	const char *name = NULL;

	if (experiment == STORE_FOLDED)
		return NAME_FOLDED;
	if (experiment == 0 && activity == 0)
		return NAME_UNTAGGED;
	if (experiment >= 0)
		name = registry_experiment_name(r, (unsigned int)experiment);
	snprintf(buf, 12, "%d", experiment);
	return name ? name : buf;
}

const char *name_activity(const struct registry *r, int32_t experiment, int32_t activity,
			  char buf[static 12])
{
	const char *name = NULL;

	if (activity == STORE_FOLDED)
		return NAME_FOLDED;
	if (activity == 0 && (experiment == 0 || experiment == NAME_ANY_EXPERIMENT))
		return NAME_UNTAGGED;
	if (experiment >= 0 && activity >= 0)
		name = registry_activity_name(r, (unsigned int)experiment, (unsigned int)activity);
	snprintf(buf, 12, "%d", activity);
	return name ? name : buf;
}

const char *name_site(struct store *s, uint16_t site)
{
	const char *name = store_site_name(s, site);

	return *name ? name : NAME_NO_SITE;
}

const char *name_application(struct store *s, uint16_t application)
{
	const char *name = store_application_name(s, application);

	return !application ? STORE_OTHER : *name ? name : NAME_UNSAID;
}

void name_tag(json_t *object, int32_t experiment, int32_t activity, const struct registry *r)
{
	const struct traffic_key key = {.experiment = experiment, .activity = activity};

	name_key(object, &key, DIM_BIT(DIM_EXPERIMENT) | DIM_BIT(DIM_ACTIVITY), NULL, r);
}

void name_key(json_t *object, const struct traffic_key *key, uint32_t group, struct store *s,
	      const struct registry *r)
{
	int by_experiment = (group & 1u << DIM_EXPERIMENT) != 0;
	char buf[12];

	if (by_experiment) {
		json_object_set_new(object, "experiment_id", json_integer(key->experiment));
		json_object_set_new(
			object, "experiment",
			json_words(name_experiment(r, key->experiment, key->activity, buf)));
	}
	if (group & 1u << DIM_ACTIVITY) {
		int32_t experiment = by_experiment ? key->experiment : NAME_ANY_EXPERIMENT;

		json_object_set_new(object, "activity_id", json_integer(key->activity));
		json_object_set_new(object, "activity",
				    json_words(name_activity(r, experiment, key->activity, buf)));
	}
	if (group & 1u << DIM_GRADE)
		json_object_set_new(object, "grade", json_string(grade_name(key->grade)));
	if (group & 1u << DIM_CARRIER)
		json_object_set_new(object, "carrier", json_string(carrier_name(key->carrier)));
	if (group & 1u << DIM_FAMILY)
		json_object_set_new(object, "family", json_integer(key->family));
	if (group & 1u << DIM_DIRECTION)
		json_object_set_new(object, "direction",
				    json_string(direction_name(key->direction)));
	if (group & 1u << DIM_SOURCE)
		json_object_set_new(object, "source",
				    json_words(store_source_name(s, key->source)));
	if (group & DIM_BIT(DIM_SRC_SITE))
		json_object_set_new(object, "src_site", json_words(name_site(s, key->src_site)));
	if (group & DIM_BIT(DIM_DST_SITE))
		json_object_set_new(object, "dst_site", json_words(name_site(s, key->dst_site)));
	if (group & DIM_BIT(DIM_APPLICATION))
		json_object_set_new(object, "application",
				    json_words(name_application(s, key->application)));
}

struct traffic_key name_fold(const struct traffic_key *key, const struct registry *r)
{
	struct traffic_key folded = *key;

	if ((key->experiment || key->activity) &&
	    (key->experiment < 0 || key->activity < 0 ||
	     !registry_activity_name(r, (unsigned int)key->experiment,
				     (unsigned int)key->activity)))
		folded.experiment = folded.activity = STORE_FOLDED;
	return folded;
}

/* An activity's name without an experiment beside it may be registered under many. */
static size_t activities_named(const struct registry *r, const char *text, int32_t *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_experiments; i++) {
		int found = registry_activity_number(r, r->experiments[i].id, text);
		size_t seen = 0;

		while (seen < n && out[seen] != found)
			seen++;
		if (found >= 0 && seen == n && n < cap)
			out[n++] = found;
	}
	return n;
}

size_t name_resolve(void *arg, enum dim dim, const char *text, int experiment, int32_t *out,
		    size_t cap)
{
	const struct name_resolver *names = arg;
	int found;

	if (cap == 0)
		return 0;
	if (dim == DIM_SOURCE) {
		found = store_source_find(names->store, text);
	} else if (dim == DIM_SRC_SITE || dim == DIM_DST_SITE) {
		found = strcmp(text, NAME_NO_SITE) ? store_site_find(names->store, text) : 0;
	} else if (dim == DIM_APPLICATION) {
		found = strcmp(text, STORE_OTHER)
				? store_application_find(names->store,
							 strcmp(text, NAME_UNSAID) ? text : "")
				: 0;
	} else if (!strcasecmp(text, NAME_UNTAGGED)) {
		found = 0;
	} else if (!strcmp(text, "-1") || !strcasecmp(text, NAME_FOLDED)) {
		out[0] = STORE_FOLDED;
		return 1;
	} else if (dim == DIM_EXPERIMENT) {
		found = registry_experiment_number(names->registry, text);
	} else if (dim == DIM_ACTIVITY && experiment >= 0) {
		found = registry_activity_number(names->registry, (unsigned int)experiment, text);
	} else if (dim == DIM_ACTIVITY) {
		return activities_named(names->registry, text, out, cap);
	} else {
		return 0;
	}
	if (found < 0)
		return 0;
	out[0] = found;
	return 1;
}
