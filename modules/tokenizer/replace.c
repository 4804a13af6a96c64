/* Finding what to replace. An empty text has no matches; an empty match right behind another one does not count. */
#include "replace.h"
#include <string.h>
#include "component.h"
#include "json.h"
#include "memory.h"
#include "unicode.h"

bool hf_replace_read(HfReplace *out, const cJSON *json, const char *where, HfError *err) {
  const cJSON *pattern = hf_json_require(json, "pattern", where, err), *text = hf_json_find(pattern, "String");
  if (!pattern) return false;
  if (hf_json_find(pattern, "Regex")) return hf_error_set(err, "%s: Replace with a Regex is not supported (with a String it is)", where);
  if (!cJSON_IsString(text)) return hf_json_mismatch(pattern, "pattern", "{\"String\": ...}", where, err);
  return (out->pattern = hf_strndup(text->valuestring, strlen(text->valuestring), err)) &&
         (out->content = hf_component_string(json, "content", where, err));
}

void hf_replace_free(HfReplace *replace) {
  hf_free(replace->pattern);
  hf_free(replace->content);
}

static bool find(const HfReplace *replace, HfReplaceWalk *walk) {
  size_t size = strlen(replace->pattern);
  const char *found = walk->from <= walk->size ? memmem(walk->text + walk->from, walk->size - walk->from, replace->pattern, size) : NULL;
  if (!found) return false;
  walk->begin = (size_t)(found - walk->text);
  walk->end = walk->begin + size;
  return true;
}

static size_t behind_character(const HfReplaceWalk *walk, size_t at) {
  return at < walk->size ? at + hf_utf8_size((unsigned char)walk->text[at]) : at + 1;
}

bool hf_replace_walk(const HfReplace *replace, HfReplaceWalk *walk) {
  if (walk->found) walk->before = walk->end;
  while (walk->size && find(replace, walk)) {
    bool empty = walk->begin == walk->end, counts = !empty || !walk->found || walk->begin != walk->before;
    walk->from = empty ? behind_character(walk, walk->end) : walk->end;
    if (counts) return walk->found = true;
  }
  return false;
}
