/* How the world knows our addresses, where a translator stands between: by a table of the
 * administrator's, and, if servers are named, by asking them with STUN (RFC 8489: a binding request
 * over UDP, XOR-MAPPED-ADDRESS), once an hour and family. Never waits. Not thread-safe. */
#ifndef MARKER_SOURCE_MAP_H
#define MARKER_SOURCE_MAP_H

#include <stddef.h>
#include <stdint.h>
#include "base/opt.h"

#define SOURCE_MAP_MAX       256
#define SOURCE_MAP_STUN_PORT 3478
#define STUN_REQUEST_BYTES   20
#define STUN_ANSWER_BYTES    1500

struct source_map; /* opaque */

struct source_map_counters {
	uint64_t asked, answered, unanswered;
	uint64_t rejected; /* answers that are none */
};

/* manual: internal address -> external one of the same family. servers: host or host:port, tried in
 * turn. -EINVAL, said in the log. */
int source_map_open(struct source_map **out, const struct opt_map *manual,
		    const struct opt_texts *servers);
void source_map_close(struct source_map *m);

/* A few times a second. */
void source_map_tick(struct source_map *m, int64_t now_mono_ns);
/* Put the external address, if one is known, in place of ip (in flow_key's form). The table goes
 * before what servers say. m may be NULL. */
void source_map_apply(const struct source_map *m, uint8_t ip[16]);
void source_map_count(const struct source_map *m, struct source_map_counters *out);

/* "192.0.2.1" or "2001:db8::1" in flow_key's form: its family, 4 or 6, or -EINVAL. */
int source_map_address(uint8_t ip[16], const char *text);

/* The two halves of STUN: a request with this transaction id; and the answer to it, neither trusted
 * nor terminated: 0 and the address in flow_key's form, or -EBADMSG. */
void stun_request(uint8_t out[STUN_REQUEST_BYTES], const uint8_t id[12]);
int stun_answer(uint8_t ip[16], const uint8_t id[12], const void *buf, size_t len_bytes);

#endif
