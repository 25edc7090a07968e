#include <arpa/inet.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "join/grade.h"
#include "join/join.h"

static int usable(enum scitag_grade wire_grade)
{
	return wire_grade == GRADE_REGISTERED || wire_grade == GRADE_CONFIRMED;
}

static int carries(const struct flow_way *w, const struct scitag *tag)
{
	return tag && w->samples && usable(w->wire_grade) && same_tag(w->tag, *tag);
}

/* Sampled bytes decide where they differ by more than chance explains, at 95 %. */
int grade_surely_more(const struct flow_way way[2])
{
	const double difference = (double)way[1].bytes - (double)way[0].bytes;
	const double sigma = sqrt(way[0].bytes_variance + way[1].bytes_variance);

	if (!way[0].samples || !way[1].samples || fabs(difference) <= 1.96 * sigma)
		return -1;
	return difference > 0;
}

int grade_data_way(const struct flow_way way[2], int claimed_way, const struct scitag *claimed)
{
	const int sure = grade_surely_more(way);

	if (sure >= 0)
		return sure;
	if (claimed_way >= 0)
		return claimed_way;
	if (!way[0].samples || !way[1].samples)
		return way[1].samples != 0;
	if (carries(&way[0], claimed) != carries(&way[1], claimed))
		return carries(&way[1], claimed);
	return way[1].bytes > way[0].bytes;
}

enum scitag_grade grade_traffic(enum scitag_grade wire_grade, enum scitag_carrier carrier,
				struct scitag tag, const struct scitag *claimed, int is_data_way)
{
	if (!claimed || wire_grade == GRADE_DISAGREE)
		return wire_grade;
	if (!usable(wire_grade))
		return GRADE_CLAIMED;
	if (same_tag(tag, *claimed))
		return GRADE_CONFIRMED;
	/* only who sends the data is expected to mark: one label in 287 is registered by chance */
	return is_data_way || carrier != CARRIER_LABEL ? GRADE_DISAGREE : GRADE_REGISTERED;
}

enum scitag_grade grade_flow(const struct flow_way way[2], int data_way,
			     const struct scitag *claimed)
{
	const int seen = way[data_way].samples ? data_way : !data_way;
	const struct flow_way *w = &way[seen];

	if (!w->samples)
		return claimed ? GRADE_CLAIMED : GRADE_UNTAGGED;
	return grade_traffic(w->wire_grade, w->carrier, w->tag, claimed, seen == data_way);
}

uint32_t grade_evidence(const struct flow_way way[2], int data_way, const struct scitag *claimed,
			const struct scitag_set *registered)
{
	uint32_t evidence = 0;

	for (int i = 0; i < 2; i++) {
		const struct flow_way *w = &way[i];
		const int is_registered = scitag_set_has(registered, w->tag);

		if (w->wire_grade == GRADE_DISAGREE)
			evidence |= FLOW_HEADERS_DIFFER;
		if (!is_registered)
			continue;
		if (w->carrier > CARRIER_LABEL)
			evidence |= FLOW_OPTION;
		if (claimed && same_tag(w->tag, *claimed))
			evidence |= FLOW_CLAIM_SAME;
		else if (claimed && (i == data_way || w->carrier > CARRIER_LABEL))
			evidence |= FLOW_CLAIM_OTHER;
	}
	if (scitag_set_has(registered, way[0].tag) && same_tag(way[0].tag, way[1].tag))
		evidence |= FLOW_BOTH_WAYS;
	return evidence;
}

/* --- why ----------------------------------------------------------------------------------- */

struct text {
	char *buf;
	size_t cap_bytes, len_bytes;
};

static void say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->buf + t->len_bytes, t->cap_bytes - t->len_bytes, fmt, args);
	va_end(args);
	if (n > 0)
		t->len_bytes += (size_t)n;
	if (t->len_bytes >= t->cap_bytes)
		t->len_bytes = t->cap_bytes - 1;
}

