/* Helpers of the Lua bindings. Only main, repl, state, lua_aux and modules/<name>/lua_<name>.c include lua.h.
 *
 *   static int json_decode(lua_State *L) {
 *     size_t size;
 *     const char *text = luaL_checklstring(L, 1, &size);
 *     HfError err;
 *     if (!decode(L, text, size, &err)) return hfL_raise(L, &err);
 *     return 1;
 *   }
 */
#ifndef HF_LUA_AUX_H
#define HF_LUA_AUX_H
#include <lua.h>
#include <lauxlib.h>
#include "error.h"

/* Raises err->message behind the position of the innermost chunk that is not hflua's own ("[hflua]/..."), so that
 * errors point at the recipe. Never returns. Release what you hold first. */
int hfL_raise(lua_State *L, const HfError *err) __attribute__((noreturn));
int hfL_errorf(lua_State *L, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* Message handler for lua_pcall: the error as text and, below it, where it came from, without hflua's own functions
 * (HFLUA_DEBUG set: with all of them). A traceback of one line would repeat the message and is left out. */
int hfL_traceback(lua_State *L);

/* Creates the metatable `name` with __index = methods (which may hold metamethods too: keys that begin with "__"
 * go into the metatable itself) and leaves it on the stack. */
void hfL_newclass(lua_State *L, const char *name, const luaL_Reg *methods);

/* A box for one C pointer: created empty with metatable `name` before anything can fail, filled afterwards.
 *   MyThing **box = hfL_newbox(L, "hflua.mything");  *box = my_thing_open(path, &err);  if (!*box) return hfL_raise(L, &err); */
void *hfL_newbox(lua_State *L, const char *name);
/* The pointer in the box at idx; a Lua error when it is another type or already released. */
void *hfL_checkbox(lua_State *L, int idx, const char *name);

/* The text at idx as the name of a file: an error when it holds a zero byte. */
const char *hfL_check_path(lua_State *L, int idx);

/* Error unless every key of the table at idx is one of `names` (NULL-terminated); the message gives `where` and
 * the nearest name. nil or none at idx is fine. */
void hfL_check_options(lua_State *L, int idx, const char *where, const char *const *names);

/* Fields of an option table at idx (nil or none: all defaults); wrong types are errors that name the field. */
lua_Integer hfL_opt_integer(lua_State *L, int idx, const char *field, lua_Integer fallback);
lua_Number hfL_opt_number(lua_State *L, int idx, const char *field, lua_Number fallback);
int hfL_opt_boolean(lua_State *L, int idx, const char *field, int fallback);
/* Borrowed from the table: valid while the table holds it. */
const char *hfL_opt_string(lua_State *L, int idx, const char *field, const char *fallback);

/* The one value that stands for Python's None inside sequences and for JSON null: hf.null. */
void hfL_push_null(lua_State *L);
int hfL_is_null(lua_State *L, int idx);

#endif
