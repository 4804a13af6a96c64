/* Tiles and products of the attention kernels for tensor cores. A block is four warps; each has 16 rows of the block's tile
 * and walks with the others over the tiles of the other side, which arrive by queued copies, two stages in turn. */
#ifndef HF_CUDA_ATTENTION_MMA_H
#define HF_CUDA_ATTENTION_MMA_H
#include "attention.h"
#include "mma.h"

enum { HF_MMA_WARPS = 4, HF_MMA_THREADS = 32 * HF_MMA_WARPS, HF_MMA_TILE = 16 * HF_MMA_WARPS };
#define HF_LOG2_E 1.4426950408889634f
#define HF_LN_2 0.6931471805599453f

/* Numbers from row to row of a tile: eight rows lie in different banks. */
template <int D> __host__ __device__ constexpr int hf_tile_stride() { return D + 8; }
template <int ROWS, int D> __host__ __device__ constexpr int hf_tile_size() { return ROWS * hf_tile_stride<D>(); }

/* Queues ROWS rows of D numbers from row `first` on; those behind the `rows` that there are become zeros. */
template <int ROWS, int D, class T> __device__ __forceinline__ void hf_queue_tile(T *tile, const T *x, int64_t stride, int first, int rows) {
  for (int i = (int)threadIdx.x; i < ROWS * (D / 8); i += HF_MMA_THREADS) {
    int r = i / (D / 8), c = i % (D / 8) * 8;
    bool there = first + r < rows;
    hf_copy_async<16>(tile + r * hf_tile_stride<D>() + c, x + (there ? (int64_t)(first + r) * stride + c : 0), there);
  }
}

template <int N> __device__ __forceinline__ void hf_zero_sums(float (&c)[N][4]) {
  HF_UNROLL for (int n = 0; n < N; n++) c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0;
}

/* c (16, 8 N) += rows `row` .. row+15 of tile a times the 8 N rows of tile b, turned: dot products of rows. */
template <int D, int N, class T> __device__ __forceinline__ void hf_rows_by_rows(float (&c)[N][4], const T *a, int row, const T *b) {
  int lane = hf_lane();
  a += (row + lane % 16) * hf_tile_stride<D>() + lane / 16 * 8;
  b += (lane % 8 + lane / 16 * 8) * hf_tile_stride<D>() + lane / 8 % 2 * 8;
  HF_UNROLL for (int k = 0; k < D; k += 16) {
    uint32_t left[4];
    hf_matrices(left, a + k);
    HF_UNROLL for (int n = 0; n < N; n += 2) {
      uint32_t right[4];
      hf_matrices(right, b + n * 8 * hf_tile_stride<D>() + k);
      hf_mma<T>(c[n], left, right[0], right[1]);
      hf_mma<T>(c[n + 1], left, right[2], right[3]);
    }
  }
}

/* c (16, D) += w (16, 8 N), rounded to T, times the 8 N rows of tile b: the layout of sums is the one of left operands. */
template <int D, int N, class T> __device__ __forceinline__ void hf_weights_by_rows(float (&c)[D / 8][4], const float (&w)[N][4], const T *b) {
  int lane = hf_lane();
  b += lane % 16 * hf_tile_stride<D>() + lane / 16 * 8;
  HF_UNROLL for (int k = 0; k < N; k += 2) {
    uint32_t left[4] = {hf_pack<T>(w[k][0], w[k][1]), hf_pack<T>(w[k][2], w[k][3]), hf_pack<T>(w[k + 1][0], w[k + 1][1]),
                        hf_pack<T>(w[k + 1][2], w[k + 1][3])};
    HF_UNROLL for (int n = 0; n < D / 8; n += 2) {
      uint32_t right[4];
      hf_matrices_turned(right, b + k * 8 * hf_tile_stride<D>() + n * 8);
      hf_mma<T>(c[n], left, right[0], right[1]);
      hf_mma<T>(c[n + 1], left, right[2], right[3]);
    }
  }
}

/* This lane's two rows, g and g + 8, of sums (16, D) times scale[0] and scale[1] to memory. `rows`: how many of the 16 exist. */
template <int D, class T> __device__ __forceinline__ void hf_store_rows(T *x, int64_t stride, const float (&c)[D / 8][4], const float (&scale)[2], int rows) {
  int g = hf_lane() / 4, t = hf_lane() % 4;
  HF_UNROLL for (int h = 0; h < 2; h++) {
    if (g + 8 * h >= rows) continue;
    uint32_t *to = (uint32_t *)(x + (g + 8 * h) * stride);
    HF_UNROLL for (int n = 0; n < D / 8; n++) to[n * 4 + t] = hf_pack<T>(c[n][2 * h] * scale[h], c[n][2 * h + 1] * scale[h]);
  }
}

/* ---- on the host */

/* May the operands be read 16 bytes at a time? Pointers may be NULL. */
static inline bool hf_mma_serves(const HfAttention *a, const void *const *results, int count) {
  if ((a->dtype != HF_BFLOAT16 && a->dtype != HF_FLOAT16) || (a->head_dim != 32 && a->head_dim != 64 && a->head_dim != 128)) return false;
  uintptr_t all = (uintptr_t)a->q | (uintptr_t)a->k | (uintptr_t)a->v;
  for (int i = 0; i < count; i++) all |= (uintptr_t)results[i];
  return all % 16 == 0 && (a->q_stride | a->k_stride | a->v_stride | a->out_stride) % 8 == 0;
}

/* Runs a statement with T and D of the task. */
#define HF_MMA_DIM_SWITCH(head_dim, ...)                       \
  if ((head_dim) == 32) { enum { D = 32 }; __VA_ARGS__; }      \
  else if ((head_dim) == 64) { enum { D = 64 }; __VA_ARGS__; } \
  else { enum { D = 128 }; __VA_ARGS__; }
#define HF_MMA_SWITCH(a, ...)                                                                           \
  if ((a)->dtype == HF_BFLOAT16) { using T = HfBfloat; HF_MMA_DIM_SWITCH((a)->head_dim, __VA_ARGS__) }   \
  else { using T = HfHalf; HF_MMA_DIM_SWITCH((a)->head_dim, __VA_ARGS__) }
#endif
