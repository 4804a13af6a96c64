/* The backward of attention by tensor cores, in two kernels that own what they write: dk and dv by blocks of 64 keys that walk
 * over the queries of all their heads, dq by blocks of 64 queries that walk over the keys. Probabilities are made again from
 * lse; they and the gradients of scores are rounded to the operands' dtype before products. */
#include "attention_mma.h"

/* Rows of the side that is walked over, a turn: fewer where sums of wide heads fill the registers. */
template <int D> __host__ __device__ constexpr int step_rows() { return D > 64 ? 32 : 64; }

/* One score s (scaled by log2 e) and the gradient g of its probability, to the probability after dropout and the gradient of
 * the score; both 0 where the query does not see the key. */
static __device__ __forceinline__ void pair(float &s, float &g, float lse, float delta, float factor, bool sees) {
  float p = sees ? hf_exp2(s - lse) : 0.0f;
  g = sees ? p * (factor * g - delta) : 0.0f;
  s = p * factor;
}

template <class T, int D> __global__ void __launch_bounds__(HF_MMA_THREADS)
mma_dq_kernel(T *dq, const T *dout, const float *lse, const float *delta, const T *q, const T *k, const T *v, HfAttentionTask a) {
  a.dropout.open();
  enum { TILE = HF_MMA_TILE, STEP = step_rows<D>(), N = STEP / 8, OWN = hf_tile_size<TILE, D>(), SIZE = hf_tile_size<STEP, D>() };
  HF_DYNAMIC_SHARED(T, shared);
  T *Q = shared, *G = Q + OWN, *K = G + OWN, *V = K + 2 * SIZE;
  int head = (int)blockIdx.y, kv_head = head / (a.heads / a.kv_heads), row = (int)threadIdx.x / 32 * 16, lane = hf_lane();
  HfAttentionTile t = hf_attention_tile(a, (int)(gridDim.x - 1 - blockIdx.x));
  const T *keys = k + t.key_row * a.k_stride + (int64_t)kv_head * D, *values = v + t.key_row * a.v_stride + (int64_t)kv_head * D;
  int steps = (hf_visible_keys(a, t, (int)hf_min(t.first + TILE, t.queries) - 1) + STEP - 1) / STEP, seen[2];
  int64_t at[2];
  float own_lse[2], own_delta[2], d[D / 8][4];
  HF_UNROLL for (int h = 0; h < 2; h++) {
    int i = t.first + row + lane / 4 + 8 * h;
    bool there = i < t.queries;
    at[h] = t.query_row + i;
    seen[h] = there ? hf_visible_keys(a, t, i) : 0;
    own_lse[h] = there ? lse[at[h] * a.heads + head] * HF_LOG2_E : 0;
    own_delta[h] = there ? delta[at[h] * a.heads + head] : 0;
  }
  hf_zero_sums(d);
  auto queue = [&](int step) {
    if (step < steps) {
      hf_queue_tile<STEP, D>(K + step % 2 * SIZE, keys, a.k_stride, step * STEP, t.keys);
      hf_queue_tile<STEP, D>(V + step % 2 * SIZE, values, a.v_stride, step * STEP, t.keys);
    }
    hf_copy_commit();
  };
  hf_queue_tile<TILE, D>(Q, q + t.query_row * a.q_stride + (int64_t)head * D, a.q_stride, t.first, t.queries);
  hf_queue_tile<TILE, D>(G, dout + t.query_row * a.out_stride + (int64_t)head * D, a.out_stride, t.first, t.queries);
  queue(0);
  for (int step = 0; step < steps; step++) {
    queue(step + 1);
    hf_copy_wait<1>();
    __syncthreads();
    float s[N][4], g[N][4];
    hf_zero_sums(s), hf_zero_sums(g);
    hf_rows_by_rows<D>(s, Q, row, K + step % 2 * SIZE);
    hf_rows_by_rows<D>(g, G, row, V + step % 2 * SIZE);
    HF_UNROLL for (int n = 0; n < N; n++)
      HF_UNROLL for (int c = 0; c < 4; c++) {
        int j = step * STEP + n * 8 + 2 * (lane % 4) + c % 2, h = c / 2;
        s[n][c] *= a.scale * HF_LOG2_E;
        pair(s[n][c], g[n][c], own_lse[h], own_delta[h], a.drops ? hf_attention_factor(a, at[h], head, j) : 1.0f, j < seen[h]);
      }
    hf_weights_by_rows<D>(d, g, K + step % 2 * SIZE);
    __syncthreads();
  }
  hf_copy_wait<0>();
  const float scale[2] = {a.scale, a.scale};
  hf_store_rows<D>(dq + (t.query_row + t.first + row) * a.q_stride + (int64_t)head * D, a.q_stride, d, scale, t.queries - t.first - row);
}

