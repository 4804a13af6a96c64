/* The last step of sums over rows that blocks made in groups: columns added up in a fixed order. */
#ifndef HF_CUDA_COLUMNS_H
#define HF_CUDA_COLUMNS_H
#include "element.h"
#include "warp.h"

enum { HF_COLUMNS_BLOCKS = 1056 /* blocks that fill a device: sums are cut into groups of rows until there are as many */ };

/* out = beta * out + the sums of the columns of x (rows, columns), whose rows lie `stride` apart. Blocks of (32, 32) threads:
 * a warp reads 32 columns, then adds up one. */
template <class T> __global__ void hf_add_columns_kernel(float *out, const T *x, int64_t rows, int64_t columns, int64_t stride, float beta) {
  __shared__ float partial[32][33];
  int64_t first = (int64_t)blockIdx.x * 32, own = first + threadIdx.x;
  float sum = 0;
  for (int64_t row = threadIdx.y; row < rows && own < columns; row += 32) sum += hf_get(x[row * stride + own]);
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  sum = hf_warp_reduce(partial[threadIdx.x][threadIdx.y], HfAdd());
  own = first + threadIdx.y;
  if (threadIdx.x == 0 && own < columns) out[own] = beta == 0 ? sum : beta * out[own] + sum;
}

static inline void hf_add_columns(float *out, const float *x, int64_t rows, int64_t columns, int64_t stride, float beta) {
  HF_LAUNCH(hf_add_columns_kernel<float>, (unsigned)hf_ceil_div(columns, 32), dim3(32, 32), 0, hf_cuda_stream(), out, x, rows, columns, stride, beta);
}
#endif
