/* The marker's settings: flowd-go's names and defaults where flowd-go has them, so that its
 * conf.yaml is read as it is. One table feeds file, command line, --dump, --help and man page. */
#ifndef MARKER_CONFIG_H
#define MARKER_CONFIG_H

#include "base/opt.h"
#include "marker/mark.h"
#include "registry/registry.h"

enum marker_mode { MARKER_MODE_BPF = 0, MARKER_MODE_SOCKET };
enum marker_enrichment { MARKER_ENRICH_LEAN = 0, MARKER_ENRICH_COMPATIBLE, MARKER_ENRICH_FULL };
enum marker_entropy { MARKER_ENTROPY_RANDOM = 0, MARKER_ENTROPY_ZERO, MARKER_ENTROPY_HASH };

/* A flow or a wildcard as it stands in the file; every text may be NULL. */
struct marker_rule {
	char *protocol;
	char *src, *dst;           /* address or prefix */
	char *src_port, *dst_port; /* number or range */
	char *uid, *cgroup;
	char *experiment, *activity, *strategy;
};

/* Connections by what they are on this host; lists left out match all. */
struct marker_scan_rule {
	struct opt_texts local_ports, remote_prefixes; /* ports or ranges; prefixes */
	char *uid, *cgroup, *unit;
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
	char *pid_path; /* NULL: none */

	int api; /* section present */
	char *api_address, *api_socket;
	int64_t api_port; /* 0: the Unix socket only */
	struct opt_texts api_hosts;
	int api_dummy;

	int listener; /* of fireflies: section present */
	char *listener_address;
	int64_t listener_port;
	struct opt_texts relay_to; /* HOST:PORT */

	int perfsonar; /* section present */
	char *perfsonar_experiment, *perfsonar_activity;

	int iperf;                                                          /* section present */
	int64_t iperf_src_min, iperf_src_max, iperf_dst_min, iperf_dst_max; /* 0: no limit */
	int iperf_random;
	struct opt_texts iperf_experiments, iperf_activities;
	char *iperf_cgroup;

	int scan;                    /* section present */
	struct opt_items scan_rules; /* struct marker_scan_rule */
	size_t n_scan_wildcards;     /* the last of rules, made of these by scan_set_wildcards() */

	int firefly; /* out: section present */
	int64_t destination_port;
	int send_to_destination, prepend_syslog, send_to_collector;
	char *collector_address;
	int64_t collector_port;
	struct opt_texts collectors; /* HOST:PORT */
	uint64_t ongoing_s;          /* 0: never */
	int64_t firefly_rate_per_s;  /* 0: no limit */
	int enrich, enrichment_mode;
	int64_t firefly_max_bytes;
	int64_t wildcard_flows; /* connections under wildcards that are announced at a time */
	struct opt_map stun_mapping;
	struct opt_texts stun_servers;

	int exporter; /* Prometheus: section present */
	char *exporter_address;
	int64_t exporter_netlink_port, exporter_skops_port; /* 0: none */
	int exporter_log;
	int64_t exporter_flows_max; /* 0: no series of single flows */

	int enrichers, netlink, skops; /* sections present */
	int64_t enrich_period_ms;
	int64_t netlink_protocol, netlink_ext, netlink_state;
	char *skops_cgroup;
	int skops_strategy;
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
