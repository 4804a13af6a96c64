/* Added tokens: the list, the matchers, and cutting a text at them. */
#include "added_tokens.h"
#include <stdlib.h>
#include <string.h>
#include "memory.h"
#include "unicode.h"

static void free_matcher(HfMatcher *matcher) {
  hf_vocab_free(&matcher->patterns);
  memset(matcher->longest, 0, sizeof matcher->longest);
  matcher->first = 0;
}

void hf_added_tokens_free(HfAddedTokens *list) {
  for (size_t i = 0; i < list->count; i++) {
    hf_free(list->items[i].content);
    hf_free(list->items[i].shown);
  }
  hf_free(list->items);
  hf_free(list->by_id);
  hf_vocab_free(&list->contents);
  free_matcher(&list->original);
  free_matcher(&list->normalized);
  *list = (HfAddedTokens){0};
}

const HfAddedToken *hf_added_tokens_find(const HfAddedTokens *list, const char *content, size_t size) {
  int32_t place = hf_vocab_find(&list->contents, content, size);
  return place < 0 ? NULL : &list->items[place];
}

const HfAddedToken *hf_added_tokens_find_id(const HfAddedTokens *list, int64_t id) {
  for (size_t low = 0, high = list->indexed; low < high;) {
    size_t middle = (low + high) / 2;
    const HfAddedToken *token = &list->items[(uint32_t)list->by_id[middle]];
    if (token->id == id) return token;
    if (token->id < id) low = middle + 1;
    else high = middle;
  }
  for (size_t i = list->indexed; i < list->count; i++)
    if (list->items[i].id == id) return &list->items[i];
  return NULL;
}

