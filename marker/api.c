#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "marker/api.h"
#include "marker/event.h"

#define WHY_BYTES 192

enum { BAD_REQUEST = 400, UNPROCESSABLE = 422 };

struct word {
	const char *text;
	int number; /* as flowd-go has it */
	int value;  /* as we have it */
};

static const struct word states[] = {
	{"start", 2, RULES_START}, {"end", 3, RULES_END}, {"ongoing", 4, RULES_ONGOING}, {0}};
static const struct word protocols[] = {
	{"tcp", 0, IPPROTO_TCP}, {"udp", 1, IPPROTO_UDP}, {"sctp", 2, IPPROTO_SCTP}, {0}};
static const struct word families[] = {{"ipv4", AF_INET, 4}, {"ipv6", AF_INET6, 6}, {0}};

/* --- reading ----------------------------------------------------------------------------------- */

enum member {
	STATE,
	PROTOCOL,
	FAMILY,
	SRC,
	DST,
	EXPERIMENT,
	ACTIVITY,
	START_TS,
	END_TS,
	APPLICATION,
	MEMBER_COUNT
};
static const char *const names[] = {[STATE] = "State",       [PROTOCOL] = "Protocol",
				    [FAMILY] = "Family",     [SRC] = "Src",
				    [DST] = "Dst",           [EXPERIMENT] = "Experiment",
				    [ACTIVITY] = "Activity", [START_TS] = "StartTs",
				    [END_TS] = "EndTs",      [APPLICATION] = "Application"};

struct reader {
	const json_t *members[MEMBER_COUNT]; /* NULL: left out, or null */
	unsigned int status;                 /* of the first complaint; 0: none */
	char *why;
	size_t why_cap_bytes;
};

static void __attribute__((format(printf, 3, 4)))
complain(struct reader *in, unsigned int status, const char *fmt, ...)
{
	va_list args;

	if (in->status)
		return;
	in->status = status;
	va_start(args, fmt);
	vsnprintf(in->why, in->why_cap_bytes, fmt, args);
	va_end(args);
}

/* Names match in any case; the first of two counts. */
static void take_members(struct reader *in, const json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		int m = 0;

		while (m < MEMBER_COUNT &&
		       ((key[0] ^ names[m][0]) & ~0x20 || strcasecmp(key, names[m])))
			m++;
		if (m < MEMBER_COUNT && !in->members[m] && !json_is_null(value))
			in->members[m] = value;
	}
}

/* The same of an inner object. */
static const json_t *inner(const json_t *object, const char *name)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key,
			    value) if (!strcasecmp(key, name)) return json_is_null(value)
		? NULL
		: value;
	return NULL;
}

/* A number or word of the list; absent is taken for a word left out, -1 makes it a complaint. */
static int take_word(struct reader *in, enum member member, const struct word *words, int absent)
{
	const json_t *value = in->members[member];
	const char *name = names[member];

	if (!value) {
		if (absent < 0)
			complain(in, UNPROCESSABLE, "%s is missing", name);
		return absent;
	}
	if (!json_is_integer(value) && !json_is_string(value)) {
		complain(in, BAD_REQUEST, "%s is neither a number nor a text", name);
		return -1;
	}
	for (const struct word *w = words; w->text; w++)
		if (json_is_integer(value) ? json_integer_value(value) == w->number
					   : !strcasecmp(json_string_value(value), w->text))
			return w->value;
	complain(in, UNPROCESSABLE, "%s is not one of those that are known", name);
	return -1;
}

static void take_port(struct reader *in, const char *name, uint16_t *port, json_int_t number)
{
	if (number < 1 || number > 65535)
		complain(in, UNPROCESSABLE, "%s: a port is within 1..65535", name);
	else
		*port = (uint16_t)number;
}

