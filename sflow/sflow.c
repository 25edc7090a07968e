/* The walk: datagram, samples, records. Each level reads through a cursor of its own, bounded by
 * the length that its parent announced, so a lying record cannot reach into its neighbour. */
#include "sflow/sflow.h"

#include <string.h>

#define FINGERPRINT_BYTES 64 /* at either end */

#define TAG(enterprise, format) ((enterprise) << 12 | (format))

enum { ADDRESS_IPV4 = 1, ADDRESS_IPV6 = 2 };

const char *sflow_verdict_name(enum sflow_verdict verdict)
{
	static const char *const names[SFLOW_VERDICT_COUNT] = {
		[SFLOW_OK] = "ok",
		[SFLOW_SHORT] = "short",
		[SFLOW_VERSION] = "version",
		[SFLOW_AGENT_TYPE] = "agent_type",
		[SFLOW_MALFORMED] = "malformed",
	};

	return (unsigned int)verdict < SFLOW_VERDICT_COUNT ? names[verdict] : "?";
}

static void map_ipv4(uint8_t out[16], const uint8_t ipv4[4])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(out, prefix, sizeof(prefix));
	memcpy(out + sizeof(prefix), ipv4, 4);
}

/* Read an address of the given type. Returns 4, 6, or 0 for another type; torn if it is cut. */
static uint8_t read_address(uint8_t out[16], struct cursor *c, uint32_t type)
{
	const uint8_t *bytes;

	switch (type) {
	case ADDRESS_IPV4:
		bytes = cursor_take(c, 4);
		if (bytes)
			map_ipv4(out, bytes);
		return 4;
	case ADDRESS_IPV6:
		bytes = cursor_take(c, 16);
		if (bytes)
			memcpy(out, bytes, 16);
		return 6;
	default:
		return 0;
	}
}

/* Take the next opaque data with its padding to 4 bytes; padding that is missing at the very end
 * harms nobody. */
static const uint8_t *take_opaque(struct cursor *c, uint32_t len_bytes)
{
	const uint8_t *data = cursor_take(c, len_bytes);
	uint32_t padding_bytes = -len_bytes & 3;
	uint32_t left_bytes = cursor_left(c);

	if (data)
		cursor_skip(c, padding_bytes < left_bytes ? padding_bytes : left_bytes);
	return data;
}

/* --- flow records ----------------------------------------------------------------------- */

static const uint8_t link_of_header_protocol[] = {
	[1] = PACKET_LINK_ETHERNET, [7] = PACKET_LINK_PPP,   [11] = PACKET_LINK_IP,
	[12] = PACKET_LINK_IP,      [13] = PACKET_LINK_MPLS,
};

static void read_raw_header(struct sflow_sample *s, struct cursor *c)
{
	uint32_t protocol = cursor_be32(c);
	uint32_t frame_bytes = cursor_be32(c);
	uint32_t stripped_bytes = cursor_be32(c);
	uint32_t header_bytes = cursor_be32(c);
	const uint8_t *header = take_opaque(c, header_bytes);

	if (!header || s->has_header) /* the first one is the packet, were there a second */
		return;
	s->has_header = 1;
	s->header_protocol = protocol;
	s->header_link =
		protocol < sizeof(link_of_header_protocol) ? link_of_header_protocol[protocol] : 0;
	s->frame_bytes = frame_bytes;
	s->stripped_bytes = stripped_bytes;
	s->header = header;
	s->header_bytes = header_bytes;
}

static void read_ethernet(struct sflow_sample *s, struct cursor *c)
{
	uint32_t frame_bytes = cursor_be32(c);

	if (!s->has_header)
		s->frame_bytes = frame_bytes;
}

static void read_sampled_ip(struct sflow_sample *s, struct cursor *c, uint32_t address_type)
{
	s->has_key = 1;
	s->key_ip_bytes = cursor_be32(c);
	s->key.protocol = (uint8_t)cursor_be32(c);
	s->key.family = read_address(s->key.src_ip, c, address_type);
	read_address(s->key.dst_ip, c, address_type);
	s->key.src_port = (uint16_t)cursor_be32(c);
	s->key.dst_port = (uint16_t)cursor_be32(c);
	s->key_tcp_flags = (uint8_t)cursor_be32(c);
}

