/* Training vocabularies in Lua: require "hflua.core.tokenizer_train".
 *
 *   local counter = train.counter(engine)          -- engine: whose normalizer and pre-tokenizer cut the texts
 *   counter:feed { "text", "text" }
 *   local result = counter:train("BPE", { vocab_size = 1000 })   -- result.tokens, result.merges, result.scores
 */
#include <lauxlib.h>
#include <string.h>
#include "lua_aux.h"
#include "lua_tokenizer.h"
#include "train.h"
#include "unicode.h"

#define HFL_COUNTER "hflua.word_counter"

static HfWordCounter *check_counter(lua_State *L) { return luaL_checkudata(L, 1, HFL_COUNTER); }

static int counter_gc(lua_State *L) { return hf_word_counter_free(check_counter(L)), 0; }
static int trained_gc(lua_State *L) { return hf_trained_free(lua_touserdata(L, 1)), 0; }

/* counter(engine); the engine lives as long as the counter. */
static int new_counter(lua_State *L) {
  const HfTokenizer *tokenizer = hfL_checkbox(L, 1, HFL_TOKENIZER);
  HfWordCounter *counter = lua_newuserdatauv(L, sizeof *counter, 1);
  *counter = (HfWordCounter){.tokenizer = tokenizer};
  luaL_setmetatable(L, HFL_COUNTER);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

/* The strings of the list at idx, which keeps them alive. */
static HfInput *read_strings(lua_State *L, int idx, const char *what, size_t first, size_t *count) {
  luaL_checktype(L, idx, LUA_TTABLE);
  *count = lua_rawlen(L, idx);
  HfInput *items = lua_newuserdatauv(L, *count * sizeof *items + 1, 0);
  for (size_t i = 0; i < *count; i++) {
    if (lua_rawgeti(L, idx, (lua_Integer)i + 1) != LUA_TSTRING)
      hfL_errorf(L, "%s %zu: expected a string, found %s", what, first + i + 1, hfL_is_null(L, -1) ? "null" : luaL_typename(L, -1));
    items[i].bytes = lua_tolstring(L, -1, &items[i].size);
    lua_pop(L, 1);
  }
  return items;
}

/* feed(list of texts) */
static int feed(lua_State *L) {
  HfError err;
  size_t count;
  HfWordCounter *counter = check_counter(L);
  HfInput *texts = read_strings(L, 2, "text", counter->texts, &count);
  if (!hf_words_feed(counter, texts, count, &err)) return hfL_raise(L, &err);
  return 0;
}

/* counts(): a table from word to how often it was seen. */
static int counts(lua_State *L) {
  const HfWordCounts *words = &check_counter(L)->words;
  lua_createtable(L, 0, (int)words->texts.count);
  for (size_t id = 0; id < words->texts.count; id++) {
    size_t size = 0;
    const char *text = hf_vocab_token(&words->texts, (int64_t)id, &size);
    lua_pushlstring(L, text, size);
    lua_pushinteger(L, (lua_Integer)words->counts[id]);
    lua_rawset(L, -3);
  }
  return 1;
}

/* ---- options; the values are checked by the caller, the tables keep the strings alive */

static size_t opt_limit(lua_State *L, int idx, const char *field) {
  lua_Integer value = hfL_opt_integer(L, idx, field, -1);
  return value < 0 ? SIZE_MAX : (size_t)value;
}

static void read_special(lua_State *L, int idx, HfTrainOptions *o) {
  if (lua_getfield(L, idx, "special_tokens") != LUA_TNIL) o->special = read_strings(L, lua_gettop(L), "special token", 0, &o->special_count);
}

/* Characters as strings; of a longer one the first counts. */
static void read_alphabet(lua_State *L, int idx, HfTrainOptions *o) {
  if (lua_getfield(L, idx, "initial_alphabet") == LUA_TNIL) return;
  size_t count, bad;
  HfInput *items = read_strings(L, lua_gettop(L), "initial_alphabet", 0, &count);
  uint32_t *codes = lua_newuserdatauv(L, count * sizeof *codes + 1, 0);
  for (size_t i = 0; i < count; i++) {
    if (!items[i].size || !hf_utf8_valid(items[i].bytes, items[i].size, &bad)) hfL_errorf(L, "initial_alphabet: entry %zu is not a character", i + 1);
    hf_utf8_decode(items[i].bytes, &codes[i]);
  }
  o->alphabet = codes;
  o->alphabet_count = count;
}

static HfTrainOptions read_options(lua_State *L, int idx) {
  HfTrainOptions o = hf_train_defaults();
  luaL_checktype(L, idx, LUA_TTABLE);
  o.vocab_size = (size_t)hfL_opt_integer(L, idx, "vocab_size", (lua_Integer)o.vocab_size);
  o.min_frequency = (uint64_t)hfL_opt_integer(L, idx, "min_frequency", 0);
  o.limit_alphabet = opt_limit(L, idx, "limit_alphabet");
  o.max_token_length = opt_limit(L, idx, "max_token_length");
  o.prefix = hfL_opt_string(L, idx, "continuing_subword_prefix", o.prefix);
  o.suffix = hfL_opt_string(L, idx, "end_of_word_suffix", o.suffix);
  o.unk_token = hfL_opt_string(L, idx, "unk_token", NULL);
  o.shrinking_factor = hfL_opt_number(L, idx, "shrinking_factor", o.shrinking_factor);
  o.sub_iterations = hfL_opt_integer(L, idx, "n_sub_iterations", o.sub_iterations);
  o.max_piece_length = (size_t)hfL_opt_integer(L, idx, "max_piece_length", (lua_Integer)o.max_piece_length);
  o.seed_size = (size_t)hfL_opt_integer(L, idx, "seed_size", (lua_Integer)o.seed_size);
  read_special(L, idx, &o);
  read_alphabet(L, idx, &o);
  return o;
}

/* ---- the result */

static void push_token(lua_State *L, const HfVocab *vocab, size_t id) {
  size_t size = 0;
  const char *text = hf_vocab_token(vocab, (int64_t)id, &size);
  lua_pushlstring(L, text, size);
}

static void push_merges(lua_State *L, const HfTrained *trained) {
  lua_createtable(L, (int)trained->merge_count, 0);
  for (size_t i = 0; i < trained->merge_count; i++) {
    lua_createtable(L, 2, 0);
    for (int side = 0; side < 2; side++) push_token(L, &trained->vocab, trained->merges[i][side]), lua_rawseti(L, -2, side + 1);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

/* { tokens = list, merges = list of pairs, scores = list or nil, unk_id = number or nil } */
static void push_trained(lua_State *L, const HfTrained *trained) {
  size_t count = trained->vocab.count;
  lua_createtable(L, 0, 4);
  lua_createtable(L, (int)count, 0);
  for (size_t id = 0; id < count; id++) push_token(L, &trained->vocab, id), lua_rawseti(L, -2, (lua_Integer)id + 1);
  lua_setfield(L, -2, "tokens");
  push_merges(L, trained);
  lua_setfield(L, -2, "merges");
  if (!trained->scores) return;
  lua_createtable(L, (int)count, 0);
  for (size_t id = 0; id < count; id++) lua_pushnumber(L, trained->scores[id]), lua_rawseti(L, -2, (lua_Integer)id + 1);
  lua_setfield(L, -2, "scores");
  if (trained->unk_id >= 0) lua_pushinteger(L, trained->unk_id), lua_setfield(L, -2, "unk_id");
}

/* train(kind, options): kind is the model's type, as in tokenizer.json. */
static int train(lua_State *L) {
  static const char *const kinds[] = {"BPE", "WordPiece", "WordLevel", "Unigram", NULL};
  static bool (*const trainers[])(const HfWordCounts *, const HfTrainOptions *, HfTrained *, HfError *) = {
    hf_train_bpe, hf_train_bpe, hf_train_word_level, hf_train_unigram};
  HfError err = {0};
  HfWordCounter *counter = check_counter(L);
  int kind = luaL_checkoption(L, 2, NULL, kinds);
  HfTrainOptions options = read_options(L, 3);
  HfTrained *trained = lua_newuserdatauv(L, sizeof *trained, 0);
  *trained = (HfTrained){0};
  luaL_setmetatable(L, "hflua.trained_vocabulary");
  if (!trainers[kind](&counter->words, &options, trained, &err)) return hfL_raise(L, &err);
  push_trained(L, trained);
  hf_trained_free(trained);
  return 1;
}

int luaopen_hflua_core_tokenizer_train(lua_State *L);
int luaopen_hflua_core_tokenizer_train(lua_State *L) {
  static const luaL_Reg methods[] = {{"__gc", counter_gc}, {"feed", feed}, {"counts", counts}, {"train", train}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"counter", new_counter}, {NULL, NULL}};
  hfL_newclass(L, HFL_COUNTER, methods);
  luaL_newmetatable(L, "hflua.trained_vocabulary");
  lua_pushcfunction(L, trained_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, functions);
  return 1;
}
