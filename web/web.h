/* HTTP, API, live stream and the dashboard. GET only; reads, never changes state.
 * Everything shown comes from the store and the registry; web_tick only says that a new second is
 * there. Threads: libmicrohttpd's own; web_tick from one thread. */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include <stdint.h>
#include "join/join.h"
#include "registry/keeper.h"
#include "store/store.h"

struct web; /* opaque */

struct web_config {
	const char *listen;       /* "127.0.0.1:10580", "[::1]:10580", ":10580" */
	const char *const *hosts; /* further names that a Host header may carry; NULL-terminated */
	const char *version;
	uint32_t connections_max; /* 0: 256 */
	uint32_t idle_timeout_s;  /* of a connection that takes and gives nothing; 0: 30 */
	uint32_t ping_s;          /* a line on a silent live stream; 0: 15 */
};

/* -EADDRINUSE, -EACCES, ...: said in the log with the address. join may be NULL; all three must
 * outlive it. */
int web_open(struct web **out, const struct web_config *cfg, struct store *store,
	     struct registry_keeper *registry, struct join *join);
void web_close(struct web *w);
/* The store has a new newest second: fan it out to the live streams. */
void web_tick(struct web *w);
/* host:port really bound (port 0 asks for a free one). Owned by w. */
const char *web_address(const struct web *w);

#endif
