#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/cgroup.h"
#include "marker/skops.h"
#include "marker/watch.h"

#define BUCKETS     (1 << 14)
#define NO_ENTRY    UINT32_MAX
#define LOOK_S      1  /* between looks at all sockets, if nobody tells of new ones */
#define LOOK_SLOW_S 10 /* if the program does */
#define ESTABLISHED 1
#define CLOSE_WAIT  8 /* the far end has said all, we may not have */

struct entry {
	struct flow_key key;
	struct scitag tag;
	enum scitag_carrier carrier;
	uint32_t next;  /* in its bucket, or free */
	uint32_t round; /* of looks, in which it was last seen; 0: IPv4, which they do not show */
};

struct watch {
	struct watch_options options;
	char iperf_path[CGROUP_PATH_BYTES]; /* of its cgroup; "": all */
	struct skops *skops;
	struct entry *entries;
	uint32_t buckets[BUCKETS], free, used; /* entries from used on were never taken */
	uint32_t round;
	uint64_t secret;
	int64_t looked_mono_ns;
	struct watch_counters counters;
	struct log_limit limit;
};

/* --- the table --------------------------------------------------------------------------------- */

static uint32_t *bucket_of(struct watch *w, const struct flow_key *key)
{
	uint64_t k[5], h = w->secret;

	memcpy(k, key, sizeof(k));
	for (int i = 0; i < 5; i++) {
		h = (h ^ k[i]) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return &w->buckets[h & (BUCKETS - 1)];
}

/* Where the index of the key's entry stands; NO_ENTRY stands there if it has none. */
static uint32_t *find(struct watch *w, const struct flow_key *key)
{
	uint32_t *at = bucket_of(w, key);

	while (*at != NO_ENTRY && memcmp(&w->entries[*at].key, key, sizeof(*key)))
		at = &w->entries[*at].next;
	return at;
}

static struct entry *add(struct watch *w, const struct flow_key *key)
{
	uint32_t *bucket = bucket_of(w, key), i = w->free;

	if (i != NO_ENTRY)
		w->free = w->entries[i].next;
	else if (w->used < WATCH_FLOWS_MAX)
		i = w->used++;
	else
		return NULL;
	w->entries[i] = (struct entry){.key = *key, .next = *bucket};
	*bucket = i;
	w->counters.active++;
	return &w->entries[i];
}

static void take_out(struct watch *w, uint32_t *at)
{
	uint32_t i = *at;

	*at = w->entries[i].next;
	w->entries[i].next = w->free;
	w->entries[i].key.family = 0;
	w->free = i;
	w->counters.active--;
}

/* --- connections ------------------------------------------------------------------------------- */

/* Whose cgroup is not known was told of by the program, which hangs on the right one. */
static int is_iperf(const struct watch *w, const struct socket_info *info)
{
	return w->options.iperf && iperf_matches(w->options.iperf, &info->key) &&
	       (!w->iperf_path[0] || !info->cgroup_id ||
		cgroup_is_below(info->cgroup_id, w->iperf_path));
}

static int matches(const struct watch *w, const struct socket_info *info)
{
	const struct watch_options *o = &w->options;
	enum scitag_carrier carrier;
	struct scitag tag;

	return is_iperf(w, info) || (o->scan && !scan_match(o->scan, info, &tag, &carrier));
}

static int choose(struct watch *w, const struct socket_info *info, struct scitag *tag,
		  enum scitag_carrier *carrier)
{
	const struct watch_options *o = &w->options;

	*carrier = CARRIER_NONE;
	if (is_iperf(w, info)) {
		*tag = iperf_next(o->iperf);
		return 0;
	}
	return o->scan ? scan_match(o->scan, info, tag, carrier) : -ENOENT;
}

static void hand_on(struct watch *w, enum rules_event event, const struct entry *e)
{
	const struct rules_flow_event out = {
		.event = event, .key = e->key, .tag = e->tag, .carrier = e->carrier};

	w->options.handle(w->options.arg, &out);
}

void watch_opened(struct watch *w, const struct socket_info *info)
{
	uint32_t *at = find(w, &info->key);
	enum scitag_carrier carrier;
	struct scitag tag;
	struct entry *e;

	if (*at != NO_ENTRY)
		return;
	w->counters.opened++;
	if (choose(w, info, &tag, &carrier)) {
		w->counters.unmatched++;
		return;
	}
	e = add(w, &info->key);
	if (!e) {
		w->counters.refused++;
		log_limited(&w->limit, LOG_LEVEL_WARN, "watch",
			    "more than %d connections under a rule", WATCH_FLOWS_MAX);
		return;
	}
	w->counters.started++;
	e->tag = tag;
	e->carrier = carrier;
	e->round = info->key.family == 6 ? w->round : 0;
	hand_on(w, RULES_START, e);
}

void watch_closed(struct watch *w, const struct flow_key *key)
{
	uint32_t *at = find(w, key);
	struct entry e;

	if (*at == NO_ENTRY) /* never ours */
		return;
	e = w->entries[*at];
	take_out(w, at);
	w->counters.ended++;
	hand_on(w, RULES_END, &e);
}

static void told(void *arg, const struct skops_event *event)
{
	struct watch *w = arg;
	struct socket_info info = {.key = event->key};

	if (event->what == SKOPS_CLOSED) {
		watch_closed(w, &event->key);
		return;
	}
	/* whose it is, only a look tells; it may be gone already */
	if (w->options.scan && event->key.family == 6 &&
	    sockets_look(w->options.sockets, &event->key, &info)) {
		memset(&info, 0, sizeof(info));
		info.key = event->key;
	}
	watch_opened(w, &info);
}

static void note_family(struct flow_key *key)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!memcmp(key->src_ip, mapped, sizeof(mapped)))
		key->family = 4;
}

