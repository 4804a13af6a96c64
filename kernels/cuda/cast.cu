/* Strided copies with conversion, fill and arange. Integers travel as int64, floats as float. */
#include "element.h"
#include "layout.h"

/* The x86 conversion: what has no int64 gives the least one. */
static __host__ __device__ __forceinline__ int64_t truncate(double x) {
  return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}

static __device__ __forceinline__ int64_t load_integer(const void *x, int64_t i, HfDtype dtype) {
  switch (dtype) {
  case HF_INT64: return ((const int64_t *)x)[i];
  case HF_INT32: return ((const int32_t *)x)[i];
  default: return ((const uint8_t *)x)[i];
  }
}
static __device__ __forceinline__ void store_integer(void *x, int64_t i, int64_t value, HfDtype dtype) {
  switch (dtype) {
  case HF_INT64: ((int64_t *)x)[i] = value; break;
  case HF_INT32: ((int32_t *)x)[i] = (int32_t)value; break;
  case HF_BOOL: ((uint8_t *)x)[i] = value != 0; break;
  default: ((uint8_t *)x)[i] = (uint8_t)value;
  }
}
static __device__ __forceinline__ float load_float(const void *x, int64_t i, HfDtype dtype) {
  switch (dtype) {
  case HF_FLOAT32: return ((const float *)x)[i];
  case HF_FLOAT16: return hf_get(((const HfHalf *)x)[i]);
  default: return hf_get(((const HfBfloat *)x)[i]);
  }
}
static __device__ __forceinline__ void store_float(void *x, int64_t i, float value, HfDtype dtype) {
  switch (dtype) {
  case HF_FLOAT32: ((float *)x)[i] = value; break;
  case HF_FLOAT16: ((HfHalf *)x)[i] = hf_put<HfHalf>(value); break;
  default: ((HfBfloat *)x)[i] = hf_put<HfBfloat>(value);
  }
}

static __device__ __forceinline__ void convert(void *out, int64_t o, HfDtype out_dtype, const void *in, int64_t i, HfDtype in_dtype) {
  bool to_float = out_dtype <= HF_BFLOAT16;
  if (in_dtype <= HF_BFLOAT16) {
    float value = load_float(in, i, in_dtype);
    if (to_float) store_float(out, o, value, out_dtype);
    else if (out_dtype == HF_BOOL) ((uint8_t *)out)[o] = value != 0;
    else store_integer(out, o, truncate(value), out_dtype);
  } else {
    int64_t value = load_integer(in, i, in_dtype);
    if (to_float) store_float(out, o, (float)value, out_dtype);
    else store_integer(out, o, value, out_dtype);
  }
}

__global__ void convert_flat_kernel(void *out, HfDtype out_dtype, const void *in, HfDtype in_dtype, int64_t n) {
  HF_EACH(i, n) convert(out, i, out_dtype, in, i, in_dtype);
}

/* The pairs that mixed precision makes: types known when compiled. */
template <class To, class From, int V> __global__ void convert_floats_kernel(To *out, const From *in, int64_t n) {
  HF_EACH(i, n / V) {
    float x[V];
    hf_load(x, in + i * V);
    hf_store(out + i * V, x);
  }
  HF_EACH(i, n % V) out[n - 1 - i] = hf_put<To>(hf_get(in[n - 1 - i]));
}

__global__ void convert_kernel(void *out, HfDtype out_dtype, const void *in, HfDtype in_dtype, HfLayout l, int64_t n) {
  HF_EACH(i, n) {
    int64_t at[2];
    hf_layout_offsets<2>(l, i, at);
    convert(out, at[0], out_dtype, in, at[1], in_dtype);
  }
}

template <class T> __global__ void copy_kernel(T *out, const T *in, HfLayout l, int64_t n) {
  HF_EACH(i, n) {
    int64_t at[2];
    hf_layout_offsets<2>(l, i, at);
    out[at[0]] = in[at[1]];
  }
}

/* A batch of matrices turned: in (rows, columns) with columns `in_column` apart, out the other way round. Tiles go through
 * shared memory so that both sides are read and written along their rows. */
enum { TILE = 32, TILE_ROWS = 8 };
template <class T> __global__ void transpose_kernel(T *out, const T *in, int64_t rows, int64_t columns, int64_t in_row,
                                                    int64_t out_column, int64_t in_batch, int64_t out_batch) {
  __shared__ T tile[TILE][TILE + 1];
  int64_t r = (int64_t)blockIdx.y * TILE, c = (int64_t)blockIdx.x * TILE;
  in += blockIdx.z * in_batch;
  out += blockIdx.z * out_batch;
  for (int i = (int)threadIdx.y; i < TILE; i += TILE_ROWS)
    if (r + i < rows && c + threadIdx.x < columns) tile[i][threadIdx.x] = in[(r + i) * in_row + c + threadIdx.x];
  __syncthreads();
  for (int i = (int)threadIdx.y; i < TILE; i += TILE_ROWS)
    if (c + i < columns && r + threadIdx.x < rows) out[(c + i) * out_column + r + threadIdx.x] = tile[threadIdx.x][i];
}

