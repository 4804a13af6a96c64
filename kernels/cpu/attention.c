/* Attention over packed sequences, forward and backward.
 *
 * One task is a sequence and a key head, with all query heads that share it, so that no two tasks write the same row of
 * dk or dv. A task packs its keys and values once, then takes the queries in blocks whose scores (block, keys) stay in
 * the second-level cache: product, softmax, product. The backward makes the probabilities again from lse. */
#include "product.h"
#include "vmath.h"
#include <math.h>

enum {
  SCORE_FLOATS = 32768,     /* scores of one block of queries: 128 KiB */
  BLOCK_ROWS = 96,          /* and no more queries than this */
  DROPOUT_KEYS = 1 << 20    /* key positions the dropout counter can tell apart */
};

/* Scratch of one task; pointers into one allocation. T keys, D head size, Q rows of a query block. */
typedef struct Work {
  float *keys, *values;     /* panels of k^T (D, T); of v (T, D) forward, of v^T (D, T) backward */
  float *scores;            /* (Q, ld): scores, then probabilities */
  float *edge;              /* one packed group of rows: (D, HF_TILE_ROWS) */
  /* backward only */
  float *key_rows;          /* panels of k (T, D) */
  float *query_panels, *dout_panels; /* panels of q and dout (Q, D) of the block */
  float *dscores;           /* (Q, ld) */
  float *dkeys, *dvalues;   /* (T, D) sums over query blocks and heads */
  float *delta;             /* (Q) dout . out */
  int64_t ld, block;
} Work;

/* One sequence and key head. */
typedef struct Task {
  const HfAttention *a;
  const float *q, *k, *v;   /* first row of the sequence; q at the first head of the group */
  int64_t queries, keys, first_row, first_head, group;
  Work *w;
} Task;

static Task task_of(const HfAttention *a, int64_t index, Work *w) {
  int64_t b = index / a->kv_heads, kv_head = index % a->kv_heads, group = a->heads / a->kv_heads;
  int64_t row = a->cu_q[b], key = a->cu_k[b], first_head = kv_head * group;
  Task t = {.a = a, .queries = a->cu_q[b + 1] - row, .keys = a->cu_k[b + 1] - key, .first_row = row, .first_head = first_head, .group = group, .w = w};
  t.q = (const float *)a->q + row * a->q_stride + first_head * a->head_dim;
  t.k = (const float *)a->k + key * a->k_stride + kv_head * a->head_dim;
  t.v = (const float *)a->v + key * a->v_stride + kv_head * a->head_dim;
  return t;
}

/* How many keys, from the first, query i of the task sees. */
static int64_t visible_keys(const Task *t, int64_t i) {
  if (t->a->causal == 0) return t->keys;
  int64_t last = t->a->causal == 1 ? i : i + t->keys - t->queries;
  return hf_max(0, hf_min(t->keys, last + 1));
}

/* ---- scratch memory */

static int64_t panel_floats(int64_t k, int64_t n) { return k * hf_round_up(n, HF_TILE_COLUMNS) + HF_PACK_SPILL; }

static int64_t block_rows(int64_t keys) {
  int64_t rows = hf_min(BLOCK_ROWS, hf_max(2 * HF_TILE_ROWS, SCORE_FLOATS / hf_max(1, keys)));
  return rows / HF_TILE_ROWS * HF_TILE_ROWS;
}

static float *take(float *base, int64_t *used, int64_t floats) {
  float *start = base ? base + *used : NULL;
  *used += hf_round_up(floats, 16);
  return start;
}

/* Lays the parts of w out from `base` on; returns the floats used. With base NULL it only counts. */
static int64_t lay_out(Work *w, float *base, int64_t T, int64_t D, bool is_backward) {
  int64_t used = 0;
  w->block = block_rows(T);
  w->ld = hf_round_up(T, HF_TILE_COLUMNS) + HF_TILE_ROWS; /* a transposed tile may read past the last key */
  w->keys = take(base, &used, panel_floats(D, T));
  w->values = take(base, &used, is_backward ? panel_floats(D, T) : panel_floats(T, D));
  w->scores = take(base, &used, w->block * w->ld);
  w->edge = take(base, &used, D * HF_TILE_ROWS + HF_PACK_SPILL);
  if (!is_backward) return used;
  w->key_rows = take(base, &used, panel_floats(T, D));
  w->query_panels = take(base, &used, panel_floats(w->block, D));
  w->dout_panels = take(base, &used, panel_floats(w->block, D));
  w->dscores = take(base, &used, w->block * w->ld);
  w->dkeys = take(base, &used, T * D);
  w->dvalues = take(base, &used, T * D);
  w->delta = take(base, &used, w->block);
  return used;
}

