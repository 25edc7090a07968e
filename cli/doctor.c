/* scitag doctor: what is missing on this machine, and the command that mends it. */
#include <errno.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include "cli/cli.h"
#include "cli/doctor.h"

#define RMEM_WANTED    (32 << 20) /* what our receivers of datagrams ask for */
#define MEMLOCK_WANTED (64 << 20) /* rings of AF_XDP */
#define DISK_WANTED    (1ULL << 30)
#define CLOCK_ERROR_US 100000
#define SFLOW_PORT     6343
#define FIREFLY_PORT   10514
#define HTTP_PORT      10580

enum verdict { GOOD, HINT, LACKING, UNKNOWN };
static const struct {
	const char *word;
	enum cli_colour colour;
} verdicts[] = {
	[GOOD] = {"ok", CLI_GREEN},
	[HINT] = {"hint", CLI_YELLOW},
	[LACKING] = {"lacking", CLI_RED},
	[UNKNOWN] = {"unknown", CLI_DIM},
};

struct finding {
	const char *check, *used_by;
	enum verdict verdict;
	char found[256], remedy[256];
};

struct doctor {
	struct cli_list *list; /* NULL: for people */
	size_t count[4];
};

static const struct opt options[] = {CLI_OPT_LISTING, CLI_OPT_HELP, OPT_END};
const struct opt_program doctor_program = {
	.name = "scitag doctor",
	.synopsis = "[--json|--csv]",
	.summary = "Say what is missing on this machine, and the command that mends it",
	.opts = options,
};

static const struct cli_column columns[] = {
	{"check", NULL}, {"for", NULL}, {"verdict", NULL}, {"found", NULL}, {"remedy", NULL},
};

static void tell(struct doctor *d, const struct finding *f)
{
	d->count[f->verdict]++;
	if (d->list) {
		cli_put_text(d->list, f->check);
		cli_put_text(d->list, f->used_by);
		cli_put_text(d->list, verdicts[f->verdict].word);
		cli_put_text(d->list, f->found);
		cli_put_text(d->list, *f->remedy ? f->remedy : NULL);
		return;
	}
	printf("%s%-8s%s %-16s %s\n", cli_colour(stdout, verdicts[f->verdict].colour),
	       verdicts[f->verdict].word, cli_colour(stdout, CLI_PLAIN), f->check, f->found);
	if (*f->remedy)
		printf("%25s %s%s%s\n", "", cli_colour(stdout, CLI_BOLD), f->remedy,
		       cli_colour(stdout, CLI_PLAIN));
}

static void __attribute__((format(printf, 2, 3))) found(struct finding *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->found, sizeof(f->found), fmt, args);
	va_end(args);
}

static void __attribute__((format(printf, 2, 3))) remedy(struct finding *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->remedy, sizeof(f->remedy), fmt, args);
	va_end(args);
}

/* The first number of a file under /proc or /sys; -1 if there is none. */
static long long number_in(const char *path)
{
	FILE *f = fopen(path, "re");
	long long value = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%lld", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

/* --- the checks ---------------------------------------------------------------------------------- */

/* A kernel feature that was tried. */
static void judge_probe(struct finding *f, int result, const char *what, const char *config)
{
	if (!result) {
		found(f, "%s", what);
	} else if (result == -EPERM || result == -EACCES) {
		f->verdict = UNKNOWN;
		found(f, "only root can try");
		remedy(f, "sudo scitag doctor");
	} else {
		f->verdict = LACKING;
		found(f, "%s: %s", what, strerror(-result));
		remedy(f, "a kernel of 5.15 or newer with %s", config);
	}
}

static void check_xdp(struct finding *f)
{
	int result = probe_xdp_load();

	judge_probe(f, result ? result : probe_xdp_attach(), "programs load and attach",
		    "CONFIG_BPF_SYSCALL=y and CONFIG_XDP_SOCKETS=y");
}

static void check_tc(struct finding *f)
{
	int result = probe_tc_load();

	judge_probe(f, result ? result : probe_tc_attach(), "programs load and attach (clsact)",
		    "CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS");
}

static void check_xsk(struct finding *f)
{
	judge_probe(f, probe_xsk_socket(), "sockets open", "CONFIG_XDP_SOCKETS=y");
}

static void check_capture(struct finding *f)
{
	judge_probe(f, probe_packet_socket(), "packet sockets open", "CONFIG_PACKET=y");
}

static void check_kernel(struct finding *f)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	found(f, "%s %s", name.sysname, name.release);
	if (major < 5 || (major == 5 && minor < 15)) {
		f->verdict = HINT;
		remedy(f, "5.15 is the oldest kernel this is tested with");
	}
}

static void check_btf(struct finding *f)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK)) {
		found(f, "/sys/kernel/btf/vmlinux");
		return;
	}
	f->verdict = HINT;
	found(f, "the kernel does not describe its types");
	remedy(f, "a kernel with CONFIG_DEBUG_INFO_BTF=y, or --interface IFACE:pcap");
}

