/* Lua tables that know what they are in JSON. An array has the metatable ARRAY. An object has a metatable whose field
 * `names` is the sequence of its names in order (as hflua.ordered's have); small objects with the same names share one. */
#include "lua_json.h"
#include "../../runtime/lua_aux.h"

#define ARRAY "json array"
#define SHAPES "hflua.json.shapes" /* registry: names joined -> metatable; weak values */
#define SHARED_NAMES 32            /* objects with more names have a metatable of their own */

/* ---- walking an object in order */

/* Pushes the set of an object's ordered names, made at first use and kept in the metatable at idx. */
static void push_known(lua_State *L, int metatable) {
  if (lua_getfield(L, metatable, "known") == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_getfield(L, metatable, "names");
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
    lua_pushboolean(L, 1);
    lua_rawset(L, -4);
  }
  lua_pop(L, 2);
  lua_pushvalue(L, -1);
  lua_setfield(L, metatable, "known");
}

/* The next field that was added after the object was made. upvalues: names, place, known. stack: object, last key */
static int next_added(lua_State *L) {
  while (lua_next(L, 1)) {
    lua_pushvalue(L, -2);
    if (lua_rawget(L, lua_upvalueindex(3)) == LUA_TNIL) return lua_pop(L, 1), 2;
    lua_pop(L, 2);
  }
  return 0;
}

/* Iterator: the ordered names that are still there, then added fields. place: of the last name given; -1 behind them. */
static int ordered_next(lua_State *L) {
  lua_Integer place = lua_tointeger(L, lua_upvalueindex(2));
  lua_settop(L, 2);
  if (place < 0) return next_added(L);
  while (lua_rawgeti(L, lua_upvalueindex(1), ++place) != LUA_TNIL) {
    lua_pushinteger(L, place);
    lua_replace(L, lua_upvalueindex(2));
    lua_pushvalue(L, -1);
    if (lua_rawget(L, 1) != LUA_TNIL) return 2;
    lua_settop(L, 2);
  }
  lua_pushinteger(L, -1);
  lua_replace(L, lua_upvalueindex(2));
  lua_settop(L, 1);
  lua_pushnil(L);
  return next_added(L);
}

static int ordered_pairs(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  if (!hfL_json_push_names(L, 1)) return hfL_errorf(L, "pairs: expected an ordered object");
  lua_getmetatable(L, 1);
  lua_pushinteger(L, 0);
  push_known(L, 3);
  lua_remove(L, 3); // stack: object, names, 0, known
  lua_pushcclosure(L, ordered_next, 3);
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  return 3;
}

/* ---- marking */

void hfL_json_mark_array(lua_State *L, int idx) {
  lua_pushvalue(L, idx);
  luaL_setmetatable(L, ARRAY);
  lua_pop(L, 1);
}

/* Replaces the names on top by a metatable that has them. */
static void make_metatable(lua_State *L) {
  lua_createtable(L, 0, 4);
  lua_insert(L, -2);
  lua_setfield(L, -2, "names");
  lua_pushcfunction(L, ordered_pairs);
  lua_setfield(L, -2, "__pairs");
  lua_pushliteral(L, "json object");
  lua_setfield(L, -2, "__name");
}

/* Pushes the names at idx joined to one string, which tells shapes apart: names hold no NUL. */
static void push_shape(lua_State *L, int idx, lua_Integer count) {
  luaL_Buffer joined;
  luaL_buffinit(L, &joined);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, idx, i);
    luaL_addvalue(&joined);
    luaL_addchar(&joined, 0);
  }
  luaL_pushresult(&joined);
}

/* Replaces the names on top by the metatable that all objects of these names share. */
static void find_metatable(lua_State *L, lua_Integer count) {
  int names = lua_absindex(L, -1);
  lua_getfield(L, LUA_REGISTRYINDEX, SHAPES);
  push_shape(L, names, count);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushvalue(L, names);
    make_metatable(L); // stack: names, shapes, shape, metatable
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -5);
  }
  lua_replace(L, names);
  lua_settop(L, names);
}

void hfL_json_mark_object(lua_State *L, int idx) {
  lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
  idx = lua_absindex(L, idx);
  if (count > SHARED_NAMES) make_metatable(L);
  else find_metatable(L, count);
  lua_setmetatable(L, idx);
}

/* ---- asking */

int hfL_json_is_array(lua_State *L, int idx) {
  if (!lua_getmetatable(L, idx)) return 0;
  int same = luaL_getmetatable(L, ARRAY), is_array = same == LUA_TTABLE && lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return is_array;
}

int hfL_json_push_names(lua_State *L, int idx) {
  if (!lua_istable(L, idx) || !lua_getmetatable(L, idx)) return 0;
  lua_pushliteral(L, "names");
  int ordered = lua_rawget(L, -2) == LUA_TTABLE;
  lua_remove(L, -2);
  if (!ordered) lua_pop(L, 1);
  return ordered;
}

/* ---- for Lua */

/*--- json.array(t): t (or a new table), written as [] even when it is empty. */
int hfL_json_array(lua_State *L) {
  if (lua_isnone(L, 1)) lua_newtable(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  hfL_json_mark_array(L, 1);
  lua_settop(L, 1);
  return 1;
}

/*--- json.ordered(t, names): t, whose fields pairs and encode take in the order of names, then the others. */
int hfL_json_ordered(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer count = luaL_len(L, 2);
  lua_newtable(L);
  for (lua_Integer i = 1; i <= count; i++) {
    if (lua_geti(L, 2, i) != LUA_TSTRING) return hfL_errorf(L, "json.ordered: name %d: expected a string, found %s", (int)i, luaL_typename(L, -1));
    lua_rawseti(L, 3, i);
  }
  hfL_json_mark_object(L, 1);
  lua_settop(L, 1);
  return 1;
}

void hfL_json_open_tables(lua_State *L) {
  luaL_newmetatable(L, ARRAY);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, SHAPES);
  lua_pop(L, 1);
}