/* out[c][r] = in[r][c] over at most one outer dim: dims (batch,) c, r of the layout with the input's last step along c. */
static bool is_transpose(const HfLayout *l) {
  if (l->ndim < 2 || l->ndim > 3) return false;
  int r = l->ndim - 1, c = l->ndim - 2;
  return l->stride[0][r] == 1 && l->stride[1][c] == 1 && l->stride[1][r] > 1 && l->shape[r] >= 8 && l->shape[c] >= 8 &&
         l->stride[0][c] > 0 && (l->ndim == 2 || l->shape[0] <= 65535) && hf_ceil_div(l->shape[r], TILE) <= 65535;
}

static HfStatus transpose(void *out, const void *in, size_t size, const HfLayout *l) {
  int r = l->ndim - 1, c = l->ndim - 2;
  dim3 grid((unsigned)hf_ceil_div(l->shape[c], TILE), (unsigned)hf_ceil_div(l->shape[r], TILE), l->ndim == 3 ? (unsigned)l->shape[0] : 1);
  HF_SIZE_SWITCH(size, HF_LAUNCH(transpose_kernel<T>, grid, dim3(TILE, TILE_ROWS), 0, hf_cuda_stream(), (T *)out, (const T *)in,
                                 l->shape[r], l->shape[c], l->stride[1][r], l->stride[0][c], l->ndim == 3 ? l->stride[1][0] : 0,
                                 l->ndim == 3 ? l->stride[0][0] : 0))
  return hf_cuda_status();
}

static HfStatus copy_strided(void *out, const void *in, size_t size, const HfLayout *l, int64_t n) {
  if (hf_layout_is_flat(l, 2))
    return cudaMemcpyAsync(out, in, (size_t)n * size, cudaMemcpyDeviceToDevice, hf_cuda_stream()) == cudaSuccess ? HF_OK : HF_DEVICE_FAULT;
  if (is_transpose(l)) return transpose(out, in, size, l);
  HF_SIZE_SWITCH(size, HF_LAUNCH(copy_kernel<T>, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), (T *)out, (const T *)in, *l, n))
  return hf_cuda_status();
}

template <class From> static HfStatus convert_from(void *out, HfDtype out_dtype, const From *in, int64_t n) {
  HF_FLOAT_SWITCH(out_dtype, HF_VECTOR_SWITCH(hf_is_aligned(out, in), HF_LAUNCH((convert_floats_kernel<T, From, V>), hf_grid(hf_ceil_div(n, V)), HF_BLOCK, 0,
                                                                               hf_cuda_stream(), (T *)out, in, n)))
  return hf_cuda_status();
}

static HfStatus convert_flat(void *out, HfDtype out_dtype, const void *in, HfDtype in_dtype, int64_t n) {
  if (hf_is_float(out_dtype) && hf_is_float(in_dtype)) {
    HF_FLOAT_SWITCH(in_dtype, return convert_from(out, out_dtype, (const T *)in, n))
  }
  HF_LAUNCH(convert_flat_kernel, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), out, out_dtype, in, in_dtype, n);
  return hf_cuda_status();
}

static HfStatus cast(void *out, HfDtype out_dtype, const void *in, HfDtype in_dtype, const HfLayout *layout) {
  int64_t n = hf_layout_count(layout);
  if (n == 0) return HF_OK;
  HfLayout l = hf_layout_collapse(layout, 2);
  if (out_dtype == in_dtype) return copy_strided(out, in, hf_element_size(in_dtype), &l, n);
  if (hf_layout_is_flat(&l, 2)) return convert_flat(out, out_dtype, in, in_dtype, n);
  HF_LAUNCH(convert_kernel, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), out, out_dtype, in, in_dtype, l, n);
  return hf_cuda_status();
}

/* ---- fill and arange */

static __device__ __forceinline__ void write_value(void *out, int64_t i, HfDtype dtype, double value) {
  if (dtype <= HF_BFLOAT16) store_float(out, i, (float)value, dtype);
  else if (dtype == HF_BOOL) ((uint8_t *)out)[i] = value != 0;
  else store_integer(out, i, truncate(value), dtype);
}

__global__ void fill_kernel(void *out, HfDtype dtype, double value, HfLayout l, int64_t n) {
  HF_EACH(i, n) {
    int64_t at[1];
    hf_layout_offsets<1>(l, i, at);
    write_value(out, at[0], dtype, value);
  }
}

__global__ void arange_kernel(void *out, HfDtype dtype, double start, double step, int64_t n) {
  HF_EACH(i, n) write_value(out, i, dtype, start + (double)i * step);
}

static HfStatus fill(void *out, HfDtype dtype, double value, const HfLayout *layout) {
  int64_t n = hf_layout_count(layout);
  HfLayout l = hf_layout_collapse(layout, 1);
  if (n) HF_LAUNCH(fill_kernel, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), out, dtype, value, l, n);
  return hf_cuda_status();
}

static HfStatus arange(void *out, HfDtype dtype, double start, double step, int64_t n) {
  HF_LAUNCH(arange_kernel, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), out, dtype, start, step, n);
  return hf_cuda_status();
}

void hf_cuda_fill_cast(HfKernels *k) {
  k->cast = cast;
  k->fill = fill;
  k->arange = arange;
}
