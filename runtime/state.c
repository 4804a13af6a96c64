/* Creates the Lua state: standard libraries, C modules, embedded Lua sources. Bytecode is refused everywhere. */
#include "state.h"
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE(name, open) __attribute__((weak)) int open(lua_State *L);
#include "modules.def"
#undef MODULE

static const luaL_Reg c_modules[] = {
#define MODULE(name, open) {name, open},
#include "modules.def"
#undef MODULE
};

static void preload_c_modules(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (size_t i = 0; i < sizeof c_modules / sizeof *c_modules; i++) {
    if (!c_modules[i].func) continue;
    lua_pushcfunction(L, c_modules[i].func);
    lua_setfield(L, -2, c_modules[i].name);
  }
  lua_pop(L, 1);
}

static const HfEmbeddedSource *find_embedded(const char *module) {
  const HfEmbeddedSource *source = hf_embedded_sources;
  while (source->module && strcmp(source->module, module)) source++;
  return source->module ? source : NULL;
}

/* package.searchers entry: the embedded source of a module, named "[hflua]/module" in error messages. */
static int search_embedded(lua_State *L) {
  const char *module = luaL_checkstring(L, 1);
  const HfEmbeddedSource *source = find_embedded(module);
  if (!source) {
    lua_pushfstring(L, "no embedded module '%s'", module);
    return 1;
  }
  char chunk[256];
  snprintf(chunk, sizeof chunk, "=[hflua]/%s", module);
  if (luaL_loadbufferx(L, source->text, source->size, chunk, "t")) return lua_error(L);
  lua_pushstring(L, chunk + 1);
  return 2;
}

/* HFLUA_PATH=DIR: Lua sources are taken from DIR first (development). */
static void set_search_path(lua_State *L) {
  const char *root = getenv("HFLUA_PATH");
  if (!root) return;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", root, root, lua_tostring(L, -1));
  lua_setfield(L, -3, "path");
  lua_pop(L, 2);
}

/* Puts search_embedded behind the preload searcher, or behind the file searcher when HFLUA_PATH is set. */
static void add_embedded_searcher(lua_State *L) {
  lua_Integer place = getenv("HFLUA_PATH") ? 3 : 2;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  for (lua_Integer i = (lua_Integer)luaL_len(L, -1); i >= place; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, search_embedded);
  lua_rawseti(L, -2, place);
  lua_pop(L, 2);
}

/* load(chunk, name, mode, env) with mode fixed to "t"; upvalue 1 is the original. */
static int load_text_only(lua_State *L) {
  lua_settop(L, 4);
  int has_env = !lua_isnone(L, 4) && !lua_isnil(L, 4);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushliteral(L, "t");
  lua_replace(L, 4);
  if (!has_env) lua_settop(L, 4);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* loadfile(name, mode, env) and dofile's loader with mode fixed to "t". */
static int loadfile_text_only(lua_State *L) {
  const char *name = luaL_optstring(L, 1, NULL);
  int has_env = !lua_isnoneornil(L, 3);
  if (luaL_loadfilex(L, name, "t")) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  if (has_env) {
    lua_pushvalue(L, 3);
    if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
  }
  return 1;
}

static int dofile_text_only(lua_State *L) {
  const char *name = luaL_optstring(L, 1, NULL);
  lua_settop(L, 1);
  if (luaL_loadfilex(L, name, "t")) return lua_error(L);
  lua_call(L, 0, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

static void refuse_bytecode(lua_State *L) {
  lua_getglobal(L, "load");
  lua_pushcclosure(L, load_text_only, 1);
  lua_setglobal(L, "load");
  lua_register(L, "loadfile", loadfile_text_only);
  lua_register(L, "dofile", dofile_text_only);
}

lua_State *hf_state_new(void) {
  lua_State *L = luaL_newstate();
  if (!L) return NULL;
  luaL_openlibs(L);
  preload_c_modules(L);
  set_search_path(L);
  add_embedded_searcher(L);
  refuse_bytecode(L);
  return L;
}
