/* Cross entropy, over given logits and over logits made in chunks. */
#include "ops_internal.h"
#include "twin.h"
#include <inttypes.h>
#include <math.h>

typedef struct LossContext {
  int64_t rows, classes, ignore;
  float smoothing;
  HfReduction reduction;
} LossContext;

/* total (one number) grows by the weights of the labels that count: what a mean divides by. It stays on the device. */
static bool loss_kernel(HfTensor *loss, HfTensor *lse, HfTensor *total, HfTensor *logits, HfTensor *labels,
                        HfTensor *weight, const LossContext *c, HfError *err) {
  int64_t bad = 0;
  HfStatus status = hf_tensor_kernels(logits)->cross_entropy(
      hf_tensor_data(loss), hf_tensor_data(lse), hf_tensor_data(total), hf_tensor_data(logits), hf_tensor_data(labels),
      hf_data_or_null(weight), HF_FLOAT32, hf_tensor_numel(labels), c->classes, c->classes, c->ignore,
      c->smoothing, &bad);
  if (status != HF_BAD_INDEX) return hf_check(status, "cross_entropy", logits, err);
  return hf_error_set(err,
                      "cross_entropy: label %" PRId64 " is out of range; the model has %" PRId64
                      " classes (labels 0 .. %" PRId64 ", or %" PRId64
                      " to ignore); set num_labels or check the labels",
                      bad, c->classes, c->classes - 1, c->ignore);
}

/* Per-row upstream gradient: dout itself for none, else dout spread over the rows, divided for the mean. */
static HfTensor *row_gradient(HfTensor *dout, HfTensor *total, const LossContext *c, HfError *err) {
  HfTensor *g = hf_float_contiguous(dout, err);
  if (c->reduction == HF_REDUCE_NONE) return hf_then(g, hf_reshape(g, 1, &c->rows, err));
  if (c->reduction == HF_REDUCE_MEAN) g = hf_then(g, hf_binary(g, total, HF_DIV, err));
  g = hf_then(g, g ? hf_expand(g, 1, &c->rows, err) : NULL);
  return hf_then(g, hf_contiguous(g, err));
}

static bool cross_entropy_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  LossContext *c = node->context;
  HfTensor *logits = node->saved[0], *lse = node->saved[1], *labels = node->saved[2],
           *weight = node->saved[3];
  HfTensor *g = row_gradient(dout[0], node->saved[4], c, err), *d = g ? hf_empty_like(logits, err) : NULL;
  bool ok = d && hf_check(hf_tensor_kernels(d)->cross_entropy_backward(
                              hf_tensor_data(d), hf_tensor_data(g), hf_tensor_data(logits),
                              hf_tensor_data(lse), hf_tensor_data(labels), hf_data_or_null(weight),
                              HF_FLOAT32, c->rows, c->classes, c->classes, c->ignore, c->smoothing),
                          "cross_entropy", d, err);
  hf_tensor_release(g);
  return dinp[0] = ok ? d : hf_then(d, NULL), ok;
}
static const HfOperation cross_entropy_operation = {"cross_entropy", cross_entropy_backward, NULL};

/* (N) losses to what the caller asked for. No label that counts: NaN, as in PyTorch. */
static HfTensor *reduced(HfTensor *loss, HfTensor *total, const LossContext *c, const HfTensor *labels, HfError *err) {
  if (c->reduction == HF_REDUCE_NONE) return hf_reshape(loss, labels->ndim, labels->shape, err);
  HfTensor *sum = hf_reduce(loss, HF_SUM, 0, NULL, false, err);
  if (c->reduction == HF_REDUCE_MEAN) sum = hf_then(sum, hf_binary(sum, total, HF_DIV, err));
  return sum;
}

