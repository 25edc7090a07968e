/* The registry kept fresh, against an HTTP server of our own on 127.0.0.1 whose next answer each
 * test writes down word for word. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "registry/keeper.h"

/* --- the server ---------------------------------------------------------------------------------- */

static struct {
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;
	char head[512];    /* of the next answer: status line and headers but Content-Length */
	const char *body;  /* NULL: hang */
	size_t body_bytes; /* 0: strlen(body); else so many blanks */
	int no_length;
	char asked[4096]; /* the newest request */
	int n_asked;
	int stop;
} server;

static void write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

static void answer(int fd)
{
	char asked[4096] = "", head[1024];
	struct pollfd hung = {.fd = fd, .events = POLLIN};
	const char *body;
	size_t used = 0, body_bytes, n_blanks;
	ssize_t n;

	while (!strstr(asked, "\r\n\r\n") && used < sizeof(asked) - 1) {
		n = recv(fd, asked + used, sizeof(asked) - 1 - used, 0);
		if (n <= 0)
			return;
		used += (size_t)n;
		asked[used] = 0;
	}
	pthread_mutex_lock(&server.lock);
	memcpy(server.asked, asked, sizeof(asked));
	__atomic_add_fetch(&server.n_asked, 1, __ATOMIC_RELAXED);
	body = server.body;
	n_blanks = server.body_bytes;
	body_bytes = body && !n_blanks ? strlen(body) : n_blanks;
	snprintf(head, sizeof(head), "%s\r\n", server.head);
	if (!server.no_length)
		snprintf(head + strlen(head), sizeof(head) - strlen(head),
			 "Content-Length: %zu\r\n", body_bytes);
	strcat(head, "Connection: close\r\n\r\n");
	pthread_mutex_unlock(&server.lock);
	if (!body) { /* until the client gives up */
		poll(&hung, 1, 20000);
		return;
	}
	write_all(fd, head, strlen(head));
	if (n_blanks) {
		char *blanks = malloc(body_bytes);

		memset(blanks, ' ', body_bytes);
		write_all(fd, blanks, body_bytes);
		free(blanks);
	} else {
		write_all(fd, body, body_bytes);
	}
}

static void *serve(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept(server.fd, NULL, NULL);

		if (fd < 0 || __atomic_load_n(&server.stop, __ATOMIC_RELAXED)) {
			close(fd);
			return NULL;
		}
		answer(fd);
		close(fd);
	}
}

static char url[64], cache[64];
static struct registry_keeper *keeper;

static int start_server(void **state)
{
	struct sockaddr_in here = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(here);

	(void)state;
	log_open(LOG_LEVEL_ERROR, 0);
	pthread_mutex_init(&server.lock, NULL);
	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(server.fd, (struct sockaddr *)&here, sizeof(here)) || listen(server.fd, 16) ||
	    getsockname(server.fd, (struct sockaddr *)&here, &len))
		return -1;
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/api.json", ntohs(here.sin_port));
	unsetenv("http_proxy");
	return pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
	(void)state;
	__atomic_store_n(&server.stop, 1, __ATOMIC_RELAXED);
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	return 0;
}

static void will_answer(const char *head, const char *body)
{
	pthread_mutex_lock(&server.lock);
	snprintf(server.head, sizeof(server.head), "%s", head);
	server.body = body;
	server.body_bytes = 0;
	server.no_length = 0;
	pthread_mutex_unlock(&server.lock);
}

/* --- documents ----------------------------------------------------------------------------------- */

/* The built-in document with one more pair, 3/25 "New Thing", and the later time given. */
static char *grown_document(const char *modified)
{
	static const char old_time[] = "2025-09-04T12:01:55.844133+00:00";
	static const char before[] = "\"activityName\": \"Simulation Pileup Input\" }";
	static const char more[] = ",{ \"activityId\": 25, \"activityName\": \"New Thing\" }";
	FILE *f = fopen("registry/scitags.json", "r");
	char *text = calloc(1, 65536), *at;
	size_t n = fread(text, 1, 32768, f);

	fclose(f);
	assert_true(n > 1000);
	at = strstr(text, before) + strlen(before);
	memmove(at + strlen(more), at, strlen(at) + 1);
	memcpy(at, more, strlen(more));
	assert_int_equal(strlen(modified), strlen(old_time));
	memcpy(strstr(text, old_time), modified, strlen(modified));
	return text;
}

