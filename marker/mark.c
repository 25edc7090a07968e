#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "marker/mark.h"
#include "marker/mark.skel.h"
#include "marker/netlink.h"
#include "marker/nic.h"

#define BPFFS_DEFAULT "/sys/fs/bpf"
#define BPFFS_MAGIC   0xcafe4a11
#define HANDLE        0x5c17a6 /* of our clsact filters */
#define PRIO_MAX      32
#define PATH_BYTES    256

/* Newer than the headers of Debian 12; the numbers are ABI. */
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS  47

enum { INGRESS = 0, EGRESS = 1 };

static const char *const program_names[] = {[INGRESS] = "mark_ingress", [EGRESS] = "mark_egress"};

enum map_index {
	MAP_FLOWS = 0,
	MAP_RULES,
	MAP_SETTINGS,
	MAP_BEAT,
	MAP_IFACES,
	MAP_NARROW,
	MAP_FRAGMENTS,
	MAP_COUNT
};
static const char *const map_names[] = {
	[MAP_FLOWS] = "mark_flows",         [MAP_RULES] = "mark_rules",
	[MAP_SETTINGS] = "mark_settings",   [MAP_BEAT] = "mark_beat",
	[MAP_IFACES] = "mark_ifaces",       [MAP_NARROW] = "mark_narrow",
	[MAP_FRAGMENTS] = "mark_fragments",
};

struct mark {
	struct mark_bpf *skel;
	struct mark_options opt;
	char bpffs[PATH_BYTES / 2];
	int map[MAP_COUNT];            /* owned by skel */
	struct mark_settings settings; /* as in the map */
};

/* Where one of our programs hangs. */
struct hook {
	uint32_t ifindex;
	int direction;
	int tcx;
	uint32_t prog_id, link_id; /* 0: nothing of ours here */
	uint32_t prio;
};

static int __attribute__((format(printf, 2, 0)))
to_debug_log(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[512];
	size_t n;

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), fmt, args);
	n = strcspn(line, "\n");
	line[n] = 0;
	log_msg(LOG_LEVEL_DEBUG, "libbpf", "%s", line);
	return 0;
}

const char *mark_result_name(enum mark_result r)
{
	static const char *const names[] = {
		[MARK_DONE] = "marked",     [MARK_NO_ROOM] = "no_room", [MARK_MTU] = "mtu",
		[MARK_VLAN] = "vlan",       [MARK_CHAIN] = "chain",     [MARK_JUMBO] = "jumbo",
		[MARK_ALREADY] = "already", [MARK_STALE] = "stale",     [MARK_ASLEEP] = "asleep",
		[MARK_UNDONE] = "undone",
	};

	return r < MARK_RESULT_COUNT ? names[r] : "unknown";
}

/* --- finding what is ours ---------------------------------------------------------------------- */

static int program_is_ours(uint32_t prog_id, int direction)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog_id), ours;

	if (fd < 0)
		return 0;
	ours = !bpf_obj_get_info_by_fd(fd, &info, &len) &&
	       !strcmp(info.name, program_names[direction]);
	close(fd);
	return ours;
}

static void find_tcx(struct hook *h)
{
	struct { /* union bpf_attr, query, as of Linux 6.6 */
		uint32_t target, attach_type, query_flags, attach_flags;
		uint64_t prog_ids;
		uint32_t count, pad;
		uint64_t prog_attach_flags, link_ids, link_attach_flags, revision;
	} q = {.target = h->ifindex,
	       .attach_type = h->direction == EGRESS ? ATTACH_TCX_EGRESS : ATTACH_TCX_INGRESS};
	uint32_t progs[64] = {0}, links[64] = {0};

	q.prog_ids = (uint64_t)(uintptr_t)progs;
	q.link_ids = (uint64_t)(uintptr_t)links;
	q.count = 64;
	if (syscall(SYS_bpf, BPF_PROG_QUERY, &q, sizeof(q)))
		return;
	for (uint32_t i = 0; i < q.count && i < 64; i++)
		if (links[i] && program_is_ours(progs[i], h->direction)) {
			h->tcx = 1;
			h->prog_id = progs[i];
			h->link_id = links[i];
			return;
		}
}

