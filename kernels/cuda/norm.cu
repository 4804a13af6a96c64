/* Layer and RMS normalisation of rows of C, with residual and dropout folded in. Rows of a few hundred to a thousand numbers
 * belong to a warp, which reads them once, 16 bytes a lane, and keeps them in registers; others to a block, which keeps them in
 * shared memory where they fit. Statistics are computed from the sum as it is stored, since the backward reads that. The weight
 * gradients are summed in groups of rows, then over groups in order. */
#include "columns.h"

enum { SHARED_FLOATS = 8192 /* longest row kept in shared memory */, GROUP_MIN = 16, GROUPS = 128 };
enum { V = 8, WARPS = 8 /* of a block */, TURNS_MAX = 4, WARP_BLOCKS = 264 };

/* Can a warp take a row? Then C has at most TURNS_MAX turns of 32 V numbers. */
static bool is_for_warps(int64_t C, bool aligned) { return C % V == 0 && C >= 64 && C <= TURNS_MAX * 32 * V && aligned; }
/* Runs a statement with TURNS for C. */
#define TURNS_SWITCH(C, ...)                                       \
  if ((C) <= 256) { enum { TURNS = 1 }; __VA_ARGS__; }             \
  else if ((C) <= 512) { enum { TURNS = 2 }; __VA_ARGS__; }        \
  else if ((C) <= 768) { enum { TURNS = 3 }; __VA_ARGS__; }        \
  else { enum { TURNS = TURNS_MAX }; __VA_ARGS__; }
static unsigned warp_grid(int64_t N) { return (unsigned)hf_min(hf_ceil_div(N, WARPS), WARP_BLOCKS); }
#define HF_EACH_WARP_ROW(row, n) for (int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.y; row < (n); row += (int64_t)gridDim.x * WARPS)

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

template <class T, int TURNS> __global__ void warp_norm_kernel(T *y, T *sum, const T *x, const T *residual, Norm c) {
  c.dropout.open();
  HF_EACH_WARP_ROW(row, c.N) {
    float kept[TURNS][V], total = 0, squares = 0;
    HF_UNROLL for (int turn = 0; turn < TURNS; turn++) {
      int64_t i = (turn * 32 + threadIdx.x) * V, at = row * c.C + i;
      if (i >= c.C) continue;
      float other[V];
      hf_load(kept[turn], x + at);
      if (residual) hf_load(other, residual + at);
      HF_UNROLL for (int v = 0; v < V; v++) {
        if (c.drops) kept[turn][v] = c.dropout(kept[turn][v], (uint64_t)(at + v));
        if (residual) kept[turn][v] += other[v];
        if (sum) kept[turn][v] = hf_get(hf_put<T>(kept[turn][v]));
        total += kept[turn][v];
      }
      if (sum) hf_store(sum + at, kept[turn]);
    }
    float center = c.mean ? hf_warp_reduce(total, HfAdd()) / (float)c.C : 0.0f;
    HF_UNROLL for (int turn = 0; turn < TURNS; turn++)
      HF_UNROLL for (int v = 0; v < V; v++) {
        kept[turn][v] -= center;
        if ((turn * 32 + threadIdx.x) * V < c.C) squares += kept[turn][v] * kept[turn][v];
      }
    float rstd = 1.0f / sqrtf(hf_warp_reduce(squares, HfAdd()) / (float)c.C + c.eps);
    HF_UNROLL for (int turn = 0; turn < TURNS; turn++) {
      int64_t i = (turn * 32 + threadIdx.x) * V;
      if (i >= c.C) continue;
      float weight[V], bias[V];
      if (c.weight) hf_load(weight, c.weight + i);
      if (c.bias) hf_load(bias, c.bias + i);
      HF_UNROLL for (int v = 0; v < V; v++) kept[turn][v] = kept[turn][v] * rstd * (c.weight ? weight[v] : 1.0f) + (c.bias ? bias[v] : 0.0f);
      hf_store(y + row * c.C + i, kept[turn]);
    }
    if (threadIdx.x == 0) {
      if (c.mean) c.mean[row] = center;
      c.rstd[row] = rstd;
    }
  }
}

static HfStatus layer_norm(void *y, void *sum, float *mean, float *rstd, const void *x, const void *residual, const float *weight,
                           const float *bias, HfDtype dtype, int64_t N, int64_t C, float eps, float dropout, HfDropoutKey key) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  if (N == 0) return HF_OK;
  Norm c = {mean, rstd, weight, bias, N, C, eps, dropout > 0, C <= SHARED_FLOATS, hf_dropout_of(dropout, key)};
  if (is_for_warps(C, hf_is_aligned(y, sum, x, residual, weight, bias))) {
    HF_FLOAT_SWITCH(dtype, TURNS_SWITCH(C, HF_LAUNCH((warp_norm_kernel<T, TURNS>), (unsigned)hf_min(hf_ceil_div(N, WARPS), 1 << 20), dim3(32, WARPS), 0,
                                                     hf_cuda_stream(), (T *)y, (T *)sum, (const T *)x, (const T *)residual, c)))
    return hf_cuda_status();
  }
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

/* The same of rows that belong to warps, in one pass over dy and sum. A lane has the same columns of every row: it adds up their
 * weight gradients itself, the block's warps follow in order. sums (blocks, 2, C): of each block's rows; NULL: not wanted. */
