/* Table:collate: rows of a column as a tensor. */
#include "collate.h"
#include "lua_aux_tensor.h"
#include "lua_collate.h"
#include "lua_table.h"

typedef struct Work {
  const HfField *field;
  const int64_t *rows;
  int64_t count;
  const HfPadding *padding;
  HfTensor *out;
} Work;

static bool collate(void *data, HfError *err) {
  Work *work = data;
  work->out = hf_field_collate(work->field, work->rows, work->count, work->padding, err);
  return work->out;
}

int hfL_table_collate(lua_State *L) {
  HfError err;
  const HfTable *t = hfL_check_table(L, 1);
  int field = hfL_check_field(L, t, 2);
  HfPadding padding = {luaL_optnumber(L, 4, 0), luaL_optinteger(L, 5, 0), lua_toboolean(L, 6)};
  Work work = {.field = &t->fields[field], .padding = lua_isnoneornil(L, 4) ? NULL : &padding};
  work.rows = hfL_check_rows(L, 3, t->length, &work.count);
  HfTensor **box = hfL_new_tensor(L);
  if (!hfL_run(L, collate, &work, &err)) return hfL_raise(L, &err);
  *box = work.out;
  return 1;
}
