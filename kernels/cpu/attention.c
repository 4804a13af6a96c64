/* Attention over packed sequences, forward and backward.
 *
 * One task is a sequence and a key head, with all query heads that share it, so that no two tasks write the same row of
 * dk or dv. A task packs its keys and values once, then takes the queries in blocks whose scores (block, keys) stay in
 * the second-level cache: product, softmax, product. The backward makes the probabilities again from lse. */
#include "attention_few.h"
#include "attention_half.h"
#include "product.h"
#include "vmath.h"
#include <math.h>

enum {
  SCORE_FLOATS = 32768,     /* scores of one block of queries: 128 KiB */
  BLOCK_ROWS = 96,          /* and no more queries than this */
  DROPOUT_KEYS = 1 << 20    /* key positions the dropout counter can tell apart */
};

/* Scratch of one task; pointers into one allocation. T keys, D head size, Q rows of a query block. Targets of products are
 * whole tiles high and wide, so that no tile is cut. */
typedef struct Work {
  float *keys, *values;     /* panels of k^T (D, T); of v (T, D) forward, of v^T (D, T) backward */
  float *query_tiles;       /* q of the block (Q, D), packed as left operand */
  float *scores;            /* (Q, ld): scores, then probabilities */
  float *largest, *sum;     /* (Q) of the scores; of their exponentials */
  /* backward only */
  float *key_rows;          /* panels of k (T, D) */
  float *dout_tiles;        /* dout of the block (Q, D), packed as left operand */
  float *query_panels, *dout_panels; /* panels of q and dout (Q, D) of the block */
  float *dscores;           /* (Q, ld) */
  float *dkeys, *dvalues;   /* (T, width) sums over query blocks and heads */
  int64_t ld, width, block; /* width: D in whole tiles */
} Work;

/* One sequence and key head. */
typedef struct Task {
  const HfAttention *a;
  const float *q, *k, *v;   /* first row of the sequence; q at the first head of the group */
  int64_t queries, keys, first_row, first_head, group;
  Work *w;
} Task;

static int64_t keys_of(const HfAttention *a, int64_t b) { return a->key_count ? a->key_count[b] : a->cu_k[b + 1] - a->cu_k[b]; }

static Task task_of(const HfAttention *a, int64_t index, Work *w) {
  int64_t b = index / a->kv_heads, kv_head = index % a->kv_heads, group = a->heads / a->kv_heads;
  int64_t row = a->cu_q[b], key = a->cu_k[b], first_head = kv_head * group;
  Task t = {.a = a, .queries = a->cu_q[b + 1] - row, .keys = keys_of(a, b), .first_row = row, .first_head = first_head, .group = group, .w = w};
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
  w->width = hf_round_up(D, HF_TILE_COLUMNS);
  w->ld = hf_round_up(T, HF_TILE_COLUMNS) + HF_TILE_ROWS; /* a transposed tile may read past the last key */
  w->keys = take(base, &used, panel_floats(D, T));
  w->values = take(base, &used, is_backward ? panel_floats(D, T) : panel_floats(T, D));
  w->query_tiles = take(base, &used, w->block * D + HF_PACK_SPILL);
  w->scores = take(base, &used, w->block * w->ld);
  w->largest = take(base, &used, w->block);
  w->sum = take(base, &used, w->block);
  if (!is_backward) return used;
  w->key_rows = take(base, &used, panel_floats(T, D));
  w->dout_tiles = take(base, &used, w->block * D + HF_PACK_SPILL);
  w->query_panels = take(base, &used, panel_floats(w->block, D));
  w->dout_panels = take(base, &used, panel_floats(w->block, D));
  w->dscores = take(base, &used, w->block * w->ld);
  w->dkeys = take(base, &used, hf_round_up(T, HF_TILE_ROWS) * w->width);
  w->dvalues = take(base, &used, hf_round_up(T, HF_TILE_ROWS) * w->width);
  return used;
}

static int64_t longest_keys(const HfAttention *a) {
  int64_t longest = 1;
  for (int64_t b = 0; b < a->sequences; b++) longest = hf_max(longest, keys_of(a, b));
  return longest;
}

