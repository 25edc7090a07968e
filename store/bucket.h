#ifndef STORE_BUCKET_H
#define STORE_BUCKET_H

#include "store/store.h"

/* A new bucket of b's second with the rows and claims of both, the newer statuses and b's glimpses;
 * a may be NULL, then it is a copy of these. NULL: no memory. */
struct bucket *bucket_join(const struct bucket *a, const struct bucket *b);

/* flow_row_key but for the application's number. */
struct traffic_key bucket_flow_key(const struct flow_row *f);

#endif
