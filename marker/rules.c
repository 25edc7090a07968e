#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "marker/cgroup.h"
#include "marker/rules.h"

#define HINTS_MAX 1024

struct row {
	struct flow_key key; /* family 0: empty */
	struct scitag tag;
	uint8_t carrier;
	uint8_t standing, configured, ending;
	uint8_t socket_seen;
	uint64_t round;       /* of sockets, in which it was last seen */
	int64_t ends_mono_ns; /* if ending */
};

/* A path MTU that the kernel was told of. */
struct hint {
	uint8_t dst_ip[16];
	uint32_t mtu;
};

struct rules {
	const struct marker_config *cfg;
	struct mark *mark;
	struct rules_hooks hooks;
	enum scitag_carrier carrier;
	struct row *rows; /* open addressing, linear probing, at most half full */
	size_t mask, n_ending;
	uint32_t room_bytes;
	uint64_t secret;
	struct rules_counters counters;
	struct mark_rule wild[MARK_MAX_RULES];                /* counters.wildcards of them */
	char wild_cgroups[MARK_MAX_RULES][CGROUP_PATH_BYTES]; /* of those that have one */
	struct hint hints[HINTS_MAX];
	size_t n_hints;
};

const char *rules_refusal_name(enum rules_refusal r)
{
	static const char *const names[] = {
		[RULES_REFUSED_FULL] = "full",
		[RULES_REFUSED_FAMILY] = "ipv4",
		[RULES_REFUSED_RANGE] = "range",
		[RULES_REFUSED_UNKNOWN] = "unknown_flow",
		[RULES_REFUSED_ANNOUNCE] = "announce_only",
		[RULES_REFUSED_FAILED] = "kernel",
	};

	return r < RULES_REFUSAL_COUNT ? names[r] : "unknown";
}

/* --- texts ------------------------------------------------------------------------------------- */

static int is_any(const char *text)
{
	return !text || !*text || !strcasecmp(text, "any");
}

int rules_prefix(uint64_t ip[2], uint64_t mask[2], const char *text)
{
	char buf[INET6_ADDRSTRLEN + 8];
	uint8_t bytes[16], bits[16] = {0};
	unsigned long n = 128;
	char *slash, *end;

	if (is_any(text)) {
		memset(ip, 0, 16);
		memset(mask, 0, 16);
		return 0;
	}
	if (strlen(text) >= sizeof(buf))
		return -EINVAL;
	strcpy(buf, text);
	slash = strchr(buf, '/');
	if (slash) {
		*slash++ = 0;
		n = strtoul(slash, &end, 10);
		if (*slash < '0' || *slash > '9' || *end || n > 128)
			return -EINVAL;
	}
	if (inet_pton(AF_INET6, buf, bytes) != 1)
		return -EINVAL;
	for (unsigned long i = 0; i < n; i++)
		bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
	for (int i = 0; i < 16; i++)
		bytes[i] &= bits[i];
	memcpy(ip, bytes, 16);
	memcpy(mask, bits, 16);
	return 0;
}

static int take_port(uint16_t *port, const char **text)
{
	char *end;
	unsigned long n;

	if (**text < '0' || **text > '9')
		return -EINVAL;
	n = strtoul(*text, &end, 10);
	if (n > 65535)
		return -EINVAL;
	*port = (uint16_t)n;
	*text = end;
	return 0;
}

int rules_ports(uint16_t *min, uint16_t *max, const char *text)
{
	uint16_t low = 0, high = 65535;

	if (!is_any(text)) {
		if (take_port(&low, &text))
			return -EINVAL;
		high = low;
		if (*text == '-') {
			text++;
			if (take_port(&high, &text))
				return -EINVAL;
		}
		if (*text || high < low)
			return -EINVAL;
	}
	*min = low;
	*max = high;
	return 0;
}

int rules_protocol(const char *text)
{
	static const struct {
		const char *name;
		int number;
	} known[] = {{"tcp", 6}, {"udp", 17}, {"sctp", 132}};
	uint16_t min, max;

	if (is_any(text))
		return 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcasecmp(text, known[i].name))
			return known[i].number;
	if (rules_ports(&min, &max, text) || min != max || min > 255)
		return -EINVAL;
	return min;
}

