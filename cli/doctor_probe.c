#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/doctor.h"

#define LO_INDEX 1 /* in every network namespace */

/* r0 = verdict; exit. Returns a file descriptor or -errno. */
static int load(enum bpf_prog_type type, int verdict)
{
	const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(type, "scitag_doctor", "GPL", program, 2, NULL);
}

static int load_and_close(enum bpf_prog_type type)
{
	int fd = load(type, 0);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

int probe_xdp_load(void)
{
	return load_and_close(BPF_PROG_TYPE_XDP);
}

int probe_tc_load(void)
{
	return load_and_close(BPF_PROG_TYPE_SCHED_CLS);
}

static int attach_xdp(void)
{
	int fd = load(BPF_PROG_TYPE_XDP, XDP_PASS);

	return fd < 0 ? fd : bpf_xdp_attach(LO_INDEX, fd, XDP_FLAGS_SKB_MODE, NULL);
}

static int attach_tc(void)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = LO_INDEX, .attach_point = BPF_TC_EGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts);
	int err = bpf_tc_hook_create(&hook);

	opts.prog_fd = load(BPF_PROG_TYPE_SCHED_CLS, 0);
	if (opts.prog_fd < 0)
		return opts.prog_fd;
	return err ? err : bpf_tc_attach(&hook, &opts);
}

static int be_silent(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return 0;
}

/* Run in a child with a network namespace of its own, which ends with the child. */
static int in_namespace(int (*try)(void))
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		libbpf_set_print(be_silent);
		_exit(unshare(CLONE_NEWNET) ? errno : -try() & 0xff);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EFAULT;
}

int probe_xdp_attach(void)
{
	return in_namespace(attach_xdp);
}

int probe_tc_attach(void)
{
	return in_namespace(attach_tc);
}

static int open_and_close(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int probe_xsk_socket(void)
{
	return open_and_close(AF_XDP, SOCK_RAW, 0);
}

int probe_packet_socket(void)
{
	return open_and_close(AF_PACKET, SOCK_RAW, 0);
}

/* As our servers ask for it: UDP on every address, TCP on loopback. */
int probe_port(int is_tcp, unsigned int port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = is_tcp ? -1 : socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0, yes = 1;
	int is_v6 = fd >= 0;

	if (!is_v6)
		fd = socket(AF_INET, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (is_tcp) { /* what is only lingering does not count */
		ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	}
	if (is_v6 ? bind(fd, (struct sockaddr *)&any, sizeof(any))
		  : bind(fd, (struct sockaddr *)&ipv4, sizeof(ipv4)))
		err = -errno;
	close(fd);
	return err;
}

int probe_connect(unsigned int port)
{
	struct sockaddr_in there = {.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&there, sizeof(there)))
		err = -errno;
	close(fd);
	return err;
}

static int ask_ethtool(const char *interface, void *question)
{
	struct ifreq request = {.ifr_data = question};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (ioctl(fd, SIOCETHTOOL, &request))
		err = -errno;
	close(fd);
	return err;
}

int probe_offloads(const char *interface)
{
	struct ethtool_value gro = {.cmd = ETHTOOL_GGRO}, flags = {.cmd = ETHTOOL_GFLAGS};
	int err = ask_ethtool(interface, &gro);

	if (!err)
		err = ask_ethtool(interface, &flags);
	if (err)
		return err;
	return (flags.data & ETH_FLAG_LRO ? OFFLOAD_LRO : 0) | (gro.data ? OFFLOAD_GRO : 0) |
	       (flags.data & ETH_FLAG_RXVLAN ? OFFLOAD_RXVLAN : 0);
}

int probe_driver(const char *interface, char *buf, size_t cap_bytes)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	int err = ask_ethtool(interface, &info);

	if (!err)
		snprintf(buf, cap_bytes, "%s", info.driver);
	return err;
}
