/* Well-formed UTF-8, one character at a time. */
#ifndef HF_UTF8_H
#define HF_UTF8_H
#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed sequence at p (1 to 4), 0 when there is none: overlong forms, surrogates and values above
 * U+10FFFF are not well-formed (table 3-7 of the Unicode standard). left >= 1. */
static inline size_t hf_utf8_length(const char *text, size_t left) {
  const unsigned char *p = (const unsigned char *)text;
  unsigned char low = 0x80, high = 0xBF;
  size_t length = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
  if (length > left) return 0;
  if (p[0] == 0xE0) low = 0xA0;
  if (p[0] == 0xED) high = 0x9F;
  if (p[0] == 0xF0) low = 0x90;
  if (p[0] == 0xF4) high = 0x8F;
  for (size_t i = 1; i < length; i++, low = 0x80, high = 0xBF)
    if (p[i] < low || p[i] > high) return 0;
  return length;
}

/* The code point of a well-formed sequence of `length` bytes. */
static inline uint32_t hf_utf8_decode(const char *text, size_t length) {
  static const unsigned char first[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t c = (unsigned char)text[0] & first[length];
  for (size_t i = 1; i < length; i++) c = c << 6 | ((unsigned char)text[i] & 0x3F);
  return c;
}

/* Writes a code point; returns the bytes used (1 to 4). */
static inline size_t hf_utf8_encode(char out[4], uint32_t c) {
  if (c < 0x80) return out[0] = (char)c, 1;
  size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = length; --i; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
  out[0] = (char)((0xF00 >> length) | c);
  return length;
}

#endif
