/* Cross entropy of rows of logits, with class weights, label smoothing and an ignored label; a block a row. */
#include "element.h"
#include "warp.h"

struct CrossEntropy {
  const int64_t *labels;
  const float *weight;
  int64_t N, V, ld, ignore;
  float smoothing;
};

static __device__ __forceinline__ bool is_counted(const CrossEntropy &c, int64_t label) {
  return label != c.ignore && label >= 0 && label < c.V;
}

/* log of the sum of exponentials: maximum and sum in one pass over the row */
template <class T> static __device__ float row_lse(const T *x, int64_t V) {
  float top = -INFINITY, sum = 0;
  hf_each_of_row(x, V, true, [&](int64_t, auto &value) {
    float largest = top;
    for (float v : value) largest = v > largest || v != v ? v : largest;
    if (largest != top) sum *= expf(top - largest), top = largest;
    if (top == -INFINITY) return;
    for (float v : value) sum += expf(v - top);
  });
  float all = hf_block_largest(top);
  float total = hf_block_sum(top == -INFINITY ? 0.0f : sum * expf(top - all));
  return (float)(all + log((double)total));
}

/* sum over v of weight[v] * -logp[v] */
template <class T> static __device__ double smoothed_sum(const T *x, const float *weight, float lse, int64_t V) {
  double sum = 0;
  hf_each_of_row(x, V, true, [&](int64_t first, auto &value) {
    for (float v : value) sum += (weight ? weight[first] : 1.0f) * (lse - v), first++;
  });
  return hf_block_sum(sum);
}

template <class T> __global__ void loss_kernel(float *loss, float *lse_out, const T *logits, CrossEntropy c, HfFault *fault) {
  HF_EACH_ROW(row, c.N) {
    const T *x = logits + row * c.ld;
    int64_t label = c.labels[row];
    if (!is_counted(c, label)) {
      if (threadIdx.x == 0) {
        loss[row] = lse_out[row] = 0;
        if (label != c.ignore) hf_report(fault, HF_FAULT_LABEL, label, c.V);
      }
      continue;
    }
    float lse = row_lse(x, c.V);
    double value = (c.weight ? c.weight[label] : 1.0f) * (lse - hf_get(x[label]));
    if (c.smoothing > 0) value = (1.0 - c.smoothing) * value + c.smoothing / (double)c.V * smoothed_sum(x, c.weight, lse, c.V);
    if (threadIdx.x == 0) loss[row] = (float)value, lse_out[row] = lse;
  }
}

/* total += weights of the counted labels; one block */
__global__ void total_kernel(float *total, CrossEntropy c) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < c.N; i += blockDim.x) {
    int64_t label = c.labels[i];
    if (is_counted(c, label)) sum += c.weight ? c.weight[label] : 1.0f;
  }
  sum = hf_block_sum(sum);
  if (threadIdx.x == 0) *total += (float)sum;
}

static HfStatus cross_entropy(float *loss, float *lse, float *total, const void *logits, const int64_t *labels, const float *weight, HfDtype dtype,
                              int64_t N, int64_t V, int64_t ld, int64_t ignore, float smoothing, int64_t *bad) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  if (N == 0) return HF_OK;
  CrossEntropy c = {labels, weight, N, V, ld, ignore, smoothing};
  HF_LAUNCH(total_kernel, 1, hf_row_block(N, 1024), 0, hf_cuda_stream(), total, c);
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(loss_kernel<T>, hf_row_grid(N), hf_row_block(V, 1024), 0, hf_cuda_stream(), loss, lse, (const T *)logits, c, hf_cuda_fault()))
  return hf_cuda_checked_status(bad);
}

/* ---- backward: d loss / d x[v] = p[v] * mass - s/V * weight[v], less (1-s) * weight[y] at v = y, where
 * mass = (1-s) * weight[y] + s/V * sum of weights; all times dloss */

__global__ void weight_sum_kernel(double *out, const float *weight, int64_t V) {
  double sum = 0;
  for (int64_t v = threadIdx.x; v < V; v += blockDim.x) sum += weight[v];
  sum = hf_block_sum(sum);
  if (threadIdx.x == 0) *out = sum;
}

/* weight_sum NULL: no weights, V in its place */
template <class T> __global__ void loss_backward_kernel(T *dlogits, const float *dloss, const T *logits, const float *lse, const double *weight_sum, CrossEntropy c) {
  HF_EACH_ROW(row, c.N) {
    const T *x = logits + row * c.ld;
    T *dx = dlogits + row * c.ld;
    int64_t label = c.labels[row];
    bool counts = is_counted(c, label);
    double d = counts ? dloss[row] : 0, share = d * c.smoothing / (double)c.V;
    double own = counts ? d * (1.0 - c.smoothing) * (c.weight ? c.weight[label] : 1.0f) : 0;
    float mass = (float)(own + share * (weight_sum ? *weight_sum : (double)c.V)), at = lse[row];
    hf_each_of_row(x, c.V, ((uintptr_t)x - (uintptr_t)dx) % 16 == 0, [&](int64_t first, auto &value) {
      int64_t v = first;
      for (float &g : value) {
        g = counts ? expf(g - at) * mass - (float)share * (c.weight ? c.weight[v] : 1.0f) : 0;
        if (counts && v == label) g -= (float)own;
        v++;
      }
      hf_store(dx + first, value);
    });
  }
}

static HfStatus cross_entropy_backward(void *dlogits, const float *dloss, const void *logits, const float *lse, const int64_t *labels, const float *weight,
                                       HfDtype dtype, int64_t N, int64_t V, int64_t ld, int64_t ignore, float smoothing) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  if (N == 0) return HF_OK;
  CrossEntropy c = {labels, weight, N, V, ld, ignore, smoothing};
  bool needs_sum = weight && smoothing > 0;
  HfScratch sum(needs_sum ? sizeof(double) : 0);
  if (needs_sum && !sum.data) return HF_NO_MEMORY;
  if (needs_sum) HF_LAUNCH(weight_sum_kernel, 1, hf_row_block(V, 1024), 0, hf_cuda_stream(), (double *)sum.data, weight, V);
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(loss_backward_kernel<T>, hf_row_grid(N), hf_row_block(V, 1024), 0, hf_cuda_stream(), (T *)dlogits, dloss,
                                   (const T *)logits, lse, (const double *)sum.data, c))
  return hf_cuda_status();
}

void hf_cuda_fill_loss(HfKernels *k) {
  k->cross_entropy = cross_entropy;
  k->cross_entropy_backward = cross_entropy_backward;
}
