/* The Lua state of hflua: embedded Lua sources and the C modules they stand on. */
#ifndef HF_STATE_H
#define HF_STATE_H
#include <stdbool.h>
#include <stddef.h>
#include <lua.h>

/* One embedded Lua file. The list is generated at build time from lua/ and ends with a NULL name. */
typedef struct HfEmbeddedSource {
  const char *module; /* "hflua.nn.linear" */
  const char *text;   /* NUL-terminated */
  size_t size;        /* bytes, without the NUL */
} HfEmbeddedSource;
extern const HfEmbeddedSource hf_embedded_sources[];

/* A state with the standard libraries, the C modules of modules/ and a searcher for the embedded sources;
 * with HFLUA_PATH set, files below that folder are used in their place. `ignore_environment` leaves HFLUA_PATH,
 * LUA_PATH and LUA_CPATH unread. NULL when memory is short. */
lua_State *hf_state_new(bool ignore_environment);

#endif
