/* Rotary positions: each pair (i, i + D/2) of a head is turned by its row's angle. */
#include "element.h"

typedef struct Rotary {
  void *x;
  const float *cosine, *sine; /* (N, D/2) */
  int64_t heads, D, row_stride;
  float direction; /* 1, or -1 to turn back */
} Rotary;

HF_FOLDED void turn_head(void *x, const float *cosine, const float *sine, int64_t half, float direction, HfDtype dtype) {
  void *second = hf_at_mut(x, half, dtype);
#pragma omp simd
  for (int64_t i = 0; i < half; i++) {
    float a = hf_load(x, i, dtype), b = hf_load(second, i, dtype), c = cosine[i], s = direction * sine[i];
    hf_store(x, i, a * c - b * s, dtype);
    hf_store(second, i, b * c + a * s, dtype);
  }
}

HF_FOLDED void turn_rows(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const Rotary *r = context;
  int64_t half = r->D / 2;
  for (int64_t row = first; row < last; row++)
    for (int64_t h = 0; h < r->heads; h++)
      turn_head(hf_at_mut(r->x, row * r->row_stride + h * r->D, dtype), r->cosine + row * half, r->sine + row * half, half,
                r->direction, dtype);
}
HF_PER_FLOAT(turn_rows)

static HfStatus rotary(void *x, HfDtype dtype, const float *cosine, const float *sine, int64_t N, int64_t heads, int64_t D,
                       int64_t row_stride, bool inverse) {
  if (!hf_is_float(dtype) || D % 2 != 0) return HF_UNSUPPORTED;
  Rotary r = {x, cosine, sine, heads, D, row_stride, inverse ? -1.0f : 1.0f};
  hf_parallel(N, N * heads * D, turn_rows_of[dtype], &r);
  return HF_OK;
}

void HF_CPU(fill_rotary)(HfKernels *k) { k->rotary = rotary; }
