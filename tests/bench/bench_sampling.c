/* Are flows estimated from the tap's samples as well as the error that is printed with them says?
 *
 * The tap is fed by BPF_PROG_TEST_RUN with frames of eight flows in turns, so that the truth of each is known, twice as
 * fast as its reader is let to read: the ring fills up, and the kernel lowers the rate by itself. Each run is one view of
 * a moment; a flow's estimate is the sum of its samples' weights, and its error 1.96 times the root of the
 * sum of weight * (weight - 1). SAMPLING_RUNS (200) runs. Root. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <math.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "xdp/tap.h"

#define FLOWS        8
#define TURNS        40   /* of all flows, a run */
#define REPEAT       1000 /* frames a turn of the smallest flow; flow f sends f + 1 times as many */
#define READ_PER_S   100000
#define WANTED_PER_S (2 * READ_PER_S)
#define RING_BYTES   (4u << 20)
#define WARM_UP      5  /* runs that only find the rate */
#define TOO_FEW      10 /* samples: then nothing is said of a flow, on the page neither */

struct run {
	double packets[FLOWS], variance[FLOWS];
	unsigned int samples[FLOWS];
};
static struct run run;
static atomic_int feeding;
static int program_fd;

static unsigned int flow_of(const uint8_t *frame)
{
	return frame[55] & (FLOWS - 1); /* low byte of the source port */
}

static void on_sample(void *arg, const struct tap_meta *meta, const uint8_t *bytes)
{
	const unsigned int f = flow_of(bytes);
	const double w = meta->weight;

	(void)arg;
	run.packets[f] += w;
	run.variance[f] += w * (w - 1);
	run.samples[f]++;
}

/* Ethernet, IPv6 with the label of experiment 2, UDP. */
static void make_frame(uint8_t f[70], unsigned int flow)
{
	memset(f, 0, 70);
	f[12] = 0x86;
	f[13] = 0xDD;
	f[14] = 0x60;
	f[15] = 1;
	f[17] = 0x10;
	f[19] = 16;
	f[20] = 17;
	f[21] = 64;
	f[22] = f[38] = 0x20;
	f[23] = f[39] = 0x01;
	f[24] = f[40] = 0x0d;
	f[25] = f[41] = 0xb8;
	f[37] = 1;
	f[53] = 2;
	f[54] = 0x10;
	f[55] = (uint8_t)flow;
	f[57] = 80;
	f[59] = 16;
}

static void *feed(void *arg)
{
	uint8_t frame[70];

	for (int turn = 0; turn < TURNS; turn++) {
		for (unsigned int f = 0; f < FLOWS; f++) {
			LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = 70,
				    .repeat = (int)(REPEAT * (f + 1)));

			make_frame(frame, f);
			if (bpf_prog_test_run_opts(program_fd, &opts))
				perror("test run");
		}
	}
	atomic_store(&feeding, 0);
	return arg;
}

/* A reader that manages READ_PER_S and no more. */
static void read_slowly(struct tap *t)
{
	const int n = tap_samples(t, 0, on_sample, NULL);
	const int64_t wait_ns = n > 0 ? n * (NS_PER_S / READ_PER_S) : NS_PER_S / 1000;

	nanosleep(&(struct timespec){.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S},
		  NULL);
}

static int attached_program(const char *interface)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	if (bpf_xdp_query((int)if_nametoindex(interface), 0, &query) || !query.prog_id)
		return -1;
	return bpf_prog_get_fd_by_id(query.prog_id);
}

/* One view of a moment. */
static void view(struct tap *t, unsigned int inside[FLOWS], double error_sum[FLOWS],
		 unsigned int said[FLOWS])
{
	pthread_t feeder;

	memset(&run, 0, sizeof(run));
	atomic_store(&feeding, 1);
	if (pthread_create(&feeder, NULL, feed, NULL))
		abort();
	while (atomic_load(&feeding))
		read_slowly(t);
	pthread_join(feeder, NULL);
	while (tap_samples(t, 0, on_sample, NULL) > 0)
		;
	for (unsigned int f = 0; f < FLOWS; f++) {
		const double truth = (double)TURNS * REPEAT * (f + 1);
		const double error = 1.96 * sqrt(run.variance[f]);

		if (run.samples[f] < TOO_FEW)
			continue;
		said[f]++;
		inside[f] += fabs(run.packets[f] - truth) <= error;
		error_sum[f] += error / truth;
	}
}

int main(void)
{
	const char *text = getenv("SAMPLING_RUNS");
	const int runs = text ? atoi(text) : 200;
	struct tap_config cfg = {.interface = "samplea",
				 .mirror = 1,
				 .samples_per_s = WANTED_PER_S,
				 .ring_bytes = RING_BYTES};
	unsigned int inside[FLOWS] = {0}, said[FLOWS] = {0}, all_inside = 0, all_said = 0;
	double error_sum[FLOWS] = {0}, share;
	struct tap_health health;
	struct tap *t;
	char why[256] = "";

	log_open(LOG_LEVEL_ERROR, 0);
	if (unshare(CLONE_NEWNET) || system("ip link add samplea type veth peer name sampleb") ||
	    tap_open(&t, &cfg, why, sizeof(why))) {
		fprintf(stderr, "needs root: %s\n", why);
		return 1;
	}
	program_fd = attached_program("samplea");
	for (int n = 0; n < WARM_UP; n++)
		view(t, inside, error_sum, said);
	memset(inside, 0, sizeof(inside));
	memset(said, 0, sizeof(said));
	memset(error_sum, 0, sizeof(error_sum));
	for (int n = 0; n < runs; n++)
		view(t, inside, error_sum, said);
	tap_health(t, &health);
	tap_close(t);
	for (unsigned int f = 0; f < FLOWS; f++) {
		printf("flow of %6u packets: error %4.1f %%, held in %u of %u runs\n",
		       TURNS * REPEAT * (f + 1), 100 * error_sum[f] / said[f], inside[f], said[f]);
		all_inside += inside[f];
		all_said += said[f];
	}
	share = 100.0 * all_inside / all_said;
	printf("all: %.1f %% of %u estimates within their error (promised 95), %d with too few "
	       "samples; %llu "
	       "samples lost, one in %u at the end\n",
	       share, all_said, runs * FLOWS - (int)all_said,
	       (unsigned long long)health.lost_samples, health.sample_one_in);
	/* chance alone puts it this far below once in a million times */
	return share < 95 - 4.8 * 100 * sqrt(0.95 * 0.05 / all_said);
}
