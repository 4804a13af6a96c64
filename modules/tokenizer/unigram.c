/* Unigram: a word is cut into the tokens whose scores (log-probabilities) have the largest sum. A character that is no token
 * by itself may also be unknown, at a price; unknown characters side by side are one token. */
#include <math.h>
#include <stdio.h>
#include "component.h"
#include "json.h"
#include "memory.h"
#include "model.h"
#include "unicode.h"

#define UNKNOWN_PRICE 10.0 /* below the lowest score */

/* ["token", score] */
static bool read_entry(HfModel *self, const cJSON *entry, int32_t id, const char *where, HfError *err) {
  const cJSON *token = cJSON_IsArray(entry) ? entry->child : NULL, *score = token ? token->next : NULL;
  if (!cJSON_IsString(token) || !cJSON_IsNumber(score) || score->next)
    return hf_error_set(err, "%s: vocab: entry %d: expected [token, score], found %s", where, id + 1, hf_json_kind(entry));
  self->scores[id] = score->valuedouble;
  if (!isfinite(score->valuedouble)) return hf_error_set(err, "%s: vocab: entry %d: the score is not a finite number", where, id + 1);
  return hf_vocab_add(&self->vocab, token->valuestring, strlen(token->valuestring), id, err) || hf_error_prefix(err, "%s: vocab", where);
}

static bool read_vocab(HfModel *self, const cJSON *vocab, const char *where, HfError *err) {
  if (!cJSON_IsArray(vocab)) return hf_json_mismatch(vocab, "vocab", "array", where, err);
  size_t count = 0;
  for (const cJSON *entry = vocab->child; entry; entry = entry->next) count++;
  if (count > INT32_MAX / 2) return hf_error_set(err, "%s: vocab: too many tokens", where);
  if (!hf_vocab_reserve(&self->vocab, count, err) || !(self->scores = hf_malloc((count + 1) * sizeof *self->scores, "vocabulary", err))) return false;
  int32_t id = 0;
  for (const cJSON *entry = vocab->child; entry; entry = entry->next)
    if (!read_entry(self, entry, id++, where, err)) return false;
  return true;
}

/* "<0x00>" to "<0xFF>" */
static void find_bytes(HfModel *self) {
  char name[8];
  for (int byte = 0; byte < 256; byte++) {
    snprintf(name, sizeof name, "<0x%02X>", byte);
    self->unigram.byte_ids[byte] = hf_vocab_find(&self->vocab, name, 6);
  }
}

static bool read_unigram(HfModel *self, const cJSON *json, const char *where, HfError *err) {
  int64_t unk = -1;
  if (!hf_json_get_integer(json, "unk_id", 0, (int64_t)self->vocab.count - 1, &unk, where, err) ||
      !hf_json_get_boolean(json, "byte_fallback", &self->unigram.byte_fallback, where, err))
    return false;
  double lowest = INFINITY;
  for (size_t i = 0; i < self->vocab.count; i++) lowest = fmin(lowest, self->scores[i]);
  self->unk_id = (int32_t)unk;
  self->unigram.unk_score = lowest - UNKNOWN_PRICE;
  find_bytes(self);
  return hf_trie_build(&self->unigram.trie, &self->vocab, err);
}

static void release_unigram(HfModel *self) { hf_trie_free(&self->unigram.trie); }

/* The best way to reach a position, and, once the end is reached, the token of the whole path that begins there. */
typedef struct Step {
  double score;
  uint32_t begin, end; /* where the last token begins; where the token that begins here ends */
  int32_t last, next;  /* these tokens; last -1: not reached */
} Step;

static bool improves(const Step *steps, size_t begin, size_t end, double score) {
  return steps[end].last < 0 || score + steps[begin].score > steps[end].score;
}

static void reach(Step *steps, size_t begin, size_t end, double score, int32_t id) {
  if (!improves(steps, begin, end, score)) return;
  steps[end].score = score + steps[begin].score;
  steps[end].begin = (uint32_t)begin;
  steps[end].last = id;
}

/* False when a character is unknown and there is no token for that. */
static bool find_path(const HfModel *self, const char *word, size_t size, Step *steps) {
  const HfTrie *trie = &self->unigram.trie;
  for (size_t i = 0; i <= size; i++) steps[i] = (Step){.last = -1};
  for (size_t at = 0, step; at < size; at += step) {
    step = hf_utf8_size((unsigned char)word[at]);
    bool single = false;
    uint32_t node = 0;
    for (size_t i = at; i < size && (node = hf_trie_next(trie, node, (unsigned char)word[i])); i++) {
      int32_t id = trie->nodes[node].id;
      if (id < 0) continue;
      reach(steps, at, i + 1, self->scores[id], id);
      single |= i + 1 == at + step;
    }
    if (single || !improves(steps, at, at + step, self->unigram.unk_score)) continue;
    if (self->unk_id < 0) return false;
    reach(steps, at, at + step, self->unigram.unk_score, self->unk_id);
  }
  return true;
}

static bool add_bytes(const HfModel *self, const char *word, size_t begin, size_t end, HfTokens *out, HfError *err) {
  for (size_t i = begin; i < end; i++)
    if (!hf_tokens_add(out, self->unigram.byte_ids[(unsigned char)word[i]], begin, end, err)) return false;
  return true;
}

/* Unknown text: a token all the same when its characters together are one, else bytes where all have tokens. */
static bool add_unknown(const HfModel *self, const char *word, size_t begin, size_t end, HfTokens *out, HfError *err) {
  int32_t id = hf_vocab_find(&self->vocab, word + begin, end - begin);
  if (id >= 0) return hf_tokens_add(out, id, begin, end, err);
  bool bytes = self->unigram.byte_fallback;
  for (size_t i = begin; bytes && i < end; i++) bytes = self->unigram.byte_ids[(unsigned char)word[i]] >= 0;
  return bytes ? add_bytes(self, word, begin, end, out, err) : hf_tokens_add(out, self->unk_id, begin, end, err);
}

static bool add_path(const HfModel *self, const char *word, size_t size, Step *steps, HfTokens *out, HfError *err) {
  for (size_t end = size; end > 0; end = steps[end].begin) {
    steps[steps[end].begin].end = (uint32_t)end;
    steps[steps[end].begin].next = steps[end].last;
  }
  for (size_t at = 0, end; at < size; at = end) {
    end = steps[at].end;
    if (steps[at].next != self->unk_id) {
      if (!hf_tokens_add(out, steps[at].next, at, end, err)) return false;
      continue;
    }
    while (end < size && steps[end].next == self->unk_id) end = steps[end].end;
    if (!add_unknown(self, word, at, end, out, err)) return false;
  }
  return true;
}

static bool tokenize_unigram(const HfModel *self, const char *word, size_t size, HfTokens *out, HfError *err) {
  Step few[257], *steps = size < 257 ? few : hf_malloc((size + 1) * sizeof *steps, "word", err);
  if (!steps) return false;
  bool done = find_path(self, word, size, steps)
    ? add_path(self, word, size, steps, out, err)
    : hf_error_set(err, "Unigram: a character is not in the vocabulary, and the model has no unknown token (unk_id)");
  if (steps != few) hf_free(steps);
  return done;
}

const HfModelKind hf_model_unigram = {.type = "Unigram", .read = read_unigram, .tokenize = tokenize_unigram,
                                      .release = release_unigram, .read_vocab = read_vocab};