static bool check_loss(const HfTensor *logits, const HfTensor *labels, const HfTensor *weight,
                       double smoothing, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  int64_t classes = logits->ndim ? logits->shape[logits->ndim - 1] : 0;
  if (!logits->ndim || hf_tensor_numel(labels) * classes != hf_tensor_numel(logits))
    return hf_error_set(
        err, "cross_entropy: logits %s and labels %s do not belong together; expected (N, classes) and (N)",
        hf_tensor_describe(logits, a), hf_tensor_describe(labels, b));
  if (hf_dtype_is_float(labels->dtype))
    return hf_error_set(err, "cross_entropy: labels: expected int64 class numbers, found %s",
                        hf_tensor_describe(labels, a));
  if (weight && hf_tensor_numel(weight) != classes)
    return hf_error_set(err, "cross_entropy: weight %s: expected one value for each of %" PRId64 " classes",
                        hf_tensor_describe(weight, a), classes);
  if (!(smoothing >= 0 && smoothing <= 1))
    return hf_error_set(err, "cross_entropy: label_smoothing must be in 0 .. 1, found %g", smoothing);
  return hf_same_device("cross_entropy", logits, labels, err) && (!weight || hf_same_device("cross_entropy", logits, weight, err));
}

/* logits (N, V) float32 contiguous, labels (N) int64 contiguous */
static HfTensor *cross_entropy_float(HfTensor *logits, HfTensor *labels, HfTensor *weight, LossContext *c,
                                     HfError *err) {
  HfTensor *loss = hf_empty_as(logits, HF_FLOAT32, 1, &c->rows, err),
           *lse = hf_empty_as(logits, HF_FLOAT32, 1, &c->rows, err),
           *total = hf_scalar_like(logits, HF_FLOAT32, 0, err);
  bool was = hf_tape_set_enabled(false);
  HfTensor *out = loss && lse && total && loss_kernel(loss, lse, total, logits, labels, weight, c, err)
                      ? reduced(loss, total, c, labels, err)
                      : NULL;
  hf_tape_set_enabled(was);
  out = hf_recorded(out, HF_OK,
                    &(HfRecord){&cross_entropy_operation, HF_INPUTS(logits),
                                HF_SAVED(logits, lse, labels, weight, total), HF_CONTEXT(*c)},
                    err);
  hf_tensor_release(loss), hf_tensor_release(lse), hf_tensor_release(total);
  return out;
}

HfTensor *hf_cross_entropy(HfTensor *logits, HfTensor *labels, HfTensor *weight, int64_t ignore,
                           double smoothing, HfReduction reduction, HfError *err) {
  if (!logits || !labels || !check_loss(logits, labels, weight, smoothing, err)) return NULL;
  LossContext context = {.rows = hf_tensor_numel(labels),
                         .classes = logits->shape[logits->ndim - 1],
                         .ignore = ignore,
                         .smoothing = (float)smoothing,
                         .reduction = reduction};
  HfTensor *l = hf_float_contiguous(logits, err), *y = hf_cast(labels, HF_INT64, err),
           *w = weight ? hf_float_contiguous(weight, err) : NULL;
  y = hf_then(y, hf_contiguous(y, err));
  HfTensor *out = l && y && (w || !weight) ? cross_entropy_float(l, y, w, &context, err) : NULL;
  hf_tensor_release(l), hf_tensor_release(y), hf_tensor_release(w);
  return out;
}

/* ---- the loss of a linear layer over a large vocabulary. Logits exist for one chunk of rows at a time:
 * forward makes them, turns them into their gradient (for an upstream gradient of 1) and adds the products to
 * dx, dW and db at once; backward only scales, where it must. Rows whose label is ignored are left out first.
 * saved: dx, dW, db */

/* Rows of a chunk: many, since dW is read and written for each; 2^26 logits at most, but 64 rows. */
static int64_t chunk_rows(int64_t rows, int64_t classes) {
  int64_t most = ((int64_t)64 << 20) / (classes > 0 ? classes : 1);
  if (most > 1024) most = 1024;
  if (most < 64) most = 64;
  return rows < most ? rows : most;
}

/* Gradient i for an upstream gradient `scale`. On the processor what was saved is scaled in place, or given as it is. */
static HfTensor *scaled_gradient(HfNode *node, int i, HfTensor *scale, HfError *err) {
  double factor;
  int64_t whole;
  bool in_place = node->last && node->saved[i]->dtype == HF_FLOAT32 && hf_tensor_device(scale) == hf_device_cpu();
  if (!in_place) return hf_binary(node->saved[i], scale, HF_MUL, err);
  if (!hf_tensor_item(scale, &factor, &whole, err)) return NULL;
  HfTensor *taken = node->saved[i];
  HfStatus status = factor == 1 ? HF_OK : hf_tensor_kernels(taken)->scale(hf_tensor_data(taken), hf_tensor_numel(taken), (float)factor);
  if (!hf_check(status, "linear_cross_entropy", taken, err)) return NULL;
  return node->saved[i] = NULL, taken;
}

