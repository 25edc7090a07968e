#include <stdio.h>

#include "cli/names.h"

const char *name_experiment(char *buf, const struct registry *r, int experiment, int numeric)
{
	const char *name = numeric ? NULL : registry_experiment_name(r, (unsigned int)experiment);

	snprintf(buf, 16, "%d", experiment);
	return name ? name : buf;
}

const char *name_activity(char *buf, const struct registry *r, int experiment, int activity,
			  int numeric)
{
	const char *name = numeric ? NULL
				   : registry_activity_name(r, (unsigned int)experiment,
							    (unsigned int)activity);

	snprintf(buf, 16, "%d", activity);
	return name ? name : buf;
}

static size_t put(int number, int32_t *out, size_t n, size_t cap)
{
	for (size_t i = 0; i < n; i++) {
		if (out[i] == number)
			return n;
	}
	if (number >= 0 && n < cap)
		out[n++] = number;
	return n;
}

size_t name_resolve(void *registry, enum dim dim, const char *text, int experiment, int32_t *out,
		    size_t cap)
{
	const struct registry *r = registry;
	size_t n = 0;

	if (dim == DIM_EXPERIMENT)
		return put(registry_experiment_number(r, text), out, 0, cap);
	if (dim != DIM_ACTIVITY)
		return 0;
	if (experiment >= 0)
		return put(registry_activity_number(r, (unsigned int)experiment, text), out, 0,
			   cap);
	for (size_t i = 0; i < r->n_experiments; i++)
		n = put(registry_activity_number(r, r->experiments[i].id, text), out, n, cap);
	return n;
}
