/* What matmul.c, matmul_half.c, product.c and activation.c of one instruction set give each other. */
#ifndef HF_PRODUCT_OWN_H
#define HF_PRODUCT_OWN_H
#include "cpu.h"

/* product.c: all of HfMatmul in float32 by our own kernel. k >= 1. */
HfStatus HF_CPU(product)(const HfMatmul *m);

enum { HF_FEW_ROWS = 8 };

/* product_small.c: products of at most HF_FEW_ROWS rows, with all that goes with them; false: not one of those. */
bool HF_CPU(product_small)(const HfMatmul *m);

/* activation.c: c = activation(c + bias) in place over (rows, columns), rows ld apart; c + bias goes to `pre` (same ld)
 * unless that is NULL. bias may be NULL. One thread. */
void HF_CPU(epilogue)(float *c, float *pre, int64_t ld, int64_t rows, int64_t columns, const float *bias, HfActivation activation);

/* The same of 16-bit numbers that have their bias: c = activation(pre), which may be c. All threads. */
void HF_CPU(activate_half)(void *c, const void *pre, int64_t ld, int64_t rows, int64_t columns, HfDtype dtype, HfActivation activation);

/* matmul_half.c: products of 16-bit operands; float_product makes those of float32. */
HfStatus HF_CPU(half_matmul)(const HfMatmul *m, HfStatus (*float_product)(const HfMatmul *m));

#endif
