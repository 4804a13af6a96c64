/* How Lua calls an operation: see lua_call.h. */
#include "lua_call.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- arranging the arguments */

static int count_names(const HfLuaOp *op) {
  int count = 0;
  while (count < HF_CALL_NAMES && op->names[count]) count++;
  return count;
}

static const char *canonical(const char *name) {
  if (!strcmp(name, "axis")) return "dim";
  return strcmp(name, "keepdims") ? name : "keepdim";
}

static int find_slot(const HfLuaOp *op, const char *key) {
  for (int pass = 0; pass < 2; pass++, key = canonical(key))
    for (int i = 0; i < HF_CALL_NAMES && op->names[i]; i++)
      if (!strcmp(op->names[i], key)) return i;
  return -1;
}

static void refuse_option(lua_State *L, const HfLuaOp *op, const char *key) {
  const char *names[HF_CALL_NAMES + 1] = {NULL};
  memcpy(names, op->names, sizeof op->names);
  const char *near = hf_nearest_name(key, names);
  if (near) hfL_errorf(L, "%s: unknown option '%s' (did you mean '%s'?)", op->name, key, near);
  hfL_errorf(L, "%s: unknown option '%s'", op->name, key);
}

/* Moves the fields of the table at `options` into the slots below it. */
static void take_options(lua_State *L, const HfLuaOp *op, int options) {
  for (lua_pushnil(L); lua_next(L, options); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
    if (!key) hfL_errorf(L, "%s: options are named, found the key %s", op->name, luaL_tolstring(L, -2, NULL));
    int slot = find_slot(op, key);
    if (slot < 0) refuse_option(L, op, key);
    if (!lua_isnil(L, slot + 1)) hfL_errorf(L, "%s: argument '%s' is given twice", op->name, op->names[slot]);
    if (hfL_is_null(L, -1)) continue;
    lua_pushvalue(L, -1);
    lua_replace(L, slot + 1);
  }
}

/* A plain table without an element 1 holds options; with one it is a sequence. */
static bool is_options(lua_State *L, int idx) {
  if (!lua_istable(L, idx)) return false;
  bool sequence = lua_rawgeti(L, idx, 1) != LUA_TNIL;
  lua_pop(L, 1);
  return !sequence;
}

/* Makes the positional values from `first` to `last` that have the type of the first one into one sequence, which takes their
 * place; returns the new last index. */
