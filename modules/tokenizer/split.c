/* The pre-tokenizer Split: cuts at the matches of a text or of a regular expression, or at what lies between them. */
#include <string.h>
#include "byte_level_words.h"
#include "json.h"
#include "memory.h"
#include "pre_tokenizer.h"
#include "regex.h"
#include "unicode.h"

static bool read_pattern(HfPreTokenizer *self, const cJSON *pattern, const char *where, HfError *err) {
  const cJSON *text = hf_json_find(pattern, "String"), *regex = hf_json_find(pattern, "Regex");
  const cJSON *item = text ? text : regex;
  if (!cJSON_IsString(item)) return hf_json_mismatch(pattern, "pattern", "{\"String\": ...} or {\"Regex\": ...}", where, err);
  const char *value = item->valuestring;
  if (text) return (self->split.text = hf_strndup(value, strlen(value), err)) != NULL;
  self->split.words = hf_words_of_regex(value);
  if (self->split.words) return true;
  return (self->split.regex = hf_regex_new(value, strlen(value), where, err)) != NULL;
}

static bool read_split(HfPreTokenizer *self, const cJSON *json, const char *where, HfError *err) {
  return hf_json_require(json, "pattern", where, err) && hf_json_require(json, "behavior", where, err) &&
         hf_split_behavior_read(json, &self->behavior, where, err) && hf_json_get_boolean(json, "invert", &self->split.invert, where, err) &&
         read_pattern(self, hf_json_find(json, "pattern"), where, err);
}

static void release_split(HfPreTokenizer *self) {
  hf_free(self->split.text);
  hf_regex_free(self->split.regex);
}

/* Gives the splitter a match and what lies before it. */
static bool feed(HfSplitter *s, bool invert, size_t done, size_t begin, size_t end, HfError *err) {
  return (done == begin || hf_splitter_feed(s, done, begin, invert, err)) && hf_splitter_feed(s, begin, end, !invert, err);
}

static bool finish(HfSplitter *s, bool invert, size_t done, size_t size, HfError *err) {
  return (done == size || hf_splitter_feed(s, done, size, invert, err)) && hf_splitter_finish(s, err);
}

/* Words cover the text: all of it are matches. */
static bool split_words(const HfPreTokenizer *self, HfSplitter *s, HfSpan in, HfError *err) {
  for (size_t at = 0, end; at < in.size; at = end) {
    end = hf_word_end(self->split.words, in.bytes, in.size, at);
    if (!hf_splitter_feed(s, at, end, !self->split.invert, err)) return false;
  }
  return hf_splitter_finish(s, err);
}

/* An empty text is found before every character and at the end. */
static bool split_text(const HfPreTokenizer *self, HfSplitter *s, HfSpan in, HfError *err) {
  size_t size = strlen(self->split.text), done = 0;
  bool invert = self->split.invert;
  for (size_t at = 0; at <= in.size;) {
    const char *found = memmem(in.bytes + at, in.size - at, self->split.text, size);
    if (!found) break;
    size_t begin = (size_t)(found - in.bytes);
    if (!feed(s, invert, done, begin, begin + size, err)) return false;
    done = begin + size;
    at = size ? done : begin == in.size ? in.size + 1 : begin + hf_utf8_size((unsigned char)in.bytes[begin]);
  }
  return finish(s, invert, done, in.size, err);
}

static bool split_regex(const HfPreTokenizer *self, HfSplitter *s, HfSpan in, HfError *err) {
  HfRegexWalk walk;
  size_t begin = 0;
  bool done = hf_regex_walk(&walk, self->split.regex, in.bytes, in.size, err), found = done;
  while (done && (done = hf_regex_next(&walk, &found, err)) && found) {
    done = feed(s, self->split.invert, begin, walk.begin, walk.end, err);
    begin = walk.end;
  }
  hf_regex_walk_end(&walk);
  return done && finish(s, self->split.invert, begin, in.size, err);
}

static bool split(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  HfSplitter s = {.out = out, .base = base, .behavior = self->behavior};
  if (self->split.words) return split_words(self, &s, in, err);
  return self->split.text ? split_text(self, &s, in, err) : split_regex(self, &s, in, err);
}

const HfPreTokenizerKind hf_pre_tokenizer_split = {.type = "Split", .read = read_split, .split = split, .release = release_split};
