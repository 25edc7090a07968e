#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "registry/fetch.h"
#include "registry/registry.h"

#define CONNECT_TIMEOUT_S 10L
#define TOTAL_TIMEOUT_S   30L
#define REDIRECTS_MAX     3L

static void start_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct answer {
	char *body;
	size_t len_bytes;
	int too_large;
	struct fetch_stamps stamps;
	const int *stop;
};

static size_t take_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	char *grown;

	if (a->len_bytes + n > REGISTRY_DOCUMENT_MAX_BYTES) {
		a->too_large = 1;
		return 0;
	}
	grown = realloc(a->body, a->len_bytes + n + 1);
	if (!grown)
		return 0;
	a->body = grown;
	memcpy(grown + a->len_bytes, bytes, n);
	a->len_bytes += n;
	return n;
}

/* The value of a header line "Name: value\r\n", if it is that one and fits. */
static void take_stamp(char *stamp, const char *name, const char *line, size_t len)
{
	size_t name_len = strlen(name);

	if (len <= name_len || strncasecmp(line, name, name_len) || line[name_len] != ':')
		return;
	line += name_len + 1;
	len -= name_len + 1;
	while (len && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	if (len >= FETCH_STAMP_BYTES)
		return;
	memcpy(stamp, line, len);
	stamp[len] = 0;
}

static size_t take_header(char *line, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;

	if (n > 5 && !strncmp(line, "HTTP/", 5)) /* of the next answer, after a redirect */
		memset(&a->stamps, 0, sizeof(a->stamps));
	take_stamp(a->stamps.etag, "ETag", line, n);
	take_stamp(a->stamps.last_modified, "Last-Modified", line, n);
	return n;
}

static int is_stopped(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct answer *answer = arg;

	return answer->stop && __atomic_load_n(answer->stop, __ATOMIC_RELAXED);
}

int fetch_is_url(const char *text)
{
	return !strncasecmp(text, "https://", 8) || !strncasecmp(text, "http://", 7);
}

static struct curl_slist *condition(struct curl_slist *headers, const char *name, const char *value)
{
	char line[FETCH_STAMP_BYTES + 32];

	if (!*value)
		return headers;
	snprintf(line, sizeof(line), "%s: %s", name, value);
	return curl_slist_append(headers, line);
}

int fetch_document(const char *url, struct fetch_stamps *stamps, char **body, size_t *len_bytes,
		   const int *stop, char *why, size_t why_cap_bytes)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct answer answer = {.stop = stop};
	const char *protocols = strncasecmp(url, "http://", 7) ? "https" : "http,https";
	struct curl_slist *headers = NULL;
	char reason[CURL_ERROR_SIZE] = "";
	int is_conditional;
	long status = 0;
	CURLcode code;
	CURL *curl;

	pthread_once(&once, start_curl);
	curl = curl_easy_init();
	if (!curl || !fetch_is_url(url)) {
		curl_easy_cleanup(curl);
		snprintf(why, why_cap_bytes, "%s",
			 curl ? "the URL is neither https nor http" : "out of memory");
		return -EIO;
	}
	if (stamps) {
		headers = condition(headers, "If-None-Match", stamps->etag);
		headers = condition(headers, "If-Modified-Since", stamps->last_modified);
	}
	is_conditional = headers != NULL;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "scitag/" SCITAG_VERSION);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, TOTAL_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	curl_easy_setopt(curl, CURLOPT_MAXFILESIZE, (long)REGISTRY_DOCUMENT_MAX_BYTES);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_stopped);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &answer);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);

	if (answer.too_large || code == CURLE_FILESIZE_EXCEEDED)
		snprintf(why, why_cap_bytes, "the answer is larger than %d bytes",
			 REGISTRY_DOCUMENT_MAX_BYTES);
	else if (code != CURLE_OK)
		snprintf(why, why_cap_bytes, "%s", *reason ? reason : curl_easy_strerror(code));
	else if (status == 304 && is_conditional) {
		free(answer.body);
		return 1;
	} else if (status != 200)
		snprintf(why, why_cap_bytes, "the server answered %ld", status);
	else {
		if (stamps)
			*stamps = answer.stamps;
		*body = answer.body ?: calloc(1, 1);
		*len_bytes = answer.len_bytes;
		if (*body)
			return 0;
		snprintf(why, why_cap_bytes, "out of memory");
	}
	free(answer.body);
	return -EIO;
}
