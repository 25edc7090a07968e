/* scitag gen: traffic for a rehearsal, made up from a seed, with the truth beside it.
 *
 * One model makes packets of flows; three writers turn them into a capture of frames, of sFlow
 * datagrams, or of fireflies. The same seed and sizes give the same flows in all three, so that a
 * capture, its samples and its fireflies can be rehearsed together. The truth is what the model
 * decided, added up; nothing of it is read back from the output. One thread. */
#ifndef CLI_GEN_H
#define CLI_GEN_H

#include <jansson.h>
#include <stdint.h>
#include "cli/cli.h"
#include "wire/flow_key.h"
#include "wire/scitag.h"

#define GEN_STREAMS         14   /* pairs of experiment and activity that send */
#define GEN_FRAME_MAX_BYTES 1536 /* the longest frame: 1500 of IP, two VLAN tags */
#define GEN_AGENTS_MAX      64

/* --- numbers from a seed: xoshiro256** (Blackman, Vigna), seeded by splitmix64 ------------- */
struct gen_random {
	uint64_t state[4];
};
void gen_random_seed(struct gen_random *r, uint64_t seed);
uint64_t gen_random_u64(struct gen_random *r);
uint32_t gen_random_below(struct gen_random *r, uint32_t n); /* 0..n-1 */
double gen_random_unit(struct gen_random *r);                /* [0, 1) */

/* --- what is asked for --------------------------------------------------------------------- */
enum gen_carrier_choice { GEN_MIX, GEN_LABEL, GEN_DESTINATION, GEN_HOP_BY_HOP, GEN_BOTH };

struct gen_config {
	struct cli_common common;
	int64_t seed, packets, flows, agents, rate, snap_bytes;
	uint64_t duration_s;
	char *out, *truth, *marked;
	int carrier; /* enum gen_carrier_choice */
	double marked_share;
};

/* --- the model -------------------------------------------------------------------------------- */
enum gen_class { /* of a packet, as it stands on the wire */
		 GEN_MARKED,
		 GEN_RANDOM_LABEL, /* as ordinary hosts do; looks like some pair by chance */
		 GEN_LABEL_ZERO,
		 GEN_IPV4,
		 GEN_NOT_IP, /* ARP */
		 GEN_CLASS_COUNT
};

struct gen_flow {
	struct flow_key key;  /* from the data's sender to its receiver */
	enum gen_class class; /* of what the sender sends; the answers are never marked */
	int stream;           /* -1: nobody's */
	struct scitag tag;    /* GEN_MARKED */
	struct scitag claim;  /* what its firefly says; 0/0: there is none */
	uint8_t carrier;      /* enum scitag_carrier */
	uint8_t dialect;      /* enum scitag_dialect, of an option */
	uint8_t n_vlans;
	uint8_t is_inbound;   /* towards 2001:db8:1::/48 and 192.0.2.0/24 */
	uint8_t server_sends; /* a download */
	uint16_t vlans[2];
	uint32_t label, back_label, entropy;
	uint32_t number;
	uint32_t rtt_us;
	uint64_t packets, packets_left;
	uint32_t sequence, back_sequence; /* of TCP */
	int64_t first_utc_us, last_utc_us;
	uint64_t out_bytes, back_bytes; /* of IP */
};

struct gen_packet {
	int64_t utc_us;
	struct gen_flow *flow; /* NULL: GEN_NOT_IP */
	enum gen_class class;
	uint8_t is_back; /* from the receiver to the sender */
	uint8_t tcp_flags;
	uint32_t tcp_sequence, tcp_acknowledged;
	uint32_t ip_bytes, frame_bytes;
};

struct gen_model;                                               /* opaque */
struct gen_model *gen_model_open(const struct gen_config *cfg); /* NULL: no memory */
void gen_model_close(struct gen_model *m);
/* The next packet, times never falling; 0 when all are made. */
int gen_model_next(struct gen_model *m, struct gen_packet *p);
/* Called for each flow that is over, and by gen_model_finish for those that are not. */
typedef void (*gen_flow_done)(void *arg, const struct gen_flow *flow, int is_over);
void gen_model_on_done(struct gen_model *m, gen_flow_done done, void *arg);
void gen_model_finish(struct gen_model *m);
uint64_t gen_model_flows(const struct gen_model *m);
struct scitag gen_stream_tag(int stream);
extern const int64_t gen_start_utc_us;

/* --- bytes -------------------------------------------------------------------------------------- */
struct gen_bytes { /* a writer; what does not fit is not written, and `at` shows it */
	uint8_t *buf;
	size_t cap_bytes, at;
};
void gen_put(struct gen_bytes *b, const void *bytes, size_t n);
void gen_put_zeros(struct gen_bytes *b, size_t n);
void gen_put_u8(struct gen_bytes *b, uint8_t v);
void gen_put_be16(struct gen_bytes *b, uint16_t v);
void gen_put_be32(struct gen_bytes *b, uint32_t v);
void gen_put_be64(struct gen_bytes *b, uint64_t v);

/* The first cap_bytes of a packet's frame, its payload all zero; returns how many. */
uint32_t gen_frame(uint8_t *buf, uint32_t cap_bytes, const struct gen_packet *p);
/* A whole frame with a UDP datagram of one family; returns its length. */
uint32_t gen_udp_frame(uint8_t buf[GEN_FRAME_MAX_BYTES], const struct flow_key *key,
		       const void *payload, uint32_t len_bytes);

/* --- what comes out ------------------------------------------------------------------------------- */
struct gen_output; /* opaque: a pcap file */
/* path "-" is standard output. Says what went wrong. */
int gen_output_open(struct gen_output **out, const char *path, uint32_t snap_bytes);
void gen_output_put(struct gen_output *o, int64_t utc_us, const uint8_t *bytes,
		    uint32_t captured_bytes, uint32_t frame_bytes);
int gen_output_close(struct gen_output *o); /* 0, or -EIO: something was not written; takes NULL */

/* --- the truth ------------------------------------------------------------------------------------ */
struct gen_sum {
	uint64_t samples, packets, bytes, ip_bytes;
};
struct gen_truth {
	struct gen_sum all;
	struct gen_sum classes[GEN_CLASS_COUNT];
	struct gen_sum tags[GEN_STREAMS][CARRIER_COUNT];
	struct gen_sum protocols[256];
	struct gen_sum vlans[3];
	struct gen_sum
		*by_chance; /* random labels as the pairs they look like; SCITAG_LABEL_CODES */
	int64_t first_utc_us, last_utc_us;
};
int gen_truth_open(struct gen_truth *t); /* 0 or -ENOMEM */
void gen_truth_close(struct gen_truth *t);
/* weight: packets that this one stands for; frame_bytes as the carrier of the news counts them. */
void gen_truth_add(struct gen_truth *t, const struct gen_packet *p, uint32_t weight,
		   uint32_t frame_bytes);
json_t *gen_truth_json(const struct gen_truth *t);
void gen_sum_add(struct gen_sum *sum, const struct gen_sum *one);
json_t *gen_sum_json(const struct gen_sum *s);

/* --- the writers: fill `out` and `truth`; 0 or negative errno -------------------------------------- */
int gen_pcap(const struct gen_config *cfg, struct gen_output *out, json_t *truth);
int gen_sflow(const struct gen_config *cfg, struct gen_output *out, json_t *truth);
int gen_firefly(const struct gen_config *cfg, struct gen_output *out, json_t *truth);

#endif
