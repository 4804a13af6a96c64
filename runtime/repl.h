/* Interactive mode. */
#ifndef HF_REPL_H
#define HF_REPL_H
#include <lua.h>

/* Reads, evaluates and prints until the end of input. Raises only when the REPL itself cannot start. */
void hf_repl_run(lua_State *L);

#endif
