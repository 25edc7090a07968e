/* What the store asks of a database: begin, put, commit from its writer's thread; questions from
 * any. sqlite.c is the one there is. Errors are negative errno; db_error has the sentence. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "store/series.h"

struct db; /* opaque */

struct db_figures {                            /* as of the last commit */
	int64_t committed_utc_s, oldest_utc_s; /* CLOCK_NEVER: none */
	uint64_t file_bytes, trimmed_rows;
};
struct db_source {
	uint16_t id;
	enum source_kind kind;
	char name[64];
};

enum db_name_kind { DB_SITES, DB_APPLICATIONS, DB_NAME_KINDS };

/* Says in the log why it fails. */
int db_open(struct db **out, const char *path, const struct store_config *cfg,
	    struct db_figures *figures);
void db_close(struct db *db);

/* Call `each` for every source, by number. */
int db_sources(struct db *db, void (*each)(void *arg, const struct db_source *src), void *arg);
/* Call `each` for every site, or every application. */
int db_names(struct db *db, enum db_name_kind kind,
	     void (*each)(void *arg, uint16_t id, const char *name), void *arg);
/* The newest events, newest first; returns how many. */
size_t db_events(struct db *db, struct store_event_row *out, size_t cap);

/* One transaction. After a failure only db_rollback is allowed. */
int db_begin(struct db *db);
int db_put_source(struct db *db, const struct db_source *src);
int db_put_name(struct db *db, enum db_name_kind kind, uint16_t id, const char *name);
int db_put_event(struct db *db, const struct store_event_row *e);
/* gap_reason explains the seconds missing between the newest one and this, if there are any. */
int db_put_second(struct db *db, const struct bucket *b, const char *gap_reason);
int db_commit(struct db *db, struct db_figures *out);
void db_rollback(struct db *db);
const char *db_error(const struct db *db); /* of the writer's last failure; its thread only */

/* Answers as store.h has them, from any thread. q: its table is said, its step is 0 or a multiple
 * of 10. */
int db_query(struct db *db, const struct store_query *q, struct store_result **out);
int db_histogram(struct db *db, enum histogram_kind kind, int64_t from_utc_s, int64_t to_utc_s,
		 uint32_t group, const struct filter *filter, struct store_histograms **out);
int db_label_flows(struct db *db, int64_t from_utc_s, int64_t to_utc_s,
		   struct store_label_flows **out);
int db_flows(struct db *db, const struct store_flow_query *q, struct store_flows **out);

#endif
