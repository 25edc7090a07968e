/* A small HTTP server inside a poll loop: no threads, so whoever answers may touch what the loop
 * owns. At most HTTP_CONNECTIONS at a time and a few requests of each in a turn, so that no flood of
 * requests keeps the loop from its other work.
 *
 * Refused before a route is asked: bodies over HTTP_BODY_BYTES (413), a Host that is neither an
 * address nor a name we know (421), and HTTP/1.1 without one (400). */
#ifndef MARKER_HTTP_H
#define MARKER_HTTP_H

#include <stddef.h>
#include <stdint.h>
#include "base/opt.h"

#define HTTP_CONNECTIONS 128
#define HTTP_BODY_BYTES  8192

struct http; /* opaque */

struct http_request {
	const char *method, *path; /* path without its query */
	const char *content_type;  /* NULL: none */
	const char *body;          /* terminated; "" if none */
	size_t len_bytes;
};

struct http_answer {
	unsigned int status;
	const char *content_type; /* static */
	const char *allow;        /* static; for 405, else NULL */
	char *body;               /* from malloc, freed by the server; NULL: empty */
	size_t len_bytes;
};

struct http_config {
	const char *address; /* or a name; "": all; not used with unix_path */
	uint16_t port;       /* 0: a free one */
	const char *unix_path;
	const struct opt_texts *hosts; /* further names; NULL: none */
	int any_host;                  /* what is told is no secret and changes nothing */
	void (*answer)(void *arg, const struct http_request *request, struct http_answer *answer);
	void *arg;
};

struct http_counters {
	uint64_t received; /* requests answered */
	uint64_t refused;  /* of them, with 400 and above */
};

/* -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, ...: said in the log. A Unix socket that nobody answers is replaced. */
int http_open(struct http **out, const struct http_config *cfg);
void http_close(struct http *h);
/* Readable when there is something to do. */
int http_fd(const struct http *h);
/* How long poll may wait; -1: as long as it likes. */
int http_timeout_ms(const struct http *h);
/* Do what can be done without waiting. */
void http_run(struct http *h);
uint16_t http_port(const struct http *h);
void http_count(const struct http *h, struct http_counters *out);

/* Is it an address, localhost, or one of the names? With or without a port. */
int http_host_known(const char *host, const struct opt_texts *hosts);

#endif
