/* scitag replay: a capture again, at its own pace. Its sFlow and fireflies to a collector, or its
 * frames onto an interface. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/replay.h"
#include "firefly/firefly.h"
#include "observer/capture.h"
#include "sflow/sflow.h"

#define FRAME_MAX_BYTES 65536
#define BEHIND_MAX_NS   NS_PER_S /* later than that, the delay is accepted and not made up for */

struct replay_config {
	struct cli_common common;
	char *to, *interface, *speed_text;
	int64_t rate, count, port;
	uint64_t duration_s;
	int loop, now;
	double speed; /* 0: as fast as it goes */
};

struct replay {
	struct replay_config cfg;
	struct capture *capture;
	struct replay_sflow *sflow;
	int fd;
	int64_t start_mono_ns;             /* of everything */
	int64_t pass_mono_ns;              /* when this pass began */
	int64_t shift_s;                   /* --now, in this pass */
	int64_t first_utc_us, last_utc_us; /* of the recording; CLOCK_NEVER: nothing yet */
	uint64_t pass_frames;              /* sent in this pass */
	uint64_t frames, bytes;            /* sent */
	uint64_t passed_over, refused, too_long;
	int64_t behind_ns; /* at the worst */
	int err;           /* of the socket: ends it all */
	uint8_t frame[FRAME_MAX_BYTES];
};

static const char *check_speed(const char *text)
{
	char *end;
	double speed = strtod(text, &end);

	return end == text || *end || speed < 0 || speed > 1e6
		       ? "expected a factor such as 1, 0.5 or 10; 0 is as fast as it goes"
		       : NULL;
}

