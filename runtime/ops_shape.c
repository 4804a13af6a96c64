/* Operations on shapes. Views share the storage; the rest copy. */
#include "ops_internal.h"
#include <inttypes.h>

/* ---- views: one record for all; each has its own way back */

typedef struct ViewContext {
  int64_t a, b, c, dims[HF_MAX_DIMS];
  int count;
} ViewContext;

static HfTensor *view_of(HfTensor *x, int64_t offset, int ndim, const int64_t *shape, const int64_t *stride,
                         const HfOperation *operation, const ViewContext *context, HfError *err) {
  HfTensor *v = hf_tensor_view(x, offset, ndim, shape, stride, err);
  return hf_recorded(
      v, HF_OK,
      &(HfRecord){operation, HF_INPUTS(x), .context = context, .context_size = context ? sizeof *context : 0},
      err);
}

static bool reshape_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  return (dinp[0] = hf_reshape(dout[0], node->edge[0].ndim, node->edge[0].shape, err)) != NULL;
}
static const HfOperation view_operation = {"view", reshape_backward, NULL};

/* Strides that give `shape` over t's elements without moving them; false when there are none. Walks both
 * shapes from the last dim, matching groups of equal element counts. */
static bool strides_for(const HfTensor *t, int ndim, const int64_t *shape, int64_t *stride) {
  int64_t packed_shape[HF_MAX_DIMS], packed_stride[HF_MAX_DIMS];
  int n = 0;
  for (int d = 0; d < t->ndim; d++) {
    if (t->shape[d] == 1) continue;
    if (n && packed_stride[n - 1] == t->shape[d] * t->stride[d])
      packed_shape[n - 1] *= t->shape[d], packed_stride[n - 1] = t->stride[d];
    else
      packed_shape[n] = t->shape[d], packed_stride[n++] = t->stride[d];
  }
  int64_t left = n ? packed_shape[--n] : 1, step = n || left > 1 ? packed_stride[n] : 1;
  for (int d = ndim - 1; d >= 0; d--) {
    stride[d] = step;
    if (shape[d] == 1) continue;
    if (left == 1 && n) left = packed_shape[--n], stride[d] = step = packed_stride[n];
    if (left % shape[d]) return false;
    left /= shape[d];
    step *= shape[d];
  }
  return left == 1 && n == 0;
}

/* Replaces one -1 by what is left; checks the element count. */
static bool complete_shape(const char *op, const HfTensor *x, int ndim, const int64_t *shape, int64_t *out,
                           HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  int64_t n = hf_tensor_numel(x), known = 1;
  int open = -1;
  if (ndim > HF_MAX_DIMS) return hf_error_set(err, "%s: at most %d dims, found %d", op, HF_MAX_DIMS, ndim);
  for (int d = 0; d < ndim; d++) {
    out[d] = shape[d];
    if (shape[d] == -1 && open < 0)
      open = d;
    else if (shape[d] < 0 || __builtin_mul_overflow(known, shape[d], &known))
      return hf_error_set(err, "%s: invalid shape %s for %s", op, hf_shape_describe(ndim, shape, a),
                          hf_tensor_describe(x, b));
  }
  if (open >= 0 && known > 0 && n % known == 0) out[open] = n / known, known = n;
  if (known != n || (open >= 0 && out[open] < 0))
    return hf_error_set(err, "%s: %s has %" PRId64 " elements, which do not fill shape %s", op,
                        hf_tensor_describe(x, b), n, hf_shape_describe(ndim, shape, a));
  return true;
}

static HfTensor *reshaped(const char *op, HfTensor *x, int ndim, const int64_t *shape, bool may_copy,
                          HfError *err) {
  int64_t full[HF_MAX_DIMS], stride[HF_MAX_DIMS];
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (!x || !complete_shape(op, x, ndim, shape, full, err)) return NULL;
  if (hf_tensor_numel(x) == 0 || strides_for(x, ndim, full, stride)) {
    if (hf_tensor_numel(x) == 0) memset(stride, 0, sizeof stride);
    return view_of(x, x->offset, ndim, full, stride, &view_operation, NULL, err);
  }
  if (!may_copy)
    return hf_error_set(err, "%s: %s cannot be seen as %s without a copy; use reshape", op,
                        hf_tensor_describe(x, a), hf_shape_describe(ndim, full, b)),
           NULL;
  HfTensor *c = hf_contiguous(x, err);
  return hf_then(c, reshaped(op, c, ndim, full, false, err));
}

