/* cJSON trees from the strict scanner, and typed reading of fields. */
#include "json.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "json_scan.h"

/* ---- building */

static void *tree_malloc(size_t bytes) { return hf_malloc(bytes, "JSON", NULL); }

static void use_engine_memory(void) { cJSON_InitHooks(&(cJSON_Hooks){tree_malloc, hf_free}); }

/* A whole number keeps its text where a double does not hold it exactly. */
static cJSON *number_node(const HfJsonScanner *s, HfJsonEvent event) {
  cJSON *node = cJSON_CreateNumber(s->number);
  if (!node || strpbrk(s->number_text, ".eE")) return node;
  node->type |= HF_JSON_WHOLE;
  bool exact = event == HF_JSON_INTEGER && s->number > -0x1p53 && s->number < 0x1p53;
  if (!exact && !(node->valuestring = hf_strndup(s->number_text, strlen(s->number_text), NULL))) {
    cJSON_Delete(node);
    return NULL;
  }
  return node;
}

static cJSON *string_node(const HfJsonScanner *s, HfError *err) {
  if (!memchr(s->string, 0, s->string_size)) return cJSON_CreateString(s->string);
  hf_json_fail(s, s->start, err, "\\u0000 in a string is not supported here");
  return NULL;
}

static cJSON *node_for(const HfJsonScanner *s, HfJsonEvent event, HfError *err) {
  switch (event) {
    case HF_JSON_OBJECT: return cJSON_CreateObject();
    case HF_JSON_ARRAY: return cJSON_CreateArray();
    case HF_JSON_STRING: return string_node(s, err);
    case HF_JSON_INTEGER: case HF_JSON_NUMBER: return number_node(s, event);
    case HF_JSON_NULL: return cJSON_CreateNull();
    default: return cJSON_CreateBool(event == HF_JSON_TRUE);
  }
}

/* The children already linked, and the name of the member that comes next (owned). */
typedef struct Builder {
  cJSON *open[HF_JSON_MAX_DEPTH]; /* containers, outermost first */
  int depth;
  cJSON *root;
  char *name;
} Builder;

/* Links a node under the innermost container; the node takes the name. */
static void link_node(Builder *b, cJSON *node) {
  if (b->depth) cJSON_AddItemToArray(b->open[b->depth - 1], node);
  else b->root = node;
  node->string = b->name;
  b->name = NULL;
}

static bool take_event(Builder *b, const HfJsonScanner *s, HfJsonEvent event, HfError *err) {
  if (event == HF_JSON_OBJECT_END || event == HF_JSON_ARRAY_END) {
    b->depth--;
    return true;
  }
  if (event == HF_JSON_NAME) return (b->name = hf_strndup(s->string, s->string_size, err)) != NULL;
  err->message[0] = 0;
  cJSON *node = node_for(s, event, err);
  if (!node) return err->message[0] ? false : hf_error_memory(err, "JSON", sizeof *node);
  link_node(b, node);
  if (event == HF_JSON_OBJECT || event == HF_JSON_ARRAY) b->open[b->depth++] = node;
  return true;
}

static cJSON *build(HfJsonScanner *s, HfError *err) {
  Builder b = {.depth = 0};
  HfJsonEvent event = HF_JSON_END;
  bool done = true;
  while (done && (event = hf_json_next(s, err)) > HF_JSON_END) done = take_event(&b, s, event, err);
  if (done && event == HF_JSON_END) return b.root;
  hf_free(b.name);
  cJSON_Delete(b.root);
  return NULL;
}

cJSON *hf_json_parse(const char *text, size_t size, const char *where, HfError *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, use_engine_memory);
  HfJsonScanner scanner;
  HfError ignored;
  hf_json_scan(&scanner, text, size, where);
  cJSON *root = build(&scanner, err ? err : &ignored);
  hf_json_scan_end(&scanner);
  return root;
}

cJSON *hf_json_parse_file(const char *path, HfError *err) {
  HfBuffer text = {0};
  cJSON *root = NULL;
  if (hf_file_read(path, &text, err)) {
    const char *kind = hf_file_kind(text.data, text.size);
    if (kind) hf_error_set(err, "%s: expected JSON, found %s", path, kind);
    else root = hf_json_parse(text.data, text.size, path, err);
  }
  hf_buffer_free(&text);
  return root;
}

/* ---- reading */

const cJSON *hf_json_find(const cJSON *object, const char *field) {
  return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, field) : NULL;
}

const char *hf_json_kind(const cJSON *item) {
  if (cJSON_IsObject(item)) return "object";
  if (cJSON_IsArray(item)) return "array";
  if (cJSON_IsString(item)) return "string";
  if (cJSON_IsNumber(item)) return item->type & HF_JSON_WHOLE ? "whole number" : "number";
  if (cJSON_IsBool(item)) return cJSON_IsTrue(item) ? "true" : "false";
  return "null";
}

