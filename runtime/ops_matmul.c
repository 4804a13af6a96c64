/* Products: matmul by PyTorch's rules, and the linear layer with its activation. */
#include "ops_internal.h"

/* A matrix operand of the product kernel: rows `ld` apart, maybe transposed. Strided views whose rows or
 * columns are contiguous are used as they are; anything else is copied. */
typedef struct Matrix {
  HfTensor *t; /* owned */
  bool transposed;
  int64_t ld, step; /* elements between rows of the stored matrix, and between matrices */
} Matrix;

static bool rows_are_dense(const HfTensor *t, int row, int column) {
  return (t->stride[column] == 1 || t->shape[column] == 1) &&
         (t->stride[row] >= t->shape[column] || t->shape[row] == 1);
}

/* The last two dims of t (2 or 3 dims) as a Matrix. */
static bool as_matrix(Matrix *m, HfTensor *t, HfError *err) {
  int row = t->ndim - 2, column = t->ndim - 1;
  m->transposed = !rows_are_dense(t, row, column) && rows_are_dense(t, column, row);
  m->t = m->transposed || rows_are_dense(t, row, column) ? (hf_tensor_retain(t), t) : hf_contiguous(t, err);
  if (!m->t) return false;
  int64_t width = m->t->shape[m->transposed ? row : column], ld = m->t->stride[m->transposed ? column : row];
  m->ld = ld >= width && ld > 0 ? ld : (width ? width : 1);
  m->step = m->t->ndim == 3 && m->t->shape[0] > 1 ? m->t->stride[0] : 0;
  return true;
}

/* c = op(a) op(b) + beta c over 2-d or 3-d operands of one dtype, c of that or float32; batch of 1 is repeated. */
static bool product(HfTensor *c, HfTensor *a, bool transpose_a, HfTensor *b, bool transpose_b, float beta,
                    HfError *err) {
  Matrix ma = {0}, mb = {0};
  bool ok = as_matrix(&ma, a, err) && as_matrix(&mb, b, err);
  if (ok) {
    int64_t m = c->shape[c->ndim - 2], n = c->shape[c->ndim - 1],
            k = a->shape[transpose_a ? a->ndim - 2 : a->ndim - 1];
    HfMatmul p = {.dtype = a->dtype,
                  .float_c = c->dtype == HF_FLOAT32,
                  .transpose_a = transpose_a != ma.transposed,
                  .transpose_b = transpose_b != mb.transposed,
                  .m = m,
                  .n = n,
                  .k = k,
                  .batch = c->ndim == 3 ? c->shape[0] : 1,
                  .alpha = 1,
                  .beta = beta,
                  .a = hf_tensor_data(ma.t),
                  .lda = ma.ld,
                  .stride_a = ma.step,
                  .b = hf_tensor_data(mb.t),
                  .ldb = mb.ld,
                  .stride_b = mb.step,
                  .c = hf_tensor_data(c),
                  .ldc = n ? n : 1,
                  .stride_c = m * n};
    ok = hf_check(hf_tensor_kernels(c)->matmul(&p), "matmul", c, err);
  }
  hf_tensor_release(ma.t), hf_tensor_release(mb.t);
  return ok;
}

/* ---- the product of (B, m, k) and (B, k, n), either batch maybe 1; its gradients are products again */

static HfTensor *bmm_gradient(HfNode *node, int i, HfTensor *g, HfError *err) {
  HfTensor *a = node->saved[0], *b = node->saved[1];
  const HfEdge *e = &node->edge[i];
  int64_t shape[3] = {g->shape[0], e->shape[1], e->shape[2]};
  HfTensor *d = hf_empty_as(g, g->dtype, 3, shape, err);
  bool ok = d && (i ? product(d, a, true, g, false, 0, err) : product(d, g, false, b, true, 0, err));
  if (!ok) return hf_then(d, NULL);
  return hf_then(d, hf_sum_to_edge(d, e, err));
}

