/* Any bytes as a frame: the reader stays inside them, its answer holds together, the short way says what the
 * walk says, and a cut frame shows no option that the whole one lacks.
 * First byte: link layer; second: how much is cut off. Run: fuzz_packet tests/fuzz/corpus/packet */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "wire/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

/* From a copy of exact size: one byte too far is a sanitizer's report. */
static enum packet_verdict read_copy(struct packet *p, const uint8_t *data, uint32_t len_bytes,
				     enum packet_link link)
{
	uint8_t *copy = malloc(len_bytes ? len_bytes : 1);
	enum packet_verdict verdict;

	must(copy != NULL);
	memcpy(copy, data, len_bytes);
	verdict = packet_parse(p, copy, len_bytes, link);
	free(copy);
	return verdict;
}

static void holds_together(const struct packet *p, enum packet_verdict verdict, uint32_t len_bytes)
{
	must(verdict < PACKET_VERDICT_COUNT);
	must(p->label <= SCITAG_LABEL_MASK && p->ip_offset <= len_bytes &&
	     p->ports_offset <= len_bytes);
	must(p->n_vlans <= PACKET_MAX_VLANS && p->n_mpls <= PACKET_MAX_MPLS);
	must(p->n_tunnels <= PACKET_MAX_TUNNELS && p->n_headers <= PACKET_MAX_HEADERS);
	must(!p->n_tunnels == !p->tunnel);
	for (int i = 0; i < PACKET_MAX_VLANS; i++)
		must(i < p->n_vlans ? p->vlan[i] < 4096 : p->vlan[i] == 0);
	must(!(p->flags & PACKET_LATER_FRAGMENT) || !(p->flags & PACKET_HAS_PORTS));
	must(!(p->flags & PACKET_OUTER_TAG) || p->key.family == 4);
	must(!(p->flags & PACKET_JUMBO) || p->ip_bytes > 65535);
	if (verdict == PACKET_OK)
		must(p->key.family == 4 || p->key.family == 6);
	if (p->key.family == 4 && !(p->flags & PACKET_OUTER_TAG))
		must(!p->label && !p->hop_by_hop.type && !p->destination.type);
	if (p->flags & PACKET_HAS_PORTS)
		must(p->ports_offset >= p->ip_offset + 20 &&
		     (p->key.protocol == 6 || p->key.protocol == 17 || p->key.protocol == 132));
	else
		must(!p->key.src_port && !p->key.dst_port);
	must(!p->hop_by_hop.type || p->hop_by_hop.type == 0x1e || p->hop_by_hop.type == 0x1f);
	must(p->hop_by_hop.value <= (p->hop_by_hop.type == 0x1f ? 0xFFFFFu : 0xFFFFFFu));
	must(p->destination.value <= (p->destination.type == 0x1f ? 0xFFFFFu : 0xFFFFFFu));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet whole, cut;
	struct packet_walk w;
	enum packet_link link;
	enum packet_verdict verdict;
	uint32_t len_bytes, cut_bytes;

	if (size < 2 || size > 65536)
		return 0;
	link = (enum packet_link)(data[0] % 9); /* 0 and 8 are none */
	len_bytes = (uint32_t)size - 2;
	cut_bytes = len_bytes * data[1] / 256;
	data += 2;
	verdict = read_copy(&whole, data, len_bytes, link);
	holds_together(&whole, verdict, len_bytes);

	cursor_init(&w.c, data, len_bytes);
	memset(&cut, 0, sizeof(cut));
	if (link == PACKET_LINK_ETHERNET && packet_plain(&cut, &w.c) == PACKET_OK) {
		memset(&cut, 0, sizeof(cut));
		w.next = PACKET_NEXT_ETHERNET;
		must(packet_walk(&w, &cut) == PACKET_OK && verdict == PACKET_OK);
		must(!memcmp(&cut, &whole, sizeof(cut)));
	}

	verdict = read_copy(&cut, data, cut_bytes, link);
	holds_together(&cut, verdict, cut_bytes);
	if (verdict != PACKET_OK || memcmp(&cut.key, &whole.key, 32) != 0)
		return 0; /* another IP header was the last to be seen */
	/* cut inside a tunnel: the packet around it is left, with nothing said of a tag */
	if (cut.flags & PACKET_TRUNCATED && !cut.label)
		return 0;
	if (whole.flags & PACKET_TRUNCATED && !whole.label)
		return 0;
	if (!((cut.flags ^ whole.flags) & PACKET_OUTER_TAG))
		must(cut.label == whole.label);
	if (cut.hop_by_hop.type)
		must(!memcmp(&cut.hop_by_hop, &whole.hop_by_hop, sizeof(cut.hop_by_hop)));
	if (cut.destination.type)
		must(whole.destination.type); /* a later header may have said another */
	return 0;
}
