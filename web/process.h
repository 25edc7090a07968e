/* What the kernel says of this process. Any thread. */
#ifndef WEB_PROCESS_H
#define WEB_PROCESS_H

#include <stdint.h>

struct process_status {
	uint64_t resident_bytes, virtual_bytes;
	uint64_t threads, open_files, open_files_max;
	double cpu_s;
};
void process_status(struct process_status *out); /* 0 where /proc does not say */

#endif
