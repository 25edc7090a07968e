/* Connections of this host by what they are - local port, remote prefix, user, cgroup or systemd unit
 * - and the tag of each. The same rules are given to the kernel half as wildcards, which mark from
 * the first packet on, whether the daemon has seen the connection or not. */
#ifndef MARKER_SCAN_H
#define MARKER_SCAN_H

#include "marker/config.h"
#include "marker/sockets.h"

struct scan; /* opaque */

/* Names become numbers, units cgroups. A unit or cgroup that is not there yet is no error.
 * -EINVAL: said in the log. cfg is borrowed. */
int scan_open(struct scan **out, const struct marker_config *cfg, const struct registry *reg);
void scan_close(struct scan *s);

/* The rule that a connection falls under: its tag and strategy. 0, or -ENOENT. */
int scan_match(const struct scan *s, const struct socket_info *info, struct scitag *tag,
	       enum scitag_carrier *carrier);

/* Look whether units and cgroups came, went or were made anew: 1 if so, and the wildcards are to be
 * set again. */
int scan_refresh(struct scan *s);
/* Put the rules behind those of cfg->rules as wildcards, one for each pair of ports and prefix, in
 * place of those that an earlier call put there. -ENOMEM. */
int scan_set_wildcards(const struct scan *s, struct marker_config *cfg);

#endif
