/* Random tensors for Lua: PyTorch's draws from PyTorch's generator. `generator` is one of tensor.Generator's; absent: the
 * global one. */
#include "lua_call.h"
#include "ops.h"
#include "random_tensor.h"

static HfRandom *generator_or_global(HfCall *c, int slot) {
  if (!hf_call_given(c, slot)) return hf_random_global();
  HfRandom *gen = luaL_testudata(c->L, slot + 1, "hflua.generator");
  if (!gen) hf_call_error(c, slot, "expected a generator, found %s", luaL_typename(c->L, slot + 1));
  return gen;
}

/* ---- in place: argument 0 takes the draws */

static HfTensor *target(HfCall *c) {
  HfTensor *t = hf_call_tensor(c, 0);
  if (hf_tape_enabled() && t->requires_grad)
    hfL_errorf(c->L, "%s: this tensor requires grad, and changing it in place leaves no history: use :detach() or tensor.no_grad", c->op->name);
  return t;
}

static bool run_normal_(HfCall *c, HfError *err) {
  return hf_random_normal_(target(c), hf_call_number_or(c, 1, 0), hf_call_number_or(c, 2, 1), generator_or_global(c, 3), err);
}

static bool run_uniform_(HfCall *c, HfError *err) {
  return hf_random_uniform_(target(c), hf_call_number_or(c, 1, 0), hf_call_number_or(c, 2, 1), generator_or_global(c, 3), err);
}

static bool run_trunc_normal_(HfCall *c, HfError *err) {
  return hf_random_trunc_normal_(target(c), hf_call_number_or(c, 1, 0), hf_call_number_or(c, 2, 1), hf_call_number_or(c, 3, -2),
                                 hf_call_number_or(c, 4, 2), generator_or_global(c, 5), err);
}

static bool run_exponential_(HfCall *c, HfError *err) {
  return hf_random_exponential_(target(c), hf_call_number_or(c, 1, 1), generator_or_global(c, 2), err);
}

static bool run_bernoulli_(HfCall *c, HfError *err) {
  return hf_random_bernoulli_(target(c), hf_call_number_or(c, 1, 0.5), generator_or_global(c, 2), err);
}

const HfLuaOp hf_lua_random_inplace_ops[] = {
    {"normal_", run_normal_, .names = {"x", "mean", "std", "generator"}, .in_place = true},
    {"uniform_", run_uniform_, .names = {"x", "from", "to", "generator"}, .in_place = true},
    {"trunc_normal_", run_trunc_normal_, .names = {"x", "mean", "std", "a", "b", "generator"}, .in_place = true},
    {"exponential_", run_exponential_, .names = {"x", "lambd", "generator"}, .in_place = true},
    {"bernoulli_", run_bernoulli_, .names = {"x", "p", "generator"}, .in_place = true},
    {NULL},
};

/* ---- new tensors. Slots from `first` on: dtype, device, requires_grad, generator */

static HfTensor *new_tensor(HfCall *c, int first, HfDtype dtype, int ndim, const int64_t *shape, HfDevice *device, HfError *err) {
  if (hf_call_given(c, first)) dtype = hfL_check_dtype(c->L, first + 1);
  if (hf_call_given(c, first + 1)) device = hfL_check_device(c->L, first + 2);
  bool wanted = hf_call_boolean_or(c, first + 2, false);
  if (wanted && !hf_dtype_is_float(dtype)) hf_call_error(c, first + 2, "only float tensors have gradients");
  generator_or_global(c, first + 3); /* a wrong one is an error before anything is made */
  HfTensor *t = hf_tensor_empty(dtype, ndim, shape, device, err);
  if (t) t->requires_grad = wanted;
  return t;
}

/* Gives t when it was filled, else drops it. */
static bool return_filled(HfCall *c, HfTensor *t, bool filled) {
  if (!filled) return hf_tensor_release(t), false;
  return hf_call_return(c, t);
}

static bool fill(HfTensor *t, bool normal, double mean, double std, HfRandom *gen, HfError *err) {
  return normal ? hf_random_normal_(t, mean, std, gen, err) : hf_random_uniform_(t, 0, 1, gen, err);
}

