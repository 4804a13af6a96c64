/* Encodings in Lua: columns as sequences, as tensors, and packed for datasets. Rows count from 1 here. */
#include "lua_encoding.h"
#include <lauxlib.h>
#include <string.h>
#include "id_column.h"
#include "lua_aux.h"
#include "lua_aux_tensor.h"

typedef enum Column { INPUT_IDS, TOKEN_TYPE_IDS, ATTENTION_MASK, SPECIAL_TOKENS_MASK, OFFSET_MAPPING, LENGTH, SAMPLES } Column;
static const char *const column_names[] = {"input_ids", "token_type_ids", "attention_mask", "special_tokens_mask",
                                           "offset_mapping", "length", "overflow_to_sample_mapping", NULL};

static HfEncoding *check_encoding(lua_State *L) { return luaL_checkudata(L, 1, HFL_ENCODING); }

HfEncoding *hfL_new_encoding(lua_State *L, size_t bytes, void **block) {
  HfEncoding *e = lua_newuserdatauv(L, sizeof *e + bytes, 0);
  *e = (HfEncoding){0};
  *block = e + 1;
  luaL_setmetatable(L, HFL_ENCODING);
  return e;
}

static int encoding_len(lua_State *L) { return lua_pushinteger(L, (lua_Integer)check_encoding(L)->rows), 1; }

static bool is_scalar(Column column) { return column == LENGTH || column == SAMPLES; }

/* The number of a column at token `at`, or of row `at` for the columns of one number per row. */
static inline int64_t value_at(const HfEncoding *e, Column column, size_t at) {
  switch (column) {
  case INPUT_IDS: return e->ids[at];
  case TOKEN_TYPE_IDS: return e->type_ids[at];
  case ATTENTION_MASK: return e->attention[at];
  case SPECIAL_TOKENS_MASK: return e->special[at];
  case LENGTH: return (int64_t)(e->ends[at] - hf_encoding_begin(e, at));
  case SAMPLES: return (int64_t)e->samples[at];
  default: return e->offsets[at / 2][at % 2];
  }
}

static int to_count(size_t count) { return count < INT32_MAX ? (int)count : INT32_MAX; }

static void push_offsets(lua_State *L, const HfEncoding *e, size_t begin, size_t end) {
  lua_createtable(L, to_count(end - begin), 0);
  for (size_t i = begin; i < end; i++) {
    lua_createtable(L, 2, 0);
    for (int side = 0; side < 2; side++) {
      lua_pushinteger(L, e->offsets[i][side]);
      lua_rawseti(L, -2, side + 1);
    }
    lua_rawseti(L, -2, (lua_Integer)(i - begin + 1));
  }
}

static void push_row(lua_State *L, const HfEncoding *e, Column column, size_t row) {
  size_t begin = hf_encoding_begin(e, row), end = e->ends[row];
  if (column == OFFSET_MAPPING) { push_offsets(L, e, begin, end); return; }
  lua_createtable(L, to_count(end - begin), 0);
  int table = lua_gettop(L);
  for (size_t i = begin; i < end; i++) {
    lua_pushinteger(L, value_at(e, column, i));
    lua_rawseti(L, table, (lua_Integer)(i - begin + 1));
  }
}

static Column check_column(lua_State *L, const HfEncoding *e) {
  Column column = (Column)luaL_checkoption(L, 2, NULL, column_names);
  if (column == OFFSET_MAPPING && !e->offsets) hfL_errorf(L, "encoding: offsets were not asked for");
  return column;
}

static size_t check_row(lua_State *L, const HfEncoding *e, int idx) {
  lua_Integer row = luaL_checkinteger(L, idx);
  if (row < 1 || (lua_Unsigned)row > e->rows) hfL_errorf(L, "encoding: row %lld of %zu", (long long)row, e->rows);
  return (size_t)row - 1;
}

/* column(name): a sequence with one entry per row. */
static int encoding_column(lua_State *L) {
  const HfEncoding *e = check_encoding(L);
  Column column = check_column(L, e);
  lua_createtable(L, to_count(e->rows), 0);
  for (size_t row = 0; row < e->rows; row++) {
    if (is_scalar(column)) lua_pushinteger(L, value_at(e, column, row));
    else push_row(L, e, column, row);
    lua_rawseti(L, -2, (lua_Integer)row + 1);
  }
  return 1;
}

/* row(name, i) */
static int encoding_row(lua_State *L) {
  const HfEncoding *e = check_encoding(L);
  Column column = check_column(L, e);
  push_row(L, e, column, check_row(L, e, 3));
  return 1;
}

static void push_or_null(lua_State *L, int64_t value) {
  if (value < 0) hfL_push_null(L);
  else lua_pushinteger(L, value);
}

/* word_ids(i), sequence_ids(i): hf.null at special tokens and padding. */
static int encoding_word_ids(lua_State *L) {
  const HfEncoding *e = check_encoding(L);
  size_t row = check_row(L, e, 2), begin = hf_encoding_begin(e, row);
  if (!e->words) return hfL_errorf(L, "encoding: words were not asked for");
  lua_createtable(L, to_count(e->ends[row] - begin), 0);
  for (size_t i = begin; i < e->ends[row]; i++) push_or_null(L, e->words[i]), lua_rawseti(L, -2, (lua_Integer)(i - begin + 1));
  return 1;
}