template <class T, int TURNS> __global__ void __launch_bounds__(32 * WARPS)
warp_norm_backward_kernel(T *dsum, T *dx, float *sums, const T *dy, const T *sum, NormBackward c) {
  __shared__ float partial[WARPS][32 * V];
  float added[2][TURNS][V] = {};
  c.dropout.open();
  HF_EACH_WARP_ROW(row, c.N) {
    float mean = c.mean ? c.mean[row] : 0.0f, rstd = c.rstd[row], total_g = 0, total_gh = 0;
    HfVector<T, V> own_dy[TURNS], own_sum[TURNS];
    HF_UNROLL for (int turn = 0; turn < TURNS; turn++) {
      int64_t i = (turn * 32 + threadIdx.x) * V;
      if (i >= c.C) continue;
      own_dy[turn] = *(const HfVector<T, V> *)(dy + row * c.C + i), own_sum[turn] = *(const HfVector<T, V> *)(sum + row * c.C + i);
    }
    HF_UNROLL for (int turn = 0; turn < TURNS; turn++) {
      int64_t i = (turn * 32 + threadIdx.x) * V;
      if (i >= c.C) continue;
      float weight[V];
      if (c.weight) hf_load(weight, c.weight + i);
      HF_UNROLL for (int v = 0; v < V; v++) {
        float d = hf_get(own_dy[turn].v[v]), h = (hf_get(own_sum[turn].v[v]) - mean) * rstd, g = c.weight ? d * weight[v] : d;
        added[0][turn][v] += d * h, added[1][turn][v] += d;
        total_g += g, total_gh += g * h;
      }
    }
    float mean_g = c.mean ? hf_warp_reduce(total_g, HfAdd()) / (float)c.C : 0.0f, mean_gh = hf_warp_reduce(total_gh, HfAdd()) / (float)c.C;
    HF_UNROLL for (int turn = 0; turn < TURNS; turn++) {
      int64_t i = (turn * 32 + threadIdx.x) * V, at = row * c.C + i;
      if (i >= c.C) continue;
      float weight[V], d[V];
      if (c.weight) hf_load(weight, c.weight + i);
      HF_UNROLL for (int v = 0; v < V; v++) {
        float h = (hf_get(own_sum[turn].v[v]) - mean) * rstd, g = hf_get(own_dy[turn].v[v]) * (c.weight ? weight[v] : 1.0f);
        d[v] = hf_get(hf_put<T>(rstd * (g - mean_g - h * mean_gh)));
      }
      hf_store(dsum + at, d);
      if (!dx) continue;
      HF_UNROLL for (int v = 0; v < V; v++) d[v] = c.dropout(d[v], (uint64_t)(at + v));
      hf_store(dx + at, d);
    }
  }
  if (!sums) return;
  int thread = (int)(threadIdx.y * 32 + threadIdx.x);
  HF_UNROLL for (int which = 0; which < 2; which++)
    HF_UNROLL for (int turn = 0; turn < TURNS; turn++) {
      HF_UNROLL for (int v = 0; v < V; v++) partial[threadIdx.y][threadIdx.x * V + v] = added[which][turn][v];
      __syncthreads();
      float total = 0;
      for (int w = 0; w < WARPS; w++) total += partial[w][thread];
      int64_t column = turn * 32 * V + thread;
      if (column < c.C) sums[(blockIdx.x * 2 + which) * c.C + column] = total;
      __syncthreads();
    }
}

/* dweight and dbias += the columns of sums (groups, 2, C) */
static void add_sums(float *dweight, float *dbias, const float *sums, int64_t groups, int64_t C) {
  if (dweight) hf_add_columns(dweight, sums, groups, C, 2 * C, 1);
  if (dbias) hf_add_columns(dbias, sums + C, groups, C, 2 * C, 1);
}

static HfStatus backward_by_warps(void *dsum, void *dx, float *dweight, float *dbias, const void *dy, const void *sum, HfDtype dtype, const NormBackward &c) {
  unsigned blocks = warp_grid(c.N);
  HfScratch sums(dweight || dbias ? (size_t)(blocks * 2 * c.C) * sizeof(float) : 0);
  if (sums.size && !sums.data) return HF_NO_MEMORY;
  HF_FLOAT_SWITCH(dtype, TURNS_SWITCH(c.C, HF_LAUNCH((warp_norm_backward_kernel<T, TURNS>), blocks, dim3(32, WARPS), 0, hf_cuda_stream(), (T *)dsum,
                                                     (T *)dx, (float *)sums.data, (const T *)dy, (const T *)sum, c)))
  add_sums(dweight, dbias, (const float *)sums.data, blocks, c.C);
  return hf_cuda_status();
}

static HfStatus add_weight_gradients(float *dweight, float *dbias, const void *dy, const void *sum, HfDtype dtype, const NormBackward &c) {
  int64_t group_rows = hf_max(GROUP_MIN, hf_ceil_div(c.N, GROUPS)), groups = hf_ceil_div(c.N, group_rows);
  HfScratch sums((size_t)(groups * 2 * c.C) * sizeof(float));
  if (!sums.data) return HF_NO_MEMORY;
  dim3 grid((unsigned)hf_ceil_div(c.C, 64), (unsigned)groups);
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(weight_sums_kernel<T>, grid, 64, 0, hf_cuda_stream(), (float *)sums.data, (const T *)dy, (const T *)sum, c, group_rows))
  add_sums(dweight, dbias, (const float *)sums.data, groups, c.C);
  return hf_cuda_status();
}

static HfStatus layer_norm_backward(void *dsum, void *dx, float *dweight, float *dbias, const void *dy, const void *sum, const float *mean,
                                    const float *rstd, const float *weight, HfDtype dtype, int64_t N, int64_t C, float dropout, HfDropoutKey key) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  if (N == 0) return HF_OK;
  NormBackward c = {mean, rstd, weight, N, C, hf_dropout_of(dropout, key)};
  if (is_for_warps(C, hf_is_aligned(dsum, dx, dy, sum, weight))) return backward_by_warps(dsum, dx, dweight, dbias, dy, sum, dtype, c);
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
