/* Precompiled: the character map of a SentencePiece model. The map is a double array over the bytes of what is replaced,
 * and the replacements one behind the other, each ended by NUL. A cluster of characters (grapheme) of less than six bytes is
 * replaced as a whole by what its shortest known beginning becomes; else each character by itself. */
#include <string.h>
#include <utf8proc.h>
#include "component.h"
#include "json.h"
#include "memory.h"
#include "normalizer.h"
#include "unicode.h"

/* ---- the map */

static int base64_value(unsigned char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters become one to three bytes at `out`; returns how many, 0: not base64. */
static size_t decode_four(const char *text, unsigned char *out) {
  size_t padding = text[3] != '=' ? 0 : text[2] != '=' ? 1 : 2;
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; i++) {
    int value = i + padding < 4 ? base64_value((unsigned char)text[i]) : 0;
    if (value < 0) return 0;
    bits = bits << 6 | (uint32_t)value;
  }
  if (padding && bits & ((1u << 8 * padding) - 1)) return 0;
  for (size_t i = 0; i < 3 - padding; i++) out[i] = (unsigned char)(bits >> (16 - 8 * i));
  return 3 - padding;
}

static bool decode_base64(const char *text, unsigned char *out, size_t *size) {
  size_t length = strlen(text);
  *size = 0;
  if (length % 4) return false;
  for (size_t i = 0; i < length; i += 4) {
    size_t count = decode_four(text + i, out + *size);
    if (!count || (count < 3 && i + 4 < length)) return false;
    *size += count;
  }
  return true;
}

static uint32_t little_endian(const unsigned char *bytes) {
  return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Bytes of the array, the array, the replacements. */
static bool read_map(HfNormalizer *self, const unsigned char *bytes, size_t size, const char *where, HfError *err) {
  size_t bad, units = size >= 4 ? little_endian(bytes) / 4 : 0;
  if (size < 4 || units > (size - 4) / 4)
    return hf_error_set(err, "%s: Precompiled: precompiled_charsmap: expected an array of %zu entries, found %zu bytes", where, units, size);
  const char *texts = (const char *)bytes + 4 + 4 * units;
  size_t texts_size = size - 4 - 4 * units;
  if (!hf_utf8_valid(texts, texts_size, &bad))
    return hf_error_set(err, "%s: Precompiled: precompiled_charsmap: the replacements are not UTF-8", where);
  self->precompiled.units = hf_malloc(units * sizeof *self->precompiled.units, "character map", err);
  self->precompiled.texts = hf_strndup(texts, texts_size, err);
  if (!self->precompiled.units || !self->precompiled.texts) return false;
  for (size_t i = 0; i < units; i++) self->precompiled.units[i] = little_endian(bytes + 4 + 4 * i);
  self->precompiled.unit_count = units;
  self->precompiled.texts_size = texts_size;
  return true;
}

static bool read_precompiled(HfNormalizer *self, const cJSON *json, const char *where, HfError *err) {
  char *text = hf_component_string(json, "precompiled_charsmap", where, err);
  if (!text) return false;
  size_t size;
  unsigned char *bytes = hf_malloc(strlen(text) + 1, "character map", err);
  bool done = bytes != NULL;
  if (done && !decode_base64(text, bytes, &size)) done = hf_error_set(err, "%s: Precompiled: precompiled_charsmap is not base64", where);
  done = done && read_map(self, bytes, size, where, err);
  hf_free(bytes);
  hf_free(text);
  return done;
}

static void release_precompiled(HfNormalizer *self) {
  hf_free(self->precompiled.units);
  hf_free(self->precompiled.texts);
}

/* Fields of an entry: where its children are, whether a value stands there, the byte that leads to it. */
static size_t unit_offset(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6); }
static bool unit_has_value(uint32_t unit) { return unit >> 8 & 1; }
static uint32_t unit_label(uint32_t unit) { return unit & (1u << 31 | 0xFF); }

