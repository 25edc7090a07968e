#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "join/flow_rows.h"
#include "join/flows.h"

struct flow_rows {
	/* any class may be the whole of what is handed over */
	struct flow_row rows[FLOW_ROW_CLASSES][JOIN_FLOW_ROWS_PER_S];
	size_t n[FLOW_ROW_CLASSES];
	uint64_t made; /* of this second, kept or not */
	uint64_t kept, let_go;
};

struct flow_rows *flow_rows_open(void)
{
	return calloc(1, sizeof(struct flow_rows));
}

void flow_rows_close(struct flow_rows *r)
{
	free(r);
}

static uint8_t turned_direction(uint8_t direction)
{
	if (direction == DIRECTION_IN)
		return DIRECTION_OUT;
	return direction == DIRECTION_OUT ? DIRECTION_IN : direction;
}

static void make_row(const struct flow_view *v, struct flow_row *row)
{
	const struct flow *f = &v->flow;
	const struct claim *c = &v->claim;

	*row = (struct flow_row){
		.key = f->key,
		.first_utc_us = f->first_utc_us,
		.last_utc_us = f->last_utc_us,
		.start_utc_us = CLOCK_NEVER,
		.end_utc_us = CLOCK_NEVER,
		.samples = (uint64_t)f->way[0].samples + f->way[1].samples,
		.claimed_bytes = {FIREFLY_BYTES_UNSAID, FIREFLY_BYTES_UNSAID},
		.rtt_us = FIREFLY_RTT_UNSAID,
		.claim_experiment = -1,
		.claim_activity = -1,
		.evidence = f->evidence,
		.point = f->point,
		.src_site = f->src_site,
		.dst_site = f->dst_site,
		.grade = f->grade,
		.state = f->state,
		.direction = f->way[FLOW_THERE].samples
				     ? f->way[FLOW_THERE].direction
				     : turned_direction(f->way[FLOW_BACK].direction),
	};
	for (int i = 0; i < 2; i++) {
		row->packets[i] = f->way[i].packets;
		row->bytes[i] = f->way[i].bytes;
		row->bytes_variance[i] = f->way[i].bytes_variance;
		row->experiment[i] = f->way[i].tag.experiment;
		row->activity[i] = f->way[i].tag.activity;
		row->carrier[i] = f->way[i].carrier;
	}
	if (!f->has_claim)
		return;
	row->start_utc_us = c->start_utc_us;
	row->end_utc_us = c->end_utc_us;
	row->claim_turned = (uint8_t)flow_key_is_turned(&f->key, &c->key);
	row->claimed_bytes[row->claim_turned] = c->src_to_dst_bytes;
	row->claimed_bytes[!row->claim_turned] = c->dst_to_src_bytes;
	row->rtt_us = c->rtt_us;
	row->claim_experiment = c->tag.experiment;
	row->claim_activity = c->tag.activity;
	row->oddities = c->oddities;
	row->producer = c->producer;
	row->provenance = c->provenance;
	memcpy(row->sender_ip, c->sender_ip, sizeof(row->sender_ip));
	_Static_assert(sizeof(row->application) == sizeof(c->application), "copied whole");
	memcpy(row->application, c->application, sizeof(row->application));
}

int flow_rows_room(struct flow_rows *r, enum flow_row_class class_)
{
	r->made++;
	return r->n[class_] < JOIN_FLOW_ROWS_PER_S;
}

void flow_rows_add(struct flow_rows *r, enum flow_row_class class_, const struct flow_view *v)
{
	make_row(v, &r->rows[class_][r->n[class_]++]);
}

int flow_rows_take(struct flow_rows *r, struct flow_row **rows, size_t *n)
{
	size_t wanted = 0;

	for (int i = 0; i < FLOW_ROW_CLASSES; i++)
		wanted += r->n[i];
	if (wanted > JOIN_FLOW_ROWS_PER_S)
		wanted = JOIN_FLOW_ROWS_PER_S;
	*rows = wanted ? malloc(wanted * sizeof(**rows)) : NULL;
	*n = 0;
	for (int i = 0; *rows && i < FLOW_ROW_CLASSES; i++) {
		const size_t room = wanted - *n, take = r->n[i] < room ? r->n[i] : room;

		memcpy(*rows + *n, r->rows[i], take * sizeof(**rows));
		*n += take;
	}
	r->kept += *n;
	r->let_go += r->made - *n;
	r->made = 0;
	memset(r->n, 0, sizeof(r->n));
	return wanted && !*rows ? -ENOMEM : 0;
}

void flow_rows_status(const struct flow_rows *r, uint64_t *kept, uint64_t *let_go)
{
	*kept = r->kept;
	*let_go = r->let_go;
}

size_t flow_rows_memory_bytes(void)
{
	return sizeof(struct flow_rows);
}
