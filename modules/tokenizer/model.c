/* Models: the list of kinds, vocabularies from tokenizer.json and vocab.txt, growing token lists. */
#include "model.h"
#include <string.h>
#include "component.h"
#include "json.h"
#include "json_scan.h"
#include "memory.h"
#include "unicode.h"

static const HfModelKind *const kinds[] = {&hf_model_word_piece, &hf_model_word_level, &hf_model_unigram, &hf_model_bpe};

void hf_tokens_free(HfTokens *tokens) {
  hf_free(tokens->ids);
  hf_free(tokens->offsets);
  hf_free(tokens->words);
  hf_free(tokens->spaces);
  *tokens = (HfTokens){0};
}

static bool grow(void **items, size_t capacity, size_t size, HfError *err) {
  void *grown = hf_realloc(*items, capacity * size, "tokens", err);
  if (grown) *items = grown;
  return grown != NULL;
}

bool hf_tokens_reserve(HfTokens *tokens, size_t extra, HfError *err) {
  if (extra > SIZE_MAX / 32 - tokens->count) return hf_error_memory(err, "tokens", extra);
  size_t needed = tokens->count + extra;
  if (needed > tokens->capacity) {
    size_t capacity = needed + needed / 2 + 64;
    if (!grow((void **)&tokens->ids, capacity, sizeof *tokens->ids, err)) return false;
    tokens->capacity = capacity;
  }
  if (tokens->detailed && tokens->detail_capacity < tokens->capacity) {
    if (!grow((void **)&tokens->offsets, tokens->capacity, sizeof *tokens->offsets, err)) return false;
    if (!grow((void **)&tokens->words, tokens->capacity, sizeof *tokens->words, err)) return false;
    tokens->detail_capacity = tokens->capacity;
  }
  if (tokens->spaced && tokens->space_capacity < tokens->capacity) {
    if (!grow((void **)&tokens->spaces, tokens->capacity, sizeof *tokens->spaces, err)) return false;
    tokens->space_capacity = tokens->capacity;
  }
  return true;
}

/* ---- vocabularies */

static size_t trimmed_size(const char *line, size_t size) {
  while (size) {
    uint32_t code;
    size_t last = hf_utf8_back(line, size);
    hf_utf8_decode(line + last, &code);
    if (!(hf_unicode_set(code) & HF_SPACE)) break;
    size = last;
  }
  return size;
}

bool hf_vocab_read_lines(HfVocab *vocab, HfVocabFile file, HfError *err) {
  const char *text = file.text, *where = file.where;
  size_t size = file.size, bad, lines = 0;
  if (!hf_utf8_valid(text, size, &bad)) return hf_error_set(err, "%s: expected UTF-8, found byte 0x%02x at %zu", where, (unsigned char)text[bad], bad);
  for (const char *at = text; (at = memchr(at, '\n', size - (size_t)(at - text))); at++) lines++;
  if (lines >= INT32_MAX) return hf_error_set(err, "%s: too many lines", where);
  if (!hf_vocab_reserve(vocab, lines + 1, err)) return false;
  int32_t id = 0;
  for (size_t at = 0; at < size; id++) {
    const char *line = text + at, *stop = memchr(line, '\n', size - at);
    size_t length = stop ? (size_t)(stop - line) : size - at;
    size_t token = trimmed_size(line, length);
    if (token && !hf_vocab_add(vocab, line, token, id, err)) return hf_error_prefix(err, "%s: line %d", where, id + 1);
    at += length + 1;
  }
  if (!vocab->count) return hf_error_set(err, "%s: no tokens in the file", where);
  vocab->limit = (size_t)id; /* a blank line takes an id */
  return true;
}

/* {"token": id, ...} */
static bool read_vocab_object(HfVocab *vocab, const cJSON *object, const char *where, HfError *err) {
  size_t count = 0;
  for (const cJSON *item = object->child; item; item = item->next) count++;
  if (count > INT32_MAX / 2) return hf_error_set(err, "%s: vocab: too many tokens", where);
  if (!hf_vocab_reserve(vocab, count, err)) return false;
  for (const cJSON *item = object->child; item; item = item->next) {
    int64_t id;
    char shown[HF_EXCERPT_SIZE];
    if (!hf_json_integer(item, &id) || id < 0 || (uint64_t)id >= 2 * count)
      return hf_error_set(err, "%s: vocab: token \"%s\": expected a whole number from 0 to %zu (twice the number of tokens)", where,
                          hf_excerpt(shown, item->string, strlen(item->string)), 2 * count - 1);
    if (!hf_vocab_add(vocab, item->string, strlen(item->string), (int32_t)id, err)) return hf_error_prefix(err, "%s: vocab", where);
  }
  return true;
}

static bool add_id(HfVocab *vocab, const HfJsonScanner *s, const char *token, size_t size, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  if (s->integer < 0 || (uint64_t)s->integer > s->size / 2) /* more tokens than the file has room for */
    return hf_error_set(err, "token \"%s\": id %lld is out of range", hf_excerpt(shown, token, size), (long long)s->integer);
  return hf_vocab_add(vocab, token, size, (int32_t)s->integer, err);
}

