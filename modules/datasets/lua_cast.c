/* Table:cast: types written in Lua, and the conversion. */
#include "cast.h"
#include <string.h>
#include "lua_cast.h"
#include "lua_table.h"

#define HFL_SCHEMA "hflua.column_type"

static int schema_gc(lua_State *L) {
  HfSchema **box = luaL_checkudata(L, 1, HFL_SCHEMA);
  hf_schema_free(*box);
  *box = NULL;
  return 0;
}

static HfSchema *read_schema(lua_State *L, int idx, int depth, HfError *err);

/* A text of Lua's as a NUL-terminated copy. */
static char *copy_text(lua_State *L, int idx, HfError *err) {
  size_t size;
  const char *text = lua_tolstring(L, idx, &size);
  if (!text) return hf_error_set(err, "column type: expected a name, found %s", luaL_typename(L, idx)), NULL;
  return hf_strndup(text, size, err);
}

/* { "class", { name, ... } } */
static HfSchema *read_class(lua_State *L, int names, HfError *err) {
  HfSchema *s = hf_schema_new(HF_COLUMN_INT64, 0, (int64_t)lua_rawlen(L, names), err);
  for (int64_t i = 0; s && i < s->label_count; i++) {
    lua_rawgeti(L, names, i + 1);
    s->labels[i] = copy_text(L, -1, err);
    lua_pop(L, 1);
    if (s->labels[i]) continue;
    hf_schema_free(s);
    return NULL;
  }
  return s;
}

/* { "struct", { { name, type }, ... } } */
static HfSchema *read_struct(lua_State *L, int fields, int depth, HfError *err) {
  HfSchema *s = hf_schema_new(HF_COLUMN_STRUCT, (int)lua_rawlen(L, fields), 0, err);
  for (int i = 0; s && i < s->child_count; i++) {
    lua_rawgeti(L, fields, i + 1);
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    s->names[i] = copy_text(L, -2, err);
    s->children[i] = s->names[i] ? read_schema(L, lua_gettop(L), depth + 1, err) : NULL;
    lua_pop(L, 3);
    if (s->children[i]) continue;
    hf_schema_free(s);
    return NULL;
  }
  return s;
}

static HfSchema *read_list(lua_State *L, int item, int depth, HfError *err) {
  HfSchema *child = read_schema(L, item, depth + 1, err);
  HfSchema *s = child ? hf_schema_new(HF_COLUMN_LIST, 1, 0, err) : NULL;
  if (s) s->children[0] = child;
  else hf_schema_free(child);
  return s;
}

/* Raises nothing but memory errors of the stack: the values are the tables that features.to_type makes. */
static HfSchema *read_schema(lua_State *L, int idx, int depth, HfError *err) {
  HfColumnType type;
  if (depth >= HF_COLUMN_MAX_DEPTH || !lua_checkstack(L, 8)) return hf_error_set(err, "column type nests too deeply"), NULL;
  if (lua_type(L, idx) == LUA_TSTRING) {
    if (hf_column_type_find(lua_tostring(L, idx), &type)) return hf_schema_new(type, 0, 0, err);
    return hf_error_set(err, "unknown column type '%.80s'", lua_tostring(L, idx)), NULL;
  }
  if (lua_type(L, idx) != LUA_TTABLE) return hf_error_set(err, "column type: found %s", luaL_typename(L, idx)), NULL;
  lua_rawgeti(L, idx, 1);
  lua_rawgeti(L, idx, 2);
  const char *kind = lua_tostring(L, -2);
  int body = lua_gettop(L);
  HfSchema *s = NULL;
  if (kind && !strcmp(kind, "class")) s = read_class(L, body, err);
  else if (kind && !strcmp(kind, "list")) s = read_list(L, body, depth, err);
  else if (kind && !strcmp(kind, "struct")) s = read_struct(L, body, depth, err);
  else hf_error_set(err, "unknown column type '%.80s'", kind ? kind : "nil");
  lua_pop(L, 2);
  return s;
}

int hfL_table_cast(lua_State *L) {
  HfError err;
  const HfTable *t = hfL_check_table(L, 1);
  const HfField *field = &t->fields[hfL_check_field(L, t, 2)];
  HfSchema **schema = hfL_newbox(L, HFL_SCHEMA);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  *schema = read_schema(L, 3, 0, &err);
  HfColumn *column = *schema ? hf_field_cast(field, t->length, *schema, &err) : NULL;
  *box = column ? hf_table_new(t->length, &err) : NULL;
  bool ok = *box && hf_table_add(*box, field->name, column, NULL, &err);
  hf_column_release(column);
  if (ok) return 1;
  lua_pushnil(L);
  lua_pushstring(L, err.message);
  return 2;
}

void hfL_open_cast(lua_State *L) {
  hfL_newclass(L, HFL_SCHEMA, (const luaL_Reg[]){{"__gc", schema_gc}, {NULL, NULL}});
  lua_pop(L, 1);
}