bool hf_json_unsigned(const cJSON *item, uint64_t *out) {
  if (!cJSON_IsNumber(item) || !(item->type & HF_JSON_WHOLE)) return false;
  uint64_t value = item->valuedouble >= 0 && !item->valuestring ? (uint64_t)item->valuedouble : 0;
  if (!item->valuestring && item->valuedouble < 0) return false;
  for (const char *digit = item->valuestring; digit && *digit; digit++) {
    if (*digit == '-' || !hf_mul_u64(&value, value, 10) || !hf_add_u64(&value, value, (uint64_t)(*digit - '0'))) return false;
  }
  *out = value;
  return true;
}

bool hf_json_integer(const cJSON *item, int64_t *out) {
  if (!cJSON_IsNumber(item) || !(item->type & HF_JSON_WHOLE)) return false;
  return item->valuestring ? hf_json_text_integer(item->valuestring, out) : (*out = (int64_t)item->valuedouble, true);
}

bool hf_json_mismatch(const cJSON *item, const char *field, const char *expected, const char *where, HfError *err) {
  char shown[HF_EXCERPT_SIZE] = "";
  if (cJSON_IsString(item)) hf_excerpt(shown, item->valuestring, strlen(item->valuestring));
  if (cJSON_IsNumber(item) && item->valuestring) hf_excerpt(shown, item->valuestring, strlen(item->valuestring));
  else if (cJSON_IsNumber(item)) snprintf(shown, sizeof shown, item->type & HF_JSON_WHOLE ? "%.0f" : "%.17g", item->valuedouble);
  const char *mark = cJSON_IsString(item) ? "\"" : "";
  return hf_error_set(err, "%s: field \"%s\": expected %s, found %s%s%s%s%s", where, field, expected, hf_json_kind(item), *shown || *mark ? " " : "", mark, shown, mark);
}

/* The field when it is there and not null. */
static const cJSON *present(const cJSON *object, const char *field) {
  const cJSON *item = hf_json_find(object, field);
  return cJSON_IsNull(item) ? NULL : item;
}

bool hf_json_get_integer(const cJSON *object, const char *field, int64_t min, int64_t max, int64_t *out, const char *where, HfError *err) {
  const cJSON *item = present(object, field);
  int64_t value;
  if (!item) return true;
  if (hf_json_integer(item, &value) && value >= min && value <= max) return *out = value, true;
  char expected[96];
  snprintf(expected, sizeof expected, "a whole number from %" PRId64 " to %" PRId64, min, max);
  return hf_json_mismatch(item, field, expected, where, err);
}

bool hf_json_get_number(const cJSON *object, const char *field, double min, double max, double *out, const char *where, HfError *err) {
  const cJSON *item = present(object, field);
  if (!item) return true;
  if (cJSON_IsNumber(item) && item->valuedouble >= min && item->valuedouble <= max) return *out = item->valuedouble, true;
  char expected[96];
  snprintf(expected, sizeof expected, "a number from %.17g to %.17g", min, max);
  return hf_json_mismatch(item, field, expected, where, err);
}

bool hf_json_get_boolean(const cJSON *object, const char *field, bool *out, const char *where, HfError *err) {
  const cJSON *item = present(object, field);
  if (!item) return true;
  if (!cJSON_IsBool(item)) return hf_json_mismatch(item, field, "true or false", where, err);
  *out = cJSON_IsTrue(item);
  return true;
}

bool hf_json_get_string(const cJSON *object, const char *field, const char **out, const char *where, HfError *err) {
  const cJSON *item = present(object, field);
  if (!item) return true;
  if (!cJSON_IsString(item)) return hf_json_mismatch(item, field, "a string", where, err);
  *out = item->valuestring;
  return true;
}

bool hf_json_get_object(const cJSON *object, const char *field, const cJSON **out, const char *where, HfError *err) {
  const cJSON *item = present(object, field);
  if (!item) return true;
  if (!cJSON_IsObject(item)) return hf_json_mismatch(item, field, "an object", where, err);
  *out = item;
  return true;
}

bool hf_json_get_array(const cJSON *object, const char *field, const cJSON **out, const char *where, HfError *err) {
  const cJSON *item = present(object, field);
  if (!item) return true;
  if (!cJSON_IsArray(item)) return hf_json_mismatch(item, field, "an array", where, err);
  *out = item;
  return true;
}

const cJSON *hf_json_require(const cJSON *object, const char *field, const char *where, HfError *err) {
  const cJSON *item = present(object, field);
  if (!item) hf_error_set(err, "%s: field \"%s\" is missing", where, field);
  return item;
}
