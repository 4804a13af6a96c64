/* TemplateProcessing, BertProcessing and RobertaProcessing as templates; ByteLevel and RobertaProcessing trim offsets. */
#include "post_processor.h"
#include <string.h>
#include "component.h"
#include "json.h"
#include "memory.h"
#include "text.h"

typedef struct Reader {
  HfPostProcessor *post;
  HfKnownId known;
  const void *data;
  bool found;           /* a template was read */
  bool has_front;       /* one that puts special tokens into the sequences themselves */
} Reader;

static bool add_part(HfTemplate *template, int32_t sequence, int32_t id, int64_t type_id, HfError *err) {
  if (!hf_array_grow((void **)&template->parts, template->count, &template->capacity, sizeof *template->parts, "template", err)) return false;
  template->parts[template->count++] = (HfTemplatePart){sequence, id, (uint8_t)type_id};
  template->special += sequence < 0;
  return true;
}

void hf_post_processor_free(HfPostProcessor *post) {
  hf_free(post->single.parts);
  hf_free(post->pair.parts);
  hf_free(post->trims);
  *post = (HfPostProcessor){0};
}

/* ---- TemplateProcessing */

/* {"id": "A" or a token, "type_id": n} */
static bool read_piece_fields(const cJSON *piece, const char **id, int64_t *type_id, const char *where, HfError *err) {
  if (!hf_json_require(piece, "id", where, err) || !hf_json_get_string(piece, "id", id, where, err)) return false;
  if (!*id) return hf_json_mismatch(hf_json_find(piece, "id"), "id", "string", where, err);
  return hf_json_get_integer(piece, "type_id", 0, 255, type_id, where, err);
}

static bool check_special_id(const Reader *r, const cJSON *item, const char *name, int64_t *id, const char *where, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  if (!hf_json_integer(item, id) || !r->known(r->data, *id))
    return hf_error_set(err, "%s: post_processor: special token \"%s\": its id is not in the vocabulary", where, hf_excerpt(shown, name, strlen(name)));
  return true;
}

/* "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]}} */
static bool add_special(const Reader *r, HfTemplate *template, const cJSON *table, const char *name, int64_t type_id, const char *where, HfError *err) {
  const cJSON *ids = hf_json_find(hf_json_find(table, name), "ids");
  char shown[HF_EXCERPT_SIZE];
  if (!cJSON_IsArray(ids))
    return hf_error_set(err, "%s: post_processor: special token \"%s\" of the template is not in \"special_tokens\"", where, hf_excerpt(shown, name, strlen(name)));
  for (const cJSON *item = ids->child; item; item = item->next) {
    int64_t id;
    if (!check_special_id(r, item, name, &id, where, err) || !add_part(template, -1, (int32_t)id, type_id, err)) return false;
  }
  return true;
}

static bool read_piece(const Reader *r, HfTemplate *template, const cJSON *piece, const cJSON *table, const char *where, HfError *err) {
  const cJSON *sequence = hf_json_find(piece, "Sequence"), *special = hf_json_find(piece, "SpecialToken");
  const char *id = NULL;
  int64_t type_id = 0;
  if (!sequence && !special) return hf_json_mismatch(piece, "post_processor", "Sequence or SpecialToken", where, err);
  if (!read_piece_fields(sequence ? sequence : special, &id, &type_id, where, err)) return false;
  if (special) return add_special(r, template, table, id, type_id, where, err);
  if (strcmp(id, "A") && strcmp(id, "B")) return hf_json_mismatch(hf_json_find(sequence, "id"), "id", "A or B", where, err);
  return add_part(template, id[0] - 'A', 0, type_id, err);
}

/* How often each sequence stands in the template. */
static bool check_sequences(const HfTemplate *template, size_t a, size_t b, const char *name, const char *where, HfError *err) {
  size_t count[2] = {0};
  for (size_t i = 0; i < template->count; i++)
    if (template->parts[i].sequence >= 0) count[template->parts[i].sequence]++;
  if (count[0] == a && count[1] == b) return true;
  return hf_error_set(err, "%s: post_processor: template \"%s\": expected %s, found A %zu and B %zu times", where, name,
                      b ? "A and B once each" : "A once and no B", count[0], count[1]);
}

