#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "marker/control.h"

struct client {
	int fd; /* -1: free */
	size_t used;
	char line[CONTROL_LINE_BYTES];
};

struct control {
	int fd;
	char *path;
	struct client clients[CONTROL_CLIENTS];
};

static int address_of(struct sockaddr_un *sa, const char *path)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	strcpy(sa->sun_path, path);
	return 0;
}

static int connect_to(const char *path)
{
	/* neither side waits for the other for ever */
	const struct timeval patience = {.tv_sec = 10};
	struct sockaddr_un sa;
	int err = address_of(&sa, path), fd;

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int control_open(struct control **out, const char *path)
{
	struct control *c = calloc(1, sizeof(*c));
	struct sockaddr_un sa;
	mode_t mask;
	int err;

	if (!c)
		return log_fail(-ENOMEM, "control", "open");
	c->fd = -1;
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		c->clients[i].fd = -1;
	err = address_of(&sa, path);
	if (err)
		goto fail;
	err = connect_to(path);
	if (err >= 0) {
		close(err);
		err = -EADDRINUSE;
		goto fail;
	}
	if (err == -ECONNREFUSED)
		unlink(path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(0177);
	err = c->fd < 0 || bind(c->fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(c->fd, 8)
		      ? -errno
		      : 0;
	umask(mask);
	if (err)
		goto fail;
	c->path = strdup(path);
	*out = c;
	return 0;
fail:
	control_close(c);
	return log_fail(err, "control", "listen at %s", path);
}

void control_close(struct control *c)
{
	if (!c)
		return;
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		if (c->clients[i].fd >= 0)
			close(c->clients[i].fd);
	if (c->fd >= 0)
		close(c->fd);
	if (c->path)
		unlink(c->path);
	free(c->path);
	free(c);
}

size_t control_fds(const struct control *c, int *fds)
{
	size_t n = 0;

	fds[n++] = c->fd;
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		if (c->clients[i].fd >= 0)
			fds[n++] = c->clients[i].fd;
	return n;
}

static void drop_client(struct client *client)
{
	close(client->fd);
	client->fd = -1;
}

static void accept_client(struct control *c)
{
	const struct timeval patience = {.tv_sec = 2};
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		if (c->clients[i].fd < 0) {
			setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
			c->clients[i].fd = fd;
			c->clients[i].used = 0;
			return;
		}
	close(fd);
}

void control_serve(struct control *c, int fd, void (*answer)(void *arg, char *line, FILE *out),
		   void *arg)
{
	struct client *client = NULL;
	ssize_t got;
	FILE *out;
	char *end;

	if (fd == c->fd) {
		accept_client(c);
		return;
	}
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		if (c->clients[i].fd == fd)
			client = &c->clients[i];
	if (!client)
		return;
	got = recv(fd, client->line + client->used, sizeof(client->line) - 1 - client->used,
		   MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		drop_client(client);
		return;
	}
	client->used += (size_t)got;
	client->line[client->used] = 0;
	end = strchr(client->line, '\n');
	if (!end && client->used < sizeof(client->line) - 1)
		return;
	if (end)
		*end = 0;
	out = fdopen(fd, "w");
	if (!out) {
		drop_client(client);
		return;
	}
	client->fd = -1; /* out owns it */
	if (end)
		answer(arg, client->line, out);
	else
		fprintf(out, "error: line too long\n");
	fclose(out);
}

int control_ask(const char *path, const char *line, FILE *out, FILE *err)
{
	char buf[4096];
	int fd = connect_to(path), first = 1, failed = 0;
	ssize_t got;

	if (fd < 0)
		return fd;
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0) {
		failed = -errno;
		close(fd);
		return failed;
	}
	while ((got = recv(fd, buf, sizeof(buf), 0)) > 0) {
		if (first)
			failed = got >= 7 && !memcmp(buf, "error: ", 7);
		first = 0;
		fwrite(buf, 1, (size_t)got, failed ? err : out);
	}
	close(fd);
	return got < 0 ? -errno : failed;
}
