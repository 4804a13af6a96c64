/* The tokenizer engine in Lua: require "hflua.core.tokenizer". The HF-like object is lua/hflua/tokenizer.lua. */
#include <lauxlib.h>
#include <string.h>
#include "file.h"
#include "lua_aux.h"
#include "lua_aux_tensor.h"
#include "lua_encoding.h"
#include "lua_tokenizer.h"
#include "memory.h"
#include "tokenizer.h"
#include "unicode.h"

static HfTokenizer *check_tokenizer(lua_State *L) { return hfL_checkbox(L, 1, HFL_TOKENIZER); }

static int tokenizer_gc(lua_State *L) {
  HfTokenizer **box = luaL_checkudata(L, 1, HFL_TOKENIZER);
  hf_tokenizer_free(*box);
  *box = NULL;
  return 0;
}

/* from_json(text, where[, vocab_text[, merges_text, merges_where]]) */
static int from_json(lua_State *L) {
  HfError err;
  size_t size;
  HfVocabFiles files = {0};
  const char *text = luaL_checklstring(L, 1, &size), *where = luaL_checkstring(L, 2);
  files.vocab.text = luaL_optlstring(L, 3, NULL, &files.vocab.size);
  files.vocab.where = where;
  files.merges.text = luaL_optlstring(L, 4, NULL, &files.merges.size);
  files.merges.where = luaL_optstring(L, 5, where);
  HfTokenizer **box = hfL_newbox(L, HFL_TOKENIZER);
  *box = hf_tokenizer_from_json(text, size, files.vocab.text ? &files : NULL, where, &err);
  return *box ? 1 : hfL_raise(L, &err);
}

/* ---- texts from Lua */

/* Texts of a call. The strings stay alive in the tables on the stack, the arrays in userdata. */
typedef struct Texts {
  HfInput *items;
  size_t *starts; /* for words: where each sequence begins */
  size_t count, sequences;
} Texts;

static const char wrong_text[] = "text input must be of type `str` (single example), `list[str]` (batch or single pretokenized example) or "
                                 "`list[list[str]]` (batch of pretokenized examples); found %s";

/* A plain table in place of a column that makes its values when asked. */
static void make_plain(lua_State *L, int idx) {
  if (lua_type(L, idx) == LUA_TTABLE && !lua_getmetatable(L, idx)) return;
  if (lua_type(L, idx) == LUA_TTABLE) lua_pop(L, 1);
  lua_Integer count = luaL_len(L, idx);
  lua_createtable(L, count < INT32_MAX ? (int)count : 0, 0);
  for (lua_Integer i = 1; i <= count; i++) lua_geti(L, idx, i), lua_rawseti(L, -2, i);
  lua_replace(L, idx);
}

static bool is_list(lua_State *L, int idx) {
  int type = lua_type(L, idx);
  return type == LUA_TTABLE || (type == LUA_TUSERDATA && !hfL_is_null(L, idx));
}

/* Type of the first element of the list at idx; LUA_TNIL when it is empty. */
static int first_type(lua_State *L, int idx) {
  int type = lua_geti(L, idx, 1);
  bool list = is_list(L, -1);
  lua_pop(L, 1);
  return list ? LUA_TTABLE : type;
}

static void read_text(lua_State *L, int idx, HfInput *out, lua_Integer row) {
  if (lua_type(L, idx) != LUA_TSTRING)
    hfL_errorf(L, "tokenizer: row %lld: expected a string, found %s", (long long)row, hfL_is_null(L, idx) ? "null" : luaL_typename(L, idx));
  out->bytes = lua_tolstring(L, idx, &out->size);
}

/* The strings of the list at idx, every `step`-th place of `out`. */
static void read_list(lua_State *L, int idx, HfInput *out, size_t step, size_t count) {
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, idx, (lua_Integer)i + 1);
    read_text(L, -1, &out[i * step], (lua_Integer)i + 1);
    lua_pop(L, 1);
  }
}

