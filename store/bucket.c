/* A second of everything. */
#include <stdlib.h>
#include <string.h>
#include "store/bucket.h"

struct bucket *bucket_new(int64_t start_utc_s, size_t n_rows, size_t n_claims, size_t n_sources)
{
	struct bucket *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->start_utc_s = start_utc_s;
	b->rows = calloc(n_rows ? n_rows : 1, sizeof(*b->rows));
	b->claims = calloc(n_claims ? n_claims : 1, sizeof(*b->claims));
	b->sources = calloc(n_sources ? n_sources : 1, sizeof(*b->sources));
	if (!b->rows || !b->claims || !b->sources) {
		bucket_free(b);
		return NULL;
	}
	b->n_rows = n_rows;
	b->n_claims = n_claims;
	b->n_sources = n_sources;
	return b;
}

void bucket_free(struct bucket *b)
{
	if (!b)
		return;
	free(b->rows);
	free(b->claims);
	free(b->sources);
	free(b->pairs);
	free(b->histograms);
	free(b->label_flows);
	free(b->flows);
	free(b->glimpses);
	free(b);
}

struct bucket *bucket_join(const struct bucket *a, const struct bucket *b)
{
	static const struct bucket none;
	const struct bucket *sources;
	struct bucket *j;

	a = a ? a : &none;
	sources = b->n_sources ? b : a;
	j = bucket_new(b->start_utc_s, a->n_rows + b->n_rows, a->n_claims + b->n_claims,
		       sources->n_sources);
	if (!j)
		return NULL;
	if (a->n_rows)
		memcpy(j->rows, a->rows, a->n_rows * sizeof(*j->rows));
	memcpy(j->rows + a->n_rows, b->rows, b->n_rows * sizeof(*j->rows));
	if (a->n_claims)
		memcpy(j->claims, a->claims, a->n_claims * sizeof(*j->claims));
	memcpy(j->claims + a->n_claims, b->claims, b->n_claims * sizeof(*j->claims));
	if (sources->n_sources)
		memcpy(j->sources, sources->sources, sources->n_sources * sizeof(*j->sources));
	j->glimpses = b->n_glimpses ? malloc(b->n_glimpses * sizeof(*j->glimpses)) : NULL;
	if (j->glimpses) { /* without memory there is less to look at */
		j->n_glimpses = b->n_glimpses;
		memcpy(j->glimpses, b->glimpses, b->n_glimpses * sizeof(*j->glimpses));
	}
	return j;
}

struct traffic_key bucket_flow_key(const struct flow_row *f)
{
	int way = !f->experiment[0] && !f->activity[0] && (f->experiment[1] || f->activity[1]);
	int claimed = f->grade == GRADE_CLAIMED;

	return (struct traffic_key){
		.source = f->point,
		.direction = f->direction,
		.family = f->key.family,
		.carrier = f->carrier[way],
		.grade = f->grade,
		.experiment = claimed ? f->claim_experiment : f->experiment[way],
		.activity = claimed ? f->claim_activity : f->activity[way],
		.src_site = f->src_site,
		.dst_site = f->dst_site,
	};
}
