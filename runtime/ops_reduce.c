/* Reductions, scans, sorting and softmax. Dims that are reduced together are first moved behind each other.
 */
#include "ops_internal.h"
#include <inttypes.h>

/* How a reduction over some dims is done: x permuted so that the reduced dims are last, then (outer, n, 1).
 */
typedef struct Plan {
  int count; /* reduced dims, ascending in dims[] */
  int64_t dims[HF_MAX_DIMS];
  int kept_ndim, keepdim_ndim;
  int64_t kept[HF_MAX_DIMS];    /* shape without the reduced dims */
  int64_t keepdim[HF_MAX_DIMS]; /* shape with 1 in their place */
  int64_t n;                    /* elements reduced to one */
} Plan;

static bool make_plan(Plan *p, const char *op, const HfTensor *x, int count, const int64_t *dims,
                      HfError *err) {
  bool reduced[HF_MAX_DIMS] = {false};
  *p = (Plan){.n = 1, .keepdim_ndim = x->ndim};
  for (int i = 0; i < count; i++) {
    int64_t d = dims[i];
    if (!hf_check_dim(op, &d, x->ndim, err)) return false;
    if (reduced[d] && x->ndim) return hf_error_set(err, "%s: dim %" PRId64 " is named twice", op, d);
    reduced[d] = x->ndim > 0;
  }
  for (int d = 0; d < x->ndim; d++) {
    bool r = reduced[d] || !count;
    p->keepdim[d] = r ? 1 : x->shape[d];
    if (r)
      p->dims[p->count++] = d, p->n *= x->shape[d];
    else
      p->kept[p->kept_ndim++] = x->shape[d];
  }
  return true;
}

/* x contiguous with the reduced dims behind the others; owned by the caller. `inner` and `outer` lie around
 * them: when the dims are neighbours nothing is moved. */
static HfTensor *gathered(HfTensor *x, const Plan *p, int64_t *outer, int64_t *inner, HfError *err) {
  int64_t order[HF_MAX_DIMS], first = p->count ? p->dims[0] : 0, last = p->count ? p->dims[p->count - 1] : -1;
  *outer = *inner = 1;
  if (last - first + 1 == p->count) {
    for (int d = 0; d < first; d++) *outer *= x->shape[d];
    for (int d = (int)last + 1; d < x->ndim; d++) *inner *= x->shape[d];
    return hf_contiguous(x, err);
  }
  int n = 0;
  for (int d = 0; d < x->ndim; d++)
    if (p->keepdim[d] != 1 || x->shape[d] == 1) order[n++] = d;
  for (int d = 0; d < x->ndim; d++)
    if (p->keepdim[d] == 1 && x->shape[d] != 1) order[n++] = d;
  for (int d = 0; d < p->kept_ndim; d++) *outer *= p->kept[d];
  HfTensor *moved = hf_permute(x, x->ndim, order, err);
  return hf_then(moved, hf_contiguous(moved, err));
}

/* ---- sum, mean, max, min, prod, any, all, sum of squares, logsumexp */

typedef struct ReduceContext {
  HfReduce op;
  Plan plan;
} ReduceContext;

/* The reduced tensor (or its gradient) seen with 1 in the reduced dims, so that it broadcasts against x. */
static HfTensor *with_keepdim(HfTensor *t, const Plan *p, HfError *err) {
  return t ? hf_reshape(t, p->keepdim_ndim, p->keepdim, err) : NULL;
}

/* Maximum and minimum share the gradient evenly among equals. */
static HfTensor *extreme_share(HfTensor *x, HfTensor *y, const Plan *p, HfError *err) {
  HfTensor *is_max = hf_compare(x, y, HF_EQ, err), *ones = is_max ? hf_cast(is_max, HF_FLOAT32, err) : NULL;
  HfTensor *count = hf_reduce(ones, HF_SUM, p->count, p->dims, true, err);
  HfTensor *share = hf_binary(ones, count, HF_DIV, err);
  hf_tensor_release(is_max), hf_tensor_release(ones), hf_tensor_release(count);
  return share;
}

/* prod / x where no factor is 0; else by leaving each factor out (exact, and rows with zeros are rare and
 * short): on the host. */