#define LATER   "2026-01-01T00:00:00.000000+00:00"
#define EARLIER "2024-01-01T00:00:00.000000+00:00"
#define SMALL                                                                                  \
	"{\"version\":1,\"modified\":\"" LATER "\",\"experiments\":[{\"expId\":3,\"expName\":" \
	"\"cms\",\"activities\":[{\"activityId\":1,\"activityName\":\"default\"}]}]}"

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void open_keeper(struct registry_keeper_config cfg)
{
	assert_int_equal(registry_keeper_open(&keeper, &cfg), 0);
}

static struct registry_keeper_status status(void)
{
	struct registry_keeper_status s;

	registry_keeper_status(keeper, &s);
	return s;
}

static int new_cache(void **state)
{
	int fd;

	(void)state;
	strcpy(cache, "/tmp/test_keeper_XXXXXX");
	fd = mkstemp(cache);
	close(fd);
	unlink(cache);
	return 0;
}

static int close_keeper(void **state)
{
	(void)state;
	registry_keeper_close(keeper);
	keeper = NULL;
	unlink(cache);
	return 0;
}

/* --- cases --------------------------------------------------------------------------------------- */

static void without_anything_the_built_in_is_in_force(void **state)
{
	const struct registry *r;

	(void)state;
	open_keeper((struct registry_keeper_config){0});
	assert_string_equal(status().origin, "built-in");
	assert_string_equal(status().modified, "2025-09-04T12:01:55.844133+00:00");
	assert_int_equal(status().n_experiments, 14);
	assert_int_equal(status().n_pairs, 114);
	assert_true(status().checked_utc_s == CLOCK_NEVER);
	assert_true(status().loaded_utc_s > 1700000000);
	assert_int_equal(status().refused, 0);
	r = registry_keeper_take(keeper);
	assert_string_equal(registry_experiment_name(r, 3), "cms");
	registry_keeper_give(keeper, r);
	assert_int_equal(registry_keeper_refresh(keeper), -EINVAL);
}

static void closing_takes_null(void **state)
{
	(void)state;
	registry_keeper_close(NULL);
}

static void a_newer_cache_is_used(void **state)
{
	char *text = grown_document(LATER);

	(void)state;
	write_file(cache, text);
	open_keeper((struct registry_keeper_config){.cache_path = cache});
	assert_string_equal(status().origin, "cache");
	assert_string_equal(status().modified, LATER);
	assert_int_equal(status().n_pairs, 115);
	free(text);
}

static void another_cache_is_passed_over_and_counted(void **state)
{
	char *old = grown_document(EARLIER);
	const char *const caches[] = {old, "{", "", "{\"experiments\":[]}",
				      "{\"experiments\":[{\"expId\":1,\"expName\":\"a\","
				      "\"activities\":[]}]}"};

	(void)state;
	for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		write_file(cache, caches[i]);
		open_keeper((struct registry_keeper_config){.cache_path = cache});
		assert_string_equal(status().origin, "built-in");
		assert_int_equal(status().n_pairs, 114);
		assert_int_equal(status().refused, 1);
		assert_int_not_equal(strlen(status().last_error), 0);
		registry_keeper_close(keeper);
	}
	keeper = NULL;
	free(old);
}

