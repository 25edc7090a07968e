/* Capture files and libpcap's link types, for every reader of them. */
#ifndef OBSERVER_CAPTURE_H
#define OBSERVER_CAPTURE_H

#include <stdint.h>
#include <stdio.h>
#include "wire/packet.h"

/* enum packet_link of a libpcap DLT_ value; -1: one that we do not open. */
int capture_link(int dlt);

struct capture; /* opaque: one open file */

struct capture_frame {
	const uint8_t *bytes; /* valid until the next call */
	uint32_t captured_bytes, frame_bytes;
	int64_t utc_us;
};

/* path "-" is standard input. pcap (us, ns, either byte order) and pcapng, through libpcap.
 * -ENOENT, -EACCES, or -EBADMSG with a sentence in why (no capture file). */
int capture_open(struct capture **out, const char *path, char *why, size_t why_cap_bytes);
void capture_close(struct capture *c);
enum packet_link capture_packet_link(const struct capture *c);
/* 1: a frame; 0: the file ended well; -EBADMSG: damage, see capture_damage. */
int capture_next(struct capture *c, struct capture_frame *out);
uint64_t capture_position_bytes(const struct capture *c); /* how far the file was read */
uint64_t capture_size_bytes(const struct capture *c);	  /* 0: not known (a pipe) */
const char *capture_damage(const struct capture *c);	  /* what libpcap says of it */

#endif
