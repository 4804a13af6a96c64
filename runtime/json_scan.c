/* The strict JSON scanner: grammar, strings and numbers. Names of one object twice are found in json_names.c. */
#include "json_scan.h"
#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json_names.h"
#include "utf8.h"

/* What may come next. */
enum { VALUE, VALUE_OR_END, NAME_OR_END, NAME, COMMA_OR_END, DONE, FAILED };

void hf_json_scan(HfJsonScanner *s, const char *text, size_t size, const char *where) {
  *s = (HfJsonScanner){.text = text, .size = size, .where = where, .state = VALUE};
}

void hf_json_scan_end(HfJsonScanner *s) {
  while (s->depth) hf_json_names_close(s, &s->levels[--s->depth]);
  hf_free(s->names);
  hf_buffer_free(&s->unescaped);
  hf_buffer_free(&s->scratch);
  s->names = NULL;
  s->state = FAILED;
}

/* ---- errors */

HfJsonEvent hf_json_fail(const HfJsonScanner *s, size_t at, HfError *err, const char *format, ...) {
  char what[512];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  size_t line = 1, begin = 0;
  for (size_t i = 0; i < at && i < s->size; i++)
    if (s->text[i] == '\n') line++, begin = i + 1;
  hf_error_set(err, "%s: line %zu, column %zu: %s", s->where, line, at - begin + 1, what);
  return HF_JSON_FAILED;
}

/* "expected EXPECTED, found ..." at the scanner's place. */
static HfJsonEvent unexpected(const HfJsonScanner *s, HfError *err, const char *expected) {
  if (s->at >= s->size) return hf_json_fail(s, s->size, err, "expected %s, found the end of the text", expected);
  const char *here = s->text + s->at;
  size_t left = s->size - s->at, length = 1;
  if (s->at == 0 && left >= 3 && !memcmp(here, "\xEF\xBB\xBF", 3)) return hf_json_fail(s, 0, err, "expected %s, found a byte order mark (save it as UTF-8 without one)", expected);
  while (length < left && length < 16 && !strchr(" \t\r\n,:]}\"", here[length])) length++;
  if (*here & 0x80) length = 1;
  char found[HF_EXCERPT_SIZE];
  if (length == 1 && (*here & 0x80)) return hf_json_fail(s, s->at, err, "expected %s, found byte 0x%02x", expected, (unsigned char)*here);
  return hf_json_fail(s, s->at, err, "expected %s, found '%s'", expected, hf_excerpt(found, here, length));
}

/* ---- strings */