static void a_new_document_replaces_and_is_cached(void **state)
{
	char *text = grown_document(LATER), back[65536] = "";
	const struct registry *before, *after;
	struct stat st;
	FILE *f;

	(void)state;
	open_keeper((struct registry_keeper_config){.url = url, .cache_path = cache});
	before = registry_keeper_take(keeper);
	assert_int_equal(registry_keeper_generation(keeper), 1);
	will_answer("HTTP/1.1 200 OK", text);
	assert_int_equal(registry_keeper_refresh(keeper), 1);
	assert_int_equal(registry_keeper_generation(keeper), 2);
	after = registry_keeper_take(keeper);
	assert_null(registry_activity_name(before, 3, 25)); /* borrowed: still whole */
	assert_string_equal(registry_activity_name(after, 3, 25), "New Thing");
	registry_keeper_give(keeper, before);
	registry_keeper_give(keeper, after);
	assert_string_equal(status().origin, "network");
	assert_int_equal(status().n_pairs, 115);
	assert_true(status().checked_utc_s > 1700000000);
	f = fopen(cache, "r");
	assert_non_null(f);
	assert_int_equal(fread(back, 1, sizeof(back), f), strlen(text));
	fclose(f);
	assert_string_equal(back, text);
	assert_int_equal(stat(cache, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	/* the same again is no swap, though the server gave no stamps */
	assert_int_equal(registry_keeper_refresh(keeper), 0);
	assert_int_equal(registry_keeper_generation(keeper), 2);
	registry_keeper_close(keeper);
	/* and the next start has it */
	open_keeper((struct registry_keeper_config){.cache_path = cache});
	assert_string_equal(status().origin, "cache");
	assert_int_equal(status().n_pairs, 115);
	free(text);
}

static void the_server_is_asked_only_for_what_changed(void **state)
{
	char *text = grown_document(LATER);

	(void)state;
	open_keeper((struct registry_keeper_config){.url = url});
	will_answer(
		"HTTP/1.1 200 OK\r\nETag:  \"abc\" \r\nlast-modified: Thu, 04 Sep 2025 12:01:55 "
		"GMT",
		text);
	assert_int_equal(registry_keeper_refresh(keeper), 1);
	assert_non_null(strstr(server.asked, "GET /api.json HTTP/1.1\r\n"));
	assert_null(strstr(server.asked, "If-None-Match"));
	will_answer("HTTP/1.1 304 Not Modified", "");
	assert_int_equal(registry_keeper_refresh(keeper), 0);
	assert_non_null(strstr(server.asked, "\r\nIf-None-Match: \"abc\"\r\n"));
	assert_non_null(
		strstr(server.asked, "\r\nIf-Modified-Since: Thu, 04 Sep 2025 12:01:55 GMT\r\n"));
	assert_int_equal(status().n_pairs, 115);
	assert_string_equal(status().last_error, "");
	/* after a refused document all of the next is wanted */
	will_answer("HTTP/1.1 200 OK\r\nETag: \"bad\"", "{}");
	assert_int_equal(registry_keeper_refresh(keeper), -EBADMSG);
	assert_int_equal(registry_keeper_refresh(keeper), -EBADMSG);
	assert_null(strstr(server.asked, "If-None-Match"));
	will_answer("HTTP/1.1 200 OK\r\nETag: \"small\"", SMALL);
	assert_int_equal(registry_keeper_refresh(keeper), -EBADMSG);
	assert_int_equal(registry_keeper_refresh(keeper), -EBADMSG);
	assert_null(strstr(server.asked, "If-None-Match"));
	free(text);
}

static void what_is_broken_empty_or_shrunken_is_refused_and_counted(void **state)
{
	static const struct {
		const char *body, *why;
	} bad[] = {
		{"", "not JSON"},
		{"<html>hello</html>", "not JSON"},
		{"{\"experiments\":[]}", "no experiments"},
		{"{\"experiments\":[{\"expId\":1,\"expName\":\"a\",\"activities\":[]}]}", "empty"},
		{SMALL, "fewer experiments"},
	};

	(void)state;
	open_keeper((struct registry_keeper_config){.url = url, .cache_path = cache});
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		will_answer("HTTP/1.1 200 OK", bad[i].body);
		assert_int_equal(registry_keeper_refresh(keeper), -EBADMSG);
		assert_int_equal(status().refused, i + 1);
		if (!strstr(status().last_error, bad[i].why))
			fail_msg("%s: said %s", bad[i].body, status().last_error);
		assert_string_equal(status().origin, "built-in");
		assert_int_equal(registry_keeper_generation(keeper), 1);
		assert_int_equal(access(cache, F_OK), -1);
	}
}

static void the_operator_can_force_a_smaller_document_but_no_broken_one(void **state)
{
	(void)state;
	open_keeper((struct registry_keeper_config){.url = url, .cache_path = cache, .force = 1});
	will_answer("HTTP/1.1 200 OK", "{\"experiments\":[{\"expId\":1,\"expName\":\"a\","
				       "\"activities\":[]}]}");
	assert_int_equal(registry_keeper_refresh(keeper), -EBADMSG);
	will_answer("HTTP/1.1 200 OK", SMALL);
	assert_int_equal(registry_keeper_refresh(keeper), 1);
	assert_int_equal(status().n_pairs, 1);
	registry_keeper_close(keeper);
	open_keeper((struct registry_keeper_config){.cache_path = cache}); /* stays forced */
	assert_int_equal(status().n_pairs, 1);
}

static void a_failing_network_is_no_error_of_ours(void **state)
{
	static const struct {
		const char *head, *body, *why;
	} answers[] = {
		{"HTTP/1.1 404 Not Found", "no", "answered 404"},
		{"HTTP/1.1 500 Oops", "", "answered 500"},
		{"HTTP/1.1 304 Not Modified", "", "answered 304"}, /* nobody asked for that */
		{"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd", "", "rotocol"},
		{"HTTP/1.1 302 Found\r\nLocation: /api.json", "", "redirects"},
		{"nonsense", "", ""},
	};

	(void)state;
	open_keeper((struct registry_keeper_config){.url = url});
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		will_answer(answers[i].head, answers[i].body);
		assert_int_equal(registry_keeper_refresh(keeper), -EIO);
		if (!strstr(status().last_error, answers[i].why))
			fail_msg("%s: said %s", answers[i].head, status().last_error);
		assert_string_equal(status().origin, "built-in");
		assert_int_equal(status().refused, 0);
	}
	registry_keeper_close(keeper);
	open_keeper((struct registry_keeper_config){.url = "http://127.0.0.1:1/api.json"});
	assert_int_equal(registry_keeper_refresh(keeper), -EIO);
	registry_keeper_close(keeper);
	open_keeper((struct registry_keeper_config){.url = "file:///etc/passwd"});
	assert_int_equal(registry_keeper_refresh(keeper), -EIO);
	assert_string_equal(status().last_error, "the URL is neither https nor http");
}

