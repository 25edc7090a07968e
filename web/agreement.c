/* Do the wire and the senders say the same? Cells of tag against tag; and who sends, with what is
 * odd about it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/names.h"

#define OTHER_CELL 65535 /* the cell of those that found none, see join/join.h */

static json_t *json_tag(const struct question *q, struct scitag tag)
{
	json_t *o = json_object();

	if (tag.experiment == OTHER_CELL && tag.activity == OTHER_CELL)
		name_tag(o, STORE_FOLDED, STORE_FOLDED, q->registry);
	else
		name_tag(o, tag.experiment, tag.activity, q->registry);
	return o;
}

static int is_registered(const struct question *q, struct scitag tag)
{
	return registry_activity_name(q->registry, tag.experiment, tag.activity) != NULL;
}

/* "same", "other" (two registered tags), "unmarked" (no usable one on the wire), "dead" (claimed). */
static const char *verdict(const struct question *q, const struct agreement_cell *c)
{
	if (!is_registered(q, c->claim))
		return "dead";
	if (c->wire.experiment == c->claim.experiment && c->wire.activity == c->claim.activity)
		return "same";
	return is_registered(q, c->wire) ? "other" : "unmarked";
}

static int by_flows(const void *a, const void *b)
{
	const struct agreement_cell *x = a, *y = b;

	if (x->flows != y->flows)
		return x->flows < y->flows ? 1 : -1;
	return memcmp(x, y, 2 * sizeof(x->wire));
}

static json_t *json_cells(const struct question *q)
{
	struct agreement_cell *cells = calloc(JOIN_AGREEMENT_MAX + 1, sizeof(*cells));
	json_t *list = json_array();
	size_t n = 0;

	if (cells && q->api->join)
		n = join_agreement(q->api->join, cells, JOIN_AGREEMENT_MAX + 1);
	if (n)
		qsort(cells, n, sizeof(*cells), by_flows);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "wire",
						      json_tag(q, cells[i].wire), "claim",
						      json_tag(q, cells[i].claim), "verdict",
						      verdict(q, &cells[i]), "flows",
						      json_count(cells[i].flows), "bytes",
						      json_count(cells[i].bytes), "flows_1h",
						      json_count(cells[i].flows_1h), "bytes_1h",
						      json_count(cells[i].bytes_1h)));
	free(cells);
	return list;
}

/* --- senders ------------------------------------------------------------------------------ */

static json_t *json_key(const struct flow_key *k)
{
	return json_pack("{s:o, s:i, s:o, s:i, s:o}", "src", api_ip(k->src_ip), "src_port",
			 k->src_port, "dst", api_ip(k->dst_ip), "dst_port", k->dst_port, "protocol",
			 api_protocol(k->protocol));
}

static json_t *json_oddity(const struct sender *s, unsigned int bit)
{
	const struct sender_oddity *odd = &s->oddities[bit];
	json_t *flows = json_array();

	for (uint32_t i = 0; i < odd->n_evidence && i < SENDER_EVIDENCE_MAX; i++)
		json_array_append_new(flows, json_key(&odd->evidence[i]));
	return json_pack("{s:s, s:o, s:o, s:o}", "oddity", claim_oddity_name(bit), "hint",
			 json_words(claim_oddity_hint(bit, s->producer)), "claims",
			 json_count(odd->claims), "flows", flows);
}

static json_t *json_sender(const struct sender *s)
{
	json_t *oddities = json_array();
	double offset_s =
		s->clock_offset_us == CLOCK_NEVER ? NAN : (double)s->clock_offset_us / US_PER_S;

	for (unsigned int bit = 0; bit < CLAIM_ODDITIES; bit++)
		if (s->oddities[bit].claims)
			json_array_append_new(oddities, json_oddity(s, bit));
	return json_pack(
		"{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o}",
		"sender", api_ip(s->ip), "producer", firefly_producer_name(s->producer),
		"provenance", api_provenance_name(s->provenance), "first_heard",
		json_time_us(s->first_heard_utc_us), "last_heard",
		json_time_us(s->last_heard_utc_us), "fireflies", json_count(s->fireflies),
		"duplicates", json_count(s->duplicates), "claims", json_count(s->claims), "joined",
		json_count(s->joined), "confirmed", json_count(s->confirmed), "disagree",
		json_count(s->disagree), "claimed", json_count(s->claimed), "claimed_bytes",
		json_count(s->claimed_bytes), "seen_bytes", json_count(s->seen_bytes),
		"clock_offset_s", json_number(offset_s), "oddities", oddities);
}

static json_t *json_senders(const struct question *q)
{
	struct sender *senders = calloc(SENDERS_MAX, sizeof(*senders));
	json_t *list = json_array();
	size_t n = 0;

	if (senders && q->api->join)
		n = join_senders(q->api->join, senders,
				 q->limit < SENDERS_MAX ? q->limit : SENDERS_MAX);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_sender(&senders[i]));
	free(senders);
	return list;
}

void answer_agreement(const struct question *q, struct answer *out)
{
	struct join_status status = {0};

	if (q->api->join)
		join_status(q->api->join, &status);
	answer_json(out, json_pack("{s:o, s:o, s:o, s:o}", "now", json_time_us(q->now_utc_us),
				   "cells", json_cells(q), "senders_known",
				   json_count(status.senders), "senders", json_senders(q)));
}
