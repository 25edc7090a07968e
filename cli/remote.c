#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"

#define CONNECT_TIMEOUT_S 5L
#define ANSWER_TIMEOUT_S  60L
#define SILENCE_S         60L /* of a stream, which says something each 15 s */
#define ANSWER_MAX_BYTES  (64 << 20)

struct answer {
	char *text;
	size_t len_bytes;
	/* of a stream */
	int (*each)(void *arg, json_t *data);
	void *arg;
	const volatile int *stop;
	int done;
};

static size_t take(char *bytes, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	char *text;

	if (a->len_bytes + n > ANSWER_MAX_BYTES)
		return 0;
	text = realloc(a->text, a->len_bytes + n + 1);
	if (!text)
		return 0;
	a->text = text;
	memcpy(text + a->len_bytes, bytes, n);
	a->len_bytes += n;
	text[a->len_bytes] = 0;
	return n;
}

/* URL and path with their parameters, escaped; free it. */
static char *full_url(CURL *curl, const char *url, const char *path,
		      const struct remote_parameter *parameters, size_t n)
{
	size_t len = strlen(url), text_len;
	char *text = NULL;
	FILE *f = open_memstream(&text, &text_len);
	const char *before = "?";

	while (len && url[len - 1] == '/')
		len--;
	if (!f)
		return NULL;
	fprintf(f, "%s%.*s%s", strstr(url, "://") ? "" : "http://", (int)len, url, path);
	for (size_t i = 0; i < n; i++) {
		char *value;

		if (!parameters[i].value || !*parameters[i].value)
			continue;
		value = curl_easy_escape(curl, parameters[i].value, 0);
		fprintf(f, "%s%s=%s", before, parameters[i].name, value ?: "");
		curl_free(value);
		before = "&";
	}
	fclose(f);
	return text;
}

/* What an RFC 9457 problem document says; under a filter a mark where it went wrong. */
static int say_problem(long status, json_t *problem, const struct remote_parameter *parameters,
		       size_t n)
{
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *name = json_string_value(json_object_get(problem, "parameter"));
	json_t *at = json_object_get(problem, "at");

	if (!detail)
		return cli_fail(CLI_FAILED, "the observer answered %ld", status);
	cli_fail(CLI_FAILED, "%s", detail);
	for (size_t i = 0; name && json_is_integer(at) && i < n; i++)
		if (!strcmp(parameters[i].name, name) && parameters[i].value)
			fprintf(stderr, "  %s\n  %*s^\n", parameters[i].value,
				(int)json_integer_value(at), "");
	return status == 400 ? CLI_USAGE : CLI_FAILED;
}

static CURL *open_curl(struct answer *a, char *reason)
{
	CURL *curl;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	curl = curl_easy_init();
	if (!curl)
		return NULL;
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "scitag/" SCITAG_VERSION);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
	return curl;
}

int remote_get(json_t **out, const char *url, const char *path,
	       const struct remote_parameter *parameters, size_t n)
{
	char reason[CURL_ERROR_SIZE] = "", *full;
	struct answer a = {0};
	CURL *curl = open_curl(&a, reason);
	int code = CLI_OK;
	CURLcode result;
	long status = 0;
	json_t *json;

	full = curl ? full_url(curl, url, path, parameters, n) : NULL;
	if (!full) {
		curl_easy_cleanup(curl);
		return cli_fail(CLI_FAILED, "out of memory");
	}
	curl_easy_setopt(curl, CURLOPT_URL, full);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	result = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	json = a.text ? json_loadb(a.text, a.len_bytes, 0, NULL) : NULL;
	if (result != CURLE_OK)
		code = cli_fail(CLI_FAILED, "%s: %s", url,
				*reason ? reason : curl_easy_strerror(result));
	else if (status != 200)
		code = say_problem(status, json, parameters, n);
	else if (!json)
		code = cli_fail(CLI_FAILED, "%s: that is no observer", url);
	if (code)
		json_decref(json);
	else
		*out = json;
	free(a.text);
	free(full);
	curl_easy_cleanup(curl);
	return code;
}

/* --- a stream ------------------------------------------------------------------------------------ */

/* Hand on the "data:" of each whole event; the rest stays for the next bytes. */
static size_t take_events(char *bytes, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	char *event, *end;

	if (take(bytes, size, n, a) != n)
		return 0;
	for (event = a->text; (end = strstr(event, "\n\n")); event = end + 2) {
		char *data = strstr(event, "data:");
		json_t *json;

		if (!data || data > end)
			continue;
		json = json_loadb(data + 5, (size_t)(end - data - 5), 0, NULL);
		a->done = json && a->each(a->arg, json);
		json_decref(json);
		if (a->done)
			return 0;
	}
	a->len_bytes -= (size_t)(event - a->text);
	memmove(a->text, event, a->len_bytes + 1);
	return n;
}

static int is_stopped(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct answer *answer = arg;

	return *answer->stop;
}

int remote_follow(const char *url, const char *path, int (*each)(void *arg, json_t *data),
		  void *arg, const volatile int *stop)
{
	char reason[CURL_ERROR_SIZE] = "", *full;
	struct answer a = {.each = each, .arg = arg, .stop = stop};
	CURL *curl = open_curl(&a, reason);
	CURLcode result;
	long status = 0;
	int code = CLI_OK;

	full = curl ? full_url(curl, url, path, NULL, 0) : NULL;
	if (!full) {
		curl_easy_cleanup(curl);
		return cli_fail(CLI_FAILED, "out of memory");
	}
	curl_easy_setopt(curl, CURLOPT_URL, full);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_events);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_stopped);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &a);
	result = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (!a.done && !*stop) {
		if (result == CURLE_OK)
			code = cli_fail(CLI_FAILED, "%s: the observer ended the stream", url);
		else
			code = cli_fail(CLI_FAILED, "%s: %s", url,
					*reason ? reason : curl_easy_strerror(result));
	}
	free(a.text);
	free(full);
	curl_easy_cleanup(curl);
	return code;
}