static void more_than_4_mib_is_not_taken(void **state)
{
	(void)state;
	open_keeper((struct registry_keeper_config){.url = url});
	for (int no_length = 0; no_length < 2; no_length++) {
		will_answer("HTTP/1.1 200 OK", " ");
		server.body_bytes = (4 << 20) + 1;
		server.no_length = no_length;
		assert_int_equal(registry_keeper_refresh(keeper), -EIO);
		assert_string_equal(status().last_error, "the answer is larger than 4194304 bytes");
	}
	will_answer("HTTP/1.1 200 OK", " ");
	server.body_bytes = 4 << 20; /* blanks: too little JSON, but not too much of it */
	assert_int_equal(registry_keeper_refresh(keeper), -EBADMSG);
}

static void the_thread_asks_at_once(void **state)
{
	char *text = grown_document(LATER);

	(void)state;
	will_answer("HTTP/1.1 200 OK", text);
	open_keeper((struct registry_keeper_config){.url = url, .refresh_s = 1});
	for (int i = 0; i < 500 && registry_keeper_generation(keeper) == 1; i++)
		usleep(10000);
	assert_int_equal(status().n_pairs, 115);
	/* and no sooner again than after five minutes, whatever was asked for */
	__atomic_store_n(&server.n_asked, 0, __ATOMIC_RELAXED);
	usleep(1200000);
	assert_int_equal(__atomic_load_n(&server.n_asked, __ATOMIC_RELAXED), 0);
	free(text);
}