static void read_sampled_ipv4(struct sflow_sample *s, struct cursor *c)
{
	read_sampled_ip(s, c, ADDRESS_IPV4);
}

static void read_sampled_ipv6(struct sflow_sample *s, struct cursor *c)
{
	read_sampled_ip(s, c, ADDRESS_IPV6);
}

static void read_extended_switch(struct sflow_sample *s, struct cursor *c)
{
	s->src_vlan = cursor_be32(c);
	cursor_skip(c, 4); /* source priority */
	s->dst_vlan = cursor_be32(c);
}

static void read_extended_router(struct sflow_sample *s, struct cursor *c)
{
	uint8_t next_hop[16] = {0};
	uint32_t src_mask_bits, dst_mask_bits;

	read_address(next_hop, c, cursor_be32(c));
	src_mask_bits = cursor_be32(c);
	dst_mask_bits = cursor_be32(c);
	if (c->torn)
		return;
	memcpy(s->next_hop, next_hop, sizeof(next_hop));
	s->src_mask_bits = src_mask_bits;
	s->dst_mask_bits = dst_mask_bits;
}

static void read_extended_gateway(struct sflow_sample *s, struct cursor *c)
{
	uint8_t next_hop[16] = {0};
	uint32_t local_as, src_as, n_segments, n_numbers, dst_as = 0;

	read_address(next_hop, c, cursor_be32(c));
	local_as = cursor_be32(c);
	src_as = cursor_be32(c);
	cursor_skip(c, 4); /* source peer */
	/* A segment is 8 bytes at least and tears the cursor when it is not there: the announced
	 * number of them cannot keep us. */
	for (n_segments = cursor_be32(c); n_segments && !c->torn; n_segments--) {
		cursor_skip(c, 4); /* set or sequence */
		n_numbers = cursor_be32(c);
		if (!n_numbers)
			continue;
		/* The product of a lying number may wrap; no record is that long anyway. */
		cursor_skip(c, n_numbers <= UINT32_MAX / 4 ? (n_numbers - 1) * 4 : UINT32_MAX);
		dst_as = cursor_be32(c);
	}
	if (c->torn)
		return;
	memcpy(s->next_hop, next_hop, sizeof(next_hop));
	s->local_as = local_as;
	s->src_as = src_as;
	s->dst_as = dst_as;
}

/* --- counter records -------------------------------------------------------------------- */

static void read_if_counters(struct sflow_sample *s, struct cursor *c)
{
	s->has_if_counters = 1;
	s->if_index = cursor_be32(c);
	s->if_type = cursor_be32(c);
	s->if_speed_bps = cursor_be64(c);
	cursor_skip(c, 4); /* full or half duplex */
	s->if_status = cursor_be32(c);
	s->if_in_octets = cursor_be64(c);
	s->if_in_packets = cursor_be32(c);
	cursor_skip(c, 8); /* multicast, broadcast */
	s->if_in_discards = cursor_be32(c);
	s->if_in_errors = cursor_be32(c);
	cursor_skip(c, 4); /* unknown protocols */
	s->if_out_octets = cursor_be64(c);
	s->if_out_packets = cursor_be32(c);
	cursor_skip(c, 8); /* multicast, broadcast */
	s->if_out_discards = cursor_be32(c);
	s->if_out_errors = cursor_be32(c);
}

/* --- a sample's records ----------------------------------------------------------------- */

/* min_bytes: all of a record of fixed size, so that its reader finds every field; the fixed part
 * of the others, whose readers store nothing when the cursor tears. Longer ones are from agents
 * newer than we are: what is behind our fields is left alone. */
struct record_row {
	uint32_t tag;
	uint32_t min_bytes;
	void (*read)(struct sflow_sample *s, struct cursor *c);
};

