/* Operations that change their first argument; their names end in _. They leave no history, so they are refused where one
 * would be needed: use the operation without _ there, or no_grad. */
#include <math.h>
#include <string.h>
#include "lua_call.h"
#include "ops.h"

/* Argument 0, checked: nothing here may want a gradient while the tape is on. */
static HfTensor *target(HfCall *c) {
  HfTensor *t = hf_call_tensor(c, 0);
  int name = (int)strlen(c->op->name) - 1;
  if (hf_tape_enabled() && t->requires_grad)
    hfL_errorf(c->L, "%s: this tensor requires grad, and changing it in place leaves no history: use x = x:%.*s(...), :detach(), or tensor.no_grad",
               c->op->name, name, c->op->name);
  return t;
}

/* A source: a tensor without gradient, or a number. */
static HfTensor *source(HfCall *c, int slot, const HfTensor *like, HfError *err) {
  HfTensor *t = hf_call_operand(c, slot, like, err);
  if (t && hf_tape_enabled() && t->requires_grad)
    hf_call_error(c, slot, "it requires grad, and changes in place leave no history: :detach() it or use tensor.no_grad");
  return t;
}

/* The target takes the numbers of `made` (released), which must fit without widening. */
static bool store(HfCall *c, HfTensor *t, HfTensor *made, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (!made) return false;
  bool ok = hf_tensor_same_shape(t, made) ? hf_tensor_copy_(t, made, err)
                                          : hf_error_set(err, "%s: the result %s does not fit into %s", c->op->name,
                                                         hf_tensor_describe(made, a), hf_tensor_describe(t, b));
  hf_tensor_release(made);
  return ok;
}

static bool run_fill_(HfCall *c, HfError *err) { return hf_tensor_fill_(target(c), hf_call_number(c, 1), err); }
static bool run_zero_(HfCall *c, HfError *err) { return hf_tensor_fill_(target(c), 0, err); }

static bool run_copy_(HfCall *c, HfError *err) {
  HfTensor *t = target(c), *from = source(c, 1, t, err);
  return from && hf_tensor_copy_(t, from, err);
}

/* t := t + alpha y in one pass when everything is plain float32. */
static bool axpy(HfTensor *t, HfTensor *y, double alpha) {
  bool plain = t->dtype == HF_FLOAT32 && y->dtype == HF_FLOAT32 && hf_tensor_same_shape(t, y) && hf_tensor_is_contiguous(t) &&
               hf_tensor_is_contiguous(y) && hf_tensor_device(t) == hf_tensor_device(y) && t->storage != y->storage;
  if (!plain || hf_tensor_kernels(t)->axpy(hf_tensor_data(t), hf_tensor_data(y), hf_tensor_numel(t), (float)alpha)) return false;
  hf_storage_changed(t->storage);
  return true;
}

static bool run_add_(HfCall *c, HfError *err) {
  HfTensor *t = target(c), *y = source(c, 1, t, err);
  double alpha = hf_call_number_or(c, 2, 1);
  if (!y) return false;
  if (axpy(t, y, c->op->code == HF_SUB ? -alpha : alpha)) return true;
  HfTensor *scaled = alpha != 1 ? hf_unary(y, HF_MUL_SCALAR, alpha, err) : (hf_tensor_retain(y), y);
  HfTensor *made = scaled ? hf_binary(t, scaled, (HfBinary)c->op->code, err) : NULL;
  hf_tensor_release(scaled);
  return store(c, t, made, err);
}

static bool run_binary_(HfCall *c, HfError *err) {
  HfTensor *t = target(c), *y = source(c, 1, t, err);
  return y && store(c, t, hf_binary(t, y, (HfBinary)c->op->code, err), err);
}

static bool run_unary_(HfCall *c, HfError *err) {
  HfTensor *t = target(c);
  return store(c, t, hf_unary(t, (HfUnary)c->op->code, 0, err), err);
}

