/* A SciTag and the forms it travels in; nothing else.
 * Sources: draft-cc-v6ops-wlcg-flow-label-marking-03 section 4 (flow label); flowd-go
 * v2.0 to v2.4 (option forms, no RFC); scitag.flow as used by XRootD and dCache.
 * Pure, header-only; the same code in kernel and user space. */
#ifndef WIRE_SCITAG_H
#define WIRE_SCITAG_H

#include <linux/types.h>
#include "wire/cursor.h"

#define SCITAG_LABEL_MASK           0xFFFFFu /* the 20 bits of an IPv6 flow label */
#define SCITAG_ENTROPY_MASK         0xC0103u /* five bits chosen once per flow */
#define SCITAG_LABEL_EXPERIMENT_MAX 511u
#define SCITAG_EXPERIMENT_MAX       1023u /* scitag.flow and fireflies reach further than labels */
#define SCITAG_ACTIVITY_MAX         63u

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
#define SCITAG_CODES        65536u
#define SCITAG_LABEL_CODES  32768u
#define SCITAG_CODE_OUTSIDE SCITAG_CODES /* one cell for every pair beyond 1023/63 */

/* The registered pairs as bits, one per code; 8 KiB, shared with the kernel by value. */
struct scitag_set {
	__u64 bits[SCITAG_CODES / 64];
};

/* How an option says its tag. The experimental option types of RFC 4727 that flowd-go took:
 * each of its versions wrote another form; a writer of ours writes the plain one. */
enum scitag_dialect {
	SCITAG_DIALECT_NONE = 0,    /* no tag option */
	SCITAG_DIALECT_PLAIN = 1,   /* 1E/3: experiment (16 bits), activity (8); v2.3 and later */
	SCITAG_DIALECT_LABEL24 = 2, /* 1E/3: a 20-bit label with its entropy; v2.2 */
	SCITAG_DIALECT_LABEL32 = 3, /* 1F/4: a 20-bit label, then a zero byte; v2.0 and v2.1 */
};

#define SCITAG_OPTION_PLAIN 0x1E
#define SCITAG_OPTION_LABEL 0x1F

#define SCITAG_ERANGE (-34) /* -ERANGE, spelled out for the kernel, which has no errno.h */

/* The nine bits of an experiment stand mirrored in a label. */
static __always_inline __u32 scitag_mirror9(__u32 v)
{
	/* eight bits spread out by one multiplication and gathered by another; the ninth by hand */
	__u64 low8 = ((((v & 0xFF) * 0x80200802ULL) & 0x0884422110ULL) * 0x0101010101ULL) >> 32;

	return (__u32)(low8 & 0xFF) << 1 | (v >> 8 & 1);
}

/* Write the 20-bit label of a pair, with the five bits of `entropy` under SCITAG_ENTROPY_MASK.
 * 0, or SCITAG_ERANGE beyond 511/63 with *label untouched. */
static __always_inline int scitag_label_encode(__u32 *label, unsigned int experiment,
					       unsigned int activity, __u32 entropy)
{
	if (experiment > SCITAG_LABEL_EXPERIMENT_MAX || activity > SCITAG_ACTIVITY_MAX)
		return SCITAG_ERANGE;
	*label = scitag_mirror9(experiment) << 9 | activity << 2 | (entropy & SCITAG_ENTROPY_MASK);
	return 0;
}

/* Every label names a pair; whether it means one is the registry's to say. */
static __always_inline struct scitag scitag_label_decode(__u32 label)
{
	return (struct scitag){(__u16)scitag_mirror9(label >> 9 & 0x1FF),
			       (__u16)(label >> 2 & 0x3F)};
}

/* The pair as an index below SCITAG_CODES, or SCITAG_CODE_OUTSIDE. */
static __always_inline __u32 scitag_code(struct scitag tag)
{
	if (tag.experiment > SCITAG_EXPERIMENT_MAX || tag.activity > SCITAG_ACTIVITY_MAX)
		return SCITAG_CODE_OUTSIDE;
	return (__u32)tag.experiment << 6 | tag.activity;
}