static HfTensor *product_of_others(HfTensor *x, const Plan *p, HfError *err) {
  int64_t outer, n, inner;
  if (p->count != 1) return hf_error_set(err, "prod: the gradient needs one dim"), NULL;
  HfTensor *host = hf_to_device(x, hf_device_cpu(), err), *out = host ? hf_empty_like(host, err) : NULL;
  host = hf_then(host, hf_contiguous(host, err));
  if (!out || !host) return hf_tensor_release(host), hf_then(out, NULL);
  hf_split_at(x, p->dims[0], &outer, &n, &inner);
  const float *in = hf_tensor_data(host);
  float *o = hf_tensor_data(out);
  for (int64_t row = 0; row < outer * inner; row++) {
    int64_t base = row / inner * n * inner + row % inner;
    for (int64_t i = 0; i < n; i++) {
      double product = 1;
      for (int64_t j = 0; j < n; j++)
        if (j != i) product *= in[base + j * inner];
      o[base + i * inner] = (float)product;
    }
  }
  hf_tensor_release(host);
  return hf_then(out, hf_to_device(out, hf_tensor_device(x), err));
}

/* d y / d x broadcast to x, without the upstream gradient; NULL for sum. */
static HfTensor *reduce_factor(HfReduce op, HfTensor *x, HfTensor *y, const Plan *p, HfError *err) {
  HfTensor *t;
  switch (op) {
  case HF_SUM_SQUARES:
    return hf_unary(x, HF_MUL_SCALAR, 2, err);
  case HF_MAX:
  case HF_MIN:
    return extreme_share(x, y, p, err);
  case HF_LOGSUMEXP:
    t = hf_binary(x, y, HF_SUB, err);
    return hf_then(t, hf_unary(t, HF_EXP, 0, err));
  case HF_PROD:
    return product_of_others(x, p, err);
  default:
    return NULL;
  }
}

static bool reduce_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  ReduceContext *c = node->context;
  const HfEdge *e = &node->edge[0];
  HfTensor *g = with_keepdim(dout[0], &c->plan, err), *y = with_keepdim(node->saved[1], &c->plan, err);
  if (c->op == HF_MEAN) g = hf_then(g, hf_unary(g, HF_MUL_SCALAR, 1.0 / (double)c->plan.n, err));
  if (c->op == HF_SUM || c->op == HF_MEAN) {
    dinp[0] = g ? hf_expand(g, e->ndim, e->shape, err) : NULL;
  } else {
    HfTensor *factor = reduce_factor(c->op, node->saved[0], y, &c->plan, err);
    dinp[0] = hf_then(factor, hf_binary(factor, g, HF_MUL, err));
  }
  hf_tensor_release(g), hf_tensor_release(y);
  return dinp[0] != NULL;
}
static const HfOperation reduce_operations[HF_REDUCE_COUNT] = {
    [HF_SUM] = {"sum", reduce_backward, NULL},
    [HF_MEAN] = {"mean", reduce_backward, NULL},
    [HF_MAX] = {"max", reduce_backward, NULL},
    [HF_MIN] = {"min", reduce_backward, NULL},
    [HF_PROD] = {"prod", reduce_backward, NULL},
    [HF_ANY] = {"any", NULL, NULL},
    [HF_ALL] = {"all", NULL, NULL},
    [HF_SUM_SQUARES] = {"sum_squares", reduce_backward, NULL},
    [HF_LOGSUMEXP] = {"logsumexp", reduce_backward, NULL},
};

/* The dtype a reduction computes in. */
static HfDtype reduce_dtype(HfReduce op, HfDtype dtype) {
  if (op == HF_ANY || op == HF_ALL) return HF_BOOL;
  bool whole = op == HF_SUM || op == HF_PROD || op == HF_MAX || op == HF_MIN;
  return whole && !hf_dtype_is_float(dtype) ? HF_INT64 : HF_FLOAT32;
}

