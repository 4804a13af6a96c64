/* hf.json.encode: Lua values to JSON text. Nothing here raises while it holds memory: the encoder is a userdata. */
#include "lua_json.h"
#include <stdlib.h>
#include <string.h>
#include "../../runtime/file.h"
#include "../../runtime/json_scan.h"
#include "../../runtime/json_write.h"
#include "../../runtime/lua_aux.h"

#define ENCODER "hflua.json.encoder"

/* A field of an object being written; text is borrowed from the table's own key. */
typedef struct Key {
  const char *text; /* NULL: a whole number */
  size_t size;
  lua_Integer number;
  lua_Integer rank; /* in the order of the object; LUA_MAXINTEGER: behind, sorted */
} Key;

/* Where in the value we are, for messages. */
typedef struct Place {
  const struct Place *outer;
  const Key *key;     /* NULL: an element */
  lua_Integer index;
} Place;

typedef struct Encoder {
  lua_State *L;
  HfBuffer out;
  Key *keys; /* of all open objects, innermost last */
  size_t key_count, key_capacity;
  int indent; /* 0: one line */
  bool sort_keys, ensure_ascii;
  const char *item_separator, *key_separator; /* borrowed from the options */
  int depth;
  HfError *err;
} Encoder;

static void finish(Encoder *e) {
  hf_buffer_free(&e->out);
  hf_free(e->keys);
  e->keys = NULL;
}

static int encoder_gc(lua_State *L) {
  finish(luaL_checkudata(L, 1, ENCODER));
  return 0;
}

/* ---- errors */

static void describe_place(const Place *place, HfBuffer *out) {
  char shown[HF_EXCERPT_SIZE];
  if (!place) return;
  describe_place(place->outer, out);
  if (!place->key) hf_buffer_format(out, NULL, "[%lld]", (long long)place->index);
  else if (!place->key->text) hf_buffer_format(out, NULL, "[%lld]", (long long)place->key->number);
  else hf_buffer_format(out, NULL, ".%s", hf_excerpt(shown, place->key->text, place->key->size));
}

/* Puts "json.encode: value.field[3]" in front of the error; always false. */
static bool fail_at(Encoder *e, const Place *place) {
  HfBuffer path = {0};
  char shown[HF_EXCERPT_SIZE];
  describe_place(place, &path);
  hf_error_prefix(e->err, "json.encode: value%s", hf_excerpt(shown, path.data ? path.data : "", path.size));
  hf_buffer_free(&path);
  return false;
}

/* ---- keys */

static bool push_key(Encoder *e, Key key) {
  if (e->key_count == e->key_capacity) {
    size_t capacity = e->key_capacity ? 2 * e->key_capacity : 64;
    Key *keys = hf_realloc(e->keys, capacity * sizeof *keys, "JSON names", e->err);
    if (!keys) return false;
    e->keys = keys;
    e->key_capacity = capacity;
  }
  e->keys[e->key_count++] = key;
  return true;
}

static int compare_names(const void *left, const void *right) {
  const Key *a = left, *b = right;
  if (!a->text || !b->text) return (a->number > b->number) - (a->number < b->number);
  int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
  return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* What the keys of a table are. */
typedef struct KeyCount {
  lua_Integer strings, whole, smallest, largest;
} KeyCount;

/* Gathers the keys of the table on top of the stack. */
static bool gather_keys(Encoder *e, KeyCount *count) {
  lua_State *L = e->L;
  *count = (KeyCount){.smallest = LUA_MAXINTEGER, .largest = LUA_MININTEGER};
  for (lua_pushnil(L); lua_next(L, -2);) {
    Key key = {.rank = LUA_MAXINTEGER};
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
      key.text = lua_tolstring(L, -1, &key.size);
      count->strings++;
    } else if (lua_isinteger(L, -1)) {
      key.number = lua_tointeger(L, -1);
      count->whole++;
      if (key.number < count->smallest) count->smallest = key.number;
      if (key.number > count->largest) count->largest = key.number;
    } else {
      return hf_error_set(e->err, "a table's keys are strings or whole numbers, found a %s", luaL_typename(L, -1));
    }
    if (!push_key(e, key)) return false;
  }
  return true;
}

static int compare_ranks(const void *left, const void *right) {
  const Key *a = left, *b = right;
  return a->rank != b->rank ? (a->rank > b->rank) - (a->rank < b->rank) : compare_names(a, b);
}

