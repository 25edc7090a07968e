/* Captures are written by libpcap. */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/gen.h"

struct gen_output {
	pcap_t *pcap;
	pcap_dumper_t *dumper;
};

int gen_output_open(struct gen_output **out, const char *path, uint32_t snap_bytes)
{
	struct gen_output *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->pcap = pcap_open_dead(DLT_EN10MB, (int)snap_bytes);
	if (!o->pcap) {
		free(o);
		return -ENOMEM;
	}
	errno = 0;
	o->dumper = pcap_dump_open(o->pcap, path);
	if (!o->dumper) {
		int err = errno ? -errno : -EIO;

		cli_fail(CLI_FAILED, "%s", pcap_geterr(o->pcap));
		pcap_close(o->pcap);
		free(o);
		return err;
	}
	*out = o;
	return 0;
}

void gen_output_put(struct gen_output *o, int64_t utc_us, const uint8_t *bytes,
		    uint32_t captured_bytes, uint32_t frame_bytes)
{
	const struct pcap_pkthdr header = {
		.ts = {.tv_sec = (time_t)(utc_us / US_PER_S),
		       .tv_usec = (suseconds_t)(utc_us % US_PER_S)},
		.caplen = captured_bytes,
		.len = frame_bytes,
	};

	pcap_dump((u_char *)o->dumper, &header, bytes);
}

int gen_output_close(struct gen_output *o)
{
	int err;

	if (!o)
		return 0;
	err = pcap_dump_flush(o->dumper) || ferror(pcap_dump_file(o->dumper)) ? -EIO : 0;
	pcap_dump_close(o->dumper);
	pcap_close(o->pcap);
	free(o);
	return err;
}
