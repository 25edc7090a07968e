#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "marker/config.h"
#include "marker/emitter.h"
#include "marker/rules.h"
#include "marker/sender.h"

#define DEFAULT_FILE    "/etc/scitag/marker.yaml"
#define DEFAULT_PIPE    "/var/run/flowd-go/np"
#define DEFAULT_CONTROL "/run/scitag-marker.sock"
#define AT(member)      offsetof(struct marker_config, member)
#define RULE(member)    offsetof(struct marker_rule, member)
#define SCAN(member)    offsetof(struct marker_scan_rule, member)
#define PORT            .type = OPT_INT, .min = 0, .max = 65535

static const char *const strategy_names[CARRIER_COUNT] = {
	[CARRIER_NONE] = "auto",
	[CARRIER_LABEL] = "label",
	[CARRIER_DESTINATION] = "destination",
	[CARRIER_HOP_BY_HOP] = "hopByHop",
	[CARRIER_HOP_BY_HOP_DESTINATION] = "hopByHopDestination",
};

int marker_strategy(const char *text)
{
	for (int i = 0; i < CARRIER_COUNT; i++)
		if (!strcasecmp(text, strategy_names[i]))
			return i;
	return -EINVAL;
}

const char *marker_strategy_name(enum scitag_carrier carrier)
{
	return carrier < CARRIER_COUNT ? strategy_names[carrier] : "unknown";
}

int marker_tag(struct scitag *out, const struct registry *r, const char *experiment,
	       const char *activity, char *why, size_t why_cap_bytes)
{
	int e = registry_experiment_number(r, experiment);
	int a = e < 0 ? -ENOENT : registry_activity_number(r, (unsigned int)e, activity);

	if (e < 0) {
		snprintf(why, why_cap_bytes, "no experiment named \"%s\"", experiment);
		return -EINVAL;
	}
	if (a < 0) {
		snprintf(why, why_cap_bytes, "experiment %d has no activity named \"%s\"", e,
			 activity);
		return -EINVAL;
	}
	if ((e || a) && (e < 1 || e > (int)SCITAG_LABEL_EXPERIMENT_MAX || a < 1 ||
			 a > (int)SCITAG_ACTIVITY_MAX)) {
		snprintf(why, why_cap_bytes, "%d/%d is outside 1..%u / 1..%u", e, a,
			 SCITAG_LABEL_EXPERIMENT_MAX, SCITAG_ACTIVITY_MAX);
		return -EINVAL;
	}
	out->experiment = (uint16_t)e;
	out->activity = (uint16_t)a;
	return 0;
}

/* --- checks of single values ------------------------------------------------------------------- */

static const char *check_strategy(const char *text)
{
	return marker_strategy(text) < 0
		       ? "expected auto, label, destination, hopByHop or hopByHopDestination"
		       : NULL;
}

static const char *check_rule_strategy(const char *text)
{
	return marker_strategy(text) <= 0
		       ? "expected label, destination, hopByHop or hopByHopDestination"
		       : NULL;
}

static const char *check_interface(const char *text)
{
	return !*text || strlen(text) >= IFNAMSIZ ? "expected the name of an interface" : NULL;
}

static const char *check_prefix(const char *text)
{
	uint64_t ip[2], mask[2];

	return rules_prefix(ip, mask, text)
		       ? "expected an IPv6 address or prefix such as 2001:db8:1::/48, or any"
		       : NULL;
}

static const char *check_ports(const char *text)
{
	uint16_t min, max;

	return rules_ports(&min, &max, text)
		       ? "expected a port, a range such as 20000-25000, or any"
		       : NULL;
}

static const char *check_protocol(const char *text)
{
	return rules_protocol(text) < 0 ? "expected tcp, udp, sctp, any or a number" : NULL;
}

static const char *check_uid(const char *text)
{
	uint32_t uid;

	return rules_uid(&uid, text) ? "expected a user name or number" : NULL;
}

static const char *check_target(const char *text)
{
	char host[256];
	uint16_t port;

	return sender_split(host, sizeof(host), &port, text, 1)
		       ? "expected a name or address, and perhaps a port: host:10514, "
			 "[2001:db8::1]:10514"
		       : NULL;
}

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const modes[] = {"bpf", "socket", NULL};
static const char *const attaches[] = {"auto", "clsact", "tcx", NULL};
static const char *const entropies[] = {"random", "zero", "hash", NULL};

static const char *check_number(const char *text)
{
	return !*text ? "expected a number or a registry name" : NULL;
}

static const char *const enrichments[] = {"lean", "compatible", "", NULL};
static const char *const skops_strategies[] = {"poll", "transition", NULL};

