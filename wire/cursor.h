/* The bounded reader: the one way bytes from outside are looked at, in the kernel
 * and in user space. Check, then read; a read that does not fit tears the cursor,
 * yields zero, and every later read is refused, so that a record is read straight
 * down and `torn` is looked at once.
 *
 * Position is an offset, not a running pointer: the kernel's verifier follows
 * base + (off & CURSOR_MASK) through bounded loops, but gives up on a pointer that
 * moves by unknown amounts. In the kernel a packet is therefore read to
 * CURSOR_MASK bytes at the most (beyond: torn is CURSOR_FAR); in user space to 4 GiB.
 *
 * Pure, header-only; no allocation; the cursor owns nothing. */
#ifndef WIRE_CURSOR_H
#define WIRE_CURSOR_H

#include <linux/types.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

enum {
	CURSOR_TORN = 1, /* a read did not fit into what is there */
	CURSOR_FAR = 2,  /* kernel only: it may be there, but beyond the verifier's reach */
};

struct cursor {
	const __u8 *base; /* first byte of the record */
	const __u8 *end;  /* one past the last byte that is there */
	__u32 len;        /* bytes that may be read: end - base, or less when a header says so */
	__u32 off;        /* next unread byte, from base; never beyond len */
	__u32 torn;       /* why a read was refused, else 0; every later read is refused too */
	__u32 veil;       /* kernel only: always 0, which the verifier cannot know */
};

/* --- plain loads from bytes that cursor_take() has handed out ------------------------------ */

#ifdef __bpf__
/* One load each: BPF has wide loads at any address, but for a byte pointer clang 14 would
 * put every number together byte by byte. */
#define WIRE_LOAD(type, p) (*(const type *)(p))
#else
#define WIRE_LOAD(type, p)                                              \
	({                                                              \
		type wire_load_;                                        \
		__builtin_memcpy(&wire_load_, (p), sizeof(wire_load_)); \
		wire_load_;                                             \
	})
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WIRE_ORDER(bits, v) __builtin_bswap##bits(v)
#else
#define WIRE_ORDER(bits, v) (v)
#endif

static __always_inline __u16 wire_be16(const __u8 *p)
{
	return WIRE_ORDER(16, WIRE_LOAD(__u16, p));
}

static __always_inline __u32 wire_be24(const __u8 *p)
{
	return (__u32)p[0] << 16 | (__u32)p[1] << 8 | p[2];
}

static __always_inline __u32 wire_be32(const __u8 *p)
{
	return WIRE_ORDER(32, WIRE_LOAD(__u32, p));
}

static __always_inline __u64 wire_be64(const __u8 *p)
{
	return WIRE_ORDER(64, WIRE_LOAD(__u64, p));
}

/* Copy an IPv6 address. */
static __always_inline void wire_copy16(__u8 to[16], const __u8 *from)
{
#ifdef __bpf__
	((__u64 *)to)[0] = ((const __u64 *)from)[0];
	((__u64 *)to)[1] = ((const __u64 *)from)[1];
#else
	__builtin_memcpy(to, from, 16);
#endif
}

/* Write an IPv4 address as v4-mapped, ::ffff:a.b.c.d. */
static __always_inline void wire_map_ipv4(__u8 to[16], const __u8 *from)
{
#if defined(__bpf__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	__u64 address = *(const __u32 *)from;

	((__u64 *)to)[0] = 0;
	((__u64 *)to)[1] = address << 32 | 0xFFFF0000;
#else
	__builtin_memset(to, 0, 10);
	__builtin_memset(to + 10, 0xFF, 2);
	__builtin_memcpy(to + 12, from, 4);
#endif
}

/* --- the cursor ---------------------------------------------------------------------------- */

#ifdef __bpf__
#define CURSOR_MASK 0x3fffu /* 16 KiB: more than a jumbo frame */

/* The whole of a packet: data to data_end of the program's context. */
static __always_inline void cursor_init_packet(struct cursor *c, const void *data, const void *end)
{
	__u32 len = (const __u8 *)end - (const __u8 *)data, veil = len;

	__asm__ volatile("%0 -= %1" : "+r"(veil) : "r"(len));
	*c = (struct cursor){data, end, len, veil, 0, veil};
}

