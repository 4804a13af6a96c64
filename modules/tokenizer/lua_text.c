/* hflua.core.text: Unicode strings for recipes, as Python's str methods of the same names: lower, upper, strip, split,
 * slice (by characters), length; and fullmatch of its module re. Text that is not UTF-8 is an error. */
#include <lauxlib.h>
#include <string.h>
#include <utf8proc.h>
#include "lua_aux.h"
#include "regex.h"
#include "unicode.h"

static const char *check_text(lua_State *L, int idx, const char *name, size_t *size) {
  size_t bad;
  const char *text = luaL_checklstring(L, idx, size);
  if (!hf_utf8_valid(text, *size, &bad)) hfL_errorf(L, "%s: text is not UTF-8: byte 0x%02x at %zu", name, (unsigned char)text[bad], bad);
  return text;
}

/* ---- case */

static bool is_cased(uint32_t code) {
  utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);
  return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT;
}

/* Characters that do not end a word when looking for its final sigma. */
static bool is_case_ignorable(uint32_t code) {
  utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);
  return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_ME || c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_LM ||
         c == UTF8PROC_CATEGORY_SK || code == '\'' || code == '.' || code == ':' || code == 0xB7 || code == 0x2018 || code == 0x2019 || code == 0x2024 || code == 0x2027;
}

#define SIGMA 0x3A3

/* A capital sigma at `at` becomes final when a cased letter stands before it and none behind. */
static uint32_t lower_sigma(const char *text, size_t size, size_t at) {
  uint32_t code = 0;
  size_t before = at, behind = at + 2;
  while (before > 0) {
    before = hf_utf8_back(text, before);
    hf_utf8_decode(text + before, &code);
    if (!is_case_ignorable(code)) break;
    code = 0;
  }
  if (!code || !is_cased(code)) return 0x3C3;
  for (code = 0; behind < size; code = 0) {
    behind += hf_utf8_decode(text + behind, &code);
    if (!is_case_ignorable(code)) break;
  }
  return code && is_cased(code) ? 0x3C3 : 0x3C2;
}

static void add_code(luaL_Buffer *b, uint32_t code) {
  char bytes[4];
  luaL_addlstring(b, bytes, hf_utf8_encode(code, bytes));
}

/* lower(text) */
static int text_lower(lua_State *L) {
  size_t size;
  const char *text = check_text(L, 1, "lower", &size);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t at = 0; at < size;) {
    uint32_t code, lower[3];
    size_t begin = at;
    at += hf_utf8_decode(text + at, &code);
    size_t count = hf_unicode_lower(code, lower);
    if (code == SIGMA) lower[0] = lower_sigma(text, size, begin);
    for (size_t i = 0; i < count; i++) add_code(&b, lower[i]);
  }
  return luaL_pushresult(&b), 1;
}

/* Upper case of one code point; those that become several are found by their case folding. */
static size_t upper_code(uint32_t code, utf8proc_int32_t out[8]) {
  int boundary = 0;
  if (code >= 0x80 && utf8proc_category((utf8proc_int32_t)code) != UTF8PROC_CATEGORY_LU) {
    utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)code, out, 8, UTF8PROC_CASEFOLD, &boundary);
    if (count > 1 && count <= 8) {
      for (utf8proc_ssize_t i = 0; i < count; i++) out[i] = utf8proc_toupper(out[i]);
      return (size_t)count;
    }
  }
  out[0] = utf8proc_toupper((utf8proc_int32_t)code);
  return 1;
}

/* upper(text) */
static int text_upper(lua_State *L) {
  size_t size;
  const char *text = check_text(L, 1, "upper", &size);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t at = 0; at < size;) {
    uint32_t code;
    utf8proc_int32_t upper[8];
    at += hf_utf8_decode(text + at, &code);
    size_t count = upper_code(code, upper);
    for (size_t i = 0; i < count; i++) add_code(&b, (uint32_t)upper[i]);
  }
  return luaL_pushresult(&b), 1;
}

/* ---- white space */

/* Python's str.isspace: Unicode's, and the four separators of ASCII. */
static bool is_space(uint32_t code) { return (code >= 0x1C && code <= 0x1F) || (hf_unicode_set(code) & HF_SPACE); }

static bool is_one_of(uint32_t code, const char *set, size_t size) {
  if (!set) return is_space(code);
  for (size_t at = 0; at < size;) {
    uint32_t other;
    at += hf_utf8_decode(set + at, &other);
    if (other == code) return true;
  }
  return false;
}

/* strip(text[, characters]): without white space, or the characters given, at both ends. */
static int text_strip(lua_State *L) {
  size_t size, set_size = 0, begin = 0;
  const char *text = check_text(L, 1, "strip", &size), *set = lua_isnoneornil(L, 2) ? NULL : check_text(L, 2, "strip", &set_size);
  uint32_t code;
  while (begin < size) {
    size_t step = hf_utf8_decode(text + begin, &code);
    if (!is_one_of(code, set, set_size)) break;
    begin += step;
  }
  while (size > begin) {
    size_t last = hf_utf8_back(text, size);
    hf_utf8_decode(text + last, &code);
    if (!is_one_of(code, set, set_size)) break;
    size = last;
  }
  return lua_pushlstring(L, text + begin, size - begin), 1;
}