static bool read_template(const Reader *r, HfTemplate *template, const cJSON *json, const char *name, const char *where, HfError *err) {
  const cJSON *pieces = NULL;
  if (!hf_json_require(json, name, where, err) || !hf_json_get_array(json, name, &pieces, where, err)) return false;
  for (const cJSON *piece = pieces ? pieces->child : NULL; piece; piece = piece->next)
    if (!read_piece(r, template, piece, hf_json_find(json, "special_tokens"), where, err)) return false;
  return true;
}

static bool read_template_processing(const Reader *r, const cJSON *json, const char *where, HfError *err) {
  HfPostProcessor *post = r->post;
  return read_template(r, &post->single, json, "single", where, err) && read_template(r, &post->pair, json, "pair", where, err) &&
         check_sequences(&post->single, 1, 0, "single", where, err) && check_sequences(&post->pair, 1, 1, "pair", where, err);
}

/* ---- BertProcessing, RobertaProcessing: "sep": ["[SEP]", 102], "cls": ["[CLS]", 101] */

static bool read_token_pair(const Reader *r, const cJSON *json, const char *field, int64_t *id, const char *where, HfError *err) {
  const cJSON *pair = hf_json_require(json, field, where, err);
  if (!pair) return false;
  const cJSON *name = cJSON_IsArray(pair) ? pair->child : NULL;
  if (!cJSON_IsString(name) || !name->next) return hf_json_mismatch(pair, field, "[token, id]", where, err);
  return check_special_id(r, name->next, name->valuestring, id, where, err);
}

static bool read_cls_sep(const Reader *r, const cJSON *json, bool roberta, const char *where, HfError *err) {
  int64_t cls, sep, second = roberta ? 0 : 1;
  if (!read_token_pair(r, json, "cls", &cls, where, err) || !read_token_pair(r, json, "sep", &sep, where, err)) return false;
  HfTemplate *templates[] = {&r->post->single, &r->post->pair};
  for (int i = 0; i < 2; i++) {
    HfTemplate *t = templates[i];
    if (!add_part(t, -1, (int32_t)cls, 0, err) || !add_part(t, 0, 0, 0, err) || !add_part(t, -1, (int32_t)sep, 0, err)) return false;
  }
  HfTemplate *pair = &r->post->pair;
  if (roberta && !add_part(pair, -1, (int32_t)sep, 0, err)) return false;
  return add_part(pair, 1, 0, second, err) && add_part(pair, -1, (int32_t)sep, second, err);
}

/* ---- "trim_offsets", "add_prefix_space" */

static bool read_trim(const Reader *r, const cJSON *json, const char *where, HfError *err) {
  HfPostProcessor *post = r->post;
  bool trims = false;
  HfTrim trim = {.behind_special = r->has_front};
  if (!hf_json_require(json, "trim_offsets", where, err) || !hf_json_require(json, "add_prefix_space", where, err) ||
      !hf_json_get_boolean(json, "trim_offsets", &trims, where, err) ||
      !hf_json_get_boolean(json, "add_prefix_space", &trim.add_prefix_space, where, err))
    return false;
  if (!trims) return true;
  if (!hf_array_grow((void **)&post->trims, post->trim_count, &post->trim_capacity, sizeof trim, "post-processor", err)) return false;
  post->trims[post->trim_count++] = trim;
  return true;
}

/* ---- all of them */

static bool add_processor(void *target, const char *type, const cJSON *json, const char *where, HfError *err) {
  Reader *r = target;
  bool bert = !strcmp(type, "BertProcessing"), roberta = !strcmp(type, "RobertaProcessing"), template = !strcmp(type, "TemplateProcessing");
  if (!strcmp(type, "ByteLevel")) return read_trim(r, json, where, err);
  if (!bert && !roberta && !template) return hf_component_unknown(err, where, "post-processor", type);
  if (r->found) return hf_error_set(err, "%s: post_processor: expected one template, found two", where);
  if (roberta && !read_trim(r, json, where, err)) return false;
  r->found = true;
  r->has_front = !template;
  return template ? read_template_processing(r, json, where, err) : read_cls_sep(r, json, roberta, where, err);
}

bool hf_post_processor_read(HfPostProcessor *post, const cJSON *json, HfKnownId known, const void *data, const char *where, HfError *err) {
  Reader r = {post, known, data, false, false};
  if (!hf_component_read(&r, json, "processors", add_processor, where, err)) return false;
  if (r.found) return true;
  return add_part(&post->single, 0, 0, 0, err) && add_part(&post->pair, 0, 0, 0, err) && add_part(&post->pair, 1, 0, 1, err);
}
