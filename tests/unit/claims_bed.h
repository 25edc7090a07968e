/* A bed for tests of claims: fireflies as text and as structs, who gave up what, and the rows that came out. */
#ifndef TESTS_UNIT_CLAIMS_BED_H
#define TESTS_UNIT_CLAIMS_BED_H

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "join/claims.h"
#include "join/join.h"

#define T0_S  1768035600LL /* 2026-01-10T09:00:00Z, a whole hour */
#define T0    (T0_S * US_PER_S)
#define S(n)  ((int64_t)(n)*US_PER_S)
#define UNSET FIREFLY_TIME_UNKNOWN

#define CLIENT  "2001:db8:1::10" /* port 40000 */
#define SERVER  "2001:db8:2::20" /* port 1094 */
#define RELAY   "2001:db8:9::1"
#define SOMEONE "2001:db8:bad::1"

struct bed {
	struct claims *claims;
	struct senders *senders;
	size_t n_over;
	struct claim over[64]; /* the newest, by n_over % 64 */
	uint64_t over_by_state[CLAIM_EVICTED + 1];
	size_t n_rows, n_histograms;
	struct claim_row *rows;
	struct histogram_row *histograms;
};

static inline void bed_ip(uint8_t ip[16], const char *text)
{
	if (inet_pton(AF_INET6, text, ip) == 1)
		return;
	memset(ip, 0, 16);
	ip[10] = ip[11] = 0xFF;
	if (inet_pton(AF_INET, text, ip + 12) != 1)
		abort();
}

static inline struct flow_key bed_key(const char *src, uint16_t src_port, const char *dst,
				      uint16_t dst_port)
{
	struct flow_key key = {.src_port = src_port, .dst_port = dst_port, .protocol = 6};

	bed_ip(key.src_ip, src);
	bed_ip(key.dst_ip, dst);
	key.family = strchr(src, ':') ? 6 : 4;
	return key;
}

/* From the server to the client, tag 3/14, which is registered; times and counts unsaid. */
static inline struct heard bed_heard(enum firefly_state state, int64_t heard_utc_us)
{
	struct heard h = {
		.firefly = {.state = state,
			    .producer = FIREFLY_OURS,
			    .key = bed_key(SERVER, 1094, CLIENT, 40000),
			    .tag = {3, 14},
			    .header_utc_us = heard_utc_us,
			    .current_utc_us = heard_utc_us,
			    .start_utc_us = UNSET,
			    .end_utc_us = UNSET,
			    .src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
			    .dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
			    .rtt_us = FIREFLY_RTT_UNSAID,
			    .priority = 134,
			    .application = "dtn"},
		.heard_utc_us = heard_utc_us,
	};

	bed_ip(h.sender_ip, SERVER);
	return h;
}

static inline struct heard bed_start(int64_t start_utc_us)
{
	struct heard h = bed_heard(FIREFLY_START, start_utc_us);

	h.firefly.start_utc_us = start_utc_us;
	return h;
}

static inline struct heard bed_ongoing(int64_t start_utc_us, int64_t now_utc_us, uint64_t bytes)
{
	struct heard h = bed_heard(FIREFLY_ONGOING, now_utc_us);

	h.firefly.start_utc_us = start_utc_us;
	h.firefly.src_to_dst_bytes = bytes;
	h.firefly.dst_to_src_bytes = 0;
	return h;
}

static inline struct heard bed_end(int64_t start_utc_us, int64_t end_utc_us, uint64_t bytes)
{
	struct heard h = bed_ongoing(start_utc_us, end_utc_us, bytes);

	h.firefly.state = FIREFLY_END;
	h.firefly.end_utc_us = end_utc_us;
	return h;
}

static inline void bed_over(void *arg, uint32_t at, const struct claim *c)
{
	struct bed *bed = arg;

	if (claims_at(bed->claims, at) != c)
		abort();
	bed->over[bed->n_over++ % 64] = *c;
	bed->over_by_state[c->state]++;
}

static inline void bed_open(struct bed *bed, uint32_t claims_max)
{
	uint8_t relay[1][16];
	const struct claims_config cfg = {
		.claims_max = claims_max, .silent_s = 0, .relays = relay, .n_relays = 1};
	struct scitag_set registered = {{0}};

	bed_ip(relay[0], RELAY);
	scitag_set_add(&registered, (struct scitag){3, 14});
	scitag_set_add(&registered, (struct scitag){2, 9});
	memset(bed, 0, sizeof(*bed));
	bed->senders = senders_open();
	bed->claims = claims_open(&cfg, bed->senders);
	if (!bed->claims)
		abort();
	claims_set_registered(bed->claims, &registered);
}

static inline void bed_close(struct bed *bed)
{
	claims_close(bed->claims);
	senders_close(bed->senders);
	free(bed->rows);
	free(bed->histograms);
}

static inline uint32_t bed_hear(struct bed *bed, struct heard h)
{
	return claims_hear(bed->claims, &h, bed_over, bed);
}

/* As much as comes out in one second. */
static inline void bed_take(struct bed *bed)
{
	free(bed->rows);
	free(bed->histograms);
	if (claims_take(bed->claims, &bed->rows, &bed->n_rows, &bed->histograms,
			&bed->n_histograms))
		abort();
}

static inline uint64_t bed_bytes(const struct bed *bed, int64_t minute_utc_s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < bed->n_rows; i++)
		if (bed->rows[i].minute_utc_s == minute_utc_s)
			sum += bed->rows[i].bytes;
	return sum;
}

static inline uint64_t bed_all_bytes(const struct bed *bed)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < bed->n_rows; i++)
		sum += bed->rows[i].bytes;
	return sum;
}

#endif
