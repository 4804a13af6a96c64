/* hf.json: text to Lua values (decode). Writing is in lua_json_encode.c, tables that know their order in
 * lua_json_table.c.
 *
 *   json.decode(text)               null -> hf.null; objects keep the order of their names for pairs and encode
 *   json.load_file(path)
 *   json.encode(value[, options])   indent, sort_keys, ensure_ascii, separators: as in Python
 *   json.save_file(value, path[, options])
 *   json.array(t)                   t, written as [] even when it is empty
 *   json.ordered(t, names)          t, its names written and walked in this order
 *   json.null
 */
#include "lua_json.h"
#include <string.h>
#include "../../runtime/file.h"
#include "../../runtime/json_scan.h"
#include "../../runtime/lua_aux.h"

#define SCANNER "hflua.json.scanner"

/* The scanner of one decode, owned by a userdata so that any Lua error frees it. */
typedef struct Decoder {
  HfJsonScanner scanner;
  HfBuffer text; /* of a file */
} Decoder;

static int decoder_gc(lua_State *L) {
  Decoder *decoder = luaL_checkudata(L, 1, SCANNER);
  hf_json_scan_end(&decoder->scanner);
  hf_buffer_free(&decoder->text);
  return 0;
}

static Decoder *new_decoder(lua_State *L) {
  Decoder *decoder = lua_newuserdatauv(L, sizeof *decoder, 0);
  memset(decoder, 0, sizeof *decoder);
  luaL_setmetatable(L, SCANNER);
  return decoder;
}

static HfJsonEvent next_event(lua_State *L, HfJsonScanner *s) {
  HfError err;
  HfJsonEvent event = hf_json_next(s, &err);
  if (event == HF_JSON_FAILED) hfL_raise(L, &err);
  return event;
}

static void push_value(lua_State *L, HfJsonScanner *s, HfJsonEvent event);

static void push_array(lua_State *L, HfJsonScanner *s) {
  HfJsonEvent event;
  lua_newtable(L);
  for (lua_Integer i = 1; (event = next_event(L, s)) != HF_JSON_ARRAY_END; i++) {
    push_value(L, s, event);
    lua_rawseti(L, -2, i);
  }
  if (lua_rawlen(L, -1) == 0) hfL_json_mark_array(L, -1);
}

static void push_object(lua_State *L, HfJsonScanner *s) {
  lua_Integer count = 0;
  lua_newtable(L);
  lua_newtable(L); // stack: object, names
  while (next_event(L, s) != HF_JSON_OBJECT_END) {
    lua_pushlstring(L, s->string, s->string_size);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, ++count);
    push_value(L, s, next_event(L, s)); // stack: object, names, name, value
    lua_rawset(L, -4);
  }
  hfL_json_mark_object(L, -2);
}

/* One value, its events taken; the depth is bounded by the scanner. */
static void push_value(lua_State *L, HfJsonScanner *s, HfJsonEvent event) {
  luaL_checkstack(L, 8, "json");
  switch (event) {
    case HF_JSON_OBJECT: push_object(L, s); break;
    case HF_JSON_ARRAY: push_array(L, s); break;
    case HF_JSON_STRING: lua_pushlstring(L, s->string, s->string_size); break;
    case HF_JSON_INTEGER: lua_pushinteger(L, s->integer); break;
    case HF_JSON_NUMBER: lua_pushnumber(L, s->number); break;
    case HF_JSON_NULL: hfL_push_null(L); break;
    default: lua_pushboolean(L, event == HF_JSON_TRUE);
  }
}

/* The whole document; the decoder is done with afterwards. */
static int decode(lua_State *L, Decoder *decoder, const char *text, size_t size, const char *where) {
  HfJsonScanner *s = &decoder->scanner;
  hf_json_scan(s, text, size, where);
  push_value(L, s, next_event(L, s));
  next_event(L, s);
  hf_json_scan_end(s);
  hf_buffer_free(&decoder->text);
  return 1;
}

static int json_decode(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  return decode(L, new_decoder(L), text, size, "json.decode");
}

static int json_load_file(lua_State *L) {
  HfError err;
  const char *path = hfL_check_path(L, 1);
  Decoder *decoder = new_decoder(L);
  if (!hf_file_read(path, &decoder->text, &err)) return hfL_raise(L, &err);
  const char *kind = hf_file_kind(decoder->text.data, decoder->text.size);
  if (kind) return hfL_errorf(L, "%s: expected JSON, found %s", path, kind);
  return decode(L, decoder, decoder->text.data, decoder->text.size, path);
}

int luaopen_hflua_core_json(lua_State *L) {
  static const luaL_Reg decoder_methods[] = {{"__gc", decoder_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
    {"decode", json_decode}, {"load_file", json_load_file}, {"encode", hfL_json_encode}, {"save_file", hfL_json_save_file},
    {"array", hfL_json_array}, {"ordered", hfL_json_ordered}, {NULL, NULL}};
  hfL_newclass(L, SCANNER, decoder_methods);
  hfL_json_open_tables(L);
  hfL_json_open_encoder(L);
  luaL_newlib(L, functions);
  hfL_push_null(L);
  lua_setfield(L, -2, "null");
  return 1;
}