static enum bpf_tc_attach_point tc_point(int direction)
{
	return direction == EGRESS ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

struct scan {
	int direction;
	int has_clsact;
	int filters;       /* of anybody, in both directions */
	struct hook *ours; /* to be filled, or NULL */
};

static int see_qdisc(void *arg, const struct nlmsghdr *answer)
{
	struct scan *scan = arg;
	struct tcmsg tc;
	const char *kind;

	if (answer->nlmsg_type != RTM_NEWQDISC || answer->nlmsg_len < NLMSG_LENGTH(sizeof(tc)))
		return 0;
	memcpy(&tc, NLMSG_DATA(answer), sizeof(tc));
	kind = netlink_find(answer, sizeof(tc), TCA_KIND, 7);
	/* an ingress qdisc has the same parent, but takes no egress filters */
	if (tc.tcm_parent == TC_H_CLSACT && kind && !memcmp(kind, "clsact", 7))
		scan->has_clsact = 1;
	return 0;
}

static int see_filter(void *arg, const struct nlmsghdr *answer)
{
	struct scan *scan = arg;
	struct tcmsg tc;
	const void *options, *id;
	size_t options_bytes;
	uint32_t prog_id;

	if (answer->nlmsg_type != RTM_NEWTFILTER || answer->nlmsg_len < NLMSG_LENGTH(sizeof(tc)))
		return 0;
	memcpy(&tc, NLMSG_DATA(answer), sizeof(tc));
	if (!tc.tcm_handle) /* the chain's own entry, which every classifier has */
		return 0;
	scan->filters++;
	if (tc.tcm_handle != HANDLE || !scan->ours || scan->ours->direction != scan->direction)
		return 0;
	options = netlink_find_in((const uint8_t *)NLMSG_DATA(answer) + NLMSG_ALIGN(sizeof(tc)),
				  answer->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof(tc))),
				  TCA_OPTIONS, 0, &options_bytes);
	id = options ? netlink_find_in(options, options_bytes, TCA_BPF_ID, 4, NULL) : NULL;
	if (!id)
		return 0;
	memcpy(&prog_id, id, sizeof(prog_id));
	if (program_is_ours(prog_id, scan->direction)) {
		scan->ours->prog_id = prog_id;
		scan->ours->prio = tc.tcm_info >> 16;
	}
	return 0;
}

/* Look at the qdisc and the filters of an interface. */
static int scan_iface(uint32_t ifindex, struct scan *scan)
{
	struct tcmsg tc = {.tcm_family = AF_UNSPEC, .tcm_ifindex = (int)ifindex};
	struct netlink_request r;
	int fd = netlink_open(NETLINK_ROUTE), err;

	if (fd < 0)
		return fd;
	netlink_begin(&r, RTM_GETQDISC, NLM_F_DUMP, &tc, sizeof(tc));
	err = netlink_ask(fd, &r, see_qdisc, scan);
	for (int direction = INGRESS; !err && scan->has_clsact && direction <= EGRESS;
	     direction++) {
		scan->direction = direction;
		tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT,
					  direction == EGRESS ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
		netlink_begin(&r, RTM_GETTFILTER, NLM_F_DUMP, &tc, sizeof(tc));
		err = netlink_ask(fd, &r, see_filter, scan);
	}
	close(fd);
	return err;
}

static struct hook find(uint32_t ifindex, int direction)
{
	struct hook h = {.ifindex = ifindex, .direction = direction};
	struct scan scan = {.ours = &h};

	find_tcx(&h);
	if (!h.prog_id)
		scan_iface(ifindex, &scan);
	return h;
}

/* Open the maps of a running program; those that it lacks stay -1. */
static int open_maps(uint32_t prog_id, int fds[MAP_COUNT])
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info), ids[32] = {0};
	int fd = bpf_prog_get_fd_by_id(prog_id), err;

	for (int i = 0; i < MAP_COUNT; i++)
		fds[i] = -1;
	if (fd < 0)
		return -errno;
	info.map_ids = (uint64_t)(uintptr_t)ids;
	info.nr_map_ids = 32;
	err = bpf_obj_get_info_by_fd(fd, &info, &len);
	close(fd);
	if (err)
		return err;
	for (uint32_t i = 0; i < info.nr_map_ids && i < 32; i++) {
		struct bpf_map_info map = {0};
		int map_fd = bpf_map_get_fd_by_id(ids[i]), taken = 0;

		len = sizeof(map);
		if (map_fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(map_fd, &map, &len))
			for (int k = 0; k < MAP_COUNT && !taken; k++)
				if (fds[k] < 0 &&
				    !strncmp(map.name, map_names[k], BPF_OBJ_NAME_LEN - 1)) {
					fds[k] = map_fd;
					taken = 1;
				}
		if (!taken)
			close(map_fd);
	}
	return 0;
}

