/* One firefly: what a sender says about one of its flows, in a UDP payload.
 * Source: SciTags firefly schema 1.0.0 - JSON, usually behind an RFC 5424 syslog header; UDP port
 * 10514 by convention - and the dialects of flowd, flowd-go, XRootD, dCache as their sources have
 * them (docs/fireflies.md). The marker emits, the observer parses; test_firefly holds the two to
 * emit -> parse -> equal. Pure: no socket, clock or log; safe from any thread. */
#ifndef FIREFLY_FIREFLY_H
#define FIREFLY_FIREFLY_H

#include <stddef.h>
#include <stdint.h>
#include "wire/flow_key.h"
#include "wire/scitag.h"

#define FIREFLY_PORT           10514
#define FIREFLY_EMIT_MAX_BYTES 1400 /* one frame on any path, header and all */
#define FIREFLY_TIME_UNKNOWN   INT64_MIN
#define FIREFLY_BYTES_UNSAID   UINT64_MAX
#define FIREFLY_RTT_UNSAID     (-1)

enum firefly_state { FIREFLY_START = 1, FIREFLY_ONGOING, FIREFLY_END };

enum firefly_producer { /* told by the header's app name and the application */
			FIREFLY_OTHER = 0,
			FIREFLY_FLOWD,
			FIREFLY_FLOWD_GO,
			FIREFLY_XROOTD,
			FIREFLY_DCACHE,
			FIREFLY_OURS,
			FIREFLY_PRODUCER_COUNT
};
const char *firefly_producer_name(enum firefly_producer p);

enum {                              /* firefly.flags: accepted, but worth a hint to the sender */
       FIREFLY_NO_HEADER = 1 << 0,  /* bare JSON */
       FIREFLY_ODD_HEADER = 1 << 1, /* text before the JSON without "firefly-json" */
       FIREFLY_NO_HEADER_TIME = 1 << 2, /* "-" or empty */
       FIREFLY_DUPLICATE_MEMBER = 1 << 3,
       FIREFLY_AFI_WRONG = 1 << 4, /* afi missing, or against the addresses: these are believed */
       FIREFLY_NO_TAG = 1 << 5,    /* 0/0, missing, or outside 0..1023 / 0..63 */
       FIREFLY_REPAIRED = 1 << 6,  /* dCache interval shifted back, or rebuilt */
       FIREFLY_BAD_INTERVAL = 1 << 7, /* end before start, or longer than 30 days: times dropped */
       FIREFLY_NO_PORTS = 1 << 8,     /* a protocol without ports */
       FIREFLY_MEMBER_ODD = 1 << 9,   /* an optional member had an unusable type; it was ignored */
       FIREFLY_USAGE_CUMULATIVE = 1 << 10, /* XRootD: counts since the connection opened */
};

/* What the sender's kernel says of the connection: flowd-go's lean set, counted as flowd-go counts
 * since the connection opened. All zero: unsaid. */
struct firefly_tcp {
	uint64_t sent_bytes; /* retransmissions included */
	uint64_t delivery_rate_bytes_per_s;
	uint32_t rtt_var_us, min_rtt_us;
	uint32_t retransmits; /* segments */
	uint32_t cwnd_segments, ssthresh_segments;
	uint32_t send_mss_bytes, advertised_mss_bytes;
	uint32_t path_mtu_bytes;
	char congestion[16]; /* the algorithm's name, "" unsaid */
};

struct firefly {
	enum firefly_state state;
	enum firefly_producer producer;
	uint32_t flags;
	struct flow_key key;    /* as its sender names it, never turned */
	struct scitag tag;      /* registry numbers; 0/0 when FIREFLY_NO_TAG */
	int64_t header_utc_us;  /* from the syslog header; FIREFLY_TIME_UNKNOWN */
	int64_t current_utc_us; /* FIREFLY_TIME_UNKNOWN if unsaid; so for the next two */
	int64_t start_utc_us;   /* after repair */
	int64_t end_utc_us;     /* unknown unless state is END */
	/* usage in the orientation of key, whatever the producer's view; FIREFLY_BYTES_UNSAID */
	uint64_t src_to_dst_bytes, dst_to_src_bytes;
	int64_t rtt_us;         /* FIREFLY_RTT_UNSAID */
	struct firefly_tcp tcp; /* written beside a round-trip time only */
	int32_t priority;       /* syslog PRI, -1 none */
	char application[64];   /* NUL-terminated UTF-8, cut at a character's start; "" unsaid */
	char host[64], app[32]; /* from the header; "" unsaid */
};

enum firefly_verdict {
	FIREFLY_OK = 0,
	FIREFLY_NO_JSON,     /* no JSON object in it, or broken JSON, or bytes behind it */
	FIREFLY_NOT_UTF8,    /* outside `application` */
	FIREFLY_BAD_VERSION, /* version other than 1 */
	FIREFLY_NO_FLOW_ID,  /* no flow-id, or one without addresses or protocol */
	FIREFLY_BAD_ADDRESS, /* unparsable, unspecified, or two families */
	FIREFLY_BAD_PORT,    /* missing or outside 1..65535, where the protocol has ports */
	FIREFLY_BAD_STATE,   /* missing, or not one of the three */
	FIREFLY_BAD_NUMBER,  /* an experiment or activity that is no integer */
	FIREFLY_TOO_LONG,    /* over 65507 bytes */
	FIREFLY_VERDICT_COUNT
};
const char *firefly_verdict_name(enum firefly_verdict v); /* "no_json", ... */

/* Parse one payload, neither trusted nor terminated; the caller keeps the bytes for relaying.
 * FIREFLY_OK fills *out; anything else leaves it alone. */
enum firefly_verdict firefly_parse(struct firefly *out, const void *buf, size_t len_bytes);

/* Write one payload: RFC 5424 header with priority 134, ff->host, ff->app and ff->current_utc_us,
 * then JSON in the schema's member order, times with six digits and +00:00. `application` must be
 * UTF-8. Rather than exceed cap_bytes or FIREFLY_EMIT_MAX_BYTES the round-trip time and what the
 * kernel says are left out first, then the byte counts. Returns its length in bytes, or -ENOSPC when the required members do
 * not fit either. Not terminated. */
int firefly_emit(const struct firefly *ff, void *buf, size_t cap_bytes);

#endif
