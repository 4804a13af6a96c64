/* Choosing tokens where the logits are, for Lua:
 *
 *   generation.can_choose(logits)        -- has their device kernels for it?
 *   generation.choose(logits, state)     -- fields of state: those of HfChoice; repetition_penalty, temperature, top_k, top_p, min_p, draw, key
 *   generation.draw_key()                -- a whole number from the global generator
 */
#include "choose.h"
#include "lua_aux_tensor.h"
#include "lua_generation.h"
#include "random.h"

/* The tensor in a field of the table at 2, kept alive by it; NULL where it may be absent. */
static HfTensor *field_tensor(lua_State *L, const char *name, bool optional) {
  lua_getfield(L, 2, name);
  HfTensor *t = hfL_test_tensor(L, -1);
  if (!t && !(optional && lua_isnil(L, -1))) hfL_errorf(L, "choose: %s: expected a tensor, found %s", name, luaL_typename(L, -1));
  lua_pop(L, 1);
  return t;
}

static double field_number(lua_State *L, const char *name, double fallback) {
  lua_getfield(L, 2, name);
  if (!lua_isnil(L, -1) && !lua_isnumber(L, -1)) hfL_errorf(L, "choose: %s: expected a number, found %s", name, luaL_typename(L, -1));
  double value = luaL_optnumber(L, -1, fallback);
  lua_pop(L, 1);
  return value;
}

static int64_t field_integer(lua_State *L, const char *name) {
  lua_getfield(L, 2, name);
  int64_t value = luaL_optinteger(L, -1, 0);
  lua_pop(L, 1);
  return value;
}

static HfSampling rules_of(lua_State *L) {
  HfSampling s = {.repetition_penalty = (float)field_number(L, "repetition_penalty", 1), .temperature = (float)field_number(L, "temperature", 1), .top_k = field_integer(L, "top_k"),
                  .top_p = (float)field_number(L, "top_p", 1), .min_p = (float)field_number(L, "min_p", 0), .key = (uint64_t)field_integer(L, "key")};
  lua_getfield(L, 2, "draw");
  s.draw = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return s;
}

typedef struct Work {
  HfTensor *logits;
  HfChoice choice;
} Work;

static bool run_choose(void *data, HfError *err) {
  Work *w = data;
  return hf_choose(w->logits, &w->choice, err);
}

static int choose(lua_State *L) {
  HfError err;
  luaL_checktype(L, 2, LUA_TTABLE);
  Work w = {hfL_check_tensor(L, 1), {.rules = rules_of(L)}};
  struct { HfTensor **to; const char *name; bool optional; } const fields[] = {
      {&w.choice.ids, "ids", false}, {&w.choice.column, "column", false}, {&w.choice.token, "token", false}, {&w.choice.input, "input", false},
      {&w.choice.position, "position", false}, {&w.choice.done, "done", false}, {&w.choice.ends, "ends", true}, {&w.choice.starts, "starts", true}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) *fields[i].to = field_tensor(L, fields[i].name, fields[i].optional);
  w.choice.pad = field_integer(L, "pad");
  return hfL_run(L, run_choose, &w, &err) ? 0 : hfL_raise(L, &err);
}

static int can_choose(lua_State *L) { return lua_pushboolean(L, hf_can_choose(hf_tensor_device(hfL_check_tensor(L, 1)))), 1; }

static int draw_key(lua_State *L) { return lua_pushinteger(L, (lua_Integer)hf_random_u64(hf_random_global())), 1; }

void hfL_open_choose(lua_State *L) {
  static const luaL_Reg functions[] = {{"choose", choose}, {"can_choose", can_choose}, {"draw_key", draw_key}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
