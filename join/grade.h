/* What a claim makes of the wire's grade. Pure: no tables, no clock. */
#ifndef JOIN_GRADE_H
#define JOIN_GRADE_H

#include "join/flow.h"

/* Which of two ways sends the data: the one with more bytes; where sampling leaves that open, the one that the
 * claim says, or that carries the claimed tag (NULL: none). If only one was seen it is that one, unless the claim
 * says that the other end sends; nothing seen: what the claim says. claimed_way: FLOW_THERE, FLOW_BACK, or -1 when
 * no claim says. */
int grade_data_way(const struct flow_way way[2], int claimed_way, const struct scitag *claimed);

/* The way with more bytes, -1 when only one was seen or sampling leaves it open. */
int grade_surely_more(const struct flow_way way[2]);

/* The grade of traffic that the wire gave `wire_grade` and `tag`, in a flow for which a registered tag is
 * claimed (NULL: none is). */
enum scitag_grade grade_traffic(enum scitag_grade wire_grade, enum scitag_carrier carrier,
				struct scitag tag, const struct scitag *claimed, int is_data_way);

/* The grade of a flow: that of its data's way, and of the other only when that one was not seen. */
enum scitag_grade grade_flow(const struct flow_way way[2], int data_way,
			     const struct scitag *claimed);

/* FLOW_OPTION, FLOW_BOTH_WAYS, FLOW_HEADERS_DIFFER, and of what is claimed FLOW_CLAIM_SAME or _OTHER. */
uint32_t grade_evidence(const struct flow_way way[2], int data_way, const struct scitag *claimed,
			const struct scitag_set *registered);

static inline int same_tag(struct scitag a, struct scitag b)
{
	return a.experiment == b.experiment && a.activity == b.activity;
}

#endif
