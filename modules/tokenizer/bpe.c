/* The model BPE: the characters of a word become tokens, which are merged. */
#include "bpe.h"
#include <string.h>
#include "json.h"
#include "memory.h"
#include "model.h"
#include "unicode.h"

/* ---- reading */

static bool read_text(const cJSON *json, const char *field, char **out, size_t *size, const char *where, HfError *err) {
  const char *text = "";
  if (!hf_json_get_string(json, field, &text, where, err)) return false;
  *size = strlen(text);
  return (*out = hf_strndup(text, *size, err)) != NULL;
}

static bool read_unknown(HfModel *self, const cJSON *json, const char *where, HfError *err) {
  const char *unk = NULL;
  if (!hf_json_get_string(json, "unk_token", &unk, where, err)) return false;
  if (!unk) return true;
  self->unk_id = hf_vocab_find(&self->vocab, unk, strlen(unk));
  return (self->unk_token = hf_strndup(unk, strlen(unk), err)) != NULL;
}

static bool read_bpe(HfModel *self, const cJSON *json, const char *where, HfError *err) {
  HfBpe *bpe = &self->bpe;
  double dropout = 0;
  if (!hf_json_get_number(json, "dropout", 0, 1, &dropout, where, err)) return false;
  if (dropout > 0) return hf_error_set(err, "%s: field \"dropout\": expected null or 0 (random merges are not supported), found %g", where, dropout);
  return read_unknown(self, json, where, err) &&
         read_text(json, "continuing_subword_prefix", &bpe->prefix, &bpe->prefix_size, where, err) &&
         read_text(json, "end_of_word_suffix", &bpe->suffix, &bpe->suffix_size, where, err) &&
         hf_json_get_boolean(json, "fuse_unk", &bpe->fuse_unk, where, err) &&
         hf_json_get_boolean(json, "byte_fallback", &bpe->byte_fallback, where, err) &&
         hf_json_get_boolean(json, "ignore_merges", &bpe->ignore_merges, where, err);
}

static bool read_merges(HfModel *self, HfVocabFile file, bool list, HfError *err) {
  hf_bpe_find_ids(&self->bpe, &self->vocab);
  return (list ? hf_bpe_read_list : hf_bpe_read_lines)(&self->bpe, &self->vocab, file.text, file.size, file.where, err) &&
         hf_bpe_prepare(&self->bpe, err);
}

static void release_bpe(HfModel *self) { hf_bpe_free(&self->bpe); }

/* ---- the symbols of a word */

/* A word that is cut into characters. */
typedef struct Cutter {
  const HfModel *model;
  const char *word;
  size_t size;
  HfSymbol *symbols;
  size_t count;
  uint32_t unknown; /* bytes of unknown characters that wait for their symbol; 0: none */
} Cutter;

static void add_symbol(Cutter *c, int32_t id, size_t size) { c->symbols[c->count++] = (HfSymbol){id, (uint32_t)size}; }

static void flush_unknown(Cutter *c) {
  if (c->unknown) add_symbol(c, c->model->unk_id, c->unknown);
  c->unknown = 0;
}

/* The character [at, end) as the vocabulary may have it: with prefix and suffix. Caller frees out->data. */
static bool spell(const Cutter *c, size_t at, size_t end, HfBuffer *out, HfError *err) {
  const HfBpe *bpe = &c->model->bpe;
  return (!at || hf_buffer_append(out, bpe->prefix, bpe->prefix_size, err)) && hf_buffer_append(out, c->word + at, end - at, err) &&
         (end < c->size || hf_buffer_append(out, bpe->suffix, bpe->suffix_size, err));
}

static bool add_unknown(Cutter *c, size_t size, HfError *err) {
  const HfModel *model = c->model;
  if (!model->unk_token) return true; /* it is dropped */
  if (model->unk_id < 0)
    return hf_error_set(err, "BPE: a character is not in the vocabulary, and neither is the unknown token \"%s\"", model->unk_token);
  if (!model->bpe.fuse_unk) flush_unknown(c);
  c->unknown += (uint32_t)size;
  return true;
}

/* "<0x0A>" for each byte, when the vocabulary has them all. */
static bool add_bytes(Cutter *c, const char *bytes, size_t size) {
  const int32_t *ids = c->model->bpe.byte_ids;
  for (size_t i = 0; i < size; i++)
    if (ids[(unsigned char)bytes[i]] < 0) return false;
  for (size_t i = 0; i < size; i++) add_symbol(c, ids[(unsigned char)bytes[i]], 1);
  return true;
}

static bool add_spelled(Cutter *c, size_t at, size_t end, const char *text, size_t size, HfError *err) {
  int32_t id = hf_vocab_find(&c->model->vocab, text, size);
  if (id >= 0) return flush_unknown(c), add_symbol(c, id, end - at), true;
  if (c->model->bpe.byte_fallback && add_bytes(c, text, size)) return true;
  return add_unknown(c, end - at, err);
}

static bool add_character(Cutter *c, size_t at, size_t end, HfError *err) {
  const HfBpe *bpe = &c->model->bpe;
  bool plain = (!at || !bpe->prefix_size) && (end < c->size || !bpe->suffix_size);
  if (plain) return add_spelled(c, at, end, c->word + at, end - at, err);
  HfBuffer text = {0};
  bool done = spell(c, at, end, &text, err) && add_spelled(c, at, end, text.data, text.size, err);
  hf_buffer_free(&text);
  return done;
}

static bool cut(Cutter *c, HfError *err) {
  bool quick = !c->model->bpe.prefix_size && !c->model->bpe.suffix_size;
  for (size_t at = 0, end; at < c->size; at = end) {
    uint32_t code;
    end = at + hf_utf8_decode(c->word + at, &code);
    if (quick && code < HF_BYTE_LEVEL_LIMIT && c->model->bpe.char_ids[code] >= 0) {
      flush_unknown(c);
      add_symbol(c, c->model->bpe.char_ids[code], end - at);
    } else if (!add_character(c, at, end, err)) {
      return false;
    }
  }
  flush_unknown(c);
  return true;
}

/* ---- tokens */

static bool add_tokens(const HfSymbol *symbols, size_t count, HfTokens *out, HfError *err) {
  if (!hf_tokens_reserve(out, count, err)) return false;
  for (size_t i = 0, at = 0; i < count; at += symbols[i++].size) hf_tokens_add(out, symbols[i].id, at, at + symbols[i].size, err);
  return true;
}

#define FEW 256

static bool tokenize_bpe(const HfModel *self, const char *word, size_t size, HfTokens *out, HfError *err) {
  const HfBpe *bpe = &self->bpe;
  int32_t whole = bpe->ignore_merges ? hf_vocab_find(&self->vocab, word, size) : -1;
  if (whole >= 0) return hf_tokens_add(out, whole, 0, size, err);
  HfSymbol few[FEW];
  size_t most = size + bpe->suffix_size + (bpe->byte_fallback ? size * bpe->prefix_size : 0); /* one for each byte at most */
  HfSymbol *symbols = most <= FEW ? few : hf_malloc(most * sizeof *symbols, "word", err);
  Cutter c = {.model = self, .word = word, .size = size, .symbols = symbols};
  bool done = symbols && cut(&c, err) && hf_bpe_merge(bpe, symbols, &c.count, err) && add_tokens(symbols, c.count, out, err);
  if (symbols != few) hf_free(symbols);
  return done;
}

const HfModelKind hf_model_bpe = {.type = "BPE", .read = read_bpe, .read_merges = read_merges, .tokenize = tokenize_bpe, .release = release_bpe};
