/* The pre-tokenizer Metaspace: spaces become a visible character, which may also be put in front; words begin at it. */
#include <string.h>
#include "json.h"
#include "pre_tokenizer.h"
#include "unicode.h"

static bool read_replacement(uint32_t *code, const cJSON *json, const char *where, HfError *err) {
  const char *text = NULL;
  if (!hf_json_get_string(json, "replacement", &text, where, err)) return false;
  if (!text) return *code = 0x2581, true;
  bool single = *text && hf_utf8_decode(text, code) == strlen(text);
  return single || hf_json_mismatch(hf_json_find(json, "replacement"), "replacement", "one character", where, err);
}

/* "prepend_scheme", or "add_prefix_space" of older files. */
static bool read_scheme(HfPrependScheme *out, const cJSON *json, const char *where, HfError *err) {
  static const char *const names[] = {"always", "first", "never"};
  const char *name = NULL;
  bool prefix = true;
  char shown[HF_EXCERPT_SIZE];
  if (!hf_json_get_string(json, "prepend_scheme", &name, where, err) || !hf_json_get_boolean(json, "add_prefix_space", &prefix, where, err)) return false;
  *out = prefix ? HF_PREPEND_ALWAYS : HF_PREPEND_NEVER;
  if (!name) return true;
  int scheme = 0;
  while (scheme < 3 && strcmp(name, names[scheme])) scheme++;
  if (scheme == 3)
    return hf_error_set(err, "%s: field \"prepend_scheme\": expected always, first or never, found \"%s\"", where, hf_excerpt(shown, name, strlen(name)));
  *out = (HfPrependScheme)scheme;
  if (!prefix && scheme != HF_PREPEND_NEVER)
    return hf_error_set(err, "%s: field \"add_prefix_space\": false contradicts prepend_scheme \"%s\"", where, name);
  return true;
}

bool hf_metaspace_read(HfMetaspace *out, const cJSON *json, const char *where, HfError *err) {
  out->split = true;
  return read_replacement(&out->replacement, json, where, err) && read_scheme(&out->scheme, json, where, err) &&
         hf_json_get_boolean(json, "split", &out->split, where, err);
}

static bool read_metaspace(HfPreTokenizer *self, const cJSON *json, const char *where, HfError *err) {
  if (!hf_metaspace_read(&self->metaspace, json, where, err)) return false;
  self->use_origins = self->metaspace.scheme == HF_PREPEND_FIRST;
  return true;
}

/* Whether the character goes in front; `in` is not empty. First: only where the text begins. */
static bool prepends(const HfMetaspace *m, HfSpan in) {
  uint32_t first;
  hf_utf8_decode(in.bytes, &first);
  if (first == ' ' || first == m->replacement || m->scheme == HF_PREPEND_NEVER) return false;
  uint32_t origin = hf_span_origin(in, 0);
  return m->scheme == HF_PREPEND_ALWAYS || origin == 0 || origin == HF_NO_ORIGIN;
}

static bool put_replaced(const HfMetaspace *m, HfSpan in, HfText *out, HfError *err) {
  if (prepends(m, in) && !hf_text_put(out, m->replacement, hf_span_origin(in, 0), err)) return false;
  for (size_t at = 0; at < in.size;) {
    const char *space = memchr(in.bytes + at, ' ', in.size - at);
    size_t stop = space ? (size_t)(space - in.bytes) : in.size;
    if (!hf_text_append(out, hf_span_part(in, at, stop), err)) return false;
    if (space && !hf_text_put(out, m->replacement, hf_span_origin(in, stop), err)) return false;
    at = stop + (space != NULL);
  }
  return true;
}

/* Cuts in front of each replacement. */
static bool cut(uint32_t replacement, HfPieces *out, size_t begin, HfError *err) {
  char mark[4];
  size_t size = hf_utf8_encode(replacement, mark), end = out->text.size, from = begin;
  for (size_t at = begin + 1; at < end; at++) {
    const char *found = memchr(out->text.bytes + at, mark[0], end - at);
    if (!found) break;
    at = (size_t)(found - out->text.bytes);
    if (end - at < size || memcmp(found, mark, size)) continue;
    if (!hf_piece_add(&out->list, from, at, -1, err)) return false;
    from = at;
  }
  return hf_piece_add(&out->list, from, end, -1, err);
}

static bool rewrite_metaspace(const HfPreTokenizer *self, HfSpan in, HfPieces *out, HfError *err) {
  size_t begin = out->text.size;
  if (!put_replaced(&self->metaspace, in, &out->text, err)) return false;
  return self->metaspace.split ? cut(self->metaspace.replacement, out, begin, err)
                               : hf_piece_add(&out->list, begin, out->text.size, -1, err);
}

const HfPreTokenizerKind hf_pre_tokenizer_metaspace = {.type = "Metaspace", .read = read_metaspace, .rewrite = rewrite_metaspace};
