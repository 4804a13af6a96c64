/* Files of hflua.core.datasets. */
#ifndef HF_LUA_READERS_H
#define HF_LUA_READERS_H
#include "lua_aux.h"

void hfL_open_readers(lua_State *L);
extern const luaL_Reg hfL_reader_functions[];

#endif
