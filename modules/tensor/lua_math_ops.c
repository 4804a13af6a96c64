/* Operations of arithmetic for Lua: element by element, comparisons, reductions, products. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "lua_call.h"
#include "ops.h"

/* ---- functions of one value */

static bool run_unary(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_unary(hf_call_tensor(c, 0), (HfUnary)c->op->code, 0, err));
}

/* Functions with one number: slope, alpha, scalar. */
static bool run_unary_number(HfCall *c, HfError *err) {
  double fallback = c->op->code == HF_LEAKY_RELU ? 0.01 : 1.0;
  return hf_call_return(c, hf_unary(hf_call_tensor(c, 0), (HfUnary)c->op->code, hf_call_number_or(c, 1, fallback), err));
}

static bool run_gelu(HfCall *c, HfError *err) {
  static const char *const kinds[] = {"none", "tanh", NULL};
  HfUnary op = hf_call_choice_or(c, 1, kinds, 0) ? HF_GELU_TANH : HF_GELU;
  return hf_call_return(c, hf_unary(hf_call_tensor(c, 0), op, 0, err));
}

static bool run_clamp(HfCall *c, HfError *err) {
  if (!hf_call_given(c, 1) && !hf_call_given(c, 2)) hf_call_error(c, 1, "one of min and max is needed");
  double min = hf_call_number_or(c, 1, -INFINITY), max = hf_call_number_or(c, 2, INFINITY);
  return hf_call_return(c, hf_clamp(hf_call_tensor(c, 0), min, max, err));
}

static bool run_dropout(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_dropout(hf_call_tensor(c, 0), hf_call_number_or(c, 1, 0.5), hf_call_boolean_or(c, 2, true), err));
}

static bool run_tri(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_tri(hf_call_tensor(c, 0), hf_call_integer_or(c, 1, 0), c->op->code, err));
}

/* ---- two operands, of which one may be a number */

static bool is_number(HfCall *c, int slot) { return lua_type(c->L, slot + 1) == LUA_TNUMBER; }

/* Float tensor and number: one pass without a tensor for the number. False when there is no such way. */
static bool with_number(HfCall *c, HfTensor **out, HfError *err) {
  int side = is_number(c, 1);
  if (!side && !is_number(c, 0)) return false;
  HfTensor *x = hf_call_tensor(c, !side);
  double p = hf_call_number(c, side);
  if (!hf_dtype_is_float(x->dtype)) return false;
  switch (c->op->code) {
  case HF_ADD: *out = hf_unary(x, HF_ADD_SCALAR, p, err); return true;
  case HF_MUL: *out = hf_unary(x, HF_MUL_SCALAR, p, err); return true;
  case HF_SUB: *out = side ? hf_unary(x, HF_ADD_SCALAR, -p, err) : hf_unary(x, HF_RSUB_SCALAR, p, err); return true;
  case HF_DIV:
    if (side) return false; /* the quotient is not the product with the rounded reciprocal */
    *out = hf_unary(x, HF_RDIV_SCALAR, p, err);
    return true;
  case HF_POW:
    if (!side) return false;
    *out = hf_unary(x, HF_POW_SCALAR, p, err);
    return true;
  default: return false;
  }
}

/* Both operands of slots 0 and 1; at least one is a tensor. */
static bool take_operands(HfCall *c, HfTensor **a, HfTensor **b, HfError *err) {
  HfTensor *x = hfL_test_tensor(c->L, 1), *y = hfL_test_tensor(c->L, 2);
  if (!x && !y) hf_call_tensor(c, 0);
  *a = hf_call_operand(c, 0, y, err);
  *b = *a ? hf_call_operand(c, 1, x, err) : NULL;
  return *b != NULL;
}

static bool run_binary(HfCall *c, HfError *err) {
  HfTensor *a, *b, *out;
  if (with_number(c, &out, err)) return hf_call_return(c, out);
  return take_operands(c, &a, &b, err) && hf_call_return(c, hf_binary(a, b, (HfBinary)c->op->code, err));
}

