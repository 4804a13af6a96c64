/* Reading components of tokenizer.json. */
#include "component.h"
#include <string.h>
#include "json.h"
#include "memory.h"

bool hf_component_unknown(HfError *err, const char *where, const char *what, const char *type) {
  char shown[HF_EXCERPT_SIZE];
  return hf_error_set(err, "%s: %s \"%s\" is not supported (docs/api/tokenizer.md lists what is)", where, what, hf_excerpt(shown, type, strlen(type)));
}

bool hf_component_read(void *target, const cJSON *json, const char *parts, HfComponentAdd add, const char *where, HfError *err) {
  if (!json || cJSON_IsNull(json)) return true;
  if (!cJSON_IsObject(json)) return hf_json_mismatch(json, parts, "object", where, err);
  const char *type = NULL;
  const cJSON *children = NULL;
  if (!hf_json_require(json, "type", where, err) || !hf_json_get_string(json, "type", &type, where, err)) return false;
  if (!type) return hf_json_mismatch(hf_json_find(json, "type"), "type", "string", where, err);
  if (strcmp(type, "Sequence")) return add(target, type, json, where, err);
  if (!hf_json_require(json, parts, where, err) || !hf_json_get_array(json, parts, &children, where, err)) return false;
  for (const cJSON *child = children ? children->child : NULL; child; child = child->next)
    if (!hf_component_read(target, child, parts, add, where, err)) return false;
  return true;
}

char *hf_component_string(const cJSON *json, const char *field, const char *where, HfError *err) {
  const char *text = NULL;
  const cJSON *item = hf_json_require(json, field, where, err);
  if (!item || !hf_json_get_string(json, field, &text, where, err)) return NULL;
  if (!text) return hf_json_mismatch(item, field, "string", where, err), NULL;
  return hf_strndup(text, strlen(text), err);
}