static bool linear_loss_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  HfTensor *scale = hf_float_contiguous(dout[0], err);
  bool ok = scale != NULL;
  for (int i = 0; i < 3 && ok; i++)
    if (node->wants[i]) ok = (dinp[i] = scaled_gradient(node, i, scale, err)) != NULL;
  hf_tensor_release(scale);
  return ok;
}
static const HfOperation linear_loss_operation = {"linear_cross_entropy", linear_loss_backward, NULL};

/* What one pass over the chunks needs; matrices contiguous on one device. Products run in `dtype`, with logits and their
 * gradient in it; dx is float32 or of it, dw and db are float32. */
typedef struct Chunks {
  const LossContext *c;
  HfDtype dtype;
  HfTensor *x, *w, *b, *labels;    /* (N, C), (V, C), (V) of dtype, (N) */
  HfTensor *dx, *dw, *db;          /* NULL where not wanted */
  HfTensor *logits, *lse, *shares; /* of a chunk; what each of its rows weighs in the result */
  HfTensor *loss, *total;          /* (N); one number: how many labels count */
  int64_t ld;                      /* elements from row to row of logits */
} Chunks;

/* Row `row` of a matrix (N, C), or NULL. */
static void *row_of(HfTensor *t, int64_t row) {
  return t ? (char *)hf_tensor_data(t) + (size_t)(row * t->shape[1]) * hf_dtype_size(t->dtype) : NULL;
}

static bool chunk_products(Chunks *s, int64_t row, int64_t n, HfError *err) {
  int64_t C = s->x->shape[1], V = s->w->shape[0];
  const HfKernels *k = hf_tensor_kernels(s->x);
  void *g = hf_tensor_data(s->logits);
  float beta = row ? 1 : 0;
  HfMatmul dx = {.dtype = s->dtype,
                 .float_c = s->dx && s->dx->dtype == HF_FLOAT32,
                 .m = n,
                 .n = C,
                 .k = V,
                 .batch = 1,
                 .alpha = 1,
                 .a = g,
                 .lda = s->ld,
                 .b = hf_tensor_data(s->w),
                 .ldb = C,
                 .c = row_of(s->dx, row),
                 .ldc = C};
  HfMatmul dw = {.dtype = s->dtype,
                 .float_c = true,
                 .transpose_a = true,
                 .m = V,
                 .n = C,
                 .k = n,
                 .batch = 1,
                 .alpha = 1,
                 .beta = beta,
                 .a = g,
                 .lda = s->ld,
                 .b = row_of(s->x, row),
                 .ldb = C,
                 .c = hf_data_or_null(s->dw),
                 .ldc = C};
  return (!s->dx || hf_check(k->matmul(&dx), "linear_cross_entropy", s->x, err)) &&
         (!s->dw || hf_check(k->matmul(&dw), "linear_cross_entropy", s->w, err)) &&
         (!s->db || hf_check(k->bias_activation_backward(g, hf_tensor_data(s->db), g, NULL, s->dtype, n, V,
                                                         HF_ACT_NONE, beta),
                             "linear_cross_entropy", s->w, err));
}

static bool run_chunk(Chunks *s, int64_t row, int64_t n, HfError *err) {
  int64_t C = s->x->shape[1], V = s->w->shape[0], bad = 0;
  const HfKernels *k = hf_tensor_kernels(s->x);
  int64_t *labels = (int64_t *)hf_tensor_data(s->labels) + row;
  void *g = hf_tensor_data(s->logits);
  HfMatmul m = {.dtype = s->dtype,
                .transpose_b = true,
                .m = n,
                .n = V,
                .k = C,
                .batch = 1,
                .alpha = 1,
                .a = row_of(s->x, row),
                .lda = C,
                .b = hf_tensor_data(s->w),
                .ldb = C,
                .c = g,
                .ldc = s->ld,
                .bias = hf_data_or_null(s->b)};
  if (!hf_check(k->matmul(&m), "linear_cross_entropy", s->x, err)) return false;
  HfStatus status = k->cross_entropy((float *)hf_tensor_data(s->loss) + row, hf_tensor_data(s->lse),
                                     hf_tensor_data(s->total), g, labels, NULL, s->dtype, n, V, s->ld, s->c->ignore, s->c->smoothing, &bad);
  if (status == HF_BAD_INDEX)
    return hf_error_set(
        err, "cross_entropy: label %" PRId64 " is out of range; the vocabulary has %" PRId64 " entries", bad,
        V);
  if (!hf_check(status, "linear_cross_entropy", s->x, err)) return false;
  if (!s->dx && !s->dw && !s->db) return true;
  status = k->cross_entropy_backward(g, hf_tensor_data(s->shares), g, hf_tensor_data(s->lse), labels, NULL,
                                     s->dtype, n, V, s->ld, s->c->ignore, s->c->smoothing);
  return hf_check(status, "linear_cross_entropy", s->x, err) && chunk_products(s, row, n, err);
}

