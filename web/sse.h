/* The live stream: an event a second, written once and fanned out; a reader that was away is first
 * given what the live ring still holds. Knows no HTTP: who carries the bytes reads with sse_read and
 * is put to sleep and woken through two functions.
 *
 * A reader never holds anybody up: it keeps a place in time, not a queue. One that takes less than is
 * published is ended; one whose connection takes nothing at all is its carrier's to end.
 * Any thread. */
#ifndef WEB_SSE_H
#define WEB_SSE_H

#include <stddef.h>
#include <sys/types.h>
#include "web/api.h"

#define SSE_READERS_MAX 64
#define SSE_PING_S      15
#define SSE_OWED_MAX    30 /* seconds published that a reader may have left untaken */
#define SSE_KEPT        16 /* seconds kept as text; older ones are made again */

struct sse;        /* opaque: the stream */
struct sse_reader; /* opaque: one who reads it */

/* ping_s 0: SSE_PING_S. api is borrowed. */
int sse_open(struct sse **out, const struct api *api, unsigned int ping_s);
/* Ends all readers: wakes them, and their next sse_read says so. Then wait until they are gone. */
void sse_stop(struct sse *s);
void sse_close(struct sse *s); /* no reader may be left; takes NULL */
/* A new newest second: wake everybody. */
void sse_publish(struct sse *s, const struct live_second *second, const struct bucket *rows);

/* sleep and wake are called with `arg`, never from two threads at once; between a sleep and its wake
 * sse_read is not called. after_utc_s: the last second already seen, CLOCK_NEVER none. -EAGAIN:
 * SSE_READERS_MAX are reading; -ESHUTDOWN. */
int sse_reader_open(struct sse_reader **out, struct sse *s, int64_t after_utc_s,
		    void (*sleep)(void *arg), void (*wake)(void *arg), void *arg);
void sse_reader_close(struct sse_reader *r);
/* The next bytes of the stream. 0: sleep was called; -ESHUTDOWN: the end; -ETIMEDOUT: too slow. */
ssize_t sse_read(struct sse_reader *r, char *buf, size_t cap_bytes);

#endif
