/* Choosing the next token of each row: a block a row of logits.
 *
 * What remains of a row after top_k and top_p is "all from one place on" in the order of (score, token): the place is found digit by
 * digit, from sums of whole numbers over the tokens that share the digits above (radix selection). Sums of whole numbers do not depend
 * on the order of work, so shared memory may be added to atomically. Where few tokens can remain they are gathered first. A token is
 * drawn by a race: it wins whose exponential time, divided by its chance, ends first. */
#include "warp.h"
#include "element.h"

enum { GATHERED = 2048, BINS = 256, THREADS_MAX = 1024 };
typedef unsigned long long Count; /* what atomicAdd takes */

/* Scores of a row: all of them, or gathered ones with their tokens. */
template <class T> struct Scores {
  const T *logits;
  float temperature;
  const float *value;
  const int *token;
  int n;
  __device__ __forceinline__ float at(int i) const { return value ? value[i] : hf_get(logits[i]) / temperature; }
  __device__ __forceinline__ int token_at(int i) const { return token ? token[i] : i; }
};
#define EACH_SCORE(i, s) for (int i = (int)threadIdx.x; i < (s).n; i += (int)blockDim.x)

/* Numbers in the order of floats, tokens behind them. */
static __device__ __forceinline__ uint64_t order_of(float x, int token) {
  uint32_t bits = hf_bits(x);
  if (bits == 0x80000000u) bits = 0;
  return (uint64_t)(bits >> 31 ? ~bits : bits | 0x80000000u) << 32 | (uint32_t)token;
}

/* What a token weighs: 1, or its chance relative to the largest score's, in whole numbers of 2^-40; nothing below `from`. */
struct Weight {
  uint64_t from;
  float largest;
  bool ones;
  __device__ __forceinline__ Count operator()(float x, uint64_t order) const {
    return order < from ? 0 : ones ? 1 : (Count)(expf(x - largest) * 1099511627776.0f + 0.5f);
  }
};

template <class T> static __device__ Count total_weight(const Scores<T> &s, const Weight &weight) {
  Count sum = 0;
  EACH_SCORE(i, s) {
    float x = s.at(i);
    sum += weight(x, order_of(x, s.token_at(i)));
  }
  return hf_block_sum(sum);
}

/* The first place in the order where the weights up to it sum to more than `limit`, digits below bit `last` left 0. The whole sum must
 * be larger. */
template <class T> static __device__ uint64_t first_beyond(const Scores<T> &s, const Weight &weight, Count limit, int last) {
  __shared__ Count bin[BINS], below;
  __shared__ int digit;
  uint64_t prefix = 0;
  if (threadIdx.x == 0) below = 0;
  for (int shift = 56; shift >= last; shift -= 8) {
    for (int i = (int)threadIdx.x; i < BINS; i += (int)blockDim.x) bin[i] = 0;
    __syncthreads();
    EACH_SCORE(i, s) {
      float x = s.at(i);
      uint64_t order = order_of(x, s.token_at(i));
      if (shift == 56 || (order ^ prefix) >> (shift + 8) == 0) atomicAdd(&bin[order >> shift & (BINS - 1)], weight(x, order));
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      digit = 0;
      while (digit < BINS - 1 && below + bin[digit] <= limit) below += bin[digit++];
    }
    __syncthreads();
    prefix |= (uint64_t)digit << shift;
  }
  return prefix;
}

/* Memory of a block for scores that may remain. */
struct Gathered {
  float value[GATHERED];
  int token[GATHERED];
  int n;
};

/* The scores that weigh more than `least`, gathered where there is room; else all as before. */
template <class T> static __device__ Scores<T> gather(Gathered *g, const Scores<T> &s, const Weight &weight, Count least) {
  if (s.value) return s;
  __syncthreads();
  if (threadIdx.x == 0) g->n = 0;
  __syncthreads();
  EACH_SCORE(i, s) {
    float x = s.at(i);
    if (weight(x, order_of(x, i)) <= least) continue;
    int to = atomicAdd(&g->n, 1);
    if (to < GATHERED) g->value[to] = x, g->token[to] = i;
  }
  __syncthreads();
  return g->n > GATHERED ? s : Scores<T>{s.logits, s.temperature, g->value, g->token, g->n};
}

