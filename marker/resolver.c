#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/resolver.h"

#define AGAIN_S 300 /* after an answer, and at most after failures */

struct name {
	char *host;
	char port[8];
	int fixed; /* an address: never asked for */
	int asked;
	int64_t due_mono_ns;
	int64_t wait_s; /* after the next failure */
	struct resolver_host known;
};

struct resolver {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int running, closed;
	size_t n;
	struct name names[RESOLVER_NAMES];
};

/* The first address of each family, in the system's order. */
static int look_up(struct resolver_host *out, const char *host, const char *port, int flags)
{
	const struct addrinfo hints = {.ai_flags = flags | AI_NUMERICSERV,
				       .ai_socktype = SOCK_DGRAM};
	struct resolver_host h = {.n = 0};
	struct addrinfo *list;
	int err = getaddrinfo(host, port, &hints, &list);

	if (err)
		return err;
	for (const struct addrinfo *a = list; a && h.n < 2; a = a->ai_next) {
		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		if (h.n && h.addresses[0].ss_family == a->ai_family)
			continue;
		memcpy(&h.addresses[h.n], a->ai_addr, a->ai_addrlen);
		h.len_bytes[h.n++] = a->ai_addrlen;
	}
	freeaddrinfo(list);
	if (!h.n)
		return EAI_NONAME;
	*out = h;
	return 0;
}

static void release(struct resolver *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->names[i].host);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->wake);
	free(r);
}

static struct name *next_due(struct resolver *r)
{
	struct name *next = NULL;

	for (size_t i = 0; i < r->n; i++)
		if (!r->names[i].fixed && (!next || r->names[i].due_mono_ns < next->due_mono_ns))
			next = &r->names[i];
	return next;
}

/* Asks without the lock: host and port of a name never change. */
static void ask(struct resolver *r, struct name *name)
{
	struct resolver_host found;
	int err;

	pthread_mutex_unlock(&r->lock);
	err = look_up(&found, name->host, name->port, 0);
	pthread_mutex_lock(&r->lock);
	name->asked = 1;
	if (err) {
		log_msg(LOG_LEVEL_WARN, "resolver", "%s: %s; asking again in %lld s", name->host,
			gai_strerror(err), (long long)name->wait_s);
		name->due_mono_ns = clock_mono_ns() + name->wait_s * NS_PER_S;
		name->wait_s = name->wait_s * 2 < AGAIN_S ? name->wait_s * 2 : AGAIN_S;
		return;
	}
	name->known = found;
	name->wait_s = 1;
	name->due_mono_ns = clock_mono_ns() + AGAIN_S * NS_PER_S;
}

static void *work(void *arg)
{
	struct resolver *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->closed) {
		struct name *name = next_due(r);
		struct timespec until;

		if (name && name->due_mono_ns <= clock_mono_ns()) {
			ask(r, name);
			continue;
		}
		if (!name) {
			pthread_cond_wait(&r->wake, &r->lock);
			continue;
		}
		until.tv_sec = name->due_mono_ns / NS_PER_S;
		until.tv_nsec = name->due_mono_ns % NS_PER_S;
		pthread_cond_timedwait(&r->wake, &r->lock, &until);
	}
	pthread_mutex_unlock(&r->lock);
	release(r);
	return NULL;
}

int resolver_open(struct resolver **out)
{
	struct resolver *r = calloc(1, sizeof(*r));
	pthread_condattr_t monotonic;

	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = r;
	return 0;
}

void resolver_close(struct resolver *r)
{
	int running;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->closed = 1;
	running = r->running;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	if (!running) /* else the thread does it, after a lookup that may take long */
		release(r);
}

/* The thread exists only where there is a name to ask for. */
static int need_thread(struct resolver *r)
{
	pthread_attr_t detached;
	pthread_t thread;
	int err;

	if (r->running)
		return 0;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &detached, work, r);
	pthread_attr_destroy(&detached);
	r->running = !err;
	return -err;
}

int resolver_add(struct resolver *r, const char *host, uint16_t port)
{
	struct name name = {.wait_s = 1};
	size_t len_bytes = strlen(host);
	int err = 0, handle;

	if (len_bytes > 2 && host[0] == '[' && host[len_bytes - 1] == ']') {
		host++;
		len_bytes -= 2;
	}
	if (!len_bytes || !port)
		return -EINVAL;
	name.host = strndup(host, len_bytes);
	if (!name.host)
		return -ENOMEM;
	snprintf(name.port, sizeof(name.port), "%u", port);
	name.fixed = !look_up(&name.known, name.host, name.port, AI_NUMERICHOST);
	pthread_mutex_lock(&r->lock);
	if (r->n == RESOLVER_NAMES)
		err = -ENOSPC;
	handle = (int)r->n;
	if (!err)
		r->names[r->n++] = name;
	if (!err && !name.fixed)
		err = need_thread(r);
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	if (err == -ENOSPC)
		free(name.host);
	return err ? err : handle;
}

int resolver_settled(struct resolver *r)
{
	int settled = 1;

	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->n; i++)
		settled &= r->names[i].fixed || r->names[i].asked;
	pthread_mutex_unlock(&r->lock);
	return settled;
}

int resolver_get(struct resolver *r, int handle, struct resolver_host *out)
{
	int err = -EAGAIN;

	pthread_mutex_lock(&r->lock);
	if (handle >= 0 && (size_t)handle < r->n && r->names[handle].known.n) {
		*out = r->names[handle].known;
		err = 0;
	}
	pthread_mutex_unlock(&r->lock);
	return err;
}
