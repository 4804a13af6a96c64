/* Products of 16-bit operands: bfloat16 by oneDNN's gemm or primitive where the processor has instructions for it, else, and float16
 * always, converted to float32, multiplied and rounded. The activation is computed from the values before it as stored. */
#include "element.h"
#include "product_library.h"
#include "product_own.h"
#include "product_primitive.h"
#include <string.h>

/* Product number `batch` of m, alone. */
static HfMatmul single(const HfMatmul *m, int64_t batch) {
  HfDtype type = m->float_c ? HF_FLOAT32 : m->dtype;
  HfMatmul one = *m;
  one.batch = 1;
  one.a = hf_at(m->a, batch * m->stride_a, m->dtype);
  one.b = hf_at(m->b, batch * m->stride_b, m->dtype);
  one.c = hf_at_mut(m->c, batch * m->stride_c, type);
  if (m->pre) one.pre = hf_at_mut(m->pre, batch * m->stride_c, type);
  return one;
}

/* Activation of one product whose sums and bias are in `pre`, or in c where nobody keeps them. */
static void activate(const HfMatmul *m) {
  const void *from = m->pre ? m->pre : m->c;
  if (!m->float_c) {
    HF_CPU(activate_half)(m->c, from, m->ldc, m->m, m->n, m->dtype, m->activation);
    return;
  }
  for (int64_t i = 0; i < m->m && from != m->c; i++)
    memcpy((float *)m->c + i * m->ldc, (const float *)from + i * m->ldc, (size_t)m->n * sizeof(float));
  HF_CPU(epilogue)(m->c, NULL, m->ldc, m->m, m->n, NULL, m->activation);
}

/* Is the product one of few rows, which read bfloat16 weights as they are? */
static bool is_few(const HfMatmul *m) {
  return m->dtype == HF_BFLOAT16 && m->m <= HF_FEW_ROWS && !m->transpose_a && m->alpha == 1 && m->beta == 0 && m->k > 0;
}

/* ---- by the library */

enum { MOST_SUMS = 1 << 22, EVEN_ROWS = 16 }; /* floats; rows of an AMX tile */

/* A product with its float32 sums, dense. */
typedef struct Rounding {
  const HfMatmul *m;
  const float *sums;
} Rounding;

/* A product with float32 sums: where they go, before any activation. */
static bool by_gemm(const HfMatmul *m) {
  HfMatmul sums = *m;
  if (!m->float_c || m->bias || (m->pre && m->beta != 0)) return false;
  if (m->pre) sums.c = m->pre;
  return hf_bfloat_gemm(&sums);
}

/* Sums and bias, rounded, into pre, or into c where nobody keeps them. */
static void round_rows(const void *context, int64_t first, int64_t last) {
  const Rounding *r = context;
  const HfMatmul *m = r->m;
  const void *bias = m->bias;
  for (int64_t i = first; i < last; i++) {
    void *out = hf_at_mut(m->pre ? m->pre : m->c, i * m->ldc, HF_BFLOAT16);
    const float *in = r->sums + i * m->n;
    if (bias) {
#pragma omp simd
      for (int64_t j = 0; j < m->n; j++) hf_store(out, j, in[j] + hf_load(bias, j, HF_BFLOAT16), HF_BFLOAT16);
    } else {
#pragma omp simd
      for (int64_t j = 0; j < m->n; j++) hf_store(out, j, in[j], HF_BFLOAT16);
    }
  }
}

/* Is the gemm with a pass that rounds its sums the better way to a bfloat16 result? It is for long sums and for rows that do not
 * fill tiles, whose number changes from batch to batch, so that the primitive would be made anew (figures: docs/speed.md). The
 * choice depends on the sizes alone: results do not depend on what came before. */
static bool prefers_gemm(const HfMatmul *m) { return m->m * m->n <= MOST_SUMS && (m->k > m->n || m->m % EVEN_ROWS != 0); }

static bool by_rounded_gemm(const HfMatmul *m) {
  if (m->float_c || m->beta != 0 || !prefers_gemm(m)) return false;
  float *sums = hf_scratch_new(m->m * m->n);
  if (!sums) return false;
  HfMatmul g = *m;
  g.c = sums, g.ldc = m->n;
  bool ok = hf_bfloat_gemm(&g);
  if (ok) hf_parallel(m->m, m->m * m->n, round_rows, &(Rounding){m, sums});
  hf_scratch_free(sums, m->m * m->n);
  return ok;
}

static bool by_library(const HfMatmul *m) {
  if (m->dtype != HF_BFLOAT16) return false;
  if (by_gemm(m) || by_rounded_gemm(m)) return true;
  HfMatmul sums = *m;
  if (m->pre && m->beta == 0) sums.c = m->pre;
  else if (m->pre) return false;
  return hf_primitive_product(&sums);
}

