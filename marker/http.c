#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "marker/http.h"

#define IDLE_TIMEOUT_S 10
#define MEMORY_BYTES   (16 * 1024) /* of one connection: its headers */
#define BACKLOG        128
#define RUNS_MAX       8 /* requests of one connection in a turn */

struct http {
	struct MHD_Daemon *daemon;
	int fd; /* -1 once the daemon owns it */
	uint16_t port;
	char *unix_path;
	const struct opt_texts *hosts;
	int any_host;
	void (*answer)(void *arg, const struct http_request *request, struct http_answer *answer);
	void *arg;
	struct http_counters counters;
	struct pending *spare; /* of requests that are answered: at most one for each connection */
};

struct pending {
	struct pending *next; /* while it is spare */
	size_t used;
	int too_long;
	char body[HTTP_BODY_BYTES + 1];
};

/* --- hosts ------------------------------------------------------------------------------------- */

int http_host_known(const char *host, const struct opt_texts *hosts)
{
	char name[256];
	uint8_t ip[16];
	size_t n = strlen(host);
	const char *end;

	if (*host == '[') {
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return 0;
		host++;
	} else {
		end = strchr(host, ':');
	}
	if (end)
		n = (size_t)(end - host);
	if (!n || n >= sizeof(name))
		return 0;
	memcpy(name, host, n);
	name[n] = 0;
	/* a page from elsewhere can make its own name mean this host, but not an address */
	if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1)
		return 1;
	if (!strcasecmp(name, "localhost"))
		return 1;
	for (size_t i = 0; hosts && i < hosts->n; i++)
		if (!strcasecmp(name, hosts->items[i]))
			return 1;
	return 0;
}

/* --- requests ---------------------------------------------------------------------------------- */

static void refuse(struct http_answer *a, unsigned int status, const char *message)
{
	a->status = status;
	a->content_type = "application/json";
	if (asprintf(&a->body, "{\"message\":\"%s\"}\n", message) < 0)
		a->body = NULL;
	a->len_bytes = a->body ? strlen(a->body) : 0;
}

static enum MHD_Result send_answer(struct http *h, struct MHD_Connection *c, struct http_answer *a)
{
	static char empty[1];
	struct MHD_Response *r = MHD_create_response_from_buffer(
		a->len_bytes, a->body ? a->body : empty,
		a->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	h->counters.received++;
	h->counters.refused += a->status >= 400;
	if (!r) {
		free(a->body);
		return MHD_NO;
	}
	if (a->content_type)
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->content_type);
	if (a->allow)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, a->allow);
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	result = MHD_queue_response(c, a->status, r);
	MHD_destroy_response(r);
	return result;
}

static struct pending *take_pending(struct http *h)
{
	struct pending *p = h->spare;

	if (p)
		h->spare = p->next;
	else
		p = malloc(sizeof(*p));
	if (p) {
		p->used = 0;
		p->too_long = 0;
	}
	return p;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *len_bytes, void **state)
{
	struct http *h = cls;
	struct pending *p = *state;
	struct http_answer a = {.status = 500};
	struct http_request request = {.method = method, .path = url};
	const char *host;

	if (!p) { /* the headers are there */
		*state = p = take_pending(h);
		return p ? MHD_YES : MHD_NO;
	}
	if (*len_bytes) {
		if (p->used + *len_bytes > HTTP_BODY_BYTES) {
			p->too_long = 1;
		} else {
			memcpy(p->body + p->used, data, *len_bytes);
			p->used += *len_bytes;
		}
		*len_bytes = 0;
		return MHD_YES;
	}
	p->body[p->used] = 0;
	request.body = p->body;
	request.len_bytes = p->used;
	host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
	request.content_type =
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
	if (p->too_long)
		refuse(&a, 413, "the body is too long");
	else if (!host && !strcmp(version, "HTTP/1.1"))
		refuse(&a, 400, "no Host header");
	else if (host && !h->any_host && !http_host_known(host, h->hosts))
		refuse(&a, 421, "the Host header names another server");
	else
		h->answer(h->arg, &request, &a);
	return send_answer(h, c, &a);
}

static void request_ends(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct http *h = cls;
	struct pending *p = *state;

	if (!p)
		return;
	p->next = h->spare;
	h->spare = p;
	*state = NULL;
}

/* --- sockets ----------------------------------------------------------------------------------- */

static int listen_at(struct sockaddr *sa, socklen_t len)
{
	int on = 1, fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (sa->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, sa, len) || listen(fd, BACKLOG)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		close(fd);
		return -EADDRINUSE;
	}
	if (errno == ECONNREFUSED) /* left over from a crash */
		unlink(path);
	close(fd);
	mask = umask(0117);
	fd = listen_at((struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	return fd;
}

/* As Go's listeners: a name, an address, or nothing for all of this host's. */
static int listen_tcp(const char *address, uint16_t port, uint16_t *bound)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct sockaddr_in6 sa;
	struct addrinfo *list;
	socklen_t len = sizeof(sa);
	char service[8];
	int fd;

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(*address ? address : "::", service, &hints, &list))
		return -EADDRNOTAVAIL;
	fd = listen_at(list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	if (fd >= 0 && !getsockname(fd, (struct sockaddr *)&sa, &len))
		*bound = ntohs(sa.sin6_port); /* at the same place in both families */
	return fd;
}

/* --- the server -------------------------------------------------------------------------------- */

int http_open(struct http **out, const struct http_config *cfg)
{
	struct http *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return log_fail(-ENOMEM, "http", "open");
	h->hosts = cfg->hosts;
	h->any_host = cfg->any_host;
	h->answer = cfg->answer;
	h->arg = cfg->arg;
	h->fd = cfg->unix_path ? listen_unix(cfg->unix_path)
			       : listen_tcp(cfg->address, cfg->port, &h->port);
	if (h->fd < 0) {
		err = cfg->unix_path ? log_fail(h->fd, "http", "listen at %s", cfg->unix_path)
				     : log_fail(h->fd, "http", "listen at %s port %u", cfg->address,
						cfg->port);
		goto fail;
	}
	if (cfg->unix_path)
		h->unix_path = strdup(cfg->unix_path);
	h->daemon =
		MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, handle, h, MHD_OPTION_LISTEN_SOCKET,
				 h->fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)HTTP_CONNECTIONS,
				 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_TIMEOUT_S,
				 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES,
				 MHD_OPTION_NOTIFY_COMPLETED, request_ends, h, MHD_OPTION_END);
	if (!h->daemon) {
		err = log_fail(-EIO, "http", "start the server");
		goto fail;
	}
	h->fd = -1;
	*out = h;
	return 0;
fail:
	http_close(h);
	return err;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	if (h->fd >= 0)
		close(h->fd);
	if (h->unix_path)
		unlink(h->unix_path);
	while (h->spare) {
		struct pending *next = h->spare->next;

		free(h->spare);
		h->spare = next;
	}
	free(h->unix_path);
	free(h);
}

int http_fd(const struct http *h)
{
	return MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

int http_timeout_ms(const struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(h->daemon, &ms) != MHD_YES)
		return -1;
	return ms > 60000 ? 60000 : (int)ms;
}

void http_run(struct http *h)
{
	for (int i = 0; i < RUNS_MAX; i++) {
		MHD_run(h->daemon);
		if (http_timeout_ms(h) != 0)
			return;
	}
}

uint16_t http_port(const struct http *h)
{
	return h->port;
}

void http_count(const struct http *h, struct http_counters *out)
{
	*out = h->counters;
}
