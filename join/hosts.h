/* What is learnt about hosts that set flow labels: how many of their labelled flows of the sliding hour
 * decode to a registered tag, and whether they set bit 19 by habit. A bounded table; hosts with no registered
 * label are forgotten first, the longest silent before others. Inside of join; one thread. */
#ifndef JOIN_HOSTS_H
#define JOIN_HOSTS_H

#include <stddef.h>
#include <stdint.h>

#define HOSTS_MAX         65536
#define HOSTS_BIT19_LEARN 50 /* unregistered labels with bit 19, and none without */

struct hosts; /* opaque */

struct hosts *hosts_open(uint32_t hosts_max); /* NULL: no memory */
void hosts_close(struct hosts *h);
/* How likely a random label is registered. */
void hosts_set_chance(struct hosts *h, double p);
/* A labelled flow from this host was seen in the ten minutes of `now_s`; before that in those of before_s (0:
 * never). To be called when these differ. */
void hosts_label(struct hosts *h, const uint8_t ip[16], int is_registered, uint32_t label,
		 uint32_t before_s, uint32_t now_s);
/* FLOW_HOST_EXCESS and FLOW_BIT19 for a registered label of this host. */
uint32_t hosts_evidence(const struct hosts *h, const uint8_t ip[16], uint32_t label,
			uint32_t now_s);
uint32_t hosts_count(const struct hosts *h);
size_t hosts_memory_bytes(const struct hosts *h); /* reserved */
size_t hosts_touched_bytes(const struct hosts *h);

/* Ten minutes have the same number. */
static inline uint32_t hosts_slot(uint32_t utc_s)
{
	return utc_s / 600;
}

#endif
