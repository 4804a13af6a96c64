/* Writing tokenizer.json: two spaces per level, characters beyond ASCII as they are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "memory.h"
#include "tokenizer.h"

static bool put(HfBuffer *out, const char *text, HfError *err) { return hf_buffer_append(out, text, strlen(text), err); }

static bool put_line(HfBuffer *out, int level, HfError *err) { return hf_buffer_format(out, err, "\n%*s", 2 * level, ""); }

static bool put_string(HfBuffer *out, const char *text, size_t size, HfError *err) {
  static const char *const named[32] = {['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
  if (!put(out, "\"", err)) return false;
  for (size_t i = 0, begin = 0; i <= size; i++) {
    unsigned char c = i < size ? (unsigned char)text[i] : '"';
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    if (!hf_buffer_append(out, text + begin, i - begin, err)) return false;
    begin = i + 1;
    if (i == size) break;
    bool done = c >= 0x20 ? hf_buffer_format(out, err, "\\%c", c) : named[c] ? put(out, named[c], err) : hf_buffer_format(out, err, "\\u%04x", c);
    if (!done) return false;
  }
  return put(out, "\"", err);
}

/* The shortest form that reads back as the same double. */
static bool put_double(HfBuffer *out, double value, HfError *err) {
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value) break;
  }
  return put(out, text, err) && (strpbrk(text, ".e") || put(out, ".0", err));
}

static bool put_number(HfBuffer *out, const cJSON *item, HfError *err) {
  int64_t whole;
  if (hf_json_integer(item, &whole)) return hf_buffer_format(out, err, "%" PRId64, whole);
  return put_double(out, item->valuedouble, err);
}

static bool put_value(HfBuffer *out, const cJSON *item, int level, HfError *err);

static bool put_children(HfBuffer *out, const cJSON *item, int level, HfError *err) {
  bool object = cJSON_IsObject(item);
  if (!item->child) return put(out, object ? "{}" : "[]", err);
  if (!put(out, object ? "{" : "[", err)) return false;
  for (const cJSON *child = item->child; child; child = child->next) {
    if (child != item->child && !put(out, ",", err)) return false;
    if (!put_line(out, level + 1, err)) return false;
    if (object && (!put_string(out, child->string, strlen(child->string), err) || !put(out, ": ", err))) return false;
    if (!put_value(out, child, level + 1, err)) return false;
  }
  return put_line(out, level, err) && put(out, object ? "}" : "]", err);
}

static bool put_value(HfBuffer *out, const cJSON *item, int level, HfError *err) {
  if (cJSON_IsString(item)) return put_string(out, item->valuestring, strlen(item->valuestring), err);
  if (cJSON_IsNumber(item)) return put_number(out, item, err);
  if (cJSON_IsBool(item)) return put(out, cJSON_IsTrue(item) ? "true" : "false", err);
  if (cJSON_IsNull(item)) return put(out, "null", err);
  return put_children(out, item, level, err);
}

static bool put_field(HfBuffer *out, const char *name, int level, HfError *err) {
  return put_line(out, level, err) && put_string(out, name, strlen(name), err) && put(out, ": ", err);
}

/* ---- added tokens, in the order of their ids */

static int by_id(const void *a, const void *b) {
  const HfAddedToken *x = *(const HfAddedToken *const *)a, *y = *(const HfAddedToken *const *)b;
  return (x->id > y->id) - (x->id < y->id);
}

static bool put_added_token(HfBuffer *out, const HfAddedToken *token, HfError *err) {
  const struct { const char *name; bool value; } flags[] = {
    {"single_word", token->single_word}, {"lstrip", token->lstrip}, {"rstrip", token->rstrip},
    {"normalized", token->normalized}, {"special", token->special}};
  if (!put_line(out, 2, err) || !put(out, "{", err) || !put_field(out, "id", 3, err)) return false;
  if (!hf_buffer_format(out, err, "%d,", token->id) || !put_field(out, "content", 3, err)) return false;
  if (!put_string(out, token->content, token->size, err)) return false;
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (!put(out, ",", err) || !put_field(out, flags[i].name, 3, err) || !put(out, flags[i].value ? "true" : "false", err)) return false;
  return put_line(out, 2, err) && put(out, "}", err);
}

