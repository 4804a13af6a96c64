/* BERT's pipeline in one sweep. */
#include "bert_sweep.h"
#include <string.h>
#include "memory.h"
#include "tokenizer.h"
#include "unicode.h"
#include "word_cache.h"

enum { KIND_SPACE, KIND_PUNCTUATION, KIND_WORD, KIND_OTHER };

static bool is_bert_pipeline(const HfTokenizer *t) {
  return t->normalizers.count == 1 && t->normalizers.steps[0].kind == &hf_normalizer_bert && t->pre_tokenizers.count == 1 &&
         t->pre_tokenizers.steps[0].kind == &hf_pre_tokenizer_bert && t->model.kind == &hf_model_word_piece &&
         !t->added.normalized.patterns.count;
}

static uint8_t byte_kind(const HfNormalizer *bert, unsigned c) {
  uint32_t set = hf_unicode_set(c);
  if (c >= 0x80 || (bert->bert.clean_text && (set & HF_BERT_REMOVED))) return KIND_OTHER;
  if ((set & HF_SPACE) || (bert->bert.clean_text && (set & HF_BERT_TO_SPACE))) return KIND_SPACE;
  return set & HF_PUNCTUATION ? KIND_PUNCTUATION : set & HF_REGEX_WORD ? KIND_WORD : KIND_OTHER;
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

/* Where the run that begins at `at` ends; *ascii: it is letters and digits alone. */
static size_t run_end(const HfBertSweep *sweep, const char *text, size_t size, size_t at, bool *ascii) {
  const uint8_t *kind = sweep->kind;
  while (at < size && kind[(unsigned char)text[at]] == KIND_WORD) at++;
  *ascii = at == size || kind[(unsigned char)text[at]] != KIND_OTHER;
  if (!*ascii)
    while (at < size && kind[(unsigned char)text[at]] >= KIND_WORD) at++;
  return at;
}

#define SLACK 16 /* ids that may be written beyond those that the bytes left can give */

/* The ids of a run that is not a short word; its end goes to *at. */
static bool sweep_run(const HfTokenizer *t, HfWorkspace *w, const char *text, size_t size, size_t *at, HfError *err) {
  bool ascii;
  const char *run = text + *at;
  size_t end = run_end(t->sweep, text, size, *at, &ascii), length = end - *at, before = w->tokens.count;
  bool fits = length <= sizeof(HfLongKey);
  HfLongKey key = hf_long_key(run, fits ? length : 0);
  HfLongRun *place = hf_long_place(&w->cache, key);
  *at = end;
  if (fits && hf_long_hit(place, &key, length)) {
    memcpy(w->tokens.ids + before, place->ids, sizeof place->ids);
    w->tokens.count += place->count;
    return true;
  }
  bool done = ascii && length <= LOWER_BYTES ? add_ascii_word(t, &w->tokens, run, length, err) : add_run(t, w, run, length, err);
  if (!done || !hf_tokens_reserve(&w->tokens, size - end + SLACK, err)) return false;
  if (fits) hf_long_remember(place, key, length, &w->tokens, before);
  return true;
}

/* The ids of a short word the cache does not know. */
static bool sweep_new_word(const HfTokenizer *t, HfWorkspace *w, const char *word, size_t length, size_t left, uint64_t key, HfError *err) {
  size_t before = w->tokens.count;
  if (!add_ascii_word(t, &w->tokens, word, length, err) || !hf_tokens_reserve(&w->tokens, left + SLACK, err)) return false;
  hf_short_remember(hf_short_place(&w->cache, key), key, &w->tokens, before);
  return true;
}

/* ---- the sweep */

/* How many bytes at the low end are ASCII letters or digits: all eight are compared at once, each in its top bit. */
static inline unsigned word_length(uint64_t bytes) { return hf_bit_run(hf_letter_bits(bytes) | hf_digit_bits(bytes)); }

bool hf_bert_sweep_run(const HfTokenizer *t, HfWorkspace *w, const char *text, size_t size, HfError *err) {
  const HfBertSweep *sweep = t->sweep;
  HfTokens *tokens = &w->tokens;
  if (!hf_word_cache_make(&w->cache, err) || !hf_tokens_reserve(tokens, size + SLACK, err)) return false;
  for (size_t at = 0; at < size;) {
    uint64_t bytes = hf_load_bytes(text + at, size - at);
    unsigned length = word_length(bytes);
    if (!length) {
      unsigned char c = (unsigned char)bytes;
      if (sweep->kind[c] == KIND_OTHER) {
        if (!sweep_run(t, w, text, size, &at, err)) return false;
        continue;
      }
      if (sweep->kind[c] == KIND_PUNCTUATION) tokens->ids[tokens->count++] = sweep->single[c];
      at++;
      continue;
    }
    if (length == 8 || (at + length < size && sweep->kind[(unsigned char)(bytes >> 8 * length)] == KIND_OTHER)) {
      if (!sweep_run(t, w, text, size, &at, err)) return false;
      continue;
    }
    uint64_t key = bytes & (((uint64_t)1 << 8 * length) - 1);
    const HfShortWord *hit = hf_short_place(&w->cache, key);
    if (hit->key == key) {
      tokens->ids[tokens->count] = hit->ids[0];
      tokens->ids[tokens->count + 1] = hit->ids[1];
      tokens->count += 1 + (hit->ids[1] >= 0);
    } else if (!sweep_new_word(t, w, text + at, length, size - at - length, key, err)) {
      return false;
    }
    at += length + ((unsigned char)(bytes >> 8 * length) == ' ');
  }
  return true;
}
