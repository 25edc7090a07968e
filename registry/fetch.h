/* One document over HTTP(S), in memory: certificates verified, at most 4 MiB, at most 30 s, no
 * redirect from https to http. Safe from any thread. */
#ifndef REGISTRY_FETCH_H
#define REGISTRY_FETCH_H

#include <stddef.h>

#define FETCH_STAMP_BYTES 256

struct fetch_stamps { /* of the answer before; sent back, so that "not modified" can be said */
	char etag[FETCH_STAMP_BYTES];
	char last_modified[FETCH_STAMP_BYTES];
};

/* 0 with *body (free it) and new stamps; 1: not modified; -EIO with a sentence in why. `stamps` may
 * be NULL; so may `stop`: once *stop is not 0 the call ends within about a second. */
int fetch_document(const char *url, struct fetch_stamps *stamps, char **body, size_t *len_bytes,
		   const int *stop, char *why, size_t why_cap_bytes);
/* Not 0 if the URL is one we would ask: https, or http, which nobody vouches for. */
int fetch_is_url(const char *text);

#endif
