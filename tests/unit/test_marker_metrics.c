/* Series of single flows: flowd-go's names and labels, ports where it prints addresses of functions,
 * totals that are the connection's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "marker/metrics.h"

static void names_labels_and_values(void **state)
{
	static struct flow_metrics flows[2] = {
		{.key = {.src_port = 1094, .dst_port = 40000, .protocol = 6, .family = 6},
		 .tag = {3, 14},
		 .algorithm = "cubic",
		 .info = {.tcpi_total_retrans = 7,
			  .tcpi_retrans = 1,
			  .tcpi_rtt = 12345,
			  .tcpi_rcv_mss = 536,
			  .tcpi_last_ack_recv = 11,
			  .tcpi_last_data_recv = 22,
			  .tcpi_bytes_acked = 1ULL << 40,
			  .tcpi_snd_wnd = 65536}},
		{.key = {.src_port = 1, .dst_port = 2, .protocol = 6, .family = 4}, .tag = {2, 17}},
	};
	static const char *const lines[] = {
		"\nflow_tcp_retrans{act=\"14\",exp=\"3\",src=\"2001:db8:1::10\",dst=\"2001:db8:2::"
		"20\","
		"flow=\"1094:40000\",flavour=\"Netlink\"} 7\n",
		"flow=\"1094:40000\",flavour=\"Netlink\",alg=\"cubic\"} 1\n",
		"\nflow_tcp_rtt{act=\"17\",exp=\"2\",src=\"192.0.2.1\",dst=\"198.51.100.2\",flow="
		"\"1:2\","
		"flavour=\"Netlink\"} 0\n",
		"\n# TYPE flow_tcp_bytes_acked_total counter\n",
		"\nscitag_marker_flow_series_left_out 5\n",
	};
	static const struct {
		const char *name, *value;
	} values[] = {
		{"rtt", "12345"},
		{"rcvmss", "536"},
		{"lastack", "11"},
		{"lastrcv", "22"},
		{"bytes_acked_total", "1099511627776"},
		{"rcv_snd_wnd", "65536"},
	};
	char *text = NULL, line[256];
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	inet_pton(AF_INET6, "2001:db8:1::10", flows[0].key.src_ip);
	inet_pton(AF_INET6, "2001:db8:2::20", flows[0].key.dst_ip);
	inet_pton(AF_INET6, "::ffff:192.0.2.1", flows[1].key.src_ip);
	inet_pton(AF_INET6, "::ffff:198.51.100.2", flows[1].key.dst_ip);
	metrics_write(flows, 2, 5, out);
	fclose(out);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!strstr(text, lines[i]))
			fail_msg("missing: %s", lines[i]);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		snprintf(line, sizeof(line),
			 "\nflow_tcp_%s{act=\"14\",exp=\"3\",src=\"2001:db8:1::10\","
			 "dst=\"2001:db8:2::20\",flow=\"1094:40000\",flavour=\"Netlink\"} %s\n",
			 values[i].name, values[i].value);
		if (!strstr(text, line))
			fail_msg("missing: %s", line);
	}
	/* no congestion control known: no series of it, and no crash */
	assert_null(strstr(text, "flow=\"1:2\",flavour=\"Netlink\",alg"));
	free(text);
}

static void no_flows_make_no_series(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	metrics_write(NULL, 0, 0, out);
	fclose(out);
	assert_null(strstr(text, "\nflow_tcp_"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_labels_and_values),
		cmocka_unit_test(no_flows_make_no_series),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