HfTensor *hf_reshape(HfTensor *x, int ndim, const int64_t *shape, HfError *err) {
  return reshaped("reshape", x, ndim, shape, true, err);
}
HfTensor *hf_view(HfTensor *x, int ndim, const int64_t *shape, HfError *err) {
  return reshaped("view", x, ndim, shape, false, err);
}

HfTensor *hf_flatten(HfTensor *x, int64_t start, int64_t end, HfError *err) {
  if (!x || !hf_check_dim("flatten", &start, x->ndim, err) || !hf_check_dim("flatten", &end, x->ndim, err))
    return NULL;
  if (start > end)
    return hf_error_set(err, "flatten: start_dim %" PRId64 " lies behind end_dim %" PRId64, start, end), NULL;
  int64_t shape[HF_MAX_DIMS] = {1};
  int n = 0;
  for (int d = 0; d < x->ndim; d++) {
    if (d > start && d <= end)
      shape[n - 1] *= x->shape[d];
    else
      shape[n++] = x->shape[d];
  }
  return hf_reshape(x, n ? n : 1, shape, err);
}

HfTensor *hf_unsqueeze(HfTensor *x, int64_t dim, HfError *err) {
  int64_t shape[HF_MAX_DIMS + 1];
  if (!x || !hf_check_dim("unsqueeze", &dim, x->ndim + 1, err)) return NULL;
  for (int d = 0, n = 0; d <= x->ndim; d++) shape[d] = d == dim ? 1 : x->shape[n++];
  return hf_reshape(x, x->ndim + 1, shape, err);
}

HfTensor *hf_squeeze(HfTensor *x, const int64_t *dim, HfError *err) {
  int64_t shape[HF_MAX_DIMS], only = dim ? *dim : 0;
  int n = 0;
  if (!x || (dim && !hf_check_dim("squeeze", &only, x->ndim, err))) return NULL;
  for (int d = 0; d < x->ndim; d++)
    if (x->shape[d] != 1 || (dim && d != only)) shape[n++] = x->shape[d];
  return hf_reshape(x, n, shape, err);
}

/* ---- permute: back by the inverse permutation */

static bool permute_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  ViewContext *c = node->context;
  int64_t inverse[HF_MAX_DIMS];
  for (int d = 0; d < c->count; d++) inverse[c->dims[d]] = d;
  return (dinp[0] = hf_permute(dout[0], c->count, inverse, err)) != NULL;
}
static const HfOperation permute_operation = {"permute", permute_backward, NULL};

HfTensor *hf_permute(HfTensor *x, int ndim, const int64_t *dims, HfError *err) {
  int64_t shape[HF_MAX_DIMS], stride[HF_MAX_DIMS];
  ViewContext context = {.count = ndim};
  bool seen[HF_MAX_DIMS] = {false};
  if (!x) return NULL;
  if (ndim != x->ndim) return hf_error_set(err, "permute: expected %d dims, found %d", x->ndim, ndim), NULL;
  for (int d = 0; d < ndim; d++) {
    int64_t from = dims[d];
    if (!hf_check_dim("permute", &from, ndim, err)) return NULL;
    if (seen[from]) return hf_error_set(err, "permute: dim %" PRId64 " is named twice", from), NULL;
    seen[from] = true;
    context.dims[d] = from, shape[d] = x->shape[from], stride[d] = x->stride[from];
  }
  return view_of(x, x->offset, ndim, shape, stride, &permute_operation, &context, err);
}

HfTensor *hf_transpose(HfTensor *x, int64_t a, int64_t b, HfError *err) {
  int64_t dims[HF_MAX_DIMS];
  if (!x || !hf_check_dim("transpose", &a, x->ndim, err) || !hf_check_dim("transpose", &b, x->ndim, err))
    return NULL;
  for (int d = 0; d < x->ndim; d++) dims[d] = d;
  if (x->ndim) dims[a] = b, dims[b] = a;
  return hf_permute(x, x->ndim, dims, err);
}