#define AT(member) offsetof(struct replay_config, member)
static const struct opt options[] = {
	CLI_OPT_HELP,
	{.name = "to",
	 .type = OPT_TEXT,
	 .offset = AT(to),
	 .arg = "HOST:PORT",
	 .help = "Send the sFlow datagrams and fireflies of the capture here."},
	{.name = "interface",
	 .letter = 'i',
	 .type = OPT_TEXT,
	 .offset = AT(interface),
	 .arg = "IFACE",
	 .help = "Send the frames out of this interface; what the capture cut off is filled up "
		 "with "
		 "zeros. Needs CAP_NET_RAW."},
	{.name = "port",
	 .letter = 'p',
	 .type = OPT_INT,
	 .offset = AT(port),
	 .max = 65535,
	 .arg = "PORT",
	 .help = "With --to: take the datagrams to this port, instead of 6343 and 10514."},
	{.name = "rate",
	 .letter = 'r',
	 .type = OPT_INT,
	 .offset = AT(rate),
	 .max = 100000000,
	 .arg = "N",
	 .help = "Send N a second, instead of when they were recorded."},
	{.name = "speed",
	 .letter = 'x',
	 .type = OPT_TEXT,
	 .offset = AT(speed_text),
	 .default_text = "1",
	 .validate = check_speed,
	 .arg = "FACTOR",
	 .help = "Go so many times faster than recorded; 0: as fast as it goes."},
	{.name = "loop",
	 .letter = 'l',
	 .type = OPT_VERB,
	 .offset = AT(loop),
	 .help = "Begin again at the end, until Ctrl-C, --count or --duration."},
	{.name = "now",
	 .type = OPT_VERB,
	 .offset = AT(now),
	 .help = "Move the times in fireflies to the present, and let the counters of sFlow agents "
		 "grow across loops. Without it, bytes are sent as they were recorded."},
	{.name = "count",
	 .letter = 'c',
	 .type = OPT_INT,
	 .offset = AT(count),
	 .max = INT64_MAX,
	 .arg = "N",
	 .help = "Stop after so many."},
	{.name = "duration",
	 .letter = 'd',
	 .type = OPT_DURATION,
	 .offset = AT(duration_s),
	 .arg = "TIME",
	 .help = "Stop after this long."},
	OPT_END,
};
const struct opt_program replay_program = {
	.name = "scitag replay",
	.synopsis = "FILE --to HOST:PORT | -i IFACE [--rate N | --speed FACTOR] [--loop] [--now]",
	.summary = "Send a capture again: its sFlow and fireflies, or its frames",
	.opts = options,
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

/* --- when ------------------------------------------------------------------------------------------ */

static int is_over(const struct replay *r)
{
	if (stopped || r->err)
		return 1;
	if (r->cfg.count && r->frames >= (uint64_t)r->cfg.count)
		return 1;
	return r->cfg.duration_s &&
	       clock_mono_ns() - r->start_mono_ns >= (int64_t)r->cfg.duration_s * NS_PER_S;
}

static void sleep_until(int64_t mono_ns)
{
	const struct timespec until = {.tv_sec = mono_ns / NS_PER_S, .tv_nsec = mono_ns % NS_PER_S};

	while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static void wait_for(struct replay *r, int64_t utc_us)
{
	int64_t due_ns = r->pass_mono_ns, now_ns, end_ns;

	if (r->cfg.rate)
		due_ns += (int64_t)((double)r->pass_frames * NS_PER_S / (double)r->cfg.rate);
	else if (r->cfg.speed > 0)
		due_ns += (int64_t)((double)(utc_us - r->first_utc_us) * 1000 / r->cfg.speed);
	else
		return;
	now_ns = clock_mono_ns();
	if (now_ns < due_ns) {
		end_ns = r->start_mono_ns + (int64_t)r->cfg.duration_s * NS_PER_S;
		sleep_until(r->cfg.duration_s && end_ns < due_ns ? end_ns : due_ns);
		return;
	}
	if (now_ns - due_ns > r->behind_ns)
		r->behind_ns = now_ns - due_ns;
	if (now_ns - due_ns > BEHIND_MAX_NS)
		r->pass_mono_ns += now_ns - due_ns;
}

/* --- what ------------------------------------------------------------------------------------------- */

/* The payload of a datagram that is asked for, when the capture holds all of it. */
static const uint8_t *payload_of(const struct replay *r, const struct capture_frame *f,
				 uint32_t *len_bytes)
{
	uint16_t port;
	const uint8_t *payload = capture_datagram(r->capture, f, &port, len_bytes);

	if (!payload)
		return NULL;
	if (r->cfg.port)
		return port == r->cfg.port ? payload : NULL;
	return port == SFLOW_PORT || port == FIREFLY_PORT ? payload : NULL;
}

/* What is to be sent for a frame, in r->frame; its length, or 0: nothing. */
static uint32_t prepare(struct replay *r, const struct capture_frame *f)
{
	const uint8_t *payload;
	uint32_t n = 0;

	if (r->cfg.interface) {
		n = f->frame_bytes < FRAME_MAX_BYTES ? f->frame_bytes : FRAME_MAX_BYTES;
		memcpy(r->frame, f->bytes, f->captured_bytes < n ? f->captured_bytes : n);
		if (f->captured_bytes < n)
			memset(r->frame + f->captured_bytes, 0, n - f->captured_bytes);
		return n;
	}
	payload = payload_of(r, f, &n);
	if (!payload)
		return 0;
	memcpy(r->frame, payload, n);
	if (r->cfg.now && n >= 4 && wire_be32(payload) == 5)
		replay_sflow_rewrite(r->sflow, r->frame, n, f->utc_us - r->first_utc_us);
	else if (r->cfg.now)
		replay_shift_times(r->frame, n, r->shift_s);
	return n;
}

static void send_one(struct replay *r, uint32_t len_bytes)
{
	ssize_t n = send(r->fd, r->frame, len_bytes, 0);

	/* nobody listened to an earlier one: the kernel says so instead of sending this one */
	if (n < 0 && errno == ECONNREFUSED) {
		r->refused++;
		n = send(r->fd, r->frame, len_bytes, 0);
	}
	while (n < 0 && errno == ENOBUFS && !stopped) {
		sleep_until(clock_mono_ns() + NS_PER_S / 1000);
		n = send(r->fd, r->frame, len_bytes, 0);
	}
	if (n >= 0) {
		r->frames++;
		r->bytes += len_bytes;
	} else if (errno == EMSGSIZE) {
		r->too_long++;
	} else if (errno != EINTR && errno != ECONNREFUSED) {
		r->err = -errno;
	}
	r->pass_frames++;
}

static void on_frame(void *arg, const struct capture_frame *f)
{
	struct replay *r = arg;
	uint32_t len_bytes;

	if (is_over(r))
		return;
	if (r->first_utc_us == CLOCK_NEVER) {
		r->first_utc_us = r->last_utc_us = f->utc_us;
		r->shift_s = (clock_utc_us() - f->utc_us) / US_PER_S;
	}
	if (f->utc_us > r->last_utc_us)
		r->last_utc_us = f->utc_us;
	len_bytes = prepare(r, f);
	if (len_bytes == 0) {
		r->passed_over++;
		return;
	}
	wait_for(r, f->utc_us);
	if (!is_over(r))
		send_one(r, len_bytes);
}

/* --- where to ----------------------------------------------------------------------------------------- */

static int open_socket(struct replay *r)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	char *host = r->cfg.to, *colon = strrchr(host, ':');
	struct addrinfo *list;
	int buffer_bytes = 4 << 20, err;

	if (!colon || colon == host)
		return cli_usage(&replay_program,
				 "--to: expected HOST:PORT, for instance [::1]:6343");
	*colon = '\0';
	if (*host == '[' && colon[-1] == ']') {
		host++;
		colon[-1] = '\0';
	}
	err = getaddrinfo(host, colon + 1, &hints, &list);
	if (err)
		return cli_fail(CLI_FAILED, "%s, port %s: %s", host, colon + 1, gai_strerror(err));
	r->fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	err = r->fd < 0 || connect(r->fd, list->ai_addr, list->ai_addrlen) ? -errno : 0;
	freeaddrinfo(list);
	if (err)
		return cli_fail(cli_exit_of(err), "%s: %s", host, strerror(-err));
	setsockopt(r->fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
	return -1;
}

static int open_interface(struct replay *r)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	int err;

	address.sll_ifindex = (int)if_nametoindex(r->cfg.interface);
	if (!address.sll_ifindex)
		return cli_fail(CLI_FAILED, "there is no interface '%s'", r->cfg.interface);
	r->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: nothing comes in */
	err = r->fd < 0 || bind(r->fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	if (err)
		return cli_fail(cli_exit_of(err), "%s: %s", r->cfg.interface,
				err == -EPERM ? "sending frames needs CAP_NET_RAW"
					      : strerror(-err));
	return -1;
}

static int open_file(struct replay *r, const char *path)
{
	char why[512];
	int err = capture_open_file(&r->capture, path, why, sizeof(why));

	if (err)
		return cli_fail(cli_exit_of(err), "%s: %s", path, why);
	if (r->cfg.interface && capture_packet_link(r->capture) != PACKET_LINK_ETHERNET)
		return cli_fail(CLI_FAILED, "%s holds no Ethernet frames", path);
	return -1;
}

/* --- all of it ------------------------------------------------------------------------------------------ */

/* The recording took from its first frame to its last, and then as long as from one to the next. */
static int64_t pass_us(const struct replay *r)
{
	int64_t span_us = r->last_utc_us - r->first_utc_us;

	return r->pass_frames > 1 ? span_us + span_us / (int64_t)(r->pass_frames - 1) : span_us;
}

static void begin_pass(struct replay *r)
{
	int64_t took_us = pass_us(r), now_ns = clock_mono_ns();

	if (r->cfg.rate)
		r->pass_mono_ns +=
			(int64_t)((double)r->pass_frames * NS_PER_S / (double)r->cfg.rate);
	else if (r->cfg.speed > 0)
		r->pass_mono_ns += (int64_t)((double)took_us * 1000 / r->cfg.speed);
	else
		r->pass_mono_ns = now_ns;
	r->shift_s =
		(clock_utc_us() + (r->pass_mono_ns - now_ns) / 1000 - r->first_utc_us) / US_PER_S;
	replay_sflow_again(r->sflow, took_us);
	r->pass_frames = 0;
}

/* One pass over the file; 0, or -EBADMSG: it is damaged. */
static int play(struct replay *r)
{
	int n;

	do
		n = capture_drain(r->capture, 0, on_frame, r);
	while (n > 0 && !is_over(r));
	return n < 0 ? n : 0;
}

static int report(const struct replay *r, const char *path, int err)
{
	double took_s = (double)(clock_mono_ns() - r->start_mono_ns) / NS_PER_S;
	char bytes[32], rate[32];

	fprintf(stderr, "%llu %s, %s in %.1f s (%s)", (unsigned long long)r->frames,
		r->cfg.interface ? "frames" : "datagrams",
		cli_si(bytes, sizeof(bytes), (double)r->bytes, "B"), took_s,
		cli_si(rate, sizeof(rate), took_s > 0 ? (double)r->bytes * 8 / took_s : 0, "b/s"));
	if (r->passed_over)
		fprintf(stderr, ", %llu frames passed over", (unsigned long long)r->passed_over);
	if (r->refused)
		fprintf(stderr, ", at least %llu refused: nobody listens",
			(unsigned long long)r->refused);
	if (r->too_long)
		fprintf(stderr, ", %llu too long for the way", (unsigned long long)r->too_long);
	if (r->behind_ns > NS_PER_S / 10)
		fprintf(stderr, ", up to %.1f s late", (double)r->behind_ns / NS_PER_S);
	fputc('\n', stderr);
	if (r->err)
		return cli_fail(cli_exit_of(r->err), "%s: %s",
				r->cfg.interface ? r->cfg.interface : r->cfg.to, strerror(-r->err));
	if (err)
		return cli_fail(CLI_INCOMPLETE, "%s: %s", path, capture_damage(r->capture));
	if (r->frames == 0 && !stopped)
		return cli_fail(CLI_FAILED, "%s holds nothing to send", path);
	return r->refused || r->too_long ? CLI_INCOMPLETE : CLI_OK;
}

static int run(struct replay *r, const char *path)
{
	struct sigaction act = {.sa_handler = on_signal};
	int err, code;

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	r->start_mono_ns = r->pass_mono_ns = clock_mono_ns();
	for (;;) {
		err = play(r);
		if (err || !r->cfg.loop || is_over(r) || r->pass_frames == 0)
			break;
		begin_pass(r);
		capture_close(r->capture);
		r->capture = NULL;
		code = open_file(r, path);
		if (code >= 0)
			return code;
	}
	return report(r, path, err);
}

static int check(struct replay *r, int argc, char **argv, int rest)
{
	struct replay_config *cfg = &r->cfg;

	if (rest != argc - 1)
		return cli_usage(&replay_program, "expected one FILE");
	if (!cfg->to == !cfg->interface)
		return cli_usage(&replay_program, "expected --to HOST:PORT or -i IFACE");
	if (cfg->interface && (cfg->now || cfg->port))
		return cli_usage(&replay_program, "--now and --port go with --to only");
	if (cfg->loop && strcmp(argv[rest], "-") == 0)
		return cli_usage(&replay_program, "standard input cannot be played again");
	cfg->speed = strtod(cfg->speed_text, NULL);
	r->sflow = replay_sflow_open();
	return r->sflow ? -1 : cli_fail(CLI_FAILED, "out of memory");
}

int verb_replay(int argc, char **argv)
{
	struct replay *r = calloc(1, sizeof(*r));
	int rest, code;

	if (!r)
		return cli_fail(CLI_FAILED, "out of memory");
	r->fd = -1;
	r->first_utc_us = r->last_utc_us = CLOCK_NEVER;
	code = cli_args(&replay_program, &r->cfg, argc, argv, &rest);
	if (code < 0)
		code = check(r, argc, argv, rest);
	if (code < 0)
		code = open_file(r, argv[rest]);
	if (code < 0)
		code = r->cfg.interface ? open_interface(r) : open_socket(r);
	if (code < 0)
		code = run(r, argv[rest]);
	if (r->fd >= 0)
		close(r->fd);
	capture_close(r->capture);
	replay_sflow_close(r->sflow);
	opt_free(&replay_program, &r->cfg);
	free(r);
	return code;
}
