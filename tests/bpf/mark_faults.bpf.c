/* The marker's programs with steps that can be made to fail, to walk the ways back (MARK_FAULT in
 * marker/mark.bpf.c numbers them). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct fault {
	__u32 at; /* the step that fails; 0: none */
	__u32 n;  /* how often it did */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fault);
} mark_fault SEC(".maps");

static __always_inline int fault(__u32 step)
{
	__u32 zero = 0;
	struct fault *f = bpf_map_lookup_elem(&mark_fault, &zero);

	if (!f || f->at != step)
		return 0;
	f->n++;
	return 1;
}

#define MARK_FAULT(step) fault(step)
#include "marker/mark.bpf.c"
