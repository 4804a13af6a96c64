/* Fused layers: normalisation with residual and dropout, packed attention. */
#include "ops_internal.h"
#include <inttypes.h>

/* ---- layer norm: y = norm(residual + dropout(x)) * weight + bias over the last `dims` dims.
 * inputs: x, residual, weight, bias; saved: the sum, mean, rstd, weight */

typedef struct NormContext {
  int64_t rows, columns;
  float dropout;
  HfDropoutKey key;
} NormContext;

/* A parameter's gradient to be added to: zeroed when it is new. NULL data where it is not wanted. */
static bool grad_zeroed(HfNode *node, int i, void **data, HfError *err) {
  float beta;
  *data = NULL;
  if (!node->wants[i]) return true;
  HfTensor *t = hf_grad_target(node, i, &beta, err);
  if (!t) return false;
  *data = hf_tensor_data(t);
  return beta != 0 || hf_check(hf_tensor_kernels(t)->zero(*data, hf_tensor_bytes(t)), "backward", t, err);
}

static bool layer_norm_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  NormContext *c = node->context;
  HfTensor *sum = node->saved[0], *weight = node->saved[3], *g = hf_contiguous_as(dout[0], sum->dtype, err),
           *dsum = NULL, *dx = NULL;
  void *dweight, *dbias;
  bool ok = g && grad_zeroed(node, 2, &dweight, err) && grad_zeroed(node, 3, &dbias, err) &&
            (dsum = hf_empty_like(g, err)) && (c->dropout == 0 || (dx = hf_empty_like(g, err)));
  if (ok)
    ok = hf_check(hf_tensor_kernels(g)->layer_norm_backward(
                      hf_tensor_data(dsum), hf_data_or_null(dx), dweight, dbias, hf_tensor_data(g),
                      hf_tensor_data(sum), hf_tensor_data(node->saved[1]), hf_tensor_data(node->saved[2]),
                      hf_data_or_null(weight), sum->dtype, c->rows, c->columns, c->dropout, c->key),
                  "layer_norm", g, err);
  if (ok && node->wants[1]) hf_tensor_retain(dsum), dinp[1] = dsum;
  if (ok && node->wants[0]) dinp[0] = dx ? dx : dsum, hf_tensor_retain(dinp[0]);
  hf_tensor_release(g), hf_tensor_release(dsum), hf_tensor_release(dx);
  return ok;
}
static const HfOperation layer_norm_operation = {"layer_norm", layer_norm_backward, NULL};

/* rows and columns when the last `dims` dims are normalised together; checks the parameters' sizes. */
static bool norm_sizes(const char *op, const HfTensor *x, const HfTensor *weight, const HfTensor *bias,
                       int dims, int64_t *rows, int64_t *columns, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (dims < 1 || dims > x->ndim)
    return hf_error_set(err, "%s: cannot normalise %d dims of %s", op, dims, hf_tensor_describe(x, a));
  *rows = *columns = 1;
  for (int d = 0; d < x->ndim; d++) *(d < x->ndim - dims ? rows : columns) *= x->shape[d];
  const HfTensor *parameters[] = {weight, bias};
  for (int i = 0; i < 2; i++) {
    if (!parameters[i]) continue;
    if (hf_tensor_numel(parameters[i]) != *columns)
      return hf_error_set(err, "%s: %s %s does not fit the last %d dims of %s", op, i ? "bias" : "weight",
                          hf_tensor_describe(parameters[i], a), dims, hf_tensor_describe(x, b));
    if (!hf_same_device(op, x, parameters[i], err)) return false;
  }
  return true;
}

static HfTensor *layer_norm_of(HfTensor *const *in, NormContext *c, double eps, HfError *err) {
  HfTensor *x = in[0], *residual = in[1], *weight = in[2], *bias = in[3], *sum = NULL, *stats[2] = {NULL},
           *y = hf_empty_like(x, err);
  bool keep = residual || c->dropout > 0;
  for (int i = 0; i < 2; i++) stats[i] = hf_empty_as(x, HF_FLOAT32, 1, &c->rows, err);
  sum = keep ? hf_empty_like(x, err) : (hf_tensor_retain(x), x);
  bool ok = y && sum && stats[0] && stats[1];
  HfStatus status = !ok ? HF_OK
                        : hf_tensor_kernels(x)->layer_norm(
                              hf_tensor_data(y), keep ? hf_tensor_data(sum) : NULL, hf_tensor_data(stats[0]),
                              hf_tensor_data(stats[1]), hf_tensor_data(x), hf_data_or_null(residual),
                              hf_data_or_null(weight), hf_data_or_null(bias), x->dtype, c->rows, c->columns,
                              (float)eps, c->dropout, c->key);
  HfRecord record = {&layer_norm_operation, .inputs = in, .input_count = 4,
                     HF_SAVED(sum, stats[0], stats[1], weight), HF_CONTEXT(*c)};
  y = hf_recorded(ok ? y : hf_then(y, NULL), status, &record, err);
  hf_tensor_release(sum), hf_tensor_release(stats[0]), hf_tensor_release(stats[1]);
  return y;
}

