/* New tensors for Lua: from nested sequences, of one value, ranges. */
#include <math.h>
#include <stdio.h>
#include "lua_call.h"
#include "ops.h"

/* ---- from nested sequences: one look for the shape, one walk for checks and dtype, one to fill */

typedef struct Nested {
  lua_State *L;
  int ndim;
  int64_t shape[HF_MAX_DIMS], at[HF_MAX_DIMS]; /* `at`: where the walk stands */
  HfDtype dtype;
  void *out; /* NULL: the walk only checks and finds the dtype */
  int64_t next;
} Nested;

/* "[2][3]" of the place where the walk stands, for messages. */
static const char *place(const Nested *n, int depth, char out[HF_DESCRIPTION_SIZE]) {
  int used = 0;
  out[0] = 0;
  for (int i = 0; i < depth; i++) used += snprintf(out + used, HF_DESCRIPTION_SIZE - (size_t)used, "[%lld]", (long long)n->at[i] + 1);
  return out;
}

/* Is the value at the top a sequence that is no tensor? */
static bool is_sequence(lua_State *L) {
  if (lua_istable(L, -1)) return true;
  if (lua_type(L, -1) != LUA_TUSERDATA || hfL_test_tensor(L, -1) || hfL_is_null(L, -1)) return false;
  bool has_length = luaL_getmetafield(L, -1, "__len") != LUA_TNIL;
  if (has_length) lua_pop(L, 1);
  return has_length;
}

static void find_shape(Nested *n) {
  lua_State *L = n->L;
  int top = lua_gettop(L);
  while (is_sequence(L)) {
    if (n->ndim == HF_MAX_DIMS) hfL_errorf(L, "tensor: more than %d dims", HF_MAX_DIMS);
    int64_t size = n->shape[n->ndim++] = luaL_len(L, -1);
    if (!size) break;
    luaL_checkstack(L, 4, "tensor");
    lua_geti(L, -1, 1);
  }
  lua_settop(L, top);
}

/* Values of a kind decide the dtype: booleans, whole numbers, others; the widest one met. */
static void widen(HfDtype *dtype, HfDtype kind) {
  if (*dtype == HF_DTYPE_COUNT || *dtype == HF_BOOL || kind == HF_FLOAT32) *dtype = kind;
  else if (*dtype == HF_INT64 && kind == HF_BOOL) *dtype = HF_INT64;
}

/* The value at the top as a number; tensors of one element count too. */
static HfDtype read_value(Nested *n, double *number, int64_t *whole) {
  lua_State *L = n->L;
  char where[HF_DESCRIPTION_SIZE], text[HF_DESCRIPTION_SIZE];
  HfError err;
  HfTensor *t = hfL_test_tensor(L, -1);
  if (t) {
    if (hf_tensor_numel(t) != 1)
      hfL_errorf(L, "tensor: %s is %s: a sequence of tensors is joined by tensor.stack", place(n, n->ndim, where), hf_tensor_describe(t, text));
    if (!hf_tensor_item(t, number, whole, &err)) hfL_raise(L, &err);
    return t->dtype == HF_BOOL ? HF_BOOL : hf_dtype_is_float(t->dtype) ? HF_FLOAT32 : HF_INT64;
  }
  if (lua_isboolean(L, -1)) return *number = (double)(*whole = lua_toboolean(L, -1)), HF_BOOL;
  if (lua_isinteger(L, -1)) return *number = (double)(*whole = lua_tointeger(L, -1)), HF_INT64;
  if (lua_type(L, -1) != LUA_TNUMBER)
    hfL_errorf(L, "tensor: %s: expected a number, found %s", n->ndim ? place(n, n->ndim, where) : "value",
               hfL_is_null(L, -1) ? "null" : luaL_typename(L, -1));
  *number = lua_tonumber(L, -1);
  *whole = fabs(*number) < 9.2e18 ? (int64_t)*number : 0;
  return HF_FLOAT32;
}

