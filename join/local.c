#include <string.h>

#include "join/local.h"

static int is_loopback(const uint8_t ip[16])
{
	static const uint8_t loopback[16] = {[15] = 1};

	return flow_ip_is_ipv4(ip) ? ip[12] == 127 : !memcmp(ip, loopback, sizeof(loopback));
}

/* RFC 1918, RFC 3927 and RFC 6598; RFC 4193 and RFC 4291 section 2.5.6. */
static int is_private(const uint8_t ip[16])
{
	if (!flow_ip_is_ipv4(ip))
		return (ip[0] & 0xFE) == 0xFC || (ip[0] == 0xFE && (ip[1] & 0xC0) == 0x80);
	return ip[12] == 10 || (ip[12] == 172 && (ip[13] & 0xF0) == 16) ||
	       (ip[12] == 192 && ip[13] == 168) || (ip[12] == 169 && ip[13] == 254) ||
	       (ip[12] == 100 && (ip[13] & 0xC0) == 64);
}

int local_addresses(enum drop_local what, const struct flow_key *key)
{
	if (what == DROP_LOCAL_NONE)
		return 0;
	if (is_loopback(key->src_ip) || is_loopback(key->dst_ip))
		return 1;
	if (what == DROP_LOCAL_PRIVATE)
		return is_private(key->src_ip) && is_private(key->dst_ip);
	if (what == DROP_LOCAL_SAME_PREFIX) /* /64, or /24 of IPv4 */
		return !memcmp(key->src_ip, key->dst_ip, flow_ip_is_ipv4(key->src_ip) ? 15 : 8);
	return 0;
}
