/* Cgroups of version 2: where they are, which one a systemd unit has, whose child one is. */
#ifndef MARKER_CGROUP_H
#define MARKER_CGROUP_H

#include <stddef.h>
#include <stdint.h>

#define CGROUP_PATH_BYTES 512

/* Where the first cgroup2 file system of /proc/self/mounts is mounted. -ENOENT. */
int cgroup_root(char *path, size_t cap_bytes);
/* A path below the root, however it is written: in full, from the root on, with or without a slash
 * before or behind it. The path in full; -ENOENT, or another error of the system. */
int cgroup_resolve(char *path, size_t cap_bytes, const char *text);
/* The cgroup of a systemd unit, such as xrootd@disk.service: the first of that name, looked for from
 * the root on. -ENOENT: it is not running. */
int cgroup_of_unit(char *path, size_t cap_bytes, const char *unit);
/* Its number: as the kernel has it in sock_diag, and the inode of its directory. 0: none. */
uint64_t cgroup_id(const char *path);
/* Is the cgroup of that number the one at path, or below it? */
int cgroup_is_below(uint64_t id, const char *path);

#endif