/* x + alpha y, x - alpha y */
static bool run_add(HfCall *c, HfError *err) {
  HfTensor *a, *b;
  if (!hf_call_given(c, 2)) return run_binary(c, err);
  if (!take_operands(c, &a, &b, err)) return false;
  HfTensor *scaled = hf_unary(b, HF_MUL_SCALAR, hf_call_number(c, 2), err);
  HfTensor *out = scaled ? hf_binary(a, scaled, (HfBinary)c->op->code, err) : NULL;
  hf_tensor_release(scaled);
  return hf_call_return(c, out);
}

static bool run_compare(HfCall *c, HfError *err) {
  HfTensor *a, *b;
  return take_operands(c, &a, &b, err) && hf_call_return(c, hf_compare(a, b, (HfCompare)c->op->code, err));
}

static bool run_where(HfCall *c, HfError *err) {
  HfTensor *x = hfL_test_tensor(c->L, 2), *y = hfL_test_tensor(c->L, 3);
  HfTensor *a = hf_call_operand(c, 1, y, err), *b = a ? hf_call_operand(c, 2, x, err) : NULL;
  return b && hf_call_return(c, hf_where(hf_call_tensor(c, 0), a, b, err));
}

static bool run_masked_fill(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_masked_fill(hf_call_tensor(c, 0), hf_call_tensor(c, 1), hf_call_number(c, 2), err));
}

/* ---- casts and copies */

static bool run_cast(HfCall *c, HfError *err) {
  if (!hf_call_given(c, 1)) hf_call_error(c, 1, "expected a dtype");
  return hf_call_return(c, hf_cast(hf_call_tensor(c, 0), hfL_check_dtype(c->L, 2), err));
}

static bool run_cast_to(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_cast(hf_call_tensor(c, 0), (HfDtype)c->op->code, err));
}

/* to(x, target, dtype, device): the target is a dtype, a device, or a tensor to be like. Nothing to do: x itself. */
static bool run_to(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0), *like = lua_isuserdata(c->L, 2) ? hfL_test_tensor(c->L, 2) : NULL;
  HfDtype dtype = like ? like->dtype : x->dtype;
  HfDevice *device = hf_tensor_device(like ? like : x);
  for (int slot = 1; slot <= 3; slot++) { /* names tell themselves apart */
    if (!hf_call_given(c, slot) || (slot == 1 && like)) continue;
    const char *name = hf_call_string_or(c, slot, NULL);
    if (slot != 3 && hf_dtype_find(name, &dtype)) continue;
    if (strncmp(name, "cpu", 3) && strncmp(name, "cuda", 4))
      hf_call_error(c, slot, "'%s' is neither a dtype (float32, bfloat16, int64, ...) nor a device (cpu, cuda:0)", name);
    device = hfL_check_device(c->L, slot + 1);
  }
  HfTensor *cast = hf_cast(x, dtype, err), *moved = cast ? hf_to_device(cast, device, err) : NULL;
  hf_tensor_release(cast);
  return hf_call_return(c, moved);
}

static bool run_cpu(HfCall *c, HfError *err) { return hf_call_return(c, hf_to_device(hf_call_tensor(c, 0), hf_device_cpu(), err)); }

/* cuda(x, index) */
static bool run_cuda(HfCall *c, HfError *err) {
  char name[32];
  snprintf(name, sizeof name, "cuda:%lld", (long long)hf_call_integer_or(c, 1, 0));
  HfDevice *device = hf_device_find(name, err);
  return device && hf_call_return(c, hf_to_device(hf_call_tensor(c, 0), device, err));
}

