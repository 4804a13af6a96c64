/* Attention of few queries to a cache: a token that is generated. One query alone leaves the device idle, so its keys are split into
 * chunks of fixed size, a block each, whose partial results a second kernel joins in order. A block works for up to GROUP query heads
 * that share a key head, so that keys and values are read once for them; it takes one query. Chunks do not depend on how many keys
 * a launch allows for, so the same numbers come from a launch for more keys. Sums are float32. */
#include "attention.h"
#include "mma.h"
#include "warp.h"

enum { CHUNK = 128, WARPS = 4, THREADS = 32 * WARPS, DIM_MAX = 256, PER_LANE = 8, FEW_QUERIES = 4 };

/* Where a launch leaves its results: with one chunk in out and lse, else in partial (rows, heads, chunks, D + 2): sums of values, the
 * largest score, the sum of exponentials. */
struct Results {
  void *out;
  float *lse, *partial;
  int chunks;
};

/* The query of a block; without tiles sequence i has query i alone. */
static __device__ __forceinline__ HfAttentionTile query_of(const HfAttentionTask &a, int i) {
  return a.sequence_of_tile ? hf_attention_tile(a, i) : HfAttentionTile{i, 0, i, a.key_first[i], 1, a.key_count[i]};
}

/* How a block's threads share the keys of a chunk: `width` lanes take a row of D numbers, lane `lane` of them the vectors of V numbers at
 * (lane + n width) V; the row is key `own`, own + step, ... */
struct Lanes {
  int D, width, lane, own, step;
  __device__ __forceinline__ Lanes(int D_, int V) : D(D_), width(1) {
    while (width < 32 && width * V < D) width *= 2;
    lane = hf_lane() % width, step = WARPS * (32 / width);
    own = (int)threadIdx.x / 32 * (32 / width) + hf_lane() / width;
  }
  /* The column of this lane's number e. */
  template <int V> __device__ __forceinline__ int column(int e) const { return (lane + e / V * width) * V + e % V; }
};

template <class T, int V> static __device__ __forceinline__ void load(float (&x)[PER_LANE], const T *row, const Lanes &at) {
  HF_UNROLL for (int n = 0; n < PER_LANE; n += V) {
    int c = at.column<V>(n);
    HfVector<T, V> vector;
    if (c < at.D) vector = *(const HfVector<T, V> *)(row + c);
    HF_UNROLL for (int e = 0; e < V; e++) x[n + e] = c < at.D ? hf_get(vector.v[e]) : 0.0f;
  }
}

/* S = scale Q k. Rows of Q end in zeros. */
template <class T, int V, int GROUP>
static __device__ void score_keys(float (*S)[CHUNK], const float (*Q)[DIM_MAX], const T *keys, int64_t stride, int count, float scale, const Lanes &at) {
  for (int base = 0; base < count; base += at.step) {
    float x[PER_LANE] = {0};
    int j = base + at.own;
    if (j < count) load<T, V>(x, keys + j * stride, at);
    HF_UNROLL for (int h = 0; h < GROUP; h++) {
      float s = 0;
      HF_UNROLL for (int e = 0; e < PER_LANE; e++) s += x[e] * Q[h][at.column<V>(e) % DIM_MAX];
      for (int mask = at.width / 2; mask; mask /= 2) s += __shfl_xor_sync(0xffffffffu, s, mask);
      if (at.lane == 0 && j < count) S[h][j] = scale * s;
    }
  }
}

/* Scores become exponentials relative to the largest; a warp a head. */
template <int GROUP> static __device__ void soften(float (*S)[CHUNK], float *top, float *sum, int count) {
  for (int h = (int)threadIdx.x / 32; h < GROUP; h += WARPS) {
    float largest = -INFINITY, total = 0;
    for (int j = hf_lane(); j < count; j += 32) largest = HfLargest()(S[h][j], largest);
    largest = hf_warp_reduce(largest, HfLargest());
    for (int j = hf_lane(); j < count; j += 32) total += S[h][j] = expf(S[h][j] - (largest == -INFINITY ? 0 : largest));
    total = hf_warp_reduce(total, HfAdd());
    if (hf_lane() == 0) top[h] = largest, sum[h] = total;
  }
}

