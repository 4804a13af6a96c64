/* Files in Lua: readers of text files, and our own table files. */
#include <string.h>
#include "arrow.h"
#include "hash.h"
#include "lua_readers.h"
#include "lua_table.h"
#include "parquet.h"
#include "readers.h"
#include "table_file.h"

/* The table just made in the box on the stack top; or nil and the reason. */
static int result(lua_State *L, const HfTable *table, const HfError *err) {
  if (table) return 1;
  lua_pushnil(L);
  lua_pushstring(L, err->message);
  return 2;
}

/* The field as one byte, `fallback` when it is absent, 0 for "". */
static char byte_field(lua_State *L, int idx, const char *field, char fallback) {
  const char *text = hfL_opt_string(L, idx, field, NULL);
  if (!text) return fallback;
  if (strlen(text) > 1 || text[0] == '\n' || text[0] == '\r')
    hfL_errorf(L, "csv: option '%s': expected one character, found '%.20s'", field, text);
  return text[0];
}

/* The list of texts in a field, which holds them; NULL when there is none. Leaves two values on the stack. */
static const char *const *text_list(lua_State *L, int idx, const char *field, int *count) {
  *count = 0;
  if (lua_getfield(L, idx, field) != LUA_TTABLE) return NULL;
  *count = (int)lua_rawlen(L, -1);
  const char **texts = lua_newuserdatauv(L, (size_t)*count * sizeof *texts + 1, 0);
  for (int i = 0; i < *count; i++) {
    lua_rawgeti(L, -2, i + 1);
    texts[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  return texts;
}

/* read_csv(path, { delimiter, quote ("": none), header, null_words, infer, skip_rows, names }) */
static int read_csv(lua_State *L) {
  HfError err;
  const char *path = hfL_check_path(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  HfCsvOptions options = HF_CSV_DEFAULTS;
  options.delimiter = byte_field(L, 2, "delimiter", ',');
  options.quote = byte_field(L, 2, "quote", '"');
  options.header = hfL_opt_boolean(L, 2, "header", 1);
  options.null_words = hfL_opt_boolean(L, 2, "null_words", 1);
  options.infer = hfL_opt_boolean(L, 2, "infer", 1);
  options.skip_rows = hfL_opt_integer(L, 2, "skip_rows", 0);
  if (!options.delimiter || options.delimiter == options.quote) return hfL_errorf(L, "csv: option 'delimiter': expected a character that is not the quote");
  options.names = text_list(L, 2, "names", &options.name_count);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  return result(L, *box = hf_csv_read(path, &options, &err), &err);
}

static int read_jsonl(lua_State *L) {
  HfError err;
  const char *path = hfL_check_path(L, 1);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  return result(L, *box = hf_jsonl_read(path, &err), &err);
}

/* read_lines(path, paragraphs) */
static int read_lines(lua_State *L) {
  HfError err;
  const char *path = hfL_check_path(L, 1);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  return result(L, *box = hf_lines_read(path, lua_toboolean(L, 2), &err), &err);
}

/* The table in the box on the stack top and the features its file tells, as JSON or nil; or nil and the reason. */
static int described(lua_State *L, const HfTable *table, HfBuffer *features, const HfError *err) {
  if (table && features->size) lua_pushlstring(L, features->data, features->size);
  else if (table) lua_pushnil(L);
  hf_buffer_free(features);
  return table ? 2 : result(L, NULL, err);
}

/* read_parquet(path, { columns }): table and features; or nil and the reason. */
static int read_parquet(lua_State *L) {
  HfError err;
  HfBuffer features = {0};
  HfParquetOptions options = {0};
  const char *path = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  options.columns = text_list(L, 2, "columns", &options.column_count);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  *box = hf_parquet_read(path, &options, &features, &err);
  return described(L, *box, &features, &err);
}

/* read_arrow(path): as read_parquet. */
static int read_arrow(lua_State *L) {
  HfError err;
  HfBuffer features = {0};
  const char *path = luaL_checkstring(L, 1);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  *box = hf_arrow_read(path, &features, &err);
  return described(L, *box, &features, &err);
}

static HfCodec check_codec(lua_State *L, int idx) {
  const char *name = luaL_checkstring(L, idx);
  static const HfCodec codecs[] = {HF_CODEC_NONE, HF_CODEC_SNAPPY, HF_CODEC_ZSTD};
  for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
    if (!strcmp(hf_codec_name(codecs[i]), name)) return codecs[i];
  return (HfCodec)hfL_errorf(L, "to_parquet: compression: expected \"snappy\", \"zstd\" or \"uncompressed\", found '%.20s'", name);
}

/* write_parquet(table, path, compression, group_rows, features): true, or nil and the reason. */
static int write_parquet(lua_State *L) {
  HfError err;
  const HfTable *table = hfL_check_table(L, 1);
  HfParquetWriteOptions options = {.codec = check_codec(L, 3), .group_rows = luaL_checkinteger(L, 4), .features = luaL_checkstring(L, 5)};
  if (!hf_parquet_write(table, luaL_checkstring(L, 2), &options, &err)) return result(L, NULL, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* is_utf8(table, column): whether its texts are. */
static int is_utf8(lua_State *L) {
  const HfTable *table = hfL_check_table(L, 1);
  lua_pushboolean(L, hf_column_is_utf8(table->fields[hfL_check_field(L, table, 2)].column));
  return 1;
}

static int load_table(lua_State *L) {
  HfError err;
  const char *path = hfL_check_path(L, 1);
  HfTable **box = hfL_newbox(L, HFL_TABLE);
  return result(L, *box = hf_table_load(path, &err), &err);
}

/* save_table(table, path): true, or nil and the reason. Makes the folder. */
static int save_table(lua_State *L) {
  HfError err;
  const HfTable *table = hfL_check_table(L, 1);
  const char *path = hfL_check_path(L, 2), *slash = strrchr(path, '/');
  lua_pushlstring(L, path, slash ? (size_t)(slash - path) : 0);
  bool ok = (!slash || slash == path || hf_folder_make(lua_tostring(L, -1), &err)) && hf_table_save(table, path, &err);
  if (!ok) return result(L, NULL, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* hash_file(path): the XXH64 of its bytes as text, or nil and the reason. */
static int hash_file(lua_State *L) {
  HfError err;
  HfHash hash;
  const char *path = hfL_check_path(L, 1);
  HfMapping *mapping = hf_file_map(path, &err);
  if (!mapping) return result(L, NULL, &err);
  hf_hash_begin(&hash);
  hf_hash_add(&hash, mapping->data, mapping->size);
  hf_mapping_release(mapping);
  lua_pushfstring(L, "%I", (LUAI_UACINT)hf_hash_end(&hash));
  return 1;
}

const luaL_Reg hfL_reader_functions[] = {
    {"read_csv", read_csv},           {"read_jsonl", read_jsonl}, {"read_lines", read_lines}, {"read_parquet", read_parquet},
    {"read_arrow", read_arrow},       {"load_table", load_table}, {"save_table", save_table}, {"hash_file", hash_file},
    {"write_parquet", write_parquet}, {"is_utf8", is_utf8},       {NULL, NULL},
};
