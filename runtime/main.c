/* hflua [options] [script [args]] */
#include "state.h"
#include <lauxlib.h>
#include <stdio.h>

static int with_traceback(lua_State *L) {
  luaL_traceback(L, L, lua_tostring(L, 1), 1);
  return 1;
}

int main(int argc, char **argv) {
  lua_State *L = hf_state_new();
  if (!L) return fprintf(stderr, "hflua: not enough memory\n"), 1;
  lua_createtable(L, argc, 0);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - 1);
  }
  lua_setglobal(L, "arg");
  lua_pushcfunction(L, with_traceback);
  if (argc < 2) return fprintf(stderr, "usage: hflua script.lua [args]\n"), 2;
  int failed = luaL_loadfilex(L, argv[1], "t") || lua_pcall(L, 0, 0, 1);
  if (failed) fprintf(stderr, "hflua: %s\n", lua_tostring(L, -1));
  lua_close(L);
  return failed;
}