static int64_t longest_keys(const HfAttention *a) {
  int64_t longest = 1;
  for (int64_t b = 0; b < a->sequences; b++) longest = hf_max(longest, a->cu_k[b + 1] - a->cu_k[b]);
  return longest;
}

/* Calls `run` for every task, each thread with scratch of its own. */
static HfStatus run_tasks(const HfAttention *a, bool is_backward, void (*run)(const Task *t, const void *arguments), const void *arguments) {
  if (a->dtype != HF_FLOAT32) return HF_UNSUPPORTED;
  int64_t longest = longest_keys(a), tasks = a->sequences * a->kv_heads, work = longest * a->head_dim * (int64_t)a->cu_q[a->sequences] * a->heads;
  if (a->dropout > 0 && longest >= DROPOUT_KEYS) return HF_UNSUPPORTED;
  int threads = work < HF_PARALLEL_MINIMUM ? 1 : (int)hf_min(hf_thread_count(), hf_max(1, tasks));
  Work measured;
  int64_t floats = lay_out(&measured, NULL, longest, a->head_dim, is_backward);
  float *scratch = hf_scratch_new(threads * floats);
  if (!scratch) return HF_NO_MEMORY;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < tasks; i++) {
    Work w;
    lay_out(&w, scratch + hf_thread_index() * floats, longest, a->head_dim, is_backward);
    Task t = task_of(a, i, &w);
    run(&t, arguments);
  }
  hf_scratch_free(scratch, threads * floats);
  return HF_OK;
}

/* ---- products of blocks */

/* A packed B: its first panel, and the floats from one to the next. */
typedef struct Panels {
  const float *first;
  int64_t step;
} Panels;

static const float *panel_at(Panels b, int64_t column) { return b.first + column / HF_TILE_COLUMNS * b.step; }

/* Panels of in^T (D, n): lines of D numbers, ld apart. */
static void pack_transposed(float *out, const float *in, int64_t ld, int64_t n, int64_t D) {
  for (int64_t j = 0; j < n; j += HF_TILE_COLUMNS)
    hf_pack_lines(out + j * D, HF_TILE_COLUMNS, in + j * ld, ld, hf_min(HF_TILE_COLUMNS, n - j), D);
}

/* Panels of in (n, D), rows ld apart. */
static void pack_straight(float *out, const float *in, int64_t ld, int64_t n, int64_t D) {
  for (int64_t j = 0; j < D; j += HF_TILE_COLUMNS)
    hf_pack_rows(out + j * n, HF_TILE_COLUMNS, in + j, ld, hf_min(HF_TILE_COLUMNS, D - j), n);
}

/* to (m, n) from a (m, k), rows lda apart, and panels b (k, n). The last rows of a go through `edge`, which holds k rows
 * of a tile, so that nothing behind a is read; edge NULL says that whole tiles of rows may be read. */
static void multiply(HfTileTarget to, const float *a, int64_t lda, Panels b, int64_t m, int64_t n, int64_t k, float *edge) {
  int64_t whole = edge ? m / HF_TILE_ROWS * HF_TILE_ROWS : hf_round_up(m, HF_TILE_ROWS);
  for (int64_t j = 0; j < n; j += HF_TILE_COLUMNS)
    for (int64_t i = 0; i < whole; i += HF_TILE_ROWS) {
      HfTileTarget at = {to.c + i * to.ldc + j, to.ldc, to.alpha, to.beta};
      hf_tile_store_any(at, hf_tile_product(a + i * lda, lda, 1, panel_at(b, j), k), m - i, n - j);
    }
  if (whole >= m) return;
  hf_pack_lines(edge, HF_TILE_ROWS, a + whole * lda, lda, m - whole, k);
  for (int64_t j = 0; j < n; j += HF_TILE_COLUMNS) {
    HfTileTarget at = {to.c + whole * to.ldc + j, to.ldc, to.alpha, to.beta};
    hf_tile_store_any(at, hf_tile_product(edge, 1, HF_TILE_ROWS, panel_at(b, j), k), m - whole, n - j);
  }
}

/* to (m, n) += a^T b: a (k, m) rows lda apart, readable to the next whole tile of columns; panels b (k, n). */
static void add_transposed(float *c, int64_t ldc, const float *a, int64_t lda, Panels b, int64_t m, int64_t n, int64_t k) {
  for (int64_t j = 0; j < n; j += HF_TILE_COLUMNS)
    for (int64_t i = 0; i < m; i += HF_TILE_ROWS) {
      HfTileTarget at = {c + i * ldc + j, ldc, 1, 1};
      hf_tile_store_any(at, hf_tile_product(a + i, 1, lda, panel_at(b, j), k), m - i, n - j);
    }
}

/* ---- dropout: factors (0 or 1/(1-p)) for the keys of one query */

typedef struct Dropout {
  uint32_t low, high; /* of the counter of key 0 */
  uint32_t key_low, key_high;
  float p, scale;
} Dropout;