static bool put_added_tokens(HfBuffer *out, const HfAddedTokens *list, HfError *err) {
  if (!list->count) return put(out, "[]", err);
  const HfAddedToken **order = hf_malloc(list->count * sizeof *order, "added tokens", err);
  if (!order) return false;
  for (size_t i = 0; i < list->count; i++) order[i] = &list->items[i];
  qsort(order, list->count, sizeof *order, by_id);
  bool done = put(out, "[", err);
  for (size_t i = 0; done && i < list->count; i++) done = (!i || put(out, ",", err)) && put_added_token(out, order[i], err);
  hf_free(order);
  return done && put_line(out, 1, err) && put(out, "]", err);
}

/* ---- the model */

static bool put_vocabulary(HfBuffer *out, const HfVocab *vocab, HfError *err) {
  bool first = true;
  if (!put(out, "{", err)) return false;
  for (size_t id = 0; id < vocab->limit; id++) {
    size_t size;
    const char *token = hf_vocab_token(vocab, (int64_t)id, &size);
    if (!token) continue;
    if ((!first && !put(out, ",", err)) || !put_line(out, 3, err)) return false;
    if (!put_string(out, token, size, err) || !hf_buffer_format(out, err, ": %zu", id)) return false;
    first = false;
  }
  return put_line(out, 2, err) && put(out, "}", err);
}

/* [["token", score], ...]; there are no holes. */
static bool put_scores(HfBuffer *out, const HfVocab *vocab, const double *scores, HfError *err) {
  if (!put(out, "[", err)) return false;
  for (size_t id = 0; id < vocab->limit; id++) {
    size_t size = 0;
    const char *token = hf_vocab_token(vocab, (int64_t)id, &size);
    if ((id && !put(out, ",", err)) || !put_line(out, 3, err) || !put(out, "[", err) || !put_line(out, 4, err)) return false;
    if (!put_string(out, token, size, err) || !put(out, ",", err) || !put_line(out, 4, err)) return false;
    if (!put_double(out, scores[id], err) || !put_line(out, 3, err) || !put(out, "]", err)) return false;
  }
  return put_line(out, 2, err) && put(out, "]", err);
}

/* [["first", "second"], ...] in the order of the ranks; of two equal merges the later counts. */
static bool put_merges(HfBuffer *out, const HfBpe *bpe, const HfVocab *vocab, HfError *err) {
  bool any = false;
  if (!put(out, ",", err) || !put_field(out, "merges", 2, err) || !put(out, "[", err)) return false;
  for (size_t rank = 0; rank < bpe->count; rank++) {
    HfMerge merge = bpe->merges[rank];
    if (hf_bpe_find(bpe, merge.first, merge.second)->rank != rank) continue;
    size_t first = 0, second = 0;
    const char *a = hf_vocab_token(vocab, merge.first, &first), *b = hf_vocab_token(vocab, merge.second, &second);
    if ((any && !put(out, ",", err)) || !put_line(out, 3, err) || !put(out, "[", err) || !put_line(out, 4, err)) return false;
    if (!put_string(out, a, first, err) || !put(out, ",", err) || !put_line(out, 4, err)) return false;
    if (!put_string(out, b, second, err) || !put_line(out, 3, err) || !put(out, "]", err)) return false;
    any = true;
  }
  return (!any || put_line(out, 2, err)) && put(out, "]", err);
}

static bool put_model(HfBuffer *out, const HfTokenizer *t, const cJSON *json, HfError *err) {
  if (!put(out, "{", err)) return false;
  for (const cJSON *child = json->child; child; child = child->next)
    if (!put_field(out, child->string, 2, err) || !put_value(out, child, 2, err) || !put(out, ",", err)) return false;
  const HfModel *model = &t->model;
  bool done = put_field(out, "vocab", 2, err) &&
              (model->scores ? put_scores(out, &model->vocab, model->scores, err) : put_vocabulary(out, &model->vocab, err));
  done = done && (model->kind != &hf_model_bpe || put_merges(out, &model->bpe, &model->vocab, err));
  return done && put_line(out, 1, err) && put(out, "}", err);
}