/* Makes the operands contiguous and of a dtype; false when one failed. NULL operands stay NULL. */
static bool operands_as(HfDtype dtype, HfTensor **out, HfTensor *const *in, int count, HfError *err) {
  bool ok = true;
  for (int i = 0; i < count; i++) {
    out[i] = in[i] ? hf_contiguous_as(in[i], dtype, err) : NULL;
    ok = ok && (out[i] || !in[i]);
  }
  return ok;
}

/* The dtype a norm of residual + x runs in and gives. */
static HfDtype norm_dtype_of(const HfTensor *x, const HfTensor *residual) {
  HfDtype dtype = hf_norm_dtype(x);
  return residual && residual->dtype != dtype ? HF_FLOAT32 : dtype;
}

HfTensor *hf_layer_norm(HfTensor *x, HfTensor *residual, HfTensor *weight, HfTensor *bias, int dims,
                        double eps, double dropout, HfError *err) {
  NormContext context = {.dropout = (float)dropout};
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (!x || !norm_sizes("layer_norm", x, weight, bias, dims, &context.rows, &context.columns, err))
    return NULL;
  if (residual && !hf_tensor_same_shape(x, residual))
    return hf_error_set(err, "layer_norm: residual %s must have the shape of %s",
                        hf_tensor_describe(residual, a), hf_tensor_describe(x, b)),
           NULL;
  if (!(dropout >= 0 && dropout <= 1))
    return hf_error_set(err, "layer_norm: dropout must be in 0 .. 1, found %g", dropout), NULL;
  if (dropout > 0) context.key = hf_dropout_key();
  HfTensor *in[4] = {x, residual, weight, bias}, *f[4] = {NULL};
  bool ok = operands_as(norm_dtype_of(x, residual), f, in, 2, err) && operands_as(HF_FLOAT32, f + 2, in + 2, 2, err);
  HfTensor *y = ok ? layer_norm_of(f, &context, eps, err) : NULL;
  for (int i = 0; i < 4; i++) hf_tensor_release(f[i]);
  return hf_dtype_is_float(x->dtype) ? y : hf_back_to(y, x->dtype, err);
}

/* ---- rms norm; inputs: x, weight; saved: x, rstd, weight */

static bool rms_norm_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  NormContext *c = node->context;
  HfTensor *x = node->saved[0], *weight = node->saved[2], *g = hf_contiguous_as(dout[0], x->dtype, err),
           *dx = g ? hf_empty_like(g, err) : NULL;
  void *dweight;
  bool ok =
      dx && grad_zeroed(node, 1, &dweight, err) &&
      hf_check(hf_tensor_kernels(g)->rms_norm_backward(
                   hf_tensor_data(dx), dweight, hf_tensor_data(g), hf_tensor_data(x),
                   hf_tensor_data(node->saved[1]), hf_data_or_null(weight), x->dtype, c->rows, c->columns),
               "rms_norm", g, err);
  hf_tensor_release(g);
  return dinp[0] = ok ? dx : hf_then(dx, NULL), ok;
}
static const HfOperation rms_norm_operation = {"rms_norm", rms_norm_backward, NULL};

HfTensor *hf_rms_norm(HfTensor *x, HfTensor *weight, int dims, double eps, HfError *err) {
  NormContext c = {0};
  if (!x || !norm_sizes("rms_norm", x, weight, NULL, dims, &c.rows, &c.columns, err)) return NULL;
  HfTensor *in[2] = {x, weight}, *f[2] = {NULL}, *y = NULL, *rstd = NULL;
  bool ok = operands_as(hf_norm_dtype(x), f, in, 1, err) && operands_as(HF_FLOAT32, f + 1, in + 1, 1, err) && (y = hf_empty_like(f[0], err)) &&
            (rstd = hf_empty_as(x, HF_FLOAT32, 1, &c.rows, err));
  HfStatus status =
      !ok ? HF_OK
          : hf_tensor_kernels(x)->rms_norm(hf_tensor_data(y), hf_tensor_data(rstd), hf_tensor_data(f[0]),
                                           hf_data_or_null(f[1]), f[0]->dtype, c.rows, c.columns, (float)eps);
  y = hf_recorded(ok ? y : hf_then(y, NULL), status,
                  &(HfRecord){&rms_norm_operation, .inputs = f, .input_count = 2, HF_SAVED(f[0], rstd, f[1]),
                              HF_CONTEXT(c)},
                  err);
  hf_tensor_release(f[0]), hf_tensor_release(f[1]), hf_tensor_release(rstd);
  return hf_dtype_is_float(x->dtype) ? y : hf_back_to(y, x->dtype, err);
}

