/* The user half of the tap: load, attach, read the shared counters, drain the ring, steer the sampling. */
#include "xdp/tap.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "xdp/tap.skel.h"

#define DIRECTIONS            5
#define SAMPLES_PER_S_DEFAULT 20000
#define RING_BYTES_DEFAULT    (8u << 20)
#define SAMPLES_A_TURN        4096 /* so that a flood does not keep the caller from its second */
#define ADAPT_NS              (NS_PER_S / 10)
#define CLIMB                 4 /* doublings of the rate at a time; what is measured is old */
#define THRESHOLD_ALL         (1ULL << 32) /* every frame is sampled */
#define THRESHOLD_LEAST       (1ULL << 12) /* one in 2^20 */
#define SOCKETS_MAX           256
#define DETACH_WAIT_US        2000 /* frames that another CPU was just reading */

struct totals { /* of one direction */
	struct tap_cell cells[TAP_PLANES][TAP_CELLS];
	struct tap_cell outside[TAP_PLANES];
	struct tap_cell others[TAP_OTHERS];
};

struct tap {
	char interface[IF_NAMESIZE];
	int ifindex;
	enum tap_mode mode;
	int mirror, native, frags;
	uint32_t n_cpus, n_directions;
	struct tap_bpf *skel;
	int link_fd;            /* -1: not attached */
	struct tap_slot *slots; /* shared with the kernel; [direction * n_cpus + cpu] */
	struct totals *before;  /* [direction]: what tap_counts reported last */
	struct totals *now;     /* one, to add up in */
	struct ring_buffer *ring;
	struct scitag_set registered;
	uint32_t samples_per_s;
	int64_t adapted_mono_ns;
	uint64_t threshold; /* what we set last */
	uint64_t *handed;   /* [cpu]: sampled + lost at the last adaption */
	uint64_t *firsts;   /* [cpu]: likewise */
	/* for the callback of one tap_samples() */
	void (*each)(void *arg, const struct tap_meta *meta, const uint8_t *bytes);
	void *arg;
	int n_handed;
};

static int say(char *why, size_t cap_bytes, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int say(char *why, size_t cap_bytes, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, cap_bytes, fmt, ap);
	va_end(ap);
	return err;
}

/* libbpf talks a lot; what matters comes back as an error. */
static int libbpf_line(enum libbpf_print_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static int libbpf_line(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[512];
	size_t n;

	vsnprintf(line, sizeof(line), fmt, ap);
	n = strlen(line);
	if (n && line[n - 1] == '\n')
		line[n - 1] = '\0';
	log_msg(LOG_LEVEL_DEBUG, "tap", "%s", line);
	return 0;
}

/* --- opening --- */

/* -EBUSY and the program's name when somebody is there already. */
static int refuse_foreign(const struct tap *t, char *why, size_t cap_bytes)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct bpf_prog_info info = {0};
	__u32 id, len = sizeof(info);
	int fd, err = bpf_xdp_query(t->ifindex, 0, &query);

	if (err)
		return say(why, cap_bytes, err, "%s: cannot ask for its XDP program: %s",
			   t->interface, strerror(-err));
	id = query.drv_prog_id   ? query.drv_prog_id
	     : query.hw_prog_id  ? query.hw_prog_id
	     : query.skb_prog_id ? query.skb_prog_id
				 : query.prog_id;
	if (!id)
		return 0;
	fd = bpf_prog_get_fd_by_id(id);
	if (fd >= 0) {
		if (bpf_obj_get_info_by_fd(fd, &info, &len))
			info.name[0] = '\0';
		close(fd);
	}
	return say(why, cap_bytes, -EBUSY,
		   "%s has an XDP program already (id %u%s%s); it is left alone", t->interface, id,
		   *info.name ? ", " : "", info.name);
}

/* One request about an interface; 0 and *ifr. Not through /sys, which shows another namespace's. */
static int ask(const struct tap *t, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", t->interface);
	err = ioctl(fd, request, ifr) ? -errno : 0;
	close(fd);
	return err;
}

/* The program reads Ethernet: a tunnel's frames begin with IP. */
static int refuse_link_layer(const struct tap *t, char *why, size_t cap_bytes)
{
	struct ifreq ifr = {0};

	if (ask(t, SIOCGIFHWADDR, &ifr) || ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER ||
	    ifr.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK)
		return 0;
	return say(why, cap_bytes, -EOPNOTSUPP, "%s is no Ethernet interface (link type %u)",
		   t->interface, ifr.ifr_hwaddr.sa_family);
}

