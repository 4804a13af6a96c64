/* Table:collate. */
#ifndef HF_LUA_COLLATE_H
#define HF_LUA_COLLATE_H
#include "lua_aux.h"

/* collate(name, rows[, pad value, width, left]): a tensor (rows) or (rows, width); without a pad value lists must have
 * equal lengths. */
int hfL_table_collate(lua_State *L);

#endif
