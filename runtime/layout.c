/* Layouts of operands walked together. */
#include "layout.h"
#include <stdio.h>

/* Operand k's step in dim d of the common shape; false when it neither matches nor broadcasts. */
static bool operand_stride(const HfTensor *t, int ndim, const int64_t *shape, int d, int64_t *stride) {
  int own = d - (ndim - t->ndim);
  if (own < 0 || (t->shape[own] == 1 && shape[d] != 1)) return *stride = 0, true;
  *stride = t->stride[own];
  return t->shape[own] == shape[d];
}

/* Can dim d of the layout be merged into the one before it? */
static bool continues(const HfLayout *l, int d, int count) {
  for (int k = 0; k < count; k++)
    if (l->stride[k][d - 1] != l->stride[k][d] * l->shape[d]) return false;
  return true;
}

static void merge(HfLayout *l, int count) {
  int n = 0;
  for (int d = 0; d < l->ndim; d++) {
    if (l->shape[d] == 1) continue;
    l->shape[n] = l->shape[d];
    for (int k = 0; k < count; k++) l->stride[k][n] = l->stride[k][d];
    if (n && continues(l, n, count)) {
      l->shape[n - 1] *= l->shape[n];
      for (int k = 0; k < count; k++) l->stride[k][n - 1] = l->stride[k][n];
    } else {
      n++;
    }
  }
  l->ndim = n;
}

bool hf_layout_make(HfLayout *layout, const char *op, int ndim, const int64_t *shape,
                    const HfTensor *const *operands, int count, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  *layout = (HfLayout){.ndim = ndim};
  for (int k = 0; k < count; k++) {
    bool fits = operands[k]->ndim <= ndim;
    for (int d = 0; d < ndim && fits; d++) {
      layout->shape[d] = shape[d];
      fits = operand_stride(operands[k], ndim, shape, d, &layout->stride[k][d]);
    }
    if (!fits)
      return hf_error_set(err, "%s: %s does not broadcast to %s", op, hf_tensor_describe(operands[k], a),
                          hf_shape_describe(ndim, shape, b));
  }
  merge(layout, count);
  return true;
}

void hf_split_at(const HfTensor *t, int64_t dim, int64_t *outer, int64_t *n, int64_t *inner) {
  *outer = *inner = 1;
  for (int d = 0; d < dim; d++) *outer *= t->shape[d];
  for (int d = (int)dim + 1; d < t->ndim; d++) *inner *= t->shape[d];
  *n = t->ndim ? t->shape[dim] : 1;
}