static int compare_ids(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static bool index_ids(HfAddedTokens *list, HfError *err) {
  uint64_t *by_id = hf_realloc(list->by_id, list->count * sizeof *by_id, "added tokens", err);
  if (!by_id) return false;
  list->by_id = by_id;
  for (size_t i = 0; i < list->count; i++) by_id[i] = (uint64_t)list->items[i].id << 32 | i;
  qsort(by_id, list->count, sizeof *by_id, compare_ids);
  list->indexed = list->count;
  return true;
}

bool hf_added_tokens_put(HfAddedTokens *list, const HfAddedToken *token, HfError *err) {
  HfAddedToken *there = (HfAddedToken *)hf_added_tokens_find(list, token->content, token->size);
  if (!there) {
    if (!hf_array_grow((void **)&list->items, list->count, &list->capacity, sizeof *list->items, "added tokens", err)) return false;
    char *content = hf_strndup(token->content, token->size, err);
    if (!content) return false;
    if (!hf_vocab_add(&list->contents, content, token->size, (int32_t)list->count, err)) return hf_free(content), false;
    there = &list->items[list->count++];
    *there = (HfAddedToken){.content = content};
  }
  char *content = there->content, *shown = there->shown;
  size_t shown_size = there->shown_size;
  *there = *token;
  there->content = content;
  there->shown = shown;
  there->shown_size = shown_size;
  return true;
}

/* ---- matchers */

static bool add_pattern(HfMatcher *matcher, const char *text, size_t size, size_t index, HfError *err) {
  if (!size || hf_vocab_find(&matcher->patterns, text, size) >= 0) return true;
  if (!hf_vocab_add(&matcher->patterns, text, size, (int32_t)index, err)) return false;
  unsigned char first = (unsigned char)text[0];
  matcher->first = matcher->patterns.count == 1 || matcher->first == first ? first : -1;
  uint32_t *longest = &matcher->longest[first];
  if (size > *longest) *longest = (uint32_t)size;
  return true;
}

static bool set_shown(HfAddedToken *token, const char *text, size_t size, HfError *err) {
  char *shown = hf_strndup(text, size, err);
  if (!shown) return false;
  hf_free(token->shown);
  token->shown = shown;
  token->shown_size = size;
  return true;
}

static bool add_normalized(HfAddedTokens *list, size_t index, const HfNormalizers *normalizers, HfError *err) {
  HfNormalizerScratch scratch = {0};
  HfText text = {0};
  HfSpan content = {list->items[index].content, list->items[index].size, NULL};
  bool done = hf_normalizers_apply(normalizers, content, &text, &scratch, err) &&
              set_shown(&list->items[index], text.bytes ? text.bytes : "", text.size, err) &&
              add_pattern(&list->normalized, text.bytes, text.size, index, err);
  hf_text_free(&text);
  hf_normalizer_scratch_free(&scratch);
  return done;
}

static bool add_original(HfAddedTokens *list, size_t index, HfError *err) {
  HfAddedToken *token = &list->items[index];
  return set_shown(token, token->content, token->size, err) && add_pattern(&list->original, token->content, token->size, index, err);
}

bool hf_added_tokens_prepare(HfAddedTokens *list, const HfNormalizers *normalizers, HfError *err) {
  free_matcher(&list->original);
  free_matcher(&list->normalized);
  for (size_t i = 0; i < list->count; i++)
    if (!(list->items[i].normalized ? add_normalized(list, i, normalizers, err) : add_original(list, i, err))) return false;
  return index_ids(list, err);
}

/* The longest pattern at `text`, its size in *taken; -1: none. */
static int32_t match_at(const HfMatcher *matcher, const char *text, size_t size, size_t *taken) {
  size_t limit = matcher->longest[(unsigned char)text[0]];
  if (limit > size) limit = size;
  int32_t found = -1;
  uint64_t hash = HF_HASH_START;
  for (size_t length = 1; length <= limit; length++) {
    hash = hf_hash_byte(hash, (unsigned char)text[length - 1]);
    int32_t index = hf_vocab_find_hashed(&matcher->patterns, hash, "", 0, text, length);
    if (index >= 0) found = index, *taken = length;
  }
  return found;
}

/* ---- cutting */

static bool is_word_at(const char *text, size_t at) {
  uint32_t code;
  hf_utf8_decode(text + at, &code);
  return hf_unicode_set(code) & HF_WHITESPACE_WORD;
}

static bool inside_word(const char *text, size_t size, size_t begin, size_t end) {
  return (begin > 0 && is_word_at(text, hf_utf8_back(text, begin))) || (end < size && is_word_at(text, end));
}

static size_t skip_spaces_back(const char *text, size_t at) {
  while (at > 0) {
    uint32_t code;
    size_t last = hf_utf8_back(text, at);
    hf_utf8_decode(text + last, &code);
    if (!(hf_unicode_set(code) & HF_SPACE)) break;
    at = last;
  }
  return at;
}

static size_t skip_spaces(const char *text, size_t size, size_t at) {
  while (at < size) {
    uint32_t code;
    size_t step = hf_utf8_decode(text + at, &code);
    if (!(hf_unicode_set(code) & HF_SPACE)) break;
    at += step;
  }
  return at;
}

/* The next place from `at` on where a pattern may begin. */
static size_t next_candidate(const HfMatcher *matcher, HfSpan in, size_t at) {
  if (matcher->first > 0) {
    const char *found = memchr(in.bytes + at, matcher->first, in.size - at);
    return found ? (size_t)(found - in.bytes) : in.size;
  }
  while (at < in.size && !matcher->longest[(unsigned char)in.bytes[at]]) at++;
  return at;
}

bool hf_added_tokens_split(const HfAddedTokens *list, const HfMatcher *matcher, bool skip_special, HfSpan in, size_t base,
                           HfPieceList *out, HfError *err) {
  size_t done = 0;
  for (size_t at = 0, taken = 0; matcher->patterns.count && at < in.size; at += taken) {
    at = next_candidate(matcher, in, at);
    if (at == in.size) break;
    taken = 1;
    int32_t index = match_at(matcher, in.bytes + at, in.size - at, &taken);
    if (index < 0) continue;
    const HfAddedToken *token = &list->items[index];
    if (skip_special && token->special) continue;
    size_t begin = at, end = at + taken;
    if (token->single_word && inside_word(in.bytes, in.size, begin, end)) continue;
    if (token->lstrip) begin = skip_spaces_back(in.bytes, begin);
    if (token->lstrip && begin < done) begin = done;
    if (token->rstrip) end = skip_spaces(in.bytes, in.size, end);
    if (done < begin && !hf_piece_add(out, base + done, base + begin, -1, err)) return false;
    if (!hf_piece_add(out, base + begin, base + end, token->id, err)) return false;
    done = end;
  }
  return done >= in.size || hf_piece_add(out, base + done, base + in.size, -1, err);
}