/* O = each warp's part of S v. */
template <class T, int V, int GROUP>
static __device__ void weigh_values(float (*O)[GROUP][DIM_MAX], const float (*S)[CHUNK], const T *values, int64_t stride, int count, const Lanes &at) {
  float o[GROUP][PER_LANE] = {{0}}, x[PER_LANE];
  for (int j = at.own; j < count; j += at.step) {
    load<T, V>(x, values + j * stride, at);
    HF_UNROLL for (int h = 0; h < GROUP; h++)
      HF_UNROLL for (int e = 0; e < PER_LANE; e++) o[h][e] += S[h][j] * x[e];
  }
  HF_UNROLL for (int h = 0; h < GROUP; h++)
    HF_UNROLL for (int e = 0; e < PER_LANE; e++) {
      for (int mask = at.width; mask < 32; mask *= 2) o[h][e] += __shfl_xor_sync(0xffffffffu, o[h][e], mask);
      int c = at.column<V>(e);
      if (hf_lane() < at.width && c < at.D) O[threadIdx.x / 32][h][c] = o[h][e];
    }
}

template <class T> static __device__ __forceinline__ void store(const Results &r, int64_t at, int64_t to, int c, float value, float top, float sum) {
  ((T *)r.out)[to + c] = hf_put<T>(value * (sum > 0 || sum != sum ? 1 / sum : 0));
  if (c == 0) r.lse[at] = top + logf(sum);
}

template <class T, int V, int GROUP> __global__ void __launch_bounds__(THREADS) few_kernel(Results r, const T *q, const T *k, const T *v, HfAttentionTask a) {
  __shared__ float Q[GROUP][DIM_MAX], S[GROUP][CHUNK], O[WARPS][GROUP][DIM_MAX], top[GROUP], sum[GROUP];
  int D = a.head_dim, group = a.heads / a.kv_heads, parts = (group + GROUP - 1) / GROUP, kv_head = (int)blockIdx.y / parts, chunk = (int)blockIdx.z;
  int first = (int)blockIdx.y % parts * GROUP, heads = (int)hf_min(GROUP, group - first), head = kv_head * group + first;
  HfAttentionTile t = query_of(a, (int)blockIdx.x);
  int count = (int)hf_min(CHUNK, hf_visible_keys(a, t, t.first) - chunk * CHUNK);
  if (count <= 0 && chunk > 0) return;
  int64_t row = t.query_row + t.first, key = t.key_row + chunk * CHUNK;
  Lanes at(D, V);
  for (int i = (int)threadIdx.x; i < GROUP * DIM_MAX; i += THREADS) {
    int h = i / DIM_MAX, c = i % DIM_MAX;
    Q[h][c] = h < heads && c < D ? hf_get(q[row * a.q_stride + (int64_t)(head + h) * D + c]) : 0.0f;
  }
  __syncthreads();
  score_keys<T, V, GROUP>(S, Q, k + key * a.k_stride + (int64_t)kv_head * D, a.k_stride, count, a.scale, at);
  __syncthreads();
  soften<GROUP>(S, top, sum, count);
  __syncthreads();
  weigh_values<T, V, GROUP>(O, S, v + key * a.v_stride + (int64_t)kv_head * D, a.v_stride, count, at);
  __syncthreads();
  for (int i = (int)threadIdx.x; i < heads * D; i += THREADS) {
    int h = i / D, c = i % D;
    int64_t place = row * a.heads + head + h;
    float value = O[0][h][c];
    for (int w = 1; w < WARPS; w++) value += O[w][h][c];
    if (r.chunks == 1) {
      store<T>(r, place, row * a.out_stride + (int64_t)(head + h) * D, c, value, top[h], sum[h]);
      continue;
    }
    float *partial = r.partial + (place * r.chunks + chunk) * (D + 2);
    partial[c] = value;
    if (c == 0) partial[D] = top[h], partial[D + 1] = sum[h];
  }
}

