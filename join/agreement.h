/* Wire tag against claimed tag, of joined flows. A bounded table. Inside of join; one thread. */
#ifndef JOIN_AGREEMENT_H
#define JOIN_AGREEMENT_H

#include "join/join.h"

struct agreement; /* opaque */

struct agreement *agreement_open(void); /* NULL: no memory */
void agreement_close(struct agreement *a);
/* A joined flow showed `bytes` more. It stands in one cell at a time: *cell (0: none yet) is where it stood, and is set
 * to where it stands, *hour likewise. claim_registered: cells of claims that are not are fewer. */
void agreement_see(struct agreement *a, struct scitag wire, struct scitag claim,
		   int claim_registered, uint64_t bytes, uint32_t now_s, uint16_t *cell,
		   uint8_t *hour);
size_t agreement_list(const struct agreement *a, uint32_t now_s, struct agreement_cell *out,
		      size_t cap);
size_t agreement_memory_bytes(void);

#endif
