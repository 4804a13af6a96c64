/* Layer and RMS normalisation of rows of C, with residual and dropout folded in; a block a row, which is read once and kept in
 * shared memory where it fits. Statistics are computed from the sum as it is stored, since the backward reads that. The weight
 * gradients are summed in groups of rows, then over groups in order. */
#include "element.h"
#include "warp.h"

enum { SHARED_FLOATS = 8192 /* longest row kept in shared memory */, GROUPS = 128, GROUP_MIN = 16 };

struct Norm {
  float *mean, *rstd;
  const float *weight, *bias;
  int64_t N, C;
  float eps;
  bool drops, is_shared;
  HfDropout dropout;
};

/* Element i of the sum, in the precision it is stored with; written to `sum` when there is one. */
template <class T> static __device__ __forceinline__ float summed(T *sum, const T *x, const T *residual, int64_t at, const Norm &c) {
  float v = hf_get(x[at]);
  if (c.drops) v = c.dropout(v, (uint64_t)at);
  if (residual) v += hf_get(residual[at]);
  if (!sum) return v;
  T stored = hf_put<T>(v);
  sum[at] = stored;
  return hf_get(stored);
}

template <class T> __global__ void layer_norm_kernel(T *y, T *sum, const T *x, const T *residual, Norm c) {
  HF_DYNAMIC_SHARED(float, kept);
  c.dropout.open();
  HF_EACH_ROW(row, c.N) {
    int64_t start = row * c.C;
    const T *stored = sum ? sum + start : x + start;
    double total = 0, squares = 0;
    for (int64_t i = threadIdx.x; i < c.C; i += blockDim.x) {
      float v = summed(sum, x, residual, start + i, c);
      if (c.is_shared) kept[i] = v;
      total += v;
    }
    float center = c.mean ? (float)(hf_block_sum(total) / (double)c.C) : 0.0f;
    for (int64_t i = threadIdx.x; i < c.C; i += blockDim.x) {
      float v = (c.is_shared ? kept[i] : hf_get(stored[i])) - center;
      squares += v * v;
    }
    float rstd = (float)(1.0 / sqrt(hf_block_sum(squares) / (double)c.C + (double)c.eps));
    for (int64_t i = threadIdx.x; i < c.C; i += blockDim.x) {
      float v = ((c.is_shared ? kept[i] : hf_get(stored[i])) - center) * rstd;
      if (c.weight) v *= c.weight[i];
      if (c.bias) v += c.bias[i];
      y[start + i] = hf_put<T>(v);
    }
    if (threadIdx.x == 0) {
      if (c.mean) c.mean[row] = center;
      c.rstd[row] = rstd;
    }
    __syncthreads(); /* kept is written again for the next row */
  }
}

static HfStatus layer_norm(void *y, void *sum, float *mean, float *rstd, const void *x, const void *residual, const float *weight,
                           const float *bias, HfDtype dtype, int64_t N, int64_t C, float eps, float dropout, HfDropoutKey key) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  if (N == 0) return HF_OK;
  Norm c = {mean, rstd, weight, bias, N, C, eps, dropout > 0, C <= SHARED_FLOATS, hf_dropout_of(dropout, key)};
  size_t shared = c.is_shared ? (size_t)C * sizeof(float) : 0;
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(layer_norm_kernel<T>, hf_row_grid(N), hf_row_block(C), shared, hf_cuda_stream(), (T *)y, (T *)sum,
                                   (const T *)x, (const T *)residual, c))
  return hf_cuda_status();
}

static HfStatus rms_norm(void *y, float *rstd, const void *x, const float *weight, HfDtype dtype, int64_t N, int64_t C, float eps) {
  return layer_norm(y, nullptr, nullptr, rstd, x, nullptr, weight, nullptr, dtype, N, C, eps, 0, HfDropoutKey{});
}

/* ---- backward: with g = dy * weight and h = (sum - mean) * rstd,
 * dsum = rstd * (g - mean of g - h * mean of g h); without a mean (rms) the middle term is left out */

struct NormBackward {
  const float *mean, *rstd, *weight;
  int64_t N, C;
  HfDropout dropout;
};

