/* flowd-go's HTTP API (v2.4.2), as answers to requests; marker/http.h carries them.
 *
 *   GET /             the routes, as JSON
 *   POST /flow        one flow event, as JSON: see below; answered with the event as understood
 *   GET /dummy/start  an example of such an event, and /dummy/end; only if enabled; mark nothing
 *
 *   { "State": 2, "Protocol": 0, "Family": 10,
 *     "Src": "[2001:db8:1::10]:1094", "Dst": "[2001:db8:2::20]:40000",
 *     "Experiment": 3, "Activity": 14, "StartTs": "2026-01-10T09:00:00Z", "Application": "x" }
 *
 * State 2 start, 3 end, 4 ongoing, or these words; Protocol 0 tcp, 1 udp, 2 sctp, or these words;
 * Family 2 IPv4, 10 IPv6, these words, or left out; Src and Dst also as {"IP": ..., "Port": ...}, as
 * before v2.4.0; Experiment and Activity also by registry name. Members match in any case. Times that
 * are left out are now.
 *
 * 400: no JSON, no application/json, a member of the wrong type or unreadable; 422: a value that
 * cannot be, with the reason; 503: the flow table is full. */
#ifndef MARKER_API_H
#define MARKER_API_H

#include "marker/http.h"
#include "marker/rules.h"

struct api_door {
	const struct registry *registry;
	int dummy;
	/* The event, to the loop: 0, or -EINVAL with the reason. */
	int (*handle)(void *arg, const struct rules_flow_event *e, enum rules_refusal *why);
	void *arg;
};

/* For http_config.answer; arg is a struct api_door. */
void flow_api_answer(void *arg, const struct http_request *request, struct http_answer *answer);

/* Read a body. Returns 200 with *out filled, or 400 or 422 with a sentence in why. */
unsigned int flow_api_parse(struct rules_flow_event *out, const char *body, size_t len_bytes,
			    const struct registry *reg, int64_t now_utc_us, char *why,
			    size_t why_cap_bytes);

#endif