static bool run_clone(HfCall *c, HfError *err) { return hf_call_return(c, hf_clone(hf_call_tensor(c, 0), err)); }
static bool run_contiguous(HfCall *c, HfError *err) { return hf_call_return(c, hf_contiguous(hf_call_tensor(c, 0), err)); }
static bool run_detach(HfCall *c, HfError *err) { return hf_call_return(c, hf_tensor_detach(hf_call_tensor(c, 0), err)); }

/* ---- reductions */

static bool run_reduce(HfCall *c, HfError *err) {
  int64_t dims[HF_MAX_DIMS];
  int count = hf_call_sizes(c, 1, dims);
  return hf_call_return(c, hf_reduce(hf_call_tensor(c, 0), (HfReduce)c->op->code, count, dims, hf_call_boolean_or(c, 2, false), err));
}

static bool run_variance(HfCall *c, HfError *err) {
  int64_t dims[HF_MAX_DIMS];
  int count = hf_call_sizes(c, 1, dims);
  double correction = hf_call_number_or(c, 3, hf_call_boolean_or(c, 4, true) ? 1 : 0);
  return hf_call_return(c, hf_variance(hf_call_tensor(c, 0), count, dims, hf_call_boolean_or(c, 2, false), correction, c->op->code, err));
}

static bool run_norm(HfCall *c, HfError *err) {
  int64_t dims[HF_MAX_DIMS];
  int count = hf_call_sizes(c, 1, dims);
  if (hf_call_number_or(c, 3, 2) != 2) hf_call_error(c, 3, "only the 2-norm is there");
  return hf_call_return(c, hf_norm(hf_call_tensor(c, 0), count, dims, hf_call_boolean_or(c, 2, false), err));
}

/* max(x), max(x, y) as in PyTorch; max(x, {dim=}) gives values and indices. */
static bool run_extreme(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0), *indices = NULL;
  bool largest = c->op->code == HF_MAX;
  if (!hf_call_given(c, 1)) return hf_call_return(c, hf_reduce(x, (HfReduce)c->op->code, 0, NULL, false, err));
  if (hfL_test_tensor(c->L, 2)) return hf_call_return(c, hf_binary(x, hf_call_tensor(c, 1), largest ? HF_MAXIMUM : HF_MINIMUM, err));
  HfTensor *values = hf_extreme(x, largest, hf_call_integer(c, 1), hf_call_boolean_or(c, 2, false), &indices, err);
  return hf_call_return(c, values) && hf_call_return(c, indices);
}

static bool run_arg_extreme(HfCall *c, HfError *err) {
  int64_t dim = hf_call_integer_or(c, 1, 0);
  return hf_call_return(c, hf_arg_extreme(hf_call_tensor(c, 0), c->op->code == HF_MAX, hf_call_given(c, 1) ? &dim : NULL,
                                          hf_call_boolean_or(c, 2, false), err));
}

static bool run_cumsum(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_cumsum(hf_call_tensor(c, 0), hf_call_integer(c, 1), err));
}

static bool run_softmax(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_softmax(hf_call_tensor(c, 0), hf_call_integer(c, 1), c->op->code, err));
}

static bool run_sort(HfCall *c, HfError *err) {
  HfTensor *indices = NULL;
  HfTensor *values = hf_sort(hf_call_tensor(c, 0), hf_call_integer_or(c, 1, -1), hf_call_boolean_or(c, 2, false), -1, &indices, err);
  return hf_call_return(c, values) && hf_call_return(c, indices);
}

static bool run_topk(HfCall *c, HfError *err) {
  HfTensor *indices = NULL;
  int64_t k = hf_call_integer(c, 1);
  if (k < 0) hf_call_error(c, 1, "expected 0 or more, found %lld", (long long)k);
  HfTensor *values = hf_sort(hf_call_tensor(c, 0), hf_call_integer_or(c, 2, -1), hf_call_boolean_or(c, 3, true), k, &indices, err);
  return hf_call_return(c, values) && hf_call_return(c, indices);
}