/* ---- rotary positions; saved: cosine, sine. The gradient is turned back. */

/* A copy of x (N, heads, D), turned. */
static HfTensor *turned(HfTensor *x, HfTensor *cosine, HfTensor *sine, bool inverse, HfError *err) {
  HfTensor *f = hf_contiguous_as(x, hf_dtype_is_float(x->dtype) ? x->dtype : HF_FLOAT32, err), *y = f ? hf_empty_like(f, err) : NULL;
  if (y) {
    const HfKernels *k = hf_tensor_kernels(y);
    HfStatus status = k->copy(hf_tensor_data(y), hf_tensor_data(f), hf_tensor_bytes(y));
    if (status == HF_OK)
      status = k->rotary(hf_tensor_data(y), y->dtype, hf_tensor_data(cosine), hf_tensor_data(sine), x->shape[0], x->shape[1],
                         x->shape[2], x->shape[1] * x->shape[2], inverse);
    if (!hf_check(status, "rotary", y, err)) y = hf_then(y, NULL);
  }
  return hf_then(f, y);
}

static bool rotary_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  return (dinp[0] = turned(dout[0], node->saved[0], node->saved[1], true, err)) != NULL;
}
static const HfOperation rotary_operation = {"rotary", rotary_backward, NULL};

static bool check_rotary(const HfTensor *x, const HfTensor *angles, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (x->ndim != 3 || x->shape[2] % 2 || angles->ndim != 2 || angles->shape[0] != x->shape[0] || angles->shape[1] != x->shape[2] / 2)
    return hf_error_set(err, "rotary: expected x (N, heads, D), D even, and cosine and sine (N, D/2): x %s, found %s",
                        hf_tensor_describe(x, a), hf_tensor_describe(angles, b));
  return hf_same_device("rotary", x, angles, err);
}

HfTensor *hf_rotary(HfTensor *x, HfTensor *cosine, HfTensor *sine, HfError *err) {
  if (!x || !cosine || !sine || !check_rotary(x, cosine, err) || !check_rotary(x, sine, err)) return NULL;
  HfTensor *in[2] = {cosine, sine}, *f[2] = {NULL}, *y = NULL;
  if (operands_as(HF_FLOAT32, f, in, 2, err)) y = turned(x, f[0], f[1], false, err);
  y = hf_recorded(y, HF_OK, &(HfRecord){&rotary_operation, HF_INPUTS(x), HF_SAVED(f[0], f[1])}, err);
  hf_tensor_release(f[0]), hf_tensor_release(f[1]);
  return hf_back_to(y, x->dtype, err);
}

/* ---- attention over packed sequences; saved: q, k, v, out, lse. The context owns a copy of the offsets. q, k and v are three
 * operands, or views of one that holds them side by side. */

typedef struct AttentionContext {
  HfAttention a;
  int32_t *offsets; /* cu_q then cu_k */
  bool joined;
} AttentionContext;

static void attention_release(void *context) { hf_free(((AttentionContext *)context)->offsets); }

static void set_operands(HfAttention *a, HfTensor *q, HfTensor *k, HfTensor *v) {
  a->q = hf_tensor_data(q), a->k = hf_tensor_data(k), a->v = hf_tensor_data(v);
  a->q_stride = q->stride[0], a->k_stride = k->stride[0], a->v_stride = v->stride[0];
}

/* The gradients d of three operands. Views of a wider matrix are copied first, so that operands and gradients have the same
 * strides. */
static bool apart_backward(HfNode *node, HfTensor *g, HfTensor **d, HfError *err) {
  HfAttention a = ((AttentionContext *)node->context)->a;
  HfTensor *contiguous[3] = {NULL};
  bool ok = true;
  for (int i = 0; i < 3 && ok; i++)
    ok = (d[i] = hf_empty_like(node->saved[i], err)) && (contiguous[i] = hf_contiguous(node->saved[i], err));
  if (ok) {
    set_operands(&a, contiguous[0], contiguous[1], contiguous[2]);
    ok = hf_check(hf_tensor_kernels(g)->attention_backward(hf_tensor_data(d[0]), hf_tensor_data(d[1]), hf_tensor_data(d[2]),
                                                           hf_tensor_data(g), hf_tensor_data(node->saved[3]),
                                                           hf_tensor_data(node->saved[4]), &a),
                  "attention", g, err);
  }
  for (int i = 0; i < 3; i++) {
    hf_tensor_release(contiguous[i]);
    if (!ok) d[i] = hf_then(d[i], NULL);
  }
  return ok;
}

