/* STUN by the sample messages of RFC 5769, and with a small server of the test's own on loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/source_map.h"

static const uint8_t id[12] = {0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
			       0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};

/* RFC 5769 section 2.2: SOFTWARE, XOR-MAPPED-ADDRESS 192.0.2.1 port 32853, MESSAGE-INTEGRITY,
 * FINGERPRINT */
static const uint8_t answer4[] = {
	0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
	0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74,
	0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01,
	0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, 0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99,
	0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, 0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b,
	0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
};

/* RFC 5769 section 2.3: the same with 2001:db8:1234:5678:11:2233:4455:6677 */
static const uint8_t answer6[] = {
	0x01, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
	0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74,
	0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x14, 0x00, 0x02,
	0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5,
	0xbe, 0xd2, 0xb9, 0xd9, 0x00, 0x08, 0x00, 0x14, 0xa3, 0x82, 0x95, 0x4e, 0x4b, 0xe6,
	0x7b, 0xf1, 0x17, 0x84, 0xc9, 0x7c, 0x82, 0x92, 0xc2, 0x75, 0xbf, 0xe3, 0xed, 0x41,
	0x80, 0x28, 0x00, 0x04, 0xc8, 0xfb, 0x0b, 0x4c,
};

/* On an exact-size copy: one byte too far is a report. */
static int answer(uint8_t ip[16], const void *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	int err;

	memcpy(copy, bytes, n);
	err = stun_answer(ip, id, copy, n);
	free(copy);
	return err;
}

static void assert_address(const uint8_t ip[16], const char *text)
{
	uint8_t expected[16];

	assert_in_range(source_map_address(expected, text), 4, 6);
	assert_memory_equal(ip, expected, 16);
}

static void the_samples_of_rfc_5769(void **state)
{
	uint8_t ip[16];

	assert_int_equal(answer(ip, answer4, sizeof(answer4)), 0);
	assert_address(ip, "192.0.2.1");
	assert_int_equal(answer(ip, answer6, sizeof(answer6)), 0);
	assert_address(ip, "2001:db8:1234:5678:11:2233:4455:6677");
}

static void every_truncation_is_refused(void **state)
{
	uint8_t ip[16] = {1};

	for (size_t n = 0; n < sizeof(answer6); n++)
		assert_int_equal(answer(ip, answer6, n), -EBADMSG);
	assert_int_equal(ip[0], 1); /* untouched */
	/* and with its length made to fit */
	for (size_t n = 20; n < sizeof(answer6); n++) {
		uint8_t bytes[sizeof(answer6)];

		memcpy(bytes, answer6, sizeof(bytes));
		bytes[3] = (uint8_t)(n - 20);
		/* whole attributes are a message: 60 is behind the address */
		if (n % 4 || n < 60)
			assert_int_equal(answer(ip, bytes, n), -EBADMSG);
	}
}

static void refuse_with(size_t at, uint8_t value)
{
	uint8_t bytes[sizeof(answer4)], ip[16];

	memcpy(bytes, answer4, sizeof(bytes));
	bytes[at] = value;
	assert_int_equal(answer(ip, bytes, sizeof(bytes)), -EBADMSG);
}

static void what_is_no_answer_to_us_is_refused(void **state)
{
	refuse_with(1, 0x11);  /* an error response */
	refuse_with(0, 0x00);  /* a request */
	refuse_with(4, 0x22);  /* another magic */
	refuse_with(19, 0xaf); /* another transaction */
	refuse_with(3, 0x40);  /* another length */
	refuse_with(41, 0x03); /* no such family */
	refuse_with(41, 0x02); /* too short for its family */
	refuse_with(37, 0x01); /* no XOR-MAPPED-ADDRESS any more */
	refuse_with(49, 0x30); /* an attribute that must be understood */
}

static void a_request_is_twenty_bytes(void **state)
{
	static const uint8_t expected[20] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4,
					     0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
					     0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};
	uint8_t found[20];

	stun_request(found, id);
	assert_memory_equal(found, expected, sizeof(expected));
}

/* --- the map ----------------------------------------------------------------------------------- */

static char internal4[] = "192.0.2.10", internal6[] = "2001:db8:1::10";
static char external4[] = "198.51.100.1", external6[] = "2001:db8:ffff::1";
static char *keys[] = {internal4, internal6}, *values[] = {external4, external6};

static void the_table_is_for_its_addresses_only(void **state)
{
	const struct opt_map manual = {2, keys, values};
	const struct opt_texts none = {0, NULL};
	struct source_map *m;
	uint8_t ip[16];

	assert_int_equal(source_map_open(&m, &manual, &none), 0);
	source_map_address(ip, "192.0.2.10");
	source_map_apply(m, ip);
	assert_address(ip, "198.51.100.1");
	source_map_address(ip, "2001:db8:1::10");
	source_map_apply(m, ip);
	assert_address(ip, "2001:db8:ffff::1");
	source_map_address(ip, "2001:db8:1::11");
	source_map_apply(m, ip);
	assert_address(ip, "2001:db8:1::11");
	source_map_apply(NULL, ip);
	source_map_close(m);
}

static void two_families_are_no_pair(void **state)
{
	char *crossed[] = {external6, external4};
	const struct opt_map manual = {2, keys, crossed};
	const struct opt_texts none = {0, NULL};
	struct source_map *m;

	assert_int_equal(source_map_open(&m, &manual, &none), -EINVAL);
}

struct server {
	int fd;
	char text[64];
};

