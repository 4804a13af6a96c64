/* Products on the device: cuBLASLt (product_cublas.cu), or loops in the emulation. */
#ifndef HF_CUDA_PRODUCT_H
#define HF_CUDA_PRODUCT_H
#include "kernels.h"

/* What of a product's end was done with it. */
typedef struct HfProductDone {
  bool bias, activation; /* activation: `pre` is written too */
} HfProductDone;

static inline HfDtype hf_result_dtype(const HfMatmul *m) { return m->float_c ? HF_FLOAT32 : m->dtype; }

/* May float32 products use tensor cores? (matmul.cu) */
bool hf_cuda_tf32(void);
void hf_cuda_allow_tf32(bool allowed);

/* c = alpha op(a) op(b) + beta c, k >= 1, and as much of bias, pre and activation as the library does at no cost. HF_UNSUPPORTED
 * where it has no algorithm. */
HfStatus hf_cuda_product(const HfMatmul *m, HfProductDone *done);
#endif
