/* Operations element by element: functions of one value, arithmetic with broadcasting, comparisons, choices,
 * casts. */
#include "ops_internal.h"
#include <math.h>

/* ---- casts and copies */

static bool cast_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  dinp[0] = hf_cast(dout[0], node->edge[0].dtype, err);
  return dinp[0] != NULL;
}
static const HfOperation cast_operation = {"cast", cast_backward, NULL};

static HfTensor *copy_as(HfTensor *x, HfDtype dtype, HfError *err) {
  HfTensor *out = hf_empty_as(x, dtype, x->ndim, x->shape, err);
  if (out && !hf_tensor_copy_(out, x, err)) return hf_tensor_release(out), NULL;
  if (out) out->storage->version = 0;
  return hf_recorded(out, HF_OK, &(HfRecord){&cast_operation, HF_INPUTS(x)}, err);
}

HfTensor *hf_cast(HfTensor *x, HfDtype dtype, HfError *err) {
  if (!x || x->dtype != dtype) return x ? copy_as(x, dtype, err) : NULL;
  return hf_tensor_retain(x), x;
}

HfTensor *hf_clone(HfTensor *x, HfError *err) { return x ? copy_as(x, x->dtype, err) : NULL; }

HfTensor *hf_contiguous(HfTensor *x, HfError *err) {
  if (!x || !hf_tensor_is_contiguous(x)) return hf_clone(x, err);
  return hf_tensor_retain(x), x;
}

/* Between host and device through host memory; the copy of a leaf on another device is recorded like a cast.
 */
static bool to_device_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  return (dinp[0] = hf_to_device(dout[0], node->edge[0].device, err)) != NULL;
}
static const HfOperation to_device_operation = {"to", to_device_backward, NULL};

static HfStatus copy_between(HfTensor *out, const HfTensor *in) {
  size_t bytes = hf_tensor_bytes(in);
  if (hf_tensor_device(in) == hf_device_cpu())
    return hf_tensor_kernels(out)->copy_in(hf_tensor_data(out), hf_tensor_data(in), bytes);
  return hf_tensor_kernels(in)->copy_out(hf_tensor_data(out), hf_tensor_data(in), bytes);
}

HfTensor *hf_to_device(HfTensor *x, HfDevice *device, HfError *err) {
  if (!x) return NULL;
  if (hf_tensor_device(x) == device) return hf_tensor_retain(x), x;
  if (device != hf_device_cpu() && hf_tensor_device(x) != hf_device_cpu()) {
    HfTensor *host = hf_to_device(x, hf_device_cpu(), err);
    return hf_then(host, hf_to_device(host, device, err));
  }
  HfTensor *c = hf_contiguous(x, err);
  HfTensor *out = c ? hf_tensor_empty(x->dtype, x->ndim, x->shape, device, err) : NULL;
  HfStatus status = out ? copy_between(out, c) : HF_OK;
  hf_tensor_release(c);
  return hf_recorded(out, status, &(HfRecord){&to_device_operation, HF_INPUTS(x)}, err);
}

/* ---- functions of one value */

typedef struct UnaryContext {
  HfUnary op;
  float p;
} UnaryContext;

static bool unary_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  UnaryContext *c = node->context;
  HfTensor *x = node->saved[0], *y = node->saved[1], *g = hf_float_contiguous(dout[0], err);
  HfTensor *dx = g ? hf_empty_like(g, err) : NULL;
  if (dx) {
    HfStatus status =
        hf_tensor_kernels(g)->unary_backward(hf_tensor_data(dx), hf_tensor_data(g), hf_tensor_data(x),
                                             hf_tensor_data(y), hf_tensor_numel(g), c->op, c->p);
    if (!hf_check(status, node->operation->name, g, err)) dx = hf_then(dx, NULL);
  }
  hf_tensor_release(g);
  return (dinp[0] = dx) != NULL;
}
static const HfOperation unary_operation = {"unary", unary_backward, NULL};