/* The gradient of the operand whose views q, k and v are: one matrix, its three parts written in place. */
static bool joined_backward(HfNode *node, HfTensor *g, HfTensor **d, HfError *err) {
  HfAttention a = ((AttentionContext *)node->context)->a;
  HfTensor *q = node->saved[0], *k = node->saved[1], *v = node->saved[2];
  HfTensor *whole = hf_empty_as(g, q->dtype, 2, (int64_t[]){q->shape[0], q->stride[0]}, err);
  char *first = whole ? hf_tensor_data(whole) : NULL;
  int64_t size = (int64_t)hf_dtype_size(q->dtype);
  set_operands(&a, q, k, v);
  bool ok = whole && hf_check(hf_tensor_kernels(g)->attention_backward(first, first + (k->offset - q->offset) * size,
                                                                       first + (v->offset - q->offset) * size, hf_tensor_data(g),
                                                                       hf_tensor_data(node->saved[3]), hf_tensor_data(node->saved[4]), &a),
                              "attention", g, err);
  return d[0] = ok ? whole : hf_then(whole, NULL), ok;
}

static bool attention_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  HfTensor *g = hf_contiguous_as(dout[0], node->saved[0]->dtype, err);
  bool joined = ((AttentionContext *)node->context)->joined;
  bool ok = g && (joined ? joined_backward(node, g, dinp, err) : apart_backward(node, g, dinp, err));
  hf_tensor_release(g);
  return ok;
}
static const HfOperation attention_operation = {"attention", attention_backward, attention_release};

static bool check_attention(const HfTensor *q, const HfTensor *k, const HfTensor *v, const int32_t *cu_q,
                            const int32_t *cu_k, int64_t sequences, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (q->ndim != 3 || k->ndim != 3 || !hf_tensor_same_shape(k, v) || q->shape[2] != k->shape[2] ||
      !k->shape[1] || q->shape[1] % k->shape[1])
    return hf_error_set(err, "attention: expected q (Nq, heads, D) and k, v (Nk, kv_heads, D): q %s, k %s",
                        hf_tensor_describe(q, a), hf_tensor_describe(k, b));
  for (int64_t i = 0; i < sequences; i++)
    if (cu_q[i] < 0 || cu_q[i + 1] < cu_q[i] || cu_k[i] < 0 || cu_k[i + 1] < cu_k[i])
      return hf_error_set(err, "attention: sequence offsets must not fall (sequence %" PRId64 ")", i + 1);
  if (cu_q[sequences] != q->shape[0] || cu_k[sequences] != k->shape[0])
    return hf_error_set(err, "attention: offsets end at %d and %d, expected %" PRId64 " and %" PRId64,
                        cu_q[sequences], cu_k[sequences], q->shape[0], k->shape[0]);
  return hf_same_device("attention", q, k, err) && hf_same_device("attention", q, v, err);
}

/* Of a dtype, with heads D apart; a view of a wider matrix is used as it is. */
static HfTensor *head_operand(HfTensor *t, HfDtype dtype, HfError *err) {
  bool usable = t->dtype == dtype && t->stride[2] == 1 && t->stride[1] == t->shape[2] &&
                t->stride[0] >= t->shape[1] * t->shape[2];
  return usable ? (hf_tensor_retain(t), t) : hf_contiguous_as(t, dtype, err);
}

/* out of q, k, v (in), recorded for the operands it came from: these three, or the one that holds them. */
static HfTensor *attention_of(HfTensor *const *in, HfTensor *joined, AttentionContext *c, HfError *err) {
  HfTensor *q = in[0], *out = hf_empty_as(q, q->dtype, 3, q->shape, err), *lse = hf_empty_as(q, HF_FLOAT32, 2, q->shape, err);
  set_operands(&c->a, q, in[1], in[2]);
  c->a.out_stride = q->shape[1] * q->shape[2];
  HfStatus status =
      out && lse ? hf_tensor_kernels(q)->attention(hf_tensor_data(out), hf_tensor_data(lse), &c->a) : HF_OK;
  HfRecord record = {&attention_operation, .inputs = joined ? &joined : in, .input_count = joined ? 1 : 3,
                     HF_SAVED(q, in[1], in[2], out, lse), HF_CONTEXT(*c)};
  out = hf_recorded(lse ? out : hf_then(out, NULL), status, &record, err);
  hf_tensor_release(lse);
  return out;
}

