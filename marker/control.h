/* The daemon's own door: a Unix stream socket, mode 0600. A client sends one line and reads the
 * answer to its end; an answer that starts with "error: " is one. */
#ifndef MARKER_CONTROL_H
#define MARKER_CONTROL_H

#include <stddef.h>
#include <stdio.h>

#define CONTROL_LINE_BYTES 1024
#define CONTROL_CLIENTS    8

struct control; /* opaque */

/* -EADDRINUSE: another daemon answers there. A socket that nobody answers is replaced. */
int control_open(struct control **out, const char *path);
void control_close(struct control *c);
/* Descriptors to be polled for reading: at most CONTROL_CLIENTS + 1. Returns how many. */
size_t control_fds(const struct control *c, int *fds);
/* fd is readable: accept, or read; a whole line is handed to answer, which writes to out. */
void control_serve(struct control *c, int fd, void (*answer)(void *arg, char *line, FILE *out),
		   void *arg);

/* The client: send the line, copy the answer to out. 0; 1 if the answer was an error (which is
 * then on err); -errno if nobody is there. */
int control_ask(const char *path, const char *line, FILE *out, FILE *err);

#endif