/* ---- expand: back by summing */

static bool expand_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  return (dinp[0] = hf_sum_to_edge(dout[0], &node->edge[0], err)) != NULL;
}
static const HfOperation expand_operation = {"expand", expand_backward, NULL};

HfTensor *hf_expand(HfTensor *x, int ndim, const int64_t *sizes, HfError *err) {
  int64_t shape[HF_MAX_DIMS], stride[HF_MAX_DIMS];
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (!x) return NULL;
  bool ok = ndim >= x->ndim && ndim <= HF_MAX_DIMS;
  for (int d = 0; d < ndim && ok; d++) {
    int own = d - (ndim - x->ndim);
    int64_t size = own < 0 ? 1 : x->shape[own];
    shape[d] = sizes[d] == -1 && own >= 0 ? size : sizes[d];
    stride[d] = own < 0 || (size == 1 && shape[d] != 1) ? 0 : x->stride[own];
    ok = shape[d] >= 0 && (size == shape[d] || size == 1);
  }
  if (!ok)
    return hf_error_set(err, "expand: %s does not broadcast to %s", hf_tensor_describe(x, a),
                        hf_shape_describe(ndim, sizes, b)),
           NULL;
  int64_t count = 1;
  for (int d = 0; d < ndim; d++)
    if (__builtin_mul_overflow(count, shape[d], &count))
      return hf_error_set(err, "expand: shape %s has too many elements", hf_shape_describe(ndim, shape, a)),
             NULL;
  return view_of(x, x->offset, ndim, shape, stride, &expand_operation, NULL, err);
}

/* ---- slice and select: back by writing into zeros */

static bool slice_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  ViewContext *c = node->context;
  HfTensor *dx = hf_zeros_edge(node, 0, err);
  HfTensor *part = hf_slice(dx, c->dims[0], c->a, c->b, c->c, err);
  bool ok = part && hf_tensor_copy_(part, dout[0], err);
  hf_tensor_release(part);
  if (!ok) dx = hf_then(dx, NULL);
  return (dinp[0] = dx) != NULL;
}
static const HfOperation slice_operation = {"slice", slice_backward, NULL};

HfTensor *hf_slice(HfTensor *x, int64_t dim, int64_t start, int64_t stop, int64_t step, HfError *err) {
  if (!x || !hf_check_dim("slice", &dim, x->ndim, err)) return NULL;
  if (!x->ndim) return hf_error_set(err, "slice: a 0-dim tensor has nothing to cut"), NULL;
  if (step < 1) return hf_error_set(err, "slice: step must be 1 or more, found %" PRId64, step), NULL;
  if (start < 0 || start > x->shape[dim] || stop > x->shape[dim])
    return hf_error_set(err,
                        "slice: %" PRId64 " .. %" PRId64 " lies outside dim %" PRId64 " of size %" PRId64,
                        start, stop, dim, x->shape[dim]),
           NULL;
  int64_t shape[HF_MAX_DIMS], stride[HF_MAX_DIMS];
  memcpy(shape, x->shape, sizeof shape), memcpy(stride, x->stride, sizeof stride);
  shape[dim] = stop > start ? (stop - start + step - 1) / step : 0;
  stride[dim] *= step;
  ViewContext context = {.a = start, .b = stop, .c = step, .dims = {dim}};
  return view_of(x, x->offset + start * x->stride[dim], x->ndim, shape, stride, &slice_operation, &context,
                 err);
}

HfTensor *hf_select(HfTensor *x, int64_t dim, int64_t index, HfError *err) {
  if (!x || !hf_check_dim("select", &dim, x->ndim, err)) return NULL;
  int64_t size = x->ndim ? x->shape[dim] : 0, at = index < 0 ? index + size : index;
  if (at < 0 || at >= size)
    return hf_error_set(err, "select: index %" PRId64 " is out of range for dim %" PRId64 " of size %" PRId64,
                        index, dim, size),
           NULL;
  HfTensor *row = hf_slice(x, dim, at, at + 1, 1, err);
  return hf_then(row, hf_squeeze(row, &dim, err));
}

/* ---- flip: negative steps are kept out of tensors, so it copies through a layout of its own */

