/* BertNormalizer: cleaning, spaces around CJK characters, accents, lower case. */
#include "json.h"
#include "normalizer.h"
#include "unicode.h"

static bool read_bert(HfNormalizer *self, const cJSON *json, const char *where, HfError *err) {
  self->bert.clean_text = self->bert.handle_chinese_chars = self->bert.lowercase = true;
  if (!hf_json_get_boolean(json, "clean_text", &self->bert.clean_text, where, err)) return false;
  if (!hf_json_get_boolean(json, "handle_chinese_chars", &self->bert.handle_chinese_chars, where, err)) return false;
  if (!hf_json_get_boolean(json, "lowercase", &self->bert.lowercase, where, err)) return false;
  self->bert.strip_accents = self->bert.lowercase; /* null: as lowercase */
  return hf_json_get_boolean(json, "strip_accents", &self->bert.strip_accents, where, err);
}

/* Bytes at the front of `in` that cleaning leaves as they are: ASCII without control characters. */
static size_t plain_prefix(const char *bytes, size_t size) {
  size_t i = 0;
  while (i < size && (unsigned char)bytes[i] >= 0x20 && (unsigned char)bytes[i] < 0x7F) i++;
  return i;
}

static bool clean(const HfNormalizer *self, HfSpan in, HfText *out, HfError *err) {
  for (size_t at = 0; at < in.size;) {
    size_t plain = plain_prefix(in.bytes + at, in.size - at);
    if (plain && !hf_text_append(out, hf_span_part(in, at, at + plain), err)) return false;
    at += plain;
    if (at == in.size) break;
    uint32_t code, origin = hf_span_origin(in, at);
    at += hf_utf8_decode(in.bytes + at, &code);
    uint32_t set = hf_unicode_set(code);
    if (self->bert.clean_text && (set & HF_BERT_REMOVED)) continue;
    if (self->bert.clean_text && (set & HF_BERT_TO_SPACE)) code = ' ';
    bool spaced = self->bert.handle_chinese_chars && (set & HF_BERT_CJK);
    if (spaced && !hf_text_put(out, ' ', origin, err)) return false;
    if (!hf_text_put(out, code, origin, err)) return false;
    if (spaced && !hf_text_put(out, ' ', origin, err)) return false;
  }
  return true;
}

static bool apply_lowercase(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  for (size_t at = 0; at < in.size;) {
    uint32_t code, origin = hf_span_origin(in, at);
    at += hf_utf8_decode(in.bytes + at, &code);
    if (!hf_text_put_lower(out, code, origin, err)) return false;
  }
  return true;
}

static bool apply_bert(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  if (!self->bert.strip_accents && !self->bert.lowercase) return clean(self, in, out, err);
  if (!clean(self, in, scratch, err)) return false;
  HfSpan cleaned = hf_text_span(scratch, 0, scratch->size);
  if (!self->bert.strip_accents) return apply_lowercase(self, cleaned, out, NULL, err);
  return hf_text_append_decomposed(out, cleaned, (HfDecomposition){.lowercase = self->bert.lowercase, .drop = HF_BERT_ACCENT}, err);
}

const HfNormalizerKind hf_normalizer_bert = {"BertNormalizer", read_bert, apply_bert, NULL};
const HfNormalizerKind hf_normalizer_lowercase = {"Lowercase", NULL, apply_lowercase, NULL};
