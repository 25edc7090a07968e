/* Frames through libpcap, from files and interfaces: the only door to it for reading. */
#ifndef OBSERVER_CAPTURE_H
#define OBSERVER_CAPTURE_H

#include <stdint.h>
#include <stdio.h>
#include "wire/packet.h"

struct capture; /* opaque: one open file or interface */

struct capture_frame {
	const uint8_t *bytes; /* valid until the next one */
	uint32_t captured_bytes, frame_bytes;
	int64_t utc_us;
};

/* path "-" is standard input. pcap (us, ns, either byte order) and pcapng. -ENOENT, -EACCES, or
 * -EBADMSG (no capture file, or a link type that we do not open) with a sentence in why. */
int capture_open_file(struct capture **out, const char *path, char *why, size_t why_cap_bytes);
/* Promiscuous, never blocking. -ENODEV, -EPERM, -ENETDOWN, -EIO with a sentence in why. */
int capture_open_live(struct capture **out, const char *interface, char *why, size_t why_cap_bytes);
void capture_close(struct capture *c); /* takes NULL */

/* Hand over what is there, a few thousand frames at the most; live, wait at most wait_ms when there is
 * nothing. Returns how many, 0 (a file: its end), or -EBADMSG: damage or a lost interface, see
 * capture_damage. */
int capture_drain(struct capture *c, int wait_ms,
		  void (*each)(void *arg, const struct capture_frame *f), void *arg);

/* The payload of the UDP datagram in a frame and its destination port; NULL when it holds none, a
 * fragment, or less than all of it. */
const uint8_t *capture_datagram(const struct capture *c, const struct capture_frame *f,
				uint16_t *port, uint32_t *len_bytes);

enum packet_link capture_packet_link(const struct capture *c);
uint64_t capture_dropped(const struct capture *c); /* live: frames that the kernel had to drop */
uint64_t capture_position_bytes(const struct capture *c); /* a file: how far it was read */
uint64_t capture_size_bytes(const struct capture *c);     /* 0: not known (a pipe) */
const char *capture_damage(const struct capture *c);      /* in libpcap's words */
/* "libpcap, EN10MB, 64 MiB buffer" */
void capture_describe(const struct capture *c, char *buf, size_t cap_bytes);

#endif
