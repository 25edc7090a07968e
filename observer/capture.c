#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "observer/capture.h"

struct capture {
	pcap_t *pcap; /* owns its FILE */
	enum packet_link link;
	uint64_t size_bytes;
};

int capture_link(int dlt)
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

int capture_open(struct capture **out, const char *path, char *why, size_t why_cap_bytes)
{
	char pcap_why[PCAP_ERRBUF_SIZE] = "";
	struct capture *c = calloc(1, sizeof(*c));
	struct stat st;
	FILE *f;
	int link, err;

	if (!c)
		return -ENOMEM;
	f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	if (!f) {
		err = -errno;
		snprintf(why, why_cap_bytes, "%s", strerror(-err));
		free(c);
		return err;
	}
	setvbuf(f, NULL, _IOFBF, 1 << 20);
	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode))
		c->size_bytes = (uint64_t)st.st_size;
	c->pcap = pcap_fopen_offline(f, pcap_why);
	if (!c->pcap) {
		snprintf(why, why_cap_bytes, "%s", pcap_why);
		if (f != stdin)
			fclose(f);
		free(c);
		return -EBADMSG;
	}
	link = capture_link(pcap_datalink(c->pcap));
	if (link < 0) {
		const char *name = pcap_datalink_val_to_name(pcap_datalink(c->pcap));

		snprintf(why, why_cap_bytes, "link type %d (%s) is none that we open",
			 pcap_datalink(c->pcap), name ? name : "unknown");
		capture_close(c);
		return -EBADMSG;
	}
	c->link = (enum packet_link)link;
	*out = c;
	return 0;
}

void capture_close(struct capture *c)
{
	if (!c)
		return;
	pcap_close(c->pcap);
	free(c);
}

enum packet_link capture_packet_link(const struct capture *c)
{
	return c->link;
}

int capture_next(struct capture *c, struct capture_frame *out)
{
	struct pcap_pkthdr *h;
	const u_char *bytes;

	switch (pcap_next_ex(c->pcap, &h, &bytes)) {
	case 1:
		*out = (struct capture_frame){
			.bytes = bytes,
			.captured_bytes = h->caplen,
			.frame_bytes = h->len < h->caplen ? h->caplen : h->len,
			.utc_us = (int64_t)h->ts.tv_sec * 1000000 + h->ts.tv_usec,
		};
		return 1;
	case PCAP_ERROR_BREAK:
		return 0;
	default:
		return -EBADMSG;
	}
}

uint64_t capture_position_bytes(const struct capture *c)
{
	long at = ftell(pcap_file(c->pcap));

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
