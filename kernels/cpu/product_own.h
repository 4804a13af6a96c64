/* What matmul.c, product.c and activation.c of one instruction set give each other. */
#ifndef HF_PRODUCT_OWN_H
#define HF_PRODUCT_OWN_H
#include "cpu.h"

/* product.c: all of HfMatmul in float32 by our own kernel. k >= 1. */
HfStatus HF_CPU(product)(const HfMatmul *m);

/* product_small.c: products of few rows with all that goes with them; false: not one of those. */
bool HF_CPU(product_small)(const HfMatmul *m);

/* activation.c: c = activation(c + bias) in place over (rows, columns), rows ld apart; c + bias goes to `pre` (same ld)
 * unless that is NULL. bias may be NULL. One thread. */
void HF_CPU(epilogue)(float *c, float *pre, int64_t ld, int64_t rows, int64_t columns, const float *bias, HfActivation activation);

#endif
