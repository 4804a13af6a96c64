/* Rows and elements taken from, or added at, given positions. All indices are checked before anything is written. */
#include "element.h"
#include "layout.h"
#include <string.h>

static HfStatus check_indices(const int64_t *index, int64_t count, int64_t n, int64_t *bad) {
  for (int64_t i = 0; i < count; i++)
    if (index[i] < 0 || index[i] >= n) {
      *bad = index[i];
      return HF_BAD_INDEX;
    }
  return HF_OK;
}

/* ---- index_select */

typedef struct Select {
  char *out;
  const char *x;
  const int64_t *index;
  int64_t count, n, bytes; /* of one row */
} Select;

static void select_rows(const void *context, int64_t first, int64_t last) {
  const Select *s = context;
  for (int64_t i = first; i < last; i++) {
    int64_t from = i / s->count * s->n + s->index[i % s->count];
    memcpy(s->out + i * s->bytes, s->x + from * s->bytes, (size_t)s->bytes);
  }
}

/* Rows of one element: no call per row. */
#define DEFINE_SELECT(NAME, T) \
  static void NAME(const void *context, int64_t first, int64_t last) { \
    const Select *s = context; \
    for (int64_t i = first; i < last; i++) \
      ((T *)s->out)[i] = ((const T *)s->x)[i / s->count * s->n + s->index[i % s->count]]; \
  }
DEFINE_SELECT(select_4, uint32_t)
DEFINE_SELECT(select_8, uint64_t)

static HfStatus index_select(void *out, const void *x, size_t element, const int64_t *index, int64_t count, int64_t outer,
                             int64_t n, int64_t inner, int64_t *bad) {
  HfStatus status = check_indices(index, count, n, bad);
  if (status != HF_OK) return status;
  Select s = {out, x, index, count, n, inner * (int64_t)element};
  HfRangeFn *fn = s.bytes == 4 ? select_4 : s.bytes == 8 ? select_8 : select_rows;
  if (s.bytes > 0) hf_parallel(outer * count, outer * count * inner, fn, &s);
  return HF_OK;
}

/* ---- index_add: threads share the outer rows, or the columns of few wide ones, so that sums are made in order of j */

enum { UNIT = 16 }; /* columns */

typedef struct IndexAdd {
  float *x;
  const float *src;
  const int64_t *index;
  int64_t count, outer, n, inner;
} IndexAdd;

static void add_slices(const IndexAdd *a, int64_t o, int64_t start, int64_t end) {
  for (int64_t j = 0; j < a->count; j++) {
    float *x = a->x + (o * a->n + a->index[j]) * a->inner;
    const float *src = a->src + (o * a->count + j) * a->inner;
#pragma omp simd
    for (int64_t i = start; i < end; i++) x[i] += src[i];
  }
}

static void add_outer(const void *context, int64_t first, int64_t last) {
  const IndexAdd *a = context;
  for (int64_t o = first; o < last; o++) add_slices(a, o, 0, a->inner);
}

static void add_columns(const void *context, int64_t first, int64_t last) {
  const IndexAdd *a = context;
  for (int64_t o = 0; o < a->outer; o++) add_slices(a, o, first * UNIT, hf_min(last * UNIT, a->inner));
}

static HfStatus index_add(float *x, const float *src, const int64_t *index, int64_t count, int64_t outer, int64_t n,
                          int64_t inner, int64_t *bad) {
  HfStatus status = check_indices(index, count, n, bad);
  if (status != HF_OK) return status;
  IndexAdd a = {x, src, index, count, outer, n, inner};
  int64_t work = outer * count * inner, units = hf_ceil_div(inner, UNIT);
  if (outer >= units) hf_parallel(outer, work, add_outer, &a);
  else hf_parallel(units, work, add_columns, &a);
  return HF_OK;
}

/* ---- gather and scatter_add; operand 2 of the layout is the index */

typedef struct Gather {
  void *out;
  const void *x;
  const int64_t *index;
  int64_t x_step;
} Gather;

#define DEFINE_GATHER(NAME, T) \
  static void NAME(const HfRow *row, const void *context) { \
    const Gather *g = context; \
    T *out = (T *)g->out + row->offset[0]; \
    const T *x = (const T *)g->x + row->offset[1]; \
    const int64_t *index = g->index + row->offset[2]; \
    for (int64_t i = 0; i < row->n; i++) \
      out[i * row->step[0]] = x[i * row->step[1] + index[i * row->step[2]] * g->x_step]; \
  }
DEFINE_GATHER(gather_1, uint8_t)
DEFINE_GATHER(gather_2, uint16_t)
DEFINE_GATHER(gather_4, uint32_t)
DEFINE_GATHER(gather_8, uint64_t)

/* The first bad index of a strided walk. */
static HfStatus check_walk(const int64_t *index, const HfLayout *layout, int64_t n, int64_t *bad) {
  if (hf_layout_count(layout) == 0) return HF_OK;
  HfLayout l = *layout;
  memcpy(l.stride[0], layout->stride[2], sizeof l.stride[0]);
  l = hf_layout_collapse(&l, 1);
  int64_t rows = hf_layout_count(&l) / l.shape[l.ndim - 1], position[HF_MAX_DIMS], start[4];
  hf_layout_seek(&l, 1, 0, position, start);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < l.shape[l.ndim - 1]; i++) {
      int64_t at = index[start[0] + i * l.stride[0][l.ndim - 1]];
      if (at >= 0 && at < n) continue;
      *bad = at;
      return HF_BAD_INDEX;
    }
    hf_layout_next_row(&l, 1, position, start);
  }
  return HF_OK;
}

static HfStatus gather(void *out, const void *x, size_t element, const int64_t *index, const HfLayout *layout, int64_t n,
                       int64_t x_step, int64_t *bad) {
  static HfRowFn *const rows[9] = {[1] = gather_1, [2] = gather_2, [4] = gather_4, [8] = gather_8};
  if (element > 8 || !rows[element]) return HF_UNSUPPORTED;
  HfStatus status = check_walk(index, layout, n, bad);
  if (status != HF_OK) return status;
  Gather g = {out, x, index, x_step};
  hf_layout_walk(layout, 3, rows[element], &g);
  return HF_OK;
}

static void scatter_row(const HfRow *row, const void *context) {
  const Gather *g = context;
  float *x = (float *)g->out + row->offset[0];
  const float *src = (const float *)g->x + row->offset[1];
  const int64_t *index = g->index + row->offset[2];
  for (int64_t i = 0; i < row->n; i++)
    x[i * row->step[0] + index[i * row->step[2]] * g->x_step] += src[i * row->step[1]];
}

/* On one thread: different elements may add to one place, and the order of the sums is fixed. */
static HfStatus scatter_add(float *x, const float *src, const int64_t *index, const HfLayout *layout, int64_t n,
                            int64_t x_step, int64_t *bad) {
  HfStatus status = check_walk(index, layout, n, bad);
  if (status != HF_OK) return status;
  Gather g = {x, src, index, x_step};
  hf_layout_walk_serial(layout, 3, scatter_row, &g);
  return HF_OK;
}

void HF_CPU(fill_index)(HfKernels *k) {
  k->index_select = index_select;
  k->index_add = index_add;
  k->gather = gather;
  k->scatter_add = scatter_add;
}