/* ---- products */

static bool run_matmul(HfCall *c, HfError *err) {
  HfTensor *a = hf_call_tensor(c, 0), *b = hf_call_tensor(c, 1);
  char x[HF_DESCRIPTION_SIZE], y[HF_DESCRIPTION_SIZE];
  if (c->op->code && (a->ndim != c->op->code || b->ndim != c->op->code))
    return hf_error_set(err, "%s: expected two tensors of %d dims, found %s and %s", c->op->name, c->op->code,
                        hf_tensor_describe(a, x), hf_tensor_describe(b, y));
  return hf_call_return(c, hf_matmul(a, b, err));
}

static bool run_linear(HfCall *c, HfError *err) {
  static const char *const names[] = {"none", "gelu", "gelu_tanh", "relu", "silu", "tanh", NULL};
  static const HfActivation kinds[] = {HF_ACT_NONE, HF_ACT_GELU, HF_ACT_GELU_TANH, HF_ACT_RELU, HF_ACT_SILU, HF_ACT_TANH};
  HfActivation activation = kinds[hf_call_choice_or(c, 3, names, 0)];
  return hf_call_return(c, hf_linear(hf_call_tensor(c, 0), hf_call_tensor(c, 1), hf_call_optional_tensor(c, 2), activation, hf_call_boolean_or(c, 4, false), err));
}

#define UNARY(name, code_) {name, run_unary, .names = {"x"}, .code = code_}
#define BINARY(name, code_) {name, run_binary, .names = {"x", "y"}, .required = 2, .code = code_}
#define COMPARE(name, code_) {name, run_compare, .names = {"x", "y"}, .required = 2, .code = code_}
#define REDUCE(name, code_) {name, run_reduce, .names = {"x", "dim", "keepdim"}, .code = code_}
#define CAST(name, code_) {name, run_cast_to, .names = {"x"}, .code = code_}
#define SCALAR(name, code_) {name, run_unary_number, .names = {"x", "scalar"}, .required = 2, .code = code_}

