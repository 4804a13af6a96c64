/* Products of few rows, c = a b with at most HF_FEW_ROWS rows of a: what generating text a token at a time consists of. Every weight
 * is read once and used for all rows, so memory is the limit; the matrix is streamed in the order in which it is stored.
 *
 *   b (n, k), transposed   four rows of b at once, each a dot product with every row of a
 *   b (k, n)               blocks of PART rows of b, each times its numbers of a into sums of its own; the blocks' sums are added
 *
 * Threads take blocks as they come, so that one that loses its core for a while holds up nobody. A sum is made in one order
 * whatever the thread count. Weights may be bfloat16. */
#include "parallel.h"
#include "product.h"
#include "product_own.h"

enum {
  FEW_ROWS = HF_FEW_ROWS,
  DOT_ROWS = 4,        /* rows of b that one pass over a serves */
  DOT_WEIGHTS = 32768, /* weights of a block of dot products, about */
  PART = 32,           /* rows of a block where b is (k, n) */
  ADD_ROWS = 8         /* of which so many go at once */
};

typedef uint16_t HfHalves __attribute__((vector_size(HF_LANES * 2), aligned(2), may_alias));
typedef uint32_t HfWords __attribute__((vector_size(HF_LANES * 4), may_alias));

/* Weight i of a matrix of float32, or of bfloat16 where `half`. */
static inline __attribute__((always_inline)) float weight_at(const void *b, int64_t i, bool half) {
  return half ? hf_bf16_to_float(((const uint16_t *)b)[i]) : ((const float *)b)[i];
}

/* HF_LANES weights from `at` on. The widening is written out where gcc, left alone, does it in quarters. */
static inline __attribute__((always_inline)) HfVector weights_at(const void *at, bool half) {
  if (!half) return *(const HfVector *)at;
#if defined(__AVX2__)
  HfWords words;
  __asm__("vpmovzxwd %1, %0" : "=v"(words) : "m"(*(const HfHalves *)at));
  return (HfVector)(words << 16);
#else
  return (HfVector)(__builtin_convertvector(*(const HfHalves *)at, HfWords) << 16);
#endif
}

/* Where weight i of the matrix lies. */
static inline __attribute__((always_inline)) const char *weight_address(const void *b, int64_t i, bool half) {
  return (const char *)b + i * (half ? 2 : 4);
}

static inline __attribute__((always_inline)) float sum_lanes(HfVector x) {
  HfVector4 part = {0};
  for (int l = 0; l < HF_LANES; l += 4) part += *(const HfVector4 *)((const float *)&x + l);
  return (part[0] + part[2]) + (part[1] + part[3]);
}

/* Columns j .. j+count-1 of c for all rows of a: count rows of b. */
static inline __attribute__((always_inline)) void dot_columns(const HfMatmul *m, int rows, int count, bool half, int64_t j) {
  const float *a = m->a;
  float *c = m->c;
  HfVector sum[DOT_ROWS][FEW_ROWS] = {{{0}}};
  const char *line[DOT_ROWS];
  int64_t p = 0, size = half ? 2 : 4;
  for (int t = 0; t < count; t++) line[t] = weight_address(m->b, (j + t) * m->ldb, half);
  for (; p + HF_LANES <= m->k; p += HF_LANES) {
    HfVector w[DOT_ROWS];
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) w[t] = weights_at(line[t] + p * size, half);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      HfVector x = *(const HfVector *)(a + r * m->lda + p);
#pragma GCC unroll 4
      for (int t = 0; t < count; t++) hf_add_product(&sum[t][r], x, w[t]);
    }
  }
  for (int t = 0; t < count; t++)
    for (int r = 0; r < rows; r++) {
      float total = sum_lanes(sum[t][r]);
      for (int64_t q = p; q < m->k; q++) total += a[r * m->lda + q] * weight_at(m->b, (j + t) * m->ldb + q, half);
      c[r * m->ldc + j + t] = total;
    }
}

/* Column j of c for a lone row of a. One row of b is read from end to end, line after line: memory gives bfloat16 faster so than in
 * four streams of half lines. */
static inline __attribute__((always_inline)) void dot_column(const HfMatmul *m, bool half, int64_t j) {
  const float *a = m->a;
  const char *line = weight_address(m->b, j * m->ldb, half);
  HfVector sum[4] = {{0}};
  int64_t p = 0, size = half ? 2 : 4;
  for (; p + 4 * HF_LANES <= m->k; p += 4 * HF_LANES) {
#pragma GCC unroll 4
    for (int t = 0; t < 4; t++) hf_add_product(&sum[t], *(const HfVector *)(a + p + t * HF_LANES), weights_at(line + (p + t * HF_LANES) * size, half));
  }
  for (; p + HF_LANES <= m->k; p += HF_LANES) hf_add_product(&sum[0], *(const HfVector *)(a + p), weights_at(line + p * size, half));
  float total = sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
  for (; p < m->k; p++) total += a[p] * weight_at(m->b, j * m->ldb + p, half);
  ((float *)m->c)[j] = total;
}

/* Columns first .. last-1 where b is transposed. Where many rows want registers, fewer columns go at once. */
static inline __attribute__((always_inline)) void dot_range(const HfMatmul *m, int rows, bool half, int64_t first, int64_t last) {
  int64_t j = first;
  if (rows == 1 && half)
    for (; j < last; j++) dot_column(m, half, j);
  if (rows <= 4)
    for (; j + DOT_ROWS <= last; j += DOT_ROWS) dot_columns(m, rows, DOT_ROWS, half, j);
  for (; j + 2 <= last; j += 2) dot_columns(m, rows, 2, half, j);
  for (; j < last; j++) dot_columns(m, rows, 1, half, j);
}

