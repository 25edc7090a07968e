/* The newest minute's packets and fireflies, decoded: headers only, a few of each second. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "join/flow.h"
#include "web/api.h"
#include "web/names.h"

static const struct {
	uint16_t flag;
	const char *words;
} notes[] = {
	{PACKET_TRUNCATED, "cut inside its headers"},
	{PACKET_MALFORMED_EH, "damaged extension header"},
	{PACKET_CONFLICT, "two tag options differ"},
	{PACKET_FRAGMENT, "fragment"},
	{PACKET_JUMBO, "jumbo"},
	{PACKET_ESP, "encrypted"},
	{PACKET_STRAY_HBH, "hop-by-hop header out of place"},
	{PACKET_OUTER_TAG, "tag of the tunnel around it"},
};

static json_t *json_notes(uint16_t flags)
{
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++)
		if (flags & notes[i].flag)
			json_array_append_new(list, json_string(notes[i].words));
	return list;
}

/* "SYN ACK" */
static json_t *json_tcp_flags(uint8_t flags)
{
	static const char *const names[8] = {"FIN", "SYN", "RST", "PSH",
					     "ACK", "URG", "ECE", "CWR"};
	char text[40];
	size_t n = 0;

	text[0] = '\0';
	for (unsigned int bit = 0; bit < 8; bit++)
		if (flags & 1u << bit)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "",
					      names[bit]);
	return json_string(text);
}

static const char *dialect_name(uint8_t dialect)
{
	static const char *const names[] = {[SCITAG_DIALECT_PLAIN] = "plain",
					    [SCITAG_DIALECT_LABEL24] = "label24",
					    [SCITAG_DIALECT_LABEL32] = "label32"};

	return dialect <= SCITAG_DIALECT_LABEL32 ? names[dialect] : NULL;
}

static json_t *json_ends(const struct question *q, const struct glimpse *g)
{
	char time[32];
	json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:o}", "time",
			      clock_format_utc(time, sizeof(time), g->utc_us, 3), "kind",
			      g->firefly ? "firefly" : "packet", "source",
			      store_source_name(q->api->store, g->key.source), "family",
			      (int)g->flow.family, "protocol", api_protocol(g->flow.protocol),
			      "src", api_ip(g->flow.src_ip), "dst", api_ip(g->flow.dst_ip));

	if (g->flow.src_port || g->flow.dst_port) {
		json_object_set_new(o, "src_port", json_integer(g->flow.src_port));
		json_object_set_new(o, "dst_port", json_integer(g->flow.dst_port));
	}
	name_tag(o, g->key.experiment, g->key.activity, q->registry);
	return o;
}

static json_t *json_packet(const struct question *q, const struct glimpse *g)
{
	json_t *o = json_ends(q, g);
	char label[16];

	name_key(o, &g->key, 1u << DIM_DIRECTION | 1u << DIM_CARRIER | 1u << DIM_GRADE,
		 q->api->store, q->registry);
	snprintf(label, sizeof(label), "0x%05x", g->label);
	json_object_set_new(o, "label", g->label ? json_string(label) : json_null());
	if (g->dialect)
		json_object_set_new(o, "dialect", json_string(dialect_name(g->dialect)));
	json_object_set_new(o, "bytes", json_integer(g->frame_bytes));
	json_object_set_new(o, "weight", json_integer(g->weight));
	json_object_set_new(o, "tcp_flags", json_tcp_flags(g->tcp_flags));
	json_object_set_new(o, "notes", json_notes(g->packet_flags));
	return o;
}

static json_t *json_firefly(const struct question *q, const struct glimpse *g)
{
	static const char *const states[] = {
		[FIREFLY_START] = "start", [FIREFLY_ONGOING] = "ongoing", [FIREFLY_END] = "end"};
	json_t *o = json_ends(q, g);

	json_object_set_new(o, "state", json_string(states[g->firefly]));
	json_object_set_new(o, "producer",
			    json_string(firefly_producer_name((enum firefly_producer)g->producer)));
	json_object_set_new(o, "sender", api_ip(g->sender_ip));
	json_object_set_new(o, "application", json_words(g->application));
	return o;
}

void answer_packets(const struct question *q, struct answer *out)
{
	struct glimpse *glimpses = calloc(q->limit, sizeof(*glimpses));
	json_t *rows = json_array();
	int64_t newest_utc_s;
	size_t n;

	if (!glimpses || !rows) {
		free(glimpses);
		json_decref(rows);
		answer_json(out, NULL);
		return;
	}
	n = recent_read(q->api->recent, q->after_utc_s, q->recent_kind, q->filter, glimpses,
			q->limit, &newest_utc_s);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(rows, glimpses[i].firefly ? json_firefly(q, &glimpses[i])
								: json_packet(q, &glimpses[i]));
	free(glimpses);
	answer_json(out, json_pack("{s:o, s:o, s:o}", "now", json_time_us(q->now_utc_us), "newest",
				   newest_utc_s == CLOCK_NEVER ? json_null()
							       : json_integer(newest_utc_s),
				   "packets", rows));
}