static const struct opt scan_options[] = {
	{.key = "localPorts",
	 .type = OPT_TEXTS,
	 .offset = SCAN(local_ports),
	 .validate = check_ports,
	 .help = "Ports and ranges of the local end."},
	{.key = "remotePrefixes",
	 .type = OPT_TEXTS,
	 .offset = SCAN(remote_prefixes),
	 .validate = check_prefix,
	 .help = "Addresses and prefixes of the remote end."},
	{.key = "uid",
	 .type = OPT_TEXT,
	 .offset = SCAN(uid),
	 .validate = check_uid,
	 .help = "Only sockets of this user."},
	{.key = "cgroup",
	 .type = OPT_TEXT,
	 .offset = SCAN(cgroup),
	 .help = "Only sockets of processes in this cgroup (version 2) or below it: a path."},
	{.key = "unit",
	 .type = OPT_TEXT,
	 .offset = SCAN(unit),
	 .help = "The same for the cgroup of a systemd unit: xrootd@disk.service."},
	{.key = "experiment",
	 .type = OPT_TEXT,
	 .offset = SCAN(experiment),
	 .help = "Number or registry name."},
	{.key = "activity",
	 .type = OPT_TEXT,
	 .offset = SCAN(activity),
	 .help = "Number or registry name."},
	{.key = "strategy",
	 .type = OPT_TEXT,
	 .offset = SCAN(strategy),
	 .validate = check_rule_strategy,
	 .help = "For these packets, instead of markingStrategy."},
	OPT_END,
};