static bool bmm_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  HfTensor *g = hf_contiguous_as(dout[0], node->saved[0]->dtype, err);
  bool ok = g != NULL;
  for (int i = 0; i < 2 && ok; i++)
    if (node->wants[i]) ok = (dinp[i] = bmm_gradient(node, i, g, err)) != NULL;
  hf_tensor_release(g);
  return ok;
}
static const HfOperation bmm_operation = {"matmul", bmm_backward, NULL};

static HfTensor *bmm(HfTensor *a, HfTensor *b, HfError *err) {
  if (!a || !b) return NULL;
  int64_t shape[3] = {a->shape[0] > b->shape[0] ? a->shape[0] : b->shape[0], a->shape[1], b->shape[2]};
  if (!a->shape[0] || !b->shape[0]) shape[0] = 0;
  HfTensor *c = hf_empty_as(a, a->dtype, 3, shape, err);
  if (c && hf_tensor_numel(c) && !product(c, a, false, b, false, 0, err)) c = hf_then(c, NULL);
  return hf_recorded(c, HF_OK, &(HfRecord){&bmm_operation, HF_INPUTS(a, b), HF_SAVED(a, b)}, err);
}

/* x as (batch, r, c): leading dims expanded to `lead` and folded; a lone matrix stays a batch of 1. */
static HfTensor *folded(HfTensor *x, int lead_ndim, const int64_t *lead, HfError *err) {
  int64_t shape[HF_MAX_DIMS], all[3] = {x->ndim == 2 ? 1 : -1, x->shape[x->ndim - 2], x->shape[x->ndim - 1]};
  if (x->ndim == 2) return hf_reshape(x, 3, all, err);
  memcpy(shape, lead, (size_t)lead_ndim * sizeof *shape);
  shape[lead_ndim] = all[1], shape[lead_ndim + 1] = all[2];
  all[0] = 1;
  for (int d = 0; d < lead_ndim; d++) all[0] *= lead[d];
  HfTensor *wide = hf_expand(x, lead_ndim + 2, shape, err);
  return hf_then(wide, hf_reshape(wide, 3, all, err));
}

static HfTensor *matmul_matrices(HfTensor *a, HfTensor *b, HfError *err) {
  int64_t shape[HF_MAX_DIMS], m = a->shape[a->ndim - 2], n = b->shape[b->ndim - 1];
  int lead;
  char x[HF_DESCRIPTION_SIZE], y[HF_DESCRIPTION_SIZE];
  if (a->shape[a->ndim - 1] != b->shape[b->ndim - 2])
    return hf_error_set(err, "matmul: inner sizes differ: a %s, b %s", hf_tensor_describe(a, x),
                        hf_tensor_describe(b, y)),
           NULL;
  if (!hf_shape_broadcast(a->ndim - 2, a->shape, b->ndim - 2, b->shape, &lead, shape))
    return hf_error_set(err, "matmul: batch sizes do not broadcast: a %s, b %s", hf_tensor_describe(a, x),
                        hf_tensor_describe(b, y)),
           NULL;
  if (b->ndim == 2 && a->ndim > 2) { /* one tall product */
    int64_t tall[3] = {1, -1, a->shape[a->ndim - 1]};
    if (!hf_tensor_numel(a)) tall[1] = 0, tall[0] = 1;
    HfTensor *p = hf_reshape(a, 3, tall, err), *q = folded(b, 0, NULL, err), *c = bmm(p, q, err);
    hf_tensor_release(p), hf_tensor_release(q);
    shape[lead] = m, shape[lead + 1] = n;
    return hf_then(c, hf_reshape(c, lead + 2, shape, err));
  }
  HfTensor *p = folded(a, lead, shape, err), *q = p ? folded(b, lead, shape, err) : NULL, *c = bmm(p, q, err);
  hf_tensor_release(p), hf_tensor_release(q);
  shape[lead] = m, shape[lead + 1] = n;
  return hf_then(c, hf_reshape(c, lead + 2, shape, err));
}

