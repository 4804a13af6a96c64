/* Products of the emulation: plain loops over float copies of the operands. */
#include "../product.h"
#include "../element.h"
#include <stdio.h>
#include <stdlib.h>

static float load(const void *x, int64_t i, HfDtype dtype) {
  if (dtype == HF_FLOAT32) return ((const float *)x)[i];
  return dtype == HF_FLOAT16 ? hf_get(((const HfHalf *)x)[i]) : hf_get(((const HfBfloat *)x)[i]);
}
static void store(void *x, int64_t i, float value, HfDtype dtype) {
  if (dtype == HF_FLOAT32) ((float *)x)[i] = value;
  else if (dtype == HF_FLOAT16) ((HfHalf *)x)[i] = hf_put<HfHalf>(value);
  else ((HfBfloat *)x)[i] = hf_put<HfBfloat>(value);
}

/* (rows, columns) floats of a stored matrix, turned when it is transposed; NULL without memory. */
static float *unpack(const void *x, int64_t first, int64_t rows, int64_t columns, int64_t ld, bool transposed, HfDtype dtype) {
  float *out = (float *)malloc((size_t)(rows * columns) * sizeof *out);
  for (int64_t r = 0; out && r < rows; r++)
    for (int64_t c = 0; c < columns; c++) out[r * columns + c] = load(x, first + (transposed ? c * ld + r : r * ld + c), dtype);
  return out;
}

static bool multiply(const HfMatmul *m, int64_t batch) {
  float *a = unpack(m->a, batch * m->stride_a, m->m, m->k, m->lda, m->transpose_a, m->dtype);
  float *b = unpack(m->b, batch * m->stride_b, m->k, m->n, m->ldb, m->transpose_b, m->dtype);
  float *row = (float *)malloc((size_t)m->n * sizeof *row);
  bool ok = a && b && row;
  for (int64_t i = 0; i < m->m && ok; i++) {
    for (int64_t j = 0; j < m->n; j++) row[j] = 0;
    for (int64_t p = 0; p < m->k; p++)
      for (int64_t j = 0; j < m->n; j++) row[j] += a[i * m->k + p] * b[p * m->n + j];
    for (int64_t j = 0; j < m->n; j++) {
      int64_t at = batch * m->stride_c + i * m->ldc + j;
      store(m->c, at, m->alpha * row[j] + (m->beta == 0 ? 0 : m->beta * load(m->c, at, hf_result_dtype(m))), hf_result_dtype(m));
    }
  }
  free(a), free(b), free(row);
  return ok;
}

HfStatus hf_cuda_product(const HfMatmul *given, HfProductDone *) {
  hf_emulated_submit(hf_cuda_stream(), [m = *given] {
    hf_emulated_check_pointer(m.a, "product"), hf_emulated_check_pointer(m.b, "product"), hf_emulated_check_pointer(m.c, "product");
    HfDeviceAccess access;
    for (int64_t i = 0; i < m.batch; i++)
      if (!multiply(&m, i)) perror("emulation: product"), abort();
  });
  return HF_OK;
}