template <class T, int D> __global__ void __launch_bounds__(HF_MMA_THREADS)
mma_dkv_kernel(T *dk, T *dv, const T *dout, const float *lse, const float *delta, const T *q, const T *k, const T *v, HfAttentionTask a) {
  a.dropout.open();
  enum { TILE = HF_MMA_TILE, STEP = step_rows<D>(), N = STEP / 8, OWN = hf_tile_size<TILE, D>(), SIZE = hf_tile_size<STEP, D>() };
  HF_DYNAMIC_SHARED(T, shared);
  T *K = shared, *V = K + OWN, *Q = V + OWN, *G = Q + 2 * SIZE;
  float *L = (float *)(G + 2 * SIZE), *E = L + 2 * STEP; /* lse and delta of the queries */
  int kv_head = (int)blockIdx.y, group = a.heads / a.kv_heads, row = (int)threadIdx.x / 32 * 16, lane = hf_lane();
  HfAttentionTile t = hf_attention_tile(a, (int)blockIdx.x);
  int from[2], start = hf_first_query(a, t, t.first) / STEP * STEP, of_head = start < t.queries ? (t.queries - start + STEP - 1) / STEP : 0;
  int steps = of_head * group;
  float ks[D / 8][4], vs[D / 8][4];
  HF_UNROLL for (int h = 0; h < 2; h++) from[h] = hf_first_query(a, t, t.first + row + lane / 4 + 8 * h);
  hf_zero_sums(ks), hf_zero_sums(vs);
  auto queue = [&](int step) {
    if (step < steps) {
      int head = kv_head * group + step / of_head, i0 = start + step % of_head * STEP, s = step % 2;
      hf_queue_tile<STEP, D>(Q + s * SIZE, q + t.query_row * a.q_stride + (int64_t)head * D, a.q_stride, i0, t.queries);
      hf_queue_tile<STEP, D>(G + s * SIZE, dout + t.query_row * a.out_stride + (int64_t)head * D, a.out_stride, i0, t.queries);
      if (threadIdx.x < STEP) {
        int i = (int)threadIdx.x;
        bool there = i0 + i < t.queries;
        int64_t at = there ? (t.query_row + i0 + i) * a.heads + head : 0;
        hf_copy_async<4>(L + s * STEP + i, lse + at, there);
        hf_copy_async<4>(E + s * STEP + i, delta + at, there);
      }
    }
    hf_copy_commit();
  };
  hf_queue_tile<TILE, D>(K, k + t.key_row * a.k_stride + (int64_t)kv_head * D, a.k_stride, t.first, t.keys);
  hf_queue_tile<TILE, D>(V, v + t.key_row * a.v_stride + (int64_t)kv_head * D, a.v_stride, t.first, t.keys);
  queue(0);
  for (int step = 0; step < steps; step++) {
    int head = kv_head * group + step / of_head, i0 = start + step % of_head * STEP, stage = step % 2;
    queue(step + 1);
    hf_copy_wait<1>();
    __syncthreads();
    float s[N][4], g[N][4];
    hf_zero_sums(s), hf_zero_sums(g);
    hf_rows_by_rows<D>(s, K, row, Q + stage * SIZE);
    hf_rows_by_rows<D>(g, V, row, G + stage * SIZE);
    HF_UNROLL for (int n = 0; n < N; n++)
      HF_UNROLL for (int c = 0; c < 4; c++) {
        int column = n * 8 + 2 * (lane % 4) + c % 2, i = i0 + column, j = t.first + row + lane / 4 + c / 2 * 8;
        float factor = a.drops ? hf_attention_factor(a, t.query_row + i, head, j) : 1.0f;
        s[n][c] *= a.scale * HF_LOG2_E;
        pair(s[n][c], g[n][c], L[stage * STEP + column] * HF_LOG2_E, E[stage * STEP + column], factor, i >= from[c / 2] && i < t.queries);
      }
    hf_weights_by_rows<D>(vs, s, G + stage * SIZE);
    hf_weights_by_rows<D>(ks, g, Q + stage * SIZE);
    __syncthreads();
  }
  hf_copy_wait<0>();
  const float one[2] = {1, 1}, scale[2] = {a.scale, a.scale};
  int64_t first = t.key_row + t.first + row;
  hf_store_rows<D>(dk + first * a.k_stride + (int64_t)kv_head * D, a.k_stride, ks, scale, t.keys - t.first - row);
  hf_store_rows<D>(dv + first * a.v_stride + (int64_t)kv_head * D, a.v_stride, vs, one, t.keys - t.first - row);
}

template <class T, int D> static HfStatus backward(T *dq, T *dk, T *dv, const T *dout, const float *lse, const float *delta, const HfAttention *a) {
  HfAttentionTask task;
  int64_t tiles = hf_attention_task(&task, a, HF_MMA_TILE, false);
  if (tiles < 0) return HF_NO_MEMORY;
  size_t bytes = (size_t)(2 * hf_tile_size<HF_MMA_TILE, D>() + 4 * hf_tile_size<step_rows<D>(), D>()) * sizeof(T) + 4 * step_rows<D>() * sizeof(float);
  HF_ALLOW_SHARED((mma_dq_kernel<T, D>), bytes);
  HF_ALLOW_SHARED((mma_dkv_kernel<T, D>), bytes);
  if (tiles)
    HF_LAUNCH((mma_dq_kernel<T, D>), dim3((unsigned)tiles, (unsigned)a->heads), HF_MMA_THREADS, bytes, hf_cuda_stream(), dq, dout, lse, delta,
              (const T *)a->q, (const T *)a->k, (const T *)a->v, task);
  tiles = hf_attention_task(&task, a, HF_MMA_TILE, true);
  if (tiles < 0) return HF_NO_MEMORY;
  if (tiles)
    HF_LAUNCH((mma_dkv_kernel<T, D>), dim3((unsigned)tiles, (unsigned)a->kv_heads), HF_MMA_THREADS, bytes, hf_cuda_stream(), dk, dv, dout, lse, delta,
              (const T *)a->q, (const T *)a->k, (const T *)a->v, task);
  return hf_cuda_status();
}

bool hf_attention_mma_backward(void *dq, void *dk, void *dv, const void *dout, const float *lse, const float *delta, const HfAttention *a, HfStatus *status) {
  const void *results[] = {dq, dk, dv, dout};
  if (!hf_mma_serves(a, results, 4)) return false;
  HF_MMA_SWITCH(a, *status = (backward<T, D>((T *)dq, (T *)dk, (T *)dv, (const T *)dout, lse, delta, a)))
  return true;
}
