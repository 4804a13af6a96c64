/* The word cache: its memory, and what is kept. */
#include "word_cache.h"
#include "memory.h"

void hf_word_cache_free(HfWordCache *cache) {
  hf_free(cache->words);
  hf_free(cache->runs);
  *cache = (HfWordCache){0};
}

bool hf_word_cache_make(HfWordCache *cache, HfError *err) {
  if (!cache->words) cache->words = hf_calloc(((size_t)1 << HF_SHORT_BITS) * sizeof *cache->words, "word cache", err);
  if (!cache->runs) cache->runs = hf_calloc(((size_t)1 << HF_LONG_BITS) * sizeof *cache->runs, "word cache", err);
  return cache->words && cache->runs;
}

void hf_short_remember(HfShortWord *place, uint64_t key, const HfTokens *tokens, size_t from) {
  size_t count = tokens->count - from;
  if (count < 1 || count > 2) return;
  *place = (HfShortWord){key, {tokens->ids[from], count == 2 ? tokens->ids[from + 1] : -1}};
}

void hf_long_remember(HfLongRun *place, HfLongKey key, size_t size, const HfTokens *tokens, size_t from) {
  size_t count = tokens->count - from;
  if (count > HF_LONG_IDS || count > size) return; /* more ids than bytes would not fit the room reserved */
  *place = (HfLongRun){.key = key};
  memcpy(place->ids, tokens->ids + from, count * sizeof *place->ids);
  place->size = (uint8_t)size;
  place->count = (uint8_t)count;
}
