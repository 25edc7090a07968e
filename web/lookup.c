/* Names: the registry as a list, and one tag in every form. */
#include <stdio.h>

#include "registry/reading.h"
#include "web/api.h"
#include "web/names.h"

static json_t *experiment(const struct registry_experiment *e)
{
	json_t *activities = json_array();

	for (size_t i = 0; i < e->n_activities; i++)
		json_array_append_new(activities,
				      json_pack("{s:i, s:o}", "activity_id", e->activities[i].id,
						"activity", json_words(e->activities[i].name)));
	return json_pack("{s:i, s:o, s:o}", "experiment_id", e->id, "experiment",
			 json_words(e->name), "activities", activities);
}

void answer_registry(const struct question *q, struct answer *out)
{
	struct registry_keeper_status status;
	json_t *experiments = json_array();

	registry_keeper_status(q->api->registry, &status);
	for (size_t i = 0; i < q->registry->n_experiments; i++)
		json_array_append_new(experiments, experiment(&q->registry->experiments[i]));
	answer_json(out,
		    json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "origin", json_words(status.origin),
			      "modified", json_words(q->registry->modified), "loaded",
			      json_time_s(status.loaded_utc_s), "checked",
			      json_time_s(status.checked_utc_s), "pairs",
			      json_count(q->registry->n_pairs), "experiments", experiments));
}

static json_t *json_label(int there, uint32_t label)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%05x", label);
	return there ? json_string(text) : json_null();
}

static json_t *json_option(const struct reading *r)
{
	char text[2 * sizeof(r->option) + 1];

	for (size_t i = 0; i < sizeof(r->option); i++)
		snprintf(text + 2 * i, 3, "%02x", r->option[i]);
	return r->has_option ? json_string(text) : json_null();
}

static json_t *json_reading(const struct reading *r, const struct registry *registry)
{
	char experiment_text[12], activity_text[12];
	int32_t e = r->tag.experiment, a = r->tag.activity;

	return json_pack("{s:s, s:i, s:i, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "as",
			 reading_as_name(r->as), "experiment_id", e, "activity_id", a, "experiment",
			 json_words(name_experiment(registry, e, a, experiment_text)), "activity",
			 json_words(name_activity(registry, e, a, activity_text)), "registered",
			 r->registered != 0, "entropy", json_label(r->has_entropy, r->entropy),
			 "label", json_label(r->has_label, r->label), "option", json_option(r),
			 "scitag", r->scitag_flow ? json_count(r->scitag_flow) : json_null(),
			 "note", json_words(r->note));
}

void answer_decode(const struct question *q, struct answer *out)
{
	struct reading readings[READINGS_MAX];
	size_t n = reading_of(q->registry, q->value, readings, READINGS_MAX);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_reading(&readings[i], q->registry));
	answer_json(out, json_pack("{s:o, s:o}", "value", json_words(q->value), "readings", list));
}
