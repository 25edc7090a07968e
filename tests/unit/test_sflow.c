/* Datagrams with a story: what is read, what is passed over, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "sflow/sflow.h"
#include "tests/unit/sflow_build.h"

#define SAMPLES_MAX 16

struct walk { /* a datagram, read to its end */
	struct sflow_datagram datagram;
	struct sflow_sample samples[SAMPLES_MAX];
	size_t n;
	uint32_t skipped, damaged;
	enum sflow_verdict verdict;
	uint64_t packets, bytes; /* estimates, as an observer sums them */
};

static struct build *build; /* one for all tests: 64 KiB */

static struct walk walk(const void *bytes, size_t n)
{
	struct walk w = {0};
	struct sflow_reader r;
	struct sflow_sample s;
	uint8_t sum = 0;

	w.verdict = sflow_open(&r, &w.datagram, bytes, n);
	if (w.verdict != SFLOW_OK)
		return w;
	while (sflow_next(&r, &s, &w.verdict)) {
		for (uint32_t i = 0; i < s.header_bytes; i++) /* every byte that is promised */
			sum = (uint8_t)(sum + s.header[i]);
		if (s.kind == SFLOW_FLOW) {
			w.packets += s.rate;
			w.bytes += (uint64_t)s.rate * s.frame_bytes;
		}
		if (w.n < SAMPLES_MAX)
			w.samples[w.n] = s;
		w.n++;
	}
	w.skipped = r.skipped_samples;
	w.damaged = r.damaged_samples;
	(void)sum;
	return w;
}

static struct walk walk_build(void)
{
	uint8_t *copy = exact_copy(build->bytes, build->n);
	struct walk w = walk(copy, build->n);

	for (size_t i = 0; i < w.n && i < SAMPLES_MAX; i++)
		w.samples[i].header = NULL; /* it ends with the copy */
	free(copy);
	return w;
}

static size_t load(uint8_t *out, size_t cap, const char *path)
{
	size_t n = read_hex(path, out, cap);

	assert_true(n > 0);
	return n;
}

/* --- the vector of four samples --------------------------------------------------------- */

static void check_four_samples(const uint8_t *bytes, size_t n)
{
	static const uint8_t agent[16] = {[10] = 0xff, 0xff, 192, 0, 2, 254};
	struct walk w = walk(bytes, n);
	const struct sflow_sample *s = w.samples;

	assert_int_equal(n, 564);
	assert_int_equal(w.verdict, SFLOW_OK);
	assert_int_equal(w.datagram.agent_family, 4);
	assert_memory_equal(w.datagram.agent_ip, agent, 16);
	assert_int_equal(w.datagram.sub_agent, 0);
	assert_int_equal(w.datagram.sequence, 42);
	assert_int_equal(w.datagram.uptime_ms, 123456);
	assert_int_equal(w.datagram.n_samples, 4);
	assert_int_equal(w.n, 4);
	assert_int_equal(w.skipped, 0);
	assert_int_equal(w.packets, 4096);
	assert_int_equal(w.bytes, 6160384);

	assert_int_equal(s[0].kind, SFLOW_FLOW);
	assert_int_equal(s[0].sequence, 7);
	assert_int_equal(s[0].source_class, 0);
	assert_int_equal(s[0].source_index, 3);
	assert_int_equal(s[0].rate, 2048);
	assert_int_equal(s[0].pool, 14336);
	assert_int_equal(s[0].drops, 0);
	assert_int_equal(s[0].in.value, 3);
	assert_int_equal(s[0].out.value, 5);
	assert_int_equal(s[0].header_link, PACKET_LINK_ETHERNET);
	assert_int_equal(s[0].frame_bytes, 1498);
	assert_int_equal(s[0].stripped_bytes, 4);
	assert_int_equal(s[0].header_bytes, 128);
	assert_int_equal(s[0].header[0], 0x02);
	assert_int_equal(s[0].src_vlan, 100);
	assert_int_equal(s[0].dst_vlan, 0);

	assert_int_equal(s[1].kind, SFLOW_FLOW);
	assert_int_equal(s[1].sequence, 8);
	assert_int_equal(s[1].source_index, 3);
	assert_int_equal(s[1].pool, 16384);
	assert_int_equal(s[1].in.format, SFLOW_IF_INDEX);
	assert_int_equal(s[1].in.value, 3);
	assert_int_equal(s[1].out.format, SFLOW_IF_INDEX);
	assert_int_equal(s[1].out.value, SFLOW_IF_INTERNAL);
	assert_int_equal(s[1].frame_bytes, 1510);
	assert_int_equal(s[1].header_bytes, 64);

	assert_int_equal(s[2].kind, SFLOW_DISCARD);
	assert_int_equal(s[2].sequence, 1);
	assert_int_equal(s[2].rate, 1);
	assert_int_equal(s[2].in.value, 3);
	assert_int_equal(s[2].out.value, SFLOW_IF_UNKNOWN);
	assert_int_equal(s[2].discard_reason, 262);
	assert_int_equal(s[2].header_bytes, 96);

	assert_int_equal(s[3].kind, SFLOW_COUNTERS);
	assert_int_equal(s[3].sequence, 2);
	assert_int_equal(s[3].source_index, 3);
	assert_false(s[3].has_if_counters);
}

