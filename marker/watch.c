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
#define LOOK_S      1  /* between looks at all sockets of which nobody tells */
#define LOOK_SLOW_S 10 /* and of which the program tells */
#define ESTABLISHED 1
#define CLOSE_WAIT  8 /* the far end has said all, we may not have */

enum kind { KIND_NONE, KIND_IPERF, KIND_SCAN, KIND_WILDCARD };

/* Why a connection is ours, and what it is marked with. */
struct choice {
	enum kind kind;
	struct scitag tag; /* not of KIND_IPERF: the next one is taken when it begins */
	enum scitag_carrier carrier;
};

struct entry {
	struct flow_key key;
	struct choice choice;
	uint32_t next;  /* in its bucket, or free */
	uint32_t round; /* of looks, in which it was last seen */
};

struct watch {
	struct watch_options options;
	char iperf_path[CGROUP_PATH_BYTES]; /* of its cgroup; "": all */
	struct skops *skops;
	int skops_sees_all; /* not only iperf's cgroup */
	struct entry *entries;
	uint32_t buckets[BUCKETS], free, used; /* entries from used on were never taken */
	uint32_t round;
	uint64_t secret;
	int64_t looked_mono_ns, looked_at_udp_mono_ns;
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
	w->counters.wild -= w->entries[i].choice.kind == KIND_WILDCARD;
}

/* --- connections ------------------------------------------------------------------------------- */

/* Whose cgroup is not known was told of by the program, which hangs on the right one. */
static int is_iperf(const struct watch *w, const struct socket_info *info)
{
	return w->options.iperf && iperf_matches(w->options.iperf, &info->key) &&
	       (!w->iperf_path[0] || !info->cgroup_id ||
		cgroup_is_below(info->cgroup_id, w->iperf_path));
}

static int is_loopback(const struct flow_key *key)
{
	static const uint8_t loopback[16] = {[15] = 1};

	return key->family == 4 ? key->dst_ip[12] == 127 : !memcmp(key->dst_ip, loopback, 16);
}

static struct choice choose(const struct watch *w, const struct socket_info *info)
{
	const struct watch_options *o = &w->options;
	struct choice c = {.kind = KIND_NONE};

	if (info->key.family == 4 && !o->ipv4)
		return c;
	if (is_iperf(w, info))
		c.kind = KIND_IPERF;
	else if (o->scan && info->key.protocol == IPPROTO_TCP &&
		 !scan_match(o->scan, info, &c.tag, &c.carrier))
		c.kind = KIND_SCAN;
	else if (o->wildcards && (o->loopback || !is_loopback(&info->key)) &&
		 !rules_match(o->wildcards, info, &c.tag))
		c.kind = KIND_WILDCARD;
	return c;
}

static int is_same(const struct choice *a, const struct choice *b)
{
	return a->kind == b->kind &&
	       (a->kind == KIND_IPERF ||
		(a->tag.experiment == b->tag.experiment && a->tag.activity == b->tag.activity &&
		 a->carrier == b->carrier));
}

static int has_room_for_wildcards(const struct watch *w, size_t n_more)
{
	return w->counters.wild + n_more < w->options.wildcards_max;
}

static void hand_on(struct watch *w, enum rules_event event, const struct entry *e, int opened)
{
	const struct rules_flow_event out = {.event = event,
					     .key = e->key,
					     .tag = e->choice.tag,
					     .carrier = e->choice.carrier,
					     .announce_only = e->choice.kind == KIND_WILDCARD,
					     .opened = opened};

	w->options.handle(w->options.arg, &out);
}

static void begin(struct watch *w, const struct socket_info *info, int opened)
{
	uint32_t *at = find(w, &info->key);
	struct choice choice;
	struct entry *e = NULL;

	if (*at != NO_ENTRY)
		return;
	w->counters.opened++;
	choice = choose(w, info);
	if (choice.kind == KIND_NONE) {
		w->counters.unmatched++;
		return;
	}
	if (choice.kind != KIND_WILDCARD || has_room_for_wildcards(w, 0))
		e = add(w, &info->key);
	if (!e) {
		w->counters.refused++;
		w->counters.left_out += choice.kind == KIND_WILDCARD;
		log_limited(&w->limit, LOG_LEVEL_WARN, "watch",
			    "more than %zu connections under %s",
			    choice.kind == KIND_WILDCARD ? w->options.wildcards_max
							 : (size_t)WATCH_FLOWS_MAX,
			    choice.kind == KIND_WILDCARD ? "wildcards: the rest is not announced"
							 : "a rule");
		return;
	}
	w->counters.started++;
	w->counters.wild += choice.kind == KIND_WILDCARD;
	if (choice.kind == KIND_IPERF)
		choice.tag = iperf_next(w->options.iperf);
	e->choice = choice;
	e->round = w->round;
	hand_on(w, RULES_START, e, opened);
}

void watch_opened(struct watch *w, const struct socket_info *info)
{
	begin(w, info, 1);
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
	hand_on(w, RULES_END, &e, 0);
}

void watch_gone(struct watch *w, const struct flow_key *key)
{
	struct socket_info live;

	/* word of it comes late: the ports may be another socket's by now */
	if (key->protocol == IPPROTO_UDP && *find(w, key) != NO_ENTRY &&
	    sockets_look(w->options.sockets, key, &live))
		watch_closed(w, key);
}

