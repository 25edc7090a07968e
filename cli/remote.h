/* A running observer, asked over HTTP. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <jansson.h>
#include <stddef.h>
#include "cli/cli.h"

#define REMOTE_URL_DEFAULT "http://127.0.0.1:10580"
#define CLI_OPT_URL(config_type)                                                   \
	{                                                                          \
		.name = "url", .letter = 'u', .type = OPT_TEXT,                    \
		.offset = offsetof(config_type, url), .arg = "URL",                \
		.default_text = REMOTE_URL_DEFAULT, .help = "The observer to ask." \
	}

struct remote_parameter {
	const char *name, *value; /* NULL or "": not sent */
};

/* Ask; *out is the answer (json_decref it). 0, or what to exit with: said, with the place in a
 * filter that was not understood. */
int remote_get(json_t **out, const char *url, const char *path,
	       const struct remote_parameter *parameters, size_t n);
/* Call `each` with the data of every server-sent event until it returns not 0, the server ends, or
 * *stop is set. 0 or what to exit with. */
int remote_follow(const char *url, const char *path, int (*each)(void *arg, json_t *data),
		  void *arg, const volatile int *stop);

#endif