static void close_maps(int fds[MAP_COUNT])
{
	for (int i = 0; i < MAP_COUNT; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* --- loading, or adopting ---------------------------------------------------------------------- */

static void skeleton_maps(struct mark_bpf *skel, struct bpf_map *maps[MAP_COUNT])
{
	maps[MAP_FLOWS] = skel->maps.mark_flows;
	maps[MAP_RULES] = skel->maps.mark_rules;
	maps[MAP_SETTINGS] = skel->maps.mark_settings;
	maps[MAP_BEAT] = skel->maps.mark_beat;
	maps[MAP_IFACES] = skel->maps.mark_ifaces;
	maps[MAP_NARROW] = skel->maps.mark_narrow;
	maps[MAP_FRAGMENTS] = skel->maps.mark_fragments;
}

static int write_beat(int fd)
{
	struct timespec now;
	uint64_t beat_ns;
	uint32_t zero = 0;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	beat_ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
	return bpf_map_update_elem(fd, &zero, &beat_ns, BPF_ANY);
}

/* Take over a predecessor's maps, all of them or none. */
static int adopt(struct mark *m, uint32_t prog_id)
{
	struct bpf_map *maps[MAP_COUNT];
	struct mark_settings settings;
	uint32_t zero = 0;
	int fds[MAP_COUNT], adopted = 0;

	if (open_maps(prog_id, fds))
		return 0;
	skeleton_maps(m->skel, maps);
	if (fds[MAP_SETTINGS] < 0 || bpf_map_lookup_elem(fds[MAP_SETTINGS], &zero, &settings) ||
	    settings.layout != MARK_LAYOUT)
		goto out;
	for (int i = 0; i < MAP_COUNT; i++) {
		struct bpf_map_info info = {0};
		uint32_t len = sizeof(info);

		if (fds[i] < 0 || bpf_obj_get_info_by_fd(fds[i], &info, &len) ||
		    info.key_size != bpf_map__key_size(maps[i]) ||
		    info.value_size != bpf_map__value_size(maps[i]))
			goto out;
		if (i == MAP_FLOWS && info.max_entries != m->opt.flows_max)
			log_msg(LOG_LEVEL_WARN, "mark",
				"the running table of %u flows is kept; `clean` and a start resize "
				"it",
				info.max_entries);
	}
	for (int i = 0; i < MAP_COUNT; i++)
		if (bpf_map__reuse_fd(maps[i], fds[i]))
			goto out;
	write_beat(fds[MAP_BEAT]); /* now: loading takes its time */
	m->settings = settings;
	adopted = 1;
out:
	close_maps(fds);
	return adopted;
}

static int new_settings(struct mark_settings *s)
{
	memset(s, 0, sizeof(*s));
	s->layout = MARK_LAYOUT;
	if (getrandom(&s->secret, sizeof(s->secret), 0) != sizeof(s->secret))
		return -EIO;
	for (int i = 0; i < 5; i++)
		s->secret.odd[i] |= 1;
	return 0;
}

static void add_to_filter(void *arg, const struct flow_key *key, const struct mark_flow *flow);

static int write_settings(struct mark *m)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(m->map[MAP_SETTINGS], &zero, &m->settings, BPF_ANY);
}

int mark_open(struct mark **out, const struct mark_options *opt, const char *const *ifnames,
	      size_t n, int *adopted)
{
	struct mark *m = calloc(1, sizeof(*m));
	struct bpf_map *maps[MAP_COUNT];
	int err;

	if (!m)
		return log_fail(-ENOMEM, "mark", "open");
	libbpf_set_print(to_debug_log);
	m->opt = *opt;
	snprintf(m->bpffs, sizeof(m->bpffs), "%s", opt->bpffs ? opt->bpffs : BPFFS_DEFAULT);
	m->skel = mark_bpf__open();
	if (!m->skel) {
		err = log_fail(-ENOMEM, "mark", "open the programs");
		goto fail;
	}
	bpf_map__set_max_entries(m->skel->maps.mark_flows, opt->flows_max);
	*adopted = 0;
	err = 0;
	for (size_t i = 0; i < n && !*adopted && !opt->dry_run; i++) {
		struct hook h = find(if_nametoindex(ifnames[i]), EGRESS);

		if (!h.prog_id)
			continue;
		*adopted = adopt(m, h.prog_id);
		if (!*adopted)
			log_msg(LOG_LEVEL_WARN, "mark",
				"%s: the running programs are of another layout; their marks end",
				ifnames[i]);
	}
	if (!*adopted)
		err = new_settings(&m->settings);
	if (!err) {
		/* read-only data: what the table's places depend on costs nothing to look up */
		memcpy((void *)(uintptr_t)&m->skel->rodata->mark_secret, &m->settings.secret,
		       sizeof(m->settings.secret));
		err = mark_bpf__load(m->skel);
	}
	if (err) {
		log_fail(err, "mark", "load the programs%s",
			 err == -EPERM ? " (CAP_BPF and CAP_NET_ADMIN are needed)" : "");
		goto fail;
	}
	skeleton_maps(m->skel, maps);
	for (int i = 0; i < MAP_COUNT; i++)
		m->map[i] = bpf_map__fd(maps[i]);
	if (*adopted) { /* a new filter for the old table, and what else the old programs knew */
		mark_each(m, add_to_filter, m);
		m->skel->bss->mark_knows_narrow = 1;
	}
	err = write_settings(m);
	if (!err)
		err = mark_beat(m);
	if (err) {
		log_fail(err, "mark", "write the settings");
		goto fail;
	}
	*out = m;
	return 0;
fail:
	mark_close(m);
	return err;
}

void mark_close(struct mark *m)
{
	if (!m)
		return;
	mark_bpf__destroy(m->skel);
	free(m);
}

int mark_program_fd(const struct mark *m, int egress)
{
	return bpf_program__fd(egress ? m->skel->progs.mark_egress : m->skel->progs.mark_ingress);
}

/* --- attaching --------------------------------------------------------------------------------- */

static int has_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (uint32_t)fs.f_type == BPFFS_MAGIC;
}

