/* What an observation takes from a packet: sizes that a header cannot inflate. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/packet_vectors.h"
#include "observer/observation.h"

static struct vector vectors[VECTORS_MAX];
static struct scitag_set registered;

static const struct vector *named(const char *name)
{
	for (const struct vector *v = vectors; v < vectors + VECTORS_MAX; v++) {
		if (!strcmp(v->name, name))
			return v;
	}
	fail_msg("no vector named %s", name);
	return NULL;
}

static void an_observation_bounds_what_headers_claim(void **state)
{
	struct observation o = {.frame_bytes = 74, .weight = 7};
	const struct vector *v = named("label");

	(void)state;
	assert_int_equal(observation_from_packet(&o, v->bytes, v->len_bytes, v->link, &registered),
			 PACKET_OK);
	assert_int_equal(o.ip_bytes, 60);
	assert_int_equal(o.weight, 7);
	assert_int_equal(o.tag.tag.experiment, 3);
	assert_int_equal(o.label, 0x7003a);
	v = named("jumbo");
	o.frame_bytes = 1000; /* the header claims 73,768 */
	observation_from_packet(&o, v->bytes, v->len_bytes, v->link, &registered);
	assert_int_equal(o.ip_bytes, 986);
	v = named("length_zero");
	o.frame_bytes = 70014; /* the header does not say */
	observation_from_packet(&o, v->bytes, v->len_bytes, v->link, &registered);
	assert_int_equal(o.ip_bytes, 70000);
	v = named("headers_x17");
	observation_from_packet(&o, v->bytes, v->len_bytes, v->link, &registered);
	assert_int_equal(o.verdict, PACKET_CHAIN);
	assert_int_equal(o.label | o.ip_bytes | o.tag.grade, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_observation_bounds_what_headers_claim),
	};

	vectors_read(vectors);
	vector_registered(&registered);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