/* ---- vocabulary files */

/* {"token":id,...}, without spaces as Hugging Face's tokenizers write it. */
static bool write_ids(const HfVocab *vocab, HfBuffer *out, HfError *err) {
  const char *before = "{";
  for (size_t id = 0; id < vocab->limit; id++) {
    size_t size;
    const char *token = hf_vocab_token(vocab, (int64_t)id, &size);
    if (!token) continue;
    if (!put(out, before, err) || !put_string(out, token, size, err) || !hf_buffer_format(out, err, ":%zu", id)) return false;
    before = ",";
  }
  return put(out, *before == '{' ? "{}" : "}", err);
}

/* One token a line; an id without a token is an empty line. */
static bool write_lines(const HfVocab *vocab, HfBuffer *out, HfError *err) {
  for (size_t id = 0; id < vocab->limit; id++) {
    size_t size = 0;
    const char *token = hf_vocab_token(vocab, (int64_t)id, &size);
    if ((token && !hf_buffer_append(out, token, size, err)) || !put(out, "\n", err)) return false;
  }
  return true;
}

bool hf_tokenizer_write_vocabulary(const HfTokenizer *t, HfBuffer *out, HfError *err) {
  const HfModel *model = &t->model;
  if (model->kind == &hf_model_bpe) return write_ids(&model->vocab, out, err);
  if (model->kind == &hf_model_word_piece) return write_lines(&model->vocab, out, err);
  return hf_error_set(err, "a vocabulary of the model %s has no file of its own; save_pretrained writes it into tokenizer.json", model->kind->type);
}

bool hf_tokenizer_write_merges(const HfTokenizer *t, HfBuffer *out, HfError *err) {
  const HfModel *model = &t->model;
  const HfBpe *bpe = &model->bpe;
  if (model->kind != &hf_model_bpe) return hf_error_set(err, "the model %s has no merges", model->kind->type);
  if (!put(out, "#version: 0.2\n", err)) return false;
  for (size_t rank = 0; rank < bpe->count; rank++) {
    HfMerge merge = bpe->merges[rank];
    if (hf_bpe_find(bpe, merge.first, merge.second)->rank != rank) continue;
    size_t first = 0, second = 0;
    const char *a = hf_vocab_token(&model->vocab, merge.first, &first), *b = hf_vocab_token(&model->vocab, merge.second, &second);
    if (!hf_buffer_append(out, a, first, err) || !put(out, " ", err) || !hf_buffer_append(out, b, second, err) || !put(out, "\n", err)) return false;
  }
  return true;
}

bool hf_tokenizer_write_part(const HfTokenizer *t, const char *part, HfBuffer *out, HfError *err) {
  const cJSON *json = hf_json_find(t->json, part);
  return json ? put_value(out, json, 0, err) : put(out, "null", err);
}

bool hf_tokenizer_write_json(const HfTokenizer *t, HfBuffer *out, HfError *err) {
  static const char *const before[] = {"truncation", "padding"};
  static const char *const after[] = {"normalizer", "pre_tokenizer", "post_processor", "decoder"};
  cJSON none = {.type = cJSON_NULL};
  if (!put(out, "{\n  \"version\": \"1.0\",", err)) return false;
  for (int i = 0; i < 2; i++) {
    const cJSON *item = hf_json_find(t->json, before[i]);
    if (!put_field(out, before[i], 1, err) || !put_value(out, item ? item : &none, 1, err) || !put(out, ",", err)) return false;
  }
  if (!put_field(out, "added_tokens", 1, err) || !put_added_tokens(out, &t->added, err) || !put(out, ",", err)) return false;
  for (int i = 0; i < 4; i++) {
    const cJSON *item = hf_json_find(t->json, after[i]);
    if (!put_field(out, after[i], 1, err) || !put_value(out, item ? item : &none, 1, err) || !put(out, ",", err)) return false;
  }
  return put_field(out, "model", 1, err) && put_model(out, t, hf_json_find(t->json, "model"), err) && put(out, "\n}", err);
}
