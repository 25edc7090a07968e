/* The server as its clients meet it: real sockets on loopback, requests written by hand, good and bad. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "registry/keeper.h"
#include "store/store.h"
#include "web/address.h"
#include "web/sse.h"
#include "web/web.h"

#define T         1768032000LL /* date -ud 2026-01-10T08:00:00Z +%s */
#define BODY_MAX  (4 << 20)
#define TIMEOUT_S 2 /* of idle connections, in this test */

static struct {
	struct store *store;
	struct registry_keeper *registry;
	struct web *web;
	uint16_t eth1;
	int64_t newest_utc_s;
} f;

/* --- a second goes by ------------------------------------------------------------------------------ */

/* n rows of 100 bytes each, of the registered pairs 2/8, 2/9, ... and back again. */
static void tick(size_t n_rows)
{
	struct bucket *b = bucket_new(++f.newest_utc_s, n_rows, 0, 1);

	for (size_t i = 0; i < n_rows; i++)
		b->rows[i] =
			(struct traffic_row){.key = {f.eth1, (uint8_t)(i / 19 % DIRECTION_COUNT), 6,
						     (uint8_t)(1 + i / 19 / DIRECTION_COUNT % 4),
						     GRADE_REGISTERED, 2, 8 + (int32_t)(i % 19)},
					     .value = {1, 100, 86, 1, 0, 1}};
	b->sources[0] = (struct source_status){.id = f.eth1,
					       .kind = SOURCE_CAPTURE,
					       .up = 1,
					       .name = "eth1",
					       .unit = "packets",
					       .received = n_rows,
					       .accepted = n_rows,
					       .first_seen_utc_s = T,
					       .last_seen_utc_s = f.newest_utc_s};
	store_put(f.store, b);
	web_tick(f.web);
}

static void open_web(const char *listen_on)
{
	static const char *const hosts[] = {"observer.example.org", NULL};
	struct web_config cfg = {.listen = listen_on,
				 .hosts = hosts,
				 .version = "1.2.3",
				 .idle_timeout_s = TIMEOUT_S,
				 .ping_s = 1};

	assert_int_equal(web_open(&f.web, &cfg, f.store, f.registry, NULL), 0);
}

static int open_all(void **state)
{
	struct registry_keeper_config rc = {0};
	struct store_config sc;

	store_config_default(&sc);
	sc.url = "sqlite::memory:";
	assert_int_equal(store_open(&f.store, &sc), 0);
	assert_int_equal(registry_keeper_open(&f.registry, &rc), 0);
	f.eth1 = store_source_id(f.store, "eth1", SOURCE_CAPTURE);
	f.newest_utc_s = T;
	open_web("127.0.0.1:0");
	return 0;
}

static int close_all(void **state)
{
	web_close(f.web);
	store_close(f.store);
	registry_keeper_close(f.registry);
	return 0;
}

/* --- a client ---------------------------------------------------------------------------------------- */

struct response {
	int status; /* 0: closed without an answer */
	char *text; /* head and body, terminated */
	char *body;
	size_t body_bytes;
};

static void response_free(struct response *r)
{
	free(r->text);
	*r = (struct response){0};
}

static int dial_small(int receive_bytes)
{
	const char *colon = strrchr(web_address(f.web), ':');
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)atoi(colon + 1)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = 10};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (receive_bytes)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int dial(void)
{
	return dial_small(0);
}

static void say(int fd, const void *bytes, size_t len)
{
	/* who is refused early may be gone before all is said */
	if (send(fd, bytes, len, MSG_NOSIGNAL) < 0)
		assert_true(errno == EPIPE || errno == ECONNRESET);
}

static const char *header_in(const struct response *r, const char *name)
{
	static char value[1024];
	size_t len = strlen(name);

	for (const char *line = strstr(r->text, "\r\n"); line && line + 2 < r->body;
	     line = strstr(line + 2, "\r\n"))
		if (!strncasecmp(line + 2, name, len) && line[2 + len] == ':') {
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + len + 4, "\r"),
				 line + len + 4);
			return value;
		}
	return NULL;
}

