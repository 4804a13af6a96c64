/* generation.cache(rows): the cache of keys and values for Lua; hflua.models.cache wraps it.
 *
 *   cache:attend(layer, q, k, v, plan, scale) -> (N, heads, D)     -- layer from 0; plan of pack_plan: the new real tokens
 *   -- what the cache holds is on the host, float32, wherever the model is
 *   cache:reorder({0, 0, 2})                                       -- row i goes on from what row index[i] was, counted from 0
 *   cache:length(row), cache:rows(), cache:drop(count)
 */
#include "cache.h"
#include "lua_aux_tensor.h"
#include "lua_generation.h"
#include "ops.h"
#include "tensor/lua_call.h"

#define HFL_CACHE "hflua.cache"

static HfKvCache *check_cache(lua_State *L) { return *(HfKvCache **)luaL_checkudata(L, 1, HFL_CACHE); }

static int cache_new(lua_State *L) {
  HfError err;
  lua_Integer rows = luaL_checkinteger(L, 1);
  if (rows < 1 || rows > INT32_MAX) hfL_errorf(L, "cache: rows: expected at least 1, found %lld", (long long)rows);
  HfKvCache **box = hfL_newbox(L, HFL_CACHE);
  *box = hf_kv_cache_new(rows, &err);
  return *box ? 1 : hfL_raise(L, &err);
}

static int cache_gc(lua_State *L) {
  HfKvCache **box = luaL_checkudata(L, 1, HFL_CACHE);
  hf_kv_cache_free(*box);
  *box = NULL;
  return 0;
}

typedef struct Attend {
  HfKvCache *cache;
  int64_t layer;
  HfTensor *q, *k, *v, **out;
  const int32_t *cu;
  double scale;
} Attend;

static HfTensor *then(HfTensor *old, HfTensor *next) {
  hf_tensor_release(old);
  return next;
}

/* float32 on the host with heads D apart, in a new reference; a view of a wider matrix is used as it is. */
static HfTensor *head_operand(HfTensor *t, HfError *err) {
  bool usable = t->dtype == HF_FLOAT32 && t->ndim == 3 && t->stride[2] == 1 && t->stride[1] == t->shape[2] && hf_tensor_device(t) == hf_device_cpu();
  if (usable) return hf_tensor_retain(t), t;
  HfTensor *here = hf_to_device(t, hf_device_cpu(), err);
  if (here) here = then(here, hf_cast(here, HF_FLOAT32, err));
  return here ? then(here, hf_contiguous(here, err)) : NULL;
}

static bool run_attend(void *data, HfError *err) {
  Attend *a = data;
  HfTensor *in[3] = {head_operand(a->q, err), head_operand(a->k, err), head_operand(a->v, err)}, *out = NULL;
  if (in[0] && in[1] && in[2]) out = hf_kv_cache_attend(a->cache, a->layer, in[0], in[1], in[2], a->cu, a->scale, err);
  for (int i = 0; i < 3; i++) hf_tensor_release(in[i]);
  if (out) out = then(out, hf_cast(out, a->q->dtype, err));
  if (out) out = then(out, hf_to_device(out, hf_tensor_device(a->q), err));
  return (*a->out = out) != NULL;
}

static int cache_attend(lua_State *L) {
  HfError err;
  int64_t rows;
  Attend a = {.cache = check_cache(L), .layer = luaL_checkinteger(L, 2), .scale = luaL_checknumber(L, 7)};
  a.cu = hfL_check_plan(L, 6, &rows);
  luaL_argcheck(L, a.layer >= 0 && a.layer < 100000, 2, "expected the number of a layer");
  if (rows != a.cache->rows) hfL_errorf(L, "cache: it holds %lld rows, the batch has %lld", (long long)a.cache->rows, (long long)rows);
  a.out = hfL_new_tensor(L);
  a.q = hfL_check_tensor(L, 3), a.k = hfL_check_tensor(L, 4), a.v = hfL_check_tensor(L, 5);
  return hfL_run(L, run_attend, &a, &err) ? 1 : hfL_raise(L, &err);
}

static int cache_reorder(lua_State *L) {
  HfError err;
  HfKvCache *cache = check_cache(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer rows = luaL_len(L, 2);
  if (rows < 1) hfL_errorf(L, "cache: reorder: expected at least one row");
  int64_t *index = lua_newuserdatauv(L, (size_t)rows * sizeof *index, 0);
  for (lua_Integer i = 0; i < rows; i++) {
    lua_geti(L, 2, i + 1);
    index[i] = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
  }
  return hf_kv_cache_reorder(cache, index, rows, &err) ? 0 : hfL_raise(L, &err);
}

static int cache_length(lua_State *L) {
  HfKvCache *cache = check_cache(L);
  lua_Integer row = luaL_checkinteger(L, 2);
  luaL_argcheck(L, row >= 0 && row < cache->rows, 2, "expected a row of the cache");
  return lua_pushinteger(L, hf_kv_cache_length(cache, row)), 1;
}

static int cache_rows(lua_State *L) { return lua_pushinteger(L, check_cache(L)->rows), 1; }

static int cache_drop(lua_State *L) {
  lua_Integer count = luaL_checkinteger(L, 2);
  hf_kv_cache_drop(check_cache(L), count > 0 ? count : 0);
  return 0;
}

void hfL_open_cache(lua_State *L) {
  static const luaL_Reg methods[] = {{"attend", cache_attend}, {"reorder", cache_reorder}, {"length", cache_length}, {"rows", cache_rows},
                                     {"drop", cache_drop}, {"__gc", cache_gc}, {NULL, NULL}};
  hfL_newclass(L, HFL_CACHE, methods);
  lua_pop(L, 1);
  lua_pushcfunction(L, cache_new);
  lua_setfield(L, -2, "cache");
}
