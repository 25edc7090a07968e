/* Which flow deserves which firefly, and when: START when it begins, ONGOING at an interval, END when
 * it ends or its connection is gone. A flow is known by its five-tuple; begun again it says nothing,
 * unless its tag changed: then the old one ends and a new one begins. What the rate does not let out
 * at once stays due in the flow's own row, so that nothing is lost and nothing said twice.
 *
 * The bytes of a flow are those of its connection since the flow began; of a flow without one those
 * that the marks' table counted. The table is bounded, refuses when full, and counts:
 * received = started + renewed + ended + full + unknown.
 * Sends and asks through hooks; no socket, no clock. Not thread-safe. */
#ifndef MARKER_EMITTER_H
#define MARKER_EMITTER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "firefly/firefly.h"
#include "marker/enrich.h"
#include "marker/tcp_info.h"

/* Connections asked for one by one; more at a time are asked at once. */
#define EMITTER_LOOKS_MAX 64
#define EMITTER_BATCH     1024 /* fireflies in one emitter_run() */
#define EMITTER_BYTES_MAX 8192 /* of one; with everything there is it has less than half of that */

struct emitter; /* opaque */

struct emitter_time {
	int64_t mono_ns, utc_us;
};

struct emitter_hooks {
	/* may one more go now? */
	int (*may)(void *arg, int64_t now_mono_ns);
	/* key is the flow's own: its dst is the far end */
	void (*send)(void *arg, const void *buf, size_t len_bytes, const struct flow_key *key);
	/* as tcp_info_look() and tcp_info_each() */
	int (*look)(void *arg, const struct flow_key *key, uint64_t cookie, struct tcp_sample *out);
	int (*each)(void *arg,
		    void (*each)(void *arg, const struct flow_key *key, const struct tcp_sample *s),
		    void *each_arg);
	/* payload that left on the wire in the flow, as far as its mark was counted; -ENOENT */
	int (*count)(void *arg, const struct flow_key *key, uint64_t *sent_bytes);
	/* how others know our source address */
	void (*map)(void *arg, struct flow_key *key);
	void *arg;
};

struct emitter_options {
	size_t flows_max;
	uint64_t ongoing_s; /* 0: never */
	int enrich;         /* say what the kernel knows of the connection */
	enum enrich_form form;
	int as_skops;     /* under flowd-go's other name: "skOps" */
	size_t max_bytes; /* of a firefly; the lean form keeps to FIREFLY_EMIT_MAX_BYTES anyway */
	int bare;         /* JSON without a syslog header */
	int mute;         /* keep the flows, say nothing */
	const char *host; /* in the header */
};

struct emitter_counters {
	uint64_t received, started, renewed, ended;
	uint64_t full, unknown;            /* refused: the table is full; the end of no flow */
	uint64_t gone;                     /* ended without an event: by connection, or mark */
	uint64_t emitted[FIREFLY_END + 1]; /* by state */
	size_t active;                     /* flows in the table */
	size_t due;                        /* of them, with a START or END still to be sent */
};

int emitter_open(struct emitter **out, const struct emitter_options *options,
		 const struct emitter_hooks *hooks);
/* Sends nothing: emitter_end_all() before it does. NULL is fine. */
void emitter_close(struct emitter *e);
/* For the flows that begin from now on, and the next interval of all others. */
void emitter_set(struct emitter *e, const struct emitter_options *options);

/* Do these say more than firefly_emit() can, so that samples should come with details? */
int emitter_needs_details(const struct emitter_options *options);

enum emitter_connection {
	EMITTER_ASK,    /* it may have sent something before, which is not the flow's */
	EMITTER_OPENED, /* it opened just now: all that it sends is the flow's */
	EMITTER_NONE,   /* there is none yet, as far as the caller has asked */
};

/* application may be "", start_utc_us 0: unsaid, ours and now. 0; -ENOSPC. */
int emitter_begin(struct emitter *e, const struct flow_key *key, struct scitag tag,
		  const char *application, int64_t start_utc_us, enum emitter_connection connection,
		  struct emitter_time now);
/* end_utc_us may be 0: now. Of a TCP connection that is gone the last word is awaited, which may come
 * later than that it closed: EMITTER_LAST_WORD_NS at most. 0; -ENOENT. */
#define EMITTER_LAST_WORD_NS 1000000000LL
int emitter_end(struct emitter *e, const struct flow_key *key, int64_t end_utc_us,
		struct emitter_time now);
/* Its mark ended, for whatever reason: so does the flow, if it has not yet. */
void emitter_lapse(struct emitter *e, const struct flow_key *key, struct emitter_time now);
/* A connection went; s is its last word. Ends its flow, unless that is another connection's. */
void emitter_gone(struct emitter *e, const struct flow_key *key, const struct tcp_sample *s,
		  struct emitter_time now);
/* Word of some ends was lost: ask for all connections, and end the flows of those that went. */
void emitter_missed(struct emitter *e, struct emitter_time now);
void emitter_end_all(struct emitter *e, struct emitter_time now);

/* Is it announced? */
int emitter_has(const struct emitter *e, const struct flow_key *key);
/* Call each for every flow that has not ended, which it may end. */
void emitter_each(const struct emitter *e,
		  void (*each)(void *arg, const struct flow_key *key, const struct scitag *tag),
		  void *arg);

/* For a successor: write the flows down, and read them; those that are known already stay as they
 * are. What was written more than EMITTER_HANDOVER_S ago, or by another version, is nothing. Returns
 * how many flows, or -errno. */
#define EMITTER_HANDOVER_S 600
int emitter_save(const struct emitter *e, FILE *to, struct emitter_time now);
int emitter_load(struct emitter *e, FILE *from, struct emitter_time now);

/* Send what is due. */
void emitter_run(struct emitter *e, struct emitter_time now);
/* When to run again, on the clock of now_mono_ns; INT64_MAX: no need. */
int64_t emitter_next(const struct emitter *e, int64_t now_mono_ns);

/* Grows whenever what emitter_save() writes gained or lost a flow. */
uint64_t emitter_changes(const struct emitter *e);
void emitter_count(const struct emitter *e, struct emitter_counters *out);

#endif