/* Reads until the other side closes. */
static struct response hear(int fd)
{
	struct response r = {.text = malloc(BODY_MAX)};
	size_t n = 0;
	ssize_t got;

	while (n < BODY_MAX - 1 && (got = recv(fd, r.text + n, BODY_MAX - 1 - n, 0)) > 0)
		n += (size_t)got;
	r.text[n] = '\0';
	r.body = memmem(r.text, n, "\r\n\r\n", 4);
	if (r.body) {
		r.body += 4;
		r.body_bytes = n - (size_t)(r.body - r.text);
		assert_int_equal(sscanf(r.text, "HTTP/1.%*d %d", &r.status), 1);
	}
	return r;
}

static struct response ask_raw(const char *text)
{
	int fd = dial();
	struct response r;

	say(fd, text, strlen(text));
	r = hear(fd);
	close(fd);
	return r;
}

/* headers: whole lines, or "". */
static struct response ask(const char *method, const char *uri, const char *headers)
{
	char *text;
	struct response r;

	assert_true(asprintf(&text,
			     "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n",
			     method, uri, headers) > 0);
	r = ask_raw(text);
	free(text);
	return r;
}

static struct response get(const char *uri)
{
	return ask("GET", uri, "");
}

static void assert_header(const struct response *r, const char *name, const char *want)
{
	const char *got = header_in(r, name);

	if ((!got && want) || (got && (!want || strcmp(got, want))))
		fail_msg("%s: %s, not %s", name, got ? got : "(absent)", want ? want : "(absent)");
}

static void assert_problem(struct response *r, int status)
{
	char want[32];

	snprintf(want, sizeof(want), "\"status\":%d", status);
	if (r->status != status || !strstr(r->body, want))
		fail_msg("%d, not %d: %s", r->status, status, r->text);
	assert_header(r, "Content-Type", "application/problem+json");
	response_free(r);
}

/* --- headers ------------------------------------------------------------------------------------------ */

static void every_answer_carries_the_strict_headers(void **state)
{
	static const struct {
		const char *method, *uri, *headers;
		int status;
	} asked[] = {
		{"GET", "/", "", 200},
		{"GET", "/agreement?view=1", "", 200},
		{"GET", "/app.js", "", 200},
		{"GET", "/api/v1/series", "", 200},
		{"GET", "/api/v1/series?step=x", "", 400},
		{"GET", "/metrics", "", 200},
		{"GET", "/healthz", "", 200},
		{"GET", "/nothing", "", 404},
		{"HEAD", "/", "", 200},
		{"HEAD", "/api/v1/stream", "", 200},
		{"GET", "/healthz", "If-None-Match: *\r\n", 304},
		{"POST", "/", "Content-Length: 0\r\n", 405},
	};

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct response r = ask(asked[i].method, asked[i].uri, asked[i].headers);

		if (r.status != asked[i].status)
			fail_msg("%s %s: %d", asked[i].method, asked[i].uri, r.status);
		assert_header(&r, "Content-Security-Policy",
			      "default-src 'none'; script-src 'self'; style-src 'self'; "
			      "connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
			      "form-action 'none'; frame-ancestors 'none'");
		assert_header(&r, "X-Content-Type-Options", "nosniff");
		assert_header(&r, "Referrer-Policy", "no-referrer");
		assert_header(&r, "Cross-Origin-Resource-Policy", "same-origin");
		assert_header(&r, "Access-Control-Allow-Origin", NULL);
		assert_header(&r, "Set-Cookie", NULL);
		response_free(&r);
	}
}

static void types_are_told(void **state)
{
	static const char *const types[][2] = {
		{"/", "text/html; charset=utf-8"},
		{"/help", "text/html; charset=utf-8"},
		{"/app.js", "text/javascript; charset=utf-8"},
		{"/app.css", "text/css; charset=utf-8"},
		{"/favicon.svg", "image/svg+xml"},
		{"/map.json", "application/json"},
		{"/notices.txt", "text/plain; charset=utf-8"},
		{"/api/v1/top", "application/json"},
		{"/api/v1/openapi.json", "application/json"},
		{"/metrics", "text/plain; version=0.0.4; charset=utf-8"},
		{"/readyz", "text/plain; charset=utf-8"},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct response r = get(types[i][0]);

		assert_header(&r, "Content-Type", types[i][1]);
		response_free(&r);
	}
}

