/* The bounded reader: the one way bytes from outside are looked at, in the kernel
 * and in user space. Check, then read; a read that does not fit tears the cursor,
 * yields zero, and every later read is refused, so that a record is read straight
 * down and `torn` is looked at once.
 *
 * Position is an offset, not a running pointer: the kernel's verifier follows
 * base + (off & CURSOR_MASK) through bounded loops, but gives up on a pointer that
 * moves by unknown amounts. In the kernel a packet is therefore read to
 * CURSOR_MASK bytes at the most; in user space to 4 GiB.
 *
 * Pure, header-only; no allocation; the cursor owns nothing. */
#ifndef WIRE_CURSOR_H
#define WIRE_CURSOR_H

#include <linux/types.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

struct cursor {
	const __u8 *base; /* first byte of the record */
	const __u8 *end;  /* one past the last readable byte */
	__u32 off;        /* next unread byte, from base */
	__u32 torn;       /* a read did not fit; every later read is refused */
};

#endif
