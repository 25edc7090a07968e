/* The registry the tool names things with. */
#ifndef CLI_REGISTRY_H
#define CLI_REGISTRY_H

#include "registry/keeper.h"

struct cli_registry {
	const struct registry *registry;
	struct registry_keeper *keeper; /* of the built-in and the cache */
	struct registry *loaded;        /* of a file */
};

/* From the file `path`; NULL: the cache of this user or machine if it is sound, else the built-in.
 * 0, or what to exit with: said on stderr. */
int cli_registry_open(struct cli_registry *r, const char *path);
void cli_registry_close(struct cli_registry *r); /* takes a zeroed one */

/* Say that there is no such name, and which was probably meant: CLI_FAILED. */
int cli_no_experiment(const struct registry *r, const char *name);
int cli_no_activity(const struct registry *r, unsigned int experiment, const char *name);

/* The row of a verb's option table; the config has `char *registry`. */
#define CLI_OPT_REGISTRY(config_type)                                                            \
	{                                                                                        \
		.name = "registry", .type = OPT_TEXT, .offset = offsetof(config_type, registry), \
		.arg = "FILE",                                                                   \
		.help = "Take names from this registry document instead of the cached or "       \
			"built-in "                                                              \
			"one."                                                                   \
	}

#endif
