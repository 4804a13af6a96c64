/* One pass over tokenizer.json for its large parts. */
#include "model_tables.h"
#include <string.h>
#include "json_scan.h"
#include "model.h"

/* Bytes of the document. */
typedef struct Part { size_t begin, end; } Part;

/* Takes the members of the model, behind the event HF_JSON_OBJECT. */
static bool take_model(HfJsonScanner *s, HfVocab *vocab, Part *ids, Part *merges) {
  HfError err;
  while (hf_json_next(s, &err) == HF_JSON_NAME) {
    bool is_vocab = !strcmp(s->string, "vocab"), is_merges = !strcmp(s->string, "merges");
    HfJsonEvent event = hf_json_next(s, &err);
    size_t begin = s->start;
    bool taken = is_vocab && event == HF_JSON_OBJECT;
    if (event == HF_JSON_FAILED || !(taken ? hf_vocab_scan_ids(vocab, s, &err) : hf_json_skip(s, event, &err))) return false;
    if (taken) *ids = (Part){begin, s->at};
    if (is_merges && event == HF_JSON_ARRAY) *merges = (Part){begin, s->at};
  }
  return true;
}

static bool take_document(HfJsonScanner *s, HfVocab *vocab, Part *ids, Part *merges) {
  HfError err;
  if (hf_json_next(s, &err) != HF_JSON_OBJECT) return false;
  HfJsonEvent event;
  while ((event = hf_json_next(s, &err)) == HF_JSON_NAME) {
    bool is_model = !strcmp(s->string, "model");
    event = hf_json_next(s, &err);
    if (event == HF_JSON_FAILED) return false;
    if (!(is_model && event == HF_JSON_OBJECT ? take_model(s, vocab, ids, merges) : hf_json_skip(s, event, &err))) return false;
  }
  return event == HF_JSON_OBJECT_END && hf_json_next(s, &err) == HF_JSON_END;
}

/* The document without two parts of it; an empty part is none. */
static bool copy_rest(const char *text, size_t size, Part first, Part second, HfBuffer *rest) {
  if (first.begin > second.begin) return copy_rest(text, size, second, first, rest);
  Part parts[] = {first, second};
  size_t at = 0;
  for (int i = 0; i < 2; i++) {
    if (parts[i].begin == parts[i].end) continue;
    if (!hf_buffer_append(rest, text + at, parts[i].begin - at, NULL) || !hf_buffer_append(rest, "null", 4, NULL)) return false;
    at = parts[i].end;
  }
  return hf_buffer_append(rest, text + at, size - at, NULL);
}

bool hf_model_tables_take(const char *text, size_t size, HfVocab *vocab, const char **merges, size_t *merges_size, HfBuffer *rest) {
  HfJsonScanner scanner;
  Part ids = {0}, list = {0};
  hf_json_scan(&scanner, text, size, "tokenizer.json");
  bool done = take_document(&scanner, vocab, &ids, &list) && copy_rest(text, size, ids, list, rest);
  hf_json_scan_end(&scanner);
  if (!done) hf_vocab_free(vocab);
  *merges = done && list.end ? text + list.begin : NULL;
  *merges_size = list.end - list.begin;
  return done;
}