static const struct record_row flow_records[] = {
	{TAG(0, 1), 16, read_raw_header},          {TAG(0, 2), 4, read_ethernet},
	{TAG(0, 3), 32, read_sampled_ipv4},        {TAG(0, 4), 56, read_sampled_ipv6},
	{TAG(0, 1001), 16, read_extended_switch},  {TAG(0, 1002), 12, read_extended_router},
	{TAG(0, 1003), 20, read_extended_gateway}, {0, 0, NULL},
};
static const struct record_row counter_records[] = {
	{TAG(0, 1), 88, read_if_counters},
	{0, 0, NULL},
};

static const struct record_row *find_record(const struct record_row *row, uint32_t tag)
{
	while (row->read && row->tag != tag)
		row++;
	return row->read ? row : NULL;
}

/* c stands at the first record. A length that leaves the sample ends its records. */
static void read_records(struct sflow_sample *s, struct cursor *c, const struct record_row *rows,
			 uint32_t n_records)
{
	for (; n_records; n_records--) {
		uint32_t tag = cursor_be32(c);
		uint32_t len_bytes = cursor_be32(c);
		const uint8_t *body = take_opaque(c, len_bytes);
		const struct record_row *row = find_record(rows, tag);
		struct cursor record;

		if (!body) {
			s->damaged_records++;
			return;
		}
		if (!row) {
			s->skipped_records++;
			continue;
		}
		cursor_init(&record, body, len_bytes);
		if (len_bytes >= row->min_bytes)
			row->read(s, &record);
		if (len_bytes < row->min_bytes || record.torn)
			s->damaged_records++;
	}
}

/* --- samples ---------------------------------------------------------------------------- */

static void read_source(struct sflow_sample *s, struct cursor *c)
{
	uint32_t source = cursor_be32(c);

	s->source_class = source >> 24;
	s->source_index = source & 0xFFFFFF;
}

static void read_source_expanded(struct sflow_sample *s, struct cursor *c)
{
	s->source_class = cursor_be32(c);
	s->source_index = cursor_be32(c);
}

static struct sflow_interface read_interface(struct cursor *c)
{
	uint32_t word = cursor_be32(c);

	return (struct sflow_interface){.format = (uint8_t)(word >> 30),
					.value = word & 0x3FFFFFFF};
}

static struct sflow_interface read_interface_expanded(struct cursor *c)
{
	uint32_t format = cursor_be32(c);

	return (struct sflow_interface){
		.format = format < SFLOW_IF_RESERVED ? (uint8_t)format : SFLOW_IF_RESERVED,
		.value = cursor_be32(c),
	};
}

static void read_sampling(struct sflow_sample *s, struct cursor *c)
{
	s->rate = cursor_be32(c);
	s->pool = cursor_be32(c);
	s->drops = cursor_be32(c);
}

static void read_flow_sample(struct sflow_sample *s, struct cursor *c)
{
	read_source(s, c);
	read_sampling(s, c);
	s->in = read_interface(c);
	s->out = read_interface(c);
}

static void read_flow_sample_expanded(struct sflow_sample *s, struct cursor *c)
{
	read_source_expanded(s, c);
	read_sampling(s, c);
	s->in = read_interface_expanded(c);
	s->out = read_interface_expanded(c);
}

static void read_discarded_packet(struct sflow_sample *s, struct cursor *c)
{
	read_source_expanded(s, c);
	s->rate = 1;
	s->drops = cursor_be32(c);
	s->in.value = cursor_be32(c);
	s->out.value = cursor_be32(c);
	s->discard_reason = cursor_be32(c);
}

/* What stands between a sample's sequence number and its number of records. */
static const struct sample_row {
	uint32_t tag;
	enum sflow_sample_kind kind;
	void (*read)(struct sflow_sample *s, struct cursor *c);
	const struct record_row *records;
} sample_rows[] = {
	{TAG(0, 1), SFLOW_FLOW, read_flow_sample, flow_records},
	{TAG(0, 2), SFLOW_COUNTERS, read_source, counter_records},
	{TAG(0, 3), SFLOW_FLOW, read_flow_sample_expanded, flow_records},
	{TAG(0, 4), SFLOW_COUNTERS, read_source_expanded, counter_records},
	{TAG(0, 5), SFLOW_DISCARD, read_discarded_packet, flow_records},
};

