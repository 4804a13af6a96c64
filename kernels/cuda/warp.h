/* Sums and extremes over a warp and over a block. Every thread gets the result; the order of the sums is fixed. */
#ifndef HF_CUDA_WARP_H
#define HF_CUDA_WARP_H
#include "cuda.h"

struct HfAdd {
  template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a + b; }
};
/* NaN wins. */
struct HfLargest {
  template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a > b || a != a ? a : b; }
};

template <class T, class Op> __device__ __forceinline__ T hf_warp_reduce(T v, Op op) {
  for (int mask = 16; mask > 0; mask >>= 1) v = op(v, __shfl_xor_sync(0xffffffffu, v, mask));
  return v;
}

/* blockDim.x must be a multiple of 32. `neutral` stands for the warps that are not there. */
template <class T, class Op> __device__ __forceinline__ T hf_block_reduce(T v, Op op, T neutral) {
  __shared__ T partial[32];
  int lane = (int)(threadIdx.x & 31), warp = (int)(threadIdx.x >> 5), warps = (int)(blockDim.x >> 5);
  v = hf_warp_reduce(v, op);
  if (warps == 1) return v;
  if (lane == 0) partial[warp] = v;
  __syncthreads();
  v = hf_warp_reduce(lane < warps ? partial[lane] : neutral, op);
  __syncthreads(); /* partial may be written again */
  return v;
}
template <class T> __device__ __forceinline__ T hf_block_sum(T v) { return hf_block_reduce(v, HfAdd(), (T)0); }
static __device__ __forceinline__ float hf_block_largest(float v) { return hf_block_reduce(v, HfLargest(), -INFINITY); }

/* Threads for a row of n elements: a power of two from 32 to 1024 (n a thread and turn: 4). */
static inline unsigned hf_row_block(int64_t n, unsigned most = 512) {
  unsigned threads = 32;
  while (threads < most && (int64_t)threads * 4 < n) threads *= 2;
  return threads;
}
#endif
