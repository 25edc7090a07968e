/* Sequences of fireflies, packets and ticks into a small room for claims. What must hold: a claim that began is
 * there or was given up, once; every message is counted once; every byte that a claim has booked comes out in
 * the rows, and none is taken back; what is found is alive.
 * Run: fuzz_claims tests/fuzz/corpus/claims */
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "join/claims.h"
#include "join/join.h"

#define T0         (1768035600 * US_PER_S)
#define CLAIMS_MAX 8

struct books {
	uint64_t given_up, booked_bytes; /* of claims that are over */
	uint64_t heard, refused;
	uint64_t counted, bytes, end_bytes; /* in rows */
};

static const int64_t steps_us[16] = {
	0,
	1,
	1000,
	US_PER_S - 1,
	US_PER_S,
	US_PER_S + 1,
	5 * US_PER_S,
	10 * US_PER_S,
	60 * US_PER_S,
	61 * US_PER_S,
	1800 * US_PER_S,
	3600 * US_PER_S,
	7 * 3600 * US_PER_S,
	30 * 86400 * US_PER_S,
	31 * 86400 * US_PER_S,
	50LL * 365 * 86400 * US_PER_S,
};

static void must(int holds)
{
	if (!holds)
		abort();
}

static void on_over(void *arg, uint32_t at, const struct claim *c)
{
	struct books *b = arg;

	must(at < CLAIMS_MAX && c->state >= CLAIM_ENDED && c->state <= CLAIM_EVICTED);
	b->given_up++;
	b->booked_bytes += c->booked_bytes;
}

static void take(struct claims *c, struct books *b)
{
	struct histogram_row *histograms;
	size_t n_rows, n_histograms;
	struct claim_row *rows;

	must(claims_take(c, &rows, &n_rows, &histograms, &n_histograms) == 0);
	for (size_t i = 0; i < n_rows; i++) {
		must(rows[i].minute_utc_s % 60 == 0);
		must(memchr(rows[i].application, 0, sizeof(rows[i].application)) != NULL);
		b->counted += rows[i].starts + rows[i].ongoings + rows[i].ends;
		b->bytes += rows[i].bytes;
		b->end_bytes += rows[i].end_bytes;
	}
	for (size_t i = 0; i < n_histograms; i++)
		must(histograms[i].n > 0 && histograms[i].bin <= 512);
	free(rows);
	free(histograms);
}

static void make_address(uint8_t ip[16], unsigned int n)
{
	static const uint8_t addresses[8][16] = {
		{0x20, 1, 0x0d, 0xb8, [15] = 1},
		{0x20, 1, 0x0d, 0xb8, [15] = 2},
		{0xfd, 0, [15] = 1},
		{[10] = 0xff, 0xff, 192, 0, 2, 1},
		{[10] = 0xff, 0xff, 192, 0, 2, 2},
		{[10] = 0xff, 0xff, 10, 0, 0, 1},
		{0x20, 1, 0x0d, 0xb8, 9},
		{0x20, 1, 0x0d, 0xb8, 0xba},
	};

	memcpy(ip, addresses[n % 8], 16);
}

static struct flow_key make_key(uint8_t what)
{
	static const uint8_t ends[8][2] = {{0, 1}, {1, 0}, {3, 4}, {4, 3},
					   {5, 4}, {2, 1}, {0, 0}, {1, 0}};
	struct flow_key key = {.protocol = 6};

	make_address(key.src_ip, ends[what & 7][0]);
	make_address(key.dst_ip, ends[what & 7][1]);
	key.src_port = 1 + (what >> 3 & 3);
	key.dst_port = 1 + (what >> 5 & 3);
	key.family = (what & 7) >= 2 && (what & 7) <= 4 ? 4 : 6;
	return key;
}

/* A time near `now`, or far, or none. */
static int64_t make_time(uint8_t what, int64_t now_utc_us)
{
	if (what == 0xFF)
		return FIREFLY_TIME_UNKNOWN;
	return what & 0x10 ? now_utc_us + steps_us[what & 15] : now_utc_us - steps_us[what & 15];
}

static uint64_t make_bytes(uint8_t what)
{
	if (what == 0xFF)
		return FIREFLY_BYTES_UNSAID;
	return (uint64_t)(what & 3) << (what >> 2);
}

