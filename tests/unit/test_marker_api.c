/* The HTTP API: bodies in every spelling, what is refused with which status, and the server that
 * carries them, over TCP and a Unix socket. Expected values: flowd-go's v2.4.2 behaviour as its
 * README and code state it (State 2 start, 3 end, 4 ongoing; Protocol 0 tcp, 1 udp; Family 2, 10). */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "marker/api.h"
#include "marker/http.h"
#include "registry/registry.h"
#include "base/clock.h"

#define NOW_US 1768035600000000LL /* 2026-01-10T09:00:00Z */

static struct registry *registry;

static int open_registry(void **state)
{
	registry = registry_builtin();
	return registry ? 0 : -1;
}

static int close_registry(void **state)
{
	registry_free(registry);
	return 0;
}

static unsigned int parse(struct rules_flow_event *e, const char *body, char *why)
{
	return flow_api_parse(e, body, strlen(body), registry, NOW_US, why, 192);
}

#define SRC   "\"Src\":\"[2001:db8:1::10]:1094\""
#define DST   "\"Dst\":\"[2001:db8:2::20]:40000\""
#define TAG   "\"Experiment\":3,\"Activity\":14"
#define START "{\"State\":2,\"Protocol\":0,\"Family\":10," SRC "," DST "," TAG "}"

static void flowd_go_s_body_is_read(void **state)
{
	static const uint8_t src[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = 0x10};
	static const uint8_t dst[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 2, [15] = 0x20};
	struct rules_flow_event e;
	char why[192] = "";

	assert_int_equal(parse(&e, START, why), 200);
	assert_int_equal(e.event, RULES_START);
	assert_int_equal(e.key.protocol, IPPROTO_TCP);
	assert_int_equal(e.key.family, 6);
	assert_memory_equal(e.key.src_ip, src, 16);
	assert_memory_equal(e.key.dst_ip, dst, 16);
	assert_int_equal(e.key.src_port, 1094);
	assert_int_equal(e.key.dst_port, 40000);
	assert_int_equal(e.tag.experiment, 3);
	assert_int_equal(e.tag.activity, 14);
	assert_int_equal(e.start_utc_us, NOW_US); /* flowd-go leaves it empty */
	assert_int_equal(e.end_utc_us, 0);
}

static void every_spelling_is_the_same_event(void **state)
{
	static const char *const bodies[] = {
		"{\"state\":\"Start\",\"protocol\":\"TCP\",\"family\":\"IPv6\"," SRC "," DST "," TAG
		"}",
		"{\"STATE\":2," SRC "," DST "," TAG "}",
		"{\"State\":2," SRC "," DST "," TAG ",\"state\":3}", /* the first counts */
		"{\"State\":2,\"Protocol\":null,\"Src\":{\"IP\":\"2001:db8:1::10\",\"Port\":1094},"
		"\"Dst\":{\"ip\":\"2001:db8:2::20\",\"port\":40000}," TAG "}",
		"{\"State\":2," SRC "," DST ",\"Experiment\":\"cms\",\"Activity\":\"14\"}",
		"{\"State\":2," SRC "," DST "," TAG
		",\"StartTs\":\"2026-01-10T10:00:00+01:00\",\"EndTs\":\"0001-01-01T00:00:00Z\"}",
	};
	struct rules_flow_event want, got;
	char why[192] = "";

	assert_int_equal(parse(&want, START, why), 200);
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		memset(&got, 0xaa, sizeof(got));
		if (parse(&got, bodies[i], why) != 200)
			fail_msg("%s: %s", bodies[i], why);
		assert_memory_equal(&got.key, &want.key, sizeof(want.key));
		assert_int_equal(got.event, want.event);
		assert_memory_equal(&got.tag, &want.tag, sizeof(want.tag));
		assert_int_equal(got.start_utc_us, NOW_US);
		assert_int_equal(got.end_utc_us, 0);
	}
}

