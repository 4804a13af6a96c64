/* Attention of few queries to many keys: a token that is generated. Keys and values are read where they lie, once for each head that
 * uses them, with no packing; a task is a sequence and a key head. */
#include <math.h>
#include <string.h>
#include "attention_few.h"
#include "parallel.h"
#include "product.h"
#include "vmath.h"

enum { FEW_QUERIES = 4, KEYS = 4 }; /* KEYS: keys that go together */

typedef struct Few {
  const HfAttention *a;
  float *out, *lse, *scores; /* scores: `longest` for each thread */
  int64_t longest;
} Few;

static int64_t keys_of(const HfAttention *a, int64_t b) { return a->key_count ? a->key_count[b] : a->cu_k[b + 1] - a->cu_k[b]; }

static inline __attribute__((always_inline)) float sum_lanes(HfVector x) {
  HfVector4 part = {0};
  for (int l = 0; l < HF_LANES; l += 4) part += *(const HfVector4 *)((const float *)&x + l);
  return (part[0] + part[2]) + (part[1] + part[3]);
}

/* scores[0..count-1] = scale q . k of `count` keys. */
static inline __attribute__((always_inline)) void score_keys(float *scores, const float *q, const float *k, int64_t stride, int count, int64_t D, float scale) {
  HfVector sum[KEYS] = {{0}};
  int64_t d = 0;
  for (; d + HF_LANES <= D; d += HF_LANES)
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) hf_add_product(&sum[t], *(const HfVector *)(q + d), *(const HfVector *)(k + t * stride + d));
  for (int t = 0; t < count; t++) {
    float total = sum_lanes(sum[t]);
    for (int64_t rest = d; rest < D; rest++) total += q[rest] * k[t * stride + rest];
    scores[t] = total * scale;
  }
}

/* out += the values of `count` keys times p. */
static inline __attribute__((always_inline)) void add_values(float *out, const float *p, const float *v, int64_t stride, int count, int64_t D) {
  int64_t d = 0;
  for (; d + HF_LANES <= D; d += HF_LANES) {
    HfVector sum = *(HfVector *)(out + d);
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) hf_add_product(&sum, p[t] - (HfVector){0}, *(const HfVector *)(v + t * stride + d));
    *(HfVector *)(out + d) = sum;
  }
  for (; d < D; d++)
    for (int t = 0; t < count; t++) out[d] += p[t] * v[t * stride + d];
}

/* Scores become e^(score - largest); their sum, and the largest. */
static float exponentiate(float *scores, int64_t n, float *largest) {
  float most = -INFINITY, sum = 0;
#pragma omp simd reduction(max : most)
  for (int64_t j = 0; j < n; j++) most = scores[j] > most ? scores[j] : most;
  for (int64_t j = 0; j < n; j++) scores[j] = hf_vexp_negative(scores[j] - most);
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; j++) sum += scores[j];
  *largest = most;
  return sum;
}

/* One query of one head against its first n keys; log of the sum of exponentials is returned. */
static float attend(float *out, float *scores, const float *q, const float *k, const float *v, const HfAttention *a, int64_t n) {
  int64_t D = a->head_dim, j = 0;
  float largest;
  for (; j + KEYS <= n; j += KEYS) score_keys(scores + j, q, k + j * a->k_stride, a->k_stride, KEYS, D, a->scale);
  for (; j < n; j++) score_keys(scores + j, q, k + j * a->k_stride, a->k_stride, 1, D, a->scale);
  memset(out, 0, (size_t)D * sizeof *out);
  if (!n) return -INFINITY;
  float sum = exponentiate(scores, n, &largest), factor = 1 / sum;
  for (j = 0; j < n; j++) scores[j] *= factor;
  for (j = 0; j + KEYS <= n; j += KEYS) add_values(out, scores + j, v + j * a->v_stride, a->v_stride, KEYS, D);
  for (; j < n; j++) add_values(out, scores + j, v + j * a->v_stride, a->v_stride, 1, D);
  return largest + hf_vlog(sum);
}

/* All queries of sequence b for the query heads of one key head. */
static void run_task(const Few *f, int64_t b, int64_t kv_head, float *scores) {
  const HfAttention *a = f->a;
  int64_t group = a->heads / a->kv_heads, keys = keys_of(a, b), queries = a->cu_q[b + 1] - a->cu_q[b], D = a->head_dim;
  const float *k = (const float *)a->k + a->cu_k[b] * a->k_stride + kv_head * D, *v = (const float *)a->v + a->cu_k[b] * a->v_stride + kv_head * D;
  for (int64_t i = 0; i < queries; i++) {
    int64_t row = a->cu_q[b] + i, last = a->causal == 0 ? keys : a->causal == 1 ? i + 1 : i + 1 + keys - queries;
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++)
      f->lse[row * a->heads + head] = attend(f->out + row * a->out_stride + head * D, scores, (const float *)a->q + row * a->q_stride + head * D, k, v, a,
                                             hf_max(0, hf_min(keys, last)));
  }
}

static void run_tasks(const void *context, int64_t first, int64_t last) {
  const Few *f = context;
  float *scores = f->scores + hf_thread_index() * f->longest;
  for (int64_t i = first; i < last; i++) run_task(f, i / f->a->kv_heads, i % f->a->kv_heads, scores);
}

bool HF_CPU(attention_is_few)(const HfAttention *a) {
  if (a->dtype != HF_FLOAT32 || a->dropout != 0) return false;
  for (int64_t b = 0; b < a->sequences; b++)
    if (a->cu_q[b + 1] - a->cu_q[b] > FEW_QUERIES) return false;
  return true;
}

HfStatus HF_CPU(attention_few)(float *out, float *lse, const HfAttention *a) {
  Few f = {.a = a, .out = out, .lse = lse, .longest = 16};
  int64_t work = 0;
  for (int64_t b = 0; b < a->sequences; b++) {
    f.longest = hf_max(f.longest, keys_of(a, b));
    work += keys_of(a, b) * a->head_dim * a->heads;
  }
  f.longest = (f.longest + 15) / 16 * 16;
  int64_t floats = f.longest * hf_thread_count();
  if (!(f.scores = hf_scratch_new(floats))) return HF_NO_MEMORY;
  hf_parallel(a->sequences * a->kv_heads, work, run_tasks, &f);
  hf_scratch_free(f.scores, floats);
  return HF_OK;
}