static void pin_path(const char *bpffs, const struct hook *h, char path[PATH_BYTES])
{
	struct stat ns = {0};

	/* one bpffs may serve several network namespaces */
	if (stat("/proc/self/ns/net", &ns))
		ns.st_ino = 0;
	snprintf(path, PATH_BYTES, "%s/scitag-%lu-%u-%s", bpffs, (unsigned long)ns.st_ino,
		 h->ifindex, h->direction == EGRESS ? "egress" : "ingress");
}

static int attach_tcx(struct mark *m, struct hook *h, int prog_fd)
{
	char path[PATH_BYTES];
	int fd, err;

	if (h->link_id) {
		fd = bpf_link_get_fd_by_id(h->link_id);
		if (fd < 0)
			return -errno;
		err = bpf_link_update(fd, prog_fd, NULL);
		close(fd);
		return err;
	}
	if (!has_bpffs(m->bpffs))
		return -EOPNOTSUPP;
	fd = bpf_link_create(prog_fd, (int)h->ifindex,
			     (enum bpf_attach_type)(h->direction == EGRESS ? ATTACH_TCX_EGRESS
									   : ATTACH_TCX_INGRESS),
			     NULL);
	if (fd < 0)
		return fd;
	pin_path(m->bpffs, h, path);
	unlink(path);
	err = bpf_obj_pin(fd, path);
	close(fd); /* the pin holds it */
	if (!err)
		h->tcx = 1;
	return err;
}

static int attach_clsact(struct hook *h, int prog_fd)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)h->ifindex,
			    .attach_point = tc_point(h->direction));
	int err = -EEXIST;

	/* The first priority that is not taken by a classifier of another kind. Filters are tried in
	 * their order, and one that accepts a packet ends the matter: so as early as we can. */
	for (uint32_t prio = h->prio ? h->prio : 1; prio <= PRIO_MAX; prio++) {
		DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = prio,
				    .prog_fd = prog_fd, .flags = h->prio ? BPF_TC_F_REPLACE : 0);

		err = bpf_tc_attach(&hook, &opts);
		if (!err) {
			h->prio = prio;
			return 0;
		}
		if (h->prio)
			break;
	}
	return err;
}

