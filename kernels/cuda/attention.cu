/* Attention over packed sequences with a running softmax, in float32 arithmetic for every dtype and head size up to 256.
 *
 * Forward: a block takes TILE queries of one sequence and head and walks over the keys; four threads share a query. Backward:
 * one kernel gives dk and dv (a block takes TILE keys of a key head and walks over the queries of all its heads), one gives dq
 * (as the forward). Probabilities are made again from lse. No atomics: every sum has a fixed order.
 */
#include "attention.h"
#include "warp.h"
#include <stdlib.h>

enum { TILE = 32, THREADS = 4 * TILE, DIM_MAX = 256 };

/* ---- tables */

static int32_t rows_of(const HfAttention *a, int64_t b, bool over_keys) { return over_keys ? hf_key_count(a, b) : a->cu_q[b + 1] - a->cu_q[b]; }

/* One table: cu_q (B + 1), first key and number of keys of each sequence, then sequence and first row of each tile. */
int64_t hf_attention_task(HfAttentionTask *out, const HfAttention *a, int tile_rows, bool over_keys) {
  int64_t tiles = 0, B = a->sequences;
  for (int64_t b = 0; b < B; b++) tiles += hf_ceil_div(rows_of(a, b, over_keys), tile_rows);
  size_t count = (size_t)(3 * B + 1 + 2 * tiles);
  int32_t *table = (int32_t *)malloc(count * sizeof *table), *first = table + B + 1, *of = first + 2 * B, *row = of + tiles;
  if (!table) return -1;
  memcpy(table, a->cu_q, (size_t)(B + 1) * sizeof *table);
  for (int64_t b = 0; b < B; b++) {
    first[b] = a->cu_k[b], first[B + b] = hf_key_count(a, b);
    for (int32_t r = 0; r < rows_of(a, b, over_keys); r += tile_rows) *of++ = (int32_t)b, *row++ = r;
  }
  const int32_t *device = (const int32_t *)hf_cuda_upload(table, count * sizeof *table);
  free(table);
  if (!device) return -1;
  *out = HfAttentionTask{(int)a->heads, (int)a->kv_heads, (int)a->head_dim, a->causal, (int)B, tile_rows, a->scale, a->dropout > 0,
                         hf_dropout_of(a->dropout, a->dropout_key), a->q_stride, a->k_stride, a->v_stride, a->out_stride,
                         device, device + B + 1, device + 2 * B + 1, device + 3 * B + 1, device + 3 * B + 1 + tiles};
  return tiles;
}

/* ---- tiles in shared memory: TILE rows of D floats, padded so that rows start in different banks */

static __host__ __device__ __forceinline__ int padded(int D) { return D + 1; }

/* Rows first .. first+TILE-1 of `rows` rows; those behind the end are zeros. */
template <class T> static __device__ void load_tile(float *tile, const T *x, int64_t stride, int first, int rows, int D) {
  for (int i = (int)threadIdx.x; i < TILE * D; i += THREADS) {
    int r = i / D, c = i % D;
    tile[r * padded(D) + c] = first + r < rows ? hf_get(x[(int64_t)(first + r) * stride + c]) : 0.0f;
  }
}

static __device__ __forceinline__ float dot(const float *a, const float *b, int D) {
  float sum = 0;
  for (int c = 0; c < D; c++) sum += a[c] * b[c];
  return sum;
}

static __device__ __forceinline__ float over_quad(float v, bool sum) {
  for (int mask = 1; mask < 4; mask *= 2) {
    float o = __shfl_xor_sync(0xffffffffu, v, mask);
    v = sum ? v + o : o > v || o != o ? o : v;
  }
  return v;
}

/* ---- forward. PER: columns of the output in one thread's registers, at least D / 4. */