static void a_known_answer_is_not_sent_again(void **state)
{
	static const char *const uris[] = {"/", "/app.js", "/api/v1/registry"};

	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		struct response r = get(uris[i]);
		char etag[64], headers[256];

		snprintf(etag, sizeof(etag), "%s", header_in(&r, "ETag"));
		assert_header(&r, "Cache-Control", "no-cache");
		assert_header(&r, "Vary", "Accept-Encoding");
		response_free(&r);
		for (int form = 0; form < 3; form++) {
			snprintf(headers, sizeof(headers), "If-None-Match: %s%s\r\n",
				 form == 1   ? "W/"
				 : form == 2 ? "\"x\", "
					     : "",
				 etag);
			r = ask("GET", uris[i], headers);
			assert_int_equal(r.status, 304);
			assert_int_equal(r.body_bytes, 0);
			assert_header(&r, "ETag", etag);
			response_free(&r);
		}
		/* another representation has another tag */
		snprintf(headers, sizeof(headers), "If-None-Match: %s\r\nAccept-Encoding: gzip\r\n",
			 etag);
		r = ask("GET", uris[i], headers);
		assert_int_equal(r.status, 200);
		assert_header(&r, "Content-Encoding", "gzip");
		assert_string_not_equal(header_in(&r, "ETag"), etag);
		response_free(&r);
		r = ask("GET", uris[i], "If-None-Match: \"x\"\r\n");
		assert_int_equal(r.status, 200);
		response_free(&r);
	}
}

static void head_is_get_without_a_body(void **state)
{
	static const char *const uris[] = {"/", "/api/v1/registry", "/metrics"};

	for (size_t i = 0; i < 2; i++) {
		struct response a = get(uris[i]), b = ask("HEAD", uris[i], "");

		assert_int_equal(b.status, 200);
		assert_int_equal(b.body_bytes, 0);
		assert_true(a.body_bytes > 0);
		assert_int_equal(atoi(header_in(&b, "Content-Length")), a.body_bytes);
		assert_string_equal(header_in(&b, "ETag"), header_in(&a, "ETag"));
		response_free(&a);
		response_free(&b);
	}
}

static void nothing_but_get_and_head(void **state)
{
	static const char *const methods[] = {"POST",  "PUT",   "DELETE", "OPTIONS",
					      "PATCH", "TRACE", "get"};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		struct response r =
			ask(methods[i], "/api/v1/series", "Content-Length: 3\r\n\r\nabc");

		assert_header(&r, "Allow", "GET, HEAD");
		assert_problem(&r, 405);
	}
}

/* --- encodings ------------------------------------------------------------------------------------------ */

static size_t inflate_all(const char *in, size_t len, char *out, size_t cap)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in,
		      .avail_in = (uInt)len,
		      .next_out = (Bytef *)out,
		      .avail_out = (uInt)cap};

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	return z.total_out;
}

static void gzip_is_sent_to_those_who_take_it(void **state)
{
	static const struct {
		const char *accept;
		int gzip;
	} forms[] = {
		{"Accept-Encoding: gzip\r\n", 1},
		{"Accept-Encoding: br, GZIP;q=0.5, deflate\r\n", 1},
		{"Accept-Encoding: *\r\n", 1},
		{"Accept-Encoding: gzip;q=0\r\n", 0},
		{"Accept-Encoding: gzip;q=0.000, *\r\n", 0},
		{"Accept-Encoding: *;q=0\r\n", 0},
		{"Accept-Encoding: br\r\n", 0},
		{"Accept-Encoding:\r\n", 0},
		{"", 0},
	};
	static const char *const uris[] = {"/", "/app.js", "/api/v1/registry"};
	char *plain = malloc(BODY_MAX);

	for (size_t u = 0; u < sizeof(uris) / sizeof(uris[0]); u++) {
		struct response a = get(uris[u]);

		for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
			struct response b = ask("GET", uris[u], forms[i].accept);

			assert_header(&b, "Content-Encoding", forms[i].gzip ? "gzip" : NULL);
			assert_header(&b, "Vary", "Accept-Encoding");
			if (forms[i].gzip) {
				size_t n = inflate_all(b.body, b.body_bytes, plain, BODY_MAX);

				assert_int_equal(n, a.body_bytes);
				assert_memory_equal(plain, a.body, n);
			} else {
				assert_int_equal(b.body_bytes, a.body_bytes);
			}
			response_free(&b);
		}
		response_free(&a);
	}
	free(plain);
}

