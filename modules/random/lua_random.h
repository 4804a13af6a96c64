/* Random generators as Lua arguments, for bindings that take `generator = ...`. */
#ifndef HF_LUA_RANDOM_H
#define HF_LUA_RANDOM_H
#include "lua_aux.h"
#include "random.h"

/* The generator at idx, borrowed; the global one for nil or none. */
HfRandom *hfL_opt_generator(lua_State *L, int idx);
/* The field `generator` of the option table at idx, likewise. */
HfRandom *hfL_opt_generator_field(lua_State *L, int idx);

/* ---- shared by the lua_random*.c files */
#define HFL_MAX_DRAWS ((lua_Integer)1 << 31)

/* A count of draws at idx. */
size_t hfL_check_draws(lua_State *L, int idx);
/* Scratch memory for n values that the collector owns; pushed. */
void *hfL_new_draws(lua_State *L, size_t n, size_t size);
/* Pushes a sequence. */
void hfL_push_integers(lua_State *L, const int64_t *values, size_t n);
/* The whole state of a Mersenne Twister as { words = {...}, position = n }, pushed; and back from the table at idx. */
void hfL_push_mt19937(lua_State *L, const HfMt19937 *mt);
void hfL_read_mt19937(lua_State *L, int idx, HfMt19937 *mt);

/* Adds default_rng, RandomState, python_random, numpy_seed to the module on top. */
void hfL_open_numpy_random(lua_State *L);

#endif
