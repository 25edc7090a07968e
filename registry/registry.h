/* Experiment and activity numbers <-> names. Source: the SciTags registry document (api.json);
 * the snapshot of 4 Sep 2025 ships inside the program (registry/scitags.json).
 * A struct registry is one document, immutable, safe from any thread. registry/keeper.h holds the
 * current one and refreshes it. */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include <stddef.h>
#include <stdint.h>
#include "wire/scitag.h"

#define REGISTRY_EXPERIMENTS_MAX    1024
#define REGISTRY_ACTIVITIES_MAX     256 /* of one experiment */
#define REGISTRY_NAME_BYTES         64  /* with its end */
#define REGISTRY_DOCUMENT_MAX_BYTES (4 << 20)

struct registry_activity {
	uint16_t id;
	char name[REGISTRY_NAME_BYTES];
};
struct registry_experiment {
	uint16_t id;
	char name[REGISTRY_NAME_BYTES];
	size_t n_activities;
	struct registry_activity *activities; /* by id, ascending */
};
struct registry {
	size_t n_experiments;
	size_t n_pairs;
	struct registry_experiment *experiments; /* by id, ascending */
	char modified[40];                       /* the document's own stamp, "" if none */
	struct scitag_set pairs;                 /* for the packet walk */
	int dialects_overlap; /* plain and label option values overlap: said in the log */
};

/* The document that ships inside. Never fails short of memory (then NULL). */
struct registry *registry_builtin(void);
/* Parse a document. Returns 0 and *out (registry_free it), or -EBADMSG with a sentence in why. */
int registry_parse(struct registry **out, const char *json, size_t len_bytes, char *why,
		   size_t why_cap_bytes);
/* The same from a file; also -ENOENT, -EACCES, ..., with why. */
int registry_load(struct registry **out, const char *path, char *why, size_t why_cap_bytes);
void registry_free(struct registry *r); /* takes NULL */

/* Names; NULL when the number is not registered. Owned by r. */
const char *registry_experiment_name(const struct registry *r, unsigned int experiment);
const char *registry_activity_name(const struct registry *r, unsigned int experiment,
				   unsigned int activity);
const struct registry_experiment *registry_find_experiment(const struct registry *r,
							   unsigned int experiment);
/* Numbers by name or decimal text; case, blanks, '-' and '_' do not count. Returns the number or
 * -ENOENT. A decimal number is taken as it is (0..65535 / 0..255), registered or not. */
int registry_experiment_number(const struct registry *r, const char *text);
int registry_activity_number(const struct registry *r, unsigned int experiment, const char *text);

/* Why `next` must not replace `now`: NULL if it may, else a sentence (static). A document that is
 * empty, or that has fewer experiments or fewer pairs, is refused (the operator can force it). */
const char *registry_refuse_swap(const struct registry *now, const struct registry *next);

/* Call `each` for every difference, as one line of text: "+ 3/25 cms New Thing", "- 4 lhcb",
 * "~ 3/7 cms Data rebalancing -> Data Rebalancing"; by number. */
void registry_diff(const struct registry *a, const struct registry *b,
		   void (*each)(void *arg, const char *line), void *arg);

#endif
