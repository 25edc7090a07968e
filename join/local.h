/* Flows that need not be followed, by their addresses. Pure. */
#ifndef JOIN_LOCAL_H
#define JOIN_LOCAL_H

#include "join/join.h"

/* By loopback, private addresses or one prefix; DROP_LOCAL_SAME_SITE is more than addresses tell: loopback only. */
int local_addresses(enum drop_local what, const struct flow_key *key);

#endif
