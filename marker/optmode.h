/* The mode without programs, for kernels that refuse ours: the options are set on the live socket
 * of a flow, wherever it is held (pidfd_getfd(2), IPV6_DSTOPTS and IPV6_HOPOPTS of RFC 3542). The
 * kernel then makes the room itself, and knows the path MTU. Limits: the handshake has passed
 * already; options that the application had set are replaced; labels cannot be changed this way. */
#ifndef MARKER_OPTMODE_H
#define MARKER_OPTMODE_H

#include <stdint.h>
#include "marker/mark_shared.h"

/* Set the tag's options on the socket with this inode, or clear them (tag NULL). -ENOENT: no
 * process holds it; -EOPNOTSUPP: the tag is a label. */
int optmode_apply(uint32_t inode, const struct mark_tag *tag);

#endif
