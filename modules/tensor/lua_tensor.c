/* The tensor class of Lua: fields, rows, numbers out, and the opening of hflua.core.tensor. */
#include <string.h>
#include "graph.h"
#include "lua_call.h"
#include "ops.h"

/* ---- fields */

/* "[8, 128]" */
static int shape_tostring(lua_State *L) {
  luaL_Buffer b;
  lua_Integer count = luaL_len(L, 1);
  luaL_buffinit(L, &b);
  luaL_addchar(&b, '[');
  for (lua_Integer i = 1; i <= count; i++) {
    if (i > 1) luaL_addstring(&b, ", ");
    lua_geti(L, 1, i);
    luaL_addvalue(&b);
  }
  luaL_addchar(&b, ']');
  luaL_pushresult(&b);
  return 1;
}

static int shape_eq(lua_State *L) {
  lua_Integer count = luaL_len(L, 1);
  bool same = count == luaL_len(L, 2);
  for (lua_Integer i = 1; i <= count && same; i++) {
    lua_geti(L, 1, i);
    lua_geti(L, 2, i);
    same = lua_compare(L, -1, -2, LUA_OPEQ);
    lua_pop(L, 2);
  }
  return lua_pushboolean(L, same), 1;
}

static void push_sizes(lua_State *L, int count, const int64_t *sizes) {
  static const luaL_Reg methods[] = {{"__tostring", shape_tostring}, {"__eq", shape_eq}, {NULL, NULL}};
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_pushinteger(L, sizes[i]);
    lua_rawseti(L, -2, i + 1);
  }
  if (luaL_getmetatable(L, "hflua.shape") == LUA_TNIL) {
    lua_pop(L, 1);
    hfL_newclass(L, "hflua.shape", methods);
  }
  lua_setmetatable(L, -2);
}

static int field_shape(lua_State *L) {
  HfTensor *t = hfL_check_tensor(L, 1);
  return push_sizes(L, t->ndim, t->shape), 1;
}

static int field_dtype(lua_State *L) { return lua_pushstring(L, hf_dtype_name(hfL_check_tensor(L, 1)->dtype)), 1; }
static int field_device(lua_State *L) { return lua_pushstring(L, hf_tensor_device(hfL_check_tensor(L, 1))->name), 1; }
static int field_ndim(lua_State *L) { return lua_pushinteger(L, hfL_check_tensor(L, 1)->ndim), 1; }
static int field_requires_grad(lua_State *L) { return lua_pushboolean(L, hfL_check_tensor(L, 1)->requires_grad), 1; }
static int field_is_leaf(lua_State *L) { return lua_pushboolean(L, !hfL_check_tensor(L, 1)->node), 1; }

/* Name of the operation that made it, nil for a leaf. */
static int field_grad_fn(lua_State *L) {
  HfTensor *t = hfL_check_tensor(L, 1);
  return lua_pushstring(L, t->node ? t->node->operation->name : NULL), 1;
}

static int field_grad(lua_State *L) {
  HfTensor *grad = hfL_check_tensor(L, 1)->grad;
  if (!grad) return lua_pushnil(L), 1;
  HfTensor **box = hfL_new_tensor(L);
  hf_tensor_retain(*box = grad);
  return 1;
}

static int push_made(lua_State *L, HfTensor **box, HfTensor *made, const HfError *err) {
  if (!(*box = made)) return hfL_raise(L, err);
  return 1;
}

static int field_data(lua_State *L) {
  HfError err;
  HfTensor *t = hfL_check_tensor(L, 1), **box = hfL_new_tensor(L);
  return push_made(L, box, hf_tensor_detach(t, &err), &err);
}

/* All dims in reverse order. */
static int field_transposed(lua_State *L) {
  HfError err;
  int64_t dims[HF_MAX_DIMS];
  HfTensor *t = hfL_check_tensor(L, 1), **box = hfL_new_tensor(L);
  for (int i = 0; i < t->ndim; i++) dims[i] = t->ndim - 1 - i;
  return push_made(L, box, hf_permute(t, t->ndim, dims, &err), &err);
}

static const luaL_Reg fields[] = {
    {"shape", field_shape}, {"dtype", field_dtype}, {"device", field_device}, {"ndim", field_ndim}, {"grad", field_grad},
    {"requires_grad", field_requires_grad}, {"is_leaf", field_is_leaf}, {"grad_fn", field_grad_fn}, {"data", field_data},
    {"T", field_transposed}, {NULL, NULL},
};

/* ---- changing fields */

static void set_requires_grad(lua_State *L, HfTensor *t, bool on) {
  if (on && !hf_dtype_is_float(t->dtype))
    hfL_errorf(L, "requires_grad: only float tensors have gradients, this one is %s", hf_dtype_name(t->dtype));
  if (t->node && !on) hfL_errorf(L, "requires_grad: this tensor is the result of %s: use :detach()", t->node->operation->name);
  t->requires_grad = on;
}