static Dropout dropout_of(const HfAttention *a, int64_t row, int64_t head) {
  uint64_t counter = (uint64_t)(row * a->heads + head) << 20;
  return (Dropout){(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)a->dropout_key, (uint32_t)(a->dropout_key >> 32), a->dropout, 1 / (1 - a->dropout)};
}

/* hf_counter_uniform with the counter split in halves, so that it vectorises over keys. */
static inline float dropout_factor(const Dropout *d, uint32_t key) {
  uint32_t bits = hf_counter_mix((hf_counter_mix((d->low + key) ^ d->key_low) + d->high) ^ d->key_high);
  return (float)(int32_t)(bits >> 8) * (1.0f / 16777216.0f) >= d->p ? d->scale : 0.0f;
}

/* ---- forward */

/* scores[0..n-1] become e^(score - max); the sum goes to *sum, the largest score is returned. */
static float exponentiate(float *scores, int64_t n, float *sum) {
  float largest = -INFINITY, total = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < n; j++) largest = scores[j] > largest ? scores[j] : largest;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < n; j++) total += scores[j] = hf_vexp_negative(scores[j] - largest);
  *sum = total;
  return largest;
}

static void drop(float *scores, int64_t n, Dropout d) {
  for (int64_t j = 0; j < n; j++) scores[j] *= dropout_factor(&d, (uint32_t)j);
}

/* Scores of one query to normalised probabilities, zeros from `seen` to n; returns its lse. */
static float softmax_row(float *scores, int64_t seen, int64_t n) {
  float sum = 0, largest = exponentiate(scores, seen, &sum), inverse = 1 / sum;
  for (int64_t j = 0; j < seen; j++) scores[j] *= inverse;
  memset(scores + seen, 0, (size_t)(n - seen) * sizeof *scores);
  return seen ? largest + logf(sum) : -INFINITY;
}

typedef struct Forward {
  float *out, *lse;
} Forward;

/* Queries i..i+rows-1 of one head, against the first n keys. */
static void forward_block(const Task *t, const Forward *f, int64_t head, int64_t i, int64_t rows, int64_t n) {
  const HfAttention *a = t->a;
  const Work *w = t->w;
  int64_t D = a->head_dim, row = t->first_row + i;
  const float *q = t->q + (head - t->first_head) * D + i * a->q_stride;
  multiply((HfTileTarget){w->scores, w->ld, a->scale, 0}, q, a->q_stride, (Panels){w->keys, D * HF_TILE_COLUMNS}, rows, n, D, w->edge);
  for (int64_t r = 0; r < rows; r++) {
    float *scores = w->scores + r * w->ld;
    f->lse[(row + r) * a->heads + head] = softmax_row(scores, visible_keys(t, i + r), n);
    if (a->dropout > 0) drop(scores, n, dropout_of(a, row + r, head));
  }
  HfTileTarget to = {f->out + row * a->out_stride + head * D, a->out_stride, 1, 0};
  multiply(to, w->scores, w->ld, (Panels){w->values, t->keys * HF_TILE_COLUMNS}, rows, D, n, NULL);
}

static void forward_task(const Task *t, const void *arguments) {
  const HfAttention *a = t->a;
  pack_transposed(t->w->keys, t->k, a->k_stride, t->keys, a->head_dim);
  pack_straight(t->w->values, t->v, a->v_stride, t->keys, a->head_dim);
  for (int64_t head = t->first_head; head < t->first_head + t->group; head++)
    for (int64_t i = 0; i < t->queries; i += t->w->block) {
      int64_t rows = hf_min(t->w->block, t->queries - i);
      forward_block(t, arguments, head, i, rows, visible_keys(t, i + rows - 1));
    }
}

static HfStatus attention(void *out, float *lse, const HfAttention *a) {
  Forward f = {out, lse};
  return run_tasks(a, false, forward_task, &f);
}

/* ---- backward */

typedef struct Backward {
  float *dq, *dk, *dv;
  const float *dout, *out, *lse;
} Backward;

/* One query: scores become dropped probabilities, dscores (so far dout . v) the gradient of the scaled products.
 * d score = p (f (dout . v) - delta), where f is the dropout factor. */
static void backward_row(float *restrict scores, float *restrict dscores, int64_t seen, int64_t n, float lse, float delta, float scale) {
  for (int64_t j = 0; j < seen; j++) {
    float p = hf_vexp_negative(scores[j] - lse);
    scores[j] = p;
    dscores[j] = p * (dscores[j] - delta) * scale;
  }
  memset(scores + seen, 0, (size_t)(n - seen) * sizeof *scores);
  memset(dscores + seen, 0, (size_t)(n - seen) * sizeof *dscores);
}

