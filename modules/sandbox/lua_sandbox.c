/* hflua.core.sandbox: what lua/hflua/sandbox.lua builds on: the folders, entering, files and environment variables for Lua. */
#include "lua_aux.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../runtime/sandbox.h"
#include "../../runtime/sandbox_path.h"

/* allow(path, rights): a folder that may be read ("r"), written too ("rw"), or written by downloads alone ("rd") */
static int sandbox_allow(lua_State *L) {
  static const char *const names[] = {"r", "rw", "rd", NULL};
  static const int rights[] = {HF_PATH_READ, HF_PATH_READ | HF_PATH_WRITE, HF_PATH_READ | HF_PATH_ENGINE_WRITE};
  HfError err;
  if (!hf_path_allow(hfL_check_path(L, 1), rights[luaL_checkoption(L, 2, NULL, names)], &err)) return hfL_raise(L, &err);
  return 0;
}

/* enter(network, with_token) -> which walls of the kernel are up. network: "none" or "endpoint" */
static int sandbox_enter(lua_State *L) {
  static const char *const networks[] = {"none", "endpoint", NULL};
  HfSandbox settings = {(HfNetwork)luaL_checkoption(L, 1, NULL, networks), lua_toboolean(L, 2)};
  char walls[HF_WALLS_SIZE];
  HfError err;
  if (!hf_sandbox_enter(&settings, walls, &err)) return hfL_raise(L, &err);
  lua_pushstring(L, walls);
  return 1;
}

/* is_on() -> whether the program runs with --sandbox */
static int sandbox_is_on(lua_State *L) {
  lua_pushboolean(L, hf_sandbox_is_on());
  return 1;
}

/* getenv(name): as os.getenv, but never the Hub token */
static int sandbox_getenv(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  bool is_token = !fnmatch("*TOKEN*", name, 0);
  lua_pushstring(L, is_token ? NULL : getenv(name));
  return 1;
}

/* ---- io.open */

static int close_file(lua_State *L) {
  luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  return luaL_fileresult(L, !fclose(stream->f), NULL);
}

/* The flags of a mode of fopen: [rwa]%+?b?; -1 when it is none. */
static int flags_of(const char *mode) {
  static const struct { char letter; int flags; } known[] = {{'r', 0}, {'w', O_CREAT | O_TRUNC}, {'a', O_CREAT | O_APPEND}};
  const char *rest = mode + 1;
  int flags = -1;
  for (int i = 0; i < 3; i++)
    if (*mode == known[i].letter) flags = known[i].flags | (*mode == 'r' ? O_RDONLY : O_WRONLY);
  if (flags >= 0 && *rest == '+') flags = (flags & ~O_ACCMODE) | O_RDWR, rest++;
  return flags >= 0 && (!*rest || !strcmp(rest, "b")) ? flags : -1;
}

/* open(path[, mode]): as io.open, where the engine too may open the file */
static int sandbox_open(lua_State *L) {
  const char *path = hfL_check_path(L, 1), *mode = luaL_optstring(L, 2, "r");
  int flags = flags_of(mode);
  luaL_argcheck(L, flags >= 0, 2, "invalid mode");
  luaL_Stream *stream = lua_newuserdatauv(L, sizeof *stream, 0);
  *stream = (luaL_Stream){NULL, NULL};
  luaL_setmetatable(L, LUA_FILEHANDLE);
  int fd = hf_path_open(path, flags, 0666);
  stream->f = fd < 0 ? NULL : fdopen(fd, mode);
  if (stream->f) return stream->closef = close_file, 1;
  int reason = errno;
  if (fd >= 0) close(fd);
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", path, hf_path_reason(reason));
  lua_pushinteger(L, reason);
  return 3;
}

int luaopen_hflua_core_sandbox(lua_State *L) {
  static const luaL_Reg functions[] = {{"allow", sandbox_allow}, {"enter", sandbox_enter}, {"is_on", sandbox_is_on},
                                       {"getenv", sandbox_getenv}, {"open", sandbox_open}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