/* Sorts the keys of the table on top of the stack: in its order if it has one, else by name. */
static void sort_keys(Encoder *e, Key *keys, size_t count) {
  lua_State *L = e->L;
  if (count) qsort(keys, count, sizeof *keys, compare_names);
  if (e->sort_keys || !hfL_json_push_names(L, -1)) return;
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++, lua_pop(L, 1)) {
    if (lua_type(L, -1) != LUA_TSTRING) continue;
    Key name = {0};
    name.text = lua_tolstring(L, -1, &name.size);
    Key *found = count ? bsearch(&name, keys, count, sizeof name, compare_names) : NULL;
    if (found) found->rank = i;
  }
  lua_pop(L, 2);
  if (count) qsort(keys, count, sizeof *keys, compare_ranks);
}

/* ---- values */

static bool write_value(Encoder *e, const Place *place);

static bool write_text(Encoder *e, const char *text) { return hf_buffer_append(&e->out, text, strlen(text), e->err); }

static bool write_line_break(Encoder *e) {
  if (!e->indent) return true;
  return hf_buffer_format(&e->out, e->err, "\n%*s", e->indent * e->depth, "");
}

/* What stands before item i of a container. */
static bool write_separator(Encoder *e, bool first) {
  return (first || write_text(e, e->item_separator)) && write_line_break(e);
}

static bool write_end(Encoder *e, bool empty, const char *bracket) {
  e->depth--;
  return (empty || write_line_break(e)) && write_text(e, bracket);
}

static bool write_array(Encoder *e, const Place *place) {
  lua_Integer length = (lua_Integer)lua_rawlen(e->L, -1);
  bool done = write_text(e, "[");
  e->depth++;
  for (lua_Integer i = 1; done && i <= length; i++) {
    Place here = {.outer = place, .index = i};
    lua_rawgeti(e->L, -1, i);
    done = write_separator(e, i == 1) && write_value(e, &here);
    lua_pop(e->L, 1);
  }
  return done && write_end(e, length == 0, "]");
}

static bool write_name(Encoder *e, const Key *key) {
  char digits[32];
  int size = key->text ? 0 : lua_integer2str(digits, sizeof digits, key->number);
  bool done = hf_json_write_string(&e->out, key->text ? key->text : digits, key->text ? key->size : (size_t)size, e->ensure_ascii, e->err);
  return done && write_text(e, e->key_separator);
}

static bool write_object(Encoder *e, const Place *place, size_t first) {
  bool done = write_text(e, "{");
  size_t end = e->key_count;
  e->depth++;
  for (size_t i = first; done && i < end; i++) {
    Key key = e->keys[i]; /* the array may move */
    Place here = {.outer = place, .key = &key};
    if (!write_separator(e, i == first) || !write_name(e, &key)) return false;
    if (key.text) lua_pushlstring(e->L, key.text, key.size), lua_rawget(e->L, -2);
    else lua_rawgeti(e->L, -1, key.number);
    done = write_value(e, &here);
    lua_pop(e->L, 1);
  }
  return done && write_end(e, first == end, "}");
}

/* Arrays: marked ones, and tables whose keys are 1..n. Objects: names, or whole numbers with 0 or less among them. */
static bool write_keyed(Encoder *e, const Place *place, size_t first) {
  KeyCount count;
  if (!gather_keys(e, &count)) return fail_at(e, place);
  bool marked = hfL_json_is_array(e->L, -1), array = marked || (count.whole && count.smallest > 0);
  if (array && (count.strings || (count.whole && (count.smallest != 1 || count.largest != count.whole)))) {
    const char *what = count.strings ? "a table with both positions and names" : "a sequence with holes (use null)";
    hf_error_set(e->err, "%s cannot be written", what);
    return fail_at(e, place);
  }
  if (count.strings && count.whole) return hf_error_set(e->err, "a table with both numbers and names as keys cannot be written"), fail_at(e, place);
  if (array) return write_array(e, place);
  sort_keys(e, e->keys + first, e->key_count - first);
  return write_object(e, place, first);
}

static bool write_table(Encoder *e, const Place *place) {
  size_t first = e->key_count;
  if (e->depth == HF_JSON_MAX_DEPTH || !lua_checkstack(e->L, 8)) {
    hf_error_set(e->err, "nested more than %d deep (does it hold itself?)", HF_JSON_MAX_DEPTH);
    return fail_at(e, place);
  }
  bool done = write_keyed(e, place, first);
  e->key_count = first;
  return done;
}

