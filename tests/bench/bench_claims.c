/* What one core makes of claims: honest ones from START to END, and a flood of five million false ones, each from
 * another address about another flow, into a table that honest ones live in. Prints nanoseconds a message, the median of
 * five runs; ends badly if an honest claim is lost or memory grows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "join/claims.h"
#include "join/join.h"

#define RUNS   5
#define HONEST 20000
#define LIES   5000000
#define BATCH  1000
#define T0     (1768035600 * US_PER_S)

static struct claims *claims;

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double resident_mb(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static void set_number(uint8_t *to, uint32_t n)
{
	to[0] = (uint8_t)(n >> 24);
	to[1] = (uint8_t)(n >> 16);
	to[2] = (uint8_t)(n >> 8);
	to[3] = (uint8_t)n;
}

static struct heard message(enum firefly_state state, uint32_t n, int64_t now_utc_us)
{
	struct heard h = {
		.firefly = {.state = state,
			    .producer = FIREFLY_FLOWD,
			    .key = {.src_ip = {0x20, 1, 0x0d, 0xb8, 1},
				    .dst_ip = {0x20, 1, 0x0d, 0xb8, 2},
				    .src_port = 1094,
				    .dst_port = (uint16_t)(1024 + n % 60000),
				    .protocol = 6,
				    .family = 6},
			    .tag = {3, 14},
			    .header_utc_us = now_utc_us,
			    .current_utc_us = now_utc_us,
			    .start_utc_us = T0,
			    .end_utc_us = state == FIREFLY_END ? now_utc_us : FIREFLY_TIME_UNKNOWN,
			    .src_to_dst_bytes =
				    state == FIREFLY_START ? FIREFLY_BYTES_UNSAID : 1000000,
			    .dst_to_src_bytes = 0,
			    .rtt_us = FIREFLY_RTT_UNSAID,
			    .application = "flowd v1.1.7"},
		.heard_utc_us = now_utc_us,
	};

	set_number(h.firefly.key.dst_ip + 12, n);
	memcpy(h.sender_ip, h.firefly.key.src_ip, 16);
	return h;
}

static struct heard lie(uint32_t n)
{
	struct heard h = message(n % 2 ? FIREFLY_END : FIREFLY_START, n, T0 + US_PER_S);

	if (n % 16 == 1) /* more to lay than the others */
		h.firefly.start_utc_us -= 29 * 86400 * US_PER_S;
	h.firefly.key.src_ip[5] = h.sender_ip[4] = 0xBA;
	h.firefly.tag.experiment = (uint16_t)(n % 1000 + 1);
	set_number(h.sender_ip + 8, n);
	snprintf(h.firefly.application, sizeof(h.firefly.application), "lie %u", n);
	return h;
}

static void hear(enum firefly_state state, int64_t now_utc_us)
{
	for (uint32_t n = 0; n < HONEST; n++) {
		struct heard h = message(state, n, now_utc_us);

		if (claims_hear(claims, &h, NULL, NULL) == TABLE_NONE)
			abort();
	}
}

static size_t take(void)
{
	struct histogram_row *histograms;
	size_t n_rows, n_histograms;
	struct claim_row *rows;

	if (claims_take(claims, &rows, &n_rows, &histograms, &n_histograms))
		abort();
	free(rows);
	free(histograms);
	return n_rows;
}

static void flood(uint32_t from_n, double *ns)
{
	static struct heard lies[BATCH];
	double from;

	*ns = 0;
	for (uint32_t n = from_n; n < from_n + LIES / RUNS; n += BATCH) {
		for (uint32_t i = 0; i < BATCH; i++)
			lies[i] = lie(n + i);
		from = cpu_ns();
		for (uint32_t i = 0; i < BATCH; i++)
			claims_hear(claims, &lies[i], NULL, NULL);
		*ns += (cpu_ns() - from) / (LIES / RUNS);
		if (n % (50 * BATCH) == 0)
			take();
	}
}

/* Half of the flows have a claim, half only one between the same hosts. */
static uint32_t look(double *ns)
{
	double from = cpu_ns();
	uint32_t found = 0, how;

	for (uint32_t n = 0; n < HONEST; n++) {
		struct flow_key key = message(FIREFLY_START, n, T0).firefly.key;

		found += claims_find(claims, &key, T0, T0, &how) != TABLE_NONE;
		key.src_port = 1;
		key.dst_port = 2;
		found += claims_find(claims, &key, T0, T0, &how) != TABLE_NONE;
	}
	*ns = (cpu_ns() - from) / (2 * HONEST);
	return found;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double v[RUNS])
{
	qsort(v, RUNS, sizeof(v[0]), compare);
	return v[RUNS / 2];
}

int main(void)
{
	const struct claims_config cfg = {.claims_max = JOIN_CLAIMS_MAX};
	double honest_ns[RUNS], false_ns[RUNS], find_ns[RUNS], first_mb = 0, mb = 0;
	struct senders *senders = senders_open();
	struct scitag_set registered = {{0}};
	struct claims_status status;
	uint32_t found = 0;

	claims = claims_open(&cfg, senders);
	if (!claims)
		return 1;
	scitag_set_add(&registered, (struct scitag){3, 14});
	claims_set_registered(claims, &registered);
	hear(FIREFLY_START, T0);
	for (int i = 0; i < RUNS; i++) {
		double from = cpu_ns();

		hear(FIREFLY_ONGOING, T0 + (i + 1) * US_PER_S);
		honest_ns[i] = (cpu_ns() - from) / HONEST;
		flood((uint32_t)i * (LIES / RUNS), &false_ns[i]);
		found += look(&find_ns[i]);
		mb = resident_mb();
		first_mb = i ? first_mb : mb;
	}
	hear(FIREFLY_END, T0 + 20 * US_PER_S);
	claims_status(claims, &status);
	claims_close(claims);
	senders_close(senders);
	printf("honest firefly %.0f ns, false one into a full table %.0f ns, a flow's claim looked "
	       "for "
	       "%.0f ns\n",
	       median(honest_ns), median(false_ns), median(find_ns));
	printf("%u claims of %u kept through %u false ones; %.0f MB resident, %.0f after the first "
	       "fifth\n",
	       found / RUNS, HONEST, LIES, mb, first_mb);
	return found != RUNS * HONEST || status.count != JOIN_CLAIMS_MAX || mb > 1.2 * first_mb ||
	       status.evicted != LIES + HONEST - JOIN_CLAIMS_MAX;
}