static void what_is_small_stays_plain(void **state)
{
	struct response r = ask("GET", "/healthz", "Accept-Encoding: gzip\r\n");

	assert_header(&r, "Content-Encoding", NULL);
	assert_string_equal(r.body, "ok\n");
	response_free(&r);
	tick(0);
	r = ask("GET", "/api/v1/sources", "Accept-Encoding: gzip\r\n");
	assert_true(r.body_bytes > 200 && r.body_bytes < 1400);
	assert_header(&r, "Content-Encoding", NULL);
	response_free(&r);
}

/* --- who is asked --------------------------------------------------------------------------------------- */

static int status_for_host(const char *host)
{
	char text[512];
	struct response r;
	int status;

	snprintf(text, sizeof(text),
		 "GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
	r = ask_raw(text);
	status = r.status;
	response_free(&r);
	return status;
}

static void only_our_own_names_are_answered(void **state)
{
	static const char *const known[] = {"localhost",
					    "LocalHost:8080",
					    "127.0.0.1",
					    "127.0.0.1:1",
					    "127.8.9.1",
					    "[::1]",
					    "[::1]:443",
					    "localhost.",
					    "observer.example.org",
					    "Observer.Example.ORG:80"};
	static const char *const unknown[] = {"example.org",
					      "observer.example.org.evil.example",
					      "192.0.2.1",
					      "[2001:db8::1]:80",
					      "localhost.evil.example",
					      "127.0.0.1.evil.example",
					      "evil.example:10580",
					      "localhost:port",
					      "localhost:99999",
					      "[::1",
					      "::1",
					      "127.1",
					      "0x7f000001",
					      "user@localhost"};
	char machine[256];
	struct response r;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (status_for_host(known[i]) != 200)
			fail_msg("%s is refused", known[i]);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if (status_for_host(unknown[i]) != 421)
			fail_msg("%s is answered: %d", unknown[i], status_for_host(unknown[i]));
	assert_int_equal(gethostname(machine, sizeof(machine)), 0);
	assert_int_equal(status_for_host(machine), 200);

	r = ask_raw("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
	assert_problem(&r, 400);
	r = ask_raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: "
		    "close\r\n\r\n");
	assert_problem(&r, 400);
	r = ask_raw("GET /healthz HTTP/1.0\r\n\r\n");
	assert_int_equal(r.status, 200);
	response_free(&r);
	r = ask_raw("GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n");
	assert_problem(&r, 421);
}

static void addresses_are_read(void **state)
{
	static const struct {
		const char *text, *is; /* NULL: refused */
	} forms[] = {
		{"127.0.0.1:10580", "127.0.0.1:10580"},
		{"[::1]:0", "[::1]:0"},
		{":10580", "[::]:10580"},
		{"[2001:db8::1]:65535", "[2001:db8::1]:65535"},
		{"192.0.2.1:80", "192.0.2.1:80"},
		{"127.0.0.1", NULL},
		{"127.0.0.1:", NULL},
		{"10580", NULL},
		{":65536", NULL},
		{":-1", NULL},
		{":1x", NULL},
		{"::1:80", NULL},
		{"[]:80", NULL},
		{"[::1]80", NULL},
		{"[::1", NULL},
		{"nobody.example:80", NULL},
		{"", NULL},
	};
	char text[ADDRESS_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct address a;
		int err = address_parse(&a, forms[i].text);

		if (err != (forms[i].is ? 0 : -EINVAL))
			fail_msg("%s: %d", forms[i].text, err);
		if (!err)
			assert_string_equal(
				address_format(text, sizeof(text), (struct sockaddr *)&a.sa),
				forms[i].is);
	}
}

static void the_address_of_a_connection_is_known(void **state)
{
	struct address v4, v6, mapped;

	assert_int_equal(address_parse(&v4, "192.0.2.1:80"), 0);
	assert_int_equal(address_parse(&v6, "[2001:db8::1]:80"), 0);
	assert_int_equal(address_parse(&mapped, "[::ffff:192.0.2.1]:80"), 0);
	assert_true(address_host_known("192.0.2.1:9", NULL, NULL, (struct sockaddr *)&v4.sa));
	assert_true(address_host_known("192.0.2.1", NULL, NULL, (struct sockaddr *)&mapped.sa));
	assert_true(address_host_known("[2001:db8:0::1]", NULL, NULL, (struct sockaddr *)&v6.sa));
	assert_false(address_host_known("192.0.2.2", NULL, NULL, (struct sockaddr *)&v4.sa));
	assert_false(address_host_known("192.0.2.1", NULL, NULL, (struct sockaddr *)&v6.sa));
	assert_false(address_host_known("[2001:db8::2]", NULL, NULL, (struct sockaddr *)&v6.sa));
	assert_true(address_host_known("dtn1", NULL, "dtn1.example.org", NULL));
	assert_true(address_host_known("dtn1.example.org:80", NULL, "dtn1.example.org", NULL));
	assert_false(address_host_known("dtn", NULL, "dtn1.example.org", NULL));
	assert_false(address_host_known("", NULL, "", NULL));
}

static void a_taken_port_is_told(void **state)
{
	struct web_config cfg = {.listen = web_address(f.web), .version = ""};
	struct web *second = NULL;

	assert_int_equal(web_open(&second, &cfg, f.store, f.registry, NULL), -EADDRINUSE);
	cfg.listen = "here";
	assert_int_equal(web_open(&second, &cfg, f.store, f.registry, NULL), -EINVAL);
	assert_null(second);
}

static void all_addresses_of_both_families(void **state)
{
	struct web *first = f.web;
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct response r;
	int fd;

	open_web(":0");
	r = get("/healthz"); /* over IPv4 */
	assert_int_equal(r.status, 200);
	response_free(&r);
	if (!strncmp(web_address(f.web), "[::]:", 5)) {
		six.sin6_port = htons((uint16_t)atoi(web_address(f.web) + 5));
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fd, (struct sockaddr *)&six, sizeof(six)), 0);
		say(fd, "GET /healthz HTTP/1.0\r\n\r\n", 25);
		r = hear(fd);
		close(fd);
		assert_int_equal(r.status, 200);
		response_free(&r);
	}
	web_close(f.web);
	f.web = first;
}