static HfTensor *flipped(HfTensor *x, int count, const int64_t *dims, HfStatus *status, HfError *err) {
  HfLayout layout = {.ndim = x->ndim};
  HfTensor *out = hf_empty_like(x, err);
  int64_t start = 0;
  for (int d = 0; d < x->ndim; d++)
    layout.shape[d] = x->shape[d], layout.stride[0][d] = out ? out->stride[d] : 0,
    layout.stride[1][d] = x->stride[d];
  for (int i = 0; i < count; i++) {
    start += (x->shape[dims[i]] - 1) * x->stride[dims[i]];
    layout.stride[1][dims[i]] *= -1;
  }
  const char *from = (const char *)hf_tensor_data(x) + start * (int64_t)hf_dtype_size(x->dtype);
  *status = out && hf_tensor_numel(x)
                ? hf_tensor_kernels(x)->cast(hf_tensor_data(out), x->dtype, from, x->dtype, &layout)
                : HF_OK;
  return out;
}

static bool flip_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  ViewContext *c = node->context;
  return (dinp[0] = hf_flip(dout[0], c->count, c->dims, err)) != NULL;
}
static const HfOperation flip_operation = {"flip", flip_backward, NULL};

HfTensor *hf_flip(HfTensor *x, int count, const int64_t *dims, HfError *err) {
  ViewContext context = {.count = count};
  HfStatus status;
  bool seen[HF_MAX_DIMS] = {false};
  if (!x) return NULL;
  if (count > x->ndim)
    return hf_error_set(err, "flip: expected at most %d dims, found %d", x->ndim, count), NULL;
  for (int i = 0; i < count; i++) {
    context.dims[i] = dims[i];
    if (!hf_check_dim("flip", &context.dims[i], x->ndim, err)) return NULL;
    if (seen[context.dims[i]])
      return hf_error_set(err, "flip: dim %" PRId64 " is named twice", dims[i]), NULL;
    seen[context.dims[i]] = true;
  }
  HfTensor *out = flipped(x, count, context.dims, &status, err);
  return hf_recorded(out, status, &(HfRecord){&flip_operation, HF_INPUTS(x), HF_CONTEXT(context)}, err);
}

/* ---- cat: back by slicing */

static bool cat_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  int64_t dim = *(int64_t *)node->context, at = 0;
  for (int i = 0; i < node->inputs; i++) {
    int64_t size = node->edge[i].shape[dim];
    if (node->wants[i] && !(dinp[i] = hf_slice(dout[0], dim, at, at + size, 1, err))) return false;
    at += size;
  }
  return true;
}
static const HfOperation cat_operation = {"cat", cat_backward, NULL};

static bool check_cat(HfTensor *const *x, int count, int64_t dim, int64_t *total, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  *total = 0;
  for (int i = 0; i < count; i++) {
    bool fits = x[i]->ndim == x[0]->ndim && x[i]->dtype == x[0]->dtype;
    for (int d = 0; d < x[0]->ndim && fits; d++) fits = d == dim || x[i]->shape[d] == x[0]->shape[d];
    if (!fits)
      return hf_error_set(err, "cat: tensor %d is %s, which does not continue %s along dim %" PRId64, i + 1,
                          hf_tensor_describe(x[i], a), hf_tensor_describe(x[0], b), dim);
    if (!hf_same_device("cat", x[0], x[i], err)) return false;
    *total += x[i]->shape[dim];
  }
  return true;
}

HfTensor *hf_cat(HfTensor *const *x, int count, int64_t dim, HfError *err) {
  int64_t shape[HF_MAX_DIMS], total, at = 0;
  if (!count) return hf_error_set(err, "cat: expected at least one tensor"), NULL;
  for (int i = 0; i < count; i++)
    if (!x[i]) return NULL;
  if (!x[0]->ndim) return hf_error_set(err, "cat: 0-dim tensors cannot be joined; use stack"), NULL;
  if (!hf_check_dim("cat", &dim, x[0]->ndim, err) || !check_cat(x, count, dim, &total, err)) return NULL;
  memcpy(shape, x[0]->shape, sizeof shape);
  shape[dim] = total;
  HfTensor *out = hf_empty_as(x[0], x[0]->dtype, x[0]->ndim, shape, err);
  for (int i = 0; i < count && out; i++) {
    HfTensor *part = hf_slice(out, dim, at, at + x[i]->shape[dim], 1, err);
    if (!part || !hf_tensor_copy_(part, x[i], err)) out = hf_then(out, NULL);
    hf_tensor_release(part);
    at += x[i]->shape[dim];
  }
  return hf_recorded(out, HF_OK,
                     &(HfRecord){&cat_operation, .inputs = x, .input_count = count, HF_CONTEXT(dim)}, err);
}

