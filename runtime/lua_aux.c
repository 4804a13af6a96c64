/* Helpers of the Lua bindings: errors that point at the recipe, boxes for C objects, option tables, hf.null. */
#include "lua_aux.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_own_chunk(const lua_Debug *info) { return !strncmp(info->source, "=[hflua]", 8); }

/* Pushes "file:line: " of the innermost Lua function outside hflua's own sources, or of the innermost at all.
 * In a hook level 0 is the function that was stopped. */
static void push_where(lua_State *L) {
  lua_Debug info;
  const char *debug = getenv("HFLUA_DEBUG");
  for (int level = 0; lua_getstack(L, level, &info); level++) {
    lua_getinfo(L, "Sl", &info);
    if (info.currentline < 0 || (!debug && is_own_chunk(&info))) continue;
    lua_pushfstring(L, "%s:%d: ", info.short_src, info.currentline);
    return;
  }
  luaL_where(L, 1);
}

int hfL_raise(lua_State *L, const HfError *err) {
  push_where(L);
  lua_pushstring(L, err->message);
  lua_concat(L, 2);
  lua_error(L);
  __builtin_unreachable();
}

int hfL_errorf(lua_State *L, const char *format, ...) {
  HfError err;
  va_list args;
  va_start(args, format);
  vsnprintf(err.message, sizeof err.message, format, args);
  va_end(args);
  hfL_raise(L, &err);
}

/* Adds "\n\tfile:line: in function 'name'". */
static void add_frame(luaL_Buffer *text, const lua_Debug *info) {
  lua_State *L = text->L;
  if (*info->what == 'm')
    lua_pushfstring(L, "\n\t%s:%d: in main chunk", info->short_src, info->currentline);
  else if (*info->namewhat)
    lua_pushfstring(L, "\n\t%s:%d: in %s '%s'", info->short_src, info->currentline, info->namewhat, info->name);
  else
    lua_pushfstring(L, "\n\t%s:%d: in function <%s:%d>", info->short_src, info->currentline, info->short_src, info->linedefined);
  luaL_addvalue(text);
}

/* Pushes the frames of the recipe, ten at most; returns how many there are. */
static int push_frames(lua_State *L) {
  enum { SHOWN = 10 };
  int frames = 0;
  lua_Debug info;
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (int level = 0; lua_getstack(L, level, &info); level++) {
    lua_getinfo(L, "Sln", &info);
    if (info.currentline < 0 || is_own_chunk(&info)) continue;
    if (++frames <= SHOWN) add_frame(&text, &info);
    else if (frames == SHOWN + 1) luaL_addstring(&text, "\n\t...");
  }
  luaL_pushresult(&text);
  return frames;
}

int hfL_traceback(lua_State *L) {
  const char *message = lua_tostring(L, 1);
  if (!message && luaL_callmeta(L, 1, "__tostring")) message = lua_tostring(L, -1);
  if (!message) message = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  if (getenv("HFLUA_DEBUG")) {
    luaL_traceback(L, L, message, 1);
    return 1;
  }
  int frames = push_frames(L);
  if (frames > 1) lua_pushfstring(L, "%s\nstack traceback:%s", message, lua_tostring(L, -1));
  else lua_pushstring(L, message);
  return 1;
}

void hfL_newclass(lua_State *L, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  for (; methods->name; methods++) {
    lua_pushcfunction(L, methods->func);
    lua_setfield(L, strncmp(methods->name, "__", 2) ? -2 : -3, methods->name);
  }
  lua_setfield(L, -2, "__index");
}

void *hfL_newbox(lua_State *L, const char *name) {
  void **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, name);
  return box;
}

void *hfL_checkbox(lua_State *L, int idx, const char *name) {
  void **box = luaL_checkudata(L, idx, name);
  if (!*box) hfL_errorf(L, "%s: used after it was closed", name);
  return *box;
}

const char *hfL_check_path(lua_State *L, int idx) {
  size_t length;
  const char *path = luaL_checklstring(L, idx, &length);
  luaL_argcheck(L, strlen(path) == length, idx, "the name of a file holds no zero byte");
  return path;
}

void hfL_check_options(lua_State *L, int idx, const char *where, const char *const *names) {
  if (lua_isnoneornil(L, idx)) return;
  luaL_checktype(L, idx, LUA_TTABLE);
  idx = lua_absindex(L, idx);
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) hfL_errorf(L, "%s: options are named, found key %s", where, luaL_tolstring(L, -2, NULL));
    const char *key = lua_tostring(L, -2);
    const char *const *name = names;
    while (*name && strcmp(*name, key)) name++;
    if (*name) continue;
    const char *near = hf_nearest_name(key, names);
    if (near) hfL_errorf(L, "%s: unknown option '%s' (did you mean '%s'?)", where, key, near);
    hfL_errorf(L, "%s: unknown option '%s'", where, key);
  }
}

/* Pushes the field and tells whether it is there; a wrong type is an error. */
static int push_field(lua_State *L, int idx, const char *field, int type) {
  if (lua_isnoneornil(L, idx)) return lua_pushnil(L), 0;
  int found = lua_getfield(L, idx, field);
  if (found == LUA_TNIL || hfL_is_null(L, -1)) return 0;
  if (found != type)
    hfL_errorf(L, "option '%s': expected %s, found %s", field, lua_typename(L, type), luaL_typename(L, -1));
  return 1;
}

lua_Integer hfL_opt_integer(lua_State *L, int idx, const char *field, lua_Integer fallback) {
  int whole = 1;
  if (push_field(L, idx, field, LUA_TNUMBER)) fallback = lua_tointegerx(L, -1, &whole);
  if (!whole) hfL_errorf(L, "option '%s': expected a whole number, found %f", field, lua_tonumber(L, -1));
  lua_pop(L, 1);
  return fallback;
}

lua_Number hfL_opt_number(lua_State *L, int idx, const char *field, lua_Number fallback) {
  if (push_field(L, idx, field, LUA_TNUMBER)) fallback = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return fallback;
}

int hfL_opt_boolean(lua_State *L, int idx, const char *field, int fallback) {
  if (push_field(L, idx, field, LUA_TBOOLEAN)) fallback = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return fallback;
}

const char *hfL_opt_string(lua_State *L, int idx, const char *field, const char *fallback) {
  if (push_field(L, idx, field, LUA_TSTRING)) fallback = lua_tostring(L, -1);
  lua_pop(L, 1);
  return fallback;
}

static const char null_key = 0;

static int null_tostring(lua_State *L) { return lua_pushliteral(L, "null"), 1; }

/* hf.null is one userdata kept in the registry, so that it can carry a metatable of its own. */
void hfL_push_null(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &null_key) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_newuserdatauv(L, 0, 0);
  lua_newtable(L);
  lua_pushcfunction(L, null_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, "null");
  lua_setfield(L, -2, "__name");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &null_key);
}

int hfL_is_null(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TUSERDATA) return 0;
  idx = lua_absindex(L, idx);
  hfL_push_null(L);
  int same = lua_rawequal(L, idx, -1);
  lua_pop(L, 1);
  return same;
}
