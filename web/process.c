#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "web/process.h"

static uint64_t count_open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; /* "." and ".." and the directory itself */
}

void process_status(struct process_status *out)
{
	unsigned long long utime, stime, threads, virtual_bytes, resident_pages;
	struct rlimit files;
	char line[1024], *rest;
	FILE *f = fopen("/proc/self/stat", "re");

	*out = (struct process_status){.open_files = count_open_files()};
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		out->open_files_max = files.rlim_cur;
	if (!f)
		return;
	rest = fgets(line, sizeof(line), f) ? strrchr(line, ')')
					    : NULL; /* the name may hold anything */
	fclose(f);
	/* proc(5): fields 14 and 15 are ticks of user and system time, 20 threads, 23 bytes, 24 pages */
	if (!rest ||
	    sscanf(rest,
		   ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %llu "
		   "%*d %*u %llu %llu",
		   &utime, &stime, &threads, &virtual_bytes, &resident_pages) != 5)
		return;
	out->cpu_s = (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK);
	out->threads = threads;
	out->virtual_bytes = virtual_bytes;
	out->resident_bytes = resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
