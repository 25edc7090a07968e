#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "marker/pipe.h"

struct pipe_input {
	int fd;
	char line[EVENT_LINE_BYTES];
	size_t used;
	int too_long; /* the rest of this line is thrown away */
	struct pipe_counters counters;
	struct log_limit limit;
};

static const char *kind_of(mode_t mode)
{
	return S_ISREG(mode)    ? "a regular file"
	       : S_ISDIR(mode)  ? "a directory"
	       : S_ISSOCK(mode) ? "a socket"
	       : S_ISLNK(mode)  ? "a symbolic link"
				: "something else";
}

int pipe_open(struct pipe_input **out, const char *path)
{
	struct pipe_input *p;
	struct stat st;
	char dir[256];
	const char *slash = strrchr(path, '/');

	/* its directory, so that a first start just works; /run is empty after a boot */
	if (slash && slash != path && (size_t)(slash - path) < sizeof(dir)) {
		memcpy(dir, path, (size_t)(slash - path));
		dir[slash - path] = 0;
		mkdir(dir, 0755);
	}
	if (!mkfifo(path, 0666))
		chmod(path, 0666); /* writers are other users, whatever our umask */
	else if (errno != EEXIST)
		return log_fail(-errno, "pipe", "make %s", path);
	if (lstat(path, &st))
		return log_fail(-errno, "pipe", "look at %s", path);
	if (!S_ISFIFO(st.st_mode)) {
		log_msg(LOG_LEVEL_ERROR, "pipe", "%s is %s, not a pipe; remove it", path,
			kind_of(st.st_mode));
		return -EEXIST;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return log_fail(-ENOMEM, "pipe", "open %s", path);
	/* for writing too, so that the last writer's leaving is not the end of the file */
	p->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (p->fd < 0) {
		int err = log_fail(-errno, "pipe", "open %s", path);

		free(p);
		return err;
	}
	*out = p;
	return 0;
}

void pipe_close(struct pipe_input *p)
{
	if (!p)
		return;
	close(p->fd);
	free(p);
}

int pipe_fd(const struct pipe_input *p)
{
	return p->fd;
}

static void take_line(struct pipe_input *p, const struct registry *reg,
		      void (*handle)(void *arg, const struct rules_flow_event *e), void *arg)
{
	struct rules_flow_event e = {0};
	char why[128] = "longer than 511 bytes";

	if (!p->too_long && !p->used)
		return;
	p->counters.received++;
	p->line[p->used] = 0;
	/* a NUL inside would hide what follows it */
	if (!p->too_long && strlen(p->line) == p->used &&
	    !event_parse(&e, p->line, 1, reg, why, sizeof(why))) {
		p->counters.accepted++;
		handle(arg, &e);
		return;
	}
	p->counters.refused++;
	log_limited(&p->limit, LOG_LEVEL_WARN, "pipe", "line refused: %s", why);
}

void pipe_drain(struct pipe_input *p, const struct registry *reg,
		void (*handle)(void *arg, const struct rules_flow_event *e), void *arg)
{
	char buf[4096];
	size_t n = 0;
	ssize_t got;

	for (; n < PIPE_DRAIN_BYTES && (got = read(p->fd, buf, sizeof(buf))) > 0; n += (size_t)got)
		for (ssize_t i = 0; i < got; i++) {
			if (buf[i] == '\n') {
				take_line(p, reg, handle, arg);
				p->used = 0;
				p->too_long = 0;
			} else if (p->used < sizeof(p->line) - 1) {
				p->line[p->used++] = buf[i];
			} else {
				p->too_long = 1;
			}
		}
}

void pipe_count(const struct pipe_input *p, struct pipe_counters *out)
{
	*out = p->counters;
}