static const struct opt rule_options[] = {
	{.key = "protocol",
	 .type = OPT_TEXT,
	 .offset = RULE(protocol),
	 .validate = check_protocol,
	 .help = "tcp, udp, sctp or a number; any of the three if it is not said."},
	{.key = "src",
	 .type = OPT_TEXT,
	 .offset = RULE(src),
	 .validate = check_prefix,
	 .help = "The local end that sends: an address or a prefix."},
	{.key = "srcPort",
	 .type = OPT_TEXT,
	 .offset = RULE(src_port),
	 .validate = check_ports,
	 .help = "A port or a range, 20000-25000."},
	{.key = "dst",
	 .type = OPT_TEXT,
	 .offset = RULE(dst),
	 .validate = check_prefix,
	 .help = "The remote end: an address or a prefix."},
	{.key = "dstPort",
	 .type = OPT_TEXT,
	 .offset = RULE(dst_port),
	 .validate = check_ports,
	 .help = "A port or a range."},
	{.key = "uid",
	 .type = OPT_TEXT,
	 .offset = RULE(uid),
	 .validate = check_uid,
	 .help = "Only sockets of this user."},
	{.key = "cgroup",
	 .type = OPT_TEXT,
	 .offset = RULE(cgroup),
	 .help = "Only sockets of processes in this cgroup (version 2) or below it: a path."},
	{.key = "experiment",
	 .type = OPT_TEXT,
	 .offset = RULE(experiment),
	 .help = "Number or registry name."},
	{.key = "activity",
	 .type = OPT_TEXT,
	 .offset = RULE(activity),
	 .help = "Number or registry name."},
	{.key = "strategy",
	 .type = OPT_TEXT,
	 .offset = RULE(strategy),
	 .validate = check_rule_strategy,
	 .help = "For these packets, instead of markingStrategy."},
	OPT_END,
};

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
	{.name = "dry-run",
	 .letter = 'n',
	 .type = OPT_VERB,
	 .offset = AT(dry_run),
	 .help = "Say what run or clean would do; load the programs, change nothing."},
	{.name = "json", .type = OPT_VERB, .offset = AT(json), .help = "status as JSON."},
	{.name = "prometheus",
	 .type = OPT_VERB,
	 .offset = AT(prometheus),
	 .help = "status as Prometheus text, for the node exporter's textfile collector."},
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
	{.name = "man", .type = OPT_VERB, .offset = AT(man), .help = "Print the manual's options."},
	{.name = "completion",
	 .type = OPT_VERB,
	 .offset = AT(completion),
	 .help = "Print a completion script for bash."},
	{.key = "logLevel",
	 .name = "log-level",
	 .type = OPT_CHOICE,
	 .offset = AT(log_level),
	 .choices = log_levels,
	 .default_text = "info",
	 .arg = "LEVEL",
	 .help = "error, warn, info or debug."},
	{.key = "logTime",
	 .name = "log-time",
	 .type = OPT_FLAG,
	 .offset = AT(log_time),
	 .help = "Put the time in front of every line of the log."},

	{.key = "backends.marker",
	 .type = OPT_SECTION,
	 .offset = AT(marker),
	 .help = "Mark packets."},
	{.key = "backends.marker.targetInterfaces",
	 .name = "interface",
	 .letter = 'i',
	 .type = OPT_TEXTS,
	 .offset = AT(interfaces),
	 .default_text = "lo",
	 .arg = "IFACE",
	 .validate = check_interface,
	 .help = "Mark what leaves through these interfaces."},
	{.key = "backends.marker.discoverInterfaces",
	 .type = OPT_FLAG,
	 .offset = AT(discover_interfaces),
	 .help = "Mark on all interfaces with a global IPv6 address instead."},
	{.key = "backends.marker.markingStrategy",
	 .name = "strategy",
	 .type = OPT_TEXT,
	 .offset = AT(strategy),
	 .default_text = "label",
	 .arg = "NAME",
	 .validate = check_strategy,
	 .help = "label, destination, hopByHop, hopByHopDestination; or auto: a destination "
		 "option where every interface can segment packets that carry one, else the "
		 "label."},
	{.key = "backends.marker.matchAll",
	 .type = OPT_FLAG,
	 .offset = AT(match_all),
	 .help = "Mark all TCP, UDP and SCTP that no rule names with one tag."},
	{.key = "backends.marker.experiment",
	 .type = OPT_TEXT,
	 .offset = AT(experiment),
	 .help = "The experiment of matchAll."},
	{.key = "backends.marker.activity",
	 .type = OPT_TEXT,
	 .offset = AT(activity),
	 .help = "The activity of matchAll."},
	{.key = "backends.marker.rules",
	 .type = OPT_ITEMS,
	 .offset = AT(rules),
	 .item_opts = rule_options,
	 .item_size = sizeof(struct marker_rule),
	 .help = "Standing flows and wildcards. A rule that names both addresses, both ports and "
		 "the protocol is a flow; anything less is a wildcard, of which the first that "
		 "matches counts, and of which there may be 64."},
	{.key = "backends.marker.entropy",
	 .type = OPT_CHOICE,
	 .offset = AT(entropy),
	 .choices = entropies,
	 .default_text = "random",
	 .help = "The label's five free bits: random for each flow, zero, or a keyed hash of the "
		 "flow."},
	{.key = "backends.marker.optionType",
	 .type = OPT_INT,
	 .offset = AT(option_type),
	 .min = 1,
	 .max = 255,
	 .default_text = "30",
	 .help = "Type of the IPv6 option; 30 (0x1e) is what flowd-go writes, experimental as of "
		 "RFC 4727."},
	{.key = "backends.marker.mapSize",
	 .type = OPT_INT,
	 .offset = AT(flows_max),
	 .min = 16,
	 .max = 4000000,
	 .default_text = "100000",
	 .help = "Flows that can be marked at a time; more are refused and counted."},
	{.key = "backends.marker.linger",
	 .type = OPT_DURATION,
	 .offset = AT(linger_s),
	 .default_text = "1s",
	 .help = "How long the mark outlives the end of its flow, for the last segments."},
	{.key = "backends.marker.idle",
	 .type = OPT_DURATION,
	 .offset = AT(idle_s),
	 .default_text = "1h",
	 .help = "Forget a flow without a socket on this host after this time without a packet; 0: "
		 "never."},
	{.key = "backends.marker.roomFor",
	 .type = OPT_TEXTS,
	 .offset = AT(room_for),
	 .validate = check_prefix,
	 .help = "With options: keep segments short for these peers only (up to 16 prefixes), "
		 "instead of for all. Flows to others are marked only where there happens to be "
		 "room."},
	{.key = "backends.marker.hintOpenFlows",
	 .type = OPT_FLAG,
	 .offset = AT(hint_open_flows),
	 .default_text = "true",
	 .help = "With options: tell the kernel of a path MTU that leaves room, for the "
		 "destination of "
		 "a TCP connection that was open before it was marked."},
	{.key = "backends.marker.limitBigTcp",
	 .type = OPT_FLAG,
	 .offset = AT(limit_big_tcp),
	 .default_text = "true",
	 .help = "With options: hold packets on BIG TCP interfaces to 64 KiB while the marker "
		 "runs; "
		 "without it such packets pass unmarked and are counted."},
	{.key = "backends.marker.attach",
	 .type = OPT_CHOICE,
	 .offset = AT(attach),
	 .choices = attaches,
	 .default_text = "auto",
	 .help = "clsact filters or tcx links; auto: tcx where the kernel has them and a bpffs is "
		 "mounted."},
	{.key = "backends.marker.bpffs",
	 .type = OPT_TEXT,
	 .offset = AT(bpffs),
	 .default_text = "/sys/fs/bpf",
	 .arg = "DIR",
	 .help = "Where tcx links are kept."},
	{.key = "backends.marker.mode",
	 .type = OPT_CHOICE,
	 .offset = AT(mode),
	 .choices = modes,
	 .default_text = "bpf",
	 .help = "bpf; or socket: no programs in the kernel, the options are set on the live "
		 "sockets "
		 "of the marked flows (TCP and connected UDP; the handshake is not marked)."},
	{.key = "backends.marker.keepOnStop",
	 .type = OPT_FLAG,
	 .offset = AT(keep_on_stop),
	 .help = "Leave programs and marks in place at SIGTERM too, for a successor to adopt; "
		 "SIGUSR2 "
		 "always does."},
	{.key = "backends.marker.removeQdisc",
	 .type = OPT_FLAG,
	 .offset = AT(remove_qdisc),
	 .default_text = "true",
	 .help = "flowd-go's name; here a qdisc is removed only if we made it and nobody else uses "
		 "it."},
	{.key = "backends.marker.programPath",
	 .type = OPT_IGNORED,
	 .help = "the programs are built in"},
	{.key = "backends.marker.debugMode", .type = OPT_IGNORED, .help = "use --log-level debug"},

	{.key = "plugins.namedPipe",
	 .type = OPT_SECTION,
	 .offset = AT(named_pipe),
	 .help = "Take flow events from a named pipe: STATE PROTO SRC SPORT DST DPORT EXP ACT."},
	{.key = "plugins.namedPipe.pipePath",
	 .name = "pipe",
	 .type = OPT_TEXT,
	 .offset = AT(pipe_path),
	 .arg = "PATH",
	 .default_text = DEFAULT_PIPE,
	 .help = "Its path; made if it is not there."},
	{.key = "plugins.namedPipe.maxReaders",
	 .type = OPT_IGNORED,
	 .help = "one reader is enough"},
	{.key = "plugins.namedPipe.buffSize",
	 .type = OPT_IGNORED,
	 .help = "lines of up to 512 bytes are kept until they are whole"},
	{.key = "control.path",
	 .name = "control",
	 .type = OPT_TEXT,
	 .offset = AT(control_path),
	 .arg = "PATH",
	 .default_text = DEFAULT_CONTROL,
	 .help = "Socket for mark, unmark and status."},

	{.key = "plugins.api",
	 .type = OPT_SECTION,
	 .offset = AT(api),
	 .help = "Take flow events over HTTP: POST /flow."},
	{.key = "plugins.api.bindAddress",
	 .type = OPT_TEXT,
	 .offset = AT(api_address),
	 .arg = "ADDR",
	 .default_text = "127.0.0.1",
	 .help = "Its address. Whoever reaches it can mark flows."},
	{.key = "plugins.api.bindPort",
	 PORT,
	 .offset = AT(api_port),
	 .default_text = "7777",
	 .help = "Its TCP port; 0: none, the Unix socket only."},
	{.key = "plugins.api.socketPath",
	 .type = OPT_TEXT,
	 .offset = AT(api_socket),
	 .arg = "PATH",
	 .help = "The same on a Unix socket, mode 0660; none if it is not said."},
	{.key = "plugins.api.hosts",
	 .type = OPT_TEXTS,
	 .offset = AT(api_hosts),
	 .help = "Further names that a Host header may carry, beside localhost and the address."},
	{.key = "plugins.api.dummy",
	 .type = OPT_FLAG,
	 .offset = AT(api_dummy),
	 .help = "Answer flowd-go's /dummy/start and /dummy/end, with an example; they mark "
		 "nothing."},

	{.key = "plugins.firefly",
	 .type = OPT_SECTION,
	 .offset = AT(listener),
	 .help = "Take flow events from fireflies."},
	{.key = "plugins.firefly.bindAddress",
	 .type = OPT_TEXT,
	 .offset = AT(listener_address),
	 .default_text = "127.0.0.1",
	 .help = "Address of the listener."},
	{.key = "plugins.firefly.bindPort",
	 PORT,
	 .offset = AT(listener_port),
	 .default_text = "10514",
	 .help = "Its UDP port."},
	{.key = "plugins.firefly.relayTo",
	 .type = OPT_TEXTS,
	 .offset = AT(relay_to),
	 .validate = check_target,
	 .arg = "HOST:PORT",
	 .help = "Send what was received on to these, byte for byte."},
	{.key = "plugins.firefly.bufferSize",
	 .type = OPT_IGNORED,
	 .help = "datagrams of every size are taken whole"},
	{.key = "plugins.firefly.deadline",
	 .type = OPT_IGNORED,
	 .help = "the listener never blocks"},
	{.key = "plugins.firefly.hasSyslogHeader",
	 .type = OPT_IGNORED,
	 .help = "fireflies are read with and without a header"},
	{.key = "plugins.firefly.fireflyReceivers",
	 .type = OPT_IGNORED,
	 .help = "no release of flowd-go reads it; write plugins.firefly.relayTo: [HOST:PORT]"},
	{.key = "plugins.fireflyp",
	 .type = OPT_IGNORED,
	 .help = "no release of flowd-go reads it; the section is plugins.firefly"},

	{.key = "plugins.perfsonar",
	 .type = OPT_SECTION,
	 .offset = AT(perfsonar),
	 .help = "Mark all TCP, UDP and SCTP with one tag, as backends.marker.matchAll does."},
	{.key = "plugins.perfsonar.experimentId",
	 .type = OPT_TEXT,
	 .offset = AT(perfsonar_experiment),
	 .validate = check_number,
	 .default_text = "0",
	 .help = "Number or registry name."},
	{.key = "plugins.perfsonar.activityId",
	 .type = OPT_TEXT,
	 .offset = AT(perfsonar_activity),
	 .validate = check_number,
	 .default_text = "0",
	 .help = "Number or registry name."},
	{.key = "plugins.perfsonar.experimentID",
	 .type = OPT_IGNORED,
	 .help = "flowd-go does not read it either; write experimentId"},
	{.key = "plugins.perfsonar.activityID",
	 .type = OPT_IGNORED,
	 .help = "flowd-go does not read it either; write activityId"},
	{.key = "plugins.perfsonar.flowLabelMatchAll",
	 .type = OPT_IGNORED,
	 .help = "flowd-go does not read it either; this section matches all by itself"},

	{.key = "plugins.iperf3",
	 .type = OPT_SECTION,
	 .offset = AT(iperf),
	 .help = "Give TCP connections within ranges of ports one tag after another."},
	{.key = "plugins.iperf3.minSourcePort",
	 PORT,
	 .offset = AT(iperf_src_min),
	 .default_text = "0",
	 .help = "Lowest local port; 0: no limit."},
	{.key = "plugins.iperf3.maxSourcePort",
	 PORT,
	 .offset = AT(iperf_src_max),
	 .default_text = "0",
	 .help = "Highest local port; 0: no limit."},
	{.key = "plugins.iperf3.minDestinationPort",
	 PORT,
	 .offset = AT(iperf_dst_min),
	 .default_text = "0",
	 .help = "Lowest remote port; 0: no limit."},
	{.key = "plugins.iperf3.maxDestinationPort",
	 PORT,
	 .offset = AT(iperf_dst_max),
	 .default_text = "0",
	 .help = "Highest remote port; 0: no limit. A connection counts if its local or its remote "
		 "port lies in a range that has a limit, and all do if none has one."},
	{.key = "plugins.iperf3.cgroupPath",
	 .type = OPT_TEXT,
	 .offset = AT(iperf_cgroup),
	 .default_text = "/sys/fs/cgroup",
	 .arg = "DIR",
	 .help = "Connections of processes in this cgroup (version 2) or below it. Where that is "
		 "no "
		 "cgroup2 file system, the one that is mounted is taken."},
	{.key = "plugins.iperf3.randomIDs",
	 .type = OPT_FLAG,
	 .offset = AT(iperf_random),
	 .help = "Take the tags at random instead of in turn."},
	{.key = "plugins.iperf3.experimentIDs",
	 .type = OPT_TEXTS,
	 .offset = AT(iperf_experiments),
	 .validate = check_number,
	 .default_text = "[0, 1, 2]",
	 .help = "Numbers or registry names; as many as activityIDs. 0 with 0: announced, not "
		 "marked."},
	{.key = "plugins.iperf3.activityIDs",
	 .type = OPT_TEXTS,
	 .offset = AT(iperf_activities),
	 .validate = check_number,
	 .default_text = "[0, 1, 2]",
	 .help = "Numbers or registry names."},
	{.key = "plugins.iperf3.programPath",
	 .type = OPT_IGNORED,
	 .help = "the program is built in"},
	{.key = "plugins.iperf3.debugMode", .type = OPT_IGNORED, .help = "use --log-level debug"},

	{.key = "plugins.scan",
	 .type = OPT_SECTION,
	 .offset = AT(scan),
	 .help = "Mark this host's connections by what they are; those that exist at the start at "
		 "once, new ones from the first packet on."},
	{.key = "plugins.scan.rules",
	 .type = OPT_ITEMS,
	 .offset = AT(scan_rules),
	 .item_opts = scan_options,
	 .item_size = sizeof(struct marker_scan_rule),
	 .help = "The first that matches counts. Each takes one of the 64 wildcards for every pair "
		 "of its ports and prefixes."},

	{.key = "backends.firefly",
	 .type = OPT_SECTION,
	 .offset = AT(firefly),
	 .help = "Announce flows by fireflies."},
	{.key = "backends.firefly.sendToDestination",
	 .type = OPT_FLAG,
	 .offset = AT(send_to_destination),
	 .default_text = "true",
	 .help = "Send them to the flow's destination."},
	{.key = "backends.firefly.destinationPort",
	 PORT,
	 .offset = AT(destination_port),
	 .default_text = "10514",
	 .help = "UDP port there."},
	{.key = "backends.firefly.prependSyslog",
	 .type = OPT_FLAG,
	 .offset = AT(prepend_syslog),
	 .default_text = "true",
	 .help = "Put an RFC 5424 header in front, which collectors need."},
	{.key = "backends.firefly.sendToCollector",
	 .type = OPT_FLAG,
	 .offset = AT(send_to_collector),
	 .help = "Send them to collectorAddress too."},
	{.key = "backends.firefly.collectorAddress",
	 .type = OPT_TEXT,
	 .offset = AT(collector_address),
	 .default_text = "127.0.0.1",
	 .help = "Name or address of a collector."},
	{.key = "backends.firefly.collectorPort",
	 PORT,
	 .offset = AT(collector_port),
	 .default_text = "10514",
	 .help = "UDP port there."},
	{.key = "backends.firefly.collectors",
	 .type = OPT_TEXTS,
	 .offset = AT(collectors),
	 .validate = check_target,
	 .arg = "HOST:PORT",
	 .help = "Further collectors."},
	{.key = "backends.firefly.ongoing",
	 .type = OPT_DURATION,
	 .offset = AT(ongoing_s),
	 .default_text = "30s",
	 .help = "Say that a flow goes on, and what it has carried, this often; 0: never."},
	{.key = "backends.firefly.rate",
	 .type = OPT_INT,
	 .offset = AT(firefly_rate_per_s),
	 .max = 1000000,
	 .default_text = "10000",
	 .help = "Fireflies a second at most, to each target; our own wait their turn, relayed "
		 "ones "
		 "are dropped and counted. 0: no limit."},
	{.key = "backends.firefly.enrich",
	 .type = OPT_FLAG,
	 .offset = AT(enrich),
	 .help = "Say in them what the kernel knows of the connection."},
	{.key = "backends.firefly.enrichmentMode",
	 .type = OPT_CHOICE,
	 .offset = AT(enrichment_mode),
	 .choices = enrichments,
	 .default_text = "lean",
	 .help = "flowd-go's: lean; compatible: flowd's names, times in ms; \"\": as much as fits "
		 "in maxBytes, the lean set first."},
	{.key = "backends.firefly.maxBytes",
	 .type = OPT_INT,
	 .offset = AT(firefly_max_bytes),
	 .min = 1000,
	 .max = EMITTER_BYTES_MAX,
	 .default_text = "1400",
	 .help = "Of a firefly, in the modes other than lean: what makes it longer is left out. "
		 "flowd-go's \"\" needs about 2000, two frames at MTU 1500."},
	{.key = "backends.firefly.wildcardFlows",
	 .type = OPT_INT,
	 .offset = AT(wildcard_flows),
	 .max = 65536,
	 .default_text = "10000",
	 .help = "Connections under wildcards (matchAll, perfSONAR, rules) that are announced at a "
		 "time; the rest is counted. 0: none."},
	{.key = "backends.firefly.stun.manualMapping",
	 .type = OPT_MAP,
	 .offset = AT(stun_mapping),
	 .help = "Addresses of this host and what they are outside."},
	{.key = "backends.firefly.stun.stunServers",
	 .type = OPT_TEXTS,
	 .offset = AT(stun_servers),
	 .validate = check_target,
	 .arg = "HOST:PORT",
	 .help = "Ask these what the private addresses of this host are outside (RFC 8489); none "
		 "by "
		 "default."},

	{.key = "backends.prometheus",
	 .type = OPT_SECTION,
	 .offset = AT(exporter),
	 .help = "Counters for Prometheus over HTTP: /metrics."},
	{.key = "backends.prometheus.bindAddress",
	 .type = OPT_TEXT,
	 .offset = AT(exporter_address),
	 .default_text = "127.0.0.1",
	 .help = "Its address."},
	{.key = "backends.prometheus.netlinkPort",
	 PORT,
	 .offset = AT(exporter_netlink_port),
	 .default_text = "8080",
	 .help = "A TCP port; 0: none. Both ports tell the same."},
	{.key = "backends.prometheus.skopsPort",
	 PORT,
	 .offset = AT(exporter_skops_port),
	 .default_text = "8081",
	 .help = "A TCP port; 0: none."},
	{.key = "backends.prometheus.log",
	 .type = OPT_FLAG,
	 .offset = AT(exporter_log),
	 .default_text = "true",
	 .help = "Say in the log, at level debug, who asked."},
	{.key = "backends.prometheus.flowsMax",
	 .type = OPT_INT,
	 .offset = AT(exporter_flows_max),
	 .min = 0,
	 .max = 1000,
	 .default_text = "0",
	 .help = "Series for single flows, flow_tcp_..., for so many of them at most; 0: none. "
		 "They "
		 "carry addresses, and each new flow makes thirty new series."},

	{.key = "enrichers",
	 .type = OPT_SECTION,
	 .offset = AT(enrichers),
	 .help = "What is known of running connections."},
	{.key = "enrichers.period",
	 .type = OPT_INT,
	 .offset = AT(enrich_period_ms),
	 .min = 100,
	 .max = 3600000,
	 .default_text = "1000",
	 .help = "Milliseconds between looks at them."},
	{.key = "enrichers.netlink",
	 .type = OPT_SECTION,
	 .offset = AT(netlink),
	 .help = "From the kernel's sock_diag."},
	{.key = "enrichers.netlink.protocol",
	 .type = OPT_INT,
	 .offset = AT(netlink_protocol),
	 .min = 0,
	 .max = 255,
	 .default_text = "6",
	 .help = "Protocol number; only TCP has more to tell."},
	{.key = "enrichers.netlink.ext",
	 .type = OPT_INT,
	 .offset = AT(netlink_ext),
	 .min = 0,
	 .max = 255,
	 .default_text = "255",
	 .help = "What is asked for, as sock_diag's bits."},
	{.key = "enrichers.netlink.state",
	 .type = OPT_INT,
	 .offset = AT(netlink_state),
	 .min = 0,
	 .max = 65535,
	 .default_text = "3071",
	 .help = "Of sockets in which states, as bits; 3071: all but LISTEN."},
	{.key = "enrichers.skops",
	 .type = OPT_SECTION,
	 .offset = AT(skops),
	 .help = "From a program on the sockets of a cgroup."},
	{.key = "enrichers.skops.cgroupPath",
	 .type = OPT_TEXT,
	 .offset = AT(skops_cgroup),
	 .default_text = "/sys/fs/cgroup",
	 .arg = "DIR",
	 .help = "Of which cgroup (version 2)."},
	{.key = "enrichers.skops.strategy",
	 .type = OPT_CHOICE,
	 .offset = AT(skops_strategy),
	 .choices = skops_strategies,
	 .default_text = "poll",
	 .help = "poll: every period; transition: when the state of the connection changes."},
	{.key = "enrichers.skops.programPath",
	 .type = OPT_IGNORED,
	 .help = "the program is built in"},
	{.key = "enrichers.skops.debugMode", .type = OPT_IGNORED, .help = "use --log-level debug"},

	{.key = "backends.marker.forceHookRemoval",
	 .type = OPT_IGNORED,
	 .help = "no release of flowd-go reads it; hooks of others are never removed"},
	{.key = "backends.marker.flowLabelMatchAll",
	 .type = OPT_IGNORED,
	 .help = "no release of flowd-go reads it; write matchAll: true with markingStrategy: "
		 "label"},
	{.key = "pidPath",
	 .type = OPT_TEXT,
	 .offset = AT(pid_path),
	 .arg = "FILE",
	 .help = "Write the process id there; nothing is written if it is not said."},
	{.key = "workDir", .type = OPT_IGNORED, .help = "nothing is kept on disk"},
	{.key = "workDir\"",
	 .type = OPT_IGNORED,
	 .help = "the stray quote stands in flowd-go's sample file; the key is workDir, and "
		 "nothing is "
		 "kept on disk"},
	OPT_END,
};