HfTensor *hf_stack(HfTensor *const *x, int count, int64_t dim, HfError *err) {
  HfTensor *few[16], **rows = count <= 16 ? few : hf_malloc((size_t)count * sizeof *rows, "stack", err),
                     *out = NULL;
  if (!rows) return NULL;
  bool ok = count > 0 && x[0] && hf_check_dim("stack", &dim, x[0]->ndim + 1, err);
  for (int i = 0; i < count; i++) rows[i] = ok ? hf_unsqueeze(x[i], dim, err) : NULL;
  if (ok) out = hf_cat(rows, count, dim, err);
  for (int i = 0; i < count; i++) hf_tensor_release(rows[i]);
  if (rows != few) hf_free(rows);
  if (!count) hf_error_set(err, "stack: expected at least one tensor");
  return out;
}

/* ---- compositions */

HfTensor *hf_roll(HfTensor *x, int64_t shift, int64_t dim, HfError *err) {
  if (!x || !hf_check_dim("roll", &dim, x->ndim, err)) return NULL;
  int64_t n = x->ndim ? x->shape[dim] : 0;
  if (!n) return hf_tensor_retain(x), x;
  int64_t cut = ((n - shift % n) % n + n) % n;
  HfTensor *parts[2] = {hf_slice(x, dim, cut, n, 1, err), hf_slice(x, dim, 0, cut, 1, err)};
  HfTensor *out = hf_cat(parts, 2, dim, err);
  hf_tensor_release(parts[0]), hf_tensor_release(parts[1]);
  return out;
}

/* One dim: [before] x [after], or cut where the count is negative. */
static HfTensor *pad_dim(HfTensor *x, int64_t dim, int64_t before, int64_t after, double value,
                         HfError *err) {
  int64_t shape[HF_MAX_DIMS], start = before < 0 ? -before : 0,
                              stop = x->shape[dim] + (after < 0 ? after : 0);
  HfTensor *parts[3] = {NULL}, *out = NULL, *core;
  if (stop < start) return hf_error_set(err, "pad: dim %" PRId64 " would become negative", dim), NULL;
  core = hf_slice(x, dim, start, stop, 1, err);
  memcpy(shape, x->shape, sizeof shape);
  int n = 0;
  if (before > 0)
    shape[dim] = before,
    parts[n++] = hf_tensor_full(x->dtype, x->ndim, shape, value, hf_tensor_device(x), err);
  if (core) hf_tensor_retain(core);
  parts[n++] = core;
  if (after > 0)
    shape[dim] = after,
    parts[n++] = hf_tensor_full(x->dtype, x->ndim, shape, value, hf_tensor_device(x), err);
  out = hf_cat(parts, n, dim, err);
  for (int i = 0; i < n; i++) hf_tensor_release(parts[i]);
  hf_tensor_release(core);
  return out;
}

HfTensor *hf_pad(HfTensor *x, int count, const int64_t *pad, double value, HfError *err) {
  if (!x) return NULL;
  if (count % 2 || count / 2 > x->ndim)
    return hf_error_set(err, "pad: expected pairs (before, after) for at most %d dims, found %d numbers",
                        x->ndim, count),
           NULL;
  hf_tensor_retain(x);
  for (int i = 0; i < count / 2 && x; i++)
    x = hf_then(x, pad_dim(x, x->ndim - 1 - i, pad[2 * i], pad[2 * i + 1], value, err));
  return x;
}