/* t += value x y, t += value x / y: the steps of optimizers */
static bool run_addc_(HfCall *c, HfError *err) {
  HfTensor *t = target(c), *x = source(c, 1, t, err), *y = x ? source(c, 2, t, err) : NULL;
  HfTensor *made = y ? hf_binary(x, y, (HfBinary)c->op->code, err) : NULL, *scaled = NULL, *sum = NULL;
  double value = hf_call_number_or(c, 3, 1);
  if (made) scaled = hf_unary(made, HF_MUL_SCALAR, value, err);
  if (scaled) sum = hf_binary(t, scaled, HF_ADD, err);
  hf_tensor_release(made), hf_tensor_release(scaled);
  return store(c, t, sum, err);
}

/* t += weight (end - t) */
static bool run_lerp_(HfCall *c, HfError *err) {
  HfTensor *t = target(c), *end = source(c, 1, t, err), *step = NULL, *sum = NULL;
  double weight = hf_call_number(c, 2);
  HfTensor *difference = end ? hf_binary(end, t, HF_SUB, err) : NULL;
  if (difference) step = hf_unary(difference, HF_MUL_SCALAR, weight, err);
  if (step) sum = hf_binary(t, step, HF_ADD, err);
  hf_tensor_release(difference), hf_tensor_release(step);
  return store(c, t, sum, err);
}

static bool run_clamp_(HfCall *c, HfError *err) {
  HfTensor *t = target(c);
  return store(c, t, hf_clamp(t, hf_call_number_or(c, 1, -INFINITY), hf_call_number_or(c, 2, INFINITY), err), err);
}

static bool run_masked_fill_(HfCall *c, HfError *err) {
  HfTensor *t = target(c);
  return store(c, t, hf_masked_fill(t, hf_call_tensor(c, 1), hf_call_number(c, 2), err), err);
}

#define BINARY_(name, code_) {name, run_binary_, .names = {"x", "y"}, .required = 2, .code = code_, .in_place = true}
#define UNARY_(name, code_) {name, run_unary_, .names = {"x"}, .code = code_, .in_place = true}

const HfLuaOp hf_lua_inplace_ops[] = {
    {"fill_", run_fill_, .names = {"x", "value"}, .required = 2, .in_place = true},
    {"zero_", run_zero_, .names = {"x"}, .in_place = true},
    {"copy_", run_copy_, .names = {"x", "source"}, .required = 2, .in_place = true},
    {"add_", run_add_, .names = {"x", "y", "alpha"}, .required = 2, .code = HF_ADD, .in_place = true},
    {"sub_", run_add_, .names = {"x", "y", "alpha"}, .required = 2, .code = HF_SUB, .in_place = true},
    BINARY_("mul_", HF_MUL), BINARY_("div_", HF_DIV), BINARY_("maximum_", HF_MAXIMUM), BINARY_("minimum_", HF_MINIMUM), BINARY_("pow_", HF_POW),
    UNARY_("neg_", HF_NEG), UNARY_("abs_", HF_ABS), UNARY_("sqrt_", HF_SQRT), UNARY_("rsqrt_", HF_RSQRT), UNARY_("exp_", HF_EXP),
    UNARY_("log_", HF_LOG), UNARY_("tanh_", HF_TANH), UNARY_("sigmoid_", HF_SIGMOID), UNARY_("relu_", HF_RELU), UNARY_("sign_", HF_SIGN),
    UNARY_("reciprocal_", HF_RECIPROCAL), UNARY_("square_", HF_SQUARE),
    {"addcmul_", run_addc_, .names = {"x", "a", "b", "value"}, .required = 3, .code = HF_MUL, .in_place = true},
    {"addcdiv_", run_addc_, .names = {"x", "a", "b", "value"}, .required = 3, .code = HF_DIV, .in_place = true},
    {"lerp_", run_lerp_, .names = {"x", "target", "weight"}, .required = 3, .in_place = true},
    {"clamp_", run_clamp_, .names = {"x", "min", "max"}, .in_place = true},
    {"masked_fill_", run_masked_fill_, .names = {"x", "mask", "value"}, .required = 3, .in_place = true},
    {NULL},
};
