/* Tokenizers: reading tokenizer.json, tokens and ids, decoding, adding tokens. Writing is in tokenizer_json.c. */
#include "tokenizer.h"
#include <string.h>
#include "json.h"
#include "memory.h"
#include "model_tables.h"

static void free_workspace(HfWorkspace *w) {
  hf_text_free(&w->source);
  hf_free(w->raw.items);
  hf_pieces_free(&w->pieces);
  hf_pieces_free(&w->spare);
  hf_normalizer_scratch_free(&w->scratch);
  hf_tokens_free(&w->tokens);
  hf_word_cache_free(&w->cache);
}

static void free_workspaces(HfTokenizer *t) {
  for (size_t i = 0; i < t->workspace_count; i++) free_workspace(&t->workspaces[i]);
  hf_free(t->workspaces);
  t->workspaces = NULL;
  t->workspace_count = 0;
}

void hf_tokenizer_free(HfTokenizer *t) {
  if (!t) return;
  free_workspaces(t);
  hf_free(t->sequences);
  hf_free(t->rows.items);
  hf_free(t->sweep);
  hf_normalizers_free(&t->normalizers);
  hf_pre_tokenizers_free(&t->pre_tokenizers);
  hf_model_free(&t->model);
  hf_post_processor_free(&t->post_processor);
  hf_decoders_free(&t->decoders);
  hf_added_tokens_free(&t->added);
  cJSON_Delete(t->json);
  hf_free(t);
}

/* ---- tokens and ids */

int32_t hf_tokenizer_id(const HfTokenizer *t, const char *token, size_t size) {
  const HfAddedToken *added = hf_added_tokens_find(&t->added, token, size);
  return added ? added->id : hf_vocab_find(&t->model.vocab, token, size);
}

const char *hf_tokenizer_token(const HfTokenizer *t, int64_t id, size_t *size) {
  const HfAddedToken *added = hf_added_tokens_find_id(&t->added, id);
  if (!added) return hf_vocab_token(&t->model.vocab, id, size);
  *size = added->shown_size;
  return added->shown;
}

size_t hf_tokenizer_vocab_size(const HfTokenizer *t, bool with_added) {
  size_t count = t->model.vocab.count;
  for (size_t i = 0; with_added && i < t->added.count; i++)
    count += hf_vocab_find(&t->model.vocab, t->added.items[i].content, t->added.items[i].size) < 0;
  return count;
}

int64_t hf_tokenizer_id_limit(const HfTokenizer *t) {
  int64_t limit = (int64_t)t->model.vocab.limit;
  for (size_t i = 0; i < t->added.count; i++)
    if (t->added.items[i].id >= limit) limit = (int64_t)t->added.items[i].id + 1;
  return limit;
}

static bool id_is_known(const void *data, int64_t id) {
  const HfTokenizer *t = data;
  size_t size;
  return hf_added_tokens_find_id(&t->added, id) || hf_vocab_token(&t->model.vocab, id, &size);
}

/* ---- added tokens */

/* What depends on the added tokens and the normalizer. */
static bool prepare(HfTokenizer *t, HfError *err) {
  if (!hf_added_tokens_prepare(&t->added, &t->normalizers, err)) return false;
  free_workspaces(t); /* cached words may be cut differently now */
  hf_free(t->sweep);
  err->message[0] = 0;
  t->sweep = hf_bert_sweep_new(t, err);
  t->byte_sweep = hf_byte_sweep_of(t);
  return t->sweep || !err->message[0];
}

bool hf_tokenizer_add_tokens(HfTokenizer *t, HfAddedToken *tokens, size_t count, size_t *added, HfError *err) {
  *added = 0;
  for (size_t i = 0; i < count; i++) {
    if (!tokens[i].size) continue;
    const HfAddedToken *there = hf_added_tokens_find(&t->added, tokens[i].content, tokens[i].size);
    tokens[i].id = hf_tokenizer_id(t, tokens[i].content, tokens[i].size);
    if (tokens[i].id < 0) tokens[i].id = (int32_t)hf_tokenizer_id_limit(t);
    *added += !there;
    if (!hf_added_tokens_put(&t->added, &tokens[i], err)) return false;
  }
  return prepare(t, err);
}

static bool read_flags(const cJSON *item, HfAddedToken *token, const char *where, HfError *err) {
  token->normalized = true;
  return hf_json_get_boolean(item, "special", &token->special, where, err) &&
         hf_json_get_boolean(item, "normalized", &token->normalized, where, err) &&
         hf_json_get_boolean(item, "single_word", &token->single_word, where, err) &&
         hf_json_get_boolean(item, "lstrip", &token->lstrip, where, err) &&
         hf_json_get_boolean(item, "rstrip", &token->rstrip, where, err);
}

