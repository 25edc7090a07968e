#include "marker/skops.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "marker/cgroup.h"
#include "marker/skops.skel.h"

#define DRAIN_MAX 1024 /* events in one go */

struct skops {
	struct skops_bpf *bpf;
	struct bpf_link *link;
	struct ring_buffer *ring;
	int left; /* of DRAIN_MAX */
	void (*each)(void *arg, const struct skops_event *e);
	void *arg;
};

static int own_netns(__u64 *cookie)
{
	socklen_t len = sizeof(*cookie);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &len))
		err = -errno;
	close(fd);
	return err;
}

static int open_cgroup(const char *path)
{
	char root[CGROUP_PATH_BYTES];
	struct statfs fs;
	int err, fd;

	if (!path || statfs(path, &fs) || fs.f_type != CGROUP2_SUPER_MAGIC) {
		err = cgroup_root(root, sizeof(root));
		if (err)
			return err;
		path = root;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int take(void *arg, void *data, size_t len_bytes)
{
	struct skops *s = arg;

	if (len_bytes >= sizeof(struct skops_event))
		s->each(s->arg, data);
	return --s->left > 0 ? 0 : -EAGAIN; /* the rest another time */
}

int skops_open(struct skops **out, const char *cgroup)
{
	struct skops *s = calloc(1, sizeof(*s));
	int fd = -1, err = -ENOMEM;

	if (!s)
		return -ENOMEM;
	s->bpf = skops_bpf__open();
	if (!s->bpf)
		goto out;
	err = own_netns((__u64 *)&s->bpf->rodata->netns_cookie);
	if (!err)
		err = skops_bpf__load(s->bpf);
	if (err)
		goto out;
	fd = err = open_cgroup(cgroup);
	if (err < 0)
		goto out;
	s->ring = ring_buffer__new(bpf_map__fd(s->bpf->maps.events), take, s, NULL);
	err = s->ring ? 0 : -errno;
	if (err)
		goto out;
	s->link = bpf_program__attach_cgroup(s->bpf->progs.watch, fd);
	err = s->link ? 0 : -errno;
out:
	if (fd >= 0)
		close(fd);
	if (err) {
		skops_close(s);
		return err;
	}
	*out = s;
	return 0;
}

void skops_close(struct skops *s)
{
	if (!s)
		return;
	bpf_link__destroy(s->link);
	ring_buffer__free(s->ring);
	skops_bpf__destroy(s->bpf);
	free(s);
}

int skops_fd(const struct skops *s)
{
	return ring_buffer__epoll_fd(s->ring);
}

void skops_drain(struct skops *s, void (*each)(void *arg, const struct skops_event *e), void *arg)
{
	s->each = each;
	s->arg = arg;
	s->left = DRAIN_MAX;
	ring_buffer__consume(s->ring);
}

uint64_t skops_lost(const struct skops *s)
{
	return s->bpf->bss->lost;
}
