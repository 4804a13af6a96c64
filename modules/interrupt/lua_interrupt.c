/* hflua.core.interrupt: lets a loop in Lua (training) end its step and save when SIGINT or SIGTERM arrives. */
#include "lua_aux.h"
#include "interrupt.h"
#include <signal.h>

/* defer(on) -> the setting before. While on, a signal is only noted and the loop polls `pending`. */
static int interrupt_defer(lua_State *L) {
  luaL_checktype(L, 1, LUA_TBOOLEAN);
  lua_pushboolean(L, hf_interrupt_defer(lua_toboolean(L, 1)));
  return 1;
}

/* pending() -> "SIGINT", "SIGTERM" or nil. It stays set, so that an error raised for it gives the exit status. */
static int interrupt_pending(lua_State *L) {
  int number = hf_interrupt_pending();
  if (number) lua_pushstring(L, number == SIGINT ? "SIGINT" : "SIGTERM");
  else lua_pushnil(L);
  return 1;
}

static int interrupt_clear(lua_State *L) {
  hf_interrupt_clear();
  return 0;
}

int luaopen_hflua_core_interrupt(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"defer", interrupt_defer}, {"pending", interrupt_pending}, {"clear", interrupt_clear}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
