/* What following flows costs, in ns of CPU a sighting, with the table of 262,144 flows ten per cent full and full:
 * a flow that is known, a new one (in the full table each lets another go), and one with a claim, whose rows are
 * regraded. The floor is the same number of records of the same size in an array, written in order, and in the
 * random order in which a hash visits them. Medians of five seconds; memory as join_status says it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "join/flows.h"
#include "join/join.h"

#define T0     1767225600 /* 2026-01-01T00:00:00Z */
#define FLOWS  JOIN_FLOWS_MAX
#define FLOOD  1000000
#define CLAIMS 100000
#define RUNS   5

static const struct scitag CMS = {3, 14};
static int64_t utc_s = T0;

/* Of this thread: others may run beside it. */
static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "bench_join: %s\n", what);
	exit(1);
}

static struct flow_key key_of(uint32_t n)
{
	struct flow_key k = {.src_ip = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1},
			     .dst_ip = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 2},
			     .src_port = (uint16_t)n,
			     .dst_port = 1094,
			     .protocol = 6,
			     .family = 6};

	k.src_ip[13] = (uint8_t)(n >> 24);
	k.src_ip[14] = (uint8_t)(n >> 16);
	return k;
}

/* n flows from number `first`; every other one labelled, a few of those registered. */
static void fill(struct seen *seen, uint32_t n, uint32_t first)
{
	for (uint32_t i = 0; i < n; i++) {
		struct seen *s = &seen[i];

		*s = (struct seen){
			.key = key_of(first + i),
			.first_utc_us = utc_s * US_PER_S,
			.last_utc_us = utc_s * US_PER_S + 1,
			.packets = 10,
			.bytes = 15000,
			.ip_bytes = 14860,
			.samples = 10,
			.source = 1,
			.direction = DIRECTION_OUT,
		};
		if (i % 2)
			continue;
		s->tag = (struct packet_tag){
			.tag = {(uint16_t)(i % 512), (uint16_t)(i / 512 % 64)},
			.carrier = CARRIER_LABEL,
			.grade = GRADE_UNREGISTERED,
		};
		if (i % 512 == 3 * 2)
			s->tag.tag = CMS, s->tag.grade = GRADE_REGISTERED;
	}
}

static double second(struct join *j, struct bucket *b, const struct seen *seen, size_t n)
{
	int64_t before_ns;

	b->start_utc_s = utc_s++;
	before_ns = cpu_ns();
	if (join_second(j, b, seen, n, NULL, 0))
		die("no memory");
	before_ns = cpu_ns() - before_ns;
	bucket_free(b);
	return (double)before_ns;
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *ns, size_t n)
{
	qsort(ns, n, sizeof(*ns), by_size);
	return ns[n / 2];
}

static struct join *open_join(void)
{
	static struct scitag_set registered;
	const struct join_config cfg = {0};
	struct join *j;

	scitag_set_add(&registered, CMS);
	if (join_open(&j, &cfg, NULL))
		die("no memory");
	join_set_registered(j, &registered);
	return j;
}

/* Known flows again and again. */
static double known(struct join *j, struct seen *seen, uint32_t n)
{
	double ns[RUNS];

	for (int i = 0; i < RUNS; i++) {
		fill(seen, n, 0);
		ns[i] = second(j, bucket_new(0, 0, 0, 0), seen, n) / n;
	}
	return median(ns, RUNS);
}

/* New flows each second. */
static double fresh(struct join *j, struct seen *seen, uint32_t n, uint32_t *first)
{
	double ns[RUNS];

	for (int i = 0; i < RUNS; i++) {
		fill(seen, n, *first);
		*first += n;
		ns[i] = second(j, bucket_new(0, 0, 0, 0), seen, n) / n;
	}
	return median(ns, RUNS);
}

static uint32_t random_u32(void)
{
	static uint64_t state = 88172645463325252ULL; /* xorshift, Marsaglia 2003 */

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

/* The same sightings into the same records, with their places known. */
static double floor_ns(const struct seen *seen, uint32_t n, int is_random)
{
	struct flow_record *records = calloc(FLOWS, sizeof(*records));
	uint32_t *order = malloc(n * sizeof(*order));
	double ns[RUNS];

	if (!records || !order)
		die("no memory");
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n - 1; is_random && i > 0; i--) {
		const uint32_t other = random_u32() % (i + 1), swap = order[i];

		order[i] = order[other];
		order[other] = swap;
	}
	for (int run = 0; run < RUNS + 1; run++) { /* the first maps the pages */
		int64_t before_ns = cpu_ns();

		for (uint32_t i = 0; i < n; i++) {
			struct flow_record *r = &records[order[i]];
			const struct seen *s = &seen[i];

			r->key = s->key;
			r->way[0].packets += s->packets;
			r->way[0].bytes += s->bytes;
			r->way[0].ip_bytes += s->ip_bytes;
			r->way[0].samples += s->samples;
			r->way[0].last_utc_us = r->last_utc_us = s->last_utc_us;
			r->touched_s = (uint32_t)run;
			__asm__ volatile("" ::: "memory");
		}
		if (run)
			ns[run - 1] = (double)(cpu_ns() - before_ns) / n;
	}
	free(records);
	free(order);
	return median(ns, RUNS);
}

static void say(const char *what, double ns, double floor, double floor_random)
{
	printf("%-58s %6.0f ns; %4.1f x the array in order, %4.1f x at random\n", what, ns,
	       ns / floor, ns / floor_random);
}

