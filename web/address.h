/* Where to listen, and the names under which we may be asked. Pure but for web_listen. */
#ifndef WEB_ADDRESS_H
#define WEB_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_BYTES 64 /* "[ffff:...:ffff%interface]:65535" */

struct address {
	struct sockaddr_storage sa;
	socklen_t len_bytes;
	int dual_stack; /* every address of both families */
};

/* "127.0.0.1:10580", "[::1]:10580", ":10580" (all addresses); port 0 asks for a free one. -EINVAL. */
int address_parse(struct address *out, const char *text);
/* "127.0.0.1:10580", "[::1]:10580". Returns buf. */
char *address_format(char *buf, size_t cap_bytes, const struct sockaddr *sa);
/* A listening, non-blocking socket. Without IPv6 in the kernel ":PORT" means all of IPv4.
 * Negative errno: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL. */
int address_listen(const struct address *a);

/* May a request carry this Host header? Names are loopback's, the machine's, `names` (NULL-terminated,
 * may be NULL) and the address `local` at which the request came in, each with any port: a tunnel or
 * proxy may have changed it. A page of another site that resolves its name to us (DNS rebinding) does
 * not know one of them. */
int address_host_known(const char *host, const char *const *names, const char *machine,
		       const struct sockaddr *local);

#endif
