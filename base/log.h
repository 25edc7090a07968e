/* One line per event on stderr, tagged with its room. Under systemd each line carries
 * its priority prefix (sd-daemon(3)); on a terminal none. Safe from any thread. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above `max` are not written. with_time puts RFC 3339 UTC in front. Call once, before
 * threads start; the default is INFO without time. */
void log_open(enum log_level max, int with_time);

void log_msg(enum log_level level, const char *room, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Say "room: what: strerror(-err)" as an error and return err (negative errno), so that a failure
 * is said once, where its context is known: return log_fail(-errno, "tap", "open %s", name); */
int log_fail(int err, const char *room, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* For lines that hostile input can provoke: the first of each second is written, the rest are
 * counted and mentioned with the next one. One static struct per place; zero is ready to use. */
struct log_limit {
	int64_t second;
	uint64_t held_back;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *room, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));

#endif
