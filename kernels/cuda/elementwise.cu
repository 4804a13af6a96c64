/* Functions of one float, forward and backward, and the in-place helpers of the same shape, over flat arrays. */
#include "element.h"
#include "functions.h"

template <int V> __global__ void unary_kernel(float *out, const float *x, int64_t n, HfUnary op, float p) {
  HF_EACH(i, n / V) {
    float value[V];
    hf_load(value, x + i * V);
    HF_UNROLL for (int v = 0; v < V; v++) value[v] = hf_unary_value(op, value[v], p);
    hf_store(out + i * V, value);
  }
  HF_EACH(i, n % V) out[n - 1 - i] = hf_unary_value(op, x[n - 1 - i], p);
}

/* x or y may be NULL where the gradient does not read it. */
__global__ void unary_backward_kernel(float *dx, const float *dout, const float *x, const float *y, int64_t n, HfUnary op, float p) {
  HF_EACH(i, n) dx[i] = hf_unary_gradient(op, dout[i], x ? x[i] : 0, y ? y[i] : 0, p);
}

__global__ void clamp_kernel(float *out, const float *x, int64_t n, float low, float high) {
  HF_EACH(i, n) {
    float v = x[i];
    v = v < low ? low : v;
    out[i] = v > high ? high : v;
  }
}

template <int V> __global__ void axpy_kernel(float *y, const float *x, int64_t n, float a) {
  HF_EACH(i, n / V) {
    float sum[V], more[V];
    hf_load(sum, y + i * V), hf_load(more, x + i * V);
    HF_UNROLL for (int v = 0; v < V; v++) sum[v] += a * more[v];
    hf_store(y + i * V, sum);
  }
  HF_EACH(i, n % V) y[n - 1 - i] += a * x[n - 1 - i];
}

static HfStatus unary(float *out, const float *x, int64_t n, HfUnary op, float p) {
  HF_VECTOR_SWITCH(hf_is_aligned(out, x), HF_LAUNCH(unary_kernel<V>, hf_grid(hf_ceil_div(n, V)), HF_BLOCK, 0, hf_cuda_stream(), out, x, n, op, p))
  return hf_cuda_status();
}

static HfStatus unary_backward(float *dx, const float *dout, const float *x, const float *y, int64_t n, HfUnary op, float p) {
  HF_LAUNCH(unary_backward_kernel, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), dx, dout, x, y, n, op, p);
  return hf_cuda_status();
}

static HfStatus clamp(float *out, const float *x, int64_t n, float low, float high) {
  HF_LAUNCH(clamp_kernel, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), out, x, n, low, high);
  return hf_cuda_status();
}

static HfStatus axpy(float *y, const float *x, int64_t n, float a) {
  HF_VECTOR_SWITCH(hf_is_aligned(y, x), HF_LAUNCH(axpy_kernel<V>, hf_grid(hf_ceil_div(n, V)), HF_BLOCK, 0, hf_cuda_stream(), y, x, n, a))
  return hf_cuda_status();
}

static HfStatus scale(float *y, int64_t n, float a) { return unary(y, y, n, HF_MUL_SCALAR, a); }

void hf_cuda_fill_elementwise(HfKernels *k) {
  k->unary = unary;
  k->unary_backward = unary_backward;
  k->clamp = clamp;
  k->axpy = axpy;
  k->scale = scale;
}