/* sum[r][j] = what it was (nothing for the first rows of a block) and the sum over `count` rows of b from p on of a[r][p] b[p][j]. */
static inline __attribute__((always_inline)) void add_rows(const HfMatmul *m, float *sums, int rows, int count, bool half, int64_t p) {
  const float *a = (const float *)m->a + p;
  bool begins = p % PART == 0;
  int64_t j = 0, n = m->n, size = half ? 2 : 4;
  const char *line[ADD_ROWS];
  HfVector alone[ADD_ROWS]; /* the numbers of a lone row */
  for (int t = 0; t < count; t++) line[t] = weight_address(m->b, (p + t) * m->ldb, half), alone[t] = a[t] - (HfVector){0};
  for (; j + HF_LANES <= n; j += HF_LANES) {
    HfVector w[ADD_ROWS];
#pragma GCC unroll 8
    for (int t = 0; t < count; t++) w[t] = weights_at(line[t] + j * size, half);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      HfVector sum = begins ? (HfVector){0} : *(const HfVector *)(sums + r * n + j);
#pragma GCC unroll 8
      for (int t = 0; t < count; t++) {
        HfVector x = alone[t];
        if (rows > 1) x = a[r * m->lda + t] - (HfVector){0};
        hf_add_product(&sum, x, w[t]);
      }
      *(HfVector *)(sums + r * n + j) = sum;
    }
  }
  for (; j < n; j++)
    for (int r = 0; r < rows; r++) {
      float sum = begins ? 0 : sums[r * n + j];
      for (int t = 0; t < count; t++) sum += a[r * m->lda + t] * weight_at(m->b, (p + t) * m->ldb + j, half);
      sums[r * n + j] = sum;
    }
}

/* Rows first .. last-1 of b into the sums of their block. */
static inline __attribute__((always_inline)) void add_part(const HfMatmul *m, float *sums, int rows, bool half, int64_t first, int64_t last) {
  int64_t p = first;
  for (; p + ADD_ROWS <= last; p += ADD_ROWS) add_rows(m, sums, rows, ADD_ROWS, half, p);
  for (; p < last; p++) add_rows(m, sums, rows, 1, half, p);
}

static void finish(const HfMatmul *m, int64_t first, int64_t last) {
  if (m->bias || m->pre || m->activation != HF_ACT_NONE)
    HF_CPU(epilogue)((float *)m->c + first, m->pre ? (float *)m->pre + first : NULL, m->ldc, m->m, last - first,
                     m->bias ? (const float *)m->bias + first : NULL, m->activation);
}

/* One block of work. `sums` is NULL where b is transposed: first, last are columns of c then, else rows of b. */
#define HF_BLOCK(rows) \
  case rows: \
    if (sums) half ? add_part(m, sums, rows, true, first, last) : add_part(m, sums, rows, false, first, last); \
    else half ? dot_range(m, rows, true, first, last) : dot_range(m, rows, false, first, last); \
    break;
static void make_block(const HfMatmul *m, float *sums, int64_t first, int64_t last) {
  bool half = m->b_dtype == HF_BFLOAT16;
  switch (m->m) { HF_BLOCK(1) HF_BLOCK(2) HF_BLOCK(3) HF_BLOCK(4) HF_BLOCK(5) HF_BLOCK(6) HF_BLOCK(7) HF_BLOCK(8) }
}

static bool is_large(const HfMatmul *m) { return m->n * m->k >= HF_PARALLEL_MINIMUM; }

static void make_dots(const HfMatmul *m) {
  int64_t block = hf_round_up(hf_max(1, DOT_WEIGHTS / m->k), HF_LANES), blocks = hf_ceil_div(m->n, block);
#pragma omp parallel for schedule(dynamic) if (is_large(m))
  for (int64_t i = 0; i < blocks; i++) {
    int64_t first = i * block, last = hf_min(m->n, first + block);
    make_block(m, NULL, first, last);
    finish(m, first, last);
  }
}

/* The sums of all blocks (blocks, m, n), added from the first block on. */
typedef struct Parts {
  const HfMatmul *m;
  const float *sums;
  int64_t blocks;
} Parts;

static void add_blocks(const void *context, int64_t first, int64_t last) {
  const Parts *parts = context;
  const HfMatmul *m = parts->m;
  first *= HF_LANES, last = hf_min(m->n, last * HF_LANES);
  for (int64_t r = 0; r < m->m; r++) {
    float *c = (float *)m->c + r * m->ldc;
    for (int64_t i = 0; i < parts->blocks; i++) {
      const float *sums = parts->sums + (i * m->m + r) * m->n;
      for (int64_t j = first; j < last; j++) c[j] = i ? c[j] + sums[j] : sums[j];
    }
  }
  finish(m, first, last);
}

static bool make_sums(const HfMatmul *m) {
  int64_t blocks = hf_ceil_div(m->k, PART), floats = blocks * m->m * m->n;
  float *sums = hf_scratch_new(floats);
  if (!sums) return false;
#pragma omp parallel for schedule(dynamic) if (is_large(m))
  for (int64_t i = 0; i < blocks; i++) make_block(m, sums + i * m->m * m->n, i * PART, hf_min(m->k, (i + 1) * PART));
  Parts parts = {m, sums, blocks};
  hf_parallel(hf_ceil_div(m->n, HF_LANES), floats / 8, add_blocks, &parts);
  hf_scratch_free(sums, floats);
  return true;
}

bool HF_CPU(product_small)(const HfMatmul *m) {
  if (m->dtype != HF_FLOAT32 || m->m > FEW_ROWS || m->batch != 1 || m->transpose_a || m->alpha != 1 || m->beta != 0 || !m->k) return false;
  if (!m->transpose_b) return make_sums(m);
  make_dots(m);
  return true;
}
