/* Rotary positions: each pair (i, i + D/2) of a head is turned by its row's angle. */
#include "element.h"
#include "layout.h"

template <class T> __global__ void rotary_kernel(T *x, const float *cosine, const float *sine, int64_t N, int64_t heads, int64_t half, int64_t row_stride, float direction) {
  HF_EACH(at, N * heads * half) {
    int64_t pair = hf_quotient(at, half), i = at - pair * half, row = hf_quotient(pair, heads), head = pair - row * heads;
    T *first = x + row * row_stride + head * 2 * half + i, *second = first + half;
    float a = hf_get(*first), b = hf_get(*second), c = cosine[row * half + i], s = direction * sine[row * half + i];
    *first = hf_put<T>(a * c - b * s);
    *second = hf_put<T>(b * c + a * s);
  }
}

static HfStatus rotary(void *x, HfDtype dtype, const float *cosine, const float *sine, int64_t N, int64_t heads, int64_t D, int64_t row_stride, bool inverse) {
  if (D % 2 != 0) return HF_UNSUPPORTED;
  int64_t n = N * heads * D / 2;
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(rotary_kernel<T>, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), (T *)x, cosine, sine, N, heads, D / 2,
                                   row_stride, inverse ? -1.0f : 1.0f))
  return hf_cuda_status();
}

void hf_cuda_fill_rotary(HfKernels *k) { k->rotary = rotary; }