/* Calls `run` for every task, each thread with scratch of its own. */
static HfStatus run_tasks(const HfAttention *a, bool is_backward, void (*run)(const Task *t, const void *arguments), const void *arguments) {
  int64_t longest = longest_keys(a), tasks = a->sequences * a->kv_heads, work = longest * a->head_dim * (int64_t)a->cu_q[a->sequences] * a->heads;
  if (a->dropout > 0 && longest >= DROPOUT_KEYS) return HF_UNSUPPORTED;
  int threads = work < HF_PARALLEL_MINIMUM ? 1 : hf_thread_count();
  Work measured;
  int64_t floats = lay_out(&measured, NULL, longest, a->head_dim, is_backward);
  float *scratch = hf_scratch_new(threads * floats);
  if (!scratch) return HF_NO_MEMORY;
#pragma omp parallel for schedule(dynamic) if (threads > 1)
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

/* The left operand of a product: entry (i, p) of the tile at row r lies at first + r / HF_TILE_ROWS * tile + i * row + p * step. */
typedef struct Left {
  const float *first;
  int64_t tile, row, step;
} Left;

static Left packed_tiles(const float *tiles, int64_t k) { return (Left){tiles, HF_TILE_ROWS * k, 1, HF_TILE_ROWS}; }
static Left rows_of(const float *matrix, int64_t ld) { return (Left){matrix, HF_TILE_ROWS * ld, ld, 1}; }
static Left columns_of(const float *matrix, int64_t ld) { return (Left){matrix, HF_TILE_ROWS, 1, ld}; }

/* The right operand: panels, the first and the floats from one to the next. */
typedef struct Right {
  const float *first;
  int64_t panel;
} Right;

static Right panels_of(const float *panels, int64_t k) { return (Right){panels, k * HF_TILE_COLUMNS}; }

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

/* Tiles of in (n, D), rows ld apart, as left operand. */
static void pack_tiles(float *out, const float *in, int64_t ld, int64_t n, int64_t D) {
  for (int64_t i = 0; i < n; i += HF_TILE_ROWS)
    hf_pack_lines(out + i * D, HF_TILE_ROWS, in + i * ld, ld, hf_min(HF_TILE_ROWS, n - i), D);
}

/* to (m, n) from a (m, k) and b (k, n). Tiles are cut at m and n unless the target is scratch of whole tiles. */
static void multiply(HfTileTarget to, Left a, Right b, int64_t m, int64_t n, int64_t k, bool to_scratch) {
  for (int64_t j = 0; j < n; j += HF_TILE_COLUMNS)
    for (int64_t i = 0; i < m; i += HF_TILE_ROWS) {
      HfTileTarget at = {to.c + i * to.ldc + j, to.ldc, to.alpha, to.beta};
      HfTile tile = hf_tile_product(a.first + i / HF_TILE_ROWS * a.tile, a.row, a.step, b.first + j / HF_TILE_COLUMNS * b.panel, k);
      hf_tile_store_any(at, tile, to_scratch ? HF_TILE_ROWS : m - i, to_scratch ? HF_TILE_COLUMNS : n - j);
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
  return (Dropout){(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)a->dropout_key.key, (uint32_t)(a->dropout_key.key >> 32), a->dropout, 1 / (1 - a->dropout)};
}

/* hf_counter_uniform with the counter split in halves, so that it vectorises over keys. */
static inline float dropout_factor(const Dropout *d, uint32_t key) {
  uint32_t bits = hf_counter_mix((hf_counter_mix((d->low + key) ^ d->key_low) + d->high) ^ d->key_high);
  return (float)(int32_t)(bits >> 8) * (1.0f / 16777216.0f) >= d->p ? d->scale : 0.0f;
}

/* ---- forward */

/* Loops over keys run to the next whole vector: the scores there are set or cleared with those of unseen keys. */
static int64_t whole_vectors(int64_t n) { return (n + HF_LANES - 1) & ~(int64_t)(HF_LANES - 1); }

/* The largest of the first `seen` scores; those behind, to the next whole vector, become -inf. */
static float find_largest(float *scores, int64_t seen) {
  int64_t whole = seen & ~(int64_t)(HF_LANES - 1);
  float largest = -INFINITY;
  if (whole < seen)
    for (int64_t j = 0; j < HF_LANES; j++) scores[whole + j] = whole + j < seen ? scores[whole + j] : -INFINITY;
  whole = whole_vectors(seen);
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < whole; j++) largest = scores[j] > largest ? scores[j] : largest;
  return largest;
}

/* The sum of n numbers, n in whole vectors. */
static float sum_vectors(const float *x, int64_t n) {
  HfVector sum = {0};
  for (int64_t j = 0; j < n; j += HF_LANES) sum += *(const HfVector *)(x + j);
  HfVector4 part = {0};
  for (int l = 0; l < HF_LANES; l += 4) part += *(const HfVector4 *)((const float *)&sum + l);
  return (part[0] + part[2]) + (part[1] + part[3]);
}

static float exponentiate(float *scores, int64_t n, float largest) {
  for (int64_t j = 0; j < n; j++) scores[j] = hf_vexp_negative(scores[j] - largest);
  return sum_vectors(scores, n);
}

static void scale_row(float *scores, int64_t n, float factor) {
  for (int64_t j = 0; j < n; j++) scores[j] *= factor;
}

static void scale_row_dropped(float *scores, int64_t n, float factor, Dropout d) {
  for (int64_t j = 0; j < n; j++) scores[j] *= factor * dropout_factor(&d, (uint32_t)j);
}

/* Scores of the queries from i on to probabilities after dropout, zeros from the keys a query sees to key n. Step by
 * step for all rows: the steps of one row wait for each other, those of different rows do not. */
static void softmax_rows(const Task *t, float *lse, int64_t head, int64_t i, int64_t rows, int64_t n) {
  const Work *w = t->w;
  for (int64_t r = 0; r < rows; r++) w->largest[r] = find_largest(w->scores + r * w->ld, visible_keys(t, i + r));
  for (int64_t r = 0; r < rows; r++) w->sum[r] = exponentiate(w->scores + r * w->ld, whole_vectors(visible_keys(t, i + r)), w->largest[r]);
  for (int64_t r = 0; r < rows; r++) {
    float *scores = w->scores + r * w->ld;
    int64_t seen = visible_keys(t, i + r), whole = whole_vectors(seen);
    if (t->a->dropout > 0) scale_row_dropped(scores, whole, 1 / w->sum[r], dropout_of(t->a, t->first_row + i + r, head));
    else scale_row(scores, whole, 1 / w->sum[r]);
    if (seen < n) memset(scores + seen, 0, (size_t)(n - seen) * sizeof *scores);
  }
  for (int64_t r = 0; r < rows; r++) w->largest[r] += hf_vlog(w->sum[r]); /* no keys: -inf + log 0 */
  for (int64_t r = 0; r < rows; r++) lse[r * t->a->heads] = w->largest[r];
}

typedef struct Forward {
  float *out, *lse;
} Forward;

/* Queries i..i+rows-1 of one head, against the first n keys. */
static void forward_block(const Task *t, const Forward *f, int64_t head, int64_t i, int64_t rows, int64_t n) {
  const HfAttention *a = t->a;
  const Work *w = t->w;
  int64_t D = a->head_dim, row = t->first_row + i;
  pack_tiles(w->query_tiles, t->q + (head - t->first_head) * D + i * a->q_stride, a->q_stride, rows, D);
  multiply((HfTileTarget){w->scores, w->ld, a->scale, 0}, packed_tiles(w->query_tiles, D), panels_of(w->keys, D), rows, n, D, true);
  softmax_rows(t, f->lse + row * a->heads + head, head, i, rows, n);
  HfTileTarget to = {f->out + row * a->out_stride + head * D, a->out_stride, 1, 0};
  multiply(to, rows_of(w->scores, w->ld), panels_of(w->values, t->keys), rows, D, n, false);
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
  if (a->dtype != HF_FLOAT32) return HF_CPU(attention_half)(out, lse, a, attention);
  if (HF_CPU(attention_is_few)(a)) return HF_CPU(attention_few)(out, lse, a);
  return run_tasks(a, false, forward_task, &f);
}

/* ---- backward */

typedef struct Backward {
  float *dq, *dk, *dv;
  const float *dout, *out, *lse;
} Backward;

/* One query: scores become probabilities after dropout, dscores (so far dout . v) the gradient of q . k:
 * scale p (f (dout . v) - delta) with f the dropout factor. */
static void backward_row(float *restrict scores, float *restrict dscores, int64_t n, float lse, float delta, float scale) {
  for (int64_t j = 0; j < n; j++) {
    float p = hf_vexp_negative(scores[j] - lse);
    scores[j] = p;
    dscores[j] = p * (dscores[j] - delta) * scale;
  }
}

static void backward_row_dropped(float *restrict scores, float *restrict dscores, int64_t n, float lse, float delta, float scale, Dropout d) {
  for (int64_t j = 0; j < n; j++) {
    float p = hf_vexp_negative(scores[j] - lse), factor = dropout_factor(&d, (uint32_t)j);
    scores[j] = p * factor;
    dscores[j] = p * (factor * dscores[j] - delta) * scale;
  }
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
    if (a->dropout > 0) backward_row_dropped(scores, dscores, whole_vectors(seen), lse, delta, a->scale, dropout_of(a, row, head));
    else backward_row(scores, dscores, whole_vectors(seen), lse, delta, a->scale);
    for (int64_t j = seen; j < hf_round_up(n, HF_TILE_ROWS); j++) scores[j] = dscores[j] = 0; /* whole tiles of keys are read */
  }
}