/* A place that at least k scores are at or behind: the k-th of the largest that each thread sees. 0 where k is too large for that. */
template <class T> static __device__ uint64_t bound_of(Gathered *g, const Scores<T> &s, int64_t k) {
  int threads = (int)blockDim.x;
  if (k > threads || s.n < threads) return 0;
  float most = -INFINITY;
  EACH_SCORE(i, s) most = s.at(i) > most ? s.at(i) : most;
  g->value[threadIdx.x] = most, g->token[threadIdx.x] = (int)threadIdx.x;
  __syncthreads();
  Scores<T> best = {s.logits, s.temperature, g->value, g->token, threads};
  return first_beyond(best, Weight{0, 0, true}, (Count)(threads - k), 32);
}

/* top_k: the place of the k-th score, all equal to it included. */
template <class T> static __device__ uint64_t cut_top_k(Gathered *g, Scores<T> *s, int64_t k) {
  uint64_t bound = bound_of(g, *s, k);
  if (bound) *s = gather(g, *s, Weight{bound, 0, true}, 0);
  return first_beyond(*s, Weight{0, 0, true}, (Count)(s->n - k), 32);
}

/* top_p: the place of the first token that stays. Tokens of an n-th of the limit go in any case. */
template <class T> static __device__ uint64_t cut_top_p(Gathered *g, Scores<T> *s, const Weight &weight, float top_p) {
  Count total = total_weight(*s, weight), limit = (Count)((double)total * (double)(1.0f - top_p));
  limit = limit < total ? limit : total - 1;
  *s = gather(g, *s, weight, limit / (Count)s->n);
  return first_beyond(*s, weight, limit - (total - total_weight(*s, weight)), 0);
}

struct Choice {
  float score;
  int token;
};
/* The larger score; of equals the smaller token. NaN wins. */
struct Better {
  __device__ __forceinline__ Choice operator()(const Choice &a, const Choice &b) const {
    if (a.score != a.score || b.score != b.score) return a.score != a.score && (b.score == b.score || a.token < b.token) ? a : b;
    return a.score > b.score || (a.score == b.score && a.token < b.token) ? a : b;
  }
};

static __device__ Choice best_of_block(Choice c) {
  __shared__ Choice partial[32];
  auto warp = [](Choice v) {
    for (int mask = 16; mask > 0; mask >>= 1) v = Better()(v, Choice{__shfl_xor_sync(0xffffffffu, v.score, mask), __shfl_xor_sync(0xffffffffu, v.token, mask)});
    return v;
  };
  c = warp(c);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = c;
  __syncthreads();
  c = warp(threadIdx.x % 32 < blockDim.x / 32 ? partial[threadIdx.x % 32] : Choice{-INFINITY, INT32_MAX});
  __syncthreads();
  return c;
}

template <class T> static __device__ Choice largest(const Scores<T> &s) {
  Choice best = {-INFINITY, INT32_MAX};
  EACH_SCORE(i, s) best = Better()(best, Choice{s.at(i), s.token_at(i)});
  return best_of_block(best);
}

/* An exponential time from 32 random bits, fine near 0. */
static __device__ __forceinline__ float waiting_time(uint64_t key, uint64_t i) {
  return -log1pf(-((float)hf_counter_bits(key, i) + 0.5f) * (1.0f / 4294967296.0f));
}

/* The winner among the scores from the place `from` on, whose chance is at least min_p of the largest one's. */
template <class T> static __device__ Choice race(const Scores<T> &s, const HfSampling &rules, uint64_t from, float most, uint64_t start) {
  Choice best = {-INFINITY, INT32_MAX};
  EACH_SCORE(i, s) {
    float x = s.at(i), chance = expf(x - most);
    int token = s.token_at(i);
    if (order_of(x, token) < from || chance < rules.min_p || x == -INFINITY) continue;
    best = Better()(best, Choice{chance / waiting_time(rules.key, start + (uint64_t)token), token});
  }
  return best_of_block(best);
}

