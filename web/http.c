/* HTTP: libmicrohttpd in front of assets, answers and the live stream. A thread pool with epoll serves
 * everything; a stream that has nothing to say is suspended and costs no thread.
 *
 * A request: MHD tells the raw URI first (request_begin), then calls handle() with the headers; what is
 * refused before its path matters (method, host, length, encoding) is refused there. Every answer
 * goes out through reply(), which adds the headers that all of them carry. */
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "web/address.h"
#include "web/api.h"
#include "web/assets.h"
#include "web/sse.h"
#include "web/web.h"

#define CONNECTIONS_DEFAULT  256
#define THREADS              4
#define IDLE_TIMEOUT_S       30   /* a connection that takes and gives nothing */
#define GZIP_MIN_BYTES       1400 /* what fits a packet is not worth it */
#define GZIP_LEVEL           1    /* digits get 6 % smaller at 6, which takes six times as long */
#define STREAM_BLOCK_BYTES   16384
#define STREAM_BACKLOG_BYTES (256 * 1024) /* unread by its client, in the kernel */
#define ETAG_BYTES           24

struct web {
	struct api api;
	struct sse *sse;
	struct MHD_Daemon *daemon;
	int64_t uncounted_utc_s; /* the first second that /metrics has not counted */
	char address[ADDRESS_TEXT_BYTES];
	char machine[256];
	char **hosts; /* NULL-terminated */
};

struct request {
	int seen;            /* handle() has been called */
	const char *refused; /* why the URI was; NULL: it was not */
	unsigned int status; /* of the refusal */
	struct query query;
	char uri[];
};

/* --- what every answer carries ------------------------------------------------------------------- */

static const char *const common_headers[][2] = {
	{"Content-Security-Policy",
	 "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
	 "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
};

static void add_common_headers(struct MHD_Response *r, const char *type)
{
	for (size_t i = 0; i < sizeof(common_headers) / sizeof(common_headers[0]); i++)
		MHD_add_response_header(r, common_headers[i][0], common_headers[i][1]);
	if (type)
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
}

/* --- conditions: ETag and gzip -------------------------------------------------------------------- */

/* FNV-1a of the plain body; the gzip form of it is another representation and says so. */
static void make_etag(char etag[static ETAG_BYTES], const void *body, size_t len_bytes, int gzip)
{
	const unsigned char *bytes = body;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len_bytes; i++)
		h = (h ^ bytes[i]) * 0x100000001b3u;
	snprintf(etag, ETAG_BYTES, "\"%016llx%s\"", (unsigned long long)h, gzip ? "-gz" : "");
}

static const char *header(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* The next element of a comma list, without blanks around it; NULL at its end. */
static const char *next_element(const char **list, size_t *len)
{
	const char *start;

	*list += strspn(*list, ", \t");
	start = *list;
	if (!*start)
		return NULL;
	*list += strcspn(start, ",");
	*len = (size_t)(*list - start);
	while (*len && (start[*len - 1] == ' ' || start[*len - 1] == '\t'))
		--*len;
	return start;
}

/* RFC 9110, 13.1.2: weak comparison. */
static int etag_matches(const char *list, const char *etag)
{
	const char *e;
	size_t len;

	while (list && (e = next_element(&list, &len))) {
		if (len == 1 && *e == '*')
			return 1;
		if (len > 2 && !strncmp(e, "W/", 2)) {
			e += 2;
			len -= 2;
		}
		if (len == strlen(etag) && !strncmp(e, etag, len))
			return 1;
	}
	return 0;
}

/* RFC 9110, 12.5.3: gzip is named, or everything is, and not with a weight of zero. */
static int accepts_gzip(const char *list)
{
	int any = 0;
	const char *e;
	size_t len;

	while (list && (e = next_element(&list, &len))) {
		size_t name = strcspn(e, "; \t,");
		const char *q = memmem(e, len, "q=", 2);
		int wanted = !q || strtod(q + 2, NULL) > 0;

		if ((name == 4 && !strncasecmp(e, "gzip", 4)) ||
		    (name == 6 && !strncasecmp(e, "x-gzip", 6)))
			return wanted;
		if (name == 1 && *e == '*')
			any = wanted;
	}
	return any;
}

/* The body as gzip, malloc'd; NULL when it did not become smaller. */
static char *compress_body(const char *body, size_t len_bytes, size_t *out_bytes)
{
	z_stream z = {0};
	char *out = malloc(len_bytes);
	int done;

	if (!out ||
	    deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(out);
		return NULL;
	}
	z.next_in = (Bytef *)(uintptr_t)body;
	z.avail_in = (uInt)len_bytes;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)len_bytes;
	done = deflate(&z, Z_FINISH);
	*out_bytes = z.total_out;
	deflateEnd(&z);
	if (done == Z_STREAM_END)
		return out;
	free(out);
	return NULL;
}