static void backward_block(const Task *t, const Backward *g, int64_t head, int64_t i, int64_t rows, int64_t n) {
  const HfAttention *a = t->a;
  const Work *w = t->w;
  int64_t D = a->head_dim, row = t->first_row + i;
  const float *q = t->q + (head - t->first_head) * D + i * a->q_stride, *dout = g->dout + row * a->out_stride + head * D;
  pack_tiles(w->query_tiles, q, a->q_stride, rows, D);
  pack_tiles(w->dout_tiles, dout, a->out_stride, rows, D);
  multiply((HfTileTarget){w->scores, w->ld, a->scale, 0}, packed_tiles(w->query_tiles, D), panels_of(w->keys, D), rows, n, D, true);
  multiply((HfTileTarget){w->dscores, w->ld, 1, 0}, packed_tiles(w->dout_tiles, D), panels_of(w->values, D), rows, n, D, true);
  backward_rows(t, g, head, i, rows, n);
  pack_straight(w->dout_panels, dout, a->out_stride, rows, D);
  pack_straight(w->query_panels, q, a->q_stride, rows, D);
  multiply((HfTileTarget){w->dvalues, w->width, 1, 1}, columns_of(w->scores, w->ld), panels_of(w->dout_panels, rows), n, D, rows, true);
  multiply((HfTileTarget){w->dkeys, w->width, 1, 1}, columns_of(w->dscores, w->ld), panels_of(w->query_panels, rows), n, D, rows, true);
  HfTileTarget to = {g->dq + row * a->q_stride + head * D, a->q_stride, 1, 0};
  multiply(to, rows_of(w->dscores, w->ld), panels_of(w->key_rows, t->keys), rows, D, n, false);
}

