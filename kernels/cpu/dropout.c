/* Dropout by counter; the same function is its backward. */
#include "dropout.h"

enum { PIECE = 4096 };

typedef struct Dropout {
  void *out;
  const void *x;
  int64_t n;
  HfDropout dropout;
} Dropout;

HF_FOLDED void drop_run(const Dropout *c, int64_t at, int64_t n, HfDtype dtype) {
  HfDropout d = c->dropout;
  const void *x = hf_at(c->x, at, dtype);
  void *out = hf_at_mut(c->out, at, dtype);
  uint32_t low = (uint32_t)at, high = (uint32_t)(at >> 32);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    hf_store(out, i, hf_dropped(&d, low + (uint32_t)i, high, hf_load(x, i, dtype)), dtype);
}

HF_FOLDED void drop_range(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const Dropout *c = context;
  int64_t end = hf_min(last * PIECE, c->n);
  for (int64_t at = first * PIECE, n; at < end; at += n) {
    n = hf_dropout_run(at, end - at);
    drop_run(c, at, n, dtype);
  }
}
HF_PER_FLOAT(drop_range)

static HfStatus dropout(void *out, const void *x, HfDtype dtype, int64_t n, float p, HfDropoutKey key) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  Dropout c = {out, x, n, hf_dropout_of(p, key)};
  hf_parallel(hf_ceil_div(n, PIECE), n, drop_range_of[dtype], &c);
  return HF_OK;
}

void HF_CPU(fill_dropout)(HfKernels *k) { k->dropout = dropout; }