static void check_range(Nested *n, double number) {
  char where[HF_DESCRIPTION_SIZE];
  static const double low[HF_DTYPE_COUNT] = {[HF_INT64] = -0x1p63, [HF_INT32] = -0x1p31, [HF_UINT8] = 0, [HF_BOOL] = -INFINITY};
  static const double end[HF_DTYPE_COUNT] = {[HF_INT64] = 0x1p63, [HF_INT32] = 0x1p31, [HF_UINT8] = 256, [HF_BOOL] = INFINITY};
  if (hf_dtype_is_float(n->dtype) || (number >= low[n->dtype] && number < end[n->dtype])) return;
  if (n->dtype == HF_INT64 && number == 0x1p63) return; /* the largest integers round up to this double */
  hfL_errorf(n->L, "tensor: %s: %g does not fit into %s", place(n, n->ndim, where), number, hf_dtype_name(n->dtype));
}

static void store_value(Nested *n, double number, int64_t whole) {
  int64_t i = n->next++;
  check_range(n, number);
  switch (n->dtype) {
  case HF_FLOAT32: ((float *)n->out)[i] = (float)number; break;
  case HF_INT64: ((int64_t *)n->out)[i] = whole; break;
  case HF_INT32: ((int32_t *)n->out)[i] = (int32_t)whole; break;
  case HF_UINT8: ((uint8_t *)n->out)[i] = (uint8_t)whole; break;
  default: ((uint8_t *)n->out)[i] = number != 0;
  }
}

static void walk(Nested *n, int dim) {
  lua_State *L = n->L;
  char where[HF_DESCRIPTION_SIZE];
  if (dim == n->ndim) {
    double number;
    int64_t whole;
    HfDtype kind = read_value(n, &number, &whole);
    if (n->out) store_value(n, number, whole);
    else widen(&n->dtype, kind);
    return;
  }
  if (!is_sequence(L))
    hfL_errorf(L, "tensor: %s: expected a sequence of %lld, found %s", place(n, dim, where), (long long)n->shape[dim], luaL_typename(L, -1));
  int64_t size = luaL_len(L, -1);
  if (size != n->shape[dim])
    hfL_errorf(L, "tensor: %s has length %lld, expected %lld as the first of its kind", dim ? place(n, dim, where) : "the sequence", (long long)size,
               (long long)n->shape[dim]);
  for (n->at[dim] = 0; n->at[dim] < size; n->at[dim]++) {
    lua_geti(L, -1, n->at[dim] + 1);
    walk(n, dim + 1);
    lua_pop(L, 1);
  }
}

/* Puts the numbers of the sequence at index 1 into *box. Half precision is filled as float32 and cast. */
static bool fill_nested(Nested *n, HfTensor **box, HfDtype dtype, HfDevice *device, HfError *err) {
  HfDtype filled = dtype == HF_FLOAT16 || dtype == HF_BFLOAT16 ? HF_FLOAT32 : dtype;
  if (!(*box = hf_tensor_empty(filled, n->ndim, n->shape, hf_device_cpu(), err))) return false;
  n->dtype = filled, n->out = hf_tensor_data(*box), n->next = 0;
  lua_pushvalue(n->L, 1);
  walk(n, 0);
  lua_pop(n->L, 1);
  HfTensor *cast = hf_cast(*box, dtype, err), *moved = cast ? hf_to_device(cast, device, err) : NULL;
  hf_tensor_release(cast);
  hf_tensor_release(*box);
  return (*box = moved) != NULL;
}

static HfTensor *copy_of(HfTensor *t, HfDtype dtype, HfDevice *device, HfError *err) {
  bool enabled = hf_tape_set_enabled(false);
  HfTensor *clone = hf_clone(t, err), *cast = clone ? hf_cast(clone, dtype, err) : NULL;
  HfTensor *moved = cast ? hf_to_device(cast, device, err) : NULL;
  hf_tensor_release(clone), hf_tensor_release(cast);
  hf_tape_set_enabled(enabled);
  return moved;
}

static void want_gradient(lua_State *L, HfTensor *t, bool wanted) {
  if (wanted && !hf_dtype_is_float(t->dtype))
    hfL_errorf(L, "requires_grad: only float tensors have gradients, this one is %s", hf_dtype_name(t->dtype));
  t->requires_grad = wanted;
}