static bool write_number(Encoder *e) {
  if (lua_isinteger(e->L, -1)) return hf_json_write_integer(&e->out, lua_tointeger(e->L, -1), e->err);
  return hf_json_write_number(&e->out, lua_tonumber(e->L, -1), e->err);
}

static bool write_string(Encoder *e) {
  size_t size;
  const char *text = lua_tolstring(e->L, -1, &size);
  return hf_json_write_string(&e->out, text, size, e->ensure_ascii, e->err);
}

static bool write_plain(Encoder *e) {
  lua_State *L = e->L;
  switch (lua_type(L, -1)) {
    case LUA_TNUMBER: return write_number(e);
    case LUA_TSTRING: return write_string(e);
    case LUA_TBOOLEAN: return write_text(e, lua_toboolean(L, -1) ? "true" : "false");
    case LUA_TNIL: return write_text(e, "null");
    default: break;
  }
  if (hfL_is_null(L, -1)) return write_text(e, "null");
  return hf_error_set(e->err, "a %s cannot be written", luaL_typename(L, -1));
}

/* The value on top of the stack, which stays there. */
static bool write_value(Encoder *e, const Place *place) {
  if (lua_istable(e->L, -1)) return write_table(e, place);
  return write_plain(e) || fail_at(e, place);
}

/* ---- for Lua */

/* separators = {item, key}, as in Python. The strings stay in the options. */
static void read_separators(lua_State *L, int options, Encoder *e) {
  e->item_separator = e->indent ? "," : ", ";
  e->key_separator = ": ";
  if (lua_isnoneornil(L, options) || lua_getfield(L, options, "separators") == LUA_TNIL) return;
  luaL_checktype(L, -1, LUA_TTABLE);
  if (lua_geti(L, -1, 1) != LUA_TSTRING || lua_geti(L, -2, 2) != LUA_TSTRING) hfL_errorf(L, "option 'separators': expected two strings");
  e->item_separator = lua_tostring(L, -2);
  e->key_separator = lua_tostring(L, -1);
}

/* Pushes the encoder with the value's text in it. */
static Encoder *encode(lua_State *L, int value, int options, int indent) {
  static const char *const names[] = {"indent", "sort_keys", "ensure_ascii", "separators", NULL};
  HfError err;
  hfL_check_options(L, options, "json.encode", names);
  Encoder *e = lua_newuserdatauv(L, sizeof *e, 0);
  *e = (Encoder){.L = L, .err = &err};
  luaL_setmetatable(L, ENCODER);
  lua_Integer wanted = hfL_opt_integer(L, options, "indent", indent);
  if (wanted < 0 || wanted > 16) hfL_errorf(L, "option 'indent': expected 0 to 16, found %d", (int)wanted);
  e->indent = (int)wanted;
  e->sort_keys = hfL_opt_boolean(L, options, "sort_keys", 0);
  e->ensure_ascii = hfL_opt_boolean(L, options, "ensure_ascii", 0);
  read_separators(L, options, e);
  lua_pushvalue(L, value);
  if (!write_value(e, NULL)) hfL_raise(L, &err);
  return e;
}

/*--- json.encode(value[, {indent=, sort_keys=, ensure_ascii=, separators=}]): text in one line, or indented. */
int hfL_json_encode(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 2);
  Encoder *e = encode(L, 1, 2, 0);
  lua_pushlstring(L, e->out.data, e->out.size);
  finish(e);
  return 1;
}

/*--- json.save_file(value, path[, options]): an indented document (2 unless told) and a line end; complete or not at all. */
int hfL_json_save_file(lua_State *L) {
  HfError err;
  luaL_checkany(L, 1);
  const char *path = hfL_check_path(L, 2);
  lua_settop(L, 3);
  Encoder *e = encode(L, 1, 3, 2);
  bool done = hf_buffer_append(&e->out, "\n", 1, &err) && hf_file_write(path, e->out.data, e->out.size, &err);
  finish(e);
  return done ? 0 : hfL_raise(L, &err);
}

void hfL_json_open_encoder(lua_State *L) {
  static const luaL_Reg methods[] = {{"__gc", encoder_gc}, {NULL, NULL}};
  hfL_newclass(L, ENCODER, methods);
  lua_pop(L, 1);
}
