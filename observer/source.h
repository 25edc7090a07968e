/* One shape for every input: a thread that reads, decodes, aggregates, and hands over a second.
 * A source owns its socket, tables and aggregate; the collector asks for a closed second with
 * source_take and never looks inside.
 *
 * Flow of a second: collector -> source_take(s) -> the source's thread, at its next turn, moves its
 * rows, flows, fireflies and status into *out. No lock is held while packets are handled: the thread looks at
 * one flag per batch. */
#ifndef OBSERVER_SOURCE_H
#define OBSERVER_SOURCE_H

#include "base/clock.h"
#include "join/flow.h"
#include "observer/aggregate.h"
#include "observer/seen.h"
#include "observer/site.h"
#include "registry/keeper.h"

struct source; /* opaque */

struct source_context {                   /* what every source may use; outlives it */
	struct store *store;              /* source ids only */
	struct registry_keeper *registry; /* for struct scitag_set */
	const struct site *site;          /* addresses -> direction */
};

/* What one source did in one second. Arrays are malloc'd and change owner. */
struct source_second {
	size_t n_rows, n_statuses, n_seen, n_heard, n_glimpses;
	struct traffic_row *rows;
	struct source_status *statuses; /* the input itself first, then e.g. its agents */
	struct seen *seen;              /* for the join: flows, and fireflies */
	struct heard *heard;
	struct glimpse *glimpses; /* for eyes */
	uint64_t
		not_followed; /* packets of flows that found no place, since the source was opened */
};

/* Open and start. On failure: negative errno, said in the log naming the interface or address
 * (-ENODEV, -EADDRINUSE, -EACCES, -EPERM). note: what the health page is to say of it besides; "" nothing. */
int source_pcap_open(struct source **out, const struct source_context *ctx, const char *interface,
		     const char *note);
int source_sflow_open(struct source **out, const struct source_context *ctx, const char *listen);
int source_firefly_open(struct source **out, const struct source_context *ctx, const char *listen);

/* An interface through XDP: counted by the tap in the kernel, or every frame brought here by AF_XDP. */
struct source_xdp_config {
	const char *interface;
	int every_frame; /* AF_XDP; needs `mirror`, as the host gets none of them */
	int mirror;      /* nobody else wants its packets, so they may end here. Not believed of an
			  * interface with addresses */
	int native_only; /* refuse the generic mode, which sees no more than libpcap does */
	int busy_poll;
	uint32_t samples_per_s; /* of the tap; 0: its own choice */
};
/* On failure nothing is logged: one sentence in why. -EBUSY: a foreign XDP program. */
int source_xdp_open(struct source **out, const struct source_context *ctx,
		    const struct source_xdp_config *cfg, char *why, size_t why_cap_bytes);
/* One receive queue of it, which source_xdp puts together. The rows and flows are those of source `id`. On failure the
 * socket is still the caller's. */
struct afxdp;
int source_afxdp_open(struct source **out, const struct source_context *ctx, struct afxdp *socket,
		      uint16_t id, const char *name, uint32_t seen_max);

/* Ask the thread for its second; source_take fetches it. Asking all before taking the first keeps
 * the seconds of several sources aligned. */
void source_ask(struct source *s);
/* Wait for what was asked for. 0 and *out, or -ETIMEDOUT after 1 s: the source is stuck or busy, and
 * what it gathers comes with the next second. */
int source_take(struct source *s, struct source_second *out);
void source_second_free(struct source_second *second); /* the arrays; not the struct */
/* Put the arrays of s behind those of sum, which owns them then; s is empty after it. */
void source_second_add(struct source_second *sum, struct source_second *s);
/* Stop the thread, read what the kernel still holds, hand over the rest. rest may be NULL. */
void source_close(struct source *s, struct source_second *rest);

/* For the sources' own files: the thread and the handing over. */
struct source_ops {
	/* Handle what is there, a few thousand units at the most; wait at most wait_ms when idle.
	 * Returns how many were handled; negative errno: down, it is called again after a second. */
	int (*drain)(void *self, int wait_ms);
	/* Move the current second out. */
	void (*take)(void *self, struct source_second *out);
	void (*close)(void *self);
	/* Let nothing new in; a last drain and take follow. May be NULL. */
	void (*stop)(void *self);
};
/* On failure `self` is still the caller's. */
int source_start(struct source **out, const struct source_ops *ops, void *self, const char *name);
/* Put a note of at most 80 bytes in front of a status' detail, whose end may be cut for it. */
void source_note(struct source_status *status, const char *text);
/* Copy the registered pairs anew when the registry changed since `generation` (0: never copied). */
void source_registry(const struct source_context *ctx, struct scitag_set *registered,
		     uint64_t *generation);
/* Count an observation (observation_is_traffic) in its cell, and its flow among the seen ones. Sets its
 * direction. */
void source_count(const struct source_context *ctx, struct aggregate *a, struct seen_table *seen,
		  struct observation *o);
/* Move the second out: rows and flows, behind what is in *out; and how much was not followed. */
void source_take_counts(struct aggregate *a, struct seen_table *seen, struct source_second *out);
/* Fill received, accepted (frames that are no IP included) and rejected of a status from counts by enum packet_verdict; dropped must
 * be filled already. */
void source_count_verdicts(struct source_status *status,
			   const uint64_t verdicts[PACKET_VERDICT_COUNT]);
const char *
packet_verdict_name(enum packet_verdict v); /* "short", "malformed", "chain", "not_ip" */

#endif