/* The id must be that of the vocabulary, or new. */
static bool check_added_id(const HfTokenizer *t, const HfAddedToken *token, const char *where, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  hf_excerpt(shown, token->content, token->size);
  int32_t model_id = hf_vocab_find(&t->model.vocab, token->content, token->size);
  if (model_id >= 0 && model_id != token->id)
    return hf_error_set(err, "%s: added_tokens: token \"%s\": expected id %d as in the vocabulary, found %d", where, shown, model_id, token->id);
  if (hf_added_tokens_find(&t->added, token->content, token->size))
    return hf_error_set(err, "%s: added_tokens: token \"%s\" is there twice", where, shown);
  if (model_id < 0 && id_is_known(t, token->id))
    return hf_error_set(err, "%s: added_tokens: token \"%s\": id %d belongs to another token already", where, shown, token->id);
  return true;
}

static bool read_added_token(HfTokenizer *t, const cJSON *item, int64_t limit, const char *where, HfError *err) {
  HfAddedToken token = {0};
  const char *content = NULL;
  int64_t id = 0;
  if (!hf_json_require(item, "content", where, err) || !hf_json_get_string(item, "content", &content, where, err) ||
      !hf_json_require(item, "id", where, err) || !hf_json_get_integer(item, "id", 0, limit, &id, where, err) ||
      !read_flags(item, &token, where, err))
    return hf_error_prefix(err, "added_tokens");
  token.content = (char *)content;
  token.size = content ? strlen(content) : 0;
  token.id = (int32_t)id;
  return !token.size || (check_added_id(t, &token, where, err) && hf_added_tokens_put(&t->added, &token, err));
}

static bool read_added_tokens(HfTokenizer *t, const char *where, HfError *err) {
  const cJSON *list = NULL;
  if (!hf_json_get_array(t->json, "added_tokens", &list, where, err)) return false;
  int64_t entries = (int64_t)t->model.vocab.limit + (list ? cJSON_GetArraySize(list) : 0);
  int64_t limit = 2 * entries < INT32_MAX ? 2 * entries : INT32_MAX;
  for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
    if (!read_added_token(t, item, limit, where, err)) return false;
  return true;
}

/* ---- tokenizer.json */

static bool read_components(HfTokenizer *t, const char *where, HfError *err) {
  const cJSON *json = t->json;
  return hf_normalizers_read(&t->normalizers, hf_json_find(json, "normalizer"), where, err) &&
         hf_pre_tokenizers_read(&t->pre_tokenizers, hf_json_find(json, "pre_tokenizer"), where, err) &&
         hf_post_processor_read(&t->post_processor, hf_json_find(json, "post_processor"), id_is_known, t, where, err) &&
         hf_decoders_read(&t->decoders, hf_json_find(json, "decoder"), where, err);
}

/* The vocabulary lives in the model from now on. */
static void drop_vocabulary(cJSON *json) {
  cJSON_DeleteItemFromObjectCaseSensitive(json, "added_tokens");
  cJSON *model = cJSON_GetObjectItemCaseSensitive(json, "model");
  cJSON_DeleteItemFromObjectCaseSensitive(model, "vocab");
  cJSON_DeleteItemFromObjectCaseSensitive(model, "merges");
}

static bool read_tokenizer(HfTokenizer *t, const HfVocabFiles *files, const char *where, HfError *err) {
  if (!cJSON_IsObject(t->json)) return hf_json_mismatch(t->json, "", "object", where, err);
  const cJSON *model = hf_json_require(t->json, "model", where, err);
  if (!model || !hf_model_read(&t->model, model, files, where, err)) return false;
  if (!read_added_tokens(t, where, err) || !read_components(t, where, err)) return false;
  drop_vocabulary(t->json);
  return prepare(t, err);
}

/* The document without its large parts, which go to the model and to *files. */
static cJSON *parse(HfTokenizer *t, const char *text, size_t size, HfVocabFiles *files, const char *where, HfError *err) {
  HfBuffer rest = {0};
  files->merge_list.where = where;
  bool taken = hf_model_tables_take(text, size, &t->model.vocab, &files->merge_list.text, &files->merge_list.size, &rest);
  cJSON *json = taken ? hf_json_parse(rest.data, rest.size, where, err) : hf_json_parse(text, size, where, err);
  hf_buffer_free(&rest);
  return json;
}

HfTokenizer *hf_tokenizer_from_json(const char *text, size_t size, const HfVocabFiles *files, const char *where, HfError *err) {
  HfVocabFiles all = files ? *files : (HfVocabFiles){0};
  HfTokenizer *t = hf_calloc(sizeof *t, "tokenizer", err);
  if (!t) return NULL;
  t->json = parse(t, text, size, &all, where, err);
  if (t->json && read_tokenizer(t, &all, where, err)) return t;
  hf_tokenizer_free(t);
  return NULL;
}