static HfTensor *unary_float(HfTensor *x, HfUnary op, double p, HfError *err) {
  HfTensor *c = hf_contiguous(x, err), *y = c ? hf_empty_like(c, err) : NULL;
  UnaryContext context = {op, (float)p};
  HfStatus status =
      y ? hf_tensor_kernels(c)->unary(hf_tensor_data(y), hf_tensor_data(c), hf_tensor_numel(c), op, context.p)
        : HF_OK;
  y = hf_recorded(y, status, &(HfRecord){&unary_operation, HF_INPUTS(c), HF_SAVED(c, y), HF_CONTEXT(context)},
                  err);
  return hf_then(c, y);
}

/* Functions that keep whole numbers whole. NULL without an error set: not one of those. */
static HfTensor *unary_integer(HfTensor *x, HfUnary op, double p, bool *handled, HfError *err) {
  HfTensor *zero = NULL, *out = NULL;
  *handled = true;
  switch (op) {
  case HF_FLOOR:
  case HF_CEIL:
  case HF_ROUND:
  case HF_TRUNC:
    return hf_tensor_retain(x), x;
  case HF_SQUARE:
    return hf_binary(x, x, HF_MUL, err);
  case HF_NEG:
    p = 0; /* fall through */
  case HF_RSUB_SCALAR:
  case HF_ADD_SCALAR:
  case HF_MUL_SCALAR:
    if (p != floor(p)) break;
    zero = hf_scalar_like(x, x->dtype == HF_BOOL ? HF_INT64 : x->dtype, p, err);
    out = op == HF_ADD_SCALAR   ? hf_binary(x, zero, HF_ADD, err)
          : op == HF_MUL_SCALAR ? hf_binary(x, zero, HF_MUL, err)
                                : hf_binary(zero, x, HF_SUB, err);
    return hf_then(zero, out);
  case HF_ABS:
    out = hf_unary(x, HF_NEG, 0, err);
    return hf_then(out, hf_binary(x, out, HF_MAXIMUM, err));
  default:
    break;
  }
  *handled = false;
  return NULL;
}

HfTensor *hf_unary(HfTensor *x, HfUnary op, double p, HfError *err) {
  bool handled = false;
  if (!x) return NULL;
  if (x->dtype == HF_FLOAT32) return unary_float(x, op, p, err);
  if (!hf_dtype_is_float(x->dtype)) {
    HfTensor *out = unary_integer(x, op, p, &handled, err);
    if (handled) return out;
  }
  HfTensor *f = hf_cast(x, HF_FLOAT32, err), *y = hf_unary(f, op, p, err);
  hf_tensor_release(f);
  return hf_dtype_is_float(x->dtype) ? hf_back_to(y, x->dtype, err) : y;
}

/* ---- arithmetic */

static HfDtype promote(const HfTensor *a, const HfTensor *b) {
  static const int rank[HF_DTYPE_COUNT] = {
      [HF_BOOL] = 0,    [HF_UINT8] = 1,    [HF_INT32] = 2,  [HF_INT64] = 3,
      [HF_FLOAT16] = 4, [HF_BFLOAT16] = 4, [HF_FLOAT32] = 5};
  if (a->dtype == b->dtype) return a->dtype;
  bool same_kind = hf_dtype_is_float(a->dtype) == hf_dtype_is_float(b->dtype) &&
                   (a->dtype == HF_BOOL) == (b->dtype == HF_BOOL);
  if (same_kind && !a->ndim != !b->ndim)
    return a->ndim ? a->dtype : b->dtype; /* a single value takes the other's type */
  if (rank[a->dtype] == rank[b->dtype]) return HF_FLOAT32;
  return rank[a->dtype] > rank[b->dtype] ? a->dtype : b->dtype;
}

/* The sign of the zero-or-one choice, 1/2 where both are equal: maximum(a, b) takes a where a > b. */
static HfTensor *share_of_a(HfTensor *a, HfTensor *b, bool maximum, HfError *err) {
  HfTensor *wins = hf_compare(a, b, maximum ? HF_GT : HF_LT, err), *ties = hf_compare(a, b, HF_EQ, err);
  HfTensor *share = hf_cast(wins, HF_FLOAT32, err), *half = hf_cast(ties, HF_FLOAT32, err);
  half = hf_then(half, hf_unary(half, HF_MUL_SCALAR, 0.5, err));
  HfTensor *sum = hf_binary(share, half, HF_ADD, err);
  hf_tensor_release(wins), hf_tensor_release(ties), hf_tensor_release(share), hf_tensor_release(half);
  return sum;
}

