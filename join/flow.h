/* The records of the join: what the wire showed of a flow, what a sender claimed of it, and both
 * together. Plain data, no pointers: copied out to whoever asks. */
#ifndef JOIN_FLOW_H
#define JOIN_FLOW_H

#include "firefly/firefly.h"
#include "wire/packet.h"

/* --- what comes in, once a second ----------------------------------------------------------- */

/* What one source saw of one flow with one tag in one second. A flow that changed its tag within the
 * second comes twice, so that each of these lies in exactly one cell of the traffic rows. */
struct seen {
	struct flow_key key; /* as on the wire: src is who sent */
	int64_t first_utc_us, last_utc_us;
	uint64_t packets, bytes, ip_bytes; /* estimates: weight times what was seen */
	double bytes_variance;             /* as struct traffic_value's */
	uint32_t samples;
	uint32_t label;        /* newest, 20 bits */
	uint16_t source;       /* store_source_id */
	uint8_t direction;     /* enum direction */
	uint8_t tcp_flags;     /* of all its packets, or'ed */
	struct packet_tag tag; /* grade before any claim */
	uint8_t label_hidden;  /* IPv6, but its source shows no label: untagged says nothing */
};

/* A firefly that was heard, as parsed; usage still as its sender counts it. */
struct heard {
	struct firefly firefly;
	int64_t heard_utc_us;
	uint8_t sender_ip[16]; /* of the datagram, IPv4 as v4-mapped */
};

/* --- the wire's side ------------------------------------------------------------------------ */

enum { FLOW_THERE = 0, FLOW_BACK = 1 }; /* key.src -> key.dst, and the other way */

/* Why a flow has its grade, and what speaks for or against it (flow.evidence). */
enum {
	FLOW_OPTION = 1 << 0,         /* a registered tag in an extension header */
	FLOW_CLAIM_SAME = 1 << 1,     /* a claim with the same tag */
	FLOW_CLAIM_OTHER = 1 << 2,    /* a claim with another registered tag */
	FLOW_TRANSITION = 1 << 3,     /* an unregistered label became a registered one, or back */
	FLOW_HOST_EXCESS = 1 << 4,    /* its sender has more registered labels than chance allows */
	FLOW_BOTH_WAYS = 1 << 5,      /* the same registered pair in both directions */
	FLOW_BIT19 = 1 << 6,          /* its host sets bit 19 in every label but this one */
	FLOW_HEADERS_DIFFER = 1 << 7, /* hop-by-hop and destination options disagree */
	FLOW_NAT = 1 << 8,            /* joined by the sender's public address */
	FLOW_ONE_PORT = 1 << 9,       /* joined by addresses and one port (dCache, StoRM) */
	FLOW_SAME_HOSTS = 1 << 10,    /* a claim between the same hosts, not joined: no port fits */
	FLOW_REVERSED = 1 << 11,      /* the claim names its ends the other way around */
	FLOW_CLAIM_STRANGER =
		1 << 12, /* the claim's sender is no end of the flow and no known relay */
	FLOW_SEVERAL_POINTS =
		1 << 13,           /* more than one observation point saw a way; one is counted */
	FLOW_CLAIM_DEAD = 1 << 14, /* the claim's tag is not in the registry */
};

struct flow_way { /* one direction of a flow */
	uint64_t packets, bytes, ip_bytes;
	double bytes_variance;
	int64_t first_utc_us, last_utc_us; /* CLOCK_NEVER: nothing seen */
	uint32_t samples;
	uint32_t tagged_samples; /* with `tag` */
	uint32_t label;          /* newest */
	struct scitag tag;       /* the registered one if there ever was one, else the newest */
	uint8_t carrier;         /* enum scitag_carrier of `tag` */
	uint8_t wire_grade;      /* of `tag`, before any claim */
	uint8_t direction;       /* enum direction */
	uint8_t tcp_flags;
};

enum flow_state {
	FLOW_ACTIVE = 1,
	FLOW_ENDED,   /* FIN, RST or the claim's END, or silent for JOIN_IDLE_S */
	FLOW_EVICTED, /* the table was full */
};

