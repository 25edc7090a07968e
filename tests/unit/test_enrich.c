/* The two forms that flowd-go has beside its lean one: names, shapes and units as its tables have them
 * (types/enrichment.go and enrichment_compat.go of v2.4.2), within the bytes that are allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "marker/enrich.h"

static const char firefly[] =
	"<134>1 - h a - firefly-json - {\"version\":1,\"usage\":{\"sent\":1}}";

/* Every member of its own value, times such that a wrong unit shows. */
static struct tcp_detail everything(void)
{
	struct tcp_detail d = {
		.socket = {.idiag_family = 10, .idiag_uid = 4711},
		.has = 1U << INET_DIAG_INFO | 1U << INET_DIAG_CONG | 1U << INET_DIAG_BBRINFO |
		       1U << INET_DIAG_TOS | 1U << INET_DIAG_MEMINFO | 1U << INET_DIAG_SKMEMINFO,
		.tos = 8,
		.mem = {1, 2, 3, 4},
		.sk_mem = {1, 2, 3, 4, 5, 6, 7, 8, 9},
		.cc = {.bbr = {.bbr_bw_lo = 5, .bbr_bw_hi = 1, .bbr_min_rtt = 77}},
		.congestion = "bbr",
	};

	memset(&d.info, 0xee, sizeof(d.info)); /* large: ten and twenty digits */
	d.info.tcpi_state = 5;
	d.info.tcpi_options = TCPI_OPT_TIMESTAMPS | TCPI_OPT_ECN;
	d.info.tcpi_snd_wscale = 7;
	d.info.tcpi_rcv_wscale = 9;
	d.info.tcpi_delivery_rate_app_limited = 1;
	d.info.tcpi_fastopen_client_fail = 2;
	d.info.tcpi_rtt = 12999;
	d.info.tcpi_rttvar = 999;
	d.info.tcpi_rcv_rtt = 5500;
	d.info.tcpi_min_rtt = 8001;
	d.info.tcpi_rto = 212345;
	d.info.tcpi_ato = 40000;
	d.info.tcpi_busy_time = 123456;
	d.info.tcpi_last_data_sent = 31;
	d.info.tcpi_snd_ssthresh = 65534;
	d.info.tcpi_bytes_acked = 1ULL << 40;
	return d;
}

static const char *member_name = "netlink";

/* Exactly cap_bytes of heap: one byte too far is a report. NULL: nothing was appended. */
static json_t *netlink(enum enrich_form form, size_t cap_bytes, const struct tcp_detail *d)
{
	char *buf = malloc(cap_bytes), *end;
	size_t len_bytes;
	json_t *root, *section;
	json_error_t error;

	assert_non_null(buf);
	memcpy(buf, firefly, sizeof(firefly) - 1);
	len_bytes = enrich_append(buf, sizeof(firefly) - 1, cap_bytes, member_name, form, d);
	assert_in_range(len_bytes, sizeof(firefly) - 1, cap_bytes);
	end = memchr(buf, '{', len_bytes);
	root = json_loadb(end, len_bytes - (size_t)(end - buf), JSON_REJECT_DUPLICATES, &error);
	if (!root)
		fail_msg("%zu bytes: %s: %.*s", cap_bytes, error.text, (int)len_bytes, buf);
	assert_int_equal(json_integer_value(json_object_get(root, "version")), 1);
	section = json_incref(json_object_get(root, member_name));
	json_decref(root);
	free(buf);
	return section;
}

static json_int_t integer(const json_t *o, const char *name)
{
	const json_t *value = json_object_get(o, name);

	if (!json_is_integer(value))
		fail_msg("%s is no integer", name);
	return json_integer_value(value);
}

static void compatible_is_flat_in_flowd_s_names_and_units(void **state)
{
	/* all of flowd-go's struct compatibilityEnrichment */
	static const char *const names[] = {"pmtu",
					    "retrans",
					    "ato",
					    "rto",
					    "snd_wscale",
					    "rcv_wscale",
					    "snd_mss",
					    "snd_cwnd",
					    "snd_ssthresh",
					    "rtt",
					    "rttvar",
					    "rcv_rtt",
					    "rcv_space",
					    "last_data_sent",
					    "rcv_ssthresh",
					    "segs_in",
					    "segs_out",
					    "data_segs_in",
					    "data_segs_out",
					    "lost",
					    "notsent_bytes",
					    "rcv_mss",
					    "pacing_rate",
					    "retransmits",
					    "min_rtt",
					    "rwnd_limited",
					    "max_pacing_rate",
					    "probes",
					    "reordering",
					    "last_data_recv",
					    "bytes_received",
					    "fackets",
					    "last_ack_recv",
					    "last_ack_sent",
					    "unacked",
					    "sacked",
					    "bytes_acked",
					    "delivery_rate",
					    "sndbuf_limited",
					    "ca_state",
					    "busy_time",
					    "total_retrans",
					    "advmss",
					    "backoff",
					    "delivery_rate_app_limited"};
	static const struct {
		const char *name;
		json_int_t value;
	} values[] = {{"rtt", 12}, /* ms, cut off */
		      {"rttvar", 0},
		      {"rcv_rtt", 5},
		      {"rto", 212},
		      {"ato", 40},
		      {"min_rtt", 8001},     /* us */
		      {"busy_time", 123456}, /* us */
		      {"last_data_sent", 31},
		      {"snd_ssthresh", 65534},
		      {"snd_wscale", 7},
		      {"rcv_wscale", 9},
		      {"delivery_rate_app_limited", 1},
		      {"bytes_acked", 1LL << 40}};
	struct tcp_detail d = everything();
	json_t *n = netlink(ENRICH_COMPATIBLE, 8192, &d);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		integer(n, names[i]);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_int_equal(integer(n, values[i].name), values[i].value);
	assert_int_equal(json_object_size(n), sizeof(names) / sizeof(names[0]) + 2);
	assert_string_equal(json_string_value(json_object_get(n, "state")), "fin-wait-2");
	assert_int_equal(json_array_size(json_object_get(n, "opts")), 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(n, "opts"), 1)),
			    "ecn");
	json_decref(n);
	d.info.tcpi_rto = 3000000; /* both: never measured */
	d.info.tcpi_snd_ssthresh = 65535;
	d.info.tcpi_options = 0;
	d.info.tcpi_state = 99;
	n = netlink(ENRICH_COMPATIBLE, 8192, &d);
	assert_int_equal(integer(n, "rto"), 0);
	assert_int_equal(integer(n, "snd_ssthresh"), 0);
	assert_int_equal(json_array_size(json_object_get(n, "opts")), 0);
	assert_string_equal(json_string_value(json_object_get(n, "state")), "invalid");
	json_decref(n);
}

