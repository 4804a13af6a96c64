/* The way back through bias and activation of a product: dpre in one pass, and the column sums that are the bias gradient in
 * groups of rows, then over groups in order. */
#include "element.h"
#include "functions.h"

enum { COLUMNS = 64 /* of a block */, GROUPS = 64, GROUP_MIN = 32 };

struct Backward {
  int64_t rows, columns, group_rows;
  HfActivation activation;
};

/* sums (groups, columns) may be NULL; pre NULL: no activation, dpre is left alone. */
template <class T> __global__ void backward_kernel(T *dpre, float *sums, const T *dout, const T *pre, Backward b) {
  int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x, first = blockIdx.y * b.group_rows;
  if (column >= b.columns) return;
  double sum = 0;
  for (int64_t row = first; row < hf_min(b.rows, first + b.group_rows); row++) {
    int64_t at = row * b.columns + column;
    float g = hf_get(dout[at]);
    if (pre) {
      g *= hf_activation_slope(hf_get(pre[at]), b.activation);
      dpre[at] = hf_put<T>(g);
    }
    sum += g;
  }
  if (sums) sums[blockIdx.y * b.columns + column] = (float)sum;
}

__global__ void join_sums_kernel(float *dbias, const float *sums, int64_t groups, int64_t columns, float beta) {
  HF_EACH(j, columns) {
    double total = 0;
    for (int64_t g = 0; g < groups; g++) total += sums[g * columns + j];
    dbias[j] = beta == 0 ? (float)total : beta * dbias[j] + (float)total;
  }
}

static HfStatus bias_activation_backward(void *dpre, float *dbias, const void *dout, const void *pre, HfDtype dtype, int64_t rows,
                                         int64_t columns, HfActivation activation, float beta) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  if (columns == 0) return HF_OK;
  if (!pre && dpre != dout)
    cudaMemcpyAsync(dpre, dout, (size_t)(rows * columns) * hf_element_size(dtype), cudaMemcpyDeviceToDevice, hf_cuda_stream());
  if (!pre && !dbias) return hf_cuda_status();
  int64_t group_rows = hf_max(GROUP_MIN, hf_ceil_div(rows, GROUPS)), groups = hf_max(1, hf_ceil_div(rows, group_rows));
  Backward b = {rows, columns, group_rows, activation};
  HfScratch sums(dbias ? (size_t)(groups * columns) * sizeof(float) : 0);
  if (dbias && !sums.data) return HF_NO_MEMORY;
  dim3 grid((unsigned)hf_ceil_div(columns, COLUMNS), (unsigned)groups);
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(backward_kernel<T>, grid, COLUMNS, 0, hf_cuda_stream(), (T *)dpre, (float *)sums.data, (const T *)dout, (const T *)pre, b))
  if (dbias)
    HF_LAUNCH(join_sums_kernel, hf_grid(columns), HF_BLOCK, 0, hf_cuda_stream(), dbias, (const float *)sums.data, groups, columns, beta);
  return hf_cuda_status();
}

void hf_cuda_fill_activation(HfKernels *k) { k->bias_activation_backward = bias_activation_backward; }
