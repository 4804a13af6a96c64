/* hflua.core.random: NumPy's and Python's generators for Lua.
 *
 *   random.default_rng(42):permutation(10)          -- numpy.random.default_rng
 *   random.RandomState(42):permutation(10)          -- numpy.random.RandomState, scikit-learn's
 *   random.python_random(42):shuffle { 1, 2, 3 }    -- random.Random
 *   random.numpy_seed()                             -- the seed datasets take from numpy's global state
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include "lua_random.h"
#include "random_numpy.h"

#define DEFAULT_RNG "hflua.numpy.Generator"
#define RANDOM_STATE "hflua.numpy.RandomState"
#define PYTHON "hflua.python.Random"

/* A seed from 0 on; fresh from the system when it is absent. */
static uint64_t check_seed(lua_State *L, const char *where) {
  uint64_t seed = 0;
  if (lua_isnoneornil(L, 1)) return getrandom(&seed, sizeof seed, 0) == sizeof seed ? seed >> 1 : 0;
  lua_Integer given = luaL_checkinteger(L, 1);
  if (given < 0) hfL_errorf(L, "%s: expected a seed from 0 on, found %lld", where, (long long)given);
  return (uint64_t)given;
}

/* One number, or a sequence of n when a count is at idx. */
static int push_numbers(lua_State *L, int idx, double (*draw)(void *gen), void *gen) {
  if (lua_isnoneornil(L, idx)) return lua_pushnumber(L, draw(gen)), 1;
  size_t n = hfL_check_draws(L, idx);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_pushnumber(L, draw(gen));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* ---- default_rng */

/*--- random.default_rng(seed) */
static int default_rng(lua_State *L) {
  uint64_t seed = check_seed(L, "default_rng");
  HfPcg64 *gen = lua_newuserdatauv(L, sizeof *gen, 0);
  hf_pcg64_seed(gen, seed);
  luaL_setmetatable(L, DEFAULT_RNG);
  return 1;
}

static HfPcg64 *check_rng(lua_State *L) { return luaL_checkudata(L, 1, DEFAULT_RNG); }

/*--- rng:permutation(n): the numbers 0..n-1 in random order. */
static int rng_permutation(lua_State *L) {
  HfPcg64 *gen = check_rng(L);
  size_t n = hfL_check_draws(L, 2);
  int64_t *order = hfL_new_draws(L, n, sizeof *order);
  hf_pcg64_permutation(gen, order, n);
  hfL_push_integers(L, order, n);
  return 1;
}

/*--- rng:integers(low, high[, n]): from low to high - 1. */
static int rng_integers(lua_State *L) {
  HfPcg64 *gen = check_rng(L);
  lua_Integer low = luaL_checkinteger(L, 2), high = luaL_checkinteger(L, 3);
  if (low >= high) return hfL_errorf(L, "integers: expected low < high, found %lld and %lld", (long long)low, (long long)high);
  if (lua_isnoneornil(L, 4)) return lua_pushinteger(L, hf_pcg64_integer(gen, low, high)), 1;
  size_t n = hfL_check_draws(L, 4);
  int64_t *values = hfL_new_draws(L, n, sizeof *values);
  for (size_t i = 0; i < n; i++) values[i] = hf_pcg64_integer(gen, low, high);
  hfL_push_integers(L, values, n);
  return 1;
}

static double draw_uniform(void *gen) { return hf_pcg64_double(gen); }
static double draw_normal(void *gen) { return hf_pcg64_normal(gen); }

/*--- rng:random([n]): [0, 1). */
static int rng_random(lua_State *L) { return push_numbers(L, 2, draw_uniform, check_rng(L)); }
/*--- rng:standard_normal([n]) */
static int rng_standard_normal(lua_State *L) { return push_numbers(L, 2, draw_normal, check_rng(L)); }

static void set_word(lua_State *L, const char *name, unsigned __int128 value) {
  char text[40];
  snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, (uint64_t)(value >> 64), (uint64_t)value);
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

static unsigned __int128 check_word(lua_State *L, int idx, const char *name) {
  uint64_t high, low;
  size_t size = 0;
  lua_getfield(L, idx, name);
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
  if (size != 32 || sscanf(text, "%16" SCNx64 "%16" SCNx64, &high, &low) != 2) hfL_errorf(L, "random state: %s: expected 32 hexadecimal digits", name);
  lua_pop(L, 1);
  return (unsigned __int128)high << 64 | low;
}

/*--- rng:get_state(): { state, increment, half } */
static int rng_get_state(lua_State *L) {
  const HfPcg64 *gen = check_rng(L);
  lua_createtable(L, 0, 3);
  set_word(L, "state", gen->state);
  set_word(L, "increment", gen->increment);
  if (!gen->has_half) return 1;
  lua_pushinteger(L, gen->half);
  lua_setfield(L, -2, "half");
  return 1;
}

/*--- rng:set_state(state): goes on from there; the generator. */
static int rng_set_state(lua_State *L) {
  HfPcg64 *gen = check_rng(L), read = {.has_half = false};
  luaL_checktype(L, 2, LUA_TTABLE);
  read.state = check_word(L, 2, "state");
  read.increment = check_word(L, 2, "increment");
  read.has_half = lua_getfield(L, 2, "half") == LUA_TNUMBER;
  read.half = (uint32_t)lua_tointeger(L, -1);
  *gen = read;
  lua_settop(L, 1);
  return 1;
}

/* ---- RandomState */

/*--- random.RandomState(seed) */
static int random_state(lua_State *L) {
  uint64_t seed = check_seed(L, "RandomState");
  if (!lua_isnoneornil(L, 1) && seed > UINT32_MAX) return hfL_errorf(L, "RandomState: expected a seed below 2^32, found %lld", (long long)seed);
  HfMt19937 *gen = lua_newuserdatauv(L, sizeof *gen, 0);
  hf_mt19937_seed(gen, (uint32_t)seed);
  luaL_setmetatable(L, RANDOM_STATE);
  return 1;
}

/*--- state:permutation(n): the numbers 0..n-1 in random order. */
static int state_permutation(lua_State *L) {
  HfMt19937 *gen = luaL_checkudata(L, 1, RANDOM_STATE);
  size_t n = hfL_check_draws(L, 2);
  int64_t *order = hfL_new_draws(L, n, sizeof *order);
  hf_numpy_permutation(gen, order, n);
  hfL_push_integers(L, order, n);
  return 1;
}

static double draw_mt19937(void *gen) { return hf_mt19937_double(gen); }

/*--- state:rand([n]): [0, 1). */
static int state_rand(lua_State *L) { return push_numbers(L, 2, draw_mt19937, luaL_checkudata(L, 1, RANDOM_STATE)); }

/*--- random.numpy_seed(): what datasets take as the seed when none is given; numpy's global state moves on. */
static int numpy_seed(lua_State *L) {
  lua_pushinteger(L, hf_numpy_draw_seed(hf_numpy_global()));
  return 1;
}

/* ---- Python */

/*--- random.python_random(seed): random.Random(seed) */
static int python_random(lua_State *L) {
  uint64_t seed = check_seed(L, "python_random");
  HfMt19937 *gen = lua_newuserdatauv(L, sizeof *gen, 0);
  hf_python_seed(gen, seed);
  luaL_setmetatable(L, PYTHON);
  return 1;
}

static HfMt19937 *check_python(lua_State *L) { return luaL_checkudata(L, 1, PYTHON); }

/*--- random:random([n]): [0, 1). */
static int python_uniform(lua_State *L) { return push_numbers(L, 2, draw_mt19937, check_python(L)); }

/*--- random:randint(low, high): both included. */
static int python_randint(lua_State *L) {
  HfMt19937 *gen = check_python(L);
  lua_Integer low = luaL_checkinteger(L, 2), high = luaL_checkinteger(L, 3);
  uint64_t span = (uint64_t)high - (uint64_t)low;
  if (low > high || span == UINT64_MAX) return hfL_errorf(L, "randint: expected low <= high, found %lld and %lld", (long long)low, (long long)high);
  lua_pushinteger(L, (lua_Integer)((uint64_t)low + hf_python_below(gen, span + 1)));
  return 1;
}

/*--- random:shuffle(t): the sequence t in place. */
static int python_shuffle(lua_State *L) {
  HfMt19937 *gen = check_python(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  for (lua_Integer i = luaL_len(L, 2); i > 1; i--) {
    lua_Integer j = 1 + (lua_Integer)hf_python_below(gen, (uint64_t)i);
    lua_geti(L, 2, i);
    lua_geti(L, 2, j);
    lua_seti(L, 2, i);
    lua_seti(L, 2, j);
  }
  return 0;
}

/*--- random:sample(n, k): sample(range(n), k). */
static int python_sample(lua_State *L) {
  HfMt19937 *gen = check_python(L);
  size_t n = hfL_check_draws(L, 2), k = hfL_check_draws(L, 3);
  if (k > n) return hfL_errorf(L, "sample: expected at most %zu, found %zu", n, k);
  int64_t *chosen = hfL_new_draws(L, k, sizeof *chosen), *scratch = hfL_new_draws(L, n, sizeof *scratch);
  hf_python_sample(gen, chosen, scratch, n, k);
  hfL_push_integers(L, chosen, k);
  return 1;
}

void hfL_open_numpy_random(lua_State *L) {
  static const luaL_Reg rng_methods[] = {
    {"permutation", rng_permutation}, {"integers", rng_integers}, {"random", rng_random}, {"standard_normal", rng_standard_normal},
    {"get_state", rng_get_state}, {"set_state", rng_set_state}, {NULL, NULL}};
  static const luaL_Reg state_methods[] = {{"permutation", state_permutation}, {"rand", state_rand}, {"random_sample", state_rand}, {NULL, NULL}};
  static const luaL_Reg python_methods[] = {
    {"random", python_uniform}, {"randint", python_randint}, {"shuffle", python_shuffle}, {"sample", python_sample}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
    {"default_rng", default_rng}, {"RandomState", random_state}, {"python_random", python_random}, {"numpy_seed", numpy_seed}, {NULL, NULL}};
  hfL_newclass(L, DEFAULT_RNG, rng_methods);
  hfL_newclass(L, RANDOM_STATE, state_methods);
  hfL_newclass(L, PYTHON, python_methods);
  lua_pop(L, 3);
  luaL_setfuncs(L, functions, 0);
}