struct look {
	struct watch *w;
	struct socket_info *found; /* new ones under a rule */
	size_t n;
};

static void seen(void *arg, const struct socket_info *socket)
{
	struct look *look = arg;
	struct watch *w = look->w;
	struct socket_info info = *socket, *grown;
	uint32_t *at;

	if (info.key.protocol != IPPROTO_TCP ||
	    (info.state != ESTABLISHED && info.state != CLOSE_WAIT))
		return;
	note_family(&info.key);
	at = find(w, &info.key);
	if (*at != NO_ENTRY) {
		w->entries[*at].round = w->round;
		return;
	}
	if (!matches(w, &info))
		return;
	if (!(look->n & (look->n - 1))) { /* room for twice as many at each power of two */
		grown = reallocarray(look->found, look->n ? look->n * 2 : 1, sizeof(*grown));
		if (!grown)
			return;
		look->found = grown;
	}
	look->found[look->n++] = info;
}

/* All sockets; then those that are gone although nobody said so. The new ones are handed on when the
 * kernel has told all: whoever handles them may ask it something else. */
static void look(struct watch *w, int64_t now_mono_ns)
{
	struct look look = {.w = w};
	int err = -ENOENT;

	w->looked_mono_ns = now_mono_ns;
	if (!++w->round)
		w->round = 1;
	if (w->options.sockets)
		err = sockets_each(w->options.sockets, seen, &look);
	for (size_t i = 0; i < look.n; i++)
		watch_opened(w, &look.found[i]);
	free(look.found);
	for (uint32_t i = 0; !err && i < w->used; i++) {
		struct flow_key key = w->entries[i].key;

		if (key.family && w->entries[i].round && w->entries[i].round != w->round)
			watch_closed(w, &key);
	}
}

/* The root is no limit; nor is a directory that is no cgroup, as flowd-go's default often is not. */
static void set_iperf_cgroup(struct watch *w)
{
	char root[CGROUP_PATH_BYTES];

	w->iperf_path[0] = 0;
	if (!w->options.cgroup || cgroup_root(root, sizeof(root)) ||
	    cgroup_resolve(w->iperf_path, sizeof(w->iperf_path), w->options.cgroup) ||
	    !strcmp(root, w->iperf_path))
		w->iperf_path[0] = 0;
}

/* --- life -------------------------------------------------------------------------------------- */

int watch_open(struct watch **out, const struct watch_options *options)
{
	struct watch *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return log_fail(-ENOMEM, "watch", "open");
	w->options = *options;
	w->free = NO_ENTRY;
	memset(w->buckets, 0xff, sizeof(w->buckets));
	if (getrandom(&w->secret, sizeof(w->secret), 0) != sizeof(w->secret))
		w->secret = (uint64_t)clock_mono_ns();
	w->entries = calloc(WATCH_FLOWS_MAX, sizeof(*w->entries));
	if (!w->entries) {
		watch_close(w);
		return log_fail(-ENOMEM, "watch", "open");
	}
	set_iperf_cgroup(w);
	err = options->no_program ? -ENOSYS
				  : skops_open(&w->skops, options->scan ? NULL : options->cgroup);
	if (err && !options->no_program)
		log_msg(LOG_LEVEL_WARN, "watch",
			"no program for connections on the cgroup (%s): looking at all sockets "
			"every %d s instead",
			strerror(-err), LOOK_S);
	look(w, clock_mono_ns());
	*out = w;
	return 0;
}

void watch_close(struct watch *w)
{
	if (!w)
		return;
	skops_close(w->skops);
	free(w->entries);
	free(w);
}

int watch_fd(const struct watch *w)
{
	return w->skops ? skops_fd(w->skops) : -1;
}

void watch_drain(struct watch *w)
{
	if (w->skops)
		skops_drain(w->skops, told, w);
}

void watch_tick(struct watch *w, int64_t now_mono_ns)
{
	uint64_t lost = w->skops ? skops_lost(w->skops) : 0;
	int missed = lost != w->counters.lost;

	w->counters.lost = lost;
	if (missed ||
	    now_mono_ns - w->looked_mono_ns >= (w->skops ? LOOK_SLOW_S : LOOK_S) * NS_PER_S)
		look(w, now_mono_ns);
}

void watch_set(struct watch *w, struct iperf *iperf, struct scan *scan)
{
	w->options.iperf = iperf;
	w->options.scan = scan;
	look(w, clock_mono_ns());
}

void watch_count(const struct watch *w, struct watch_counters *out)
{
	*out = w->counters;
}