static void check_jit(struct finding *f)
{
	long long jit = number_in("/proc/sys/net/core/bpf_jit_enable");

	found(f, jit < 0 ? "not readable by this user" : jit ? "on" : "off: programs run slowly");
	f->verdict = jit < 0 ? UNKNOWN : jit ? GOOD : LACKING;
	if (!jit)
		remedy(f, "sysctl -w net.core.bpf_jit_enable=1");
}

static void check_capabilities(struct finding *f)
{
	static const struct {
		int number;
		const char *name;
	} wanted[] = {
		{CAP_NET_RAW, "cap_net_raw"},
		{CAP_NET_ADMIN, "cap_net_admin"},
		{CAP_BPF, "cap_bpf"},
		{CAP_PERFMON, "cap_perfmon"},
	};
	unsigned long long have = 0;
	char line[256], missing[128] = "";
	FILE *status = fopen("/proc/self/status", "re");

	while (status && fgets(line, sizeof(line), status))
		sscanf(line, "CapEff: %llx", &have);
	if (status)
		fclose(status);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!(have >> wanted[i].number & 1)) {
			strcat(missing, *missing ? "," : "");
			strcat(missing, wanted[i].name);
		}
	if (!*missing) {
		found(f, "of this user: all that capturing and marking need");
		return;
	}
	f->verdict = HINT;
	found(f, "this user lacks %s; sFlow, fireflies and files need none", missing);
	remedy(f, "setcap %s+ep /usr/sbin/scitag-observer, or its systemd unit", missing);
}

static void check_memlock(struct finding *f)
{
	struct rlimit limit;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= MEMLOCK_WANTED) {
		found(f, limit.rlim_cur == RLIM_INFINITY ? "unlimited" : "64 MiB or more");
		return;
	}
	f->verdict = geteuid() ? HINT : GOOD; /* root may go beyond */
	found(f, "%llu bytes can be locked; the rings of AF_XDP want 64 MiB",
	      (unsigned long long)limit.rlim_cur);
	if (f->verdict == HINT)
		remedy(f, "ulimit -l unlimited, or LimitMEMLOCK=infinity in the systemd unit");
}

static void check_rmem(struct finding *f)
{
	long long bytes = number_in("/proc/sys/net/core/rmem_max");

	if (bytes < 0) {
		f->verdict = UNKNOWN;
		found(f, "net.core.rmem_max is not readable here");
		return;
	}
	found(f, "net.core.rmem_max %lld%s", bytes,
	      bytes < RMEM_WANTED ? ": bursts of sFlow would be lost without CAP_NET_ADMIN" : "");
	if (bytes < RMEM_WANTED) {
		f->verdict = HINT;
		remedy(f, "sysctl -w net.core.rmem_max=%d (and in /etc/sysctl.d/ for ever)",
		       RMEM_WANTED);
	}
}

static void judge_port(struct finding *f, int is_tcp, unsigned int port)
{
	int result = probe_port(is_tcp, port);

	if (!result) {
		found(f, "%u/%s is free", port, is_tcp ? "tcp" : "udp");
		return;
	}
	f->verdict = result == -EADDRINUSE ? HINT : LACKING;
	found(f, "%u/%s: %s", port, is_tcp ? "tcp" : "udp",
	      result == -EADDRINUSE ? "somebody has it" : strerror(-result));
	if (result == -EADDRINUSE)
		remedy(f, "ss -%cpnl 'sport = :%u' shows who", is_tcp ? 't' : 'u', port);
}

static void check_sflow_port(struct finding *f)
{
	judge_port(f, 0, SFLOW_PORT);
}

static void check_firefly_port(struct finding *f)
{
	judge_port(f, 0, FIREFLY_PORT);
}

static void check_http_port(struct finding *f)
{
	if (probe_connect(HTTP_PORT))
		judge_port(f, 1, HTTP_PORT);
	else
		found(f, "%d/tcp answers: an observer runs already", HTTP_PORT);
}

static void check_clock(struct finding *f)
{
	struct timex t = {0};
	int state = adjtimex(&t);

	if (state < 0) {
		f->verdict = UNKNOWN;
		found(f, "the kernel does not say");
		return;
	}
	if (!(t.status & STA_UNSYNC) && t.maxerror <= CLOCK_ERROR_US) {
		found(f, "synchronised, at most %ld ms off", (long)(t.maxerror / 1000));
		return;
	}
	f->verdict = HINT;
	found(f, "not synchronised: fireflies and packets may miss each other");
	remedy(f, "apt-get install chrony, or dnf install chrony");
}

static void check_disk(struct finding *f)
{
	const char *path = access("/var/lib/scitag", F_OK) ? "/var/lib" : "/var/lib/scitag";
	struct statvfs fs;
	char text[32];

	if (statvfs(path, &fs)) {
		f->verdict = UNKNOWN;
		found(f, "%s: %s", path, strerror(errno));
		return;
	}
	found(f, "%s has %s free", path,
	      cli_si(text, sizeof(text), (double)fs.f_bavail * (double)fs.f_frsize, "B"));
	if (fs.f_bavail * fs.f_frsize < DISK_WANTED) {
		f->verdict = HINT;
		remedy(f, "lower database.max_size (2 GiB by default), or database.url elsewhere");
	}
}