/* What the shortest known beginning of the text becomes, ended by NUL; NULL: there is none. */
static const char *find_text(const HfNormalizer *self, const char *text, size_t size) {
  const uint32_t *units = self->precompiled.units;
  size_t count = self->precompiled.unit_count, node = count ? unit_offset(units[0]) : 0;
  for (size_t i = 0; i < size; i++) {
    unsigned char byte = (unsigned char)text[i];
    node ^= byte;
    if (!byte || node >= count || unit_label(units[node]) != byte) return NULL;
    bool value = unit_has_value(units[node]);
    node ^= unit_offset(units[node]);
    if (!value) continue;
    size_t at = node < count ? units[node] & 0x7FFFFFFF : SIZE_MAX;
    const char *found = self->precompiled.texts + at;
    return at < self->precompiled.texts_size && (*found & 0xC0) != 0x80 ? found : NULL;
  }
  return NULL;
}

/* ---- the changes, which say what each new character stands for: see normalize_unicode.c */

typedef struct Change {
  uint32_t code;
  int64_t step; /* 0: takes the place of the next character, 1: is inserted, -n: also removes n more */
} Change;

typedef struct Changes {
  Change *items;
  size_t count, capacity;
} Changes;

static bool add_change(Changes *list, uint32_t code, int64_t step, HfError *err) {
  if (!hf_array_grow((void **)&list->items, list->count, &list->capacity, sizeof *list->items, "normalized text", err)) return false;
  list->items[list->count++] = (Change){code, step};
  return true;
}

static bool change_text(Changes *list, const char *old, size_t old_size, const char *new, HfError *err) {
  int64_t more = (int64_t)hf_utf8_count(new, strlen(new)) - (int64_t)hf_utf8_count(old, old_size);
  uint32_t code;
  while (*new) {
    new += hf_utf8_decode(new, &code);
    if (!add_change(list, code, 0, err)) return false;
  }
  for (int64_t i = 0; i < more; i++) list->items[list->count - 1 - (size_t)i].step = 1;
  if (more < 0 && list->count) list->items[list->count - 1].step += more;
  return true;
}

/* The bytes of the grapheme at the front. */
static size_t grapheme_size(const char *text, size_t size) {
  uint32_t code, next;
  size_t at = hf_utf8_decode(text, &code);
  if (code < 0x80 && code != '\r' && (at == size || (unsigned char)text[at] < 0x80)) return at;
  for (utf8proc_int32_t state = 0; at < size; code = next) {
    size_t step = hf_utf8_decode(text + at, &next);
    if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)code, (utf8proc_int32_t)next, &state)) break;
    at += step;
  }
  return at;
}

static bool change_characters(const HfNormalizer *self, Changes *list, const char *text, size_t size, HfError *err) {
  for (size_t at = 0, step; at < size; at += step) {
    uint32_t code;
    step = hf_utf8_decode(text + at, &code);
    const char *found = find_text(self, text + at, step);
    if (!(found ? change_text(list, text + at, step, found, err) : add_change(list, code, 0, err))) return false;
  }
  return true;
}

static bool list_changes(const HfNormalizer *self, Changes *list, HfSpan in, HfError *err) {
  for (size_t at = 0, size; at < in.size; at += size) {
    const char *text = in.bytes + at;
    size = grapheme_size(text, in.size - at);
    const char *found = size < 6 ? find_text(self, text, size) : NULL;
    if (!(found ? change_text(list, text, size, found, err) : change_characters(self, list, text, size, err))) return false;
  }
  return true;
}

/* Moves over one character of the input. */
static void skip(HfSpan in, size_t *at) {
  if (*at < in.size) *at += hf_utf8_size((unsigned char)in.bytes[*at]);
}

static bool apply_changes(const Changes *list, HfSpan in, HfText *out, HfError *err) {
  size_t at = 0;
  for (size_t i = 0; i < list->count; i++) {
    Change change = list->items[i];
    bool inserted = change.step > 0;
    size_t shown = !inserted && at < in.size ? at : at - 1; /* one that is inserted stands where the one before does */
    if (!hf_text_put(out, change.code, at || shown == at ? hf_span_origin(in, shown) : HF_NO_ORIGIN, err)) return false;
    if (!inserted) skip(in, &at);
    for (; change.step < 0; change.step++) skip(in, &at);
  }
  return true;
}

static bool apply_precompiled(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  Changes list = {0};
  bool done = list_changes(self, &list, in, err) && apply_changes(&list, in, out, err);
  hf_free(list.items);
  return done;
}

const HfNormalizerKind hf_normalizer_precompiled = {"Precompiled", read_precompiled, apply_precompiled, release_precompiled};
