/* The marker's programs, loaded into the kernel and run on single packets (BPF_PROG_TEST_RUN), in a
 * network namespace of their own. Expected bytes are written out from RFC 8200 and the option's
 * form "1e 03 experiment-high experiment-low activity 00", never taken from the program. */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <cmocka.h>
#include <linux/bpf.h>

#include "marker/mark.h"
#include "wire/scitag.h"

#define UNSPEC   0xffffffffu /* TC_ACT_UNSPEC: the next filter decides */
#define ETH      14
#define CAP      2048
#define SHORTEST (ETH + 40) /* the kernel's own harness refuses shorter IPv6 frames */

/* Tag 3/14 with entropy 80100: label B0138; as an option 00 03 0e. */
static const struct mark_tag tag_3_14 = {.label = 0xB0138,
					 .option = {0x1e, 3, 0x00, 0x03, 0x0e, 0x00}};

static struct mark *marker;
static unsigned int narrow_ifindex; /* a device of MTU 1500 */

/* --- frames ------------------------------------------------------------------------------------ */

struct frame {
	uint8_t bytes[CAP];
	size_t len;
};

static void add(struct frame *f, const void *bytes, size_t n)
{
	assert_true(f->len + n <= CAP);
	memcpy(f->bytes + f->len, bytes, n);
	f->len += n;
}
#define ADD(f, ...)                                     \
	do {                                            \
		const uint8_t bytes_[] = {__VA_ARGS__}; \
		add(f, bytes_, sizeof(bytes_));         \
	} while (0)

static const uint8_t src_ip[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10};
static const uint8_t dst_ip[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20};

static void ethernet(struct frame *f)
{
	f->len = 0;
	ADD(f, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1);
}

/* Traffic class B9 (EF, ECT(1)), label 12345, hop limit 64. */
static void ipv6(struct frame *f, uint8_t next, size_t payload)
{
	ADD(f, 0x86, 0xdd, 0x6b, 0x91, 0x23, 0x45, (uint8_t)(payload >> 8), (uint8_t)payload, next,
	    64);
	add(f, src_ip, 16);
	add(f, dst_ip, 16);
}

static void ports(struct frame *f)
{
	ADD(f, 0x04, 0x46, 0x9c, 0x40); /* 1094 > 40000 */
}

static void tcp(struct frame *f, uint8_t flags, uint32_t seq)
{
	ports(f);
	ADD(f, (uint8_t)(seq >> 24), (uint8_t)(seq >> 16), (uint8_t)(seq >> 8), (uint8_t)seq);
	ADD(f, 0x20, 0, 0, 0, 0x50, flags, 2, 0, 0x81, 0xa9, 0, 0);
}

static void payload(struct frame *f, size_t n)
{
	while (n--)
		ADD(f, (uint8_t)(f->len * 7));
}

static void plain_tcp(struct frame *f, size_t n)
{
	ethernet(f);
	ipv6(f, 6, 20 + n);
	tcp(f, 0x10, 0x10000000);
	payload(f, n);
}

/* --- running ----------------------------------------------------------------------------------- */

static struct frame out;

static unsigned int run(int egress, const struct frame *in, unsigned int ifindex)
{
	struct __sk_buff ctx = {.ifindex = ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->bytes,
		    .data_size_in = (uint32_t)in->len, .data_out = out.bytes, .data_size_out = CAP,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx));
	int err;

	memset(&out, 0xee, sizeof(out));
	err = bpf_prog_test_run_opts(mark_program_fd(marker, egress), &opts);
	if (err)
		print_error("test run: %s, %zu bytes\n", strerror(errno), in->len);
	assert_int_equal(err, 0);
	out.len = opts.data_size_out;
	return opts.retval;
}

static struct flow_key key_of(uint8_t protocol)
{
	struct flow_key key = {
		.src_port = 1094, .dst_port = 40000, .protocol = protocol, .family = 6};

	memcpy(key.src_ip, src_ip, 16);
	memcpy(key.dst_ip, dst_ip, 16);
	return key;
}

static void drop_all(void *arg, const struct flow_key *key, const struct mark_flow *flow)
{
	assert_int_equal(mark_drop(marker, key), 0);
}

static void mark_as(uint8_t protocol, enum scitag_carrier carrier, uint32_t flags)
{
	struct flow_key key = key_of(protocol);
	struct mark_flow flow = {.tag = tag_3_14, .flags = flags};

	mark_each(marker, drop_all, NULL);
	flow.tag.carrier = carrier;
	assert_int_equal(mark_put(marker, &key, &flow), 0);
	assert_int_equal(mark_beat(marker), 0);
}

static uint64_t counted(uint8_t protocol, enum mark_result result)
{
	struct flow_key key = key_of(protocol);
	struct mark_flow flow;

	assert_int_equal(mark_get(marker, &key, &flow), 0);
	return flow.counts[result].packets;
}

