/* The marker's programs with steps that can be made to fail, to walk the ways back (MARK_FAULT in
 * marker/mark.bpf.c numbers them). */
#include <linux/types.h>

volatile unsigned int fault_at; /* the step that fails; 0: none */
unsigned int faults;            /* how often it did */

static inline __attribute__((always_inline)) int fault(unsigned int step)
{
	if (fault_at != step)
		return 0;
	faults++;
	return 1;
}

#define MARK_FAULT(step) fault(step)
#include "marker/mark.bpf.c"