static void set_grad(lua_State *L, HfTensor *t, HfTensor *grad) {
  char want[HF_DESCRIPTION_SIZE], found[HF_DESCRIPTION_SIZE];
  if (grad && (!hf_tensor_same_shape(t, grad) || t->dtype != grad->dtype))
    hfL_errorf(L, "grad: expected %s, found %s", hf_tensor_describe(t, want), hf_tensor_describe(grad, found));
  if (grad) hf_tensor_retain(grad);
  hf_graph_note_gradient(t, true);
  hf_tensor_release(t->grad);
  t->grad = grad;
}

/* The leaf takes over the numbers of another tensor, with their device and dtype; both then share them. A gradient of another
 * device or dtype is dropped. */
static void set_data(lua_State *L, HfTensor *t, const HfTensor *from) {
  char want[HF_DESCRIPTION_SIZE], found[HF_DESCRIPTION_SIZE];
  if (t->node) hfL_errorf(L, "data: only leaves can be given other numbers: use :detach()");
  if (!hf_tensor_same_shape(t, from)) hfL_errorf(L, "data: expected the shape of %s, found %s", hf_tensor_describe(t, want), hf_tensor_describe(from, found));
  if (t->requires_grad && !hf_dtype_is_float(from->dtype)) hfL_errorf(L, "data: a tensor with a gradient needs floats, found %s", hf_dtype_name(from->dtype));
  if (t->grad && (from->dtype != t->dtype || hf_tensor_device(from) != hf_tensor_device(t))) set_grad(L, t, NULL);
  HfStorage *old = t->storage;
  hf_storage_retain(from->storage);
  t->storage = from->storage, t->offset = from->offset, t->dtype = from->dtype;
  memcpy(t->stride, from->stride, sizeof t->stride);
  hf_storage_release(old);
}

static int tensor_requires_grad_(lua_State *L) {
  set_requires_grad(L, hfL_check_tensor(L, 1), lua_isnoneornil(L, 2) || lua_toboolean(L, 2));
  return lua_settop(L, 1), 1;
}

/* ---- rows: t[1] is the first */

/* The index made 0-based; -1 for the place behind the last, where ipairs stops. */
static int64_t check_row(lua_State *L, const HfTensor *t) {
  int whole;
  char text[HF_DESCRIPTION_SIZE];
  int64_t row = lua_tointegerx(L, 2, &whole);
  if (!t->ndim) hfL_errorf(L, "a single value (0 dims) has no rows: use :item()");
  if (!whole) hfL_errorf(L, "row numbers are whole, found %s", luaL_tolstring(L, 2, NULL));
  if (row == t->shape[0] + 1) return -1;
  if (row < 0) row += t->shape[0] + 1;
  if (row < 1 || row > t->shape[0])
    hfL_errorf(L, "row %lld does not exist in %s: rows are counted from 1", (long long)lua_tointeger(L, 2), hf_tensor_describe(t, text));
  return row - 1;
}

static int push_row(lua_State *L) {
  HfError err;
  HfTensor *t = hfL_check_tensor(L, 1);
  int64_t row = check_row(L, t);
  if (row < 0) return lua_pushnil(L), 1;
  HfTensor **box = hfL_new_tensor(L);
  return push_made(L, box, hf_select(t, 0, row, &err), &err);
}

/* Calls the method `name` with the whole stack. */
static int call_method(lua_State *L, const char *name) {
  lua_getfield(L, lua_upvalueindex(1), name);
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

/* upvalues: methods, fields */
static int tensor_index(lua_State *L) {
  if (lua_type(L, 2) == LUA_TNUMBER) return push_row(L);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TNIL) return 1;
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
  }
  HfTensor *key = hfL_test_tensor(L, 2);
  if (!key) return lua_pushnil(L), 1;
  return call_method(L, key->dtype == HF_BOOL ? "masked_select" : "index");
}

static int tensor_newindex(lua_State *L) {
  HfTensor *t = hfL_check_tensor(L, 1);
  if (lua_type(L, 2) == LUA_TNUMBER) {
    if (check_row(L, t) < 0) hfL_errorf(L, "row %lld does not exist: the tensor has %lld", (long long)lua_tointeger(L, 2), (long long)t->shape[0]);
    push_row(L);
    lua_replace(L, 1);
    lua_remove(L, 2);
    return call_method(L, "copy_"), 0;
  }
  const char *name = luaL_tolstring(L, 2, NULL);
  if (!strcmp(name, "requires_grad")) set_requires_grad(L, t, lua_toboolean(L, 3));
  else if (!strcmp(name, "grad")) set_grad(L, t, lua_isnil(L, 3) ? NULL : hfL_check_tensor(L, 3));
  else if (!strcmp(name, "data")) set_data(L, t, hfL_check_tensor(L, 3));
  else hfL_errorf(L, "a tensor has no field '%s' to set: requires_grad, grad, data and rows by number can be set", name);
  return 0;
}

