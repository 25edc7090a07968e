/* The first term by logarithms, the others by their ratio: they fall quickly beyond what is expected, and
 * below that nobody asks for more than "likely". */
#include <math.h>

#include "join/chance.h"

static double log_gamma(double x)
{
	int sign;

	return lgamma_r(x, &sign);
}

double chance_binomial(uint64_t n, uint64_t k, double p)
{
	const double odds = p / (1 - p);
	double term, sum;

	if (k == 0 || (double)k <= (double)n * p)
		return 1;
	if (k > n || p <= 0)
		return 0;
	term = exp(log_gamma((double)n + 1) - log_gamma((double)k + 1) -
		   log_gamma((double)(n - k) + 1) + (double)k * log(p) +
		   (double)(n - k) * log1p(-p));
	sum = term;
	for (uint64_t i = k; i < n && term > sum * 1e-12; i++) {
		term *= (double)(n - i) / (double)(i + 1) * odds;
		sum += term;
	}
	return sum < 1 ? sum : 1;
}

double chance_poisson(uint64_t k, double expected)
{
	double term, sum;

	if (k == 0 || (double)k <= expected)
		return 1;
	if (expected <= 0)
		return 0;
	term = exp((double)k * log(expected) - expected - log_gamma((double)k + 1));
	sum = term;
	for (uint64_t i = k + 1; term > sum * 1e-12; i++) {
		term *= expected / (double)i;
		sum += term;
	}
	return sum < 1 ? sum : 1;
}
