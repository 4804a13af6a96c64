/* The way back through bias and activation of a product: dpre in one pass, and the column sums that are the bias gradient in
 * groups of rows, then over groups in order. */
#include "columns.h"
#include "functions.h"

enum { WARPS = 8, GROUP_MIN = 2 * WARPS /* rows of a group */ };

struct Backward {
  int64_t rows, columns, group_rows;
  HfActivation activation;
};

/* A warp takes every WARPS-th row of its block's group, a lane V columns. sums (groups, columns) may be NULL; pre NULL: no
 * activation, dpre is left alone. */
template <class T, int V> __global__ void backward_kernel(T *dpre, float *sums, const T *dout, const T *pre, Backward b) {
  __shared__ float partial[WARPS][32 * V];
  int64_t block = (int64_t)blockIdx.x * 32 * V, column = block + threadIdx.x * V;
  int64_t first = blockIdx.y * b.group_rows, end = column < b.columns ? hf_min(b.rows, first + b.group_rows) : 0;
  float sum[V] = {};
  for (int64_t row = first + threadIdx.y; row < end; row += WARPS) {
    int64_t at = row * b.columns + column;
    float g[V], x[V];
    hf_load(g, dout + at);
    if (pre) {
      hf_load(x, pre + at);
      HF_UNROLL for (int v = 0; v < V; v++) g[v] *= hf_activation_slope(x[v], b.activation);
      hf_store(dpre + at, g);
    }
    HF_UNROLL for (int v = 0; v < V; v++) sum[v] += g[v];
  }
  if (!sums) return;
  HF_UNROLL for (int v = 0; v < V; v++) partial[threadIdx.y][v * 32 + threadIdx.x] = sum[v];
  __syncthreads();
  for (int v = (int)threadIdx.y; v < V; v += WARPS) {
    float total = 0;
    for (int w = 0; w < WARPS; w++) total += partial[w][v * 32 + threadIdx.x];
    if (column + v < b.columns) sums[blockIdx.y * b.columns + column + v] = total;
  }
}

static HfStatus bias_activation_backward(void *dpre, float *dbias, const void *dout, const void *pre, HfDtype dtype, int64_t rows,
                                         int64_t columns, HfActivation activation, float beta) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  if (columns == 0) return HF_OK;
  if (!pre && dpre != dout)
    cudaMemcpyAsync(dpre, dout, (size_t)(rows * columns) * hf_element_size(dtype), cudaMemcpyDeviceToDevice, hf_cuda_stream());
  if (!pre && !dbias) return hf_cuda_status();
  bool wide = columns % 8 == 0 && hf_is_aligned(dpre, dout, pre);
  int64_t across = hf_ceil_div(columns, wide ? 256 : 32), wanted = hf_max(1, HF_COLUMNS_BLOCKS / across);
  int64_t group_rows = hf_max(GROUP_MIN, hf_ceil_div(rows, wanted)), groups = hf_max(1, hf_ceil_div(rows, group_rows));
  Backward b = {rows, columns, group_rows, activation};
  HfScratch sums(dbias ? (size_t)(groups * columns) * sizeof(float) : 0);
  if (dbias && !sums.data) return HF_NO_MEMORY;
  dim3 grid((unsigned)across, (unsigned)groups), block(32, WARPS);
  HF_FLOAT_SWITCH(dtype, HF_VECTOR_SWITCH(wide, HF_LAUNCH((backward_kernel<T, V>), grid, block, 0, hf_cuda_stream(), (T *)dpre, (float *)sums.data,
                                                          (const T *)dout, (const T *)pre, b)))
  if (dbias) hf_add_columns(dbias, (const float *)sums.data, groups, columns, columns, beta);
  return hf_cuda_status();
}

void hf_cuda_fill_activation(HfKernels *k) { k->bias_activation_backward = bias_activation_backward; }
