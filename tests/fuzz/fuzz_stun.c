/* A datagram as a STUN answer: never reads outside it, and what it takes for one names an address.
 * Run: fuzz_stun tests/fuzz/corpus/stun */
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "firefly/firefly.h"
#include "marker/source_map.h"
#include "registry/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t untouched[16] = {[15] = 0xA5};
	uint8_t id[12], ip[16];

	memcpy(ip, untouched, sizeof(ip));
	if (size < 20)
		return stun_answer(ip, (const uint8_t *)"twelve bytes", data, size) ? 0
										    : (abort(), 0);
	memcpy(id, data + 8, sizeof(id)); /* or nothing gets past the transaction id */
	if (stun_answer(ip, id, data, size) && memcmp(ip, untouched, sizeof(ip)) != 0)
		abort();
	return 0;
}
