/* scitag gen pcap: every packet of the model as a frame. */
#include <errno.h>

#include "cli/gen.h"

int gen_pcap(const struct gen_config *cfg, struct gen_output *out, json_t *truth)
{
	struct gen_model *m = gen_model_open(cfg);
	uint8_t frame[GEN_FRAME_MAX_BYTES];
	uint32_t cap_bytes = (uint32_t)cfg->snap_bytes;
	struct cli_progress progress;
	struct gen_truth t;
	struct gen_packet p;
	json_t *totals;

	if (!m || gen_truth_open(&t)) {
		gen_model_close(m);
		return -ENOMEM;
	}
	if (cap_bytes > sizeof(frame))
		cap_bytes = sizeof(frame);
	cli_progress_start(&progress, "making", "packets", (uint64_t)cfg->packets);
	while (gen_model_next(m, &p)) {
		gen_output_put(out, p.utc_us, frame, gen_frame(frame, cap_bytes, &p),
			       p.frame_bytes);
		gen_truth_add(&t, &p, 1, p.frame_bytes);
		cli_progress_to(&progress, t.all.samples);
	}
	cli_progress_end(&progress);
	totals = gen_truth_json(&t);
	json_object_update(truth, totals);
	json_object_set_new(truth, "flows", json_integer((json_int_t)gen_model_flows(m)));
	json_decref(totals);
	gen_truth_close(&t);
	gen_model_close(m);
	return 0;
}
