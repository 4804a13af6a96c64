/* What the lua_*.c files of generation share. */
#ifndef HF_LUA_GENERATION_H
#define HF_LUA_GENERATION_H
#include <lua.h>

/* lua_cache.c, lua_choose.c: add their functions to the table on the top. */
void hfL_open_cache(lua_State *L);
void hfL_open_choose(lua_State *L);

#endif
