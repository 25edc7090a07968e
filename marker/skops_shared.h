/* What the sock_ops program tells of TCP connections, both worlds. Include it before the skeleton. */
#ifndef MARKER_SKOPS_SHARED_H
#define MARKER_SKOPS_SHARED_H

#include <linux/types.h>
#include "wire/flow_key.h"

#define SKOPS_RING_BYTES (512 * 1024)

enum skops_what { SKOPS_OPENED = 1, SKOPS_CLOSED };

struct skops_event {
	struct flow_key key; /* src is the local end */
	__u32 what;          /* enum skops_what */
	__u32 pad;           /* always 0 */
};
_Static_assert(sizeof(struct skops_event) == 48, "skops_event is shared with the kernel");

#endif