static HfTensor *finish_chunks(Chunks *s, HfTensor *const *in, HfError *err) {
  bool was = hf_tape_set_enabled(false);
  HfTensor *out = reduced(s->loss, s->total, s->c, s->labels, err);
  hf_tape_set_enabled(was);
  return hf_recorded(out, HF_OK,
                     &(HfRecord){&linear_loss_operation, .inputs = in, .input_count = 3,
                                 HF_SAVED(s->dx, s->dw, s->db)},
                     err);
}

/* Room for the gradient of a parameter: the first chunk writes it; without rows it is zero. */
static HfTensor *gradient_of(HfTensor *parameter, int64_t rows, HfError *err) {
  if (rows) return hf_empty_as(parameter, HF_FLOAT32, parameter->ndim, parameter->shape, err);
  return hf_tensor_zeros(HF_FLOAT32, parameter->ndim, parameter->shape, hf_tensor_device(parameter), err);
}

/* Room for the gradients of in (x, w, b) that are wanted. */
static bool gradients_of(Chunks *s, HfTensor *const *in, int64_t rows, HfError *err) {
  if (!hf_tape_enabled()) return true;
  HfDtype of_x = in[0]->node && in[0]->dtype == s->dtype ? s->dtype : HF_FLOAT32;
  return (!in[0]->requires_grad || (s->dx = hf_empty_as(in[0], of_x, 2, in[0]->shape, err))) &&
         (!in[1]->requires_grad || (s->dw = gradient_of(in[1], rows, err))) &&
         (!in[2] || !in[2]->requires_grad || (s->db = gradient_of(in[2], rows, err)));
}

/* Rows of logits begin at multiples of 16 bytes, which wide loads and tensor cores ask for; a bias gradient adds up whole rows
 * and has them dense. */
static int64_t row_step(const Chunks *s, int64_t V) { return s->db ? V : (V + 7) / 8 * 8; }

/* Every label counts: those that do not were left out. in: x, w, b as they came; of: the same in the products' dtype. */
static HfTensor *linear_loss_of(HfTensor *const *in, HfTensor *const *of, HfTensor *labels, const LossContext *c, HfError *err) {
  HfTensor *x = of[0], *out = NULL;
  int64_t rows = x->shape[0], chunk = chunk_rows(rows, of[1]->shape[0]);
  double share = c->reduction == HF_REDUCE_MEAN && rows ? 1.0 / (double)rows : 1.0;
  Chunks s = {.c = c, .dtype = x->dtype, .x = x, .w = of[1], .b = of[2], .labels = labels};
  bool ok = gradients_of(&s, in, rows, err) && (s.ld = row_step(&s, of[1]->shape[0]), s.logits = hf_empty_as(x, x->dtype, 2, (int64_t[]){chunk, s.ld}, err)) &&
            (s.loss = hf_empty_as(x, HF_FLOAT32, 1, &rows, err)) && (s.total = hf_scalar_like(x, HF_FLOAT32, 0, err)) &&
            (s.lse = hf_empty_as(x, HF_FLOAT32, 1, &chunk, err)) &&
            (s.shares = hf_tensor_full(HF_FLOAT32, 1, &chunk, share, hf_tensor_device(x), err));
  for (int64_t row = 0; row < rows && ok; row += chunk)
    ok = run_chunk(&s, row, row + chunk < rows ? chunk : rows - row, err);
  if (ok) out = finish_chunks(&s, in, err);
  hf_tensor_release(s.dx), hf_tensor_release(s.dw), hf_tensor_release(s.db), hf_tensor_release(s.logits),
      hf_tensor_release(s.loss), hf_tensor_release(s.total), hf_tensor_release(s.lse), hf_tensor_release(s.shares);
  return out;
}

