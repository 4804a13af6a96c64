/* What the files of operations share: ending an operation, fresh results, conversions around a kernel. */
#include "ops_internal.h"

HfTensor *hf_recorded(HfTensor *out, HfStatus status, const HfRecord *r, HfError *err) {
  if (!out) return NULL;
  if (!hf_check(status, r->operation->name, out, err) || !hf_tape_record(&out, 1, r, err))
    return hf_tensor_release(out), NULL;
  return out;
}

HfTensor *hf_empty_as(const HfTensor *t, HfDtype dtype, int ndim, const int64_t *shape, HfError *err) {
  return hf_tensor_empty(dtype, ndim, shape, hf_tensor_device(t), err);
}

HfTensor *hf_empty_like(const HfTensor *t, HfError *err) {
  return hf_empty_as(t, t->dtype, t->ndim, t->shape, err);
}

HfTensor *hf_zeros_edge(const HfNode *node, int i, HfError *err) {
  const HfEdge *e = &node->edge[i];
  return hf_tensor_zeros(HF_FLOAT32, e->ndim, e->shape, e->device, err);
}

HfTensor *hf_scalar_like(const HfTensor *t, HfDtype dtype, double value, HfError *err) {
  return t ? hf_tensor_full(dtype, 0, NULL, value, hf_tensor_device(t), err) : NULL;
}

HfTensor *hf_contiguous_as(HfTensor *x, HfDtype dtype, HfError *err) {
  HfTensor *f = hf_cast(x, dtype, err);
  return hf_then(f, hf_contiguous(f, err));
}

HfTensor *hf_float_contiguous(HfTensor *x, HfError *err) { return hf_contiguous_as(x, HF_FLOAT32, err); }

HfTensor *hf_sum_to(HfTensor *x, int ndim, const int64_t *shape, HfError *err) {
  int64_t dims[HF_MAX_DIMS];
  int count = 0;
  if (!x) return NULL;
  for (int d = 0; d < x->ndim; d++) {
    int own = d - (x->ndim - ndim);
    if (own < 0 || (shape[own] == 1 && x->shape[d] != 1)) dims[count++] = d;
  }
  if (!count) return hf_tensor_retain(x), x;
  HfTensor *sum = hf_reduce(x, HF_SUM, count, dims, true, err);
  return hf_then(sum, hf_reshape(sum, ndim, shape, err));
}

HfTensor *hf_back_to(HfTensor *y, HfDtype dtype, HfError *err) { return hf_then(y, hf_cast(y, dtype, err)); }

bool hf_same_device(const char *op, const HfTensor *a, const HfTensor *b, HfError *err) {
  char x[HF_DESCRIPTION_SIZE], y[HF_DESCRIPTION_SIZE];
  if (hf_tensor_device(a) == hf_tensor_device(b)) return true;
  return hf_error_set(err, "%s: operands are on different devices: %s and %s; use to(device)", op,
                      hf_tensor_describe(a, x), hf_tensor_describe(b, y));
}

bool hf_expect_dtype(const char *op, const char *what, const HfTensor *t, HfDtype dtype, HfError *err) {
  char text[HF_DESCRIPTION_SIZE];
  if (t->dtype == dtype) return true;
  return hf_error_set(err, "%s: %s: expected %s, found %s", op, what, hf_dtype_name(dtype),
                      hf_tensor_describe(t, text));
}
