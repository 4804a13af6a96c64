/* Lists of strings, the list of decoder kinds, and running decoders. */
#include "decoder.h"
#include <string.h>
#include "component.h"
#include "json.h"
#include "text.h"

void hf_strings_free(HfStrings *strings) {
  hf_buffer_free(&strings->bytes);
  hf_free(strings->ends);
  *strings = (HfStrings){0};
}

void hf_strings_clear(HfStrings *strings) { strings->bytes.size = strings->count = 0; }

bool hf_strings_end(HfStrings *strings, HfError *err) {
  if (!hf_array_grow((void **)&strings->ends, strings->count, &strings->capacity, sizeof *strings->ends, "tokens", err)) return false;
  strings->ends[strings->count++] = strings->bytes.size;
  return true;
}

bool hf_strings_add(HfStrings *strings, const char *bytes, size_t size, HfError *err) {
  return hf_buffer_append(&strings->bytes, bytes, size, err) && hf_strings_end(strings, err);
}

static const HfDecoderKind *const kinds[] = {
  &hf_decoder_word_piece, &hf_decoder_replace, &hf_decoder_strip, &hf_decoder_metaspace, &hf_decoder_bpe, &hf_decoder_ctc,
  &hf_decoder_fuse, &hf_decoder_byte_fallback, &hf_decoder_byte_level,
};

static bool add_step(void *target, const char *type, const cJSON *json, const char *where, HfError *err) {
  HfDecoders *list = target;
  const HfDecoderKind *kind = NULL;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i]->type, type)) kind = kinds[i];
  if (!kind) return hf_component_unknown(err, where, "decoder", type);
  if (!hf_array_grow((void **)&list->steps, list->count, &list->capacity, sizeof *list->steps, "decoders", err)) return false;
  HfDecoder *step = &list->steps[list->count++];
  memset(step, 0, sizeof *step);
  step->kind = kind;
  return !kind->read || kind->read(step, json, where, err);
}

bool hf_decoders_read(HfDecoders *list, const cJSON *json, const char *where, HfError *err) {
  return hf_component_read(list, json, "decoders", add_step, where, err);
}

void hf_decoders_free(HfDecoders *list) {
  for (size_t i = 0; i < list->count; i++)
    if (list->steps[i].kind->release) list->steps[i].kind->release(&list->steps[i]);
  hf_free(list->steps);
  *list = (HfDecoders){0};
}

static bool join(const HfStrings *tokens, const char *between, HfBuffer *out, HfError *err) {
  for (size_t i = 0; i < tokens->count; i++) {
    size_t size;
    const char *token = hf_strings_get(tokens, i, &size);
    if (i && !hf_buffer_append(out, between, strlen(between), err)) return false;
    if (!hf_buffer_append(out, token, size, err)) return false;
  }
  return true;
}

bool hf_decoders_apply(const HfDecoders *list, HfStrings *tokens, HfBuffer *out, HfError *err) {
  HfStrings spare = {0};
  bool done = true;
  for (size_t i = 0; done && i < list->count; i++) {
    hf_strings_clear(&spare);
    done = list->steps[i].kind->apply(&list->steps[i], tokens, &spare, err);
    HfStrings result = spare;
    spare = *tokens;
    *tokens = result;
  }
  done = done && join(tokens, list->count ? "" : " ", out, err);
  hf_strings_free(&spare);
  return done;
}
