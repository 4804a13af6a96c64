/* The list of normalizer kinds, their reading from tokenizer.json, and running them one after the other. */
#include "normalizer.h"
#include <string.h>
#include "component.h"
#include "json.h"
#include "memory.h"

static const HfNormalizerKind *const kinds[] = {
  &hf_normalizer_bert, &hf_normalizer_lowercase, &hf_normalizer_strip, &hf_normalizer_strip_accents, &hf_normalizer_nmt,
  &hf_normalizer_prepend, &hf_normalizer_replace, &hf_normalizer_precompiled, &hf_normalizer_nfc, &hf_normalizer_nfd, &hf_normalizer_nfkc, &hf_normalizer_nfkd,
  &hf_normalizer_byte_level,
};

static const HfNormalizerKind *find_kind(const char *type) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i]->type, type)) return kinds[i];
  return NULL;
}

static bool add_step(void *target, const char *type, const cJSON *json, const char *where, HfError *err) {
  HfNormalizers *list = target;
  const HfNormalizerKind *kind = find_kind(type);
  if (!kind) return hf_component_unknown(err, where, "normalizer", type);
  if (!hf_array_grow((void **)&list->steps, list->count, &list->capacity, sizeof *list->steps, "normalizers", err)) return false;
  HfNormalizer *step = &list->steps[list->count++];
  memset(step, 0, sizeof *step);
  step->kind = kind;
  return !kind->read || kind->read(step, json, where, err);
}

bool hf_normalizers_read(HfNormalizers *list, const cJSON *json, const char *where, HfError *err) {
  return hf_component_read(list, json, "normalizers", add_step, where, err);
}

void hf_normalizers_free(HfNormalizers *list) {
  for (size_t i = 0; i < list->count; i++)
    if (list->steps[i].kind->release) list->steps[i].kind->release(&list->steps[i]);
  hf_free(list->steps);
  *list = (HfNormalizers){0};
}

void hf_normalizer_scratch_free(HfNormalizerScratch *scratch) {
  for (int i = 0; i < 3; i++) hf_text_free(&scratch->texts[i]);
}

bool hf_normalizers_apply(const HfNormalizers *list, HfSpan in, HfText *out, HfNormalizerScratch *scratch, HfError *err) {
  if (!list->count) return hf_text_append(out, in, err);
  for (size_t i = 0; i < list->count; i++) {
    bool last = i + 1 == list->count;
    HfText *target = last ? out : &scratch->texts[i % 2];
    if (!last) hf_text_clear(target, out->tracked);
    hf_text_clear(&scratch->texts[2], out->tracked);
    if (!list->steps[i].kind->apply(&list->steps[i], in, target, &scratch->texts[2], err)) return false;
    if (!last) in = hf_text_span(target, 0, target->size);
  }
  return true;
}