/* tensor.tensor(value, {dtype=, device=, requires_grad=}): numbers in nested sequences, one number, or a copy of a tensor. */
static int create_tensor(lua_State *L) {
  static const char *const names[] = {"dtype", "device", "requires_grad", NULL};
  HfError err;
  hfL_check_options(L, 2, "tensor", names);
  luaL_checkany(L, 1);
  lua_settop(L, 2);
  HfTensor *source = hfL_test_tensor(L, 1), **box = hfL_new_tensor(L);
  HfDevice *device = hfL_opt_device(L, 2, "device", source ? hf_tensor_device(source) : hf_device_default());
  Nested n = {.L = L, .dtype = HF_DTYPE_COUNT};
  bool done;
  if (source) {
    *box = copy_of(source, hfL_opt_dtype(L, 2, "dtype", source->dtype), device, &err);
    done = *box != NULL;
  } else {
    lua_pushvalue(L, 1);
    find_shape(&n);
    walk(&n, 0);
    lua_pop(L, 1);
    done = fill_nested(&n, box, hfL_opt_dtype(L, 2, "dtype", n.dtype == HF_DTYPE_COUNT ? HF_FLOAT32 : n.dtype), device, &err);
  }
  if (!done) return hfL_raise(L, &err);
  want_gradient(L, *box, hfL_opt_boolean(L, 2, "requires_grad", 0));
  return 1;
}

/* ---- of one value. Slots: sizes or x, value (full only), dtype, device, requires_grad */

static HfDtype dtype_or(HfCall *c, int slot, HfDtype fallback) {
  return hf_call_given(c, slot) ? hfL_check_dtype(c->L, slot + 1) : fallback;
}

static HfDevice *device_or(HfCall *c, int slot, HfDevice *fallback) {
  return hf_call_given(c, slot) ? hfL_check_device(c->L, slot + 1) : fallback;
}

static bool return_new(HfCall *c, HfTensor *t, int slot) {
  if (!hf_call_return(c, t)) return false;
  want_gradient(c->L, t, hf_call_boolean_or(c, slot, false));
  return true;
}

/* PyTorch's: whole numbers make int64, booleans bool. */
static HfDtype value_dtype(HfCall *c, int slot) {
  if (lua_isboolean(c->L, slot + 1)) return HF_BOOL;
  return lua_isinteger(c->L, slot + 1) ? HF_INT64 : HF_FLOAT32;
}

static double value_number(HfCall *c, int slot) {
  return lua_isboolean(c->L, slot + 1) ? lua_toboolean(c->L, slot + 1) : hf_call_number(c, slot);
}

static bool run_filled(HfCall *c, HfError *err) {
  int64_t shape[HF_MAX_DIMS];
  int ndim = hf_call_sizes(c, 0, shape);
  return return_new(c, hf_tensor_full(dtype_or(c, 1, HF_FLOAT32), ndim, shape, c->op->code, device_or(c, 2, hf_device_default()), err), 3);
}

static bool run_full(HfCall *c, HfError *err) {
  int64_t shape[HF_MAX_DIMS];
  int ndim = hf_call_sizes(c, 0, shape);
  HfDtype dtype = dtype_or(c, 2, value_dtype(c, 1));
  return return_new(c, hf_tensor_full(dtype, ndim, shape, value_number(c, 1), device_or(c, 3, hf_device_default()), err), 4);
}

static bool run_filled_like(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0);
  HfDevice *device = device_or(c, 2, hf_tensor_device(x));
  return return_new(c, hf_tensor_full(dtype_or(c, 1, x->dtype), x->ndim, x->shape, c->op->code, device, err), 3);
}

static bool run_full_like(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0);
  HfDevice *device = device_or(c, 3, hf_tensor_device(x));
  return return_new(c, hf_tensor_full(dtype_or(c, 2, x->dtype), x->ndim, x->shape, value_number(c, 1), device, err), 4);
}

/* ---- ranges */

/* arange(stop), arange(start, stop, step) */
static bool run_arange(HfCall *c, HfError *err) {
  bool one = !hf_call_given(c, 1);
  double start = one ? 0 : hf_call_number(c, 0), stop = hf_call_number(c, !one), step = hf_call_number_or(c, 2, 1);
  bool whole = lua_isinteger(c->L, 1) && (one || lua_isinteger(c->L, 2)) && (!hf_call_given(c, 2) || lua_isinteger(c->L, 3));
  if (step == 0 || !isfinite(step)) hf_call_error(c, 2, "expected a number other than 0, found %g", step);
  double count = ceil((stop - start) / step);
  if (!(count < 0x1p53)) hf_call_error(c, !one, "expected a finite end, found %g", stop);
  int64_t n = count > 0 ? (int64_t)count : 0;
  HfTensor *t = hf_tensor_empty(dtype_or(c, 3, whole ? HF_INT64 : HF_FLOAT32), 1, &n, device_or(c, 4, hf_device_default()), err);
  if (t && n && hf_tensor_kernels(t)->arange(hf_tensor_data(t), t->dtype, start, step, n) != HF_OK) {
    hf_error_set(err, "arange: no kernel for %s", hf_dtype_name(t->dtype));
    hf_tensor_release(t);
    return false;
  }
  return return_new(c, t, 5);
}

