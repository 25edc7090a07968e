#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observer/config.h"
#include "observer/site.h"

#define DEFAULT_FILE    "/etc/scitag/observer.yaml"
#define SITE_NAME_BYTES 64 /* with its end, as in struct site_info */
#define AT(member)      offsetof(struct observer_config, member)

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const drop_locals[] = {/* enum drop_local */
					  "none",        "loopback",  "private",
					  "same-prefix", "same-site", NULL};

int interface_parse(struct interface_choice *out, const char *text)
{
	static const char *const modes[] = {"auto", "xdp", "afxdp", "pcap"};
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);

	out->mode = INTERFACE_AUTO;
	if (!len || len >= sizeof(out->name))
		return -EINVAL;
	memcpy(out->name, text, len);
	out->name[len] = 0;
	if (!colon)
		return 0;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!strcmp(colon + 1, modes[i])) {
			out->mode = (enum interface_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *check_interface(const char *text)
{
	struct interface_choice choice;

	return interface_parse(&choice, text) ? "expected IFACE or IFACE:auto|xdp|afxdp|pcap"
					      : NULL;
}

int config_address(uint8_t out[16], const char *text)
{
	uint8_t ip[16] = {[10] = 0xFF, [11] = 0xFF};

	if (inet_pton(AF_INET, text, ip + 12) != 1 && inet_pton(AF_INET6, text, ip) != 1)
		return -EINVAL;
	memcpy(out, ip, sizeof(ip));
	return 0;
}

static const char *check_address(const char *text)
{
	uint8_t ip[16];

	return config_address(ip, text) ? "expected an address such as 2001:db8::1 or 192.0.2.1"
					: NULL;
}

static const char *check_prefix(const char *text)
{
	char why[8];
	struct site *site;

	if (site_open(&site, &text, 1, why, sizeof(why)))
		return "expected an address prefix such as 2001:db8:1::/48 or 192.0.2.0/24";
	site_close(site);
	return NULL;
}

static const char *check_own(const char *text)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text || equals - text >= SITE_NAME_BYTES ||
	    check_prefix(equals + 1))
		return "expected NAME=PREFIX, for instance SITE-A=2001:db8:1::/48";
	return NULL;
}

static const char *check_listen(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
	unsigned int port = 0;

	for (size_t i = 0; i < digits && i < 6; i++)
		port = port * 10 + (unsigned int)(colon[1 + i] - '0');
	if (!digits || colon[1 + digits] || port > 65535)
		return "expected [ADDR]:PORT, for instance :6343 or [::1]:6343";
	return NULL;
}

static const char *check_url(const char *text)
{
	return strncmp(text, "sqlite:", 7) || !text[7] ? "expected sqlite:PATH" : NULL;
}