/* --- what nobody should send ------------------------------------------------------------------------------ */

static struct response get_long(size_t uri_bytes)
{
	char *uri = malloc(uri_bytes + 1);
	struct response r;

	memset(uri, 'a', uri_bytes);
	memcpy(uri, "/healthz?a=", 11);
	uri[uri_bytes] = '\0';
	r = get(uri);
	free(uri);
	return r;
}

static void long_uris_are_refused(void **state)
{
	struct response r = get_long(8192);

	assert_problem(&r, 400); /* read, and "a" is no parameter */
	r = get_long(8193);
	assert_problem(&r, 414);
	r = get_long(20000);
	assert_problem(&r, 414);
	r = get_long(1000000); /* beyond what the library reads: its own words, or none */
	assert_true(r.status == 414 || r.status == 431 || r.status == 0);
	response_free(&r);
}

static void broken_uris_are_refused(void **state)
{
	static const char *const uris[] = {"/%",
					   "/%zz",
					   "/api/v1/series?filter=%4",
					   "/api/v1/series?filter=%00",
					   "/api/v1/series?filter=a%0ab",
					   "/api/v1/series?filter=%ff",
					   "/api/v1/stream?since=1",
					   "/api/v1/series?step=1s&step=1s",
					   "/%c3%28"};

	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		struct response r = get(uris[i]);

		assert_problem(&r, 400);
	}
}