static bool scan_ids(HfVocab *vocab, HfJsonScanner *s, HfBuffer *token, HfError *err) {
  HfJsonEvent event;
  char shown[HF_EXCERPT_SIZE];
  while ((event = hf_json_next(s, err)) == HF_JSON_NAME) {
    token->size = 0;
    if (!hf_buffer_append(token, s->string, s->string_size, err)) return false;
    event = hf_json_next(s, err);
    if (event == HF_JSON_FAILED) return false;
    if (event != HF_JSON_INTEGER)
      return hf_error_set(err, "%s: token \"%s\": expected a whole number", s->where, hf_excerpt(shown, token->data, token->size));
    if (!add_id(vocab, s, token->data, token->size, err)) return hf_error_prefix(err, "%s", s->where);
  }
  if (event != HF_JSON_OBJECT_END) return false;
  if (vocab->limit <= 2 * vocab->count) return true;
  return hf_error_set(err, "%s: expected ids below %zu (twice the number of tokens), found %zu", s->where, 2 * vocab->count, vocab->limit - 1);
}

bool hf_vocab_scan_ids(HfVocab *vocab, HfJsonScanner *scanner, HfError *err) {
  HfBuffer token = {0};
  if (scanner->size > INT32_MAX) return hf_error_set(err, "%s: %zu bytes are too many", scanner->where, scanner->size);
  bool done = hf_vocab_reserve(vocab, scanner->size / 40, err) && scan_ids(vocab, scanner, &token, err);
  hf_buffer_free(&token);
  return done;
}

bool hf_vocab_read_ids(HfVocab *vocab, HfVocabFile file, HfError *err) {
  HfJsonScanner scanner;
  hf_json_scan(&scanner, file.text, file.size, file.where);
  HfJsonEvent event = hf_json_next(&scanner, err);
  bool done = event == HF_JSON_OBJECT && hf_vocab_scan_ids(vocab, &scanner, err) && hf_json_next(&scanner, err) == HF_JSON_END;
  if (event > HF_JSON_OBJECT) hf_error_set(err, "%s: expected an object of tokens and ids", file.where);
  hf_json_scan_end(&scanner);
  return done && (vocab->count || hf_error_set(err, "%s: no tokens in the file", file.where));
}

/* Old files have no "type". */
static const char *guess_type(const cJSON *json) {
  if (hf_json_find(json, "merges")) return "BPE";
  if (hf_json_find(json, "continuing_subword_prefix")) return "WordPiece";
  return cJSON_IsArray(hf_json_find(json, "vocab")) ? "Unigram" : "WordLevel";
}

static bool find_kind(HfModel *model, const cJSON *json, const char *where, HfError *err) {
  const char *type = NULL;
  if (!hf_json_get_string(json, "type", &type, where, err)) return false;
  if (!type) type = guess_type(json);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i]->type, type)) return model->kind = kinds[i], true;
  return hf_component_unknown(err, where, "model", type);
}

static bool read_vocab(HfModel *model, const cJSON *json, const HfVocabFiles *files, const char *where, HfError *err) {
  const cJSON *vocab = hf_json_find(json, "vocab");
  if (model->vocab.count) return true;
  if (!vocab && files->vocab.text && files->merges.text) return hf_vocab_read_ids(&model->vocab, files->vocab, err);
  if (!vocab && files->vocab.text && !model->kind->read_vocab) return hf_vocab_read_lines(&model->vocab, files->vocab, err);
  if (!vocab) return hf_json_require(json, "vocab", where, err) != NULL;
  if (model->kind->read_vocab) return model->kind->read_vocab(model, vocab, where, err);
  if (!cJSON_IsObject(vocab)) return hf_json_mismatch(vocab, "vocab", "object", where, err);
  return read_vocab_object(&model->vocab, vocab, where, err);
}

static bool read_merges(HfModel *model, const cJSON *json, const HfVocabFiles *files, const char *where, HfError *err) {
  const HfModelKind *kind = model->kind;
  if (!kind->read_merges && files->merges.text) return hf_error_set(err, "%s: the model %s has no merges", where, kind->type);
  if (!kind->read_merges) return true;
  if (files->merge_list.text) return kind->read_merges(model, files->merge_list, true, err);
  if (files->merges.text) return kind->read_merges(model, files->merges, false, err);
  const cJSON *item = hf_json_require(json, "merges", where, err);
  return item && hf_json_mismatch(item, "merges", "array", where, err);
}

bool hf_model_read(HfModel *model, const cJSON *json, const HfVocabFiles *files, const char *where, HfError *err) {
  if (!cJSON_IsObject(json)) return hf_json_mismatch(json, "model", "object", where, err);
  model->unk_id = -1;
  return find_kind(model, json, where, err) && read_vocab(model, json, files, where, err) && model->kind->read(model, json, where, err) &&
         read_merges(model, json, files, where, err);
}

void hf_model_free(HfModel *model) {
  if (model->kind && model->kind->release) model->kind->release(model);
  hf_vocab_free(&model->vocab);
  hf_free(model->unk_token);
  hf_free(model->scores);
  *model = (HfModel){0};
}