static void other_states_protocols_and_families(void **state)
{
	struct rules_flow_event e;
	char why[192] = "";

	assert_int_equal(parse(&e,
			       "{\"State\":3,\"Protocol\":1,\"Family\":2,\"Src\":\"192.0.2.1:5\","
			       "\"Dst\":\"198.51.100.2:6\",\"Experiment\":0,\"Activity\":0,"
			       "\"Application\":\"xrdcp\"}",
			       why),
			 200);
	assert_int_equal(e.event, RULES_END);
	assert_int_equal(e.key.protocol, IPPROTO_UDP);
	assert_int_equal(e.key.family, 4);
	assert_int_equal(e.key.src_ip[10], 0xff);
	assert_int_equal(e.key.src_ip[12], 192);
	assert_int_equal(e.end_utc_us, NOW_US);
	assert_int_equal(e.start_utc_us, 0); /* whoever started it knows */
	assert_string_equal(e.application, "xrdcp");
	assert_int_equal(
		parse(&e, "{\"State\":4,\"Protocol\":\"sctp\"," SRC "," DST "," TAG "}", why), 200);
	assert_int_equal(e.event, RULES_ONGOING);
	assert_int_equal(e.key.protocol, 132);
}

static void what_cannot_be_is_refused_with_its_reason(void **state)
{
	static const struct {
		unsigned int status;
		const char *body, *why;
	} cases[] = {
		{400, "", "no JSON"},
		{400, "[]", "no JSON object"},
		{400, "{\"State\":2", "no JSON"},
		{400, "{\"State\":2,\"State\":3," SRC "," DST "," TAG "}", "no JSON"},
		{400, "{\"State\":[]," SRC "," DST "," TAG "}", "State"},
		{422, "{" SRC "," DST "," TAG "}", "State is missing"},
		{422, "{\"State\":7," SRC "," DST "," TAG "}", "State"},
		{422, "{\"State\":\"begin\"," SRC "," DST "," TAG "}", "State"},
		{422, "{\"State\":2,\"Protocol\":6," SRC "," DST "," TAG "}", "Protocol"},
		{422, "{\"State\":2,\"Family\":4," SRC "," DST "," TAG "}", "Family"},
		{422, "{\"State\":2,\"Family\":2," SRC "," DST "," TAG "}", "Family"},
		{422, "{\"State\":2," SRC ",\"Dst\":\"192.0.2.1:5\"," TAG "}", "two families"},
		{400, "{\"State\":2," SRC "," TAG "}", "Dst is missing"},
		{400, "{\"State\":2," DST "," TAG ",\"Src\":\"example.org:1\"}", "Src"},
		{400, "{\"State\":2," DST "," TAG ",\"Src\":\"2001:db8::1:1\"}", "Src"},
		{400, "{\"State\":2," DST "," TAG ",\"Src\":\"[2001:db8::1]\"}", "Src"},
		{400, "{\"State\":2," DST "," TAG ",\"Src\":\"[2001:db8::1]:1x\"}", "Src"},
		{400, "{\"State\":2," DST "," TAG ",\"Src\":{\"IP\":\"::1\"}}", "Src"},
		{422, "{\"State\":2," DST "," TAG ",\"Src\":\"[2001:db8::1]:0\"}", "port"},
		{422, "{\"State\":2," DST "," TAG ",\"Src\":\"[2001:db8::1]:65536\"}", "port"},
		{422, "{\"State\":2," SRC "," DST "}", "Experiment is missing"},
		{422, "{\"State\":2," SRC "," DST ",\"Experiment\":512,\"Activity\":1}", "512/1"},
		{422, "{\"State\":2," SRC "," DST ",\"Experiment\":3,\"Activity\":64}", "3/64"},
		{422, "{\"State\":2," SRC "," DST ",\"Experiment\":3,\"Activity\":0}", "3/0"},
		{422, "{\"State\":2," SRC "," DST ",\"Experiment\":65535,\"Activity\":65535}", ""},
		{422, "{\"State\":2," SRC "," DST ",\"Experiment\":4294967298,\"Activity\":1}", ""},
		{422, "{\"State\":2," SRC "," DST ",\"Experiment\":\"nobody\",\"Activity\":1}",
		 "nobody"},
		{400, "{\"State\":2," SRC "," DST ",\"Experiment\":-1,\"Activity\":1}",
		 "Experiment"},
		{400, "{\"State\":2," SRC "," DST ",\"Experiment\":1.5,\"Activity\":1}",
		 "Experiment"},
		{400, "{\"State\":2," SRC "," DST "," TAG ",\"StartTs\":\"yesterday\"}", "StartTs"},
		{422, "{\"State\":2," SRC "," DST "," TAG ",\"Application\":\"a\\nb\"}",
		 "Application"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rules_flow_event e, untouched;
		char why[192] = "";
		unsigned int status;

		memset(&e, 0x55, sizeof(e));
		untouched = e;
		status = parse(&e, cases[i].body, why);
		if (status != cases[i].status || !strstr(why, cases[i].why))
			fail_msg("%s: %u \"%s\"", cases[i].body, status, why);
		assert_memory_equal(&e, &untouched, sizeof(e));
	}
}

/* --- routes ---------------------------------------------------------------------------------------- */

struct loop {
	int calls;
	struct rules_flow_event last;
	enum rules_refusal refusal; /* RULES_REFUSAL_COUNT: takes it */
};

static int take(void *arg, const struct rules_flow_event *e, enum rules_refusal *why)
{
	struct loop *l = arg;

	l->calls++;
	l->last = *e;
	*why = l->refusal;
	return l->refusal == RULES_REFUSAL_COUNT ? 0 : -EINVAL;
}

static unsigned int ask(struct loop *l, int dummy, const char *method, const char *path,
			const char *type, const char *body, json_t **answer, const char **allow)
{
	struct api_door door = {registry, dummy, take, l};
	struct http_request r = {method, path, type, body, strlen(body)};
	struct http_answer a = {0};

	flow_api_answer(&door, &r, &a);
	if (answer)
		*answer = a.body ? json_loadb(a.body, a.len_bytes, 0, NULL) : NULL;
	if (allow)
		*allow = a.allow;
	assert_string_equal(a.content_type, "application/json");
	free(a.body);
	return a.status;
}

static void the_answer_is_the_event_as_understood(void **state)
{
	struct loop l = {.refusal = RULES_REFUSAL_COUNT};
	json_t *o = NULL;

	assert_int_equal(
		ask(&l, 0, "POST", "/flow", "application/json; charset=utf-8", START, &o, NULL),
		200);
	assert_int_equal(l.calls, 1);
	assert_int_equal(json_integer_value(json_object_get(o, "State")), 2);
	assert_int_equal(json_integer_value(json_object_get(o, "Protocol")), 0);
	assert_int_equal(json_integer_value(json_object_get(o, "Family")), 10);
	assert_string_equal(json_string_value(json_object_get(o, "Src")), "[2001:db8:1::10]:1094");
	assert_string_equal(json_string_value(json_object_get(o, "Dst")), "[2001:db8:2::20]:40000");
	assert_int_equal(json_integer_value(json_object_get(o, "Experiment")), 3);
	assert_int_equal(json_integer_value(json_object_get(o, "Activity")), 14);
	assert_non_null(json_object_get(o, "StartTs"));
	json_decref(o);
}

static void state_changes_by_post_of_json_only(void **state)
{
	struct loop l = {.refusal = RULES_REFUSAL_COUNT};
	const char *allow = NULL;

	assert_int_equal(ask(&l, 1, "GET", "/flow", "application/json", START, NULL, &allow), 405);
	assert_string_equal(allow, "POST");
	assert_int_equal(ask(&l, 1, "POST", "/flow", NULL, START, NULL, NULL), 400);
	assert_int_equal(ask(&l, 1, "POST", "/flow", "text/plain", START, NULL, NULL), 400);
	assert_int_equal(ask(&l, 1, "POST", "/flow", "application/jsonp", START, NULL, NULL), 400);
	assert_int_equal(
		ask(&l, 1, "POST", "/flow", "application/x-www-form-urlencoded", START, NULL, NULL),
		400);
	assert_int_equal(ask(&l, 1, "GET", "/dummy/start", NULL, "", NULL, NULL), 200);
	assert_int_equal(ask(&l, 1, "POST", "/dummy/start", "application/json", "", NULL, NULL),
			 405);
	assert_int_equal(l.calls, 0);
}

static void dummies_are_off_unless_enabled(void **state)
{
	struct loop l = {0};
	json_t *o = NULL, *routes = NULL;

	assert_int_equal(ask(&l, 0, "GET", "/dummy/start", NULL, "", NULL, NULL), 404);
	assert_int_equal(ask(&l, 0, "GET", "/dummy/end", NULL, "", NULL, NULL), 404);
	assert_int_equal(ask(&l, 0, "GET", "/", NULL, "", &routes, NULL), 200);
	assert_int_equal(json_array_size(routes), 2);
	json_decref(routes);
	assert_int_equal(ask(&l, 1, "GET", "/dummy/end", NULL, "", &o, NULL), 200);
	assert_int_equal(json_integer_value(json_object_get(o, "State")), 3);
	assert_string_equal(json_string_value(json_object_get(o, "Src")), "[::1]:2345");
	assert_int_equal(json_integer_value(json_object_get(o, "Activity")), 65535);
	json_decref(o);
	assert_int_equal(ask(&l, 1, "GET", "/nowhere", NULL, "", &o, NULL), 404);
	assert_non_null(json_object_get(o, "message"));
	json_decref(o);
}

static void refusals_of_the_table_have_their_status(void **state)
{
	static const struct {
		enum rules_refusal refusal;
		unsigned int status;
	} cases[] = {
		{RULES_REFUSED_FULL, 503},     {RULES_REFUSED_RANGE, 422},
		{RULES_REFUSED_FAILED, 500},   {RULES_REFUSED_FAMILY, 200},
		{RULES_REFUSED_ANNOUNCE, 200}, {RULES_REFUSED_UNKNOWN, 200},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct loop l = {.refusal = cases[i].refusal};
		json_t *o = NULL;

		assert_int_equal(ask(&l, 0, "POST", "/flow", "application/json", START, &o, NULL),
				 cases[i].status);
		if (cases[i].status != 200)
			assert_non_null(strstr(json_string_value(json_object_get(o, "message")),
					       rules_refusal_name(cases[i].refusal)));
		json_decref(o);
	}
}

/* --- the server -------------------------------------------------------------------------------------- */

static void hosts(void **state)
{
	char *names[] = {(char *)"dtn1.example.org"};
	struct opt_texts list = {1, names};

	assert_true(http_host_known("localhost", NULL));
	assert_true(http_host_known("LOCALHOST:7777", NULL));
	assert_true(http_host_known("127.0.0.1:7777", NULL));
	assert_true(http_host_known("[::1]:7777", NULL));
	assert_true(http_host_known("[2001:db8::1]", NULL));
	assert_true(http_host_known("dtn1.example.org:7777", &list));
	assert_false(http_host_known("dtn1.example.org", NULL));
	assert_false(http_host_known("localhost.example.org", &list));
	assert_false(http_host_known("", NULL));
	assert_false(http_host_known("[::1", NULL));
	assert_false(http_host_known("[::1]x", NULL));
	assert_false(http_host_known("[localhost]x:1", NULL));
}

static int dial(const struct http *h, const char *unix_path)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons(http_port(h)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(unix_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

	if (unix_path) {
		strcpy(un.sun_path, unix_path);
		assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	} else {
		assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	}
	return fd;
}

/* Send in two pieces, the first of `first` bytes, run the server beside, return the status. */
#define WHOLE SIZE_MAX
static int exchange(struct http *h, const char *unix_path, const char *request, size_t first)
{
	int fd = dial(h, unix_path), status = 0;
	char answer[4096] = "";
	size_t used = 0;

	if (first > strlen(request))
		first = strlen(request);
	assert_int_equal(send(fd, request, first, 0), (ssize_t)first);
	for (int i = 0; i < 200 && !strstr(answer, "\r\n\r\n"); i++) {
		struct pollfd p = {.fd = http_fd(h), .events = POLLIN};
		int wait_ms = http_timeout_ms(h);
		ssize_t got;

		poll(&p, 1, wait_ms < 0 || wait_ms > 5 ? 5 : wait_ms);
		http_run(h);
		if (i == 3 && request[first])
			assert_true(send(fd, request + first, strlen(request + first), 0) > 0);
		got = recv(fd, answer + used, sizeof(answer) - 1 - used, MSG_DONTWAIT);
		if (got > 0)
			used += (size_t)got;
		answer[used] = 0;
	}
	sscanf(answer, "HTTP/1.1 %d", &status);
	close(fd);
	return status;
}

static void one_server_on_tcp_and_unix(void **state)
{
	static char big[HTTP_BODY_BYTES + 400];
	struct loop l = {.refusal = RULES_REFUSAL_COUNT};
	struct api_door door = {registry, 0, take, &l};
	struct http_config cfg = {.address = "127.0.0.1", .answer = flow_api_answer, .arg = &door};
	struct http_counters counters;
	struct http *tcp = NULL, *on_unix = NULL, *second = NULL;
	char post[1024], path[64];
	int n;

	snprintf(path, sizeof(path), "/tmp/test-marker-api-%d", (int)getpid());
	assert_int_equal(http_open(&tcp, &cfg), 0);
	cfg.unix_path = path;
	assert_int_equal(http_open(&on_unix, &cfg), 0);
	assert_int_equal(http_open(&second, &cfg), -EADDRINUSE);
	snprintf(post, sizeof(post),
		 "POST /flow HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
		 "Content-Length: %zu\r\n\r\n%s",
		 strlen(START), START);
	assert_int_equal(exchange(tcp, NULL, post, WHOLE), 200);
	assert_int_equal(exchange(tcp, NULL, post, strlen(post) - 20), 200); /* split writes */
	assert_int_equal(exchange(on_unix, path, post, 30), 200);
	assert_int_equal(l.calls, 3);
	assert_int_equal(l.last.key.src_port, 1094);
	assert_int_equal(exchange(tcp, NULL, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", WHOLE),
			 421);
	assert_int_equal(exchange(tcp, NULL, "GET / HTTP/1.1\r\n\r\n", WHOLE), 400);
	assert_int_equal(exchange(tcp, NULL, "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", WHOLE), 200);
	memset(big, ' ', sizeof(big) - 1);
	n = snprintf(big, 200,
		     "POST /flow HTTP/1.1\r\nHost: localhost\r\n"
		     "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		     HTTP_BODY_BYTES + 200);
	big[n] = ' ';
	assert_int_equal(exchange(tcp, NULL, big, WHOLE), 413);
	assert_int_equal(l.calls, 3);
	http_count(tcp, &counters);
	assert_int_equal(counters.received, 6);
	assert_int_equal(counters.refused, 3);
	http_close(on_unix);
	assert_int_equal(access(path, F_OK), -1);
	http_close(tcp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flowd_go_s_body_is_read),
		cmocka_unit_test(every_spelling_is_the_same_event),
		cmocka_unit_test(other_states_protocols_and_families),
		cmocka_unit_test(what_cannot_be_is_refused_with_its_reason),
		cmocka_unit_test(the_answer_is_the_event_as_understood),
		cmocka_unit_test(state_changes_by_post_of_json_only),
		cmocka_unit_test(dummies_are_off_unless_enabled),
		cmocka_unit_test(refusals_of_the_table_have_their_status),
		cmocka_unit_test(hosts),
		cmocka_unit_test(one_server_on_tcp_and_unix),
	};

	return cmocka_run_group_tests(tests, open_registry, close_registry);
}
