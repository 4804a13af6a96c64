/* BERT's pipeline in one sweep. */
#include "bert_sweep.h"
#include <string.h>
#include "memory.h"
#include "tokenizer.h"
#include "unicode.h"

enum { KIND_SPACE, KIND_PUNCTUATION, KIND_WORD, KIND_OTHER };

#define CACHE_WORDS (1u << 14)

static bool is_bert_pipeline(const HfTokenizer *t) {
  return t->normalizers.count == 1 && t->normalizers.steps[0].kind == &hf_normalizer_bert && t->pre_tokenizers.count == 1 &&
         t->pre_tokenizers.steps[0].kind == &hf_pre_tokenizer_bert && t->model.kind == &hf_model_word_piece &&
         !t->added.normalized.patterns.count;
}

static uint8_t byte_kind(const HfNormalizer *bert, unsigned c) {
  uint32_t set = hf_unicode_set(c);
  if (c >= 0x80 || (bert->bert.clean_text && (set & HF_BERT_REMOVED))) return KIND_OTHER;
  if ((set & HF_SPACE) || (bert->bert.clean_text && (set & HF_BERT_TO_SPACE))) return KIND_SPACE;
  return set & HF_PUNCTUATION ? KIND_PUNCTUATION : KIND_WORD;
}

/* The one token of a punctuation character; false when there is neither it nor an unknown token. */
static bool single_token(const HfTokenizer *t, char c, int32_t *id) {
  HfTokens tokens = {0};
  bool done = t->model.kind->tokenize(&t->model, &c, 1, &tokens, NULL) && tokens.count == 1;
  if (done) *id = tokens.ids[0];
  hf_tokens_free(&tokens);
  return done;
}

HfBertSweep *hf_bert_sweep_new(const HfTokenizer *t, HfError *err) {
  if (!is_bert_pipeline(t)) return NULL;
  HfBertSweep *sweep = hf_calloc(sizeof *sweep, "tokenizer", err);
  const HfNormalizer *bert = &t->normalizers.steps[0];
  for (unsigned c = 0; sweep && c < 256; c++) {
    sweep->kind[c] = byte_kind(bert, c);
    sweep->lower[c] = (uint8_t)(bert->bert.lowercase && c - 'A' < 26u ? c + 32 : c);
    if (sweep->kind[c] == KIND_PUNCTUATION && !single_token(t, (char)c, &sweep->single[c])) sweep->kind[c] = KIND_OTHER;
  }
  return sweep;
}

/* ---- the cache */

typedef struct Key { uint64_t low, high; } Key;

static inline Key make_key(const char *word, size_t size, size_t readable) {
  Key key = {0, 0};
  if (readable >= HF_CACHE_BYTES) {
    memcpy(&key, word, sizeof key);
    if (size < 8) key.low &= ((uint64_t)1 << 8 * size) - 1, key.high = 0;
    else if (size < 16) key.high &= ((uint64_t)1 << 8 * (size - 8)) - 1;
  } else {
    memcpy(&key, word, size);
  }
  return key;
}

static inline HfCachedWord *cache_place(const HfWordCache *cache, Key key, size_t size) {
  uint64_t hash = (key.low ^ size) * 0x9E3779B97F4A7C15u;
  hash = (hash ^ hash >> 32 ^ key.high) * 0xD6E8FEB86659FD93u;
  return &cache->words[hash >> 40 & (CACHE_WORDS - 1)];
}

static bool make_cache(HfWordCache *cache, HfError *err) {
  if (!cache->words) cache->words = hf_calloc(CACHE_WORDS * sizeof *cache->words, "word cache", err);
  return cache->words != NULL;
}

static void remember(HfWordCache *cache, Key key, size_t size, const HfTokens *tokens, size_t from) {
  size_t count = tokens->count - from;
  if (count > HF_CACHE_IDS || count > size) return; /* more ids than bytes would not fit the room reserved */
  HfCachedWord *place = cache_place(cache, key, size);
  *place = (HfCachedWord){{key.low, key.high}, (uint8_t)size, (uint8_t)count, {0}};
  memcpy(place->ids, tokens->ids + from, count * sizeof *place->ids);
}

