/* The forward of attention by tensor cores: a block takes 64 queries of one sequence and head and walks over the keys, 64 a
 * turn. Sums, the running softmax and lse are float32; probabilities are rounded to the operands' dtype before they meet v. */
#include "attention_mma.h"

static __device__ __forceinline__ float over_quad(float v, bool sum) {
  HF_UNROLL for (int mask = 1; mask < 4; mask *= 2) {
    float o = __shfl_xor_sync(0xffffffffu, v, mask);
    v = sum ? v + o : fmaxf(v, o);
  }
  return v;
}

/* This lane's rows g and g + 8 of a warp's 16 queries. NaN needs no care in top: it comes back by way of the sum. */
struct Rows {
  float top[2], sum[2]; /* largest score times log2 e; this lane's part of the sum of exponentials */
  int seen[2];          /* keys the queries see */
  int64_t row[2];       /* in the packed matrix */
};

/* Scores (16, 8 N) of keys j0 .. to probabilities after dropout, relative to the new top; factor is what earlier sums shrink by. */
template <int N> __device__ __forceinline__ void soften(float (&s)[N][4], float (&factor)[2], Rows &r, const HfAttentionTask &a, int head, int j0, bool cut) {
  int t = hf_lane() % 4;
  float largest[2] = {r.top[0], r.top[1]}, base[2], added[2] = {0, 0};
  HF_UNROLL for (int n = 0; n < N; n++)
    HF_UNROLL for (int c = 0; c < 4; c++) {
      s[n][c] *= a.scale * HF_LOG2_E;
      if (cut && j0 + n * 8 + 2 * t + c % 2 >= r.seen[c / 2]) s[n][c] = -INFINITY;
      largest[c / 2] = fmaxf(largest[c / 2], s[n][c]);
    }
  HF_UNROLL for (int h = 0; h < 2; h++) {
    largest[h] = over_quad(largest[h], false);
    base[h] = largest[h] == -INFINITY ? 0 : largest[h];
    factor[h] = hf_exp2(r.top[h] - base[h]);
    r.top[h] = largest[h];
  }
  HF_UNROLL for (int n = 0; n < N; n++)
    HF_UNROLL for (int c = 0; c < 4; c++) {
      float p = hf_exp2(s[n][c] - base[c / 2]);
      added[c / 2] += p;
      s[n][c] = a.drops ? p * hf_attention_factor(a, r.row[c / 2], head, j0 + n * 8 + 2 * t + c % 2) : p;
    }
  HF_UNROLL for (int h = 0; h < 2; h++) r.sum[h] = r.sum[h] * factor[h] + added[h];
}

template <class T, int D> __global__ void __launch_bounds__(HF_MMA_THREADS) mma_forward_kernel(T *out, float *lse, const T *q, const T *k, const T *v, HfAttentionTask a) {
  a.dropout.open();
  enum { TILE = HF_MMA_TILE, N = TILE / 8, SIZE = hf_tile_size<TILE, D>() };
  HF_DYNAMIC_SHARED(T, shared);
  T *Q = shared, *K = Q + SIZE, *V = K + 2 * SIZE;
  int head = (int)blockIdx.y, kv_head = head / (a.heads / a.kv_heads), row = (int)threadIdx.x / 32 * 16, g = hf_lane() / 4;
  HfAttentionTile t = hf_attention_tile(a, (int)(gridDim.x - 1 - blockIdx.x)); /* the longest causal rows first */
  const T *keys = k + t.key_row * a.k_stride + (int64_t)kv_head * D, *values = v + t.key_row * a.v_stride + (int64_t)kv_head * D;
  int i = t.first + row + g, tiles = (hf_visible_keys(a, t, (int)hf_min(t.first + TILE, t.queries) - 1) + TILE - 1) / TILE;
  int whole = hf_visible_keys(a, t, t.first + row); /* keys that all rows of the warp see */
  Rows r = {{-INFINITY, -INFINITY}, {0, 0}, {hf_visible_keys(a, t, i), hf_visible_keys(a, t, i + 8)}, {t.query_row + i, t.query_row + i + 8}};
  float o[D / 8][4];
  hf_zero_sums(o);
  auto queue = [&](int tile) {
    if (tile < tiles) {
      hf_queue_tile<TILE, D>(K + tile % 2 * SIZE, keys, a.k_stride, tile * TILE, t.keys);
      hf_queue_tile<TILE, D>(V + tile % 2 * SIZE, values, a.v_stride, tile * TILE, t.keys);
    }
    hf_copy_commit();
  };
  hf_queue_tile<TILE, D>(Q, q + t.query_row * a.q_stride + (int64_t)head * D, a.q_stride, t.first, t.queries);
  queue(0);
  for (int tile = 0; tile < tiles; tile++) {
    queue(tile + 1);
    hf_copy_wait<1>();
    __syncthreads();
    float s[N][4], factor[2];
    hf_zero_sums(s);
    hf_rows_by_rows<D>(s, Q, row, K + tile % 2 * SIZE);
    soften(s, factor, r, a, head, tile * TILE, tile * TILE + TILE > whole);
    HF_UNROLL for (int n = 0; n < D / 8; n++)
      HF_UNROLL for (int c = 0; c < 4; c++) o[n][c] *= factor[c / 2];
    hf_weights_by_rows<D>(o, s, V + tile % 2 * SIZE);
    __syncthreads();
  }
  hf_copy_wait<0>();
  float scale[2];
  HF_UNROLL for (int h = 0; h < 2; h++) {
    float sum = over_quad(r.sum[h], true);
    scale[h] = sum > 0 || sum != sum ? 1 / sum : 0;
    if (hf_lane() % 4 == 0 && i + 8 * h < t.queries) lse[r.row[h] * a.heads + head] = r.top[h] * HF_LN_2 + logf(sum);
  }
  hf_store_rows<D>(out + (t.query_row + t.first + row) * a.out_stride + (int64_t)head * D, a.out_stride, o, scale, t.queries - t.first - row);
}

template <class T, int D> static HfStatus forward(T *out, float *lse, const HfAttention *a) {
  HfAttentionTask task;
  int64_t tiles = hf_attention_task(&task, a, HF_MMA_TILE, false);
  if (tiles <= 0) return tiles ? HF_NO_MEMORY : HF_OK;
  size_t bytes = (size_t)(5 * hf_tile_size<HF_MMA_TILE, D>()) * sizeof(T);
  HF_ALLOW_SHARED((mma_forward_kernel<T, D>), bytes);
  HF_LAUNCH((mma_forward_kernel<T, D>), dim3((unsigned)tiles, (unsigned)a->heads), HF_MMA_THREADS, bytes, hf_cuda_stream(), out, lse,
            (const T *)a->q, (const T *)a->k, (const T *)a->v, task);
  return hf_cuda_status();
}

bool hf_attention_mma(void *out, float *lse, const HfAttention *a, HfStatus *status) {
  const void *results[] = {out};
  if (!hf_mma_serves(a, results, 1)) return false;
  HF_MMA_SWITCH(a, *status = (forward<T, D>((T *)out, lse, a)))
  return true;
}
