/* A datagram as a firefly: never reads outside it, never accepts what cannot be written and read
 * again the same. Run: fuzz_firefly tests/fuzz/corpus/firefly */
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "firefly/firefly.h"

#define YEAR_1_US    (-62135596800LL * US_PER_S)
#define YEAR_9999_US (253402300799LL * US_PER_S)

static int is_writable_time(int64_t utc_us)
{
	return utc_us == FIREFLY_TIME_UNKNOWN || (utc_us >= YEAR_1_US && utc_us <= YEAR_9999_US);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char buf[FIREFLY_EMIT_MAX_BYTES];
	struct firefly ff, again;
	int n;

	if (firefly_parse(&ff, data, size) != FIREFLY_OK)
		return 0;
	if (!memchr(ff.application, '\0', sizeof(ff.application)) ||
	    !memchr(ff.host, '\0', sizeof(ff.host)) || !memchr(ff.app, '\0', sizeof(ff.app)))
		abort();
	if (!is_writable_time(ff.current_utc_us) || !is_writable_time(ff.header_utc_us) ||
	    !is_writable_time(ff.start_utc_us) || !is_writable_time(ff.end_utc_us))
		return 0;
	n = firefly_emit(&ff, buf, sizeof(buf));
	if (n < 0 || firefly_parse(&again, buf, (size_t)n) != FIREFLY_OK)
		abort();
	if (again.state != ff.state || memcmp(&again.key, &ff.key, sizeof(ff.key)) != 0 ||
	    again.tag.experiment != ff.tag.experiment || again.tag.activity != ff.tag.activity ||
	    again.rtt_us != ff.rtt_us || strcmp(again.application, ff.application) != 0 ||
	    again.start_utc_us != ff.start_utc_us || again.end_utc_us != ff.end_utc_us)
		abort();
	return 0;
}
