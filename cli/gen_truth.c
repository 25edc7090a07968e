/* What the model decided, added up. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/gen.h"
#include "cli/names.h"

int gen_truth_open(struct gen_truth *t)
{
	memset(t, 0, sizeof(*t));
	t->by_chance = calloc(SCITAG_LABEL_CODES, sizeof(*t->by_chance));
	t->first_utc_us = t->last_utc_us = CLOCK_NEVER;
	return t->by_chance ? 0 : -ENOMEM;
}

void gen_truth_close(struct gen_truth *t)
{
	free(t->by_chance);
	t->by_chance = NULL;
}

void gen_sum_add(struct gen_sum *sum, const struct gen_sum *one)
{
	sum->samples += one->samples;
	sum->packets += one->packets;
	sum->bytes += one->bytes;
	sum->ip_bytes += one->ip_bytes;
}

void gen_truth_add(struct gen_truth *t, const struct gen_packet *p, uint32_t weight,
		   uint32_t frame_bytes)
{
	const struct gen_sum one = {1, weight, (uint64_t)weight * frame_bytes,
				    (uint64_t)weight * p->ip_bytes};
	const struct gen_flow *f = p->flow;

	if (t->first_utc_us == CLOCK_NEVER)
		t->first_utc_us = p->utc_us;
	t->last_utc_us = p->utc_us;
	gen_sum_add(&t->all, &one);
	gen_sum_add(&t->classes[p->class], &one);
	if (p->class == GEN_MARKED)
		gen_sum_add(&t->tags[f->stream][f->carrier], &one);
	if (p->class == GEN_RANDOM_LABEL)
		gen_sum_add(&t->by_chance[scitag_code(
				    scitag_label_decode(p->is_back ? f->back_label : f->label))],
			    &one);
	if (f) {
		gen_sum_add(&t->protocols[f->key.protocol], &one);
		gen_sum_add(&t->vlans[f->n_vlans], &one);
	}
}

json_t *gen_sum_json(const struct gen_sum *s)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "samples", (json_int_t)s->samples, "packets",
			 (json_int_t)s->packets, "bytes", (json_int_t)s->bytes, "ip_bytes",
			 (json_int_t)s->ip_bytes);
}

static json_t *tag_json(struct scitag tag, enum scitag_carrier carrier, const struct gen_sum *s)
{
	json_t *o = json_pack("{s:i, s:i, s:s}", "experiment_id", tag.experiment, "activity_id",
			      tag.activity, "carrier", carrier_name(carrier));
	json_t *sum = gen_sum_json(s);

	json_object_update(o, sum);
	json_decref(sum);
	return o;
}

json_t *gen_truth_json(const struct gen_truth *t)
{
	json_t *o = gen_sum_json(&t->all), *tags = json_array(), *by_chance = json_array();
	char first[32], last[32];

	for (int i = 0; i < GEN_STREAMS; i++)
		for (int c = 0; c < CARRIER_COUNT; c++)
			if (t->tags[i][c].samples)
				json_array_append_new(tags, tag_json(gen_stream_tag(i),
								     (enum scitag_carrier)c,
								     &t->tags[i][c]));
	for (uint32_t code = 0; code < SCITAG_LABEL_CODES; code++)
		if (t->by_chance[code].samples)
			json_array_append_new(
				by_chance,
				tag_json((struct scitag){(uint16_t)(code >> 6), code & 63},
					 CARRIER_LABEL, &t->by_chance[code]));
	json_object_set_new(
		o, "first_utc",
		json_string(clock_format_utc(first, sizeof(first), t->first_utc_us, 6)));
	json_object_set_new(o, "last_utc",
			    json_string(clock_format_utc(last, sizeof(last), t->last_utc_us, 6)));
	json_object_set_new(o, "tags", tags);
	json_object_set_new(o, "by_chance", by_chance);
	json_object_set_new(
		o, "untagged",
		json_pack("{s:o, s:o, s:o}", "ipv4", gen_sum_json(&t->classes[GEN_IPV4]),
			  "ipv6_label_zero", gen_sum_json(&t->classes[GEN_LABEL_ZERO]),
			  "ipv6_random_label", gen_sum_json(&t->classes[GEN_RANDOM_LABEL])));
	json_object_set_new(o, "not_ip", gen_sum_json(&t->classes[GEN_NOT_IP]));
	json_object_set_new(o, "protocols",
			    json_pack("{s:o, s:o}", "tcp", gen_sum_json(&t->protocols[6]), "udp",
				      gen_sum_json(&t->protocols[17])));
	json_object_set_new(o, "vlan_tags",
			    json_pack("{s:o, s:o, s:o}", "0", gen_sum_json(&t->vlans[0]), "1",
				      gen_sum_json(&t->vlans[1]), "2", gen_sum_json(&t->vlans[2])));
	return o;
}
