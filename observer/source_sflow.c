/* sFlow from a UDP socket: the thread's side of observer/sflow_input.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "observer/sflow_input.h"

struct sflow_source {
	struct udp *udp;
	struct sflow_input *input;
	int err; /* of the newest drain */
};

static void on_datagram(void *arg, const struct udp_datagram *d)
{
	struct sflow_source *s = arg;

	sflow_input_add(s->input, d);
}

static int sflow_source_drain(void *self, int wait_ms)
{
	struct sflow_source *s = self;

	int n;

	sflow_input_turn(s->input, clock_utc_us());
	n = udp_drain(s->udp, wait_ms, on_datagram, s);
	s->err = n < 0 ? n : 0;
	return n;
}

static void sflow_source_take(void *self, struct source_second *out)
{
	struct sflow_source *s = self;
	char detail[64];

	if (s->err)
		snprintf(detail, sizeof(detail), "%s", strerror(-s->err));
	else
		snprintf(detail, sizeof(detail), "%llu MiB buffer",
			 (unsigned long long)udp_buffer_bytes(s->udp) >> 20);
	sflow_input_turn(s->input, clock_utc_us());
	sflow_input_take(s->input, udp_dropped(s->udp), detail, out);
	if (out->n_statuses)
		out->statuses->up = !s->err;
}

static void sflow_source_close(void *self)
{
	struct sflow_source *s = self;

	udp_close(s->udp);
	sflow_input_close(s->input);
	free(s);
}

int source_sflow_open(struct source **out, const struct source_context *ctx, const char *listen)
{
	static const struct source_ops ops = {.drain = sflow_source_drain,
					      .take = sflow_source_take,
					      .close = sflow_source_close};
	struct sflow_source *s = calloc(1, sizeof(*s));
	char name[64];
	int err;

	if (!s)
		return log_fail(-ENOMEM, "sflow", "listen on %s", listen);
	err = udp_open(&s->udp, "sflow", listen);
	if (err)
		goto fail;
	snprintf(name, sizeof(name), "sflow:%s", udp_name(s->udp));
	err = sflow_input_open(&s->input, ctx, name);
	if (err) {
		log_fail(err, "sflow", "%s", name);
		goto fail;
	}
	err = source_start(out, &ops, s, name);
	if (!err)
		return 0;
fail:
	sflow_source_close(s);
	return err;
}