static int make_clsact(uint32_t ifindex)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	return bpf_tc_hook_create(&hook);
}

static void remove_clsact(uint32_t ifindex)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	bpf_tc_hook_destroy(&hook);
}

static int unhook(const struct hook *h, const char *bpffs)
{
	char path[PATH_BYTES];
	int fd, err;

	if (!h->tcx) {
		DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)h->ifindex,
				    .attach_point = tc_point(h->direction));
		DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = h->prio);

		return bpf_tc_detach(&hook, &opts);
	}
	fd = bpf_link_get_fd_by_id(h->link_id);
	if (fd < 0)
		return -errno;
	err = bpf_link_detach(fd);
	close(fd);
	pin_path(bpffs, h, path);
	unlink(path);
	return err;
}

int mark_attach(struct mark *m, const char *ifname)
{
	uint32_t ifindex = if_nametoindex(ifname);
	struct mark_iface iface = {0};
	struct scan scan = {0};
	int err = 0, made_clsact = 0;

	if (!ifindex)
		return log_fail(-ENODEV, "mark", "attach to %s", ifname);
	if (m->opt.dry_run)
		return 0;
	mark_get_iface(m, ifindex, &iface);
	err = scan_iface(ifindex, &scan);
	/* the room first, then what needs it */
	for (int direction = INGRESS; !err && direction <= EGRESS; direction++) {
		struct hook h = find(ifindex, direction);
		int prog_fd = mark_program_fd(m, direction);

		if (h.prog_id)
			err = h.tcx ? attach_tcx(m, &h, prog_fd) : attach_clsact(&h, prog_fd);
		else if (m->opt.attach != MARK_ATTACH_CLSACT)
			err = attach_tcx(m, &h, prog_fd);
		if (!h.prog_id && (m->opt.attach == MARK_ATTACH_CLSACT ||
				   (err && m->opt.attach == MARK_ATTACH_AUTO))) {
			if (!scan.has_clsact && !made_clsact) {
				err = make_clsact(ifindex);
				made_clsact = !err;
			} else {
				err = 0;
			}
			if (!err)
				err = attach_clsact(&h, prog_fd);
		}
		iface.prio = h.prio;
	}
	if (made_clsact)
		iface.flags |= MARK_IFACE_CLSACT;
	if (!err)
		err = mark_put_iface(m, ifindex, &iface);
	if (err) {
		log_fail(err, "mark", "attach to %s", ifname);
		mark_put_iface(m, ifindex, &iface);
		mark_detach(m, ifname);
	}
	return err;
}

/* Shared by a stop, which has the maps, and `clean`, which found them. Returns what was removed. */
static int leave_iface(uint32_t ifindex, const char *bpffs, const struct mark_iface *iface)
{
	struct scan scan = {0};
	int removed = 0;

	for (int direction = EGRESS; direction >= INGRESS; direction--) {
		struct hook h = find(ifindex, direction);

		if (h.prog_id && !unhook(&h, bpffs))
			removed++;
	}
	if (iface->flags & MARK_IFACE_GSO)
		nic_set_gso_max(ifindex, iface->gso_max_before_bytes);
	if (iface->flags & MARK_IFACE_CLSACT && !scan_iface(ifindex, &scan) && !scan.filters)
		remove_clsact(ifindex);
	return removed;
}

int mark_detach(struct mark *m, const char *ifname)
{
	uint32_t ifindex = if_nametoindex(ifname);
	struct mark_iface iface = {0};

	if (!ifindex)
		return -ENODEV;
	if (m->opt.dry_run)
		return 0;
	mark_get_iface(m, ifindex, &iface);
	leave_iface(ifindex, m->bpffs, &iface);
	bpf_map_delete_elem(m->map[MAP_IFACES], &ifindex);
	return 0;
}