static void four_samples(void **state)
{
	uint8_t bytes[1024];

	(void)state;
	check_four_samples(bytes,
			   load(bytes, sizeof(bytes), "tests/vectors/sflow-four-samples.hex"));
}

static void four_samples_of_the_reference(void **state)
{
	const char *shared = getenv("SCITAG_SHARED");
	char path[512];
	uint8_t bytes[1024];
	size_t n;

	(void)state;
	snprintf(path, sizeof(path), "%s/data/sflow-vector.hex", shared ? shared : "../shared");
	n = read_hex(path, bytes, sizeof(bytes));
	if (!n) {
		print_message("skip: no %s\n", path);
		skip();
	}
	check_four_samples(bytes, n);
}

/* Samples that lie wholly in front of the cut are given, no others: their ends are at 28 + 216,
 * + 140, + 160, + 20 bytes. */
static void every_truncation(void **state)
{
	static const size_t ends[] = {244, 384, 544, 564};
	uint8_t bytes[1024];
	size_t n = load(bytes, sizeof(bytes), "tests/vectors/sflow-four-samples.hex");

	(void)state;
	for (size_t len = 0; len < n; len++) {
		uint8_t *copy = exact_copy(bytes, len);
		struct walk w = walk(copy, len);
		size_t whole = 0;

		while (len >= ends[whole])
			whole++;
		assert_int_equal(w.verdict, SFLOW_SHORT);
		assert_int_equal(w.n, whole);
		assert_int_equal(w.packets, whole >= 2 ? 4096 : whole * 2048);
		free(copy);
	}
}

/* Whatever one byte becomes: no read outside (the sanitizers watch), and a walk that ends. */
static void every_byte_damaged(void **state)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	uint8_t bytes[1024];
	size_t n = load(bytes, sizeof(bytes), "tests/vectors/sflow-records.hex");

	(void)state;
	for (size_t at = 0; at < n; at++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			uint8_t *copy = exact_copy(bytes, n);
			struct walk w;

			copy[at] = values[v];
			w = walk(copy, n);
			assert_true(w.n <= n / 8); /* a sample is 8 bytes at least */
			free(copy);
		}
	}
}

/* --- the datagram's own header ---------------------------------------------------------- */

static void refused_datagrams(void **state)
{
	struct sflow_datagram d = {.sequence = 77};
	struct sflow_reader r = {.samples_left = 77};

	(void)state;
	put_datagram(build, 1, 0, 1, 1, 0);
	assert_int_equal(sflow_open(&r, &d, build->bytes, 0), SFLOW_SHORT);
	assert_int_equal(sflow_open(&r, &d, build->bytes, 27), SFLOW_SHORT);
	set32(build, 0, 4);
	assert_int_equal(sflow_open(&r, &d, build->bytes, build->n), SFLOW_VERSION);
	assert_int_equal(sflow_open(&r, &d, build->bytes, 4), SFLOW_VERSION);
	set32(build, 0, 5);
	for (uint32_t type = 0; type < 5; type++) {
		if (type == 1 || type == 2)
			continue;
		set32(build, 4, type);
		assert_int_equal(sflow_open(&r, &d, build->bytes, build->n), SFLOW_AGENT_TYPE);
	}
	set32(build, 4, 2); /* 28 bytes hold no IPv6 agent and what follows */
	assert_int_equal(sflow_open(&r, &d, build->bytes, build->n), SFLOW_SHORT);
	assert_int_equal(d.sequence, 77); /* untouched */
	assert_int_equal(r.samples_left, 77);
}

static void verdicts_have_names(void **state)
{
	(void)state;
	assert_string_equal(sflow_verdict_name(SFLOW_SHORT), "short");
	assert_string_equal(sflow_verdict_name(SFLOW_VERSION), "version");
	assert_string_equal(sflow_verdict_name(SFLOW_AGENT_TYPE), "agent_type");
	assert_string_equal(sflow_verdict_name(SFLOW_MALFORMED), "malformed");
}

static void no_samples_is_a_datagram(void **state)
{
	struct walk w;

	(void)state;
	put_datagram(build, 1, 9, 1, 1, 0);
	w = walk_build();
	assert_int_equal(w.verdict, SFLOW_OK);
	assert_int_equal(w.n, 0);
	assert_int_equal(w.datagram.sub_agent, 9);
}

/* The announced number of samples never keeps us longer than there are bytes. */
static void four_billion_samples(void **state)
{
	struct walk w;

	(void)state;
	put_datagram(build, 1, 0, 1, 1, UINT32_MAX);
	end_part(build, begin_flow(build, 1, 100, 1, 0, 0));
	w = walk_build();
	assert_int_equal(w.verdict, SFLOW_SHORT);
	assert_int_equal(w.n, 1);
}

