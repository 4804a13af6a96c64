/* Finding what to replace. An empty text has no matches; an empty match right behind another one does not count. */
#include "replace.h"
#include <string.h>
#include "component.h"
#include "json.h"
#include "unicode.h"

static bool read_pattern(HfReplace *out, const cJSON *pattern, const char *where, HfError *err) {
  const cJSON *text = hf_json_find(pattern, "String"), *regex = hf_json_find(pattern, "Regex");
  if (cJSON_IsString(text)) return (out->pattern = hf_strndup(text->valuestring, strlen(text->valuestring), err)) != NULL;
  if (cJSON_IsString(regex)) return (out->regex = hf_regex_new(regex->valuestring, strlen(regex->valuestring), where, err)) != NULL;
  return hf_json_mismatch(pattern, "pattern", "{\"String\": ...} or {\"Regex\": ...}", where, err);
}

bool hf_replace_read(HfReplace *out, const cJSON *json, const char *where, HfError *err) {
  const cJSON *pattern = hf_json_require(json, "pattern", where, err);
  return pattern && read_pattern(out, pattern, where, err) && (out->content = hf_component_string(json, "content", where, err));
}

void hf_replace_free(HfReplace *replace) {
  hf_free(replace->pattern);
  hf_free(replace->content);
  hf_regex_free(replace->regex);
}

/* An empty pattern matches between all characters. */
static bool each_empty(const char *text, size_t size, HfReplaceUse use, void *data, HfError *err) {
  size_t before = 0;
  for (size_t at = 0; at < size; at += hf_utf8_size((unsigned char)text[at])) {
    if (!use(data, before, at, at, err)) return false;
    before = at;
  }
  return use(data, before, size, size, err);
}

static bool each_text(const HfReplace *replace, const char *text, size_t size, HfReplaceUse use, void *data, size_t *rest, HfError *err) {
  size_t length = strlen(replace->pattern);
  if (!length) return *rest = size, each_empty(text, size, use, data, err);
  for (const char *found; (found = memmem(text + *rest, size - *rest, replace->pattern, length)); *rest = (size_t)(found - text) + length)
    if (!use(data, *rest, (size_t)(found - text), (size_t)(found - text) + length, err)) return false;
  return true;
}

static bool each_match(const HfReplace *replace, const char *text, size_t size, HfReplaceUse use, void *data, size_t *rest, HfError *err) {
  HfRegexWalk walk;
  bool found = true, done = hf_regex_walk(&walk, replace->regex, text, size, err);
  while (done && (done = hf_regex_next(&walk, &found, err)) && found) {
    done = use(data, *rest, walk.begin, walk.end, err);
    *rest = walk.end;
  }
  hf_regex_walk_end(&walk);
  return done;
}

bool hf_replace_each(const HfReplace *replace, const char *text, size_t size, HfReplaceUse use, void *data, size_t *rest, HfError *err) {
  *rest = 0;
  if (!size) return true;
  return (replace->regex ? each_match : each_text)(replace, text, size, use, data, rest, err);
}