static void bench_claims(struct seen *seen)
{
	struct join *j = open_join();
	struct heard *heard = calloc(CLAIMS, sizeof(*heard));
	double ns[RUNS], heard_ns;

	if (!heard)
		die("no memory");
	fill(seen, CLAIMS, 0);
	for (uint32_t i = 0; i < CLAIMS; i++) {
		heard[i] = (struct heard){
			.firefly = {.state = FIREFLY_START,
				    .producer = FIREFLY_FLOWD_GO,
				    .key = seen[i].key,
				    .tag = CMS,
				    .header_utc_us = utc_s * US_PER_S,
				    .current_utc_us = utc_s * US_PER_S,
				    .start_utc_us = utc_s * US_PER_S,
				    .end_utc_us = FIREFLY_TIME_UNKNOWN,
				    .src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
				    .dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
				    .rtt_us = FIREFLY_RTT_UNSAID},
			.heard_utc_us = utc_s * US_PER_S,
		};
		memcpy(heard[i].sender_ip, seen[i].key.src_ip, 16);
	}
	heard_ns = (double)cpu_ns();
	struct bucket *b = bucket_new(utc_s++, 0, 0, 0);

	join_second(j, b, NULL, 0, heard, CLAIMS);
	bucket_free(b);
	heard_ns = ((double)cpu_ns() - heard_ns) / CLAIMS;
	for (int i = 0; i < RUNS; i++) {
		uint32_t n_rows = 0;

		fill(seen, CLAIMS, 0);
		b = bucket_new(0, 1 + 512 * 64, 0, 0);
		for (uint32_t row = 0; row < 512 * 64; row++) /* a row for each tag */
			b->rows[n_rows++] =
				(struct traffic_row){.key = {.source = 1,
							     .direction = DIRECTION_OUT,
							     .family = 6,
							     .carrier = CARRIER_LABEL,
							     .grade = GRADE_UNREGISTERED,
							     .experiment = (int32_t)(row / 64),
							     .activity = (int32_t)(row % 64)},
						     .value = {.packets = 1000,
							       .bytes = 1500000,
							       .ip_bytes = 1486000,
							       .samples = 1000,
							       .codes = 1}};
		b->rows[n_rows] = (struct traffic_row){
			.key = {.source = 1, .direction = DIRECTION_OUT, .family = 6},
			.value = {.packets = 10000000,
				  .bytes = 15000000000,
				  .ip_bytes = 14860000000,
				  .samples = 10000000,
				  .codes = 1}};
		ns[i] = second(j, b, seen, CLAIMS) / CLAIMS;
	}
	printf("%-58s %6.0f ns\n", "a firefly that makes a claim", heard_ns);
	printf("%-58s %6.0f ns\n", "a known flow with a claim, regraded among 32,769 rows",
	       median(ns, RUNS));
	free(heard);
	join_close(j);
}

int main(void)
{
	struct seen *seen = calloc(FLOOD, sizeof(*seen));
	struct join *j = open_join();
	uint32_t first = 0, tenth = FLOWS / 10;
	double floor[2], floor_random[2], ns, empty_ns[RUNS];
	struct join_status st;
	struct flow_view *views = calloc(100, sizeof(*views));
	struct flow_question q = {.now_utc_us = T0 * US_PER_S};
	size_t matching;

	if (!seen || !views)
		die("no memory");
	fill(seen, FLOWS, 0);
	floor[0] = floor_ns(seen, tenth, 0);
	floor_random[0] = floor_ns(seen, tenth, 1);
	floor[1] = floor_ns(seen, FLOWS, 0);
	floor_random[1] = floor_ns(seen, FLOWS, 1);
	printf("the floor, %zu bytes a record: %.0f ns in order, %.0f at random; of ten per cent: "
	       "%.0f, %.0f\n",
	       sizeof(struct flow_record), floor[1], floor_random[1], floor[0], floor_random[0]);

	for (int i = 0; i < RUNS; i++) { /* each into a table of its own */
		fill(seen, tenth, 0);
		empty_ns[i] = second(j, bucket_new(0, 0, 0, 0), seen, tenth) / tenth;
		if (i < RUNS - 1) {
			join_close(j);
			j = open_join();
		}
	}
	say("a new flow, up to ten per cent full", median(empty_ns, RUNS), floor[0],
	    floor_random[0]);
	say("a known flow, ten per cent full", known(j, seen, tenth), floor[0], floor_random[0]);
	first = FLOWS;
	fill(seen, FLOWS, 0);
	second(j, bucket_new(0, 0, 0, 0), seen, FLOWS);
	say("a known flow, full", known(j, seen, FLOWS), floor[1], floor_random[1]);
	join_status(j, &st);
	if (st.flows != FLOWS)
		die("the table is not full");
	say("a new flow, full: another one leaves", fresh(j, seen, tenth, &first), floor[1],
	    floor_random[1]);
	ns = fresh(j, seen, FLOOD, &first);
	say("a new flow in a second with a million of them", ns, floor[1], floor_random[1]);
	printf("%-58s %6.2f s\n", "such a second takes", ns * FLOOD / 1e9);
	ns = (double)cpu_ns();
	join_flows(j, &q, views, 100, &matching);
	printf("%-58s %6.1f ms\n", "the hundred largest of 262,144 flows, asked",
	       ((double)cpu_ns() - ns) / 1e6);
	join_status(j, &st);
	printf("memory: %.0f MB used of %.0f MB reserved; %llu flows begun, %llu evicted\n",
	       (double)st.memory_bytes / 1e6, (double)st.memory_max_bytes / 1e6,
	       (unsigned long long)st.flows_begun, (unsigned long long)st.flows_evicted);
	join_close(j);
	bench_claims(seen);
	free(seen);
	free(views);
	return 0;
}