static int tensor_len(lua_State *L) {
  HfTensor *t = hfL_check_tensor(L, 1);
  if (!t->ndim) hfL_errorf(L, "a single value (0 dims) has no length");
  return lua_pushinteger(L, t->shape[0]), 1;
}

/* Two boxes of one tensor are equal; tensors are compared number by number with eq. */
static int tensor_eq(lua_State *L) {
  return lua_pushboolean(L, hfL_test_tensor(L, 1) == hfL_test_tensor(L, 2)), 1;
}

/* Lua makes a truth value of what < and <= give. */
static int tensor_order(lua_State *L) {
  return hfL_errorf(L, "< and > do not compare tensors, since Lua makes one truth value of the result: use x:lt(y), x:le(y), x:gt(y) or x:ge(y)");
}

/* ---- numbers out (these wait for the device) */

static void push_number(lua_State *L, HfDtype dtype, const void *data, int64_t i) {
  switch (dtype) {
  case HF_FLOAT32: lua_pushnumber(L, ((const float *)data)[i]); break;
  case HF_INT64: lua_pushinteger(L, ((const int64_t *)data)[i]); break;
  case HF_INT32: lua_pushinteger(L, ((const int32_t *)data)[i]); break;
  case HF_UINT8: lua_pushinteger(L, ((const uint8_t *)data)[i]); break;
  case HF_BOOL: lua_pushboolean(L, ((const uint8_t *)data)[i]); break;
  case HF_BFLOAT16: lua_pushnumber(L, hf_bf16_to_float(((const uint16_t *)data)[i])); break;
  default: lua_pushnil(L);
  }
}

/* Pushes a buffer with the numbers of t in row order; half precision is widened, *dtype tells what came out. */
static const void *push_numbers(lua_State *L, HfTensor *t, HfDtype *dtype) {
  HfError err;
  HfTensor **box = hfL_new_tensor(L);
  *dtype = t->dtype == HF_FLOAT16 ? HF_FLOAT32 : t->dtype;
  *box = hf_cast(t, *dtype, &err);
  if (!*box) hfL_raise(L, &err);
  void *host = lua_newuserdatauv(L, hf_tensor_bytes(*box) + 1, 0);
  if (!hf_tensor_read(*box, host, &err)) hfL_raise(L, &err);
  lua_remove(L, -2);
  return host;
}

static void push_nested(lua_State *L, const HfTensor *t, HfDtype dtype, const void *data, int dim, int64_t *next) {
  if (dim == t->ndim) {
    push_number(L, dtype, data, (*next)++);
    return;
  }
  luaL_checkstack(L, 4, "tolist");
  lua_createtable(L, t->shape[dim] < INT32_MAX ? (int)t->shape[dim] : 0, 0);
  for (int64_t i = 0; i < t->shape[dim]; i++) {
    push_nested(L, t, dtype, data, dim + 1, next);
    lua_rawseti(L, -2, i + 1);
  }
}

static int tensor_tolist(lua_State *L) {
  HfDtype dtype;
  HfTensor *t = hfL_check_tensor(L, 1);
  const void *data = push_numbers(L, t, &dtype);
  push_nested(L, t, dtype, data, 0, &(int64_t){0});
  return 1;
}

static int tensor_item(lua_State *L) {
  HfError err;
  double number;
  int64_t whole;
  char text[HF_DESCRIPTION_SIZE];
  HfTensor *t = hfL_check_tensor(L, 1);
  if (hf_tensor_numel(t) != 1) hfL_errorf(L, "item: expected one element, found %s; use :tolist()", hf_tensor_describe(t, text));
  if (!hf_tensor_item(t, &number, &whole, &err)) return hfL_raise(L, &err);
  if (t->dtype == HF_BOOL) lua_pushboolean(L, whole != 0);
  else if (hf_dtype_is_float(t->dtype)) lua_pushnumber(L, number);
  else lua_pushinteger(L, whole);
  return 1;
}

/* ---- looking */

static int push_size(lua_State *L, const HfTensor *t, const int64_t *sizes, const char *what) {
  HfError err;
  if (lua_isnoneornil(L, 2)) return push_sizes(L, t->ndim, sizes), 1;
  int64_t dim = luaL_checkinteger(L, 2);
  if (!hf_check_dim(what, &dim, t->ndim, &err)) return hfL_raise(L, &err);
  if (!t->ndim) hfL_errorf(L, "%s: a single value has no dims", what);
  return lua_pushinteger(L, sizes[dim]), 1;
}

