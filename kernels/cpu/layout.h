/* Walks of an HfLayout: dims are merged where every operand allows it, then the operands are visited row by row (a
 * row runs along the innermost dim), the rows shared between threads. */
#ifndef HF_CPU_LAYOUT_H
#define HF_CPU_LAYOUT_H
#include "parallel.h"

#define HF_ROW_PIECE 16384 /* longer rows are cut, so that one long row uses all threads */

static inline int64_t hf_layout_count(const HfLayout *l) {
  int64_t count = 1;
  for (int d = 0; d < l->ndim; d++) count *= l->shape[d];
  return count;
}

static inline void hf_layout_push(HfLayout *to, const HfLayout *from, int d, int operands) {
  to->shape[to->ndim] = from->shape[d];
  for (int k = 0; k < operands; k++) to->stride[k][to->ndim] = from->stride[k][d];
  to->ndim++;
}

/* Can dim d of `from` continue the last dim of `to`: one step of the outer is a whole run of the inner? */
static inline bool hf_layout_joins(const HfLayout *to, const HfLayout *from, int d, int operands) {
  for (int k = 0; k < operands; k++)
    if (to->stride[k][to->ndim - 1] != from->stride[k][d] * from->shape[d]) return false;
  return true;
}

/* The same walk with as few dims as possible, at least one. */
static inline HfLayout hf_layout_collapse(const HfLayout *l, int operands) {
  HfLayout out = {0};
  for (int d = 0; d < l->ndim; d++) {
    if (l->shape[d] == 1) continue;
    if (out.ndim > 0 && hf_layout_joins(&out, l, d, operands)) {
      int last = out.ndim - 1;
      out.shape[last] *= l->shape[d];
      for (int k = 0; k < operands; k++) out.stride[k][last] = l->stride[k][d];
    } else {
      hf_layout_push(&out, l, d, operands);
    }
  }
  if (out.ndim == 0) {
    out.ndim = 1, out.shape[0] = 1;
    for (int k = 0; k < operands; k++) out.stride[k][0] = 1;
  }
  return out;
}

/* A piece of a row: operand k begins at element offset[k] and goes on in steps of step[k]. */
typedef struct HfRow {
  int64_t n, offset[4], step[4];
} HfRow;
typedef void HfRowFn(const HfRow *row, const void *context);

typedef struct HfWalk {
  const HfLayout *layout; /* collapsed */
  int operands;
  int64_t pieces; /* of each row */
  HfRowFn *fn;
  const void *context;
} HfWalk;

/* Offsets of row number `row`, counted over the outer dims. */
static inline void hf_layout_seek(const HfLayout *l, int operands, int64_t row, int64_t *index, int64_t *offset) {
  for (int k = 0; k < operands; k++) offset[k] = 0;
  for (int d = l->ndim - 2; d >= 0; d--) {
    index[d] = row % l->shape[d];
    row /= l->shape[d];
    for (int k = 0; k < operands; k++) offset[k] += index[d] * l->stride[k][d];
  }
}

static inline void hf_layout_next_row(const HfLayout *l, int operands, int64_t *index, int64_t *offset) {
  for (int d = l->ndim - 2; d >= 0; d--) {
    for (int k = 0; k < operands; k++) offset[k] += l->stride[k][d];
    if (++index[d] < l->shape[d]) return;
    for (int k = 0; k < operands; k++) offset[k] -= l->stride[k][d] * l->shape[d];
    index[d] = 0;
  }
}

/* Pieces first .. last-1, counted over all rows. */
static inline void hf_walk_pieces(const void *context, int64_t first, int64_t last) {
  const HfWalk *w = context;
  const HfLayout *l = w->layout;
  int64_t n = l->shape[l->ndim - 1], index[HF_MAX_DIMS], start[4];
  hf_layout_seek(l, w->operands, first / w->pieces, index, start);
  int64_t piece = first % w->pieces;
  for (int64_t t = first; t < last; t++) {
    HfRow row;
    int64_t at = piece * HF_ROW_PIECE;
    row.n = hf_min(n - at, HF_ROW_PIECE);
    for (int k = 0; k < w->operands; k++) {
      row.step[k] = l->stride[k][l->ndim - 1];
      row.offset[k] = start[k] + at * row.step[k];
    }
    w->fn(&row, w->context);
    if (++piece == w->pieces) {
      piece = 0;
      hf_layout_next_row(l, w->operands, index, start);
    }
  }
}

/* Calls fn for every piece of every row of `operands` operands, in any order, on all threads. */
static inline void hf_layout_walk(const HfLayout *layout, int operands, HfRowFn *fn, const void *context) {
  int64_t count = hf_layout_count(layout);
  if (count == 0) return;
  HfLayout l = hf_layout_collapse(layout, operands);
  int64_t n = l.shape[l.ndim - 1];
  HfWalk walk = {&l, operands, hf_ceil_div(n, HF_ROW_PIECE), fn, context};
  hf_parallel(count / n * walk.pieces, count, hf_walk_pieces, &walk);
}

/* The same in row-major order on the calling thread. */
static inline void hf_layout_walk_serial(const HfLayout *layout, int operands, HfRowFn *fn, const void *context) {
  int64_t count = hf_layout_count(layout);
  if (count == 0) return;
  HfLayout l = hf_layout_collapse(layout, operands);
  HfWalk walk = {&l, operands, hf_ceil_div(l.shape[l.ndim - 1], HF_ROW_PIECE), fn, context};
  hf_walk_pieces(&walk, 0, count / l.shape[l.ndim - 1] * walk.pieces);
}

#endif
