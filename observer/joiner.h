/* The join as the configuration wants it, and what it needs of the outside: site files that are read again when
 * they change, the registry of the day. Outlives the inputs, so that a reload loses no flow. One thread. */
#ifndef OBSERVER_JOINER_H
#define OBSERVER_JOINER_H

#include "join/join.h"
#include "join/sites.h"
#include "observer/config.h"
#include "registry/keeper.h"

struct joiner; /* opaque */

/* -ENOMEM, said in the log. */
int joiner_open(struct joiner **out, const struct observer_config *cfg, struct store *store,
		struct registry_keeper *registry);
void joiner_close(struct joiner *j); /* takes NULL */
struct join *joiner_join(struct joiner *j);
/* Another configuration: relays, points, drop_local, silence and sites; the tables stay as large as they are. */
void joiner_reload(struct joiner *j, const struct observer_config *cfg);
/* Once a second: a new registry; once a minute: do the site files still say what they said. */
void joiner_turn(struct joiner *j);

#endif