static int tensor_size(lua_State *L) {
  HfTensor *t = hfL_check_tensor(L, 1);
  return push_size(L, t, t->shape, "size");
}

static int tensor_stride(lua_State *L) {
  HfTensor *t = hfL_check_tensor(L, 1);
  return push_size(L, t, t->stride, "stride");
}

static int tensor_numel(lua_State *L) { return lua_pushinteger(L, hf_tensor_numel(hfL_check_tensor(L, 1))), 1; }
static int tensor_is_contiguous(lua_State *L) { return lua_pushboolean(L, hf_tensor_is_contiguous(hfL_check_tensor(L, 1))), 1; }
static int tensor_element_size(lua_State *L) { return lua_pushinteger(L, (lua_Integer)hf_dtype_size(hfL_check_tensor(L, 1)->dtype)), 1; }
static int tensor_is_floating_point(lua_State *L) { return lua_pushboolean(L, hf_dtype_is_float(hfL_check_tensor(L, 1)->dtype)), 1; }

/* Keeps a tensor alive beyond the hf.step it was made in. */
static int tensor_keep(lua_State *L) {
  hfL_keep_tensor(L, 1);
  return lua_settop(L, 1), 1;
}

static const luaL_Reg methods[] = {
    {"tolist", tensor_tolist}, {"item", tensor_item}, {"size", tensor_size}, {"stride", tensor_stride}, {"numel", tensor_numel},
    {"nelement", tensor_numel}, {"dim", field_ndim}, {"is_contiguous", tensor_is_contiguous}, {"element_size", tensor_element_size},
    {"is_floating_point", tensor_is_floating_point}, {"requires_grad_", tensor_requires_grad_}, {"keep", tensor_keep}, {NULL, NULL},
};

/* ---- opening */

static const struct { const char *event, *method; } arithmetic[] = {
    {"__add", "add"}, {"__sub", "sub"}, {"__mul", "mul"}, {"__div", "div"}, {"__pow", "pow"},
};

/* __unm gives its operand twice. */
static int tensor_unm(lua_State *L) {
  lua_settop(L, 1);
  return call_method(L, "neg");
}

/* stack: methods */
static void make_class(lua_State *L) {
  static const luaL_Reg plain[] = {{"__gc", hfL_tensor_close}, {"__close", hfL_tensor_close},
                                   {"__len", tensor_len}, {"__eq", tensor_eq}, {"__lt", tensor_order}, {"__le", tensor_order}, {NULL, NULL}};
  luaL_newmetatable(L, HFL_TENSOR); /* stack: methods, class */
  luaL_setfuncs(L, plain, 0);
  for (size_t i = 0; i < sizeof arithmetic / sizeof *arithmetic; i++) {
    lua_getfield(L, -2, arithmetic[i].method);
    lua_setfield(L, -2, arithmetic[i].event);
  }
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, tensor_unm, 1);
  lua_setfield(L, -2, "__unm");
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, tensor_newindex, 1);
  lua_setfield(L, -2, "__newindex");
  lua_pushvalue(L, -2);
  luaL_newlib(L, fields);
  lua_pushcclosure(L, tensor_index, 2);
  lua_setfield(L, -2, "__index");
}

/* core.functions: the operations and what makes tensors; core.methods: the operations and what changes in place. */
int luaopen_hflua_core_tensor(lua_State *L) {
  lua_newtable(L); /* core */
  luaL_newlib(L, methods);
  const HfLuaOp *const shared[] = {hf_lua_math_ops, hf_lua_shape_ops, hf_lua_index_ops, hf_lua_layer_ops, hf_lua_autograd_ops};
  lua_newtable(L); /* stack: core, methods, functions */
  for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
    hf_call_register(L, -1, shared[i]);
    hf_call_register(L, -2, shared[i]);
  }
  hf_call_register(L, -2, hf_lua_inplace_ops);
  hf_call_register(L, -2, hf_lua_random_inplace_ops);
  hf_call_register(L, -1, hf_lua_create_ops);
  hf_call_register(L, -1, hf_lua_random_ops);
  lua_setfield(L, -3, "functions");
  make_class(L);
  lua_setfield(L, -3, "class");
  lua_setfield(L, -2, "methods");
  lua_pushcfunction(L, hf_call_define);
  lua_setfield(L, -2, "define");
  hf_lua_open_create(L);
  hf_lua_open_autograd(L);
  hf_lua_open_graph(L);
  hf_lua_open_optim(L);
  hf_lua_open_pack(L);
  hf_lua_open_random(L);
  return 1;
}