/* d pow: b a^(b-1) for the base; a^b log(a), 0 where a is 0, for the exponent */
static HfTensor *pow_base_gradient(HfTensor *g, HfTensor *a, HfTensor *b, HfError *err) {
  HfTensor *less = hf_unary(b, HF_ADD_SCALAR, -1, err), *power = hf_binary(a, less, HF_POW, err);
  power = hf_then(power, hf_binary(power, b, HF_MUL, err));
  hf_tensor_release(less);
  return hf_then(power, hf_binary(g, power, HF_MUL, err));
}

static HfTensor *pow_exponent_gradient(HfTensor *g, HfTensor *a, HfTensor *y, HfError *err) {
  HfTensor *log = hf_unary(a, HF_LOG, 0, err), *zero = hf_scalar_like(a, HF_FLOAT32, 0, err),
           *is_zero = hf_compare(a, zero, HF_EQ, err);
  log = hf_then(log, hf_masked_fill(log, is_zero, 0, err));
  log = hf_then(log, hf_binary(log, y, HF_MUL, err));
  hf_tensor_release(zero), hf_tensor_release(is_zero);
  return hf_then(log, hf_binary(g, log, HF_MUL, err));
}

/* The gradient of operand i before it is summed to the operand's shape. saved: a, b, out. */
static HfTensor *binary_gradient(HfBinary op, int i, HfTensor *g, HfTensor *const *saved, HfError *err) {
  HfTensor *a = saved[0], *b = saved[1], *t;
  switch (op) {
  case HF_ADD:
    return hf_tensor_retain(g), g;
  case HF_SUB:
    return i ? hf_unary(g, HF_NEG, 0, err) : (hf_tensor_retain(g), g);
  case HF_MUL:
    return hf_binary(g, i ? a : b, HF_MUL, err);
  case HF_DIV:
    t = hf_binary(g, b, HF_DIV, err);
    if (!i) return t;
    t = hf_then(t, hf_binary(t, saved[2], HF_MUL, err));
    return hf_then(t, hf_unary(t, HF_NEG, 0, err));
  case HF_POW:
    return i ? pow_exponent_gradient(g, a, saved[2], err) : pow_base_gradient(g, a, b, err);
  default:
    t = i ? share_of_a(b, a, op == HF_MAXIMUM, err) : share_of_a(a, b, op == HF_MAXIMUM, err);
    return hf_then(t, hf_binary(g, t, HF_MUL, err));
  }
}

static bool binary_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  HfBinary op = *(HfBinary *)node->context;
  for (int i = 0; i < 2; i++) {
    if (!node->wants[i]) continue;
    HfTensor *g = binary_gradient(op, i, dout[0], node->saved, err);
    dinp[i] = hf_then(g, hf_sum_to_edge(g, &node->edge[i], err));
    if (!dinp[i]) return false;
  }
  return true;
}
static const HfOperation binary_operations[HF_BINARY_COUNT] = {
    [HF_ADD] = {"add", binary_backward, NULL},         [HF_SUB] = {"sub", binary_backward, NULL},
    [HF_MUL] = {"mul", binary_backward, NULL},         [HF_DIV] = {"div", binary_backward, NULL},
    [HF_MAXIMUM] = {"maximum", binary_backward, NULL}, [HF_MINIMUM] = {"minimum", binary_backward, NULL},
    [HF_POW] = {"pow", binary_backward, NULL},
};

/* The common shape of two operands, or an error that names both. */
static bool common_shape(const char *op, const HfTensor *a, const HfTensor *b, int *ndim, int64_t *shape,
                         HfError *err) {
  char x[HF_DESCRIPTION_SIZE], y[HF_DESCRIPTION_SIZE];
  if (hf_shape_broadcast(a->ndim, a->shape, b->ndim, b->shape, ndim, shape))
    return hf_same_device(op, a, b, err);
  return hf_error_set(err, "%s: shapes do not broadcast: a %s, b %s", op, hf_tensor_describe(a, x),
                      hf_tensor_describe(b, y));
}

