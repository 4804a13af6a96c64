/* Tables in Lua: what lua/hflua/datasets.lua builds Dataset on. Rows count from 1 here. */
#include <string.h>
#include "lua_cast.h"
#include "lua_collate.h"
#include "lua_table.h"
#include "lua_values.h"

int hfL_check_field(lua_State *L, const HfTable *t, int idx) {
  const char *name = luaL_checkstring(L, idx);
  for (int i = 0; i < t->count; i++)
    if (!strcmp(t->fields[i].name, name)) return i;
  return hfL_errorf(L, "table: no column '%.80s'", name);
}

int64_t *hfL_check_rows(lua_State *L, int idx, int64_t length, int64_t *count) {
  luaL_checktype(L, idx, LUA_TTABLE);
  idx = lua_absindex(L, idx);
  *count = (int64_t)lua_rawlen(L, idx);
  int64_t *at = lua_newuserdatauv(L, (size_t)*count * sizeof *at, 0);
  for (int64_t i = 0; i < *count; i++) {
    int whole;
    lua_rawgeti(L, idx, i + 1);
    lua_Integer row = lua_tointegerx(L, -1, &whole);
    if (!whole) hfL_errorf(L, "row numbers: item %lld: expected a whole number, found %s", (long long)i + 1, luaL_typename(L, -1));
    if (row < 1 || row > length)
      hfL_errorf(L, "row numbers: item %lld: row %lld is out of range 1..%lld", (long long)i + 1, (long long)row, (long long)length);
    at[i] = row - 1;
    lua_pop(L, 1);
  }
  return at;
}

/* Fills the box on the stack top, or raises. */
static int filled(lua_State *L, HfTable **box, HfTable *table, const HfError *err) {
  *box = table;
  return table ? 1 : hfL_raise(L, err);
}

static int table_gc(lua_State *L) {
  HfTable **box = luaL_checkudata(L, 1, HFL_TABLE);
  hf_table_release(*box);
  *box = NULL;
  return 0;
}

static int table_length(lua_State *L) { return lua_pushinteger(L, hfL_check_table(L, 1)->length), 1; }

