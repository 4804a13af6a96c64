/* hflua.core.system: the clock, the terminal and the folders of the host. */
#include "lua_aux.h"
#include "file.h"
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* clock() -> seconds since some moment, never stepping back. */
static int system_clock(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (lua_Number)now.tv_sec + 1e-9 * (lua_Number)now.tv_nsec);
  return 1;
}

/* isatty(fd) -> whether file descriptor 0, 1 or 2 is a terminal. */
static int system_isatty(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* terminal_size() -> columns, rows of the terminal behind stderr or stdout; nothing without one. */
static int system_terminal_size(lua_State *L) {
  struct winsize size;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) return 0;
  if (!size.ws_col) return 0;
  lua_pushinteger(L, size.ws_col);
  lua_pushinteger(L, size.ws_row);
  return 2;
}

/* makedirs(path): the folder with its parents; fine when it is there. */
static int system_makedirs(lua_State *L) {
  HfError err;
  if (!hf_folder_make(luaL_checkstring(L, 1), &err)) return hfL_raise(L, &err);
  return 0;
}

int luaopen_hflua_core_system(lua_State *L) {
  static const luaL_Reg functions[] = {{"clock", system_clock},
                                       {"isatty", system_isatty},
                                       {"terminal_size", system_terminal_size},
                                       {"makedirs", system_makedirs},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