const struct opt_program marker_program = {
	.name = "scitag-marker",
	.synopsis = "[OPTIONS] run | clean | status | mark FLOW | unmark FLOW | conf | version | "
		    "convert FILE",
	.summary = "mark packets with SciTags",
	.opts = options,
	.default_file = DEFAULT_FILE,
};

static int replace_text(char **text, const char *by)
{
	char *copy = strdup(by);

	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

static int is_zero(const char *text)
{
	return text && !text[strspn(text, "0")];
}

/* perfSONAR's section is a match-all with its own tag, and wins over the marker's. flowd-go starts
 * with neither tag; so do we, and say that nothing will come of it. */
static int settle_match_all(struct marker_config *cfg, FILE *err)
{
	int failed = 0;

	if (cfg->perfsonar && is_zero(cfg->perfsonar_experiment) &&
	    is_zero(cfg->perfsonar_activity)) {
		fprintf(err, "warning: plugins.perfsonar matches nothing without experimentId and "
			     "activityId\n");
	} else if (cfg->perfsonar) {
		cfg->match_all = 1;
		failed = replace_text(&cfg->experiment, cfg->perfsonar_experiment) ||
			 replace_text(&cfg->activity, cfg->perfsonar_activity);
	}
	if (cfg->match_all && !cfg->experiment && !cfg->activity) {
		fprintf(err, "warning: backends.marker.matchAll matches nothing without experiment "
			     "and activity\n");
		cfg->match_all = 0;
	}
	return failed ? -ENOMEM : 0;
}

/* How many wildcards a rule of the scan needs: one for each pair of its ports and prefixes. */
static size_t count_wildcards(const struct marker_scan_rule *rule)
{
	return (rule->local_ports.n ?: 1) * (rule->remote_prefixes.n ?: 1);
}

static int check_inputs(const struct marker_config *cfg, size_t *n_wild, FILE *err)
{
	const struct marker_scan_rule *rules = cfg->scan_rules.items;
	int bad = 0;

	if (cfg->iperf_experiments.n != cfg->iperf_activities.n || !cfg->iperf_activities.n) {
		fprintf(err,
			"plugins.iperf3: %zu experimentIDs and %zu activityIDs: as many of each, "
			"and at least one\n",
			cfg->iperf_experiments.n, cfg->iperf_activities.n);
		bad = 1;
	}
	if (cfg->iperf_src_max && cfg->iperf_src_max < cfg->iperf_src_min) {
		fprintf(err, "plugins.iperf3: maxSourcePort is below minSourcePort\n");
		bad = 1;
	}
	if (cfg->iperf_dst_max && cfg->iperf_dst_max < cfg->iperf_dst_min) {
		fprintf(err, "plugins.iperf3: maxDestinationPort is below minDestinationPort\n");
		bad = 1;
	}
	if (cfg->api && !cfg->api_port && !cfg->api_socket) {
		fprintf(err, "plugins.api: neither bindPort nor socketPath\n");
		bad = 1;
	}
	for (size_t i = 0; i < cfg->scan_rules.n; i++) {
		if (!rules[i].experiment || !rules[i].activity) {
			fprintf(err, "plugins.scan.rules: rule %zu needs experiment and activity\n",
				i + 1);
			bad = 1;
		}
		if (rules[i].cgroup && rules[i].unit) {
			fprintf(err, "plugins.scan.rules: rule %zu has a cgroup and a unit\n",
				i + 1);
			bad = 1;
		}
		*n_wild += count_wildcards(&rules[i]);
	}
	return bad;
}

/* What must hold between options. */
static int check(const struct marker_config *cfg, FILE *err)
{
	const struct marker_rule *rules = cfg->rules.items;
	size_t n_wild = cfg->match_all ? 1 : 0;
	int bad = check_inputs(cfg, &n_wild, err);

	if (cfg->match_all && (!cfg->experiment || !cfg->activity)) {
		fprintf(err, "backends.marker.matchAll needs experiment and activity\n");
		bad = 1;
	}
	if (cfg->room_for.n > MARK_MAX_PREFIXES) {
		fprintf(err, "backends.marker.roomFor: more than %d prefixes\n", MARK_MAX_PREFIXES);
		bad = 1;
	}
	for (size_t i = 0; i < cfg->rules.n; i++) {
		if (!rules[i].experiment || !rules[i].activity) {
			fprintf(err,
				"backends.marker.rules: rule %zu needs experiment and activity\n",
				i + 1);
			bad = 1;
		}
		n_wild += !rules_is_flow(&rules[i]);
	}
	if (n_wild > MARK_MAX_RULES) {
		fprintf(err, "backends.marker.rules: %zu wildcards, at most %d\n", n_wild,
			MARK_MAX_RULES);
		bad = 1;
	}
	return bad ? -EINVAL : 0;
}

/* What --conf says, before the command line is read over the file. */
static char *find_conf(int argc, char **argv)
{
	struct marker_config first = {0};
	FILE *quiet = fopen("/dev/null", "w");
	char *path;
	int rest;

	if (!opt_defaults(&marker_program, &first) && quiet)
		opt_read_args(&marker_program, &first, argc, argv, &rest, quiet);
	if (quiet)
		fclose(quiet);
	path = first.conf;
	first.conf = NULL;
	opt_free(&marker_program, &first);
	return path;
}

int marker_config_read(struct marker_config *cfg, int argc, char **argv, int *rest)
{
	char *path = find_conf(argc, argv);
	int err, file_err = 0;

	memset(cfg, 0, sizeof(*cfg));
	*rest = argc;
	err = opt_defaults(&marker_program, cfg);
	if (!err && (path || access(DEFAULT_FILE, F_OK) == 0))
		file_err = opt_read_file(&marker_program, cfg, path ? path : DEFAULT_FILE, stderr);
	free(path);
	if (!err)
		err = opt_read_args(&marker_program, cfg, argc, argv, rest, stderr);
	if (!err && !file_err)
		file_err = settle_match_all(cfg, stderr);
	if (!err && !file_err)
		file_err = check(cfg, stderr);
	return err ? -E2BIG : file_err;
}

void marker_config_free(struct marker_config *cfg)
{
	opt_free(&marker_program, cfg);
}
