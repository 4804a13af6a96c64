/* Tensors in Lua: boxes, arguments, and the collector's knowledge of tensor bytes. */
#include "lua_aux_tensor.h"
#include <string.h>

/* A userdata. Boxes made inside hf.step are chained, so that its end finds them. */
typedef struct HfTensorBox {
  HfTensor *tensor;
  bool released; /* by the end of hf.step */
  struct HfTensorBox *previous, *next;
} HfTensorBox;

/* The chain's two ends. Each running step has a guard in it, behind which its own boxes follow. */
static HfTensorBox step_chain = {.previous = &step_chain, .next = &step_chain};
static int step_depth;

static void box_unlink(HfTensorBox *box) {
  if (!box->next) return;
  box->previous->next = box->next;
  box->next->previous = box->previous;
  box->previous = box->next = NULL;
}

static void box_link(HfTensorBox *box) {
  box->previous = step_chain.previous;
  box->next = &step_chain;
  box->previous->next = step_chain.previous = box;
}

/* Tensors may arrive (from a file, say) before a script asked for hflua.tensor, which makes the class. */
static void push_tensor_class(lua_State *L) {
  if (luaL_getmetatable(L, HFL_TENSOR) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "hflua.tensor");
  lua_call(L, 1, 0);
  luaL_getmetatable(L, HFL_TENSOR);
}

HfTensor **hfL_new_tensor(lua_State *L) {
  HfTensorBox *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = (HfTensorBox){0};
  push_tensor_class(L);
  lua_setmetatable(L, -2);
  if (step_depth) box_link(box);
  return &box->tensor;
}

static int push_empty_box(lua_State *L) {
  hfL_new_tensor(L);
  return 1;
}

void hfL_push_tensor(lua_State *L, HfTensor *t) {
  lua_pushcfunction(L, push_empty_box);
  if (lua_pcall(L, 0, 1, 0)) {
    hf_tensor_release(t);
    lua_error(L);
  }
  ((HfTensorBox *)lua_touserdata(L, -1))->tensor = t;
}

int hfL_tensor_close(lua_State *L) {
  HfTensorBox *box = luaL_checkudata(L, 1, HFL_TENSOR);
  box_unlink(box);
  hf_tensor_release(box->tensor);
  box->tensor = NULL;
  return 0;
}

static HfTensor *box_tensor(lua_State *L, HfTensorBox *box) {
  if (box->released)
    hfL_errorf(L, "this tensor was released at the end of hf.step: return it, or call :item() or :keep() inside");
  if (!box->tensor) hfL_errorf(L, "this tensor was closed");
  return box->tensor;
}

HfTensor *hfL_check_tensor(lua_State *L, int idx) { return box_tensor(L, luaL_checkudata(L, idx, HFL_TENSOR)); }

HfTensor *hfL_test_tensor(lua_State *L, int idx) {
  HfTensorBox *box = luaL_testudata(L, idx, HFL_TENSOR);
  return box ? box_tensor(L, box) : NULL;
}

HfDtype hfL_check_dtype(lua_State *L, int idx) {
  HfDtype dtype = HF_FLOAT32;
  const char *name = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : NULL;
  if (!name) hfL_errorf(L, "dtype: expected a name such as \"float32\", found %s", luaL_typename(L, idx));
  if (!hf_dtype_find(name, &dtype))
    hfL_errorf(L, "dtype '%s' is none of float32, float16, bfloat16, int64, int32, uint8, bool", name);
  return dtype;
}

HfDevice *hfL_check_device(lua_State *L, int idx) {
  HfError err;
  const char *name = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : NULL;
  if (!name) hfL_errorf(L, "device: expected a name such as \"cpu\", found %s", luaL_typename(L, idx));
  HfDevice *device = hf_device_find(name, &err);
  if (!device) hfL_raise(L, &err);
  return device;
}

/* Pushes the field of the options at idx; false and nothing pushed when it is absent. */
static bool push_option(lua_State *L, int idx, const char *field) {
  if (lua_isnoneornil(L, idx)) return false;
  if (lua_getfield(L, idx, field) != LUA_TNIL && !hfL_is_null(L, -1)) return true;
  lua_pop(L, 1);
  return false;
}