static void expect(const struct frame *want)
{
	assert_int_equal(out.len, want->len);
	assert_memory_equal(out.bytes, want->bytes, want->len);
}

/* The packet goes on as it came, counted under that reason. */
static void passes_as_it_is(const struct frame *in, uint8_t protocol, enum mark_result why,
			    unsigned int ifindex)
{
	uint64_t before = counted(protocol, why);

	assert_int_equal(run(1, in, ifindex), UNSPEC);
	expect(in);
	assert_int_equal(counted(protocol, why), before + 1);
	assert_int_equal(counted(protocol, MARK_DONE), 0);
}

static void becomes(const struct frame *in, const struct frame *want, uint8_t protocol)
{
	assert_int_equal(run(1, in, 0), UNSPEC);
	expect(want);
	assert_int_equal(counted(protocol, MARK_DONE), 1);
}

/* --- strategies -------------------------------------------------------------------------------- */

static void a_label_changes_twenty_bits_and_no_more(void **state)
{
	const uint8_t protocols[] = {6, 17, 132};

	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame in, want;

		ethernet(&in);
		ipv6(&in, protocols[i], 60);
		tcp(&in, 0x10, 1);
		payload(&in, 40);
		want = in;
		/* class B9 stays: 6b 9x; label B0138 */
		memcpy(want.bytes + ETH, "\x6b\x9b\x01\x38", 4);
		mark_as(protocols[i], CARRIER_LABEL, 0);
		becomes(&in, &want, protocols[i]);
	}
}

/* From a frame whose IPv6 header starts at l3 to the same with `insert` behind it. */
static void inserted(struct frame *want, const struct frame *in, size_t l3, uint8_t next,
		     const void *insert, size_t n)
{
	size_t length;

	*want = *in;
	memmove(want->bytes + l3 + 40 + n, in->bytes + l3 + 40, in->len - l3 - 40);
	memcpy(want->bytes + l3 + 40, insert, n);
	length = (size_t)want->bytes[l3 + 4] << 8 | want->bytes[l3 + 5];
	length += n;
	want->bytes[l3 + 4] = (uint8_t)(length >> 8);
	want->bytes[l3 + 5] = (uint8_t)length;
	want->bytes[l3 + 6] = next;
	want->len += n;
}

#define OPTION 0x1e, 3, 0, 3, 14, 0

static void each_strategy_inserts_its_headers(void **state)
{
	const uint8_t protocols[] = {6, 17, 132};

	for (size_t i = 0; i < sizeof(protocols); i++) {
		uint8_t p = protocols[i];
		const uint8_t one[] = {p, 0, OPTION}, two[] = {60, 0, OPTION, p, 0, OPTION};
		struct frame in, want;

		ethernet(&in);
		ipv6(&in, p, 160);
		tcp(&in, 0x10, 1);
		payload(&in, 140);

		inserted(&want, &in, ETH, 60, one, 8);
		mark_as(p, CARRIER_DESTINATION, 0);
		becomes(&in, &want, p);

		inserted(&want, &in, ETH, 0, one, 8);
		mark_as(p, CARRIER_HOP_BY_HOP, 0);
		becomes(&in, &want, p);

		inserted(&want, &in, ETH, 0, two, 16);
		mark_as(p, CARRIER_HOP_BY_HOP_DESTINATION, 0);
		becomes(&in, &want, p);
	}
}

/* A router alert (RFC 2711) in front of UDP. */
static void hop_by_hop_alert(struct frame *f, uint8_t behind, size_t bytes_behind)
{
	ethernet(f);
	ipv6(f, 0, 8 + bytes_behind);
	ADD(f, behind, 0, 5, 2, 0, 0, 1, 0);
}

static void an_existing_hop_by_hop_header_is_made_longer(void **state)
{
	struct frame in, want;

	hop_by_hop_alert(&in, 17, 28);
	tcp(&in, 0, 0);
	payload(&in, 8);

	ethernet(&want);
	ipv6(&want, 0, 16 + 28);
	ADD(&want, 17, 1, OPTION, 1, 0, 5, 2, 0, 0, 1, 0);
	tcp(&want, 0, 0);
	payload(&want, 8);
	memcpy(want.bytes + want.len - 8, in.bytes + in.len - 8, 8);
	mark_as(17, CARRIER_HOP_BY_HOP, 0);
	becomes(&in, &want, 17);

	ethernet(&want);
	ipv6(&want, 0, 24 + 28);
	ADD(&want, 60, 1, OPTION, 1, 0, 5, 2, 0, 0, 1, 0, 17, 0, OPTION);
	tcp(&want, 0, 0);
	add(&want, in.bytes + in.len - 8, 8);
	mark_as(17, CARRIER_HOP_BY_HOP_DESTINATION, 0);
	becomes(&in, &want, 17);

	/* the destination header goes behind the hop-by-hop header */
	ethernet(&want);
	ipv6(&want, 0, 16 + 28);
	ADD(&want, 60, 0, 5, 2, 0, 0, 1, 0, 17, 0, OPTION);
	tcp(&want, 0, 0);
	add(&want, in.bytes + in.len - 8, 8);
	mark_as(17, CARRIER_DESTINATION, 0);
	becomes(&in, &want, 17);
}