static void closing_does_not_wait_for_a_slow_server(void **state)
{
	int64_t start_ns;

	(void)state;
	will_answer("", NULL);
	__atomic_store_n(&server.n_asked, 0, __ATOMIC_RELAXED);
	open_keeper((struct registry_keeper_config){.url = url, .refresh_s = 300});
	for (int i = 0; i < 500 && !__atomic_load_n(&server.n_asked, __ATOMIC_RELAXED); i++)
		usleep(10000);
	start_ns = clock_mono_ns();
	registry_keeper_close(keeper);
	keeper = NULL;
	assert_true(clock_mono_ns() - start_ns < 3 * NS_PER_S);
}

static int borrowing;
static void *borrow(void *arg)
{
	uint64_t *n = arg;

	while (__atomic_load_n(&borrowing, __ATOMIC_RELAXED)) {
		const struct registry *r = registry_keeper_take(keeper);

		*n += registry_experiment_name(r, 3) != NULL; /* freed memory would be a report */
		registry_keeper_give(keeper, r);
	}
	return NULL;
}

static void borrowers_never_see_a_freed_registry(void **state)
{
	char *one = grown_document(LATER),
	     *two = grown_document("2026-01-02T00:00:00.000000+00:00");
	uint64_t n[2] = {0};
	pthread_t threads[2];

	(void)state;
	open_keeper((struct registry_keeper_config){.url = url});
	borrowing = 1;
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, borrow, &n[i]);
	for (int i = 0; i < 40; i++) {
		will_answer("HTTP/1.1 200 OK", i % 2 ? one : two);
		assert_int_equal(registry_keeper_refresh(keeper), 1);
	}
	__atomic_store_n(&borrowing, 0, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(n[0] && n[1]);
	assert_int_equal(registry_keeper_generation(keeper), 41);
	free(one);
	free(two);
}

static void the_directory_of_a_cache_is_made(void **state)
{
	char *text = grown_document(LATER), path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/registry.json", cache); /* `cache` is free as a name */
	open_keeper((struct registry_keeper_config){.url = url, .cache_path = path});
	will_answer("HTTP/1.1 200 OK", text);
	assert_int_equal(registry_keeper_refresh(keeper), 1);
	assert_int_equal(access(path, R_OK), 0);
	unlink(path);
	rmdir(cache);
	free(text);
}

static void a_cache_that_cannot_be_written_is_no_failure(void **state)
{
	char *text = grown_document(LATER);

	(void)state;
	open_keeper((struct registry_keeper_config){.url = url, .cache_path = "/no/such/dir/x"});
	will_answer("HTTP/1.1 200 OK", text);
	assert_int_equal(registry_keeper_refresh(keeper), 1);
	assert_int_equal(status().n_pairs, 115);
	free(text);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, new_cache, close_keeper)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(without_anything_the_built_in_is_in_force),
		CASE(closing_takes_null),
		CASE(a_newer_cache_is_used),
		CASE(another_cache_is_passed_over_and_counted),
		CASE(a_new_document_replaces_and_is_cached),
		CASE(the_server_is_asked_only_for_what_changed),
		CASE(what_is_broken_empty_or_shrunken_is_refused_and_counted),
		CASE(the_operator_can_force_a_smaller_document_but_no_broken_one),
		CASE(a_failing_network_is_no_error_of_ours),
		CASE(more_than_4_mib_is_not_taken),
		CASE(the_thread_asks_at_once),
		CASE(closing_does_not_wait_for_a_slow_server),
		CASE(borrowers_never_see_a_freed_registry),
		CASE(the_directory_of_a_cache_is_made),
		CASE(a_cache_that_cannot_be_written_is_no_failure),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
