/* Word of TCP connections that open and close in a cgroup, by a sock_ops program on it. It goes with
 * the process; programs of others on the cgroup stay. */
#ifndef MARKER_SKOPS_H
#define MARKER_SKOPS_H

#include <stdint.h>
#include "marker/skops_shared.h"

struct skops; /* opaque */

/* cgroup: a directory of a cgroup2 file system; where it is none, the root of the one that is mounted
 * is taken. Negative errno, which the caller may say: there are other ways to learn of connections. */
int skops_open(struct skops **out, const char *cgroup);
void skops_close(struct skops *s);
/* Readable when there are events. */
int skops_fd(const struct skops *s);
void skops_drain(struct skops *s, void (*each)(void *arg, const struct skops_event *e), void *arg);
/* Events that were lost so far because nobody drained. */
uint64_t skops_lost(const struct skops *s);

#endif