static const struct sample_row *find_sample(uint32_t tag)
{
	for (size_t i = 0; i < sizeof(sample_rows) / sizeof(sample_rows[0]); i++)
		if (sample_rows[i].tag == tag)
			return &sample_rows[i];
	return NULL;
}

/* Returns 0 when the sample's own fields do not fit. */
static int read_sample(struct sflow_sample *s, struct cursor *c, const struct sample_row *row)
{
	uint32_t n_records;

	memset(s, 0, sizeof(*s));
	s->kind = row->kind;
	s->sequence = cursor_be32(c);
	row->read(s, c);
	n_records = cursor_be32(c);
	if (c->torn)
		return 0;
	read_records(s, c, row->records, n_records);
	if (s->header_link) { /* it shows more than the agent's summary of it */
		s->has_key = 0;
		s->key_tcp_flags = 0;
		s->key_ip_bytes = 0;
		memset(&s->key, 0, sizeof(s->key));
	} else if (!s->frame_bytes) {
		s->frame_bytes = s->key_ip_bytes;
	}
	return 1;
}

/* FNV-1a by words. An agent's datagrams differ near their start (sequence, uptime, the first sample's
 * sequence and pool), so that reading all would tell no more. */
static uint32_t add_fingerprint(uint32_t h, const uint8_t *bytes, uint32_t len_bytes)
{
	struct cursor c;

	for (cursor_init(&c, bytes, len_bytes); cursor_left(&c) >= 4;)
		h = (h ^ cursor_be32(&c)) * 16777619u;
	return h;
}

static uint32_t fingerprint_of(const uint8_t *bytes, uint32_t len_bytes)
{
	uint32_t n = len_bytes < FINGERPRINT_BYTES ? len_bytes : FINGERPRINT_BYTES;
	uint32_t h = add_fingerprint(2166136261u ^ len_bytes, bytes, n);

	return add_fingerprint(h, bytes + len_bytes - n, n);
}

enum sflow_verdict sflow_open(struct sflow_reader *r, struct sflow_datagram *out, const void *buf,
			      size_t len_bytes)
{
	struct sflow_datagram d = {0};
	struct cursor c;
	uint32_t version, agent_type;

	if (len_bytes > UINT32_MAX)
		return SFLOW_MALFORMED; /* no datagram is */
	cursor_init(&c, buf, (uint32_t)len_bytes);
	version = cursor_be32(&c);
	if (c.torn)
		return SFLOW_SHORT;
	if (version != 5)
		return SFLOW_VERSION;
	agent_type = cursor_be32(&c);
	if (c.torn)
		return SFLOW_SHORT;
	d.agent_family = read_address(d.agent_ip, &c, agent_type);
	if (!d.agent_family)
		return SFLOW_AGENT_TYPE;
	d.sub_agent = cursor_be32(&c);
	d.sequence = cursor_be32(&c);
	d.uptime_ms = cursor_be32(&c);
	d.n_samples = cursor_be32(&c);
	if (c.torn)
		return SFLOW_SHORT;
	d.fingerprint = fingerprint_of(buf, (uint32_t)len_bytes);
	*out = d;
	*r = (struct sflow_reader){.cursor = c, .samples_left = d.n_samples};
	return SFLOW_OK;
}

int sflow_next(struct sflow_reader *r, struct sflow_sample *out, enum sflow_verdict *verdict)
{
	for (; r->samples_left; r->samples_left--) {
		uint32_t tag = cursor_be32(&r->cursor);
		uint32_t len_bytes = cursor_be32(&r->cursor);
		const uint8_t *body = take_opaque(&r->cursor, len_bytes);
		const struct sample_row *row = find_sample(tag);
		struct cursor sample;

		if (!body) {
			r->verdict = SFLOW_SHORT;
			r->samples_left = 0;
			break;
		}
		if (!row) {
			r->skipped_samples++;
			continue;
		}
		cursor_init(&sample, body, len_bytes);
		if (!read_sample(out, &sample, row)) {
			r->damaged_samples++;
			r->verdict = SFLOW_MALFORMED;
			continue;
		}
		if (out->damaged_records)
			r->verdict = SFLOW_MALFORMED;
		r->samples_left--;
		return 1;
	}
	*verdict = r->verdict;
	return 0;
}
