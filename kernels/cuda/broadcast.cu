/* Arithmetic, comparisons and choices of strided operands. */
#include "element.h"
#include "layout.h"

/* Wrapping 64-bit arithmetic, as PyTorch's; division truncates, by 0 gives 0. */
static __device__ __forceinline__ int64_t divide(int64_t x, int64_t y) {
  if (y == 0) return 0;
  return y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y;
}

/* A negative exponent leaves the truncated quotient: 1 for 1, +-1 for -1, else 0. */
static __device__ int64_t power(int64_t x, int64_t y) {
  if (y < 0) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  uint64_t result = 1, factor = (uint64_t)x;
  for (; y; y >>= 1, factor *= factor)
    if (y & 1) result *= factor;
  return (int64_t)result;
}

static __device__ __forceinline__ float apply(float x, float y, HfBinary op) {
  switch (op) {
  case HF_ADD: return x + y;
  case HF_SUB: return x - y;
  case HF_MUL: return x * y;
  case HF_DIV: return x / y;
  case HF_MAXIMUM: return x > y || x != x ? x : y;
  case HF_MINIMUM: return x < y || x != x ? x : y;
  default: return powf(x, y);
  }
}
static __device__ __forceinline__ int64_t apply(int64_t x, int64_t y, HfBinary op) {
  switch (op) {
  case HF_ADD: return (int64_t)((uint64_t)x + (uint64_t)y);
  case HF_SUB: return (int64_t)((uint64_t)x - (uint64_t)y);
  case HF_MUL: return (int64_t)((uint64_t)x * (uint64_t)y);
  case HF_DIV: return divide(x, y);
  case HF_MAXIMUM: return x > y ? x : y;
  case HF_MINIMUM: return x < y ? x : y;
  default: return power(x, y);
  }
}

template <class T> static __device__ __forceinline__ uint8_t apply(T x, T y, HfCompare op) {
  switch (op) {
  case HF_EQ: return x == y;
  case HF_NE: return x != y;
  case HF_LT: return x < y;
  case HF_LE: return x <= y;
  case HF_GT: return x > y;
  default: return x >= y;
  }
}

template <class Out, class T, class Op> __global__ void flat_kernel(Out *out, const T *a, const T *b, Op op, int64_t n) {
  HF_EACH(i, n) out[i] = apply(a[i], b[i], op);
}
template <class Out, class T, class Op> __global__ void strided_kernel(Out *out, const T *a, const T *b, Op op, HfLayout l, int64_t n) {
  HF_EACH(i, n) {
    int64_t at[3];
    hf_layout_offsets<3>(l, i, at);
    out[at[0]] = apply(a[at[1]], b[at[2]], op);
  }
}

template <class Out, class T, class Op> static HfStatus run(Out *out, const T *a, const T *b, Op op, const HfLayout *layout) {
  int64_t n = hf_layout_count(layout);
  if (n == 0) return HF_OK;
  HfLayout l = hf_layout_collapse(layout, 3);
  if (hf_layout_is_flat(&l, 3)) HF_LAUNCH((flat_kernel<Out, T, Op>), hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), out, a, b, op, n);
  else HF_LAUNCH((strided_kernel<Out, T, Op>), hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), out, a, b, op, l, n);
  return hf_cuda_status();
}

static HfStatus binary(void *out, const void *a, const void *b, HfDtype dtype, const HfLayout *layout, HfBinary op) {
  if (dtype == HF_FLOAT32) return run((float *)out, (const float *)a, (const float *)b, op, layout);
  if (dtype == HF_INT64) return run((int64_t *)out, (const int64_t *)a, (const int64_t *)b, op, layout);
  return HF_UNSUPPORTED;
}

static HfStatus compare(uint8_t *out, const void *a, const void *b, HfDtype dtype, const HfLayout *layout, HfCompare op) {
  if (dtype == HF_FLOAT32) return run(out, (const float *)a, (const float *)b, op, layout);
  if (dtype == HF_INT64) return run(out, (const int64_t *)a, (const int64_t *)b, op, layout);
  return HF_UNSUPPORTED;
}

template <class T> __global__ void where_kernel(T *out, const uint8_t *condition, const T *a, const T *b, HfLayout l, int64_t n) {
  HF_EACH(i, n) {
    int64_t at[4];
    hf_layout_offsets<4>(l, i, at);
    out[at[0]] = condition[at[1]] ? a[at[2]] : b[at[3]];
  }
}

static HfStatus where(void *out, const uint8_t *condition, const void *a, const void *b, HfDtype dtype, const HfLayout *layout) {
  int64_t n = hf_layout_count(layout);
  if (n == 0) return HF_OK;
  HfLayout l = hf_layout_collapse(layout, 4);
  HF_SIZE_SWITCH(hf_element_size(dtype), HF_LAUNCH(where_kernel<T>, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), (T *)out, condition,
                                                   (const T *)a, (const T *)b, l, n))
  return hf_cuda_status();
}

void hf_cuda_fill_broadcast(HfKernels *k) {
  k->binary = binary;
  k->compare = compare;
  k->where = where;
}
