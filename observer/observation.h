/* The one record that flows from every wire source: a packet was seen, or a sample that stands for
 * `weight` packets. Plain data; no owner, no pointers. */
#ifndef OBSERVER_OBSERVATION_H
#define OBSERVER_OBSERVATION_H

#include <stdint.h>
#include "store/store.h"
#include "wire/packet.h"

struct observation {
	int64_t utc_us;
	struct flow_key key;
	uint32_t frame_bytes; /* on the wire, as its source counts (sFlow: frame_length) */
	uint32_t ip_bytes;
	uint32_t weight; /* packets it stands for; 1 unsampled */
	uint32_t label;
	uint16_t source; /* store_source_id */
	uint16_t packet_flags;
	uint8_t direction; /* enum direction */
	uint8_t verdict;   /* enum packet_verdict */
	uint8_t tcp_flags;
	uint8_t label_hidden;  /* IPv6, but its source shows no label (sampled_ipv6) */
	struct packet_tag tag; /* grade before any join */
};

/* Fill the packet's part of an observation: parse, tag, sizes. utc_us, weight, source, direction and
 * frame_bytes are the caller's; frame_bytes, if it is set before the call, bounds ip_bytes and stands in
 * for a length that the IP header does not say. Label and tag stay empty unless the verdict, which is
 * returned, is PACKET_OK. */
enum packet_verdict observation_from_packet(struct observation *o, const uint8_t *bytes,
					    uint32_t len_bytes, enum packet_link link,
					    const struct scitag_set *registered);

/* Whether it is counted as traffic: IP, or a whole frame of something else, which fills the link too
 * (family 0, untagged). The rest is rejected by its verdict. */
static inline int observation_is_traffic(const struct observation *o)
{
	return o->verdict == PACKET_OK || o->verdict == PACKET_NOT_IP;
}

/* The cell it belongs to. */
static inline struct traffic_key observation_key(const struct observation *o)
{
	return (struct traffic_key){
		.source = o->source,
		.direction = o->direction,
		.family = o->key.family,
		.carrier = o->tag.carrier,
		.grade = o->tag.grade,
		.experiment = o->tag.tag.experiment,
		.activity = o->tag.tag.activity,
	};
}

#endif