int rules_uid(uint32_t *uid, const char *text)
{
	const struct passwd *pw;
	char *end;
	unsigned long n;

	if (!text || !*text)
		return -EINVAL;
	n = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && n < UINT32_MAX) {
		*uid = (uint32_t)n;
		return 0;
	}
	pw = getpwnam(text);
	if (!pw)
		return -EINVAL;
	*uid = pw->pw_uid;
	return 0;
}

static int is_one_address(const char *text)
{
	uint64_t ip[2], mask[2];

	return !is_any(text) && !rules_prefix(ip, mask, text) && !~mask[0] && !~mask[1];
}

static int is_one_port(const char *text)
{
	uint16_t min, max;

	return !rules_ports(&min, &max, text) && min == max;
}

int rules_is_flow(const struct marker_rule *rule)
{
	return is_one_address(rule->src) && is_one_address(rule->dst) &&
	       is_one_port(rule->src_port) && is_one_port(rule->dst_port) &&
	       rules_protocol(rule->protocol) > 0 && !rule->uid && !rule->cgroup;
}

/* A cgroup as the kernel's helper names it: its inode, and its depth below the root. */
static int cgroup_of(const char *text, char path[CGROUP_PATH_BYTES], uint64_t *id, uint8_t *level)
{
	char root[CGROUP_PATH_BYTES];
	int err = cgroup_resolve(path, CGROUP_PATH_BYTES, text), depth = 0;

	if (!err)
		err = cgroup_root(root, sizeof(root));
	if (err)
		return err;
	*id = cgroup_id(path);
	for (const char *p = path + strlen(root); *p; p++)
		depth += *p != '/' && p[-1] == '/';
	*level = (uint8_t)depth;
	return 0;
}

/* --- tags -------------------------------------------------------------------------------------- */

static uint32_t spread_entropy(uint64_t h)
{
	return (uint32_t)((h & 3) << 18 | (h >> 2 & 1) << 8 | (h >> 3 & 3));
}

static uint32_t entropy(const struct rules *r, const struct flow_key *key)
{
	uint64_t h = r->secret, k[5];

	switch (r->cfg->entropy) {
	case MARKER_ENTROPY_ZERO:
		return 0;
	case MARKER_ENTROPY_HASH: /* as the kernel half does it for wildcards */
		memcpy(k, key, sizeof(k));
		for (int i = 0; i < 5; i++) {
			h = (h ^ k[i]) * 0x9e3779b97f4a7c15ULL;
			h ^= h >> 32;
		}
		return spread_entropy(h);
	default:
		if (getrandom(&h, sizeof(h), 0) != sizeof(h))
			h ^= (uint64_t)clock_mono_ns();
		return spread_entropy(h);
	}
}

static int make_tag(const struct rules *r, struct mark_tag *out, struct scitag tag,
		    enum scitag_carrier carrier, uint32_t bits)
{
	struct mark_tag t = {.carrier = (uint8_t)carrier};
	int err = scitag_label_encode(&t.label, tag.experiment, tag.activity, bits);

	if (err)
		return err;
	if (scitag_option_emit(t.option, SCITAG_DIALECT_PLAIN, tag, 0) < 0)
		return -ERANGE;
	t.option[0] = (uint8_t)r->cfg->option_type;
	*out = t;
	return 0;
}

static uint32_t carrier_room(enum scitag_carrier carrier)
{
	return carrier == CARRIER_HOP_BY_HOP_DESTINATION ? 16 : carrier > CARRIER_LABEL ? 8 : 0;
}

static void need_room(struct rules *r, enum scitag_carrier carrier)
{
	if (carrier_room(carrier) > r->room_bytes)
		r->room_bytes = carrier_room(carrier);
}