const HfLuaOp hf_lua_math_ops[] = {
    UNARY("neg", HF_NEG), UNARY("abs", HF_ABS), UNARY("square", HF_SQUARE), UNARY("sqrt", HF_SQRT), UNARY("rsqrt", HF_RSQRT),
    UNARY("reciprocal", HF_RECIPROCAL), UNARY("exp", HF_EXP), UNARY("expm1", HF_EXPM1), UNARY("log", HF_LOG), UNARY("log1p", HF_LOG1P),
    UNARY("sin", HF_SIN), UNARY("cos", HF_COS), UNARY("erf", HF_ERF), UNARY("tanh", HF_TANH), UNARY("sigmoid", HF_SIGMOID),
    UNARY("logsigmoid", HF_LOGSIGMOID), UNARY("softplus", HF_SOFTPLUS), UNARY("relu", HF_RELU), UNARY("silu", HF_SILU),
    UNARY("gelu_tanh", HF_GELU_TANH), UNARY("floor", HF_FLOOR), UNARY("ceil", HF_CEIL), UNARY("round", HF_ROUND),
    UNARY("trunc", HF_TRUNC), UNARY("sign", HF_SIGN),
    {"gelu", run_gelu, .names = {"x", "approximate"}},
    {"leaky_relu", run_unary_number, .names = {"x", "negative_slope"}, .code = HF_LEAKY_RELU},
    {"elu", run_unary_number, .names = {"x", "alpha"}, .code = HF_ELU},
    SCALAR("add_scalar", HF_ADD_SCALAR), SCALAR("mul_scalar", HF_MUL_SCALAR), SCALAR("rsub_scalar", HF_RSUB_SCALAR),
    SCALAR("rdiv_scalar", HF_RDIV_SCALAR),
    {"clamp", run_clamp, .names = {"x", "min", "max"}},
    {"dropout", run_dropout, .names = {"x", "p", "training"}},
    {"tril", run_tri, .names = {"x", "diagonal"}, .code = false},
    {"triu", run_tri, .names = {"x", "diagonal"}, .code = true},

    {"add", run_add, .names = {"x", "y", "alpha"}, .required = 2, .code = HF_ADD},
    {"sub", run_add, .names = {"x", "y", "alpha"}, .required = 2, .code = HF_SUB},
    BINARY("mul", HF_MUL), BINARY("div", HF_DIV), BINARY("maximum", HF_MAXIMUM), BINARY("minimum", HF_MINIMUM),
    {"pow", run_binary, .names = {"x", "exponent"}, .required = 2, .code = HF_POW},
    COMPARE("eq", HF_EQ), COMPARE("ne", HF_NE), COMPARE("lt", HF_LT), COMPARE("le", HF_LE), COMPARE("gt", HF_GT), COMPARE("ge", HF_GE),
    {"where", run_where, .names = {"condition", "x", "y"}, .required = 3},
    {"masked_fill", run_masked_fill, .names = {"x", "mask", "value"}, .required = 3},

    {"cast", run_cast, .names = {"x", "dtype"}, .required = 2},
    CAST("float", HF_FLOAT32), CAST("half", HF_FLOAT16), CAST("bfloat16", HF_BFLOAT16), CAST("long", HF_INT64), CAST("int", HF_INT32),
    CAST("byte", HF_UINT8), CAST("bool", HF_BOOL),
    {"to", run_to, .names = {"x", "target", "dtype", "device"}}, {"cpu", run_cpu, .names = {"x"}}, {"cuda", run_cuda, .names = {"x", "index"}},
    {"clone", run_clone, .names = {"x"}}, {"contiguous", run_contiguous, .names = {"x"}}, {"detach", run_detach, .names = {"x"}},

    REDUCE("sum", HF_SUM), REDUCE("mean", HF_MEAN), REDUCE("prod", HF_PROD), REDUCE("amax", HF_MAX), REDUCE("amin", HF_MIN),
    REDUCE("any", HF_ANY), REDUCE("all", HF_ALL), REDUCE("logsumexp", HF_LOGSUMEXP),
    {"var", run_variance, .names = {"x", "dim", "keepdim", "correction", "unbiased"}, .code = false},
    {"std", run_variance, .names = {"x", "dim", "keepdim", "correction", "unbiased"}, .code = true},
    {"norm", run_norm, .names = {"x", "dim", "keepdim", "p"}},
    {"max", run_extreme, .names = {"x", "dim", "keepdim"}, .code = HF_MAX, .results = 2},
    {"min", run_extreme, .names = {"x", "dim", "keepdim"}, .code = HF_MIN, .results = 2},
    {"argmax", run_arg_extreme, .names = {"x", "dim", "keepdim"}, .code = HF_MAX},
    {"argmin", run_arg_extreme, .names = {"x", "dim", "keepdim"}, .code = HF_MIN},
    {"cumsum", run_cumsum, .names = {"x", "dim"}, .required = 2},
    {"softmax", run_softmax, .names = {"x", "dim"}, .required = 2, .code = false},
    {"log_softmax", run_softmax, .names = {"x", "dim"}, .required = 2, .code = true},
    {"sort", run_sort, .names = {"x", "dim", "descending", "stable"}, .results = 2},
    {"topk", run_topk, .names = {"x", "k", "dim", "largest", "sorted"}, .required = 2, .results = 2},

    {"matmul", run_matmul, .names = {"x", "y"}, .required = 2}, {"mm", run_matmul, .names = {"x", "y"}, .required = 2, .code = 2},
    {"bmm", run_matmul, .names = {"input", "mat2"}, .required = 2, .code = 3},
    {"linear", run_linear, .names = {"input", "weight", "bias", "activation", "in_out"}, .required = 2},
    {NULL},
};