static HfTensor *reduce_same_dtype(HfTensor *x, HfReduce op, const Plan *plan, HfError *err) {
  int64_t outer, inner;
  ReduceContext context = {op, *plan};
  bool wide = op == HF_MAX || op == HF_MIN || op == HF_PROD || op == HF_LOGSUMEXP || op == HF_SUM_SQUARES;
  bool was = hf_tape_set_enabled(false);
  HfTensor *c = gathered(x, plan, &outer, &inner, err);
  HfTensor *out = c ? hf_empty_as(x, x->dtype, plan->kept_ndim, plan->kept, err) : NULL;
  HfStatus status = out ? hf_tensor_kernels(x)->reduce(hf_tensor_data(out), hf_tensor_data(c), x->dtype,
                                                       outer, plan->n, inner, op)
                        : HF_OK;
  hf_tensor_release(c);
  hf_tape_set_enabled(was);
  return hf_recorded(out, status,
                     &(HfRecord){&reduce_operations[op], HF_INPUTS(x),
                                 HF_SAVED(wide ? x : NULL, wide ? out : NULL), HF_CONTEXT(context)},
                     err);
}

/* A product over several dims whose gradient is wanted: one dim after another. */
static HfTensor *product_by_dims(HfTensor *x, const Plan *plan, bool keepdim, HfError *err) {
  HfTensor *out = x;
  hf_tensor_retain(out);
  for (int i = 0; i < plan->count; i++)
    out = hf_then(out, hf_reduce(out, HF_PROD, 1, &plan->dims[i], true, err));
  return keepdim || !out ? out : hf_then(out, hf_reshape(out, plan->kept_ndim, plan->kept, err));
}

HfTensor *hf_reduce(HfTensor *x, HfReduce op, int dim_count, const int64_t *dims, bool keepdim,
                    HfError *err) {
  Plan plan;
  char text[HF_DESCRIPTION_SIZE];
  if (!x || !make_plan(&plan, reduce_operations[op].name, x, dim_count, dims, err)) return NULL;
  if ((op == HF_MAX || op == HF_MIN) && !plan.n)
    return hf_error_set(err, "%s: nothing to choose from in %s", reduce_operations[op].name,
                        hf_tensor_describe(x, text)),
           NULL;
  if (op == HF_PROD && plan.count > 1 && hf_tape_wants(&x, 1)) return product_by_dims(x, &plan, keepdim, err);
  HfDtype dtype = reduce_dtype(op, x->dtype);
  HfTensor *w = hf_cast(x, dtype, err), *out = w ? reduce_same_dtype(w, op, &plan, err) : NULL;
  hf_tensor_release(w);
  if (keepdim) out = hf_then(out, with_keepdim(out, &plan, err));
  bool keeps_dtype = hf_dtype_is_float(x->dtype) || op == HF_MAX || op == HF_MIN;
  return keeps_dtype && dtype != HF_BOOL ? hf_back_to(out, x->dtype, err) : out;
}

/* ---- variance and standard deviation: d var = 2 (x - mean) / (n - correction); std: that over 2 std */

typedef struct VarianceContext {
  Plan plan;
  double correction;
  bool root;
} VarianceContext;

static bool variance_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  VarianceContext *c = node->context;
  double scale = (c->root ? 1.0 : 2.0) / ((double)c->plan.n - c->correction);
  HfTensor *x = node->saved[0], *g = with_keepdim(dout[0], &c->plan, err),
           *std = with_keepdim(node->saved[1], &c->plan, err);
  HfTensor *mean = hf_reduce(x, HF_MEAN, c->plan.count, c->plan.dims, true, err),
           *d = hf_binary(x, mean, HF_SUB, err);
  if (c->root) g = hf_then(g, hf_binary(g, std, HF_DIV, err));
  g = hf_then(g, hf_unary(g, HF_MUL_SCALAR, scale, err));
  dinp[0] = hf_binary(d, g, HF_MUL, err);
  hf_tensor_release(g), hf_tensor_release(std), hf_tensor_release(mean), hf_tensor_release(d);
  return dinp[0] != NULL;
}
static const HfOperation variance_operation = {"var", variance_backward, NULL};

