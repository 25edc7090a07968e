/* The frames of tests/vectors/packets.tsv, and a packet as one line of its columns: what was read and what
 * must be read are compared as text, so that a difference can be read too. For tests only. */
#ifndef TESTS_PACKET_VECTORS_H
#define TESTS_PACKET_VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "wire/packet.h"

#define VECTOR_FILE      "tests/vectors/packets.tsv"
#define VECTORS_MAX      256
#define VECTOR_BYTES_MAX 2048
#define VECTOR_TEXT_MAX  256

struct vector {
	char name[48];
	enum packet_link link;
	__u8 bytes[VECTOR_BYTES_MAX];
	__u32 len_bytes;
	int kernel_chain;               /* the kernel's program must leave it to user space */
	char expected[VECTOR_TEXT_MAX]; /* vector_text() of what must be read */
};

/* The 114 pairs registered on 2025-09-04: experiments with their ranges of activities. */
static const struct {
	__u16 experiment, first, last;
} vector_pairs[] = {
	{1, 1, 4},  {2, 1, 4},  {2, 8, 26}, {3, 1, 24}, {4, 1, 4},  {5, 1, 4},
	{5, 8, 16}, {6, 1, 4},  {6, 8, 26}, {7, 1, 4},  {8, 1, 4},  {9, 1, 4},
	{10, 1, 4}, {11, 1, 4}, {12, 1, 1}, {13, 1, 1}, {14, 1, 1},
};

static inline unsigned int vector_registered(struct scitag_set *set)
{
	unsigned int n = 0;

	memset(set, 0, sizeof(*set));
	for (size_t i = 0; i < sizeof(vector_pairs) / sizeof(vector_pairs[0]); i++)
		for (__u16 a = vector_pairs[i].first; a <= vector_pairs[i].last; a++)
			n += scitag_set_add(set, (struct scitag){vector_pairs[i].experiment, a}) ==
			     0;
	return n;
}

static inline const char *vector_pick(const char *const *names, size_t n, unsigned int i)
{
	return i < n ? names[i] : "?";
}
#define VECTOR_PICK(names, i) vector_pick(names, sizeof(names) / sizeof((names)[0]), i)

static inline void vector_option(char out[16], const struct packet_option *o)
{
	strcpy(out, "-");
	if (o->type)
		snprintf(out, 16, "%02x:%06x", o->type, o->value);
}

/* Everything of a packet that the vectors speak of. */
static inline void vector_text(char out[VECTOR_TEXT_MAX], enum packet_verdict verdict,
			       const struct packet *p, const struct packet_tag *tag)
{
	static const char *const verdicts[] = {"ok", "short", "malformed", "chain", "not_ip"};
	static const char *const tunnels[] = {"-", "ip-in-ip", "gre", "erspan", "vxlan", "geneve"};
	static const char *const flag_names[] = {
		"truncated", "malformed_eh", "conflict",  "fragment", "later_fragment",
		"jumbo",     "esp",          "stray_hbh", "ports",    "outer_tag"};
	/* as the table spells them: what the reader meets first comes first */
	static const __u8 order[] = {0, 8, 2, 7, 1, 3, 4, 5, 6, 9};
	static const char *const carriers[] = {"none", "label", "destination", "hop-by-hop",
					       "hop-by-hop+destination"};
	static const char *const grades[] = {"untagged", "unregistered", "registered", "confirmed",
					     "disagree"};
	static const char *const dialects[] = {"-", "plain", "label24", "label32"};
	char vlans[32] = "", flags[96] = "", hbh[16], destination[16], other[16] = "-";

	for (int i = 0; i < p->n_vlans; i++)
		snprintf(vlans + strlen(vlans), sizeof(vlans) - strlen(vlans), "%s%u", i ? "," : "",
			 p->vlan[i]);
	for (size_t i = 0; i < sizeof(order); i++)
		if (p->flags & 1u << order[i])
			snprintf(flags + strlen(flags), sizeof(flags) - strlen(flags), "%s%s",
				 *flags ? "," : "", flag_names[order[i]]);
	vector_option(hbh, &p->hop_by_hop);
	vector_option(destination, &p->destination);
	if (tag->grade == GRADE_DISAGREE)
		snprintf(other, sizeof(other), "%u/%u", tag->other.experiment, tag->other.activity);
	snprintf(out, VECTOR_TEXT_MAX,
		 "%s %u %u %u %u %05x %02x %s %u %s %u %u %s %s %s %s %u %u %s %s %s",
		 VECTOR_PICK(verdicts, verdict), p->key.family, p->key.protocol, p->key.src_port,
		 p->key.dst_port, p->label, p->traffic_class, *vlans ? vlans : "-", p->n_mpls,
		 VECTOR_PICK(tunnels, p->tunnel), p->vni, p->ip_bytes, *flags ? flags : "-", hbh,
		 destination, VECTOR_PICK(carriers, tag->carrier), tag->tag.experiment,
		 tag->tag.activity, VECTOR_PICK(grades, tag->grade),
		 VECTOR_PICK(dialects, tag->dialect), other);
}

