/* A SciTag and the forms it travels in; nothing else.
 * Sources: draft-cc-v6ops-wlcg-flow-label-marking-03 section 4 (flow label); flowd-go
 * v2.0 to v2.4 (option forms, no RFC); scitag.flow as used by XRootD and dCache.
 * Pure, header-only; the same code in kernel and user space. */
#ifndef WIRE_SCITAG_H
#define WIRE_SCITAG_H

#include <linux/types.h>
#include "wire/cursor.h"

#define SCITAG_LABEL_MASK 0xFFFFFu   /* the 20 bits of an IPv6 flow label */
#define SCITAG_ENTROPY_MASK 0xC0103u /* five bits chosen once per flow */
#define SCITAG_LABEL_EXPERIMENT_MAX 511u
#define SCITAG_EXPERIMENT_MAX 1023u /* scitag.flow and fireflies reach further than labels */
#define SCITAG_ACTIVITY_MAX 63u

/* Registry numbers, as they were on the wire: an option may hold anything up to
 * 65535/255, a label 511/63. Names are looked up only where something is shown. */
struct scitag {
	__u16 experiment;
	__u16 activity;
};

/* How the tag was carried. The order is stored in databases: append only. */
enum scitag_carrier {
	CARRIER_NONE = 0,
	CARRIER_LABEL = 1,
	CARRIER_DESTINATION = 2,
	CARRIER_HOP_BY_HOP = 3,
	CARRIER_HOP_BY_HOP_DESTINATION = 4,
	CARRIER_COUNT
};

/* How much a tag is to be believed. The order is stored in databases: append only. */
enum scitag_grade {
	GRADE_UNTAGGED = 0,     /* label 0, IPv4, no IP, or no tag to be seen */
	GRADE_UNREGISTERED = 1, /* a label or option whose pair is not in the registry */
	GRADE_REGISTERED = 2,   /* a label whose pair is in the registry, nothing else known */
	GRADE_CONFIRMED = 3,    /* an option with a registered pair, or a claim says the same */
	GRADE_DISAGREE = 4,     /* a claim, or the packet's other header, says another tag */
	GRADE_CLAIMED = 5,      /* no usable tag on the wire, but a claim names one */
	GRADE_COUNT
};

/* A tag as an index: experiment * 64 + activity, which is also its scitag.flow number.
 * Labels use the first 32,768; experiments up to 1023 fit for the sake of fireflies. */
#define SCITAG_CODES 65536u
#define SCITAG_LABEL_CODES 32768u
#define SCITAG_CODE_OUTSIDE SCITAG_CODES /* one cell for every pair beyond 1023/63 */

/* The registered pairs as bits, one per code; 8 KiB, shared with the kernel by value. */
struct scitag_set {
	__u64 bits[SCITAG_CODES / 64];
};

#endif