HfTensor *hf_variance(HfTensor *x, int dim_count, const int64_t *dims, bool keepdim, double correction,
                      bool root, HfError *err) {
  VarianceContext context = {.correction = correction, .root = root};
  int64_t outer, inner;
  if (!x || !make_plan(&context.plan, "var", x, dim_count, dims, err)) return NULL;
  Plan *plan = &context.plan;
  HfTensor *w = hf_cast(x, HF_FLOAT32, err);
  bool was = hf_tape_set_enabled(false);
  HfTensor *c = w ? gathered(w, plan, &outer, &inner, err) : NULL;
  HfTensor *out = c ? hf_empty_as(x, HF_FLOAT32, plan->kept_ndim, plan->kept, err) : NULL;
  HfStatus status = out ? hf_tensor_kernels(x)->variance(hf_tensor_data(out), NULL, hf_tensor_data(c), outer,
                                                         plan->n, inner, correction)
                        : HF_OK;
  if (out && status == HF_OK && root)
    status = hf_tensor_kernels(x)->unary(hf_tensor_data(out), hf_tensor_data(out), hf_tensor_numel(out),
                                         HF_SQRT, 0);
  hf_tensor_release(c);
  hf_tape_set_enabled(was);
  out = hf_recorded(
      out, status,
      &(HfRecord){&variance_operation, HF_INPUTS(w), HF_SAVED(w, root ? out : NULL), HF_CONTEXT(context)},
      err);
  hf_tensor_release(w);
  if (keepdim) out = hf_then(out, with_keepdim(out, plan, err));
  return hf_dtype_is_float(x->dtype) ? hf_back_to(out, x->dtype, err) : out;
}

/* ---- 2-norm: d = x / norm, 0 where the norm is 0 */

static bool norm_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  Plan *p = node->context;
  HfTensor *g = with_keepdim(dout[0], p, err), *y = with_keepdim(node->saved[1], p, err),
           *zero = hf_scalar_like(y, HF_FLOAT32, 0, err);
  HfTensor *is_zero = hf_compare(y, zero, HF_EQ, err);
  g = hf_then(g, hf_binary(g, y, HF_DIV, err));
  g = hf_then(g, hf_masked_fill(g, is_zero, 0, err));
  dinp[0] = hf_binary(node->saved[0], g, HF_MUL, err);
  hf_tensor_release(g), hf_tensor_release(y), hf_tensor_release(zero), hf_tensor_release(is_zero);
  return dinp[0] != NULL;
}
static const HfOperation norm_operation = {"norm", norm_backward, NULL};

HfTensor *hf_norm(HfTensor *x, int dim_count, const int64_t *dims, bool keepdim, HfError *err) {
  Plan plan;
  if (!x || !make_plan(&plan, "norm", x, dim_count, dims, err)) return NULL;
  HfTensor *w = hf_cast(x, HF_FLOAT32, err);
  bool was = hf_tape_set_enabled(false);
  HfTensor *out = w ? hf_reduce(w, HF_SUM_SQUARES, dim_count, dims, false, err) : NULL;
  out = hf_then(out, hf_unary(out, HF_SQRT, 0, err));
  hf_tape_set_enabled(was);
  out = hf_recorded(out, HF_OK,
                    &(HfRecord){&norm_operation, HF_INPUTS(w), HF_SAVED(w, out), HF_CONTEXT(plan)}, err);
  hf_tensor_release(w);
  if (keepdim) out = hf_then(out, with_keepdim(out, &plan, err));
  return hf_dtype_is_float(x->dtype) ? hf_back_to(out, x->dtype, err) : out;
}

/* ---- along one dim: extremes with indices, sorting; both scatter their gradient back by index */

static bool scatter_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  int64_t dim = *(int64_t *)node->context;
  HfTensor *zero = hf_zeros_edge(node, 0, err), *g = NULL;
  HfTensor *index = node->saved[0];
  if (zero)
    g = dout[0]->ndim < zero->ndim ? hf_unsqueeze(dout[0], dim, err) : (hf_tensor_retain(dout[0]), dout[0]);
  HfTensor *wide =
      zero && index->ndim < zero->ndim ? hf_unsqueeze(index, dim, err) : (hf_tensor_retain(index), index);
  if (g && wide) dinp[0] = hf_scatter_add(zero, dim, wide, g, err);
  hf_tensor_release(zero), hf_tensor_release(g), hf_tensor_release(wide);
  return dinp[0] != NULL;
}
static const HfOperation extreme_operation = {"max", scatter_backward, NULL};
static const HfOperation sort_operation = {"sort", scatter_backward, NULL};