static struct bpf_program *program_of(const struct tap *t)
{
	if (t->mode == TAP_MODE_REDIRECT)
		return t->skel->progs.tap_redirect;
	if (t->n_directions > 1 || t->frags)
		return t->skel->progs.tap_count_full;
	return t->skel->progs.tap_count;
}

/* One record of the ring; the caller of tap_samples() looks at it. */
static int on_record(void *ctx, void *data, size_t len_bytes)
{
	struct tap *t = ctx;
	const struct tap_meta *meta = data;

	if (len_bytes < sizeof(*meta) || len_bytes - sizeof(*meta) < meta->captured_bytes)
		return 0;
	t->each(t->arg, meta, (const uint8_t *)(meta + 1));
	return ++t->n_handed < SAMPLES_A_TURN ? 0 : -EINTR;
}

/* The maps' contents, before the first frame can be counted. */
static int fill(struct tap *t, const struct tap_config *cfg)
{
	size_t n = (size_t)t->n_cpus * t->n_directions;
	uint32_t one = 1;

	t->slots = mmap(NULL, n * sizeof(*t->slots), PROT_READ | PROT_WRITE, MAP_SHARED,
			bpf_map__fd(t->skel->maps.tap_slots), 0);
	if (t->slots == MAP_FAILED) {
		t->slots = NULL;
		return -errno;
	}
	for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
		struct tap_slot *s = &t->slots[cpu];

		if (getrandom(&s->random, sizeof(s->random), 0) != sizeof(s->random))
			return -errno;
		s->threshold = t->threshold;
		s->firsts_limit = t->samples_per_s / 10;
	}
	if (cfg->registered)
		tap_register(t, cfg->registered);
	for (size_t i = 0; i < cfg->n_prefixes; i++)
		if (bpf_map__update_elem(t->skel->maps.tap_prefixes, &cfg->prefixes[i],
					 sizeof(cfg->prefixes[i]), &one, sizeof(one), BPF_ANY))
			return -errno;
	t->ring = ring_buffer__new(bpf_map__fd(t->skel->maps.tap_ring), on_record, t, NULL);
	return t->ring ? 0 : -errno;
}

static void unload(struct tap *t)
{
	ring_buffer__free(t->ring);
	t->ring = NULL;
	if (t->slots)
		munmap(t->slots, (size_t)t->n_cpus * t->n_directions * sizeof(*t->slots));
	t->slots = NULL;
	tap_bpf__destroy(t->skel);
	t->skel = NULL;
}

static int load(struct tap *t, const struct tap_config *cfg, char *why, size_t cap_bytes)
{
	struct bpf_program *p;
	int err;

	unload(t);
	t->skel = tap_bpf__open();
	if (!t->skel)
		return say(why, cap_bytes, -errno, "the tap's BPF object cannot be opened: %s",
			   strerror(errno));
	bpf_object__for_each_program(p, t->skel->obj)
		bpf_program__set_autoload(p, p == program_of(t));
	if (t->frags)
		bpf_program__set_flags(program_of(t), BPF_F_XDP_HAS_FRAGS);
	t->skel->rodata->tap_verdict = t->mirror ? XDP_DROP : XDP_PASS;
	t->skel->rodata->tap_cpus = t->n_directions > 1 ? t->n_cpus : 0;
	t->skel->rodata->tap_frags = (__u32)t->frags;
	err = bpf_map__set_max_entries(t->skel->maps.tap_slots, t->n_cpus * t->n_directions);
	if (!err)
		err = bpf_map__set_max_entries(t->skel->maps.tap_ring,
					       cfg->ring_bytes ? cfg->ring_bytes
							       : RING_BYTES_DEFAULT);
	if (!err)
		err = bpf_map__set_max_entries(t->skel->maps.tap_sockets, SOCKETS_MAX);
	if (!err)
		err = tap_bpf__load(t->skel);
	if (!err)
		err = fill(t, cfg);
	if (err == -EPERM)
		return say(why, cap_bytes, err,
			   "%s: XDP needs CAP_BPF and CAP_NET_ADMIN (setcap, or run as root)",
			   t->interface);
	if (err)
		return say(why, cap_bytes, err, "%s: the kernel refused the tap's program: %s",
			   t->interface, strerror(-err));
	return 0;
}

static int attach(struct tap *t, __u32 flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	int fd = bpf_link_create(bpf_program__fd(program_of(t)), t->ifindex, BPF_XDP, &opts);

	if (fd < 0)
		return fd;
	t->link_fd = fd;
	t->native = flags == XDP_FLAGS_DRV_MODE;
	return 0;
}

