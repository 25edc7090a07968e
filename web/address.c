#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "web/address.h"

#define BACKLOG 128

/* Reads exactly text as a port. */
static int port_parse(const char *text)
{
	int port = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (*text - '0');
		if (port > 65535)
			return -EINVAL;
	}
	return port;
}

/* Cuts "HOST:PORT", "[HOST]:PORT" and, when the port is optional, HOST alone. The host goes to
 * `host` without brackets; *port is -1 when there is none. */
static int split(char *host, size_t cap_bytes, int *port, const char *text)
{
	const char *end, *rest;
	int number = -1;

	if (*text == '[') {
		end = strchr(++text, ']');
		if (!end)
			return -EINVAL;
		rest = end + 1;
	} else {
		end = text + strcspn(text, ":");
		rest = end;
	}
	if ((size_t)(end - text) >= cap_bytes)
		return -EINVAL;
	if (*rest == ':')
		number = port_parse(rest + 1);
	else if (*rest)
		return -EINVAL;
	if (*rest && number < 0)
		return -EINVAL;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = '\0';
	*port = number;
	return 0;
}

int address_parse(struct address *out, const char *text)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	char host[ADDRESS_TEXT_BYTES], service[12];
	int port;

	if (split(host, sizeof(host), &port, text) || port < 0 || (*text == '[' && !host[0]))
		return -EINVAL;
	snprintf(service, sizeof(service), "%d", port);
	if (!host[0])
		hints.ai_family = AF_INET6;
	if (getaddrinfo(host[0] ? host : NULL, service, &hints, &found))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	memcpy(&out->sa, found->ai_addr, found->ai_addrlen);
	out->len_bytes = found->ai_addrlen;
	out->dual_stack = !host[0];
	freeaddrinfo(found);
	return 0;
}

char *address_format(char *buf, size_t cap_bytes, const struct sockaddr *sa)
{
	char host[ADDRESS_TEXT_BYTES] = "?", service[8] = "0";
	socklen_t len_bytes = sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
							: sizeof(struct sockaddr_in);

	getnameinfo(sa, len_bytes, host, sizeof(host), service, sizeof(service),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(buf, cap_bytes, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, service);
	return buf;
}

static int listen_on(const struct sockaddr *sa, socklen_t len_bytes, int dual_stack)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, v6only = !dual_stack, err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (sa->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	if (bind(fd, sa, len_bytes) || listen(fd, BACKLOG)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int address_listen(const struct address *a)
{
	int fd = listen_on((const struct sockaddr *)&a->sa, a->len_bytes, a->dual_stack);
	struct sockaddr_in any = {.sin_family = AF_INET};

	if (!a->dual_stack || (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL))
		return fd;
	any.sin_port = ((const struct sockaddr_in6 *)&a->sa)->sin6_port;
	return listen_on((const struct sockaddr *)&any, sizeof(any), 0);
}

/* The literal is the address of `local`; a v4-mapped one is meant as IPv4. */
static int is_local_address(const char *literal, const struct sockaddr *local)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, literal, &four) == 1) {
		if (local->sa_family == AF_INET)
			return ((const struct sockaddr_in *)local)->sin_addr.s_addr == four.s_addr;
		six = ((const struct sockaddr_in6 *)local)->sin6_addr;
		return IN6_IS_ADDR_V4MAPPED(&six) && !memcmp(&six.s6_addr[12], &four, sizeof(four));
	}
	if (inet_pton(AF_INET6, literal, &six) == 1 && local->sa_family == AF_INET6)
		return !memcmp(&((const struct sockaddr_in6 *)local)->sin6_addr, &six, sizeof(six));
	return 0;
}

static int is_loopback(const char *name)
{
	struct in6_addr six;
	struct in_addr four;

	if (!strcasecmp(name, "localhost"))
		return 1;
	if (inet_pton(AF_INET, name, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, name, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

int address_host_known(const char *host, const char *const *names, const char *machine,
		       const struct sockaddr *local)
{
	char name[256];
	size_t len;
	int port;

	if (split(name, sizeof(name), &port, host) || !name[0])
		return 0;
	len = strlen(name);
	if (name[len - 1] == '.') /* a fully qualified name may say so */
		name[len - 1] = '\0';
	if (is_loopback(name) || (local && is_local_address(name, local)))
		return 1;
	if (machine && machine[0]) {
		size_t first_label = strcspn(machine, ".");

		if (!strcasecmp(name, machine) ||
		    (strlen(name) == first_label && !strncasecmp(name, machine, first_label)))
			return 1;
	}
	for (; names && *names; names++)
		if (!strcasecmp(name, *names))
			return 1;
	return 0;
}
