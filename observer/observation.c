#include "observer/observation.h"

enum packet_verdict observation_from_packet(struct observation *o, const uint8_t *bytes,
					    uint32_t len_bytes, enum packet_link link,
					    const struct scitag_set *registered)
{
	struct packet p;
	enum packet_verdict verdict = packet_parse(&p, bytes, len_bytes, link);

	o->key = p.key;
	o->verdict = (uint8_t)verdict;
	o->packet_flags = p.flags;
	o->tcp_flags = p.tcp_flags;
	o->label = 0;
	o->label_hidden = 0;
	o->ip_bytes = 0;
	o->tag = (struct packet_tag){0};
	if (verdict != PACKET_OK)
		return verdict;
	o->label = p.label;
	o->ip_bytes = p.ip_bytes;
	if (o->frame_bytes > p.ip_offset) {
		uint32_t room_bytes = o->frame_bytes - p.ip_offset;

		/* a header may lie, and a merged packet beyond 64 KiB does not say its length */
		if (!p.ip_bytes || p.ip_bytes > room_bytes)
			o->ip_bytes = room_bytes;
	}
	packet_tag(&o->tag, &p, registered);
	return verdict;
}