static struct heard make_heard(const uint8_t *in, int64_t now_utc_us)
{
	struct heard h = {
		.firefly = {.state = FIREFLY_START + in[0] % 3,
			    .producer = in[3] % FIREFLY_PRODUCER_COUNT,
			    .flags = (uint32_t)in[4] << 3 & 0x7FF,
			    .key = make_key(in[1]),
			    .tag = {in[5] >> 4, in[5] & 15},
			    .header_utc_us = make_time(in[6] ^ 0xFF, now_utc_us),
			    .current_utc_us = make_time(in[6], now_utc_us),
			    .start_utc_us = make_time(in[7], now_utc_us),
			    .end_utc_us = FIREFLY_TIME_UNKNOWN,
			    .src_to_dst_bytes = make_bytes(in[9]),
			    .dst_to_src_bytes = make_bytes(in[10]),
			    .rtt_us = FIREFLY_RTT_UNSAID},
		.heard_utc_us = now_utc_us,
	};

	if (h.firefly.state == FIREFLY_END)
		h.firefly.end_utc_us = make_time(in[8], now_utc_us);
	memset(h.firefly.application, 0xC3 - (in[11] & 1) * 0x60, in[11] & 63);
	make_address(h.sender_ip, in[2]);
	return h;
}

static void hear(struct claims *c, struct books *b, const struct heard *h)
{
	struct claims_status before, after;
	uint32_t at;

	claims_status(c, &before);
	at = claims_hear(c, h, on_over, b);
	claims_status(c, &after);
	b->heard++;
	must(at == TABLE_NONE || claims_at(c, at) != NULL);
	b->refused += at == TABLE_NONE && before.duplicates == after.duplicates;
	must(after.begun == after.count + b->given_up);
	must(after.count <= CLAIMS_MAX);
}

static void check_books(struct claims *c, struct books *b)
{
	uint64_t booked = b->booked_bytes;
	struct claims_status status;
	uint32_t there = 0;

	take(c, b);
	for (uint32_t at = 0; at < CLAIMS_MAX; at++) {
		const struct claim *claim = claims_at(c, at);

		if (!claim)
			continue;
		there++;
		booked += claim->booked_bytes;
		must(claim->state == CLAIM_OPEN || claim->state == CLAIM_ENDED);
		must(memchr(claim->application, 0, sizeof(claim->application)) != NULL);
	}
	claims_status(c, &status);
	must(there == status.count);
	must(b->bytes == booked);
	must(b->heard == b->counted + status.duplicates + b->refused);
}

/* One room for all inputs, as its tables are large; each leaves it empty. */
static struct claims *open_room(void)
{
	uint8_t relay[1][16];
	const struct claims_config cfg = {.claims_max = CLAIMS_MAX, .relays = relay, .n_relays = 1};
	struct scitag_set registered = {{0}};
	struct claims *c;

	make_address(relay[0], 6);
	scitag_set_add(&registered, (struct scitag){3, 14});
	c = claims_open(&cfg, senders_open());
	must(c != NULL);
	claims_set_registered(c, &registered);
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct claims *c;
	static struct books books;
	int64_t now_utc_us = T0;

	if (!c)
		c = open_room();
	for (size_t i = 0; i + 13 <= size && i < 13 * 200; i += 13) {
		const uint8_t *in = data + i;
		struct flow_key key = make_key(in[1]);
		struct heard h;
		uint32_t at, how;

		now_utc_us +=
			steps_us[in[12] & 15] <= 31 * 86400 * US_PER_S ? steps_us[in[12] & 15] : 0;
		switch (in[0] >> 6) {
		case 0:
		case 1:
			h = make_heard(in, now_utc_us);
			hear(c, &books, &h);
			break;
		case 2:
			at = claims_find(c, &key, now_utc_us - steps_us[in[2] & 15], now_utc_us,
					 &how);
			must(at == TABLE_NONE
				     ? (how & ~(uint32_t)FLOW_SAME_HOSTS) == 0
				     : how == 0 || how == FLOW_NAT || how == FLOW_ONE_PORT);
			if (at != TABLE_NONE) {
				must(claims_at(c, at) != NULL);
				claims_joined(c, at, now_utc_us);
			}
			break;
		case 3:
			claims_tick(c, now_utc_us, on_over, &books);
			check_books(c, &books);
			break;
		}
	}
	check_books(c, &books);
	claims_tick(c, INT64_MAX, on_over, &books);
	check_books(c, &books);
	return 0;
}