static void check_ipv6(struct finding *f)
{
	if (!access("/proc/net/if_inet6", R_OK)) {
		found(f, "on");
		return;
	}
	f->verdict = HINT;
	found(f, "off: there are no flow labels in IPv4");
	remedy(f, "sysctl -w net.ipv6.conf.all.disable_ipv6=0");
}

static void check_plb(struct finding *f)
{
	long long plb = number_in("/proc/sys/net/ipv4/tcp_plb_enabled");

	found(f, plb > 0 ? "tcp_plb_enabled changes labels in mid-flow" : "labels keep still");
	if (plb > 0) {
		f->verdict = LACKING;
		remedy(f, "sysctl -w net.ipv4.tcp_plb_enabled=0");
	}
}

static void check_bpffs(struct finding *f)
{
	struct statfs fs;

	if (!statfs("/sys/fs/bpf", &fs) && fs.f_type == BPF_FS_MAGIC) {
		found(f, "/sys/fs/bpf");
		return;
	}
	f->verdict = HINT;
	found(f, "nothing at /sys/fs/bpf: marking stops when the marker restarts");
	remedy(f, "mount -t bpf bpf /sys/fs/bpf");
}

static const struct {
	const char *name, *used_by;
	void (*check)(struct finding *);
} checks[] = {
	{"kernel", "all", check_kernel},
	{"capabilities", "all", check_capabilities},
	{"clock", "all", check_clock},
	{"IPv6", "all", check_ipv6},
	{"sFlow port", "observer", check_sflow_port},
	{"firefly port", "observer", check_firefly_port},
	{"HTTP port", "observer", check_http_port},
	{"receive buffer", "observer", check_rmem},
	{"disk", "observer", check_disk},
	{"capture", "observer", check_capture},
	{"XDP", "observer", check_xdp},
	{"AF_XDP", "observer", check_xsk},
	{"locked memory", "observer", check_memlock},
	{"BTF", "observer, marker", check_btf},
	{"BPF JIT", "observer, marker", check_jit},
	{"tc", "marker", check_tc},
	{"bpffs", "marker", check_bpffs},
	{"PLB", "marker", check_plb},
};

/* Every interface that is up, loopback apart: what hides packets as they were on the wire. */
static void check_interfaces(struct doctor *d)
{
	struct if_nameindex *list = if_nameindex();

	for (struct if_nameindex *i = list; i && i->if_index; i++) {
		struct finding f = {i->if_name, "observer", GOOD, "", ""};
		char driver[32] = "no driver", path[128];
		int offloads;

		snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", i->if_name);
		if (!strcmp(i->if_name, "lo") || number_in(path) != 1)
			continue;
		offloads = probe_offloads(i->if_name);
		probe_driver(i->if_name, driver, sizeof(driver));
		if (offloads < 0) {
			f.verdict = UNKNOWN;
			found(&f, "%s: %s", driver, strerror(-offloads));
		} else if (!offloads) {
			found(&f, "%s: packets come as they were on the wire", driver);
		} else {
			f.verdict = HINT;
			found(&f, "%s:%s%s%s on; for a mirror port turn it off, with pcap mode",
			      driver, offloads & OFFLOAD_GRO ? " GRO" : "",
			      offloads & OFFLOAD_LRO ? " LRO" : "",
			      offloads & OFFLOAD_RXVLAN ? " VLAN stripping" : "");
			remedy(&f, "ethtool -K %s%s%s%s", i->if_name,
			       offloads & OFFLOAD_GRO ? " gro off" : "",
			       offloads & OFFLOAD_LRO ? " lro off" : "",
			       offloads & OFFLOAD_RXVLAN ? " rxvlan off" : "");
		}
		tell(d, &f);
	}
	if_freenameindex(list);
}

int verb_doctor(int argc, char **argv)
{
	struct cli_common common = {0};
	struct doctor d = {0};
	int rest, code = cli_args(&doctor_program, &common, argc, argv, &rest);

	if (code >= 0)
		return code;
	if (rest < argc)
		return cli_usage(&doctor_program, "takes no argument");
	if (cli_format(&common) != CLI_TABLE)
		d.list = cli_list_open(stdout, cli_format(&common), columns,
				       sizeof(columns) / sizeof(columns[0]));
	fflush(stdout); /* the probes fork */
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct finding f = {checks[i].name, checks[i].used_by, GOOD, "", ""};

		checks[i].check(&f);
		tell(&d, &f);
	}
	check_interfaces(&d);
	if (!d.list)
		printf("\n%zu ok, %zu hints, %zu lacking, %zu unknown\n", d.count[GOOD],
		       d.count[HINT], d.count[LACKING], d.count[UNKNOWN]);
	cli_list_close(d.list);
	return d.count[LACKING] ? CLI_FAILED : CLI_OK;
}