static int encoding_sequence_ids(lua_State *L) {
  const HfEncoding *e = check_encoding(L);
  size_t row = check_row(L, e, 2), begin = hf_encoding_begin(e, row);
  lua_createtable(L, to_count(e->ends[row] - begin), 0);
  for (size_t i = begin; i < e->ends[row]; i++) push_or_null(L, e->sequences[i]), lua_rawseti(L, -2, (lua_Integer)(i - begin + 1));
  return 1;
}

/* longest(): tokens of the longest row. */
static int encoding_longest(lua_State *L) {
  const HfEncoding *e = check_encoding(L);
  size_t longest = 0;
  for (size_t row = 0; row < e->rows; row++) {
    size_t length = e->ends[row] - hf_encoding_begin(e, row);
    if (length > longest) longest = length;
  }
  return lua_pushinteger(L, (lua_Integer)longest), 1;
}

/* ---- tensors */

/* True when all rows have the length of the first. */
static bool rectangular(const HfEncoding *e, size_t *length) {
  *length = e->rows ? e->ends[0] : 0;
  for (size_t row = 1; row < e->rows; row++)
    if (e->ends[row] - e->ends[row - 1] != *length) return false;
  return true;
}

/* tensor(name): int64 [rows, length], [rows, length, 2] for offsets, [rows] for one number per row. */
static int encoding_tensor(lua_State *L) {
  HfError err;
  const HfEncoding *e = check_encoding(L);
  Column column = check_column(L, e);
  size_t length, width = column == OFFSET_MAPPING ? 2 : 1;
  if (!rectangular(e, &length) && !is_scalar(column))
    return hfL_errorf(L, "Unable to create tensor, you should probably activate truncation and/or padding with 'padding=true' 'truncation=true' to "
                         "have batched tensors with the same length. Perhaps your features (`%s` in this case) have excessive nesting.", column_names[column]);
  HfTensor **box = hfL_new_tensor(L);
  int64_t shape[3] = {(int64_t)e->rows, (int64_t)length, 2};
  *box = hf_tensor_empty(HF_INT64, is_scalar(column) ? 1 : width == 2 ? 3 : 2, shape, hf_device_cpu(), &err);
  if (!*box) return hfL_raise(L, &err);
  int64_t *numbers = hf_tensor_data(*box);
  size_t count = e->rows * (is_scalar(column) ? 1 : length * width);
  for (size_t i = 0; i < count; i++) numbers[i] = value_at(e, column, i);
  return 1;
}

/* ---- packed columns */

static int id_column_len(lua_State *L) { return lua_pushinteger(L, ((HfIdColumn *)luaL_checkudata(L, 1, HF_ID_COLUMN))->rows), 1; }

/* An id column with room for its arrays behind it. */
static HfIdColumn *new_id_column(lua_State *L, size_t rows, size_t count, bool scalar) {
  size_t heads = scalar ? 0 : (rows + 1) * sizeof(int64_t);
  HfIdColumn *out = lua_newuserdatauv(L, sizeof *out + heads + count * sizeof(int32_t), 0);
  *out = (HfIdColumn){.rows = (int64_t)rows, .offsets = scalar ? NULL : (int64_t *)(out + 1)};
  out->values = (int32_t *)((char *)(out + 1) + heads);
  luaL_setmetatable(L, HF_ID_COLUMN);
  return out;
}

/* packed(name): an id column. */
static int encoding_packed(lua_State *L) {
  const HfEncoding *e = check_encoding(L);
  Column column = check_column(L, e);
  if (column == OFFSET_MAPPING) return hfL_errorf(L, "encoding: offset_mapping has no packed form");
  size_t count = is_scalar(column) || !e->rows ? e->rows : e->ends[e->rows - 1];
  HfIdColumn *out = new_id_column(L, e->rows, count, is_scalar(column));
  for (size_t i = 0; i < count; i++) out->values[i] = (int32_t)value_at(e, column, i);
  for (size_t row = 0; out->offsets && row <= e->rows; row++) out->offsets[row] = row ? (int64_t)e->ends[row - 1] : 0;
  return 1;
}

static const luaL_Reg encoding_methods[] = {
  {"__len", encoding_len}, {"column", encoding_column}, {"row", encoding_row},
  {"word_ids", encoding_word_ids}, {"sequence_ids", encoding_sequence_ids}, {"longest", encoding_longest},
  {"tensor", encoding_tensor}, {"packed", encoding_packed}, {NULL, NULL}};
static const luaL_Reg id_column_methods[] = {{"__len", id_column_len}, {NULL, NULL}};

void hfL_register_encoding(lua_State *L) {
  hfL_newclass(L, HFL_ENCODING, encoding_methods);
  hfL_newclass(L, HF_ID_COLUMN, id_column_methods);
  lua_pop(L, 2);
}