template <class T, int PER> __global__ void forward_kernel(T *out, float *lse, const T *q, const T *k, const T *v, HfAttentionTask a) {
  a.dropout.open();
  HF_DYNAMIC_SHARED(float, shared);
  int D = a.head_dim, head = (int)blockIdx.y, kv_head = head / (a.heads / a.kv_heads), r = (int)threadIdx.x / 4, part = (int)threadIdx.x % 4;
  float *Q = shared, *K = Q + TILE * padded(D), *V = K + TILE * padded(D), *P = V + TILE * padded(D);
  HfAttentionTile t = hf_attention_tile(a, (int)blockIdx.x);
  const T *keys = k + t.key_row * a.k_stride + (int64_t)kv_head * D, *values = v + t.key_row * a.v_stride + (int64_t)kv_head * D;
  int i = t.first + r, seen = i < t.queries ? hf_visible_keys(a, t, i) : 0;
  int end = hf_visible_keys(a, t, (int)hf_min(t.first + TILE, t.queries) - 1);
  float o[PER], top = -INFINITY, sum = 0;
  for (int c = 0; c < PER; c++) o[c] = 0;
  load_tile(Q, q + t.query_row * a.q_stride + (int64_t)head * D, a.q_stride, t.first, t.queries, D);
  for (int j0 = 0; j0 < end; j0 += TILE) {
    __syncthreads();
    load_tile(K, keys, a.k_stride, j0, t.keys, D);
    load_tile(V, values, a.v_stride, j0, t.keys, D);
    __syncthreads();
    float s[TILE / 4], largest = top;
    for (int jj = 0; jj < TILE / 4; jj++) {
      int j = part + 4 * jj;
      s[jj] = j0 + j < seen ? a.scale * dot(Q + r * padded(D), K + j * padded(D), D) : -INFINITY;
      if (s[jj] > largest || s[jj] != s[jj]) largest = s[jj];
    }
    largest = over_quad(largest, false);
    float base = largest == -INFINITY ? 0 : largest, factor = expf(top - base), added = 0;
    for (int jj = 0; jj < TILE / 4; jj++) {
      int j = part + 4 * jj;
      float p = expf(s[jj] - base);
      added += p;
      P[r * (TILE + 1) + j] = p * hf_attention_factor(a, t.query_row + i, head, j0 + j);
    }
    sum = sum * factor + over_quad(added, true);
    top = largest;
    __syncwarp();
    for (int c = 0; c < PER; c++) o[c] *= factor;
    for (int j = 0; j < TILE && j0 + j < end; j++) {
      float p = P[r * (TILE + 1) + j];
      for (int c = 0; c < PER; c++)
        if (part + 4 * c < D) o[c] += p * V[j * padded(D) + part + 4 * c];
    }
  }
  if (i >= t.queries) return;
  T *to = out + (t.query_row + i) * a.out_stride + (int64_t)head * D;
  float scale = sum > 0 || sum != sum ? 1 / sum : 0;
  for (int c = 0; c < PER; c++)
    if (part + 4 * c < D) to[part + 4 * c] = hf_put<T>(o[c] * scale);
  if (part == 0) lse[(t.query_row + i) * a.heads + head] = top + logf(sum);
}

/* ---- backward */

