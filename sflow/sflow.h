/* One sFlow v5 datagram -> samples. Source: sFlow Version 5 (sflow.org, July 2004) with the
 * structure numbers 0:1 to 0:5 and the records named at each field; discarded packets: sFlow
 * Dropped Packet Notification Structures.
 * Pure: no socket, clock or log; safe from any thread. What an agent did over time (sequence,
 * loss, effective rate) is sflow/agent.h. */
#ifndef SFLOW_SFLOW_H
#define SFLOW_SFLOW_H

#include <stddef.h>
#include <stdint.h>
#include "wire/flow_key.h"
#include "wire/packet.h"

#define SFLOW_PORT 6343 /* UDP, registered with IANA */

enum sflow_verdict { /* of a datagram; order is shown on the health page by name */
		     SFLOW_OK = 0,
		     SFLOW_SHORT,   /* ends inside the datagram's own header or inside a sample */
		     SFLOW_VERSION, /* not version 5 */
		     SFLOW_AGENT_TYPE, /* neither IPv4 nor IPv6 agent */
		     SFLOW_MALFORMED,  /* a sample or record contradicts its length */
		     SFLOW_VERDICT_COUNT
};
const char *sflow_verdict_name(enum sflow_verdict verdict); /* "short", "version", ... */

struct sflow_datagram {
	uint8_t agent_ip[16]; /* IPv4 as v4-mapped */
	uint8_t agent_family; /* 4 or 6 */
	uint32_t sub_agent;
	uint32_t sequence;
	uint32_t uptime_ms;
	uint32_t n_samples;   /* as announced; the walk runs on bytes left */
	uint32_t fingerprint; /* of its length, first and last bytes: equal in copies */
};

enum sflow_sample_kind { SFLOW_FLOW, SFLOW_COUNTERS, SFLOW_DISCARD };

#define SFLOW_IF_UNKNOWN  0u
#define SFLOW_IF_INTERNAL 0x3FFFFFFFu
enum sflow_if_format {
	SFLOW_IF_INDEX = 0,
	SFLOW_IF_DISCARDED = 1,
	SFLOW_IF_MULTIPLE = 2,
	SFLOW_IF_RESERVED = 3 /* and whatever larger number an expanded sample names */
};

struct sflow_interface {
	uint8_t format; /* enum sflow_if_format */
	uint32_t value; /* ifIndex, reason code, or number of ports */
};

#define SFLOW_COUNTER_UNKNOWN UINT64_MAX /* all ones: the agent does not keep this counter */

/* One sample, pointing into the caller's datagram. Members that are not of its kind are zero. */
struct sflow_sample {
	enum sflow_sample_kind kind;
	uint32_t sequence;
	uint32_t source_class, source_index; /* the data source within the agent */
	uint32_t damaged_records;            /* passed over because they contradict their length */
	uint32_t skipped_records;            /* of kinds that we do not read */
	/* flow and discard */
	uint32_t rate; /* one in; 0 is passed on as 0 and counted by the caller. Discards: 1 */
	uint32_t pool;
	uint32_t drops;
	struct sflow_interface in, out;
	uint32_t discard_reason;
	/* Original length: frame_length of a raw header (stripped bytes included), else the length in
	 * sampled_ethernet 0:2, else key_ip_bytes; 0 when nothing says it. */
	uint32_t frame_bytes;
	/* the sampled packet: raw header 0:1 where there is one */
	uint8_t has_header;
	uint8_t header_link; /* enum packet_link; 0: header_protocol is one that we do not open */
	uint32_t header_protocol;
	uint32_t stripped_bytes;
	const uint8_t *header; /* header_bytes of it lie inside the datagram */
	uint32_t header_bytes;
	/* ... or sampled_ipv4 0:3 / sampled_ipv6 0:4, when no raw header that we open came: no label */
	uint8_t has_key;
	uint8_t key_tcp_flags;
	uint32_t key_ip_bytes;
	struct flow_key key;
	/* extended records, zero when absent */
	uint32_t src_vlan, dst_vlan;           /* 0:1001 */
	uint8_t next_hop[16];                  /* 0:1002 or 0:1003, v4-mapped; all zero: none */
	uint32_t src_mask_bits, dst_mask_bits; /* 0:1002 */
	uint32_t local_as, src_as, dst_as; /* 0:1003; dst_as is the last of the path, 0: no path */
	/* counters: generic interface counters 0:1, when has_if_counters */
	uint8_t has_if_counters;
	uint32_t if_index, if_type, if_status;
	uint64_t if_speed_bps, if_in_octets, if_out_octets; /* or SFLOW_COUNTER_UNKNOWN */
	uint32_t if_in_packets, if_out_packets;             /* unicast */
	uint32_t if_in_errors, if_out_errors, if_in_discards, if_out_discards;
};

/* Walks a datagram. Usage:
 *     struct sflow_reader r;
 *     verdict = sflow_open(&r, &datagram, buf, len);
 *     while (verdict == SFLOW_OK && sflow_next(&r, &sample, &verdict)) ...
 * Damage costs what it is in: a record that contradicts its length is passed over, a sample whose
 * own fields do not fit is passed over, a length that leaves the datagram ends it. What was given
 * is good and stays counted; the verdict is written once, when sflow_next returns 0. Samples of
 * unknown kind are stepped over, and bytes behind the last announced sample are not looked at. */
struct sflow_reader {
	struct cursor cursor;
	uint32_t samples_left;
	uint32_t skipped_samples; /* of kinds that we do not read */
	uint32_t damaged_samples;
	enum sflow_verdict verdict; /* so far */
};
/* Reads the datagram's header. *r and *out are untouched unless the answer is SFLOW_OK. */
enum sflow_verdict sflow_open(struct sflow_reader *r, struct sflow_datagram *out, const void *buf,
			      size_t len_bytes);
/* 1 and *out, or 0 and *verdict. */
int sflow_next(struct sflow_reader *r, struct sflow_sample *out, enum sflow_verdict *verdict);

#endif