/* expand over new leading sizes, then fold them in: (r0, n0, r1, n1 ...) seen as (r0 n0, r1 n1 ...) */
HfTensor *hf_repeat(HfTensor *x, int ndim, const int64_t *times, HfError *err) {
  if (!x) return NULL;
  if (ndim < x->ndim)
    return hf_error_set(err, "repeat: expected at least %d counts, found %d", x->ndim, ndim), NULL;
  HfTensor *t = x;
  hf_tensor_retain(t);
  for (int d = ndim - 1; d >= 0 && t; d--) {
    int own = d - (ndim - x->ndim);
    if (times[d] < 0)
      return hf_error_set(err, "repeat: counts must be 0 or more, found %" PRId64, times[d]),
             hf_then(t, NULL);
    if (own < 0) t = hf_then(t, hf_unsqueeze(t, 0, err));
    int at = own < 0 ? 0 : own;
    int64_t wide[HF_MAX_DIMS], folded[HF_MAX_DIMS];
    if (!t || times[d] == 1) continue;
    if (t->ndim == HF_MAX_DIMS)
      return hf_error_set(err, "repeat: at most %d dims", HF_MAX_DIMS - 1), hf_then(t, NULL);
    memcpy(folded, t->shape, sizeof folded), memcpy(wide, t->shape, (size_t)at * sizeof *wide);
    wide[at] = times[d];
    memcpy(wide + at + 1, t->shape + at, (size_t)(t->ndim - at) * sizeof *wide);
    if (__builtin_mul_overflow(folded[at], times[d], &folded[at]))
      return hf_error_set(err, "repeat: dim %d would be too long", d), hf_then(t, NULL);
    int n = t->ndim;
    t = hf_then(t, hf_unsqueeze(t, at, err));
    t = hf_then(t, hf_expand(t, n + 1, wide, err));
    t = hf_then(t, hf_reshape(t, n, folded, err));
  }
  return t;
}

HfTensor *hf_repeat_interleave(HfTensor *x, int64_t times, int64_t dim, HfError *err) {
  int64_t wide[HF_MAX_DIMS + 1], folded[HF_MAX_DIMS];
  if (!x || !hf_check_dim("repeat_interleave", &dim, x->ndim, err)) return NULL;
  if (times < 0 || x->ndim >= HF_MAX_DIMS)
    return hf_error_set(err, "repeat_interleave: invalid count %" PRId64, times), NULL;
  for (int d = 0; d <= x->ndim; d++)
    wide[d] = d <= dim ? x->shape[d] : d == dim + 1 ? times : x->shape[d - 1];
  memcpy(folded, x->shape, sizeof folded);
  if (__builtin_mul_overflow(folded[dim], times, &folded[dim]))
    return hf_error_set(err, "repeat_interleave: dim %" PRId64 " would be too long", dim), NULL;
  HfTensor *t = hf_unsqueeze(x, dim + 1, err);
  t = hf_then(t, t ? hf_expand(t, x->ndim + 1, wide, err) : NULL);
  return hf_then(t, hf_reshape(t, x->ndim, folded, err));
}

/* 0, 1, 2 ... as int64 with `ndim` dims of which the last (or the one before it) is long */
static HfTensor *positions(const HfTensor *like, int64_t n, int64_t start, bool column, HfError *err) {
  HfTensor *t = hf_empty_as(like, HF_INT64, 1, &n, err);
  if (t && !hf_check(hf_tensor_kernels(t)->arange(hf_tensor_data(t), HF_INT64, (double)start, 1, n), "arange",
                     t, err))
    t = hf_then(t, NULL);
  return column ? hf_then(t, hf_unsqueeze(t, 1, err)) : t;
}

HfTensor *hf_tri(HfTensor *x, int64_t diagonal, bool upper, HfError *err) {
  char text[HF_DESCRIPTION_SIZE];
  if (!x) return NULL;
  if (x->ndim < 2)
    return hf_error_set(err, "%s: expected at least 2 dims, found %s", upper ? "triu" : "tril",
                        hf_tensor_describe(x, text)),
           NULL;
  HfTensor *rows = positions(x, x->shape[x->ndim - 2], diagonal, true, err),
           *columns = positions(x, x->shape[x->ndim - 1], 0, false, err);
  HfTensor *outside = hf_compare(columns, rows, upper ? HF_LT : HF_GT, err);
  hf_tensor_release(rows), hf_tensor_release(columns);
  return hf_then(outside, hf_masked_fill(x, outside, 0, err));
}