static void a_path_is_nothing_but_a_name(void **state)
{
	static const char *const uris[] = {
		"/../etc/passwd",  "/%2e%2e/etc/passwd", "//", "/index.html",      "/app.js/",
		"/api/v1/series/", "/API/v1/series",     "*",  "http://localhost/"};

	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		struct response r = get(uris[i]);

		assert_problem(&r, 404);
	}
}

static void garbage_harms_nobody(void **state)
{
	static const char folded[] = "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n";
	static const char *const garbage[] = {
		folded,
		"\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET /\r\n\r\n",
		"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
		"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\n: empty\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /* a TLS hello */
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	};
	unsigned int seed = 1;
	struct response r;

	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		int fd = dial();

		say(fd, garbage[i], strlen(garbage[i]));
		shutdown(fd, SHUT_WR);
		r = hear(fd);
		close(fd);
		response_free(&r);
	}
	for (int i = 0; i < 50; i++) { /* half a head, then random bytes, then gone */
		unsigned char bytes[512];
		int fd = dial();

		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = (unsigned char)rand_r(&seed);
		say(fd, "GET /healthz HTTP/1.1\r\nHost: ", (size_t)(i % 30));
		say(fd, bytes, sizeof(bytes));
		close(fd);
	}
	r = get("/healthz");
	assert_int_equal(r.status, 200);
	response_free(&r);
}

static void a_body_of_a_get_is_passed_over(void **state)
{
	struct response r = ask("GET", "/healthz", "Content-Length: 5\r\n\r\nhello");

	assert_int_equal(r.status, 200);
	response_free(&r);
}

