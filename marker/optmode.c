#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "marker/optmode.h"

/* A descriptor of our own for the socket, or -ENOENT. */
static int take_from(long pid, uint32_t inode)
{
	char path[64], want[32], link[64];
	struct dirent *e;
	int found = -ENOENT;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%ld/fd", pid);
	snprintf(want, sizeof(want), "socket:[%u]", inode);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (found == -ENOENT && (e = readdir(dir))) {
		char entry[320];
		ssize_t n;
		int pidfd;

		snprintf(entry, sizeof(entry), "%s/%s", path, e->d_name);
		n = readlink(entry, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = 0;
		if (strcmp(link, want))
			continue;
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (pidfd < 0) {
			found = -errno;
			break;
		}
		found = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(e->d_name), 0);
		if (found < 0)
			found = -errno;
		close(pidfd);
	}
	closedir(dir);
	return found;
}

static int take_socket(uint32_t inode)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int fd = -ENOENT;

	if (!proc)
		return -errno;
	while (fd < 0 && (e = readdir(proc))) {
		long pid = atol(e->d_name);

		if (pid > 0 && pid != getpid())
			fd = take_from(pid, inode);
	}
	closedir(proc);
	return fd < 0 ? -ENOENT : fd;
}

int optmode_apply(uint32_t inode, const struct mark_tag *tag)
{
	uint8_t header[8] = {0};
	int fd, err = 0;

	if (tag && tag->carrier == CARRIER_LABEL)
		return -EOPNOTSUPP;
	fd = take_socket(inode);
	if (fd < 0)
		return fd;
	if (tag)
		memcpy(header + 2, tag->option, 6);
	if (!tag || tag->carrier != CARRIER_HOP_BY_HOP)
		err = setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, header, tag ? sizeof(header) : 0);
	if (!err && (!tag || tag->carrier != CARRIER_DESTINATION))
		err = setsockopt(fd, IPPROTO_IPV6, IPV6_HOPOPTS, header, tag ? sizeof(header) : 0);
	if (err)
		err = -errno;
	close(fd);
	return err;
}
