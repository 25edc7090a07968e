#include <errno.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "observer/capture.h"

#define BATCH        4096
#define READ_BYTES   (1 << 20)
#define BUFFER_BYTES (64 << 20)
#define TIMEOUT_MS   100 /* how long the kernel may gather a block */
#define SNAP_BYTES   512 /* past the deepest chain of headers; payload is never read */

struct capture {
	pcap_t *pcap; /* of a file: owns its FILE */
	enum packet_link link;
	int live;
	uint64_t size_bytes;
	void (*each)(void *arg, const struct capture_frame *f); /* during capture_drain */
	void *arg;
};

static int link_of(int dlt)
{
	switch (dlt) {
	case DLT_EN10MB:
		return PACKET_LINK_ETHERNET;
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
#if DLT_RAW != 101
	case 101: /* LINKTYPE_RAW, where a writer put the file's value */
#endif
		return PACKET_LINK_IP;
	case DLT_LINUX_SLL:
		return PACKET_LINK_SLL;
	case DLT_LINUX_SLL2:
		return PACKET_LINK_SLL2;
	case DLT_NULL:
	case DLT_LOOP:
		return PACKET_LINK_NULL;
	case DLT_PPP:
		return PACKET_LINK_PPP;
	case DLT_MPLS:
		return PACKET_LINK_MPLS;
	default:
		return -1;
	}
}

/* Takes p over, whatever happens. */
static int adopt(struct capture **out, pcap_t *p, int live, uint64_t size_bytes, char *why,
		 size_t why_cap_bytes)
{
	const int link = link_of(pcap_datalink(p));
	struct capture *c = calloc(1, sizeof(*c));

	if (!c || link < 0) {
		const char *name = pcap_datalink_val_to_name(pcap_datalink(p));

		snprintf(why, why_cap_bytes, "link type %d (%s) is none that we open",
			 pcap_datalink(p), name ? name : "unknown");
		pcap_close(p);
		free(c);
		return c ? -EBADMSG : -ENOMEM;
	}
	*c = (struct capture){
		.pcap = p, .link = (enum packet_link)link, .live = live, .size_bytes = size_bytes};
	*out = c;
	return 0;
}

int capture_open_file(struct capture **out, const char *path, char *why, size_t why_cap_bytes)
{
	char pcap_why[PCAP_ERRBUF_SIZE] = "";
	FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	struct stat st;
	pcap_t *p;

	if (!f) {
		int err = -errno;

		snprintf(why, why_cap_bytes, "%s", strerror(-err));
		return err;
	}
	setvbuf(f, NULL, _IOFBF, READ_BYTES);
	if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode))
		st.st_size = 0;
	p = pcap_fopen_offline(f, pcap_why);
	if (!p) {
		snprintf(why, why_cap_bytes, "%s", pcap_why);
		if (f != stdin)
			fclose(f);
		return -EBADMSG;
	}
	return adopt(out, p, 0, (uint64_t)st.st_size, why, why_cap_bytes);
}

static int error_of(int status)
{
	switch (status) {
	case PCAP_ERROR_NO_SUCH_DEVICE:
		return -ENODEV;
	case PCAP_ERROR_PERM_DENIED:
	case PCAP_ERROR_PROMISC_PERM_DENIED:
		return -EPERM;
	case PCAP_ERROR_IFACE_NOT_UP:
		return -ENETDOWN;
	default:
		return -EIO;
	}
}

int capture_open_live(struct capture **out, const char *interface, char *why, size_t why_cap_bytes)
{
	char pcap_why[PCAP_ERRBUF_SIZE] = "";
	pcap_t *p = pcap_create(interface, pcap_why);
	int status;

	if (!p) {
		snprintf(why, why_cap_bytes, "%s", pcap_why);
		return -EIO;
	}
	pcap_set_snaplen(p, SNAP_BYTES);
	pcap_set_promisc(p, 1);
	pcap_set_timeout(p, TIMEOUT_MS);
	pcap_set_buffer_size(p, BUFFER_BYTES);
	status = pcap_activate(p);
	if (status >= 0 && pcap_setnonblock(p, 1, pcap_why) == 0)
		return adopt(out, p, 1, 0, why, why_cap_bytes);
	snprintf(why, why_cap_bytes, "%s%s%s", pcap_statustostr(status),
		 *pcap_geterr(p) ? ": " : "", pcap_geterr(p));
	pcap_close(p);
	return error_of(status);
}

void capture_close(struct capture *c)
{
	if (!c)
		return;
	pcap_close(c->pcap);
	free(c);
}

static void on_frame(u_char *arg, const struct pcap_pkthdr *h, const u_char *bytes)
{
	struct capture *c = (struct capture *)arg;
	const struct capture_frame f = {
		.bytes = bytes,
		.captured_bytes = h->caplen,
		.frame_bytes = h->len < h->caplen ? h->caplen : h->len,
		.utc_us = (int64_t)h->ts.tv_sec * 1000000 + h->ts.tv_usec,
	};

	c->each(c->arg, &f);
}

int capture_drain(struct capture *c, int wait_ms,
		  void (*each)(void *arg, const struct capture_frame *f), void *arg)
{
	int n;

	c->each = each;
	c->arg = arg;
	n = pcap_dispatch(c->pcap, BATCH, on_frame, (u_char *)c);
	if (n == 0 && c->live && wait_ms) {
		struct pollfd pfd = {.fd = pcap_get_selectable_fd(c->pcap), .events = POLLIN};

		poll(&pfd, 1, wait_ms);
	}
	return n < 0 ? -EBADMSG : n;
}

const uint8_t *capture_datagram(const struct capture *c, const struct capture_frame *f,
				uint16_t *port, uint32_t *len_bytes)
{
	const uint8_t *payload;
	struct packet p;
	struct cursor udp;
	uint32_t udp_bytes;

	if (packet_parse(&p, f->bytes, f->captured_bytes, c->link) != PACKET_OK ||
	    p.key.protocol != IPPROTO_UDP || !p.ports_offset || p.flags & PACKET_FRAGMENT)
		return NULL;
	cursor_init(&udp, f->bytes + p.ports_offset, f->captured_bytes - p.ports_offset);
	cursor_skip(&udp, 4); /* ports */
	udp_bytes = cursor_be16(&udp);
	cursor_skip(&udp, 2); /* checksum */
	if (udp_bytes < 8)
		return NULL;
	payload = cursor_take(&udp, udp_bytes - 8);
	if (!payload)
		return NULL;
	*port = p.key.dst_port;
	*len_bytes = udp_bytes - 8;
	return payload;
}

enum packet_link capture_packet_link(const struct capture *c)
{
	return c->link;
}

uint64_t capture_dropped(const struct capture *c)
{
	struct pcap_stat stat;

	return c->live && pcap_stats(c->pcap, &stat) == 0 ? stat.ps_drop : 0;
}

uint64_t capture_position_bytes(const struct capture *c)
{
	long at = c->live ? -1 : ftell(pcap_file(c->pcap));

	return at < 0 ? 0 : (uint64_t)at;
}

uint64_t capture_size_bytes(const struct capture *c)
{
	return c->size_bytes;
}

const char *capture_damage(const struct capture *c)
{
	return pcap_geterr(c->pcap);
}

void capture_describe(const struct capture *c, char *buf, size_t cap_bytes)
{
	const char *name = pcap_datalink_val_to_name(pcap_datalink(c->pcap));

	snprintf(buf, cap_bytes, "libpcap, %s, %d MiB buffer", name ? name : "?",
		 BUFFER_BYTES >> 20);
}
