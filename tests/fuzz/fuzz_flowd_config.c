/* A configuration of flowd: whatever is in it, what comes out is YAML that our reader takes apart.
 * Run: fuzz_flowd_config tests/fuzz/corpus/flowd_config */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/opt.h"
#include "marker/config.h"
#include "marker/convert.h"
#include "registry/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* "fuzz:LINE:COLUMN: what is wrong" of each line: a value may be out of range, but no text may break
 * out of its quotes. */
static void check_complaints(char *said)
{
	for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n")) {
		const char *what = strstr(line, ": ");

		if (what &&
		    (!strncmp(what + 2, "not YAML", 8) || !strncmp(what + 2, "unknown key", 11)))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *in, *out, *quiet, *heard;
	char *yaml = NULL, *said = NULL, *ignored = NULL;
	size_t n = 0, m = 0, k = 0;
	struct marker_config cfg = {0};

	if (!size)
		return 0;
	in = fmemopen((void *)data, size, "r");
	out = open_memstream(&yaml, &n);
	quiet = open_memstream(&ignored, &k);
	heard = open_memstream(&said, &m);
	if (!in || !out || !quiet || !heard)
		abort();
	convert_flowd(in, "fuzz", out, quiet);
	fclose(out);
	opt_read_text(&marker_program, &cfg, "fuzz", yaml, n, heard);
	fclose(heard);
	fclose(quiet);
	fclose(in);
	check_complaints(said);
	opt_free(&marker_program, &cfg);
	free(yaml);
	free(said);
	free(ignored);
	return 0;
}
