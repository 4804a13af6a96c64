/* generation.cache(rows): the cache of keys and values for Lua; hflua.models.cache wraps it.
 *
 *   cache:attend(layer, q, k, v, plan, scale) -> (N, heads, D)     -- layer from 0; plan of pack_plan: the new real tokens
 *   cache:reserve(tokens[, fixed]), cache:room(), cache:advance()  -- for steps that are replayed; see cache.h
 *   cache:reorder({0, 0, 2})                                       -- row i goes on from what row index[i] was, counted from 0
 *   cache:length(row), cache:rows(), cache:drop(count), cache:cut({lengths})
 */
#include "cache.h"
#include "lua_aux_tensor.h"
#include "lua_generation.h"
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

static bool run_attend(void *data, HfError *err) {
  Attend *a = data;
  return (*a->out = hf_kv_cache_attend(a->cache, a->layer, a->q, a->k, a->v, a->cu, a->scale, err)) != NULL;
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

/* Reads the sequence of whole numbers at 2 into a new userdata at the top; *count of them, at least one. */
static int64_t *check_numbers(lua_State *L, const char *what, lua_Integer *count) {
  luaL_checktype(L, 2, LUA_TTABLE);
  *count = luaL_len(L, 2);
  if (*count < 1) hfL_errorf(L, "cache: %s: expected at least one row", what);
  int64_t *numbers = lua_newuserdatauv(L, (size_t)*count * sizeof *numbers, 0);
  for (lua_Integer i = 0; i < *count; i++) {
    lua_geti(L, 2, i + 1);
    numbers[i] = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
  }
  return numbers;
}

static int cache_reorder(lua_State *L) {
  HfError err;
  HfKvCache *cache = check_cache(L);
  lua_Integer rows;
  const int64_t *index = check_numbers(L, "reorder", &rows);
  return hf_kv_cache_reorder(cache, index, rows, &err) ? 0 : hfL_raise(L, &err);
}

static int cache_cut(lua_State *L) {
  HfKvCache *cache = check_cache(L);
  lua_Integer rows;
  const int64_t *length = check_numbers(L, "cut", &rows);
  if (rows != cache->rows) hfL_errorf(L, "cache: cut: expected %lld lengths, found %lld", (long long)cache->rows, (long long)rows);
  for (lua_Integer i = 0; i < rows; i++)
    if (length[i] < 0) hfL_errorf(L, "cache: cut: expected lengths of at least 0, found %lld", (long long)length[i]);
  return hf_kv_cache_cut(cache, length), 0;
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

static int cache_reserve(lua_State *L) {
  lua_Integer tokens = luaL_checkinteger(L, 2);
  luaL_argcheck(L, tokens >= 0 && tokens <= INT32_MAX, 2, "expected a number of tokens");
  return hf_kv_cache_reserve(check_cache(L), tokens, lua_toboolean(L, 3)), 0;
}

static int cache_room(lua_State *L) { return lua_pushinteger(L, hf_kv_cache_room(check_cache(L))), 1; }

static int cache_advance(lua_State *L) {
  HfKvCache *cache = check_cache(L);
  if (hf_kv_cache_room(cache) < 1) hfL_errorf(L, "cache: advance: no row has room for one more token");
  return hf_kv_cache_advance(cache), 0;
}

void hfL_open_cache(lua_State *L) {
  static const luaL_Reg methods[] = {{"attend", cache_attend}, {"reorder", cache_reorder}, {"length", cache_length}, {"rows", cache_rows},
                                     {"drop", cache_drop}, {"cut", cache_cut},
                                     {"reserve", cache_reserve}, {"room", cache_room}, {"advance", cache_advance}, {"__gc", cache_gc}, {NULL, NULL}};
  hfL_newclass(L, HFL_CACHE, methods);
  lua_pop(L, 1);
  lua_pushcfunction(L, cache_new);
  lua_setfield(L, -2, "cache");
}
