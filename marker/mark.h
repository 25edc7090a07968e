/* The kernel half, held by its handle: load or adopt, attach, fill the tables, read the counters.
 *
 * The programs hang on each interface as clsact filters, or as tcx links where the kernel has them
 * and a bpffs is there to pin them in; both outlive the process. Their maps hold all that must
 * survive: a successor finds the programs on the interface, takes over their maps and replaces the
 * programs in one step, so that marks go on without a gap. If nobody comes, the heartbeat in the
 * maps grows old and nothing is stamped after MARK_HEARTBEAT_NS.
 *
 * Filters, links and qdiscs that are not ours are never touched. Not thread-safe. */
#ifndef MARKER_MARK_H
#define MARKER_MARK_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include "marker/mark_shared.h"

#define MARK_MAX_IFACES 64

enum mark_attach { MARK_ATTACH_AUTO = 0, MARK_ATTACH_CLSACT, MARK_ATTACH_TCX };

struct mark_options {
	uint32_t flows_max;
	enum mark_attach attach;
	const char *bpffs; /* where tcx links are pinned; NULL: /sys/fs/bpf */
	int dry_run;       /* look, load and verify, but change nothing on any interface */
};

struct mark; /* opaque */

/* Load the programs; adopt the maps of a predecessor found on one of the interfaces. The heartbeat
 * starts. *adopted says whether there was one. Negative errno, said in the log. */
int mark_open(struct mark **out, const struct mark_options *opt, const char *const *ifnames,
	      size_t n, int *adopted);
/* Ends the process' hold; what is attached stays (see mark_detach_all). NULL is fine. */
void mark_close(struct mark *m);

/* Attach both programs, or replace a predecessor's. Idempotent; on failure nothing of ours is left. */
int mark_attach(struct mark *m, const char *ifname);
/* Take our filters off an interface, and the qdisc if we brought it and nobody else uses it. */
int mark_detach(struct mark *m, const char *ifname);

/* Everything of ours from every interface of this network namespace, whoever left it. Returns how
 * many filters and links were removed (with dry_run: would be), or -errno. */
int mark_clean(const char *bpffs, int dry_run);

/* The interfaces' memory. -ENOENT. */
int mark_get_iface(const struct mark *m, uint32_t ifindex, struct mark_iface *out);
int mark_put_iface(struct mark *m, uint32_t ifindex, const struct mark_iface *in);

/* Flows. -E2BIG when the table is full, -ENOENT; -EEXIST if another flow has the same place (one in
 * a billion). flow->key, owner and owned are filled in; counts go on from what flow says. */
int mark_put(struct mark *m, const struct flow_key *key, const struct mark_flow *flow);
int mark_get(const struct mark *m, const struct flow_key *key, struct mark_flow *out);
int mark_drop(struct mark *m, const struct flow_key *key);
/* Call each for every flow (a snapshot in the kernel's order); flows may be dropped from within. */
int mark_each(struct mark *m,
	      void (*each)(void *arg, const struct flow_key *key, const struct mark_flow *flow),
	      void *arg);

/* Wildcards, first match wins; n <= MARK_MAX_RULES. Counts of a rule that did not change go on. */
int mark_set_rules(struct mark *m, const struct mark_rule *rules, size_t n);
int mark_get_rule(const struct mark *m, size_t i, struct mark_rule *out);
/* room_bytes, prefixes and entropy_key; the rest is this room's own. */
int mark_set_settings(struct mark *m, const struct mark_settings *s);
void mark_get_settings(const struct mark *m, struct mark_settings *out);

/* Once a second: I am alive. */
int mark_beat(struct mark *m);
/* Of all flows and rules, those that are gone too. */
void mark_totals(struct mark *m, struct mark_count out[MARK_RESULT_COUNT]);

const char *mark_result_name(enum mark_result r); /* "marked", "no_room", ... */
/* "clsact prio 1" or "tcx", what hangs on the interface; "" if nothing of ours does. */
void mark_describe(const struct mark *m, const char *ifname, char *buf, size_t cap_bytes);
/* Descriptor of a program, for tests and benchmarks. */
int mark_program_fd(const struct mark *m, int egress);

#endif
