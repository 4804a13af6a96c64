/* The boxes of tables in Lua. */
#ifndef HF_LUA_TABLE_H
#define HF_LUA_TABLE_H
#include "lua_aux.h"
#include "table.h"

#define HFL_TABLE "hflua.table"

static inline HfTable *hfL_check_table(lua_State *L, int idx) { return hfL_checkbox(L, idx, HFL_TABLE); }
/* The position of column `name` (at idx) in the table; a Lua error when there is none. */
int hfL_check_field(lua_State *L, const HfTable *table, int idx);
/* Row numbers of the list at idx, 1-based there and checked against `length`, 0-based here; on the Lua stack. */
int64_t *hfL_check_rows(lua_State *L, int idx, int64_t length, int64_t *count);

void hfL_open_table(lua_State *L);  /* makes the class; leaves the stack as it was */
void hfL_open_writer(lua_State *L);
extern const luaL_Reg hfL_table_functions[], hfL_writer_functions[];

#endif
