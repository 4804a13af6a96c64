/* Normalizers of a few lines: Strip, Prepend, Nmt. */
#include <string.h>
#include "component.h"
#include "json.h"
#include "memory.h"
#include "normalizer.h"
#include "unicode.h"

static bool read_strip(HfNormalizer *self, const cJSON *json, const char *where, HfError *err) {
  self->strip.left = self->strip.right = true;
  return hf_json_get_boolean(json, "strip_left", &self->strip.left, where, err) &&
         hf_json_get_boolean(json, "strip_right", &self->strip.right, where, err);
}

static bool apply_strip(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  size_t begin = 0, end = in.size;
  uint32_t code;
  while (self->strip.left && begin < end) {
    size_t step = hf_utf8_decode(in.bytes + begin, &code);
    if (!(hf_unicode_set(code) & HF_SPACE)) break;
    begin += step;
  }
  while (self->strip.right && end > begin) {
    size_t last = hf_utf8_back(in.bytes, end);
    hf_utf8_decode(in.bytes + last, &code);
    if (!(hf_unicode_set(code) & HF_SPACE)) break;
    end = last;
  }
  return hf_text_append(out, hf_span_part(in, begin, end), err);
}

static bool read_prepend(HfNormalizer *self, const cJSON *json, const char *where, HfError *err) {
  self->prepend.content = hf_component_string(json, "prepend", where, err);
  return self->prepend.content != NULL;
}

static void release_prepend(HfNormalizer *self) { hf_free(self->prepend.content); }

static bool apply_prepend(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  if (!in.size) return true;
  uint32_t code;
  for (const char *at = self->prepend.content; *at;) {
    at += hf_utf8_decode(at, &code);
    if (!hf_text_put(out, code, hf_span_origin(in, 0), err)) return false;
  }
  return hf_text_append(out, in, err);
}

static bool nmt_removes(uint32_t c) {
  return (c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
}
static bool nmt_spaces(uint32_t c) {
  return c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
         c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
}

static bool apply_nmt(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  for (size_t at = 0; at < in.size;) {
    uint32_t code, origin = hf_span_origin(in, at);
    at += hf_utf8_decode(in.bytes + at, &code);
    if (!nmt_removes(code) && !hf_text_put(out, nmt_spaces(code) ? ' ' : code, origin, err)) return false;
  }
  return true;
}

const HfNormalizerKind hf_normalizer_strip = {"Strip", read_strip, apply_strip, NULL};
const HfNormalizerKind hf_normalizer_prepend = {"Prepend", read_prepend, apply_prepend, release_prepend};
const HfNormalizerKind hf_normalizer_nmt = {"Nmt", NULL, apply_nmt, NULL};