/* delta (Nq, heads) = dout . out: the numbers of a row and head belong to LANES neighbouring lanes, V to each and turn. */
template <class T, int V, int LANES> __global__ void delta_kernel(float *delta, const T *dout, const T *out, int64_t rows, int heads, int D, int64_t stride) {
  int lane = (int)threadIdx.x % LANES;
  int64_t each = (int64_t)gridDim.x * blockDim.x / LANES;
  for (int64_t first = (int64_t)blockIdx.x * blockDim.x / LANES; first < rows * heads; first += each) { /* the same turns for a whole block */
    int64_t at = first + threadIdx.x / LANES, start = at / heads * stride + at % heads * D;
    float sum = 0, x[V], y[V];
    for (int c = lane * V; c < D && at < rows * heads; c += LANES * V) {
      hf_load(x, dout + start + c), hf_load(y, out + start + c);
      HF_UNROLL for (int v = 0; v < V; v++) sum += x[v] * y[v];
    }
    for (int mask = LANES / 2; mask > 0; mask >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    if (lane == 0 && at < rows * heads) delta[at] = sum;
  }
}

/* One score of the backward: the probability after dropout, and the gradient of q . k. */
struct Pair {
  float p, ds;
};
static __device__ __forceinline__ Pair backward_pair(const HfAttentionTask &a, const float *q, const float *k, const float *dout, const float *v,
                                                     int D, float lse, float delta, int64_t row, int head, int key) {
  float p = expf(a.scale * dot(q, k, D) - lse), factor = hf_attention_factor(a, row, head, key);
  return Pair{p * factor, p * (factor * dot(dout, v, D) - delta) * a.scale};
}

template <class T, int PER> __global__ void dq_kernel(T *dq, const T *dout, const float *lse, const float *delta, const T *q, const T *k, const T *v, HfAttentionTask a) {
  a.dropout.open();
  HF_DYNAMIC_SHARED(float, shared);
  int D = a.head_dim, head = (int)blockIdx.y, kv_head = head / (a.heads / a.kv_heads), r = (int)threadIdx.x / 4, part = (int)threadIdx.x % 4;
  float *Q = shared, *G = Q + TILE * padded(D), *K = G + TILE * padded(D), *V = K + TILE * padded(D), *S = V + TILE * padded(D);
  HfAttentionTile t = hf_attention_tile(a, (int)blockIdx.x);
  int i = t.first + r, seen = i < t.queries ? hf_visible_keys(a, t, i) : 0;
  int end = hf_visible_keys(a, t, (int)hf_min(t.first + TILE, t.queries) - 1);
  int64_t row = t.query_row + i;
  float d[PER], own_lse = seen ? lse[row * a.heads + head] : 0, own_delta = seen ? delta[row * a.heads + head] : 0;
  for (int c = 0; c < PER; c++) d[c] = 0;
  load_tile(Q, q + t.query_row * a.q_stride + (int64_t)head * D, a.q_stride, t.first, t.queries, D);
  load_tile(G, dout + t.query_row * a.out_stride + (int64_t)head * D, a.out_stride, t.first, t.queries, D);
  for (int j0 = 0; j0 < end; j0 += TILE) {
    __syncthreads();
    load_tile(K, k + t.key_row * a.k_stride + (int64_t)kv_head * D, a.k_stride, j0, t.keys, D);
    load_tile(V, v + t.key_row * a.v_stride + (int64_t)kv_head * D, a.v_stride, j0, t.keys, D);
    __syncthreads();
    for (int j = part; j < TILE; j += 4)
      S[r * (TILE + 1) + j] = j0 + j < seen ? backward_pair(a, Q + r * padded(D), K + j * padded(D), G + r * padded(D), V + j * padded(D), D,
                                                            own_lse, own_delta, row, head, j0 + j).ds : 0.0f;
    __syncwarp();
    for (int j = 0; j < TILE && j0 + j < end; j++)
      for (int c = 0; c < PER; c++)
        if (part + 4 * c < D) d[c] += S[r * (TILE + 1) + j] * K[j * padded(D) + part + 4 * c];
  }
  if (i >= t.queries) return;
  for (int c = 0; c < PER; c++)
    if (part + 4 * c < D) dq[row * a.q_stride + (int64_t)head * D + part + 4 * c] = hf_put<T>(d[c]);
}

template <class T, int PER> __global__ void dkv_kernel(T *dk, T *dv, const T *dout, const float *lse, const float *delta, const T *q, const T *k, const T *v, HfAttentionTask a) {
  a.dropout.open();
  HF_DYNAMIC_SHARED(float, shared);
  int D = a.head_dim, kv_head = (int)blockIdx.y, group = a.heads / a.kv_heads, r = (int)threadIdx.x / 4, part = (int)threadIdx.x % 4;
  float *K = shared, *V = K + TILE * padded(D), *Q = V + TILE * padded(D), *G = Q + TILE * padded(D), *P = G + TILE * padded(D),
        *S = P + TILE * (TILE + 1);
  HfAttentionTile t = hf_attention_tile(a, (int)blockIdx.x);
  int j = t.first + r;
  float ks[PER], vs[PER];
  for (int c = 0; c < PER; c++) ks[c] = vs[c] = 0;
  load_tile(K, k + t.key_row * a.k_stride + (int64_t)kv_head * D, a.k_stride, t.first, t.keys, D);
  load_tile(V, v + t.key_row * a.v_stride + (int64_t)kv_head * D, a.v_stride, t.first, t.keys, D);
  for (int head = kv_head * group; head < (kv_head + 1) * group; head++)
    for (int i0 = hf_first_query(a, t, t.first) / TILE * TILE; i0 < t.queries; i0 += TILE) {
      __syncthreads();
      load_tile(Q, q + t.query_row * a.q_stride + (int64_t)head * D, a.q_stride, i0, t.queries, D);
      load_tile(G, dout + t.query_row * a.out_stride + (int64_t)head * D, a.out_stride, i0, t.queries, D);
      __syncthreads();
      for (int ii = part; ii < TILE; ii += 4) {
        int i = i0 + ii;
        int64_t row = t.query_row + i;
        Pair pair = {0, 0};
        if (i < t.queries && j < hf_visible_keys(a, t, i))
          pair = backward_pair(a, Q + ii * padded(D), K + r * padded(D), G + ii * padded(D), V + r * padded(D), D, lse[row * a.heads + head],
                               delta[row * a.heads + head], row, head, j);
        P[r * (TILE + 1) + ii] = pair.p;
        S[r * (TILE + 1) + ii] = pair.ds;
      }
      __syncwarp();
      for (int ii = 0; ii < TILE && i0 + ii < t.queries; ii++)
        for (int c = 0; c < PER; c++)
          if (part + 4 * c < D) {
            vs[c] += P[r * (TILE + 1) + ii] * G[ii * padded(D) + part + 4 * c];
            ks[c] += S[r * (TILE + 1) + ii] * Q[ii * padded(D) + part + 4 * c];
          }
    }
  if (j >= t.keys) return;
  for (int c = 0; c < PER; c++)
    if (part + 4 * c < D) {
      dk[(t.key_row + j) * a.k_stride + (int64_t)kv_head * D + part + 4 * c] = hf_put<T>(ks[c]);
      dv[(t.key_row + j) * a.v_stride + (int64_t)kv_head * D + part + 4 * c] = hf_put<T>(vs[c]);
    }
}

/* ---- launches */

static size_t shared_bytes(int D, int tiles, int squares) {
  return (size_t)(tiles * TILE * padded(D) + squares * TILE * (TILE + 1)) * sizeof(float);
}

template <class T, int PER> static HfStatus forward(T *out, float *lse, const HfAttention *a) {
  HfAttentionTask task;
  int64_t tiles = hf_attention_task(&task, a, TILE, false);
  if (tiles <= 0) return tiles ? HF_NO_MEMORY : HF_OK;
  size_t bytes = shared_bytes(task.head_dim, 3, 1);
  HF_ALLOW_SHARED((forward_kernel<T, PER>), bytes);
  HF_LAUNCH((forward_kernel<T, PER>), dim3((unsigned)tiles, (unsigned)a->heads), THREADS, bytes, hf_cuda_stream(), out, lse,
            (const T *)a->q, (const T *)a->k, (const T *)a->v, task);
  return hf_cuda_status();
}

template <class T, int PER> static HfStatus backward(T *dq, T *dk, T *dv, const T *dout, const float *lse, const float *delta, const HfAttention *a) {
  HfAttentionTask task;
  int64_t tiles = hf_attention_task(&task, a, TILE, false);
  if (tiles < 0) return HF_NO_MEMORY;
  size_t bytes = shared_bytes(task.head_dim, 4, 2);
  HF_ALLOW_SHARED((dq_kernel<T, PER>), bytes);
  HF_ALLOW_SHARED((dkv_kernel<T, PER>), bytes);
  if (tiles)
    HF_LAUNCH((dq_kernel<T, PER>), dim3((unsigned)tiles, (unsigned)a->heads), THREADS, bytes, hf_cuda_stream(), dq, dout, lse, delta,
              (const T *)a->q, (const T *)a->k, (const T *)a->v, task);
  tiles = hf_attention_task(&task, a, TILE, true);
  if (tiles < 0) return HF_NO_MEMORY;
  if (tiles)
    HF_LAUNCH((dkv_kernel<T, PER>), dim3((unsigned)tiles, (unsigned)a->kv_heads), THREADS, bytes, hf_cuda_stream(), dk, dv, dout, lse, delta,
              (const T *)a->q, (const T *)a->k, (const T *)a->v, task);
  return hf_cuda_status();
}

/* Runs a statement with PER for the head size. */
#define PER_SWITCH(D, ...)                                      \
  if ((D) <= 64) { enum { PER = 16 }; __VA_ARGS__; }            \
  else if ((D) <= 128) { enum { PER = 32 }; __VA_ARGS__; }      \
  else { enum { PER = 64 }; __VA_ARGS__; }

static bool is_served(const HfAttention *a) {
  if (!hf_is_float(a->dtype) || a->head_dim > DIM_MAX || a->heads > 65535) return false;
  for (int64_t b = 0; b < a->sequences && a->dropout > 0; b++)
    if (hf_key_count(a, b) >= HF_DROPOUT_KEYS) return false;
  return true;
}

static HfStatus attention(void *out, float *lse, const HfAttention *a) {
  HfStatus status;
  if (!is_served(a)) return HF_UNSUPPORTED;
  if (hf_attention_few(out, lse, a, &status) || hf_attention_mma(out, lse, a, &status)) return status;
  HF_FLOAT_SWITCH(a->dtype, PER_SWITCH(a->head_dim, return (forward<T, PER>((T *)out, lse, a))))
}

template <class T> static void make_delta(float *delta, const T *dout, const T *out, const HfAttention *a) {
  int64_t rows = a->cu_q[a->sequences];
  bool wide = a->head_dim % 8 == 0 && a->out_stride % 8 == 0 && hf_is_aligned(dout, out);
  HF_VECTOR_SWITCH(wide, HF_LAUNCH((delta_kernel<T, V, V == 8 ? 8 : 32>), hf_grid(rows * a->heads, HF_BLOCK / (V == 8 ? 8 : 32)), HF_BLOCK, 0,
                                   hf_cuda_stream(), delta, dout, out, rows, (int)a->heads, (int)a->head_dim, a->out_stride))
}

static HfStatus attention_backward(void *dq, void *dk, void *dv, const void *dout, const void *out, const float *lse, const HfAttention *a) {
  HfStatus status;
  if (!is_served(a)) return HF_UNSUPPORTED;
  HfScratch delta((size_t)(a->cu_q[a->sequences] * a->heads) * sizeof(float));
  if (!delta.data && delta.size) return HF_NO_MEMORY;
  if (delta.size) HF_FLOAT_SWITCH(a->dtype, make_delta((float *)delta.data, (const T *)dout, (const T *)out, a))
  if (hf_attention_mma_backward(dq, dk, dv, dout, lse, (const float *)delta.data, a, &status)) return status;
  HF_FLOAT_SWITCH(a->dtype, PER_SWITCH(a->head_dim, return (backward<T, PER>((T *)dq, (T *)dk, (T *)dv, (const T *)dout, lse, (const float *)delta.data, a))))
}

void hf_cuda_fill_attention(HfKernels *k) {
  k->attention = attention;
  k->attention_backward = attention_backward;
}
