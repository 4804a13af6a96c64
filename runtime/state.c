/* Creates the Lua state: standard libraries, C modules, embedded Lua sources. Bytecode is refused everywhere. */
#include "state.h"
#include "memory.h"
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

static int load_version(lua_State *L) { return lua_pushliteral(L, HFLUA_VERSION), 1; }

static void preload_c_modules(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (size_t i = 0; i < sizeof c_modules / sizeof *c_modules; i++) {
    if (!c_modules[i].func) continue;
    lua_pushcfunction(L, c_modules[i].func);
    lua_setfield(L, -2, c_modules[i].name);
  }
  lua_pushcfunction(L, load_version);
  lua_setfield(L, -2, "hflua.core.version");
  lua_pop(L, 1);
}

static const HfEmbeddedSource *find_embedded(const char *module) {
  const HfEmbeddedSource *source = hf_embedded_sources;
  while (source->module && strcmp(source->module, module)) source++;
  return source->module ? source : NULL;
}

typedef struct FileReader {
  FILE *file;
  char bytes[4096];
} FileReader;

static const char *read_chunk(lua_State *L, void *data, size_t *size) {
  FileReader *reader = data;
  *size = fread(reader->bytes, 1, sizeof reader->bytes, reader->file);
  return *size ? reader->bytes : NULL;
}

/* HFLUA_PATH=DIR (development): the module's file below DIR, when there is one, in place of the embedded source.
 * Pushes the loaded chunk and returns 1, or returns 0. */
static int load_override(lua_State *L, const char *module, const char *chunk) {
  static const char *const forms[] = {"%s/%s.lua", "%s/%s/init.lua"};
  lua_getfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
  const char *root = lua_toboolean(L, -1) ? NULL : getenv("HFLUA_PATH");
  lua_pop(L, 1);
  if (!root) return 0;
  const char *stem = luaL_gsub(L, module, ".", "/");
  for (int i = 0; i < 2; i++) {
    FileReader reader = {.file = fopen(lua_pushfstring(L, forms[i], root, stem), "rb")};
    if (!reader.file) continue;
    int failed = lua_load(L, read_chunk, &reader, chunk, "t"); /* protected: returns, whatever happens */
    fclose(reader.file);
    if (failed) lua_error(L);
    return 1;
  }
  return 0;
}

/* package.searchers entry: the embedded source of a module, named "[hflua]/module" in error messages. */
static int search_embedded(lua_State *L) {
  const char *module = luaL_checkstring(L, 1);
  const char *chunk = lua_pushfstring(L, "=[hflua]/%s", module);
  const HfEmbeddedSource *source = find_embedded(module);
  if (!load_override(L, module, chunk)) {
    if (!source) return lua_pushfstring(L, "no embedded module '%s'", module), 1;
    if (luaL_loadbufferx(L, source->text, source->size, chunk, "t")) return lua_error(L);
  }
  lua_pushstring(L, chunk + 1);
  return 2;
}

/* package.searchers entry: a file of package.path, text only. */
static int search_file(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchpath");
  lua_pushvalue(L, 1);
  lua_getfield(L, -3, "path");
  lua_call(L, 2, 2);
  if (lua_isnil(L, -2)) return 1; /* the list of files that were tried */
  lua_pop(L, 1);
  if (luaL_loadfilex(L, lua_tostring(L, -1), "t")) return lua_error(L);
  lua_insert(L, -2);
  return 2;
}

/* Searchers: preload, embedded sources, files of package.path, then the two for C libraries. */
static void set_searchers(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  lua_pushcfunction(L, search_file);
  lua_rawseti(L, -2, 2);
  for (lua_Integer i = luaL_len(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, search_embedded);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}

/* load(chunk, name, mode, env) with mode fixed to "t"; upvalue 1 is the original. */
static int load_text_only(lua_State *L) {
  int has_env = !lua_isnone(L, 4); /* nil is an environment too, and not the globals */
  lua_settop(L, 4);
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

/* The part that may raise for want of memory. */
static int fill_state(lua_State *L) {
  luaL_openlibs(L);
  preload_c_modules(L);
  set_searchers(L);
  refuse_bytecode(L);
  return 0;
}

/* Lua's allocator with what it holds counted against the limit of memory. Lua expects that giving back never fails. */
static void *allocate_counted(void *unused, void *block, size_t old_size, size_t size) {
  if (!block) old_size = 0; /* then it is the kind of object */
  if (size > old_size && !hf_memory_take_last(size - old_size)) return NULL;
  if (size < old_size) hf_memory_give(old_size - size);
  if (!size) return free(block), NULL;
  void *moved = realloc(block, size);
  if (!moved && size > old_size) hf_memory_give(size - old_size);
  return moved;
}

static void count_memory(lua_State *L) {
  hf_memory_take_last((size_t)lua_gc(L, LUA_GCCOUNT) * 1024);
  lua_setallocf(L, allocate_counted, NULL);
}

lua_State *hf_state_new(bool ignore_environment) {
  lua_State *L = luaL_newstate();
  if (!L) return NULL;
  if (hf_memory_limit_name()) count_memory(L);
  lua_pushboolean(L, ignore_environment);
  lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV"); /* read by luaL_openlibs */
  lua_pushcfunction(L, fill_state);
  if (lua_pcall(L, 0, 0, 0)) {
    lua_close(L);
    return NULL;
  }
  return L;
}
