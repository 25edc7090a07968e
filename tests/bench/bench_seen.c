/* What following flows costs a packet: parsed and counted in its cell, as source_pcap and source_afxdp do, and the
 * same with its flow noted (observer/seen.c), by the number of flows in a second, each packet of another flow by
 * chance. A million packets are a second; the median of nine, the two taking turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "observer/aggregate.h"
#include "observer/seen.h"

#define PACKETS 1000000
#define ROUNDS  9

/* Ethernet, IPv6 with label 0x48044 (2/17), TCP 1094 > 40000, ACK, 1440 bytes of data */
static const uint8_t frame[74] = {
	0x02, 0,    0,    0,    0,    2, 0x02, 0,    0,    0,    0,    1,    0x86, 0xdd, 0x60,
	0x04, 0x80, 0x44, 0x05, 0xb4, 6, 64,   0x20, 0x01, 0x0d, 0xb8, 0,    0,    0,    0,
	0,    0,    0,    0,    0,    0, 0,    1,    0x20, 0x01, 0x0d, 0xb8, 0,    0,    0,
	0,    0,    0,    0,    0,    0, 0,    0,    2,    0x04, 0x46, 0x9c, 0x40, 0,    0,
	0,    0,    0,    0,    0,    0, 0x50, 0x10, 0x20, 0,    0,    0,    0,    0};

static uint32_t flows[PACKETS];

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU nanoseconds a packet of one second, its end included. */
static double second_ns(struct aggregate *a, struct seen_table *seen, const struct scitag_set *set)
{
	static struct traffic_row rows[SCITAG_CODES];
	const double start = cpu_s();
	uint8_t bytes[sizeof(frame)];
	struct seen *taken;

	memcpy(bytes, frame, sizeof(bytes));
	for (size_t i = 0; i < PACKETS; i++) {
		struct observation o = {.frame_bytes = 1514, .weight = 1, .source = 1};

		memcpy(bytes + 14 + 8 + 12, &flows[i], sizeof(flows[i]));
		observation_from_packet(&o, bytes, sizeof(bytes), PACKET_LINK_ETHERNET, set);
		if (!observation_is_traffic(&o))
			continue;
		aggregate_add(a, &o);
		if (seen && o.verdict == PACKET_OK)
			seen_add(seen, &o);
	}
	aggregate_take(a, rows);
	if (seen) {
		seen_take(seen, &taken);
		free(taken);
	}
	return (cpu_s() - start) * 1e9 / PACKETS;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(*values), by_value);
	return values[ROUNDS / 2];
}

static void measure(uint32_t n_flows, uint32_t train, const char *what)
{
	struct aggregate *a = aggregate_open(STORE_UNREGISTERED_ROWS);
	struct seen_table *seen = seen_open(SEEN_MAX);
	struct scitag_set set = {0};
	double without[ROUNDS], with[ROUNDS], w, x;

	scitag_set_add(&set, (struct scitag){2, 17});
	srand48(1);
	for (size_t i = 0; i < PACKETS; i++)
		flows[i] = i % train ? flows[i - 1] : (uint32_t)(drand48() * n_flows);
	for (int round = 0; round < ROUNDS; round++) {
		without[round] = second_ns(a, NULL, &set);
		with[round] = second_ns(a, seen, &set);
	}
	w = median(without);
	x = median(with);
	printf("%7u flows%s: counted %.1f ns a packet, followed too %.1f ns: %.1f ns more (x "
	       "%.2f)\n",
	       n_flows, what, w, x, x - w, x / w);
	aggregate_close(a);
	seen_close(seen);
}

int main(void)
{
	static const uint32_t numbers[] = {1, 100, 10000, 60000, 500000};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		measure(numbers[i], 1, "");
	measure(10000, 8, " in trains of 8");
	measure(60000, 8, " in trains of 8");
	return 0;
}
