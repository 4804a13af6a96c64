/* Characters: UTF-8 checks, case, decomposition and composition by utf8proc with the tokenizers' exceptions. */
#include "unicode.h"
#include <string.h>
#include <utf8proc.h>

/* Bytes of the well-formed character at t, 0 when it is none. */
static size_t sequence_size(const unsigned char *t, size_t left) {
  if (t[0] < 0x80) return 1;
  size_t size = t[0] >= 0xC2 && t[0] < 0xE0 ? 2 : (t[0] & 0xF0) == 0xE0 ? 3 : t[0] >= 0xF0 && t[0] < 0xF5 ? 4 : 0;
  if (!size || size > left) return 0;
  for (size_t i = 1; i < size; i++)
    if ((t[i] & 0xC0) != 0x80) return 0;
  if (t[0] == 0xE0 && t[1] < 0xA0) return 0; /* overlong */
  if (t[0] == 0xED && t[1] > 0x9F) return 0; /* surrogates */
  if (t[0] == 0xF0 && t[1] < 0x90) return 0; /* overlong */
  if (t[0] == 0xF4 && t[1] > 0x8F) return 0; /* above U+10FFFF */
  return size;
}

bool hf_utf8_valid(const char *text, size_t size, size_t *bad) {
  const unsigned char *t = (const unsigned char *)text;
  for (size_t i = 0; i < size;) {
    uint64_t eight;
    while (i + sizeof eight <= size && (memcpy(&eight, t + i, sizeof eight), !(eight & 0x8080808080808080u))) i += sizeof eight;
    if (i == size) break;
    size_t step = sequence_size(t + i, size - i);
    if (!step) return *bad = i, false;
    i += step;
  }
  return true;
}

/* Bytes at t that could begin a character but do not complete one: at least 1. */
static size_t broken_size(const unsigned char *t, size_t left) {
  size_t wanted = t[0] >= 0xC2 && t[0] < 0xE0 ? 2 : (t[0] & 0xF0) == 0xE0 ? 3 : t[0] >= 0xF0 && t[0] < 0xF5 ? 4 : 1, size = 1;
  unsigned char low = t[0] == 0xE0 ? 0xA0 : t[0] == 0xF0 ? 0x90 : 0x80, high = t[0] == 0xED ? 0x9F : t[0] == 0xF4 ? 0x8F : 0xBF;
  for (; size < wanted && size < left && t[size] >= low && t[size] <= high; size++) low = 0x80, high = 0xBF;
  return size;
}

bool hf_utf8_append_lossy(HfBuffer *out, const char *text, size_t size, HfError *err) {
  for (size_t bad; !hf_utf8_valid(text, size, &bad);) {
    size_t broken = broken_size((const unsigned char *)text + bad, size - bad);
    if (!hf_buffer_append(out, text, bad, err) || !hf_buffer_append(out, "\xEF\xBF\xBD", 3, err)) return false;
    text += bad + broken;
    size -= bad + broken;
  }
  return hf_buffer_append(out, text, size, err);
}

size_t hf_utf8_count(const char *text, size_t size) {
  size_t count = 0;
  for (size_t i = 0; i < size; i++) count += ((unsigned char)text[i] & 0xC0) != 0x80;
  return count;
}

size_t hf_utf8_encode(uint32_t code, char out[4]) {
  if (code < 0x80) return out[0] = (char)code, 1;
  if (code < 0x800) return out[0] = (char)(0xC0 | code >> 6), out[1] = (char)(0x80 | (code & 0x3F)), 2;
  if (code < 0x10000) {
    out[0] = (char)(0xE0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3F));
    return out[2] = (char)(0x80 | (code & 0x3F)), 3;
  }
  out[0] = (char)(0xF0 | code >> 18);
  out[1] = (char)(0x80 | (code >> 12 & 0x3F));
  out[2] = (char)(0x80 | (code >> 6 & 0x3F));
  return out[3] = (char)(0x80 | (code & 0x3F)), 4;
}

static const HfCodeMapping *find_mapping(const HfCodeMapping *table, size_t count, uint32_t code) {
  size_t low = 0;
  while (low < count) {
    size_t middle = (low + count) / 2;
    if (table[middle].code == code) return &table[middle];
    if (table[middle].code < code) low = middle + 1;
    else count = middle;
  }
  return NULL;
}

static size_t copy_mapping(const HfCodeMapping *mapping, uint32_t *out) {
  memcpy(out, mapping->to, mapping->count * sizeof *out);
  return mapping->count;
}

size_t hf_unicode_lower(uint32_t code, uint32_t out[3]) {
  if (code < 0x80) return out[0] = code - 'A' < 26u ? code + 32 : code, 1;
  const HfCodeMapping *exception = find_mapping(hf_unicode_lowercase, hf_unicode_lowercase_count, code);
  if (exception) return copy_mapping(exception, out);
  return out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code), 1;
}

size_t hf_unicode_decompose(uint32_t code, bool compatibility, uint32_t out[HF_MAX_DECOMPOSITION]) {
  if (code < 0x80) return out[0] = code, 1;
  const HfCodeMapping *exception = compatibility ? find_mapping(hf_unicode_nfkd, hf_unicode_nfkd_count, code)
                                                 : find_mapping(hf_unicode_nfd, hf_unicode_nfd_count, code);
  if (exception) return copy_mapping(exception, out);
  int boundary = 0;
  utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0);
  utf8proc_int32_t parts[HF_MAX_DECOMPOSITION];
  utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)code, parts, HF_MAX_DECOMPOSITION, options, &boundary);
  if (count < 1 || count > HF_MAX_DECOMPOSITION) return out[0] = code, 1;
  for (utf8proc_ssize_t i = 0; i < count; i++) out[i] = (uint32_t)parts[i];
  return (size_t)count;
}

int hf_unicode_combining(uint32_t code) {
  if (code < 0x300) return 0;
  size_t low = 0, high = hf_unicode_ccc_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (hf_unicode_ccc[middle].code == code) return hf_unicode_ccc[middle].value;
    if (hf_unicode_ccc[middle].code < code) low = middle + 1;
    else high = middle;
  }
  return utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
}

uint32_t hf_unicode_compose(uint32_t first, uint32_t second) {
  if (second < 0x300) return 0; /* nothing below takes part as a second character */
  utf8proc_int32_t pair[2] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
  if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1) return 0;
  /* Composites that the tables do not decompose are not composed either. */
  return find_mapping(hf_unicode_nfd, hf_unicode_nfd_count, (uint32_t)pair[0]) ? 0 : (uint32_t)pair[0];
}