/* ---- by float32 */

/* (rows, columns) of dtype, ld apart, as dense float32. */
typedef struct Widening {
  float *out;
  const void *in;
  int64_t columns, ld;
} Widening;

HF_FOLDED void widen(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const Widening *w = context;
  for (int64_t i = first; i < last; i++) {
    float *out = w->out + i * w->columns;
    const void *in = hf_at(w->in, i * w->ld, dtype);
#pragma omp simd
    for (int64_t j = 0; j < w->columns; j++) out[j] = hf_load(in, j, dtype);
  }
}
HF_PER_FLOAT(widen)

static void widen_matrix(float *out, const void *in, int64_t rows, int64_t columns, int64_t ld, HfDtype dtype) {
  hf_parallel(rows, rows * columns, widen_of[dtype], &(Widening){out, in, columns, ld});
}

typedef struct Narrowing {
  void *out;
  const float *in;
  int64_t columns, ld;
} Narrowing;

HF_FOLDED void narrow(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const Narrowing *n = context;
  for (int64_t i = first; i < last; i++) {
    void *out = hf_at_mut(n->out, i * n->ld, dtype);
    const float *in = n->in + i * n->columns;
#pragma omp simd
    for (int64_t j = 0; j < n->columns; j++) hf_store(out, j, in[j], dtype);
  }
}
HF_PER_FLOAT(narrow)

/* Where the float32 copies of one product's operands lie in its scratch memory. */
typedef struct Copies {
  int64_t a, b, c, bias, floats;
} Copies;

static Copies copies_of(const HfMatmul *m) {
  Copies f = {.b = m->m * m->k};
  f.c = f.b + (is_few(m) ? 0 : m->k * m->n);
  f.bias = f.c + (m->float_c ? 0 : m->m * m->n);
  f.floats = f.bias + m->n;
  return f;
}

/* m with its operands in float32, at `base`; without the activation. */
static HfMatmul widened(const HfMatmul *m, const Copies *f, float *base) {
  HfMatmul w = *m;
  int64_t a_rows = m->transpose_a ? m->k : m->m, b_rows = m->transpose_b ? m->n : m->k;
  w.dtype = HF_FLOAT32, w.activation = HF_ACT_NONE, w.pre = NULL;
  w.a = base, w.lda = m->transpose_a ? m->m : m->k;
  widen_matrix(base, m->a, a_rows, w.lda, m->lda, m->dtype);
  if (is_few(m)) {
    w.b_dtype = m->dtype;
  } else {
    w.b = base + f->b, w.ldb = m->transpose_b ? m->k : m->n;
    widen_matrix(base + f->b, m->b, b_rows, w.ldb, m->ldb, m->dtype);
  }
  if (m->float_c) {
    if (m->pre && m->beta == 0) w.c = m->pre;
    return w;
  }
  w.c = base + f->c, w.ldc = m->n;
  if (m->beta != 0) widen_matrix(w.c, m->c, m->m, m->n, m->ldc, m->dtype);
  if (m->bias) widen_matrix(base + f->bias, m->bias, 1, m->n, m->n, m->dtype), w.bias = base + f->bias;
  return w;
}

static HfStatus by_float(const HfMatmul *m, HfStatus (*float_product)(const HfMatmul *m)) {
  if (m->float_c && m->pre && m->beta != 0) return HF_UNSUPPORTED;
  Copies f = copies_of(m);
  float *base = hf_scratch_new(f.floats);
  if (!base) return HF_NO_MEMORY;
  HfMatmul w = widened(m, &f, base);
  HfStatus status = float_product(&w);
  Narrowing n = {m->pre ? m->pre : m->c, w.c, m->n, m->ldc};
  if (status == HF_OK && !m->float_c) hf_parallel(m->m, m->m * m->n, narrow_of[m->dtype], &n);
  hf_scratch_free(base, f.floats);
  return status;
}

HfStatus HF_CPU(half_matmul)(const HfMatmul *m, HfStatus (*float_product)(const HfMatmul *m)) {
  if (!hf_is_float(m->dtype)) return HF_UNSUPPORTED;
  if (m->m == 0 || m->n == 0) return HF_OK;
  hf_product_library();
  for (int64_t batch = 0; batch < m->batch; batch++) {
    HfMatmul one = single(m, batch);
    HfStatus status = one.k > 0 && !is_few(&one) && by_library(&one) ? HF_OK : by_float(&one, float_product);
    if (status != HF_OK) return status;
    if (one.pre || one.activation != HF_ACT_NONE) activate(&one);
  }
  return HF_OK;
}