/* "[address]:port", "address:port", or an object of both. */
static void take_end(struct reader *in, enum member member, uint8_t ip[16], uint16_t *port,
		     uint8_t *family)
{
	const json_t *value = in->members[member], *number = NULL;
	const char *name = names[member];
	char text[64];
	const char *address = NULL;
	char *colon, *rest;

	if (json_is_object(value)) {
		address = json_string_value(inner(value, "IP") ?: inner(value, "Address"));
		number = inner(value, "Port");
		if (!address || !json_is_integer(number))
			complain(in, BAD_REQUEST, "%s needs an IP and a Port", name);
		else
			take_port(in, name, port, json_integer_value(number));
	} else if (json_is_string(value) && json_string_length(value) < sizeof(text)) {
		address = strcpy(text, json_string_value(value));
		colon = strrchr(text, ':');
		if (!colon || colon[1] < '0' || colon[1] > '9' || strlen(colon) > 6 ||
		    (text[0] != '[' && memchr(text, ':', (size_t)(colon - text)))) {
			complain(in, BAD_REQUEST, "%s is no address and port", name);
			return;
		}
		*colon = 0;
		take_port(in, name, port, strtol(colon + 1, &rest, 10));
		if (*rest)
			complain(in, BAD_REQUEST, "%s is no address and port", name);
	} else {
		complain(in, BAD_REQUEST, "%s is %s", name, value ? "no address" : "missing");
	}
	if (address && event_address(ip, address, family))
		complain(in, BAD_REQUEST, "%s is no address and port", name);
}

/* A number or name as text, for marker_tag. */
static const char *take_id(struct reader *in, enum member member, char *buf, size_t cap_bytes)
{
	const json_t *value = in->members[member];
	const char *name = names[member];

	if (!value)
		complain(in, UNPROCESSABLE, "%s is missing", name);
	else if (json_is_string(value))
		return json_string_value(value);
	else if (!json_is_integer(value) || json_integer_value(value) < 0)
		complain(in, BAD_REQUEST, "%s is neither a whole number nor a name", name);
	else if (json_integer_value(value) > UINT16_MAX)
		complain(in, UNPROCESSABLE, "%s is out of range", name);
	else
		snprintf(buf, cap_bytes, "%lld", json_integer_value(value));
	return buf;
}

/* Go's zero time, of the year 1, means that nothing was said. */
static int64_t take_time(struct reader *in, enum member member)
{
	const json_t *value = in->members[member];
	int64_t utc_us = 0;

	if (value && (!json_is_string(value) || (json_string_length(value) &&
						 clock_parse_utc(&utc_us, json_string_value(value),
								 json_string_length(value)))))
		complain(in, BAD_REQUEST, "%s is no RFC 3339 time", names[member]);
	return utc_us > 0 ? utc_us : 0;
}

static int is_text(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			return 0;
	return 1;
}

static void read_event(struct reader *in, struct rules_flow_event *e, const struct registry *reg,
		       int64_t now_utc_us)
{
	char experiment[24] = "", activity[24] = "", why[128];
	const char *e_text, *a_text, *application;
	uint8_t dst_family = 0;
	int state, protocol, family;

	state = take_word(in, STATE, states, -1);
	protocol = take_word(in, PROTOCOL, protocols, IPPROTO_TCP);
	family = take_word(in, FAMILY, families, 0);
	take_end(in, SRC, e->key.src_ip, &e->key.src_port, &e->key.family);
	take_end(in, DST, e->key.dst_ip, &e->key.dst_port, &dst_family);
	e_text = take_id(in, EXPERIMENT, experiment, sizeof(experiment));
	a_text = take_id(in, ACTIVITY, activity, sizeof(activity));
	e->start_utc_us = take_time(in, START_TS);
	e->end_utc_us = take_time(in, END_TS);
	if (in->status)
		return;
	if (e->key.family != dst_family)
		complain(in, UNPROCESSABLE, "Src and Dst are of two families");
	else if (family && family != e->key.family)
		complain(in, UNPROCESSABLE, "Family is not that of the addresses");
	else if (marker_tag(&e->tag, reg, e_text, a_text, why, sizeof(why)))
		complain(in, UNPROCESSABLE, "%s", why);
	e->event = (enum rules_event)state;
	e->key.protocol = (uint8_t)protocol;
	if (!e->start_utc_us && e->event == RULES_START)
		e->start_utc_us = now_utc_us;
	if (e->event != RULES_END)
		e->end_utc_us = 0;
	else if (!e->end_utc_us)
		e->end_utc_us = now_utc_us;
	application = json_string_value(in->members[APPLICATION]);
	if (application && is_text(application) && strlen(application) < sizeof(e->application))
		strcpy(e->application, application);
	else if (in->members[APPLICATION])
		complain(in, UNPROCESSABLE, "Application is no text of up to 63 bytes");
}