static void *new_array(lua_State *L, size_t count, size_t size) {
  if (count > SIZE_MAX / 4 / size) hfL_errorf(L, "tokenizer: too many texts");
  return lua_newuserdatauv(L, count * size + 1, 0);
}

/* One list of texts per side. Side tables are at text_idx and pair_idx (0: none). */
static void collect_texts(lua_State *L, int text_idx, int pair_idx, Texts *out) {
  size_t rows = lua_rawlen(L, text_idx), sides = pair_idx ? 2 : 1;
  out->items = new_array(L, rows * sides, sizeof *out->items);
  read_list(L, text_idx, out->items, sides, rows);
  if (pair_idx) read_list(L, pair_idx, out->items + 1, sides, rows);
  out->count = out->sequences = rows * sides;
}

/* {{a, b}, ...}: pairs in one list. */
static void collect_pairs(lua_State *L, int idx, Texts *out) {
  size_t rows = lua_rawlen(L, idx);
  out->items = new_array(L, 2 * rows, sizeof *out->items);
  for (size_t i = 0; i < rows; i++) {
    lua_rawgeti(L, idx, (lua_Integer)i + 1);
    if (lua_type(L, -1) != LUA_TTABLE || lua_rawlen(L, -1) != 2)
      hfL_errorf(L, "tokenizer: row %zu: expected a pair of texts (pre-split words need is_split_into_words=true)", i + 1);
    read_list(L, lua_absindex(L, -1), out->items + 2 * i, 1, 2);
    lua_pop(L, 1);
  }
  out->count = out->sequences = 2 * rows;
}

/* Pushes list i of the words at idx, a plain table; a single sequence is itself. */
static void push_words(lua_State *L, int idx, bool single, size_t i) {
  if (single) lua_pushvalue(L, idx);
  else lua_rawgeti(L, idx, (lua_Integer)i + 1);
  if (!is_list(L, -1)) hfL_errorf(L, "tokenizer: row %zu: expected a list of words, found %s", i + 1, luaL_typename(L, -1));
  if (lua_type(L, -1) != LUA_TTABLE) hfL_errorf(L, "tokenizer: row %zu: expected a plain list of words", i + 1);
}

static void collect_words(lua_State *L, int text_idx, int pair_idx, bool single, Texts *out) {
  size_t rows = single ? 1 : lua_rawlen(L, text_idx), sides = pair_idx ? 2 : 1, at = 0;
  out->starts = new_array(L, rows * sides + 1, sizeof *out->starts);
  for (size_t i = 0; i < rows * sides; i++) {
    push_words(L, i % sides ? pair_idx : text_idx, single, i / sides);
    out->starts[i] = at;
    at += lua_rawlen(L, -1);
    lua_pop(L, 1);
  }
  out->starts[rows * sides] = at;
  out->items = new_array(L, at, sizeof *out->items);
  for (size_t i = 0; i < rows * sides; i++) {
    push_words(L, i % sides ? pair_idx : text_idx, single, i / sides);
    read_list(L, lua_absindex(L, -1), out->items + out->starts[i], 1, out->starts[i + 1] - out->starts[i]);
    lua_pop(L, 1);
  }
  out->count = at;
  out->sequences = rows * sides;
}

static void check_pair(lua_State *L, int text_idx, int pair_idx, bool batched) {
  if (!pair_idx) return;
  if (batched != is_list(L, pair_idx))
    hfL_errorf(L, batched ? "when tokenizing batches of text, `text_pair` must be a list with the same length as `text`"
                          : "when tokenizing one text, `text_pair` must be one text too");
  if (batched && lua_rawlen(L, text_idx) != lua_rawlen(L, pair_idx))
    hfL_errorf(L, "batch length of `text`: %zu does not match batch length of `text_pair`: %zu", (size_t)lua_rawlen(L, text_idx), (size_t)lua_rawlen(L, pair_idx));
}

