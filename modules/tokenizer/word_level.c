/* WordLevel: a word is one token, or the unknown one. */
#include <string.h>
#include "json.h"
#include "model.h"

static bool read_word_level(HfModel *self, const cJSON *json, const char *where, HfError *err) {
  const char *unk = "<unk>";
  if (!hf_json_get_string(json, "unk_token", &unk, where, err)) return false;
  self->unk_token = hf_strndup(unk, strlen(unk), err);
  self->unk_id = hf_vocab_find(&self->vocab, unk, strlen(unk));
  return self->unk_token != NULL;
}

static bool tokenize_word_level(const HfModel *self, const char *word, size_t size, HfTokens *out, HfError *err) {
  int32_t id = hf_vocab_find(&self->vocab, word, size);
  if (id < 0) id = self->unk_id;
  if (id >= 0) return hf_tokens_add(out, id, 0, size, err);
  return hf_error_set(err, "WordLevel: a word is not in the vocabulary, and neither is the unknown token \"%s\"", self->unk_token);
}

const HfModelKind hf_model_word_level = {.type = "WordLevel", .read = read_word_level, .tokenize = tokenize_word_level};
