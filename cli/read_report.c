/* What scitag read found: as a table, CSV or one JSON object. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/names.h"
#include "cli/read.h"
#include "observer/source.h"

struct group {
	struct traffic_key key; /* members that are not asked for are 0 */
	struct traffic_value value;
};

static struct traffic_key group_key(const struct reader *r, const struct traffic_key *k)
{
	return (struct traffic_key){
		.source = r->by & 1u << DIM_SOURCE ? k->source : 0,
		.family = r->by & 1u << DIM_FAMILY ? k->family : 0,
		.carrier = r->by & 1u << DIM_CARRIER ? k->carrier : 0,
		.grade = r->by & 1u << DIM_GRADE ? k->grade : 0,
		.experiment = r->by & 1u << DIM_EXPERIMENT ? k->experiment : 0,
		.activity = r->by & 1u << DIM_ACTIVITY ? k->activity : 0,
	};
}

static int by_key(const void *a, const void *b)
{
	const struct traffic_key *x = &((const struct group *)a)->key;
	const struct traffic_key *y = &((const struct group *)b)->key;
	const int differences[] = {
		x->experiment - y->experiment, x->activity - y->activity, x->carrier - y->carrier,
		x->grade - y->grade,           x->family - y->family,     x->source - y->source,
	};

	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
		if (differences[i])
			return differences[i];
	}
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	uint64_t x = ((const struct group *)a)->value.bytes;
	uint64_t y = ((const struct group *)b)->value.bytes;

	return x < y ? 1 : x > y ? -1 : by_key(a, b);
}

static void add_value(struct traffic_value *to, const struct traffic_value *v)
{
	to->packets += v->packets;
	to->bytes += v->bytes;
	to->ip_bytes += v->ip_bytes;
	to->samples += v->samples;
	to->bytes_variance += v->bytes_variance;
}

struct totals {
	struct group *tags; /* tagged ones only, largest first */
	size_t n_tags;
	struct traffic_value ipv4, label_zero;
	struct traffic_value registered_labels, unregistered_labels;
};

static int make_totals(struct reader *r, struct totals *t)
{
	const size_t n_rows = aggregate_rows(r->aggregate);
	struct traffic_row *rows = calloc(n_rows + 1, sizeof(*rows));
	size_t n = 0;

	t->tags = calloc(n_rows + 1, sizeof(*t->tags));
	if (!rows || !t->tags) {
		free(rows);
		return -ENOMEM;
	}
	aggregate_take(r->aggregate, rows);
	for (size_t i = 0; i < n_rows; i++) {
		const struct traffic_key *k = &rows[i].key;

		if (k->grade == GRADE_UNTAGGED) {
			add_value(k->family == 4 ? &t->ipv4 : &t->label_zero, &rows[i].value);
			continue;
		}
		if (k->carrier == CARRIER_LABEL)
			add_value(k->grade == GRADE_REGISTERED ? &t->registered_labels
							       : &t->unregistered_labels,
				  &rows[i].value);
		t->tags[n++] = (struct group){group_key(r, k), rows[i].value};
	}
	free(rows);
	qsort(t->tags, n, sizeof(*t->tags), by_key);
	for (size_t i = 0; i < n; i++) {
		struct group *last = t->n_tags ? &t->tags[t->n_tags - 1] : NULL;

		if (last && !by_key(last, &t->tags[i]))
			add_value(&last->value, &t->tags[i].value);
		else
			t->tags[t->n_tags++] = t->tags[i];
	}
	qsort(t->tags, t->n_tags, sizeof(*t->tags), by_bytes);
	return 0;
}

static double error_bytes(const struct traffic_value *v)
{
	return 1.96 * sqrt(v->bytes_variance);
}

static json_t *packets_and_bytes(const struct traffic_value *v)
{
	return json_pack("{s:I,s:I}", "packets", (json_int_t)v->packets, "bytes",
			 (json_int_t)v->bytes);
}

