/* Embedding: rows looked up in one or several tables and summed, and the gradient's scatter into a table. */
#include "element.h"
#include <string.h>

typedef struct Embedding {
  void *out;
  const void *const *table;
  const int64_t *const *ids;
  int tables;
  int64_t C;
} Embedding;

HF_FOLDED void add_table_row(void *out, const void *row, int64_t C, HfDtype dtype) {
#pragma omp simd
  for (int64_t i = 0; i < C; i++) hf_store(out, i, hf_load(out, i, dtype) + hf_load(row, i, dtype), dtype);
}

HF_FOLDED void look_up_rows(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const Embedding *e = context;
  for (int64_t row = first; row < last; row++) {
    void *out = hf_at_mut(e->out, row * e->C, dtype);
    memcpy(out, hf_at(e->table[0], e->ids[0][row] * e->C, dtype), (size_t)e->C * (dtype == HF_FLOAT32 ? 4 : 2));
    for (int t = 1; t < e->tables; t++) add_table_row(out, hf_at(e->table[t], e->ids[t][row] * e->C, dtype), e->C, dtype);
  }
}
HF_PER_FLOAT(look_up_rows)

static HfStatus embedding(void *out, const void *const *table, const int64_t *const *ids, const int64_t *rows, int tables,
                          HfDtype dtype, int64_t N, int64_t C, int64_t *bad) {
  if (!hf_is_float(dtype) || tables < 1) return HF_UNSUPPORTED;
  for (int t = 0; t < tables; t++)
    for (int64_t i = 0; i < N; i++)
      if (ids[t][i] < 0 || ids[t][i] >= rows[t]) {
        *bad = ids[t][i];
        return HF_BAD_INDEX;
      }
  Embedding e = {out, table, ids, tables, C};
  hf_parallel(N, N * C * tables, look_up_rows_of[dtype], &e);
  return HF_OK;
}

/* ---- backward: threads share the columns, in units of a cache line, so that every sum is made in order of i */

enum { UNIT = 16 };

typedef struct EmbeddingBackward {
  float *dtable;
  const void *dout;
  const int64_t *ids;
  int64_t N, C, rows, skip;
} EmbeddingBackward;

HF_FOLDED void add_columns(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const EmbeddingBackward *e = context;
  int64_t start = first * UNIT, n = hf_min(last * UNIT, e->C) - start;
  for (int64_t row = 0; row < e->N; row++) {
    int64_t id = e->ids[row];
    if (id == e->skip || id < 0 || id >= e->rows) continue; /* the forward refused ids outside the table */
    float *sum = e->dtable + id * e->C + start;
    const void *dout = hf_at(e->dout, row * e->C + start, dtype);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) sum[i] += hf_load(dout, i, dtype);
  }
}
HF_PER_FLOAT(add_columns)

static HfStatus embedding_backward(float *dtable, const void *dout, const int64_t *ids, HfDtype dtype, int64_t N, int64_t C,
                                   int64_t rows, int64_t skip) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  EmbeddingBackward e = {dtable, dout, ids, N, C, rows, skip};
  hf_parallel(hf_ceil_div(C, UNIT), N * C, add_columns_of[dtype], &e);
  return HF_OK;
}

void HF_CPU(fill_embedding)(HfKernels *k) {
  k->embedding = embedding;
  k->embedding_backward = embedding_backward;
}
