/* A body for the marker's API: what is accepted can be marked or announced, what is refused says why.
 * Run: fuzz_flow_api tests/fuzz/corpus/flow_api */
#include <stdlib.h>
#include <string.h>
#include "marker/api.h"
#include "registry/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct registry *registry;
	struct rules_flow_event e;
	char why[192] = "";
	unsigned int status;

	if (!registry)
		registry = registry_builtin();
	status = flow_api_parse(&e, (const char *)data, size, registry, 1, why, sizeof(why));
	if (status != 200) {
		if ((status != 400 && status != 422) || !*why)
			abort();
		return 0;
	}
	if (e.tag.experiment > SCITAG_LABEL_EXPERIMENT_MAX ||
	    e.tag.activity > SCITAG_ACTIVITY_MAX || !e.key.src_port || !e.key.dst_port ||
	    (e.key.family != 4 && e.key.family != 6) ||
	    !memchr(e.application, 0, sizeof(e.application)))
		abort();
	return 0;
}