unsigned int flow_api_parse(struct rules_flow_event *out, const char *body, size_t len_bytes,
			    const struct registry *reg, int64_t now_utc_us, char *why,
			    size_t why_cap_bytes)
{
	struct rules_flow_event e = {0};
	json_error_t error;
	json_t *root = json_loadb(body, len_bytes, JSON_REJECT_DUPLICATES, &error);
	struct reader in = {.why = why, .why_cap_bytes = why_cap_bytes};

	if (!json_is_object(root)) {
		complain(&in, BAD_REQUEST, "no JSON object: %s",
			 root ? "another value" : error.text);
	} else {
		take_members(&in, root);
		read_event(&in, &e, reg, now_utc_us);
	}
	json_decref(root);
	if (in.status)
		return in.status;
	*out = e;
	return 200;
}

/* --- answering --------------------------------------------------------------------------------- */

static void answer_json(struct http_answer *a, unsigned int status, json_t *body)
{
	a->status = status;
	a->content_type = "application/json";
	a->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
	a->len_bytes = a->body ? strlen(a->body) : 0;
	json_decref(body);
}

static void answer_message(struct http_answer *a, unsigned int status, const char *message)
{
	answer_json(a, status, json_pack("{ss}", "message", message));
}

static int number_of(const struct word *words, int value)
{
	while (words->text && words->value != value)
		words++;
	return words->number;
}

/* An answer that grows in a buffer of its own; all that is put in is bounded. */
struct text {
	char buf[1024];
	size_t used;
};

static void __attribute__((format(printf, 2, 3))) put(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->buf + t->used, sizeof(t->buf) - t->used, fmt, args);
	va_end(args);
	if (n > 0 && (size_t)n < sizeof(t->buf) - t->used)
		t->used += (size_t)n;
}

static void put_end(struct text *t, const char *name, const uint8_t ip[16], uint16_t port,
		    int family)
{
	char address[INET6_ADDRSTRLEN];

	if (family == 4) {
		inet_ntop(AF_INET, ip + 12, address, sizeof(address));
		put(t, ",\"%s\":\"%s:%u\"", name, address, port);
	} else {
		inet_ntop(AF_INET6, ip, address, sizeof(address));
		put(t, ",\"%s\":\"[%s]:%u\"", name, address, port);
	}
}

static void put_time(struct text *t, const char *name, int64_t utc_us)
{
	char text[40];

	if (utc_us)
		put(t, ",\"%s\":\"%s\"", name, clock_format_utc(text, sizeof(text), utc_us, 6));
}