static int publish_settings(struct rules *r)
{
	struct mark_settings s = {.room_bytes = r->room_bytes,
				  .n_prefixes = (uint32_t)r->cfg->room_for.n};

	if (!r->mark)
		return 0;
	if (r->cfg->entropy != MARKER_ENTROPY_ZERO)
		s.entropy_key = r->secret;
	for (size_t i = 0; i < r->cfg->room_for.n && i < MARK_MAX_PREFIXES; i++) {
		uint64_t ip[2], mask[2];

		if (rules_prefix(ip, mask, r->cfg->room_for.items[i]))
			return -EINVAL;
		memcpy(s.prefixes[i].ip, ip, sizeof(ip));
		memcpy(s.prefixes[i].mask, mask, sizeof(mask));
	}
	return mark_set_settings(r->mark, &s);
}

/* --- the table --------------------------------------------------------------------------------- */

static size_t slot_of(const struct rules *r, const struct flow_key *key)
{
	uint64_t k[5], h = r->secret;

	memcpy(k, key, sizeof(k));
	for (int i = 0; i < 5; i++) {
		h = (h ^ k[i]) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return (size_t)h & r->mask;
}

static struct row *find(const struct rules *r, const struct flow_key *key)
{
	for (size_t i = slot_of(r, key); r->rows[i].key.family; i = (i + 1) & r->mask)
		if (!memcmp(&r->rows[i].key, key, sizeof(*key)))
			return &r->rows[i];
	return NULL;
}

static struct row *add(struct rules *r, const struct flow_key *key)
{
	size_t i = slot_of(r, key);

	while (r->rows[i].key.family)
		i = (i + 1) & r->mask;
	memset(&r->rows[i], 0, sizeof(r->rows[i]));
	r->rows[i].key = *key;
	r->counters.active++;
	return &r->rows[i];
}

/* Take a row out and close the gap, so that no probe ends early. */
static void take_out(struct rules *r, struct row *row)
{
	size_t gap = (size_t)(row - r->rows);

	r->n_ending -= row->ending;
	r->counters.active--;
	for (size_t i = (gap + 1) & r->mask; r->rows[i].key.family; i = (i + 1) & r->mask) {
		size_t home = slot_of(r, &r->rows[i].key);

		/* may the row at i stand in the gap? not if its home lies behind the gap */
		if (((i - home) & r->mask) >= ((i - gap) & r->mask)) {
			r->rows[gap] = r->rows[i];
			gap = i;
		}
	}
	r->rows[gap].key.family = 0;
}

static void finish(struct rules *r, struct row *row)
{
	struct flow_key key = row->key;

	if (r->hooks.end) /* while its counts are still there */
		r->hooks.end(r->hooks.arg, &key);
	if (r->mark)
		mark_drop(r->mark, &key);
	take_out(r, row);
}

/* Only a TCP or SCTP connection says goodbye: other flows end at once. */
static void end(struct rules *r, struct row *row, int64_t now_mono_ns)
{
	struct mark_flow flow;

	if (row->ending)
		return;
	if (!r->cfg->linger_s || row->key.protocol == IPPROTO_UDP) {
		finish(r, row);
		return;
	}
	row->ending = 1;
	row->ends_mono_ns = now_mono_ns + (int64_t)r->cfg->linger_s * NS_PER_S;
	r->n_ending++;
	/* A flow that never sent has not shown its SYN: the next one is not its own. One that has sent
	 * is recognised by the kernel half alone, and rewriting it would lose counts. */
	if (r->mark && !mark_get(r->mark, &row->key, &flow) && !flow.seen_ns) {
		flow.flags |= MARK_FLOW_ENDED;
		mark_put(r->mark, &row->key, &flow);
	}
}

static void take_over(void *arg, const struct flow_key *key, const struct mark_flow *flow)
{
	struct rules *r = arg;
	struct row *row;

	if (r->counters.active >= (r->mask + 1) / 2)
		return;
	row = add(r, key);
	row->tag = scitag_label_decode(flow->tag.label);
	row->carrier = flow->tag.carrier;
	row->standing = !(flow->flags & MARK_FLOW_ONCE);
	row->configured = row->standing;
	need_room(r, (enum scitag_carrier)flow->tag.carrier);
	if (flow->flags & MARK_FLOW_ENDED)
		end(r, row, clock_mono_ns());
}

int rules_open(struct rules **out, const struct marker_config *cfg, struct mark *m,
	       enum scitag_carrier carrier, const struct rules_hooks *hooks)
{
	struct rules *r = calloc(1, sizeof(*r));
	struct mark_settings settings;
	size_t n = 64;

	if (!r)
		return -ENOMEM;
	while (n < 2 * (size_t)cfg->flows_max)
		n *= 2;
	r->cfg = cfg;
	r->mark = m;
	r->carrier = carrier;
	if (hooks)
		r->hooks = *hooks;
	r->mask = n - 1;
	r->rows = calloc(n, sizeof(*r->rows));
	if (!r->rows) {
		free(r);
		return -ENOMEM;
	}
	/* a predecessor's key goes on, and with it the entropy of the flows that wildcards match */
	if (m) {
		mark_get_settings(m, &settings);
		r->secret = settings.entropy_key;
	}
	while (!r->secret)
		if (getrandom(&r->secret, sizeof(r->secret), 0) != sizeof(r->secret))
			r->secret = (uint64_t)clock_mono_ns();
	if (m)
		mark_each(m, take_over, r);
	*out = r;
	return 0;
}

void rules_close(struct rules *r)
{
	if (!r)
		return;
	free(r->rows);
	free(r);
}

/* --- events ------------------------------------------------------------------------------------ */

static int refuse(struct rules *r, enum rules_refusal why, enum rules_refusal *out)
{
	r->counters.refused[why]++;
	if (out)
		*out = why;
	return -EINVAL;
}

static int start(struct rules *r, const struct rules_flow_event *e, enum rules_refusal *why)
{
	struct mark_flow flow = {.flags = e->standing ? 0 : MARK_FLOW_ONCE}, old;
	enum scitag_carrier carrier = e->carrier ? e->carrier : r->carrier;
	struct row *row = find(r, &e->key);
	int known = row != NULL, err = 0;
	uint32_t room_before = r->room_bytes;

	if (e->key.family != 6)
		return refuse(r, RULES_REFUSED_FAMILY, why);
	if (!e->tag.experiment && !e->tag.activity)
		return refuse(r, RULES_REFUSED_ANNOUNCE, why);
	if (make_tag(r, &flow.tag, e->tag, carrier, entropy(r, &e->key)))
		return refuse(r, RULES_REFUSED_RANGE, why);
	if (!known && r->counters.active >= (size_t)r->cfg->flows_max)
		return refuse(r, RULES_REFUSED_FULL, why);
	if (known && r->mark && !mark_get(r->mark, &e->key, &old)) {
		memcpy(flow.counts, old.counts, sizeof(flow.counts));
		if (!row->ending && row->tag.experiment == e->tag.experiment &&
		    row->tag.activity == e->tag.activity)
			flow.tag.label = old.tag.label; /* for the life of the flow */
	}
	need_room(r, carrier);
	if (r->room_bytes != room_before)
		publish_settings(r);
	if (!known)
		row = add(r, &e->key);
	r->n_ending -= row->ending;
	row->ending = 0;
	row->socket_seen = 0;
	row->tag = e->tag;
	row->carrier = (uint8_t)carrier;
	row->standing = (uint8_t) !!e->standing;
	if (r->hooks.begin)
		r->hooks.begin(r->hooks.arg, &e->key, &flow);
	if (r->mark)
		err = mark_put(r->mark, &e->key, &flow);
	if (err) {
		take_out(r, row);
		return refuse(r, err == -E2BIG ? RULES_REFUSED_FULL : RULES_REFUSED_FAILED, why);
	}
	if (known)
		r->counters.renewed++;
	else
		r->counters.started++;
	return 0;
}

int rules_handle(struct rules *r, const struct rules_flow_event *e, int64_t now_mono_ns,
		 enum rules_refusal *why)
{
	struct row *row;

	r->counters.received++;
	switch (e->event) {
	case RULES_START:
		return start(r, e, why);
	case RULES_END:
		row = find(r, &e->key);
		if (!row || row->ending)
			return refuse(r, RULES_REFUSED_UNKNOWN, why);
		end(r, row, now_mono_ns);
		r->counters.ended++;
		return 0;
	default: /* still there: nothing to do, known or not */
		r->counters.renewed++;
		return 0;
	}
}

void rules_gone(struct rules *r, const struct flow_key *key, uint64_t cookie, int64_t now_mono_ns)
{
	struct row *row = find(r, key);
	struct mark_flow flow;

	if (!row || row->standing || row->ending)
		return;
	/* word of it comes late: the ports may be another connection's by now */
	if (r->mark && (mark_get(r->mark, key, &flow) || flow.cookie != cookie))
		return;
	end(r, row, now_mono_ns);
	r->counters.gone++;
}

void rules_seen(struct rules *r, const struct flow_key *key, uint64_t round)
{
	struct row *row = find(r, key);

	if (!row)
		return;
	row->socket_seen = 1;
	row->round = round;
}

static int in_range(uint16_t port, uint16_t min, uint16_t max)
{
	return port >= min && port <= max;
}

static int has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* As the kernel half compares, but for user and cgroup, which may match. */
static int may_match(const struct mark_rule *rule, const struct flow_key *key)
{
	uint64_t src[2], dst[2];

	memcpy(src, key->src_ip, 16);
	memcpy(dst, key->dst_ip, 16);
	for (int i = 0; i < 2; i++)
		if ((src[i] ^ rule->src_ip[i]) & rule->src_mask[i] ||
		    (dst[i] ^ rule->dst_ip[i]) & rule->dst_mask[i])
			return 0;
	return (rule->protocol ? rule->protocol == key->protocol : has_ports(key->protocol)) &&
	       in_range(key->src_port, rule->src_port_min, rule->src_port_max) &&
	       in_range(key->dst_port, rule->dst_port_min, rule->dst_port_max);
}

int rules_has(const struct rules *r, const struct flow_key *key)
{
	const struct row *row = find(r, key);

	return row && !row->standing;
}

/* What the kernel half leaves alone, and its like in IPv4. */
static int is_wide_area(const struct flow_key *key)
{
	const uint8_t *ip = key->dst_ip;

	if (key->family == 4)
		return (ip[12] & 0xf0) != 0xe0 && ip[12] != 0xff &&
		       !(ip[12] == 169 && ip[13] == 254);
	return ip[0] != 0xff && !(ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}

int rules_match(const struct rules *r, const struct socket_info *info, struct scitag *tag)
{
	const struct row *row = find(r, &info->key);

	if (row && row->standing) {
		*tag = row->tag;
		return 0;
	}
	if (row || !is_wide_area(&info->key))
		return -ENOENT;
	for (size_t i = 0; i < r->counters.wildcards; i++) {
		const struct mark_rule *w = &r->wild[i];

		if (!may_match(w, &info->key) ||
		    (w->flags & MARK_RULE_UID && w->uid != info->uid) ||
		    (w->flags & MARK_RULE_CGROUP &&
		     !cgroup_is_below(info->cgroup_id, r->wild_cgroups[i])))
			continue;
		*tag = scitag_label_decode(w->tag.label);
		return 0;
	}
	return -ENOENT;
}

/* Bytes that this flow's packets grow by. */
static uint32_t room_of(const struct rules *r, const struct flow_key *key)
{
	const struct row *row = find(r, key);

	if (row)
		return carrier_room((enum scitag_carrier)row->carrier);
	for (size_t i = 0; i < r->counters.wildcards; i++)
		if (may_match(&r->wild[i], key))
			return carrier_room((enum scitag_carrier)r->wild[i].tag.carrier);
	return 0;
}

uint32_t rules_hint(struct rules *r, const struct flow_key *key, uint32_t packet_bytes_max,
		    uint32_t path_mtu)
{
	uint32_t room = room_of(r, key);
	size_t i = 0;

	if (!room || packet_bytes_max + room <= path_mtu || path_mtu < MARK_IPV6_MTU_MIN + room)
		return 0;
	while (i < r->n_hints && memcmp(r->hints[i].dst_ip, key->dst_ip, 16))
		i++;
	if (i < r->n_hints && r->hints[i].mtu == path_mtu)
		return 0; /* it is in force: the path itself is wider by the room */
	if (i == HINTS_MAX)
		i = r->n_hints =
			0; /* start again: at worst somebody's path gets narrower by 8 bytes */
	memcpy(r->hints[i].dst_ip, key->dst_ip, 16);
	r->hints[i].mtu = path_mtu - room;
	if (i == r->n_hints)
		r->n_hints++;
	return path_mtu - room;
}

void rules_sweep(struct rules *r, uint64_t round, int64_t now_mono_ns)
{
	for (size_t i = 0; i <= r->mask; i++) {
		struct row *row = &r->rows[i];
		struct mark_flow flow;

		if (!row->key.family || row->standing || row->ending)
			continue;
		if (row->socket_seen && row->round != round) {
			end(r, row, now_mono_ns);
			r->counters.gone++;
		} else if (!row->socket_seen && r->cfg->idle_s && r->mark &&
			   !mark_get(r->mark, &row->key, &flow) && flow.seen_ns &&
			   now_mono_ns - (int64_t)flow.seen_ns >
				   (int64_t)r->cfg->idle_s * NS_PER_S) {
			end(r, row, now_mono_ns);
			r->counters.idle++;
		}
	}
}

void rules_tick(struct rules *r, int64_t now_mono_ns)
{
	/* taking a row out moves others: look at the same place again */
	for (size_t i = 0; r->n_ending && i <= r->mask;) {
		struct row *row = &r->rows[i];

		if (row->key.family && row->ending && row->ends_mono_ns <= now_mono_ns)
			finish(r, row);
		else
			i++;
	}
}

/* --- the configuration's own ------------------------------------------------------------------- */

static int flow_event(struct rules_flow_event *e, const struct marker_rule *rule)
{
	uint64_t ip[2], mask[2];
	uint16_t max;

	if (rules_prefix(ip, mask, rule->src))
		return -EINVAL;
	memcpy(e->key.src_ip, ip, 16);
	if (rules_prefix(ip, mask, rule->dst) ||
	    rules_ports(&e->key.src_port, &max, rule->src_port) ||
	    rules_ports(&e->key.dst_port, &max, rule->dst_port))
		return -EINVAL;
	memcpy(e->key.dst_ip, ip, 16);
	e->key.protocol = (uint8_t)rules_protocol(rule->protocol);
	e->key.family = 6;
	return 0;
}

static int wildcard(struct mark_rule *out, char cgroup[CGROUP_PATH_BYTES],
		    const struct marker_rule *rule)
{
	uint64_t ip[2], mask[2];
	uint16_t min, max;
	int protocol = rules_protocol(rule->protocol);

	if (protocol < 0 || rules_prefix(ip, mask, rule->src))
		return -EINVAL;
	out->protocol = (uint8_t)protocol;
	memcpy(out->src_ip, ip, 16);
	memcpy(out->src_mask, mask, 16);
	if (rules_prefix(ip, mask, rule->dst) || rules_ports(&min, &max, rule->src_port))
		return -EINVAL;
	memcpy(out->dst_ip, ip, 16);
	memcpy(out->dst_mask, mask, 16);
	out->src_port_min = min;
	out->src_port_max = max;
	if (rules_ports(&min, &max, rule->dst_port))
		return -EINVAL;
	out->dst_port_min = min;
	out->dst_port_max = max;
	if (rule->uid) {
		uint32_t uid;

		if (rules_uid(&uid, rule->uid))
			return -EINVAL;
		out->uid = uid;
		out->flags |= MARK_RULE_UID;
	}
	if (rule->cgroup) {
		uint64_t id = 0;
		int err = cgroup_of(rule->cgroup, cgroup, &id, &out->cgroup_level);

		if (err)
			return err;
		out->cgroup_id = id;
		out->flags |= MARK_RULE_CGROUP;
	}
	return 0;
}

int rules_configure(struct rules *r, const struct marker_config *cfg, const struct registry *reg,
		    enum scitag_carrier carrier)
{
	const struct marker_rule all = {.experiment = cfg->experiment, .activity = cfg->activity};
	const struct marker_rule *rules = cfg->rules.items;
	struct mark_rule *wild = calloc(MARK_MAX_RULES, sizeof(*wild));
	size_t n = 0, n_rules = cfg->rules.n + !!cfg->match_all;
	int result = wild ? 0 : -ENOMEM;

	r->cfg = cfg;
	r->carrier = carrier;
	r->room_bytes = carrier_room(carrier);
	for (size_t i = 0; i <= r->mask; i++) {
		if (r->rows[i].key.family)
			need_room(r, (enum scitag_carrier)r->rows[i].carrier);
		if (r->rows[i].configured)
			r->rows[i].configured = 2; /* to be confirmed, or it goes */
	}
	for (size_t i = 0; wild && i < n_rules; i++) {
		const struct marker_rule *rule = i < cfg->rules.n ? &rules[i] : &all;
		struct rules_flow_event e = {.event = RULES_START, .standing = 1};
		enum rules_refusal refusal;
		char why[128] = "";
		int err;

		e.carrier = rule->strategy ? (enum scitag_carrier)marker_strategy(rule->strategy)
					   : carrier;
		err = marker_tag(&e.tag, reg, rule->experiment, rule->activity, why, sizeof(why));
		if (!err && !e.tag.experiment) {
			snprintf(why, sizeof(why), "0/0 cannot be marked");
			err = -EINVAL;
		}
		if (!err && rules_is_flow(rule)) {
			err = flow_event(&e, rule);
			if (!err && rules_handle(r, &e, clock_mono_ns(), &refusal)) {
				err = -EINVAL;
				snprintf(why, sizeof(why), "refused: %s",
					 rules_refusal_name(refusal));
			}
			if (!err)
				find(r, &e.key)->configured = 1;
		} else if (!err && n < MARK_MAX_RULES) {
			err = wildcard(&wild[n], r->wild_cgroups[n], rule);
			if (!err)
				err = make_tag(r, &wild[n].tag, e.tag, e.carrier, 0);
			if (!err) {
				need_room(r, e.carrier);
				n++;
			} else {
				memset(&wild[n], 0, sizeof(wild[n]));
				snprintf(why, sizeof(why), "%s", strerror(-err));
			}
		}
		if (err) {
			log_msg(LOG_LEVEL_ERROR, "rules", "rule %zu: %s", i + 1, why);
			result = -EINVAL;
		}
	}
	for (size_t i = 0; i <= r->mask;) /* taking a row out moves others */
		if (r->rows[i].key.family && r->rows[i].configured == 2)
			finish(r, &r->rows[i]);
		else
			i++;
	if (r->mark && wild) {
		int err = mark_set_rules(r->mark, wild, n);

		if (!err)
			err = publish_settings(r);
		if (err)
			result = log_fail(err, "rules", "set the wildcards");
	}
	if (wild)
		memcpy(r->wild, wild, sizeof(r->wild));
	r->counters.wildcards = n;
	free(wild);
	return result;
}

/* --- looking ----------------------------------------------------------------------------------- */

void rules_count(const struct rules *r, struct rules_counters *out)
{
	*out = r->counters;
}

uint32_t rules_room(const struct rules *r)
{
	return r->room_bytes;
}

int rules_wants_sockets(const struct rules *r)
{
	return r->counters.active > 0 || (r->counters.wildcards && r->room_bytes);
}

void rules_each(const struct rules *r,
		void (*each)(void *arg, const struct flow_key *key, const struct scitag *tag,
			     enum scitag_carrier carrier, int ending),
		void *arg)
{
	for (size_t i = 0; i <= r->mask; i++) {
		const struct row *row = &r->rows[i];

		if (row->key.family)
			each(arg, &row->key, &row->tag, (enum scitag_carrier)row->carrier,
			     row->ending);
	}
}