static HfTensor *binary_same_dtype(HfTensor *a, HfTensor *b, HfBinary op, HfError *err) {
  int ndim;
  int64_t shape[HF_MAX_DIMS];
  HfLayout layout;
  const HfOperation *operation = &binary_operations[op];
  if (!common_shape(operation->name, a, b, &ndim, shape, err)) return NULL;
  HfTensor *out = hf_empty_as(a, a->dtype, ndim, shape, err);
  const HfTensor *operands[] = {out, a, b};
  if (out && !hf_layout_make(&layout, operation->name, ndim, shape, operands, 3, err))
    out = hf_then(out, NULL);
  HfStatus status = out ? hf_tensor_kernels(a)->binary(hf_tensor_data(out), hf_tensor_data(a),
                                                       hf_tensor_data(b), a->dtype, &layout, op)
                        : HF_OK;
  bool needs_operands = op != HF_ADD && op != HF_SUB, needs_out = op == HF_DIV || op == HF_POW;
  return hf_recorded(
      out, status,
      &(HfRecord){operation, HF_INPUTS(a, b),
                  HF_SAVED(needs_operands ? a : NULL, needs_operands ? b : NULL, needs_out ? out : NULL),
                  HF_CONTEXT(op)},
      err);
}

HfTensor *hf_binary(HfTensor *a, HfTensor *b, HfBinary op, HfError *err) {
  if (!a || !b) return NULL;
  HfDtype dtype = promote(a, b);
  if (op == HF_DIV && !hf_dtype_is_float(dtype)) dtype = HF_FLOAT32;
  HfDtype wide = hf_dtype_is_float(dtype) ? HF_FLOAT32 : HF_INT64;
  HfTensor *x = hf_cast(a, wide, err), *y = hf_cast(b, wide, err);
  HfTensor *out = x && y ? binary_same_dtype(x, y, op, err) : NULL;
  hf_tensor_release(x), hf_tensor_release(y);
  return hf_back_to(out, dtype, err);
}

HfTensor *hf_integer_divide(HfTensor *a, HfTensor *b, HfError *err) {
  if (!a || !b || !hf_expect_dtype("integer_divide", "a", a, HF_INT64, err) ||
      !hf_expect_dtype("integer_divide", "b", b, HF_INT64, err))
    return NULL;
  return binary_same_dtype(a, b, HF_DIV, err);
}

/* ---- comparisons and choices */

HfTensor *hf_compare(HfTensor *a, HfTensor *b, HfCompare op, HfError *err) {
  int ndim;
  int64_t shape[HF_MAX_DIMS];
  HfLayout layout;
  if (!a || !b || !common_shape("compare", a, b, &ndim, shape, err)) return NULL;
  HfDtype wide = hf_dtype_is_float(promote(a, b)) ? HF_FLOAT32 : HF_INT64;
  HfTensor *x = hf_cast(a, wide, err), *y = hf_cast(b, wide, err);
  HfTensor *out = x && y ? hf_empty_as(a, HF_BOOL, ndim, shape, err) : NULL;
  const HfTensor *operands[] = {out, x, y};
  if (out && (!hf_layout_make(&layout, "compare", ndim, shape, operands, 3, err) ||
              !hf_check(hf_tensor_kernels(a)->compare(hf_tensor_data(out), hf_tensor_data(x),
                                                      hf_tensor_data(y), wide, &layout, op),
                        "compare", a, err)))
    out = hf_then(out, NULL);
  hf_tensor_release(x), hf_tensor_release(y);
  return out;
}