static bool run_rand(HfCall *c, HfError *err) {
  int64_t shape[HF_MAX_DIMS];
  int ndim = hf_call_sizes(c, 0, shape);
  HfTensor *t = new_tensor(c, 1, HF_FLOAT32, ndim, shape, hf_device_default(), err);
  return t && return_filled(c, t, fill(t, c->op->code, 0, 1, generator_or_global(c, 4), err));
}

static bool run_rand_like(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0), *t = new_tensor(c, 1, x->dtype, x->ndim, x->shape, hf_tensor_device(x), err);
  return t && return_filled(c, t, fill(t, c->op->code, 0, 1, generator_or_global(c, 4), err));
}

/* normal(mean, std, sizes) */
static bool run_normal(HfCall *c, HfError *err) {
  int64_t shape[HF_MAX_DIMS];
  int ndim = hf_call_sizes(c, 2, shape);
  double mean = hf_call_number(c, 0), std = hf_call_number(c, 1);
  HfTensor *t = new_tensor(c, 3, HF_FLOAT32, ndim, shape, hf_device_default(), err);
  return t && return_filled(c, t, fill(t, true, mean, std, generator_or_global(c, 6), err));
}

/* randint(high, sizes), randint(low, high, sizes): low <= value < high */
static bool run_randint(HfCall *c, HfError *err) {
  int64_t shape[HF_MAX_DIMS];
  bool has_low = hf_call_given(c, 2);
  int ndim = hf_call_sizes(c, has_low ? 2 : 1, shape);
  int64_t low = has_low ? hf_call_integer(c, 0) : 0, high = hf_call_integer(c, has_low);
  if (low >= high) hf_call_error(c, has_low, "expected a number above %lld, found %lld", (long long)low, (long long)high);
  HfTensor *t = new_tensor(c, 3, HF_INT64, ndim, shape, hf_device_default(), err);
  return t && return_filled(c, t, hf_random_integers_(t, low, high, generator_or_global(c, 6), err));
}

static bool run_randperm(HfCall *c, HfError *err) {
  int64_t n = hf_call_integer(c, 0);
  if (n < 0) hf_call_error(c, 0, "expected 0 or more, found %lld", (long long)n);
  return hf_call_return(c, hf_random_new_permutation(n, generator_or_global(c, 1), err));
}

static bool run_bernoulli(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_random_new_bernoulli(hf_call_tensor(c, 0), generator_or_global(c, 1), err));
}

static bool run_multinomial(HfCall *c, HfError *err) {
  int64_t samples = hf_call_integer(c, 1);
  bool replacement = hf_call_boolean_or(c, 2, false);
  return hf_call_return(c, hf_random_new_multinomial(hf_call_tensor(c, 0), samples, replacement, generator_or_global(c, 3), err));
}

#define RAND(name, normal) {name, run_rand, .names = {"sizes", "dtype", "device", "requires_grad", "generator"}, .required = -1, .gather = 1, .code = normal}
#define RAND_LIKE(name, normal) {name, run_rand_like, .names = {"x", "dtype", "device", "requires_grad", "generator"}, .code = normal}

const HfLuaOp hf_lua_random_ops[] = {
    RAND("rand", false), RAND("randn", true), RAND_LIKE("rand_like", false), RAND_LIKE("randn_like", true),
    {"normal", run_normal, .names = {"mean", "std", "sizes", "dtype", "device", "requires_grad", "generator"}, .required = 3},
    {"randint", run_randint, .names = {"low", "high", "sizes", "dtype", "device", "requires_grad", "generator"}, .required = 2},
    {"randperm", run_randperm, .names = {"n", "generator"}},
    {"bernoulli", run_bernoulli, .names = {"p", "generator"}},
    {"multinomial", run_multinomial, .names = {"p", "num_samples", "replacement", "generator"}, .required = 2},
    {NULL},
};

/* core.manual_seed(n): PyTorch's global generator, and the counters of dropout. */
static int manual_seed(lua_State *L) {
  lua_Integer seed = luaL_checkinteger(L, 1);
  hf_random_seed(hf_random_global(), (uint64_t)seed);
  hf_dropout_seed((uint64_t)seed);
  return 0;
}

void hf_lua_open_random(lua_State *L) {
  lua_pushcfunction(L, manual_seed);
  lua_setfield(L, -2, "manual_seed");
}
