/* Softmax and log-softmax over the middle of (outer, n, inner): a block for a contiguous line, a thread for each of the
 * lines that lie side by side. A line of -inf gives NaN. */
#include "warp.h"

/* What makes the line's sum independent of its largest value: maximum and sum of exponentials seen so far. */
static __device__ __forceinline__ void join(float &top, float &sum, float other_top, float other_sum) {
  float larger = top > other_top ? top : other_top;
  if (larger == -INFINITY) return;
  sum = sum * expf(top - larger) + other_sum * expf(other_top - larger);
  top = larger;
}

static __device__ __forceinline__ float exp_or_zero(float x) { return x < -86.5f ? 0.0f : expf(x); }

__global__ void softmax_lines_kernel(float *out, const float *x, int64_t rows, int64_t n, bool log) {
  HF_EACH_ROW(row, rows) {
    const float *in = x + row * n;
    float *to = out + row * n;
    float top = -INFINITY, sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) top = in[i] > top ? in[i] : top;
    top = hf_block_reduce(top, HfLargest(), -INFINITY);
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += exp_or_zero(in[i] - top);
    sum = hf_block_sum(sum);
    float factor = 1.0f / sum, log_sum = logf(sum);
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
      to[i] = log ? in[i] - top - log_sum : exp_or_zero(in[i] - top) * factor;
  }
}

__global__ void softmax_columns_kernel(float *out, const float *x, int64_t lines, int64_t n, int64_t inner, bool log) {
  HF_EACH(line, lines) {
    int64_t start = line / inner * n * inner + line % inner;
    float top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) join(top, sum, x[start + i * inner], 1.0f);
    if (top == -INFINITY) sum = NAN;
    float factor = 1.0f / sum, log_sum = logf(sum);
    for (int64_t i = 0; i < n; i++) {
      float v = x[start + i * inner] - top;
      out[start + i * inner] = log ? v - log_sum : exp_or_zero(v) * factor;
    }
  }
}

static __device__ __forceinline__ float gradient(float g, float y, float sum, bool log) {
  return log ? g - exp_or_zero(y) * sum : (g - sum) * y;
}

__global__ void softmax_lines_backward_kernel(float *dx, const float *dout, const float *y, int64_t rows, int64_t n, bool log) {
  HF_EACH_ROW(row, rows) {
    const float *g = dout + row * n, *p = y + row * n;
    float sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += log ? g[i] : g[i] * p[i];
    sum = hf_block_sum(sum);
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) dx[row * n + i] = gradient(g[i], p[i], sum, log);
  }
}

__global__ void softmax_columns_backward_kernel(float *dx, const float *dout, const float *y, int64_t lines, int64_t n, int64_t inner, bool log) {
  HF_EACH(line, lines) {
    int64_t start = line / inner * n * inner + line % inner;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += log ? dout[start + i * inner] : dout[start + i * inner] * y[start + i * inner];
    for (int64_t i = 0; i < n; i++) {
      int64_t at = start + i * inner;
      dx[at] = gradient(dout[at], y[at], (float)sum, log);
    }
  }
}

static HfStatus softmax(float *out, const float *x, int64_t outer, int64_t n, int64_t inner, bool log) {
  if (outer * n * inner == 0) return HF_OK;
  if (inner == 1) HF_LAUNCH(softmax_lines_kernel, hf_row_grid(outer), hf_row_block(n, 1024), 0, hf_cuda_stream(), out, x, outer, n, log);
  else HF_LAUNCH(softmax_columns_kernel, hf_grid(outer * inner), HF_BLOCK, 0, hf_cuda_stream(), out, x, outer * inner, n, inner, log);
  return hf_cuda_status();
}

static HfStatus softmax_backward(float *dx, const float *dout, const float *y, int64_t outer, int64_t n, int64_t inner, bool log) {
  if (outer * n * inner == 0) return HF_OK;
  if (inner == 1)
    HF_LAUNCH(softmax_lines_backward_kernel, hf_row_grid(outer), hf_row_block(n, 1024), 0, hf_cuda_stream(), dx, dout, y, outer, n, log);
  else
    HF_LAUNCH(softmax_columns_backward_kernel, hf_grid(outer * inner), HF_BLOCK, 0, hf_cuda_stream(), dx, dout, y, outer * inner, n, inner, log);
  return hf_cuda_status();
}

void hf_cuda_fill_softmax(HfKernels *k) {
  k->softmax = softmax;
  k->softmax_backward = softmax_backward;
}
