/* The normalizer Replace. */
#include "component.h"
#include "normalizer.h"
#include "unicode.h"

static bool read_replace(HfNormalizer *self, const cJSON *json, const char *where, HfError *err) {
  return hf_replace_read(&self->replace, json, where, err);
}

static void release_replace(HfNormalizer *self) { hf_replace_free(&self->replace); }

typedef struct Target {
  HfSpan in;
  const char *content;
  HfText *out;
} Target;

/* What is put in stands for the last character that went, or for the one before when none went. */
static bool put_content(void *data, size_t before, size_t begin, size_t end, HfError *err) {
  Target *t = data;
  uint32_t code, origin = end ? hf_span_origin(t->in, end - 1) : HF_NO_ORIGIN;
  if (!hf_text_append(t->out, hf_span_part(t->in, before, begin), err)) return false;
  for (const char *content = t->content; *content;) {
    content += hf_utf8_decode(content, &code);
    if (!hf_text_put(t->out, code, origin, err)) return false;
  }
  return true;
}

static bool apply_replace(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  Target target = {in, self->replace.content, out};
  size_t rest;
  return hf_replace_each(&self->replace, in.bytes, in.size, put_content, &target, &rest, err) &&
         hf_text_append(out, hf_span_part(in, rest, in.size), err);
}

const HfNormalizerKind hf_normalizer_replace = {"Replace", read_replace, apply_replace, release_replace};
