/* hflua.core.datasets: tables, writers, readers, hashes. */
#include <stdio.h>
#include "hash.h"
#include "lua_cast.h"
#include "lua_readers.h"
#include "lua_table.h"
#include "table_file.h"

/* hash(text, ...): 16 hexadecimal digits. Lengths count, so that ("ab", "c") and ("a", "bc") differ. */
static int hash(lua_State *L) {
  HfHash h;
  hf_hash_begin(&h);
  for (int i = 1; i <= lua_gettop(L); i++) {
    size_t size;
    const char *text = luaL_checklstring(L, i, &size);
    uint64_t length = size;
    hf_hash_add(&h, &length, sizeof length);
    hf_hash_add(&h, text, size);
  }
  char digits[17];
  snprintf(digits, sizeof digits, "%016llx", (unsigned long long)hf_hash_end(&h));
  lua_pushstring(L, digits);
  return 1;
}

static const luaL_Reg functions[] = {{"hash", hash}, {NULL, NULL}};

int luaopen_hflua_core_datasets(lua_State *L);
int luaopen_hflua_core_datasets(lua_State *L) {
  hfL_open_table(L);
  hfL_open_writer(L);
  hfL_open_cast(L);
  luaL_newlib(L, functions);
  luaL_setfuncs(L, hfL_table_functions, 0);
  luaL_setfuncs(L, hfL_writer_functions, 0);
  luaL_setfuncs(L, hfL_reader_functions, 0);
  lua_pushliteral(L, HF_TABLE_FORMAT);
  lua_setfield(L, -2, "table_format");
  return 1;
}