static json_t *tag_json(const struct reader *r, const struct group *g)
{
	json_t *tag = json_object();
	const int folded = g->key.experiment == STORE_FOLDED;
	char buf[16];

	if (r->by & 1u << DIM_EXPERIMENT) {
		json_object_set_new(tag, "experiment_id", json_integer(g->key.experiment));
		json_object_set_new(
			tag, "experiment",
			json_string(folded ? NAME_OUTSIDE
					   : name_experiment(buf, r->registry, g->key.experiment,
							     r->cfg.numeric)));
	}
	if (r->by & 1u << DIM_ACTIVITY) {
		json_object_set_new(tag, "activity_id", json_integer(g->key.activity));
		json_object_set_new(
			tag, "activity",
			json_string(folded ? NAME_OUTSIDE
					   : name_activity(buf, r->registry, g->key.experiment,
							   g->key.activity, r->cfg.numeric)));
	}
	if (r->by & 1u << DIM_CARRIER)
		json_object_set_new(tag, "carrier", json_string(carrier_name(g->key.carrier)));
	if (r->by & 1u << DIM_GRADE)
		json_object_set_new(tag, "grade", json_string(grade_name(g->key.grade)));
	if (r->by & 1u << DIM_FAMILY)
		json_object_set_new(tag, "family", json_integer(g->key.family));
	if (r->by & 1u << DIM_SOURCE)
		json_object_set_new(tag, "source", json_string(read_source_name(r, g->key.source)));
	json_object_set_new(tag, "packets", json_integer((json_int_t)g->value.packets));
	json_object_set_new(tag, "bytes", json_integer((json_int_t)g->value.bytes));
	json_object_set_new(tag, "ip_bytes", json_integer((json_int_t)g->value.ip_bytes));
	json_object_set_new(tag, "samples", json_integer((json_int_t)g->value.samples));
	json_object_set_new(tag, "error_bytes", json_real(error_bytes(&g->value)));
	return tag;
}

/* What each code point shows by chance: bytes at unregistered labels, divided by their number. */
struct noise {
	double floor_bytes, share;
};

static struct noise measure_noise(const struct reader *r, const struct totals *t)
{
	unsigned int registered = 0;
	struct noise noise;

	for (size_t i = 0; i < SCITAG_LABEL_CODES / 64; i++)
		registered += (unsigned int)__builtin_popcountll(r->registry->pairs.bits[i]);
	noise.floor_bytes =
		(double)t->unregistered_labels.bytes / (SCITAG_LABEL_CODES - registered);
	noise.share = t->registered_labels.bytes
			      ? noise.floor_bytes * registered / (double)t->registered_labels.bytes
			      : 0;
	if (noise.share > 1)
		noise.share = 1;
	return noise;
}

static json_t *named_counts(const uint64_t *counts, unsigned int n,
			    const char *(*name)(unsigned int))
{
	json_t *o = json_object();

	for (unsigned int i = 1; i < n; i++)
		json_object_set_new(o, name(i), json_integer((json_int_t)counts[i]));
	return o;
}

static const char *name_of_packet(unsigned int v)
{
	return packet_verdict_name((enum packet_verdict)v);
}
static const char *name_of_sflow(unsigned int v)
{
	return sflow_verdict_name((enum sflow_verdict)v);
}
static const char *name_of_firefly(unsigned int v)
{
	return firefly_verdict_name((enum firefly_verdict)v);
}

static uint64_t sum(const uint64_t *counts, unsigned int n)
{
	uint64_t total = 0;

	for (unsigned int i = 1; i < n; i++)
		total += counts[i];
	return total;
}

static json_t *time_json(const struct reader *r, int64_t utc_us)
{
	char text[32];

	return r->frames ? json_string(clock_format_utc(text, sizeof(text), utc_us, 6))
			 : json_null();
}

