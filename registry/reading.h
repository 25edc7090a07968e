/* What a value that somebody found in a log, a packet or a mail may mean as a SciTag: every reading
 * of it, the most likely first. Behind `scitag decode` and /api/v1/decode.
 *
 * Understood: a flow label (0xb0138, 721208, b0138), the first word of an IPv6 header (0x600b0138),
 * a scitag.flow number (206), a pair (3.14, 3/14, 3:14, cms/14, cms:"Analysis Input"), the bytes of a
 * tag option in each of the three forms that senders have used (1e0300030e), with or without the
 * extension header around it (06001e0300030e00, two headers in a row), and its three data bytes alone
 * (00030e). Bytes may be set apart by blanks, ':', '-', ',', "0x" or "\x".
 *
 * Names belong to the registry that was asked. Pure; safe from any thread. */
#ifndef REGISTRY_READING_H
#define REGISTRY_READING_H

#include <stddef.h>
#include <stdint.h>
#include "registry/registry.h"
#include "wire/scitag.h"

#define READINGS_MAX     8
#define READING_TEXT_MAX 512 /* longer values are refused */

enum reading_as { READING_LABEL, READING_OPTION, READING_SCITAG, READING_PAIR };

struct reading {
	enum reading_as as;
	struct scitag tag;
	enum scitag_dialect dialect; /* of an option */
	int registered;              /* the pair is in the registry */
	const char *experiment;      /* NULL: not registered */
	const char *activity;        /* NULL: not registered */
	int has_entropy;             /* the value held a label */
	uint32_t entropy;            /* its five bits, in place: under SCITAG_ENTROPY_MASK */
	/* The same tag in every form it can travel in. */
	int has_label;        /* 0: beyond 511/63 */
	uint32_t label;       /* with the value's entropy, else with none */
	int has_option;       /* 0: beyond 65535/255, which cannot happen here */
	uint8_t option[5];    /* plain form: 1e 03, experiment (2), activity */
	uint32_t scitag_flow; /* 0: it has no such number */
	char note[160];       /* a sentence for people, "" if there is nothing to say */
};

/* Fills out[0..cap) and returns how many; 0 when the value is none of this. */
size_t reading_of(const struct registry *r, const char *text, struct reading *out, size_t cap);

/* "label", "option", "scitag", "pair". */
const char *reading_as_name(enum reading_as as);

#endif