static HfTensor *matmul_of_one_dtype(HfTensor *a, HfTensor *b, HfError *err) {
  HfTensor *p = a->ndim == 1 ? hf_unsqueeze(a, 0, err) : (hf_tensor_retain(a), a);
  HfTensor *q = b->ndim == 1 ? hf_unsqueeze(b, 1, err) : (hf_tensor_retain(b), b);
  HfTensor *c = p && q ? matmul_matrices(p, q, err) : NULL;
  hf_tensor_release(p), hf_tensor_release(q);
  if (b->ndim == 1) c = hf_then(c, hf_squeeze(c, &(int64_t){-1}, err));
  if (a->ndim == 1) c = hf_then(c, hf_squeeze(c, &(int64_t){b->ndim == 1 ? -1 : -2}, err));
  return c;
}

HfTensor *hf_matmul(HfTensor *a, HfTensor *b, HfError *err) {
  char x[HF_DESCRIPTION_SIZE], y[HF_DESCRIPTION_SIZE];
  if (!a || !b) return NULL;
  if (!a->ndim || !b->ndim || !hf_same_device("matmul", a, b, err))
    return hf_error_set(err, "matmul: expected operands of at least 1 dim on one device: a %s, b %s",
                        hf_tensor_describe(a, x), hf_tensor_describe(b, y)),
           NULL;
  HfDtype dtype = hf_product_dtype(a, b);
  HfTensor *p = hf_cast(a, dtype, err), *q = hf_cast(b, dtype, err), *c = p && q ? matmul_of_one_dtype(p, q, err) : NULL;
  hf_tensor_release(p), hf_tensor_release(q);
  return a->dtype == b->dtype && !hf_dtype_is_float(a->dtype) ? hf_back_to(c, a->dtype, err) : c;
}

/* ---- linear: y = activation(x W^T + b), or x W + b where W is stored (in, out). Saves x, W and, with an activation, the
 * values before it. Operands and result of a 16-bit product are 16-bit copies (autocast.h); gradients of float32 operands are
 * float32 all the same, written by the products themselves.
 * dpre = dy activation'(pre);  dx = dpre W;  dW += dpre^T x (x^T dpre where it is (in, out));  db += column sums of dpre
 *
 * Where x is itself such a y, its values before the activation are kept anyway: x is made from them again in
 * the backward, and its own memory is free as soon as nobody else holds it. */

typedef struct LinearContext {
  HfActivation activation, of_input; /* of_input: saved x is the value before this activation */
  bool in_out;                       /* W is (in, out) */
  HfDtype dtype;                     /* of the products */
  int64_t rows, in, out;
} LinearContext;

static const HfOperation linear_operation;

/* What to save for x, and which activation makes x of it. */
static HfTensor *input_to_save(HfTensor *x, HfActivation *of_input) {
  const HfNode *node = x->node;
  *of_input = HF_ACT_NONE;
  if (!node || node->operation != &linear_operation || !node->saved[2] || x->storage->version) return x;
  *of_input = ((const LinearContext *)node->context)->activation;
  return node->saved[2];
}

/* The saved input as (rows, columns), after its activation; a new reference. */
static HfTensor *saved_input(HfNode *node, HfError *err) {
  static const HfUnary functions[] = {[HF_ACT_GELU] = HF_GELU,
                                      [HF_ACT_GELU_TANH] = HF_GELU_TANH,
                                      [HF_ACT_RELU] = HF_RELU,
                                      [HF_ACT_SILU] = HF_SILU,
                                      [HF_ACT_TANH] = HF_TANH};
  LinearContext *c = node->context;
  HfTensor *x = hf_tensor_view(node->saved[0], node->saved[0]->offset, 2,
                               (int64_t[]){c->rows, c->in}, (int64_t[]){c->in, 1}, err);
  if (c->of_input == HF_ACT_NONE) return x;
  return hf_then(x, hf_unary(x, functions[c->of_input], 0, err));
}