/* Reads text and pair (arguments 2 and 3) into `out`. Returns whether they are a batch; *sides: 1 or 2. */
static bool collect(lua_State *L, bool split, Texts *out, HfInput few[2], int *sides) {
  int pair_idx = lua_isnoneornil(L, 3) || hfL_is_null(L, 3) ? 0 : 3;
  *sides = pair_idx ? 2 : 1;
  if (lua_type(L, 2) == LUA_TSTRING && !split) {
    check_pair(L, 2, pair_idx, false);
    read_text(L, 2, &few[0], 1);
    if (pair_idx) read_text(L, 3, &few[1], 1);
    /* An empty second text is no text, as in Python. */
    if (pair_idx && !few[1].size) *sides = 1;
    out->items = few;
    out->count = out->sequences = (size_t)*sides;
    return false;
  }
  if (!is_list(L, 2)) hfL_errorf(L, wrong_text, hfL_is_null(L, 2) ? "null" : luaL_typename(L, 2));
  make_plain(L, 2);
  if (pair_idx && is_list(L, 3)) make_plain(L, 3);
  int first = first_type(L, 2);
  bool batched = !split || first == LUA_TTABLE;
  if (split) {
    if (pair_idx && !is_list(L, 3)) hfL_errorf(L, "is_split_into_words: `text_pair` must be a list of words too");
    if (batched) check_pair(L, 2, pair_idx, true);
    collect_words(L, 2, pair_idx, !batched, out);
  } else if (first == LUA_TTABLE && !pair_idx) {
    *sides = 2;
    collect_pairs(L, 2, out);
  } else {
    check_pair(L, 2, pair_idx, true);
    collect_texts(L, 2, pair_idx, out);
  }
  return batched;
}

/* ---- encode */

/* Bits of argument 4. */
enum { ADD_SPECIAL = 1, SPLIT_SPECIAL = 2, DETAILED = 4, TRUNCATE_LEFT = 8, OVERFLOW = 16, PAD_LEFT = 32, SPLIT_WORDS = 64 };

static HfEncodeOptions read_options(lua_State *L, lua_Integer bits) {
  return (HfEncodeOptions){
    .add_special_tokens = bits & ADD_SPECIAL, .split_special_tokens = bits & SPLIT_SPECIAL, .detailed = bits & DETAILED,
    .truncate_left = bits & TRUNCATE_LEFT, .overflow = bits & OVERFLOW, .pad_left = bits & PAD_LEFT,
    .truncation = (HfTruncation)luaL_optinteger(L, 5, 0), .max_length = (size_t)luaL_optinteger(L, 6, 0),
    .stride = (size_t)luaL_optinteger(L, 7, 0), .padding = (HfPadding)luaL_optinteger(L, 8, 0),
    .pad_length = (size_t)luaL_optinteger(L, 9, 0), .pad_multiple = (size_t)luaL_optinteger(L, 10, 0),
    .pad_id = (int32_t)luaL_optinteger(L, 11, 0), .pad_type_id = (uint8_t)luaL_optinteger(L, 12, 0)};
}

/* encode(text, pair, bits, truncation, max_length, stride, padding, pad_length, pad_multiple, pad_id, pad_type_id):
 * the encoding, and whether it is a batch. The numbers are checked by the caller. */
static int encode(lua_State *L) {
  HfError err;
  HfTokenizer *t = check_tokenizer(L);
  lua_settop(L, 12);
  lua_Integer bits = luaL_checkinteger(L, 4);
  HfEncodeOptions options = read_options(L, bits);
  Texts texts = {0};
  HfInput few[2];
  int sides;
  bool batched = collect(L, bits & SPLIT_WORDS, &texts, few, &sides);
  HfBatchInput in = {texts.items, texts.starts, texts.sequences / (size_t)sides, sides};
  size_t bytes;
  void *block;
  if (!hf_tokenizer_encode_prepare(t, &in, &options, &bytes, &err)) return hfL_raise(L, &err);
  HfEncoding *out = hfL_new_encoding(L, bytes, &block);
  hf_tokenizer_encode_write(t, &in, &options, block, out);
  lua_pushboolean(L, batched);
  return 2;
}

