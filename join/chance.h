/* How likely is it to see so many by chance? Tails of two distributions. Pure. */
#ifndef JOIN_CHANCE_H
#define JOIN_CHANCE_H

#include <stdint.h>

/* Beyond five standard deviations of the normal law, one-sided. */
#define CHANCE_FIVE_SIGMA 2.87e-7

double chance_binomial(uint64_t n, uint64_t k, double p); /* k or more of n */
double chance_poisson(uint64_t k, double expected);       /* k or more */

#endif