/* The same number, of which the verifier knows nothing any more. It tells two states of a
 * loop apart by what it knows of their scalars, and walks the rest of the program once for
 * each; where they were forgotten at the loop's head it sees one state and walks once. */
static __always_inline __u32 cursor_forget(const struct cursor *c, __u32 v)
{
	__asm__ volatile("%0 ^= %1" : "+r"(v) : "r"(c->veil));
	return v;
}
#else
/* len_bytes from bytes on; bytes may be NULL when len_bytes is 0. */
static inline void cursor_init(struct cursor *c, const void *bytes, __u32 len_bytes)
{
	const __u8 *base = (const __u8 *)bytes;

	*c = (struct cursor){base, len_bytes ? base + len_bytes : base, len_bytes, 0, 0, 0};
}

static __always_inline __u32 cursor_forget(const struct cursor *c, __u32 v)
{
	return v;
}
#endif

/* Bytes that can still be read; 0 once torn. */
static __always_inline __u32 cursor_left(const struct cursor *c)
{
	return c->torn ? 0 : c->len - c->off;
}

/* Let nothing be read beyond the next len_bytes. Never makes the record longer. */
static __always_inline void cursor_limit(struct cursor *c, __u32 len_bytes)
{
	if (len_bytes < c->len - c->off)
		c->len = c->off + len_bytes;
}

/* Take the next len_bytes and step over them; NULL, and torn, if they are not all there. */
static __always_inline const __u8 *cursor_take(struct cursor *c, __u32 len_bytes)
{
	const __u8 *p;

	if (c->torn)
		return 0;
	if (len_bytes > c->len - c->off) {
		c->torn = CURSOR_TORN;
		return 0;
	}
#ifdef __bpf__
	__u32 off = c->off;

	if (off > CURSOR_MASK) {
		c->torn = CURSOR_FAR;
		return 0;
	}
	__asm__ volatile("" : "+r"(off)); /* the mask is for the verifier: do not fold it away */
	p = c->base + (off & CURSOR_MASK);
	if (p + len_bytes > c->end) { /* never, by len; but this is what the verifier believes */
		c->torn = CURSOR_TORN;
		return 0;
	}
#else
	p = c->base + c->off;
#endif
	c->off += len_bytes;
	return p;
}

/* Look at len_bytes at `at`, whatever was read before; NULL if they are not all there. In the kernel
 * `at` must be a number whose bounds the verifier knows without being told. */
static __always_inline const __u8 *cursor_peek(const struct cursor *c, __u32 at, __u32 len_bytes)
{
#ifdef __bpf__
	const __u8 *p = c->base + at;

	if (p + len_bytes > c->end)
		return 0;
	__asm__("" : "+r"(p)); /* or clang 14 selects a pointer and compares again */
	return p;
#else
	return at > c->len || len_bytes > c->len - at ? 0 : c->base + at;
#endif
}

/* Step over the next len_bytes; torn if they are not all there. */
static __always_inline void cursor_skip(struct cursor *c, __u32 len_bytes)
{
	if (c->torn)
		return;
	if (len_bytes > c->len - c->off)
		c->torn = CURSOR_TORN;
	else
		c->off += len_bytes;
}

/* The next number; 0 when torn. */
static __always_inline __u8 cursor_u8(struct cursor *c)
{
	const __u8 *p = cursor_take(c, 1);

	return p ? p[0] : 0;
}

static __always_inline __u16 cursor_be16(struct cursor *c)
{
	const __u8 *p = cursor_take(c, 2);

	return p ? wire_be16(p) : 0;
}

static __always_inline __u32 cursor_be24(struct cursor *c)
{
	const __u8 *p = cursor_take(c, 3);

	return p ? wire_be24(p) : 0;
}

static __always_inline __u32 cursor_be32(struct cursor *c)
{
	const __u8 *p = cursor_take(c, 4);

	return p ? wire_be32(p) : 0;
}

static __always_inline __u64 cursor_be64(struct cursor *c)
{
	const __u8 *p = cursor_take(c, 8);

	return p ? wire_be64(p) : 0;
}

#endif