static const struct opt options[] = {
	{.name = "conf",
	 .letter = 'c',
	 .type = OPT_TEXT,
	 .offset = AT(conf),
	 .arg = "FILE",
	 .help = "Read this configuration file (default " DEFAULT_FILE ", if it is there)."},
	{.name = "check",
	 .type = OPT_VERB,
	 .offset = AT(check),
	 .help = "Check the configuration and end: 0 good, 3 not."},
	{.name = "dump",
	 .type = OPT_VERB,
	 .offset = AT(dump),
	 .help = "Print the configuration in force, with comments, and end."},
	{.name = "help",
	 .letter = 'h',
	 .type = OPT_VERB,
	 .offset = AT(help),
	 .help = "Print this."},
	{.name = "version",
	 .letter = 'V',
	 .type = OPT_VERB,
	 .offset = AT(version),
	 .help = "Print the version."},
	{.key = "interfaces",
	 .name = "interface",
	 .letter = 'i',
	 .type = OPT_TEXTS,
	 .offset = AT(interfaces),
	 .arg = "IFACE[:MODE]",
	 .validate = check_interface,
	 .help = "Read packets from this interface, a mirror port as a rule. MODE is auto, xdp, "
		 "afxdp "
		 "or pcap. May be given several times."},
	{.key = "capture.mirror",
	 .name = "mirror",
	 .type = OPT_FLAG,
	 .offset = AT(capture_mirror),
	 .default_text = "false",
	 .help = "The interfaces are mirror ports: nobody but the observer wants their packets, "
		 "which may "
		 "end in XDP. Needed for afxdp. Not believed of an interface with addresses."},
	{.key = "capture.samples_per_s",
	 .type = OPT_INT,
	 .offset = AT(capture_samples_per_s),
	 .min = 100,
	 .max = 1000000,
	 .default_text = "20000",
	 .help = "How many packet headers the XDP tap hands up for the view of flows; totals do "
		 "not depend "
		 "on it."},
	{.key = "capture.busy_poll",
	 .type = OPT_FLAG,
	 .offset = AT(capture_busy_poll),
	 .default_text = "false",
	 .help = "Let each queue of afxdp ask the driver all the time, at the price of a CPU "
		 "each."},
	{.key = "sflow.listen",
	 .name = "sflow",
	 .type = OPT_TEXTS,
	 .offset = AT(sflow_listen),
	 .arg = "[ADDR]:PORT",
	 .validate = check_listen,
	 .help = "Receive sFlow version 5 here, usually :6343."},
	{.key = "firefly.listen",
	 .name = "firefly",
	 .type = OPT_TEXTS,
	 .offset = AT(firefly_listen),
	 .arg = "[ADDR]:PORT",
	 .validate = check_listen,
	 .help = "Receive fireflies here, usually :10514."},
	{.key = "firefly.relays",
	 .type = OPT_TEXTS,
	 .offset = AT(firefly_relays),
	 .validate = check_address,
	 .help = "Senders that may speak of flows of others: collectors and relays. What any other "
		 "third party says is taken too, and marked as a stranger's."},
	{.key = "flows.max",
	 .type = OPT_INT,
	 .offset = AT(flows_max),
	 .min = 1024,
	 .max = 16777216,
	 .default_text = "262144",
	 .help = "How many flows are followed at a time; beyond, the one idle for longest is let "
		 "go. Totals do not depend on it. Takes effect at a restart."},
	{.key = "flows.drop_local",
	 .type = OPT_CHOICE,
	 .offset = AT(flows_drop_local),
	 .choices = drop_locals,
	 .default_text = "loopback",
	 .help = "Flows that are not followed: none; within a host (loopback); between private "
		 "addresses (private); within a host, one /64 or one IPv4 /24 (same-prefix); or "
		 "within a "
		 "host or one known site (same-site). They stay in the totals."},
	{.key = "claims.max",
	 .type = OPT_INT,
	 .offset = AT(claims_max),
	 .min = 1024,
	 .max = 16777216,
	 .default_text = "262144",
	 .help = "How many announced flows are kept at a time. Takes effect at a restart."},
	{.key = "claims.silence",
	 .type = OPT_DURATION,
	 .offset = AT(claims_silence_s),
	 .min = 60,
	 .max = 30 * 86400,
	 .default_text = "1h",
	 .help = "An announced flow without an end is given up after so long without a message or "
		 "a packet."},
	{.key = "points.order",
	 .type = OPT_TEXTS,
	 .offset = AT(points_order),
	 .help = "Observation points (interfaces, sflow:AGENT) by precedence: of several that see "
		 "a flow, the first here is the one whose numbers the flow has."},
	{.key = "points.ignore",
	 .type = OPT_TEXTS,
	 .offset = AT(points_ignore),
	 .help = "Observation points that are read and shown under health and counted in no total, "
		 "as another sees the same traffic. Names; *, ? and [a-z] as in a shell."},
	{.key = "sites.cric",
	 .type = OPT_TEXT,
	 .offset = AT(sites_cric),
	 .arg = "FILE",
	 .help = "Whose address it is: the JSON of CRIC's rcsite query, or a cric.mmdb made of "
		 "it."},
	{.key = "sites.asn",
	 .type = OPT_TEXT,
	 .offset = AT(sites_asn),
	 .arg = "FILE",
	 .help = "Networks of addresses without a site: an mmdb such as GeoLite2-ASN."},
	{.key = "sites.country",
	 .type = OPT_TEXT,
	 .offset = AT(sites_country),
	 .arg = "FILE",
	 .help = "Countries of addresses: an mmdb such as GeoLite2-Country or GeoLite2-City."},
	{.key = "sites.own",
	 .type = OPT_TEXTS,
	 .offset = AT(sites_own),
	 .arg = "NAME=PREFIX",
	 .validate = check_own,
	 .help = "Prefixes with the names of their sites; they win over every file."},
	{.key = "http.listen",
	 .name = "http",
	 .type = OPT_TEXT,
	 .offset = AT(http_listen),
	 .arg = "[ADDR]:PORT",
	 .default_text = "127.0.0.1:10580",
	 .validate = check_listen,
	 .help = "Serve the page, the API and the metrics here."},
	{.key = "http.hosts",
	 .type = OPT_TEXTS,
	 .offset = AT(http_hosts),
	 .help = "Further names that browsers may use for this server (the Host header); needed "
		 "behind a "
		 "proxy."},
	{.key = "database.url",
	 .name = "db",
	 .type = OPT_TEXT,
	 .offset = AT(database_url),
	 .arg = "URL",
	 .default_text = "sqlite:/var/lib/scitag/observer.db",
	 .validate = check_url,
	 .help = "Where the aggregates are kept. sqlite:PATH."},
	{.key = "database.max_size",
	 .type = OPT_SIZE,
	 .offset = AT(database_max_size_bytes),
	 .default_text = "2GiB",
	 .help = "Trim the oldest rows beyond this size; 0: no limit."},
	{.key = "database.keep_10s",
	 .type = OPT_DURATION,
	 .offset = AT(keep_10s_s),
	 .default_text = "24h",
	 .help = "How long rows of 10 seconds are kept."},
	{.key = "database.keep_1m",
	 .type = OPT_DURATION,
	 .offset = AT(keep_1m_s),
	 .default_text = "14d",
	 .help = "How long rows of a minute are kept."},
	{.key = "database.keep_10m",
	 .type = OPT_DURATION,
	 .offset = AT(keep_10m_s),
	 .default_text = "90d",
	 .help = "How long rows of ten minutes are kept."},
	{.key = "database.keep_1h",
	 .type = OPT_DURATION,
	 .offset = AT(keep_1h_s),
	 .default_text = "2y",
	 .help = "How long rows of an hour are kept. Rows of a day are kept for ever."},
	{.key = "database.keep_health",
	 .type = OPT_DURATION,
	 .offset = AT(keep_health_s),
	 .default_text = "1y",
	 .help = "How long the history of inputs and events is kept."},
	{.key = "site.prefixes",
	 .name = "site",
	 .type = OPT_TEXTS,
	 .offset = AT(site_prefixes),
	 .arg = "PREFIX",
	 .validate = check_prefix,
	 .help = "Addresses that are ours: they decide what is in, out, internal or transit."},
	{.key = "registry.url",
	 .type = OPT_TEXT,
	 .offset = AT(registry_url),
	 .default_text = "https://www.scitags.org/api.json",
	 .help = "Where the registry of experiments is refreshed from."},
	{.key = "registry.cache",
	 .type = OPT_TEXT,
	 .offset = AT(registry_cache),
	 .default_text = "/var/cache/scitag/registry.json",
	 .help = "File that keeps the newest registry across restarts; empty: none."},
	{.key = "registry.refresh",
	 .type = OPT_DURATION,
	 .offset = AT(registry_refresh_s),
	 .default_text = "1h",
	 .help = "How often; at least 5 minutes, 0: never ask the network."},
	{.key = "user",
	 .name = "user",
	 .type = OPT_TEXT,
	 .offset = AT(user),
	 .arg = "NAME",
	 .help = "Drop to this user once every input is open."},
	{.key = "log.level",
	 .name = "log-level",
	 .type = OPT_CHOICE,
	 .offset = AT(log_level),
	 .choices = log_levels,
	 .default_text = "info",
	 .help = "error, warn, info or debug."},
	{.key = "log.time",
	 .name = "log-time",
	 .type = OPT_FLAG,
	 .offset = AT(log_time),
	 .default_text = "false",
	 .help = "Put the time in front of each log line."},
	OPT_END,
};