HfTensor *hf_arg_extreme(HfTensor *x, bool largest, const int64_t *dim, bool keepdim, HfError *err) {
  const char *op = largest ? "argmax" : "argmin";
  char text[HF_DESCRIPTION_SIZE];
  Plan plan;
  int64_t outer, inner;
  if (!x || !make_plan(&plan, op, x, dim ? 1 : 0, dim, err)) return NULL;
  if (!plan.n)
    return hf_error_set(err, "%s: nothing to choose from in %s", op, hf_tensor_describe(x, text)), NULL;
  bool was = hf_tape_set_enabled(false);
  HfTensor *w = hf_cast(x, hf_dtype_is_float(x->dtype) ? HF_FLOAT32 : HF_INT64, err),
           *c = w ? gathered(w, &plan, &outer, &inner, err) : NULL;
  HfTensor *out = c ? hf_empty_as(x, HF_INT64, plan.kept_ndim, plan.kept, err) : NULL;
  if (out && !hf_check(hf_tensor_kernels(x)->reduce_index(hf_tensor_data(out), hf_tensor_data(c), c->dtype,
                                                          outer, plan.n, inner, largest),
                       op, x, err))
    out = hf_then(out, NULL);
  hf_tensor_release(w), hf_tensor_release(c);
  hf_tape_set_enabled(was);
  return keepdim ? hf_then(out, with_keepdim(out, &plan, err)) : out;
}

HfTensor *hf_extreme(HfTensor *x, bool largest, int64_t dim, bool keepdim, HfTensor **indices, HfError *err) {
  *indices = NULL;
  if (!x || !hf_check_dim(largest ? "max" : "min", &dim, x->ndim, err)) return NULL;
  bool was = hf_tape_set_enabled(false);
  HfTensor *index = hf_arg_extreme(x, largest, &dim, true, err),
           *values = x->ndim ? hf_gather(x, dim, index, err) : hf_clone(x, err);
  if (!keepdim && x->ndim) {
    values = hf_then(values, values ? hf_squeeze(values, &dim, err) : NULL);
    index = hf_then(index, index ? hf_squeeze(index, &dim, err) : NULL);
  }
  hf_tape_set_enabled(was);
  if (index)
    values = hf_recorded(
        values, HF_OK, &(HfRecord){&extreme_operation, HF_INPUTS(x), HF_SAVED(index), HF_CONTEXT(dim)}, err);
  if (!values || !index) return hf_tensor_release(index), hf_then(values, NULL);
  *indices = index;
  return values;
}

HfTensor *hf_sort(HfTensor *x, int64_t dim, bool descending, int64_t k, HfTensor **indices, HfError *err) {
  int64_t outer, n, inner, shape[HF_MAX_DIMS];
  *indices = NULL;
  if (!x || !hf_check_dim("sort", &dim, x->ndim, err)) return NULL;
  hf_split_at(x, dim, &outer, &n, &inner);
  if (k > n)
    return hf_error_set(err, "topk: k = %" PRId64 " is more than the %" PRId64 " entries of dim %" PRId64, k,
                        n, dim),
           NULL;
  if (k < 0) k = n;
  memcpy(shape, x->shape, sizeof shape);
  if (x->ndim) shape[dim] = k;
  bool was = hf_tape_set_enabled(false);
  HfTensor *w = hf_cast(x, hf_dtype_is_float(x->dtype) ? HF_FLOAT32 : HF_INT64, err),
           *c = hf_contiguous(w, err);
  HfTensor *values = c ? hf_empty_as(c, c->dtype, x->ndim, shape, err) : NULL,
           *index = values ? hf_empty_as(c, HF_INT64, x->ndim, shape, err) : NULL;
  HfStatus status =
      index ? hf_tensor_kernels(x)->sort(hf_tensor_data(values), hf_tensor_data(index), hf_tensor_data(c),
                                         c->dtype, outer, n, inner, k, descending)
            : HF_OK;
  if (!index) values = hf_then(values, NULL);
  values = hf_back_to(values, x->dtype, err);
  hf_tensor_release(w), hf_tensor_release(c);
  hf_tape_set_enabled(was);
  values = hf_recorded(values, status,
                       &(HfRecord){&sort_operation, HF_INPUTS(x), HF_SAVED(index), HF_CONTEXT(dim)}, err);
  if (!values) return hf_tensor_release(index), NULL;
  *indices = index;
  return values;
}

