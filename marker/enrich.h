/* What the kernel knows of a connection, as a member of a firefly, in the forms that flowd-go (v2.4.2)
 * has:
 *   lean        eleven of struct tcp_info in "tcpInfo", times in us, and "cong"
 *   compatible  flowd's flat names, integers; rtt, rttvar, rcv_rtt, rto, ato in ms, min_rtt and
 *               *_time in us, last_* in ms, rates in bytes a second
 *   full        all of struct tcp_info in "tcpInfo", times in us but last* in ms; "cong", "bbr",
 *               "tos", "memInfo", "skMemInfo", "vegasInfo", "dctcpInfo", "skBuff" beside it
 * firefly_emit() writes the lean one as "netlink", with XRootD's rtt beside it; the others, and "skOps",
 * are written here. Members stand in the order of their weight, and the last are left out where there
 * is no room. Pure. */
#ifndef MARKER_ENRICH_H
#define MARKER_ENRICH_H

#include <stddef.h>
#include "marker/tcp_info.h"

enum enrich_form { ENRICH_LEAN, ENRICH_COMPATIBLE, ENRICH_FULL };

/* Append a member of that name to a firefly of len_bytes, which ends with the brace of its JSON.
 * Returns the new length, which is the old one if nothing fits into cap_bytes. */
size_t enrich_append(char *buf, size_t len_bytes, size_t cap_bytes, const char *name,
		     enum enrich_form form, const struct tcp_detail *d);

#endif