/* --- replies ------------------------------------------------------------------------------------- */

struct reply {
	unsigned int status;
	const char *type;
	char etag[ETAG_BYTES]; /* "" none */
	int gzip;              /* the body is */
	const char *extra[2];  /* one more header, or NULL */
};

/* Takes the response. */
static enum MHD_Result reply(struct web *w, struct MHD_Connection *c, const struct reply *how,
			     struct MHD_Response *r)
{
	unsigned int status = how->status;
	enum MHD_Result result;

	if (!r)
		return MHD_NO;
	if (status == MHD_HTTP_OK && how->etag[0] &&
	    etag_matches(header(c, MHD_HTTP_HEADER_IF_NONE_MATCH), how->etag)) {
		MHD_destroy_response(r);
		r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
		if (!r)
			return MHD_NO;
		status = MHD_HTTP_NOT_MODIFIED;
	}
	add_common_headers(r, status == MHD_HTTP_NOT_MODIFIED ? NULL : how->type);
	if (how->etag[0]) {
		MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, how->etag);
		MHD_add_response_header(r, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL,
				how->etag[0] ? "no-cache" : "no-store");
	if (how->gzip && status != MHD_HTTP_NOT_MODIFIED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	if (how->extra[0])
		MHD_add_response_header(r, how->extra[0], how->extra[1]);
	metrics_request(w->api.metrics, status);
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

/* Takes the answer's body. */
static enum MHD_Result reply_answer(struct web *w, struct MHD_Connection *c, struct answer *a,
				    const char *extra_name, const char *extra_value)
{
	struct reply how = {
		.status = a->status, .type = a->type, .extra = {extra_name, extra_value}};
	size_t gzip_bytes;
	char *gzip = NULL;

	if (!a->body)
		return MHD_NO;
	if (a->len_bytes >= GZIP_MIN_BYTES &&
	    accepts_gzip(header(c, MHD_HTTP_HEADER_ACCEPT_ENCODING)))
		gzip = compress_body(a->body, a->len_bytes, &gzip_bytes);
	how.gzip = gzip != NULL;
	if (a->status == MHD_HTTP_OK)
		make_etag(how.etag, a->body, a->len_bytes, how.gzip);
	if (gzip) {
		free(a->body);
		a->body = gzip;
		a->len_bytes = gzip_bytes;
	}
	return reply(w, c, &how,
		     MHD_create_response_from_buffer(a->len_bytes, a->body, MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result reply_problem(struct web *w, struct MHD_Connection *c, unsigned int status,
				     const char *extra_name, const char *extra_value,
				     const char *text)
{
	struct answer a = {0};

	answer_problem(&a, status, NULL, -1, "%s", text);
	return reply_answer(w, c, &a, extra_name, extra_value);
}

static enum MHD_Result reply_asset(struct web *w, struct MHD_Connection *c, const struct asset *a)
{
	int gzip = accepts_gzip(header(c, MHD_HTTP_HEADER_ACCEPT_ENCODING));
	const struct asset_bytes *body = gzip ? &a->gzip : &a->plain;
	struct reply how = {.status = MHD_HTTP_OK, .type = a->type, .gzip = gzip};

	make_etag(how.etag, a->plain.start, (size_t)(a->plain.end - a->plain.start), gzip);
	return reply(w, c, &how,
		     MHD_create_response_from_buffer((size_t)(body->end - body->start),
						     (void *)(uintptr_t)body->start,
						     MHD_RESPMEM_PERSISTENT));
}

/* --- the live stream ------------------------------------------------------------------------------- */

struct stream {
	struct web *web;
	struct MHD_Connection *connection;
	struct sse_reader *reader;
};

static void stream_sleep(void *arg)
{
	struct stream *s = arg;

	MHD_suspend_connection(s->connection);
}

static void stream_wake(void *arg)
{
	struct stream *s = arg;

	MHD_resume_connection(s->connection);
}

static ssize_t stream_read(void *arg, uint64_t pos, char *buf, size_t max)
{
	struct stream *s = arg;
	ssize_t n = sse_read(s->reader, buf, max);

	if (n >= 0)
		return n;
	if (n == -ETIMEDOUT)
		metrics_slow_stream(s->web->api.metrics);
	return MHD_CONTENT_READER_END_OF_STREAM;
}

static void stream_close(void *arg)
{
	struct stream *s = arg;

	sse_reader_close(s->reader);
	metrics_stream(s->web->api.metrics, -1);
	free(s);
}

/* The last second that the client has seen; what is no number says nothing (as EventSource wants). */
static int64_t last_event(const char *text)
{
	uint32_t n;

	return text && query_number(&n, text, 0, UINT32_MAX) == 0 ? (int64_t)n : CLOCK_NEVER;
}

static enum MHD_Result reply_stream(struct web *w, struct MHD_Connection *c, int head)
{
	static const struct reply how = {.status = MHD_HTTP_OK,
					 .type = "text/event-stream",
					 .extra = {"X-Accel-Buffering", "no"}};
	const union MHD_ConnectionInfo *info;
	int backlog_bytes = STREAM_BACKLOG_BYTES, err;
	struct MHD_Response *r;
	struct stream *s;

	if (head)
		return reply(w, c, &how,
			     MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
	s = calloc(1, sizeof(*s));
	if (!s)
		return MHD_NO;
	*s = (struct stream){.web = w, .connection = c};
	err = sse_reader_open(&s->reader, w->sse, last_event(header(c, "Last-Event-ID")),
			      stream_sleep, stream_wake, s);
	if (err) {
		free(s);
		return reply_problem(
			w, c, MHD_HTTP_SERVICE_UNAVAILABLE, MHD_HTTP_HEADER_RETRY_AFTER, "5",
			err == -EAGAIN ? "all live streams are taken" : "the observer is stopping");
	}
	metrics_stream(w->api.metrics, 1);
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info)
		setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &backlog_bytes,
			   sizeof(backlog_bytes));
	r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, stream_read, s,
					      stream_close);
	if (!r)
		stream_close(s);
	return reply(w, c, &how, r);
}

/* --- requests --------------------------------------------------------------------------------------- */

static void *request_begin(void *cls, const char *uri, struct MHD_Connection *c)
{
	size_t len = strlen(uri);
	int too_long = len > QUERY_URI_MAX_BYTES;
	struct request *rq = calloc(1, sizeof(*rq) + (too_long ? 0 : len) + 1);

	if (!rq)
		return NULL;
	if (too_long) {
		rq->refused = "the path and its parameters are longer than 8192 bytes";
		rq->status = MHD_HTTP_URI_TOO_LONG;
		return rq;
	}
	memcpy(rq->uri, uri, len);
	if (query_parse(&rq->query, rq->uri, &rq->refused))
		rq->status = MHD_HTTP_BAD_REQUEST;
	return rq;
}

static void request_end(void *cls, struct MHD_Connection *c, void **request,
			enum MHD_RequestTerminationCode why)
{
	free(*request);
	*request = NULL;
}

struct host_headers {
	int n;
	const char *value;
};

static enum MHD_Result find_host(void *cls, enum MHD_ValueKind kind, const char *name,
				 const char *value)
{
	struct host_headers *h = cls;

	if (!strcasecmp(name, MHD_HTTP_HEADER_HOST)) {
		h->n++;
		h->value = value;
	}
	return MHD_YES;
}

/* 0, or the status of the refusal with a sentence in *why. */
static unsigned int check_host(struct web *w, struct MHD_Connection *c, const char *version,
			       const char **why)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct sockaddr_storage local;
	socklen_t len_bytes = sizeof(local);
	struct host_headers h = {0};
	int has_local =
		info && getsockname(info->connect_fd, (struct sockaddr *)&local, &len_bytes) == 0;

	MHD_get_connection_values(c, MHD_HEADER_KIND, find_host, &h);
	*why = "exactly one Host header is needed";
	if (h.n == 0 && !strcmp(version, MHD_HTTP_VERSION_1_0))
		return 0;
	if (h.n != 1 || !h.value)
		return MHD_HTTP_BAD_REQUEST;
	*why = "the Host header names another server; further names are configured with http.hosts";
	return address_host_known(h.value, (const char *const *)w->hosts, w->machine,
				  has_local ? (struct sockaddr *)&local : NULL)
		       ? 0
		       : MHD_HTTP_MISDIRECTED_REQUEST;
}

static enum MHD_Result respond(struct web *w, struct MHD_Connection *c, const struct request *rq,
			       const char *version, int head)
{
	const struct api_route *route;
	const struct asset *asset;
	struct answer a = {0};
	const char *why;
	unsigned int status = check_host(w, c, version, &why);

	if (status)
		return reply_problem(w, c, status, NULL, NULL, why);
	if (rq->refused)
		return reply_problem(w, c, rq->status, NULL, NULL, rq->refused);
	asset = asset_find(rq->query.path);
	if (asset) /* the parameters of a page are the page's own */
		return reply_asset(w, c, asset);
	route = api_find(rq->query.path);
	if (!route)
		return reply_problem(
			w, c, MHD_HTTP_NOT_FOUND, NULL, NULL,
			"there is nothing here; /api/v1/openapi.json lists what there is");
	if (route->answer)
		api_answer(&w->api, route, &rq->query, clock_utc_us(), &a);
	else if (api_refuse_unknown(route, &rq->query, &a) == 0)
		return reply_stream(w, c, head);
	return reply_answer(w, c, &a, NULL, NULL);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_bytes, void **request)
{
	struct request *rq = *request;
	int head = !strcmp(method, MHD_HTTP_METHOD_HEAD);

	if (!rq)
		return MHD_NO;
	if (!head && strcmp(method, MHD_HTTP_METHOD_GET)) /* before any body is read: closes */
		return reply_problem(cls, c, MHD_HTTP_METHOD_NOT_ALLOWED, MHD_HTTP_HEADER_ALLOW,
				     "GET, HEAD", "only GET and HEAD; nothing here changes state");
	if (!rq->seen) { /* answering now would close the connection */
		rq->seen = 1;
		return MHD_YES;
	}
	if (*upload_bytes) { /* a body of a GET means nothing */
		*upload_bytes = 0;
		return MHD_YES;
	}
	return respond(cls, c, rq, version, head);
}

/* --- open, tick, close --------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 0)))
log_daemon(void *cls, const char *fmt, va_list args)
{
	static struct log_limit limit;
	char text[256];

	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	log_limited(&limit, LOG_LEVEL_DEBUG, "web", "%s", text);
}

static int copy_hosts(struct web *w, const char *const *hosts)
{
	size_t n = 0;

	while (hosts && hosts[n])
		n++;
	w->hosts = calloc(n + 1, sizeof(*w->hosts));
	for (size_t i = 0; w->hosts && i < n; i++)
		if (!(w->hosts[i] = strdup(hosts[i])))
			return -ENOMEM;
	return w->hosts ? 0 : -ENOMEM;
}

static int open_listener(struct web *w, const char *text)
{
	struct address address;
	struct sockaddr_storage bound;
	socklen_t len_bytes = sizeof(bound);
	int fd;

	if (address_parse(&address, text))
		return log_fail(-EINVAL, "web",
				"listen on \"%s\": an address is 127.0.0.1:10580, "
				"[::1]:10580 or :10580",
				text);
	fd = address_listen(&address);
	if (fd < 0)
		return log_fail(fd, "web", "listen on %s", text);
	if (getsockname(fd, (struct sockaddr *)&bound, &len_bytes)) {
		int err = -errno;

		close(fd);
		return log_fail(err, "web", "listen on %s", text);
	}
	address_format(w->address, sizeof(w->address), (struct sockaddr *)&bound);
	return fd;
}

static int start_daemon(struct web *w, const struct web_config *cfg)
{
	unsigned int connections =
		cfg->connections_max ? cfg->connections_max : CONNECTIONS_DEFAULT;
	unsigned int timeout_s = cfg->idle_timeout_s ? cfg->idle_timeout_s : IDLE_TIMEOUT_S;
	unsigned int threads = connections < THREADS ? connections : THREADS;
	int fd = open_listener(w, cfg->listen);

	if (fd < 0)
		return fd;
	w->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
		NULL, NULL, handle, w, MHD_OPTION_EXTERNAL_LOGGER, log_daemon, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, threads,
		MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT, timeout_s,
		MHD_OPTION_URI_LOG_CALLBACK, request_begin, w, MHD_OPTION_NOTIFY_COMPLETED,
		request_end, w, MHD_OPTION_END);
	if (w->daemon)
		return 0;
	close(fd);
	return log_fail(-ENOMEM, "web", "serve on %s", w->address);
}

int web_open(struct web **out, const struct web_config *cfg, struct store *store,
	     struct registry_keeper *registry, struct join *join)
{
	struct web *w = calloc(1, sizeof(*w));
	int err = -ENOMEM;

	if (!w)
		return log_fail(err, "web", "open");
	w->api = (struct api){.store = store,
			      .registry = registry,
			      .join = join,
			      .live = live_open(),
			      .recent = recent_open(),
			      .metrics = metrics_open(),
			      .version = cfg->version ? cfg->version : "",
			      .started_utc_us = clock_utc_us()};
	if (gethostname(w->machine, sizeof(w->machine) - 1))
		w->machine[0] = '\0';
	if (!w->api.live || !w->api.recent || !w->api.metrics || copy_hosts(w, cfg->hosts)) {
		log_fail(err, "web", "open");
		goto fail;
	}
	err = sse_open(&w->sse, &w->api, cfg->ping_s);
	if (!err)
		err = start_daemon(w, cfg);
	if (err)
		goto fail;
	*out = w;
	return 0;
fail:
	web_close(w);
	return err;
}

void web_close(struct web *w)
{
	if (!w)
		return;
	if (w->sse)
		sse_stop(w->sse); /* nobody may be suspended when the daemon stops */
	if (w->daemon)
		MHD_stop_daemon(w->daemon);
	sse_close(w->sse);
	metrics_close(w->api.metrics);
	live_close(w->api.live);
	recent_close(w->api.recent);
	for (char **host = w->hosts; host && *host; host++)
		free(*host);
	free(w->hosts);
	free(w);
}

/* Counters take seconds that are over: the newest may yet be added to. */
static void count_until(struct web *w, int64_t newest_utc_s)
{
	const struct registry *registry = registry_keeper_take(w->api.registry);
	int64_t t = w->uncounted_utc_s;

	if (t < newest_utc_s - LIVE_SECONDS)
		t = newest_utc_s - LIVE_SECONDS;
	for (; t < newest_utc_s; t++) {
		struct live_second second;
		struct bucket *rows;

		if (live_find(w->api.live, t, &second))
			continue;
		rows = store_second(w->api.store, t);
		if (rows)
			metrics_add(w->api.metrics, rows, &second, registry);
		bucket_free(rows);
	}
	w->uncounted_utc_s = newest_utc_s;
	registry_keeper_give(w->api.registry, registry);
}

void web_tick(struct web *w)
{
	struct bucket *b = store_newest(w->api.store);
	struct live_second second;

	if (!b)
		return;
	second = live_add(w->api.live, b);
	recent_add(w->api.recent, b);
	count_until(w, b->start_utc_s);
	sse_publish(w->sse, &second, b);
	bucket_free(b);
}

const char *web_address(const struct web *w)
{
	return w->address;
}