static void open_server(struct server *s, int family)
{
	struct sockaddr_storage self = {.ss_family = (sa_family_t)family};
	socklen_t n = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

	if (family == AF_INET)
		((struct sockaddr_in *)&self)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&self)->sin6_addr = in6addr_loopback;
	s->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&self, n), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&self, &n), 0);
	snprintf(s->text, sizeof(s->text), family == AF_INET ? "127.0.0.1:%u" : "[::1]:%u",
		 ntohs(((struct sockaddr_in *)&self)->sin_port));
}

/* Answer a request with the address XORed as section 14.2 of RFC 8489 has it: bytes 20.. below are
 * the attribute, its address written in plain and then covered by the message's bytes 4..20. */
static int serve(struct server *s, const char *external)
{
	struct sockaddr_storage from;
	socklen_t n = sizeof(from);
	uint8_t m[48] = {0}, ip[16];
	size_t len_bytes = 0;

	if (recvfrom(s->fd, m, sizeof(m), 0, (struct sockaddr *)&from, &n) != 20)
		return 0;
	m[0] = 1;
	m[21] = 0x20;
	len_bytes = source_map_address(ip, external) == 4 ? 4 : 16;
	m[3] = (uint8_t)(8 + len_bytes);
	m[23] = (uint8_t)(4 + len_bytes);
	m[25] = len_bytes == 4 ? 1 : 2;
	for (size_t i = 0; i < len_bytes; i++)
		m[28 + i] = ip[16 - len_bytes + i] ^ m[4 + i];
	assert_int_equal(sendto(s->fd, m, 28 + len_bytes, 0, (struct sockaddr *)&from, n),
			 28 + len_bytes);
	return 1;
}

static void servers_are_asked_once_an_hour_and_family(void **state)
{
	const struct opt_map none = {0, NULL, NULL};
	struct server s4, s6, dead;
	char *texts[3];
	struct opt_texts servers = {3, texts};
	struct source_map_counters c;
	struct source_map *m;
	int64_t now = clock_mono_ns();
	int served4 = 0, served6 = 0;
	uint8_t ip[16];

	open_server(&dead, AF_INET);
	open_server(&s4, AF_INET);
	open_server(&s6, AF_INET6);
	texts[0] = dead.text;
	texts[1] = s4.text;
	texts[2] = s6.text;
	assert_int_equal(source_map_open(&m, &none, &servers), 0);
	for (int i = 0; i < 100; i++, now += NS_PER_S / 5) { /* 20 s of ticks */
		source_map_tick(m, now);
		served4 += serve(&s4, "198.51.100.7");
		served6 += serve(&s6, "2001:db8:ffff::7");
	}
	source_map_address(ip, "127.0.0.1");
	source_map_apply(m, ip);
	assert_address(ip, "198.51.100.7");
	source_map_address(ip, "::1");
	source_map_apply(m, ip);
	assert_address(ip, "2001:db8:ffff::7");
	assert_int_equal(served4, 1);
	assert_int_equal(served6, 1);
	source_map_count(m, &c);
	assert_int_equal(c.answered, 2);
	assert_int_equal(c.unanswered, 1);
	assert_int_equal(c.asked, 6); /* four times the dead one */

	now += 3600 * NS_PER_S; /* the address changed */
	for (int i = 0; i < 5; i++, now += NS_PER_S / 5) {
		source_map_tick(m, now);
		served4 += serve(&s4, "198.51.100.8");
		served6 += serve(&s6, "2001:db8:ffff::8");
	}
	assert_int_equal(served4, 2);
	assert_int_equal(served6, 2);
	source_map_address(ip, "127.0.0.1");
	source_map_apply(m, ip);
	assert_address(ip, "198.51.100.8");
	source_map_close(m);
	close(s4.fd);
	close(s6.fd);
	close(dead.fd);
}

/* Nobody else's answer, and no answer to another question. */
static void a_stranger_s_answer_changes_nothing(void **state)
{
	const struct opt_map none = {0, NULL, NULL};
	struct server s;
	char *texts[1];
	struct opt_texts servers = {1, texts};
	struct source_map_counters c;
	struct sockaddr_storage from;
	socklen_t n = sizeof(from);
	struct source_map *m;
	int64_t now = clock_mono_ns();
	uint8_t request[20], ip[16];

	open_server(&s, AF_INET);
	texts[0] = s.text;
	assert_int_equal(source_map_open(&m, &none, &servers), 0);
	source_map_tick(m, now); /* IPv6 has no server here */
	source_map_tick(m, now);
	assert_int_equal(recvfrom(s.fd, request, 20, 0, (struct sockaddr *)&from, &n), 20);
	sendto(s.fd, answer4, sizeof(answer4), 0, (struct sockaddr *)&from, n);
	source_map_tick(m, now + 1);
	source_map_address(ip, "127.0.0.1");
	source_map_apply(m, ip);
	assert_address(ip, "127.0.0.1");
	source_map_count(m, &c);
	assert_int_equal(c.rejected, 1);
	source_map_close(m);
	close(s.fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_samples_of_rfc_5769),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(what_is_no_answer_to_us_is_refused),
		cmocka_unit_test(a_request_is_twenty_bytes),
		cmocka_unit_test(the_table_is_for_its_addresses_only),
		cmocka_unit_test(two_families_are_no_pair),
		cmocka_unit_test(servers_are_asked_once_an_hour_and_family),
		cmocka_unit_test(a_stranger_s_answer_changes_nothing),
	};

	log_open(LOG_LEVEL_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
