/* Lua values to column builders and back. */
#include "lua_values.h"
#include <stdlib.h>
#include <string.h>

static bool add_value(lua_State *L, int idx, HfBuilder *b, int depth, HfError *err);

static bool add_list(lua_State *L, int idx, HfBuilder *b, int depth, HfError *err) {
  HfBuilder *child = hf_builder_begin_list(b, err);
  if (!child) return false;
  lua_Unsigned count = lua_rawlen(L, idx);
  for (lua_Unsigned i = 1; i <= count; i++) {
    int type = lua_rawgeti(L, idx, (lua_Integer)i);
    bool ok = type == LUA_TNIL ? hf_error_set(err, "item is nil; hf.null stands for None in a list")
                               : add_value(L, lua_gettop(L), child, depth + 1, err);
    if (!ok) return hf_error_prefix(err, "item %llu", (unsigned long long)i);
    lua_pop(L, 1);
  }
  return hf_builder_end_list(b, err);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Adds the named fields that the builder does not have yet, in alphabetical order: a Lua table has none of its own. */
static bool add_new_fields(lua_State *L, int idx, HfBuilder *b, HfError *err) {
  int count = 0;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) return hf_error_set(err, "a table with named fields also has a key that is no name");
    count += hf_builder_find_field(b, lua_tostring(L, -2)) < 0;
  }
  if (!count) return true;
  const char **names = lua_newuserdatauv(L, (size_t)count * sizeof *names, 0);
  int at = 0;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
    if (hf_builder_find_field(b, lua_tostring(L, -2)) < 0) names[at++] = lua_tostring(L, -2);
  qsort(names, (size_t)count, sizeof *names, compare_names);
  for (int i = 0; i < count; i++)
    if (!hf_builder_field(b, names[i], err)) return false;
  lua_pop(L, 1);
  return true;
}

static bool add_struct(lua_State *L, int idx, HfBuilder *b, int depth, HfError *err) {
  if (!hf_builder_begin_struct(b, err) || !add_new_fields(L, idx, b, err)) return false;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    const char *name = lua_tostring(L, -2);
    HfBuilder *child = hf_builder_field(b, name, err);
    if (!child || !add_value(L, lua_gettop(L), child, depth + 1, err)) return hf_error_prefix(err, "field '%.80s'", name);
  }
  return hf_builder_end_struct(b, err);
}

/* An empty table is a list, unless the rows before say otherwise. */
static bool has_named_fields(lua_State *L, int idx, const HfBuilder *b) {
  if (lua_rawlen(L, idx) > 0) return false;
  lua_pushnil(L);
  if (!lua_next(L, idx)) return b->type == HF_COLUMN_STRUCT;
  bool named = lua_type(L, -2) == LUA_TSTRING;
  lua_pop(L, 2);
  return named;
}

static bool add_table(lua_State *L, int idx, HfBuilder *b, int depth, HfError *err) {
  if (depth >= HF_COLUMN_MAX_DEPTH)
    return hf_error_set(err, "tables nest deeper than %d levels (or a table holds itself)", HF_COLUMN_MAX_DEPTH);
  if (!lua_checkstack(L, 8)) return hf_error_memory(err, "nested value", 0);
  return has_named_fields(L, idx, b) ? add_struct(L, idx, b, depth, err) : add_list(L, idx, b, depth, err);
}

static bool add_object(lua_State *L, int idx, HfBuilder *b, int depth, HfError *err) {
  if (hfL_is_null(L, idx)) return hf_builder_add_null(b, err);
  if (lua_type(L, idx) != LUA_TUSERDATA || luaL_getmetafield(L, idx, "__index") == LUA_TNIL)
    return hf_error_set(err, "a %s cannot be stored in a column", luaL_typename(L, idx));
  lua_pop(L, 1);
  if (lua_getfield(L, idx, "tolist") != LUA_TFUNCTION)
    return hf_error_set(err, "a %s cannot be stored in a column", luaL_tolstring(L, idx, NULL));
  lua_pushvalue(L, idx);
  lua_call(L, 1, 1);
  bool ok = add_value(L, lua_gettop(L), b, depth + 1, err);
  lua_pop(L, 1);
  return ok;
}

static bool add_value(lua_State *L, int idx, HfBuilder *b, int depth, HfError *err) {
  size_t size;
  switch (lua_type(L, idx)) {
  case LUA_TNONE:
  case LUA_TNIL: return hf_builder_add_null(b, err);
  case LUA_TBOOLEAN: return hf_builder_add_bool(b, lua_toboolean(L, idx), err);
  case LUA_TNUMBER:
    if (lua_isinteger(L, idx)) return hf_builder_add_int(b, lua_tointeger(L, idx), err);
    return hf_builder_add_float(b, lua_tonumber(L, idx), err);
  case LUA_TSTRING: {
    const char *text = lua_tolstring(L, idx, &size);
    return hf_builder_add_text(b, text, size, err);
  }
  case LUA_TTABLE: return add_table(L, idx, b, depth, err);
  default: return add_object(L, idx, b, depth, err);
  }
}

bool hfL_add_value(lua_State *L, int idx, HfBuilder *b, HfError *err) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, "column value");
  bool ok = add_value(L, lua_absindex(L, idx), b, 0, err);
  lua_settop(L, top);
  return ok;
}

static void push_list(lua_State *L, const HfColumn *c, int64_t row) {
  int64_t first = c->offsets[row], end = c->offsets[row + 1];
  lua_createtable(L, end - first < INT32_MAX ? (int)(end - first) : 0, 0);
  for (int64_t i = first; i < end; i++) {
    hfL_push_cell(L, c->children[0], i);
    lua_rawseti(L, -2, i - first + 1);
  }
}

static void push_struct(lua_State *L, const HfColumn *c, int64_t row) {
  lua_createtable(L, 0, c->child_count);
  for (int i = 0; i < c->child_count; i++) {
    if (hf_column_is_null(c->children[i], row)) continue;
    hfL_push_cell(L, c->children[i], row);
    lua_setfield(L, -2, c->names[i]);
  }
}

void hfL_push_cell(lua_State *L, const HfColumn *c, int64_t row) {
  size_t size;
  if (hf_column_is_null(c, row)) {
    hfL_push_null(L);
    return;
  }
  luaL_checkstack(L, 4, "column value");
  switch (c->type) {
  case HF_COLUMN_BOOL: lua_pushboolean(L, (int)hf_column_int(c, row)); break;
  case HF_COLUMN_FLOAT32:
  case HF_COLUMN_FLOAT64: lua_pushnumber(L, hf_column_number(c, row)); break;
  case HF_COLUMN_STRING: {
    const char *text = hf_column_text(c, row, &size);
    lua_pushlstring(L, text, size);
    break;
  }
  case HF_COLUMN_LIST: push_list(L, c, row); break;
  case HF_COLUMN_STRUCT: push_struct(L, c, row); break;
  default: lua_pushinteger(L, hf_column_int(c, row));
  }
}
