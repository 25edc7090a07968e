/* A registry document and a value to decode, from one input: what stands before the first NUL is
 * the value, the rest the document. make fuzz, or:
 *     fuzz_registry tests/fuzz/corpus/registry */
#include <stdlib.h>
#include <string.h>

#include "registry/reading.h"
#include "registry/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void count(void *arg, const char *line)
{
	*(size_t *)arg += strlen(line);
}

/* What any registry that was let in must hold. */
static void check_registry(const struct registry *r)
{
	size_t n_pairs = 0, n_chars = 0;

	for (size_t i = 0; i < r->n_experiments; i++) {
		const struct registry_experiment *e = &r->experiments[i];

		if (i && e->id <= r->experiments[i - 1].id)
			abort();
		if (registry_find_experiment(r, e->id) != e)
			abort();
		for (size_t j = 0; j < e->n_activities; j++)
			if (!registry_activity_name(r, e->id, e->activities[j].id))
				abort();
		n_pairs += e->n_activities;
	}
	if (!r->n_experiments || n_pairs != r->n_pairs)
		abort();
	registry_diff(r, r, count, &n_chars);
	if (n_chars)
		abort();
}

static void check_readings(const struct registry *r, const char *text)
{
	struct reading readings[READINGS_MAX];
	size_t n = reading_of(r, text, readings, READINGS_MAX);

	for (size_t i = 0; i < n; i++) {
		const struct reading *x = &readings[i];
		struct scitag tag;

		if (i && x->registered && !readings[i - 1].registered)
			abort();
		if (!memchr(x->note, 0, sizeof(x->note)))
			abort();
		if (!x->has_label)
			continue;
		tag = scitag_label_decode(x->label); /* the label must say the same tag */
		if (tag.experiment != x->tag.experiment || tag.activity != x->tag.activity)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct registry *builtin;
	const uint8_t *end = memchr(data, 0, len);
	size_t value_len = end ? (size_t)(end - data) : len;
	size_t used = end ? value_len + 1 : len;
	struct registry *r = NULL;
	char why[160], *value = strndup((const char *)data, value_len);
	size_t n_chars = 0;

	if (!builtin)
		builtin = registry_builtin();
	check_readings(builtin, value);
	if (!registry_parse(&r, (const char *)data + used, len - used, why, sizeof(why))) {
		check_registry(r);
		check_readings(r, value);
		registry_refuse_swap(builtin, r);
		registry_diff(builtin, r, count, &n_chars);
	}
	registry_free(r);
	free(value);
	return 0;
}