struct flow {
	struct flow_key
		key; /* FLOW_THERE is the data's direction: the way with more bytes, or, when
			      * nothing was seen yet, the claim's */
	struct flow_way way[2];
	int64_t first_utc_us, last_utc_us; /* of both ways */
	uint16_t point;                    /* the source whose counts are the data way's */
	uint8_t n_points;                  /* sources that saw it */
	uint8_t grade;                     /* enum scitag_grade, with the claim */
	uint8_t state;                     /* enum flow_state */
	uint8_t has_claim;
	uint16_t src_site, dst_site; /* store_site_id; 0 none known */
	uint32_t evidence;
};

/* --- the sender's side ---------------------------------------------------------------------- */

enum claim_state {
	CLAIM_OPEN = 1,
	CLAIM_ENDED,      /* its END came */
	CLAIM_SUPERSEDED, /* a later START for the same 5-tuple */
	CLAIM_EXPIRED,    /* silent for JOIN_CLAIM_SILENT_S */
	CLAIM_EVICTED,    /* the table was full */
};
enum claim_provenance { CLAIM_FROM_END = 1, CLAIM_FROM_RELAY, CLAIM_FROM_STRANGER };

enum {                              /* claim.oddities: each has its hint in join/senders.h */
       CLAIM_NO_START = 1 << 0,     /* END or ONGOING without START */
       CLAIM_CLOCK = 1 << 1,        /* the sender's clock is more than JOIN_CLOCK_S off */
       CLAIM_ZERO_USAGE = 1 << 2,   /* END with usage 0 in both directions, or none */
       CLAIM_DEAD_NUMBER = 1 << 3,  /* tag not in the registry */
       CLAIM_NO_TAG = 1 << 4,       /* 0/0, missing or outside */
       CLAIM_REVERSED = 1 << 5,     /* the wire's data flow from dst to src */
       CLAIM_OTHER_TAG = 1 << 6,    /* the wire says another registered tag */
       CLAIM_UNMARKED = 1 << 7,     /* seen on the wire without a usable tag */
       CLAIM_UNSEEN = 1 << 8,       /* ended without being seen on the wire */
       CLAIM_BAD_INTERVAL = 1 << 9, /* end before start, or longer than 30 days */
       CLAIM_REPAIRED = 1 << 10,    /* dCache's interval was shifted back */
       CLAIM_NO_HEADER = 1 << 11,   /* bare JSON, or no time in the header */
       CLAIM_PRIVATE = 1 << 12,     /* carries a private address */
       CLAIM_STRANGER = 1 << 13,
       CLAIM_ODDITIES = 14
};

struct claim {
	struct flow_key key;   /* as its sender names it, never turned */
	uint8_t sender_ip[16]; /* of the newest datagram */
	struct scitag tag;
	uint32_t oddities;
	uint32_t flags;                   /* enum firefly flags of the newest */
	int64_t start_utc_us, end_utc_us; /* after repair; CLOCK_NEVER unsaid */
	int64_t first_heard_utc_us, last_heard_utc_us;
	int64_t clock_offset_us; /* heard less said, newest; CLOCK_NEVER unsaid */
	/* of this flow alone (XRootD: END less START), in the orientation of key; FIREFLY_BYTES_UNSAID */
	uint64_t src_to_dst_bytes, dst_to_src_bytes;
	uint64_t first_src_to_dst_bytes, first_dst_to_src_bytes; /* what a cumulative START said */
	uint64_t booked_bytes; /* of the data direction, spread over its life so far */
	int64_t booked_until_utc_us;
	int64_t rtt_us; /* FIREFLY_RTT_UNSAID */
	uint32_t starts, ongoings, ends, duplicates;
	uint8_t state;      /* enum claim_state */
	uint8_t producer;   /* enum firefly_producer */
	uint8_t provenance; /* enum claim_provenance */
	uint8_t joined;     /* a flow was seen for it */
	char application[32];
};

/* Both, as handed out. Without a flow (announced, never seen) flow.way[].samples are 0. */
struct flow_view {
	struct flow flow;
	struct claim claim; /* valid when flow.has_claim */
};

#endif