/* Evenly spaced, counted from both ends so that the last one is exact. */
static bool run_linspace(HfCall *c, HfError *err) {
  double start = hf_call_number(c, 0), stop = hf_call_number(c, 1);
  int64_t n = hf_call_integer(c, 2);
  if (n < 0) hf_call_error(c, 2, "expected 0 or more, found %lld", (long long)n);
  HfDevice *device = device_or(c, 3, hf_device_default());
  HfTensor *host = hf_tensor_empty(HF_FLOAT32, 1, &n, hf_device_cpu(), err);
  if (!host) return false;
  float *out = hf_tensor_data(host);
  double step = n > 1 ? (stop - start) / (double)(n - 1) : 0;
  for (int64_t i = 0; i < n; i++) out[i] = (float)(i < (n + 1) / 2 ? start + step * (double)i : stop - step * (double)(n - 1 - i));
  HfTensor *t = hf_to_device(host, device, err);
  hf_tensor_release(host);
  return return_new(c, t, 4);
}

static bool run_eye(HfCall *c, HfError *err) {
  int64_t shape[2] = {hf_call_integer(c, 0), hf_call_integer_or(c, 1, hf_call_integer(c, 0))};
  HfTensor *t = hf_tensor_zeros(dtype_or(c, 2, HF_FLOAT32), 2, shape, device_or(c, 3, hf_device_default()), err);
  if (!t) return false;
  int64_t diagonal = shape[0] < shape[1] ? shape[0] : shape[1], stride = shape[1] + 1;
  HfTensor *view = hf_tensor_view(t, t->offset, 1, &diagonal, &stride, err);
  bool ok = view && hf_tensor_fill_(view, 1, err);
  hf_tensor_release(view);
  if (!ok) return hf_tensor_release(t), false;
  return return_new(c, t, 4);
}

#define FILLED(name, value) {name, run_filled, .names = {"sizes", "dtype", "device", "requires_grad"}, .required = -1, .gather = 1, .code = value}
#define FILLED_LIKE(name, value) {name, run_filled_like, .names = {"x", "dtype", "device", "requires_grad"}, .code = value}

const HfLuaOp hf_lua_create_ops[] = {
    FILLED("zeros", 0), FILLED("ones", 1), FILLED("empty", 0),
    FILLED_LIKE("zeros_like", 0), FILLED_LIKE("ones_like", 1), FILLED_LIKE("empty_like", 0),
    {"full", run_full, .names = {"sizes", "value", "dtype", "device", "requires_grad"}, .required = 2},
    {"full_like", run_full_like, .names = {"x", "value", "dtype", "device", "requires_grad"}, .required = 2},
    {"arange", run_arange, .names = {"start", "stop", "step", "dtype", "device", "requires_grad"}},
    {"linspace", run_linspace, .names = {"start", "stop", "steps", "device", "requires_grad"}, .required = 3},
    {"eye", run_eye, .names = {"n", "m", "dtype", "device", "requires_grad"}},
    {NULL},
};

/* core.device(name) -> the name as tensors show it; an error when there is none. */
static int create_device(lua_State *L) { return lua_pushstring(L, hfL_check_device(L, 1)->name), 1; }

/* core.set_default_device(name): where tensors are made when nothing else is said. */
static int set_default_device(lua_State *L) { return hf_device_set_default(hfL_check_device(L, 1)), 0; }
static int get_default_device(lua_State *L) { return lua_pushstring(L, hf_device_default()->name), 1; }

void hf_lua_open_create(lua_State *L) {
  static const luaL_Reg functions[] = {{"tensor", create_tensor}, {"device", create_device}, {"set_default_device", set_default_device},
                                       {"get_default_device", get_default_device}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
