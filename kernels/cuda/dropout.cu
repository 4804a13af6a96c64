/* Dropout by counter; the same function is its backward. */
#include "element.h"

template <class T> __global__ void dropout_kernel(T *out, const T *x, int64_t n, HfDropout dropout) {
  dropout.open();
  HF_EACH(i, n) out[i] = hf_put<T>(dropout(hf_get(x[i]), (uint64_t)i));
}

static HfStatus dropout(void *out, const void *x, HfDtype dtype, int64_t n, float p, HfDropoutKey key) {
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(dropout_kernel<T>, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), (T *)out, (const T *)x, n, hf_dropout_of(p, key)))
  return hf_cuda_status();
}

void hf_cuda_fill_dropout(HfKernels *k) { k->dropout = dropout; }