static int gather_values(lua_State *L, int first, int last) {
  int type = first <= last ? lua_type(L, first) : LUA_TNIL, count = 0;
  if (type != LUA_TNUMBER && type != LUA_TUSERDATA) return last;
  while (first + count <= last && lua_type(L, first + count) == type) count++;
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_pushvalue(L, first + i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_replace(L, first);
  for (int i = 1; i < count; i++) lua_remove(L, first + 1);
  return last - count + 1;
}

/* Leaves exactly one stack slot for each name. */
static void arrange(lua_State *L, const HfLuaOp *op) {
  int names = count_names(op), given = lua_gettop(L), options = 0;
  luaL_checkstack(L, HF_CALL_NAMES + 8, op->name);
  if (given && is_options(L, given)) options = given--;
  if (op->gather) {
    int before = given;
    given = gather_values(L, op->gather, given);
    if (options) options -= before - given;
  }
  if (given > names) hfL_errorf(L, "%s: expected at most %d arguments, found %d", op->name, names, given);
  if (options) {
    lua_pushvalue(L, options);
    lua_insert(L, 1); /* out of the way while the slots are made */
    lua_settop(L, given + 1);
    lua_settop(L, names + 1);
    lua_pushvalue(L, 1);
    lua_remove(L, 1);
    take_options(L, op, names + 1);
  }
  lua_settop(L, names);
  int required = op->required ? op->required : 1;
  for (int i = 0; i < required; i++)
    if (lua_isnoneornil(L, i + 1)) hfL_errorf(L, "%s: argument '%s' is missing", op->name, op->names[i]);
}

/* ---- calling */

static bool run_call(void *data, HfError *err) {
  HfCall *c = data;
  c->results = 0;
  return c->op->run(c, err);
}

static int call_operation(lua_State *L) {
  HfError err;
  HfCall c = {.L = L, .op = lua_touserdata(L, lua_upvalueindex(1))};
  arrange(L, c.op);
  int first = lua_gettop(L) + 1;
  if (!c.op->in_place) c.result[0] = hfL_new_tensor(L);
  if (c.op->results == 2) c.result[1] = hfL_new_tensor(L);
  if (!hfL_run(L, run_call, &c, &err)) return hfL_raise(L, &err);
  lua_settop(L, c.op->in_place ? 1 : first - 1 + c.results);
  return c.op->in_place ? 1 : c.results;
}

bool hf_call_return(HfCall *c, HfTensor *t) {
  if (!t) return false;
  HfTensor **place = c->result[c->results++];
  hf_tensor_release(*place); /* of a first try that ended later */
  *place = t;
  return true;
}

void hf_call_push(lua_State *L, const HfLuaOp *op) {
  lua_pushlightuserdata(L, (void *)op);
  lua_pushcclosure(L, call_operation, 1);
}

void hf_call_register(lua_State *L, int idx, const HfLuaOp *ops) {
  idx = lua_absindex(L, idx);
  for (; ops->name; ops++) {
    hf_call_push(L, ops);
    lua_setfield(L, idx, ops->name);
  }
}

/* ---- operations written in Lua */

static int call_lua_operation(lua_State *L) {
  const HfLuaOp *op = lua_touserdata(L, lua_upvalueindex(1));
  arrange(L, op);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* The strings belong to the table of the definition, which the closure keeps. */
static void read_definition(lua_State *L, HfLuaOp *op) {
  op->name = hfL_opt_string(L, 1, "name", NULL);
  op->required = (int)hfL_opt_integer(L, 1, "required", 0);
  op->gather = (int)hfL_opt_integer(L, 1, "gather", 0);
  lua_getfield(L, 1, "arguments");
  lua_Integer count = luaL_len(L, -1);
  luaL_argcheck(L, op->name && count <= HF_CALL_NAMES, 1, "a name and at most 12 arguments are expected");
  for (int i = 0; i < count; i++) {
    lua_geti(L, -1, i + 1);
    op->names[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

int hf_call_define(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  HfLuaOp *op = lua_newuserdatauv(L, sizeof *op, 0);
  *op = (HfLuaOp){0};
  read_definition(L, op);
  lua_getfield(L, 1, "run");
  luaL_checktype(L, -1, LUA_TFUNCTION);
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, call_lua_operation, 3);
  return 1;
}

/* ---- arguments */

int hf_call_error(HfCall *c, int slot, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return hfL_errorf(c->L, "%s: argument '%s': %s", c->op->name, c->op->names[slot], text);
}

static void expected(HfCall *c, int slot, const char *what) {
  hf_call_error(c, slot, "expected %s, found %s", what, luaL_typename(c->L, slot + 1));
}

bool hf_call_given(HfCall *c, int slot) { return !lua_isnil(c->L, slot + 1); }

HfTensor *hf_call_tensor(HfCall *c, int slot) {
  HfTensor *t = hfL_test_tensor(c->L, slot + 1);
  if (!t) expected(c, slot, "a tensor");
  return t;
}

HfTensor *hf_call_optional_tensor(HfCall *c, int slot) {
  return hf_call_given(c, slot) ? hf_call_tensor(c, slot) : NULL;
}

/* A number takes the dtype of `like`, but a fraction makes whole numbers float32. */
static HfDtype operand_dtype(HfCall *c, int slot, const HfTensor *like) {
  if (lua_isboolean(c->L, slot + 1)) return HF_BOOL;
  if (hf_dtype_is_float(like->dtype)) return like->dtype;
  if (!lua_isinteger(c->L, slot + 1)) return HF_FLOAT32;
  return like->dtype == HF_BOOL ? HF_INT64 : like->dtype;
}

#define DOUBLE_HOLDS ((int64_t)1 << 53) /* every whole number up to it */

HfTensor *hf_call_operand(HfCall *c, int slot, const HfTensor *like, HfError *err) {
  HfTensor *t = hfL_test_tensor(c->L, slot + 1);
  if (t) return t;
  int type = lua_type(c->L, slot + 1);
  if (type != LUA_TNUMBER && type != LUA_TBOOLEAN) expected(c, slot, "a tensor or a number");
  HfTensor **box = hfL_new_tensor(c->L);
  HfDevice *device = like ? hf_tensor_device(like) : hf_device_cpu();
  HfDtype dtype = like ? operand_dtype(c, slot, like) : HF_FLOAT32;
  int64_t whole = type == LUA_TBOOLEAN ? lua_toboolean(c->L, slot + 1) : lua_tointeger(c->L, slot + 1);
  if (dtype == HF_INT64 && (whole < -DOUBLE_HOLDS || whole > DOUBLE_HOLDS)) {
    *box = hf_tensor_from(HF_INT64, 0, NULL, &whole, device, err);
  } else {
    double value = type == LUA_TBOOLEAN ? (double)whole : lua_tonumber(c->L, slot + 1);
    *box = hf_tensor_full(dtype, 0, NULL, value, device, err);
  }
  if (!(t = *box)) return lua_pop(c->L, 1), NULL;
  lua_replace(c->L, slot + 1);
  return t;
}

double hf_call_number(HfCall *c, int slot) {
  if (lua_type(c->L, slot + 1) != LUA_TNUMBER) expected(c, slot, "a number");
  return lua_tonumber(c->L, slot + 1);
}

double hf_call_number_or(HfCall *c, int slot, double fallback) {
  return hf_call_given(c, slot) ? hf_call_number(c, slot) : fallback;
}

int64_t hf_call_integer(HfCall *c, int slot) {
  int whole = 0;
  int64_t value = lua_type(c->L, slot + 1) == LUA_TNUMBER ? lua_tointegerx(c->L, slot + 1, &whole) : 0;
  if (!whole) hf_call_error(c, slot, "expected a whole number, found %s", luaL_tolstring(c->L, slot + 1, NULL));
  return value;
}

int64_t hf_call_integer_or(HfCall *c, int slot, int64_t fallback) {
  return hf_call_given(c, slot) ? hf_call_integer(c, slot) : fallback;
}

bool hf_call_boolean_or(HfCall *c, int slot, bool fallback) {
  if (!hf_call_given(c, slot)) return fallback;
  if (!lua_isboolean(c->L, slot + 1)) expected(c, slot, "true or false");
  return lua_toboolean(c->L, slot + 1);
}

const char *hf_call_string_or(HfCall *c, int slot, const char *fallback) {
  if (!hf_call_given(c, slot)) return fallback;
  if (lua_type(c->L, slot + 1) != LUA_TSTRING) expected(c, slot, "a string");
  return lua_tostring(c->L, slot + 1);
}

int hf_call_choice_or(HfCall *c, int slot, const char *const *choices, int fallback) {
  const char *name = hf_call_string_or(c, slot, NULL);
  if (!name) return fallback;
  for (int i = 0; choices[i]; i++)
    if (!strcmp(choices[i], name)) return i;
  luaL_Buffer list;
  luaL_buffinit(c->L, &list);
  for (int i = 0; choices[i]; i++) {
    if (i) luaL_addstring(&list, ", ");
    luaL_addstring(&list, choices[i]);
  }
  luaL_pushresult(&list);
  return hf_call_error(c, slot, "'%s' is none of %s", name, lua_tostring(c->L, -1));
}

int hf_call_sizes(HfCall *c, int slot, int64_t out[HF_MAX_DIMS]) {
  char what[128];
  if (!hf_call_given(c, slot)) return 0;
  if (lua_type(c->L, slot + 1) == LUA_TNUMBER) return out[0] = hf_call_integer(c, slot), 1;
  snprintf(what, sizeof what, "%s: argument '%s'", c->op->name, c->op->names[slot]);
  return hfL_check_sizes(c->L, slot + 1, what, out);
}

HfTensor **hf_call_tensors(HfCall *c, int slot, int *count) {
  if (lua_type(c->L, slot + 1) != LUA_TTABLE) expected(c, slot, "a sequence of tensors");
  lua_Integer n = luaL_len(c->L, slot + 1);
  HfTensor **list = lua_newuserdatauv(c->L, (size_t)(n ? n : 1) * sizeof *list, 0);
  for (lua_Integer i = 0; i < n; i++) {
    lua_geti(c->L, slot + 1, i + 1);
    list[i] = hfL_test_tensor(c->L, -1);
    if (!list[i]) hf_call_error(c, slot, "expected tensors, found %s at %lld", luaL_typename(c->L, -1), (long long)i + 1);
    lua_pop(c->L, 1);
  }
  *count = (int)n;
  return list;
}