/* Copies have the same fingerprint; another sequence number, length, first or last word changes it. */
static void fingerprints(void **state)
{
	static const size_t changed_at[] = {16, 20, 28, 60};
	uint32_t original;

	(void)state;
	put_datagram(build, 1, 0, 1, 1, 1);
	end_part(build, begin_flow(build, 1, 100, 1, 0, 0));
	original = walk_build().datagram.fingerprint;
	assert_int_equal(walk_build().datagram.fingerprint, original);
	for (size_t i = 0; i < sizeof(changed_at) / sizeof(changed_at[0]); i++) {
		build->bytes[changed_at[i] + 3] ^= 1;
		assert_int_not_equal(walk_build().datagram.fingerprint, original);
		build->bytes[changed_at[i] + 3] ^= 1;
	}
	put32(build, 0);
	assert_int_not_equal(walk_build().datagram.fingerprint, original);
}

static void bytes_behind_the_last_sample_are_left_alone(void **state)
{
	struct walk w;

	(void)state;
	put_datagram(build, 1, 0, 1, 1, 1);
	end_part(build, begin_flow(build, 1, 100, 1, 0, 0));
	put_words(build, 1, UINT32_MAX, 7);
	w = walk_build();
	assert_int_equal(w.verdict, SFLOW_OK);
	assert_int_equal(w.n, 1);
}

/* --- samples ---------------------------------------------------------------------------- */

static void unknown_kinds_are_stepped_over(void **state)
{
	size_t at;
	struct walk w;

	(void)state;
	put_datagram(build, 1, 0, 1, 1, 4);
	at = begin_part(build, 6); /* no such standard sample */
	put_words(build, 1, 2, 3);
	end_part(build, at);
	at = begin_part(build, 4413 << 12 | 1); /* a vendor's */
	put_bytes(build, "vendor", 6);          /* and not a multiple of four */
	end_part(build, at);
	put_bytes(build, "\0\0", 2);
	at = begin_flow(build, 1, 100, 1, 0, 2);
	end_part(build, begin_part(build, 1021)); /* an empty record */
	put_words(build, 8800 << 12 | 1, 5, 0x31323334, 0x35000000);
	end_part(build, at);
	end_part(build, begin_part(build, 0));
	w = walk_build();
	assert_int_equal(w.verdict, SFLOW_OK);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.skipped, 3);
	assert_int_equal(w.samples[0].skipped_records, 2);
	assert_int_equal(w.samples[0].damaged_records, 0);
}

/* Each kind, cut at every length of its own fixed part, costs that sample and no other. */
static void short_samples_cost_themselves(void **state)
{
	static const struct {
		uint32_t tag, words;
	} kinds[] = {{1, 8}, {2, 3}, {3, 11}, {4, 4}, {5, 8}};

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (uint32_t words = 0; words <= kinds[k].words; words++) {
			int fits = words == kinds[k].words;
			size_t at;
			struct walk w;

			put_datagram(build, 1, 0, 1, 1, 2);
			at = begin_part(build, kinds[k].tag);
			for (uint32_t i = 0; i < words; i++)
				put32(build, 0);
			end_part(build, at);
			end_part(build, begin_flow(build, 5, 64, 1, 0, 0));
			w = walk_build();
			assert_int_equal(w.verdict, fits ? SFLOW_OK : SFLOW_MALFORMED);
			assert_int_equal(w.damaged, !fits);
			assert_int_equal(w.n, 1 + fits);
			assert_int_equal(w.samples[fits].sequence, 5);
			assert_int_equal(w.samples[fits].rate, 64);
		}
	}
}

