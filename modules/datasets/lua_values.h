/* Lua values to column builders and back. */
#ifndef HF_LUA_VALUES_H
#define HF_LUA_VALUES_H
#include "builder.h"
#include "lua_aux.h"

/* Appends the value at idx: nil and hf.null are nulls; a table is a list, or a struct when it has named fields; an
 * object with a `tolist` method (a tensor) is what that gives. b belongs to a box, since Lua may raise in here. */
bool hfL_add_value(lua_State *L, int idx, HfBuilder *b, HfError *err);

/* Pushes row `row` of the column; a null is hf.null. Inside a struct nulls are absent. */
void hfL_push_cell(lua_State *L, const HfColumn *column, int64_t row);

#endif
