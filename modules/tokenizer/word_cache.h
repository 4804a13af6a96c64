/* A cache from the bytes of a word to its tokens, for one thread: a place for each hash, where the last word stays. */
#ifndef HF_WORD_CACHE_H
#define HF_WORD_CACHE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "model.h"

/* A word of up to 7 bytes, the last of which is not 0, and its one or two tokens: four of them share a cache line. */
typedef struct HfShortWord {
  uint64_t key;   /* the bytes, zeros behind; 0: free */
  int32_t ids[2]; /* the second is -1 for a word of one token */
} HfShortWord;

/* Any other word that fits. */
#define HF_LONG_IDS 9
typedef struct HfLongKey { uint64_t part[3]; } HfLongKey; /* up to 24 bytes, zeros behind */
typedef struct HfLongRun {
  HfLongKey key;
  uint8_t size, count; /* size 0: free */
  int32_t ids[HF_LONG_IDS];
} HfLongRun;

typedef struct HfWordCache {
  HfShortWord *words; /* NULL: not made yet */
  HfLongRun *runs;
} HfWordCache;

#define HF_SHORT_BITS 17 /* places for short words: 2 MiB */
#define HF_LONG_BITS 15  /* places for other runs: 2 MiB */

void hf_word_cache_free(HfWordCache *cache);
/* Makes the places when there are none. */
bool hf_word_cache_make(HfWordCache *cache, HfError *err);

static inline HfShortWord *hf_short_place(const HfWordCache *cache, uint64_t key) {
  return &cache->words[key * 0x9E3779B97F4A7C15u >> (64 - HF_SHORT_BITS)];
}

static inline HfLongKey hf_long_key(const char *word, size_t size) {
  HfLongKey key = {{0}};
  memcpy(key.part, word, size);
  return key;
}

static inline HfLongRun *hf_long_place(const HfWordCache *cache, HfLongKey key) {
  uint64_t hash = (key.part[0] * 0x9E3779B97F4A7C15u) ^ (key.part[1] * 0xC2B2AE3D27D4EB4Fu) ^ (key.part[2] * 0xD6E8FEB86659FD93u);
  return &cache->runs[hf_hash_finish(hash) >> (64 - HF_LONG_BITS)];
}

static inline bool hf_long_hit(const HfLongRun *place, const HfLongKey *key, size_t size) {
  return place->size == size && !memcmp(&place->key, key, sizeof *key);
}

/* Keeps the tokens from `from` on when there is room for them. A long word keeps no more tokens than it has bytes. */
void hf_short_remember(HfShortWord *place, uint64_t key, const HfTokens *tokens, size_t from);
void hf_long_remember(HfLongRun *place, HfLongKey key, size_t size, const HfTokens *tokens, size_t from);

/* ---- eight bytes at once */

#define HF_EACH(byte) ((uint64_t)(byte) * 0x0101010101010101u)

/* Up to 8 bytes, the first in the low end, zeros behind the text. */
static inline uint64_t hf_load_bytes(const char *text, size_t left) {
  uint64_t bytes = 0;
  memcpy(&bytes, text, left < 8 ? left : 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  bytes = __builtin_bswap64(bytes);
#endif
  return bytes;
}

/* The top bit of each byte that is an ASCII letter; of each that is an ASCII digit. */
static inline uint64_t hf_letter_bits(uint64_t bytes) {
  uint64_t lower = (bytes & HF_EACH(0x7F)) | HF_EACH(0x20);
  return (lower + HF_EACH(0x80 - 'a')) & ~(lower + HF_EACH(0x7F - 'z')) & ~bytes & HF_EACH(0x80);
}
static inline uint64_t hf_digit_bits(uint64_t bytes) {
  uint64_t seven = bytes & HF_EACH(0x7F);
  return (seven + HF_EACH(0x80 - '0')) & ~(seven + HF_EACH(0x7F - '9')) & ~bytes & HF_EACH(0x80);
}
/* How many bytes at the low end have their bit set. */
static inline unsigned hf_bit_run(uint64_t bits) {
  uint64_t other = ~bits & HF_EACH(0x80);
  return other ? (unsigned)__builtin_ctzll(other) / 8 : 8;
}

#endif