HfDtype hfL_opt_dtype(lua_State *L, int idx, const char *field, HfDtype fallback) {
  if (!push_option(L, idx, field)) return fallback;
  fallback = hfL_check_dtype(L, -1);
  lua_pop(L, 1);
  return fallback;
}

HfDevice *hfL_opt_device(lua_State *L, int idx, const char *field, HfDevice *fallback) {
  if (!push_option(L, idx, field)) return fallback;
  fallback = hfL_check_device(L, -1);
  lua_pop(L, 1);
  return fallback;
}

int hfL_check_sizes(lua_State *L, int idx, const char *what, int64_t out[HF_MAX_DIMS]) {
  idx = lua_absindex(L, idx);
  if (!lua_istable(L, idx)) hfL_errorf(L, "%s: expected a sequence of whole numbers, found %s", what, luaL_typename(L, idx));
  lua_Integer count = luaL_len(L, idx), keys = 0;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) keys++;
  if (keys != count) hfL_errorf(L, "%s: expected numbers only, found named fields beside them", what);
  if (count > HF_MAX_DIMS) hfL_errorf(L, "%s: expected at most %d numbers, found %lld", what, HF_MAX_DIMS, (long long)count);
  for (int i = 0; i < count; i++) {
    int whole;
    lua_geti(L, idx, i + 1);
    out[i] = lua_tointegerx(L, -1, &whole);
    if (!whole) hfL_errorf(L, "%s: expected whole numbers, found %s at %d", what, luaL_tolstring(L, -1, NULL), i + 1);
    lua_pop(L, 1);
  }
  return (int)count;
}

/* Dead boxes hold tensor bytes that Lua's collector does not see. A full collection runs when the bytes allocated since the
 * last one pass a limit that grows with what is alive: memory stays within live + limit, and the time for collections stays
 * small beside the work that filled those bytes. */
static void pace_collector(lua_State *L) {
  static uint64_t collected_at, limit = 32 << 20;
  if (hf_storage_allocated() - collected_at < limit) return;
  lua_gc(L, LUA_GCCOLLECT);
  collected_at = hf_storage_allocated();
  uint64_t live = (uint64_t)hf_device_live_bytes() / 2;
  uint64_t lua_heap = (uint64_t)lua_gc(L, LUA_GCCOUNT) << 14; /* 16 times its bytes: a collection walks all of it */
  limit = 32 << 20;
  if (limit < live) limit = live;
  if (limit < lua_heap) limit = lua_heap;
}

bool hfL_run(lua_State *L, HfLuaWork work, void *data, HfError *err) {
  pace_collector(L);
  err->out_of_memory = false;
  if (work(data, err)) return true;
  if (!err->out_of_memory) return false;
  lua_gc(L, LUA_GCCOLLECT);
  err->out_of_memory = false;
  return work(data, err);
}

static int step_close(lua_State *L) {
  HfTensorBox *guard = lua_touserdata(L, 1);
  if (!guard->next) return 0;
  step_depth--;
  for (HfTensorBox *box = guard->next, *next; box != &step_chain; box = next) {
    next = box->next;
    box_unlink(box);
    box->released = true;
    hf_tensor_release(box->tensor);
    box->tensor = NULL;
  }
  box_unlink(guard);
  return 0;
}

/* A step whose coroutine was dropped: its tensors are left to the collector. */
static int step_gc(lua_State *L) {
  HfTensorBox *guard = lua_touserdata(L, 1);
  if (guard->next) step_depth--;
  box_unlink(guard);
  return 0;
}

int hfL_step_begin(lua_State *L) {
  static const luaL_Reg methods[] = {{"__close", step_close}, {"__gc", step_gc}, {NULL, NULL}};
  HfTensorBox *guard = lua_newuserdatauv(L, sizeof *guard, 0);
  *guard = (HfTensorBox){0};
  if (luaL_getmetatable(L, "hflua.step") == LUA_TNIL) {
    lua_pop(L, 1);
    hfL_newclass(L, "hflua.step", methods);
  }
  lua_setmetatable(L, -2);
  box_link(guard);
  step_depth++;
  return 1;
}

void hfL_keep_tensor(lua_State *L, int idx) {
  hfL_check_tensor(L, idx);
  box_unlink(lua_touserdata(L, idx));
}