/* dpre and the bias gradient in one pass; dpre is a new reference. */
static HfTensor *before_activation(HfNode *node, HfTensor *dy, HfError *err) {
  LinearContext *c = node->context;
  HfTensor *pre = node->saved[2], *g = hf_contiguous_as(dy, c->dtype, err), *dbias = NULL, *dpre;
  float beta = 0;
  if (g && node->wants[2] && !(dbias = hf_grad_target(node, 2, &beta, err))) g = hf_then(g, NULL);
  if (!g) return NULL;
  dpre = pre ? hf_empty_like(g, err) : (hf_tensor_retain(g), g);
  HfStatus status = HF_OK;
  if (dpre && (pre || dbias))
    status = hf_tensor_kernels(g)->bias_activation_backward(
        hf_tensor_data(dpre), hf_data_or_null(dbias), hf_tensor_data(g), hf_data_or_null(pre), c->dtype,
        c->rows, g->ndim ? g->shape[g->ndim - 1] : 1, c->activation, beta);
  if (dpre && !hf_check(status, "linear", g, err)) dpre = hf_then(dpre, NULL);
  return hf_then(g, dpre);
}

/* t seen as (rows, columns); a new reference without history */
static HfTensor *flat(HfTensor *t, int64_t rows, int64_t columns, HfError *err) {
  return hf_tensor_view(t, t->offset, 2, (int64_t[]){rows, columns}, (int64_t[]){columns, 1}, err);
}

/* Where the gradient of operand i goes: its float32 sum, or a new 16-bit tensor in dinp[i] where it is a 16-bit result. */
static HfTensor *gradient_target(HfNode *node, int i, HfTensor **dinp, float *beta, HfError *err) {
  const HfEdge *e = &node->edge[i];
  if (e->leaf || e->dtype == HF_FLOAT32) return hf_grad_target(node, i, beta, err);
  *beta = 0;
  return dinp[i] = hf_tensor_empty(((LinearContext *)node->context)->dtype, e->ndim, e->shape, e->device, err);
}

static bool linear_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  LinearContext *c = node->context;
  HfTensor *w = node->saved[1], *x = saved_input(node, err),
           *dpre = x ? before_activation(node, dout[0], err) : NULL;
  HfTensor *g = dpre ? flat(dpre, c->rows, c->out, err) : NULL;
  bool ok = g != NULL;
  for (int i = 0; i < 2 && ok; i++) {
    float beta;
    if (!node->wants[i]) continue;
    HfTensor *target = gradient_target(node, i, dinp, &beta, err),
             *d = target ? flat(target, i ? w->shape[0] : c->rows, i ? w->shape[1] : c->in, err) : NULL;
    ok = d && (i == 0      ? product(d, g, false, w, c->in_out, beta, err)
               : c->in_out ? product(d, x, true, g, false, beta, err)
                           : product(d, g, true, x, false, beta, err));
    hf_tensor_release(d);
  }
  hf_tensor_release(g), hf_tensor_release(dpre), hf_tensor_release(x);
  return ok;
}
static const HfOperation linear_operation = {"linear", linear_backward, NULL};

static bool check_linear(const HfTensor *x, const HfTensor *w, const HfTensor *b, bool in_out, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], c[HF_DESCRIPTION_SIZE];
  if (w->ndim != 2 || !x->ndim || x->shape[x->ndim - 1] != w->shape[in_out ? 0 : 1])
    return hf_error_set(err, "linear: inner sizes differ: input %s, weight %s", hf_tensor_describe(x, a),
                        hf_tensor_describe(w, c));
  if (b && (b->ndim != 1 || b->shape[0] != w->shape[in_out ? 1 : 0]))
    return hf_error_set(err, "linear: bias %s does not fit weight %s", hf_tensor_describe(b, a),
                        hf_tensor_describe(w, c));
  return hf_same_device("linear", x, w, err) && (!b || hf_same_device("linear", x, b, err));
}

