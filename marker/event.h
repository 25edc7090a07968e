/* A flow event as a line of text, eight fields between blanks or tabs:
 *   STATE PROTO SRC_IP SRC_PORT DST_IP DST_PORT EXPERIMENT ACTIVITY
 *   start tcp 2001:db8:1::10 1094 2001:db8:2::20 40000 3 14
 * the form of flowd's and flowd-go's named pipes. STATE: start, end, ongoing; PROTO: tcp, udp, sctp;
 * any case; addresses may stand in brackets; numbers or registry names without their blanks. */
#ifndef MARKER_EVENT_H
#define MARKER_EVENT_H

#include "marker/rules.h"

#define EVENT_LINE_BYTES 512 /* the longest line, its end included */

/* Read one line (terminated, without its newline). with_state: the first field is STATE, else the
 * event is as it was. An optional last field names a strategy. -EINVAL with a sentence in why, *out
 * untouched. */
int event_parse(struct rules_flow_event *out, const char *line, int with_state,
		const struct registry *reg, char *why, size_t why_cap_bytes);

/* An address of either family, with or without brackets; IPv4 as v4-mapped. *family is 4 or 6.
 * -EINVAL. */
int event_address(uint8_t out[16], const char *text, uint8_t *family);

/* "tcp 2001:db8:1::10 1094 2001:db8:2::20 40000"; buf of 128 bytes is enough. Returns buf. */
char *event_format_key(char *buf, size_t cap_bytes, const struct flow_key *key);

#endif
