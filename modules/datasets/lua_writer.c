/* Table writers in Lua: how from_dict, from_list and map make columns of Lua values. */
#include "lua_table.h"
#include "lua_values.h"
#include "tokenizer/id_column.h"
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

/* true, or false and the message */
static int result(lua_State *L, bool ok, const HfError *err) {
  lua_pushboolean(L, ok);
  if (ok) return 1;
  lua_pushstring(L, err->message);
  return 2;
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
  return result(L, ok, &err);
}

static bool add_id_row(HfBuilder *b, const HfIdColumn *ids, int64_t row, HfError *err) {
  if (!ids->offsets) return hf_builder_add_int(b, ids->values[row], err);
  HfBuilder *child = hf_builder_begin_list(b, err);
  int64_t first = ids->offsets[row];
  return child && hf_builder_add_ints(child, ids->values + first, ids->offsets[row + 1] - first, err) && hf_builder_end_list(b, err);
}

/* add_packed(name, id column): the rows of a tokenizer's packed column; returns as add_column. */
static int writer_add_packed(lua_State *L) {
  HfError err;
  HfWriter *w = check_writer(L);
  const char *name = luaL_checkstring(L, 2);
  const HfIdColumn *ids = luaL_checkudata(L, 3, HF_ID_COLUMN);
  HfBuilder *b = hf_writer_column(w, name, &err);
  bool ok = b;
  for (int64_t row = 0; ok && row < ids->rows; row++) {
    ok = add_id_row(b, ids, row, &err);
    if (!ok) hf_error_prefix(&err, "column '%s': row %lld", name, (long long)(w->rows + row + 1));
  }
  return result(L, ok, &err);
}

/* add_value(name, value): one value; returns as add_column. */
static int writer_add_value(lua_State *L) {
  HfError err;
  HfWriter *w = check_writer(L);
  const char *name = luaL_checkstring(L, 2);
  luaL_checkany(L, 3);
  HfBuilder *b = hf_writer_column(w, name, &err);
  bool ok = b && hfL_add_value(L, 3, b, &err);
  if (!ok) hf_error_prefix(&err, "column '%s': row %lld", name, (long long)w->rows + 1);
  return result(L, ok, &err);
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
    {"add_packed", writer_add_packed},
    {"end_rows", writer_end_rows}, {"finish", writer_finish}, {NULL, NULL},
};

const luaL_Reg hfL_writer_functions[] = {{"writer", new_writer}, {NULL, NULL}};

void hfL_open_writer(lua_State *L) {
  hfL_newclass(L, HFL_WRITER, methods);
  lua_pop(L, 1);
}
