/* WordPiece: a word is cut from the front into the longest tokens the vocabulary has; a word that cannot be cut whole is
 * one unknown token. */
#include <string.h>
#include "component.h"
#include "json.h"
#include "memory.h"
#include "model.h"
#include "unicode.h"

static bool read_word_piece(HfModel *self, const cJSON *json, const char *where, HfError *err) {
  const char *prefix = "##", *unk = "[UNK]";
  self->word_piece.max_characters = 100;
  if (!hf_json_get_string(json, "continuing_subword_prefix", &prefix, where, err) ||
      !hf_json_get_string(json, "unk_token", &unk, where, err) ||
      !hf_json_get_integer(json, "max_input_chars_per_word", 0, INT32_MAX, &self->word_piece.max_characters, where, err))
    return false;
  self->word_piece.prefix_size = strlen(prefix);
  self->word_piece.prefix = hf_strndup(prefix, strlen(prefix), err);
  self->unk_token = hf_strndup(unk, strlen(unk), err);
  if (!self->word_piece.prefix || !self->unk_token) return false;
  self->word_piece.prefix_hash = hf_hash_bytes(HF_HASH_START, prefix, strlen(prefix));
  self->unk_id = hf_vocab_find(&self->vocab, unk, strlen(unk));
  return true;
}

static void release_word_piece(HfModel *self) { hf_free(self->word_piece.prefix); }

static bool add_unknown(const HfModel *self, size_t size, HfTokens *out, HfError *err) {
  if (self->unk_id >= 0) return hf_tokens_add(out, self->unk_id, 0, size, err);
  return hf_error_set(err, "WordPiece: a word is not in the vocabulary, and neither is the unknown token \"%s\"", self->unk_token);
}

/* The longest token at the front of `rest`; its size goes to *taken. -1: none. `hashes` has room for one hash per prefix:
 * one pass over the bytes gives them all, then the prefixes are looked up from the longest on. */
static int32_t longest_piece(const HfModel *self, bool first, const char *rest, size_t size, uint64_t *hashes, size_t *taken) {
  const char *prefix = first ? "" : self->word_piece.prefix;
  size_t prefix_size = first ? 0 : self->word_piece.prefix_size;
  size_t limit = self->vocab.longest > prefix_size ? self->vocab.longest - prefix_size : 0;
  if (limit > size) limit = size;
  hashes[0] = first ? HF_HASH_START : self->word_piece.prefix_hash;
  for (size_t i = 0; i < limit; i++) hashes[i + 1] = hf_hash_byte(hashes[i], (unsigned char)rest[i]);
  for (size_t length = limit; length > 0; length--) {
    if (length < size && ((unsigned char)rest[length] & 0xC0) == 0x80) continue; /* inside a character */
    int32_t id = hf_vocab_find_hashed(&self->vocab, hashes[length], prefix, prefix_size, rest, length);
    if (id >= 0) return *taken = length, id;
  }
  return -1;
}

static bool cut_word(const HfModel *self, const char *word, size_t size, uint64_t *hashes, HfTokens *out, HfError *err) {
  size_t mark = out->count;
  for (size_t at = 0, taken = 0; at < size; at += taken) {
    int32_t id = longest_piece(self, at == 0, word + at, size - at, hashes, &taken);
    if (id < 0) {
      out->count = mark;
      return add_unknown(self, size, out, err);
    }
    if (!hf_tokens_add(out, id, at, at + taken, err)) return false;
  }
  return true;
}

static bool tokenize_word_piece(const HfModel *self, const char *word, size_t size, HfTokens *out, HfError *err) {
  if ((int64_t)size > self->word_piece.max_characters && (int64_t)hf_utf8_count(word, size) > self->word_piece.max_characters)
    return add_unknown(self, size, out, err);
  uint64_t few[257], *hashes = size < 257 ? few : hf_malloc((size + 1) * sizeof *hashes, "word", err);
  bool done = hashes && cut_word(self, word, size, hashes, out, err);
  if (hashes != few) hf_free(hashes);
  return done;
}

const HfModelKind hf_model_word_piece = {"WordPiece", read_word_piece, tokenize_word_piece, release_word_piece};