static void full_is_nested_and_in_microseconds(void **state)
{
	static const struct {
		const char *name;
		json_int_t value;
	} values[] = {{"rtt", 12999},
		      {"rttVar", 999},
		      {"minRtt", 8001},
		      {"rto", 212345},
		      {"lastDataSent", 31},
		      {"sndSsThresh", 65534},
		      {"sndWscale", 7},
		      {"rcvdWscale", 9},
		      {"deliveryRateAppLimited", 1},
		      {"fastOpenClientFail", 2},
		      {"bytesAcked", 1LL << 40},
		      {"state", 5},
		      {"options", 9}};
	struct tcp_detail d = everything();
	json_t *n = netlink(ENRICH_FULL, 8192, &d), *tcp = json_object_get(n, "tcpInfo");

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_int_equal(integer(tcp, values[i].name), values[i].value);
	assert_int_equal(json_object_size(tcp), 56); /* as many as flowd-go's struct TCPInfo */
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(n, "cong"), "algorithm")), "bbr");
	assert_int_equal(integer(json_object_get(n, "bbr"), "bbrBW"), (1LL << 32) + 5);
	assert_int_equal(integer(json_object_get(n, "bbr"), "bbrMinRTT"), 77);
	assert_int_equal(integer(json_object_get(n, "tos"), "tos"), 8);
	assert_int_equal(integer(json_object_get(n, "memInfo"), "tMem"), 4);
	assert_int_equal(integer(json_object_get(n, "skMemInfo"), "drops"), 9);
	assert_int_equal(integer(json_object_get(n, "skBuff"), "uid"), 4711);
	assert_int_equal(json_object_size(n), 7);
	json_decref(n);
	d.has = 1U << INET_DIAG_INFO;
	d.congestion[0] = 0;
	n = netlink(ENRICH_FULL, 8192, &d);
	assert_int_equal(json_object_size(n), 2); /* tcpInfo and skBuff */
	json_decref(n);
}

/* Whatever the room: JSON that is whole, and what there is room for starts with the lean set. */
static void it_never_grows_beyond_its_room(void **state)
{
	static const char *const lean[] = {"rtt",         "rttVar",       "minRtt",   "sndCwnd",
					   "sndSsThresh", "retransmits",  "sndMss",   "advMss",
					   "pMtu",        "deliveryRate", "bytesSent"};
	struct tcp_detail d = everything();
	size_t before[2] = {0, 0};

	for (size_t cap = sizeof(firefly) - 1; cap < 3000; cap++)
		for (int form = ENRICH_COMPATIBLE; form <= ENRICH_FULL; form++) {
			json_t *n = netlink((enum enrich_form)form, cap, &d);
			const json_t *in = form == ENRICH_FULL ? json_object_get(n, "tcpInfo") : n;
			size_t members = json_object_size(in);

			assert_true(members >= before[form - 1]);
			before[form - 1] = members;
			if (cap >= 1400 && form == ENRICH_FULL)
				for (size_t i = 0; i < sizeof(lean) / sizeof(lean[0]); i++)
					integer(in, lean[i]);
			json_decref(n);
		}
	assert_int_equal(before[0], 47);
	assert_int_equal(before[1], 56);
}

static void skops_is_lean_under_another_name(void **state)
{
	struct tcp_detail d = everything();
	json_t *n, *tcp;

	member_name = "skOps";
	n = netlink(ENRICH_LEAN, 1400, &d);
	tcp = json_object_get(n, "tcpInfo");
	assert_int_equal(json_object_size(tcp), 11);
	assert_int_equal(integer(tcp, "rtt"), 12999);
	assert_int_equal(integer(tcp, "Retransmits"), 0xee); /* flowd-go's capital */
	assert_int_equal(integer(tcp, "bytesSent"), INT64_MAX);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(n, "cong"), "algorithm")), "bbr");
	assert_int_equal(json_object_size(n), 2);
	json_decref(n);
	for (size_t cap = sizeof(firefly) - 1; cap < 600; cap++) {
		n = netlink(ENRICH_LEAN, cap, &d); /* whole, or not at all */
		if (n)
			assert_int_equal(json_object_size(json_object_get(n, "tcpInfo")), 11);
		json_decref(n);
	}
	member_name = "netlink";
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(compatible_is_flat_in_flowd_s_names_and_units),
		cmocka_unit_test(full_is_nested_and_in_microseconds),
		cmocka_unit_test(skops_is_lean_under_another_name),
		cmocka_unit_test(it_never_grows_beyond_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