/* The four hexadecimal digits at `at`, or -1. */
static int32_t hex4(const HfJsonScanner *s, size_t at) {
  int32_t value = 0;
  if (s->size - at < 4) return -1;
  for (size_t i = at; i < at + 4; i++) {
    char c = s->text[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/* \uXXXX with the scanner behind the u; a high surrogate takes its other half along. */
static bool scan_unicode_escape(HfJsonScanner *s, HfError *err) {
  size_t start = s->at - 2;
  int32_t c = hex4(s, s->at), low = 0;
  if (c < 0) return hf_json_fail(s, start, err, "expected four hexadecimal digits after \\u");
  s->at += 4;
  if (c >= 0xD800 && c < 0xDC00) {
    bool pair = s->size - s->at >= 6 && s->text[s->at] == '\\' && s->text[s->at + 1] == 'u';
    low = pair ? hex4(s, s->at + 2) : -1;
    if (low < 0xDC00 || low > 0xDFFF) return hf_json_fail(s, start, err, "lone surrogate \\u%04x", (unsigned)c);
    s->at += 6;
    c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
  }
  if (c >= 0xDC00 && c < 0xE000) return hf_json_fail(s, start, err, "lone surrogate \\u%04x", (unsigned)c);
  char bytes[4];
  return hf_buffer_append(&s->scratch, bytes, hf_utf8_encode(bytes, (uint32_t)c), err);
}

/* With the scanner at a backslash. */
static bool scan_escape(HfJsonScanner *s, HfError *err) {
  static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
  size_t start = s->at++;
  if (s->at == s->size) return true; /* the string does not end: told by the caller */
  char c = s->text[s->at++];
  if (c == 'u') return scan_unicode_escape(s, err);
  const char *name = c ? strchr(names, c) : NULL;
  if (name) return hf_buffer_append(&s->scratch, &values[name - names], 1, err);
  char shown[HF_EXCERPT_SIZE];
  return hf_json_fail(s, start, err, "unknown escape '\\%s'", hf_excerpt(shown, &c, (unsigned char)c < 0x80));
}

/* The scanner behind the plain bytes at its place; false at a byte that may not stand there. */
static bool scan_plain(HfJsonScanner *s, HfError *err) {
  size_t at = s->at;
  for (unsigned char c; at < s->size && (c = (unsigned char)s->text[at]) != '"' && c != '\\';) {
    size_t length = c < 0x20 ? 0 : c < 0x80 ? 1 : hf_utf8_length(s->text + at, s->size - at);
    if (!length && c < 0x20) return hf_json_fail(s, at, err, "raw control byte 0x%02x in a string (write \\u%04x)", c, c);
    if (!length) return hf_json_fail(s, at, err, "invalid UTF-8: byte 0x%02x", c);
    at += length;
  }
  s->at = at;
  return true;
}

/* With the scanner at the opening quote: string and string_size. *escaped tells whether the text differs from it. */
static bool scan_string(HfJsonScanner *s, bool *escaped, HfError *err) {
  size_t open = s->at++;
  s->scratch.size = 0;
  *escaped = false;
  for (;;) {
    size_t plain = s->at;
    if (!scan_plain(s, err) || !hf_buffer_append(&s->scratch, s->text + plain, s->at - plain, err)) return false;
    if (s->at >= s->size) return hf_json_fail(s, open, err, "a string that begins here does not end");
    if (s->text[s->at] == '"') break;
    *escaped = true;
    if (!scan_escape(s, err)) return false;
  }
  s->at++;
  s->string = s->scratch.data;
  s->string_size = s->scratch.size;
  return true;
}

/* ---- numbers */

static size_t scan_digits(HfJsonScanner *s) {
  size_t first = s->at;
  while (s->at < s->size && s->text[s->at] >= '0' && s->text[s->at] <= '9') s->at++;
  return s->at - first;
}

static bool scan_one_of(HfJsonScanner *s, const char *characters) {
  bool found = s->at < s->size && s->text[s->at] && strchr(characters, s->text[s->at]);
  s->at += found;
  return found;
}

/* The grammar of numbers; *whole tells that there is neither fraction nor exponent. */
static bool scan_number_text(HfJsonScanner *s, bool *whole, HfError *err) {
  scan_one_of(s, "-");
  size_t first = s->at, digits = scan_digits(s);
  if (!digits) return unexpected(s, err, "a digit");
  if (digits > 1 && s->text[first] == '0') return hf_json_fail(s, first, err, "a number may not begin with 0 before another digit");
  *whole = true;
  if (scan_one_of(s, ".")) {
    *whole = false;
    if (!scan_digits(s)) return unexpected(s, err, "a digit after the decimal point");
  }
  if (scan_one_of(s, "eE")) {
    *whole = false;
    scan_one_of(s, "+-");
    if (!scan_digits(s)) return unexpected(s, err, "a digit in the exponent");
  }
  return true;
}

static locale_t plain_locale; /* a script may have set another decimal point */
static pthread_once_t plain_locale_once = PTHREAD_ONCE_INIT;

static void make_plain_locale(void) { plain_locale = newlocale(LC_ALL_MASK, "C", NULL); }

double hf_json_to_double(const char *text) {
  pthread_once(&plain_locale_once, make_plain_locale);
  return plain_locale ? strtod_l(text, NULL, plain_locale) : strtod(text, NULL);
}

bool hf_json_text_integer(const char *text, int64_t *out) {
  bool negative = *text == '-';
  int64_t value = 0;
  for (text += negative; *text; text++) {
    int digit = *text - '0';
    if (__builtin_mul_overflow(value, 10, &value)) return false;
    if (__builtin_add_overflow(value, negative ? -digit : digit, &value)) return false;
  }
  *out = value;
  return true;
}

static HfJsonEvent scan_number(HfJsonScanner *s, HfError *err) {
  bool whole;
  if (!scan_number_text(s, &whole, err)) return HF_JSON_FAILED;
  s->scratch.size = 0;
  if (!hf_buffer_append(&s->scratch, s->text + s->start, s->at - s->start, err)) return HF_JSON_FAILED;
  s->number_text = s->scratch.data;
  s->number = hf_json_to_double(s->number_text);
  if (s->number - s->number != 0) return hf_json_fail(s, s->start, err, "number out of range: %.40s", s->number_text);
  return whole && hf_json_text_integer(s->number_text, &s->integer) ? HF_JSON_INTEGER : HF_JSON_NUMBER;
}

/* ---- grammar */

static void skip_space(HfJsonScanner *s) {
  while (s->at < s->size && (s->text[s->at] == ' ' || s->text[s->at] == '\n' || s->text[s->at] == '\r' || s->text[s->at] == '\t')) s->at++;
}

static HfJsonEvent begin_level(HfJsonScanner *s, bool object, HfError *err) {
  if (s->depth == HF_JSON_MAX_DEPTH) return hf_json_fail(s, s->at, err, "nested more than %d deep", HF_JSON_MAX_DEPTH);
  s->levels[s->depth++] = (HfJsonLevel){.object = object, .first_name = s->name_count, .unescaped = s->unescaped.size};
  s->at++;
  s->state = object ? NAME_OR_END : VALUE_OR_END;
  return object ? HF_JSON_OBJECT : HF_JSON_ARRAY;
}

static HfJsonEvent end_level(HfJsonScanner *s) {
  HfJsonLevel *level = &s->levels[--s->depth];
  hf_json_names_close(s, level);
  s->at++;
  s->state = s->depth ? COMMA_OR_END : DONE;
  return level->object ? HF_JSON_OBJECT_END : HF_JSON_ARRAY_END;
}

static HfJsonEvent scan_word(HfJsonScanner *s, HfError *err) {
  static const struct { const char *text; HfJsonEvent event; } words[] = {{"true", HF_JSON_TRUE}, {"false", HF_JSON_FALSE}, {"null", HF_JSON_NULL}};
  for (size_t i = 0; i < 3; i++) {
    size_t length = strlen(words[i].text);
    if (s->size - s->at < length || memcmp(s->text + s->at, words[i].text, length)) continue;
    s->at += length;
    return words[i].event;
  }
  return unexpected(s, err, s->state == VALUE_OR_END ? "a value or ']'" : "a value");
}

static HfJsonEvent scan_value(HfJsonScanner *s, HfError *err) {
  char c = s->at < s->size ? s->text[s->at] : 0;
  if (c == '{' || c == '[') return begin_level(s, c == '{', err);
  HfJsonEvent event;
  bool escaped;
  if (c == '"') event = scan_string(s, &escaped, err) ? HF_JSON_STRING : HF_JSON_FAILED;
  else if (c == '-' || (c >= '0' && c <= '9')) event = scan_number(s, err);
  else event = scan_word(s, err);
  s->state = s->depth ? COMMA_OR_END : DONE;
  return event;
}

static HfJsonEvent scan_name(HfJsonScanner *s, HfError *err) {
  bool escaped;
  if (s->at >= s->size || s->text[s->at] != '"') return unexpected(s, err, s->state == NAME ? "a name in quotes" : "a name in quotes or '}'");
  if (!scan_string(s, &escaped, err)) return HF_JSON_FAILED;
  if (memchr(s->string, 0, s->string_size)) return hf_json_fail(s, s->start, err, "\\u0000 in a name");
  if (!hf_json_names_add(s, escaped, err)) return HF_JSON_FAILED;
  skip_space(s);
  if (s->at >= s->size || s->text[s->at] != ':') return unexpected(s, err, "':' after the name");
  s->at++;
  s->state = VALUE;
  return HF_JSON_NAME;
}

/* Behind a member or element: the comma is taken here, so that what follows it is the event. */
static HfJsonEvent scan_rest(HfJsonScanner *s, HfError *err) {
  bool object = s->levels[s->depth - 1].object;
  if (s->at < s->size && s->text[s->at] == (object ? '}' : ']')) return end_level(s);
  if (s->at >= s->size || s->text[s->at] != ',') return unexpected(s, err, object ? "',' or '}'" : "',' or ']'");
  s->at++;
  skip_space(s);
  s->start = s->at;
  s->state = object ? NAME : VALUE;
  return object ? scan_name(s, err) : scan_value(s, err);
}

static HfJsonEvent scan_event(HfJsonScanner *s, HfError *err) {
  char c = s->at < s->size ? s->text[s->at] : 0;
  switch (s->state) {
    case DONE: return s->at < s->size ? unexpected(s, err, "nothing after the value") : HF_JSON_END;
    case NAME_OR_END: return c == '}' ? end_level(s) : scan_name(s, err);
    case VALUE_OR_END: return c == ']' ? end_level(s) : scan_value(s, err);
    case COMMA_OR_END: return scan_rest(s, err);
    case FAILED: return hf_error_set(err, "%s: already failed", s->where), HF_JSON_FAILED;
    default: return scan_value(s, err);
  }
}

HfJsonEvent hf_json_next(HfJsonScanner *s, HfError *err) {
  skip_space(s);
  s->start = s->at;
  HfJsonEvent event = scan_event(s, err);
  if (event == HF_JSON_FAILED) s->state = FAILED;
  return event;
}

bool hf_json_skip(HfJsonScanner *s, HfJsonEvent event, HfError *err) {
  int outside = s->depth - 1;
  if (event != HF_JSON_OBJECT && event != HF_JSON_ARRAY) return event != HF_JSON_FAILED;
  while (s->depth > outside)
    if (hf_json_next(s, err) == HF_JSON_FAILED) return false;
  return true;
}