static int table_names(lua_State *L) {
  const HfTable *t = hfL_check_table(L, 1);
  lua_createtable(L, t->count, 0);
  for (int i = 0; i < t->count; i++) {
    lua_pushstring(L, t->fields[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* "int64"; { "list", item }; { "struct", { { name, type }, ... } } */
static void push_type(lua_State *L, const HfColumn *c) {
  luaL_checkstack(L, 6, "column type");
  const char *name = hf_column_type_name(c->type);
  if (!c->child_count) return (void)lua_pushstring(L, name);
  lua_createtable(L, 2, 0);
  lua_pushstring(L, name);
  lua_rawseti(L, -2, 1);
  if (c->type == HF_COLUMN_LIST) {
    push_type(L, c->children[0]);
  } else {
    lua_createtable(L, c->child_count, 0);
    for (int i = 0; i < c->child_count; i++) {
      lua_createtable(L, 2, 0);
      lua_pushstring(L, c->names[i]);
      lua_rawseti(L, -2, 1);
      push_type(L, c->children[i]);
      lua_rawseti(L, -2, 2);
      lua_rawseti(L, -2, i + 1);
    }
  }
  lua_rawseti(L, -2, 2);
}

static int table_type(lua_State *L) {
  const HfTable *t = hfL_check_table(L, 1);
  push_type(L, t->fields[hfL_check_field(L, t, 2)].column);
  return 1;
}

static int64_t check_row(lua_State *L, int idx, const HfTable *t) {
  lua_Integer row = luaL_checkinteger(L, idx);
  if (row < 1 || row > t->length)
    hfL_errorf(L, "row %lld is out of range: the dataset has rows 1..%lld", (long long)row, (long long)t->length);
  return row - 1;
}

/* row(i): { column = value }, nulls absent. */
static int table_row(lua_State *L) {
  const HfTable *t = hfL_check_table(L, 1);
  int64_t row = check_row(L, 2, t);
  lua_createtable(L, 0, t->count);
  for (int i = 0; i < t->count; i++) {
    const HfField *field = &t->fields[i];
    if (hf_column_is_null(field->column, hf_field_row(field, row))) continue;
    hfL_push_cell(L, field->column, hf_field_row(field, row));
    lua_setfield(L, -2, field->name);
  }
  return 1;
}

/* column(name[, first, last]): a list, nulls as hf.null. */
static int table_column(lua_State *L) {
  const HfTable *t = hfL_check_table(L, 1);
  const HfField *field = &t->fields[hfL_check_field(L, t, 2)];
  lua_Integer first = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, t->length);
  luaL_argcheck(L, first >= 1 && last <= t->length, 3, "rows out of range");
  lua_createtable(L, last - first < INT32_MAX - 1 && last >= first ? (int)(last - first + 1) : 0, 0);
  for (lua_Integer row = first; row <= last; row++) {
    hfL_push_cell(L, field->column, hf_field_row(field, row - 1));
    lua_rawseti(L, -2, row - first + 1);
  }
  return 1;
}

/* select(rows) */
static int table_select(lua_State *L) {
  HfError err;
  int64_t count;
  const HfTable *t = hfL_check_table(L, 1);
  const int64_t *at = hfL_check_rows(L, 2, t->length, &count);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  return filled(L, box, hf_table_select(t, at, count, &err), &err);
}

/* pick(names[, new_names]) */
static int table_pick(lua_State *L) {
  HfError err;
  const HfTable *t = hfL_check_table(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  int renamed = !lua_isnoneornil(L, 3), count = (int)lua_rawlen(L, 2);
  int *fields = lua_newuserdatauv(L, (size_t)count * sizeof *fields, 0);
  const char **names = lua_newuserdatauv(L, (size_t)count * sizeof *names, 0);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, 2, i + 1);
    fields[i] = hfL_check_field(L, t, -1);
    if (renamed) lua_rawgeti(L, 3, i + 1);
    names[i] = luaL_checkstring(L, -1); /* held by the list */
    lua_pop(L, 1 + renamed);
  }
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  return filled(L, box, hf_table_pick(t, fields, names, count, &err), &err);
}

/* merge(other) */
static int table_merge(lua_State *L) {
  HfError err;
  const HfTable *t = hfL_check_table(L, 1), *other = hfL_check_table(L, 2);
  if (t->count && t->length != other->length)
    return hfL_errorf(L, "table: expected %lld rows, found %lld", (long long)t->length, (long long)other->length);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  return filled(L, box, t->count ? hf_table_merge(t, other, &err) : hf_table_merge(other, other, &err), &err);
}

/* sort({ { name, descending }, ... }, nulls_first) */
static int table_sort(lua_State *L) {
  HfError err;
  const HfTable *t = hfL_check_table(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  int count = (int)lua_rawlen(L, 2);
  HfSortKey *keys = lua_newuserdatauv(L, (size_t)count * sizeof *keys, 0);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, 2, i + 1);
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    keys[i] = (HfSortKey){hfL_check_field(L, t, -2), lua_toboolean(L, -1)};
    lua_pop(L, 3);
  }
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  int64_t *at;
  if (!hf_table_sort(t, keys, count, lua_toboolean(L, 3), &at, &err)) return hfL_raise(L, &err);
  *box = hf_table_select(t, at, t->length, &err);
  hf_free(at);
  return *box ? 1 : hfL_raise(L, &err);
}

/* concat({ table, ... }): the table, or nil and the reason */
static int concat(lua_State *L) {
  HfError err;
  luaL_checktype(L, 1, LUA_TTABLE);
  int count = (int)lua_rawlen(L, 1);
  HfTable **tables = lua_newuserdatauv(L, (size_t)count * sizeof *tables, 0);
  luaL_argcheck(L, count > 0, 1, "no tables");
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, 1, i + 1);
    tables[i] = hfL_check_table(L, -1);
    lua_pop(L, 1);
  }
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  *box = hf_table_concat(tables, count, &err);
  if (*box) return 1;
  lua_pushnil(L);
  lua_pushstring(L, err.message);
  return 2;
}

static int table_flatten(lua_State *L) {
  HfError err;
  const HfTable *t = hfL_check_table(L, 1);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  return filled(L, box, hf_table_flatten(t, &err), &err);
}

static const luaL_Reg methods[] = {
    {"__gc", table_gc},         {"__len", table_length},  {"names", table_names}, {"type", table_type},
    {"row", table_row},         {"column", table_column}, {"select", table_select}, {"pick", table_pick},
    {"merge", table_merge},     {"sort", table_sort},     {"flatten", table_flatten}, {"cast", hfL_table_cast},
    {"collate", hfL_table_collate}, {NULL, NULL},
};

const luaL_Reg hfL_table_functions[] = {{"concat", concat}, {NULL, NULL}};

void hfL_open_table(lua_State *L) {
  hfL_newclass(L, HFL_TABLE, methods);
  lua_pop(L, 1);
}
