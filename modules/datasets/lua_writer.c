/* Table writers in Lua: how from_dict, from_list and map make columns of Lua values. */
#include "lua_table.h"
#include "lua_values.h"
#include "writer.h"

#define HFL_WRITER "hflua.table_writer"

static HfWriter *check_writer(lua_State *L) { return hfL_checkbox(L, 1, HFL_WRITER); }

/* writer([old]): rows that give a column no value get that of `old`. */
static int new_writer(lua_State *L) {
  HfError err;
  HfTable *old = lua_isnoneornil(L, 1) ? NULL : hfL_check_table(L, 1);
  HfWriter **box = hfL_newbox(L, HFL_WRITER);
  *box = hf_writer_new(old, &err);
  return *box ? 1 : hfL_raise(L, &err);
}

static int writer_gc(lua_State *L) {
  HfWriter **box = luaL_checkudata(L, 1, HFL_WRITER);
  hf_writer_free(*box);
  *box = NULL;
  return 0;
}

/* add_column(name, list, count): `count` values; a missing one is an error. Raises nothing but memory errors:
 * returns true, or false and the message. */
static int writer_add_column(lua_State *L) {
  HfError err;
  HfWriter *w = check_writer(L);
  const char *name = luaL_checkstring(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_Integer count = luaL_checkinteger(L, 4);
  HfBuilder *b = hf_writer_column(w, name, &err);
  bool ok = b;
  for (lua_Integer i = 1; ok && i <= count; i++) {
    if (lua_rawgeti(L, 3, i) == LUA_TNIL) ok = hf_error_set(&err, "it is nil; hf.null stands for None in a column");
    else ok = hfL_add_value(L, -1, b, &err);
    if (!ok) hf_error_prefix(&err, "column '%s': row %lld", name, (long long)i + (long long)w->rows);
    lua_pop(L, 1);
  }
  lua_pushboolean(L, ok);
  if (ok) return 1;
  lua_pushstring(L, err.message);
  return 2;
}

/* add_value(name, value): one value; returns as add_column. */
static int writer_add_value(lua_State *L) {
  HfError err;
  HfWriter *w = check_writer(L);
  const char *name = luaL_checkstring(L, 2);
  luaL_checkany(L, 3);
  HfBuilder *b = hf_writer_column(w, name, &err);
  bool ok = b && hfL_add_value(L, 3, b, &err);
  lua_pushboolean(L, ok);
  if (ok) return 1;
  hf_error_prefix(&err, "column '%s': row %lld", name, (long long)w->rows + 1);
  lua_pushstring(L, err.message);
  return 2;
}

/* end_rows(count) */
static int writer_end_rows(lua_State *L) {
  HfError err;
  if (!hf_writer_end_rows(check_writer(L), luaL_checkinteger(L, 2), &err)) return hfL_raise(L, &err);
  return 0;
}

static int writer_finish(lua_State *L) {
  HfError err;
  HfWriter *w = check_writer(L);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  *box = hf_writer_finish(w, &err);
  return *box ? 1 : hfL_raise(L, &err);
}

static const luaL_Reg methods[] = {
    {"__gc", writer_gc},         {"__close", writer_gc},   {"add_column", writer_add_column}, {"add_value", writer_add_value},
    {"end_rows", writer_end_rows}, {"finish", writer_finish}, {NULL, NULL},
};

const luaL_Reg hfL_writer_functions[] = {{"writer", new_writer}, {NULL, NULL}};

void hfL_open_writer(lua_State *L) {
  hfL_newclass(L, HFL_WRITER, methods);
  lua_pop(L, 1);
}