/* A block a query and head: the chunks' results relative to the largest score of all, in order. */
template <class T> __global__ void join_kernel(Results r, HfAttentionTask a) {
  HfAttentionTile t = query_of(a, (int)blockIdx.x);
  int D = a.head_dim, head = (int)blockIdx.y, used = (int)hf_max(1, hf_ceil_div(hf_visible_keys(a, t, t.first), CHUNK));
  int64_t row = t.query_row + t.first, at = row * a.heads + head;
  const float *partial = r.partial + at * r.chunks * (D + 2);
  float top = -INFINITY;
  for (int i = 0; i < used; i++) top = HfLargest()(partial[i * (D + 2) + D], top);
  float base = top == -INFINITY ? 0 : top;
  for (int c = (int)threadIdx.x; c < D; c += (int)blockDim.x) {
    float value = 0, sum = 0;
    for (int i = 0; i < used; i++) {
      const float *chunk = partial + i * (D + 2);
      float factor = expf(chunk[D] - base);
      value += chunk[c] * factor, sum += chunk[D + 1] * factor;
    }
    store<T>(r, at, row * a.out_stride + (int64_t)head * D, c, value, top, sum);
  }
}

template <class T, int V> static HfStatus launch(const Results &r, int64_t queries, const HfAttention *a, const HfAttentionTask &task) {
  int group = task.heads / task.kv_heads;
  const T *q = (const T *)a->q, *k = (const T *)a->k, *v = (const T *)a->v;
  if (group == 1)
    HF_LAUNCH((few_kernel<T, V, 1>), dim3((unsigned)queries, (unsigned)task.kv_heads, (unsigned)r.chunks), THREADS, 0, hf_cuda_stream(), r, q, k, v, task);
  else
    HF_LAUNCH((few_kernel<T, V, 4>), dim3((unsigned)queries, (unsigned)(task.kv_heads * ((group + 3) / 4)), (unsigned)r.chunks), THREADS, 0, hf_cuda_stream(), r, q, k, v, task);
  if (r.chunks > 1)
    HF_LAUNCH(join_kernel<T>, dim3((unsigned)queries, (unsigned)task.heads), hf_row_block(task.head_dim * 4, 256), 0, hf_cuda_stream(), r, task);
  return hf_cuda_status();
}

/* Can rows of k and v be read 16 bytes at a time? */
template <class T> static bool is_aligned(const HfAttention *a) {
  int64_t V = 16 / (int64_t)sizeof(T);
  return a->head_dim % V == 0 && a->k_stride % V == 0 && a->v_stride % V == 0 && (uintptr_t)a->k % 16 == 0 && (uintptr_t)a->v % 16 == 0;
}

template <class T> static HfStatus attend(const Results &r, int64_t queries, const HfAttention *a, const HfAttentionTask &task) {
  return is_aligned<T>(a) ? launch<T, 16 / sizeof(T)>(r, queries, a, task) : launch<T, 1>(r, queries, a, task);
}

/* Queries and keys as the launch sees them: from the device's memory, or from uploaded tables. */
static int64_t queries_of(HfAttentionTask *task, const HfAttention *a) {
  if (!a->device_keys) return hf_attention_task(task, a, 1, false);
  *task = HfAttentionTask{(int)a->heads, (int)a->kv_heads, (int)a->head_dim, a->causal, (int)a->sequences, 1, a->scale, false, HfDropout{},
                          a->q_stride, a->k_stride, a->v_stride, a->out_stride, nullptr, a->device_keys, a->device_keys + a->sequences, nullptr, nullptr};
  return a->sequences;
}

bool hf_attention_few(void *out, float *lse, const HfAttention *a, HfStatus *status) {
  int64_t most = a->most_keys;
  if (!a->key_count || a->dropout > 0 || a->head_dim > DIM_MAX) return false;
  for (int64_t b = 0; b < a->sequences; b++) {
    most = hf_max(most, a->key_count[b]);
    if (a->cu_q[b + 1] - a->cu_q[b] > FEW_QUERIES) return false;
  }
  HfAttentionTask task;
  int64_t queries = queries_of(&task, a), chunks = hf_max(1, hf_ceil_div(most, CHUNK));
  if (queries <= 0 || chunks > 65535) return *status = queries < 0 ? HF_NO_MEMORY : HF_OK, chunks <= 65535;
  HfScratch partial(chunks > 1 ? (size_t)(queries * a->heads * chunks * (a->head_dim + 2)) * sizeof(float) : 0);
  if (partial.size && !partial.data) return *status = HF_NO_MEMORY, true;
  Results r = {out, lse, (float *)partial.data, (int)chunks};
  switch (a->dtype) {
  case HF_FLOAT16: *status = attend<HfHalf>(r, queries, a, task); break;
  case HF_BFLOAT16: *status = attend<HfBfloat>(r, queries, a, task); break;
  default: *status = attend<float>(r, queries, a, task);
  }
  return true;
}
