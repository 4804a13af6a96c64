/* Table:cast. */
#ifndef HF_LUA_CAST_H
#define HF_LUA_CAST_H
#include "lua_aux.h"

/* cast(name, type): a table with that one column, or nil and the reason. */
int hfL_table_cast(lua_State *L);
void hfL_open_cast(lua_State *L);

#endif