static void answer_event(struct http_answer *a, const struct rules_flow_event *e,
			 int64_t now_utc_us)
{
	struct text t = {.used = 0};

	put(&t, "{\"State\":%d,\"Protocol\":%d,\"Family\":%d", number_of(states, (int)e->event),
	    number_of(protocols, e->key.protocol), number_of(families, e->key.family));
	put_end(&t, "Src", e->key.src_ip, e->key.src_port, e->key.family);
	put_end(&t, "Dst", e->key.dst_ip, e->key.dst_port, e->key.family);
	put(&t, ",\"Experiment\":%u,\"Activity\":%u", e->tag.experiment, e->tag.activity);
	put_time(&t, "StartTs", e->start_utc_us);
	put_time(&t, "EndTs", e->end_utc_us);
	put_time(&t, "CurrentTs", now_utc_us);
	put(&t, ",\"Application\":\"");
	for (const char *c = e->application; *c; c++) /* it has no control characters */
		put(&t, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
	put(&t, "\"}");
	a->status = 200;
	a->content_type = "application/json";
	a->body = malloc(t.used);
	a->len_bytes = a->body ? t.used : 0;
	if (a->body)
		memcpy(a->body, t.buf, t.used);
}

static int is_json(const char *content_type)
{
	static const char want[] = "application/json";

	return content_type && !strncasecmp(content_type, want, sizeof(want) - 1) &&
	       strchr("; \t", content_type[sizeof(want) - 1]) != NULL;
}

static void post_flow(const struct api_door *door, const struct http_request *request,
		      struct http_answer *a)
{
	int64_t now_utc_us = clock_utc_us();
	struct rules_flow_event e;
	enum rules_refusal refusal = RULES_REFUSAL_COUNT;
	char why[WHY_BYTES];
	unsigned int status = BAD_REQUEST;

	snprintf(why, sizeof(why), "the content type is not application/json");
	if (is_json(request->content_type))
		status = flow_api_parse(&e, request->body, request->len_bytes, door->registry,
					now_utc_us, why, sizeof(why));
	if (status == 200 && door->handle(door->arg, &e, &refusal)) {
		if (refusal == RULES_REFUSED_FULL)
			status = 503;
		else if (refusal == RULES_REFUSED_RANGE)
			status = UNPROCESSABLE;
		else if (refusal == RULES_REFUSED_FAILED)
			status = 500;
		/* announced but not marked (IPv4, 0/0), or the end of what had ended: all is well */
		if (status != 200)
			snprintf(why, sizeof(why), "refused: %s", rules_refusal_name(refusal));
	}
	if (status == 200)
		answer_event(a, &e, now_utc_us);
	else
		answer_message(a, status, why);
}

/* flowd-go's example: a tag that no packet can carry. */
static void get_dummy(const struct api_door *door, const struct http_request *request,
		      struct http_answer *a)
{
	struct rules_flow_event e = {.event = strcmp(request->path, "/dummy/end") ? RULES_START
										  : RULES_END,
				     .key = {.src_ip = {[15] = 1},
					     .dst_ip = {[15] = 1},
					     .src_port = 2345,
					     .dst_port = 5777,
					     .protocol = IPPROTO_TCP,
					     .family = 6},
				     .tag = {65535, 65535},
				     .start_utc_us = clock_utc_us()};

	e.end_utc_us = e.event == RULES_END ? e.start_utc_us : 0;
	answer_event(a, &e, e.start_utc_us);
}

static void get_routes(const struct api_door *door, const struct http_request *request,
		       struct http_answer *a);

static const struct route {
	const char *method, *path, *name;
	int dummy;
	void (*answer)(const struct api_door *door, const struct http_request *request,
		       struct http_answer *a);
} routes[] = {
	{"GET", "/", "routes", 0, get_routes},
	{"POST", "/flow", "flow", 0, post_flow},
	{"GET", "/dummy/start", "dummy start", 1, get_dummy},
	{"GET", "/dummy/end", "dummy end", 1, get_dummy},
};
#define N_ROUTES (sizeof(routes) / sizeof(routes[0]))

static void get_routes(const struct api_door *door, const struct http_request *request,
		       struct http_answer *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < N_ROUTES; i++)
		if (!routes[i].dummy || door->dummy)
			json_array_append_new(
				list, json_pack("{ss ss ss}", "method", routes[i].method, "path",
						routes[i].path, "name", routes[i].name));
	answer_json(a, 200, list);
}

void flow_api_answer(void *arg, const struct http_request *request, struct http_answer *answer)
{
	const struct api_door *door = arg;
	const char *method = strcmp(request->method, "HEAD") ? request->method : "GET";

	for (size_t i = 0; i < N_ROUTES; i++) {
		if (strcmp(request->path, routes[i].path) || (routes[i].dummy && !door->dummy))
			continue;
		if (!strcmp(method, routes[i].method)) {
			routes[i].answer(door, request, answer);
			return;
		}
		answer_message(answer, 405, "Method Not Allowed");
		answer->allow = routes[i].method;
		return;
	}
	answer_message(answer, 404, "Not Found");
}
