/* Argmax, argmin, variance and running sums along the middle of (outer, n, inner). */
#include "warp.h"

static __device__ __forceinline__ int64_t line_start(int64_t line, int64_t n, int64_t inner) {
  return line / inner * n * inner + line % inner;
}

/* ---- index of the extreme: the first of equals, the first NaN before all */

/* Does (v, at) come before (w, other)? at < 0 stands for nothing. */
template <class T> static __device__ __forceinline__ bool is_better(T v, int64_t at, T w, int64_t other, bool largest) {
  if (at < 0 || other < 0) return at >= 0;
  bool v_nan = v != v, w_nan = w != w;
  if (v_nan || w_nan) return v_nan && (!w_nan || at < other);
  if (v == w) return at < other;
  return largest ? v > w : v < w;
}

/* A warp a line. */
template <class T> __global__ void index_kernel(int64_t *out, const T *x, int64_t lines, int64_t n, int64_t inner, bool largest) {
  HF_EACH_ROW(line, lines) {
    int64_t start = line_start(line, n, inner), best = -1;
    T value = 0;
    for (int64_t i = threadIdx.x; i < n; i += 32) {
      T v = x[start + i * inner];
      if (is_better(v, i, value, best, largest)) value = v, best = i;
    }
    for (int mask = 16; mask > 0; mask >>= 1) {
      T v = __shfl_xor_sync(0xffffffffu, value, mask);
      int64_t i = __shfl_xor_sync(0xffffffffu, best, mask);
      if (is_better(v, i, value, best, largest)) value = v, best = i;
    }
    if (threadIdx.x == 0) out[line] = best;
  }
}

static HfStatus reduce_index(int64_t *out, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, bool largest) {
  if ((dtype != HF_FLOAT32 && dtype != HF_INT64) || n == 0) return HF_UNSUPPORTED;
  int64_t lines = outer * inner;
  if (lines == 0) return HF_OK;
  if (dtype == HF_FLOAT32) HF_LAUNCH(index_kernel<float>, hf_row_grid(lines), 32, 0, hf_cuda_stream(), out, (const float *)x, lines, n, inner, largest);
  else HF_LAUNCH(index_kernel<int64_t>, hf_row_grid(lines), 32, 0, hf_cuda_stream(), out, (const int64_t *)x, lines, n, inner, largest);
  return hf_cuda_status();
}

/* ---- variance: the mean, then the squared distances from it, in double; a block a line */

__global__ void variance_kernel(float *out, float *mean, const float *x, int64_t lines, int64_t n, int64_t inner, double divisor) {
  HF_EACH_ROW(line, lines) {
    int64_t start = line_start(line, n, inner);
    double sum = 0, squares = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += x[start + i * inner];
    double center = hf_block_sum(sum) / (double)n;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      double d = x[start + i * inner] - center;
      squares += d * d;
    }
    squares = hf_block_sum(squares);
    if (threadIdx.x > 0) continue;
    out[line] = (float)(squares / divisor);
    if (mean) mean[line] = (float)center;
  }
}

static HfStatus variance(float *out, float *mean, const float *x, int64_t outer, int64_t n, int64_t inner, double correction) {
  double divisor = (double)n - correction;
  int64_t lines = outer * inner;
  if (lines == 0) return HF_OK;
  HF_LAUNCH(variance_kernel, hf_row_grid(lines), hf_row_block(n), 0, hf_cuda_stream(), out, mean, x, lines, n, inner, divisor > 0 ? divisor : 0.0);
  return hf_cuda_status();
}

/* ---- running sums, floats in double: a warp a line, 32 elements a turn */

template <class S> static __device__ __forceinline__ S warp_scan(S v) {
  for (int by = 1; by < 32; by *= 2) {
    S other = __shfl_up_sync(0xffffffffu, v, by);
    if ((int)threadIdx.x >= by) v += other;
  }
  return v;
}

template <class T, class S> __global__ void cumsum_kernel(T *out, const T *x, int64_t lines, int64_t n, int64_t inner, bool reverse) {
  HF_EACH_ROW(line, lines) {
    int64_t start = line_start(line, n, inner);
    S before = 0;
    for (int64_t first = 0; first < n; first += 32) {
      int64_t i = first + threadIdx.x, at = start + (reverse ? n - 1 - i : i) * inner;
      S sum = warp_scan(i < n ? (S)x[at] : (S)0) + before;
      if (i < n) out[at] = (T)sum;
      before = __shfl_sync(0xffffffffu, sum, 31);
    }
  }
}

static HfStatus cumsum(void *out, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, bool reverse) {
  int64_t lines = outer * inner;
  if (dtype != HF_FLOAT32 && dtype != HF_INT64) return HF_UNSUPPORTED;
  if (lines == 0) return HF_OK;
  if (dtype == HF_FLOAT32)
    HF_LAUNCH((cumsum_kernel<float, double>), hf_row_grid(lines), 32, 0, hf_cuda_stream(), (float *)out, (const float *)x, lines, n, inner, reverse);
  else
    HF_LAUNCH((cumsum_kernel<int64_t, uint64_t>), hf_row_grid(lines), 32, 0, hf_cuda_stream(), (int64_t *)out, (const int64_t *)x, lines, n, inner, reverse);
  return hf_cuda_status();
}

void hf_cuda_fill_statistics(HfKernels *k) {
  k->reduce_index = reduce_index;
  k->variance = variance;
  k->cumsum = cumsum;
}
