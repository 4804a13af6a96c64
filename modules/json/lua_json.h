/* The parts of hf.json, shared by the lua_json*.c files. */
#ifndef HF_LUA_JSON_H
#define HF_LUA_JSON_H
#include <lua.h>

/* ---- lua_json_table.c: tables that are known to be arrays or objects */
void hfL_json_open_tables(lua_State *L);
/* Marks the table at idx as an array, so that it is written as [] when empty. */
void hfL_json_mark_array(lua_State *L, int idx);
/* Marks the table at idx as an object whose order is the sequence of names on top of the stack, which is popped. */
void hfL_json_mark_object(lua_State *L, int idx);
int hfL_json_is_array(lua_State *L, int idx);
/* Pushes the sequence of names of an object that was marked and returns 1; pushes nothing and returns 0 for others. */
int hfL_json_push_names(lua_State *L, int idx);
int hfL_json_array(lua_State *L);
int hfL_json_ordered(lua_State *L);

/* ---- lua_json_encode.c */
void hfL_json_open_encoder(lua_State *L);
int hfL_json_encode(lua_State *L);
int hfL_json_save_file(lua_State *L);

#endif