static inline enum packet_link vector_link(const char *name)
{
	static const char *const links[] = {"",    "ethernet", "ip",   "mpls",
					    "ppp", "sll",      "sll2", "null"};

	for (int i = 1; i < 8; i++)
		if (!strcmp(name, links[i]))
			return (enum packet_link)i;
	return 0;
}

static inline void vector_bytes(struct vector *v, const char *hex)
{
	for (; hex[0] && hex[1] && v->len_bytes < VECTOR_BYTES_MAX; hex += 2)
		v->bytes[v->len_bytes++] = (__u8)strtoul((char[]){hex[0], hex[1], 0}, NULL, 16);
}

/* Read the table into v[VECTORS_MAX]. The number of frames; ends the program if the table cannot be read. */
static inline unsigned int vectors_read(struct vector *v)
{
	FILE *f = fopen(VECTOR_FILE, "r");
	static char line[2 * VECTOR_BYTES_MAX + 1024];
	unsigned int n = 0;

	if (!f || !fgets(line, sizeof(line), f)) {
		fprintf(stderr, "%s cannot be read\n", VECTOR_FILE);
		exit(1);
	}
	for (; n < VECTORS_MAX && fgets(line, sizeof(line), f); n++, v++) {
		char *column[27], *rest = line;
		int i = 0;

		while (i < 27 && (column[i] = strsep(&rest, "\t\n")))
			i++;
		if (i < 26) {
			fprintf(stderr, "%s:%u: %d columns\n", VECTOR_FILE, n + 2, i);
			exit(1);
		}
		memset(v, 0, sizeof(*v));
		snprintf(v->name, sizeof(v->name), "%s", column[0]);
		v->link = vector_link(column[1]);
		vector_bytes(v, column[2]);
		v->kernel_chain = !strcmp(column[4], "chain");
		strcpy(v->expected, column[3]);
		for (i = 5; i < 25; i++)
			snprintf(v->expected + strlen(v->expected),
				 VECTOR_TEXT_MAX - strlen(v->expected), " %s", column[i]);
	}
	fclose(f);
	return n;
}

/* The 25 frames that others made and checked, of a folder beside the project (SCITAG_SHARED): names and bytes
 * only, all Ethernet. 0 when it is not there. */
static inline unsigned int vectors_read_shared(struct vector *v, char path[512])
{
	const char *shared = getenv("SCITAG_SHARED");
	static char line[4096];
	unsigned int n = 0;
	FILE *f;

	snprintf(path, 512, "%s/data/packet-vectors.tsv", shared ? shared : "../shared");
	f = fopen(path, "r");
	while (f && n < VECTORS_MAX && fgets(line, sizeof(line), f)) {
		char *rest = line, *name = strsep(&rest, "\t"), *hex;

		if (name[0] != 'P' || !strsep(&rest, "\t") || !(hex = strsep(&rest, "\t")))
			continue;
		memset(v, 0, sizeof(*v));
		snprintf(v->name, sizeof(v->name), "%s", name);
		v->link = PACKET_LINK_ETHERNET;
		vector_bytes(v, hex);
		v++;
		n++;
	}
	if (f)
		fclose(f);
	return n;
}

#endif