/* The driver's own mode; in pieces, when only that is possible (long frames); else the generic one. */
static int load_and_attach(struct tap *t, const struct tap_config *cfg, char *why, size_t cap_bytes)
{
	int err = load(t, cfg, why, cap_bytes);

	if (err)
		return err;
	err = cfg->generic_only ? -EOPNOTSUPP : attach(t, XDP_FLAGS_DRV_MODE);
	if (err && err != -EOPNOTSUPP && err != -EBUSY && err != -EPERM && !cfg->generic_only) {
		t->frags = 1;
		if (load(t, cfg, why, cap_bytes) == 0)
			err = attach(t, XDP_FLAGS_DRV_MODE);
		if (err) {
			t->frags = 0;
			err = load(t, cfg, why, cap_bytes);
			if (err)
				return err;
			err = -EOPNOTSUPP;
		}
	}
	if (err == -EOPNOTSUPP)
		err = attach(t, XDP_FLAGS_SKB_MODE);
	if (err)
		return say(why, cap_bytes, err, "%s: XDP cannot be attached: %s", t->interface,
			   strerror(-err));
	return 0;
}

int tap_open(struct tap **out, const struct tap_config *cfg, char *why, size_t why_cap_bytes)
{
	struct tap *t = calloc(1, sizeof(*t));
	int err = -ENOMEM;

	if (!t)
		return say(why, why_cap_bytes, -ENOMEM, "no memory");
	t->link_fd = -1;
	libbpf_set_print(libbpf_line);
	snprintf(t->interface, sizeof(t->interface), "%s", cfg->interface);
	t->mode = cfg->mode;
	t->mirror = cfg->mirror;
	t->samples_per_s = cfg->samples_per_s ? cfg->samples_per_s : SAMPLES_PER_S_DEFAULT;
	t->n_cpus = (uint32_t)libbpf_num_possible_cpus();
	t->n_directions = cfg->n_prefixes ? DIRECTIONS : 1;
	t->threshold = THRESHOLD_ALL;
	t->before = calloc(t->n_directions, sizeof(*t->before));
	t->now = calloc(1, sizeof(*t->now));
	t->handed = calloc(t->n_cpus, sizeof(*t->handed));
	t->firsts = calloc(t->n_cpus, sizeof(*t->firsts));
	if (!t->before || !t->now || !t->handed || !t->firsts) {
		say(why, why_cap_bytes, err, "no memory");
		goto fail;
	}
	t->ifindex = (int)if_nametoindex(cfg->interface);
	if (!t->ifindex) {
		err = say(why, why_cap_bytes, -ENODEV, "no interface named %s", cfg->interface);
		goto fail;
	}
	if (cfg->n_prefixes > TAP_PREFIXES_MAX) {
		err = say(why, why_cap_bytes, -EINVAL, "more than %d prefixes", TAP_PREFIXES_MAX);
		goto fail;
	}
	err = refuse_link_layer(t, why, why_cap_bytes);
	if (!err)
		err = refuse_foreign(t, why, why_cap_bytes);
	if (!err)
		err = load_and_attach(t, cfg, why, why_cap_bytes);
	if (err)
		goto fail;
	*out = t;
	return 0;
fail:
	tap_close(t);
	return err;
}

void tap_detach(struct tap *t)
{
	if (t->link_fd < 0)
		return;
	close(t->link_fd);
	t->link_fd = -1;
	usleep(DETACH_WAIT_US);
}

void tap_close(struct tap *t)
{
	if (!t)
		return;
	tap_detach(t);
	unload(t);
	free(t->before);
	free(t->now);
	free(t->handed);
	free(t->firsts);
	free(t);
}

void tap_register(struct tap *t, const struct scitag_set *registered)
{
	t->registered = *registered;
	memcpy(&t->skel->bss->tap_registered, registered, sizeof(*registered));
}

/* --- counters --- */

static void add_cells(struct tap_cell *sum, const struct tap_cell *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sum[i].packets += __atomic_load_n(&from[i].packets, __ATOMIC_RELAXED);
		sum[i].bytes += __atomic_load_n(&from[i].bytes, __ATOMIC_RELAXED);
		sum[i].ip_bytes += __atomic_load_n(&from[i].ip_bytes, __ATOMIC_RELAXED);
	}
}

