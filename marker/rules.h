/* Which flows are marked with what, and for how long. Flow events come in from the inputs; the
 * kernel's table follows. A mark ends with its flow: at an END event, or when its socket is gone,
 * after a linger for the last segments. The table is bounded, refuses when full, and counts.
 *
 * Events: received = started + renewed + ended + sum(refused). Not thread-safe. */
#ifndef MARKER_RULES_H
#define MARKER_RULES_H

#include <stddef.h>
#include <stdint.h>
#include "marker/config.h"
#include "marker/mark.h"
#include "marker/sockets.h"
#include "registry/registry.h"

struct rules; /* opaque */

enum rules_event { RULES_START, RULES_END, RULES_ONGOING };

enum rules_refusal {
	RULES_REFUSED_FULL,     /* the table is */
	RULES_REFUSED_FAMILY,   /* IPv4 has no label and no extension headers */
	RULES_REFUSED_RANGE,    /* a tag outside 1..511 / 1..63 */
	RULES_REFUSED_UNKNOWN,  /* the end of a flow that is not marked */
	RULES_REFUSED_ANNOUNCE, /* tag 0/0: to be announced, not to be marked */
	RULES_REFUSED_FAILED,   /* the kernel said no */
	RULES_REFUSAL_COUNT
};
const char *rules_refusal_name(enum rules_refusal r);

struct rules_counters {
	uint64_t received, started, renewed, ended;
	uint64_t refused[RULES_REFUSAL_COUNT];
	uint64_t gone; /* ended because their socket was */
	uint64_t idle; /* ended because nothing was sent for long */
	size_t active, wildcards;
};

struct rules_flow_event {
	enum rules_event event;
	struct flow_key key; /* src is the local end */
	struct scitag tag;
	enum scitag_carrier carrier; /* CARRIER_NONE: as configured */
	int standing;                /* marks one connection after another until it is ended */
	int announce_only;           /* a wildcard marks it already */
	int opened; /* its connection opened just now: all bytes of it are the flow's */
	int alone;  /* it has no connection of this host's yet */
	/* for announcements, as the source of the event says; 0 and "" unsaid */
	int64_t start_utc_us, end_utc_us;
	char application[64];
};

/* m may be NULL: a rehearsal, or the mode without programs. apply, if given, is told of every flow
 * that begins (flow not NULL) and ends (NULL). What m holds already, of a predecessor, is taken
 * over. cfg and m are borrowed. */
struct rules_hooks {
	void (*begin)(void *arg, const struct flow_key *key, const struct mark_flow *flow);
	void (*end)(void *arg, const struct flow_key *key);
	void *arg;
};
int rules_open(struct rules **out, const struct marker_config *cfg, struct mark *m,
	       enum scitag_carrier carrier, const struct rules_hooks *hooks);
void rules_close(struct rules *r);

/* The configuration's own flows and wildcards, in place of those of an earlier configuration.
 * Errors in a rule are logged and the rule left out; -EINVAL then. */
int rules_configure(struct rules *r, const struct marker_config *cfg, const struct registry *reg,
		    enum scitag_carrier carrier);

/* 0, or -EINVAL with the reason counted and, if why is given, named. */
int rules_handle(struct rules *r, const struct rules_flow_event *e, int64_t now_mono_ns,
		 enum rules_refusal *why);

/* A socket is gone. If it was the one that sent the flow, and not an earlier one on the same ports,
 * the mark ends as at an END event. Unknown keys are fine. */
void rules_gone(struct rules *r, const struct flow_key *key, uint64_t cookie, int64_t now_mono_ns);
/* The socket of a flow was seen; from then on its absence means the end. */
void rules_seen(struct rules *r, const struct flow_key *key, uint64_t round);
/* A connection sends packets of packet_bytes_max over a path of path_mtu: the path MTU to tell the
 * kernel so that an option fits, or 0 if it is none of ours, has room, or was told already. */
uint32_t rules_hint(struct rules *r, const struct flow_key *key, uint32_t packet_bytes_max,
		    uint32_t path_mtu);
/* After a round in which every live socket was reported: those without one end. */
void rules_sweep(struct rules *r, uint64_t round, int64_t now_mono_ns);

/* A few times a second: let lingering marks end. */
void rules_tick(struct rules *r, int64_t now_mono_ns);

void rules_count(const struct rules *r, struct rules_counters *out);
/* Call each for every flow in force. */
void rules_each(const struct rules *r,
		void (*each)(void *arg, const struct flow_key *key, const struct scitag *tag,
			     enum scitag_carrier carrier, int ending),
		void *arg);
/* Did an event bring this flow? Not so the standing flows of the configuration. */
int rules_has(const struct rules *r, const struct flow_key *key);
/* The wildcard or standing flow that marks a connection, or would if it were of IPv6: its tag.
 * -ENOENT: none, or an event brought it. */
int rules_match(const struct rules *r, const struct socket_info *info, struct scitag *tag);
int rules_wants_sockets(const struct rules *r); /* does any socket matter? */
uint32_t rules_room(const struct rules *r);     /* 0, 8 or 16 bytes that segments must leave */

/* Text as in the configuration. NULL or "any" is everything. -EINVAL. */
int rules_prefix(uint64_t ip[2], uint64_t mask[2], const char *text);
int rules_ports(uint16_t *min, uint16_t *max, const char *text);
int rules_protocol(const char *text); /* 0 for any */
int rules_uid(uint32_t *uid, const char *text);
int rules_is_flow(const struct marker_rule *rule); /* a full five-tuple, not a wildcard */

#endif
