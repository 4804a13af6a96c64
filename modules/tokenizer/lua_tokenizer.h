/* The name of the box that holds a HfTokenizer in Lua. */
#ifndef HF_LUA_TOKENIZER_H
#define HF_LUA_TOKENIZER_H

#define HFL_TOKENIZER "hflua.tokenizer_engine"

#endif