/* The sums of a task (T, width) to its rows of dk or dv. */
static void write_rows(float *out, int64_t stride, const float *sums, const Task *t) {
  for (int64_t j = 0; j < t->keys; j++) memcpy(out + j * stride, sums + j * t->w->width, (size_t)t->a->head_dim * sizeof *out);
}

static void backward_task(const Task *t, const void *arguments) {
  const HfAttention *a = t->a;
  const Backward *g = arguments;
  const Work *w = t->w;
  int64_t D = a->head_dim;
  pack_transposed(w->keys, t->k, a->k_stride, t->keys, D);
  pack_transposed(w->values, t->v, a->v_stride, t->keys, D);
  pack_straight(w->key_rows, t->k, a->k_stride, t->keys, D);
  memset(w->dkeys, 0, (size_t)(t->keys * w->width) * sizeof(float));
  memset(w->dvalues, 0, (size_t)(t->keys * w->width) * sizeof(float));
  for (int64_t head = t->first_head; head < t->first_head + t->group; head++)
    for (int64_t i = 0; i < t->queries; i += w->block) {
      int64_t rows = hf_min(w->block, t->queries - i);
      backward_block(t, g, head, i, rows, visible_keys(t, i + rows - 1));
    }
  write_rows(g->dk + (t->k - (const float *)a->k), a->k_stride, w->dkeys, t);
  write_rows(g->dv + (t->v - (const float *)a->v), a->v_stride, w->dvalues, t);
}

static HfStatus attention_backward(void *dq, void *dk, void *dv, const void *dout, const void *out, const float *lse, const HfAttention *a) {
  Backward g = {dq, dk, dv, dout, out, lse};
  if (a->dtype != HF_FLOAT32) return HF_CPU(attention_half_backward)(dq, dk, dv, dout, out, lse, a, attention_backward);
  return run_tasks(a, true, backward_task, &g);
}

void HF_CPU(fill_attention)(HfKernels *k) {
  k->attention = attention;
  k->attention_backward = attention_backward;
}