static void a_connection_is_used_again(void **state)
{
	static const char once[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char buf[4096];
	int fd = dial();

	for (int i = 0; i < 3; i++) {
		size_t n = 0;
		ssize_t got;

		say(fd, once, sizeof(once) - 1);
		while (n < 4 || memcmp(buf + n - 4, "\nok\n", 4)) {
			got = recv(fd, buf + n, sizeof(buf) - n, 0);
			assert_true(got > 0);
			n += (size_t)got;
		}
	}
	close(fd);
}

static void who_says_nothing_is_let_go(void **state)
{
	int fd = dial();
	int64_t start = clock_mono_ns();
	struct response r;

	say(fd, "GET / HT", 8);
	r = hear(fd);
	assert_true(clock_mono_ns() - start < (TIMEOUT_S + 4) * NS_PER_S);
	close(fd);
	response_free(&r);
}

/* --- the live stream ---------------------------------------------------------------------------------------- */

/* What a stream has said so far. */
struct arrival {
	int fd;
	size_t n;
	char text[1 << 20];
};

static struct arrival *listen_to(const char *headers)
{
	struct arrival *h = calloc(1, sizeof(*h));
	char text[256];

	h->fd = dial();
	snprintf(text, sizeof(text), "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
		 headers);
	say(h->fd, text, strlen(text));
	return h;
}

static void stop_listening(struct arrival *h)
{
	close(h->fd);
	free(h);
}

/* Waits until it was said, counted from `from`; returns where it ends. */
static size_t hear_until(struct arrival *h, size_t from, const char *words)
{
	for (;;) {
		char *at = strstr(h->text + from, words);
		ssize_t got;

		if (at)
			return (size_t)(at - h->text) + strlen(words);
		got = recv(h->fd, h->text + h->n, sizeof(h->text) - 1 - h->n, 0);
		if (got <= 0)
			fail_msg("\"%s\" was not said in: %s", words, h->text);
		h->n += (size_t)got;
	}
}

static void assert_id(struct arrival *h, size_t *from, int64_t utc_s)
{
	char words[64];

	*from = hear_until(h, *from, "id: ");
	hear_until(h, *from, "\nevent: tick\ndata: {\"time\":\"");
	snprintf(words, sizeof(words), "%lld\n", (long long)utc_s);
	if (strncmp(h->text + *from, words, strlen(words)))
		fail_msg("not %s: %.40s", words, h->text + *from);
}

static void a_tick_comes_each_second(void **state)
{
	struct arrival *h, *other;
	size_t at;

	tick(1);
	h = listen_to("");
	other = listen_to("Last-Event-ID: nonsense\r\n");
	at = hear_until(h, 0, "\r\n\r\n");
	assert_int_equal(strncmp(h->text, "HTTP/1.1 200 ", 13), 0);
	assert_non_null(strstr(h->text, "\r\nContent-Type: text/event-stream\r\n"));
	assert_non_null(strstr(h->text, "\r\nCache-Control: no-store\r\n"));
	assert_non_null(strstr(h->text, "\r\nX-Content-Type-Options: nosniff\r\n"));
	at = hear_until(h, at, "retry: 2000\n\n");
	assert_id(h, &at, f.newest_utc_s); /* something to see at once */
	at = hear_until(h, at, "\n\n");
	tick(2);
	assert_id(h, &at, f.newest_utc_s);
	at = hear_until(h, at, "\"activity_id\":9,\"activity\":\"Debug\"");
	at = hear_until(h, at, "\n\n");
	tick(0);
	assert_id(h, &at, f.newest_utc_s);
	at = hear_until(h, at, "\"rows\":[],");
	hear_until(other, 0, "\"rows\":[],");
	stop_listening(h);
	stop_listening(other);
}

static void a_silent_stream_gets_a_line_now_and_then(void **state)
{
	struct arrival *h = listen_to("");
	size_t at = hear_until(h, 0, "\n: ping\n\n");
	int64_t start = clock_mono_ns();

	at = hear_until(h, at, ": ping\n\n");
	hear_until(h, at, ": ping\n\n");
	assert_true(clock_mono_ns() - start > NS_PER_S / 2); /* a second each */
	stop_listening(h);
}

static void what_was_missed_is_sent_again(void **state)
{
	char last[64];
	struct arrival *h;
	int64_t seen;
	size_t at = 0;

	for (int i = 0; i < 40; i++) /* more than are kept as text */
		tick(1);
	seen = f.newest_utc_s - 35;
	snprintf(last, sizeof(last), "Last-Event-ID: %lld\r\n", (long long)seen);
	h = listen_to(last);
	for (int64_t t = seen + 1; t <= f.newest_utc_s; t++)
		assert_id(h, &at, t);
	tick(1);
	assert_id(h, &at, f.newest_utc_s);
	stop_listening(h);
	/* from long ago: all that the ring holds, which began with the first tick */
	h = listen_to("Last-Event-ID: 1\r\n");
	at = 0;
	for (int64_t t = T + 1; t <= f.newest_utc_s; t++)
		assert_id(h, &at, t);
	stop_listening(h);
}

static double metric(const char *name)
{
	struct response r = get("/metrics");
	char start[128];
	const char *line;
	double value;

	snprintf(start, sizeof(start), "\n%s ", name);
	line = strstr(r.body, start);
	if (!line)
		fail_msg("there is no %s", name);
	value = strtod(line + strlen(start), NULL);
	response_free(&r);
	return value;
}

/* Gone clients are noticed at the next tick. */
static void wait_for_streams(double n)
{
	for (int i = 0; i < 100 && metric("scitag_http_streams") != n; i++) {
		tick(0);
		usleep(50000);
	}
	assert_true(metric("scitag_http_streams") == n);
}

static void streams_are_limited_and_given_back(void **state)
{
	struct arrival *all[SSE_READERS_MAX];
	struct response r;

	wait_for_streams(0);
	for (size_t i = 0; i < SSE_READERS_MAX; i++) {
		all[i] = listen_to("");
		hear_until(all[i], 0, "retry:");
	}
	r = get("/api/v1/stream");
	assert_header(&r, "Retry-After", "5");
	assert_problem(&r, 503);
	r = get("/healthz"); /* the others are served */
	assert_int_equal(r.status, 200);
	response_free(&r);
	tick(1);
	for (size_t i = 0; i < SSE_READERS_MAX; i++) {
		size_t at = 0;
		char id[32];

		snprintf(id, sizeof(id), "id: %lld\n", (long long)f.newest_utc_s);
		at = hear_until(all[i], at, id);
		hear_until(all[i], at, "\n\n");
	}
	for (size_t i = 0; i < SSE_READERS_MAX; i++)
		stop_listening(all[i]);
	wait_for_streams(0);
	all[0] = listen_to("");
	hear_until(all[0], 0, "retry:");
	stop_listening(all[0]);
	wait_for_streams(0);
}

static void who_does_not_read_holds_up_nobody(void **state)
{
	static const char request[] = "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
	int fd = dial_small(4096);
	struct arrival *h = listen_to("");
	size_t at = 0;
	int64_t slowest_ns = 0;
	char id[32];

	say(fd, request, sizeof(request) - 1);
	hear_until(h, 0, "retry:");
	for (int i = 0; i < 50 && metric("scitag_http_streams") != 2; i++)
		usleep(20000);
	for (int i = 0; i < 60; i++) { /* 380 rows are about 90 kB */
		int64_t start = clock_mono_ns(), took;

		tick(380);
		took = clock_mono_ns() - start;
		slowest_ns = took > slowest_ns ? took : slowest_ns;
		snprintf(id, sizeof(id), "id: %lld\n", (long long)f.newest_utc_s);
		at = hear_until(h, at, id);
		at = hear_until(h, at, "\n\n");
		h->n = at = 0; /* there would be too much of it */
		memset(h->text, 0, sizeof(h->text));
	}
	assert_true(slowest_ns < TIMEOUT_S * NS_PER_S);
	for (int i = 0; i < 80 && metric("scitag_http_streams") != 1; i++)
		usleep(100000); /* TIMEOUT_S without a byte taken */
	assert_true(metric("scitag_http_streams") == 1);
	tick(1); /* and the other one goes on */
	snprintf(id, sizeof(id), "id: %lld\n", (long long)f.newest_utc_s);
	hear_until(h, 0, id);
	stop_listening(h);
	close(fd);
	wait_for_streams(0);
}

static void closing_ends_the_streams(void **state)
{
	struct web *first = f.web;
	struct arrival *asleep, *busy;
	char rest[4096];

	open_web("127.0.0.1:0");
	asleep = listen_to("");
	hear_until(asleep, 0, "retry:");
	busy = listen_to("");
	hear_until(busy, 0, "retry:");
	tick(380);
	web_close(f.web);
	while (recv(asleep->fd, rest, sizeof(rest), 0) > 0)
		;
	stop_listening(asleep);
	stop_listening(busy);
	f.web = first;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_answer_carries_the_strict_headers),
		cmocka_unit_test(types_are_told),
		cmocka_unit_test(a_known_answer_is_not_sent_again),
		cmocka_unit_test(head_is_get_without_a_body),
		cmocka_unit_test(nothing_but_get_and_head),
		cmocka_unit_test(gzip_is_sent_to_those_who_take_it),
		cmocka_unit_test(what_is_small_stays_plain),
		cmocka_unit_test(only_our_own_names_are_answered),
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(the_address_of_a_connection_is_known),
		cmocka_unit_test(a_taken_port_is_told),
		cmocka_unit_test(all_addresses_of_both_families),
		cmocka_unit_test(long_uris_are_refused),
		cmocka_unit_test(broken_uris_are_refused),
		cmocka_unit_test(a_path_is_nothing_but_a_name),
		cmocka_unit_test(garbage_harms_nobody),
		cmocka_unit_test(a_body_of_a_get_is_passed_over),
		cmocka_unit_test(a_connection_is_used_again),
		cmocka_unit_test(who_says_nothing_is_let_go),
		cmocka_unit_test(a_tick_comes_each_second),
		cmocka_unit_test(a_silent_stream_gets_a_line_now_and_then),
		cmocka_unit_test(what_was_missed_is_sent_again),
		cmocka_unit_test(streams_are_limited_and_given_back),
		cmocka_unit_test(who_does_not_read_holds_up_nobody),
		cmocka_unit_test(closing_ends_the_streams),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