template <class T> __global__ void __launch_bounds__(THREADS_MAX) choose_kernel(int64_t *out, const T *logits, int64_t rows, int V, int64_t ld, HfSampling rules) {
  __shared__ Gathered gathered;
  HF_EACH_ROW(row, rows) {
    Scores<T> s = {logits + row * ld, rules.draw ? rules.temperature : 1.0f, nullptr, nullptr, V};
    Choice best = largest(s);
    uint64_t from = 0;
    bool possible = fabsf(best.score) < INFINITY; /* not NaN either */
    if (rules.draw && possible) {
      if (rules.top_k > 0 && rules.top_k < V) from = cut_top_k(&gathered, &s, rules.top_k);
      if (rules.top_p < 1) from = cut_top_p(&gathered, &s, Weight{from, best.score, false}, rules.top_p);
      best = race(s, rules, from, best.score, ((uint64_t)*rules.column * (uint64_t)rows + (uint64_t)row) * (uint64_t)V);
    }
    if (threadIdx.x == 0) out[row] = rules.draw && !possible ? -1 : best.token;
    __syncthreads();
  }
}

/* ---- the repetition penalty: scores as float32, then those of the row's own tokens from the logits; a token may come twice */

template <class T> __global__ void widen_kernel(float *scores, const T *logits, int64_t rows, int64_t V, int64_t ld) {
  HF_EACH(i, rows * V) scores[i] = hf_get(logits[i / V * ld + i % V]);
}

template <class T> __global__ void penalty_kernel(float *scores, const T *logits, int64_t V, int64_t ld, HfSampling s) {
  int64_t row = blockIdx.y, first = s.starts ? s.starts[row] : 0, n = *s.column;
  HF_EACH(i, n - first) {
    int64_t token = s.ids[row * s.ids_stride + first + i];
    if (token < 0 || token >= V) continue;
    float x = hf_get(logits[row * ld + token]);
    scores[row * V + token] = x < 0 ? x * s.repetition_penalty : x / s.repetition_penalty;
  }
}

template <class T> static HfStatus choose(int64_t *token, const T *logits, int64_t rows, int64_t V, int64_t ld, const HfSampling *s) {
  HF_LAUNCH(choose_kernel<T>, hf_row_grid(rows), hf_row_block(V, THREADS_MAX), 0, hf_cuda_stream(), token, logits, rows, (int)V, ld, *s);
  return hf_cuda_status();
}

template <class T> static HfStatus penalize_and_choose(int64_t *token, const T *logits, int64_t rows, int64_t V, int64_t ld, const HfSampling *s) {
  HfScratch scores((size_t)(rows * V) * sizeof(float));
  if (!scores.data) return HF_NO_MEMORY;
  HF_LAUNCH(widen_kernel<T>, hf_grid(rows * V), HF_BLOCK, 0, hf_cuda_stream(), (float *)scores.data, logits, rows, V, ld);
  HF_LAUNCH(penalty_kernel<T>, dim3(hf_grid(s->ids_stride), (unsigned)rows), HF_BLOCK, 0, hf_cuda_stream(), (float *)scores.data, logits, V, ld, *s);
  return choose(token, (const float *)scores.data, rows, V, V, s);
}

static HfStatus sample(int64_t *token, const void *logits, HfDtype dtype, int64_t rows, int64_t V, int64_t ld, const HfSampling *s) {
  if (rows > 65535 || V > INT32_MAX / 2) return HF_UNSUPPORTED;
  if (rows == 0) return HF_OK;
  HF_FLOAT_SWITCH(dtype, return s->repetition_penalty != 1 ? penalize_and_choose(token, (const T *)logits, rows, V, ld, s)
                                                           : choose(token, (const T *)logits, rows, V, ld, s))
}

void hf_cuda_fill_sample(HfKernels *k) { k->sample = sample; }