/* ---- cumsum: back by the sum from the other end */

static HfTensor *scan(HfTensor *x, int64_t dim, bool reverse, HfStatus *status, HfError *err) {
  int64_t outer, n, inner;
  HfTensor *c = hf_contiguous(x, err), *out = c ? hf_empty_like(c, err) : NULL;
  hf_split_at(x, dim, &outer, &n, &inner);
  *status = out ? hf_tensor_kernels(x)->cumsum(hf_tensor_data(out), hf_tensor_data(c), x->dtype, outer, n,
                                               inner, reverse)
                : HF_OK;
  return hf_then(c, out);
}

static bool cumsum_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  HfStatus status;
  dinp[0] = scan(dout[0], *(int64_t *)node->context, true, &status, err);
  return dinp[0] && hf_check(status, "cumsum", dinp[0], err);
}
static const HfOperation cumsum_operation = {"cumsum", cumsum_backward, NULL};

HfTensor *hf_cumsum(HfTensor *x, int64_t dim, HfError *err) {
  HfStatus status = HF_OK;
  if (!x || !hf_check_dim("cumsum", &dim, x->ndim, err)) return NULL;
  bool is_float = hf_dtype_is_float(x->dtype);
  HfTensor *w = hf_cast(x, is_float ? HF_FLOAT32 : HF_INT64, err),
           *out = w ? scan(w, dim, false, &status, err) : NULL;
  out = hf_recorded(out, status, &(HfRecord){&cumsum_operation, HF_INPUTS(w), HF_CONTEXT(dim)}, err);
  hf_tensor_release(w);
  return is_float ? hf_back_to(out, x->dtype, err) : out;
}

/* ---- softmax */

typedef struct SoftmaxContext {
  int64_t dim;
  bool log;
} SoftmaxContext;

static bool softmax_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  SoftmaxContext *c = node->context;
  int64_t outer, n, inner;
  HfTensor *y = node->saved[0], *g = hf_float_contiguous(dout[0], err);
  hf_split_at(y, c->dim, &outer, &n, &inner);
  dinp[0] = g ? hf_empty_like(g, err) : NULL;
  bool ok =
      dinp[0] && hf_check(hf_tensor_kernels(y)->softmax_backward(hf_tensor_data(dinp[0]), hf_tensor_data(g),
                                                                 hf_tensor_data(y), outer, n, inner, c->log),
                          "softmax", y, err);
  hf_tensor_release(g);
  return ok;
}
static const HfOperation softmax_operations[2] = {{"softmax", softmax_backward, NULL},
                                                  {"log_softmax", softmax_backward, NULL}};

HfTensor *hf_softmax(HfTensor *x, int64_t dim, bool log, HfError *err) {
  int64_t outer, n, inner;
  if (!x || !hf_check_dim(softmax_operations[log].name, &dim, x->ndim, err)) return NULL;
  SoftmaxContext context = {dim, log};
  HfTensor *c = hf_float_contiguous(x, err), *y = c ? hf_empty_like(c, err) : NULL;
  hf_split_at(x, dim, &outer, &n, &inner);
  HfStatus status =
      y ? hf_tensor_kernels(c)->softmax(hf_tensor_data(y), hf_tensor_data(c), outer, n, inner, log) : HF_OK;
  y = hf_recorded(y, status,
                  &(HfRecord){&softmax_operations[log], HF_INPUTS(c), HF_SAVED(y), HF_CONTEXT(context)}, err);
  hf_tensor_release(c);
  return hf_dtype_is_float(x->dtype) ? hf_back_to(y, x->dtype, err) : y;
}
