#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define LINE_BYTES 1024
#define TAIL_BYTES 128 /* kept free for the reason, however long the text before it */
#define END_BYTES  16  /* colour off and the newline */

static struct {
	enum log_level max;
	int with_time;
	int for_journal;
	int colour;
} log_state = {.max = LOG_LEVEL_INFO};

static const struct {
	int priority; /* sd-daemon(3) */
	const char *word;
	const char *colour;
} levels[] = {
	[LOG_LEVEL_ERROR] = {3, "error: ", "\033[31m"},
	[LOG_LEVEL_WARN] = {4, "warning: ", "\033[33m"},
	[LOG_LEVEL_INFO] = {6, "", ""},
	[LOG_LEVEL_DEBUG] = {7, "debug: ", "\033[2m"},
};

void log_open(enum log_level max, int with_time)
{
	const char *no_colour = getenv("NO_COLOR");

	log_state.max = max;
	log_state.with_time = with_time;
	log_state.for_journal = getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
	log_state.colour = isatty(STDERR_FILENO) && !(no_colour && *no_colour);
}

/* Append to line[*used..cap), never past the last byte but one; what does not fit is cut. */
static void __attribute__((format(printf, 4, 0)))
append(char *line, size_t cap_bytes, size_t *used, const char *fmt, va_list args)
{
	int n = vsnprintf(line + *used, cap_bytes - *used, fmt, args);

	if (n > 0)
		*used += (size_t)n < cap_bytes - *used ? (size_t)n : cap_bytes - *used - 1;
}

static void __attribute__((format(printf, 4, 5)))
append_text(char *line, size_t cap_bytes, size_t *used, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	append(line, cap_bytes, used, fmt, args);
	va_end(args);
}

/* One write() a line, so that lines of several threads do not mix. Control characters (hostile
 * input may be quoted) become '?'. */
static void __attribute__((format(printf, 3, 0)))
write_line(enum log_level level, const char *room, const char *fmt, va_list args, const char *tail)
{
	char line[LINE_BYTES], time[32];
	size_t used = 0, text_start;

	if (log_state.for_journal)
		append_text(line, sizeof(line), &used, "<%d>", levels[level].priority);
	if (log_state.with_time)
		append_text(line, sizeof(line), &used, "%s ",
			    clock_format_utc(time, sizeof(time), clock_utc_us(), 3));
	if (log_state.colour)
		append_text(line, sizeof(line), &used, "%s", levels[level].colour);
	text_start = used;
	append_text(line, sizeof(line), &used, "%s: %s", room,
		    log_state.for_journal ? "" : levels[level].word);
	append(line, sizeof(line) - TAIL_BYTES - END_BYTES, &used, fmt, args);
	append_text(line, sizeof(line) - END_BYTES, &used, "%s", tail);
	for (size_t i = text_start; i < used; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	append_text(line, sizeof(line), &used, "%s\n",
		    log_state.colour && *levels[level].colour ? "\033[0m" : "");
	while (write(STDERR_FILENO, line, used) < 0 && errno == EINTR)
		;
}

void log_msg(enum log_level level, const char *room, const char *fmt, ...)
{
	va_list args;

	if (level > log_state.max)
		return;
	va_start(args, fmt);
	write_line(level, room, fmt, args, "");
	va_end(args);
}

int log_fail(int err, const char *room, const char *fmt, ...)
{
	char tail[TAIL_BYTES];
	va_list args;

	snprintf(tail, sizeof(tail), ": %s", strerrordesc_np(-err) ?: "unknown error");
	va_start(args, fmt);
	write_line(LOG_LEVEL_ERROR, room, fmt, args, tail);
	va_end(args);
	return err;
}

void log_limited(struct log_limit *limit, enum log_level level, const char *room, const char *fmt,
		 ...)
{
	int64_t second = clock_mono_ns() / NS_PER_S + 1; /* never 0, which is "not yet" */
	int64_t last = __atomic_load_n(&limit->second, __ATOMIC_RELAXED);
	char tail[TAIL_BYTES] = "";
	uint64_t held_back;
	va_list args;

	if (level > log_state.max)
		return;
	if (last == second || !__atomic_compare_exchange_n(&limit->second, &last, second, 0,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_add_fetch(&limit->held_back, 1, __ATOMIC_RELAXED);
		return;
	}
	held_back = __atomic_exchange_n(&limit->held_back, 0, __ATOMIC_RELAXED);
	if (held_back)
		snprintf(tail, sizeof(tail), " (%llu more like it before)",
			 (unsigned long long)held_back);
	va_start(args, fmt);
	write_line(level, room, fmt, args, tail);
	va_end(args);
}
