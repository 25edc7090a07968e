/* The marker's configuration: every key that flowd-go v2.4.2 documents is read as it is, with its
 * default; what it silently ignores is warned of by name; what nobody knows is an error. And flowd's
 * file, converted. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/opt.h"
#include "marker/config.h"
#include "marker/convert.h"
#include "registry/registry.h"

/* Read text as a file on the command line would be; what was said is in said. */
static int read_config(struct marker_config *cfg, const char *text, char **said)
{
	char path[] = "/tmp/test-marker-config-XXXXXX", program[] = "scitag-marker",
	     conf[] = "--conf";
	char *argv[] = {program, conf, path, NULL};
	int fd = mkstemp(path), rest, err, keep;
	char log[] = "/tmp/test-marker-said-XXXXXX";
	int log_fd = mkstemp(log);
	static char buf[16384];
	ssize_t n;

	assert_true(fd >= 0 && log_fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	fflush(stderr);
	keep = dup(2);
	dup2(log_fd, 2);
	err = marker_config_read(cfg, 3, argv, &rest);
	fflush(stderr);
	dup2(keep, 2);
	close(keep);
	n = pread(log_fd, buf, sizeof(buf) - 1, 0);
	buf[n > 0 ? n : 0] = 0;
	*said = buf;
	close(log_fd);
	unlink(path);
	unlink(log);
	return err;
}

/* All that flowd-go's manual knows, with values other than its defaults. */
static const char everything[] =
	"pidPath: /run/x.pid\n"
	"workDir: /var/cache/flowd-go\n"
	"plugins:\n"
	"  namedPipe: {maxReaders: 3, buffSize: 2000, pipePath: /run/np}\n"
	"  api: {bindAddress: '::1', bindPort: 7778}\n"
	"  firefly: {bindAddress: 192.0.2.1, bindPort: 10515, bufferSize: 2048, deadline: 5,"
	" hasSyslogHeader: true}\n"
	"  perfsonar: {activityId: 5, experimentId: 4}\n"
	"  iperf3:\n"
	"    minSourcePort: 1\n"
	"    maxSourcePort: 2\n"
	"    minDestinationPort: 5201\n"
	"    maxDestinationPort: 5210\n"
	"    cgroupPath: /sys/fs/cgroup/x\n"
	"    programPath: ''\n"
	"    debugMode: false\n"
	"    randomIDs: true\n"
	"    activityIDs: [3, 4]\n"
	"    experimentIDs: [5, 6]\n"
	"backends:\n"
	"  marker: {targetInterfaces: [eth0, eth1], discoverInterfaces: true, removeQdisc: false,"
	" programPath: '', debugMode: false, matchAll: true, markingStrategy: HOPBYHOP}\n"
	"  firefly:\n"
	"    destinationPort: 10516\n"
	"    prependSyslog: false\n"
	"    sendToCollector: true\n"
	"    collectorAddress: collector.example.org\n"
	"    collectorPort: 10517\n"
	"    enrich: true\n"
	"    enrichmentMode: compatible\n"
	"    stun: {manualMapping: {192.168.0.1: 192.0.2.7}, stunServers: "
	"['stun.example.org:3478']}\n"
	"  prometheus: {log: false, bindAddress: 0.0.0.0, netlinkPort: 9100, skopsPort: 9101}\n"
	"enrichers:\n"
	"  period: 500\n"
	"  netlink: {protocol: 6, ext: 2, state: 1}\n"
	"  skops: {cgroupPath: /sys/fs/cgroup/x, programPath: '', debugMode: false,"
	" strategy: transition}\n";

static void every_key_of_flowd_go_is_read(void **state)
{
	struct marker_config c;
	char *said;

	assert_int_equal(read_config(&c, everything, &said), 0);
	assert_string_equal(c.pid_path, "/run/x.pid");
	assert_true(c.named_pipe && c.api && c.listener && c.perfsonar && c.iperf && c.marker);
	assert_true(c.firefly && c.exporter && c.enrichers && c.netlink && c.skops);
	assert_string_equal(c.pipe_path, "/run/np");
	assert_string_equal(c.api_address, "::1");
	assert_int_equal(c.api_port, 7778);
	assert_string_equal(c.listener_address, "192.0.2.1");
	assert_int_equal(c.listener_port, 10515);
	assert_int_equal(c.iperf_src_min, 1);
	assert_int_equal(c.iperf_src_max, 2);
	assert_int_equal(c.iperf_dst_min, 5201);
	assert_int_equal(c.iperf_dst_max, 5210);
	assert_true(c.iperf_random);
	assert_int_equal(c.iperf_activities.n, 2);
	assert_string_equal(c.iperf_experiments.items[1], "6");
	assert_int_equal(c.interfaces.n, 2);
	assert_true(c.discover_interfaces);
	assert_int_equal(marker_strategy(c.strategy), CARRIER_HOP_BY_HOP);
	/* perfSONAR's tag is that of matchAll, and wins */
	assert_true(c.match_all);
	assert_string_equal(c.experiment, "4");
	assert_string_equal(c.activity, "5");
	assert_int_equal(c.destination_port, 10516);
	assert_false(c.prepend_syslog);
	assert_true(c.send_to_collector);
	assert_string_equal(c.collector_address, "collector.example.org");
	assert_int_equal(c.collector_port, 10517);
	assert_true(c.enrich);
	assert_int_equal(c.enrichment_mode, MARKER_ENRICH_COMPATIBLE);
	assert_string_equal(c.stun_mapping.keys[0], "192.168.0.1");
	assert_string_equal(c.stun_mapping.values[0], "192.0.2.7");
	assert_string_equal(c.stun_servers.items[0], "stun.example.org:3478");
	assert_int_equal(c.exporter_netlink_port, 9100);
	assert_int_equal(c.exporter_skops_port, 9101);
	assert_false(c.exporter_log);
	assert_int_equal(c.enrich_period_ms, 500);
	assert_int_equal(c.netlink_ext, 2);
	assert_int_equal(c.skops_strategy, 1);
	marker_config_free(&c);
}

static void sections_alone_have_flowd_go_s_defaults(void **state)
{
	struct marker_config c;
	char *said;

	assert_int_equal(read_config(&c,
				     "plugins: {namedPipe: {}, api: {}, firefly: {}, iperf3: {}}\n"
				     "backends: {marker: {}, firefly: {}, prometheus: {}}\n"
				     "enrichers: {netlink: {}, skops: {}}\n",
				     &said),
			 0);
	assert_string_equal(said, "");
	assert_string_equal(c.api_address, "127.0.0.1");
	assert_int_equal(c.api_port, 7777);
	assert_false(c.api_dummy);
	assert_string_equal(c.listener_address, "127.0.0.1");
	assert_int_equal(c.listener_port, 10514);
	assert_string_equal(c.pipe_path, "/var/run/flowd-go/np");
	assert_int_equal(c.iperf_src_min + c.iperf_src_max + c.iperf_dst_min + c.iperf_dst_max, 0);
	assert_int_equal(c.iperf_experiments.n, 3);
	assert_string_equal(c.iperf_activities.items[2], "2");
	assert_false(c.iperf_random);
	assert_string_equal(c.interfaces.items[0], "lo");
	assert_int_equal(marker_strategy(c.strategy), CARRIER_LABEL);
	assert_true(c.remove_qdisc);
	assert_false(c.match_all);
	assert_int_equal(c.destination_port, 10514);
	assert_true(c.prepend_syslog);
	assert_false(c.send_to_collector);
	assert_int_equal(c.collector_port, 10514);
	assert_int_equal(c.enrichment_mode, MARKER_ENRICH_LEAN);
	assert_int_equal(c.stun_servers.n, 0); /* flowd-go asks five of a company's, unasked */
	assert_int_equal(c.exporter_netlink_port, 8080);
	assert_int_equal(c.exporter_skops_port, 8081);
	assert_int_equal(c.exporter_flows_max,
			 0); /* flowd-go: a series for each flow, without end */
	assert_int_equal(c.enrich_period_ms, 1000);
	assert_int_equal(c.netlink_ext, 255);
	assert_int_equal(c.netlink_state, 3071);
	marker_config_free(&c);
}

static void absent_sections_are_off(void **state)
{
	struct marker_config c;
	char *said;

	assert_int_equal(read_config(&c, "plugins: {namedPipe: {}}\n", &said), 0);
	assert_false(c.api || c.listener || c.perfsonar || c.iperf || c.scan || c.marker ||
		     c.firefly || c.exporter || c.netlink || c.skops);
	marker_config_free(&c);
}

/* Keys of flowd-go's samples, branches and documentation that no release reads. */
static void ignored_keys_are_named_with_what_to_write(void **state)
{
	static const struct {
		const char *yaml, *key, *instead;
	} cases[] = {
		{"plugins: {fireflyp: {bindPort: 10514}}\n", "plugins.fireflyp", "plugins.firefly"},
		{"plugins: {firefly: {fireflyReceivers: [{address: 192.0.2.1, port: 10514}]}}\n",
		 "plugins.firefly.fireflyReceivers", "relayTo"},
		{"plugins: {perfsonar: {activityID: 1, experimentId: 1}}\n",
		 "plugins.perfsonar.activityID", "activityId"},
		{"plugins: {perfsonar: {experimentID: 1, activityId: 1}}\n",
		 "plugins.perfsonar.experimentID", "experimentId"},
		{"plugins: {perfsonar: {flowLabelMatchAll: true, activityId: 1, experimentId: "
		 "1}}\n",
		 "plugins.perfsonar.flowLabelMatchAll", "matches all"},
		{"backends: {marker: {forceHookRemoval: true}}\n",
		 "backends.marker.forceHookRemoval", "never removed"},
		{"backends: {marker: {flowLabelMatchAll: true}}\n",
		 "backends.marker.flowLabelMatchAll", "matchAll: true"},
		{"workDir\": /var/cache/flowd-go\n", "workDir\"", "workDir"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct marker_config c;
		char *said;
		int err = read_config(&c, cases[i].yaml, &said);

		if (!strstr(said, cases[i].key) || !strstr(said, cases[i].instead) ||
		    !strstr(said, "warning:"))
			fail_msg("%s: %d, said: %s", cases[i].yaml, err, said);
		marker_config_free(&c);
	}
}

static void a_sample_that_names_no_tag_starts_and_says_so(void **state)
{
	struct marker_config c;
	char *said;

	assert_int_equal(read_config(&c,
				     "plugins: {perfsonar: {activityID: 2, experimentID: 3}}\n"
				     "backends: {marker: {matchAll: true}}\n",
				     &said),
			 0);
	assert_false(c.match_all);
	assert_non_null(strstr(said, "plugins.perfsonar matches nothing"));
	assert_non_null(strstr(said, "matchAll matches nothing"));
	marker_config_free(&c);
}

static void what_nobody_knows_is_an_error(void **state)
{
	static const struct {
		const char *yaml, *said;
	} cases[] = {
		{"plugins: {namedpipe: {}}\n", "did you mean 'plugins.namedPipe'"},
		{"plugins: {api: {port: 7777}}\n", "plugins.api.port"},
		{"plugins: {api: {bindPort: 70000}}\n", "0..65535"},
		{"plugins: {api: {bindPort: 0}}\n", "neither bindPort nor socketPath"},
		{"plugins: {iperf3: {activityIDs: [1, 2]}}\n", "experimentIDs"},
		{"plugins: {iperf3: {activityIDs: [], experimentIDs: []}}\n", "at least one"},
		{"plugins: {iperf3: {minSourcePort: 9, maxSourcePort: 8}}\n", "maxSourcePort"},
		{"plugins: {scan: {rules: [{localPorts: 1094}]}}\n", "experiment and activity"},
		{"plugins: {scan: {rules: [{localPorts: 65536, experiment: 1, activity: 1}]}}\n",
		 "a port"},
		{"plugins: {scan: {rules: [{cgroup: a, unit: b, experiment: 1, activity: 1}]}}\n",
		 "a cgroup and a unit"},
		{"plugins: {scan: {rules: [{remotePrefixes: 10.0.0.0/8, experiment: 1, activity: "
		 "1}]}}"
		 "\n",
		 "IPv6"},
		{"backends: {prometheus: {flowsMax: 1001}}\n", "0..1000"},
		{"backends: {firefly: {enrichmentMode: full}}\n", "lean"},
		{"enrichers: {perod: 1}\n", "enrichers.period"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct marker_config c;
		char *said;

		if (read_config(&c, cases[i].yaml, &said) != -EINVAL ||
		    !strstr(said, cases[i].said))
			fail_msg("%s said: %s", cases[i].yaml, said);
		marker_config_free(&c);
	}
}

static void more_wildcards_than_the_kernel_half_takes(void **state)
{
	char yaml[4096] =
		"plugins:\n  scan:\n    rules:\n      - {experiment: 1, activity: 1, localPorts: [";
	struct marker_config c;
	char *said;

	for (int i = 1; i <= 65; i++)
		snprintf(yaml + strlen(yaml), sizeof(yaml) - strlen(yaml), "%s%d",
			 i > 1 ? ", " : "", i);
	strcat(yaml, "]}\n");
	assert_int_equal(read_config(&c, yaml, &said), -EINVAL);
	assert_non_null(strstr(said, "65 wildcards, at most 64"));
	marker_config_free(&c);
}

static void what_is_dumped_reads_back(void **state)
{
	struct marker_config c, again;
	char *said, *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(read_config(&c, everything, &said), 0);
	opt_dump(&marker_program, &c, out);
	fclose(out);
	assert_int_equal(read_config(&again, text, &said), 0);
	assert_string_equal(said, "");
	assert_string_equal(again.pipe_path, c.pipe_path);
	assert_int_equal(again.iperf_dst_max, c.iperf_dst_max);
	assert_string_equal(again.stun_mapping.values[0], "192.0.2.7");
	assert_int_equal(again.enrichment_mode, c.enrichment_mode);
	marker_config_free(&c);
	marker_config_free(&again);
	free(text);
}

/* --- flowd's file -------------------------------------------------------------------------------------- */

static int convert(const char *text, char **yaml, char **said)
{
	FILE *in = fmemopen((void *)text, strlen(text), "r"), *out, *err;
	size_t n, m;
	int result;

	out = open_memstream(yaml, &n);
	err = open_memstream(said, &m);
	result = convert_flowd(in, "flowd.cfg", out, err);
	fclose(in);
	fclose(out);
	fclose(err);
	return result;
}

static void a_converted_file_is_read_without_a_word(void **state)
{
	static const char *const files[] = {
		"PLUGIN='np_api'\nBACKEND='udp_firefly'\nFLOW_MAP_API='https://www.scitags.org/"
		"api.json'\n",
		"PLUGIN = \"firefly\"\nBACKEND = \"udp_firefly, "
		"prometheus\"\nFIREFLY_LISTENER_PORT=10515\n",
		"PLUGIN='netstat'\nBACKEND='ebpf_el9'\nNETSTAT_EXPERIMENT=16\nNETSTAT_ACTIVITY=14\n"
		"NETSTAT_INTERNAL_NETWORKS=('192.168.0.0/16',\n  'fd00::/8')  # ours\n"
		"NETWORK_INTERFACE='eth0'\n",
		"PLUGIN='netlink'\nBACKEND='ebpf,prometheus'\nNETLINK_EXPERIMENT='atlas'\n"
		"NETLINK_ACTIVITY='17'\nPROMETHEUS_SRV_PORT=9001\nPROMETHEUS_SS_PATH='/usr/sbin/"
		"ss'\n",
		"PLUGIN='iperf'\nBACKEND='udp_firefly'\nIPERF_FLOW_ID=[(2, 17), (3, 14)]\n"
		"UDP_FIREFLY_DST='collector.example.org'\nUDP_FIREFLY_NETLINK=True\n"
		"IP_DISCOVERY_ENABLED=True\nSTUN_SERVERS=['stun.example.org:3478']\n"
		"UDP_FIREFLY_IP4_SRC='192.0.2.1'\n",
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char *yaml = NULL, *complaint = NULL, *said;
		struct marker_config c;

		if (convert(files[i], &yaml, &complaint))
			fail_msg("%s", complaint);
		if (read_config(&c, yaml, &said) || *said)
			fail_msg("%s\n%s", yaml, said);
		switch (i) {
		case 0:
			assert_true(c.named_pipe && c.firefly && !c.marker);
			assert_string_equal(c.pipe_path, "/var/run/flowd");
			break;
		case 1:
			assert_true(c.listener && c.firefly && c.exporter);
			assert_string_equal(c.listener_address, "0.0.0.0");
			assert_int_equal(c.listener_port, 10515);
			assert_int_equal(c.exporter_netlink_port, 9000);
			break;
		case 2: {
			const struct marker_scan_rule *r = c.scan_rules.items;

			assert_true(c.scan && c.marker);
			assert_int_equal(c.scan_rules.n, 1);
			assert_string_equal(r->experiment, "16");
			assert_string_equal(r->activity, "14");
			assert_string_equal(r->remote_prefixes.items[0], "2000::/3");
			assert_string_equal(c.interfaces.items[0], "eth0");
			assert_non_null(strstr(yaml, "192.168.0.0/16"));
			break;
		}
		case 3:
			assert_true(c.scan && c.marker && c.exporter && c.discover_interfaces);
			assert_int_equal(c.exporter_netlink_port, 9001);
			assert_int_equal(c.exporter_flows_max, 1000);
			break;
		default:
			assert_true(c.iperf && c.iperf_random && c.enrich && c.send_to_collector);
			assert_string_equal(c.iperf_experiments.items[1], "3");
			assert_string_equal(c.iperf_activities.items[0], "17");
			assert_string_equal(c.collector_address, "collector.example.org");
			assert_string_equal(c.stun_servers.items[0], "stun.example.org:3478");
		}
		marker_config_free(&c);
		free(yaml);
		free(complaint);
	}
}

static void what_cannot_be_converted_is_said_with_its_line(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{"PLUGIN='np_api'\nBACKEND='udp_firefly'\nPLUGNI='x'\n",
		 "flowd.cfg:3: unknown key PLUGNI"},
		{"# only\n", "no plugin \"\""},
		{"PLUGIN='snmp'\nBACKEND='udp_firefly'\n", "flowd.cfg:1: PLUGIN"},
		{"PLUGIN='np_api'\nBACKEND='mail'\n", "flowd.cfg:2: BACKEND"},
		{"PLUGIN='np_api\n", "flowd.cfg:1: PLUGIN"},
		{"PLUGIN='np_api'\n\nimport os\n", "flowd.cfg:3: expected KEY=value"},
		{"PLUGIN='np_api'\nBACKEND=('udp_firefly'\n", "flowd.cfg:2: BACKEND"},
		{"PLUGIN='iperf'\nBACKEND='udp_firefly'\nIPERF_FLOW_ID=[(1,2),(3)]\n", "pairs"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *yaml = NULL, *said = NULL;

		if (convert(cases[i].text, &yaml, &said) != -EINVAL || !strstr(said, cases[i].said))
			fail_msg("%s said: %s", cases[i].text, said);
		free(yaml);
		free(said);
	}
}

static void quotes_in_values_stay_inside_theirs(void **state)
{
	char *yaml = NULL, *complaint = NULL, *said;
	struct marker_config c;

	assert_int_equal(convert("PLUGIN='np_api'\nBACKEND='udp_firefly'\n"
				 "NP_API_FILE='/run/a\"b\\\\c: {d'\n",
				 &yaml, &complaint),
			 0);
	assert_int_equal(read_config(&c, yaml, &said), 0);
	assert_string_equal(c.pipe_path, "/run/a\"b\\\\c: {d");
	marker_config_free(&c);
	free(yaml);
	free(complaint);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_of_flowd_go_is_read),
		cmocka_unit_test(sections_alone_have_flowd_go_s_defaults),
		cmocka_unit_test(absent_sections_are_off),
		cmocka_unit_test(ignored_keys_are_named_with_what_to_write),
		cmocka_unit_test(a_sample_that_names_no_tag_starts_and_says_so),
		cmocka_unit_test(what_nobody_knows_is_an_error),
		cmocka_unit_test(more_wildcards_than_the_kernel_half_takes),
		cmocka_unit_test(what_is_dumped_reads_back),
		cmocka_unit_test(a_converted_file_is_read_without_a_word),
		cmocka_unit_test(what_cannot_be_converted_is_said_with_its_line),
		cmocka_unit_test(quotes_in_values_stay_inside_theirs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
