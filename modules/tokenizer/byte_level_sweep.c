/* Byte-level BPE in one sweep. */
#include "byte_level_sweep.h"
#include <string.h>
#include "memory.h"
#include "tokenizer.h"
#include "unicode.h"
#include "word_cache.h"

/* ---- which pipelines */

static bool leaves_ascii(const HfNormalizers *normalizers) {
  for (size_t i = 0; i < normalizers->count; i++) {
    const HfNormalizerKind *kind = normalizers->steps[i].kind;
    if (kind != &hf_normalizer_nfc && kind != &hf_normalizer_nfd && kind != &hf_normalizer_nfkc && kind != &hf_normalizer_nfkd) return false;
  }
  return true;
}

HfByteSweep hf_byte_sweep_of(const HfTokenizer *t) {
  HfByteSweep none = {HF_WORDS_NONE, false, false}, sweep = none;
  const HfPreTokenizer *steps = t->pre_tokenizers.steps;
  size_t count = t->pre_tokenizers.count;
  if (t->model.kind != &hf_model_bpe || t->model.bpe.prefix_size || t->model.bpe.suffix_size || !leaves_ascii(&t->normalizers)) return none;
  if (!count || steps[count - 1].kind != &hf_pre_tokenizer_byte_level) return none;
  sweep.ascii_only = t->normalizers.count > 0;
  sweep.add_prefix_space = steps[count - 1].byte_level.add_prefix_space;
  if (count == 1 && steps[0].byte_level.use_regex) return sweep.words = HF_WORDS_GPT2, sweep;
  bool split = count == 2 && steps[0].kind == &hf_pre_tokenizer_split && steps[0].behavior == HF_SPLIT_ISOLATED;
  if (!split || steps[1].byte_level.use_regex || sweep.add_prefix_space) return none;
  return sweep.words = steps[0].split.words, sweep;
}

static bool is_ascii(const char *text, size_t size) {
  size_t at = 0;
  for (; at + 8 <= size; at += 8)
    if (hf_load_bytes(text + at, 8) & HF_EACH(0x80)) return false;
  return !(hf_load_bytes(text + at, size - at) & HF_EACH(0x80));
}

bool hf_byte_sweep_takes(const HfTokenizer *t, const char *text, size_t size) {
  return t->byte_sweep.words && (!t->byte_sweep.ascii_only || is_ascii(text, size));
}

/* ---- words */

#define SLACK 16 /* ids that may be written beyond those that the bytes left can give */

/* The ids of a word by the model; a space that is not there may stand in front. `left`: bytes behind it. */
static bool add_word(const HfTokenizer *t, HfWorkspace *w, bool space, const char *word, size_t size, size_t left, HfError *err) {
  HfText *text = &w->pieces.text;
  hf_text_clear(text, false);
  if (space && !hf_text_put(text, hf_byte_level_code(' '), 0, err)) return false;
  return hf_text_append_byte_level(text, (HfSpan){word, size, NULL}, err) &&
         t->model.kind->tokenize(&t->model, text->bytes, text->size, &w->tokens, err) && hf_tokens_reserve(&w->tokens, left + SLACK, err);
}

/* A word of more than 7 bytes, or of more than two tokens. */
static bool add_long(const HfTokenizer *t, HfWorkspace *w, const char *word, size_t size, size_t left, HfError *err) {
  HfTokens *tokens = &w->tokens;
  if (size > sizeof(HfLongKey)) return add_word(t, w, false, word, size, left, err);
  HfLongKey key = hf_long_key(word, size);
  HfLongRun *place = hf_long_place(&w->cache, key);
  size_t before = tokens->count;
  if (hf_long_hit(place, &key, size)) {
    memcpy(tokens->ids + before, place->ids, sizeof place->ids);
    tokens->count += place->count;
    return true;
  }
  if (!add_word(t, w, false, word, size, left, err)) return false;
  hf_long_remember(place, key, size, tokens, before);
  return true;
}

/* A short word that the cache does not know. */
static bool add_new_short(const HfTokenizer *t, HfWorkspace *w, uint64_t key, const char *word, size_t size, size_t left, HfError *err) {
  size_t before = w->tokens.count;
  if (!add_long(t, w, word, size, left, err)) return false;
  hf_short_remember(hf_short_place(&w->cache, key), key, &w->tokens, before);
  return true;
}

static inline bool add_short(const HfTokenizer *t, HfWorkspace *w, uint64_t key, const char *word, size_t size, size_t left, HfError *err) {
  const HfShortWord *hit = hf_short_place(&w->cache, key);
  HfTokens *tokens = &w->tokens;
  if (hit->key != key) return add_new_short(t, w, key, word, size, left, err);
  tokens->ids[tokens->count] = hit->ids[0];
  tokens->ids[tokens->count + 1] = hit->ids[1];
  tokens->count += 1 + (hit->ids[1] >= 0);
  return true;
}

/* The first word behind a space that the text does not have; where it ends goes to *at. */
static bool add_prefixed(const HfTokenizer *t, HfWorkspace *w, const char *text, size_t size, size_t *at, HfError *err) {
  *at = hf_gpt2_word_behind_space(text, size);
  return add_word(t, w, true, text, *at, size - *at, err);
}

/* ---- the sweep */

/* Bytes of a word that is ASCII letters, behind a space or not, and ends within the first 8 bytes; 0: another one. */
static inline unsigned letter_word(uint64_t bytes) {
  unsigned space = (bytes & 0xFF) == ' ';
  uint64_t letters = hf_letter_bits(bytes) | (space ? 0x80 : 0);
  unsigned length = hf_bit_run(letters);
  if (length == 8 || length <= space) return 0;
  return bytes >> 8 * length & 0x80 ? 0 : length;
}

bool hf_byte_sweep_run(const HfTokenizer *t, HfWorkspace *w, const char *text, size_t size, HfError *err) {
  size_t at = 0;
  if (!size) return true;
  if (!hf_word_cache_make(&w->cache, err) || !hf_tokens_reserve(&w->tokens, size + SLACK, err)) return false;
  if (t->byte_sweep.add_prefix_space && text[0] != ' ' && !add_prefixed(t, w, text, size, &at, err)) return false;
  for (size_t end; at < size; at = end) {
    uint64_t bytes = hf_load_bytes(text + at, size - at);
    unsigned length = letter_word(bytes);
    end = length ? at + length : hf_word_end(t->byte_sweep.words, text, size, at);
    size_t taken = end - at;
    bool is_short = taken < 8 && text[end - 1];
    uint64_t key = bytes & (((uint64_t)1 << 8 * (taken & 7)) - 1);
    bool done = is_short ? add_short(t, w, key, text + at, taken, size - end, err) : add_long(t, w, text + at, taken, size - end, err);
    if (!done) return false;
  }
  return true;
}
