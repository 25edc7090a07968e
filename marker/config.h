/* The marker's settings: flowd-go's names and defaults where flowd-go has them, so that its
 * conf.yaml is read as it is. One table feeds file, command line, --dump, --help and man page. */
#ifndef MARKER_CONFIG_H
#define MARKER_CONFIG_H

#include "base/opt.h"
#include "marker/mark.h"
#include "registry/registry.h"

enum marker_mode { MARKER_MODE_BPF = 0, MARKER_MODE_SOCKET };
enum marker_entropy { MARKER_ENTROPY_RANDOM = 0, MARKER_ENTROPY_ZERO, MARKER_ENTROPY_HASH };

/* A flow or a wildcard as it stands in the file; every text may be NULL. */
struct marker_rule {
	char *protocol;
	char *src, *dst;           /* address or prefix */
	char *src_port, *dst_port; /* number or range */
	char *uid, *cgroup;
	char *experiment, *activity, *strategy;
};

struct marker_config {
	char *conf;
	int check, dump, help, version, man, completion;
	int dry_run, json, prometheus;
	int log_level, log_time;

	int marker; /* section present */
	struct opt_texts interfaces;
	int discover_interfaces;
	int remove_qdisc;
	char *strategy;
	int match_all;
	char *experiment, *activity; /* of match_all */
	int mode, attach, entropy;
	int keep_on_stop, limit_big_tcp, hint_open_flows;
	int64_t flows_max, option_type;
	uint64_t linger_s, idle_s;
	struct opt_texts room_for;
	struct opt_items rules; /* struct marker_rule */
	char *bpffs;

	int named_pipe; /* section present */
	char *pipe_path;
	char *control_path;
};

extern const struct opt_program marker_program;

/* "label", "destination", "hopByHop", "hopByHopDestination" in any case; -EINVAL. "auto" is
 * CARRIER_NONE. */
int marker_strategy(const char *text);
const char *marker_strategy_name(enum scitag_carrier carrier);

/* Defaults, then the file (the default one only if it exists), then the command line, then what must
 * hold between them; *rest is the index of the first argument that is no option. 0; -E2BIG for a
 * wrong command line; -EINVAL, -ENOENT or -EACCES for the file; everything is said on stderr. */
int marker_config_read(struct marker_config *cfg, int argc, char **argv, int *rest);
void marker_config_free(struct marker_config *cfg);

/* Numbers or registry names, refused outside 1..511 / 1..63 (0/0: announce only, when allowed).
 * -EINVAL with a sentence in why. */
int marker_tag(struct scitag *out, const struct registry *r, const char *experiment,
	       const char *activity, char *why, size_t why_cap_bytes);

#endif
