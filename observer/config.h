/* What scitag-observer can be told, and what must hold between its options. */
#ifndef OBSERVER_CONFIG_H
#define OBSERVER_CONFIG_H

#include <net/if.h>
#include <stdint.h>
#include "base/opt.h"

struct observer_config {
	char *conf; /* --conf */
	int check, dump, help, version;
	struct opt_texts interfaces; /* IFACE[:MODE] */
	int capture_mirror, capture_busy_poll;
	int64_t capture_samples_per_s;
	struct opt_texts sflow_listen;
	struct opt_texts firefly_listen, firefly_relays;
	int64_t flows_max, claims_max;
	uint64_t claims_silence_s;
	int flows_drop_local; /* enum drop_local */
	struct opt_texts points_order, points_ignore;
	char *sites_cric, *sites_asn, *sites_country;
	struct opt_texts sites_own; /* NAME=PREFIX */
	char *http_listen;
	struct opt_texts http_hosts;
	char *database_url;
	uint64_t database_max_size_bytes;
	uint64_t keep_10s_s, keep_1m_s, keep_10m_s, keep_1h_s, keep_health_s;
	struct opt_texts site_prefixes;
	char *registry_url, *registry_cache;
	uint64_t registry_refresh_s;
	char *user; /* rights are dropped to; NULL: kept */
	int log_level;
	int log_time;
};

enum interface_mode { INTERFACE_AUTO, INTERFACE_XDP, INTERFACE_AFXDP, INTERFACE_PCAP };
struct interface_choice {
	char name[IF_NAMESIZE];
	enum interface_mode mode;
};
/* "eth1", "eth1:pcap". 0 or -EINVAL. */
int interface_parse(struct interface_choice *out, const char *text);

/* "192.0.2.1" or "2001:db8::1"; IPv4 becomes v4-mapped. 0 or -EINVAL. */
int config_address(uint8_t out[16], const char *text);

extern const struct opt_program observer_program; /* its table of options */

/* Defaults, then the file (the default one only if it exists), then the command line, then what must
 * hold between them. 0; -E2BIG for a wrong command line; -EINVAL, -ENOENT or -EACCES for the file;
 * everything is said on stderr. */
int observer_config_read(struct observer_config *cfg, int argc, char **argv);
void observer_config_free(struct observer_config *cfg);

#endif