/* The normalizer of this type, itself or in a sequence. */
static cJSON *find_normalizer(cJSON *json, const char *type) {
  const cJSON *own = hf_json_find(json, "type");
  if (cJSON_IsString(own) && !strcmp(own->valuestring, type)) return json;
  cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "normalizers");
  for (cJSON *item = list ? list->child : NULL; item; item = item->next) {
    cJSON *found = find_normalizer(item, type);
    if (found) return found;
  }
  return NULL;
}

bool hf_tokenizer_set_normalizer_option(HfTokenizer *t, const char *type, const char *option, int value, HfError *err) {
  cJSON *root = cJSON_GetObjectItemCaseSensitive(t->json, "normalizer"), *json = root ? find_normalizer(root, type) : NULL;
  if (!json) return hf_error_set(err, "the tokenizer has no normalizer of type %s", type);
  cJSON *item = value < 0 ? cJSON_CreateNull() : cJSON_CreateBool(value);
  if (!item) return hf_error_memory(err, "normalizer", sizeof *item);
  bool placed = cJSON_ReplaceItemInObjectCaseSensitive(json, option, item) || cJSON_AddItemToObject(json, option, item);
  if (!placed) return cJSON_Delete(item), hf_error_memory(err, "normalizer", sizeof *item);
  HfNormalizers fresh = {0};
  if (!hf_normalizers_read(&fresh, root, "normalizer", err)) return hf_normalizers_free(&fresh), false;
  hf_normalizers_free(&t->normalizers);
  t->normalizers = fresh;
  return prepare(t, err);
}

/* Exchanges what is read from one part; the old one is freed. */
static bool read_part(HfTokenizer *t, const char *part, const cJSON *json, HfError *err) {
  HfTokenizer fresh = {0};
  bool done = !strcmp(part, "normalizer")      ? hf_normalizers_read(&fresh.normalizers, json, part, err)
              : !strcmp(part, "pre_tokenizer") ? hf_pre_tokenizers_read(&fresh.pre_tokenizers, json, part, err)
              : !strcmp(part, "decoder")       ? hf_decoders_read(&fresh.decoders, json, part, err)
                                               : hf_post_processor_read(&fresh.post_processor, json, id_is_known, t, part, err);
#define EXCHANGE(field, name) if (done && !strcmp(part, name)) { typeof(t->field) old = t->field; t->field = fresh.field; fresh.field = old; }
  EXCHANGE(normalizers, "normalizer")
  EXCHANGE(pre_tokenizers, "pre_tokenizer")
  EXCHANGE(decoders, "decoder")
  EXCHANGE(post_processor, "post_processor")
#undef EXCHANGE
  hf_normalizers_free(&fresh.normalizers);
  hf_pre_tokenizers_free(&fresh.pre_tokenizers);
  hf_decoders_free(&fresh.decoders);
  hf_post_processor_free(&fresh.post_processor);
  return done;
}

bool hf_tokenizer_set_part(HfTokenizer *t, const char *part, const char *json, size_t size, HfError *err) {
  cJSON *item = hf_json_parse(json, size, part, err);
  if (!item) return false;
  if (!read_part(t, part, item, err)) return cJSON_Delete(item), false;
  cJSON_DeleteItemFromObjectCaseSensitive(t->json, part);
  if (!cJSON_AddItemToObject(t->json, part, item)) return cJSON_Delete(item), hf_error_memory(err, part, sizeof *item);
  return prepare(t, err);
}

/* ---- text from ids */

bool hf_tokenizer_join(const HfTokenizer *t, HfStrings *tokens, HfBuffer *out, HfError *err) {
  return hf_decoders_apply(&t->decoders, tokens, out, err);
}

/* Special tokens are known by their text: one that a normalizer changed is an ordinary word. */
static bool is_special_text(const HfTokenizer *t, const char *text, size_t size) {
  const HfAddedToken *added = hf_added_tokens_find(&t->added, text, size);
  return added && added->special;
}

bool hf_tokenizer_decode(const HfTokenizer *t, const int64_t *ids, size_t count, bool skip_special, HfBuffer *out, HfError *err) {
  HfStrings tokens = {0};
  bool done = true;
  for (size_t i = 0; done && i < count; i++) {
    size_t size;
    const char *token = hf_tokenizer_token(t, ids[i], &size);
    if (token && !(skip_special && is_special_text(t, token, size))) done = hf_strings_add(&tokens, token, size, err);
  }
  done = done && hf_tokenizer_join(t, &tokens, out, err);
  hf_strings_free(&tokens);
  return done;
}