static void backward_row_dropped(float *restrict scores, float *restrict dscores, int64_t seen, int64_t n, float lse, float delta, float scale, Dropout d) {
  for (int64_t j = 0; j < seen; j++) {
    float p = hf_vexp_negative(scores[j] - lse), factor = dropout_factor(&d, (uint32_t)j);
    scores[j] = p * factor;
    dscores[j] = p * (factor * dscores[j] - delta) * scale;
  }
  memset(scores + seen, 0, (size_t)(n - seen) * sizeof *scores);
  memset(dscores + seen, 0, (size_t)(n - seen) * sizeof *dscores);
}

static float dot(const float *a, const float *b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

static void backward_rows(const Task *t, const Backward *g, int64_t head, int64_t i, int64_t rows, int64_t n) {
  const HfAttention *a = t->a;
  for (int64_t r = 0; r < rows; r++) {
    int64_t row = t->first_row + i + r, at = row * a->out_stride + head * a->head_dim, seen = visible_keys(t, i + r);
    float *scores = t->w->scores + r * t->w->ld, *dscores = t->w->dscores + r * t->w->ld;
    float lse = g->lse[row * a->heads + head], delta = dot(g->dout + at, g->out + at, a->head_dim);
    if (a->dropout > 0) backward_row_dropped(scores, dscores, seen, n, lse, delta, a->scale, dropout_of(a, row, head));
    else backward_row(scores, dscores, seen, n, lse, delta, a->scale);
  }
}

static void backward_block(const Task *t, const Backward *g, int64_t head, int64_t i, int64_t rows, int64_t n) {
  const HfAttention *a = t->a;
  const Work *w = t->w;
  int64_t D = a->head_dim, row = t->first_row + i, at = row * a->out_stride + head * D;
  const float *q = t->q + (head - t->first_head) * D + i * a->q_stride;
  multiply((HfTileTarget){w->scores, w->ld, a->scale, 0}, q, a->q_stride, (Panels){w->keys, D * HF_TILE_COLUMNS}, rows, n, D, w->edge);
  multiply((HfTileTarget){w->dscores, w->ld, 1, 0}, g->dout + at, a->out_stride, (Panels){w->values, D * HF_TILE_COLUMNS}, rows, n, D, w->edge);
  backward_rows(t, g, head, i, rows, n);
  pack_straight(w->dout_panels, g->dout + at, a->out_stride, rows, D);
  pack_straight(w->query_panels, q, a->q_stride, rows, D);
  add_transposed(w->dvalues, D, w->scores, w->ld, (Panels){w->dout_panels, rows * HF_TILE_COLUMNS}, n, D, rows);
  add_transposed(w->dkeys, D, w->dscores, w->ld, (Panels){w->query_panels, rows * HF_TILE_COLUMNS}, n, D, rows);
  HfTileTarget to = {g->dq + row * a->q_stride + head * D, a->q_stride, 1, 0};
  multiply(to, w->dscores, w->ld, (Panels){w->key_rows, t->keys * HF_TILE_COLUMNS}, rows, D, n, NULL);
}

/* The sums of a task (T, D) to its rows of dk or dv. */
static void write_rows(float *out, int64_t stride, const float *sums, int64_t T, int64_t D) {
  for (int64_t j = 0; j < T; j++) memcpy(out + j * stride, sums + j * D, (size_t)D * sizeof *out);
}

static void backward_task(const Task *t, const void *arguments) {
  const HfAttention *a = t->a;
  const Backward *g = arguments;
  const Work *w = t->w;
  int64_t D = a->head_dim;
  pack_transposed(w->keys, t->k, a->k_stride, t->keys, D);
  pack_transposed(w->values, t->v, a->v_stride, t->keys, D);
  pack_straight(w->key_rows, t->k, a->k_stride, t->keys, D);
  memset(w->dkeys, 0, (size_t)(t->keys * D) * sizeof(float));
  memset(w->dvalues, 0, (size_t)(t->keys * D) * sizeof(float));
  for (int64_t head = t->first_head; head < t->first_head + t->group; head++)
    for (int64_t i = 0; i < t->queries; i += w->block) {
      int64_t rows = hf_min(w->block, t->queries - i);
      backward_block(t, g, head, i, rows, visible_keys(t, i + rows - 1));
    }
  write_rows(g->dk + (t->k - (const float *)a->k), a->k_stride, w->dkeys, t->keys, D);
  write_rows(g->dv + (t->v - (const float *)a->v), a->v_stride, w->dvalues, t->keys, D);
}

static HfStatus attention_backward(void *dq, void *dk, void *dv, const void *dout, const void *out, const float *lse, const HfAttention *a) {
  Backward g = {dq, dk, dv, dout, out, lse};
  return run_tasks(a, true, backward_task, &g);
}

void HF_CPU(fill_attention)(HfKernels *k) {
  k->attention = attention;
  k->attention_backward = attention_backward;
}
