#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "marker/event.h"

#define FIELDS_MAX 10

int event_address(uint8_t out[16], const char *text, uint8_t *family)
{
	char buf[INET6_ADDRSTRLEN + 2];
	size_t n = strlen(text);
	uint8_t v4[4];

	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, text, n);
	buf[n] = 0;
	if (inet_pton(AF_INET6, buf, out) == 1) {
		static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

		*family = memcmp(out, mapped, 12) ? 6 : 4;
		return 0;
	}
	if (inet_pton(AF_INET, buf, v4) != 1)
		return -EINVAL;
	memset(out, 0, 10);
	out[10] = out[11] = 0xff;
	memcpy(out + 12, v4, 4);
	*family = 4;
	return 0;
}

static int port(uint16_t *out, const char *text)
{
	uint16_t min, max;

	if (*text < '0' || *text > '9' || rules_ports(&min, &max, text) || min != max || !min)
		return -EINVAL;
	*out = min;
	return 0;
}

#define REFUSE(...)                                        \
	do {                                               \
		snprintf(why, why_cap_bytes, __VA_ARGS__); \
		return -EINVAL;                            \
	} while (0)

int event_parse(struct rules_flow_event *out, const char *line, int with_state,
		const struct registry *reg, char *why, size_t why_cap_bytes)
{
	static const struct {
		const char *name;
		enum rules_event event;
	} states[] = {{"start", RULES_START}, {"end", RULES_END}, {"ongoing", RULES_ONGOING}};
	struct rules_flow_event e = *out;
	char copy[EVENT_LINE_BYTES], *field[FIELDS_MAX], *save = NULL, **f = field;
	size_t n = 0, want;
	uint8_t family;
	int tagged, protocol;

	if (strlen(line) >= sizeof(copy))
		REFUSE("longer than %d bytes", EVENT_LINE_BYTES - 1);
	strcpy(copy, line);
	for (char *p = strtok_r(copy, " \t\r", &save); p && n < FIELDS_MAX;
	     p = strtok_r(NULL, " \t\r", &save))
		field[n++] = p;
	if (with_state) {
		size_t i = 0;

		if (!n)
			REFUSE("empty");
		while (i < 3 && strcasecmp(*f, states[i].name))
			i++;
		if (i == 3)
			REFUSE("no state \"%s\": start, end or ongoing", *f);
		e.event = states[i].event;
		f++;
		n--;
	}
	tagged = e.event == RULES_START || n > 5;
	want = tagged ? 7 : 5;
	if (n != want && n != want + (e.event == RULES_START))
		REFUSE("%zu fields where %zu are expected", n, want);
	protocol = rules_protocol(f[0]);
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != 132)
		REFUSE("no protocol \"%s\": tcp, udp or sctp", f[0]);
	memset(&e.key, 0, sizeof(e.key));
	e.key.protocol = (uint8_t)protocol;
	if (event_address(e.key.src_ip, f[1], &e.key.family))
		REFUSE("no address \"%s\"", f[1]);
	if (port(&e.key.src_port, f[2]))
		REFUSE("no port \"%s\"", f[2]);
	if (event_address(e.key.dst_ip, f[3], &family))
		REFUSE("no address \"%s\"", f[3]);
	if (port(&e.key.dst_port, f[4]))
		REFUSE("no port \"%s\"", f[4]);
	if (family != e.key.family)
		REFUSE("addresses of two families");
	if (tagged && marker_tag(&e.tag, reg, f[5], f[6], why, why_cap_bytes))
		return -EINVAL;
	if (n == 8) {
		int strategy = marker_strategy(f[7]);

		if (strategy <= 0)
			REFUSE("no strategy \"%s\"", f[7]);
		e.carrier = (enum scitag_carrier)strategy;
	}
	*out = e;
	return 0;
}

char *event_format_key(char *buf, size_t cap_bytes, const struct flow_key *key)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], number[8];
	const char *name = key->protocol == IPPROTO_TCP   ? "tcp"
			   : key->protocol == IPPROTO_UDP ? "udp"
			   : key->protocol == 132         ? "sctp"
							  : number;

	snprintf(number, sizeof(number), "%u", key->protocol);
	inet_ntop(AF_INET6, key->src_ip, src, sizeof(src));
	inet_ntop(AF_INET6, key->dst_ip, dst, sizeof(dst));
	snprintf(buf, cap_bytes, "%s %s %u %s %u", name, src, key->src_port, dst, key->dst_port);
	return buf;
}