static void say_carrier(struct text *t, const struct flow_way *w)
{
	static const char *const names[CARRIER_COUNT] = {
		[CARRIER_NONE] = "nothing",
		[CARRIER_LABEL] = "the flow label",
		[CARRIER_DESTINATION] = "the destination options",
		[CARRIER_HOP_BY_HOP] = "the hop-by-hop options",
		[CARRIER_HOP_BY_HOP_DESTINATION] = "both option headers",
	};

	say(t, "%s %s %u/%u", names[w->carrier < CARRIER_COUNT ? w->carrier : CARRIER_NONE],
	    w->carrier > CARRIER_LABEL ? "say" : "says", w->tag.experiment, w->tag.activity);
}

static void say_claim(struct text *t, const struct claim *c)
{
	char ip[INET6_ADDRSTRLEN] = "?";

	if (flow_ip_is_ipv4(c->sender_ip))
		inet_ntop(AF_INET, c->sender_ip + 12, ip, sizeof(ip));
	else
		inet_ntop(AF_INET6, c->sender_ip, ip, sizeof(ip));
	say(t, "%s claims %u/%u", ip, c->tag.experiment, c->tag.activity);
}

char *flow_why(char *buf, size_t cap_bytes, const struct flow_view *v)
{
	static const struct {
		uint32_t bit;
		const char *text;
	} notes[] = {
		{FLOW_CLAIM_DEAD, "the claim's tag is not in the registry and grades nothing"},
		{FLOW_CLAIM_STRANGER,
		 "the claim comes from a stranger, who is no end of the flow and no known relay"},
		{FLOW_REVERSED, "the claim names its ends the other way around"},
		{FLOW_NAT, "joined by the sender's public address"},
		{FLOW_ONE_PORT, "joined by the addresses and one port"},
		{FLOW_SAME_HOSTS, "the same hosts have a claim, but no port fits"},
		{FLOW_TRANSITION, "its label changed between unregistered and registered"},
		{FLOW_HOST_EXCESS, "its sender has more registered labels than chance allows"},
		{FLOW_BOTH_WAYS, "both directions carry the same registered tag"},
		{FLOW_BIT19, "its host sets bit 19 in every label but this one"},
	};
	struct text t = {.buf = buf, .cap_bytes = cap_bytes};
	const struct flow *f = &v->flow;
	const struct flow_way *data = &f->way[f->way[FLOW_THERE].samples ? FLOW_THERE : FLOW_BACK];
	const char *which = data == &f->way[FLOW_BACK] ? " on the way back" : "";

	if (!cap_bytes)
		return buf;
	buf[0] = 0;
	switch (f->grade) {
	case GRADE_CONFIRMED:
		say(&t, "Confirmed%s: ", which);
		say_carrier(&t, data);
		if (f->has_claim && f->evidence & FLOW_CLAIM_SAME) {
			say(&t, " and ");
			say_claim(&t, &v->claim);
		} else {
			say(&t, ", which nobody sets by chance");
		}
		break;
	case GRADE_DISAGREE:
		say(&t, "Disagree%s: ", which);
		say_carrier(&t, data);
		if (f->has_claim && f->evidence & FLOW_CLAIM_OTHER) {
			say(&t, ", but ");
			say_claim(&t, &v->claim);
		}
		if (f->evidence & FLOW_HEADERS_DIFFER)
			say(&t, ", but the hop-by-hop options say another tag");
		break;
	case GRADE_CLAIMED:
		say(&t, "Claimed: ");
		say_claim(&t, &v->claim);
		say(&t, data->samples ? ", but the packets carry no registered tag"
				      : ", but no packet was seen");
		break;
	case GRADE_REGISTERED:
		say(&t, "Registered%s: ", which);
		say_carrier(&t, data);
		if (f->has_claim && !(f->evidence & FLOW_CLAIM_DEAD)) {
			say(&t, ", but ");
			say_claim(&t, &v->claim);
			say(&t, "; nobody has to mark the way back, so it may be chance");
		} else if (!f->has_claim) {
			say(&t, "; no claim confirms it");
		}
		break;
	case GRADE_UNREGISTERED:
		say(&t, "Unregistered%s: ", which);
		say_carrier(&t, data);
		say(&t, ", which is not in the registry");
		break;
	default:
		say(&t, data->samples ? "Untagged: the packets carry no tag"
				      : "Untagged: no packet was seen");
		break;
	}
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		if (f->evidence & notes[i].bit)
			say(&t, "; %s", notes[i].text);
	}
	say(&t, ".");
	return buf;
}