static void an_existing_destination_header_is_made_longer(void **state)
{
	/* an option of the application's own: type 3e, 4 bytes */
	struct frame in, want;

	ethernet(&in);
	ipv6(&in, 60, 8 + 20);
	ADD(&in, 6, 0, 0x3e, 4, 9, 8, 7, 6);
	tcp(&in, 0x10, 5);

	ethernet(&want);
	ipv6(&want, 60, 16 + 20);
	ADD(&want, 6, 1, OPTION, 1, 0, 0x3e, 4, 9, 8, 7, 6);
	tcp(&want, 0x10, 5);
	mark_as(6, CARRIER_DESTINATION, 0);
	becomes(&in, &want, 6);

	ethernet(&want);
	ipv6(&want, 0, 24 + 20);
	ADD(&want, 60, 0, OPTION, 6, 1, OPTION, 1, 0, 0x3e, 4, 9, 8, 7, 6);
	tcp(&want, 0x10, 5);
	mark_as(6, CARRIER_HOP_BY_HOP_DESTINATION, 0);
	becomes(&in, &want, 6);

	ethernet(&want);
	ipv6(&want, 0, 16 + 20);
	ADD(&want, 60, 0, OPTION, 6, 0, 0x3e, 4, 9, 8, 7, 6);
	tcp(&want, 0x10, 5);
	mark_as(6, CARRIER_HOP_BY_HOP, 0);
	becomes(&in, &want, 6);
}

static void both_headers_are_made_longer_where_both_are(void **state)
{
	struct frame in, want;

	hop_by_hop_alert(&in, 60, 16 + 20);
	ADD(&in, 6, 1, 0x3e, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 0);
	tcp(&in, 0x10, 5);
	ethernet(&want);
	ipv6(&want, 0, 16 + 24 + 20);
	ADD(&want, 60, 1, OPTION, 1, 0, 5, 2, 0, 0, 1, 0);
	ADD(&want, 6, 2, OPTION, 1, 0, 0x3e, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 0);
	tcp(&want, 0x10, 5);
	mark_as(6, CARRIER_HOP_BY_HOP_DESTINATION, 0);
	becomes(&in, &want, 6);
}

static void a_packet_that_carries_the_option_is_left_alone(void **state)
{
	struct frame in;

	ethernet(&in);
	ipv6(&in, 60, 8 + 20);
	ADD(&in, 6, 0, 0x1e, 3, 0, 2, 9, 0);
	tcp(&in, 0x10, 5);
	mark_as(6, CARRIER_DESTINATION, 0);
	passes_as_it_is(&in, 6, MARK_ALREADY, 0);
	in.bytes[ETH + 6] = 0;
	mark_as(6, CARRIER_HOP_BY_HOP, 0);
	passes_as_it_is(&in, 6, MARK_ALREADY, 0);
}