template <class T> __global__ void layer_norm_backward_kernel(T *dsum, T *dx, const T *dy, const T *sum, NormBackward c) {
  c.dropout.open();
  HF_EACH_ROW(row, c.N) {
    int64_t start = row * c.C;
    float mean = c.mean ? c.mean[row] : 0.0f, rstd = c.rstd[row], total_g = 0, total_gh = 0;
    for (int64_t i = threadIdx.x; i < c.C; i += blockDim.x) {
      float g = hf_get(dy[start + i]) * (c.weight ? c.weight[i] : 1.0f);
      total_g += g;
      total_gh += g * ((hf_get(sum[start + i]) - mean) * rstd);
    }
    float mean_g = hf_block_sum(total_g) / (float)c.C, mean_gh = hf_block_sum(total_gh) / (float)c.C;
    if (!c.mean) mean_g = 0;
    for (int64_t i = threadIdx.x; i < c.C; i += blockDim.x) {
      float g = hf_get(dy[start + i]) * (c.weight ? c.weight[i] : 1.0f), h = (hf_get(sum[start + i]) - mean) * rstd;
      T d = hf_put<T>(rstd * (g - mean_g - h * mean_gh));
      dsum[start + i] = d;
      if (dx) dx[start + i] = hf_put<T>(c.dropout(hf_get(d), (uint64_t)(start + i)));
    }
  }
}

/* sums (groups, 2, C): dy h and dy over the rows of each group. Neighbouring threads have neighbouring columns. */
template <class T> __global__ void weight_sums_kernel(float *sums, const T *dy, const T *sum, NormBackward c, int64_t group_rows) {
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, group = blockIdx.y;
  if (i >= c.C) return;
  double weight = 0, bias = 0;
  for (int64_t row = group * group_rows; row < hf_min(c.N, (group + 1) * group_rows); row++) {
    float d = hf_get(dy[row * c.C + i]);
    weight += d * ((hf_get(sum[row * c.C + i]) - (c.mean ? c.mean[row] : 0.0f)) * c.rstd[row]);
    bias += d;
  }
  sums[group * 2 * c.C + i] = (float)weight;
  sums[(group * 2 + 1) * c.C + i] = (float)bias;
}

__global__ void add_groups_kernel(float *dweight, float *dbias, const float *sums, int64_t groups, int64_t C) {
  HF_EACH(i, C) {
    double weight = 0, bias = 0;
    for (int64_t g = 0; g < groups; g++) weight += sums[g * 2 * C + i], bias += sums[(g * 2 + 1) * C + i];
    if (dweight) dweight[i] += (float)weight;
    if (dbias) dbias[i] += (float)bias;
  }
}

static HfStatus add_weight_gradients(float *dweight, float *dbias, const void *dy, const void *sum, HfDtype dtype, const NormBackward &c) {
  int64_t group_rows = hf_max(GROUP_MIN, hf_ceil_div(c.N, GROUPS)), groups = hf_ceil_div(c.N, group_rows);
  HfScratch sums((size_t)(groups * 2 * c.C) * sizeof(float));
  if (!sums.data) return HF_NO_MEMORY;
  dim3 grid((unsigned)hf_ceil_div(c.C, 64), (unsigned)groups);
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(weight_sums_kernel<T>, grid, 64, 0, hf_cuda_stream(), (float *)sums.data, (const T *)dy, (const T *)sum, c, group_rows))
  HF_LAUNCH(add_groups_kernel, hf_grid(c.C), HF_BLOCK, 0, hf_cuda_stream(), dweight, dbias, (const float *)sums.data, groups, c.C);
  return hf_cuda_status();
}

static HfStatus layer_norm_backward(void *dsum, void *dx, float *dweight, float *dbias, const void *dy, const void *sum, const float *mean,
                                    const float *rstd, const float *weight, HfDtype dtype, int64_t N, int64_t C, float dropout, HfDropoutKey key) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  if (N == 0) return HF_OK;
  NormBackward c = {mean, rstd, weight, N, C, hf_dropout_of(dropout, key)};
  if (dweight || dbias) { /* before dsum, which may be dy */
    HfStatus status = add_weight_gradients(dweight, dbias, dy, sum, dtype, c);
    if (status != HF_OK) return status;
  }
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(layer_norm_backward_kernel<T>, hf_row_grid(N), hf_row_block(C), 0, hf_cuda_stream(), (T *)dsum, (T *)dx,
                                   (const T *)dy, (const T *)sum, c))
  return hf_cuda_status();
}

static HfStatus rms_norm_backward(void *dx, float *dweight, const void *dy, const void *x, const float *rstd, const float *weight, HfDtype dtype, int64_t N, int64_t C) {
  return layer_norm_backward(dx, nullptr, dweight, nullptr, dy, x, nullptr, rstd, weight, dtype, N, C, 0, HfDropoutKey{});
}

void hf_cuda_fill_norm(HfKernels *k) {
  k->layer_norm = layer_norm;
  k->layer_norm_backward = layer_norm_backward;
  k->rms_norm = rms_norm;
  k->rms_norm_backward = rms_norm_backward;
}