/* Was anything counted since? Then *grown is how much, and *before is brought up to date. */
static int has_grown(struct tap_cell *grown, struct tap_cell *before, const struct tap_cell *now)
{
	grown->packets = now->packets - before->packets;
	grown->bytes = now->bytes - before->bytes;
	grown->ip_bytes = now->ip_bytes - before->ip_bytes;
	if (!grown->packets && !grown->bytes && !grown->ip_bytes)
		return 0;
	*before = *now;
	return 1;
}

/* What a cell's number says, by plane. */
static struct scitag cell_tag(const struct tap *t, enum tap_plane plane, uint32_t cell)
{
	struct scitag tag;

	if (plane == TAP_LABEL || plane == TAP_LABEL_IPV4)
		return (struct scitag){(uint16_t)scitag_mirror9(cell >> 6), (uint16_t)(cell & 63)};
	scitag_option_decode(&tag, SCITAG_OPTION_PLAIN, (cell >> 6) << 8 | (cell & 63),
			     &t->registered);
	return tag;
}

static void report(struct tap *t, uint32_t direction,
		   void (*each)(void *arg, const struct tap_count *count), void *arg)
{
	static const struct {
		uint8_t family, carrier;
	} planes[TAP_PLANES] = {
		[TAP_LABEL] = {6, CARRIER_LABEL},
		[TAP_LABEL_IPV4] = {4, CARRIER_LABEL},
		[TAP_DESTINATION] = {6, CARRIER_DESTINATION},
		[TAP_HOP_BY_HOP] = {6, CARRIER_HOP_BY_HOP},
		[TAP_HOP_BY_HOP_DESTINATION] = {6, CARRIER_HOP_BY_HOP_DESTINATION},
	};
	static const struct {
		uint8_t family, verdict;
	} others[TAP_OTHERS] = {
		[TAP_IPV4] = {4, PACKET_OK},       [TAP_IPV6] = {6, PACKET_OK},
		[TAP_SHORT] = {0, PACKET_SHORT},   [TAP_MALFORMED] = {0, PACKET_MALFORMED},
		[TAP_NOT_IP] = {0, PACKET_NOT_IP},
	};
	struct totals *before = &t->before[direction], *now = t->now;

	for (int plane = 0; plane < TAP_PLANES; plane++) {
		struct tap_count count = {.direction = (uint8_t)direction,
					  .family = planes[plane].family,
					  .carrier = planes[plane].carrier};

		for (uint32_t i = 0; i < TAP_CELLS; i++) {
			if (!has_grown(&count.grown, &before->cells[plane][i],
				       &now->cells[plane][i]))
				continue;
			count.tag = cell_tag(t, (enum tap_plane)plane, i);
			each(arg, &count);
		}
		count.tag = (struct scitag){0, 0};
		count.outside = 1;
		if (has_grown(&count.grown, &before->outside[plane], &now->outside[plane]))
			each(arg, &count);
	}
	for (int i = 0; i < TAP_OTHERS; i++) {
		struct tap_count count = {.direction = (uint8_t)direction,
					  .family = others[i].family,
					  .verdict = others[i].verdict};

		if (has_grown(&count.grown, &before->others[i], &now->others[i]))
			each(arg, &count);
	}
}

void tap_counts(struct tap *t, void (*each)(void *arg, const struct tap_count *count), void *arg)
{
	for (uint32_t direction = 0; direction < t->n_directions; direction++) {
		memset(t->now, 0, sizeof(*t->now));
		for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
			const struct tap_slot *s = &t->slots[direction * t->n_cpus + cpu];

			add_cells(t->now->cells[0], s->cells[0], TAP_PLANES * TAP_CELLS);
			add_cells(t->now->outside, s->outside, TAP_PLANES);
			add_cells(t->now->others, s->others, TAP_OTHERS);
		}
		report(t, direction, each, arg);
	}
}

/* --- samples --- */

/* Ten times a second: grant new firsts, and choose the power of two that brings what is sampled
 * near what was asked for. Kernel and we write the same word; whoever is last wins, and the next turn mends it. */
