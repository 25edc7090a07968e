/* Answers that are no series, in the hands of whoever asked. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "store/filter.h"

/* --- which table ----------------------------------------------------------------------------- */

#define TAG_DIMS (DIM_BIT(DIM_EXPERIMENT) | DIM_BIT(DIM_ACTIVITY) | DIM_BIT(DIM_FAMILY))

static const uint32_t dims_of[] = {
	[STORE_TABLE_TRAFFIC] = TAG_DIMS | DIM_BIT(DIM_GRADE) | DIM_BIT(DIM_CARRIER) |
				DIM_BIT(DIM_DIRECTION) | DIM_BIT(DIM_SOURCE),
	[STORE_TABLE_PAIRS] =
		TAG_DIMS | DIM_BIT(DIM_GRADE) | DIM_BIT(DIM_SRC_SITE) | DIM_BIT(DIM_DST_SITE),
	[STORE_TABLE_CLAIMS] = TAG_DIMS | DIM_BIT(DIM_APPLICATION),
};

int store_table_knows(enum store_table table, uint32_t dims)
{
	return !(dims & ~dims_of[table]);
}

static int table_for(uint32_t dims)
{
	for (int t = STORE_TABLE_TRAFFIC; t <= STORE_TABLE_CLAIMS; t++)
		if (store_table_knows((enum store_table)t, dims))
			return t;
	return -EINVAL;
}

int store_table_of(uint32_t dims, char *why, size_t why_cap_bytes)
{
	int table = table_for(dims);

	for (int a = DIM_COUNT - 1; table < 0 && a >= 0; a--) {
		for (int b = 0; b < a; b++) {
			if (!(dims & DIM_BIT(a)) || !(dims & DIM_BIT(b)) ||
			    table_for(DIM_BIT(a) | DIM_BIT(b)) >= 0)
				continue;
			snprintf(why, why_cap_bytes, "%s and %s are not recorded together",
				 dim_name((enum dim)a), dim_name((enum dim)b));
			return -EINVAL;
		}
	}
	return table;
}

/* --- histograms ------------------------------------------------------------------------------ */

void store_histograms_free(struct store_histograms *h)
{
	if (!h)
		return;
	for (size_t i = 0; h->rows && i < h->n; i++)
		free(h->rows[i].bins);
	free(h->rows);
	free(h);
}

double store_bin_start(unsigned int bin)
{
	return exp2(bin / 8.0);
}

/* The middle of the bin, in its measure, where the share is reached. */
double store_quantile(const struct store_histogram *h, double q)
{
	double wanted = q * (double)h->n, sum = 0;

	for (size_t i = 0; i < h->n_bins; i++) {
		sum += (double)h->bins[i].n;
		if (sum >= wanted)
			return fmin(exp2((h->bins[i].bin + 0.5) / 8.0), (double)h->max);
	}
	return NAN;
}

/* --- the rest -------------------------------------------------------------------------------- */

void store_label_flows_free(struct store_label_flows *l)
{
	if (!l)
		return;
	free(l->rows);
	free(l);
}

void store_flows_free(struct store_flows *f)
{
	if (!f)
		return;
	free(f->rows);
	free(f);
}
