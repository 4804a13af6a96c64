/* Products of bfloat16 matrices by oneDNN; see product_primitive.c. */
#ifndef HF_PRODUCT_PRIMITIVE_H
#define HF_PRODUCT_PRIMITIVE_H
#include "kernels.h"

/* Takes the functions from an open oneDNN library; without them, or where the processor has no bfloat16 instructions,
 * there is no primitive. */
void hf_primitive_open(void *library, int major_version);

/* One product as in HfMatmul, operands bfloat16, c bfloat16 or float32, with bias, without `pre` and activation; alpha 1,
 * beta 0 or 1. False: it cannot, and nothing was written. */
bool hf_primitive_product(const HfMatmul *m);

/* The same with float32 sums in c, by the library's gemm, which keeps nothing for a size; without bias and activation. False: not made. */
bool hf_bfloat_gemm(const HfMatmul *m);

#endif