const struct opt_program observer_program = {
	.name = "scitag-observer",
	.synopsis =
		"[--conf FILE] [-i IFACE[:MODE]]... [--sflow [ADDR]:PORT] [--firefly [ADDR]:PORT] "
		"[--http [ADDR]:PORT] [--db URL] [--check] [--dump]",
	.summary =
		"reads SciTags on the wire and fireflies, keeps totals, and shows whose traffic a "
		"link carries",
	.opts = options,
	.default_file = DEFAULT_FILE,
};

/* What --conf says, before the command line is read over the file. */
static int find_conf(char **path, int argc, char **argv)
{
	struct observer_config first = {0};
	FILE *quiet = fopen("/dev/null", "w");
	int rest, err = opt_defaults(&observer_program, &first);

	if (!err && quiet)
		err = opt_read_args(&observer_program, &first, argc, argv, &rest, quiet);
	if (quiet)
		fclose(quiet);
	*path = first.conf;
	first.conf = NULL;
	opt_free(&observer_program, &first);
	return err;
}

int observer_config_read(struct observer_config *cfg, int argc, char **argv)
{
	char *path = NULL;
	int rest = argc, err, file_err = 0;

	memset(cfg, 0, sizeof(*cfg));
	err = opt_defaults(&observer_program, cfg);
	if (err)
		return err;
	find_conf(&path, argc, argv);
	if (path || access(DEFAULT_FILE, F_OK) == 0)
		file_err =
			opt_read_file(&observer_program, cfg, path ? path : DEFAULT_FILE, stderr);
	free(path);
	err = opt_read_args(&observer_program, cfg, argc, argv, &rest, stderr);
	if (!err && rest < argc) {
		fprintf(stderr, "scitag-observer: unexpected argument '%s'\n", argv[rest]);
		err = -EINVAL;
	}
	if (!err && cfg->registry_refresh_s && cfg->registry_refresh_s < 300) {
		fprintf(stderr, "registry.refresh: at least 5m, or 0 for never\n");
		file_err = -EINVAL;
	}
	return err ? -E2BIG : file_err;
}

void observer_config_free(struct observer_config *cfg)
{
	opt_free(&observer_program, cfg);
}