int mark_clean(const char *bpffs, int dry_run)
{
	struct if_nameindex *all = if_nameindex();
	int removed = 0;

	libbpf_set_print(to_debug_log);
	if (!all)
		return -errno;
	if (!bpffs)
		bpffs = BPFFS_DEFAULT;
	for (const struct if_nameindex *i = all; i->if_index; i++) {
		struct hook out = find(i->if_index, EGRESS), in = find(i->if_index, INGRESS);
		uint32_t prog_id = out.prog_id ? out.prog_id : in.prog_id, ifindex = i->if_index;
		struct mark_iface iface = {0};
		int fds[MAP_COUNT];

		if (!prog_id)
			continue;
		if (!open_maps(prog_id, fds)) {
			if (fds[MAP_IFACES] >= 0 &&
			    bpf_map_lookup_elem(fds[MAP_IFACES], &ifindex, &iface))
				memset(&iface, 0, sizeof(iface));
			close_maps(fds);
		}
		log_msg(LOG_LEVEL_INFO, "mark", "%s: %s %s%s%s", i->if_name,
			dry_run ? "would remove" : "removing",
			out.tcx ? "tcx links" : "clsact filters",
			iface.flags & MARK_IFACE_CLSACT ? ", the qdisc if nobody else uses it" : "",
			iface.flags & MARK_IFACE_GSO ? ", the limit on packet length" : "");
		if (dry_run)
			removed += !!out.prog_id + !!in.prog_id;
		else
			removed += leave_iface(ifindex, bpffs, &iface);
	}
	if_freenameindex(all);
	return removed;
}

void mark_describe(const struct mark *m, const char *ifname, char *buf, size_t cap_bytes)
{
	struct hook h = find(if_nametoindex(ifname), EGRESS);

	if (!h.prog_id)
		snprintf(buf, cap_bytes, "%s", m->opt.dry_run ? "dry run" : "");
	else if (h.tcx)
		snprintf(buf, cap_bytes, "tcx");
	else
		snprintf(buf, cap_bytes, "clsact prio %u", h.prio);
}

/* --- the tables -------------------------------------------------------------------------------- */

int mark_get_iface(const struct mark *m, uint32_t ifindex, struct mark_iface *out)
{
	return bpf_map_lookup_elem(m->map[MAP_IFACES], &ifindex, out);
}

int mark_put_iface(struct mark *m, uint32_t ifindex, const struct mark_iface *in)
{
	return bpf_map_update_elem(m->map[MAP_IFACES], &ifindex, in, BPF_ANY);
}

static uint64_t place_of(const struct mark *m, const struct flow_key *key)
{
	return mark_hash(key, &m->settings.secret);
}

/* A count that has reached its end is never lowered again: it stands for many, and does no harm. */
static void filter_add(struct mark *m, uint64_t place)
{
	uint8_t *n = &m->skel->bss->mark_filter[MARK_FILTER_OF(place)];

	if (*n < UINT8_MAX)
		++*n;
}

static void add_to_filter(void *arg, const struct flow_key *key, const struct mark_flow *flow)
{
	struct mark *m = arg;

	filter_add(m, place_of(m, key));
}

static void filter_remove(struct mark *m, uint64_t place)
{
	uint8_t *n = &m->skel->bss->mark_filter[MARK_FILTER_OF(place)];

	if (*n < UINT8_MAX)
		--*n;
}

int mark_get(const struct mark *m, const struct flow_key *key, struct mark_flow *out)
{
	uint64_t place = place_of(m, key);
	struct mark_flow flow;
	int err = bpf_map_lookup_elem(m->map[MAP_FLOWS], &place, &flow);

	if (err)
		return err;
	if (memcmp(&flow.key, key, sizeof(*key)))
		return -ENOENT; /* another flow in its place */
	flow.counts[MARK_DONE].packets += flow.owned.packets;
	flow.counts[MARK_DONE].bytes += flow.owned.bytes;
	memset(&flow.owned, 0, sizeof(flow.owned));
	*out = flow;
	return 0;
}

int mark_put(struct mark *m, const struct flow_key *key, const struct mark_flow *flow)
{
	uint64_t place = place_of(m, key);
	struct mark_flow f, there;
	int known = !bpf_map_lookup_elem(m->map[MAP_FLOWS], &place, &there), err;

	if (known && memcmp(&there.key, key, sizeof(*key)))
		return -EEXIST;
	f = *flow;
	f.key = *key;
	f.owner = 0;
	filter_add(m, place);
	err = bpf_map_update_elem(m->map[MAP_FLOWS], &place, &f, BPF_ANY);
	if (err || known)
		filter_remove(m, place);
	return err;
}

