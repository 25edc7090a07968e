/* Names for people, from a registry; and the filter's names turned into numbers. */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include "registry/registry.h"
#include "store/filter.h"

#define NAME_OUTSIDE "(beyond 1023/63)"

/* The name, or the number as text where there is none or `numeric` asks for it. buf: 16 bytes. */
const char *name_experiment(char *buf, const struct registry *r, int experiment, int numeric);
const char *name_activity(char *buf, const struct registry *r, int experiment, int activity,
			  int numeric);
/* A filter_resolve over the struct registry in arg; knows no sources. */
size_t name_resolve(void *registry, enum dim dim, const char *text, int experiment, int32_t *out,
		    size_t cap);

#endif