static void adapt(struct tap *t)
{
	int64_t now_mono_ns = clock_mono_ns(), passed_ns = now_mono_ns - t->adapted_mono_ns;
	uint64_t handed = 0, firsts = 0, threshold = t->threshold;
	double per_s;

	if (passed_ns < ADAPT_NS)
		return;
	t->adapted_mono_ns = now_mono_ns;
	for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
		const struct tap_slot *s = &t->slots[cpu];
		uint64_t sampled = s->sampled + s->lost_samples;

		handed += sampled - t->handed[cpu];
		t->handed[cpu] = sampled;
		firsts += s->firsts - t->firsts[cpu];
		if (s->threshold < threshold)
			threshold = s->threshold; /* the kernel could not wait */
	}
	per_s = (double)handed * NS_PER_S / (double)passed_ns;
	while (per_s > t->samples_per_s && threshold > THRESHOLD_LEAST) {
		threshold /= 2;
		per_s /= 2;
	}
	for (int i = 0; i < CLIMB && per_s * 3 < t->samples_per_s && threshold < THRESHOLD_ALL;
	     i++) {
		threshold *= 2;
		per_s *= 2;
	}
	t->threshold = threshold;
	for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
		struct tap_slot *s = &t->slots[cpu];
		uint64_t used = s->firsts - t->firsts[cpu], grant = t->samples_per_s / 10;

		/* each CPU gets an equal share, and one by what it used last */
		grant = grant / 2 / t->n_cpus + (firsts ? grant / 2 * used / firsts : 0);
		t->firsts[cpu] = s->firsts;
		__atomic_store_n(&s->firsts_limit, s->firsts + grant, __ATOMIC_RELAXED);
		__atomic_store_n(&s->threshold, threshold, __ATOMIC_RELAXED);
	}
}

int tap_samples(struct tap *t, int wait_ms,
		void (*each)(void *arg, const struct tap_meta *meta, const uint8_t *bytes),
		void *arg)
{
	int err;

	t->each = each;
	t->arg = arg;
	t->n_handed = 0;
	err = ring_buffer__consume(t->ring);
	if (err >= 0 && !t->n_handed)
		err = ring_buffer__poll(t->ring, wait_ms);
	adapt(t);
	return err < 0 && err != -EINTR ? err : t->n_handed;
}

int tap_poll_fd(const struct tap *t)
{
	return ring_buffer__epoll_fd(t->ring);
}

/* --- telling --- */

void tap_health(struct tap *t, struct tap_health *out)
{
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);
	uint64_t threshold = THRESHOLD_ALL;

	*out = (struct tap_health){0};
	for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
		const struct tap_slot *s = &t->slots[cpu];

		out->sampled += s->sampled;
		out->firsts += s->firsts;
		out->steered += s->steered;
		out->lost_samples += s->lost_samples;
		out->lost_steered += s->lost_steered;
		if (s->threshold && s->threshold < threshold)
			threshold = s->threshold;
	}
	out->sample_one_in = (uint32_t)(THRESHOLD_ALL / threshold);
	out->attached = t->link_fd >= 0 && !bpf_obj_get_info_by_fd(t->link_fd, &info, &len) &&
			info.xdp.ifindex == (__u32)t->ifindex;
}

/* One of the driver's old yes-or-no settings; 0 when it has none. */
static uint32_t ethtool_value(const struct tap *t, uint32_t command)
{
	struct ethtool_value value = {.cmd = command};
	struct ifreq ifr = {.ifr_data = (char *)&value};

	return ask(t, SIOCETHTOOL, &ifr) ? 0 : value.data;
}

static uint32_t n_queues(const struct tap *t)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq ifr = {.ifr_data = (char *)&channels};
	uint32_t n = ask(t, SIOCETHTOOL, &ifr) ? 0 : channels.rx_count + channels.combined_count;

	return n ? n : 1;
}

void tap_describe(const struct tap *t, char *buf, size_t cap_bytes)
{
	uint32_t flags = ethtool_value(t, ETHTOOL_GFLAGS), queues = n_queues(t);
	int merges = (!t->native && ethtool_value(t, ETHTOOL_GGRO)) || (flags & ETH_FLAG_LRO);

	snprintf(buf, cap_bytes, "%s XDP%s, %s, %u receive queue%s%s%s%s",
		 t->native ? "native" : "generic", t->frags ? " (frags)" : "",
		 t->mode == TAP_MODE_REDIRECT ? "redirecting"
		 : t->mirror                  ? "counting and dropping"
					      : "counting and passing on",
		 queues, queues == 1 ? "" : "s",
		 merges ? "; receive offload merges packets (ethtool -K IFACE gro off lro off)"
			: "",
		 (flags & ETH_FLAG_RXVLAN)
			 ? "; VLAN tags are taken off before (ethtool -K IFACE rxvlan off)"
			 : "",
		 t->n_directions > 1 ? "; by direction" : "");
}

int tap_socket_map_fd(const struct tap *t)
{
	return bpf_map__fd(t->skel->maps.tap_sockets);
}

int tap_ifindex(const struct tap *t)
{
	return t->ifindex;
}

int tap_is_native(const struct tap *t)
{
	return t->native;
}

int tap_has_frags(const struct tap *t)
{
	return t->frags;
}
