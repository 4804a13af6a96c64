/* Fused layers and losses for Lua, and attention over packed sequences. */
#include "lua_call.h"
#include "ops.h"

/* ---- norms: over as many last dims as `normalized` (or the weight) has, 1 when neither is given */

static int normalized_dims(HfCall *c, int slot, const HfTensor *x, const HfTensor *weight) {
  int64_t shape[HF_MAX_DIMS];
  char text[HF_DESCRIPTION_SIZE];
  int dims = hf_call_sizes(c, slot, shape);
  if (!dims) return weight ? weight->ndim : 1;
  for (int i = 0; i < dims; i++)
    if (dims > x->ndim || x->shape[x->ndim - dims + i] != shape[i])
      hf_call_error(c, slot, "these are not the last dims of %s", hf_tensor_describe(x, text));
  return dims;
}

static bool run_layer_norm(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0), *weight = hf_call_optional_tensor(c, 1), *bias = hf_call_optional_tensor(c, 2);
  HfTensor *residual = hf_call_optional_tensor(c, 5);
  int dims = normalized_dims(c, 4, x, weight);
  return hf_call_return(c, hf_layer_norm(x, residual, weight, bias, dims, hf_call_number_or(c, 3, 1e-5), hf_call_number_or(c, 6, 0), err));
}

static bool run_rms_norm(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0), *weight = hf_call_optional_tensor(c, 1);
  return hf_call_return(c, hf_rms_norm(x, weight, normalized_dims(c, 3, x, weight), hf_call_number_or(c, 2, 1e-6), err));
}

static bool run_rotary(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_rotary(hf_call_tensor(c, 0), hf_call_tensor(c, 1), hf_call_tensor(c, 2), err));
}

/* ---- losses */

static const char *const reductions[] = {"none", "mean", "sum", NULL};

static HfTensor *replaced(HfTensor *old, HfTensor *made) {
  hf_tensor_release(old);
  return made;
}

/* Targets that are probabilities (N, V): -sum over the classes of w p log q, p smoothed; the mean is over rows. Every operation
 * passes NULL on. */
static HfTensor *soft_cross_entropy(HfTensor *logits, HfTensor *target, HfTensor *weight, double smoothing, HfReduction reduction, HfError *err) {
  int64_t last = -1, classes = logits->shape[logits->ndim - 1], rows = classes ? hf_tensor_numel(logits) / classes : 0;
  HfTensor *p = hf_unary(target, HF_MUL_SCALAR, 1 - smoothing, err);
  p = replaced(p, hf_unary(p, HF_ADD_SCALAR, smoothing / (double)classes, err));
  if (weight) p = replaced(p, hf_binary(p, weight, HF_MUL, err));
  HfTensor *loss = hf_softmax(logits, -1, true, err);
  loss = replaced(loss, hf_binary(loss, p, HF_MUL, err));
  hf_tensor_release(p);
  loss = replaced(loss, hf_reduce(loss, HF_SUM, reduction == HF_REDUCE_NONE, &last, false, err));
  return replaced(loss, hf_unary(loss, HF_MUL_SCALAR, reduction == HF_REDUCE_MEAN ? -1.0 / (double)rows : -1.0, err));
}

/* Labels of one dim less than the logits: the classes stand in dim 1, as in PyTorch, and are moved to the end. */
static HfTensor *classes_last(HfTensor *logits, int64_t class_dim, HfError *err) {
  int64_t dims[HF_MAX_DIMS];
  if (!hf_check_dim("cross_entropy", &class_dim, logits->ndim, err)) return NULL;
  for (int i = 0, n = 0; i < logits->ndim; i++)
    if (i != class_dim) dims[n++] = i;
  dims[logits->ndim - 1] = class_dim;
  return hf_permute(logits, logits->ndim, dims, err);
}

static bool run_cross_entropy(HfCall *c, HfError *err) {
  HfTensor *logits = hf_call_tensor(c, 0), *target = hf_call_tensor(c, 1), *weight = hf_call_optional_tensor(c, 2), *out = NULL;
  HfReduction reduction = (HfReduction)hf_call_choice_or(c, 3, reductions, HF_REDUCE_MEAN);
  double smoothing = hf_call_number_or(c, 4, 0);
  int64_t ignore = hf_call_integer_or(c, 5, -100), class_dim = hf_call_integer_or(c, 6, logits->ndim > 1 ? 1 : 0);
  hf_call_boolean_or(c, 7, false); /* `weighted` and `soft` only describe the operands */
  hf_call_boolean_or(c, 8, false);
  if (!logits->ndim) return hf_error_set(err, "cross_entropy: expected logits (N, classes), found a single value");
  if (!(smoothing >= 0 && smoothing <= 1)) hf_call_error(c, 4, "expected 0 .. 1, found %g", smoothing);
  HfTensor *x = classes_last(logits, class_dim, err), *soft = NULL;
  if (x && !hf_dtype_is_float(target->dtype)) out = hf_cross_entropy(x, target, weight, ignore, smoothing, reduction, err);
  else if (x && hf_tensor_same_shape(logits, target)) soft = classes_last(target, class_dim, err);
  else if (x) hf_error_set(err, "cross_entropy: targets that are probabilities have the shape of the logits");
  if (soft) out = soft_cross_entropy(x, soft, weight, smoothing, reduction, err);
  hf_tensor_release(x), hf_tensor_release(soft);
  return hf_call_return(c, out);
}

static bool run_linear_cross_entropy(HfCall *c, HfError *err) {
  HfReduction reduction = (HfReduction)hf_call_choice_or(c, 4, reductions, HF_REDUCE_MEAN);
  return hf_call_return(c, hf_linear_cross_entropy(hf_call_tensor(c, 0), hf_call_tensor(c, 1), hf_call_optional_tensor(c, 3), hf_call_tensor(c, 2),
                                                   hf_call_integer_or(c, 6, -100), hf_call_number_or(c, 5, 0), reduction, err));
}

static bool run_embedding_sum(HfCall *c, HfError *err) {
  int tables, lists;
  HfTensor **weights = hf_call_tensors(c, 0, &tables), **ids = hf_call_tensors(c, 1, &lists);
  if (tables != lists || !tables) hf_call_error(c, 1, "expected one for each of the %d tables, found %d", tables, lists);
  return hf_call_return(c, hf_embedding_sum(weights, ids, tables, hf_call_integer_or(c, 2, -1), err));
}

const HfLuaOp hf_lua_layer_ops[] = {
    {"layer_norm", run_layer_norm, .names = {"x", "w", "b", "eps", "normalized", "residual", "dropout"}},
    {"rms_norm", run_rms_norm, .names = {"x", "w", "eps", "normalized"}},
    {"rotary", run_rotary, .names = {"x", "cosine", "sine"}, .required = 3},
    {"cross_entropy", run_cross_entropy,
     .names = {"input", "target", "weight", "reduction", "label_smoothing", "ignore_index", "class_dim", "weighted", "soft"}, .required = 2},
    {"linear_cross_entropy", run_linear_cross_entropy,
     .names = {"x", "weight", "labels", "bias", "reduction", "label_smoothing", "ignore_index"}, .required = 3},
    {"embedding_sum", run_embedding_sum, .names = {"weights", "ids", "padding_idx"}, .required = 2},
    {NULL},
};