/* The same of operands in any dtype. bfloat16 products stay in it; float16 would lose gradients before they are scaled, so
 * its products run in float32. */
static HfTensor *linear_loss(HfTensor *x, HfTensor *w, HfTensor *b, HfTensor *labels, const LossContext *c, HfError *err) {
  bool low = hf_product_dtype(x, w) == HF_BFLOAT16, ok = true;
  HfTensor *given[3] = {x, w, b}, *in[3] = {NULL}, *of[3] = {NULL}, *out = NULL;
  for (int i = 0; i < 3 && ok; i++) {
    if (!given[i]) continue;
    ok = (in[i] = low ? hf_contiguous(given[i], err) : hf_float_contiguous(given[i], err)) &&
         (of[i] = low ? hf_low_copy(in[i], HF_BFLOAT16, err) : (hf_tensor_retain(in[i]), in[i]));
  }
  if (ok) out = linear_loss_of(in, of, labels, c, err);
  for (int i = 0; i < 3; i++) hf_tensor_release(in[i]), hf_tensor_release(of[i]);
  return out;
}

/* The rows of x whose label counts; *kept are their labels. Which ones is found where the labels are known: on the host if they have a
 * twin there. */
static HfTensor *counted_rows(HfTensor *x, HfTensor *labels, int64_t ignore, HfTensor **kept, HfError *err) {
  HfTensor *known = hf_twin_of(labels);
  if (!known) known = labels, hf_tensor_retain(known);
  HfTensor *skip = hf_scalar_like(known, HF_INT64, (double)ignore, err),
           *mask = hf_compare(known, skip, HF_NE, err), *at = hf_nonzero(mask, err), *rows = NULL;
  at = hf_then(at, hf_reshape(at, 1, &(int64_t){-1}, err));
  if (at && hf_tensor_numel(at) == hf_tensor_numel(labels)) {
    rows = x, hf_tensor_retain(x), *kept = labels, hf_tensor_retain(labels);
  } else if (at) {
    at = hf_then(at, hf_to_device(at, hf_tensor_device(x), err));
    rows = hf_index_select(x, 0, at, err), *kept = hf_index_select(labels, 0, at, err);
  }
  hf_tensor_release(known), hf_tensor_release(skip), hf_tensor_release(mask), hf_tensor_release(at);
  return rows;
}

HfTensor *hf_linear_cross_entropy(HfTensor *x, HfTensor *weight, HfTensor *bias, HfTensor *labels,
                                  int64_t ignore, double smoothing, HfReduction reduction, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (!x || !weight || !labels) return NULL;
  if (reduction == HF_REDUCE_NONE)
    return hf_error_set(err, "linear_cross_entropy: reduction: expected mean or sum"), NULL;
  if (weight->ndim != 2 || !x->ndim || x->shape[x->ndim - 1] != weight->shape[1] ||
      hf_tensor_numel(labels) * weight->shape[1] != hf_tensor_numel(x))
    return hf_error_set(
               err, "linear_cross_entropy: input %s, weight %s and %" PRId64 " labels do not belong together",
               hf_tensor_describe(x, a), hf_tensor_describe(weight, b), hf_tensor_numel(labels)),
           NULL;
  LossContext c = {
      .classes = weight->shape[0], .ignore = ignore, .smoothing = (float)smoothing, .reduction = reduction};
  if (!hf_same_device("linear_cross_entropy", x, labels, err)) return NULL;
  HfTensor *f = hf_reshape(x, 2, (int64_t[]){hf_tensor_numel(labels), weight->shape[1]}, err), *y = hf_cast(labels, HF_INT64, err), *kept = NULL;
  y = hf_then(y, hf_reshape(y, 1, &(int64_t){-1}, err));
  HfTensor *rows = f && y ? counted_rows(f, y, ignore, &kept, err) : NULL, *out = rows && kept ? linear_loss(rows, weight, bias, kept, &c, err) : NULL;
  hf_tensor_release(f), hf_tensor_release(y), hf_tensor_release(rows), hf_tensor_release(kept);
  return out;
}
