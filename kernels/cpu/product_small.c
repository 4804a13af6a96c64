/* Products of few rows, c = a b with at most HF_FEW_ROWS rows of a: what generating text a token at a time consists of. Every weight
 * is read once and used for all rows, so memory is the limit; the matrix is streamed in the order in which it is stored.
 *
 *   b (n, k), transposed   four rows of b at once, each a dot product with every row of a
 *   b (k, n)               eight rows of b at once, times numbers of a, added to c, which stays in the first-level cache
 *
 * A sum runs over k in one order whatever the thread count and the columns beside it. Weights may be bfloat16. */
#include "parallel.h"
#include "product.h"
#include "product_own.h"

enum { FEW_ROWS = HF_FEW_ROWS, DOT_ROWS = 4, ADD_ROWS = 8 };

typedef uint16_t HfHalves __attribute__((vector_size(HF_LANES * 2), aligned(2), may_alias));
typedef uint32_t HfWords __attribute__((vector_size(HF_LANES * 4), may_alias));

/* Weight i of a matrix of float32, or of bfloat16 where `half`. */
static inline __attribute__((always_inline)) float weight_at(const void *b, int64_t i, bool half) {
  return half ? hf_bf16_to_float(((const uint16_t *)b)[i]) : ((const float *)b)[i];
}

/* HF_LANES weights from i on. */
static inline __attribute__((always_inline)) HfVector weights_at(const void *b, int64_t i, bool half) {
  if (!half) return *(const HfVector *)((const float *)b + i);
  return (HfVector)(__builtin_convertvector(*(const HfHalves *)((const uint16_t *)b + i), HfWords) << 16);
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
  int64_t p = 0;
  for (; p + HF_LANES <= m->k; p += HF_LANES) {
    HfVector w[DOT_ROWS];
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) w[t] = weights_at(m->b, (j + t) * m->ldb + p, half);
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

/* Columns first .. last-1 where b is transposed. Where many rows want registers, fewer columns go at once. */
static inline __attribute__((always_inline)) void dot_range(const HfMatmul *m, int rows, bool half, int64_t first, int64_t last) {
  int64_t j = first;
  if (rows <= 4)
    for (; j + DOT_ROWS <= last; j += DOT_ROWS) dot_columns(m, rows, DOT_ROWS, half, j);
  for (; j + 2 <= last; j += 2) dot_columns(m, rows, 2, half, j);
  for (; j < last; j++) dot_columns(m, rows, 1, half, j);
}

/* c[r][j] += the sum over `count` rows of b from p on of a[r][p] b[p][j], for the columns from first on. */
static inline __attribute__((always_inline)) void add_rows(const HfMatmul *m, int rows, int count, bool half, int64_t p, int64_t first, int64_t last) {
  const float *a = (const float *)m->a + p;
  float *c = m->c;
  int64_t j = first;
  for (; j + HF_LANES <= last; j += HF_LANES) {
    HfVector w[ADD_ROWS];
#pragma GCC unroll 8
    for (int t = 0; t < count; t++) w[t] = weights_at(m->b, (p + t) * m->ldb + j, half);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      HfVector sum = p ? *(const HfVector *)(c + r * m->ldc + j) : (HfVector){0};
#pragma GCC unroll 8
      for (int t = 0; t < count; t++) {
        HfVector x = a[r * m->lda + t] - (HfVector){0};
        hf_add_product(&sum, x, w[t]);
      }
      *(HfVector *)(c + r * m->ldc + j) = sum;
    }
  }
  for (; j < last; j++)
    for (int r = 0; r < rows; r++) {
      float sum = p ? c[r * m->ldc + j] : 0;
      for (int t = 0; t < count; t++) sum += a[r * m->lda + t] * weight_at(m->b, (p + t) * m->ldb + j, half);
      c[r * m->ldc + j] = sum;
    }
}

static inline __attribute__((always_inline)) void add_range(const HfMatmul *m, int rows, bool half, int64_t first, int64_t last) {
  int64_t p = 0;
  for (; p + ADD_ROWS <= m->k; p += ADD_ROWS) add_rows(m, rows, ADD_ROWS, half, p, first, last);
  for (; p < m->k; p++) add_rows(m, rows, 1, half, p, first, last);
}

static inline __attribute__((always_inline)) void make_range(const HfMatmul *m, int rows, int64_t first, int64_t last) {
  bool half = m->b_dtype == HF_BFLOAT16;
  if (m->transpose_b && half) dot_range(m, rows, true, first, last);
  else if (m->transpose_b) dot_range(m, rows, false, first, last);
  else if (half) add_range(m, rows, true, first, last);
  else add_range(m, rows, false, first, last);
}

/* Columns go in steps of whole vectors. */
static void make_columns(const void *context, int64_t first_step, int64_t last_step) {
  const HfMatmul *m = context;
  int64_t first = first_step * HF_LANES, last = hf_min(m->n, last_step * HF_LANES);
  switch (m->m) {
    case 1: make_range(m, 1, first, last); break;
    case 2: make_range(m, 2, first, last); break;
    case 3: make_range(m, 3, first, last); break;
    case 4: make_range(m, 4, first, last); break;
    case 5: make_range(m, 5, first, last); break;
    case 6: make_range(m, 6, first, last); break;
    case 7: make_range(m, 7, first, last); break;
    default: make_range(m, 8, first, last); break;
  }
  if (m->bias || m->pre || m->activation != HF_ACT_NONE)
    HF_CPU(epilogue)((float *)m->c + first, m->pre ? (float *)m->pre + first : NULL, m->ldc, m->m, last - first,
                     m->bias ? (const float *)m->bias + first : NULL, m->activation);
}

bool HF_CPU(product_small)(const HfMatmul *m) {
  if (m->dtype != HF_FLOAT32 || m->m > FEW_ROWS || m->batch != 1 || m->transpose_a || m->alpha != 1 || m->beta != 0 || !m->k) return false;
  hf_parallel(hf_ceil_div(m->n, HF_LANES), m->n * m->k, make_columns, m);
  return true;
}
