/* Results of an encode call in Lua. */
#ifndef HF_LUA_ENCODING_H
#define HF_LUA_ENCODING_H
#include <lua.h>
#include "tokenizer.h"

#define HFL_ENCODING "hflua.encoding"

/* Registers the classes of encodings and id columns. */
void hfL_register_encoding(lua_State *L);
/* Pushes an encoding with `bytes` bytes of memory of its own, at *block: Lua's collector counts and frees them. */
HfEncoding *hfL_new_encoding(lua_State *L, size_t bytes, void **block);

#endif