static void retire(struct mark *m, const struct mark_count counts[MARK_RESULT_COUNT])
{
	for (int r = 0; r < MARK_RESULT_COUNT; r++) {
		m->settings.retired[r].packets += counts[r].packets;
		m->settings.retired[r].bytes += counts[r].bytes;
	}
}

int mark_drop(struct mark *m, const struct flow_key *key)
{
	uint64_t place = place_of(m, key);
	struct mark_flow flow;
	int err = mark_get(m, key, &flow);

	if (!err)
		err = bpf_map_delete_elem(m->map[MAP_FLOWS], &place);
	if (err)
		return err;
	filter_remove(m, place);
	retire(m, flow.counts);
	return write_settings(m);
}

int mark_each(struct mark *m,
	      void (*each)(void *arg, const struct flow_key *key, const struct mark_flow *flow),
	      void *arg)
{
	struct mark_flow flow;
	uint64_t place, next;
	int more = !bpf_map_get_next_key(m->map[MAP_FLOWS], NULL, &place);

	while (more) {
		struct flow_key key;

		/* the successor first: each may drop the flow */
		more = !bpf_map_get_next_key(m->map[MAP_FLOWS], &place, &next);
		if (!bpf_map_lookup_elem(m->map[MAP_FLOWS], &place, &flow)) {
			key = flow.key;
			if (!mark_get(m, &key, &flow))
				each(arg, &key, &flow);
		}
		place = next;
	}
	return 0;
}

int mark_get_rule(const struct mark *m, size_t i, struct mark_rule *out)
{
	uint32_t index = (uint32_t)i;

	return bpf_map_lookup_elem(m->map[MAP_RULES], &index, out);
}

int mark_set_rules(struct mark *m, const struct mark_rule *rules, size_t n)
{
	int err = 0;

	if (n > MARK_MAX_RULES)
		return -E2BIG;
	for (uint32_t i = 0; i < m->settings.n_rules || i < n; i++) {
		struct mark_rule now = {0};
		int known = i < m->settings.n_rules && !mark_get_rule(m, i, &now);

		if (known && i < n && !memcmp(&now, &rules[i], offsetof(struct mark_rule, counts)))
			continue;
		if (known)
			retire(m, now.counts);
		if (i < n && !err)
			err = bpf_map_update_elem(m->map[MAP_RULES], &i, &rules[i], BPF_ANY);
	}
	if (!err)
		m->settings.n_rules = (uint32_t)n;
	return err;
}

int mark_set_settings(struct mark *m, const struct mark_settings *s)
{
	m->settings.room_bytes = s->room_bytes;
	m->settings.n_prefixes = s->n_prefixes;
	m->settings.entropy_key = s->entropy_key;
	memcpy(m->settings.prefixes, s->prefixes, sizeof(s->prefixes));
	return write_settings(m);
}

void mark_get_settings(const struct mark *m, struct mark_settings *out)
{
	*out = m->settings;
}

int mark_beat(struct mark *m)
{
	return write_beat(m->map[MAP_BEAT]);
}

static void add_counts(void *arg, const struct flow_key *key, const struct mark_flow *flow)
{
	struct mark_count *sum = arg;

	for (int r = 0; r < MARK_RESULT_COUNT; r++) {
		sum[r].packets += flow->counts[r].packets;
		sum[r].bytes += flow->counts[r].bytes;
	}
}

void mark_totals(struct mark *m, struct mark_count out[MARK_RESULT_COUNT])
{
	memcpy(out, m->settings.retired, sizeof(m->settings.retired));
	mark_each(m, add_counts, out);
	for (uint32_t i = 0; i < m->settings.n_rules; i++) {
		struct mark_rule rule;

		if (mark_get_rule(m, i, &rule))
			continue;
		for (int r = 0; r < MARK_RESULT_COUNT; r++) {
			out[r].packets += rule.counts[r].packets;
			out[r].bytes += rule.counts[r].bytes;
		}
	}
}
