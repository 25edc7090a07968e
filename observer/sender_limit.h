/* How much one sender may say: a token bucket for each address, in a bounded table. When the table is
 * full, the sender of its set that is closest to a full bucket is forgotten, which takes nothing from
 * it but its debt. The clock is the caller's. One thread. */
#ifndef OBSERVER_SENDER_LIMIT_H
#define OBSERVER_SENDER_LIMIT_H

#include <stdint.h>

#define SENDER_LIMIT_SENDERS 4096

struct sender_limit; /* opaque */

/* Tokens come `per_s` a second and at most `per_s` gather. NULL: no memory. */
struct sender_limit *sender_limit_open(uint32_t per_s);
void sender_limit_close(struct sender_limit *l); /* takes NULL */
/* Take one token of this address: 1, or 0 when there is none. */
int sender_limit_take(struct sender_limit *l, const uint8_t ip[16], int64_t now_mono_ns);

#endif
