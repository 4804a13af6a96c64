/* Characters: UTF-8, the classes Hugging Face's tokenizers use, case and decomposition. The classes come from the tables
 * of unicode_tables.c, case and decomposition from utf8proc with those tables' exceptions, since the tokenizers mix
 * several versions of Unicode. */
#ifndef HF_UNICODE_H
#define HF_UNICODE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "memory.h"
#include "unicode_tables.h"

/* Bits of a property set; the order is that of unicode/make_tables.py. */
enum {
  HF_BERT_REMOVED = 1 << 0,     /* dropped by BertNormalizer(clean_text) */
  HF_BERT_TO_SPACE = 1 << 1,    /* made a space by it */
  HF_BERT_CJK = 1 << 2,         /* gets a space on both sides */
  HF_BERT_ACCENT = 1 << 3,      /* dropped by BertNormalizer(strip_accents) after NFD */
  HF_PUNCTUATION = 1 << 4,      /* BertPreTokenizer and Punctuation */
  HF_SPACE = 1 << 5,            /* BertPreTokenizer, WhitespaceSplit, Strip, \s */
  HF_ACCENT = 1 << 6,           /* dropped by StripAccents */
  HF_WHITESPACE_WORD = 1 << 7,  /* \w of the pre-tokenizer Whitespace and of single_word */
  HF_NUMERIC = 1 << 8,          /* Digits */
  HF_REGEX_L = 1 << 9, HF_REGEX_N = 1 << 10, HF_REGEX_M = 1 << 11, HF_REGEX_P = 1 << 12, HF_REGEX_S = 1 << 13,
  HF_REGEX_LU = 1 << 14, HF_REGEX_LL = 1 << 15, HF_REGEX_HAN = 1 << 16, HF_REGEX_WORD = 1 << 17, HF_REGEX_DIGIT = 1 << 18
};

static inline uint32_t hf_unicode_set(uint32_t code) {
  return hf_unicode_sets[hf_unicode_values[(size_t)hf_unicode_blocks[code / HF_UNICODE_BLOCK] * HF_UNICODE_BLOCK +
                                           code % HF_UNICODE_BLOCK]];
}

/* True for well-formed UTF-8; else *bad is where the first wrong byte stands. */
bool hf_utf8_valid(const char *text, size_t size, size_t *bad);

/* Decodes the character at `text`, which must be well-formed; returns its bytes. */
static inline size_t hf_utf8_decode(const char *text, uint32_t *code) {
  const unsigned char *t = (const unsigned char *)text;
  if (t[0] < 0x80) return *code = t[0], 1;
  if (t[0] < 0xE0) return *code = (t[0] & 0x1Fu) << 6 | (t[1] & 0x3Fu), 2;
  if (t[0] < 0xF0) return *code = (t[0] & 0x0Fu) << 12 | (t[1] & 0x3Fu) << 6 | (t[2] & 0x3Fu), 3;
  return *code = (t[0] & 0x07u) << 18 | (t[1] & 0x3Fu) << 12 | (t[2] & 0x3Fu) << 6 | (t[3] & 0x3Fu), 4;
}
static inline size_t hf_utf8_size(unsigned char first) { return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4; }
/* Start of the character that ends before `at` (at > begin). */
static inline size_t hf_utf8_back(const char *text, size_t at) {
  do at--;
  while (((unsigned char)text[at] & 0xC0) == 0x80);
  return at;
}
/* Characters in well-formed text. */
size_t hf_utf8_count(const char *text, size_t size);
/* Appends text with U+FFFD in place of each longest part of a character that is not completed. */
bool hf_utf8_append_lossy(HfBuffer *out, const char *text, size_t size, HfError *err);
/* Writes 1 to 4 bytes; returns how many. */
size_t hf_utf8_encode(uint32_t code, char out[4]);

/* Lower case of one code point by itself: 1 to 3 code points. */
size_t hf_unicode_lower(uint32_t code, uint32_t out[3]);
/* Canonical or compatibility decomposition of one code point, complete: at most 18 code points. */
#define HF_MAX_DECOMPOSITION 18
size_t hf_unicode_decompose(uint32_t code, bool compatibility, uint32_t out[HF_MAX_DECOMPOSITION]);
/* Canonical combining class. */
int hf_unicode_combining(uint32_t code);
/* The composite of a pair, 0 when there is none. */
uint32_t hf_unicode_compose(uint32_t first, uint32_t second);

#endif