/* ---- tokens and ids */

static int token_id(lua_State *L) {
  size_t size;
  const char *token = luaL_checklstring(L, 2, &size);
  int32_t id = hf_tokenizer_id(check_tokenizer(L), token, size);
  if (id < 0) lua_pushnil(L);
  else lua_pushinteger(L, id);
  return 1;
}

static int token_text(lua_State *L) {
  size_t size;
  const char *token = hf_tokenizer_token(check_tokenizer(L), luaL_checkinteger(L, 2), &size);
  if (token) lua_pushlstring(L, token, size);
  else lua_pushnil(L);
  return 1;
}

static void set_id(lua_State *L, const char *token, size_t size, int64_t id) {
  lua_pushlstring(L, token, size);
  lua_pushinteger(L, id);
  lua_rawset(L, -3);
}

/* vocab(): a table from token to id. */
static int vocab(lua_State *L) {
  HfTokenizer *t = check_tokenizer(L);
  lua_createtable(L, 0, (int)hf_tokenizer_vocab_size(t, true));
  for (size_t id = 0; id < t->model.vocab.limit; id++) {
    size_t size;
    const char *token = hf_vocab_token(&t->model.vocab, (int64_t)id, &size);
    if (token) set_id(L, token, size, (int64_t)id);
  }
  for (size_t i = 0; i < t->added.count; i++) set_id(L, t->added.items[i].content, t->added.items[i].size, t->added.items[i].id);
  return 1;
}

/* vocab_size(with_added) */
static int vocab_size(lua_State *L) {
  return lua_pushinteger(L, (lua_Integer)hf_tokenizer_vocab_size(check_tokenizer(L), lua_toboolean(L, 2))), 1;
}

static int special_count(lua_State *L) {
  return lua_pushinteger(L, (lua_Integer)hf_tokenizer_special_count(check_tokenizer(L), lua_toboolean(L, 2))), 1;
}

