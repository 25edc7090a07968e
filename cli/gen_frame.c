/* The bytes of made-up frames. */
#include <string.h>

#include "cli/gen.h"

#define ETHERTYPE_VLAN     0x8100
#define ETHERTYPE_SERVICE  0x88A8
#define ETHERTYPE_IPV4     0x0800
#define ETHERTYPE_IPV6     0x86DD
#define ETHERTYPE_ARP      0x0806
#define PROTOCOL_DEST_OPTS 60

void gen_put(struct gen_bytes *b, const void *bytes, size_t n)
{
	if (b->at < b->cap_bytes)
		memcpy(b->buf + b->at, bytes, n < b->cap_bytes - b->at ? n : b->cap_bytes - b->at);
	b->at += n;
}

void gen_put_zeros(struct gen_bytes *b, size_t n)
{
	if (b->at < b->cap_bytes)
		memset(b->buf + b->at, 0, n < b->cap_bytes - b->at ? n : b->cap_bytes - b->at);
	b->at += n;
}

void gen_put_u8(struct gen_bytes *b, uint8_t v)
{
	gen_put(b, &v, 1);
}

void gen_put_be16(struct gen_bytes *b, uint16_t v)
{
	gen_put(b, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

void gen_put_be32(struct gen_bytes *b, uint32_t v)
{
	gen_put_be16(b, (uint16_t)(v >> 16));
	gen_put_be16(b, (uint16_t)v);
}

void gen_put_be64(struct gen_bytes *b, uint64_t v)
{
	gen_put_be32(b, (uint32_t)(v >> 32));
	gen_put_be32(b, (uint32_t)v);
}

/* RFC 1071; n may be odd. */
static uint32_t checksum_add(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t checksum_fold(uint32_t sum)
{
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Which way a packet goes. */
static struct flow_key key_of(const struct gen_packet *p)
{
	struct flow_key key = p->flow->key;

	if (p->is_back) {
		memcpy(key.src_ip, p->flow->key.dst_ip, 16);
		memcpy(key.dst_ip, p->flow->key.src_ip, 16);
		key.src_port = p->flow->key.dst_port;
		key.dst_port = p->flow->key.src_port;
	}
	return key;
}

static void put_ethernet(struct gen_bytes *b, int is_inbound, uint8_t n_vlans,
			 const uint16_t vlans[2], uint16_t ethertype)
{
	static const uint8_t outside[6] = {0x02, 0, 0x5E, 0, 0, 0x01};
	static const uint8_t inside[6] = {0x02, 0, 0x5E, 0, 0, 0x02};

	gen_put(b, is_inbound ? inside : outside, 6);
	gen_put(b, is_inbound ? outside : inside, 6);
	for (uint8_t i = 0; i < n_vlans; i++) {
		gen_put_be16(b, i + 1 < n_vlans ? ETHERTYPE_SERVICE : ETHERTYPE_VLAN);
		gen_put_be16(b, vlans[n_vlans == 2 ? 1 - i : i]);
	}
	gen_put_be16(b, ethertype);
}

static void put_ipv4(struct gen_bytes *b, const struct flow_key *key, uint32_t ip_bytes,
		     uint16_t id)
{
	uint8_t header[20];
	struct gen_bytes h = {header, sizeof(header), 0};
	uint16_t sum;

	gen_put_be16(&h, 0x4500);
	gen_put_be16(&h, (uint16_t)ip_bytes);
	gen_put_be16(&h, id);
	gen_put_be16(&h, 0x4000); /* do not fragment */
	gen_put_u8(&h, 57);
	gen_put_u8(&h, key->protocol);
	gen_put_be16(&h, 0);
	gen_put(&h, key->src_ip + 12, 4);
	gen_put(&h, key->dst_ip + 12, 4);
	sum = checksum_fold(checksum_add(0, header, sizeof(header)));
	header[10] = (uint8_t)(sum >> 8);
	header[11] = (uint8_t)sum;
	gen_put(b, header, sizeof(header));
}

static void put_ipv6(struct gen_bytes *b, const struct flow_key *key, uint32_t label,
		     uint8_t next_header, uint32_t payload_bytes)
{
	gen_put_be32(b, 0x60000000 | label);
	gen_put_be16(b, (uint16_t)payload_bytes);
	gen_put_u8(b, next_header);
	gen_put_u8(b, 57);
	gen_put(b, key->src_ip, 16);
	gen_put(b, key->dst_ip, 16);
}

static void put_option_header(struct gen_bytes *b, const struct gen_flow *f, uint8_t next_header)
{
	uint8_t area[6] = {0};

	scitag_option_emit(area, (enum scitag_dialect)f->dialect, f->tag, f->entropy);
	gen_put_u8(b, next_header);
	gen_put_u8(b, 0);
	gen_put(b, area, sizeof(area));
}

/* TCP or UDP with payload (NULL: zeros, which add nothing to the checksum). */
static void put_transport(struct gen_bytes *b, const struct flow_key *key,
			  const struct gen_packet *p, const void *payload, uint32_t len_bytes)
{
	uint8_t header[20], pseudo[8];
	struct gen_bytes h = {header, sizeof(header), 0}, ps = {pseudo, sizeof(pseudo), 0};
	size_t skip = key->family == 4 ? 12 : 0, checksum_at;
	uint32_t sum;
	uint16_t folded;

	gen_put_be16(&h, key->src_port);
	gen_put_be16(&h, key->dst_port);
	if (key->protocol == 6) {
		gen_put_be32(&h, p->tcp_sequence);
		gen_put_be32(&h, p->tcp_acknowledged);
		gen_put_u8(&h, 5 << 4);
		gen_put_u8(&h, p->tcp_flags);
		gen_put_be16(&h, 4096); /* window */
		checksum_at = h.at;
		gen_put_be32(&h, 0); /* checksum, urgent pointer */
	} else {
		gen_put_be16(&h, (uint16_t)(8 + len_bytes));
		checksum_at = h.at;
		gen_put_be16(&h, 0);
	}
	gen_put_be32(&ps, (uint32_t)h.at + len_bytes);
	gen_put_be32(&ps, key->protocol);
	sum = checksum_add(0, pseudo, sizeof(pseudo));
	sum = checksum_add(sum, key->src_ip + skip, 16 - skip);
	sum = checksum_add(sum, key->dst_ip + skip, 16 - skip);
	sum = checksum_add(sum, header, h.at);
	if (payload)
		sum = checksum_add(sum, payload, len_bytes);
	folded = checksum_fold(sum);
	if (folded == 0 && key->protocol == 17)
		folded = 0xFFFF;
	header[checksum_at] = (uint8_t)(folded >> 8);
	header[checksum_at + 1] = (uint8_t)folded;
	gen_put(b, header, h.at);
	if (payload)
		gen_put(b, payload, len_bytes);
	else
		gen_put_zeros(b, len_bytes);
}

static void put_arp(struct gen_bytes *b)
{
	static const uint8_t request[28] = {0,   1, 8, 0, 6, 4, 0, 1, 2, 0, 0x5E, 0, 0, 1,
					    192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192,  0, 2, 9};

	put_ethernet(b, 1, 0, NULL, ETHERTYPE_ARP);
	gen_put(b, request, sizeof(request));
	gen_put_zeros(b, 18);
}

uint32_t gen_frame(uint8_t *buf, uint32_t cap_bytes, const struct gen_packet *p)
{
	struct gen_bytes b = {buf, cap_bytes, 0};
	const struct gen_flow *f = p->flow;
	int has_hop_by_hop, has_destination;
	struct flow_key key;
	uint32_t label, upper_bytes, transport_bytes;

	if (p->class == GEN_NOT_IP) {
		put_arp(&b);
		return b.at < cap_bytes ? (uint32_t)b.at : cap_bytes;
	}
	key = key_of(p);
	transport_bytes = key.protocol == 6 ? 20 : 8;
	has_hop_by_hop = p->class == GEN_MARKED && (f->carrier == CARRIER_HOP_BY_HOP ||
						    f->carrier == CARRIER_HOP_BY_HOP_DESTINATION);
	has_destination = p->class == GEN_MARKED && (f->carrier == CARRIER_DESTINATION ||
						     f->carrier == CARRIER_HOP_BY_HOP_DESTINATION);
	put_ethernet(&b, f->is_inbound ^ p->is_back, f->n_vlans, f->vlans,
		     key.family == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
	if (key.family == 4) {
		put_ipv4(&b, &key, p->ip_bytes, (uint16_t)f->packets);
		upper_bytes = p->ip_bytes - 20;
	} else {
		label = p->class == GEN_LABEL_ZERO ? 0 : p->is_back ? f->back_label : f->label;
		put_ipv6(&b, &key, label,
			 has_hop_by_hop    ? 0
			 : has_destination ? PROTOCOL_DEST_OPTS
					   : key.protocol,
			 p->ip_bytes - 40);
		upper_bytes = p->ip_bytes - 40;
	}
	if (has_hop_by_hop) {
		put_option_header(&b, f, has_destination ? PROTOCOL_DEST_OPTS : key.protocol);
		upper_bytes -= 8;
	}
	if (has_destination) {
		put_option_header(&b, f, key.protocol);
		upper_bytes -= 8;
	}
	put_transport(&b, &key, p, NULL, upper_bytes - transport_bytes);
	return b.at < cap_bytes ? (uint32_t)b.at : cap_bytes;
}

uint32_t gen_udp_frame(uint8_t buf[GEN_FRAME_MAX_BYTES], const struct flow_key *key,
		       const void *payload, uint32_t len_bytes)
{
	struct gen_bytes b = {buf, GEN_FRAME_MAX_BYTES, 0};

	put_ethernet(&b, 1, 0, NULL, key->family == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
	if (key->family == 4)
		put_ipv4(&b, key, 28 + len_bytes, 0);
	else
		put_ipv6(&b, key, 0, key->protocol, 8 + len_bytes);
	put_transport(&b, key, NULL, payload, len_bytes);
	return (uint32_t)b.at;
}
