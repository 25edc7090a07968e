#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "marker/cgroup.h"

#define DEPTH_MAX        8    /* of the search for a unit */
#define FILE_HANDLE_TYPE 0xfe /* FILEID_KERNFS: eight bytes, the number */

int cgroup_root(char *path, size_t cap_bytes)
{
	char line[1024], dir[CGROUP_PATH_BYTES], type[32];
	FILE *mounts = fopen("/proc/self/mounts", "re");
	int err = -ENOENT;

	if (!mounts)
		return -errno;
	while (err && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %511s %31s", dir, type) == 2 && !strcmp(type, "cgroup2"))
			err = snprintf(path, cap_bytes, "%s", dir) < (int)cap_bytes ? 0
										    : -ENAMETOOLONG;
	fclose(mounts);
	return err;
}

uint64_t cgroup_id(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}

int cgroup_resolve(char *path, size_t cap_bytes, const char *text)
{
	char root[CGROUP_PATH_BYTES];
	int err = cgroup_root(root, sizeof(root));
	size_t n;

	if (err)
		return err;
	n = strlen(root);
	if (!strncmp(text, root, n) && (text[n] == '/' || !text[n]))
		text += n;
	text += strspn(text, "/");
	if (snprintf(path, cap_bytes, "%s/%s", root, text) >= (int)cap_bytes)
		return -ENAMETOOLONG;
	for (n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = 0;
	return cgroup_id(path) ? 0 : -ENOENT;
}

/* Descend into path, which is extended in place. */
static int search(char *path, size_t cap_bytes, const char *name, int depth)
{
	size_t n = strlen(path);
	DIR *dir = opendir(path);
	struct dirent *entry;
	int err = -ENOENT;

	if (!dir)
		return -errno;
	while (err && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    snprintf(path + n, cap_bytes - n, "/%s", entry->d_name) >= (int)(cap_bytes - n))
			continue;
		if (!strcmp(entry->d_name, name))
			err = 0;
		else if (depth < DEPTH_MAX)
			err = search(path, cap_bytes, name, depth + 1);
	}
	closedir(dir);
	if (err)
		path[n] = 0;
	return err;
}

int cgroup_of_unit(char *path, size_t cap_bytes, const char *unit)
{
	int err = cgroup_root(path, cap_bytes);

	return err ? err : search(path, cap_bytes, unit, 0);
}

int cgroup_is_below(uint64_t id, const char *path)
{
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + sizeof(id)];
	} handle = {.head = {.handle_bytes = sizeof(id), .handle_type = FILE_HANDLE_TYPE}};
	char link[64], found[CGROUP_PATH_BYTES];
	size_t len = strlen(path);
	int mount_fd, fd = -1;
	ssize_t n = -1;

	if (!id)
		return 0;
	if (cgroup_id(path) == id)
		return 1;
	memcpy(handle.head.f_handle, &id, sizeof(id));
	mount_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount_fd >= 0)
		fd = open_by_handle_at(mount_fd, &handle.head, O_PATH | O_CLOEXEC);
	if (fd >= 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, found, sizeof(found));
		close(fd);
	}
	if (mount_fd >= 0)
		close(mount_fd);
	return n > (ssize_t)len && !memcmp(found, path, len) && found[len] == '/';
}