/* ---- words */

#define LOWER_BYTES 256

/* An ASCII word the cache does not know. */
static bool add_ascii_word(const HfTokenizer *t, HfTokens *tokens, const char *word, size_t size, HfError *err) {
  char lower[LOWER_BYTES];
  for (size_t i = 0; i < size; i++) lower[i] = (char)t->sweep->lower[(unsigned char)word[i]];
  return t->model.kind->tokenize(&t->model, lower, size, tokens, err);
}

/* Any run of characters, through normalizer, pre-tokenizer and model. */
static bool add_run(const HfTokenizer *t, HfWorkspace *w, const char *run, size_t size, HfError *err) {
  HfSpan span = {run, size, NULL};
  hf_pieces_clear(&w->pieces, false);
  if (!hf_normalizers_apply(&t->normalizers, span, &w->pieces.text, &w->scratch, err) ||
      !hf_piece_add(&w->pieces.list, 0, w->pieces.text.size, -1, err) ||
      !hf_pre_tokenizers_apply(&t->pre_tokenizers, &w->pieces, &w->spare, err))
    return false;
  for (size_t i = 0; i < w->pieces.list.count; i++) {
    HfPiece piece = w->pieces.list.items[i];
    if (!t->model.kind->tokenize(&t->model, w->pieces.text.bytes + piece.begin, piece.end - piece.begin, &w->tokens, err)) return false;
  }
  return true;
}

static bool add_unknown_run(const HfTokenizer *t, HfWorkspace *w, const char *run, size_t size, bool ascii, HfError *err) {
  if (ascii && size <= LOWER_BYTES) return add_ascii_word(t, &w->tokens, run, size, err);
  return add_run(t, w, run, size, err);
}

/* Where the run that begins at `at` ends; *ascii: it is letters and digits alone. */
static inline size_t run_end(const HfBertSweep *sweep, const char *text, size_t size, size_t at, bool *ascii) {
  const uint8_t *kind = sweep->kind;
  while (at < size && kind[(unsigned char)text[at]] == KIND_WORD) at++;
  *ascii = at == size || kind[(unsigned char)text[at]] != KIND_OTHER;
  if (!*ascii)
    while (at < size && kind[(unsigned char)text[at]] >= KIND_WORD) at++;
  return at;
}

bool hf_bert_sweep_run(const HfTokenizer *t, HfWorkspace *w, const char *text, size_t size, HfError *err) {
  const HfBertSweep *sweep = t->sweep;
  HfTokens *tokens = &w->tokens;
  if (!make_cache(&w->cache, err) || !hf_tokens_reserve(tokens, size + HF_CACHE_IDS, err)) return false;
  for (size_t at = 0; at < size;) {
    unsigned char c = (unsigned char)text[at];
    if (sweep->kind[c] == KIND_SPACE) { at++; continue; }
    if (sweep->kind[c] == KIND_PUNCTUATION) { tokens->ids[tokens->count++] = sweep->single[c]; at++; continue; }
    bool ascii;
    size_t end = run_end(sweep, text, size, at, &ascii), length = end - at;
    bool cached = length <= HF_CACHE_BYTES;
    Key key = {0, 0};
    if (cached) {
      key = make_key(text + at, length, size - at);
      const HfCachedWord *hit = cache_place(&w->cache, key, length);
      if (hit->size == length && hit->key[0] == key.low && hit->key[1] == key.high) {
        memcpy(tokens->ids + tokens->count, hit->ids, sizeof hit->ids);
        tokens->count += hit->count;
        at = end;
        continue;
      }
    }
    size_t before = tokens->count;
    if (!add_unknown_run(t, w, text + at, length, ascii, err)) return false;
    if (cached) remember(&w->cache, key, length, tokens, before);
    at = end;
    if (!hf_tokens_reserve(tokens, size - at + HF_CACHE_IDS, err)) return false;
  }
  return true;
}