static void told(void *arg, const struct skops_event *event)
{
	struct watch *w = arg;
	struct socket_info info = {.key = event->key, .uid = UINT32_MAX};

	if (event->what == SKOPS_CLOSED) {
		watch_closed(w, &event->key);
		return;
	}
	/* whose it is, only a look tells; it may be gone already */
	if ((w->options.scan || w->options.wildcards) &&
	    (event->key.family == 6 || w->options.ipv4) &&
	    sockets_look(w->options.sockets, &event->key, &info))
		info = (struct socket_info){.key = event->key, .uid = UINT32_MAX};
	watch_opened(w, &info);
}

struct found {
	struct socket_info info;
	int known; /* a flow already, but of another rule or tag */
};

struct look {
	struct watch *w;
	int anew; /* the rules changed */
	struct found *found;
	size_t n, n_wild; /* of them new under wildcards */
	size_t left_out;  /* for want of room */
};

static void remember(struct look *look, const struct socket_info *info, int known)
{
	struct found *grown;

	if (!(look->n & (look->n - 1))) { /* room for twice as many at each power of two */
		grown = reallocarray(look->found, look->n ? look->n * 2 : 1, sizeof(*grown));
		if (!grown)
			return;
		look->found = grown;
	}
	look->found[look->n++] = (struct found){*info, known};
}

static void seen(void *arg, const struct socket_info *info)
{
	struct look *look = arg;
	struct watch *w = look->w;
	struct choice choice;
	uint32_t *at;

	if (info->state != ESTABLISHED && info->state != CLOSE_WAIT)
		return;
	at = find(w, &info->key);
	if (*at != NO_ENTRY) {
		w->entries[*at].round = w->round;
		if (!look->anew)
			return;
		choice = choose(w, info);
		if (!is_same(&w->entries[*at].choice, &choice))
			remember(look, info, 1);
		return;
	}
	choice = choose(w, info);
	if (choice.kind == KIND_WILDCARD && !has_room_for_wildcards(w, look->n_wild)) {
		look->left_out++;
	} else if (choice.kind != KIND_NONE) {
		look->n_wild += choice.kind == KIND_WILDCARD;
		remember(look, info, 0);
	}
}

/* Sockets of these kinds; then those that are gone although nobody said so. What is new or changed is
 * handed on when the kernel has told all: whoever handles it may ask it something else. */
static void look(struct watch *w, unsigned int kinds, int64_t now_mono_ns, int anew)
{
	struct look look = {.w = w, .anew = anew};
	int err = -ENOENT;

	w->looked_at_udp_mono_ns = now_mono_ns;
	if (kinds & SOCKETS_TCP)
		w->looked_mono_ns = now_mono_ns;
	if (!++w->round)
		w->round = 1;
	if (w->options.ipv4)
		kinds |= SOCKETS_IPV4;
	if (w->options.sockets)
		err = sockets_each(w->options.sockets, kinds, seen, &look);
	if (kinds & SOCKETS_TCP)
		w->counters.left_out = look.left_out;
	for (size_t i = 0; i < look.n; i++)
		if (look.found[i].known)
			watch_closed(w, &look.found[i].info.key);
	for (size_t i = 0; i < look.n; i++)
		begin(w, &look.found[i].info, 0);
	free(look.found);
	for (uint32_t i = 0; !err && i < w->used; i++) {
		struct flow_key key = w->entries[i].key;

		if (key.family && w->entries[i].round != w->round &&
		    kinds & (key.protocol == IPPROTO_TCP ? SOCKETS_TCP : SOCKETS_UDP))
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

static int wants_all(const struct watch_options *o)
{
	return o->scan || o->wildcards;
}

static int open_program(struct watch *w)
{
	w->skops_sees_all = wants_all(&w->options);
	return skops_open(&w->skops, w->skops_sees_all ? NULL : w->options.cgroup);
}

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
	err = options->no_program ? -ENOSYS : open_program(w);
	if (err && !options->no_program)
		log_msg(LOG_LEVEL_WARN, "watch",
			"no program for connections on the cgroup (%s): looking at all sockets "
			"every %d s instead",
			strerror(-err), LOOK_S);
	look(w, SOCKETS_TCP | SOCKETS_UDP, clock_mono_ns(), 0);
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
	uint64_t lost = w->skops ? skops_lost(w->skops) : w->counters.lost;
	int missed = lost != w->counters.lost;
	int64_t waited_ns = now_mono_ns - w->looked_mono_ns;
	int patient = w->skops && !(w->counters.left_out && has_room_for_wildcards(w, 0));

	w->counters.lost = lost;
	if (missed || waited_ns >= (patient ? LOOK_SLOW_S : LOOK_S) * NS_PER_S)
		look(w, SOCKETS_TCP | SOCKETS_UDP, now_mono_ns, 0);
	else if (w->options.wildcards &&
		 now_mono_ns - w->looked_at_udp_mono_ns >= LOOK_S * NS_PER_S)
		look(w, SOCKETS_UDP, now_mono_ns, 0);
}

void watch_set(struct watch *w, const struct watch_options *options)
{
	struct watch_options *o = &w->options;

	o->iperf = options->iperf;
	o->scan = options->scan;
	o->wildcards = options->wildcards;
	o->wildcards_max = options->wildcards_max;
	o->loopback = options->loopback;
	o->ipv4 = options->ipv4;
	o->cgroup = options->cgroup;
	set_iperf_cgroup(w);
	if (w->skops && wants_all(o) && !w->skops_sees_all) {
		skops_close(w->skops);
		w->skops = NULL;
		open_program(w);
	}
	look(w, SOCKETS_TCP | SOCKETS_UDP, clock_mono_ns(), 1);
}

void watch_count(const struct watch *w, struct watch_counters *out)
{
	*out = w->counters;
}
