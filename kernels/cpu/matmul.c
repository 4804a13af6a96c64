/* Products: by the library of product_library.c where there is one, else by product.c; then bias and activation. Those of 16-bit
 * operands are in matmul_half.c. */
#include "product_library.h"
#include "product_own.h"

/* Bias, `pre` and activation of one product that a library made. */
static void finish(const HfMatmul *m, float *c, float *pre) {
  if (!m->bias && !pre && m->activation == HF_ACT_NONE) return;
#pragma omp parallel for schedule(static) if (m->m * m->n >= HF_PARALLEL_MINIMUM)
  for (int64_t i = 0; i < m->m; i++)
    HF_CPU(epilogue)(c + i * m->ldc, pre ? pre + i * m->ldc : NULL, m->ldc, 1, m->n, m->bias, m->activation);
}

/* c = beta * c: what a product with k == 0 leaves. */
static void scale_matrix(const HfMatmul *m, float *c) {
  for (int64_t i = 0; i < m->m; i++)
    for (int64_t j = 0; j < m->n; j++) c[i * m->ldc + j] = m->beta == 0 ? 0 : m->beta * c[i * m->ldc + j];
}

/* Product number `batch` of m, alone. */
static HfMatmul single(const HfMatmul *m, int64_t batch) {
  HfMatmul one = *m;
  one.batch = 1;
  one.a = (const float *)m->a + batch * m->stride_a;
  one.b = (const float *)m->b + batch * m->stride_b;
  one.c = (float *)m->c + batch * m->stride_c;
  one.pre = m->pre ? (float *)m->pre + batch * m->stride_c : NULL;
  return one;
}

static HfStatus library_matmul(const HfMatmul *m, const HfProductLibrary *library) {
  for (int64_t batch = 0; batch < m->batch; batch++) {
    HfMatmul one = single(m, batch);
    if (one.k == 0) scale_matrix(&one, one.c);
    else if (!library->product(&one)) return HF_UNSUPPORTED;
    finish(&one, one.c, one.pre);
  }
  return HF_OK;
}

static HfStatus float_matmul(const HfMatmul *m) {
  if (m->m == 0 || m->n == 0 || HF_CPU(product_small)(m)) return HF_OK;
  if (m->b_dtype != HF_FLOAT32) return HF_UNSUPPORTED;
  const HfProductLibrary *library = hf_product_library();
  if (library->product || m->k == 0) return library_matmul(m, library);
  return HF_CPU(product)(m);
}

static HfStatus matmul(const HfMatmul *m) { return m->dtype == HF_FLOAT32 ? float_matmul(m) : HF_CPU(half_matmul)(m, float_matmul); }

void HF_CPU(fill_matmul)(HfKernels *k) { k->matmul = matmul; }