/* The product and its record. in: x, w, b as they came, contiguous; of: the same in the product's dtype. */
static HfTensor *linear_product(HfTensor *const *in, HfTensor *const *of, LinearContext *c, HfError *err) {
  HfTensor *x = of[0], *w = of[1], *b = of[2], *pre = NULL, *kept = c->dtype == HF_FLOAT32 ? input_to_save(in[0], &c->of_input) : x;
  int64_t shape[HF_MAX_DIMS];
  memcpy(shape, x->shape, sizeof shape);
  shape[x->ndim - 1] = c->out;
  HfTensor *out = hf_empty_as(x, c->dtype, x->ndim, shape, err);
  bool keep = c->activation != HF_ACT_NONE && hf_tape_wants(in, 3);
  if (!out || (keep && !(pre = hf_empty_like(out, err)))) return hf_then(out, NULL);
  HfMatmul m = {.dtype = c->dtype,
                .transpose_b = !c->in_out,
                .m = c->rows,
                .n = c->out,
                .k = c->in,
                .batch = 1,
                .alpha = 1,
                .a = hf_tensor_data(x),
                .lda = c->in,
                .b = hf_tensor_data(w),
                .ldb = c->in_out ? c->out : c->in,
                .c = hf_tensor_data(out),
                .ldc = c->out,
                .bias = hf_data_or_null(b),
                .activation = c->activation,
                .pre = hf_data_or_null(pre)};
  HfStatus status = hf_tensor_kernels(x)->matmul(&m);
  out = hf_recorded(out, status,
                    &(HfRecord){&linear_operation, .inputs = in, .input_count = 3, HF_SAVED(kept, w, pre), HF_CONTEXT(*c)}, err);
  hf_tensor_release(pre);
  return out;
}

/* x, w and b contiguous: in float32 for a float32 product, else as they are. */
static bool linear_operands(HfTensor **in, HfTensor *const *given, HfDtype dtype, HfError *err) {
  bool ok = true;
  for (int i = 0; i < 3 && ok; i++) {
    if (!given[i]) continue;
    in[i] = dtype == HF_FLOAT32 ? hf_float_contiguous(given[i], err) : hf_contiguous(given[i], err);
    ok = in[i] != NULL;
  }
  return ok;
}

HfTensor *hf_linear(HfTensor *x, HfTensor *weight, HfTensor *bias, HfActivation activation, bool in_out, HfError *err) {
  if (!x || !weight || !check_linear(x, weight, bias, in_out, err)) return NULL;
  HfDtype dtype = hf_product_dtype(x, weight);
  HfTensor *in[3] = {NULL}, *of[3] = {NULL}, *out = NULL;
  bool ok = linear_operands(in, (HfTensor *[]){x, weight, bias}, dtype, err);
  for (int i = 0; i < 3 && ok; i++)
    if (in[i]) ok = (of[i] = dtype == HF_FLOAT32 ? (hf_tensor_retain(in[i]), in[i]) : hf_low_copy(in[i], dtype, err)) != NULL;
  if (ok) {
    int64_t inner = weight->shape[in_out ? 0 : 1], width = weight->shape[in_out ? 1 : 0];
    LinearContext c = {activation, HF_ACT_NONE, in_out, dtype, inner ? hf_tensor_numel(x) / inner : 0, inner, width};
    out = linear_product(in, of, &c, err);
  }
  for (int i = 0; i < 3; i++) hf_tensor_release(in[i]), hf_tensor_release(of[i]);
  return dtype == HF_FLOAT32 ? hf_back_to(out, x->dtype, err) : out;
}