static bool where_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  HfTensor *zero = hf_scalar_like(dout[0], dout[0]->dtype, 0, err);
  bool ok = zero != NULL;
  for (int i = 1; i <= 2 && ok; i++) {
    if (!node->wants[i]) continue;
    HfTensor *g =
        i == 1 ? hf_where(node->saved[0], dout[0], zero, err) : hf_where(node->saved[0], zero, dout[0], err);
    dinp[i] = hf_then(g, hf_sum_to_edge(g, &node->edge[i], err));
    ok = dinp[i] != NULL;
  }
  hf_tensor_release(zero);
  return ok;
}
static const HfOperation where_operation = {"where", where_backward, NULL};

HfTensor *hf_where(HfTensor *condition, HfTensor *a, HfTensor *b, HfError *err) {
  int ndim;
  int64_t shape[HF_MAX_DIMS];
  HfLayout layout;
  char x[HF_DESCRIPTION_SIZE], y[HF_DESCRIPTION_SIZE];
  if (!condition || !a || !b || !hf_expect_dtype("where", "condition", condition, HF_BOOL, err) ||
      !common_shape("where", a, b, &ndim, shape, err) || !hf_same_device("where", condition, a, err))
    return NULL;
  if (!hf_shape_broadcast(ndim, shape, condition->ndim, condition->shape, &ndim, shape))
    return hf_error_set(err, "where: the condition %s does not broadcast with %s",
                        hf_tensor_describe(condition, x), hf_tensor_describe(a, y)),
           NULL;
  HfDtype dtype = promote(a, b);
  HfTensor *p = hf_cast(a, dtype, err), *q = hf_cast(b, dtype, err);
  HfTensor *out = p && q ? hf_empty_as(a, dtype, ndim, shape, err) : NULL;
  const HfTensor *operands[] = {out, condition, p, q};
  if (out && !hf_layout_make(&layout, "where", ndim, shape, operands, 4, err)) out = hf_then(out, NULL);
  HfStatus status = out ? hf_tensor_kernels(a)->where(hf_tensor_data(out), hf_tensor_data(condition),
                                                      hf_tensor_data(p), hf_tensor_data(q), dtype, &layout)
                        : HF_OK;
  out = hf_recorded(out, status, &(HfRecord){&where_operation, HF_INPUTS(NULL, p, q), HF_SAVED(condition)},
                    err);
  hf_tensor_release(p), hf_tensor_release(q);
  return out;
}

HfTensor *hf_masked_fill(HfTensor *x, HfTensor *mask, double value, HfError *err) {
  HfTensor *v = x && mask ? hf_scalar_like(x, x->dtype, value, err) : NULL;
  return hf_then(v, hf_where(mask, v, x, err));
}

/* Gradient passes where low <= x <= high. */
static bool clamp_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  float *limit = node->context;
  HfTensor *x = node->saved[0], *low = hf_scalar_like(x, HF_FLOAT32, limit[0], err),
           *high = hf_scalar_like(x, HF_FLOAT32, limit[1], err);
  HfTensor *below = hf_compare(x, low, HF_LT, err), *above = hf_compare(x, high, HF_GT, err);
  HfTensor *g = hf_masked_fill(dout[0], below, 0, err);
  dinp[0] = hf_then(g, hf_masked_fill(g, above, 0, err));
  hf_tensor_release(low), hf_tensor_release(high), hf_tensor_release(below), hf_tensor_release(above);
  return dinp[0] != NULL;
}
static const HfOperation clamp_operation = {"clamp", clamp_backward, NULL};

HfTensor *hf_clamp(HfTensor *x, double low, double high, HfError *err) {
  if (!x) return NULL;
  float limit[2] = {(float)low, (float)high};
  HfTensor *c = hf_float_contiguous(x, err), *y = c ? hf_empty_like(c, err) : NULL;
  HfStatus status = y ? hf_tensor_kernels(c)->clamp(hf_tensor_data(y), hf_tensor_data(c), hf_tensor_numel(c),
                                                    limit[0], limit[1])
                      : HF_OK;
  y = hf_recorded(y, status, &(HfRecord){&clamp_operation, HF_INPUTS(c), HF_SAVED(c), HF_CONTEXT(limit)},
                  err);
  hf_tensor_release(c);
  return hf_back_to(y, x->dtype, err);
}
