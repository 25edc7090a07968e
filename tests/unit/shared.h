/* Files that lie beside the project, not in it: a test that wants one skips, loudly, without it. */
#ifndef TESTS_UNIT_SHARED_H
#define TESTS_UNIT_SHARED_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The path of `name` under $SCITAG_SHARED or ../shared; not 0, with the reason said, if missing. */
static inline int shared_missing(char *path, size_t cap_bytes, const char *name)
{
	snprintf(path, cap_bytes, "%s/%s", getenv("SCITAG_SHARED") ?: "../shared", name);
	if (access(path, R_OK) == 0)
		return 0;
	fprintf(stderr, "# SKIP %s is not there\n", path);
	return 1;
}

#endif
