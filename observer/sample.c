#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "observer/sample.h"

void sample_agent_name(char *buf, size_t cap_bytes, const struct sflow_datagram *d)
{
	char address[INET6_ADDRSTRLEN] = "?";

	if (d->agent_family == 4)
		inet_ntop(AF_INET, d->agent_ip + 12, address, sizeof(address));
	else
		inet_ntop(AF_INET6, d->agent_ip, address, sizeof(address));
	if (d->sub_agent)
		snprintf(buf, cap_bytes, "sflow:%s/%u", address, d->sub_agent);
	else
		snprintf(buf, cap_bytes, "sflow:%s", address);
}

/* Beyond what agents can be set to, and what hosts send: one damaged word must not outweigh a year. */
#define RATE_MAX        (1u << 24)
#define FRAME_MAX_BYTES (1u << 20)

int observation_from_sample(struct observation *o, const struct sflow_sample *s,
			    const struct scitag_set *registered)
{
	if (s->rate > RATE_MAX || s->frame_bytes > FRAME_MAX_BYTES)
		return -ERANGE;
	o->weight = s->rate ? s->rate : 1;
	o->frame_bytes = s->frame_bytes;
	if (s->header_link) {
		observation_from_packet(o, s->header, s->header_bytes,
					(enum packet_link)s->header_link, registered);
		return 0;
	}
	if (!s->has_key)
		return -EPROTONOSUPPORT;
	/* addresses and ports without the packet: the flow label is not among them */
	o->key = s->key;
	o->tcp_flags = s->key_tcp_flags;
	o->ip_bytes = s->key_ip_bytes;
	o->label_hidden = s->key.family == 6;
	o->verdict = PACKET_OK;
	return 0;
}