static void add_part(lua_State *L, const char *text, size_t size) {
  lua_pushlstring(L, text, size);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void split_spaces(lua_State *L, const char *text, size_t size) {
  size_t begin = 0;
  for (size_t at = 0; at < size;) {
    uint32_t code;
    size_t step = hf_utf8_decode(text + at, &code);
    if (is_space(code)) {
      if (at > begin) add_part(L, text + begin, at - begin);
      begin = at + step;
    }
    at += step;
  }
  if (size > begin) add_part(L, text + begin, size - begin);
}

/* split(text[, separator[, limit]]): the parts between separators (plain text), or the words between white space. */
static int text_split(lua_State *L) {
  size_t size, width = 0;
  const char *text = check_text(L, 1, "split", &size), *separator = luaL_optlstring(L, 2, NULL, &width);
  lua_Integer limit = luaL_optinteger(L, 3, -1);
  lua_newtable(L);
  if (!separator) return split_spaces(L, text, size), 1;
  if (!width) return hfL_errorf(L, "split: empty separator");
  const char *end = text + size, *found;
  while (limit-- != 0 && (found = memmem(text, (size_t)(end - text), separator, width))) {
    add_part(L, text, (size_t)(found - text));
    text = found + width;
  }
  return add_part(L, text, (size_t)(end - text)), 1;
}

/* ---- characters */

/* Byte position of character `index` (0 and up), the size when there are fewer. */
static size_t byte_position(const char *text, size_t size, lua_Integer index) {
  size_t at = 0;
  while (at < size && index-- > 0) at += hf_utf8_size((unsigned char)text[at]);
  return at;
}

/* A position as in Python: negative ones count from the end. */
static lua_Integer clamp(lua_Integer index, lua_Integer count) {
  if (index < 0) index += count;
  return index < 0 ? 0 : index > count ? count : index;
}

/* slice(text, first[, last]): characters first to last - 1, counted from 0 as offsets are; negative: from the end. */
static int text_slice(lua_State *L) {
  size_t size;
  const char *text = check_text(L, 1, "slice", &size);
  lua_Integer count = (lua_Integer)hf_utf8_count(text, size);
  lua_Integer first = clamp(luaL_optinteger(L, 2, 0), count), last = clamp(luaL_optinteger(L, 3, count), count);
  if (last <= first) return lua_pushliteral(L, ""), 1;
  size_t begin = byte_position(text, size, first);
  return lua_pushlstring(L, text + begin, byte_position(text + begin, size - begin, last - first)), 1;
}

/* length(text): characters. */
static int text_length(lua_State *L) {
  size_t size;
  const char *text = check_text(L, 1, "length", &size);
  return lua_pushinteger(L, (lua_Integer)hf_utf8_count(text, size)), 1;
}

/* Does the regular expression match the whole text? The walk keeps nothing that outlives this call. */
static bool matches_whole(const HfRegex *regex, const char *text, size_t size, bool *whole, HfError *err) {
  HfRegexWalk walk;
  bool found = false, ok = hf_regex_walk(&walk, regex, text, size, err) && hf_regex_next(&walk, &found, err);
  *whole = ok && found && walk.begin == 0 && walk.end == size;
  hf_regex_walk_end(&walk);
  return ok;
}

/* An expression that cannot stand by itself could still close the parentheses around it: "a)|(b". */
static bool check_pattern(const char *pattern, size_t size, HfError *err) {
  HfRegex *alone = hf_regex_new(pattern, size, "fullmatch", err);
  hf_regex_free(alone);
  return alone != NULL;
}

/* Pushes the pattern as one that begins and ends where the text does; it may hold zero bytes. */
static const char *push_anchored(lua_State *L, int pattern, size_t *size) {
  lua_pushliteral(L, "\\A(?:");
  lua_pushvalue(L, pattern);
  lua_pushliteral(L, ")\\z");
  lua_concat(L, 3);
  return lua_tolstring(L, -1, size);
}

/* fullmatch(pattern, text): true when the pattern matches all of the text. */
static int text_fullmatch(lua_State *L) {
  size_t pattern_size, anchored_size, size;
  const char *pattern = check_text(L, 1, "fullmatch", &pattern_size), *text = check_text(L, 2, "fullmatch", &size);
  const char *anchored = push_anchored(L, 1, &anchored_size);
  HfError err;
  bool whole = false;
  HfRegex *regex = check_pattern(pattern, pattern_size, &err) ? hf_regex_new(anchored, anchored_size, "fullmatch", &err) : NULL;
  bool ok = regex && matches_whole(regex, text, size, &whole, &err);
  hf_regex_free(regex);
  if (!ok) return hfL_raise(L, &err);
  return lua_pushboolean(L, whole), 1;
}

int luaopen_hflua_core_text(lua_State *L);
int luaopen_hflua_core_text(lua_State *L) {
  static const luaL_Reg functions[] = {{"lower", text_lower}, {"upper", text_upper}, {"strip", text_strip}, {"split", text_split},
                                       {"slice", text_slice}, {"length", text_length}, {"fullmatch", text_fullmatch}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
