/* What generation keeps beside the model: rows of a cache, counts that grow, the tokens chosen so far. What changes from step to step
 * is read from the device's memory, so that a queued step can run again. */
#include "element.h"

template <class T> __global__ void put_kernel(T *k_cache, T *v_cache, const T *k, const T *v, const int32_t *place, int64_t N, int64_t width, int64_t k_stride, int64_t v_stride) {
  HF_EACH(at, N * width) {
    int64_t i = at / width, c = at % width, to = place[i] * width + c;
    k_cache[to] = k[i * k_stride + c];
    v_cache[to] = v[i * v_stride + c];
  }
}

static HfStatus cache_put(void *k_cache, void *v_cache, const void *k, const void *v, HfDtype dtype, const int32_t *place, int64_t N, int64_t width, int64_t k_stride, int64_t v_stride) {
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(put_kernel<T>, hf_grid(N * width), HF_BLOCK, 0, hf_cuda_stream(), (T *)k_cache, (T *)v_cache, (const T *)k, (const T *)v, place, N,
                                   width, k_stride, v_stride))
  return hf_cuda_status();
}

__global__ void advance_kernel(int32_t *x, int64_t n) {
  HF_EACH(i, n) x[i]++;
}

static HfStatus advance(int32_t *x, int64_t n) {
  HF_LAUNCH(advance_kernel, hf_grid(n), HF_BLOCK, 0, hf_cuda_stream(), x, n);
  return hf_cuda_status();
}

/* One block: the column grows when every row has been written. */
__global__ void append_kernel(HfDecoding t, const int64_t *token) {
  int64_t column = *t.column;
  if (column >= t.columns) return;
  for (int64_t row = threadIdx.x; row < t.rows; row += blockDim.x) {
    int64_t next = t.done[row] ? t.pad : token[row];
    t.ids[row * t.columns + column] = next;
    t.input[row] = hf_max(0, next);
    t.position[row]++;
    for (int64_t i = 0; i < t.ends; i++)
      if (next == t.end[i]) t.done[row] = 1;
  }
  __syncthreads();
  if (threadIdx.x == 0) *t.column = column + 1;
}

static HfStatus append_tokens(const HfDecoding *t, const int64_t *token) {
  HF_LAUNCH(append_kernel, 1, (unsigned)hf_min(1024, (t->rows + 31) / 32 * 32), 0, hf_cuda_stream(), *t, token);
  return hf_cuda_status();
}

void hf_cuda_fill_decode(HfKernels *k) {
  k->cache_put = cache_put;
  k->advance = advance;
  k->append_tokens = append_tokens;
}