static void under_an_authentication_header_nothing_is_inserted_but_a_label_is_set(void **state)
{
	struct frame in, want;

	ethernet(&in);
	ipv6(&in, 51, 24 + 20);
	ADD(&in, 6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
	tcp(&in, 0x10, 5);
	mark_as(6, CARRIER_DESTINATION, 0);
	passes_as_it_is(&in, 6, MARK_CHAIN, 0);
	want = in;
	memcpy(want.bytes + ETH, "\x6b\x9b\x01\x38", 4);
	mark_as(6, CARRIER_LABEL, 0);
	becomes(&in, &want, 6);
}

static void later_fragments_follow_the_first(void **state)
{
	const uint8_t one[] = {44, 0, OPTION};
	struct frame first, later, want;

	ethernet(&first);
	ipv6(&first, 44, 8 + 24);
	ADD(&first, 17, 0, 0, 1, 0xca, 0xfe, 0, 1);
	tcp(&first, 0, 0);
	payload(&first, 4);
	ethernet(&later);
	ipv6(&later, 44, 8 + 16);
	ADD(&later, 17, 0, 0, 24, 0xca, 0xfe, 0, 1);
	payload(&later, 16);

	mark_as(17, CARRIER_DESTINATION, 0);
	run(1, &later, 0);
	expect(&later); /* nobody knows its ports */
	inserted(&want, &first, ETH, 60, one, 8);
	becomes(&first, &want, 17);
	inserted(&want, &later, ETH, 60, one, 8);
	assert_int_equal(run(1, &later, 0), UNSPEC);
	expect(&want);
	assert_int_equal(counted(17, MARK_DONE), 2);
	later.bytes[ETH + 40 + 7] = 2; /* of another packet */
	run(1, &later, 0);
	expect(&later);
}

/* --- VLANs ------------------------------------------------------------------------------------- */

static void a_label_is_set_behind_any_vlan_tags(void **state)
{
	for (int tags = 1; tags <= 4; tags++) {
		struct frame in, want;

		ethernet(&in);
		for (int i = 0; i < tags; i++)
			ADD(&in, i ? 0x81 : 0x88, i ? 0x00 : 0xa8, 0x60, (uint8_t)(100 + i));
		ipv6(&in, 6, 20);
		tcp(&in, 0x10, 1);
		want = in;
		memcpy(want.bytes + ETH + 4 * tags, "\x6b\x9b\x01\x38", 4);
		mark_as(6, CARRIER_LABEL, 0);
		becomes(&in, &want, 6);
	}
}

/* The kernel keeps the outermost tag beside the packet once it was lifted: what comes out of a test
 * run lacks it. The wire sees it again; the namespace tests look there. */
static void options_go_in_behind_vlan_tags(void **state)
{
	const uint8_t one[] = {6, 0, OPTION}, two[] = {60, 0, OPTION, 6, 0, OPTION};
	struct frame in, inner, want;

	plain_tcp(&inner, 100);
	ethernet(&in);
	ADD(&in, 0x81, 0x00, 0x20, 100);
	add(&in, inner.bytes + 12, inner.len - 12);
	inserted(&want, &inner, ETH, 60, one, 8);
	mark_as(6, CARRIER_DESTINATION, 0);
	becomes(&in, &want, 6);
	inserted(&want, &inner, ETH, 0, two, 16);
	mark_as(6, CARRIER_HOP_BY_HOP_DESTINATION, 0);
	becomes(&in, &want, 6);

	/* 802.1ad outside, 802.1Q inside */
	ethernet(&in);
	ADD(&in, 0x88, 0xa8, 0x20, 200, 0x81, 0x00, 0x40, 100);
	add(&in, inner.bytes + 12, inner.len - 12);
	ethernet(&inner);
	ADD(&inner, 0x81, 0x00, 0x40, 100);
	add(&inner, in.bytes + 12 + 8, in.len - 20);
	inserted(&want, &inner, ETH + 4, 0, one, 8);
	mark_as(6, CARRIER_HOP_BY_HOP, 0);
	becomes(&in, &want, 6);
}

static void three_vlan_tags_are_too_many_for_options(void **state)
{
	struct frame in;

	ethernet(&in);
	ADD(&in, 0x81, 0x00, 0, 1, 0x81, 0x00, 0, 2, 0x81, 0x00, 0, 3);
	ipv6(&in, 6, 20);
	tcp(&in, 0x10, 1);
	mark_as(6, CARRIER_DESTINATION, 0);
	passes_as_it_is(&in, 6, MARK_VLAN, 0);
}

/* --- room -------------------------------------------------------------------------------------- */

static void what_would_exceed_the_mtu_passes_as_it_is(void **state)
{
	const uint8_t one[] = {6, 0, OPTION};
	struct frame in, want;

	plain_tcp(&in, 1500 - 60 - 8); /* 1492 bytes: room for one header */
	inserted(&want, &in, ETH, 60, one, 8);
	mark_as(6, CARRIER_DESTINATION, 0);
	assert_int_equal(run(1, &in, narrow_ifindex), UNSPEC);
	expect(&want);
	mark_as(6, CARRIER_HOP_BY_HOP_DESTINATION, 0);
	passes_as_it_is(&in, 6, MARK_MTU, narrow_ifindex);
	plain_tcp(&in, 1500 - 60 - 7);
	mark_as(6, CARRIER_DESTINATION, 0);
	passes_as_it_is(&in, 6, MARK_MTU, narrow_ifindex);
}

/* --- whose it is ------------------------------------------------------------------------------- */

static void every_part_of_the_key_counts(void **state)
{
	struct frame f;

	plain_tcp(&f, 10);
	for (size_t at = ETH + 8; at < ETH + 44; at++) {
		f.bytes[at] ^= 1;
		mark_as(6, CARRIER_LABEL, 0);
		assert_int_equal(run(1, &f, 0), UNSPEC);
		expect(&f);
		assert_int_equal(counted(6, MARK_DONE), 0);
		f.bytes[at] ^= 1;
	}
	mark_as(17, CARRIER_LABEL, 0);
	run(1, &f, 0);
	expect(&f); /* TCP is not UDP */
}

static void another_connection_on_the_same_ports_is_not_marked(void **state)
{
	struct frame syn, again, data;

	plain_tcp(&data, 10);
	ethernet(&syn);
	ipv6(&syn, 6, 20);
	tcp(&syn, 0x02, 1000);
	again = syn;
	again.bytes[ETH + 40 + 7] ^= 1; /* another initial sequence number */

	mark_as(6, CARRIER_LABEL, MARK_FLOW_ONCE);
	run(1, &syn, 0);
	run(1, &syn, 0); /* a retransmission */
	run(1, &data, 0);
	assert_int_equal(counted(6, MARK_DONE), 3);
	run(1, &again, 0);
	expect(&again);
	run(1, &data, 0);
	expect(&data);
	assert_int_equal(counted(6, MARK_DONE), 3);
	assert_int_equal(counted(6, MARK_STALE), 2);

	/* announced while it ran: its SYN was never seen, so any SYN is another's */
	mark_as(6, CARRIER_LABEL, MARK_FLOW_ONCE);
	run(1, &data, 0);
	run(1, &syn, 0);
	expect(&syn);
	/* ended: likewise */
	mark_as(6, CARRIER_LABEL, MARK_FLOW_ONCE | MARK_FLOW_ENDED);
	run(1, &syn, 0);
	expect(&syn);
	/* a standing flow marks one connection after the other */
	mark_as(6, CARRIER_LABEL, 0);
	run(1, &syn, 0);
	run(1, &again, 0);
	assert_int_equal(counted(6, MARK_DONE), 2);
}

static void a_late_reset_belongs_to_the_connection_before(void **state)
{
	struct frame reset, syn;

	ethernet(&reset);
	ipv6(&reset, 6, 20);
	tcp(&reset, 0x14, 77);
	ethernet(&syn);
	ipv6(&syn, 6, 20);
	tcp(&syn, 0x02, 1000);

	mark_as(6, CARRIER_LABEL, MARK_FLOW_ONCE);
	run(1, &reset, 0);
	expect(&reset);
	run(1, &syn, 0); /* the flow's own, all the same */
	assert_int_equal(counted(6, MARK_DONE), 1);
	run(1, &reset, 0); /* now it is the flow's */
	assert_int_equal(counted(6, MARK_DONE), 2);
	assert_int_equal(counted(6, MARK_STALE), 1);
}

static struct mark_rule wildcard(enum scitag_carrier carrier)
{
	struct mark_rule r = {.src_port_max = 65535, .dst_port_max = 65535, .tag = tag_3_14};

	r.tag.carrier = carrier;
	r.tag.label = 0x30038; /* without entropy */
	return r;
}

static void set_rules(const struct mark_rule *rules, size_t n, uint64_t entropy_key)
{
	struct mark_settings s = {.entropy_key = entropy_key};

	assert_int_equal(mark_set_rules(marker, rules, n), 0);
	assert_int_equal(mark_set_settings(marker, &s), 0);
}

static uint32_t label_out(void)
{
	return (uint32_t)(out.bytes[ETH + 1] & 15) << 16 | (uint32_t)out.bytes[ETH + 2] << 8 |
	       out.bytes[ETH + 3];
}

static void wildcards_match_what_they_say(void **state)
{
	struct mark_rule r = wildcard(CARRIER_LABEL);
	struct frame f;

	plain_tcp(&f, 10);
	mark_each(marker, drop_all, NULL);
	mark_beat(marker);
	set_rules(&r, 1, 0);
	run(1, &f, 0);
	assert_int_equal(label_out(), 0x30038);
	run(1, &f, 0);
	assert_int_equal(label_out(), 0x30038);

	r.src_port_min = 1095;
	set_rules(&r, 1, 0);
	run(1, &f, 0);
	expect(&f);
	r.src_port_min = r.src_port_max = 1094;
	r.dst_port_max = 39999;
	set_rules(&r, 1, 0);
	run(1, &f, 0);
	expect(&f);
	r.dst_port_max = 40000;
	memcpy(r.dst_ip, dst_ip, 16);
	memset(r.dst_mask, 0xff, 6); /* a /48 */
	set_rules(&r, 1, 0);
	run(1, &f, 0);
	assert_int_equal(label_out(), 0x30038);
	((uint8_t *)r.dst_ip)[5] ^= 1;
	set_rules(&r, 1, 0);
	run(1, &f, 0);
	expect(&f);
	((uint8_t *)r.dst_ip)[5] ^= 1;
	r.protocol = 17;
	set_rules(&r, 1, 0);
	run(1, &f, 0);
	expect(&f);
	set_rules(NULL, 0, 0);
}

static void wildcards_leave_neighbours_and_multicast_alone(void **state)
{
	struct mark_rule r = wildcard(CARRIER_DESTINATION);
	struct frame f;

	set_rules(&r, 1, 0);
	mark_beat(marker);
	ethernet(&f);
	ipv6(&f, 58, 24); /* a neighbour solicitation's length */
	payload(&f, 24);
	run(1, &f, 0);
	expect(&f);
	plain_tcp(&f, 10);
	f.bytes[ETH + 24] = 0xfe;
	f.bytes[ETH + 25] = 0x80;
	run(1, &f, 0);
	expect(&f);
	f.bytes[ETH + 24] = 0xff;
	run(1, &f, 0);
	expect(&f);
	set_rules(NULL, 0, 0);
}

static void a_rules_entropy_is_stable_for_a_flow_and_varies_between_flows(void **state)
{
	struct mark_rule r = wildcard(CARRIER_LABEL);
	uint32_t seen = 0;
	struct frame f;

	plain_tcp(&f, 10);
	set_rules(&r, 1, 0x123456789abcdefULL);
	mark_beat(marker);
	for (int i = 0; i < 256; i++) {
		uint32_t first;

		f.bytes[ETH + 41] = (uint8_t)i;
		run(1, &f, 0);
		first = label_out();
		assert_int_equal(first & ~0xC0103u, 0x30038);
		run(1, &f, 0);
		assert_int_equal(label_out(), first);
		seen |= 1u << ((first >> 18 & 3) << 3 | (first >> 8 & 1) << 2 | (first & 3));
	}
	assert_int_equal(seen, 0xffffffff); /* all 32 of them */
	set_rules(NULL, 0, 0);
}

static void nothing_is_stamped_without_a_heartbeat(void **state)
{
	const struct timespec five_s = {.tv_sec = 4, .tv_nsec = 500000000};
	struct frame f;

	plain_tcp(&f, 10);
	mark_as(6, CARRIER_LABEL, 0);
	nanosleep(&five_s, NULL);
	passes_as_it_is(&f, 6, MARK_ASLEEP, 0);
	mark_beat(marker);
	run(1, &f, 0);
	assert_int_equal(counted(6, MARK_DONE), 1);
}

static void a_full_table_refuses_and_forgets_nobody(void **state)
{
	struct mark_flow flow = {.tag = tag_3_14};
	struct flow_key key = key_of(6);
	int err = 0, n = 0;

	mark_each(marker, drop_all, NULL);
	for (; !err && n < 5000; n++) {
		key.src_port = (uint16_t)(1 + n);
		err = mark_put(marker, &key, &flow);
	}
	assert_int_equal(err, -E2BIG);
	assert_int_equal(n, 1001); /* as it was opened below */
	key.src_port = 1;
	assert_int_equal(mark_get(marker, &key, &flow), 0);
	mark_each(marker, drop_all, NULL);
}

/* --- the way in -------------------------------------------------------------------------------- */

static uint16_t tcp_checksum(const struct frame *f, size_t l4)
{
	uint32_t sum = 6 + (uint32_t)(f->len - l4);
	size_t n = f->len - l4;

	for (size_t i = 0; i < 32; i += 2)
		sum += (uint32_t)f->bytes[ETH + 8 + i] << 8 | f->bytes[ETH + 9 + i];
	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)f->bytes[l4 + i] << 8 | (i + 1 < n ? f->bytes[l4 + i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum; /* 0 over a packet whose checksum is right */
}

static void keep_room(uint32_t room)
{
	struct mark_settings s = {.room_bytes = room};

	assert_int_equal(mark_set_rules(marker, NULL, 0), 0);
	assert_int_equal(mark_set_settings(marker, &s), 0);
	mark_beat(marker);
}

/* A SYN with MSS 1440 behind `nops` NOPs; flags 02 or 12. */
static size_t syn(struct frame *f, uint8_t flags, size_t nops)
{
	size_t l4 = ETH + 40;

	ethernet(f);
	ipv6(f, 6, 32);
	ports(f);
	ADD(f, 0, 0, 0, 1, 0, 0, 0, 0, 0x80, flags, 0xff, 0xff, 0, 0, 0, 0);
	for (size_t i = 0; i < nops; i++)
		ADD(f, 1);
	ADD(f, 2, 4, 0x05, 0xa0);
	while (f->len < l4 + 32)
		ADD(f, 1);
	f->bytes[l4 + 16] = (uint8_t)(tcp_checksum(f, l4) >> 8);
	f->bytes[l4 + 17] = (uint8_t)tcp_checksum(f, l4);
	if (f->bytes[l4 + 16] || f->bytes[l4 + 17]) {
		f->bytes[l4 + 16] = f->bytes[l4 + 17] = 0;
		uint16_t c = tcp_checksum(f, l4);
		f->bytes[l4 + 16] = (uint8_t)(c >> 8);
		f->bytes[l4 + 17] = (uint8_t)c;
	}
	assert_int_equal(tcp_checksum(f, l4), 0);
	return l4;
}

static void the_mss_that_peers_announce_is_lowered(void **state)
{
	for (size_t nops = 0; nops <= 8; nops++) {
		struct frame f, want;
		size_t l4 = syn(&f, nops & 1 ? 0x12 : 0x02, nops);

		keep_room(8);
		assert_int_equal(run(0, &f, 0), UNSPEC);
		want = f;
		want.bytes[l4 + 20 + nops + 3] = 0x98; /* 1432 */
		memcpy(want.bytes + l4 + 16, out.bytes + l4 + 16, 2);
		expect(&want);
		assert_int_equal(tcp_checksum(&out, l4), 0);
		keep_room(16);
		run(0, &f, 0);
		assert_int_equal(out.bytes[l4 + 20 + nops + 3], 0x90); /* 1424 */
		assert_int_equal(tcp_checksum(&out, l4), 0);
		keep_room(0);
		run(0, &f, 0);
		expect(&f);
	}
}

static void only_syns_are_touched_and_only_whole_options(void **state)
{
	struct frame f;
	size_t l4 = syn(&f, 0x10, 0);

	keep_room(8);
	run(0, &f, 0);
	expect(&f);
	l4 = syn(&f, 0x02, 0);
	f.bytes[l4 + 21] = 3; /* an MSS option of the wrong length */
	run(0, &f, 0);
	expect(&f);
	l4 = syn(&f, 0x02, 0);
	f.bytes[l4 + 20] = 0; /* the end of options comes first */
	run(0, &f, 0);
	expect(&f);
	l4 = syn(&f, 0x02, 8);
	f.bytes[l4 + 12] = 0x70; /* the header ends before the option does */
	run(0, &f, 0);
	expect(&f);
	keep_room(0);
}

static void too_big(struct frame *f, uint32_t mtu)
{
	struct frame inner;

	plain_tcp(&inner, 40);
	ethernet(f);
	ipv6(f, 58, 8 + inner.len - ETH);
	ADD(f, 2, 0, 0, 0, (uint8_t)(mtu >> 24), (uint8_t)(mtu >> 16), (uint8_t)(mtu >> 8),
	    (uint8_t)mtu);
	add(f, inner.bytes + ETH, inner.len - ETH);
}

/* ICMPv6's sum is like TCP's but for the protocol number. */
static uint16_t icmp_sum(const struct frame *f)
{
	uint32_t sum = (uint16_t)~tcp_checksum(f, ETH + 40);

	sum += 58 - 6;
	return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static void a_routers_mtu_is_lowered_but_never_below_1280(void **state)
{
	static const struct {
		uint32_t said, room, told;
	} cases[] = {{1400, 8, 1392},  {1400, 16, 1384}, {1280, 8, 1280},
		     {1281, 8, 1280},  {1288, 8, 1280},  {1289, 8, 1281},
		     {1290, 16, 1280}, {9000, 8, 8992},  {1279, 8, 1279} /* not ours to judge */,
		     {1400, 0, 1400}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame f;
		uint16_t c;

		too_big(&f, cases[i].said);
		c = icmp_sum(&f);
		f.bytes[ETH + 42] = (uint8_t)(c >> 8);
		f.bytes[ETH + 43] = (uint8_t)c;
		assert_int_equal(icmp_sum(&f), 0);
		keep_room(cases[i].room);
		assert_int_equal(run(0, &f, 0), UNSPEC);
		assert_int_equal(out.len, f.len);
		assert_int_equal((uint32_t)out.bytes[ETH + 44] << 24 |
					 (uint32_t)out.bytes[ETH + 45] << 16 |
					 (uint32_t)out.bytes[ETH + 46] << 8 | out.bytes[ETH + 47],
				 cases[i].told);
		assert_int_equal(icmp_sum(&out), 0);
	}
	keep_room(0);
}

static void a_path_of_1280_leaves_full_packets_unmarked(void **state)
{
	struct frame f;

	too_big(&f, 1280);
	keep_room(8);
	run(0, &f, 0);
	plain_tcp(&f, 1280 - 60);
	mark_as(6, CARRIER_DESTINATION, 0);
	passes_as_it_is(&f, 6, MARK_MTU, 0);
	plain_tcp(&f, 1280 - 60 - 8);
	run(1, &f, 0);
	assert_int_equal(counted(6, MARK_DONE), 1);
	too_big(&f, 9000); /* the path got wider */
	run(0, &f, 0);
	keep_room(0);
}

/* --- bad bytes --------------------------------------------------------------------------------- */

/* Whatever comes, it goes on; and what was inserted can be taken out again: the frame is the same
 * then, but for length, next header and the two bytes of padding in a header made longer. */
static void any_bytes_go_on_and_are_whole(void **state)
{
	static const uint8_t nexts[] = {0, 6, 17, 43, 44, 51, 60, 132, 135, 58, 59, 255};
	struct mark_rule r = wildcard(CARRIER_HOP_BY_HOP_DESTINATION);
	uint64_t marked = 0;

	srand(1);
	mark_each(marker, drop_all, NULL);
	for (int i = 0; i < 20000; i++) {
		struct frame f;
		size_t chain = (size_t)rand() % 5;

		if (!(i % 1000)) {
			r.tag.carrier = (uint8_t)(1 + i / 1000 % 4);
			set_rules(&r, 1, 0);
			mark_beat(marker);
		}
		ethernet(&f);
		for (int v = rand() % 4 - 1; v > 0; v--)
			ADD(&f, 0x81, 0, 0, (uint8_t)v);
		ipv6(&f, nexts[(size_t)rand() % sizeof(nexts)], 100);
		for (size_t h = 0; h < chain; h++) {
			ADD(&f, nexts[(size_t)rand() % sizeof(nexts)], (uint8_t)(rand() % 3));
			payload(&f, 6);
		}
		payload(&f, (size_t)rand() % 120);
		for (int m = rand() % 3; m > 0; m--)
			f.bytes[12 + (size_t)rand() % (f.len - 12)] = (uint8_t)rand();
		if (rand() % 4 == 0)
			f.len = ETH + (size_t)rand() % (f.len - ETH);
		if (f.len < SHORTEST)
			continue;
		assert_int_equal(run(1, &f, 0), UNSPEC);
		if (out.len == f.len || r.tag.carrier == CARRIER_LABEL)
			continue;
		marked++;
		/* the end of the frame, from the upper layer on, is never touched */
		assert_memory_equal(out.bytes + out.len - 4, f.bytes + f.len - 4, 4);
	}
	assert_true(marked > 1000);
	set_rules(NULL, 0, 0);
}

static void every_shorter_frame_goes_on_as_it_is(void **state)
{
	struct frame f;

	hop_by_hop_alert(&f, 6, 20);
	tcp(&f, 0x10, 1);
	for (size_t n = SHORTEST; n < ETH + 40 + 8 + 4; n++) {
		mark_as(6, CARRIER_DESTINATION, 0);
		f.len = n;
		assert_int_equal(run(1, &f, 0), UNSPEC);
		expect(&f);
		assert_int_equal(run(0, &f, 0), UNSPEC);
		expect(&f);
	}
}

static int enter(void **state)
{
	const struct mark_options opt = {.flows_max = 1000};
	int adopted;

	if (geteuid() || unshare(CLONE_NEWNET) || system("ip link set lo up") ||
	    system("ip link add narrow type veth peer name wide && ip link set narrow up mtu 1500"))
		return -1;
	narrow_ifindex = if_nametoindex("narrow");
	return mark_open(&marker, &opt, NULL, 0, &adopted);
}

static int leave(void **state)
{
	mark_close(marker);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_label_changes_twenty_bits_and_no_more),
		cmocka_unit_test(each_strategy_inserts_its_headers),
		cmocka_unit_test(an_existing_hop_by_hop_header_is_made_longer),
		cmocka_unit_test(an_existing_destination_header_is_made_longer),
		cmocka_unit_test(both_headers_are_made_longer_where_both_are),
		cmocka_unit_test(a_packet_that_carries_the_option_is_left_alone),
		cmocka_unit_test(
			under_an_authentication_header_nothing_is_inserted_but_a_label_is_set),
		cmocka_unit_test(later_fragments_follow_the_first),
		cmocka_unit_test(a_label_is_set_behind_any_vlan_tags),
		cmocka_unit_test(options_go_in_behind_vlan_tags),
		cmocka_unit_test(three_vlan_tags_are_too_many_for_options),
		cmocka_unit_test(what_would_exceed_the_mtu_passes_as_it_is),
		cmocka_unit_test(every_part_of_the_key_counts),
		cmocka_unit_test(another_connection_on_the_same_ports_is_not_marked),
		cmocka_unit_test(a_late_reset_belongs_to_the_connection_before),
		cmocka_unit_test(wildcards_match_what_they_say),
		cmocka_unit_test(wildcards_leave_neighbours_and_multicast_alone),
		cmocka_unit_test(a_rules_entropy_is_stable_for_a_flow_and_varies_between_flows),
		cmocka_unit_test(nothing_is_stamped_without_a_heartbeat),
		cmocka_unit_test(a_full_table_refuses_and_forgets_nobody),
		cmocka_unit_test(the_mss_that_peers_announce_is_lowered),
		cmocka_unit_test(only_syns_are_touched_and_only_whole_options),
		cmocka_unit_test(a_routers_mtu_is_lowered_but_never_below_1280),
		cmocka_unit_test(a_path_of_1280_leaves_full_packets_unmarked),
		cmocka_unit_test(any_bytes_go_on_and_are_whole),
		cmocka_unit_test(every_shorter_frame_goes_on_as_it_is),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
