/* hflua.core.random: PyTorch's generator for Lua, and the state of all generators.
 *
 *   random.set_seed(42)                         -- PyTorch's, NumPy's and Python's global generators
 *   local g = random.generator(42)              -- one of its own
 *   g:randperm(10)                              -- 0-based numbers in a sequence, as torch.randperm(10, generator=g)
 *   local state = random.get_state()            -- plain tables, fit for JSON
 *   random.set_state(state)
 *   random.default_rng(42):permutation(10)      -- NumPy's; see lua_random_numpy.c
 */
#include "lua_random.h"
#include "memory.h"
#include "random_numpy.h"

#define GENERATOR "hflua.generator"

/* ---- shared helpers */

size_t hfL_check_draws(lua_State *L, int idx) {
  lua_Integer n = luaL_checkinteger(L, idx);
  if (n < 0 || n > HFL_MAX_DRAWS) hfL_errorf(L, "random: expected a count from 0 to %lld, found %lld", (long long)HFL_MAX_DRAWS, (long long)n);
  return (size_t)n;
}

void *hfL_new_draws(lua_State *L, size_t n, size_t size) { return lua_newuserdatauv(L, n * size + 1, 0); }

void hfL_push_integers(lua_State *L, const int64_t *values, size_t n) {
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_pushinteger(L, values[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static void push_floats(lua_State *L, const float *values, size_t n) {
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_pushnumber(L, values[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

void hfL_push_mt19937(lua_State *L, const HfMt19937 *mt) {
  lua_createtable(L, 0, 4);
  lua_createtable(L, HF_MT19937_WORDS, 0);
  for (int i = 0; i < HF_MT19937_WORDS; i++) {
    lua_pushinteger(L, mt->word[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "words");
  lua_pushinteger(L, mt->position);
  lua_setfield(L, -2, "position");
}

/* The whole number in field `name` of the table at idx, 0..largest. */
static lua_Integer check_field(lua_State *L, int idx, const char *name, lua_Integer largest) {
  int whole;
  lua_getfield(L, idx, name);
  lua_Integer value = lua_tointegerx(L, -1, &whole);
  if (!whole || value < 0 || value > largest) hfL_errorf(L, "random state: %s: expected a whole number from 0 to %lld, found %s", name, (long long)largest, luaL_tolstring(L, -1, NULL));
  lua_pop(L, 1);
  return value;
}

void hfL_read_mt19937(lua_State *L, int idx, HfMt19937 *mt) {
  HfMt19937 read;
  idx = lua_absindex(L, idx);
  luaL_checktype(L, idx, LUA_TTABLE);
  read.position = (uint32_t)check_field(L, idx, "position", HF_MT19937_WORDS);
  if (lua_getfield(L, idx, "words") != LUA_TTABLE || lua_rawlen(L, -1) != HF_MT19937_WORDS) hfL_errorf(L, "random state: words: expected a sequence of %d", HF_MT19937_WORDS);
  for (int i = 0; i < HF_MT19937_WORDS; i++) {
    lua_rawgeti(L, -1, i + 1);
    lua_Integer word = lua_tointeger(L, -1);
    if (!lua_isinteger(L, -1) || word < 0 || word > UINT32_MAX) hfL_errorf(L, "random state: words[%d]: expected a whole number below 2^32", i + 1);
    read.word[i] = (uint32_t)word;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  *mt = read;
}

/* ---- generators */

HfRandom *hfL_opt_generator(lua_State *L, int idx) {
  return lua_isnoneornil(L, idx) ? hf_random_global() : luaL_checkudata(L, idx, GENERATOR);
}

HfRandom *hfL_opt_generator_field(lua_State *L, int idx) {
  if (lua_isnoneornil(L, idx)) return hf_random_global();
  lua_getfield(L, idx, "generator");
  HfRandom *gen = hfL_opt_generator(L, -1);
  lua_pop(L, 1); /* the table keeps it */
  return gen;
}

static HfRandom *check_generator(lua_State *L) { return luaL_checkudata(L, 1, GENERATOR); }

/* A seed: any whole number; negative ones wrap as PyTorch's do. */
static uint64_t check_seed(lua_State *L, int idx) { return (uint64_t)luaL_checkinteger(L, idx); }

/*--- random.generator(seed): a generator of its own (seed: PyTorch's default when absent). */
static int new_generator(lua_State *L) {
  uint64_t seed = lua_isnoneornil(L, 1) ? HF_RANDOM_DEFAULT_SEED : check_seed(L, 1);
  HfRandom *gen = lua_newuserdatauv(L, sizeof *gen, 0);
  hf_random_seed(gen, seed);
  luaL_setmetatable(L, GENERATOR);
  return 1;
}

/*--- generator:manual_seed(seed): starts again from the seed; the generator. */
static int generator_manual_seed(lua_State *L) {
  hf_random_seed(check_generator(L), check_seed(L, 2));
  lua_settop(L, 1);
  return 1;
}

static int generator_initial_seed(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_generator(L)->seed);
  return 1;
}

static int push_permutation(lua_State *L, HfRandom *gen, size_t n) {
  int64_t *order = hfL_new_draws(L, n, sizeof *order);
  hf_random_permutation(gen, order, n);
  hfL_push_integers(L, order, n);
  return 1;
}

/*--- generator:randperm(n): the numbers 0..n-1 in random order. */
static int generator_randperm(lua_State *L) { return push_permutation(L, check_generator(L), hfL_check_draws(L, 2)); }

/*--- generator:random_int64(): 63 random bits, as an empty int64 tensor's random_() gives. */
static int generator_random_int64(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)(hf_random_u64(check_generator(L)) & INT64_MAX));
  return 1;
}

/*--- generator:rand(n[, from, to]): n uniform float32 values. */
static int generator_rand(lua_State *L) {
  HfRandom *gen = check_generator(L);
  size_t n = hfL_check_draws(L, 2);
  double from = luaL_optnumber(L, 3, 0), to = luaL_optnumber(L, 4, 1);
  float *values = hfL_new_draws(L, n, sizeof *values);
  hf_random_uniform(gen, values, n, from, to);
  push_floats(L, values, n);
  return 1;
}

/*--- generator:randn(n[, mean, std]): n normal float32 values. */
static int generator_randn(lua_State *L) {
  HfRandom *gen = check_generator(L);
  size_t n = hfL_check_draws(L, 2);
  double mean = luaL_optnumber(L, 3, 0), std = luaL_optnumber(L, 4, 1);
  float *values = hfL_new_draws(L, n, sizeof *values);
  hf_random_normal(gen, values, n, mean, std);
  push_floats(L, values, n);
  return 1;
}

/*--- generator:randint(low, high, n): n whole numbers from low to high - 1. */
static int generator_randint(lua_State *L) {
  HfRandom *gen = check_generator(L);
  lua_Integer low = luaL_checkinteger(L, 2), high = luaL_checkinteger(L, 3);
  size_t n = hfL_check_draws(L, 4);
  if (low >= high) return hfL_errorf(L, "randint: expected low < high, found %lld and %lld", (long long)low, (long long)high);
  int64_t *values = hfL_new_draws(L, n, sizeof *values);
  hf_random_integers(gen, values, n, low, high);
  hfL_push_integers(L, values, n);
  return 1;
}

/*--- generator:bernoulli(p, n): a sequence of n booleans, true with chance p. */
static int generator_bernoulli(lua_State *L) {
  HfRandom *gen = check_generator(L);
  double p = luaL_checknumber(L, 2);
  size_t n = hfL_check_draws(L, 3);
  if (!(p >= 0 && p <= 1)) return hfL_errorf(L, "bernoulli: expected a probability from 0 to 1, found %g", p);
  uint8_t *values = hfL_new_draws(L, n, 1);
  hf_random_bernoulli(gen, values, n, p);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_pushboolean(L, values[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* ---- states */

/* { words, position, seed, normal } of a generator. */
static void push_state(lua_State *L, const HfRandom *gen) {
  hfL_push_mt19937(L, &gen->mt);
  lua_pushinteger(L, (lua_Integer)gen->seed);
  lua_setfield(L, -2, "seed");
  if (!gen->has_normal) return;
  lua_pushnumber(L, gen->normal);
  lua_setfield(L, -2, "normal");
}

static void read_state(lua_State *L, int idx, HfRandom *gen) {
  HfRandom read = {.has_normal = false};
  int whole;
  idx = lua_absindex(L, idx);
  hfL_read_mt19937(L, idx, &read.mt);
  lua_getfield(L, idx, "seed");
  read.seed = (uint64_t)lua_tointegerx(L, -1, &whole);
  if (!whole) hfL_errorf(L, "random state: seed: expected a whole number, found %s", luaL_typename(L, -1));
  int type = lua_getfield(L, idx, "normal");
  read.has_normal = type == LUA_TNUMBER;
  read.normal = lua_tonumber(L, -1);
  if (!read.has_normal && type != LUA_TNIL && !hfL_is_null(L, -1)) hfL_errorf(L, "random state: normal: expected a number, found %s", luaL_typename(L, -1));
  lua_pop(L, 2);
  *gen = read;
}

/*--- generator:get_state(): the whole state as plain tables. */
static int generator_get_state(lua_State *L) {
  push_state(L, check_generator(L));
  return 1;
}

/*--- generator:set_state(state): goes on from there; the generator. */
static int generator_set_state(lua_State *L) {
  read_state(L, 2, check_generator(L));
  lua_settop(L, 1);
  return 1;
}

/*--- random.get_state(): { torch, numpy, python }, the states of the global generators. */
static int get_state(lua_State *L) {
  lua_createtable(L, 0, 3);
  push_state(L, hf_random_global());
  lua_setfield(L, -2, "torch");
  hfL_push_mt19937(L, hf_numpy_global());
  lua_setfield(L, -2, "numpy");
  hfL_push_mt19937(L, hf_python_global());
  lua_setfield(L, -2, "python");
  return 1;
}

/*--- random.set_state(state): all of them, or none when a part is wrong. */
static int set_state(lua_State *L) {
  HfRandom torch;
  HfMt19937 numpy, python;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "torch");
  read_state(L, -1, &torch);
  lua_getfield(L, 1, "numpy");
  hfL_read_mt19937(L, -1, &numpy);
  lua_getfield(L, 1, "python");
  hfL_read_mt19937(L, -1, &python);
  *hf_random_global() = torch;
  *hf_numpy_global() = numpy;
  *hf_python_global() = python;
  return 0;
}

/* ---- the global generators */

/*--- random.manual_seed(seed): PyTorch's. */
static int manual_seed(lua_State *L) {
  hf_random_seed(hf_random_global(), check_seed(L, 1));
  return 0;
}

/*--- random.set_seed(seed): PyTorch's, NumPy's and Python's, as transformers.set_seed. */
static int set_seed(lua_State *L) {
  lua_Integer seed = luaL_checkinteger(L, 1);
  if (seed < 0 || seed > UINT32_MAX) return hfL_errorf(L, "set_seed: expected a whole number from 0 to 4294967295, found %lld", (long long)seed);
  hf_random_seed(hf_random_global(), (uint64_t)seed);
  hf_mt19937_seed(hf_numpy_global(), (uint32_t)seed);
  hf_python_seed(hf_python_global(), (uint64_t)seed);
  return 0;
}

/*--- random.randperm(n[, generator]): the numbers 0..n-1 in random order. */
static int randperm(lua_State *L) { return push_permutation(L, hfL_opt_generator(L, 2), hfL_check_draws(L, 1)); }

/*--- random.random_int64([generator]): 63 random bits. */
static int random_int64(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)(hf_random_u64(hfL_opt_generator(L, 1)) & INT64_MAX));
  return 1;
}

int luaopen_hflua_core_random(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"manual_seed", generator_manual_seed}, {"initial_seed", generator_initial_seed}, {"randperm", generator_randperm},
    {"random_int64", generator_random_int64}, {"rand", generator_rand}, {"randn", generator_randn}, {"randint", generator_randint},
    {"bernoulli", generator_bernoulli}, {"get_state", generator_get_state}, {"set_state", generator_set_state}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
    {"generator", new_generator}, {"manual_seed", manual_seed}, {"set_seed", set_seed}, {"get_state", get_state}, {"set_state", set_state},
    {"randperm", randperm}, {"random_int64", random_int64}, {NULL, NULL}};
  hfL_newclass(L, GENERATOR, methods);
  luaL_newlib(L, functions);
  hfL_open_numpy_random(L);
  return 1;
}
