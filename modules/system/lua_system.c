/* hflua.core.system: the clock, the terminal, the process and the folders of the host. Files are in hflua.core.files. */
#include "lua_aux.h"
#include "file.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* clock() -> seconds since some moment, never stepping back. */
static int system_clock(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (lua_Number)now.tv_sec + 1e-9 * (lua_Number)now.tv_nsec);
  return 1;
}

/* sleep(seconds): waits; a signal does not shorten it. */
static int system_sleep(lua_State *L) {
  double seconds = luaL_checknumber(L, 1);
  if (!(seconds >= 0 && seconds <= 1e9)) return hfL_errorf(L, "sleep: expected 0 to 1e9 seconds, found %g", seconds);
  struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&left, &left) && errno == EINTR) continue;
  return 0;
}

/* memory() -> bytes of the process in memory now. */
static int system_memory(lua_State *L) {
  long long total = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file && fscanf(file, "%lld %lld", &total, &resident) != 2) resident = 0;
  if (file) fclose(file);
  lua_pushinteger(L, (lua_Integer)resident * sysconf(_SC_PAGESIZE));
  return 1;
}

/* peak_memory() -> the most bytes of the process that were in memory at once. */
static int system_peak_memory(lua_State *L) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  lua_pushinteger(L, (lua_Integer)usage.ru_maxrss * 1024);
  return 1;
}

/* executable() -> the path of the running program; nothing when the system does not tell. */
static int system_executable(lua_State *L) {
  char path[PATH_MAX];
  ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  if (size < 0) return 0;
  lua_pushlstring(L, path, (size_t)size);
  return 1;
}

/* hostname() */
static int system_hostname(lua_State *L) {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  lua_pushstring(L, name);
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
  if (!hf_folder_make(hfL_check_path(L, 1), &err)) return hfL_raise(L, &err);
  return 0;
}

int luaopen_hflua_core_system(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"clock", system_clock}, {"sleep", system_sleep}, {"memory", system_memory}, {"peak_memory", system_peak_memory},
    {"executable", system_executable}, {"hostname", system_hostname}, {"isatty", system_isatty}, {"terminal_size", system_terminal_size},
    {"makedirs", system_makedirs}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
