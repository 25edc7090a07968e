/* flowd's configuration (KEY=value, Python literals) -> ours (YAML), with a comment where something
 * has no counterpart. Source: flowd's README and settings, version of March 2025. */
#ifndef MARKER_CONVERT_H
#define MARKER_CONVERT_H

#include <stdio.h>

/* Lines that cannot be read and keys that are not known are said on err, as "name:line: ...", and
 * left out. 0; -EINVAL if there were any; -EFBIG beyond 64 KiB or 128 keys. */
int convert_flowd(FILE *in, const char *name, FILE *out, FILE *err);

#endif