static void interfaces(void **state)
{
	/* the two upper bits are the format in 0:1; 0:3 has a word for it */
	static const struct {
		uint32_t word;
		uint8_t format;
		uint32_t value;
	} cases[] = {
		{0, SFLOW_IF_INDEX, SFLOW_IF_UNKNOWN},
		{7, SFLOW_IF_INDEX, 7},
		{0x3FFFFFFF, SFLOW_IF_INDEX, SFLOW_IF_INTERNAL},
		{0x40000102, SFLOW_IF_DISCARDED, 258},
		{0x80000003, SFLOW_IF_MULTIPLE, 3},
		{0xC0000001, SFLOW_IF_RESERVED, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t at;
		struct walk w;

		put_datagram(build, 1, 0, 1, 1, 2);
		at = begin_part(build, 1);
		put_words(build, 1, 0x02000009, 100, 1, 0, 5, cases[i].word, 0);
		end_part(build, at);
		at = begin_part(build, 3);
		put_words(build, 2, 2, 0x01000009, 100, 1, 0, cases[i].format, cases[i].value, 258,
			  6, 0);
		end_part(build, at);
		w = walk_build();
		assert_int_equal(w.verdict, SFLOW_OK);
		assert_int_equal(w.samples[0].source_class, 2);
		assert_int_equal(w.samples[0].source_index, 9);
		assert_int_equal(w.samples[0].in.value, 5);
		assert_int_equal(w.samples[0].out.format, cases[i].format);
		assert_int_equal(w.samples[0].out.value, cases[i].value);
		assert_int_equal(w.samples[1].source_class, 2);
		assert_int_equal(w.samples[1].source_index, 0x01000009);
		assert_int_equal(w.samples[1].in.format, cases[i].format);
		assert_int_equal(w.samples[1].in.value, cases[i].value);
		assert_int_equal(w.samples[1].out.format, SFLOW_IF_RESERVED); /* 258 & 255 is 2 */
	}
}

/* --- records ---------------------------------------------------------------------------- */

static void header_protocols(void **state)
{
	static const struct {
		uint32_t protocol;
		uint8_t link;
	} cases[] = {
		{0, 0},
		{1, PACKET_LINK_ETHERNET},
		{2, 0},
		{3, 0},
		{4, 0},
		{5, 0},
		{6, 0},
		{7, PACKET_LINK_PPP},
		{8, 0},
		{9, 0},
		{10, 0},
		{11, PACKET_LINK_IP},
		{12, PACKET_LINK_IP},
		{13, PACKET_LINK_MPLS},
		{14, 0},
		{15, 0},
		{0x10001, 0},
		{UINT32_MAX, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t at;
		struct walk w;

		put_datagram(build, 1, 0, 1, 1, 1);
		at = begin_flow(build, 1, 100, 1, 0, 1);
		put_raw_header(build, cases[i].protocol, 1500, "0123456789", 10);
		end_part(build, at);
		w = walk_build();
		assert_int_equal(w.verdict, SFLOW_OK);
		assert_true(w.samples[0].has_header);
		assert_int_equal(w.samples[0].header_protocol, cases[i].protocol);
		assert_int_equal(w.samples[0].header_link, cases[i].link);
		assert_int_equal(w.samples[0].header_bytes, 10);
		assert_int_equal(w.samples[0].frame_bytes, 1500);
	}
}

/* Header lengths of every remainder: the next record is found, the padding is no part of it. An
 * agent that leaves the padding out at the very end is understood, too. */
static void padding(void **state)
{
	(void)state;
	for (uint32_t n = 0; n <= 9; n++) {
		for (int with_end = 0; with_end < 2; with_end++) {
			size_t sample, record;
			struct walk w;

			put_datagram(build, 1, 0, 1, 1, 1);
			sample = begin_flow(build, 1, 100, 1, 0, 2);
			record = begin_part(build, 1001);
			put_words(build, 10, 0, 20, 0);
			end_part(build, record);
			record = begin_part(build, 1);
			put_words(build, 1, 60, 4, n);
			put_bytes(build, "123456789", n);
			if (with_end)
				put_bytes(build, "\0\0\0", -n & 3);
			end_part(build, record);
			end_part(build, sample);
			w = walk_build();
			assert_int_equal(w.verdict, SFLOW_OK);
			assert_int_equal(w.samples[0].damaged_records, 0);
			assert_int_equal(w.samples[0].header_bytes, n);
			assert_int_equal(w.samples[0].dst_vlan, 20);
		}
	}
}

static void header_longer_than_its_record(void **state)
{
	size_t sample, record;
	struct walk w;

	(void)state;
	for (uint32_t announced = 5; announced; announced <<= 1) {
		put_datagram(build, 1, 0, 1, 1, 1);
		sample = begin_flow(build, 1, 100, 1, 0, 2);
		record = begin_part(build, 1);
		put_words(build, 1, 60, 4, announced, 0x01020304);
		end_part(build, record);
		record = begin_part(build, 1001);
		put_words(build, 10, 0, 20, 0);
		end_part(build, record);
		end_part(build, sample);
		w = walk_build();
		assert_int_equal(w.verdict, SFLOW_MALFORMED);
		assert_int_equal(w.n, 1);
		assert_false(w.samples[0].has_header);
		assert_int_equal(w.samples[0].damaged_records, 1);
		assert_int_equal(w.samples[0].src_vlan, 10); /* the neighbour is whole */
	}
}

/* Records of fixed size, all words 9, cut at every length: passed over, nothing of them is kept, and
 * the record behind is read. Whole ones with a word more, from a newer agent, are read. */
static void short_records_leave_nothing(void **state)
{
	static const struct sflow_sample none;
	static const struct {
		uint32_t sample, record, bytes;
	} cases[] = {{1, 2, 4},     {1, 3, 32},    {1, 4, 56}, {1, 1001, 16},
		     {1, 1002, 12}, {1, 1003, 20}, {2, 1, 88}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (uint32_t n = 0; n <= cases[i].bytes + 4; n += 4) {
			int fits = n >= cases[i].bytes;
			struct sflow_sample s;
			struct walk w;
			size_t sample, record;

			put_datagram(build, 1, 0, 1, 1, 1);
			sample = begin_part(build, cases[i].sample);
			if (cases[i].sample == 1)
				put_words(build, 1, 3, 100, 1, 0, 3, 5, 2);
			else
				put_words(build, 1, 3, 2);
			record = begin_part(build, cases[i].record);
			for (uint32_t at = 0; at < n; at += 4) /* no address, an empty path */
				put32(build, cases[i].record < 1002 ? 9 : 0);
			end_part(build, record);
			end_part(build, begin_part(build, 77));
			end_part(build, sample);
			w = walk_build();
			s = w.samples[0];
			assert_int_equal(w.n, 1);
			assert_int_equal(w.verdict, fits ? SFLOW_OK : SFLOW_MALFORMED);
			assert_int_equal(s.damaged_records, !fits);
			assert_int_equal(s.skipped_records, 1);
			if (fits)
				continue;
			assert_false(s.has_key || s.has_if_counters || s.frame_bytes || s.src_vlan);
			assert_memory_equal(&s.key, &none.key, sizeof(s.key));
			assert_int_equal(s.if_index, 0);
		}
	}
}

/* A record's length that leaves its sample, though not the datagram, ends this sample's records. */
static void record_longer_than_its_sample(void **state)
{
	struct walk w;
	size_t at;

	(void)state;
	put_datagram(build, 1, 0, 1, 1, 2);
	at = begin_flow(build, 1, 100, 1, 0, 2);
	put_raw_header(build, 1, 60, "0123", 4);
	put_words(build, 1001, 20, 1, 0, 2, 0);
	end_part(build, at);
	end_part(build, begin_flow(build, 2, 100, 1, 0, 0));
	w = walk_build();
	assert_int_equal(w.verdict, SFLOW_MALFORMED);
	assert_int_equal(w.n, 2);
	assert_true(w.samples[0].has_header);
	assert_int_equal(w.samples[0].src_vlan, 0);
	assert_int_equal(w.samples[0].damaged_records, 1);
	assert_int_equal(w.samples[1].sequence, 2);
}

static void put_sampled_ipv4(uint32_t ip_bytes)
{
	size_t at = begin_part(build, 3);

	put_words(build, ip_bytes, 6, 0xC0000201, 0xC6336402, 1094, 40000, 0x18, 0);
	end_part(build, at);
}

static void put_sampled_ipv6(uint32_t ip_bytes)
{
	size_t at = begin_part(build, 4);

	put_words(build, ip_bytes, 17, 0x20010db8, 0, 0, 0x10, 0x20010db8, 0, 0, 0x20, 443, 50000,
		  0, 0);
	end_part(build, at);
}

static void sampled_ip_without_header(void **state)
{
	static const uint8_t src4[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
	static const uint8_t dst4[16] = {[10] = 0xff, 0xff, 198, 51, 100, 2};
	static const uint8_t src6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x10};
	struct walk w;
	size_t at;

	(void)state;
	put_datagram(build, 1, 0, 1, 1, 2);
	at = begin_flow(build, 1, 100, 1, 0, 2);
	put_sampled_ipv4(1480);
	put_words(build, 2, 24, 1498, 0x02000000, 0x00010000, 0x02000000, 0x00020000, 0x0800);
	end_part(build, at);
	at = begin_flow(build, 2, 100, 1, 0, 1);
	put_sampled_ipv6(1400);
	end_part(build, at);
	w = walk_build();
	assert_int_equal(w.verdict, SFLOW_OK);
	assert_false(w.samples[0].has_header);
	assert_true(w.samples[0].has_key);
	assert_int_equal(w.samples[0].key.family, 4);
	assert_memory_equal(w.samples[0].key.src_ip, src4, 16);
	assert_memory_equal(w.samples[0].key.dst_ip, dst4, 16);
	assert_int_equal(w.samples[0].key.protocol, 6);
	assert_int_equal(w.samples[0].key.src_port, 1094);
	assert_int_equal(w.samples[0].key.dst_port, 40000);
	assert_int_equal(w.samples[0].key_tcp_flags, 0x18);
	assert_int_equal(w.samples[0].key_ip_bytes, 1480);
	assert_int_equal(w.samples[0].frame_bytes, 1498); /* by sampled_ethernet */
	assert_int_equal(w.samples[1].key.family, 6);
	assert_memory_equal(w.samples[1].key.src_ip, src6, 16);
	assert_int_equal(w.samples[1].key.protocol, 17);
	assert_int_equal(w.samples[1].key.src_port, 443);
	assert_int_equal(w.samples[1].frame_bytes, 1400); /* nothing better was said */
}

/* A raw header that we open wins, wherever it stands; one of FDDI leaves the summary in force. */
static void sampled_ip_beside_a_header(void **state)
{
	static const struct flow_key no_key;
	struct walk w;
	size_t at;

	(void)state;
	for (int header_first = 0; header_first < 2; header_first++) {
		for (uint32_t protocol = 1; protocol <= 4; protocol += 3) {
			put_datagram(build, 1, 0, 1, 1, 1);
			at = begin_flow(build, 1, 100, 1, 0, 2);
			if (header_first)
				put_raw_header(build, protocol, 1518, "0123", 4);
			put_sampled_ipv6(1400);
			if (!header_first)
				put_raw_header(build, protocol, 1518, "0123", 4);
			end_part(build, at);
			w = walk_build();
			assert_int_equal(w.verdict, SFLOW_OK);
			assert_true(w.samples[0].has_header);
			assert_int_equal(w.samples[0].frame_bytes, 1518);
			assert_int_equal(w.samples[0].has_key, protocol == 4);
			if (protocol == 1)
				assert_memory_equal(&w.samples[0].key, &no_key, sizeof(no_key));
		}
	}
}

static void two_headers_the_first_is_the_packet(void **state)
{
	struct walk w;
	size_t at;

	(void)state;
	put_datagram(build, 1, 0, 1, 1, 1);
	at = begin_flow(build, 1, 100, 1, 0, 2);
	put_raw_header(build, 1, 100, "0123", 4);
	put_raw_header(build, 12, 200, "012345", 6);
	end_part(build, at);
	w = walk_build();
	assert_int_equal(w.samples[0].frame_bytes, 100);
	assert_int_equal(w.samples[0].header_bytes, 4);
	assert_int_equal(w.samples[0].header_link, PACKET_LINK_ETHERNET);
}

static void gateway_paths_that_lie(void **state)
{
	static const struct {
		uint32_t n_segments, n_numbers;
	} cases[] = {{2, 2},          {UINT32_MAX, 2}, {1, 3},
		     {1, 0x40000001}, {1, 0x80000001}, {1, UINT32_MAX}};
	struct walk w;
	size_t sample, record;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_datagram(build, 1, 0, 1, 1, 1);
		sample = begin_flow(build, 1, 100, 1, 0, 1);
		record = begin_part(build, 1003);
		put_words(build, 1, 0xC0000201, 64496, 64497, 64498, cases[i].n_segments, 2,
			  cases[i].n_numbers, 64499, 64500);
		end_part(build, record);
		end_part(build, sample);
		w = walk_build();
		assert_int_equal(w.verdict, SFLOW_MALFORMED);
		assert_int_equal(w.samples[0].damaged_records, 1);
		assert_int_equal(w.samples[0].local_as, 0);
		assert_int_equal(w.samples[0].next_hop[15], 0);
	}
}

/* Empty paths and segments, and a next hop of unknown type (which has no bytes), are legal. */
static void gateway_paths_that_are_short(void **state)
{
	struct walk w;
	size_t sample, record;

	(void)state;
	put_datagram(build, 1, 0, 1, 1, 1);
	sample = begin_flow(build, 1, 100, 1, 0, 2);
	record = begin_part(build, 1003);
	put_words(build, 0, 64496, 64497, 64498, 2, 2, 1, 64500, 1, 0, 0, 100);
	end_part(build, record);
	record = begin_part(build, 1002);
	put_words(build, 0, 48, 32);
	end_part(build, record);
	end_part(build, sample);
	w = walk_build();
	assert_int_equal(w.verdict, SFLOW_OK);
	assert_int_equal(w.samples[0].local_as, 64496);
	assert_int_equal(w.samples[0].src_as, 64497);
	assert_int_equal(w.samples[0].dst_as, 64500);
	assert_int_equal(w.samples[0].src_mask_bits, 48);
	assert_int_equal(w.samples[0].dst_mask_bits, 32);
}

/* --- the vector of all records, and tshark ------------------------------------------------ */

static void every_kind_of_record(void **state)
{
	static const uint8_t agent[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0xfe};
	static const uint8_t hop4[16] = {[10] = 0xff, 0xff, 203, 0, 113, 9};
	static const uint8_t hop6[16] = {0x20, 0x01, 0x0d, 0xb8, [14] = 0xff, 0xff};
	uint8_t bytes[1024];
	size_t n = load(bytes, sizeof(bytes), "tests/vectors/sflow-records.hex");
	struct walk w = walk(bytes, n);
	const struct sflow_sample *s = w.samples;

	(void)state;
	assert_int_equal(w.verdict, SFLOW_OK);
	assert_int_equal(w.datagram.agent_family, 6);
	assert_memory_equal(w.datagram.agent_ip, agent, 16);
	assert_int_equal(w.datagram.sub_agent, 3);
	assert_int_equal(w.datagram.sequence, 4294967295);
	assert_int_equal(w.n, 5);
	assert_int_equal(w.skipped, 1); /* the vendor's */

	assert_int_equal(s[0].frame_bytes, 1418);
	assert_int_equal(s[0].key_ip_bytes, 1400);
	assert_memory_equal(s[0].next_hop, hop4, 16); /* the gateway's: it came last */
	assert_int_equal(s[0].local_as, 64496);
	assert_int_equal(s[0].src_as, 64497);
	assert_int_equal(s[0].dst_as, 64501);
	assert_int_equal(s[0].src_mask_bits, 26);

	assert_int_equal(s[1].source_index, 0x1000011);
	assert_int_equal(s[1].out.format, SFLOW_IF_DISCARDED);
	assert_int_equal(s[1].out.value, 258);
	assert_memory_equal(s[1].next_hop, hop6, 16);
	assert_int_equal(s[1].key.family, 6);
	assert_int_equal(s[1].frame_bytes, 1337);

	assert_true(s[2].has_if_counters);
	assert_int_equal(s[2].skipped_records, 1); /* Ethernet's own counters */
	assert_int_equal(s[2].if_index, 17);
	assert_int_equal(s[2].if_type, 6);
	assert_int_equal(s[2].if_status, 3);
	assert_int_equal(s[2].if_speed_bps, 100000000000);
	assert_int_equal(s[2].if_in_octets, 12345678901001);
	assert_int_equal(s[2].if_out_octets, 12345678901002);
	assert_int_equal(s[2].if_in_packets, 31);
	assert_int_equal(s[2].if_in_discards, 34);
	assert_int_equal(s[2].if_in_errors, 35);
	assert_int_equal(s[2].if_out_packets, 41);
	assert_int_equal(s[2].if_out_discards, 44);
	assert_int_equal(s[2].if_out_errors, 45);

	assert_int_equal(s[3].source_index, 0x1000011);
	assert_int_equal(s[3].if_in_octets, 22345678901001);

	assert_int_equal(s[4].header_link, PACKET_LINK_IP);
	assert_int_equal(s[4].header_bytes, 30);
	assert_int_equal(s[4].frame_bytes, 256);
	assert_int_equal(s[4].in.format, SFLOW_IF_DISCARDED);
	assert_int_equal(s[4].out.format, SFLOW_IF_MULTIPLE);
	assert_int_equal(s[4].out.value, 2);
}

/* tshark's reading of one datagram, in its words; NULL when there is no tshark. Freed by the caller. */
static char *tshark_reads(const uint8_t *datagram, size_t n)
{
	static const char options[] = "-d udp.port==6343,sflow -V 2>/dev/null";
	uint8_t head[24 + 16 + 28] = {/* pcap 2.4, little endian, raw IPv4 (228) */
				      0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, [17] = 0xff, [20] = 228};
	char path[] = "/tmp/sflow-XXXXXX", command[256];
	const uint16_t total = (uint16_t)(n + 28), udp = (uint16_t)(n + 8);
	uint8_t *ip = head + 40;
	char *text = NULL;
	size_t len = 0;
	FILE *f;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	head[32] = head[36] = (uint8_t)total;
	head[33] = head[37] = (uint8_t)(total >> 8);
	memcpy(ip, "\x45\0\0\0\0\0\0\0\x40\x11\0\0\xc0\0\x02\xfe\xc0\0\x02\x01", 20);
	memcpy(ip + 20, "\x18\xc7\x18\xc7", 4);
	ip[2] = (uint8_t)(total >> 8);
	ip[3] = (uint8_t)total;
	ip[24] = (uint8_t)(udp >> 8);
	ip[25] = (uint8_t)udp;
	assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
	assert_int_equal(write(fd, datagram, n), n);
	close(fd);
	snprintf(command, sizeof(command), "tshark -r %s %s", path, options);
	f = popen(command, "r");
	assert_non_null(f);
	text = calloc(1, 1 << 20);
	assert_non_null(text);
	len = fread(text, 1, (1 << 20) - 1, f);
	pclose(f);
	unlink(path);
	if (len)
		return text;
	free(text);
	return NULL;
}

/* The next of tshark's lines with this text, from *at on. */
#define expect_next(at, ...)                                        \
	do {                                                        \
		char line_[128];                                    \
		const char *found_;                                 \
		snprintf(line_, sizeof(line_), __VA_ARGS__);        \
		strcat(line_, "\n");                                \
		found_ = strstr(*(at), line_);                      \
		if (!found_)                                        \
			fail_msg("tshark does not say: %s", line_); \
		*(at) = found_ + strlen(line_);                     \
	} while (0)

static void expect_key(const char **at, const struct sflow_sample *s)
{
	expect_next(at, "Length of IP Packet: %u", s->key_ip_bytes);
	if (s->key.family == 4)
		expect_next(at, "Source IP address: %u.%u.%u.%u", s->key.src_ip[12],
			    s->key.src_ip[13], s->key.src_ip[14], s->key.src_ip[15]);
	expect_next(at, "Source Port: %u", s->key.src_port);
	expect_next(at, "Destination Port: %u", s->key.dst_port);
}

static void expect_flow(const char **at, const struct sflow_sample *s)
{
	expect_next(at, "Sequence number: %u", s->sequence);
	expect_next(at, "ndex: %u", s->source_index);
	expect_next(at, "Sampling rate: 1 out of %u packets", s->rate);
	expect_next(at, "Sample pool: %u total packets", s->pool);
	expect_next(at, "Dropped packets: %u", s->drops);
	if (s->has_header) {
		expect_next(at, "Frame Length: %u", s->frame_bytes);
		expect_next(at, "Payload stripped: %u", s->stripped_bytes);
		expect_next(at, "Sampled header length: %u", s->header_bytes);
	}
	if (s->has_key && s->frame_bytes != s->key_ip_bytes)
		expect_next(at, "Length of MAC Packet: %u", s->frame_bytes);
	if (s->has_key)
		expect_key(at, s);
	if (s->src_vlan)
		expect_next(at, "Incoming 802.1Q VLAN: %u", s->src_vlan);
	if (s->src_mask_bits) {
		expect_next(at, "Next hop source mask: %u", s->src_mask_bits);
		expect_next(at, "Next hop destination mask: %u", s->dst_mask_bits);
	}
	if (s->local_as) {
		expect_next(at, "AS Router: %u", s->local_as);
		expect_next(at, "AS Source: %u", s->src_as);
		expect_next(at, "AS Destination: %u", s->dst_as);
	}
}

static void expect_counters(const char **at, const struct sflow_sample *s)
{
	expect_next(at, "Sequence number: %u", s->sequence);
	expect_next(at, "Source ID index: %u", s->source_index);
	if (!s->has_if_counters)
		return;
	expect_next(at, "Interface index: %u", s->if_index);
	expect_next(at, "Interface Type: %u", s->if_type);
	expect_next(at, "Interface Speed: %llu", (unsigned long long)s->if_speed_bps);
	expect_next(at, "Input Octets: %llu", (unsigned long long)s->if_in_octets);
	expect_next(at, "Input Packets: %u", s->if_in_packets);
	expect_next(at, "Input Discarded Packets: %u", s->if_in_discards);
	expect_next(at, "Input Errors: %u", s->if_in_errors);
	expect_next(at, "Output Octets: %llu", (unsigned long long)s->if_out_octets);
	expect_next(at, "Output Packets: %u", s->if_out_packets);
	expect_next(at, "Output Discarded Packets: %u", s->if_out_discards);
	expect_next(at, "Output Errors: %u", s->if_out_errors);
}

static void tshark_reads_the_same(void **state)
{
	static const char *const vectors[] = {"tests/vectors/sflow-four-samples.hex",
					      "tests/vectors/sflow-records.hex"};

	(void)state;
	for (size_t v = 0; v < sizeof(vectors) / sizeof(vectors[0]); v++) {
		uint8_t bytes[1024];
		size_t n = load(bytes, sizeof(bytes), vectors[v]);
		struct walk w = walk(bytes, n);
		char *text = tshark_reads(bytes, n);
		const char *at = text;

		if (!text) {
			print_message("skip: tshark is missing\n");
			skip();
		}
		expect_next(&at, "Sub-agent ID: %u", w.datagram.sub_agent);
		expect_next(&at, "Sequence number: %u", w.datagram.sequence);
		expect_next(&at, "NumSamples: %u", w.datagram.n_samples);
		for (size_t i = 0; i < w.n; i++) {
			if (w.samples[i].kind == SFLOW_FLOW)
				expect_flow(&at, &w.samples[i]);
			else if (w.samples[i].kind == SFLOW_COUNTERS)
				expect_counters(&at, &w.samples[i]);
			/* tshark 4.0 steps over discarded packets */
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_samples),
		cmocka_unit_test(four_samples_of_the_reference),
		cmocka_unit_test(every_truncation),
		cmocka_unit_test(every_byte_damaged),
		cmocka_unit_test(refused_datagrams),
		cmocka_unit_test(verdicts_have_names),
		cmocka_unit_test(no_samples_is_a_datagram),
		cmocka_unit_test(four_billion_samples),
		cmocka_unit_test(fingerprints),
		cmocka_unit_test(bytes_behind_the_last_sample_are_left_alone),
		cmocka_unit_test(unknown_kinds_are_stepped_over),
		cmocka_unit_test(short_samples_cost_themselves),
		cmocka_unit_test(interfaces),
		cmocka_unit_test(header_protocols),
		cmocka_unit_test(padding),
		cmocka_unit_test(header_longer_than_its_record),
		cmocka_unit_test(short_records_leave_nothing),
		cmocka_unit_test(record_longer_than_its_sample),
		cmocka_unit_test(sampled_ip_without_header),
		cmocka_unit_test(sampled_ip_beside_a_header),
		cmocka_unit_test(two_headers_the_first_is_the_packet),
		cmocka_unit_test(gateway_paths_that_lie),
		cmocka_unit_test(gateway_paths_that_are_short),
		cmocka_unit_test(every_kind_of_record),
		cmocka_unit_test(tshark_reads_the_same),
	};
	int failed;

	build = malloc(sizeof(*build));
	if (!build)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(build);
	return failed;
}