/* template(pair): the parts of the template: -1 for A, -2 for B, else the id of a special token. */
static int template_parts(lua_State *L) {
  const HfTokenizer *t = check_tokenizer(L);
  const HfTemplate *template = lua_toboolean(L, 2) ? &t->post_processor.pair : &t->post_processor.single;
  lua_createtable(L, (int)template->count, 0);
  for (size_t i = 0; i < template->count; i++) {
    HfTemplatePart part = template->parts[i];
    lua_pushinteger(L, part.sequence >= 0 ? -1 - part.sequence : part.id);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* ---- added tokens */

static HfAddedToken read_added(lua_State *L, int idx) {
  HfAddedToken token = {0};
  luaL_checktype(L, idx, LUA_TTABLE);
  if (lua_getfield(L, idx, "content") != LUA_TSTRING) hfL_errorf(L, "added token: content: expected a string, found %s", luaL_typename(L, -1));
  token.content = (char *)lua_tolstring(L, -1, &token.size); /* stays in the table */
  lua_pop(L, 1);
  size_t bad;
  if (!hf_utf8_valid(token.content, token.size, &bad)) hfL_errorf(L, "added token: content: expected UTF-8, found a wrong byte at %zu", bad);
  if (memchr(token.content, 0, token.size)) hfL_errorf(L, "added token: content: a NUL byte is not allowed");
  token.special = hfL_opt_boolean(L, idx, "special", 0);
  token.normalized = hfL_opt_boolean(L, idx, "normalized", !token.special);
  token.single_word = hfL_opt_boolean(L, idx, "single_word", 0);
  token.lstrip = hfL_opt_boolean(L, idx, "lstrip", 0);
  token.rstrip = hfL_opt_boolean(L, idx, "rstrip", 0);
  return token;
}

/* add_tokens(list): how many are new. */
static int add_tokens(lua_State *L) {
  HfError err;
  HfTokenizer *t = check_tokenizer(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  size_t count = lua_rawlen(L, 2), added;
  HfAddedToken *tokens = new_array(L, count, sizeof *tokens);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    tokens[i] = read_added(L, lua_absindex(L, -1));
    lua_pop(L, 1);
  }
  if (!hf_tokenizer_add_tokens(t, tokens, count, &added, &err)) return hfL_raise(L, &err);
  return lua_pushinteger(L, (lua_Integer)added), 1;
}

static void set_flag(lua_State *L, const char *name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

/* added_tokens(): a list of {id, content, special, ...}. */
static int added_tokens(lua_State *L) {
  const HfAddedTokens *list = &check_tokenizer(L)->added;
  lua_createtable(L, (int)list->count, 0);
  for (size_t i = 0; i < list->count; i++) {
    const HfAddedToken *token = &list->items[i];
    lua_createtable(L, 0, 7);
    lua_pushlstring(L, token->content, token->size);
    lua_setfield(L, -2, "content");
    lua_pushinteger(L, token->id);
    lua_setfield(L, -2, "id");
    set_flag(L, "special", token->special);
    set_flag(L, "normalized", token->normalized);
    set_flag(L, "single_word", token->single_word);
    set_flag(L, "lstrip", token->lstrip);
    set_flag(L, "rstrip", token->rstrip);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* set_normalizer_option(type, option, value): value nil is null. */
static int set_normalizer_option(lua_State *L) {
  HfError err;
  int value = lua_isnoneornil(L, 4) ? -1 : lua_toboolean(L, 4);
  if (!hf_tokenizer_set_normalizer_option(check_tokenizer(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3), value, &err)) return hfL_raise(L, &err);
  return 0;
}

/* set_part(name, json): replaces a part of tokenizer.json. */
static int set_part(lua_State *L) {
  static const char *const parts[] = {"normalizer", "pre_tokenizer", "post_processor", "decoder", NULL};
  HfError err;
  size_t size;
  const char *part = parts[luaL_checkoption(L, 2, NULL, parts)], *json = luaL_checklstring(L, 3, &size);
  if (!hf_tokenizer_set_part(check_tokenizer(L), part, json, size, &err)) return hfL_raise(L, &err);
  return 0;
}

/* ---- text from ids */

/* A growing text that Lua frees when an error is raised. */
static int text_gc(lua_State *L) { return hf_buffer_free(lua_touserdata(L, 1)), 0; }
static int strings_gc(lua_State *L) { return hf_strings_free(lua_touserdata(L, 1)), 0; }

static void *new_owned(lua_State *L, const char *name, size_t size) {
  void *data = lua_newuserdatauv(L, size, 0);
  memset(data, 0, size);
  luaL_setmetatable(L, name);
  return data;
}
static HfBuffer *new_text(lua_State *L) { return new_owned(L, "hflua.tokenizer_text", sizeof(HfBuffer)); }

static int push_text(lua_State *L, HfBuffer *text) { return lua_pushlstring(L, text->data ? text->data : "", text->size), hf_buffer_free(text), 1; }

/* The ids at idx: one number or a plain list of them. */
static int64_t *read_ids(lua_State *L, int idx, size_t *count) {
  bool one = lua_type(L, idx) == LUA_TNUMBER;
  if (!one) luaL_checktype(L, idx, LUA_TTABLE);
  *count = one ? 1 : lua_rawlen(L, idx);
  int64_t *ids = new_array(L, *count, sizeof *ids);
  for (size_t i = 0; i < *count; i++) {
    int whole;
    if (one) lua_pushvalue(L, idx);
    else lua_rawgeti(L, idx, (lua_Integer)i + 1);
    ids[i] = lua_tointegerx(L, -1, &whole);
    if (!whole || lua_type(L, -1) != LUA_TNUMBER) hfL_errorf(L, "decode: id %zu: expected a whole number, found %s", i + 1, luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  return ids;
}

/* decode(ids, skip_special) */
static int decode(lua_State *L) {
  HfError err;
  HfTokenizer *t = check_tokenizer(L);
  size_t count;
  int64_t *ids = read_ids(L, 2, &count);
  HfBuffer *text = new_text(L);
  if (!hf_tokenizer_decode(t, ids, count, lua_toboolean(L, 3), text, &err)) return hfL_raise(L, &err);
  return push_text(L, text);
}

/* join(tokens): the text of a list of tokens. */
static int join(lua_State *L) {
  HfError err;
  HfTokenizer *t = check_tokenizer(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  HfStrings *tokens = new_owned(L, "hflua.tokenizer_strings", sizeof *tokens);
  HfBuffer *text = new_text(L);
  for (size_t i = 0; i < lua_rawlen(L, 2); i++) {
    HfInput token;
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    read_text(L, -1, &token, (lua_Integer)i + 1);
    if (!hf_strings_add(tokens, token.bytes, token.size, &err)) return hfL_raise(L, &err);
    lua_pop(L, 1);
  }
  if (!hf_tokenizer_join(t, tokens, text, &err)) return hfL_raise(L, &err);
  return push_text(L, text);
}

/* clean_up(text): without the spaces that tokenization puts before punctuation. */
static int clean_up(lua_State *L) {
  HfError err;
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  HfBuffer *out = new_text(L);
  if (!hf_clean_up_spaces(text, size, false, out, &err)) return hfL_raise(L, &err);
  return push_text(L, out);
}

/* to_json(): the text of tokenizer.json. */
static int to_json(lua_State *L) {
  HfError err;
  HfBuffer *out = new_text(L);
  if (!hf_tokenizer_write_json(check_tokenizer(L), out, &err)) return hfL_raise(L, &err);
  return push_text(L, out);
}

/* part(name): the JSON of a part of tokenizer.json. */
static int part(lua_State *L) {
  HfError err;
  HfBuffer *out = new_text(L);
  if (!hf_tokenizer_write_part(check_tokenizer(L), luaL_checkstring(L, 2), out, &err)) return hfL_raise(L, &err);
  return push_text(L, out);
}

/* What normalize and pre_tokenize work with; freed by Lua when an error is raised. */
typedef struct Stage {
  HfPieces pieces, spare;
  HfNormalizerScratch scratch;
} Stage;

static int stage_gc(lua_State *L) {
  Stage *stage = lua_touserdata(L, 1);
  hf_pieces_free(&stage->pieces);
  hf_pieces_free(&stage->spare);
  hf_normalizer_scratch_free(&stage->scratch);
  return 0;
}

static HfInput check_text(lua_State *L) {
  HfInput text;
  size_t bad;
  text.bytes = luaL_checklstring(L, 2, &text.size);
  if (!hf_utf8_valid(text.bytes, text.size, &bad)) hfL_errorf(L, "tokenizer: text is not UTF-8: byte 0x%02x at %zu", (unsigned char)text.bytes[bad], bad);
  return text;
}

/* normalize(text): what the normalizers make of it. */
static int normalize(lua_State *L) {
  HfError err;
  HfTokenizer *t = check_tokenizer(L);
  HfInput text = check_text(L);
  Stage *stage = new_owned(L, "hflua.tokenizer_stage", sizeof *stage);
  HfText *out = &stage->pieces.text;
  if (!hf_normalizers_apply(&t->normalizers, (HfSpan){text.bytes, text.size, NULL}, out, &stage->scratch, &err)) return hfL_raise(L, &err);
  return lua_pushlstring(L, out->bytes ? out->bytes : "", out->size), 1;
}

static void push_piece(lua_State *L, HfSpan span) {
  lua_createtable(L, 3, 0);
  lua_pushlstring(L, span.bytes, span.size);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, span.origin[0]);
  lua_rawseti(L, -2, 2);
  lua_pushinteger(L, (lua_Integer)span.origin[span.size - 1] + 1);
  lua_rawseti(L, -2, 3);
}

/* pre_tokenize(text): a list of { piece, first character, character behind the last }, without normalizing. */
static int pre_tokenize(lua_State *L) {
  HfError err;
  HfTokenizer *t = check_tokenizer(L);
  HfInput text = check_text(L);
  Stage *stage = new_owned(L, "hflua.tokenizer_stage", sizeof *stage);
  HfPieces *pieces = &stage->pieces;
  hf_pieces_clear(pieces, true);
  if (!hf_text_append_original(&pieces->text, text.bytes, text.size, 0, &err) || !hf_piece_add(&pieces->list, 0, text.size, -1, &err) ||
      !hf_pre_tokenizers_apply(&t->pre_tokenizers, pieces, &stage->spare, &err))
    return hfL_raise(L, &err);
  lua_createtable(L, (int)pieces->list.count, 0);
  for (size_t i = 0; i < pieces->list.count; i++) {
    push_piece(L, hf_text_span(&pieces->text, pieces->list.items[i].begin, pieces->list.items[i].end));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* Writes what `append` makes of the tokenizer to the path at 2. */
static int save_text(lua_State *L, bool (*append)(const HfTokenizer *, HfBuffer *, HfError *)) {
  HfError err;
  const char *path = hfL_check_path(L, 2);
  HfBuffer *out = new_text(L);
  if (!append(check_tokenizer(L), out, &err) || !hf_file_write(path, out->data, out->size, &err)) return hfL_raise(L, &err);
  return hf_buffer_free(out), 0;
}

/* save(path): tokenizer.json; save_vocabulary(path): vocab.json or vocab.txt; save_merges(path): merges.txt. */
static int save(lua_State *L) { return save_text(L, hf_tokenizer_write_json); }
static int save_vocabulary(lua_State *L) { return save_text(L, hf_tokenizer_write_vocabulary); }
static int save_merges(lua_State *L) { return save_text(L, hf_tokenizer_write_merges); }

/* model_type(): "BPE", "WordPiece" ... */
static int model_type(lua_State *L) { return lua_pushstring(L, check_tokenizer(L)->model.kind->type), 1; }

/* id_limit(): the largest id + 1. */
static int id_limit(lua_State *L) { return lua_pushinteger(L, hf_tokenizer_id_limit(check_tokenizer(L))), 1; }

static const luaL_Reg methods[] = {
  {"__gc", tokenizer_gc}, {"__close", tokenizer_gc}, {"encode", encode}, {"id", token_id}, {"token", token_text},
  {"vocab", vocab}, {"vocab_size", vocab_size}, {"special_count", special_count}, {"template", template_parts},
  {"add_tokens", add_tokens}, {"added_tokens", added_tokens}, {"set_normalizer_option", set_normalizer_option},
  {"part", part}, {"set_part", set_part},
  {"decode", decode}, {"join", join}, {"to_json", to_json}, {"save", save},
  {"save_vocabulary", save_vocabulary}, {"save_merges", save_merges}, {"model_type", model_type},
  {"id_limit", id_limit}, {"normalize", normalize}, {"pre_tokenize", pre_tokenize}, {NULL, NULL}};

static void register_owned(lua_State *L, const char *name, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

int luaopen_hflua_core_tokenizer(lua_State *L);
int luaopen_hflua_core_tokenizer(lua_State *L) {
  static const luaL_Reg functions[] = {{"from_json", from_json}, {"clean_up", clean_up}, {NULL, NULL}};
  hfL_newclass(L, HFL_TOKENIZER, methods);
  register_owned(L, "hflua.tokenizer_text", text_gc);
  register_owned(L, "hflua.tokenizer_strings", strings_gc);
  register_owned(L, "hflua.tokenizer_stage", stage_gc);
  hfL_register_encoding(L);
  luaL_newlib(L, functions);
  return 1;
}