/* 0, or SCITAG_ERANGE for a pair that has no code, and for 0/0, which is never registered. */
static inline int scitag_set_add(struct scitag_set *set, struct scitag tag)
{
	__u32 code = scitag_code(tag);

	if (code == 0 || code == SCITAG_CODE_OUTSIDE)
		return SCITAG_ERANGE;
	set->bits[code >> 6] |= 1ULL << (code & 63);
	return 0;
}

static __always_inline int scitag_set_has(const struct scitag_set *set, struct scitag tag)
{
	__u32 code = scitag_code(tag);

	if (code == SCITAG_CODE_OUTSIDE)
		return 0;
	return set->bits[code >> 6 & (SCITAG_CODES / 64 - 1)] >> (code & 63) & 1;
}

/* Read a tag option: `value` is the 24 data bits of 1E/3 or the 20-bit label of 1F/4. The two
 * forms of 1E/3 are told apart by what is registered: plain before label; neither is plain.
 * Returns the form and fills *out; SCITAG_DIALECT_NONE for any other type, *out untouched. */
static __always_inline enum scitag_dialect scitag_option_decode(struct scitag *out, __u8 type,
								__u32 value,
								const struct scitag_set *registered)
{
	struct scitag plain = {(__u16)(value >> 8), (__u16)(value & 0xFF)}, label;

	if (type == SCITAG_OPTION_LABEL) {
		*out = scitag_label_decode(value);
		return SCITAG_DIALECT_LABEL32;
	}
	if (type != SCITAG_OPTION_PLAIN)
		return SCITAG_DIALECT_NONE;
	*out = plain;
	if (value > SCITAG_LABEL_MASK || scitag_set_has(registered, plain))
		return SCITAG_DIALECT_PLAIN;
	label = scitag_label_decode(value);
	if (!scitag_set_has(registered, label))
		return SCITAG_DIALECT_PLAIN;
	*out = label;
	return SCITAG_DIALECT_LABEL24;
}

/* Write the six option bytes that fill an eight-byte extension header: the tag, then Pad1 where
 * there is room. Emit SCITAG_DIALECT_PLAIN; the others are for rehearsals of old senders.
 * 0, or SCITAG_ERANGE (plain: beyond 65535/255; labels: beyond 511/63; no such form), out
 * untouched. */
static inline int scitag_option_emit(__u8 out[6], enum scitag_dialect dialect, struct scitag tag,
				     __u32 entropy)
{
	__u32 value = (__u32)tag.experiment << 8 | tag.activity;

	if (dialect == SCITAG_DIALECT_PLAIN
		    ? tag.activity > 255
		    : scitag_label_encode(&value, tag.experiment, tag.activity, entropy) != 0)
		return SCITAG_ERANGE;
	switch (dialect) {
	case SCITAG_DIALECT_PLAIN:
	case SCITAG_DIALECT_LABEL24:
		out[0] = SCITAG_OPTION_PLAIN;
		out[1] = 3;
		break;
	case SCITAG_DIALECT_LABEL32:
		out[0] = SCITAG_OPTION_LABEL;
		out[1] = 4;
		break;
	default:
		return SCITAG_ERANGE;
	}
	out[2] = (__u8)(value >> 16);
	out[3] = (__u8)(value >> 8);
	out[4] = (__u8)value;
	out[5] = 0; /* Pad1, or the fourth data byte of 1F/4 */
	return 0;
}

/* scitag.flow: 65..65535, or 0 when the pair has no such number (beyond 1023/63, or 0/0..1/0). */
static __always_inline __u32 scitag_flow_number(struct scitag tag)
{
	__u32 code = scitag_code(tag);

	return code > 64 && code < SCITAG_CODE_OUTSIDE ? code : 0;
}

/* 64 (1/0, which dCache sends) to 65535; else SCITAG_ERANGE with *out untouched. */
static __always_inline int scitag_from_flow_number(__u32 number, struct scitag *out)
{
	if (number < 64 || number >= SCITAG_CODES)
		return SCITAG_ERANGE;
	*out = (struct scitag){(__u16)(number >> 6), (__u16)(number & 63)};
	return 0;
}

#endif
