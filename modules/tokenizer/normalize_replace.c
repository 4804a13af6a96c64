/* The normalizer Replace. */
#include "component.h"
#include "normalizer.h"
#include "unicode.h"

static bool read_replace(HfNormalizer *self, const cJSON *json, const char *where, HfError *err) {
  return hf_replace_read(&self->replace, json, where, err);
}

static void release_replace(HfNormalizer *self) { hf_replace_free(&self->replace); }

/* What is put in stands for the last character that went, or for the one before when none went. */
static bool put_content(const char *content, HfSpan in, size_t end, HfText *out, HfError *err) {
  uint32_t code, origin = end ? hf_span_origin(in, end - 1) : HF_NO_ORIGIN;
  while (*content) {
    content += hf_utf8_decode(content, &code);
    if (!hf_text_put(out, code, origin, err)) return false;
  }
  return true;
}

static bool apply_replace(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  HfReplaceWalk walk = {.text = in.bytes, .size = in.size};
  while (hf_replace_walk(&self->replace, &walk)) {
    if (!hf_text_append(out, hf_span_part(in, walk.before, walk.begin), err)) return false;
    if (!put_content(self->replace.content, in, walk.end, out, err)) return false;
  }
  return hf_text_append(out, hf_span_part(in, walk.before, in.size), err);
}

const HfNormalizerKind hf_normalizer_replace = {"Replace", read_replace, apply_replace, release_replace};