static int write_json(const struct reader *r, const struct totals *t, const char *damage,
		      uint64_t damage_at)
{
	const struct noise noise = measure_noise(r, t);
	json_t *tags = json_array(), *out;
	int err;

	for (size_t i = 0; i < t->n_tags; i++)
		json_array_append_new(tags, tag_json(r, &t->tags[i]));
	out = json_pack("{s:I,s:I,s:I,s:o,s:o,s:o,s:{s:o,s:o,s:o},s:{s:f,s:f},s:o}", "packets",
			(json_int_t)r->packets, "bytes", (json_int_t)r->bytes, "ip_bytes",
			(json_int_t)r->ip_bytes, "first_utc", time_json(r, r->first_utc_us),
			"last_utc", time_json(r, r->last_utc_us), "tags", tags, "untagged", "ipv4",
			packets_and_bytes(&t->ipv4), "ipv6_label_zero",
			packets_and_bytes(&t->label_zero), "other", packets_and_bytes(&r->hidden),
			"noise", "floor_bytes_per_code_point", noise.floor_bytes, "share",
			noise.share, "rejected",
			named_counts(r->rejected, PACKET_VERDICT_COUNT, name_of_packet));
	if (r->datagrams) {
		uint64_t rejected = sum(r->datagrams_rejected, SFLOW_VERDICT_COUNT);

		json_object_set_new(out, "sflow",
				    json_pack("{s:I,s:I,s:o,s:I,s:I,s:I,s:I}", "received",
					      (json_int_t)r->datagrams, "accepted",
					      (json_int_t)(r->datagrams - rejected), "rejected",
					      named_counts(r->datagrams_rejected,
							   SFLOW_VERDICT_COUNT, name_of_sflow),
					      "flow_samples", (json_int_t)r->samples,
					      "unopened_samples", (json_int_t)r->unopened_samples,
					      "counter_samples", (json_int_t)r->counter_samples,
					      "discarded_packets", (json_int_t)r->discards));
	}
	if (sum(r->fireflies, FIREFLY_END + 1) +
	    sum(r->fireflies_rejected, FIREFLY_VERDICT_COUNT)) {
		uint64_t accepted = sum(r->fireflies, FIREFLY_END + 1);
		uint64_t rejected = sum(r->fireflies_rejected, FIREFLY_VERDICT_COUNT);

		json_object_set_new(out, "fireflies",
				    json_pack("{s:I,s:I,s:o,s:I,s:I,s:I}", "received",
					      (json_int_t)(accepted + rejected), "accepted",
					      (json_int_t)accepted, "rejected",
					      named_counts(r->fireflies_rejected,
							   FIREFLY_VERDICT_COUNT, name_of_firefly),
					      "start", (json_int_t)r->fireflies[FIREFLY_START],
					      "ongoing", (json_int_t)r->fireflies[FIREFLY_ONGOING],
					      "end", (json_int_t)r->fireflies[FIREFLY_END]));
	}
	if (damage)
		json_object_set_new(out, "damage",
				    json_pack("{s:I,s:s}", "position_bytes", (json_int_t)damage_at,
					      "reason", damage));
	if (r->cfg.interface)
		json_object_set_new(out, "dropped",
				    json_integer((json_int_t)capture_dropped(r->capture)));
	err = json_dumpf(out, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
	putchar('\n');
	json_decref(out);
	return err;
}

static void put_group(struct reader *r, struct cli_list *l, const struct group *g)
{
	const int folded = g->key.experiment == STORE_FOLDED;
	char buf[32];

	if (r->by & 1u << DIM_EXPERIMENT) {
		cli_put_int(l, g->key.experiment);
		cli_put_text(l, folded ? NAME_OUTSIDE
				       : name_experiment(buf, r->registry, g->key.experiment,
							 r->cfg.numeric));
	}
	if (r->by & 1u << DIM_ACTIVITY) {
		cli_put_int(l, g->key.activity);
		cli_put_text(l, folded ? NAME_OUTSIDE
				       : name_activity(buf, r->registry, g->key.experiment,
						       g->key.activity, r->cfg.numeric));
	}
	if (r->by & 1u << DIM_CARRIER)
		cli_put_text(l, carrier_name(g->key.carrier));
	if (r->by & 1u << DIM_GRADE)
		cli_put_text(l, grade_name(g->key.grade));
	if (r->by & 1u << DIM_FAMILY)
		cli_put_int(l, g->key.family);
	if (r->by & 1u << DIM_SOURCE)
		cli_put_text(l, read_source_name(r, g->key.source));
	cli_put_int(l, (int64_t)g->value.packets);
	cli_put_shown(l, (double)g->value.bytes,
		      cli_si(buf, sizeof(buf), (double)g->value.bytes, "B"));
	cli_put_int(l, (int64_t)g->value.ip_bytes);
	if (g->value.bytes_variance <= 0)
		cli_put_shown(l, 0, "exact");
	else if (g->value.samples < 10)
		cli_put_shown(l, error_bytes(&g->value), "too few");
	else
		cli_put_shown(l, error_bytes(&g->value),
			      cli_si(buf, sizeof(buf), error_bytes(&g->value), "B"));
	cli_put_shown(l, r->bytes ? (double)g->value.bytes / (double)r->bytes : 0,
		      (snprintf(buf, sizeof(buf), "%.1f %%",
				r->bytes ? 100.0 * (double)g->value.bytes / (double)r->bytes : 0),
		       buf));
}

static void write_listing(struct reader *r, const struct totals *t)
{
	struct cli_column columns[20];
	size_t n = 0;
	struct cli_list *l;

	if (r->by & 1u << DIM_EXPERIMENT) {
		columns[n++] = (struct cli_column){"experiment_id", NULL};
		columns[n++] = (struct cli_column){"experiment", "EXPERIMENT"};
	}
	if (r->by & 1u << DIM_ACTIVITY) {
		columns[n++] = (struct cli_column){"activity_id", NULL};
		columns[n++] = (struct cli_column){"activity", "ACTIVITY"};
	}
	if (r->by & 1u << DIM_CARRIER)
		columns[n++] = (struct cli_column){"carrier", "CARRIER"};
	if (r->by & 1u << DIM_GRADE)
		columns[n++] = (struct cli_column){"grade", "GRADE"};
	if (r->by & 1u << DIM_FAMILY)
		columns[n++] = (struct cli_column){"family", "FAMILY"};
	if (r->by & 1u << DIM_SOURCE)
		columns[n++] = (struct cli_column){"source", "SOURCE"};
	columns[n++] = (struct cli_column){"packets", "PACKETS"};
	columns[n++] = (struct cli_column){"bytes", "BYTES"};
	columns[n++] = (struct cli_column){"ip_bytes", NULL};
	columns[n++] = (struct cli_column){"error_bytes", "+-95%"};
	columns[n++] = (struct cli_column){"share", "SHARE"};
	l = cli_list_open(stdout, cli_format(&r->cfg.common), columns, n);
	if (!l)
		return;
	for (size_t i = 0; i < t->n_tags; i++)
		put_group(r, l, &t->tags[i]);
	cli_list_close(l);
}

static void put_summary_row(const struct reader *r, const char *what, const struct traffic_value *v)
{
	char text[32];

	if (v->packets)
		printf("%-24s %12" PRIu64 " packets  %10s  %5.1f %%\n", what, v->packets,
		       cli_si(text, sizeof(text), (double)v->bytes, "B"),
		       r->bytes ? 100.0 * (double)v->bytes / (double)r->bytes : 0);
}

static void write_table(struct reader *r, const struct totals *t)
{
	const struct noise noise = measure_noise(r, t);
	char first[32], last[32], text[32];

	if (!r->frames) {
		printf("no packets\n");
		return;
	}
	printf("%s to %s: %" PRIu64 " packets, %s\n\n",
	       clock_format_utc(first, sizeof(first), r->first_utc_us, 3),
	       clock_format_utc(last, sizeof(last), r->last_utc_us, 3), r->packets,
	       cli_si(text, sizeof(text), (double)r->bytes, "B"));
	if (t->n_tags) {
		write_listing(r, t);
		putchar('\n');
	}
	put_summary_row(r, "untagged IPv4", &t->ipv4);
	put_summary_row(r, "untagged IPv6, label 0", &t->label_zero);
	put_summary_row(r, "IPv6, label not shown", &r->hidden);
	if (t->unregistered_labels.packets)
		printf("noise floor: %s per code point by chance, %.1f %% of the registered label "
		       "bytes\n",
		       cli_si(text, sizeof(text), noise.floor_bytes, "B"), 100 * noise.share);
	for (unsigned int v = 1; v < PACKET_VERDICT_COUNT; v++) {
		if (r->rejected[v])
			printf("rejected, %-15s %12" PRIu64 " packets\n", name_of_packet(v),
			       r->rejected[v]);
	}
	if (r->datagrams)
		printf("sFlow: %" PRIu64 " datagrams, %" PRIu64 " rejected, %" PRIu64
		       " flow samples, %" PRIu64 " counter samples, %" PRIu64
		       " discarded packets\n",
		       r->datagrams, sum(r->datagrams_rejected, SFLOW_VERDICT_COUNT), r->samples,
		       r->counter_samples, r->discards);
	if (sum(r->fireflies, FIREFLY_END + 1) + sum(r->fireflies_rejected, FIREFLY_VERDICT_COUNT))
		printf("fireflies: %" PRIu64 " start, %" PRIu64 " ongoing, %" PRIu64
		       " end, %" PRIu64 " rejected\n",
		       r->fireflies[FIREFLY_START], r->fireflies[FIREFLY_ONGOING],
		       r->fireflies[FIREFLY_END],
		       sum(r->fireflies_rejected, FIREFLY_VERDICT_COUNT));
}

int read_report(struct reader *r, const char *path, int err)
{
	const char *damage = err ? capture_damage(r->capture) : NULL;
	const uint64_t at = err ? capture_position_bytes(r->capture) : 0;
	struct totals t = {0};

	if (r->cfg.packets) {
		cli_list_close(r->list);
		r->list = NULL;
	} else if (make_totals(r, &t)) {
		return cli_fail(CLI_FAILED, "out of memory");
	} else if (r->cfg.common.json) {
		write_json(r, &t, damage, at);
	} else if (r->cfg.common.csv) {
		write_listing(r, &t);
	} else {
		write_table(r, &t);
	}
	free(t.tags);
	if (damage)
		return cli_fail(CLI_INCOMPLETE,
				"%s: damaged at byte %" PRIu64 ", after %" PRIu64 " packets: %s",
				path, at, r->frames, damage);
	if (r->cfg.interface && capture_dropped(r->capture))
		return cli_fail(CLI_INCOMPLETE, "%s: the kernel dropped %" PRIu64 " packets",
				r->cfg.interface, capture_dropped(r->capture));
	return CLI_OK;
}
