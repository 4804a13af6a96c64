/* Numbers read later, for Lua: tensor.core.read_later(t) queues the reading of one number, and its item() waits for that alone. */
#include <string.h>
#include "lua_call.h"
#include "ops.h"
#include "reading.h"
#include "twin.h"

#define HFL_READING "hflua.reading"

typedef struct LuaReading {
  HfReading reading;
  HfPushNumbers *push;
} LuaReading;

void hf_lua_push_reading(lua_State *L, HfDevice *device, const void *data, size_t size, HfPushNumbers *push) {
  HfError err;
  LuaReading *r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = (LuaReading){.push = push};
  luaL_setmetatable(L, HFL_READING);
  if (!hf_reading_begin(&r->reading, device, data, size, &err)) hfL_raise(L, &err);
}

/* reading:item() -> what the reading is of: for a tensor its one number. Waits until the device has come to it. */
static int reading_item(lua_State *L) {
  HfError err;
  LuaReading *r = luaL_checkudata(L, 1, HFL_READING);
  if (!hf_reading_finish(&r->reading, &err)) return hfL_raise(L, &err);
  return r->push(L, r->reading.bytes);
}

/* reading:is_late() -> must item() still ask the device? */
static int reading_is_late(lua_State *L) {
  LuaReading *r = luaL_checkudata(L, 1, HFL_READING);
  return lua_pushboolean(L, r->reading.pending != NULL), 1;
}

static int reading_gc(lua_State *L) {
  LuaReading *r = luaL_checkudata(L, 1, HFL_READING);
  return hf_reading_drop(&r->reading), 0;
}

static int push_float(lua_State *L, const void *bytes) {
  float number;
  memcpy(&number, bytes, sizeof number);
  return lua_pushnumber(L, number), 1;
}

static int push_integer(lua_State *L, const void *bytes) {
  int64_t number;
  memcpy(&number, bytes, sizeof number);
  return lua_pushinteger(L, number), 1;
}

static int push_boolean(lua_State *L, const void *bytes) { return lua_pushboolean(L, *(const uint8_t *)bytes), 1; }

/* core.read_later(t) -> a reading of the one number in t, as t:item() would give it */
static int read_later(lua_State *L) {
  HfError err;
  char text[HF_DESCRIPTION_SIZE];
  HfTensor *t = hfL_check_tensor(L, 1), **box = hfL_new_tensor(L);
  if (hf_tensor_numel(t) != 1) hfL_errorf(L, "read_later: expected one element, found %s", hf_tensor_describe(t, text));
  bool is_float = hf_dtype_is_float(t->dtype), is_bool = t->dtype == HF_BOOL;
  HfTensor *bare = hf_tensor_detach(t, &err);
  *box = bare ? hf_cast(bare, is_float ? HF_FLOAT32 : is_bool ? HF_BOOL : HF_INT64, &err) : NULL;
  hf_tensor_release(bare);
  if (!*box) return hfL_raise(L, &err);
  hf_lua_push_reading(L, hf_tensor_device(*box), hf_tensor_data(*box), hf_tensor_bytes(*box), is_float ? push_float : is_bool ? push_boolean : push_integer);
  return 1;
}

/* core.keep_twin(x, host) -> x. host has the same whole numbers on the host: reading x need not wait. nil: nothing is kept. */
static int keep_twin(lua_State *L) {
  HfTensor *t = hfL_check_tensor(L, 1), *host = lua_isnoneornil(L, 2) ? NULL : hfL_check_tensor(L, 2);
  char want[HF_DESCRIPTION_SIZE], found[HF_DESCRIPTION_SIZE];
  lua_settop(L, 1);
  if (!host) return 1;
  if (!hf_tensor_same_shape(t, host) || t->dtype != host->dtype || hf_tensor_device(host) != hf_device_cpu() || !hf_tensor_is_contiguous(host))
    hfL_errorf(L, "keep_twin: expected the numbers of %s on the host, found %s", hf_tensor_describe(t, want), hf_tensor_describe(host, found));
  hf_twin_keep(t, host);
  return 1;
}

void hf_lua_open_reading(lua_State *L) {
  static const luaL_Reg methods[] = {{"item", reading_item}, {"is_late", reading_is_late}, {"__gc", reading_gc}, {NULL, NULL}};
  hfL_newclass(L, HFL_READING, methods);
  lua_pop(L, 1);
  lua_pushcfunction(L, read_later);
  lua_setfield(L, -2, "read_later");
  lua_pushcfunction(L, keep_twin);
  lua_setfield(L, -2, "keep_twin");
}
