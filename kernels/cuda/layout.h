/* The walk of an HfLayout by the threads of a grid: an element's number gives each operand's offset. Dims are merged first,
 * and sizes that fit take 32-bit divisions. */
#ifndef HF_CUDA_LAYOUT_H
#define HF_CUDA_LAYOUT_H
#include "cuda.h"

static inline int64_t hf_layout_count(const HfLayout *l) {
  int64_t count = 1;
  for (int d = 0; d < l->ndim; d++) count *= l->shape[d];
  return count;
}

static inline bool hf_layout_joins(const HfLayout *to, const HfLayout *from, int d, int operands) {
  for (int k = 0; k < operands; k++)
    if (to->stride[k][to->ndim - 1] != from->stride[k][d] * from->shape[d]) return false;
  return true;
}

/* The same walk with as few dims as possible. */
static inline HfLayout hf_layout_collapse(const HfLayout *l, int operands) {
  HfLayout out = {};
  for (int d = 0; d < l->ndim; d++) {
    if (l->shape[d] == 1) continue;
    int at = out.ndim;
    if (out.ndim > 0 && hf_layout_joins(&out, l, d, operands)) out.shape[--at] *= l->shape[d];
    else out.shape[at] = l->shape[d], out.ndim++;
    for (int k = 0; k < operands; k++) out.stride[k][at] = l->stride[k][d];
  }
  return out;
}

/* Can operands 0 .. operands-1 be walked as flat arrays? */
static inline bool hf_layout_is_flat(const HfLayout *collapsed, int operands) {
  if (collapsed->ndim > 1) return false;
  for (int k = 0; k < operands && collapsed->ndim; k++)
    if (collapsed->stride[k][0] != 1) return false;
  return true;
}

/* i / size, in 32 bits where they hold both. */
static __device__ __forceinline__ int64_t hf_quotient(int64_t i, int64_t size) {
  return ((uint64_t)i | (uint64_t)size) >> 32 ? i / size : (int64_t)((uint32_t)i / (uint32_t)size);
}

/* Offsets of element i; `offset` has K entries. */
template <int K> static __device__ __forceinline__ void hf_layout_offsets(const HfLayout &l, int64_t i, int64_t *offset) {
  for (int k = 0; k < K; k++) offset[k] = 0;
  for (int d = l.ndim - 1; d >= 0; d--) {
    int64_t q = hf_quotient(i, l.shape[d]), r = i - q * l.shape[d];
    for (int k = 0; k < K; k++) offset[k] += r * l.stride[k][d];
    i = q;
  }
}
#endif