/* Attention with a copy of the offsets, which the node comes to own. joined may be NULL. */
static HfTensor *attention_with(HfTensor *const *in, HfTensor *joined, const HfSequences *s, HfError *err) {
  HfTensor *q = in[0], *k = in[1];
  if (!check_attention(q, k, in[2], s->cu_q, s->cu_k, s->count, err)) return NULL;
  if (!(s->dropout >= 0 && s->dropout < 1))
    return hf_error_set(err, "attention: dropout must be in 0 .. 1, found %g", s->dropout), NULL;
  size_t bytes = (size_t)(s->count + 1) * sizeof(int32_t);
  AttentionContext c = {.offsets = hf_malloc(2 * bytes, "attention", err), .joined = joined != NULL};
  if (!c.offsets) return NULL;
  memcpy(c.offsets, s->cu_q, bytes), memcpy(c.offsets + s->count + 1, s->cu_k, bytes);
  c.a = (HfAttention){.dtype = q->dtype,
                      .sequences = s->count,
                      .heads = q->shape[1],
                      .kv_heads = k->shape[1],
                      .head_dim = q->shape[2],
                      .cu_q = c.offsets,
                      .cu_k = c.offsets + s->count + 1,
                      .causal = s->causal,
                      .scale = (float)s->scale,
                      .dropout = (float)s->dropout,
                      .dropout_key = s->dropout > 0 ? hf_dropout_key() : (HfDropoutKey){0}};
  HfTensor *out = attention_of(in, joined, &c, err);
  if (!out || !out->node || out->node->operation != &attention_operation)
    hf_free(c.offsets); /* else the node owns them */
  return out;
}

HfTensor *hf_attention(HfTensor *q, HfTensor *k, HfTensor *v, const HfSequences *sequences, HfError *err) {
  if (!q || !k || !v) return NULL;
  char text[HF_DESCRIPTION_SIZE];
  if (q->ndim != 3 || k->ndim != 3 || v->ndim != 3)
    return hf_error_set(err, "attention: expected q, k, v of 3 dims: q %s", hf_tensor_describe(q, text)), NULL;
  HfDtype dtype = hf_product_dtype(q, k->dtype == v->dtype ? k : q);
  if (k->dtype != v->dtype && hf_autocast_get(hf_tensor_device(q)) == HF_FLOAT32) dtype = HF_FLOAT32;
  HfTensor *in[3] = {head_operand(q, dtype, err), head_operand(k, dtype, err), head_operand(v, dtype, err)}, *out = NULL;
  if (in[0] && in[1] && in[2]) out = attention_with(in, NULL, sequences, err);
  for (int i = 0; i < 3; i++) hf_tensor_release(in[i]);
  return dtype == HF_FLOAT32 ? hf_back_to(out, q->dtype, err) : out;
}

HfTensor *hf_attention_joined(HfTensor *qkv, int64_t heads, const HfSequences *sequences, HfError *err) {
  char text[HF_DESCRIPTION_SIZE];
  if (!qkv) return NULL;
  if (qkv->ndim != 2 || heads < 1 || qkv->shape[1] % (3 * heads))
    return hf_error_set(err, "attention: expected (N, 3 heads D) with %" PRId64 " heads, found %s", heads, hf_tensor_describe(qkv, text)), NULL;
  HfDtype dtype = hf_product_dtype(qkv, qkv);
  HfTensor *whole = hf_contiguous_as(qkv, dtype, err), *in[3] = {NULL}, *out = NULL;
  int64_t width = qkv->shape[1], C = width / 3, D = C / heads;
  bool ok = whole != NULL;
  for (int i = 0; i < 3 && ok; i++)
    ok = (in[i] = hf_tensor_view(whole, whole->offset + i * C, 3, (int64_t[]){qkv->shape[0], heads, D}, (int64_t[]){width, D, 1}, err)) != NULL;
  if (ok) out = attention_with(in, whole, sequences, err);
  for (int i = 0; i < 3; i++) hf_tensor_release(in[i]);
  hf_tensor_release(whole);
  out = hf_then(out, out ? hf_reshape(out, 2, (int64_t[]){qkv->shape[0], C}, err) : NULL);
  return dtype == HF_FLOAT32 ? hf_back_to(out, qkv->dtype, err) : out;
}
