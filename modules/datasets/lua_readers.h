/* Files of hflua.core.datasets. */
#ifndef HF_LUA_READERS_H
#define HF_LUA_READERS_H
#include "lua_aux.h"

extern const luaL_Reg hfL_reader_functions[];

#endif
